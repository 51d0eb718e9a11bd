//! How the keys of each media flow arose, as far as the wire shows it. In: the flows of a session. Out: [`FlowKeying`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;

use super::described::Described;
use super::{Basis, FlowKeying, Handshake, Method, cipher};
use crate::classify::Role;
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::observe::facts::{Dtls, Facts, Protocol};
use crate::session::{Judged, Session};

/// Media flows of a session, in the order in which they began; and what session descriptions alone say, for a call whose media
/// was not seen.
pub(super) fn keying(
    own: &[&Judged],
    addresses: &BTreeSet<IpAddr>,
    session: &Session,
) -> (Vec<FlowKeying>, Option<(Method, String)>) {
    let announced = own.iter().filter_map(|judged| judged.flow.facts.as_deref()?.sip.as_deref());
    let described = Described::of(announced);
    let shown: Vec<FlowKeying> =
        own.iter().filter_map(|judged| of_flow(judged, &described, addresses)).collect();
    let hidden = session.media_start.is_none() || shown.is_empty();
    (shown, hidden.then(|| described.without_media()).flatten())
}

fn of_flow(judged: &Judged, described: &Described<'_>, own: &BTreeSet<IpAddr>) -> Option<FlowKeying> {
    let facts = judged.flow.facts.as_deref()?;
    let sides = judged.seen_from(|ip| own.contains(&ip));
    let made = |method, why: String, packet, handshake| FlowKeying {
        flow: judged.flow.id,
        flows: 1,
        local: sides.local,
        remote: sides.remote,
        method,
        why,
        packet,
        handshake,
    };
    if let Some(dtls) = facts.dtls.as_deref().filter(|dtls| agrees_media_keys(dtls)) {
        let packet = dtls.client_hello.or(dtls.server_hello).unwrap_or(dtls.packet);
        let hello = if dtls.client_hello.is_some() { "ClientHello" } else { "ServerHello" };
        let why = format!("DTLS {hello} with use_srtp in packet {}", packet.frame());
        return Some(made(Method::DtlsSrtp, why, packet, Some(handshake(judged, dtls))));
    }
    if !carries_media(judged, facts) {
        return None;
    }
    let first = judged.flow.first_packet;
    if facts.other == Some(Protocol::Zrtp) {
        let why = format!("ZRTP on the media path, from packet {}", first.frame());
        return Some(made(Method::Zrtp, why, first, None));
    }
    let start = facts.media.as_ref().map_or(first, |media| media.packet);
    let described = described.of_media([sides.local, sides.remote], start);
    // What payloads show is so, whatever was asked for; keys that both sides announced may still authenticate.
    if described.as_ref().is_none_or(|(method, ..)| *method == Method::NotDeterminable)
        && let Some((why, packet)) = by_payload(facts)
    {
        return Some(made(Method::None, why, packet, None));
    }
    if let Some((method, why, packet)) = described {
        return Some(made(method, why, packet, None));
    }
    if facts.tls.is_some() && facts.media.is_none() {
        let outer = if facts.quic.is_some() { "QUIC" } else { "TLS" };
        let why = format!(
            "media runs inside {outer} to {}; whether it is encrypted once more inside is not visible",
            sides.remote
        );
        return Some(made(Method::InsideTls, why, first, None));
    }
    Some(made(
        Method::NotDeterminable,
        "neither a handshake nor a session description speaks of it".to_owned(),
        first,
        None,
    ))
}

fn agrees_media_keys(dtls: &Dtls) -> bool {
    !dtls.srtp_offered.is_empty() || dtls.srtp_chosen.is_some()
}

/// RTP was seen in it, or its role says so and there is enough of it.
fn carries_media(judged: &Judged, facts: &Facts) -> bool {
    let rtp = facts.media.as_ref().is_some_and(|media| !media.streams.is_empty());
    rtp || (matches!(judged.role(), Role::Media | Role::P2p) && judged.media_start().is_some())
}

fn handshake(judged: &Judged, dtls: &Dtls) -> Handshake {
    let tuple = &judged.flow.tuple;
    let server = dtls.client.map(|client| match client {
        Direction::Forward => tuple.destination,
        Direction::Reverse => tuple.source,
    });
    let leaf = |list: &[crate::observe::facts::Certificate]| list.first().map(|leaf| leaf.sha256.clone());
    Handshake {
        version: dtls.version,
        profile: dtls.srtp_chosen,
        server,
        server_certificate: leaf(&dtls.server_certificates),
        client_certificate: leaf(&dtls.client_certificates),
    }
}

/// What payloads say that are no ciphertext, each stream of them that can be judged.
fn by_payload(facts: &Facts) -> Option<(String, PacketRef)> {
    let streams = facts.media.iter().flat_map(|media| &media.streams);
    let judged: Vec<_> = streams.filter(|stream| cipher::stream(stream, false).is_some()).collect();
    let first = judged.first().filter(|_| judged.iter().all(|stream| cipher::is_plain(stream)))?;
    let why = format!("payloads are not uniform as ciphertext is, from packet {}", first.packet.frame());
    Some((why, first.packet))
}

/// The flow that speaks for the session: of the methods that the wire shows that of the most packets.
pub(super) fn decisive<'a>(shown: &'a [FlowKeying], own: &[&Judged]) -> Option<&'a FlowKeying> {
    let packets: HashMap<u64, u64> = own
        .iter()
        .map(|judged| {
            (judged.flow.id, judged.flow.packets.iter().fold(0_u64, |all, one| all.saturating_add(*one)))
        })
        .collect();
    let mut weights: BTreeMap<Method, u64> = BTreeMap::new();
    for flow in shown {
        let weight = weights.entry(flow.method).or_default();
        *weight = weight.saturating_add(packets.get(&flow.flow).copied().unwrap_or(0));
    }
    let mut best: Option<(&FlowKeying, u64)> = None;
    for flow in shown.iter().filter(|flow| is_shown(flow.method)) {
        let weight = weights.get(&flow.method).copied().unwrap_or(0);
        if best.is_none_or(|(_, held)| weight > held) {
            best = Some((flow, weight));
        }
    }
    best.map(|(flow, _)| flow)
}

const fn is_shown(method: Method) -> bool {
    matches!(method, Method::DtlsSrtp | Method::Zrtp | Method::Sdes | Method::None)
}

/// The standard behind a method that the wire shows.
pub(super) const fn basis(method: Method) -> Basis {
    match method {
        Method::DtlsSrtp => Basis::Standard("RFC 5764 section 4"),
        Method::Zrtp => Basis::Standard("RFC 6189 section 3"),
        Method::Sdes => Basis::Standard("RFC 4568 section 1"),
        Method::None => Basis::Standard("RFC 3550 section 9.1"),
        Method::KeyService
        | Method::EndToEnd
        | Method::Proprietary
        | Method::InsideTls
        | Method::NotDeterminable => Basis::Capture,
    }
}
