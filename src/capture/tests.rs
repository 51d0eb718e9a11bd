//! Captures written byte by byte as the two format drafts draw them, and tshark as the judge of real ones.

use std::collections::BTreeSet;
use std::io::{Cursor, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::bytes::near::near;

/// Big-endian when true.
type Big = bool;

fn u16s(big: Big, value: u16) -> [u8; 2] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn u32s(big: Big, value: u32) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn u64s(big: Big, value: u64) -> [u8; 8] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

const MICRO: u32 = 0xa1b2_c3d4;
const NANO: u32 = 0xa1b2_3c4d;
const MODIFIED: u32 = 0xa1b2_cd34;

fn classic_header(big: Big, magic: u32, version: (u16, u16), snaplen: u32, link: u32) -> Vec<u8> {
    let mut out = u32s(big, magic).to_vec();
    out.extend(u16s(big, version.0));
    out.extend(u16s(big, version.1));
    out.extend([0; 8]);
    out.extend(u32s(big, snaplen));
    out.extend(u32s(big, link));
    out
}

fn classic_record(big: Big, magic: u32, time: (u32, u32), lengths: (u32, u32), data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in [time.0, time.1, lengths.0, lengths.1] {
        out.extend(u32s(big, value));
    }
    if magic == MODIFIED {
        out.extend([9; 8]);
    }
    out.extend(data);
    out
}

/// A little-endian microsecond capture with one four-byte packet at each second.
pub(super) fn classic_file(seconds: &[u32]) -> Vec<u8> {
    let mut out = classic_header(false, MICRO, (2, 4), 65_535, 1);
    for second in seconds {
        out.extend(classic_record(false, MICRO, (*second, 0), (4, 60), b"data"));
    }
    out
}

pub(super) fn write(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn block(big: Big, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = u32s(big, u32::try_from(body.len() + 12).unwrap());
    [&u32s(big, kind)[..], &length, &body, &length].concat()
}

fn option(big: Big, code: u16, value: &[u8]) -> Vec<u8> {
    let mut out = u16s(big, code).to_vec();
    out.extend(u16s(big, u16::try_from(value.len()).unwrap()));
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn section(big: Big) -> Vec<u8> {
    let body = [&u32s(big, 0x1a2b_3c4d)[..], &u16s(big, 1), &u16s(big, 0), &[0xff; 8]].concat();
    block(big, 0x0a0d_0d0a, &body)
}

fn interface(big: Big, link: u16, snaplen: u32, options: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&u16s(big, link)[..], &[0; 2], &u32s(big, snaplen)].concat();
    body.extend(options.concat());
    if !options.is_empty() {
        body.extend([0; 4]);
    }
    block(big, 1, &body)
}

fn enhanced(big: Big, interface: u32, ticks: u64, original: u32, data: &[u8]) -> Vec<u8> {
    let mut body = u32s(big, interface).to_vec();
    body.extend(u32s(big, u32::try_from(ticks >> 32).unwrap()));
    body.extend(u32s(big, u32::try_from(ticks & 0xffff_ffff).unwrap()));
    body.extend(u32s(big, u32::try_from(data.len()).unwrap()));
    body.extend(u32s(big, original));
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    // A packet option (flags), which is to be passed over.
    body.extend(option(big, 2, &[0; 4]));
    body.extend([0; 4]);
    block(big, 6, &body)
}

fn obsolete(big: Big, interface: u16, ticks: u32, data: &[u8]) -> Vec<u8> {
    let mut body = [u16s(big, interface), u16s(big, 3)].concat();
    let length = u32::try_from(data.len()).unwrap();
    for value in [0, ticks, length, length] {
        body.extend(u32s(big, value));
    }
    body.extend(data);
    block(big, 2, &body)
}

fn simple(big: Big, original: u32, data: &[u8]) -> Vec<u8> {
    block(big, 3, &[&u32s(big, original)[..], data].concat())
}

#[derive(Debug, PartialEq, Eq, Clone)]
struct Seen {
    nanos: i64,
    link: u16,
    interface: u32,
    original: u32,
    data: Vec<u8>,
}

fn seen(nanos: i64, link: u16, interface: u32, original: u32, data: &[u8]) -> Seen {
    Seen { nanos, link, interface, original, data: data.to_vec() }
}

fn reader(bytes: &[u8]) -> Result<FileReader, CaptureError> {
    FileReader::from_reader(Cursor::new(bytes.to_vec()), "test".to_owned())
}

fn drain(reader: &mut FileReader) -> (Vec<Seen>, Option<CaptureError>) {
    let mut packets = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(packet)) => packets.push(Seen {
                nanos: packet.timestamp.as_nanos(),
                link: packet.link_type.0,
                interface: packet.interface,
                original: packet.original_len,
                data: packet.data.to_vec(),
            }),
            Ok(None) => return (packets, None),
            Err(error) => {
                assert!(reader.next().unwrap().is_none(), "after an error the reader is at its end");
                return (packets, Some(error));
            }
        }
    }
}

fn read(bytes: &[u8]) -> (Vec<Seen>, Option<CaptureError>) {
    match reader(bytes) {
        Ok(mut reader) => drain(&mut reader),
        Err(error) => (Vec::new(), Some(error)),
    }
}

