//! The one place where the stages meet: packets are decoded and dealt to partitions of the flow table, ended flows
//! are judged together, put into sessions, and their keys considered.
//!
//! Packets are dealt by a fixed symmetric hash of the innermost five-tuple to a fixed number of partitions, each with
//! its own table, caps and packet time. Threads share out partitions, never flows, so that the same input gives the
//! same output with any number of threads.

mod batch;
mod calls;
mod config;
mod engine;
mod live;
mod partition;
mod resume;
mod selection;
mod shared;
mod workers;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::capture::{self, CaptureError, Filter, ReadAhead, compile_bpf};
use crate::classify::{self, Names, Rules};
use crate::decode::{self, Deal, Decoded, Decoder, Outcome, Parcel};
pub use crate::decode::{Counts, Share};
use crate::flow::{EndReason, FiveTuple, Key, Packet, TableStats};
use crate::keys;
pub use crate::keys::Analysis;
use crate::observe::pattern::PatternSet;
use crate::observe::{PacketRef, Summary};
use crate::parallel::Threads;
pub use crate::proto::tls::keylog::{Counts as KeyLogCounts, KeyLog};
use crate::session::{self, Judged, Meeting, Meetings, Session};
use crate::time::Timestamp;

use engine::Engine;

pub use calls::Calls;
pub use config::Config;
pub use live::{Alive, Held, Living, endpoint_of, is_of_a_call, parts};
pub use resume::{Counted, Unwritten};
pub use selection::{Chosen, Selection};
use shared::Numbers;
pub use shared::{Carried, Dealt, Handover, Numbering};

/// Longest packet that a filter expression is compiled for, in bytes.
const FILTER_SNAPLEN: u32 = 262_144;

/// Packets in, ended flows out.
#[derive(Debug)]
pub struct Pipeline {
    decoder: Decoder,
    engine: Engine,
    filter: Option<String>,
    filters: BTreeMap<u16, Filter>,
    counts: Counts,
    numbers: Numbers,
    key_log: KeyLog,
    /// What the tables had done when the run went on, and what had been done before.
    table_from: [TableStats; 2],
}

/// What is left when the packets are over.
#[derive(Debug)]
pub struct Flows {
    /// Ended flows, in the order in which they began.
    pub flows: Vec<Summary>,
    /// What became of the packets.
    pub counts: Counts,
    /// What the decoder met.
    pub decode: decode::Counters,
    /// What the flow tables did.
    pub table: TableStats,
    /// All secrets that were known in the end, with how many flows used those of each key log.
    pub key_log: KeyLog,
}

impl Pipeline {
    /// A pipeline without packets.
    pub fn new(config: &Config, rules: &Rules) -> Self {
        let patterns = Arc::new(PatternSet::new(rules.wire_patterns()));
        let mut decoder = Decoder::new(config.decode);
        decoder.share(config.share);
        Self {
            decoder,
            engine: Engine::new(config, patterns),
            filter: config.filter.clone(),
            filters: BTreeMap::new(),
            counts: Counts::default(),
            numbers: Numbers::new(&config.numbering),
            key_log: KeyLog::with_room_for(config.max_key_sessions),
            table_from: [TableStats::default(); 2],
        }
    }

    /// What threads do that have no packets to work on: they read further ones.
    pub fn while_idle(&mut self, ahead: &ReadAhead) {
        self.engine.while_idle(ahead);
    }

    /// Takes a key log: number `source` of the run, from 0. The packets from now on may be opened with its secrets, those
    /// before may not.
    pub fn add_key_log(&mut self, source: usize, text: &[u8]) -> KeyLogCounts {
        let counts = self.key_log.add(source, text);
        if !self.key_log.is_empty() {
            self.engine.know(&Arc::new(self.key_log.clone()));
        }
        counts
    }

    /// Tells that key logs grow while packets come: what is sealed waits a while for its secrets.
    pub fn expect_secrets(&mut self) {
        self.key_log.expect_more();
        self.engine.know(&Arc::new(self.key_log.clone()));
    }

