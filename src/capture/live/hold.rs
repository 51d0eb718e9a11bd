//! Packets of several sources in the order of their time, each held for a little while.
//!
//! In: packets of numbered lanes, each nearly sorted by itself. Out: the packets of all lanes by time; equal times by lane. A packet
//! is let go when every lane has one, or when it has been held for [`HOLD_BACK`]: what came before it has then been handed out
//! by whatever was slowest. A lane without packets therefore delays the others and stops none. The time that is waited is not the
//! packets' own, which may be set; the caller tells it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::capture::Packet;
use crate::capture::link_type::LinkType;
use crate::time::Timestamp;

/// How long a packet waits for an earlier one of another lane. The kernel hands a block of packets out when it is full or 100
/// ms old (`Options::timeout_ms`); the rest is for a reader that was kept waiting for its processor.
const HOLD_BACK: Duration = Duration::from_millis(200);
/// Bytes after which a chunk is full.
pub const CHUNK: usize = 256 << 10;
/// Emptied chunks that are kept for what comes next.
const SPARE: usize = 16;

/// Packets in a row, with something that each carries along.
#[derive(Debug)]
pub struct Chunk<T> {
    bytes: Vec<u8>,
    items: VecDeque<Item<T>>,
    read_at: Duration,
}

#[derive(Debug)]
struct Item<T> {
    timestamp: Timestamp,
    link_type: LinkType,
    interface: u32,
    original_len: u32,
    start: usize,
    len: usize,
    tag: T,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), items: VecDeque::new(), read_at: Duration::ZERO }
    }
}

impl<T> Chunk<T> {
    /// Bytes beside each packet.
    const BESIDE: usize = size_of::<Item<T>>();

    /// Copies a packet in.
    pub fn push(&mut self, packet: &Packet<'_>, tag: T) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet.data);
        self.items.push_back(Item {
            timestamp: packet.timestamp,
            link_type: packet.link_type,
            interface: packet.interface,
            original_len: packet.original_len,
            start,
            len: packet.data.len(),
            tag,
        });
    }

    /// What its packets carry along.
    pub fn tags(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|item| &item.tag)
    }

    /// Moves the times of its packets by so many nanoseconds: they were stamped by a clock that has been set since.
    pub fn shift(&mut self, nanos: i64) {
        for item in &mut self.items {
            item.timestamp = item.timestamp.moved(nanos);
        }
    }

    /// True without packets.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// True when the next packet belongs into another.
    pub fn is_full(&self) -> bool {
        self.weight() >= CHUNK
    }

    /// Bytes that it takes, with what stands beside each packet.
    fn weight(&self) -> usize {
        self.bytes.len().saturating_add(self.items.len().saturating_mul(Self::BESIDE))
    }

    /// Takes the first packet out.
    fn pop<R>(&mut self, take: impl FnOnce(&Packet<'_>, T) -> R) -> Option<R> {
        let item = self.items.pop_front()?;
        let data = self.bytes.get(item.start..item.start.saturating_add(item.len)).unwrap_or_default();
        let Item { timestamp, link_type, interface, original_len, tag, .. } = item;
        Some(take(&Packet { timestamp, link_type, interface, original_len, data, block: None }, tag))
    }
}

/// The held packets.
#[derive(Debug)]
pub struct Hold<T> {
    lanes: Vec<VecDeque<Chunk<T>>>,
    spare: Vec<Chunk<T>>,
    bytes: usize,
    most: usize,
    early: u64,
}

impl<T> Hold<T> {
    /// Without packets. Beyond `most` bytes, over all lanes, the earliest goes at once, which costs order, not packets.
    pub fn new(lanes: usize, most: usize) -> Self {
        let lanes = (0..lanes).map(|_| VecDeque::new()).collect();
        Self { lanes, spare: Vec::new(), bytes: 0, most, early: 0 }
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    /// Packets that had to go before their time was up, because too many were held.
    pub const fn early(&self) -> u64 {
        self.early
    }

    /// Takes a packet of a lane that was read at `now`.
    pub fn push(&mut self, lane: usize, now: Duration, packet: &Packet<'_>, tag: T) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        if lane.back().is_none_or(|last| last.is_full() || last.read_at != now) {
            let mut chunk = self.spare.pop().unwrap_or_default();
            chunk.read_at = now;
            lane.push_back(chunk);
        }
        if let Some(chunk) = lane.back_mut() {
            chunk.push(packet, tag);
            self.bytes = self.bytes.saturating_add(packet.data.len().saturating_add(Chunk::<T>::BESIDE));
        }
    }

