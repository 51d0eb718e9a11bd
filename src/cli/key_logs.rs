//! Key logs on their way into the pipeline: files of `--keylog`, and the secrets blocks of pcapng files.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
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
    /// Of several that read the same files, this one tells what is wrong with them.
    has_voice: bool,
}

#[derive(Debug)]
struct Source {
    name: String,
    /// It was asked for by name, so that it is worth a word that it did not help.
    is_given: bool,
    counts: KeyLogCounts,
    /// The file, where it may grow.
    growing: Option<Growing>,
}

/// A file that somebody adds lines to.
#[derive(Debug)]
struct Growing {
    path: PathBuf,
    /// Device and number of the file that was read last: another one may come under its name.
    identity: (u64, u64),
    /// Bytes of it that were read, up to the end of a line.
    read: u64,
    /// What was told of it.
    told: Told,
}

/// What is said of a file once at most.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is said or not")]
struct Told {
    begun_anew: bool,
    conflicting: bool,
    unreadable: bool,
    left_out: bool,
}

/// What has come to a file.
struct Added {
    /// From the end of a line on, and perhaps not to one.
    text: Zeroizing<Vec<u8>>,
    /// It was cut or another one is there: this is its beginning.
    is_anew: bool,
}

impl KeyLogs {
    /// Reads the files as they are: the last line is one also where it has no end.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn read(files: &[PathBuf], pipeline: &mut Pipeline) -> anyhow::Result<Self> {
        let mut logs = Self { has_voice: true, ..Self::default() };
        for file in files {
            let (text, _) = text(file).with_context(|| format!("key log {}", file.display()))?;
            logs.begin(file, &text, None, pipeline);
        }
        Ok(logs)
    }

    /// Reads the files for several pipelines, each of which reads on by itself. A last line without an end is left until it has one:
    /// whoever writes it may be in the middle of a secret.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn read_for(files: &[PathBuf], pipelines: &mut [Pipeline]) -> anyhow::Result<Vec<Self>> {
        let mut all: Vec<Self> = pipelines.iter().map(|_| Self::default()).collect();
        if let Some(first) = all.first_mut() {
            first.has_voice = true;
        }
        for file in files {
            let (text, about) = text(file).with_context(|| format!("key log {}", file.display()))?;
            // Standard input and pipes have been read to their end.
            let about = about.filter(Metadata::is_file);
            let lines = if about.is_some() { whole_lines(&text) } else { &text };
            if lines.len() < text.len() {
                say(format_args!(
                    "{}: its last line has no end yet, and is read once it has one",
                    file.display()
                ));
            }
            for (logs, pipeline) in all.iter_mut().zip(&mut *pipelines) {
                let growing = about.as_ref().map(|about| Growing {
                    path: file.clone(),
                    identity: identity(about),
                    read: length(lines),
                    told: Told::default(),
                });
                logs.begin(file, lines, growing, pipeline);
            }
        }
        Ok(all)
    }

    fn begin(&mut self, file: &Path, text: &[u8], growing: Option<Growing>, pipeline: &mut Pipeline) {
        let name = file.display().to_string();
        let counts = pipeline.add_key_log(self.sources.len(), text);
        if self.has_voice {
            warn(&name, &counts);
        }
        self.sources.push(Source { name, is_given: true, counts, growing });
    }

    /// Reads what has been added to the files. One that cannot be read any more has nothing to add.
    pub(super) fn refresh(&mut self, pipeline: &mut Pipeline) {
        let mut silent = Told { begun_anew: true, conflicting: true, unreadable: true, left_out: true };
        for (number, Source { name, counts, growing, .. }) in self.sources.iter_mut().enumerate() {
            let Some(log) = growing else { continue };
            let added = log.added();
            let told = if self.has_voice { &mut log.told } else { &mut silent };
            let added = match added {
                Ok(added) => added,
                // Between an old file and a new one there may be none.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    once(&mut told.unreadable, format_args!("{name}: cannot be read any more: {error}"));
                    continue;
                }
            };
            if added.is_anew {
                once(
                    &mut told.begun_anew,
                    format_args!("{name}: was cut or replaced, and is read from its beginning"),
                );
            }
            let lines = whole_lines(&added.text);
            if lines.is_empty() {
                continue;
            }
            log.read = log.read.saturating_add(length(lines));
            let more = pipeline.add_key_log(number, lines);
            if more.conflicting > 0 {
                once(&mut told.conflicting, format_args!("{name}: {}", conflicting(&more)));
            }
            if more.left_out > 0 {
                once(&mut told.left_out, format_args!("{name}: {}", left_out(&more)));
            }
            counts.add(&more);
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
                growing: None,
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
            self.sources.push(Source { name, is_given: false, counts, growing: None });
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

impl Growing {
    /// What stands behind that which was read; of a file that is shorter than that or another one, all of it.
    fn added(&mut self) -> io::Result<Added> {
        let mut text = Zeroizing::new(Vec::new());
        let about = self.path.metadata()?;
        let mut is_anew = identity(&about) != self.identity || about.len() < self.read;
        if !is_anew && about.len() == self.read {
            return Ok(Added { text, is_anew });
        }
        // Opening a pipe would wait for its writer.
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file, found something else"));
        }
        let mut file = File::open(&self.path)?;
        // One that was cut and has grown past what was read shows it where no line ends.
        is_anew |= !self.is_read_up_to_a_line(&mut file)?;
        if is_anew {
            (self.identity, self.read) = (identity(&file.metadata()?), 0);
        }
        file.seek(SeekFrom::Start(self.read))?;
        file.take(MAX_LENGTH).read_to_end(&mut text)?;
        Ok(Added { text, is_anew })
    }

    fn is_read_up_to_a_line(&self, file: &mut File) -> io::Result<bool> {
        let Some(last) = self.read.checked_sub(1) else { return Ok(true) };
        let mut byte = [0_u8];
        file.seek(SeekFrom::Start(last))?;
        Ok(file.read(&mut byte)? == 1 && byte == *b"\n")
    }
}

