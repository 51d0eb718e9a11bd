//! What the ciphertext of a session's media says of the cipher. In: facts of streams. Out: a verdict with all its figures.
//!
//! Under ECB equal plaintext blocks give equal ciphertext blocks; under every other mode a repeat is beyond chance (n blocks of
//! 128 bits have n(n-1)/2^129 equal pairs). So the ratio of likelihoods is ruled by artefacts alone: each repeated block
//! that survives the exclusions weighs against one artefact, and `docs/CIPHER.md` has the arithmetic. Nothing here proves: only a
//! key that opens the media does.

mod odds;
mod plain;
mod pool;

pub use plain::Start;
pub use pool::{SessionCipher, session};

use crate::observe::PacketRef;
use crate::observe::facts::{Cipher, Cluster, Framing, MediaKind, RtpStream};

/// Units whose lengths fit a nonce and a tag from which on that framing is recognised.
const AEAD_UNITS: u64 = 20;
/// Share of units that a framing or a residue must have to be that of the stream.
const MOST: f64 = 0.95;
/// Expected repeats from which on silence says something.
const EXPECTED_NEEDED: f64 = 3.0;
/// Different lengths that must share a residue to speak of whole blocks.
const LENGTHS_NEEDED: u32 = 3;
/// Different lengths from which on diverse residues speak against whole blocks.
const DIVERSE_LENGTHS: u32 = 4;
/// Decimal logarithm of the ratio from which on ECB is very likely.
const VERY_LIKELY: f64 = 6.0;
/// Beginnings of payloads, and bytes of the body, that must have been looked at before a constant length is tested alone.
const BEGINNINGS_NEEDED: u32 = 64;
const BODY_NEEDED: u32 = 2048;

/// What can be said of the cipher. The order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CipherVerdict {
    /// A key in ECB mode opened the media.
    EcbConfirmed,
    /// Repeats that no artefact explains: log10 of the ratio is 6 or more.
    EcbVeryLikely,
    /// At least one repeat that no exclusion explains.
    EcbSuspicious,
    /// Payloads are not ciphertext.
    NotEncrypted,
    /// The first bytes of payloads are not ciphertext, the body may be: it is not SRTP.
    BeginsInClear,
    /// No repeat, and too few were to be expected to say anything.
    Inconclusive,
    /// No repeat where ECB would have made at least three.
    NoEcbEvidence,
    /// Lengths take all residues modulo 16, as no padded block cipher makes them.
    StreamLengths,
    /// At least 20 units have a nonce, a ciphertext as long as announced, and a tag.
    AeadFraming,
}

impl CipherVerdict {
    /// In words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::EcbConfirmed => "ECB confirmed by a key",
            Self::EcbVeryLikely => "ECB very likely",
            Self::EcbSuspicious => "ECB suspected",
            Self::NotEncrypted => "not encrypted",
            Self::BeginsInClear => "beginning in the clear",
            Self::Inconclusive => "inconclusive",
            Self::NoEcbEvidence => "without ECB evidence",
            Self::StreamLengths => "with lengths of no padded block cipher",
            Self::AeadFraming => "with AEAD framing",
        }
    }

    /// True for verdicts that speak of ECB.
    pub const fn is_ecb(self) -> bool {
        matches!(self, Self::EcbConfirmed | Self::EcbVeryLikely | Self::EcbSuspicious)
    }
}

/// The parts of the ratio, as decimal logarithms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Parts {
    /// Independent repeated blocks.
    pub clusters: f64,
    /// Whether equal stretches end on the block grid.
    pub grid: f64,
    /// A unit of one block that keeps coming.
    pub constant_unit: f64,
    /// Different lengths that are all whole blocks.
    pub lengths: f64,
}

impl Parts {
    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.clusters + self.grid + self.constant_unit + self.lengths
    }
}

