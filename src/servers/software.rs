//! Which servers run the same: groups of servers whose answers to like ClientHello messages are equal.
//!
//! A ServerHello depends on the ClientHello, so answers are compared only where they can be. Two servers of a provider
//!
//! - **differ** when some ClientHello (by JA4) was answered by both, and nothing that either answered to it is equal;
//! - **agree** when they do not differ and share an answer: the same one to like ClientHello messages or, up to TLS 1.2, the
//!   same one to whatever was offered. A TLS 1.3 answer shows two extensions, which is too little for the latter.
//!
//! A server joins the group that it shares most answers with and differs from in none; the servers that say most come
//! first. A server that gave several answers to one ClientHello (a front for several) comes last and widens no group.
//! Certificates and names decide nothing. What equality proves: the same TLS library in the same configuration. It
//! does not prove the same program behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::{Behaviour, Inventory, Server};
use crate::observe::hex;
use crate::time::Timestamp;

/// Groups looked at for one answer; servers beyond that begin a group of their own.
const CANDIDATES: usize = 64;
/// Bytes of an identifier; with 2^16 groups two are alike with a chance of 2^-17.
const ID_BYTES: usize = 6;

/// An answer that members of a group gave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain counts")]
pub struct Seen {
    /// The answer.
    pub behaviour: Behaviour,
    /// Its JA3S, hex.
    pub ja3s: String,
    /// JA4 of the clients that were answered so.
    pub clients: BTreeSet<String>,
    /// Members that answered so.
    pub servers: usize,
}

/// Servers of one provider that answer alike.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts")]
pub struct Software {
    /// Twelve hexadecimal digits: a digest of the provider and the answer that was seen first. More servers of the
    /// same answer do not change it.
    pub id: String,
    /// Identifier of the provider file.
    pub provider: String,
    /// Addresses of the members, sorted.
    pub servers: Vec<IpAddr>,
    /// What they answered, the commonest first.
    pub answers: Vec<Seen>,
    /// First packet of a member.
    pub first_seen: Timestamp,
    /// Last packet of a member.
    pub last_seen: Timestamp,
}

/// A client kind, and what was answered to it.
type Profile<'a> = BTreeMap<&'a str, BTreeSet<&'a Behaviour>>;
/// What servers are matched by: the behaviour, with the client where the behaviour alone says too little.
type Key<'a> = (Option<&'a str>, &'a Behaviour);

#[derive(Debug, Default)]
struct Group<'a> {
    profile: Profile<'a>,
    keys: BTreeMap<Key<'a>, Timestamp>,
    members: Vec<&'a Server>,
}

/// The groups of an inventory, the largest first. Servers without a full handshake are in none.
pub fn groups(inventory: &Inventory) -> Vec<Software> {
    let mut providers: BTreeMap<&str, Vec<&Server>> = BTreeMap::new();
    for server in inventory.iter().filter(|server| !server.answers.is_empty()) {
        providers.entry(&server.provider).or_default().push(server);
    }
    let mut all: Vec<Software> =
        providers.into_iter().flat_map(|(provider, servers)| of_provider(provider, servers)).collect();
    all.sort_by(|a, b| {
        b.servers.len().cmp(&a.servers.len()).then_with(|| (&a.provider, &a.id).cmp(&(&b.provider, &b.id)))
    });
    all
}

