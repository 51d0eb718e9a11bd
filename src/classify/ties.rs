//! What ties a flow to another that has a name: a DNS answer, an announced address, a socket, an ICE pair.
//!
//! A media flow seldom says whose it is. It is named by its own marks first, else by these.

use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::evidence::{could_be_server, host_role};
use super::kept;
use super::provider::Grade;
use super::rules::Rules;
use super::value::Value;
use super::verdict::{Evidence, Role, Verdict};
use crate::observe::facts::{Facts, Ja4, OtherName};
use crate::observe::{PacketRef, Summary};

/// A flow lends its name from this confidence on.
const LENDS: f32 = 0.7;
/// Names remembered for one address.
const NAMES_PER_ADDRESS: usize = 16;
/// Addresses remembered of late, and as many from before.
const ADDRESSES: usize = 1 << 17;

const UDP: u8 = 17;

/// Session descriptions that are remembered of an address.
const DESCRIBED: usize = 32;

/// Who is told apart from whom, and by which packet.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Lender {
    provider: u16,
    packet: PacketRef,
    confidence: f32,
}

/// Address and port, without what a `SocketAddr` has beside them: there may be some hundred of each flow.
type End = (IpAddr, u16);

const fn end_of(address: SocketAddr) -> End {
    (address.ip(), address.port())
}

/// Where an address was announced.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Mapped,
    Relayed,
    Peer,
    Sdp,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Mapped => "tie_mapped_address",
            Self::Relayed => "tie_relayed_address",
            Self::Peer => "tie_peer_address",
            Self::Sdp => "tie_sdp_address",
        }
    }
}

/// A name that a DNS answer gave to an address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NameHit {
    client: IpAddr,
    #[serde(with = "kept::text")]
    pub(crate) name: Arc<str>,
    pub(crate) packet: PacketRef,
}

/// Names of addresses, from the capture's own DNS answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Names {
    /// What was learnt lately.
    new: Learnt,
    /// What was learnt before that: when the new is full it takes the place of the old, so that a run of months knows the names of
    /// today.
    old: Learnt,
    /// Most bytes of both together, where there is a limit.
    #[serde(skip)]
    most: Option<u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Learnt {
    #[serde(with = "kept::pairs")]
    by_address: HashMap<IpAddr, Vec<NameHit>>,
    #[serde(with = "kept::pairs")]
    others: HashMap<IpAddr, Vec<OtherName>>,
    /// About how many bytes all of this takes.
    bytes: u64,
}

/// Bytes of an address with its place in a table that is half full, and the block of its list.
const ADDRESS: usize = 160;
/// Bytes of a text beside its letters.
const TEXT: usize = 32;

