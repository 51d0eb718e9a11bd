//! WebSocket frames, RFC 6455 section 5.2. Crates for it are endpoints: they refuse what an observer must take, and bring
//! random numbers for masks that only a sender needs.

use crate::bytes::{ParseError, Reader};

/// Longest payload of a frame that is believed, in bytes.
const MAX_PAYLOAD: u64 = 1 << 26;

/// What stands ahead of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The message ends with this frame.
    pub fin: bool,
    /// The message is compressed (RFC 7692); only in its first frame.
    pub compressed: bool,
    /// 0 continues a message, 1 is text, 2 binary, 8 to 10 control.
    pub opcode: u8,
    /// The client's mask.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub length: u64,
}

impl Header {
    /// Reads a header; `None` when it is not complete, else the header and its length in bytes.
    ///
    /// # Errors
    /// [`ParseError`] when a reserved bit or opcode is used, or the length is not believed.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ParseError> {
        let mut reader = Reader::new(bytes);
        let (Ok(first), Ok(second)) = (reader.u8("websocket flags"), reader.u8("websocket length")) else {
            return Ok(None);
        };
        let opcode = first & 0x0f;
        if first & 0x30 != 0 || !matches!(opcode, 0..=2 | 8..=10) {
            return Err(ParseError::Invalid { field: "websocket opcode", offset: 0, value: first.into() });
        }
        let length = match second & 0x7f {
            126 => reader.u16("websocket length").map(u64::from),
            127 => reader.u64("websocket length"),
            short => Ok(u64::from(short)),
        };
        let Ok(length) = length else { return Ok(None) };
        if length > MAX_PAYLOAD || (opcode >= 8 && length > 125) {
            return Err(ParseError::TooLong {
                field: "websocket length",
                offset: 1,
                length: usize::try_from(length).unwrap_or(usize::MAX),
                limit: usize::try_from(MAX_PAYLOAD).unwrap_or(usize::MAX),
            });
        }
        let mask = if second & 0x80 == 0 {
            None
        } else {
            let Ok(mask) = reader.array::<4>("websocket mask") else { return Ok(None) };
            Some(mask)
        };
        let header = Self { fin: first & 0x80 != 0, compressed: first & 0x40 != 0, opcode, mask, length };
        Ok(Some((header, reader.position())))
    }
}

/// Takes the mask off a piece of a payload that begins `offset` bytes behind its start. RFC 6455 section 5.3.
pub fn unmask(mask: [u8; 4], offset: u64, payload: &mut [u8]) {
    let start = usize::try_from(offset % 4).unwrap_or(0);
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle().skip(start)) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_6455_section_5_7() {
        let (header, taken) =
            Header::parse(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]).expect("valid").expect("complete");
        assert_eq!((header.fin, header.opcode, header.length, header.mask, taken), (true, 1, 5, None, 2));
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let (header, taken) = Header::parse(&masked).expect("valid").expect("complete");
        let mut payload = masked[taken..].to_vec();
        unmask(header.mask.expect("a mask"), 0, &mut payload);
        assert_eq!(payload, b"Hello");
        let (long, taken) =
            Header::parse(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]).expect("valid").expect("complete");
        assert_eq!((long.length, taken), (65_536, 10));
    }

    #[test]
    fn a_mask_goes_on_where_a_piece_ended() {
        let (mut whole, mut pieces) = ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]);
        unmask([9, 8, 7, 6], 0, &mut whole);
        let (first, second) = pieces.split_at_mut(3);
        unmask([9, 8, 7, 6], 0, first);
        unmask([9, 8, 7, 6], 3, second);
        assert_eq!(whole, pieces);
    }

    #[test]
    fn reserved_bits_and_long_control_frames_are_refused() {
        assert!(Header::parse(&[0xb1, 0x05]).is_err());
        assert!(Header::parse(&[0x83, 0x05]).is_err());
        assert!(Header::parse(&[0x89, 0x7e, 0x01, 0x00]).is_err());
        assert_eq!(Header::parse(&[0x81]), Ok(None));
    }
}
