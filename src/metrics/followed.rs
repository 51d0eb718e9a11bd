//! What is kept of a session and of an alert while they go on, as labels and numbers.

use std::collections::BTreeSet;

use super::label::bounded;
use crate::keys::CouldHold;
use crate::policy::State;
use crate::report::record::{AlertRecord, ReachPart, SessionRecord, Severity, WayRecord};

/// Stands for the app of media that nobody claims, and for the country of an address that no database places.
const UNKNOWN: &str = "unknown";
/// Whether a server could hold the key, over all of a session's servers, as labels.
pub(super) const ANSWERS: [&str; 3] = ["could_hold", "not_determinable", "cannot_hold"];

/// What is kept of a session that goes on.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) app: String,
    pub(super) holders: BTreeSet<String>,
    pub(super) reached: BTreeSet<String>,
    pub(super) answer: &'static str,
    /// Share of packets lost: sent, received.
    pub(super) loss: [Option<f64>; 2],
}

/// A rule that spoke of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    pub(super) rule: String,
    pub(super) severity: &'static str,
    pub(super) state: &'static str,
    pub(super) fired: bool,
}

impl Session {
    pub(super) fn of(record: &SessionRecord) -> Self {
        let could = |answer| record.keys.holders.iter().filter(move |holder| holder.could_hold == answer);
        let holders = could(CouldHold::Yes).map(|holder| {
            holder
                .place
                .located_in
                .country
                .map_or_else(|| UNKNOWN.to_owned(), |country| country.code().to_owned())
        });
        let reached = record.jurisdictions.iter().filter(|jurisdiction| {
            let mut parts = jurisdiction.reaches.iter().flat_map(|reach| &reach.part);
            parts.any(|part| matches!(part, ReachPart::KeyHolder | ReachPart::Reader))
        });
        let [yes, unknown, no] = ANSWERS;
        let answer = if could(CouldHold::Yes).next().is_some() {
            yes
        } else if record.keys.holders.is_empty() || could(CouldHold::Unknown).next().is_some() {
            unknown
        } else {
            no
        };
        Self {
            app: app(record.app.as_deref()),
            holders: holders.collect(),
            reached: reached.map(|jurisdiction| jurisdiction.code.clone()).collect(),
            answer,
            loss: [loss(&record.media.sent), loss(&record.media.received)],
        }
    }
}

impl Alert {
    pub(super) fn of(record: &AlertRecord) -> Self {
        Self {
            rule: bounded(&record.rule).into_owned(),
            severity: severity(record.severity),
            state: state(record.state),
            fired: record.fired,
        }
    }
}

pub(super) fn app(app: Option<&str>) -> String {
    bounded(app.unwrap_or(UNKNOWN)).into_owned()
}

pub(super) fn loss(way: &WayRecord) -> Option<f64> {
    way.loss_percent.map(|percent| percent / 100.0)
}

pub(super) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "high",
        Severity::Notice => "notice",
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Broken => "broken",
        State::NotDeterminable => "not_determinable",
        State::Excepted => "excepted",
    }
}
