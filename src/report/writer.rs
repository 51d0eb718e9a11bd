//! Records for programs: NDJSON and JSON.
//!
//! One buffer is used for all records, so that a record is written in one piece and no value tree is built.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::build::{each_session, session_id, sessions_of_flows};
use super::json::{BUFFER, append_json, write_json};
use super::record::{InPlace, Kind, Record, SessionRecord};
use super::{Context, InventoryRecords, Run, Style, flow_record, meeting_record, stats_record};
use crate::keys::Analysis;
use crate::observe::Summary;
use crate::session::Judged;

/// One record, one line.
pub(super) fn line(out: &mut dyn io::Write, record: &Record) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    append_json(&mut buffer, record)?;
    buffer.push(b'\n');
    out.write_all(&buffer)
}

/// Flows, sessions, meetings and alerts, one record a line.
pub(super) fn lines(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    analysis: &Analysis,
    style: &Style,
) -> io::Result<()> {
    if style.wants(Kind::Flow) {
        flows(out, context, analysis, |_| b"", b"\n")?;
    }
    if style.wants(Kind::Session) {
        sessions(out, context, analysis, |_| b"", b"\n")?;
    }
    let mut buffer = Vec::with_capacity(BUFFER);
    others(context, analysis, style, |_, record| {
        buffer.clear();
        append_json(&mut buffer, &record)?;
        buffer.push(b'\n');
        out.write_all(&buffer)
    })
}

/// Flow records as JSON, each between what goes before it by its number and what goes after. Of all records they are the many,
/// and none needs another: threads share them out.
fn flows(
    out: &mut dyn io::Write,
    context: &Context<'_>,
    analysis: &Analysis,
    before: impl Fn(usize) -> &'static [u8] + Sync,
    after: &[u8],
) -> io::Result<()> {
    let owners = sessions_of_flows(analysis);
    // A quarter of a megabyte each: those that are written are filled again.
    let written: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let of_written = || written.lock().unwrap_or_else(PoisonError::into_inner);
    let work = |begin: usize, piece: &[Judged]| {
        let mut buffer = of_written().pop().unwrap_or_default();
        buffer.clear();
        for (index, judged) in Summary::each_ahead(begin, piece, |judged| Some(&judged.flow)) {
            let session = owners.get(index).copied().flatten().map(session_id);
            let record = flow_record(context, judged, session.as_deref());
            buffer.extend_from_slice(before(index));
            append_json(&mut buffer, &InPlace::Flow(&record))?;
            buffer.extend_from_slice(after);
        }
        Ok(buffer)
    };
    context.threads.pieces(&analysis.flows, work, |piece: io::Result<Vec<u8>>| {
        let piece = piece?;
        out.write_all(&piece)?;
        of_written().push(piece);
        Ok(())
    })
}

/// Session records as JSON, made by [`each_session`], each with what goes before it and after.
fn sessions(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    analysis: &Analysis,
    before: impl Fn(usize) -> &'static [u8],
    after: &[u8],
) -> io::Result<()> {
    let draw = |record: &SessionRecord| {
        let mut buffer = Vec::with_capacity(BUFFER);
        append_json(&mut buffer, &InPlace::Session(record))?;
        buffer.extend_from_slice(after);
        Ok(buffer)
    };
    let mut index = 0_usize;
    each_session(context, analysis, draw, |_, json: io::Result<Vec<u8>>| {
        let json = json?;
        out.write_all(before(index))?;
        index = index.saturating_add(1);
        out.write_all(&json)
    })
}

