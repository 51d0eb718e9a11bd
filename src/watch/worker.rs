//! A thread that takes packets. In: a [`Source`]. Out: a [`Batch`] every second of packet time, or of the clock when no packet comes.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashSet;
use std::net::IpAddr;

use super::clock::Stopwatch;
use super::exchange::Exchange;
use super::memory::{self, Budget};
use super::steps::Seen;
use super::{Batch, InterfaceCount, Last, Outbox, Source};
use crate::capture::CaptureError;
use crate::classify::Nets;
use crate::observe::Summary;
use crate::pipeline::{Alive, Calls, Pipeline};
use crate::time::Timestamp;

/// From one batch to the next.
const LOOK: Duration = Duration::from_secs(1);
/// Packets read of each interface before anything else is seen to.
const BATCH: usize = 512;
/// Longest wait for a packet; the first of a block comes as late as that anyway.
const WAIT: Duration = Duration::from_millis(100);
/// Longest wait while packets are held for their order.
const WAIT_HOLDING: Duration = Duration::from_millis(10);
/// Waits without a packet after which the kernel's buffer is empty whatever its counters say; several times the delay after which
/// it hands out a block.
const EMPTY_LOOKS: u32 = 5;
/// A look at all flows takes at most this part of a worker's time; while it takes more, it is taken more seldom.
const LOOKING_SHARE: u32 = 32;

/// What the judge tells workers: which endpoints it asks for (of those that are silent, whether they have flows that are alive), and
/// how many flows may be held.
#[derive(Debug, Clone, Default)]
pub struct Question {
    asked: Arc<Mutex<(u64, Arc<HashSet<IpAddr>>)>>,
    /// Flows that a worker may hold; 0 where nobody said.
    most_flows: Arc<AtomicUsize>,
}

impl Question {
    /// Tells each worker how many flows it may hold from now on.
    pub fn limit_flows(&self, most: usize) {
        self.most_flows.store(most, Ordering::Relaxed);
    }

