//! The queue before a destination: bounded, never waited for by whoever fills it. In: lines with their worth. Out: batches
//! in the order in which they came, and counters that add up at any time.
//!
//! When it is full, the oldest of what is worth least gives way: first flows and updates, which a later record replaces, then
//! beginnings, last alerts and what has ended. So a destination that comes back gets what is current, and what nobody says again
//! is lost last.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock;
use crate::report::record::SinkRecord;

/// Most records that wait for one destination.
pub(super) const MAX_RECORDS: usize = 1 << 16;
/// Bytes that wait for one destination at most, unless the command line says otherwise.
pub const DEFAULT_BYTES: u64 = 64 << 20;
/// What a record costs beside its text.
const OVERHEAD: u64 = 64;
/// Bytes handed to a destination at a time: enough to keep it busy, and soon done.
const BATCH_BYTES: usize = 256 << 10;

/// What a record is worth to whoever reads on after a gap; the order is that of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// A flow, or an update that the next one replaces.
    Passing,
    /// A beginning: what follows repeats it.
    Begun,
    /// An alert, or what is over: nobody says it again.
    Lasting,
}

const LANES: usize = 3;

impl Worth {
    const fn lane(self) -> usize {
        match self {
            Self::Passing => 0,
            Self::Begun => 1,
            Self::Lasting => 2,
        }
    }
}

/// What is over when a destination could not take more of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Records handed over.
    pub(super) written: u64,
    /// Records that can never be handed over.
    pub(super) lost: u64,
    /// Records handed over earlier, of which nobody knows whether they were taken.
    pub(super) in_doubt: u64,
}

/// What the thread of a destination is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Hand over what is in the batch.
    Records,
    /// Nothing for a while: look after the destination.
    Idle,
    /// Close and open again.
    Reopen,
    /// Nothing will come any more.
    Finish,
}

/// Records on their way to a destination, in their order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: VecDeque<Arc<[u8]>>,
    /// Bytes of the first record that were handed over before.
    pub(super) sent: usize,
    /// What became of records, until the queue is told.
    pub(super) tally: Tally,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The next record, and what of it is left.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.records.front().and_then(|record| record.get(self.sent..))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.records.iter().map(|record| &**record)
    }

    /// The first record was handed over.
    pub(super) fn taken(&mut self) {
        if self.records.pop_front().is_some() {
            self.tally.written = self.tally.written.saturating_add(1);
        }
        self.sent = 0;
    }

    /// The first record can never be handed over.
    pub(super) fn lost(&mut self) {
        if self.records.pop_front().is_some() {
            self.tally.lost = self.tally.lost.saturating_add(1);
        }
        self.sent = 0;
    }

    /// What was begun is begun anew.
    pub(super) fn rewind(&mut self) {
        self.sent = 0;
    }

    #[cfg(test)]
    pub(super) fn of(records: &[&[u8]]) -> Self {
        Self { records: records.iter().map(|record| Arc::from(*record)).collect(), ..Self::default() }
    }
}

/// Records of one worth, each with its number among all.
#[derive(Debug, Default)]
struct Lane {
    records: VecDeque<(u64, Arc<[u8]>)>,
    /// What they cost.
    bytes: u64,
}

impl Lane {
    fn push(&mut self, number: u64, record: Arc<[u8]>) {
        self.bytes = self.bytes.saturating_add(cost(&record));
        self.records.push_back((number, record));
    }

    fn pop(&mut self) -> Option<Arc<[u8]>> {
        let (_, record) = self.records.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost(&record));
        Some(record)
    }
}

#[derive(Debug)]
struct State {
    lanes: [Lane; LANES],
    next: u64,
    /// Records in the batch that the thread holds.
    in_hand: u64,
    offered: u64,
    written: u64,
    lost: u64,
    in_doubt: u64,
    /// Of those that are lost: for want of room.
    crowded_out: u64,
    reconnects: u64,
    error: Option<String>,
    reopen: bool,
    finish: Option<Instant>,
    /// The thread takes nothing any more.
    over: bool,
}

