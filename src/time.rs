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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_runs_backwards_is_no_time() {
        let early = Timestamp::from_secs_nanos(1, 5);
        let late = Timestamp::from_secs_nanos(2, 0);
        assert_eq!(late.since(early), Duration::from_nanos(999_999_995));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::from_nanos(999_999_995)), late);
    }
}
