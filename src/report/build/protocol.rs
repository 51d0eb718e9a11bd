//! What the dissectors learned of a flow, as records.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::super::record::{
    CertificateRecord, DnsRecord, DtlsRecord, OpenedRecord, QuicRecord, SipCallRecord, SipRecord, StunRecord,
    TlsRecord, ZoomRecord,
};
use super::super::time;
use super::session::flows;
use super::{Context, media, milli, words};
use crate::bytes::hex;
use crate::flow::Direction;
use crate::keys::Analysis;
use crate::observe::PacketRef;
use crate::observe::facts::{Call, Certificate, Dns, Dtls, Missing, Opened, Quic, Sip, Stun, Tls, Zoom};
use crate::proto::stun::{Attribute, MessageType};
use crate::proto::tls::{AlertDescription, CipherSuite, NamedGroup, ProtocolVersion, SrtpProfile};
use crate::session::Session;

/// Calls of SIP told with a session.
const CALLS: usize = 32;

pub(super) fn tls(context: &Context<'_>, tls: &Tls) -> TlsRecord {
    TlsRecord {
        version: tls.version.map(version),
        version_chosen: tls.version_chosen,
        sni: tls.sni.clone(),
        alpn: tls.alpn.to_vec(),
        alpn_chosen: tls.alpn_chosen.clone(),
        cipher: tls.cipher_suite.map(cipher),
        group: tls.group.map(group),
        ja3: tls.ja3.map(|digest| hex(&digest)),
        ja3s: tls.ja3s.map(|digest| hex(&digest)),
        ja4: tls.ja4,
        ech: tls.ech,
        resumed: tls.resumed,
        certificates: tls.certificates.iter().map(certificate).collect(),
        alerts: tls.alerts.iter().map(|(level, what)| alert(*level, *what)).collect(),
        client_hello: tls.client_hello.and_then(|packet| context.seen(packet)),
        server_hello: tls.server_hello.and_then(|packet| context.seen(packet)),
    }
}

fn version(value: u16) -> CompactString {
    let version = ProtocolVersion(value);
    words::registered(version.name(), version)
}

fn cipher(value: u16) -> CompactString {
    let suite = CipherSuite(value);
    words::registered(suite.name(), suite)
}

fn group(value: u16) -> CompactString {
    let group = NamedGroup(value);
    words::registered(group.name(), group)
}

fn alert(level: u8, description: u8) -> String {
    let description = AlertDescription(description);
    match level {
        1 => format!("warning {description}"),
        2 => format!("fatal {description}"),
        other => format!("level {other} {description}"),
    }
}

fn certificate(certificate: &Certificate) -> CertificateRecord {
    CertificateRecord {
        subject: certificate.subject_cn.clone(),
        organisation: certificate.subject_o.clone(),
        names: certificate.dns_names.clone(),
        issuer: certificate.issuer_cn.clone().or_else(|| certificate.issuer_o.clone()),
        not_before: time::eve_seconds(certificate.not_before),
        not_after: time::eve_seconds(certificate.not_after),
        key: certificate.key_algorithm.clone(),
        key_bits: certificate.key_bits,
        signature: certificate.signature_algorithm.clone(),
        self_signed: certificate.self_signed,
        sha256: certificate.sha256.clone(),
    }
}

pub(super) fn quic(quic: &Quic) -> QuicRecord {
    QuicRecord {
        version: quic.version.clone(),
        negotiated: quic.negotiated.clone(),
        dcid: quic.dcid.clone(),
        scid: quic.scid.clone(),
        initials_verified: quic.initials_verified,
        initials_failed: quic.initials_failed,
        retry_verified: quic.retry,
        user_agent: quic.user_agent.clone(),
    }
}

pub(super) fn dtls(dtls: &Dtls) -> DtlsRecord {
    DtlsRecord {
        version: dtls.version.map(version),
        srtp_offered: dtls.srtp_offered.iter().map(|profile| SrtpProfile(*profile).to_string()).collect(),
        srtp_chosen: dtls.srtp_chosen.map(|profile| SrtpProfile(profile).to_string()),
        cipher: dtls.cipher_suite.map(cipher),
        group: dtls.group.map(group),
        sni: dtls.sni.clone(),
        alpn: dtls.alpn.clone(),
        ja3: dtls.ja3.map(|digest| hex(&digest)),
        ja4: dtls.ja4,
        client: dtls.client.map(|client| match client {
            Direction::Forward => "originator",
            Direction::Reverse => "responder",
        }),
        server_certificates: dtls.server_certificates.iter().map(certificate).collect(),
        client_certificates: dtls.client_certificates.iter().map(certificate).collect(),
        records: dtls.records,
        application_data: dtls.application_data,
    }
}

pub(super) fn opened(opened: &Opened) -> OpenedRecord {
    OpenedRecord {
        records: opened.records,
        bytes: opened.bytes,
        failed: opened.failed,
        passed_over: opened.passed_over,
        missing: opened.missing.map(missing),
        sha256: opened.sha256.map(|digest| digest.map(|digest| hex(&digest))),
        srtp_keys: opened.srtp.is_some(),
    }
}

