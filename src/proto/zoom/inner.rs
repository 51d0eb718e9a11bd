//! The media encapsulation, which is the same towards servers and between peers.

use std::net::IpAddr;

use super::Generation;
use crate::bytes::{ParseError, Reader};

/// Header length byte of an audio packet; the RTP header lies two bytes further on.
const AUDIO: u8 = 15;
const VIDEO: u8 = 16;
const SCREEN: u8 = 30;
const RELIABLE: u8 = 13;
/// Longest announced header that is believed; the longest seen is 24 bytes.
const MAX_HEADER: u8 = 64;
const MIN_HEADER: u8 = 16;
/// Longest text that a hole-punch packet may carry (an IPv6 address, or a UUID with braces).
const MAX_TEXT: u32 = 64;

/// What the RTP stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MediaKind {
    /// Type 15.
    Audio,
    /// Type 16.
    Video,
    /// Type 30.
    Screen,
}

/// Which frame a video packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameMark {
    /// Counts up per frame.
    pub number: u16,
    /// How many packets the frame was cut into.
    pub packets: u8,
}

/// One media packet.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Media<'a> {
    /// Audio, video or screen sharing.
    pub kind: MediaKind,
    /// Sequence number of the encapsulation (not of RTP).
    pub sequence: u16,
    /// The sender's clock in milliseconds.
    pub clock_ms: u32,
    /// Only on video.
    pub frame: Option<FrameMark>,
    /// Length of the RTP packet as announced, in bytes; only on audio.
    pub announced_length: Option<u16>,
    /// Where the RTP header begins, from the start of this encapsulation.
    pub rtp_offset: usize,
    /// The RTP packet.
    pub rtp: &'a [u8],
}

impl std::fmt::Debug for Media<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media")
            .field("kind", &self.kind)
            .field("sequence", &self.sequence)
            .field("clock_ms", &self.clock_ms)
            .field("frame", &self.frame)
            .field("announced_length", &self.announced_length)
            .field("rtp_offset", &self.rtp_offset)
            .field("rtp_length", &self.rtp.len())
            .finish()
    }
}

/// Type 13: the layer that resends; it wraps another encapsulation or is a bare acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reliable<'a> {
    /// The layout that fitted.
    pub generation: Generation,
    /// Low 16 bits of the sender's clock; absent in generation 2.
    pub clock_ms: Option<u16>,
    /// Counts up per wrapped message.
    pub sequence: u16,
    /// 0, or 2 when an acknowledgement block comes first.
    pub flags: u8,
    /// Where the wrapped encapsulation begins; `None` when nothing is wrapped.
    pub nested_offset: Option<usize>,
    /// The wrapped encapsulation, to be given to [`parse_inner`]; empty when nothing is wrapped.
    pub nested: &'a [u8],
}

impl std::fmt::Debug for Reliable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reliable")
            .field("generation", &self.generation)
            .field("clock_ms", &self.clock_ms)
            .field("sequence", &self.sequence)
            .field("flags", &self.flags)
            .field("nested_offset", &self.nested_offset)
            .field("nested_length", &self.nested.len())
            .finish()
    }
}

/// RTCP behind an encapsulation header (types 33, 34 and 35).
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rtcp<'a> {
    /// 33, 34 or 35.
    pub packet_type: u8,
    /// Where the RTCP packet begins, from the start of this encapsulation.
    pub offset: usize,
    /// The RTCP compound packet, in clear text.
    pub rtcp: &'a [u8],
}

impl std::fmt::Debug for Rtcp<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rtcp")
            .field("packet_type", &self.packet_type)
            .field("offset", &self.offset)
            .field("rtcp_length", &self.rtcp.len())
            .finish()
    }
}

/// Sub-type of a control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControlKind(pub u8);

impl ControlKind {
    /// Bandwidth probe: a header and about 1000 bytes of one value.
    pub const PROBE: Self = Self(0x33);
    /// Answer to probes, with named bandwidth levels.
    pub const FEEDBACK: Self = Self(0x35);
}

/// Type 21: bandwidth probes and what is reported back on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Control {
    /// Sub-type.
    pub kind: ControlKind,
    /// True when the body is one repeated byte. Such bodies must not be tested for repeated cipher blocks.
    pub is_probe: bool,
}

/// Types 12 and 13: a flow is attached to a client's place in a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bind {
    /// The same in all flows of one client; whether it spans the meeting is not established.
    pub id: [u8; 16],
    /// User id with a stream selector in its low bits; it is the SSRC of that stream.
    pub node_id: u32,
    /// The byte that follows the node id; differs between the flows of a client.
    pub selector: u8,
}

/// Type 31: opens the path between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HolePunch<'a> {
    /// Node id of the sender.
    pub sender: u32,
    /// Node id of the peer.
    pub peer: u32,
    /// The peer's address as the sender wrote it.
    pub peer_address: &'a str,
    /// The same text in both directions: the key of the peer-to-peer session.
    pub uuid: &'a str,
}

