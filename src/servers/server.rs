//! One server of an inventory: sets with caps. What is over a cap is let go by a rule that does not depend on the
//! order of adding, and a mark says that there was more.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::observe::facts::Tls;
use crate::time::Timestamp;

/// Most names kept, the first in the alphabet.
const NAMES: usize = 16;
/// Most ports kept, the lowest.
const PORTS: usize = 16;
/// Most answers kept, those that were seen first.
const ANSWERS: usize = 32;
/// Most certificates kept, those that were seen last: they are renewed every few weeks.
const CERTIFICATES: usize = 8;
/// Most sessions kept, the latest.
const TOUCHES: usize = 128;
/// Most names kept of a certificate, as they stand in it.
const CERTIFICATE_NAMES: usize = 8;

/// A session that spoke to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a row of a state file")]
pub struct Touch {
    /// First packet of the call.
    pub start: Timestamp,
    /// Whose session.
    pub endpoint: IpAddr,
    /// Last packet of the call.
    pub end: Timestamp,
}

/// A leaf certificate that the server showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a row of a state file")]
pub struct Certificate {
    /// SHA-256 of its DER bytes, hex.
    pub sha256: String,
    /// Common name of the subject and the first alternative names, each once.
    pub names: Vec<String>,
    /// Common name of the issuer, or its organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Last time.
    pub last_seen: Timestamp,
}

/// A server as it was seen, over all that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a row of a state file")]
pub struct Server {
    /// Identifier of the provider file.
    pub provider: String,
    /// Its address.
    pub address: IpAddr,
    /// IP protocol number and port.
    pub ports: BTreeSet<(u8, u16)>,
    /// Names that clients asked for, or that DNS or the certificate gave.
    pub names: BTreeSet<String>,
    /// First packet of the first flow.
    pub first_seen: Timestamp,
    /// Last packet of the last flow.
    pub last_seen: Timestamp,
    /// Answers of full handshakes, each kind once.
    pub answers: Vec<Answer>,
    /// A handshake was resumed, or none of its certificates was seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Leaf certificates.
    pub certificates: Vec<Certificate>,
    /// Sessions that spoke to it, by their start.
    pub sessions: BTreeSet<Touch>,
    /// There were earlier sessions than those kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_sessions: bool,
    /// There were more names, ports, answers or certificates than those kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl Server {
    pub(super) const fn new(provider: String, address: IpAddr, first: Timestamp, last: Timestamp) -> Self {
        Self {
            provider,
            address,
            ports: BTreeSet::new(),
            names: BTreeSet::new(),
            first_seen: first,
            last_seen: last,
            answers: Vec::new(),
            resumed: false,
            certificates: Vec::new(),
            sessions: BTreeSet::new(),
            more_sessions: false,
            more: false,
        }
    }

    pub(super) fn port(&mut self, port: (u8, u16)) {
        self.ports.insert(port);
        while self.ports.len() > PORTS {
            self.ports.pop_last();
            self.more = true;
        }
    }

    /// An address in the place of a name (RFC 6066 section 3 forbids it, and some do) says nothing new.
    pub(super) fn name(&mut self, name: &str) {
        if name.parse::<IpAddr>().is_err() && !self.names.contains(name) {
            self.names.insert(name.to_owned());
        }
        while self.names.len() > NAMES {
            self.names.pop_last();
            self.more = true;
        }
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        match self.answers.binary_search_by(|held| held.key().cmp(&answer.key())) {
            Ok(place) => {
                if let Some(held) = self.answers.get_mut(place) {
                    held.first_seen = held.first_seen.min(answer.first_seen);
                    held.last_seen = held.last_seen.max(answer.last_seen);
                }
            }
            Err(place) => self.answers.insert(place, answer),
        }
        while self.answers.len() > ANSWERS {
            let latest =
                self.answers.iter().enumerate().max_by_key(|(place, held)| (held.first_seen, *place));
            let Some((place, _)) = latest else { break };
            self.answers.remove(place);
            self.more = true;
        }
    }

    /// Writes down the leaf of a chain.
    pub(super) fn certificate(&mut self, tls: &Tls, last: Timestamp) {
        let Some(leaf) = tls.certificates.first() else { return };
        let mut names: Vec<String> = Vec::new();
        for name in leaf.subject_cn.iter().chain(&leaf.dns_names) {
            if names.len() < CERTIFICATE_NAMES && !names.contains(name) {
                names.push(name.clone());
            }
        }
        let issuer = leaf.issuer_cn.clone().or_else(|| leaf.issuer_o.clone());
        self.add_certificate(Certificate { sha256: leaf.sha256.clone(), names, issuer, last_seen: last });
    }

    fn add_certificate(&mut self, certificate: Certificate) {
        match self.certificates.binary_search_by(|held| held.sha256.cmp(&certificate.sha256)) {
            Ok(place) => {
                if let Some(held) = self.certificates.get_mut(place) {
                    held.last_seen = held.last_seen.max(certificate.last_seen);
                }
            }
            Err(place) => self.certificates.insert(place, certificate),
        }
        while self.certificates.len() > CERTIFICATES {
            let oldest =
                self.certificates.iter().enumerate().min_by_key(|(place, held)| (held.last_seen, *place));
            let Some((place, _)) = oldest else { break };
            self.certificates.remove(place);
            self.more = true;
        }
    }

    /// A session whose end was seen to be later is the same session.
    pub(super) fn touch(&mut self, touch: Touch) {
        let same = |held: &&Touch| (held.start, held.endpoint) == (touch.start, touch.endpoint);
        let held = self.sessions.iter().find(same).copied();
        if let Some(held) = held {
            if held.end < touch.end {
                self.sessions.remove(&held);
                self.sessions.insert(touch);
            }
            return;
        }
        self.sessions.insert(touch);
        while self.sessions.len() > TOUCHES {
            self.sessions.pop_first();
            self.more_sessions = true;
        }
    }

    /// Adds what another inventory knows of the same server.
    pub(super) fn merge(&mut self, other: Self) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.resumed |= other.resumed;
        self.more |= other.more;
        self.more_sessions |= other.more_sessions;
        for port in other.ports {
            self.port(port);
        }
        for name in &other.names {
            self.name(name);
        }
        for answer in other.answers {
            self.answer(answer);
        }
        for certificate in other.certificates {
            self.add_certificate(certificate);
        }
        for touch in other.sessions {
            self.touch(touch);
        }
    }

    /// The same server with all its lists in order and within their caps: what a file says may be neither.
    pub(super) fn within_caps(self) -> Self {
        let mut server = Self::new(self.provider.clone(), self.address, self.first_seen, self.last_seen);
        server.merge(self);
        server
    }

    /// Answers to one ClientHello differ: a front for several, or a server that was changed.
    pub fn is_mixed(&self) -> bool {
        self.answers.iter().any(|one| {
            self.answers.iter().any(|other| {
                !one.client.is_empty() && one.client == other.client && one.behaviour != other.behaviour
            })
        })
    }
}
