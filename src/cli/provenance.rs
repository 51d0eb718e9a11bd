//! What a report says of its own making: the command line, and the SHA-256 of each input, computed beside the reading.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use meetscope::bytes::hex;
use meetscope::report::record::FileRecord;
use sha2::{Digest as _, Sha256};

use super::config::is_stdin;

/// Bytes read at once.
const CHUNK: usize = 1 << 18;
/// Options whose value is a secret.
const SECRET: [&str; 3] = ["--key", "--nonce", "--salt"];
/// What stands in its place.
const HIDDEN: &str = "(hidden)";

/// The command line, word by word, without the values of options that are secrets.
pub(super) fn command_line() -> Vec<String> {
    without_secrets(std::env::args_os().map(|word| word.to_string_lossy().into_owned()))
}

fn without_secrets(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut is_secret = false;
    let mut out = Vec::new();
    for word in words {
        if std::mem::take(&mut is_secret) {
            out.push(HIDDEN.to_owned());
        } else if SECRET.contains(&word.as_str()) {
            is_secret = true;
            out.push(word);
        } else if let Some(name) =
            SECRET.iter().find(|name| word.strip_prefix(**name).is_some_and(|rest| rest.starts_with('=')))
        {
            out.push(format!("{name}={HIDDEN}"));
        } else {
            out.push(word);
        }
    }
    out
}

/// Sums on their way.
pub(super) struct Sums {
    files: Vec<(PathBuf, Option<State>)>,
    thread: Option<JoinHandle<Vec<Sum>>>,
}

/// What tells that a file has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    length: u64,
    modified: Option<SystemTime>,
}

impl State {
    fn of(path: &Path) -> Option<Self> {
        path.metadata()
            .ok()
            .filter(Metadata::is_file)
            .map(|known| Self { length: known.len(), modified: known.modified().ok() })
    }
}

/// What became of one file.
struct Sum(Result<(u64, String), String>);

impl Sums {
    /// Begins to read the files in a thread of its own.
    pub(super) fn begin(paths: &[PathBuf]) -> Self {
        let files = paths.iter().map(|path| (path.clone(), State::of(path))).collect();
        let paths = paths.to_vec();
        let thread = std::thread::Builder::new()
            .name("sha256".to_owned())
            .spawn(move || paths.iter().map(|path| Sum(sum(path))).collect())
            .ok();
        Self { files, thread }
    }

    /// Waits for the sums and writes them into the records of the same files.
    pub(super) fn finish(self, records: &mut [FileRecord]) {
        let sums = self.thread.and_then(|thread| thread.join().ok()).unwrap_or_default();
        let mut sums = sums.into_iter();
        for ((path, before), record) in self.files.iter().zip(records) {
            match sums.next() {
                Some(Sum(Ok((length, sha256)))) => {
                    record.bytes = Some(length);
                    record.sha256 = Some(sha256);
                    record.changed_while_read = State::of(path) != *before;
                }
                Some(Sum(Err(why))) => record.not_hashed = Some(why),
                None => record.not_hashed = Some("the sum could not be computed".to_owned()),
            }
        }
    }
}

fn sum(path: &Path) -> Result<(u64, String), String> {
    if is_stdin(path) {
        return Err("standard input is read once, and not kept".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|known| known.is_file()) {
        return Err("no regular file: it is read once, and not kept".to_owned());
    }
    digest(file).map_err(|error| error.to_string())
}

fn digest(mut file: File) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut length = 0_u64;
    loop {
        let taken = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(buffer.get(..taken).unwrap_or_default());
        length = length.saturating_add(u64::try_from(taken).unwrap_or(0));
    }
    Ok((length, hex(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_command_line_are_not_repeated() {
        let words = ["meetscope", "verify", "--key", "00ff", "--nonce=ab", "a.pcap"];
        assert_eq!(
            without_secrets(words.iter().map(|word| (*word).to_owned())),
            ["meetscope", "verify", "--key", HIDDEN, "--nonce=(hidden)", "a.pcap"]
        );
    }

    #[test]
    fn sums_are_those_of_the_standard_and_changes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, b"abc").unwrap();
        let paths = [path.clone(), PathBuf::from("-"), folder.path().join("none")];
        let mut records = vec![FileRecord::default(); 3];
        Sums::begin(&paths).finish(&mut records);
        // FIPS 180-4's example of one block.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((records[0].bytes, records[0].sha256.as_deref()), (Some(3), Some(expected)));
        assert!(!records[0].changed_while_read);
        assert!(records[1].sha256.is_none() && records[1].not_hashed.is_some());
        assert!(records[2].sha256.is_none() && records[2].not_hashed.is_some());
        let sums = Sums::begin(&paths[..1]);
        std::fs::write(&path, b"abcd").unwrap();
        sums.finish(&mut records);
        assert!(records[0].changed_while_read);
    }
}
