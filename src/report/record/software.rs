//! Records of the inventory: servers, groups of servers that answer alike, and what all of it comes to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ServiceOperator;
use crate::geo::{DatabaseInfo, LocatedIn, OperatedBy};

/// How far the software of a server is spread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SpreadRecord {
    /// The group of servers whose answers to TLS are equal; the same in every run for the same answers.
    pub group: String,
    /// Servers seen of that group, this one among them.
    pub servers: u64,
    /// Of these, how many databases place in each country, ISO 3166-1 alpha-2.
    pub countries: BTreeMap<String, u64>,
    /// Of these, how many no database places.
    #[serde(skip_serializing_if = "is_zero")]
    pub unplaced: u64,
}

/// Servers of one provider whose answers to like ClientHello messages are equal.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SoftwareRecord {
    /// First packet of a server of the group.
    pub timestamp: String,
    /// Provider.
    pub app: String,
    /// Group, number of servers, countries.
    #[serde(flatten)]
    pub spread: SpreadRecord,
    /// Databases that placed them, each with its date.
    pub placed_by: Vec<String>,
    /// Networks that announce them, the commonest first: another fact than where they are placed.
    pub networks: Vec<NetworkCount>,
    /// Company that runs the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_operator: Option<ServiceOperator>,
    /// What they answered, the commonest first.
    pub answers: Vec<AnswerRecord>,
    /// Certificates that they showed, the commonest first. They decide nothing.
    pub certificates: Vec<CertificateCount>,
    /// Servers by what the provider file says of hosts of their name: `key`, `media`, `signalling`, `web`, `client`,
    /// `stun`, `unknown`. It decides nothing.
    pub named_as: BTreeMap<&'static str, u64>,
    /// Sessions that spoke to one of them.
    pub sessions: u64,
    /// Endpoints of these.
    pub endpoints: u64,
    /// First packet of any of them.
    pub first_seen: String,
    /// Last packet of any of them.
    pub last_seen: String,
    /// Addresses, sorted.
    pub addresses: Vec<String>,
}

/// Servers of one network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NetworkCount {
    /// AS number.
    pub asn: u32,
    /// AS name.
    pub name: String,
    /// Servers.
    pub servers: u64,
}

/// Servers that showed a certificate of the same names from the same issuer.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CertificateCount {
    /// Common name and alternative names.
    pub names: Vec<String>,
    /// Issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Different certificates of these names.
    pub certificates: u64,
    /// Servers.
    pub servers: u64,
}

/// What was answered to a ClientHello.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AnswerRecord {
    /// Version chosen.
    pub version: String,
    /// Cipher suite chosen.
    pub cipher: String,
    /// Extensions of the ServerHello, in the order of the wire.
    pub extensions: Vec<u16>,
    /// Protocol chosen; hidden in TLS 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn_chosen: Option<String>,
    /// JA3S, hex.
    pub ja3s: String,
    /// JA4 of the ClientHello messages that were answered so.
    pub clients: Vec<String>,
    /// Servers that answered so; left out in the record of one server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<u64>,
}

/// A server of the inventory.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InventoryServerRecord {
    /// Its first packet.
    pub timestamp: String,
    /// Provider.
    pub app: String,
    /// Its address.
    pub ip: String,
    /// The group that it is in, or null when no full handshake of it was seen.
    pub group: Option<String>,
    /// Why it is in no group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_grouped: Option<&'static str>,
    /// Its ports, as `tcp/443`.
    pub ports: Vec<String>,
    /// Its names.
    pub names: Vec<String>,
    /// First packet.
    pub first_seen: String,
    /// Last packet.
    pub last_seen: String,
    /// What it answered in full handshakes.
    pub answers: Vec<AnswerRecord>,
    /// Leaf certificates that it showed.
    pub certificates: Vec<ShownCertificate>,
    /// Sessions that spoke to it, the latest ones where there were many.
    pub sessions: Vec<TouchRecord>,
    /// There were earlier sessions than these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_sessions: bool,
    /// There were more names, ports, answers or certificates than these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Where databases place it.
    pub located_in: LocatedIn,
    /// Who announces its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operated_by: Option<OperatedBy>,
}

/// A certificate of a server.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShownCertificate {
    /// SHA-256 of the certificate, hex.
    pub sha256: String,
    /// Common name and alternative names.
    pub names: Vec<String>,
    /// Issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When it was shown last.
    pub last_seen: String,
}

/// A session that spoke to a server.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TouchRecord {
    /// Whose.
    pub endpoint: String,
    /// First packet of the call.
    pub start: String,
    /// Last packet of the call.
    pub end: String,
}

/// What an inventory comes to; always the last record.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InventoryRecord {
    /// Last packet of any server.
    pub timestamp: Option<String>,
    /// Version of the program.
    pub version: &'static str,
    /// Servers.
    pub servers: u64,
    /// Of these, those that are in a group.
    pub grouped: u64,
    /// Groups.
    pub groups: u64,
    /// Servers by provider.
    pub apps: BTreeMap<String, u64>,
    /// Servers by the country that databases place them in.
    pub countries: BTreeMap<String, u64>,
    /// Servers that no database places.
    pub unplaced: u64,
    /// Servers let go because there were too many.
    pub evicted: u64,
    /// The databases that were asked.
    pub databases: Vec<DatabaseInfo>,
    /// False when an input could not be read to its end.
    pub complete: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
