//! What a run on interfaces tells a person who looks on: a line for what begins, a page for what is over, alerts at once.
//!
//! Updates are left out: each repeats what the page will say, and an alert comes by itself.

use std::collections::BTreeSet;
use std::io;

use super::super::Style;
use super::super::record::{
    AlertRecord, FlowRecord, Kind, MeetingRecord, Phase, Record, SessionRecord, Severity,
};
use super::super::time;
use super::page::{Cell, Page, Tone, dim, plain};
use super::summary::app_word;
use super::{footer, meeting, overview, policy, session};

/// Width of what stands before a line: a time.
const LABEL: usize = 21;

pub(super) fn write(out: &mut dyn io::Write, record: &Record, style: &Style) -> io::Result<()> {
    let mut page = Page::new(out, style);
    match record {
        Record::Flow(flow) if style.wants(Kind::Flow) => page.line(0, &[plain(flow_line(flow))]),
        Record::Session(record) if style.wants(Kind::Session) => one_session(&mut page, record),
        Record::Meeting(record) if style.wants(Kind::Meeting) => one_meeting(&mut page, record),
        Record::Alert(record) if style.wants(Kind::Alert) => alert(&mut page, record),
        Record::Stats(record) if style.wants(Kind::Stats) && is_over(record.phase) => {
            footer::write(&mut page, record)
        }
        Record::Flow(_)
        | Record::Session(_)
        | Record::Meeting(_)
        | Record::Alert(_)
        | Record::Stats(_)
        | Record::Software(_)
        | Record::Server(_)
        | Record::Inventory(_) => Ok(()),
    }
}

fn is_over(phase: Option<Phase>) -> bool {
    matches!(phase, None | Some(Phase::Ended))
}

fn one_session(page: &mut Page<'_>, record: &SessionRecord) -> io::Result<()> {
    if is_over(record.phase) {
        return session::write(page, record, &[]);
    }
    if record.phase != Some(Phase::Begun) {
        return Ok(());
    }
    let grave = record.findings.iter().any(|finding| finding.severity == Severity::High);
    let text = format!(
        "{} begun: {} at {}; {}",
        record.session_id,
        app_word(record.app.as_deref()),
        record.endpoint.ip,
        overview::able_words(record)
    );
    let tone = if grave { Tone::Alarm } else { Tone::Plain };
    page.labelled(0, &when(record.told_at.as_deref(), &record.start), LABEL, &(tone, text))
}

/// When it was told, so that lines come in order; else when what it tells of began.
fn when(told_at: Option<&str>, begun: &str) -> Cell {
    dim(time::plain_of(told_at.unwrap_or(begun)))
}

fn one_meeting(page: &mut Page<'_>, record: &MeetingRecord) -> io::Result<()> {
    if is_over(record.phase) { meeting::write(page, record, &BTreeSet::new()) } else { Ok(()) }
}

fn alert(page: &mut Page<'_>, record: &AlertRecord) -> io::Result<()> {
    let text = format!("{} of {}:", record.session_id, record.src_ip);
    page.labelled(0, &when(record.told_at.as_deref(), &record.timestamp), LABEL, &plain(text))?;
    policy::beside(page, &[record])
}

/// What the columns of [`flow_line`] hold.
pub(super) fn flow_head() -> String {
    format!(
        "{:>7}  {:<19}  {:<4} {:<21} -> {:<21}  {:<12} {:<10} {:<4} {:>7}/{:<7} {:<7} name",
        "flow", "begun (UTC)", "over", "from", "to", "app", "role", "sure", "packets", "back", "session"
    )
}

/// One aligned line; the widths are fixed, so that lines can be written as flows end.
pub(super) fn flow_line(flow: &FlowRecord) -> String {
    let end = |ip: &str, port: Option<u16>| match port {
        Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
        Some(port) => format!("{ip}:{port}"),
        None => ip.to_owned(),
    };
    let name = flow
        .tls
        .as_ref()
        .and_then(|tls| tls.sni.as_deref())
        .or_else(|| flow.dns.as_ref()?.questions.first().map(|name| &**name));
    let line = format!(
        "{:>7}  {}  {:<4} {:<21} -> {:<21}  {:<12} {:<10} {:.2} {:>7}/{:<7} {:<7} {}",
        flow.flow_id,
        time::plain_of(&flow.timestamp),
        flow.proto,
        end(&flow.src_ip, flow.src_port),
        end(&flow.dest_ip, flow.dest_port),
        flow.app.as_deref().unwrap_or("-"),
        flow.role_word(),
        flow.confidence,
        flow.flow.pkts_toserver,
        flow.flow.pkts_toclient,
        flow.session_id.as_deref().unwrap_or("-"),
        name.unwrap_or_default(),
    );
    line.trim_end().to_owned()
}
