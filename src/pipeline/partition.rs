//! One share of the flow table: its own caps, its own packet time.

use crate::decode::{Path, Transport};
use crate::flow::{Ended, Flow, Limits, Packet, Table, TableStats};
use crate::observe::facts::Sampling;
use crate::observe::pattern::PatternSet;
use crate::observe::{PacketRef, Seen, State, Summary, observe, summarise};
use crate::proto::tls::keylog::KeyLog;
use crate::time::Timestamp;
use std::sync::Arc;

/// Partitions of a run. Fixed, so that caps and timeouts do not depend on the number of threads.
pub(super) const PARTITIONS: usize = 16;

#[derive(Debug)]
pub(super) struct Partition {
    table: Table<State>,
    ended: Vec<Summary>,
    sampling: Sampling,
}

impl Partition {
    pub(super) fn new(max_flows: usize, sampling: Sampling) -> Self {
        let share = max_flows.div_ceil(PARTITIONS).max(1);
        let limits = Limits { max_flows: share, ..Limits::default() };
        Self { table: Table::new(limits), ended: Vec::new(), sampling }
    }

    #[inline]
    pub(super) fn packet(
        &mut self,
        patterns: &PatternSet,
        packet: &Packet,
        reference: PacketRef,
        transport: Transport<'_>,
        path: Option<&Path>,
        key_log: Option<&Arc<KeyLog>>,
    ) {
        let ended = &mut self.ended;
        let begin = || {
            State::begin(reference, path.filter(|path| !path.is_empty()).map(|path| path.to_string().into()))
        };
        let mut end = |done: Ended<State>| ended.push(summarise(done.flow, done.reason));
        if let Some((flow, direction)) = self.table.packet(packet, begin, &mut end) {
            // Secrets may come with the capture itself, in the middle of it.
            let sampling =
                if key_log.is_some() && !self.sampling.keyed { Sampling::SOME } else { self.sampling };
            let seen = Seen { transport, timestamp: packet.timestamp, packet: reference, key_log, sampling };
            let timeout = flow.idle_timeout();
            observe(flow, direction, patterns, &seen);
            // It has had its say: what it holds is not needed until the longer time is over.
            if flow.idle_timeout() < timeout {
                self.table.hasten(&packet.key);
            }
        }
    }

    /// A partition without packets has no time of its own, so it is told.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<Summary> {
        let ended = &mut self.ended;
        self.table.expire(now, &mut |done| ended.push(summarise(done.flow, done.reason)));
        std::mem::take(&mut self.ended)
    }

    /// Flows that have ended and were not taken.
    pub(super) const fn ended(&self) -> usize {
        self.ended.len()
    }

    pub(super) fn for_each_alive(&self, look: &mut impl FnMut(&Flow<State>)) {
        self.table.for_each(|flow| look(flow));
    }

    /// The clock that stamps packets was set.
    pub(super) fn shift(&mut self, nanos: i64) {
        self.table.shift(nanos);
    }

    /// Holds at most so many flows from now on; those that have to go have ended.
    pub(super) fn limit(&mut self, max_flows: usize) {
        let ended = &mut self.ended;
        let share = max_flows.div_ceil(PARTITIONS).max(1);
        self.table.limit(share, &mut |done| ended.push(summarise(done.flow, done.reason)));
    }

    /// What the table did, and the flows that it holds.
    pub(super) fn table_stats(&self) -> (TableStats, usize) {
        (self.table.stats(), self.table.len())
    }

    pub(super) fn finish(mut self) -> (Vec<Summary>, TableStats) {
        let ended = &mut self.ended;
        self.table.finish(&mut |done| ended.push(summarise(done.flow, done.reason)));
        (self.ended, self.table.stats())
    }
}
