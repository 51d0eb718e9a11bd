//! The other ends of a session: who was spoken to, as what, and by which name.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::Judged;
use super::peers::Relays;
use crate::classify::provider::HostRole;
use crate::classify::{Names, Role, Rules, could_be_server};
use crate::observe::PacketRef;
use crate::observe::facts::Dtls;
use crate::time::Timestamp;

/// Where a server's name comes from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NameSource {
    /// The `server_name` that the client asked for.
    Sni,
    /// The server's certificate.
    Certificate,
    /// An answer of the capture's own DNS.
    Dns,
}

/// A name of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownName {
    /// The name.
    pub name: String,
    /// It comes from a reverse look-up.
    pub reverse: bool,
    /// The packet that shows it.
    pub packet: PacketRef,
}

/// Names kept of a server.
const NAMES: usize = 16;

/// One address that the endpoint spoke to within a session.
#[derive(Debug)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// Its ports with their IP protocol number.
    pub ports: Vec<(u8, u16)>,
    /// Its name and where that comes from.
    pub name: Option<(String, NameSource, PacketRef)>,
    /// All names that were seen of it, each once.
    pub names: Vec<KnownName>,
    /// What it did in the session, each role once.
    pub roles: Vec<Role>,
    /// A provider file says that hosts of this name hand out media keys.
    pub key_service: bool,
    /// A provider file says that hosts of this name carry media, or the address did carry media.
    pub media_service: bool,
    /// A provider file says that only settings, telemetry and the like are fetched from hosts of this name.
    pub backstage: bool,
    /// A provider file says that hosts of this name are for STUN and TURN.
    pub relays: bool,
    /// It answered TURN over UDP.
    pub answered_turn: bool,
    /// TLS or QUIC ended here.
    pub tls: bool,
    /// SIP in the clear was read here.
    pub clear_sip: bool,
    /// DTLS ended here with media keys agreed (`use_srtp`).
    pub dtls_srtp: bool,
    /// The TURN relay that it was reached through, where it was.
    pub behind: Option<IpAddr>,
    /// First packet to or from it.
    pub first_contact: Timestamp,
    /// The packet of that.
    pub first_packet: PacketRef,
    /// First packet of the handshake that shows the name, where there is one.
    pub handshake: Option<PacketRef>,
    /// Last packet to or from it.
    pub last_contact: Timestamp,
    /// Frame bytes both ways.
    pub bytes: u64,
    /// Frame bytes that it sent.
    pub bytes_received: u64,
}

impl Server {
    /// True for the other participant of a call without a media server.
    pub fn is_peer(&self) -> bool {
        self.roles.contains(&Role::P2p) && !self.tls && !self.roles.contains(&Role::Media)
    }

    /// True when call signalling ended here.
    pub fn signals(&self) -> bool {
        self.roles.contains(&Role::Signalling)
    }
}

/// The servers of a session so far, by address.
#[derive(Default)]
struct Found {
    servers: Vec<Server>,
    places: HashMap<IpAddr, usize>,
}

impl Found {
    fn at(&mut self, address: IpAddr, begin: impl FnOnce() -> Server) -> Option<&mut Server> {
        let next = self.servers.len();
        let place = *self.places.entry(address).or_insert(next);
        if place == next {
            self.servers.push(begin());
        }
        self.servers.get_mut(place)
    }
}

/// The servers of a session's flows, in the order of first contact. Resolvers are not listed.
pub(super) fn servers(rules: &Rules, names: &Names, relays: &Relays, flows: &[&Judged]) -> Vec<Server> {
    let mut found = Found::default();
    for judged in flows.iter().filter(|judged| judged.role() != Role::Dns) {
        let Some(server) = found.at(judged.sides().remote.ip(), || begin(judged)) else { continue };
        // Who is spoken to at an address that a relay gave away is somebody behind that relay.
        let is_relayed = relays.is_given(judged.sides().remote, judged);
        add(server, judged, if is_relayed { Role::Relay } else { judged.role() });
        name(rules, names, server, judged, is_relayed || is_forwarded(judged));
    }
    for judged in flows {
        behind_relay(&mut found, judged);
    }
    let mut servers = found.servers;
    servers.sort_by_cached_key(|server| (server.first_contact, server.first_packet, server.address));
    servers
}

fn begin(judged: &Judged) -> Server {
    Server {
        address: judged.sides().remote.ip(),
        ports: Vec::new(),
        name: None,
        names: Vec::new(),
        roles: Vec::new(),
        key_service: false,
        media_service: false,
        backstage: false,
        relays: false,
        answered_turn: false,
        tls: false,
        clear_sip: false,
        dtls_srtp: false,
        behind: None,
        first_contact: judged.flow.start,
        first_packet: judged.flow.first_packet,
        handshake: None,
        last_contact: judged.flow.end,
        bytes: 0,
        bytes_received: 0,
    }
}

fn add(server: &mut Server, judged: &Judged, role: Role) {
    let flow = &judged.flow;
    let port = (flow.tuple.protocol, judged.sides().remote.port());
    if !server.ports.contains(&port) {
        server.ports.push(port);
        server.ports.sort_unstable();
    }
    if !server.roles.contains(&role) {
        server.roles.push(role);
        server.roles.sort_unstable();
    }
    if flow.start < server.first_contact {
        server.first_contact = flow.start;
        server.first_packet = flow.first_packet;
    }
    server.last_contact = server.last_contact.max(flow.end);
    let [forward, reverse] = flow.bytes;
    server.bytes = server.bytes.saturating_add(forward).saturating_add(reverse);
    let received = if judged.local_is_source { reverse } else { forward };
    server.bytes_received = server.bytes_received.saturating_add(received);
    server.media_service |= matches!(role, Role::Media);
    let stun = flow.facts.as_deref().and_then(|facts| facts.stun.as_ref());
    server.answered_turn |= port.0 == UDP && received > 0 && stun.is_some_and(|stun| stun.relays);
}

