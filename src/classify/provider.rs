//! Provider files: what is known of each conferencing product, every fact with its source.
//!
//! In: TOML text. Out: [`Provider`], or an error that names file, line and field. Rust only evaluates.

use std::ops::Range;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::keying::Keying;

/// One provider file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Version of this schema; 1.
    pub schema_version: u32,
    /// Identifier, the name of the file.
    pub id: String,
    /// Short name in reports.
    pub app: String,
    /// Full name.
    pub name: String,
    /// Company that runs the service.
    pub operator: String,
    /// Home country of the operator, ISO 3166-1 alpha-2.
    pub country: String,
    /// Parent company with its country.
    pub parent: Option<String>,
    /// Further countries of companies that run it.
    #[serde(default)]
    pub other_countries: Vec<String>,
    /// What the product is for.
    pub purpose: Purpose,
    /// `active`, or `retired` with a date.
    pub status: String,
    /// How media travels.
    pub topology: String,
    /// How media keys arise, the likeliest way first; not empty.
    pub keying: Spanned<Vec<Keying>>,
    /// Autonomous systems.
    #[serde(default)]
    pub asns: Vec<u32>,
    /// Whether the autonomous systems are the provider's alone.
    pub asn_use: Option<String>,
    /// Where the autonomous systems were read.
    pub asn_source: Option<String>,
    /// What tells it from others, in words.
    #[serde(default)]
    pub distinguish: Vec<String>,
    /// Remarks.
    #[serde(default)]
    pub notes: String,
    /// STUN marks.
    pub stun: Option<StunMarks>,
    /// RTP marks.
    pub rtp: Option<RtpMarks>,
    /// QUIC marks.
    pub quic: Option<QuicMarks>,
    /// DTLS marks.
    pub dtls: Option<DtlsMarks>,
    /// Host names.
    #[serde(default)]
    pub host: Vec<Host>,
    /// Address prefixes.
    #[serde(default)]
    pub net: Vec<Net>,
    /// Ports.
    #[serde(default)]
    pub port: Vec<Port>,
    /// Byte patterns.
    #[serde(default)]
    pub wire: Vec<Wire>,
}

/// What a product is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Purpose {
    /// Meetings: who speaks to its signalling servers is about to meet.
    Meetings,
    /// Chat that can also call: its servers are spoken to all day.
    Messenger,
    /// Telephony and building blocks of others' products.
    Voice,
}

/// How sure a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the three grades of the provider files")]
pub enum Grade {
    /// One weak source.
    Low,
    /// Plausible, or one good source.
    Medium,
    /// Vendor page, source code, or measured.
    High,
}

/// A host name or a pattern of names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The name, suffix or regular expression.
    pub pattern: Spanned<String>,
    /// How `pattern` is meant.
    #[serde(rename = "match")]
    pub matching: Matching,
    /// What a host of this name does.
    pub role: HostRole,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
}

/// How a host pattern is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the kinds of the schema")]
pub enum Matching {
    /// This name only.
    Exact,
    /// This name and every name below it.
    Suffix,
    /// A regular expression on the whole name.
    Regex,
    /// Every name that begins so.
    Prefix,
}

/// What a host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the roles of the schema")]
pub enum HostRole {
    /// Call control.
    Signalling,
    /// Media, or control of a media server.
    Media,
    /// Hands out media keys.
    Key,
    /// Web site, downloads.
    Web,
    /// What only the product's own program calls: settings, telemetry, attachments, lists of servers.
    Client,
    /// STUN or TURN.
    Stun,
}

/// Address prefixes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// Prefixes.
    pub cidrs: Vec<Spanned<String>>,
    /// What sits there.
    pub role: String,
    /// `dedicated` when the provider alone uses it; everything else names an operator at most.
    pub exclusivity: String,
    /// What the source says of that, where it says more.
    pub exclusivity_note: Option<String>,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
    /// Date of the list.
    pub as_of: String,
}

impl Net {
    /// True when a prefix may name the app.
    pub fn is_dedicated(&self) -> bool {
        self.exclusivity == "dedicated"
    }
}

/// Ports.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// `udp` or `tcp`.
    pub proto: String,
    /// Ports, or ranges `a-b`.
    pub ports: Vec<Spanned<String>>,
    /// What it carries.
    pub role: String,
    /// Whose port it is.
    pub side: String,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
}

