//! Which flows of one endpoint belong to different rooms of one server.
//!
//! A client may be in two rooms of one media server at once, each over flows of its own; that all of them go to one server
//! ties them, but for what is seen at the other members: what the client sends on a flow, another endpoint receives, and
//! the other way round. Flows that lead to different others, both ways and at the same time, are different rooms. Where
//! that is not seen on the wire nothing is told apart. In: call flows by endpoint and app. Out: [`Rooms`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hashbrown::HashMap;

use super::blocks::Blocks;
use super::calls::tied;
use super::copies::{Same, compare};
use super::look::Calls;
use super::marks::{is_sent, streams};
use super::trace::{PACKETS, StreamTrace};
use super::union::Union;
use super::{Judged, Whose};
use crate::classify::Role;
use crate::time::Timestamp;

/// How long two rooms must be in use at once to be told apart.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Streams that are compared for one source or one row of lengths; what more have says nothing.
const PLACES: usize = 128;
/// Rows that make two streams worth comparing.
const ROWS: usize = 4;
/// Streams looked at; more is a server's uplink, and one room more or less does not matter there.
const STREAMS: usize = 1 << 18;
/// How much earlier than its original a copy may seem to come: a mirror port hands packets out a little out of order.
const EARLY_NS: i64 = 50_000_000;

/// Of endpoints that are in several rooms: the room of each flow, by the flow's index.
pub(super) type Rooms = BTreeMap<Whose, BTreeMap<usize, usize>>;

/// A stream of a call flow.
struct Seen {
    /// Place of the endpoint among all.
    owner: usize,
    flow: usize,
    stream: StreamTrace,
}

/// An endpoint's side of a stream that another endpoint has, too.
#[derive(Clone, Copy)]
struct End {
    owner: usize,
    flow: usize,
    sent: bool,
    start: Timestamp,
    last: Timestamp,
}

/// One stream at two endpoints.
type Link = [End; 2];

/// An endpoint that may be in several rooms: its flows, and which are tied by more than their server.
struct Candidate<'a> {
    members: &'a [usize],
    union: Union,
}

/// Finds endpoints that are in several rooms, among call flows that are sorted by endpoint and app.
pub(super) fn rooms(flows: &[Judged], calls: &Calls) -> Rooms {
    let candidates: BTreeMap<usize, (Whose, Candidate<'_>)> = calls
        .iter()
        .enumerate()
        .filter_map(|(owner, (whose, members))| Some((owner, (whose, candidate(flows, whose, members)?))))
        .collect();
    if candidates.is_empty() {
        return Rooms::new();
    }
    let apps: BTreeSet<Option<u16>> = candidates.values().map(|(whose, _)| whose.1).collect();
    let mut found = Rooms::new();
    for app in apps {
        let links = links(&seen(flows, calls, app));
        let blocks = Blocks::of(links.iter().map(|[one, two]| (one.owner, two.owner)));
        let mut ends: HashMap<usize, Vec<(End, usize)>> = HashMap::new();
        for [one, two] in &links {
            let Some(block) = blocks.between(one.owner, two.owner) else { continue };
            for end in [one, two].into_iter().filter(|end| candidates.contains_key(&end.owner)) {
                ends.entry(end.owner).or_default().push((*end, block));
            }
        }
        for (owner, (whose, candidate)) in candidates.iter().filter(|(_, (whose, _))| whose.1 == app) {
            let Some(ends) = ends.get(owner) else { continue };
            let told = candidate.told_apart(ends);
            if !told.is_empty() {
                found.insert(*whose, told);
            }
        }
    }
    found
}

/// Whether a flow carries streams by way of a server.
fn by_server(judged: &Judged) -> bool {
    judged.role() == Role::Media && streams(judged).any(|stream| stream.stats.packets() >= PACKETS)
}

/// An endpoint with several media flows to servers that are tied by nothing but those.
fn candidate<'a>(flows: &[Judged], whose: Whose, members: &'a [usize]) -> Option<Candidate<'a>> {
    let media =
        |place: &usize| members.get(*place).and_then(|index| flows.get(*index)).is_some_and(by_server);
    (0..members.len()).filter(media).nth(1)?;
    let mut union = tied(flows, whose.0, members, false);
    let parts: BTreeSet<usize> = (0..members.len()).filter(media).map(|place| union.find(place)).collect();
    (parts.len() > 1).then_some(Candidate { members, union })
}

/// The streams of all endpoints of an app.
fn seen(flows: &[Judged], calls: &Calls, app: Option<u16>) -> Vec<Seen> {
    let mut found = Vec::new();
    for (owner, (whose, members)) in calls.iter().enumerate().filter(|(_, (whose, _))| whose.1 == app) {
        for flow in members {
            let Some(judged) = flows.get(*flow) else { continue };
            if !matches!(judged.role(), Role::Media | Role::Relay) {
                continue;
            }
            let sides = judged.seen_from(|ip| ip == whose.0);
            let zoom = judged.flow.facts.as_deref().is_some_and(|facts| facts.zoom.is_some());
            for stream in streams(judged).filter(|stream| stream.stats.packets() >= PACKETS) {
                let stream = StreamTrace::of(stream, is_sent(stream, sides), zoom);
                found.push(Seen { owner, flow: *flow, stream });
            }
        }
    }
    found.truncate(STREAMS);
    found
}

