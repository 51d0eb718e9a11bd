//! What was told of sessions, meetings and alerts that go on, so that each is told when it begins, when it changes, now and then, and
//! when it ends. In: records of what goes on, and of what has ended. Out: those that are to be told, with their phases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::keys::Analysis;
use crate::policy::State;
use crate::report::record::{AlertRecord, MeetingRecord, Phase, SessionRecord, Severity};
use crate::report::{Going, GoingMeeting, GoingSession, Record};
use crate::session::order;
use crate::time::Timestamp;

/// Time between two records of a session that goes on which are shown and not written.
const SHOWN: Duration = Duration::from_secs(5);
/// A rule that cannot be determined yet waits so long: in the first seconds of a call little can be.
const SETTLES: Duration = Duration::from_secs(10);
/// A session of whose flows nothing was seen for so long is over, whatever became of them.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Stands for no session at all.
const NONE: &str = "none";

/// What was told of that which goes on. It holds no more sessions than there are flows of calls in a look (`pipeline::Calls`), and
/// those that were told before until they end.
#[derive(Debug, Default)]
pub(super) struct Live {
    sessions: BTreeMap<String, Session>,
    meetings: BTreeMap<String, Meeting>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    record: Box<SessionRecord>,
    told: Told,
    /// When it was last seen.
    seen: Timestamp,
    /// By rule: those that were told.
    alerts: BTreeMap<String, Box<AlertRecord>>,
}

#[derive(Debug)]
struct Meeting {
    record: Box<MeetingRecord>,
    sessions: BTreeSet<u64>,
    told: Told,
}

/// When something was told, and of what kind it was.
#[derive(Debug)]
struct Told {
    first: Timestamp,
    written: Timestamp,
    shown: Timestamp,
    digest: Vec<String>,
}

/// How something is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) phase: Phase,
    /// Also written, not only shown.
    pub(super) is_written: bool,
}

impl Way {
    pub(super) const fn written(phase: Phase) -> Self {
        Self { phase, is_written: true }
    }
}

impl Told {
    const fn new(now: Timestamp, digest: Vec<String>) -> Self {
        Self { first: now, written: now, shown: now, digest }
    }

    /// Whether it is to be told again; notes that it was.
    fn again(&mut self, now: Timestamp, update: Duration, digest: Vec<String>) -> Option<Way> {
        let apart = |earlier: Timestamp| now.since(earlier).max(earlier.since(now));
        let has_changed = self.digest != digest;
        let is_written = has_changed || apart(self.written) >= update;
        if !is_written && apart(self.shown) < SHOWN {
            return None;
        }
        self.digest = digest;
        self.shown = now;
        if is_written {
            self.written = now;
        }
        Some(Way { phase: Phase::Update, is_written })
    }
}

impl Live {
    /// Sessions that go on.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Takes what goes on at `now`; sessions first, then meetings, then alerts are handed to `tell`.
    pub(super) fn take(
        &mut self,
        going: Going,
        now: Timestamp,
        update: Duration,
        tell: &mut dyn FnMut(Record, Way),
    ) {
        let mut alerts = Vec::new();
        for GoingSession { id, record, alerts: found, .. } in going.sessions {
            alerts.push((record.session_id.clone(), found));
            self.session(id, record, now, update, tell);
        }
        for meeting in going.meetings {
            self.meeting(meeting, now, update, tell);
        }
        for (session, found) in alerts {
            if let Some(session) = self.sessions.get_mut(&session) {
                session.alerts(found, now, tell);
            }
        }
        self.forget(now, tell);
    }

    fn session(
        &mut self,
        number: u64,
        record: SessionRecord,
        now: Timestamp,
        update: Duration,
        tell: &mut dyn FnMut(Record, Way),
    ) {
        let digest = of_session(&record);
        let record = Box::new(record);
        if let Some(session) = self.sessions.get_mut(&record.session_id) {
            session.seen = now;
            if let Some(way) = session.told.again(now, update, digest) {
                tell(Record::Session(record.clone()), way);
            }
            session.record = record;
        } else {
            tell(Record::Session(record.clone()), Way::written(Phase::Begun));
            let (id, told) = (record.session_id.clone(), Told::new(now, digest));
            self.sessions.insert(id, Session { number, record, told, seen: now, alerts: BTreeMap::new() });
        }
    }

