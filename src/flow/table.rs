//! The flow table: caps, idle timeouts on packet time, an eviction order, and a counter for each.

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::key::{Direction, Key};
use super::leaving::Leaving;
use super::life::{Early, EndReason, Ended, Flow};
use super::slots::Slots;
use super::waiting::GivenUp;
use super::wheel::{Clock, Entry, Wheel};
use crate::time::Timestamp;

/// How many neighbours are compared when the table is full and one flow must go.
const EVICTION_SAMPLE: usize = 16;

/// How far ahead flows are asked for that may have gone idle.
const DUE_AHEAD: usize = 4;

/// Caps of one table.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most flows held at once; beyond it the least valuable of a sample is evicted.
    pub max_flows: usize,
    /// Idle time after which a flow ends, unless its state asks for another.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_flows: 1 << 20, idle_timeout: Duration::from_secs(180) }
    }
}

/// What the table is told of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Whose it is, innermost.
    pub key: Key,
    /// It comes from the lower end of its key.
    pub source_is_low: bool,
    /// Packet time.
    pub timestamp: Timestamp,
    /// Place in the run, from 1; names the flow that the packet begins.
    pub number: u64,
    /// Original length of the frame, in bytes.
    pub wire_len: u32,
    /// Payload bytes of the transport, as its header declares them.
    pub payload_len: u32,
}

/// What the table did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableStats {
    /// Flows begun.
    pub created: u64,
    /// Flows pushed out because the table was full.
    pub evicted: u64,
    /// Most flows held at once.
    pub peak: u64,
    /// Directions of TCP that gave up their holes because too many bytes waited in all of them together.
    pub holes_given_up: u64,
    /// Pictures that were given up for the same reason before they were complete.
    pub pictures_given_up: u64,
}

impl TableStats {
    /// Adds what another table did.
    pub const fn add(&mut self, other: Self) {
        self.created = self.created.saturating_add(other.created);
        self.evicted = self.evicted.saturating_add(other.evicted);
        self.peak = self.peak.saturating_add(other.peak);
        self.gave_up(GivenUp { holes: other.holes_given_up, pictures: other.pictures_given_up });
    }

    /// Counts what a flow gave up.
    const fn gave_up(&mut self, given_up: GivenUp) {
        self.holes_given_up = self.holes_given_up.saturating_add(given_up.holes);
        self.pictures_given_up = self.pictures_given_up.saturating_add(given_up.pictures);
    }

    /// What was done beyond `before`, on top of `earlier`: a run that goes on counts as one.
    #[must_use]
    pub fn since(self, before: Self, earlier: Self) -> Self {
        let more = |now: u64, before: u64, earlier: u64| earlier.saturating_add(now.saturating_sub(before));
        Self {
            created: more(self.created, before.created, earlier.created),
            evicted: more(self.evicted, before.evicted, earlier.evicted),
            peak: self.peak.max(earlier.peak),
            holes_given_up: more(self.holes_given_up, before.holes_given_up, earlier.holes_given_up),
            pictures_given_up: more(
                self.pictures_given_up,
                before.pictures_given_up,
                earlier.pictures_given_up,
            ),
        }
    }
}

/// Where a flow lies, and half of what its key hashes to. Most flows have left every cache: growing the index looks at none of them, and looking
/// for one hardly ever at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spot {
    slot: u32,
    half: u32,
}

