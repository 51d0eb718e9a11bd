//! The other ends of a session: who was spoken to, as what, and by which name.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::Judged;
use super::peers::Relays;
use crate::classify::provider::HostRole;
use crate::classify::{Names, Role, Rules, could_be_server};
use crate::observe::PacketRef;
use crate::observe::facts::{Dtls, RoundTrips, Stun};
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
    /// A provider file says that hosts of this name carry media.
    pub media_service: bool,
    /// A flow to it has media in it; `Role::Media` alone is given to checks and keepalives of a media protocol too.
    pub carried_media: bool,
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
    /// It and the endpoint sent each other checks, as the two ends of a path do (ICE, RFC 8445).
    pub checks: bool,
    /// A prefix or a host name of the session's provider has it.
    pub is_providers: bool,
    /// The other end of a path of which nothing shows that it is a server: a participant, or a media server.
    pub other_end: bool,
    /// It was asked over UDP and never answered, where others did.
    pub no_answer: bool,
    /// First packet to or from it.
    pub first_contact: Timestamp,
    /// The packet of that.
    pub first_packet: PacketRef,
    /// First packet of the handshake that shows the name, where there is one.
    pub handshake: Option<PacketRef>,
    /// Last packet to or from it.
    pub last_contact: Timestamp,
    /// Frame bytes both ways; what passed a relay is counted at the relay.
    pub bytes: u64,
    /// Frame bytes that it sent.
    pub bytes_received: u64,
}

impl Server {
    /// True for the other participant of a call without a media server.
    pub fn is_peer(&self) -> bool {
        self.roles.contains(&Role::P2p) && !self.tls && !self.roles.contains(&Role::Media)
    }

    /// True of what is spoken of as a server: neither the other participant, nor who may be that, nor who never answered.
    pub fn is_server(&self) -> bool {
        !self.is_peer() && !self.other_end && !self.no_answer
    }

    /// True when nothing but STUN ran here.
    pub fn is_stun_only(&self) -> bool {
        !self.roles.is_empty() && self.roles.iter().all(|role| *role == Role::Nat)
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
pub(super) fn servers(
    rules: &Rules,
    names: &Names,
    relays: &Relays,
    provider: Option<u16>,
    flows: &[&Judged],
) -> Vec<Server> {
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
    // Where nobody was heard, one way alone may have been captured.
    let is_heard = servers.iter().any(|server| server.bytes_received > 0);
    for server in &mut servers {
        server.is_providers = provider.is_some_and(|provider| is_providers(rules, provider, server));
        server.other_end = provider.is_some() && is_other_end(server);
        server.no_answer = is_heard && is_silent(server);
    }
    servers.sort_by_cached_key(|server| (server.first_contact, server.first_packet, server.address));
    servers
}

/// What the provider's file knows of the address, or of a name of it.
fn is_providers(rules: &Rules, provider: u16, server: &Server) -> bool {
    let mut names = server.names.iter();
    rules.has_address(provider, server.address)
        || names.any(|known| rules.has_name(provider, &known.name.to_lowercase()))
}

/// Behind a relay, or at the other end of checks, outside of all that is known of the provider, of no name that was looked up or
/// shown, and seen doing nothing that servers alone do. Any other participant looks like that, and so does a media server.
fn is_other_end(server: &Server) -> bool {
    let either = |role: &Role| matches!(role, Role::Media | Role::Nat | Role::P2p | Role::Other);
    // Names of candidates (mDNS) are made up by clients.
    let is_named = |known: &KnownName| !known.reverse && !known.name.to_lowercase().ends_with(".local");
    (server.checks || server.behind.is_some())
        && !server.is_peer()
        && !server.is_providers
        && !server.tls
        && server.roles.iter().all(either)
        && !server.names.iter().any(is_named)
}

/// Asked over UDP alone, and never heard; media that was sent there may well have arrived.
fn is_silent(server: &Server) -> bool {
    let asked = |role: &Role| matches!(role, Role::Media | Role::Nat | Role::P2p | Role::Relay);
    server.bytes_received == 0
        && server.behind.is_none()
        && !server.carried_media
        && server.roles.iter().all(asked)
        && server.ports.iter().all(|(protocol, _)| *protocol == UDP)
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
        carried_media: false,
        backstage: false,
        relays: false,
        answered_turn: false,
        tls: false,
        clear_sip: false,
        dtls_srtp: false,
        behind: None,
        checks: false,
        is_providers: false,
        other_end: false,
        no_answer: false,
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
    server.carried_media |= judged.media_start().is_some();
    let stun = flow.facts.as_deref().and_then(|facts| facts.stun.as_ref());
    server.checks |= stun.is_some_and(|stun| is_checked(stun, judged));
    server.answered_turn |= port.0 == UDP && received > 0 && stun.is_some_and(|stun| stun.relays);
}

/// True where a user name stands in Binding requests, as in those of ICE alone, or where the other end asked and was answered:
/// servers of STUN answer, and do not ask.
fn is_checked(stun: &Stun, judged: &Judged) -> bool {
    let by_other = |trips: &RoundTrips| {
        let asked = if judged.local_is_source { &trips.reverse } else { &trips.forward };
        asked.count > 0
    };
    !stun.relays && (!stun.usernames.is_empty() || stun.rtt.as_deref().is_some_and(by_other))
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
        let (first_contact, first_packet) = (behind.at, behind.packet);
        let begin = || Server { address, first_contact, first_packet, ..begin(judged) };
        let Some(server) = found.at(address, begin) else { continue };
        if first_contact < server.first_contact {
            (server.first_contact, server.first_packet) = (first_contact, first_packet);
        }
        let port = (UDP, behind.peer.port());
        if !server.ports.contains(&port) {
            server.ports.push(port);
            server.ports.sort_unstable();
        }
        server.behind = Some(judged.sides().remote.ip());
        // Media is that of the one that nearly all of what passed went to.
        server.carried_media |= judged.media_start().is_some()
            && stun.behind.iter().all(|other| other.payloads <= behind.payloads);
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
