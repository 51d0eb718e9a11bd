//! Partitions that several threads work on, this one among them.
//!
//! Batches wait in line for their partition, and a thread that is free takes a partition with the next of its batches: each
//! partition has its packets in their order, whoever works on them. The thread that reads the capture works too while more
//! batches wait than are needed to keep the others going, so that there are never more threads at work than were asked for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::batch::Batch;
use super::partition::{self, Finished, Partition};
use crate::capture::{Block, ReadAhead};
use crate::decode::Decoded;
use crate::flow::{Packet, TableStats};
use crate::observe::PacketRef;
use crate::observe::pattern::PatternSet;
use crate::parallel::{Begun, Others};
use crate::proto::tls::keylog::KeyLog;

/// Batches that wait for each thread before the one that reads works too.
const QUEUE: usize = 8;
/// Batches that wait before a thread that sleeps is woken: waking costs as much as working on some packets.
const WAKE: usize = 2;

/// How often a thread without work looks for some before it sleeps, some ten microseconds in all on an AMD EPYC: about as long as the next batch takes,
/// and waking takes as long for the thread that reads.
const LOOKS: usize = 500;

/// This thread's end of it.
#[derive(Debug)]
pub(super) struct Workers {
    shared: Arc<Shared>,
    /// The next batch of each partition.
    filling: Vec<Batch>,
    threads: Vec<Begun<Finished>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Batches wait, or none will come.
    work: Condvar,
    /// A partition was put back.
    room: Condvar,
    /// Changes with each batch that comes, and when none will.
    news: AtomicUsize,
    /// What is done while no batch waits.
    ahead: OnceLock<ReadAhead>,
    patterns: Arc<PatternSet>,
}

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    /// Batches that wait in all lanes.
    waiting: usize,
    /// Threads that sleep until there is work.
    asleep: usize,
    /// The thread that reads sleeps until a partition is put back.
    waits_for_room: bool,
    /// Batches that were worked on, to be filled again.
    empty: Vec<Batch>,
    /// No more batches will come.
    is_over: bool,
    /// A thread has panicked, or nobody wants to know what comes of it.
    is_off: bool,
}

#[derive(Debug)]
struct Lane {
    /// Taken while a thread works on it. Behind a pointer, so that looking at all lanes is looking at few lines of a cache.
    partition: Option<Box<Partition>>,
    waiting: VecDeque<Batch>,
    /// Number of the thread that worked on it last, in whose cache its flows lie; none at first.
    latest: Option<usize>,
}

impl Lane {
    /// Nothing waits for it and nobody works on it.
    fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && self.partition.is_some()
    }
}

/// A partition that a thread has taken, and what it is to work on.
struct Claim {
    lane: usize,
    partition: Box<Partition>,
    batch: Batch,
}

/// One thread of so many. While there are packets each prefers the lanes that it worked on last; at the end each finishes a fixed share, so
/// that all finish at the same time.
#[derive(Clone, Copy)]
struct Share {
    number: usize,
    of: usize,
}

impl Share {
    fn has(self, lane: usize) -> bool {
        lane.checked_rem(self.of) == Some(self.number)
    }
}

impl State {
    /// A partition for which a batch waits, and the batch.
    fn claim(&mut self, share: Share) -> Option<Claim> {
        let free = |lane: &Lane| lane.partition.is_some() && !lane.waiting.is_empty();
        let lanes = self.lanes.iter_mut().enumerate().filter(|(_, lane)| free(lane));
        let (number, lane) =
            lanes.max_by_key(|(_, lane)| (lane.latest == Some(share.number), lane.waiting.len()))?;
        lane.latest = Some(share.number);
        let (partition, batch) = (lane.partition.take()?, lane.waiting.pop_front()?);
        self.waiting = self.waiting.saturating_sub(1);
        Some(Claim { lane: number, partition, batch })
    }