/// One object: `{"flows": [..], "sessions": [..], "meetings": [..], "alerts": [..], "stats": {..}}`, without the kinds that nobody asked
/// for, and without alerts where there is no policy.
pub(super) fn json(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    run: &Run<'_>,
    style: &Style,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut first = true;
    out.write_all(b"{")?;
    let kinds = [
        (Kind::Flow, "flows"),
        (Kind::Session, "sessions"),
        (Kind::Meeting, "meetings"),
        (Kind::Alert, "alerts"),
    ];
    for (kind, key) in kinds {
        // Without a policy there is no list of alerts, so that nobody takes it for one that nothing broke.
        if !style.wants(kind) || (kind == Kind::Alert && context.rules_of_policy().is_none()) {
            continue;
        }
        let only = Style { kinds: Some(vec![kind]), ..style.clone() };
        write!(out, "{}\n\"{key}\": [", if first { "" } else { "," })?;
        first = false;
        let before = |index| -> &[u8] { if index == 0 { b"\n" } else { b",\n" } };
        match kind {
            Kind::Flow => flows(out, context, run.analysis, before, b"")?,
            Kind::Session => sessions(out, context, run.analysis, before, b"")?,
            Kind::Meeting | Kind::Alert | Kind::Stats => {}
        }
        others(context, run.analysis, &only, |index, record| {
            buffer.clear();
            buffer.extend_from_slice(before(index));
            append_json(&mut buffer, &record)?;
            out.write_all(&buffer)
        })?;
        out.write_all(b"\n]")?;
    }
    if style.wants(Kind::Stats) {
        write!(out, "{}\n\"stats\": ", if first { "" } else { "," })?;
        write_json(out, &Record::Stats(Box::new(stats_record(run))))?;
    }
    out.write_all(b"\n}\n")
}

/// Makes the records that are asked for, in their order.
pub(super) fn each(
    context: &mut Context<'_>,
    analysis: &Analysis,
    style: &Style,
    mut take: impl FnMut(Record) -> io::Result<()>,
) -> io::Result<()> {
    if style.wants(Kind::Flow) {
        let owners = sessions_of_flows(analysis);
        for (judged, owner) in analysis.flows.iter().zip(&owners) {
            let session = owner.map(session_id);
            take(Record::Flow(Box::new(flow_record(context, judged, session.as_deref()))))?;
        }
    }
    if style.wants(Kind::Session) {
        each_session(context, analysis, |_| (), |record, ()| take(Record::Session(Box::new(record))))?;
    }
    others(context, analysis, style, |_, record| take(record))
}

/// Meetings and alerts, each with its number among those of its kind.
fn others(
    context: &mut Context<'_>,
    analysis: &Analysis,
    style: &Style,
    mut take: impl FnMut(usize, Record) -> io::Result<()>,
) -> io::Result<()> {
    if style.wants(Kind::Meeting) {
        for (index, meeting) in analysis.meetings.iter().enumerate() {
            take(index, Record::Meeting(Box::new(meeting_record(context, analysis, meeting))))?;
        }
    }
    if style.wants(Kind::Alert) {
        for (index, alert) in context.alerts(analysis).into_iter().enumerate() {
            take(index, Record::Alert(Box::new(alert)))?;
        }
    }
    Ok(())
}

/// Groups, then servers, then the record of all of it, one a line.
pub(super) fn inventory_lines(out: &mut dyn io::Write, records: InventoryRecords) -> io::Result<()> {
    for software in records.software {
        line(out, &Record::Software(Box::new(software)))?;
    }
    for server in records.servers {
        line(out, &Record::Server(Box::new(server)))?;
    }
    line(out, &Record::Inventory(Box::new(records.inventory)))
}

/// One object: `{"software": [..], "servers": [..], "inventory": {..}}`.
pub(super) fn inventory_json(out: &mut dyn io::Write, records: InventoryRecords) -> io::Result<()> {
    out.write_all(b"{\n\"software\": [")?;
    let software = records.software.into_iter().map(|record| Record::Software(Box::new(record)));
    list(out, software)?;
    out.write_all(b"\n],\n\"servers\": [")?;
    list(out, records.servers.into_iter().map(|record| Record::Server(Box::new(record))))?;
    out.write_all(b"\n],\n\"inventory\": ")?;
    write_json(out, &Record::Inventory(Box::new(records.inventory)))?;
    out.write_all(b"\n}\n")
}

fn list(out: &mut dyn io::Write, records: impl Iterator<Item = Record>) -> io::Result<()> {
    for (place, record) in records.enumerate() {
        out.write_all(if place == 0 { b"\n" } else { b",\n" })?;
        write_json(out, &record)?;
    }
    Ok(())
}
