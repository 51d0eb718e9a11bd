//! `replay --stream`: captures in one pass, killed and gone on with. What comes out is held against a plain replay of the same files,
//! and against a run that nobody interrupted.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "what is skipped is told")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests count on small known numbers"
)]

#[path = "stream/files.rs"]
mod files;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use meetscope::capture::FileReader;
use serde_json::Value;
use tempfile::TempDir;

/// Calls of all kinds, one after the other.
const CALLS: [&str; 9] = [
    "zoom-ecb-pkcs7",
    "zoom-gcm",
    "sip-sdes",
    "dtls-srtp",
    "e2e-call",
    "plain-rtp",
    "sip-berlin",
    "false-place",
    "hostile-names",
];
/// Key logs that stand in the first file of a series, for calls that are in later ones.
const SECRETS: [&str; 3] = ["zoom-gcm", "dtls-srtp", "e2e-call"];
const SECOND: u64 = 1_000_000_000;
/// 14 November 2023.
const BEGIN: u64 = 1_700_000_000 * SECOND;
/// From one call to the next.
const APART: u64 = 7 * SECOND;
/// From one round of all calls to the next: every endpoint is silent in between.
const ROUND: u64 = 900 * SECOND;
/// Packets of a flow that goes on all the time come so far apart, less than it takes to go idle.
const BEAT: u64 = 100 * SECOND;

type Packet = (u64, Vec<u8>);

fn calls(rounds: u64) -> Vec<Packet> {
    let mut all = Vec::new();
    for (place, name) in CALLS.iter().enumerate() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("captures/{name}.pcapng"));
        let mut reader = FileReader::open(&path).unwrap();
        let mut packets = Vec::new();
        while let Some(packet) = reader.next().unwrap() {
            assert_eq!(packet.link_type.0, 1);
            packets.push((u64::try_from(packet.timestamp.as_nanos()).unwrap(), packet.data.to_vec()));
        }
        let first = packets.iter().map(|(time, _)| *time).min().unwrap();
        let place = u64::try_from(place).unwrap();
        for round in 0..rounds {
            let begin = BEGIN + round * ROUND + place * APART;
            all.extend(packets.iter().map(|(time, data)| (begin + time - first, data.clone())));
        }
    }
    all
}

