//! Stage: report. TEMPORARY stub until the report writer is merged.

use std::io;

use serde_json::json;

use crate::pipeline::{Analysis, Counts};
use crate::session::{Judged, Session};
use crate::{classify::Rules, decode, flow, geo};

pub mod record;

pub use record::Kind;

/// What a run gave.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "stub")]
pub struct Run<'a> {
    /// Rules.
    pub rules: &'a Rules,
    /// Databases.
    pub databases: &'a geo::Databases,
    /// Flows and sessions.
    pub analysis: &'a Analysis,
    /// Packets.
    pub counts: Counts,
    /// Decoder.
    pub decode: &'a decode::Counters,
    /// Flow table.
    pub table: flow::TableStats,
    /// Inputs.
    pub files: Vec<record::FileRecord>,
    /// Lost packets.
    pub dropped: Dropped,
    /// All inputs read to their end.
    pub complete: bool,
}

/// Lost packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stub")]
pub struct Dropped {
    /// By the kernel.
    pub kernel: u64,
    /// By the interface.
    pub interface: u64,
    /// By this program.
    pub own: u64,
}

/// How to write.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "stub")]
pub struct Style {
    /// Format.
    pub format: Format,
    /// Kinds of records; none for all of the format's.
    pub kinds: Option<Vec<Kind>>,
    /// Colours.
    pub colour: bool,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stub")]
pub enum Format {
    /// For people.
    Text,
    /// One document.
    Json,
    /// One record a line.
    Ndjson,
}

/// Writes everything.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, run: &Run<'_>, style: &Style) -> io::Result<()> {
    write_records(out, run.rules, run.databases, run.analysis, style)?;
    if wanted(style, Kind::Stats) {
        let dropped =
            run.dropped.kernel.saturating_add(run.dropped.interface).saturating_add(run.dropped.own);
        line(
            out,
            &json!({"event_type": "stats", "complete": run.complete,
            "packets": {"seen": run.counts.seen.saturating_add(dropped), "analysed": run.counts.analysed,
                "filtered": run.counts.filtered, "dropped": dropped,
                "dropped_by_kernel": run.dropped.kernel, "dropped_by_interface": run.dropped.interface},
            "flows": {"total": run.table.created, "evicted": run.table.evicted},
            "decode": run.decode.iter().filter(|(_, count)| *count > 0).collect::<std::collections::BTreeMap<_, _>>(),
            "files": run.files}),
        )?;
    }
    Ok(())
}

/// Writes flows and sessions.
///
/// # Errors
/// What `out` says.
pub fn write_records(
    out: &mut dyn io::Write,
    rules: &Rules,
    _databases: &geo::Databases,
    analysis: &Analysis,
    style: &Style,
) -> io::Result<()> {
    if wanted(style, Kind::Flow) {
        analysis.flows.iter().try_for_each(|judged| line(out, &flow_value(rules, judged)))?;
    }
    if wanted(style, Kind::Session) {
        let mut sessions = analysis.sessions.iter();
        sessions.try_for_each(|(session, _)| line(out, &session_value(rules, session)))?;
    }
    Ok(())
}

fn wanted(style: &Style, kind: Kind) -> bool {
    style.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
}

fn line(out: &mut dyn io::Write, value: &serde_json::Value) -> io::Result<()> {
    writeln!(out, "{value}")
}

fn app(rules: &Rules, provider: Option<u16>) -> Option<&str> {
    provider.and_then(|number| rules.provider(number)).map(|provider| provider.app.as_str())
}

fn flow_value(rules: &Rules, judged: &Judged) -> serde_json::Value {
    let tuple = &judged.flow.tuple;
    let proto = match tuple.protocol {
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        other => other.to_string(),
    };
    json!({"event_type": "flow", "flow_id": judged.flow.id, "proto": proto,
        "src_ip": tuple.source.ip(), "src_port": tuple.source.port(),
        "dest_ip": tuple.destination.ip(), "dest_port": tuple.destination.port(),
        "app": app(rules, judged.verdict.provider), "role": judged.role(),
        "packets": judged.flow.packets, "ending": judged.flow.ending, "confidence": judged.verdict.confidence})
}

fn session_value(rules: &Rules, session: &Session) -> serde_json::Value {
    json!({"event_type": "session", "session_id": session.id, "app": app(rules, session.provider),
        "endpoint": {"ip": session.endpoint}, "start": session.start.as_nanos(), "end": session.end.as_nanos(),
        "servers": session.servers.len(), "flows": session.flows.len(), "confidence": session.confidence})
}
