//! How the signalling of a session was protected: TLS, QUIC and DTLS connections, grouped by server. In: the session's flows.
//! Out: records, and findings for what is weak.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::record::{ChainRecord, Finding, Severity, SignallingRecord};
use super::super::time;
use super::session::flows;
use super::{Context, count, weak};
use crate::classify::Role;
use crate::flow::Direction;
use crate::keys::{Analysis, CouldHold, DtlsPeer, Keys, dtls_peer};
use crate::observe::PacketRef;
use crate::observe::facts::{Certificate, Dtls, Tls};
use crate::proto::tls::{CipherSuite, NamedGroup, ProtocolVersion};
use crate::session::{Judged, Session};

/// Groups kept; what a client of one session speaks to is fewer.
const GROUPS: usize = 64;
/// DNS names shown of a certificate.
const NAMES: usize = 8;
/// Packets named by one finding.
const PACKETS: usize = 16;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What connections are told apart by.
type Key = (&'static str, DtlsPeer, Option<u16>, Option<u16>);

/// One handshake, whatever it ran over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hello<'a> {
    pub(super) transport: &'static str,
    /// The other end was the client of DTLS, so that the endpoint chose.
    pub(super) endpoint_answers: bool,
    pub(super) sni: Option<&'a str>,
    pub(super) version: Option<u16>,
    pub(super) chosen: bool,
    pub(super) suite: Option<u16>,
    pub(super) group: Option<u16>,
    pub(super) resumed: bool,
    pub(super) ech: bool,
    /// Those that the other end showed.
    pub(super) chain: &'a [Certificate],
    /// Certificates of DTLS-SRTP are made for the call; their fingerprints are what counts (RFC 5763 section 5).
    pub(super) own_certificate: bool,
    pub(super) packet: PacketRef,
    /// Seconds since the epoch.
    pub(super) seen: i64,
}

/// What an endpoint with the addresses `own` said and heard, and from whom.
fn hello<'a>(judged: &'a Judged, own: &BTreeSet<IpAddr>) -> Option<(Hello<'a>, DtlsPeer)> {
    let flow = &judged.flow;
    let facts = flow.facts.as_deref()?;
    let sides = judged.seen_from(|ip| own.contains(&ip));
    let seen = flow.start.as_nanos().div_euclid(NANOS_PER_SECOND);
    if let Some(tls) = &facts.tls {
        let transport = if facts.quic.is_some() { "quic" } else { "tls" };
        return Some((
            of_tls(tls, transport, flow.first_packet, seen),
            DtlsPeer { address: sides.remote, relay: None },
        ));
    }
    let dtls = facts.dtls.as_deref()?;
    let endpoint_answers = dtls.client.map(|client| (client == Direction::Forward) != sides.local_is_source);
    Some((of_dtls(dtls, endpoint_answers, seen), dtls_peer(judged, own)))
}

fn of_tls<'a>(tls: &'a Tls, transport: &'static str, first: PacketRef, seen: i64) -> Hello<'a> {
    Hello {
        transport,
        endpoint_answers: false,
        sni: tls.asked_name(),
        version: tls.version,
        chosen: tls.version_chosen,
        suite: tls.cipher_suite,
        group: tls.group,
        resumed: tls.resumed,
        ech: tls.ech,
        chain: &tls.certificates,
        own_certificate: false,
        packet: tls.client_hello.unwrap_or(first),
        seen,
    }
}

/// `endpoint_answers`: whether the endpoint was the DTLS server; where no hello was seen nobody can tell whose a certificate is.
fn of_dtls(dtls: &Dtls, endpoint_answers: Option<bool>, seen: i64) -> Hello<'_> {
    Hello {
        transport: "dtls",
        endpoint_answers: endpoint_answers == Some(true),
        sni: dtls.sni.as_deref(),
        version: dtls.version,
        chosen: dtls.version_chosen,
        suite: dtls.cipher_suite,
        group: dtls.group,
        resumed: false,
        ech: false,
        chain: match endpoint_answers {
            Some(true) => &dtls.client_certificates,
            Some(false) => &dtls.server_certificates,
            None => &[],
        },
        own_certificate: true,
        packet: dtls.client_hello.unwrap_or(dtls.packet),
        seen,
    }
}

/// The connections of a session in the order of their first packets, and how many groups did not fit.
pub(super) fn signalling(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
) -> (Vec<SignallingRecord>, u32) {
    let own = session.own();
    let mut groups: BTreeMap<Key, (PacketRef, SignallingRecord)> = BTreeMap::new();
    for judged in flows(analysis, session) {
        let Some((hello, remote)) = hello(judged, &own) else { continue };
        let key = (hello.transport, remote, hello.version, hello.suite);
        let (first, held) = groups.entry(key).or_insert_with(|| (hello.packet, empty(&hello, remote)));
        *first = (*first).min(hello.packet);
        held.connections = held.connections.saturating_add(1);
        held.resumed = held.resumed.saturating_add(u32::from(hello.resumed));
        held.ech = held.ech.saturating_add(u32::from(hello.ech));
        held.packet = context.seen(*first);
        if held.sni.is_none() {
            held.sni = hello.sni.map(ToOwned::to_owned);
        }
        if held.group.is_none() {
            held.group = hello.group.map(|group| NamedGroup(group).to_string());
            held.post_quantum = hello.group.map(|group| NamedGroup(group).is_post_quantum());
        }
        if held.certificate.is_none() {
            held.certificate = hello.chain.first().map(|leaf| chain(context, &hello, leaf));
        }
        for (id, _) in weak::faults(&hello) {
            if !held.weak.contains(&id) {
                held.weak.push(id);
            }
        }
    }
    let mut all: Vec<(PacketRef, SignallingRecord)> = groups.into_values().collect();
    all.sort_by_key(|(first, _)| *first);
    let more = u32::try_from(all.len().saturating_sub(GROUPS)).unwrap_or(u32::MAX);
    (all.into_iter().take(GROUPS).map(|(_, record)| record).collect(), more)
}

