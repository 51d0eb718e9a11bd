//! What waits in all flows of a table together, so that many flows cannot take what one may not: behind holes in TCP streams, in
//! pictures of which fragments are still to come, and in bodies that a key log opened and that are not whole.
//!
//! In: what a flow had waiting before a packet and has after it. Out: which flow is to give up what waits in it while
//! more does than there is room for.
//!
//! The flow that has waited longest goes first. Of the holes that will still be filled nearly all are filled within a
//! round trip or two, by a retransmission or a packet that was overtaken; one that is older was most likely lost by the
//! capture and is only given up when the connection ends. A picture is complete within some milliseconds, or never. A body waits since the last packet of its flow. Were it
//! the stream that asks, flows that are made to wait for ever would keep the room, and honest ones lose their handshakes to
//! every packet out of order.

use std::collections::BTreeMap;

use super::key::Key;

/// Bytes that may wait in all tables of a run, with what it takes to hold them: a hundred thousand bytes each for some six hundred streams
/// at once, where a handshake has some thousand and most streams have no hole.
pub const WAITING_BYTES: usize = 64 << 20;

/// What one flow has waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "put together where streams are read")]
pub struct Wait {
    /// Number in the run of the packet from which on something has been waiting: no two flows have the same.
    pub since: u64,
    /// Bytes, with what it takes to hold them.
    pub bytes: usize,
}

impl Wait {
    /// Both together, of the same flow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { since: self.since.min(other.since), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

/// What a flow gave up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "put together where streams are read")]
pub struct GivenUp {
    /// Directions of TCP that are read no further.
    pub holes: u64,
    /// Pictures that were not complete.
    pub pictures: u64,
}

/// The flows of one table in which something waits.
#[derive(Debug)]
pub struct Waiting {
    most: usize,
    bytes: usize,
    oldest_first: BTreeMap<u64, Key>,
}

impl Waiting {
    /// Nothing waits, and at most so many bytes may.
    pub const fn new(most: usize) -> Self {
        Self { most, bytes: 0, oldest_first: BTreeMap::new() }
    }

    /// Bytes that wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what waits in a flow instead of what waited in it; `None` where nothing does.
    pub fn change(&mut self, key: &Key, before: Option<Wait>, after: Option<Wait>) {
        let of = |wait: Option<Wait>| wait.map_or(0, |wait| wait.bytes);
        self.bytes = self.bytes.saturating_sub(of(before)).saturating_add(of(after));
        let (before, after) = (before.map(|wait| wait.since), after.map(|wait| wait.since));
        if before == after {
            return;
        }
        if let Some(since) = before {
            self.oldest_first.remove(&since);
        }
        if let Some(since) = after {
            self.oldest_first.insert(since, *key);
        }
    }

    /// The flow that has waited longest, while more waits than may: it is to give up what waits, and to be
    /// [changed](Self::change) accordingly.
    pub fn excess(&self) -> Option<Key> {
        if self.bytes <= self.most {
            return None;
        }
        self.oldest_first.first_key_value().map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FiveTuple;

    fn key(port: u16) -> Key {
        let source = std::net::SocketAddr::from(([10, 0, 0, 1], port));
        let destination = "198.51.100.7:443".parse().unwrap();
        Key::of(&FiveTuple { source, destination, protocol: 6 }).0
    }

    const fn wait(since: u64, bytes: usize) -> Wait {
        Wait { since, bytes }
    }

    /// What the flow of this port has waiting, from one to the other.
    fn change(
        waiting: &mut Waiting,
        port: u16,
        before: impl Into<Option<Wait>>,
        after: impl Into<Option<Wait>>,
    ) {
        waiting.change(&key(port), before.into(), after.into());
    }

    #[test]
    fn the_flow_that_has_waited_longest_goes_first_however_little_it_holds() {
        let mut waiting = Waiting::new(1000);
        change(&mut waiting, 7, None, wait(3, 10));
        change(&mut waiting, 8, None, wait(5, 600));
        change(&mut waiting, 9, None, wait(4, 390));
        assert_eq!((waiting.bytes(), waiting.excess()), (1000, None), "exactly the cap is not too much");
        change(&mut waiting, 8, wait(5, 600), wait(5, 601));
        assert_eq!(waiting.excess(), Some(key(7)));
        change(&mut waiting, 7, wait(3, 10), None);
        assert_eq!(waiting.excess(), None);
        change(&mut waiting, 8, wait(5, 601), wait(5, 900));
        assert_eq!(waiting.excess(), Some(key(9)));
    }

    #[test]
    fn a_flow_whose_holes_were_filled_begins_to_wait_anew() {
        let mut waiting = Waiting::new(100);
        change(&mut waiting, 7, None, wait(1, 60));
        change(&mut waiting, 8, None, wait(2, 40));
        change(&mut waiting, 7, wait(1, 60), None);
        change(&mut waiting, 7, None, wait(3, 61));
        assert_eq!(waiting.excess(), Some(key(8)));
        change(&mut waiting, 8, wait(2, 40), None);
        change(&mut waiting, 7, wait(3, 61), None);
        assert_eq!((waiting.bytes(), waiting.oldest_first.len()), (0, 0));
    }
}
