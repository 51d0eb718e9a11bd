//! Properties of all readers of HTTP, near the examples of their RFCs.

use std::io::Write as _;

use proptest::prelude::*;

use super::coding::{BODY_CAP, Coding, Decoder};
use super::{one, three, two, websocket};
use crate::bytes::near::near;

/// RFC 9112 sections 2.1, 7.1 and RFC 6455 section 1.3.
const HEADS: [&str; 4] = [
    "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 51\r\nVary: Accept-Encoding\r\n\r\nHello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1a; name=value\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Extensions: \
     permessage-deflate\r\n\r\n",
];
const CHUNKS: [&str; 4] = ["1a; name=value\r\nabc", "0\r\n\r\n", "FFFFFFFFFFFFFFFF\r\n", "4\r\nWiki\r\n"];
/// RFC 6455 section 5.7: the frames as far as their payloads.
const FRAMES: [&[u8]; 5] = [
    &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
    &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
    &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
    &[0x82, 0x7e, 0x01, 0x00],
    &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0],
];
const TEXT: &[u8] = b"{\"key\":\"AAECAwQFBgcICQoLDA0ODw\",\"key\":\"AAECAwQFBgcICQoLDA0ODw\"}";

fn coded(coding: Coding, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    match coding {
        Coding::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
            out.write_all(text).and_then(|()| out.finish()).expect("memory")
        }
        Coding::Zlib => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), level);
            out.write_all(text).and_then(|()| out.finish()).expect("memory")
        }
        Coding::Deflate => {
            let mut out = flate2::write::DeflateEncoder::new(Vec::new(), level);
            out.write_all(text).and_then(|()| out.finish()).expect("memory")
        }
        Coding::Zstd => zstd::bulk::compress(text, 3).expect("memory"),
        _ => text.to_vec(),
    }
}

fn decoded(coding: Coding, body: &[u8], piece: usize) -> Vec<u8> {
    let mut decoder = Decoder::new(coding, body);
    let mut out = Vec::new();
    for piece in body.chunks(piece) {
        decoder.feed(piece, &mut |part| {
            out.extend_from_slice(part);
            true
        });
    }
    out
}

const CODINGS: [Coding; 5] = [Coding::Identity, Coding::Gzip, Coding::Zlib, Coding::Deflate, Coding::Zstd];
/// A text by Google's brotli 1.2.0, see `coding.rs`.
const BROTLI: [u8; 50] = [
    0x1b, 0x74, 0x00, 0xf8, 0x65, 0x77, 0x5e, 0xff, 0x8e, 0xcb, 0xed, 0x9b, 0x8d, 0x12, 0xa5, 0x1d, 0xf7,
    0x92, 0x0f, 0x49, 0x49, 0x12, 0x20, 0x86, 0x0d, 0x76, 0x1e, 0xd4, 0xae, 0xeb, 0xce, 0x9d, 0xea, 0x05,
    0x0b, 0x88, 0x9e, 0xf0, 0x48, 0x70, 0x4d, 0x23, 0xc9, 0xc8, 0x8c, 0xa6, 0xf0, 0x81, 0xff, 0x00,
];

/// RFC 9000 section 16: a variable-length integer in so many bytes, 1, 2, 4 or 8, into which it fits.
fn varint(value: u64, width: usize) -> Vec<u8> {
    let mark = u8::try_from(width.trailing_zeros()).expect("at most 3") << 6;
    let mut bytes = value.to_be_bytes()[8 - width..].to_vec();
    bytes[0] |= mark;
    bytes
}

