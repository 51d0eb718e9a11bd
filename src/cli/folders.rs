//! Directories of captures. In: names as given. Out: the files in them, in the order of their names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meetscope::capture::{self, Fault};

use super::config::is_stdin;
use super::messages::say;
use super::output::is_same_file;

/// Directories inside of directories that are looked into.
const DEPTH: usize = 16;
/// Files that are named because they are passed over.
const NAMED: usize = 4;

/// Replaces directories by the captures in them and in the directories below, in the order of their names; hidden files, the run's
/// `own` ones and what is no capture are passed over, and of the latter it is told. Links to directories are not followed.
///
/// # Errors
/// When a directory cannot be read.
pub(super) fn captures(given: &[PathBuf], own: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if is_stdin(path) || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        collect(path, DEPTH, &mut found).with_context(|| format!("{}: cannot be read", path.display()))?;
        found.retain(|file| !own.iter().any(|own| is_same_file(own, file)));
        let mut others = Vec::new();
        found.retain(|file| {
            let is_capture = is_capture(file);
            if !is_capture {
                others.push(file.display().to_string());
            }
            is_capture
        });
        warn(path, &others);
        files.append(&mut found);
    }
    Ok(files)
}

fn collect(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries.iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")) {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if let Some(depth) = depth.checked_sub(1) {
                collect(&path, depth, found)?;
            }
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// What cannot be read is left to be told where it is read.
fn is_capture(file: &Path) -> bool {
    !matches!(
        capture::open(file).map_err(|error| error.fault),
        Err(Fault::Empty | Fault::NotACapture { .. } | Fault::IsADirectory)
    )
}

fn warn(directory: &Path, others: &[String]) {
    if others.is_empty() {
        return;
    }
    let named = others.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if others.len() > NAMED { ", .." } else { "" };
    let (count, words) = match others.len() {
        1 => (1, "file is no capture and is passed over"),
        count => (count, "files are no captures and are passed over"),
    };
    say(format_args!("{}: {count} {words}: {named}{more}", directory.display()));
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
        let found = captures(&given, &[at("out")]).unwrap();
        assert_eq!(found, [at("c.pcap"), at("b/1"), at("b/day/2"), at("c.pcap"), at("absent")]);
    }
}
