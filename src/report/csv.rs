//! Sessions as a table for spreadsheets: RFC 4180, UTF-8, one row a session under a row of names.
//!
//! In: a run. Out: lines that end in CR LF. A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula,
//! and strangers choose some of the words: such a word gets an apostrophe before it, also behind a comma, a semicolon, a bar
//! or a quotation mark within a cell, where a program that expects another separator would begin a cell. Characters that
//! a terminal obeys or a reader does not see are written out as `\u{..}`. Numbers of our own stay numbers.

use std::collections::BTreeSet;
use std::io;

use super::hidden::escape;
use super::record::{Kind, SessionRecord, WayRecord};
use super::{Context, Run, Style, session_record, time, words};
use crate::keys::{CouldHold, Method};
use crate::session::Session;

/// Between the entries of a list.
const BETWEEN: &str = "; ";

/// A cell.
enum Cell {
    Nothing,
    /// Our own number.
    Number(String),
    Text(String),
    List(Vec<String>),
}

impl Cell {
    fn text(value: Option<&str>) -> Self {
        value.map_or(Self::Nothing, |value| Self::Text(value.to_owned()))
    }

    fn decimal(value: Option<f64>) -> Self {
        value.map_or(Self::Nothing, |value| Self::Number(value.to_string()))
    }

    fn list(values: impl IntoIterator<Item = String>) -> Self {
        Self::List(values.into_iter().collect())
    }

    fn written(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Number(number) => number.clone(),
            Self::Text(text) => quoted(&harmless(text)),
            Self::List(list) => {
                quoted(&list.iter().map(|entry| harmless(entry)).collect::<Vec<_>>().join(BETWEEN))
            }
        }
    }
}

/// No formula begins in it, and all of it can be seen.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(1));
    let mut at_start = true;
    for character in escape(text).chars() {
        // Spreadsheets of some languages take the wide forms too.
        let begins = matches!(character, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
        if at_start && begins {
            out.push('\'');
        }
        at_start = matches!(character, ',' | ';' | '|' | '"' | '\'') || (at_start && character == ' ');
        out.push(character);
    }
    out
}

/// In quotation marks where RFC 4180 or a program with another separator needs them.
fn quoted(text: &str) -> String {
    if text.contains([',', ';', '"', '\n', '\r', '|']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The names of the columns, in the order of [`cells`].
const COLUMNS: [&str; 40] = [
    "session",
    "meeting",
    "start_utc",
    "end_utc",
    "duration_s",
    "begun_mid_call",
    "app",
    "app_name",
    "app_confidence",
    "endpoint",
    "endpoint_public",
    "endpoint_country",
    "high_findings",
    "findings",
    "finding_texts",
    "alerts",
    "key_method",
    "could_hold_key",
    "could_hold_key_names",
    "could_hold_key_countries",
    "could_hold_key_exposure",
    "key_not_determinable",
    "key_witness",
    "cipher_verdict",
    "cipher_text",
    "servers",
    "server_names",
    "server_countries",
    "exposure",
    "sent_packets",
    "sent_loss_percent",
    "sent_jitter_ms",
    "sent_kbps",
    "sent_mos",
    "received_packets",
    "received_loss_percent",
    "received_jitter_ms",
    "received_kbps",
    "received_mos",
    "rtt_ms",
];

/// The table.
pub(super) fn write(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    run: &Run<'_>,
    style: &Style,
) -> io::Result<()> {
    write!(out, "{}\r\n", COLUMNS.join(","))?;
    if !style.wants(Kind::Session) {
        return Ok(());
    }
    for (session, keys) in &run.analysis.sessions {
        let record = session_record(context, run.analysis, session, keys);
        let fired = words::fired(&context.alerts_of(session));
        let row: Vec<String> = cells(session, &record, fired).iter().map(Cell::written).collect();
        write!(out, "{}\r\n", row.join(","))?;
    }
    Ok(())
}

/// `fired` are the rules of a policy that fired.
fn cells(session: &Session, record: &SessionRecord, fired: Vec<String>) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Text(record.session_id.clone()),
        Cell::text(record.meeting_id.as_deref()),
        Cell::Text(time::plain(session.start)),
        Cell::Text(time::plain(session.end)),
        Cell::Number(record.duration_s.to_string()),
        Cell::Text(record.begun_mid_call.to_string()),
        Cell::text(record.app.as_deref()),
        Cell::text(record.app_name.as_deref()),
        Cell::Number(record.confidence.to_string()),
        Cell::Text(record.endpoint.ip.clone()),
        Cell::text(record.endpoint.public_ip.as_deref()),
        Cell::text(record.endpoint.located_in.country.map(|country| words::word(&country)).as_deref()),
    ];
    cells.extend(findings(record));
    cells.push(Cell::List(fired));
    cells.extend(keys(record));
    cells.extend([
        Cell::list(record.servers.iter().map(|server| server.ip.clone())),
        Cell::list(record.servers.iter().filter_map(|server| server.name.clone())),
        Cell::list(words::countries(record.servers.iter().map(|server| &server.place))),
        Cell::list(words::exposure(record.servers.iter().map(|server| &server.place))),
    ]);
    cells.extend(way(&record.media.sent));
    cells.extend(way(&record.media.received));
    cells.push(Cell::decimal(record.media.rtt_ms));
    cells
}

