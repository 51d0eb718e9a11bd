//! The stream of handshake bytes that CRYPTO frames carry (RFC 9000 §7.5, §19.6).
//!
//! In: pieces at any offset, in any order, repeated or overlapping, also over many packets. Out: the
//! bytes from offset 0 as far as they are whole. The first copy of a byte wins. Bounded by
//! [`MAX_BYTES`] and [`MAX_HELD`]; what does not fit is counted and left out.

/// Cap on bytes kept, contiguous and waiting together: a client's first flight is 2 KiB with
/// post-quantum key shares, a server's Initial flight rarely over 1 KiB.
const MAX_BYTES: usize = 64 * 1024;
/// Cap on pieces that wait for an earlier one; Chrome cuts a ClientHello into some ten.
const MAX_HELD: usize = 128;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct CryptoStream {
    /// Bytes before `whole` that were let go.
    gone: usize,
    whole: Vec<u8>,
    /// Pieces behind a hole with their offsets, in order. There are seldom more than a few, and a node of a tree has room for eleven.
    held: Vec<(usize, Box<[u8]>)>,
    held_bytes: usize,
    dropped: u64,
}

impl CryptoStream {
    /// The bytes from offset 0, or from where they were let go, up to the first hole.
    pub(super) fn contiguous(&self) -> &[u8] {
        &self.whole
    }

    /// Bytes from offset 0 on that were let go.
    pub(super) const fn gone(&self) -> usize {
        self.gone
    }

    /// Lets go of the bytes up to the first hole: they were read.
    pub(super) fn let_go(&mut self) {
        self.gone = self.length();
        self.whole = Vec::new();
    }

    /// Offset of the first hole.
    const fn length(&self) -> usize {
        self.gone.saturating_add(self.whole.len())
    }

    /// Bytes that were left out because of a cap.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a piece. True when [`CryptoStream::contiguous`] grew.
    pub(super) fn insert(&mut self, offset: u64, data: &[u8]) -> bool {
        let length = self.length();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(data.len());
        if end <= length {
            return false;
        }
        let full = length.saturating_add(self.held_bytes).saturating_add(data.len()) > MAX_BYTES;
        if end > MAX_BYTES || full {
            self.drop_bytes(data.len());
            return false;
        }
        if start > length {
            self.hold(start, data);
            return false;
        }
        self.append(start, data);
        while self.held.first().is_some_and(|(start, _)| *start <= self.length()) {
            let (start, piece) = self.held.remove(0);
            self.held_bytes = self.held_bytes.saturating_sub(piece.len());
            self.append(start, &piece);
        }
        true
    }

    fn append(&mut self, start: usize, data: &[u8]) {
        let known = self.length().saturating_sub(start);
        self.whole.extend_from_slice(data.get(known..).unwrap_or_default());
    }

    fn hold(&mut self, start: usize, data: &[u8]) {
        let place = self.held.partition_point(|(held, _)| *held < start);
        let old = self.held.get(place).filter(|(held, _)| *held == start);
        let known = old.map_or(0, |(_, piece)| piece.len());
        if data.len() <= known {
            return;
        }
        if known == 0 && self.held.len() >= MAX_HELD {
            self.drop_bytes(data.len());
            return;
        }
        let mut piece = data.to_vec();
        if let Some((_, old)) = old {
            piece.iter_mut().zip(old.iter()).for_each(|(new, old)| *new = *old);
        }
        let is_known = old.is_some();
        self.held_bytes = self.held_bytes.saturating_sub(known).saturating_add(piece.len());
        if let Some((_, held)) = self.held.get_mut(place).filter(|_| is_known) {
            *held = piece.into();
        } else {
            self.held.reserve_exact(1);
            self.held.insert(place, (start, piece.into()));
        }
    }

    fn drop_bytes(&mut self, count: usize) {
        self.dropped = self.dropped.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn caps_hold() {
        let mut stream = CryptoStream::default();
        assert!(!stream.insert(u64::MAX, b"x"));
        assert!(!stream.insert(70_000, b"x"));
        for start in 0..1000 {
            stream.insert(10 + start * 2, b"y");
        }
        assert_eq!(stream.held.len(), MAX_HELD);
        assert_eq!(stream.dropped(), 2 + 1000 - 128);
        for _ in 0..100 {
            stream.insert(5, &vec![0; 60_000]);
        }
        assert!(stream.held_bytes <= MAX_BYTES);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_string(
            cuts in proptest::collection::vec((0_usize..300, 1_usize..80), 1..60),
            order in any::<u64>(),
        ) {
            let text: Vec<u8> = (0_u16..300).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
            let mut pieces: Vec<(usize, usize)> = (0..300).step_by(50).map(|s| (s, s + 50)).collect();
            pieces.extend(cuts.iter().map(|(s, l)| (*s, (s + l).min(300))));
            pieces.sort_by_key(|(s, e)| (order ^ (*s as u64 * 0x9e37_79b9)).wrapping_mul(*e as u64 | 1));
            let mut stream = CryptoStream::default();
            for (start, end) in pieces {
                let before = stream.contiguous().len();
                let grew = stream.insert(start as u64, &text[start..end]);
                prop_assert_eq!(grew, stream.contiguous().len() > before);
                prop_assert!(text.starts_with(stream.contiguous()));
            }
            prop_assert_eq!(stream.contiguous(), &text[..]);
        }
    }
}
