//! Lengths of payloads, as bits.

use super::BLOCK;

/// Different lengths by their residue modulo 16.
pub(super) fn residues(lengths: &[u64]) -> [u16; 16] {
    let mut counts = [0_u16; 16];
    for word in lengths {
        for bit in 0..64_usize {
            if word >> bit & 1 == 1
                && let Some(count) = counts.get_mut(bit % BLOCK)
            {
                *count = count.saturating_add(1);
            }
        }
    }
    counts
}
