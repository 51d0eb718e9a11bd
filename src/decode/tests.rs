//! Frames built by hand, layer by layer, so that each expectation is known from how the bytes were made.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket, PacketBuilder, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;

const LINK_TYPES: [u16; 16] = [0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 127, 228, 229, 276];
const BODY: &[u8] = b"meetscope";

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_secs_nanos(1_700_000_000, nanos)
}

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() + 8) as u16;
    cat(&[&source.to_be_bytes(), &destination.to_be_bytes(), &length.to_be_bytes(), &[0xab, 0xcd], payload])
}

/// IPv4 with identification `id`, 10.0.0.1 > 10.0.0.2.
fn ipv4_id(protocol: u8, id: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let total = (payload.len() + 20) as u16;
    let (id, fragment) = (id.to_be_bytes(), fragment.to_be_bytes());
    let head =
        [0x45, 0, total.to_be_bytes()[0], total.to_be_bytes()[1], id[0], id[1], fragment[0], fragment[1]];
    cat(&[&head, &[64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], payload])
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_id(protocol, 7, 0x4000, payload)
}

/// From `2001:0:1::1` to `2001:db8::2`, so that it will do for Teredo too.
fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let source = [0x20, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let destination = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    cat(&[&[0x60, 0, 0, 0, length[0], length[1], next, 64], &source, &destination, payload])
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    cat(&[&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &ether_type.to_be_bytes(), payload])
}

/// The innermost packets of all frames below.
fn four() -> Vec<u8> {
    ipv4(17, &udp(1000, 2000, BODY))
}

fn six() -> Vec<u8> {
    ipv6(17, &udp(1000, 2000, BODY))
}

/// Decodes and gives the path, after checking that the innermost packet is what was put there.
#[track_caller]
fn path_of(link_type: u16, frame: &[u8]) -> String {
    let mut decoder = Decoder::default();
    let outcome = decoder.decode(link_type, at(0), frame, frame.len() as u32);
    let Outcome::Packet(packet) = outcome else { panic!("{outcome:?}") };
    assert_eq!((packet.source.port(), packet.destination.port()), (1000, 2000), "{packet:?}");
    assert_eq!(packet.transport, Transport::Udp { payload: BODY, declared_len: BODY.len() });
    assert!(!packet.truncated);
    assert_eq!(packet.wire_len, frame.len() as u32);
    packet.path.to_string()
}

#[track_caller]
fn outcome_name(link_type: u16, frame: &[u8]) -> String {
    let mut decoder = Decoder::default();
    format!("{:?}", decoder.decode(link_type, at(0), frame, frame.len() as u32))
}

/// One good frame per link type.
fn link_frames() -> Vec<(u16, Vec<u8>)> {
    let (four, six) = (four(), six());
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let wifi = |kind: u8, flags: u8| cat(&[&[kind, flags, 0, 0], &[2; 18], &[0x10, 0]]);
    let sll = cat(&[&[0, 0, 0, 1, 0, 6], &[2; 8], &[8, 0], &four]);
    let sll2 = cat(&[&[0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6], &[2; 8], &six]);
    let pppoe = cat(&[&[0x11, 0, 0, 9, 0, (four.len() + 2) as u8, 0, 0x21], &four]);
    vec![
        (0, cat(&[&[2, 0, 0, 0], &four])),
        (0, cat(&[&[0, 0, 0, 2], &four])),
        (0, cat(&[&[30, 0, 0, 0], &six])),
        (108, cat(&[&[0, 0, 0, 24], &six])),
        (1, ethernet(0x0800, &four)),
        (1, cat(&[&ethernet(0x0800, &four), &[0; 9]])),
        (1, ethernet(0x86dd, &six)),
        (1, ethernet((four.len() + 8) as u16, &cat(&[&snap, &four]))),
        (1, ethernet(0x8926, &cat(&[&[0, 1, 2, 3, 8, 0], &four]))),
        (9, cat(&[&[0, 0x21], &four])),
        (9, cat(&[&[0x57], &six])),
        (50, cat(&[&[0xff, 3, 0, 0x21], &four])),
        (50, cat(&[&[0x0f, 0, 8, 0], &four])),
        (51, pppoe),
        (12, four.clone()),
        (14, six.clone()),
        (101, six.clone()),
        (228, four.clone()),
        (229, six.clone()),
        (113, sll),
        (276, sll2),
        (104, cat(&[&[0x0f, 0, 8, 0], &four])),
        // Plain data, from the station.
        (105, cat(&[&wifi(0x08, 0x01), &snap, &four])),
        // QoS between two access points, with HT control.
        (105, cat(&[&wifi(0x88, 0x83), &[2; 6], &[0, 0], &[0; 4], &snap, &four])),
        // QoS, A-MSDU.
        (105, cat(&[&wifi(0x88, 0x02), &[0x80, 0], &[2; 12], &[0, (four.len() + 8) as u8], &snap, &four])),
        // Radiotap with two present words, timestamp, and flags that say: header padded.
        (
            127,
            cat(&[
                &[0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0],
                &[0; 8],
                &[0x20],
                &wifi(0x88, 0x01),
                &[0, 0, 0, 0],
                &snap,
                &four,
            ]),
        ),
        (127, cat(&[&[0, 0, 9, 0, 2, 0, 0, 0, 0], &wifi(0x08, 0x02), &snap, &four])),
    ]
}

