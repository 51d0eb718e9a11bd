use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// Bytes as they came out; a gap is shown as so many underscores.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn sink(&mut self) -> impl FnMut(Chunk<'_>) + use<'_> {
        |chunk| match chunk {
            Chunk::Data(bytes) => self.0.extend(bytes),
            Chunk::Gap(length) => self.0.extend(vec![b'_'; usize::try_from(length).unwrap()]),
        }
    }
}

fn run(limits: Limits, segments: &[(u32, &str)]) -> (String, Stats) {
    let mut stream = Stream::new(limits);
    let mut out = Out::default();
    for (sequence, text) in segments {
        let payload = text.as_bytes();
        stream.segment(*sequence, false, payload, payload.len(), &mut out.sink());
    }
    stream.flush(&mut out.sink());
    (String::from_utf8(out.0).unwrap(), stream.stats())
}

#[test]
fn order_is_restored_over_the_wrap() {
    let start = u32::MAX - 1;
    let (text, stats) = run(Limits::default(), &[(start, "ab"), (3, "fgh"), (0, "cde")]);
    assert_eq!(text, "abcdefgh");
    assert_eq!((stats.out_of_order, stats.gaps, stats.retransmitted), (1, 0, 0));
}

#[test]
fn first_copy_wins_and_conflicts_are_counted() {
    let (text, stats) = run(Limits::default(), &[(0, "ab"), (4, "ef"), (3, "xXYz"), (0, "ABCD")]);
    assert_eq!(text, "abCxefz", "the segment at 3 is held too, and came before the one at 0");
    assert_eq!((stats.conflicting, stats.retransmitted), (3, 5));
}

#[test]
fn flush_gives_gaps_of_the_right_size() {
    let (text, stats) = run(Limits::default(), &[(10, "ab"), (15, "c"), (18, "d")]);
    assert_eq!(text, "ab___c__d");
    assert_eq!((stats.gaps, stats.gap_bytes), (2, 5));
}

#[test]
fn acknowledged_hole_is_given_up_at_once() {
    let mut stream = Stream::new(Limits::default());
    let mut out = Out::default();
    stream.segment(100, true, b"", 0, &mut out.sink());
    stream.segment(105, false, b"efg", 3, &mut out.sink());
    stream.acknowledged(103, &mut out.sink());
    assert!(out.0.is_empty(), "the hole ends at 105");
    stream.acknowledged(108, &mut out.sink());
    assert_eq!(out.0, b"____efg");
    stream.acknowledged(112, &mut out.sink());
    assert_eq!(out.0.len(), 7, "nothing waits behind this one yet");
    stream.segment(112, false, b"x", 1, &mut out.sink());
    assert_eq!(out.0, b"____efg____x");
    assert_eq!(stream.stats().forced, 0);
}

#[test]
fn cut_segments_leave_a_gap_for_their_tail() {
    let mut stream = Stream::new(Limits::default());
    let mut out = Out::default();
    stream.segment(0, false, b"ab", 5, &mut out.sink());
    stream.segment(8, false, b"i", 2, &mut out.sink());
    stream.segment(5, false, b"fgh", 3, &mut out.sink());
    assert_eq!(out.0, b"ab___fghi_");
    assert_eq!(stream.stats().gap_bytes, 4);
}

#[test]
fn caps_give_the_hole_up() {
    let limits = Limits { held_bytes: 4, held_segments: 100 };
    let (text, stats) = run(limits, &[(0, "a"), (2, "cd"), (6, "gh"), (10, "k")]);
    assert_eq!((text.as_str(), stats.forced), ("a_cd__gh__k", 1));
    let limits = Limits { held_bytes: 100, held_segments: 2 };
    let (text, stats) = run(limits, &[(0, "a"), (2, "c"), (4, "e"), (6, "g"), (1, "b")]);
    assert_eq!((text.as_str(), stats.forced, stats.retransmitted), ("a_c_e_g", 1, 1));
}

#[test]
fn what_waits_is_given_up_when_asked_and_counted_until_then() {
    let mut stream = Stream::new(Limits::default());
    let mut out = Out::default();
    stream.segment(0, false, b"a", 1, &mut out.sink());
    assert!(stream.waiting() == 0 && !stream.give_up(&mut out.sink()));
    stream.segment(2, false, &[b'c'; 1000], 1000, &mut out.sink());
    let one = stream.waiting();
    assert!(one > 1000, "its place takes room too");
    stream.segment(1004, false, b"e", 3, &mut out.sink());
    assert!(stream.waiting() > one + 1, "bytes and a tail that was cut");
    assert!(stream.give_up(&mut out.sink()));
    assert_eq!(stream.waiting(), 0);
    assert_eq!(out.0, [&b"a_"[..], &[b'c'; 1000], b"__e__"].concat());
    assert_eq!((stream.stats().forced, stream.stats().gaps, stream.stats().gap_bytes), (2, 3, 5));
}

