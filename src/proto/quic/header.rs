//! Packet headers as far as they are readable without keys, and the packets of one datagram.
//!
//! In: a UDP payload. Out: [`Packets`], an iterator over coalesced packets (RFC 9000 §12.2), each a
//! borrowed [`Packet`]. RFC 8999 for versions that are not known, RFC 9000 §17 and RFC 9369 §3.2 for
//! those that are. Header protection is not removed here. The packets of a short header cannot be
//! told apart further: their connection ID has no length field.

use crate::bytes::{ParseError, Reader};

use super::version::{Layout, Version};

/// Longest connection ID of the known versions (RFC 9000 §17.2); RFC 8999 lets others have 255.
const MAX_KNOWN_ID: usize = 20;

/// Bytes of a Retry integrity tag (RFC 9001 §5.8).
const RETRY_TAG: usize = 16;

/// What a long header packet is for, after the version's own reading of the type bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// First flight, under keys that anybody can compute.
    Initial,
    /// Early data.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// Address validation by the server.
    Retry,
    /// A version of which only the invariants are known, or bytes that do not fit RFC 9000.
    Opaque,
}

/// A long header packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Long<'a> {
    /// First byte; its low bits may be protected.
    pub first: u8,
    /// Version field.
    pub version: Version,
    /// What the packet is for.
    pub kind: Kind,
    /// Destination Connection ID.
    pub dcid: &'a [u8],
    /// Source Connection ID.
    pub scid: &'a [u8],
    /// Token of an Initial or a Retry; empty in others.
    pub token: &'a [u8],
    /// The whole packet, first byte to the end of its Length.
    pub packet: &'a [u8],
    /// Where in [`Long::packet`] the Packet Number begins.
    pub number_offset: usize,
}

/// A Version Negotiation packet (RFC 8999 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiation<'a> {
    /// Destination Connection ID: the client's source ID.
    pub dcid: &'a [u8],
    /// Source Connection ID: the client's destination ID.
    pub scid: &'a [u8],
    list: &'a [u8],
}

impl<'a> Negotiation<'a> {
    /// The versions that the server offers, in its order; a ragged end is left out.
    pub fn versions(&self) -> impl Iterator<Item = Version> + use<'a> {
        let (whole, _) = self.list.as_chunks::<4>();
        whole.iter().map(|value| Version(u32::from_be_bytes(*value)))
    }
}

/// One packet of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// Any long header but Version Negotiation.
    Long(Long<'a>),
    /// Version Negotiation.
    Negotiation(Negotiation<'a>),
    /// A short header and all that follows it.
    Short(&'a [u8]),
}

/// Reads a variable-length integer (RFC 9000 §16).
pub(in crate::proto) fn varint(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, ParseError> {
    match reader.peek().first().map(|first| first >> 6) {
        Some(0) | None => Ok(u64::from(reader.u8(field)?)),
        Some(1) => Ok(u64::from(reader.u16(field)? & 0x3fff)),
        Some(2) => Ok(u64::from(reader.u32(field)? & 0x3fff_ffff)),
        Some(_) => Ok(reader.u64(field)? & 0x3fff_ffff_ffff_ffff),
    }
}

/// Reads a variable-length integer as the length of something that should follow.
pub(super) fn varlen(reader: &mut Reader<'_>, field: &'static str) -> Result<usize, ParseError> {
    let value = varint(reader, field)?;
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}

/// The coalesced packets of one datagram, in order. Ends after the first error, and quietly before
/// trailing zeros (padding outside of packets): a packet may lack the fixed bit (RFC 9287).
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Packets<'a> {
    /// The packets of `datagram`.
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram, offset: 0 }
    }

    fn step(&mut self, first: u8) -> Result<Option<Packet<'a>>, ParseError> {
        let input = std::mem::take(&mut self.rest);
        if first & 0x80 == 0 {
            let is_packet = self.offset == 0 || first & 0x40 != 0 || input.iter().any(|byte| *byte != 0);
            return Ok(is_packet.then_some(Packet::Short(input)));
        }
        let packet = long(input).map_err(|error| error.shifted(self.offset))?;
        if let Packet::Long(header) = packet {
            self.offset = self.offset.saturating_add(header.packet.len());
            self.rest = input.get(header.packet.len()..).unwrap_or_default();
        }
        Ok(Some(packet))
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.rest.first()?;
        self.step(first).transpose()
    }
}

/// Destination and Source Connection ID of a long header at the start of `input`, of which no more need be there.
pub fn ids(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(input);
    let first = reader.u8("first byte").ok()?;
    let version = Version(reader.u32("version").ok()?);
    if first & 0x80 == 0 { None } else { long_ids(&mut reader, version.layout()).ok() }
}

fn long_ids<'a>(reader: &mut Reader<'a>, layout: Layout) -> Result<(&'a [u8], &'a [u8]), ParseError> {
    match layout {
        Layout::NibbleIds | Layout::GoogleClear => nibble_ids(reader),
        Layout::Rfc | Layout::Invariant => {
            let limit = if layout == Layout::Rfc { MAX_KNOWN_ID } else { usize::from(u8::MAX) };
            let dcid = id(reader, "destination connection id", limit)?;
            Ok((dcid, id(reader, "source connection id", limit)?))
        }
    }
}