/// A byte pattern.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wire {
    /// Name of the pattern, unique within the provider.
    pub id: Spanned<String>,
    /// `udp`, `tcp` or `any`.
    pub proto: String,
    /// Ports of which one end must have one; empty means any.
    #[serde(default)]
    pub ports: Vec<String>,
    /// What a flow with this mark does.
    pub role: super::verdict::Role,
    /// `offset:hex` with `?` for any nibble; all must match.
    #[serde(default)]
    pub bytes: Vec<String>,
    /// Hex that must stand anywhere in the payload.
    pub contains: Option<String>,
    /// How often at least.
    pub contains_at_least: Option<usize>,
    /// Payload length: `n`, `n..` or `n..m`, in bytes.
    pub len: Option<String>,
    /// Offset of a little-endian 16-bit length.
    pub le16_len_at: Option<usize>,
    /// Offset of a big-endian 16-bit length.
    pub be16_len_at: Option<usize>,
    /// Bits of that length that count; all when left out.
    pub len_mask: Option<u16>,
    /// What is added to that length to get the payload's.
    #[serde(default)]
    pub len_adjust: i64,
    /// `any`, `originator` or `responder`.
    #[serde(default)]
    pub direction: String,
    /// The first byte of each packet is one more than that of the packet before, modulo 256, the same way.
    #[serde(default)]
    pub counts_up: bool,
    /// Only the first packets of a connection look so: a flow that begins with one was seen from its beginning.
    #[serde(default)]
    pub opens: bool,
    /// Packets that must match before the mark counts.
    #[serde(default)]
    pub hits: u32,
    /// Counts only when one end is inside a prefix of the provider.
    #[serde(default)]
    pub inside_prefix: bool,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
}

/// STUN marks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StunMarks {
    /// Attribute types.
    #[serde(default)]
    pub attributes: Vec<u16>,
    /// Message types that no standard assigns.
    #[serde(default)]
    pub message_types: Vec<u16>,
    /// SOFTWARE values.
    #[serde(default)]
    pub software: Vec<String>,
    /// REALM values.
    #[serde(default)]
    pub realms: Vec<String>,
    /// Shape of USERNAME in ICE checks, a regular expression.
    pub ice_username: Option<Spanned<String>>,
    /// Shape of USERNAME in TURN requests, a regular expression.
    pub turn_username: Option<Spanned<String>>,
    /// Remarks.
    #[serde(default)]
    pub note: String,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
}

/// RTP marks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RtpMarks {
    /// Payload types with their meaning.
    #[serde(default)]
    pub payload_types: Vec<PayloadTypeMark>,
    /// Extension profiles.
    #[serde(default)]
    pub extension_profiles: Vec<u16>,
    /// RTCP packet types.
    #[serde(default)]
    pub rtcp_types: Vec<u8>,
    /// Remarks.
    #[serde(default)]
    pub note: String,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
}

/// A payload type as the provider uses it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadTypeMark {
    /// RTP payload type.
    pub pt: u8,
    /// What it carries.
    pub meaning: Option<String>,
}

/// DTLS marks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DtlsMarks {
    /// Names in the server's certificate.
    #[serde(default)]
    pub server_cert_names: Vec<String>,
    /// Names in the client's certificate.
    #[serde(default)]
    pub client_cert_names: Vec<String>,
    /// Protocols that the client offers.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// Remarks.
    #[serde(default)]
    pub note: String,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
}

/// QUIC marks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuicMarks {
    /// RTP and RTCP share the five-tuple with a QUIC handshake.
    #[serde(default)]
    pub carries_rtp: bool,
    /// Remarks.
    #[serde(default)]
    pub note: String,
    /// How sure.
    pub confidence: Grade,
    /// Where it was read.
    pub sources: Spanned<Vec<String>>,
}

/// The list of sources that all provider files refer to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// Version of this schema; 1.
    pub schema_version: u32,
    /// When the facts were gathered.
    pub retrieved: Option<String>,
    /// How to read the list.
    pub note: Option<String>,
    /// By key.
    pub source: std::collections::BTreeMap<String, Source>,
}

/// One source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it is.
    pub title: String,
    /// When it was published or copied.
    pub date: String,
    /// Kind of source.
    pub kind: String,
}

/// Why a provider file was refused.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderError {
    /// Not TOML, or not of the schema.
    #[error("{file}:{line}: {reason}")]
    Schema {
        /// Name of the file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong, with the field.
        reason: String,
    },
    /// The file could not be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// Name of the file.
        file: String,
        /// What the system says.
        reason: String,
    },
}

/// Reads one provider file.
///
/// # Errors
/// [`ProviderError::Schema`] with line and field.
pub fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, ProviderError> {
    toml::from_str(text).map_err(|error| ProviderError::Schema {
        file: file.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, &span)),
        reason: error.message().replace('\n', " "),
    })
}

/// Line (from 1) on which `span` begins.
pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// A prefix, or why it is none.
pub(super) fn prefix(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>().map(|net| net.trunc()).map_err(|_| format!("`{text}` is no address prefix"))
}
