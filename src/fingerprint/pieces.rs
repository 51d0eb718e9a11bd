//! Text that is hashed while it is written, so that it never stands as a whole.

use sha2::Digest;
use sha2::digest::Output;

/// Bytes that are handed to the hash at a time: a call for each number of a hello would cost more than hashing it.
const HELD: usize = 256;

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

    /// Adds a piece.
    #[inline]
    pub(super) fn push(&mut self, piece: &[u8]) {
        let end = self.length.saturating_add(piece.len());
        if let Some(room) = self.held.get_mut(self.length..end) {
            room.copy_from_slice(piece);
            self.length = end;
        } else {
            self.hand_over();
            self.hash.update(piece);
        }
    }

    /// The hash of all pieces.
    pub(super) fn finish(mut self) -> Output<D> {
        self.hand_over();
        self.hash.finalize()
    }

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
    fn pieces_of_any_length_hash_as_what_they_make_together() {
        for step in [1, 3, 5, 100, 255, 256, 257, 600] {
            let text: Vec<u8> = (0..2000_u32).map(|byte| byte.to_be_bytes()[3]).collect();
            let mut pieces = Pieces::<Sha256>::new();
            text.chunks(step).for_each(|piece| pieces.push(piece));
            assert_eq!(pieces.finish(), Sha256::digest(&text), "in pieces of {step}");
        }
        assert_eq!(Pieces::<Sha256>::new().finish(), Sha256::digest(b""));
    }
}
