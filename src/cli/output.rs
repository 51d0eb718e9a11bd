//! Where data goes: standard output, or the file that `-o` names. No output is a file that the run reads or keeps, and none is written by
//! two runs at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;

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

/// Opens the destination before any work is done. What is `taken` is never overwritten.
///
/// # Errors
/// When the file cannot be opened, is taken, or another run writes to it.
pub(super) fn open(path: Option<&Path>, taken: Taken<'_>) -> anyhow::Result<Box<dyn Write>> {
    let Some(path) = named(path) else {
        // A shell may have opened a file to add to.
        taken.check(Path::new("/dev/stdout"))?;
        return Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())));
    };
    Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, create(path, taken)?)))
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

/// Opens a file to be written from its beginning; nothing else writes to it until it is closed.
///
/// # Errors
/// When it cannot be opened, is taken, or another run writes to it.
pub(super) fn create(path: &Path, taken: Taken<'_>) -> anyhow::Result<File> {
    taken.check(path)?;
    let cannot = || format!("{}: cannot be written", path.display());
    // It is emptied only once nobody else writes to it.
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).with_context(cannot)?;
    if file.metadata().with_context(cannot)?.is_file() {
        lock(&file, path)?;
        file.set_len(0).with_context(cannot)?;
    }
    Ok(file)
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
