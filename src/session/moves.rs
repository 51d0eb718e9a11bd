//! An endpoint that changes its address or port in a call: a NAT that binds anew, an ICE restart, Wi-Fi to LTE,
//! a fallback from UDP to TCP.
//!
//! A change is believed where the second flow carries on what the first one left off: the same source with the next
//! numbers, the same ICE pair, the same connection id. In: flows with the ends of their endpoint. Out: [`Handover`]s.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use super::fallback;
use super::marks::{Mark, lasting, sent};
use super::{CALL_GAP, Judged, Sides};
use crate::classify::Role;
use crate::observe::facts::RtpStream;
use crate::observe::{PacketRef, Summary};
use crate::parallel::Threads;
use crate::time::Timestamp;

/// How long the old and the new path may both be heard.
const BOTH: Duration = Duration::from_secs(5);
/// Numbers that a stream may skip in a change of path.
const SKIPPED: u16 = 0x2000;
/// Numbers by which a stream may seem to step back: late packets on the old path.
const BACK: u16 = 100;
/// How far media time and packet time may differ over a change.
const DRIFT_S: f64 = 2.0;
/// Flows behind a mark that are compared with the one before them.
const CHAIN: usize = 4096;
/// How many flows back a flow with the same mark may have been left off: of a flow between two endpoints both are there.
const NEAR: usize = 4;
/// Changes kept of a session.
pub(super) const CHANGES: usize = 32;

/// An address that an endpoint had in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// First packet from or to it.
    pub from: Timestamp,
    /// Last packet from or to it.
    pub to: Timestamp,
    /// The first of its packets.
    pub packet: PacketRef,
}

/// What shows that an endpoint is the same as before under another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// It goes on sending as the same source, with later numbers.
    SameStream,
    /// The same two ICE fragments.
    SameIcePair,
    /// The same connection id of Zoom or QUIC.
    SameConnection,
    /// The same bind id of Zoom, and the same sources where any were seen.
    SameBinding,
    /// UDP fell silent, and TCP to the same server began to carry as much.
    FallbackToTcp,
}

impl Why {
    /// Words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::SameStream => "its stream went on with later numbers",
            Self::SameIcePair => "the same ICE pair",
            Self::SameConnection => "the same connection id",
            Self::SameBinding => "the same bind id",
            Self::FallbackToTcp => "UDP fell silent and TCP to the same server took over",
        }
    }
}

/// A change of an endpoint's address or port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// When the new one was first used for what the old one did.
    pub at: Timestamp,
    /// The old socket.
    pub from: SocketAddr,
    /// The new one.
    pub to: SocketAddr,
    /// What shows it.
    pub why: Why,
    /// The packet that shows it.
    pub packet: PacketRef,
}

/// Two flows of one client, the second in place of the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handover {
    /// Places of the flows in the list that was given.
    pub(super) places: (usize, usize),
    /// The change, unless both were used side by side.
    pub(super) change: Option<Change>,
}

/// A flow with its endpoint's view of it.
pub(super) type Seen<'a> = (&'a Judged, Sides);

/// Finds handovers among flows of one app, given in the order in which they began.
pub(super) fn handovers(flows: &[Seen<'_>], threads: Threads) -> Vec<Handover> {
    // By mark: the place of its flows in the list of those that several show, or the first flow that showed it.
    let mut by_mark: HashMap<Mark, Shown> = HashMap::new();
    let mut shared: Vec<(Mark, Vec<(usize, PacketRef)>)> = Vec::new();
    let look = |begin, piece: &[Seen<'_>]| -> Vec<(Mark, (usize, PacketRef))> {
        let each = Summary::each_ahead(begin, piece, |(judged, _)| Some(&judged.flow));
        each.flat_map(|(place, seen)| carried(seen).map(move |(mark, packet)| (mark, (place, packet))))
            .collect()
    };
    threads.in_order(flows, look, |piece| {
        for (mark, flow) in piece {
            match by_mark.entry(mark) {
                Entry::Vacant(free) => {
                    free.insert(Shown::Once(flow));
                }
                Entry::Occupied(mut known) => match *known.get() {
                    Shown::Once(first) => {
                        let mark = known.key().clone();
                        known.insert(Shown::Often(shared.len()));
                        shared.push((mark, vec![first, flow]));
                    }
                    Shown::Often(place) => {
                        let shown = shared.get_mut(place).map(|(_, shown)| shown);
                        if let Some(shown) = shown.filter(|shown| shown.len() < CHAIN) {
                            shown.push(flow);
                        }
                    }
                },
            }
        }
    });
    shared.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
    found(flows, &shared)
}

/// Flows that show a mark.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Once((usize, PacketRef)),
    /// Where they stand.
    Often(usize),
}

