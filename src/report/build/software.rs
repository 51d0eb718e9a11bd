//! An inventory as records, and what a session's holders are told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::record::{
    AnswerRecord, CertificateCount, InventoryRecord, InventoryServerRecord, NetworkCount, ServiceOperator,
    ShownCertificate, SoftwareRecord, SpreadRecord, TouchRecord,
};
use super::super::time;
use super::flow::protocol_name;
use super::{Context, count};
use crate::classify::Rules;
use crate::classify::provider::HostRole;
use crate::geo::Place;
use crate::proto::tls::{CipherSuite, ProtocolVersion};
use crate::servers::{Answer, Behaviour, Inventory, Seen, Server, Software, Touch, groups};

/// Groups by server, for the holders of sessions.
#[derive(Debug, Default)]
pub(super) struct Spreads {
    spreads: Vec<SpreadRecord>,
    of: BTreeMap<(String, IpAddr), usize>,
}

impl Spreads {
    pub(super) fn of(&self, provider: &str, address: IpAddr) -> Option<&SpreadRecord> {
        self.spreads.get(*self.of.get(&(provider.to_owned(), address))?)
    }
}

impl Context<'_> {
    /// Lets records of sessions tell how far the software of a server is spread in this inventory.
    pub fn learn(&mut self, inventory: &Inventory) {
        let mut spreads = Spreads::default();
        for software in groups(inventory) {
            let members = members(inventory, &software);
            let places = self.places_of(&members);
            let place = spreads.spreads.len();
            for server in members {
                spreads.of.insert((software.provider.clone(), server.address), place);
            }
            spreads.spreads.push(spread(&software, &places));
        }
        self.spreads = spreads;
    }

    fn places_of(&self, servers: &[&Server]) -> Vec<Place> {
        servers.iter().map(|server| self.place(server.address, server.last_seen)).collect()
    }

    fn app_of(&self, provider: &str) -> String {
        let known = self.rules.providers().iter().find(|known| known.id == provider);
        known.map_or_else(|| provider.to_owned(), |known| known.app.clone())
    }
}

/// The groups of an inventory with their servers' records, then the servers that are in none.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain records")]
pub struct InventoryRecords {
    /// Groups, the largest first.
    pub software: Vec<SoftwareRecord>,
    /// Servers, by provider and address.
    pub servers: Vec<InventoryServerRecord>,
    /// All of it in numbers.
    pub inventory: InventoryRecord,
}

/// An inventory as records. `complete` is false when an input could not be read to its end.
pub fn inventory_records(context: &Context<'_>, inventory: &Inventory, complete: bool) -> InventoryRecords {
    let mut software = Vec::new();
    let mut group_of: BTreeMap<(String, IpAddr), String> = BTreeMap::new();
    for group in groups(inventory) {
        let members = members(inventory, &group);
        for server in &members {
            group_of.insert((group.provider.clone(), server.address), group.id.clone());
        }
        software.push(software_record(context, &group, &members));
    }
    let mut servers = Vec::new();
    for server in inventory.iter() {
        let group = group_of.get(&(server.provider.clone(), server.address)).cloned();
        servers.push(server_record(context, server, group));
    }
    let inventory = inventory_record(context, inventory, &software, &servers, complete);
    InventoryRecords { software, servers, inventory }
}

fn members<'i>(inventory: &'i Inventory, software: &Software) -> Vec<&'i Server> {
    software.servers.iter().filter_map(|address| inventory.server(&software.provider, *address)).collect()
}

fn spread(software: &Software, places: &[Place]) -> SpreadRecord {
    let mut countries = BTreeMap::new();
    let mut unplaced = 0_u64;
    for place in places {
        match place.located_in.country {
            Some(country) => add(&mut countries, country.code().to_owned()),
            None => unplaced = unplaced.saturating_add(1),
        }
    }
    SpreadRecord { group: software.id.clone(), servers: count(places.len()), countries, unplaced }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let held = counts.entry(key).or_default();
    *held = held.saturating_add(1);
}

