//! Records by their names, capped by number and by bytes; who was not told of for longest goes first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::report::record::Record;

/// Records of one kind. Names are sorted by number: `s2` before `s10`.
#[derive(Debug)]
pub(super) struct Shelf {
    most: usize,
    most_bytes: usize,
    entries: BTreeMap<Name, Entry>,
    /// Names by the version at which they were last told of.
    told: BTreeMap<u64, Name>,
    bytes: usize,
    left_out: u64,
}

/// A record's name with the first number in it, so that the order is that of people: `s2`, `s2/rule-1`, `s10`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    number: u64,
    text: Box<str>,
}

impl Name {
    /// Of a session, a meeting or an alert.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digits = text.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
        Self { number: digits.get(..end).and_then(|run| run.parse().ok()).unwrap_or(0), text: text.into() }
    }
}

#[derive(Debug)]
struct Entry {
    record: Arc<Record>,
    weight: usize,
    version: u64,
    uptime_s: u64,
}

impl Shelf {
    pub(super) const fn new(most: usize, most_bytes: usize) -> Self {
        Self { most, most_bytes, entries: BTreeMap::new(), told: BTreeMap::new(), bytes: 0, left_out: 0 }
    }

    /// Puts a record in the place of the one of its name, and answers the names of those that had to go.
    pub(super) fn put(
        &mut self,
        id: &str,
        record: &Arc<Record>,
        weight: usize,
        version: u64,
        uptime_s: u64,
    ) -> Vec<String> {
        let name = Name::of(id);
        self.take(&name);
        self.told.insert(version, name.clone());
        self.bytes = self.bytes.saturating_add(weight);
        self.entries.insert(name, Entry { record: Arc::clone(record), weight, version, uptime_s });
        let mut lost = Vec::new();
        // What was just told stays, whatever it weighs.
        while self.entries.len() > 1 && (self.entries.len() > self.most || self.bytes > self.most_bytes) {
            let Some((_, name)) = self.told.pop_first() else { break };
            self.take(&name);
            self.left_out = self.left_out.saturating_add(1);
            lost.push(String::from(name.text));
        }
        lost
    }

    fn take(&mut self, name: &Name) -> bool {
        let Some(entry) = self.entries.remove(name) else { return false };
        self.told.remove(&entry.version);
        self.bytes = self.bytes.saturating_sub(entry.weight);
        true
    }

    /// True where there was one.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        self.take(&Name::of(id))
    }

    /// Lets go of what was last told of before an uptime, if it is not to stay, and answers the names.
    pub(super) fn expire(&mut self, before_s: u64, stays: impl Fn(&Record) -> bool) -> Vec<String> {
        let is_old = |entry: &&Entry| entry.uptime_s < before_s;
        let old = self
            .told
            .values()
            .map_while(|name| self.entries.get(name).filter(is_old).map(|entry| (name, entry)));
        let old = old.filter(|(_, entry)| !stays(&entry.record));
        let lost: Vec<Name> = old.map(|(name, _)| name.clone()).collect();
        for name in &lost {
            self.take(name);
        }
        lost.into_iter().map(|name| String::from(name.text)).collect()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Record>> {
        self.entries.get(&Name::of(id)).map(|entry| &entry.record)
    }

    /// In the order of their names.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        self.entries.values().map(|entry| &entry.record)
    }

    /// Records told of after a version, in the order in which they were told.
    pub(super) fn since(&self, version: u64) -> Vec<Arc<Record>> {
        let names = self.told.range(version.saturating_add(1)..).map(|(_, name)| name);
        names.filter_map(|name| self.entries.get(name)).map(|entry| Arc::clone(&entry.record)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }
}
