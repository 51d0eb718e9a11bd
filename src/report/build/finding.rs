//! What stands out in a session. In: the session, its record so far, the sessions around it. Out: findings, the
//! gravest first, each with the packets that show it.
//!
//! A finding states who says what, never that a server is somewhere or has a key.

mod key_log;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::record::{Finding, PacketNumber, SessionRecord, Severity};
use super::super::time;
use super::session::{flows, public_address};
use super::witness;
use super::{Context, count, met};
use crate::classify::Role;
use crate::geo::{Country, LocatedIn};
use crate::keys::Analysis;
use crate::keys::{CouldHold, Keys, Method};
use crate::observe::PacketRef;
use crate::observe::facts::Certificate;
use crate::session::{Judged, Session};

/// A database further than this from the capture may describe other holders of the addresses.
const OLD_DATABASE_DAYS: u32 = 180;
/// Addresses or countries named in one sentence.
const NAMED: usize = 4;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

pub(super) fn findings(
    context: &mut Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
    record: &SessionRecord,
) -> Vec<Finding> {
    let mut found = witness::findings(context, analysis, session, keys);
    found.extend(key_holders_abroad(context, analysis, session, keys, record));
    found.extend(course(context, analysis, session, keys));
    found.extend(certificates(context, analysis, session));
    found.extend(key_log::key_log_gaps(context, analysis, session));
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
fn key_holders_abroad(
    context: &mut Context<'_>,
    analysis: &Analysis,
    session: &Session,
    keys: &Keys,
    record: &SessionRecord,
) -> Vec<Finding> {
    let mut participants: Option<BTreeSet<Country>> = None;
    let mut found = Vec::new();
    for (holder, shown) in keys.holders.iter().zip(&record.keys.holders) {
        if holder.could_hold != CouldHold::Yes {
            continue;
        }
        let (Some(abroad), Some(placed)) = (shown.place.located_in.country, placed(&shown.place.located_in))
        else {
            continue;
        };
        let operator = shown.place.service_operator.as_ref();
        let home = operator.and_then(|operator| Country::parse(&operator.home_jurisdiction));
        if home == Some(abroad) {
            continue;
        }
        let known = participants.get_or_insert_with(|| countries(context, analysis, session));
        if known.contains(&abroad) {
            continue;
        }
        let mut text = format!("candidate key server {}", shown.ip);
        if let Some(name) = shown.name.as_ref().filter(|name| **name != shown.ip) {
            let _ = write!(text, " ({name})");
        }
        let _ = write!(text, " {placed}; ");
        if known.is_empty() {
            text.push_str("no database places the participants");
        } else {
            let _ = write!(text, "the participants are placed in {}", list(known.iter().map(Country::code)));
        }
        if let Some(home) = home {
            let _ = write!(text, ", the service's operator is at home in {}", home.code());
        }
        match shown.packets.first() {
            Some(PacketNumber { file: Some(file), frame }) => {
                let _ = write!(text, " (packet {frame} of file {file})");
            }
            Some(PacketNumber { file: None, frame }) => {
                let _ = write!(text, " (packet {frame})");
            }
            None => {}
        }
        let severity = if known.is_empty() { Severity::Notice } else { Severity::High };
        found.push(Finding { id: "key_holder_abroad", severity, text, packets: shown.packets.clone() });
    }
    found
}

/// Where databases place the endpoints of the sessions that share a meeting with this one.
pub(super) fn countries(
    context: &mut Context<'_>,
    analysis: &Analysis,
    session: &Session,
) -> BTreeSet<Country> {
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
            "neither signalling nor a handshake of this call was captured: the capture began after the call did, \
             or lacks it; who was contacted before media is not known",
        );
    }
    let signals = session.servers.iter().any(|server| server.signals() || server.tls);
    if matches!(keys.method, Method::KeyService | Method::Sdes) && !signals && !session.begun_mid_call {
        notice(
            "signalling_not_captured",
            "no signalling of this call was captured: which server could hold the key cannot be judged",
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

/// Certificates of signalling servers that a client should not have accepted.
fn certificates(context: &Context<'_>, analysis: &Analysis, session: &Session) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for judged in flows(analysis, session).filter(|judged| judged.role() == Role::Signalling) {
        let Some(leaf) = leaf(judged) else { continue };
        for (id, what) in faults(leaf, judged) {
            let server = judged.sides.remote.ip();
            let text = match &leaf.subject_cn {
                Some(name) => format!("signalling server {server} showed a certificate for {name} {what}"),
                None => format!("signalling server {server} showed a certificate {what}"),
            };
            if !found.iter().any(|known| known.id == id && known.text == text) {
                let packets = context.packets(&[leaf.packet]);
                found.push(Finding { id, severity: Severity::Notice, text, packets });
            }
        }
    }
    found
}

fn leaf(judged: &Judged) -> Option<&Certificate> {
    judged.flow.facts.as_ref()?.tls.as_ref()?.certificates.first()
}

fn faults(leaf: &Certificate, judged: &Judged) -> Vec<(&'static str, String)> {
    let seen = judged.flow.start.as_nanos().div_euclid(NANOS_PER_SECOND);
    let mut faults = Vec::new();
    if leaf.self_signed {
        faults.push(("certificate_self_signed", "that it signed itself".to_owned()));
    }
    if leaf.not_after < seen {
        let end = time::eve_seconds(leaf.not_after);
        faults.push(("certificate_expired", format!("that had expired when it was seen, at {end}")));
    }
    if leaf.not_before > seen {
        let begin = time::eve_seconds(leaf.not_before);
        faults.push(("certificate_not_yet_valid", format!("that is valid only from {begin}")));
    }
    faults
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
fn list<'t>(words: impl Iterator<Item = &'t str>) -> String {
    let words: Vec<&str> = words.collect();
    let mut out = words.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = words.len().saturating_sub(NAMED);
    if more > 0 {
        let _ = write!(out, " and {} more", count(more));
    }
    out
}