    fn meeting(
        &mut self,
        meeting: GoingMeeting,
        now: Timestamp,
        update: Duration,
        tell: &mut dyn FnMut(Record, Way),
    ) {
        let GoingMeeting { sessions, record, .. } = meeting;
        let sessions: BTreeSet<u64> = sessions.into_iter().collect();
        let digest = of_meeting(&record);
        let record = Box::new(record);
        self.supersede(&record.meeting_id, &sessions, tell);
        if let Some(known) = self.meetings.get_mut(&record.meeting_id) {
            known.sessions = sessions;
            if let Some(way) = known.told.again(now, update, digest) {
                tell(Record::Meeting(record.clone()), way);
            }
            known.record = record;
        } else {
            tell(Record::Meeting(record.clone()), Way::written(Phase::Begun));
            let (id, told) = (record.meeting_id.clone(), Told::new(now, digest));
            self.meetings.insert(id, Meeting { record, sessions, told });
        }
    }

    /// Ends the meetings that turned out to be meeting `id`, which has these sessions.
    fn supersede(&mut self, id: &str, sessions: &BTreeSet<u64>, tell: &mut dyn FnMut(Record, Way)) {
        let is_it = |other: &Meeting| !other.sessions.is_disjoint(sessions);
        let others: Vec<String> = self
            .meetings
            .iter()
            .filter(|(other, meeting)| *other != id && is_it(meeting))
            .map(|(other, _)| other.clone())
            .collect();
        for other in others {
            self.end_meeting(&other, id, tell);
        }
    }

    fn end_meeting(&mut self, id: &str, superseded_by: &str, tell: &mut dyn FnMut(Record, Way)) {
        if let Some(mut meeting) = self.meetings.remove(id) {
            meeting.record.superseded_by = Some(superseded_by.to_owned());
            tell(Record::Meeting(meeting.record), Way::written(Phase::Ended));
        }
    }

    fn end_session(&mut self, id: &str, superseded_by: &str, tell: &mut dyn FnMut(Record, Way)) {
        let Some(mut session) = self.sessions.remove(id) else { return };
        session.record.superseded_by = Some(superseded_by.to_owned());
        tell(Record::Session(session.record), Way::written(Phase::Ended));
        for (_, alert) in session.alerts {
            tell(taken_back(alert), Way::written(Phase::Ended));
        }
    }

    /// Notes a record of what has ended, and says whether it is to be told: a meeting of which sessions go on has not ended.
    pub(super) fn ended(&mut self, record: &Record, ended: &mut Ended) -> bool {
        match record {
            Record::Session(record) => {
                if let Some(session) = self.sessions.remove(&record.session_id) {
                    ended
                        .alerts
                        .extend(session.alerts.into_values().map(|alert| (alert.alert_id.clone(), alert)));
                }
                true
            }
            Record::Meeting(record) => {
                let goes_on = self.goes_on(&record.meeting_id);
                if !goes_on {
                    self.meetings.remove(&record.meeting_id);
                    ended.meetings.push((record.meeting_id.clone(), record.sessions.clone()));
                }
                !goes_on
            }
            Record::Alert(record) => {
                ended.alerts.remove(&record.alert_id);
                true
            }
            Record::Flow(_)
            | Record::Software(_)
            | Record::Server(_)
            | Record::Inventory(_)
            | Record::Stats(_) => true,
        }
    }

    fn goes_on(&self, meeting: &str) -> bool {
        let numbers = |meeting: &Meeting| {
            self.sessions.values().any(|session| meeting.sessions.contains(&session.number))
        };
        self.meetings.get(meeting).is_some_and(numbers)
    }

