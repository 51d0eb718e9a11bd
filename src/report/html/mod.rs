//! The report as a web page. In: the records of a run. Out: one file that asks nothing of any network.
//!
//! The page opens with the answer; it can be read, searched and printed without a script. Styles and script stand in the file, and
//! a content security policy allows these two by their hashes and nothing else, so that no string from the wire could run even if it
//! came through the escaping of [`markup`]. Details of the first sessions stand in the page; those of all others are kept in a
//! [`pool`] and put together when they are asked for, so that thousands of sessions stay usable.

mod alerts;
mod answer;
mod chart;
mod cipher;
mod footer;
pub mod fragment;
mod holders;
mod law;
mod list;
mod map;
mod markup;
mod meetings;
mod packed;
mod places;
mod pool;
mod quality;
mod servers;
mod session;
mod spark;
mod timeline;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::build::{session_id, session_records};
use super::record::{AlertRecord, FlowRecord, Kind, SessionRecord};
use super::{Context, Run, Style, flow_record, meeting_record, stats_record};
use crate::keys::Analysis;
use crate::session::Session;
use markup::Html;
use pool::{Pieces, Pool};
use session::View;

const STYLE: &str = include_str!("assets/style.css");
/// What any page with parts of this one needs.
const SHARED: &str = include_str!("assets/shared.js");
const SCRIPT: &str = concat!(include_str!("assets/shared.js"), include_str!("assets/report.js"));

/// Sessions whose details stand in the page itself, and how many where there are more than [`FEW`].
const WHOLE: (usize, usize) = (16, 6);
/// Sessions that are few: a browser lays all of them out at once.
const FEW: usize = 200;
/// Sessions in the file; a browser should not have to hold more.
const SESSIONS: usize = 20_000;
/// Sessions packed together: more would be smaller, and slower to open.
const PACKED: usize = 64;
/// Flows looked at of one session, for charts, lanes and the list.
const FLOWS: usize = 256;
/// Steps of a chart where there are few sessions, some hundred, and thousands.
const STEPS: [(usize, u64); 3] = [(200, 96), (1000, 60), (usize::MAX, 30)];

/// The whole page.
pub(super) fn write(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    run: &Run<'_>,
    style: &Style,
) -> io::Result<()> {
    let analysis = run.analysis;
    let sessions: Vec<SessionRecord> =
        if style.wants(Kind::Session) { session_records(context, analysis) } else { Vec::new() };
    let alerts = if style.wants(Kind::Alert) { context.alerts(analysis) } else { Vec::new() };
    let files: Rc<[String]> = run.files.iter().map(|file| file.name.clone()).collect();
    let mut html = Html::of_files(&files);
    head(&mut html, run, &sessions);
    if style.wants(Kind::Session) {
        let rules = context.rules_of_policy().filter(|_| style.wants(Kind::Alert));
        answer::write(&mut html, run, &sessions, rules.map(|rules| (rules, alerts.as_slice())));
    }
    if !sessions.is_empty() {
        map::write(&mut html, &sessions.iter().collect::<Vec<_>>());
    }
    if style.wants(Kind::Meeting) {
        let meetings: Vec<_> =
            analysis.meetings.iter().map(|meeting| meeting_record(context, analysis, meeting)).collect();
        meetings::write(&mut html, &meetings, &sessions);
    }
    if style.wants(Kind::Session) {
        listed(&mut html, context, analysis, style, (&sessions, &alerts, &files))?;
    }
    html.raw("</main>");
    if style.wants(Kind::Stats) {
        footer::write(&mut html, &stats_record(run));
    }
    html.raw("<script>").raw(SCRIPT).raw("</script></body></html>\n");
    out.write_all(html.finish().as_bytes())
}

/// `sha256-...` of what stands between the tags, as a content security policy names it.
fn policy_hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

fn policy() -> String {
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        policy_hash(STYLE),
        policy_hash(SCRIPT)
    )
}

fn head(html: &mut Html, run: &Run<'_>, sessions: &[SessionRecord]) {
    html.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\"");
    html.attr("content", &policy());
    html.raw("><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">");
    html.raw("<meta name=\"referrer\" content=\"no-referrer\"><meta name=\"robots\" content=\"noindex\"><title>meetscope report");
    if let Some(file) = run.files.first() {
        let name = file.name.rsplit(['/', '\\']).next().unwrap_or(&file.name);
        html.raw(": ").text(name);
        let more = run.files.len().saturating_sub(1);
        if more > 0 {
            html.say(format_args!(" and {}", words::counted(more, "more file")));
        }
    }
    html.raw("</title><style>").raw(STYLE).raw("</style></head><body>");
    html.raw(
        "<a class=\"skip\" href=\"#answer\">Skip to the answer</a><header><div><h1>meetscope <span>report</span></h1>\
         <nav aria-label=\"Parts of the report\"><a href=\"#answer\">Answer</a> ",
    );
    // There is no map of nothing.
    html.raw(if sessions.is_empty() { "" } else { "<a href=\"#map\">Map</a> " });
    html.raw(
        "<a href=\"#sessions\">Sessions</a> <a href=\"#about\">About</a></nav>\
         <p class=\"tools js\"><button type=\"button\" id=\"theme\">Dark</button> <button type=\"button\" id=\"print\">Print</button></p>\
         </div></header><main>",
    );
}

