//! A session with its keys as a record.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::record::{
    AddressChangeRecord, AddressRecord, ContactRecord, EndToEndRecord, EndpointRecord, EvidenceRecord,
    FlowKeyingRecord, HandshakeRecord, HolderRecord, KeysRecord, MediaRecord, PlaceRecord, ServerRecord,
    ServiceOperator, SessionRecord, SpreadRecord, WayRecord,
};
use super::super::time;
use super::flow::protocol_name;
use super::{
    Context, beyond, centi, cipher, distance, finding, hint, jurisdiction, losses, media, meeting_id, milli,
    protocol, public, round3, session_id, signalling, trend, witness,
};
use crate::classify::provider::Provider;
use crate::classify::{Evidence, Role};
use crate::geo::{self, NetworkKind, OperatorClaim, Place};
use crate::keys::{self, Analysis, Basis, Contact, CouldHold, FlowKeying, Holder, Keys};
use crate::proto::tls::{ProtocolVersion, SrtpProfile};
use crate::session::{Change, Judged, Server, Session, Way};
use crate::time::Timestamp;

/// Reasons shown with a session.
const EVIDENCE: usize = 8;
/// Of these, of one kind.
const EVIDENCE_OF_A_KIND: usize = 2;
/// Flow ids of each role in a record: a call has some dozens; calls that share an address by chance have had thousands.
const FLOW_IDS: usize = 2048;

/// A session. `analysis` holds its flows and the sessions that it may have met.
pub fn session_record(
    context: &mut Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
) -> SessionRecord {
    context.attend(analysis);
    let record = made(context, analysis, session, keys);
    context.take_note(analysis, session, &record);
    record
}

/// The record of a session of an analysis that is [attended to](Context::attend), before [note](Context::take_note) is taken of it.
pub(super) fn made(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
) -> SessionRecord {
    let provider = context.rules.providers().get(session.provider.map_or(usize::MAX, usize::from));
    let public = public::told_address(analysis, session);
    let endpoint_place = context.place(public.unwrap_or(session.endpoint), session.start);
    let servers = server_records(context, analysis, session);
    let mut holders: Vec<HolderRecord> =
        keys.holders.iter().filter_map(|holder| holder_record(context, session, &servers, holder)).collect();
    holders.extend(beyond::holders(context, analysis, session, keys));
    // The order of `keys::likelier`.
    holders.sort_by(|a, b| a.could_hold.cmp(&b.could_hold).then(b.confidence.total_cmp(&a.confidence)));
    let jurisdictions =
        jurisdiction::jurisdictions(context, session.start, &servers, (keys.method, &holders));
    let sealed = keys::cipher::session(&analysis.flows, session, keys);
    let (signalling, signalling_left_out) = signalling::signalling(context, analysis, session);
    let (ids, flows_left_out) = flows_by_role(analysis, session);
    let mut record = SessionRecord {
        timestamp: time::eve(session.start),
        session_id: session_id(session.id),
        phase: None,
        told_at: None,
        run: context.run.clone(),
        superseded_by: None,
        app: provider.map(|provider| provider.app.clone()),
        app_name: provider.map(|provider| provider.name.clone()),
        confidence: round3(session.confidence),
        meeting_id: analysis.meeting_of(session.id).map(|meeting| meeting_id(meeting.id)),
        addresses: addresses(context, session),
        address_changes: session.changes.iter().map(|change| address_change(context, change)).collect(),
        endpoint: EndpointRecord {
            ip: session.endpoint.to_string(),
            public_ip: public.map(|address| address.to_string()),
            located_in: endpoint_place.located_in,
        },
        start: time::eve(session.start),
        end: time::eve(session.end),
        media_start: session.media_start.map(time::eve),
        duration_s: milli(session.end.since(session.call_start).as_secs_f64()),
        begun_mid_call: session.begun_mid_call,
        flows: ids,
        flows_left_out,
        servers,
        media: quality(context, analysis, session),
        trend: context.trends.then(|| trend::trend(analysis, session)).flatten().map(Box::new),
        keys: keys_record(context, keys, holders),
        cipher: sealed.as_ref().map(|found| Box::new(cipher::session(context, found))),
        sip_calls: protocol::calls(analysis, session),
        signalling,
        signalling_left_out,
        jurisdictions,
        findings: Vec::new(),
        evidence: evidence(context, analysis, session),
    };
    record.findings = finding::findings(context, analysis, session, keys, &record);
    record.findings.extend(cipher::findings(context, analysis, session, keys, sealed.as_ref()));
    qualify(&mut record);
    record.findings.sort_by_key(|finding| finding.severity);
    record
}

