//! The records: what a run says, as plain data. Their names are an interface that others script against.
//!
//! NDJSON follows the conventions of Suricata's EVE: `timestamp`, `event_type`, `src_ip`, `src_port`, `dest_ip`,
//! `dest_port`, `proto`, `community_id`, a `flow` object with `pkts_toserver` and its like. `src` is the originator.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::classify::Role;
use crate::geo::{DatabaseInfo, LocatedIn, OperatedBy};
use crate::keys::{CouldHold, Method};
use crate::observe::facts::{MediaKind, Wrapping};
use crate::observe::{Beginning, Ending};
use crate::session::NameSource;

/// One record of any kind.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event_type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A flow.
    Flow(Box<FlowRecord>),
    /// A session.
    Session(Box<SessionRecord>),
    /// What the run counted; always the last record.
    Stats(Box<StatsRecord>),
}

/// Which records to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// `flow`.
    Flow,
    /// `session`.
    Session,
    /// `stats`.
    Stats,
}

/// A packet as evidence, in the numbers that Wireshark shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PacketNumber {
    /// Index of the file in `stats.files`, left out when the run had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// Frame number within the file, from 1.
    pub frame: u64,
}

/// One reason.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EvidenceRecord {
    /// Kind of evidence: `sni`, `dns_name`, `prefix`, `stun_realm`, `wire_mark`, `tie_socket` and others.
    pub what: &'static str,
    /// What was seen.
    pub value: String,
    /// What it is worth alone, 0 to 1.
    pub weight: f32,
    /// Packet that shows it; left out for a property of the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
    /// App that it speaks for, when that is not the flow's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Present and true when only an unchecked source stands behind it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}

/// A five-tuple's life, and what it was.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlowRecord {
    /// Time of the first packet.
    pub timestamp: String,
    /// Unique within the run: the number of its first packet.
    pub flow_id: u64,
    /// Originator's address.
    pub src_ip: String,
    /// Originator's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    /// Responder's address.
    pub dest_ip: String,
    /// Responder's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    /// `TCP`, `UDP`, or the IP protocol's number.
    pub proto: String,
    /// Community ID version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    /// Counters.
    pub flow: FlowCounters,
    /// Outer headers of the first packet: VLANs, tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// Provider, or null.
    pub app: Option<String>,
    /// What the flow does.
    pub role: Role,
    /// How sure the app is, 0 to 1.
    pub confidence: f32,
    /// What says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceRecord>,
    /// The session that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
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
    /// Named oddities with their counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<String, u32>,
}

/// An app that came close.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunnerUp {
    /// Which.
    pub app: String,
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
    /// Time of the first packet.
    pub start: String,
    /// Time of the last packet.
    pub end: String,
    /// Its first packet.
    pub first_packet: PacketNumber,
    /// How it began.
    pub beginning: Beginning,
    /// How it ended.
    pub ending: Ending,
}

/// TLS, as far as it is in the clear.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TlsRecord {
    /// Version chosen, or the highest offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// False when no ServerHello was seen.
    pub version_chosen: bool,
    /// Server name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Protocols offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// Protocol chosen, where visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn_chosen: Option<String>,
    /// Cipher suite chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// Key exchange group chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// JA3, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<String>,
    /// JA3S, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3s: Option<String>,
    /// JA4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// The ClientHello carried `encrypted_client_hello` (which may be GREASE).
    pub ech: bool,
    /// Session resumed.
    pub resumed: bool,
    /// Certificates, leaf first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateRecord>,
    /// Alerts in the clear.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
    /// Packet that completed the ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_hello: Option<PacketNumber>,
    /// Packet that completed the ServerHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_hello: Option<PacketNumber>,
}

/// A certificate.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CertificateRecord {
    /// Common name of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Organisation of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// DNS names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Common name of the issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// First second of validity.
    pub not_before: String,
    /// Last second of validity.
    pub not_after: String,
    /// Subject equals issuer.
    pub self_signed: bool,
    /// SHA-256 of the certificate, hex.
    pub sha256: String,
}

/// QUIC, as far as it is visible.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct QuicRecord {
    /// Version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Versions offered by Version Negotiation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub negotiated: Vec<String>,
    /// Destination connection id of the first Initial, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dcid: Option<String>,
    /// Source connection id of the first Initial, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scid: Option<String>,
    /// Initial packets whose tag verified.
    pub initials_verified: u32,
    /// Initial packets whose tag did not.
    pub initials_failed: u32,
    /// A Retry was seen; whether its tag verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_verified: Option<bool>,
    /// User agent of Google's handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// DTLS, as far as it is in the clear.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DtlsRecord {
    /// Version chosen, or offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// SRTP profiles offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub srtp_offered: Vec<String>,
    /// SRTP profile chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtp_chosen: Option<String>,
    /// Cipher suite chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// Key exchange group chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Server name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Protocols offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// JA3, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<String>,
    /// JA4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// `originator` or `responder` sent the ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'static str>,
    /// Certificates of the DTLS server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_certificates: Vec<CertificateRecord>,
    /// Certificates of the DTLS client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_certificates: Vec<CertificateRecord>,
    /// Records in all.
    pub records: u32,
    /// Application data records.
    pub application_data: u32,
}

