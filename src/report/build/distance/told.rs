//! Findings about places that packet timing contradicts, in words. In: a session's record. Out: findings, each with the answer
//! and the question that show it.

use std::fmt::Write as _;

use super::super::super::record::{
    ContradictedRecord, DistanceRecord, Finding, PlaceClaim, ServerRecord, SessionRecord, Severity,
};
use super::super::finding;
use crate::keys::CouldHold;

/// Places that timing contradicts, and pairs that cannot both be right.
///
/// Grave where the server could hold the key with more speaking for it than TLS, and is no front end: by its place it counts as
/// abroad, or as at home.
pub(in super::super) fn findings(record: &SessionRecord) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut undecided = Vec::new();
    for server in &record.servers {
        let Some(distance) = server.place.distance.as_deref() else { continue };
        if let Some(first) = distance.contradicts.first() {
            let holder = record.keys.holders.iter().find(|holder| holder.ip == server.ip);
            let is_grave = holder.is_some_and(|holder| {
                holder.could_hold == CouldHold::Yes
                    && holder.confidence >= finding::GRAVE
                    && holder.front_end.is_none()
            });
            found.push(Finding {
                id: "place_contradicted",
                severity: if is_grave { Severity::High } else { Severity::Notice },
                text: sentence(server, distance, first),
                packets: vec![distance.packet, distance.asked],
            });
        } else if let Some(first) = distance.incompatible.first() {
            undecided.push((server, distance, first));
        }
    }
    if let Some(answerer) = answerer(record, &found) {
        found = vec![answerer];
    }
    // One pair stands for all: which of them is wrong is not known, and one wrong place makes many pairs.
    if let Some((server, distance, pair)) = undecided.first() {
        let mut packets = vec![distance.packet, distance.asked];
        packets.extend(pair.by.iter().filter_map(|by| by.packet));
        let mut text = sentence(server, distance, pair);
        let others: Vec<&str> = undecided.iter().skip(1).map(|(server, ..)| server.ip.as_str()).collect();
        if !others.is_empty() {
            let _ = write!(text, "; of {} the same is to be said", finding::list(others.into_iter()));
        }
        found.push(Finding { id: "places_incompatible", severity: Severity::Notice, text, packets });
    }
    found
}

/// Servers contradicted from which on, where they are most of all, one cause is likelier than as many wrong places.
const ONE_CAUSE: usize = 4;

/// One finding for all, where most servers answered sooner than light comes to their places.
fn answerer(record: &SessionRecord, found: &[Finding]) -> Option<Finding> {
    let bounds = record.servers.iter().filter(|server| server.place.distance.is_some()).count();
    if found.len() < ONE_CAUSE || found.len().saturating_mul(2) <= bounds {
        return None;
    }
    let first = found.first()?;
    let text = format!(
        "{} of {bounds} servers answered sooner than light comes to where they are placed and back: something near the capture point \
         answers for them (a proxy, or the end of a VPN), so that timing says nothing of the servers themselves; the first: {}",
        found.len(),
        first.text
    );
    let packets =
        found.iter().flat_map(|finding| finding.packets.iter().copied()).take(finding::PACKETS).collect();
    Some(Finding { id: "place_contradicted", severity: Severity::Notice, text, packets })
}

/// What else the bound rests on, in brackets: the next quickest answer, and the step of the clock.
fn beside(distance: &DistanceRecord) -> String {
    let next = distance.next_rtt_ms.filter(|next| next.total_cmp(&distance.rtt_ms).is_ne());
    let next = next.map(|next| format!("the next quickest took {next} ms"));
    let step = distance.clock_step_ms.map(|step| format!("the clock may count in steps of {step} ms"));
    let words: Vec<String> = next.into_iter().chain(step).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join("; ")) }
}

fn sentence(server: &ServerRecord, distance: &DistanceRecord, claim: &ContradictedRecord) -> String {
    let claimed = finding::country(claim.country);
    let mut text = format!(
        "the answer of packet {} came {} ms after packet {}{}: {} is no farther than {} km from the capture point, at the speed of \
         light; {} of {} places it in {claimed}, at least {} km from ",
        distance.packet.words(),
        distance.rtt_ms,
        distance.asked.words(),
        beside(distance),
        server.ip,
        distance.km_at_most,
        claimant(claim),
        claim.date,
        claim.km_at_least,
    );
    against(&mut text, server, claim);
    let is_decided = distance.contradicts.iter().any(|held| std::ptr::eq(held, claim));
    text.push_str(if is_decided {
        ": so either that place is wrong, the address is announced from several places at once (anycast), the capture was made elsewhere or its clock is off, or something nearer answers for it (a \
         proxy)"
    } else {
        ": one of the two places is wrong, or one address is announced from several places at once (anycast), or something nearer answers for it \
         (a proxy); which one, the capture does not tell"
    });
    text
}

/// What a claim is held against: the first in full, the others by their names.
fn against(text: &mut String, server: &ServerRecord, claim: &ContradictedRecord) {
    let mut others: Vec<String> = Vec::new();
    for (number, by) in claim.by.iter().enumerate() {
        let country = finding::country(by.country);
        match &by.ip {
            None => {
                let _ = write!(text, "{country}, where the capture point is by {}", by.source);
            }
            Some(ip) if number == 0 => {
                let _ = write!(
                    text,
                    "{country}, where {} places {ip}, which is no farther than {} km from {} by the times of their answers",
                    by.source, claim.km_at_most, server.ip
                );
            }
            Some(ip) => others.push(format!("{ip} ({})", by.country.code())),
        }
    }
    let Some((last, rest)) = others.split_last() else { return };
    let _ = if rest.is_empty() {
        write!(text, "; the place and the answer of {last} contradict it in the same way")
    } else {
        write!(
            text,
            "; the places and answers of {} and {last} contradict it in the same way",
            rest.join(", ")
        )
    };
}

fn claimant(claim: &ContradictedRecord) -> String {
    match claim.claim {
        PlaceClaim::Database => format!("database {}", claim.source),
        PlaceClaim::HostName | PlaceClaim::ReverseName => format!("its name, by {}", claim.source),
        PlaceClaim::PublishedRange => format!("its range, by {}", claim.source),
    }
}
