//! The unit in which Zoom seals media, behind the RTP header: one packet of sound, or one picture cut into FU-A
//! fragments. In: RTP payloads. Out: the sealed unit, with the shape that its lengths show.
//!
//! Seen in captures of 2022: `length | 12 | nonce[12] | 0 | ciphertext[length] | tag[16]`, the length in two bytes for
//! sound and in four for pictures. The framing of the time before is inferred: the same length, then whole blocks.

use crate::bytes::{ParseError, Reader};

/// Bytes of a nonce as announced.
const NONCE: u8 = 12;
/// Bytes of an authentication tag of GCM.
const TAG: usize = 16;
/// Bytes of a cipher block.
const BLOCK: usize = 16;
/// Longest plaintext of a unit that is believed, in bytes.
const MAX_UNIT: usize = 1 << 22;
/// NAL unit type of a fragment, RFC 6184 section 5.8.
const FU_A: u8 = 28;

/// How wide the length ahead of a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "sound and pictures")]
pub enum LengthField {
    /// Two bytes, for sound.
    U16,
    /// Four bytes, for pictures and screen shares.
    U32,
}

/// A part of a picture's unit. RFC 6184 section 5.8.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fragment<'a> {
    /// The unit begins here.
    pub starts: bool,
    /// The unit ends here.
    pub ends: bool,
    /// Bytes of the unit.
    pub data: &'a [u8],
}

/// How a unit is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape<'a> {
    /// Nothing but whole blocks: the announced length, filled up to a multiple of 16 bytes.
    Blocks,
    /// Nonce, ciphertext as long as announced, and a tag.
    Aead {
        /// The nonce.
        nonce: [u8; 12],
        /// The authentication tag.
        tag: &'a [u8; TAG],
    },
    /// Neither.
    Other,
}

/// A sealed unit.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unit<'a> {
    /// Length of the plaintext as announced, in bytes.
    pub length: usize,
    /// What the lengths show.
    pub shape: Shape<'a>,
    /// The ciphertext without nonce and tag; with [`Shape::Other`] all that follows the length.
    pub ciphertext: &'a [u8],
}

/// Reads an RTP payload of a picture as a fragment of its unit; a payload that is no FU-A fragment is a whole unit behind
/// a header of one byte.
///
/// # Errors
/// [`ParseError`] when the payload ends before its headers do.
pub fn parse_fragment(payload: &[u8]) -> Result<Fragment<'_>, ParseError> {
    let mut reader = Reader::new(payload);
    let indicator = reader.u8("zoom NAL header")?;
    if indicator & 0x1f != FU_A {
        return Ok(Fragment { starts: true, ends: true, data: reader.rest() });
    }
    let header = reader.u8("zoom FU header")?;
    Ok(Fragment { starts: header & 0x80 != 0, ends: header & 0x40 != 0, data: reader.rest() })
}

/// Reads a whole unit: the payload of a packet of sound, or the joined fragments of a picture.
///
/// # Errors
/// [`ParseError`] when it is too short for its length field, or announces more than is believed.
pub fn parse_unit(bytes: &[u8], field: LengthField) -> Result<Unit<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    let length = match field {
        LengthField::U16 => usize::from(reader.u16("zoom unit length")?),
        LengthField::U32 => usize::try_from(reader.u32("zoom unit length")?).unwrap_or(usize::MAX),
    };
    if length > MAX_UNIT {
        return Err(ParseError::TooLong { field: "zoom unit length", offset: 0, length, limit: MAX_UNIT });
    }
    let rest = reader.rest();
    if let Some((nonce, ciphertext, tag)) = aead(rest, length) {
        return Ok(Unit { length, shape: Shape::Aead { nonce, tag }, ciphertext });
    }
    let padded = length.div_ceil(BLOCK).saturating_mul(BLOCK);
    // Padding after PKCS #7 adds a whole block to a length that needs none.
    let full = length.saturating_add(BLOCK);
    let blocks = length > 0 && (rest.len() == padded || (rest.len() == full && length == padded));
    let shape = if blocks { Shape::Blocks } else { Shape::Other };
    Ok(Unit { length, shape, ciphertext: rest })
}