/// STUN and TURN.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StunRecord {
    /// Messages.
    pub messages: u32,
    /// Messages by type.
    pub types: BTreeMap<String, u32>,
    /// SOFTWARE values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub software: Vec<String>,
    /// REALM values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub realms: Vec<String>,
    /// USERNAME values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usernames: Vec<String>,
    /// Attribute types that no RFC assigns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vendor_attributes: Vec<String>,
    /// XOR-MAPPED-ADDRESS values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<String>,
    /// XOR-RELAYED-ADDRESS values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relayed: Vec<String>,
    /// XOR-PEER-ADDRESS values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// Mean round trip of answered Binding requests, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// ChannelData messages.
    pub channel_data: u32,
}

/// One RTP stream.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RtpRecord {
    /// SSRC, hex.
    pub ssrc: String,
    /// `to_server` or `to_client`.
    pub direction: &'static str,
    /// Payload types with their packets.
    pub payload_types: BTreeMap<u8, u64>,
    /// Audio, video, screen or FEC, where the wire says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<MediaKind>,
    /// How it was wrapped.
    pub wrapping: Wrapping,
    /// Extension profile, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_profile: Option<String>,
    /// Packets.
    pub packets: u64,
    /// RTP bytes with headers.
    pub bytes: u64,
    /// Expected minus received.
    pub lost: u64,
    /// Lost of expected, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// Seen twice.
    pub duplicates: u64,
    /// Seen after a later one.
    pub reordered: u64,
    /// Interarrival jitter by RFC 3550, mean, in milliseconds; left out when the clock rate is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Clock rate used, in Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_hz: Option<u32>,
    /// Frames (distinct RTP timestamps) a second, for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// First packet.
    pub first_packet: PacketNumber,
}

/// RTCP of a flow.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RtcpRecord {
    /// Packets; each part of a compound counts.
    pub packets: u32,
    /// By packet type.
    pub types: BTreeMap<String, u32>,
    /// CNAMEs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cnames: Vec<String>,
}

/// DNS of a flow.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DnsRecord {
    /// Names asked for.
    pub questions: Vec<String>,
    /// Addresses learned, each as `name address`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// Messages.
    pub messages: u32,
}

/// SIP of a flow.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SipRecord {
    /// Requests by method.
    pub methods: BTreeMap<String, u32>,
    /// Call-IDs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub call_ids: Vec<String>,
    /// From of the first INVITE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// To of the first INVITE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// User-Agent and Server values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// Media that SDP announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// SDP carried `a=crypto`.
    pub sdes: bool,
}

/// Zoom's own framing on a flow.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ZoomRecord {
    /// 2 (one-byte header) or 3 (eight-byte header).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u8>,
    /// Connection id of the hello, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// Flow id that the server assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_flow_id: Option<u32>,
    /// Bind id, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_id: Option<String>,
    /// Packets by inner type.
    pub types: BTreeMap<u8, u32>,
    /// Mean ping round trip, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// No SFU header: straight between endpoints.
    pub peer_to_peer: bool,
}

/// One endpoint's part in one call.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SessionRecord {
    /// Time of the first packet.
    pub timestamp: String,
    /// Unique within the run.
    pub session_id: String,
    /// Provider, or null when media was seen that nobody claims.
    pub app: Option<String>,
    /// Its full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// How sure the app is, 0 to 1.
    pub confidence: f32,
    /// The endpoint.
    pub endpoint: EndpointRecord,
    /// First packet.
    pub start: String,
    /// Last packet of the call's flows.
    pub end: String,
    /// First media packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_start: Option<String>,
    /// Length of the call's flows, in seconds.
    pub duration_s: f64,
    /// No beginning was seen.
    pub begun_mid_call: bool,
    /// Flow ids by role.
    pub flows: BTreeMap<Role, Vec<u64>>,
    /// Who was spoken to.
    pub servers: Vec<ServerRecord>,
    /// Quality at the capture point.
    pub media: MediaRecord,
    /// Keys.
    pub keys: KeysRecord,
    /// What stands out, the gravest first.
    pub findings: Vec<Finding>,
    /// The strongest reasons for the app, over all flows; each flow record has all of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceRecord>,
}