/// The list, the details of the first sessions, and the pool of all others.
fn listed(
    html: &mut Html,
    context: &mut Context<'_>,
    analysis: &Analysis,
    style: &Style,
    (sessions, alerts, files): (&[SessionRecord], &[AlertRecord], &Rc<[String]>),
) -> io::Result<()> {
    let mut order: Vec<usize> = (0..sessions.len()).collect();
    order.sort_by_key(|index| sessions.get(*index).map(words::gravity));
    let left_out = order.len().saturating_sub(SESSIONS);
    order.truncate(SESSIONS);
    let records: Vec<&SessionRecord> = order.iter().filter_map(|index| sessions.get(*index)).collect();
    list::write(html, &records, left_out);
    if records.is_empty() {
        return Ok(());
    }
    let steps = STEPS.iter().find(|(most, _)| records.len() <= *most).map_or(20, |(_, steps)| *steps);
    html.raw(
        "<section id=\"details\" aria-labelledby=\"details-h\"><h2 id=\"details-h\">Session by session</h2>",
    );
    let mut of_session: BTreeMap<&str, Vec<&AlertRecord>> = BTreeMap::new();
    for alert in alerts {
        of_session.entry(&alert.session_id).or_default().push(alert);
    }
    let whole = if records.len() > FEW { WHOLE.1 } else { WHOLE.0 };
    let mut pools = Pools::default();
    let mut entries: Vec<Entry> = Vec::with_capacity(records.len());
    for (place, index) in order.iter().enumerate() {
        let (Some(record), Some((session, _))) = (sessions.get(*index), analysis.sessions.get(*index)) else {
            continue;
        };
        let (flows, flows_left_out) = flows(context, analysis, style, session);
        let charts = quality::charts(record, &flows, steps);
        let alerts = of_session.get(record.session_id.as_str()).cloned().unwrap_or_default();
        let view = View { record, alerts, flows: &flows, flows_left_out, charts, full: place < whole };
        let mut detail = Html::of_files(files);
        detail.raw("<summary>");
        session::title(&mut detail, record);
        detail.raw("</summary><div class=\"inner\">").cut();
        session::body(&mut detail, &view);
        detail.raw("</div>");
        let body = if place < whole {
            html.raw(if place == 0 {
                "<details class=\"card session\" open"
            } else {
                "<details class=\"card session\""
            });
            html.attr("id", &record.session_id).raw(">").append(&detail);
            html.raw("</details>");
            None
        } else {
            Some(pools.bodies.add(&detail))
        };
        entries.push(pools.entry(record, body));
    }
    if records.len() > whole {
        html.raw("<p class=\"note\">").say(format_args!(
            "The first {whole} stand here; a script opens the others from the list, and prints those that are open."
        ));
        html.raw("</p>");
    }
    html.raw("</section>");
    data(html, pools, &records, &entries)
}

/// Pieces of the list, which is read at once, and of the details, which are read when they are asked for.
#[derive(Default)]
struct Pools {
    list: Pool,
    bodies: Pool,
}

impl Pools {
    fn entry(&mut self, record: &SessionRecord, body: Option<Pieces>) -> Entry {
        let (mut row, mut searched) = (Html::default(), Html::default());
        list::row(&mut row, record);
        list::searched(&mut searched, record);
        Entry { row: self.list.add(&row), searched: self.list.add(&searched), body }
    }
}

/// A session in the data of the script.
struct Entry {
    row: Pieces,
    searched: Pieces,
    /// None where it stands in the page.
    body: Option<Pieces>,
}

/// What the script works with: the list as it is, and the details packed.
fn data(html: &mut Html, pools: Pools, records: &[&SessionRecord], entries: &[Entry]) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let (list, bodies) = (pools.list.close(), pools.bodies.close());
    html.raw("<script type=\"application/json\" id=\"data\">{\"parts\":");
    html.json(&list.table().to_string());
    html.raw(",\"sessions\":[");
    let mut packed: Vec<Value> = Vec::new();
    for (place, (record, entry)) in records.iter().zip(entries).enumerate() {
        html.raw(if place == 0 { "\n" } else { ",\n" });
        let mut keys = list::keys(record);
        if let Value::Object(fields) = &mut keys {
            fields.insert("row".to_owned(), list.body(&entry.row));
            fields.insert("q".to_owned(), list.body(&entry.searched));
            if let Some(body) = &entry.body {
                // The number in the packed row; PACKED of them make a block.
                fields.insert("n".to_owned(), packed.len().into());
                packed.push(bodies.body(body));
            }
        }
        html.json(&keys.to_string());
    }
    html.raw("\n],\"block\":").json(&PACKED.to_string());
    html.raw("}</script>");
    if !packed.is_empty() {
        block(html, "b-parts", &bodies.table())?;
    }
    for (number, bodies) in packed.chunks(PACKED).enumerate() {
        block(html, &format!("b-{number}"), &Value::from(bodies.to_vec()))?;
    }
    Ok(())
}

fn block(html: &mut Html, id: &str, value: &Value) -> io::Result<()> {
    html.raw("<script type=\"text/plain\"").attr("id", id).raw(">");
    html.text(&packed::pack(&value.to_string())?).raw("</script>\n");
    Ok(())
}

/// Records of a session's flows, as far as they are wanted, and how many more there are.
fn flows(
    context: &Context<'_>,
    analysis: &Analysis,
    style: &Style,
    session: &Session,
) -> (Vec<FlowRecord>, usize) {
    if !style.wants(Kind::Flow) {
        return (Vec::new(), 0);
    }
    let name = session_id(session.id);
    let judged = session.flows.iter().filter_map(|index| analysis.flows.get(*index));
    let records = judged.take(FLOWS).map(|judged| flow_record(context, judged, Some(&name))).collect();
    (records, session.flows.len().saturating_sub(FLOWS))
}
