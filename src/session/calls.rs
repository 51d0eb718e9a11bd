//! Which call flows of one endpoint and app are one call.
//!
//! Flows that show the same mark (a socket, an ICE pair, a source, a connection id, a server) are put together; what
//! is left apart is put together by time, because most of what one endpoint does at a time with one app is one
//! call. Two calls at once are told apart only where nothing ties them and both are seen talking.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::HashMap;

use super::marks::{Mark, is_sent, marks, streams};
use super::union::Union;
use super::{CALL_GAP, Judged};
use crate::classify::Role;
use crate::time::Timestamp;

/// Silence after which media of no known app that shares nothing with the call before is another call.
const RECONNECT: Duration = Duration::from_secs(30);
/// How long a mark that lasts may be silent and still mean the same call.
const LASTS: Duration = Duration::from_secs(3600);
/// How long two calls must both talk at once to be told apart: longer than a change of path or server takes.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Packets each way that are talk, not a probe.
const TALK: u32 = 50;
/// Zoom numbers the flows of one client one after the other.
const ZOOM_NEXT: u32 = 16;
/// Calls of one endpoint and app that are told apart at a time; a telephone exchange has many.
const OPEN_CALLS: usize = 64;
/// Talks of one call that are compared with others.
const TALKS: usize = 64;

/// Flows that are tied.
#[derive(Debug, Clone)]
struct Part {
    flows: Vec<usize>,
    start: Timestamp,
    end: Timestamp,
    talk: Option<Talk>,
    servers: BTreeSet<IpAddr>,
    /// The room, where the endpoint is in several.
    room: Option<usize>,
}

/// When, from where and to whom both sides were heard.
#[derive(Debug, Clone)]
struct Talk {
    from: Timestamp,
    to: Timestamp,
    remotes: BTreeSet<(IpAddr, bool)>,
    locals: BTreeSet<SocketAddr>,
}

/// From when to when.
type Span = (Timestamp, Timestamp);

/// A call in the making.
#[derive(Debug)]
struct Call {
    flows: Vec<usize>,
    end: Timestamp,
    talks: Vec<Talk>,
    servers: BTreeSet<IpAddr>,
    room: Option<usize>,
}

/// Splits the call flows of `endpoint` (in the order in which they began) into calls. `rooms` has the rooms of flows, where
/// the endpoint is in several of one server.
pub(super) fn calls(
    flows: &[Judged],
    endpoint: IpAddr,
    members: &[usize],
    rooms: Option<&BTreeMap<usize, usize>>,
) -> Vec<Vec<usize>> {
    if let [only] = members {
        return vec![vec![*only]];
    }
    let mut union = tied(flows, endpoint, members, rooms.is_none());
    if let Some(rooms) = rooms {
        join_rooms(flows, members, rooms, &mut union);
    }
    let mut parts: Vec<Part> = union
        .sets()
        .into_iter()
        .map(|set| set.into_iter().filter_map(|place| members.get(place).copied()).collect())
        .map(|set| part(flows, endpoint, set, rooms))
        .collect();
    parts.sort_by_key(|part| (part.start, part.flows.first().copied()));
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for part in parts {
        open.retain(|place| calls.get(*place).is_some_and(|call| part.start.since(call.end) <= CALL_GAP));
        let silence = part.flows.first().and_then(|index| flows.get(*index)).map_or(CALL_GAP, silence);
        // What has media and nothing in common with an earlier call goes on with it only as a new connection would, at once.
        let follows = |call: &Call| {
            let both_carry = !part.servers.is_empty() && !call.servers.is_empty();
            part.start.since(call.end) <= if both_carry { silence } else { CALL_GAP }
        };
        let fits = |call: &Call| follows(call) && (open.len() >= OPEN_CALLS || !call.contradicts(&part));
        let best = open
            .iter()
            .filter_map(|place| Some((*place, calls.get(*place).filter(|call| fits(call))?)))
            .max_by_key(|(place, call)| (call.closeness(&part), std::cmp::Reverse(*place)))
            .map(|(place, _)| place);
        if let Some(call) = best.and_then(|place| calls.get_mut(place)) {
            call.add(part);
        } else {
            open.push(calls.len());
            calls.push(Call::of(part));
        }
    }
    calls.into_iter().map(|call| call.flows).collect()
}

/// Flows of one room, close enough in time, are in one set.
fn join_rooms(flows: &[Judged], members: &[usize], rooms: &BTreeMap<usize, usize>, union: &mut Union) {
    let mut heard: BTreeMap<usize, (usize, Timestamp)> = BTreeMap::new();
    for (place, index) in members.iter().enumerate() {
        let (Some(room), Some(judged)) = (rooms.get(index), flows.get(*index)) else { continue };
        let (other, until) = heard.get(room).copied().unwrap_or((place, judged.flow.end));
        if judged.flow.start.since(until) <= CALL_GAP {
            union.join(other, place);
        }
        heard.insert(*room, (place, until.max(judged.flow.end)));
    }
}

/// The longest silence within a call: that the app is the same makes it likely that it is the same call.
fn silence(judged: &Judged) -> Duration {
    if judged.verdict.provider.is_some() { CALL_GAP } else { RECONNECT }
}

