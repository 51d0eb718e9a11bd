//! Counters of a socket and its interface: libpcap's are 32 bits wide and wrap, these do not.

/// Counters of one socket on one interface since its opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Packets that the kernel took for the socket, those that it then dropped among them.
    pub received: u64,
    /// Of these: packets that found the kernel's buffer full.
    pub dropped: u64,
    /// Packets that were read.
    pub read: u64,
    /// Packets read that are longer than the interface's MTU lets one be: several that were put together on their way.
    pub oversized: u64,
    /// Packets that the interface or its driver dropped. The interface's, not the socket's: sockets on one interface tell the same.
    pub if_dropped: u64,
}

impl Counters {
    /// Packets that lie in the kernel's buffer or were read from it.
    pub const fn delivered(&self) -> u64 {
        self.received.saturating_sub(self.dropped)
    }
}

/// libpcap's counters as they were when last read, and those of the system.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last {
    received: u32,
    dropped: u32,
    if_dropped: u32,
    /// The system's own drop counter; it may be set back, for one when a driver is loaded again.
    system: Option<u64>,
}

impl Last {
    /// At the opening: what was dropped before is not counted.
    pub(super) const fn at_opening(system: Option<u64>) -> Self {
        Self { received: 0, dropped: 0, if_dropped: 0, system }
    }

    /// Adds what has come since the last call, which must not be 2^32 packets ago.
    pub(super) fn add(&mut self, stat: pcap::Stat, system: Option<u64>, counters: &mut Counters) {
        let grown = |new: u32, old: u32| u64::from(new.wrapping_sub(old));
        let dropped = grown(stat.dropped, self.dropped);
        let received = grown(stat.received, self.received);
        let received = if COUNTS_DROPPED_AS_RECEIVED { received } else { received.saturating_add(dropped) };
        counters.received = counters.received.saturating_add(received);
        counters.dropped = counters.dropped.saturating_add(dropped);
        let lost = match (system, self.system) {
            (Some(new), Some(old)) => new.saturating_sub(old),
            // Where the system's own are not to be had: on Linux libpcap reads the same files.
            _ if cfg!(target_os = "linux") => 0,
            _ => grown(stat.if_dropped, self.if_dropped),
        };
        counters.if_dropped = counters.if_dropped.saturating_add(lost);
        *self = Self {
            received: stat.received,
            dropped: stat.dropped,
            if_dropped: stat.if_dropped,
            system: system.or(self.system),
        };
    }
}

/// pcap(3): on Linux the received packets include those that found the buffer full.
const COUNTS_DROPPED_AS_RECEIVED: bool = cfg!(target_os = "linux");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_where_32_bits_end() {
        let mut counters = Counters::default();
        let mut last = Last::at_opening(Some(10));
        let stat = |received, dropped| pcap::Stat { received, dropped, if_dropped: 0 };
        last.add(stat(u32::MAX, 5), Some(13), &mut counters);
        last.add(stat(2, 9), Some(1), &mut counters);
        let extra = if COUNTS_DROPPED_AS_RECEIVED { 0 } else { 9 };
        assert_eq!(counters.received, u64::from(u32::MAX) + 3 + extra);
        assert_eq!(
            (counters.dropped, counters.if_dropped),
            (9, 3),
            "a counter that was set back counts from there"
        );
        last.add(stat(2, 9), Some(2), &mut counters);
        assert_eq!(counters.if_dropped, 4);
        assert_eq!(counters.delivered(), u64::from(u32::MAX) + 3 + extra - 9);
    }
}