impl Learnt {
    fn takes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl Names {
    /// Remembers no more names than take so many bytes: those learnt longest ago go.
    pub(crate) const fn limit(&mut self, bytes: u64) {
        self.most = Some(bytes);
    }

    /// Takes over the answers that a flow carried.
    pub fn learn(&mut self, flow: &Summary) {
        let Some(dns) = flow.facts.as_ref().and_then(|facts| facts.dns.as_ref()) else { return };
        let is_large = self.most.is_some_and(|most| self.new.bytes >= most / 2);
        if is_large || self.new.by_address.len() >= ADDRESSES || self.new.others.len() >= ADDRESSES {
            self.old = std::mem::take(&mut self.new);
        }
        for other in &dns.other_names {
            let held = self.new.others.entry(other.address).or_default();
            let known = held.iter().any(|known| known.reverse == other.reverse && known.name == other.name);
            if !known && held.len() < NAMES_PER_ADDRESS {
                let address = if held.is_empty() { ADDRESS } else { 0 };
                held.reserve_exact(1);
                held.push(other.clone());
                let entry = size_of::<OtherName>().saturating_add(TEXT).saturating_add(other.name.len());
                self.new.takes(address.saturating_add(entry));
            }
        }
        let mut before: Option<&Arc<str>> = None;
        for (name, address, packet) in &dns.addresses {
            let hits = self.new.by_address.entry(*address).or_default();
            let client = flow.tuple.source.ip();
            let known = hits.iter().any(|hit| hit.client == client && hit.name == *name);
            if !known && hits.len() < NAMES_PER_ADDRESS {
                let address = if hits.is_empty() { ADDRESS } else { 0 };
                // A name is held once for all its addresses.
                let is_held = before.is_some_and(|before| Arc::ptr_eq(before, name));
                let text = if is_held { 0 } else { TEXT.saturating_add(name.len()) };
                before = Some(name);
                hits.reserve_exact(1);
                hits.push(NameHit { client, name: Arc::clone(name), packet: *packet });
                self.new.takes(address.saturating_add(size_of::<NameHit>()).saturating_add(text));
            }
        }
    }

    /// Names of an address that nobody asked for: of reverse look-ups, and where aliases end.
    pub(crate) fn others_of(&self, address: IpAddr) -> impl Iterator<Item = &OtherName> {
        [&self.new, &self.old].into_iter().filter_map(move |learnt| learnt.others.get(&address)).flatten()
    }

    /// The names that `client` was given for `address`, or anybody when it asked for none itself.
    pub(crate) fn of(&self, client: IpAddr, address: IpAddr) -> Vec<&NameHit> {
        let mut all: Vec<&NameHit> = self.new.by_address.get(&address).into_iter().flatten().collect();
        for hit in self.old.by_address.get(&address).into_iter().flatten() {
            if !all.iter().any(|known| known.client == hit.client && known.name == hit.name) {
                all.push(hit);
            }
        }
        let own: Vec<&NameHit> = all.iter().filter(|hit| hit.client == client).copied().collect();
        if own.is_empty() { all } else { own }
    }
}

/// What named flows lend to the unnamed.
#[derive(Debug, Default)]
pub(super) struct Ties {
    sockets: HashMap<End, Lender>,
    announced: HashMap<End, (Lender, Place)>,
    /// The session descriptions of the flow that announced an address first, by the flow's first packet: calls that follow each other use one
    /// again.
    described: HashMap<End, (PacketRef, Vec<PacketRef>)>,
    ufrags: HashMap<String, Lender>,
    ssrcs: HashMap<u32, Lender>,
    /// Both ends of the RTCP flow that goes with a flow of RTP (RFC 3550 section 11: the next higher ports).
    rtcp_pairs: HashMap<(End, End), Lender>,
    servers: HashMap<(IpAddr, IpAddr), Lender>,
    /// By endpoint and JA4: apps that this program was seen to speak to, each once.
    programs: HashMap<(IpAddr, Ja4), Vec<Lender>>,
}

fn keep<K: Eq + Hash>(map: &mut HashMap<K, Lender>, key: K, lender: Lender) {
    let held = map.entry(key).or_insert(lender);
    if lender.confidence > held.confidence {
        *held = lender;
    }
}

impl Ties {
    /// Takes over what a flow with a sure name can lend.
    pub(super) fn learn(&mut self, flow: &Summary, verdict: &Verdict) {
        let Some(provider) = verdict.provider.filter(|_| verdict.confidence >= LENDS) else { return };
        let lender = Lender { provider, packet: flow.first_packet, confidence: verdict.confidence };
        let (source, destination) = (flow.tuple.source, flow.tuple.destination);
        // A server that only told addresses serves many apps.
        if verdict.role.is_some_and(|role| role.is_call() && role != Role::Nat || role == Role::Signalling)
            && could_be_server(destination.ip())
        {
            keep(&mut self.servers, (source.ip(), destination.ip()), lender);
        }
        let Some(facts) = flow.facts.as_deref() else { return };
        if let Some(ja4) = facts.tls.as_ref().and_then(|tls| tls.ja4)
            && verdict.runner_up.is_none()
        {
            let known = self.programs.entry((source.ip(), ja4)).or_default();
            if !known.iter().any(|known| known.provider == provider) {
                known.push(lender);
            }
        }
        if flow.tuple.protocol == UDP && verdict.role.is_some_and(Role::is_call) {
            for end in [source, destination] {
                if end.port() >= 1024 && !is_service_port(end.port()) {
                    keep(&mut self.sockets, end_of(end), lender);
                }
            }
        }
        if facts.media.as_ref().is_some_and(|media| !media.streams.is_empty())
            && let (Some(source), Some(destination)) = (next_port(source), next_port(destination))
        {
            let lender =
                Lender { packet: facts.media.as_ref().map_or(lender.packet, |media| media.packet), ..lender };
            keep(&mut self.rtcp_pairs, (source, destination), lender);
            keep(&mut self.rtcp_pairs, (destination, source), lender);
        }
        self.learn_addresses(facts, lender);
    }

