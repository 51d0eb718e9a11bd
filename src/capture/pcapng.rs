//! pcapng (draft-ietf-opsawg-pcapng): sections of either byte order, each with interfaces and packets.
//!
//! Packets come from enhanced, simple and obsolete packet blocks. Interface descriptions, statistics, resolved
//! names and decryption secrets are kept; every other block is passed over. Options of packets are not read.

use super::error::{Fault, Located, Part};
use super::info::{FileInfo, Interface, count};
use super::link_type::LinkType;
use super::pcapng_meta as meta;
use super::reader::{Record, packet_limit, truncated};
use super::room::Hold;
use super::window::{Window, wide};
use super::wire::{ByteOrder, Clock, Fields};
use crate::bytes::ParseError;
use crate::time::Timestamp;

/// Type of a section header block; reads the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

/// Type and total length.
const BLOCK_HEAD: usize = 8;
/// Head and the total length again behind the body: the shortest block.
const BLOCK_MIN: u32 = 12;
/// Shortest section header: byte-order mark, version and section length.
const SECTION_MIN: u32 = 28;
/// What an enhanced packet adds to its bytes, with room for options.
const PACKET_OVERHEAD: u32 = 64 << 10;
/// Longest block without a packet that is read; TLS key logs are the longest seen, of a few MiB.
const MAX_META_BLOCK: u32 = 16 << 20;
/// Most interfaces kept per file, about 10 MiB; real captures have tens.
const MAX_INTERFACES: usize = 1 << 16;
/// Interfaces of each section that are kept however little memory there is, and of each file; their names are not.
const FEW_INTERFACES: usize = 8;
const FREE_INTERFACES: usize = 1 << 10;
/// Bytes of an interface beside its name.
const INTERFACE: usize = size_of::<Interface>() + size_of::<Known>();

/// The state of reading one pcapng file.
pub(super) struct PcapNg {
    order: ByteOrder,
    /// What decoding a packet needs of each interface; the same indices as `FileInfo::interfaces`.
    interfaces: Vec<Known>,
    /// Index of the current section's first interface.
    section_base: usize,
    /// Longest packet block to believe in.
    packet_block_limit: u32,
    /// Bytes of decryption secrets kept so far.
    secret_bytes: usize,
    /// Memory of all that is kept beside packets.
    said: Hold,
    /// An interface was left out: those behind it in its section have no numbers.
    is_full: bool,
    /// Interfaces that take no part in that memory.
    free: usize,
}

#[derive(Clone, Copy)]
struct Known {
    link_type: LinkType,
    snaplen: u32,
    clock: Clock,
}

impl PcapNg {
    /// Reads the first section header.
    pub(super) fn open(window: &mut Window, info: &mut FileInfo, said: Hold) -> Result<Self, Located> {
        let mut reader = Self {
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            section_base: 0,
            packet_block_limit: packet_limit(0).saturating_add(PACKET_OVERHEAD),
            secret_bytes: 0,
            said,
            is_full: false,
            free: 0,
        };
        reader.section(window, info)?;
        Ok(reader)
    }

