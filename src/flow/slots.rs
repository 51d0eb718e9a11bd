//! Places for flows that never move: a table that grows copies nothing, and takes no more room than it has flows.

use crate::fetch::fetch;

/// Bits of a slot's number that count within a chunk.
const BITS: u32 = 8;
/// Places of one chunk.
const CHUNK: usize = 1 << BITS;

/// Numbered places, some of them empty.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// Each has room for [`CHUNK`] from the start; all but the last are full.
    chunks: Vec<Vec<Option<T>>>,
    length: usize,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), length: 0 }
    }

    /// Places, empty ones included.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.place(slot)?.as_ref()
    }

    /// Asks for a place that will be read soon.
    pub(super) fn fetch(&self, slot: usize) {
        if let Some(place) = self.place(slot) {
            fetch(place);
        }
    }

    #[inline]
    fn place(&self, slot: usize) -> Option<&Option<T>> {
        self.chunks.get(slot >> BITS)?.get(slot % CHUNK)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.chunks.get_mut(slot >> BITS)?.get_mut(slot % CHUNK)?.as_mut()
    }

    /// Empties a place.
    pub(super) fn take(&mut self, slot: usize) -> Option<T> {
        self.chunks.get_mut(slot >> BITS)?.get_mut(slot % CHUNK)?.take()
    }

    /// Fills a place that there is.
    pub(super) fn put(&mut self, slot: usize, value: T) -> Option<()> {
        *self.chunks.get_mut(slot >> BITS)?.get_mut(slot % CHUNK)? = Some(value);
        Some(())
    }

    /// Adds a place; its number is [`Slots::len`] as it was before.
    pub(super) fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(Some(value)),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Some(value));
                self.chunks.push(chunk);
            }
        }
        self.length = self.length.saturating_add(1);
    }

    /// All that is there, with the numbers of its places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let all = self.chunks.iter().flatten().enumerate();
        all.filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let all = self.chunks.iter_mut().flatten().enumerate();
        all.filter_map(|(slot, value)| Some((slot, value.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_where_they_were_put_over_many_chunks() {
        let mut slots = Slots::new();
        for value in 0..1000_usize {
            assert_eq!(slots.len(), value);
            slots.push(value);
        }
        assert_eq!((slots.get(0), slots.get(255), slots.get(256)), (Some(&0), Some(&255), Some(&256)));
        assert_eq!((slots.get(999), slots.get(1000)), (Some(&999), None));
        assert_eq!(slots.take(256), Some(256));
        assert_eq!((slots.get(256), slots.len(), slots.iter().count()), (None, 1000, 999));
        assert!(slots.iter().all(|(slot, value)| slot == *value));
        assert_eq!((slots.put(256, 7), slots.get(256)), (Some(()), Some(&7)));
        assert_eq!(slots.put(1000, 7), None);
        for (_, value) in slots.iter_mut() {
            *value += 1;
        }
        assert_eq!(slots.get(999), Some(&1000));
    }
}
