//! One reusable buffer over the stream; every packet is a slice of it.

use std::io;

use super::error::{Fault, Located};
use super::info::Compression;
use super::source::Source;

/// Bytes of a stream held at a time: few enough to stay in the cache, enough that reading calls are rare.
/// Grows only for a single longer block, whose length the formats' own limits have passed.
pub(super) const BUFFER: usize = 256 << 10;
/// Most bytes asked of a decompressor at a time: what it had made of a call that fails is lost.
const DECOMPRESS_STEP: usize = 8 << 10;

/// A view of the stream that moves forward only.
pub(super) struct Window {
    source: Source,
    buffer: Vec<u8>,
    /// `start <= end <= buffer.len()`; the unread bytes.
    start: usize,
    end: usize,
    /// Offset in the stream of the byte at `start`.
    offset: u64,
    at_end: bool,
}

impl Window {
    pub(super) fn new(source: Source) -> Self {
        Self { source, buffer: vec![0; BUFFER], start: 0, end: 0, offset: 0, at_end: false }
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

    /// All unread bytes that are in the buffer.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes of the buffer by index, as a record remembers them.
    #[inline]
    pub(super) fn bytes(&self, start: usize, length: usize) -> &[u8] {
        self.buffer.get(start..start.saturating_add(length)).unwrap_or_default()
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
        self.buffer.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        while self.end < length && !self.at_end {
            self.read_once()?;
        }
        Ok(self.end >= length)
    }

    fn read_once(&mut self) -> Result<(), Located> {
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
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
