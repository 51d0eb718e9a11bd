//! What became of the packets of a run.

use crate::time::Timestamp;

/// What became of the packets. `seen = analysed + filtered`; what an interface lost is added by the reader of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Packets given.
    pub seen: u64,
    /// Packets decoded or found undecodable.
    pub analysed: u64,
    /// Packets that the filter left out.
    pub filtered: u64,
    /// Captured bytes of all packets given.
    pub bytes_captured: u64,
    /// Latest packet time.
    pub latest: Option<Timestamp>,
}

impl Counts {
    /// Adds the packets of another share of a run.
    pub fn add(&mut self, other: Self) {
        self.seen = self.seen.saturating_add(other.seen);
        self.analysed = self.analysed.saturating_add(other.analysed);
        self.filtered = self.filtered.saturating_add(other.filtered);
        self.bytes_captured = self.bytes_captured.saturating_add(other.bytes_captured);
        self.latest = self.latest.max(other.latest);
    }
}