fn read_whole(bytes: &[u8]) -> (Vec<Seen>, FileInfo) {
    let mut reader = reader(bytes).unwrap();
    let (packets, error) = drain(&mut reader);
    assert_eq!(error, None);
    (packets, reader.into_info())
}

fn fault(bytes: &[u8]) -> Fault {
    read(bytes).1.unwrap().fault
}

#[test]
fn classic_pcap_of_every_magic_and_byte_order() {
    for big in [false, true] {
        for (magic, nanos) in [(MICRO, 7_000), (NANO, 7), (MODIFIED, 7_000)] {
            let mut file = classic_header(big, magic, (2, 4), 65_535, 0xf400_0065);
            file.extend(classic_record(big, magic, (0xffff_fff0, 7), (3, 90), b"abc"));
            file.extend(classic_record(big, magic, (0xffff_fff1, 7), (0, 0), b""));
            let (packets, info) = read_whole(&file);
            let first = 0xffff_fff0 * 1_000_000_000 + nanos;
            let second = first + 1_000_000_000;
            assert_eq!(packets, [seen(first, 101, 0, 90, b"abc"), seen(second, 101, 0, 0, b"")]);
            assert_eq!((info.format, info.compression), (Format::Pcap, Compression::None));
            assert_eq!(info.interfaces, [Interface::new(LinkType::RAW, 65_535)]);
            assert_eq!((info.packets, info.bytes_read), (2, u64::try_from(file.len()).unwrap()));
            assert_eq!(info.anomalies, Anomalies::default());
        }
    }
}

#[test]
fn lengths_of_old_versions_are_the_other_way_round() {
    for (minor, lengths) in [(2, (90, 3)), (3, (90, 3)), (3, (3, 90)), (4, (3, 90))] {
        let mut file = classic_header(true, MICRO, (2, minor), 0, 1);
        file.extend(classic_record(true, MICRO, (1, 0), lengths, b"abc"));
        assert_eq!(read_whole(&file).0, [seen(1_000_000_000, 1, 0, 90, b"abc")]);
    }
}

#[test]
fn packets_longer_than_the_buffer_are_whole() {
    let long = vec![7; 3 << 20];
    let mut file = classic_header(false, MICRO, (2, 4), u32::MAX, 1);
    let length = u32::try_from(long.len()).unwrap();
    file.extend(classic_record(false, MICRO, (1, 0), (4, 4), b"head"));
    file.extend(classic_record(false, MICRO, (1, 0), (length, length), &long));
    file.extend(classic_record(false, MICRO, (1, 0), (4, 4), b"tail"));
    let packets = read_whole(&file).0;
    assert_eq!(packets[1].data, long);
    assert_eq!(packets[2].data, b"tail");
}

#[test]
fn an_insane_packet_length_is_a_fault_with_its_place() {
    for (snaplen, length, limit) in
        [(0, 262_145, 262_144), (96, u32::MAX, 262_144), (u32::MAX, 16_777_217, 16_777_216)]
    {
        let mut file = classic_header(false, MICRO, (2, 4), snaplen, 1);
        file.extend(classic_record(false, MICRO, (1, 0), (4, 4), b"good"));
        file.extend(classic_record(false, MICRO, (1, 0), (length, length), b"bad"));
        let (packets, error) = read(&file);
        assert_eq!(packets.len(), 1);
        let error = error.unwrap();
        let length = u64::from(length);
        assert_eq!(error.fault, Fault::TooLong { part: Part::Packet(2), length, limit });
        assert_eq!(error.position, Some(Position { offset: 44, decompressed: false }));
    }
}

/// Two sections of different byte order with every block that is read and one that is not.
fn full_pcapng() -> Vec<u8> {
    let mut out = Vec::new();
    for big in [false, true] {
        out.extend(section(big));
        let names = [
            &u16s(big, 1)[..],
            &u16s(big, 15),
            &[192, 0, 2, 1],
            b"a.example\0b\0",
            &u16s(big, 2),
            &u16s(big, 18),
            &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            b"c\0\0\0",
            &[0; 4],
        ];
        out.extend(block(big, 4, &names.concat()));
        let secret = [&u32s(big, Secret::TLS_KEY_LOG)[..], &u32s(big, 5), b"keys!"].concat();
        out.extend(block(big, 10, &secret));
        out.extend(interface(big, 1, 4, &[option(big, 2, b"eth0")]));
        let nanos = option(big, 9, &[9]);
        let offset = option(big, 14, &u64s(big, 100));
        out.extend(interface(big, 276, 0, &[nanos, offset]));
        out.extend(interface(big, 101, 0, &[option(big, 9, &[0x8a])]));
        out.extend(enhanced(big, 1, 5_000_000_001, 70, b"abcde"));
        out.extend(simple(big, 9, b"abcd"));
        out.extend(enhanced(big, 2, 200 << 10 | 512, 3, b"xyz"));
        out.extend(block(big, 0xbad, &[1; 40]));
        out.extend(obsolete(big, 0, 300_000_007, b"old"));
        let mut statistics = [&u32s(big, 1)[..], &[0; 8]].concat();
        statistics.extend(option(big, 4, &u64s(big, 1000)));
        statistics.extend(option(big, 5, &u64s(big, 20)));
        statistics.extend(option(big, 7, &u64s(big, 3)));
        out.extend(block(big, 5, &statistics));
    }
    out
}

