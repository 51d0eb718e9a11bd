//! The jurisdictions that reach the servers of all sessions, once for a report: groups and laws of the capture's day.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use super::super::record::{GroupRecord, JurisdictionRecord, LawRecord, ReachPart, SessionRecord};
use super::page::{self, Page, Tone, dim, plain};
use crate::geo::{Date, GroupBasis, LawKind};

/// Width of the labels at the left.
const LABEL: usize = 13;
/// Laws shown of a jurisdiction; the session record has all.
const LAWS: usize = 8;
/// Behind what nobody has checked.
const UNCHECKED: char = '*';

/// What is shown of a jurisdiction: once for all days on which the same held.
#[derive(Default)]
struct Shown<'r> {
    parts: BTreeMap<ReachPart, usize>,
    /// Servers, and whether timing contradicts that they are there.
    servers: BTreeMap<&'r str, bool>,
    days: Vec<Option<Date>>,
    record: Option<&'r JurisdictionRecord>,
}

pub(super) fn write(page: &mut Page<'_>, sessions: &[SessionRecord]) -> io::Result<()> {
    let mut all: Vec<Shown<'_>> = Vec::new();
    for record in sessions.iter().flat_map(|session| &session.jurisdictions) {
        let same = |shown: &Shown<'_>| shown.record.is_some_and(|known| is_same(known, record));
        let place = all.iter().position(same).unwrap_or_else(|| {
            all.push(Shown { record: Some(record), ..Shown::default() });
            all.len().saturating_sub(1)
        });
        let Some(place) = all.get_mut(place) else { continue };
        if !place.days.contains(&record.as_of) {
            place.days.push(record.as_of);
        }
        for reach in &record.reaches {
            for part in &reach.part {
                let count = place.parts.entry(*part).or_default();
                *count = count.saturating_add(1);
            }
            *place.servers.entry(&reach.ip).or_default() |= reach.timing_contradicts;
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    // Those that reach key holders first, or who could read.
    all.sort_by_key(|shown| {
        let code = shown.record.map(|record| record.code.clone()).unwrap_or_default();
        let able = [ReachPart::KeyHolder, ReachPart::Reader];
        let is_grave = able.iter().any(|part| shown.parts.contains_key(part));
        (!is_grave, code, shown.days.first().copied().flatten())
    });
    page.blank()?;
    page.line(0, &[(Tone::Title, "Jurisdictions".to_owned())])?;
    page.rule()?;
    for shown in &all {
        one(page, shown)?;
    }
    let starred = all.iter().filter_map(|shown| shown.record).any(has_unchecked);
    let mut note =
        "informational, not legal advice; a law that is there need not be used, and no list is complete"
            .to_owned();
    if starred {
        let _ = write!(note, "; {UNCHECKED} not checked against a text of the authority itself");
    }
    page.paragraph(2, &dim(note))
}

/// All but the servers and the day.
fn is_same(one: &JurisdictionRecord, other: &JurisdictionRecord) -> bool {
    one.code == other.code
        && one.groups == other.groups
        && one.laws == other.laws
        && one.as_of.is_some() == other.as_of.is_some()
}

fn has_unchecked(record: &JurisdictionRecord) -> bool {
    record.groups.iter().any(|group| group.unchecked)
        || record.laws.iter().take(LAWS).any(|law| law.unchecked)
}

fn one(page: &mut Page<'_>, shown: &Shown<'_>) -> io::Result<()> {
    let Some(record) = shown.record else { return Ok(()) };
    let name = record.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    let reached: Vec<&str> = shown.parts.keys().map(|part| part_words(*part)).collect();
    let head = format!("{}{name}", record.code);
    let beside = page::columns(&page::escape(&head)).saturating_add(1);
    let text = format!("reaches {}{}", reached.join(", "), contradicted(shown));
    page.labelled(2, &(Tone::Title, head), beside, &plain(text))?;
    for (label, text) in details(record, &shown.days) {
        page.labelled(4, &dim(label), LABEL, &plain(text))?;
    }
    Ok(())
}

/// That the time of answers contradicts the place, of as many of the servers as it does.
fn contradicted(shown: &Shown<'_>) -> String {
    match (shown.servers.values().filter(|refuted| **refuted).count(), shown.servers.len()) {
        (0, _) => String::new(),
        (1, 1) => "; the time of its answers contradicts that place".to_owned(),
        (some, all) => format!("; the time of answers contradicts that place of {some} of {all} servers"),
    }
}

/// Groups and laws of a jurisdiction as labels and texts; what is unchecked has a `*` behind it.
pub fn jurisdiction_words(record: &JurisdictionRecord) -> Vec<(&'static str, String)> {
    details(record, &[record.as_of])
}

fn details(record: &JurisdictionRecord, days: &[Option<Date>]) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if !record.groups.is_empty() {
        lines.push(("groups", groups_words(&record.groups)));
    }
    let when = period(days);
    let mut laws: Vec<String> = record.laws.iter().take(LAWS).map(law_words).collect();
    let more = record.laws.len().saturating_sub(LAWS);
    if more > 0 {
        laws.push(format!("{more} more in the session record"));
    }
    let none = match (&when, record.not_in_table) {
        (None, _) => "not told: the capture has no date",
        (Some(_), true) => "the table has no row of this jurisdiction",
        (Some(_), false) => "none in the table",
    };
    let laws = if laws.is_empty() { none.to_owned() } else { laws.join("; ") };
    lines.push(("laws", when.map_or_else(|| laws.clone(), |when| format!("{when}: {laws}"))));
    lines
}

/// `in force on 2020-03-27`, or from one day to another.
fn period(days: &[Option<Date>]) -> Option<String> {
    let first = days.iter().flatten().min()?;
    let last = days.iter().flatten().max()?;
    Some(if first == last { format!("on {first}") } else { format!("on days from {first} to {last}") })
}

const fn part_words(part: ReachPart) -> &'static str {
    match part {
        ReachPart::KeyHolder => "servers that could hold the key",
        ReachPart::Reader => "servers that could read the media",
        ReachPart::Media => "media servers",
        ReachPart::Signalling => "signalling servers",
    }
}

