//! What records say of the cipher of media.

use std::collections::BTreeMap;

use serde::Serialize;

use super::PacketNumber;
use crate::keys::cipher::{CipherVerdict, Start};
use crate::observe::facts::Framing;

/// What the ciphertext of one stream shows, or of the streams of a session that one key may serve.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CipherRecord {
    /// The verdict.
    pub verdict: CipherVerdict,
    /// It in words, with its figures.
    pub text: String,
    /// Decimal logarithm of the ratio of likelihoods, ECB against artefacts; 0 without a repeat.
    pub log10_lr: f64,
    /// What the ratio is made of, as decimal logarithms; left out without a repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<PartsRecord>,
    /// Where ciphertext was taken to begin.
    pub framing: Framing,
    /// How payloads begin, where they show it.
    pub start: Start,
    /// Streams judged together; 1 for a stream alone.
    pub streams: u32,
    /// Whole units: sealed frames, or payloads.
    pub units: u64,
    /// Units that lacked a packet and were dropped.
    pub units_dropped: u64,
    /// Packets left out: padded, cut by a snap length, second copies, FEC.
    pub packets_excluded: u64,
    /// Units left out as copies of an earlier one.
    pub copies: u64,
    /// Units with a nonce, a ciphertext as long as announced, and a tag.
    pub units_aead: u64,
    /// Units of whole blocks as long as announced.
    pub units_blocks: u64,
    /// Share of units of which every block was tested, 0 to 1; of the others the last block was.
    pub sampled: f64,
    /// Blocks of 16 bytes that were compared.
    pub blocks_tested: u64,
    /// Repeats that ECB would have made among them, at least; left out where lengths give no lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_repeats: Option<f64>,
    /// Repeats of blocks that survived all exclusions.
    pub repeats: u64,
    /// Independent repeated blocks.
    pub clusters: u32,
    /// Repeated blocks that were set aside: they run off the block grid, or came within one second.
    pub set_aside: u32,
    /// Decimal logarithm of the chance of as many repeats under any other mode, at most; left out without a repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log10_chance: Option<f64>,
    /// Nonces compared.
    pub nonces: u64,
    /// Nonces that sealed another ciphertext before.
    pub nonces_reused: u64,
    /// Packets that show a repeat.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<PacketNumber>,
}

/// The parts of the ratio of likelihoods, as decimal logarithms.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartsRecord {
    /// Independent repeated blocks.
    pub clusters: f64,
    /// Equal stretches that end on the block grid.
    pub grid: f64,
    /// A unit of one block that keeps coming.
    pub constant_unit: f64,
    /// Different lengths that are all whole blocks.
    pub lengths: f64,
}

/// What the ciphertext of a session shows.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SessionCipherRecord {
    /// What the gravest verdict rests on.
    #[serde(flatten)]
    pub evidence: CipherRecord,
    /// Single streams by their verdict: an SSRC one way is one stream, in however many flows, with the gravest verdict of its parts.
    pub by_verdict: BTreeMap<CipherVerdict, u32>,
}
