//! One share of the flow table: its own caps, its own packet time.

use crate::decode::{Path, Transport};
use crate::flow::{EndReason, Ended, Flow, Key, Limits, Packet, Table, TableStats, Wait, Waiting};
use crate::observe::facts::Sampling;
use crate::observe::pattern::PatternSet;
use crate::observe::{
    PacketRef, Seen, State, Summary, approach, approach_further, give_up, observe, summarise, waiting,
};
use crate::proto::tls::keylog::KeyLog;
use crate::time::Timestamp;
use std::sync::Arc;

use super::Config;
use super::resume::Unwritten;

/// Partitions of a run. Fixed, so that caps and timeouts do not depend on the number of threads.
pub(super) const PARTITIONS: usize = 16;

/// Flows that have ended, and what waits in those that have not.
#[derive(Debug)]
struct Over {
    flows: Vec<Summary>,
    waiting: Waiting,
}

impl Over {
    fn push(&mut self, done: Ended<State>) {
        self.waiting.change(&done.flow.key, waiting(&done.flow), None);
        self.flows.push(summarise(done.flow, done.reason));
    }
}

#[derive(Debug)]
pub(super) struct Partition {
    table: Table<State>,
    ended: Over,
    sampling: Sampling,
    /// Once secrets are at hand, unless there is more to be kept anyway.
    with_secrets: Sampling,
    /// While packets are read again: the flows that are looked for among them.
    wanted: Option<Arc<Unwritten>>,
}

impl Partition {
    pub(super) fn new(config: &Config) -> Self {
        let share = config.max_flows.saturating_div(PARTITIONS).max(1);
        let limits = Limits { max_flows: share, ..Limits::default() };
        let ended = Over { flows: Vec::new(), waiting: Waiting::new(config.max_waiting / PARTITIONS) };
        let (sampling, with_secrets) = (config.sampling, config.sampling_with_secrets);
        Self { table: Table::new(limits), ended, sampling, with_secrets, wanted: None }
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
        if let Some(wanted) = &self.wanted
            && !wanted.has(packet.number)
            && !self.table.holds(&packet.key)
        {
            self.table.pass_over(packet.timestamp, &mut |done| ended.push(done));
            return;
        }
        let begin = || {
            State::begin(reference, path.filter(|path| !path.is_empty()).map(|path| path.to_string().into()))
        };
        let mut end = |done| ended.push(done);
        if let Some((flow, direction)) = self.table.packet(packet, begin, &mut end) {
            // Secrets may come with the capture itself, in the middle of it.
            let sampling =
                if key_log.is_some() && !self.sampling.keyed { self.with_secrets } else { self.sampling };
            let Packet { timestamp, number, .. } = *packet;
            let seen = Seen { transport, timestamp, number, packet: reference, key_log, sampling };
            let (timeout, before) = (flow.idle_timeout(), waiting(flow));
            observe(flow, direction, patterns, &seen);
            let (has_ended, after) = (flow.idle_timeout() < timeout, waiting(flow));
            let reason = self.wanted.as_ref().and_then(|wanted| wanted.end_of(flow.id, flow.packets));
            if has_ended {
                // What it holds is not needed until the longer time is over.
                self.table.hasten(&packet.key);
            }
            if before != after {
                self.waits(&packet.key, before, after);
            }
            if let Some(reason) = reason {
                let ended = &mut self.ended;
                self.table.end_of(&packet.key, reason, &mut |done| ended.push(done));
            }
        }
    }

    /// Something more or less waits in a flow: where it is too much in all, those that have waited longest give up.
    #[cold]
    fn waits(&mut self, key: &Key, before: Option<Wait>, after: Option<Wait>) {
        let all = &mut self.ended.waiting;
        all.change(key, before, after);
        while let Some(flow) = all.excess().and_then(|oldest| self.table.get_mut(&oldest)) {
            let before = waiting(flow);
            let given_up = give_up(flow);
            all.change(&flow.key, before, waiting(flow));
            self.table.gave_up(given_up);
        }
    }

