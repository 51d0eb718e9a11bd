//! Bytes of a capture as they were written, whatever is wrapped around them.

use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::info::Compression;
use super::reopened::Reopened;
use super::room::{Gate, Hold, Room};
use super::unpack::{Unpacking, Xz, Zstd, too_much};

/// First bytes that tell the compression; the longest magic is that of xz.
const MAGIC_LEN: u64 = 6;
/// Bytes that any decompressor has beside its window: what it has read of the file and made of it, and the buffer of packets.
const UNPACKING: u64 = 400 << 10;

/// Bytes asked of a decompressor at a time: what it had made of a call that fails is lost.
const DECOMPRESS_STEP: usize = 8 << 10;

/// The decompressed stream and what was found around it.
pub(super) struct Source {
    pub(super) stream: Stream,
    pub(super) compression: Compression,
    /// Shut while no more memory may be taken to unpack it.
    pub(super) gate: Gate,
    /// For buffers that are longer than others.
    pub(super) long: Hold,
    stored: Arc<AtomicU64>,
}

impl Source {
    /// Looks at the first bytes and puts the matching decoder in front, which may have as much of `room` as is left.
    pub(super) fn detect(mut inner: impl Read + Send + 'static, room: &Room) -> io::Result<Self> {
        let mut magic = Vec::new();
        inner.by_ref().take(MAGIC_LEN).read_to_end(&mut magic)?;
        let compression = compression_of(&magic);
        let stored = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: Cursor::new(magic).chain(inner), stored: Arc::clone(&stored) };
        let gate = Gate::default();
        let hold = room.share_behind(&gate);
        let own = room.share_behind(&gate);
        let stepped = |inner: Stream| -> Stream { Box::new(Stepped::new(inner, own)) };
        let stream: Stream = match compression {
            Compression::None => Box::new(counted),
            Compression::Gzip => stepped(Box::new(flate2::read::MultiGzDecoder::new(counted))),
            Compression::Zstd => stepped(Box::new(Unpacking::new(counted, Zstd::new()?, hold))),
            Compression::Xz => stepped(Box::new(Unpacking::new(counted, Xz::new()?, hold))),
        };
        Ok(Self { stream, compression, gate, long: room.share(), stored })
    }

    /// Reads on from a file that is open only while it is read; what was read behind where it goes on is read again. For what is not
    /// compressed.
    pub(super) fn reopen(&mut self, file: Reopened) {
        self.stored.store(file.at(), Ordering::Relaxed);
        self.stream = Box::new(Counted { inner: file, stored: Arc::clone(&self.stored) });
    }

    /// Bytes taken so far from what is stored.
    pub(super) fn stored_bytes_read(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }
}

/// Bytes of a capture as they were written.
pub(super) type Stream = Box<dyn Read + Send>;

/// Asks a decompressor for as many bytes in each call, so that what is lost of a call that fails does not depend on how many are asked
/// for here.
struct Stepped {
    inner: Stream,
    /// What it has whatever is in the stream; from the first step on.
    own: Hold,
    step: Box<[u8; DECOMPRESS_STEP]>,
    /// What was made and not handed out.
    left: Range<usize>,
}

impl Stepped {
    fn new(inner: Stream, own: Hold) -> Self {
        Self { inner, own, step: Box::new([0; DECOMPRESS_STEP]), left: 0..0 }
    }
}

impl Read for Stepped {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            if !self.own.set(UNPACKING) {
                return Err(too_much(&self.own));
            }
            self.left = 0..self.inner.read(self.step.as_mut())?;
        }
        let taken = self.step.get(self.left.clone()).unwrap_or_default().read(space)?;
        self.left.start = self.left.start.saturating_add(taken);
        Ok(taken)
    }
}

fn compression_of(magic: &[u8]) -> Compression {
    match magic {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // A zstd stream may begin with a skippable frame.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        _ => Compression::None,
    }
}

/// Counts what passes, for progress.
struct Counted<R> {
    inner: R,
    stored: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        self.stored.fetch_add(u64::try_from(taken).unwrap_or(0), Ordering::Relaxed);
        Ok(taken)
    }
}
