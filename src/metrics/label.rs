//! Values of labels: short, and only so many of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Longest value of a label, in bytes: interfaces have 15, and a path to a destination should fit.
const MAX_BYTES: usize = 200;
/// Stands for all values beyond the cap of a label.
pub(super) const OTHER: &str = "other";

/// A value of tolerable length, without letters that a terminal obeys.
pub(super) fn bounded(value: &str) -> Cow<'_, str> {
    if value.len() <= MAX_BYTES && !value.chars().any(char::is_control) {
        return Cow::Borrowed(value);
    }
    let mut end = MAX_BYTES.min(value.len());
    while !value.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let kept = value.get(..end).unwrap_or_default();
    Cow::Owned(kept.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect())
}

/// Counts by a label of which only so many values are told apart.
#[derive(Debug, Clone)]
pub(super) struct Counts<K> {
    counts: BTreeMap<K, u64>,
    most: usize,
}

impl<K: Ord + Clone> Counts<K> {
    pub(super) const fn new(most: usize) -> Self {
        Self { counts: BTreeMap::new(), most }
    }

    /// Adds one; under `other` where the key is new and the table is full. False then.
    pub(super) fn add(&mut self, key: &K, other: &K) -> bool {
        let has_room = self.counts.len() < self.most || self.counts.contains_key(key);
        let key = if has_room { key } else { other };
        let count = self.counts.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        has_room
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.counts.iter().map(|(key, count)| (key, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_cap_share_one() {
        let mut counts = Counts::new(2);
        for name in ["a", "b", "c", "a", "d"] {
            counts.add(&name, &OTHER);
        }
        assert_eq!(counts.iter().collect::<Vec<_>>(), [(&"a", 2), (&"b", 1), (&"other", 2)]);
    }

    #[test]
    fn long_values_end_at_a_letter() {
        let long = "ä".repeat(150);
        assert_eq!(bounded(&long).len(), 200);
        assert_eq!(bounded("eth0"), "eth0");
        assert_eq!(bounded("a\u{1b}[31m"), "a\u{fffd}[31m");
    }
}
