//! Which end of a flow is the endpoint's where nothing but its first packet says so, and that may be missing or late.
//!
//! Who only answers STUN is a server. Else what the other flows of the two ends show: who opened TLS over TCP, who asked for
//! names. Which way a DTLS `ClientHello` went says nothing, either side of a call may be its client (RFC 5763 section 5).

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashSet;

use super::endpoint::{is_open, is_service};
use super::look::at;
use super::{Judged, Sides, sides};
use crate::classify::Role;
use crate::flow::FiveTuple;
use crate::observe::Summary;
use crate::parallel::Threads;

const TCP: u8 = 6;
const DNS: u16 = 53;

/// Whether the originator is the one that asks, by STUN alone; none where both ask, or nobody was seen to.
pub(super) fn originator_asks(flow: &Summary) -> Option<bool> {
    let stun = flow.facts.as_deref()?.stun.as_deref()?;
    match stun.clients {
        [true, false] => return Some(true),
        [false, true] => return Some(false),
        _ => {}
    }
    // The answer tells who asked the address that it came from (RFC 8489 section 2).
    let was_answered = |end: SocketAddr| stun.mapped.iter().any(|(address, _)| *address == end);
    match (was_answered(flow.tuple.source), was_answered(flow.tuple.destination)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

/// Tells the ends of all flows apart: first each by itself, then those of which only who spoke first told them apart, where the other
/// flows of their ends say otherwise.
pub fn tell_apart(flows: &mut [Judged], threads: Threads) {
    let (mut local_is_source, mut open, mut told) = (Vec::with_capacity(flows.len()), Vec::new(), Vec::new());
    threads.in_order(flows, look, |piece| {
        local_is_source.extend(piece.local_is_source);
        open.extend(piece.open);
        told.extend(piece.told);
    });
    for (judged, is_source) in flows.iter_mut().zip(local_is_source) {
        judged.local_is_source = is_source;
    }
    let ends = |tuple: &FiveTuple| [tuple.source.ip(), tuple.destination.ip()];
    let asked: HashSet<IpAddr> = at(flows, &open).flat_map(|(_, judged)| ends(&judged.flow.tuple)).collect();
    if asked.is_empty() {
        return;
    }
    let those = |ip: &IpAddr| asked.contains(ip);
    let clients: HashSet<IpAddr> = told.iter().map(|(client, _)| *client).filter(those).collect();
    let servers: HashSet<IpAddr> = told.iter().map(|(_, server)| *server).filter(those).collect();
    let is_client = |address: IpAddr| clients.contains(&address) && !servers.contains(&address);
    let is_server = |address: IpAddr| servers.contains(&address) && !clients.contains(&address);
    for index in open {
        let Some(judged) = flows.get_mut(index) else { continue };
        let [source, destination] = ends(&judged.flow.tuple);
        if is_client(destination) && !clients.contains(&source)
            || is_server(source) && !servers.contains(&destination)
        {
            judged.local_is_source = false;
        }
    }
}

/// What one look at flows says.
struct Looked {
    local_is_source: Vec<bool>,
    /// Flows of calls of which only who spoke first tells the ends apart.
    open: Vec<usize>,
    /// Who is a client, and whose, as flows show for themselves.
    told: Vec<(IpAddr, IpAddr)>,
}

fn look(begin: usize, piece: &[Judged]) -> Looked {
    let mut looked = Looked { local_is_source: Vec::new(), open: Vec::new(), told: Vec::new() };
    for (index, judged) in Summary::each_ahead(begin, piece, |judged| Some(&judged.flow)) {
        let sides = sides(&judged.flow, &judged.verdict);
        looked.local_is_source.push(sides.local_is_source);
        if carries(judged) && is_open(&judged.flow, &judged.verdict) {
            looked.open.push(index);
        }
        if tells(judged, sides) {
            looked.told.push((sides.local.ip(), sides.remote.ip()));
        }
    }
    looked
}

/// True for a flow that shows for itself who is a client: a TLS handshake over TCP, a question for a name, STUN that one
/// end answers.
fn tells(judged: &Judged, Sides { local, remote, local_is_source }: Sides) -> bool {
    let to_service = is_service(remote.port()) && !is_service(local.port());
    if judged.flow.tuple.protocol == TCP {
        let tls = judged.flow.facts.as_deref().and_then(|facts| facts.tls.as_deref());
        return to_service && tls.is_some_and(|tls| tls.client_hello.is_some());
    }
    if judged.role() == Role::Dns {
        return to_service && remote.port() == DNS;
    }
    originator_asks(&judged.flow) == Some(local_is_source)
}

/// True for datagrams of a call. Exchanges of SIP ask for names and call as phones do, so that theirs are left as they are.
fn carries(judged: &Judged) -> bool {
    matches!(judged.role(), Role::Media | Role::P2p | Role::Relay | Role::Nat)
        && judged.flow.tuple.protocol != TCP
        && judged.flow.facts.as_deref().is_none_or(|facts| facts.sip.is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::flow;
    use super::*;
    use crate::observe::facts::{Facts, Stun, Tls};

    const CLIENT: &str = "203.0.113.5:50000";
    const MEDIA: &str = "198.51.100.7:10000";

    /// A flow with the ends as `sides` tells them.
    fn begun(id: u64, from: &str, to: &str, facts: Facts) -> Judged {
        let mut judged = flow(id, from, to, (0, 10_000));
        judged.flow.facts = Some(Box::new(facts));
        judged.local_is_source = sides(&judged.flow, &judged.verdict).local_is_source;
        judged
    }

    fn stun(mapped: &[&str], clients: [bool; 2]) -> Facts {
        let packet = crate::observe::PacketRef::new(0, 1);
        let mapped = mapped.iter().map(|address| (address.parse().unwrap(), packet)).collect();
        Facts { stun: Some(Box::new(Stun { mapped, clients, ..Stun::default() })), ..Facts::default() }
    }

    /// What the rule says, with all that any flow tells.
    fn by_all_flows(flows: &mut [Judged]) {
        let (mut clients, mut servers) = (HashSet::new(), HashSet::new());
        for judged in flows.iter_mut() {
            let sides = sides(&judged.flow, &judged.verdict);
            judged.local_is_source = sides.local_is_source;
            if tells(judged, sides) {
                clients.insert(sides.local.ip());
                servers.insert(sides.remote.ip());
            }
        }
        for judged in flows.iter_mut().filter(|judged| carries(judged)) {
            let (source, destination) = (judged.flow.tuple.source.ip(), judged.flow.tuple.destination.ip());
            let only = |one: &HashSet<IpAddr>, other: &HashSet<IpAddr>, address: &IpAddr| {
                one.contains(address) && !other.contains(address)
            };
            let turned = only(&clients, &servers, &destination) && !clients.contains(&source)
                || only(&servers, &clients, &source) && !servers.contains(&destination);
            if turned && is_open(&judged.flow, &judged.verdict) {
                judged.local_is_source = false;
            }
        }
    }

    proptest! {
        #[test]
        fn flows_are_turned_as_all_flows_together_say(
            made in prop::collection::vec((0_u8..4, 0_u8..4, any::<[bool; 2]>(), 0_u8..4), 0..16),
        ) {
            let mut flows: Vec<Judged> = (1..)
                .zip(made)
                .map(|(id, (from, to, service, kind))| {
                    let end = |host: u8, service: bool| {
                        format!("203.0.113.{host}:{}", if service { 443 } else { 50_000 })
                    };
                    let packet = crate::observe::PacketRef::new(0, 1);
                    let (from, to) = (end(from, service[0]), end(to, service[1]));
                    let tls = Tls { client_hello: Some(packet), ..Tls::default() };
                    let facts = match kind {
                        0 => Facts { tls: Some(Box::new(tls)), ..Facts::default() },
                        1 => stun(&[from.as_str()], [false; 2]),
                        _ => Facts::default(),
                    };
                    let mut judged = begun(id, &from, &to, facts);
                    if kind == 0 {
                        judged.flow.tuple.protocol = TCP;
                        judged.verdict.role = Some(Role::Signalling);
                    }
                    judged
                })
                .collect();
            let mut expected = flows.clone();
            by_all_flows(&mut expected);
            tell_apart(&mut flows, Threads::new(2));
            let turned = |flows: &[Judged]| -> Vec<bool> {
                flows.iter().map(|judged| judged.local_is_source).collect()
            };
            prop_assert_eq!(turned(&flows), turned(&expected));
        }
    }

    fn local(judged: &Judged) -> String {
        judged.sides().local.to_string()
    }

    #[test]
    fn who_only_answers_stun_is_a_server_whoever_was_heard_first() {
        assert_eq!(local(&begun(1, MEDIA, CLIENT, stun(&[CLIENT], [false; 2]))), CLIENT);
        assert_eq!(local(&begun(1, CLIENT, MEDIA, stun(&[CLIENT], [false; 2]))), CLIENT);
        assert_eq!(local(&begun(1, MEDIA, CLIENT, stun(&[CLIENT, MEDIA], [false, true]))), CLIENT);
        assert_eq!(local(&begun(1, MEDIA, CLIENT, stun(&[CLIENT, MEDIA], [false; 2]))), MEDIA, "both answer");
    }

    #[test]
    fn who_opens_tls_elsewhere_is_the_client_where_only_the_first_packet_says_otherwise() {
        let packet = crate::observe::PacketRef::new(0, 1);
        let tls = Tls { client_hello: Some(packet), ..Tls::default() };
        let mut signalling = begun(
            1,
            "203.0.113.5:50001",
            "198.51.100.8:443",
            Facts { tls: Some(Box::new(tls)), ..Facts::default() },
        );
        signalling.flow.tuple.protocol = TCP;
        signalling.verdict.role = Some(Role::Signalling);
        let late = begun(2, MEDIA, CLIENT, Facts::default());
        let mut flows = [signalling.clone(), late.clone()];
        tell_apart(&mut flows, Threads::ONE);
        assert_eq!(flows.each_ref().map(local), ["203.0.113.5:50001", CLIENT]);
        let mut both = [
            signalling,
            begun(4, "198.51.100.7:50003", "192.0.2.1:20000", stun(&["198.51.100.7:50003"], [false; 2])),
            late,
        ];
        tell_apart(&mut both, Threads::ONE);
        assert_eq!(local(&both[2]), MEDIA, "both are clients elsewhere: who spoke first");
    }

    #[test]
    fn the_leg_of_another_client_shows_who_the_server_is() {
        let other = begun(1, "203.0.113.6:50000", MEDIA, stun(&["203.0.113.6:50000"], [false; 2]));
        let mut flows = [other, begun(2, MEDIA, CLIENT, Facts::default())];
        tell_apart(&mut flows, Threads::ONE);
        assert_eq!(local(&flows[1]), CLIENT);
    }
}
