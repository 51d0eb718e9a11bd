//! What a worker found since it last told.

use crate::capture::CaptureError;
use crate::decode::{Counters, Counts};
use crate::flow::TableStats;
use crate::observe::Summary;
use crate::pipeline::{Alive, KeyLog};
use crate::time::Timestamp;

use super::InterfaceCount;

/// What a worker found. All counters go on from the beginning, so that a later batch makes up for an earlier one.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// Number of the worker, from 0.
    pub worker: usize,
    /// Packet time, moved on while no packet came; none before the first.
    pub now: Option<Timestamp>,
    /// Flows that have ended since the last batch.
    pub ended: Vec<Summary>,
    /// Flows that ended while too many waited to be judged.
    pub flows_lost: u64,
    /// Of the endpoints that were asked for: which have flows that are alive, and the number of the question; not in every batch.
    pub alive: Option<(u64, Alive)>,
    /// Flows that are alive.
    pub flows_alive: usize,
    /// Those of calls as they stand, with others of their endpoints, and how many were left out; not in every batch.
    pub calls: Option<(Vec<Summary>, u64)>,
    /// What became of packets.
    pub counts: Counts,
    /// What the decoder met.
    pub decode: Counters,
    /// What the flow table did.
    pub table: TableStats,
    /// Counters of each interface.
    pub interfaces: Vec<InterfaceCount>,
    /// How often the time of packets jumped.
    pub clock_steps: u64,
    /// Set in the last one.
    pub last: Option<Last>,
}

/// How a worker ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Last {
    /// What failed, where it was not told to stop.
    pub error: Option<CaptureError>,
    /// The secrets that it knew, with how many flows used them.
    pub key_log: KeyLog,
}

impl Batch {
    /// This and what came after it, when this could not be handed over.
    pub(super) fn joined(mut self, later: Self) -> Self {
        self.ended.extend(later.ended);
        Self {
            ended: self.ended,
            calls: later.calls.or(self.calls),
            alive: later.alive.or(self.alive),
            ..Self { ended: Vec::new(), calls: None, alive: None, ..later }
        }
    }
}
