//! What a replay in one pass does with files that are not what they should be: nothing that is read or kept is overwritten, nobody is waited
//! for, and what cannot be gone on with is named.

use super::{BEGIN, Bench, SECOND, datagram, records, words};

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A handful of packets in each of three captures.
fn small() -> Bench {
    let packet = |n: u64| (BEGIN + n * SECOND, datagram(5000 + u16::try_from(n).unwrap(), b"small"));
    Bench::new((0..15).map(packet).collect())
}

impl Bench {
    /// Ends a run that waits for something.
    fn within_time(&self, arguments: &[&str]) -> Output {
        let mut child =
            self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("{arguments:?} waits for something");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().unwrap()
    }

    /// Expects an end with this status and words, within time.
    fn ends(&self, arguments: &[&str], status: i32, says: &str) {
        let output = self.within_time(arguments);
        let told = words(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {told}");
        assert!(told.contains(says), "{arguments:?}: {says}: {told}");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// As [`Bench::kept`], with the output last.
    fn into<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let own = ["captures", "--stream", "--state", "state", "--checkpoint", "0"];
        [&own[..], more, &["-o", out]].concat()
    }
}

const STREAM: [&str; 2] = ["captures", "--stream"];

#[test]
fn no_output_is_a_file_that_is_read() {
    let bench = small();
    let capture = "captures/c00001.pcapng";
    let bytes = bench.read(capture);
    fs::hard_link(bench.path(capture), bench.path("hard")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(capture, bench.path("soft")).unwrap();
    let outs = if cfg!(unix) { &[capture, "hard", "soft"][..] } else { &[capture] };
    for out in outs {
        let says = "would overwrite this input";
        bench.ends(&[&STREAM[..], &["-o", out]].concat(), 2, says);
        bench.ends(&Bench::into(out, &[]), 2, says);
        bench.ends(&["captures", "-o", out], 2, says);
        bench.ends(&["captures/c00000.pcapng", capture, "--stream", "-o", out], 2, says);
        assert!(bench.read(capture) == bytes, "{out}");
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (option, original) in [
        ("--keylog", "captures/sip-sdes.keylog"),
        ("--policy", "policies/no-cn-keys.toml"),
        ("--geoip", "tests/vectors/geo/nested-city.mmdb"),
    ] {
        let original = fs::read(own.join(original)).unwrap();
        bench.write("read", &original);
        for more in [&[][..], &["--state", "state"]] {
            let arguments = [&STREAM[..], &[option, "read", "-o", "read"], more].concat();
            bench.ends(&arguments, 2, "read: the output would overwrite this input");
            assert!(bench.read("read") == original, "{option}");
        }
    }
}

/// Whether they are there already or not.
#[test]
fn no_output_is_a_file_that_is_kept() {
    let bench = small();
    for _ in 0..2 {
        for out in ["state", "state.lock", "state.new", "state.progress", "state.progress.lock"] {
            let says = "would overwrite this file";
            bench.ends(&Bench::into(out, &[]), 2, says);
            bench.ends(&["captures", "--state", "state", "-o", out], 2, says);
            bench.ends(&["captures", "--state", "state", "-o", &format!("./{out}")], 2, says);
        }
        bench.ends(&Bench::kept(&[]), 0, "");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
    command.args(["replay", "captures", "--format", "zeek", "--state", "conn.log", "-o", "."]);
    let output = command.current_dir(bench.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output).contains("kept under the name of --state"), "{}", words(&output));
}

#[test]
fn an_output_is_written_by_one_run_alone() {
    let bench = small();
    bench.write("out", b"what another run has written");
    let other = File::open(bench.path("out")).unwrap();
    other.lock().unwrap();
    for arguments in
        [&[&STREAM[..], &["-o", "out"]].concat()[..], &Bench::kept(&[]), &["captures", "-o", "out"]]
    {
        bench.ends(arguments, 2, "out: another run writes to it");
        assert_eq!(bench.read("out"), b"what another run has written");
    }
    drop(other);
    bench.ends(&Bench::kept(&[]), 0, "");
}

#[test]
#[cfg(unix)]
fn nobody_is_waited_for() {
    let bench = small();
    let pipe = |name: &str| {
        let made = Command::new("mkfifo").arg(bench.path(name)).status().unwrap();
        assert!(made.success());
    };
    pipe("pipe");
    bench.ends(&Bench::into("pipe", &[]), 2, "expected -o with the name of a file");
    for (name, says) in [
        ("state", "state: expected a file, found something else"),
        ("state.progress", "state.progress: expected a file, found something else; remove it to begin anew"),
    ] {
        let _ = fs::remove_file(bench.path(name));
        pipe(name);
        bench.ends(&Bench::kept(&[]), 1, says);
        fs::remove_file(bench.path(name)).unwrap();
    }
    let call = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/zoom-gcm.pcapng");
    pipe("state.lock");
    let says = "state: expected a file, found something else";
    bench.ends(&[call.to_str().unwrap(), "--state", "state"], 1, says);
    fs::remove_file(bench.path("state.lock")).unwrap();
    bench.ends(&Bench::kept(&[]), 0, "");
    fs::remove_file(bench.path("state.progress")).unwrap();
    fs::create_dir(bench.path("state.progress")).unwrap();
    bench.ends(&Bench::kept(&[]), 1, "state.progress: expected a file, found something else; remove it");
    fs::remove_dir(bench.path("state.progress")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", bench.path("state.progress")).unwrap();
    bench.ends(&Bench::kept(&[]), 1, "state.progress: expected a file, found something else; remove it");
}

#[test]
fn a_directory_without_a_capture_is_told() {
    let bench = small();
    fs::create_dir(bench.path("none")).unwrap();
    let says = "none: there is no capture in this directory";
    bench.ends(&["none", "--stream"], 1, says);
    bench.ends(&["none"], 1, says);
    let kept = ["none", "--stream", "--state", "state", "-o", "out"];
    bench.ends(&kept, 0, says);
    assert!(!bench.path("out").exists());
    for (place, file) in bench.files.iter().enumerate() {
        fs::copy(file, bench.path(&format!("none/{place}"))).unwrap();
    }
    bench.ends(&kept, 0, "");
    assert_eq!(records(&bench.read("out")).len(), 16);
}

#[test]
#[cfg(unix)]
fn what_is_passed_over_is_told_and_the_own_files_are_not() {
    let bench = small();
    let into = |out: &str, more: &[&str]| {
        let own = ["--stream", "--state", "captures/state", "-o", out];
        bench.within_time(&[&["captures"], more, &own].concat())
    };
    for says in ["", "captures/out: all 3 captures have been read, nothing is left\n"] {
        let output = into("captures/out", &[]);
        let says = if says.is_empty() { String::new() } else { format!("meetscope: {says}") };
        assert_eq!((output.status.code(), words(&output)), (Some(0), says));
    }
    std::os::unix::fs::symlink("absent", bench.path("captures/link")).unwrap();
    let made = Command::new("mkfifo").arg(bench.path("captures/pipe")).status().unwrap();
    assert!(made.success());
    let output = into("captures/out", &["captures/c00001.pcapng"]);
    let told = words(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("captures: 2 names in it are of no files"), "{told}");
    assert!(told.contains("captures/link, captures/pipe"), "{told}");
    assert!(told.contains("captures/c00001.pcapng is named more than once and is read once"), "{told}");
    assert!(told.contains("all 3 captures have been read, nothing is left"), "{told}");
}
