//! Partitions in the caller's thread, or shared out to workers.

use std::sync::Arc;

use super::partition::{self, Finished, PARTITIONS, Partition};
use super::workers::Workers;
use super::{Config, Living};
use crate::capture::{Block, ReadAhead};
use crate::decode::Decoded;
use crate::flow::{EndReason, Flow, Key, Packet, TableStats};
use crate::observe::pattern::PatternSet;
use crate::observe::{PacketRef, State, Summary};
use crate::parallel::Threads;
use crate::proto::tls::keylog::KeyLog;
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) enum Engine {
    Here { partitions: Vec<Partition>, patterns: Arc<PatternSet>, key_log: Option<Arc<KeyLog>> },
    Workers(Workers),
}

#[inline]
fn partition_of(key: &Key) -> usize {
    let count = u64::try_from(PARTITIONS).unwrap_or(1);
    usize::try_from(key.dealing_hash().checked_rem(count).unwrap_or(0)).unwrap_or(0)
}

impl Engine {
    pub(super) fn new(config: &Config, patterns: Arc<PatternSet>) -> Self {
        let partitions = (0..PARTITIONS).map(|_| Partition::new(config)).collect();
        match Threads::new(config.threads).others() {
            Some(others) => Self::Workers(Workers::start(partitions, &others, &patterns)),
            None => Self::Here { partitions, patterns, key_log: None },
        }
    }

    #[inline]
    pub(super) fn packet(
        &mut self,
        packet: &Packet,
        reference: PacketRef,
        decoded: &Decoded<'_>,
        block: Option<&Block>,
    ) {
        let partition = partition_of(&packet.key);
        match self {
            Self::Here { partitions, patterns, key_log } => {
                if let Some(partition) = partitions.get_mut(partition) {
                    let path = Some(decoded.path);
                    let key_log = key_log.as_ref();
                    partition.packet(patterns, packet, reference, decoded.transport, path, key_log);
                }
            }
            Self::Workers(workers) => workers.packet(partition, packet, reference, decoded, block),
        }
    }

    /// What threads do that have no packets to work on.
    pub(super) fn while_idle(&mut self, ahead: &ReadAhead) {
        if let Self::Workers(workers) = self {
            workers.while_idle(ahead);
        }
    }

    /// Secrets that the packets from now on may use.
    pub(super) fn know(&mut self, key_log: &Arc<KeyLog>) {
        match self {
            Self::Here { key_log: known, .. } => *known = Some(Arc::clone(key_log)),
            Self::Workers(workers) => workers.know(key_log),
        }
    }

    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<Summary> {
        match self {
            Self::Here { partitions, .. } => {
                partitions.iter_mut().flat_map(|partition| partition.take_ended(now)).collect()
            }
            Self::Workers(_) => Vec::new(),
        }
    }

    /// Ends these flows, and gives them with all that have ended; for a single thread.
    pub(super) fn end(&mut self, flows: &[Living], reason: EndReason) -> Vec<Summary> {
        let Self::Here { partitions, .. } = self else { return Vec::new() };
        for flow in flows {
            if let Some(partition) = partitions.get_mut(partition_of(&flow.key)) {
                partition.end(&flow.key, reason);
            }
        }
        partitions.iter_mut().flat_map(Partition::take).collect()
    }

    pub(super) fn ended(&self) -> usize {
        match self {
            Self::Here { partitions, .. } => {
                partitions.iter().map(Partition::ended).fold(0, usize::saturating_add)
            }
            Self::Workers(_) => 0,
        }
    }

    pub(super) fn for_each_alive(&self, mut look: impl FnMut(&Flow<State>)) {
        if let Self::Here { partitions, .. } = self {
            for partition in partitions {
                partition.for_each_alive(&mut look);
            }
        }
    }

    pub(super) fn for_each_partition(&mut self, each: impl FnMut(&mut Partition)) {
        if let Self::Here { partitions, .. } = self {
            partitions.iter_mut().for_each(each);
        }
    }

    pub(super) fn table_stats(&self) -> (TableStats, usize) {
        let mut stats = TableStats::default();
        let mut alive = 0_usize;
        if let Self::Here { partitions, .. } = self {
            for partition in partitions {
                let (own, flows) = partition.table_stats();
                stats.add(own);
                alive = alive.saturating_add(flows);
            }
        }
        (stats, alive)
    }

    pub(super) fn finish(self) -> Finished {
        match self {
            Self::Here { partitions, .. } => partition::finish(partitions),
            Self::Workers(workers) => workers.finish(),
        }
    }
}
