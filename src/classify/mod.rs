//! Stage: evidence to app and role. In: [`Summary`] of flows. Out: each [`Judged`].
//!
//! Sees no bytes. Knowledge is data: `providers/*.toml`, compiled into [`Rules`]; Rust only weighs. Unknown is
//! an ordinary answer, and later evidence corrects an earlier verdict, because all flows are judged together.

mod announced;
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

pub use announced::announced_clear;
pub use embedded::{embedded, embedded_by};
pub(crate) use evidence::could_be_server;
pub use nets::Nets;
pub use provider::ProviderError;
pub use rules::Rules;
pub use ties::{Names, is_service_port};
pub use value::Value;
pub use verdict::{Evidence, Judged, Role, Verdict};

use verdict::Ranking;

use crate::observe::facts::{Facts, Protocol};
use crate::observe::{Summary, are_ports_of_names};
use crate::parallel::Threads;

/// SIP over TLS. RFC 3261 section 19.1.2.
const SIPS_PORT: u16 = 5061;

/// SIP in the registry of ALPN protocol ids (RFC 7301); and written short.
const SIP_ALPN: [&str; 2] = ["sip/2", "sip"];

/// TURN over TLS or DTLS.
const TURNS_PORT: u16 = 5349;

/// Rounds of lending: a relay is named by its realm, the peer behind it by the relay's word.
const ROUNDS: usize = 2;

/// Flows that are judged at a time: until then their verdicts lie beside them.
const PART: usize = 1 << 15;

/// Judges flows, given in the order in which they began; the verdicts are the same for any number of threads.
pub fn judge(rules: &Rules, names: &Names, flows: Vec<Summary>, threads: Threads) -> Vec<Judged> {
    judge_in_parts(rules, names, flows, threads, PART)
}

fn judge_in_parts(
    rules: &Rules,
    names: &Names,
    flows: Vec<Summary>,
    threads: Threads,
    size: usize,
) -> Vec<Judged> {
    let mut flows: Vec<Judged> = flows.into_iter().map(Judged::from).collect();
    let mut ties = ties::Ties::default();
    let mut open: Vec<Open> = Vec::new();
    for (part, begin) in flows.chunks_mut(size).zip((0_usize..).step_by(size)) {
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(part.len());
        let alone = |_, piece: &[Judged]| -> Vec<(Verdict, Option<Own>)> {
            let each = Summary::each_ahead(0, piece, |judged| Some(&judged.flow));
            each.map(|(_, judged)| alone(rules, names, &judged.flow)).collect()
        };
        threads.in_order(part, alone, |piece| {
            for (verdict, own) in piece {
                let place = verdicts.len();
                open.extend(own.map(|own| Open { index: begin.saturating_add(place), own, is_over: false }));
                if let Some(judged) = part.get(place) {
                    ties.learn(&judged.flow, &verdict);
                }
                verdicts.push(verdict);
            }
        });
        for (judged, verdict) in part.iter_mut().zip(verdicts) {
            judged.verdict = verdict;
        }
    }
    for _ in 0..ROUNDS {
        for Lent { place, verdict, stays } in lent(&ties, &flows, &open, threads) {
            let Some(open) = open.get_mut(place) else { continue };
            let Some(judged) = flows.get_mut(open.index) else { continue };
            ties.learn(&judged.flow, &verdict);
            let before = std::mem::replace(&mut judged.verdict, verdict);
            open.is_over = !stays;
            if stays && matches!(open.own, Own::InVerdict) {
                open.own = Own::Beside(before.evidence);
            }
        }
        open.retain(|open| !open.is_over);
    }
    visits::settle(rules, &mut flows);
    announced::settle(&mut flows);
    flows
}

/// A flow that may still be named by others.
struct Open {
    index: usize,
    own: Own,
    is_over: bool,
}

/// Where what a flow says of itself is kept.
enum Own {
    /// All of it is in the verdict, which names no app.
    InVerdict,
    /// The verdict keeps what speaks for its app, and perhaps what others lent.
    Beside(Vec<Evidence>),
}

/// A verdict on a flow with what others lent it.
struct Lent {
    /// Its place among the open ones.
    place: usize,
    verdict: Verdict,
    /// It may still be named by others.
    stays: bool,
}

/// What the ties lend to flows that may still be named by others.
fn lent(ties: &ties::Ties, flows: &[Judged], open: &[Open], threads: Threads) -> Vec<Lent> {
    let mut all = Vec::new();
    let lend = |place, open: &Open| {
        let Judged { flow, verdict, .. } = flows.get(open.index)?;
        let own = match &open.own {
            Own::InVerdict => &verdict.evidence,
            Own::Beside(own) => own,
        };
        let borrowed = if is_named(flow) { ties.choice(flow, own) } else { ties.evidence(flow) };
        if borrowed.is_empty() {
            return None;
        }
        let evidence: Vec<Evidence> = own.iter().cloned().chain(borrowed).collect();
        let ranking = verdict::rank(&evidence);
        let stays = can_borrow(flow, &ranking);
        Some(Lent { place, verdict: conclude(flow, ranking, evidence), stays })
    };
    let look = |begin, piece: &[Open]| -> Vec<Lent> {
        let each = Summary::each_ahead(begin, piece, |open| Some(&flows.get(open.index)?.flow));
        each.filter_map(|(place, open)| lend(place, open)).collect()
    };
    threads.in_order(open, look, |piece| {
        all.extend(piece);
    });
    all
}

/// The verdict on a flow by what it says of itself, and where that is kept if others may still name it.
fn alone(rules: &Rules, names: &Names, flow: &Summary) -> (Verdict, Option<Own>) {
    let own = own_evidence(rules, names, flow);
    let ranking = verdict::rank(&own);
    let kept = can_borrow(flow, &ranking)
        .then(|| if ranking.names_an_app() { Own::Beside(own.clone()) } else { Own::InVerdict });
    (conclude(flow, ranking, own), kept)
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
    if are_ports_of_names(ports) {
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
    if facts.dns.is_some() || are_ports_of_names(ports) {
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
mod lending_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::facts::Tls;

    #[test]
    fn sip_inside_tls_is_known_by_its_port_and_by_what_was_agreed() {
        let facts = |offered: &[&str], chosen: Option<&str>| {
            let alpn = offered.iter().map(|one| (*one).into()).collect();
            let tls = Tls { alpn, alpn_chosen: chosen.map(Into::into), ..Tls::default() };
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
