//! Zeek logs, read by the rules by which `zeek-cut` and Zeek's own reader read them: the header says how.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::indexing_slicing, reason = "tests count on small known numbers")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const CAPTURES: [&str; 5] =
    ["zoom-beijing-2020", "dtls-srtp", "e2e-call", "sip-sdes-clear", "zoom-servers-73"];

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meetscope"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("replay")
        .args(arguments)
        .output()
        .unwrap()
}

/// A log, read by its own header.
struct Log {
    head: BTreeMap<String, String>,
    fields: Vec<String>,
    types: Vec<String>,
    rows: Vec<Vec<String>>,
    ended: bool,
}

impl Log {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut log =
            Self { head: BTreeMap::new(), fields: vec![], types: vec![], rows: vec![], ended: false };
        let mut separator = String::new();
        for line in text.split_terminator('\n') {
            assert!(!log.ended, "nothing follows #close");
            let Some(head) = line.strip_prefix('#') else {
                log.rows.push(line.split(&separator).map(str::to_owned).collect());
                continue;
            };
            // The separator is told behind a space, before there is one.
            if let Some(escaped) = head.strip_prefix("separator ") {
                separator = String::from_utf8(unescape(escaped)).unwrap();
                continue;
            }
            let (name, rest) = head.split_once(&separator).unwrap();
            match name {
                "fields" => log.fields = rest.split(&separator).map(str::to_owned).collect(),
                "types" => log.types = rest.split(&separator).map(str::to_owned).collect(),
                "close" => log.ended = true,
                _ => {}
            }
            log.head.insert(name.to_owned(), rest.to_owned());
        }
        assert!(log.ended, "a log ends with #close");
        assert_eq!(log.fields.len(), log.types.len());
        for row in &log.rows {
            assert_eq!(row.len(), log.fields.len(), "{row:?}");
        }
        log
    }

    /// As `zeek-cut NAME` prints it.
    fn cut(&self, name: &str) -> Vec<&str> {
        let column = self.fields.iter().position(|field| field == name).unwrap();
        self.rows.iter().map(|row| row[column].as_str()).collect()
    }

    fn sum(&self, name: &str) -> u64 {
        self.cut(name).iter().map(|count| count.parse::<u64>().unwrap()).sum()
    }

    /// Each value has the type that its column announces.
    fn check_types(&self) {
        for (place, (field, kind)) in self.fields.iter().zip(&self.types).enumerate() {
            for row in &self.rows {
                let value = row[place].as_str();
                if value == self.head["unset_field"] {
                    continue;
                }
                let inner = kind.split_once('[').map(|(_, inner)| inner.trim_end_matches(']'));
                match inner {
                    Some(_) if value == self.head["empty_field"] => {}
                    Some(inner) => value.split(',').for_each(|entry| check(field, inner, entry)),
                    None => check(field, kind, value),
                }
            }
        }
    }
}

fn check(field: &str, kind: &str, value: &str) {
    let fits = match kind {
        "time" => value.split_once('.').is_some_and(|(whole, fraction)| {
            whole.parse::<i64>().is_ok() && fraction.len() == 6 && fraction.parse::<u32>().is_ok()
        }),
        "interval" | "double" => value.parse::<f64>().is_ok_and(f64::is_finite),
        "addr" => value.parse::<IpAddr>().is_ok(),
        "port" => value.parse::<u16>().is_ok(),
        "count" => value.parse::<u64>().is_ok(),
        "bool" => matches!(value, "T" | "F"),
        "enum" => value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        "string" => !value.is_empty() && !unescape(value).is_empty(),
        _ => false,
    };
    assert!(fits, "{field}: {value:?} is no {kind}");
}

/// `\xHH` is a byte.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        assert_eq!(bytes.next(), Some(b'x'), "a backslash begins an escape: {text}");
        let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
        out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
    }
    out
}

fn ndjson(capture: &str) -> Vec<Value> {
    let output = replay(&[capture, "--format", "ndjson"]);
    std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of<'a>(records: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record["event_type"] == kind)
}

#[test]
fn logs_say_what_the_records_say() {
    for name in CAPTURES {
        let capture = format!("captures/{name}.pcapng");
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("made/on/the/way");
        let output = replay(&[&capture, "--format", "zeek", "-o", target.to_str().unwrap()]);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        let records = ndjson(&capture);
        let [conn, ssl, quic, meetscope] =
            ["conn", "ssl", "quic", "meetscope"].map(|log| Log::read(&target.join(format!("{log}.log"))));
        for log in [&conn, &ssl, &quic, &meetscope] {
            log.check_types();
        }
        let flows: Vec<&Value> = of(&records, "flow").collect();
        assert_eq!(conn.rows.len(), flows.len());
        for (column, field) in [
            ("orig_pkts", "pkts_toserver"),
            ("resp_pkts", "pkts_toclient"),
            ("orig_bytes", "payload_toserver"),
            ("resp_bytes", "payload_toclient"),
            ("orig_frame_bytes", "bytes_toserver"),
            ("resp_frame_bytes", "bytes_toclient"),
        ] {
            let expected: u64 = flows.iter().map(|flow| flow["flow"][field].as_u64().unwrap()).sum();
            assert_eq!(conn.sum(column), expected, "{name}: {column}");
        }
        let ids: Vec<&str> = flows.iter().map(|flow| flow["community_id"].as_str().unwrap()).collect();
        assert_eq!(conn.cut("community_id"), ids);
        let hellos = |kind: &str| flows.iter().filter(|flow| flow.get(kind).is_some()).count();
        assert_eq!(ssl.rows.len(), hellos("tls") + hellos("dtls"));
        assert_eq!(quic.rows.len(), hellos("quic"));

        let uids: BTreeSet<&str> = conn.cut("uid").into_iter().collect();
        assert_eq!(uids.len(), flows.len(), "no two flows share a uid");
        assert!(ssl.cut("uid").iter().all(|uid| uids.contains(uid)));
        assert!(meetscope.cut("uids").iter().flat_map(|set| set.split(',')).all(|uid| uids.contains(uid)));

        let sessions: Vec<&Value> = of(&records, "session").collect();
        assert_eq!(meetscope.rows.len(), sessions.len());
        for (place, session) in sessions.iter().enumerate() {
            assert_eq!(meetscope.cut("session_id")[place], session["session_id"]);
            let findings = session["findings"].as_array().unwrap();
            let ids: Vec<&str> = findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect();
            assert_eq!(
                meetscope.cut("findings")[place],
                if ids.is_empty() { "(empty)".into() } else { ids.join(",") }
            );
            let holders: BTreeSet<&str> = session["keys"]["holders"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|holder| holder["could_hold"] == "yes")
                .map(|holder| holder["ip"].as_str().unwrap())
                .collect();
            let shown: BTreeSet<&str> = match meetscope.cut("could_hold")[place] {
                "(empty)" => BTreeSet::new(),
                set => set.split(',').collect(),
            };
            assert_eq!(shown, holders, "{name}");
        }
    }
}