/// A datagram from a port of 10.9.8.7 to 198.51.100.9.
fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    let length = u16::try_from(8 + payload.len()).unwrap();
    frame.extend((20 + length).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 8, 7, 198, 51, 100, 9]);
    frame.extend(port.to_be_bytes());
    frame.extend(4000_u16.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// A flow that goes on for so many rounds.
fn beats(rounds: u64) -> Vec<Packet> {
    let payload = |beat: u64| format!("beat {beat:08}").into_bytes();
    (0..rounds * ROUND / BEAT)
        .map(|beat| (BEGIN + beat * BEAT + 5, datagram(40_000, &payload(beat))))
        .collect()
}

/// pcapng with nanoseconds.
fn pcapng(packets: &[Packet], secrets: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        file.extend([&kind.to_le_bytes()[..], &length, &body, &length].concat());
    };
    block(0x0a0d_0d0a, [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
    block(1, vec![1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    if !secrets.is_empty() {
        let length = u32::try_from(secrets.len()).unwrap();
        block(10, [&0x544c_534b_u32.to_le_bytes()[..], &length.to_le_bytes(), secrets].concat());
    }
    for (time, data) in packets {
        let (high, low) = (u32::try_from(time >> 32).unwrap(), u32::try_from(time & 0xffff_ffff).unwrap());
        let length = u32::try_from(data.len()).unwrap();
        let head = [0, high, low, length, length].map(u32::to_le_bytes).concat();
        block(6, [head, data.clone()].concat());
    }
    file
}

/// A folder with captures in it.
struct Bench {
    folder: TempDir,
    files: Vec<PathBuf>,
}

impl Bench {
    /// A file for every five seconds in which there are packets.
    fn new(mut packets: Vec<Packet>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("captures")).unwrap();
        packets.sort_by_key(|(time, _)| *time);
        let mut parts: BTreeMap<u64, Vec<Packet>> = BTreeMap::new();
        for (time, data) in packets {
            parts.entry((time - BEGIN) / (5 * SECOND)).or_default().push((time, data));
        }
        let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
        let log = |name: &str| fs::read(captures.join(format!("{name}.keylog"))).unwrap();
        let mut secrets: Vec<u8> = SECRETS.iter().flat_map(|name| log(name)).collect();
        let mut files = Vec::new();
        for (place, packets) in parts {
            let path = folder.path().join(format!("captures/c{place:05}.pcapng"));
            fs::write(&path, pcapng(&packets, &std::mem::take(&mut secrets))).unwrap();
            files.push(path);
        }
        Self { folder, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
        command.current_dir(self.folder.path()).env("NO_COLOR", "").env("MEETSCOPE_GEOIP_DIR", "");
        command.args(["replay", "--format", "ndjson"]).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The output of one pass over the folder that nobody interrupts.
    fn in_one_go(&self, more: &[&str]) -> Vec<u8> {
        let output = self.run(&[&["captures", "--stream", "-o", "whole"], more].concat());
        assert_eq!(words(&output), "");
        fs::read(self.path("whole")).unwrap()
    }

    /// The arguments of a run with a state, which writes a checkpoint as often as it can.
    fn kept<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let own = ["captures", "--stream", "--state", "state", "--checkpoint", "0", "-o", "out"];
        [&own[..], more].concat()
    }

    fn keep(&self, more: &[&str]) -> Output {
        self.run(&Self::kept(more))
    }

    /// Packets that the last checkpoint stands behind.
    fn taken(&self) -> u64 {
        let text = fs::read_to_string(self.path("state.progress")).unwrap_or_default();
        let head: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
        head["taken"].as_u64().unwrap_or(0)
    }

    /// Lets a run come so many packets further, and `then` the signal come; true where it was in time.
    fn interrupt(&self, more: &[&str], packets: u64, then: impl Fn(&mut Child)) -> bool {
        let goal = self.taken() + packets;
        let mut child = self.command(&Self::kept(more)).stderr(Stdio::null()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            if self.taken() >= goal {
                then(&mut child);
                return !child.wait().unwrap().success();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// Kills a run again and again until one comes to its end; what it wrote, and how often it was killed.
    fn killed(&self, seed: u64, more: &[&str]) -> (Vec<u8>, u32) {
        let (mut chance, mut kills) = (seed, 0);
        for _ in 0..100 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let packets = 1 + (chance >> 33) % 4000;
            let delay = Duration::from_micros((chance >> 40) % 15_000);
            let kill = |child: &mut Child| {
                std::thread::sleep(delay);
                let _ = child.kill();
            };
            if !self.interrupt(more, packets, kill) {
                break;
            }
            kills += 1;
            let is_over = fs::read_to_string(self.path("state.progress")).unwrap().contains("\n{\"out\":");
            if chance & 1 << 50 == 0 && !is_over {
                // As if more had been written before the power went.
                let mut out = OpenOptions::new().append(true).open(self.path("out")).unwrap();
                out.write_all(b"{\"event_type\":\"session\",\"half").unwrap();
            }
        }
        let last = self.keep(more);
        assert!(words(&last).ends_with("nothing is left\n"), "{}", words(&last));
        (fs::read(self.path("out")).unwrap(), kills)
    }
}

fn words(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn records(text: &[u8]) -> Vec<Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event_type"] == event).collect()
}

/// Flows by their number.
fn flows(records: &[Value]) -> BTreeMap<String, Value> {
    let plain = |flow: &Value| {
        let mut flow = flow.clone();
        let counted = flow["flow"].as_object_mut().unwrap();
        // One pass lets time go on for all flows; in a replay, one that goes idle may be there still when the captures end.
        if counted["ending"] == "end_of_capture" {
            counted.insert("ending".to_owned(), "idle".into());
        }
        flow
    };
    let of = of(records, "flow").into_iter();
    of.map(|flow| (flow["flow_id"].to_string(), plain(flow))).collect()
}

/// Says of what is not the same only where and in which fields.
fn assert_same(what: &str, expected: &BTreeMap<String, Value>, found: &BTreeMap<String, Value>) {
    let names = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found), "{what}");
    for (name, expected) in expected {
        let (expected, found) = (expected.as_object().unwrap(), found[name].as_object().unwrap());
        let fields: Vec<&String> = expected.keys().chain(found.keys()).collect();
        let differing: Vec<&&String> =
            fields.iter().filter(|field| expected.get(**field) != found.get(**field)).collect();
        assert!(differing.is_empty(), "{what} {name}: {differing:?}");
    }
}

/// Sessions by their number.
fn sessions(records: &[Value]) -> BTreeMap<String, Value> {
    let plain = |session: &Value| {
        let mut session = session.clone();
        // A session that is written before another of its meeting has ended does not know of it.
        session.as_object_mut().unwrap().remove("meeting_id");
        session
    };
    let of = of(records, "session").into_iter();
    of.map(|session| (session["session_id"].to_string(), plain(session))).collect()
}

/// One round: where endpoints are heard of again after a quarter of an hour, a replay puts both calls together and one pass does not.
#[test]
fn one_pass_says_what_a_replay_says() {
    let bench = Bench::new([calls(1), beats(1)].concat());
    let names: Vec<&str> = bench.files.iter().map(|file| file.to_str().unwrap()).collect();
    assert!(names.len() > 20);
    let plain = bench.run(&names);
    assert_eq!(plain.status.code(), Some(0), "{}", words(&plain));
    let plain = records(&plain.stdout);
    let whole = records(&bench.in_one_go(&[]));
    assert_same("flow", &flows(&plain), &flows(&whole));
    assert!(sessions(&plain).len() > 20);
    assert_same("session", &sessions(&plain), &sessions(&whole));
    // A meeting is written again when another session of it has ended; the last record holds.
    let meetings = |records: &[Value]| -> BTreeMap<String, String> {
        let fields = ["sessions", "endpoints", "app"];
        let text = |meeting: &Value| fields.map(|field| meeting[field].to_string()).join(" ");
        let of = of(records, "meeting").into_iter();
        of.map(|meeting| (meeting["meeting_id"].to_string(), text(meeting))).collect()
    };
    assert!(!meetings(&plain).is_empty());
    assert_eq!(meetings(&plain), meetings(&whole));
    let (before, after) = (of(&plain, "stats"), of(&whole, "stats"));
    for field in ["packets", "decode", "flows", "sessions", "complete"] {
        assert_eq!(before[0][field], after[0][field], "{field}");
    }
    assert_eq!(after[0]["stream"]["endpoints_released_early"], 0);
}

#[test]
fn neither_threads_nor_checkpoints_change_a_byte() {
    let bench = Bench::new(calls(1));
    let whole = bench.in_one_go(&["--threads", "1"]);
    assert_eq!(bench.in_one_go(&["--threads", "8"]), whole);
    let kept = bench.keep(&[]);
    assert_eq!((kept.status.code(), words(&kept).as_str()), (Some(0), ""));
    assert_eq!(fs::read(bench.path("out")).unwrap(), whole);
}

/// A session is written when it is over, not at the end of the captures.
#[test]
fn sessions_are_written_while_captures_are_read() {
    let bench = Bench::new(calls(2));
    let whole = records(&bench.in_one_go(&["--records", "session,flow"]));
    let first = whole.iter().position(|record| record["event_type"] == "session").unwrap();
    let second_round =
        |record: &Value| record["timestamp"].as_str().is_some_and(|time| time > "2023-11-14T22:28:00");
    let later = whole.iter().position(second_round).unwrap();
    assert!(first < later, "{first} {later}");
}

#[test]
fn a_run_that_is_killed_goes_on_as_if_nothing_had_been() {
    let bench = Bench::new(calls(2));
    let whole = bench.in_one_go(&[]);
    let (out, kills) = bench.killed(1, &[]);
    assert!(kills >= 3, "{kills}");
    assert!(out == whole, "killed {kills} times: {} bytes, expected {}", out.len(), whole.len());
}

/// The flow that never ends has packets read again from the first on; policies and key logs are known again.
#[test]
fn what_is_known_of_earlier_files_is_known_again() {
    let bench = Bench::new([calls(2), beats(2)].concat());
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let log = captures.join("sip-sdes.keylog");
    let policy = captures.join("../policies/end-to-end-only.toml");
    let more = ["--keylog", log.to_str().unwrap(), "--policy", policy.to_str().unwrap()];
    let whole = bench.in_one_go(&more);
    assert!(of(&records(&whole), "alert").len() > 10);
    let log_of_capture = records(&whole).pop().unwrap()["key_logs"][1]["flows"].as_u64();
    assert!(log_of_capture.unwrap() > 4, "{log_of_capture:?}");
    let (out, kills) = bench.killed(7, &more);
    assert!(kills >= 3, "{kills}");
    assert!(out == whole, "killed {kills} times: {} bytes, expected {}", out.len(), whole.len());
}

/// Sends a signal with the shell's own `kill`: a bare machine has no program of that name.
#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(status.success());
}

/// Whether whoever began the tests has SIGHUP ignored, which a program that it begins inherits.
#[cfg(unix)]
fn ignores_hup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    ignored.trim().ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f'])
}

#[test]
#[cfg(unix)]
fn a_run_that_is_asked_to_end_says_so_and_goes_on() {
    let bench = Bench::new(calls(1));
    let whole = bench.in_one_go(&[]);
    for name in ["INT", "HUP"] {
        if name == "HUP" && ignores_hup() {
            println!("skipped: SIGHUP is ignored here");
            continue;
        }
        assert!(bench.interrupt(&[], 3000, |child| signal(child, name)), "{name}");
        let taken = bench.taken();
        assert!(taken >= 3000);
        let rest = bench.keep(&[]);
        assert_eq!(rest.status.code(), Some(0));
        assert!(words(&rest).contains(&format!("goes on behind {taken} packets")), "{}", words(&rest));
        assert_eq!(fs::read(bench.path("out")).unwrap(), whole);
        fs::remove_file(bench.path("state.progress")).unwrap();
        fs::remove_file(bench.path("out")).unwrap();
    }
}

/// What is written behind the last checkpoint, which stands at the end of the captures, is cut off and written anew.
#[test]
#[cfg(unix)]
fn a_run_that_is_asked_to_end_while_it_judges_the_rest_goes_on() {
    let bench = Bench::new(calls(1));
    let whole = bench.in_one_go(&[]);
    let has_read_all = || {
        let text = fs::read_to_string(bench.path("state.progress")).unwrap_or_default();
        text.lines().next().is_some_and(|head| head.contains("\"at\":null"))
    };
    for _ in 0..5 {
        let mut child = bench.command(&Bench::kept(&[])).stderr(Stdio::piped()).spawn().unwrap();
        while !has_read_all() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&child, "INT");
        let output = child.wait_with_output().unwrap();
        let is_in_time = words(&output).contains("interrupted: the same command goes on");
        assert_eq!(output.status.success(), !is_in_time, "{}", words(&output));
        let rest = bench.keep(&[]);
        assert_eq!(rest.status.code(), Some(0));
        let says = if is_in_time { "goes on behind" } else { "nothing is left" };
        assert!(words(&rest).contains(says), "{}", words(&rest));
        assert_eq!(fs::read(bench.path("out")).unwrap(), whole);
        if is_in_time {
            return;
        }
        fs::remove_file(bench.path("state.progress")).unwrap();
        fs::remove_file(bench.path("out")).unwrap();
    }
    println!("skipped: the rest was judged before the signal came, each time");
}

/// What `nohup` begins outlives its terminal.
#[test]
#[cfg(unix)]
fn a_run_that_is_to_ignore_the_end_of_its_terminal_does() {
    let bench = Bench::new(calls(1));
    let whole = bench.in_one_go(&[]);
    let plain = bench.command(&Bench::kept(&[]));
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(bench.folder.path())
        .env("MEETSCOPE_GEOIP_DIR", "")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    while bench.taken() < 1000 {
        assert!(child.try_wait().unwrap().is_none(), "over too soon");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "HUP");
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read(bench.path("out")).unwrap(), whole);
}

