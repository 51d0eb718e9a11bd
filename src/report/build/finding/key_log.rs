//! Where a key log was given and did not open a session's signalling: what is missing, and of which server.

use std::collections::BTreeMap;

use super::super::super::record::{Finding, Severity};
use super::super::protocol::missing;
use super::super::session::flows;
use super::super::{Context, count};
use crate::keys::Analysis;
use crate::observe::PacketRef;
use crate::observe::facts::{Facts, Missing};
use crate::session::{Judged, Session};

/// Servers named in one sentence.
const NAMED: usize = 4;

/// One finding for each thing that is missing.
pub(super) fn key_log_gaps(context: &Context<'_>, analysis: &Analysis, session: &Session) -> Vec<Finding> {
    let mut gaps: BTreeMap<Missing, Vec<(String, PacketRef)>> = BTreeMap::new();
    for judged in flows(analysis, session) {
        let Some(facts) = judged.flow.facts.as_deref() else { continue };
        let Some(missing) = facts.opened.as_ref().and_then(|opened| opened.missing) else { continue };
        gaps.entry(missing).or_default().push(place(judged, facts));
    }
    gaps.into_iter()
        .map(|(what, places)| {
            let packets: Vec<PacketRef> = places.iter().map(|(_, packet)| *packet).collect();
            let (text, packets) = (sentence(context, what, &places), context.packets(&packets));
            Finding { id: "key_log_gap", severity: Severity::Notice, text, packets }
        })
        .collect()
}

/// `not opened: the TLS session with 192.0.2.1 (a.example), packet 7: the key log has no secret for it`.
fn sentence(context: &Context<'_>, what: Missing, places: &[(String, PacketRef)]) -> String {
    let named: Vec<String> = places
        .iter()
        .take(NAMED)
        .map(|(place, packet)| match context.seen(*packet) {
            None => place.clone(),
            Some(packet) => format!("{place}, packet {}", packet.words()),
        })
        .collect();
    let more = match places.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {} more", count(more)),
    };
    let is_part =
        matches!(what, Missing::PartOfSecret | Missing::Gap | Missing::Renegotiation | Missing::Cap);
    let verb = if is_part { "not wholly opened" } else { "not opened" };
    format!("{verb}: {}{more}: {}", named.join("; "), missing(what))
}

/// `the TLS session with 192.0.2.1 (a.example)`, and the packet that shows it.
fn place(judged: &Judged, facts: &Facts) -> (String, PacketRef) {
    let server = judged.sides().remote.ip();
    let tls = facts.tls.as_deref();
    let kind = if facts.dtls.is_some() {
        "DTLS handshake"
    } else if facts.quic.is_some() {
        "QUIC connection"
    } else {
        "TLS session"
    };
    let name = tls.and_then(|tls| tls.asked_name());
    let text = match name {
        Some(name) => format!("the {kind} with {server} ({name})"),
        None => format!("the {kind} with {server}"),
    };
    let hello = tls.and_then(|tls| tls.client_hello.or(tls.server_hello));
    let hello = hello.or_else(|| facts.dtls.as_ref().map(|dtls| dtls.packet));
    (text, hello.unwrap_or(judged.flow.first_packet))
}
