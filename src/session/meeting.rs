//! Which sessions share a meeting. In: sessions with their flows. Out: [`Meeting`]s, each with what joined them.
//!
//! A meeting has no number on the wire. What is there: a stream that one endpoint sends and another receives, a flow
//! straight between two, a key, an address or a Call-ID that both show. Each is evidence with a confidence; independent
//! ones add up, and below [`JOINS`] nothing is joined. Speaking to the same server at the same time is no evidence:
//! one server has many meetings.

mod forget;
mod group;
mod reasons;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hashbrown::HashMap;

use group::Group;
use reasons::{OF_PAIR, bytes_of, combined, note, push};

use super::copies::{Same, compare};
use super::joints::{SEEN_TWICE, by_lengths, by_mark, by_source};
use super::together::{Sets, Tie};
use super::trace::{Shared, StreamTrace, Trace};
use super::union::Union;
use super::{Judged, Session, order};
use crate::observe::PacketRef;
use crate::observe::facts::Copied;
use crate::time::Timestamp;

/// Confidence from which two sessions are joined.
const JOINS: f32 = 0.7;
/// No amount of evidence makes it certain.
const MOST: f32 = 0.99;
/// How long a session that has ended may find others of its meeting, at least.
const KEPT: Duration = Duration::from_secs(3600);
/// Sessions kept; the one that ended first goes.
const TRACES: usize = 1 << 16;
/// Sessions that have ended which those that go on are held against.
const PEEKED: usize = 1 << 12;
/// Streams of Zoom that are compared for one source: its numbers are low and the same in every meeting.
const ALIKE: usize = 2048;
/// Sessions, and streams of others, that may share a mark or source: chosen at random, one that more share is none.
const SHARERS: usize = 32;
/// Places of one row of lengths; a row that more streams have says nothing.
const PLACES: usize = 128;
/// Rows that make two streams worth comparing.
const ROWS: usize = 4;
/// Reasons kept of a meeting.
const MEETING_REASONS: usize = 256;
/// Time within which two sessions must both have been in a call.
const SLACK: Duration = Duration::from_secs(5);

/// Sessions that share a meeting.
#[derive(Debug, Clone, PartialEq)]
pub struct Meeting {
    /// Number of its first session.
    pub id: u64,
    /// The app, or `None` when nobody claims its media.
    pub provider: Option<u16>,
    /// Begin of its first call.
    pub start: Timestamp,
    /// End of its last.
    pub end: Timestamp,
    /// Its sessions by number, in order.
    pub sessions: Vec<u64>,
    /// Endpoints among them: one that was seen at two points of the network counts once.
    pub participants: usize,
    /// What joined them, by pair of sessions.
    pub joined_by: Vec<Joint>,
    /// How sure it is that all of them belong together: that of the weakest pair that was needed.
    pub confidence: f32,
}

/// One reason to join two sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint {
    /// The sessions, the lower number first.
    pub sessions: [u64; 2],
    /// Kind of evidence, a stable word.
    pub what: &'static str,
    /// What was seen.
    pub value: String,
    /// How sure it makes that both share a meeting, were it all there is; 0 to 1.
    pub confidence: f32,
    /// The packets that show it, one of each session where there are two.
    pub packets: Vec<PacketRef>,
}

/// A stream of a session: the session's place among the traces, and the stream's within it.
type Place = (usize, usize);

/// Reasons by pair of sessions: those that are kept, and those that the lengths of all streams together give.
type Reasons<'a> = BTreeMap<(usize, usize), Cow<'a, [Joint]>>;

/// Two streams with the same lengths.
#[derive(Debug)]
struct Lengths {
    streams: [Place; 2],
    copied: Copied,
}

/// Bytes of two streams with the same lengths, and of two sessions that contradict each other.
const OF_LENGTHS: usize = 96;
const OF_CONTRADICTION: usize = 48;

