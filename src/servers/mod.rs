//! Stage: the inventory of provider servers. In: judged flows and sessions. Out: [`Inventory`], and [`groups`] of
//! servers that answer TLS alike.
//!
//! An inventory knows no capture: everything in it is the least, the greatest or the set of what was seen, under keys
//! of packet time and addresses. Adding the same capture twice therefore changes nothing, and neither does the order
//! in which captures are added, until a cap is reached. Where a server is placed is not kept: databases change.

mod answer;
mod server;
mod software;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

pub use answer::{Answer, Behaviour};
pub use server::{Certificate, Server, Touch};
pub use software::{Seen, Software, groups};

use crate::classify::provider::Provider;
use crate::classify::{Role, Rules};
use crate::observe::facts::Tls;
use crate::session::{Judged, Session};
use crate::time::Timestamp;

/// Most servers kept; those that were not seen for longest go first. Some 100 MB when every one of them is full.
pub const SERVERS: usize = 50_000;

/// Which server: the provider whose it is and its address.
///
/// The address alone would not do, since one front of a cloud serves many.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a key of two parts")]
pub struct Id {
    /// Identifier of the provider file.
    pub provider: String,
    /// Its address.
    pub address: IpAddr,
}

/// Servers by provider and address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    servers: BTreeMap<Id, Server>,
    /// Servers that this run let go because there were too many.
    evicted: u64,
}

impl Inventory {
    /// The servers of one analysis.
    pub fn of<'a>(rules: &Rules, flows: &[Judged], sessions: impl IntoIterator<Item = &'a Session>) -> Self {
        let mut inventory = Self::default();
        inventory.add(rules, flows, sessions);
        inventory
    }

    /// Adds the servers of flows and sessions.
    pub fn add<'a>(
        &mut self,
        rules: &Rules,
        flows: &[Judged],
        sessions: impl IntoIterator<Item = &'a Session>,
    ) {
        for judged in flows {
            self.flow(rules, judged);
        }
        for session in sessions {
            self.session(rules, session);
        }
        self.trim();
    }

    /// Adds what another inventory has.
    pub fn merge(&mut self, other: Self) {
        for (id, server) in other.servers {
            match self.servers.entry(id) {
                Entry::Vacant(free) => {
                    free.insert(server);
                }
                Entry::Occupied(mut held) => held.get_mut().merge(server),
            }
        }
        self.evicted = self.evicted.saturating_add(other.evicted);
        self.trim();
    }

    /// Adds one server as it was kept, for instance in a file.
    pub fn insert(&mut self, server: Server) {
        let id = Id { provider: server.provider.clone(), address: server.address };
        match self.servers.entry(id) {
            Entry::Vacant(free) => {
                free.insert(server.within_caps());
            }
            Entry::Occupied(mut held) => held.get_mut().merge(server),
        }
        if self.servers.len() > SERVERS.saturating_mul(2) {
            self.trim();
        }
    }

    /// All servers, by provider and address.
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// One server.
    pub fn server(&self, provider: &str, address: IpAddr) -> Option<&Server> {
        self.servers.get(&Id { provider: provider.to_owned(), address })
    }

    /// How many servers are kept.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// True when no server was seen.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Servers that were let go because there were too many.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Leaves only the servers of one provider.
    pub fn keep_provider(&mut self, provider: &str) {
        self.servers.retain(|id, _| id.provider == provider);
    }

    /// Lets go of what is more than [`SERVERS`].
    pub fn trim(&mut self) {
        let over = self.servers.len().saturating_sub(SERVERS);
        if over == 0 {
            return;
        }
        let mut by_age: Vec<(Timestamp, Id)> =
            self.servers.iter().map(|(id, server)| (server.last_seen, id.clone())).collect();
        by_age.sort_unstable();
        for (_, id) in by_age.into_iter().take(over) {
            self.servers.remove(&id);
        }
        self.evicted = self.evicted.saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    }

    /// A flow of a provider whose far end answered a ClientHello, or was sent one.
    fn flow(&mut self, rules: &Rules, judged: &Judged) {
        let Some(provider) = provider(rules, judged.verdict.provider) else { return };
        let Some(tls) = judged.flow.facts.as_deref().and_then(|facts| facts.tls.as_deref()) else { return };
        if matches!(judged.role(), Role::P2p | Role::Dns) {
            return;
        }
        let flow = &judged.flow;
        // Who sent the ClientHello began the flow; without it only the ports tell who is the server.
        let end = if tls.client_hello.is_some() { flow.tuple.destination } else { judged.sides().remote };
        let server = self.entry(provider, end.ip(), flow.start, flow.end);
        server.port((flow.tuple.protocol, end.port()));
        if let Some(name) = tls.asked_name() {
            server.name(name);
        }
        server.certificate(tls, flow.end);
        if is_resumed(tls) {
            server.resumed = true;
        } else if let Some(answer) = Answer::of(tls, end.port(), flow.start, flow.end) {
            server.answer(answer);
        }
    }

    /// The servers that a session spoke to. Other participants are persons and not listed, nor is who may be one or never answered.
    fn session(&mut self, rules: &Rules, session: &Session) {
        let Some(provider) = provider(rules, session.provider) else { return };
        let works = |role: &Role| matches!(role, Role::Media | Role::Relay | Role::Signalling);
        let spoken_to = session.servers.iter().filter(|server| {
            let known = server.tls || (server.roles.iter().any(works) && server.behind.is_none());
            known && server.is_server()
        });
        for other in spoken_to {
            let server = self.entry(provider, other.address, other.first_contact, other.last_contact);
            for port in &other.ports {
                server.port(*port);
            }
            if let Some((name, ..)) = &other.name {
                server.name(name);
            }
            server.touch(Touch { start: session.call_start, endpoint: session.endpoint, end: session.end });
        }
    }

    fn entry(
        &mut self,
        provider: &Provider,
        address: IpAddr,
        first: Timestamp,
        last: Timestamp,
    ) -> &mut Server {
        let id = Id { provider: provider.id.clone(), address };
        let server =
            self.servers.entry(id).or_insert_with(|| Server::new(provider.id.clone(), address, first, last));
        server.first_seen = server.first_seen.min(first);
        server.last_seen = server.last_seen.max(last);
        server
    }
}

fn provider(rules: &Rules, number: Option<u16>) -> Option<&Provider> {
    number.and_then(|number| rules.provider(number))
}

/// RFC 8446 section 1.3.
const TLS_1_3: u16 = 0x0304;

/// A resumed handshake shows fewer extensions and no certificate. Up to TLS 1.2 a handshake without a certificate is
/// taken for one: a session ticket (RFC 5077 section 3.4) need not show in the session id.
fn is_resumed(tls: &Tls) -> bool {
    let chosen = tls.version.filter(|_| tls.version_chosen);
    tls.resumed || (chosen.is_some_and(|version| version < TLS_1_3) && tls.certificates.is_empty())
}

#[cfg(test)]
mod tests;