/// A verdict on one stream, or on several that one key may serve.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CipherEvidence {
    /// The verdict.
    pub verdict: CipherVerdict,
    /// Where ciphertext was taken to begin.
    pub framing: Framing,
    /// Streams.
    pub streams: u32,
    /// Units that were whole.
    pub units: u64,
    /// Units that were dropped because a packet of them was missing.
    pub units_dropped: u64,
    /// Units that fit nonce, announced length and tag.
    pub units_aead: u64,
    /// Units of whole blocks as long as announced.
    pub units_blocks: u64,
    /// Units of which every block was tested, of all whole units, 0 to 1; of the others the last block was.
    pub sampled: f64,
    /// Blocks that were compared.
    pub blocks: u64,
    /// Expected equal pairs among them under ECB, at least; `None` where lengths give no lower bound.
    pub expected_repeats: Option<f64>,
    /// Decimal logarithm of the chance of as many equal pairs under any other mode, at most; `None` without a repeat.
    pub log10_chance: Option<f64>,
    /// Decimal logarithm of the ratio of likelihoods, ECB against artefact; 0 without a repeat.
    pub log10_lr: f64,
    /// Its parts.
    pub parts: Parts,
    /// Independent repeated blocks that survived all exclusions.
    pub clusters: u32,
    /// Repeats in all of them.
    pub repeats: u64,
    /// Repeated blocks that were set aside: their equal stretch runs off the grid, or they came within a second.
    pub set_aside: u32,
    /// Packets left out because they had padding, were cut by a snap length, came twice or are FEC.
    pub packets_excluded: u64,
    /// Units left out as copies of an earlier one.
    pub copies: u64,
    /// Nonces that were compared, and those that sealed two ciphertexts.
    pub nonces: u64,
    /// Of these, nonces that sealed another ciphertext before.
    pub nonces_reused: u64,
    /// How payloads begin.
    pub start: Start,
    /// That it is not encrypted follows from a session description and the payloads together, not from the payloads alone.
    pub by_description: bool,
    /// Packets that show a repeat.
    pub packets: Vec<PacketRef>,
    /// Packet of the first nonce that was used again.
    pub nonce_packet: Option<PacketRef>,
}

/// Judges one stream; `None` for FEC, RTX and streams without a whole unit. `announced_clear` says that a session description
/// in the clear announced it as plain RTP.
pub fn stream(stream: &RtpStream, announced_clear: bool) -> Option<CipherEvidence> {
    if matches!(stream.kind, Some(MediaKind::Fec | MediaKind::Rtx)) {
        return None;
    }
    let facts = stream.cipher.as_deref().filter(|facts| facts.units > 0)?;
    let start = plain::start(stream, facts, announced_clear);
    let evidence = judge(&[(facts, start)]);
    let is_told = evidence.verdict == CipherVerdict::NotEncrypted
        && plain::start(stream, facts, false) != Start::NotEncrypted;
    Some(CipherEvidence { by_description: is_told, ..evidence })
}

/// True when the payloads of a stream are no ciphertext: the keying method of it is none.
pub fn is_plain(of: &RtpStream) -> bool {
    stream(of, false).is_some_and(|evidence| evidence.verdict == CipherVerdict::NotEncrypted)
}

/// Judges streams together. All have the same framing.
fn judge(streams: &[(&Cipher, Start)]) -> CipherEvidence {
    let sum = |take: fn(&Cipher) -> u64| {
        streams.iter().fold(0, |sum: u64, (facts, _)| sum.saturating_add(take(facts)))
    };
    let framing = streams.first().map_or(Framing::Payload, |(facts, _)| facts.framing);
    let start = streams.iter().map(|(_, start)| *start).max().unwrap_or(Start::Unknown);
    let (units, blocks) = (sum(|facts| facts.units), sum(|facts| facts.blocks));
    let (units_aead, units_blocks) = (sum(|facts| facts.shapes.aead), sum(|facts| facts.shapes.blocks));
    let lengths = Lengths::of(framing, streams);
    let weighed = odds::weigh(streams, lengths);
    let expected_repeats = odds::expected(streams, lengths);
    let testable = match framing {
        Framing::ZoomUnit => true,
        // Ciphertext that begins with the payload is uniform from its first byte on, and whole blocks show in its lengths.
        Framing::Payload => start == Start::Uniform && lengths.could_be_blocks(streams),
    };
    let has_repeat = testable && weighed.clusters > 0;
    let verdict = if has_repeat {
        repeated(framing, lengths, &weighed)
    } else if start == Start::NotEncrypted {
        CipherVerdict::NotEncrypted
    } else if start == Start::Structured {
        CipherVerdict::BeginsInClear
    } else if units_aead >= AEAD_UNITS && share(units_aead, units) >= MOST {
        CipherVerdict::AeadFraming
    } else if lengths.are_diverse {
        CipherVerdict::StreamLengths
    } else if expected_repeats.is_some_and(|expected| expected >= EXPECTED_NEEDED) {
        CipherVerdict::NoEcbEvidence
    } else {
        CipherVerdict::Inconclusive
    };
    CipherEvidence {
        verdict,
        framing,
        streams: u32::try_from(streams.len()).unwrap_or(u32::MAX),
        units,
        units_dropped: sum(|facts| facts.units_dropped),
        units_aead,
        units_blocks,
        sampled: share(sum(|facts| facts.units_tested), units.saturating_sub(sum(|facts| facts.copies)))
            .min(1.0),
        blocks,
        expected_repeats,
        log10_chance: (weighed.pairs > 0).then(|| odds::log10_chance(blocks, weighed.pairs)),
        log10_lr: if has_repeat { weighed.parts.sum() } else { 0.0 },
        parts: if has_repeat { weighed.parts } else { Parts::default() },
        clusters: weighed.clusters,
        repeats: weighed.pairs,
        set_aside: weighed.set_aside,
        packets_excluded: sum(|facts| facts.packets_excluded),
        copies: sum(|facts| facts.copies),
        nonces: sum(|facts| facts.nonces),
        nonces_reused: sum(|facts| facts.nonces_reused),
        start,
        by_description: false,
        packets: weighed.packets,
        nonce_packet: streams.iter().filter_map(|(facts, _)| facts.nonce_packet).min(),
    }
}