    /// Takes one packet: frame `frame` (from 1) of file `file` (from 0).
    ///
    /// # Errors
    /// When the filter does not compile for the packet's link type.
    pub fn packet(
        &mut self,
        file: u32,
        frame: u64,
        packet: &capture::Packet<'_>,
    ) -> Result<(), CaptureError> {
        let counts = &mut self.counts;
        counts.seen = counts.seen.wrapping_add(1);
        let captured = u64::try_from(packet.data.len()).unwrap_or(u64::MAX);
        counts.bytes_captured = counts.bytes_captured.wrapping_add(captured);
        counts.latest = counts.latest.max(Some(packet.timestamp));
        let number = self.numbers.take();
        if let Some(expression) = &self.filter
            && !passes(&mut self.filters, expression, packet)?
        {
            self.counts.filtered = self.counts.filtered.wrapping_add(1);
            return Ok(());
        }
        self.counts.analysed = self.counts.analysed.wrapping_add(1);
        let reference = PacketRef::new(file, frame).by_interface(packet.interface);
        let outcome =
            self.decoder.decode(packet.link_type.0, packet.timestamp, packet.data, packet.original_len);
        if let Outcome::Packet(decoded) = outcome {
            pass(&mut self.engine, number, reference, packet, &decoded);
        }
        Ok(())
    }

    /// Takes one packet as it comes from an interface, whose filter has passed it; its number is its frame number too. One that
    /// belongs to another pipeline comes back, to be handed over.
    #[inline]
    pub fn watched(&mut self, packet: &capture::Packet<'_>) -> Option<Handover> {
        let captured = u64::try_from(packet.data.len()).unwrap_or(u64::MAX);
        self.counts.bytes_captured = self.counts.bytes_captured.wrapping_add(captured);
        let number = self.numbers.take();
        self.look_at(packet, number, None)
    }

    /// Finds out whose a packet from an interface is, before it is put in order with others; then it is to be
    /// [carried](Self::carried) where it belongs.
    pub fn deal(&mut self, packet: &capture::Packet<'_>) -> Dealt {
        let captured = u64::try_from(packet.data.len()).unwrap_or(u64::MAX);
        self.counts.bytes_captured = self.counts.bytes_captured.wrapping_add(captured);
        let number = self.numbers.take();
        match self.decoder.deal(packet.link_type.0, packet.timestamp, packet.data, packet.original_len) {
            Deal::Own => Dealt::Here(Carried { number, parcel: None }),
            Deal::Elsewhere(owner) => {
                Dealt::Elsewhere(Handover { owner, carried: Carried { number, parcel: None } })
            }
            Deal::Taken => {
                self.counts.seen = self.counts.seen.wrapping_add(1);
                self.counts.analysed = self.counts.analysed.wrapping_add(1);
                Dealt::Taken
            }
            Deal::Datagram(owner, parcel) => {
                let carried = Carried { number, parcel: Some(Box::new(parcel)) };
                if self.decoder.is_own(owner) {
                    Dealt::Here(carried)
                } else {
                    Dealt::Elsewhere(Handover { owner, carried })
                }
            }
        }
    }

    /// Takes a packet that was [dealt](Self::deal), here or by another pipeline.
    pub fn carried(&mut self, packet: &capture::Packet<'_>, carried: Carried) -> Option<Handover> {
        self.look_at(packet, carried.number, carried.parcel)
    }

    /// Numbers the packets from now on behind those that other pipelines have taken until now.
    pub fn renumber(&mut self) {
        self.numbers.renew();
    }

    /// Takes all packets from now on: there is nobody any more to hand them over to.
    pub fn stay_alone(&mut self) {
        self.decoder.share(None);
    }

    #[inline]
    fn look_at(
        &mut self,
        packet: &capture::Packet<'_>,
        number: u64,
        parcel: Option<Box<Parcel>>,
    ) -> Option<Handover> {
        let time = packet.timestamp;
        self.counts.latest = self.counts.latest.max(Some(time));
        let outcome = match parcel {
            None => self.decoder.decode(packet.link_type.0, time, packet.data, packet.original_len),
            Some(parcel) => self.decoder.resume(*parcel, time),
        };
        if let Outcome::Packet(decoded) = &outcome {
            let reference = PacketRef::new(0, number).by_interface(packet.interface);
            pass(&mut self.engine, number, reference, packet, decoded);
        } else if let Outcome::Elsewhere(owner) = outcome {
            let parcel = self.decoder.take_parcel().map(Box::new);
            return Some(Handover { owner, carried: Carried { number, parcel } });
        }
        self.counts.seen = self.counts.seen.wrapping_add(1);
        self.counts.analysed = self.counts.analysed.wrapping_add(1);
        None
    }