/// Says of verdicts that they rest on an incomplete capture, where they do.
fn qualify(record: &mut SessionRecord) {
    let Some(lost) = &record.media.capture_losses else { return };
    let caveat = losses::caveat(lost);
    record.keys.why.push_str(&caveat);
    for holder in record.keys.holders.iter_mut().filter(|holder| holder.could_hold != CouldHold::Yes) {
        holder.why.push_str(&caveat);
    }
    if let Some(cipher) = &mut record.cipher {
        cipher.evidence.text.push_str(&caveat);
    }
    record.findings.push(losses::finding(lost));
}

/// The servers of a session, in its order.
pub(super) fn server_records(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
) -> Vec<ServerRecord> {
    let provider = context.rules.providers().get(session.provider.map_or(usize::MAX, usize::from));
    let public = public::public_address(analysis, session);
    let place = context.place(public.unwrap_or(session.endpoint), session.start);
    let mut servers: Vec<ServerRecord> =
        session.servers.iter().map(|server| server_record(context, session, provider, server)).collect();
    distance::judge(context, analysis, session, public, &place.located_in, &mut servers);
    servers
}

fn addresses(context: &Context<'_>, session: &Session) -> Vec<AddressRecord> {
    if session.addresses.len() < 2 {
        return Vec::new();
    }
    let record = |used: &crate::session::Address| AddressRecord {
        ip: used.ip.to_string(),
        from: time::eve(used.from),
        to: time::eve(used.to),
        packet: context.packet(used.packet),
    };
    session.addresses.iter().map(record).collect()
}

fn address_change(context: &Context<'_>, change: &Change) -> AddressChangeRecord {
    AddressChangeRecord {
        at: time::eve(change.at),
        from: change.from.to_string(),
        to: change.to.to_string(),
        why: change.why,
        packet: context.packet(change.packet),
    }
}

/// The flows of a session.
pub(in super::super) fn flows<'a>(
    analysis: &'a Analysis,
    session: &'a Session,
) -> impl Iterator<Item = &'a Judged> {
    session.flows.iter().filter_map(|index| analysis.flows.get(*index))
}

/// Flow ids by role, the first of each, and how many are left out.
fn flows_by_role(analysis: &Analysis, session: &Session) -> (BTreeMap<Role, Vec<u64>>, u32) {
    let (mut roles, mut left_out) = (BTreeMap::<Role, Vec<u64>>::new(), 0_u32);
    for judged in flows(analysis, session) {
        let ids = roles.entry(judged.role()).or_default();
        if ids.len() < FLOW_IDS {
            ids.push(judged.flow.id);
        } else {
            left_out = left_out.saturating_add(1);
        }
    }
    (roles, left_out)
}

fn server_record(
    context: &Context<'_>,
    session: &Session,
    provider: Option<&Provider>,
    server: &Server,
) -> ServerRecord {
    let place = context.place(server.address, session.start);
    let ports = server.ports.iter();
    ServerRecord {
        ip: server.address.to_string(),
        ports: ports
            .map(|(protocol, port)| format!("{}/{port}", protocol_name(*protocol).to_lowercase()))
            .collect(),
        name: server.name.as_ref().map(|(name, ..)| name.clone()),
        name_source: server.name.as_ref().map(|(_, source, _)| *source),
        roles: server.roles.clone(),
        behind_relay: server.behind.map(|relay| relay.to_string()),
        other_end: server.other_end,
        no_answer: server.no_answer,
        first_contact: time::eve(server.first_contact),
        first_packet: context.packet(server.first_packet),
        bytes: server.bytes,
        place: place_record(context, place, provider, server, session.start),
    }
}

