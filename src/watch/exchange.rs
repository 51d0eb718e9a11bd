//! Packets that workers hand to each other. The kernel deals by outermost addresses; what is in a tunnel may be another worker's.
//!
//! Between two workers is a bounded queue. While a worker goes on, what does not fit is lost and counted, for the lane that it came
//! from; when all end, they wait for each other. What comes from others is put in the order of time with what a worker reads itself,
//! as are the packets of several interfaces ([`Hold`]); as long as neither is the case, nothing is held and nothing is copied.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

use super::steps::Steps;
use crate::capture::Packet;
use crate::capture::live::{CHUNK, Chunk, Hold};
use crate::pipeline::{Carried, Dealt, Handover, Pipeline};
use crate::time::Timestamp;

/// Of the bytes that a worker may hold, this part may be on its way to it.
const QUEUE: usize = 5;
/// Chunks on their way to a worker, however little memory there is.
const LEAST_QUEUE: usize = 4;
/// How long packets are held after one came from another worker, and from the beginning on: of a conversation in tunnels, what comes
/// another way must not come late.
const AFTERMATH: Duration = Duration::from_secs(120);
/// Pause between two tries to hand the last packets over.
const PAUSE: Duration = Duration::from_millis(1);

/// What a packet carries: what was found out about it when it was dealt. And its lane.
type Tag = (Carried, usize);
type Parcels = Chunk<Tag>;

/// Packets on their way to another worker.
#[derive(Debug)]
struct Sent {
    by: usize,
    /// Offset of the clock that stamped them.
    offset: i64,
    parcels: Parcels,
}

/// One worker's end of the exchange.
#[derive(Debug)]
pub struct Exchange {
    own: usize,
    /// To each worker; none to itself, and after the end.
    to: Vec<Option<SyncSender<Sent>>>,
    filling: Vec<Parcels>,
    from: Receiver<Sent>,
    hold: Hold<Tag>,
    lanes: usize,
    /// When the last packet came from another; with others, the beginning counts as one.
    received: Option<Duration>,
    /// Packets lost, by lane.
    lost: Vec<u64>,
    steps: Steps,
}