fn empty(hello: &Hello<'_>, remote: DtlsPeer) -> SignallingRecord {
    SignallingRecord {
        transport: hello.transport,
        ip: remote.address.ip().to_string(),
        port: remote.address.port(),
        behind_relay: remote.relay.map(|relay| relay.to_string()),
        sni: None,
        connections: 0,
        resumed: 0,
        ech: 0,
        version: hello.version.map(|version| ProtocolVersion(version).to_string()),
        version_chosen: hello.chosen,
        cipher: hello.suite.map(|suite| CipherSuite(suite).to_string()),
        group: None,
        post_quantum: None,
        forward_secrecy: weak::forward_secrecy(hello),
        certificate: None,
        weak: Vec::new(),
        packet: None,
    }
}

fn chain(context: &Context<'_>, hello: &Hello<'_>, leaf: &Certificate) -> ChainRecord {
    let total = count(leaf.dns_names.len()).saturating_add(count(leaf.dns_names_left_out));
    ChainRecord {
        subject: leaf.subject_cn.clone(),
        names: leaf.dns_names.iter().take(NAMES).cloned().collect(),
        names_total: total,
        issuer: leaf.issuer_cn.clone().or_else(|| leaf.issuer_o.clone()),
        not_before: time::eve_seconds(leaf.not_before),
        not_after: time::eve_seconds(leaf.not_after),
        valid: if leaf.not_after < hello.seen {
            "expired"
        } else if leaf.not_before > hello.seen {
            "not_yet"
        } else {
            "yes"
        },
        key: leaf.key_algorithm.clone(),
        key_bits: leaf.key_bits,
        signature: leaf.signature_algorithm.clone(),
        self_signed: leaf.self_signed,
        chain_length: count(hello.chain.len()),
        name_matches: hello.sni.and_then(|name| weak::name_matches(name, leaf)),
        sha256: leaf.sha256.clone(),
        packet: context.seen(leaf.packet),
    }
}

/// Weak connections to servers of the call, one line for each server and weakness.
pub(super) fn findings(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
) -> Vec<Finding> {
    let own = session.own();
    let mut found: BTreeMap<(&'static str, String), Weak> = BTreeMap::new();
    let serves = |role| matches!(role, Role::Signalling | Role::Media | Role::Relay);
    for judged in flows(analysis, session).filter(|judged| serves(judged.role())) {
        let Some((hello, remote)) = hello(judged, &own) else { continue };
        for (id, mut what) in weak::faults(&hello) {
            if hello.endpoint_answers {
                what = format!("left the choice to the endpoint, which {what}");
            }
            let leaf = hello.chain.first().filter(|_| id.starts_with("certificate"));
            let packet = leaf.map_or(hello.packet, |leaf| leaf.packet);
            let weak = found.entry((id, what)).or_default();
            let (times, first) = weak.entry(remote).or_insert((0, packet));
            *times = times.saturating_add(1);
            *first = (*first).min(packet);
        }
    }
    let mut out = Vec::new();
    for ((id, what), weak) in found {
        if weak.len() > ALONE {
            out.push(finding(context, session, keys, (id, &what), &weak));
            continue;
        }
        for (server, seen) in weak {
            out.push(finding(context, session, keys, (id, &what), &Weak::from([(server, seen)])));
        }
    }
    out
}

/// Servers that share a weakness, with the number of connections and the first packet that shows it.
type Weak = BTreeMap<DtlsPeer, (u32, PacketRef)>;

/// Servers with the same weakness that are still told one by one.
const ALONE: usize = 3;

/// One sentence for servers that share a weakness, told by the one that showed it first.
fn finding(
    context: &Context<'_>,
    session: &Session,
    keys: &Keys,
    (id, what): (&'static str, &str),
    weak: &Weak,
) -> Finding {
    let able = |remote: &DtlsPeer| {
        let mut holders = keys.holders.iter();
        holders.any(|holder| holder.address == remote.address.ip() && holder.could_hold == CouldHold::Yes)
    };
    // Whoever is on the way reads what such a suite carries, keys among it.
    let open = id == "cipher_suite_open" && weak.keys().any(able);
    let severity = if open { Severity::High } else { Severity::Notice };
    let mut seen: Vec<(PacketRef, DtlsPeer)> =
        weak.iter().map(|(server, (_, first))| (*first, *server)).collect();
    seen.sort_unstable();
    let times = weak.values().fold(0_u32, |all, (times, _)| all.saturating_add(*times));
    let often = if times > 1 { format!(", in {times} connections") } else { String::new() };
    let mut text = match weak.len() {
        1 => "server".to_owned(),
        several => format!("{several} servers of the call, the first"),
    };
    if let Some((first, peer)) = seen.first() {
        if !peer.is_known() {
            if weak.len() == 1 {
                text.clear();
            }
            text.push_str(" somebody behind the relay");
        }
        let server = peer.address;
        let name = session.servers.iter().find(|known| known.address == server.ip());
        let name = name.and_then(|known| known.name.as_ref()).map(|(name, ..)| name.as_str());
        let name = name.filter(|name| **name != server.ip().to_string());
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        let comma = if weak.len() > 1 { "," } else { "" };
        let packet = context.packet(*first).words();
        let _ = write!(text, " {server}{name}{comma} {what}{often} (packet {packet})");
    }
    let text = text.trim_start().to_owned();
    let packets: Vec<PacketRef> = seen.iter().map(|(packet, _)| *packet).take(PACKETS).collect();
    Finding { id, severity, text, packets: context.packets(&packets) }
}