/// A peer is another user's machine: the service's operator does not run it. Of who may be one, who never answered and who answered
/// STUN alone only what the provider's file knows of the address says that he does. Law reaches servers.
fn place_record(
    context: &Context<'_>,
    place: Place,
    provider: Option<&Provider>,
    server: &Server,
    seen: Timestamp,
) -> PlaceRecord {
    let is_peer = !server.roles.is_empty() && server.roles.iter().all(|role| *role == Role::P2p);
    let is_open = !server.is_server() || server.is_stun_only();
    let provider = provider.filter(|_| !is_peer && (server.is_providers || !is_open));
    let source = provider.map(provider_file).unwrap_or_default();
    let date = context.rules.sources().retrieved.as_deref().unwrap_or("unknown date");
    let claim = |operator, country| OperatorClaim { operator, country, source: &source, date };
    let mut claims = Vec::new();
    if let Some(provider) = provider {
        claims.push(claim(provider.operator.as_str(), provider.country.as_str()));
        let others = provider.other_countries.iter();
        claims.extend(others.map(|country| claim(provider.operator.as_str(), country.as_str())));
        let parent = provider.parent.as_deref();
        claims.extend(parent.and_then(|parent| Some(claim(parent, country_in_brackets(parent)?))));
    }
    let hints = hint::hints(context, server, seen);
    let mut exposure = geo::exposures(&place, &claims);
    hint::expose(&mut exposure, &hints);
    if server.other_end || server.no_answer {
        exposure.clear();
    }
    let mut located_in = place.located_in;
    hint::weigh(&mut located_in, &hints);
    PlaceRecord {
        located_in,
        operated_by: place.operated_by,
        network: place.network,
        service_operator: provider.map(|provider| ServiceOperator {
            name: provider.operator.clone(),
            home_jurisdiction: provider.country.clone(),
        }),
        hints,
        distance: None,
        exposure,
    }
}

/// `JP` of `Rakuten Group, Inc. (JP)`.
fn country_in_brackets(company: &str) -> Option<&str> {
    let (_, code) = company.strip_suffix(')')?.rsplit_once('(')?;
    (code.len() == 2).then_some(code)
}

fn provider_file(provider: &Provider) -> String {
    format!("providers/{}.toml", provider.id)
}

fn keys_record(context: &Context<'_>, keys: &Keys, holders: Vec<HolderRecord>) -> KeysRecord {
    KeysRecord {
        method: keys.method,
        why: keys.why.clone(),
        source: source(context, &keys.basis),
        ciphers: keys.ciphers.clone(),
        unless_end_to_end: keys.unless_end_to_end(),
        end_to_end: keys.end_to_end.as_ref().map(|known| EndToEndRecord {
            mode: known.mode,
            scope: known.scope.clone(),
            holder: known.holder.clone(),
            source: source(context, &Basis::Documents(known.sources.clone())),
        }),
        flows: keys.flows.iter().map(|flow| flow_keying(context, flow)).collect(),
        flows_left_out: keys.flows_left_out,
        witness: witness::records(context, &keys.witnesses),
        witness_left_out: keys.witnesses.left_out,
        tried: witness::tried(&keys.witnesses),
        holders,
        timeline: keys.timeline.iter().map(|contact| contact_record(context, contact)).collect(),
        timeline_left_out: keys.timeline_left_out,
    }
}

fn flow_keying(context: &Context<'_>, flow: &FlowKeying) -> FlowKeyingRecord {
    FlowKeyingRecord {
        flow_id: flow.flow,
        flows: flow.flows,
        remote: flow.remote.to_string(),
        method: flow.method,
        why: flow.why.clone(),
        packet: context.seen(flow.packet),
        handshake: flow.handshake.as_ref().map(|made| HandshakeRecord {
            version: made.version.map(|version| ProtocolVersion(version).to_string()),
            profile: made.profile.map(|profile| SrtpProfile(profile).to_string()),
            server: made.server.map(|end| end.to_string()),
            behind_relay: made.relay.map(|relay| relay.to_string()),
            server_is: made.endpoint_answers.map(|answers| if answers { "endpoint" } else { "remote" }),
            server_certificate: made.server_certificate.clone(),
            client_certificate: made.client_certificate.clone(),
        }),
    }
}

fn contact_record(context: &Context<'_>, contact: &Contact) -> ContactRecord {
    ContactRecord {
        at: time::eve(contact.at),
        before_media_s: contact.before_media_ns.map(seconds),
        ip: contact.remote.ip().to_string(),
        port: contact.remote.port(),
        kind: contact.kind,
        packet: context.seen(contact.packet),
        flows: contact.flows,
    }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "milliseconds of a capture fit")]
fn seconds(nanos: i64) -> f64 {
    milli(nanos as f64 / 1e9)
}

