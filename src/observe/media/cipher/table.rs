//! A bounded table of cipher blocks, whole and exact. In: blocks with where they stood. Out: the earlier place of an equal one.
//!
//! When it is full it keeps the half of the blocks whose hash is small, and from then on looks at such blocks alone: equal
//! blocks are kept or left together, so that the expected number of repeats shrinks with the share and not with its square.

use crate::proto::zoom::Assembler;

/// Slots at the start.
const FIRST: usize = 32;
/// Slots looked at for one block; what finds none of them free is left out.
const PROBES: usize = 64;

/// Mixes a block into a number that is uniform for uniform blocks; the high bits are the better ones.
#[inline]
pub(super) fn hash(block: &[u8; 16]) -> u64 {
    let ([low, high], _) = block.as_chunks::<8>() else { return 0 };
    let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
    (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What stood beside a block: the neighbouring byte and a mark of the whole neighbouring block; `None` at the edge of the unit.
pub(super) type Side = Option<(u8, u16)>;

/// A unit of which blocks are booked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    /// Its number, from 1.
    pub(super) number: u32,
    /// Mark of the whole unit: equal for copies.
    pub(super) mark: u32,
    /// Milliseconds from the stream's first packet.
    pub(super) at_ms: u32,
}

/// Where a block stood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) unit: Unit,
    /// Block number within the unit.
    pub(super) position: u32,
    pub(super) before: Side,
    pub(super) after: Side,
}

/// A [`Side`] that is there, as bytes.
type Packed = [u8; 3];

fn packed(side: Side) -> Packed {
    let (byte, mark) = side.unwrap_or_default();
    let [high, low] = mark.to_be_bytes();
    [byte, high, low]
}

const fn unpacked([byte, high, low]: Packed) -> (u8, u16) {
    (byte, u16::from_be_bytes([high, low]))
}

/// Bit of an entry's position that says that nothing follows the block. No unit has so many blocks that it is needed to count them.
const ENDS: u16 = 1 << 15;
const _: () = assert!(Assembler::MAX_UNIT / 16 <= 1 << 15);

/// Thousands of short streams have some hundred of these each: what is alike for all blocks of a unit stands once, and what stands
/// before a block is missing for the first of a unit alone.
#[derive(Debug, Clone, Copy)]
struct Entry {
    block: [u8; 16],
    before: Packed,
    after: Packed,
    /// With [`ENDS`].
    position: u16,
    /// Index of the unit.
    unit: u16,
    /// Number of the cluster that repeats of this block are booked under.
    cluster: Option<u8>,
}

const _: () = assert!(size_of::<Entry>() == 28);

impl Entry {
    fn new(block: [u8; 16], place: &Place, unit: u16) -> Self {
        let position = u16::try_from(place.position).unwrap_or(u16::MAX) & !ENDS;
        let ends = if place.after.is_none() { ENDS } else { 0 };
        let (before, after) = (packed(place.before), packed(place.after));
        Self { block, before, after, position: position | ends, unit, cluster: None }
    }

    fn place(&self, unit: Unit) -> Place {
        let position = self.position & !ENDS;
        Place {
            unit,
            position: position.into(),
            before: (position > 0).then(|| unpacked(self.before)),
            after: (self.position & ENDS == 0).then(|| unpacked(self.after)),
        }
    }
}

/// Where a block is, or could be.
enum Spot {
    /// Number of its entry.
    Held(usize),
    /// A slot, and the bits of the hash to put there.
    Free(usize, u16),
}

/// How many of so many slots are filled at most: five of eight.
const fn filled(slots: usize) -> usize {
    slots.saturating_sub(slots.div_ceil(8).saturating_mul(3))
}

fn hash_of(entry: &Entry) -> u64 {
    hash(&entry.block)
}

/// Blocks by value. The entries of a stream are cold when its next packet comes, so that they are written one behind the
/// other, and found by slots that are small and say which entries are not worth a look.
#[derive(Debug)]
pub(super) struct Table {
    /// Number of the entry, from 1, in as many bits as number the slots, and bits of its hash above; 0 is free.
    slots: Vec<u16>,
    entries: Vec<Entry>,
    /// Units with an entry, in the order of their first; after a halving without those that lost all of theirs.
    units: Vec<Unit>,
    most: usize,
    threshold: u64,
    left_out: u32,
}

