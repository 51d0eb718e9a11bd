//! Stage: flows to sessions. In: judged flows. Out: [`Session`], one endpoint's part in one call.
//!
//! Flows that only a call has (media, NAT traversal, relays) make a session; they are held together by what they show
//! in common, and by time (`calls`). An endpoint that changes its address stays one session (`moves`). Signalling
//! and name resolution of the same app join it. Sessions that share a meeting are joined by `meeting`.

mod asked;
mod beginning;
mod blocks;
mod calls;
mod copies;
pub mod emodel;
mod endpoint;
mod fallback;
mod joints;
mod kept;
mod look;
mod marks;
mod meeting;
mod moves;
mod peers;
mod quality;
mod rooms;
mod rtcp;
mod server;
mod spans;
pub mod speech;
#[cfg(test)]
pub(crate) mod tests;
mod together;
mod trace;
mod union;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

pub use asked::tell_apart;
pub use endpoint::{Sides, likely_endpoint, sides};
pub use meeting::{Joint, Meeting, Meetings};
pub use moves::{Address, Change, Why};
pub use quality::{Kinds, Quality, Way, quality};
pub use server::{KnownName, NameSource, Server};
pub use spans::Spans;
pub use trace::KEPT_BYTES;

pub use crate::classify::Judged;
use crate::classify::{Names, Role, Rules};
use crate::flow::FiveTuple;
use crate::parallel::Threads;
use crate::time::Timestamp;
use look::{Calls, Chosen, ahead, at};
use union::Union;

/// Silence after which the next call flow of the same endpoint and app begins another session.
pub const CALL_GAP: Duration = Duration::from_secs(120);
/// Packets of a flow whose headers are hidden from which on it is taken to carry media, not pings alone.
const HIDDEN_MEDIA: u64 = 50;
/// How long before its first call flow a session's signalling may lie.
pub const SIGNALLING_LEAD: Duration = Duration::from_secs(300);

impl Judged {
    /// The ends of the flow, told apart.
    pub fn sides(&self) -> Sides {
        ends(&self.flow.tuple, self.local_is_source)
    }

    /// What the flow does.
    pub fn role(&self) -> Role {
        self.verdict.role.unwrap_or(Role::Other)
    }

    /// When media began in it: its first RTP packet, where the headers are visible; `None` for a flow without media.
    pub fn media_start(&self) -> Option<Timestamp> {
        let media = self.flow.facts.as_deref().and_then(|facts| facts.media.as_ref());
        let first = media.and_then(|media| media.streams.iter().map(|stream| stream.start).min());
        // Of media whose headers are hidden the flow's own beginning is all that is known; a few packets are no media.
        let hidden = matches!(self.role(), Role::Media | Role::P2p)
            && self.flow.facts.as_deref().is_none_or(|facts| facts.zoom.is_none())
            && self.flow.packets.iter().sum::<u64>() >= HIDDEN_MEDIA;
        first.or_else(|| hidden.then_some(self.flow.start))
    }

    /// The ends of the flow for an endpoint whose addresses are told: of a flow between two endpoints each sees the other.
    pub fn seen_from(&self, is_own: impl Fn(IpAddr) -> bool) -> Sides {
        let sides = self.sides();
        let is_others = is_own(sides.remote.ip()) && !is_own(sides.local.ip());
        if is_others { ends(&self.flow.tuple, !self.local_is_source) } else { sides }
    }
}

/// One endpoint's part in one call.
#[derive(Debug)]
pub struct Session {
    /// Number of the call flow that began it, with [`PEER`] for the other end of it; unique within a run.
    pub id: u64,
    /// The endpoint, by its first address.
    pub endpoint: IpAddr,
    /// All its addresses, in the order in which they were first used.
    pub addresses: Vec<Address>,
    /// Its changes of address or port, in order.
    pub changes: Vec<Change>,
    /// The app, or `None` when media was seen that nobody claims.
    pub provider: Option<u16>,
    /// First packet of its first flow.
    pub start: Timestamp,
    /// Last packet of its last call flow.
    pub end: Timestamp,
    /// First packet of its first call flow.
    pub call_start: Timestamp,
    /// First packet of its first media flow.
    pub media_start: Option<Timestamp>,
    /// No signalling and no handshake was seen: the capture began after the call did.
    pub begun_mid_call: bool,
    /// How sure the app is: the best of its flows.
    pub confidence: f32,
    /// Indexes of its flows, in the order in which they began.
    pub flows: Vec<usize>,
    /// The other ends, by address.
    pub servers: Vec<Server>,
    /// What was received and sent.
    pub quality: Quality,
}

