//! Where the packets of a worker come from. In: interfaces. Out: packets, and the interfaces' counters, which go on counting where
//! those of the kernel wrap.

use std::time::Duration;

use crate::capture::live::{Live, wait};
use crate::capture::{CaptureError, Packet};

/// Where the packets of a worker come from: one or several lanes, each with packets in the order of time.
pub trait Source {
    /// Hands out packets that are there, of each lane at most `most`, with the number of their lane; how many. Does not wait.
    ///
    /// # Errors
    /// When there will be no more of any lane.
    fn dispatch(
        &mut self,
        most: usize,
        take: &mut impl FnMut(usize, &Packet<'_>),
    ) -> Result<usize, CaptureError>;

    /// Waits until there is something, at most for `most`.
    fn wait(&mut self, most: Duration);

    /// True where packets are stamped as they come, so that times far from what the clock expects tell that a clock was set. False where
    /// they were recorded.
    fn is_live(&self) -> bool {
        true
    }

    /// What each lane has counted for this worker so far.
    fn counters(&mut self) -> Vec<InterfaceCount>;

    /// Lets nothing in any more; what was let in is still handed out. False where the system cannot do that.
    fn close(&mut self) -> bool;
}

/// What one interface counted for one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever reads an interface")]
pub struct InterfaceCount {
    /// Packets that the kernel has put into the buffer.
    pub delivered: u64,
    /// Packets that were read from it.
    pub read: u64,
    /// Packets that found the buffer full.
    pub dropped_by_kernel: u64,
    /// Packets that the interface or its driver dropped, as each worker is told for all.
    pub dropped_by_interface: u64,
    /// Packets that were read and then lost on the way to another worker.
    pub dropped_by_us: u64,
    /// Packets longer than the interface lets one be.
    pub oversized: u64,
    /// Why it is not read from any more.
    pub error: Option<CaptureError>,
}

/// Packets of interfaces. One that fails ends, and the others go on.
#[derive(Debug)]
pub struct Interfaces {
    sockets: Vec<(Live, Option<CaptureError>)>,
}

impl Interfaces {
    /// Takes the packets of these sockets, at least one.
    pub fn new(sockets: Vec<Live>) -> Self {
        Self { sockets: sockets.into_iter().map(|live| (live, None)).collect() }
    }
}

impl Source for Interfaces {
    fn dispatch(
        &mut self,
        most: usize,
        take: &mut impl FnMut(usize, &Packet<'_>),
    ) -> Result<usize, CaptureError> {
        let mut read = 0_usize;
        let mut is_going = false;
        for (lane, (live, failed)) in self.sockets.iter_mut().enumerate() {
            if failed.is_some() {
                continue;
            }
            match live.dispatch(most, |packet| take(lane, packet)) {
                Ok(packets) => {
                    read = read.saturating_add(packets);
                    is_going = true;
                }
                Err(error) => *failed = Some(error),
            }
        }
        if is_going {
            return Ok(read);
        }
        match self.sockets.iter().find_map(|(_, failed)| failed.clone()) {
            Some(error) => Err(error),
            None => Ok(0),
        }
    }

    fn wait(&mut self, most: Duration) {
        wait(self.sockets.iter().filter(|(_, failed)| failed.is_none()).map(|(live, _)| live), most);
    }

    fn counters(&mut self) -> Vec<InterfaceCount> {
        let counted = self.sockets.iter_mut().map(|(live, failed)| {
            let count = live.counters();
            InterfaceCount {
                delivered: count.delivered(),
                read: count.read,
                dropped_by_kernel: count.dropped,
                dropped_by_interface: count.if_dropped,
                dropped_by_us: 0,
                oversized: count.oversized,
                error: failed.clone(),
            }
        });
        counted.collect()
    }

    fn close(&mut self) -> bool {
        self.sockets.iter_mut().fold(true, |all, (live, _)| live.stop() && all)
    }
}
