//! Packets that workers hand to each other. The kernel deals by outermost addresses; what is in a tunnel may be another worker's.
//!
//! Between two workers is a bounded queue. While a worker goes on, what does not fit is lost and counted, for the lane that it came
//! from; when all end, they wait for each other. What comes from others is put in the order of time with what a worker reads itself,
//! as are the packets of several interfaces ([`Hold`]); as long as neither is the case, nothing is held and nothing is copied.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

use crate::capture::Packet;
use crate::capture::live::{Chunk, Hold};
use crate::pipeline::{Carried, Handover, Pipeline};
use crate::time::Timestamp;

/// Chunks of about 256 KiB on their way to one worker: with them, 16 MiB.
const QUEUE: usize = 64;
/// How long packets are held after one came from another worker, and from the beginning on: of a conversation in tunnels, what comes
/// another way must not come late.
const AFTERMATH: Duration = Duration::from_secs(120);
/// Pause between two tries to hand the last packets over.
const PAUSE: Duration = Duration::from_millis(1);

/// What a packet carries: what another worker found out about it; none when it was read here. And its lane.
type Tag = (Option<Carried>, usize);
type Parcels = Chunk<Tag>;

/// One worker's end of the exchange.
#[derive(Debug)]
pub struct Exchange {
    own: usize,
    /// To each worker; none to itself, and after the end.
    to: Vec<Option<SyncSender<(usize, Parcels)>>>,
    filling: Vec<Parcels>,
    from: Receiver<(usize, Parcels)>,
    hold: Hold<Tag>,
    lanes: usize,
    /// When the last packet came from another; with others, the beginning counts as one.
    received: Option<Duration>,
    /// Packets lost, by lane.
    lost: Vec<u64>,
}

impl Exchange {
    /// The ends of so many workers, each of which reads so many lanes.
    pub fn among(workers: usize, lanes: usize) -> Vec<Self> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers.max(1)).map(|_| sync_channel(QUEUE)).unzip();
        let ends = receivers.into_iter().enumerate().map(|(own, from)| Self {
            own,
            to: senders.iter().enumerate().map(|(to, sender)| (to != own).then(|| sender.clone())).collect(),
            filling: senders.iter().map(|_| Chunk::default()).collect(),
            from,
            hold: Hold::new(lanes.saturating_add(senders.len()).saturating_sub(1)),
            lanes,
            received: (senders.len() > 1).then_some(Duration::ZERO),
            lost: vec![0; lanes],
        });
        ends.collect()
    }

    /// Whether packets are held for their order. What is held when this becomes false is let go first.
    pub(super) fn is_holding(&self, now: Duration) -> bool {
        let is_visited = self.received.is_some_and(|at| now.saturating_sub(at) < AFTERMATH);
        self.lanes > 1 || is_visited || !self.hold.is_empty()
    }

    /// Takes in what others have handed over.
    pub(super) fn receive(&mut self, now: Duration) {
        while let Ok((worker, parcels)) = self.from.try_recv() {
            self.store(worker, parcels, now);
        }
    }

    fn store(&mut self, worker: usize, parcels: Parcels, now: Duration) {
        self.received = Some(now);
        let place = if worker > self.own { worker.saturating_sub(1) } else { worker };
        self.hold.push_chunk(self.lanes.saturating_add(place), now, parcels);
    }

    /// Holds a packet that was read here.
    pub(super) fn keep(&mut self, lane: usize, now: Duration, packet: &Packet<'_>) {
        self.hold.push(lane, now, packet, (None, lane));
    }

    /// Puts a packet aside for the worker that it belongs to.
    pub(super) fn hand_over(&mut self, lane: usize, packet: &Packet<'_>, handover: Handover) {
        let owner = usize::try_from(handover.owner).unwrap_or(usize::MAX);
        let Some(filling) = self.filling.get_mut(owner) else { return };
        filling.push(packet, (Some(handover.carried), lane));
        if filling.is_full() {
            self.send(owner);
        }
    }

    /// Gives what may go to the pipeline; with `all`, all. Time of the last packet that went.
    pub(super) fn release(&mut self, now: Duration, all: bool, pipeline: &mut Pipeline) -> Option<Timestamp> {
        let Self { hold, filling, .. } = self;
        let mut is_full = false;
        let mut latest = None;
        let take = |packet: &Packet<'_>, (carried, lane): Tag| {
            latest = Some(packet.timestamp);
            let handover = match carried {
                Some(carried) => pipeline.carried(packet, carried),
                None => pipeline.watched(packet),
            };
            if let Some(handover) = handover
                && let Some(filling) = usize::try_from(handover.owner).ok().and_then(|to| filling.get_mut(to))
            {
                filling.push(packet, (Some(handover.carried), lane));
                is_full |= filling.is_full();
            }
        };
        if all {
            hold.release_all(take);
        } else {
            hold.release(now, take);
        }
        if is_full {
            self.send_all();
        }
        latest
    }

    /// Hands over what was put aside. What does not fit is lost.
    pub(super) fn send_all(&mut self) {
        for owner in 0..self.filling.len() {
            self.send(owner);
        }
    }

    fn send(&mut self, owner: usize) {
        let Some(filling) = self.filling.get_mut(owner).filter(|filling| !filling.is_empty()) else { return };
        let parcels = std::mem::replace(filling, self.hold.spare());
        let Some(Some(sender)) = self.to.get(owner) else { return self.lose(&parcels) };
        if let Err(TrySendError::Full((_, parcels)) | TrySendError::Disconnected((_, parcels))) =
            sender.try_send((self.own, parcels))
        {
            self.lose(&parcels);
        }
    }

    fn lose(&mut self, parcels: &Parcels) {
        for (_, lane) in parcels.tags() {
            if let Some(lost) = self.lost.get_mut(*lane) {
                *lost = lost.saturating_add(1);
            }
        }
    }

    /// Packets of each lane that were lost on their way to another worker.
    pub(super) fn lost(&self) -> &[u64] {
        &self.lost
    }

    /// The end of all packets that are read here: hands the last over, and takes those of the others until they have done the
    /// same. `now` tells the time.
    pub(super) fn finish(&mut self, pipeline: &mut Pipeline, now: impl Fn() -> Duration) {
        self.release(now(), true, pipeline);
        for owner in 0..self.filling.len() {
            self.send_last(owner, &now);
        }
        self.to.clear();
        // What another worker hands over now stays here, even where a look into a second tunnel makes it a third one's.
        pipeline.stay_alone();
        loop {
            match self.from.try_recv() {
                Ok((worker, parcels)) => self.store(worker, parcels, now()),
                Err(TryRecvError::Empty) => std::thread::sleep(PAUSE),
                Err(TryRecvError::Disconnected) => break,
            }
            self.release(now(), false, pipeline);
        }
        self.release(now(), true, pipeline);
    }

    /// Waits for room, and makes room for the others meanwhile.
    fn send_last(&mut self, owner: usize, now: &impl Fn() -> Duration) {
        let Some(filling) = self.filling.get_mut(owner).filter(|filling| !filling.is_empty()) else { return };
        let mut parcels = std::mem::take(filling);
        loop {
            let Some(Some(sender)) = self.to.get(owner) else { return self.lose(&parcels) };
            match sender.try_send((self.own, parcels)) {
                Ok(()) => return,
                Err(TrySendError::Disconnected((_, rest))) => return self.lose(&rest),
                Err(TrySendError::Full((_, rest))) => parcels = rest,
            }
            self.receive(now());
            std::thread::sleep(PAUSE);
        }
    }
}