/// An hour's capture comes after the other; the last one is still being written when it is first read.
#[test]
fn captures_that_come_later_are_read_as_if_they_had_been_there() {
    let bench = Bench::new(calls(2));
    let whole = bench.in_one_go(&[]);
    let aside: Vec<(&PathBuf, Vec<u8>)> =
        bench.files[15..].iter().map(|file| (file, fs::read(file).unwrap())).collect();
    for (file, bytes) in &aside[1..] {
        assert!(!bytes.is_empty());
        fs::remove_file(file).unwrap();
    }
    let (growing, bytes) = &aside[0];
    fs::write(growing, &bytes[..bytes.len() / 2]).unwrap();
    let first = bench.keep(&[]);
    assert_eq!(first.status.code(), Some(1), "a capture is cut");
    fs::write(growing, bytes).unwrap();
    let more = bench.keep(&[]);
    assert_eq!(more.status.code(), Some(0), "{}", words(&more));
    for (file, bytes) in &aside[1..] {
        fs::write(file, bytes).unwrap();
        if file.ends_with("c00024.pcapng") {
            bench.keep(&[]);
        }
    }
    let last = bench.keep(&[]);
    assert_eq!(last.status.code(), Some(0), "{}", words(&last));
    assert!(fs::read(bench.path("out")).unwrap() == whole);
    let nothing = bench.keep(&[]);
    assert_eq!(nothing.status.code(), Some(0));
    assert!(words(&nothing).contains("nothing is left"), "{}", words(&nothing));
    assert!(fs::read(bench.path("out")).unwrap() == whole);
}