/// Flows that share a mark, close enough in time, are in one set. `servers` tells whether the media server that they speak to
/// is such a mark.
pub(super) fn tied(flows: &[Judged], endpoint: IpAddr, members: &[usize], servers: bool) -> Union {
    let mut union = Union::new(members.len());
    // By mark: the latest flow that showed it, and until when it was heard.
    let mut heard: HashMap<Mark, (usize, Timestamp)> = HashMap::new();
    let mut numbered: Vec<(IpAddr, u32, usize)> = Vec::new();
    for (place, judged) in
        members.iter().enumerate().filter_map(|(place, index)| Some((place, flows.get(*index)?)))
    {
        let sides = judged.seen_from(|ip| ip == endpoint);
        let flow = &judged.flow;
        for (mark, _) in marks(judged, sides) {
            let is_remote = mark == Mark::Address(sides.remote) && judged.role() == Role::Media;
            let is_server = is_remote || matches!(mark, Mark::Server(_));
            if is_server && !servers {
                continue;
            }
            let gap = if mark.lasts() {
                LASTS
            } else if matches!(mark, Mark::Server(_)) {
                // Everybody's next call is at the same server.
                silence(judged)
            } else {
                CALL_GAP
            };
            let (other, until) = heard.get(&mark).copied().unwrap_or((place, flow.end));
            if flow.start.since(until) <= gap {
                union.join(other, place);
            }
            heard.insert(mark, (place, until.max(flow.end)));
        }
        let zoom = flow.facts.as_deref().and_then(|facts| facts.zoom.as_deref());
        if let Some(number) = zoom.and_then(|zoom| zoom.flow_id) {
            numbered.push((sides.remote.ip(), number, place));
        }
    }
    numbered.sort_unstable();
    for ((server, number, place), (next_server, next_number, next)) in
        numbered.iter().zip(numbered.iter().skip(1))
    {
        if server == next_server && next_number.saturating_sub(*number) <= ZOOM_NEXT {
            union.join(*place, *next);
        }
    }
    union
}

fn part(flows: &[Judged], endpoint: IpAddr, set: Vec<usize>, rooms: Option<&BTreeMap<usize, usize>>) -> Part {
    let chosen = || set.iter().filter_map(|index| flows.get(*index));
    let start = chosen().map(|judged| judged.flow.start).min().unwrap_or_default();
    let end = chosen().map(|judged| judged.flow.end).max().unwrap_or_default();
    let servers = chosen()
        .filter(|judged| judged.media_start().is_some())
        .map(|judged| judged.seen_from(|ip| ip == endpoint).remote.ip())
        .collect();
    let room = rooms.and_then(|rooms| set.iter().find_map(|index| rooms.get(index)).copied());
    Part { talk: talk(endpoint, chosen()), start, end, servers, room, flows: set }
}

/// When media ran both ways.
fn talk<'a>(endpoint: IpAddr, flows: impl Iterator<Item = &'a Judged>) -> Option<Talk> {
    let (mut up, mut down): (Option<Span>, Option<Span>) = (None, None);
    let (mut remotes, mut locals) = (BTreeSet::new(), BTreeSet::new());
    for judged in flows {
        let sides = judged.seen_from(|ip| ip == endpoint);
        for stream in streams(judged).filter(|stream| stream.stats.packets() >= TALK) {
            let way = if is_sent(stream, sides) { &mut up } else { &mut down };
            let (from, to) = way.unwrap_or((stream.start, stream.last));
            *way = Some((from.min(stream.start), to.max(stream.last)));
            locals.insert(sides.local);
            let peers = judged.flow.facts.as_deref().and_then(|facts| facts.stun.as_deref());
            match peers.filter(|stun| judged.role() == Role::Relay && !stun.peers.is_empty()) {
                Some(stun) => remotes.extend(stun.peers.iter().map(|(peer, _)| (peer.ip(), false))),
                None => {
                    remotes.insert((sides.remote.ip(), judged.role() == Role::Media));
                }
            }
        }
    }
    let ((up_from, up_to), (down_from, down_to)) = (up?, down?);
    Some(Talk { from: up_from.max(down_from), to: up_to.min(down_to), remotes, locals })
}

impl Talk {
    fn contradicts(&self, other: &Self) -> bool {
        let at_once = self.to.min(other.to).since(self.from.max(other.from)) >= AT_ONCE;
        let same = |(one, server): &(IpAddr, bool), (two, too): &(IpAddr, bool)| {
            one == two || (*server && *too && network(*one) == network(*two))
        };
        at_once
            && self.locals.is_disjoint(&other.locals)
            && !self.remotes.iter().any(|one| other.remotes.iter().any(|two| same(one, two)))
    }
}

/// Servers of one service stand side by side: the first 24 bits of IPv4, 48 of IPv6.
fn network(address: IpAddr) -> [u16; 3] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [u16::from_be_bytes([0, a]), u16::from_be_bytes([0, b]), u16::from_be_bytes([0, c])]
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            [a, b, c]
        }
    }
}

impl Call {
    fn of(part: Part) -> Self {
        let talks = part.talk.into_iter().collect();
        Self { flows: part.flows, end: part.end, talks, servers: part.servers, room: part.room }
    }

    fn contradicts(&self, part: &Part) -> bool {
        if let (Some(own), Some(room)) = (self.room, part.room) {
            return own != room;
        }
        part.talk.as_ref().is_some_and(|talk| self.talks.iter().any(|own| own.contradicts(talk)))
    }

    /// How much speaks for a part to belong here: the same server, then the most time together or the least apart.
    fn closeness(&self, part: &Part) -> (bool, i64) {
        let together = self.end.min(part.end).as_nanos().saturating_sub(part.start.as_nanos());
        (!self.servers.is_disjoint(&part.servers), together)
    }

    fn add(&mut self, part: Part) {
        self.flows.extend(part.flows);
        self.end = self.end.max(part.end);
        self.room = self.room.or(part.room);
        self.servers.extend(part.servers);
        if self.talks.len() < TALKS {
            self.talks.extend(part.talk);
        }
    }
}
