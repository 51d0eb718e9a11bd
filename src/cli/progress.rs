//! A line on a terminal that says how far a run has come, how fast, and how long it will take. Written by hand:
//! one line redrawn a few times a second needs no package.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use meetscope::capture::Merge;

use super::config::{dumb_terminal, is_stdin};

/// Packets between two looks at the clock.
const PACKETS_PER_LOOK: u64 = 4096;
/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(200);
/// Nothing is drawn for runs shorter than this.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far a run has come.
pub(super) struct Progress {
    started: Instant,
    drawn: Option<Instant>,
    /// Stored bytes of all files; none when one of them is a pipe.
    total: Option<u64>,
    packets: u64,
}

#[expect(clippy::disallowed_methods, reason = "the progress line is about wall time and touches no result")]
fn now() -> Instant {
    Instant::now()
}

impl Progress {
    /// For a run over `files`; none when nobody would see it.
    pub(super) fn new(merge: &Merge) -> Option<Self> {
        if !io::stderr().is_terminal() || dumb_terminal() {
            return None;
        }
        let paths = (0..merge.files()).filter_map(|file| merge.path(file));
        let size = |path: &std::path::Path| {
            if is_stdin(path) {
                return None;
            }
            match path.metadata() {
                Ok(data) => data.is_file().then_some(data.len()),
                // A file that cannot be read takes no time.
                Err(_) => Some(0),
            }
        };
        let total = paths.map(size).try_fold(0_u64, |sum, size| Some(sum.saturating_add(size?)));
        Some(Self { started: now(), drawn: None, total, packets: 0 })
    }

    /// Counts a packet, and draws now and then.
    #[inline]
    pub(super) fn packet(&mut self, merge: &Merge) {
        self.packets = self.packets.wrapping_add(1);
        if self.packets.is_multiple_of(PACKETS_PER_LOOK) {
            self.look(merge);
        }
    }

    fn look(&mut self, merge: &Merge) {
        let time = now();
        let elapsed = time.duration_since(self.started);
        if elapsed < PATIENCE || self.drawn.is_some_and(|drawn| time.duration_since(drawn) < REDRAW) {
            return;
        }
        self.drawn = Some(time);
        let infos = (0..merge.files()).filter_map(|file| merge.info(file));
        let read = infos.map(|info| info.bytes_read).fold(0, u64::saturating_add);
        let line = line(self.packets, read, self.total, elapsed);
        let _ = write!(io::stderr().lock(), "\r\x1b[2K{line}");
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

/// `1,234,567 packets, 412 MB of 1.6 GB (25 %), 310 MB/s, 4 s left`
fn line(packets: u64, read: u64, total: Option<u64>, elapsed: Duration) -> String {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let per_second = |count: u64| count.saturating_mul(1000).checked_div(millis).unwrap_or(0);
    let (rate, packet_rate) = (per_second(read), per_second(packets));
    let speed = format!("{}/s, {packet_rate} packets/s", bytes(rate));
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{packets} packets, {}, {speed}", bytes(read));
    };
    let percent = read.saturating_mul(100).checked_div(total).unwrap_or(0).min(100);
    let left = total.saturating_sub(read).checked_div(rate.max(1)).unwrap_or(0);
    format!("{packets} packets, {} of {} ({percent} %), {speed}, {left} s left", bytes(read), bytes(total))
}

fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    for (unit, name) in UNITS {
        if count >= unit {
            let whole = count.checked_div(unit).unwrap_or(0);
            let tenth = count.checked_rem(unit).and_then(|rest| rest.checked_div((unit / 10).max(1)));
            return format!("{whole}.{} {name}", tenth.unwrap_or(0));
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_rate_and_time_left() {
        let text = line(1000, 500_000_000, Some(1_500_000_000), Duration::from_secs(2));
        assert_eq!(text, "1000 packets, 500.0 MB of 1.5 GB (33 %), 250.0 MB/s, 500 packets/s, 4 s left");
    }

    #[test]
    fn a_pipe_has_no_end_to_tell() {
        let text = line(10, 999, None, Duration::from_secs(1));
        assert_eq!(text, "10 packets, 999 B, 999 B/s, 10 packets/s");
    }

    #[test]
    fn no_time_and_no_bytes_divide_nothing_by_zero() {
        assert!(!line(0, 0, Some(0), Duration::ZERO).is_empty());
        assert!(!line(0, 0, Some(1), Duration::ZERO).is_empty());
    }
}