/// What is not as it was is named, and nothing that was written is touched.
#[test]
fn what_is_not_as_it_was_is_named() {
    let bench = Bench::new(calls(2));
    assert_eq!(bench.keep(&[]).status.code(), Some(0));
    let out = fs::read(bench.path("out")).unwrap();
    let refused = |says: &str, more: &[&str]| {
        let output = bench.keep(more);
        assert_eq!(output.status.code(), Some(1), "{says}");
        assert!(words(&output).contains(says), "{says}: {}", words(&output));
        assert_eq!(fs::read(bench.path("out")).unwrap(), out);
    };
    let file = &bench.files[3];
    let bytes = fs::read(file).unwrap();
    let changed = fs::metadata(file).unwrap().modified().unwrap();
    fs::remove_file(file).unwrap();
    refused("c00003.pcapng: was read before", &[]);
    fs::write(file, [&bytes[..], &bytes[bytes.len() - 100..]].concat()).unwrap();
    refused("c00003.pcapng: has changed", &[]);
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(file, &other).unwrap();
    refused("c00003.pcapng: has changed since it was read (it has as many bytes", &[]);
    fs::File::open(file).unwrap().set_modified(changed + Duration::from_secs(1)).unwrap();
    fs::write(file, &bytes).unwrap();
    assert!(words(&bench.keep(&[])).contains("nothing is left"), "copied anew, the same bytes");
    refused("is of a run without --bpf, and this one is with --bpf udp", &["--bpf", "udp"]);
    let some = ["--records", "session,stats", "--keep-duplicates"];
    refused("is of a run without --records, and this one is with --records session,stats", &some);
    refused("is of a run without --keep-duplicates, and this one is with --keep-duplicates;", &some[2..]);
    let early = bench.path("captures/early.pcapng");
    fs::write(&early, pcapng(&[(BEGIN + 3 * SECOND, datagram(1, b"early"))], &[])).unwrap();
    refused("early.pcapng: is new and begins before", &[]);
    fs::remove_file(&early).unwrap();
    assert!(words(&bench.keep(&[])).contains("nothing is left"));
    OpenOptions::new().write(true).open(bench.path("out")).unwrap().set_len(100).unwrap();
    let output = bench.keep(&[]);
    assert!(words(&output).contains("out: expected the"), "{}", words(&output));
    assert_eq!(fs::metadata(bench.path("out")).unwrap().len(), 100);
}