impl Exchange {
    /// The ends of so many workers, each of which reads so many lanes and holds so many bytes of packets at most.
    pub fn among(workers: usize, lanes: usize, bytes: usize) -> Vec<Self> {
        let on_its_way = bytes.div_euclid(QUEUE);
        let queue = on_its_way.div_euclid(CHUNK).max(LEAST_QUEUE);
        let held = bytes.saturating_sub(on_its_way);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers.max(1)).map(|_| sync_channel(queue)).unzip();
        let steps = Steps::shared(senders.len());
        let ends = receivers.into_iter().zip(steps).enumerate().map(|(own, (from, steps))| Self {
            own,
            to: senders.iter().enumerate().map(|(to, sender)| (to != own).then(|| sender.clone())).collect(),
            filling: senders.iter().map(|_| Chunk::default()).collect(),
            from,
            hold: Hold::new(lanes.saturating_add(senders.len()).saturating_sub(1), held),
            lanes,
            received: (senders.len() > 1).then_some(Duration::ZERO),
            lost: vec![0; lanes],
            steps,
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
        while let Ok(sent) = self.from.try_recv() {
            self.store(sent, now);
        }
    }

    fn store(&mut self, Sent { by, offset, mut parcels }: Sent, now: Duration) {
        self.received = Some(now);
        if let Some(nanos) = self.steps.set_since(offset) {
            parcels.shift(nanos);
        }
        let place = if by > self.own { by.saturating_sub(1) } else { by };
        self.hold.push_chunk(self.lanes.saturating_add(place), now, parcels);
    }

    /// Deals a packet that was read here: holds it, or puts it aside for whom it belongs to. That is found out before it is held, so that
    /// it does not come later than what its owner reads itself.
    pub(super) fn keep(&mut self, lane: usize, now: Duration, packet: &Packet<'_>, pipeline: &mut Pipeline) {
        match pipeline.deal(packet) {
            Dealt::Here(carried) => self.hold.push(lane, now, packet, (carried, lane)),
            Dealt::Elsewhere(handover) => self.hand_over(lane, packet, handover),
            Dealt::Taken => {}
        }
    }

    /// Puts a packet aside for the worker that it belongs to.
    pub(super) fn hand_over(&mut self, lane: usize, packet: &Packet<'_>, handover: Handover) {
        let owner = usize::try_from(handover.owner).unwrap_or(usize::MAX);
        let Some(filling) = self.filling.get_mut(owner) else { return };
        filling.push(packet, (handover.carried, lane));
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
            if let Some(handover) = pipeline.carried(packet, carried)
                && let Some(filling) = usize::try_from(handover.owner).ok().and_then(|to| filling.get_mut(to))
            {
                filling.push(packet, (handover.carried, lane));
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
        let sent = Sent { by: self.own, offset: self.steps.offset(), parcels };
        if let Err(TrySendError::Full(sent) | TrySendError::Disconnected(sent)) = sender.try_send(sent) {
            self.lose(&sent.parcels);
        }
    }

    fn lose(&mut self, parcels: &Parcels) {
        for (_, lane) in parcels.tags() {
            if let Some(lost) = self.lost.get_mut(*lane) {
                *lost = lost.saturating_add(1);
            }
        }
    }

    /// What is known of the clock that stamps packets.
    pub(super) const fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The clock was set by so many nanoseconds: what is held and put aside was stamped before, and goes first.
    pub(super) fn set_clock(&mut self, nanos: i64, now: Duration, pipeline: &mut Pipeline) {
        self.release(now, true, pipeline);
        self.send_all();
        pipeline.shift(nanos);
        self.steps.note(nanos);
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
                Ok(sent) => self.store(sent, now()),
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
        let parcels = std::mem::take(filling);
        let mut sent = Sent { by: self.own, offset: self.steps.offset(), parcels };
        loop {
            let Some(Some(sender)) = self.to.get(owner) else { return self.lose(&sent.parcels) };
            match sender.try_send(sent) {
                Ok(()) => return,
                Err(TrySendError::Disconnected(rest)) => return self.lose(&rest.parcels),
                Err(TrySendError::Full(rest)) => sent = rest,
            }
            self.receive(now());
            std::thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;
    use crate::capture::live::owner;
    use crate::classify;
    use crate::pipeline::{Config, Numbering, Share};

    const RAW_IP: LinkType = LinkType(101);

    /// A datagram between two hosts inside a tunnel (RFC 2003) between two others; each tunnel has another one.
    fn tunnelled(host: u8, outer: u8) -> Vec<u8> {
        let ip = |source: [u8; 4], destination: [u8; 4], protocol: u8, body: &[u8]| {
            let total = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
            let head = [0x45, 0, total[0], total[1], 0, 9, 0, 0, 64, protocol, 0, 0];
            [&head[..], &source, &destination, body].concat()
        };
        let udp = [0x10, 0, 0x20, 0, 0, 12, 0, 0, 1, 2, 3, outer];
        ip([198, 18, 0, outer], [198, 18, 1, 1], 4, &ip([10, 0, 0, host], [10, 0, 1, 1], 17, &udp))
    }

    fn packet(nanos: i64, data: &[u8]) -> Packet<'_> {
        let original_len = u32::try_from(data.len()).unwrap();
        Packet {
            timestamp: Timestamp::from_nanos(nanos),
            link_type: RAW_IP,
            interface: 0,
            original_len,
            data,
            block: None,
        }
    }

    fn pair() -> [(Exchange, Pipeline); 2] {
        let numbering = Numbering::shared();
        let rules = classify::embedded().unwrap();
        let mut ends = Exchange::among(2, 1, 80 << 20).into_iter();
        [0, 1].map(|own| {
            let share = Some(Share { own, count: 2, owner });
            let config = Config { numbering: numbering.clone(), share, ..Config::default() };
            (ends.next().unwrap(), Pipeline::new(&config, &rules))
        })
    }

    /// Hosts whose packets are the second worker's.
    fn hosts_of_second() -> impl Iterator<Item = u8> {
        (1..=255).filter(|host| owner([10, 0, 0, *host].into(), [10, 0, 1, 1].into(), 2) == 1)
    }

    #[test]
    fn what_is_anothers_comes_to_it_in_the_order_of_time() {
        let [(mut first, mut one), (mut second, mut two)] = pair();
        let host = hosts_of_second().next().unwrap();
        for (time, outer) in [(10, 1), (30, 3)] {
            let frame = tunnelled(host, outer);
            let handover = one.watched(&packet(time, &frame)).unwrap();
            assert_eq!(handover.owner, 1);
            first.hand_over(0, &packet(time, &frame), handover);
        }
        first.send_all();
        let now = Duration::from_millis(5);
        second.receive(now);
        assert!(second.is_holding(now));
        second.keep(0, now, &packet(20, &tunnelled(host, 2)), &mut two);
        assert_eq!(
            second.release(now, false, &mut two),
            Some(Timestamp::from_nanos(20)),
            "30 waits for what may be earlier"
        );
        assert_eq!(two.counts().analysed, 2);
        assert_eq!(second.release(now, true, &mut two), Some(Timestamp::from_nanos(30)));
        assert_eq!((one.counts().seen, two.counts().seen), (0, 3));
        let flows = two.finish().flows;
        assert_eq!(flows.len(), 1);
        assert_eq!(flows.first().map(|flow| flow.packets), Some([3, 0]));
    }

    #[test]
    fn a_worker_that_takes_nothing_costs_packets_that_are_counted_and_no_time() {
        let [(mut first, mut one), (mut second, mut two)] = pair();
        let frame = tunnelled(hosts_of_second().next().unwrap(), 1);
        for time in 0..70 {
            let handover = one.watched(&packet(time, &frame)).unwrap();
            first.hand_over(0, &packet(time, &frame), handover);
            first.send_all();
        }
        assert_eq!(first.lost(), [6], "64 are on their way");
        second.receive(Duration::ZERO);
        second.release(Duration::ZERO, true, &mut two);
        assert_eq!(two.counts().analysed, 64);
    }

    #[test]
    fn at_the_end_all_wait_for_each_other_and_nothing_is_lost() {
        let hosts: Vec<u8> = hosts_of_second().collect();
        let threads = pair().into_iter().enumerate().map(|(own, (mut exchange, mut pipeline))| {
            let hosts = hosts.clone();
            std::thread::spawn(move || {
                for time in 0..20_000 {
                    // Half of the packets are the other's, more than the queue between the two has room for.
                    let host = if time % 2 == 0 { hosts[0] } else { 255 - hosts[0] };
                    let frame = tunnelled(host, u8::try_from(own).unwrap());
                    let packet = packet(time, &frame);
                    if let Some(handover) = pipeline.watched(&packet) {
                        exchange.filling[usize::try_from(handover.owner).unwrap()]
                            .push(&packet, (handover.carried, 0));
                    }
                }
                exchange.finish(&mut pipeline, || Duration::from_secs(1));
                (pipeline.counts().analysed, exchange.lost().iter().sum::<u64>())
            })
        });
        let threads: Vec<_> = threads.collect();
        let done: Vec<(u64, u64)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(done.iter().map(|(analysed, _)| analysed).sum::<u64>(), 40_000);
        assert_eq!(done.iter().map(|(_, lost)| lost).sum::<u64>(), 0);
    }
}
