//! What the flat formats (CSV, Zeek) say in one cell where a record has a structure. In: parts of records. Out: words.

use std::collections::BTreeSet;

use serde::Serialize;

use super::record::{AlertRecord, PlaceRecord};

/// The word that records use for a value that is one.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// Countries where databases place the addresses, sorted, each once.
pub(super) fn countries<'a>(places: impl Iterator<Item = &'a PlaceRecord>) -> BTreeSet<String> {
    places.filter_map(|place| place.located_in.country).map(|country| word(&country)).collect()
}

/// Jurisdictions that reach them, for whatever reason, sorted, each once.
pub(super) fn exposure<'a>(places: impl Iterator<Item = &'a PlaceRecord>) -> BTreeSet<String> {
    places.flat_map(|place| &place.exposure).map(|exposure| exposure.jurisdiction.clone()).collect()
}

/// The rules that fired, in their order.
pub(super) fn fired(alerts: &[AlertRecord]) -> Vec<String> {
    alerts.iter().filter(|alert| alert.fired).map(|alert| alert.rule.clone()).collect()
}
