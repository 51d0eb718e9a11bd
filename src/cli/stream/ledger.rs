//! What was read of which file, and from where packets can be read again.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use meetscope::capture::Place;
use meetscope::report::record::FileRecord;
use meetscope::time::Timestamp;
use meetscope::watch::Pace;

use super::edges;

/// Packet time between two places from which packets can be read again.
const MARK: Duration = Duration::from_secs(10);
/// Packets between two of them, where time does not go on.
const MARK_PACKETS: u64 = 1 << 20;
/// Places that are kept; beyond it every second one is let go. With a month between the first and the last they are some ten minutes
/// apart.
const MARKS: usize = 1 << 12;
/// Files that are open at all of these places together, at most; but for three places.
const OPEN: usize = 1 << 18;
/// Packet time that is read before the first flow that is wanted: a datagram waits 30 s for its fragments.
const LEAD: Duration = Duration::from_secs(60);

/// One file of the run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// As it was given or found first.
    pub(super) name: PathBuf,
    /// From the root on, without links; empty where it could not be found.
    pub(super) whole_name: String,
    /// As it was given or found by this run.
    #[serde(skip)]
    pub(super) path: PathBuf,
    /// Bytes, and time of the last change in nanoseconds, as of its end or of when it was looked at last.
    pub(super) size: u64,
    pub(super) changed: Option<u64>,
    /// Sum of the first and the last of these bytes, once it was begun and that was written down.
    pub(super) sha256: Option<String>,
    /// Packets taken.
    pub(super) packets: u64,
    /// Packets of the run that had been taken when it came to its end.
    pub(super) ended_at: Option<u64>,
    /// Why reading stopped before the end.
    pub(super) error: Option<String>,
    /// Named oddities with their counts.
    pub(super) anomalies: BTreeMap<String, u64>,
    /// It holds secrets of its own.
    pub(super) has_secrets: bool,
}

/// A place from which packets can be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// Packets taken before it.
    pub(super) taken: u64,
    /// Number of the latest of them.
    pub(super) number: u64,
    /// Time of the packet behind it; none at the beginning of the run.
    time: Option<Timestamp>,
    /// Packets taken of each file that had been begun and was not at its end.
    open: Vec<(usize, u64)>,
    /// When looks are due.
    pub(super) pace: Pace,
}

/// All files, and places in them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) entries: Vec<Entry>,
    /// Packets taken of all files.
    pub(super) taken: u64,
    /// Files that have been begun and are not at their end.
    open: Vec<usize>,
    /// In order; the first is kept until a later one does as well.
    marks: Vec<Mark>,
}

impl Entry {
    pub(super) fn new(path: PathBuf) -> Self {
        let whole_name = whole_name(&path).unwrap_or_default();
        let mut entry = Self { name: path.clone(), whole_name, path, ..Self::default() };
        entry.look();
        entry
    }

    /// Notes size and time of change.
    fn look(&mut self) {
        let (size, changed) = on_disk(&self.path).unwrap_or_default();
        (self.size, self.changed) = (size, changed);
    }

    pub(super) fn record(&self) -> FileRecord {
        FileRecord {
            name: self.name.display().to_string(),
            packets: self.packets,
            error: self.error.clone(),
            anomalies: self.anomalies.clone(),
            ..FileRecord::default()
        }
    }
}

/// Name from the root on, without links, as it is shown.
pub(super) fn whole_name(path: &Path) -> Option<String> {
    Some(path.canonicalize().ok()?.display().to_string())
}

/// Size, and time of the last change where the system knows it; none for what is no file.
pub(super) fn on_disk(path: &Path) -> Option<(u64, Option<u64>)> {
    let data = path.metadata().ok().filter(Metadata::is_file)?;
    let changed = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Some((data.len(), changed.and_then(|since| u64::try_from(since.as_nanos()).ok())))
}

