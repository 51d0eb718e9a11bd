//! Signalling as programs write it, cut at every place, with the key in it.

use std::io::Write as _;

use super::*;
use crate::observe::facts::Form;

const KEY: [u8; 16] = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
const TEXT: &[u8] = b"{\"evt\":7938,\"body\":{\"encryptKey\":\"ABEiM0RVZneImaq7zN3u_w\"}}";

/// Feeds both ways in pieces of `piece` bytes, each its own packet; the packet that showed the key, and its place.
fn found(turns: &[(Direction, Vec<u8>)], piece: usize) -> Option<(u64, Form, String)> {
    let mut finder = Finder::new();
    let mut frame = 0;
    for (direction, bytes) in turns {
        for part in bytes.chunks(piece) {
            frame += 1;
            finder.data(*direction, PacketRef::new(0, frame), part);
        }
    }
    key(finder)
}

fn key(finder: Finder) -> Option<(u64, Form, String)> {
    let mut opened = Opened::default();
    finder.finish(&mut opened);
    let hit = opened.candidates.into_iter().find(|one| one.value.as_slice() == KEY)?;
    Some((hit.packet.frame(), hit.form, hit.place))
}

fn encrypt_key(hit: Option<(u64, Form, String)>) -> bool {
    hit.is_some_and(|(_, form, place)| (form, place.as_str()) == (Form::Base64Url, "JSON field encryptKey"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    coder.write_all(bytes).expect("memory");
    coder.finish().expect("memory")
}

fn response(fields: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), body].concat()
}

#[test]
fn bodies_of_http_1_are_unwrapped_however_they_are_cut() {
    let request = (Direction::Forward, b"GET /join HTTP/1.1\r\nHost: zoom.us\r\n\r\n".to_vec());
    let packed = gzip(TEXT);
    let (head, tail) = packed.split_at(20);
    let chunked = [
        format!("{:x}\r\n", head.len()).as_bytes(),
        head,
        b"\r\n",
        format!("{:x}\r\n", tail.len()).as_bytes(),
        tail,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let answers = [
        response(&format!("Content-Length: {}\r\n", TEXT.len()), TEXT),
        response(&format!("Content-Length: {}\r\nContent-Encoding: gzip\r\n", packed.len()), &packed),
        response("Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", &chunked),
        response("", TEXT),
    ];
    for answer in answers {
        for piece in [1, 7, 10_000] {
            let turns = [request.clone(), (Direction::Reverse, answer.clone())];
            assert!(encrypt_key(found(&turns, piece)), "{piece}: {}", String::from_utf8_lossy(&answer));
        }
    }
}

#[test]
fn two_responses_on_one_connection_are_both_read() {
    let first = response(&format!("Content-Length: {}\r\n", 5), b"hello");
    let second =
        response(&format!("Content-Length: {}\r\nContent-Encoding: gzip\r\n", gzip(TEXT).len()), &gzip(TEXT));
    assert!(encrypt_key(found(&[(Direction::Reverse, [first, second].concat())], 50)));
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn bodies_of_http_2_are_unwrapped_and_streams_kept_apart() {
    let packed = gzip(TEXT);
    let (head, tail) = packed.split_at(20);
    let answer = [
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &[0x88]),
        frame(0, 0, 1, head),
        frame(0, 8, 3, &[1, b'x', 0]),
        frame(0, 1, 1, tail),
    ]
    .concat();
    for piece in [1, 11, 10_000] {
        let client = [crate::proto::http::two::PREFACE, &frame(4, 0, 0, &[])].concat();
        let turns = [(Direction::Forward, client), (Direction::Reverse, answer.clone())];
        assert!(encrypt_key(found(&turns, piece)), "{piece}");
    }
}

fn socket(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("small");
    let mut out = vec![first, length | if mask.is_some() { 0x80 } else { 0 }];
    let mut payload = payload.to_vec();
    if let Some(mask) = mask {
        out.extend(mask);
        crate::proto::http::websocket::unmask(mask, 0, &mut payload);
    }
    out.extend(payload);
    out
}

#[test]
fn messages_of_websocket_are_unmasked_unfolded_and_joined() {
    let ask = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec();
    let agree = |extension: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extension}\r\n"
        )
        .into_bytes()
    };
    let mut coder = flate2::Compress::new(flate2::Compression::best(), false);
    let mut folded = Vec::with_capacity(200);
    coder.compress_vec(TEXT, &mut folded, flate2::FlushCompress::Sync).expect("memory");
    let folded = folded.strip_suffix(&[0, 0, 0xff, 0xff]).expect("a sync flush");
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let (head, tail) = TEXT.split_at(40);
    let from_server = [
        (
            agree(""),
            [socket(0x01, None, head), socket(0x89, None, b"ping"), socket(0x80, None, tail)].concat(),
        ),
        (agree(deflate), socket(0xc1, None, folded)),
    ];
    for (head, message) in from_server {
        for piece in [1, 13, 10_000] {
            let turns = [
                (Direction::Forward, ask.clone()),
                (Direction::Reverse, [head.clone(), message.clone()].concat()),
            ];
            assert!(encrypt_key(found(&turns, piece)), "{piece}");
        }
    }
    let client = socket(0x81, Some([1, 2, 3, 4]), TEXT);
    let turns = [(Direction::Forward, ask), (Direction::Reverse, agree("")), (Direction::Forward, client)];
    assert_eq!(found(&turns, 10_000).map(|(packet, ..)| packet), Some(3));
}

