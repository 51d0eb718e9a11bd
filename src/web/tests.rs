//! Routes asked without a socket, and events taken without a browser: who is let in, what is said, what a slow reader costs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::*;
use crate::board;
use crate::report::record::{LiveRecord, Phase};
use crate::report::tests::Made;
use crate::report::{Record, Told};

const TOKEN: &str = "c3RyYW5nZXJzLWRvLW5vdC1rbm93LXRoaXM=";

fn told(record: Record) -> Told {
    Told { record: Arc::new(record), is_for_sinks: false }
}

fn in_phase(mut record: Record, phase: Phase, uptime_s: u64) -> Record {
    match &mut record {
        Record::Session(session) => session.phase = Some(phase),
        Record::Meeting(meeting) => meeting.phase = Some(phase),
        Record::Stats(stats) => {
            stats.phase = Some(phase);
            stats.live = Some(LiveRecord { uptime_s, ..LiveRecord::default() });
        }
        _ => {}
    }
    record
}

/// A board on which the sessions of a capture go on.
fn board_of(name: &str) -> Arc<Mutex<Board>> {
    let mut board = Board::new(board::Config::default());
    for record in Made::capture(name).records() {
        board.take(&told(in_phase(record, Phase::Begun, 7)));
    }
    Arc::new(Mutex::new(board))
}

fn shared_with(config: &Config, name: &str) -> Arc<Shared> {
    Shared::new(config, board_of(name))
}

fn with_token() -> Config {
    Config { token: Some(Token::new(TOKEN).unwrap()), ..Config::default() }
}

/// What came back, with its text.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

fn ask(router: &Router, request: Request<Body>) -> Answer {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let answer = router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
    })
}

fn get_with(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:8787");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn get(router: &Router, path: &str) -> Answer {
    ask(router, get_with(path, &[]))
}

#[test]
fn names_that_are_not_ours_are_refused() {
    let config = Config { hosts: vec!["Sniffer.example".to_owned()], ..Config::default() };
    let router = routes::dashboard(&shared_with(&config, "plain-rtp.pcapng"));
    let status = |host: &str| ask(&router, get_with("/healthz", &[("host", host)])).status;
    for ours in
        ["localhost:9", "127.0.0.1", "[::1]:8787", "192.0.2.7:8787", "sniffer.example", "SNIFFER.EXAMPLE.:80"]
    {
        assert_ne!(status(ours), StatusCode::MISDIRECTED_REQUEST, "{ours}");
    }
    for other in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8787", "", "a:b:c"] {
        assert_eq!(status(other), StatusCode::MISDIRECTED_REQUEST, "{other}");
    }
    let none = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(ask(&router, none).status, StatusCode::MISDIRECTED_REQUEST, "no name at all");
}

#[test]
fn other_sites_may_lead_here_and_read_nothing() {
    let shared = shared_with(&Config::default(), "plain-rtp.pcapng");
    let router = routes::dashboard(&shared);
    let status = |headers: &[(&str, &str)]| ask(&router, get_with("/api/v1/sessions", headers)).status;
    assert_eq!(status(&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]), StatusCode::OK);
    assert_eq!(
        status(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
        StatusCode::FORBIDDEN
    );
    assert_eq!(status(&[("origin", "https://evil.example")]), StatusCode::FORBIDDEN);
    assert_eq!(status(&[("origin", "http://127.0.0.1:8787")]), StatusCode::OK);
    let led =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(status(&led), StatusCode::OK);
    let framed =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    assert_eq!(status(&framed), StatusCode::FORBIDDEN);
    assert_eq!(shared.counters.read().refused_host, 3);
}

