//! About how many bytes a record takes. In: a record. Out: bytes, from the number of its parts and the length of its long words.
//!
//! An estimate that is cheap enough to be made whenever a record is told; the test holds it to the length of the record as JSON.

use crate::report::record::{AlertRecord, MeetingRecord, SessionRecord};

/// What a session takes with empty lists.
const SESSION: usize = 2_800;
/// A server with its places and exposure.
const SERVER: usize = 1_500;
/// A judgement of a server, which repeats its places.
const HOLDER: usize = 1_900;
/// A group of connections.
const SIGNALLING: usize = 900;
/// A jurisdiction with its laws.
const JURISDICTION: usize = 1_100;
/// A finding, beside its sentence.
const FINDING: usize = 160;
/// A small part: an address, a contact, a reason.
const SMALL: usize = 180;
/// The number of a flow.
const NUMBER: usize = 8;

/// A session.
pub(super) fn session(record: &SessionRecord) -> usize {
    let small = [
        record.addresses.len(),
        record.address_changes.len(),
        record.evidence.len(),
        record.keys.timeline.len(),
        record.keys.flows.len().saturating_mul(3),
        record.keys.witness.len().saturating_mul(3),
    ];
    let numbers: usize = record.flows.values().map(Vec::len).sum();
    let findings = record.findings.iter().map(|finding| {
        FINDING.saturating_add(finding.text.len()).saturating_add(finding.packets.len().saturating_mul(24))
    });
    [
        SESSION,
        record.servers.len().saturating_mul(SERVER),
        record.keys.holders.len().saturating_mul(HOLDER),
        record.signalling.len().saturating_mul(SIGNALLING),
        record.jurisdictions.len().saturating_mul(JURISDICTION),
        small.iter().sum::<usize>().saturating_mul(SMALL),
        numbers.saturating_mul(NUMBER),
        findings.fold(0, usize::saturating_add),
        record.cipher.as_ref().map_or(0, |_| 1_500),
        record.trend.as_ref().map_or(0, |_| 4_000),
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

/// A meeting.
pub(super) fn meeting(record: &MeetingRecord) -> usize {
    let servers: usize = record.jurisdictions.iter().map(|one| one.added_by.len()).sum();
    let parts = record.sessions.len().saturating_mul(2).saturating_add(servers);
    parts.saturating_add(record.joined_by.len().saturating_mul(2)).saturating_mul(SMALL).saturating_add(600)
}

/// An alert.
pub(super) fn alert(record: &AlertRecord) -> usize {
    let exposure: usize = record.reasons.iter().map(|reason| reason.exposure.len()).sum();
    let parts = record.reasons.len().saturating_mul(2).saturating_add(record.participants.len());
    parts.saturating_add(exposure.saturating_mul(2)).saturating_mul(SMALL).saturating_add(1_200)
}
