//! What there is to show. In: the board, or records. Out: rows of words, escaped, for each pane.

use std::sync::Arc;

use super::columns::{ALERTS, Column, HISTORY_COLUMNS, INTERFACES, MEETINGS, SESSIONS};
use crate::board::{Board, Past, Point, as_alert, as_meeting, as_session, grave, gravest};
use crate::keys::{CouldHold, Method};
use crate::policy::State;
use crate::report::record::{
    AlertRecord, MeetingRecord, Phase, Record, SessionRecord, Severity, StatsRecord, WayRecord,
};
use crate::report::visible;

/// Rows of the history that are shown, the latest.
const HISTORY: usize = 1000;

/// References to what the board holds, so that it need not stay locked.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) sessions: Vec<Arc<Record>>,
    pub(super) meetings: Vec<Arc<Record>>,
    pub(super) alerts: Vec<Arc<Record>>,
    pub(super) history: Vec<Past>,
    pub(super) stats: Option<StatsRecord>,
    pub(super) rate: Option<Point>,
    pub(super) uptime_s: u64,
}

impl Shown {
    pub(super) fn of(board: &Board) -> Self {
        Self {
            sessions: board.session_records(),
            meetings: board.meeting_records(),
            alerts: board.alert_records(),
            history: board.history().rev().take(HISTORY).cloned().collect(),
            stats: board.stats().cloned(),
            rate: board.rates().latest().copied(),
            uptime_s: board.uptime_s(),
        }
    }

    /// A session that goes on, or one that is over and whose record is still kept.
    pub(super) fn session(&self, id: &str) -> Option<&SessionRecord> {
        let going = self.sessions.iter().filter_map(as_session);
        let over = self.history.iter().filter_map(|past| past.record.as_ref()).filter_map(as_session);
        going.chain(over).find(|session| session.session_id == id)
    }

    pub(super) fn alerts_of(&self, id: &str) -> Vec<&AlertRecord> {
        self.alerts.iter().filter_map(as_alert).filter(|alert| alert.session_id == id).collect()
    }
}

/// How a row is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    Alarm,
    Warn,
    Plain,
    Dim,
}

/// One row of a pane.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What it is of; no other row of its pane has that name.
    pub(super) name: String,
    /// The session that it opens, if it does.
    pub(super) session: Option<String>,
    pub(super) mood: Mood,
    /// Grave findings, and all of them.
    pub(super) findings: (usize, usize),
    pub(super) cells: Vec<String>,
    /// What `s` sorts by beside the words.
    pub(super) loss: f64,
}

impl Row {
    pub(super) fn matches(&self, filter: &str) -> bool {
        let filter = filter.to_lowercase();
        self.cells.iter().any(|cell| cell.to_lowercase().contains(&filter))
    }

    /// What a cell is sorted by: words, and numbers in them as numbers.
    pub(super) fn key(&self, at: usize) -> Vec<(String, u64)> {
        let mut rest = self.cells.get(at).map_or("", String::as_str);
        let mut key = Vec::new();
        while !rest.is_empty() {
            let (words, digits) =
                rest.split_at(rest.find(|one: char| one.is_ascii_digit()).unwrap_or(rest.len()));
            let end = digits.find(|one: char| !one.is_ascii_digit()).unwrap_or(digits.len());
            let (number, after) = digits.split_at(end);
            key.push((words.to_lowercase(), number.parse().unwrap_or(u64::MAX)));
            rest = after;
        }
        key
    }
}

fn clean(text: &str) -> String {
    visible(text).into_owned()
}

fn app(app: Option<&str>) -> String {
    app.map_or_else(|| "unnamed".to_owned(), clean)
}

/// The worse of two ways, where either was measured.
fn worse(
    ways: [&WayRecord; 2],
    of: impl Fn(&WayRecord) -> Option<f64>,
    is_worse: impl Fn(f64, f64) -> bool,
) -> Option<f64> {
    ways.into_iter().filter_map(of).fold(None, |worst, value| match worst {
        Some(worst) if !is_worse(value, worst) => Some(worst),
        _ => Some(value),
    })
}

fn or_dash(value: Option<f64>, decimals: usize, unit: &str) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}{unit}"))
}

