//! Bytes of a capture as they were written, whatever is wrapped around them.

use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::info::Compression;
use super::reopened::Reopened;

/// First bytes that tell the compression; the longest magic is that of xz.
const MAGIC_LEN: u64 = 6;
/// Most memory that an xz stream may ask for; `xz -9` needs 65 MiB. (zstd keeps its own cap of 128 MiB.)
const XZ_MEMORY: u64 = 256 << 20;

/// Bytes asked of a decompressor at a time: what it had made of a call that fails is lost.
const DECOMPRESS_STEP: usize = 8 << 10;

/// The decompressed stream and what was found around it.
pub(super) struct Source {
    pub(super) stream: Stream,
    pub(super) compression: Compression,
    stored: Arc<AtomicU64>,
}

impl Source {
    /// Looks at the first bytes and puts the matching decoder in front.
    pub(super) fn detect(mut inner: impl Read + Send + 'static) -> io::Result<Self> {
        let mut magic = Vec::new();
        inner.by_ref().take(MAGIC_LEN).read_to_end(&mut magic)?;
        let compression = compression_of(&magic);
        let stored = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: Cursor::new(magic).chain(inner), stored: Arc::clone(&stored) };
        let stream: Stream = match compression {
            Compression::None => Box::new(counted),
            Compression::Gzip => Box::new(Stepped::new(flate2::read::MultiGzDecoder::new(counted))),
            Compression::Zstd => Box::new(Stepped::new(zstd::Decoder::new(counted)?)),
            Compression::Xz => {
                let decoder =
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                let decoder = liblzma::read::XzDecoder::new_stream(counted, decoder);
                Box::new(Stepped::new(Xz { decoder, given: 0, fault: None }))
            }
        };
        Ok(Self { stream, compression, stored })
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
struct Stepped<R> {
    inner: R,
    step: Box<[u8; DECOMPRESS_STEP]>,
    /// What was made and not handed out.
    left: Range<usize>,
}

impl<R> Stepped<R> {
    fn new(inner: R) -> Self {
        Self { inner, step: Box::new([0; DECOMPRESS_STEP]), left: 0..0 }
    }
}

impl<R: Read> Read for Stepped<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
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

/// Hands out what a failing call had made before it hands out the fault.
struct Xz<R: Read> {
    decoder: liblzma::read::XzDecoder<R>,
    given: u64,
    fault: Option<io::Error>,
}

impl<R: Read> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let outcome = self.decoder.read(buffer);
        let made = self.decoder.total_out().saturating_sub(self.given);
        self.given = self.decoder.total_out();
        match (outcome, usize::try_from(made).unwrap_or(0)) {
            (Err(fault), made @ 1..) => {
                self.fault = Some(fault);
                Ok(made.min(buffer.len()))
            }
            (outcome, _) => outcome,
        }
    }
}
