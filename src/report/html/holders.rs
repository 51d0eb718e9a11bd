//! Who could hold the media key: the answer of a session's page, each with its reason, its source and its packets.

use super::super::record::{HandshakeRecord, HolderRecord, KeysRecord, SessionRecord, WitnessRecord};
use super::super::text::holders::{delivery_words, method_words, opened, spread, tried_words, unless};
use super::super::text::session::percent;
use super::markup::Html;
use super::words;
use crate::keys::CouldHold;

/// Holders shown of a session; its record has all of them.
const SHOWN: usize = 24;
/// Of those that could not, or of which it cannot be told.
const OTHERS: usize = 12;
/// Flows whose keying is shown.
const FLOWS: usize = 12;

/// The part of a session's page.
pub(super) fn write(html: &mut Html, record: &SessionRecord) {
    let keys = &record.keys;
    // Media that is not encrypted has no key.
    let plain = words::is_plain(record);
    html.raw(if plain {
        "<h3>Who could read the media</h3>"
    } else {
        "<h3>Who could hold the media key</h3>"
    });
    html.raw("<dl class=\"facts\">");
    html.pair(
        if plain { "Protection" } else { "How keys arose" },
        &format!("{}; {}", method_words(keys.method), keys.why),
    );
    html.pair("By", &keys.source);
    if !keys.ciphers.is_empty() {
        html.pair("Cipher", &format!("{}, by the documents of that day", keys.ciphers.join(" or ")));
    }
    if let Some(known) = keys.end_to_end.as_ref().filter(|_| keys.unless_end_to_end) {
        html.pair("Unless", &unless(known));
    }
    if let Some(tried) = keys.tried.as_ref().filter(|_| keys.witness.is_empty()) {
        html.pair("Keys tried", &tried_words(tried));
    }
    html.raw("</dl>");
    for found in keys.witness.iter().take(OTHERS) {
        witness(html, found);
    }
    if keys.holders.is_empty() {
        html.raw("<p class=\"note\">No server was seen.</p>");
    } else {
        table(html, keys, plain);
    }
    flows(html, keys);
}

fn witness(html: &mut Html, found: &WitnessRecord) {
    html.raw("<div class=\"witness\"><span class=\"chip high\">\u{25c6} key seen</span> ");
    let name = found.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    html.say(format_args!(
        "{} {} port {}{name}, {}; {}, opens {}",
        delivery_words(found.delivery),
        found.ip,
        found.port,
        found.place,
        found.cipher,
        found.streams.iter().map(opened).collect::<Vec<_>>().join(", ")
    ));
    html.raw(" ");
    html.packets(&[found.packet]);
    html.raw("</div>");
}

fn table(html: &mut Html, keys: &KeysRecord, plain: bool) {
    html.stack(
        if plain {
            "Servers and whether they could read the media"
        } else {
            "Servers and whether they could hold the key"
        },
        &["Answer", "Server", "Why", "Where and under whose law"],
        |html| {
            for (answer, most) in
                [(CouldHold::Yes, SHOWN), (CouldHold::Unknown, OTHERS), (CouldHold::No, OTHERS)]
            {
                let alike = || keys.holders.iter().filter(move |holder| holder.could_hold == answer);
                for holder in alike().take(most) {
                    row(html, holder, &keys.source, plain);
                }
                let more = alike().count().saturating_sub(most);
                if more > 0 {
                    html.raw("<tr><td>");
                    words::could_hold(html, answer, plain);
                    html.raw("</td>");
                    html.word("td", "dim", &format!("and {more} more, in the session record"));
                    html.raw("<td></td><td></td></tr>");
                }
            }
        },
    );
}

fn row(html: &mut Html, holder: &HolderRecord, source: &str, plain: bool) {
    html.raw("<tr><td>");
    words::could_hold(html, holder.could_hold, plain);
    if holder.could_hold == CouldHold::Yes {
        html.word("small", "sure", &format!("{} sure", percent(holder.confidence)));
    }
    html.raw("</td><td class=\"who\">").cut().raw("<b>").text(&holder.ip).raw("</b>");
    if let Some(port) = holder.port {
        html.say(format_args!(" port {port}"));
    }
    if let Some(name) = holder.name.as_ref().filter(|name| **name != holder.ip) {
        html.raw("<br>").text(name);
    }
    html.cut().raw("</td><td>").cut().text(&holder.why);
    if holder.source != source && holder.source != "the capture alone" {
        html.raw(" <small>(").text(&holder.source).raw(")</small>");
    }
    html.cut();
    if let Some(network) = holder.front_end.as_ref() {
        html.raw("<br>").say(format_args!(
            "An entry of {network}\u{2019}s network: {} is not visible.",
            if plain { "who reads behind it" } else { "where the key would lie behind it" }
        ));
    }
    if let Some(text) = holder.software.as_ref().and_then(spread) {
        html.raw("<br>").word("small", "", &text);
    }
    html.raw("<div>");
    html.packets(&holder.packets);
    if let Some(before) = holder.before_media_s {
        html.raw(" <small>first contacted ").cut().say(format_args!("{before:.1}")).cut();
        html.raw(" s before the first media packet</small>");
    }
    html.raw("</div></td><td>");
    super::places::brief(html, &holder.place);
    html.raw("</td></tr>").cut();
}

/// Media flows one by one, with the handshakes that made their keys.
fn flows(html: &mut Html, keys: &KeysRecord) {
    if keys.flows.is_empty() {
        return;
    }
    html.fold("Keying of each media flow", |html| {
        html.table("Keying of each media flow", &["Flow", "With", "How", "What shows it"], |html| {
            for flow in keys.flows.iter().take(FLOWS) {
                html.raw("<tr>");
                let alike = if flow.flows > 1 {
                    format!(" and {} alike", flow.flows.saturating_sub(1))
                } else {
                    String::new()
                };
                html.word("td", "", &format!("{}{alike}", flow.flow_id));
                html.word("td", "", &flow.remote);
                html.word("td", "", method_words(flow.method));
                html.raw("<td>").cut().text(&flow.why).cut().raw(" ");
                html.packets(flow.packet.as_slice());
                if let Some(made) = &flow.handshake {
                    let parts = [
                        made.version.clone(),
                        made.profile.clone(),
                        dtls_server(made),
                        made.server_certificate.as_ref().map(|sum| format!("its certificate SHA-256 {sum}")),
                        made.client_certificate.as_ref().map(|sum| format!("the client\u{2019}s {sum}")),
                    ];
                    html.raw("<br>");
                    html.word("small", "wrap", &parts.into_iter().flatten().collect::<Vec<_>>().join("; "));
                }
                html.raw("</td></tr>");
            }
        });
        let more = keys
            .flows
            .len()
            .saturating_sub(FLOWS)
            .saturating_add(usize::try_from(keys.flows_left_out).unwrap_or(0));
        if more > 0 {
            html.word("p", "note", &format!("and {more} more, in the session record"));
        }
    });
}

/// Which end was the DTLS server.
fn dtls_server(made: &HandshakeRecord) -> Option<String> {
    let relay = made.behind_relay.as_ref();
    match (&made.server, made.server_is) {
        (Some(server), Some("remote")) => Some(match relay {
            Some(relay) => format!("DTLS server {server} behind the relay {relay}"),
            None => format!("DTLS server {server}"),
        }),
        (Some(server), _) => Some(format!("DTLS server {server}")),
        (None, Some(_)) => relay.map(|relay| format!("DTLS server: somebody behind the relay {relay}")),
        (None, None) => None,
    }
}
