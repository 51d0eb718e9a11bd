//! The one place of this stage where a clock is read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// Packets further behind are of another clock.
const MOST_BEHIND: Duration = Duration::from_secs(60);

/// Time since something happened, by a clock that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    /// From now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "packets that do not come cannot tell that time goes on; what they tell is never measured with it"
    )]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been.
    pub(super) fn elapsed(self) -> Duration {
        Self::start().0.saturating_duration_since(self.0)
    }
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "when something was told is no matter of packets")]
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// How far packet time is behind the clock, where the clock has anything to do with it: a buffer holds some seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a packet that is lost has no time of its own; the clock bounds when it came"
)]
pub(super) fn behind(now: Timestamp) -> Duration {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let packets = now.since(Timestamp::default());
    let behind = clock.saturating_sub(packets);
    if behind > MOST_BEHIND { Duration::ZERO } else { behind }
}