proptest! {
    #[test]
    fn a_head_ends_in_what_was_read_and_needs_nothing_behind_it(bytes in near(HEADS)) {
        let _ = one::probe(&bytes);
        if let Ok(Some(head)) = one::parse_head(&bytes) {
            prop_assert!(head.length > 0 && head.length <= bytes.len());
            prop_assert_eq!(one::parse_head(&bytes[..head.length]), Ok(Some(head)));
            prop_assert_eq!(one::parse_head(&bytes[..head.length - 1]), Ok(None));
        }
    }

    #[test]
    fn the_line_ahead_of_a_chunk_ends_in_what_was_read(bytes in near(CHUNKS)) {
        if let Ok(Some((line, length))) = one::parse_chunk(&bytes) {
            prop_assert!(line <= bytes.len() && bytes[..line].ends_with(b"\r\n"));
            prop_assert_eq!(one::parse_chunk(&bytes[..line]), Ok(Some((line, length))));
        }
    }

    #[test]
    fn a_frame_header_of_http_3_is_what_was_written_in_any_width(
        (kind, wide) in (0_u64..64, 0_u32..4),
        (length, long) in (0_u64..1 << 30, 2_u32..4),
        behind in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let head = [varint(kind, 1 << wide), varint(length, 1 << long)].concat();
        let bytes = [head.as_slice(), &behind].concat();
        prop_assert_eq!(three::parse_header(&bytes), Some((kind, length, head.len())));
        prop_assert!((0..head.len()).all(|end| three::parse_header(&head[..end]).is_none()));
    }

    #[test]
    fn a_frame_header_of_http_2_is_what_was_written(
        length in 0_u32..1 << 24, kind: u8, flags: u8, stream in 0_u32..1 << 31, reserved: bool,
    ) {
        let stream_field = stream | u32::from(reserved) << 31;
        let bytes = [&length.to_be_bytes()[1..], &[kind, flags], &stream_field.to_be_bytes()].concat();
        let (header, taken) = two::Header::parse(&bytes).expect("nine bytes");
        let length = usize::try_from(length).expect("24 bits");
        prop_assert_eq!((header.length, header.kind, header.flags, header.stream), (length, kind, flags, stream));
        prop_assert!(taken == 9 && (0..9).all(|end| two::Header::parse(&bytes[..end]).is_none()));
    }

    #[test]
    fn data_of_http_2_is_the_payload_less_its_padding(flags: u8, payload in near([[2, b'a', b'b', 0, 0]])) {
        let padding = usize::from(payload.first().copied().unwrap_or_default());
        match two::data(flags, &payload) {
            Ok(data) if flags & 8 == 0 => prop_assert_eq!(data, &payload[..]),
            Ok(data) => prop_assert_eq!(data, &payload[1..payload.len() - padding]),
            Err(_) => prop_assert!(flags & 8 != 0 && padding + 1 > payload.len()),
        }
    }

    #[test]
    fn a_websocket_header_ends_in_what_was_read_and_no_sooner(bytes in near(FRAMES)) {
        if let Ok(Some((header, taken))) = websocket::Header::parse(&bytes) {
            prop_assert!(taken <= bytes.len() && header.mask.is_some() == (bytes[1] & 0x80 != 0));
            prop_assert_eq!(websocket::Header::parse(&bytes[..taken]), Ok(Some((header, taken))));
            prop_assert!((0..taken).all(|end| websocket::Header::parse(&bytes[..end]) == Ok(None)));
        }
    }

    #[test]
    fn a_mask_taken_off_twice_is_on_again(mask: [u8; 4], offset: u64, payload in near([TEXT])) {
        let mut twice = payload.clone();
        websocket::unmask(mask, offset, &mut twice);
        websocket::unmask(mask, offset, &mut twice);
        prop_assert_eq!(twice, payload);
    }

    #[test]
    fn a_body_in_any_pieces_comes_out_and_a_cut_one_is_its_beginning(
        text in near([TEXT]),
        coding in prop::sample::select(CODINGS.to_vec()),
        piece in 1_usize..40,
        cut in any::<prop::sample::Index>(),
    ) {
        let body = coded(coding, &text);
        prop_assert_eq!(&decoded(coding, &body, piece), &text);
        prop_assert!(text.starts_with(&decoded(coding, &body[..cut.index(body.len() + 1)], piece)));
    }

    #[test]
    fn no_damaged_body_makes_it_panic_or_grow_beyond_the_cap(
        body in near(CODINGS.map(|coding| coded(coding, &TEXT.repeat(20))).into_iter().chain([BROTLI.to_vec()])),
        coding in prop::sample::select([&CODINGS[..], &[Coding::Unknown, Coding::Brotli, Coding::Other]].concat()),
        piece in 1_usize..400,
    ) {
        prop_assert!(decoded(coding, &body, piece).len() <= BODY_CAP);
        prop_assert_ne!(Coding::recognise(&body), Coding::Unknown);
        let _ = Coding::named(&String::from_utf8_lossy(&body));
    }
}
