//! Which end of a flow is the endpoint's where nothing but its first packet says so, and that may be missing or late.
//!
//! Who only answers STUN is a server. Else what the other flows of the two ends show: who opened TLS over TCP, who asked for
//! names. Which way a DTLS `ClientHello` went says nothing, either side of a call may be its client (RFC 5763 section 5).

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashSet;

use super::Judged;
use super::endpoint::{is_open, is_service};
use crate::classify::Role;
use crate::observe::Summary;

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

/// Turns flows around of which only who spoke first told the ends apart, and the other flows of their ends say otherwise.
pub fn settle(flows: &mut [Judged]) {
    let (mut clients, mut servers) = (HashSet::new(), HashSet::new());
    for judged in flows.iter().filter(|judged| tells(judged)) {
        clients.insert(judged.sides().local.ip());
        servers.insert(judged.sides().remote.ip());
    }
    let is_client = |address: IpAddr| clients.contains(&address) && !servers.contains(&address);
    let is_server = |address: IpAddr| servers.contains(&address) && !clients.contains(&address);
    for judged in flows.iter_mut().filter(|judged| carries(judged)) {
        let tuple = judged.flow.tuple;
        let (source, destination) = (tuple.source.ip(), tuple.destination.ip());
        let turned = is_client(destination) && !clients.contains(&source)
            || is_server(source) && !servers.contains(&destination);
        if turned && is_open(&judged.flow, &judged.verdict) {
            judged.local_is_source = false;
        }
    }
}

/// True for a flow that shows for itself who is a client: a TLS handshake over TCP, a question for a name, STUN that one
/// end answers.
fn tells(judged: &Judged) -> bool {
    let (local, remote) = (judged.sides().local, judged.sides().remote);
    let to_service = is_service(remote.port()) && !is_service(local.port());
    if judged.flow.tuple.protocol == TCP {
        let tls = judged.flow.facts.as_deref().and_then(|facts| facts.tls.as_deref());
        return to_service && tls.is_some_and(|tls| tls.client_hello.is_some());
    }
    if judged.role() == Role::Dns {
        return to_service && remote.port() == DNS;
    }
    originator_asks(&judged.flow) == Some(judged.local_is_source)
}

/// True for datagrams of a call. Exchanges of SIP ask for names and call as phones do, so that theirs are left as they are.
fn carries(judged: &Judged) -> bool {
    let has_sip = judged.flow.facts.as_deref().is_some_and(|facts| facts.sip.is_some());
    judged.flow.tuple.protocol != TCP
        && !has_sip
        && matches!(judged.role(), Role::Media | Role::P2p | Role::Relay | Role::Nat)
}

#[cfg(test)]
mod tests {
    use super::super::tests::flow;
    use super::*;
    use crate::observe::facts::{Facts, Stun, Tls};

    const CLIENT: &str = "203.0.113.5:50000";
    const MEDIA: &str = "198.51.100.7:10000";

    /// A flow with the ends as `sides` tells them.
    fn begun(id: u64, from: &str, to: &str, facts: Facts) -> Judged {
        let mut judged = flow(id, from, to, (0, 10_000));
        judged.flow.facts = Some(Box::new(facts));
        judged.local_is_source = super::super::sides(&judged.flow, &judged.verdict).local_is_source;
        judged
    }

    fn stun(mapped: &[&str], clients: [bool; 2]) -> Facts {
        let packet = crate::observe::PacketRef::new(0, 1);
        let mapped = mapped.iter().map(|address| (address.parse().unwrap(), packet)).collect();
        Facts { stun: Some(Box::new(Stun { mapped, clients, ..Stun::default() })), ..Facts::default() }
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
        settle(&mut flows);
        assert_eq!(flows.each_ref().map(local), ["203.0.113.5:50001", CLIENT]);
        let mut both = [
            signalling,
            begun(4, "198.51.100.7:50003", "192.0.2.1:20000", stun(&["198.51.100.7:50003"], [false; 2])),
            late,
        ];
        settle(&mut both);
        assert_eq!(local(&both[2]), MEDIA, "both are clients elsewhere: who spoke first");
    }

    #[test]
    fn the_leg_of_another_client_shows_who_the_server_is() {
        let other = begun(1, "203.0.113.6:50000", MEDIA, stun(&["203.0.113.6:50000"], [false; 2]));
        let mut flows = [other, begun(2, MEDIA, CLIENT, Facts::default())];
        settle(&mut flows);
        assert_eq!(local(&flows[1]), CLIENT);
    }
}