#[test]
fn without_the_token_only_the_door_is_shown() {
    let shared = shared_with(&with_token(), "plain-rtp.pcapng");
    let router = routes::dashboard(&shared);
    let home = get(&router, "/");
    assert_eq!(
        (home.status, home.headers[header::LOCATION].as_bytes()),
        (StatusCode::SEE_OTHER, &b"/login"[..])
    );
    for path in [
        "/api/v1/sessions",
        "/api/v1/sessions/s1/page",
        "/api/v1/events",
        "/api/v1/stats",
        "/metrics",
        "/nothing",
    ] {
        let refused = get(&router, path);
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(refused.headers.contains_key(header::WWW_AUTHENTICATE), "{path}");
    }
    for path in ["/login", "/assets/style.css", "/assets/dashboard.js"] {
        assert_eq!(get(&router, path).status, StatusCode::OK, "{path}");
    }
    let with = |value: &str| ask(&router, get_with("/api/v1/sessions", &[("authorization", value)])).status;
    assert_eq!(with(&format!("Bearer {TOKEN}")), StatusCode::OK);
    assert_eq!(with(&format!("bearer {TOKEN}")), StatusCode::OK, "the scheme's case does not count");
    for wrong in [&TOKEN[1..], &format!("{TOKEN}="), "", &TOKEN.to_lowercase()] {
        assert_eq!(with(&format!("Bearer {wrong}")), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    assert_eq!(with(TOKEN), StatusCode::UNAUTHORIZED, "no scheme");
    assert!(shared.counters.read().refused_token >= 12);
}

#[test]
fn the_form_gives_a_cookie_that_is_not_the_token() {
    let shared = shared_with(&with_token(), "plain-rtp.pcapng");
    let router = routes::dashboard(&shared);
    let post = |token: &str| {
        let request = Request::post("/login").header("host", "127.0.0.1:8787").header("origin", "null");
        ask(&router, request.body(Body::from(format!("token={token}\r\n"))).unwrap())
    };
    let wrong = post("not the token");
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(!wrong.headers.contains_key(header::SET_COOKIE));
    let right = post(TOKEN);
    assert_eq!(right.status, StatusCode::SEE_OTHER);
    let cookie = right.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    assert!(!pair.contains(TOKEN));
    let with = |value: &str| ask(&router, get_with("/api/v1/sessions", &[("cookie", value)])).status;
    assert_eq!(with(&format!("other=1; {pair}")), StatusCode::OK);
    assert_eq!(with(&format!("{pair}0")), StatusCode::UNAUTHORIZED);
    assert_eq!(with(&format!("meetscope={TOKEN}")), StatusCode::UNAUTHORIZED, "the token is no cookie");
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    let open = Config { dashboard: Some("0.0.0.0:0".parse().unwrap()), ..Config::default() };
    let error = bind(open).unwrap_err();
    assert!(matches!(error, WebError::TokenNeeded { .. }));
    assert!(error.to_string().contains("--web-token-file"), "{error}");
    let closed = Config { dashboard: Some("127.0.0.1:0".parse().unwrap()), ..Config::default() };
    assert!(bind(closed).unwrap().dashboard().is_some());
    assert!(matches!(Token::new("short"), Err(TokenError::Short { letters: 5 })));
    assert!(matches!(Token::new("one two three four five"), Err(TokenError::Letters)));
    assert!(!format!("{:?}", with_token()).contains(TOKEN));
}

/// What comes back at a socket until it is closed, as much of it as is let through.
fn ask_at(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    // It may be closed before all of it is sent.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn at_a_socket_large_heads_are_refused_and_metrics_on_loopback_are_open() {
    let text: MetricsText = Arc::new(|_, _| "counted\n".to_owned());
    let loopback = Some("127.0.0.1:0".parse().unwrap());
    let config = Config { dashboard: loopback, metrics: loopback, metrics_text: Some(text), ..with_token() };
    let bound = bind(config).unwrap();
    let (dashboard, metrics) = (bound.dashboard().unwrap(), bound.metrics().unwrap());
    let stop = Arc::<AtomicBool>::default();
    let handle = bound.serve(board_of("plain-rtp.pcapng"), Arc::clone(&stop)).unwrap();
    let get = |path: &str, padding: usize, end: &str| {
        let padding = "x".repeat(padding);
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\npadding: {padding}{end}")
    };
    for address in [dashboard, metrics] {
        let whole = ask_at(address, &get("/healthz", 70_000, "\r\n\r\n"));
        assert!(whole.starts_with("HTTP/1.1 431 "), "{whole}");
        let unfinished = ask_at(address, &get("/healthz", 390_000, ""));
        assert!(unfinished.starts_with("HTTP/1.1 431 "), "{unfinished}");
    }
    let large = ask_at(dashboard, &get("/login", 12_000, "\r\n\r\n"));
    assert!(large.starts_with("HTTP/1.1 200 "), "what browsers send is let in: {large}");
    assert_eq!(handle.counts().connections_cut, 4);
    let guarded = ask_at(dashboard, &get("/metrics", 0, "\r\n\r\n"));
    assert!(guarded.starts_with("HTTP/1.1 401 "), "{guarded}");
    let open = ask_at(metrics, &get("/metrics", 0, "\r\n\r\n"));
    assert!(open.starts_with("HTTP/1.1 200 ") && open.ends_with("counted\n"), "{open}");
    stop.store(true, Ordering::Relaxed);
    assert!(handle.join());
}

#[test]
fn one_peer_does_not_take_all_seats() {
    let seats = seats::Seats::new(8);
    let take = |address: &str| seats.take(address.parse().unwrap());
    let far: Vec<_> = (0..3).map(|_| take("192.0.2.7")).collect();
    assert_eq!(far.iter().flatten().count(), 2, "a quarter of them");
    let mapped = take("::ffff:192.0.2.7");
    assert!(mapped.is_none(), "the same address");
    let network = [take("2001:db8::1"), take("2001:db8::2"), take("2001:db8::3"), take("2001:db8:0:1::1")];
    assert_eq!(network.iter().flatten().count(), 3, "one network is one peer");
    assert!(network[3].as_ref().is_some_and(seats::Seat::is_crowded), "five of eight");
    drop(far);
    assert!(take("192.0.2.7").is_some_and(|seat| !seat.is_crowded()), "given back");
    let near: Vec<_> = (0..8).map(|_| take("127.0.0.1")).collect();
    assert_eq!(near.iter().flatten().count(), 5, "all that are left");
}

#[test]
fn every_answer_carries_what_keeps_browsers_in_bounds() {
    let router = routes::dashboard(&shared_with(&with_token(), "plain-rtp.pcapng"));
    for path in ["/", "/login", "/healthz", "/nothing", "/api/v1/stats"] {
        let headers = get(&router, path).headers;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
    }
    let page = get(&routes::dashboard(&shared_with(&Config::default(), "plain-rtp.pcapng")), "/").text;
    for banned in [" style=", " onclick=", " onload=", "<script>", "javascript:", "https://"] {
        assert!(!page.contains(banned), "{banned}");
    }
}

#[test]
fn records_are_given_in_pages_and_none_is_missing() {
    let shared = shared_with(&Config::default(), "hostile-names.pcapng");
    let router = routes::dashboard(&shared);
    let wanted: Vec<String> = shared.board().sessions().map(|session| session.session_id.clone()).collect();
    assert!(wanted.len() > 3, "{wanted:?}");
    let mut found = Vec::new();
    let mut path = "/api/v1/sessions?limit=2".to_owned();
    loop {
        let page: Value = serde_json::from_str(&get(&router, &path).text).unwrap();
        assert_eq!(page["total"], wanted.len());
        let list = page["sessions"].as_array().unwrap();
        assert!(list.len() <= 2);
        assert!(list.iter().all(|one| one["event_type"] == "session"));
        found.extend(list.iter().map(|one| one["session_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_after"].as_str() else { break };
        path = format!("/api/v1/sessions?limit=2&after={next}");
    }
    assert_eq!(found, wanted);
    assert_eq!(get(&router, "/api/v1/sessions?limit=0").status, StatusCode::BAD_REQUEST);
    assert_eq!(get(&router, "/api/v1/sessions?what=1").status, StatusCode::BAD_REQUEST);
    let end = get(&router, "/api/v1/sessions?after=s999999");
    let list: Value = serde_json::from_str(&end.text).unwrap();
    assert_eq!((end.status, &list["sessions"]), (StatusCode::OK, &serde_json::json!([])));
    assert_eq!(get(&router, "/api/v1/sessions/s999/page").status, StatusCode::NOT_FOUND);
    let one: Value =
        serde_json::from_str(&get(&router, &format!("/api/v1/sessions/{}", wanted[1])).text).unwrap();
    assert_eq!(one["session_id"], wanted[1].as_str());
    let stats: Value = serde_json::from_str(&get(&router, "/api/v1/stats").text).unwrap();
    assert_eq!(stats["event_type"], "stats");
}

/// All events of a browser that came first, as `(name, data)`.
fn events(body: Body) -> Vec<(String, Value)> {
    let runtime = Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(to_bytes(body, usize::MAX)).unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let events = text.split_terminator("\n\n").map(|event| {
        let line = |name: &str| {
            let mut lines = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            lines.next().unwrap_or_default().to_owned()
        };
        assert_eq!(event.lines().filter(|line| line.starts_with("data")).count(), 1, "one line of data");
        (line("event"), serde_json::from_str(&line("data")).unwrap())
    });
    events.collect()
}

fn ids(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_browser_gets_all_and_then_what_changes_until_the_end() {
    let shared = shared_with(&Config::default(), "zoom-beijing-2020.pcapng");
    let known: BTreeSet<String> =
        shared.board().sessions().map(|session| session.session_id.clone()).collect();
    let now = Instant::now();
    let body = shared.hub.join(&shared.board, now).unwrap();
    shared.hub.tick(&shared.board, now);
    let records = Made::capture("zoom-beijing-2020.pcapng").records();
    let first = records.into_iter().find(|record| matches!(record, Record::Session(_))).unwrap();
    let Record::Session(session) = &first else { panic!("not a session") };
    let id = session.session_id.clone();
    shared.board().take(&told(in_phase(first, Phase::Ended, 9)));
    shared.hub.tick(&shared.board, now + TICK);
    for record in Made::capture("zoom-beijing-2020.pcapng").records() {
        if matches!(record, Record::Session(_)) {
            shared.board().take(&told(in_phase(record, Phase::Ended, 10)));
        }
    }
    shared.hub.farewell(&shared.board, now + TICK * 2);
    let events = events(body);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["whole", "delta", "delta", "delta", "over"]);
    assert_eq!(ids(&events[0].1["sessions"]), known);
    assert!(events[0].1["answer"].as_str().unwrap().contains("calls go on"));
    assert_eq!(events[0].1["map"]["fills"]["CN"], "key", "the key server of 2020");
    assert!(events[1].1.get("sessions").is_none(), "nothing has changed: {}", events[1].1);
    assert_eq!(events[2].1["sessions_gone"], serde_json::json!([id]));
    assert_eq!(ids(&events[2].1["history"]), BTreeSet::from([id]));
    let last = events[3].1["answer"].as_str().unwrap();
    assert!(!last.contains("calls go on"), "what is left on the page after the end: {last}");
}

#[test]
fn what_is_sent_is_made_once_for_all() {
    let shared = shared_with(&Config::default(), "zoom-beijing-2020.pcapng");
    let now = Instant::now();
    let mut bodies: Vec<Body> = (0..100).map(|_| shared.hub.join(&shared.board, now).unwrap()).collect();
    assert_eq!(shared.counters.read().clients, 100);
    let runtime = Builder::new_current_thread().build().unwrap();
    let places: BTreeSet<*const u8> = bodies
        .iter_mut()
        .map(|body| {
            use futures_core::Stream as _;
            let mut stream = std::pin::pin!(std::mem::take(body).into_data_stream());
            let next = std::future::poll_fn(|context| stream.as_mut().poll_next(context));
            let bytes: Bytes = runtime.block_on(next).unwrap().unwrap();
            bytes.as_ptr()
        })
        .collect();
    assert_eq!(places.len(), 1, "all share the same bytes");
    assert_eq!(shared.counters.read().clients, 0, "those that went are not counted any more");
}

#[test]
fn a_browser_that_takes_nothing_is_let_go_and_others_stay() {
    let shared = shared_with(&Config::default(), "plain-rtp.pcapng");
    let now = Instant::now();
    let slow = shared.hub.join(&shared.board, now).unwrap();
    for second in 1..=20 {
        shared.hub.tick(&shared.board, now + TICK * second);
    }
    assert_eq!(shared.counters.read().clients_dropped, 1);
    let events = events(slow);
    assert!(events.len() <= 13, "its queue has an end: {}", events.len());
    let back = shared.hub.join(&shared.board, now + TICK * 21).unwrap();
    shared.hub.farewell(&shared.board, now + TICK * 22);
    assert_eq!(self::events(back)[0].0, "whole", "it gets all again");
}

#[test]
fn there_are_only_so_many_seats() {
    let shared = shared_with(&Config::default(), "plain-rtp.pcapng");
    let now = Instant::now();
    let seats: Vec<Body> =
        (0..events::CLIENTS).map(|_| shared.hub.join(&shared.board, now).unwrap()).collect();
    assert!(shared.hub.join(&shared.board, now).is_none());
    assert_eq!(shared.counters.read().refused_full, 1);
    drop(seats);
    assert!(shared.hub.join(&shared.board, now).is_some());
}

#[test]
fn strings_of_strangers_stay_words() {
    let shared = shared_with(&Config::default(), "hostile-names.pcapng");
    let router = routes::dashboard(&shared);
    let strings =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/captures/hostile-names.strings")).unwrap();
    let harmful: Vec<&str> = strings.lines().filter(|line| line.contains('<')).collect();
    assert!(!harmful.is_empty());
    let whole = shared.hub.join(&shared.board, Instant::now()).unwrap();
    shared.hub.farewell(&shared.board, Instant::now());
    let (_, event) = events(whole).swap_remove(0);
    let mut markup = vec![
        event["answer"].as_str().unwrap().to_owned(),
        event["map"]["table"].as_str().unwrap().to_owned(),
    ];
    markup.extend(
        event["sessions"].as_array().unwrap().iter().map(|one| one["row"].as_str().unwrap().to_owned()),
    );
    let names: Vec<String> = shared.board().sessions().map(|session| session.session_id.clone()).collect();
    markup.extend(names.iter().map(|id| get(&router, &format!("/api/v1/sessions/{id}/page")).text));
    let all = markup.join("\n");
    assert!(all.contains("&lt;"), "the strings are there, as words");
    for string in harmful {
        assert!(!all.contains(string), "{string}");
    }
    for banned in ["<script", "<img", "<iframe", "onerror=\"", "javascript:"] {
        assert!(!all.to_lowercase().contains(banned), "{banned}");
    }
}

#[test]
fn health_is_news() {
    let shared = shared_with(&Config::default(), "plain-rtp.pcapng");
    let router = routes::metrics_only(&shared, false);
    assert_eq!(get(&router, "/healthz").status, StatusCode::SERVICE_UNAVAILABLE, "nothing was looked at yet");
    shared.hub.tick(&shared.board, Instant::now());
    assert_eq!(get(&router, "/healthz").status, StatusCode::OK);
    assert_eq!(get(&router, "/metrics").status, StatusCode::NOT_FOUND, "nobody makes the text");
    assert_eq!(get(&router, "/").status, StatusCode::NOT_FOUND, "no dashboard at that address");
    let text: MetricsText =
        Arc::new(|format, visitors| format!("{format:?}, clients {}\n", visitors.clients));
    let shared = shared_with(&Config { metrics_text: Some(text), ..with_token() }, "plain-rtp.pcapng");
    assert_eq!(get(&routes::metrics_only(&shared, false), "/metrics").status, StatusCode::UNAUTHORIZED);
    let metrics = get(&routes::metrics_only(&shared, true), "/metrics");
    assert_eq!(metrics.text, "Prometheus, clients 0\n");
    assert!(metrics.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
}

#[test]
#[ignore = "serves a dashboard for the eye, at 127.0.0.1:8788 for MEETSCOPE_SHOW seconds"]
fn shows_a_dashboard() {
    let seconds: u64 = std::env::var("MEETSCOPE_SHOW").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let board = board_of("zoom-beijing-2020.pcapng");
    let captures = ["sip-sdes.pcapng", "dtls-srtp.pcapng", "hostile-names.pcapng", "zoom-gcm.pcapng"];
    let mut records: Vec<Record> = captures.iter().flat_map(|name| Made::capture(name).records()).collect();
    for (number, record) in records.iter_mut().enumerate() {
        if let Record::Session(session) = record {
            session.session_id = format!("s{}", 5_000 + number);
        }
    }
    let config = Config { dashboard: Some("127.0.0.1:8788".parse().unwrap()), ..Config::default() };
    let stop = Arc::<AtomicBool>::default();
    let handle = serve(config, Arc::clone(&board), Arc::clone(&stop)).unwrap();
    let stats = Made::capture("plain-rtp.pcapng").records().pop().unwrap();
    for second in 1..=seconds {
        let mut now = in_phase(stats.clone(), Phase::Update, second);
        if let Record::Stats(stats) = &mut now {
            stats.packets.seen = second * 5_000 + second % 7 * 400;
            stats.packets.dropped = second / 20 * 31;
            stats.packets.dropped_by_kernel = stats.packets.dropped;
        }
        let mut board = board.lock().unwrap();
        board.take(&told(now));
        if let Some(record) = records.pop() {
            let phase = if second % 3 == 0 { Phase::Ended } else { Phase::Begun };
            if !matches!(record, Record::Stats(_)) {
                board.take(&told(in_phase(record, phase, second)));
            }
        }
        drop(board);
        thread::sleep(Duration::from_secs(1));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(handle.join());
}