#[test]
fn every_link_type_leads_to_the_packet() {
    for (link_type, frame) in link_frames() {
        let path = path_of(link_type, &frame);
        assert_eq!(path, if link_type == 51 { "pppoe 0x9" } else { "" }, "{link_type}");
    }
}

/// A GTP-U packet with these flags and optional part.
fn gtp(flags: u8, optional: &[u8], inner: &[u8]) -> Vec<u8> {
    let length = ((optional.len() + inner.len()) as u16).to_be_bytes();
    let head = [flags, 0xff, length[0], length[1], 0, 0, 0x12, 0x34];
    ipv4(17, &udp(2152, 2152, &cat(&[&head, optional, inner])))
}

/// One good Ethernet frame per tunnel, and the path that it is to give.
fn tunnel_frames() -> Vec<(&'static str, Vec<u8>)> {
    let (four, six) = (four(), six());
    let frame = ethernet(0x0800, &four);
    let over_gre = |gre: &[u8], inner: &[u8]| ethernet(0x0800, &ipv4(47, &cat(&[gre, inner])));
    let over_udp = |port: u16, parts: &[&[u8]]| ethernet(0x0800, &ipv4(17, &udp(40000, port, &cat(parts))));
    let ppp_length = (four.len() + 4) as u8;
    vec![
        ("vlan 100", ethernet(0x8100, &cat(&[&[0xe0, 100, 8, 0], &four]))),
        ("vlan 7 / vlan 100", ethernet(0x88a8, &cat(&[&[0, 7, 0x81, 0, 0, 100, 0x86, 0xdd], &six]))),
        ("vlan 7 / vlan 8", ethernet(0x9100, &cat(&[&[0, 7, 0x81, 0, 0, 8, 8, 0], &four]))),
        ("mpls 16 / mpls 17", ethernet(0x8847, &cat(&[&[0, 1, 0, 64, 0, 1, 0x11, 64], &four]))),
        ("mpls 17", ethernet(0x8847, &cat(&[&[0, 1, 0x11, 64], &six]))),
        ("mpls 18", ethernet(0x8847, &cat(&[&[0, 1, 0x21, 64], &frame]))),
        ("mpls 19", ethernet(0x8847, &cat(&[&[0, 1, 0x31, 64], &[0; 4], &frame]))),
        (
            "pppoe 0x102",
            ethernet(0x8864, &cat(&[&[0x11, 0, 1, 2, 0, (six.len() + 2) as u8, 0, 0x57], &six, &[0; 3]])),
        ),
        ("gre (10.0.0.1 > 10.0.0.2)", over_gre(&[0, 0, 8, 0], &four)),
        (
            "gre (10.0.0.1 > 10.0.0.2)",
            over_gre(&[0xb0, 0, 0x86, 0xdd, 1, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6], &six),
        ),
        ("gre (10.0.0.1 > 10.0.0.2)", over_gre(&[0x20, 0, 0x65, 0x58, 0, 0, 5, 0], &frame)),
        (
            "gre (10.0.0.1 > 10.0.0.2)",
            over_gre(
                &[0x30, 0x81, 0x88, 0x0b, 0, ppp_length, 0, 1, 0, 0, 0, 9, 0, 0, 0, 8, 0xff, 3, 0, 0x21],
                &four,
            ),
        ),
        ("erspan1 0 (10.0.0.1 > 10.0.0.2)", over_gre(&[0, 0, 0x88, 0xbe], &frame)),
        (
            "erspan2 20 (10.0.0.1 > 10.0.0.2)",
            over_gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0x64, 0, 20, 0, 0, 0, 1], &frame),
        ),
        (
            "erspan3 21 (10.0.0.1 > 10.0.0.2)",
            over_gre(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0x64, 0, 21, 0, 0, 0, 1, 0, 0, 0, 0], &frame),
        ),
        (
            "erspan3 22 (10.0.0.1 > 10.0.0.2)",
            over_gre(
                &[
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0x64, 0, 22, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9,
                    9, 9, 9, 9,
                ],
                &frame,
            ),
        ),
        ("vxlan 66051 (10.0.0.1 > 10.0.0.2)", over_udp(4789, &[&[8, 0, 0, 0, 1, 2, 3, 0], &frame])),
        ("vxlan 5 (10.0.0.1 > 10.0.0.2)", over_udp(8472, &[&[8, 0, 0, 0, 0, 0, 5, 0], &frame])),
        ("vxlan 5 (10.0.0.1 > 10.0.0.2)", over_udp(4790, &[&[12, 0, 0, 1, 0, 0, 5, 0], &four])),
        (
            "geneve 10 (10.0.0.1 > 10.0.0.2)",
            over_udp(6081, &[&[1, 0, 0x65, 0x58, 0, 0, 10, 0, 1, 2, 3, 4], &frame]),
        ),
        ("gtp-u 0x1234 (10.0.0.1 > 10.0.0.2)", ethernet(0x0800, &gtp(0x30, &[], &four))),
        ("gtp-u 0x1234 (10.0.0.1 > 10.0.0.2)", ethernet(0x0800, &gtp(0x32, &[0, 1, 0, 0], &six))),
        // The PDU session container of 5G (type 0x85).
        (
            "gtp-u 0x1234 (10.0.0.1 > 10.0.0.2)",
            ethernet(0x0800, &gtp(0x34, &[0, 0, 0, 0x85, 1, 0x10, 9, 0], &four)),
        ),
        ("ipip (10.0.0.1 > 10.0.0.2)", ethernet(0x0800, &ipv4(4, &four))),
        ("6in4 (10.0.0.1 > 10.0.0.2)", ethernet(0x0800, &ipv4(41, &six))),
        ("etherip (10.0.0.1 > 10.0.0.2)", ethernet(0x0800, &ipv4(97, &cat(&[&[0x30, 0], &frame])))),
        ("teredo (10.0.0.1 > 10.0.0.2)", over_udp(3544, &[&six])),
        (
            "teredo (10.0.0.1 > 10.0.0.2)",
            over_udp(3544, &[&[0, 1, 0, 0], &[9; 8], &[0], &[0, 0, 1, 2, 3, 4, 5, 6], &six]),
        ),
        ("tzsp (10.0.0.1 > 10.0.0.2)", over_udp(37008, &[&[1, 0, 0, 1, 10, 1, 99, 0, 1], &frame])),
        (
            "vlan 9 / gtp-u 0x1234 (10.0.0.1 > 10.0.0.2) / ipip",
            ethernet(0x8100, &cat(&[&[0, 9, 8, 0], &gtp(0x30, &[], &ipv4(4, &four))])),
        ),
    ]
}