/// The endpoint of a session.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndpointRecord {
    /// Its address.
    pub ip: String,
    /// How servers saw it (STUN), where that differs: its address outside of a NAT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    /// Where databases place it: `public_ip` where there is one, else `ip`.
    pub located_in: LocatedIn,
}

/// A server of a session.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerRecord {
    /// Its address.
    pub ip: String,
    /// Its ports, as `tcp/443`.
    pub ports: Vec<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the name comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_source: Option<NameSource>,
    /// What it did.
    pub roles: Vec<Role>,
    /// First packet to or from it.
    pub first_contact: String,
    /// That packet.
    pub first_packet: PacketNumber,
    /// Frame bytes both ways.
    pub bytes: u64,
    /// Jurisdictions.
    #[serde(flatten)]
    pub place: PlaceRecord,
}

/// Where a server sits, who runs the network, who runs the service: separate facts.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlaceRecord {
    /// Where databases place the address.
    pub located_in: LocatedIn,
    /// Who announces the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operated_by: Option<OperatedBy>,
    /// Who runs the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_operator: Option<ServiceOperator>,
    /// Union of the jurisdictions, each with its reason.
    pub exposure: Vec<crate::geo::Exposure>,
}

/// The company behind a service.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceOperator {
    /// Its name.
    pub name: String,
    /// Its home, ISO 3166-1 alpha-2.
    pub home_jurisdiction: String,
}

/// Quality of a session's media.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MediaRecord {
    /// From the endpoint.
    pub sent: WayRecord,
    /// To the endpoint.
    pub received: WayRecord,
}

/// One way of a session's media.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WayRecord {
    /// RTP streams.
    pub streams: u32,
    /// RTP packets.
    pub packets: u64,
    /// Lost.
    pub lost: u64,
    /// Lost of expected, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// Mean jitter, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Mean bit rate, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<f64>,
}

/// Who could hold the media key.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeysRecord {
    /// How the keys arose.
    pub method: Method,
    /// What says so.
    pub why: String,
    /// An end-to-end mode exists that the wire does not show; were it on, no server could hold the key.
    pub unless_end_to_end: bool,
    /// The session's servers, the likeliest holders first.
    pub holders: Vec<HolderRecord>,
}

/// One server, judged.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HolderRecord {
    /// Its address.
    pub ip: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it could hold the key.
    pub could_hold: CouldHold,
    /// Why.
    pub why: String,
    /// How sure, 0 to 1.
    pub confidence: f32,
    /// Document behind it.
    pub source: String,
    /// The packets that show it.
    pub packets: Vec<PacketNumber>,
    /// Seconds from its first contact to the first media packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_media_s: Option<f64>,
    /// Jurisdictions.
    #[serde(flatten)]
    pub place: PlaceRecord,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Look at it.
    High,
    /// Worth knowing.
    Notice,
}

/// Something that stands out.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Stable word.
    pub id: &'static str,
    /// How grave.
    pub severity: Severity,
    /// A sentence for people.
    pub text: String,
    /// The packets that show it.
    pub packets: Vec<PacketNumber>,
}

/// What a run counted. `packets.seen = packets.analysed + packets.filtered + packets.dropped`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatsRecord {
    /// Time of the latest packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Version of the program.
    pub version: &'static str,
    /// Packets.
    pub packets: PacketStats,
    /// Bytes captured of all packets seen.
    pub bytes_captured: u64,
    /// What the decoder met, by name: undecodable by reason, fragments, duplicates.
    pub decode: BTreeMap<String, u64>,
    /// Flows.
    pub flows: FlowStats,
    /// Sessions.
    pub sessions: u64,
    /// The inputs.
    pub files: Vec<FileRecord>,
    /// The location databases.
    pub databases: Vec<DatabaseInfo>,
    /// False when an input ended before its time.
    pub complete: bool,
}

/// Packets of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PacketStats {
    /// Read from files, or told by the interface.
    pub seen: u64,
    /// Looked at (also those that could not be decoded, which `decode` names).
    pub analysed: u64,
    /// Left out by `--bpf`.
    pub filtered: u64,
    /// Lost by the kernel, the interface, or us.
    pub dropped: u64,
    /// Of `dropped`: by the kernel.
    pub dropped_by_kernel: u64,
    /// Of `dropped`: by the interface.
    pub dropped_by_interface: u64,
    /// Of `analysed`: could not be decoded.
    pub undecodable: u64,
    /// Of `analysed`: mirror-port duplicates, counted once.
    pub duplicates: u64,
}

/// Flows of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlowStats {
    /// All.
    pub total: u64,
    /// With an app.
    pub named: u64,
    /// Pushed out of a full table.
    pub evicted: u64,
}

/// One input.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileRecord {
    /// Its name as given.
    pub name: String,
    /// Packets read.
    pub packets: u64,
    /// Why reading stopped before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Named oddities with their counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<String, u64>,
}
