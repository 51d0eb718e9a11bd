//! Pipelines that share out the packets of one run, each with the conversations of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::decode::Parcel;

/// Numbers that a pipeline takes at once of those that it shares with others.
const BLOCK: u64 = 64;

/// Numbers of packets: flows and sessions are named by that of their first.
///
/// A single pipeline counts. Those that share out a run take blocks of numbers, a fresh one with each batch of packets, so that no
/// two give the same name and an earlier packet has the lower number, as nearly as can be without waiting for each other.
#[derive(Debug, Clone, Default)]
pub struct Numbering(Option<Arc<AtomicU64>>);

impl Numbering {
    /// One row of numbers for all pipelines that are given a copy.
    pub fn shared() -> Self {
        Self(Some(Arc::new(AtomicU64::new(1))))
    }
}

/// The numbers of one pipeline.
#[derive(Debug)]
pub(super) struct Numbers {
    shared: Option<Arc<AtomicU64>>,
    next: u64,
    end: u64,
}

impl Numbers {
    pub(super) fn new(numbering: &Numbering) -> Self {
        let shared = numbering.0.clone();
        let end = if shared.is_some() { 1 } else { u64::MAX };
        Self { shared, next: 1, end }
    }

    /// The number of the next packet.
    #[inline]
    pub(super) fn take(&mut self) -> u64 {
        if self.next >= self.end {
            self.renew();
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }

    /// The number that was taken last; 0 before the first.
    pub(super) const fn last(&self) -> u64 {
        self.next.wrapping_sub(1)
    }

    /// Goes on behind a number.
    pub(super) const fn go_on_behind(&mut self, number: u64) {
        self.next = number.wrapping_add(1);
    }

    /// Goes on where the others are.
    pub(super) fn renew(&mut self) {
        if let Some(shared) = &self.shared {
            self.next = shared.fetch_add(BLOCK, Ordering::Relaxed);
            self.end = self.next.wrapping_add(BLOCK);
        }
    }
}

/// A packet that belongs to another pipeline.
#[derive(Debug)]
#[non_exhaustive]
pub struct Handover {
    /// Number of that pipeline, from 0.
    pub owner: u32,
    /// What it must be given beside the packet.
    pub carried: Carried,
}

/// What a pipeline has found out about a packet that is another's.
#[derive(Debug)]
pub struct Carried {
    pub(super) number: u64,
    pub(super) parcel: Option<Box<Parcel>>,
}

/// What is to be done with a packet before it is put in order with others.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "whoever deals must do something with each")]
pub enum Dealt {
    /// It waits for its turn, with what is known of it.
    Here(Carried),
    /// It is handed over at once.
    Elsewhere(Handover),
    /// Nothing: it was a fragment, which was kept.
    Taken,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_single_pipeline_counts() {
        let mut numbers = Numbers::new(&Numbering::default());
        numbers.renew();
        assert_eq!([numbers.take(), numbers.take()], [1, 2]);
        numbers.renew();
        assert_eq!(numbers.take(), 3);
    }

    #[test]
    fn pipelines_of_one_run_share_no_number_and_keep_up() {
        let numbering = Numbering::shared();
        let [mut busy, mut idle] = [Numbers::new(&numbering), Numbers::new(&numbering)];
        let first = idle.take();
        let mut seen: BTreeSet<u64> = (0..1000).map(|_| busy.take()).collect();
        assert!(seen.insert(first));
        let last = seen.last().copied().unwrap();
        idle.renew();
        assert!(idle.take() > last, "what comes later has the higher number");
    }
}