fn identity(about: &Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

/// The bytes of a key log, or of standard input, and what is known of the file; wiped when dropped. A device or a pipe has no length
/// beforehand, so that the limit holds for what is read.
fn text(file: &Path) -> anyhow::Result<(Zeroizing<Vec<u8>>, Option<Metadata>)> {
    let most = MAX_LENGTH.saturating_add(1);
    let mut text = Zeroizing::new(Vec::new());
    let mut about = None;
    if is_stdin(file) {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        let file = File::open(file)?;
        let found = file.metadata()?;
        // In one piece, since what grows leaves copies behind.
        let length = found.len().min(MAX_LENGTH).saturating_add(1);
        text.reserve(usize::try_from(length).unwrap_or(0));
        file.take(most).read_to_end(&mut text)?;
        about = Some(found);
    }
    anyhow::ensure!(length(&text) <= MAX_LENGTH, "expected at most {MAX_LENGTH} bytes, found more");
    Ok((text, about))
}

fn length(text: &[u8]) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Up to the end of the last line that has one.
fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
    text.get(..end).unwrap_or_default()
}

/// Says it, unless it has been said.
fn once(told: &mut bool, message: std::fmt::Arguments<'_>) {
    if !std::mem::replace(told, true) {
        say(message);
    }
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
        say(format_args!("{name}: {}", conflicting(counts)));
    }
    if counts.left_out > 0 {
        say(format_args!("{name}: {}", left_out(counts)));
    }
}

fn conflicting(counts: &KeyLogCounts) -> String {
    let lines = counts.conflicting;
    format!("{lines} lines give another secret for a session that lines before them gave; the first is used")
}