    /// Takes only packets of these flows from now on.
    pub(super) fn look_for(&mut self, wanted: &Arc<Unwritten>) {
        self.wanted = Some(Arc::clone(wanted));
    }

    /// Takes all packets again. What was not looked for is dropped; the flows that had ended are handed out.
    pub(super) fn found(&mut self) -> Vec<Summary> {
        let Some(wanted) = self.wanted.take() else { return Vec::new() };
        let mut others: Vec<Key> = Vec::new();
        self.table.for_each(|flow| {
            if !wanted.is_alive(flow.id) {
                others.push(flow.key);
            }
        });
        let ended = &mut self.ended;
        for key in others {
            self.table.end_of(&key, EndReason::Idle, &mut |done| ended.push(done));
        }
        let mut found = std::mem::take(&mut ended.flows);
        found.retain(|flow| wanted.has(flow.id));
        found
    }

    /// Ends a flow; it stays to be taken.
    pub(super) fn end(&mut self, key: &Key, reason: EndReason) {
        let ended = &mut self.ended;
        self.table.end_of(key, reason, &mut |done| ended.push(done));
    }

    /// The flows that have ended.
    pub(super) fn take(&mut self) -> Vec<Summary> {
        std::mem::take(&mut self.ended.flows)
    }

    /// Ends what is idle at `now`; it stays to be taken.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let ended = &mut self.ended;
        self.table.expire(now, &mut |done| ended.push(done));
    }

    /// A partition without packets has no time of its own, so it is told.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<Summary> {
        self.expire(now);
        self.take()
    }

    /// Flows that have ended and were not taken.
    pub(super) const fn ended(&self) -> usize {
        self.ended.flows.len()
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
        let share = max_flows.saturating_div(PARTITIONS).max(1);
        self.table.limit(share, &mut |done| ended.push(done));
    }

    /// What the table did, and the flows that it holds.
    pub(super) fn table_stats(&self) -> (TableStats, usize) {
        (self.table.stats(), self.table.len())
    }
}

/// Ended flows, each behind its number in the run, and what the tables did.
pub(super) type Finished = (Vec<(u64, Summary)>, TableStats);

