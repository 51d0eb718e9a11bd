//! Destinations with peers of this process: whole records, exact counts, nobody waited for.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::report::record::{MeetingRecord, Phase};
use crate::report::tests::{beijing, hostile};

const SOON: Duration = Duration::from_secs(5);

fn told(number: usize, phase: Phase, bytes: usize) -> Told {
    let meeting = MeetingRecord {
        timestamp: "2026-11-26T10:55:00.000000+0000".to_owned(),
        meeting_id: format!("m{number}"),
        phase: Some(phase),
        told_at: None,
        run: None,
        superseded_by: None,
        app: None,
        app_name: Some("x".repeat(bytes)),
        start: String::new(),
        end: String::new(),
        duration_s: 0.0,
        sessions: Vec::new(),
        participants_seen: 2,
        endpoints: Vec::new(),
        joined_by: Vec::new(),
        confidence: 0.5,
        jurisdictions: Vec::new(),
    };
    Told { record: Arc::new(Record::Meeting(Box::new(meeting))), is_for_sinks: true }
}

fn silent() -> Voice {
    Arc::new(|_| {})
}

fn ndjson() -> Style {
    Style { format: Format::Ndjson, ..Style::default() }
}

fn sinks(outlets: Vec<Outlet>, queue_bytes: u64) -> Sinks {
    let config = Config { outlets, style: ndjson(), queue_bytes };
    Opened::open(&config, &silent()).unwrap().start().unwrap()
}

fn sending_to(listener: &TcpListener, queue_bytes: u64) -> Sinks {
    let target = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    sinks(vec![Outlet::Send(target)], queue_bytes)
}

/// Waits until the counters of the only destination are as they should be.
fn until(sinks: &Sinks, wanted: impl Fn(&SinkRecord) -> bool) -> SinkRecord {
    let begun = clock::instant();
    loop {
        let record = sinks.records().remove(0);
        if wanted(&record) {
            return record;
        }
        assert!(begun.elapsed() < SOON, "{record:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn adds_up(record: &SinkRecord) {
    assert_eq!(record.offered, record.written + record.lost + record.queued, "{record:?}");
}

/// Numbers of the meetings on whole lines; half a line at the end is none.
fn numbers(text: &str) -> Vec<usize> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let number = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["meeting_id"].as_str().unwrap()[1..].parse().unwrap()
    };
    whole.lines().map(number).collect()
}

#[test]
fn a_peer_gets_every_record_once_and_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sinks = sending_to(&listener, DEFAULT_BYTES);
    let reader = thread::spawn(move || {
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        text
    });
    for number in 0..5000 {
        sinks.offer(&told(number, Phase::Update, 200));
    }
    sinks.offer(&Told { is_for_sinks: false, ..told(9999, Phase::Ended, 1) });
    let record = sinks.finish(SOON).remove(0);
    assert_eq!((record.offered, record.written, record.lost, record.in_doubt), (5000, 5000, 0, 0));
    assert_eq!(numbers(&reader.join().unwrap()), (0..5000).collect::<Vec<_>>());
}

/// The one who offers waits for nobody, and the peer that reads nothing costs what the counters say.
#[test]
fn a_peer_that_reads_nothing_stalls_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sinks = sending_to(&listener, 1 << 20);
    let (peer, _) = listener.accept().unwrap();
    let mut longest = Duration::ZERO;
    for number in 0..20_000 {
        let phase = if number % 1000 == 0 { Phase::Ended } else { Phase::Update };
        let begun = clock::instant();
        sinks.offer(&told(number, phase, 1000));
        longest = longest.max(begun.elapsed());
    }
    // A busy machine may take the processor away for a while; a wait for the peer would last until its end.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    let record = until(&sinks, |record| record.lost > 0);
    adds_up(&record);
    let begun = clock::instant();
    let record = sinks.finish(Duration::from_secs(1)).remove(0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    adds_up(&record);
    assert_eq!(record.queued, 0);
    // Whatever was handed over can be read still; what is over was lost last.
    let mut text = Vec::new();
    peer.set_read_timeout(Some(SOON)).unwrap();
    let _ = (&peer).read_to_end(&mut text);
    assert_eq!(count(numbers(&String::from_utf8_lossy(&text)).len()), record.written);
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap()
}