/// The sessions of a run, or of the last hour of a live one, with what ties them.
#[derive(Debug, Default)]
pub struct Meetings {
    traces: Vec<Trace>,
    by_mark: HashMap<Shared, Vec<(usize, PacketRef)>>,
    by_source: HashMap<u32, Vec<Place>>,
    by_row: HashMap<u64, Vec<Place>>,
    joints: BTreeMap<(usize, usize), Vec<Joint>>,
    /// By the session that came later.
    lengths: BTreeMap<usize, Vec<Lengths>>,
    contradicted: BTreeSet<(usize, usize)>,
    /// Pairs of sessions that something ties, both ways round.
    beside: BTreeSet<(usize, usize)>,
    /// Bytes that all of it takes.
    held: usize,
    /// Sessions that were told to be in a meeting, and by which number: it stays the same when more turn up.
    named: BTreeMap<u64, u64>,
    /// Sessions of the usual size kept, where memory is short of what [`TRACES`] would take.
    most: Option<usize>,
    /// Packet time, where it is known otherwise than from flows.
    until: Option<Timestamp>,
}

impl Meetings {
    /// The sessions in the order in which they were taken, the names of their meetings, and how many are kept: all else follows.
    pub(super) const fn kept(&self) -> (&Vec<Trace>, &BTreeMap<u64, u64>, Option<usize>) {
        (&self.traces, &self.named, self.most)
    }

    /// As it was with these.
    pub(super) fn of_kept(traces: Vec<Trace>, named: BTreeMap<u64, u64>, most: Option<usize>) -> Self {
        let mut meetings = Self { named, most, ..Self::default() };
        for trace in traces {
            meetings.add(trace);
        }
        meetings
    }

    /// Keeps at most so many sessions of the usual size, and fewer that show more.
    pub fn limit(&mut self, most: usize) {
        self.most = Some(most.min(TRACES));
    }

    /// Packet time is not beyond this, whatever the end of a flow says.
    pub const fn until(&mut self, now: Option<Timestamp>) {
        self.until = now;
    }

    /// Takes sessions and gives the meetings that they are in, those among them that had begun earlier included.
    pub fn join(&mut self, flows: &[Judged], sessions: &[Session]) -> Vec<Meeting> {
        let fresh: BTreeSet<u64> = sessions.iter().map(|session| session.id).collect();
        let is_known = |end: &Timestamp| self.until.is_none_or(|until| *end <= until);
        let now = flows.iter().map(|judged| judged.flow.end).filter(is_known).max();
        self.take(sessions.iter().map(|session| Trace::of(flows, session)), &fresh, now)
    }

    /// Takes sessions, and tells of meetings before any that are in them are let go for want of room.
    fn take(
        &mut self,
        traces: impl Iterator<Item = Trace>,
        fresh: &BTreeSet<u64>,
        now: Option<Timestamp>,
    ) -> Vec<Meeting> {
        let (mut begin, mut groups) = (self.traces.len(), BTreeMap::new());
        for trace in traces {
            self.add(trace);
            if self.most.is_some() && self.is_full() {
                self.settle(begin, fresh, &mut groups);
                self.forget(now);
                begin = self.traces.len();
            }
        }
        self.settle(begin, fresh, &mut groups);
        self.forget(now);
        told(groups)
    }

    /// The meetings of sessions from `begin` on, by the names that they have, each one with what was concluded of it before.
    fn settle(&mut self, begin: usize, fresh: &BTreeSet<u64>, groups: &mut BTreeMap<u64, Group>) {
        for group in self.conclude(begin) {
            let sessions = group.meeting.sessions.clone();
            if !sessions.iter().any(|id| fresh.contains(id)) {
                continue;
            }
            let name = self.put(group, &self.named, groups);
            self.named.extend(sessions.iter().map(|session| (*session, name)));
            for session in groups.get(&name).into_iter().flat_map(|group| &group.meeting.sessions) {
                self.named.entry(*session).and_modify(|known| *known = name);
            }
        }
    }

    /// The meetings of sessions that go on, with those that have ended lately; nothing of it is remembered.
    pub fn peek(&self, flows: &[Judged], sessions: &[Session]) -> Vec<Meeting> {
        let fresh: BTreeSet<u64> = sessions.iter().map(|session| session.id).collect();
        let Some(earliest) = sessions.iter().map(|session| session.call_start).min() else {
            return Vec::new();
        };
        let mut all = Self::default();
        let near = |trace: &&Trace| earliest.since(trace.end) <= SLACK && !fresh.contains(&trace.id);
        for trace in self.traces.iter().rev().filter(near).take(PEEKED) {
            all.add(trace.clone());
        }
        for session in sessions {
            all.add(Trace::of(flows, session));
        }
        let mut groups = BTreeMap::new();
        for group in all.conclude(0) {
            if group.meeting.sessions.iter().any(|id| fresh.contains(id)) {
                all.put(group, &self.named, &mut groups);
            }
        }
        told(groups)
    }

