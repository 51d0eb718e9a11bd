//! The one place of this stage where a clock is read.

use std::time::{Duration, Instant};

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
