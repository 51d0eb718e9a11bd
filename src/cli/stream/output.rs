//! Where records of a replay in one pass go: anything, or a file that is cut back to a checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use meetscope::disk::sync_directory_of;
use serde::{Deserialize, Serialize};

use super::super::output::{self, Taken};
use super::edges::Edges;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

/// What is known of a file that was written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// Where it was, from the root on.
    path: String,
    /// Bytes that count.
    pub(super) length: u64,
    /// Sum of the first and the last of them.
    sha256: String,
}

/// The destination, with the bytes that went there.
pub(super) struct Output {
    out: Out,
    /// The file itself, where it is one.
    file: Option<File>,
    path: Option<PathBuf>,
    /// Bytes so far, those of earlier runs among them.
    length: u64,
    /// Where there are checkpoints: the ends of these bytes.
    edges: Option<Edges>,
    name: String,
    /// The run has made the file.
    is_new: bool,
}

/// What bytes go to.
enum Out {
    File(BufWriter<Steady>),
    Other(Box<dyn Write>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(out) => out.write(bytes),
            Self::Other(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(out) => out.flush(),
            Self::Other(out) => out.flush(),
        }
    }
}

/// A file that an earlier run wrote, as it was left.
pub(super) struct Found {
    file: File,
    path: PathBuf,
    edges: Edges,
    length: u64,
}

impl Output {
    /// Opens a destination that is written from its beginning; `is_kept` where there are to be checkpoints. What a file holds stays until the
    /// first bytes get there.
    pub(super) fn begin(path: Option<&Path>, taken: Taken<'_>, is_kept: bool) -> anyhow::Result<Self> {
        let name = output::name(path);
        let Some(path) = output::named(path) else {
            let out = Out::Other(output::open(None, taken)?);
            return Ok(Self { out, file: None, path: None, length: 0, edges: None, name, is_new: false });
        };
        let (file, is_new) = output::to_write(path, taken)?;
        if !file.metadata().with_context(|| name.clone())?.is_file() {
            let out = Out::Other(Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)));
            return Ok(Self { out, file: None, path: None, length: 0, edges: None, name, is_new: false });
        }
        Ok(Self { is_new, ..Self::onto(file, path, None, is_kept.then(Edges::default))? })
    }

    /// Writes to a file, behind so many bytes that count, or from its beginning.
    fn onto(file: File, path: &Path, length: Option<u64>, edges: Option<Edges>) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let out = Steady { file: file.try_clone().with_context(|| name.clone())?, length };
        let out = Out::File(BufWriter::with_capacity(BUFFER_BYTES, out));
        let (file, path, length) = (Some(file), Some(path.to_path_buf()), length.unwrap_or(0));
        Ok(Self { out, file, path, length, edges, name, is_new: false })
    }

    /// Leaves a file as it was found, which is not at all where the run has made it. False where bytes have got there already, or no file
    /// is written.
    pub(super) fn leave(&mut self) -> bool {
        let is_begun = |out: &BufWriter<Steady>| out.get_ref().length.is_some();
        if !matches!(&self.out, Out::File(out) if !is_begun(out)) {
            return false;
        }
        if let Out::File(out) = std::mem::replace(&mut self.out, Out::Other(Box::new(io::sink()))) {
            // Dropped, it would write what it has gathered.
            let _ = out.into_parts();
        }
        if let (true, Some(file), Some(path)) = (self.is_new, &self.file, &self.path)
            && output::is_open_as(file, path)
        {
            let _ = std::fs::remove_file(path);
        }
        true
    }

    /// Puts all of it where it outlives a power cut, and looks whether it is still what this run wrote.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        let Self { out, file, edges, name, .. } = self;
        let mut synced = out.flush();
        if let (Some(file), Some(_)) = (file, edges) {
            synced = synced.and_then(|()| file.sync_all());
        }
        synced.with_context(|| name.clone())?;
        let (Some(file), Some(path)) = (&self.file, &self.path) else { return Ok(()) };
        let found = file.metadata().with_context(|| self.name.clone())?.len();
        if found != self.length {
            bail!("{}: holds {found} bytes where this run has written {}: {CHANGED}", self.name, self.length);
        }
        if !output::is_open_as(file, path) {
            bail!("{}: somebody has moved, removed or replaced the file that this run writes to", self.name);
        }
        Ok(())
    }

    /// What was written so far.
    pub(super) fn written(&self) -> Written {
        let path =
            self.path.as_deref().map(|path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf()));
        Written {
            path: path.map(|path| path.display().to_string()).unwrap_or_default(),
            length: self.length,
            sha256: self.edges.as_ref().map(Edges::sum).unwrap_or_default(),
        }
    }

    /// What messages call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What became of a file that this run was writing.
