//! Second copies of one packet, as a mirror port gives them.
//!
//! A mirror of several ports, of both directions of one port, or of several VLANs sees one packet twice, a
//! router in between perhaps having taken one from its hop count. Counted as they are, such copies would look
//! like duplicate media and like repeated cipher blocks.
//!
//! **Same packet** means: the same addresses, protocol, ports, IP payload length, IPv4 identification, UDP or
//! TCP checksum, and for TCP sequence and acknowledgment number, else some bytes at the ends of the payload
//! (more of them where the checksum says nothing, as in UDP over IPv4, which may leave it 0).
//!
//! **IPv4 with an identification** that is not 0: a sender gives each packet a new one (RFC 6864 asks that only
//! of fragmentable packets; the common stacks do it for all, or write 0). The same packet within [`WINDOW`]
//! is a second copy. A TCP retransmission has a new identification and is none. *Errs* when a sender uses one
//! constant identification and repeats a datagram within the window, and misses copies that come later.
//!
//! **IPv4 with identification 0, and IPv6**: an application may well send the same datagram twice in a row, and
//! then nothing in the packet tells. The ends of the payload are compared always (on the sending machine the
//! checksum is often not filled in yet), and
//! - a hop count that differs by 1 to [`MAX_HOPS`], or another VLAN or tunnel: a second copy within [`WINDOW`];
//! - TCP with payload, SYN or FIN within [`TWIN_WINDOW`]: a second copy; no stack retransmits so soon;
//! - all else within [`TWIN_WINDOW`]: *suspected*, and dropped only while this mirror is known to double, that
//!   is while at least one in [`PROOF_SHARE`] of the recent packets was a proven copy.
//!
//! *Errs* towards passing on: a mirror that doubles IPv6 UDP and nothing else is not noticed, save by the
//! counter `duplicates_suspected`.
//!
//! The memory is a table with one place per hash: O(1), no allocation. A busy place forgets the older packet,
//! so that at rates far beyond [`SLOTS`] packets per window some copies pass. Two packets are told apart by 64
//! bits of a hash with a fixed key. Somebody who makes two packets collide can hide the second; he could as
//! well send the second with the first one's identification and checksum.

use std::net::IpAddr;
use std::time::Duration;

use super::counters::{Counters, bump};
use super::packet::{Duplicate, TcpFlags, Transport};
use super::path::Path;
use super::walk::Found;
use crate::time::Timestamp;

/// How far apart two copies may be: more than a router or a switch queues, less than any retransmission.
pub(super) const WINDOW: Duration = Duration::from_millis(5);
/// How far apart two copies may be when nothing proves them to be copies.
const TWIN_WINDOW: Duration = Duration::from_millis(1);
/// How many routers may stand between two mirror points.
const MAX_HOPS: u8 = 4;
/// Places in the table; a power of two. 4096 packets in 5 ms are 0.8 million per second.
const SLOTS: usize = 4096;
/// A mirror doubles when more than one in so many packets is a proven copy.
const PROOF_SHARE: u32 = 16;
/// The proof fades to 1/e in so many packets.
const PROOF_MEMORY: u32 = 1024;
/// Bytes compared at either end of a payload where little else tells packets apart.
const EDGE: usize = 64;
/// The same for UDP with identification and checksum: enough for what counts up in a header, and for senders
/// that write one identification always.
const SHORT_EDGE: usize = 16;

/// What is compared once the tags are equal.
#[derive(Clone, Copy)]
struct Seen {
    at: i64,
    path: u32,
    ttl: u8,
}

const NEVER: Seen = Seen { at: i64::MIN, path: 0, ttl: 0 };

pub(super) struct DuplicateFilter {
    /// `SLOTS` of them; 0 in an empty place. Apart from the rest, because each packet asks for one and waits for it.
    tags: Box<[u64]>,
    /// Of the same places.
    seen: Box<[Seen]>,
    /// `PROOF_MEMORY * share * 2^8` of recent packets that were proven copies; a leaky sum.
    proof: u32,
}

impl DuplicateFilter {
    pub(super) fn new() -> Self {
        let (tags, seen) = (vec![0; SLOTS].into_boxed_slice(), vec![NEVER; SLOTS].into_boxed_slice());
        Self { tags, seen, proof: 0 }
    }

    /// Says whether the same packet was seen just now, and remembers this one if not.
    #[inline]
    pub(super) fn check(
        &mut self,
        found: &Found<'_>,
        path: &Path,
        now: Timestamp,
        counters: &mut Counters,
    ) -> Option<Duplicate> {
        let tag = identity(found);
        let place = usize::try_from(tag & SLOT_MASK).ok()?;
        let (held, before) = (self.tags.get_mut(place)?, self.seen.get_mut(place)?);
        let new = Seen { at: now.as_nanos(), path: path_tag(path), ttl: found.ip.ttl };
        self.proof = self.proof.saturating_sub(self.proof / PROOF_MEMORY);
        if std::mem::replace(held, tag) != tag {
            *before = new;
            return None;
        }
        let seen = *before;
        let verdict = judge(&seen, &new, found);
        if verdict == Verdict::New {
            *before = new;
            return None;
        }
        self.conclude(verdict, &seen, &new, counters)
    }

