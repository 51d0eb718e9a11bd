//! Which jurisdictions reach the servers of a session, with their groups and laws of the session's day.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use super::super::record::{
    GroupRecord, HolderRecord, JurisdictionRecord, LawRecord, ReachPart, ReachRecord, ServerRecord,
};
use super::Context;
use crate::classify::Role;
use crate::geo::{Basis, Country, Date, Jurisdictions};
use crate::keys::{CouldHold, Method};
use crate::time::Timestamp;

/// Servers listed under one jurisdiction of one session; `reaches_left_out` counts the others.
const REACHES: usize = 64;

/// A jurisdiction's groups and laws on the day of `at`, or what has no dates where there is none.
pub fn jurisdiction_record(
    table: &Jurisdictions,
    country: Country,
    at: Option<Timestamp>,
) -> JurisdictionRecord {
    let groups = table.memberships(country, at).into_iter().map(|(group, member)| GroupRecord {
        id: group.id.clone(),
        name: group.name.clone(),
        basis: group.basis,
        valid_from: member.valid_from,
        valid_to: member.valid_to,
        scope: member.scope.clone(),
        source_title: member.source_title.clone(),
        checked_on: member.checked_on,
        unchecked: member.unchecked,
    });
    let laws = table.laws(country, at).into_iter().map(|law| LawRecord {
        instrument: law.instrument.clone(),
        kind: law.kind,
        group: law.group.clone(),
        year: law.year,
        valid_from: law.valid_from,
        valid_to: law.valid_to,
        scope: law.scope.clone(),
        verify: law.verify.clone(),
        source_title: law.source_title.clone(),
        checked_on: law.checked_on,
        unchecked: law.unchecked,
    });
    JurisdictionRecord {
        code: country.code().to_owned(),
        name: country.name().map(str::to_owned),
        as_of: at.and_then(Date::of),
        not_in_table: !table.knows(country),
        groups: groups.collect(),
        laws: laws.collect(),
        reaches: Vec::new(),
        reaches_left_out: 0,
    }
}

/// The jurisdictions of a session, by code.
pub(super) fn jurisdictions(
    context: &Context<'_>,
    start: Timestamp,
    servers: &[ServerRecord],
    (method, holders): (Method, &[HolderRecord]),
) -> Vec<JurisdictionRecord> {
    let mut by_country: BTreeMap<Country, (Vec<ReachRecord>, u32)> = BTreeMap::new();
    // A session may have had tens of thousands of servers, and as many that could hold its key.
    let contacted: HashSet<&str> = servers.iter().map(|server| server.ip.as_str()).collect();
    let could = could_hold(holders);
    let own = servers.iter().map(|server| (&server.ip, &server.place, parts(server, method, &could)));
    // The key came over a server that the session itself did not contact.
    let beyond = holders.iter().filter(|holder| !contacted.contains(holder.ip.as_str()));
    let beyond = beyond.map(|holder| (&holder.ip, &holder.place, vec![ReachPart::KeyHolder]));
    for (ip, place, part) in own.chain(beyond).filter(|(.., part)| !part.is_empty()) {
        for exposure in &place.exposure {
            let Some(country) = Country::parse(&exposure.jurisdiction) else { continue };
            let (reaches, left_out) = by_country.entry(country).or_default();
            let timing_contradicts = exposure.basis == Basis::LocatedIn && place.is_refuted(country);
            if let Some(same) = reaches.iter_mut().find(|reach| reach.ip == *ip) {
                if !same.basis.contains(&exposure.basis) {
                    same.basis.push(exposure.basis);
                }
                same.timing_contradicts |= timing_contradicts;
            } else if reaches.len() < REACHES {
                let (ip, part, basis) = (ip.clone(), part.clone(), vec![exposure.basis]);
                reaches.push(ReachRecord { ip, part, basis, timing_contradicts });
            } else {
                *left_out = left_out.saturating_add(1);
            }
        }
    }
    let databases = context.databases.clone();
    let table = databases.jurisdictions();
    let record = |(country, (reaches, reaches_left_out))| JurisdictionRecord {
        reaches,
        reaches_left_out,
        ..jurisdiction_record(table, country, Some(start))
    };
    by_country.into_iter().map(record).collect()
}

/// The addresses of those that could hold the key.
pub(in crate::report) fn could_hold(holders: &[HolderRecord]) -> HashSet<&str> {
    let could = holders.iter().filter(|holder| holder.could_hold == CouldHold::Yes);
    could.map(|holder| holder.ip.as_str()).collect()
}

/// What a server is in its session; nothing where it is neither here nor there. `could` as of [`could_hold`].
pub(in crate::report) fn parts(
    server: &ServerRecord,
    method: Method,
    could: &HashSet<&str>,
) -> Vec<ReachPart> {
    if !server.is_server() {
        return Vec::new();
    }
    let carries = server.roles.iter().any(|role| matches!(role, Role::Media | Role::Relay));
    let mut parts = Vec::new();
    if could.contains(server.ip.as_str()) {
        // Media that is not encrypted has no key.
        parts.push(if method == Method::None { ReachPart::Reader } else { ReachPart::KeyHolder });
    }
    if carries {
        parts.push(ReachPart::Media);
    }
    if server.roles.contains(&Role::Signalling) {
        parts.push(ReachPart::Signalling);
    }
    parts
}
