//! Key logs as a user meets them: the real program on `captures/zoom-beijing-2020.pcapng`, its words, its report.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests count on small known numbers"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use meetscope::bytes::hex;
use meetscope::capture::FileReader;
use meetscope::observe::facts::{Missing, Opened};
use meetscope::pipeline::{self, Pipeline};
use serde_json::Value;

/// Of the data in both directions of the session with 52.81.151.250, as `tshark -o tls.keylog_file -z follow,tls,raw` of
/// tshark 4.0.17 has it.
const BEIJING: [&str; 2] = [
    "5cc4b61cb628f38944c39e796b8359b1766df71915a77174c6c1a7da5019d0d3",
    "3d56d4430117ae91657797f4c140c11c78597a7e65099af2f625caeeddf447de",
];
const CAPTURE: &str = "zoom-beijing-2020.pcapng";
const KEY_LOG: &str = "zoom-beijing-2020.keylog";

fn captures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/captures"))
}

fn key_log() -> String {
    fs::read_to_string(captures().join(KEY_LOG)).unwrap()
}

/// Runs in `directory`, so that messages name files as they were given.
fn replay(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
    command.current_dir(directory).arg("replay").args(arguments);
    if !arguments.contains(&"--format") {
        command.args(["--format", "ndjson"]);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// The capture beside a key log with this text.
fn with_log(text: &[u8]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("some.keylog"), text).unwrap();
    let capture = captures().join(CAPTURE);
    let output = replay(directory.path(), &[capture.to_str().unwrap(), "--keylog", "some.keylog"]);
    let words = String::from_utf8(output.stderr.clone()).unwrap();
    (output, words)
}

fn records(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stats(output: &Output) -> Value {
    records(output).pop().unwrap()["key_logs"].clone()
}

/// Flows with `opened`.
fn opened(output: &Output) -> Vec<Value> {
    records(output).into_iter().filter(|record| record.get("opened").is_some()).collect()
}

/// Texts of the findings about key logs.
fn gaps(output: &Output) -> Vec<String> {
    let findings = records(output).into_iter().filter_map(|record| record.get("findings").cloned());
    let all = findings.flat_map(|list| list.as_array().unwrap().clone());
    let gaps = all.filter(|finding| finding["id"] == "key_log_gap");
    gaps.map(|finding| finding["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_key_log_opens_every_session_of_its_capture() {
    let output = replay(captures(), &[CAPTURE, "--keylog", KEY_LOG]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let flows = opened(&output);
    // The capture's README: 20 TLS sessions.
    assert_eq!(flows.len(), 20);
    for flow in &flows {
        let opened = &flow["opened"];
        assert_eq!((&opened["failed"], opened.get("missing")), (&0.into(), None), "{flow}");
        assert!(!flow["tls"]["certificates"].as_array().unwrap().is_empty(), "also of TLS 1.3");
    }
    let beijing = flows.iter().find(|flow| flow["dest_ip"] == "52.81.151.250").unwrap();
    assert_eq!(beijing["opened"]["sha256"], serde_json::json!(BEIJING));
    let log = &stats(&output)[0];
    assert_eq!((&log["lines"], &log["sessions"], &log["flows"]), (&44.into(), &20.into(), &20.into()));
    assert!(gaps(&output).is_empty());
}

#[test]
fn nothing_of_what_was_opened_and_no_secret_is_in_the_report() {
    let key = fs::read_to_string(captures().join("zoom-beijing-2020.key")).unwrap();
    for format in ["ndjson", "json", "text"] {
        let output = replay(captures(), &[CAPTURE, "--keylog", KEY_LOG, "--format", format]);
        assert_eq!(output.status.code(), Some(0));
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(!report.contains(key.trim()));
        for word in key_log().split_ascii_whitespace().filter(|word| word.len() >= 96) {
            assert!(!report.contains(word));
        }
        assert!(!report.contains("encryptKey\":"), "a field of the opened messages");
    }
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads() {
    let run = |threads| replay(captures(), &[CAPTURE, "--keylog", KEY_LOG, "--threads", threads]).stdout;
    let one = run("1");
    for threads in ["2", "5"] {
        assert_eq!(one, run(threads), "{threads} threads");
    }
}

#[test]
fn without_a_key_log_nothing_is_said_of_one() {
    let output = replay(captures(), &[CAPTURE]);
    assert!(opened(&output).is_empty() && gaps(&output).is_empty());
    assert_eq!(stats(&output), Value::Null);
}

#[test]
fn an_unreadable_key_log_is_named_and_fails() {
    for name in ["missing.keylog", "."] {
        let output = replay(captures(), &[CAPTURE, "--keylog", name]);
        assert_eq!(output.status.code(), Some(1));
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.starts_with(&format!("meetscope: key log {name}: ")), "{words}");
        assert!(output.stdout.is_empty());
    }
}

/// Runs with this on standard input.
fn piped(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
    command.current_dir(captures()).args(["replay", "--format", "ndjson"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A run that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn a_key_log_comes_from_standard_input_unless_something_else_does() {
    let output = piped(&[CAPTURE, "--keylog", "-"], key_log().as_bytes());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((opened(&output).len(), &stats(&output)[0]["flows"]), (20, &20.into()));
    for twice in [["-", "--keylog", "-"].as_slice(), &[CAPTURE, "--keylog", "-", "--keylog", "-"]] {
        let output = piped(twice, b"");
        assert_eq!(output.status.code(), Some(2));
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.contains("standard input can be read only once"), "{words}");
    }
}

#[test]
fn the_report_for_people_has_a_line_for_each_key_log() {
    let directory = tempfile::tempdir().unwrap();
    let other = format!("CLIENT_RANDOM {} {}\n", "ab".repeat(32), "cd".repeat(48));
    let logs: [(&str, &[u8], &str); 4] = [
        ("empty", b"", "key log empty: no secret in it, so that it opens nothing"),
        (
            "binary",
            &[0xff, 0, 7, 200],
            "binary: no secret in it, so that it opens nothing; 1 line not understood",
        ),
        (
            "the.key",
            b"00112233445566778899aabbccddeeff\n",
            "the.key: no secret in it, so that it opens nothing",
        ),
        (
            "other",
            other.as_bytes(),
            "other: 1 secret of 1 session, which fit none of the TLS, QUIC and DTLS sessions",
        ),
    ];
    let capture = captures().join(CAPTURE);
    let good = captures().join(KEY_LOG);
    let mut arguments =
        vec![capture.to_str().unwrap(), "--format", "text", "--keylog", good.to_str().unwrap()];
    for (name, text, _) in &logs {
        fs::write(directory.path().join(name), text).unwrap();
        arguments.extend(["--keylog", name]);
    }
    let report = String::from_utf8(replay(directory.path(), &arguments).stdout).unwrap();
    let flat = report.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let (_, about) = flat.split_once("About this run").unwrap();
    assert!(
        about.contains("44 secrets of 20 sessions, which fit 20 TLS, QUIC or DTLS sessions of this"),
        "{about}"
    );
    for (_, _, words) in logs {
        assert!(about.contains(words), "{words}: {about}");
    }
    assert!(!about.contains("ccddeeff"), "{about}");
}

#[cfg(unix)]
#[test]
fn a_key_log_without_end_is_read_to_the_limit() {
    let output = replay(captures(), &[CAPTURE, "--keylog", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("key log /dev/zero: expected at most 67108864 bytes, found more"), "{words}");
}

#[test]
fn a_file_that_is_no_key_log_is_named_with_its_first_line() {
    for (text, says) in [
        ("-----BEGIN CERTIFICATE-----\nMIIB\n", "no line of a TLS key log in it; line 1: expected a label"),
        ("", "some.keylog: no line of a TLS key log in it\n"),
        ("RSA 0011223344556677 00\n", "1 lines of a TLS key log, none with a label of use"),
    ] {
        let (output, words) = with_log(text.as_bytes());
        assert_eq!(output.status.code(), Some(0));
        assert!(words.contains(says), "{words}");
        assert!(opened(&output).is_empty());
        assert_eq!(stats(&output)[0]["secrets"], 0);
    }
}

#[test]
fn a_mixed_key_log_is_used_and_its_bad_lines_are_named() {
    let mut lines: Vec<String> = key_log().lines().map(str::to_owned).collect();
    lines.insert(3, "CLIENT_RANDOM 12 34".to_owned());
    lines.push("\u{1b}[31mnot a line".to_owned());
    let (output, words) = with_log(lines.join("\r\n").as_bytes());
    assert_eq!(output.status.code(), Some(0));
    let says = "2 of 46 lines are no lines of a TLS key log, the first is line 4: expected a client random";
    assert!(words.contains(says), "{words}");
    assert!(!words.contains('\u{1b}'));
    assert_eq!(opened(&output).len(), 20);
    assert_eq!(stats(&output)[0]["malformed"], 2);
    assert!(stats(&output)[0]["first_malformed"].as_str().unwrap().starts_with("line 4: "));
}

#[test]
fn secrets_of_other_sessions_are_told_and_each_call_says_what_is_missing() {
    let other = format!("CLIENT_RANDOM {} {}\n", "ab".repeat(32), "cd".repeat(48));
    let (output, words) = with_log(other.as_bytes());
    assert!(
        words.contains("none of its 1 sessions is a TLS, QUIC or DTLS handshake of this capture"),
        "{words}"
    );
    assert_eq!(stats(&output)[0]["flows"], 0);
    assert!(opened(&output).iter().all(|flow| flow["opened"]["records"] == 0));
    let gaps = gaps(&output);
    let named = "the TLS session with 52.81.151.250 (zoomcn5281151250zc.zoom.us), packet 117";
    assert!(gaps.iter().any(|gap| gap.contains(named) && gap.ends_with("the key log has no secret for it")));
}

#[test]
fn a_secret_of_another_session_under_this_ones_random_opens_nothing() {
    let text = key_log();
    let mut masters = text.lines().filter_map(|line| line.strip_prefix("CLIENT_RANDOM "));
    let last = masters.clone().next_back().unwrap().split_once(' ').unwrap().1.to_owned();
    let (random, _) = masters.next().unwrap().split_once(' ').unwrap();
    let (output, _) = with_log(format!("CLIENT_RANDOM {random} {last}").as_bytes());
    let flows = opened(&output);
    let failed: Vec<&Value> = flows.iter().filter(|flow| flow["opened"]["failed"] != 0).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["opened"]["missing"], "none of its records fits the secret");
    assert_eq!(failed[0]["opened"]["sha256"], serde_json::json!([null, null]));
}

/// The capture with a decryption secrets block (draft-ietf-opsawg-pcapng section 4.7) before its packet number `before`.
fn with_secrets_block(before: usize) -> Vec<u8> {
    let capture = fs::read(captures().join(CAPTURE)).unwrap();
    let mut text = key_log().into_bytes();
    let length = u32::try_from(text.len()).unwrap();
    text.resize(text.len().next_multiple_of(4), 0);
    let total = u32::try_from(20 + text.len()).unwrap();
    let mut block = Vec::new();
    for field in [10, total, 0x544c_534b, length] {
        block.extend(field.to_le_bytes());
    }
    block.extend(text);
    block.extend(total.to_le_bytes());
    let (mut at, mut packets) = (0, 0);
    loop {
        let field = |from: usize| u32::from_le_bytes(capture[from..from + 4].try_into().unwrap());
        if field(at) == 6 {
            packets += 1;
            if packets == before {
                return [&capture[..at], &block, &capture[at..]].concat();
            }
        }
        at += usize::try_from(field(at + 4)).unwrap();
    }
}

#[test]
fn secrets_in_a_capture_open_what_comes_after_them() {
    let directory = tempfile::tempdir().unwrap();
    // The last two ServerHellos are packets 12777 and 12794 (tshark); with them the keys are looked up.
    for (before, sessions) in [(1, 20), (12_777, 2), (12_778, 1), (12_795, 0)] {
        fs::write(directory.path().join("own.pcapng"), with_secrets_block(before)).unwrap();
        let one = replay(directory.path(), &["own.pcapng", "--threads", "1"]);
        let opened = opened(&one);
        let verified = opened.iter().filter(|flow| flow["opened"]["records"] != 0).count();
        assert_eq!(verified, sessions, "secrets before packet {before}");
        assert_eq!(stats(&one)[0]["name"], "own.pcapng");
        assert_eq!(stats(&one)[0]["flows"], sessions);
        assert_eq!(one.stdout, replay(directory.path(), &["own.pcapng", "--threads", "4"]).stdout);
    }
}

/// What is opened of the session with 52.81.151.250 when the key log comes before packet `at`, as it does while a capture goes
/// on, and whether it is known beforehand that one comes.
fn opened_late(at: u64, expected: bool) -> Opened {
    let rules = meetscope::classify::embedded().unwrap();
    let mut pipeline = Pipeline::new(&pipeline::Config::default(), &rules);
    if expected {
        pipeline.expect_secrets();
    }
    let mut reader = FileReader::open(&captures().join(CAPTURE)).unwrap();
    let mut frame = 0;
    while let Some(packet) = reader.next().unwrap() {
        frame += 1;
        if frame == at {
            pipeline.add_key_log(0, key_log().as_bytes());
        }
        pipeline.packet(0, frame, &packet).unwrap();
    }
    let flows = pipeline.finish().flows;
    let beijing = flows
        .into_iter()
        .find(|flow| flow.tuple.destination.ip().to_string() == "52.81.151.250" && flow.tuple.protocol == 6);
    *beijing.unwrap().facts.take().unwrap().opened.unwrap_or_default()
}

#[test]
fn what_is_sealed_waits_for_a_key_log_that_grows() {
    // Packet 121 ends the hello of the server (tshark), 138 has the first data.
    for at in [1, 121, 122, 139, 600] {
        let opened = opened_late(at, true);
        let digests = opened.sha256.map(|digest| hex(&digest.unwrap()));
        assert_eq!((digests, opened.missing), (BEIJING.map(str::to_owned), None), "before packet {at}");
    }
    let never = opened_late(u64::MAX, true);
    assert_eq!((never.records, never.missing), (0, Some(Missing::NoSecret)));
    // A file's secrets open what comes after them, and a session whose hellos came before stays closed.
    assert_eq!(opened_late(600, false).records, 0);
}