fn full_pcapng_packets() -> Vec<Seen> {
    let of_section = |base: u32| {
        [
            seen(105_000_000_001, 276, base + 1, 70, b"abcde"),
            seen(105_000_000_001, 1, base, 9, b"abcd"),
            seen(200_500_000_000, 101, base + 2, 3, b"xyz"),
            seen(300_000_007_000, 1, base, 3, b"old"),
        ]
    };
    [of_section(0), of_section(3)].concat()
}

#[test]
fn pcapng_sections_interfaces_and_packet_blocks() {
    let (packets, info) = read_whole(&full_pcapng());
    assert_eq!(packets, full_pcapng_packets());
    assert_eq!((info.format, info.packets, info.interfaces.len()), (Format::PcapNg, 8, 6));
    assert_eq!(info.interfaces[3].name.as_deref(), Some("eth0"));
    for index in [1, 4] {
        let interface = &info.interfaces[index];
        assert_eq!(interface.link_type, LinkType::LINUX_SLL2);
        let counters = (interface.received, interface.dropped_by_interface, interface.dropped_by_os);
        assert_eq!(counters, (Some(1000), Some(20), Some(3)));
    }
    let key_log = Secret { kind: Secret::TLS_KEY_LOG, data: b"keys!".to_vec() };
    assert_eq!(info.secrets, [key_log.clone(), key_log]);
    let four: IpAddr = "192.0.2.1".parse().unwrap();
    let six: IpAddr = "2001:db8::1".parse().unwrap();
    let names = [(four, "a.example"), (four, "b"), (six, "c")].map(|(ip, name)| (ip, name.to_owned()));
    assert_eq!(info.names, [names.clone(), names].concat());
    let odd = info.anomalies;
    assert_eq!((odd.without_time, odd.blocks_skipped, odd.time_backwards), (2, 2, 1));
    assert_eq!(odd.first_time_backwards, Some(5));
    assert_eq!((odd.blocks_malformed, odd.longer_than_snaplen), (0, 0));
}

#[test]
fn odd_packets_are_counted_and_kept() {
    let mut file = classic_header(false, MICRO, (2, 4), 3, 1);
    file.extend(classic_record(false, MICRO, (5, 1_000_000), (4, 4), b"data"));
    file.extend(classic_record(false, MICRO, (4, 0), (2, 1), b"da"));
    let (packets, info) = read_whole(&file);
    assert_eq!(packets, [seen(6_000_000_000, 1, 0, 4, b"data"), seen(4_000_000_000, 1, 0, 2, b"da")]);
    let expected = Anomalies {
        longer_than_snaplen: 1,
        captured_longer_than_original: 1,
        time_backwards: 1,
        first_time_backwards: Some(2),
        fraction_out_of_range: 1,
        ..Anomalies::default()
    };
    assert_eq!(info.anomalies, expected);
}

#[test]
fn packets_of_undescribed_interfaces_are_passed_over() {
    let file = [
        section(false),
        simple(false, 4, b"none"),
        interface(false, 1, 0, &[]),
        enhanced(false, 1, 0, 4, b"none"),
        enhanced(false, 0, 0, 4, b"good"),
        section(true),
        enhanced(true, 0, 0, 4, b"none"),
    ];
    let (packets, info) = read_whole(&file.concat());
    assert_eq!(packets, [seen(0, 1, 0, 4, b"good")]);
    assert_eq!(info.anomalies.unknown_interface, 3);
}

#[test]
fn interfaces_names_and_secrets_beyond_their_caps_are_counted() {
    let mut file = section(false);
    let one = interface(false, 1, 0, &[]);
    for _ in 0..70_000 {
        file.extend(&one);
    }
    let record = [&[1, 0, 6, 0, 192, 0, 2, 1][..], b"a\0\0\0"].concat();
    file.extend(block(false, 4, &record.repeat(70_000)));
    let secret = block(false, 10, &[&[0; 4][..], &u32s(false, 15 << 20), &vec![0; 15 << 20]].concat());
    for _ in 0..6 {
        file.extend(&secret);
    }
    let (_, info) = read_whole(&file);
    let odd = info.anomalies;
    assert_eq!((info.interfaces.len(), odd.interfaces_left_out), (65_536, 70_000 - 65_536));
    assert_eq!((info.names.len(), odd.names_left_out), (65_536, 70_000 - 65_536));
    assert_eq!((info.secrets.len(), odd.secrets_left_out), (4, 2));
}

#[test]
fn a_block_of_four_gibibytes_is_passed_over_without_being_held() {
    let head = [section(false), u32s(false, 99).to_vec(), u32s(false, 0xffff_fffc).to_vec()].concat();
    let tail = [section(false), interface(false, 1, 0, &[]), enhanced(false, 0, 0, 4, b"last")].concat();
    let input = Cursor::new(head).chain(std::io::repeat(0).take(0xffff_fffc - 8)).chain(Cursor::new(tail));
    let mut reader = FileReader::from_reader(input, "huge".to_owned()).unwrap();
    let (packets, error) = drain(&mut reader);
    assert_eq!((packets.len(), error), (1, None));
    assert_eq!(reader.info().anomalies.blocks_skipped, 1);
}

