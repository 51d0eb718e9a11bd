//! From workers to the one who judges. A worker never waits: what does not fit stays with it, joined into one batch, within a cap.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::Batch;

/// Batches on their way; a worker sends one a second.
const QUEUE: usize = 8;
/// Ended flows that wait with a worker while the judge has no time; what ends beyond it is lost and counted.
const WAITING: usize = 1 << 17;

/// A queue, and its two ends.
pub fn queue() -> (Outbox, Inbox) {
    let (sender, receiver) = sync_channel(QUEUE);
    (Outbox { sender, waiting: None, flows_lost: 0 }, Inbox { receiver })
}

/// The end of a worker.
#[derive(Debug)]
pub struct Outbox {
    sender: SyncSender<Batch>,
    waiting: Option<Batch>,
    /// Over all batches.
    flows_lost: u64,
}

impl Clone for Outbox {
    /// For another worker.
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waiting: None, flows_lost: 0 }
    }
}

impl Outbox {
    /// Hands a batch over, or keeps it until the next time.
    pub fn offer(&mut self, batch: Batch) {
        let batch = self.joined(batch);
        if let Err(TrySendError::Full(batch)) = self.sender.try_send(batch) {
            self.waiting = Some(batch);
        }
    }

    /// Hands the last batch over, however long that takes: there are no packets any more that could be missed.
    pub fn finish(mut self, batch: Batch) {
        let batch = self.joined(batch);
        // A judge that is gone has nobody to tell.
        let _ = self.sender.send(batch);
    }

    fn joined(&mut self, batch: Batch) -> Batch {
        // At the end nothing grows any more, so that nothing is lost for want of room.
        let most = if batch.last.is_some() { usize::MAX } else { WAITING };
        let mut batch = match self.waiting.take() {
            Some(mut waiting) => {
                waiting.flows_lost = 0;
                waiting.join(batch, most);
                waiting
            }
            None => batch,
        };
        self.flows_lost = self.flows_lost.saturating_add(batch.flows_lost);
        batch.flows_lost = self.flows_lost;
        batch
    }
}

/// The end of the judge.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<Batch>,
}

impl Inbox {
    /// The next batch; none when none came for so long.
    ///
    /// # Errors
    /// When all workers are gone.
    pub fn next(&self, timeout: Duration) -> Result<Option<Batch>, Gone> {
        match self.receiver.recv_timeout(timeout) {
            Ok(batch) => Ok(Some(batch)),
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
