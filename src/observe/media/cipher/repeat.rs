//! A block that came again: where its equal stretch ends, and what it is booked under.

use super::table::{self, Found, Place, Side};
use crate::observe::PacketRef;
use crate::observe::facts::{CLUSTER_CAP, Cluster};

/// Where a block stands in its unit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Inner,
    Last { is_unit: bool, fresh_clock: bool },
}

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Booked {
    New,
    Repeat,
    /// Its unit was seen before.
    Copy,
}

/// Books a block that came again in another unit.
pub(super) fn repeat(
    clusters: &mut Vec<Cluster>,
    left_out: &mut u32,
    kind: Kind,
    hash: u64,
    place: &Place,
    packet: PacketRef,
    found: &mut Found<'_>,
) {
    let earlier = found.place;
    let (mut on_grid, mut off_grid) = (0_u32, 0_u32);
    for end in [side(earlier.before, place.before), side(earlier.after, place.after)].into_iter().flatten() {
        let count = if end { &mut on_grid } else { &mut off_grid };
        *count = count.saturating_add(1);
    }
    let held = found.cluster.and_then(|number| clusters.get_mut(usize::from(number)));
    if let Some(cluster) = held {
        cluster.repeats = cluster.repeats.saturating_add(1);
        cluster.span_ms[1] = place.unit.at_ms;
        cluster.on_grid = cluster.on_grid.saturating_add(on_grid);
        cluster.off_grid = cluster.off_grid.saturating_add(off_grid);
        return;
    }
    if clusters.len() >= CLUSTER_CAP {
        *left_out = left_out.saturating_add(1);
        return;
    }
    *found.cluster = u8::try_from(clusters.len()).ok();
    let (is_tail, is_unit) = match kind {
        Kind::Inner => (false, false),
        Kind::Last { is_unit, .. } => (true, is_unit),
    };
    clusters.push(Cluster {
        hash,
        repeats: 1,
        units: [earlier.unit.number, place.unit.number],
        span_ms: [earlier.unit.at_ms, place.unit.at_ms],
        on_grid,
        off_grid,
        is_tail,
        is_unit,
        packet,
    });
}

/// Whether an equal stretch ends at this side of the block; `None` where the neighbours are equal too, or there is none.
fn side(one: Side, other: Side) -> Option<bool> {
    let ((byte, mark), (other_byte, other_mark)) = (one?, other?);
    match (byte == other_byte, mark == other_mark) {
        (false, _) => Some(true),
        (true, false) => Some(false),
        (true, true) => None,
    }
}

pub(super) fn before(block: &[u8; 16]) -> (u8, u16) {
    let [.., last] = *block;
    (last, small(block))
}

pub(super) fn after(block: &[u8; 16]) -> (u8, u16) {
    let [first, ..] = *block;
    (first, small(block))
}

/// Sixteen bits of a block's hash.
fn small(block: &[u8; 16]) -> u16 {
    u16::try_from(table::hash(block) >> 48).unwrap_or(0)
}

/// A mark of a whole unit: its length and three of its blocks.
pub(super) fn mark(length: usize, first: &[u8; 16], middle: &[u8; 16], last: &[u8; 16]) -> u32 {
    let length = u64::try_from(length).unwrap_or(0).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = table::hash(first)
        .wrapping_add(table::hash(middle).rotate_left(21))
        .wrapping_add(table::hash(last).rotate_left(42))
        ^ length;
    u32::try_from(mixed >> 32).unwrap_or(0)
}