impl HolePunch<'_> {
    /// The peer's address, if what was written is one.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.peer_address.parse().ok()
    }
}

/// What the media encapsulation carries, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inner<'a> {
    /// Types 15, 16 and 30.
    Media(Media<'a>),
    /// Type 13 as a wrapper.
    Reliable(Reliable<'a>),
    /// Types 33, 34 and 35.
    Rtcp(Rtcp<'a>),
    /// Type 21.
    Control(Control),
    /// Type 12.
    BindRequest(Bind),
    /// Type 13 as the answer to a bind request.
    BindReply(Bind),
    /// Type 10: small, sent now and then.
    Periodic,
    /// Type 31.
    HolePunch(HolePunch<'a>),
    /// A type that is not known.
    Unknown(u8),
}

impl<'a> Inner<'a> {
    /// The RTP packet, also through a wrapper.
    pub fn rtp(&self) -> Option<&'a [u8]> {
        match self {
            Self::Media(media) => Some(media.rtp),
            Self::Reliable(wrapper) => {
                let offset = rtp_offset(wrapper.nested)?;
                wrapper.nested.get(offset..)
            }
            Self::Rtcp(_)
            | Self::Control(_)
            | Self::BindRequest(_)
            | Self::BindReply(_)
            | Self::Periodic
            | Self::HolePunch(_)
            | Self::Unknown(_) => None,
        }
    }
}

/// Reads a media encapsulation that has no SFU header: peer-to-peer traffic, or what a wrapper holds.
///
/// # Errors
/// [`ParseError`] when the packet ends before the fields of its type do, or when no RTP or RTCP version 2
/// header is where the encapsulation says.
pub fn parse_inner(bytes: &[u8]) -> Result<Inner<'_>, ParseError> {
    let wrapped_short = bytes.first() == Some(&RELIABLE) && nested_offset(bytes, Generation::V3).is_none();
    if wrapped_short && nested_offset(bytes, Generation::V2).is_some() {
        return parse(bytes, Generation::V2);
    }
    parse(bytes, Generation::V3)
}

pub(super) fn parse(bytes: &[u8], generation: Generation) -> Result<Inner<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    match reader.u8("zoom media type")? {
        AUDIO => media(bytes, MediaKind::Audio),
        VIDEO => media(bytes, MediaKind::Video),
        SCREEN => media(bytes, MediaKind::Screen),
        RELIABLE => reliable_or_reply(bytes, generation),
        packet_type @ 33..=35 => rtcp(bytes, packet_type),
        21 => control(bytes),
        12 => Ok(Inner::BindRequest(bind(bytes)?)),
        10 => Ok(Inner::Periodic),
        31 => hole_punch(bytes),
        other => Ok(Inner::Unknown(other)),
    }
}

/// Offset of the RTP header in a media packet, if an RTP version 2 header is there.
#[inline]
pub(super) fn rtp_offset(bytes: &[u8]) -> Option<usize> {
    let (kind, header_length) = (*bytes.first()?, *bytes.get(6)?);
    if !matches!(kind, AUDIO | VIDEO | SCREEN) || !(MIN_HEADER..=MAX_HEADER).contains(&header_length) {
        return None;
    }
    let behind_header = if kind == AUDIO { 2 } else { 0 };
    let offset = usize::from(header_length).checked_add(behind_header)?;
    // 12 bytes are the shortest RTP header.
    let header = bytes.get(offset..)?.first_chunk::<12>()?;
    let [first, ..] = header;
    (first >> 6 == 2).then_some(offset)
}

/// Where the encapsulation inside a wrapper begins, if one that is known begins there.
#[inline]
pub(super) fn nested_offset(bytes: &[u8], generation: Generation) -> Option<usize> {
    let offset = match (generation, bytes.get(3)?, bytes.get(5)?) {
        (Generation::V2, 0, _) => 4,
        (Generation::V2, 2, _) => 8,
        (Generation::V3, _, 0) => 7,
        (Generation::V3, _, 2) => 15,
        _ => return None,
    };
    let nested = bytes.get(offset..)?;
    // A wrapper in a wrapper has not been seen; a nested 13 is a bind reply.
    is_known_head(nested).then_some(offset)
}

/// True when the two first bytes open an encapsulation that is known.
#[inline]
pub(super) fn is_known_head(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [12 | AUDIO | VIDEO | 21 | SCREEN | 33..=35, 1, ..] | [RELIABLE, ..] | [10, 6, 0, ..] | [31, 2, ..]
    )
}

