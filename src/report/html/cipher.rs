//! What the ciphertext shows, with its figures, and how signalling was protected. In: a session's record. Out: markup.

use super::super::record::{SessionCipherRecord, SessionRecord, SignallingRecord};
use super::super::text::session::cipher_heading;
use super::markup::Html;
use super::words;
use crate::keys::cipher::CipherVerdict;

/// Connections shown; the record has more.
const CONNECTIONS: usize = 16;

/// The sign of a verdict.
pub(super) fn chip(html: &mut Html, verdict: CipherVerdict) {
    let class = match verdict {
        CipherVerdict::EcbConfirmed
        | CipherVerdict::EcbVeryLikely
        | CipherVerdict::EcbSuspicious
        | CipherVerdict::NotEncrypted => "high",
        CipherVerdict::BeginsInClear => "notice",
        // Nothing that lengths and repeats show makes media safe: no verdict has the colour of good news.
        CipherVerdict::AeadFraming
        | CipherVerdict::StreamLengths
        | CipherVerdict::NoEcbEvidence
        | CipherVerdict::Inconclusive => "plain",
    };
    html.cut().raw("<span class=\"chip ").raw(class).raw("\">");
    html.raw(match class {
        "high" => "\u{25b2} ",
        "notice" => "\u{25cf} ",
        _ if verdict == CipherVerdict::Inconclusive => "? ",
        _ => "",
    });
    html.text(short(verdict)).raw("</span>").cut();
}

/// A verdict in few words.
pub(super) const fn short(verdict: CipherVerdict) -> &'static str {
    match verdict {
        CipherVerdict::NoEcbEvidence => "ECB not detected",
        CipherVerdict::StreamLengths => "lengths of no padded block cipher",
        CipherVerdict::AeadFraming => "AEAD framing",
        CipherVerdict::BeginsInClear => "begins in the clear",
        CipherVerdict::EcbConfirmed
        | CipherVerdict::EcbVeryLikely
        | CipherVerdict::EcbSuspicious
        | CipherVerdict::NotEncrypted
        | CipherVerdict::Inconclusive => verdict.words(),
    }
}

/// The part of a session's page.
pub(super) fn write(html: &mut Html, record: &SessionRecord) {
    let Some(cipher) = &record.cipher else { return };
    html.raw("<h3>").raw(cipher_heading(cipher.evidence.verdict)).raw("</h3><p>");
    chip(html, cipher.evidence.verdict);
    html.raw(" ").cut().text(&cipher.evidence.text).cut().raw("</p>");
    html.packets(&cipher.evidence.packets);
    let streams: Vec<String> =
        cipher.by_verdict.iter().map(|(verdict, count)| format!("{count} {}", verdict.words())).collect();
    html.word("p", "note", &format!("Streams: {}", streams.join(", ")));
    // Where media is plain there is no cipher whose blocks could come again.
    if cipher.evidence.verdict == CipherVerdict::NotEncrypted {
        return;
    }
    html.fold("Figures behind it", |html| figures(html, cipher));
}

