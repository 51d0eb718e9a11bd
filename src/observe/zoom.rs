//! Zoom's own framing into facts: hellos, pings, binds, hole punching, and the media inside.

use super::datagram::Meta;
use super::facts::{Facts, MediaKind, Wrapping, Zoom, tally};
use super::handshake::text;
use super::media::MediaTable;
use crate::bytes::{Probe, hex};
use crate::flow::Direction;
use crate::proto::rtp;
use crate::proto::zoom::{self, Generation, Inner, Sfu};
use crate::time::Timestamp;

/// Ports that Zoom documents for its media servers (KB0060548).
const SFU_PORTS: std::ops::RangeInclusive<u16> = 8801..=8810;
/// Packets that must fit where no port and no hello supports the framing.
const UNSUPPORTED_RUN: u32 = 4;
/// Pings that wait for their answer.
const PINGS_CAP: usize = 8;

/// Reads Zoom's framing on one flow.
#[derive(Debug)]
pub(super) struct ZoomWork {
    generation: Option<Generation>,
    peer_to_peer: bool,
    supported: bool,
    facts: Zoom,
    pings: Vec<(u32, u32, Direction, Timestamp)>,
}

impl ZoomWork {
    /// The framing that a first packet could have.
    pub(super) fn recognise(meta: &Meta, payload: &[u8]) -> Option<Self> {
        if !matches!(meta.wrapping, Wrapping::None | Wrapping::Turn) {
            return None;
        }
        let on_port = meta.ports.iter().any(|port| SFU_PORTS.contains(port));
        let sfu = zoom::probe_sfu(payload);
        let (peer_to_peer, supported) = match (on_port, sfu, zoom::probe_p2p(payload)) {
            (true, Probe::Yes, _) => (false, true),
            (true, Probe::Maybe, _) | (false, Probe::Yes, _) => (false, false),
            (false, _, Probe::Yes) => (true, false),
            _ => return None,
        };
        let facts = Zoom { packet: meta.packet, peer_to_peer, ..Zoom::default() };
        Some(Self { generation: None, peer_to_peer, supported, facts, pings: Vec::new() })
    }

    fn is_believed(&self) -> bool {
        self.supported || self.facts.packets >= UNSUPPORTED_RUN || self.facts.hellos > 1
    }

    /// Counts a media packet on the short path. False when it must be read in full.
    #[inline]
    pub(super) fn media(&mut self, table: &mut MediaTable, meta: &Meta, payload: &[u8]) -> bool {
        if !table.is_accepted() {
            return false;
        }
        let offset = match (self.generation, self.peer_to_peer) {
            (_, true) => zoom::inner_media_offset(payload, Generation::V3),
            (Some(generation), false) => zoom::media_offset(payload, generation),
            (None, false) => None,
        };
        let Some(inner) = offset.and_then(|offset| payload.get(offset..)) else { return false };
        let counted = table.known(&Meta { wrapping: Wrapping::Zoom, ..*meta }, inner);
        if counted {
            self.facts.packets = self.facts.packets.saturating_add(1);
        }
        counted
    }

    /// Reads one datagram. False when it does not fit the framing.
    pub(super) fn datagram(
        &mut self,
        _: &mut Facts,
        table: &mut MediaTable,
        meta: &Meta,
        payload: &[u8],
    ) -> bool {
        if self.peer_to_peer {
            let Ok(inner) = zoom::parse_inner(payload) else { return false };
            return self.inner(table, meta, payload, &inner);
        }
        let Ok(sfu) = zoom::parse_sfu(payload, self.generation) else { return false };
        match sfu {
            Sfu::ClientHello { version, connection_id, .. } => {
                self.generation = Some(Generation::from_version(version));
                self.hello(&connection_id);
            }
            Sfu::ServerHello { connection_id, flow_id, .. } => {
                self.hello(&connection_id);
                self.facts.flow_id = Some(flow_id);
            }
            Sfu::Ping { counter, clock_ms, .. } => {
                if self.pings.len() >= PINGS_CAP {
                    self.pings.remove(0);
                }
                self.pings.push((counter, clock_ms, meta.direction, meta.timestamp));
            }
            Sfu::Pong { counter, clock_ms, .. } => self.pong(counter, clock_ms, meta),
            Sfu::Data { generation, inner, .. } => {
                if !self.inner(table, meta, payload, &inner) {
                    return false;
                }
                self.generation.get_or_insert(generation);
            }
            Sfu::Close => {}
            Sfu::Unknown(_) => return false,
        }
        self.facts.packets = self.facts.packets.saturating_add(1);
        true
    }

    fn hello(&mut self, connection_id: &[u8; 16]) {
        self.supported = true;
        self.facts.hellos = self.facts.hellos.saturating_add(1);
        self.facts.connection_id.get_or_insert_with(|| hex(connection_id));
    }

    fn pong(&mut self, counter: u32, clock_ms: u32, meta: &Meta) {
        let asked = self.pings.iter().position(|(count, clock, direction, _)| {
            (*count, *clock) == (counter, clock_ms) && *direction != meta.direction
        });
        if let Some(place) = asked {
            let (.., asked, sent) = self.pings.remove(place);
            self.facts.rtt.add(asked, meta.timestamp.since(sent));
        }
    }

    fn inner(&mut self, table: &mut MediaTable, meta: &Meta, payload: &[u8], inner: &Inner<'_>) -> bool {
        let header = self.generation.map_or(0, Generation::data_header_length);
        let place = if self.peer_to_peer { 0 } else { header };
        let zoomed = Meta { wrapping: Wrapping::Zoom, ..*meta };
        match inner {
            Inner::Unknown(_) => return false,
            Inner::Rtcp(rtcp) => {
                table.rtcp(&zoomed, rtcp.rtcp);
            }
            Inner::BindRequest(bind) | Inner::BindReply(bind) => {
                self.facts.bind_id.get_or_insert_with(|| hex(&bind.id));
            }
            Inner::HolePunch(punch) => {
                self.facts.p2p_uuid.get_or_insert_with(|| text(punch.uuid.as_bytes()));
                self.supported = true;
            }
            Inner::Media(media) => {
                table.framed(&zoomed, media.rtp, Some(kind(media.kind, media.rtp)));
            }
            Inner::Reliable(_) => {
                if let Some(packet) = inner.rtp() {
                    table.framed(&zoomed, packet, Some(kind(zoom::MediaKind::Screen, packet)));
                }
            }
            Inner::Control(_) | Inner::Periodic => {}
        }
        if let Some(number) = payload.get(place) {
            tally(&mut self.facts.inner, *number);
        }
        if self.peer_to_peer {
            self.facts.packets = self.facts.packets.saturating_add(1);
        }
        true
    }

    /// Writes down what was seen, when enough of it fit.
    pub(super) fn finish(&self, facts: &mut Facts) {
        if !self.is_believed() {
            return;
        }
        let mut told = Box::new(self.facts.clone());
        told.generation = self.generation.map(|generation| match generation {
            Generation::V2 => 2,
            Generation::V3 => 3,
        });
        facts.zoom = Some(told);
    }
}

/// Payload type 110 is FEC on every kind of Zoom stream.
fn kind(kind: zoom::MediaKind, packet: &[u8]) -> MediaKind {
    if rtp::peek(packet).is_some_and(|peek| peek.payload_type == 110) {
        return MediaKind::Fec;
    }
    match kind {
        zoom::MediaKind::Audio => MediaKind::Audio,
        zoom::MediaKind::Video => MediaKind::Video,
        zoom::MediaKind::Screen => MediaKind::Screen,
    }
}