    /// The next packet, left in the window; none at a clean end. `last_time` is for packets without one.
    #[inline]
    pub(super) fn next(
        &mut self,
        window: &mut Window,
        info: &mut FileInfo,
        last_time: Timestamp,
    ) -> Result<Option<Record>, Located> {
        loop {
            if !window.require(BLOCK_HEAD)? {
                return at_end(window);
            }
            let Some(([kind, length], _)) =
                window.unread().first_chunk::<BLOCK_HEAD>().map(|head| head.as_chunks::<4>())
            else {
                return at_end(window);
            };
            let (kind, length) = (self.order.u32(*kind), self.order.u32(*length));
            let found = match kind {
                ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET => {
                    self.packet(kind, length, window, info, last_time)?
                }
                SECTION_HEADER => self.section(window, info).map(|()| None)?,
                _ => self.other(kind, length, window, info).map(|()| None)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    #[inline]
    fn packet(
        &self,
        kind: u32,
        length: u32,
        window: &mut Window,
        info: &mut FileInfo,
        last_time: Timestamp,
    ) -> Result<Option<Record>, Located> {
        let part = Part::Packet(info.packets.saturating_add(1));
        let whole = self.require_block(part, length, self.packet_block_limit, window)?;
        let body = body(window, whole);
        let parsed = match kind {
            ENHANCED_PACKET => Body::enhanced(body, self.order),
            SIMPLE_PACKET => Body::simple(body, self.order),
            _ => Body::obsolete(body, self.order),
        };
        let packet = parsed.map_err(|error| malformed(window.offset(), part, error))?;
        let body_start = window.start().saturating_add(BLOCK_HEAD);
        window.consume(whole);
        let index = usize::try_from(packet.interface)
            .map_or(usize::MAX, |interface| self.section_base.saturating_add(interface));
        let Some(known) = self.interfaces.get(index) else {
            count(&mut info.anomalies.unknown_interface);
            return Ok(None);
        };
        let length = match (kind, known.snaplen) {
            // A simple packet does not tell its captured length: the interface's limit does.
            (SIMPLE_PACKET, 1..) => packet.length.min(usize::try_from(known.snaplen).unwrap_or(usize::MAX)),
            _ => packet.length,
        };
        let timestamp =
            packet.ticks.map_or_else(|| untimed(info, last_time), |ticks| known.clock.time(ticks));
        Ok(Some(Record {
            timestamp,
            link_type: known.link_type,
            interface: u32::try_from(index).unwrap_or(u32::MAX),
            snaplen: known.snaplen,
            original: packet.original,
            start: body_start.saturating_add(packet.start),
            length,
        }))
    }

    /// Waits for a whole block and checks its two lengths; gives the length.
    #[inline]
    fn require_block(
        &self,
        part: Part,
        length: u32,
        limit: u32,
        window: &mut Window,
    ) -> Result<usize, Located> {
        Self::check_length(part, length, window)?;
        if length > limit {
            let fault = Fault::TooLong { part, length: u64::from(length), limit: u64::from(limit) };
            return Err(Located { offset: window.offset(), fault });
        }
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        if !window.require(whole)? {
            return Err(truncated(window, part, whole));
        }
        let block = window.bytes(window.start(), whole);
        match block.last_chunk::<4>().map(|bytes| self.order.u32(*bytes)) {
            Some(trailer) if trailer == length => Ok(whole),
            trailer => {
                let error = ParseError::Invalid {
                    field: "total length behind the block",
                    offset: whole.saturating_sub(4),
                    value: u64::from(trailer.unwrap_or(0)),
                };
                Err(malformed(window.offset(), part, error))
            }
        }
    }

    #[inline]
    fn check_length(part: Part, length: u32, window: &Window) -> Result<(), Located> {
        if length >= BLOCK_MIN && length.is_multiple_of(4) {
            return Ok(());
        }
        let error = ParseError::Invalid { field: "total length", offset: 4, value: u64::from(length) };
        Err(malformed(window.offset(), part, error))
    }

    /// A section header: new byte order, interfaces numbered anew.
    #[cold]
    fn section(&mut self, window: &mut Window, info: &FileInfo) -> Result<(), Located> {
        const HEAD: usize = 16;
        let part = Part::Block(SECTION_HEADER);
        if !window.require(HEAD)? {
            return Err(truncated(window, part, HEAD));
        }
        let mark = window.bytes(window.start().saturating_add(BLOCK_HEAD), 4);
        self.order = match mark {
            [0x1a, 0x2b, 0x3c, 0x4d] => ByteOrder::Big,
            [0x4d, 0x3c, 0x2b, 0x1a] => ByteOrder::Little,
            _ => {
                let found = mark.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                return Err(Located { offset: window.offset(), fault: Fault::UnknownByteOrder { found } });
            }
        };
        let mut fields = Fields::new(window.bytes(window.start(), HEAD), self.order);
        let head = (|| {
            fields.u32("block type")?;
            let length = fields.u32("total length")?;
            fields.u32("byte-order mark")?;
            Ok((length, fields.u16("major version")?, fields.u16("minor version")?))
        })();
        let (length, major, minor) = head.map_err(|error| malformed(window.offset(), part, error))?;
        if major != 1 {
            let fault = Fault::UnknownVersion { expected: 1, major, minor };
            return Err(Located { offset: window.offset(), fault });
        }
        // Below the minimum, a lesser length would leave the next block inside this one.
        Self::check_length(part, if length < SECTION_MIN { 0 } else { length }, window)?;
        let whole = self.require_block(part, length, MAX_META_BLOCK, window)?;
        window.consume(whole);
        self.section_base = info.interfaces.len();
        self.is_full = false;
        Ok(())
    }

    /// A block that holds no packet.
    #[cold]
    fn other(
        &mut self,
        kind: u32,
        length: u32,
        window: &mut Window,
        info: &mut FileInfo,
    ) -> Result<(), Located> {
        let part = Part::Block(kind);
        Self::check_length(part, length, window)?;
        let wanted = match kind {
            // Skipping a description would number the later interfaces wrongly: too long a one is a fault.
            INTERFACE_DESCRIPTION => true,
            NAME_RESOLUTION | DECRYPTION_SECRETS | INTERFACE_STATISTICS if length <= MAX_META_BLOCK => {
                window.has_room_for(usize::try_from(length).unwrap_or(usize::MAX))
            }
            _ => false,
        };
        if !wanted {
            count(match kind {
                NAME_RESOLUTION => &mut info.anomalies.names_left_out,
                DECRYPTION_SECRETS => &mut info.anomalies.secrets_left_out,
                _ => &mut info.anomalies.blocks_skipped,
            });
            return skip(part, length, window);
        }
        let whole = self.require_block(part, length, MAX_META_BLOCK, window)?;
        let body = body(window, whole);
        let outcome = match kind {
            INTERFACE_DESCRIPTION => self.interface(body, info),
            NAME_RESOLUTION => meta::names(body, self.order, &mut self.said, info),
            DECRYPTION_SECRETS => {
                meta::secrets(body, self.order, (&mut self.secret_bytes, &mut self.said), info)
            }
            _ => meta::statistics(body, self.order, self.section_base, info),
        };
        match outcome {
            Err(error) if kind == INTERFACE_DESCRIPTION => {
                return Err(malformed(window.offset(), part, error));
            }
            Err(_) => count(&mut info.anomalies.blocks_malformed),
            Ok(()) => {}
        }
        window.consume(whole);
        Ok(())
    }

    fn interface(&mut self, body: &[u8], info: &mut FileInfo) -> Result<(), ParseError> {
        let mut fields = Fields::new(body, self.order);
        let link_type = LinkType(fields.u16("link type")?);
        fields.u16("reserved")?;
        let snaplen = fields.u32("snapshot length")?;
        let mut interface = Interface::new(link_type, snaplen);
        let (clock, whole) = meta::interface_options(&mut fields, self.order, &mut interface);
        if let Some(name) = &interface.name
            && (self.is_full || !self.said.add(wide(name.len())))
        {
            interface.name = None;
            count(&mut info.anomalies.names_left_out);
        }
        let number = self.interfaces.len().saturating_sub(self.section_base);
        let is_free = number < FEW_INTERFACES && self.free < FREE_INTERFACES;
        let fits = is_free || self.said.add(wide(INTERFACE));
        self.free = self.free.saturating_add(usize::from(is_free));
        if self.is_full || !fits || self.interfaces.len() >= MAX_INTERFACES {
            self.is_full = true;
            count(&mut info.anomalies.interfaces_left_out);
            return Ok(());
        }
        if !whole {
            count(&mut info.anomalies.blocks_malformed);
        }
        self.interfaces.push(Known { link_type, snaplen, clock });
        info.interfaces.push(interface);
        self.packet_block_limit =
            self.packet_block_limit.max(packet_limit(snaplen).saturating_add(PACKET_OVERHEAD));
        Ok(())
    }
}

/// The fields of a packet block; `start` counts from the start of the block's body.
struct Body {
    interface: u32,
    ticks: Option<u64>,
    original: u32,
    start: usize,
    length: usize,
}

impl Body {
    #[inline]
    fn enhanced(body: &[u8], order: ByteOrder) -> Result<Self, ParseError> {
        let mut fields = Fields::new(body, order);
        let interface = fields.u32("interface ID")?;
        Self::timed(&mut fields, interface)
    }

    fn obsolete(body: &[u8], order: ByteOrder) -> Result<Self, ParseError> {
        let mut fields = Fields::new(body, order);
        let interface = fields.u16("interface ID")?;
        fields.u16("drops count")?;
        Self::timed(&mut fields, u32::from(interface))
    }

    /// What the two timed blocks share.
    #[inline]
    fn timed(fields: &mut Fields<'_>, interface: u32) -> Result<Self, ParseError> {
        let high = fields.u32("timestamp (high)")?;
        let low = fields.u32("timestamp (low)")?;
        let captured = fields.u32("captured packet length")?;
        let original = fields.u32("original packet length")?;
        let start = fields.position();
        let data = fields.take(captured, "packet data")?;
        let ticks = Some(u64::from(high) << 32 | u64::from(low));
        Ok(Self { interface, ticks, original, start, length: data.len() })
    }

    fn simple(body: &[u8], order: ByteOrder) -> Result<Self, ParseError> {
        let mut fields = Fields::new(body, order);
        let original = fields.u32("original packet length")?;
        let start = fields.position();
        let room = body.len().saturating_sub(start);
        let length = usize::try_from(original).unwrap_or(usize::MAX).min(room);
        Ok(Self { interface: 0, ticks: None, original, start, length })
    }
}

/// What is between the head and the repeated length of a block in the window.
#[inline]
fn body(window: &Window, whole: usize) -> &[u8] {
    let length = whole.saturating_sub(BLOCK_HEAD).saturating_sub(4);
    window.bytes(window.start().saturating_add(BLOCK_HEAD), length)
}

#[cold]
fn untimed(info: &mut FileInfo, last_time: Timestamp) -> Timestamp {
    count(&mut info.anomalies.without_time);
    if info.packets == 0 { Timestamp::default() } else { last_time }
}

fn skip(part: Part, length: u32, window: &mut Window) -> Result<(), Located> {
    let offset = window.offset();
    let needed = u64::from(length);
    let available = window.skip(needed)?;
    if available == needed {
        return Ok(());
    }
    Err(Located { offset, fault: Fault::Truncated { inside: part, needed, available } })
}

#[cold]
fn at_end(window: &Window) -> Result<Option<Record>, Located> {
    if window.unread().is_empty() {
        return Ok(None);
    }
    Err(truncated(window, Part::BlockHeader, BLOCK_HEAD))
}

#[cold]
fn malformed(offset: u64, part: Part, error: ParseError) -> Located {
    Located { offset, fault: Fault::Malformed { part, error } }
}