    #[inline(never)]
    fn conclude(
        &mut self,
        verdict: Verdict,
        seen: &Seen,
        new: &Seen,
        counters: &mut Counters,
    ) -> Option<Duplicate> {
        if verdict == Verdict::Proven {
            self.proof = self.proof.saturating_add(1 << 8);
        } else if self.proof <= (PROOF_MEMORY << 8) / PROOF_SHARE {
            bump(&mut counters.duplicates_suspected);
            return None;
        }
        Some(if seen.path != new.path {
            Duplicate::OtherPath
        } else if seen.ttl != new.ttl {
            Duplicate::Routed
        } else {
            Duplicate::Identical
        })
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Verdict {
    New,
    Suspected,
    Proven,
}

/// The rule of the module documentation for two packets of one identity.
fn judge(seen: &Seen, new: &Seen, found: &Found<'_>) -> Verdict {
    // Captures of several interfaces are not always in order of time.
    let apart = Duration::from_nanos(new.at.saturating_sub(seen.at).unsigned_abs());
    let hops = new.ttl.abs_diff(seen.ttl);
    if apart > WINDOW || hops > MAX_HOPS {
        return Verdict::New;
    }
    if found.ip.id != 0 || hops != 0 || seen.path != new.path {
        return Verdict::Proven;
    }
    if apart > TWIN_WINDOW {
        return Verdict::New;
    }
    match found.transport {
        Transport::Tcp { declared_len, flags, .. }
            if declared_len > 0 || flags.0 & (TcpFlags::SYN | TcpFlags::FIN).0 != 0 =>
        {
            Verdict::Proven
        }
        Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Other { .. } => Verdict::Suspected,
    }
}

/// The low bits of a tag choose its place: `SLOTS - 1`; a test holds the two together.
const SLOT_MASK: u64 = 0xfff;

/// 64 bits that stand for the packet; never 0, which an empty place holds.
#[inline]
fn identity(found: &Found<'_>) -> u64 {
    let mut hash = Mixer(0);
    let ports = pair(found.source.port(), found.destination.port());
    let numbers = u64::from(pair(found.ip.id, found.checksum)) << 32 | u64::from(ports);
    match (found.ip.source, found.ip.destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            hash.add(u64::from(a.to_bits()) << 32 | u64::from(b.to_bits()), numbers);
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            for address in [a, b] {
                let (high, low) = halves(address.to_bits());
                hash.add(high, low);
            }
            hash.add(numbers, 6);
        }
        _ => {}
    }
    let length = u64::try_from(found.ip.payload_len).unwrap_or(u64::MAX) << 8;
    let kind = length | u64::from(found.transport.protocol());
    if let Transport::Tcp { sequence, acknowledgment, .. } = found.transport {
        hash.add(kind, u64::from(sequence) << 32 | u64::from(acknowledgment));
        if found.ip.id != 0 {
            return hash.finish();
        }
    } else {
        hash.add(kind, 0);
    }
    let edge = if found.checksum == 0 || found.ip.id == 0 { EDGE } else { SHORT_EDGE };
    hash.add_edges(found.transport.payload(), edge);
    hash.finish()
}

#[inline]
fn pair(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

#[inline]
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "the two halves are meant")]
const fn halves(wide: u128) -> (u64, u64) {
    ((wide >> 64) as u64, wide as u64)
}

/// Both halves of the product, so that each bit of the input reaches the result.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let (high, low) = halves(u128::from(a).wrapping_mul(u128::from(b)));
    high ^ low
}

/// A hash whose multiplications do not wait for one another.
struct Mixer(u64);

impl Mixer {
    #[inline]
    fn add(&mut self, a: u64, b: u64) {
        let word = fold(a ^ 0xa076_1d64_78bd_642f, b ^ 0xe703_7ed1_a0b4_28db);
        self.0 = self.0.rotate_left(25).wrapping_add(word);
    }

    /// The first and the last `edge` bytes (a multiple of 16); all of a short payload.
    #[inline]
    fn add_edges(&mut self, payload: &[u8], edge: usize) {
        if let (Some((first, _)), Some((_, last))) =
            (payload.split_at_checked(edge), payload.split_at_checked(payload.len().saturating_sub(edge)))
        {
            self.add_words(first);
            self.add_words(last);
        } else {
            self.add_short(payload);
        }
    }

    #[inline]
    fn add_words(&mut self, bytes: &[u8]) {
        for words in bytes.as_chunks::<16>().0 {
            let (high, low) = halves(u128::from_le_bytes(*words));
            self.add(high, low);
        }
    }

    /// Fewer than [`EDGE`] bytes.
    fn add_short(&mut self, payload: &[u8]) {
        self.add_words(payload);
        let mut last = [0; 16];
        for (place, byte) in last.iter_mut().zip(payload.as_chunks::<16>().1) {
            *place = *byte;
        }
        self.add_words(&last);
    }

    #[inline]
    fn finish(self) -> u64 {
        fold(self.0 ^ 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3) | 1 << 63
    }
}

/// 32 bits that stand for a path; 0 for none.
#[inline]
fn path_tag(path: &Path) -> u32 {
    if path.is_empty() { 0 } else { hash_path(path) }
}

#[inline]
fn hash_path(path: &Path) -> u32 {
    let mut hash = Mixer(0);
    for layer in path.layers() {
        let (kind, value) = layer.code();
        hash.add(kind, value);
    }
    if let Some((source, destination)) = path.outer() {
        for address in [source, destination] {
            let (high, low) = halves(match address {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(address) => address.to_bits(),
            });
            hash.add(high, low);
        }
    }
    u32::try_from(hash.finish() >> 32).unwrap_or_default() | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_fits_the_table() {
        assert_eq!(usize::try_from(SLOT_MASK).unwrap(), SLOTS - 1);
        assert!(SLOTS.is_power_of_two());
    }
}
