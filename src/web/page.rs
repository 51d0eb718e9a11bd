//! What browsers show. In: the board. Out: JSON with figures, and markup in which every word from the wire is escaped.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::board::{Board, Changes, GoneNames, Past, Point, as_alert, as_meeting, as_session};
use crate::metrics::Visitors;
use crate::report::fragment;
use crate::report::record::{AlertRecord, MeetingRecord, Record, SessionRecord, Severity, StatsRecord};

const PAGE: &str = include_str!("assets/dashboard.html");
const LOGIN: &str = include_str!("assets/login.html");
/// The script of the page.
pub(super) const SCRIPT: &str = include_str!("assets/dashboard.js");
/// The style that the page has beside that of the report.
pub(super) const STYLE: &str = include_str!("assets/dashboard.css");

/// The page: all that it shows comes as events.
pub(super) fn dashboard(has_token: bool) -> String {
    let logout = if has_token {
        "<form method=\"post\" action=\"/logout\" enctype=\"text/plain\"><button>Log out</button></form>"
    } else {
        ""
    };
    PAGE.replace("<!--list-->", &fragment::list_frame())
        .replace("<!--map-->", &fragment::world_frame())
        .replace("<!--logout-->", logout)
        .replace("<!--version-->", env!("CARGO_PKG_VERSION"))
}

/// The form that asks for the token.
pub(super) fn login(was_wrong: bool) -> axum::response::Html<String> {
    let words = if was_wrong { "<p class=\"warn\" role=\"alert\">That is not the token.</p>" } else { "" };
    axum::response::Html(LOGIN.replace("<!--words-->", words))
}

/// All that is current, shared with the board.
pub(super) struct All {
    sessions: Vec<Arc<Record>>,
    meetings: Vec<Arc<Record>>,
    alerts: Vec<Arc<Record>>,
    has_policy: bool,
}

impl All {
    pub(super) fn of(board: &Board) -> Self {
        Self {
            sessions: board.session_records(),
            meetings: board.meeting_records(),
            alerts: board.alert_records(),
            has_policy: board.stats().is_some_and(|stats| !stats.policies.is_empty()),
        }
    }

    fn sessions(&self) -> Vec<&SessionRecord> {
        let mut sessions: Vec<&SessionRecord> = self.sessions.iter().filter_map(as_session).collect();
        sessions.sort_by(|a, b| (&a.start, &a.session_id).cmp(&(&b.start, &b.session_id)));
        sessions
    }

    /// What is made of all sessions: the answer and the map.
    pub(super) fn parts(&self) -> BTreeMap<&'static str, Value> {
        let sessions = self.sessions();
        let meetings = self.meetings.iter().filter_map(as_meeting).count();
        let alerts: Vec<&AlertRecord> = self.alerts.iter().filter_map(as_alert).collect();
        let world = fragment::world(&sessions);
        BTreeMap::from([
            ("answer", fragment::answer(&sessions, meetings, &alerts, self.has_policy).into()),
            ("map", json!({"fills": world.fills, "markers": world.markers, "table": world.table})),
        ])
    }

    /// A row for each, the latest where there are too many.
    pub(super) fn rows(&self, event: &mut Map<String, Value>, sessions: usize, others: usize) {
        let latest = |records: &[Arc<Record>], most: usize| {
            records.iter().rev().take(most).cloned().collect::<Vec<_>>()
        };
        insert(event, "sessions", &latest(&self.sessions, sessions));
        insert(event, "meetings", &latest(&self.meetings, others));
        insert(event, "alerts", &latest(&self.alerts, others));
        event.insert("sessions_all".to_owned(), self.sessions.len().into());
    }
}

