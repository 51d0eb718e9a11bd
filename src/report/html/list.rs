//! The list of sessions: rows to be read without a script, and what a script sorts, filters and searches by. In: session records.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::record::SessionRecord;
use super::super::text::summary::app_word;
use super::cipher;
use super::markup::Html;
use super::words;
use crate::geo::Country;
use crate::keys::CouldHold;

/// Rows that stand in the page itself.
pub(super) const ROWS: usize = 100;
/// Servers whose names can be searched for, of one session.
const SEARCHED: usize = 64;

/// Heads of the columns with the key that a script sorts by.
const COLUMNS: [(&str, &str, &str); 9] = [
    ("Severity", "sev", ""),
    ("Session", "id", ""),
    ("App", "app", ""),
    ("Could hold the key, or read", "cc", ""),
    ("Endpoint", "ip", "wide"),
    ("Begin, UTC", "at", "wide"),
    ("Length", "dur", "wide n"),
    ("Cipher of media", "cipher", "wide"),
    ("Loss", "loss", "wide n"),
];

/// The controls and the table with its first rows.
pub(super) fn write(html: &mut Html, sessions: &[&SessionRecord], left_out: usize) {
    html.raw("<section id=\"sessions\" aria-labelledby=\"sessions-h\"><h2 id=\"sessions-h\">Sessions</h2>");
    if sessions.is_empty() {
        html.raw("<p>No meeting was seen.</p></section>");
        return;
    }
    controls(html);
    html.raw("<p class=\"note\" id=\"f-count\" role=\"status\" aria-live=\"polite\">");
    html.say(format_args!("{}, the gravest first", words::counted(sessions.len(), "session")));
    if sessions.len() > ROWS {
        html.say(format_args!("; without a script the first {ROWS} are shown"));
    }
    html.raw("</p>");
    if left_out > 0 {
        html.raw("<p class=\"warn\">");
        html.say(format_args!(
            "{} are not in this file for its size; the records have them.",
            words::counted(left_out, "more session")
        ));
        html.raw("</p>");
    }
    head(html, &[]);
    for session in sessions.iter().take(ROWS) {
        html.raw("<tr>");
        row(html, session);
        html.raw("</tr>");
    }
    foot(html);
    html.raw("</section>");
}

/// What a script filters by.
pub(super) fn controls(html: &mut Html) {
    html.raw(
        "<form class=\"filters js\" role=\"search\" aria-label=\"Filter sessions\">\
         <label>Search <input type=\"search\" id=\"f-q\" placeholder=\"address, name, finding\" autocomplete=\"off\"></label>\
         <label>App <select id=\"f-app\"><option value=\"\">all</option></select></label>\
         <label>Severity <select id=\"f-sev\"><option value=\"\">all</option><option value=\"0\">High</option><option \
         value=\"1\">Notice</option><option value=\"2\">Nothing found</option></select></label>\
         <label>Who could hold or read, placed in <select id=\"f-cc\"><option value=\"\">all</option></select></label>\
         <label>Cipher <select id=\"f-cipher\"><option value=\"\">all</option></select></label>\
         <button type=\"reset\">Clear</button></form>",
    );
}