    fn learn_addresses(&mut self, facts: &Facts, lender: Lender) {
        let mut announce = |address: SocketAddr, packet: PacketRef, place: Place| {
            self.announced.entry(end_of(address)).or_insert((Lender { packet, ..lender }, place));
        };
        if let Some(stun) = &facts.stun {
            stun.mapped.iter().for_each(|(address, packet)| announce(*address, *packet, Place::Mapped));
            stun.relayed.iter().for_each(|(address, packet)| announce(*address, *packet, Place::Relayed));
            stun.peers.iter().for_each(|(address, packet)| announce(*address, *packet, Place::Peer));
            for (username, packet) in &stun.usernames {
                if let Some(pair) = ufrag_pair(username) {
                    keep(&mut self.ufrags, pair, Lender { packet: *packet, ..lender });
                }
            }
        }
        if let Some(sip) = &facts.sip {
            sip.media.iter().for_each(|held| announce(held.address, held.packet, Place::Sdp));
            for held in &sip.media {
                let described = self.described.entry(end_of(held.address));
                let (flow, known) = described.or_insert_with(|| (lender.packet, Vec::new()));
                if *flow == lender.packet && known.len() < DESCRIBED {
                    known.push(held.packet);
                }
            }
        }
        if let Some(media) = &facts.media {
            for stream in &media.streams {
                // A low number is no random one: Zoom counts them up in every meeting anew.
                if stream.ssrc > 0x0fff_ffff && facts.zoom.is_none() {
                    keep(&mut self.ssrcs, stream.ssrc, Lender { packet: stream.packet, ..lender });
                }
            }
        }
    }

    /// For a flow whose name two apps share: which of them the same program of the same endpoint was seen to
    /// speak to otherwise. A browser speaks to many, so this chooses among the flow's own candidates only.
    pub(super) fn choice(&self, flow: &Summary, own: &[Evidence]) -> Vec<Evidence> {
        let ja4 = flow.facts.as_deref().and_then(|facts| facts.tls.as_ref()).and_then(|tls| tls.ja4);
        let known = ja4.and_then(|ja4| self.programs.get(&(flow.tuple.source.ip(), ja4)));
        let candidate = |lender: &&Lender| own.iter().any(|item| item.provider == lender.provider);
        let chosen: Vec<&Lender> = known.into_iter().flatten().filter(candidate).collect();
        let [only] = chosen.as_slice() else { return Vec::new() };
        vec![Evidence {
            provider: only.provider,
            what: "tie_program",
            value: "the same program of the endpoint (JA4) spoke to this app's servers".into(),
            weight: 0.9 * only.confidence,
            packet: only.packet,
            checked: true,
            role: None,
        }]
    }

    /// The latest session description before a packet that announced an address.
    fn described(&self, end: SocketAddr, before: PacketRef) -> Option<PacketRef> {
        let (_, known) = self.described.get(&end_of(end))?;
        known.iter().filter(|packet| **packet <= before).max().copied()
    }

