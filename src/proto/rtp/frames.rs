//! Frames of a video stream as they arrive: how many, how evenly, and when the picture stood still.
//!
//! Packets with one media timestamp are one frame (RFC 6184 section 5.1 and its like). A frame is complete with the packet that
//! carries the marker, or when a later frame begins. It is frozen time when the next complete frame comes later than the
//! larger of three times the mean interval and the mean plus 150 ms, as `freezeCount` of the W3C's webrtc-stats defines it for frames
//! that are rendered; here for frames that arrive, so a receiver that conceals or waits sees another figure.

use std::time::Duration;

use crate::time::Timestamp;

/// Intervals that the mean is taken over (webrtc-stats: the last 30 rendered frames).
const REMEMBERED: usize = 30;
/// Intervals needed before a freeze can be told.
const NEEDED: usize = 5;
/// What a freeze exceeds the mean by at least, in microseconds.
const EXCESS_US: u32 = 150_000;

/// Time that a rate needs, in seconds: a burst of frames has none.
const RATED_S: f64 = 0.5;
/// Frames that may be under way at once: packets of one that arrive after a later frame began still count.
const OPEN: usize = 12;

/// One frame of which packets may still come.
#[derive(Debug, Clone, Copy)]
struct Open {
    timestamp: u32,
    /// Latest packet of it.
    latest: Timestamp,
    is_complete: bool,
}

/// Frames of one stream, updated packet by packet. The newest frame and what changes with each frame stand side by side: each line of
/// a cache that is touched is waited for where there are many streams.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Frames {
    intervals_us: [u32; REMEMBERED],
    /// In the order of their timestamps, the newest last.
    open: [Option<Open>; OPEN],
    marked: bool,
    next: u8,
    filled: u8,
    complete: u32,
    previous: Timestamp,
    sum_us: u64,
    first: Timestamp,
    freezes: u32,
    longest_us: u32,
    frozen_us: u64,
}

impl Frames {
    /// Begins with the first packet. The second value is the time of a frame that it completed.
    pub fn new(timestamp: u32, marker: bool, time: Timestamp) -> (Self, Option<Timestamp>) {
        let mut frames = Self {
            open: [None; OPEN],
            marked: false,
            complete: 0,
            first: time,
            previous: time,
            intervals_us: [0; REMEMBERED],
            next: 0,
            filled: 0,
            sum_us: 0,
            freezes: 0,
            frozen_us: 0,
            longest_us: 0,
        };
        let [_, own] = frames.packet(timestamp, marker, time);
        (frames, own)
    }

    /// Takes the next packet; returns the times of the frames that it completed: the one before, and its own.
    #[inline]
    pub fn packet(&mut self, timestamp: u32, marker: bool, time: Timestamp) -> [Option<Timestamp>; 2] {
        self.marked |= marker;
        let newest = self.open.last().copied().flatten();
        let mut before = None;
        match newest {
            Some(frame) if frame.timestamp == timestamp => {}
            Some(frame) if timestamp.wrapping_sub(frame.timestamp).cast_signed() < 0 => {
                return [None, self.late(timestamp, marker, time)];
            }
            _ => before = self.begin(timestamp, time),
        }
        let Some(Some(frame)) = self.open.last_mut() else { return [before, None] };
        frame.latest = time;
        if !marker || frame.is_complete {
            return [before, None];
        }
        frame.is_complete = true;
        self.completed(time);
        [before, Some(time)]
    }

    /// A frame newer than all others. One that leaves, or in a stream without markers the one before, is complete with
    /// what came of it.
    fn begin(&mut self, timestamp: u32, time: Timestamp) -> Option<Timestamp> {
        let place = if self.marked { 0 } else { OPEN.saturating_sub(1) };
        let mut done = None;
        if let Some(Some(frame)) = self.open.get_mut(place)
            && !frame.is_complete
        {
            frame.is_complete = true;
            done = Some(frame.latest);
        }
        if let Some(latest) = done {
            self.completed(latest);
        }
        self.open.rotate_left(1);
        if let Some(slot) = self.open.last_mut() {
            *slot = Some(Open { timestamp, latest: time, is_complete: false });
        }
        done
    }

    /// A packet of an earlier frame. One that had not been seen at all takes its place among the others.
    fn late(&mut self, timestamp: u32, marker: bool, time: Timestamp) -> Option<Timestamp> {
        let known = self.open.iter().position(|slot| slot.is_some_and(|frame| frame.timestamp == timestamp));
        let place = match known {
            Some(place) => place,
            None => self.insert(timestamp, time)?,
        };
        let frame = self.open.get_mut(place)?.as_mut()?;
        frame.latest = time;
        // In a stream without markers it was complete when a later one began.
        if frame.is_complete || self.marked && !marker {
            return None;
        }
        frame.is_complete = true;
        self.completed(time);
        Some(time)
    }

    fn insert(&mut self, timestamp: u32, time: Timestamp) -> Option<usize> {
        let older = |slot: &Option<Open>| {
            slot.is_none_or(|frame| frame.timestamp.wrapping_sub(timestamp).cast_signed() < 0)
        };
        // Older than everything that is remembered: nobody knows whether it was counted.
        let place = self.open.iter().rposition(older)?;
        // What makes room: the oldest, whose packets came before all of these.
        let kept = self.open.first().copied().flatten().filter(|frame| !frame.is_complete);
        self.open.get_mut(..=place)?.rotate_left(1);
        *self.open.get_mut(place)? = Some(Open { timestamp, latest: time, is_complete: false });
        if let Some(frame) = kept {
            self.completed(frame.latest);
        }
        Some(place)
    }

