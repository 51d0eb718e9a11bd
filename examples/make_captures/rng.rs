//! The only source of chance: `SplitMix64` seeded from a label, so that one label gives one stream of
//! numbers for ever. It guards nothing: every secret of the captures is published beside them.

use sha2::{Digest, Sha256};

use crate::splitmix::SplitMix64;

/// A seeded generator.
#[derive(Debug, Clone)]
pub(crate) struct Rng(SplitMix64);

impl Rng {
    /// The generator that belongs to a label.
    pub(crate) fn named(label: &str) -> Self {
        let digest = Sha256::digest(label.as_bytes());
        Self(SplitMix64(digest.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in `n` calls.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.next() as u32
    }

    pub(crate) fn u16(&mut self) -> u16 {
        self.next() as u16
    }

    /// An ephemeral port of a client.
    pub(crate) fn port(&mut self) -> u16 {
        49152 + self.below(16000) as u16
    }

    /// Queueing delay: mostly small, now and then long (sum of two halves of a geometric draw).
    pub(crate) fn jitter_ns(&mut self, typical_ns: u64) -> u64 {
        let mut delay = self.below(typical_ns);
        while self.one_in(4) {
            delay += self.below(typical_ns);
        }
        delay
    }
}