    fn add(&mut self, trace: Trace) {
        let place = self.traces.len();
        self.held = self.held.saturating_add(trace.bytes());
        for (mark, packet) in &trace.marks {
            let sharers = self.by_mark.get(&mark.counterpart()).filter(|known| known.len() < SHARERS);
            for (other, shown) in sharers.into_iter().flatten() {
                let Some(earlier) = self.traces.get(*other) else { continue };
                if at_once(earlier, &trace) {
                    let joint = by_mark(mark, [earlier.id, trace.id], [*shown, *packet]);
                    let more = push(&mut self.joints, (*other, place), joint);
                    self.held = self.held.saturating_add(more);
                    self.beside.extend([(*other, place), (place, *other)]);
                }
            }
        }
        for (index, stream) in trace.streams.iter().enumerate() {
            self.compare_sources(&trace, place, stream);
            self.compare_rows(&trace, (place, index), stream);
        }
        self.traces.push(trace);
        self.list(place);
    }

    /// Puts a session where others find it.
    fn list(&mut self, place: usize) {
        let Self { traces, by_mark, by_source, by_row, .. } = self;
        let Some(trace) = traces.get(place) else { return };
        for (mark, packet) in &trace.marks {
            let known = by_mark.entry(mark.clone()).or_default();
            if known.len() < SHARERS {
                known.push((place, *packet));
            }
        }
        for (index, stream) in trace.streams.iter().enumerate() {
            let known = by_source.entry(stream.ssrc).or_default();
            if known.len() < ALIKE {
                known.push((place, index));
            }
            for (row, _) in stream.sketch.rows() {
                let known = by_row.entry(row).or_default();
                if known.len() < PLACES {
                    known.push((place, index));
                }
            }
        }
    }

    /// Streams of other sessions that have the same SSRC.
    fn compare_sources(&mut self, trace: &Trace, place: usize, stream: &StreamTrace) {
        let most = if stream.zoom { ALIKE } else { SHARERS };
        let sharers = self.by_source.get(&stream.ssrc).filter(|known| known.len() <= most);
        for (other, index) in sharers.into_iter().flatten() {
            let Some(earlier) = self.traces.get(*other) else { continue };
            let Some(known) = earlier.streams.get(*index) else { continue };
            if known.zoom != stream.zoom || known.is(stream) || !at_once(earlier, trace) {
                continue;
            }
            match compare(known, stream) {
                Same::Copy { plain } => {
                    let joint = by_source([earlier.id, trace.id], known, stream, plain);
                    let more = push(&mut self.joints, (*other, place), joint);
                    self.held = self.held.saturating_add(more);
                    self.beside.extend([(*other, place), (place, *other)]);
                }
                // In one meeting of Zoom a source is one sender.
                Same::Other if known.zoom && known.sent && stream.sent => {
                    let is_new = self.contradicted.insert((*other, place));
                    self.held = self.held.saturating_add(if is_new { OF_CONTRADICTION } else { 0 });
                }
                Same::Other | Same::Apart => {}
            }
        }
    }

    /// Streams of other sessions that have rows of lengths in common.
    fn compare_rows(&mut self, trace: &Trace, place: Place, stream: &StreamTrace) {
        let mut shared: HashMap<Place, usize> = HashMap::new();
        for (row, _) in stream.sketch.rows() {
            for other in self.by_row.get(&row).into_iter().flatten() {
                let count = shared.entry(*other).or_default();
                *count = count.saturating_add(1);
            }
        }
        let mut alike: Vec<Place> =
            shared.into_iter().filter(|(_, rows)| *rows >= ROWS).map(|(other, _)| other).collect();
        alike.sort_unstable();
        for other in alike {
            let Some(earlier) = self.traces.get(other.0) else { continue };
            let Some(known) = earlier.streams.get(other.1) else { continue };
            if at_once(earlier, trace)
                && !known.is(stream)
                && let Some(copied) = known.sketch.copied(&stream.sketch)
            {
                self.lengths.entry(place.0).or_default().push(Lengths { streams: [other, place], copied });
                self.held = self.held.saturating_add(OF_LENGTHS);
                self.beside.extend([(other.0, place.0), (place.0, other.0)]);
            }
        }
    }

