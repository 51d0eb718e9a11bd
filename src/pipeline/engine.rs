//! Partitions in the caller's thread, or shared out to workers.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::partition::{self, PARTITIONS, Partition};
use crate::capture::Block;
use crate::decode::{Decoded, Path, TcpFlags, Transport};
use crate::flow::{Flow, Key, Packet, TableStats};
use crate::observe::facts::Sampling;
use crate::observe::pattern::PatternSet;
use crate::observe::{PacketRef, State, Summary};
use crate::proto::tls::keylog::KeyLog;
use crate::time::Timestamp;

/// Packets of a batch.
const BATCH_PACKETS: usize = 256;
/// Payload bytes of a batch that are copied.
const BATCH_BYTES: usize = 1 << 20;
/// Blocks of a capture that a batch holds: a worker that gets few packets must not hold them all.
const BATCH_BLOCKS: usize = 16;
/// Batches on their way to one worker.
const QUEUE: usize = 8;

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
    pub(super) fn new(
        threads: usize,
        max_flows: usize,
        sampling: Sampling,
        patterns: Arc<PatternSet>,
    ) -> Self {
        let threads = threads.clamp(1, PARTITIONS);
        if threads == 1 {
            let partitions = (0..PARTITIONS).map(|_| Partition::new(max_flows, sampling)).collect();
            return Self::Here { partitions, patterns, key_log: None };
        }
        Self::Workers(Workers::start(threads, max_flows, sampling, &patterns))
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
                    let path = Some(&decoded.path);
                    let key_log = key_log.as_ref();
                    partition.packet(patterns, packet, reference, decoded.transport, path, key_log);
                }
            }
            Self::Workers(workers) => workers.packet(partition, packet, reference, decoded, block),
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

    pub(super) fn finish(self) -> (Vec<Summary>, TableStats) {
        match self {
            Self::Here { partitions, .. } => partition::finish(partitions),
            Self::Workers(workers) => workers.finish(),
        }
    }
}

fn gather(parts: impl Iterator<Item = (Vec<Summary>, TableStats)>) -> (Vec<Summary>, TableStats) {
    let mut flows = Vec::new();
    let mut stats = TableStats::default();
    for (mut part, own) in parts {
        flows.append(&mut part);
        stats.add(own);
    }
    (flows, stats)
}

/// One packet on its way to a worker; its payload lies in the batch, or in a block that the batch holds.
#[derive(Debug)]
struct Item {
    packet: Packet,
    reference: PacketRef,
    path: Option<Box<Path>>,
    head: Head,
    payload: Place,
    partition: u8,
}

/// A transport header without its payload. How long that is said to be, [`Packet`] has.
#[derive(Debug, Clone, Copy)]
enum Head {
    Udp,
    Tcp { sequence: u32, acknowledgment: u32, flags: TcpFlags, window: u16 },
    Other { protocol: u8 },
}

impl Head {
    const fn of(transport: &Transport<'_>) -> Self {
        match *transport {
            Transport::Udp { .. } => Self::Udp,
            Transport::Tcp { sequence, acknowledgment, flags, window, .. } => {
                Self::Tcp { sequence, acknowledgment, flags, window }
            }
            Transport::Other { protocol, .. } => Self::Other { protocol },
        }
    }

    fn with<'a>(&self, payload: &'a [u8], declared_len: u32) -> Transport<'a> {
        let declared_len = usize::try_from(declared_len).unwrap_or(usize::MAX);
        match *self {
            Self::Udp => Transport::Udp { payload, declared_len },
            Self::Tcp { sequence, acknowledgment, flags, window } => {
                Transport::Tcp { sequence, acknowledgment, flags, window, payload, declared_len }
            }
            Self::Other { protocol } => Transport::Other { protocol, payload },
        }
    }
}

/// Where a payload lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    length: u32,
    /// Index of the block; none where it is copied.
    block: Option<u8>,
}

const _: () = assert!(size_of::<Item>() <= 128 && BATCH_BLOCKS <= 256 && PARTITIONS <= 256);

#[derive(Debug, Default)]
struct Batch {
    items: Vec<Item>,
    blocks: Vec<Block>,
    bytes: Vec<u8>,
    /// Secrets that were known when its first packet was read; a batch ends where more become known.
    key_log: Option<Arc<KeyLog>>,
}

impl Batch {
    /// Keeps a payload: by its place where the block it lies in can be held.
    fn keep(&mut self, payload: &[u8], block: Option<&Block>) -> Place {
        let length = u32::try_from(payload.len()).unwrap_or(0);
        if let Some(block) = block
            && let Some(range) = block.range_of(payload)
            && let Ok(start) = u32::try_from(range.start)
        {
            // Packets come from one file after the other, or in turns from few.
            let held = self.blocks.iter().rposition(|held| held.is(block));
            let index = held.unwrap_or(self.blocks.len());
            if let Ok(index) = u8::try_from(index) {
                if held.is_none() {
                    self.blocks.push(block.clone());
                }
                return Place { start, length, block: Some(index) };
            }
        }
        let start = u32::try_from(self.bytes.len()).unwrap_or(0);
        self.bytes.extend_from_slice(payload);
        Place { start, length, block: None }
    }

