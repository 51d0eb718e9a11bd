//! Key logs on their way into the pipeline: files of `--keylog`, and the secrets blocks of pcapng files.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use zeroize::Zeroizing;

use meetscope::capture::{CaptureError, FileInfo, Merge, Order, Secret};
use meetscope::pipeline::{KeyLog, KeyLogCounts, Pipeline};
use meetscope::report::record::KeyLogRecord;

use super::config::is_stdin;
use super::messages::say;

/// Longest key log that is read, in bytes: some 300 000 secrets.
const MAX_LENGTH: u64 = 64 << 20;

/// What the run has read of key logs.
#[derive(Debug, Default)]
pub(super) struct KeyLogs {
    sources: Vec<Source>,
    /// Number of each capture's source, once it has shown a secret, and how many of its secrets were taken.
    captures: Vec<Option<(usize, usize)>>,
}

#[derive(Debug)]
struct Source {
    name: String,
    /// It was asked for by name, so that it is worth a word that it did not help.
    is_given: bool,
    counts: KeyLogCounts,
    /// Bytes of the file that were read, up to the end of a line.
    read: u64,
}

impl KeyLogs {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn read(files: &[PathBuf], pipeline: &mut Pipeline) -> anyhow::Result<Self> {
        let logs = Self::read_for(files, std::slice::from_mut(pipeline))?;
        Ok(logs.into_iter().next().unwrap_or_default())
    }

    /// Reads the files for several pipelines, each of which reads on by itself.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn read_for(files: &[PathBuf], pipelines: &mut [Pipeline]) -> anyhow::Result<Vec<Self>> {
        let mut all: Vec<Self> = pipelines.iter().map(|_| Self::default()).collect();
        for (number, file) in files.iter().enumerate() {
            let text = text(file).with_context(|| format!("key log {}", file.display()))?;
            let name = file.display().to_string();
            let read = whole_lines(&text);
            for (place, (logs, pipeline)) in all.iter_mut().zip(&mut *pipelines).enumerate() {
                let counts = pipeline.add_key_log(number, &text);
                if place == 0 {
                    warn(&name, &counts);
                }
                logs.sources.push(Source { name: name.clone(), is_given: true, counts, read });
            }
        }
        Ok(all)
    }

    /// Reads what has been added to the files. One that cannot be read any more has nothing to add.
    pub(super) fn refresh(&mut self, pipeline: &mut Pipeline) {
        for (number, source) in self.sources.iter_mut().enumerate() {
            let file = Path::new(&source.name);
            // Standard input has been read to its end.
            if is_stdin(file) {
                continue;
            }
            let Ok(added) = added(file, source.read) else { continue };
            let length = whole_lines(&added);
            let Some(lines) = usize::try_from(length).ok().and_then(|length| added.get(..length)) else {
                continue;
            };
            if !lines.is_empty() {
                source.read = source.read.saturating_add(length);
                source.counts.add(&pipeline.add_key_log(number, lines));
            }
        }
    }

    /// Takes the secrets that stand in file number `file` before its packet at hand.
    #[inline]
    pub(super) fn look(&mut self, merge: &Merge, file: usize, pipeline: &mut Pipeline) {
        if let Some(info) = merge.info(file) {
            self.look_in(info, file, pipeline);
        }
    }

    /// Captures that have shown a secret, by the number of their source.
    pub(super) fn captures(&self) -> Vec<usize> {
        let mut found: Vec<(usize, usize)> = self
            .captures
            .iter()
            .enumerate()
            .filter_map(|(file, slot)| Some((slot.as_ref()?.0, file)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, file)| file).collect()
    }

    /// Gives captures that will show a secret the numbers that they had in an earlier run.
    pub(super) fn introduce(&mut self, captures: &[usize], name: impl Fn(usize) -> String) {
        for file in captures {
            self.sources.push(Source {
                name: name(*file),
                is_given: false,
                counts: KeyLogCounts::default(),
                read: 0,
            });
            let number = self.sources.len().saturating_sub(1);
            if self.captures.len() <= *file {
                self.captures.resize(file.saturating_add(1), None);
            }
            if let Some(slot) = self.captures.get_mut(*file) {
                *slot = Some((number, 0));
            }
        }
    }

    /// How many sources there are.
    pub(super) const fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Reads the first `packets` packets of a capture for its secrets alone, as an earlier run has read them.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn read_again(
        &mut self,
        (path, packets): (&Path, u64),
        file: usize,
        memory: u64,
        pipeline: &mut Pipeline,
    ) -> Result<(), CaptureError> {
        let mut merge = Merge::within(vec![path.to_owned()], Order::AsGiven, memory);
        // What stands behind the last packet was not taken.
        for _ in 0..packets {
            let Some(info) = merge.advance().and_then(|file| merge.info(file)) else { break };
            self.look_in(info, file, pipeline);
        }
        match merge.error(0) {
            Some(error) if merge.info(0).is_none() => Err(error.clone()),
            _ => Ok(()),
        }
    }

    #[inline]
    fn look_in(&mut self, info: &FileInfo, file: usize, pipeline: &mut Pipeline) {
        let taken = self.captures.get(file).copied().flatten().map_or(0, |(_, taken)| taken);
        if info.secrets.len() > taken {
            self.take(info, file, taken, pipeline);
        }
    }

    fn take(&mut self, info: &FileInfo, file: usize, taken: usize, pipeline: &mut Pipeline) {
        if self.captures.len() <= file {
            self.captures.resize(file.saturating_add(1), None);
        }
        let known = self.captures.get(file).copied().flatten().map(|(number, _)| number);
        let number = known.unwrap_or_else(|| {
            let name = info.name.clone();
            let counts = KeyLogCounts::default();
            self.sources.push(Source { name, is_given: false, counts, read: 0 });
            self.sources.len().saturating_sub(1)
        });
        let fresh = info.secrets.iter().skip(taken);
        for secret in fresh.filter(|secret| secret.kind == Secret::TLS_KEY_LOG) {
            let counts = pipeline.add_key_log(number, &secret.data);
            if let Some(source) = self.sources.get_mut(number) {
                source.counts.add(&counts);
            }
        }
        if let Some(slot) = self.captures.get_mut(file) {
            *slot = Some((number, info.secrets.len()));
        }
    }

    /// Records of all key logs, now that all flows have ended; those that did not help are told.
    pub(super) fn records(&self, logs: &[&KeyLog]) -> Vec<KeyLogRecord> {
        let uses = |number| logs.iter().fold(0_u64, |sum, log| sum.saturating_add(log.uses(number)));
        self.sources.iter().enumerate().map(|(number, source)| source.record(uses(number))).collect()
    }
}

