//! Records of sessions: servers, keys.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    CaptureLossRecord, DistanceRecord, EstimateRecord, EvidenceRecord, Finding, JurisdictionRecord,
    MosRecord, PacketNumber, Phase, PlaceHint, SessionCipherRecord, SignallingRecord, SipCallRecord,
    SpreadRecord, TrendRecord, TriedRecord, WitnessRecord,
};
use crate::classify::Role;
use crate::geo::{Exposure, KnownNetwork, LocatedIn, OperatedBy};
use crate::keys::{ContactKind, CouldHold, Method, Mode};
use crate::session::speech::RttSource;
use crate::session::{NameSource, Why};

/// One endpoint's part in one call.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SessionRecord {
    /// Time of the first packet.
    pub timestamp: String,
    /// Unique within the run.
    pub session_id: String,
    /// Where it stood when this was written; left out by `replay`, which writes what is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When this was written, by the clock of the machine; left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
    /// The run on interfaces that wrote it, by when it began: ids are unique within a run. Left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// In the last record of one that turned out to be none of its own: the session that its flows are a part of, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Provider, or null when media was seen that nobody claims.
    pub app: Option<String>,
    /// Its full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// How sure the app is, 0 to 1.
    pub confidence: f32,
    /// The meeting that it is known to share with other sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meeting_id: Option<String>,
    /// The endpoint.
    pub endpoint: EndpointRecord,
    /// Its addresses, where it had more than one, in the order in which they were first used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRecord>,
    /// Its changes of address or port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub address_changes: Vec<AddressChangeRecord>,
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
    /// Flow ids by role, of each role the first two thousand.
    pub flows: BTreeMap<Role, Vec<u64>>,
    /// Flows that are not in `flows`; a call has some dozens.
    #[serde(skip_serializing_if = "is_zero")]
    pub flows_left_out: u32,
    /// Who was spoken to.
    pub servers: Vec<ServerRecord>,
    /// Quality at the capture point.
    pub media: MediaRecord,
    /// Its media over time in a few points; left out by `replay`, whose flow records hold every stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend: Option<Box<TrendRecord>>,
    /// Keys.
    pub keys: KeysRecord,
    /// What the ciphertext of its media shows; left out without RTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<Box<SessionCipherRecord>>,
    /// Calls of its SIP, also those that did not come about, the first 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sip_calls: Vec<SipCallRecord>,
    /// TLS, QUIC and DTLS connections, grouped by server and by what was agreed, in the order of their first packets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signalling: Vec<SignallingRecord>,
    /// Groups that are not in `signalling`.
    #[serde(skip_serializing_if = "is_zero")]
    pub signalling_left_out: u32,
    /// Jurisdictions that reach a server which could hold the key, or which media or signalling goes to, by code.
    pub jurisdictions: Vec<JurisdictionRecord>,
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

/// An address that the endpoint of a session had.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AddressRecord {
    /// The address.
    pub ip: String,
    /// First packet of the call's flows from or to it.
    pub from: String,
    /// Last packet.
    pub to: String,
    /// The first of its packets.
    pub packet: PacketNumber,
}

/// A change of the endpoint's address or port in a call.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AddressChangeRecord {
    /// When the new one took over.
    pub at: String,
    /// The old address and port.
    pub from: String,
    /// The new ones.
    pub to: String,
    /// What shows that it is the same endpoint.
    pub why: Why,
    /// The packet that shows it.
    pub packet: PacketNumber,
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
    /// The TURN relay that it was reached through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_relay: Option<String>,
    /// The other end of a path of which nothing shows that it is a server: a participant, or a media server.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other_end: bool,
    /// It was asked over UDP and never answered, where others did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_answer: bool,
    /// First packet to or from it.
    pub first_contact: String,
    /// That packet.
    pub first_packet: PacketNumber,
    /// Frame bytes both ways; what passed a relay is counted at the relay, and not here.
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
    /// What is known of the network: a front end that stands before others' machines, a public resolver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<KnownNetwork>,
    /// Who runs the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_operator: Option<ServiceOperator>,
    /// What owners of its names and of published ranges say of its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<PlaceHint>,
    /// How far away it can be, by how soon it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Box<DistanceRecord>>,
    /// Union of the jurisdictions, each with its reason.
    pub exposure: Vec<Exposure>,
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
    /// Median round trip between the endpoint and who it spoke to, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// How that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_source: Option<RttSource>,
    /// What sizes and times say of media without a visible RTP header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<EstimateRecord>,
    /// What the capture lost while the session ran, on any interface: losses of media are then upper bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_losses: Option<CaptureLossRecord>,
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
    /// Seen twice.
    pub duplicates: u64,
    /// Seen after a later one.
    pub reordered: u64,
    /// Streams by what they carry: `audio`, `video`, `screen`, `repair` (RTX and FEC), `unknown`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<&'static str, u32>,
    /// Frames per second of the video stream with the most packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// How often pictures stood still, over all video streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freezes: Option<u32>,
    /// How long in all, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_ms: Option<f64>,
    /// Speech quality, or why there is none.
    pub mos: MosRecord,
}

