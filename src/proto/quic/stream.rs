//! Streams of opened packets put back in order (RFC 9000 section 2.2).
//!
//! In: pieces at any offset, in any order, repeated or overlapping. Out: each byte once, in the order of its stream, as soon as
//! all before it are there. The first copy of a byte wins. Bounded in streams and in bytes that wait; what does not fit is counted
//! and left out, and nothing after it in its stream comes out.

use std::collections::BTreeMap;

/// Streams of one direction that are followed; a page of a browser opens some hundred.
const MAX_STREAMS: usize = 1024;
/// Bytes of one direction that wait behind holes: more than any receive window in use leaves open for long.
const MAX_HELD_BYTES: usize = 4 << 20;
/// Pieces that do.
const MAX_HELD: usize = 8192;

/// The streams of one direction.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_id: BTreeMap<u64, Stream>,
    held_bytes: usize,
    held: usize,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Stream {
    /// Offset of the next byte to come out.
    next: u64,
    waiting: BTreeMap<u64, Box<[u8]>>,
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Streams {
    /// Takes a piece of stream `id`; `each` gets what is whole now.
    pub(super) fn insert(&mut self, id: u64, offset: u64, data: &[u8], each: &mut impl FnMut(&[u8])) {
        if !self.by_id.contains_key(&id) && self.by_id.len() >= MAX_STREAMS {
            self.leave_out(length(data));
            return;
        }
        let stream = self.by_id.entry(id).or_default();
        let end = offset.saturating_add(length(data));
        if end <= stream.next {
            return;
        }
        if offset > stream.next {
            self.hold(id, offset, data);
            return;
        }
        stream.give(offset, data, each);
        while let Some(piece) = stream.waiting.first_entry().filter(|piece| *piece.key() <= stream.next) {
            let (offset, piece) = piece.remove_entry();
            self.held = self.held.saturating_sub(1);
            self.held_bytes = self.held_bytes.saturating_sub(piece.len());
            stream.give(offset, &piece, each);
        }
    }

    fn hold(&mut self, id: u64, offset: u64, data: &[u8]) {
        let Some(stream) = self.by_id.get_mut(&id) else { return };
        let known = stream.waiting.get(&offset).map_or(0, |piece| piece.len());
        let Some(fresh) = data.len().checked_sub(known).filter(|fresh| *fresh > 0) else { return };
        let is_full =
            self.held_bytes.saturating_add(fresh) > MAX_HELD_BYTES || (known == 0 && self.held >= MAX_HELD);
        if is_full {
            self.leave_out(length(data));
            return;
        }
        // A longer copy of a waiting piece keeps the bytes that came first.
        let mut piece = data.to_vec();
        if let Some(old) = stream.waiting.get(&offset) {
            piece.iter_mut().zip(old.iter()).for_each(|(new, old)| *new = *old);
        } else {
            self.held = self.held.saturating_add(1);
        }
        self.held_bytes = self.held_bytes.saturating_add(fresh);
        stream.waiting.insert(offset, piece.into());
    }

    /// Bytes that were left out because of a cap, or wait for bytes that have not come.
    pub(super) fn missing(&self) -> u64 {
        self.left_out.saturating_add(u64::try_from(self.held_bytes).unwrap_or(u64::MAX))
    }

    const fn leave_out(&mut self, bytes: u64) {
        self.left_out = self.left_out.saturating_add(bytes);
    }
}

impl Stream {
    fn give(&mut self, offset: u64, data: &[u8], each: &mut impl FnMut(&[u8])) {
        let known = usize::try_from(self.next.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(fresh) = data.get(known..).filter(|fresh| !fresh.is_empty()) else { return };
        self.next = self.next.saturating_add(length(fresh));
        each(fresh);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn caps_hold_and_what_is_missing_is_counted() {
        let mut streams = Streams::default();
        let mut out = |_: &[u8]| panic!("nothing is whole");
        for id in 0..2000 {
            streams.insert(id, 1, b"x", &mut out);
        }
        assert_eq!((streams.by_id.len(), streams.missing()), (MAX_STREAMS, 2000));
        for at in 0..10 {
            streams.insert(5, 10 + at * 1_000_000, &vec![0; 1_000_000], &mut out);
        }
        assert!(streams.held_bytes <= MAX_HELD_BYTES);
        assert_eq!(streams.missing(), 2000 + 10_000_000);
        streams.insert(7, u64::MAX, b"end", &mut out);
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
            let mut streams = Streams::default();
            let mut whole = Vec::new();
            for (start, end) in pieces {
                streams.insert(3, start as u64, &text[start..end], &mut |bytes| whole.extend_from_slice(bytes));
                prop_assert!(text.starts_with(&whole));
            }
            prop_assert_eq!(whole, text);
            prop_assert_eq!((streams.missing(), streams.held), (0, 0));
        }
    }
}