    fn put_back(&mut self, claim: Claim) {
        let Claim { lane, partition, batch } = claim;
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.partition = Some(partition);
        }
        self.empty.push(batch);
    }

    /// The partitions of a thread, once all their packets were worked on.
    fn take_rested(&mut self, share: Share) -> Option<Vec<Partition>> {
        let mut own: Vec<&mut Lane> = self
            .lanes
            .iter_mut()
            .enumerate()
            .filter(|(number, _)| share.has(*number))
            .map(|(_, lane)| lane)
            .collect();
        let is_over = own.iter().all(|lane| lane.is_at_rest());
        is_over.then(|| {
            own.iter_mut().filter_map(|lane| lane.partition.take()).map(|partition| *partition).collect()
        })
    }
}

impl Shared {
    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on a batch of one partition, where one waits that nobody works on.
    fn work_on_one<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        share: Share,
    ) -> (bool, MutexGuard<'a, State>) {
        let Some(mut claim) = state.claim(share) else { return (false, state) };
        drop(state);
        claim.batch.work(&mut claim.partition, &self.patterns);
        let mut state = self.lock();
        state.put_back(claim);
        // Each call of it is one of the kernel's, though nobody waits.
        if state.waits_for_room {
            self.room.notify_one();
        }
        if state.is_over {
            self.work.notify_all();
        }
        (true, state)
    }

    /// Works until there is no more, then ends the flows of the partitions that are its own.
    fn run(&self, share: Share) -> Finished {
        let mut state = self.lock();
        let (mut has_asked, mut has_looked) = (false, false);
        let own = loop {
            if state.is_off {
                break Vec::new();
            }
            let (has_worked, held) = self.work_on_one(state, share);
            state = held;
            if has_worked {
                (has_asked, has_looked) = (false, false);
                continue;
            }
            if state.is_over
                && let Some(own) = state.take_rested(share)
            {
                break own;
            }
            if !has_asked && let Some(ahead) = self.ahead.get() {
                // Batches may have come meanwhile: only who finds none and has nothing else to do sleeps.
                drop(state);
                has_asked = !ahead.help();
                state = self.lock();
                continue;
            }
            if !has_looked {
                let seen = self.news.load(Ordering::Relaxed);
                drop(state);
                self.look_out(seen);
                has_looked = true;
                state = self.lock();
                continue;
            }
            state.asleep = state.asleep.saturating_add(1);
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep = state.asleep.saturating_sub(1);
            (has_asked, has_looked) = (false, false);
        };
        drop(state);
        partition::finish(own)
    }

    /// Waits a moment for a batch without sleeping.
    fn look_out(&self, seen: usize) {
        for _ in 0..LOOKS {
            if self.news.load(Ordering::Relaxed) != seen {
                return;
            }
            std::hint::spin_loop();
        }
    }

    fn switch_off(&self) {
        self.lock().is_off = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}

/// Tells the others of a panic: what that thread had taken does not come back.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.switch_off();
        }
    }
}

impl Workers {
    /// Lets these threads work beside this one.
    pub(super) fn start(partitions: Vec<Partition>, others: &Others, patterns: &Arc<PatternSet>) -> Self {
        let filling = partitions.iter().map(|_| Batch::default()).collect();
        let lane =
            |partition| Lane { partition: Some(Box::new(partition)), waiting: VecDeque::new(), latest: None };
        let state = State {
            lanes: partitions.into_iter().map(lane).collect(),
            waiting: 0,
            asleep: 0,
            waits_for_room: false,
            empty: Vec::new(),
            is_over: false,
            is_off: false,
        };
        let (work, room, patterns) = (Condvar::new(), Condvar::new(), Arc::clone(patterns));
        let (state, ahead) = (Mutex::new(state), OnceLock::new());
        let news = AtomicUsize::new(0);
        let shared = Arc::new(Shared { state, work, room, news, ahead, patterns });
        let start = |number| {
            let shared = Arc::clone(&shared);
            let share = Share { number, of: others.count().saturating_add(1) };
            others.begin(move || {
                let watch = Watch(&shared);
                watch.0.run(share)
            })
        };
        let threads = (0..others.count()).map(start).collect();
        Self { shared, filling, threads }
    }

