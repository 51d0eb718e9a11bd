//! Where the packets of a worker come from. In: interfaces. Out: packets, and the interfaces' counters, which go on counting where
//! those of the kernel wrap.

use crate::capture::live::{Live, Stats};
use crate::capture::{CaptureError, Packet};

/// Where the packets of a worker come from.
pub trait Source {
    /// The next packet; none when nothing came for a few milliseconds.
    ///
    /// # Errors
    /// When there will be no more.
    fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError>;

    /// What each interface has counted for this worker so far. Has to be asked for before a counter of 32 bits can have wrapped twice.
    fn counters(&mut self) -> Vec<InterfaceCount>;
}

/// What one interface counted for one worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever reads an interface")]
pub struct InterfaceCount {
    /// Packets that the kernel has put into the buffer.
    pub delivered: u64,
    /// Packets that found the buffer full.
    pub dropped_by_kernel: u64,
    /// Packets that the interface or its driver dropped.
    pub dropped_by_interface: u64,
}

/// Packets of one interface.
#[derive(Debug)]
pub struct Interfaces {
    live: Live,
    last: Stats,
    count: InterfaceCount,
    received: u64,
}

impl Interfaces {
    /// Takes the packets of `live`.
    pub fn new(live: Live) -> Self {
        Self { live, last: Stats::default(), count: InterfaceCount::default(), received: 0 }
    }

    fn add(&mut self, stats: Stats) {
        let grown = |new: u32, old: u32| u64::from(new.wrapping_sub(old));
        let count = &mut self.count;
        self.received = self.received.saturating_add(grown(stats.received, self.last.received));
        let dropped = grown(stats.dropped, self.last.dropped);
        count.dropped_by_kernel = count.dropped_by_kernel.saturating_add(dropped);
        let lost = grown(stats.if_dropped, self.last.if_dropped);
        count.dropped_by_interface = count.dropped_by_interface.saturating_add(lost);
        count.delivered = if COUNTS_DROPPED_AS_RECEIVED {
            self.received.saturating_sub(count.dropped_by_kernel)
        } else {
            self.received
        };
        self.last = stats;
    }
}

/// pcap(3): on Linux the received packets include those that found the buffer full.
const COUNTS_DROPPED_AS_RECEIVED: bool = cfg!(target_os = "linux");

impl Source for Interfaces {
    fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        self.live.next()
    }

    /// An interface that has failed has no news.
    fn counters(&mut self) -> Vec<InterfaceCount> {
        if let Ok(stats) = self.live.stats() {
            self.add(stats);
        }
        vec![self.count]
    }
}