    /// What other flows say of this one.
    pub(super) fn evidence(&self, flow: &Summary) -> Vec<Evidence> {
        let mut found = Vec::new();
        let mut add = |what, lender: &Lender, weight: f32, value: String| {
            found.push(Evidence {
                provider: lender.provider,
                what,
                value: value.into(),
                weight: weight * lender.confidence,
                packet: lender.packet,
                checked: true,
                role: None,
            });
        };
        let (source, destination) = (flow.tuple.source, flow.tuple.destination);
        if let Some(lender) = self.servers.get(&(source.ip(), destination.ip()))
            && lender.packet != flow.first_packet
        {
            add("tie_server", lender, 0.6, format!("{} also served {}", destination.ip(), source.ip()));
        }
        if flow.tuple.protocol != UDP {
            return found;
        }
        for end in [source, destination] {
            if let Some(lender) =
                self.sockets.get(&end_of(end)).filter(|lender| lender.packet != flow.first_packet)
            {
                add("tie_socket", lender, 0.85, format!("{end} also spoke there"));
            }
            if let Some((lender, place)) = self.announced.get(&end_of(end)) {
                let latest = self.described(end, flow.first_packet).filter(|_| *place == Place::Sdp);
                let lender = Lender { packet: latest.unwrap_or(lender.packet), ..*lender };
                add(place.name(), &lender, 0.88, end.to_string());
            }
        }
        let Some(facts) = flow.facts.as_deref() else { return found };
        if let Some(lender) =
            self.rtcp_pairs.get(&(end_of(source), end_of(destination))).filter(|_| facts.media.is_some())
        {
            add("tie_rtcp_port", lender, 0.9, format!("RTP ran one port below, {source} and {destination}"));
        }
        for (username, _) in facts.stun.iter().flat_map(|stun| &stun.usernames) {
            if let Some(lender) = ufrag_pair(username).and_then(|pair| self.ufrags.get(&pair)) {
                add("tie_ice_ufrag", lender, 0.88, username.clone());
            }
        }
        for stream in facts.media.iter().flat_map(|media| &media.streams) {
            if let Some(lender) = self.ssrcs.get(&stream.ssrc) {
                add("tie_ssrc", lender, 0.85, format!("{:#010x}", stream.ssrc));
            }
        }
        found
    }
}

/// What the capture's DNS answers say of the server of a flow that names nobody itself.
pub(super) fn dns_evidence(rules: &Rules, names: &Names, flow: &Summary) -> Vec<Evidence> {
    let (source, destination) = (flow.tuple.source, flow.tuple.destination);
    if destination.port() == 53 {
        return Vec::new();
    }
    let mut found: Vec<Evidence> = Vec::new();
    for (client, server) in [(source.ip(), destination.ip()), (destination.ip(), source.ip())] {
        for hit in names.of(client, server) {
            for rule in rules.host(&hit.name) {
                let weight = match rule.standing.grade {
                    Grade::High => 0.9,
                    Grade::Medium => 0.8,
                    Grade::Low => 0.5,
                };
                let tcp = flow.tuple.protocol == 6;
                found.push(Evidence {
                    provider: rule.provider,
                    what: "dns_name",
                    value: Value::Named { address: server, name: Arc::clone(&hit.name) },
                    weight: if rule.standing.checked { weight } else { weight * 0.5 },
                    packet: hit.packet,
                    checked: rule.standing.checked,
                    role: tcp.then(|| host_role(rule.role)),
                });
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

fn next_port(address: SocketAddr) -> Option<End> {
    Some((address.ip(), address.port().checked_add(1)?))
}

/// The two ufrags of an ICE check in an order that both directions share (RFC 8445 section 7.2.2).
fn ufrag_pair(username: &str) -> Option<String> {
    let (a, b) = username.split_once(':')?;
    if a.len() < 4 || b.len() < 4 {
        return None;
    }
    Some(if a <= b { format!("{a}:{b}") } else { format!("{b}:{a}") })
}

/// Ports of services, which many speak to and which therefore tie nothing.
pub const fn is_service_port(port: u16) -> bool {
    matches!(port, 1400 | 3478..=3481 | 5004 | 5060 | 5061 | 5349 | 8801..=8810 | 9000 | 10000 | 19302..=19309)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FiveTuple;
    use crate::observe::Outline;
    use crate::observe::facts::{Announced, Dns, OtherName, Sip};

    /// A flow of DNS that gives a name of 100 letters to 20 addresses, and says what each is called by a look-up of its own.
    fn answers(number: u32) -> Summary {
        let name: Arc<str> = format!("{number:0100}").into();
        let address = |low: u32| IpAddr::from((0x0b00_0000 + number * 20 + low).to_be_bytes());
        let other = |low| OtherName {
            name: format!("{low:0100}"),
            address: address(low),
            reverse: true,
            packet: PacketRef::new(0, 1),
        };
        let dns = Dns {
            addresses: (0..20).map(|low| (Arc::clone(&name), address(low), PacketRef::new(0, 1))).collect(),
            other_names: (0..20).map(other).collect(),
            ..Dns::default()
        };
        let socket = "10.0.0.1:5000".parse().unwrap();
        let tuple = FiveTuple { source: socket, destination: socket, protocol: UDP };
        let facts = Some(Box::new(Facts { dns: Some(Box::new(dns)), ..Facts::default() }));
        Summary::from(Outline { facts, ..Outline::plain(number.into(), tuple) })
    }

    /// Of how many of so many flows names are remembered, and the flows from the first of which they are.
    fn remembered(names: &Names, flows: u32) -> (usize, Option<u32>) {
        let first = |number: &u32| IpAddr::from((0x0b00_0000 + number * 20).to_be_bytes());
        let asker = "10.0.0.1".parse().unwrap();
        let known = |number: &u32| {
            let (hits, others) = (names.of(asker, first(number)), names.others_of(first(number)).count());
            assert_eq!(hits.len(), others);
            others > 0
        };
        let known: Vec<u32> = (0..flows).filter(known).collect();
        (known.len(), known.first().copied())
    }

    #[test]
    fn names_learnt_longest_ago_go_where_there_is_no_room() {
        let mut names = Names::default();
        names.limit(1 << 20);
        for number in 0..2000 {
            names.learn(&answers(number));
        }
        // A flow's names are counted as 20 * (160 + 48) + 132 bytes, and as 20 * (160 + 56 + 132) or some more.
        let (count, first) = remembered(&names, 2000);
        assert!((70..=160).contains(&count), "{count} flows");
        assert_eq!(first, Some(2000 - u32::try_from(count).unwrap()));
        assert!(names.new.bytes + names.old.bytes <= 1 << 20);
        let mut all = Names::default();
        (0..2000).for_each(|number| all.learn(&answers(number)));
        assert_eq!(remembered(&all, 2000), (2000, Some(0)));
    }

    /// A caller that uses one port for call after call: the description before the media is the one that announced it.
    #[test]
    fn an_address_that_calls_announce_in_turn_is_tied_by_the_latest_before_its_media() {
        let end: SocketAddr = "10.0.0.1:30000".parse().unwrap();
        let server = "198.51.100.1:5060".parse().unwrap();
        let said = |call, frame| Announced {
            address: end,
            kind: "audio".to_owned(),
            profile: "RTP/AVP".to_owned(),
            crypto: false,
            fingerprint: false,
            call,
            in_response: false,
            packet: PacketRef::new(0, frame),
        };
        let sip = Sip { media: vec![said(1, 46), said(2, 90), said(3, 120)], ..Sip::default() };
        let facts = Some(Box::new(Facts { sip: Some(Box::new(sip)), ..Facts::default() }));
        let tuple = FiveTuple { source: end, destination: server, protocol: UDP };
        let signalling = Summary::from(Outline { facts, ..Outline::plain(1, tuple) });
        let mut ties = Ties::default();
        ties.learn(&signalling, &Verdict { provider: Some(0), confidence: 1.0, ..Verdict::default() });
        for (begun, shown) in [(40, 46), (95, 90), (130, 120)] {
            let tuple =
                FiveTuple { source: end, destination: "198.51.100.2:9000".parse().unwrap(), protocol: UDP };
            let media = Outline { first_packet: PacketRef::new(0, begun), ..Outline::plain(2, tuple) };
            let found = ties.evidence(&Summary::from(media));
            let tie = found.iter().find(|item| item.what == "tie_sdp_address").unwrap();
            assert_eq!(tie.packet, PacketRef::new(0, shown));
        }
    }
}
