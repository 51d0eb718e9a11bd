//! Text for people. In: a run. Out: the gravest finding in the first line, then a page per session, then what
//! was not understood, the databases with their licences, and what no sniffer can see.

pub(super) mod footer;
pub(super) mod holders;
mod jurisdictions;
mod live;
mod meeting;
mod overview;
mod page;
pub(super) mod policy;
mod servers;
pub(super) mod session;
mod signalling;
pub(super) mod summary;

use std::collections::BTreeSet;
use std::io;

use super::build::{session_id, session_records};
use super::record::{AlertRecord, Kind, SessionRecord};
use super::{
    Context, InventoryRecords, Record, Run, Style, flow_record, meeting_record, session_record, stats_record,
};
use crate::decode::Counts;
use crate::keys::{Analysis, Method};
pub use jurisdictions::jurisdiction_words;
use page::Page;
pub(super) use page::Tone;

/// The whole report.
pub(super) fn write(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    run: &Run<'_>,
    style: &Style,
) -> io::Result<()> {
    let mut page = Page::first(out, style);
    let sessions = if style.wants(Kind::Session) || style.wants(Kind::Stats) {
        session_records(context, run.analysis)
    } else {
        Vec::new()
    };
    let alerts = if style.wants(Kind::Alert) { context.alerts(run.analysis) } else { Vec::new() };
    if let Some(rules) = context.rules_of_policy().filter(|_| style.wants(Kind::Alert)) {
        policy::top(&mut page, rules, run.analysis.sessions.len(), &alerts)?;
    }
    if style.wants(Kind::Stats) {
        summary::write(&mut page, run, &sessions)?;
        if let Some(words) = filtered(run.counts) {
            page.paragraph(0, &page::plain(words))?;
        }
    }
    if style.wants(Kind::Session) {
        overview::write(&mut page, &sessions)?;
    }
    if style.wants(Kind::Flow) {
        if !run.analysis.flows.is_empty() {
            page.blank()?;
            page.line(0, &[page::dim(live::flow_head())])?;
        }
        flows(&mut page, context, run.analysis)?;
    }
    if style.wants(Kind::Meeting) {
        meetings(&mut page, context, run.analysis)?;
    }
    if style.wants(Kind::Session) {
        for record in &sessions {
            session::write(&mut page, record, &of(&alerts, record))?;
        }
        jurisdictions::write(&mut page, &sessions)?;
    }
    if style.wants(Kind::Stats) {
        footer::write(&mut page, &stats_record(run))?;
    }
    Ok(())
}

/// How much of what was read `--bpf` let through.
pub(super) fn filtered(counts: Counts) -> Option<String> {
    let Counts { seen, analysed, filtered, .. } = counts;
    let words = format!("--bpf let {analysed} of {seen} packets through; the others were not looked at");
    (filtered > 0).then_some(words)
}

/// What stands over the lines of flows that [`write_records`] writes.
pub(super) fn write_head(out: &mut dyn io::Write, style: &Style) -> io::Result<()> {
    Page::first(out, style).line(0, &[page::dim(live::flow_head())])
}

/// Flows and sessions that have ended, while a run goes on.
pub(super) fn write_records(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    analysis: &Analysis,
    style: &Style,
) -> io::Result<()> {
    let mut page = Page::new(out, style);
    if style.wants(Kind::Flow) {
        flows(&mut page, context, analysis)?;
    }
    if style.wants(Kind::Session) {
        for (session, keys) in &analysis.sessions {
            let record = session_record(context, analysis, session, keys);
            let alerts = if style.wants(Kind::Alert) { context.alerts_of(session) } else { Vec::new() };
            session::write(&mut page, &record, &of(&alerts, &record))?;
        }
    }
    if style.wants(Kind::Meeting) {
        meetings(&mut page, context, analysis)?;
    }
    if style.wants(Kind::Alert) && !style.wants(Kind::Session) {
        let alerts = context.alerts(analysis);
        policy::beside(&mut page, &alerts.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The alerts of a session.
fn of<'r>(alerts: &'r [AlertRecord], record: &SessionRecord) -> Vec<&'r AlertRecord> {
    alerts.iter().filter(|alert| alert.session_id == record.session_id).collect()
}

/// Text in lines beside a margin of `left` columns.
pub(super) fn wrapped(words: &str, left: usize, width: Option<usize>) -> Vec<String> {
    let room = page::page_width(width).saturating_sub(left);
    page::wrap(&page::escape(words), room).into_iter().map(str::to_owned).collect()
}

fn meetings(page: &mut Page<'_>, context: &mut Context<'_>, analysis: &Analysis) -> io::Result<()> {
    // Media that is not encrypted has no key.
    let plain = analysis.sessions.iter().filter(|(_, keys)| keys.method == Method::None);
    let plain: BTreeSet<String> = plain.map(|(session, _)| session_id(session.id)).collect();
    for meeting in &analysis.meetings {
        meeting::write(page, &meeting_record(context, analysis, meeting), &plain)?;
    }
    Ok(())
}

/// An inventory; every list in full with `all`.
pub(super) fn write_inventory(
    out: &mut dyn io::Write,
    records: &InventoryRecords,
    all: bool,
    style: &Style,
) -> io::Result<()> {
    servers::write(&mut Page::new(out, style), records, all)
}

/// One record, as a run goes on.
pub(super) fn write_record(out: &mut dyn io::Write, record: &Record, style: &Style) -> io::Result<()> {
    live::write(out, record, style)
}

/// The page of one session.
pub(super) fn write_page(
    out: &mut dyn io::Write,
    record: &SessionRecord,
    alerts: &[&AlertRecord],
    style: &Style,
) -> io::Result<()> {
    session::write(&mut Page::new(out, style), record, alerts)
}

/// The end of a live run.
pub(super) fn write_stats(out: &mut dyn io::Write, run: &Run<'_>, style: &Style) -> io::Result<()> {
    footer::write(&mut Page::new(out, style), &stats_record(run))
}

/// One aligned line a flow; the widths are fixed, so that lines can be written as flows end.
fn flows(page: &mut Page<'_>, context: &Context<'_>, analysis: &Analysis) -> io::Result<()> {
    let owners = super::build::sessions_of_flows(analysis);
    for (judged, owner) in analysis.flows.iter().zip(&owners) {
        let owner = owner.map(session_id);
        let record = flow_record(context, judged, owner.as_deref());
        page.line(0, &[page::plain(live::flow_line(&record))])?;
    }
    if !analysis.flows.is_empty() {
        page.blank()?;
    }
    Ok(())
}

/// One word for why a jurisdiction reaches a server.
pub(super) const fn basis_word(basis: crate::geo::Basis) -> &'static str {
    use crate::geo::Basis;
    match basis {
        Basis::LocatedIn => "location",
        Basis::RegisteredIn => "registration",
        Basis::OperatedBy => "network",
        Basis::ServiceOperator => "service operator",
    }
}