    /// What became of the packets so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The clock that stamps packets was set: moves the times of all flows that are alive by so many nanoseconds, so that none ends or
    /// stays for that. Only for a single thread.
    pub fn shift(&mut self, nanos: i64) {
        self.engine.for_each_partition(|partition| partition.shift(nanos));
    }

    /// Holds at most so many flows from now on; the least valuable end where there are more. Only for a single thread.
    pub fn limit_flows(&mut self, max_flows: usize) {
        self.engine.for_each_partition(|partition| partition.limit(max_flows));
    }

    /// What the decoder met so far.
    pub const fn decode_counters(&self) -> &decode::Counters {
        self.decoder.counters()
    }

    /// What the flow tables did so far, and the flows that they hold. Only for a single thread.
    pub fn table_stats(&self) -> (TableStats, usize) {
        let (table, alive) = self.engine.table_stats();
        (self.whole(table), alive)
    }

    fn whole(&self, table: TableStats) -> TableStats {
        let [before, earlier] = self.table_from;
        table.since(before, earlier)
    }

    /// Flows that have ended and were not taken. Only for a single thread.
    pub fn ended(&self) -> usize {
        self.engine.ended()
    }

    /// Takes the flows that have ended by packet time `now`; flows that are alive stay. Only for a single thread.
    pub fn take_ended(&mut self, now: Timestamp) -> Vec<Summary> {
        self.engine.take_ended(now)
    }

    /// Looks at all flows that are alive: answers for the endpoints in `alive`, and gives the flows of calls in `calls` as they
    /// stand. Only for a single thread.
    pub fn look(&self, alive: &mut Alive, calls: &mut Calls) {
        calls.turn();
        self.engine.for_each_alive(|flow| {
            if !alive.is_empty() {
                alive.add(&flow.tuple());
            }
            calls.take(flow);
        });
        if calls.has_news() {
            self.engine.for_each_alive(|flow| calls.accompany(flow));
        }
    }

    /// Looks for flows that are alive, for the endpoints in `alive`. Only for a single thread.
    pub fn look_who_is_alive(&self, alive: &mut Alive) {
        if !alive.is_empty() {
            self.engine.for_each_alive(|flow| alive.add(&flow.tuple()));
        }
    }

    /// The flows that are alive, or those of them that will have gone idle `by` a time: those of an endpoint together, in the order in which they
    /// began. Only for a single thread.
    pub fn living(&self, by: Option<Timestamp>) -> Vec<Living> {
        let mut living = Vec::new();
        self.engine.for_each_alive(|flow| {
            if by.is_none_or(|by| by.since(flow.last) > flow.idle_timeout()) {
                living.push(Living::of(flow));
            }
        });
        living.sort_unstable_by_key(Living::place);
        living
    }

    /// Ends some of them, because they are idle or as the end of the captures does, and gives them with all that have ended. Only for a single
    /// thread.
    pub fn end(&mut self, flows: &[Living], are_idle: bool) -> Vec<Summary> {
        self.engine.end(flows, if are_idle { EndReason::Idle } else { EndReason::EndOfCapture })
    }

    /// Ends all flows.
    pub fn finish(self) -> Flows {
        let [before, earlier] = self.table_from;
        let (mut flows, table) = self.engine.finish();
        let table = table.since(before, earlier);
        // Those that were alive are in order already, of each thread that ended some.
        flows.sort_by_key(|(id, _)| *id);
        let flows = flows.into_iter().map(|(_, flow)| flow).collect();
        let decode = self.decoder.counters().clone();
        Flows { flows, counts: self.counts, decode, table, key_log: self.key_log }
    }
}