#[test]
fn anything_else_is_searched_as_it_is_and_the_packet_is_the_one_that_completed_the_value() {
    let whole = [&[0, 0, 1, 0x42][..], TEXT].concat();
    let hit = found(&[(Direction::Reverse, whole.clone())], 20);
    // The value ends at byte 4 + 54 of the stream: in the third piece of 20.
    assert_eq!(hit.map(|(packet, ..)| packet), Some(3));
    let raw = [&[0xff, 0xfe, 0, 16][..], &KEY, &[0xff; 9]].concat();
    assert!(found(&[(Direction::Reverse, raw)], 1_000).is_some_and(|(_, form, _)| form == Form::Raw));
}

#[test]
fn bodies_of_http_3_are_unwrapped() {
    let folded = gzip(TEXT);
    let length = u8::try_from(folded.len()).expect("small");
    let bytes = [&[1, 2, 0x88, 0x99, 0, 0x40, length][..], &folded].concat();
    for piece in [1, 9, 1_000] {
        let mut finder = Finder::new();
        for (number, part) in bytes.chunks(piece).enumerate() {
            let packet = PacketRef::new(0, u64::try_from(number).expect("small") + 1);
            finder.stream(Direction::Reverse, 0, packet, part);
        }
        assert!(encrypt_key(key(finder)), "{piece}");
    }
}

/// RFC 8878 section 3.1.1: a window of 2 MiB, and the letter A 131072 times in each block, of which none is the last.
fn endless(blocks: usize) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, 11 << 3][..], &[0x02, 0, 0x10, b'A'].repeat(blocks)].concat()
}

fn cut(finder: Finder) -> u32 {
    finder.finish(&mut Opened::default()).map_or(0, |(bodies, _)| bodies)
}

#[test]
fn many_bodies_that_never_end_hold_little_and_the_others_are_read() {
    let mut finder = Finder::new();
    let packed = gzip(TEXT);
    let (head, tail) = packed.split_at(20);
    let answer: Vec<u8> = (0..40).flat_map(|number| frame(0, 0, 2 * number + 1, &endless(4))).collect();
    for bytes in [frame(4, 0, 0, &[]), answer, frame(0, 0, 99, head), frame(0, 1, 99, tail)] {
        finder.data(Direction::Reverse, PacketRef::new(0, 1), &bytes);
        assert!(finder.bytes() < 2 << 20, "{}", finder.bytes());
    }
    for number in 0..40 {
        finder.stream(Direction::Reverse, 4 * number + 3, PacketRef::new(0, 2), &endless(4));
    }
    assert!((1 << 20..4 << 20).contains(&finder.bytes()), "{}", finder.bytes());
    finder.give_up();
    assert_eq!(finder.bytes(), 0);
    assert_eq!(finder.kept.cut.map(|(bodies, _)| bodies), Some(80), "each once");
    assert!(encrypt_key(key(finder)));
}

