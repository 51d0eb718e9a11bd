//! The file that `--state` names: an inventory that later runs add to.
//!
//! JSON Lines: a head with the version of the format and the number of servers, then one server a line. Whoever adds
//! takes a lock (`FILE.lock`), reads, merges, writes a new file beside the old one and renames it, so that readers
//! never see half a file and two runs at once lose nothing. A file that cannot be read is never overwritten.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use meetscope::disk::{self, Readers};
use meetscope::servers::{Inventory, Server};

use super::messages::say;

/// Version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Longest line that is read: a server with every list full is some 40 kB.
const MAX_LINE: u64 = 1 << 20;
/// Most bytes that are read.
const MAX_BYTES: u64 = 1 << 30;

/// How often a lock is tried that another run holds, and how long it is waited in between: whoever adds is done in a moment.
const LOCK_TRIES: u32 = 600;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// First line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Version of the format.
    meetscope_state: u32,
    /// Lines that follow.
    servers: usize,
}

/// What is read first, so that another version is named as one.
#[derive(Debug, Deserialize)]
struct AnyHead {
    meetscope_state: u32,
}

/// Why a state file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    #[error(
        "{path}: expected a state file of meetscope, found something else in line 1; it is left as it is: name another file \
         with --state, or move this one away to begin a new inventory"
    )]
    Other { path: String },
    #[error(
        "{path}: the state is of version {found}, this program reads version {VERSION}; it is left as it is"
    )]
    Version { path: String, found: u32 },
    #[error(
        "{path}: line {line}: {error}; the file is left as it is: put back a copy, or move it away to begin a new inventory"
    )]
    Line { path: String, line: usize, error: String },
    #[error(
        "{path}: expected {expected} servers, found {found}; the file was cut, and is left as it is: put back a copy, or move it away to \
         begin a new inventory"
    )]
    Cut { path: String, expected: usize, found: usize },
    #[error("{path}: expected a file, found something else; it is left as it is")]
    NoFile { path: String },
    #[error("{path}: larger than {MAX_BYTES} bytes; it is left as it is")]
    TooLarge { path: String },
}

/// A state file by its name.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
}

impl State {
    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file behind a link is meant, not the link.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()) }
    }

    /// All files that are kept under this name, by this and by a replay in one pass.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        ["", ".lock", ".new", ".progress", ".progress.lock", ".progress.new"]
            .map(|ending| self.beside(ending))
            .to_vec()
    }

    /// False when nothing has been kept under this name.
    pub(super) fn exists(&self) -> bool {
        self.path.try_exists().unwrap_or(true)
    }

    /// What the file holds; nothing when there is no file yet, or an empty one.
    pub(super) fn read(&self) -> Result<Inventory, StateError> {
        let metadata = match self.path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Inventory::default()),
            Err(error) => return Err(self.io(error)),
        };
        if metadata.is_dir() {
            return Err(self.io(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        // Opening a pipe would wait for its writer.
        if !metadata.is_file() {
            return Err(StateError::NoFile { path: self.name() });
        }
        if metadata.len() > MAX_BYTES {
            return Err(StateError::TooLarge { path: self.name() });
        }
        let file = File::open(&self.path).map_err(|error| self.io(error))?;
        self.parse(BufReader::new(file.take(MAX_BYTES)))
    }

    /// Adds to the file what was seen, and returns all that it then holds.
    pub(super) fn add(&self, seen: Inventory) -> Result<Inventory, StateError> {
        let lock = self.lock().map_err(|error| self.io(error))?;
        let mut inventory = self.read()?;
        inventory.merge(seen);
        self.write(&inventory).map_err(|error| self.io(error))?;
        drop(lock);
        Ok(inventory)
    }

    /// Held until it is dropped, by the system also when the process dies.
    fn lock(&self) -> io::Result<File> {
        let file = open_lock(&self.beside(".lock"))?;
        for tries in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if tries == 1 {
                        say(format_args!("{}: waiting for another run that writes it", self.name()));
                    }
                    sleep(LOCK_PAUSE);
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "another run has been writing it for a minute"))
    }

    fn parse(&self, mut reader: impl BufRead) -> Result<Inventory, StateError> {
        let mut text = Vec::new();
        let mut inventory = Inventory::default();
        let mut head: Option<Head> = None;
        let mut line = 0_usize;
        let mut found = 0_usize;
        loop {
            text.clear();
            let read = reader
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut text)
                .map_err(|error| self.io(error))?;
            if read == 0 {
                break;
            }
            line = line.saturating_add(1);
            if head.is_none() {
                head = Some(self.head(&text)?);
                continue;
            }
            let server: Server = serde_json::from_slice(&text).map_err(|error| StateError::Line {
                path: self.name(),
                line,
                error: words(&error),
            })?;
            inventory.insert(server);
            found = found.saturating_add(1);
        }
        match head {
            Some(head) if head.servers != found => {
                Err(StateError::Cut { path: self.name(), expected: head.servers, found })
            }
            _ => {
                inventory.trim();
                Ok(inventory)
            }
        }
    }

    fn head(&self, text: &[u8]) -> Result<Head, StateError> {
        let path = self.name();
        let Ok(AnyHead { meetscope_state }) = serde_json::from_slice(text) else {
            return Err(StateError::Other { path });
        };
        if meetscope_state != VERSION {
            return Err(StateError::Version { path, found: meetscope_state });
        }
        serde_json::from_slice(text).map_err(|error| StateError::Line { path, line: 1, error: words(&error) })
    }

    fn write(&self, inventory: &Inventory) -> io::Result<()> {
        disk::replace(&self.path, Readers::Owner, |out| {
            let head = Head { meetscope_state: VERSION, servers: inventory.len() };
            serde_json::to_writer(&mut *out, &head)?;
            out.write_all(b"\n")?;
            for server in inventory.iter() {
                serde_json::to_writer(&mut *out, server)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    fn beside(&self, ending: &str) -> PathBuf {
        disk::beside(&self.path, ending)
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn io(&self, error: io::Error) -> StateError {
        StateError::Io { path: self.name(), error }
    }
}

/// Opens a file that is only there to be locked.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for its reader.
    if path.metadata().is_ok_and(|data| !data.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file, found something else"));
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The words of an error, with the column alone: the line is another one to a reader of single lines.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Inventory, StateError> {
        State { path: PathBuf::from("s") }.parse(text.as_bytes())
    }

    #[test]
    fn what_is_no_state_file_is_named_as_what_it_is() {
        assert!(parse("").unwrap().is_empty());
        assert!(parse("{\"meetscope_state\":1,\"servers\":0}\n").unwrap().is_empty());
        for (text, says) in [
            ("#!/bin/sh\n", "expected a state file"),
            ("{\"servers\":0}\n", "expected a state file"),
            ("{\"meetscope_state\":2,\"servers\":0,\"more\":1}\n", "version 2, this program reads version 1"),
            ("{\"meetscope_state\":1}\n", "line 1: missing field `servers` (column"),
            ("{\"meetscope_state\":1,\"servers\":3}\n", "expected 3 servers, found 0"),
            ("{\"meetscope_state\":1,\"servers\":1}\n{\"provider\":7}\n", "line 2: invalid type"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_read_whole() {
        let mut text = b"{\"meetscope_state\":1,\"servers\":1}\n".to_vec();
        text.extend(vec![b' '; 3 << 20]);
        let error = State { path: PathBuf::from("s") }.parse(text.as_slice()).unwrap_err();
        assert!(matches!(error, StateError::Line { line: 2, .. }), "{error}");
    }
}
