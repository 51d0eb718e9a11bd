//! The record layer of DTLS: a datagram in, its records out. RFC 6347 §4.1, RFC 9147 §4.

use crate::bytes::{ParseError, Probe, Reader};
use crate::proto::tls::{ContentType, HandshakeType, MAX_FRAGMENT_LENGTH, ProtocolVersion};

/// A record with the full header, RFC 6347 §4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct PlainRecord<'a> {
    /// What the fragment holds.
    pub content_type: ContentType,
    /// The version of the record layer.
    pub version: ProtocolVersion,
    /// Counts changes of keys: 0 is clear text.
    pub epoch: u16,
    /// 48-bit number within the epoch.
    pub sequence: u64,
    /// The connection id of a `tls12_cid` record whose length is known; empty otherwise.
    pub connection_id: &'a [u8],
    /// The body; ciphertext when `epoch` is not 0.
    pub fragment: &'a [u8],
}

/// A record with the unified header of DTLS 1.3, always encrypted, RFC 9147 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct UnifiedRecord<'a> {
    /// The lowest two bits of the epoch.
    pub epoch_low: u8,
    /// The connection id, when the header has one and its length is known.
    pub connection_id: &'a [u8],
    /// The sequence number is encrypted; how many bytes of it there are: 1 or 2.
    pub sequence_length: u8,
    /// The ciphertext; up to the end of the datagram when the header has no length.
    pub ciphertext: &'a [u8],
}

/// One record of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// With the full header.
    Plain(PlainRecord<'a>),
    /// With the unified header of DTLS 1.3.
    Unified(UnifiedRecord<'a>),
}

impl<'a> Record<'a> {
    /// Length of the full header in bytes.
    pub const HEADER_LENGTH: usize = 13;

    fn parse(reader: &mut Reader<'a>, connection_id_length: usize) -> Result<Self, ParseError> {
        let start = reader.position();
        let first = reader.u8("record content type")?;
        match first {
            20..=26 => plain(reader, ContentType(first), connection_id_length).map(Self::Plain),
            // 001CSLEE, RFC 9147 §4.
            32..=63 => unified(reader, first, connection_id_length).map(Self::Unified),
            _ => {
                Err(ParseError::Invalid { field: "record content type", offset: start, value: first.into() })
            }
        }
    }
}

const fn is_version(version: u16) -> bool {
    matches!(version, 0xfeff | 0xfefd | 0xfefc | 0x0100)
}

fn plain<'a>(
    reader: &mut Reader<'a>,
    content_type: ContentType,
    connection_id_length: usize,
) -> Result<PlainRecord<'a>, ParseError> {
    let offset = reader.position();
    let version = reader.u16("record version")?;
    if !is_version(version) {
        return Err(ParseError::Invalid { field: "record version", offset, value: version.into() });
    }
    let epoch = reader.u16("record epoch")?;
    let sequence = reader.u48("record sequence number")?;
    let has_id = content_type == ContentType::TLS12_CID;
    let connection_id = reader.take(if has_id { connection_id_length } else { 0 }, "connection id")?;
    let offset = reader.position();
    let length = usize::from(reader.u16("record length")?);
    if length > MAX_FRAGMENT_LENGTH {
        return Err(ParseError::TooLong {
            field: "record length",
            offset,
            length,
            limit: MAX_FRAGMENT_LENGTH,
        });
    }
    let fragment = reader.take(length, "record fragment")?;
    Ok(PlainRecord {
        content_type,
        version: ProtocolVersion(version),
        epoch,
        sequence,
        connection_id,
        fragment,
    })
}

fn unified<'a>(
    reader: &mut Reader<'a>,
    first: u8,
    connection_id_length: usize,
) -> Result<UnifiedRecord<'a>, ParseError> {
    let has_id = first & 0x10 != 0;
    let sequence_length = if first & 0x08 != 0 { 2 } else { 1 };
    let connection_id = reader.take(if has_id { connection_id_length } else { 0 }, "connection id")?;
    reader.take(usize::from(sequence_length), "record sequence number")?;
    let ciphertext = if first & 0x04 != 0 {
        let length = reader.u16("record length")?;
        reader.take(length.into(), "record ciphertext")?
    } else {
        reader.rest()
    };
    Ok(UnifiedRecord { epoch_low: first & 3, connection_id, sequence_length, ciphertext })
}

/// The records of one datagram; ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    reader: Reader<'a>,
    connection_id_length: usize,
    is_done: bool,
}

