//! Decompressors that are asked step by step, each within its share of a memory. In: the bytes as they are stored. Out: as they were written.
//!
//! What a stream makes a decompressor allocate stands in the stream: 128 MiB in a file of a hundred bytes. So it is asked after each step
//! what it has, before any of that memory is written to.

use std::io::{self, BufRead, BufReader, Read};

use liblzma::stream::{Action, CONCATENATED, Error, Status, Stream};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use super::room::Hold;
use super::window::wide;

/// Most memory that an xz stream may ask for; `xz -9` needs 65 MiB. (zstd keeps its own cap of 128 MiB.)
const XZ_MEMORY: u64 = 256 << 20;
/// What it may have at first; more by an eighth at a time, as it asks for it.
const XZ_FIRST: u64 = 1 << 20;

/// Bytes that are read of what is stored at a time.
const STORED: usize = 64 << 10;

/// What a step did.
pub(super) struct Step {
    /// Bytes taken, of those that are stored.
    taken: usize,
    /// Bytes made.
    made: usize,
    /// True where the stream may end here.
    outcome: io::Result<bool>,
}

/// A decompressor.
pub(super) trait Unpack {
    /// Goes on by a step. Nothing is stored behind an empty `stored`.
    fn step(&mut self, stored: &[u8], space: &mut [u8], hold: &mut Hold) -> Step;
}

/// A stream that is unpacked while it is read.
pub(super) struct Unpacking<R, U> {
    stored: BufReader<R>,
    unpack: U,
    hold: Hold,
    /// It came with bytes, which are handed out first.
    fault: Option<io::Error>,
}

impl<R: Read, U: Unpack> Unpacking<R, U> {
    pub(super) fn new(stored: R, unpack: U, hold: Hold) -> Self {
        Self { stored: BufReader::with_capacity(STORED, stored), unpack, hold, fault: None }
    }
}

impl<R: Read, U: Unpack> Read for Unpacking<R, U> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if space.is_empty() {
            return Ok(0);
        }
        loop {
            let stored = match self.stored.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                stored => stored?,
            };
            let is_last = stored.is_empty();
            let Step { taken, made, outcome } = self.unpack.step(stored, space, &mut self.hold);
            self.stored.consume(taken);
            match outcome {
                // What was refused for want of memory is asked for again by the next step: by then there may be some.
                Err(fault) if made > 0 && fault.kind() == io::ErrorKind::OutOfMemory => {}
                Err(fault) if made > 0 => self.fault = Some(fault),
                Err(fault) => return Err(fault),
                Ok(true) if is_last && made == 0 => return Ok(0),
                Ok(_) if taken == 0 && made == 0 => return Err(stuck(is_last)),
                Ok(_) => {}
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

/// Nothing comes of what there is.
fn stuck(is_last: bool) -> io::Error {
    if is_last {
        io::ErrorKind::UnexpectedEof.into()
    } else {
        io::Error::new(io::ErrorKind::InvalidData, "the decoder stands still")
    }
}

/// More memory than there is for all who unpack.
pub(super) fn too_much(hold: &Hold) -> io::Error {
    let words = format!(
        "takes more memory to be unpacked than is left of the {} MiB that all open captures have for it",
        hold.whole() >> 20
    );
    io::Error::new(io::ErrorKind::OutOfMemory, words)
}

/// RFC 8878, any number of frames.
pub(super) struct Zstd {
    context: DCtx<'static>,
    /// Between two frames.
    is_whole: bool,
    /// More may have been made than there was space for.
    has_more: bool,
}

impl Zstd {
    pub(super) fn new() -> io::Result<Self> {
        let context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { context, is_whole: true, has_more: false })
    }

    fn fits(&self, hold: &mut Hold) -> bool {
        hold.set(wide(self.context.sizeof()))
    }
}

