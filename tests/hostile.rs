//! Hostile strings through every writer: each arrives so that it can be recognised, and none does harm where it arrives.
//!
//! `captures/hostile-names.pcapng` has 22 of them in every field that takes a stranger's words; its companion lists them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a field that is not there has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A name that a file may have.
const FILE: &str = "=hx30<script>\u{1b}[31m\u{202e}\"'\n.pcapng";

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(captures("hostile-names.pcapng"), folder.path().join(FILE)).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn replay(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_meetscope"))
            .current_dir(self.path())
            .env("NO_COLOR", "1")
            .args(["replay", FILE])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_harmless("messages", &String::from_utf8(output.stderr.clone()).unwrap(), "");
        output
    }

    /// What a format writes.
    fn written(&self, format: &str, more: &[&str]) -> String {
        let arguments = [&["--format", format][..], more].concat();
        String::from_utf8(self.replay(&arguments).stdout).unwrap()
    }
}

fn captures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

/// The mark in each string: `hx01` and so on.
fn marks() -> Vec<String> {
    let list = fs::read_to_string(captures("hostile-names.strings")).unwrap();
    let mark = |line: &str| line[line.find("hx").unwrap()..][..4].to_owned();
    let marks: Vec<String> = list.lines().map(mark).collect();
    assert_eq!(marks.len(), 22);
    marks
}

fn assert_arrived(what: &str, text: &str) {
    let text = text.to_lowercase();
    for mark in marks() {
        assert!(text.contains(&mark), "{mark} has not arrived in {what}");
    }
}

/// A character that a terminal obeys or that turns or hides what stands around it (Unicode's Cc, its bidirectional controls,
/// its line and paragraph separators, and what has no width).
fn does_harm(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn assert_harmless(what: &str, text: &str, allowed: &str) {
    for line in text.split('\n') {
        let found = line.chars().find(|character| does_harm(*character) && !allowed.contains(*character));
        assert!(found.is_none(), "{what}: {found:?} in {line:?}");
    }
}

#[test]
fn text_shows_them_and_obeys_none() {
    let bench = Bench::new();
    let text = bench.written("text", &["--records", "flow,session,meeting,stats"]);
    // Long names are cut and wrapped in tables, so that a mark may stand at the end of a line but is never split.
    assert_arrived("text", &text);
    assert_harmless("text", &text, "");
    let narrow = bench.written("text", &[]);
    assert_arrived("text", &narrow);
    assert_harmless("text", &narrow, "");
}

#[test]
fn json_holds_them_unchanged_and_shows_nothing_that_is_obeyed() {
    let bench = Bench::new();
    let lines = bench.written("ndjson", &[]);
    assert_harmless("ndjson", &lines, "");
    assert_arrived("ndjson", &lines);
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds = |kind: &str| records.iter().filter(|record| record["event_type"] == kind).count();
    assert_eq!((kinds("stats"), kinds("session")), (1, 22), "no string becomes a record of its own");
    let subject = |wanted: &str| {
        let mut chains = records.iter().filter_map(|record| record["tls"]["certificates"].as_array());
        chains.any(|chain| chain[0]["subject"] == wanted && chain[0]["issuer"] == wanted)
    };
    // As they stand in the certificates, by `openssl x509`: a parser gets back what was sent.
    for sent in
        ["hx14\u{202e}gnp.exe", "hx09\u{1b}[2J\u{1b}[31m", "hx12\u{9b}2J\u{9d}0;title\u{9c}", "\t=hx21+1"]
    {
        assert!(subject(sent), "{sent:?}");
    }
    assert_eq!(records.last().unwrap()["files"][0]["name"], FILE);

    let document = bench.written("json", &[]);
    assert_harmless("json", &document, "");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["sessions"].as_array().unwrap().len(), 22);
}

#[test]
fn page_shows_them_as_words() {
    let bench = Bench::new();
    let page = bench.written("html", &[]);
    assert_harmless("html", &page, "");
    assert_arrived("html", &page);
    // What is no markup of the page's own is text, also in its title and in the data of its script.
    let of_its_own =
        ["<script>", "<script type=\"application/json\" id=\"data\">", "<script type=\"text/plain\" id=\"b-"];
    let scripts = page.matches("<script").count();
    assert_eq!(scripts, of_its_own.iter().map(|tag| page.matches(tag).count()).sum::<usize>());
    assert_eq!(page.matches("<script>").count(), 1);
    let lower = page.to_lowercase();
    for banned in [
        "<img",
        "<iframe",
        "<b onmouseover",
        "<svg onload",
        "<svg/onload",
        "<a href=\"javascript",
        "<meta http-equiv=\"refresh",
    ] {
        assert!(!lower.contains(banned), "{banned}");
    }
    assert!(page.contains("&lt;script&gt;"), "the name of the file is shown");
}