/// Reads the long header packet at the start of `input`.
fn long(input: &[u8]) -> Result<Packet<'_>, ParseError> {
    let mut reader = Reader::new(input);
    let first = reader.u8("first byte")?;
    let version = Version(reader.u32("version")?);
    let layout = version.layout();
    let (dcid, scid) = long_ids(&mut reader, layout)?;
    if version == Version::NEGOTIATION {
        return Ok(Packet::Negotiation(Negotiation { dcid, scid, list: reader.rest() }));
    }
    let opaque = Long {
        first,
        version,
        kind: Kind::Opaque,
        dcid,
        scid,
        token: &[],
        packet: input,
        number_offset: reader.position(),
    };
    match layout {
        Layout::GoogleClear => Ok(Packet::Long(Long { kind: kind(first, version), ..opaque })),
        Layout::NibbleIds => Ok(Packet::Long(opaque)),
        Layout::Rfc => body(reader, input, opaque).map(Packet::Long),
        Layout::Invariant if dcid.len().max(scid.len()) > MAX_KNOWN_ID => Ok(Packet::Long(opaque)),
        Layout::Invariant => Ok(Packet::Long(body(reader, input, opaque).unwrap_or(opaque))),
    }
}

/// Reads what follows the connection IDs, as RFC 9000 §17.2 has it.
fn body<'a>(mut reader: Reader<'a>, input: &'a [u8], header: Long<'a>) -> Result<Long<'a>, ParseError> {
    let kind = kind(header.first, header.version);
    let token = match kind {
        Kind::Initial => {
            let length = varlen(&mut reader, "token length")?;
            reader.take(length, "token")?
        }
        Kind::Retry => {
            let rest = reader.rest();
            let tag = if header.version.retry_secret().is_some() { RETRY_TAG } else { 0 };
            let token = rest.get(..rest.len().saturating_sub(tag)).unwrap_or_default();
            return Ok(Long { kind, token, ..header });
        }
        Kind::ZeroRtt | Kind::Handshake | Kind::Opaque => &[],
    };
    let length = varlen(&mut reader, "length")?;
    let number_offset = reader.position();
    reader.take(length, "payload")?;
    let packet = input.get(..reader.position()).unwrap_or(input);
    Ok(Long { kind, token, packet, number_offset, ..header })
}

const fn kind(first: u8, version: Version) -> Kind {
    let turn = if version.has_turned_types() { 3 } else { 0 };
    match (first >> 4).wrapping_add(turn) & 3 {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    }
}

fn id<'a>(reader: &mut Reader<'a>, field: &'static str, limit: usize) -> Result<&'a [u8], ParseError> {
    let offset = reader.position();
    let length = usize::from(reader.u8(field)?);
    if length > limit {
        return Err(ParseError::TooLong { field, offset, length, limit });
    }
    reader.take(length, field)
}