fn media(bytes: &[u8], kind: MediaKind) -> Result<Inner<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    reader.take(6, "zoom media head")?;
    let header_length = reader.u8("zoom media header length")?;
    reader.take(2, "zoom media flags")?;
    let sequence = reader.u16("zoom media sequence")?;
    let clock_ms = reader.u32("zoom media clock")?;
    if !(MIN_HEADER..=MAX_HEADER).contains(&header_length) {
        return Err(ParseError::Invalid {
            field: "zoom media header length",
            offset: 6,
            value: u64::from(header_length),
        });
    }
    let announced_length = match kind {
        MediaKind::Audio => Some(u16_at(bytes, usize::from(header_length), "zoom audio length")?),
        MediaKind::Video | MediaKind::Screen => None,
    };
    let frame = (kind == MediaKind::Video).then(|| frame_mark(bytes)).flatten();
    let behind_header = if kind == MediaKind::Audio { 2 } else { 0 };
    let rtp_offset = usize::from(header_length).saturating_add(behind_header);
    let rtp = version_2_from(bytes, rtp_offset, "zoom rtp header")?;
    Ok(Inner::Media(Media { kind, sequence, clock_ms, frame, announced_length, rtp_offset, rtp }))
}

/// The mark is there when byte 20 is 2 (the long video header).
fn frame_mark(bytes: &[u8]) -> Option<FrameMark> {
    match bytes.get(20..24)? {
        [2, high, low, packets] => {
            Some(FrameMark { number: u16::from_be_bytes([*high, *low]), packets: *packets })
        }
        _ => None,
    }
}

fn u16_at(bytes: &[u8], offset: usize, field: &'static str) -> Result<u16, ParseError> {
    let mut reader = Reader::new(bytes);
    reader.take(offset, "zoom media header")?;
    reader.u16(field)
}

/// The rest from `offset`, which must open with RTP/RTCP version 2.
fn version_2_from<'a>(bytes: &'a [u8], offset: usize, field: &'static str) -> Result<&'a [u8], ParseError> {
    let mut reader = Reader::new(bytes);
    reader.take(offset, "zoom media header")?;
    let rest = reader.peek();
    let first = reader.u8(field)?;
    if first >> 6 == 2 {
        Ok(rest)
    } else {
        Err(ParseError::Invalid { field, offset, value: u64::from(first) })
    }
}

fn rtcp(bytes: &[u8], packet_type: u8) -> Result<Inner<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    reader.take(6, "zoom media head")?;
    let offset = usize::from(reader.u8("zoom media header length")?);
    let rtcp = version_2_from(bytes, offset, "zoom rtcp header")?;
    Ok(Inner::Rtcp(Rtcp { packet_type, offset, rtcp }))
}

fn control(bytes: &[u8]) -> Result<Inner<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    reader.take(9, "zoom control head")?;
    let kind = ControlKind(reader.u8("zoom control kind")?);
    // 28 bytes of header, then the filling. 32 equal bytes do not come about by chance. All are equal if each equals the one before it.
    let filling = bytes.get(28..).unwrap_or_default();
    let is_probe = filling.len() >= 32 && filling.get(1..) == filling.split_last().map(|(_, rest)| rest);
    Ok(Inner::Control(Control { kind, is_probe }))
}

fn bind(bytes: &[u8]) -> Result<Bind, ParseError> {
    let mut reader = Reader::new(bytes);
    reader.take(2, "zoom bind head")?;
    Ok(Bind {
        id: reader.array("zoom bind id")?,
        node_id: reader.u32("zoom bind node id")?,
        selector: reader.u8("zoom bind selector")?,
    })
}

/// A wrapper has a known encapsulation at one of two fixed places; a reply has its id there, which
/// looks like one with odds of about one in a million.
fn reliable_or_reply(bytes: &[u8], generation: Generation) -> Result<Inner<'_>, ParseError> {
    let nested_at = nested_offset(bytes, generation);
    if nested_at.is_none() && bytes.get(1) == Some(&1) && bytes.len() >= 23 {
        return Ok(Inner::BindReply(bind(bytes)?));
    }
    let mut reader = Reader::new(bytes);
    reader.u8("zoom media type")?;
    let clock_ms = match generation {
        Generation::V2 => None,
        Generation::V3 => Some(reader.u16("zoom wrapper clock")?),
    };
    Ok(Inner::Reliable(Reliable {
        generation,
        clock_ms,
        sequence: reader.u16("zoom wrapper sequence")?,
        flags: reader.u8("zoom wrapper flags")?,
        nested_offset: nested_at,
        nested: nested_at.and_then(|offset| bytes.get(offset..)).unwrap_or_default(),
    }))
}

fn hole_punch(bytes: &[u8]) -> Result<Inner<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    reader.take(2, "zoom hole punch head")?;
    let sender = reader.u32("zoom hole punch sender")?;
    let peer = reader.u32("zoom hole punch peer")?;
    // The head is 24 bytes in all.
    reader.take(14, "zoom hole punch head")?;
    let peer_address = text(&mut reader, "zoom hole punch address")?;
    let uuid = text(&mut reader, "zoom hole punch uuid")?;
    Ok(Inner::HolePunch(HolePunch { sender, peer, peer_address, uuid }))
}

fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, ParseError> {
    let offset = reader.position();
    let length = reader.u32(field)?;
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_TEXT {
        return Err(ParseError::TooLong { field, offset, length: wanted, limit: 64 });
    }
    let bytes = reader.take(wanted, field)?;
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(ParseError::Invalid { field, offset, value: u64::from(length) }),
    }
}