const UDP: u8 = 17;

/// Payloads that must have passed to speak of more than an attempt.
const PASSED: u32 = 3;

/// Who was spoken to through a relay: what the relay forwarded ended there.
fn behind_relay(found: &mut Found, judged: &Judged) {
    let Some(facts) = judged.flow.facts.as_deref() else { return };
    let Some(stun) = &facts.stun else { return };
    for behind in stun.behind.iter().filter(|behind| behind.payloads >= PASSED) {
        let address = behind.peer.ip();
        if address == judged.sides().local.ip() {
            continue;
        }
        let begin = || Server { address, first_packet: behind.packet, ..begin(judged) };
        let Some(server) = found.at(address, begin) else { continue };
        let port = (UDP, behind.peer.port());
        if !server.ports.contains(&port) {
            server.ports.push(port);
            server.ports.sort_unstable();
        }
        server.behind = Some(judged.sides().remote.ip());
        // What passed the relay passed between the endpoint and the one that nearly all of it went to.
        if stun.behind.iter().all(|other| other.payloads <= behind.payloads) {
            let [forward, reverse] = judged.flow.bytes;
            server.bytes = server.bytes.saturating_add(forward).saturating_add(reverse);
        }
        let role = if could_be_server(address) { Role::Media } else { Role::P2p };
        if !server.roles.contains(&role) {
            server.roles.push(role);
            server.roles.sort_unstable();
        }
        server.dtls_srtp |= facts.dtls.as_ref().is_some_and(|dtls| agrees_media_keys(dtls));
        server.last_contact = server.last_contact.max(judged.flow.end);
    }
}

fn agrees_media_keys(dtls: &Dtls) -> bool {
    !dtls.srtp_offered.is_empty() || dtls.srtp_chosen.is_some()
}

/// True when what the flow carries went through a relay to somebody who is known.
fn is_forwarded(judged: &Judged) -> bool {
    let stun = judged.flow.facts.as_deref().and_then(|facts| facts.stun.as_ref());
    stun.is_some_and(|stun| stun.relays)
}

/// `is_forwarded`: what ended here in DTLS went on to somebody else.
fn name(rules: &Rules, names: &Names, server: &mut Server, judged: &Judged, is_forwarded: bool) {
    let facts = judged.flow.facts.as_deref();
    let tls = facts.and_then(|facts| facts.tls.as_deref());
    let dtls = facts.and_then(|facts| facts.dtls.as_deref());
    let mut candidates: Vec<(NameSource, String, PacketRef)> = Vec::new();
    if let Some(tls) = tls {
        server.tls = true;
        let hello = tls.client_hello.unwrap_or(judged.flow.first_packet);
        server.handshake = Some(server.handshake.map_or(hello, |held| held.min(hello)));
        candidates.extend(tls.sni.iter().map(|name| (NameSource::Sni, name.to_string(), hello)));
    }
    server.clear_sip |= tls.is_none() && facts.is_some_and(|facts| facts.sip.is_some());
    if let Some(dtls) = dtls {
        server.dtls_srtp |= agrees_media_keys(dtls) && !is_forwarded;
    }
    let leaf = tls
        .and_then(|tls| tls.certificates.first())
        .or_else(|| dtls.filter(|_| !is_forwarded).and_then(|dtls| dtls.server_certificates.first()));
    // A certificate of relays alone, whatever name was asked for.
    server.relays |= leaf.is_some_and(|leaf| {
        let relays = |name: &String| rules.host_role(&name.to_lowercase()) == Some(HostRole::Stun);
        !leaf.dns_names.is_empty() && leaf.dns_names.iter().all(relays)
    });
    candidates.extend(leaf.and_then(|leaf| {
        // Certificates of DTLS are made up by their owners; a word without a dot is no host's name.
        let name = leaf.subject_cn.as_ref().filter(|name| name.contains('.'))?;
        Some((NameSource::Certificate, name.clone(), leaf.packet))
    }));
    let hits = names.of(judged.sides().local.ip(), server.address);
    candidates.extend(hits.first().map(|hit| (NameSource::Dns, hit.name.to_string(), hit.packet)));
    let told = candidates.iter().map(|(_, name, packet)| (name.as_str(), false, *packet));
    let more = hits.iter().skip(1).map(|hit| (&*hit.name, false, hit.packet));
    let others =
        names.others_of(server.address).map(|other| (other.name.as_str(), other.reverse, other.packet));
    for (name, reverse, packet) in told.chain(more).chain(others) {
        let is_held = |held: &KnownName| held.reverse == reverse && held.name == name;
        if server.names.len() < NAMES && !server.names.iter().any(is_held) {
            server.names.push(KnownName { name: name.to_owned(), reverse, packet });
        }
    }
    for (source, name, packet) in candidates {
        let role = rules.host_role(&name.to_lowercase());
        server.key_service |= role == Some(HostRole::Key);
        server.media_service |= role == Some(HostRole::Media);
        server.backstage |= role == Some(HostRole::Client);
        server.relays |= role == Some(HostRole::Stun);
        if server.name.as_ref().is_none_or(|(_, held, _)| source < *held) {
            server.name = Some((name, source, packet));
        }
    }
}