    /// The sessions from `begin` on, and all that anything ties to them, over others too, in order; not those that nothing is tied to.
    fn reached(&self, begin: usize) -> Vec<usize> {
        let beside =
            |place: usize| self.beside.range((place, 0)..=(place, usize::MAX)).map(|(_, other)| *other);
        let mut seen: BTreeSet<usize> =
            (begin..self.traces.len()).filter(|place| beside(*place).next().is_some()).collect();
        let mut left: Vec<usize> = seen.iter().copied().collect();
        while let Some(place) = left.pop() {
            left.extend(beside(place).filter(|other| seen.insert(*other)));
        }
        seen.into_iter().collect()
    }

    /// Puts together what is tied well enough, of the sessions from `begin` on and those that are tied to them.
    fn conclude(&self, begin: usize) -> Vec<Group> {
        let near = self.reached(begin);
        let numbers: HashMap<usize, usize> =
            near.iter().enumerate().map(|(number, place)| (*place, number)).collect();
        let both = |pair: &(usize, usize)| Some((*numbers.get(&pair.0)?, *numbers.get(&pair.1)?));
        let mut joints: Reasons<'_> = near
            .iter()
            .flat_map(|place| self.joints.range((*place, 0)..=(*place, usize::MAX)))
            .filter_map(|(pair, reasons)| Some((both(pair)?, Cow::Borrowed(reasons.as_slice()))))
            .collect();
        self.by_lengths(&mut joints, &near, &numbers);
        let contradicted = near
            .iter()
            .flat_map(|place| self.contradicted.range((*place, 0)..=(*place, usize::MAX)))
            .filter_map(both)
            .collect();
        let tie = |(pair, reasons): (&(usize, usize), &Cow<'_, [Joint]>)| {
            let of_two = reasons.iter().all(Joint::is_of_two);
            Tie { confidence: combined(reasons), pair: *pair, of_two }
        };
        let ties: Vec<Tie> = joints.iter().map(tie).filter(|tie| tie.confidence >= JOINS).collect();
        let members: Vec<&Trace> = near.iter().filter_map(|place| self.traces.get(*place)).collect();
        let there: Vec<(Timestamp, Timestamp)> =
            members.iter().map(|trace| (trace.start, trace.end)).collect();
        let mut sets = Sets::of(ties, &contradicted, &there, MOST);
        let mut inside: HashMap<usize, Vec<&Joint>> = HashMap::new();
        for ((a, b), reasons) in &joints {
            let root = sets.find(*a);
            if root == sets.find(*b) {
                inside.entry(root).or_default().extend(reasons.iter());
            }
        }
        let mut groups: Vec<Group> = sets
            .into_sets()
            .map(|(root, set, confidence)| {
                let members: Vec<&Trace> =
                    set.iter().filter_map(|number| members.get(*number).copied()).collect();
                Group::of(inside.remove(&root).unwrap_or_default(), &members, confidence)
            })
            .collect();
        groups.sort_by_key(|group| order(group.meeting.id));
        groups
    }

