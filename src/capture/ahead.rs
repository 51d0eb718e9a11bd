//! The next bytes of a capture, read by whoever has nothing else to do.
//!
//! In: the stream of a file. Out: its parts in their order. The thread that works on the packets takes the next part where another has
//! read it, and reads it where nobody has: so a compressed file is unpacked by a thread that would have waited.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use super::block::{BUFFER, Block, Pool};
use super::room::Gate;
use super::source::Stream;

/// Bytes before those that were read, for what is left unread of the buffer before: more than the longest datagram needs.
const HEAD: usize = 68 << 10;
/// Parts that were read and wait.
const QUEUE: usize = 4;
/// Most files that are read ahead at a time.
const FILES: usize = 2;

/// The files that may be read ahead of their packets.
#[derive(Debug, Clone, Default)]
pub struct ReadAhead(Arc<Mutex<Vec<Weak<Ahead>>>>);

impl ReadAhead {
    /// Reads the next part of a file where one is wanted and no other thread reads it; false where there was nothing to be done.
    pub fn help(&self) -> bool {
        let files: Vec<Weak<Ahead>> = lock(&self.0).clone();
        files.iter().filter_map(Weak::upgrade).any(|file| file.help())
    }

    /// Begins with a file.
    ///
    /// # Errors
    /// Gives its stream back where enough others are being read.
    pub(super) fn begin(&self, stream: Stream, gate: &Gate) -> Result<Arc<Ahead>, Stream> {
        let mut files = lock(&self.0);
        files.retain(|file| file.strong_count() > 0);
        if files.len() >= FILES {
            return Err(stream);
        }
        let (pool, gate) = (Pool::default(), gate.clone());
        let reading = Mutex::new(Reading { stream, pool, gate, is_over: false, wants_more: false });
        let ahead = Arc::new(Ahead { reading, ready: Mutex::default() });
        files.push(Arc::downgrade(&ahead));
        Ok(ahead)
    }
}

/// A file that is read ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Locked while it is read, and before [`Ahead::ready`].
    reading: Mutex<Reading>,
    ready: Mutex<Ready>,
}

struct Reading {
    stream: Stream,
    pool: Pool,
    gate: Gate,
    is_over: bool,
    /// It goes on only with more memory, which is taken when its bytes are asked for.
    wants_more: bool,
}

#[derive(Debug, Default)]
struct Ready {
    parts: VecDeque<Part>,
    /// Buffers that are done with.
    free: Vec<Block>,
}

/// A part of the stream.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it lies.
    pub(super) block: Block,
    /// Index in the buffer of its first byte; what is before it is free.
    pub(super) start: usize,
    /// Index behind its last byte.
    pub(super) end: usize,
    /// What is behind it: true where more is, false at the end.
    pub(super) more: io::Result<bool>,
}

impl Ahead {
    /// The next part; none behind the end.
    pub(super) fn next(&self) -> Option<Part> {
        if let Some(part) = lock(&self.ready).parts.pop_front() {
            return Some(part);
        }
        // Nobody has read it: somebody is about to, or it is done here.
        let mut reading = lock(&self.reading);
        let ready = lock(&self.ready).parts.pop_front();
        ready.or_else(|| {
            reading.wants_more = false;
            self.read(&mut reading)
        })
    }

    /// Lets go of the file, and of the memory that it took to unpack it, also where another thread is about to read on.
    pub(super) fn close(&self) {
        let mut reading = lock(&self.reading);
        reading.stream = Box::new(io::empty());
        reading.is_over = true;
    }

    /// Gives a buffer back, to be read into once nobody else reads from it.
    pub(super) fn give(&self, block: Block) {
        lock(&self.ready).free.push(block);
    }

    fn help(&self) -> bool {
        if lock(&self.ready).parts.len() >= QUEUE {
            return false;
        }
        let mut reading = match self.reading.try_lock() {
            Ok(reading) => reading,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if reading.wants_more {
            return false;
        }
        reading.gate.shut(true);
        let part = self.read(&mut reading).and_then(|part| reading.as_far_as_there_is_room(part));
        reading.gate.shut(false);
        let has_read = part.is_some();
        // Before another may read: the parts are to be in their order.
        lock(&self.ready).parts.extend(part);
        has_read
    }

    fn read(&self, reading: &mut Reading) -> Option<Part> {
        if reading.is_over {
            return None;
        }
        for block in std::mem::take(&mut lock(&self.ready).free) {
            reading.pool.give(block);
        }
        let part = fill(&mut reading.stream, reading.pool.take());
        reading.is_over = !matches!(part.more, Ok(true));
        Some(part)
    }
}

impl Reading {
    /// A part that was read ahead; what it lacks for want of memory comes when it is asked for. None where it has nothing.
    fn as_far_as_there_is_room(&mut self, mut part: Part) -> Option<Part> {
        if part.more.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::OutOfMemory) {
            (self.is_over, self.wants_more) = (false, true);
            part.more = Ok(true);
            if part.start == part.end {
                self.pool.give(part.block);
                return None;
            }
        }
        Some(part)
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// What a panic of another thread leaves behind is read no further than it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fill(stream: &mut Stream, mut block: Block) -> Part {
    let mut end = HEAD;
    let more = loop {
        if end >= BUFFER {
            break Ok(true);
        }
        match block.read(end, stream) {
            Ok(0) => break Ok(false),
            Ok(taken) => end = end.saturating_add(taken),
            Err(error) => break Err(error),
        }
    };
    Part { block, start: HEAD, end, more }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::room::Room;
    use super::super::source::Source;
    use super::*;

