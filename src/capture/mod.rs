//! Stage: packets in. Capture files, standard input, live interfaces.
//!
//! In: classic pcap (micro- and nanosecond, both byte orders, the modified header with interface index) and
//! pcapng (draft-ietf-opsawg-pcapng: several sections and interfaces), plain or inside gzip, zstd or xz, all
//! recognised by their first bytes; or a network interface through libpcap. Out: [`Packet`]s that borrow from
//! one reusable buffer, and a [`FileInfo`] of what the file says beside them. Memory is bounded whatever a
//! length field claims; a fault ends its own file only, with a [`CaptureError`] that says where.
//!
//! Not handled: nested compression, other tools' formats (snoop, ERF, ...), per-packet pcapng options, the frame
//! check sequence length in the link type field. No packet is ever written or sent.

mod ahead;
mod block;
mod bpf;
mod classic;
mod error;
mod info;
mod limits;
mod link_type;
pub mod live;
mod merge;
mod pcapng;
mod pcapng_meta;
mod reader;
mod reopened;
mod room;
mod source;
#[cfg(test)]
mod tests;
mod unpack;
mod window;
mod wire;

use std::fmt;

pub use ahead::ReadAhead;
pub use block::Block;
pub use bpf::{Filter, compile_bpf};
pub use error::{CaptureError, Fault, Part, Position};
pub use info::{Anomalies, Compression, FileInfo, Format, Interface, Secret};
pub use limits::raise_open_files;
pub use link_type::LinkType;
pub use merge::{Merge, Order, Place};
pub use reader::{FileReader, open};

use crate::time::Timestamp;

/// One captured packet; the bytes live until the next one is read.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    /// When it was captured.
    pub timestamp: Timestamp,
    /// What the first byte belongs to.
    pub link_type: LinkType,
    /// Index of the interface within the file, running over its sections; 0 for classic pcap and live.
    pub interface: u32,
    /// Bytes that the packet had on the wire; never less than `data.len()`.
    pub original_len: u32,
    /// The captured bytes, from the link layer on.
    pub data: &'a [u8],
    /// The buffer that they lie in, where it may be held for longer than the packet lives.
    pub block: Option<&'a Block>,
}

/// The payload is private: only its length is shown.
impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("timestamp", &self.timestamp)
            .field("link_type", &self.link_type)
            .field("interface", &self.interface)
            .field("original_len", &self.original_len)
            .field("captured_len", &self.data.len())
            .finish()
    }
}
