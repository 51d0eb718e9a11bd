//! What is kept of a session to find out which others share its meeting: small enough to keep for an hour.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::marks::{Mark, is_sent, lasting, streams};
use super::{Judged, Session};
use crate::classify::Role;
use crate::observe::PacketRef;
use crate::observe::facts::{RtpStream, Sketch};
use crate::time::Timestamp;

/// Streams kept of a session; more is a server, not an endpoint.
const STREAMS: usize = 256;
/// Other marks kept of a session.
const MARKS: usize = 256;
/// Call-IDs on one SIP flow from which it is a trunk's, and its addresses may be anybody's.
const CALLS: usize = 8;
const UDP: u8 = 17;
/// Bytes that a session of the usual size takes while it is kept for its meeting.
pub const KEPT_BYTES: usize = 16 << 10;
/// Bytes of a stream of it, of a row of its lengths, and of a mark, with their places in the tables of all.
const OF_STREAM: usize = 512;
const OF_ROW: usize = 192;
const OF_MARK: usize = 410;
/// Packets from which a stream says something.
pub(super) const PACKETS: u32 = 10;

/// One session, reduced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trace {
    pub(super) id: u64,
    pub(super) provider: Option<u16>,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) endpoint: IpAddr,
    pub(super) streams: Vec<StreamTrace>,
    /// Marks that two endpoints of a meeting can share.
    pub(super) marks: Vec<(Shared, PacketRef)>,
}

/// A mark that two endpoints of a meeting can share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Shared {
    /// A flow that ran straight between them.
    Flow(u64),
    /// A mark of a flow of each.
    Mark(Mark),
    /// An address by which it can be reached: outside of its NAT, or on a relay.
    Own(SocketAddr),
    /// An address that it spoke to, itself or through a relay.
    Spoken(SocketAddr),
}

impl Shared {
    /// What another session shows where it shows that it has to do with this one.
    pub(super) fn counterpart(&self) -> Self {
        match self {
            Self::Own(address) => Self::Spoken(*address),
            Self::Spoken(address) => Self::Own(*address),
            Self::Flow(_) | Self::Mark(_) => self.clone(),
        }
    }
}

/// One stream, reduced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StreamTrace {
    pub(super) sent: bool,
    pub(super) zoom: bool,
    pub(super) ssrc: u32,
    pub(super) first_number: u16,
    pub(super) newest_number: u16,
    /// Numbers from the first to the newest.
    pub(super) span: u32,
    pub(super) first_stamp: u32,
    pub(super) newest_stamp: u32,
    /// Ticks a second.
    pub(super) clock: Option<f64>,
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    pub(super) packet: PacketRef,
    pub(super) sketch: Sketch,
}

impl Trace {
    /// Bytes that it takes, not less than a session of the usual size.
    pub(super) fn bytes(&self) -> usize {
        let rows =
            self.streams.iter().map(|stream| stream.sketch.rows().count()).fold(0, usize::saturating_add);
        let streams =
            self.streams.len().saturating_mul(OF_STREAM).saturating_add(rows.saturating_mul(OF_ROW));
        streams.saturating_add(self.marks.len().saturating_mul(OF_MARK)).max(KEPT_BYTES)
    }

    pub(super) fn of(flows: &[Judged], session: &Session) -> Self {
        let own = session.own();
        let mut trace = Self {
            id: session.id,
            provider: session.provider,
            start: session.call_start,
            end: session.end,
            endpoint: session.endpoint,
            streams: Vec::new(),
            marks: Vec::new(),
        };
        for judged in session.flows.iter().filter_map(|index| flows.get(*index)) {
            let sides = judged.seen_from(|ip| own.contains(&ip));
            let zoom = judged.flow.facts.as_deref().is_some_and(|facts| facts.zoom.is_some());
            for stream in streams(judged).filter(|stream| stream.stats.packets() >= PACKETS) {
                if trace.streams.len() < STREAMS {
                    trace.streams.push(StreamTrace::of(stream, is_sent(stream, sides), zoom));
                }
            }
            trace.mark(judged, &own);
        }
        trace
    }

    fn mark(&mut self, judged: &Judged, own: &BTreeSet<IpAddr>) {
        let sides = judged.seen_from(|ip| own.contains(&ip));
        let mut found: Vec<(Shared, PacketRef)> = Vec::new();
        if judged.role() == Role::P2p {
            found.push((Shared::Flow(judged.flow.id), judged.flow.first_packet));
            found.push((Shared::Spoken(sides.remote), judged.flow.first_packet));
        }
        let shared = lasting(judged, sides)
            .into_iter()
            .filter(|(mark, _)| matches!(mark, Mark::Ufrags(_) | Mark::ZoomPeers(_) | Mark::Call(_)));
        found.extend(shared.map(|(mark, packet)| (Shared::Mark(mark), packet)));
        if judged.role().is_call() && judged.flow.tuple.protocol == UDP {
            found.push((Shared::Own(sides.local), judged.flow.first_packet));
        }
        if let Some(sip) = judged.flow.facts.as_deref().and_then(|facts| facts.sip.as_deref())
            && sip.call_ids.len() <= CALLS
        {
            let others = sip.media.iter().filter(|held| !own.contains(&held.address.ip()));
            found.extend(others.map(|held| (Shared::Spoken(held.address), held.packet)));
        }
        if let Some(stun) = judged.flow.facts.as_deref().and_then(|facts| facts.stun.as_deref()) {
            // Between peers each is told its own address, and the flow itself is mark enough.
            let own = judged.role() != Role::P2p && sides.local_is_source;
            let mapped = stun.mapped.iter().filter(|_| own);
            let told = mapped.chain(&stun.relayed);
            found.extend(told.map(|(address, packet)| (Shared::Own(*address), *packet)));
            found.extend(stun.peers.iter().map(|(address, packet)| (Shared::Spoken(*address), *packet)));
        }
        for (mark, packet) in found {
            if self.marks.len() < MARKS && !self.marks.iter().any(|(held, _)| *held == mark) {
                self.marks.push((mark, packet));
            }
        }
    }
}

impl StreamTrace {
    /// Whether both are one stream of one flow, which two endpoints share.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.packet == other.packet && self.ssrc == other.ssrc
    }

    pub(super) fn of(stream: &RtpStream, sent: bool, zoom: bool) -> Self {
        let stats = &stream.stats;
        let newest_number = u16::try_from(stats.extended_highest() & 0xffff).unwrap_or(0);
        Self {
            sent,
            zoom,
            ssrc: stream.ssrc,
            first_number: stats.first_sequence(),
            newest_number,
            span: stats.expected(),
            first_stamp: stats.first_timestamp(),
            newest_stamp: stats.newest_timestamp(),
            clock: stats.clock_hz().filter(|clock| *clock > 0).map(f64::from),
            start: stream.start,
            last: stream.last,
            packet: stream.packet,
            sketch: stream.sketch.clone(),
        }
    }
}
