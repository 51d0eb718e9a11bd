//! A run that goes on where an earlier one stopped. In: which flows the earlier one had not written, and what it had counted. Out: a
//! pipeline as the earlier one was, once the packets since the first of these flows have been read again.
//!
//! What is known of a flow is not kept on disk: it is made again from its packets. Only packets of flows that are wanted are looked at
//! on the way, so that nothing is written twice, and a flow that had ended ends behind the same packet again, whatever ended it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Held, Pipeline};
use crate::decode::{Counters, Counts};
use crate::flow::{EndReason, TableStats};
use crate::observe::{Ending, Summary};
use crate::time::Timestamp;

/// Flows that were not written: those that are alive, and those that have ended and are held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unwritten {
    /// Numbers of those that are alive, ascending.
    alive: Vec<u64>,
    /// Those that have ended: number, packets, and whether they were pushed out; by number.
    ended: Vec<(u64, u64, bool)>,
    /// When the earliest of them began.
    since: Option<Timestamp>,
}

/// What a pipeline has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "written down and read again")]
pub struct Counted {
    /// Number of the latest packet.
    pub number: u64,
    /// What became of the packets.
    pub counts: Counts,
    /// What the decoder met.
    pub decode: Counters,
    /// What the flow tables did.
    pub table: TableStats,
}

impl Unwritten {
    /// How many they are.
    pub const fn len(&self) -> usize {
        self.alive.len().saturating_add(self.ended.len())
    }

    /// True where there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of the packet that began the first of them, and the earliest time at which one began.
    pub fn since(&self) -> Option<(u64, Timestamp)> {
        let first = self.alive.first().copied();
        let ended = self.ended.first().map(|(id, _, _)| *id);
        Some((first.into_iter().chain(ended).min()?, self.since?))
    }

    pub(super) fn is_alive(&self, id: u64) -> bool {
        self.alive.binary_search(&id).is_ok()
    }

    pub(super) fn has(&self, id: u64) -> bool {
        self.is_alive(id) || self.ended.binary_search_by_key(&id, |(id, _, _)| *id).is_ok()
    }

    /// Why a flow ends that has come to these packets, where it had ended then.
    pub(super) fn end_of(&self, id: u64, packets: [u64; 2]) -> Option<EndReason> {
        let place = self.ended.binary_search_by_key(&id, |(id, _, _)| *id).ok()?;
        let (_, most, is_evicted) = self.ended.get(place)?;
        let [forward, reverse] = packets;
        let reason = if *is_evicted { EndReason::Evicted } else { EndReason::Idle };
        (forward.wrapping_add(reverse) >= *most).then_some(reason)
    }
}

impl Pipeline {
    /// The flows that have not been handed out, with those that are held. Only for a single thread.
    pub fn unwritten(&self, held: &Held) -> Unwritten {
        let mut unwritten = Unwritten::default();
        let Unwritten { alive, ended, since } = &mut unwritten;
        let mut begun = |start: Timestamp| *since = Some(since.map_or(start, |since| since.min(start)));
        self.engine.for_each_alive(|flow| {
            begun(flow.start);
            alive.push(flow.id);
        });
        for flow in held.iter() {
            begun(flow.start);
            let [forward, reverse] = flow.packets;
            ended.push((flow.id, forward.wrapping_add(reverse), flow.ending == Ending::Evicted));
        }
        alive.sort_unstable();
        ended.sort_unstable();
        unwritten
    }

    /// What was counted so far. Only for a single thread.
    pub fn counted(&self) -> Counted {
        let (table, _) = self.table_stats();
        Counted {
            number: self.numbers.last(),
            counts: self.counts,
            decode: self.decoder.counters().clone(),
            table,
        }
    }

    /// Number of the latest packet; 0 before the first.
    pub const fn number(&self) -> u64 {
        self.numbers.last()
    }

    /// Takes packets again from the one behind number `number` on, and of these only those of certain flows. Only for a single
    /// thread.
    pub fn look_for(&mut self, unwritten: Unwritten, number: u64) {
        self.numbers.go_on_behind(number);
        let wanted = Arc::new(unwritten);
        self.engine.for_each_partition(|partition| partition.look_for(&wanted));
    }

    /// Lets packet time go on to `now`, as [`take_ended`](Self::take_ended) does, while packets are read again. Only for a single
    /// thread.
    pub fn expire(&mut self, now: Timestamp) {
        self.engine.for_each_partition(|partition| partition.expire(now));
    }

    /// Has come to where the earlier run was: takes all packets from now on, and goes on counting where that one had come to. Gives
    /// those of the flows that had ended, in the order in which they began.
    pub fn found(&mut self, counted: Counted) -> Vec<Summary> {
        let mut flows = Vec::new();
        self.engine.for_each_partition(|partition| flows.append(&mut partition.found()));
        flows.sort_by_key(|flow| flow.id);
        let (now, _) = self.engine.table_stats();
        self.table_from = [now, counted.table];
        self.numbers.go_on_behind(counted.number);
        self.counts = counted.counts;
        self.decoder.count_from(counted.decode);
        flows
    }

    /// How many flows used each of the first `sources` key logs.
    pub fn key_log_uses(&self, sources: usize) -> Vec<u64> {
        (0..sources).map(|source| self.key_log.uses(source)).collect()
    }

    /// Goes on counting the flows that use key logs from these numbers.
    pub fn count_key_log_uses_from(&self, uses: &[u64]) {
        for (source, uses) in uses.iter().enumerate() {
            self.key_log.count_uses_from(source, *uses);
        }
    }
}