#[test]
fn every_tunnel_is_opened() {
    for (path, frame) in tunnel_frames() {
        assert_eq!(path_of(1, &frame), path);
    }
}

#[test]
fn port_of_a_tunnel_proves_nothing() {
    let frame = ethernet(0x0800, &four());
    for (port, payload) in [
        (4789, cat(&[&[0, 0, 0, 0, 1, 2, 3, 0], &frame])),
        (4789, cat(&[&[8, 0, 0, 0, 1, 2, 3, 0], &frame[..40]])),
        (4789, b"\x80\x60 an RTP packet that chose this port".to_vec()),
        (6081, cat(&[&[0x40, 0, 0x65, 0x58, 0, 0, 10, 0], &frame])),
        (6081, cat(&[&[0, 0, 0x65, 0x58, 0, 0, 10, 0], &[0x45; 60]])),
        // GTP-U echo request.
        (2152, vec![0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0]),
        (2152, cat(&[&[0x30, 0xff, 0, 37, 0, 0, 0, 1], &[0x80; 37]])),
        (3544, ipv6(17, BODY)[8..].to_vec()),
        (37008, vec![1, 0, 0, 1, 10, 200, 0]),
    ] {
        let outer = ethernet(0x0800, &ipv4(17, &udp(40000, port, &payload)));
        let mut decoder = Decoder::default();
        let outcome = decoder.decode(1, at(0), &outer, outer.len() as u32);
        let Outcome::Packet(packet) = outcome else { panic!("{port} {outcome:?}") };
        assert!(packet.path.is_empty(), "{packet:?}");
        assert_eq!(packet.destination.port(), port);
        assert_eq!(packet.transport.payload(), payload);
    }
}

