//! What the names of a server and the range of its address say of its place, beside what databases say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::record::{Finding, PlaceClaim, PlaceHint, SessionRecord, Severity};
use super::{Context, finding};
use crate::geo::{Basis, Country, Date, Exposure, LocatedIn, RegionHint, Regions};
use crate::session::Server;
use crate::time::Timestamp;

/// Hints of one server; more would say the same again.
const HINTS: usize = 8;
/// A range that was published further than this from the capture may have belonged to another region.
const OLD_DAYS: u32 = 180;

/// The hints of a server that was spoken to at `seen`: its range first, then its names.
pub(super) fn hints(context: &Context<'_>, server: &Server, seen: Timestamp) -> Vec<PlaceHint> {
    let Some(regions) = Regions::embedded() else { return Vec::new() };
    let mut found = Vec::new();
    found.extend(of_range(regions, server.address, Some(seen)));
    for known in &server.names {
        let kind = if known.reverse { PlaceClaim::ReverseName } else { PlaceClaim::HostName };
        for told in regions.of_name(&known.name) {
            let hint =
                PlaceHint { packet: context.seen(known.packet), ..hint(kind, known.name.clone(), told) };
            let is_held = |held: &PlaceHint| {
                held.kind == kind && held.region == hint.region && held.owner == hint.owner
            };
            if found.len() < HINTS && !found.iter().any(is_held) {
                found.push(hint);
            }
        }
    }
    found
}

/// What the published range of an address says, as of a day: the hint weighs in the place and adds to what reaches it.
pub fn address_hint(
    address: IpAddr,
    seen: Option<Timestamp>,
    place: &mut LocatedIn,
    exposure: &mut Vec<Exposure>,
) -> Option<PlaceHint> {
    let hint = of_range(Regions::embedded()?, address, seen)?;
    expose(exposure, std::slice::from_ref(&hint));
    weigh(place, std::slice::from_ref(&hint));
    Some(hint)
}

/// What the published range of an address says.
fn of_range(regions: &Regions, address: IpAddr, seen: Option<Timestamp>) -> Option<PlaceHint> {
    let told = regions.of_address(address)?;
    let network = told.network.clone().unwrap_or_default();
    let date = told.date.parse::<Date>().ok();
    let days = date.zip(seen).map(|(date, seen)| date.days_from(seen));
    Some(PlaceHint { days_from_capture: days, ..hint(PlaceClaim::PublishedRange, network, told) })
}

fn hint(kind: PlaceClaim, value: String, told: RegionHint) -> PlaceHint {
    PlaceHint {
        kind,
        value,
        owner: told.cloud,
        region: told.region,
        country: told.country,
        city: told.city,
        source: told.source,
        date: told.date,
        days_from_capture: None,
        unchecked: told.unchecked,
        packet: None,
    }
}

/// Whether a hint is a witness of its own: whoever has an address chooses its reverse name, so that such names are only shown.
fn counts(hint: &PlaceHint) -> bool {
    !hint.unchecked && hint.kind != PlaceClaim::ReverseName
}

/// Hints that were checked are witnesses: a range is one, names together are another, since one owner gives them all.
pub(super) fn weigh(place: &mut LocatedIn, hints: &[PlaceHint]) {
    let mut votes: BTreeSet<(bool, Country, bool)> = BTreeSet::new();
    for hint in hints.iter().filter(|hint| counts(hint)) {
        let is_range = hint.kind == PlaceClaim::PublishedRange;
        let is_current = hint.days_from_capture.is_none_or(|days| days <= OLD_DAYS);
        votes.insert((is_range, hint.country, is_current));
    }
    let votes: Vec<(Country, bool)> =
        votes.into_iter().map(|(_, country, current)| (country, current)).collect();
    place.weigh(&votes);
}

/// Adds the places that checked hints name to the jurisdictions that reach the server, behind those of databases.
pub(super) fn expose(exposure: &mut Vec<Exposure>, hints: &[PlaceHint]) {
    let mut at = exposure.iter().take_while(|held| held.basis == Basis::LocatedIn).count();
    for hint in hints.iter().filter(|hint| counts(hint)) {
        let reached = Exposure {
            jurisdiction: hint.country.code().to_owned(),
            basis: Basis::LocatedIn,
            reason: hint.sentence(),
            source: hint.source.clone(),
            date: hint.date.clone(),
        };
        exposure.insert(at.min(exposure.len()), reached);
        at = at.saturating_add(1);
    }
}

/// Servers whose names or ranges say another country than the database that is believed first.
pub(super) fn findings(record: &SessionRecord) -> Option<Finding> {
    let differs = |hint: &&PlaceHint, country: Option<Country>| {
        !hint.unchecked && country.is_some_and(|country| country != hint.country)
    };
    let mut servers = record.servers.iter().filter_map(|server| {
        let place = &server.place.located_in;
        let hint = server.place.hints.iter().find(|hint| differs(hint, place.country))?;
        Some((server, hint, finding::placed(place)?))
    });
    let (first, hint, placed) = servers.next()?;
    let mut text = format!("{} {placed}, but {}", first.ip, hint.sentence());
    let mut packets = vec![hint.packet.unwrap_or(first.first_packet)];
    let others: Vec<_> = servers.collect();
    if !others.is_empty() {
        let more = finding::list(others.iter().map(|(server, ..)| server.ip.as_str()));
        let _ = write!(text, "; names or ranges of {more} differ from databases too");
        packets.extend(others.iter().map(|(server, ..)| server.first_packet).take(finding::PACKETS));
    }
    Some(Finding { id: "place_hint_differs", severity: Severity::Notice, text, packets })
}
