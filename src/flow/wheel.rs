//! A timer wheel on packet time: which flows may have gone idle by now.
//!
//! One entry per flow, re-armed only when it comes due, so that a packet touches `last_seen` alone.

use crate::time::{Doubt, Timestamp};

/// Buckets of one second each; longer waits are re-armed when they come round.
const BUCKETS: usize = 1024;

/// Names one slot of the table at one point of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
pub(crate) struct Wheel {
    buckets: Vec<Vec<Entry>>,
    /// Whole seconds of the latest packet time; entries before it have been handed out.
    now: Option<i64>,
    /// Of the stamps of packets, and of those of looks.
    doubts: [Doubt; 2],
}

/// What tells the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// A packet of this table.
    Packet,
    /// Whoever looks at all tables: by a packet of any, or by the clock of a live run.
    Look,
}

fn seconds(time: Timestamp) -> i64 {
    time.as_nanos().div_euclid(1_000_000_000)
}

fn bucket_of(second: i64) -> usize {
    usize::try_from(second.rem_euclid(i64::try_from(BUCKETS).unwrap_or(i64::MAX))).unwrap_or(0)
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![Vec::new(); BUCKETS], now: None, doubts: [Doubt::default(); 2] }
    }

    /// Arms `entry` for `due`, which is clamped to the coming turn of the wheel.
    pub(crate) fn arm(&mut self, entry: Entry, due: Timestamp) {
        let now = self.now.unwrap_or_else(|| seconds(due));
        let turn = i64::try_from(BUCKETS).unwrap_or(i64::MAX).saturating_sub(1);
        let second = seconds(due).clamp(now.saturating_add(1), now.saturating_add(turn));
        if let Some(bucket) = self.buckets.get_mut(bucket_of(second)) {
            bucket.push(entry);
        }
    }

    /// Moves packet time forward, collects the entries that came due, and tells what time it is. Time that runs backwards moves nothing; a packet
    /// or look of a time that lies far ahead moves what [`Doubt`] says.
    #[inline]
    pub(crate) fn advance(&mut self, time: Timestamp, clock: Clock, due: &mut Vec<Entry>) -> Timestamp {
        let second = seconds(time);
        match self.now {
            Some(now) if second <= now => self.doubts = [Doubt::default(); 2],
            Some(now) => return self.turn(now, time, clock, due),
            None => self.now = Some(second),
        }
        time
    }

    #[cold]
    fn turn(&mut self, now: i64, time: Timestamp, clock: Clock, due: &mut Vec<Entry>) -> Timestamp {
        let [packet, look] = &mut self.doubts;
        let (own, other) = if clock == Clock::Packet { (packet, look) } else { (look, packet) };
        let time = own.resolve(Timestamp::from_secs_nanos(now, 0), time);
        let second = seconds(time);
        if second <= now {
            return time;
        }
        *other = Doubt::default();
        let steps = second.saturating_sub(now).min(i64::try_from(BUCKETS).unwrap_or(i64::MAX));
        for step in 1..=steps {
            if let Some(bucket) = self.buckets.get_mut(bucket_of(now.saturating_add(step))) {
                due.append(bucket);
            }
        }
        self.now = Some(second);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs_nanos(second, 0)
    }

    #[test]
    fn entry_comes_due_once_and_not_early() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        wheel.advance(at(100), Clock::Packet, &mut due);
        let entry = Entry { slot: 7, generation: 1 };
        wheel.arm(entry, at(130));
        wheel.advance(at(129), Clock::Packet, &mut due);
        assert!(due.is_empty());
        wheel.advance(at(130), Clock::Packet, &mut due);
        assert_eq!(due, [entry]);
        wheel.advance(at(3000), Clock::Packet, &mut due);
        assert_eq!(due.len(), 1);
    }

    #[test]
    fn one_time_far_ahead_moves_nothing_and_a_second_behind_it_does() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        wheel.advance(at(100), Clock::Packet, &mut due);
        wheel.arm(Entry { slot: 0, generation: 0 }, at(130));
        for stray in [1_000_000, 2_000_000, 9_000_000] {
            // Whoever looks has its time from the same packet.
            wheel.advance(at(stray), Clock::Look, &mut due);
            wheel.advance(at(stray), Clock::Packet, &mut due);
            wheel.advance(at(100), Clock::Packet, &mut due);
            assert!(due.is_empty(), "{stray}: what came behind it was of the old time");
        }
        wheel.advance(at(8000), Clock::Packet, &mut due);
        assert!(due.is_empty());
        wheel.advance(at(16_000), Clock::Packet, &mut due);
        assert_eq!(due.len(), 1, "also where hours lie between packets");
    }

    #[test]
    fn a_stray_behind_a_jump_moves_no_further_than_the_jump() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        wheel.advance(at(100), Clock::Packet, &mut due);
        wheel.arm(Entry { slot: 0, generation: 0 }, at(130));
        assert_eq!(wheel.advance(at(8000), Clock::Packet, &mut due), at(100));
        assert_eq!(wheel.advance(at(9_000_000), Clock::Packet, &mut due), at(8000));
        assert_eq!(due.len(), 1);
        wheel.arm(Entry { slot: 1, generation: 0 }, at(8030));
        assert_eq!(wheel.advance(at(8001), Clock::Packet, &mut due), at(8001));
        assert_eq!(due.len(), 1, "what is of the new time is not idle");
        wheel.advance(at(8030), Clock::Packet, &mut due);
        assert_eq!(due.len(), 2);
    }

    #[test]
    fn a_jump_over_many_turns_hands_out_everything() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        wheel.advance(at(0), Clock::Packet, &mut due);
        for slot in 0..500 {
            wheel.arm(Entry { slot, generation: 0 }, at(i64::from(slot) * 3));
        }
        wheel.advance(at(1_000_000_000), Clock::Packet, &mut due);
        wheel.advance(at(1_000_000_000), Clock::Packet, &mut due);
        assert_eq!(due.len(), 500);
    }

    #[test]
    fn time_running_backwards_moves_nothing() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        wheel.advance(at(100), Clock::Packet, &mut due);
        wheel.arm(Entry { slot: 0, generation: 0 }, at(50));
        wheel.advance(at(10), Clock::Packet, &mut due);
        assert!(due.is_empty());
        wheel.advance(at(101), Clock::Packet, &mut due);
        assert_eq!(due.len(), 1, "a wait that is already over fires at the next second");
    }
}
