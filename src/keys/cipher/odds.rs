//! The arithmetic: what each repeat weighs, how many ECB would make, how likely chance is. In: facts. Out: numbers.

use std::collections::BTreeMap;

use super::{Cipher, Cluster, Framing, Lengths, Parts, Start, is_off_grid, survives};
use crate::observe::PacketRef;

/// Repeats that a unit of one block needs to count as a constant sound.
pub(super) const CONSTANT_REPEATS: u32 = 8;
/// What one repeated block weighs: an artefact that survives the exclusions is given one chance in a hundred.
const CLUSTER: f64 = 2.0;
/// What a constant unit of one block weighs: whole units are what applications send again.
const CONSTANT_UNIT: f64 = 1.0;
/// An equal stretch ends on the grid under ECB in 255 cases of 256, and by chance in one of 16.
const ON_GRID: f64 = 1.2;
/// Most that lengths may add.
const LENGTHS_MOST: f64 = 6.0;
/// log10 of 16.
const LOG_16: f64 = 1.204_119_982_655_925;
/// log10 of 2.
const LOG_2: f64 = std::f64::consts::LOG10_2;
/// Packets named.
const PACKETS: usize = 8;

/// Repeats with their weight.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    pub(super) clusters: u32,
    pub(super) pairs: u64,
    pub(super) set_aside: u32,
    pub(super) parts: Parts,
    pub(super) packets: Vec<PacketRef>,
}

/// Weighs the repeated blocks of streams. Blocks that came again in the same pair of units are one stretch; a block that repeats in
/// several streams is one block.
pub(super) fn weigh(streams: &[(&Cipher, Start)], lengths: Lengths) -> Weighed {
    let mut weighed = Weighed::default();
    let mut stretches: BTreeMap<(usize, [u32; 2]), bool> = BTreeMap::new();
    let mut hashes: Vec<u64> = Vec::new();
    let mut constant = false;
    for (number, (facts, _)) in streams.iter().enumerate() {
        let copied: Vec<[u32; 2]> = facts
            .clusters
            .iter()
            .filter(|cluster| is_off_grid(cluster))
            .map(|cluster| cluster.units)
            .collect();
        for cluster in &facts.clusters {
            if !survives(cluster) || copied.contains(&cluster.units) {
                weighed.set_aside = weighed.set_aside.saturating_add(1);
                continue;
            }
            weighed.pairs = weighed.pairs.saturating_add(cluster.repeats.into());
            weighed.packets.push(cluster.packet);
            if hashes.contains(&cluster.hash) {
                continue;
            }
            hashes.push(cluster.hash);
            if cluster.is_unit {
                constant = true;
                continue;
            }
            let stretch = stretches.entry((number, cluster.units)).or_default();
            *stretch |= ends_on_grid(cluster);
        }
    }
    weighed.packets.sort_unstable();
    weighed.packets.dedup();
    weighed.packets.truncate(PACKETS);
    let independent = u32::try_from(stretches.len()).unwrap_or(u32::MAX);
    let on_grid = u32::try_from(stretches.values().filter(|on_grid| **on_grid).count()).unwrap_or(u32::MAX);
    weighed.clusters = independent.saturating_add(u32::from(constant));
    weighed.parts = Parts {
        clusters: CLUSTER * f64::from(independent),
        grid: ON_GRID * f64::from(on_grid),
        constant_unit: if constant { CONSTANT_UNIT } else { 0.0 },
        lengths: if lengths.are_blocks {
            (LOG_16 * f64::from(lengths.different.saturating_sub(1))).min(LENGTHS_MOST)
        } else {
            0.0
        },
    };
    weighed
}

const fn ends_on_grid(cluster: &Cluster) -> bool {
    cluster.on_grid > 0
}

/// Equal pairs that ECB must make among the last blocks of units, at least: with zero padding the last block of a unit of L bytes
/// has 256^(L mod 16) values, so u units of one residue r give u(u-1)/2/256^r pairs or more. Where L is not announced, lengths
/// are taken to end evenly on all residues.
pub(super) fn expected(streams: &[(&Cipher, Start)], lengths: Lengths) -> Option<f64> {
    let mut sum = 0.0;
    let mut any = false;
    for (facts, _) in streams {
        let pairs = match facts.framing {
            Framing::ZoomUnit if facts.shapes.blocks > 0 => {
                let with = |residue: usize| number(facts.tails.get(residue).copied().unwrap_or(0));
                // The terms beyond the second are nothing.
                pairs(with(1)) / 256.0 + pairs(with(2)) / 65_536.0
            }
            Framing::Payload if lengths.are_blocks => pairs(number(facts.shorter) / 16.0) / 256.0,
            Framing::ZoomUnit | Framing::Payload => continue,
        };
        any = true;
        sum += pairs * facts.tail_share;
    }
    any.then_some(sum)
}

fn pairs(count: f64) -> f64 {
    (count * (count - 1.0) / 2.0).max(0.0)
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a count in a formula")]
const fn number(count: u64) -> f64 {
    count as f64
}

/// log10 of the bound on the chance of `pairs` equal pairs among `blocks` uniform blocks: lambda^k / k! with lambda =
/// n(n-1)/2^129.
pub(super) fn log10_chance(blocks: u64, pairs: u64) -> f64 {
    let n = number(blocks).max(2.0);
    let lambda = n.log10() + (n - 1.0).log10() - 129.0 * LOG_2;
    let k = number(pairs);
    // Stirling's lower bound of k!.
    k * lambda - (k * (k / std::f64::consts::E).log10()).max(0.0)
}