#[test]
fn what_is_no_ip_is_told_apart_from_what_is_broken() {
    assert_eq!(outcome_name(1, &ethernet(0x0806, &[0; 28])), "NotIp");
    assert_eq!(outcome_name(1, &ethernet(0x88cc, &[0; 28])), "NotIp");
    assert_eq!(outcome_name(105, &cat(&[&[0x80, 0], &[0; 30]])), "NotIp");
    assert_eq!(outcome_name(105, &cat(&[&[0x08, 0x41], &[0; 40]])), "Undecodable(WifiProtected)");
    assert_eq!(outcome_name(1, &ethernet(0x0800, &[0x45; 10])), "Undecodable(Ipv4Truncated)");
    assert_eq!(outcome_name(101, &[0x55; 40]), "Undecodable(IpVersion)");
    assert_eq!(outcome_name(9999, &[0; 40]), "Undecodable(UnknownLinkType)");
    assert_eq!(outcome_name(101, &ipv4(17, &[0, 1, 0, 2, 0, 5, 0, 0])), "Undecodable(UdpLength)");
    let labels = [0, 1, 0, 64].repeat(9);
    assert_eq!(outcome_name(1, &ethernet(0x8847, &labels)), "Undecodable(TooDeep)");
    let mut nested = four();
    for _ in 0..9 {
        nested = ipv4(4, &nested);
    }
    assert_eq!(outcome_name(101, &nested), "Undecodable(TooDeep)");
}

#[test]
fn lengths_of_zero_mean_what_was_captured() {
    let mut datagram = udp(1000, 2000, BODY);
    datagram[4..6].fill(0);
    assert_eq!(path_of(101, &ipv6(17, &datagram)), "");
    let mut segment = four();
    segment[2..4].fill(0);
    assert_eq!(path_of(101, &segment), "");
}

#[test]
fn snap_length_is_no_malformation() {
    let frame = ethernet(0x0800, &ipv4(17, &udp(1000, 2000, &[7; 500])));
    let mut decoder = Decoder::default();
    let Outcome::Packet(packet) = decoder.decode(1, at(0), &frame[..96], frame.len() as u32) else {
        panic!()
    };
    assert!(packet.truncated);
    assert_eq!(packet.transport, Transport::Udp { payload: &[7; 54], declared_len: 500 });
    assert_eq!(packet.wire_len, 542);

    // A UDP length beyond its IP packet is a sender's word, and cuts nothing.
    let mut datagram = udp(1000, 2000, &[8; 500]);
    datagram[4..6].copy_from_slice(&60_000_u16.to_be_bytes());
    let frame = ethernet(0x0800, &ipv4(17, &datagram));
    let outcome = decoder.decode(1, at(0), &frame, frame.len() as u32);
    let Outcome::Packet(packet) = outcome else { panic!("{outcome:?}") };
    assert!(!packet.truncated);
    assert_eq!(packet.transport, Transport::Udp { payload: &[8; 500], declared_len: 500 });

    // TCP whose options are cut.
    let mut tcp = [0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0x18, 4, 0, 0, 0, 0, 0].to_vec();
    tcp.extend([1; 112]);
    let frame = ipv4(6, &tcp);
    let Outcome::Packet(packet) = decoder.decode(101, at(0), &frame[..44], frame.len() as u32) else {
        panic!()
    };
    let flags = TcpFlags::PSH | TcpFlags::ACK;
    let expected = Transport::Tcp {
        sequence: 1,
        acknowledgment: 2,
        flags,
        window: 1024,
        payload: &[],
        declared_len: 100,
    };
    assert_eq!(packet.transport, expected);
    assert!(packet.truncated);
}

#[test]
fn extension_headers_are_walked_and_bounded() {
    let datagram = udp(1000, 2000, BODY);
    let chain =
        cat(&[&[60, 0, 1, 4, 0, 0, 0, 0], &[44, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 0, 0, 0, 0, 0, 1], &datagram]);
    assert_eq!(path_of(101, &ipv6(0, &chain)), "", "an atomic fragment is whole");
    let authenticated = cat(&[&[17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], &datagram]);
    assert_eq!(path_of(101, &ipv4(51, &authenticated)), "");
    let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(20);
    assert_eq!(outcome_name(101, &ipv6(60, &endless)), "Undecodable(ExtensionChain)");
}