impl Session {
    /// The addresses of its endpoint.
    pub fn own(&self) -> BTreeSet<IpAddr> {
        self.addresses.iter().map(|used| used.ip).collect()
    }
}

/// Which flows are together in a session, for those who ask no more of it.
#[derive(Debug, Clone)]
pub struct Members {
    /// Number of the session, as in [`Session::id`].
    pub id: u64,
    /// Indexes of its flows, in the order in which they began.
    pub flows: Vec<usize>,
}

/// The endpoint and the app of a session.
type Whose = (IpAddr, Option<u16>);

/// Flows that make a session.
#[derive(Debug, Default)]
struct Group {
    addresses: BTreeSet<IpAddr>,
    provider: Option<u16>,
    members: Vec<usize>,
    changes: Vec<Change>,
}

/// Puts flows together, given in the order in which they began.
pub fn assemble(rules: &Rules, names: &Names, flows: &[Judged], threads: Threads) -> Vec<Session> {
    let whole = |relays: &peers::Relays, group: &Group, session| {
        whole(rules, names, flows, relays, &group.addresses, session)
    };
    let mut sessions = put_together(flows, threads, whole);
    sessions.sort_by_cached_key(|session| order(session.id));
    sessions
}

/// The same for those who ask which flows belong together and no more.
pub fn members(flows: &[Judged], threads: Threads) -> Vec<Members> {
    let members =
        |_: &peers::Relays, _: &Group, session: Session| Members { id: session.id, flows: session.flows };
    let mut sessions = put_together(flows, threads, members);
    sessions.sort_by_cached_key(|session| order(session.id));
    sessions
}

fn put_together<T: Send>(
    flows: &[Judged],
    threads: Threads,
    finish: impl Fn(&peers::Relays, &Group, Session) -> T + Sync,
) -> Vec<T> {
    let chosen = Chosen::of(flows, threads);
    if chosen.calls.is_empty() {
        return Vec::new();
    }
    let relays = peers::Relays::of(flows, &chosen, threads);
    let mut made: Vec<(Whose, usize)> = Vec::with_capacity(chosen.calls.len());
    let whose = |_, piece: &[usize]| -> Vec<(Whose, usize)> {
        let whose = |judged: &Judged| Some((relays.endpoint(judged)?, judged.verdict.provider));
        at(flows, piece).filter_map(|(index, judged)| Some((whose(judged)?, index))).collect()
    };
    threads.in_order(&chosen.calls, whose, |piece| {
        made.extend(piece);
    });
    made.extend(fallback::fallbacks(flows, &chosen, &made));
    peers::add(flows, &chosen, &relays, &mut made);
    rtcp::place(flows, &chosen, &mut made);
    let calls = Calls::of(made);
    let companions = companions(flows, &chosen, &calls, threads);
    let rooms = rooms::rooms(flows, &calls);
    let each: Vec<(Whose, &[usize])> = calls.iter().collect();
    let split = threads.map_pieces(&each, |piece| {
        let each = ahead(flows, piece, |(_, members)| members.first().copied());
        each.map(|(whose, members)| calls::calls(flows, whose.0, members, rooms.get(whose))).collect()
    });
    let groups: Vec<Group> = each
        .iter()
        .zip(split)
        .flat_map(|(((endpoint, provider), _), calls)| {
            calls.into_iter().map(|members| {
                let addresses = BTreeSet::from([*endpoint]);
                Group { addresses, provider: *provider, members, changes: Vec::new() }
            })
        })
        .collect();
    let groups = moved(flows, groups, threads);
    threads.map_pieces(&groups, |piece| {
        let each = ahead(flows, piece, |group| group.members.first().copied());
        each.map(|group| {
            let session = outline(flows, &companions, group);
            finish(&relays, group, Session { id: distinct(flows, &session), ..session })
        })
        .collect()
    })
}

/// A number that no other session has: of a flow between two endpoints the session of the second is marked [`PEER`].
fn distinct(flows: &[Judged], session: &Session) -> u64 {
    let first = session
        .flows
        .iter()
        .filter_map(|index| flows.get(*index))
        .find(|judged| judged.flow.id == session.id);
    let begins =
        first.is_some_and(|judged| session.addresses.iter().any(|used| used.ip == judged.sides().local.ip()));
    if begins { session.id } else { session.id | PEER }
}