#[test]
fn what_was_given_up_holds_nothing_whatever_it_was() {
    let heads: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n\x1b\x74\x00",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\xff\xfe",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        b"\xff no protocol of which anything is known",
    ];
    for head in heads {
        let mut finder = Finder::new();
        finder.data(Direction::Reverse, PacketRef::new(0, 1), head);
        assert!(finder.bytes() > 0, "{}", String::from_utf8_lossy(head));
        finder.give_up();
        assert_eq!(finder.bytes(), 0, "{}", String::from_utf8_lossy(head));
    }
}

#[test]
fn beyond_what_a_flow_may_unfold_to_nothing_is_decoded() {
    let packed = gzip(TEXT);
    let body = response(&format!("Content-Length: {}\r\nContent-Encoding: gzip\r\n", packed.len()), &packed);
    for (before, is_read) in [(UNFOLDED_CAP - 1, true), (UNFOLDED_CAP, false)] {
        let mut finder = Finder::new();
        finder.kept.unfolded = before;
        finder.data(Direction::Reverse, PacketRef::new(0, 1), &body);
        assert_eq!(finder.kept.cut.map(|(bodies, _)| bodies), Some(1));
        assert_eq!(encrypt_key(key(finder)), is_read);
    }
    let mut finder = Finder::new();
    finder.data(Direction::Reverse, PacketRef::new(0, 1), &body);
    assert_eq!((finder.kept.unfolded, cut(finder)), (TEXT.len(), 0));
}

#[test]
fn values_beyond_the_cap_are_counted() {
    let mut finder = Finder::new();
    for number in 0..KEYS_CAP + 7 {
        let value = hex_of(number);
        finder.data(Direction::Forward, PacketRef::new(0, 1), format!("\x01 {value} ").as_bytes());
    }
    let mut opened = Opened::default();
    finder.finish(&mut opened);
    assert_eq!((opened.candidates.len(), opened.candidates_left_out), (KEYS_CAP, 7));
}

#[test]
fn a_stream_that_only_began_as_a_websocket_does_is_searched_as_it_is() {
    // A text frame of two bytes, then a reserved opcode.
    let data = [&[0x81, 2, b'h', b'i', 0xf3][..], TEXT].concat();
    let answer = [frame(4, 0, 0, &[]), frame(0, 1, 1, &data)].concat();
    assert!(encrypt_key(found(&[(Direction::Reverse, answer)], 10_000)));
}

#[test]
fn what_is_remembered_of_values_has_a_cap() {
    let mut kept = Kept::default();
    for number in 0..KNOWN_CAP + 3 {
        let value = zeroize::Zeroizing::new(number.to_be_bytes().repeat(2));
        let found = Found { value, form: Form::Raw, place: String::new(), end: 0 };
        kept.take(found, PacketRef::default(), Direction::Forward);
    }
    assert_eq!((kept.known.len(), kept.candidates.len()), (KNOWN_CAP, KEYS_CAP));
}

fn hex_of(number: usize) -> String {
    format!("{number:032x}")
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        turns in proptest::collection::vec(
            (proptest::bool::ANY, proptest::collection::vec(proptest::num::u8::ANY, 0..300)), 0..8),
        head in 0_usize..4,
    ) {
        let mut finder = Finder::new();
        let heads: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            crate::proto::http::two::PREFACE,
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            b"",
        ];
        finder.data(Direction::Forward, PacketRef::new(0, 1), heads[head]);
        for (forward, bytes) in turns {
            let direction = if forward { Direction::Forward } else { Direction::Reverse };
            finder.data(direction, PacketRef::new(0, 2), &bytes);
            finder.stream(direction, u64::from(forward) * 4, PacketRef::new(0, 3), &bytes);
        }
        finder.finish(&mut Opened::default());
    }
}