fn software_record(context: &Context<'_>, software: &Software, members: &[&Server]) -> SoftwareRecord {
    let places = context.places_of(members);
    let sessions: BTreeSet<&Touch> = members.iter().flat_map(|server| &server.sessions).collect();
    let endpoints: BTreeSet<IpAddr> = sessions.iter().map(|touch| touch.endpoint).collect();
    let provider = context.rules.providers().iter().find(|known| known.id == software.provider);
    SoftwareRecord {
        timestamp: time::eve(software.first_seen),
        app: context.app_of(&software.provider),
        spread: spread(software, &places),
        placed_by: placed_by(&places),
        networks: networks(&places),
        service_operator: provider.map(|provider| ServiceOperator {
            name: provider.operator.clone(),
            home_jurisdiction: provider.country.clone(),
        }),
        answers: software.answers.iter().map(seen).collect(),
        certificates: certificates(members),
        named_as: named_as(context.rules, members),
        sessions: count(sessions.len()),
        endpoints: count(endpoints.len()),
        first_seen: time::eve(software.first_seen),
        last_seen: time::eve(software.last_seen),
        addresses: software.servers.iter().map(IpAddr::to_string).collect(),
    }
}

/// The databases whose answer was taken.
fn placed_by(places: &[Place]) -> Vec<String> {
    let taken = places.iter().filter_map(|place| {
        let country = place.located_in.country?;
        place.located_in.answers.iter().find(|answer| answer.country == Some(country))
    });
    let named: BTreeSet<String> =
        taken.map(|answer| format!("{} of {}", answer.database, answer.date)).collect();
    named.into_iter().collect()
}

fn networks(places: &[Place]) -> Vec<NetworkCount> {
    let mut counts: BTreeMap<(u32, &str), u64> = BTreeMap::new();
    for operator in places.iter().filter_map(|place| place.operated_by.as_ref()) {
        add(&mut counts, (operator.asn, operator.name.as_str()));
    }
    let mut networks: Vec<NetworkCount> = counts
        .into_iter()
        .map(|((asn, name), servers)| NetworkCount { asn, name: name.to_owned(), servers })
        .collect();
    networks.sort_by(|a, b| b.servers.cmp(&a.servers).then(a.asn.cmp(&b.asn)));
    networks
}

fn seen(seen: &Seen) -> AnswerRecord {
    let mut record = behaviour(&seen.behaviour, &seen.ja3s);
    record.clients = seen.clients.iter().cloned().collect();
    record.servers = Some(count(seen.servers));
    record
}

fn behaviour(behaviour: &Behaviour, ja3s: &str) -> AnswerRecord {
    AnswerRecord {
        version: ProtocolVersion(behaviour.version).to_string(),
        cipher: CipherSuite(behaviour.cipher).to_string(),
        extensions: behaviour.extensions.clone(),
        alpn_chosen: behaviour.alpn.clone(),
        ja3s: ja3s.to_owned(),
        clients: Vec::new(),
        servers: None,
    }
}

type NamesAndIssuer<'a> = (&'a [String], Option<&'a str>);
type HashesAndServers<'a> = (BTreeSet<&'a str>, BTreeSet<IpAddr>);

/// Certificates by names and issuer.
fn certificates(members: &[&Server]) -> Vec<CertificateCount> {
    let mut counts: BTreeMap<NamesAndIssuer<'_>, HashesAndServers<'_>> = BTreeMap::new();
    for server in members {
        for shown in &server.certificates {
            let (hashes, servers) = counts.entry((&shown.names, shown.issuer.as_deref())).or_default();
            hashes.insert(&shown.sha256);
            servers.insert(server.address);
        }
    }
    let mut all: Vec<CertificateCount> = counts
        .into_iter()
        .map(|((names, issuer), (hashes, servers))| CertificateCount {
            names: names.to_vec(),
            issuer: issuer.map(str::to_owned),
            certificates: count(hashes.len()),
            servers: count(servers.len()),
        })
        .collect();
    all.sort_by_key(|counted| std::cmp::Reverse(counted.servers));
    all
}