    fn most_flows(&self) -> Option<usize> {
        Some(self.most_flows.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    /// Asks; `number` names the question in the answers.
    pub fn ask(&self, number: u64, addresses: HashSet<IpAddr>) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = (number, Arc::new(addresses));
    }

    fn read(&self) -> (u64, Arc<HashSet<IpAddr>>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is done with the pipeline once a second: more secrets may have become known.
pub type Refresh = Box<dyn FnMut(&mut Pipeline) + Send>;

/// A worker's part in keeping to a budget.
#[derive(Debug, Clone, Copy)]
struct Share {
    budget: Budget,
    /// Bytes of packets from one look at memory to the next.
    step: u64,
    /// Bytes that had come at the last.
    looked: u64,
}

/// Takes packets, and tells what it found.
pub struct Worker<S> {
    number: usize,
    is_live: bool,
    source: S,
    pipeline: Pipeline,
    refresh: Refresh,
    question: Question,
    outbox: Outbox,
    /// Packet time of the last batch.
    looked: Option<Timestamp>,
    /// Time of the packet at hand.
    latest: Option<Timestamp>,
    /// A packet came since the last batch.
    is_fresh: bool,
    since_look: Stopwatch,
    /// Since the last batch with packets.
    since_packet: Stopwatch,
    interfaces: Vec<InterfaceCount>,
    exchange: Exchange,
    begun: Stopwatch,
    calls: Calls,
    most_flows: Option<usize>,
    budget: Option<Share>,
    /// How long the last look at all flows took, and since when that is.
    last_look: (Duration, Stopwatch),
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<S: Source> Worker<S> {
    /// Worker `number` (from 0) of a run.
    pub fn new(
        number: usize,
        source: S,
        pipeline: Pipeline,
        refresh: Refresh,
        question: Question,
        outbox: Outbox,
        exchange: Exchange,
    ) -> Self {
        Self {
            number,
            is_live: source.is_live(),
            source,
            pipeline,
            refresh,
            question,
            outbox,
            looked: None,
            latest: None,
            is_fresh: false,
            since_look: Stopwatch::start(),
            since_packet: Stopwatch::start(),
            interfaces: Vec::new(),
            exchange,
            begun: Stopwatch::start(),
            calls: Calls::default(),
            most_flows: None,
            budget: None,
            last_look: (Duration::ZERO, Stopwatch::start()),
        }
    }

    /// Looks sooner where memory runs short; `workers` share the budget.
    #[must_use]
    pub fn within(mut self, budget: Budget, workers: usize) -> Self {
        self.budget = Some(Share { budget, step: budget.step(workers), looked: 0 });
        self
    }

    /// Copies at most so many flows of calls that go on; what goes to one of the prefixes may be of one.
    #[must_use]
    pub fn copying(mut self, most: usize, nets: Arc<Nets>) -> Self {
        self.calls.limit(most);
        self.calls.know(nets);
        self
    }

    /// Takes packets until told to stop, and then those that the kernel still holds. The last batch says how it ended.
    pub fn run(mut self, stop: &AtomicBool) {
        let error = self.listen(stop).err();
        let begun = self.begun;
        self.exchange.finish(&mut self.pipeline, || begun.elapsed());
        self.count();
        let now = self.now();
        let (counts, clock_steps) = (self.pipeline.counts(), self.exchange.steps().count());
        let flows = self.pipeline.finish();
        self.outbox.finish(Batch {
            worker: self.number,
            now,
            ended: flows.flows,
            counts,
            decode: flows.decode,
            table: flows.table,
            interfaces: self.interfaces,
            clock_steps,
            last: Some(Last { error, key_log: flows.key_log }),
            ..Batch::default()
        });
    }

    fn listen(&mut self, stop: &AtomicBool) -> Result<(), CaptureError> {
        while !stop.load(Ordering::Relaxed) {
            if self.take(WAIT_HOLDING)? {
                // In a flood flows end faster than they could be kept for a second.
                if self.is_due() || self.pipeline.ended() >= self.outbox.portion() || self.is_short() {
                    self.look();
                }
            } else if self.since_look.elapsed() >= LOOK {
                self.look();
            }
        }
        let is_closed = self.source.close();
        self.drain(is_closed)
    }

    /// The kernel hands packets out in blocks, the last one with a delay. Those that it counted are waited for, as long as no more
    /// can come; else for a while.
    fn drain(&mut self, is_closed: bool) -> Result<(), CaptureError> {
        let mut empty_looks = 0_u32;
        while empty_looks < EMPTY_LOOKS {
            if self.take(WAIT)? && is_closed {
                continue;
            }
            self.count();
            if self
                .interfaces
                .iter()
                .all(|interface| interface.error.is_some() || interface.read >= interface.delivered)
            {
                break;
            }
            empty_looks = empty_looks.saturating_add(1);
        }
        Ok(())
    }

    /// Brings the counters of the interfaces up to date.
    fn count(&mut self) {
        self.interfaces = self.source.counters();
        for (interface, lost) in self.interfaces.iter_mut().zip(self.exchange.lost()) {
            interface.dropped_by_us = *lost;
        }
    }

    /// Takes the packets that are there, or waits for some, while packets are held for `holding` at most; false where none came.
    fn take(&mut self, holding: Duration) -> Result<bool, CaptureError> {
        let now = self.begun.elapsed();
        self.follow_clock(now);
        self.exchange.receive(now);
        self.pipeline.renumber();
        let is_holding = self.exchange.is_holding(now);
        let Self { source, pipeline, exchange, latest, is_live, .. } = self;
        let since = self.since_packet;
        let read = source.dispatch(BATCH, &mut |lane, packet| {
            let mut packet = *packet;
            if let Some(latest) = *latest
                && *is_live
            {
                match exchange.steps().see(latest, packet.timestamp, since) {
                    Seen::InTime => {}
                    Seen::Late(nanos) => packet.timestamp = packet.timestamp.moved(nanos),
                    Seen::Set(nanos) => exchange.set_clock(nanos, now, pipeline),
                }
            }
            *latest = Some(packet.timestamp);
            if is_holding {
                exchange.keep(lane, now, &packet, pipeline);
            } else if let Some(handover) = pipeline.watched(&packet) {
                exchange.hand_over(lane, &packet, handover);
            }
        })?;
        let mut is_idle = read == 0;
        if is_holding && let Some(time) = exchange.release(now, false, pipeline) {
            *latest = Some(time);
            is_idle = false;
        }
        exchange.send_all();
        if is_idle {
            let is_holding = self.exchange.is_holding(now);
            self.source.wait(if is_holding { holding } else { WAIT });
            return Ok(false);
        }
        self.is_fresh = true;
        Ok(true)
    }

    /// Takes a step of the clock that another worker has seen.
    fn follow_clock(&mut self, now: Duration) {
        if let Some(nanos) = self.exchange.steps().missed() {
            self.exchange.set_clock(nanos, now, &mut self.pipeline);
            self.latest = self.latest.map(|latest| latest.moved(nanos));
        }
    }

    /// Also when the clock was set back.
    #[inline]
    fn is_due(&mut self) -> bool {
        let Some(now) = self.latest else { return false };
        let looked = *self.looked.get_or_insert(now);
        now.since(looked) >= LOOK || looked.since(now) >= LOOK
    }

    /// Whether little memory is left, asked whenever so many bytes have come, and flows have to go before a second is over.
    fn is_short(&mut self) -> bool {
        let Some(share) = &mut self.budget else { return false };
        let bytes = self.pipeline.counts().bytes_captured;
        if bytes.wrapping_sub(share.looked) < share.step {
            return false;
        }
        share.looked = bytes;
        memory::used().is_some_and(|used| share.budget.is_short(used))
    }

    /// Packet time, moved on by the clock while no packet comes.
    fn now(&mut self) -> Option<Timestamp> {
        if std::mem::take(&mut self.is_fresh) {
            self.since_packet = Stopwatch::start();
            return self.latest;
        }
        self.latest.map(|latest| latest.plus(self.since_packet.elapsed()))
    }

    /// Which of the endpoints that were asked for are alive, and the flows of calls; nothing where that would take too much time.
    #[expect(clippy::type_complexity, reason = "two answers of one look, taken apart at once")]
    fn look_at_flows(&mut self) -> Option<((u64, Alive), (Vec<Summary>, u64))> {
        let (took, since) = self.last_look;
        if since.elapsed() < took.saturating_mul(LOOKING_SHARE) {
            return None;
        }
        let watch = Stopwatch::start();
        let (number, asked) = self.question.read();
        let mut alive = Alive::asking(asked);
        self.pipeline.look(&mut alive, &mut self.calls);
        self.last_look = (watch.elapsed(), watch);
        Some(((number, alive), self.calls.take_found()))
    }

    /// Tells what there is.
    fn look(&mut self) {
        self.since_look = Stopwatch::start();
        let now = self.now();
        self.looked = now;
        (self.refresh)(&mut self.pipeline);
        if let Some(most) = self.question.most_flows().filter(|most| Some(*most) != self.most_flows) {
            self.most_flows = Some(most);
            self.pipeline.limit_flows(most);
        }
        let ended = now.map(|now| self.pipeline.take_ended(now)).unwrap_or_default();
        let (alive, calls) = self.look_at_flows().unzip();
        self.count();
        let (table, flows_alive) = self.pipeline.table_stats();
        let batch = Batch {
            worker: self.number,
            now,
            ended,
            alive,
            calls,
            flows_alive,
            counts: self.pipeline.counts(),
            decode: self.pipeline.decode_counters().clone(),
            table,
            interfaces: self.interfaces.clone(),
            clock_steps: self.exchange.steps().count(),
            ..Batch::default()
        };
        self.outbox.offer(batch);
    }
}