pub(super) fn session(record: &SessionRecord) -> Row {
    let ways = [&record.media.sent, &record.media.received];
    let loss = worse(ways, |way| way.loss_percent, |one, other| one > other);
    let mos = worse(ways, |way| way.mos.value, |one, other| one < other);
    let rate: f64 = ways.iter().filter_map(|way| way.bitrate_kbps).sum();
    let mut findings: Vec<String> = Vec::new();
    for finding in &record.findings {
        let words = finding.id.replace('_', " ");
        if !findings.contains(&words) {
            findings.push(words);
        }
    }
    Row {
        name: record.session_id.clone(),
        session: Some(record.session_id.clone()),
        mood: mood(gravest(record)),
        findings: (grave(record), record.findings.len()),
        loss: loss.unwrap_or(-1.0),
        cells: vec![
            clean(&record.session_id),
            app(record.app.as_deref()),
            clean(&record.endpoint.ip),
            holders(record),
            or_dash(loss, 1, " %"),
            or_dash(mos, 1, ""),
            or_dash(record.media.rtt_ms, 0, ""),
            or_dash(Some(rate).filter(|rate| *rate > 0.0), 0, ""),
            record.cipher.as_ref().map_or("-", |cipher| cipher_word(cipher.evidence.verdict)).to_owned(),
            phase(record.phase).to_owned(),
            length(record.duration_s),
            clean(&findings.join(", ")),
        ],
    }
}

const fn mood(gravest: Option<Severity>) -> Mood {
    match gravest {
        Some(Severity::High) => Mood::Alarm,
        Some(Severity::Notice) => Mood::Warn,
        None => Mood::Plain,
    }
}

/// A verdict in few letters; the session's page has it in words.
const fn cipher_word(verdict: crate::keys::cipher::CipherVerdict) -> &'static str {
    use crate::keys::cipher::CipherVerdict;
    match verdict {
        CipherVerdict::EcbConfirmed => "ECB confirmed",
        CipherVerdict::EcbVeryLikely => "ECB very likely",
        CipherVerdict::EcbSuspicious => "ECB suspected",
        CipherVerdict::NotEncrypted => "not encrypted",
        CipherVerdict::BeginsInClear => "clear at first",
        CipherVerdict::Inconclusive => "inconclusive",
        CipherVerdict::NoEcbEvidence => "no ECB seen",
        CipherVerdict::StreamLengths => "stream lengths",
        CipherVerdict::AeadFraming => "AEAD framing",
    }
}

const fn phase(phase: Option<Phase>) -> &'static str {
    match phase {
        Some(Phase::Begun) => "begun",
        Some(Phase::Update) => "goes on",
        Some(Phase::Ended) | None => "ended",
    }
}