/// The queue of one destination.
#[derive(Debug)]
pub(super) struct Queue {
    /// Where to, for people.
    pub(super) name: String,
    max_bytes: u64,
    state: Mutex<State>,
    /// Something came, or is to be done.
    woken: Condvar,
    /// The thread has ended.
    ended: Condvar,
}

fn cost(record: &[u8]) -> u64 {
    u64::try_from(record.len()).unwrap_or(u64::MAX).saturating_add(OVERHEAD)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl State {
    fn records(&self) -> usize {
        self.lanes.iter().map(|lane| lane.records.len()).sum()
    }

    fn is_full(&self, more: u64, max_bytes: u64) -> bool {
        let bytes = self.lanes.iter().fold(more, |sum, lane| sum.saturating_add(lane.bytes));
        self.records() >= MAX_RECORDS || bytes > max_bytes
    }

    /// Whether there is room for it once all that is worth no more has given way.
    fn could_fit(&self, worth: Worth, more: u64, max_bytes: u64) -> bool {
        let staying = || self.lanes.iter().skip(worth.lane().saturating_add(1));
        let records: usize = staying().map(|lane| lane.records.len()).sum();
        let bytes = staying().fold(more, |sum, lane| sum.saturating_add(lane.bytes));
        records < MAX_RECORDS && bytes <= max_bytes
    }

    /// Drops the oldest of what is worth least, and no more than `worth`.
    fn give_way(&mut self, worth: Worth) -> bool {
        let mut lanes = self.lanes.iter_mut().take(worth.lane().saturating_add(1));
        if lanes.find_map(Lane::pop).is_none() {
            return false;
        }
        self.lost = self.lost.saturating_add(1);
        self.crowded_out = self.crowded_out.saturating_add(1);
        true
    }

    /// The oldest of all.
    fn pop(&mut self) -> Option<Arc<[u8]>> {
        let filled = self.lanes.iter_mut().filter(|lane| !lane.records.is_empty());
        filled.min_by_key(|lane| lane.records.front().map_or(u64::MAX, |(number, _)| *number))?.pop()
    }

    fn settle(&mut self, tally: Tally) {
        self.written = self.written.saturating_add(tally.written);
        self.lost = self.lost.saturating_add(tally.lost);
        self.in_doubt = self.in_doubt.saturating_add(tally.in_doubt);
        self.in_hand = self.in_hand.saturating_sub(tally.written.saturating_add(tally.lost));
    }
}

impl Queue {
    pub(super) fn new(name: String, max_bytes: u64) -> Self {
        let state = State {
            lanes: Default::default(),
            next: 0,
            in_hand: 0,
            offered: 0,
            written: 0,
            lost: 0,
            in_doubt: 0,
            crowded_out: 0,
            reconnects: 0,
            error: None,
            reopen: false,
            finish: None,
            over: false,
        };
        Self { name, max_bytes, state: Mutex::new(state), woken: Condvar::new(), ended: Condvar::new() }
    }

    /// A thread that ended in the middle leaves counters that are as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a record in; what has to give way for it is counted as lost.
    pub(super) fn push(&self, worth: Worth, record: Arc<[u8]>) {
        let more = cost(&record);
        let mut state = self.lock();
        state.offered = state.offered.saturating_add(1);
        // What is worth less is not to go for nothing.
        let mut has_room = !state.over && state.could_fit(worth, more, self.max_bytes);
        while has_room && state.is_full(more, self.max_bytes) {
            has_room = state.give_way(worth);
        }
        if !has_room {
            state.lost = state.lost.saturating_add(1);
            state.crowded_out = state.crowded_out.saturating_add(u64::from(!state.over));
            return;
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        if let Some(lane) = state.lanes.get_mut(worth.lane()) {
            lane.push(number, record);
        }
        drop(state);
        self.woken.notify_one();
    }

    /// Tells what became of the batch, and fills it where it is empty. Waits for `patience` at most.
    pub(super) fn next(&self, batch: &mut Batch, patience: Duration) -> Work {
        let until = clock::instant().checked_add(patience);
        let mut state = self.lock();
        state.settle(std::mem::take(&mut batch.tally));
        loop {
            if std::mem::take(&mut state.reopen) {
                return Work::Reopen;
            }
            if !batch.is_empty() {
                return Work::Records;
            }
            let mut bytes = 0_usize;
            while bytes < BATCH_BYTES {
                let Some(record) = state.pop() else { break };
                bytes = bytes.saturating_add(record.len());
                batch.records.push_back(record);
            }
            if !batch.is_empty() {
                state.in_hand = state.in_hand.saturating_add(count(batch.records.len()));
                return Work::Records;
            }
            if state.finish.is_some() {
                return Work::Finish;
            }
            let left =
                until.map_or(Duration::ZERO, |until| until.saturating_duration_since(clock::instant()));
            if left.is_zero() {
                return Work::Idle;
            }
            state = self.woken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits before something is tried again; less long where the end is near or the destination is to be opened anew.
    pub(super) fn pause(&self, patience: Duration) {
        let until = clock::instant().checked_add(patience);
        let mut state = self.lock();
        loop {
            let now = clock::instant();
            let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            let left =
                state.finish.map_or(left, |end| left.min(END_STEP).min(end.saturating_duration_since(now)));
            if left.is_zero() || state.reopen {
                return;
            }
            let was_finishing = state.finish.is_some();
            state = self.woken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            if was_finishing {
                return;
            }
        }
    }

    /// True when the time for handing over what is left has passed.
    pub(super) fn is_too_late(&self) -> bool {
        self.lock().finish.is_some_and(|end| clock::instant() >= end)
    }

    /// How long a peer may take at the end to show that it has read everything.
    pub(super) fn farewell(&self) -> Duration {
        let end = self.lock().finish.and_then(|end| end.checked_add(FAREWELL));
        let left = end.map_or(FAREWELL, |end| end.saturating_duration_since(clock::instant()));
        left.min(LONGEST_FAREWELL)
    }

    /// Asks for the destination to be opened anew.
    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.woken.notify_all();
    }

    /// Asks for an end: what is left is handed over until then.
    pub(super) fn finish(&self, until: Instant) {
        self.lock().finish = Some(until);
        self.woken.notify_all();
    }

    /// Waits for the thread to end, at most until then.
    pub(super) fn await_end(&self, until: Instant) {
        let mut state = self.lock();
        while !state.over {
            let left = until.saturating_duration_since(clock::instant());
            if left.is_zero() {
                break;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing is taken any more: what waits is lost, and whatever is offered from now on.
    pub(super) fn close(&self, tally: Tally) {
        let mut state = self.lock();
        state.settle(tally);
        state.over = true;
        let waiting = count(state.records()).saturating_add(state.in_hand);
        state.lost = state.lost.saturating_add(waiting);
        state.in_hand = 0;
        state.lanes = Default::default();
        drop(state);
        self.ended.notify_all();
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// What is wrong with the destination now.
    pub(super) fn set_error(&self, error: Option<String>) {
        self.lock().error = error;
    }

    /// Records that were lost because they came faster than they were taken.
    pub(super) fn crowded_out(&self) -> u64 {
        self.lock().crowded_out
    }

    pub(super) fn reconnected(&self) {
        let mut state = self.lock();
        state.reconnects = state.reconnects.saturating_add(1);
    }

    /// The counters: `offered = written + lost + queued`, at any time.
    pub(super) fn record(&self) -> SinkRecord {
        let state = self.lock();
        SinkRecord {
            name: self.name.clone(),
            offered: state.offered,
            written: state.written,
            in_doubt: state.in_doubt,
            lost: state.lost,
            queued: count(state.records()).saturating_add(state.in_hand),
            reconnects: state.reconnects,
            error: state.error.clone(),
        }
    }
}

/// How often something is tried again when the end is near.
const END_STEP: Duration = Duration::from_millis(200);
/// How long a peer is waited for after the time for handing over.
const FAREWELL: Duration = Duration::from_millis(150);
/// How long it is waited for where there is more time.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Arc<[u8]> {
        Arc::from(text.as_bytes())
    }

    fn drain(queue: &Queue) -> Vec<String> {
        let mut batch = Batch::default();
        let mut seen = Vec::new();
        while queue.next(&mut batch, Duration::ZERO) == Work::Records {
            while let Some(first) = batch.first() {
                seen.push(String::from_utf8(first.to_vec()).unwrap());
                batch.taken();
            }
        }
        seen
    }

    fn adds_up(queue: &Queue) {
        let SinkRecord { offered, written, lost, queued, .. } = queue.record();
        assert_eq!(offered, written + lost + queued);
    }

    #[test]
    fn records_come_in_their_order_whatever_their_worth() {
        let queue = Queue::new("x".to_owned(), 1 << 20);
        for (worth, text) in
            [(Worth::Passing, "1"), (Worth::Lasting, "2"), (Worth::Begun, "3"), (Worth::Passing, "4")]
        {
            queue.push(worth, record(text));
        }
        assert_eq!(drain(&queue), ["1", "2", "3", "4"]);
        adds_up(&queue);
        assert_eq!(queue.record().written, 4);
    }

    #[test]
    fn what_is_worth_least_gives_way_the_oldest_first() {
        // Room for three records of one byte.
        let queue = Queue::new("x".to_owned(), 3 * (OVERHEAD + 1));
        for (worth, text) in [
            (Worth::Lasting, "a"),
            (Worth::Passing, "b"),
            (Worth::Passing, "c"),
            (Worth::Passing, "d"),
            (Worth::Begun, "e"),
            (Worth::Lasting, "f"),
        ] {
            queue.push(worth, record(text));
            adds_up(&queue);
        }
        // b, then c, then d gave way; a flow finds nothing that is worth less than itself.
        queue.push(Worth::Passing, record("g"));
        assert_eq!(queue.record().lost, 4);
        assert_eq!(drain(&queue), ["a", "e", "f"]);
        for text in ["h", "i", "j", "k"] {
            queue.push(Worth::Lasting, record(text));
        }
        assert_eq!(drain(&queue), ["i", "j", "k"]);
        adds_up(&queue);
    }

    #[test]
    fn a_record_that_is_larger_than_the_queue_is_lost_alone() {
        let queue = Queue::new("x".to_owned(), 200);
        queue.push(Worth::Passing, record("kept"));
        queue.push(Worth::Lasting, Arc::from(vec![b'x'; 300]));
        assert_eq!((queue.record().lost, drain(&queue)), (1, vec!["kept".to_owned()]));
    }

    #[test]
    fn what_is_worth_less_does_not_go_for_a_record_that_finds_no_room_all_the_same() {
        // Room for three records of ten bytes.
        let queue = Queue::new("x".to_owned(), 3 * (OVERHEAD + 10));
        let ten = |letter: &str| record(&letter.repeat(10));
        queue.push(Worth::Lasting, ten("a"));
        queue.push(Worth::Lasting, ten("b"));
        queue.push(Worth::Passing, ten("c"));
        queue.push(Worth::Begun, record(&"d".repeat(11)));
        adds_up(&queue);
        assert_eq!(queue.record().lost, 1);
        queue.push(Worth::Begun, ten("e"));
        assert_eq!((queue.record().lost, queue.crowded_out()), (2, 2));
        assert_eq!(drain(&queue), ["a", "b", "e"].map(|letter| letter.repeat(10)));
    }

    #[test]
    fn no_more_records_wait_than_the_cap_says() {
        let queue = Queue::new("x".to_owned(), u64::MAX);
        for _ in 0..MAX_RECORDS + 10 {
            queue.push(Worth::Passing, record("r"));
        }
        let counted = queue.record();
        assert_eq!((counted.lost, counted.queued), (10, count(MAX_RECORDS)));
    }

    #[test]
    fn the_end_counts_what_was_left() {
        let queue = Queue::new("x".to_owned(), 1 << 20);
        for text in ["1", "2", "3"] {
            queue.push(Worth::Lasting, record(text));
        }
        let mut batch = Batch::default();
        assert_eq!(queue.next(&mut batch, Duration::ZERO), Work::Records);
        batch.taken();
        queue.close(std::mem::take(&mut batch.tally));
        queue.push(Worth::Lasting, record("4"));
        let counted = queue.record();
        assert_eq!((counted.offered, counted.written, counted.lost, counted.queued), (4, 1, 3, 0));
    }
}