/// An equal block that was seen before.
#[derive(Debug)]
pub(super) struct Found<'t> {
    pub(super) place: Place,
    pub(super) cluster: &'t mut Option<u8>,
}

impl Table {
    /// `most` is the number of slots, a power of two; five of eight are filled.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            slots: Vec::new(),
            entries: Vec::new(),
            units: Vec::new(),
            most,
            threshold: u64::MAX,
            left_out: 0,
        }
    }

    /// True when blocks of this hash are looked at.
    #[inline]
    pub(super) const fn wants(&self, hash: u64) -> bool {
        hash <= self.threshold
    }

    /// True while every block is looked at.
    pub(super) const fn is_whole(&self) -> bool {
        self.threshold == u64::MAX
    }

    /// Share of block values that are looked at, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        let halvings = self.threshold.leading_zeros();
        0.5_f64.powi(i32::try_from(halvings).unwrap_or(64))
    }

    /// Looks at no more blocks.
    pub(super) fn close(&mut self) {
        (self.slots, self.entries, self.units, self.threshold) = (Vec::new(), Vec::new(), Vec::new(), 0);
    }

    /// Allows more slots, a power of two.
    pub(super) fn allow(&mut self, most: usize) {
        self.most = self.most.max(most);
    }

    /// Blocks that found no free slot among those tried.
    pub(super) const fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Makes room for so many blocks at once, as far as it will be filled. By less than the double: thousands of short streams have a table
    /// each.
    pub(super) fn expect(&mut self, blocks: usize) {
        let held = self.entries.len();
        let room = filled(self.most).saturating_sub(held);
        if self.entries.capacity().saturating_sub(held) < blocks.min(room) {
            self.entries.reserve_exact(blocks.max(held / 8).min(room));
        }
    }

    /// Looks for an equal block and books this one if there is none. For blocks that [`Table::wants`].
    pub(super) fn insert(&mut self, block: [u8; 16], hash: u64, place: Place) -> Option<Found<'_>> {
        self.make_room();
        if !self.wants(hash) {
            return None;
        }
        match self.find(&block, hash)? {
            Spot::Held(number) => {
                let entry = self.entries.get_mut(number)?;
                let place = entry.place(*self.units.get(usize::from(entry.unit))?);
                Some(Found { place, cluster: &mut entry.cluster })
            }
            Spot::Free(index, tag) => {
                self.fill(index, tag, self.entries.len());
                if self.entries.len() == self.entries.capacity() {
                    self.expect(FIRST / 4);
                }
                let unit = self.unit(place.unit);
                self.entries.push(Entry::new(block, &place, unit));
                None
            }
        }
    }

    /// Index of the unit, which is the latest or new.
    fn unit(&mut self, unit: Unit) -> u16 {
        if self.units.last().is_none_or(|last| last.number != unit.number) {
            if self.units.len() == self.units.capacity() {
                self.units.reserve_exact((self.units.len() / 4).max(FIRST / 8));
            }
            self.units.push(unit);
        }
        u16::try_from(self.units.len().saturating_sub(1)).unwrap_or(u16::MAX)
    }

    /// Where the block is held, or a free slot for it.
    fn find(&mut self, block: &[u8; 16], hash: u64) -> Option<Spot> {
        let mask = self.slots.len().checked_sub(1)?;
        let mixed = (hash ^ (hash >> 31)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let start = usize::try_from(mixed >> 24).unwrap_or(0);
        let numbers = u16::try_from(mask).ok()?;
        let tag = u16::try_from(mixed & u64::from(u16::MAX)).unwrap_or(0) & !numbers;
        for step in 0..PROBES {
            let index = start.wrapping_add(step) & mask;
            let slot = *self.slots.get(index)?;
            if slot == 0 {
                return Some(Spot::Free(index, tag));
            }
            if slot & !numbers == tag {
                let number = usize::from(slot & numbers).checked_sub(1)?;
                if self.entries.get(number)?.block == *block {
                    return Some(Spot::Held(number));
                }
            }
        }
        self.left_out = self.left_out.saturating_add(1);
        None
    }

    fn make_room(&mut self) {
        if self.entries.len() < filled(self.slots.len()) {
            return;
        }
        let size = self.slots.len().saturating_mul(2).clamp(FIRST.min(self.most), self.most);
        while self.entries.len() >= filled(size) && self.threshold > 0 {
            self.threshold >>= 1;
            let threshold = self.threshold;
            self.entries.retain(|entry| hash_of(entry) <= threshold);
            self.forget_units();
        }
        self.slots.clear();
        self.slots.resize(size, 0);
        for number in 0..self.entries.len() {
            let Some(entry) = self.entries.get(number) else { return };
            let (block, hash) = (entry.block, hash_of(entry));
            if let Some(Spot::Free(index, tag)) = self.find(&block, hash) {
                self.fill(index, tag, number);
            }
        }
    }

    /// Leaves out units without entries. Entries stand in the order of their units.
    fn forget_units(&mut self) {
        let mut kept: Vec<Unit> = Vec::new();
        let mut latest = None;
        for entry in &mut self.entries {
            if latest != Some(entry.unit) {
                latest = Some(entry.unit);
                kept.extend(self.units.get(usize::from(entry.unit)));
            }
            entry.unit = u16::try_from(kept.len().saturating_sub(1)).unwrap_or(u16::MAX);
        }
        self.units = kept;
    }

    fn fill(&mut self, index: usize, tag: u16, number: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = tag | u16::try_from(number.saturating_add(1)).unwrap_or(u16::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};
    use std::collections::BTreeSet;

    fn block(number: u32) -> [u8; 16] {
        Sha256::digest(number.to_be_bytes())[..16].try_into().expect("16 bytes")
    }

    fn place(unit: u32) -> Place {
        Place {
            unit: Unit { number: unit, mark: unit, at_ms: unit },
            position: 0,
            before: None,
            after: Some((7, 9)),
        }
    }

    fn insert(table: &mut Table, number: u32, unit: u32) -> Option<u32> {
        let block = block(number);
        let hash = hash(&block);
        table.wants(hash).then(|| table.insert(block, hash, place(unit)))?.map(|found| {
            assert_eq!((found.place.before, found.place.after), (None, Some((7, 9))));
            found.place.unit.number
        })
    }

    #[test]
    fn equal_blocks_are_kept_or_left_together() {
        let mut table = Table::new(256);
        for number in 0..20_000 {
            assert_eq!(insert(&mut table, number, number), None, "no two of these are equal");
        }
        let share = table.share();
        assert!((1.0 / 256.0..=1.0 / 64.0).contains(&share), "{share}");
        let found: BTreeSet<u32> =
            (0..20_000).filter_map(|number| insert(&mut table, number, 1 << 20)).collect();
        let expected = 20_000.0 * table.share();
        assert!(
            f64::from(u32::try_from(found.len()).expect("few")) > 0.6 * expected,
            "{} {expected}",
            found.len()
        );
        assert!(table.entries.len() <= 160 && table.entries.capacity() == 160 && table.left_out() == 0);
        assert!(table.units.len() <= 320, "units whose blocks are all gone are forgotten");
    }

    #[test]
    fn a_place_is_told_as_it_was_booked() {
        let unit = Unit { number: 3, mark: 4, at_ms: 5 };
        for (position, before, after) in [
            (0, None, None),
            (0, None, Some((7, 0xabcd))),
            (1, Some((1, 2)), None),
            (32_767, Some((255, u16::MAX)), Some((0, 0))),
        ] {
            let told = Entry::new([9; 16], &Place { unit, position, before, after }, 0).place(unit);
            assert_eq!((told.position, told.before, told.after), (position, before, after));
        }
    }

    #[test]
    fn a_repeat_is_found_while_all_are_kept() {
        let mut table = Table::new(1024);
        for number in 0..500 {
            assert_eq!(insert(&mut table, number, number + 1), None);
        }
        assert!(table.is_whole());
        for number in 0..500 {
            assert_eq!(insert(&mut table, number, 9_999), Some(number + 1));
        }
    }
}
