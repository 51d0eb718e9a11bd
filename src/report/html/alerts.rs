//! What the rules of a policy came to: beside the answer, and with each session. In: alert records. Out: markup.

use super::super::record::{AlertRecord, Severity};
use super::super::text::Tone;
use super::super::text::policy;
use super::markup::Html;
use super::words;
use crate::policy::State;

/// Alerts shown beside the answer; each session has its own.
const NAMED: usize = 24;
/// Reasons and participants shown of one.
const REASONS: usize = 8;
const PARTICIPANTS: usize = 8;

/// The answer of the policy, and the alerts that fired, the gravest first.
pub(super) fn top(html: &mut Html, rules: usize, sessions: usize, alerts: &[AlertRecord]) {
    let (tone, sentence) = policy::answer(rules, sessions, alerts);
    html.raw(match tone {
        Tone::Alarm => "<div class=\"verdict high\"><p class=\"mark\">\u{25b2} Policy</p>",
        Tone::Warn => "<div class=\"verdict notice\"><p class=\"mark\">\u{25cf} Policy</p>",
        Tone::Plain | Tone::Title | Tone::Dim | Tone::Good => {
            "<div class=\"verdict good\"><p class=\"mark\">\u{2713} Policy</p>"
        }
    });
    html.raw("<p class=\"headline\">").text(&sentence).raw("</p></div>");
    let mut fired: Vec<&AlertRecord> = alerts.iter().filter(|alert| alert.fired).collect();
    fired.sort_by_key(|alert| alert.severity);
    if fired.is_empty() {
        return;
    }
    html.raw("<h3>Rules that fired</h3>");
    html.table("Rules that fired", &["Severity", "Rule", "Why", "Session"], |html| {
        for alert in fired.iter().take(NAMED) {
            html.raw("<tr><td>");
            words::severity(html, Some(alert.severity));
            html.raw("</td><td>").text(&alert.title).raw("<br><small>").text(&alert.rule);
            html.raw("</small></td><td>").text(&alert.text).raw("</td><td>");
            words::links(html, std::iter::once(alert.session_id.as_str()), 1);
            html.raw("</td></tr>");
        }
    });
    let more = fired.len().saturating_sub(NAMED);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more, with their sessions"));
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

fn one(html: &mut Html, alert: &AlertRecord) {
    match alert.state {
        State::Broken => words::severity(html, Some(alert.severity)),
        State::NotDeterminable => {
            html.raw("<span class=\"chip plain\">? not determinable</span>");
        }
        State::Excepted => {
            html.raw("<span class=\"chip plain\">excepted</span>");
        }
    }
    html.raw(" <b>").cut().text(&alert.title).cut().raw("</b> <small>").cut();
    html.say(format_args!("rule {}, {} line {}", alert.rule, alert.policy, alert.line)).cut().raw("</small>");
    html.raw("<ul>");
    for reason in alert.reasons.iter().take(REASONS) {
        html.raw("<li>").cut().text(&reason.text).cut().raw(" <small>").text(reason.demand).raw("</small> ");
        html.packets(&reason.packets);
        html.raw("</li>");
    }
    for exception in &alert.exceptions {
        let ended = if exception.expired { "ended on" } else { "stands until" };
        html.word("li", "", &format!("an exception {ended} {}: {}", exception.until, exception.reason));
    }
    html.raw("</ul>");
    let more = u64::try_from(alert.reasons.len().saturating_sub(REASONS))
        .unwrap_or(0)
        .saturating_add(alert.reasons_left_out);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more reasons, in the alert record"));
    }
    let seated = alert.participants.iter().take(PARTICIPANTS).map(|one| {
        let places = if one.countries.is_empty() {
            "nobody says where".to_owned()
        } else {
            one.countries.join(" or ")
        };
        format!("{} ({places}, by {})", one.ip, one.source)
    });
    let seated = seated.collect::<Vec<_>>().join("; ");
    html.raw("<p class=\"note\">Participants: ").cut().text(&seated).cut();
    html.raw(". ").text(alert.participants_note).raw(".</p>");
}