    /// Reasons from streams whose packets have the same lengths. Where two endpoints send what looks the same (a test picture,
    /// the same film) the lengths tell nobody apart.
    fn by_lengths(&self, joints: &mut Reasons<'_>, near: &[usize], sessions: &HashMap<usize, usize>) {
        let lengths: Vec<&Lengths> =
            near.iter().filter_map(|place| self.lengths.get(place)).flatten().collect();
        let mut numbers: HashMap<Place, usize> = HashMap::new();
        for place in lengths.iter().flat_map(|found| found.streams) {
            let next = numbers.len();
            numbers.entry(place).or_insert(next);
        }
        let number = |place: &Place| numbers.get(place).copied().unwrap_or(0);
        let mut union = Union::new(numbers.len());
        for found in &lengths {
            let [a, b] = &found.streams;
            union.join(number(a), number(b));
        }
        let mut senders: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        for place in numbers.keys().filter(|place| self.stream(**place).is_some_and(|stream| stream.sent)) {
            senders.entry(union.find(number(place))).or_default().insert(place.0);
        }
        for found in lengths {
            let [a, b] = found.streams;
            let several = senders.get(&union.find(number(&a))).is_some_and(|senders| senders.len() > 1);
            let (Some(one), Some(two)) = (self.stream(a), self.stream(b)) else { continue };
            if several {
                continue;
            }
            let ids =
                [self.traces.get(a.0), self.traces.get(b.0)].map(|trace| trace.map_or(0, |trace| trace.id));
            if let Some(joint) = by_lengths(ids, one, two, found.copied)
                && let (Some(a), Some(b)) = (sessions.get(&a.0), sessions.get(&b.0))
            {
                note(joints.entry((*a.min(b), *a.max(b))).or_default().to_mut(), joint);
            }
        }
    }

    fn stream(&self, (trace, stream): Place) -> Option<&StreamTrace> {
        self.traces.get(trace)?.streams.get(stream)
    }
}

/// Meetings of groups, in their order.
fn told(groups: BTreeMap<u64, Group>) -> Vec<Meeting> {
    let mut meetings: Vec<Meeting> = groups.into_values().map(|group| group.meeting).collect();
    meetings.sort_by_key(|meeting| order(meeting.id));
    meetings
}