/// A peer that ends with records unread: they are in doubt, all others arrive, and none twice.
#[test]
fn a_peer_that_dies_leaves_no_more_in_doubt_than_buffers_hold() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sinks = sending_to(&listener, DEFAULT_BYTES);
    let (first, _) = listener.accept().unwrap();
    for number in 0..1000 {
        sinks.offer(&told(number, Phase::Ended, 100));
    }
    let mut seen = Vec::new();
    let mut reader = BufReader::with_capacity(64, first);
    for _ in 0..100 {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        seen.extend(numbers(&line));
    }
    drop(reader);
    let (second, _) = listener.accept().unwrap();
    let record = until(&sinks, |record| record.reconnects == 1);
    assert!(record.in_doubt > 0 && record.in_doubt <= 1000, "{record:?}");
    for number in 1000..1500 {
        sinks.offer(&told(number, Phase::Ended, 100));
    }
    let rest = thread::spawn(move || read_all(second));
    let record = sinks.finish(SOON).remove(0);
    seen.extend(numbers(&rest.join().unwrap()));
    let mut once = seen.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "no record comes twice");
    assert_eq!((record.offered, record.written, record.lost), (1500, 1500, 0));
    let missing = record.written - count(seen.len());
    assert!(missing <= record.in_doubt, "{missing} missing, {record:?}");
}

fn read_all(mut peer: TcpStream) -> String {
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    text
}

/// RFC 1122 section 4.2.2.13: a close without a reset says that all was read.
#[test]
fn a_peer_that_closes_in_order_leaves_nothing_in_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sinks = sending_to(&listener, DEFAULT_BYTES);
    let mut seen = 0;
    for round in 0..3 {
        let (peer, _) = listener.accept().unwrap();
        for number in 0..100 {
            sinks.offer(&told(number, Phase::Ended, 100));
        }
        let mut reader = BufReader::new(peer);
        for _ in 0..100 {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            seen += numbers(&line).len();
        }
        until(&sinks, |record| record.reconnects == round && record.queued == 0);
    }
    let record = sinks.finish(SOON).remove(0);
    assert_eq!((record.written, record.in_doubt, record.lost, seen), (300, 0, 0, 300));
}

/// What its system confirmed it may never read.
#[test]
fn a_peer_that_does_not_close_in_turn_leaves_in_doubt_what_it_did_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sinks = sending_to(&listener, DEFAULT_BYTES);
    let (peer, _) = listener.accept().unwrap();
    for number in 0..61 {
        sinks.offer(&told(number, Phase::Ended, 100));
    }
    until(&sinks, |record| record.written == 61);
    let record = sinks.finish(Duration::from_secs(1)).remove(0);
    assert_eq!((record.offered, record.written, record.in_doubt, record.lost), (61, 61, 61, 0));
    drop(peer);
}

/// A datagram that was sent is no sign that somebody listens.
#[test]
fn a_refusal_over_udp_is_told_once() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = Arc::new(Mutex::new(Vec::<String>::new()));
    let heard = Arc::clone(&said);
    let voice: Voice = Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
    let outlets = vec![Outlet::Send(format!("udp://{nobody}").parse().unwrap())];
    let config = Config { outlets, style: ndjson(), queue_bytes: DEFAULT_BYTES };
    let sinks = Opened::open(&config, &voice).unwrap().start().unwrap();
    for number in 0..5 {
        sinks.offer(&told(number, Phase::Ended, 10));
    }
    let record = until(&sinks, |record| record.queued == 0);
    assert_eq!((record.written, record.in_doubt), (5, 5));
    assert!(record.error.is_some(), "{record:?}");
    let said = said.lock().unwrap();
    assert!(said.len() == 1 && said[0].contains("refused"), "{said:?}");
}

/// The system says exactly what a peer on a Unix socket had not read.
#[test]
fn a_unix_socket_tells_the_end_of_its_peer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let sinks = sinks(vec![Outlet::Send(Target::Unix(path))], DEFAULT_BYTES);
    let (first, _) = listener.accept().unwrap();
    for number in 0..20 {
        sinks.offer(&told(number, Phase::Ended, 100));
    }
    until(&sinks, |record| record.written == 20);
    drop(first);
    let (second, _) = listener.accept().unwrap();
    let record = until(&sinks, |record| record.reconnects == 1);
    assert_eq!(record.in_doubt, 20);
    drop(second);
    let (third, _) = listener.accept().unwrap();
    assert_eq!(until(&sinks, |record| record.reconnects == 2).in_doubt, 20);
    drop(third);
}

