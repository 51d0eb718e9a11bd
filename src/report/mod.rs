//! Stage: what is said. In: an [`Analysis`] and the counts of a run. Out: records ([`record`]) as JSON, NDJSON
//! or text for people, as a table (CSV) or as logs of Zeek.
//!
//! The only stage that writes, and only to where the caller says. It reads no clock and asks no terminal: the caller
//! decides on colour. Every string that text shows is escaped, because strangers chose many of them.

mod build;
mod csv;
pub mod export;
mod hidden;
mod html;
mod json;
pub mod record;
mod text;
mod time;
mod told;
mod words;
mod writer;
mod zeek;

#[cfg(test)]
pub(crate) mod tests;

use std::io;

pub use build::{
    Context, Going, GoingMeeting, GoingSession, InventoryRecords, Kept, KeptContext, address_hint,
    flow_record, going, inventory_records, jurisdiction_record, meeting_record, session_record, stats_record,
};
pub use hidden::escape as visible;
pub use html::fragment;
pub use json::{write_json, write_json_pretty};
pub use record::{Kind, Record};
pub use text::jurisdiction_words;
pub use told::Told;
pub(crate) use words::word;
pub use zeek::ZeekLog;

use crate::classify::Rules;
use crate::decode;
use crate::decode::Counts;
use crate::flow::TableStats;
use crate::geo;
use crate::keys::Analysis;
use crate::servers::Inventory;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// For people: the gravest finding first, then a page per session.
    #[default]
    Text,
    /// One object with `flows`, `sessions`, `meetings`, `alerts` where there is a policy, and `stats`.
    Json,
    /// One record a line: flows, then sessions, then meetings, then alerts, then stats.
    Ndjson,
    /// A table of sessions, one a row.
    Csv,
    /// One log of Zeek; a run that writes all of them has an output for each.
    Zeek(ZeekLog),
    /// A web page in one file.
    Html,
}

/// Packets that were lost before they could be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "filled in by the reader of an interface")]
pub struct Dropped {
    /// By the kernel.
    pub kernel: u64,
    /// By the interface.
    pub interface: u64,
    /// By this program.
    pub own: u64,
}

impl Dropped {
    /// All of them.
    pub const fn total(self) -> u64 {
        self.kernel.saturating_add(self.interface).saturating_add(self.own)
    }
}

/// What [`write_records`] wrote before the end of a run, for its `stats` record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "counted by whoever writes records while a run goes on")]
pub struct Written {
    /// Flows.
    pub flows: u64,
    /// Of those: with an app.
    pub named: u64,
    /// Sessions.
    pub sessions: u64,
}

impl Written {
    /// Counts what an analysis holds.
    pub fn add(&mut self, analysis: &Analysis) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let named = analysis.flows.iter().filter(|judged| judged.verdict.provider.is_some()).count();
        self.flows = self.flows.saturating_add(count(analysis.flows.len()));
        self.named = self.named.saturating_add(count(named));
        self.sessions = self.sessions.saturating_add(count(analysis.flows_of_sessions().count()));
    }
}

/// A run that is over.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct Run<'a> {
    /// What is known of providers.
    pub rules: &'a Rules,
    /// Where addresses are looked up.
    pub databases: &'a geo::Databases,
    /// Flows and sessions.
    pub analysis: &'a Analysis,
    /// Flows and sessions that are not in `analysis` because they were written earlier.
    pub earlier: Written,
    /// What became of the packets.
    pub counts: Counts,
    /// What the decoder met.
    pub decode: &'a decode::Counters,
    /// What the flow tables did.
    pub table: TableStats,
    /// The inputs.
    pub files: Vec<record::FileRecord>,
    /// What memory it took, where that is wanted.
    pub memory: Option<record::MemoryRecord>,
    /// The command line, word by word, for the footer; empty where it is not wanted.
    pub command: Vec<String>,
    /// The policy files.
    pub policies: Vec<record::PolicyRecord>,
    /// The key logs.
    pub key_logs: Vec<record::KeyLogRecord>,
    /// What was lost.
    pub dropped: Dropped,
    /// What was let go, where captures were read in one pass.
    pub stream: Option<record::StreamRecord>,
    /// False when an input ended before its time.
    pub complete: bool,
}

/// How to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct Style {
    /// The format.
    pub format: Format,
    /// Which records; `None` is the format's own choice: text leaves out flows, the others leave out nothing.
    pub kinds: Option<Vec<Kind>>,
    /// Colour, for text.
    pub colour: bool,
    /// Columns of the terminal, for text; 100 where none is given.
    pub width: Option<usize>,
}

impl Style {
    /// Whether records of this kind are asked for.
    pub fn wants(&self, kind: Kind) -> bool {
        match &self.kinds {
            Some(kinds) => kinds.contains(&kind),
            None => self.format != Format::Text || kind != Kind::Flow,
        }
    }
}

