//! Google QUIC before TLS: the old public header, and Google's own ClientHello (`CHLO`).
//!
//! In: a datagram of Q024 to Q043 with its version present, the clear payload of Q044 to Q046, or the
//! CRYPTO bytes of Q050. Out: version, and server name, user agent and ALPN of the `CHLO`. Written
//! after Google's "QUIC Wire Layout Specification" and "QUIC Crypto" documents. Frames are not walked: they changed
//! with almost every version, whereas the message tag has not, so it is searched for. A message spread
//! over packets is read as far as the first one goes. Answers of the server (`REJ`, `SHLO`) are not read.

use crate::bytes::{ParseError, Reader};

use super::version::Version;

/// How far into a clear payload the message tag may begin: packet number, hash and a few frames.
const SEARCH_WINDOW: usize = 160;
/// Cap on tags in a message, as in Google's own reader.
const MAX_TAGS: usize = 128;

/// The old public header of a packet that names its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Public<'a> {
    pub(super) version: Version,
    pub(super) connection_id: &'a [u8],
    /// Packet number and on; further versions if this is a server's Version Negotiation.
    pub(super) rest: &'a [u8],
}

/// Reads the old public header: flags, 8 bytes of connection ID, version. `None` is "not mine".
pub(super) fn public(datagram: &[u8]) -> Option<Public<'_>> {
    const VERSION_FLAG: u8 = 0x01;
    const RESET_FLAG: u8 = 0x02;
    const ID_FLAG: u8 = 0x08;
    const MUST_BE_CLEAR: u8 = 0xc0;
    let mut reader = Reader::new(datagram);
    let flags = reader.u8("public flags").ok()?;
    if flags & (VERSION_FLAG | RESET_FLAG | ID_FLAG | MUST_BE_CLEAR) != VERSION_FLAG | ID_FLAG {
        return None;
    }
    let connection_id = reader.take(8, "connection id").ok()?;
    let version = Version(reader.u32("version").ok()?);
    version.has_google_handshake().then(|| Public { version, connection_id, rest: reader.rest() })
}

/// The `CHLO` in a clear payload, found by its tag.
pub(super) fn find_hello(payload: &[u8]) -> Option<&[u8]> {
    let window = payload.get(..SEARCH_WINDOW.min(payload.len()))?;
    let start = window.windows(4).position(|tag| tag == b"CHLO")?;
    payload.get(start..)
}

/// What a `CHLO` says about the client's errand. Values are as on the wire; they may hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hello<'a> {
    pub(super) server_name: Option<&'a [u8]>,
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) alpn: Option<&'a [u8]>,
}

/// Reads a `CHLO` as far as it goes: a value beyond the end of the input is left out.
///
/// # Errors
/// When the bytes are not a `CHLO`, or its table of tags is cut.
pub(super) fn parse_hello(input: &[u8]) -> Result<Hello<'_>, ParseError> {
    let mut reader = Reader::new(input);
    let tag = reader.u32("message tag")?;
    if tag != u32::from_be_bytes(*b"CHLO") {
        return Err(ParseError::Invalid { field: "message tag", offset: 0, value: u64::from(tag) });
    }
    let count = usize::from(u16::from_le_bytes(reader.array("tag count")?));
    if count > MAX_TAGS {
        return Err(ParseError::TooLong { field: "tag count", offset: 4, length: count, limit: MAX_TAGS });
    }
    reader.take(2, "padding")?;
    let table = reader.take(count.saturating_mul(8), "tag table")?;
    let values = reader.rest();
    let mut hello = Hello::default();
    let mut start = 0;
    for [a, b, c, d, end @ ..] in table.as_chunks::<8>().0 {
        let end = usize::try_from(u32::from_le_bytes(*end)).unwrap_or(usize::MAX);
        let value = values.get(start..end);
        match &[*a, *b, *c, *d] {
            b"SNI\0" => hello.server_name = value,
            b"UAID" => hello.user_agent = value,
            b"ALPN" => hello.alpn = value,
            _ => {}
        }
        start = end;
    }
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::near::near;
    use proptest::prelude::*;

    fn hello() -> Vec<u8> {
        let mut input = b"CHLO\x03\0\0\0".to_vec();
        for (tag, end) in [(b"PAD\0", 2_u32), (b"SNI\0", 5), (b"UAID", 9)] {
            input.extend(tag);
            input.extend(end.to_le_bytes());
        }
        input.extend(b"--a.bCr 1");
        input
    }

    #[test]
    fn tags_are_read_and_cut_values_left_out() {
        let input = hello();
        let parsed = parse_hello(&input).unwrap();
        assert_eq!(parsed.server_name, Some(&b"a.b"[..]));
        assert_eq!(parsed.user_agent, Some(&b"Cr 1"[..]));
        let cut = parse_hello(&input[..input.len() - 1]).unwrap();
        assert_eq!((cut.server_name, cut.user_agent), (Some(&b"a.b"[..]), None));
        for end in 0..32 {
            assert!(parse_hello(&input[..end]).unwrap_err().is_truncated());
        }
    }

    #[test]
    fn offsets_that_run_backwards_give_nothing() {
        let mut input = hello();
        input[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(parse_hello(&input).unwrap().server_name, None);
    }

    #[test]
    fn public_header_wants_a_version() {
        let mut input = vec![0x0d];
        input.extend([7; 8]);
        input.extend(b"Q039\x01rest CHLO");
        let packet = public(&input).unwrap();
        assert_eq!((packet.version.to_string().as_str(), packet.connection_id), ("Q039", &[7; 8][..]));
        assert_eq!(find_hello(packet.rest), Some(&b"CHLO"[..]));
        input[0] = 0x0c;
        assert_eq!(public(&input), None);
    }

    proptest! {
        #[test]
        fn near_a_hello_values_lie_behind_its_table(input in near([hello()])) {
            if let Ok(read) = parse_hello(&input) {
                for value in [read.server_name, read.user_agent, read.alpn].into_iter().flatten() {
                    prop_assert!(input[8..].windows(value.len().max(1)).any(|part| part.starts_with(value)));
                }
            }
        }

        #[test]
        fn near_a_public_header_the_rest_ends_the_datagram(
            datagram in near([[&[0x0d, 7, 7, 7, 7, 7, 7, 7, 7][..], b"Q039\x01rest", &hello()].concat()]),
        ) {
            if let Some(packet) = public(&datagram) {
                prop_assert_eq!(packet.rest, &datagram[13..]);
                prop_assert_eq!(packet.connection_id, &datagram[1..9]);
            }
            prop_assert!(find_hello(&datagram).is_none_or(|found| found.starts_with(b"CHLO") && datagram.ends_with(found)));
        }
    }
}
