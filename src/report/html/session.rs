//! One session: what stands out first, then who could hold the key, when whom, whose law, the cipher, the quality, and why it is
//! believed. In: its record and those of its flows. Out: markup, closed until it is asked for.

use super::super::record::{AlertRecord, EvidenceRecord, Finding, FlowRecord, SessionRecord, Severity};
use super::super::text::session::{bytes, lasting, percent};
use super::super::text::summary::app_word;
use super::markup::Html;
use super::quality::{self, Charts};
use super::{alerts, cipher, holders, law, places, timeline, words};

/// Findings of one session shown.
const FINDINGS: usize = 24;
/// Flows of one session shown.
const FLOWS: usize = 40;

/// A session as the page shows it.
pub(super) struct View<'r> {
    pub(super) record: &'r SessionRecord,
    pub(super) flows: &'r [FlowRecord],
    /// Flows that are not in `flows`.
    pub(super) flows_left_out: usize,
    /// What rules of a policy came to.
    pub(super) alerts: Vec<&'r AlertRecord>,
    pub(super) charts: Vec<Charts>,
    /// Values of the charts as tables, too.
    pub(super) full: bool,
}

/// All of it, without the element around it.
pub(super) fn body(html: &mut Html, view: &View<'_>) {
    let record = view.record;
    facts(html, record);
    findings(html, &record.findings);
    alerts::beside(html, &view.alerts);
    holders::write(html, record);
    timeline::write(html, record, view.flows);
    places::jurisdictions(html, record);
    law::write(html, record);
    cipher::write(html, record);
    quality::write(html, record, &view.charts, view.full);
    html.raw("<h3>What this rests on</h3>");
    evidence(html, &record.evidence);
    places::servers(html, record);
    cipher::connections(html, record);
    flows(html, view);
}

/// The line that is seen while it is closed.
pub(super) fn title(html: &mut Html, record: &SessionRecord) {
    html.raw("<span class=\"sid\">").text(&record.session_id).raw("</span> <b>");
    html.cut().text(&app_word(record.app.as_deref())).raw("</b> ").cut();
    words::severity(html, words::gravest(record));
    html.raw(" <span class=\"dim\">")
        .text(&record.endpoint.ip)
        .raw(", ")
        .text(&words::day_and_clock(&record.start));
    html.raw(" UTC, ").text(&words::length(record.duration_s)).raw("</span>");
}

fn facts(html: &mut Html, record: &SessionRecord) {
    html.raw("<dl class=\"facts\">");
    let app = match (&record.app_name, &record.app) {
        (Some(name), Some(_)) => format!("{name} ({} sure)", percent(record.confidence)),
        _ => "media of no known app".to_owned(),
    };
    html.pair("App", &app);
    let seen =
        record.endpoint.public_ip.as_ref().map(|ip| format!(", seen by servers as {ip}")).unwrap_or_default();
    html.pair(
        "Endpoint",
        &format!("{}{seen}; {}", record.endpoint.ip, record.endpoint.located_in.sentence()),
    );
    let media = record
        .media_start
        .as_ref()
        .map(|at| format!(", media from {}", words::clock(at)))
        .unwrap_or_default();
    html.pair(
        "When",
        &format!(
            "{} to {} UTC, {} {}{media}",
            words::day_and_clock(&record.start),
            words::day_and_clock(&record.end),
            lasting(record),
            words::length(record.duration_s)
        ),
    );
    if let Some(meeting) = &record.meeting_id {
        html.raw("<div><dt>Meeting</dt><dd><a").attr("href", &format!("#{meeting}")).raw(">").text(meeting);
        html.raw("</a>, with other sessions of this report</dd></div>");
    }
    html.raw("</dl>");
}

fn findings(html: &mut Html, findings: &[Finding]) {
    if findings.is_empty() {
        html.raw("<p class=\"note\">No finding.</p>");
        return;
    }
    html.raw("<ul class=\"findings\">");
    for finding in findings.iter().take(FINDINGS) {
        html.raw(match finding.severity {
            Severity::High => "<li class=\"high\">",
            Severity::Notice => "<li class=\"notice\">",
        });
        words::severity(html, Some(finding.severity));
        html.raw(" ")
            .cut()
            .text(&finding.text)
            .cut()
            .raw(" <small class=\"dim\">")
            .raw(finding.id)
            .raw("</small> ");
        html.packets(&finding.packets);
        html.raw("</li>");
    }
    html.raw("</ul>");
    let more = findings.len().saturating_sub(FINDINGS);
    if more > 0 {
        html.word("p", "note", &format!("and {more} more, in the session record"));
    }
}

/// Unchecked sources add weight and are no facts: they are marked.
fn evidence(html: &mut Html, evidence: &[EvidenceRecord]) {
    if evidence.is_empty() {
        return;
    }
    html.fold("Why this app", |html| {
        html.table("Reasons for the app", &["#Weight alone", "Reason", "Value", "Seen in"], |html| {
            for item in evidence {
                html.raw("<tr>");
                html.word("td", "n", &format!("{:.2}", item.weight));
                html.word("td", "", item.what);
                html.raw("<td class=\"wrap\">").cut().text(&item.value);
                if item.unchecked {
                    html.raw(" <span class=\"chip plain\">? unchecked source</span>");
                }
                html.cut().raw("</td><td>");
                html.packets(item.packet.as_slice());
                html.raw("</td></tr>");
            }
        });
    });
}

fn flows(html: &mut Html, view: &View<'_>) {
    if view.flows.is_empty() {
        return;
    }
    let total = view.flows.len().saturating_add(view.flows_left_out);
    html.fold(&words::counted(total, "flow"), |html| {
        let heads =
            ["#Id", "From", "To", "", "Role", "#Packets out / back", "#Bytes", "Begin", "First packet"];
        html.table("Flows of the session", &heads, |html| {
            for flow in view.flows.iter().take(FLOWS) {
                let end = |ip: &str, port: Option<u16>| match port {
                    Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
                    Some(port) => format!("{ip}:{port}"),
                    None => ip.to_owned(),
                };
                html.raw("<tr>");
                html.word("td", "n", &flow.flow_id.to_string());
                html.word("td", "", &end(&flow.src_ip, flow.src_port));
                html.word("td", "", &end(&flow.dest_ip, flow.dest_port));
                html.word("td", "", &flow.proto);
                html.word("td", "", flow.role_word());
                html.word("td", "n", &format!("{} / {}", flow.flow.pkts_toserver, flow.flow.pkts_toclient));
                html.word(
                    "td",
                    "n",
                    &bytes(flow.flow.bytes_toserver.saturating_add(flow.flow.bytes_toclient)),
                );
                html.word("td", "", words::clock(&flow.flow.start));
                html.raw("<td>");
                html.packets(&[flow.flow.first_packet]);
                html.raw("</td></tr>");
            }
        });
        let more = total.saturating_sub(FLOWS);
        if more > 0 {
            html.word("p", "note", &format!("and {more} more, in the flow records"));
        }
    });
}
