//! HTTP/3 frames on a QUIC stream, RFC 9114 section 7.1.

use crate::bytes::Reader;
use crate::proto::quic::varint;

/// Frame type DATA.
pub const DATA: u64 = 0;
/// Frame type HEADERS.
pub const HEADERS: u64 = 1;

/// Type and length of a frame, and how many bytes they take; `None` when they are not complete.
pub fn parse_header(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let mut reader = Reader::new(bytes);
    let kind = varint(&mut reader, "http3 frame type").ok()?;
    let length = varint(&mut reader, "http3 frame length").ok()?;
    Some((kind, length, reader.position()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_in_rfc_9000_appendix_a_1() {
        let cases: [(&[u8], u64); 4] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(varint(&mut Reader::new(bytes), "value"), Ok(value));
        }
    }

    #[test]
    fn a_frame_header_that_is_cut_is_not_complete() {
        assert_eq!(parse_header(&[0, 0x40, 0x10]), Some((DATA, 16, 3)));
        assert_eq!(parse_header(&[0, 0x40]), None);
    }
}