/// The marks of a flow by which what another left off may be carried on.
fn carried<'a>((judged, sides): &'a Seen<'_>) -> impl Iterator<Item = (Mark, PacketRef)> + 'a {
    let lasting = lasting(judged, *sides).into_iter().filter(|(mark, _)| !matches!(mark, Mark::Call(_)));
    // Zoom's sources are counted up in every meeting anew: alone they would say nothing, their numbers do.
    let zoom = judged.flow.facts.as_deref().is_some_and(|facts| facts.zoom.is_some());
    let sources = sent(judged, *sides).filter(move |_| zoom);
    lasting.chain(sources.map(|stream| (Mark::Source(stream.ssrc), stream.packet)))
}

/// Handovers between flows that show the same mark, and from UDP to TCP.
fn found(flows: &[Seen<'_>], shared: &[(Mark, Vec<(usize, PacketRef)>)]) -> Vec<Handover> {
    let mut found = Vec::new();
    for (mark, shown) in shared {
        let pairs = (1..=NEAR).flat_map(|step| shown.iter().zip(shown.iter().skip(step)));
        for ((place, _), (next, packet)) in pairs {
            let (Some(old), Some(new)) = (flows.get(*place), flows.get(*next)) else { continue };
            if old.1.local == new.1.local {
                continue;
            }
            let change = match took(mark, old, new, *packet) {
                Took::Over(at, why, packet) => {
                    Some(Change { at, from: old.1.local, to: new.1.local, why, packet })
                }
                Took::Beside => None,
                Took::Apart => continue,
            };
            found.push(Handover { places: (*place, *next), change });
        }
    }
    found.extend(fallbacks(flows));
    found
}

/// TCP flows that took over from the UDP flow to the same server.
fn fallbacks<'a>(flows: &'a [Seen<'a>]) -> impl Iterator<Item = Handover> + 'a {
    let ends = |sides: &Sides| (sides.local.ip(), sides.remote.ip());
    let busy = |(judged, _): &&Seen<'_>| fallback::carries_media(judged);
    let wanted: HashSet<(IpAddr, IpAddr)> = flows.iter().filter(busy).map(|(_, sides)| ends(sides)).collect();
    let mut latest: HashMap<(IpAddr, IpAddr), usize> = HashMap::new();
    let near = flows.iter().enumerate().filter(move |(_, (_, sides))| wanted.contains(&ends(sides)));
    near.filter_map(move |(place, (judged, sides))| {
        let ends = ends(sides);
        if fallback::carries_media(judged) {
            let (old, old_sides) = latest.get(&ends).and_then(|old| Some((*old, flows.get(*old)?.1)))?;
            let change = Change {
                at: judged.flow.start,
                from: old_sides.local,
                to: sides.local,
                why: Why::FallbackToTcp,
                packet: judged.flow.first_packet,
            };
            return Some(Handover { places: (old, place), change: Some(change) });
        }
        if judged.role() == Role::Media {
            latest.insert(ends, place);
        }
        None
    })
}

/// What became of a connection that two flows show.
#[derive(Debug, Clone, Copy)]
enum Took {
    /// The second flow took over.
    Over(Timestamp, Why, PacketRef),
    /// Both are used side by side.
    Beside,
    /// Nothing says that both are one client's.
    Apart,
}

/// Whether `new` carries on what `old` left off, as far as a mark that both show says.
fn took(mark: &Mark, old: &Seen<'_>, new: &Seen<'_>, packet: PacketRef) -> Took {
    let (old_flow, new_flow) = (&old.0.flow, &new.0.flow);
    let after = follows((old_flow.start, old_flow.end), (new_flow.start, new_flow.end));
    let one_server = old.1.remote.ip() == new.1.remote.ip();
    let (before, then) = (sending(old), sending(new));
    // A change is where what was sent goes on elsewhere; sockets that only check or wait are used beside it.
    let over = |why| match (before, then) {
        (Some(before), Some(then)) if follows(before, then) => Took::Over(then.0, why, packet),
        (Some((_, stopped)), Some((began, _))) if stopped > began => Took::Apart,
        _ => Took::Beside,
    };
    match mark {
        Mark::Source(ssrc) => match (last_sent(old, *ssrc), last_sent(new, *ssrc)) {
            (Some(before), Some(then)) if goes_on(before, then) => {
                Took::Over(then.start, Why::SameStream, then.packet)
            }
            _ => Took::Apart,
        },
        Mark::Ufrags(_) if old.1.local.ip() == new.1.local.ip() => over(Why::SameIcePair),
        // The other end shows the pair, too; but it does not speak to the same server, unless that is a relay. Who sends from
        // both all along is one client, captured inside and outside of its NAT.
        Mark::Ufrags(_) if one_server && old.0.role() != Role::Relay && new.0.role() != Role::Relay => {
            over(Why::SameIcePair)
        }
        Mark::ZoomConnection(_) | Mark::Quic(_) if after => over(Why::SameConnection),
        Mark::ZoomBind(_) if after && one_server => {
            let sources =
                |seen: &Seen<'_>| sent(seen.0, seen.1).map(|stream| stream.ssrc).collect::<Vec<_>>();
            let (before, then) = (sources(old), sources(new));
            let alike =
                then.iter().any(|ssrc| before.contains(ssrc)) || (before.is_empty() && then.is_empty());
            if alike { over(Why::SameBinding) } else { Took::Apart }
        }
        Mark::ZoomConnection(_)
        | Mark::Quic(_)
        | Mark::ZoomBind(_)
        | Mark::Ufrags(_)
        | Mark::Socket(..)
        | Mark::Ufrag(_)
        | Mark::ZoomPeers(_)
        | Mark::Call(_)
        | Mark::Cname(_)
        | Mark::Server(_)
        | Mark::Address(_) => Took::Apart,
    }
}

fn last_sent<'a>(seen: &Seen<'a>, ssrc: u32) -> Option<&'a RtpStream> {
    sent(seen.0, seen.1).find(|stream| stream.ssrc == ssrc)
}

