//! A file that is open only while it is read.
//!
//! In: its path, and which file it was. Out: its bytes from a place on, as if it had been open all the time, or that it is another file by then.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::OFlags;

/// Bytes before those that are read by which it is known that nobody has written the file anew.
const KNOWN: usize = 32;

/// Which file it is, by whatever name it goes. A number is given to another file as soon as the first is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Where the file system tells it.
    created: Option<SystemTime>,
    /// Its length when it was opened last, in bytes.
    length: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let (device, inode) = (metadata.dev(), metadata.ino());
        Self { device, inode, created: metadata.created().ok(), length: metadata.len() }
    }

    /// Whether it is the same file, which may have grown.
    fn is(&self, other: &Self) -> bool {
        (self.device, self.inode, self.created) == (other.device, other.inode, other.created)
    }
}

/// A file that is opened for each read.
#[derive(Debug)]
pub(super) struct Reopened {
    path: PathBuf,
    identity: Identity,
    /// Offset of the next byte.
    at: u64,
    /// The last bytes before it, as they were when they were read; at most [`KNOWN`].
    known: Vec<u8>,
}

impl Reopened {
    /// Goes on at offset `at`, behind bytes that end in `before`.
    pub(super) fn new(path: PathBuf, identity: Identity, at: u64, before: &[u8]) -> Self {
        let mut file = Self { path, identity, at, known: Vec::new() };
        file.remember(before);
        file
    }

    /// Offset of the next byte.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    fn remember(&mut self, read: &[u8]) {
        self.known.extend_from_slice(read.get(read.len().saturating_sub(KNOWN)..).unwrap_or(read));
        self.known.drain(..self.known.len().saturating_sub(KNOWN));
    }

    /// Opens the file; none where another has its name. To open a pipe that has it would wait for somebody to write.
    fn open(&mut self) -> io::Result<Option<File>> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = File::options().read(true).custom_flags(flags).open(&self.path)?;
        let metadata = file.metadata()?;
        let found = Identity::of(&metadata);
        let is_it = metadata.is_file() && self.identity.is(&found);
        if is_it {
            self.identity = found;
        }
        Ok(is_it.then_some(file))
    }

    /// True where the bytes before the next are those that were read; and where they are gone, as of a file that was cut.
    fn is_as_it_was(&self, file: &File) -> io::Result<bool> {
        let mut found = [0; KNOWN];
        let found = found.get_mut(..self.known.len()).unwrap_or_default();
        let from = self.at.saturating_sub(u64::try_from(found.len()).unwrap_or(0));
        let count = file.read_at(found, from)?;
        Ok(count < found.len() || *found == *self.known)
    }
}

impl Read for Reopened {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        // All was read that it had when it was there last.
        let was_at_end = self.at >= self.identity.length;
        let file = match self.open() {
            Ok(Some(file)) => file,
            Ok(None) if was_at_end => return Ok(0),
            Err(error) if was_at_end && error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Ok(None) => return Err(other_file()),
            Err(error) => return Err(error),
        };
        let taken = file.read_at(space, self.at)?;
        // Only now: it may be written anew at any time.
        if !self.is_as_it_was(&file)? {
            return Err(other_file());
        }
        self.at = self.at.saturating_add(u64::try_from(taken).unwrap_or(0));
        self.remember(space.get(..taken).unwrap_or_default());
        Ok(taken)
    }
}

fn other_file() -> io::Error {
    io::Error::other("it was replaced or written anew while it was read")
}
