//! RTP packets and what a stream of them tells.
//!
//! In: a UDP payload (or what a relay wrapped). Out: a [`Peek`] for counting at line rate, a full [`Header`]
//! for looking closer, and [`stats::Stream`]. Follows RFC 3550 §5.1, RFC 8285 (header extensions), RFC 5761
//! (telling RTP from RTCP) and RFC 3551 (static payload types).
//!
//! Not done: SRTP is not opened. Its header is that of RTP and reads the same, but the payload and the
//! padding inside are ciphertext, so padding is reported and never trusted.

mod extension;
pub mod frame_jitter;
pub mod frames;
pub mod level;
mod payload_type;
pub mod runs;
pub mod series;
pub mod sketch;
pub mod stats;

pub use extension::{Element, Elements};
pub use payload_type::{Kind, PayloadType, static_type};

use crate::bytes::{ParseError, Probe, Reader};

/// Length of the fixed header, in bytes.
pub const FIXED_HEADER_LENGTH: usize = 12;

/// The header fields that counting needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek {
    /// Payload type, 7 bits.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// Where the payload begins, in bytes: fixed header, contributing sources and extension.
    pub header_length: usize,
}

/// The header of an RTP packet when `packet` can be one: version 2, a payload type that RFC 5761 does not
/// leave to RTCP, and room for the sources and the extension that it announces.
#[inline]
pub fn peek(packet: &[u8]) -> Option<Peek> {
    let (head, rest) = packet.split_first_chunk::<FIXED_HEADER_LENGTH>()?;
    let [first, second, n0, n1, t0, t1, t2, t3, s0, s1, s2, s3] = *head;
    let payload_type = second & 0x7f;
    // RFC 5761 §4: 64 to 95 would read as RTCP packet types 192 to 223.
    if first >> 6 != 2 || payload_type >> 5 == 2 {
        return None;
    }
    let sources = usize::from(first & 0x0f).saturating_mul(4);
    let mut header_length = FIXED_HEADER_LENGTH.saturating_add(sources);
    let rest = rest.get(sources..)?;
    if first & 0x10 != 0 {
        let (&[_, _, words_high, words_low], data) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([words_high, words_low])).saturating_mul(4);
        if length > data.len() {
            return None;
        }
        header_length = header_length.saturating_add(4).saturating_add(length);
    }
    Some(Peek {
        payload_type,
        marker: second & 0x80 != 0,
        sequence: u16::from_be_bytes([n0, n1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
        header_length,
    })
}

/// The same of a packet that a short snap length may have cut behind the fixed header: for sources that are known already.
#[inline]
pub fn peek_known(packet: &[u8]) -> Option<Peek> {
    peek(packet).or_else(|| {
        let head = packet.first_chunk::<FIXED_HEADER_LENGTH>()?;
        let mut plain = *head;
        // Without its sources and extension, which are not all there.
        plain[0] &= 0xe0;
        Some(Peek { header_length: packet.len(), ..peek(&plain)? })
    })
}

/// Whether `packet` can be RTP. RTP has no magic value, so never [`Probe::Yes`]: ask for several packets of
/// one source with rising sequence numbers before believing it.
#[inline]
pub fn probe(packet: &[u8]) -> Probe {
    let Some(peek) = peek(packet) else { return Probe::No };
    let padded = packet.first().is_some_and(|first| first & 0x20 != 0);
    let room = packet.len().saturating_sub(peek.header_length);
    // The count of padding bytes sits last and counts itself; SRTP hides it, but then a key or tag follows
    // and the bit is in practice only set by probing packets, which are long.
    if padded && room == 0 { Probe::No } else { Probe::Maybe }
}

/// Like [`probe`], for cleartext RTP: the padding count must also fit (RFC 3550 §5.1).
pub fn probe_clear(packet: &[u8]) -> Probe {
    match Header::parse(packet) {
        Ok(header) if !header.has_padding || header.padding_length().is_some() => probe(packet),
        _ => Probe::No,
    }
}

/// A whole RTP packet, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Payload type, 7 bits.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// Padding bit.
    pub has_padding: bool,
    /// The header extension, where the X bit is set.
    pub extension: Option<Extension<'a>>,
    /// All behind the header: payload and, if [`Header::has_padding`], padding.
    pub body: &'a [u8],
    sources: &'a [u8],
}

/// A header extension as sent (RFC 3550 §5.3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// "Defined by profile"; 0xbede and 0x1000 to 0x100f mean RFC 8285.
    pub profile: u16,
    /// Its data, a multiple of four bytes.
    pub data: &'a [u8],
}

impl std::fmt::Debug for Extension<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Extension({:#06x}, {} bytes)", self.profile, self.data.len())
    }
}

impl std::fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header")
            .field("payload_type", &self.payload_type)
            .field("marker", &self.marker)
            .field("sequence", &self.sequence)
            .field("timestamp", &self.timestamp)
            .field("ssrc", &self.ssrc)
            .field("extension", &self.extension)
            .field("body_length", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Header<'a> {
    /// Takes a packet apart.
    ///
    /// # Errors
    /// When the version is not 2 or the header is cut. Payload types of RTCP pass: ask [`probe`] first.
    pub fn parse(packet: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(packet);
        let first = reader.u8("RTP version")?;
        if first >> 6 != 2 {
            return Err(ParseError::Invalid {
                field: "RTP version",
                offset: 0,
                value: u64::from(first >> 6),
            });
        }
        let second = reader.u8("RTP payload type")?;
        let sequence = reader.u16("RTP sequence number")?;
        let timestamp = reader.u32("RTP timestamp")?;
        let ssrc = reader.u32("RTP SSRC")?;
        let sources = reader.take(usize::from(first & 0x0f).saturating_mul(4), "RTP CSRC list")?;
        let extension = if first & 0x10 == 0 {
            None
        } else {
            let profile = reader.u16("RTP extension profile")?;
            let words = usize::from(reader.u16("RTP extension length")?);
            Some(Extension { profile, data: reader.take(words.saturating_mul(4), "RTP extension")? })
        };
        Ok(Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence,
            timestamp,
            ssrc,
            has_padding: first & 0x20 != 0,
            extension,
            body: reader.rest(),
            sources,
        })
    }

    /// Contributing sources in order.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.sources.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// How many bytes of padding the last byte announces: `Some(0)` without the padding bit, `None` when the
    /// count is 0 or exceeds the body (ciphertext, or malformed).
    pub fn padding_length(&self) -> Option<usize> {
        if !self.has_padding {
            return Some(0);
        }
        let count = usize::from(*self.body.last()?);
        (count > 0 && count <= self.body.len()).then_some(count)
    }

    /// The body without its padding; the whole body when the padding count makes no sense.
    pub fn payload(&self) -> &'a [u8] {
        let kept = self.body.len().saturating_sub(self.padding_length().unwrap_or(0));
        self.body.get(..kept).unwrap_or(self.body)
    }

    /// The elements of an RFC 8285 extension; empty for any other profile or none.
    pub fn elements(&self) -> Elements<'a> {
        self.extension
            .map_or_else(Elements::empty, |extension| Elements::new(extension.profile, extension.data))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(in crate::proto) mod tshark;
