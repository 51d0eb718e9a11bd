//! Flows as lines of `conn`, `ssl` and `quic`. In: a flow and its record. Out: values in the order of the columns.

use sha2::{Digest as _, Sha256};

use super::super::record::{CertificateRecord, FlowRecord};
use super::Column;
use super::row::Type::{Addr, Bool, Count, Double, Enum, Interval, Port, Text, TextSet, TextVector, Time};
use super::row::Value;
use crate::fingerprint::{CommunityId, Ja4};
use crate::observe::{Beginning, Ending, Summary};

pub(super) const CONN: &[Column] = &[
    ("ts", Time),
    ("uid", Text),
    ("id.orig_h", Addr),
    ("id.orig_p", Port),
    ("id.resp_h", Addr),
    ("id.resp_p", Port),
    ("proto", Enum),
    ("service", Text),
    ("duration", Interval),
    ("orig_bytes", Count),
    ("resp_bytes", Count),
    ("conn_state", Text),
    ("local_orig", Bool),
    ("local_resp", Bool),
    ("missed_bytes", Count),
    ("history", Text),
    ("orig_pkts", Count),
    ("orig_ip_bytes", Count),
    ("resp_pkts", Count),
    ("resp_ip_bytes", Count),
    ("tunnel_parents", TextSet),
    ("ip_proto", Count),
    ("community_id", Text),
    ("orig_frame_bytes", Count),
    ("resp_frame_bytes", Count),
    ("tunnel", Text),
    ("app", Text),
    ("role", Text),
    ("app_confidence", Double),
    ("session_id", Text),
];

pub(super) const SSL: &[Column] = &[
    ("ts", Time),
    ("uid", Text),
    ("id.orig_h", Addr),
    ("id.orig_p", Port),
    ("id.resp_h", Addr),
    ("id.resp_p", Port),
    ("version", Text),
    ("cipher", Text),
    ("curve", Text),
    ("server_name", Text),
    ("resumed", Bool),
    ("last_alert", Text),
    ("next_protocol", Text),
    ("established", Bool),
    ("ssl_history", Text),
    ("cert_chain_fps", TextVector),
    ("client_cert_chain_fps", TextVector),
    ("subject", Text),
    ("issuer", Text),
    ("ja3", Text),
    ("ja3s", Text),
    ("ja4", Text),
    ("ech", Bool),
];

pub(super) const QUIC: &[Column] = &[
    ("ts", Time),
    ("uid", Text),
    ("id.orig_h", Addr),
    ("id.orig_p", Port),
    ("id.resp_h", Addr),
    ("id.resp_p", Port),
    ("version", Text),
    ("client_initial_dcid", Text),
    ("client_scid", Text),
    ("server_scid", Text),
    ("server_name", Text),
    ("client_protocol", Text),
    ("history", Text),
];

/// Bytes of the digest that a flow's name is made of: as many as Zeek's have.
const UID_BYTES: usize = 12;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A name that looks like Zeek's and is the same in every run: `C` and 96 bits of the SHA-256 of the five-tuple and the
/// time of the first packet.
pub(super) fn uid(flow: &Summary) -> String {
    let tuple = &flow.tuple;
    let seed = format!("{} {} {} {}", tuple.protocol, tuple.source, tuple.destination, flow.start.as_nanos());
    let digest = Sha256::digest(seed.as_bytes());
    let mut number =
        digest.iter().take(UID_BYTES).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let mut name = String::from("C");
    while number > 0 {
        let digit = usize::try_from(number.checked_rem(62).unwrap_or(0)).unwrap_or(0);
        name.push(BASE62.get(digit).map_or('0', |letter| char::from(*letter)));
        number = number.checked_div(62).unwrap_or(0);
    }
    name
}

/// The columns that every log of flows begins with.
fn ends(flow: &Summary, record: &FlowRecord) -> Vec<Value> {
    vec![
        Value::Time(flow.start),
        Value::Text(uid(flow)),
        Value::Text(record.src_ip.to_string()),
        Value::number(record.src_port.map(u64::from)),
        Value::Text(record.dest_ip.to_string()),
        Value::number(record.dest_port.map(u64::from)),
    ]
}