    fn completed(&mut self, time: Timestamp) {
        self.complete = self.complete.saturating_add(1);
        if self.complete == 1 {
            self.first = time;
            self.previous = time;
            return;
        }
        let interval = u32::try_from(time.since(self.previous).as_micros()).unwrap_or(u32::MAX);
        self.previous = self.previous.max(time);
        if let Some(mean) = self.mean_us()
            && interval > mean.saturating_mul(3).max(mean.saturating_add(EXCESS_US))
        {
            self.freezes = self.freezes.saturating_add(1);
            self.frozen_us = self.frozen_us.saturating_add(u64::from(interval));
            self.longest_us = self.longest_us.max(interval);
        }
        self.remember(interval);
    }

    fn mean_us(&self) -> Option<u32> {
        let count = u64::from(self.filled);
        (usize::from(self.filled) >= NEEDED)
            .then(|| u32::try_from(self.sum_us.checked_div(count).unwrap_or(0)).unwrap_or(u32::MAX))
    }

    fn remember(&mut self, interval: u32) {
        if let Some(slot) = self.intervals_us.get_mut(usize::from(self.next)) {
            let old = std::mem::replace(slot, interval);
            self.sum_us = self.sum_us.saturating_sub(u64::from(old)).saturating_add(u64::from(interval));
        }
        if usize::from(self.filled) < REMEMBERED {
            self.filled = self.filled.saturating_add(1);
        }
        self.next = self.next.saturating_add(1);
        if usize::from(self.next) >= REMEMBERED {
            self.next = 0;
        }
    }

    /// Frames completed.
    pub const fn complete(&self) -> u32 {
        self.complete
    }

    /// Frames per second between the first and the latest complete one; `None` before the second.
    pub fn per_second(&self) -> Option<f64> {
        let seconds = self.previous.since(self.first).as_secs_f64();
        (self.complete > 1 && seconds >= RATED_S)
            .then(|| f64::from(self.complete.saturating_sub(1)) / seconds)
    }

    /// How often the picture stood still.
    pub const fn freezes(&self) -> u32 {
        self.freezes
    }

    /// How long it stood still in all.
    pub const fn frozen(&self) -> Duration {
        Duration::from_micros(self.frozen_us)
    }

    /// The longest of these.
    pub fn longest_freeze(&self) -> Duration {
        Duration::from_micros(u64::from(self.longest_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + millis * 1_000_000)
    }

    /// Frames of two packets, the second one 2 ms later and with the marker if `marked`.
    fn stream(times: &[i64], marked: bool) -> Frames {
        let (mut frames, _) = Frames::new(0, false, at(times[0]));
        for (index, time) in times.iter().enumerate() {
            let timestamp = u32::try_from(index * 3000).unwrap();
            frames.packet(timestamp, false, at(*time));
            frames.packet(timestamp, marked, at(time + 2));
        }
        frames
    }

    #[test]
    fn counts_frames_by_marker_and_without() {
        let times: Vec<i64> = (0..301).map(|n| n * 100 / 3).collect();
        assert_eq!(stream(&times, true).complete(), 301);
        assert!((stream(&times, true).per_second().unwrap() - 30.0).abs() < 0.01);
        // Without markers a frame ends when the next begins: the last one is still open.
        assert_eq!(stream(&times, false).complete(), 300);
    }

    #[test]
    fn frames_that_overtake_each_other_are_each_counted_once() {
        let (mut frames, _) = Frames::new(0, true, at(0));
        // Each pair of frames arrives in the other order, the earlier one's marker before its first packet.
        for pair in 0..100_u32 {
            let time = i64::from(pair) * 66;
            frames.packet(pair * 6000 + 6000, true, at(time + 33));
            frames.packet(pair * 6000 + 3000, true, at(time + 40));
            frames.packet(pair * 6000 + 3000, false, at(time + 41));
        }
        assert_eq!(frames.complete(), 201);
        // A marker that never comes: complete once the frame is too old for more.
        let (mut frames, _) = Frames::new(0, true, at(0));
        for number in 1..100_u32 {
            frames.packet(number * 3000, number != 50, at(i64::from(number) * 33));
        }
        assert_eq!(frames.complete(), 100);
    }

    #[test]
    fn a_pause_above_both_bounds_is_a_freeze() {
        // 30 fps: mean 33 ms, so the bound is 183 ms.
        let mut times: Vec<i64> = (0..60).map(|n| n * 33).collect();
        let still: Vec<i64> = times.iter().map(|time| time + times[59] + 180).collect();
        let frozen: Vec<i64> = times.iter().map(|time| time + times[59] + 400).collect();
        let mut smooth = times.clone();
        smooth.extend(still);
        assert_eq!(stream(&smooth, true).freezes(), 0);
        times.extend(frozen);
        let frames = stream(&times, true);
        assert_eq!((frames.freezes(), frames.frozen()), (1, Duration::from_millis(400)));
        assert_eq!(frames.longest_freeze(), Duration::from_millis(400));
    }

    #[test]
    fn slow_video_is_not_frozen() {
        let times: Vec<i64> = (0..50).map(|n| n * 200).collect();
        assert_eq!(stream(&times, true).freezes(), 0);
    }

    #[test]
    fn late_packets_of_old_frames_do_nothing() {
        let mut frames = stream(&[0, 33, 66, 99], true);
        assert_eq!(frames.packet(3000, true, at(150)), [None, None]);
        assert_eq!(frames.complete(), 4);
    }
}