impl Spot {
    /// What the index goes by, which looks at the lowest bits and at the topmost: the half, spread over all of them.
    #[inline]
    fn hash(half: u32) -> u64 {
        u64::from(half).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Flows by five-tuple.
#[derive(Debug)]
pub struct Table<S> {
    limits: Limits,
    hasher: RandomState,
    index: HashTable<Spot>,
    slots: Slots<Flow<S>>,
    free: Vec<u32>,
    wheel: Wheel,
    due: Vec<Entry>,
    cursor: usize,
    next_generation: u32,
    stats: TableStats,
}

fn position(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl<S> Table<S> {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            hasher: RandomState::default(),
            index: HashTable::new(),
            slots: Slots::new(),
            free: Vec::new(),
            wheel: Wheel::new(),
            due: Vec::new(),
            cursor: 0,
            next_generation: 0,
            stats: TableStats::default(),
        }
    }

    /// Counters.
    pub const fn stats(&self) -> TableStats {
        self.stats
    }

    /// Flows held now.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True when no flow is held.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Counts a packet into its flow, which is begun when there is none; flows that went idle or had to make
    /// room are handed to `ended` first. `begin` makes the state of a new flow.
    pub fn packet(
        &mut self,
        packet: &Packet,
        begin: impl FnOnce() -> S,
        ended: &mut impl FnMut(Ended<S>),
    ) -> Option<(&mut Flow<S>, Direction)> {
        self.turn(packet.timestamp, Clock::Packet, ended);
        let (key, source_is_low) = (packet.key, packet.source_is_low);
        let half = self.half(&key);
        let mut slot = self.find(half, &key);
        if let Some(found) = slot
            && self.slots.get(position(found)).is_some_and(|flow| flow.is_idle(packet.timestamp))
        {
            self.end(found, EndReason::Idle, ended);
            slot = None;
        }
        let slot = match slot {
            Some(slot) => slot,
            None => self.begin(half, key, source_is_low, packet, begin(), ended)?,
        };
        let flow = self.slots.get_mut(position(slot))?;
        let direction =
            if flow.originator_is_low == source_is_low { Direction::Forward } else { Direction::Reverse };
        if packet.timestamp > flow.last {
            flow.last = packet.timestamp;
        }
        let way = direction.index();
        if let (Some(packets), Some(bytes), Some(payload)) =
            (flow.packets.get_mut(way), flow.bytes.get_mut(way), flow.payload.get_mut(way))
        {
            *packets = packets.wrapping_add(1);
            *bytes = bytes.wrapping_add(u64::from(packet.wire_len));
            *payload = payload.wrapping_add(u64::from(packet.payload_len));
        }
        Some((flow, direction))
    }

    /// A flow's idle timeout became shorter than it was when the flow was last looked at: looks again when that is over.
    pub fn hasten(&mut self, key: &Key) {
        let Some(slot) = self.slot_of(key) else { return };
        let Some(flow) = self.slots.get(position(slot)) else { return };
        self.wheel.arm(Entry { slot, generation: flow.generation }, flow.due());
    }

    /// The flow with this key, where one is held.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Flow<S>> {
        let slot = self.slot_of(key)?;
        self.slots.get_mut(position(slot))
    }

    /// Counts what a flow gave up for want of room.
    pub const fn gave_up(&mut self, given_up: GivenUp) {
        self.stats.gave_up(given_up);
    }

    /// Ends every flow, in the order in which they began.
    pub fn finish(self) -> Leaving<S> {
        Leaving::of(self.slots)
    }

    /// Looks at every flow that is held, in no particular order.
    pub fn for_each(&self, mut look: impl FnMut(&Flow<S>)) {
        self.slots.iter().for_each(|(_, flow)| look(flow));
    }

    /// Ends the flows that have been idle for their timeout by `now`.
    #[inline]
    pub fn expire(&mut self, now: Timestamp, ended: &mut impl FnMut(Ended<S>)) {
        self.turn(now, Clock::Look, ended);
    }

    /// The same for a packet that is not counted.
    pub fn pass_over(&mut self, packet: Timestamp, ended: &mut impl FnMut(Ended<S>)) {
        self.turn(packet, Clock::Packet, ended);
    }

    #[inline]
    fn turn(&mut self, now: Timestamp, clock: Clock, ended: &mut impl FnMut(Ended<S>)) {
        let now = self.wheel.advance(now, clock, &mut self.due);
        if !self.due.is_empty() {
            self.expire_due(now, ended);
        }
    }

