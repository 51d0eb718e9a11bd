//! What a capture file says beside its packets, and what was odd about it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::link_type::LinkType;

/// Format of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Classic pcap.
    Pcap,
    /// pcapng.
    PcapNg,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcap => "pcap",
            Self::PcapNg => "pcapng",
        })
    }
}

/// Compression around a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Stored as it is.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// The .xz format, any number of streams.
    Xz,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        })
    }
}

/// One capture file: what it is, what it held beside packets, what was odd. Grows while the file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Path as given, or a name such as `-`.
    pub name: String,
    /// The format.
    pub format: Format,
    /// The compression around it.
    pub compression: Compression,
    /// Size as stored, where the system knows it (a pipe has none).
    pub stored_bytes: Option<u64>,
    /// Bytes taken from the file as stored; compare with `stored_bytes` for progress.
    pub bytes_read: u64,
    /// Packets handed out.
    pub packets: u64,
    /// Every interface, in order over all sections; classic pcap has exactly one.
    pub interfaces: Vec<Interface>,
    /// Decryption secrets embedded in the file (pcapng), in order.
    pub secrets: Vec<Secret>,
    /// Names that the capturing host had resolved (pcapng), in order.
    pub names: Vec<(IpAddr, String)>,
    /// What was odd.
    pub anomalies: Anomalies,
}

impl FileInfo {
    pub(super) fn new(name: String, stored_bytes: Option<u64>) -> Self {
        Self {
            name,
            format: Format::Pcap,
            compression: Compression::None,
            stored_bytes,
            bytes_read: 0,
            packets: 0,
            interfaces: Vec::new(),
            secrets: Vec::new(),
            names: Vec::new(),
            anomalies: Anomalies::default(),
        }
    }

    /// Lets go of what is as long as the file likes: secrets, names, and of interfaces all but one of each of the first link types.
    pub(super) fn forget_lists(&mut self) {
        const LINK_TYPES: usize = 16;
        (self.secrets, self.names) = (Vec::new(), Vec::new());
        let mut told = BTreeSet::new();
        self.interfaces.retain_mut(|interface| {
            interface.name = None;
            told.len() < LINK_TYPES && told.insert(interface.link_type)
        });
        self.interfaces.shrink_to_fit();
    }
}

/// An interface that a capture was taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// What its packets begin with.
    pub link_type: LinkType,
    /// Longest capture of a packet in bytes; 0 is no limit.
    pub snaplen: u32,
    /// Name on the capturing host.
    pub name: Option<String>,
    /// Packets that it received, by the last statistics block.
    pub received: Option<u64>,
    /// Packets that it dropped for lack of resources, by the last statistics block.
    pub dropped_by_interface: Option<u64>,
    /// Packets that the operating system dropped, by the last statistics block.
    pub dropped_by_os: Option<u64>,
}

impl Interface {
    pub(super) const fn new(link_type: LinkType, snaplen: u32) -> Self {
        Self {
            link_type,
            snaplen,
            name: None,
            received: None,
            dropped_by_interface: None,
            dropped_by_os: None,
        }
    }
}

/// Decryption secrets embedded in a pcapng file.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Secret {
    /// Secrets type; 0x544c534b is a TLS key log.
    pub kind: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Secret {
    /// Secrets type of a TLS key log in the format that browsers write.
    pub const TLS_KEY_LOG: u32 = 0x544c_534b;
}

/// Secrets stay secret: only the length is shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("kind", &self.kind).field("bytes", &self.data.len()).finish()
    }
}

/// Counters of what was odd in a file that was read nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Anomalies {
    /// Packets captured longer than their interface's snapshot length.
    pub longer_than_snaplen: u64,
    /// Packets captured longer than they are said to have been on the wire.
    pub captured_longer_than_original: u64,
    /// Packets with an earlier time than the packet before them.
    pub time_backwards: u64,
    /// Number of the first such packet, counted from 1.
    pub first_time_backwards: Option<u64>,
    /// Packets whose fraction of a second is a second or more.
    pub fraction_out_of_range: u64,
    /// Packets without a time of their own (pcapng simple packet); they got the time of the packet before.
    pub without_time: u64,
    /// Packets passed over because nothing describes their interface; they have no packet number.
    pub unknown_interface: u64,
    /// pcapng blocks of types that are not read.
    pub blocks_skipped: u64,
    /// pcapng blocks without packets that contradict themselves; what was readable in them is kept.
    pub blocks_malformed: u64,
    /// Interfaces beyond the cap on their number, or on the memory of what captures say.
    pub interfaces_left_out: u64,
    /// Resolved names beyond the cap on their number, or on that memory; and names of interfaces beyond it.
    pub names_left_out: u64,
    /// Decryption secrets beyond the cap on their bytes, or on that memory.
    pub secrets_left_out: u64,
}

/// Adds one; a counter that could wrap would lie.
pub(super) const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
