//! What is answered to which request.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use tokio::time::Instant;

use super::access::Door;
use super::{Shared, access, page};
use crate::board::{Board, Name, Past, as_alert, as_session};
use crate::metrics::Format;
use crate::report::{Record, fragment, write_json};

/// Records in one answer, where nothing else is asked for, and at most.
const LIMIT: usize = 100;
const MOST: usize = 500;
/// Bytes of a form.
const FORM: usize = 4_096;
/// Seconds without news after which the run is not well.
const STALE_S: u64 = 15;

const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// All routes.
pub(super) fn dashboard(shared: &Arc<Shared>) -> Router {
    let routes = Router::new()
        .route("/", get(home))
        .route("/login", get(|| async { page::login(false) }).post(login))
        .route("/logout", post(|| async { access::logout() }))
        .route("/assets/style.css", get(|| async { typed(STYLE, fragment::style()) }))
        .route("/assets/dashboard.css", get(|| async { typed(STYLE, page::STYLE) }))
        .route("/assets/shared.js", get(|| async { typed(SCRIPT, fragment::script()) }))
        .route("/assets/dashboard.js", get(|| async { typed(SCRIPT, page::SCRIPT) }))
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/sessions/{id}", get(session))
        .route("/api/v1/sessions/{id}/page", get(session_page))
        .route("/api/v1/meetings", get(meetings))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/history", get(history))
        .route("/api/v1/events", get(events))
        .layer(DefaultBodyLimit::max(FORM));
    routes
        .merge(common())
        .layer(middleware::from_fn_with_state(Door::new(shared, false), access::guard))
        .with_state(Arc::clone(shared))
}

/// Metrics and health, for an address of their own: one that no other machine reaches is open.
pub(super) fn metrics_only(shared: &Arc<Shared>, is_open: bool) -> Router {
    common()
        .layer(middleware::from_fn_with_state(Door::new(shared, is_open), access::guard))
        .with_state(Arc::clone(shared))
}

fn common() -> Router<Arc<Shared>> {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health))
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// As records are written elsewhere: what a terminal would obey is written out.
fn json(value: &impl Serialize) -> Response {
    let mut body = Vec::new();
    // Writing to memory does not fail.
    let _ = write_json(&mut body, value);
    typed(JSON, body)
}

async fn home(State(shared): State<Arc<Shared>>) -> Response {
    Html(page::dashboard(shared.token.is_some())).into_response()
}

async fn login(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    access::login(&shared, &String::from_utf8_lossy(&body))
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    match shared.hub.age(Instant::now()) {
        Some(age) if age <= STALE_S => "ok\n".into_response(),
        Some(age) => (StatusCode::SERVICE_UNAVAILABLE, format!("no news for {age} s\n")).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no news yet\n").into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(text) = &shared.metrics_text else { return missing() };
    let visitors = shared.counters.read();
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::asked_for(accept.unwrap_or_default());
    let text = text(format, visitors);
    typed(format.content_type(), text)
}

async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Some(body) = shared.hub.join(&shared.board, Instant::now()) else {
        let wait = [(header::RETRY_AFTER, "30")];
        return (StatusCode::SERVICE_UNAVAILABLE, wait, "Too many browsers take events.\n").into_response();
    };
    // A proxy in between is not to gather events.
    ([(header::CONTENT_TYPE, "text/event-stream"), (BUFFERING, "no")], body).into_response()
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "There is no such thing.\n").into_response()
}

/// What a question asks for: `limit`, and the name `after` which to go on.
struct Asked<'q> {
    limit: usize,
    after: Option<&'q str>,
}

impl<'q> Asked<'q> {
    /// Or what is wrong with the question.
    fn of(uri: &'q Uri) -> Result<Self, &'static str> {
        let mut asked = Self { limit: LIMIT, after: None };
        for (name, value) in uri.query().unwrap_or_default().split('&').filter_map(|one| one.split_once('='))
        {
            match name {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    asked.limit = limit.ok_or("limit is a number from 1 to 500\n")?;
                }
                "after" => asked.after = Some(value),
                _ => return Err("limit and after can be asked for\n"),
            }
        }
        Ok(asked)
    }
}

