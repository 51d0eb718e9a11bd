//! How signalling was protected on its way.

use serde::Serialize;

use super::PacketNumber;

/// TLS, QUIC or DTLS connections of a session to one server, alike in what was agreed.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SignallingRecord {
    /// `tls`, `quic` or `dtls`.
    pub transport: &'static str,
    /// The server's address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// Of DTLS that a TURN relay forwarded, that relay with its port: `ip` and `port` are those of who stands behind it, or the
    /// relay's own where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_relay: Option<String>,
    /// The name that the client asked for (`server_name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// How many connections.
    pub connections: u32,
    /// How many of them resumed an earlier one.
    pub resumed: u32,
    /// How many of their `ClientHello` messages carried `encrypted_client_hello`, which may be GREASE.
    pub ech: u32,
    /// Version chosen, or the highest offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// False when no ServerHello was seen.
    pub version_chosen: bool,
    /// Cipher suite chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// Key exchange group chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The group is a hybrid with ML-KEM or Kyber; left out where no group was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_quantum: Option<bool>,
    /// A key that is stolen later does not open the recording; left out where no suite was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_secrecy: Option<bool>,
    /// What the server showed of itself, where that was in the clear; of DTLS, what the other end did, client or server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ChainRecord>,
    /// Weaknesses, each the name of a finding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weak: Vec<&'static str>,
    /// The first ClientHello, or the first packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
}

/// A server's certificate and its chain.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChainRecord {
    /// Common name of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// DNS names, the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How many DNS names there are.
    pub names_total: u64,
    /// Common name of the issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// First second of validity.
    pub not_before: String,
    /// Last second of validity.
    pub not_after: String,
    /// Valid when it was seen: `yes`, `expired` or `not_yet`.
    pub valid: &'static str,
    /// Algorithm of the public key.
    pub key: String,
    /// Its size in bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_bits: Option<u32>,
    /// Algorithm of the signature.
    pub signature: String,
    /// Subject equals issuer.
    pub self_signed: bool,
    /// Certificates in the chain, at most six.
    pub chain_length: u64,
    /// One of its names is the one that was asked for (RFC 9525); left out where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_matches: Option<bool>,
    /// SHA-256 of the certificate, hex.
    pub sha256: String,
    /// The packet that completed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
}
