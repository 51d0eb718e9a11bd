//! Where data goes: standard output, or the file that `-o` names. No output is a file that the run reads or keeps, and none is written by
//! two runs at once. What a file held stays until there is something to write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;

use super::messages::say;
use super::{UsageError, config};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;
/// How often a lock is tried that another run holds, and how long it is waited in between: a run that was just killed may hold it for a
/// moment.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// Files that no output may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<'a> {
    /// That are read.
    pub(super) inputs: &'a [PathBuf],
    /// That are kept under the name of `--state`.
    pub(super) kept: &'a [PathBuf],
}

impl Taken<'_> {
    /// # Errors
    /// When `path` is one of them.
    pub(super) fn check(&self, path: &Path) -> Result<(), UsageError> {
        let would = if self.inputs.iter().any(|input| is_same(on_disk(input), path)) {
            "the output would overwrite this input"
        } else if self.kept.iter().any(|kept| is_same(kept, path)) {
            "the output would overwrite what is kept under the name of --state"
        } else {
            return Ok(());
        };
        Err(UsageError(format!("{}: {would}", path.display())))
    }
}

/// Opens the destination before any work is done. What is `taken` is never overwritten, and what a file holds stays until the first byte
/// is written, or it is flushed.
///
/// # Errors
/// When the file cannot be opened, is taken, or another run writes to it.
pub(super) fn open(path: Option<&Path>, taken: Taken<'_>) -> anyhow::Result<Box<dyn Write>> {
    let Some(path) = named(path) else {
        // A shell may have opened a file to add to.
        taken.check(Path::new("/dev/stdout"))?;
        return Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())));
    };
    Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, Late::open(path, taken)?)))
}

/// A file that is emptied once there is something to write.
struct Late {
    file: File,
    path: PathBuf,
    /// The run has made it.
    is_new: bool,
    is_begun: bool,
}

impl Late {
    fn open(path: &Path, taken: Taken<'_>) -> anyhow::Result<Self> {
        let (file, is_new) = to_write(path, taken)?;
        Ok(Self { file, path: path.to_path_buf(), is_new, is_begun: false })
    }

    fn begin(&mut self) -> io::Result<()> {
        if !self.is_begun {
            empty(&self.file)?;
            self.is_begun = true;
        }
        Ok(())
    }
}

impl Write for Late {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begin()?;
        self.file.flush()
    }
}

impl Drop for Late {
    /// A file that was made for nothing goes.
    fn drop(&mut self) {
        if self.is_new && !self.is_begun && is_open_as(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens a file in a directory, which is made where it is not there. What is `taken` is never overwritten.
///
/// # Errors
/// When the directory cannot be made, or the file cannot be opened, is taken, or another run writes to it.
pub(super) fn open_in(directory: &Path, name: &str, taken: Taken<'_>) -> anyhow::Result<Box<dyn Write>> {
    if directory.exists() && !directory.is_dir() {
        let message = format!("{}: expected a directory, found a file", directory.display());
        return Err(UsageError(message).into());
    }
    std::fs::create_dir_all(directory)
        .with_context(|| format!("{}: the directory cannot be made", directory.display()))?;
    open(Some(&directory.join(name)), taken)
}

/// A file that nothing else writes to until it is closed, as it is, and whether it had to be made.
///
/// # Errors
/// When it cannot be opened, is taken, or another run writes to it.
pub(super) fn to_write(path: &Path, taken: Taken<'_>) -> anyhow::Result<(File, bool)> {
    taken.check(path)?;
    let mut options = OpenOptions::new();
    let (file, is_new) = if let Ok(file) = options.write(true).create_new(true).open(path) {
        (file, true)
    } else {
        // It is there, or a link to what is not.
        let there = options.create_new(false).create(true).truncate(false).open(path);
        (there.with_context(|| cannot(path))?, false)
    };
    if file.metadata().with_context(|| cannot(path))?.is_file() {
        lock(&file, path)?;
    }
    Ok((file, is_new))
}

/// Takes out what a file holds; what is none has nothing to take out.
fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

fn cannot(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

/// Notes with the system that this run writes to a file, until the file is closed or the process dies. A file system without locks is no
/// reason not to write.
///
/// # Errors
/// When another run has noted the same.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), UsageError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
            Err(TryLockError::WouldBlock) => sleep(PAUSE),
        }
    }
    Err(UsageError(format!("{}: another run writes to it", path.display())))
}

/// The file that is named; none for standard output.
pub(super) fn named(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| path.as_os_str() != config::STDIN)
}

/// The file or directory that is named and keeps what is written to it.
pub(super) fn kept(path: Option<&Path>) -> Option<&Path> {
    named(path).filter(|path| path.is_file() || path.is_dir())
}

/// Says that what is named stays as it is, because nothing could be read. False where nothing is kept: then the report tells of it.
pub(super) fn is_left_unread(path: Option<&Path>) -> bool {
    let kept = kept(path);
    if let Some(path) = kept {
        say_unread(path);
    }
    kept.is_some()
}

/// Says that a file is left as it is.
pub(super) fn say_unread(path: &Path) {
    say(format_args!("{}: not written, because nothing could be read", path.display()));
}

/// What a message calls the destination.
pub(super) fn name(path: Option<&Path>) -> String {
    path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
}

/// What the system calls an input.
fn on_disk(input: &Path) -> &Path {
    if config::is_stdin(input) { Path::new("/dev/stdin") } else { input }
}

/// True for two names of one file, whether it is there or would be made.
pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    if a.exists() && b.exists() {
        return is_same_file(a, b);
    }
    matches!((to_be(a), to_be(b)), (Some(a), Some(b)) if a == b)
}

/// Where a file would be made.
fn to_be(path: &Path) -> Option<PathBuf> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    Some(directory.unwrap_or_else(|| Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
}

/// True for two names of one file that is there.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((identity(a), identity(b)), (Some(a), Some(b)) if a == b)
}

/// What all names of a file have in common: device and number. None for what is no file.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let data = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some((data.dev(), data.ino()))
}

#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

/// True for a name of a file that is open.
#[cfg(unix)]
pub(super) fn is_open_as(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let open = file.metadata().ok().map(|data| (data.dev(), data.ino()));
    open.is_some() && open == identity(path)
}

#[cfg(not(unix))]
pub(super) fn is_open_as(_: &File, path: &Path) -> bool {
    path.is_file()
}