    #[cold]
    fn expire_due(&mut self, now: Timestamp, ended: &mut impl FnMut(Ended<S>)) {
        let mut due = std::mem::take(&mut self.due);
        for (place, entry) in due.iter().copied().enumerate() {
            if let Some(later) = due.get(place.saturating_add(DUE_AHEAD)) {
                self.slots.fetch(position(later.slot));
            }
            let Some(flow) = self.slots.get(position(entry.slot)) else { continue };
            if flow.generation != entry.generation {
                continue;
            }
            if flow.is_idle(now) {
                self.end(entry.slot, EndReason::Idle, ended);
            } else {
                self.wheel.arm(entry, flow.due());
            }
        }
        due.clear();
        self.due = due;
    }

    /// Moves the times of all flows by so many nanoseconds: the clock that stamps packets was set. They go idle as they would have.
    pub fn shift(&mut self, nanos: i64) {
        self.wheel = Wheel::new();
        self.due.clear();
        for (slot, flow) in self.slots.iter_mut() {
            let Ok(slot) = u32::try_from(slot) else { continue };
            flow.start = flow.start.moved(nanos);
            flow.last = flow.last.moved(nanos);
            self.wheel.arm(Entry { slot, generation: flow.generation }, flow.due());
        }
    }

    /// Sets how many flows are held at once, and pushes out what is beyond.
    pub fn limit(&mut self, max_flows: usize, ended: &mut impl FnMut(Ended<S>)) {
        self.limits.max_flows = max_flows;
        while self.index.len() > max_flows {
            let before = self.index.len();
            self.evict(ended);
            if self.index.len() == before {
                break;
            }
        }
    }

    /// True where a flow with this key is held.
    pub fn holds(&self, key: &Key) -> bool {
        self.slot_of(key).is_some()
    }

    /// Ends the flow with this key, where one is held.
    pub fn end_of(&mut self, key: &Key, reason: EndReason, ended: &mut impl FnMut(Ended<S>)) {
        if let Some(slot) = self.slot_of(key) {
            self.end(slot, reason, ended);
        }
    }

    fn slot_of(&self, key: &Key) -> Option<u32> {
        self.find(self.half(key), key)
    }

    #[inline]
    fn half(&self, key: &Key) -> u32 {
        let [_, _, _, _, half @ ..] = self.hasher.hash_one(key).to_le_bytes();
        u32::from_le_bytes(half)
    }

    #[inline]
    fn find(&self, half: u32, key: &Key) -> Option<u32> {
        let is_it = |spot: &Spot| {
            spot.half == half && self.slots.get(position(spot.slot)).is_some_and(|flow| flow.key == *key)
        };
        self.index.find(Spot::hash(half), is_it).map(|spot| spot.slot)
    }

    fn begin(
        &mut self,
        half: u32,
        key: Key,
        originator_is_low: bool,
        packet: &Packet,
        state: S,
        ended: &mut impl FnMut(Ended<S>),
    ) -> Option<u32> {
        if self.index.len() >= self.limits.max_flows {
            self.evict(ended);
        }
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let flow = Flow {
            key,
            originator_is_low,
            class: 0,
            generation,
            idle_timeout_s: u32::try_from(self.limits.idle_timeout.as_secs()).unwrap_or(u32::MAX),
            early: Early::default(),
            id: packet.number,
            start: packet.timestamp,
            last: packet.timestamp,
            packets: [0; 2],
            bytes: [0; 2],
            payload: [0; 2],
            state,
        };
        let due = flow.due();
        let slot = if let Some(slot) = self.free.pop() {
            self.slots.put(position(slot), flow)?;
            slot
        } else {
            let slot = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(flow);
            slot
        };
        self.index.insert_unique(Spot::hash(half), Spot { slot, half }, |spot| Spot::hash(spot.half));
        self.wheel.arm(Entry { slot, generation }, due);
        self.stats.created = self.stats.created.saturating_add(1);
        self.stats.peak = self.stats.peak.max(u64::try_from(self.index.len()).unwrap_or(u64::MAX));
        Some(slot)
    }

    fn end(&mut self, slot: u32, reason: EndReason, ended: &mut impl FnMut(Ended<S>)) {
        let Some(flow) = self.slots.take(position(slot)) else { return };
        let hash = Spot::hash(self.half(&flow.key));
        if let Ok(entry) = self.index.find_entry(hash, |held| held.slot == slot) {
            entry.remove();
        }
        self.free.push(slot);
        ended(Ended { flow, reason });
    }

