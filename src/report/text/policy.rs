//! What the rules of a policy came to: at the very top, and beside each session.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use super::super::record::{AlertRecord, Severity};
use super::page::{Page, Tone, dim, plain};
use crate::policy::State;

/// Rows at the top; each session has its own alerts.
const NAMED: usize = 20;
/// Sessions named in one row.
const SESSIONS: usize = 8;
/// Reasons shown beside a session; alert records have all of them.
const REASONS: usize = 4;
/// Width of the labels at the left.
const LABEL: usize = 11;

/// Which alerts.
type Wanted<'f> = &'f dyn Fn(&AlertRecord) -> bool;

/// The answer in one sentence, then a row for each rule that fired, the gravest first, and for each that is not determinable or
/// excepted.
pub(super) fn top(
    page: &mut Page<'_>,
    rules: usize,
    sessions: usize,
    alerts: &[AlertRecord],
) -> io::Result<()> {
    let (tone, sentence) = answer(rules, sessions, alerts);
    page.paragraph(0, &(tone, sentence))?;
    let rows = rows(alerts);
    for row in rows.iter().take(NAMED) {
        let Some(first) = row.first() else { continue };
        page.labelled(2, &label(first), LABEL, &plain(row_words(first, row)))?;
    }
    let more = rows.len().saturating_sub(NAMED);
    if more > 0 {
        page.line(2, &[dim(format!("and {more} more, beside their sessions"))])?;
    }
    page.blank()
}

/// The alerts of one rule that came out alike, a row each: those that fired first, the gravest before the others.
fn rows(alerts: &[AlertRecord]) -> Vec<Vec<&AlertRecord>> {
    let kind = |alert: &AlertRecord| (!alert.fired, alert.severity, alert.state);
    let mut places = BTreeMap::new();
    let mut rows: Vec<Vec<&AlertRecord>> = Vec::new();
    for alert in alerts {
        let place = *places.entry((kind(alert), alert.rule.as_str())).or_insert(rows.len());
        match rows.get_mut(place) {
            Some(row) => row.push(alert),
            None => rows.push(vec![alert]),
        }
    }
    rows.sort_by_key(|row| row.first().map(|first| kind(first)));
    rows
}

/// `geofence (geofence.toml) fired in 2 sessions (s1, s391): 52.81.151.250 could hold ..`.
fn row_words(first: &AlertRecord, row: &[&AlertRecord]) -> String {
    let came_out = match first.state {
        State::Broken => "fired",
        State::NotDeterminable if first.fired => "fired, not determinable",
        State::NotDeterminable => "is not determinable",
        State::Excepted => "is excepted",
    };
    let mut names: Vec<&str> = row.iter().take(SESSIONS).map(|alert| alert.session_id.as_str()).collect();
    let more = format!("and {} more", row.len().saturating_sub(SESSIONS));
    if row.len() > SESSIONS {
        names.push(&more);
    }
    let of_sessions = noun(row.len(), "session");
    format!(
        "{} ({}) {came_out} in {} {of_sessions} ({}): {}",
        first.rule,
        first.policy,
        row.len(),
        names.join(", "),
        first.text
    )
}

/// `Policy: 2 of 3 rules fired, in 1 of 4 sessions; ..`.
pub(in super::super) fn answer(rules: usize, sessions: usize, alerts: &[AlertRecord]) -> (Tone, String) {
    let distinct = |wanted: Wanted<'_>, of: fn(&AlertRecord) -> &str| {
        let found = alerts.iter().filter(|alert| wanted(alert)).map(of);
        found.collect::<std::collections::BTreeSet<_>>().len()
    };
    let fired = |alert: &AlertRecord| alert.fired;
    let open = |alert: &AlertRecord| !alert.fired && alert.state == State::NotDeterminable;
    let excepted = |alert: &AlertRecord| alert.state == State::Excepted;
    let count = distinct(&fired, |alert| &alert.rule);
    if sessions == 0 {
        let text =
            format!("Policy: nothing to judge: no session was seen ({rules} {}).", noun(rules, "rule"));
        return (Tone::Warn, text);
    }
    let over = format!("{sessions} {}", noun(sessions, "session"));
    let mut text = if count == 0 {
        format!("Policy: no rule fired ({rules} {} over {over})", noun(rules, "rule"))
    } else {
        let hit = distinct(&fired, |alert| &alert.session_id);
        format!("Policy: {count} of {rules} {} fired, in {hit} of {over}", noun(rules, "rule"))
    };
    let kinds: [(Wanted<'_>, &str); 2] = [(&open, "could not be determined"), (&excepted, "excepted")];
    for (wanted, words) in kinds {
        let sessions = distinct(wanted, |alert| &alert.session_id);
        if sessions > 0 {
            let rules = distinct(wanted, |alert| &alert.rule);
            let (of_rules, of_sessions) = (noun(rules, "rule"), noun(sessions, "session"));
            let _ = write!(text, "; {rules} {of_rules} {words} in {sessions} {of_sessions}");
        }
    }
    text.push('.');
    let tone = if alerts.iter().any(|alert| alert.fired && alert.severity == Severity::High) {
        Tone::Alarm
    } else if count > 0 || alerts.iter().any(|alert| open(alert) || excepted(alert)) {
        Tone::Warn
    } else {
        Tone::Good
    };
    (tone, text)
}

fn noun(count: usize, word: &str) -> String {
    format!("{word}{}", if count == 1 { "" } else { "s" })
}

fn label(alert: &AlertRecord) -> (Tone, String) {
    match (alert.state, alert.severity) {
        (State::Excepted, _) => (Tone::Dim, "excepted".to_owned()),
        (_, Severity::High) => (Tone::Alarm, "POLICY".to_owned()),
        (_, Severity::Notice) => (Tone::Warn, "policy".to_owned()),
    }
}

/// The alerts of one session, with their reasons.
pub(super) fn beside(page: &mut Page<'_>, alerts: &[&AlertRecord]) -> io::Result<()> {
    for alert in alerts {
        let state = match alert.state {
            State::Broken => "is broken",
            State::NotDeterminable => "is not determinable",
            State::Excepted => "is excepted",
        };
        let head =
            format!("rule {} ({}, line {}) {state}: {}", alert.rule, alert.policy, alert.line, alert.title);
        page.labelled(2, &label(alert), LABEL, &plain(head))?;
        for reason in alert.reasons.iter().take(REASONS) {
            let mut text = reason.text.clone();
            if let Some(packet) = reason.packets.first() {
                let _ = write!(text, " (packet {})", packet.words());
            }
            page.labelled(2, &plain(""), LABEL, &plain(text))?;
        }
        let more = alert.reasons.len().saturating_sub(REASONS);
        if more > 0 {
            page.labelled(
                2,
                &plain(""),
                LABEL,
                &dim(format!("and {more} more reasons in the alert record")),
            )?;
        }
        for exception in &alert.exceptions {
            let ended = if exception.expired { "ended on" } else { "stands until" };
            let text = format!("an exception {ended} {}: {}", exception.until, exception.reason);
            page.labelled(2, &plain(""), LABEL, &dim(text))?;
        }
    }
    if let Some(alert) = alerts.iter().find(|alert| alert.asks_for_participants) {
        page.labelled(2, &plain(""), LABEL, &dim(alert.participants_note.to_owned()))?;
    }
    if alerts.is_empty() { Ok(()) } else { page.blank() }
}
