//! Flows whose ends are not simply an endpoint and a server: straight between two endpoints, and from a relay onwards.
//!
//! A flow straight between two endpoints is in the calls of both. The leg of a relay that leads on from an address that a
//! client was given there is the client's own traffic once more: it makes no session of the relay's. In: judged flows.

use std::net::{IpAddr, SocketAddr};

use hashbrown::{HashMap, HashSet};

use super::endpoint::is_private;
use super::look::{Chosen, at};
use super::{Judged, Whose};
use crate::classify::{Role, could_be_server};
use crate::observe::facts::Sip;
use crate::parallel::Threads;
use crate::time::Timestamp;

/// Call-IDs on one flow from which it is a trunk between exchanges, not two phones.
const CALLS: usize = 8;

/// From when to when.
type Span = (Timestamp, Timestamp);

/// Adds flows straight between two endpoints to the calls of the other one, too: where both addresses are private, the other was
/// heard using the app, or its checks say that it is a client; and the calls of two SIP phones.
pub(super) fn add(flows: &[Judged], chosen: &Chosen, relays: &Relays, made: &mut Vec<(Whose, usize)>) {
    let mut users: HashSet<Whose> = made.iter().map(|(whose, _)| *whose).collect();
    for (_, judged) in at(flows, &chosen.signalling) {
        users.insert((judged.sides().local.ip(), judged.verdict.provider));
    }
    let phones = phones(flows, chosen);
    for (index, judged) in at(flows, &chosen.calls) {
        let peer = (judged.sides().remote.ip(), judged.verdict.provider);
        let straight = match judged.role() {
            Role::P2p => {
                let is_user = peer.1.is_some() && users.contains(&peer);
                let is_endpoint = both_private(judged) || is_user || both_clients(judged);
                is_endpoint && !relays.is_leg(judged) && !relays.is_host(peer.0)
            }
            Role::Media | Role::Signalling => phones.get(&pair(judged)).is_some_and(|spans| {
                spans.iter().any(|(from, to)| judged.flow.start <= *to && *from <= judged.flow.end)
            }),
            Role::Nat | Role::Relay | Role::Web | Role::Dns | Role::Other => false,
        };
        if straight {
            made.push((peer, index));
        }
    }
}

/// Both may be endpoints of one network. A flow between them may be to an exchange or a server, too.
fn both_private(judged: &Judged) -> bool {
    [judged.sides().local.ip(), judged.sides().remote.ip()].into_iter().all(is_private)
}

/// The checks of both say that they are clients.
fn both_clients(judged: &Judged) -> bool {
    let stun = judged.flow.facts.as_deref().and_then(|facts| facts.stun.as_deref());
    stun.is_some_and(|stun| stun.clients == [true, true])
}

fn pair(judged: &Judged) -> (IpAddr, IpAddr) {
    let (one, two) = (judged.sides().local.ip(), judged.sides().remote.ip());
    (one.min(two), one.max(two))
}

/// Pairs of SIP phones that call each other without anybody between, with the times of their signalling.
///
/// An exchange looks like a phone to a phone. It is known by who registers with it, by calls with several at a time, and by
/// its name on both sides of the call: in one without an exchange each party is named by its own address.
fn phones(flows: &[Judged], chosen: &Chosen) -> HashMap<(IpAddr, IpAddr), Vec<Span>> {
    let (mut pairs, mut exchanges) = (HashMap::<_, Vec<Span>>::new(), HashSet::new());
    // Whom an address spoke to last, and until when.
    let mut spoke: HashMap<IpAddr, (IpAddr, Timestamp)> = HashMap::new();
    for (_, judged) in at(flows, &chosen.sip) {
        let Some(sip) = judged.flow.facts.as_deref().and_then(|facts| facts.sip.as_deref()) else { continue };
        let has = |wanted: &str| sip.methods.iter().any(|(method, _)| method == wanted);
        let (local, remote) = (judged.sides().local.ip(), judged.sides().remote.ip());
        if has("REGISTER") {
            exchanges.insert(judged.flow.tuple.destination.ip());
        }
        if !has("INVITE") {
            continue;
        }
        for (one, two) in [(local, remote), (remote, local)] {
            let (other, until) = spoke.get(&one).copied().unwrap_or((two, judged.flow.end));
            if other != two && judged.flow.start <= until {
                exchanges.insert(one);
            }
            spoke.insert(one, (two, until.max(judged.flow.end)));
        }
        if both_private(judged) && judged.role() == Role::Signalling && are_parties(sip, [local, remote]) {
            pairs.entry(pair(judged)).or_default().push((judged.flow.start, judged.flow.end));
        }
    }
    pairs.retain(|(one, two), _| !exchanges.contains(one) && !exchanges.contains(two));
    pairs
}

/// Whether caller and callee are named by these addresses, one each.
fn are_parties(sip: &Sip, [one, two]: [IpAddr; 2]) -> bool {
    let Some((from, to)) = sip.parties.as_ref().filter(|_| sip.call_ids.len() < CALLS) else { return false };
    let (from, to) = (host(from), host(to));
    from.is_some()
        && to.is_some()
        && from != to
        && [from, to].iter().all(|host| [Some(one), Some(two)].contains(host))
}

/// The address in a SIP URI whose host is one (RFC 3261 section 19.1).
fn host(party: &str) -> Option<IpAddr> {
    let (_, uri) = party.split_once("sip:").or_else(|| party.split_once("sips:"))?;
    let host = uri.split(['>', ';', '?', ' ']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split(']').next()?.parse().ok();
    }
    host.split(':').next()?.parse().ok()
}