fn star(unchecked: bool) -> String {
    if unchecked { UNCHECKED.to_string() } else { String::new() }
}

/// Treaties and decisions one by one, then the labels of the press together.
fn groups_words(groups: &[GroupRecord]) -> String {
    let named = |group: &GroupRecord| format!("{}{}", group.name, star(group.unchecked));
    let (labels, others): (Vec<_>, Vec<_>) =
        groups.iter().partition(|group| group.basis == GroupBasis::PressLabel);
    let mut words: Vec<String> = others
        .into_iter()
        .map(|group| match &group.scope {
            Some(scope) => format!("{} ({scope})", named(group)),
            None => named(group),
        })
        .collect();
    if !labels.is_empty() {
        let labels: Vec<String> = labels.into_iter().map(named).collect();
        words.push(format!("by labels of the press {}", labels.join(", ")));
    }
    words.join("; ")
}

fn law_words(law: &LawRecord) -> String {
    let kind = match law.kind {
        LawKind::Access => "access",
        LawKind::Interception => "interception",
        LawKind::Localisation => "localisation",
        LawKind::DataProtection => "data protection",
    };
    let mut out = format!("{}{}", law.instrument, star(law.unchecked));
    // Where it is open whether it is in force, the row's first day is not that of the law.
    let settled = law.valid_from.filter(|_| law.verify.is_none());
    let since = settled.map_or_else(|| law.year.to_string(), |from| format!("since {from}"));
    let _ = write!(out, " ({kind}, {since})");
    if let Some(verify) = &law.verify {
        let _ = write!(out, ", to be verified: {verify}");
    }
    out
}
