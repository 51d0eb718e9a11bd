//! `geo update` and what later runs make of it. The files are those of `tests/vectors/geo/make.py`, made by another's writer; only
//! the time of their build and their name are set here, in the bytes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot run has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// `date -u -d 2020-03-01 +%s` and so on.
const MARCH_2020: u32 = 1_583_020_800;
const JUNE_2023: u32 = 1_685_577_600;

/// A store and files to put there.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// `nested-city.mmdb` (`GeoLite2-City` of 2026-01-01), built at another time and under another name of equal length.
    fn file(&self, name: &str, built: Option<u32>, database_type: &str) -> PathBuf {
        let mut bytes = fs::read(format!("{ROOT}/tests/vectors/geo/nested-city.mmdb")).unwrap();
        if let Some(built) = built {
            let key = find(&bytes, b"build_epoch");
            // MaxMind DB format: a control byte (4 bytes, extended type), the type uint64, then the value, big end first.
            assert_eq!(bytes[key + 11..key + 13], [4, 2], "the value has four bytes");
            bytes[key + 13..key + 17].copy_from_slice(&built.to_be_bytes());
        }
        let at = find(&bytes, b"GeoLite2-City");
        bytes[at..at + 13].copy_from_slice(database_type.as_bytes());
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
        command.args(args).env("MEETSCOPE_GEOIP_DIR", self.store()).output().unwrap()
    }

    fn update(&self, file: &Path, more: &[&str]) -> Output {
        self.run(&[&["geo", "update", file.to_str().unwrap()], more].concat())
    }

    fn kept(&self) -> Vec<String> {
        let names = fs::read_dir(self.store())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "lock" && name != "manifest.toml").collect();
        names.sort();
        names
    }

    /// Database and date of each answer for the Beijing address.
    fn asked(&self, more: &[&str]) -> Vec<(String, String)> {
        let output = self.run(&[&["geo", "lookup", "52.81.151.250", "--format", "json"], more].concat());
        assert!(output.status.success(), "{}", words(&output));
        let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
        let answers = answers[0]["located_in"]["answers"].as_array().unwrap().clone();
        let text = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
        answers.iter().map(|answer| (text(answer, "database"), text(answer, "date"))).collect()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).rposition(|window| window == what).unwrap()
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == ending)
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn pair(database: &str, date: &str) -> (String, String) {
    (database.to_owned(), date.to_owned())
}

const IPFIRE: (&str, &str) = ("IPFire-Location-Country", "2026-09-23");

#[test]
fn a_database_is_kept_under_its_lineage_and_date_with_its_hash() {
    let bench = Bench::new();
    let file = bench.file("city.mmdb", None, "GeoLite2-City");
    let output = bench.update(&file, &[]);
    assert!(output.status.success(), "{}", words(&output));
    let sha256 = Sha256::digest(fs::read(&file).unwrap())
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let name = format!("maxmind-city-2026-01-01-{}.mmdb", sha256.get(..8).unwrap());
    assert_eq!(bench.kept(), std::slice::from_ref(&name));
    assert_eq!(fs::read(bench.store().join(&name)).unwrap(), fs::read(&file).unwrap());
    let manifest = fs::read_to_string(bench.store().join("manifest.toml")).unwrap();
    assert!(manifest.contains(&sha256) && manifest.contains(&name), "{manifest}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("the newest of its lineage") && said.contains(&sha256), "{said}");

    assert_eq!(bench.asked(&[]), [pair("GeoLite2-City", "2026-01-01"), pair(IPFIRE.0, IPFIRE.1)]);
    assert_eq!(bench.asked(&["--no-geoip-store"]), [pair(IPFIRE.0, IPFIRE.1)]);
    let again = bench.update(&file, &[]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout).contains("kept already"));
    assert_eq!(bench.kept().len(), 1);
}