#[test]
fn malformed_pcapng_blocks_name_field_and_place() {
    let malformed = |bytes: &[u8]| match read(bytes).1.unwrap() {
        CaptureError { fault: Fault::Malformed { error, .. }, position: Some(at), .. } => {
            (error.field(), at.offset)
        }
        other => panic!("{other}"),
    };
    let head = [section(false), interface(false, 1, 0, &[])].concat();
    let with = |mut block: Vec<u8>, at: usize, value: u32| {
        block[at..at + 4].copy_from_slice(&u32s(false, value));
        [head.clone(), block].concat()
    };
    let packet = || enhanced(false, 0, 0, 4, b"data");
    assert_eq!(malformed(&with(packet(), 4, 8)), ("total length", 48));
    assert_eq!(malformed(&with(packet(), 4, 45)), ("total length", 48));
    assert_eq!(malformed(&with(packet(), 44, 60)), ("total length behind the block", 48));
    assert_eq!(malformed(&with(packet(), 20, 100)), ("packet data", 48));
    assert_eq!(
        malformed(&block(false, 0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0])).0,
        "total length"
    );
    let packet_2 = Part::Packet(1);
    let too_long = fault(&with(packet(), 4, 0xffff_fff0));
    let limit = (256 << 10) + (64 << 10);
    assert_eq!(too_long, Fault::TooLong { part: packet_2, length: 0xffff_fff0, limit });
}

#[test]
fn what_is_no_capture_gets_its_own_error() {
    assert_eq!(fault(b""), Fault::Empty);
    assert_eq!(fault(&gzip(b"")), Fault::Empty);
    assert_eq!(fault(b"GET / HTTP/1.1"), Fault::NotACapture { first: b"GET / HT".to_vec() });
    assert_eq!(fault(b"\xa1\xb2x"), Fault::NotACapture { first: b"\xa1\xb2x".to_vec() });
    assert!(matches!(fault(b"\xa1\xb2"), Fault::Truncated { inside: Part::FileHeader, .. }));
    let future = classic_header(true, MICRO, (3, 0), 0, 1);
    assert_eq!(fault(&future), Fault::UnknownVersion { expected: 2, major: 3, minor: 0 });
    let bad_mark = block(true, 0x0a0d_0d0a, &[1, 2, 3, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fault(&bad_mark), Fault::UnknownByteOrder { found: 0x0102_0304 });
    let future = block(true, 0x0a0d_0d0a, &[0x1a, 0x2b, 0x3c, 0x4d, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fault(&future), Fault::UnknownVersion { expected: 1, major: 9, minor: 1 });
}

#[test]
fn unreadable_paths_get_their_own_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(dir.path()).unwrap_err().fault, Fault::IsADirectory);
    let absent = dir.path().join("absent.pcap");
    let error = FileReader::open(&absent).unwrap_err();
    assert!(matches!(error.fault, Fault::Unreadable { kind: std::io::ErrorKind::NotFound, .. }));
    assert!(error.to_string().contains("absent.pcap"), "{error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

type Compressor = fn(&[u8]) -> Vec<u8>;
const COMPRESSIONS: [(Compression, Compressor); 3] =
    [(Compression::Gzip, gzip), (Compression::Zstd, zst), (Compression::Xz, xz)];

#[test]
fn compressed_captures_of_several_members() {
    let plain = full_pcapng();
    for (compression, compress) in COMPRESSIONS {
        let (head, tail) = plain.split_at(333);
        let stored = [compress(head), compress(tail)].concat();
        let (packets, info) = read_whole(&stored);
        assert_eq!(packets, full_pcapng_packets());
        assert_eq!(info.compression, compression);
        assert_eq!(info.bytes_read, u64::try_from(stored.len()).unwrap());
    }
}

/// 2000 packets whose bytes do not compress, so that every part of the stream matters.
fn noisy_file() -> Vec<u8> {
    let mut state = 1_u64;
    let mut out = classic_header(false, MICRO, (2, 4), 0, 1);
    for second in 0..2000 {
        let data = std::array::from_fn::<u8, 100, _>(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        });
        out.extend(classic_record(false, MICRO, (second, 0), (100, 100), &data));
    }
    out
}

#[test]
fn a_cut_compressed_stream_yields_the_packets_before_the_cut() {
    let plain = noisy_file();
    for (compression, compress) in COMPRESSIONS {
        let stored = compress(&plain);
        let (packets, error) = read(&stored[..stored.len() - 20]);
        assert!(packets.len() > 1000, "{compression}: {}", packets.len());
        let error = error.unwrap();
        assert_eq!(error.fault, Fault::CompressionCut { compression }, "{error}");
        assert!(error.position.unwrap().decompressed);
    }
}

#[test]
fn a_corrupt_compressed_tail_yields_the_packets_before_it() {
    let plain = noisy_file();
    for (compression, compress) in COMPRESSIONS {
        let mut stored = [compress(&plain), compress(b"more")].concat();
        let at = compress(&plain).len();
        stored[at..].fill(0xaa);
        let (packets, error) = read(&stored);
        assert_eq!(packets.len(), 2000, "{compression}");
        let error = error.unwrap();
        assert!(
            matches!(error.fault, Fault::CorruptCompression { .. } | Fault::CompressionCut { .. }),
            "{compression}: {error}"
        );
    }
}

#[test]
fn a_wrong_gzip_checksum_is_told_after_all_packets() {
    let mut stored = gzip(&noisy_file());
    let checksum = stored.len() - 8;
    stored[checksum] ^= 1;
    let (packets, error) = read(&stored);
    assert_eq!(packets.len(), 2000);
    assert!(matches!(error.unwrap().fault, Fault::CorruptCompression { .. }));
}

/// Every prefix gives the packets that are whole in it, then a clean end or a fault that says it is cut.
fn check_prefixes(file: &[u8]) {
    let whole = read_whole(file).0;
    let mut last = 0;
    for length in 0..file.len() {
        let (packets, error) = read(&file[..length]);
        assert_eq!(packets, whole[..packets.len()]);
        assert!(packets.len() >= last, "a longer prefix holds no fewer packets");
        last = packets.len();
        match error.map(|error| error.fault) {
            None | Some(Fault::Truncated { .. }) => {}
            Some(Fault::Empty) => assert_eq!(length, 0),
            Some(other) => panic!("{length}: {other}"),
        }
    }
    assert!(last + 1 >= whole.len());
}

#[test]
fn every_prefix_yields_the_packets_before_the_cut() {
    check_prefixes(&classic_file(&[1, 2, 3]));
    check_prefixes(&full_pcapng());
}

#[test]
fn truncation_tells_packet_and_bytes() {
    let file = classic_file(&[1, 2]);
    let inside = Part::Packet(2);
    assert_eq!(fault(&file[..file.len() - 1]), Fault::Truncated { inside, needed: 20, available: 19 });
    let error = read(&file[..24 + 20 + 5]).1.unwrap();
    let expected = "test: cut in the header of packet 2: 16 bytes expected, 5 found, at byte 44";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn payload_and_secrets_are_not_in_debug_output() {
    let mut reader = reader(&full_pcapng()).unwrap();
    assert!(format!("{:?}", reader.next().unwrap().unwrap()).contains("captured_len: 5"));
    assert!(format!("{:?}", reader.info()).contains("bytes: 5"));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), start in 0..4_usize) {
        let head = [&[][..], &MICRO.to_le_bytes(), &classic_file(&[1]), &section(true)][start].to_vec();
        read(&[head, bytes].concat());
    }

    #[test]
    fn damaged_captures_never_panic(mut file in near([full_pcapng(), classic_file(&[3, 2, 1])]), wrap in 0..4_usize) {
        if let Some((_, compress)) = COMPRESSIONS.get(wrap) {
            file = compress(&file);
        }
        read(&file);
    }

    #[test]
    fn damaged_compressed_captures_never_panic(
        file in near(COMPRESSIONS.iter().flat_map(|(_, compress)| [compress(&full_pcapng()), compress(&classic_file(&[3, 2, 1]))])),
    ) {
        read(&file);
    }
}

