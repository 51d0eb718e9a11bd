//! What all workers have counted together.

use std::collections::BTreeMap;

use super::Batch;
use crate::capture::CaptureError;
use crate::capture::live::seen_oversized;
use crate::decode::{Counters, Counts};
use crate::flow::TableStats;
use crate::report::Dropped;
use crate::report::record::{InterfaceRecord, WorkerRecord};
use crate::time::Timestamp;

/// Counters of each worker, as of its latest batch.
#[derive(Debug, Default)]
pub struct Totals {
    workers: BTreeMap<usize, Share>,
}

#[derive(Debug, Default)]
struct Share {
    /// The latest, without flows.
    batch: Batch,
    /// Flows of calls that nothing is told of while they go on.
    left_out: u64,
    has_ended: bool,
}

impl Totals {
    /// Takes over the counters of a batch, of which the flows have been taken out.
    pub(super) fn take(&mut self, batch: Batch, has_ended: bool) {
        let share = self.workers.entry(batch.worker).or_default();
        share.has_ended = has_ended;
        share.batch = batch;
    }

    /// The packet time that all workers have come to; those that have ended or have no packet yet do not count.
    pub fn now(&self) -> Option<Timestamp> {
        let going = self.workers.values().filter(|share| !share.has_ended);
        let least = going.filter_map(|share| share.batch.now).min();
        least.or_else(|| self.workers.values().filter_map(|share| share.batch.now).max())
    }

    /// Workers that go on.
    pub(super) fn going(&self) -> impl Iterator<Item = usize> + '_ {
        self.workers.iter().filter(|(_, share)| !share.has_ended).map(|(number, _)| *number)
    }

    /// What became of packets.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.workers.values().for_each(|share| all.add(share.batch.counts));
        all
    }

    /// What the decoders met.
    pub fn decode(&self) -> Counters {
        let mut all = Counters::default();
        self.workers.values().for_each(|share| all.add(&share.batch.decode));
        all
    }

    /// What the flow tables did.
    pub fn table(&self) -> TableStats {
        let mut all = TableStats::default();
        self.workers.values().for_each(|share| all.add(share.batch.table));
        all
    }

    /// Packets that were lost.
    pub fn dropped(&self) -> Dropped {
        let mut all = Dropped::default();
        for count in self.workers.values().flat_map(|share| &share.batch.interfaces) {
            all.kernel = all.kernel.saturating_add(count.dropped_by_kernel);
            all.own = all.own.saturating_add(count.dropped_by_us);
        }
        let interfaces = self.workers.values().map(|share| share.batch.interfaces.len()).max().unwrap_or(0);
        all.interface =
            (0..interfaces).fold(0, |sum, place| sum.saturating_add(self.lost_by_interface(place)));
        all
    }

    /// Packets that an interface dropped: each worker is told of all.
    fn lost_by_interface(&self, place: usize) -> u64 {
        let counts = self.workers.values().filter_map(|share| share.batch.interfaces.get(place));
        counts.map(|count| count.dropped_by_interface).max().unwrap_or(0)
    }

    /// Why interfaces are not read from any more, each interface once.
    pub fn errors(&self) -> Vec<&CaptureError> {
        let mut errors: Vec<&CaptureError> = Vec::new();
        for error in self
            .workers
            .values()
            .flat_map(|share| &share.batch.interfaces)
            .filter_map(|count| count.error.as_ref())
        {
            if errors.iter().all(|known| known.name != error.name) {
                errors.push(error);
            }
        }
        errors
    }

    /// Flows that are alive.
    pub fn flows_alive(&self) -> usize {
        self.workers.values().fold(0, |sum, share| sum.saturating_add(share.batch.flows_alive))
    }

    /// Ended flows that were lost because the judging fell behind.
    pub fn flows_lost(&self) -> u64 {
        self.workers.values().fold(0, |sum, share| sum.saturating_add(share.batch.flows_lost))
    }

    pub(super) fn leave_out(&mut self, worker: usize, flows: u64) {
        if let Some(share) = self.workers.get_mut(&worker) {
            share.left_out = flows;
        }
    }

    /// Flows of calls that nothing is told of while they go on, because there are too many.
    pub fn left_out(&self) -> u64 {
        self.workers.values().fold(0, |sum, share| sum.saturating_add(share.left_out))
    }

    /// How often the time of packets jumped.
    pub fn clock_steps(&self) -> u64 {
        self.workers.values().map(|share| share.batch.clock_steps).max().unwrap_or(0)
    }

    /// Fills in what was counted on each interface, in the order of the interfaces.
    pub fn fill(&self, interfaces: &mut [InterfaceRecord]) {
        for (place, record) in interfaces.iter_mut().enumerate() {
            record.workers.clear();
            let mut oversized = 0_u64;
            for (number, share) in &self.workers {
                let count = share.batch.interfaces.get(place).cloned().unwrap_or_default();
                let received = count.delivered.saturating_add(count.dropped_by_kernel);
                oversized = oversized.saturating_add(count.oversized);
                record.error = record.error.take().or_else(|| count.error.as_ref().map(ToString::to_string));
                record.workers.push(WorkerRecord {
                    worker: u64::try_from(*number).unwrap_or(u64::MAX),
                    received,
                    dropped_by_kernel: count.dropped_by_kernel,
                    analysed: count.read.saturating_sub(count.dropped_by_us),
                    dropped_by_us: count.dropped_by_us,
                });
            }
            let sum = |of: fn(&WorkerRecord) -> u64| record.workers.iter().map(of).sum();
            record.received = sum(|worker| worker.received);
            record.dropped_by_kernel = sum(|worker| worker.dropped_by_kernel);
            record.dropped_by_interface = self.lost_by_interface(place);
            record.distortions.extend(seen_oversized(&record.name, oversized));
        }
    }
}