impl<'a> Records<'a> {
    /// The records of `datagram`, which uses no connection id.
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self::with_connection_id(datagram, 0)
    }

    /// The records of `datagram` in a direction where connection ids of this many bytes were agreed on
    /// (extension `connection_id`, RFC 9146); the wire itself does not tell the length.
    pub const fn with_connection_id(datagram: &'a [u8], connection_id_length: usize) -> Self {
        Self { reader: Reader::new(datagram), connection_id_length, is_done: false }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done || self.reader.is_empty() {
            return None;
        }
        let record = Record::parse(&mut self.reader, self.connection_id_length);
        self.is_done = record.is_err();
        Some(record)
    }
}

/// First look at a datagram.
///
/// `Yes` when a full header fits the datagram and its content fits the type: a clear handshake record opens
/// with a possible message header, a clear alert has two bytes. `Maybe` for other whole records of a known
/// version. A unified header (DTLS 1.3, encrypted) has too few fixed bits to be told from other traffic:
/// `No`; a flow that has begun with DTLS knows that it may meet one, and asks [`goes_on`].
#[inline]
pub fn probe(datagram: &[u8]) -> Probe {
    let Some(&[kind, major, minor, epoch_high, epoch_low, ..]) = datagram.first_chunk::<13>() else {
        return Probe::No;
    };
    if !matches!(kind, 20..=26) || !is_version(u16::from_be_bytes([major, minor])) {
        return Probe::No;
    }
    // The length of a connection id is not known here, nor therefore where the record's length is.
    if ContentType(kind) == ContentType::TLS12_CID {
        return if major == 0xfe { Probe::Maybe } else { Probe::No };
    }
    let Some(Ok(Record::Plain(record))) = Records::new(datagram).next() else { return Probe::No };
    if (epoch_high, epoch_low) != (0, 0) {
        return if record.fragment.is_empty() { Probe::No } else { Probe::Maybe };
    }
    let is_certain = match record.content_type {
        ContentType::HANDSHAKE => is_handshake(record.fragment),
        ContentType::ALERT => matches!(record.fragment, [1 | 2, _]),
        ContentType::CHANGE_CIPHER_SPEC => matches!(record.fragment, [1] | [1, _, _]),
        // In clear there is nothing else.
        _ => return Probe::No,
    };
    if is_certain { Probe::Yes } else { Probe::No }
}

/// Ciphertext of a record with the unified header is at least this long: its beginning hides the number (RFC 9147 §4.2.3).
const MIN_CIPHERTEXT: usize = 16;

/// True when a datagram begins with a unified header and all of it can be read as records: enough where the flow is known to be
/// DTLS 1.3. Without the length of connection ids none that has one can be read (bit C, RFC 9147 §4).
pub fn goes_on(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| matches!(first, 0x20..=0x2f))
        && Records::new(datagram).all(|record| match record {
            Ok(Record::Unified(record)) => record.ciphertext.len() >= MIN_CIPHERTEXT,
            Ok(Record::Plain(_)) => true,
            Err(_) => false,
        })
}

