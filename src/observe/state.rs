//! What the observing stage keeps of one live flow.

mod ending;

use super::PacketRef;
use super::datagram::{Datagrams, Meta};
use super::facts::{Facts, MarkHit, Pace, Sampling, Wrapping};
use super::names::are_ports_of_names;
use super::pace;
use super::pattern::{Context, PACKETS_TESTED, PatternSet};
use super::stream::{Segment, StreamWork};
use crate::decode::{TcpFlags, Transport};
use crate::flow::{Direction, Early, Flow, GivenUp, Wait};
use crate::proto::tls::keylog::KeyLog;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

pub use ending::{approach, approach_further, snapshot, summarise};

/// Idle time of a flow that has had its say: a DNS answer, both FINs, a RST.
const SHORT_IDLE: Duration = Duration::from_secs(10);
/// Idle time of a TCP connection.
const TCP_IDLE: Duration = Duration::from_secs(900);
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What is being read of a flow.
#[derive(Debug)]
enum Work {
    /// No payload yet.
    Fresh,
    Datagrams(Box<Datagrams>),
    Stream(Box<StreamWork>),
    /// Only counted.
    Done,
}

/// State of one live flow. What each packet asks comes first (see [`Flow`]).
#[derive(Debug)]
#[repr(C)]
pub struct State {
    work: Work,
    facts: Option<Box<Facts>>,
    /// Kept of flows that go on while nothing in them is understood.
    pace: Option<Box<Pace>>,
    first_packet: PacketRef,
    path: Option<Box<str>>,
    /// Of TCP.
    seen: Flags,
}

/// What a connection's headers showed.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// FIN, each way.
    fins: [bool; 2],
    reset: bool,
    syn: bool,
    /// The originator was mistaken at first.
    turned: bool,
}

/// One packet of a flow, as the observing stage takes it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// TCP, UDP or other, with its payload.
    pub transport: Transport<'a>,
    /// Packet time.
    pub timestamp: Timestamp,
    /// Its number in the run.
    pub number: u64,
    /// Where it stands in the input.
    pub packet: PacketRef,
    /// The secrets that are known by now, where there are any.
    pub key_log: Option<&'a Arc<KeyLog>>,
    /// How much of media is kept.
    pub sampling: Sampling,
}

impl State {
    /// State of a flow that this packet begins; `path` is its outer headers written out.
    pub fn begin(packet: PacketRef, path: Option<Box<str>>) -> Self {
        Self {
            work: Work::Fresh,
            facts: None,
            pace: None,
            first_packet: packet,
            path,
            seen: Flags::default(),
        }
    }

    /// Notes sizes and times of a flow that goes on after its first payloads and shows no RTP.
    #[inline]
    fn pace(&mut self, early: Early, direction: Direction, length: usize, time: Timestamp) {
        if early.payloads.iter().all(|count| *count < PACKETS_TESTED)
            || matches!(&self.work, Work::Datagrams(work) if work.has_media())
        {
            return;
        }
        pace::note(self.pace.get_or_insert_with(Box::default), direction, length, time);
    }
}

/// Reads one packet into its flow.
#[inline]
pub fn observe(flow: &mut Flow<State>, direction: Direction, patterns: &PatternSet, seen: &Seen<'_>) {
    match seen.transport {
        Transport::Udp { payload, .. } => datagram(flow, direction, patterns, seen, payload),
        Transport::Tcp { .. } => segment(flow, direction, patterns, seen),
        Transport::Other { .. } => {}
    }
}

fn datagram(
    flow: &mut Flow<State>,
    direction: Direction,
    patterns: &PatternSet,
    seen: &Seen<'_>,
    payload: &[u8],
) {
    if payload.is_empty() {
        return;
    }
    let ports = flow.ports();
    // A flow whose first packet comes from a service's port was begun by the other side.
    if matches!(flow.state.work, Work::Fresh) {
        let from_service =
            ports.first().is_some_and(|port| *port < 1024) && ports.get(1).is_some_and(|port| *port >= 1024);
        if from_service {
            flow.swap_originator();
            return datagram_of(flow, direction.flipped(), patterns, seen, payload, [ports[1], ports[0]]);
        }
    }
    datagram_of(flow, direction, patterns, seen, payload, ports);
}

