//! RTCP: compound packets and what the reports in them say.
//!
//! In: a UDP payload. Out: an iterator of borrowed [`Packet`]s and their typed [`Body`]. Follows RFC 3550 §6
//! (SR, RR, SDES, BYE, APP), RFC 4585 and RFC 5104 (feedback), RFC 3611 (XR) and RFC 5761 (telling RTCP from
//! RTP).
//!
//! Not done: SRTCP is not opened. Its first eight bytes are in the clear (RFC 3711 §3.4) and are read; what
//! the rest looks like is told by [`Compound::looks_encrypted`]. Transport-wide feedback, NACK lists and XR
//! blocks are cut out, not decoded.

mod body;
mod sdes;

use std::fmt;
use std::iter::FusedIterator;

pub use body::{
    App, Body, Bye, Feedback, ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport,
};
pub use sdes::{Sdes, SdesItem, SdesItems, SdesKind};

use crate::bytes::{ParseError, Probe, Reader};

/// The packet type, second byte of each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketType(pub u8);

impl PacketType {
    /// Sender report (RFC 3550 §6.4.1).
    pub const SR: Self = Self(200);
    /// Receiver report (RFC 3550 §6.4.2).
    pub const RR: Self = Self(201);
    /// Source description (RFC 3550 §6.5).
    pub const SDES: Self = Self(202);
    /// Goodbye (RFC 3550 §6.6).
    pub const BYE: Self = Self(203);
    /// Application-defined (RFC 3550 §6.7).
    pub const APP: Self = Self(204);
    /// Transport layer feedback (RFC 4585 §6.2).
    pub const RTPFB: Self = Self(205);
    /// Payload-specific feedback (RFC 4585 §6.3).
    pub const PSFB: Self = Self(206);
    /// Extended report (RFC 3611).
    pub const XR: Self = Self(207);

    /// The short name that IANA registers.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            192 => "FIR",
            193 => "NACK",
            194 => "SMPTETC",
            195 => "IJ",
            200 => "SR",
            201 => "RR",
            202 => "SDES",
            203 => "BYE",
            204 => "APP",
            205 => "RTPFB",
            206 => "PSFB",
            207 => "XR",
            208 => "AVB",
            209 => "RSI",
            210 => "TOKEN",
            211 => "IDMS",
            212 => "RGRS",
            213 => "SNM",
            _ => return None,
        })
    }

    /// True in the range that RFC 5761 §4 sets aside.
    pub const fn is_rtcp(self) -> bool {
        matches!(self.0, 192..=223)
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// One packet of a compound.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its type.
    pub packet_type: PacketType,
    /// Five bits: how many reports, sources or chunks; the format of feedback; the subtype of APP.
    pub count: u8,
    /// Padding bit; the padding is still part of [`Packet::payload`].
    pub has_padding: bool,
    /// All behind the four-byte header.
    pub payload: &'a [u8],
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}, {} bytes)", self.packet_type, self.count, self.payload.len())
    }
}

impl<'a> Packet<'a> {
    /// SSRC of the sender, the first word of every type but an empty BYE or SDES.
    pub fn ssrc(&self) -> Option<u32> {
        self.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// What the packet says.
    ///
    /// # Errors
    /// When it is too short for what its count announces. Offsets count from its payload.
    pub fn body(&self) -> Result<Body<'a>, ParseError> {
        Body::parse(self)
    }

    fn parse(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let offset = reader.position();
        let first = reader.u8("RTCP version")?;
        if first >> 6 != 2 {
            return Err(ParseError::Invalid { field: "RTCP version", offset, value: u64::from(first >> 6) });
        }
        let packet_type = PacketType(reader.u8("RTCP packet type")?);
        if !packet_type.is_rtcp() {
            return Err(ParseError::Invalid {
                field: "RTCP packet type",
                offset: offset.saturating_add(1),
                value: u64::from(packet_type.0),
            });
        }
        let words = usize::from(reader.u16("RTCP length")?);
        let payload = reader.take(words.saturating_mul(4), "RTCP packet")?;
        Ok(Self { packet_type, count: first & 0x1f, has_padding: first & 0x20 != 0, payload })
    }
}

/// The packets of one datagram.
///
/// Ends quietly where the bytes stop being RTCP; [`Compound::trailing`] is what was left.
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    whole: &'a [u8],
    reader: Reader<'a>,
}

impl<'a> Compound<'a> {
    /// A walk over `datagram`.
    ///
    /// # Errors
    /// When its first packet is not RTCP or is cut.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        Packet::parse(&mut Reader::new(datagram))?;
        Ok(Self { whole: datagram, reader: Reader::new(datagram) })
    }

    /// What the walk has not taken; once it ended, the bytes that are no RTCP packet.
    pub const fn trailing(&self) -> &'a [u8] {
        self.reader.peek()
    }

    /// Whether the datagram looks like SRTCP: behind the last whole packet stands something that begins with
    /// no RTCP header, and the index with its E bit is where one of the usual tags would leave it (RFC 3711
    /// §3.4, RFC 7714 §9.2).
    ///
    /// In SRTCP everything behind byte 8 is ciphertext, so later headers of a compound are noise as well.
    pub fn looks_encrypted(&self) -> bool {
        let mut walk = Compound { whole: self.whole, reader: Reader::new(self.whole) };
        while walk.next().is_some() {}
        let left = walk.trailing();
        left.len() >= MIN_SRTCP_TRAILER && has_index(left)
    }
}

/// Index and the shortest authentication tag, in bytes.
const MIN_SRTCP_TRAILER: usize = 8;

/// True when a tag of 80 or 32 bits, or of GCM, which stands before the index, leaves an index with its E bit
/// set and a number small enough for a call.
fn has_index(trailer: &[u8]) -> bool {
    const PLAUSIBLE: u32 = 1 << 24;
    [10, 4, 0].into_iter().any(|tag| {
        let index = trailer.len().checked_sub(tag).and_then(|end| trailer.get(..end));
        let word = index.and_then(|bytes| bytes.last_chunk::<4>()).map(|bytes| u32::from_be_bytes(*bytes));
        word.is_some_and(|word| word & 0x8000_0000 != 0 && word & 0x7fff_ffff < PLAUSIBLE)
    })
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut ahead = self.reader;
        let packet = Packet::parse(&mut ahead).ok()?;
        self.reader = ahead;
        Some(packet)
    }
}

impl FusedIterator for Compound<'_> {}

/// Whether `datagram` can be RTCP: version 2, a packet type from 192 to 223, a length that fits, and behind
/// it nothing, another such packet, or a trailer as SRTCP has.
///
/// [`Probe::Yes`] needs a registered type and a chain that ends where the datagram does.
#[inline]
pub fn probe(datagram: &[u8]) -> Probe {
    let Ok(mut compound) = Compound::parse(datagram) else { return Probe::No };
    let known = compound.next().is_some_and(|first| {
        // A report begins every compound (RFC 3550 §6.1); alone, feedback and the rest may (RFC 5506).
        matches!(first.packet_type.0, 200..=207) && first.payload.len() >= 4
    });
    while compound.next().is_some() {}
    if known && compound.trailing().is_empty() { Probe::Yes } else { Probe::Maybe }
}

#[cfg(test)]
mod tests;
