//! The file beside the one that `--state` names: how far a replay in one pass has come.
//!
//! JSON Lines. First what the run is and which files it has read, then what goes on; behind them, once the run is over, how long its
//! output was. A new one is written beside the old one, put on disk and renamed, so that there is a whole one at any time. It holds what
//! records hold, and names and shapes of streams of the last hour: no payload and no key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use meetscope::decode::Counts;
use meetscope::pipeline::{Counted, Unwritten};
use meetscope::report;
use meetscope::servers::Server;
use meetscope::time::Timestamp;
use meetscope::watch;

use super::super::config::Settings;
use super::ledger::{Entry, Mark};

/// Version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Most bytes that are read: a file and a flow that was not written take some kilobytes each.
const MAX_BYTES: u64 = 4 << 30;

/// What a run is, and how far it has come.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Version of the format.
    pub(super) meetscope_progress: u32,
    /// Version of the program.
    pub(super) program: String,
    /// What both runs must have in common.
    pub(super) settings: Settings,
    /// Bytes of the output that count.
    pub(super) length: u64,
    /// Packets taken of all files.
    pub(super) taken: u64,
    /// Time of the packet that was at hand, before which there was a look; none at the end of the files.
    pub(super) at: Option<Timestamp>,
    /// From where packets are read again.
    pub(super) mark: Mark,
    pub(super) files: Vec<Entry>,
    /// Files with secrets of their own, in the order in which they showed them.
    pub(super) secrets: Vec<usize>,
    /// Link types that the filter does not fit.
    pub(super) refused: Vec<u16>,
}

impl Head {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            meetscope_progress: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            settings,
            length: 0,
            taken: 0,
            at: None,
            mark: Mark::default(),
            files: Vec::new(),
            secrets: Vec::new(),
            refused: Vec::new(),
        }
    }
}

/// What goes on, to be written.
#[derive(Debug, Serialize)]
pub(super) struct Going<'r> {
    pub(super) unwritten: &'r Unwritten,
    pub(super) counted: &'r Counted,
    pub(super) left_out: Counts,
    pub(super) key_log_uses: Vec<u64>,
    pub(super) stream: watch::KeptStream<'r>,
    pub(super) context: report::KeptContext<'r>,
    pub(super) servers: Vec<&'r Server>,
}

/// The same as it was read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gone {
    pub(super) unwritten: Unwritten,
    pub(super) counted: Counted,
    pub(super) left_out: Counts,
    pub(super) key_log_uses: Vec<u64>,
    pub(super) stream: watch::Kept,
    pub(super) context: report::Kept,
    pub(super) servers: Vec<Server>,
}

/// The last line of a run that is over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Over {
    /// Bytes of its output.
    over: u64,
}

/// What a checkpoint holds.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) head: Head,
    pub(super) gone: Gone,
    /// Bytes of the output of a run that is over.
    pub(super) over: Option<u64>,
}

/// A checkpoint by its name.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
}

impl Progress {
    /// That of a state file.
    pub(super) fn beside(state: &Path) -> Self {
        Self { path: with(state, ".progress") }
    }

    /// What is kept; none where nothing was.
    pub(super) fn read(&self, settings: &Settings) -> anyhow::Result<Option<Checkpoint>> {
        let name = self.path.display();
        let anew = "remove it to begin anew";
        // Opening a pipe would wait for its writer.
        if self.path.metadata().is_ok_and(|data| !data.is_file()) {
            bail!("{name}: expected a file, found something else; {anew}");
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| name.to_string()),
        };
        let mut reader = BufReader::new(file.take(MAX_BYTES));
        let mut line = String::new();
        let mut next = |what: &str| -> anyhow::Result<String> {
            line.clear();
            reader.read_line(&mut line).with_context(|| format!("{name}: {what}; {anew}"))?;
            Ok(std::mem::take(&mut line))
        };
        let head = next("line 1")?;
        let found: serde_json::Value = serde_json::from_str(&head).unwrap_or_default();
        if found.get("meetscope_progress").and_then(serde_json::Value::as_u64) != Some(VERSION.into()) {
            bail!(
                "{name}: expected how far a run of --stream has come, in version {VERSION} of its form; {anew}"
            );
        }
        let program = found.get("program").and_then(serde_json::Value::as_str).unwrap_or_default();
        if program != env!("CARGO_PKG_VERSION") {
            bail!(
                "{name}: is of meetscope {program}, and what another version wrote cannot be gone on with; {anew}"
            );
        }
        let wrong = |line: u32| format!("{name}: line {line} does not hold what was written there; {anew}");
        let head: Head = serde_json::from_str(&head).with_context(|| wrong(1))?;
        if let Some((ours, theirs)) = differing(settings, &head.settings) {
            bail!("{name}: is of a run with {theirs:?} and not {ours:?}; {anew}, or name another --state");
        }
        let gone = serde_json::from_str(&next("line 2")?).with_context(|| wrong(2))?;
        // A line that was not written to its end says nothing.
        let over = serde_json::from_str(&next("line 3")?).ok().map(|Over { over }| over);
        Ok(Some(Checkpoint { head, gone, over }))
    }

    /// Writes a checkpoint in place of the one before.
    pub(super) fn write(&self, head: &Head, going: &Going<'_>) -> anyhow::Result<()> {
        let temporary = with(&self.path, ".new");
        let written = self.write_to(&temporary, head, going);
        if written.is_err() {
            // What could not be written whole is of no use to anybody.
            let _ = fs::remove_file(&temporary);
        }
        written.with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn write_to(&self, temporary: &Path, head: &Head, going: &Going<'_>) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // It tells who spoke to whom: for its owner's eyes.
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut out = BufWriter::new(options.open(temporary)?);
        serde_json::to_writer(&mut out, head)?;
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, going)?;
        out.write_all(b"\n")?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(temporary, &self.path)?;
        sync_directory_of(&self.path);
        Ok(())
    }

    /// Notes that the run is over and its output so many bytes long.
    pub(super) fn finish(&self, length: u64) -> anyhow::Result<()> {
        let append = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            file.seek(SeekFrom::End(0))?;
            serde_json::to_writer(&mut file, &Over { over: length })?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        append().with_context(|| format!("{}: cannot be written", self.path.display()))
    }
}

/// Puts the name of a file on disk. Where that cannot be done, an older name may be back after a power cut: of a checkpoint, that is an
/// earlier one.
pub(super) fn sync_directory_of(path: &Path) {
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    if let Ok(directory) = File::open(directory.unwrap_or_else(|| Path::new("."))) {
        let _ = directory.sync_all();
    }
}

/// What differs first, as it is here and there.
fn differing(ours: &Settings, theirs: &Settings) -> Option<(String, String)> {
    let named = |(name, value): &(String, String)| format!("{name} {value}");
    let pair = ours.iter().zip(theirs).find(|(ours, theirs)| ours != theirs);
    let lengths = (ours.len() != theirs.len()).then(|| (ours.len().to_string(), theirs.len().to_string()));
    pair.map(|(ours, theirs)| (named(ours), named(theirs))).or(lengths)
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_path_buf().into_os_string();
    name.push(ending);
    PathBuf::from(name)
}
