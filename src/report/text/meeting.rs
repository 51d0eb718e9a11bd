//! One page for one meeting: who was in it, what joined them and how sure that is, whose law reaches its servers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

use super::super::record::{JointRecord, MeetingRecord};
use super::super::{build, time};
use super::holders;
use super::page::{Align, Cell, Page, Tone, dim, plain, shorten};
use super::session::percent;
use super::summary::app_word;
use crate::geo::{Basis, Country};
use crate::keys::CouldHold;

/// Endpoints shown; the record has all of them.
const ENDPOINTS: usize = 16;
/// Reasons shown; the record has all of them.
const REASONS: usize = 8;
/// Servers named in one row.
const SERVERS: usize = 3;
/// Columns of a reason's value, over several lines of its cell.
const VALUE: usize = 200;
/// Columns of a country's name.
const NAME: usize = 26;
/// Width of the labels at the left.
const LABEL: usize = 14;

/// `plain` are the sessions whose media is not encrypted, as far as they are known.
pub(super) fn write(page: &mut Page<'_>, record: &MeetingRecord, plain: &BTreeSet<String>) -> io::Result<()> {
    page.blank()?;
    let app = app_word(record.app.as_deref());
    let (sessions, seen) = (record.sessions.len(), record.participants_seen);
    let head =
        format!("{}  {app}: meeting of {sessions} sessions, {seen} participants seen", record.meeting_id);
    page.paragraph(0, &(Tone::Title, head))?;
    page.rule()?;
    let lasted = time::length_of(record.duration_s);
    label(page, "when", format!("{}, {lasted}", time::span_of(&record.start, &record.end)))?;
    let mut endpoints: Vec<String> = record
        .endpoints
        .iter()
        .take(ENDPOINTS)
        .map(|endpoint| format!("{} ({})", endpoint.ip, endpoint.session_id))
        .collect();
    let more = record.endpoints.len().saturating_sub(ENDPOINTS);
    if more > 0 {
        endpoints.push(format!("{more} more in the meeting record"));
    }
    label(page, "participants", endpoints.join(", "))?;
    label(
        page,
        "joined",
        format!("{} sure; others may have been in it and not be seen here", percent(record.confidence)),
    )?;
    page.blank()?;
    reasons(page, record)?;
    jurisdictions(page, record, plain)
}

fn label(page: &mut Page<'_>, label: &str, text: String) -> io::Result<()> {
    page.labelled(2, &dim(label), LABEL, &plain(text))
}

fn reasons(page: &mut Page<'_>, record: &MeetingRecord) -> io::Result<()> {
    page.heading("What joined them (how sure each reason alone makes)")?;
    let rows: Vec<Vec<Cell>> = chosen(&record.joined_by).into_iter().map(reason_row).collect();
    let head = [
        ("sure", Align::Right),
        ("sessions", Align::Left),
        ("reason", Align::Left),
        ("value", Align::Wrap),
        ("seen in", Align::Left),
    ];
    page.table(4, &head, &rows)?;
    let more = record.joined_by.len().saturating_sub(rows.len());
    if more > 0 {
        page.line(4, &[dim(format!("the best of each pair; {more} more in the meeting record"))])?;
    }
    page.blank()
}

/// The best of each pair, as far as there is room.
fn chosen(all: &[JointRecord]) -> Vec<&JointRecord> {
    let mut best: BTreeMap<&[String; 2], &JointRecord> = BTreeMap::new();
    for joint in all {
        let held = best.entry(&joint.sessions).or_insert(joint);
        if joint.confidence > held.confidence {
            *held = joint;
        }
    }
    let chosen =
        all.iter().filter(|joint| best.get(&joint.sessions).is_some_and(|held| std::ptr::eq(*held, *joint)));
    chosen.take(REASONS).collect()
}

fn reason_row(joint: &JointRecord) -> Vec<Cell> {
    vec![
        plain(format!("{:.2}", joint.confidence)),
        plain(joint.sessions.join(" ")),
        plain(joint.what),
        plain(shorten(&joint.value, VALUE)),
        dim(holders::packets(&joint.packets)),
    ]
}

fn jurisdictions(
    page: &mut Page<'_>,
    record: &MeetingRecord,
    without_key: &BTreeSet<String>,
) -> io::Result<()> {
    if record.jurisdictions.is_empty() {
        return Ok(());
    }
    page.heading("Jurisdictions that reach its servers")?;
    for reached in &record.jurisdictions {
        let mut words: Vec<String> = Vec::new();
        for basis in [Basis::LocatedIn, Basis::RegisteredIn, Basis::OperatedBy, Basis::ServiceOperator] {
            let by: Vec<_> = reached.added_by.iter().filter(|server| server.basis.contains(&basis)).collect();
            if by.is_empty() {
                continue;
            }
            let holding =
                |server: &&&super::super::record::AddedBy| server.could_hold == Some(CouldHold::Yes);
            let mut named: Vec<&str> = by.iter().filter(holding).map(|server| server.ip.as_str()).collect();
            named.extend(by.iter().filter(|server| !holding(server)).map(|server| server.ip.as_str()));
            let more = named.len().saturating_sub(SERVERS);
            named.truncate(SERVERS);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            words.push(format!("{} of {}{rest}", super::basis_word(basis), named.join(", ")));
        }
        let able = reached.added_by.iter().filter(|server| server.could_hold == Some(CouldHold::Yes));
        let (readers, holders): (Vec<_>, Vec<_>) =
            able.partition(|server| server.sessions.iter().all(|session| without_key.contains(session)));
        let mut text = words.join("; ");
        for (able, what) in [(holders.len(), "hold the key"), (readers.len(), "read the media")] {
            if able > 0 {
                let noun = if able == 1 { "server" } else { "servers" };
                let _ = write!(text, "; {able} {noun} that could {what}");
            }
        }
        let name = Country::parse(&reached.jurisdiction)
            .map_or_else(|| reached.jurisdiction.clone(), build::country);
        page.labelled(4, &plain(shorten(&name, NAME)), NAME.saturating_add(2), &plain(text))?;
    }
    Ok(())
}
