//! What the ciphertext of one RTP stream showed: counts, repeats and lengths, to be judged later.

use crate::observe::PacketRef;

/// Repeated blocks that are followed in one stream; under ECB a few decide, under any other mode there is none.
pub const CLUSTER_CAP: usize = 48;

/// Where the ciphertext of a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Framing {
    /// Zoom's units, put together from their fragments.
    ZoomUnit,
    /// All that stands behind the RTP header and its extension.
    Payload,
}

/// Ciphertext of one stream.
#[derive(Debug, Clone)]
pub struct Cipher {
    /// Where it begins.
    pub framing: Framing,
    /// Units that were whole.
    pub units: u64,
    /// Of these, units of which every block was tested; of the others the last one was.
    pub units_tested: u64,
    /// Units that were begun and not completed.
    pub units_dropped: u64,
    /// Packets left out because they had padding, were cut by a snap length, came twice or are FEC.
    pub packets_excluded: u64,
    /// Units that were copies of an earlier one, byte for byte as far as their marks tell.
    pub copies: u64,
    /// Blocks of 16 bytes that were compared.
    pub blocks: u64,
    /// Blocks of these units with at most four byte values.
    pub poor_blocks: u64,
    /// Units with such a block.
    pub poor_units: u64,
    /// Blocks that equal another one of their own unit.
    pub within_unit: u64,
    /// Blocks that found no room.
    pub blocks_left_out: u32,
    /// Share of block values looked at within units, 0 to 1.
    pub share: f64,
    /// The same for the last blocks of units.
    pub tail_share: f64,
    /// Zoom's units by what their lengths show.
    pub shapes: Shapes,
    /// Length in bytes of the tested part of a unit, modulo 16: units with each, as far as they were looked at.
    pub residues: [u64; 16],
    /// Different lengths by the same residue; lengths of 2048 bytes and more are folded.
    pub lengths: [u16; 16],
    /// Units shorter than the longest before them: those that end where the sender's data did.
    pub shorter: u64,
    /// Announced plaintext lengths modulo 16, for units of whole blocks.
    pub tails: [u64; 16],
    /// Blocks that came again in another unit.
    pub clusters: Vec<Cluster>,
    /// Such blocks beyond [`CLUSTER_CAP`].
    pub clusters_left_out: u32,
    /// Nonces that were compared.
    pub nonces: u64,
    /// Of these, nonces that had sealed another ciphertext before.
    pub nonces_reused: u64,
    /// Packet of the first of these.
    pub nonce_packet: Option<PacketRef>,
    /// First bytes of payloads.
    pub heads: Heads,
    /// Bytes of the body.
    pub body: Option<Body>,
}

/// Units by what their lengths show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Whole blocks, as long as announced and filled up.
    pub blocks: u64,
    /// Nonce, ciphertext as announced, tag.
    pub aead: u64,
    /// Neither, or too short for a length.
    pub other: u64,
}

/// A block that came again in another unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cluster {
    /// A number made of the block, the same in all streams.
    pub hash: u64,
    /// How often it was seen after the first time.
    pub repeats: u32,
    /// Numbers of the first two units that had it.
    pub units: [u32; 2],
    /// When it was first and last seen, in ms from the stream's first packet.
    pub span_ms: [u32; 2],
    /// Ends of the equal stretch that lie on the block grid.
    pub on_grid: u32,
    /// Ends of it that lie off the grid: the neighbouring byte is equal and its block is not.
    pub off_grid: u32,
    /// It is the last block of its unit.
    pub is_tail: bool,
    /// The whole unit is this block.
    pub is_unit: bool,
    /// Packet of the first repeat.
    pub packet: PacketRef,
}

/// First bytes of payloads, those that begin alike counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heads {
    /// Payloads kept.
    pub payloads: u32,
    /// For each of the first 16 bytes: payloads that reach it, and pairs of them that agree in it.
    pub places: [(u32, u32); 16],
}

/// Bytes of blocks of the body, each block counted once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Body {
    /// Bytes counted.
    pub bytes: u32,
    /// Pearson's statistic against equal shares of the 256 values; 255 is expected, with a deviation of 22.6.
    pub chi_squared: f64,
}
