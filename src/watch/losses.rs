//! When packets were lost. In: the counters of each batch. Out: how many were lost between two of them.

use std::collections::BTreeMap;

use super::clock::behind;
use super::{Batch, InterfaceCount};
use crate::time::Timestamp;

/// What each worker had lost, and up to which packet time.
#[derive(Debug, Default)]
pub(super) struct Losses {
    workers: BTreeMap<usize, (Timestamp, u64)>,
}

impl Losses {
    /// Packets that a worker lost since its last batch: from when to when, and how many.
    pub(super) fn since(&mut self, batch: &Batch) -> Option<(Timestamp, Timestamp, u64)> {
        let now = batch.now?;
        // What an interface drops is told to all workers, and counts once.
        let of_interface = |count: &InterfaceCount| {
            if batch.worker == 0 { count.dropped_by_interface } else { 0 }
        };
        let lost = batch.interfaces.iter().fold(0_u64, |sum, count| {
            let own = count.dropped_by_kernel.saturating_add(count.dropped_by_us);
            sum.saturating_add(own).saturating_add(of_interface(count))
        });
        let (before, known) = self.workers.insert(batch.worker, (now, lost)).unwrap_or((now, 0));
        let more = lost.saturating_sub(known);
        // What finds the buffer full is younger than all that is in it.
        (more > 0).then(|| (before, now.plus(behind(now)), more))
    }
}