/// The documents behind an answer with their dates, or the standard, or that the capture is all there is.
pub(super) fn source(context: &Context<'_>, basis: &Basis) -> String {
    match basis {
        Basis::Capture => "the capture alone".to_owned(),
        Basis::KeyLog => "the capture, opened with a key log".to_owned(),
        Basis::Standard(section) => (*section).to_owned(),
        Basis::Documents(names) => {
            let known = &context.rules.sources().source;
            let titles = names.iter().filter_map(|name| known.get(name));
            titles.map(|source| format!("{} ({})", source.title, source.date)).collect::<Vec<_>>().join("; ")
        }
    }
}

/// The network whose entry the address is, if it is one.
pub(super) fn front_end(place: &PlaceRecord) -> Option<String> {
    let network = place.network.as_ref().filter(|network| network.kind == NetworkKind::FrontEnd)?;
    Some(network.name.clone())
}

fn holder_record(
    context: &Context<'_>,
    session: &Session,
    servers: &[ServerRecord],
    holder: &Holder,
) -> Option<HolderRecord> {
    let server = session.servers.get(holder.server)?;
    let record = servers.get(holder.server)?;
    Some(HolderRecord {
        ip: holder.address.to_string(),
        port: server.ports.first().map(|(_, port)| *port),
        name: record.name.clone(),
        could_hold: holder.could_hold,
        why: holder.why.clone(),
        confidence: round3(holder.confidence),
        source: source(context, &holder.basis),
        front_end: front_end(&record.place),
        packets: context.packets(&holder.packets),
        before_media_s: holder.before_media.map(|before| milli(before.as_secs_f64())),
        software: software(context, session, holder.address),
        place: record.place.clone(),
    })
}

/// The servers that answer TLS as this one does.
pub(super) fn software(context: &Context<'_>, session: &Session, address: IpAddr) -> Option<SpreadRecord> {
    let provider = session.provider.and_then(|number| context.rules.provider(number))?;
    context.spreads.of(&provider.id, address).cloned()
}

fn quality(context: &Context<'_>, analysis: &Analysis, session: &Session) -> MediaRecord {
    let quality = &session.quality;
    let hidden = quality.sent.streams == 0 && quality.received.streams == 0;
    MediaRecord {
        sent: way(&quality.sent),
        received: way(&quality.received),
        rtt_ms: quality.rtt.map(|rtt| milli(rtt.ms)),
        rtt_source: quality.rtt.map(|rtt| rtt.source),
        estimate: hidden.then(|| media::session_estimate(flows(analysis, session))).flatten(),
        capture_losses: context.losses.during(session),
    }
}

fn way(way: &Way) -> WayRecord {
    let kinds = way.kinds;
    let pictures = kinds.video > 0 || kinds.screen > 0;
    let kinds = [
        ("audio", kinds.audio),
        ("video", kinds.video),
        ("screen", kinds.screen),
        ("repair", kinds.repair),
        ("unknown", kinds.unknown),
    ];
    WayRecord {
        streams: way.streams,
        packets: way.packets,
        lost: way.lost,
        loss_percent: way.loss_percent().map(centi),
        jitter_ms: way.jitter_ms.map(milli),
        bitrate_kbps: way.kbit_per_s().map(centi),
        duplicates: way.duplicates,
        reordered: way.reordered,
        kinds: kinds.into_iter().filter(|(_, count)| *count > 0).collect(),
        fps: way.fps.map(centi),
        freezes: pictures.then_some(way.freezes),
        frozen_ms: pictures.then(|| milli(way.frozen_seconds * 1000.0)),
        mos: media::mos(&way.speech),
    }
}

/// The strongest reasons, a few of each kind, each value once.
fn evidence(context: &Context<'_>, analysis: &Analysis, session: &Session) -> Vec<EvidenceRecord> {
    let mut all: Vec<&Evidence> = flows(analysis, session)
        .flat_map(|judged| &judged.verdict.evidence)
        .filter(|item| Some(item.provider) == session.provider)
        .collect();
    all.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.packet.cmp(&b.packet)));
    let mut chosen: Vec<&Evidence> = Vec::new();
    for item in all {
        let alike = chosen.iter().filter(|held| held.what == item.what);
        let repeated = alike.clone().any(|held| held.value == item.value);
        if chosen.len() < EVIDENCE && !repeated && alike.count() < EVIDENCE_OF_A_KIND {
            chosen.push(item);
        }
    }
    chosen.into_iter().map(|item| context.evidence(item, session.provider)).collect()
}
