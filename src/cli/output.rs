//! Where data goes: standard output, or the file that `-o` names.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{UsageError, config};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

/// Opens the destination before any work is done. An input is never overwritten.
///
/// # Errors
/// When the file cannot be opened, or is one of `inputs`.
pub(super) fn open(path: Option<&Path>, inputs: &[PathBuf]) -> anyhow::Result<Box<dyn Write>> {
    let Some(path) = path.filter(|path| path.as_os_str() != config::STDIN) else {
        return Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())));
    };
    if inputs.iter().any(|input| is_same_file(input, path)) {
        let message = format!("{}: the output would overwrite this input", path.display());
        return Err(UsageError(message).into());
    }
    let file = create(path).with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)))
}

/// Opens a file in a directory, which is made where it is not there. An input is never overwritten.
///
/// # Errors
/// When the directory cannot be made, or the file cannot be opened, or is one of `inputs`.
pub(super) fn open_in(directory: &Path, name: &str, inputs: &[PathBuf]) -> anyhow::Result<Box<dyn Write>> {
    if directory.exists() && !directory.is_dir() {
        let message = format!("{}: expected a directory, found a file", directory.display());
        return Err(UsageError(message).into());
    }
    std::fs::create_dir_all(directory)
        .with_context(|| format!("{}: the directory cannot be made", directory.display()))?;
    open(Some(&directory.join(name)), inputs)
}

/// What a message calls the destination.
pub(super) fn name(path: Option<&Path>) -> String {
    path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

#[cfg(unix)]
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
