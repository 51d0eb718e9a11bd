//! What tells a file from others without reading all of it: its first and its last bytes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use meetscope::bytes::hex;
use sha2::{Digest as _, Sha256};

/// Bytes at either end that are looked at.
const EDGE: usize = 1 << 16;
/// The same.
const EDGE_BYTES: u64 = 1 << 16;

/// Both ends of what was written so far.
#[derive(Debug, Default)]
pub(super) struct Edges {
    first: Vec<u8>,
    /// As many as at the beginning, or more that are let go now and then.
    last: Vec<u8>,
}

impl Edges {
    /// Those of the first `length` bytes of a file.
    pub(super) fn of(file: &mut File, length: u64) -> io::Result<Self> {
        let mut edges = Self::default();
        let most = EDGE_BYTES.min(length);
        file.seek(SeekFrom::Start(0))?;
        file.take(most).read_to_end(&mut edges.first)?;
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        file.take(most).read_to_end(&mut edges.last)?;
        Ok(edges)
    }

    /// Goes on behind `bytes`.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = EDGE.saturating_sub(self.first.len());
        self.first.extend(bytes.iter().take(room));
        self.last.extend(end(bytes));
        let too_many = self.last.len().saturating_sub(EDGE);
        if too_many >= EDGE {
            self.last.drain(..too_many);
        }
    }

    /// SHA-256 of both, in hexadecimal.
    pub(super) fn sum(&self) -> String {
        let mut sum = Sha256::new();
        sum.update(&self.first);
        sum.update(end(&self.last));
        hex(&sum.finalize())
    }
}

/// The sum of the first `length` bytes of a file; none where it cannot be read, or is none.
pub(super) fn sum_of(path: &Path, length: u64) -> Option<String> {
    // A pipe would wait for its writer.
    path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(Edges::of(&mut File::open(path).ok()?, length).ok()?.sum())
}

fn end(bytes: &[u8]) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(EDGE)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_written_in_parts_has_the_edges_of_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut edges = Edges::default();
        let mut length = 0;
        let mut sums = std::collections::HashSet::new();
        for (part, bytes) in [10, 65_526, 0, 1, 200_000, 65_535, 30_000].into_iter().enumerate() {
            let part = vec![b'a' + u8::try_from(part).unwrap(); bytes];
            edges.add(&part);
            file.write_all(&part).unwrap();
            length += u64::try_from(bytes).unwrap();
            assert_eq!(Some(edges.sum()), sum_of(file.path(), length));
            sums.insert(edges.sum());
        }
        // The part without bytes changes nothing.
        assert_eq!(sums.len(), 6);
    }
}
