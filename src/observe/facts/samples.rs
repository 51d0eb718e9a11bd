//! Sealed media that is kept as it came, so that keys can be tried on it when all is known.

use crate::observe::PacketRef;

/// How much of each RTP stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sampling {
    /// Most packets of a stream; what comes after is counted.
    pub packets: u32,
    /// Most bytes of a stream.
    pub bytes: u32,
    /// Also of flows with a DTLS handshake, and of Zoom's framing: worth it only where secrets or a key are at hand.
    pub keyed: bool,
}

impl Sampling {
    /// Nothing is to be tried: no keys are asked for.
    pub const NONE: Self = Self { packets: 0, bytes: 0, keyed: false };
    /// No key is at hand, but SIP in the clear may bring one: enough packets for their tags to be tried.
    pub const FEW: Self = Self { packets: 4, bytes: 1 << 13, keyed: false };
    /// Secrets are at hand: enough units for modes without a tag to be judged.
    pub const SOME: Self = Self { packets: 512, bytes: 1 << 18, keyed: true };
    /// A key is to be tried: all, up to what half an hour of sound or some minutes of pictures take.
    pub const MOST: Self = Self { packets: 100_000, bytes: 1 << 26, keyed: true };
}

impl Default for Sampling {
    fn default() -> Self {
        Self::FEW
    }
}

/// What was kept of one stream.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Samples {
    /// RTP packets as they came, in that order; none where Zoom's framing was taken apart.
    pub packets: Vec<Sample>,
    /// Units of Zoom's framing.
    pub units: Vec<SealedUnit>,
    /// Packets beyond the cap.
    pub left_out: u32,
    /// Packets that a snap length had cut, which no key can be tried on.
    pub cut: u32,
    /// Packets that belong to a unit of which others are missing, or that are no such unit.
    pub incomplete: u32,
}

/// An RTP packet as it came. RFC 3550 section 5.1.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Header, payload and what protects it.
    pub bytes: Box<[u8]>,
    /// Bytes of the header with its sources and its extension.
    pub header: usize,
    /// How often the sequence number had begun anew since the stream was first seen; below zero for one overtaken there.
    pub cycles: i32,
    /// Where it stood.
    pub packet: PacketRef,
}

/// A unit as Zoom seals it: one packet of sound, or a picture put together.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedUnit {
    /// Length of the plaintext as announced, in bytes.
    pub length: usize,
    /// What the lengths show.
    pub shape: UnitShape,
    /// Ciphertext without nonce and tag; with [`UnitShape::Other`] all that follows the length.
    pub ciphertext: Box<[u8]>,
    /// The packet that it begins in.
    pub packet: PacketRef,
}

/// How a unit is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnitShape {
    /// Nothing but whole blocks.
    Blocks,
    /// Nonce, ciphertext as long as announced, and a tag.
    Aead {
        /// The nonce.
        nonce: [u8; 12],
        /// The tag.
        tag: [u8; 16],
    },
    /// Neither.
    Other,
}

/// Payloads are private: only lengths are shown.
impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample")
            .field("bytes", &self.bytes.len())
            .field("header", &self.header)
            .field("packet", &self.packet)
            .finish_non_exhaustive()
    }
}

/// Payloads are private: only lengths are shown.
impl std::fmt::Debug for SealedUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedUnit")
            .field("length", &self.length)
            .field("ciphertext", &self.ciphertext.len())
            .field("packet", &self.packet)
            .finish_non_exhaustive()
    }
}
