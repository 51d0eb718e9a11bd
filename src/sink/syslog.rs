//! Records as messages of syslog (RFC 5424). In: a record, its JSON and the time of day. Out: one message.
//!
//! MSG is the record's JSON in ASCII, so that it needs no byte order mark and any parser of JSON takes it (section 6.4, `MSG-ANY`).
//! Section 6.1 has receivers take 2048 bytes and lets them cut or drop what is longer. A message that would be longer than its
//! transport's cap is therefore sent with a short JSON instead, which holds the same as the structured data and says that the whole
//! record is elsewhere: nothing is cut in the middle.

use std::fmt::Write as _;

use serde::Serialize;

use crate::keys::CouldHold;
use crate::report::record::{HolderRecord, Phase, Record, SessionRecord, Severity};
use crate::report::{visible, word, write_json};

/// Longest message in a datagram: RFC 5426 section 3.2 has receivers take no more.
pub(super) const MAX_DATAGRAM: usize = 2048;
/// Longest message elsewhere: what rsyslog, syslog-ng and journald take unless they are told otherwise.
pub(super) const MAX_STREAM: usize = 8192;
/// Bytes of a parameter's value that are kept: the longest sentence of an alert is shorter.
const MAX_VALUE: usize = 240;
/// The structured data's identifier. 32473 is the enterprise number that RFC 5612 sets aside for documents: the project has none
/// of its own.
const SD_ID: &str = "meetscope@32473";

/// RFC 5424 table 1: local use 0.
const FACILITY_LOCAL0: u8 = 16;
/// RFC 5424 table 2.
const CRITICAL: u8 = 2;
const WARNING: u8 = 4;
const NOTICE: u8 = 5;
const INFORMATIONAL: u8 = 6;

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// HOSTNAME, or `-`.
    pub(super) host: String,
    /// PROCID.
    pub(super) process: u32,
}

impl Origin {
    /// This process on this machine.
    pub(super) fn here() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { host: header_word(&name, 255), process: std::process::id() }
    }
}

/// `PRINTUSASCII` of RFC 5424: characters 33 to 126.
fn header_word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// What a message says beside the record: names and values in their order.
#[derive(Debug, Default)]
struct Essentials(Vec<(&'static str, String)>);

impl Essentials {
    fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    fn add_some(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Leaves out what takes most room in a message; false where nothing is left.
    fn drop_largest(&mut self) -> bool {
        let longest = self.0.iter().enumerate().max_by_key(|(_, (_, value))| room(&cut(value)));
        let Some(at) = longest.map(|(at, _)| at) else { return false };
        self.0.remove(at);
        true
    }

    /// Which run tells it, and where what it tells of stands.
    fn life(&mut self, run: Option<&str>, phase: Option<&Phase>) {
        self.add_some("run", run);
        self.add_some("phase", phase.map(word).as_deref());
    }
}

impl Serialize for Essentials {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (*name, cut(value))))
    }
}

/// The whole record did not fit.
#[derive(Serialize)]
struct Short<'a> {
    event_type: &'static str,
    /// Present and true: this is no whole record.
    shortened: bool,
    /// Bytes of the whole record.
    record_bytes: usize,
    #[serde(flatten)]
    essentials: &'a Essentials,
}

/// One message, without what frames it; `json` is the record's.
pub(super) fn message(record: &Record, json: &[u8], origin: &Origin, now: &str, most: usize) -> Vec<u8> {
    let (kind, severity, mut told) = essentials(record);
    let priority = FACILITY_LOCAL0.saturating_mul(8).saturating_add(severity);
    let begin = format!("<{priority}>1 {now} {} meetscope {} {kind} ", origin.host, origin.process);
    let with = |told: &Essentials, json: &str| {
        let mut out = begin.clone();
        structured(&mut out, told);
        out.push(' ');
        push_ascii(&mut out, json);
        out
    };
    let text = String::from_utf8_lossy(json);
    let text = text.trim_end();
    let mut out = with(&told, text);
    while out.len() > most {
        let short = Short { event_type: kind, shortened: true, record_bytes: text.len(), essentials: &told };
        let mut shorter = Vec::new();
        // Writing to memory does not fail.
        let _ = write_json(&mut shorter, &short);
        out = with(&told, &String::from_utf8_lossy(&shorter));
        // Names that strangers chose may take twice and thrice the room that they are cut to.
        if out.len() > most && !told.drop_largest() {
            break;
        }
    }
    out.into_bytes()
}

/// Bytes that a value takes in structured data and in JSON, about.
fn room(value: &str) -> usize {
    let of = |character: char| match character {
        '"' | '\\' | ']' => 4,
        character if character.is_ascii() => 2,
        character => character.len_utf8().saturating_add(character.len_utf16().saturating_mul(6)),
    };
    value.chars().map(of).fold(0, usize::saturating_add)
}

