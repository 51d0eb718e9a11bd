//! Stage: evidence to app and role. In: [`Summary`] of flows. Out: a [`Verdict`] each.
//!
//! Sees no bytes. Knowledge is data: `providers/*.toml`, compiled into [`Rules`]; Rust only weighs. Unknown is
//! an ordinary answer, and later evidence corrects an earlier verdict, because all flows are judged together.

mod embedded;
mod evidence;
mod kept;
pub mod keying;
mod nets;
pub mod provider;
mod rules;
mod ties;
mod value;
pub mod verdict;
mod visits;
mod wire;

pub use embedded::embedded;
pub(crate) use evidence::could_be_server;
pub use nets::Nets;
pub use provider::ProviderError;
pub use rules::Rules;
pub use ties::{Names, is_service_port};
pub use value::Value;
pub use verdict::{Evidence, Role, Verdict};

use verdict::Ranking;

use crate::observe::Summary;
use crate::observe::facts::{Facts, Protocol};
use crate::parallel::Threads;

/// Ports of name resolution: DNS, mDNS, LLMNR.
const DNS_PORTS: [u16; 3] = [53, 5353, 5355];

/// SIP over TLS. RFC 3261 section 19.1.2.
const SIPS_PORT: u16 = 5061;

/// SIP in the registry of ALPN protocol ids (RFC 7301); and written short.
const SIP_ALPN: [&str; 2] = ["sip/2", "sip"];

/// TURN over TLS or DTLS.
const TURNS_PORT: u16 = 5349;

/// Rounds of lending: a relay is named by its realm, the peer behind it by the relay's word.
const ROUNDS: usize = 2;

/// Judges flows, given in the order in which they began; the verdicts come in the same order, and are the same for any number of
/// threads.
pub fn judge(rules: &Rules, names: &Names, flows: &[Summary], threads: Threads) -> Vec<Verdict> {
    let mut ties = ties::Ties::default();
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(flows.len());
    // Flows that may still be named by others, with what they say of themselves.
    let mut open: Vec<(usize, Vec<Evidence>)> = Vec::new();
    let alone = |_, piece: &[Summary]| -> Vec<_> {
        let each = |(index, flow): (usize, &Summary)| {
            Summary::approach(|ahead| piece.get(index.saturating_add(ahead)));
            alone(rules, names, flow)
        };
        piece.iter().enumerate().map(each).collect()
    };
    threads.in_order(flows, alone, |piece| {
        for (verdict, own) in piece {
            let index = verdicts.len();
            open.extend(own.map(|own| (index, own)));
            if let Some(flow) = flows.get(index) {
                ties.learn(flow, &verdict);
            }
            verdicts.push(verdict);
        }
    });
    for _ in 0..ROUNDS {
        let lent = lent(&ties, flows, &open, threads);
        let mut over = lent.iter().filter(|lent| !lent.stays).map(|lent| lent.place).peekable();
        let mut place = 0_usize;
        open.retain(|_| {
            let stays = over.next_if_eq(&place).is_none();
            place = place.saturating_add(1);
            stays
        });
        for Lent { index, verdict, .. } in lent {
            if let (Some(flow), Some(held)) = (flows.get(index), verdicts.get_mut(index)) {
                ties.learn(flow, &verdict);
                *held = verdict;
            }
        }
    }
    visits::settle(rules, flows, &mut verdicts);
    verdicts
}

/// A verdict on a flow with what others lent it.
struct Lent {
    /// Its place among the open ones.
    place: usize,
    index: usize,
    verdict: Verdict,
    /// It may still be named by others.
    stays: bool,
}