/// Which streams are at two endpoints.
fn links(seen: &[Seen]) -> Vec<Link> {
    let mut by_source: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut by_row: HashMap<u64, Vec<usize>> = HashMap::new();
    let (mut found, mut lengths) = (Vec::new(), Vec::new());
    for (place, new) in seen.iter().enumerate() {
        let source = by_source.entry(new.stream.ssrc).or_default();
        let known = source.iter().filter_map(|place| seen.get(*place));
        found.extend(known.filter(|known| known.keeps_numbers_of(new)).map(|known| [known.end(), new.end()]));
        if source.len() < PLACES {
            source.push(place);
        }
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for (row, _) in new.stream.sketch.rows() {
            let places = by_row.entry(row).or_default();
            for other in places.iter() {
                let rows = shared.entry(*other).or_default();
                *rows = rows.saturating_add(1);
            }
            if places.len() < PLACES {
                places.push(place);
            }
        }
        let mut alike: Vec<usize> =
            shared.into_iter().filter(|(_, rows)| *rows >= ROWS).map(|(other, _)| other).collect();
        alike.sort_unstable();
        lengths.extend(
            alike
                .into_iter()
                .filter(|other| seen.get(*other).is_some_and(|known| known.has_lengths_of(new)))
                .map(|other| (other, place)),
        );
    }
    found.extend(unmistakable(seen, &lengths));
    found
}

/// The pairs of streams with equal lengths that show who hears whom: what two flows send alike tells nobody apart.
fn unmistakable(seen: &[Seen], pairs: &[(usize, usize)]) -> Vec<Link> {
    let mut union = Union::new(seen.len());
    for (one, two) in pairs {
        union.join(*one, *two);
    }
    let mut senders: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    for (place, one) in seen.iter().enumerate().filter(|(_, one)| one.stream.sent) {
        senders.entry(union.find(place)).or_default().insert(one.flow);
    }
    let alone =
        |place: usize, union: &mut Union| senders.get(&union.find(place)).is_none_or(|flows| flows.len() < 2);
    pairs
        .iter()
        .filter(|(place, _)| alone(*place, &mut union))
        .filter_map(|(one, two)| Some((seen.get(*one)?, seen.get(*two)?)))
        .filter(|(one, two)| one.owner != two.owner)
        .map(|(one, two)| [one.end(), two.end()])
        .collect()
}

impl Seen {
    const fn end(&self) -> End {
        let StreamTrace { sent, start, last, .. } = self.stream;
        End { owner: self.owner, flow: self.flow, sent, start, last }
    }

    /// Whether both are one stream, under the same source with the same numbers, at two endpoints.
    fn keeps_numbers_of(&self, other: &Self) -> bool {
        self.owner != other.owner
            && self.stream.zoom == other.stream.zoom
            && !self.stream.is(&other.stream)
            && compare(&self.stream, &other.stream) == (Same::Copy { plain: false })
    }

    /// Whether the packets of both are of the same lengths. Of two senders or two receivers nobody knows who is first.
    fn has_lengths_of(&self, other: &Self) -> bool {
        if self.flow == other.flow {
            return false;
        }
        let copied = self.stream.sketch.copied(&other.stream.sketch);
        copied.is_some_and(|copied| match (self.stream.sent, other.stream.sent) {
            (true, false) => copied.lag_ns >= -EARLY_NS,
            (false, true) => copied.lag_ns <= EARLY_NS,
            _ => true,
        })
    }
}

/// When a room was used in each way.
#[derive(Default)]
struct Used {
    sent: Option<(Timestamp, Timestamp)>,
    received: Option<(Timestamp, Timestamp)>,
}

impl Used {
    fn add(&mut self, end: End) {
        let way = if end.sent { &mut self.sent } else { &mut self.received };
        let (from, to) = way.unwrap_or((end.start, end.last));
        *way = Some((from.min(end.start), to.max(end.last)));
    }

    /// While something was both sent and received.
    fn both(&self) -> Option<(Timestamp, Timestamp)> {
        let ((from, to), (start, end)) = (self.sent?, self.received?);
        Some((from.max(start), to.min(end)))
    }
}

impl Candidate<'_> {
    /// The room of each flow that is in one, where there are several.
    fn told_apart(&self, ends: &[(End, usize)]) -> BTreeMap<usize, usize> {
        let (mut union, mine) = self.reached(ends);
        let mut used: BTreeMap<usize, Used> = BTreeMap::new();
        for (place, end) in mine {
            used.entry(union.find(place)).or_default().add(end);
        }
        let spans: Vec<(usize, (Timestamp, Timestamp))> =
            used.into_iter().filter_map(|(room, used)| Some((room, used.both()?))).collect();
        let beside = |room: usize, (from, to): (Timestamp, Timestamp)| {
            spans.iter().any(|(other, (start, end))| {
                *other != room && to.min(*end).since(from.max(*start)) >= AT_ONCE
            })
        };
        let rooms: BTreeSet<usize> =
            spans.iter().filter(|(room, span)| beside(*room, *span)).map(|(room, _)| *room).collect();
        let members = self.members.iter().enumerate();
        members
            .map(|(place, flow)| (*flow, union.find(place)))
            .filter(|(_, room)| rooms.contains(room))
            .collect()
    }

    /// Puts together flows that lead to the same others, or to others who hear each other without this endpoint: what leads there is
    /// of one block. Gives this endpoint's ends of the links by place of the flow.
    fn reached(&self, ends: &[(End, usize)]) -> (Union, Vec<(usize, End)>) {
        let mut union = self.union.clone();
        let mut first: BTreeMap<usize, usize> = BTreeMap::new();
        let mut mine = Vec::new();
        for (own, block) in ends {
            let Ok(place) = self.members.binary_search(&own.flow) else { continue };
            let held = first.entry(*block).or_insert(place);
            union.join(*held, place);
            mine.push((place, *own));
        }
        (union, mine)
    }
}