fn of_provider(provider: &str, mut servers: Vec<&Server>) -> Vec<Software> {
    servers.sort_by_cached_key(|server| {
        (server.is_mixed(), std::cmp::Reverse(profile(server).len()), server.address)
    });
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_key: BTreeMap<Key<'_>, BTreeSet<usize>> = BTreeMap::new();
    for server in servers {
        let profile = profile(server);
        let keys = keys(server);
        let chosen = choose(&groups, &by_key, &profile, &keys).unwrap_or(groups.len());
        let is_new = chosen == groups.len();
        if is_new {
            groups.push(Group::default());
        }
        let Some(group) = groups.get_mut(chosen) else { continue };
        group.members.push(server);
        if is_new || !server.is_mixed() {
            for (client, behaviours) in profile {
                group.profile.entry(client).or_default().extend(behaviours);
            }
            for (key, first) in keys {
                by_key.entry(key).or_default().insert(chosen);
                let held = group.keys.entry(key).or_insert(first);
                *held = (*held).min(first);
            }
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    let mut taken = BTreeSet::new();
    groups.iter().map(|group| finish(provider, group, &mut taken)).collect()
}

/// The group that shares most answers, of those that differ in none.
fn choose<'a>(
    groups: &[Group<'a>],
    by_key: &BTreeMap<Key<'a>, BTreeSet<usize>>,
    profile: &Profile<'a>,
    keys: &BTreeMap<Key<'a>, Timestamp>,
) -> Option<usize> {
    let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
    for key in keys.keys() {
        for place in by_key.get(key).into_iter().flatten().take(CANDIDATES) {
            let count = shared.entry(*place).or_default();
            *count = count.saturating_add(1);
        }
    }
    shared
        .into_iter()
        .filter_map(|(place, count)| Some((place, count, groups.get(place)?)))
        .filter(|(_, _, group)| !differ(&group.profile, profile))
        .max_by_key(|(place, count, group)| (*count, group.members.len(), std::cmp::Reverse(*place)))
        .map(|(place, ..)| place)
}

fn differ(one: &Profile<'_>, other: &Profile<'_>) -> bool {
    other.iter().any(|(client, answers)| one.get(client).is_some_and(|known| known.is_disjoint(answers)))
}

fn profile(server: &Server) -> Profile<'_> {
    let mut profile = Profile::new();
    for answer in server.answers.iter().filter(|answer| !answer.client.is_empty()) {
        profile.entry(&answer.client).or_default().insert(&answer.behaviour);
    }
    profile
}

fn keys(server: &Server) -> BTreeMap<Key<'_>, Timestamp> {
    let mut keys = BTreeMap::new();
    for answer in &server.answers {
        let client = answer.behaviour.is_bare().then_some(answer.client.as_str());
        let first = keys.entry((client, &answer.behaviour)).or_insert(answer.first_seen);
        *first = (*first).min(answer.first_seen);
    }
    keys
}

fn finish(provider: &str, group: &Group<'_>, taken: &mut BTreeSet<String>) -> Software {
    let mut by_age: Vec<(Timestamp, String)> = group
        .keys
        .iter()
        .map(|((client, behaviour), first)| {
            (*first, format!("{} {}", client.unwrap_or_default(), behaviour.text()))
        })
        .collect();
    by_age.sort_unstable();
    let whole: Vec<&str> = by_age.iter().map(|(_, text)| text.as_str()).collect();
    // Groups that share their first answer and differ in others are told apart by those.
    let id = whole
        .iter()
        .map(|text| digest(provider, text))
        .chain([digest(provider, &whole.join("\n"))])
        .find(|id| !taken.contains(id))
        .unwrap_or_else(|| digest(provider, &format!("{} {}", whole.join("\n"), taken.len())));
    taken.insert(id.clone());
    let mut servers: Vec<IpAddr> = group.members.iter().map(|server| server.address).collect();
    servers.sort_unstable();
    Software {
        id,
        provider: provider.to_owned(),
        answers: answers(&group.members),
        first_seen: group.members.iter().map(|server| server.first_seen).min().unwrap_or_default(),
        last_seen: group.members.iter().map(|server| server.last_seen).max().unwrap_or_default(),
        servers,
    }
}

fn answers(members: &[&Server]) -> Vec<Seen> {
    let mut seen: BTreeMap<&Behaviour, (Seen, IpAddr)> = BTreeMap::new();
    for server in members {
        for answer in &server.answers {
            let (entry, last) = seen.entry(&answer.behaviour).or_insert_with(|| {
                let entry = Seen {
                    behaviour: answer.behaviour.clone(),
                    ja3s: answer.ja3s.clone(),
                    clients: BTreeSet::new(),
                    servers: 1,
                };
                (entry, server.address)
            });
            if *last != server.address {
                entry.servers = entry.servers.saturating_add(1);
                *last = server.address;
            }
            if !answer.client.is_empty() {
                entry.clients.insert(answer.client.clone());
            }
        }
    }
    let mut seen: Vec<Seen> = seen.into_values().map(|(entry, _)| entry).collect();
    seen.sort_by(|a, b| b.servers.cmp(&a.servers).then_with(|| a.behaviour.cmp(&b.behaviour)));
    seen
}

fn digest(provider: &str, text: &str) -> String {
    let digest = Sha256::digest(format!("{provider} {text}").as_bytes());
    hex(digest.get(..ID_BYTES).unwrap_or_default())
}