/// The table until its first row, with more columns behind its own.
pub(super) fn head(html: &mut Html, more: &[(&'static str, &'static str, &'static str)]) {
    html.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Sessions\"><table id=\"list\"><caption class=\"vh\">Sessions, one a row</caption><thead><tr>");
    for (head, key, class) in COLUMNS.iter().chain(more) {
        html.raw("<th scope=\"col\"")
            .attr("class", class)
            .attr("data-k", key)
            .raw(">")
            .raw(head)
            .raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
}

/// What is behind its last row.
pub(super) fn foot(html: &mut Html) {
    html.raw("</tbody></table></div><nav class=\"pages js\" aria-label=\"Pages of the list\" hidden></nav>");
}

/// Cells of one row.
pub(super) fn row(html: &mut Html, record: &SessionRecord) {
    html.raw("<td>");
    words::severity(html, words::gravest(record));
    html.raw("</td><th scope=\"row\"><a").attr("href", &format!("#{}", record.session_id)).raw(">");
    html.text(&record.session_id).raw("</a></th>");
    html.word("td", "", &app_word(record.app.as_deref()));
    html.raw("<td>").cut();
    holders(html, record);
    html.raw("</td>").cut();
    html.raw("<td class=\"wide\">").text(&record.endpoint.ip);
    if let Some(country) = record.endpoint.located_in.country {
        html.raw(" <small>").text(country.code()).raw("</small>");
    }
    html.raw("</td>");
    html.word("td", "wide nb", &words::day_and_clock(&record.start));
    html.word("td", "wide n", &words::length(record.duration_s));
    html.raw("<td class=\"wide\">");
    match &record.cipher {
        Some(found) => cipher::chip(html, found.evidence.verdict),
        None => {
            html.raw("<span class=\"dim\">-</span>");
        }
    }
    html.raw("</td>");
    html.word("td", "wide n", &loss(record).map_or_else(|| "-".to_owned(), |loss| format!("{loss:.2} %")));
}

/// The countries in which databases place those that could hold the key; else why there are none.
fn holders(html: &mut Html, record: &SessionRecord) {
    let able = record.keys.holders.iter().filter(|holder| holder.could_hold == CouldHold::Yes).count();
    let countries = countries(record);
    if able == 0 {
        let judged = !record.keys.holders.is_empty()
            && record.keys.holders.iter().all(|holder| holder.could_hold == CouldHold::No);
        html.raw(if judged { "none of those seen" } else { "<span class=\"dim\">not determinable</span>" });
        return;
    }
    let codes: Vec<&str> = countries.iter().copied().take(6).collect();
    if words::is_plain(record) {
        html.say(format_args!("{}", words::counted(able, "server"))).cut().raw(" could read the media");
    } else {
        html.say(format_args!("{}", words::counted(able, "server")));
    }
    if !codes.is_empty() {
        html.raw(" <small>placed in</small> <b>").text(&codes.join(" ")).raw("</b>");
    }
    let able = record.keys.holders.iter().filter(|holder| holder.could_hold == CouldHold::Yes);
    if able.into_iter().any(|holder| words::contradicted(&holder.place)) {
        html.raw(" <small>\u{2260} timing contradicts</small>");
    }
}

fn countries(record: &SessionRecord) -> BTreeSet<&str> {
    let able = record.keys.holders.iter().filter(|holder| holder.could_hold == CouldHold::Yes);
    able.filter_map(|holder| holder.place.located_in.country.as_ref().map(Country::code)).collect()
}

/// The worse way.
fn loss(record: &SessionRecord) -> Option<f64> {
    [record.media.sent.loss_percent, record.media.received.loss_percent]
        .into_iter()
        .flatten()
        .reduce(f64::max)
}

/// What a script needs of one session, beside its row and its body.
pub(super) fn keys(record: &SessionRecord) -> Value {
    json!({
        "id": record.session_id,
        "m": record.meeting_id,
        "app": app_word(record.app.as_deref()),
        "ip": record.endpoint.ip,
        "sev": words::rank(words::gravest(record)),
        "grave": words::grave(record),
        "found": record.findings.len(),
        "at": record.start.get(..23).unwrap_or(&record.start),
        "dur": record.duration_s,
        "cc": countries(record),
        "cipher": record.cipher.as_ref().map(|found| cipher::short(found.evidence.verdict)),
        "loss": loss(record),
    })
}

/// Words by which a session is found: addresses, names, findings.
pub(super) fn searched(html: &mut Html, record: &SessionRecord) {
    for finding in &record.findings {
        html.cut().raw(" ").raw(finding.id);
    }
    for address in &record.addresses {
        html.cut().raw(" ").text(&address.ip);
    }
    for server in record.servers.iter().take(SEARCHED) {
        html.cut().raw(" ").text(&server.ip).raw(" ").text(server.name.as_deref().unwrap_or_default());
    }
    html.cut();
}
