//! Words and numbers of the page that several of its parts use.

use std::cmp::Reverse;
use std::time::Duration;

use super::super::record::{PlaceRecord, SessionRecord, Severity};
use super::super::time;
use super::markup::Html;
use crate::geo::{Confidence, Country, LocatedIn};
use crate::keys::{CouldHold, Method};
use crate::time::Timestamp;

/// `CN (China)`, of a code that a record holds.
pub(super) fn country(code: &str) -> String {
    Country::parse(code).map_or_else(|| code.to_owned(), super::super::build::country)
}

/// `2020-04-02 15:00:03`, of a record's time.
pub(super) fn day_and_clock(time: &str) -> String {
    let text = time.get(..19).unwrap_or(time);
    text.replacen('T', " ", 1)
}

/// `15:00:03.123`, of a record's time.
pub(super) fn clock(time: &str) -> &str {
    time.get(11..23).unwrap_or(time)
}

/// A record's time as a time.
pub(super) fn moment(time: &str) -> Option<Timestamp> {
    time::parse(time)
}

/// Seconds from one to the other, negative where the second came first.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    if to < from { -from.since(to).as_secs_f64() } else { to.since(from).as_secs_f64() }
}

/// `12.3 s`, `3 min 20 s`.
pub(super) fn length(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "-".to_owned(), time::length)
}

/// A count as a number of a drawing.
pub(super) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or_else(|_| f64::from(u32::MAX), f64::from)
}

/// `1 session`, `2 sessions`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The gravest severity among a session's findings.
pub(super) fn gravest(session: &SessionRecord) -> Option<Severity> {
    session.findings.iter().map(|finding| finding.severity).min()
}

/// Rank for sorting: 0 grave, 1 notice, 2 nothing.
pub(super) const fn rank(severity: Option<Severity>) -> u8 {
    match severity {
        Some(Severity::High) => 0,
        Some(Severity::Notice) => 1,
        None => 2,
    }
}

/// What sorts sessions, the gravest first: by rank, then by the number of grave findings, then by that of all.
pub(super) fn gravity(session: &SessionRecord) -> (u8, Reverse<usize>, Reverse<usize>) {
    (rank(gravest(session)), Reverse(grave(session)), Reverse(session.findings.len()))
}

/// How many findings are grave.
pub(super) fn grave(session: &SessionRecord) -> usize {
    session.findings.iter().filter(|finding| finding.severity == Severity::High).count()
}

/// A severity as a word with a sign: colour is never all that tells it.
pub(super) fn severity(html: &mut Html, severity: Option<Severity>) {
    html.cut().raw(match severity {
        Some(Severity::High) => "<span class=\"chip high\">\u{25b2} High</span>",
        Some(Severity::Notice) => "<span class=\"chip notice\">\u{25cf} Notice</span>",
        None => "<span class=\"chip good\">\u{2713} Nothing found</span>",
    });
    html.cut();
}

/// The answer to whether a server could hold the key; `plain` where media has none, and anybody on its way could read it.
pub(super) fn could_hold(html: &mut Html, answer: CouldHold, plain: bool) {
    html.cut().raw(match (answer, plain) {
        (CouldHold::Yes, false) => "<span class=\"chip high\">\u{25c6} could hold</span>",
        (CouldHold::Yes, true) => "<span class=\"chip high\">\u{25c7} could read</span>",
        (CouldHold::Unknown, _) => "<span class=\"chip plain\">? not determinable</span>",
        (CouldHold::No, false) => "<span class=\"chip good\">\u{2715} cannot hold</span>",
        (CouldHold::No, true) => "<span class=\"chip good\">\u{2715} cannot read</span>",
    });
    html.cut();
}

/// True where media goes unencrypted: there is no key then.
pub(super) fn is_plain(session: &SessionRecord) -> bool {
    session.keys.method == Method::None
}

/// True where timing contradicts the country in which databases place an address.
pub(super) fn contradicted(place: &PlaceRecord) -> bool {
    place.located_in.country.is_some_and(|country| place.is_refuted(country))
}

/// How far a place is to be trusted.
pub(super) const fn confidence(place: &LocatedIn) -> &'static str {
    match place.confidence {
        Confidence::High => "high confidence",
        Confidence::Medium => "medium confidence",
        Confidence::Low => "low confidence",
        Confidence::Unknown => "placed by no database",
    }
}

/// Where databases place an address: each answer, its confidence, and whether they disagree.
pub(super) fn placed(html: &mut Html, place: &LocatedIn) {
    html.cut();
    match place.country {
        Some(country) => {
            html.raw("<b>").text(&super::super::build::country(country)).raw("</b> <small>");
            html.say(format_args!("{}: {}", confidence(place), place.sentence())).raw("</small>");
        }
        None => {
            html.raw("<small>").text(&place.sentence()).raw("</small>");
        }
    }
    html.cut();
}

/// Sessions by their names, as links.
pub(super) fn links<'n>(html: &mut Html, names: impl Iterator<Item = &'n str>, most: usize) {
    let mut shown = 0_usize;
    let mut more = 0_usize;
    for name in names {
        if shown >= most {
            more = more.saturating_add(1);
            continue;
        }
        html.raw(if shown == 0 { "<a" } else { ", <a" }).attr("href", &format!("#{name}")).raw(">");
        html.text(name).raw("</a>");
        shown = shown.saturating_add(1);
    }
    if more > 0 {
        html.say(format_args!(" and {more} more"));
    }
}
