//! Files that are replaced whole. In: what is to stand in a file. Out: the file with all of it, or as it was: a new one is written beside it,
//! forced to the disk and renamed, so that neither a reader nor a crash finds half of it.
//!
//! Two that replace one file at the same time are not kept apart: that is for a lock of theirs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;
/// What a new file is called until it is whole.
const UNFINISHED: &str = ".new";

/// Who may read a file that was not there before; one that was there keeps its rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readers {
    /// Its owner: it tells who spoke to whom.
    Owner,
    /// Whoever the process lets read what it makes.
    AsUsual,
}

impl Readers {
    const fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::AsUsual => 0o666,
        }
    }
}

/// Puts what `write` writes in the place of a file, or where there was none.
///
/// # Errors
/// When it cannot be written; the file is then as it was, and nothing is left beside it.
pub fn replace(
    path: &Path,
    readers: Readers,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = beside(path, UNFINISHED);
    // Of a run that died. One that stays, such as a directory, is told of by what follows.
    let _ = fs::remove_file(&temporary);
    let file = create(&temporary, readers, path)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let written = write(&mut out)
        .and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What could not be written whole is of no use to anybody.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_directory_of(path);
    Ok(())
}

/// A new file with the rights of the one that it is to replace: it never has more than that.
fn create(temporary: &Path, readers: Readers, path: &Path) -> io::Result<File> {
    let old = fs::metadata(path).ok().map(|old| old.permissions());
    let mode = old.as_ref().map_or_else(|| readers.mode(), |old| old.mode() & 0o777);
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    if let Some(old) = old {
        // Those that the process takes from what it makes.
        file.set_permissions(old)?;
    }
    Ok(file)
}

/// The name with something behind it.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Puts the name of a file on disk. Where that cannot be done, an older one may be back after a power cut.
pub fn sync_directory_of(path: &Path) {
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    if let Ok(directory) = File::open(directory.unwrap_or_else(|| Path::new("."))) {
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, Readers::Owner, |out| out.write_all(b"one")).unwrap();
        let failed = replace(&path, Readers::Owner, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"one".to_vec(), vec!["a".to_owned()]));
        // What a run that died has left is no hindrance, and is not written through.
        fs::write(folder.path().join("elsewhere"), "kept").unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.path().join("a.new")).unwrap();
        replace(&path, Readers::Owner, |out| out.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read(folder.path().join("elsewhere")).unwrap(), b"kept");
    }

    #[test]
    fn rights_are_those_of_before_from_the_first_byte_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let temporary = folder.path().join("a.new");
        for (before, while_written) in [(None, 0o600), (Some(0o640), 0o640), (Some(0o604), 0o604)] {
            if let Some(mode) = before {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            replace(&path, Readers::Owner, |_| {
                assert_eq!(mode(&temporary), while_written);
                Ok(())
            })
            .unwrap();
            assert_eq!(mode(&path), while_written);
        }
    }
}
