//! The answer: what the report comes to, before anything else. In: the records of a run. Out: markup.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::Run;
use super::super::record::{AlertRecord, SessionRecord, Severity};
use super::super::text::summary::app_word;
use super::super::text::{self, Tone, summary};
use super::markup::Html;
use super::{alerts, words};
use crate::geo::Country;
use crate::keys::CouldHold;

/// Kinds of findings listed.
const KINDS: usize = 12;
/// Sentences of a kind.
const SENTENCES: usize = 4;
/// Sessions named beside a sentence.
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
    if let Some(words) = text::filtered(run.counts) {
        html.word("p", "note", &words);
    }
    if !run.complete {
        html.raw(
            "<p class=\"warn\"><b>Incomplete:</b> not every input was read to its end; see <a href=\"#about\">about this report</a>.</p>",
        );
    }
    if let Some(text) = summary::cut(run) {
        html.raw("<p class=\"warn\">").text(&text).raw(".</p>");
    }
    if run.dropped.total() > 0 {
        html.raw("<p class=\"warn\">");
        html.say(format_args!("{} packets were lost before they could be looked at.", run.dropped.total()));
        html.raw("</p>");
    }
}

fn tiles(html: &mut Html, run: &Run<'_>, sessions: &[SessionRecord]) {
    let able = |plain: bool| {
        let of = sessions.iter().filter(move |session| words::is_plain(session) == plain);
        of.flat_map(|session| &session.keys.holders).filter(|holder| holder.could_hold == CouldHold::Yes)
    };
    let count = |plain| able(plain).map(|holder| holder.ip.as_str()).collect::<BTreeSet<_>>().len();
    let (holders, readers) = (count(false), count(true));
    let both = || able(false).chain(able(true));
    let places: BTreeSet<&str> =
        both().filter_map(|holder| holder.place.located_in.country.as_ref().map(Country::code)).collect();
    let refuted = both().any(|holder| words::contradicted(&holder.place));
    let grave = sessions.iter().filter(|session| words::gravest(session) == Some(Severity::High)).count();
    html.raw("<dl class=\"tiles\">");
    let mut named = places.iter().take(8).copied().collect::<Vec<_>>().join(" ");
    if places.len() > 8 {
        let _ = write!(named, " +{}", places.len().saturating_sub(8));
    }
    if refuted {
        named.push_str(" \u{2260}");
    }
    let mut tiles = vec![
        ("Sessions", sessions.len().to_string()),
        ("With a grave finding", grave.to_string()),
        ("Meetings", run.analysis.meetings.len().to_string()),
    ];
    if holders > 0 || readers == 0 {
        tiles.push(("Servers that could hold a key", holders.to_string()));
    }
    if readers > 0 {
        tiles.push(("Servers that could read unencrypted media", readers.to_string()));
    }
    let term = if refuted {
        "Databases place these in; timing contradicts some"
    } else {
        "Databases place these in"
    };
    tiles.push((term, if named.is_empty() { "-".to_owned() } else { named }));
    for (term, value) in tiles {
        html.pair(term, &value);
    }
    html.raw("</dl>");
}

/// A kind of finding: its sessions, and its sentences with the sessions that each was said of.
#[derive(Default)]
struct Sort<'r> {
    sessions: Vec<&'r str>,
    /// With the place of the first of these sessions among all.
    sentences: BTreeMap<(String, &'r str), (usize, Vec<&'r str>)>,
}

/// Findings by kind, the gravest first, each sentence with the sessions that it is true of.
fn kinds(html: &mut Html, sessions: &[SessionRecord]) {
    let mut found: BTreeMap<(Severity, &str), Sort<'_>> = BTreeMap::new();
    for (place, session) in sessions.iter().enumerate() {
        for finding in &session.findings {
            let sort = found.entry((finding.severity, finding.id)).or_default();
            let sentence = (app_word(session.app.as_deref()), finding.text.as_str());
            let (_, said) = sort.sentences.entry(sentence).or_insert_with(|| (place, Vec::new()));
            for names in [&mut sort.sessions, said] {
                if names.last() != Some(&session.session_id.as_str()) {
                    names.push(&session.session_id);
                }
            }
        }
    }
    if found.is_empty() {
        return;
    }
    html.raw("<h3>Findings by kind</h3>");
    html.stack(
        "Findings by kind",
        &["Severity", "Finding, and the sessions that show it", "#Sessions"],
        |html| {
            for ((severity, id), sort) in found.iter().take(KINDS) {
                html.raw("<tr><td>");
                words::severity(html, Some(*severity));
                html.raw("</td><td><small class=\"dim\">").text(id).raw("</small><ul class=\"plain\">");
                sentences(html, sort);
                html.raw("</ul></td>");
                html.word("td", "n", &words::counted(sort.sessions.len(), "session"));
                html.raw("</tr>");
            }
        },
    );
    let more = found.len().saturating_sub(KINDS);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more kinds, in the sessions"));
    }
}

/// The sentences that most sessions share first, else in the order of their sessions.
fn sentences(html: &mut Html, sort: &Sort<'_>) {
    let mut order: Vec<_> = sort.sentences.iter().collect();
    order.sort_by_key(|(_, (first, names))| (Reverse(names.len()), *first));
    for ((app, text), (_, names)) in order.iter().take(SENTENCES) {
        html.raw("<li>").text(app).raw(": ").text(text).raw(" <small>");
        words::links(html, names.iter().copied(), SESSIONS);
        html.raw("</small></li>");
    }
    let more = order.len().saturating_sub(SENTENCES);
    if more > 0 {
        html.word("li", "note", &format!("and {more} more sentences of this kind, with their sessions"));
    }
}