/// The corpus, where this machine has it.
fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("MEETSCOPE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let corpus = shared.join("corpus");
    corpus.is_dir().then_some(corpus)
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn tshark_sees_the_same_packets() {
    let files = [
        "calls/sip.pcap",
        "calls/stun_zoom.pcapng",
        "ja4/chrome-cloudflare-quic-with-secrets.pcapng",
        "background/tcp_scan.pcapng",
        "protocols/http2.pcapng",
    ];
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let fields = ["frame.time_epoch", "frame.cap_len", "frame.len"].map(|field| ["-e", field]).concat();
    for file in files {
        let path = corpus.join(file);
        let Ok(output) =
            Command::new("tshark").arg("-r").arg(&path).args(["-T", "fields"]).args(&fields).output()
        else {
            eprintln!("skipped: no tshark");
            return;
        };
        let theirs = String::from_utf8(output.stdout).unwrap();
        let (packets, error) = drain(&mut open(&path).unwrap());
        assert_eq!(error, None, "{file}");
        let ours = packets.iter().map(|packet| {
            let (seconds, nanos) = (packet.nanos / 1_000_000_000, packet.nanos % 1_000_000_000);
            format!("{seconds}.{nanos:09}\t{}\t{}", packet.data.len(), packet.original)
        });
        assert_eq!(ours.collect::<Vec<_>>(), theirs.lines().collect::<Vec<_>>(), "{file}");
    }
}

#[test]
fn a_file_that_is_cut_between_packets_while_it_is_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let seconds: Vec<u32> = (0..40_000).collect();
    let whole = classic_file(&seconds);
    let record = (whole.len() - 24) / seconds.len();
    assert!(whole.len() > 2 * block::BUFFER, "more than is read at a time");
    let path = write(&dir, "cut", &whole);
    let mut reader = FileReader::open(&path).unwrap();
    assert!(reader.next().unwrap().is_some());
    let kept = u64::try_from(24 + record * 30_000).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(kept).unwrap();
    let error = loop {
        match reader.next() {
            Ok(packet) => assert!(packet.is_some(), "ended as if it were whole"),
            Err(error) => break error,
        }
    };
    let expected = u64::try_from(whole.len()).unwrap();
    assert!(matches!(error.fault, Fault::Shrunk { expected: found } if found == expected), "{error}");
    assert_eq!(reader.info().packets, 30_000);
    assert!(reader.next().unwrap().is_none());
}

