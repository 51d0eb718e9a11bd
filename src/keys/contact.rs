//! Who was contacted when. In: the flows of a session. Out: the TLS contacts of each server, and a timeline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::media::dtls_peer;
use crate::classify::Role;
use crate::observe::PacketRef;
use crate::session::{Judged, Session};
use crate::time::Timestamp;

/// Entries of a timeline; a client that probes hundreds of servers would fill pages.
const TIMELINE: usize = 64;

/// Frame bytes that a server sends at most when it refuses: the handshake of TCP, an alert, a reset.
const REFUSAL: u64 = 500;

/// What a contact was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContactKind {
    /// TLS over TCP.
    Tls,
    /// QUIC.
    Quic,
    /// DTLS with media keys.
    DtlsSrtp,
    /// SIP in the clear.
    Sip,
    /// STUN or TURN.
    Stun,
    /// Media.
    Media,
    /// Something else.
    Other,
}

impl ContactKind {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Quic => "QUIC",
            Self::DtlsSrtp => "DTLS-SRTP",
            Self::Sip => "SIP",
            Self::Stun => "STUN",
            Self::Media => "media",
            Self::Other => "other",
        }
    }
}

/// The first contact of a kind with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Time of the packet.
    pub at: Timestamp,
    /// Nanoseconds from there to the first media packet; negative when media came first; `None` without media.
    pub before_media_ns: Option<i64>,
    /// Who.
    pub remote: SocketAddr,
    /// What.
    pub kind: ContactKind,
    /// The first packet of the kind: of TLS, QUIC and SIP the one that opens the flow.
    pub packet: PacketRef,
    /// How many flows of the kind to that address and port.
    pub flows: u32,
}

/// First contacts in order of time, and how many did not fit.
pub(super) fn timeline(
    own: &[&Judged],
    addresses: &BTreeSet<IpAddr>,
    session: &Session,
) -> (Vec<Contact>, u32) {
    let mut found: BTreeMap<(SocketAddr, ContactKind), Contact> = BTreeMap::new();
    for judged in own.iter().filter(|judged| judged.role() != Role::Dns) {
        let far = judged.seen_from(|ip| addresses.contains(&ip)).remote;
        for (kind, at, packet) in kinds(judged) {
            let is_handshake = kind == ContactKind::DtlsSrtp;
            let remote = if is_handshake { dtls_peer(judged, addresses).address } else { far };
            let before = session.media_start.map(|media| media.as_nanos().saturating_sub(at.as_nanos()));
            let new = Contact { at, before_media_ns: before, remote, kind, packet, flows: 1 };
            found
                .entry((remote, kind))
                .and_modify(|held| {
                    let flows = held.flows.saturating_add(1);
                    if (new.at, new.packet) < (held.at, held.packet) {
                        *held = new.clone();
                    }
                    held.flows = flows;
                })
                .or_insert(new);
        }
    }
    let mut all: Vec<Contact> = found.into_values().collect();
    all.sort_by_key(|contact| (contact.at, contact.packet, contact.remote, contact.kind));
    let more = u32::try_from(all.len().saturating_sub(TIMELINE)).unwrap_or(u32::MAX);
    all.truncate(TIMELINE);
    (all, more)
}

/// What a flow was, each with its first packet and the time of that: of a connection the one that opens it.
fn kinds(judged: &Judged) -> Vec<(ContactKind, Timestamp, PacketRef)> {
    let flow = &judged.flow;
    let (start, first) = (flow.start, flow.first_packet);
    let Some(facts) = flow.facts.as_deref() else { return vec![(ContactKind::Other, start, first)] };
    let mut found = Vec::new();
    if facts.tls.is_some() {
        let kind = if facts.quic.is_some() { ContactKind::Quic } else { ContactKind::Tls };
        found.push((kind, start, first));
    }
    if let Some(dtls) = facts.dtls.as_deref().filter(|dtls| !dtls.srtp_offered.is_empty()) {
        found.push((ContactKind::DtlsSrtp, dtls.at, dtls.packet));
    }
    if facts.sip.is_some() && facts.tls.is_none() {
        found.push((ContactKind::Sip, start, first));
    }
    if let Some(stun) = &facts.stun {
        found.push((ContactKind::Stun, stun.at, stun.packet));
    }
    if let Some(at) = judged.media_start().filter(|_| facts.tls.is_none()) {
        // RTCP may come first, and has no kind of its own.
        let streams = facts.media.iter().flat_map(|media| &media.streams);
        let (at, packet) = streams.map(|stream| (stream.start, stream.packet)).min().unwrap_or((at, first));
        found.push((ContactKind::Media, at, packet));
    }
    if found.is_empty() {
        found.push((ContactKind::Other, start, first));
    }
    found
}

/// The TLS and QUIC connections to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    /// First packet of all of them.
    pub(super) first: Timestamp,
    /// Last packet.
    pub(super) last: Timestamp,
    /// Frame bytes that the server sent.
    pub(super) received: u64,
    /// A ServerHello was seen, or a connection that was under way.
    pub(super) answered: bool,
    /// Media went inside.
    pub(super) carried_media: bool,
}

/// TLS and QUIC connections by server.
pub(super) fn tls(own: &[&Judged], addresses: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, Connections> {
    let mut found: BTreeMap<IpAddr, Connections> = BTreeMap::new();
    for judged in own {
        let flow = &judged.flow;
        let Some(tls) = flow.facts.as_deref().and_then(|facts| facts.tls.as_deref()) else { continue };
        let sides = judged.seen_from(|ip| addresses.contains(&ip));
        let [forward, reverse] = flow.bytes;
        let received = if sides.local_is_source { reverse } else { forward };
        let answered = tls.server_hello.is_some() || tls.client_hello.is_none() || received > REFUSAL;
        let carried_media = matches!(judged.role(), Role::Media) && judged.media_start().is_some();
        let held = found.entry(sides.remote.ip()).or_insert(Connections {
            first: flow.start,
            last: flow.end,
            received: 0,
            answered: false,
            carried_media: false,
        });
        held.first = held.first.min(flow.start);
        held.last = held.last.max(flow.end);
        held.received = held.received.saturating_add(received);
        held.answered |= answered;
        held.carried_media |= carried_media;
    }
    found
}