/// Ends all flows of some partitions. Those that are alive end in the order in which they began, whatever partition they are of, so
/// that what is left of them lies in memory as all that comes after goes over it.
pub(super) fn finish(partitions: Vec<Partition>) -> Finished {
    let mut stats = TableStats::default();
    let mut flows = Vec::new();
    let mut leaving = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let Partition { table, ended, .. } = partition;
        stats.add(table.stats());
        flows.extend(ended.flows.into_iter().map(|flow| (flow.id, flow)));
        leaving.push(table.finish());
    }
    while let Some(next) =
        leaving.iter_mut().filter(|left| left.next_id().is_some()).min_by_key(|left| left.next_id())
    {
        flows.extend(next.next().map(|done| (done.flow.id, summarise(done.flow, done.reason))));
        if let Some(coming) = next.coming(1) {
            approach(coming);
        }
        if let Some(coming) = next.coming(0) {
            approach_further(coming);
        }
    }
    (flows, stats)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::decode::TcpFlags;
    use crate::flow::{FiveTuple, WAITING_BYTES};

    /// Bytes that may wait in one partition.
    const MOST: usize = WAITING_BYTES / PARTITIONS;

    /// Connections to one server, whose packets come from the test.
    struct Line {
        partition: Partition,
        patterns: PatternSet,
        number: u64,
    }

    impl Line {
        fn new() -> Self {
            Self {
                partition: Partition::new(&Config::default()),
                patterns: PatternSet::new(Vec::new()),
                number: 0,
            }
        }

        fn segment(&mut self, port: u16, sequence: u32, payload: &[u8]) {
            let flags = TcpFlags::ACK;
            let transport = Transport::Tcp {
                sequence,
                acknowledgment: 1,
                flags,
                window: 65_535,
                payload,
                declared_len: payload.len(),
            };
            self.send((port, 443, 6), payload.len(), transport);
        }

        /// From a client's port to one of the server's.
        fn send(&mut self, (from, to, protocol): (u16, u16, u8), length: usize, transport: Transport<'_>) {
            self.number += 1;
            let source = SocketAddr::from(([10, 0, 0, 1], from));
            let destination = SocketAddr::from(([198, 51, 100, 7], to));
            let (key, source_is_low) = Key::of(&FiveTuple { source, destination, protocol });
            let payload_len = u32::try_from(length).unwrap();
            let timestamp = Timestamp::from_secs_nanos(1, i64::try_from(self.number).unwrap());
            let (number, wire_len) = (self.number, 54 + payload_len);
            let packet = Packet { key, source_is_low, timestamp, number, wire_len, payload_len };
            let reference = PacketRef::new(0, self.number);
            self.partition.packet(&self.patterns, &packet, reference, transport, None, None);
        }

        fn datagram(&mut self, port: u16, payload: &[u8]) {
            let transport = Transport::Udp { payload, declared_len: payload.len() };
            self.send((port, 8801, 17), payload.len(), transport);
        }

        /// A ClientHello that says it has 16 KiB more: its first bytes, then eleven segments behind a hole of 1000 bytes.
        fn with_a_hole(&mut self, port: u16) {
            self.segment(port, 1, b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03");
            for at in 0..11 {
                self.segment(port, 1012 + 1400 * at, &[0; 1400]);
            }
        }
    }

    /// A fragment of a picture in Zoom's framing, whose head was recorded (`proto::zoom`'s tests), behind an FU header with these flags.
    fn fragment(line: &mut Line, port: u16, sequence: u16, timestamp: u32, flags: u8) {
        const HEAD: &str = "05000200fe513204100100fb9016180c0300006965926e0000000000023316058062";
        let mut payload = crate::crypto::hex(HEAD);
        payload.extend(sequence.to_be_bytes());
        payload.extend(timestamp.to_be_bytes());
        payload.extend([1, 0, 8, 1, 0x7c, flags]);
        payload.extend([0x55; 1000]);
        line.datagram(port, &payload);
    }

    /// Units of the pictures of each flow, and pictures that were dropped, by the client's port.
    fn pictures(flows: &[(u64, Summary)]) -> Vec<(u16, u64, u64)> {
        let streams = flows.iter().filter_map(|(_, flow)| {
            let stream = flow.facts.as_deref()?.media.as_deref()?.streams.first()?;
            let cipher = stream.cipher.as_deref()?;
            Some((flow.tuple.source.port(), cipher.units, cipher.units_dropped))
        });
        streams.collect()
    }

    #[test]
    fn media_is_kept_for_keys_only_where_it_is_asked_for() {
        let kept = |sampling| {
            let mut line = Line::new();
            line.partition = Partition::new(&Config { sampling, ..Config::default() });
            for sequence in 0..20_u8 {
                line.datagram(
                    1024,
                    &[&[0x80, 96, 0, sequence, 0, 0, 0, sequence, 0, 0, 0, 1], &[7; 100][..]].concat(),
                );
            }
            let (flows, _) = finish(vec![line.partition]);
            let media = flows[0].1.facts.as_deref().unwrap().media.as_deref().unwrap();
            assert_eq!(media.streams[0].stats.packets(), 20);
            media.streams[0].samples.as_ref().map(|samples| samples.packets.len())
        };
        assert_eq!((kept(Sampling::FEW), kept(Sampling::NONE)), (Some(4), None));
    }

    #[test]
    fn pictures_that_are_never_complete_give_way_and_those_that_are_do_not() {
        let mut line = Line::new();
        // Of each client 24 fragments of a picture, which 32 KiB are held for: some 128 of them are too much.
        for (count, port) in (0..).zip(1024..1424_u16) {
            for part in 0..24_u16 {
                fragment(&mut line, port, part, 90, if part == 0 { 0x80 } else { 0 });
                assert!(line.partition.ended.waiting.bytes() <= MOST);
            }
            // Between them, of another one, a picture of three.
            for (part, flags) in (0_u16..).zip([0x80, 0, 0x40]) {
                fragment(&mut line, 2000, u16::try_from(count).unwrap() * 3 + part, count * 90, flags);
            }
        }
        let (flows, stats) = finish(vec![line.partition]);
        let given_up = 400 - MOST / (32 << 10);
        assert!(stats.pictures_given_up.abs_diff(u64::try_from(given_up).unwrap()) < 20, "{stats:?}");
        let mut all = pictures(&flows);
        all.sort_unstable();
        assert_eq!(all.pop(), Some((2000, 400, 0)));
        assert!(all.iter().map(|(port, ..)| *port).eq(1024..1424));
        let kept = all.iter().position(|(_, _, dropped)| *dropped == 0).unwrap();
        let (early, late) = all.split_at(kept);
        assert_eq!(u64::try_from(early.len()).unwrap(), stats.pictures_given_up);
        assert!(early.iter().all(|(_, units, dropped)| (*units, *dropped) == (0, 1)));
        assert!(late.iter().all(|(_, units, dropped)| (*units, *dropped) == (0, 0)));
    }

    /// Client's port and the packet of the gap, of the flows that gave up.
    fn gave_up(flows: &[(u64, Summary)]) -> Vec<(u16, u64)> {
        let gap = |flow: &Summary| {
            let anomalies = &flow.facts.as_deref()?.anomalies;
            let gap = anomalies.iter().find(|anomaly| anomaly.name == "tcp_gap_in_handshake")?;
            Some((flow.tuple.source.port(), gap.packet.frame()))
        };
        flows.iter().filter_map(|(_, flow)| gap(flow)).collect()
    }

    #[test]
    fn connections_that_wait_longest_give_up_and_the_others_go_on() {
        let mut line = Line::new();
        for port in 1024..1624 {
            line.with_a_hole(port);
            assert!(line.partition.ended.waiting.bytes() <= MOST);
        }
        // Of the others nothing was lost: the segments of each are more than 15,400 and less than 17,000 bytes.
        let left = usize::try_from(600 - line.partition.table_stats().0.holes_given_up).unwrap();
        assert!((MOST / 17_000..=MOST / 15_400).contains(&left), "{left} wait");
        let (flows, stats) = finish(vec![line.partition]);
        let given = gave_up(&flows);
        assert_eq!(stats.holes_given_up, u64::try_from(given.len()).unwrap());
        // The packet named is the first that lay behind the hole: the second of the twelve of each.
        assert!(given.iter().copied().eq((1024..).zip((2..).step_by(12)).take(600 - left)));
    }

    #[test]
    fn a_hole_that_is_filled_takes_no_room_any_more() {
        let mut line = Line::new();
        for port in 1024..2024 {
            line.with_a_hole(port);
            line.segment(port, 12, &[0; 1000]);
        }
        assert_eq!(line.partition.ended.waiting.bytes(), 0);
        assert_eq!(line.partition.table_stats().0.holes_given_up, 0);
    }

    #[test]
    fn what_waits_in_flows_that_end_is_no_longer_counted() {
        let mut line = Line::new();
        for port in 1024..1124 {
            line.with_a_hole(port);
        }
        assert!(line.partition.ended.waiting.bytes() > 100 * 15_400);
        line.partition.limit(16 * 40);
        let waiting = line.partition.ended.waiting.bytes();
        assert!((40 * 15_400..40 * 17_000).contains(&waiting), "{waiting} bytes of 40 flows");
        line.partition.take_ended(Timestamp::from_secs_nanos(2_000, 0));
        assert_eq!(line.partition.ended.waiting.bytes(), 0);
    }
}
