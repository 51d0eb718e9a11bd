//! Stage: what is known now. In: what a run on interfaces tells ([`Told`]). Out: current sessions and meetings, alerts, the
//! latest counters, rates over the last minutes and the last day, sessions that ended in the last day.
//!
//! Pure: no clock, no file, no socket. Time is the run's own uptime, which the counters of every second carry, so that a step of
//! the clock that stamps packets neither ages nor rejuvenates anything. Everything is capped, what falls out is counted, and each
//! entry carries the version at which it last changed, so that a reader takes only what is new to it.

mod changes;
mod current;
mod history;
mod rates;
mod weight;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use changes::{Changes, GoneNames};
pub use current::Name;
pub use history::Past;
pub use rates::{Point, Rates};

use crate::report::Told;
use crate::report::record::{
    AlertRecord, MeetingRecord, Phase, Record, SessionRecord, Severity, StatsRecord,
};
use current::Shelf;
use history::History;

/// Sessions that go on and are kept: more than a mirror port of 10 Gbit/s has calls.
pub const SESSIONS: usize = 20_000;
/// Meetings that go on.
pub const MEETINGS: usize = 10_000;
/// Alerts of the last day and of sessions that go on.
pub const ALERTS: usize = 4_096;
/// Bytes that records of current sessions may take, about, where the caller sets nothing else.
pub const CURRENT_BYTES: usize = 64 << 20;
/// Bytes that records of ended sessions may take, about, where the caller sets nothing else.
pub const HISTORY_BYTES: usize = 32 << 20;
/// How long what is over stays, in seconds: a day.
pub const HISTORY_S: u64 = 86_400;

/// What a board may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct Config {
    /// Bytes of records of current sessions, about.
    pub current_bytes: usize,
    /// Bytes of whole records of ended sessions, about; a row of each stays when its record goes.
    pub history_bytes: usize,
    /// How long what is over stays, in seconds of uptime.
    pub history_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { current_bytes: CURRENT_BYTES, history_bytes: HISTORY_BYTES, history_s: HISTORY_S }
    }
}

impl Config {
    /// A share of a memory budget, in bytes: a quarter at most, a third of that for what is over.
    #[must_use]
    pub fn within(budget: usize) -> Self {
        let most = Self::default();
        let quarter = budget.div_euclid(4);
        let history = quarter.div_euclid(3);
        Self {
            current_bytes: most.current_bytes.min(quarter.saturating_sub(history)),
            history_bytes: most.history_bytes.min(history),
            ..most
        }
    }
}

/// What fell out of a board because it was full. What aged out is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "counters that readers show")]
pub struct Counters {
    /// Current sessions, the longest untold first.
    pub sessions_left_out: u64,
    /// Meetings.
    pub meetings_left_out: u64,
    /// Alerts, the oldest first.
    pub alerts_left_out: u64,
    /// Rows of ended sessions, the oldest first.
    pub history_left_out: u64,
    /// Whole records of ended sessions whose rows stay, the oldest first.
    pub details_left_out: u64,
}

/// What is known now. [`take`](Self::take) is quick: it moves references and never waits.
#[derive(Debug)]
pub struct Board {
    config: Config,
    version: u64,
    uptime_s: u64,
    sessions: Shelf,
    meetings: Shelf,
    alerts: Shelf,
    history: History,
    gone: changes::Gone,
    stats: Option<Arc<Record>>,
    rates: Rates,
}