impl Unpack for Zstd {
    fn step(&mut self, stored: &[u8], space: &mut [u8], hold: &mut Hold) -> Step {
        if stored.is_empty() && self.is_whole {
            return Step { taken: 0, made: 0, outcome: Ok(true) };
        }
        // It may have been refused before.
        if !self.fits(hold) {
            return Step { taken: 0, made: 0, outcome: Err(too_much(hold)) };
        }
        // What was made is handed out before more is read: a call that fails hands out nothing.
        if std::mem::take(&mut self.has_more) && !self.is_whole {
            let step = self.call(&[], space, hold);
            if step.made > 0 || step.outcome.is_err() {
                return step;
            }
        }
        self.call(stored, space, hold)
    }
}

impl Zstd {
    fn call(&mut self, stored: &[u8], space: &mut [u8], hold: &mut Hold) -> Step {
        let mut input = InBuffer::around(stored);
        let room = space.len();
        let mut output = OutBuffer::around(space);
        let outcome = self.context.decompress_stream(&mut output, &mut input);
        let (taken, made) = (input.pos(), output.pos());
        self.has_more = made == room;
        let outcome = match outcome {
            Err(code) => Err(io::Error::other(get_error_name(code))),
            Ok(wanted) => {
                self.is_whole = wanted == 0;
                if self.fits(hold) { Ok(self.is_whole) } else { Err(too_much(hold)) }
            }
        };
        Step { taken, made, outcome }
    }
}

/// The .xz format, any number of streams.
pub(super) struct Xz {
    decoder: Stream,
    /// Bytes that it may have.
    limit: u64,
}

impl Xz {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { decoder: Stream::new_stream_decoder(XZ_FIRST, CONCATENATED)?, limit: XZ_FIRST })
    }

    /// Allows it as much memory as it asks for, or little more. It does not say how much that is, but refuses less.
    fn allow(&mut self, hold: &mut Hold) -> io::Result<()> {
        while self.limit < XZ_MEMORY {
            let more = self.limit.saturating_add((self.limit / 8).max(XZ_FIRST)).min(XZ_MEMORY);
            if !hold.set(more) {
                return Err(too_much(hold));
            }
            self.limit = more;
            match self.decoder.set_memlimit(self.limit) {
                Err(Error::MemLimit) => {}
                outcome => return Ok(outcome?),
            }
        }
        Err(Error::MemLimit.into())
    }
}