fn datagram_of(
    flow: &mut Flow<State>,
    direction: Direction,
    patterns: &PatternSet,
    seen: &Seen<'_>,
    payload: &[u8],
    ports: [u16; 2],
) {
    marks(flow, direction, patterns, seen.packet, payload, ports);
    let state = &mut flow.state;
    let length = wire_length(&seen.transport);
    state.pace(flow.early, direction, length, seen.timestamp);
    if matches!(state.work, Work::Fresh) {
        state.work = Work::Datagrams(Box::new(Datagrams::new()));
    }
    let Work::Datagrams(work) = &mut state.work else { return };
    let facts = state.facts.get_or_insert_with(Box::default);
    if let Some(key_log) = seen.key_log {
        work.know(key_log);
    }
    let meta = Meta {
        direction,
        ports,
        packet: seen.packet,
        number: seen.number,
        timestamp: seen.timestamp,
        wrapping: Wrapping::None,
        cut: u16::try_from(length.saturating_sub(payload.len())).unwrap_or(u16::MAX),
        sampling: seen.sampling,
    };
    work.payload(facts, &meta, payload);
    if work.is_bored() && !work.is_call() {
        let Work::Datagrams(work) = std::mem::replace(&mut state.work, Work::Done) else { return };
        work.finish(facts);
        flow.class = flow.class.max(COUNTED);
    } else if flow.class < CALL && work.is_call() {
        flow.class = CALL;
    } else if flow.class < NAMED && facts.tls.is_some() {
        flow.class = NAMED;
    } else if are_ports_of_names(ports) && flow.state.facts.as_ref().is_some_and(|facts| facts.dns.is_some())
    {
        // The ports first: of each packet of media, what was read of the flow would be waited for.
        flow.set_idle_timeout(SHORT_IDLE);
    }
}

/// Bytes of a payload on the wire: a snap length may have cut it.
#[inline]
const fn wire_length(transport: &Transport<'_>) -> usize {
    match *transport {
        Transport::Udp { declared_len, .. } | Transport::Tcp { declared_len, .. } => declared_len,
        Transport::Other { payload, .. } => payload.len(),
    }
}

fn marks(
    flow: &mut Flow<State>,
    direction: Direction,
    patterns: &PatternSet,
    packet: PacketRef,
    payload: &[u8],
    ports: [u16; 2],
) {
    let protocol = flow.key.protocol();
    let Some(count) = flow.early.payloads.get_mut(direction.index()) else { return };
    if *count >= PACKETS_TESTED {
        return;
    }
    let is_first = *count == 0;
    *count = count.saturating_add(1);
    let (Some(held), Some(first)) = (flow.early.first_bytes.get_mut(direction.index()), payload.first())
    else {
        return;
    };
    let previous = Some(std::mem::replace(held, *first)).filter(|_| !is_first);
    let facts = &mut flow.state.facts;
    patterns.search(&Context { protocol, ports, direction, previous }, payload, |rule| {
        let marks = &mut facts.get_or_insert_with(Box::default).marks;
        match marks.iter_mut().find(|mark| mark.rule == rule) {
            Some(mark) => mark.hits = mark.hits.saturating_add(1),
            None => marks.push(MarkHit { rule, hits: 1, packet }),
        }
    });
}

fn segment(flow: &mut Flow<State>, direction: Direction, patterns: &PatternSet, seen: &Seen<'_>) {
    let Transport::Tcp { sequence, acknowledgment, flags, payload, declared_len, .. } = seen.transport else {
        return;
    };
    let mut direction = direction;
    let (syn, ack) = (flags.contains(TcpFlags::SYN), flags.contains(TcpFlags::ACK));
    if !flow.state.seen.turned && flow.early.payloads == [0, 0] && is_turned(flow, direction, syn, ack) {
        flow.swap_originator();
        flow.state.seen.turned = true;
        direction = direction.flipped();
    }
    if flow.early.payloads == [0, 0] && flow.packets.iter().sum::<u64>() <= 1 {
        flow.set_idle_timeout(TCP_IDLE);
    }
    flow.state.seen.syn |= syn;
    flow.state.seen.reset |= flags.contains(TcpFlags::RST);
    let fin = flags.contains(TcpFlags::FIN);
    if fin && let Some(seen) = flow.state.seen.fins.get_mut(direction.index()) {
        *seen = true;
    }
    if flow.state.seen.reset || flow.state.seen.fins == [true, true] {
        flow.set_idle_timeout(SHORT_IDLE);
    }
    let ports = flow.ports();
    if !payload.is_empty() {
        marks(flow, direction, patterns, seen.packet, payload, ports);
        flow.state.pace(flow.early, direction, declared_len, seen.timestamp);
    }
    let state = &mut flow.state;
    if matches!(state.work, Work::Fresh) {
        if payload.is_empty() && !syn {
            return;
        }
        state.work = Work::Stream(Box::new(StreamWork::new()));
    }
    let Work::Stream(work) = &mut state.work else { return };
    let facts = state.facts.get_or_insert_with(Box::default);
    let segment = Segment {
        sequence,
        acknowledgment: ack.then_some(acknowledgment),
        syn,
        payload,
        declared_len,
        ports,
        direction,
        number: seen.number,
        packet: seen.packet,
        timestamp: seen.timestamp,
        key_log: seen.key_log,
        sampling: seen.sampling,
    };
    let goes_on = work.segment(facts, &segment);
    if flow.class < CALL && work.is_call() {
        flow.class = CALL;
    } else if flow.class < NAMED && (facts.tls.is_some() || facts.sip.is_some()) {
        flow.class = NAMED;
    }
    if !goes_on {
        leave(flow);
    }
}

