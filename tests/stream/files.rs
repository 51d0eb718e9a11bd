//! What a replay in one pass does with files that are not what they should be: nothing that is read or kept is overwritten, nobody is waited
//! for, and what cannot be gone on with is named.

use super::{BEGIN, Bench, SECOND, calls, datagram, pcapng, records, words};

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

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
        let pause = Duration::from_millis(5);
        let mut left = Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            if left < pause {
                child.kill().unwrap();
            }
            assert!(left >= pause, "{arguments:?} waits for something");
            std::thread::sleep(pause);
            left -= pause;
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

/// What a shell makes of `>>`.
#[test]
#[cfg(target_os = "linux")]
fn standard_output_is_no_file_that_is_read() {
    let bench = small();
    let capture = bench.path("captures/c00001.pcapng");
    let bytes = fs::read(&capture).unwrap();
    for arguments in [&STREAM[..], &["captures"]] {
        let added = OpenOptions::new().append(true).open(&capture).unwrap();
        let output = bench.command(arguments).stdout(added).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(words(&output).contains("would overwrite this input"), "{}", words(&output));
        assert!(fs::read(&capture).unwrap() == bytes);
    }
}

/// The progress is JSON.
#[test]
#[cfg(target_os = "linux")]
fn a_name_that_a_progress_cannot_hold_is_told_before_anything_is_done() {
    use std::os::unix::ffi::OsStrExt as _;
    let bench = small();
    let odd = bench.path("captures").join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::rename(&bench.files[2], &odd).unwrap();
    bench.ends(&STREAM, 0, "");
    bench.ends(&Bench::kept(&[]), 2, "names in UTF-8");
    assert!(!bench.path("out").exists() && !bench.path("state.progress.lock").exists());
    // Where it lies may have any name.
    fs::rename(&odd, &bench.files[2]).unwrap();
    let folder = bench.path("").join(std::ffi::OsStr::from_bytes(b"folder\xff"));
    fs::create_dir(&folder).unwrap();
    fs::rename(bench.path("captures"), folder.join("captures")).unwrap();
    for says in ["", "all 3 captures have been read, nothing is left"] {
        let output = bench.command(&Bench::kept(&[])).current_dir(&folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
        assert!(words(&output).contains(says), "{}", words(&output));
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
fn only_the_output_of_the_run_is_gone_on_with() {
    let bench = small();
    bench.ends(&Bench::kept(&[]), 0, "");
    let out = bench.read("out");
    let mine = b"mine, and longer than all that the run has written\n".repeat(4000);
    bench.write("mine", &mine);
    bench.ends(
        &Bench::into("mine", &[]),
        1,
        "mine: is not what the run of state.progress wrote, which was /",
    );
    bench.write("out", &mine);
    bench.ends(&Bench::kept(&[]), 1, "out: has changed since the run of state.progress was over");
    assert!(bench.read("mine") == mine && bench.read("out") == mine);
    // The whole is what it was, and something of somebody else's stands behind it.
    bench.write("out", &[&out[..], b"and more"].concat());
    bench.ends(&Bench::kept(&[]), 1, "out: has changed since the run of state.progress was over");
    assert!(bench.read("out").ends_with(b"and more"));
    fs::remove_file(bench.path("out")).unwrap();
    bench.ends(
        &Bench::kept(&[]),
        1,
        "out: is not there, and state.progress belongs to a run that wrote to /",
    );
    assert!(!bench.path("out").exists());
    // Elsewhere, it is the same by what is in it.
    bench.write("moved", &out);
    bench.ends(&Bench::into("moved", &[]), 0, "nothing is left");
    let later = pcapng(&[(BEGIN + 20 * SECOND, datagram(6000, b"later"))], &[]);
    bench.write("captures/later.pcapng", &later);
    bench.ends(&Bench::into("moved", &[]), 0, "goes on behind 15 packets");
    assert!(bench.read("moved") == bench.in_one_go(&[]));
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
fn a_progress_is_gone_on_with_by_one_run_alone() {
    let bench = small();
    bench.ends(&Bench::kept(&[]), 0, "");
    let other = File::open(bench.path("state.progress.lock")).unwrap();
    other.lock().unwrap();
    bench.ends(&Bench::into("second", &[]), 2, "state.progress: another run writes to it");
    assert!(!bench.path("second").exists());
}

/// What `harm` does while a run goes on is noticed, and no checkpoint is written behind it.
fn noticed(says: &str, harm: impl Fn(&Bench)) {
    let bench = Bench::new(calls(6));
    let mut child = bench.command(&Bench::kept(&[])).stderr(Stdio::piped()).spawn().unwrap();
    let length = || fs::metadata(bench.path("out")).map_or(0, |data| data.len());
    while bench.taken() < 2000 || length() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "over too soon");
        std::thread::sleep(Duration::from_millis(1));
    }
    harm(&bench);
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains(says), "{told}");
    assert!(!String::from_utf8(bench.read("state.progress")).unwrap().contains("\n{\"out\":"));
}

#[test]
fn an_output_that_is_cut_below_the_feet_of_a_run_is_noticed() {
    noticed("somebody has changed it meanwhile, and it is not whole", |bench| {
        OpenOptions::new().write(true).open(bench.path("out")).unwrap().set_len(0).unwrap();
    });
}

#[test]
fn an_output_that_is_replaced_below_the_feet_of_a_run_is_noticed() {
    noticed("out: somebody has moved, removed or replaced the file that this run writes to", |bench| {
        fs::rename(bench.path("out"), bench.path("away")).unwrap();
        bench.write("out", b"");
    });
}

#[test]
fn who_asks_again_is_told_how_it_ended() {
    let bench = small();
    let file = bench.path("captures/c00001.pcapng");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 10]).unwrap();
    bench.ends(&Bench::kept(&[]), 1, "c00001.pcapng: cut");
    for _ in 0..2 {
        bench.ends(&Bench::kept(&[]), 1, "out: incomplete: captures/c00001.pcapng: cut in");
        bench.ends(&Bench::kept(&[]), 1, "all 3 captures have been read, nothing is left");
    }
    let bench = Bench::new(calls(1));
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/end-to-end-only.toml");
    let more = ["--policy", policy.to_str().unwrap()];
    bench.ends(&Bench::kept(&more), 3, "");
    bench.ends(&Bench::kept(&more), 3, "out: a rule of the policy fired");
}