impl Source {
    fn record(&self, flows: u64) -> KeyLogRecord {
        let counts = &self.counts;
        if flows == 0 && counts.secrets > 0 && self.is_given {
            say(format_args!(
                "{}: none of its {} sessions is a TLS, QUIC or DTLS handshake of this capture",
                self.name, counts.sessions
            ));
        }
        KeyLogRecord {
            name: self.name.clone(),
            lines: counts.lines,
            secrets: counts.secrets,
            sessions: counts.sessions,
            unused: counts.unused,
            repeated: counts.repeated,
            conflicting: counts.conflicting,
            malformed: counts.malformed,
            first_malformed: counts.first_malformed.map(|(line, error)| format!("line {line}: {error}")),
            left_out: counts.left_out,
            flows,
        }
    }
}

/// The bytes of a key log, or of standard input; wiped when dropped. A device or a pipe has no length beforehand, so that the
/// limit holds for what is read.
fn text(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let most = MAX_LENGTH.saturating_add(1);
    let mut text = Zeroizing::new(Vec::new());
    if is_stdin(file) {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        let file = File::open(file)?;
        // In one piece, since what grows leaves copies behind.
        let length = file.metadata()?.len().min(MAX_LENGTH).saturating_add(1);
        text.reserve(usize::try_from(length).unwrap_or(0));
        file.take(most).read_to_end(&mut text)?;
    }
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    anyhow::ensure!(length <= MAX_LENGTH, "expected at most {MAX_LENGTH} bytes, found more");
    Ok(text)
}

/// Bytes up to the end of the last line that has one.
fn whole_lines(text: &[u8]) -> u64 {
    let length = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What stands behind the first `read` bytes of a file; of a file that has become shorter, nothing.
fn added(file: &Path, read: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut added = Zeroizing::new(Vec::new());
    if std::fs::metadata(file)?.len() > read {
        let mut file = File::open(file)?;
        file.seek(SeekFrom::Start(read))?;
        file.take(MAX_LENGTH).read_to_end(&mut added)?;
    }
    Ok(added)
}

/// Tells what is wrong with a key log.
fn warn(name: &str, counts: &KeyLogCounts) {
    let first = counts.first_malformed.map(|(line, error)| format!("line {line}: {error}"));
    if counts.secrets == 0 {
        match first {
            Some(first) => say(format_args!("{name}: no line of a TLS key log in it; {first}")),
            None if counts.unused > 0 => {
                say(format_args!(
                    "{name}: {} lines of a TLS key log, none with a label of use",
                    counts.unused
                ));
            }
            None => say(format_args!("{name}: no line of a TLS key log in it")),
        }
    } else if let Some(first) = first {
        say(format_args!(
            "{name}: {} of {} lines are no lines of a TLS key log, the first is {first}",
            counts.malformed, counts.lines
        ));
    }
    if counts.conflicting > 0 {
        say(format_args!(
            "{name}: {} lines give another secret for a session that lines before them gave; the first is used",
            counts.conflicting
        ));
    }
    if counts.left_out > 0 {
        say(format_args!("{name}: {} lines left out: too many sessions", counts.left_out));
    }
}