    fn payload(&self, place: Place) -> &[u8] {
        let (Ok(start), Ok(length)) = (usize::try_from(place.start), usize::try_from(place.length)) else {
            return &[];
        };
        let range = start..start.saturating_add(length);
        match place.block {
            Some(index) => self.blocks.get(usize::from(index)).map(|block| block.bytes(range)),
            None => self.bytes.get(range),
        }
        .unwrap_or_default()
    }

    fn clear(&mut self) {
        self.items.clear();
        self.blocks.clear();
        self.bytes.clear();
    }

    fn is_full(&self) -> bool {
        self.items.len() >= BATCH_PACKETS
            || self.bytes.len() >= BATCH_BYTES
            || self.blocks.len() >= BATCH_BLOCKS
    }
}

#[derive(Debug)]
struct Worker {
    filling: Batch,
    full: SyncSender<Batch>,
    empty: Receiver<Batch>,
    thread: JoinHandle<(Vec<Summary>, TableStats)>,
}

/// Threads that own partitions.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Worker>,
}

impl Workers {
    fn start(threads: usize, max_flows: usize, sampling: Sampling, patterns: &Arc<PatternSet>) -> Self {
        let workers = (0..threads)
            .map(|_| {
                let (full, work) = sync_channel::<Batch>(QUEUE);
                let (back, empty) = sync_channel::<Batch>(QUEUE);
                let patterns = Arc::clone(patterns);
                let thread = std::thread::spawn(move || {
                    let partition = || Partition::new(max_flows, sampling);
                    run(partition, threads, &patterns, &work, &back)
                });
                Worker { filling: Batch::default(), full, empty, thread }
            })
            .collect();
        Self { workers }
    }

    fn packet(
        &mut self,
        partition: usize,
        packet: &Packet,
        reference: PacketRef,
        decoded: &Decoded<'_>,
        block: Option<&Block>,
    ) {
        let threads = self.workers.len();
        let Some(worker) = partition.checked_rem(threads).and_then(|index| self.workers.get_mut(index))
        else {
            return;
        };
        let batch = &mut worker.filling;
        let payload = batch.keep(decoded.transport.payload(), block);
        let own = partition.checked_div(threads).and_then(|own| u8::try_from(own).ok());
        batch.items.push(Item {
            packet: *packet,
            reference,
            path: (!decoded.path.is_empty()).then(|| Box::new(decoded.path)),
            head: Head::of(&decoded.transport),
            payload,
            partition: own.unwrap_or(0),
        });
        if batch.is_full() {
            worker.send();
        }
    }

    fn know(&mut self, key_log: &Arc<KeyLog>) {
        for worker in &mut self.workers {
            if !worker.filling.items.is_empty() {
                worker.send();
            }
            worker.filling.key_log = Some(Arc::clone(key_log));
        }
    }

    fn finish(self) -> (Vec<Summary>, TableStats) {
        // All are told before one is waited for, so that they end their flows at the same time.
        let threads: Vec<_> = self.workers.into_iter().map(Worker::close).collect();
        gather(threads.into_iter().map(|thread| match thread.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        }))
    }
}

impl Worker {
    fn send(&mut self) {
        let mut next = self.empty.try_recv().unwrap_or_default();
        next.key_log.clone_from(&self.filling.key_log);
        // A worker that is gone has panicked; joining it in `finish` passes that on.
        let _ = self.full.send(std::mem::replace(&mut self.filling, next));
    }

    /// Sends what is left: no more will come.
    fn close(mut self) -> JoinHandle<(Vec<Summary>, TableStats)> {
        self.send();
        self.thread
    }
}

fn run(
    partition: impl Fn() -> Partition,
    threads: usize,
    patterns: &PatternSet,
    work: &Receiver<Batch>,
    back: &SyncSender<Batch>,
) -> (Vec<Summary>, TableStats) {
    let own = PARTITIONS.div_ceil(threads.max(1));
    let mut partitions: Vec<Partition> = (0..own).map(|_| partition()).collect();
    while let Ok(mut batch) = work.recv() {
        for (index, item) in batch.items.iter().enumerate() {
            // Another core has read the payloads: the next one comes closer while this one is worked on.
            let next = batch.items.get(index.saturating_add(1));
            black_box(next.and_then(|next| batch.payload(next.payload).first().copied()));
            let payload = batch.payload(item.payload);
            if let Some(partition) = partitions.get_mut(usize::from(item.partition)) {
                let transport = item.head.with(payload, item.packet.payload_len);
                let (path, key_log) = (item.path.as_deref(), batch.key_log.as_ref());
                partition.packet(patterns, &item.packet, item.reference, transport, path, key_log);
            }
        }
        batch.clear();
        let _ = back.try_send(batch);
    }
    partition::finish(partitions)
}
