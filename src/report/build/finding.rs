//! What stands out in a session. In: the session, its record so far, the sessions around it. Out: findings, the
//! gravest first, each with the packets that show it.
//!
//! A finding states who says what, never that a server is somewhere or has a key.

mod key_log;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::record::{Finding, HolderRecord, PacketNumber, SessionRecord, Severity};
use super::public::public_address;
use super::session::flows;
use super::{Context, count, distance, hint, met, signalling, witness};
use crate::classify::Role;
use crate::geo::{Country, LocatedIn};
use crate::keys::Analysis;
use crate::keys::{CouldHold, Keys, Method};
use crate::observe::{Beginning, PacketRef};
use crate::session::Session;

/// A database further than this from the capture may describe other holders of the addresses.
const OLD_DATABASE_DAYS: u32 = 180;
/// Confidence from which on a candidate abroad is grave: more than TLS signalling that could have carried a key.
pub(super) const GRAVE: f32 = 0.6;
/// Packets named by a finding that speaks of several servers.
pub(super) const PACKETS: usize = 16;
/// Addresses or countries named in one sentence.
const NAMED: usize = 4;

pub(super) fn findings(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
    record: &SessionRecord,
) -> Vec<Finding> {
    let mut found = witness::findings(context, analysis, session, keys);
    found.extend(key_holders_abroad(context, analysis, session, keys, record));
    found.extend(course(context, analysis, session, keys));
    found.extend(signalling::findings(context, analysis, session, keys));
    found.extend(key_log::key_log_gaps(context, analysis, session));
    found.extend(distance::findings(record));
    found.extend(hint::findings(record));
    found.extend(disagreement(record));
    found.extend(database_age(record));
    found.sort_by_key(|finding| finding.severity);
    found
}

/// `CN (China)`.
pub(in super::super) fn country(country: Country) -> String {
    match country.name() {
        Some(name) => format!("{} ({name})", country.code()),
        None => country.code().to_owned(),
    }
}

/// `is placed in CN (China) by IPFire of 2026-09-23`, in the words of the database that is believed first.
pub(super) fn placed(place: &LocatedIn) -> Option<String> {
    let where_to = place.country?;
    let answer = place.answers.iter().find(|answer| answer.country == Some(where_to))?;
    Some(format!("is placed in {} by database {} of {}", country(where_to), answer.database, answer.date))
}

/// Servers that could hold the key and are placed where neither a participant nor the service's operator is.
///
/// Grave are those for which more speaks than that TLS ended there: a host that by its name hands out keys, a media server, the
/// end of a DTLS handshake; the others are a notice. Those of one country are one finding.
fn key_holders_abroad(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
    record: &SessionRecord,
) -> Vec<Finding> {
    if keys.method == Method::None {
        // Of media that is not encrypted nobody holds a key: `media_not_encrypted` says who can read it.
        return Vec::new();
    }
    let mut participants: Option<BTreeSet<Country>> = None;
    let mut alike: BTreeMap<(Severity, Country), Vec<&HolderRecord>> = BTreeMap::new();
    for shown in &record.keys.holders {
        if shown.could_hold != CouldHold::Yes {
            continue;
        }
        let Some(abroad) = shown.place.located_in.country else { continue };
        if home(shown) == Some(abroad) {
            continue;
        }
        let known = participants.get_or_insert_with(|| countries(context, analysis, session));
        if known.contains(&abroad) {
            continue;
        }
        // A place that packet timing contradicts is a finding of its own, and as grave.
        let grave = shown.confidence >= GRAVE
            && shown.front_end.is_none()
            && !known.is_empty()
            && !distance::is_contradicted(&shown.place);
        let severity = if grave { Severity::High } else { Severity::Notice };
        alike.entry((severity, abroad)).or_default().push(shown);
    }
    let known = participants.unwrap_or_default();
    // The country of the likeliest first.
    let mut alike: Vec<((Severity, Country), Vec<&HolderRecord>)> = alike.into_iter().collect();
    alike.sort_by(|(a, one), (b, two)| {
        let sure = |shown: &[&HolderRecord]| shown.first().map_or(0.0, |holder| holder.confidence);
        a.0.cmp(&b.0).then(sure(two).total_cmp(&sure(one)))
    });
    alike.into_iter().filter_map(|((severity, _), shown)| abroad_finding(&shown, &known, severity)).collect()
}

fn home(shown: &HolderRecord) -> Option<Country> {
    Country::parse(&shown.place.service_operator.as_ref()?.home_jurisdiction)
}

