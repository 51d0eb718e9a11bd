//! Classic pcap (draft-ietf-opsawg-pcap): a file header, then records.
//!
//! Read are micro- and nanosecond files of both byte orders, the "modified" records with interface index and
//! protocol, and the swapped length fields of versions before 2.4. The zone and accuracy fields are ignored, as
//! every reader does.

use super::error::{Fault, Located, Part};
use super::info::{FileInfo, Format, Interface, count};
use super::link_type::LinkType;
use super::reader::{Record, packet_limit, truncated};
use super::window::{Window, wide};
use super::wire::{ByteOrder, Fields};
use crate::bytes::ParseError;
use crate::time::Timestamp;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// What the modified format adds to a record header: interface index, protocol, packet type, padding.
const MODIFIED_EXTRA: usize = 8;

/// What a magic number says of the file.
#[derive(Clone, Copy)]
pub(super) struct Magic {
    order: ByteOrder,
    nanoseconds: bool,
    modified: bool,
}

impl Magic {
    pub(super) fn read(bytes: [u8; 4]) -> Option<Self> {
        let as_order = |order: ByteOrder| {
            let (nanoseconds, modified) = match order.u32(bytes) {
                0xa1b2_c3d4 => (false, false),
                0xa1b2_3c4d => (true, false),
                0xa1b2_cd34 => (false, true),
                _ => return None,
            };
            Some(Self { order, nanoseconds, modified })
        };
        as_order(ByteOrder::Little).or_else(|| as_order(ByteOrder::Big))
    }
}

/// Which of the two lengths of a record comes first; writers before version 2.3 had them the other way round,
/// and those of 2.3 disagreed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    OriginalFirst,
    SmallerIsCaptured,
}

/// The state of reading one classic file.
pub(super) struct Classic {
    order: ByteOrder,
    header: usize,
    nanos_per_unit: u32,
    units_per_second: u32,
    lengths: Lengths,
    link_type: LinkType,
    snaplen: u32,
    limit: u32,
}

impl Classic {
    /// Reads the file header, magic included.
    pub(super) fn open(magic: Magic, window: &mut Window, info: &mut FileInfo) -> Result<Self, Located> {
        if !window.require(FILE_HEADER)? {
            return Err(truncated(window, Part::FileHeader, FILE_HEADER));
        }
        let header = FileHeader::parse(window.unread(), magic.order).map_err(|error| Located {
            offset: 0,
            fault: Fault::Malformed { part: Part::FileHeader, error },
        })?;
        let (major, minor) = (header.major, header.minor);
        let lengths = match (major, minor) {
            (2, ..=2) => Lengths::OriginalFirst,
            (2, 3) | (543, 0) => Lengths::SmallerIsCaptured,
            (2, _) => Lengths::CapturedFirst,
            _ => {
                return Err(Located {
                    offset: 4,
                    fault: Fault::UnknownVersion { expected: 2, major, minor },
                });
            }
        };
        window.consume(FILE_HEADER);
        let link_type = LinkType::from_header(header.network);
        info.format = Format::Pcap;
        info.interfaces.push(Interface::new(link_type, header.snaplen));
        Ok(Self {
            order: magic.order,
            header: if magic.modified { RECORD_HEADER.saturating_add(MODIFIED_EXTRA) } else { RECORD_HEADER },
            nanos_per_unit: if magic.nanoseconds { 1 } else { 1000 },
            units_per_second: if magic.nanoseconds { 1_000_000_000 } else { 1_000_000 },
            lengths,
            link_type,
            snaplen: header.snaplen,
            limit: packet_limit(header.snaplen),
        })
    }

    /// The next packet, left in the window; none at a clean end.
    #[inline]
    pub(super) fn next(
        &mut self,
        window: &mut Window,
        info: &mut FileInfo,
    ) -> Result<Option<Record>, Located> {
        if !window.require(self.header)? {
            return at_end(window, info, self.header);
        }
        let Some((fields, _)) = window.unread().split_first_chunk::<RECORD_HEADER>() else {
            return at_end(window, info, self.header);
        };
        let (seconds, fraction, captured, original) = self.record_header(fields);
        if captured > self.limit {
            return Err(too_long(window, info, captured, self.limit));
        }
        let length = usize::try_from(captured).unwrap_or(usize::MAX);
        let whole = self.header.saturating_add(length);
        if !window.require(whole)? {
            return Err(truncated(window, Part::Packet(info.packets.saturating_add(1)), whole));
        }
        let start = window.start().saturating_add(self.header);
        window.consume(whole);
        if fraction >= self.units_per_second {
            count(&mut info.anomalies.fraction_out_of_range);
        }
        let nanos = i64::from(fraction).saturating_mul(i64::from(self.nanos_per_unit));
        Ok(Some(Record {
            timestamp: Timestamp::from_secs_nanos(i64::from(seconds), nanos),
            link_type: self.link_type,
            interface: 0,
            snaplen: self.snaplen,
            original,
            start,
            length,
        }))
    }

    #[inline]
    const fn record_header(&self, bytes: &[u8; RECORD_HEADER]) -> (u32, u32, u32, u32) {
        let order = self.order;
        let ([seconds, fraction, first, second], _) = bytes.as_chunks::<4>() else {
            return (0, 0, 0, 0);
        };
        let (first, second) = (order.u32(*first), order.u32(*second));
        let swapped = match self.lengths {
            Lengths::CapturedFirst => false,
            Lengths::OriginalFirst => true,
            Lengths::SmallerIsCaptured => first > second,
        };
        let (captured, original) = if swapped { (second, first) } else { (first, second) };
        (order.u32(*seconds), order.u32(*fraction), captured, original)
    }
}

struct FileHeader {
    major: u16,
    minor: u16,
    snaplen: u32,
    network: u32,
}

impl FileHeader {
    fn parse(input: &[u8], order: ByteOrder) -> Result<Self, ParseError> {
        let mut fields = Fields::new(input, order);
        fields.u32("magic number")?;
        let major = fields.u16("major version")?;
        let minor = fields.u16("minor version")?;
        fields.u64("reserved")?;
        let snaplen = fields.u32("snapshot length")?;
        let network = fields.u32("link type")?;
        Ok(Self { major, minor, snaplen, network })
    }
}

#[cold]
fn at_end(window: &Window, info: &FileInfo, needed: usize) -> Result<Option<Record>, Located> {
    if window.unread().is_empty() {
        return Ok(None);
    }
    Err(truncated(window, Part::PacketHeader(info.packets.saturating_add(1)), needed))
}

#[cold]
fn too_long(window: &Window, info: &FileInfo, length: u32, limit: u32) -> Located {
    let part = Part::Packet(info.packets.saturating_add(1));
    let fault = Fault::TooLong { part, length: u64::from(length), limit: u64::from(limit) };
    Located { offset: window.offset(), fault }
}

/// Bytes of every magic number that a capture can begin with, for telling a cut file from another one.
pub(super) fn begins_like_a_capture(first: &[u8]) -> bool {
    let magics = [0xa1b2_c3d4_u32, 0xa1b2_3c4d, 0xa1b2_cd34, 0x0a0d_0d0a];
    wide(first.len()) < 4
        && magics
            .iter()
            .any(|magic| magic.to_be_bytes().starts_with(first) || magic.to_le_bytes().starts_with(first))
}