/// Who could hold the media key.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeysRecord {
    /// How the keys arose.
    pub method: Method,
    /// What says so.
    pub why: String,
    /// The documents or the standard behind it, with their dates.
    pub source: String,
    /// Ciphers that the documents of the capture's day name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ciphers: Vec<String>,
    /// An end-to-end mode exists that the wire does not show; were it on, no server could hold the key.
    pub unless_end_to_end: bool,
    /// The end-to-end mode that was documented on the capture's day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<EndToEndRecord>,
    /// Media flows one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowKeyingRecord>,
    /// Media flows that are not in `flows`.
    #[serde(skip_serializing_if = "is_zero")]
    pub flows_left_out: u32,
    /// Keys that open the media, each with who sent it in which packet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub witness: Vec<WitnessRecord>,
    /// Deliveries of such keys that are not in `witness`.
    #[serde(skip_serializing_if = "is_zero")]
    pub witness_left_out: u32,
    /// What trying values of opened or clear signalling on the media came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<TriedRecord>,
    /// The session's servers, the likeliest holders first.
    pub holders: Vec<HolderRecord>,
    /// First contacts with each server, in order of time.
    pub timeline: Vec<ContactRecord>,
    /// Contacts that are not in `timeline`.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeline_left_out: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A documented end-to-end mode.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndToEndRecord {
    /// When it is on.
    pub mode: Mode,
    /// Which calls it is for.
    pub scope: String,
    /// Who has the key then.
    pub holder: String,
    /// The documents with their dates.
    pub source: String,
}

/// How the keys of one media flow arose, by what the wire shows.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlowKeyingRecord {
    /// Number of the flow, the first of those that are alike.
    pub flow_id: u64,
    /// How many flows to that address and port are alike.
    pub flows: u32,
    /// Who was spoken to.
    pub remote: String,
    /// How.
    pub method: Method,
    /// What shows it.
    pub why: String,
    /// The packet that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
    /// The DTLS handshake that made the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<HandshakeRecord>,
}

/// A DTLS handshake that made media keys.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HandshakeRecord {
    /// Version chosen, or offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `use_srtp` profile chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The DTLS server. Left out where it stands behind a relay and is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The TURN relay, address and port, that forwarded the handshake between the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_relay: Option<String>,
    /// Which side that is: `endpoint` or `remote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_is: Option<&'static str>,
    /// SHA-256 of the server's certificate, hex: the fingerprint of RFC 8122.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<String>,
    /// SHA-256 of the client's certificate, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
}

/// The first contact of a kind with a server.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ContactRecord {
    /// Time of `packet`.
    pub at: String,
    /// Seconds from there to the first media packet; negative when media came first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_media_s: Option<f64>,
    /// Address.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// What.
    pub kind: ContactKind,
    /// The first packet of the kind: of TLS, QUIC and SIP the one that opens the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
    /// How many flows of the kind went there.
    pub flows: u32,
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
    /// A network of front ends announces the address: the machine placed there is an entry, and where keys lie behind it is not
    /// visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front_end: Option<String>,
    /// The packets that show it.
    pub packets: Vec<PacketNumber>,
    /// Seconds from its first contact to the first media packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_media_s: Option<f64>,
    /// The servers seen that answer TLS as this one does, over this run and what `--state` knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<SpreadRecord>,
    /// Jurisdictions.
    #[serde(flatten)]
    pub place: PlaceRecord,
}
