//! From workers to the one who judges. A worker never waits: what does not fit stays with it, joined into one batch. Of ended flows only so
//! many are on their way, over all workers, until the judge has done with them; what ends beyond that is lost and counted.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::Batch;
use crate::observe::Summary;

/// Batches on their way; a worker sends one a second, and more where many flows end.
const QUEUE: usize = 8;
/// Parts in which a worker hands over as many flows as may be on their way from it.
const PORTIONS: usize = 4;

/// A queue from so many workers, with room for `most` ended flows, and its two ends.
pub fn queue(workers: usize, most: usize) -> (Outbox, Inbox) {
    let (sender, receiver) = sync_channel(QUEUE);
    let room = Arc::new(Room { most, taken: AtomicUsize::new(0) });
    let portion = most.checked_div(workers.saturating_mul(PORTIONS)).unwrap_or(most).max(1);
    let inbox = Inbox { receiver, room: Arc::clone(&room), judged: Cell::new(0) };
    (Outbox { sender, room, portion, waiting: None, flows_lost: 0 }, inbox)
}

/// For how many ended flows there is room.
#[derive(Debug)]
struct Room {
    most: usize,
    taken: AtomicUsize,
}

impl Room {
    /// Takes room for flows; those for which there is none are taken off, the newest first. How many.
    fn take(&self, flows: &mut Vec<Summary>) -> usize {
        let more = |taken: usize| taken.saturating_add(flows.len()).min(self.most.max(taken));
        let add = |taken| Some(more(taken));
        let before = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).unwrap_or_default();
        let admitted = more(before).saturating_sub(before);
        let lost = flows.len().saturating_sub(admitted);
        if lost > 0 {
            // They come one partition after the other.
            flows.sort_unstable_by_key(|flow| flow.id);
        }
        flows.truncate(admitted);
        lost
    }

    /// Takes room that is not there: at the end nothing grows any more, so that nothing is lost for want of it.
    fn take_all(&self, flows: usize) {
        self.taken.fetch_add(flows, Ordering::Relaxed);
    }

    fn give_back(&self, flows: usize) {
        self.taken.fetch_sub(flows, Ordering::Relaxed);
    }
}

/// The end of a worker.
#[derive(Debug)]
pub struct Outbox {
    sender: SyncSender<Batch>,
    room: Arc<Room>,
    portion: usize,
    waiting: Option<Batch>,
    /// Over all batches.
    flows_lost: u64,
}

impl Clone for Outbox {
    /// For another worker.
    fn clone(&self) -> Self {
        let (sender, room) = (self.sender.clone(), Arc::clone(&self.room));
        Self { sender, room, portion: self.portion, waiting: None, flows_lost: 0 }
    }
}

impl Outbox {
    /// So many ended flows are worth a batch before its second is over.
    pub(super) const fn portion(&self) -> usize {
        self.portion
    }

    /// Hands a batch over, or keeps it until the next time.
    pub fn offer(&mut self, mut batch: Batch) {
        let lost = self.room.take(&mut batch.ended);
        self.flows_lost = self.flows_lost.saturating_add(u64::try_from(lost).unwrap_or(u64::MAX));
        let batch = self.joined(batch);
        if let Err(TrySendError::Full(batch)) = self.sender.try_send(batch) {
            self.waiting = Some(batch);
        }
    }

    /// Hands the last batch over, however long that takes: there are no packets any more that could be missed.
    pub fn finish(mut self, batch: Batch) {
        self.room.take_all(batch.ended.len());
        let batch = self.joined(batch);
        // A judge that is gone has nobody to tell.
        let _ = self.sender.send(batch);
    }

    fn joined(&mut self, batch: Batch) -> Batch {
        let batch = Batch { flows_lost: self.flows_lost, ..batch };
        match self.waiting.take() {
            Some(waiting) => waiting.joined(batch),
            None => batch,
        }
    }
}

/// The end of the judge.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<Batch>,
    room: Arc<Room>,
    /// Flows of the last batch: whoever asks for the next has done with them.
    judged: Cell<usize>,
}

impl Inbox {
    /// The next batch; none when none came for so long.
    ///
    /// # Errors
    /// When all workers are gone.
    pub fn next(&self, timeout: Duration) -> Result<Option<Batch>, Gone> {
        self.room.give_back(self.judged.take());
        match self.receiver.recv_timeout(timeout) {
            Ok(batch) => {
                self.judged.set(batch.ended.len());
                Ok(Some(batch))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Gone),
        }
    }
}

/// All workers have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all workers have ended")]
#[non_exhaustive]
pub struct Gone;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FiveTuple;
    use crate::observe::Outline;

    fn batch(worker: usize, flows: usize) -> Batch {
        let socket = "10.0.0.1:5000".parse().unwrap();
        let tuple = FiveTuple { source: socket, destination: socket, protocol: 17 };
        let flow = Summary::from(Outline::plain(1, tuple));
        Batch { worker, ended: vec![flow; flows], ..Batch::default() }
    }

    fn next(inbox: &Inbox) -> (usize, u64) {
        let batch = inbox.next(Duration::ZERO).unwrap().unwrap();
        (batch.ended.len(), batch.flows_lost)
    }

    #[test]
    fn no_more_flows_are_on_their_way_than_there_is_room_for() {
        let (mut one, inbox) = queue(2, 100);
        let mut two = one.clone();
        assert_eq!(one.portion(), 12);
        one.offer(batch(0, 60));
        two.offer(batch(1, 60));
        assert_eq!(next(&inbox), (60, 0));
        one.offer(batch(0, 1));
        assert_eq!(next(&inbox), (40, 20), "room is for both together");
        one.offer(batch(0, 70));
        assert_eq!(next(&inbox), (0, 1), "the first batch was being judged");
        assert_eq!(next(&inbox), (60, 11), "the second is");
        two.finish(batch(1, 200));
        assert_eq!(next(&inbox), (200, 20), "at the end nothing is lost");
        assert_eq!(inbox.next(Duration::ZERO).unwrap().map(|batch| batch.ended.len()), None);
        one.offer(batch(0, 200));
        assert_eq!(next(&inbox), (100, 111));
    }

    #[test]
    fn without_room_for_all_those_that_began_last_are_lost() {
        let (mut outbox, inbox) = queue(1, 3);
        let mut batch = batch(0, 5);
        for (flow, id) in batch.ended.iter_mut().zip([2, 9, 4, 1, 7]) {
            flow.id = id;
        }
        outbox.offer(batch);
        let kept = inbox.next(Duration::ZERO).unwrap().unwrap().ended;
        assert_eq!(kept.iter().map(|flow| flow.id).collect::<Vec<_>>(), [1, 2, 4]);
    }

    #[test]
    fn what_does_not_fit_into_the_queue_waits_and_takes_room() {
        let (mut one, inbox) = queue(1, 100);
        for _ in 0..QUEUE + 30 {
            one.offer(batch(0, 3));
        }
        for _ in 0..QUEUE {
            assert_eq!(next(&inbox), (3, 0));
        }
        one.offer(batch(0, 0));
        let lost = (QUEUE + 30) * 3 - 100;
        assert_eq!(next(&inbox), (100 - 3 * QUEUE, u64::try_from(lost).unwrap()));
    }
}
