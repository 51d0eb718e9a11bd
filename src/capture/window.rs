//! One reusable buffer over the stream; every packet is a slice of it.

use std::collections::VecDeque;
use std::io;

use super::block::Block;
use super::error::{Fault, Located};
use super::info::Compression;
use super::source::Source;

/// Bytes of a stream held at a time: few enough to stay in the cache, enough that reading calls are rare.
/// Grows only for a single longer block, whose length the formats' own limits have passed.
pub(super) const BUFFER: usize = 256 << 10;
/// Buffers that others still read from and that are taken again once they do not; more than workers are ever behind with.
const SPARE: usize = 256;
/// Most bytes asked of a decompressor at a time: what it had made of a call that fails is lost.
const DECOMPRESS_STEP: usize = 8 << 10;

/// A view of the stream that moves forward only.
pub(super) struct Window {
    source: Source,
    buffer: Block,
    /// Buffers before this one that were handed out, the oldest first.
    spare: VecDeque<Block>,
    /// `start <= end <= length of the buffer`; the unread bytes.
    start: usize,
    end: usize,
    /// Offset in the stream of the byte at `start`.
    offset: u64,
    at_end: bool,
}

impl Window {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            buffer: Block::new(BUFFER),
            spare: VecDeque::new(),
            start: 0,
            end: 0,
            offset: 0,
            at_end: false,
        }
    }

    pub(super) const fn compression(&self) -> Compression {
        self.source.compression
    }

    pub(super) fn stored_bytes_read(&self) -> u64 {
        self.source.stored_bytes_read()
    }

    /// Offset in the stream of the next unread byte.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Index in the buffer of the next unread byte; holds until more is required.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// The buffer, for those who read on in it while the window moves; none where a single long block made it large.
    #[inline]
    pub(super) fn block(&self) -> Option<&Block> {
        Some(&self.buffer).filter(|buffer| buffer.len() == BUFFER)
    }

    /// All unread bytes that are in the buffer.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.bytes(self.start..self.end)
    }

    /// Bytes of the buffer by index, as a record remembers them.
    #[inline]
    pub(super) fn bytes(&self, start: usize, length: usize) -> &[u8] {
        self.buffer.bytes(start..start.saturating_add(length))
    }

    /// True when `length` unread bytes are in the buffer; false when the stream ends before.
    #[inline]
    pub(super) fn require(&mut self, length: usize) -> Result<bool, Located> {
        if self.end.saturating_sub(self.start) >= length {
            return Ok(true);
        }
        self.fill(length)
    }

    /// Moves over `length` bytes that are in the buffer.
    #[inline]
    pub(super) fn consume(&mut self, length: usize) {
        let length = length.min(self.end.saturating_sub(self.start));
        self.start = self.start.saturating_add(length);
        self.offset = self.offset.saturating_add(wide(length));
    }

    /// Moves over `length` bytes wherever they are, without holding them; gives how many were there.
    pub(super) fn skip(&mut self, length: u64) -> Result<u64, Located> {
        let mut left = length;
        loop {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(self.unread().len());
            self.consume(step);
            left = left.saturating_sub(wide(step));
            if left == 0 || !self.require(1)? {
                return Ok(length.saturating_sub(left));
            }
        }
    }

    #[cold]
    fn fill(&mut self, length: usize) -> Result<bool, Located> {
        self.make_room(length);
        while self.end < length && !self.at_end {
            self.read_once()?;
        }
        Ok(self.end >= length)
    }

    /// Moves what is unread to the beginning of a buffer of at least `length` bytes: of this one, or of another where this one is
    /// too short, longer than is needed, or still read from.
    fn make_room(&mut self, length: usize) {
        let unread = self.start..self.end;
        self.end = unread.len();
        self.start = 0;
        if let Some(buffer) = self.buffer.alone()
            && buffer.len() >= length
            && (buffer.len() == BUFFER || length > BUFFER)
        {
            buffer.copy_within(unread, 0);
            return;
        }
        let next = self.free(length);
        let last = std::mem::replace(&mut self.buffer, next);
        if let Some(buffer) = self.buffer.alone() {
            buffer.iter_mut().zip(last.bytes(unread)).for_each(|(to, from)| *to = *from);
        }
        if last.len() == BUFFER {
            self.spare.push_back(last);
        }
        if self.spare.len() > SPARE {
            self.spare.pop_front();
        }
    }

    /// A buffer that nobody reads from.
    fn free(&mut self, length: usize) -> Block {
        if length <= BUFFER
            && let Some(free) = self.spare.iter_mut().rposition(|spare| spare.alone().is_some())
            && let Some(block) = self.spare.remove(free)
        {
            return block;
        }
        Block::new(length.max(BUFFER))
    }

    fn read_once(&mut self) -> Result<(), Located> {
        // Nobody reads from a buffer before the window hands it out, and room is made before it is read into.
        let space = self.buffer.alone().and_then(|buffer| buffer.get_mut(self.end..)).unwrap_or_default();
        let step = match self.source.compression {
            Compression::None => space.len(),
            Compression::Gzip | Compression::Zstd | Compression::Xz => space.len().min(DECOMPRESS_STEP),
        };
        match self.source.stream.read(space.get_mut(..step).unwrap_or_default()) {
            Ok(0) => self.at_end = true,
            Ok(taken) => self.end = self.end.saturating_add(taken).min(self.buffer.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.at_end = true;
                return Err(Located {
                    offset: self.offset.saturating_add(wide(self.end)),
                    fault: read_fault(self.source.compression, &error),
                });
            }
        }
        Ok(())
    }
}