const CHANGED: &str = "somebody has changed it meanwhile, and it is not whole";

/// A file that nobody else is to cut: what is written behind its end would stand behind a hole.
struct Steady {
    file: File,
    /// Bytes that this run and those before it have written; none while the file is as it was found.
    length: Option<u64>,
}

impl Steady {
    /// Takes out what the file held before.
    fn begin(&mut self) -> io::Result<u64> {
        if let Some(length) = self.length {
            return Ok(length);
        }
        self.file.set_len(0)?;
        self.length = Some(0);
        Ok(0)
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.begin()?;
        if self.file.metadata()?.len() < length {
            return Err(io::Error::other(CHANGED));
        }
        let written = self.file.write(bytes)?;
        self.length = Some(length.saturating_add(u64::try_from(written).unwrap_or(u64::MAX)));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begin()?;
        self.file.flush()
    }
}

impl Found {
    /// Opens what an earlier run has written up to its checkpoint, and, where it was over, up to its end. Nothing is changed; whatever is
    /// not this file is named with what to do.
    pub(super) fn open(
        path: &Path,
        taken: Taken<'_>,
        (progress, written, over): (&Path, &Written, Option<&Written>),
    ) -> anyhow::Result<Self> {
        taken.check(path)?;
        let (name, progress, Written { path: known, length, .. }) =
            (path.display(), progress.display(), written);
        let cure = format!(
            "put back what the run wrote or name it with -o; or remove {progress} to begin both anew"
        );
        let cannot = || format!("{name}: cannot be written");
        let is_begun = *length > 0 || over.is_some();
        if is_begun && matches!(path.try_exists(), Ok(false)) {
            bail!("{name}: is not there, and {progress} belongs to a run that wrote to {known}; {cure}");
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(!is_begun)
            .truncate(false)
            .open(path)
            .with_context(cannot)?;
        output::lock(&file, path)?;
        let found = file.metadata().with_context(cannot)?.len();
        if found < *length {
            bail!(
                "{name}: expected the {length} bytes that were written up to the checkpoint, found {found}; it is left as it is: {cure}"
            );
        }
        let mut is_same = |written: &Written| -> anyhow::Result<bool> {
            let edges = Edges::of(&mut file, written.length).with_context(|| name.to_string())?;
            Ok(edges.sum() == written.sha256)
        };
        let is_its_name = path.canonicalize().is_ok_and(|path| path.display().to_string() == *known);
        let is_whole = match over {
            Some(over) => found == over.length && is_same(over)?,
            None => false,
        };
        // Where nothing had been written, the name alone tells.
        let is_begun_alike = if *length > 0 || found == 0 { is_same(written)? } else { is_its_name };
        match over {
            Some(_) if is_whole => {}
            Some(over) if is_begun_alike => bail!(
                "{name}: has changed since the run of {progress} was over ({} bytes then, {found} now); it is left as it is: {cure}",
                over.length
            ),
            None if is_begun_alike => {}
            _ => bail!(
                "{name}: is not what the run of {progress} wrote, which was {known}; it is left as it is: {cure}"
            ),
        }
        let edges = Edges::of(&mut file, *length).with_context(|| name.to_string())?;
        Ok(Self { file, path: path.to_path_buf(), edges, length: *length })
    }

    /// Takes out what stands behind the checkpoint, and goes on there.
    pub(super) fn go_on(mut self) -> anyhow::Result<Output> {
        let Self { file, path, length, .. } = &mut self;
        file.set_len(*length)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        sync_directory_of(path);
        Output::onto(self.file, &self.path, Some(self.length), Some(self.edges))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length == 0
            && let Some(rest) = bytes.strip_prefix(b"\n")
        {
            // Text has an empty line before each of its parts; the first needs none.
            return Ok(if rest.is_empty() { 1 } else { self.write(rest)?.saturating_add(1) });
        }
        let written = self.out.write(bytes)?;
        self.length = self.length.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        if let (Some(edges), Some(bytes)) = (&mut self.edges, bytes.get(..written)) {
            edges.add(bytes);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