impl Unpack for Xz {
    fn step(&mut self, stored: &[u8], space: &mut [u8], hold: &mut Hold) -> Step {
        let action = if stored.is_empty() { Action::Finish } else { Action::Run };
        let [from, to] = [self.decoder.total_in(), self.decoder.total_out()];
        let since = |now: u64, then| usize::try_from(now.saturating_sub(then)).unwrap_or(usize::MAX);
        loop {
            let [taken, made] = [since(self.decoder.total_in(), from), since(self.decoder.total_out(), to)];
            let stored = stored.get(taken..).unwrap_or_default();
            let outcome = self.decoder.process(stored, space.get_mut(made..).unwrap_or_default(), action);
            let outcome = match outcome {
                Err(Error::MemLimit) => match self.allow(hold) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error.into()),
                Ok(status) => Ok(status == Status::StreamEnd),
            };
            let [taken, made] = [since(self.decoder.total_in(), from), since(self.decoder.total_out(), to)];
            return Step { taken, made, outcome };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::Room;
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A frame of RFC 8878 whose window is as large as its descriptor says, with `blocks` times 128 KiB of the letter x.
    fn frame(window: u8, blocks: usize) -> Vec<u8> {
        let head = [0x28, 0xb5, 0x2f, 0xfd, 0, window];
        // A block of one byte that is repeated.
        let block = |is_last: u32| {
            let [a, b, c, _] = ((128 << 10) << 3 | 1 << 1 | is_last).to_le_bytes();
            [a, b, c, b'x']
        };
        [head.to_vec(), block(0).repeat(blocks - 1), block(1).to_vec()].concat()
    }

    /// Exponents of two from 10 on stand above three bits of eighths (section 3.1.1.1.2).
    const SMALL: u8 = (17 - 10) << 3;
    const LARGE: u8 = (27 - 10) << 3;

    fn read(stored: &[u8], unpack: impl Unpack, room: &Room) -> (u64, Option<io::Error>) {
        let mut stream = Unpacking::new(stored, unpack, room.share());
        let (mut made, mut space) = (0, [0; 1000]);
        loop {
            match stream.read(&mut space) {
                Ok(0) => return (made, None),
                Ok(taken) => made += u64::try_from(taken).unwrap(),
                Err(error) => return (made, Some(error)),
            }
        }
    }

    fn kind(outcome: &(u64, Option<io::Error>)) -> Option<io::ErrorKind> {
        outcome.1.as_ref().map(io::Error::kind)
    }

    #[test]
    fn a_window_that_is_larger_than_the_room_is_not_filled() {
        let room = Room::new(64 * MIB);
        let outcome = read(&frame(LARGE, 600), Zstd::new().unwrap(), &room);
        assert_eq!(kind(&outcome), Some(io::ErrorKind::OutOfMemory));
        assert!(outcome.0 < 128 << 10, "{} bytes", outcome.0);
        assert!(outcome.1.unwrap().to_string().contains("64 MiB"));
        // The one that is let go leaves room for others.
        assert!(room.share().set(64 * MIB));
        assert_eq!(read(&frame(SMALL, 600), Zstd::new().unwrap(), &room).0, 600 << 17);
        let roomy = Room::new(129 * MIB);
        let outcome = read(&frame(LARGE, 600), Zstd::new().unwrap(), &roomy);
        assert_eq!((outcome.0, kind(&outcome)), (600 << 17, None));
    }

    #[test]
    fn what_came_before_a_larger_window_stays() {
        let stored = [frame(SMALL, 3), frame(LARGE, 3)].concat();
        let outcome = read(&stored, Zstd::new().unwrap(), &Room::new(64 * MIB));
        assert!((3 << 17..4 << 17).contains(&outcome.0), "{} bytes", outcome.0);
        assert_eq!(kind(&outcome), Some(io::ErrorKind::OutOfMemory));
        let outcome = read(&stored, Zstd::new().unwrap(), &Room::new(256 * MIB));
        assert_eq!((outcome.0, kind(&outcome)), (6 << 17, None));
    }

    fn xz(dictionary: u64) -> Vec<u8> {
        let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(options.dict_size(u32::try_from(dictionary).unwrap()));
        let stream = Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        io::Write::write_all(&mut encoder, &[b'x'; 5000]).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_dictionary_takes_as_much_room_as_it_asks_for() {
        let stored = xz(16 * MIB);
        let outcome = read(&stored, Xz::new().unwrap(), &Room::new(16 * MIB));
        assert_eq!((outcome.0, kind(&outcome)), (0, Some(io::ErrorKind::OutOfMemory)));
        let outcome = read(&stored, Xz::new().unwrap(), &Room::new(19 * MIB));
        assert_eq!((outcome.0, kind(&outcome)), (5000, None));
    }

    #[test]
    fn every_prefix_is_cut_and_two_streams_are_one() {
        for stored in [frame(SMALL, 2), xz(MIB)] {
            let zstd = || Zstd::new().unwrap();
            let of = |bytes: &[u8]| match stored.first() {
                Some(0x28) => read(bytes, zstd(), &Room::new(64 * MIB)),
                _ => read(bytes, Xz::new().unwrap(), &Room::new(64 * MIB)),
            };
            let whole = of(&stored);
            assert_eq!(kind(&whole), None);
            for length in 1..stored.len() {
                let outcome = of(&stored[..length]);
                assert_eq!(kind(&outcome), Some(io::ErrorKind::UnexpectedEof), "{length} bytes");
                assert!(outcome.0 <= whole.0);
            }
            assert_eq!(of(&stored.repeat(2)).0, 2 * whole.0);
        }
    }
}