/// Files whose packets come in turns: of every format, longer than what is read at a time, and one compressed.
fn overlapping(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for file in 0..7_u32 {
        let length = [40, 900, 1400, 60_000, 300_000, 4, 700][usize::try_from(file).unwrap()];
        let count = (900_000 / length).min(900);
        let payload = |number: u32| -> Vec<u8> {
            (0..length).map(|at| (at ^ number ^ file).to_le_bytes()[0]).collect()
        };
        let mut bytes = match file {
            6 => [section(true), interface(true, 1, 0, &[])].concat(),
            _ => classic_header(false, MICRO, (2, 4), 1 << 19, 1),
        };
        for number in 0..count {
            // In one file each packet is later than one that comes after it.
            let micros = number * 1000 + file * 100 + if file == 2 && number % 2 == 0 { 1500 } else { 0 };
            let data = payload(number);
            bytes.extend(match file {
                6 => enhanced(true, 0, micros.into(), length, &data),
                _ => classic_record(false, MICRO, (0, micros), (length, length), &data),
            });
        }
        paths.push(write(dir, &file.to_string(), &if file == 1 { gzip(&bytes) } else { bytes }));
    }
    paths
}

type Packets = Vec<(usize, i64, u32, Vec<u8>)>;

/// All packets with their files, and how many each file had; `after` is told how many have come.
fn merged(paths: &[PathBuf], most_open: usize, mut after: impl FnMut(usize)) -> (Packets, Merge) {
    let mut merge = Merge::open(paths.to_vec(), Order::Time);
    merge.hold_open(most_open);
    let mut seen = Vec::new();
    while let Some((file, packet)) = merge.next() {
        let packet = (file, packet.timestamp.as_nanos(), packet.original_len, packet.data.to_vec());
        seen.push(packet);
        after(seen.len());
    }
    (seen, merge)
}

#[test]
fn packets_come_alike_however_few_files_may_be_open() {
    let dir = tempfile::tempdir().unwrap();
    let paths = overlapping(&dir);
    let (expected, whole) = merged(&paths, usize::MAX, |_| {});
    assert!(expected.len() > 3000);
    for most_open in [0, 1, 2, 5] {
        let (packets, merge) = merged(&paths, most_open, |_| {});
        assert!(packets == expected, "with {most_open} open");
        for file in 0..paths.len() {
            assert_eq!(merge.error(file), None);
            let (told, of) = (merge.info(file).unwrap(), whole.info(file).unwrap());
            assert_eq!((told.packets, told.bytes_read), (of.packets, of.bytes_read), "file {file}");
            assert_eq!(told.anomalies, of.anomalies, "file {file}");
        }
    }
}

#[test]
fn a_long_packet_that_waits_takes_no_more_room_than_a_short_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = |number: u8| (0..100_000_u32).map(|at| at.to_le_bytes()[1] ^ number).collect::<Vec<u8>>();
    let record = |number| {
        classic_record(false, MICRO, (number, 0), (100_000, 100_000), &data(u8::try_from(number).unwrap()))
    };
    let bytes = [classic_header(false, MICRO, (2, 4), 1 << 19, 1), record(1), record(2), record(3)].concat();
    let path = write(&dir, "long", &bytes);
    let mut reader = FileReader::open(&path).unwrap();
    let mut seen = Vec::new();
    while reader.advance().unwrap() {
        let bytes_read = reader.info().bytes_read;
        if seen.is_empty() {
            reader.narrow(&path, 2048);
        } else {
            reader.set_aside(&path);
        }
        assert_eq!(reader.held(), 2048);
        reader.bring_back().unwrap();
        assert!(reader.info().bytes_read <= bytes_read.max(reader.held().try_into().unwrap()));
        seen.push(reader.current().unwrap().data.to_vec());
    }
    assert!(seen == [data(1), data(2), data(3)]);
    assert_eq!(reader.info().bytes_read, u64::try_from(bytes.len()).unwrap());
    // Cut while it waits: the packet does not come, and the file says why.
    let mut reader = FileReader::open(&path).unwrap();
    assert!(reader.advance().unwrap() && reader.advance().unwrap());
    reader.narrow(&path, 2048);
    std::fs::write(&path, bytes.get(..150_000).unwrap()).unwrap();
    let error = reader.bring_back().unwrap_err();
    assert!(error.to_string().contains("packet 2"), "{error}");
    assert!(reader.current().is_none() && reader.info().packets == 1 && !reader.advance().unwrap());
}