    /// This thread's share, the last.
    fn share(&self) -> Share {
        let number = self.threads.len();
        Share { number, of: number.saturating_add(1) }
    }

    /// What the others do while they have no packets to work on.
    pub(super) fn while_idle(&self, ahead: &ReadAhead) {
        // A second one would be of another capture, which is not read at the same time.
        let _ = self.shared.ahead.set(ahead.clone());
    }

    pub(super) fn packet(
        &mut self,
        partition: usize,
        packet: &Packet,
        reference: PacketRef,
        decoded: &Decoded<'_>,
        block: Option<&Block>,
    ) {
        let Some(batch) = self.filling.get_mut(partition) else { return };
        batch.push(packet, reference, decoded, block);
        if batch.is_full() {
            self.send(partition);
        }
    }

    /// Secrets that the packets from now on may use.
    pub(super) fn know(&mut self, key_log: &Arc<KeyLog>) {
        self.send_all();
        for batch in &mut self.filling {
            batch.key_log = Some(Arc::clone(key_log));
        }
    }

    fn send_all(&mut self) {
        for partition in 0..self.filling.len() {
            if self.filling.get(partition).is_some_and(|batch| !batch.is_empty()) {
                self.send(partition);
            }
        }
    }

    /// Lets a batch wait for its partition, then works on others while too many wait.
    fn send(&mut self, partition: usize) {
        let share = self.share();
        let most = QUEUE.saturating_mul(share.of);
        let mut state = self.shared.lock();
        let (Some(lane), Some(filling)) = (state.lanes.get_mut(partition), self.filling.get_mut(partition))
        else {
            return;
        };
        let key_log = filling.key_log.clone();
        lane.waiting.push_back(std::mem::take(filling));
        *filling = state.empty.pop().unwrap_or_default();
        filling.key_log = key_log;
        state.waiting = state.waiting.saturating_add(1);
        self.shared.news.fetch_add(1, Ordering::Relaxed);
        if state.asleep > 0 && state.waiting >= WAKE {
            self.shared.work.notify_one();
        }
        while state.waiting > most && !state.is_off {
            let (has_worked, held) = self.shared.work_on_one(state, share);
            state = held;
            if !has_worked {
                state.waits_for_room = true;
                state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waits_for_room = false;
            }
        }
    }

    pub(super) fn finish(mut self) -> Finished {
        self.send_all();
        self.shared.lock().is_over = true;
        self.shared.news.fetch_add(1, Ordering::Relaxed);
        self.shared.work.notify_all();
        let mut flows = Vec::new();
        let mut stats = TableStats::default();
        let own = self.shared.run(self.share());
        let others = std::mem::take(&mut self.threads).into_iter().map(Begun::end);
        for (mut part, table) in others.chain([own]) {
            flows.append(&mut part);
            stats.add(table);
        }
        (flows, stats)
    }
}

