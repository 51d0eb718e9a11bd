//! A meeting as a record, with the union of what its sessions say of their servers.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::super::record::{
    AddedBy, JointRecord, MeetingEndpoint, MeetingJurisdiction, MeetingRecord, SessionRecord,
};
use super::super::time;
use super::alert::Seated;
use super::{Context, count, milli, named, round3, session_id, session_record};
use crate::geo::Basis;
use crate::keys::{Analysis, CouldHold};
use crate::session::{self, Meeting, Session};

/// Sessions whose servers are remembered for a meeting that goes on.
const TOLD: usize = 1 << 14;

/// What a meeting needs of a session that was written before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told {
    endpoint: String,
    /// Where it sits, for the policy.
    pub(super) seat: Seated,
    servers: Vec<ToldServer>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ToldServer {
    ip: String,
    name: Option<String>,
    could_hold: Option<CouldHold>,
    reached: Vec<(String, Basis)>,
}

impl Told {
    fn of(record: &SessionRecord, seat: Seated) -> Self {
        let mut could: HashMap<&str, CouldHold> = HashMap::new();
        for held in &record.keys.holders {
            could.entry(&held.ip).or_insert(held.could_hold);
        }
        let servers = record
            .servers
            .iter()
            .map(|server| ToldServer {
                ip: server.ip.clone(),
                name: server.name.clone(),
                could_hold: could.get(server.ip.as_str()).copied(),
                reached: server
                    .place
                    .exposure
                    .iter()
                    .map(|one| (one.jurisdiction.clone(), one.basis))
                    .collect(),
            })
            .collect();
        Self { endpoint: record.endpoint.ip.clone(), seat, servers }
    }
}

impl Context<'_> {
    /// Remembers a session for the meetings that it may turn out to be in.
    pub(super) fn tell(&mut self, analysis: &Analysis, session: &Session, record: &SessionRecord) {
        let seat = self.seat(analysis, session);
        self.told.insert(session.id, Told::of(record, seat));
        while self.told.len() > TOLD {
            // Other ends of flows have a mark in their numbers that no order in time has.
            let ends = [self.told.keys().next(), self.told.range(session::PEER..).next().map(|(id, _)| id)];
            let Some(oldest) = ends.into_iter().flatten().copied().min_by_key(|id| session::order(*id))
            else {
                break;
            };
            self.told.remove(&oldest);
        }
    }

    fn told(&mut self, analysis: &Analysis, id: u64) -> Option<Told> {
        if let Some(told) = self.told.get(&id) {
            return Some(told.clone());
        }
        let key = session::order(id);
        let place =
            analysis.sessions.binary_search_by_key(&key, |(known, _)| session::order(known.id)).ok()?;
        let (session, keys) = analysis.sessions.get(place)?;
        let record = session_record(self, analysis, session, keys);
        let seat = self.seat(analysis, session);
        Some(Told::of(&record, seat))
    }
}

/// The name of a meeting in records.
pub(in super::super) fn meeting_id(number: u64) -> String {
    named('m', number)
}

/// A meeting. `analysis` holds its sessions, except those that were written before with the same context.
pub fn meeting_record(context: &mut Context<'_>, analysis: &Analysis, meeting: &Meeting) -> MeetingRecord {
    let told: Vec<(String, Told)> = meeting
        .sessions
        .iter()
        .filter_map(|id| Some((session_id(*id), context.told(analysis, *id)?)))
        .collect();
    let provider = meeting.provider.and_then(|number| context.rules.provider(number));
    let joint = |joint: &session::Joint| JointRecord {
        sessions: joint.sessions.map(session_id),
        what: joint.what,
        value: joint.value.clone(),
        confidence: round3(joint.confidence),
        packets: context.packets(&joint.packets),
    };
    let start = time::eve(meeting.start);
    MeetingRecord {
        timestamp: start.clone(),
        meeting_id: meeting_id(meeting.id),
        phase: None,
        told_at: None,
        run: context.run.clone(),
        superseded_by: None,
        app: provider.map(|provider| provider.app.clone()),
        app_name: provider.map(|provider| provider.name.clone()),
        start,
        end: time::eve(meeting.end),
        duration_s: milli(meeting.end.since(meeting.start).as_secs_f64()),
        sessions: meeting.sessions.iter().copied().map(session_id).collect(),
        participants_seen: count(meeting.participants),
        endpoints: told
            .iter()
            .map(|(session_id, told)| MeetingEndpoint {
                session_id: session_id.clone(),
                ip: told.endpoint.clone(),
            })
            .collect(),
        joined_by: meeting.joined_by.iter().map(joint).collect(),
        confidence: round3(meeting.confidence),
        jurisdictions: jurisdictions(&told),
    }
}

/// The union of what reaches the servers of all sessions, given session by session.
fn jurisdictions(told: &[(String, Told)]) -> Vec<MeetingJurisdiction> {
    let mut all: BTreeMap<&str, Vec<AddedBy>> = BTreeMap::new();
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    for (session, server) in
        told.iter().flat_map(|(id, told)| told.servers.iter().map(move |server| (id, server)))
    {
        for (code, basis) in &server.reached {
            let added = all.entry(code).or_default();
            let place = *places.entry((code, &server.ip)).or_insert_with(|| {
                added.push(AddedBy {
                    ip: server.ip.clone(),
                    name: server.name.clone(),
                    basis: Vec::new(),
                    could_hold: None,
                    sessions: Vec::new(),
                });
                added.len().saturating_sub(1)
            });
            let Some(held) = added.get_mut(place) else { continue };
            if !held.basis.contains(basis) {
                held.basis.push(*basis);
                held.basis.sort_unstable();
            }
            if held.sessions.last() != Some(session) {
                held.sessions.push(session.clone());
            }
            held.could_hold = [held.could_hold, server.could_hold].into_iter().flatten().min();
        }
    }
    all.into_iter()
        .map(|(code, added_by)| MeetingJurisdiction { jurisdiction: code.to_owned(), added_by })
        .collect()
}
