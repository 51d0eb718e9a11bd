//! Packet time. There is no clock in the library: every timestamp comes from a capture.

use std::time::Duration;

/// Nanoseconds since 1970-01-01T00:00:00Z, as the capture gives them.
///
/// Range: the years 1677 to 2262. A capture may hold wrong or decreasing times; nothing here assumes otherwise.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds and a fraction in nanoseconds; clamps at the ends of the range.
    pub const fn from_secs_nanos(secs: i64, nanos: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when the clock ran backwards.
    pub const fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(if nanos < 0 { 0 } else { nanos.unsigned_abs() })
    }

    /// `self` moved by so many nanoseconds, back where that is negative; clamps at the ends of the range.
    #[must_use]
    pub const fn moved(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// `self` moved forward; clamps at the end of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Time beyond which one stamp alone moves no time: it may be wrong.
const FAR: Duration = Duration::from_secs(3600);

/// Tells from stamps what time it is. One that lies more than an hour ahead has to be followed by another such: time then moves to the
/// lesser of the two, and further with the next. So a wrong stamp moves nothing, neither alone nor behind a right one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Doubt {
    /// The latest stamp, where it lies far ahead.
    ahead: Option<Timestamp>,
}

impl Doubt {
    /// What time it is where it was `now` and then came `stamp`; earlier where time ran backwards.
    #[inline]
    pub fn resolve(&mut self, now: Timestamp, stamp: Timestamp) -> Timestamp {
        if stamp.since(now) <= FAR {
            self.ahead = None;
            return stamp;
        }
        let Some(before) = self.ahead.replace(stamp) else { return now };
        let sure = stamp.min(before);
        if stamp.since(sure) > FAR {
            return sure;
        }
        self.ahead = None;
        stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stamp_far_ahead_moves_no_time() {
        let at = |second: i64| Timestamp::from_secs_nanos(second, 0);
        let times = |stamps: &[i64]| {
            let (mut doubt, mut now) = (Doubt::default(), at(0));
            let mut see = |stamp: &i64| {
                now = doubt.resolve(now, at(*stamp));
                now.as_nanos() / 1_000_000_000
            };
            stamps.iter().map(&mut see).collect::<Vec<_>>()
        };
        assert_eq!(times(&[3600, 7200, 10]), [3600, 7200, 10]);
        assert_eq!(times(&[9000, 1, 9000, 2]), [0, 1, 1, 2], "alone");
        assert_eq!(times(&[9000, 9001, 9002]), [0, 9001, 9002], "two say so");
        assert_eq!(times(&[9000, 999_999, 9001]), [0, 9000, 9001], "behind a right one");
        assert_eq!(times(&[999_999, 9000, 9001]), [0, 9000, 9001], "before a right one");
        assert_eq!(times(&[9000, 18_000, 27_000]), [0, 9000, 18_000], "where hours lie between packets");
    }

    #[test]
    fn time_that_runs_backwards_is_no_time() {
        let early = Timestamp::from_secs_nanos(1, 5);
        let late = Timestamp::from_secs_nanos(2, 0);
        assert_eq!(late.since(early), Duration::from_nanos(999_999_995));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::from_nanos(999_999_995)), late);
    }
}
