//! Why a capture could not be opened or read on: what, where, expected against found.

use std::fmt;
use std::io;

use thiserror::Error;

use super::info::Compression;
use crate::bytes::ParseError;

/// A fault of one capture source. What was read before it stays valid.
#[derive(Error, Debug, Clone, PartialEq, Eq)]
#[error("{name}: {fault}{}", Place(*.position))]
#[non_exhaustive]
pub struct CaptureError {
    /// The file, interface or filter expression.
    pub name: String,
    /// Where in the bytes, when the fault has a place.
    pub position: Option<Position>,
    /// What is wrong.
    pub fault: Fault,
}

/// A byte offset in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: u64,
    /// True when the count is of the decompressed stream, not of the file as stored.
    pub decompressed: bool,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}", self.offset)?;
        f.write_str(if self.decompressed { " of the decompressed stream" } else { "" })
    }
}

struct Place(Option<Position>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |position| write!(f, ", {position}"))
    }
}

/// What is wrong with a capture source.
#[derive(Error, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No bytes at all.
    #[error("the capture is empty")]
    Empty,
    /// A directory was named where a capture is wanted.
    #[error("this is a directory, not a capture")]
    IsADirectory,
    /// Bytes that were there when it was opened were gone when reading came to them.
    #[error("became shorter while it was read: expected {expected} bytes")]
    Shrunk {
        /// Bytes that it had when it was opened.
        expected: u64,
    },
    /// The operating system refused.
    #[error("cannot be read: {message}")]
    Unreadable {
        /// The kind of refusal.
        kind: io::ErrorKind,
        /// The system's words.
        message: String,
    },
    /// Neither pcap nor pcapng, whatever the name says.
    #[error("expected a pcap or pcapng capture, found the bytes {}", Hex(first))]
    NotACapture {
        /// The first bytes, at most eight, after decompression.
        first: Vec<u8>,
    },
    /// The bytes end inside something.
    #[error("cut in {inside}: {needed} bytes expected, {available} found")]
    Truncated {
        /// What was being read.
        inside: Part,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that were there.
        available: u64,
    },
    /// The compressed stream ends before its end mark.
    #[error("the {compression} stream is cut")]
    CompressionCut {
        /// Which compression.
        compression: Compression,
    },
    /// The compressed stream contradicts itself.
    #[error("the {compression} stream is corrupt: {message}")]
    CorruptCompression {
        /// Which compression.
        compression: Compression,
        /// The decoder's words.
        message: String,
    },
    /// More memory than captures may have to be unpacked, all that are open together.
    #[error("the {compression} stream {message}")]
    NoRoomToUnpack {
        /// Which compression.
        compression: Compression,
        /// How much that is.
        message: String,
    },
    /// A packet, or another block, for which the memory of all captures that are open is not enough.
    #[error("there is no room for a block of {length} bytes in the memory of all open captures")]
    NoRoomToRead {
        /// Its length in bytes.
        length: u64,
    },
    /// A length that no sane capture has.
    #[error("{part} claims {length} bytes, the limit is {limit}")]
    TooLong {
        /// What claims it.
        part: Part,
        /// Claimed length in bytes.
        length: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The byte-order mark of a pcapng section is neither order's.
    #[error("expected the byte-order mark 1a2b3c4d in either order, found {found:08x}")]
    UnknownByteOrder {
        /// The mark, read as big-endian.
        found: u32,
    },
    /// A format version from the future, or no version at all.
    #[error("expected format version {expected}, found {major}.{minor}")]
    UnknownVersion {
        /// The major version that is understood.
        expected: u16,
        /// Found major version.
        major: u16,
        /// Found minor version.
        minor: u16,
    },
    /// A field whose value cannot be; its offset counts from the position of the error.
    #[error("malformed {part}: {error}")]
    Malformed {
        /// What holds the field.
        part: Part,
        /// The field.
        error: ParseError,
    },
    /// The filter expression does not compile for this link type.
    #[error("filter does not compile: {message}")]
    BadFilter {
        /// libpcap's words.
        message: String,
    },
    /// Capturing needs a right that this process lacks.
    #[error(
        "no permission to capture: {message}; give the program the right with \
         `sudo setcap cap_net_raw=ep \"$(command -v meetscope)\"`, or run it as root"
    )]
    NoPermission {
        /// libpcap's words.
        message: String,
    },
    /// There is no such interface.
    #[error("no such interface: {message}; `meetscope interfaces` lists them")]
    NoSuchInterface {
        /// libpcap's words.
        message: String,
    },
    /// The interface failed in another way.
    #[error("capture failed: {message}")]
    Device {
        /// libpcap's words.
        message: String,
    },
}

/// What part of a capture a fault lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The file header of classic pcap, or the first bytes of either format.
    FileHeader,
    /// The header before a packet's bytes; the packet's number counts from 1.
    PacketHeader(u64),
    /// A packet, which would have had this number, counted from 1.
    Packet(u64),
    /// The type and length that a pcapng block begins with.
    BlockHeader,
    /// A pcapng block of this type that holds no packet.
    Block(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileHeader => f.write_str("the file header"),
            Self::PacketHeader(number) => write!(f, "the header of packet {number}"),
            Self::Packet(number) => write!(f, "packet {number}"),
            Self::BlockHeader => f.write_str("the header of a block"),
            Self::Block(kind) => write!(f, "a block of type {kind:#x}"),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A fault and the offset it was met at, before the reader adds its name.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) offset: u64,
    pub(super) fault: Fault,
}

impl CaptureError {
    pub(super) fn new(name: &str, fault: Fault) -> Self {
        Self { name: name.to_owned(), position: None, fault }
    }

    pub(super) fn io(name: &str, error: &io::Error) -> Self {
        let fault = if error.kind() == io::ErrorKind::IsADirectory {
            Fault::IsADirectory
        } else {
            Fault::Unreadable { kind: error.kind(), message: error.to_string() }
        };
        Self::new(name, fault)
    }
}