#[test]
fn a_peer_that_is_not_there_yet_gets_what_waited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let sinks = sinks(vec![Outlet::Send(Target::Unix(path.clone()))], DEFAULT_BYTES);
    sinks.offer(&told(1, Phase::Ended, 10));
    let record = until(&sinks, |record| record.error.is_some());
    assert!(record.error.unwrap().starts_with("no connection"));
    let listener = UnixListener::bind(&path).unwrap();
    let (peer, _) = listener.accept().unwrap();
    let mut line = String::new();
    BufReader::new(peer).read_line(&mut line).unwrap();
    assert_eq!(numbers(&line), [1]);
    let record = until(&sinks, |record| record.written == 1);
    assert_eq!((record.error, record.lost, record.reconnects), (None, 0, 0));
}

#[test]
fn messages_of_syslog_are_counted_over_tcp_and_alone_in_datagrams() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("log");
    let unix = UnixDatagram::bind(&local).unwrap();
    let tcp = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let udp = format!("udp://{}", socket.local_addr().unwrap()).parse().unwrap();
    let outlets = vec![Outlet::Syslog(tcp), Outlet::Syslog(udp), Outlet::Syslog(Target::Unix(local))];
    let sinks = sinks(outlets, DEFAULT_BYTES);
    let records = beijing().all_records();
    let without_flows = records.iter().filter(|record| !matches!(record, Record::Flow(_))).count();
    assert!(without_flows >= 4 && without_flows < records.len());
    for record in records {
        sinks.offer(&Told { record: Arc::new(record), is_for_sinks: true });
    }
    let (peer, _) = listener.accept().unwrap();
    let reader = thread::spawn(move || read_all(peer));
    let mut datagrams = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; 65_536];
    socket.set_read_timeout(Some(SOON)).unwrap();
    unix.set_read_timeout(Some(SOON)).unwrap();
    for _ in 0..without_flows {
        let length = socket.recv(&mut buffer).unwrap();
        datagrams[0].push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        let length = unix.recv(&mut buffer).unwrap();
        datagrams[1].push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    let counters = sinks.finish(SOON);
    let text = reader.join().unwrap();
    let mut framed = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (length, more) = rest.split_once(' ').unwrap();
        let (message, more) = more.split_at(length.parse().unwrap());
        framed.push(message.to_owned());
        rest = more;
    }
    assert_eq!(framed.len(), without_flows);
    for message in framed.iter().chain(datagrams.iter().flatten()) {
        assert_is_rfc5424(message);
    }
    assert!(datagrams[0].iter().all(|message| message.len() <= 2048));
    assert!(framed.iter().all(|message| message.len() <= 8192));
    let in_doubt: Vec<u64> = counters.iter().map(|record| record.in_doubt).collect();
    assert_eq!(in_doubt, [0, count(without_flows), 0], "nobody confirms a datagram of UDP");
}

/// The grammar of RFC 5424 section 6, and JSON as MSG.
fn assert_is_rfc5424(message: &str) {
    let grammar = regex::Regex::new(
        r#"^<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} ((?:\[[!-~&&[^=\]" ]]{1,32}(?: [!-~&&[^=\]" ]]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*\])+) (.*)$"#,
    )
    .unwrap();
    let parts = grammar.captures(message).unwrap_or_else(|| panic!("{message}"));
    assert!(parts[1].parse::<u8>().unwrap() <= 191);
    assert!(parts[3].is_ascii(), "{message}");
    serde_json::from_str::<serde_json::Value>(&parts[3]).unwrap_or_else(|error| panic!("{error}: {message}"));
}

#[test]
fn what_strangers_chose_breaks_no_message_out_of_its_frame() {
    let origin = Origin { host: "h".to_owned(), process: 1 };
    for record in hostile().all_records() {
        for most in [syslog::MAX_DATAGRAM, syslog::MAX_STREAM, usize::MAX] {
            let mut json = Vec::new();
            crate::report::write_json(&mut json, &record).unwrap();
            let now = clock::rfc5424((1_795_690_500, 0));
            let message = String::from_utf8(syslog::message(&record, &json, &origin, &now, most)).unwrap();
            assert_is_rfc5424(&message);
            assert!(!message.contains(['\n', '\u{1b}', '\u{202e}']), "{message}");
            assert!(message.len() <= most);
        }
    }
}

