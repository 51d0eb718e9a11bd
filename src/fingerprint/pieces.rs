//! Text that is hashed while it is written, so that it never stands as a whole.

use sha2::Digest;
use sha2::digest::Output;

/// Bytes that are handed to the hash at a time: a call for each number of a hello would cost more than hashing it.
const HELD: usize = 256;
/// Bytes of the longest piece.
const LONGEST: usize = 8;

/// A number or a sign, some fifty of each hello.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Piece {
    /// Another sign alone.
    pub(super) const fn sign(sign: u8) -> Self {
        Self { bytes: [sign, 0, 0, 0, 0, 0, 0, 0], length: 1 }
    }

    /// A number with its decimal digits.
    pub(super) const fn decimal(value: u16) -> Self {
        const fn digit(value: u16) -> u8 {
            let [_, low] = (value % 10).to_be_bytes();
            b'0'.wrapping_add(low)
        }
        let (length, leading_bits) = match value {
            0..=9 => (1, 32),
            10..=99 => (2, 24),
            100..=999 => (3, 16),
            1_000..=9_999 => (4, 8),
            10_000.. => (5, 0),
        };
        let digits = [
            digit(value / 10_000),
            digit(value / 1_000),
            digit(value / 100),
            digit(value / 10),
            digit(value),
            0,
            0,
            0,
        ];
        Self { bytes: (u64::from_le_bytes(digits) >> leading_bits).to_le_bytes(), length }
    }

    /// Four characters.
    pub(super) const fn four([a, b, c, d]: [u8; 4]) -> Self {
        Self { bytes: [a, b, c, d, 0, 0, 0, 0], length: 4 }
    }

    /// The same behind a sign; of at most seven characters.
    pub(super) const fn behind(self, sign: u8) -> Self {
        let mut bytes = (u64::from_le_bytes(self.bytes) << 8).to_le_bytes();
        bytes[0] = sign;
        Self { bytes, length: self.length.saturating_add(1) }
    }

    /// What it says.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

/// A hash of many small pieces.
pub(super) struct Pieces<D> {
    hash: D,
    held: [u8; HELD],
    length: usize,
}

impl<D: Digest> Pieces<D> {
    pub(super) fn new() -> Self {
        Self { hash: D::new(), held: [0; HELD], length: 0 }
    }

    /// Adds a piece. All its bytes are written: a fixed number is quicker than as many as count.
    #[inline]
    pub(super) fn push(&mut self, piece: Piece) {
        if self.length > HELD - LONGEST {
            self.hand_over();
        }
        if let Some(place) = self.held.get_mut(self.length..).and_then(|rest| rest.first_chunk_mut()) {
            *place = piece.bytes;
            self.length = self.length.saturating_add(piece.length.into());
        }
    }

    /// The hash of all pieces.
    pub(super) fn finish(mut self) -> Output<D> {
        self.hand_over();
        self.hash.finalize()
    }

    #[cold]
    fn hand_over(&mut self) {
        self.hash.update(self.held.get(..self.length).unwrap_or_default());
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Sha256;

    #[test]
    fn pieces_hash_as_what_they_make_together() {
        for count in 0..200_u16 {
            let mut pieces = Pieces::<Sha256>::new();
            let mut text = Vec::new();
            for piece in (0..count).map(|at| Piece::decimal(at.wrapping_mul(7919)).behind(b'-')) {
                pieces.push(piece);
                text.extend_from_slice(piece.as_bytes());
            }
            assert_eq!(pieces.finish(), Sha256::digest(&text), "of {count} pieces");
        }
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in 0..=u16::MAX {
            assert_eq!(Piece::decimal(value).as_bytes(), value.to_string().as_bytes());
            assert_eq!(Piece::decimal(value).behind(b'-').as_bytes(), format!("-{value}").as_bytes());
        }
        assert_eq!(Piece::four(*b"00ff").behind(b',').as_bytes(), b",00ff");
        assert_eq!(Piece::sign(b'_').as_bytes(), b"_");
    }
}
