//! Sessions, meetings and alerts, counted as records of them come by.
//!
//! A gauge is counted anew for each page from what goes on; a counter grows when something ends, since only then its app and its
//! servers are settled. No label holds an address, a name or a number from the wire: apps come from the provider files, countries
//! from ISO 3166, rules from the policy.

use std::collections::BTreeMap;

use super::followed::{ANSWERS, Alert, Session, app, loss, severity};
use super::label::{Counts, OTHER};
use super::text::Kind::{Counter, Gauge};
use super::text::{Histogram, Kind, Page};
use crate::report::record::{AlertRecord, MeetingRecord, Phase, SessionRecord};

/// Sessions, and meetings, and alerts that are followed at once; some 200 bytes each. Beyond that they are counted, not followed.
const MAX_FOLLOWED: usize = 1 << 16;
/// Apps that are told apart; provider files know some tens.
const MAX_APPS: usize = 256;
/// Countries that are told apart: ISO 3166-1 has 249.
const MAX_COUNTRIES: usize = 260;
/// Rules that are told apart.
const MAX_RULES: usize = 256;
/// Findings that are told apart; the report knows some tens.
const MAX_FINDINGS: usize = 256;
/// Bounds of lengths of sessions, in seconds.
const DURATIONS: &[f64] = &[10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0];
/// Bounds of shares of packets that were lost.
const LOSSES: &[f64] = &[0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
/// Bounds of jitter and of round trips, in seconds.
const DELAYS: &[f64] = &[0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0];
/// Bounds of MOS-CQE (ITU-T G.107): below 3.1 nearly all users are dissatisfied, above 4.3 all are very satisfied.
const SCORES: &[f64] = &[2.0, 2.6, 3.1, 3.6, 4.0, 4.3];

/// Everything that is counted of calls.
#[derive(Debug)]
pub(super) struct Calls {
    sessions: BTreeMap<String, Session>,
    meetings: BTreeMap<String, String>,
    alerts: BTreeMap<String, Alert>,
    ended: Counts<String>,
    meetings_ended: Counts<String>,
    holders_ended: Counts<String>,
    reached_ended: Counts<String>,
    answers_ended: Counts<String>,
    findings_ended: Counts<(String, &'static str)>,
    alerts_told: Counts<(String, &'static str, &'static str)>,
    /// Not followed because too many go on at once: sessions, meetings, alerts.
    untracked: [u64; 3],
    /// Values that were counted under `other`.
    beyond: u64,
    durations: Histogram,
    round_trips: Histogram,
    losses: [Histogram; 2],
    jitters: [Histogram; 2],
    scores: [Histogram; 2],
}

/// Ways of media, as labels.
const WAYS: [&str; 2] = ["sent", "received"];

impl Default for Calls {
    fn default() -> Self {
        let both = |bounds| [Histogram::new(bounds), Histogram::new(bounds)];
        Self {
            sessions: BTreeMap::new(),
            meetings: BTreeMap::new(),
            alerts: BTreeMap::new(),
            ended: Counts::new(MAX_APPS),
            meetings_ended: Counts::new(MAX_APPS),
            holders_ended: Counts::new(MAX_COUNTRIES),
            reached_ended: Counts::new(MAX_COUNTRIES),
            answers_ended: Counts::new(MAX_APPS),
            findings_ended: Counts::new(MAX_FINDINGS),
            alerts_told: Counts::new(MAX_RULES),
            untracked: [0; 3],
            beyond: 0,
            durations: Histogram::new(DURATIONS),
            round_trips: Histogram::new(DELAYS),
            losses: both(LOSSES),
            jitters: both(DELAYS),
            scores: both(SCORES),
        }
    }
}

impl Calls {
    pub(super) fn session(&mut self, record: &SessionRecord) {
        let session = Session::of(record);
        if is_over(record.phase) {
            self.sessions.remove(&record.session_id);
            self.end(record, &session);
        } else {
            let [untracked, ..] = &mut self.untracked;
            follow(&mut self.sessions, &record.session_id, session, untracked);
        }
    }

    fn end(&mut self, record: &SessionRecord, session: &Session) {
        let other = OTHER.to_owned();
        let mut beyond = 0_u64;
        let mut count = |counts: &mut Counts<String>, key: &String| {
            beyond = beyond.saturating_add(u64::from(!counts.add(key, &other)));
        };
        count(&mut self.ended, &session.app);
        count(&mut self.answers_ended, &session.answer.to_owned());
        for country in &session.holders {
            count(&mut self.holders_ended, country);
        }
        for code in &session.reached {
            count(&mut self.reached_ended, code);
        }
        for finding in &record.findings {
            let severity = severity(finding.severity);
            let key = (finding.id.to_owned(), severity);
            beyond =
                beyond.saturating_add(u64::from(!self.findings_ended.add(&key, &(other.clone(), severity))));
        }
        self.beyond = self.beyond.saturating_add(beyond);
        self.durations.add(record.duration_s);
        if let Some(rtt) = record.media.rtt_ms {
            self.round_trips.add(rtt / 1000.0);
        }
        for (place, way) in [&record.media.sent, &record.media.received].into_iter().enumerate() {
            let rows = [
                (self.losses.get_mut(place), loss(way)),
                (self.jitters.get_mut(place), way.jitter_ms.map(|jitter| jitter / 1000.0)),
                (self.scores.get_mut(place), way.mos.value),
            ];
            for (histogram, value) in rows {
                if let (Some(histogram), Some(value)) = (histogram, value) {
                    histogram.add(value);
                }
            }
        }
    }

    pub(super) fn meeting(&mut self, record: &MeetingRecord) {
        let app = app(record.app.as_deref());
        if is_over(record.phase) {
            self.meetings.remove(&record.meeting_id);
            if !self.meetings_ended.add(&app, &OTHER.to_owned()) {
                self.beyond = self.beyond.saturating_add(1);
            }
        } else {
            let [_, untracked, _] = &mut self.untracked;
            follow(&mut self.meetings, &record.meeting_id, app, untracked);
        }
    }

    /// An alert is counted when it is first told of and whenever its outcome changes.
    pub(super) fn alert(&mut self, record: &AlertRecord) {
        let alert = Alert::of(record);
        let before = self.alerts.get(&record.alert_id);
        if before.is_none_or(|before| (before.state, before.severity) != (alert.state, alert.severity)) {
            let key = (alert.rule.clone(), alert.severity, alert.state);
            if !self.alerts_told.add(&key, &(OTHER.to_owned(), alert.severity, alert.state)) {
                self.beyond = self.beyond.saturating_add(1);
            }
        }
        if is_over(record.phase) {
            self.alerts.remove(&record.alert_id);
        } else {
            let [.., untracked] = &mut self.untracked;
            follow(&mut self.alerts, &record.alert_id, alert, untracked);
        }
    }

    pub(super) fn write(&self, page: &mut Page) {
        self.write_sessions(page);
        self.write_holders(page);
        self.write_alerts(page);
        self.write_quality(page);
        page.family(
            Counter,
            "meetscope_metrics_untracked",
            "What was not followed because too much of it went on at once.",
        );
        for (what, count) in ["session", "meeting", "alert"].into_iter().zip(self.untracked) {
            page.sample(&[("what", what)], count);
        }
        page.family(
            Counter,
            "meetscope_metrics_label_overflows",
            "Values that were counted under the label `other`.",
        )
        .sample(&[], self.beyond);
    }

    fn write_sessions(&self, page: &mut Page) {
        let active = tally(self.sessions.values().map(|session| session.app.as_str()), MAX_APPS);
        gauge(page, "meetscope_sessions_active", "Sessions that go on, by app.", "app", &active);
        counter(page, "meetscope_sessions_ended", "Sessions that ended, by app.", "app", &self.ended);
        let active = tally(self.meetings.values().map(String::as_str), MAX_APPS);
        gauge(page, "meetscope_meetings_active", "Meetings that go on, by app.", "app", &active);
        counter(
            page,
            "meetscope_meetings_ended",
            "Meetings that ended, by app.",
            "app",
            &self.meetings_ended,
        );
        page.family(
            Gauge,
            "meetscope_sessions_active_worst_loss_ratio",
            "Share of media packets lost in the worst session that goes on, by app and way, since its beginning.",
        );
        for (app, way, worst) in self.worst() {
            page.sample(&[("app", &app), ("direction", way)], worst);
        }
    }

    /// The greatest share of lost packets by app and way.
    fn worst(&self) -> Vec<(String, &'static str, f64)> {
        let mut worst: BTreeMap<(&str, usize), f64> = BTreeMap::new();
        for session in self.sessions.values() {
            for (way, loss) in session.loss.iter().enumerate() {
                let Some(loss) = loss else { continue };
                let has_room = worst.len() < MAX_APPS || worst.contains_key(&(session.app.as_str(), way));
                let app = if has_room { session.app.as_str() } else { OTHER };
                let most = worst.entry((app, way)).or_default();
                *most = most.max(*loss);
            }
        }
        let rows = worst.into_iter();
        rows.filter_map(|((app, way), worst)| Some((app.to_owned(), *WAYS.get(way)?, worst))).collect()
    }

    fn write_holders(&self, page: &mut Page) {
        let holders = self.sessions.values().flat_map(|session| &session.holders).map(String::as_str);
        gauge(
            page,
            "meetscope_key_holder_sessions",
            "Sessions that go on with a server that could hold the media key and that databases place in the country.",
            "country",
            &tally(holders, MAX_COUNTRIES),
        );
        counter(
            page,
            "meetscope_key_holder_sessions_ended",
            "Sessions that ended, with a server that could hold the media key and that databases place in the country.",
            "country",
            &self.holders_ended,
        );
        let reached = self.sessions.values().flat_map(|session| &session.reached).map(String::as_str);
        gauge(
            page,
            "meetscope_key_jurisdiction_sessions",
            "Sessions that go on with a server that could hold the media key and that the jurisdiction reaches, by place, network or operator.",
            "jurisdiction",
            &tally(reached, MAX_COUNTRIES),
        );
        counter(
            page,
            "meetscope_key_jurisdiction_sessions_ended",
            "Sessions that ended, with a server that could hold the media key and that the jurisdiction reaches.",
            "jurisdiction",
            &self.reached_ended,
        );
        let mut answers = tally(self.sessions.values().map(|session| session.answer), ANSWERS.len());
        for answer in ANSWERS {
            answers.entry(answer.to_owned()).or_default();
        }
        gauge(
            page,
            "meetscope_key_answer_sessions",
            "Sessions that go on, by whether a server of theirs could hold the media key.",
            "answer",
            &answers,
        );
        counter(
            page,
            "meetscope_key_answer_sessions_ended",
            "Sessions that ended, by whether a server of theirs could hold the media key.",
            "answer",
            &self.answers_ended,
        );
    }

    fn write_alerts(&self, page: &mut Page) {
        page.family(Gauge, "meetscope_alerts_active", "Rules that fired over sessions that go on.");
        let mut active: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for alert in self.alerts.values().filter(|alert| alert.fired) {
            let key = (alert.rule.as_str(), alert.severity);
            let key =
                if active.len() < MAX_RULES || active.contains_key(&key) { key } else { (OTHER, key.1) };
            let count = active.entry(key).or_default();
            *count = count.saturating_add(1);
        }
        for ((rule, severity), count) in active {
            page.sample(&[("rule", rule), ("severity", severity)], count);
        }
        page.family(
            Counter,
            "meetscope_alerts",
            "Alerts, by rule, severity and outcome; one whose outcome changed counts again.",
        );
        for ((rule, severity, state), count) in self.alerts_told.iter() {
            page.sample(&[("rule", rule), ("severity", severity), ("state", state)], count);
        }
        page.family(Counter, "meetscope_session_findings", "What stood out in sessions that ended, by kind.");
        for ((finding, severity), count) in self.findings_ended.iter() {
            page.sample(&[("finding", finding), ("severity", severity)], count);
        }
    }

    fn write_quality(&self, page: &mut Page) {
        let single: [(&'static str, &str, &Histogram); 2] = [
            ("meetscope_session_duration_seconds", "Lengths of sessions that ended.", &self.durations),
            (
                "meetscope_session_round_trip_seconds",
                "Median round trips of sessions that ended.",
                &self.round_trips,
            ),
        ];
        for (name, help, histogram) in single {
            page.family(Kind::Histogram, name, help).histogram(&[], histogram);
        }
        let both: [(&'static str, &str, &[Histogram; 2]); 3] = [
            (
                "meetscope_session_loss_ratio",
                "Shares of media packets lost in sessions that ended.",
                &self.losses,
            ),
            ("meetscope_session_jitter_seconds", "Mean jitter of sessions that ended.", &self.jitters),
            (
                "meetscope_session_audio_mos",
                "Speech quality of sessions that ended: MOS-CQE by the E-model.",
                &self.scores,
            ),
        ];
        for (name, help, histograms) in both {
            page.family(Kind::Histogram, name, help);
            for (way, histogram) in WAYS.into_iter().zip(histograms) {
                page.histogram(&[("direction", way)], histogram);
            }
        }
    }
}

/// What is over is told without a phase by a run that reads files.
fn is_over(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Ended) | None)
}

fn follow<T>(all: &mut BTreeMap<String, T>, id: &str, what: T, untracked: &mut u64) {
    if let Some(known) = all.get_mut(id) {
        *known = what;
    } else if all.len() < MAX_FOLLOWED {
        all.insert(id.to_owned(), what);
    } else {
        *untracked = untracked.saturating_add(1);
    }
}

fn tally<'a>(values: impl Iterator<Item = &'a str>, most: usize) -> BTreeMap<String, u64> {
    let mut counts = Counts::new(most);
    for value in values {
        counts.add(&value, &OTHER);
    }
    counts.iter().map(|(value, count)| ((*value).to_owned(), count)).collect()
}

fn gauge(page: &mut Page, name: &'static str, help: &str, label: &str, counts: &BTreeMap<String, u64>) {
    page.family(Gauge, name, help);
    for (value, count) in counts {
        page.sample(&[(label, value)], *count);
    }
}

fn counter(page: &mut Page, name: &'static str, help: &str, label: &str, counts: &Counts<String>) {
    page.family(Counter, name, help);
    for (value, count) in counts.iter() {
        page.sample(&[(label, value)], count);
    }
}