fn findings(record: &SessionRecord) -> [Cell; 3] {
    let grave = record.findings.iter().filter(|finding| finding.severity == super::record::Severity::High);
    [
        Cell::Number(grave.count().to_string()),
        Cell::list(record.findings.iter().map(|finding| finding.id.to_owned())),
        Cell::list(record.findings.iter().map(|finding| finding.text.clone())),
    ]
}

fn keys(record: &SessionRecord) -> [Cell; 9] {
    // Media that is not encrypted has no key.
    let has_key = record.keys.method != Method::None;
    let who = |answer: CouldHold| {
        record.keys.holders.iter().filter(move |holder| has_key && holder.could_hold == answer)
    };
    let cipher = record.cipher.as_deref().map(|cipher| &cipher.evidence);
    [
        Cell::Text(words::word(&record.keys.method)),
        Cell::list(who(CouldHold::Yes).map(|holder| holder.ip.clone())),
        Cell::list(who(CouldHold::Yes).filter_map(|holder| holder.name.clone())),
        Cell::list(words::countries(who(CouldHold::Yes).map(|holder| &holder.place))),
        Cell::list(words::exposure(who(CouldHold::Yes).map(|holder| &holder.place))),
        Cell::list(who(CouldHold::Unknown).map(|holder| holder.ip.clone())),
        Cell::list(each_once(record.keys.witness.iter().map(|witness| witness.ip.as_str()))),
        Cell::text(cipher.map(|cipher| words::word(&cipher.verdict)).as_deref()),
        Cell::text(cipher.map(|cipher| cipher.text.as_str())),
    ]
}

/// In their order, without what was there before: several keys may have come from one server.
fn each_once<'r>(values: impl Iterator<Item = &'r str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    values.filter(|value| seen.insert(*value)).map(str::to_owned).collect()
}

fn way(way: &WayRecord) -> [Cell; 5] {
    [
        Cell::Number(way.packets.to_string()),
        Cell::decimal(way.loss_percent),
        Cell::decimal(way.jitter_ms),
        Cell::decimal(way.bitrate_kbps),
        Cell::decimal(way.mos.value),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_formula_begins_anywhere() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  -2", "  '-2"),
            ("\t=1", "\\u{9}=1"),
            ("a;=1", "a;'=1"),
            ("a\",=1", "a\",'=1"),
            ("a-b@c", "a-b@c"),
            ("＝1", "'＝1"),
        ] {
            assert_eq!(harmless(text), expected, "{text:?}");
        }
        assert_eq!(Cell::Number("-3.5".to_owned()).written(), "-3.5");
        let list = Cell::list(["a".to_owned(), "+b".to_owned()]);
        assert_eq!(list.written(), "\"a; '+b\"");
    }

    #[test]
    fn a_server_of_several_keys_is_named_once() {
        let servers = ["170.72.10.20", "192.0.2.1", "170.72.10.20"];
        assert_eq!(each_once(servers.into_iter()), ["170.72.10.20", "192.0.2.1"]);
    }

    #[test]
    fn quotation_marks_are_doubled_and_lines_stay_lines() {
        let written = Cell::Text("a \"b\", c\r\nd".to_owned()).written();
        assert_eq!(written, "\"a \"\"b\"\", c\\u{d}\\u{a}d\"");
    }
}
