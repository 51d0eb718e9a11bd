//! The record layer: a contiguous stream slice in, records out. RFC 8446 §5.1, RFC 5246 §6.2.
//!
//! Not handled: decryption and record padding.

use crate::bytes::{ParseError, Probe, Reader};

use super::registry::{ContentType, HandshakeType, ProtocolVersion};

/// Longest fragment that any version allows: `2^14 + 2048` bytes (RFC 5246 §6.2.3).
pub const MAX_FRAGMENT_LENGTH: usize = 16_384 + 2_048;

/// One record, RFC 8446 §5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct Record<'a> {
    /// What the fragment holds; `application_data` for every protected record of TLS 1.3.
    pub content_type: ContentType,
    /// The version of the record layer; a legacy value since TLS 1.3.
    pub version: ProtocolVersion,
    /// The body, at most [`MAX_FRAGMENT_LENGTH`] bytes; ciphertext once keys are in use.
    pub fragment: &'a [u8],
}

impl<'a> Record<'a> {
    /// Length of the record header in bytes.
    pub const HEADER_LENGTH: usize = 5;

    /// Takes one record off the cursor; nothing is taken when the record is not whole.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when more stream is needed, anything else when this is no TLS record.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let mut ahead = *reader;
        let start = ahead.position();
        let content_type = ContentType(ahead.u8("record content type")?);
        if !is_stream_content(content_type) {
            return Err(invalid("record content type", start, content_type.0.into()));
        }
        let version = ProtocolVersion(ahead.u16("record version")?);
        if version.0 >> 8 != 3 {
            return Err(invalid("record version", start.saturating_add(1), version.0.into()));
        }
        let length = usize::from(ahead.u16("record length")?);
        if length > MAX_FRAGMENT_LENGTH {
            let offset = start.saturating_add(3);
            return Err(ParseError::TooLong {
                field: "record length",
                offset,
                length,
                limit: MAX_FRAGMENT_LENGTH,
            });
        }
        let fragment = ahead.take(length, "record fragment")?;
        *reader = ahead;
        Ok(Self { content_type, version, fragment })
    }
}

const fn is_stream_content(content_type: ContentType) -> bool {
    matches!(content_type.0, 20..=24)
}

const fn invalid(field: &'static str, offset: usize, value: u64) -> ParseError {
    ParseError::Invalid { field, offset, value }
}

/// The records at the start of a contiguous stream slice; ends after the first error.
///
/// An error that [`ParseError::is_truncated`] means that the slice ends inside a record: call again with
/// the bytes from [`Records::consumed`] on, once more of the stream is there.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    reader: Reader<'a>,
    is_done: bool,
}

impl<'a> Records<'a> {
    /// Begins at the start of `stream`, which must be the start of a record.
    pub const fn new(stream: &'a [u8]) -> Self {
        Self { reader: Reader::new(stream), is_done: false }
    }

    /// How many bytes of the slice the whole records so far took.
    pub const fn consumed(&self) -> usize {
        self.reader.position()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done || self.reader.is_empty() {
            return None;
        }
        let record = Record::parse(&mut self.reader);
        self.is_done = record.is_err();
        Some(record)
    }
}

/// First look at the start of one direction of a stream.
///
/// `Yes` for a handshake record that opens with a hello whose lengths agree; `Maybe` for any other record
/// header and for a prefix of one.
pub fn probe(stream: &[u8]) -> Probe {
    let mut reader = Reader::new(stream);
    let Ok(content_type) = reader.u8("content type") else { return Probe::Maybe };
    if !is_stream_content(ContentType(content_type)) {
        return Probe::No;
    }
    let Ok(major) = reader.u8("major version") else { return Probe::Maybe };
    let Ok(minor) = reader.u8("minor version") else {
        return if major == 3 { Probe::Maybe } else { Probe::No };
    };
    if major != 3 || minor > 4 {
        return Probe::No;
    }
    let Ok(length) = reader.u16("length") else { return Probe::Maybe };
    if usize::from(length) > MAX_FRAGMENT_LENGTH || (length == 0 && content_type != 23) {
        return Probe::No;
    }
    if ContentType(content_type) == ContentType::HANDSHAKE { probe_hello(reader) } else { Probe::Maybe }
}

