//! Whether a run can go on with the files that there are now. In: the files of a checkpoint, and those that were given. Out: the files to
//! read, those of the checkpoint first, or which one is not as it was.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use meetscope::capture::{Merge, Order};
use meetscope::time::Timestamp;

use super::checkpoint::Head;
use super::ledger::{Entry, on_disk};

/// The files of a run that goes on.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) entries: Vec<Entry>,
    /// How many of them the checkpoint knows.
    pub(super) known: usize,
    /// There is something to read that was not there before.
    pub(super) has_more: bool,
}

/// Holds files against what was read of them.
pub(super) fn files(head: &Head, given: &[PathBuf]) -> anyhow::Result<Files> {
    let mut files = Files { entries: Vec::new(), known: head.files.len(), has_more: false };
    let there: BTreeSet<&PathBuf> = given.iter().collect();
    let others_open = |file: usize| {
        head.files.iter().enumerate().any(|(other, entry)| other != file && entry.ended_at.is_none())
    };
    for (file, entry) in head.files.iter().enumerate() {
        let mut entry = entry.clone();
        let name = entry.name.display();
        let now = on_disk(&entry.name).filter(|_| there.contains(&entry.name));
        match now {
            // It could not be read then either.
            None if entry.error.is_some() && entry.size == 0 => {}
            None => bail!(
                "{name}: was read before the interruption and is not among the captures any more; put it back, or begin anew without the \
                 progress"
            ),
            Some(now) if now == (entry.size, entry.changed) => {}
            Some((size, _)) if size >= entry.size && entry.ended_at.is_none() => {}
            // A capture that was still being written when it was read.
            Some((size, _))
                if size > entry.size && entry.ended_at == Some(head.taken) && !others_open(file) =>
            {
                entry.ended_at = None;
                files.has_more = true;
            }
            Some((size, _)) => bail!(
                "{name}: has changed since it was read ({} bytes then, {size} now); begin anew without the progress",
                entry.size
            ),
        }
        files.entries.push(entry);
    }
    let known: BTreeSet<&PathBuf> = head.files.iter().map(|entry| &entry.name).collect();
    let fresh: Vec<Entry> =
        given.iter().filter(|path| !known.contains(path)).cloned().map(Entry::new).collect();
    files.has_more |= !fresh.is_empty();
    files.entries.extend(fresh);
    Ok(files)
}

/// Files that came later must be later: what was written cannot be taken back.
pub(super) fn check_times(
    merge: &Merge,
    order: Order,
    known: usize,
    latest: Option<Timestamp>,
) -> anyhow::Result<()> {
    let Some(latest) = latest.filter(|_| order == Order::Time) else { return Ok(()) };
    for file in known..merge.files() {
        if merge.next_time(file).is_some_and(|first| first < latest) {
            let name = merge.path(file).map(|path| path.display().to_string()).unwrap_or_default();
            bail!(
                "{name}: is new and begins before the end of what was read; packets of its time are written already: begin anew without \
                 the progress"
            );
        }
    }
    Ok(())
}