#[test]
fn keep_alive_is_no_retransmission() {
    let mut stream = Stream::new(Limits::default());
    let mut out = Out::default();
    stream.segment(9, true, b"", 0, &mut out.sink());
    stream.segment(9, false, b"\0", 1, &mut out.sink());
    stream.segment(10, false, b"hello", 5, &mut out.sink());
    stream.segment(14, false, b"\0", 1, &mut out.sink());
    stream.segment(14, false, b"", 0, &mut out.sink());
    assert_eq!(out.0, b"hello");
    assert_eq!((stream.stats().keep_alives, stream.stats().retransmitted), (2, 0));
}

#[test]
fn data_tell_which_of_two_syns_counts() {
    for (syns, data) in [([1000, 3_000_000_000], 1001), ([1000, 3_000_000_000], 3_000_000_001)] {
        let mut stream = Stream::new(Limits::default());
        let mut out = Out::default();
        for syn in syns {
            stream.segment(syn, true, b"", 0, &mut out.sink());
        }
        stream.segment(data, false, b"ab", 2, &mut out.sink());
        stream.segment(data + 2, false, b"cd", 2, &mut out.sink());
        assert_eq!((out.0.as_slice(), stream.stats().gaps), (&b"abcd"[..], 0));
    }
}

#[test]
fn data_on_a_syn_and_syn_retransmits() {
    let mut stream = Stream::new(Limits::default());
    let mut out = Out::default();
    for _ in 0..2 {
        stream.segment(7, true, b"early", 5, &mut out.sink());
    }
    stream.segment(13, false, b"!", 1, &mut out.sink());
    assert_eq!(out.0, b"early!");
    assert_eq!(stream.stats().retransmitted, 5);
}

#[test]
fn closed_stream_ignores_all() {
    let mut stream = Stream::new(Limits::default());
    let mut out = Out::default();
    stream.segment(0, false, b"a", 1, &mut out.sink());
    stream.segment(5, false, b"b", 1, &mut out.sink());
    stream.close();
    stream.segment(1, false, b"c", 1, &mut out.sink());
    stream.flush(&mut out.sink());
    assert!(stream.is_closed() && out.0 == b"a");
    assert!(size_of::<Stream>() <= 128, "{}", size_of::<Stream>());
}

/// A text in which each byte tells its place, so that a misplaced one shows.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(37) >> 3).to_le_bytes()[0] | 0x80).collect()
}