fn aead(rest: &[u8], length: usize) -> Option<([u8; 12], &[u8], &[u8; TAG])> {
    let (announced, rest) = rest.split_first()?;
    let (nonce, rest) = rest.split_first_chunk::<12>()?;
    let (zero, rest) = rest.split_first()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
    (*announced == NONCE && *zero == 0 && ciphertext.len() == length).then_some((*nonce, ciphertext, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::near::near;
    use proptest::prelude::*;

    #[test]
    fn lengths_tell_blocks_from_aead() {
        let blocks = [&[0, 20][..], &[7; 32]].concat();
        assert!(parse_unit(&blocks, LengthField::U16).is_ok_and(|unit| unit.shape == Shape::Blocks));
        let aead = [&[0, 0, 0, 3, 12][..], &[9; 12], &[0], &[1, 2, 3], &[5; 16]].concat();
        let unit = parse_unit(&aead, LengthField::U32).expect("whole");
        assert!(unit.shape == Shape::Aead { nonce: [9; 12], tag: &[5; 16] });
        assert_eq!(unit.ciphertext, [1, 2, 3]);
        let other = [&[0, 20][..], &[7; 31]].concat();
        assert!(parse_unit(&other, LengthField::U16).is_ok_and(|unit| unit.shape == Shape::Other));
    }

    #[test]
    fn a_whole_block_of_padding_is_accepted() {
        let full = [&[0, 16][..], &[7; 32]].concat();
        assert!(parse_unit(&full, LengthField::U16).is_ok_and(|unit| unit.shape == Shape::Blocks));
    }

    #[test]
    fn fragments_say_where_they_stand() {
        let first = parse_fragment(&[0x1c, 0x80, 1, 2]).expect("whole");
        assert_eq!((first.starts, first.ends, first.data), (true, false, &[1, 2][..]));
        let alone = parse_fragment(&[0x65, 1]).expect("whole");
        assert_eq!((alone.starts, alone.ends, alone.data), (true, true, &[1][..]));
        assert!(parse_fragment(&[0x1c]).is_err());
    }

    #[test]
    fn a_unit_longer_than_is_believed_is_refused() {
        let error = parse_unit(&[0xff; 8], LengthField::U32).map(|_| ()).expect_err("refused");
        assert_eq!(error.field(), "zoom unit length");
    }

    proptest! {
        #[test]
        fn a_unit_with_nonce_and_tag_is_what_was_written(
            nonce: [u8; 12], tag: [u8; 16], text in proptest::collection::vec(any::<u8>(), 0..60), wide: bool,
        ) {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            let (field, length) = if wide { (LengthField::U32, &length[..]) } else { (LengthField::U16, &length[2..]) };
            let bytes = [length, &[12], &nonce, &[0], &text, &tag].concat();
            let unit = parse_unit(&bytes, field).unwrap();
            let shape = Shape::Aead { nonce, tag: &tag };
            prop_assert!(unit.shape == shape && unit.ciphertext == text && unit.length == text.len());
        }

        #[test]
        fn near_a_unit_its_ciphertext_lies_in_it(
            bytes in near([
                [&[0, 20][..], &[7; 32]].concat(),
                [&[0, 0, 0, 3, 12][..], &[9; 12], &[0], &[1, 2, 3], &[5; 16]].concat(),
                vec![0x1c, 0x80, 1, 2],
            ]),
            wide: bool,
        ) {
            let field = if wide { LengthField::U32 } else { LengthField::U16 };
            if let Ok(unit) = parse_unit(&bytes, field) {
                prop_assert!(unit.length <= MAX_UNIT && unit.ciphertext.len() + 2 <= bytes.len());
                if let Shape::Aead { nonce, tag } = unit.shape {
                    let made = [&[12][..], &nonce, &[0], unit.ciphertext, tag].concat();
                    prop_assert!(bytes.ends_with(&made) && unit.ciphertext.len() == unit.length);
                }
                prop_assert!(unit.shape != Shape::Blocks || unit.ciphertext.len() % 16 == 0);
            }
            if let Ok(fragment) = parse_fragment(&bytes) {
                prop_assert!(bytes.ends_with(fragment.data) && fragment.data.len() < bytes.len());
            }
        }
    }
}
