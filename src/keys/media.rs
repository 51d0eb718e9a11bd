//! How the keys of each media flow arose, as far as the wire shows it. In: the flows of a session. Out: [`FlowKeying`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

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
        return Some(made(Method::DtlsSrtp, why, packet, Some(handshake(judged, dtls, own))));
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

/// Who spoke DTLS with the endpoint of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct DtlsPeer {
    /// The far end of the flow; who stands behind it, where that is a TURN relay and exactly one is known there.
    pub address: SocketAddr,
    /// The TURN relay that forwarded the handshake.
    pub relay: Option<SocketAddr>,
}

impl DtlsPeer {
    /// False where all that is known is the relay that somebody stands behind.
    pub fn is_known(&self) -> bool {
        self.relay != Some(self.address)
    }
}

/// With whom DTLS of a flow was spoken, seen from the endpoint with the addresses `own`. A TURN server takes no part in what it relays
/// (RFC 8656 section 2).
pub fn dtls_peer(judged: &Judged, own: &BTreeSet<IpAddr>) -> DtlsPeer {
    let remote = judged.seen_from(|ip| own.contains(&ip)).remote;
    let facts = judged.flow.facts.as_deref().filter(|facts| facts.dtls.is_some());
    let Some(stun) = facts.and_then(|facts| facts.stun.as_deref()).filter(|stun| stun.relays) else {
        return DtlsPeer { address: remote, relay: None };
    };
    let mut behind = stun.behind.iter().map(|behind| behind.peer).filter(|peer| !own.contains(&peer.ip()));
    let address = behind.next().filter(|_| behind.next().is_none()).unwrap_or(remote);
    DtlsPeer { address, relay: Some(remote) }
}

fn handshake(judged: &Judged, dtls: &Dtls, own: &BTreeSet<IpAddr>) -> Handshake {
    let sides = judged.seen_from(|ip| own.contains(&ip));
    let peer = dtls_peer(judged, own);
    let endpoint_answers = dtls.client.map(|client| (client == Direction::Forward) != sides.local_is_source);
    let server = endpoint_answers.and_then(|answers| {
        if answers { Some(sides.local) } else { peer.is_known().then_some(peer.address) }
    });
    let leaf = |list: &[crate::observe::facts::Certificate]| list.first().map(|leaf| leaf.sha256.clone());
    Handshake {
        version: dtls.version,
        profile: dtls.srtp_chosen,
        server,
        endpoint_answers,
        relay: peer.relay,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::facts::{Behind, Stun};
    use crate::session::tests::flow;
    use crate::time::Timestamp;

    /// Addresses of `stun_dtls_rtp.pcapng`, whose DTLS runs in Send and Data indications with 10.13.0.50:1259 (tshark).
    #[test]
    fn a_relay_is_no_end_of_a_handshake_that_it_forwards() {
        let own = BTreeSet::from(["192.168.12.182".parse().unwrap()]);
        let peer: SocketAddr = "10.13.0.50:1259".parse().unwrap();
        let relay: SocketAddr = "142.250.82.249:3478".parse().unwrap();
        let spoken = |peers: &[SocketAddr], relays| {
            let mut judged = flow(1, "192.168.12.182:50000", "142.250.82.249:3478", (0, 900));
            let packet = judged.flow.first_packet;
            let behind: Vec<Behind> = peers
                .iter()
                .map(|peer| Behind { peer: *peer, payloads: 9, packet, at: Timestamp::default() })
                .collect();
            let dtls = Dtls { client: Some(Direction::Forward), ..Dtls::default() };
            let facts = judged.flow.facts.as_mut().unwrap();
            facts.stun = Some(Box::new(Stun { relays, behind: behind.into(), ..Stun::default() }));
            facts.dtls = Some(Box::new(dtls.clone()));
            handshake(&judged, &dtls, &own)
        };
        let one = spoken(&[peer], true);
        assert_eq!((one.server, one.endpoint_answers, one.relay), (Some(peer), Some(false), Some(relay)));
        for peers in [&[][..], &[peer, "10.13.0.51:1259".parse().unwrap()]] {
            let somebody = spoken(peers, true);
            assert_eq!((somebody.server, somebody.endpoint_answers), (None, Some(false)), "{peers:?}");
            assert_eq!(somebody.relay, Some(relay));
        }
        let straight = spoken(&[], false);
        assert_eq!((straight.server, straight.relay), (Some(relay), None));
    }
}