/// What the ties lend to flows that may still be named by others.
fn lent(
    ties: &ties::Ties,
    flows: &[Summary],
    open: &[(usize, Vec<Evidence>)],
    threads: Threads,
) -> Vec<Lent> {
    let mut all = Vec::new();
    let lend = |place, (index, own): &(usize, Vec<Evidence>)| {
        let (index, flow) = (*index, flows.get(*index)?);
        let borrowed = if is_named(flow) { ties.choice(flow, own) } else { ties.evidence(flow) };
        if borrowed.is_empty() {
            return None;
        }
        let evidence: Vec<Evidence> = own.iter().cloned().chain(borrowed).collect();
        let ranking = verdict::rank(&evidence);
        let stays = can_borrow(flow, &ranking);
        Some(Lent { place, index, verdict: conclude(flow, ranking, evidence), stays })
    };
    let look = |begin, piece: &[(usize, Vec<Evidence>)]| -> Vec<Lent> {
        (begin..).zip(piece).filter_map(|(place, open)| lend(place, open)).collect()
    };
    threads.in_order(open, look, |piece| {
        all.extend(piece);
    });
    all
}

/// The verdict on a flow by what it says of itself, and that again where others may still name it.
fn alone(rules: &Rules, names: &Names, flow: &Summary) -> (Verdict, Option<Vec<Evidence>>) {
    let own = own_evidence(rules, names, flow);
    let ranking = verdict::rank(&own);
    let open = can_borrow(flow, &ranking).then(|| own.clone());
    (conclude(flow, ranking, own), open)
}

/// What a flow says of itself, and what the capture's DNS says of its server.
fn own_evidence(rules: &Rules, names: &Names, flow: &Summary) -> Vec<Evidence> {
    let facts = flow.facts.as_deref();
    let mut found = evidence::Collector::new(rules, flow.tuple, facts).collect();
    let has_sni = facts.and_then(|facts| facts.tls.as_ref()).is_some_and(|tls| tls.asked_name().is_some());
    if !has_sni {
        found.extend(ties::dns_evidence(rules, names, flow));
    }
    found
}

/// A flow that is plainly something else, or plainly named, borrows no name.
fn can_borrow(flow: &Summary, ranking: &Ranking) -> bool {
    if ranking.confidence >= 0.9 && !is_close(ranking) {
        return false;
    }
    let ports = [flow.tuple.source.port(), flow.tuple.destination.port()];
    if DNS_PORTS.iter().any(|port| ports.contains(port)) {
        return false;
    }
    let is_other = flow.facts.as_deref().is_some_and(|facts| facts.other.is_some());
    !is_other && (!is_named(flow) || ranking.runner_up.is_some())
}

/// True when another app's evidence came as close as makes no difference.
fn is_close(ranking: &Ranking) -> bool {
    ranking.runner_up.is_some_and(|(_, second)| second > ranking.confidence - verdict::CLOSE)
}

/// True for flows that asked for a host by name.
fn is_named(flow: &Summary) -> bool {
    let tls = flow.facts.as_deref().and_then(|facts| facts.tls.as_ref());
    tls.is_some_and(|tls| tls.asked_name().is_some())
}

fn conclude(flow: &Summary, ranking: Ranking, evidence: Vec<Evidence>) -> Verdict {
    let mut verdict = ranking.verdict(evidence);
    verdict.role = Some(role(flow, &verdict));
    verdict
}

/// What a flow does: by what was parsed, then by what the marks say.
fn role(flow: &Summary, verdict: &Verdict) -> Role {
    let empty = Facts::default();
    let facts = flow.facts.as_deref().unwrap_or(&empty);
    let ports = [flow.tuple.source.port(), flow.tuple.destination.port()];
    if facts.dns.is_some() || DNS_PORTS.iter().any(|port| ports.contains(port)) {
        return Role::Dns;
    }
    let has_media = facts.media.as_ref().is_some_and(|media| !media.streams.is_empty());
    let dtls_media = facts
        .dtls
        .as_ref()
        .is_some_and(|dtls| !dtls.srtp_offered.is_empty() || (facts.stun.is_some() && dtls.records > 0));
    // What a relay forwards is somebody else's: the relay is no media server for it.
    if facts.stun.as_ref().is_some_and(|stun| stun.relays) {
        return Role::Relay;
    }
    if has_media || dtls_media {
        return if is_peer_to_peer(flow, facts) { Role::P2p } else { Role::Media };
    }
    if facts.stun.is_some() {
        return Role::Nat;
    }
    if facts.sip.is_some() {
        return Role::Signalling;
    }
    let told = verdict
        .evidence
        .iter()
        .filter(|item| verdict.provider == Some(item.provider))
        .filter_map(|item| item.role.map(|role| (item.weight, role)))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    if let Some((_, role)) = told {
        return role;
    }
    if is_turns(facts, ports) {
        return Role::Relay;
    }
    if is_sips(facts, ports) {
        return Role::Signalling;
    }
    let web = facts.tls.is_some() || facts.quic.is_some() || facts.other == Some(Protocol::Http);
    match (verdict.provider, web) {
        // Where a server stands says whose it is, not what was said to it.
        (_, true) => Role::Web,
        (Some(_), false) if flow.tuple.protocol == 17 => {
            let ends = [flow.tuple.source.ip(), flow.tuple.destination.ip()];
            if ends.into_iter().any(could_be_server) { Role::Media } else { Role::P2p }
        }
        (_, false) => Role::Other,
    }
}