impl Ledger {
    /// For files of which nothing was read.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let entries = files.into_iter().map(Entry::new).collect();
        Self { entries, marks: vec![Mark::default()], ..Self::default() }
    }

    /// For a run that reads again from `mark` on.
    pub(super) fn resume(entries: Vec<Entry>, mark: Mark) -> Self {
        let mut ledger = Self { entries, taken: mark.taken, ..Self::default() };
        for (file, entry) in ledger.entries.iter_mut().enumerate() {
            entry.packets = mark.packets(file, entry);
            let has_ended = entry.ended_at.is_some_and(|at| at <= mark.taken);
            if !has_ended {
                entry.ended_at = None;
            }
            if !has_ended && entry.packets > 0 {
                ledger.open.push(file);
            }
        }
        ledger.marks.push(mark);
        ledger
    }

    /// How far each file has been read.
    pub(super) fn places(&self) -> Vec<(PathBuf, Place)> {
        let place = |entry: &Entry| match entry.ended_at {
            Some(_) => Place::End,
            None => Place::Behind(entry.packets),
        };
        self.entries.iter().map(|entry| (entry.path.clone(), place(entry))).collect()
    }

    /// Counts a packet of a file.
    #[inline]
    pub(super) fn take(&mut self, file: usize) {
        self.taken = self.taken.wrapping_add(1);
        if let Some(entry) = self.entries.get_mut(file) {
            entry.packets = entry.packets.wrapping_add(1);
            if entry.packets == 1 {
                self.open.push(file);
            }
        }
    }

    /// Notes that a file is at its end; `is_kept` where a later run is to know it again.
    pub(super) fn end(&mut self, file: usize, record: FileRecord, has_secrets: bool, is_kept: bool) {
        self.open.retain(|open| *open != file);
        let taken = self.taken;
        let Some(entry) = self.entries.get_mut(file) else { return };
        entry.ended_at = Some(taken);
        entry.has_secrets = has_secrets;
        (entry.error, entry.anomalies) = (record.error, record.anomalies);
        entry.look();
        entry.sha256 = is_kept.then(|| edges::sum_of(&entry.path, entry.size)).flatten();
    }

    /// Notes by what files that have been begun are known again, should they go on after the run was interrupted.
    pub(super) fn know_again(&mut self) {
        for file in &self.open {
            if let Some(entry) = self.entries.get_mut(*file).filter(|entry| entry.sha256.is_none()) {
                entry.sha256 = edges::sum_of(&entry.path, entry.size);
            }
        }
    }

    /// Notes the place before the packet at hand, which is of time `time`, behind packet number `number`.
    pub(super) fn mark(&mut self, time: Timestamp, number: u64, pace: Pace) {
        if let Some(last) = self.marks.last()
            && last.time.is_some_and(|last| time.since(last) < MARK && last.since(time) < MARK)
            && self.taken.saturating_sub(last.taken) < MARK_PACKETS
        {
            return;
        }
        while self.marks.len() >= MARKS || (self.marks.len() > 2 && self.is_full()) {
            let mut is_even = false;
            self.marks.retain(|_| {
                is_even = !is_even;
                is_even
            });
        }
        let packets = |file: &usize| Some((*file, self.entries.get(*file)?.packets));
        let open = self.open.iter().filter_map(packets).collect();
        self.marks.push(Mark { taken: self.taken, number, time: Some(time), open, pace });
    }

    fn is_full(&self) -> bool {
        let open: usize = self.marks.iter().map(|mark| mark.open.len()).sum();
        open.saturating_add(self.open.len()) > OPEN
    }

    /// The last place from which a flow that began with packet `number`, and all that began at `since` or later, can be read again. Earlier
    /// ones are let go.
    pub(super) fn before(&mut self, number: u64, since: Timestamp) -> Mark {
        let does =
            |mark: &Mark| mark.number < number && mark.time.is_none_or(|time| since.since(time) >= LEAD);
        let place = self.marks.iter().rposition(does).unwrap_or(0);
        self.marks.drain(..place);
        self.marks.first().cloned().unwrap_or_default()
    }
}

impl Mark {
    /// Packets of a file that had been taken.
    fn packets(&self, file: usize, entry: &Entry) -> u64 {
        if entry.ended_at.is_some_and(|at| at <= self.taken) {
            return entry.packets;
        }
        self.open.iter().find(|(open, _)| *open == file).map_or(0, |(_, packets)| *packets)
    }
}
