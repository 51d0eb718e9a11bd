//! What a key log opened, searched for values that could be media keys. HTTP/1.1, HTTP/2, HTTP/3 and WebSocket are
//! unwrapped; anything else is searched as it is.

mod connection;
mod find;
mod hold;
mod scan;
mod socket;
mod streams;

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use self::connection::Connection;
use self::find::Found;
use self::streams::Streams;
use super::PacketRef;
use super::facts::{Candidate, Opened};
use crate::flow::Direction;

/// Most values of 16 or 32 bytes kept of a flow: each is tried on the session's media.
const KEYS_CAP: usize = 4096;
/// Most values of other lengths kept of a flow: keys with their salts, and nonces.
const OTHERS_CAP: usize = 512;

/// Most different values of a flow that are remembered, so that each counts once; of those beyond, repeats count too.
const KNOWN_CAP: usize = 1 << 16;

/// Most bytes that the codings of one flow's bodies come to, as [`MAX_OPENED`](super::sealed::MAX_OPENED) is for what they came from.
const UNFOLDED_CAP: usize = 64 << 20;

/// Searches the opened data of one flow.
pub struct Finder {
    connection: Connection,
    streams: Streams,
    kept: Kept,
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finder").field("candidates", &self.kept.candidates.len()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Kept {
    candidates: Vec<Candidate>,
    /// SHA-256 of each value.
    known: BTreeSet<[u8; 32]>,
    /// Values of other lengths than a key's among them.
    others: usize,
    left_out: u32,
    /// Bytes that codings came to.
    unfolded: usize,
    /// Bodies that were not read to their end, and the packet where the first of them was left.
    cut: Option<(u32, PacketRef)>,
}

/// Where that goes which is found in one direction.
struct Sink<'a> {
    kept: &'a mut Kept,
    direction: Direction,
}

impl Sink<'_> {
    /// Takes a value, with the packet that completed it.
    fn take(&mut self, found: Found, packet: PacketRef) {
        self.kept.take(found, packet, self.direction);
    }

    /// Counts what a coding came to. False when that is enough of the flow.
    const fn unfolded(&mut self, bytes: usize) -> bool {
        self.kept.unfolded = self.kept.unfolded.saturating_add(bytes);
        self.has_room()
    }

    const fn has_room(&self) -> bool {
        self.kept.unfolded < UNFOLDED_CAP
    }

    /// Counts a body that is not read to its end.
    fn cut(&mut self, packet: PacketRef) {
        let (bodies, _) = self.kept.cut.get_or_insert((0, packet));
        *bodies = bodies.saturating_add(1);
    }
}

impl Kept {
    fn take(&mut self, found: Found, packet: PacketRef, direction: Direction) {
        let digest: [u8; 32] = Sha256::digest(found.value.as_slice()).into();
        if self.known.contains(&digest) {
            return;
        }
        if self.known.len() >= KNOWN_CAP {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.known.insert(digest);
        let is_key = matches!(found.value.len(), 16 | 32);
        let keys = self.candidates.len().saturating_sub(self.others);
        if (is_key && keys >= KEYS_CAP) || (!is_key && self.others >= OTHERS_CAP) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.others = self.others.saturating_add(usize::from(!is_key));
        let Found { value, form, place, .. } = found;
        self.candidates.push(Candidate { value, form, place, packet, direction });
    }
}

impl Finder {
    /// Nothing taken yet.
    #[expect(clippy::new_without_default, reason = "a finder begins with its flow")]
    pub fn new() -> Self {
        Self { connection: Connection::default(), streams: Streams::default(), kept: Kept::default() }
    }

    /// Takes application data of a connection, in order.
    pub fn data(&mut self, direction: Direction, packet: PacketRef, bytes: &[u8]) {
        self.connection.data(packet, bytes, &mut Sink { kept: &mut self.kept, direction });
    }

    /// Takes data of a QUIC stream, in order.
    pub fn stream(&mut self, direction: Direction, stream: u64, packet: PacketRef, bytes: &[u8]) {
        self.streams.data(stream, packet, bytes, &mut Sink { kept: &mut self.kept, direction });
    }

    /// About how many bytes the bodies hold that are not whole.
    pub fn bytes(&self) -> usize {
        self.connection.bytes().saturating_add(self.streams.bytes())
    }

    /// Reads the bodies that are not whole no further, so that they hold nothing.
    pub fn give_up(&mut self) {
        self.connection.give_up(&mut self.kept);
        self.streams.give_up(&mut self.kept);
    }

    /// Writes down what was found. How many bodies were not read to their end, and the packet where the first of them was left.
    pub fn finish(mut self, opened: &mut Opened) -> Option<(u32, PacketRef)> {
        self.connection.finish(&mut self.kept);
        self.streams.finish(&mut self.kept);
        opened.candidates = self.kept.candidates;
        opened.candidates_left_out = self.kept.left_out;
        self.kept.cut
    }
}

#[cfg(test)]
mod tests;