/// A fragment header whose numbers agree with each other, RFC 6347 §4.2.2.
fn is_handshake(fragment: &[u8]) -> bool {
    let mut reader = Reader::new(fragment);
    let (Ok(kind), Ok(length), Ok(_), Ok(offset), Ok(piece)) = (
        reader.u8("handshake type"),
        reader.u24("length"),
        reader.u16("message sequence"),
        reader.u24("fragment offset"),
        reader.u24("fragment length"),
    ) else {
        return false;
    };
    HandshakeType(kind).name().is_some()
        && offset.saturating_add(piece) <= length
        && usize::try_from(piece).is_ok_and(|piece| piece <= reader.remaining())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    /// `HelloVerifyRequest` of 3 bytes (version and empty cookie), then an alert, in one datagram.
    const DATAGRAM: &[u8] = &[
        22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 15, 3, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xfe, 0xff,
        0, //
        21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 6, 0, 2, 2, 40,
    ];

    #[test]
    fn datagram_is_split_into_its_records() {
        let records: Vec<_> = Records::new(DATAGRAM).map(Result::unwrap).collect();
        let [Record::Plain(first), Record::Plain(second)] = records[..] else { panic!("two plain records") };
        assert_eq!((first.epoch, first.sequence, first.fragment.len()), (0, 5, 15));
        assert_eq!(first.version, ProtocolVersion::DTLS_1_0);
        assert_eq!((second.content_type, second.epoch), (ContentType::ALERT, 1));
        assert_eq!(probe(DATAGRAM), Probe::Yes);
        assert_eq!(probe(&DATAGRAM[28..]), Probe::Maybe);
    }

    #[test]
    fn every_cut_is_truncated_and_not_mine() {
        for end in 0..28 {
            assert_eq!(probe(&DATAGRAM[..end]), Probe::No);
            if end > 0 {
                let error = Records::new(&DATAGRAM[..end]).next().unwrap().unwrap_err();
                assert!(error.is_truncated(), "prefix of {end}");
            }
        }
    }

    #[test]
    fn unified_header_is_read_with_and_without_length() {
        // RFC 9147 figure 4: 001CSLEE with C, S and L set, a connection id of 2 bytes.
        let full = [0b0011_1110, 9, 8, 0, 1, 0, 3, 1, 2, 3, 0b0010_0001, 7, 4, 5];
        let records: Vec<_> = Records::with_connection_id(&full, 2).map(Result::unwrap).collect();
        assert_eq!(
            records,
            [
                Record::Unified(UnifiedRecord {
                    epoch_low: 2,
                    connection_id: &[9, 8],
                    sequence_length: 2,
                    ciphertext: &[1, 2, 3]
                }),
                Record::Unified(UnifiedRecord {
                    epoch_low: 1,
                    connection_id: &[],
                    sequence_length: 1,
                    ciphertext: &[4, 5]
                }),
            ]
        );
        assert_eq!(probe(&full), Probe::No);
    }

    #[test]
    fn a_flow_of_dtls_goes_on_with_whole_records_of_the_unified_header() {
        // RFC 9147 figure 4: S and L set, 16 bytes of ciphertext; then without a length, to the end.
        let with_length = [&[0b0010_1110, 0, 8, 0, 16][..], &[7; 16]].concat();
        let both = [&with_length[..], &[0b0010_0001, 4], &[9; 20]].concat();
        assert!(goes_on(&with_length) && goes_on(&both));
        assert!((1..with_length.len()).all(|end| !goes_on(&with_length[..end])));
        assert!(!goes_on(&both[..both.len() - 5]), "too short for its number to be hidden");
        let with_id = [&[0b0011_1110][..], &with_length[1..]].concat();
        assert!(!goes_on(&with_id) && !goes_on(DATAGRAM) && !goes_on(&[]));
    }

    #[test]
    fn connection_id_record_has_its_id_before_the_length() {
        let bytes = [25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0xaa, 0xbb, 0, 1, 0x55];
        let record = Records::with_connection_id(&bytes, 2).next().unwrap().unwrap();
        let Record::Plain(record) = record else { panic!("a plain record") };
        assert_eq!((record.connection_id, record.fragment), (&[0xaa, 0xbb][..], &[0x55][..]));
        assert_eq!(probe(&bytes), Probe::Maybe);
    }

    #[test]
    fn rtp_stun_and_tls_are_not_mine() {
        assert_eq!(probe(&[0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2]), Probe::No);
        assert_eq!(probe(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0]), Probe::No);
        assert_eq!(probe(&[22, 3, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]), Probe::No);
        // A clear application data record does not exist.
        assert_eq!(probe(&[23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]), Probe::No);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            input in proptest::collection::vec(prop_oneof![Just(22_u8), Just(0xfe), Just(0xfd), any::<u8>()], 0..200),
            length in 0_usize..20,
        ) {
            let _ = probe(&input);
            prop_assert!(Records::with_connection_id(&input, length).count() <= input.len());
        }
    }

    proptest! {
        #[test]
        fn near_a_datagram_records_hold_no_more_than_it(
            datagram in near([
                DATAGRAM,
                &[0b0011_1110, 9, 8, 0, 1, 0, 3, 1, 2, 3, 0b0010_0001, 7, 4, 5],
                &[25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0xaa, 0xbb, 0, 1, 0x55],
                &[0b0010_1110, 9, 8, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            ]),
            id in 0_usize..4,
        ) {
            let _ = probe(&datagram);
            prop_assert!(!goes_on(&datagram) || Records::new(&datagram).all(|record| record.is_ok()));
            for records in [Records::new(&datagram), Records::with_connection_id(&datagram, id)] {
                let mut held = 0;
                for record in records.flatten() {
                    held += match record {
                        Record::Plain(record) => 13 + record.connection_id.len() + record.fragment.len(),
                        Record::Unified(record) => 1 + record.connection_id.len() + record.ciphertext.len(),
                    };
                }
                prop_assert!(held <= datagram.len());
            }
        }
    }
}