/// Countries of those that could hold the key, each once, or that it cannot be told.
fn holders(record: &SessionRecord) -> String {
    let all = &record.keys.holders;
    let mut codes: Vec<&str> = Vec::new();
    for holder in all.iter().filter(|holder| holder.could_hold == CouldHold::Yes) {
        let code = holder.place.located_in.country.as_ref().map_or("?", |country| country.code());
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    if !codes.is_empty() {
        // Media that is not encrypted has no key.
        let read = if record.keys.method == Method::None { "read " } else { "" };
        return format!("{read}{}", codes.join(","));
    }
    let is_open = all.is_empty() || all.iter().any(|holder| holder.could_hold == CouldHold::Unknown);
    if is_open { "not determ." } else { "none seen" }.to_owned()
}

/// `12 s`, `3:20`, `2:05:00`.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is clamped by `as`"
)]
pub(super) fn length(seconds: f64) -> String {
    let whole = seconds as u64;
    let (hours, minutes, seconds) =
        (whole.div_euclid(3600), whole.div_euclid(60).rem_euclid(60), whole.rem_euclid(60));
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn meeting(record: &MeetingRecord) -> Row {
    let reach: Vec<&str> = record.jurisdictions.iter().map(|one| one.jurisdiction.as_str()).collect();
    let ends: Vec<&str> = record.endpoints.iter().map(|end| end.ip.as_str()).collect();
    Row {
        name: record.meeting_id.clone(),
        session: record.sessions.first().cloned(),
        mood: Mood::Plain,
        findings: (0, 0),
        loss: 0.0,
        cells: vec![
            clean(&record.meeting_id),
            app(record.app.as_deref()),
            record.participants_seen.to_string(),
            clean(&reach.join(",")),
            format!("{:.2}", record.confidence),
            length(record.duration_s),
            clean(&ends.join(", ")),
        ],
    }
}

fn alert(record: &AlertRecord) -> Row {
    let (severity, mood) = match (record.fired, record.severity) {
        (true, Severity::High) => ("HIGH", Mood::Alarm),
        (true, Severity::Notice) => ("notice", Mood::Warn),
        (false, _) => ("-", Mood::Dim),
    };
    let state = match record.state {
        State::Broken => "broken",
        State::NotDeterminable => "not determinable",
        State::Excepted => "excepted",
    };
    Row {
        name: record.alert_id.clone(),
        session: Some(record.session_id.clone()),
        mood,
        findings: (0, 0),
        loss: 0.0,
        cells: vec![
            severity.to_owned(),
            state.to_owned(),
            clean(&record.rule),
            clean(&record.session_id),
            clean(&record.src_ip),
            clean(&record.text),
        ],
    }
}

fn past(past: &Past) -> Row {
    let ended = past.end.get(..16).unwrap_or(&past.end).replace('T', " ");
    let placed = if past.countries.is_empty() { "-".to_owned() } else { past.countries.join(",") };
    Row {
        name: past.session_id.clone(),
        session: past.record.as_ref().map(|_| past.session_id.clone()),
        mood: mood(past.severity),
        findings: (past.grave, past.findings),
        loss: past.loss_percent.unwrap_or(-1.0),
        cells: vec![
            clean(&past.session_id),
            app(past.app.as_deref()),
            clean(&past.ip),
            clean(&placed),
            or_dash(past.loss_percent, 1, " %"),
            or_dash(past.mos, 1, ""),
            clean(&ended),
            past.findings.to_string(),
            past.alerts.to_string(),
        ],
    }
}

fn interfaces(stats: &StatsRecord) -> Vec<Row> {
    let row = |name: String, cells: Vec<String>, is_lossy: bool, error: bool| Row {
        name,
        session: None,
        mood: if error {
            Mood::Alarm
        } else if is_lossy {
            Mood::Warn
        } else {
            Mood::Plain
        },
        findings: (0, 0),
        loss: 0.0,
        cells,
    };
    let mut rows: Vec<Row> = Vec::new();
    for one in &stats.interfaces {
        let own = one.workers.iter().map(|worker| worker.dropped_by_us).fold(0, u64::saturating_add);
        let words = one.error.as_deref().map_or_else(
            || one.distortions.first().map_or_else(|| "listening".to_owned(), |text| clean(text)),
            clean,
        );
        let lost = [one.dropped_by_kernel, one.dropped_by_interface, own];
        let mut cells = vec![clean(&one.name), one.received.to_string()];
        cells.extend(lost.iter().map(ToString::to_string));
        cells.push(words);
        rows.push(row(
            format!("interface {}", one.name),
            cells,
            lost.iter().any(|lost| *lost > 0),
            one.error.is_some(),
        ));
    }
    for sink in &stats.sinks {
        let words = sink.error.as_deref().map_or_else(|| format!("{} wait", sink.queued), clean);
        let cells = vec![
            clean(&sink.name),
            format!("{} written", sink.written),
            format!("{} lost", sink.lost),
            format!("{} doubt", sink.in_doubt),
            format!("{} again", sink.reconnects),
            words,
        ];
        rows.push(row(format!("sink {}", sink.name), cells, sink.lost > 0, sink.error.is_some()));
    }
    rows
}

/// A pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Sessions,
    Meetings,
    Alerts,
    Drops,
    History,
}

impl Pane {
    pub(super) const ALL: [Self; 5] =
        [Self::Sessions, Self::Meetings, Self::Alerts, Self::Drops, Self::History];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Sessions => "Sessions",
            Self::Meetings => "Meetings",
            Self::Alerts => "Alerts",
            Self::Drops => "Drops",
            Self::History => "History",
        }
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Sessions => SESSIONS,
            Self::Meetings => MEETINGS,
            Self::Alerts => ALERTS,
            Self::Drops => INTERFACES,
            Self::History => HISTORY_COLUMNS,
        }
    }

    pub(super) fn rows(self, shown: &Shown) -> Vec<Row> {
        match self {
            Self::Sessions => shown.sessions.iter().rev().filter_map(as_session).map(session).collect(),
            Self::Meetings => shown.meetings.iter().rev().filter_map(as_meeting).map(meeting).collect(),
            Self::Alerts => shown.alerts.iter().rev().filter_map(as_alert).map(alert).collect(),
            Self::Drops => shown.stats.as_ref().map(interfaces).unwrap_or_default(),
            Self::History => shown.history.iter().map(past).collect(),
        }
    }
}
