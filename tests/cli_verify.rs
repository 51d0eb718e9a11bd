//! `meetscope verify`, as a user meets it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/zoom-beijing-2020.pcapng");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/zoom-beijing-2020.key");

fn verify(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_meetscope");
    Command::new(program).arg("verify").args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn key() -> String {
    fs::read_to_string(KEY).unwrap().trim().to_owned()
}

#[test]
fn the_right_key_verifies_with_its_figures_and_is_never_shown() {
    let output = verify(&[CAPTURE, "--key-file", KEY]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.starts_with("VERIFIED: the key opens 8 of 13 RTP streams"), "{text}");
    assert!(text.contains("verified on 502 of 502 units: AES-128-ECB, zero padding"), "{text}");
    assert!(!format!("{text}{}", err(&output)).to_lowercase().contains(&key().to_lowercase()));
}

#[test]
fn a_directory_stands_for_the_captures_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let empty = verify(&[at, "--key-file", KEY]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(err(&empty).contains("there is no capture in this directory"), "{}", err(&empty));
    fs::copy(CAPTURE, folder.path().join("1.pcapng")).unwrap();
    let output = verify(&[at, "--key-file", KEY]);
    let copied = folder.path().join("1.pcapng").display().to_string();
    assert_eq!(out(&output).replace(&copied, CAPTURE), out(&verify(&[CAPTURE, "--key-file", KEY])));
}

#[test]
fn what_the_key_opens_comes_first_and_is_named_by_its_file() {
    let [plain, sdes] = ["plain-rtp.pcapng", "sip-sdes.pcapng"].map(captured);
    let output = verify(&[&plain, CAPTURE, &sdes, "--key-file", KEY]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.lines().next().unwrap().starts_with("VERIFIED: the key opens 8 of "), "{text}");
    assert!(text.lines().next().unwrap().ends_with(" RTP streams in 3 files"), "{text}");
    let verdicts: Vec<bool> = text
        .lines()
        .filter(|line| line.starts_with("  verified on") || line.starts_with("  not "))
        .map(|line| line.starts_with("  verified"))
        .collect();
    assert!(verdicts.len() > 13 && verdicts.iter().take(8).all(|verified| *verified), "{text}");
    assert!(!verdicts.iter().skip(8).any(|verified| *verified), "{text}");
    for file in [CAPTURE, &plain, &sdes] {
        assert!(text.contains(&format!(" of {file}\n")), "{text}");
    }
}

#[test]
fn a_capture_that_is_cut_is_marked_incomplete_and_one_that_is_not_there_is_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.pcapng");
    let mut bytes = fs::read(CAPTURE).unwrap();
    bytes.truncate(bytes.len() - 5);
    fs::write(&cut, bytes).unwrap();
    let cut = cut.to_str().unwrap();
    let absent = folder.path().join("absent.pcap");
    let absent = absent.to_str().unwrap();
    for (file, status, head) in
        [(cut, 0, "VERIFIED: the key opens 8 of 13"), (absent, 1, "NOT VERIFIED: nothing could be read of ")]
    {
        let output = verify(&[file, "--key-file", KEY]);
        assert_eq!(output.status.code(), Some(status), "{}", err(&output));
        let text = out(&output);
        assert!(text.starts_with(head) && text.contains(&format!("\nINCOMPLETE: {file}: ")), "{text}");
        assert!(!text.contains("What this does not prove"), "{text}");
        let output = verify(&[file, "--key-file", KEY, "--format", "json"]);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value.pointer("/complete").unwrap(), false);
        let why = value.pointer("/incomplete/0").unwrap().as_str().unwrap();
        assert!(why.starts_with(&format!("{file}: ")), "{why}");
    }
    let output = verify(&[CAPTURE, "--key-file", KEY, "--format", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((value.pointer("/complete").unwrap(), value.pointer("/incomplete")), (&true.into(), None));
}

#[test]
fn the_json_answer_has_the_same_figures() {
    let output = verify(&[CAPTURE, "--key-file", KEY, "--format", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value.pointer("/verified").unwrap(), true);
    let streams = value.pointer("/streams").unwrap().as_array().unwrap();
    let opened: Vec<_> =
        streams.iter().filter(|stream| stream.pointer("/verified").unwrap() == true).collect();
    assert_eq!((streams.len(), opened.len()), (13, 8));
    for stream in opened {
        assert_eq!(stream.pointer("/cipher").unwrap(), "AES-128-ECB, zero padding");
        assert!(stream.pointer("/log10_false_accept").unwrap().as_f64().unwrap() < -1000.0);
        assert_eq!(stream.pointer("/units_verified"), stream.pointer("/units_tried"));
    }
}

#[test]
fn a_flipped_bit_does_not_verify_and_what_that_leaves_open_is_said() {
    let mut typed = key().into_bytes();
    let last = typed.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let output = verify(&[CAPTURE, "--key", &String::from_utf8(typed).unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let text = out(&output);
    assert!(text.starts_with("NOT VERIFIED: the key opens none of 13 RTP streams"), "{text}");
    assert!(text.contains("What this does not prove"), "{text}");
}

#[test]
fn the_key_may_come_from_standard_input_or_a_named_file() {
    let program = env!("CARGO_BIN_EXE_meetscope");
    let mut child = Command::new(program)
        .args(["verify", CAPTURE, "--key-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("0x{}\n", key()).as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    let output = verify(&[CAPTURE, "--key", &format!("@{KEY}"), "--mode", "ecb"]);
    assert_eq!(output.status.code(), Some(0));
    let output = verify(&[CAPTURE, "--key-file", KEY, "--mode", "gcm"]);
    assert_eq!(output.status.code(), Some(1), "it is no key for GCM");
}

#[test]
fn bad_usage_is_told_apart_from_a_key_that_does_not_open() {
    let cases: [(&[&str], &str); 8] = [
        (&[CAPTURE, "--key", "00112233"], "4 bytes as hex"),
        (&[CAPTURE, "--key", "no key at all!"], "neither hex nor base64"),
        (&[CAPTURE], "--key-file"),
        (&[CAPTURE, "--key", "00", "--key-file", KEY], "cannot be used with"),
        (&["-", "--key-file", "-"], "read only once"),
        (&[CAPTURE, "--key-file", KEY, "--salt", "0011"], "2 bytes"),
        (&[CAPTURE, "--key-file", KEY, "--nonce", "zz"], "1 byte as base64; a sender's nonce has 16 bytes"),
        (
            &[CAPTURE, "--key-file", KEY, "--mode", "srtp"],
            "SRTP needs a master salt of 14 bytes (12 for AEAD)",
        ),
    ];
    for (arguments, words) in cases {
        let output = verify(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(words), "{arguments:?}: {}", err(&output));
    }
    let output = verify(&[CAPTURE, "--key-file", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("/nonexistent"));
}

fn captured(name: &str) -> String {
    format!("{}/captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_file_of_nonces_has_one_for_each_sender() {
    let [capture, key, nonces] = ["zoom-gcm.pcapng", "zoom-gcm.key", "zoom-gcm.nonces"].map(captured);
    let output = verify(&[&capture, "--key-file", &key, "--nonce", &format!("@{nonces}")]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains("as meeting key with 2 nonces"), "{text}");
    assert!(text.contains("with nonce number 1") && text.contains("with nonce number 2"), "{text}");
}

#[test]
fn media_that_is_not_encrypted_is_said_to_be_so() {
    let output = verify(&[&captured("plain-rtp.pcapng"), "--key-file", KEY]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains("This media is not encrypted at all"), "{text}");
    assert!(text.contains("its payload is not encrypted at all"), "{text}");
    assert!(!text.contains("key of another time"), "{text}");
    let output = verify(&[CAPTURE, "--key-file", KEY, "--mode", "gcm"]);
    assert!(!out(&output).contains("not encrypted") && out(&output).contains("key of another time"));
}

#[test]
fn a_capture_without_media_says_so() {
    let output = verify(&[CAPTURE, "--key-file", KEY, "--bpf", "tcp"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("nothing was tried: no RTP stream was found in"), "{}", out(&output));
    assert!(
        !out(&output).contains("  tried:") && out(&output).contains("16 bytes as hex"),
        "{}",
        out(&output)
    );
    // Streams whose packets a snap length has cut: tags and padding are gone.
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.pcapng");
    fs::write(&cut, cut_packets(&fs::read(CAPTURE).unwrap(), 90)).unwrap();
    let output = verify(&[cut.to_str().unwrap(), "--key-file", KEY]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(out(&output).contains("a snap length cut all its packets"), "{}", out(&output));
    assert!(out(&output).contains("packets were cut by a snap length"), "{}", out(&output));
}

/// The pcapng with each packet cut to at most `most` bytes: little-endian, enhanced packet blocks.
#[expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a file of our own")]
fn cut_packets(file: &[u8], most: usize) -> Vec<u8> {
    let word = |at: usize| usize::try_from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap())).unwrap();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let (kind, length) = (word(at), word(at + 4));
        let captured = word(at + 20);
        if kind == 6 && captured > most {
            let total = u32::try_from(32 + most.next_multiple_of(4)).unwrap().to_le_bytes();
            out.extend_from_slice(&file[at..at + 4]);
            out.extend_from_slice(&total);
            out.extend_from_slice(&file[at + 8..at + 20]);
            out.extend_from_slice(&u32::try_from(most).unwrap().to_le_bytes());
            out.extend_from_slice(&file[at + 24..at + 28 + most.next_multiple_of(4)]);
            out.extend_from_slice(&total);
        } else {
            out.extend_from_slice(&file[at..at + length]);
        }
        at += length;
    }
    out
}

#[test]
fn the_help_warns_of_the_history_and_shows_no_key_to_type() {
    let output = verify(&["--help"]);
    let text = out(&output);
    assert!(text.contains("history") && text.contains("--key-file"), "{text}");
    assert!(!text.contains("--key 0") && !text.contains("--key a"), "{text}");
}
