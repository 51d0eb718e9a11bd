//! Which packets of a stream are missing, and how close together: bursts and gaps as RFC 3611 section 4.7.2 means them.
//!
//! A burst begins and ends with a lost packet and holds fewer than [`GMIN`] packets in a row that arrived; a loss with
//! no other so near belongs to the gap around it. Numbers are judged once they are 128 behind the newest, when
//! nothing late can fill them any more.

/// Packets that must arrive in a row to end a burst (RFC 3611 section 4.7.2 recommends 16).
pub const GMIN: u32 = 16;
/// Numbers that may still be filled by late packets.
const WINDOW: u32 = 128;

/// Losses of one stream, updated packet by packet.
#[derive(Debug, Clone, Copy)]
pub struct Runs {
    /// Bit n: number `highest - n` was seen.
    seen: u128,
    /// Numbers in `seen`.
    held: u32,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    judged: u32,
    lost: u32,
    /// Arrived in a row since the latest loss.
    arrived: u32,
    /// Lost in a row just now.
    running: u32,
    runs: u32,
    longest: u32,
    /// The burst, or lone loss, that is not yet closed: packets lost, and packets in all up to the latest loss.
    open: (u32, u32),
    bursts: u32,
    burst_lost: u32,
    burst_packets: u32,
}

/// Losses of a stream, summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// Numbers that were never seen.
    pub lost: u32,
    /// Unbroken rows of lost packets.
    pub runs: u32,
    /// Packets in the longest of them.
    pub longest_run: u32,
    /// Bursts.
    pub bursts: u32,
    /// Packets lost within bursts.
    pub burst_lost: u32,
    /// Packets within bursts, lost or not.
    pub burst_packets: u32,
    /// Packets outside of bursts, lost or not.
    pub gap_packets: u32,
}

impl Losses {
    /// Lost packets of those within bursts, in percent (burst density); `None` without a burst.
    pub fn burst_loss_percent(&self) -> Option<f64> {
        percent(self.burst_lost, self.burst_packets)
    }

    /// Lost packets of those outside of bursts, in percent (gap density).
    pub fn gap_loss_percent(&self) -> Option<f64> {
        percent(self.lost.saturating_sub(self.burst_lost), self.gap_packets)
    }

    /// Packets of a burst, on average.
    pub fn mean_burst_packets(&self) -> Option<f64> {
        (self.bursts > 0).then(|| f64::from(self.burst_packets) / f64::from(self.bursts))
    }

    /// Burst ratio of ITU-T G.107: the mean length of a row of lost packets over what it were if losses fell at random.
    pub fn burst_ratio(&self) -> Option<f64> {
        let all = self.burst_packets.saturating_add(self.gap_packets);
        if self.runs == 0 || all == 0 {
            return None;
        }
        let mean = f64::from(self.lost) / f64::from(self.runs);
        let share = f64::from(self.lost) / f64::from(all);
        // Rows of random loss follow a geometric distribution with this mean.
        Some((mean * (1.0 - share)).max(1.0))
    }
}

fn percent(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| 100.0 * f64::from(part) / f64::from(whole))
}

impl Default for Runs {
    fn default() -> Self {
        Self { seen: 1, held: 1, counts: Counts::default() }
    }
}

impl Runs {
    /// Begins with the first packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet whose number is `ahead` above the highest so far.
    #[inline]
    pub fn advance(&mut self, ahead: u32) {
        for _ in 0..ahead {
            if self.held == WINDOW {
                self.counts.judge(self.seen >> WINDOW.saturating_sub(1) != 0);
            } else {
                self.held = self.held.saturating_add(1);
            }
            self.seen <<= 1_u32;
        }
        self.seen |= 1;
    }

    /// A packet whose number is `behind` below the highest.
    #[inline]
    pub fn late(&mut self, behind: u32) {
        if behind < self.held {
            self.seen |= 1_u128.checked_shl(behind).unwrap_or(0);
        }
    }

    /// The numbers begin anew, with two packets.
    pub fn restart(&mut self) {
        self.counts = self.flushed();
        self.counts.judge(true);
        (self.seen, self.held) = (1, 1);
    }