/// Writes the report of a run. The caller buffers.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, run: &Run<'_>, style: &Style) -> io::Result<()> {
    let mut context = Context::new(run.rules, run.databases, run.files.len() > 1);
    let sessions = run.analysis.sessions.iter().map(|(session, _)| session);
    context.learn(&Inventory::of(run.rules, &run.analysis.flows, sessions));
    write_rest(out, &mut context, run, style)
}

/// Writes the report of what is left at the end of a run, with the context of what [`write_records`] wrote before.
///
/// # Errors
/// What `out` says.
pub fn write_rest(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    run: &Run<'_>,
    style: &Style,
) -> io::Result<()> {
    match style.format {
        Format::Text => text::write(out, context, run, style),
        Format::Json => writer::json(out, context, run, style),
        Format::Ndjson => {
            writer::lines(out, context, run.analysis, style)?;
            write_stats(out, run, style)
        }
        Format::Csv => csv::write(out, context, run, style),
        Format::Zeek(log) => zeek::write(out, context, run, style, log),
        Format::Html => html::write(out, context, run, style),
    }?;
    context.settle(run.analysis);
    Ok(())
}

/// Writes flows, sessions, meetings and alerts while a run goes on: those of `analysis`, flows first, in text or as NDJSON. The
/// other formats are documents and have no parts; NDJSON stands for them.
///
/// A live run calls this with what has ended since the last time, and [`write_stats`] once at its end.
///
/// # Errors
/// What `out` says.
pub fn write_records(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    analysis: &Analysis,
    style: &Style,
) -> io::Result<()> {
    match style.format {
        Format::Text => text::write_records(out, context, analysis, style),
        Format::Json | Format::Ndjson | Format::Csv | Format::Html | Format::Zeek(_) => {
            writer::lines(out, context, analysis, style)
        }
    }?;
    context.settle(analysis);
    context.forget_alerts();
    Ok(())
}

/// Writes what stands before all that [`write_records`] writes: in text, the names of the columns where flows are listed.
///
/// # Errors
/// What `out` says.
pub fn write_head(out: &mut dyn io::Write, style: &Style) -> io::Result<()> {
    if style.format == Format::Text && style.wants(Kind::Flow) {
        text::write_head(out, style)
    } else {
        Ok(())
    }
}

/// Makes flows, sessions, meetings and alerts of the kinds that are wanted, flows first, as [`write_records`] writes them.
pub fn each_record(
    context: &mut Context<'_>,
    analysis: &Analysis,
    kinds: Vec<Kind>,
    mut take: impl FnMut(Record),
) {
    let style = Style { kinds: Some(kinds), ..Style::default() };
    // Nothing is written here that could fail.
    let _ = writer::each(context, analysis, &style, |record| {
        take(record);
        Ok(())
    });
    context.settle(analysis);
    context.forget_alerts();
}

/// The name of a session in records.
pub fn session_name(number: u64) -> String {
    build::session_id(number)
}

/// Writes the last record of a run that was written by [`write_records`].
///
/// # Errors
/// What `out` says.
pub fn write_stats(out: &mut dyn io::Write, run: &Run<'_>, style: &Style) -> io::Result<()> {
    if !style.wants(Kind::Stats) {
        return Ok(());
    }
    match style.format {
        Format::Text => text::write_stats(out, run, style),
        Format::Json | Format::Ndjson | Format::Csv | Format::Html | Format::Zeek(_) => {
            writer::line(out, &Record::Stats(Box::new(stats_record(run))))
        }
    }
}

/// Writes one record as text, for somebody who looks on while a run goes on; nothing for what the text leaves out: updates, flows
/// that `style` does not ask for.
///
/// # Errors
/// What `out` says.
pub fn write_text(out: &mut dyn io::Write, record: &Record, style: &Style) -> io::Result<()> {
    text::write_record(out, record, style)
}

/// Writes the page of one session as text, whatever phase it is in, with the alerts that are given.
///
/// # Errors
/// What `out` says.
pub fn write_page(
    out: &mut dyn io::Write,
    session: &record::SessionRecord,
    alerts: &[&record::AlertRecord],
    style: &Style,
) -> io::Result<()> {
    text::write_page(out, session, alerts, style)
}

/// Text in lines beside a margin of `left` columns, as wide as reports are on a terminal of `width` columns: broken at spaces,
/// harmless on a terminal. A longer word stands alone.
pub fn wrapped(words: &str, left: usize, width: Option<usize>) -> Vec<String> {
    text::wrapped(words, left, width)
}

/// Writes an inventory of servers. In text, long lists are cut unless `all` is true.
///
/// # Errors
/// What `out` says.
pub fn write_inventory(
    out: &mut dyn io::Write,
    records: InventoryRecords,
    all: bool,
    style: &Style,
) -> io::Result<()> {
    match style.format {
        Format::Text => text::write_inventory(out, &records, all, style),
        Format::Json => writer::inventory_json(out, records),
        Format::Ndjson | Format::Csv | Format::Html | Format::Zeek(_) => {
            writer::inventory_lines(out, records)
        }
    }
}