/// What has changed.
pub(super) fn changes(event: &mut Map<String, Value>, changes: &Changes, gone: &GoneNames) {
    insert(event, "sessions", &changes.sessions);
    insert(event, "meetings", &changes.meetings);
    insert(event, "alerts", &changes.alerts);
    let history: Vec<Value> = changes.ended.iter().map(past).collect();
    for (name, list) in [
        ("history", Value::from(history)),
        ("sessions_gone", gone.sessions.clone().into()),
        ("meetings_gone", gone.meetings.clone().into()),
        ("alerts_gone", gone.alerts.clone().into()),
    ] {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            event.insert(name.to_owned(), list);
        }
    }
}

fn insert(event: &mut Map<String, Value>, name: &str, records: &[Arc<Record>]) {
    let rows: Vec<Value> = records.iter().filter_map(row).collect();
    if !rows.is_empty() {
        event.insert(name.to_owned(), rows.into());
    }
}

fn row(record: &Arc<Record>) -> Option<Value> {
    match &**record {
        Record::Session(session) => Some(fragment::session_row(session)),
        Record::Meeting(meeting) => Some(meeting_row(meeting)),
        Record::Alert(alert) => Some(alert_row(alert)),
        Record::Flow(_)
        | Record::Software(_)
        | Record::Server(_)
        | Record::Inventory(_)
        | Record::Stats(_) => None,
    }
}

fn meeting_row(meeting: &MeetingRecord) -> Value {
    json!({
        "id": meeting.meeting_id,
        "at": meeting.start,
        "html": fragment::meeting(meeting),
    })
}

fn alert_row(alert: &AlertRecord) -> Value {
    json!({
        "id": alert.alert_id,
        "at": alert.timestamp,
        "session": alert.session_id,
        "fired": alert.fired,
        "sev": u8::from(alert.severity != Severity::High),
        "title": alert.title,
        "text": alert.text,
        "html": fragment::alert(alert),
    })
}

/// A session that is over.
pub(super) fn past(past: &Past) -> Value {
    json!({
        "id": past.session_id,
        "app": fragment::app(past.app.as_deref()),
        "ip": past.ip,
        "meeting": past.meeting_id,
        "start": past.start,
        "end": past.end,
        "dur": past.duration_s,
        "sev": past.severity.map_or(2, |severity| u8::from(severity != Severity::High)),
        "findings": past.findings,
        "alerts": past.alerts,
        "holders": past.holders,
        "cc": past.countries,
        "loss": past.loss_percent,
        "mos": past.mos,
        "whole": past.record.is_some(),
    })
}

/// `[uptime, seconds, packets, bytes, kernel, interface, us, sessions]`.
pub(super) fn point(point: &Point) -> Value {
    json!([
        point.uptime_s,
        point.seconds,
        point.packets,
        point.bytes,
        point.dropped_by_kernel,
        point.dropped_by_interface,
        point.dropped_by_us,
        point.sessions
    ])
}

/// The counters that change every second.
pub(super) fn counters(board: &Board, web: Visitors) -> Value {
    let kept = board.counters();
    let shown = json!({
        "sessions_left_out": kept.sessions_left_out,
        "meetings_left_out": kept.meetings_left_out,
        "alerts_left_out": kept.alerts_left_out,
        "history_left_out": kept.history_left_out,
        "details_left_out": kept.details_left_out,
    });
    let web = json!({
        "clients": web.clients,
        "clients_dropped": web.clients_dropped,
        "refused_full": web.refused_full,
        "refused_token": web.refused_token,
        "refused_host": web.refused_host,
        "connections_cut": web.connections_cut,
    });
    let run = board.stats().map_or(Value::Null, stats);
    json!({"run": run, "shown": shown, "web": web, "sessions": board.sessions_len()})
}

/// What of the counters changes: databases and tables are in the record.
fn stats(stats: &StatsRecord) -> Value {
    json!({
        "at": stats.timestamp,
        "packets": stats.packets,
        "bytes": stats.bytes_captured,
        "flows": stats.flows,
        "sessions": stats.sessions,
        "interfaces": stats.interfaces,
        "sinks": stats.sinks,
        "live": stats.live,
        "complete": stats.complete,
        "policies": stats.policies.iter().map(|policy| policy.rules).sum::<u64>(),
    })
}
