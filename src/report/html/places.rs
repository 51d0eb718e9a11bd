//! Where servers are placed and whose law reaches them. In: a session's record. Out: the jurisdictions with their reasons, and the
//! servers one by one. Three facts stay three: the place, the network, the service.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::build::{could_hold, parts};
use super::super::record::{AgainstRecord, DistanceRecord, PlaceRecord, ServerRecord, SessionRecord};
use super::super::text::basis_word;
use super::super::text::session::bytes;
use super::markup::Html;
use super::words;
use crate::geo::{Basis, Country, Exposure};

/// Servers shown of a session; its record has all of them.
const SERVERS: usize = 40;
/// Hints shown of one server.
const HINTS: usize = 4;
/// Kilometres to the far side of the earth: a bound beyond that says nothing.
const ANTIPODES: u32 = 20_000;
/// Servers named behind one reason.
const NAMED: usize = 4;

/// Place and law of a server, in a cell.
pub(super) fn brief(html: &mut Html, place: &PlaceRecord) {
    words::placed(html, &place.located_in);
    if let Some(network) = &place.operated_by {
        html.raw("<br>").word("small", "", &network.sentence());
    }
    // Who may run it anywhere, as SIP, has no home.
    let operator = place.service_operator.as_ref();
    if let Some(operator) = operator.filter(|operator| !operator.home_jurisdiction.is_empty()) {
        html.raw("<br>").word(
            "small",
            "",
            &format!(
                "service of {}, at home in {}",
                operator.name,
                words::country(&operator.home_jurisdiction)
            ),
        );
    }
    for hint in place.hints.iter().take(HINTS) {
        html.raw("<br>").word("small", "", &hint.sentence());
        html.raw(" ");
        html.packets(hint.packet.as_slice());
    }
    let more = place.hints.len().saturating_sub(HINTS);
    if more > 0 {
        html.raw("<br>").word("small", "", &format!("and {more} more hints, in the session record"));
    }
    if let Some(found) = &place.distance {
        distance(html, found);
    }
}

/// How far away a server can be, and the places that this contradicts; nothing where it could be anywhere on earth.
fn distance(html: &mut Html, found: &DistanceRecord) {
    if found.km_at_most > ANTIPODES && found.contradicts.is_empty() && found.incompatible.is_empty() {
        return;
    }
    html.raw("<br><small>").cut().say(format_args!("answered in {}", found.times())).cut();
    html.raw(": no farther than ").cut().say(format_args!("{} km", found.km_at_most)).cut();
    html.raw(" from the capture point</small> ");
    html.packets(&[found.asked, found.packet]);
    let claims = [
        (&found.contradicts, "timing contradicts"),
        (&found.incompatible, "cannot be right together with another place"),
    ];
    for (list, word) in claims {
        for claim in list {
            html.raw("<br>")
                .cut()
                .raw("<span class=\"chip notice\">\u{25cf} ")
                .raw(word)
                .raw("</span> <small>")
                .cut();
            let against: Vec<String> = claim.by.iter().map(|other| against(html, other)).collect();
            html.say(format_args!(
                "{} of {}: {}, at least {} km from what it is held against, where the answers allow {} km ({})",
                claim.source,
                claim.date,
                super::super::build::country(claim.country),
                claim.km_at_least,
                claim.km_at_most,
                against.join("; ")
            ));
            html.cut().raw("</small>");
        }
    }
}

/// `203.0.113.7, in DE by database X of D`.
fn against(html: &Html, other: &AgainstRecord) -> String {
    let who = other.ip.as_deref().unwrap_or("the capture point");
    let packet =
        other.packet.as_ref().map(|packet| format!(", {}", html.packet_words(std::slice::from_ref(packet))));
    format!("{who}, placed in {} by {}{}", other.country.code(), other.source, packet.unwrap_or_default())
}

