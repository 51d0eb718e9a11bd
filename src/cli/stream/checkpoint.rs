//! The file beside the one that `--state` names: how far a replay in one pass has come.
//!
//! JSON Lines. First what the run is and which files it has read, then what goes on; behind them, once the run is over, how it ended. The
//! last line is a sum of all before it. A new one is written beside the old one, put on disk and renamed, so that there is a whole one at
//! any time. It holds what records hold, and names and shapes of streams of the last hour: no payload and no key.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use meetscope::bytes::hex;
use meetscope::decode::Counts;
use meetscope::disk::{self, Readers};
use meetscope::pipeline::{Counted, Unwritten};
use meetscope::report;
use meetscope::servers::Server;
use meetscope::time::Timestamp;
use meetscope::watch;

use super::super::config::{self, Settings};
use super::super::{Status, output, state};
use super::ledger::{Entry, Mark};
use super::output::Written;

/// Version of the format that is written, and the only one that is read.
const VERSION: u32 = 4;
/// Most bytes that are read: a file and a flow that was not written take some kilobytes each.
const MAX_BYTES: u64 = 4 << 30;
/// What to do with a file that is of no use.
const ANEW: &str = "remove it to begin anew, which begins the output anew too";

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
    /// The output, as far as it counts.
    pub(super) out: Written,
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
            out: Written::default(),
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
    /// Those of them that could not be put into the inventory yet.
    pub(super) unsaved: Vec<&'r Server>,
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
    pub(super) unsaved: Vec<Server>,
}

/// How a run ended, once it is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Over {
    /// Its output.
    pub(super) out: Written,
    pub(super) status: Status,
    /// What was missing.
    pub(super) why: Vec<String>,
}

/// The last line: a sum of all before it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    sha256: String,
}

/// What a checkpoint holds.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) head: Head,
    pub(super) gone: Gone,
    /// Of a run that is over.
    pub(super) over: Option<Over>,
}

/// A checkpoint by its name.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    /// Held so that no other run goes on with it.
    _lock: File,
}