fn probe_hello(mut reader: Reader<'_>) -> Probe {
    let (Ok(kind), Ok(length)) = (reader.u8("handshake type"), reader.u24("handshake length")) else {
        return Probe::Maybe;
    };
    match HandshakeType(kind) {
        // 38 bytes: version, random, and the shortest session id, suites and compression of a server.
        HandshakeType::CLIENT_HELLO | HandshakeType::SERVER_HELLO if (38..=0x1_ffff).contains(&length) => {
            match reader.u8("hello version") {
                Ok(3 | 0x7f) => Probe::Yes,
                Ok(_) => Probe::No,
                Err(_) => Probe::Maybe,
            }
        }
        HandshakeType::CLIENT_HELLO | HandshakeType::SERVER_HELLO => Probe::No,
        // A flow that is joined late may open with any message, and with an encrypted one.
        _ => Probe::Maybe,
    }
}

/// How far [`find_hello`] looks, in bytes: proxies and mail servers say their part in less.
pub const HELLO_SEARCH_LIMIT: usize = 2_048;

/// Where in the first bytes of a stream a hello begins, for TLS that starts late: after HTTP `CONNECT`, SOCKS
/// or `STARTTLS`. Only a record whose length agrees with that of the hello in it counts.
///
/// The inner handshake of `OpenVPN` over TCP is found too, though its records are cut up by VPN framing: what
/// follows the hello there is not one stream of records.
pub fn find_hello(stream: &[u8]) -> Option<usize> {
    let begins = stream.get(..HELLO_SEARCH_LIMIT).unwrap_or(stream);
    let mut places = memchr::memchr_iter(ContentType::HANDSHAKE.0, begins);
    places.find(|at| stream.get(*at..at.saturating_add(10)).is_some_and(is_hello_start))
}

fn is_hello_start(place: &[u8]) -> bool {
    let Some(&[22, _, _, high, low, kind @ (1 | 2), 0, length_high, length_low, 3]) = place.first_chunk()
    else {
        return false;
    };
    let record = u16::from_be_bytes([high, low]);
    let hello = u16::from_be_bytes([length_high, length_low]);
    // A server may put its certificate into the same record; a long hello fills a record and goes on.
    probe(place) == Probe::Yes && record >= 42 && (record <= hello.saturating_add(4) || kind == 2)
}

