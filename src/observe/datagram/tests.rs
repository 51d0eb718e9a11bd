use super::*;
use crate::observe::facts::Sampling;
use crate::proto::quic::Version;
use crate::proto::quic::vectors::{DCID, client_initial, server_initial};

/// Datagrams of one flow in order, and whether each was recognised.
fn read(sent: &[(Direction, &[u8])]) -> (Facts, Vec<bool>) {
    let (mut work, mut facts, mut taken) = (Datagrams::new(), Facts::default(), Vec::new());
    for (number, (direction, payload)) in (1..).zip(sent) {
        let meta = Meta {
            direction: *direction,
            ports: [40_000, 41_000],
            packet: PacketRef::new(0, number),
            number,
            timestamp: Timestamp::from_secs_nanos(1, 0),
            wrapping: Wrapping::None,
            cut: 0,
            sampling: Sampling::default(),
        };
        work.payload(&mut facts, &meta, payload);
        taken.push(work.unrecognised == 0);
    }
    work.finish(&mut facts);
    (facts, taken)
}

const ASK: Direction = Direction::Forward;
const ANSWER: Direction = Direction::Reverse;

/// A client's first packet in a version that is reserved for this (RFC 9000 section 15), with an id of its own.
fn forcing_initial() -> Vec<u8> {
    let mut packet = [&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8][..], &DCID, &[3, 7, 8, 9, 0, 0x44, 0x9e]].concat();
    packet.resize(1_203, 5);
    packet
}

/// Version Negotiation (RFC 8999 section 6) with any first byte, to these ids: version 1 and draft 29.
fn negotiation(first: u8, dcid: &[u8], scid: &[u8]) -> Vec<u8> {
    let id = |id: &[u8]| [&[u8::try_from(id.len()).unwrap()], id].concat();
    [&[first, 0, 0, 0, 0][..], &id(dcid), &id(scid), &[0, 0, 0, 1, 0xff, 0, 0, 29]].concat()
}

/// RTP (RFC 3550 section 5.1) of 50 packets a second.
fn rtp(number: u8) -> Vec<u8> {
    [&[0x80, 111, 0, number, 0, 0, number, 0, 0, 0, 0, 7][..], &[number; 80]].concat()
}

#[test]
fn version_negotiation_is_read_whatever_its_first_byte() {
    let client = forcing_initial();
    for first in [0x80, 0x9f, 0xad, 0xbf, 0xc0] {
        let (facts, _) = read(&[(ASK, &client), (ANSWER, &negotiation(first, &[7, 8, 9], &DCID))]);
        assert_eq!(facts.quic.unwrap().negotiated, ["v1", "draft-29"], "{first:#x}");
    }
}

#[test]
fn what_only_looks_like_version_negotiation_is_none() {
    let client = forcing_initial();
    let right = negotiation(0xad, &[7, 8, 9], &DCID);
    for sent in [
        [(ASK, &client), (ANSWER, &negotiation(0xad, &DCID, &[7, 8, 9]))],
        [(ASK, &client), (ANSWER, &negotiation(0xad, &[7, 8], &DCID))],
        [(ASK, &client), (ASK, &right)],
        [(ANSWER, &right), (ASK, &right)],
    ] {
        let (facts, _) = read(&sent.map(|(direction, payload)| (direction, &payload[..])));
        assert!(facts.quic.is_none_or(|quic| quic.negotiated.is_empty()));
    }
}

#[test]
fn a_server_that_clears_the_fixed_bit_is_read_where_the_flow_is_quic() {
    let client = client_initial(Version::V1);
    for is_greased in [false, true] {
        let (facts, _) = read(&[(ASK, &client), (ANSWER, &server_initial(is_greased))]);
        let tls = facts.tls.unwrap();
        assert_eq!((tls.version, tls.cipher_suite, tls.group), (Some(0x0304), Some(0x1301), Some(29)));
        assert!(facts.quic.unwrap().initials_verified == 2 && facts.media.is_none());
    }
    let (facts, taken) = read(&[(ANSWER, &server_initial(true))]);
    assert!(facts.quic.is_none() && facts.tls.is_none() && taken == [false]);
}

#[test]
fn rtp_beside_quic_stays_rtp() {
    let (client, packets) = (client_initial(Version::V1), (1..=20).map(rtp).collect::<Vec<_>>());
    let mut sent = vec![(ASK, &client[..])];
    sent.extend(packets.iter().map(|packet| (ANSWER, &packet[..])));
    let (facts, _) = read(&sent);
    assert_eq!(facts.media.unwrap().streams[0].stats.packets(), 20);
    assert_eq!(facts.quic.unwrap().initials_verified, 1);
}