/// What stands in the way of opening a flow, in words that go after a colon.
pub(super) fn missing(missing: Missing) -> String {
    let text = match missing {
        Missing::NoSecret => "the key log has no secret for it",
        Missing::PartOfSecret => "the key log has a part of its secrets only",
        Missing::NoHandshake => "the capture lacks its ClientHello or ServerHello, or cut one short",
        Missing::CipherSuite(suite) => {
            return format!("its cipher suite {} cannot be opened", CipherSuite(suite));
        }
        Missing::Gap => "the capture lacks a piece of it",
        Missing::WrongSecret => "none of its records fits the secret",
        Missing::Renegotiation => "it was negotiated anew in its course",
        Missing::SrtpProfile => "which of the SRTP profiles offered was chosen is encrypted",
        Missing::Cap => "it is longer than what is opened of a flow",
    };
    text.to_owned()
}

pub(super) fn stun(stun: &Stun) -> StunRecord {
    let mut types: BTreeMap<String, u32> = BTreeMap::new();
    for (number, count) in &stun.types {
        let entry = types.entry(MessageType(*number).to_string()).or_default();
        *entry = entry.saturating_add(*count);
    }
    let vendor = stun.attributes.iter().filter(|(number, _)| is_vendor(Attribute(*number)));
    StunRecord {
        messages: stun.messages,
        types,
        software: texts(&stun.software),
        realms: texts(&stun.realms),
        usernames: texts(&stun.usernames),
        vendor_attributes: vendor.map(|(number, _)| attribute(Attribute(*number))).collect(),
        mapped: texts(&stun.mapped),
        relayed: texts(&stun.relayed),
        peers: texts(&stun.peers),
        behind: stun.behind.iter().map(|behind| (behind.peer.to_string(), behind.payloads)).collect(),
        rtt_ms: stun.round_trips().typical_ms().map(milli),
        rtt: media::rtt(stun.round_trips()),
        channel_data: stun.channel_data,
    }
}

/// No RFC assigns it: it has no name, or one that begins with its vendor's.
fn is_vendor(attribute: Attribute) -> bool {
    const VENDORS: [&str; 6] = ["MS-", "GOOG-", "ZOOM-", "CISCO-", "ENF-", "META-"];
    attribute.name().is_none_or(|name| VENDORS.iter().any(|vendor| name.starts_with(vendor)))
}

fn attribute(attribute: Attribute) -> String {
    match attribute.name() {
        Some(name) => format!("{:#06x} {name}", attribute.0),
        None => format!("{:#06x}", attribute.0),
    }
}

fn texts<T: ToString>(list: &[(T, PacketRef)]) -> Vec<String> {
    list.iter().map(|(value, _)| value.to_string()).collect()
}

pub(super) fn dns(dns: &Dns) -> DnsRecord {
    DnsRecord {
        questions: dns.questions.clone(),
        answers: dns.addresses.iter().map(|(name, address, _)| words::answer(name, *address)).collect(),
        messages: dns.messages,
    }
}

pub(super) fn sip(sip: &Sip) -> SipRecord {
    let (from, to) = sip.parties.clone().unzip();
    let mut media: Vec<String> = Vec::new();
    for held in &sip.media {
        let words = format!("{} {} {}", held.kind, held.profile, held.address);
        if !media.contains(&words) {
            media.push(words);
        }
    }
    SipRecord {
        methods: sip.methods.iter().cloned().collect(),
        call_ids: sip.call_ids.clone(),
        from,
        to,
        calls: sip.calls.iter().map(call).collect(),
        agents: sip.agents.clone(),
        media,
        sdes: sip.sdes.is_some(),
    }
}

/// The calls that SIP of a session speaks of, each once, the first of them.
pub(super) fn calls(analysis: &Analysis, session: &Session) -> Vec<SipCallRecord> {
    let sip = flows(analysis, session).filter_map(|judged| judged.flow.facts.as_deref()?.sip.as_deref());
    let mut found: Vec<SipCallRecord> = Vec::new();
    for call in sip.flat_map(|sip| &sip.calls) {
        // Over a proxy the same call stands in two flows.
        if let Some(held) = found.iter_mut().find(|held| held.call_id == call.call_id) {
            held.status = held.status.into_iter().chain(call.status).min();
        } else if found.len() < CALLS {
            found.push(self::call(call));
        }
    }
    found
}

fn call(call: &Call) -> SipCallRecord {
    SipCallRecord {
        call_id: call.call_id.clone(),
        from: call.from.clone(),
        to: call.to.clone(),
        status: call.status,
    }
}

pub(super) fn zoom(zoom: &Zoom) -> ZoomRecord {
    ZoomRecord {
        generation: zoom.generation,
        connection_id: zoom.connection_id.clone(),
        server_flow_id: zoom.flow_id,
        bind_id: zoom.bind_id.clone(),
        types: zoom.inner.iter().copied().collect(),
        rtt_ms: zoom.rtt.typical_ms().map(milli),
        rtt: media::rtt(&zoom.rtt),
        peer_to_peer: zoom.peer_to_peer,
    }
}