/// The verdict where at least one repeat survived.
fn repeated(framing: Framing, lengths: Lengths, weighed: &odds::Weighed) -> CipherVerdict {
    let many = weighed.clusters >= 3 || (weighed.clusters >= 2 && lengths.are_blocks);
    let whole = framing == Framing::ZoomUnit || lengths.are_blocks;
    if many && whole && weighed.parts.sum() >= VERY_LIKELY {
        CipherVerdict::EcbVeryLikely
    } else {
        CipherVerdict::EcbSuspicious
    }
}

/// `part` of `all`, 0 to 1.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// What the lengths of units say.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    /// Different lengths in all.
    different: u32,
    /// They are those of whole blocks.
    are_blocks: bool,
    /// They take many residues modulo 16.
    are_diverse: bool,
}

impl Lengths {
    fn of(framing: Framing, streams: &[(&Cipher, Start)]) -> Self {
        let (mut units, mut different) = ([0_u64; 16], [0_u32; 16]);
        for (facts, _) in streams {
            for (slot, count) in units.iter_mut().zip(facts.residues) {
                *slot = slot.saturating_add(count);
            }
            for (slot, count) in different.iter_mut().zip(facts.lengths) {
                *slot = slot.saturating_add(count.into());
            }
        }
        let all: u64 = units.iter().sum();
        let most = (0..16).max_by_key(|residue| units.get(*residue)).unwrap_or(0);
        let own = units.get(most).copied().unwrap_or(0);
        let lengths = different.get(most).copied().unwrap_or(0);
        let others = different.iter().sum::<u32>().saturating_sub(lengths);
        let of_blocks = match framing {
            Framing::ZoomUnit => {
                let blocks =
                    streams.iter().fold(0_u64, |sum, (facts, _)| sum.saturating_add(facts.shapes.blocks));
                share(blocks, all) >= MOST
            }
            Framing::Payload => share(own, all) >= MOST,
        };
        Self {
            different: lengths,
            are_blocks: of_blocks && lengths >= LENGTHS_NEEDED && others.saturating_mul(8) <= lengths,
            // Most packets of a picture are as long as packets may be: different lengths count, not packets.
            are_diverse: others >= DIVERSE_LENGTHS && others.saturating_mul(4) > lengths,
        }
    }

    /// True where the lengths leave room for whole blocks, and there is enough to tell ciphertext by.
    fn could_be_blocks(self, streams: &[(&Cipher, Start)]) -> bool {
        let looked_at = || {
            streams.iter().all(|(facts, _)| {
                facts.heads.payloads >= BEGINNINGS_NEEDED
                    && facts.body.is_some_and(|body| body.bytes >= BODY_NEEDED)
            })
        };
        !self.are_diverse && (self.are_blocks || looked_at())
    }
}

/// An equal stretch that runs off the grid: something copied, not a block that was enciphered again.
const fn is_off_grid(cluster: &Cluster) -> bool {
    cluster.off_grid.saturating_mul(4) > cluster.on_grid.saturating_add(1)
}

/// A repeated block that counts: it came again a second or more later, and its equal stretch ends on the grid.
fn survives(cluster: &Cluster) -> bool {
    let [first, last] = cluster.span_ms;
    let lasting = last.saturating_sub(first) >= 1000;
    let constant = !cluster.is_unit || cluster.repeats >= odds::CONSTANT_REPEATS;
    lasting && constant && !is_off_grid(cluster)
}

#[cfg(test)]
mod tests;