#[test]
fn a_record_that_does_not_fit_is_named_and_not_cut() {
    let Told { record, .. } = told(7, Phase::Ended, 9000);
    let origin = Origin { host: "h".to_owned(), process: 1 };
    let mut json = Vec::new();
    crate::report::write_json(&mut json, &*record).unwrap();
    let message = syslog::message(&record, &json, &origin, "-", syslog::MAX_STREAM);
    let message = String::from_utf8(message).unwrap();
    let (_, short) = message.split_once("] {").unwrap();
    let short: serde_json::Value = serde_json::from_str(&format!("{{{short}")).unwrap();
    assert_eq!(short["shortened"], true);
    assert_eq!(short["meeting_id"], "m7");
    assert_eq!(short["record_bytes"], json.len());
}

#[test]
fn what_is_shortened_and_still_too_long_loses_its_largest_values() {
    // In JSON of ASCII alone six bytes for each of these, in structured data two.
    let long = |letters: usize| "\u{fc}".repeat(letters);
    let Told { record, .. } = told(7, Phase::Ended, 9000);
    let Record::Meeting(meeting) = &*record else { panic!("a meeting") };
    let mut meeting = meeting.clone();
    meeting.run = Some(long(119));
    meeting.app = Some(long(118));
    meeting.sessions = vec![long(120)];
    let record = Record::Meeting(meeting);
    let origin = Origin { host: "h".repeat(255), process: u32::MAX };
    let mut json = Vec::new();
    crate::report::write_json(&mut json, &record).unwrap();
    let now = clock::rfc5424((1_795_690_500, 0));
    let message = String::from_utf8(syslog::message(&record, &json, &origin, &now, 2048)).unwrap();
    assert_is_rfc5424(&message);
    // All three would be 2856 bytes; the longest and the next to it go.
    assert!(message.len() <= 2048, "{}", message.len());
    assert!(!message.contains("sessions=") && !message.contains("run="), "{message}");
    assert!(message.contains(&format!("app=\"{}\"", long(118))) && message.contains("meeting_id=\"m7\""));
}

#[test]
fn people_are_told_once_what_is_wrong_and_once_that_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let said = Arc::new(Mutex::new(Vec::<String>::new()));
    let heard = Arc::clone(&said);
    let voice: Voice = Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
    let outlets = vec![Outlet::Send(Target::Unix(path.clone()))];
    let config = Config { outlets, style: ndjson(), queue_bytes: DEFAULT_BYTES };
    let sinks = Opened::open(&config, &voice).unwrap().start().unwrap();
    for number in 0..3 {
        sinks.offer(&told(number, Phase::Ended, 10));
    }
    until(&sinks, |record| record.error.is_some());
    let listener = UnixListener::bind(&path).unwrap();
    let peer = listener.accept().unwrap();
    until(&sinks, |record| record.written == 3 && record.error.is_none());
    let said: Vec<String> = said.lock().unwrap().clone();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("no connection: No such file")
            && said[1].contains("takes records again; 0 were lost"),
        "{said:?}"
    );
    drop(peer);
}

#[test]
fn a_file_that_cannot_be_opened_is_told_before_anything_runs() {
    let outlet = Outlet::File {
        path: PathBuf::from("/no/such/folder/out"),
        rotation: Rotation::default(),
        compression: None,
        keep: None,
    };
    let config = Config { outlets: vec![outlet], style: ndjson(), queue_bytes: DEFAULT_BYTES };
    let error = Opened::open(&config, &silent()).unwrap_err();
    assert_eq!(error.to_string(), "/no/such/folder/out: cannot be written to");
}

#[test]
fn text_has_a_line_for_a_beginning_and_a_page_for_an_end() {
    let style = Style::default();
    let mut begun = None;
    for record in beijing().all_records() {
        let mut out = Vec::new();
        crate::report::write_text(&mut out, &record, &style).unwrap();
        let text = String::from_utf8(out).unwrap();
        match record {
            Record::Session(session) => {
                assert!(text.lines().count() > 10 && text.contains("Servers, in the order of first contact"));
                begun = Some(session);
            }
            Record::Flow(_) => assert_eq!(text, "", "flows are left out of text"),
            _ => assert_ne!(text, ""),
        }
    }
    let mut session = begun.unwrap();
    for (phase, lines) in [(Phase::Begun, 1), (Phase::Update, 0)] {
        session.phase = Some(phase);
        let mut out = Vec::new();
        crate::report::write_text(&mut out, &Record::Session(session.clone()), &style).unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), lines);
    }
}

/// An [`Instant`] of this stage goes on.
#[test]
fn the_clock_goes_forward() {
    let earlier: Instant = clock::instant();
    assert!(clock::instant() >= earlier);
}
