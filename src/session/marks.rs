//! What a flow shows of the connection that it belongs to: marks that another flow of the same call shows too.

use std::net::{IpAddr, SocketAddr};

use super::rtcp::{is_rtcp, port_below};
use super::{Judged, Sides};
use crate::classify::Role;
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::observe::facts::{Facts, MediaKind, RtpStream};

/// A lower number is no random one, so that it says nothing: Zoom counts them up, others use constants.
const SMALL_SOURCE: u32 = 0x0fff_ffff;
/// Length from which an ICE fragment is one (RFC 8445 section 5.3).
const UFRAG: usize = 4;

/// Something that flows of one call have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum Mark {
    /// The endpoint's socket.
    Socket(u8, SocketAddr),
    /// Both fragments of an ICE check, in order.
    Ufrags(String),
    /// One of them.
    Ufrag(String),
    /// A source that the endpoint sends as.
    Source(u32),
    /// Zoom's connection id.
    ZoomConnection(String),
    /// Zoom's bind id.
    ZoomBind(String),
    /// Session key of Zoom's hole punching.
    ZoomPeers(String),
    /// A QUIC connection id.
    Quic(String),
    /// SIP Call-ID.
    Call(String),
    /// Canonical name in RTCP.
    Cname(String),
    /// Who carries the media.
    Server(IpAddr),
    /// An address that signalling, a relay or a check announced, or that is spoken to.
    Address(SocketAddr),
}

impl Mark {
    /// True for what stays the same over a long silence, and belongs to nobody else.
    pub(super) const fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Ufrags(_)
                | Self::Source(_)
                | Self::ZoomConnection(_)
                | Self::ZoomBind(_)
                | Self::ZoomPeers(_)
                | Self::Quic(_)
                | Self::Call(_)
        )
    }
}

/// The marks of a flow, as seen from the endpoint whose ends are `sides`.
pub(super) fn marks(judged: &Judged, sides: Sides) -> Vec<(Mark, PacketRef)> {
    let first = judged.flow.first_packet;
    let role = judged.role();
    let mut found = Vec::new();
    if sides.local.port() >= 1024 && !crate::classify::is_service_port(sides.local.port()) {
        found.push((Mark::Socket(judged.flow.tuple.protocol, sides.local), first));
        found.push((Mark::Address(sides.local), first));
    }
    if let Some(media) = Some(judged).filter(|judged| is_rtcp(judged)).and_then(|_| port_below(sides.local)) {
        found.push((Mark::Socket(judged.flow.tuple.protocol, media), first));
    }
    if matches!(role, Role::Media | Role::P2p) {
        found.push((Mark::Server(sides.remote.ip()), first));
        found.push((Mark::Address(sides.remote), first));
    }
    let Some(facts) = judged.flow.facts.as_deref() else { return found };
    for ([one, other], packet) in fragments(facts) {
        found.push((Mark::Ufrag(one.to_owned()), packet));
        found.push((Mark::Ufrag(other.to_owned()), packet));
    }
    if let Some(media) = &facts.media {
        found.extend(media.cnames.iter().map(|name| (Mark::Cname(name.clone()), media.packet)));
    }
    if let Some(stun) = &facts.stun {
        let told = stun.relayed.iter().chain(&stun.peers);
        found.extend(told.map(|(address, packet)| (Mark::Address(*address), *packet)));
    }
    // Of a trunk with many calls nobody knows which of them announced an address.
    if let Some(sip) = facts.sip.as_ref().filter(|sip| sip.call_ids.len() == 1) {
        found.extend(sip.media.iter().map(|held| (Mark::Address(held.address), held.packet)));
    }
    found.extend(lasting(judged, sides));
    found
}

/// Those marks of a flow that [last](Mark::lasts).
pub(super) fn lasting(judged: &Judged, sides: Sides) -> Vec<(Mark, PacketRef)> {
    let mut found = Vec::new();
    let Some(facts) = judged.flow.facts.as_deref() else { return found };
    identities(facts, &mut found);
    if let Some(sip) = &facts.sip {
        found.extend(sip.call_ids.iter().map(|id| (Mark::Call(id.clone()), sip.packet)));
    }
    if facts.zoom.is_none() {
        let own = sent(judged, sides).filter(|stream| stream.ssrc > SMALL_SOURCE);
        found.extend(own.map(|stream| (Mark::Source(stream.ssrc), stream.packet)));
    }
    found
}

/// The two ICE fragments of each pair that was seen, as one end wrote them.
fn fragments(facts: &Facts) -> impl Iterator<Item = ([&str; 2], PacketRef)> {
    let usernames = facts.stun.iter().flat_map(|stun| &stun.usernames);
    usernames.filter_map(|(username, packet)| {
        let (one, other) = username.split_once(':')?;
        (one.len() >= UFRAG && other.len() >= UFRAG).then_some(([one, other], *packet))
    })
}

fn identities(facts: &Facts, found: &mut Vec<(Mark, PacketRef)>) {
    for ([a, b], packet) in fragments(facts) {
        let pair = if a <= b { format!("{a}:{b}") } else { format!("{b}:{a}") };
        found.push((Mark::Ufrags(pair), packet));
    }
    if let Some(zoom) = &facts.zoom {
        let ids = [
            zoom.connection_id.clone().map(Mark::ZoomConnection),
            zoom.bind_id.clone().map(Mark::ZoomBind),
            zoom.p2p_uuid.clone().map(Mark::ZoomPeers),
        ];
        found.extend(ids.into_iter().flatten().map(|mark| (mark, zoom.packet)));
    }
    if let Some(quic) = &facts.quic {
        // Chosen at random, with 8 bytes at least (RFC 9000 section 7.2); of the client's own nobody asks that.
        let id = quic.dcid.as_ref().filter(|id| id.len() >= 8);
        found.extend(id.map(|id| (Mark::Quic(id.to_string()), quic.packet)));
    }
}

/// The streams that the endpoint sends on a flow.
pub(super) fn sent(judged: &Judged, sides: Sides) -> impl Iterator<Item = &RtpStream> {
    streams(judged).filter(move |stream| is_sent(stream, sides))
}

/// Whether the endpoint sends a stream of a flow whose ends are `sides`.
pub(super) fn is_sent(stream: &RtpStream, sides: Sides) -> bool {
    (stream.direction == Direction::Forward) == sides.local_is_source
}

/// All streams of a flow that are media, not its repair.
pub(super) fn streams(judged: &Judged) -> impl Iterator<Item = &RtpStream> {
    let media = judged.flow.facts.as_deref().and_then(|facts| facts.media.as_deref());
    let streams = media.map(|media| media.streams.as_slice()).unwrap_or_default();
    streams.iter().filter(|stream| !matches!(stream.kind, Some(MediaKind::Fec | MediaKind::Rtx)))
}
