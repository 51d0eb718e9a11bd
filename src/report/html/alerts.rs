//! What the rules of a policy came to: beside the answer, and with each session. In: alert records. Out: markup.

use std::collections::BTreeMap;

use super::super::record::{AlertException, AlertRecord, Severity};
use super::super::text::Tone;
use super::super::text::policy;
use super::markup::Html;
use super::words;
use crate::policy::State;

/// Rules shown beside the answer; each session has its own.
const NAMED: usize = 24;
/// Sessions named beside a rule.
const SESSIONS: usize = 8;
/// Reasons and participants shown of one.
const REASONS: usize = 8;
const PARTICIPANTS: usize = 8;

/// The answer of the policy, the rules that fired, the gravest first, and those that came to no clean answer.
pub(super) fn top(html: &mut Html, rules: usize, sessions: usize, alerts: &[AlertRecord]) {
    let (tone, sentence) = policy::answer(rules, sessions, alerts);
    html.raw(match tone {
        Tone::Alarm => "<div class=\"verdict high\"><p class=\"mark\">\u{25b2} Policy</p>",
        Tone::Warn => "<div class=\"verdict notice\"><p class=\"mark\">\u{25cf} Policy</p>",
        // Good news only where every rule was judged in every session, and none of them was excepted.
        Tone::Good if alerts.is_empty() && rules > 0 && sessions > 0 => {
            "<div class=\"verdict good\"><p class=\"mark\">\u{2713} Policy</p>"
        }
        Tone::Plain | Tone::Title | Tone::Dim | Tone::Good => {
            "<div class=\"verdict plain\"><p class=\"mark\">Policy</p>"
        }
    });
    html.raw("<p class=\"headline\">").text(&sentence).raw("</p></div>");
    let fired = by_rule(alerts.iter().filter(|alert| alert.fired));
    if !fired.is_empty() {
        html.raw("<h3>Rules that fired</h3>");
        html.stack(
            "Rules that fired",
            &["Severity", "Rule", "Why, as the first session shows it", "Sessions"],
            |html| {
                for of_rule in fired.iter().take(NAMED) {
                    rule(html, of_rule);
                }
            },
        );
        more(html, fired.len());
    }
    let open = by_rule(alerts.iter().filter(|alert| !alert.fired));
    if !open.is_empty() {
        html.raw("<h3>Rules that were excepted or not determinable</h3>");
        let heads = ["State", "Rule", "Reason, as the first session shows it", "Sessions"];
        html.stack("Rules that were excepted or not determinable", &heads, |html| {
            for of_rule in open.iter().take(NAMED) {
                rule(html, of_rule);
            }
        });
        more(html, open.len());
    }
}

/// Alerts of the same rule and state, the gravest first, in the order of their sessions.
fn by_rule<'r>(alerts: impl Iterator<Item = &'r AlertRecord>) -> Vec<Vec<&'r AlertRecord>> {
    let mut found: Vec<Vec<&AlertRecord>> = Vec::new();
    let mut known: BTreeMap<(&str, u64, &str, u8), usize> = BTreeMap::new();
    for alert in alerts {
        let state = match alert.state {
            State::Broken => 0,
            State::NotDeterminable => 1,
            State::Excepted => 2,
        };
        let key = (alert.policy.as_str(), alert.line, alert.rule.as_str(), state);
        let place = *known.entry(key).or_insert(found.len());
        match found.get_mut(place) {
            Some(group) => group.push(alert),
            None => found.push(vec![alert]),
        }
    }
    found.sort_by_key(|group| group.first().map(|alert| (alert.state == State::Excepted, alert.severity)));
    found
}

/// One row: a rule, its first reason, its sessions.
fn rule(html: &mut Html, alerts: &[&AlertRecord]) {
    let Some(first) = alerts.first() else { return };
    html.raw("<tr><td>");
    state(html, first);
    html.raw("</td><td>").text(&first.title).raw("<br><small>");
    html.say(format_args!("{}, {} line {}", first.rule, first.policy, first.line)).raw("</small></td><td>");
    html.text(&first.text);
    for exception in &first.exceptions {
        html.raw("<br>").word("small", "", &excepted(exception));
    }
    html.raw("</td><td>");
    let mut names: Vec<&str> = alerts.iter().map(|alert| alert.session_id.as_str()).collect();
    names.dedup();
    html.say(format_args!("{}: ", words::counted(names.len(), "session")));
    words::links(html, names.into_iter(), SESSIONS);
    html.raw("</td></tr>");
}

fn more(html: &mut Html, count: usize) {
    let more = count.saturating_sub(NAMED);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more, with their sessions"));
    }
}

fn excepted(exception: &AlertException) -> String {
    let ended = if exception.expired { "ended on" } else { "stands until" };
    format!(
        "an exception {ended} {}: {} ({} line {})",
        exception.until, exception.reason, exception.policy, exception.line
    )
}

fn state(html: &mut Html, alert: &AlertRecord) {
    if alert.taken_back {
        html.raw("<span class=\"chip plain\">taken back</span>");
        return;
    }
    match alert.state {
        State::Broken => words::severity(html, Some(alert.severity)),
        State::NotDeterminable => {
            html.raw("<span class=\"chip plain\">? not determinable</span>");
        }
        State::Excepted => {
            html.raw("<span class=\"chip plain\">excepted</span>");
        }
    }
}

/// The alerts of one session.
pub(super) fn beside(html: &mut Html, alerts: &[&AlertRecord]) {
    if alerts.is_empty() {
        return;
    }
    html.raw("<h4>Policy</h4><ul class=\"findings\">");
    for alert in alerts {
        html.raw(match (alert.state, alert.severity) {
            (State::Excepted, _) => "<li>",
            (_, Severity::High) => "<li class=\"high\">",
            (_, Severity::Notice) => "<li class=\"notice\">",
        });
        one(html, alert);
        html.raw("</li>");
    }
    html.raw("</ul>");
}

pub(super) fn one(html: &mut Html, alert: &AlertRecord) {
    state(html, alert);
    html.raw(" <b>").cut().text(&alert.title).cut().raw("</b> <small>").cut();
    html.say(format_args!("rule {}, {} line {}", alert.rule, alert.policy, alert.line)).cut().raw("</small>");
    html.raw("<ul>");
    for reason in alert.reasons.iter().take(REASONS) {
        html.raw("<li>").cut().text(&reason.text).cut().raw(" <small>").text(reason.demand).raw("</small> ");
        html.packets(&reason.packets);
        html.raw("</li>");
    }
    for exception in &alert.exceptions {
        html.word("li", "", &excepted(exception));
    }
    html.raw("</ul>");
    let more = u64::try_from(alert.reasons.len().saturating_sub(REASONS))
        .unwrap_or(0)
        .saturating_add(alert.reasons_left_out);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more reasons, in the alert record"));
    }
    let seated = alert.participants.iter().take(PARTICIPANTS).map(|one| {
        let places = if one.countries.is_empty() { "placed".to_owned() } else { one.countries.join(" or ") };
        format!("{} ({places} by {})", one.ip, one.source)
    });
    let seated = seated.collect::<Vec<_>>().join("; ");
    html.raw("<p class=\"note\">Participants: ").cut().text(&seated).cut();
    html.raw(". Note: ").text(alert.participants_note).raw(".</p>");
}
