//! A judged flow as a record.

use std::collections::BTreeMap;

use compact_str::{CompactString, ToCompactString as _};

use super::super::record::{FlowCounters, FlowRecord, RunnerUp};
use super::super::time::EveTime;
use super::words::address;
use super::{Context, media, protocol, round3};
use crate::fingerprint::community_id;
use crate::observe::facts::Facts;
use crate::session::Judged;

/// A flow. `session_id` is the session that it belongs to.
pub fn flow_record(context: &Context<'_>, judged: &Judged, session_id: Option<&str>) -> FlowRecord {
    let (flow, verdict) = (&judged.flow, &judged.verdict);
    let tuple = &flow.tuple;
    let (source, destination) = (tuple.source, tuple.destination);
    let ports = has_ports(tuple.protocol).then(|| (source.port(), destination.port()));
    let mut evidence: Vec<_> =
        verdict.evidence.iter().map(|item| context.evidence(item, verdict.provider)).collect();
    evidence.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let timestamp = EveTime::of(flow.start);
    let empty = Facts::default();
    let facts = flow.facts.as_deref().unwrap_or(&empty);
    FlowRecord {
        flow_id: flow.id,
        run: context.run.clone(),
        src_ip: address(source.ip()),
        src_port: ports.map(|(port, _)| port),
        dest_ip: address(destination.ip()),
        dest_port: ports.map(|(_, port)| port),
        proto: protocol_name(tuple.protocol),
        community_id: Some(community_id(0, tuple.protocol, source.ip(), destination.ip(), ports)),
        flow: counters(context, judged, timestamp),
        timestamp,
        tunnel: flow.path.as_deref().map(str::to_owned),
        app: context.app(verdict.provider),
        role: judged.role(),
        confidence: round3(verdict.confidence),
        evidence,
        session_id: session_id.map(CompactString::from),
        runner_up: verdict.runner_up.and_then(|(number, confidence)| {
            let app = context.app(Some(number))?;
            Some(RunnerUp { app, confidence: round3(confidence) })
        }),
        tls: facts.tls.as_ref().map(|tls| Box::new(protocol::tls(context, tls))),
        quic: facts.quic.as_ref().map(|quic| Box::new(protocol::quic(quic))),
        dtls: facts.dtls.as_ref().map(|dtls| Box::new(protocol::dtls(dtls))),
        stun: facts.stun.as_ref().map(|stun| Box::new(protocol::stun(stun))),
        rtp: media::streams(context, judged),
        estimate: media::estimate(judged),
        rtcp: facts.media.as_ref().and_then(|media| media::rtcp(context, media)),
        dns: facts.dns.as_ref().map(|dns| Box::new(protocol::dns(dns))),
        sip: facts.sip.as_ref().map(|sip| Box::new(protocol::sip(sip))),
        zoom: facts.zoom.as_ref().map(|zoom| Box::new(protocol::zoom(zoom))),
        opened: facts.opened.as_ref().map(|opened| Box::new(protocol::opened(opened))),
        anomalies: anomalies(facts),
    }
}

fn counters(context: &Context<'_>, judged: &Judged, start: EveTime) -> FlowCounters {
    let flow = &judged.flow;
    let ([pkts_toserver, pkts_toclient], [bytes_toserver, bytes_toclient]) = (flow.packets, flow.bytes);
    let [payload_toserver, payload_toclient] = flow.payload;
    FlowCounters {
        pkts_toserver,
        pkts_toclient,
        bytes_toserver,
        bytes_toclient,
        payload_toserver,
        payload_toclient,
        start,
        end: EveTime::of(flow.end),
        first_packet: context.packet(flow.first_packet),
        beginning: flow.beginning,
        ending: flow.ending,
    }
}

fn anomalies(facts: &Facts) -> BTreeMap<String, u32> {
    let mut all: BTreeMap<String, u32> =
        facts.anomalies.iter().map(|anomaly| (anomaly.name.to_owned(), anomaly.count)).collect();
    if facts.left_out > 0 {
        all.insert("entries_left_out".to_owned(), facts.left_out);
    }
    all
}

/// TCP, UDP, DCCP, SCTP, UDP-Lite.
const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
}

/// The word that EVE uses for an IP protocol, or its number.
pub(in super::super) fn protocol_name(protocol: u8) -> CompactString {
    let name = match protocol {
        1 => "ICMP",
        2 => "IGMP",
        6 => "TCP",
        17 => "UDP",
        33 => "DCCP",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "IPv6-ICMP",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        132 => "SCTP",
        136 => "UDPLite",
        other => return other.to_compact_string(),
    };
    CompactString::const_new(name)
}
