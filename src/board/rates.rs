//! Rates over time. In: the counters of every second. Out: points a second for some minutes, points a minute for a day.

use std::collections::VecDeque;

use crate::report::record::{PacketStats, StatsRecord};

/// Points of a second: ten minutes.
const SECONDS: usize = 600;
/// Points of a minute: a day.
const MINUTES: usize = 1_440;

/// What happened in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point {
    /// Uptime at its end, in seconds.
    pub uptime_s: u64,
    /// Seconds that it covers: more than its step where counters came late.
    pub seconds: u64,
    /// Packets seen, with those that were lost.
    pub packets: u64,
    /// Bytes captured.
    pub bytes: u64,
    /// Packets lost by the kernel.
    pub dropped_by_kernel: u64,
    /// Packets lost by an interface.
    pub dropped_by_interface: u64,
    /// Packets lost by this program.
    pub dropped_by_us: u64,
    /// Sessions that went on at its end.
    pub sessions: u64,
}

impl Point {
    /// All packets that were lost.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped_by_kernel.saturating_add(self.dropped_by_interface).saturating_add(self.dropped_by_us)
    }

    fn add(&mut self, other: &Self) {
        self.uptime_s = other.uptime_s;
        self.sessions = other.sessions;
        for (sum, more) in [
            (&mut self.seconds, other.seconds),
            (&mut self.packets, other.packets),
            (&mut self.bytes, other.bytes),
            (&mut self.dropped_by_kernel, other.dropped_by_kernel),
            (&mut self.dropped_by_interface, other.dropped_by_interface),
            (&mut self.dropped_by_us, other.dropped_by_us),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Rates over the last minutes and the last day, the oldest first.
#[derive(Debug, Default)]
pub struct Rates {
    seconds: VecDeque<Point>,
    minutes: VecDeque<Point>,
    last: Option<(u64, PacketStats, u64)>,
}

impl Rates {
    /// Counters only grow; what one run counted less than before counts as nothing.
    pub(super) fn add(&mut self, stats: &StatsRecord, uptime_s: u64, sessions: usize) {
        let now = (uptime_s, stats.packets, stats.bytes_captured);
        let Some((at, before, bytes)) = self.last else {
            self.last = Some(now);
            return;
        };
        if uptime_s <= at {
            return;
        }
        self.last = Some(now);
        let packets = stats.packets;
        let point = Point {
            uptime_s,
            seconds: uptime_s.saturating_sub(at),
            packets: packets.seen.saturating_sub(before.seen),
            bytes: stats.bytes_captured.saturating_sub(bytes),
            dropped_by_kernel: packets.dropped_by_kernel.saturating_sub(before.dropped_by_kernel),
            dropped_by_interface: packets.dropped_by_interface.saturating_sub(before.dropped_by_interface),
            dropped_by_us: packets.dropped_by_us.saturating_sub(before.dropped_by_us),
            sessions: u64::try_from(sessions).unwrap_or(u64::MAX),
        };
        push(&mut self.seconds, point, SECONDS);
        let minute = |uptime: u64| uptime.saturating_sub(1).div_euclid(60);
        match self.minutes.back_mut() {
            Some(last) if minute(last.uptime_s) == minute(uptime_s) => last.add(&point),
            _ => push(&mut self.minutes, point, MINUTES),
        }
    }

    /// A point for each second, ten minutes of them.
    pub fn seconds(&self) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator {
        self.seconds.iter()
    }

    /// A point for each minute, a day of them; the last one grows.
    pub fn minutes(&self) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator {
        self.minutes.iter()
    }

    /// The points of seconds after an uptime.
    pub fn after(&self, uptime_s: u64) -> impl Iterator<Item = &Point> {
        let begin = self.seconds.partition_point(|point| point.uptime_s <= uptime_s);
        self.seconds.range(begin..)
    }

    /// The latest second.
    #[must_use]
    pub fn latest(&self) -> Option<&Point> {
        self.seconds.back()
    }
}

fn push(points: &mut VecDeque<Point>, point: Point, most: usize) {
    if points.len() >= most {
        points.pop_front();
    }
    points.push_back(point);
}
