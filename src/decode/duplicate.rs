//! Second copies of one packet, as a mirror port gives them.
//!
//! A mirror of several ports, of both directions of one port, or of several VLANs sees one packet twice, a
//! router in between perhaps having taken one from its hop count. Counted as they are, such copies would look
//! like duplicate media and like repeated cipher blocks.
//!
//! **Same packet** means: the same addresses, protocol, ports, IP payload length, IPv4 identification, UDP or
//! TCP checksum, and for TCP sequence and acknowledgment number. Where the checksum says nothing (UDP over
//! IPv4 may leave it 0; other protocols) the ends of the payload are compared too.
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
//! - TCP with payload within [`TWIN_WINDOW`]: a second copy; no stack retransmits so soon;
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
use super::packet::{Duplicate, Transport};
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
/// Bytes compared at either end of a payload.
const EDGE: usize = 64;

#[derive(Clone, Copy)]
struct Slot {
    tag: u64,
    at: i64,
    path: u32,
    ttl: u8,
}

const EMPTY: Slot = Slot { tag: 0, at: i64::MIN, path: 0, ttl: 0 };

pub(super) struct DuplicateFilter {
    /// `SLOTS` of them.
    slots: Box<[Slot]>,
    /// `PROOF_MEMORY * share * 2^8` of recent packets that were proven copies; a leaky sum.
    proof: u32,
}

impl DuplicateFilter {
    pub(super) fn new() -> Self {
        Self { slots: vec![EMPTY; SLOTS].into_boxed_slice(), proof: 0 }
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
        let slot = slot_of(&mut self.slots, tag)?;
        let new = Slot { tag, at: now.as_nanos(), path: path_tag(path), ttl: found.ip.ttl };
        self.proof = self.proof.saturating_sub(self.proof / PROOF_MEMORY);
        if slot.tag != tag {
            *slot = new;
            return None;
        }
        let seen = *slot;
        let verdict = judge(&seen, &new, found);
        if verdict == Verdict::New {
            *slot = new;
            return None;
        }
        self.conclude(verdict, &seen, &new, counters)
    }

    #[inline(never)]
    fn conclude(
        &mut self,
        verdict: Verdict,
        seen: &Slot,
        new: &Slot,
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
fn judge(seen: &Slot, new: &Slot, found: &Found<'_>) -> Verdict {
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
    if matches!(found.transport, Transport::Tcp { declared_len: 1.., .. }) {
        Verdict::Proven
    } else {
        Verdict::Suspected
    }
}

/// The place for a tag; the low bits choose.
#[inline]
fn slot_of(slots: &mut [Slot], tag: u64) -> Option<&mut Slot> {
    slots.get_mut(usize::try_from(tag & SLOT_MASK).ok()?)
}

/// `SLOTS - 1`; a test holds the two together.
const SLOT_MASK: u64 = 0xfff;

/// 64 bits that stand for the packet; never 0, which an empty place holds.
#[inline]
fn identity(found: &Found<'_>) -> u64 {
    let ports = u64::from(found.source.port()) << 16 | u64::from(found.destination.port());
    let numbers = u64::from(found.ip.id) << 32 | u64::from(found.checksum) << 48 | ports;
    let mut hash = match (found.ip.source, found.ip.destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => mix(0x9e37_79b9_7f4a_7c15, pair(a.to_bits(), b.to_bits())),
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let [(a0, a1), (b0, b1)] = [a.to_bits(), b.to_bits()].map(halves);
            mix(mix(mix(mix(0x2545_f491_4f6c_dd1d, a0), a1), b0), b1)
        }
        _ => 0,
    };
    hash = mix(hash, numbers);
    let length = u64::try_from(found.ip.payload_len).unwrap_or(u64::MAX) << 8;
    hash = mix(hash, length | u64::from(found.transport.protocol()));
    if let Transport::Tcp { sequence, acknowledgment, .. } = found.transport {
        hash = mix(hash, pair(sequence, acknowledgment));
        if found.ip.id != 0 {
            return hash | 1 << 63;
        }
    }
    if found.checksum == 0 || found.ip.id == 0 {
        hash = mix_edges(hash, found.transport.payload());
    }
    hash | 1 << 63
}

#[inline]
fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[inline]
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "the two halves are meant")]
const fn halves(wide: u128) -> (u64, u64) {
    ((wide >> 64) as u64, wide as u64)
}

/// One folded multiplication: cheap, and each bit of the input reaches the result.
#[inline]
fn mix(hash: u64, value: u64) -> u64 {
    let wide = u128::from(hash ^ value ^ 0xa076_1d64_78bd_642f).wrapping_mul(0xe703_7ed1_a0b4_28db);
    let (high, low) = halves(wide);
    (high ^ low).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29)
}

/// The first and the last bytes; all of a short payload.
#[inline]
fn mix_edges(mut hash: u64, payload: &[u8]) -> u64 {
    let first = payload.get(..EDGE).unwrap_or(payload);
    let last = payload.get(payload.len().saturating_sub(EDGE).max(first.len())..).unwrap_or_default();
    for edge in [first, last] {
        let (words, rest) = edge.as_chunks::<8>();
        for word in words {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        for byte in rest {
            hash = hash << 8 ^ hash >> 56 ^ u64::from(*byte);
        }
        hash = mix(hash, 0);
    }
    hash
}

/// 32 bits that stand for a path; 0 for none.
#[inline]
fn path_tag(path: &Path) -> u32 {
    if path.is_empty() { 0 } else { hash_path(path) }
}

#[inline(never)]
fn hash_path(path: &Path) -> u32 {
    use std::hash::BuildHasher;

    u32::try_from(foldhash::fast::FixedState::with_seed(1).hash_one(path) >> 32).unwrap_or_default() | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_fits_the_table() {
        assert_eq!(SLOT_MASK as usize, SLOTS - 1);
        assert!(SLOTS.is_power_of_two());
    }
}
