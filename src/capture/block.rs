//! The buffer that packets lie in, which a reader and those who work on its packets may share.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::source::Stream;

/// Bytes of a stream held at a time: few enough to stay in the cache, enough that reading calls are rare.
/// Grows only for a single longer block, whose length the formats' own limits have passed.
pub(super) const BUFFER: usize = 256 << 10;
/// Buffers that others still read from and that are taken again once they do not; more than workers are ever behind with.
const SPARE: usize = 256;

/// Bytes that a capture is read into. While anybody holds a clone they do not change.
#[derive(Clone)]
pub struct Block(Arc<[u8]>);

impl Block {
    pub(super) fn new(length: usize) -> Self {
        Self(std::iter::repeat_n(0, length).collect())
    }

    /// The bytes, to be changed; none while somebody holds a clone.
    pub(super) fn alone(&mut self) -> Option<&mut [u8]> {
        Arc::get_mut(&mut self.0)
    }

    /// Reads once into what is behind `at`; gives how many bytes came. None are the end of the stream, or of the block, or somebody holds a
    /// clone.
    pub(super) fn read(&mut self, at: usize, stream: &mut Stream) -> io::Result<usize> {
        let space = self.alone().and_then(|block| block.get_mut(at..)).unwrap_or_default();
        loop {
            match stream.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome.map(|taken| taken.min(space.len())),
            }
        }
    }

    /// Bytes that there are, read or not.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of the block; none where the range is not within it.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    /// Where in the block `part` lies, given that it was borrowed from it; `None` for bytes that lie elsewhere.
    #[inline]
    pub fn range_of(&self, part: &[u8]) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().checked_sub(self.0.as_ptr().addr())?;
        let end = start.checked_add(part.len())?;
        (end <= self.0.len()).then_some(start..end)
    }

    /// True where both are the same buffer.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What is in it is private: only its length is shown.
impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Block").field(&self.0.len()).finish()
    }
}

/// Buffers of [`BUFFER`] bytes that were handed out, the oldest first.
#[derive(Default)]
pub(super) struct Pool(VecDeque<Block>);

impl Pool {
    /// One that nobody reads from.
    pub(super) fn take(&mut self) -> Block {
        let free = self.0.iter_mut().rposition(|spare| spare.alone().is_some());
        free.and_then(|free| self.0.remove(free)).unwrap_or_else(|| Block::new(BUFFER))
    }

    /// Keeps one for later, unless a long packet made it large.
    pub(super) fn give(&mut self, block: Block) {
        if block.len() == BUFFER {
            self.0.push_back(block);
        }
        if self.0.len() > SPARE {
            self.0.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn blocks(&self) -> &VecDeque<Block> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_where_it_lies_and_other_bytes_are_not() {
        let block = Block::new(100);
        for range in [0..100, 0..0, 100..100, 17..40] {
            let part = block.bytes(range.clone());
            assert_eq!(block.range_of(part), Some(range));
        }
        let other = Block::new(100);
        assert_eq!(block.range_of(other.bytes(0..100)), None);
        assert_eq!(block.range_of(&[1, 2, 3]), None);
        assert_eq!(block.bytes(90..101), [0_u8; 0]);
    }

    #[test]
    fn what_somebody_holds_does_not_change() {
        let mut block = Block::new(4);
        assert!(block.alone().is_some());
        let held = block.clone();
        assert!(block.alone().is_none() && block.is(&held));
        drop(held);
        assert!(block.alone().is_some());
    }
}
