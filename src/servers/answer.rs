//! What a server answered to a ClientHello, and when two answers say the same.

use serde::{Deserialize, Serialize};

use super::TLS_1_3;
use crate::observe::facts::Tls;
use crate::observe::hex;
use crate::time::Timestamp;

/// What of a ServerHello is the server's own choice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the fields that are compared")]
pub struct Behaviour {
    /// Version chosen; wire value.
    pub version: u16,
    /// Cipher suite chosen; wire value.
    pub cipher: u16,
    /// Extensions of the ServerHello in the order of the wire.
    pub extensions: Vec<u16>,
    /// Protocol chosen (RFC 7301); hidden in TLS 1.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
}

impl Behaviour {
    /// True where the answer shows so little that it says something only beside another one to the same ClientHello: of
    /// the extensions of TLS 1.3 all but the version and the key share are encrypted (RFC 8446 section 4.2).
    pub const fn is_bare(&self) -> bool {
        self.version >= TLS_1_3
    }

    /// Written out: the text that identifiers are digests of.
    pub fn text(&self) -> String {
        let extensions: Vec<String> = self.extensions.iter().map(u16::to_string).collect();
        let alpn = self.alpn.as_deref().unwrap_or_default();
        format!("{:04x},{:04x},{},{alpn}", self.version, self.cipher, extensions.join("-"))
    }
}

/// One answer, with the kind of client that it was given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a row of a state file")]
pub struct Answer {
    /// JA4 of the ClientHello; empty when that was not seen. Two ClientHello messages are alike when their JA4 is equal.
    pub client: String,
    /// What was answered.
    pub behaviour: Behaviour,
    /// JA3S of the answer, hex.
    pub ja3s: String,
    /// The server's port.
    pub port: u16,
    /// First time.
    pub first_seen: Timestamp,
    /// Last time.
    pub last_seen: Timestamp,
}

impl Answer {
    /// The answer of a handshake; `None` when no ServerHello was seen.
    pub(super) fn of(tls: &Tls, port: u16, first: Timestamp, last: Timestamp) -> Option<Self> {
        let version = tls.version.filter(|_| tls.version_chosen)?;
        Some(Self {
            client: tls.ja4.map(|ja4| ja4.to_string()).unwrap_or_default(),
            behaviour: Behaviour {
                version,
                cipher: tls.cipher_suite?,
                extensions: tls.server_extensions.to_vec(),
                // A key log must not make an answer another one.
                alpn: tls.alpn_chosen.as_ref().filter(|_| version < TLS_1_3).map(ToString::to_string),
            },
            ja3s: hex(&tls.ja3s?),
            port,
            first_seen: first,
            last_seen: last,
        })
    }

    /// What makes it another answer than others of the same server.
    pub(super) const fn key(&self) -> (&String, &Behaviour, u16) {
        (&self.client, &self.behaviour, self.port)
    }
}