fn at_once(one: &Trace, two: &Trace) -> bool {
    one.provider == two.provider
        && one.start.since(two.end) <= SLACK
        && two.start.since(one.end) <= SLACK
        && one.id != two.id
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::session::trace::Shared;

    fn trace(id: u64, marks: u64) -> Trace {
        let end = Timestamp::from_secs_nanos(i64::try_from(id).unwrap(), 0);
        let marks = (0..marks).map(|mark| (Shared::Flow(id * 1000 + mark), PacketRef::default())).collect();
        let endpoint = IpAddr::from([10, 0, 0, 1]);
        Trace { id, provider: None, start: end, end, endpoint, streams: Vec::new(), marks }
    }

    #[test]
    fn of_sessions_that_show_much_fewer_are_kept() {
        let left = |marks: u64, most: Option<usize>| {
            let traces = (0..30).map(|id| trace(id, marks)).collect();
            let mut meetings = Meetings::of_kept(traces, BTreeMap::new(), most);
            meetings.forget(Some(Timestamp::from_secs_nanos(30, 0)));
            meetings.traces.iter().map(|trace| trace.id).collect::<Vec<_>>()
        };
        assert!(left(20, Some(16)).into_iter().eq(16..30), "those that ended last, and an eighth to spare");
        assert!(left(200, Some(16)).into_iter().eq(28..30));
        assert!(left(200, None).into_iter().eq(0..30), "without a budget they are counted");
    }

    #[test]
    fn meetings_are_told_though_there_is_room_for_few_sessions() {
        let call = |id: u64| Trace {
            marks: vec![(Shared::Flow(id / 2), PacketRef::default())],
            start: Timestamp::default(),
            ..trace(id, 0)
        };
        let mut meetings = Meetings { most: Some(16), ..Meetings::default() };
        let told = meetings.take((0..1400).map(call), &(0..1400).collect(), None);
        assert!(
            told.iter().map(|meeting| meeting.sessions.clone()).eq((0..700).map(|n| vec![2 * n, 2 * n + 1]))
        );
        assert!(meetings.traces.len() <= 16);
    }

    /// A call of `id` that shows these marks, from an endpoint of its own.
    fn call(id: u64, marks: &[u64], from: i64, to: i64) -> Trace {
        let at = |second| Timestamp::from_secs_nanos(second, 0);
        let marks = marks.iter().map(|mark| (Shared::Flow(*mark), PacketRef::default())).collect();
        let endpoint = IpAddr::from([10, 0, 0, u8::try_from(id % 256).unwrap()]);
        Trace { id, marks, start: at(from), end: at(to), endpoint, ..trace(id, 0) }
    }

    /// 2 was in a meeting with 1 and 3, which go on, and is forgotten. Later 4 is found with 1, and 5 with 3.
    #[test]
    fn groups_that_were_one_meeting_are_one_though_nobody_is_left_between_them() {
        let mut meetings = Meetings::default();
        let first = [call(1, &[12, 14], 0, 6000), call(2, &[12, 23], 0, 60), call(3, &[23, 35], 0, 6000)];
        let told = meetings.take(first.into_iter(), &(1..=3).collect(), None);
        assert_eq!((told.len(), told[0].id, told[0].participants), (1, 1, 3));
        meetings.forget(Some(Timestamp::from_secs_nanos(6000, 0)));
        let later = || [call(4, &[14], 5000, 6000), call(5, &[35], 5000, 6000)];
        let told = meetings.take(later().into_iter(), &(4..=5).collect(), None);
        assert_eq!((told.len(), told[0].id, told[0].participants), (1, 1, 4));
        assert_eq!(told[0].sessions, [1, 3, 4, 5]);
        assert!(told[0].joined_by.iter().map(|joint| joint.sessions).eq([[1, 4], [3, 5]]));
        assert!(meetings.named.iter().eq([(&1, &1), (&3, &1), (&4, &1), (&5, &1)]));
    }

    /// As above, but 4 and 5 are known not to share a meeting.
    #[test]
    fn groups_that_contradict_each_other_are_two_though_they_were_one() {
        let mut meetings = Meetings::default();
        let (one, three) = (call(1, &[14], 0, 6000), call(3, &[35], 0, 6000));
        for trace in [one, three, call(4, &[14], 5000, 6000), call(5, &[35], 5000, 6000)] {
            meetings.add(trace);
        }
        meetings.named = BTreeMap::from([(1, 1), (3, 1)]);
        meetings.contradicted.insert((2, 3));
        let mut groups = BTreeMap::new();
        meetings.settle(2, &(4..=5).collect(), &mut groups);
        assert!(
            told(groups)
                .iter()
                .map(|meeting| (meeting.id, meeting.sessions.clone()))
                .eq([(1, vec![1, 4]), (3, vec![3, 5])])
        );
    }

    /// 1 ends first, and has to go while others come that have nothing to do with it.
    #[test]
    fn who_was_told_to_be_in_a_meeting_stays_in_it_when_more_come_though_room_is_short() {
        let mut meetings = Meetings { most: Some(16), ..Meetings::default() };
        let others = (10..1400).map(|id| call(id, &[1000 + id], 0, 80));
        let first = [call(1, &[12], 0, 60), call(2, &[12, 23], 0, 90)];
        let calls = first.into_iter().chain(others).chain([call(1500, &[23], 0, 90)]);
        let told = meetings.take(calls, &(1..=1500).collect(), None);
        assert!(told.iter().map(|meeting| meeting.sessions.clone()).eq([[1, 2, 1500]]));
        assert_eq!((told[0].id, told[0].participants), (1, 3));
        assert!(told[0].joined_by.iter().map(|joint| joint.sessions).eq([[1, 2], [2, 1500]]));
        assert!(!meetings.named.contains_key(&1), "of what was let go nothing is kept");
    }

    /// One packet with a stamp of 1970 is such a part.
    #[test]
    fn a_part_of_long_ago_forgets_nothing() {
        let late = |id: u64| trace(10_000 + id, 1);
        let mut meetings = Meetings::of_kept(vec![late(1), late(2)], BTreeMap::new(), None);
        meetings.forget(Some(Timestamp::default()));
        assert_eq!(meetings.traces.len(), 2);
        meetings.forget(Some(late(3601).end));
        assert_eq!(meetings.traces.len(), 2, "they ended an hour ago, and no longer");
        meetings.forget(Some(late(3603).end));
        assert!(meetings.traces.is_empty());
    }

    /// In a live run most parts have flows and no session.
    #[test]
    fn a_part_without_sessions_forgets_nothing() {
        let mut meetings =
            Meetings::of_kept(vec![trace(1, 1), trace(2, 1)], BTreeMap::from([(1, 1), (2, 1)]), None);
        assert!(meetings.join(&[], &[]).is_empty());
        assert_eq!((meetings.traces.len(), meetings.named.len()), (2, 2));
    }
}