/// A decoder's complaint carries no system error number; a disk's does.
fn read_fault(compression: Compression, error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::IsADirectory {
        Fault::IsADirectory
    } else if compression == Compression::None || error.raw_os_error().is_some() {
        Fault::Unreadable { kind: error.kind(), message: error.to_string() }
    } else if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::CompressionCut { compression }
    } else {
        Fault::CorruptCompression { compression, message: error.to_string() }
    }
}

/// A length as a stream offset; `usize` is never wider than 64 bits here.
pub(super) fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::ops::Range;

    fn stream(length: usize) -> Vec<u8> {
        (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_be_bytes()).take(length).collect()
    }

    /// What is held of earlier buffers stays as it was read, whatever is read behind it and however late it is let go.
    #[test]
    fn the_window_moves_on_while_others_read_from_its_buffers() {
        let all = stream(5 * BUFFER);
        let mut window = Window::new(Source::detect(Cursor::new(all.clone())).unwrap());
        let mut held: VecDeque<(Block, Range<usize>, usize)> = VecDeque::new();
        let (mut buffers, mut large) = (0, 0);
        let mut latest: Option<Block> = None;
        for step in 0_usize.. {
            // One part is longer than a buffer, and nobody can hold it.
            let length = if step == 300 { BUFFER + 77 } else { 1 + step * 7919 % 3000 };
            let at = usize::try_from(window.offset()).unwrap();
            if !window.require(length).unwrap() {
                break;
            }
            let part = window.unread().get(..length).unwrap();
            assert_eq!(part, all.get(at..at + length).unwrap(), "at {at}");
            assert_eq!(window.block().is_none(), window.buffer.len() > BUFFER);
            large += usize::from(window.block().is_none());
            if let Some(block) = window.block() {
                if latest.as_ref().is_none_or(|latest| !latest.is(block)) {
                    (latest, buffers) = (Some(block.clone()), buffers + 1);
                }
                held.push_back((block.clone(), block.range_of(part).unwrap(), at));
            }
            window.consume(length);
            while held.len() > 250 {
                let (block, range, at) = held.pop_front().unwrap();
                assert_eq!(block.bytes(range.clone()), all.get(at..at + range.len()).unwrap(), "at {at}");
            }
        }
        assert!(
            buffers >= 4 && (1..100).contains(&large),
            "{buffers} buffers, {large} packets in a large one"
        );
        let again = held.iter().any(|(block, ..)| window.spare.iter().any(|spare| spare.is(block)));
        assert!(again && window.spare.len() <= 4, "buffers are taken again: {}", window.spare.len());
        for (block, range, at) in held {
            assert_eq!(block.bytes(range.clone()), all.get(at..at + range.len()).unwrap());
        }
    }

    #[test]
    fn one_buffer_is_enough_where_nobody_holds_it() {
        let mut window = Window::new(Source::detect(Cursor::new(stream(3 * BUFFER))).unwrap());
        while window.require(1000).unwrap() {
            window.consume(1000);
        }
        assert!(window.spare.is_empty());
    }
}