fn named_as(rules: &Rules, members: &[&Server]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for server in members {
        let role = server.names.iter().find_map(|name| rules.host_role(&name.to_lowercase()));
        add(&mut counts, role.map_or("unknown", role_word));
    }
    counts
}

const fn role_word(role: HostRole) -> &'static str {
    match role {
        HostRole::Signalling => "signalling",
        HostRole::Media => "media",
        HostRole::Key => "key",
        HostRole::Web => "web",
        HostRole::Client => "client",
        HostRole::Stun => "stun",
    }
}

fn server_record(context: &Context<'_>, server: &Server, group: Option<String>) -> InventoryServerRecord {
    let place = context.place(server.address, server.last_seen);
    let ports = server.ports.iter();
    InventoryServerRecord {
        timestamp: time::eve(server.first_seen),
        app: context.app_of(&server.provider),
        ip: server.address.to_string(),
        not_grouped: group.is_none().then(|| not_grouped(server)),
        group,
        ports: ports
            .map(|(protocol, port)| format!("{}/{port}", protocol_name(*protocol).to_lowercase()))
            .collect(),
        names: server.names.iter().cloned().collect(),
        first_seen: time::eve(server.first_seen),
        last_seen: time::eve(server.last_seen),
        answers: answers(&server.answers),
        certificates: server
            .certificates
            .iter()
            .map(|shown| ShownCertificate {
                sha256: shown.sha256.clone(),
                names: shown.names.clone(),
                issuer: shown.issuer.clone(),
                last_seen: time::eve(shown.last_seen),
            })
            .collect(),
        sessions: server
            .sessions
            .iter()
            .map(|touch| TouchRecord {
                endpoint: touch.endpoint.to_string(),
                start: time::eve(touch.start),
                end: time::eve(touch.end),
            })
            .collect(),
        more_sessions: server.more_sessions,
        more: server.more,
        located_in: place.located_in,
        operated_by: place.operated_by,
    }
}

/// Answers that are equal, with all clients that were given them.
fn answers(all: &[Answer]) -> Vec<AnswerRecord> {
    let mut by_behaviour: BTreeMap<&Behaviour, AnswerRecord> = BTreeMap::new();
    for answer in all {
        let record = by_behaviour
            .entry(&answer.behaviour)
            .or_insert_with(|| behaviour(&answer.behaviour, &answer.ja3s));
        if !answer.client.is_empty() && !record.clients.contains(&answer.client) {
            record.clients.push(answer.client.clone());
        }
    }
    by_behaviour.into_values().collect()
}

const fn not_grouped(server: &Server) -> &'static str {
    if server.resumed {
        "only resumed handshakes of it were seen, or none of its certificates"
    } else {
        "no TLS handshake with an answer of it was seen"
    }
}

fn inventory_record(
    context: &Context<'_>,
    inventory: &Inventory,
    software: &[SoftwareRecord],
    servers: &[InventoryServerRecord],
    complete: bool,
) -> InventoryRecord {
    let (mut apps, mut countries, mut unplaced) = (BTreeMap::new(), BTreeMap::new(), 0_u64);
    for server in servers {
        add(&mut apps, server.app.clone());
        match server.located_in.country {
            Some(country) => add(&mut countries, country.code().to_owned()),
            None => unplaced = unplaced.saturating_add(1),
        }
    }
    InventoryRecord {
        timestamp: inventory.iter().map(|server| server.last_seen).max().map(time::eve),
        version: env!("CARGO_PKG_VERSION"),
        servers: count(servers.len()),
        grouped: count(servers.iter().filter(|server| server.group.is_some()).count()),
        groups: count(software.len()),
        apps,
        countries,
        unplaced,
        evicted: inventory.evicted(),
        databases: context.databases.info(),
        complete,
    }
}