#[inline]
fn pass(
    engine: &mut Engine,
    number: u64,
    reference: PacketRef,
    packet: &capture::Packet<'_>,
    decoded: &Decoded<'_>,
) {
    let protocol = decoded.transport.protocol();
    let tuple = FiveTuple { source: decoded.source, destination: decoded.destination, protocol };
    let (wire_len, payload_len) = (decoded.wire_len, decoded.transport.declared_len());
    let (key, source_is_low) = Key::of(&tuple);
    let timestamp = packet.timestamp;
    let counted = Packet { key, source_is_low, timestamp, number, wire_len, payload_len };
    engine.packet(&counted, reference, decoded, packet.block);
}

fn passes(
    filters: &mut BTreeMap<u16, Filter>,
    expression: &str,
    packet: &capture::Packet<'_>,
) -> Result<bool, CaptureError> {
    let filter = match filters.entry(packet.link_type.0) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(free) => free.insert(compile_bpf(expression, packet.link_type, FILTER_SNAPLEN)?),
    };
    Ok(filter.matches(packet.data, packet.original_len))
}

/// What a run remembers from one [`analyse`] to the next: flows come to it in parts while a capture goes on.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// Names of addresses.
    pub names: Names,
    /// Sessions that others may turn out to share a meeting with.
    pub meetings: Meetings,
}

/// Judges flows, given in the order in which they began, and puts them into sessions and meetings; the answer is the same for any
/// number of threads.
pub fn analyse(rules: &Rules, memory: &mut Memory, flows: Vec<Summary>, threads: Threads) -> Analysis {
    let Memory { names, meetings } = memory;
    learn(names, &flows, threads);
    analyse_with(rules, names, flows, threads, |flows, sessions| meetings.join(flows, sessions))
}

/// Judges flows and says which are together in a session, and no more: for those who ask for flows alone. There are no
/// [sessions](Analysis::sessions), only their [members](Analysis::members).
pub fn analyse_flows(rules: &Rules, memory: &mut Memory, flows: Vec<Summary>, threads: Threads) -> Analysis {
    let names = &mut memory.names;
    learn(names, &flows, threads);
    let flows = judged(rules, names, flows, threads);
    let members = session::members(&flows, threads);
    Analysis::of_flows(flows, members)
}

/// The same for flows that go on, of which nothing is remembered: they will come again when they have ended.
pub fn analyse_interim(rules: &Rules, memory: &Memory, flows: Vec<Summary>) -> Analysis {
    analyse_with(rules, &memory.names, flows, Threads::ONE, |flows, sessions| {
        memory.meetings.peek(flows, sessions)
    })
}

fn analyse_with(
    rules: &Rules,
    names: &Names,
    flows: Vec<Summary>,
    threads: Threads,
    join: impl FnOnce(&[Judged], &[Session]) -> Vec<Meeting>,
) -> Analysis {
    let flows = judged(rules, names, flows, threads);
    let sessions = session::assemble(rules, names, &flows, threads);
    let known = keys::Known::of(&sessions);
    let (meetings, keys) = threads.map_beside(
        || join(&flows, &sessions),
        &sessions,
        |session| keys::keys(rules, &known, &flows, session),
    );
    let mut sessions: Vec<_> = sessions.into_iter().zip(keys).collect();
    keys::witness::witnesses(&flows, &meetings, &mut sessions);
    Analysis::new(flows, sessions, meetings)
}

/// Takes over the names in the DNS answers of flows.
fn learn(names: &mut Names, flows: &[Summary], threads: Threads) {
    let answers = |flow: &Summary| flow.facts.as_deref().is_some_and(|facts| facts.dns.is_some());
    let look = |begin, piece: &[Summary]| -> Vec<usize> {
        let each = Summary::each_ahead(begin, piece, Some);
        each.filter(|(_, flow)| answers(flow)).map(|(index, _)| index).collect()
    };
    threads.in_order(flows, look, |piece| {
        for flow in piece.into_iter().filter_map(|index| flows.get(index)) {
            names.learn(flow);
        }
    });
}

fn judged(rules: &Rules, names: &Names, flows: Vec<Summary>, threads: Threads) -> Vec<Judged> {
    let mut flows = classify::judge(rules, names, flows, threads);
    session::tell_apart(&mut flows, threads);
    flows
}