/// Cuts `0..length` at the given places, then adds overlapping copies.
fn pieces(length: usize, cuts: &[usize], copies: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut edges: Vec<usize> = cuts.iter().map(|cut| cut % length).chain([0, length]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut pieces: Vec<_> = edges.windows(2).map(|edge| (edge[0], edge[1])).collect();
    pieces.extend(copies.iter().map(|(at, size)| (at % length, (at % length + size).min(length))));
    pieces
}

proptest! {
    #[test]
    fn anything_but_loss_gives_the_string(
        start: u32,
        cuts in proptest::collection::vec(any::<usize>(), 0..30),
        copies in proptest::collection::vec((any::<usize>(), 1_usize..90), 0..20),
        keys in proptest::collection::vec(any::<u32>(), 64),
    ) {
        let text = text(500);
        let mut pieces = pieces(text.len(), &cuts, &copies);
        let mut keys = keys.iter();
        pieces.sort_by_cached_key(|_| keys.next());
        let mut stream = Stream::new(Limits::default());
        let mut out = Out::default();
        stream.segment(start, true, b"", 0, &mut out.sink());
        let origin = start.wrapping_add(1);
        for (from, to) in pieces {
            let sequence = origin.wrapping_add(u32::try_from(from).unwrap());
            stream.segment(sequence, false, &text[from..to], to - from, &mut out.sink());
            prop_assert!(text.starts_with(&out.0));
        }
        prop_assert_eq!(&out.0, &text);
        prop_assert_eq!(stream.stats().gaps + stream.stats().conflicting, 0);
        prop_assert!(stream.held.is_empty() && stream.held_bytes == 0);
    }

    #[test]
    fn loss_gives_gaps_of_the_right_size(
        start: u32,
        cuts in proptest::collection::vec(any::<usize>(), 0..30),
        copies in proptest::collection::vec((any::<usize>(), 1_usize..40), 0..6),
        lost in proptest::collection::vec(any::<bool>(), 64),
        keys in proptest::collection::vec(any::<u32>(), 64),
        acks in proptest::collection::vec(proptest::option::of(0_u32..500), 64),
        limits in (1_u32..300, 1_u32..20),
    ) {
        let text = text(500);
        let mut pieces = pieces(text.len(), &cuts, &copies);
        let mut lost = lost.iter();
        pieces.retain(|piece| piece.1 == text.len() || !lost.next().unwrap());
        let mut keys = keys.iter();
        pieces.sort_by_cached_key(|_| keys.next());
        let mut stream = Stream::new(Limits { held_bytes: limits.0, held_segments: limits.1 });
        let mut out = Out::default();
        stream.segment(start, true, b"", 0, &mut out.sink());
        let origin = start.wrapping_add(1);
        for ((from, to), ack) in pieces.iter().zip(acks) {
            let sequence = origin.wrapping_add(u32::try_from(*from).unwrap());
            stream.segment(sequence, false, &text[*from..*to], to - from, &mut out.sink());
            if let Some(ack) = ack {
                stream.acknowledged(origin.wrapping_add(ack), &mut out.sink());
            }
            prop_assert!(stream.held_bytes <= limits.0 && stream.held.len() <= limits.1 as usize);
        }
        stream.flush(&mut out.sink());
        prop_assert_eq!(out.0.len(), text.len());
        for (at, (ours, truth)) in out.0.iter().zip(&text).enumerate() {
            prop_assert!(ours == truth || *ours == b'_', "byte {}", at);
        }
        let holes: u64 = out.0.iter().map(|byte| u64::from(*byte == b'_')).sum();
        prop_assert_eq!(stream.stats().gap_bytes, holes);
    }

    #[test]
    fn never_panics(
        segments in proptest::collection::vec(
            (any::<u32>(), any::<bool>(), 0_usize..30, 0_usize..70_000, any::<u32>()), 0..60),
    ) {
        let mut stream = Stream::new(Limits { held_bytes: 100, held_segments: 8 });
        let mut bytes = 0_u64;
        let mut sink = |chunk: Chunk<'_>| if let Chunk::Data(data) = chunk { bytes += data.len() as u64 };
        for (sequence, syn, length, declared, ack) in segments {
            stream.segment(sequence, syn, &[0; 30][..length], declared, &mut sink);
            stream.acknowledged(ack, &mut sink);
        }
        stream.flush(&mut sink);
        prop_assert!(bytes <= 60 * 30);
    }
}

/// Both directions of every TCP stream in captures, against tshark's own reassembly.
#[test]
fn streams_agree_with_tshark() {
    let shared = std::env::var_os("MEETSCOPE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), Into::into);
    let corpus = shared.join("corpus");
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    if !corpus.is_dir() || Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("skipped: needs the shared corpus and tshark");
        return;
    }
    for file in
        ["protocols/tls_multiple_synack_different_seq.pcapng", "ja4/tls12.pcap", "protocols/443-chrome.pcap"]
    {
        let file = corpus.join(file);
        let seen = followed(&file);
        assert!(!seen.is_empty(), "{file:?}");
        for (stream, ours) in seen {
            let theirs = tshark_follow(&file, stream);
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!(ours == &theirs, "{file:?} stream {stream}: {} {}", ours.len(), theirs.len());
            }
        }
    }
}

fn tshark(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("tshark").arg("-r").arg(file).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// Client's and server's bytes per stream, by us; the sender of the first segment is the client.
fn followed(file: &Path) -> std::collections::BTreeMap<u32, [Vec<u8>; 2]> {
    let rows = tshark(
        file,
        &[
            "-Y",
            "tcp && !icmp",
            "-T",
            "fields",
            "-E",
            "separator=|",
            "-e",
            "tcp.stream",
            "-e",
            "tcp.srcport",
            "-e",
            "tcp.seq_raw",
            "-e",
            "tcp.ack_raw",
            "-e",
            "tcp.flags.syn",
            "-e",
            "tcp.len",
            "-e",
            "tcp.payload",
        ],
    );
    let mut flows = std::collections::BTreeMap::new();
    for row in rows.lines() {
        let fields: Vec<&str> = row.split('|').collect();
        let number = |at: usize| fields[at].parse::<u32>().unwrap();
        let (client, streams, outs) = flows.entry(number(0)).or_insert_with(|| {
            let stream = || Stream::new(Limits::default());
            (number(1), [stream(), stream()], [Out::default(), Out::default()])
        });
        let side = usize::from(number(1) != *client);
        let syn = matches!(fields[4], "1" | "True");
        let declared = number(5) as usize;
        streams[side].segment(number(2), syn, &hex(fields[6]), declared, &mut outs[side].sink());
        let peer = 1 - side;
        streams[peer].acknowledged(number(3), &mut outs[peer].sink());
    }
    flows
        .into_iter()
        .map(|(number, (_, mut streams, mut outs))| {
            for (stream, out) in streams.iter_mut().zip(&mut outs) {
                stream.flush(&mut out.sink());
            }
            (number, outs.map(|out| out.0))
        })
        .collect()
}

/// Client's and server's bytes of one stream, by tshark: the server's lines begin with a tab.
fn tshark_follow(file: &Path, stream: u32) -> [Vec<u8>; 2] {
    let text = tshark(file, &["-q", "-z", &format!("follow,tcp,raw,{stream}")]);
    let mut sides = [vec![], vec![]];
    for line in text.lines() {
        let digits = line.trim_start_matches('\t');
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            sides[usize::from(line.starts_with('\t'))].extend(hex(digits));
        }
    }
    sides
}