    fn flushed(&self) -> Counts {
        let mut counts = self.counts;
        for place in (0..self.held).rev() {
            counts.judge(self.seen.checked_shr(place).unwrap_or(0) & 1 != 0);
        }
        counts
    }

    /// The sums so far.
    pub fn losses(&self) -> Losses {
        let mut counts = self.flushed();
        counts.close();
        Losses {
            lost: counts.lost,
            runs: counts.runs,
            longest_run: counts.longest,
            bursts: counts.bursts,
            burst_lost: counts.burst_lost,
            burst_packets: counts.burst_packets,
            gap_packets: counts.judged.saturating_sub(counts.burst_packets),
        }
    }
}

impl Counts {
    const fn judge(&mut self, arrived: bool) {
        self.judged = self.judged.saturating_add(1);
        if arrived {
            self.arrived = self.arrived.saturating_add(1);
            self.running = 0;
            return;
        }
        self.lost = self.lost.saturating_add(1);
        self.running = self.running.saturating_add(1);
        if self.running == 1 {
            self.runs = self.runs.saturating_add(1);
        }
        if self.running > self.longest {
            self.longest = self.running;
        }
        let (lost, packets) = self.open;
        if lost > 0 && self.arrived < GMIN {
            self.open = (lost.saturating_add(1), packets.saturating_add(self.arrived).saturating_add(1));
        } else {
            self.close();
            self.open = (1, 1);
        }
        self.arrived = 0;
    }

    const fn close(&mut self) {
        let (lost, packets) = self.open;
        if lost > 1 {
            self.bursts = self.bursts.saturating_add(1);
            self.burst_lost = self.burst_lost.saturating_add(lost);
            self.burst_packets = self.burst_packets.saturating_add(packets);
        }
        self.open = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream in which `x` is lost and `.` arrived; the first packet must arrive.
    fn losses(pattern: &str) -> Losses {
        let mut runs = Runs::new();
        let mut ahead = 0;
        for packet in pattern.chars().skip(1) {
            ahead += 1;
            if packet == '.' {
                runs.advance(ahead);
                ahead = 0;
            }
        }
        runs.losses()
    }

    #[test]
    fn a_lone_loss_belongs_to_the_gap() {
        let found = losses(&format!("{}x{}", ".".repeat(20), ".".repeat(20)));
        assert_eq!((found.lost, found.bursts, found.runs, found.gap_packets), (1, 0, 1, 41));
        assert_eq!(found.burst_loss_percent(), None);
        assert!((found.gap_loss_percent().unwrap() - 100.0 / 41.0).abs() < 1e-9);
        assert!((found.burst_ratio().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn losses_nearer_than_gmin_are_one_burst() {
        // 15 between them: one burst of 17. 16 between them: two lone losses.
        let near = losses(&format!("{}x{}x{}", ".".repeat(30), ".".repeat(15), ".".repeat(30)));
        assert_eq!((near.bursts, near.burst_packets, near.burst_lost), (1, 17, 2));
        let far = losses(&format!("{}x{}x{}", ".".repeat(30), ".".repeat(16), ".".repeat(30)));
        assert_eq!((far.bursts, far.lost), (0, 2));
    }

    #[test]
    fn rows_of_losses_raise_the_burst_ratio() {
        let pattern = format!("{}xxxx{}", ".".repeat(48), ".".repeat(48)).repeat(5);
        let found = losses(&pattern);
        assert_eq!((found.lost, found.runs, found.longest_run, found.bursts), (20, 5, 4, 5));
        assert!((found.burst_ratio().unwrap() - 4.0 * 0.96).abs() < 1e-9);
        assert_eq!(found.mean_burst_packets(), Some(4.0));
        assert_eq!(found.burst_loss_percent(), Some(100.0));
    }

    #[test]
    fn late_packets_are_no_loss_and_restarts_lose_nothing() {
        let mut runs = Runs::new();
        runs.advance(1);
        runs.advance(3);
        runs.late(1);
        runs.late(2);
        assert_eq!(runs.losses().lost, 0);
        runs.restart();
        for _ in 0..500 {
            runs.advance(1);
        }
        let found = runs.losses();
        assert_eq!((found.lost, found.gap_packets), (0, 5 + 2 + 500));
    }
}