/// One sentence for servers that are placed in one country.
fn abroad_finding(
    shown: &[&HolderRecord],
    participants: &BTreeSet<Country>,
    severity: Severity,
) -> Option<Finding> {
    let first = shown.first()?;
    let placed = placed(&first.place.located_in)?;
    let likely = if first.confidence < GRAVE { "possible" } else { "candidate" };
    let mut text = format!("{likely} key server {}", first.ip);
    if let Some(name) = first.name.as_ref().filter(|name| **name != first.ip) {
        let _ = write!(text, " ({name})");
    }
    if shown.len() > 1 {
        let others = list(shown.iter().skip(1).map(|holder| holder.ip.as_str()));
        let _ = write!(text, ", first of {} in that country (also {others}),", shown.len());
    }
    let _ = write!(text, " {placed}; ");
    if participants.is_empty() {
        text.push_str("no database places the participants seen");
    } else {
        let _ = write!(
            text,
            "the participants seen are placed in {}",
            list(participants.iter().map(Country::code))
        );
    }
    if let Some(home) = home(first) {
        let _ = write!(text, ", the service's operator is at home in {}", home.code());
    }
    match first.packets.first() {
        Some(PacketNumber { file: Some(file), frame }) => {
            let _ = write!(text, " (packet {frame} of file {file})");
        }
        Some(PacketNumber { file: None, frame }) => {
            let _ = write!(text, " (packet {frame})");
        }
        None => {}
    }
    if let Some(network) = &first.front_end {
        let _ = write!(text, "; an entry of {network}'s network, behind which the key would lie elsewhere");
    }
    if distance::is_contradicted(&first.place) {
        text.push_str("; packet timing contradicts that place");
    }
    if first.confidence < GRAVE {
        let _ = write!(text, "; that it could hold the key is {:.0} % sure", first.confidence * 100.0);
    }
    let packets = shown.iter().flat_map(|holder| holder.packets.iter().copied()).take(PACKETS).collect();
    Some(Finding { id: "key_holder_abroad", severity, text, packets })
}

/// Where databases place the endpoints of the sessions that share a meeting with this one.
pub(super) fn countries(context: &Context<'_>, analysis: &Analysis, session: &Session) -> BTreeSet<Country> {
    met(analysis, session)
        .into_iter()
        .filter_map(|other| {
            let address = public_address(analysis, other).unwrap_or(other.endpoint);
            context.place(address, other.start).located_in.country
        })
        .collect()
}

/// What the capture holds of the call.
fn course(context: &Context<'_>, analysis: &Analysis, session: &Session, keys: &Keys) -> Vec<Finding> {
    let mut found = Vec::new();
    let first: Vec<PacketRef> =
        flows(analysis, session).map(|judged| judged.flow.first_packet).min().into_iter().collect();
    let mut notice = |id, text: &str| {
        let packets = context.packets(&first);
        found.push(Finding { id, severity: Severity::Notice, text: text.to_owned(), packets });
    };
    if session.begun_mid_call {
        notice(
            "begun_mid_call",
            "no signalling and no handshake that could be recognised was captured before this call's media: the capture \
             began after the call did, lacks it, cut its packets short, or has it in a form that is not known here; who was \
             contacted before media is not known",
        );
    }
    let signals = session.servers.iter().any(|server| server.signals() || server.tls);
    if matches!(keys.method, Method::KeyService | Method::Sdes) && !signals && !session.begun_mid_call {
        notice(
            "signalling_not_captured",
            "no signalling of this endpoint was captured: which server could hold the key cannot be judged",
        );
    }
    let under_way = flows(analysis, session).filter(|judged| {
        let facts = judged.flow.facts.as_deref();
        let is_read =
            facts.is_some_and(|facts| facts.tls.is_some() || facts.sip.is_some() || facts.dtls.is_some());
        judged.role() == Role::Signalling && judged.flow.beginning == Beginning::MidConnection && !is_read
    });
    let count = under_way.count();
    if count > 0 && !session.begun_mid_call && matches!(keys.method, Method::KeyService | Method::Sdes) {
        notice(
            "signalling_under_way",
            &format!(
                "connections that carry signalling were under way when they were first seen ({count}): what passed in them, or \
                 in others, before that was not captured, keys included"
            ),
        );
    }
    if session.media_start.is_none() {
        let nat = flows(analysis, session).any(|judged| matches!(judged.role(), Role::Nat | Role::Relay));
        notice(
            "no_media_seen",
            if nat {
                "no media was seen, only connectivity checks and relays: the call may not have come about"
            } else {
                "no media was seen: the call may not have come about, or its media went another way"
            },
        );
    }
    found
}

/// Servers that databases place in different countries.
fn disagreement(record: &SessionRecord) -> Option<Finding> {
    let servers: Vec<_> =
        record.servers.iter().filter(|server| server.place.located_in.disagreement).collect();
    let first = servers.first()?;
    let addresses = list(servers.iter().map(|server| server.ip.as_str()));
    let text =
        format!("databases disagree on where to place {addresses}: {}", first.place.located_in.sentence());
    let packets = servers.iter().map(|server| server.first_packet).collect();
    Some(Finding { id: "location_disagreement", severity: Severity::Notice, text, packets })
}

/// Databases that are far from the capture in time.
fn database_age(record: &SessionRecord) -> Option<Finding> {
    let mut old: BTreeSet<(&str, &str, u32)> = BTreeSet::new();
    for server in &record.servers {
        for answer in &server.place.located_in.answers {
            let days = answer.days_from_capture.filter(|days| *days > OLD_DATABASE_DAYS);
            old.extend(days.map(|days| (answer.database.as_str(), answer.date.as_str(), days)));
        }
    }
    if old.is_empty() {
        return None;
    }
    let named: Vec<String> = old
        .iter()
        .map(|(database, date, days)| format!("{database} of {date}, {days} days from the capture"))
        .collect();
    let text = format!(
        "places are told by {}: an address may have changed hands in between",
        list(named.iter().map(String::as_str))
    );
    Some(Finding { id: "database_age", severity: Severity::Notice, text, packets: Vec::new() })
}

/// The first few, and how many more there are.
pub(super) fn list<'t>(words: impl Iterator<Item = &'t str>) -> String {
    let words: Vec<&str> = words.collect();
    let mut out = words.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = words.len().saturating_sub(NAMED);
    if more > 0 {
        let _ = write!(out, " and {} more", count(more));
    }
    out
}
