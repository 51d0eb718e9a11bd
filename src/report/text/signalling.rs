//! How signalling was protected: a compact table of a session's page.

use std::io;

use super::super::record::{SessionRecord, SignallingRecord};
use super::page::{Align, Cell, Page, Tone, dim, plain, shorten};

/// Rows shown; records have all of them.
const ROWS: usize = 10;

/// Columns of a party of a call.
const PARTY: usize = 60;
/// Calls of SIP shown; records have all of them.
const CALLS: usize = 4;

/// Calls of SIP with what came of them, a line each.
pub(super) fn calls(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    if record.sip_calls.is_empty() {
        return Ok(());
    }
    page.heading("Calls of its SIP, as their INVITEs name them")?;
    for call in record.sip_calls.iter().take(CALLS) {
        let party = |text: &str| shorten(text.split(";tag=").next().unwrap_or(text), PARTY);
        let came = call
            .status
            .map_or_else(|| "no final status seen".to_owned(), |status| format!("final status {status}"));
        let text = format!("{} to {}: {came}", party(&call.from), party(&call.to));
        page.paragraph(4, &plain(text))?;
    }
    let more = record.sip_calls.len().saturating_sub(CALLS);
    if more > 0 {
        page.line(4, &[dim(format!("and {more} more in the session record"))])?;
    }
    page.blank()
}

pub(super) fn write(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    let rows: Vec<&SignallingRecord> =
        record.signalling.iter().filter(|row| row.version_chosen || !row.weak.is_empty()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    page.heading("How connections were protected, in the order of their first packets")?;
    let head = [
        ("server", Align::Left),
        ("version", Align::Left),
        ("cipher suite", Align::Wrap),
        ("group", Align::Wrap),
        ("certificate", Align::Wrap),
        ("times", Align::Right),
    ];
    let cells: Vec<Vec<Cell>> = rows.iter().take(ROWS).map(|row| cells(row)).collect();
    page.table(4, &head, &cells)?;
    let more = rows.len().saturating_sub(ROWS);
    if more > 0 {
        page.line(4, &[dim(format!("and {more} more in the session record"))])?;
    }
    page.blank()
}

fn cells(row: &SignallingRecord) -> Vec<Cell> {
    let weak = |ids: &[&str]| row.weak.iter().any(|id| ids.contains(id));
    let tone = |ids: &[&str]| if weak(ids) { Tone::Warn } else { Tone::Plain };
    let address = if row.ip.contains(':') {
        format!("[{}]:{}", row.ip, row.port)
    } else {
        format!("{}:{}", row.ip, row.port)
    };
    let address = match &row.behind_relay {
        None => address,
        Some(relay) if *relay == address => format!("behind relay {relay}"),
        Some(_) => format!("{address} behind a relay"),
    };
    let suite = row.cipher.as_deref().unwrap_or("-");
    let suite = suite.strip_prefix("TLS_").unwrap_or(suite);
    let suites = ["cipher_suite_open", "cipher_suite_weak", "no_forward_secrecy"];
    let version = row.version.clone().unwrap_or_else(|| "-".to_owned());
    let version = if row.transport == "quic" { format!("QUIC, {version}") } else { version };
    let certificate = row.certificate.as_ref().map_or_else(
        || "-".to_owned(),
        |shown| {
            let bits = shown.key_bits.map(|bits| format!(" {bits}")).unwrap_or_default();
            let key = shown.key.strip_suffix("Encryption").unwrap_or(&shown.key);
            let issuer = shown.issuer.as_deref().unwrap_or("itself");
            format!("{key}{bits} by {issuer}")
        },
    );
    let certificates = row.weak.iter().any(|id| id.starts_with("certificate"));
    let group = match (&row.group, row.post_quantum) {
        (Some(group), Some(true)) => (Tone::Good, format!("{group} (post-quantum)")),
        (Some(group), _) => plain(group.clone()),
        (None, _) => dim("-"),
    };
    vec![
        plain(address),
        (tone(&["tls_version_old"]), version),
        (tone(&suites), suite.to_owned()),
        group,
        (if certificates { Tone::Warn } else { Tone::Plain }, certificate),
        plain(row.connections.to_string()),
    ]
}