fn left_out(counts: &KeyLogCounts) -> String {
    format!("{} lines left out: too many sessions", counts.left_out)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use meetscope::pipeline;

    use super::*;

    /// A line of NSS's format for session `session`.
    fn line(session: u8, secret: u8) -> String {
        let digits = |byte: u8, times: usize| format!("{byte:02x}").repeat(times);
        format!("CLIENT_TRAFFIC_SECRET_0 {} {}\n", digits(session, 32), digits(secret, 48))
    }

    /// Lines, secrets, repeated, conflicting and malformed.
    fn counted(logs: &KeyLogs) -> [u64; 5] {
        let counts = &logs.sources[0].counts;
        [counts.lines, counts.secrets, counts.repeated, counts.conflicting, counts.malformed]
    }

    fn add(path: &Path, text: &str) {
        OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_line_is_read_once_it_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let whole = [line(1, 1), line(2, 2)].concat();
        // 40 of the 48 bytes of a secret: a secret too, and the wrong one.
        let (begun, rest) = whole.split_at(whole.len() - 17);
        fs::write(&path, begun).unwrap();
        let rules = meetscope::classify::embedded().unwrap();
        let new = || Pipeline::new(&pipeline::Config::default(), &rules);
        let mut pipelines = [new(), new()];
        let files = [path.clone()];
        let mut logs = KeyLogs::read_for(&files, &mut pipelines).unwrap();
        assert_eq!(counted(&logs[0]), [1, 1, 0, 0, 0]);
        logs[0].refresh(&mut pipelines[0]);
        assert_eq!(counted(&logs[0]), [1, 1, 0, 0, 0]);
        add(&path, rest);
        add(&path, &[line(7, 1), line(7, 2)].concat());
        for (logs, pipeline) in logs.iter_mut().zip(&mut pipelines) {
            logs.refresh(pipeline);
            assert_eq!(counted(logs), [4, 3, 0, 1, 0]);
        }
        assert!(logs[0].sources[0].growing.as_ref().unwrap().told.conflicting);
        // A file that does not grow is taken as it is.
        fs::write(&path, whole.trim_end()).unwrap();
        assert_eq!(counted(&KeyLogs::read(&files, &mut new()).unwrap()), [2, 2, 0, 0, 0]);
    }

    #[test]
    fn a_log_that_is_cut_or_replaced_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let (path, fresh) = (folder.path().join("log"), folder.path().join("fresh"));
        fs::write(&path, [line(1, 1), line(2, 2)].concat()).unwrap();
        let rules = meetscope::classify::embedded().unwrap();
        let mut pipeline = Pipeline::new(&pipeline::Config::default(), &rules);
        let mut logs =
            KeyLogs::read_for(std::slice::from_ref(&path), std::slice::from_mut(&mut pipeline)).unwrap();
        let mut logs = logs.remove(0);
        let mut expect = |expected: [u64; 5]| {
            logs.refresh(&mut pipeline);
            assert_eq!(counted(&logs), expected);
        };
        expect([2, 2, 0, 0, 0]);
        // Shorter.
        fs::write(&path, line(3, 3)).unwrap();
        expect([3, 3, 0, 0, 0]);
        // Longer than before, and no line ends where one did.
        fs::write(&path, ["# a comment\n", &line(4, 4), &line(7, 7)].concat()).unwrap();
        expect([6, 5, 0, 0, 0]);
        // Away for a while, and then another one of the same length.
        fs::write(&fresh, ["# a comment\n", &line(5, 5), &line(6, 6)].concat()).unwrap();
        fs::remove_file(&path).unwrap();
        expect([6, 5, 0, 0, 0]);
        fs::rename(&fresh, &path).unwrap();
        expect([9, 7, 0, 0, 0]);
        expect([9, 7, 0, 0, 0]);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        expect([9, 7, 0, 0, 0]);
        assert!(logs.sources[0].growing.as_ref().unwrap().told.unreadable);
    }
}