/// SIP inside TLS: by its port, or by what the two ends agreed to speak; one offer among several is none.
fn is_sips(facts: &Facts, ports: [u16; 2]) -> bool {
    facts.tls.as_ref().filter(|_| facts.quic.is_none()).is_some_and(|tls| {
        let agreed = tls.alpn_chosen.as_deref().or(match &*tls.alpn {
            // TLS 1.3 hides the answer: who offers nothing else speaks nothing else.
            [only] => Some(only),
            _ => None,
        });
        ports.contains(&SIPS_PORT) || agreed.is_some_and(|agreed| SIP_ALPN.contains(&agreed))
    })
}

/// TURN inside TLS: on its port (RFC 8656), or to a host that is called so.
fn is_turns(facts: &Facts, [source, destination]: [u16; 2]) -> bool {
    let Some(tls) = &facts.tls else { return false };
    let leaf = tls.certificates.first();
    let names = leaf.into_iter().flat_map(|leaf| leaf.dns_names.iter().chain(&leaf.subject_cn));
    source == TURNS_PORT
        || destination == TURNS_PORT
        || match tls.asked_name() {
            Some(name) => is_relay_name(name),
            None => names.into_iter().any(|name| is_relay_name(name)),
        }
}

/// True for `turn.example.org`, `turns2.example.org`, `eu-turn-443.example.org`.
fn is_relay_name(name: &str) -> bool {
    let host = name.split('.').next().unwrap_or_default();
    host.split(['-', '_']).any(|word| {
        let word = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
        ["turn", "turns", "coturn", "turnserver"].iter().any(|known| word.eq_ignore_ascii_case(known))
    })
}

/// Media between two ICE agents of which neither has a public server's address or port, or both are clients.
fn is_peer_to_peer(flow: &Summary, facts: &Facts) -> bool {
    if let Some(zoom) = &facts.zoom {
        return zoom.peer_to_peer;
    }
    let (source, destination) = (flow.tuple.source, flow.tuple.destination);
    let private = |address: std::net::SocketAddr| !could_be_server(address.ip());
    facts.stun.as_ref().is_some_and(|stun| {
        stun.ice && !stun.relays && (stun.clients == [true, true] || private(source) && private(destination))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::facts::Tls;

    #[test]
    fn sip_inside_tls_is_known_by_its_port_and_by_what_was_agreed() {
        let facts = |offered: &[&str], chosen: Option<&str>| {
            let alpn = offered.iter().map(|one| (*one).to_owned()).collect();
            let tls = Tls { alpn, alpn_chosen: chosen.map(str::to_owned), ..Tls::default() };
            Facts { tls: Some(Box::new(tls)), ..Facts::default() }
        };
        assert!(is_sips(&facts(&[], None), [40_000, 5061]));
        assert!(is_sips(&facts(&["sip/2"], None), [40_000, 443]));
        assert!(is_sips(&facts(&["h2", "sip/2"], Some("sip/2")), [40_000, 443]));
        assert!(!is_sips(&facts(&["h2", "sip/2"], None), [40_000, 443]), "which of them is not visible");
        assert!(!is_sips(&facts(&["h2", "sip/2"], Some("h2")), [40_000, 443]));
        assert!(!is_sips(&facts(&[], None), [40_000, 443]));
        assert!(!is_sips(&Facts::default(), [40_000, 5061]), "no TLS");
    }
}