    const PART: usize = BUFFER - HEAD;

    fn stream(length: usize) -> Stream {
        let bytes = (0_u32..).flat_map(u32::to_be_bytes).take(length).collect::<Vec<u8>>();
        Source::detect(Cursor::new(bytes), &Room::new(1 << 30)).unwrap().stream
    }

    /// Frames of RFC 8878 whose windows grow from one to the next, behind one of `lead` bytes; blocks as they are.
    fn growing(lead: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let mut noise = |length: usize| -> Vec<u8> {
            let next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            };
            std::iter::repeat_with(next).take(length).collect()
        };
        let mut out = Vec::new();
        for window in 7..12_u8 {
            out.extend([0x28, 0xb5, 0x2f, 0xfd, 0, window << 3]);
            let lengths = if window == 7 {
                vec![100_000, 100_000, 100_000, lead - 300_000]
            } else {
                vec![9000, 40_000]
            };
            for (block, length) in lengths.iter().enumerate() {
                let bytes = noise(*length);
                let head = u32::try_from(bytes.len()).unwrap() << 3 | u32::from(block == lengths.len() - 1);
                out.extend([&head.to_le_bytes()[..3], &bytes].concat());
            }
        }
        out
    }

    /// All bytes, and how it ended, with a helper that comes before those parts whose bits are set.
    fn helped(stored: &[u8], turns: u32) -> (Vec<u8>, Option<String>) {
        let source = Source::detect(Cursor::new(stored.to_vec()), &Room::new(1 << 30)).unwrap();
        let helper = ReadAhead::default();
        let ahead = helper.begin(source.stream, &source.gate).ok().unwrap();
        let mut bytes = Vec::new();
        for turn in 0.. {
            if turns >> (turn % 4) & 1 == 1 {
                helper.help();
            }
            let Some(part) = ahead.next() else { return (bytes, None) };
            bytes.extend_from_slice(part.block.bytes(part.start..part.end));
            if let Err(error) = part.more {
                return (bytes, Some(error.to_string()));
            }
            ahead.give(part.block);
        }
        (bytes, None)
    }

    #[test]
    fn what_a_helper_may_not_take_memory_for_comes_when_it_is_asked_for() {
        let whole = growing(2 * PART);
        let plain = |stored: &[u8]| {
            let mut source = Source::detect(Cursor::new(stored.to_vec()), &Room::new(1 << 30)).unwrap();
            let mut bytes = Vec::new();
            let ended = io::Read::read_to_end(&mut source.stream, &mut bytes);
            (bytes, ended.err().map(|error| error.to_string()))
        };
        let room = Room::new(1 << 30);
        let refused = Source::detect(Cursor::new(whole.clone()), &room).unwrap();
        refused.gate.shut(true);
        let helper = ReadAhead::default();
        let ahead = helper.begin(refused.stream, &Gate::default()).ok().unwrap();
        assert!(!helper.help() && !helper.help(), "nothing may be taken from the beginning on");
        refused.gate.shut(false);
        assert!(ahead.next().is_some_and(|part| part.end > part.start));
        // The first part is read by the one that asks; a helper's ends behind the beginning of the second frame, or before it.
        for behind in [0, 1, 500, 3000, 5000, 8000, 20_000] {
            let begin = 2 * PART - behind;
            let whole = growing(begin);
            assert!(plain(&whole).1.is_none());
            for cut in (begin..whole.len()).step_by(20_011).chain([whole.len()]) {
                let expected = plain(whole.get(..cut).unwrap());
                for turns in 0..16 {
                    let found = helped(whole.get(..cut).unwrap(), turns);
                    assert!(found == expected, "{behind}, cut at {cut}: {} {:?}", found.0.len(), found.1);
                }
            }
        }
    }

    #[test]
    fn no_more_is_read_ahead_than_waits_and_nothing_behind_the_end() {
        let helper = ReadAhead::default();
        assert!(!helper.help(), "there is no file yet");
        let ahead = helper.begin(stream(7 * PART + 5), &Gate::default()).ok().unwrap();
        let read = (0..20).filter(|_| helper.help()).count();
        assert_eq!(read, QUEUE);
        let mut lengths = Vec::new();
        while let Some(part) = ahead.next() {
            lengths.push(part.end - part.start);
            ahead.give(part.block);
        }
        assert_eq!(lengths, [PART, PART, PART, PART, PART, PART, PART, 5]);
        assert!(!helper.help() && ahead.next().is_none());
    }

    #[test]
    fn few_files_are_read_ahead_and_one_that_is_done_makes_room() {
        let helper = ReadAhead::default();
        let files: Vec<_> =
            (0..FILES).map(|_| helper.begin(stream(10), &Gate::default()).ok().unwrap()).collect();
        assert!(helper.begin(stream(10), &Gate::default()).is_err());
        drop(files);
        assert!(!helper.help() && helper.begin(stream(10), &Gate::default()).is_ok());
    }
}