    /// Pushes one flow out: of a sample, the one of the lowest class, and of those the longest idle.
    fn evict(&mut self, ended: &mut impl FnMut(Ended<S>)) {
        let mut victim: Option<(u8, Timestamp, u32)> = None;
        let mut seen = 0_usize;
        for _ in 0..self.slots.len() {
            self.cursor = self.cursor.checked_add(1).filter(|next| *next < self.slots.len()).unwrap_or(0);
            let Some(flow) = self.slots.get(self.cursor) else { continue };
            let candidate = (flow.class, flow.last, u32::try_from(self.cursor).unwrap_or(u32::MAX));
            if victim.is_none_or(|held| candidate < held) {
                victim = Some(candidate);
            }
            seen = seen.saturating_add(1);
            if seen >= EVICTION_SAMPLE {
                break;
            }
        }
        if let Some((_, _, slot)) = victim {
            self.stats.evicted = self.stats.evicted.saturating_add(1);
            self.end(slot, EndReason::Evicted, ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FiveTuple;

    fn packet(number: u64, source: &str, destination: &str, second: i64) -> Packet {
        let (key, source_is_low) = Key::of(&FiveTuple {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol: 17,
        });
        let timestamp = Timestamp::from_secs_nanos(second, 0);
        Packet { key, source_is_low, timestamp, number, wire_len: 100, payload_len: 60 }
    }

    fn table(max_flows: usize) -> Table<()> {
        Table::new(Limits { max_flows, idle_timeout: Duration::from_secs(60) })
    }

    #[test]
    fn both_directions_count_into_one_flow() {
        let mut table = table(8);
        let mut none = |_: Ended<()>| panic!("nothing ends here");
        table.packet(&packet(1, "10.0.0.1:1", "10.0.0.2:2", 0), || (), &mut none);
        let (flow, direction) =
            table.packet(&packet(2, "10.0.0.2:2", "10.0.0.1:1", 1), || (), &mut none).unwrap();
        assert_eq!(direction, Direction::Reverse);
        assert_eq!((flow.packets, flow.bytes, flow.id), ([1, 1], [100, 100], 1));
        assert_eq!(flow.tuple().source, "10.0.0.1:1".parse().unwrap());
        flow.swap_originator();
        assert_eq!(flow.tuple().source, "10.0.0.2:2".parse().unwrap());
    }

    #[test]
    fn a_flow_that_is_hastened_ends_when_its_new_timeout_is_over() {
        let mut table = table(8);
        let mut ended = Vec::new();
        let first = packet(1, "10.0.0.1:1", "10.0.0.2:53", 0);
        let (flow, _) = table.packet(&first, || (), &mut |e| ended.push(e)).unwrap();
        flow.set_idle_timeout(Duration::from_secs(10));
        table.hasten(&first.key);
        table.packet(&packet(2, "10.0.0.1:2", "10.0.0.2:53", 11), || (), &mut |e| ended.push(e));
        // Packets of others move the time; the flow's own timeout of 10 seconds and a second for the wheel are over.
        for (number, second) in [(3, 12), (4, 40)] {
            let other = format!("10.0.0.1:{number}");
            table.packet(&packet(number, &other, "10.0.0.2:53", second), || (), &mut |e| ended.push(e));
        }
        let gone: Vec<u64> = ended.iter().map(|ended| ended.flow.id).collect();
        assert_eq!(gone, [1], "the others keep the table's 60 seconds");
        assert_eq!(ended[0].reason, EndReason::Idle);
    }

    #[test]
    fn an_idle_flow_ends_and_its_tuple_begins_anew() {
        let mut table = table(8);
        let mut ended = Vec::new();
        table.packet(&packet(1, "10.0.0.1:1", "10.0.0.2:2", 0), || (), &mut |e| ended.push(e));
        table.packet(&packet(2, "10.0.0.1:1", "10.0.0.2:2", 60), || (), &mut |e| ended.push(e));
        assert!(ended.is_empty(), "exactly the timeout is not yet idle");
        table.packet(&packet(3, "10.0.0.1:1", "10.0.0.2:2", 121), || (), &mut |e| ended.push(e));
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].reason, EndReason::Idle);
        assert_eq!(ended[0].flow.packets, [2, 0]);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn idle_flows_leave_without_a_packet_of_their_own() {
        let mut table = table(8);
        let mut ended = Vec::new();
        table.packet(&packet(1, "10.0.0.1:1", "10.0.0.2:2", 0), || (), &mut |e| ended.push(e));
        for second in 1..=62 {
            let number = u64::try_from(second).unwrap() + 1;
            table.packet(&packet(number, "10.0.0.3:1", "10.0.0.2:2", second), || (), &mut |e| ended.push(e));
        }
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].flow.id, 1);
    }