/// A name that is used again, by a capture that happens to be longer.
#[test]
fn another_capture_in_the_place_of_one_that_may_have_grown_is_named() {
    let bench = Bench::new(calls(2));
    assert_eq!(bench.keep(&[]).status.code(), Some(0));
    let out = fs::read(bench.path("out")).unwrap();
    let last = bench.files.last().unwrap();
    let bytes = fs::read(last).unwrap();
    let packets: Vec<_> = (0..400_u64)
        .map(|n| (BEGIN + (1000 + n) * SECOND, datagram(9, &[u8::try_from(n % 251).unwrap(); 900])))
        .collect();
    let other = pcapng(&packets, &[]);
    assert!(other.len() > bytes.len());
    fs::write(last, other).unwrap();
    let output = bench.keep(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("has changed since it was read"), "{}", words(&output));
    assert_eq!(fs::read(bench.path("out")).unwrap(), out);
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let bench = Bench::new(calls(1));
    for (arguments, says) in [
        (&["captures", "--stream", "--format", "html"][..], "expected --format ndjson or text"),
        (&["captures", "--stream", "--format", "zeek", "-o", "logs"], "expected --format ndjson or text"),
        (&["captures", "--stream", "--state", "state"], "expected -o with the name of a file"),
        (&["captures", "--stream", "--state", "state", "-o", "-"], "expected -o with the name of a file"),
        (&["-", "--stream", "--state", "state", "-o", "out"], "standard input can be read only once"),
        (&["captures", "--stream", "--hash"], "leave it out with --stream"),
        (&["captures", "--stream", "--export-pcap", "s1"], "without --stream"),
        (&["captures", "--memory-mib", "256"], "--stream"),
        (&["captures", "--stream", "--checkpoint", "1"], "--state"),
        (&["captures", "--stream", "--memory-mib", "1"], "128"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
        command.current_dir(bench.folder.path()).arg("replay").args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains(says), "{arguments:?}: {}", words(&output));
    }
    assert!(!bench.path("out").exists());
}

