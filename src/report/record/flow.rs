//! Records of flows.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Serialize;

use super::super::time::EveTime;
use super::media::{EstimateRecord, RtcpRecord, RtpRecord};
use super::protocol::{
    DnsRecord, DtlsRecord, OpenedRecord, QuicRecord, SipRecord, StunRecord, TlsRecord, ZoomRecord,
};
use super::{EvidenceRecord, PacketNumber};
use crate::classify::Role;
use crate::fingerprint::CommunityId;
use crate::observe::{Beginning, Ending};

/// A five-tuple's life, and what it was.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlowRecord {
    /// Time of the first packet.
    #[cfg_attr(test, schemars(with = "String"))]
    pub timestamp: EveTime,
    /// Unique within the run: the number of its first packet.
    pub flow_id: u64,
    /// The run on interfaces that wrote it, by when it began: ids are unique within a run. Left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Originator's address.
    #[cfg_attr(test, schemars(with = "String"))]
    pub src_ip: CompactString,
    /// Originator's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    /// Responder's address.
    #[cfg_attr(test, schemars(with = "String"))]
    pub dest_ip: CompactString,
    /// Responder's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    /// `TCP`, `UDP`, or the IP protocol's number.
    #[cfg_attr(test, schemars(with = "String"))]
    pub proto: CompactString,
    /// Community ID version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub community_id: Option<CommunityId>,
    /// Counters.
    pub flow: FlowCounters,
    /// Outer headers of the first packet: VLANs, tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// Provider, or null.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub app: Option<CompactString>,
    /// What the flow does.
    pub role: Role,
    /// How sure the app is, 0 to 1.
    pub confidence: f32,
    /// What says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceRecord>,
    /// The session that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub session_id: Option<CompactString>,
    /// Another app that came close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<RunnerUp>,
    /// TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<TlsRecord>>,
    /// QUIC handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quic: Option<Box<QuicRecord>>,
    /// DTLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtls: Option<Box<DtlsRecord>>,
    /// STUN and TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stun: Option<Box<StunRecord>>,
    /// RTP streams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rtp: Vec<RtpRecord>,
    /// What sizes and times say of media without a visible RTP header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<EstimateRecord>,
    /// RTCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtcp: Option<RtcpRecord>,
    /// DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Box<DnsRecord>>,
    /// SIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<Box<SipRecord>>,
    /// Zoom's own framing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoom: Option<Box<ZoomRecord>>,
    /// What a key log opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<Box<OpenedRecord>>,
    /// Named oddities with their counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<String, u32>,
}

impl FlowRecord {
    /// The role in a word; of what has no role of its own, the protocol where it is known.
    pub fn role_word(&self) -> &'static str {
        if self.role != Role::Other {
            return self.role.as_str();
        }
        if self.rtcp.is_some() && self.rtp.is_empty() {
            "rtcp"
        } else if self.zoom.is_some() {
            "control"
        } else {
            self.role.as_str()
        }
    }
}

/// An app that came close.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunnerUp {
    /// Which.
    #[cfg_attr(test, schemars(with = "String"))]
    pub app: CompactString,
    /// How sure it would be, 0 to 1.
    pub confidence: f32,
}

/// Counters of a flow, named as in EVE.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlowCounters {
    /// Packets from the originator.
    pub pkts_toserver: u64,
    /// Packets to the originator.
    pub pkts_toclient: u64,
    /// Frame bytes from the originator.
    pub bytes_toserver: u64,
    /// Frame bytes to the originator.
    pub bytes_toclient: u64,
    /// Payload bytes from the originator, as the headers of UDP and TCP declare them; what TCP sent twice counts twice.
    pub payload_toserver: u64,
    /// Payload bytes to the originator.
    pub payload_toclient: u64,
    /// Time of the first packet.
    #[cfg_attr(test, schemars(with = "String"))]
    pub start: EveTime,
    /// Time of the last packet.
    #[cfg_attr(test, schemars(with = "String"))]
    pub end: EveTime,
    /// Its first packet.
    pub first_packet: PacketNumber,
    /// How it began.
    pub beginning: Beginning,
    /// How it ended.
    pub ending: Ending,
}