    #[test]
    fn a_full_table_lets_the_unclassified_go_first() {
        let mut table = table(4);
        let mut ended = Vec::new();
        for number in 1..=4_u64 {
            let source = format!("10.0.0.{number}:1");
            let (flow, _) = table
                .packet(&packet(number, &source, "10.0.1.1:2", 0), || (), &mut |e| ended.push(e))
                .unwrap();
            flow.class = if number == 3 { 0 } else { 200 };
        }
        table.packet(&packet(5, "10.0.0.5:1", "10.0.1.1:2", 1), || (), &mut |e| ended.push(e));
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].flow.id, ended[0].reason), (3, EndReason::Evicted));
        assert_eq!((table.len(), table.stats().evicted, table.stats().peak), (4, 1, 4));
    }

    #[test]
    fn flows_survive_a_clock_that_is_set_and_go_idle_as_before() {
        for step in [-31_536_000_i64, 31_536_000] {
            let mut table = table(8);
            let mut ended = Vec::new();
            let now = 100_000_000;
            table.packet(&packet(1, "10.0.0.1:1", "10.0.0.2:2", now), || (), &mut |e| ended.push(e));
            table.shift(step * 1_000_000_000);
            let then = now + step;
            table.packet(&packet(2, "10.0.0.1:1", "10.0.0.2:2", then + 30), || (), &mut |e| ended.push(e));
            assert!(ended.is_empty(), "it is the same flow");
            for second in 31..=92 {
                let at = Timestamp::from_secs_nanos(then + second, 0);
                table.expire(at, &mut |e| ended.push(e));
            }
            assert_eq!(ended.len(), 1, "60 seconds after its last packet it is over");
            assert_eq!(ended[0].flow.last.since(ended[0].flow.start), Duration::from_secs(30));
        }
    }

    #[test]
    fn a_lower_limit_pushes_out_the_unclassified_first() {
        let mut table = table(100);
        let mut ended = Vec::new();
        for number in 1..=50_u64 {
            let source = format!("10.0.0.{number}:1");
            let (flow, _) = table
                .packet(&packet(number, &source, "10.0.1.1:2", 0), || (), &mut |e| ended.push(e))
                .unwrap();
            flow.class = if number % 5 == 0 { 200 } else { 0 };
        }
        table.limit(12, &mut |e| ended.push(e));
        assert_eq!((table.len(), table.stats().evicted), (12, 38));
        let calls = ended.iter().filter(|ended| ended.flow.class == 200).count();
        assert_eq!(calls, 0, "ten calls and two others are left");
    }

    #[test]
    fn finish_gives_back_every_flow_in_order() {
        let mut table = table(100);
        let mut none = |_: Ended<()>| panic!("nothing ends here");
        for number in 1..=50_u64 {
            let source = format!("10.0.0.{number}:1");
            table.packet(&packet(number, &source, "10.0.1.1:2", 0), || (), &mut none);
        }
        let mut ids = Vec::new();
        let mut left = table.finish();
        assert_eq!(left.next_id(), Some(1));
        ids.extend(left.by_ref().map(|ended| ended.flow.id));
        assert_eq!(ids, (1..=50).collect::<Vec<_>>());
        assert_eq!(left.next_id(), None);
    }
}