    /// Tells what follows for the rest when all records of `analysis` have been noted: what turned out to be something else, and
    /// meetings of which no session goes on.
    pub(super) fn settle(&mut self, analysis: &Analysis, ended: Ended, tell: &mut dyn FnMut(Record, Way)) {
        let place =
            |number: u64| analysis.flows.binary_search_by_key(&order(number).0, |judged| judged.flow.id).ok();
        let gone: Vec<(String, Option<u64>)> = self
            .sessions
            .iter()
            .filter_map(|(id, session)| {
                let flow = place(session.number)?;
                let owner = analysis.sessions.iter().find(|(other, _)| other.flows.contains(&flow));
                Some((id.clone(), owner.map(|(other, _)| other.id)))
            })
            .collect();
        for (id, owner) in gone {
            let by = owner.map_or_else(|| NONE.to_owned(), crate::report::session_name);
            self.end_session(&id, &by, tell);
        }
        for alert in ended.alerts.into_values() {
            tell(taken_back(alert), Way::written(Phase::Ended));
        }
        let over: Vec<String> = self.meetings.keys().filter(|id| !self.goes_on(id)).cloned().collect();
        for id in over {
            let sessions = self.meetings.get(&id).map(|meeting| meeting.record.sessions.clone());
            let of = sessions.unwrap_or_default();
            let by = ended.meetings.iter().find(|(_, other)| other.iter().any(|one| of.contains(one)));
            let by = by.map_or_else(|| NONE.to_owned(), |(by, _)| by.clone());
            self.end_meeting(&id, &by, tell);
        }
    }

    /// Ends what was lost sight of.
    fn forget(&mut self, now: Timestamp, tell: &mut dyn FnMut(Record, Way)) {
        let is_old =
            |session: &Session| now.since(session.seen) > FORGOTTEN || session.seen.since(now) > FORGOTTEN;
        let old: Vec<String> =
            self.sessions.iter().filter(|(_, session)| is_old(session)).map(|(id, _)| id.clone()).collect();
        for id in old {
            self.end_session(&id, NONE, tell);
        }
    }
}

/// What ended together.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Alerts of the sessions that were told while they went on, until one comes with the end.
    alerts: BTreeMap<String, Box<AlertRecord>>,
    /// Meetings with their sessions.
    meetings: Vec<(String, Vec<String>)>,
}

impl Session {
    /// Tells rules that fire for the first time, and those that come out otherwise than before.
    fn alerts(&mut self, found: Vec<AlertRecord>, now: Timestamp, tell: &mut dyn FnMut(Record, Way)) {
        let mut gone: BTreeSet<String> = self.alerts.keys().cloned().collect();
        let begun = self.told.first;
        let is_settled = now.since(begun) >= SETTLES || begun.since(now) >= SETTLES;
        for alert in found {
            gone.remove(&alert.rule);
            let known = self.alerts.get(&alert.rule);
            let phase = match known {
                Some(known) if says_the_same(known, &alert) => continue,
                Some(_) => Phase::Update,
                None if alert.state != State::Broken && !is_settled => continue,
                None => Phase::Begun,
            };
            let alert = Box::new(alert);
            self.alerts.insert(alert.rule.clone(), alert.clone());
            tell(Record::Alert(alert), Way::written(phase));
        }
        for rule in gone {
            if let Some(alert) = self.alerts.remove(&rule) {
                tell(taken_back(alert), Way::written(Phase::Ended));
            }
        }
    }
}

/// Nothing has come to it. What its sentences count grows with every packet, and is told with the session's end.
fn says_the_same(known: &AlertRecord, alert: &AlertRecord) -> bool {
    let size = |one: &AlertRecord| (one.reasons.len(), one.reasons_left_out, one.participants.len());
    known.state == alert.state && known.fired == alert.fired && size(known) == size(alert)
}

/// An alert that was told and does not hold.
fn taken_back(mut alert: Box<AlertRecord>) -> Record {
    alert.fired = false;
    alert.taken_back = true;
    alert.state = State::NotDeterminable;
    Record::Alert(alert)
}

/// What is told at once where it changes: app, meeting, the gravest findings, holders, jurisdictions.
fn of_session(record: &SessionRecord) -> Vec<String> {
    let mut digest =
        vec![record.app.clone().unwrap_or_default(), record.meeting_id.clone().unwrap_or_default()];
    let grave = record.findings.iter().filter(|finding| finding.severity == Severity::High);
    digest.extend(grave.map(|finding| finding.id.to_owned()));
    let holders = record.keys.holders.iter();
    digest.extend(holders.map(|holder| format!("{} {:?}", holder.ip, holder.could_hold)));
    digest.extend(record.jurisdictions.iter().map(|one| one.code.clone()));
    digest
}

fn of_meeting(record: &MeetingRecord) -> Vec<String> {
    let mut digest = vec![record.app.clone().unwrap_or_default()];
    digest.extend(record.sessions.iter().cloned());
    digest.extend(record.jurisdictions.iter().map(|one| one.jurisdiction.clone()));
    digest
}
