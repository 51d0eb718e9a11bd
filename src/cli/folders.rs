//! Directories of captures. In: names as given. Out: the files in them, in the order of their names.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use meetscope::capture::{self, Fault};

use super::config::is_stdin;
use super::messages::say;
use super::output::{Taken, identity, is_same_file, named};
use super::{UsageError, config};

/// Directories inside of directories that are looked into.
const DEPTH: usize = 16;
/// Files that are named because they are passed over.
const NAMED: usize = 4;

/// The captures of a run: directories are replaced by those in them and in the directories below, in the order of their names. Hidden
/// files and the run's own ones are passed over; what is no capture, and what was read under another name already, is told.
///
/// # Errors
/// When a capture that a directory brings is a file that the run writes.
pub(super) fn of_run(given: &[PathBuf], report: &config::Report) -> Result<Vec<PathBuf>, UsageError> {
    let own: Vec<&Path> =
        report.kept.iter().map(PathBuf::as_path).chain(named(report.output.as_deref())).collect();
    captures(given, &own)
}

/// The same for a run that writes the files in `own`.
///
/// # Errors
/// When a capture that a directory brings is one of them.
pub(super) fn captures(given: &[PathBuf], own: &[&Path]) -> Result<Vec<PathBuf>, UsageError> {
    let mut files = Vec::new();
    // What is known of all files by now, and of those that directories brought.
    let (mut all, mut brought) = (HashSet::new(), HashSet::new());
    let mut again = Vec::new();
    for path in given {
        if is_stdin(path) || !path.is_dir() {
            let known = identity(path);
            if known.as_ref().is_some_and(|known| brought.contains(known)) {
                again.push(path.clone());
                continue;
            }
            all.extend(known);
            files.push(path.clone());
            continue;
        }
        let found = Found::below(path, own)?;
        found.tell(path);
        for file in found.captures {
            if identity(&file).is_some_and(|known| !all.insert(known)) {
                again.push(file);
            } else {
                brought.extend(identity(&file));
                files.push(file);
            }
        }
    }
    tell(
        &again,
        None,
        "is named more than once and is read once",
        "are named more than once and are read once",
    );
    Ok(files)
}

/// What a directory holds.
#[derive(Default)]
struct Found {
    /// Captures, and what could not be read.
    captures: Vec<PathBuf>,
    /// Files that are none.
    others: Vec<PathBuf>,
    /// What is neither a file nor a directory: pipes, sockets, devices, and links to them, to directories or to nothing.
    no_files: Vec<PathBuf>,
    /// Directories that lie too deep.
    too_deep: Vec<PathBuf>,
}

impl Found {
    fn below(directory: &Path, own: &[&Path]) -> Result<Self, UsageError> {
        let mut found = Self::default();
        found.collect(directory, DEPTH);
        for file in std::mem::take(&mut found.captures) {
            let is_own = own.iter().any(|own| is_same_file(own, &file));
            match (is_capture(&file), is_own) {
                (true, true) => {
                    Taken { inputs: std::slice::from_ref(&file), kept: &[] }.check(&file)?;
                }
                (true, false) => found.captures.push(file),
                (false, true) => {}
                (false, false) => found.others.push(file),
            }
        }
        Ok(found)
    }