    /// Takes a chunk of a lane that came at `now`.
    pub fn push_chunk(&mut self, lane: usize, now: Duration, mut chunk: Chunk<T>) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        if chunk.is_empty() {
            return;
        }
        chunk.read_at = now;
        self.bytes = self.bytes.saturating_add(chunk.weight());
        lane.push_back(chunk);
    }

    /// Lets go what may go at `now`, in order.
    pub fn release(&mut self, now: Duration, mut take: impl FnMut(&Packet<'_>, T)) {
        while let Some((lane, bound)) = self.next() {
            let is_awaited = self.lanes.iter().any(VecDeque::is_empty);
            let mut went = false;
            while self.may_go(lane, bound, is_awaited, now) {
                went = self.pop(lane, &mut take);
                if !went {
                    break;
                }
            }
            if !went {
                break;
            }
        }
    }

    /// Lets all go, in order.
    pub fn release_all(&mut self, mut take: impl FnMut(&Packet<'_>, T)) {
        while let Some((lane, _)) = self.next() {
            if !self.pop(lane, &mut take) {
                break;
            }
        }
    }

    /// An emptied chunk to be filled.
    pub fn spare(&mut self) -> Chunk<T> {
        self.spare.pop().unwrap_or_default()
    }

    /// The lane whose turn it is, and up to when, by the first packet of the next lane: beyond it the turn is another's.
    fn next(&self) -> Option<(usize, Option<(Timestamp, usize)>)> {
        let (mut first, mut second) = (None, None);
        for (lane, chunks) in self.lanes.iter().enumerate() {
            let Some(item) = chunks.front().and_then(|chunk| chunk.items.front()) else { continue };
            let head = (item.timestamp, lane);
            if first.is_none_or(|first| head < first) {
                second = first.replace(head);
            } else if second.is_none_or(|second| head < second) {
                second = Some(head);
            }
        }
        first.map(|(_, lane)| (lane, second))
    }

    fn may_go(
        &mut self,
        lane: usize,
        bound: Option<(Timestamp, usize)>,
        is_awaited: bool,
        now: Duration,
    ) -> bool {
        let Some(chunk) = self.lanes.get(lane).and_then(VecDeque::front) else { return false };
        let Some(first) = chunk.items.front() else { return false };
        if bound.is_some_and(|bound| (first.timestamp, lane) > bound) {
            return false;
        }
        if !is_awaited || now.saturating_sub(chunk.read_at) >= HOLD_BACK {
            return true;
        }
        let is_over = self.bytes > self.most;
        self.early = self.early.saturating_add(u64::from(is_over));
        is_over
    }

    /// Takes the first packet of a lane; false without one.
    fn pop(&mut self, lane: usize, take: &mut impl FnMut(&Packet<'_>, T)) -> bool {
        let Some(lane) = self.lanes.get_mut(lane) else { return false };
        let Some(chunk) = lane.front_mut() else { return false };
        let len = chunk.pop(|packet, tag| {
            take(packet, tag);
            packet.data.len().saturating_add(Chunk::<T>::BESIDE)
        });
        self.bytes = self.bytes.saturating_sub(len.unwrap_or(0));
        if chunk.is_empty()
            && let Some(mut chunk) = lane.pop_front()
            && self.spare.len() < SPARE
        {
            chunk.bytes.clear();
            self.spare.push(chunk);
        }
        len.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1 << 20;

    fn packet(nanos: i64, data: &[u8]) -> Packet<'_> {
        Packet {
            timestamp: Timestamp::from_nanos(nanos),
            link_type: LinkType::ETHERNET,
            interface: 0,
            original_len: 60,
            data,
            block: None,
        }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn released(hold: &mut Hold<&'static str>, now: Duration) -> Vec<(i64, &'static str, Vec<u8>)> {
        let mut out = Vec::new();
        hold.release(now, |packet, tag| out.push((packet.timestamp.as_nanos(), tag, packet.data.to_vec())));
        out
    }

    fn times(hold: &mut Hold<&'static str>, now: Duration) -> Vec<i64> {
        released(hold, now).into_iter().map(|(time, ..)| time).collect()
    }

    #[test]
    fn two_halves_come_in_the_order_of_time() {
        let mut hold = Hold::new(2, MOST);
        for (lane, time, tag) in [(0, 1, "a"), (0, 4, "b"), (0, 9, "c"), (1, 2, "d"), (1, 4, "e")] {
            hold.push(lane, ms(0), &packet(time, tag.as_bytes()), tag);
        }
        let first = released(&mut hold, ms(1));
        let expected = [(1, "a"), (2, "d"), (4, "b"), (4, "e")];
        assert_eq!(first.len(), 4, "nothing is known of lane 1 after 4");
        for ((time, tag, data), expected) in first.into_iter().zip(expected) {
            assert_eq!((time, tag), expected);
            assert_eq!(data, tag.as_bytes());
        }
        hold.push(1, ms(5), &packet(7, b"f"), "f");
        assert_eq!(times(&mut hold, ms(5)), [7]);
        assert!(times(&mut hold, ms(199)).is_empty());
        assert_eq!(times(&mut hold, ms(200)), [9]);
        assert!(hold.is_empty());
        assert_eq!(hold.bytes, 0);
    }

    #[test]
    fn an_idle_lane_delays_and_does_not_stop() {
        let mut hold = Hold::new(3, MOST);
        for step in 0..1000_u64 {
            let time = i64::try_from(step).unwrap();
            hold.push(0, ms(step), &packet(time, b"0123456789"), "a");
            let out = times(&mut hold, ms(step));
            match step.checked_sub(200) {
                Some(due) => assert_eq!(out, [i64::try_from(due).unwrap()]),
                None => assert!(out.is_empty()),
            }
        }
        assert_eq!(hold.early(), 0);
        let mut rest = 0;
        hold.release_all(|_, _| rest += 1);
        assert_eq!(rest, 200);
        assert!(hold.is_empty());
    }

    #[test]
    fn a_packet_that_is_late_in_its_lane_goes_when_it_is_met() {
        let mut hold = Hold::new(2, MOST);
        for (lane, time) in [(0, 5), (0, 3), (0, 8), (1, 6), (1, 9)] {
            hold.push(lane, ms(0), &packet(time, b"x"), "");
        }
        assert_eq!(times(&mut hold, ms(0)), [5, 3, 6, 8]);
    }

    #[test]
    fn beyond_the_cap_order_is_given_up_and_no_packet() {
        let each = 10 + Chunk::<&str>::BESIDE;
        let mut hold = Hold::new(2, 2 * each + 5);
        for time in 1..=4 {
            hold.push(0, ms(0), &packet(time, b"0123456789"), "");
        }
        assert_eq!(times(&mut hold, ms(0)), [1, 2]);
        assert_eq!((hold.early(), hold.bytes), (2, 2 * each));
    }

    #[test]
    fn chunks_of_others_are_a_lane_like_any() {
        let mut hold = Hold::new(2, MOST);
        hold.push(0, ms(0), &packet(2, b"two"), "own");
        let mut chunk = hold.spare();
        chunk.push(&packet(1, b"one"), "given");
        chunk.push(&packet(3, b"three"), "given");
        hold.push_chunk(1, ms(1), chunk);
        hold.push_chunk(1, ms(1), Chunk::default());
        let mut out = Vec::new();
        hold.release_all(|packet, tag| out.push((packet.data.len(), tag)));
        assert_eq!(out, [(3, "given"), (3, "own"), (5, "given")]);
        hold.push(7, ms(1), &packet(1, b"none"), "no such lane");
        assert!(hold.is_empty());
    }
}