/// JSON has characters beyond ASCII in strings only, where their code may stand for them.
fn push_ascii(out: &mut String, json: &str) {
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

fn structured(out: &mut String, essentials: &Essentials) {
    let _ =
        write!(out, "[origin software=\"meetscope\" swVersion=\"{}\"][{SD_ID}", env!("CARGO_PKG_VERSION"));
    for (name, value) in &essentials.0 {
        let _ = write!(out, " {name}=\"");
        for character in cut(value).chars() {
            if matches!(character, '"' | '\\' | ']') {
                out.push('\\');
            }
            out.push(character);
        }
        out.push('"');
    }
    out.push(']');
}

/// At most [`MAX_VALUE`] bytes, harmless on a terminal.
fn cut(value: &str) -> String {
    let shown = visible(value);
    let mut kept = String::new();
    for character in shown.chars() {
        if kept.len().saturating_add(character.len_utf8()) > MAX_VALUE {
            kept.push_str("..");
            break;
        }
        kept.push(character);
    }
    kept
}

/// MSGID, severity, and what stands in the structured data.
fn essentials(record: &Record) -> (&'static str, u8, Essentials) {
    let mut told = Essentials::default();
    match record {
        Record::Session(session) => {
            let severity = session_essentials(session, &mut told);
            ("session", severity, told)
        }
        Record::Meeting(meeting) => {
            told.add("meeting_id", meeting.meeting_id.as_str());
            told.life(meeting.run.as_deref(), meeting.phase.as_ref());
            told.add_some("app", meeting.app.as_deref());
            told.add("participants_seen", meeting.participants_seen.to_string());
            told.add("sessions", meeting.sessions.join(","));
            let reach: Vec<&str> =
                meeting.jurisdictions.iter().map(|one| one.jurisdiction.as_str()).collect();
            told.add("jurisdictions", reach.join(","));
            ("meeting", INFORMATIONAL, told)
        }
        Record::Alert(alert) => {
            told.add("alert_id", alert.alert_id.as_str());
            told.life(alert.run.as_deref(), alert.phase.as_ref());
            told.add("rule", alert.rule.as_str());
            told.add("state", word(&alert.state));
            told.add("fired", if alert.fired { "true" } else { "false" });
            told.add("severity", word(&alert.severity));
            told.add("session_id", alert.session_id.as_str());
            told.add_some("meeting_id", alert.meeting_id.as_deref());
            told.add_some("app", alert.app.as_deref());
            told.add("src_ip", alert.src_ip.as_str());
            told.add("text", alert.text.as_str());
            let severity = match (alert.fired, alert.severity) {
                (true, Severity::High) => CRITICAL,
                (true, Severity::Notice) => WARNING,
                (false, _) => NOTICE,
            };
            ("alert", severity, told)
        }
        Record::Stats(stats) => {
            told.life(stats.run.as_deref(), stats.phase.as_ref());
            let packets = stats.packets;
            told.add("seen", packets.seen.to_string());
            told.add("analysed", packets.analysed.to_string());
            told.add("dropped_by_kernel", packets.dropped_by_kernel.to_string());
            told.add("dropped_by_interface", packets.dropped_by_interface.to_string());
            told.add("dropped_by_us", packets.dropped_by_us.to_string());
            told.add("sessions", stats.sessions.to_string());
            told.add(
                "records_lost",
                stats.sinks.iter().map(|sink| sink.lost).fold(0, u64::saturating_add).to_string(),
            );
            ("stats", if packets.dropped > 0 { NOTICE } else { INFORMATIONAL }, told)
        }
        Record::Flow(flow) => {
            told.add("flow_id", flow.flow_id.to_string());
            told.add_some("app", flow.app.as_deref());
            told.add("src_ip", flow.src_ip.as_str());
            told.add("dest_ip", flow.dest_ip.as_str());
            ("flow", INFORMATIONAL, told)
        }
        Record::Software(_) | Record::Server(_) | Record::Inventory(_) => ("inventory", INFORMATIONAL, told),
    }
}

/// The severity of its message.
fn session_essentials(session: &SessionRecord, told: &mut Essentials) -> u8 {
    told.add("session_id", session.session_id.as_str());
    told.life(session.run.as_deref(), session.phase.as_ref());
    told.add_some("app", session.app.as_deref());
    told.add("src_ip", session.endpoint.ip.as_str());
    told.add("start", session.start.as_str());
    told.add("end", session.end.as_str());
    told.add_some("meeting_id", session.meeting_id.as_deref());
    told.add("keys", word(&session.keys.method));
    told.add("could_hold", could_hold(&session.keys.holders));
    let reach: Vec<String> = session.jurisdictions.iter().map(|one| one.code.clone()).collect();
    told.add("jurisdictions", reach.join(","));
    let is_grave = session.findings.iter().any(|finding| finding.severity == Severity::High);
    let findings: Vec<&str> = session.findings.iter().map(|finding| finding.id).collect();
    told.add("findings", findings.join(","));
    if is_grave { WARNING } else { INFORMATIONAL }
}

/// Addresses of those that could hold the media key; empty where it is known of all that they could not.
fn could_hold(holders: &[HolderRecord]) -> String {
    let able = holders.iter().filter(|holder| holder.could_hold == CouldHold::Yes);
    let able: Vec<&str> = able.map(|holder| holder.ip.as_str()).collect();
    let is_known = !holders.is_empty() && holders.iter().all(|holder| holder.could_hold == CouldHold::No);
    if able.is_empty() && !is_known { "not_determinable".to_owned() } else { able.join(",") }
}

#[cfg(test)]
mod tests {
    use super::CouldHold::{No, Unknown, Yes};
    use super::*;
    use crate::report::tests::beijing;

    #[test]
    fn nobody_could_hold_the_key_only_where_that_is_known_of_all() {
        let holder = beijing().all_records().into_iter().find_map(|record| match record {
            Record::Session(session) => session.keys.holders.first().cloned(),
            _ => None,
        });
        let holder = holder.unwrap();
        let told = |answers: &[CouldHold]| {
            let one = |(could_hold, ip): (&CouldHold, char)| HolderRecord {
                ip: ip.to_string(),
                could_hold: *could_hold,
                ..holder.clone()
            };
            could_hold(&answers.iter().zip('a'..).map(one).collect::<Vec<_>>())
        };
        for (answers, expected) in [
            (&[][..], "not_determinable"),
            (&[Unknown], "not_determinable"),
            (&[No, Unknown], "not_determinable"),
            (&[No, No], ""),
            (&[No, Yes, Unknown, Yes], "b,d"),
        ] {
            assert_eq!(told(answers), expected, "{answers:?}");
        }
    }
}