#[test]
fn a_file_that_is_not_what_it_was_when_it_is_read_on_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let seconds: Vec<u32> = (0..20_000).collect();
    let whole = classic_file(&seconds);
    let paths: Vec<_> = (0..7).map(|number| write(&dir, &number.to_string(), &whole)).collect();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (packets, merge) = merged(&paths, 1, |count| {
        if count == 70_000 {
            // The same bytes, but another file, which may be given the number of the first.
            std::fs::remove_file(&paths[1]).unwrap();
            std::fs::write(&paths[1], &whole).unwrap();
            std::fs::remove_file(&paths[2]).unwrap();
            std::fs::OpenOptions::new().write(true).open(&paths[3]).unwrap().set_len(4024).unwrap();
            // The same file, cut and written anew.
            std::fs::write(&paths[4], vec![7; whole.len()]).unwrap();
            std::fs::rename(&fifo, &paths[5]).unwrap();
        }
    });
    let count = |file| packets.iter().filter(|(of, ..)| *of == file).count();
    assert_eq!(count(6), 20_000, "one that stays goes on");
    let error = |file| merge.error(file).map(ToString::to_string).unwrap_or_default();
    for file in [1, 4, 5] {
        assert!(error(file).contains("replaced or written anew"), "{file}: {}", error(file));
    }
    assert!(error(2).contains("No such file"), "{}", error(2));
    let cut = &merge.error(3).unwrap().fault;
    assert!(matches!(cut, Fault::Shrunk { .. } | Fault::Truncated { .. }), "{cut}");
    for file in 1..=5 {
        let packets = u64::try_from(count(file)).unwrap();
        assert!(
            (10_000..13_000).contains(&packets),
            "{packets} of {file}: to the change, and what was read ahead"
        );
        assert_eq!(merge.info(file).unwrap().packets, packets);
    }
    assert!(packets.iter().all(|(.., data)| data == b"data"), "no packet is made up");
}

/// What was there last is known to be more than was read, however long the file was when it was opened first.
#[test]
fn a_file_that_has_grown_and_is_gone_then_is_not_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let seconds: Vec<u32> = (0..20_000).collect();
    let whole = classic_file(&seconds);
    let mut paths: Vec<_> = (0..6).map(|number| write(&dir, &number.to_string(), &whole)).collect();
    paths.push(write(&dir, "grows", &whole[..24 + 20 * 500]));
    let (packets, merge) = merged(&paths, 1, |count| match count {
        1000 => std::fs::write(&paths[6], &whole).unwrap(),
        60_000 => std::fs::remove_file(&paths[6]).unwrap(),
        _ => {}
    });
    let count = packets.iter().filter(|(of, ..)| *of == 6).count();
    assert!((8000..13_000).contains(&count), "{count}");
    let error = merge.error(6).unwrap();
    assert!(error.to_string().contains("No such file"), "{error}");
    assert_eq!(merge.info(6).unwrap().packets, u64::try_from(count).unwrap());
}

#[test]
fn no_more_files_are_open_than_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let seconds: Vec<u32> = (0..500).collect();
    let paths: Vec<_> = (0..20).map(|n| write(&dir, &n.to_string(), &classic_file(&seconds))).collect();
    let here = |link: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_link(link.unwrap().path()).is_ok_and(|path| path.starts_with(dir.path()))
    };
    // Where the system does not tell which are open there is nothing to be seen.
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, |all| all.map(here).filter(|is| *is).count());
    for most in [0, 3, 7] {
        let mut most_seen = 0;
        let (packets, _) = merged(&paths, most, |_| most_seen = most_seen.max(open()));
        assert_eq!(packets.len(), 20 * 500);
        // The one whose packets come is open too.
        assert!(most_seen <= most + 1, "{most_seen} were open");
        assert!(most_seen >= most || open() == 0, "and not many fewer");
    }
}

#[test]
fn what_a_file_says_at_length_is_not_held_before_its_time_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let paths = vec![write(&dir, "early", &classic_file(&[1])), write(&dir, "late", &full_pcapng())];
    let mut merge = Merge::open(paths, Order::Time);
    let lists = |merge: &Merge| {
        let info = merge.info(1).unwrap();
        (info.interfaces.len(), info.secrets.len(), info.names.len())
    };
    assert_eq!((lists(&merge).1, lists(&merge).2), (0, 0));
    while merge.next().is_some() {}
    let whole = lists(&merge);
    assert!(whole.0 > 3 && whole.1 > 0 && whole.2 > 0, "{whole:?}");
    let types = |merge: &Merge| -> BTreeSet<_> {
        merge.info(1).unwrap().interfaces.iter().map(|interface| interface.link_type).collect()
    };
    let expected = types(&merge);
    merge.forget(1);
    assert_eq!(lists(&merge), (expected.len(), 0, 0), "one interface of each type is enough to tell of it");
    assert_eq!(types(&merge), expected);
}

/// A zstd stream whose window is 128 MiB, whatever is in it.
fn wide_zst(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    // A frame of one block as it is: RFC 8878 sections 3.1.1.1.2 and 3.1.1.2.
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3][..], &(length << 3 | 1).to_le_bytes()[..3], bytes].concat()
}

