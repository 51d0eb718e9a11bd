//! Sessions that are in one meeting, under the name by which it was told. Groups that have one name are one meeting: what was concluded
//! before said so, though the session between them may have been let go of since.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Joint, MEETING_REASONS, MOST, Meeting, Meetings, SEEN_TWICE, Trace};
use crate::session::order;

/// A meeting, with what its participants are counted by.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) meeting: Meeting,
    /// Where each session was; none of one that was seen at another point of the network too.
    endpoints: BTreeMap<u64, Option<IpAddr>>,
}

impl Group {
    /// Of these sessions, with all reasons between any two of them.
    pub(super) fn of(mut joints: Vec<&Joint>, members: &[&Trace], confidence: f32) -> Self {
        in_order(&mut joints);
        let twice: BTreeSet<u64> = joints
            .iter()
            .filter(|joint| joint.what == SEEN_TWICE)
            .filter_map(|joint| joint.sessions.last().copied())
            .collect();
        joints.truncate(MEETING_REASONS);
        let endpoint = |trace: &&Trace| (trace.id, (!twice.contains(&trace.id)).then_some(trace.endpoint));
        let endpoints = members.iter().map(endpoint).collect();
        let sessions = sorted(members.iter().map(|trace| trace.id));
        let meeting = Meeting {
            id: sessions.first().copied().unwrap_or(0),
            provider: members.iter().find_map(|trace| trace.provider),
            start: members.iter().map(|trace| trace.start).min().unwrap_or_default(),
            end: members.iter().map(|trace| trace.end).max().unwrap_or_default(),
            sessions,
            participants: participants(&endpoints),
            joined_by: joints.into_iter().cloned().collect(),
            confidence: confidence.min(MOST),
        };
        Self { meeting, endpoints }
    }

    /// Takes in another group of the same meeting; of what both know this one knows it better.
    fn unite(&mut self, other: Self) {
        for (session, endpoint) in other.endpoints {
            let own = self.endpoints.entry(session).or_insert(endpoint);
            *own = own.and(endpoint);
        }
        let Self { meeting, endpoints } = self;
        let known = |joint: &Joint| {
            let is_it = |own: &Joint| {
                (own.sessions, own.what, &own.value) == (joint.sessions, joint.what, &joint.value)
            };
            meeting.joined_by.iter().any(is_it)
        };
        let more: Vec<Joint> = other.meeting.joined_by.into_iter().filter(|joint| !known(joint)).collect();
        meeting.joined_by.extend(more);
        in_order(&mut meeting.joined_by);
        meeting.joined_by.truncate(MEETING_REASONS);
        meeting.sessions = sorted(endpoints.keys().copied());
        meeting.participants = participants(endpoints);
        meeting.provider = meeting.provider.or(other.meeting.provider);
        meeting.start = meeting.start.min(other.meeting.start);
        meeting.end = meeting.end.max(other.meeting.end);
        meeting.confidence = meeting.confidence.min(other.meeting.confidence);
    }

    fn has_any_of(&self, other: &Self) -> bool {
        self.endpoints.keys().any(|session| other.endpoints.contains_key(session))
    }
}

impl Meetings {
    /// Puts a group among `groups` by its name, and gives that: the least under which any of its sessions was told by `named`. It is one with
    /// those that have any of its names, unless sessions of both contradict each other.
    pub(super) fn put(
        &self,
        mut group: Group,
        named: &BTreeMap<u64, u64>,
        groups: &mut BTreeMap<u64, Group>,
    ) -> u64 {
        let own: BTreeSet<u64> =
            group.meeting.sessions.iter().filter_map(|session| named.get(session)).copied().collect();
        let mut name = own.first().copied().unwrap_or(group.meeting.id);
        for known in own {
            let Some(other) = groups.remove(&known) else { continue };
            if !self.contradict(&group, &other) {
                group.unite(other);
            } else if !group.has_any_of(&other) {
                groups.insert(known, other);
            }
            // Else it was concluded before of what has turned out otherwise.
        }
        if groups.contains_key(&name) {
            let is_free = |session: &&u64| !groups.contains_key(*session);
            name = group.meeting.sessions.iter().find(is_free).copied().unwrap_or(name);
        }
        group.meeting.id = name;
        groups.insert(name, group);
        name
    }

    /// Whether a session of one group contradicts one of the other.
    fn contradict(&self, one: &Group, other: &Group) -> bool {
        let id = |place: usize| self.traces.get(place).map(|trace| trace.id);
        let has = |group: &Group, place| id(place).is_some_and(|id| group.endpoints.contains_key(&id));
        self.contradicted
            .iter()
            .any(|(a, b)| (has(one, *a) && has(other, *b)) || (has(one, *b) && has(other, *a)))
    }
}

fn in_order<J: std::borrow::Borrow<Joint>>(joints: &mut [J]) {
    joints.sort_by(|a, b| {
        let (a, b) = (a.borrow(), b.borrow());
        a.sessions.map(order).cmp(&b.sessions.map(order)).then(b.confidence.total_cmp(&a.confidence))
    });
}

fn sorted(sessions: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut sessions: Vec<u64> = sessions.collect();
    sessions.sort_by_key(|id| order(*id));
    sessions
}

/// How many endpoints there are.
fn participants(endpoints: &BTreeMap<u64, Option<IpAddr>>) -> usize {
    endpoints.values().flatten().collect::<BTreeSet<_>>().len()
}
