//! One reusable buffer over the stream; every packet is a slice of it.

use std::io;
use std::sync::Arc;

use super::ahead::{Ahead, ReadAhead};
use super::block::{BUFFER, Block, Pool};
use super::error::{Fault, Located};
use super::info::Compression;
use super::reopened::Reopened;
use super::source::Source;

/// A view of the stream that moves forward only.
pub(super) struct Window {
    /// Its stream is at its end where it is read ahead.
    source: Source,
    ahead: Option<Arc<Ahead>>,
    /// What is behind the bytes that were read ahead.
    fault: Option<io::Error>,
    buffer: Block,
    /// Buffers before this one that were handed out.
    spare: Pool,
    /// `start <= end <= length of the buffer`; the unread bytes.
    start: usize,
    end: usize,
    /// Offset in the stream of the byte at `start`.
    offset: u64,
    at_end: bool,
    /// Length of a buffer, but for a longer packet.
    size: usize,
}

impl Window {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            ahead: None,
            fault: None,
            buffer: Block::new(BUFFER),
            spare: Pool::default(),
            start: 0,
            end: 0,
            offset: 0,
            at_end: false,
            size: BUFFER,
        }
    }

    /// Holds no more than some `size` bytes from here on, and a file that is open only while it is read, which `reopened` gives for the
    /// offset and the bytes before. The byte at `from` in the buffer, not behind the next unread one, is its first then. Where from there
    /// to the next unread one are more bytes than that, they are unread again: how many.
    pub(super) fn narrow(
        &mut self,
        from: usize,
        size: usize,
        reopened: impl FnOnce(u64, &[u8]) -> Reopened,
    ) -> Option<usize> {
        let again = Some(self.start.saturating_sub(from)).filter(|read| *read > size);
        if let Some(read) = again {
            self.offset = self.offset.saturating_sub(wide(read));
            self.start = from;
            self.source.long.release();
        }
        let end = self.end.min(from.saturating_add(size)).max(self.start);
        let kept = self.buffer.bytes(from..end);
        let at = self.offset.saturating_add(wide(end.saturating_sub(self.start)));
        self.source.reopen(reopened(at, kept));
        let mut buffer = Block::new(kept.len().max(size));
        copy(kept, &mut buffer, 0);
        (self.buffer, self.spare, self.size) = (buffer, Pool::default(), size);
        (self.start, self.end) = (self.start.saturating_sub(from), end.saturating_sub(from));
        self.at_end = false;
        again
    }

    /// Bytes that it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// True where it holds less than a buffer, and has its file open only while it is read.
    pub(super) const fn is_narrow(&self) -> bool {
        self.size < BUFFER
    }

    /// Where it is narrow and a longer packet made it hold more: how many bytes it is to hold.
    pub(super) fn is_stretched(&self) -> Option<usize> {
        (self.is_narrow() && self.buffer.len() > self.size).then_some(self.size)
    }

    /// From here on other threads may read the stream before its bytes are asked for here, where not enough other files are read so. Not for a
    /// stream that others feed as they like: what it has is handed out when a buffer is full.
    pub(super) fn read_ahead(&mut self, ahead: &ReadAhead) {
        if self.ahead.is_none() {
            let stream = std::mem::replace(&mut self.source.stream, Box::new(io::empty()));
            match ahead.begin(stream, &self.source.gate) {
                Ok(ahead) => self.ahead = Some(ahead),
                Err(stream) => self.source.stream = stream,
            }
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
        if length > BUFFER && !self.has_room_for(length) {
            self.at_end = true;
            return Err(Located { offset: self.offset, fault: Fault::NoRoomToRead { length: wide(length) } });
        }
        if self.ahead.is_none() {
            self.make_room(length);
        }
        while self.unread().len() < length && !self.at_end {
            if self.ahead.is_some() { self.take_next(length)? } else { self.read_once()? }
        }
        if self.buffer.len() <= BUFFER {
            self.source.long.release();
        }
        Ok(self.unread().len() >= length)
    }

    /// Takes the memory for a block of so many bytes, where it is longer than a buffer; false where there is not so much.
    pub(super) fn has_room_for(&mut self, length: usize) -> bool {
        // Of one that another thread has read, a buffer more is needed to put it together.
        length <= BUFFER || self.source.long.set(wide(length.saturating_add(BUFFER)))
    }

    /// Moves what is unread to the beginning of a buffer of at least `length` bytes: of this one, or of another where this one is
    /// too short, longer than is needed, or still read from.
    fn make_room(&mut self, length: usize) {
        let unread = self.start..self.end;
        self.end = unread.len();
        self.start = 0;
        if let Some(buffer) = self.buffer.alone()
            && buffer.len() >= length
            && (buffer.len() == self.size || length > self.size)
        {
            buffer.copy_within(unread, 0);
            return;
        }
        let is_wide = self.size == BUFFER;
        let next =
            if is_wide && length <= BUFFER { self.spare.take() } else { Block::new(length.max(self.size)) };
        let last = std::mem::replace(&mut self.buffer, next);
        copy(last.bytes(unread), &mut self.buffer, 0);
        if is_wide {
            self.spare.give(last);
        }
    }

    fn read_once(&mut self) -> Result<(), Located> {
        // Nobody reads from a buffer before the window hands it out, and room is made before it is read into.
        match self.buffer.read(self.end, &mut self.source.stream) {
            Ok(0) => self.at_end = true,
            Ok(taken) => self.end = self.end.saturating_add(taken),
            Err(error) => return Err(self.located(&error)),
        }
        Ok(())
    }

    /// Takes the buffer that was read next, with what is unread before it; where that does not fit, both go into a larger one.
    fn take_next(&mut self, length: usize) -> Result<(), Located> {
        if let Some(error) = self.fault.take() {
            return Err(self.located(&error));
        }
        let Some(part) = self.ahead.as_ref().and_then(|ahead| ahead.next()) else {
            self.at_end = true;
            return Ok(());
        };
        let unread = self.start..self.end;
        let read = part.start..part.end;
        let given = if let Some(start) = part.start.checked_sub(unread.len()) {
            let last = std::mem::replace(&mut self.buffer, part.block);
            copy(last.bytes(unread), &mut self.buffer, start);
            (self.start, self.end) = (start, part.end);
            last
        } else {
            let needed = self.end.saturating_add(read.len());
            if self.buffer.len() < needed || self.buffer.alone().is_none() {
                let longest = length.max(unread.len()).saturating_add(BUFFER);
                let last = std::mem::replace(&mut self.buffer, Block::new(longest));
                copy(last.bytes(unread.clone()), &mut self.buffer, 0);
                (self.start, self.end) = (0, unread.len());
                self.give(last);
            }
            copy(part.block.bytes(read.clone()), &mut self.buffer, self.end);
            self.end = self.end.saturating_add(read.len());
            part.block
        };
        self.give(given);
        match part.more {
            Ok(more) => self.at_end = !more,
            // What was read before it comes first.
            Err(error) => self.fault = Some(error),
        }
        Ok(())
    }

    /// Gives a buffer back to be read into.
    fn give(&self, block: Block) {
        if let Some(ahead) = &self.ahead {
            ahead.give(block);
        }
    }

    /// The stream cannot be read on behind what is unread.
    fn located(&mut self, error: &io::Error) -> Located {
        self.at_end = true;
        Located {
            offset: self.offset.saturating_add(wide(self.unread().len())),
            fault: read_fault(self.source.compression, error),
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(ahead) = &self.ahead {
            ahead.close();
        }
    }
}

/// Copies into a buffer that nobody else reads from.
fn copy(from: &[u8], to: &mut Block, at: usize) {
    let to = to.alone().and_then(|to| to.get_mut(at..)).unwrap_or_default();
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// A decoder's complaint carries no system error number; a disk's does.
fn read_fault(compression: Compression, error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::IsADirectory {
        Fault::IsADirectory
    } else if compression == Compression::None || error.raw_os_error().is_some() {
        Fault::Unreadable { kind: error.kind(), message: error.to_string() }
    } else if error.kind() == io::ErrorKind::OutOfMemory {
        Fault::NoRoomToUnpack { compression, message: error.to_string() }
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
    use super::super::room::Room;
    use super::*;
    use std::collections::VecDeque;
    use std::io::{Cursor, Write as _};
    use std::ops::Range;

    fn stream(length: usize) -> Vec<u8> {
        (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_be_bytes()).take(length).collect()
    }

    /// What is held of earlier buffers stays as it was read, whatever is read behind it and however late it is let go.
    #[test]
    fn the_window_moves_on_while_others_read_from_its_buffers() {
        for ahead in [false, true] {
            let helper = ReadAhead::default();
            let all = stream(5 * BUFFER);
            let mut window =
                Window::new(Source::detect(Cursor::new(all.clone()), &Room::new(1 << 30)).unwrap());
            let mut held: VecDeque<(Block, Range<usize>, usize)> = VecDeque::new();
            let (mut buffers, mut large) = (0, 0);
            let mut latest: Option<Block> = None;
            for step in 0_usize.. {
                if ahead && step == 7 {
                    window.read_ahead(&helper);
                }
                // Of about three parts one is read before it is asked for.
                if step % 300 == 8 {
                    assert_eq!(helper.help(), ahead, "in step {step}");
                }
                // One part is longer than a buffer, and nobody can hold it.
                let length = if step == 300 { BUFFER + 77 } else { 1 + step * 7919 % 3000 };
                let at = usize::try_from(window.offset()).unwrap();
                if !window.require(length).unwrap() {
                    assert_eq!(window.unread(), all.get(at..).unwrap(), "what is left at the end");
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
            // With what was read ahead of it the long part lies in a longer buffer.
            assert!(
                buffers >= 4 && (1..if ahead { 300 } else { 100 }).contains(&large),
                "{buffers} buffers, {large} packets in a large one"
            );
            let spare = window.spare.blocks();
            let again = held.iter().any(|(block, ..)| spare.iter().any(|spare| spare.is(block)));
            assert!(again != ahead && spare.len() <= 4, "buffers are taken again: {}", spare.len());
            for (block, range, at) in held {
                assert_eq!(block.bytes(range.clone()), all.get(at..at + range.len()).unwrap());
            }
        }
    }

    /// Bytes, then a fault of the disk.
    struct Faulty(Cursor<Vec<u8>>);

    impl io::Read for Faulty {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            match self.0.read(space)? {
                0 => Err(io::Error::from_raw_os_error(5)),
                taken => Ok(taken),
            }
        }
    }

    #[test]
    fn what_was_read_before_a_fault_comes_first_and_the_fault_is_where_it_was() {
        let length = 2 * BUFFER + 12_345;
        for ahead in [false, true] {
            let mut window = Window::new(
                Source::detect(Faulty(Cursor::new(stream(length))), &Room::new(1 << 30)).unwrap(),
            );
            assert!(window.require(1).unwrap());
            if ahead {
                window.read_ahead(&ReadAhead::default());
            }
            let mut taken = 0;
            let located = loop {
                match window.require(1000) {
                    Ok(is_there) => assert!(is_there),
                    Err(located) => break located,
                }
                window.consume(1000);
                taken += 1000;
            };
            assert_eq!((taken, located.offset), (length / 1000 * 1000, wide(length)), "{ahead}");
            assert!(matches!(located.fault, Fault::Unreadable { .. }));
            assert!(!window.require(1000).unwrap() && window.unread().len() == length % 1000);
        }
    }

    /// A gzip stream of stored blocks of which one has a header that is none.
    fn damaged(length: usize, block: usize) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(&stream(length)).unwrap();
        let mut bytes = encoder.finish().unwrap();
        let mut header = 10;
        for _ in 0..block {
            header += 5 + usize::from(u16::from_le_bytes([bytes[header + 1], bytes[header + 2]]));
        }
        bytes[header..header + 5].copy_from_slice(&[0x07, 0xff, 0xff, 0xff, 0xff]);
        bytes
    }

    #[test]
    fn what_is_read_of_a_damaged_stream_does_not_depend_on_who_reads_it_and_how_much_at_a_time() {
        let mut faults = 0;
        for block in 5..23 {
            let damaged = damaged(3 * BUFFER, block);
            let mut ends = Vec::new();
            for (ahead, length) in
                [(false, 1), (false, 777), (false, 5000), (true, 1), (true, 777), (true, 60_000)]
            {
                let mut window =
                    Window::new(Source::detect(Cursor::new(damaged.clone()), &Room::new(1 << 30)).unwrap());
                assert!(window.require(1).unwrap());
                let helper = ReadAhead::default();
                if ahead {
                    window.read_ahead(&helper);
                    helper.help();
                }
                let located = loop {
                    match window.require(length) {
                        Ok(is_there) => assert!(is_there, "ended as if it were whole"),
                        Err(located) => break located,
                    }
                    window.consume(length);
                };
                assert!(matches!(located.fault, Fault::CorruptCompression { .. }));
                ends.push(located.offset);
            }
            assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
            faults += usize::from(ends[0] > 400_000);
        }
        assert!(faults > 5, "{faults} behind parts that are read ahead");
    }

    #[test]
    fn one_buffer_is_enough_where_nobody_holds_it() {
        let mut window =
            Window::new(Source::detect(Cursor::new(stream(3 * BUFFER)), &Room::new(1 << 30)).unwrap());
        while window.require(1000).unwrap() {
            window.consume(1000);
        }
        assert!(window.spare.blocks().is_empty());
    }
}