/// Every jurisdiction that reaches a server of the session, with each reason.
pub(super) fn jurisdictions(html: &mut Html, record: &SessionRecord) {
    let mut reached: BTreeMap<&str, Vec<(&Exposure, Vec<&ServerRecord>)>> = BTreeMap::new();
    let keys = &record.keys;
    let could = could_hold(&keys.holders);
    let has_part = |server: &&ServerRecord| !parts(server, keys.method, &could).is_empty();
    for server in record.servers.iter().filter(has_part) {
        for exposure in &server.place.exposure {
            let reasons = reached.entry(&exposure.jurisdiction).or_default();
            match reasons.iter_mut().find(|(known, _)| *known == exposure) {
                Some((_, servers)) => servers.push(server),
                None => reasons.push((exposure, vec![server])),
            }
        }
    }
    if reached.is_empty() {
        return;
    }
    html.raw("<h3>Jurisdictions that reach its servers</h3>");
    html.stack(
        "Jurisdictions with their reasons",
        &["Jurisdiction", "Reason", "Servers", "Source and date"],
        |html| {
            for (code, mut reasons) in reached {
                reasons.sort_by_key(|(exposure, _)| exposure.basis);
                for (place, (exposure, servers)) in reasons.iter().enumerate() {
                    html.raw("<tr>");
                    html.word("th", "", &if place == 0 { words::country(code) } else { String::new() });
                    html.raw("<td>").cut().raw("<b>").raw(basis_word(exposure.basis)).raw("</b>: ");
                    html.text(&exposure.reason);
                    let mut named = servers
                        .iter()
                        .map(|server| server.ip.as_str())
                        .take(NAMED)
                        .collect::<Vec<_>>()
                        .join(", ");
                    refuted(html, code, exposure, servers);
                    html.cut().raw("</td>");
                    let more = servers.len().saturating_sub(NAMED);
                    if more > 0 {
                        let _ = write!(named, " and {more} more");
                    }
                    html.word("td", "", &named);
                    html.word("td", "", &format!("{} of {}", exposure.source, exposure.date));
                    html.raw("</tr>").cut();
                }
            }
        },
    );
    html.raw("<p class=\"note\">Informational, not legal advice. That a law reaches a server does not show that it was used.</p>");
}

/// Says of which servers the time of their answers contradicts that they are there.
fn refuted(html: &mut Html, code: &str, exposure: &Exposure, servers: &[&ServerRecord]) {
    let Some(country) = Country::parse(code).filter(|_| exposure.basis == Basis::LocatedIn) else { return };
    let those: Vec<&str> = servers
        .iter()
        .filter(|server| server.place.is_refuted(country))
        .map(|server| server.ip.as_str())
        .collect();
    if those.is_empty() {
        return;
    }
    html.raw(" <span class=\"chip notice\">\u{25cf} timing contradicts</span> <small>");
    html.say(format_args!(
        "the time of answers contradicts that {}",
        those.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ")
    ));
    let more = those.len().saturating_sub(NAMED);
    if more > 0 {
        html.say(format_args!(" and {more} more"));
    }
    html.raw(if those.len() == 1 { " is there</small>" } else { " are there</small>" });
}

/// All servers of a session, in the order of first contact.
pub(super) fn servers(html: &mut Html, record: &SessionRecord) {
    if record.servers.is_empty() {
        return;
    }
    let title = format!("{}, in the order of first contact", words::counted(record.servers.len(), "server"));
    html.fold(&title, |html| {
        html.table(
            "Servers in the order of first contact",
            &["Server", "Role", "Ports", "#Bytes", "Place, network, service", "First packet"],
            |html| {
                for server in record.servers.iter().take(SERVERS) {
                    row(html, server);
                }
            },
        );
        let more = record.servers.len().saturating_sub(SERVERS);
        if more > 0 {
            html.word("p", "note", &format!("and {more} more, in the session record"));
        }
    });
}

fn row(html: &mut Html, server: &ServerRecord) {
    html.raw("<tr><td class=\"who\">").cut().raw("<b>").text(&server.ip).raw("</b>");
    if let Some(name) = server.name.as_ref().filter(|name| **name != server.ip) {
        html.raw("<br>").text(name);
    }
    if let Some(relay) = &server.behind_relay {
        html.raw("<br><small>behind relay ").text(relay).raw("</small>");
    }
    html.raw("</td>");
    html.word("td", "", &server.role_words(", "));
    let mut ports = server.ports.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if server.ports.len() > 3 {
        ports.push_str(", ..");
    }
    html.word("td", "", &ports);
    let size = if server.is_counted_at_relay() { "-".to_owned() } else { bytes(server.bytes) };
    html.word("td", "n", &size);
    html.raw("<td>");
    brief(html, &server.place);
    html.raw("</td><td>");
    html.word("small", "", words::clock(&server.first_contact));
    html.raw("<br>");
    html.packets(&[server.first_packet]);
    html.raw("</td></tr>").cut();
}