#[test]
fn what_captures_that_are_open_take_to_be_unpacked_is_bounded_together() {
    let dir = tempfile::tempdir().unwrap();
    let paths = |seconds: [&[u32]; 3]| -> Vec<PathBuf> {
        let wide = seconds.iter().enumerate();
        let wide = wide.map(|(at, own)| write(&dir, &at.to_string(), &wide_zst(&classic_file(own))));
        wide.chain([write(&dir, "plain", &classic_file(&[1, 50]))]).collect()
    };
    let refused = |paths: Vec<PathBuf>, memory: u64| -> (usize, Vec<bool>) {
        let files = paths.len();
        let mut merge = Merge::within(paths, Order::Time, memory);
        let mut packets = 0;
        while merge.next().is_some() {
            packets += 1;
        }
        let fault = |file| merge.error(file).map(|error| error.fault.clone());
        let is_refused = |fault| match fault {
            Some(Fault::NoRoomToUnpack { compression, .. }) => {
                assert_eq!(compression, Compression::Zstd);
                true
            }
            other => other.is_some_and(|other| panic!("{other}")),
        };
        (packets, (0..files).map(|file| is_refused(fault(file))).collect())
    };
    let together = [&[2, 20][..], &[3, 30], &[4, 40]];
    assert_eq!(refused(paths(together), 1 << 30), (8, vec![false; 4]));
    assert_eq!(refused(paths(together), 300 << 20), (4, vec![false, true, true, false]), "the first has it");
    assert_eq!(refused(paths(together), 128 << 20), (2, vec![true, true, true, false]));
    let one_by_one = [&[2, 20][..], &[21, 30], &[31, 40]];
    assert_eq!(refused(paths(one_by_one), 300 << 20), (8, vec![false; 4]));
}

#[test]
fn long_packets_that_wait_are_bounded_together() {
    let dir = tempfile::tempdir().unwrap();
    let length = 3 << 20;
    let file = |number: u32| {
        let packet =
            |second| classic_record(false, MICRO, (second, number), (length, length), &vec![0; 3 << 20]);
        let head = classic_header(false, MICRO, (2, 4), length, 1);
        write(&dir, &number.to_string(), &[head, packet(1), packet(2)].concat())
    };
    let paths: Vec<PathBuf> = (0..4).map(file).collect();
    let read = |memory: u64| -> Vec<u64> {
        let mut merge = Merge::within(paths.clone(), Order::Time, memory);
        while merge.next().is_some() {}
        let is_refused = |file: &usize| matches!(merge.error(*file), Some(error) if matches!(error.fault, Fault::NoRoomToRead { .. }));
        assert!((0..4).all(|file| merge.error(file).is_none() || is_refused(&file)));
        (0..4).map(|file| merge.info(file).map_or(0, |info| info.packets)).collect()
    };
    assert_eq!(read(1 << 30), [2, 2, 2, 2]);
    assert_eq!(read(14 << 20), [2, 2, 0, 0], "of seven MiB two have three and a quarter each");
    assert_eq!(read(1 << 20), [0, 0, 0, 0]);
}

#[test]
fn what_captures_that_are_open_say_is_bounded_together() {
    let dir = tempfile::tempdir().unwrap();
    let named = interface(false, 1, 0, &[vec![2, 0, 4, 0, b'e', b't', b'h', b'0']]);
    assert_eq!(read_whole(&[section(false), named.clone()].concat()).1.interfaces.len(), 1);
    let mut file = section(false);
    file.extend(named.repeat(1000));
    file.extend(block(false, 4, &[&[1, 0, 6, 0, 192, 0, 2, 1][..], b"a\0\0\0"].concat().repeat(1000)));
    file.extend(block(false, 10, &[&[0; 4][..], &u32s(false, 4), b"none"].concat()));
    for id in [3, 999] {
        file.extend(enhanced(false, id, 1, 4, b"good"));
    }
    let paths = vec![write(&dir, "one", &file), write(&dir, "other", &file)];
    let told = |memory: u64| -> Vec<_> {
        let mut merge = Merge::within(paths.clone(), Order::Time, memory);
        while merge.next().is_some() {}
        let info = |file| merge.info(file).unwrap();
        let odd = |file: usize| {
            let odd = info(file).anomalies;
            assert_eq!(u64::try_from(info(file).interfaces.len()).unwrap() + odd.interfaces_left_out, 1000);
            let nameless = info(file).interfaces.iter().filter(|one| one.name.is_none()).count();
            let nameless = u64::try_from(nameless).unwrap() + odd.interfaces_left_out;
            let held = u64::try_from(info(file).names.len()).unwrap();
            assert_eq!(held + odd.names_left_out, 1000 + nameless);
            assert_eq!(info(file).packets + odd.unknown_interface, 2);
            [odd.interfaces_left_out > 0, odd.names_left_out > 0, odd.secrets_left_out > 0]
        };
        (0..2).map(|file| (info(file).packets, info(file).interfaces.len() > 8, odd(file))).collect()
    };
    let whole = (2, true, [false; 3]);
    assert_eq!(told(64 << 20), [whole, whole]);
    // Enough for the interfaces of one, and for some of its names.
    let first = told(32 * (150 << 10));
    let (packets, _, [lacks_interfaces, lacks_names, _]) = first.first().unwrap();
    assert_eq!((*packets, *lacks_interfaces, *lacks_names), (2, false, true));
    assert_eq!(told(0), [(1, false, [true; 3]), (1, false, [true; 3])]);
}