/// From when to when.
type Span = (Timestamp, Timestamp);

/// From when to when the endpoint sent.
fn sending(seen: &Seen<'_>) -> Option<Span> {
    let began = sent(seen.0, seen.1).map(|stream| stream.start).min()?;
    let stopped = sent(seen.0, seen.1).map(|stream| stream.last).max()?;
    Some((began, stopped))
}

/// Whether one span comes after another: with a pause that is none too long, and little of them at once.
fn follows(before: Span, then: Span) -> bool {
    let at_once = before.1.since(then.0);
    let shorter = before.1.since(before.0).min(then.1.since(then.0));
    at_once <= BOTH.min(shorter.checked_div(2).unwrap_or_default())
        && then.0.since(before.1) <= CALL_GAP
        && before.0 <= then.0
}

/// Whether a stream goes on where another of the same source stopped.
fn goes_on(before: &RtpStream, then: &RtpStream) -> bool {
    if !follows((before.start, before.last), (then.start, then.last)) {
        return false;
    }
    let newest = u16::try_from(before.stats.extended_highest() & 0xffff).unwrap_or(0);
    let step = then.stats.first_sequence().wrapping_sub(newest).wrapping_add(BACK);
    if step > SKIPPED {
        return false;
    }
    let clock = before.stats.clock_hz().or_else(|| then.stats.clock_hz());
    let Some(clock) = clock.filter(|clock| *clock > 0) else { return true };
    let ticks = then.stats.first_timestamp().wrapping_sub(before.stats.newest_timestamp());
    let media = f64::from(ticks.cast_signed()) / f64::from(clock);
    let passed = seconds(before.last, then.start);
    // A sender that was silent may let its clock stand.
    (media - passed).abs() <= DRIFT_S || (0.0..=passed.max(0.0)).contains(&media)
}

/// Seconds from one time to another; negative when it is before.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    if to >= from { to.since(from).as_secs_f64() } else { -from.since(to).as_secs_f64() }
}
