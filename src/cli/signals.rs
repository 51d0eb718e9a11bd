//! Signals that a run obeys. SIGINT and SIGTERM end it. A live run is had read and open anew by SIGHUP, and tell its state by SIGUSR1; a replay
//! that is kept is ended by SIGHUP too, and leaves SIGUSR1 alone.

use std::cell::Cell;
use std::fs;
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
    /// For a live run.
    pub(super) fn listen() -> io::Result<Self> {
        let signals = Self::to_end()?;
        signal_hook::flag::register(SIGHUP, Arc::clone(&signals.anew))?;
        signal_hook::flag::register(SIGUSR1, Arc::clone(&signals.state))?;
        Ok(signals)
    }

    /// For a replay that can go on later.
    pub(super) fn listen_for_an_end() -> io::Result<Self> {
        let signals = Self::to_end()?;
        // A terminal that is closed may send it twice: the second one is no reason to end at once.
        if !is_ignored(SIGHUP) {
            signal_hook::flag::register(SIGHUP, Arc::clone(&signals.stop))?;
        }
        Ok(signals)
    }

    fn to_end() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Self { stop, anew: Arc::default(), state: Arc::default(), ending: Cell::new(None) })
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

/// Whether the run was begun so that a signal does nothing, as `nohup` does. Where the system does not say, it was not.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default();
    let place = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
    place.and_then(|place| ignored.checked_shr(place)).is_some_and(|rest| rest & 1 == 1)
}

#[expect(clippy::disallowed_methods, reason = "an end has to come soon after it was asked for")]
fn now() -> Instant {
    Instant::now()
}