/// `datagram` in IPv4 fragments of `size` bytes.
fn fragments(protocol: u8, id: u16, datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<_> = datagram.chunks(size).collect();
    let last = pieces.len() - 1;
    let more = |index| if index < last { 0x2000 } else { 0 };
    let place = |index| (index * size / 8) as u16;
    pieces.iter().enumerate().map(|(i, piece)| ipv4_id(protocol, id, more(i) | place(i), piece)).collect()
}

#[test]
fn fragments_come_together_in_any_order() {
    let body: Vec<u8> = (0..3000).map(|n| n as u8).collect();
    let datagram = udp(1000, 2000, &body);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let frames = fragments(17, 5, &datagram, 800);
        let mut decoder = Decoder::default();
        for (count, index) in order.into_iter().enumerate() {
            let frame = &frames[index];
            match decoder.decode(101, at(0), frame, frame.len() as u32) {
                Outcome::Fragment => assert!(count < 3),
                Outcome::Packet(packet) => {
                    assert_eq!(count, 3);
                    assert_eq!(packet.transport, Transport::Udp { payload: &body, declared_len: 3000 });
                    assert_eq!(packet.wire_len, frames.iter().map(|f| f.len() as u32).sum::<u32>());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(decoder.counters().datagrams_pending, 0);
        // The mirror's second copy of all of it, right after.
        let again = decoder.decode(101, at(9), &frames[0], frames[0].len() as u32);
        assert!(matches!(again, Outcome::Duplicate(Duplicate::Fragment)), "{again:?}");
    }
}

#[test]
fn fragmented_tunnel_holding_a_fragmented_packet_is_opened() {
    let body: Vec<u8> = (0..900).map(|n| n as u8).collect();
    let inner = fragments(17, 6, &udp(1000, 2000, &body), 600);
    let mut decoder = Decoder::default();
    let mut outcomes = Vec::new();
    for (index, packet) in inner.iter().enumerate() {
        let mut outer =
            cat(&[&[0x30, 0xff], &(packet.len() as u16).to_be_bytes(), &[0, 0, 0x12, 0x34], packet]);
        outer = udp(2152, 2152, &outer);
        for frame in fragments(17, 50 + index as u16, &outer, 200) {
            let outcome = decoder.decode(101, at(0), &frame, frame.len() as u32);
            outcomes.push(format!("{outcome:?}"));
        }
    }
    let last =
        "Packet(10.0.0.1:1000 > 10.0.0.2:2000 Udp(900 of 900 bytes) in gtp-u 0x1234 (10.0.0.1 > 10.0.0.2))";
    assert_eq!(outcomes, [["Fragment"; 5].as_slice(), &[last]].concat());
}

#[test]
fn ipv6_fragments_come_together() {
    let datagram = udp(1000, 2000, BODY);
    let mut decoder = Decoder::default();
    let first = ipv6(44, &cat(&[&[17, 0, 0, 1, 0, 0, 0, 9], &datagram[..8]]));
    let second = ipv6(44, &cat(&[&[17, 0, 0, 8, 0, 0, 0, 9], &datagram[8..]]));
    assert!(matches!(decoder.decode(101, at(0), &second, 0), Outcome::Fragment));
    let Outcome::Packet(packet) = decoder.decode(101, at(0), &first, 0) else { panic!() };
    assert_eq!(packet.transport.payload(), BODY);
    assert_eq!(packet.destination, "[2001:db8::2]:2000".parse().unwrap());
}

#[test]
fn bytes_that_came_first_stay() {
    let datagram = udp(1000, 2000, &[1; 24]);
    let mut evil = datagram[8..24].to_vec();
    evil.fill(9);
    let mut decoder = Decoder::default();
    let frames = [
        ipv4_id(17, 5, 0x2000, &datagram[..16]),
        // Eight of its sixteen bytes are there already.
        ipv4_id(17, 5, 0x2001, &evil),
        ipv4_id(17, 5, 0x2000, &datagram[..16]),
        ipv4_id(17, 5, 0x0003, &datagram[24..]),
    ];
    let mut payload = Vec::new();
    for frame in &frames {
        if let Outcome::Packet(packet) = decoder.decode(101, at(0), frame, 0) {
            payload = packet.transport.payload().to_vec();
        }
    }
    assert_eq!(payload, cat(&[&[1; 8], &[9; 8], &[1; 8]]));
    assert_eq!(decoder.counters().fragments_overlapping, 1);
    assert_eq!(decoder.counters().fragments_repeated, 1);
}

#[test]
fn fragments_that_no_host_takes_are_counted() {
    for (fragment, payload, name) in [
        (0x2000, &[0; 12][..], "FragmentInvalid"),
        (0x3fff, &[0; 16][..], "FragmentInvalid"),
        (0x2000, &[][..], "FragmentInvalid"),
    ] {
        assert_eq!(outcome_name(101, &ipv4_id(17, 1, fragment, payload)), format!("Undecodable({name})"));
    }
    let mut decoder = Decoder::default();
    let frame = ipv4_id(17, 1, 0x2000, &[0; 64]);
    let cut = decoder.decode(101, at(0), &frame[..60], 84);
    assert!(matches!(cut, Outcome::Undecodable(Reason::FragmentTruncated)));
}

#[test]
fn waiting_fragments_are_bounded_in_time_and_number() {
    let mut decoder = Decoder::default();
    let first = |id| ipv4_id(17, id, 0x2000, &[0; 64]);
    decoder.decode(101, at(0), &first(1), 0);
    decoder.decode(101, at(31_000_000_000), &first(2), 0);
    assert_eq!(decoder.counters().datagrams_timed_out, 1);
    assert_eq!(decoder.counters().first_fragments_lost, 1);
    for id in 0..5000 {
        decoder.decode(101, at(31_000_000_000), &first(10 + id), 0);
    }
    let counters = decoder.counters();
    assert_eq!(counters.datagrams_pending, defrag::MAX_PENDING as u64);
    assert_eq!(counters.datagrams_evicted, 5001 - defrag::MAX_PENDING as u64);
    // Each of these takes 64 KiB, for eight bytes sent.
    let mut decoder = Decoder::default();
    for id in 0..400 {
        decoder.decode(101, at(0), &ipv4_id(17, id, 0x3ffd, &[0; 8]), 0);
    }
    assert!(decoder.counters().datagrams_pending * 65_512 <= defrag::MAX_BYTES as u64);
    assert!(decoder.counters().datagrams_evicted > 0);
}

/// Decodes frames at these nanoseconds and gives what became of each: P(acket) or the kind of duplicate.
fn verdicts(frames: &[(i64, Vec<u8>)]) -> Vec<String> {
    let mut decoder = Decoder::default();
    frames
        .iter()
        .map(|(nanos, frame)| match decoder.decode(1, at(*nanos), frame, frame.len() as u32) {
            Outcome::Packet(_) => "P".to_owned(),
            Outcome::Duplicate(kind) => format!("{kind:?}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn with_ttl(mut frame: Vec<u8>, ttl: u8) -> Vec<u8> {
    frame[22] = ttl;
    frame
}

#[test]
fn second_copies_are_known_by_their_identification() {
    let packet = ipv4_id(17, 7, 0, &udp(1000, 2000, BODY));
    let frame = ethernet(0x0800, &packet);
    let tagged = ethernet(0x8100, &cat(&[&[0, 5, 8, 0], &packet]));
    let resent = ethernet(0x0800, &ipv4_id(17, 8, 0, &udp(1000, 2000, BODY)));
    let frames = [
        (0, frame.clone()),
        (4_000_000, frame.clone()),
        (4_000_000, tagged),
        (4_000_000, with_ttl(frame.clone(), 63)),
        (4_000_001, resent),
        (9_000_000, frame.clone()),
    ];
    assert_eq!(verdicts(&frames), ["P", "Identical", "OtherPath", "Routed", "P", "P"]);
}

#[test]
fn repeated_datagram_without_identification_is_passed_on() {
    let frame = ethernet(0x0800, &ipv4_id(17, 0, 0x4000, &udp(1000, 2000, BODY)));
    let v6 = ethernet(0x86dd, &six());
    let frames = [(0, frame.clone()), (100, frame.clone()), (0, v6.clone()), (100, v6)];
    assert_eq!(verdicts(&frames), ["P", "P", "P", "P"], "an application may do so");
    let frames =
        [(0, frame.clone()), (2_000_000, with_ttl(frame.clone(), 63)), (2_000_000, with_ttl(frame, 30))];
    assert_eq!(verdicts(&frames), ["P", "Routed", "P"]);
    let mut segment = vec![0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 4, 0, 0, 0, 0, 0];
    let pure = ethernet(0x86dd, &ipv6(6, &segment));
    segment.extend(BODY);
    let data = ethernet(0x86dd, &ipv6(6, &segment));
    let frames = [(0, data.clone()), (500_000, data), (0, pure.clone()), (1000, pure)];
    assert_eq!(verdicts(&frames), ["P", "Identical", "P", "P"], "a bare ACK may be repeated at once");
}

#[test]
fn mirror_that_is_known_to_double_needs_no_further_proof() {
    let mut frames = Vec::new();
    for id in 1..200 {
        let frame = ethernet(0x0800, &ipv4_id(17, id, 0, &udp(1000, 2000, BODY)));
        frames.extend([(i64::from(id) * 100_000, frame.clone()), (i64::from(id) * 100_000, frame)]);
    }
    let v6 = ethernet(0x86dd, &six());
    frames.extend([(30_000_000, v6.clone()), (30_000_100, v6)]);
    assert_eq!(verdicts(&frames)[frames.len() - 2..], ["P", "Identical"]);
    let mut off = Decoder::new(Config { drop_duplicates: false, ..Config::default() });
    assert!(frames.iter().all(|(n, f)| matches!(off.decode(1, at(*n), f, 0), Outcome::Packet(_))));
}

#[test]
fn two_packets_of_one_identification_differ_by_their_payload() {
    let one = ethernet(0x0800, &ipv4_id(17, 1, 0, &udp(1000, 2000, &[1; 40])));
    let two = ethernet(0x0800, &ipv4_id(17, 1, 0, &udp(1000, 2000, &[2; 40])));
    assert_eq!(verdicts(&[(0, one), (10, two)]), ["P", "P"]);
}

#[test]
fn every_prefix_is_an_outcome() {
    let frames = link_frames().into_iter().chain(tunnel_frames().into_iter().map(|(_, frame)| (1, frame)));
    for (link_type, frame) in frames {
        for length in 0..frame.len() {
            for original_len in [0, frame.len()] {
                let mut decoder = Decoder::default();
                let outcome = decoder.decode(link_type, at(0), &frame[..length], original_len as u32);
                assert!(!matches!(outcome, Outcome::Duplicate(_) | Outcome::Fragment), "{outcome:?}");
            }
        }
    }
}

/// Source, destination and payload by etherparse's own lax reading, where it finds UDP or TCP.
fn oracle(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let (source, destination) = match packet.net? {
        LaxNetSlice::Ipv4(ip) => {
            (IpAddr::from(ip.header().source_addr()), IpAddr::from(ip.header().destination_addr()))
        }
        LaxNetSlice::Ipv6(ip) => {
            (IpAddr::from(ip.header().source_addr()), IpAddr::from(ip.header().destination_addr()))
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let (ports, payload) = match packet.transport? {
        TransportSlice::Udp(udp) => ((udp.source_port(), udp.destination_port()), udp.payload().to_vec()),
        TransportSlice::Tcp(tcp) => ((tcp.source_port(), tcp.destination_port()), tcp.payload().to_vec()),
        _ => return None,
    };
    Some((SocketAddr::new(source, ports.0), SocketAddr::new(destination, ports.1), payload))
}

fn plain() -> Decoder {
    Decoder::new(Config { drop_duplicates: false, open_tunnels: false })
}

/// Frames that etherparse wrote.
fn built() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..100);
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<(u16, u16, u8)>(), 0_u8..12, any::<(u32, u16)>(), body)
        .prop_map(|(source, destination, (from, to, ttl), shape, (number, window), body)| {
            let link = PacketBuilder::ethernet2([1; 6], [2; 6]);
            let short = |a: [u8; 16]| [a[0], a[1], a[2], a[3]];
            let vlan = etherparse::VlanId::try_new(u16::from(ttl)).unwrap();
            let ip = match shape % 6 {
                0 => link.ipv4(short(source), short(destination), ttl),
                1 => link.ipv6(source, destination, ttl),
                2 => link.single_vlan(vlan).ipv4(short(source), short(destination), ttl),
                3 => link.single_vlan(vlan).ipv6(source, destination, ttl),
                4 => link.double_vlan(vlan, vlan).ipv4(short(source), short(destination), ttl),
                _ => link.double_vlan(vlan, vlan).ipv6(source, destination, ttl),
            };
            let mut frame = Vec::new();
            if shape < 6 {
                ip.udp(from, to).write(&mut frame, &body).unwrap();
            } else {
                let tcp = ip.tcp(from, to, number, window).options_raw(&[1; 8]).unwrap();
                tcp.write(&mut frame, &body).unwrap();
            }
            frame
        })
}

/// The same frame through the walk alone.
fn slow_and_fast_agree(frame: &[u8], original_len: u32) {
    let mut fast_path = Path::EMPTY;
    let span = Span::new(frame, original_len as usize);
    let Some(fast) = fast::ethernet(span, &mut fast_path, true) else { return };
    let mut slow_path = Path::EMPTY;
    let End::Found(slow) = walk(Next::Link(1, span), &mut slow_path, true) else { panic!("only fast") };
    assert_eq!(
        (fast.source, fast.destination, fast.transport),
        (slow.source, slow.destination, slow.transport)
    );
    assert_eq!((fast.checksum, fast.truncated, fast_path), (slow.checksum, slow.truncated, slow_path));
    assert_eq!(
        (fast.ip.ttl, fast.ip.id, fast.ip.payload_len),
        (slow.ip.ttl, slow.ip.id, slow.ip.payload_len)
    );
}

#[test]
fn the_common_frame_is_read_at_once_and_a_tunnel_is_not() {
    let frame = |to: u16, is_tcp: bool| {
        let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [192, 0, 2, 1], 64);
        let mut frame = Vec::new();
        if is_tcp {
            ip.tcp(20_001, to, 1, 2).write(&mut frame, b"body").unwrap();
        } else {
            ip.udp(20_001, to).write(&mut frame, b"body").unwrap();
        }
        frame
    };
    let is_fast = |frame: &[u8], tunnels| {
        fast::ethernet(Span::new(frame, frame.len()), &mut Path::EMPTY.clone(), tunnels).is_some()
    };
    for (to, is_tcp, tunnels, expected) in [
        (4000, false, true, true),
        (4789, false, true, false),
        (4789, false, false, true),
        (4789, true, true, true),
    ] {
        assert_eq!(is_fast(&frame(to, is_tcp), tunnels), expected, "{to} {is_tcp} {tunnels}");
    }
}

proptest! {
    #[test]
    fn never_panics(link in 0..LINK_TYPES.len(), data in proptest::collection::vec(any::<u8>(), 0..200), original in any::<u32>()) {
        let mut decoder = Decoder::default();
        decoder.decode(LINK_TYPES[link], at(0), &data, original);
        decoder.decode(LINK_TYPES[link], at(1), &data, original);
    }

    #[test]
    fn damaged_frames_never_panic(
        (link_type, frame) in prop::sample::select(
            link_frames().into_iter().chain(tunnel_frames().into_iter().map(|(_, frame)| (1, frame))).collect::<Vec<_>>()
        ).prop_flat_map(|(link_type, frame)| (Just(link_type), near([frame]))),
        original in any::<u16>(),
    ) {
        slow_and_fast_agree(&frame, u32::from(original));
        Decoder::default().decode(link_type, at(0), &frame, u32::from(original));
    }

    #[test]
    fn frames_of_etherparse_are_read_as_etherparse_reads_them(frame in built(), cut in 0_usize..40) {
        let kept = &frame[..frame.len() - cut.min(frame.len())];
        slow_and_fast_agree(kept, frame.len() as u32);
        let mut decoder = plain();
        let ours = match decoder.decode(1, at(0), kept, frame.len() as u32) {
            Outcome::Packet(packet) if !matches!(packet.transport, Transport::Other { .. }) => {
                Some((packet.source, packet.destination, packet.transport.payload().to_vec()))
            }
            _ => None,
        };
        // We read a TCP header whose options are cut; etherparse does not.
        if let Some(theirs) = oracle(kept) {
            prop_assert_eq!(ours, Some(theirs));
        } else if let Some((_, _, payload)) = ours {
            prop_assert!(payload.is_empty());
        }
    }

    #[test]
    fn random_fragments_never_panic(pieces in proptest::collection::vec((0_u16..0x40, any::<bool>(), 0_usize..70), 1..40)) {
        let mut decoder = Decoder::default();
        for (place, more, length) in pieces {
            let fragment = place | if more { 0x2000 } else { 0 };
            decoder.decode(101, at(0), &ipv4_id(17, 3, fragment, &vec![1; length]), 0);
        }
    }
}