impl Board {
    /// Nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            version: 0,
            uptime_s: 0,
            sessions: Shelf::new(SESSIONS, config.current_bytes),
            meetings: Shelf::new(MEETINGS, usize::MAX),
            alerts: Shelf::new(ALERTS, usize::MAX),
            history: History::new(config.history_bytes),
            gone: changes::Gone::default(),
            stats: None,
            rates: Rates::default(),
        }
    }

    /// Takes what is told. Records of one id replace each other; one that is over moves to the last day's.
    pub fn take(&mut self, told: &Told) {
        self.version = self.version.saturating_add(1);
        match &*told.record {
            Record::Session(session) => self.session_told(session, &told.record),
            Record::Meeting(meeting) => self.meeting_told(meeting, &told.record),
            Record::Alert(alert) => self.alert_told(alert, &told.record),
            Record::Stats(stats) => self.stats_told(stats, &told.record),
            Record::Flow(_) | Record::Software(_) | Record::Server(_) | Record::Inventory(_) => {}
        }
    }

    fn session_told(&mut self, session: &SessionRecord, record: &Arc<Record>) {
        let id = &session.session_id;
        if matches!(session.phase, None | Some(Phase::Ended)) {
            if self.sessions.remove(id) {
                self.gone.session(self.version, id);
            }
            if session.superseded_by.is_some() {
                // It was none of its own: no call has ended.
                return;
            }
            let alerts = self.alerts_of(id).filter(|alert| alert.fired).count();
            self.history.add(session, record, alerts, self.uptime_s, self.version);
            return;
        }
        let weight = weight::session(session);
        for lost in self.sessions.put(id, record, weight, self.version, self.uptime_s) {
            self.gone.session(self.version, &lost);
        }
    }

    fn meeting_told(&mut self, meeting: &MeetingRecord, record: &Arc<Record>) {
        let id = &meeting.meeting_id;
        if matches!(meeting.phase, None | Some(Phase::Ended)) {
            if self.meetings.remove(id) {
                self.gone.meeting(self.version, id);
            }
            return;
        }
        let weight = weight::meeting(meeting);
        for lost in self.meetings.put(id, record, weight, self.version, self.uptime_s) {
            self.gone.meeting(self.version, &lost);
        }
    }

    fn alert_told(&mut self, alert: &AlertRecord, record: &Arc<Record>) {
        let weight = weight::alert(alert);
        for lost in self.alerts.put(&alert.alert_id, record, weight, self.version, self.uptime_s) {
            self.gone.alert(self.version, &lost);
        }
        let fired = self.alerts_of(&alert.session_id).filter(|alert| alert.fired).count();
        self.history.set_alerts(&alert.session_id, fired, self.version);
    }

    fn stats_told(&mut self, stats: &StatsRecord, record: &Arc<Record>) {
        if let Some(live) = &stats.live {
            self.uptime_s = self.uptime_s.max(live.uptime_s);
        }
        self.rates.add(stats, self.uptime_s, self.sessions.len());
        self.stats = Some(Arc::clone(record));
        let before = self.uptime_s.saturating_sub(self.config.history_s);
        self.history.expire(before);
        // Alerts of a call that goes on stay, however long it is.
        let goes_on = |record: &Record| matches!(record, Record::Alert(alert) if self.sessions.get(&alert.session_id).is_some());
        for id in self.alerts.expire(before, goes_on) {
            self.gone.alert(self.version, &id);
        }
    }

    /// Grows with everything that is taken.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Seconds since the watching began, as the latest counters say.
    #[must_use]
    pub const fn uptime_s(&self) -> u64 {
        self.uptime_s
    }

    /// Sessions that go on, in the order of their names.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionRecord> {
        self.sessions.iter().filter_map(as_session)
    }

    /// How many sessions go on.
    #[must_use]
    pub fn sessions_len(&self) -> usize {
        self.sessions.len()
    }

    /// A session that goes on, or one of the last day whose record is still kept. It is a [`Record::Session`].
    #[must_use]
    pub fn session(&self, id: &str) -> Option<Arc<Record>> {
        self.sessions.get(id).or_else(|| self.history.get(id)?.record.as_ref()).cloned()
    }

    /// Meetings that go on, in the order of their names.
    pub fn meetings(&self) -> impl Iterator<Item = &MeetingRecord> {
        self.meetings.iter().filter_map(as_meeting)
    }

    /// Alerts of the last day and of sessions that go on, in the order of their names, those of sessions that are over among them.
    pub fn alerts(&self) -> impl Iterator<Item = &AlertRecord> {
        self.alerts.iter().filter_map(as_alert)
    }

    /// Sessions that go on, in the order of their names; each is a [`Record::Session`].
    #[must_use]
    pub fn session_records(&self) -> Vec<Arc<Record>> {
        self.sessions.iter().cloned().collect()
    }

    /// Meetings that go on, in the order of their names.
    #[must_use]
    pub fn meeting_records(&self) -> Vec<Arc<Record>> {
        self.meetings.iter().cloned().collect()
    }

    /// Alerts of the last day and of sessions that go on, in the order of their names.
    #[must_use]
    pub fn alert_records(&self) -> Vec<Arc<Record>> {
        self.alerts.iter().cloned().collect()
    }

    /// Alerts of one session.
    pub fn alerts_of(&self, session_id: &str) -> impl Iterator<Item = &AlertRecord> {
        self.alerts().filter(move |alert| alert.session_id == session_id)
    }

    /// The latest counters.
    #[must_use]
    pub fn stats(&self) -> Option<&StatsRecord> {
        self.stats.as_ref().and_then(as_stats)
    }

    /// The record of the latest counters.
    #[must_use]
    pub fn stats_record(&self) -> Option<Arc<Record>> {
        self.stats.clone()
    }

    /// Rates over the last minutes and the last day.
    #[must_use]
    pub const fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Sessions that ended in the last day, the oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Past> {
        self.history.iter()
    }

    /// How many of these rows there are.
    #[must_use]
    pub fn history_len(&self) -> usize {
        self.history.len()
    }

    /// What fell out because the board was full.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            sessions_left_out: self.sessions.left_out(),
            meetings_left_out: self.meetings.left_out(),
            alerts_left_out: self.alerts.left_out(),
            history_left_out: self.history.left_out(),
            details_left_out: self.history.details_left_out(),
        }
    }

    /// What has changed since a version of this board.
    #[must_use]
    pub fn changes(&self, since: u64) -> Changes {
        Changes {
            version: self.version,
            sessions: self.sessions.since(since),
            meetings: self.meetings.since(since),
            alerts: self.alerts.since(since),
            ended: self.history.since(since),
            gone: self.gone.since(since),
        }
    }
}

/// The session that a record tells of, if it tells of one.
#[must_use]
pub fn as_session(record: &Arc<Record>) -> Option<&SessionRecord> {
    if let Record::Session(session) = &**record { Some(session) } else { None }
}

/// The meeting that a record tells of, if it tells of one.
#[must_use]
pub fn as_meeting(record: &Arc<Record>) -> Option<&MeetingRecord> {
    if let Record::Meeting(meeting) = &**record { Some(meeting) } else { None }
}

/// The alert that a record tells of, if it tells of one.
#[must_use]
pub fn as_alert(record: &Arc<Record>) -> Option<&AlertRecord> {
    if let Record::Alert(alert) = &**record { Some(alert) } else { None }
}

fn as_stats(record: &Arc<Record>) -> Option<&StatsRecord> {
    if let Record::Stats(stats) = &**record { Some(stats) } else { None }
}

/// How many of a session's findings are grave.
#[must_use]
pub fn grave(session: &SessionRecord) -> usize {
    session.findings.iter().filter(|finding| finding.severity == Severity::High).count()
}

/// The gravest of a session's findings.
#[must_use]
pub fn gravest(session: &SessionRecord) -> Option<Severity> {
    session.findings.iter().map(|finding| finding.severity).min()
}
