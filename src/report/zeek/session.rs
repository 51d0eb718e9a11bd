//! Sessions as lines of `meetscope`. In: a session's record. Out: values in the order of the columns.

use super::super::record::{HolderRecord, SessionRecord, WayRecord};
use super::super::words;
use super::Column;
use super::flow::thousandths;
use super::row::Type::{Addr, AddrSet, Bool, Count, Double, Interval, Text, TextSet, TextVector, Time};
use super::row::Value;
use crate::keys::CouldHold;
use crate::time::Timestamp;

pub(super) const MEETSCOPE: &[Column] = &[
    ("ts", Time),
    ("session_id", Text),
    ("meeting_id", Text),
    ("uids", TextSet),
    ("endpoint", Addr),
    ("public_endpoint", Addr),
    ("endpoint_country", Text),
    ("app", Text),
    ("app_confidence", Double),
    ("duration", Interval),
    ("begun_mid_call", Bool),
    ("key_method", Text),
    ("could_hold", AddrSet),
    ("could_hold_countries", TextSet),
    ("could_hold_exposure", TextSet),
    ("not_determinable", AddrSet),
    ("key_witness", AddrSet),
    ("servers", AddrSet),
    ("server_countries", TextSet),
    ("exposure", TextSet),
    ("cipher_verdict", Text),
    ("findings", TextVector),
    ("finding_severities", TextVector),
    ("finding_texts", TextVector),
    ("alerts", TextVector),
    ("sent_pkts", Count),
    ("sent_loss_percent", Double),
    ("sent_jitter_ms", Double),
    ("sent_mos", Double),
    ("recv_pkts", Count),
    ("recv_loss_percent", Double),
    ("recv_jitter_ms", Double),
    ("recv_mos", Double),
    ("rtt_ms", Double),
];

/// `uids` are the names of its flows in `conn`, `fired` the rules of a policy that fired.
pub(super) fn meetscope(
    start: Timestamp,
    uids: Vec<String>,
    fired: Vec<String>,
    record: &SessionRecord,
) -> Vec<Value> {
    let who =
        |answer: CouldHold| record.keys.holders.iter().filter(move |holder| holder.could_hold == answer);
    let addresses = |holders: &mut dyn Iterator<Item = &HolderRecord>| {
        Value::set(holders.map(|holder| holder.ip.clone()).collect::<Vec<_>>())
    };
    let mut row = vec![
        Value::Time(start),
        Value::Text(record.session_id.clone()),
        Value::text(record.meeting_id.as_deref()),
        Value::set(uids),
        Value::Text(record.endpoint.ip.clone()),
        Value::text(record.endpoint.public_ip.as_deref()),
        record.endpoint.located_in.country.map_or(Value::Unset, |country| Value::Text(words::word(&country))),
        Value::text(record.app.as_deref()),
        Value::Decimal(thousandths(record.confidence)),
        Value::Seconds(record.duration_s),
        Value::Flag(record.begun_mid_call),
        Value::Text(words::word(&record.keys.method)),
        addresses(&mut who(CouldHold::Yes)),
        Value::set(words::countries(who(CouldHold::Yes).map(|holder| &holder.place))),
        Value::set(words::exposure(who(CouldHold::Yes).map(|holder| &holder.place))),
        addresses(&mut who(CouldHold::Unknown)),
        Value::set(record.keys.witness.iter().map(|witness| witness.ip.clone())),
        Value::set(record.servers.iter().map(|server| server.ip.clone())),
        Value::set(words::countries(record.servers.iter().map(|server| &server.place))),
        Value::set(words::exposure(record.servers.iter().map(|server| &server.place))),
        record
            .cipher
            .as_ref()
            .map_or(Value::Unset, |cipher| Value::Text(words::word(&cipher.evidence.verdict))),
        Value::List(record.findings.iter().map(|finding| finding.id.to_owned()).collect()),
        Value::List(record.findings.iter().map(|finding| words::word(&finding.severity)).collect()),
        Value::List(record.findings.iter().map(|finding| finding.text.clone()).collect()),
        Value::List(fired),
    ];
    row.extend(way(&record.media.sent));
    row.extend(way(&record.media.received));
    row.push(Value::decimal(record.media.rtt_ms));
    row
}

fn way(way: &WayRecord) -> [Value; 4] {
    [
        Value::Number(way.packets),
        Value::decimal(way.loss_percent),
        Value::decimal(way.jitter_ms),
        Value::decimal(way.mos.value),
    ]
}