#[test]
fn no_cell_of_the_table_is_a_formula() {
    let bench = Bench::new();
    let table = bench.written("csv", &[]);
    assert_arrived("csv", &table);
    assert_harmless("csv", &table.replace("\r\n", "\n"), "");
    assert_eq!(table.matches("\r\n").count(), 23, "no string begins a row");
    // Whatever a program takes for the separator.
    for separator in [',', ';', '\t', '|'] {
        for cell in table.split(['\n', '\r', separator]) {
            let cell = cell.trim_start_matches(['"', ' ']);
            let begins = cell.starts_with(['=', '+', '-', '@', '\t']);
            assert!(!begins || cell.parse::<f64>().is_ok(), "{cell:?} is a formula between {separator:?}");
        }
    }
    assert!(table.contains("'=cmd'|") || table.contains("'=cmd|"), "{table}");
}

#[test]
fn zeek_logs_keep_their_columns() {
    let bench = Bench::new();
    bench.replay(&["--format", "zeek", "-o", "logs"]);
    let read = |log: &str| fs::read_to_string(bench.path().join("logs").join(log)).unwrap();
    for log in ["conn.log", "ssl.log", "quic.log", "meetscope.log"] {
        let text = read(log);
        assert_harmless(log, &text, "\t");
        let fields = text.lines().find(|line| line.starts_with("#fields")).unwrap().matches('\t').count();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(line.matches('\t').count() + 1, fields, "{line}");
            assert!(!line.contains('#'), "{line}");
        }
    }
    let ssl = read("ssl.log");
    assert_arrived("ssl.log", &ssl);
    assert!(ssl.contains("CN=hx09\\x1b[2J\\x1b[31m"), "{ssl}");
    assert!(ssl.contains("CN=\\x09=hx21+1"), "{ssl}");
}

#[test]
fn comments_of_an_export_are_harmless_too() {
    let bench = Bench::new();
    let lines = bench.written("ndjson", &["--records", "session"]);
    for session in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).step_by(4) {
        let id = session["session_id"].as_str().unwrap();
        bench.replay(&["--export-pcap", id, "-o", "report"]);
        let file = fs::read(bench.path().join(format!("{id}.pcapng"))).unwrap();
        for (code, value) in options(&file) {
            let text = String::from_utf8(value).unwrap();
            assert_harmless(&format!("option {code} of {id}"), &text, "");
        }
    }
}

#[test]
fn messages_about_a_file_name_it_harmlessly() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(captures("hostile-names.pcapng")).unwrap();
    fs::write(folder.path().join(FILE), &whole[..=whole.len() / 2]).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_meetscope"))
        .current_dir(folder.path())
        .args(["replay", FILE, "no such\u{1b}[2Jfile", "-o", "report"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hx30<script>") && said.contains("[2Jfile"), "{said}");
    assert_harmless("messages", &said, "");
    let whole = |line: &&str| line.starts_with("meetscope: ");
    assert_eq!(said.lines().filter(whole).count(), 2, "no name begins a message: {said}");
    assert!(said.lines().all(|line| whole(&line) || line.starts_with("  ")), "{said}");
}

/// Text options of section header (comment, application), interfaces (name, description) and packets (comment).
fn options(file: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let mut found = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let total = usize::try_from(word(at + 4)).unwrap();
        let (mut place, texts): (usize, &[u16]) = match word(at) {
            0x0a0d_0d0a => (at + 24, &[1, 4]),
            1 => (at + 16, &[2, 3]),
            6 => (at + 28 + usize::try_from(word(at + 20)).unwrap().next_multiple_of(4), &[1]),
            _ => (at + total, &[]),
        };
        while place + 4 <= at + total - 4 && half(place) != 0 {
            let length = usize::from(half(place + 2));
            if texts.contains(&half(place)) {
                found.push((half(place), file[place + 4..place + 4 + length].to_vec()));
            }
            place += 4 + length.next_multiple_of(4);
        }
        at += total;
    }
    assert!(found.len() > 10, "the file has comments");
    found
}
