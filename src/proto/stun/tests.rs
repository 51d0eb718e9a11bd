use md5::{Digest, Md5};
use proptest::prelude::*;
use sha1::Sha1;

use super::*;
use crate::bytes::near::near;
use crate::proto::rtp::tshark::{self, bytes};

/// RFC 5769 §2.1.
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
    002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5\
    b2d3f249c1b571a280280004e57a3bcf";

/// RFC 5769 §2.2.
const RESPONSE_IPV4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
    002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";

/// RFC 5769 §2.3.
const RESPONSE_IPV6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41\
    80280004c8fb0b4c";

/// RFC 5769 §2.4.
const REQUEST_LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383\
    e382afe382b900000015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e\
    6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

/// Password of RFC 5769 §2.1 to §2.3.
const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

const TRANSACTION: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

/// RFC 2104 over SHA-1; keys here are shorter than a block.
fn hmac_sha1(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha1::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// RFC 8489 §14.5: the length field must end at the attribute itself.
fn integrity_matches(message: &Message<'_>, key: &[u8]) -> bool {
    let attribute = message.find(Attribute::MESSAGE_INTEGRITY).unwrap();
    let mut covered = message.bytes()[..attribute.offset].to_vec();
    let length = u16::try_from(attribute.offset + 24 - HEADER_LENGTH).unwrap();
    covered[2..4].copy_from_slice(&length.to_be_bytes());
    hmac_sha1(key, &covered) == attribute.value
}

#[test]
fn rfc_5769_sample_request_reads_as_printed() {
    let whole = bytes(REQUEST);
    assert_eq!((whole.len(), probe(&whole)), (108, Probe::Yes));
    let message = Message::parse(&whole).unwrap();
    assert_eq!((message.method(), message.class()), (Method::BINDING, Class::Request));
    assert!(message.has_cookie && message.is_whole());
    assert_eq!(message.transaction_id(), TRANSACTION);
    assert_eq!(message.software(), Some(&b"STUN test client"[..]));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.ice_controlled(), Some(0x932f_f9b1_5126_3b36));
    assert_eq!((message.ice_controlling(), message.use_candidate()), (None, false));
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.ufrags(), Some(("evtj", "h6vY")));
    assert!(message.has_integrity() && integrity_matches(&message, PASSWORD));
    assert_eq!(message.fingerprint_matches(), Some(true));
}