/// Mark in the number of a session whose first flow is another's first, too: it is the other end of it.
pub const PEER: u64 = 1 << 63;

/// What sessions are sorted by: the flow that began them, then which end of it they are.
pub const fn order(id: u64) -> (u64, bool) {
    (id & !PEER, id & PEER != 0)
}

/// Puts the calls of one client that changed its address together, and notes each change of address or port.
fn moved(flows: &[Judged], groups: Vec<Group>, threads: Threads) -> Vec<Group> {
    let mut by_app: BTreeMap<Option<u16>, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, group) in groups.iter().enumerate() {
        let members = group.members.iter().map(|index| (*index, number));
        by_app.entry(group.provider).or_default().extend(members);
    }
    let mut union = Union::new(groups.len());
    let mut changes: Vec<(usize, Change)> = Vec::new();
    for (_, mut members) in by_app {
        members.sort_unstable();
        let (mut views, mut numbers) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
        let look = |_, piece: &[(usize, usize)]| -> Vec<(moves::Seen<'_>, usize)> {
            let view = |(index, number): &(usize, usize)| {
                let (judged, group) = (flows.get(*index)?, groups.get(*number)?);
                Some(((judged, judged.seen_from(|ip| group.addresses.contains(&ip))), *number))
            };
            ahead(flows, piece, |(index, _)| Some(*index)).filter_map(view).collect()
        };
        threads.in_order(&members, look, |piece| {
            for (view, number) in piece {
                views.push(view);
                numbers.push(number);
            }
        });
        for found in moves::handovers(&views, threads) {
            let (Some(old), Some(new)) =
                (numbers.get(found.places.0).copied(), numbers.get(found.places.1).copied())
            else {
                continue;
            };
            union.join(old, new);
            changes.extend(found.change.map(|change| (old, change)));
        }
    }
    let mut joined: Vec<Group> = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    for (number, group) in groups.into_iter().enumerate() {
        // The first of a set stands for it.
        let whole = places.get(&union.find(number)).and_then(|place| joined.get_mut(*place));
        if let Some(whole) = whole {
            whole.addresses.extend(group.addresses);
            whole.members.extend(group.members);
        } else {
            places.insert(number, joined.len());
            joined.push(group);
        }
    }
    changes.sort_by_key(|(_, change)| *change);
    for (number, change) in changes {
        let place = places.get(&union.find(number));
        let Some(group) = place.and_then(|place| joined.get_mut(*place)) else { continue };
        let known = group.changes.iter().any(|held| (held.from, held.to) == (change.from, change.to));
        if !known && group.changes.len() < moves::CHANGES {
            group.changes.push(change);
        }
    }
    joined
}

/// True for flows that stand for a call by themselves.
fn makes_a_call(judged: &Judged) -> bool {
    let facts = judged.flow.facts.as_deref();
    match judged.role() {
        Role::Relay if facts.is_some_and(|facts| facts.tls.is_some() && facts.stun.is_none()) => {
            // Inside of TLS nobody sees whether the relay was used, but for how much there is.
            judged.verdict.evidence.iter().any(|item| item.role == Some(Role::Relay))
                || fallback::is_steady(judged)
        }
        Role::Media | Role::P2p | Role::Relay => {
            judged.verdict.provider.is_some() || facts.is_some_and(|facts| facts.media.is_some())
        }
        Role::Nat => judged.verdict.provider.is_some(),
        Role::Signalling => facts
            .and_then(|facts| facts.sip.as_ref())
            .is_some_and(|sip| sip.methods.iter().any(|(method, _)| method == "INVITE")),
        Role::Web | Role::Dns | Role::Other => false,
    }
}

/// Which flows a session has, when, and whose it is.
fn outline(flows: &[Judged], companions: &BTreeMap<Whose, Spans<usize>>, group: &Group) -> Session {
    let (addresses, provider) = (&group.addresses, group.provider);
    let mut members = group.members.clone();
    let calls = members.iter().filter_map(|index| flows.get(*index));
    // By its call flows alone: two calls may share a signalling connection.
    let id = calls.clone().map(|judged| judged.flow.id).min().unwrap_or(0);
    let call_start = calls.clone().map(|judged| judged.flow.start).min().unwrap_or_default();
    let end = calls.clone().map(|judged| judged.flow.end).max().unwrap_or_default();
    let media_start = calls.clone().filter_map(Judged::media_start).min();
    let used = used_addresses(addresses, calls);
    for address in addresses {
        if let Some(companions) = companions.get(&(*address, provider)) {
            members.extend(companions.overlapping(call_start, end, SIGNALLING_LEAD));
        }
    }
    members.sort_unstable();
    members.dedup();
    Session {
        id,
        endpoint: used.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |first| first.ip),
        addresses: used,
        changes: group.changes.clone(),
        provider,
        start: call_start,
        end,
        call_start,
        media_start,
        begun_mid_call: false,
        confidence: 0.0,
        flows: members,
        servers: Vec::new(),
        quality: Quality::default(),
    }
}

