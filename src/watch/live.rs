//! What was told of sessions, meetings and alerts that go on, so that each is told when it begins, when it changes, now and then, and
//! when it ends. In: records of what goes on, and of what has ended. Out: those that are to be told, with their phases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::keys::{Analysis, CouldHold};
use crate::policy::State;
use crate::report::record::{AlertRecord, MeetingRecord, Phase, SessionRecord, Severity};
use crate::report::{Going, GoingMeeting, GoingSession, Record, session_name};
use crate::session::order;
use crate::time::Timestamp;

/// Time between two records of a session that goes on which are shown and not written.
const SHOWN: Duration = Duration::from_secs(5);
/// A rule that cannot be determined yet waits so long: in the first seconds of a call little can be.
const SETTLES: Duration = Duration::from_secs(10);
/// A session of whose flows nothing was seen for so long is over, whatever became of them.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// One whose endpoint has no held flows either: they were lost on their way to the judge.
const LOST: Duration = Duration::from_secs(120);
/// Sessions that are told of while they go on, where nothing else is set.
const SESSIONS: usize = 1 << 13;
/// Stands for no session at all.
const NONE: &str = "none";

/// What was told of that which goes on. Sessions for which there is no room are told when they have ended.
#[derive(Debug)]
pub(super) struct Live {
    most: usize,
    sessions: BTreeMap<String, Session>,
    meetings: BTreeMap<String, Meeting>,
    /// Sessions of the latest look for which there was no room.
    left_out: usize,
}

#[derive(Debug)]
struct Session {
    number: u64,
    endpoint: Option<IpAddr>,
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

impl Default for Live {
    fn default() -> Self {
        Self { most: SESSIONS, sessions: BTreeMap::new(), meetings: BTreeMap::new(), left_out: 0 }
    }
}

impl Live {
    /// Sessions that go on.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions that go on and are told when they have ended, because there is no room for more.
    pub(super) const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Takes no more sessions than so many from now on.
    pub(super) const fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// Takes what goes on at `now`; sessions first, then meetings, then alerts are handed to `tell`. `is_held` says whether ended
    /// flows of an endpoint are there still.
    pub(super) fn take(
        &mut self,
        going: Going,
        (now, update): (Timestamp, Duration),
        is_held: impl Fn(IpAddr) -> bool,
        tell: &mut dyn FnMut(Record, Way),
    ) {
        self.forget(now, is_held, tell);
        self.left_out = 0;
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
    }

    fn session(
        &mut self,
        number: u64,
        record: SessionRecord,
        now: Timestamp,
        update: Duration,
        tell: &mut dyn FnMut(Record, Way),
    ) {
        if self.sessions.len() >= self.most && !self.sessions.contains_key(&record.session_id) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
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
            let endpoint = record.endpoint.ip.parse().ok();
            let session = Session { number, endpoint, record, told, seen: now, alerts: BTreeMap::new() };
            self.sessions.insert(id, session);
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
        let any = |meeting: &Meeting| {
            meeting.sessions.iter().any(|number| self.sessions.contains_key(&session_name(*number)))
        };
        self.meetings.get(meeting).is_some_and(any)
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
            let by = owner.map_or_else(|| NONE.to_owned(), session_name);
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
    fn forget(
        &mut self,
        now: Timestamp,
        is_held: impl Fn(IpAddr) -> bool,
        tell: &mut dyn FnMut(Record, Way),
    ) {
        let is_old = |session: &Session| {
            let unseen = now.since(session.seen).max(session.seen.since(now));
            unseen > FORGOTTEN || (unseen > LOST && !session.endpoint.is_some_and(&is_held))
        };
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
    // Another server that could not hold it is no news.
    let holders = record.keys.holders.iter().filter(|holder| holder.could_hold != CouldHold::No);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::beijing;

    /// As many sessions as numbers, all of one endpoint.
    fn going(numbers: &[u64]) -> Going {
        let records = beijing().records();
        let Some(Record::Session(session)) =
            records.into_iter().find(|one| matches!(one, Record::Session(_)))
        else {
            panic!("no session")
        };
        let sessions = numbers.iter().map(|number| {
            let mut record = (*session).clone();
            record.session_id = session_name(*number);
            GoingSession { id: *number, record, alerts: Vec::new() }
        });
        Going { sessions: sessions.collect(), ..Going::default() }
    }

    /// What is told, as `id phase`.
    fn told(live: &mut Live, numbers: &[u64], second: i64, is_held: bool) -> Vec<String> {
        let mut told = Vec::new();
        let when = (Timestamp::from_secs_nanos(second, 0), Duration::from_secs(3600));
        live.take(going(numbers), when, |_| is_held, &mut |record, way| {
            let Record::Session(session) = record else { panic!("not a session") };
            if way.is_written {
                told.push(format!("{} {:?}", session.session_id, way.phase));
            }
        });
        told
    }

    #[test]
    fn sessions_beyond_the_cap_are_counted_and_those_before_go_on() {
        let mut live = Live::default();
        live.limit(2);
        assert_eq!(told(&mut live, &[1, 2, 3, 4], 10, true), ["s1 Begun", "s2 Begun"]);
        assert_eq!((live.sessions(), live.left_out()), (2, 2));
        assert!(told(&mut live, &[1, 2], 20, true).is_empty());
        assert_eq!((live.sessions(), live.left_out()), (2, 0));
    }

    #[test]
    fn a_session_whose_flows_were_lost_makes_room_and_one_whose_flows_are_held_stays() {
        let mut live = Live::default();
        live.limit(1);
        told(&mut live, &[1], 10, true);
        assert!(told(&mut live, &[], 10 + 600, true).is_empty(), "it waits for its endpoint to fall silent");
        assert!(told(&mut live, &[2], 10 + 119, false).is_empty());
        assert_eq!(told(&mut live, &[2], 10 + 121, false), ["s1 Ended", "s2 Begun"]);
    }
}
