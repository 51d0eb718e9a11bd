//! Lengths of payloads: which there are.

use super::BLOCK;

/// Lengths that are kept apart; longer ones are folded.
const APART: usize = 2048;
/// Different lengths that are kept one by one: a short stream has few.
const FEW: usize = 32;

/// Different lengths, modulo [`APART`].
#[derive(Debug)]
pub(super) enum Lengths {
    Few(Vec<u16>),
    /// A bit each.
    Many(Box<[u64; APART / 64]>),
}

impl Default for Lengths {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Lengths {
    /// Takes a length.
    #[inline]
    pub(super) fn note(&mut self, length: usize) {
        let folded = length % APART;
        match self {
            Self::Many(bits) => set(bits, folded),
            Self::Few(few) => {
                let short = u16::try_from(folded).unwrap_or(0);
                if few.contains(&short) {
                } else if few.len() < FEW {
                    few.push(short);
                } else {
                    let mut bits = Box::new([0; APART / 64]);
                    for held in few.iter() {
                        set(&mut bits, usize::from(*held));
                    }
                    set(&mut bits, folded);
                    *self = Self::Many(bits);
                }
            }
        }
    }

    /// Different lengths by their residue modulo 16.
    pub(super) fn residues(&self) -> [u16; BLOCK] {
        let mut counts = [0_u16; BLOCK];
        let mut count = |length: usize| {
            if let Some(count) = counts.get_mut(length % BLOCK) {
                *count = count.saturating_add(1);
            }
        };
        match self {
            Self::Few(few) => few.iter().for_each(|length| count(usize::from(*length))),
            Self::Many(bits) => {
                for word in bits.iter() {
                    (0..64_usize).filter(|bit| word >> bit & 1 == 1).for_each(&mut count);
                }
            }
        }
        counts
    }
}

fn set(bits: &mut [u64; APART / 64], length: usize) {
    if let Some(word) = bits.get_mut(length / 64) {
        *word |= 1 << (length % 64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_length_counts_once_however_many_there_are() {
        for many in [1, FEW, FEW + 1, 1000, 5000] {
            let mut lengths = Lengths::default();
            let mut all = BTreeSet::new();
            for number in (0..many).chain(0..many) {
                lengths.note(number * 7);
                all.insert(number * 7 % 2048);
            }
            let expected = |residue: usize| all.iter().filter(|length| *length % 16 == residue).count();
            let found = lengths.residues().map(usize::from);
            assert_eq!(found, std::array::from_fn(expected), "{many}");
            assert_eq!(matches!(lengths, Lengths::Many(_)), all.len() > FEW);
        }
    }
}