#[test]
fn an_older_one_is_refused_unless_it_is_asked_for_and_the_newest_stays_current() {
    let bench = Bench::new();
    let newer = bench.file("newer.mmdb", None, "GeoLite2-City");
    let older = bench.file("older.mmdb", Some(MARCH_2020), "GeoLite2-City");
    assert!(bench.update(&newer, &[]).status.success());
    let refused = bench.update(&older, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = words(&refused);
    for part in ["older.mmdb", "2020-03-01", "2026-01-01", "maxmind", "--keep-older"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(bench.kept().len(), 1, "the store is as it was");
    let kept = bench.update(&older, &["--keep-older"]);
    assert!(kept.status.success(), "{}", words(&kept));
    assert!(String::from_utf8_lossy(&kept.stdout).contains("beside a newer one"));
    // Another lineage is no rival.
    let other = bench.file("other.mmdb", Some(MARCH_2020), "Example--City");
    assert!(bench.update(&other, &[]).status.success());
    let info = String::from_utf8(bench.run(&["geo", "info"]).stdout).unwrap();
    assert_eq!(info.matches("the newest of lineage maxmind").count(), 1, "{info}");
    assert_eq!(info.matches("an older one of lineage maxmind").count(), 1, "{info}");
    assert_eq!(info.matches("the newest of lineage example--city").count(), 1, "{info}");
}

#[test]
fn of_a_lineage_the_database_nearest_the_day_is_asked() {
    let bench = Bench::new();
    for (name, built, database_type) in [
        ("a.mmdb", None, "GeoLite2-City"),
        ("b.mmdb", Some(MARCH_2020), "GeoLite2-City"),
        ("c.mmdb", Some(JUNE_2023), "GeoLite2-City"),
        // The maker of the embedded data: one witness with it, and near to other captures.
        ("d.mmdb", Some(MARCH_2020), "IPFire-2020-x"),
    ] {
        let file = bench.file(name, built, database_type);
        let output = bench.update(&file, &["--keep-older"]);
        assert!(output.status.success(), "{}", words(&output));
    }
    // Equally near: by the name of the lineage.
    let old = [pair("IPFire-2020-x", "2020-03-01"), pair("GeoLite2-City", "2020-03-01")];
    assert_eq!(bench.asked(&["--date", "2020-04-02"]), old);
    let mid = bench.asked(&["--date", "2023-06-03"]);
    assert_eq!(mid, [pair("GeoLite2-City", "2023-06-01"), pair("IPFire-2020-x", "2020-03-01")]);
    let new = [pair("GeoLite2-City", "2026-01-01"), pair(IPFIRE.0, IPFIRE.1)];
    assert_eq!(bench.asked(&["--date", "2026-02-01"]), new);
    assert_eq!(bench.asked(&[]), new, "without a day the newest");
    // The user's own file is asked first and beside them.
    let own = bench.file("own.mmdb", Some(JUNE_2023), "My-Own-Places");
    let with_own = bench.asked(&["--date", "2020-04-02", "--geoip", own.to_str().unwrap()]);
    assert_eq!(with_own, [[pair("My-Own-Places", "2023-06-01")].as_slice(), &old].concat());
}

#[test]
fn a_report_names_the_databases_that_it_asked() {
    let bench = Bench::new();
    for (name, built) in [("a.mmdb", None), ("b.mmdb", Some(MARCH_2020))] {
        let file = bench.file(name, built, "GeoLite2-City");
        assert!(bench.update(&file, &["--keep-older"]).status.success());
    }
    let capture = format!("{ROOT}/captures/zoom-beijing-2020.pcapng");
    let output = bench.run(&["replay", &capture, "--format", "ndjson", "--records", "session,stats"]);
    assert!(output.status.success(), "{}", words(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let stats: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let named: Vec<(&str, &str, i64)> = stats["databases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["build_date"].as_str().unwrap(),
                one["days_from_capture"].as_i64().unwrap(),
            )
        })
        .collect();
    // From 2020-04-02 15:00 UTC: 32 days back, 2364 and 939 days ahead.
    assert_eq!(named[0], ("GeoLite2-City", "2020-03-01", 32));
    assert_eq!(named[1..], [(IPFIRE.0, IPFIRE.1, 2364), ("IPFire-Location-ASN", "2022-10-29", 939)]);
}

#[test]
fn what_is_no_sound_database_is_not_kept() {
    let bench = Bench::new();
    let whole = fs::read(bench.file("whole.mmdb", None, "GeoLite2-City")).unwrap();
    let cut = bench.folder.path().join("cut.mmdb");
    fs::write(&cut, &whole[whole.len() / 2..]).unwrap();
    let text = bench.folder.path().join("text.mmdb");
    fs::write(&text, "1.0.0.0,1.0.0.255,AU\n").unwrap();
    for file in [&cut, &text] {
        let output = bench.update(file, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains(file.file_name().unwrap().to_str().unwrap()), "{}", words(&output));
    }
    assert!(!bench.store().exists() || bench.kept().is_empty());
}

#[test]
fn a_file_that_was_changed_or_lost_is_named_and_can_be_put_there_again() {
    let bench = Bench::new();
    let file = bench.file("city.mmdb", None, "GeoLite2-City");
    assert!(bench.update(&file, &[]).status.success());
    let kept = bench.store().join(&bench.kept()[0]);
    let mut bytes = fs::read(&kept).unwrap();
    let at = find(&bytes, b"Beijing");
    bytes[at] ^= 1;
    fs::write(&kept, &bytes).unwrap();
    for args in [["geo", "lookup", "52.81.151.250"].as_slice(), &["geo", "info"]] {
        let output = bench.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = words(&output);
        assert!(said.contains(kept.to_str().unwrap()) && said.contains("expected SHA-256"), "{said}");
        assert!(
            !String::from_utf8_lossy(&output.stdout).contains("database GeoLite2-City of"),
            "no answer of it"
        );
    }
    assert!(bench.run(&["geo", "lookup", "52.81.151.250", "--no-geoip-store"]).status.success());

    fs::remove_file(&kept).unwrap();
    let output = bench.run(&["geo", "lookup", "52.81.151.250"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words(&output).contains("no such file") && words(&output).contains("--no-geoip-store"),
        "{}",
        words(&output)
    );
    assert!(bench.update(&file, &[]).status.success());
    assert_eq!(bench.asked(&[])[0], pair("GeoLite2-City", "2026-01-01"));
}

#[test]
fn a_manifest_leads_nowhere_else_and_its_faults_have_a_line() {
    let bench = Bench::new();
    let file = bench.file("city.mmdb", None, "GeoLite2-City");
    assert!(bench.update(&file, &[]).status.success());
    let manifest = bench.store().join("manifest.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let name = bench.kept()[0].clone();
    for (spoilt, part) in [
        (text.replace(&name, "../city.mmdb"), "no name of a database"),
        (text.replace("version = 1", "version = 2"), "version 2"),
        (text.replace("bytes = ", "bites = "), "manifest.toml:"),
    ] {
        assert_ne!(spoilt, text);
        fs::write(&manifest, spoilt).unwrap();
        let output = bench.run(&["geo", "lookup", "52.81.151.250"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains(part), "{}", words(&output));
        assert!(words(&output).contains("use --no-geoip-store to go on without"), "{}", words(&output));
    }
}

#[test]
fn updates_at_once_lose_nothing_and_leave_nothing_behind() {
    let bench = Bench::new();
    fs::create_dir(bench.store()).unwrap();
    // What a run that died may have left.
    fs::write(bench.store().join("maxmind-city-2026-01-01-00000000.mmdb.new"), "half").unwrap();
    let files: Vec<PathBuf> = (0..4)
        .map(|number| {
            bench.file(&format!("{number}.mmdb"), Some(MARCH_2020 + number * 86_400), "GeoLite2-City")
        })
        .collect();
    let mut running: Vec<_> = files
        .iter()
        .map(|file| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
            command
                .args(["geo", "update", "--keep-older"])
                .arg(file)
                .env("MEETSCOPE_GEOIP_DIR", bench.store())
                .stdout(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    assert!(running.iter_mut().all(|child| child.wait().unwrap().success()));
    let manifest = fs::read_to_string(bench.store().join("manifest.toml")).unwrap();
    assert_eq!(manifest.matches("[[database]]").count(), 4, "{manifest}");
    let kept = bench.kept();
    assert_eq!(kept.iter().filter(|name| has_ending(name, "mmdb")).count(), 4, "{kept:?}");
    assert_eq!(
        kept.iter().filter(|name| has_ending(name, "new")).count(),
        1,
        "only what was there before: {kept:?}"
    );
}
