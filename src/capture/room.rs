//! Memory that captures which are open take together, beside the buffers of their packets. In: how much there is. Out: who may have more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::block::BUFFER;
use super::window::wide;

/// What is left of some memory, for all who share it.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    whole: u64,
    left: AtomicU64,
}

impl Room {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(Shared { whole: bytes, left: AtomicU64::new(bytes) }))
    }

    /// A share of it, with nothing in it.
    pub(super) fn share(&self) -> Hold {
        self.share_behind(&Gate::default())
    }

    /// A share that gets no larger while a gate is shut.
    pub(super) fn share_behind(&self, gate: &Gate) -> Hold {
        Hold { room: self.clone(), bytes: 0, gate: gate.clone() }
    }
}

/// Shut while a file is read ahead of its packets: what there is room for is not to depend on which thread was quicker.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(super) fn shut(&self, is_shut: bool) {
        self.0.store(is_shut, Ordering::Relaxed);
    }
}

/// What one of them has. It is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    room: Room,
    bytes: u64,
    gate: Gate,
}

impl Hold {
    /// Has so many bytes from here on; false where that is more than is left, or its gate is shut, and then nothing changes.
    #[must_use]
    pub(super) fn set(&mut self, bytes: u64) -> bool {
        let held = self.bytes;
        if bytes == held {
            return true;
        }
        let shared = &self.room.0;
        let change = |left: u64| left.saturating_add(held).checked_sub(bytes);
        let may = bytes < held || !self.gate.0.load(Ordering::Relaxed);
        let fits = may && shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok();
        if fits {
            self.bytes = bytes;
        }
        fits
    }

    /// Has nothing any more.
    pub(super) fn release(&mut self) {
        self.room.0.left.fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Has so many bytes more.
    #[must_use]
    pub(super) fn add(&mut self, bytes: u64) -> bool {
        self.set(self.bytes.saturating_add(bytes))
    }

    /// Bytes that there are for all who share the room.
    pub(super) fn whole(&self) -> u64 {
        self.room.0.whole
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

/// What captures that are open at the same time may hold.
#[derive(Debug, Clone)]
pub(super) struct Rooms {
    /// For decompressors, and for packets that are longer than a buffer. A file that needs more than is left is read no further.
    pub(super) unpacking: Room,
    /// For what captures say beside packets: interfaces, names, secrets. What is more is left out.
    pub(super) said: Room,
    /// Files with a buffer of their own while they wait for their time.
    pub(super) open: usize,
}

impl Rooms {
    /// Files that are open at most while others have the earlier packets: each holds a buffer of 256 KiB.
    const MOST_OPEN: usize = 512;

    /// Of a memory of so many bytes half is for decompressors, a sixteenth for buffers of files that wait, and half of that for what they
    /// say.
    pub(super) fn within(memory: u64) -> Self {
        let buffers = memory.saturating_div(16).checked_div(wide(BUFFER)).unwrap_or(0);
        Self {
            unpacking: Room::new(memory.saturating_div(2)),
            said: Room::new(memory.saturating_div(32)),
            open: usize::try_from(buffers).unwrap_or(usize::MAX).min(Self::MOST_OPEN),
        }
    }
}

impl Default for Rooms {
    /// As on a machine of 16 GiB.
    fn default() -> Self {
        Self::within(4 << 30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_more_is_had_behind_a_gate_that_is_shut() {
        let (room, gate) = (Room::new(100), Gate::default());
        let (mut behind, mut other) = (room.share_behind(&gate), room.share());
        assert!(behind.set(50));
        gate.shut(true);
        assert!(!behind.add(1) && behind.set(40) && behind.set(40) && other.set(60));
        gate.shut(false);
        assert!(!behind.add(1) && other.set(10) && behind.add(50));
    }

    #[test]
    fn what_is_let_go_is_there_for_others() {
        let room = Room::new(100);
        let (mut one, mut other) = (room.share(), room.share());
        assert!(one.set(60) && !other.add(41) && other.add(40) && !one.add(1));
        assert!(one.set(30) && other.add(30) && !other.add(1));
        assert_eq!((one.bytes, other.bytes, one.whole()), (30, 70, 100));
        drop(one);
        assert!(other.set(100) && !other.add(1) && other.set(0));
    }

    #[test]
    fn parts_of_a_memory_are_less_than_it() {
        for memory in [0, 1 << 20, 128 << 20, 4 << 30, 1 << 40] {
            let rooms = Rooms::within(memory);
            // Files that are open only while they are read have as much as the open ones.
            let buffers = 2 * u64::try_from(rooms.open * BUFFER).unwrap();
            assert!(rooms.unpacking.0.whole + rooms.said.0.whole + buffers <= memory);
        }
        assert_eq!((Rooms::within(128 << 20).open, Rooms::default().open), (32, 512));
    }
}