/// Nothing more is to be learned of a connection.
fn leave(flow: &mut Flow<State>) {
    let state = &mut flow.state;
    let Work::Stream(work) = std::mem::replace(&mut state.work, Work::Done) else { return };
    work.finish(state.facts.get_or_insert_with(Box::default));
    flow.class = flow.class.max(COUNTED);
}

/// What waits behind holes of a TCP connection, in pictures of Zoom's that are not complete, and in bodies that a key log opened; `None`
/// where nothing does.
#[inline]
pub fn waiting(flow: &Flow<State>) -> Option<Wait> {
    match &flow.state.work {
        Work::Stream(work) => work.waiting(),
        Work::Datagrams(work) => work.waiting(),
        Work::Fresh | Work::Done => None,
    }
}

/// Gives up what has waited longest in a flow, because too much does in all of them together. What comes behind a hole is not read any more;
/// a picture is dropped, and the next one read; of a body, what came before stands.
pub fn give_up(flow: &mut Flow<State>) -> GivenUp {
    match &mut flow.state.work {
        Work::Stream(work) => {
            let facts = flow.state.facts.get_or_insert_with(Box::default);
            let (given_up, goes_on) = work.give_up(facts);
            if !goes_on {
                leave(flow);
            }
            given_up
        }
        Work::Datagrams(work) => GivenUp { holes: 0, pictures: work.give_up() },
        Work::Fresh | Work::Done => GivenUp::default(),
    }
}

/// The first packet of a connection shows who opened it: not the sender of a SYN-ACK, and, where the SYN was
/// not captured, not the sender from a service's port.
fn is_turned(flow: &Flow<State>, direction: Direction, syn: bool, ack: bool) -> bool {
    if flow.state.seen.syn {
        return false;
    }
    let from_originator = direction == Direction::Forward;
    match (syn, ack) {
        (true, true) => from_originator,
        (true, false) => !from_originator,
        _ => {
            let [source, destination] = flow.ports();
            source < 1024 && destination >= 1024
        }
    }
}

/// Class of flows in which nothing more is read.
const COUNTED: u8 = 1;

/// Class of connections whose handshake or signalling was read: of one that is let go and begun anew by its next packet it is not seen again.
const NAMED: u8 = 100;

/// Class of flows that make a call: they go last when a table is full, and are told of while they go on.
pub const CALL: u8 = 200;

/// True when something was read in the flow that a later stage can make use of.
pub fn has_facts(flow: &Flow<State>) -> bool {
    flow.state.facts.is_some()
}

/// Bytes of a flow in its table, without what hangs from it.
pub const SLOT_BYTES: usize = size_of::<Option<Flow<State>>>();

/// Three lines of a cache, of which a packet of media or of any datagram that is known touches the first two.
const _: () = assert!(SLOT_BYTES == 192);
const _: () = assert!(std::mem::offset_of!(Flow<State>, state) + std::mem::offset_of!(State, pace) <= 128);

/// Packets from which on a datagram flow goes on.
const GOES_ON: u64 = 8;

/// How a datagram flow that goes both ways may be of a call although nothing of a call was read in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// It is not.
    None,
    /// If it goes to a provider: nothing was recognised.
    ByAddress,
    /// A provider's pattern was met.
    ByPattern,
}

/// Whether a flow could be of a call by what a later stage knows.
pub fn doubt(flow: &Flow<State>) -> Doubt {
    let [forward, reverse] = flow.packets;
    if flow.key.protocol() != UDP || forward == 0 || reverse == 0 || forward.saturating_add(reverse) < GOES_ON
    {
        return Doubt::None;
    }
    match flow.state.facts.as_deref() {
        Some(facts) if facts.dns.is_some() || facts.quic.is_some() => Doubt::None,
        Some(facts) if !facts.marks.is_empty() => Doubt::ByPattern,
        _ => Doubt::ByAddress,
    }
}
