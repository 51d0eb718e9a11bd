//! The one cursor that every parser reads with, and the one error that says which field broke.
//!
//! In: a borrowed byte slice. Out: integers, sub-slices, or a [`ParseError`] that names the field and
//! its offset. Nothing here indexes, allocates or panics.

use thiserror::Error;
use zeroize::Zeroizing;

/// Why a parser stopped. Offsets count from the start of the slice that the parser was given.
#[derive(Error, Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The input ends before the field does; more bytes could mend it.
    #[error("{field} at offset {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// Name of the field in the words of its specification.
        field: &'static str,
        /// Where the field begins, in bytes.
        offset: usize,
        /// How many bytes the field takes.
        needed: usize,
        /// How many bytes were left.
        available: usize,
    },
    /// The field is whole, but no value of it is allowed here.
    #[error("{field} at offset {offset} has the invalid value {value:#x}")]
    Invalid {
        /// Name of the field in the words of its specification.
        field: &'static str,
        /// Where the field begins, in bytes.
        offset: usize,
        /// The value found.
        value: u64,
    },
    /// A length field asks for more than this parser is willing to take.
    #[error("{field} at offset {offset} asks for {length} bytes, the limit is {limit}")]
    TooLong {
        /// Name of the field in the words of its specification.
        field: &'static str,
        /// Where the field begins, in bytes.
        offset: usize,
        /// The length asked for, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl ParseError {
    /// Name of the field that broke; used as the name of the anomaly in the report.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Truncated { field, .. } | Self::Invalid { field, .. } | Self::TooLong { field, .. } => {
                field
            }
        }
    }

    /// True when more bytes could mend it (the message is cut, not wrong).
    pub const fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }

    /// The same error with its offset moved by `base`, for a parser that was given a sub-slice.
    #[must_use]
    pub const fn shifted(self, base: usize) -> Self {
        match self {
            Self::Truncated { field, offset, needed, available } => {
                Self::Truncated { field, offset: offset.saturating_add(base), needed, available }
            }
            Self::Invalid { field, offset, value } => {
                Self::Invalid { field, offset: offset.saturating_add(base), value }
            }
            Self::TooLong { field, offset, length, limit } => {
                Self::TooLong { field, offset: offset.saturating_add(base), length, limit }
            }
        }
    }
}

/// Lower-case hexadecimal digit of the low four bits.
pub(crate) const fn hex_digit(nibble: u8) -> u8 {
    let nibble = nibble & 0x0f;
    if nibble < 10 { b'0'.wrapping_add(nibble) } else { b'a'.wrapping_add(nibble).wrapping_sub(10) }
}

/// Both hexadecimal digits of a byte.
pub(crate) const fn hex_digits(byte: u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(byte)]
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = vec![0; bytes.len().saturating_mul(2)];
    for (pair, byte) in out.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = hex_digits(*byte);
    }
    // Digits and letters alone were written.
    String::from_utf8(out).unwrap_or_default()
}

/// The byte that two hexadecimal digits stand for.
pub fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// A number of seven bits a byte, the low ones first, of which all but the last have the high bit set (Protocol Buffers, "Base 128
/// Varints"), at the beginning of `bytes`, and how many bytes it takes; none where it does not end within ten.
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        let shift = u32::try_from(index).ok()?.checked_mul(7)?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, index.saturating_add(1)));
        }
    }
    None
}

/// The bytes that hexadecimal digits stand for, wiped when dropped: keys are written so. `None` for anything else.
pub fn unhex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(hex_pair(*high, *low)?);
    }
    Some(bytes)
}

/// How sure a first look at some bytes is; the parser that follows decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "three answers are all there are")]
pub enum Probe {
    /// These bytes are something else.
    No,
    /// The bytes do not contradict it; parse to find out.
    Maybe,
    /// A magic value or a checked length says so.
    Yes,
}