/// Addresses that clients were given on relays (XOR-RELAYED-ADDRESS, RFC 8656).
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// When each was somebody's, in order and apart from each other.
    given: HashMap<SocketAddr, Vec<Span>>,
    /// Hosts that were seen to relay.
    hosts: HashSet<IpAddr>,
    /// Who speaks to others, other than from a relay; of those at the ends of legs alone.
    clients: HashSet<IpAddr>,
    /// Who carries the media of clients; of those at the ends of legs alone.
    servers: HashSet<IpAddr>,
}

impl Relays {
    /// Learns from all flows of a run.
    pub(super) fn of(flows: &[Judged], chosen: &Chosen, threads: Threads) -> Self {
        let mut relays = Self::default();
        for (_, judged) in at(flows, &chosen.relays) {
            let stun = judged.flow.facts.as_deref().and_then(|facts| facts.stun.as_deref());
            if judged.role() == Role::Relay {
                relays.hosts.insert(judged.sides().remote.ip());
            }
            for (address, _) in stun.iter().filter(|stun| stun.relays).flat_map(|stun| &stun.relayed) {
                relays.given.entry(*address).or_default().push((judged.flow.start, judged.flow.end));
            }
        }
        for spans in relays.given.values_mut() {
            *spans = apart(std::mem::take(spans));
        }
        let asked = relays.asked(flows, chosen);
        if !asked.is_empty() {
            relays.learn_of(&asked, flows, threads);
        }
        relays
    }

    /// Of whom it matters whether they are clients or servers: the ends of legs that are not the relay's.
    fn asked(&self, flows: &[Judged], chosen: &Chosen) -> HashSet<IpAddr> {
        if self.given.is_empty() {
            return HashSet::new();
        }
        let ends = at(flows, &chosen.calls).filter_map(|(_, judged)| {
            let (local, remote) = (judged.sides().local, judged.sides().remote);
            match (self.is_given(local, judged), self.is_given(remote, judged)) {
                (true, false) => Some(remote.ip()),
                (false, true) => Some(local.ip()),
                (true, true) | (false, false) => None,
            }
        });
        ends.collect()
    }

    /// Finds out who of those asked for is a client or a server of any flow.
    fn learn_of(&mut self, asked: &HashSet<IpAddr>, flows: &[Judged], threads: Threads) {
        let look = |_, piece: &[Judged]| {
            let (mut clients, mut servers) = (Vec::new(), Vec::new());
            for judged in piece.iter().filter(|judged| judged.role() != Role::Dns) {
                let (local, remote) = (judged.sides().local.ip(), judged.sides().remote.ip());
                let (is_client, is_server) =
                    (asked.contains(&local), judged.role() == Role::Media && asked.contains(&remote));
                if (is_client || is_server) && !self.is_leg(judged) {
                    clients.extend(is_client.then_some(local));
                    servers.extend(is_server.then_some(remote));
                }
            }
            (clients, servers)
        };
        let (mut clients, mut servers) = (HashSet::new(), HashSet::new());
        threads.in_order(flows, look, |found| {
            clients.extend(found.0);
            servers.extend(found.1);
        });
        (self.clients, self.servers) = (clients, servers);
    }

    /// Whether a socket is a client's address on a relay while a flow lasts.
    pub(super) fn is_given(&self, socket: SocketAddr, judged: &Judged) -> bool {
        let flow = &judged.flow;
        self.given.get(&socket).is_some_and(|spans| {
            let begun = spans.partition_point(|(from, _)| *from <= flow.end);
            let latest = begun.checked_sub(1).and_then(|place| spans.get(place));
            latest.is_some_and(|(_, to)| flow.start <= *to)
        })
    }

    /// Whether an address is a relay's: who speaks from there is somebody behind it.
    fn is_host(&self, address: IpAddr) -> bool {
        self.hosts.contains(&address)
    }

    /// Whether a flow leads from a relay onwards.
    pub(super) fn is_leg(&self, judged: &Judged) -> bool {
        self.is_given(judged.sides().local, judged) || self.is_given(judged.sides().remote, judged)
    }

    /// Whose call a flow is: of a leg that leads from a relay to a server nobody's, as the client's flow to the relay is there.
    pub(super) fn endpoint(&self, judged: &Judged) -> Option<IpAddr> {
        let (local, remote) = (judged.sides().local, judged.sides().remote);
        match (self.is_given(local, judged), self.is_given(remote, judged)) {
            (true, true) => None,
            (false, false) => Some(local.ip()),
            (true, false) => Some(remote.ip())
                .filter(|ip| !self.servers.contains(ip))
                .filter(|ip| self.clients.contains(ip) || both_clients(judged) || !could_be_server(*ip)),
            (false, true) => Some(local.ip()).filter(|ip| !self.servers.contains(ip)),
        }
    }
}

/// Spans of time in order, those that touch as one: a moment is in one of these where it was in one of those.
fn apart(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut apart: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{at_ms, flow};
    use super::*;

    proptest! {
        #[test]
        fn an_address_is_given_while_any_of_its_spans_lasts(
            spans in prop::collection::vec((0_i64..40, 0_i64..8), 0..8),
            from in 0_i64..50,
            lasts in 0_i64..8,
        ) {
            let judged = flow(1, "10.0.0.2:50000", "192.0.2.9:10000", (from, from + lasts));
            let socket = judged.sides().remote;
            let spans: Vec<Span> =
                spans.into_iter().map(|(from, lasts)| (at_ms(from), at_ms(from + lasts))).collect();
            let expected =
                spans.iter().any(|(from, to)| judged.flow.start <= *to && *from <= judged.flow.end);
            let given = HashMap::from_iter([(socket, apart(spans))]);
            let relays = Relays { given, ..Relays::default() };
            prop_assert_eq!(relays.is_given(socket, &judged), expected);
        }
    }
}