#[test]
fn a_damaged_inventory_is_told_before_anything_is_done() {
    let bench = small();
    let says = "state: expected a state file of meetscope";
    bench.write("state", b"something else");
    bench.ends(&Bench::kept(&[]), 1, says);
    assert!(!bench.path("out").exists() && !bench.path("state.progress").exists());
    fs::remove_file(bench.path("state")).unwrap();
    bench.ends(&Bench::kept(&[]), 0, "");
    bench.write("state", b"something else");
    let (out, progress) = (bench.read("out"), bench.read("state.progress"));
    bench.write("captures/d.pcapng", &pcapng(&[(BEGIN + 20 * SECOND, datagram(1, b"later"))], &[]));
    bench.ends(&Bench::kept(&[]), 1, says);
    assert!(bench.read("out") == out && bench.read("state.progress") == progress);
}

/// A run is not over before the inventory has what it saw.
#[test]
fn what_could_not_be_put_into_the_inventory_is_put_there_later() {
    let bench = Bench::new(calls(2));
    let (whole, inventory) = (bench.in_one_go(&["--state", "other"]), bench.read("other"));
    assert!(inventory.len() > 1000);
    let mut child = bench.command(&Bench::kept(&[])).stderr(Stdio::piped()).spawn().unwrap();
    while bench.taken() < 2000 {
        assert!(child.try_wait().unwrap().is_none(), "over too soon");
        std::thread::sleep(Duration::from_millis(1));
    }
    // In one step, so that the run does not put another one in its place between two.
    bench.write("harm", b"something else");
    fs::create_dir(bench.path("state.new")).unwrap();
    fs::rename(bench.path("harm"), bench.path("state")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    bench.ends(&Bench::kept(&[]), 1, "state: expected a state file");
    fs::remove_dir(bench.path("state.new")).unwrap();
    fs::remove_file(bench.path("state")).unwrap();
    bench.ends(&Bench::kept(&[]), 0, "goes on behind");
    let (out, state) = (bench.read("out"), bench.read("state"));
    assert!(out == whole);
    let servers = |text: &[u8]| text.split(|byte| *byte == b'\n').count();
    assert!(servers(&state) > 2, "{}", servers(&state));
    bench.ends(&Bench::kept(&[]), 0, "nothing is left");
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
    let kept = ["--stream", "--state", "state", "-o", "out"];
    for pipe in [&["pipe"][..], &["captures", "--keylog", "pipe"]] {
        bench.ends(&[pipe, &kept].concat(), 2, "pipe: --stream with --state reads its inputs again");
    }
    for (name, says) in [
        ("state", "state: expected a file, found something else"),
        ("state.progress.lock", "state.progress.lock: expected a file, found something else"),
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
fn a_damaged_progress_is_not_believed() {
    let bench = small();
    bench.ends(&Bench::kept(&[]), 0, "");
    let (progress, out) = (bench.read("state.progress"), bench.read("out"));
    let damaged = |bytes: &[u8]| {
        bench.write("state.progress", bytes);
        let output = bench.keep(&[]);
        let told = words(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("remove it to begin anew, which begins the output anew too"), "{told}");
        assert!(told.starts_with("meetscope: state.progress: "), "{told}");
        assert!(bench.read("out") == out);
    };
    let digits: Vec<usize> = (0..progress.len()).filter(|at| progress[*at].is_ascii_digit()).collect();
    for at in digits.iter().step_by(digits.len() / 40) {
        let mut bytes = progress.clone();
        bytes[*at] = if bytes[*at] == b'1' { b'2' } else { b'1' };
        damaged(&bytes);
    }
    for length in [0, 1, progress.len() / 2, progress.len() - 2, progress.len() - 1] {
        damaged(&progress[..length]);
    }
    damaged(&[0xff, 0xfe, b'\n']);
    damaged(&[&progress[..], b"\n"].concat());
    bench.write("state.progress", &progress);
    bench.ends(&Bench::kept(&[]), 0, "nothing is left");
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
fn captures_are_known_again_under_another_name() {
    let bench = small();
    bench.ends(&Bench::kept(&[]), 0, "");
    let whole = bench.path("captures");
    for name in ["./captures", "captures/", whole.to_str().unwrap()] {
        let arguments = [&[name], &Bench::kept(&[])[1..]].concat();
        bench.ends(&arguments, 0, "all 3 captures have been read, nothing is left");
    }
    // All of it moved to another disk, which keeps no times.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("captures")).unwrap();
    for file in ["out", "state", "state.progress"] {
        if bench.path(file).exists() {
            fs::copy(bench.path(file), elsewhere.path().join(file)).unwrap();
        }
    }
    for file in &bench.files {
        let copy = elsewhere.path().join("captures").join(file.file_name().unwrap());
        fs::copy(file, copy).unwrap();
    }
    let output = bench.command(&Bench::kept(&[])).current_dir(elsewhere.path()).output().unwrap();
    assert!(words(&output).contains("nothing is left"), "{}", words(&output));
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
