//! HTTP/2 frames, RFC 9113 section 4.1.

use crate::bytes::{ParseError, Reader};

/// What a client sends first. RFC 9113 section 3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame type DATA.
pub const DATA: u8 = 0;
/// Frame type `RST_STREAM`.
pub const RST_STREAM: u8 = 3;
/// Frame type SETTINGS.
pub const SETTINGS: u8 = 4;
/// Bytes ahead of a payload.
const HEADER: usize = 9;
/// Flag `END_STREAM` of DATA and HEADERS.
const END_STREAM: u8 = 0x1;
/// Flag PADDED of DATA.
const PADDED: u8 = 0x8;

/// The nine bytes ahead of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Bytes of the payload.
    pub length: usize,
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream.
    pub stream: u32,
}

impl Header {
    /// Reads a header; `None` when it is not complete.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader::new(bytes);
        let [a, b, c] = reader.array::<3>("http2 length").ok()?;
        let kind = reader.u8("http2 type").ok()?;
        let flags = reader.u8("http2 flags").ok()?;
        let stream = reader.u32("http2 stream").ok()? & 0x7fff_ffff;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        Some((Self { length, kind, flags, stream }, HEADER))
    }

    /// True when no more frames of this stream come from this side.
    pub const fn ends_stream(&self) -> bool {
        matches!(self.kind, 0 | 1) && self.flags & END_STREAM != 0
    }
}

/// The data of a DATA frame's payload, without padding. RFC 9113 section 6.1.
///
/// # Errors
/// [`ParseError`] when the padding is longer than the payload.
pub fn data(flags: u8, payload: &[u8]) -> Result<&[u8], ParseError> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let mut reader = Reader::new(payload);
    let padding = usize::from(reader.u8("http2 pad length")?);
    let rest = reader.rest();
    let length = rest.len().checked_sub(padding).ok_or_else(|| ParseError::Invalid {
        field: "http2 pad length",
        offset: 0,
        value: u64::try_from(padding).unwrap_or(u64::MAX),
    })?;
    Ok(rest.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_nine_bytes_and_the_reserved_bit_is_left_out() {
        let bytes = [0, 0, 5, 0, 1, 0x80, 0, 0, 3, b'h'];
        let (header, taken) = Header::parse(&bytes).expect("complete");
        assert_eq!((header.length, header.kind, header.stream, taken), (5, DATA, 3, 9));
        assert!(header.ends_stream());
        assert!((0..9).all(|length| Header::parse(&bytes[..length]).is_none()));
    }

    #[test]
    fn padding_is_cut_off_and_too_much_is_refused() {
        assert_eq!(data(0x8, &[2, b'a', b'b', 0, 0]), Ok(&b"ab"[..]));
        assert_eq!(data(0x8, &[9, b'a']).map_err(|error| error.field()), Err("http2 pad length"));
        assert_eq!(data(0, b"ab"), Ok(&b"ab"[..]));
    }
}
