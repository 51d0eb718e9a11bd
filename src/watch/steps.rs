//! Steps of the clock that stamps packets. In: times of packets, beside a clock that nobody sets. Out: by how much it was set.
//!
//! Workers share one such clock, and each sees a step with the first packet that it reads itself behind it. What one has seen holds for all:
//! who has no packet of its own, or gets all of them from others, would else go on in a time that is over. What was stamped before and comes
//! late, from another worker or out of the kernel's buffer, is moved to the time of now.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::clock::Stopwatch;
use crate::time::Timestamp;

/// Packet time that jumps by more than this from one packet to the next was set, in either direction.
const STEP: Duration = Duration::from_secs(60);
/// How long after a step packets may come that were stamped before it: several times what buffers hold.
const LATE: Duration = Duration::from_secs(10);

/// What the time of a packet says about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    InTime,
    /// It was stamped before the last step, which was by so many nanoseconds.
    Late(i64),
    /// The clock was set, by so many nanoseconds.
    Set(i64),
}

/// What a worker knows of the clock.
#[derive(Debug)]
pub(super) struct Steps {
    /// By how much it was set since the run began, in nanoseconds.
    offset: i64,
    /// The same as the worker has it that saw it last.
    common: Arc<AtomicI64>,
    count: u64,
    last: Option<(i64, Stopwatch)>,
}

impl Steps {
    /// For so many workers.
    pub(super) fn shared(workers: usize) -> impl Iterator<Item = Self> {
        let common = Arc::new(AtomicI64::new(0));
        (0..workers).map(move |_| Self { offset: 0, common: Arc::clone(&common), count: 0, last: None })
    }

    /// How often it was set.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// By how much it was set since the run began.
    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }

    /// What a packet says that is stamped `time` and comes after one of `latest`; `since` is the time since packets were looked at
    /// last. Of a silence the other clock knows.
    #[inline]
    pub(super) fn see(&self, latest: Timestamp, time: Timestamp, since: Stopwatch) -> Seen {
        if is_step(between(latest, time)) { self.judge(latest, time, since) } else { Seen::InTime }
    }

    #[cold]
    fn judge(&self, latest: Timestamp, time: Timestamp, since: Stopwatch) -> Seen {
        let by = between(latest.plus(since.elapsed()), time);
        if !is_step(by) {
            return Seen::InTime;
        }
        match self.last {
            Some((last, when)) if when.elapsed() < LATE && !is_step(by.saturating_add(last)) => {
                Seen::Late(last)
            }
            _ => Seen::Set(by),
        }
    }

    /// By how much the clock was set as another worker has seen and this one has not.
    #[inline]
    pub(super) fn missed(&self) -> Option<i64> {
        self.set_since(self.common.load(Ordering::Relaxed)).map(i64::wrapping_neg)
    }

    /// By how much the clock was set since its offset was `earlier`.
    pub(super) fn set_since(&self, earlier: i64) -> Option<i64> {
        let by = self.offset.saturating_sub(earlier);
        is_step(by).then_some(by)
    }

    /// Notes a step, for all.
    pub(super) fn note(&mut self, by: i64) {
        self.count = self.count.saturating_add(1);
        self.last = Some((by, Stopwatch::start()));
        self.offset = self.offset.saturating_add(by);
        match self.missed() {
            Some(_) => self.common.store(self.offset, Ordering::Relaxed),
            // Each worker measures a step a little otherwise; with the measure of the first, differences do not add up.
            None => self.offset = self.common.load(Ordering::Relaxed),
        }
    }
}

const fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_nanos().saturating_sub(from.as_nanos())
}

fn is_step(nanos: i64) -> bool {
    Duration::from_nanos(nanos.unsigned_abs()) > STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(1_790_000_000_000_000_000 + nanos)
    }

    #[test]
    fn what_was_stamped_before_a_step_is_late_and_no_step_back() {
        let mut one = Steps::shared(1).next().unwrap();
        let since = Stopwatch::start();
        assert_eq!(one.see(at(0), at(59_000_000_000), since), Seen::InTime);
        let Seen::Set(by) = one.see(at(0), at(HOUR), since) else { panic!("an hour is a step") };
        one.note(by);
        let Seen::Late(by) = one.see(at(HOUR), at(10), since) else { panic!("it was stamped before") };
        assert!(by.abs_diff(HOUR) < 1_000_000_000, "{by}");
        assert!(matches!(one.see(at(HOUR), at(-HOUR), since), Seen::Set(_)), "that is another step");
        assert_eq!(one.count(), 1);
    }

    #[test]
    fn a_step_that_one_has_seen_is_one_for_all_and_counts_once() {
        let mut workers = Steps::shared(3);
        let [mut one, mut two, mut three] = [(); 3].map(|()| workers.next().unwrap());
        one.note(HOUR);
        // Measured by itself, a little otherwise.
        two.note(HOUR + 5);
        assert_eq!((one.missed(), two.missed(), three.missed()), (None, None, Some(HOUR)));
        three.note(HOUR);
        assert_eq!((three.missed(), two.offset()), (None, HOUR));
        three.note(-3 * HOUR);
        assert_eq!((one.missed(), two.missed()), (Some(-3 * HOUR), Some(-3 * HOUR)));
        assert_eq!(three.set_since(HOUR), Some(-3 * HOUR));
        assert_eq!(three.set_since(-2 * HOUR + 5), None);
        assert_eq!([&one, &two, &three].map(Steps::count), [1, 1, 2]);
    }
}
