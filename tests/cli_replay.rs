//! `meetscope replay` as a user meets it: the real program, small captures, its words and its exit status.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests count on small known numbers"
)]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const ETHERNET: u32 = 1;
const SNAPLEN: u32 = 65_535;

/// Classic pcap, microseconds, little-endian.
fn capture(link_type: u32, snaplen: u32, packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(snaplen.to_le_bytes());
    file.extend(link_type.to_le_bytes());
    for (seconds, data) in packets {
        let length = u32::try_from(data.len()).unwrap();
        for field in [*seconds, 0, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(data);
    }
    file
}

/// Ethernet, IPv4, UDP from 10.0.0.1 to 192.0.2.1.
fn udp(source_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let udp_length = u16::try_from(8 + payload.len()).unwrap();
    frame.extend([0x45, 0]);
    frame.extend((20 + udp_length).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1]);
    frame.extend(source_port.to_be_bytes());
    frame.extend(4000_u16.to_be_bytes());
    frame.extend(udp_length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// Flows of five packets each, interleaved.
fn plain(flows: u16) -> Vec<u8> {
    let mut packets = Vec::new();
    for round in 0..5_u32 {
        for flow in 0..flows {
            packets.push((1_600_000_000 + round, udp(20_000 + flow, &[u8::try_from(round).unwrap(); 40])));
        }
    }
    capture(ETHERNET, SNAPLEN, &packets)
}

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> &Self {
        fs::write(self.0.path().join(name), bytes).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs in the bench's directory, so that messages name files as they were given.
    fn run(&self, arguments: &[&str]) -> Output {
        command(self.path()).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// `replay` with NDJSON.
    fn replay(&self, arguments: &[&str]) -> Output {
        let all: Vec<&str> = ["replay", "--format", "ndjson"].iter().chain(arguments).copied().collect();
        self.run(&all)
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
    command.current_dir(directory).env("NO_COLOR", "");
    command
}

fn words(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn records(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stats(output: &Output) -> Value {
    let last = records(output).pop().expect("a stats record");
    assert_eq!(last["event_type"], "stats", "stats come last");
    let packets = &last["packets"];
    let number = |name: &str| packets[name].as_u64().unwrap();
    assert_eq!(number("seen"), number("analysed") + number("filtered") + number("dropped"));
    last
}

fn flows(output: &Output) -> usize {
    records(output).iter().filter(|record| record["event_type"] == "flow").count()
}

/// One bad file beside a good one: exit 1, both facts in `words`, the good file is read, the run is incomplete.
fn beside_a_good_file(bad: &[u8], says: &[&str]) -> Value {
    let bench = Bench::new();
    bench.file("bad.pcap", bad).file("good.pcap", &plain(3));
    let output = bench.replay(&["bad.pcap", "good.pcap"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    for part in ["meetscope: bad.pcap: "].iter().chain(says) {
        assert!(words(&output).contains(part), "{part:?} is not in {}", words(&output));
    }
    let stats = stats(&output);
    assert_eq!(stats["complete"], false);
    assert!(stats["files"][0]["error"].is_string());
    assert_eq!(stats["files"][1]["packets"], 15);
    assert_eq!(stats["files"][1].get("error"), None);
    assert!(flows(&output) >= 3);
    stats
}

#[test]
fn a_sound_file_is_done() {
    let bench = Bench::new();
    let output = bench.file("a.pcap", &plain(4)).replay(&["a.pcap"]);
    assert_eq!((output.status.code(), words(&output).as_str()), (Some(0), ""));
    assert_eq!(flows(&output), 4);
    let stats = stats(&output);
    assert_eq!((&stats["packets"]["seen"], &stats["complete"]), (&Value::from(20), &Value::from(true)));
}

#[test]
fn an_empty_file_is_named() {
    beside_a_good_file(&[], &["the capture is empty"]);
}

#[test]
fn a_truncated_header_is_named_with_its_offset() {
    beside_a_good_file(&plain(1)[..20], &["file header", "24 bytes expected, 20 found", "at byte 0"]);
}

#[test]
fn packets_before_a_truncated_one_are_reported() {
    let whole = plain(2);
    let stats =
        beside_a_good_file(&whole[..whole.len() - 5], &["packet 10", "at byte ", "9 packets before it"]);
    assert_eq!(stats["files"][0]["packets"], 9);
    assert_eq!(stats["packets"]["seen"], 24);
}

#[test]
fn a_text_file_is_not_a_capture() {
    beside_a_good_file(b"once upon a time, there was", &["expected a pcap or pcapng capture"]);
}

#[test]
fn a_corrupt_gzip_tail_keeps_what_was_before_it() {
    let mut packed = gzip(&plain(200));
    let cut = packed.len() - 6;
    packed.truncate(cut);
    let stats = beside_a_good_file(&packed, &["gzip", "at byte "]);
    assert!(stats["files"][0]["packets"].as_u64().unwrap() > 0);
}

#[test]
fn an_empty_directory_and_a_missing_file_are_named_and_the_rest_is_read() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("folder")).unwrap();
    let output = bench.file("good.pcap", &plain(3)).replay(&["folder", "absent.pcap", "good.pcap"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("meetscope: folder: there is no capture"), "{}", words(&output));
    assert!(words(&output).contains("meetscope: absent.pcap: cannot be read"), "{}", words(&output));
    assert!(!words(&output).contains("before it"), "no packet was: {}", words(&output));
    assert_eq!(flows(&output), 3);
    assert_eq!(stats(&output)["complete"], false);
}

#[test]
fn a_directory_stands_for_the_captures_in_it() {
    let bench = Bench::new();
    let alone = bench.replay(&["folder"]);
    assert_eq!(alone.status.code(), Some(1), "{}", words(&alone));
    fs::create_dir(bench.path().join("folder")).unwrap();
    let empty = bench.replay(&["folder"]);
    assert_eq!((empty.status.code(), empty.stdout.len()), (Some(1), 0));
    assert!(words(&empty).contains("folder: there is no capture in this directory"), "{}", words(&empty));
    let files = ["folder/a.pcap", "folder/b.pcap"];
    bench.file(files[0], &plain(3)).file(files[1], &plain(2)).file("folder/notes", b"no capture");
    let whole = bench.replay(&["folder"]);
    assert_eq!(whole.status.code(), Some(0), "{}", words(&whole));
    assert_eq!(whole.stdout, bench.replay(&files).stdout);
    let refused = bench.run(&["replay", "folder", "-o", "folder/b.pcap"]);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert_eq!(fs::read(bench.path().join(files[1])).unwrap(), plain(2));
}

#[test]
fn time_that_runs_backwards_is_told_and_read() {
    let bench = Bench::new();
    let packets = [(100, udp(1000, b"a")), (50, udp(1000, b"b")), (101, udp(1000, b"c"))];
    let output = bench.file("a.pcap", &capture(ETHERNET, SNAPLEN, &packets)).replay(&["a.pcap"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(words(&output).contains("a.pcap: time runs backwards at packet 2; expected rising times"));
    assert_eq!(stats(&output)["files"][0]["anomalies"]["time_backwards"], 1);
}

#[test]
fn a_packet_longer_than_its_snaplen_is_told_and_read() {
    let bench = Bench::new();
    let packets = [(100, udp(1000, &[7; 100]))];
    let output = bench.file("a.pcap", &capture(ETHERNET, 64, &packets)).replay(&["a.pcap"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(words(&output).contains("a.pcap: 1 packet is longer than"), "{}", words(&output));
    assert_eq!(stats(&output)["packets"]["analysed"], 1);
}

#[test]
fn an_unknown_link_type_is_told_once_and_counted() {
    let bench = Bench::new();
    let packets: Vec<_> = (0..5).map(|second| (second, vec![0; 60])).collect();
    let output = bench.file("a.pcap", &capture(147, SNAPLEN, &packets)).replay(&["a.pcap"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(words(&output).matches("link type 147").count(), 1, "{}", words(&output));
    let stats = stats(&output);
    assert_eq!(stats["decode"]["unknown_link_type"], 5);
    assert_eq!(stats["packets"]["analysed"], 5);
}

#[test]
fn a_database_that_is_none_ends_the_run_before_a_packet_is_read() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(1)).file("places.mmdb", b"not a database");
    let output = bench.replay(&["a.pcap", "--geoip", "places.mmdb"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("places.mmdb is not a MaxMind DB file: expected"), "{}", words(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn standard_input_and_compression_change_nothing_but_the_name() {
    let bench = Bench::new();
    let bytes = plain(5);
    bench
        .file("a", &bytes)
        .file("a.gz", &gzip(&bytes))
        .file("a.zst", &zstd::encode_all(&bytes[..], 3).unwrap());
    let renamed = |output: &Output, name: &str| {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        text.replace(&format!("\"name\":\"{name}\""), "\"name\":\"a\"")
    };
    let expected = renamed(&bench.replay(&["a"]), "a");
    for name in ["a.gz", "a.zst"] {
        assert_eq!(renamed(&bench.replay(&[name]), name), expected);
    }
    let mut child = command(bench.path())
        .args(["replay", "-", "--format", "ndjson"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert_eq!(renamed(&child.wait_with_output().unwrap(), "-"), expected);
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(50));
    let one = bench.replay(&["a.pcap", "--threads", "1"]);
    assert_eq!(flows(&one), 50);
    for threads in ["2", "8"] {
        assert_eq!(bench.replay(&["a.pcap", "--threads", threads]).stdout, one.stdout);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn memory_is_told_only_when_asked_for_and_for_each_flow_only_of_many() {
    let bench = Bench::new();
    bench.file("many.pcap", &plain(5000)).file("few.pcap", &plain(3));
    let measured = bench.replay(&["many.pcap", "--measure", "--threads", "1"]);
    let memory = stats(&measured)["memory"].clone();
    let number = |name: &str| memory[name].as_u64().unwrap();
    let (each, flows) = (number("bytes_per_flow"), number("flows_bytes"));
    assert!((each * 5000..=each * 5000 + 5000).contains(&flows), "{each} of {flows}");
    // A flow takes its slot and the state of its datagrams; the program itself is above ten MiB.
    assert!((number("flow_slot_bytes")..10_000).contains(&each), "{each}");
    assert!((1_u64 << 20..1 << 30).contains(&(number("peak_bytes") - flows)));
    let without = |output: &Output| {
        let mut records = records(output);
        records.last_mut().unwrap().as_object_mut().unwrap().remove("memory");
        records
    };
    let plainly = bench.replay(&["many.pcap", "--threads", "1"]);
    assert!(stats(&plainly)["memory"].is_null());
    assert_eq!(without(&measured), records(&plainly));
    let few = stats(&bench.replay(&["few.pcap", "--measure"]));
    assert!(few["memory"]["peak_bytes"].is_u64() && few["memory"]["bytes_per_flow"].is_null());
    let text = bench.run(&["replay", "few.pcap", "--measure"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().any(|line| line.contains("memory") && line.contains(" MiB at most")));
}

/// A DNS query over UDP for `example.org`, from this port to port 53 of 192.0.2.1.
fn query(source_port: u16) -> Vec<u8> {
    let message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
    let mut frame = udp(source_port, message);
    frame[36..38].copy_from_slice(&53_u16.to_be_bytes());
    frame
}

#[test]
fn a_flow_of_names_ends_sooner_than_others() {
    let bench = Bench::new();
    let asked = |gap: u32| capture(ETHERNET, SNAPLEN, &[(100, query(20_001)), (100 + gap, query(20_001))]);
    let other = capture(ETHERNET, SNAPLEN, &[(100, udp(20_001, b"x")), (115, udp(20_001, b"x"))]);
    bench.file("soon", &asked(9)).file("late", &asked(15)).file("other", &other);
    for (name, expected) in [("soon", 1), ("late", 2), ("other", 1)] {
        assert_eq!(flows(&bench.replay(&[name, "--records", "flow"])), expected, "{name}");
    }
}

#[test]
fn flows_alone_are_told_as_they_are_beside_their_sessions() {
    let bench = Bench::new();
    for name in ["zoom-beijing-2020", "e2e-call", "dtls-srtp", "sip-sdes"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name).with_extension("pcapng");
        let file = file.to_str().unwrap();
        let whole = bench.replay(&[file]);
        let alone = bench.replay(&[file, "--records", "flow,stats"]);
        let told = |output: &Output| -> Vec<Value> {
            records(output).into_iter().filter(|record| record["event_type"] == "flow").collect()
        };
        assert!(told(&alone).iter().any(|flow| flow["session_id"].is_string()), "{name}");
        assert_eq!(told(&alone), told(&whole), "{name}");
        assert!(stats(&whole)["sessions"].as_u64().unwrap() > 0);
        assert_eq!(stats(&alone)["sessions"], stats(&whole)["sessions"], "{name}");
    }
}

#[test]
fn two_files_are_read_in_the_order_of_time_or_as_given() {
    let bench = Bench::new();
    let late = capture(ETHERNET, SNAPLEN, &[(200, udp(20_001, b"x")), (400, udp(20_001, b"x"))]);
    let early = capture(ETHERNET, SNAPLEN, &[(100, udp(20_002, b"x")), (300, udp(20_002, b"x"))]);
    bench.file("late", &late).file("early", &early);
    let ports = |output: &Output| -> Vec<u64> {
        records(output).iter().filter_map(|record| record["src_port"].as_u64()).collect()
    };
    let output = bench.replay(&["late", "early", "--records", "flow"]);
    assert_eq!(ports(&output)[..2], [20_002, 20_001]);
    let output = bench.replay(&["late", "early", "--records", "flow", "--order", "given"]);
    assert_eq!(ports(&output)[0], 20_001);
    assert_eq!(records(&output)[0]["flow"]["first_packet"], serde_json::json!({"file": 0, "frame": 1}));
}

#[test]
fn a_filter_leaves_packets_out_and_counts_them() {
    let bench = Bench::new();
    let output = bench.file("a.pcap", &plain(3)).replay(&["a.pcap", "--bpf", "udp port 20001"]);
    assert_eq!((output.status.code(), flows(&output)), (Some(0), 1));
    let packets = &stats(&output)["packets"];
    assert_eq!((&packets["analysed"], &packets["filtered"]), (&Value::from(5), &Value::from(10)));
    let text = bench.run(&["replay", "a.pcap", "--bpf", "udp port 20001"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("--bpf let 5 of 15 packets through"), "{text}");
}

#[test]
fn the_list_of_flows_has_a_head_above_its_columns() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(2));
    let mut whole = String::new();
    for more in [&[][..], &["--stream"]] {
        let output = bench.run(&[&["replay", "a.pcap", "--records", "flow"], more].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, line) = text.split_once('\n').unwrap();
        let place = |line: &str, word: &str| line.find(word).expect("a column");
        assert_eq!(place(head, "->"), place(line, "->"), "{text}");
        assert_eq!(place(head, "from"), place(line, "10.0.0.1:"), "{text}");
        assert_eq!(place(head, "to "), place(line, "192.0.2.1:"), "{text}");
        assert_eq!(head.rfind('/'), line.lines().next().unwrap().rfind('/'), "{text}");
        assert_eq!(text.matches("begun (UTC)").count(), 1, "{text}");
        assert!(whole.is_empty() || whole == text, "{whole}{text}");
        whole = text;
    }
}

#[test]
fn text_begins_with_words() {
    let bench = Bench::new();
    let call = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/e2e-call.pcapng");
    for more in [&[][..], &["--stream"], &["--records", "session"], &["--stream", "--records", "stats"]] {
        let output = bench.run(&[&["replay", call], more].concat());
        assert!(output.stdout.first().is_some_and(|byte| *byte != b'\n'), "{more:?}");
    }
}

#[test]
fn text_names_its_one_input_and_with_hash_its_sum() {
    let bench = Bench::new();
    // Of FIPS 180-4's example of one block, which is no capture.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    bench.file("a b.pcap", &plain(2)).file("abc", b"abc");
    let about = |arguments: &[&str]| {
        let text = String::from_utf8(bench.run(arguments).stdout).unwrap();
        let (_, about) = text.split_once("About this run").unwrap();
        about.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let plainly = about(&["replay", "a b.pcap"]);
    assert!(plainly.contains(" file a b.pcap: 10 packets "), "{plainly}");
    assert!(!plainly.contains("SHA-256") && !plainly.contains("command"), "{plainly}");
    let hashed = about(&["replay", "abc", "--hash"]);
    assert!(hashed.contains(&format!("; 3 bytes; SHA-256 {abc} ")), "{hashed}");
    let hashed = about(&["replay", "a b.pcap", "--hash"]);
    assert!(hashed.contains("meetscope replay 'a b.pcap' --hash "), "{hashed}");
}

#[test]
fn a_filter_that_does_not_fit_a_link_type_leaves_its_packets_out() {
    let bench = Bench::new();
    let raw: Vec<_> = (0..4).map(|second| (second, udp(9, b"x")[14..].to_vec())).collect();
    bench.file("raw", &capture(101, SNAPLEN, &raw)).file("a.pcap", &plain(1));
    let output = bench.replay(&["raw", "a.pcap", "--bpf", "ether host 02:00:00:00:00:01"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let stats = stats(&output);
    assert_eq!(
        (&stats["packets"]["seen"], &stats["packets"]["filtered"]),
        (&Value::from(9), &Value::from(4))
    );
    assert_eq!(stats["complete"], false);
}

#[test]
fn bad_usage_is_told_apart_from_failure() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(1));
    let bad: [&[&str]; 7] = [
        &["replay"],
        &["replay", "a.pcap", "--threads", "0"],
        &["replay", "a.pcap", "--bpf", "udp prot 7"],
        &["replay", "a.pcap", "--records", "gathering"],
        &["replay", "-", "-"],
        &["replay", "a.pcap", "-o", "a.pcap"],
        &["geo", "lookup", "nowhere"],
    ];
    for arguments in bad {
        let output = bench.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", words(&output));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
    assert_eq!(fs::read(bench.path().join("a.pcap")).unwrap(), plain(1), "an input is never overwritten");
}

#[test]
fn nothing_that_is_read_is_overwritten() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(1));
    let mmdb = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/geo/nested-city.mmdb")).unwrap();
    let rules = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/no-cn-keys.toml")).unwrap();
    let key_log = format!("CLIENT_RANDOM {} {}\n", "0a".repeat(32), "0b".repeat(48)).into_bytes();
    for (option, bytes) in [("--geoip", mmdb), ("--policy", rules), ("--keylog", key_log)] {
        bench.file("read", &bytes);
        let output = bench.run(&["replay", "a.pcap", option, "read", "-o", "read"]);
        assert_eq!(output.status.code(), Some(2), "{option}: {}", words(&output));
        assert!(words(&output).contains("would overwrite"), "{option}: {}", words(&output));
        assert_eq!(fs::read(bench.path().join("read")).unwrap(), bytes, "{option}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(2000));
    let mut child = command(bench.path())
        .args(["replay", "a.pcap", "--format", "ndjson"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut first).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), words(&output).as_str()), (Some(0), ""));
}

#[test]
fn link_types_that_nobody_decodes_are_told_of_in_one_pass_too() {
    let bench = Bench::new();
    bench.file("odd.pcap", &capture(250, SNAPLEN, &[(1_600_000_000, vec![1; 60])])).file("a.pcap", &plain(2));
    let plain = bench.replay(&["odd.pcap", "a.pcap"]);
    assert!(words(&plain).contains("link type"), "{}", words(&plain));
    let streamed = bench.replay(&["--stream", "odd.pcap", "a.pcap"]);
    assert_eq!(words(&streamed), words(&plain));
}

#[test]
fn compressed_captures_may_all_be_open_where_the_limit_can_be_raised() {
    let bench = Bench::new();
    for file in 0..60 {
        let packets = (0..3).map(|round| (1_600_000_000 + round, udp(20_000 + file, &[7; 40])));
        let bytes = gzip(&capture(ETHERNET, SNAPLEN, &packets.collect::<Vec<_>>()));
        bench.file(&format!("{file:02}.pcap.gz"), &bytes);
    }
    let line = format!(
        "ulimit -Sn 40 && ulimit -Hn 200 && exec {} replay --format ndjson *.gz",
        env!("CARGO_BIN_EXE_meetscope")
    );
    let mut shell = Command::new("sh");
    let output = shell.current_dir(bench.path()).args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((output.status.code(), words(&output).as_str()), (Some(0), ""));
    assert_eq!(flows(&output), 60);
}

#[test]
fn more_captures_overlap_in_time_than_may_be_open() {
    let bench = Bench::new();
    let names: Vec<String> = (0..90).map(|file| format!("{file:02}.pcap")).collect();
    for (file, name) in (0..).zip(&names) {
        // All begin and end at the same time, each with flows of its own.
        let packets = (0..5).map(|round| (1_600_000_000 + round, udp(20_000 + file, &[7; 40])));
        bench.file(name, &capture(ETHERNET, SNAPLEN, &packets.collect::<Vec<_>>()));
    }
    let replay = |limit: u32| {
        let program = env!("CARGO_BIN_EXE_meetscope");
        let line = format!("ulimit -n {limit} && exec {program} replay --format ndjson *.pcap");
        let mut shell = Command::new("sh");
        shell.current_dir(bench.path()).args(["-c", &line]).stdin(Stdio::null()).output().unwrap()
    };
    let (few, many) = (replay(40), replay(200));
    for output in [&few, &many] {
        assert_eq!((output.status.code(), words(output).as_str()), (Some(0), ""));
        assert_eq!((flows(output), &stats(output)["packets"]["seen"]), (90, &450.into()));
    }
    assert!(few.stdout == many.stdout, "the same records");
}

#[test]
fn the_report_goes_where_o_says_and_json_is_one_document() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(2));
    let output = bench.run(&["replay", "a.pcap", "--format", "json", "-o", "out.json"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let document: Value = serde_json::from_slice(&fs::read(bench.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(document["flows"].as_array().unwrap().len(), 2);
}

#[test]
fn what_a_file_held_stays_until_there_is_a_report() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("logs")).unwrap();
    let old = "an old report, longer than the new one\n".repeat(1000);
    bench.file("a.pcap", &plain(2)).file("keep", old.as_bytes()).file("logs/conn.log", old.as_bytes());
    let held = |name: &str| fs::read_to_string(bench.path().join(name)).unwrap();
    let kept = [("text", "keep", "keep"), ("html", "keep", "keep"), ("zeek", "logs", "logs/conn.log")];
    for (format, target, file) in kept {
        let output = bench.run(&["replay", "absent.pcap", "--format", format, "-o", target]);
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        assert!(words(&output).contains("not written, because nothing could be read"), "{}", words(&output));
        assert_eq!(held(file), old, "{format}");
    }
    let others: [&[&str]; 4] = [
        &["replay", "--stream", "--format", "text"],
        &["replay", "--stream", "--format", "ndjson", "--records", "flow"],
        &["replay", "--stream", "--format", "ndjson", "--state", "state"],
        &["servers"],
    ];
    for arguments in others {
        let output = bench.run(&[arguments, &["absent.pcap", "-o", "keep"]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        assert!(words(&output).contains("not written, because nothing could be read"), "{}", words(&output));
        assert_eq!(held("keep"), old, "{arguments:?}");
    }
    for stream in [&[][..], &["--stream"]] {
        let output = bench.run(&[&["replay"], stream, &["absent.pcap", "-o", "new"]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        assert!(!bench.path().join("new").exists(), "a file that is made for nothing goes: {stream:?}");
    }
    let told = bench.run(&["replay", "a.pcap"]).stdout;
    assert!(bench.run(&["replay", "a.pcap", "-o", "keep"]).status.success());
    assert_eq!(held("keep").as_bytes(), told);
    assert!(bench.run(&["replay", "a.pcap", "-o", "new"]).status.success());
    assert_eq!(held("new").as_bytes(), told);
    // No meeting is in it: nothing is the report.
    for stream in [&[][..], &["--stream"]] {
        bench.file("keep", old.as_bytes());
        assert!(
            bench
                .replay(&[stream, &["a.pcap", "--records", "meeting", "-o", "keep"]].concat())
                .status
                .success()
        );
        assert_eq!(held("keep"), "", "{stream:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_run_that_is_stopped_leaves_what_a_file_held_and_pipes_are_written_to() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(2)).file("keep", b"an old report");
    let held = fs::File::open(bench.path().join("keep")).unwrap();
    let mut child = command(bench.path())
        .args(["replay", "-", "-o", "keep"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It holds a lock from when it has opened the file.
    let is_held = || matches!(held.try_lock_shared(), Err(fs::TryLockError::WouldBlock));
    for _ in 0..500 {
        if is_held() {
            break;
        }
        held.unlock().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(is_held());
    std::thread::sleep(std::time::Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(bench.path().join("keep")).unwrap(), b"an old report");
    let told = bench.run(&["replay", "a.pcap"]).stdout;
    assert_eq!(bench.run(&["replay", "a.pcap", "-o", "/dev/stdout"]).stdout, told);
    assert!(Command::new("mkfifo").arg(bench.path().join("pipe")).status().unwrap().success());
    let mut reader = Command::new("cat");
    let reader = reader.arg(bench.path().join("pipe")).stdout(Stdio::piped()).spawn().unwrap();
    assert!(bench.run(&["replay", "a.pcap", "-o", "pipe"]).status.success());
    assert_eq!(reader.wait_with_output().unwrap().stdout, told);
}

#[test]
fn colour_is_for_terminals_or_for_those_who_ask() {
    let bench = Bench::new();
    bench.file("a.pcap", &plain(2));
    let escape = |output: &Output| output.stdout.contains(&0x1b);
    assert!(!escape(&bench.run(&["replay", "a.pcap"])));
    assert!(!escape(&bench.run(&["--color", "never", "replay", "a.pcap"])));
    assert!(bench.run(&["replay", "a.pcap", "--color", "always"]).status.success());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