pub(super) fn conn(flow: &Summary, record: &FlowRecord) -> Vec<Value> {
    let counters = &record.flow;
    let service = service(record);
    let mut row = ends(flow, record);
    row.extend([
        Value::Text(protocol(flow.tuple.protocol).to_owned()),
        if service.is_empty() { Value::Unset } else { Value::Text(service) },
        Value::Seconds(flow.end.since(flow.start).as_secs_f64()),
        Value::Number(counters.payload_toserver),
        Value::Number(counters.payload_toclient),
        Value::text(state(flow)),
        Value::Unset,
        Value::Unset,
        Value::Unset,
        Value::Unset,
        Value::Number(counters.pkts_toserver),
        Value::Unset,
        Value::Number(counters.pkts_toclient),
        Value::Unset,
        Value::Unset,
        Value::Number(u64::from(flow.tuple.protocol)),
        Value::text(record.community_id.as_ref().map(CommunityId::as_str)),
        Value::Number(counters.bytes_toserver),
        Value::Number(counters.bytes_toclient),
        Value::text(record.tunnel.as_deref()),
        Value::text(record.app.as_deref()),
        Value::Text(record.role.as_str().to_owned()),
        Value::Decimal(thousandths(record.confidence)),
        Value::text(record.session_id.as_deref()),
    ]);
    row
}

/// The record has three decimals; as a wider number they would become many.
pub(super) fn thousandths(value: f32) -> f64 {
    (f64::from(value) * 1000.0).round() / 1000.0
}

const fn protocol(number: u8) -> &'static str {
    match number {
        6 => "tcp",
        17 => "udp",
        1 | 58 => "icmp",
        _ => "unknown_transport",
    }
}

/// The protocols that were recognised, by Zeek's names where it has one, in the order of the alphabet.
fn service(record: &FlowRecord) -> String {
    let quic = record.quic.is_some();
    let seen = [
        ("dns", record.dns.is_some()),
        ("dtls", record.dtls.is_some()),
        ("quic", quic),
        ("rtcp", record.rtcp.is_some()),
        ("rtp", !record.rtp.is_empty()),
        ("sip", record.sip.is_some()),
        ("ssl", record.tls.is_some()),
        ("stun", record.stun.is_some()),
        ("zoom", record.zoom.is_some()),
    ];
    let names: Vec<&str> = seen.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    names.join(",")
}

/// Only the states that follow from what is known: which side reset a connection, say, is not.
fn state(flow: &Summary) -> Option<&'static str> {
    let [sent, received] = flow.packets;
    match (flow.tuple.protocol, flow.beginning, flow.ending) {
        (17, ..) => Some(match (sent > 0, received > 0) {
            (true, true) => "SF",
            (true, false) => "S0",
            (false, true) => "SHR",
            (false, false) => "OTH",
        }),
        (6, Beginning::Seen, Ending::Fin) => Some("SF"),
        (6, Beginning::Seen, Ending::Idle | Ending::Evicted | Ending::EndOfCapture) if received == 0 => {
            Some("S0")
        }
        (6, Beginning::MidConnection, Ending::Idle | Ending::Evicted | Ending::EndOfCapture) => Some("OTH"),
        _ => None,
    }
}