/// Adds what the flows of a session say of it.
fn whole(
    rules: &Rules,
    names: &Names,
    flows: &[Judged],
    relays: &peers::Relays,
    own: &BTreeSet<IpAddr>,
    session: Session,
) -> Session {
    let chosen: Vec<&Judged> = session.flows.iter().filter_map(|index| flows.get(*index)).collect();
    // Of a flow between two endpoints the other one's view is a copy, so that all that follows sees one way only.
    let turned: Vec<Option<Judged>> = chosen
        .iter()
        .map(|judged| {
            let sides = judged.seen_from(|ip| own.contains(&ip));
            (sides != judged.sides())
                .then(|| Judged { local_is_source: sides.local_is_source, ..(*judged).clone() })
        })
        .collect();
    let chosen: Vec<&Judged> =
        chosen.into_iter().zip(&turned).map(|(judged, turned)| turned.as_ref().unwrap_or(judged)).collect();
    Session {
        start: chosen.iter().map(|judged| judged.flow.start).min().unwrap_or(session.start),
        begun_mid_call: !beginning::was_seen(rules, &chosen, session.media_start),
        confidence: chosen.iter().map(|judged| judged.verdict.confidence).fold(0.0, f32::max),
        servers: server::servers(rules, names, relays, session.provider, &chosen),
        quality: quality(&chosen),
        ..session
    }
}

/// The addresses of an endpoint in a call's flows, in the order in which they were first used.
fn used_addresses<'a>(own: &BTreeSet<IpAddr>, calls: impl Iterator<Item = &'a Judged>) -> Vec<Address> {
    let mut used: BTreeMap<IpAddr, Address> = BTreeMap::new();
    for judged in calls {
        let flow = &judged.flow;
        let ip = judged.seen_from(|ip| own.contains(&ip)).local.ip();
        let seen = Address { ip, from: flow.start, to: flow.end, packet: flow.first_packet };
        let held = used.entry(ip).or_insert(seen);
        if (seen.from, seen.packet) < (held.from, held.packet) {
            (held.from, held.packet) = (seen.from, seen.packet);
        }
        held.to = held.to.max(seen.to);
    }
    let mut used: Vec<Address> = used.into_values().collect();
    used.sort_by_key(|address| (address.from, address.packet));
    used
}

/// Signalling, name resolution and web flows of the endpoints and apps that have calls.
fn companions(
    flows: &[Judged],
    chosen: &Chosen,
    calls: &Calls,
    threads: Threads,
) -> BTreeMap<Whose, Spans<usize>> {
    let known: HashSet<Whose> = calls.iter().map(|(whose, _)| whose).collect();
    let look = |_, piece: &[usize]| -> Vec<(Whose, usize)> {
        let whose = |judged: &Judged| (judged.sides().local.ip(), judged.verdict.provider);
        at(flows, piece)
            .map(|(index, judged)| (whose(judged), index))
            .filter(|(whose, _)| known.contains(whose))
            .collect()
    };
    let mut found: BTreeMap<Whose, Vec<(Timestamp, Timestamp, usize)>> = BTreeMap::new();
    threads.in_order(&chosen.companions, look, |piece| {
        for (whose, index) in piece {
            let Some(judged) = flows.get(index) else { continue };
            found.entry(whose).or_default().push((judged.flow.start, judged.flow.end, index));
        }
    });
    found.into_iter().map(|(whose, spans)| (whose, Spans::new(spans))).collect()
}

/// Originator and responder of a flow as (endpoint, other end).
pub(crate) const fn ends(tuple: &FiveTuple, local_is_source: bool) -> Sides {
    if local_is_source {
        Sides { local: tuple.source, remote: tuple.destination, local_is_source }
    } else {
        Sides { local: tuple.destination, remote: tuple.source, local_is_source }
    }
}