/// A big-endian cursor over a borrowed slice.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    input: &'a [u8],
    /// `0 <= position`, moved by what was taken; added to `base` for error offsets.
    position: usize,
    base: usize,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("position", &self.position())
            .field("remaining", &self.input.len())
            .finish()
    }
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `input`.
    pub const fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0, base: 0 }
    }

    /// Offset of the next byte, from the start of the outermost slice.
    pub const fn position(&self) -> usize {
        self.base.saturating_add(self.position)
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.input.len()
    }

    /// True when nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// What is left, without taking it.
    pub const fn peek(&self) -> &'a [u8] {
        self.input
    }

    /// Takes all that is left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let all = self.input;
        self.position = self.position.saturating_add(all.len());
        self.input = &[];
        all
    }

    /// Takes `length` bytes.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer are left.
    pub const fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], ParseError> {
        let Some((taken, left)) = self.input.split_at_checked(length) else {
            return Err(self.truncated(length, field));
        };
        self.input = left;
        self.position = self.position.saturating_add(length);
        Ok(taken)
    }

    /// Takes `N` bytes as an array.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer are left.
    pub const fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        let Some((taken, left)) = self.input.split_first_chunk::<N>() else {
            return Err(self.truncated(N, field));
        };
        self.input = left;
        self.position = self.position.saturating_add(N);
        Ok(*taken)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when none is left.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ParseError> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    /// Takes a 16-bit big-endian integer.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer than 2 bytes are left.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ParseError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// Takes a 24-bit big-endian integer.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer than 3 bytes are left.
    pub fn u24(&mut self, field: &'static str) -> Result<u32, ParseError> {
        let [high, middle, low] = self.array(field)?;
        Ok(u32::from_be_bytes([0, high, middle, low]))
    }

    /// Takes a 32-bit big-endian integer.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer than 4 bytes are left.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// Takes a 48-bit big-endian integer.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer than 6 bytes are left.
    pub fn u48(&mut self, field: &'static str) -> Result<u64, ParseError> {
        let low: [u8; 6] = self.array(field)?;
        Ok(low.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Takes a 64-bit big-endian integer.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer than 8 bytes are left.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// Takes `length` bytes as a cursor of their own, whose error offsets still count from the outermost slice.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when fewer are left.
    pub const fn sub(&mut self, length: usize, field: &'static str) -> Result<Self, ParseError> {
        let base = self.position();
        match self.take(length, field) {
            Ok(input) => Ok(Self { input, position: 0, base }),
            Err(error) => Err(error),
        }
    }

    const fn truncated(&self, needed: usize, field: &'static str) -> ParseError {
        ParseError::Truncated { field, offset: self.position(), needed, available: self.input.len() }
    }
}

#[cfg(test)]
pub(crate) mod near;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_field_is_named_with_its_offset() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16("first").unwrap(), 0x0102);
        assert_eq!(
            reader.u32("second"),
            Err(ParseError::Truncated { field: "second", offset: 2, needed: 4, available: 1 })
        );
        assert_eq!(reader.remaining(), 1, "a failed read takes nothing");
    }

    #[test]
    fn sub_cursor_keeps_outer_offsets() {
        let mut reader = Reader::new(&[0, 0, 7, 8, 9]);
        reader.take(2, "head").unwrap();
        let mut inner = reader.sub(2, "body").unwrap();
        inner.u8("a").unwrap();
        assert_eq!(inner.position(), 3);
        assert_eq!(inner.u16("b").unwrap_err().field(), "b");
        assert_eq!(reader.rest(), &[9]);
        assert!(reader.is_empty());
    }

    #[test]
    fn integers_are_big_endian() {
        let mut reader = Reader::new(&[1, 2, 3, 0, 0, 0, 0, 0, 5]);
        assert_eq!(reader.u24("t").unwrap(), 0x01_02_03);
        assert_eq!(reader.u48("f").unwrap(), 5);
    }
}