/// Each nibble is 0 for an absent ID, else the length less 3.
fn nibble_ids<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), ParseError> {
    let lengths = reader.u8("connection id lengths")?;
    let length = |nibble: u8| if nibble == 0 { 0 } else { usize::from(nibble).saturating_add(3) };
    let dcid = reader.take(length(lengths >> 4), "destination connection id")?;
    let scid = reader.take(length(lengths & 0x0f), "source connection id")?;
    Ok((dcid, scid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::near::near;
    use proptest::prelude::*;

    fn only(input: &[u8]) -> Packet<'_> {
        Packets::new(input).next().unwrap().unwrap()
    }

    #[test]
    fn version_2_turns_the_type_bits() {
        let mut input = vec![0xd3, 0x6b, 0x33, 0x43, 0xcf, 1, 7, 0, 0, 2, 9, 9];
        let Packet::Long(header) = only(&input) else { panic!("long") };
        assert_eq!((header.kind, header.dcid, header.packet.len()), (Kind::Initial, &[7][..], 12));
        assert_eq!(header.number_offset, 10);
        input[0] = 0xc0;
        let Packet::Long(header) = only(&input) else { panic!("long") };
        assert_eq!(header.kind, Kind::Retry);
    }

    #[test]
    fn coalesced_packets_are_walked_and_padding_ends_them() {
        let handshake = [0xe0, 0, 0, 0, 1, 0, 0, 2, 1, 2];
        let mut input = handshake.to_vec();
        input.extend(handshake);
        input.extend([0x41, 5, 5]);
        let kinds: Vec<_> = Packets::new(&input).map(Result::unwrap).collect();
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds[2], Packet::Short(&[0x41, 5, 5]));
        input.truncate(20);
        input.extend([0; 9]);
        assert_eq!(Packets::new(&input).count(), 2);
        // RFC 9287 section 3.1: a short header whose fixed bit was cleared.
        input[20] = 0x1b;
        assert_eq!(Packets::new(&input).last().unwrap().unwrap(), Packet::Short(&input[20..]));
    }

    #[test]
    fn ids_are_read_of_a_header_whose_packet_is_cut() {
        // The head of the client Initial of RFC 9001 appendix A.2, and of its answer in A.3.
        let client = [0xc3, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0, 0x44];
        assert_eq!(ids(&client), Some((&client[6..14], &[][..])));
        let server = [0xcf, 0, 0, 0, 1, 0, 8, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5, 0, 0x40];
        assert_eq!(ids(&server), Some((&[][..], &server[7..15])));
        assert_eq!(
            (ids(&client[..14]), ids(&client[..9]), ids(&[0x43, 0, 0, 0, 1, 0, 0])),
            (None, None, None)
        );
    }

    #[test]
    fn negotiation_lists_versions() {
        let input = [0x80, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1, 0xff, 0, 0, 29, 9];
        let Packet::Negotiation(packet) = only(&input) else { panic!("negotiation") };
        assert_eq!(packet.scid, [3]);
        assert_eq!(packet.versions().collect::<Vec<_>>(), [Version::V1, Version(0xff00_001d)]);
    }

    #[test]
    fn long_ids_are_for_unknown_versions_only() {
        let mut input = vec![0xc0, 0x12, 0x34, 0x56, 0x78, 30];
        input.extend([1; 30]);
        input.push(0);
        let Packet::Long(header) = only(&input) else { panic!("long") };
        assert_eq!((header.kind, header.dcid.len()), (Kind::Opaque, 30));
        input[1..5].copy_from_slice(&[0, 0, 0, 1]);
        let error = Packets::new(&input).next().unwrap().unwrap_err();
        assert_eq!(error.field(), "destination connection id");
    }

    #[test]
    fn every_prefix_of_a_packet_is_truncated() {
        let whole = [0xc0, 0, 0, 0, 1, 2, 1, 2, 2, 3, 4, 1, 9, 0x40, 3, 7, 7, 7];
        for end in 1..whole.len() {
            let error = Packets::new(&whole[..end]).next().unwrap().unwrap_err();
            assert!(error.is_truncated(), "{end}: {error}");
        }
        assert!(Packets::new(&whole).next().unwrap().is_ok());
    }

    /// Packets of version 2 and 1 with a short header; an Initial and a Retry; Version Negotiation; Google's Q046.
    const DATAGRAMS: [&[u8]; 4] = [
        &[0xd3, 0x6b, 0x33, 0x43, 0xcf, 1, 7, 0, 0, 2, 9, 9, 0xe0, 0, 0, 0, 1, 0, 0, 2, 1, 2, 0x41, 5, 5],
        &[0xc3, 0, 0, 0, 1, 2, 7, 7, 1, 8, 3, 1, 2, 3, 0x40, 4, 9, 9, 9, 9, 0xf0, 0, 0, 0, 1, 0, 0, 5, 5],
        &[0x80, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1, 0xff, 0, 0, 29],
        &[0xff, b'Q', b'0', b'4', b'6', 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0],
    ];

    #[test]
    fn the_datagrams_that_are_damaged_below_are_sound() {
        let packets = |datagram| Packets::new(datagram).collect::<Result<Vec<_>, _>>().unwrap().len();
        assert_eq!(DATAGRAMS.map(packets), [3, 2, 1, 1]);
    }

    proptest! {
        #[test]
        fn near_a_datagram_packets_are_its_pieces_in_order(
            datagram in near(DATAGRAMS),
        ) {
            let mut rest = datagram.as_slice();
            let named = ids(&datagram);
            prop_assert!(named.is_none_or(|(dcid, scid)| 6 + dcid.len() + scid.len() <= datagram.len()));
            if let Some(Ok(Packet::Long(long))) = Packets::new(&datagram).next() {
                prop_assert_eq!(named, Some((long.dcid, long.scid)));
            }
            for packet in Packets::new(&datagram) {
                match packet {
                    Ok(Packet::Long(long)) => {
                        prop_assert!(!long.packet.is_empty() && rest.starts_with(long.packet));
                        prop_assert!(long.number_offset <= long.packet.len());
                        let ids = long.dcid.len() + long.scid.len() + long.token.len();
                        prop_assert!(5 + ids <= long.packet.len());
                        rest = &rest[long.packet.len()..];
                    }
                    Ok(Packet::Negotiation(packet)) => prop_assert!(4 * packet.versions().count() + 7 <= rest.len()),
                    Ok(Packet::Short(all)) => prop_assert_eq!(all, rest),
                    Err(_) => {}
                }
            }
        }

        #[test]
        fn a_length_is_its_number_or_none_that_fits(bytes in near([[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]])) {
            let (mut one, mut other) = (Reader::new(&bytes), Reader::new(&bytes));
            let number = varint(&mut one, "value");
            prop_assert_eq!(varlen(&mut other, "value").ok(), number.ok().and_then(|number| usize::try_from(number).ok()));
            prop_assert_eq!(one.position(), other.position());
            prop_assert!(number.is_err() || one.position() == 1 << (bytes[0] >> 6));
        }
    }
}