/// One line for TLS, one for DTLS.
pub(super) fn ssl(flow: &Summary, record: &FlowRecord) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    if let Some(tls) = &record.tls {
        let chosen = tls.version.as_deref().filter(|_| tls.version_chosen);
        let mut row = ends(flow, record);
        row.extend([
            chosen.map_or(Value::Unset, |version| Value::Text(version_word(version))),
            Value::text(tls.cipher.as_deref()),
            Value::text(tls.group.as_deref()),
            Value::text(tls.sni.as_deref()),
            Value::Flag(tls.resumed),
            tls.alerts.last().map_or(Value::Unset, |alert| Value::Text(alert_word(alert))),
            Value::text(tls.alpn_chosen.as_deref()),
            Value::Unset,
            Value::Unset,
            fingerprints(&tls.certificates),
            Value::Unset,
            name(&tls.certificates, |leaf| leaf.subject.as_deref()),
            name(&tls.certificates, |leaf| leaf.issuer.as_deref()),
            Value::text(tls.ja3.as_deref()),
            Value::text(tls.ja3s.as_deref()),
            Value::text(tls.ja4.as_ref().map(Ja4::as_str)),
            Value::Flag(tls.ech),
        ]);
        rows.push(row);
    }
    if let Some(dtls) = &record.dtls {
        // A version without a cipher suite is what the client offered.
        let chosen = dtls.version.as_deref().filter(|_| dtls.cipher.is_some());
        let mut row = ends(flow, record);
        row.extend([
            chosen.map_or(Value::Unset, |version| Value::Text(version_word(version))),
            Value::text(dtls.cipher.as_deref()),
            Value::text(dtls.group.as_deref()),
            Value::text(dtls.sni.as_deref()),
            Value::Unset,
            Value::Unset,
            Value::Unset,
            Value::Unset,
            Value::Unset,
            fingerprints(&dtls.server_certificates),
            fingerprints(&dtls.client_certificates),
            name(&dtls.server_certificates, |leaf| leaf.subject.as_deref()),
            name(&dtls.server_certificates, |leaf| leaf.issuer.as_deref()),
            Value::text(dtls.ja3.as_deref()),
            Value::Unset,
            Value::text(dtls.ja4.as_ref().map(Ja4::as_str)),
            Value::Unset,
        ]);
        rows.push(row);
    }
    rows
}

/// `TLS 1.2` is `TLSv12` in Zeek's logs.
fn version_word(version: &str) -> String {
    match version.split_once(' ') {
        Some(("SSL", number)) => format!("SSLv{}", number.trim_end_matches(".0")),
        Some((family, number)) => format!("{family}v{}", number.replace('.', "")),
        None => version.to_owned(),
    }
}

/// `fatal handshake_failure` is `handshake_failure` there.
fn alert_word(alert: &str) -> String {
    alert.rsplit_once(' ').map_or(alert, |(_, word)| word).to_owned()
}

fn fingerprints(chain: &[CertificateRecord]) -> Value {
    if chain.is_empty() {
        return Value::Unset;
    }
    Value::List(chain.iter().map(|certificate| certificate.sha256.clone()).collect())
}

fn name(chain: &[CertificateRecord], part: impl Fn(&CertificateRecord) -> Option<&str>) -> Value {
    chain.first().and_then(part).map_or(Value::Unset, |name| Value::Text(format!("CN={name}")))
}

pub(super) fn quic(flow: &Summary, record: &FlowRecord) -> Vec<Value> {
    let mut row = ends(flow, record);
    let quic = record.quic.as_deref();
    let tls = record.tls.as_deref();
    let version = quic.and_then(|quic| quic.version.as_deref());
    row.extend([
        Value::text(version.map(|version| match version {
            "v1" => "1",
            "v2" => "quicv2",
            other => other,
        })),
        Value::text(quic.and_then(|quic| quic.dcid.as_deref())),
        Value::text(quic.and_then(|quic| quic.scid.as_deref())),
        Value::Unset,
        Value::text(tls.and_then(|tls| tls.sni.as_deref())),
        Value::text(tls.and_then(|tls| tls.alpn.first()).map(|protocol| &**protocol)),
        Value::Unset,
    ]);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_alerts_have_the_words_of_zeek() {
        let words = ["SSL 3.0", "TLS 1.0", "TLS 1.2", "TLS 1.3", "DTLS 1.0", "DTLS 1.2"].map(version_word);
        assert_eq!(words, ["SSLv3", "TLSv10", "TLSv12", "TLSv13", "DTLSv10", "DTLSv12"]);
        assert_eq!(alert_word("fatal handshake_failure"), "handshake_failure");
    }
}
