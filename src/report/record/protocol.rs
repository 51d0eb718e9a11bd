//! What flow records say of each protocol.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Serialize;

use super::PacketNumber;
use super::media::RttRecord;
use crate::fingerprint::Ja4;

/// TLS, as far as it is in the clear.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TlsRecord {
    /// Version chosen, or the highest offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub version: Option<CompactString>,
    /// False when no ServerHello was seen.
    pub version_chosen: bool,
    /// Server name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub sni: Option<CompactString>,
    /// Protocols offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub alpn: Vec<CompactString>,
    /// Protocol chosen, where visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub alpn_chosen: Option<CompactString>,
    /// Cipher suite chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub cipher: Option<CompactString>,
    /// Key exchange group chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub group: Option<CompactString>,
    /// JA3, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<String>,
    /// JA3S, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3s: Option<String>,
    /// JA4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub ja4: Option<Ja4>,
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
    /// Algorithm of the public key.
    pub key: String,
    /// Its size in bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_bits: Option<u32>,
    /// Algorithm of the signature.
    pub signature: String,
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
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub version: Option<CompactString>,
    /// Versions offered by Version Negotiation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub negotiated: Vec<String>,
    /// Destination connection id of the first Initial, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub dcid: Option<CompactString>,
    /// Source connection id of the first Initial, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub scid: Option<CompactString>,
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
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub version: Option<CompactString>,
    /// SRTP profiles offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub srtp_offered: Vec<String>,
    /// SRTP profile chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtp_chosen: Option<String>,
    /// Cipher suite chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub cipher: Option<CompactString>,
    /// Key exchange group chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub group: Option<CompactString>,
    /// Server name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub sni: Option<CompactString>,
    /// Protocols offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// JA3, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<String>,
    /// JA4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub ja4: Option<Ja4>,
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
    /// Who stands behind the relay, with the payloads that passed and were no STUN.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub behind: BTreeMap<String, u32>,
    /// Median round trip of answered requests, in milliseconds: of ICE checks through the relay where there are any, else
    /// of requests to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// The same by who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttRecord>,
    /// ChannelData messages.
    pub channel_data: u32,
}

/// DNS of a flow.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DnsRecord {
    /// Names asked for.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub questions: Vec<CompactString>,
    /// Addresses learned, each as `name address`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub answers: Vec<CompactString>,
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
    /// Calls that an INVITE began, each Call-ID once, the first 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<SipCallRecord>,
    /// User-Agent and Server values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// Media that SDP announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// SDP carried `a=crypto`.
    pub sdes: bool,
}

/// A call of SIP, as the messages about its INVITE tell it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SipCallRecord {
    /// Call-ID.
    pub call_id: String,
    /// From, with display name and tag.
    pub from: String,
    /// To, with display name.
    pub to: String,
    /// The final answer to the INVITE, 200 to 699: success once there was one, else the latest; absent where none was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
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
    /// Median ping round trip, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// The same by who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttRecord>,
    /// No SFU header: straight between endpoints.
    pub peer_to_peer: bool,
}

/// What a key log opened of a flow. The content itself is shown nowhere.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OpenedRecord {
    /// Records of TLS, or packets of QUIC, whose tag verified.
    pub records: u64,
    /// Bytes of application data in them.
    pub bytes: u64,
    /// Records that should have opened and did not.
    pub failed: u64,
    /// Bytes that were not tried.
    pub passed_over: u64,
    /// Why nothing, or no more, was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// SHA-256 of the originator's application data and of the responder's, hex; null where there was none. Of QUIC: SHA-256 over
    /// each stream's id (64 bits, big-endian) and its SHA-256, by rising id.
    pub sha256: [Option<String>; 2],
    /// SRTP keys could be exported from the DTLS handshake.
    pub srtp_keys: bool,
}
