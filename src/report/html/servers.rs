//! The servers of all sessions, each once, for the map. In: session records. Out: servers by country, and those with no place.

use std::collections::{BTreeMap, BTreeSet};

use super::super::record::{PlaceRecord, SessionRecord};
use super::words;
use crate::classify::Role;
use crate::geo::{Basis, Confidence};
use crate::keys::CouldHold;

/// Sessions named beside a server.
const SESSIONS: usize = 6;

/// What a server does, as the map tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// It could hold a media key.
    Key,
    /// Media that is not encrypted goes past it: it could read that.
    Read,
    /// Call control.
    Signalling,
    /// Sound and pictures.
    Media,
    /// A relay, or NAT traversal.
    Relay,
    /// The service's operator is at home there.
    Law,
    /// An endpoint of a session is placed there.
    Endpoint,
}

impl Part {
    /// In the order of the legend.
    pub(super) const ALL: [Self; 7] =
        [Self::Key, Self::Read, Self::Signalling, Self::Media, Self::Relay, Self::Law, Self::Endpoint];

    /// The id of its sign.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Key => "#g-key",
            Self::Read => "#g-read",
            Self::Signalling => "#g-signalling",
            Self::Media => "#g-media",
            Self::Relay => "#g-relay",
            Self::Law => "#g-law",
            Self::Endpoint => "#g-endpoint",
        }
    }

    /// Its meaning.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Key => "could hold a media key",
            Self::Read => "could read unencrypted media",
            Self::Signalling => "signalling",
            Self::Media => "media",
            Self::Relay => "relay or NAT traversal",
            Self::Law => "home of a service\u{2019}s operator (law, not location)",
            Self::Endpoint => "endpoints of sessions",
        }
    }
}

/// A server, over all sessions.
#[derive(Debug)]
pub(super) struct Seen<'r> {
    pub(super) ip: &'r str,
    pub(super) name: Option<&'r str>,
    pub(super) roles: BTreeSet<Role>,
    pub(super) could_hold: Option<CouldHold>,
    /// The same of media that has no key: whether it could read that.
    pub(super) could_read: Option<CouldHold>,
    pub(super) place: &'r PlaceRecord,
    pub(super) sessions: Vec<&'r str>,
    pub(super) sessions_total: usize,
}

impl Seen<'_> {
    /// The graver of both answers.
    fn answer(&self) -> CouldHold {
        [self.could_hold, self.could_read].into_iter().flatten().min().unwrap_or(CouldHold::No)
    }

    fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let has = |roles: &[Role]| roles.iter().any(|role| self.roles.contains(role));
        [
            (Part::Key, self.could_hold == Some(CouldHold::Yes)),
            (Part::Read, self.could_read == Some(CouldHold::Yes)),
            (Part::Signalling, has(&[Role::Signalling])),
            (Part::Media, has(&[Role::Media, Role::P2p])),
            (Part::Relay, has(&[Role::Relay, Role::Nat])),
        ]
        .into_iter()
        .filter_map(|(part, is)| is.then_some(part))
    }
}

/// What databases place in one country, and whose law reaches from there.
#[derive(Debug, Default)]
pub(super) struct Land<'r> {
    pub(super) counts: BTreeMap<Part, usize>,
    pub(super) servers: Vec<&'r Seen<'r>>,
    /// Operators at home here.
    pub(super) operators: BTreeSet<&'r str>,
    /// Servers that they run, wherever databases place them.
    pub(super) reached: usize,
    /// Servers of which timing contradicts that they are here.
    pub(super) contradicted: usize,
    /// A place here is of low confidence.
    pub(super) doubtful: bool,
}

/// Servers in the order of their addresses as text.
pub(super) fn servers<'r>(sessions: &[&'r SessionRecord]) -> Vec<Seen<'r>> {
    let mut found: BTreeMap<&str, Seen<'_>> = BTreeMap::new();
    for session in sessions.iter().copied() {
        let holders: BTreeMap<&str, CouldHold> =
            session.keys.holders.iter().map(|holder| (holder.ip.as_str(), holder.could_hold)).collect();
        for server in session.servers.iter().filter(|server| server.is_server()) {
            let seen = found.entry(&server.ip).or_insert_with(|| Seen {
                ip: &server.ip,
                name: None,
                roles: BTreeSet::new(),
                could_hold: None,
                could_read: None,
                place: &server.place,
                sessions: Vec::new(),
                sessions_total: 0,
            });
            seen.name = seen.name.or(server.name.as_deref());
            seen.roles.extend(&server.roles);
            let answer = holders.get(server.ip.as_str()).copied();
            let known = if words::is_plain(session) { &mut seen.could_read } else { &mut seen.could_hold };
            *known = [*known, answer].into_iter().flatten().min();
            seen.sessions_total = seen.sessions_total.saturating_add(1);
            if seen.sessions.len() < SESSIONS {
                seen.sessions.push(&session.session_id);
            }
        }
    }
    found.into_values().collect()
}

/// Countries with what is placed there, and the servers that no database places.
pub(super) fn lands<'r>(
    sessions: &[&'r SessionRecord],
    servers: &'r [Seen<'r>],
) -> (BTreeMap<String, Land<'r>>, Vec<&'r Seen<'r>>) {
    let mut lands: BTreeMap<String, Land<'r>> = BTreeMap::new();
    let mut nowhere = Vec::new();
    for server in servers {
        if let Some(country) = server.place.located_in.country {
            let land = lands.entry(country.code().to_owned()).or_default();
            for part in server.parts() {
                add(&mut land.counts, part);
            }
            let place = &server.place.located_in;
            land.doubtful |= place.disagreement || place.anycast || place.confidence <= Confidence::Low;
            if words::contradicted(server.place) {
                land.contradicted = land.contradicted.saturating_add(1);
            }
            land.servers.push(server);
        } else {
            nowhere.push(server);
        }
        let homes = server.place.exposure.iter().filter(|one| one.basis == Basis::ServiceOperator);
        let homes: BTreeSet<&str> = homes.map(|one| one.jurisdiction.as_str()).collect();
        for home in homes {
            let land = lands.entry(home.to_owned()).or_default();
            add(&mut land.counts, Part::Law);
            land.reached = land.reached.saturating_add(1);
            land.operators.extend(server.place.service_operator.as_ref().map(|by| by.name.as_str()));
        }
    }
    for session in sessions {
        if let Some(country) = session.endpoint.located_in.country {
            add(&mut lands.entry(country.code().to_owned()).or_default().counts, Part::Endpoint);
        }
    }
    for land in lands.values_mut() {
        land.servers.sort_by_key(|server| (server.answer(), server.ip));
    }
    nowhere.sort_by_key(|server| (server.answer(), server.ip));
    (lands, nowhere)
}

fn add(counts: &mut BTreeMap<Part, usize>, part: Part) {
    let count = counts.entry(part).or_default();
    *count = count.saturating_add(1);
}
