//! Whether a run can go on with the files that there are now. In: the files of a checkpoint, and those that were given. Out: the files to
//! read, those of the checkpoint first, or which one is not as it was.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use meetscope::capture::{Merge, Order};
use meetscope::time::Timestamp;

use super::checkpoint::Head;
use super::edges;
use super::ledger::{Entry, on_disk, whole_name};

/// The files of a run that goes on.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) entries: Vec<Entry>,
    /// How many of them the checkpoint knows.
    pub(super) known: usize,
    /// There is something to read that was not there before.
    pub(super) has_more: bool,
}

/// Holds files against what was read of them; `progress` is where that is written.
pub(super) fn files(head: &Head, given: &[PathBuf], progress: &Path) -> anyhow::Result<Files> {
    let mut files = Files { entries: Vec::new(), known: head.files.len(), has_more: false };
    let anew = format!("remove {} to begin anew", progress.display());
    let mut names = Names::new(given);
    for (file, entry) in head.files.iter().enumerate() {
        let mut entry = entry.clone();
        let path = names.take(&entry);
        let now = path.as_deref().and_then(on_disk);
        entry.path = path.unwrap_or_else(|| entry.name.clone());
        let name = entry.path.display();
        match now {
            // It could not be read then either.
            None if entry.error.is_some() && entry.size == 0 => {}
            None => bail!(
                "{name}: was read before the interruption and is not among the captures any more; put it back, or {anew}"
            ),
            Some(now) if now == (entry.size, entry.changed) => {}
            // More may have come behind what was there, which must be what it was.
            Some((size, _)) if size >= entry.size && entry.ended_at.is_none() && begins_as_it_did(&entry) => {
            }
            // A capture that was still being written when it was read.
            Some((size, _))
                if size > entry.size && was_last(head, file, &entry) && begins_as_it_did(&entry) =>
            {
                entry.ended_at = None;
                files.has_more = true;
            }
            Some((size, _)) if size != entry.size => bail!(
                "{name}: has changed since it was read ({} bytes then, {size} now); put back what it was, or {anew}",
                entry.size
            ),
            // Copied, or touched: its ends tell whether it is the same.
            Some((size, changed)) => {
                if !is_what_it_was(&entry) {
                    bail!(
                        "{name}: has changed since it was read (it has as many bytes as then, {size}, but other ones); put back what it \
                         was, or {anew}"
                    );
                }
                entry.changed = changed;
            }
        }
        files.entries.push(entry);
    }
    let fresh: Vec<Entry> = names.rest().into_iter().map(Entry::new).collect();
    files.has_more |= !fresh.is_empty();
    files.entries.extend(fresh);
    Ok(files)
}

/// True where the bytes that there were are those that were read, by their ends. Nothing is known of a file that was not begun.
fn begins_as_it_did(entry: &Entry) -> bool {
    (entry.sha256.is_none() && entry.packets == 0) || is_what_it_was(entry)
}

/// The same, where the ends are known.
fn is_what_it_was(entry: &Entry) -> bool {
    entry.sha256.is_some() && edges::sum_of(&entry.path, entry.size) == entry.sha256
}

/// True where no packet of another file came after the file's last one.
fn was_last(head: &Head, file: usize, entry: &Entry) -> bool {
    let is_open = |(other, entry): (usize, &Entry)| other != file && entry.ended_at.is_none();
    entry.ended_at == Some(head.taken) && !head.files.iter().enumerate().any(is_open)
}

/// The files that were given, by both of their names.
struct Names<'g> {
    given: &'g [PathBuf],
    /// From the root on, without links.
    whole: HashMap<String, usize>,
    as_given: HashMap<&'g Path, usize>,
    is_known: Vec<bool>,
}

impl<'g> Names<'g> {
    fn new(given: &'g [PathBuf]) -> Self {
        let numbered = || given.iter().enumerate();
        Self {
            given,
            whole: numbered().filter_map(|(file, path)| Some((whole_name(path)?, file))).collect(),
            as_given: numbered().map(|(file, path)| (path.as_path(), file)).collect(),
            is_known: vec![false; given.len()],
        }
    }

    /// The name under which a file is given now. Where all was moved elsewhere, names within it are as they were.
    fn take(&mut self, entry: &Entry) -> Option<PathBuf> {
        let whole = self.whole.get(&entry.whole_name);
        let file = *whole.or_else(|| self.as_given.get(entry.name.as_path()))?;
        *self.is_known.get_mut(file)? = true;
        self.given.get(file).cloned()
    }

    /// Those that were not taken.
    fn rest(self) -> Vec<PathBuf> {
        let all = self.given.iter().zip(self.is_known);
        all.filter(|(_, is_known)| !is_known).map(|(path, _)| path.clone()).collect()
    }
}

/// Files that came later must be later: what was written cannot be taken back.
pub(super) fn check_times(
    merge: &Merge,
    order: Order,
    known: usize,
    latest: Option<Timestamp>,
    progress: &Path,
) -> anyhow::Result<()> {
    let Some(latest) = latest.filter(|_| order == Order::Time) else { return Ok(()) };
    for file in known..merge.files() {
        if merge.next_time(file).is_some_and(|first| first < latest) {
            let name = merge.path(file).map(|path| path.display().to_string()).unwrap_or_default();
            bail!(
                "{name}: is new and begins before the end of what was read; packets of its time are written already: take it \
                 out, or remove {} to begin anew",
                progress.display()
            );
        }
    }
    Ok(())
}
