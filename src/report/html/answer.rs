//! The answer: what the report comes to, before anything else. In: the records of a run. Out: markup.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::Run;
use super::super::record::{AlertRecord, Finding, SessionRecord, Severity};
use super::super::text::{Tone, summary};
use super::markup::Html;
use super::{alerts, words};
use crate::geo::Country;
use crate::keys::CouldHold;

/// Kinds of findings listed.
const KINDS: usize = 12;
/// Sessions named beside a kind of finding.
const SESSIONS: usize = 6;

/// The section.
pub(super) fn write(
    html: &mut Html,
    run: &Run<'_>,
    sessions: &[SessionRecord],
    policy: Option<(usize, &[AlertRecord])>,
) {
    let (grave, headline) = summary::headline(run, sessions);
    let worst = sessions.iter().filter_map(words::gravest).min();
    html.raw("<section id=\"answer\" aria-labelledby=\"answer-h\"><h2 id=\"answer-h\" class=\"vh\">The answer</h2>");
    if let Some((rules, fired)) = policy {
        alerts::top(html, rules, sessions.len(), fired);
    }
    html.raw(match (grave, worst) {
        (Tone::Alarm, _) => "<div class=\"verdict high\"><p class=\"mark\">\u{25b2} Gravest finding</p>",
        (Tone::Warn, Some(_)) => {
            "<div class=\"verdict notice\"><p class=\"mark\">\u{25cf} To be looked at</p>"
        }
        (Tone::Good, _) => "<div class=\"verdict good\"><p class=\"mark\">\u{2713} Nothing grave</p>",
        _ => "<div class=\"verdict plain\"><p class=\"mark\">Result</p>",
    });
    html.raw("<p class=\"headline\">").text(&headline).raw("</p><p class=\"counts\">");
    html.text(&summary::counts(run, sessions)).raw("</p></div>");
    trouble(html, run);
    tiles(html, run, sessions);
    kinds(html, sessions);
    html.raw("</section>");
}

/// What keeps the answer from being whole.
fn trouble(html: &mut Html, run: &Run<'_>) {
    if !run.complete {
        html.raw(
            "<p class=\"warn\"><b>Incomplete:</b> not every input was read to its end; see <a href=\"#about\">about this report</a>.</p>",
        );
    }
    if run.dropped.total() > 0 {
        html.raw("<p class=\"warn\">");
        html.say(format_args!("{} packets were lost before they could be looked at.", run.dropped.total()));
        html.raw("</p>");
    }
}

fn tiles(html: &mut Html, run: &Run<'_>, sessions: &[SessionRecord]) {
    let able = || {
        sessions
            .iter()
            .flat_map(|session| &session.keys.holders)
            .filter(|holder| holder.could_hold == CouldHold::Yes)
    };
    let holders: BTreeSet<&str> = able().map(|holder| holder.ip.as_str()).collect();
    let places: BTreeSet<&str> =
        able().filter_map(|holder| holder.place.located_in.country.as_ref().map(Country::code)).collect();
    let grave = sessions.iter().filter(|session| words::gravest(session) == Some(Severity::High)).count();
    html.raw("<dl class=\"tiles\">");
    let mut named = places.iter().take(8).copied().collect::<Vec<_>>().join(" ");
    if places.len() > 8 {
        let _ = write!(named, " +{}", places.len().saturating_sub(8));
    }
    let tiles = [
        ("Sessions", sessions.len().to_string()),
        ("With a grave finding", grave.to_string()),
        ("Meetings", run.analysis.meetings.len().to_string()),
        ("Servers that could hold a key", holders.len().to_string()),
        ("Databases place these in", if named.is_empty() { "-".to_owned() } else { named }),
    ];
    for (term, value) in tiles {
        html.pair(term, &value);
    }
    html.raw("</dl>");
}

/// Findings by kind, the gravest first, each with the sessions that share it.
fn kinds(html: &mut Html, sessions: &[SessionRecord]) {
    let mut found: BTreeMap<(Severity, &str), (&Finding, Vec<&str>)> = BTreeMap::new();
    for session in sessions {
        for finding in &session.findings {
            let (_, names) =
                found.entry((finding.severity, finding.id)).or_insert_with(|| (finding, Vec::new()));
            if names.last() != Some(&session.session_id.as_str()) {
                names.push(&session.session_id);
            }
        }
    }
    if found.is_empty() {
        return;
    }
    html.raw("<h3>Findings by kind</h3>");
    html.table(
        "Findings by kind",
        &["Severity", "Finding, as the first session shows it", "Sessions"],
        |html| {
            for ((severity, id), (finding, names)) in found.iter().take(KINDS) {
                html.raw("<tr><td>");
                words::severity(html, Some(*severity));
                html.raw("</td><td>")
                    .text(&finding.text)
                    .raw(" <small class=\"dim\">")
                    .text(id)
                    .raw("</small></td><td>");
                html.say(format_args!("{}: ", names.len()));
                words::links(html, names.iter().copied(), SESSIONS);
                html.raw("</td></tr>");
            }
        },
    );
    let more = found.len().saturating_sub(KINDS);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more kinds, in the sessions"));
    }
}
