//! Signals that a live run obeys: SIGINT and SIGTERM end it, SIGHUP has it read and open anew, SIGUSR1 has it tell its state.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// What has come since the last look.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    /// Set by Ctrl-C and by SIGTERM; a second one ends the process at once.
    pub(super) stop: Arc<AtomicBool>,
    anew: Arc<AtomicBool>,
    state: Arc<AtomicBool>,
    /// When it was first seen that an end is asked for.
    ending: Cell<Option<Instant>>,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let (anew, state) = (Arc::default(), Arc::default());
        signal_hook::flag::register(SIGHUP, Arc::clone(&anew))?;
        signal_hook::flag::register(SIGUSR1, Arc::clone(&state))?;
        Ok(Self { stop, anew, state, ending: Cell::new(None) })
    }

    /// Looks whether an end is asked for, and notes when that was. To be called again and again.
    pub(super) fn look(&self) {
        if self.ending.get().is_none() && self.stop.load(Ordering::Relaxed) {
            self.ending.set(Some(now()));
        }
    }

    /// True from the look on that saw that an end is asked for.
    pub(super) const fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }

    /// What is left of the time that an end may take, and `least` in any case.
    pub(super) fn left(&self, of: Duration, least: Duration) -> Duration {
        self.look();
        let gone = self.ending.get().map_or(Duration::ZERO, |since| since.elapsed());
        of.saturating_sub(gone).max(least)
    }

    /// True once after each SIGHUP.
    pub(super) fn asks_anew(&self) -> bool {
        self.anew.swap(false, Ordering::Relaxed)
    }

    /// True once after each SIGUSR1.
    pub(super) fn asks_for_state(&self) -> bool {
        self.state.swap(false, Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "an end has to come soon after it was asked for")]
fn now() -> Instant {
    Instant::now()
}