/// A handshake message in one record of epoch 0 (RFC 6347 sections 4.1 and 4.2.2).
fn handshake(kind: u8, number: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    let head = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number, 0, length + 12];
    [&head[..], &[kind, 0, 0, length, 0, number, 0, 0, 0, 0, 0, length], body].concat()
}

/// A ServerHello without extensions, or with `supported_versions` that says DTLS 1.3 (RFC 9147 section 5.4).
fn server_hello(suite: [u8; 2], is_1_3: bool) -> Vec<u8> {
    let extensions: &[u8] = if is_1_3 { &[0, 6, 0, 43, 0, 2, 0xfe, 0xfc] } else { &[] };
    handshake(2, 0, &[&[0xfe, 0xfd][..], &[8; 32], &[0], &suite, &[0], extensions].concat())
}

#[test]
fn the_group_of_dtls_1_2_stands_in_the_server_key_exchange() {
    let hello = server_hello([0xc0, 0x2b], false);
    // RFC 8422 section 5.4: named curve, x25519, the length of the point.
    let exchange = handshake(12, 1, &[3, 0, 29, 4, 1, 2, 3, 4]);
    let (facts, _) = read(&[(ANSWER, &hello), (ANSWER, &exchange)]);
    assert_eq!(facts.dtls.unwrap().group, Some(29));
    // RFC 5246 section 7.4.3 with ffdhe: here the same bytes begin a length.
    let (facts, _) = read(&[(ANSWER, &server_hello([0, 0x9e], false)), (ANSWER, &exchange)]);
    assert_eq!(facts.dtls.unwrap().group, None);
}

#[test]
fn records_with_the_unified_header_are_counted_where_dtls_1_3_was_agreed_on() {
    // RFC 9147 section 4: S and L set, epoch 2.
    let sealed = [&[0x2e, 9, 9, 0, 17][..], &[7; 17]].concat();
    let two = [&sealed[..], &sealed].concat();
    let count = |hello: &[u8]| {
        let (facts, taken) = read(&[(ANSWER, hello), (ANSWER, &sealed), (ASK, &two)]);
        let dtls = facts.dtls.unwrap();
        assert_eq!((dtls.application_data, facts.anomalies.is_empty()), (0, true));
        (dtls.records, taken)
    };
    assert_eq!(count(&server_hello([0x13, 1], true)), (4, vec![true; 3]));
    assert_eq!(count(&server_hello([0xc0, 0x2b], false)), (1, vec![true, false, false]));
    assert!(read(&[(ANSWER, &sealed)]).0.dtls.is_none());
}

/// A STUN message without attributes but this one (RFC 8489 section 5).
fn stun_message(kind: u16, attribute: &[u8]) -> Vec<u8> {
    let length = u8::try_from(attribute.len()).unwrap();
    let [high, low] = kind.to_be_bytes();
    [&[high, low, 0, length, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12], attribute].concat()
}

#[test]
fn message_types_of_vendors_are_kept_with_their_packets() {
    let sent = [0x0003, 0x0800, 0x0113, 0x0801, 0x0800].map(|kind| stun_message(kind, &[]));
    let (facts, _) = read(&sent.each_ref().map(|message| (ASK, &message[..])));
    let stun = facts.stun.unwrap();
    let at = |frame| PacketRef::new(0, frame);
    assert!(stun.odd_types.iter().eq(&[(0x0800, at(2)), (0x0801, at(4))]));
    assert_eq!((stun.packet, stun.types.len()), (at(1), 4));
}

#[test]
fn names_that_are_not_text_are_escaped() {
    let software = stun_message(0x0001, &[0x80, 0x22, 0, 4, b'A', 0xff, 0x1b, b'z']);
    let realm = stun_message(0x0113, &[0, 0x14, 0, 4, 0xfe, b'.', b'o', b'k']);
    let call = b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: \xff1\r\nUser-Agent: caf\xe9\r\n\r\n";
    let (facts, _) = read(&[(ASK, &software), (ANSWER, &realm), (ASK, call)]);
    let (stun, sip) = (facts.stun.unwrap(), facts.sip.unwrap());
    assert_eq!((&stun.software[0].0[..], &stun.realms[0].0[..]), ("A\\xff\\x1bz", "\\xfe.ok"));
    assert_eq!(
        (&sip.call_ids[..], &sip.agents[..]),
        (&["\\xff1".to_owned()][..], &["caf\\xe9".to_owned()][..])
    );
}