/// Where flows alone are asked for, sessions are only told apart: flows and counters are the same.
#[test]
fn flows_alone_are_the_flows_of_sessions() {
    let bench = Bench::new(calls(3));
    let (all, alone) =
        (records(&bench.in_one_go(&[])), records(&bench.in_one_go(&["--records", "flow,stats"])));
    let in_sessions = of(&alone, "flow").into_iter().filter(|flow| flow["session_id"].is_string()).count();
    assert!(in_sessions > 10 && !of(&all, "session").is_empty() && of(&alone, "session").is_empty());
    let kept = |records: &[Value]| -> Vec<Value> {
        of(records, "flow").into_iter().chain(of(records, "stats")).cloned().collect()
    };
    let (expected, found) = (kept(&all), kept(&alone));
    assert!(expected.last().unwrap()["sessions"].as_u64().unwrap() > 2);
    assert_eq!(expected, found);
}

/// A flood of flows of one packet each: what there is no room for is let go, judged and counted, and none is missing.
#[test]
#[cfg(target_os = "linux")]
fn memory_is_kept_within_its_budget() {
    const FLOWS: u32 = 200_000;
    let flood = |flow: u32| {
        let mut frame = datagram(4000, b"flood");
        // The address of the sender.
        frame[27..30].copy_from_slice(&flow.to_be_bytes()[1..]);
        (BEGIN + u64::from(flow) * 100_000, frame)
    };
    let bench = Bench::new((0..FLOWS).map(flood).collect());
    let (code, most, stats) = within_128_mib(&bench);
    assert_eq!(code, Some(0));
    assert_eq!(stats["flows"]["total"], FLOWS);
    assert!(stats["flows"]["evicted"].as_u64().unwrap() > 100_000, "{}", stats["flows"]);
    assert!(stats["stream"]["endpoints_released_early"].as_u64().unwrap() > 100_000, "{}", stats["stream"]);
    assert!((10..BUDGET_KIB).contains(&most), "{most} KiB");
}

#[cfg(target_os = "linux")]
const BUDGET_KIB: u64 = 128 << 10;

/// Exit status, the largest resident set in KiB as it was seen, and `stats`.
#[cfg(target_os = "linux")]
fn within_128_mib(bench: &Bench) -> (Option<i32>, u64, Value) {
    let arguments = ["captures", "--stream", "--memory-mib", "128", "--records", "stats", "-o", "out"];
    let mut child = bench.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        most = most.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let stats = records(&fs::read(bench.path("out")).unwrap()).pop().unwrap();
    (child.wait().unwrap().code(), most, stats)
}

/// Flows that each hold thirty long names, thousands of them within a second: far more than memory looked at by the second would notice.
#[test]
#[cfg(target_os = "linux")]
fn flows_of_which_much_is_held_are_kept_within_the_budget_too() {
    const FLOWS: u32 = 20_000;
    let name = |text: &str| -> Vec<u8> {
        let part = |part: &str| [&[u8::try_from(part.len()).unwrap()], part.as_bytes()].concat();
        text.split('.').flat_map(part).chain([0]).collect()
    };
    let long = ["a", "b", "c"].map(|letter| letter.repeat(60)).join(".");
    let answers = |flow: u32| {
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 30, 0, 0, 0, 0];
        message.extend([name("x.in-addr.arpa"), vec![0, 12, 0, 1]].concat());
        for low in 0..30_u32 {
            let [a, b, c, d] = (0x0b00_0000 + flow * 30 + low).to_be_bytes();
            let host = name(&format!("h{flow}-{low}.{long}"));
            message.extend(name(&format!("{d}.{c}.{b}.{a}.in-addr.arpa")));
            message.extend([0, 12, 0, 1, 0, 0, 2, 88, 0, u8::try_from(host.len()).unwrap()]);
            message.extend(host);
        }
        let mut frame = datagram(53, &message);
        // The address of the sender.
        frame[27..30].copy_from_slice(&flow.to_be_bytes()[1..]);
        (BEGIN + u64::from(flow) * 10_000, frame)
    };
    let bench = Bench::new((0..FLOWS).map(answers).collect());
    let (code, most, stats) = within_128_mib(&bench);
    assert_eq!((code, &stats["flows"]["total"]), (Some(0), &FLOWS.into()));
    assert!(stats["flows"]["evicted"].as_u64().unwrap() > 1000, "{}", stats["flows"]);
    assert!((10..BUDGET_KIB).contains(&most), "{most} KiB");
}
