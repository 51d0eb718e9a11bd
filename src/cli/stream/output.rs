//! Where records of a replay in one pass go: anything, or a file that is cut back to a checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context as _, bail};

use super::super::output::{self, Taken};
use super::checkpoint::sync_directory_of;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

/// The destination, with the bytes that went there.
pub(super) struct Output {
    out: Box<dyn Write>,
    /// The file itself, where there are checkpoints.
    file: Option<File>,
    /// Bytes so far, those of earlier runs among them.
    pub(super) length: u64,
    name: String,
}

impl Output {
    /// Opens a destination that is written once.
    pub(super) fn open(path: Option<&Path>, taken: Taken<'_>) -> anyhow::Result<Self> {
        let out = output::open(path, taken)?;
        Ok(Self { out, file: None, length: 0, name: output::name(path) })
    }

    /// Opens a file to go on behind its first `length` bytes; what stands behind them is cut off. No other run may write to it.
    pub(super) fn resume(path: &Path, taken: Taken<'_>, length: u64) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        taken.check(path)?;
        let cannot = || format!("{name}: cannot be written");
        let mut file = OpenOptions::new()
            .write(true)
            .create(length == 0)
            .truncate(false)
            .open(path)
            .with_context(cannot)?;
        output::lock(&file, path)?;
        let found = file.metadata().with_context(cannot)?.len();
        if found < length {
            bail!(
                "{name}: expected the {length} bytes that were written up to the checkpoint, found {found}"
            );
        }
        file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0))).with_context(cannot)?;
        sync_directory_of(path);
        let out = file.try_clone().with_context(cannot)?;
        let out = Box::new(BufWriter::with_capacity(BUFFER_BYTES, out));
        Ok(Self { out, file: Some(file), length, name })
    }

    /// Puts all of it where it outlives a power cut.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        let Self { out, file, name, .. } = self;
        let synced = out.flush().and_then(|()| file.as_ref().map_or(Ok(()), File::sync_all));
        synced.with_context(|| name.clone())
    }

    /// What messages call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.length = self.length.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