/// True for the SSL 2.0 form of ClientHello that old clients sent to offer TLS (RFC 5246 §E.2).
///
/// It is recognised so that it can be named in a report; its contents are not parsed.
pub const fn is_ssl2_client_hello(stream: &[u8]) -> bool {
    let Some((&[high, low, kind, major, minor], rest)) = stream.split_first_chunk::<5>() else {
        return false;
    };
    let Some(&[ciphers_high, ciphers_low]) = rest.first_chunk::<2>() else { return false };
    let length = u16::from_be_bytes([high & 0x7f, low]);
    let ciphers = u16::from_be_bytes([ciphers_high, ciphers_low]);
    let is_version = (major == 0 && minor == 2) || (major == 3 && minor <= 3);
    high & 0x80 != 0
        && kind == 1
        && is_version
        && ciphers != 0
        && ciphers.is_multiple_of(3)
        && length > ciphers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;
    use crate::proto::tls::vectors;

    #[test]
    fn rfc8448_flight_is_split_into_its_records() {
        let mut records = Records::new(vectors::CLIENT_HELLO_RECORD);
        let record = records.next().unwrap().unwrap();
        assert_eq!(record.content_type, ContentType::HANDSHAKE);
        assert_eq!(record.version, ProtocolVersion::TLS_1_0);
        assert_eq!(record.fragment.len(), 196);
        assert_eq!(records.consumed(), 201);
        assert!(records.next().is_none());
    }

    #[test]
    fn every_prefix_of_a_record_asks_for_more() {
        for end in 1..vectors::CLIENT_HELLO_RECORD.len() {
            let cut = &vectors::CLIENT_HELLO_RECORD[..end];
            let mut records = Records::new(cut);
            assert!(records.next().unwrap().unwrap_err().is_truncated());
            assert_eq!(records.consumed(), 0);
            assert!(records.next().is_none());
            assert_ne!(probe(cut), Probe::No);
        }
    }

    #[test]
    fn foreign_bytes_are_not_mine_and_a_hello_is() {
        assert_eq!(probe(vectors::CLIENT_HELLO_RECORD), Probe::Yes);
        assert_eq!(probe(vectors::SERVER_HELLO_RECORD), Probe::Yes);
        assert_eq!(probe(b"GET / HTTP/1.1"), Probe::No);
        assert_eq!(probe(b"SSH-2.0-x"), Probe::No);
        assert_eq!(probe(&[23, 3, 3, 0, 40]), Probe::Maybe);
        assert_eq!(probe(&[22, 3, 3, 0xff, 0xff]), Probe::No);
        assert_eq!(probe(&[22, 3, 9]), Probe::No);
    }

    #[test]
    fn hello_behind_a_proxy_greeting_is_found() {
        let stream = [b"CONNECT a:443 HTTP/1.1\r\n\r\n", vectors::CLIENT_HELLO_RECORD].concat();
        assert_eq!(find_hello(&stream), Some(26));
        assert_eq!(probe(&stream[26..]), Probe::Yes);
        assert_eq!(find_hello(vectors::SERVER_HELLO_RECORD), Some(0));
        assert_eq!(find_hello(&stream[..30]), None);
        let last = HELLO_SEARCH_LIMIT - 1;
        let in_time = [&vec![0; last][..], vectors::CLIENT_HELLO_RECORD].concat();
        assert_eq!(find_hello(&in_time), Some(last));
        let late = [&vec![0; HELLO_SEARCH_LIMIT][..], vectors::CLIENT_HELLO_RECORD].concat();
        assert_eq!(find_hello(&late), None);
    }

    #[test]
    fn oversized_record_names_its_limit() {
        let error = Records::new(&[23, 3, 3, 0x48, 0x01]).next().unwrap().unwrap_err();
        assert!(matches!(error, ParseError::TooLong { length: 18_433, limit: 18_432, offset: 3, .. }));
    }

    #[test]
    fn ssl2_client_hello_is_recognised_and_not_taken_for_tls() {
        // RFC 5246 §E.2: length 46, CLIENT-HELLO, version 3.1, 21 bytes of suites, no id, challenge 16.
        let hello = [0x80, 0x2e, 0x01, 0x03, 0x01, 0x00, 0x15, 0x00, 0x00, 0x00, 0x10];
        assert!(is_ssl2_client_hello(&hello));
        assert_eq!(probe(&hello), Probe::No);
        assert!(!is_ssl2_client_hello(vectors::CLIENT_HELLO_RECORD));
        assert!(!is_ssl2_client_hello(&hello[..6]));
    }

    #[test]
    fn what_is_longer_than_any_record_is_no_hello() {
        let opens = |length: usize, kind: u8, hello: u8| {
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            find_hello(&[22, 3, 3, high, low, kind, 0, hello, 0, 3]) == Some(0)
        };
        for kind in [1, 2] {
            assert!(opens(MAX_FRAGMENT_LENGTH, kind, 0xff));
            assert!(!opens(MAX_FRAGMENT_LENGTH + 1, kind, 0xff));
        }
        assert!(opens(0x4000, 2, 1) && !opens(0x4000, 1, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut records = Records::new(&input);
            while records.next().is_some() {}
            prop_assert!(records.consumed() <= input.len());
            let _ = (find_hello(&input), probe(&input), is_ssl2_client_hello(&input));
        }

        #[test]
        fn near_a_stream_records_make_up_what_was_consumed(
            stream in near([[vectors::CLIENT_HELLO_RECORD, &[20, 3, 3, 0, 1, 1], vectors::SERVER_HELLO_RECORD].concat()]),
        ) {
            let mut records = Records::new(&stream);
            let mut end = 0;
            while let Some(Ok(record)) = records.next() {
                let whole = &stream[end..end + 5 + record.fragment.len()];
                prop_assert_eq!(&whole[5..], record.fragment);
                prop_assert_eq!(Record::parse(&mut Reader::new(whole)), Ok(record));
                end += whole.len();
            }
            prop_assert_eq!(records.consumed(), end);
            prop_assert!(find_hello(&stream).is_none_or(|at| probe(&stream[at..]) != Probe::No));
        }
    }
}
