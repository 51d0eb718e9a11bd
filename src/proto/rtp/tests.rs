use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;

/// Made by hand after RFC 3550 §5.1: two contributing sources, a one-byte extension (RFC 8285 §4.2: id 1 of
/// one byte, one byte of padding, id 3 of four), payload "ab", two bytes of padding.
const FULL: [u8; 40] = [
    0xb2, 0xe0, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 2,
    0x10, 0xaa, 0x00, 0x33, 1, 2, 3, 4, b'a', b'b', 0, 0, 0, 0, 0, 6,
];

#[test]
fn every_field_of_a_full_header_is_read() {
    let header = Header::parse(&FULL).unwrap();
    assert_eq!((header.payload_type, header.marker, header.sequence), (96, true, 0x1234));
    assert_eq!((header.timestamp, header.ssrc), (160, 0xdead_beef));
    assert_eq!(header.csrcs().collect::<Vec<_>>(), [1, 2]);
    let elements: Vec<_> = header.elements().map(|element| (element.id, element.data)).collect();
    assert_eq!(elements, [(1, &[0xaa][..]), (3, &[1, 2, 3, 4][..])]);
    assert_eq!((header.padding_length(), header.payload()), (Some(6), &b"ab"[..]));
    let seen = peek(&FULL).unwrap();
    assert_eq!(seen.header_length, 32);
    assert_eq!((seen.payload_type, seen.marker, seen.sequence), (96, true, 0x1234));
    assert_eq!((seen.timestamp, seen.ssrc), (160, 0xdead_beef));
    assert_eq!((probe(&FULL), probe_clear(&FULL)), (Probe::Maybe, Probe::Maybe));
}

#[test]
fn two_byte_elements_and_the_stop_id_are_read() {
    let two = Elements::new(0x1000, &[1, 0, 0, 0, 200, 2, 7, 8]);
    assert_eq!(two.map(|element| (element.id, element.data.len())).collect::<Vec<_>>(), [(1, 0), (200, 2)]);
    assert_eq!(Elements::new(0xbede, &[0xf0, 0, 0x10, 1]).count(), 0);
    assert_eq!(Elements::new(0xbede, &[0x10, 1, 0x25, 1]).count(), 1);
    assert_eq!(Elements::new(0x1234, &[0x10, 1]).count(), 0);
}

#[test]
fn rtcp_types_and_other_versions_are_not_rtp() {
    for second in [192_u8, 200, 207, 223] {
        let mut packet = FULL;
        packet[1] = second;
        assert_eq!(peek(&packet), None, "{second}");
    }
    let mut packet = FULL;
    packet[0] = 0x40;
    assert_eq!(probe(&packet), Probe::No);
    assert_eq!(Header::parse(&packet).unwrap_err().field(), "RTP version");
}

#[test]
fn padding_count_that_cannot_be_is_reported_not_believed() {
    let mut packet = FULL;
    packet[39] = 200;
    let header = Header::parse(&packet).unwrap();
    assert_eq!((header.padding_length(), header.payload().len()), (None, 8));
    assert_eq!((probe(&packet), probe_clear(&packet)), (Probe::Maybe, Probe::No));
}

#[test]
fn every_prefix_of_the_header_is_truncated() {
    for cut in 0..32 {
        assert!(Header::parse(&FULL[..cut]).unwrap_err().is_truncated(), "{cut}");
        assert_eq!(peek(&FULL[..cut]), None, "{cut}");
    }
}

#[test]
fn static_types_are_those_of_rfc_3551() {
    let row = static_type(9).unwrap();
    assert_eq!((row.name, row.clock_hz, row.kind), ("G722", 8_000, Kind::Audio));
    assert_eq!(static_type(34).unwrap().kind, Kind::Video);
    assert_eq!((static_type(35), static_type(96)), (None, None));
}

proptest! {
    #[test]
    fn any_packet_never_panics_and_peek_agrees_with_parse(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120), version in any::<bool>()
    ) {
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = *first & 0x3f | 0x80;
        }
        let parsed = Header::parse(&bytes);
        if let Some(seen) = peek(&bytes) {
            let header = parsed.unwrap();
            prop_assert_eq!(seen.ssrc, header.ssrc);
            prop_assert_eq!(seen.header_length + header.body.len(), bytes.len());
        }
        if let Ok(header) = parsed {
            let _ = (header.elements().count(), header.csrcs().count(), header.payload());
        }
        let _ = (probe(&bytes), probe_clear(&bytes));
    }
}

proptest! {
    #[test]
    fn near_a_packet_header_payload_and_padding_make_the_packet(packet in near([FULL])) {
        let _ = (probe(&packet), probe_clear(&packet));
        if let Some(seen) = peek(&packet) {
            let header = Header::parse(&packet).unwrap();
            prop_assert_eq!(seen.header_length + header.body.len(), packet.len());
            prop_assert_eq!(peek_known(&packet), Some(seen));
        }
        if let Some(seen) = peek_known(&packet) {
            prop_assert!((FIXED_HEADER_LENGTH..=packet.len()).contains(&seen.header_length));
        }
        if let Ok(header) = Header::parse(&packet) {
            prop_assert_eq!(header.payload().len() + header.padding_length().unwrap_or(0), header.body.len());
            let elements: usize = header.elements().map(|element| 1 + element.data.len()).sum();
            prop_assert!(12 + 4 * header.csrcs().count() + elements + header.body.len() <= packet.len());
        }
    }

    #[test]
    fn elements_of_either_form_are_what_was_written(
        written in proptest::collection::vec((1_u8..15, proptest::collection::vec(any::<u8>(), 1..17), 0_usize..3), 0..6),
        form in 0x1000_u16..0x1010,
    ) {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for (id, data, padding) in &written {
            let length = u8::try_from(data.len()).unwrap();
            one.push(id << 4 | (length - 1));
            two.extend([*id, length]);
            for bytes in [&mut one, &mut two] {
                bytes.extend(data);
                bytes.resize(bytes.len() + padding, 0);
            }
        }
        for (profile, bytes) in [(0xbede, &one), (form, &two)] {
            let read: Vec<_> = Elements::new(profile, bytes).map(|one| (one.id, one.data)).collect();
            prop_assert!(read.iter().copied().eq(written.iter().map(|(id, data, _)| (*id, data.as_slice()))));
        }
    }
}