/// One page of a list under its name.
struct Listed<T> {
    name: &'static str,
    list: Vec<T>,
    total: usize,
    next_after: Option<String>,
}

impl<T: Serialize> Serialize for Listed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut page = serializer.serialize_map(Some(3))?;
        page.serialize_entry(self.name, &self.list)?;
        page.serialize_entry("total", &self.total)?;
        page.serialize_entry("next_after", &self.next_after)?;
        page.end()
    }
}

/// One page of records, of which one more was taken than is shown, and the name to go on after.
fn listed<T: Serialize>(
    name: &'static str,
    limit: usize,
    mut records: Vec<(String, T)>,
    total: usize,
) -> Response {
    let more = records.len() > limit;
    records.truncate(limit);
    let next_after = records.last().filter(|_| more).map(|(id, _)| id.clone());
    let list = records.into_iter().map(|(_, value)| value).collect();
    json(&Listed { name, list, total, next_after })
}

async fn sessions(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    records(&shared, &uri, "sessions", Board::session_records)
}

async fn meetings(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    records(&shared, &uri, "meetings", Board::meeting_records)
}

async fn alerts(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    records(&shared, &uri, "alerts", Board::alert_records)
}

/// Records are taken under the lock and written out of it, and only those of the page that is asked for.
fn records(
    shared: &Shared,
    uri: &Uri,
    name: &'static str,
    take: impl Fn(&Board) -> Vec<Arc<Record>>,
) -> Response {
    let asked = match Asked::of(uri) {
        Ok(asked) => asked,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let all = take(&shared.board());
    let total = all.len();
    // What the last page ended with may be over by now.
    let begin = asked
        .after
        .map(Name::of)
        .map_or(0, |after| all.partition_point(|record| Name::of(&id(record)) <= after));
    let shown = all.iter().skip(begin).take(asked.limit.saturating_add(1));
    let shown = shown.map(|record| (id(record), &**record)).collect();
    listed(name, asked.limit, shown, total)
}

fn id(record: &Record) -> String {
    match record {
        Record::Session(session) => session.session_id.clone(),
        Record::Meeting(meeting) => meeting.meeting_id.clone(),
        Record::Alert(alert) => alert.alert_id.clone(),
        Record::Flow(_)
        | Record::Software(_)
        | Record::Server(_)
        | Record::Inventory(_)
        | Record::Stats(_) => String::new(),
    }
}

async fn session(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let found = shared.board().session(&id);
    found.map_or_else(missing, |record| json(&*record))
}

/// The session as the report shows it, without the page around it.
async fn session_page(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let (found, alerts) = {
        let board = shared.board();
        (board.session(&id), board.alert_records())
    };
    let Some(record) = found else { return missing() };
    let Some(session) = as_session(&record) else { return missing() };
    let alerts: Vec<_> =
        alerts.iter().filter_map(as_alert).filter(|alert| alert.session_id == session.session_id).collect();
    Html(fragment::session(session, &alerts)).into_response()
}

async fn stats(State(shared): State<Arc<Shared>>) -> Response {
    let stats = shared.board().stats_record();
    stats.map_or_else(missing, |record| json(&*record))
}

async fn history(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let asked = match Asked::of(&uri) {
        Ok(asked) => asked,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    // The latest first. Rows are copied under the lock and written out of it.
    let (rows, total) = {
        let board = shared.board();
        let mut rows = board.history().rev();
        if let Some(after) = asked.after {
            // If its day is over, so is that of those after it.
            let _ = rows.any(|past| past.session_id == after);
        }
        let rows: Vec<Past> = rows.take(asked.limit.saturating_add(1)).cloned().collect();
        (rows, board.history_len())
    };
    let rows = rows.iter().map(|past| (past.session_id.clone(), page::past(past))).collect();
    listed("history", asked.limit, rows, total)
}
