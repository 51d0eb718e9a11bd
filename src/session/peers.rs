//! Flows whose ends are not simply an endpoint and a server: straight between two endpoints, and from a relay onwards.
//!
//! A flow straight between two endpoints is in the calls of both. The leg of a relay that leads on from an address that a
//! client was given there is the client's own traffic once more: it makes no session of the relay's. In: judged flows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hashbrown::{HashMap, HashSet};

use super::endpoint::is_private;
use super::{Judged, Whose, called};
use crate::classify::{Role, could_be_server};
use crate::observe::facts::Sip;
use crate::time::Timestamp;

/// Call-IDs on one flow from which it is a trunk between exchanges, not two phones.
const CALLS: usize = 8;

/// From when to when.
type Span = (Timestamp, Timestamp);

/// Adds flows straight between two endpoints to the calls of the other one, too: where both addresses are private, the other was
/// heard using the app, or its checks say that it is a client; and the calls of two SIP phones. `alone` says which flows make a call.
pub(super) fn add(
    flows: &[Judged],
    alone: &[bool],
    relays: &Relays,
    calls: &mut BTreeMap<Whose, Vec<usize>>,
) {
    let mut users: BTreeSet<Whose> = calls.keys().copied().collect();
    for judged in flows.iter().filter(|judged| judged.role() == Role::Signalling) {
        users.insert((judged.sides().local.ip(), judged.verdict.provider));
    }
    let phones = phones(flows);
    for (index, judged) in called(flows, alone) {
        let peer = (judged.sides().remote.ip(), judged.verdict.provider);
        let is_user = peer.1.is_some() && users.contains(&peer);
        let straight = match judged.role() {
            Role::P2p => {
                let is_endpoint = both_private(judged) || is_user || both_clients(judged);
                is_endpoint && !relays.is_leg(judged) && !relays.is_host(peer.0)
            }
            Role::Media | Role::Signalling => phones.get(&pair(judged)).is_some_and(|spans| {
                spans.iter().any(|(from, to)| judged.flow.start <= *to && *from <= judged.flow.end)
            }),
            Role::Nat | Role::Relay | Role::Web | Role::Dns | Role::Other => false,
        };
        if straight {
            calls.entry(peer).or_default().push(index);
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
fn phones(flows: &[Judged]) -> HashMap<(IpAddr, IpAddr), Vec<Span>> {
    let (mut pairs, mut exchanges) = (HashMap::<_, Vec<Span>>::new(), HashSet::new());
    // Whom an address spoke to last, and until when.
    let mut spoke: HashMap<IpAddr, (IpAddr, Timestamp)> = HashMap::new();
    for judged in flows {
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
    given: HashMap<SocketAddr, Vec<Span>>,
    /// Hosts that were seen to relay.
    hosts: HashSet<IpAddr>,
    /// Who speaks to others, other than from a relay.
    clients: HashSet<IpAddr>,
    /// Who carries the media of clients.
    servers: HashSet<IpAddr>,
}

impl Relays {
    /// Learns from all flows of a run.
    pub(super) fn of(flows: &[Judged]) -> Self {
        let mut relays = Self::default();
        for judged in flows {
            let stun = judged.flow.facts.as_deref().and_then(|facts| facts.stun.as_deref());
            if judged.role() == Role::Relay {
                relays.hosts.insert(judged.sides().remote.ip());
            }
            for (address, _) in stun.iter().filter(|stun| stun.relays).flat_map(|stun| &stun.relayed) {
                relays.given.entry(*address).or_default().push((judged.flow.start, judged.flow.end));
            }
        }
        if relays.given.is_empty() {
            return relays;
        }
        for judged in flows.iter().filter(|judged| judged.role() != Role::Dns) {
            if !relays.is_leg(judged) {
                relays.clients.insert(judged.sides().local.ip());
                if judged.role() == Role::Media {
                    relays.servers.insert(judged.sides().remote.ip());
                }
            }
        }
        relays
    }

    /// Whether a socket is a client's address on a relay while a flow lasts.
    pub(super) fn is_given(&self, socket: SocketAddr, judged: &Judged) -> bool {
        let flow = &judged.flow;
        let spans = self.given.get(&socket);
        spans.is_some_and(|spans| spans.iter().any(|(from, to)| flow.start <= *to && *from <= flow.end))
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