    /// Adds all that is in a directory. One that cannot be read stands for a capture that cannot be read.
    fn collect(&mut self, directory: &Path, depth: usize) {
        let read = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let Ok(mut entries) = read else {
            self.captures.push(directory.to_path_buf());
            return;
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries.iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")) {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                match depth.checked_sub(1) {
                    Some(depth) => self.collect(&path, depth),
                    None => self.too_deep.push(path),
                }
            } else {
                match path.metadata() {
                    Ok(data) if data.is_file() => self.captures.push(path),
                    Err(error) if error.kind() != io::ErrorKind::NotFound => self.captures.push(path),
                    _ => self.no_files.push(path),
                }
            }
        }
    }

    fn tell(&self, directory: &Path) {
        let all = Some(directory);
        tell(
            &self.others,
            all,
            "file is no capture and is passed over",
            "files are no captures and are passed over",
        );
        tell(
            &self.no_files,
            all,
            "name in it is of no file (a pipe, socket or device, or a link to a directory or to nothing) and is passed over",
            "names in it are of no files (pipes, sockets, devices, links to directories or to nothing) and are passed over",
        );
        tell(
            &self.too_deep,
            all,
            "directory lies too deep and is not looked into",
            "directories lie too deep and are not looked into",
        );
        if self.captures.is_empty() {
            say(format_args!("{}: there is no capture in this directory", directory.display()));
        }
    }
}

/// What cannot be read is left to be told where it is read.
fn is_capture(file: &Path) -> bool {
    !matches!(
        capture::open(file).map_err(|error| error.fault),
        Err(Fault::Empty | Fault::NotACapture { .. } | Fault::IsADirectory)
    )
}

/// Tells of files, with how many they are in a directory, or each by its name where they are few.
fn tell(files: &[PathBuf], directory: Option<&Path>, one: &str, many: &str) {
    if files.is_empty() {
        return;
    }
    let named: Vec<String> = files.iter().take(NAMED).map(|file| file.display().to_string()).collect();
    let named = named.join(", ");
    let more = if files.len() > NAMED { ", .." } else { "" };
    let words = if files.len() == 1 { one } else { many };
    match directory {
        Some(directory) => {
            say(format_args!("{}: {} {words}: {named}{more}", directory.display(), files.len()));
        }
        None => say(format_args!("{named}{more} {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_stand_for_the_captures_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let capture: &[u8] =
            &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        fs::create_dir_all(at("b/day")).unwrap();
        for (name, bytes) in [
            ("c.pcap", capture),
            ("b/day/2", capture),
            ("b/1", capture),
            ("notes", b"text that is no capture"),
        ] {
            fs::write(at(name), bytes).unwrap();
        }
        for name in [".hidden", "out", "empty"] {
            fs::write(at(name), if name == "empty" { &[][..] } else { capture }).unwrap();
        }
        let given = [at("c.pcap"), folder.path().to_path_buf(), at("absent")];
        let (out, notes) = (at("out"), at("notes"));
        let refused = captures(&given, &[&notes, &out]).unwrap_err().to_string();
        assert!(refused.ends_with("out: the output would overwrite this input"), "{refused}");
        fs::write(&out, b"records").unwrap();
        let found = captures(&given, &[&out]).unwrap();
        assert_eq!(found, [at("c.pcap"), at("b/1"), at("b/day/2"), at("absent")]);
    }
    /// As many long names as the system takes no more, so that even root cannot read what is below.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_directory_that_cannot_be_read_stands_for_a_capture_that_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let long = "d".repeat(255);
        let mut deepest = folder.path().join("a");
        for _ in 0..15 {
            deepest.push(&long);
        }
        fs::create_dir_all(&deepest).unwrap();
        let outer = folder.path().join(&long);
        fs::rename(folder.path().join("a"), &outer).unwrap();
        let found = captures(&[folder.path().to_path_buf()], &[]).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(&outer) && capture::open(&found[0]).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_capture_that_is_named_twice_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a")).unwrap();
        fs::write(at("a/1.pcap"), [0xd4, 0xc3, 0xb2, 0xa1]).unwrap();
        std::os::unix::fs::symlink("1.pcap", at("a/2.pcap")).unwrap();
        std::os::unix::fs::symlink("absent", at("a/3.pcap")).unwrap();
        for given in [[at("a"), at("a/1.pcap")], [at("a"), at("a")]] {
            assert_eq!(captures(&given, &[]).unwrap(), [at("a/1.pcap")]);
        }
        assert_eq!(captures(&[at("a/2.pcap"), at("a")], &[]).unwrap(), [at("a/2.pcap")]);
    }
}
