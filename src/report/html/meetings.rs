//! Meetings: sessions that belong together, what joined them, whose law reaches them. In: meeting records. Out: markup.

use std::collections::BTreeSet;

use super::super::record::{MeetingJurisdiction, MeetingRecord, SessionRecord};
use super::super::text::basis_word;
use super::super::text::session::percent;
use super::super::text::summary::app_word;
use super::markup::Html;
use super::words;
use crate::keys::CouldHold;

/// Meetings shown; the records have all of them.
const SHOWN: usize = 100;
/// Reasons, endpoints and servers shown of one.
const REASONS: usize = 12;
const ENDPOINTS: usize = 24;
const SERVERS: usize = 6;

/// The section.
pub(super) fn write(html: &mut Html, meetings: &[MeetingRecord], sessions: &[SessionRecord]) {
    let plain: BTreeSet<&str> = sessions
        .iter()
        .filter(|session| words::is_plain(session))
        .map(|session| session.session_id.as_str())
        .collect();
    if meetings.is_empty() {
        return;
    }
    html.raw("<section id=\"meetings\" aria-labelledby=\"meetings-h\"><h2 id=\"meetings-h\">Meetings</h2>");
    html.raw("<p class=\"note\">Sessions that evidence joins. Others may have taken part and not be seen here.</p>");
    for meeting in meetings.iter().take(SHOWN) {
        card(html, meeting, &plain);
    }
    let more = meetings.len().saturating_sub(SHOWN);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more, in the meeting records"));
    }
    html.raw("</section>");
}

/// One meeting, closed until it is asked for; `plain` are the sessions whose media has no key.
pub(super) fn card(html: &mut Html, meeting: &MeetingRecord, plain: &BTreeSet<&str>) {
    html.raw("<details class=\"card\"").attr("id", &meeting.meeting_id).raw("><summary><span class=\"sid\">");
    html.text(&meeting.meeting_id)
        .raw("</span> <b>")
        .text(&app_word(meeting.app.as_deref()))
        .raw("</b> <span class=\"dim\">");
    html.say(format_args!(
        "{}, {} participants seen, {} UTC, {}, {} sure",
        words::counted(meeting.sessions.len(), "session"),
        meeting.participants_seen,
        words::day_and_clock(&meeting.start),
        words::length(meeting.duration_s),
        percent(meeting.confidence)
    ));
    html.raw("</span></summary><div class=\"inner\">");
    one(html, meeting, plain);
    html.raw("</div></details>");
}

fn one(html: &mut Html, meeting: &MeetingRecord, plain: &BTreeSet<&str>) {
    html.raw("<p>Endpoints: ");
    for (place, end) in meeting.endpoints.iter().take(ENDPOINTS).enumerate() {
        html.raw(if place == 0 { "" } else { ", " }).text(&end.ip).raw(" (<a");
        html.attr("href", &format!("#{}", end.session_id)).raw(">").text(&end.session_id).raw("</a>)");
    }
    let more = meeting.endpoints.len().saturating_sub(ENDPOINTS);
    if more > 0 {
        html.say(format_args!(" and {more} more"));
    }
    html.raw("</p>");
    let heads = ["#Sure alone", "Sessions", "Reason", "Value", "Packets"];
    html.table("What joined the sessions", &heads, |html| {
        for joint in meeting.joined_by.iter().take(REASONS) {
            html.raw("<tr>");
            html.word("td", "n", &format!("{:.2}", joint.confidence));
            html.word("td", "", &joint.sessions.join(", "));
            html.word("td", "", joint.what);
            html.word("td", "wrap", &joint.value);
            html.raw("<td>");
            html.packets(&joint.packets);
            html.raw("</td></tr>");
        }
    });
    if !meeting.jurisdictions.is_empty() {
        html.table(
            "Jurisdictions that reach its servers",
            &["Jurisdiction", "Servers and reasons"],
            |html| {
                for reached in &meeting.jurisdictions {
                    jurisdiction(html, reached, plain);
                }
            },
        );
    }
}

fn jurisdiction(html: &mut Html, reached: &MeetingJurisdiction, plain: &BTreeSet<&str>) {
    html.raw("<tr><th scope=\"row\">").text(&words::country(&reached.jurisdiction)).raw("</th><td>");
    let mut servers: Vec<_> = reached.added_by.iter().collect();
    servers.sort_by_key(|server| server.could_hold != Some(CouldHold::Yes));
    for (place, server) in servers.iter().take(SERVERS).enumerate() {
        let words: Vec<&str> = server.basis.iter().map(|basis| basis_word(*basis)).collect();
        html.raw(if place == 0 { "" } else { "; " });
        html.say(format_args!("{} ({})", server.ip, words.join(", ")));
        if server.could_hold == Some(CouldHold::Yes) {
            let no_key = server.sessions.iter().all(|session| plain.contains(session.as_str()));
            html.raw(if no_key { " \u{25c7} could read the media" } else { " \u{25c6} could hold the key" });
        }
    }
    let more = servers.len().saturating_sub(SERVERS);
    if more > 0 {
        html.say(format_args!(" and {more} more"));
    }
    html.raw("</td></tr>");
}