impl Progress {
    /// That of a state file.
    ///
    /// # Errors
    /// When another run goes on with it.
    pub(super) fn beside(state: &Path) -> anyhow::Result<Self> {
        let path = disk::beside(state, ".progress");
        let beside = disk::beside(&path, ".lock");
        let lock = state::open_lock(&beside).with_context(|| beside.display().to_string())?;
        output::lock(&lock, &path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept; none where nothing was.
    pub(super) fn read(&self, settings: &Settings) -> anyhow::Result<Option<Checkpoint>> {
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        let name = self.path.display();
        let head = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let found: Value = serde_json::from_slice(head).unwrap_or_default();
        if found.get("meetscope_progress").and_then(Value::as_u64) != Some(VERSION.into()) {
            bail!(
                "{name}: expected how far a run of --stream has come, in version {VERSION} of its form; {ANEW}"
            );
        }
        let program = found.get("program").and_then(Value::as_str).unwrap_or_default();
        if program != env!("CARGO_PKG_VERSION") {
            bail!(
                "{name}: is of meetscope {program}, and what another version wrote cannot be gone on with; {ANEW}"
            );
        }
        let Some(body) = sealed(&bytes) else {
            bail!("{name}: is damaged: it does not hold what its checksum says; {ANEW}");
        };
        let mut lines = body.split(|byte| *byte == b'\n');
        let mut next = || lines.next().unwrap_or_default();
        let wrong = |line: u32| format!("{name}: line {line} does not hold what was written there; {ANEW}");
        let head: Head = serde_json::from_slice(next()).with_context(|| wrong(1))?;
        if let Some((ours, theirs)) = differing(settings, &head.settings) {
            bail!("{name}: is of a run {theirs}, and this one is {ours}; {ANEW}, or name another --state");
        }
        let gone = serde_json::from_slice(next()).with_context(|| wrong(2))?;
        let over = Some(next()).filter(|line| !line.is_empty());
        let over = over.map(serde_json::from_slice).transpose().with_context(|| wrong(3))?;
        Ok(Some(Checkpoint { head, gone, over }))
    }

    /// The whole file; none where there is none.
    fn bytes(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let name = || self.path.display().to_string();
        match self.path.metadata() {
            Ok(data) if data.is_file() => {}
            Ok(_) => bail!("{}: expected a file, found something else; {ANEW}", name()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(name),
        }
        let mut bytes = Vec::new();
        let file = File::open(&self.path).with_context(name)?;
        file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes).with_context(name)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            bail!("{}: expected {MAX_BYTES} bytes at most, found more; {ANEW}", name());
        }
        Ok(Some(bytes))
    }

    /// Writes a checkpoint in place of the one before.
    pub(super) fn write(&self, head: &Head, going: &Going<'_>) -> anyhow::Result<()> {
        self.replace(|out| {
            serde_json::to_writer(&mut *out, head)?;
            out.write_all(b"\n")?;
            serde_json::to_writer(&mut *out, going)?;
            out.write_all(b"\n")
        })
    }

    /// Notes that the run is over and how it ended, or that one that was over goes on.
    pub(super) fn note(&self, over: Option<&Over>) -> anyhow::Result<()> {
        let bytes = self.bytes()?.unwrap_or_default();
        let body = sealed(&bytes).with_context(|| format!("{}: is damaged; {ANEW}", self.path.display()))?;
        self.replace(|out| {
            for line in body.split_inclusive(|byte| *byte == b'\n').take(2) {
                out.write_all(line)?;
            }
            if let Some(over) = over {
                serde_json::to_writer(&mut *out, over)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    /// Puts another one in its place, with the sum behind it.
    fn replace(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
        let written = disk::replace(&self.path, Readers::Owner, |out| {
            let mut out = Summing { out, sum: Sha256::new() };
            write(&mut out)?;
            out.finish()
        });
        written.with_context(|| format!("{}: cannot be written", self.path.display()))
    }
}

/// A file that is written anew, with a sum of what went into it.
struct Summing<W> {
    out: W,
    sum: Sha256,
}

impl<W: Write> Summing<W> {
    /// Writes the sum.
    fn finish(mut self) -> io::Result<()> {
        let seal = Seal { sha256: hex(&self.sum.finalize()) };
        serde_json::to_writer(&mut self.out, &seal)?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What stands before the last line, where that is the sum of it.
fn sealed(bytes: &[u8]) -> Option<&[u8]> {
    let lines = bytes.strip_suffix(b"\n")?;
    let (body, seal) =
        lines.split_at_checked(lines.iter().rposition(|byte| *byte == b'\n')?.checked_add(1)?)?;
    let seal: Seal = serde_json::from_slice(seal).ok()?;
    (seal.sha256 == hex(&Sha256::digest(body))).then_some(body)
}

/// What differs first, as it is here and there, in the words of the command line.
fn differing(ours: &Settings, theirs: &Settings) -> Option<(String, String)> {
    let value_of = |settings: &Settings, name: &str| {
        settings.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let names = ours.iter().chain(theirs).map(|(name, _)| name);
    let differs = |name: &&String| value_of(ours, name) != value_of(theirs, name);
    let name = names.into_iter().find(differs)?;
    let (ours, theirs) = (value_of(ours, name), value_of(theirs, name));
    if !name.starts_with("--") && !ours.is_empty() && !theirs.is_empty() {
        return Some(("with it as it is now".to_owned(), format!("with {name} as it was")));
    }
    let words = |value: &str| match value {
        "" => format!("without {name}"),
        config::GIVEN => format!("with {name}"),
        value if name.starts_with("--") => format!("with {name} {value}"),
        _ => format!("with {name}"),
    };
    Some((words(&ours), words(&theirs)))
}