/// Where the run is given up, no thread waits for more.
impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.switch_off();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::decode::{Path, Transport};
    use crate::flow::{FiveTuple, Key};
    use crate::observe::Summary;
    use crate::pipeline::Config;
    use crate::pipeline::partition::PARTITIONS;
    use crate::time::Timestamp;

    fn started(others: usize) -> Workers {
        let partitions = (0..PARTITIONS).map(|_| Partition::new(&Config::default())).collect();
        Workers::start(partitions, &Others::apart(others), &Arc::new(PatternSet::new(Vec::new())))
    }

    /// Sends a datagram of a client's port; `number` counts from 1.
    fn send(workers: &mut Workers, number: u64, port: u16) {
        let source = SocketAddr::from(([10, 0, 0, 1], port));
        let tuple = FiveTuple { source, destination: "198.51.100.7:4000".parse().unwrap(), protocol: 17 };
        let (key, source_is_low) = Key::of(&tuple);
        let timestamp = Timestamp::from_secs_nanos(1, i64::try_from(number * 1000).unwrap());
        let packet = Packet { key, source_is_low, timestamp, number, wire_len: 50, payload_len: 8 };
        let transport = Transport::Udp { payload: &[7; 8], declared_len: 8 };
        let FiveTuple { source, destination, .. } = tuple;
        let path = &Path::EMPTY;
        let (wire_len, truncated, ttl) = (50, false, 64);
        let decoded = Decoded { source, destination, transport, path, wire_len, truncated, ttl };
        workers.packet(usize::from(port) % PARTITIONS, &packet, PacketRef::new(0, number), &decoded, None);
    }

    /// Ports, with so many packets each and the number of the first.
    fn sent(others: usize, ports: u16, rounds: u64) -> Vec<(u16, u64, u64)> {
        let mut workers = started(others);
        let mut number = 0;
        for _ in 0..rounds {
            for port in 0..ports {
                number += 1;
                send(&mut workers, number, port);
            }
        }
        let (flows, stats) = workers.finish();
        assert_eq!(stats.created, u64::from(ports));
        // The server's port is above all others.
        let port = |tuple: &FiveTuple| tuple.source.port().min(tuple.destination.port());
        let of = |(_, flow): &(u64, Summary)| (port(&flow.tuple), flow.packets.iter().sum(), flow.id);
        let mut seen: Vec<_> = flows.iter().map(of).collect();
        seen.sort_unstable();
        seen
    }

    #[test]
    fn a_thread_goes_on_with_the_lane_that_it_worked_on_last() {
        let workers = started(0);
        let mut state = workers.shared.lock();
        let add = |state: &mut State, lane: usize, batches: usize| {
            state.lanes[lane].waiting.extend((0..batches).map(|_| Batch::default()));
            state.waiting += batches;
        };
        add(&mut state, 3, 3);
        add(&mut state, 5, 1);
        let claim = |state: &mut State, number| {
            let claim = state.claim(Share { number, of: 2 }).unwrap();
            let lane = claim.lane;
            state.put_back(claim);
            lane
        };
        assert_eq!(claim(&mut state, 1), 3, "the longest, as nobody has worked on any");
        add(&mut state, 5, 7);
        assert_eq!(claim(&mut state, 1), 3, "its own, though the other is longer");
        assert_eq!(claim(&mut state, 0), 5);
        assert_eq!(claim(&mut state, 1), 3);
        assert_eq!(claim(&mut state, 1), 5, "the other's, as none of its own wait");
        assert_eq!(claim(&mut state, 1), 5, "it is its own now");
        assert_eq!(state.waiting, 5);
    }

    #[test]
    fn each_partition_has_its_packets_in_order_whoever_works_on_them() {
        // With one port all packets are of one partition, and only one thread can work at a time.
        for (ports, rounds) in [(1, 30_000), (7, 5000), (1000, 50), (0, 0)] {
            for others in [1, 2, 7] {
                let expected: Vec<_> = (0..ports).map(|port| (port, rounds, u64::from(port) + 1)).collect();
                assert_eq!(sent(others, ports, rounds), expected, "{others} others");
            }
        }
    }

    #[test]
    fn threads_end_where_a_run_is_given_up() {
        let mut workers = started(3);
        for number in 1..10_000 {
            send(&mut workers, number, u16::try_from(number % 1000).unwrap());
        }
        let shared = Arc::downgrade(&workers.shared);
        drop(workers);
        let have_ended = (0..6000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            shared.strong_count() == 0
        });
        assert!(have_ended, "a thread waits for what does not come");
    }

    /// What a thread that has panicked had taken does not come back: nobody may wait for it.
    #[test]
    fn a_panic_of_one_thread_ends_the_others() {
        let mut workers = started(2);
        let shared = Arc::clone(&workers.shared);
        let thread = std::thread::spawn(move || {
            let _watch = Watch(&shared);
            let mut state = shared.lock();
            let lane = state.lanes.first_mut().unwrap();
            lane.partition = None;
            drop(state);
            panic!("as a fault of a parser would");
        });
        assert!(thread.join().is_err());
        for number in 1..100_000 {
            send(&mut workers, number, 0);
        }
        workers.finish();
    }
}