#[test]
fn rfc_5769_sample_responses_read_as_printed() {
    for (text, length, address) in [
        (RESPONSE_IPV4, 80, "192.0.2.1:32853"),
        (RESPONSE_IPV6, 92, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let whole = bytes(text);
        assert_eq!(whole.len(), length);
        let message = Message::parse(&whole).unwrap();
        assert_eq!(message.class(), Class::Success);
        assert_eq!(message.software(), Some(&b"test vector"[..]));
        assert_eq!(message.xor_mapped_address(), Some(address.parse().unwrap()));
        assert_eq!(message.reflexive_address(), message.xor_mapped_address());
        assert!(integrity_matches(&message, PASSWORD));
        assert_eq!(message.fingerprint_matches(), Some(true));
    }
}

#[test]
fn rfc_5769_long_term_request_reads_as_printed() {
    let whole = bytes(REQUEST_LONG_TERM);
    let message = Message::parse(&whole).unwrap();
    assert_eq!(whole.len(), 116);
    let name = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    assert_eq!(message.username(), Some(name.as_bytes()));
    assert_eq!(message.nonce(), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert_eq!(message.realm(), Some(&b"example.org"[..]));
    assert_eq!(message.fingerprint_matches(), None);
    let key = Md5::digest(format!("{name}:example.org:TheMatrIX"));
    assert!(integrity_matches(&message, &key));
}

#[test]
fn names_that_are_not_text_are_given_as_sent() {
    // RFC 8489 section 14: SOFTWARE of three bytes with its padding, REALM of two.
    let whole = bytes("00010010 2112a442 000000000000000000000001 80220003 41ff4200 00140002 fe430000");
    let message = Message::parse(&whole).unwrap();
    assert_eq!((message.software(), message.realm()), (Some(&b"A\xffB"[..]), Some(&b"\xfeC"[..])));
}

#[test]
fn changed_byte_breaks_the_fingerprint() {
    let mut whole = bytes(REQUEST);
    whole[30] ^= 1;
    assert_eq!(Message::parse(&whole).unwrap().fingerprint_matches(), Some(false));
}

#[test]
fn types_of_the_standards_are_told_from_those_of_vendors() {
    // RFC 8489 section 18.2 and RFC 8656 section 17: Binding and ChannelBind in their classes.
    let standard = [0x0001, 0x0101, 0x0111, 0x0011, 0x0003, 0x0113, 0x0009, 0x0109];
    assert!(standard.iter().all(|kind| MessageType(*kind).is_standard()));
    assert!([0x0800, 0x0805, 0x0200, 0x0000].iter().all(|kind| !MessageType(*kind).is_standard()));
}

#[test]
fn every_prefix_is_truncated_and_trailing_bytes_are_left_alone() {
    let mut whole = bytes(REQUEST);
    for cut in 0..whole.len() {
        assert!(Message::parse(&whole[..cut]).unwrap_err().is_truncated(), "{cut}");
        assert_eq!(probe(&whole[..cut]), Probe::No, "{cut}");
    }
    whole.extend([1, 2, 3]);
    assert_eq!(probe(&whole), Probe::Yes);
    assert_eq!(Message::parse(&whole).unwrap().bytes().len(), 108);
}

#[test]
fn zoom_exchange_without_cookie_is_read() {
    // As the captures show it: request with the digits, answer with the plain address (192.0.2.7:5000 here).
    let request =
        bytes("00010018c15dae63585d14392e582c260403bf30010100143132333435363738393031323334353637383900");
    assert_eq!(probe(&request), Probe::Maybe);
    let message = Message::parse(&request).unwrap();
    assert!(!message.has_cookie);
    assert_eq!(message.transaction_id().len(), 16);
    assert_eq!(message.find(Attribute::ZOOM_0101).unwrap().text(), Some("1234567890123456789"));
    let answer = bytes("0002000cc15dae63585d14392e582c260403bf3001030008000113 88c0000207");
    assert_eq!(probe(&answer), Probe::Maybe);
    assert_eq!(Message::parse(&answer).unwrap().reflexive_address(), Some("192.0.2.7:5000".parse().unwrap()));
}

#[test]
fn ms_turn_data_indication_has_a_plain_remote_address_and_inner_data() {
    let whole = bytes(
        "01150020c2d6764f53f1d813305855947dbe126b000f000472c64bc600120008000113 88c0000207001300 04deadbeef",
    );
    let whole = &whole[..];
    // 8 + 12 + 8 bytes of attributes: the announced length is 0x20 less one word of nothing.
    let mut fixed = whole.to_vec();
    fixed[3] = 0x1c;
    assert_eq!(probe(&fixed), Probe::Maybe);
    let message = Message::parse(&fixed).unwrap();
    assert_eq!(message.message_type, MessageType::MS_DATA_INDICATION);
    assert!(message.is_ms_turn());
    assert_eq!(message.ms_remote_address(), Some("192.0.2.7:5000".parse().unwrap()));
    assert_eq!((message.xor_peer_address(), message.xor_peer_addresses().count()), (None, 0));
    assert_eq!(message.data(), Some(&[0xde, 0xad, 0xbe, 0xef][..]));
}

#[test]
fn unpadded_attributes_are_found_by_the_walk_that_ends_right() {
    let header = [0_u8, 1, 0, 14, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let message = [&header[..], &[0, 6, 0, 5], b"hello", &[0, 0x15, 0, 1, b'n']].concat();
    let message = Message::parse(&message).unwrap();
    assert_eq!(message.padding, Padding::None);
    assert_eq!((message.username(), message.nonce()), (Some(&b"hello"[..]), Some(&b"n"[..])));
    assert!(message.is_whole());
}

#[test]
fn every_peer_of_a_permission_is_told() {
    // CreatePermission (RFC 8656 section 9.1) for 192.0.2.7:5000 and 192.0.2.8:5001, between them a LIFETIME, hidden as RFC 8489 section 14.2 has it.
    let attributes = "0012000800013 29ae112a645000d0004000002580012000800013 29be112a64a".replace(' ', "");
    let message = bytes(&format!("000800202112a442000102030405060708090a0b{attributes}"));
    let message = Message::parse(&message).unwrap();
    let peers: Vec<_> = message.xor_peer_addresses().map(|peer| peer.to_string()).collect();
    assert_eq!(peers, ["192.0.2.7:5000", "192.0.2.8:5001"]);
    assert_eq!(message.xor_peer_address().map(|peer| peer.to_string()).as_deref(), Some("192.0.2.7:5000"));
}

/// Kinds that are asked for, kinds that share a bit with one of them, and any.
fn kinds() -> impl Strategy<Value = u16> {
    const ASKED: [u16; 22] = [
        0x0001, 0x0006, 0x0009, 0x000c, 0x000d, 0x000f, 0x0012, 0x0013, 0x0014, 0x0015, 0x0016, 0x0019,
        0x0020, 0x0024, 0x0025, 0x8020, 0x8022, 0x8028, 0x8029, 0x802a, 0x802b, 0xc057,
    ];
    prop_oneof![
        3 => proptest::sample::select(&ASKED[..]),
        1 => proptest::sample::select(&ASKED[..]).prop_map(|kind| kind ^ 0x0401),
        1 => any::<u16>(),
    ]
}

proptest! {
    #[test]
    fn an_attribute_is_found_where_the_walk_comes_to_it(
        written in proptest::collection::vec((kinds(), proptest::collection::vec(any::<u8>(), 0..9)), 0..6),
        asked in proptest::collection::vec(kinds(), 1..6),
        padded: bool,
        cut in 0_usize..6,
    ) {
        let mut attributes = Vec::new();
        for (kind, value) in &written {
            attributes.extend([kind.to_be_bytes(), u16::try_from(value.len()).unwrap().to_be_bytes()].concat());
            attributes.extend(value);
            if padded {
                attributes.resize(attributes.len().next_multiple_of(4), 0);
            }
        }
        attributes.truncate(attributes.len() - cut.min(attributes.len()));
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        let message = [&[0, 1], &length[..], &[7; 16], &attributes].concat();
        let message = Message::parse(&message).unwrap();
        for kind in asked.into_iter().chain(written.iter().map(|(kind, _)| *kind)) {
            let expected = message.attributes().find(|attribute| attribute.kind.0 == kind);
            prop_assert_eq!(message.find(Attribute(kind)), expected);
        }
    }
}

#[test]
fn turn_numbers_are_read() {
    let whole = bytes(
        "000900242112a442000102030405060708090a0b000c00044000 0000000d000400000258\
         0019000411000000000900040000040 1",
    );
    let mut whole = whole;
    whole[3] = 32;
    let message = Message::parse(&whole).unwrap();
    assert_eq!(message.method(), Method::CHANNEL_BIND);
    assert_eq!((message.channel_number(), message.lifetime_s()), (Some(0x4000), Some(600)));
    assert_eq!(message.requested_transport(), Some(17));
    assert_eq!(message.error_code().map(|error| error.code), Some(401));
}

/// Captures with STUN of every dialect kept here.
const CAPTURES: [&str; 8] = [
    "stun_dtls_rtp.pcapng",
    "stun_signal.pcapng",
    "stun_zoom.pcapng",
    "teams.pcap",
    "viber.pcap",
    "wa_voice.pcap",
    "whatsapp_login_call.pcap",
    "google_meet.pcapng",
];

#[test]
fn corpus_messages_agree_with_tshark() {
    let names = [
        "udp.payload",
        "stun.type",
        "stun.att.type",
        "stun.att.ipv4",
        "stun.att.port",
        "stun.att.crc32.status",
        "stun.att.username",
        "stun.channel",
    ];
    let mut compared = 0;
    for name in CAPTURES {
        let Some(path) = tshark::capture(name) else { return };
        for row in tshark::fields(&path, "stun && udp && !icmp && !stun.channel", &names) {
            let datagram = bytes(&row[0]);
            assert_eq!(probe(&datagram), Probe::Yes, "{name} {}", row[0]);
            let message = Message::parse(&datagram).unwrap();
            let first = row[1].split(',').next().unwrap();
            assert_eq!(u32::from(message.message_type.0), tshark::number(first), "{name} {}", row[0]);
            let ours: Vec<String> = message.attributes().map(|a| format!("{:#06x}", a.kind.0)).collect();
            let theirs: Vec<&str> = row[2].split(',').filter(|text| !text.is_empty()).collect();
            // tshark lists the attributes of a relayed message as well, and loses its way where MS-TURN does
            // not pad: compare what both read.
            if theirs.len() != ours.len() {
                continue;
            }
            assert_eq!(ours, theirs, "{name} {}", row[0]);
            compared += 1;
            for address in
                [message.xor_mapped_address(), message.xor_relayed_address(), message.xor_peer_address()]
            {
                let Some(address) = address else { continue };
                assert!(row[3].contains(&address.ip().to_string()), "{name} {address} {}", row[3]);
                assert!(row[4].contains(&address.port().to_string()), "{name} {address} {}", row[4]);
            }
            if let Some(matches) = message.fingerprint_matches() {
                assert_eq!(row[5].split(',').next_back() == Some("1"), matches, "{name} {}", row[0]);
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn classic_messages_agree_with_tshark() {
    for name in ["zoom.pcap", "teams.pcap"] {
        let Some(path) = tshark::capture(name) else { return };
        let names = ["udp.payload", "classicstun.type", "classicstun.att.type"];
        let rows = tshark::fields(&path, "classicstun && udp && !icmp", &names);
        assert!(!rows.is_empty());
        for row in rows {
            let datagram = bytes(&row[0]);
            assert_eq!(probe(&datagram), Probe::Maybe, "{name} {}", row[0]);
            let message = Message::parse(&datagram).unwrap();
            let first = row[1].split(',').next().unwrap();
            assert_eq!(u32::from(message.message_type.0), tshark::number(first));
            let ours: Vec<String> = message.attributes().map(|a| format!("{:#06x}", a.kind.0)).collect();
            assert_eq!(ours.join(","), row[2], "{name} {}", row[0]);
        }
    }
}

#[test]
fn turn_over_tcp_of_the_corpus_is_cut_where_tshark_cuts_it() {
    let Some(path) = tshark::capture("stun_dtls_rtp.pcapng") else { return };
    for port in ["50221", "3478"] {
        let filter = format!("stun && tcp.srcport == {port}");
        let rows = tshark::fields(&path, &filter, &["tcp.payload", "stun.type", "stun.channel"]);
        let stream = bytes(&rows.iter().map(|row| row[0].as_str()).collect::<String>());
        let theirs: Vec<u32> = rows
            .iter()
            .map(|row| if row[2].is_empty() { &row[1] } else { &row[2] })
            .map(|cell| tshark::number(cell.split(',').next().unwrap()))
            .collect();
        assert_eq!(tcp::detect(&stream), tcp::Detection::Found(tcp::Framing::Native));
        let (mut ours, mut at) = (vec![], 0);
        while let Some((frame, taken)) = tcp::next_frame(tcp::Framing::Native, &stream[at..]).unwrap() {
            ours.push(match frame {
                tcp::Frame::Stun(message) => u32::from(Message::parse(message).unwrap().message_type.0),
                tcp::Frame::ChannelData(data) => u32::from(data.channel),
                other => panic!("{other:?}"),
            });
            at += taken;
        }
        assert_eq!((ours, at), (theirs, stream.len()), "{port}");
    }
}

proptest! {
    #[test]
    fn any_datagram_never_panics(mut datagram in proptest::collection::vec(any::<u8>(), 0..160), force in any::<bool>()) {
        if let (true, Some(room)) = (force, datagram.len().checked_sub(HEADER_LENGTH)) {
            datagram[0] &= 0x3f;
            datagram[2..4].copy_from_slice(&u16::try_from(room).unwrap().to_be_bytes());
        }
        let _ = probe(&datagram);
        if let Ok(message) = Message::parse(&datagram) {
            let _ = (message.fingerprint_matches(), message.reflexive_address(), message.ufrags());
            let _ = (message.error_code(), message.channel_number(), message.xor_peer_addresses().count());
            let _ = format!("{message:?} {} {}", message.message_type, message.is_whole());
            prop_assert!(message.attributes().all(|a| a.offset + 4 + a.value.len() <= datagram.len()));
        }
    }
}

/// Every way to read an attribute.
fn read_attribute(attribute: &RawAttribute<'_>, key: [u8; 16]) {
    let _ = (
        attribute.u32("a"),
        attribute.u64("b"),
        attribute.text(),
        attribute.error_code(),
        attribute.address(),
    );
    let _ = (attribute.xor_address(&key), format!("{attribute:?}"));
}

proptest! {
    #[test]
    fn near_a_message_attributes_lie_in_it_in_order(
        datagram in near([REQUEST, RESPONSE_IPV4, RESPONSE_IPV6, REQUEST_LONG_TERM].map(bytes)),
    ) {
        let _ = probe(&datagram);
        if let Ok(message) = Message::parse(&datagram) {
            let _ = (message.fingerprint_matches(), message.reflexive_address(), message.ufrags(), message.software());
            let _ = (message.error_code(), message.channel_number(), message.xor_peer_addresses().count());
            let _ = (message.username(), message.priority(), message.ice_controlled(), message.ice_controlling());
            prop_assert!(datagram.starts_with(message.bytes()));
            let mut end = HEADER_LENGTH;
            for attribute in message.attributes() {
                prop_assert!(attribute.offset >= end);
                end = attribute.offset + 4 + attribute.value.len();
                prop_assert_eq!(message.bytes().get(attribute.offset + 4..end), Some(attribute.value));
                read_attribute(&attribute, message.xor_key());
            }
        }
    }

    #[test]
    fn attributes_are_what_was_written_in_either_padding(
        written in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..9)), 0..6),
        padded: bool,
    ) {
        let padding = if padded { Padding::Four } else { Padding::None };
        let mut bytes = Vec::new();
        for (kind, value) in &written {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend(value);
            if padded {
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
        }
        let mut walk = Attributes::new(&bytes, HEADER_LENGTH, padding);
        let read: Vec<_> = walk.by_ref().map(|one| (one.kind.0, one.value.to_vec())).collect();
        prop_assert_eq!(read, written);
        prop_assert!(walk.is_whole());
    }

    #[test]
    fn near_channel_data_what_fits_is_read_whole(
        datagram in near([&[0x40, 0x01, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0][..], &[0x4f, 0xff, 0, 3, 1, 2, 3]]),
    ) {
        let parsed = ChannelData::parse(&datagram);
        if let Ok(channel) = parsed {
            prop_assert_eq!(datagram.get(4..4 + channel.data.len()), Some(channel.data));
            prop_assert!((0x4000..0x5000).contains(&channel.channel));
        }
        prop_assert!(!ChannelData::fits(&datagram) || parsed.is_ok_and(|one| datagram.len() - one.data.len() < 8));
    }

    #[test]
    fn near_a_multiplexed_frame_header_and_payload_make_the_frame(
        input in near([[0xff, 0x10, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x7a, 0, 1]]),
    ) {
        if let Ok(frame) = ms_mux::parse(&input) {
            let length = u16::try_from(frame.payload.len() + 8).unwrap();
            let made = [&ms_mux::MAGIC.to_be_bytes()[..], &length.to_be_bytes(), &frame.session_id.to_be_bytes(), frame.payload];
            prop_assert!(input.starts_with(&made.concat()));
        }
    }
}