fn figures(html: &mut Html, cipher: &SessionCipherRecord) {
    let found = &cipher.evidence;
    html.raw("<dl class=\"facts\">");
    html.pair(
        "Likelihood ratio, ECB against artefacts",
        &format!("10^{} (log10_lr {:.1})", found.log10_lr.round(), found.log10_lr),
    );
    if let Some(parts) = &found.parts {
        html.pair(
            "Made of, as decimal logarithms",
            &format!(
                "independent repeats {:.1}, block grid {:.1}, constant unit {:.1}, lengths {:.1}",
                parts.clusters, parts.grid, parts.constant_unit, parts.lengths
            ),
        );
    }
    html.pair("Blocks tested", &found.blocks_tested.to_string());
    let power = found.expected_repeats.map_or_else(
        || "lengths give no lower bound".to_owned(),
        |expected| format!("at least {expected:.1}"),
    );
    html.pair("Repeats to expect under ECB (power)", &power);
    html.pair(
        "Repeats that survived all exclusions",
        &format!(
            "{} of {}, {} set aside",
            found.repeats,
            words::counted(usize::try_from(found.clusters).unwrap_or(0), "block"),
            found.set_aside
        ),
    );
    if let Some(chance) = found.log10_chance {
        html.pair("Chance of as many under any other mode", &format!("at most 10^{}", chance.round()));
    }
    html.pair(
        "Units",
        &format!(
            "{} whole, {} dropped for want of a packet, {} copies left out",
            found.units, found.units_dropped, found.copies
        ),
    );
    html.pair(
        "Of whole blocks / with nonce and tag",
        &format!("{} / {}", found.units_blocks, found.units_aead),
    );
    html.pair(
        "Packets left out",
        &format!("{} (padded, cut short, second copies, FEC)", found.packets_excluded),
    );
    html.pair(
        "Sampled",
        &format!("every block in {:.1} % of the units, in the others the last one", found.sampled * 100.0),
    );
    if found.nonces > 0 {
        html.pair(
            "Nonces",
            &format!("{} compared, {} sealed another ciphertext before", found.nonces, found.nonces_reused),
        );
    }
    html.raw("</dl>");
}

/// TLS, QUIC and DTLS connections of a session.
pub(super) fn connections(html: &mut Html, record: &SessionRecord) {
    if record.signalling.is_empty() {
        return;
    }
    html.fold("How connections were protected", |html| {
        let heads = ["Server", "Version", "Cipher suite", "Group", "Certificate", "#Times", "Packet"];
        html.table("Connections in the order of their first packets", &heads, |html| {
            for one in record.signalling.iter().take(CONNECTIONS) {
                connection(html, one);
            }
        });
        let more = record.signalling.len().saturating_sub(CONNECTIONS);
        let more = more.saturating_add(usize::try_from(record.signalling_left_out).unwrap_or(0));
        if more > 0 {
            html.word("p", "note", &format!("and {more} more, in the session record"));
        }
    });
}

fn connection(html: &mut Html, one: &SignallingRecord) {
    let dash = || "-".to_owned();
    html.raw("<tr><td class=\"who\">")
        .cut()
        .raw("<b>")
        .say(format_args!("{} port {}", one.ip, one.port))
        .raw("</b>");
    if let Some(name) = &one.sni {
        html.raw("<br>").text(name);
    }
    if let Some(relay) = &one.behind_relay {
        html.raw("<br>").say(format_args!("behind the relay {relay}"));
    }
    html.raw("</td>").cut();
    let chosen = if one.version_chosen { "" } else { " (offered)" };
    html.word("td", "", &one.version.as_ref().map_or_else(dash, |version| format!("{version}{chosen}")));
    html.word("td", "", one.cipher.as_deref().unwrap_or("-"));
    html.word("td", "", one.group.as_deref().unwrap_or("-"));
    html.raw("<td>").cut();
    match &one.certificate {
        None => {
            html.raw("not in the clear");
        }
        Some(shown) => {
            let bits = shown.key_bits.map(|bits| format!(" {bits}")).unwrap_or_default();
            html.text(shown.subject.as_deref().unwrap_or("no name")).raw("<br><small>");
            html.say(format_args!(
                "{}{bits} by {}, ",
                shown.key,
                shown.issuer.as_deref().unwrap_or("no issuer")
            ));
            html.say(format_args!(
                "{} to {}",
                shown.not_before.get(..10).unwrap_or("-"),
                shown.not_after.get(..10).unwrap_or("-")
            ));
            if shown.self_signed {
                html.raw(", self-signed");
            }
            html.raw("</small>");
        }
    }
    if !one.weak.is_empty() {
        html.raw("<br>").say(format_args!("weak: {}", one.weak.join(", ")));
    }
    html.raw("</td>").cut();
    html.word("td", "n", &one.connections.to_string());
    html.raw("<td>");
    html.packets(one.packet.as_slice());
    html.raw("</td></tr>").cut();
}