#[test]
fn only_the_logs_that_are_asked_for_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    let output =
        replay(&["captures/sip-sdes.pcapng", "--format", "zeek", "-o", target, "--records", "session"]);
    assert!(output.status.success(), "{output:?}");
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["meetscope.log"]);
}

#[test]
fn what_a_format_cannot_hold_is_bad_usage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let bad: [&[&str]; 4] = [
        &["--format", "zeek"],
        &["--format", "zeek", "-o", file.to_str().unwrap()],
        &["--format", "zeek", "-o", "target", "--records", "stats"],
        &["--format", "csv", "--records", "flow"],
    ];
    for arguments in bad {
        let mut all = vec!["captures/sip-sdes.pcapng"];
        all.extend(arguments);
        assert_eq!(replay(&all).status.code(), Some(2), "{arguments:?}");
    }
}

/// RFC 4180, written anew.
fn table(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut letters = text.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        let cell = rows.last_mut().unwrap().last_mut().unwrap();
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.push(letters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => rows.last_mut().unwrap().push(String::new()),
            '\r' if !quoted => {
                assert_eq!(letters.next(), Some('\n'));
                rows.push(vec![String::new()]);
            }
            other => cell.push(other),
        }
    }
    assert_eq!(rows.pop(), Some(vec![String::new()]), "the last line is ended");
    rows
}

#[test]
fn the_table_has_a_row_for_each_session() {
    for name in CAPTURES {
        let capture = format!("captures/{name}.pcapng");
        let output = replay(&[&capture, "--format", "csv"]);
        assert!(output.status.success(), "{output:?}");
        let rows = table(std::str::from_utf8(&output.stdout).unwrap());
        let records = ndjson(&capture);
        let sessions: Vec<&Value> = of(&records, "session").collect();
        assert_eq!(rows.len(), sessions.len() + 1);
        let column = |name: &str| rows[0].iter().position(|field| field == name).unwrap();
        for (row, session) in rows[1..].iter().zip(&sessions) {
            assert_eq!(row.len(), rows[0].len());
            assert_eq!(row[column("session")], session["session_id"].as_str().unwrap());
            assert_eq!(row[column("app")], session["app"].as_str().unwrap_or_default());
            let sent = &session["media"]["sent"];
            assert_eq!(row[column("sent_packets")], sent["packets"].to_string());
            let loss: Option<f64> = row[column("sent_loss_percent")].parse().ok();
            assert_eq!(loss, sent["loss_percent"].as_f64());
            let findings = session["findings"].as_array().unwrap();
            let texts: Vec<&str> = findings.iter().map(|finding| finding["text"].as_str().unwrap()).collect();
            assert_eq!(row[column("finding_texts")], texts.join("; "));
        }
    }
}

#[test]
fn rules_that_fired_stand_beside_the_session() {
    let input = ["captures/zoom-beijing-2020.pcapng", "--policy", "policies/no-cn-keys.toml"];
    let run = |more: &[&str]| replay(&[&input[..], more].concat());
    let records: Vec<Value> = std::str::from_utf8(&run(&["--format", "ndjson"]).stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["--format", "zeek", "-o", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "a rule fired");
    let log = Log::read(&folder.path().join("meetscope.log"));
    log.check_types();
    let rows = table(std::str::from_utf8(&run(&["--format", "csv"]).stdout).unwrap());
    let column = rows[0].iter().position(|field| field == "alerts").unwrap();
    let mut fired = 0;
    for (place, session) in of(&records, "session").enumerate() {
        let alerts = of(&records, "alert").filter(|alert| alert["session_id"] == session["session_id"]);
        let rules: Vec<&str> = alerts
            .filter(|alert| alert["fired"] == true)
            .map(|alert| alert["rule"].as_str().unwrap())
            .collect();
        fired += rules.len();
        let shown = log.cut("alerts")[place];
        assert_eq!(if shown == "(empty)" { "" } else { shown }, rules.join(","));
        assert_eq!(rows[place + 1][column], rules.join("; "));
    }
    assert!(fired > 0);
}
