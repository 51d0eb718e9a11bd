//! What a board keeps, lets go of and counts, fed with the records of replayed captures as a live run would tell them.

use std::collections::BTreeSet;

use super::*;
use crate::policy::State;
use crate::report::record::{EveAlert, LiveRecord};
use crate::report::tests::{Made, beijing};

fn told(record: Record) -> Told {
    Told { record: Arc::new(record), is_for_sinks: true }
}

fn with_phase(record: &Record, phase: Phase) -> Record {
    let mut record = record.clone();
    match &mut record {
        Record::Session(session) => session.phase = Some(phase),
        Record::Meeting(meeting) => meeting.phase = Some(phase),
        Record::Stats(stats) => stats.phase = Some(phase),
        _ => {}
    }
    record
}

fn named(record: &Record, id: &str, phase: Phase) -> Record {
    let mut record = with_phase(record, phase);
    if let Record::Session(session) = &mut record {
        session.session_id = id.to_owned();
    }
    record
}

/// The counters at an uptime, after so many packets of which some were lost.
fn counters(uptime_s: u64, seen: u64, dropped_by_kernel: u64) -> Record {
    let mut record = beijing().records().pop().unwrap();
    if let Record::Stats(stats) = &mut record {
        stats.live = Some(LiveRecord { uptime_s, ..LiveRecord::default() });
        stats.packets.seen = seen;
        stats.packets.dropped_by_kernel = dropped_by_kernel;
    }
    record
}

fn alert(session: &str, rule: &str, fired: bool) -> Record {
    Record::Alert(Box::new(AlertRecord {
        timestamp: "2020-04-02T14:00:00.000000+0000".to_owned(),
        alert_id: format!("{session}/{rule}"),
        phase: Some(Phase::Begun),
        told_at: None,
        run: None,
        rule: rule.to_owned(),
        policy: "policy.toml".to_owned(),
        line: 3,
        title: "Keys stay at home".to_owned(),
        state: if fired { State::Broken } else { State::NotDeterminable },
        fired,
        severity: Severity::High,
        text: "52.81.151.250 could hold the key".to_owned(),
        session_id: session.to_owned(),
        meeting_id: None,
        app: Some("zoom".to_owned()),
        app_name: None,
        src_ip: "142.150.1.10".to_owned(),
        reasons: Vec::new(),
        reasons_left_out: 0,
        participants: Vec::new(),
        asks_for_participants: false,
        participants_note: "",
        exceptions: Vec::new(),
        taken_back: false,
        alert: EveAlert {
            action: "allowed",
            gid: 1,
            signature_id: 1,
            rev: 1,
            signature: String::new(),
            category: String::new(),
            severity: 1,
        },
    }))
}

fn session() -> Record {
    beijing().records().into_iter().find(|record| matches!(record, Record::Session(_))).unwrap()
}

fn ids(board: &Board) -> Vec<&str> {
    board.sessions().map(|session| session.session_id.as_str()).collect()
}

#[test]
fn a_session_is_current_until_it_ends_and_is_then_history() {
    let session = session();
    let mut board = Board::new(Config::default());
    board.take(&told(named(&session, "s10", Phase::Begun)));
    board.take(&told(named(&session, "s2", Phase::Begun)));
    board.take(&told(named(&session, "s2", Phase::Update)));
    assert_eq!(ids(&board), ["s2", "s10"], "one of a name, in the order of numbers");
    let before = board.version();
    board.take(&told(named(&session, "s10", Phase::Ended)));
    assert_eq!(ids(&board), ["s2"]);
    let past: Vec<&Past> = board.history().collect();
    assert_eq!(past.len(), 1);
    assert_eq!((past[0].session_id.as_str(), past[0].app.as_deref()), ("s10", Some("zoom")));
    assert!(past[0].holders > 0, "the key server of 2020 could hold the key");
    assert!(past[0].countries.contains(&"CN".to_owned()), "{:?}", past[0].countries);
    assert!(board.session("s10").is_some(), "its record is kept");
    let changes = board.changes(before);
    assert_eq!(changes.gone.unwrap().sessions, ["s10"]);
    assert_eq!(changes.ended.len(), 1);
    assert!(changes.sessions.is_empty(), "s2 has not changed");
}

#[test]
fn changes_of_every_version_add_up_to_the_whole() {
    let session = session();
    let mut board = Board::new(Config::default());
    let mut copy: BTreeSet<String> = BTreeSet::new();
    let mut version = 0;
    for step in 0..60_u64 {
        let id = format!("s{}", step % 17);
        let phase = if step % 5 == 4 { Phase::Ended } else { Phase::Update };
        board.take(&told(named(&session, &id, phase)));
        if step % 3 == 0 {
            let changes = board.changes(version);
            version = changes.version;
            for gone in changes.gone.unwrap().sessions {
                copy.remove(&gone);
            }
            copy.extend(changes.sessions.iter().filter_map(as_session).map(|one| one.session_id.clone()));
        }
    }
    let changes = board.changes(version);
    for gone in changes.gone.unwrap().sessions {
        copy.remove(&gone);
    }
    copy.extend(changes.sessions.iter().filter_map(as_session).map(|one| one.session_id.clone()));
    let whole: BTreeSet<String> = ids(&board).into_iter().map(str::to_owned).collect();
    assert_eq!(copy, whole);
}

#[test]
fn what_does_not_fit_goes_the_longest_untold_first_and_is_counted() {
    let session = session();
    let Record::Session(plain) = &session else { panic!("not a session") };
    let room = weight::session(plain) * 3;
    let mut board = Board::new(Config { current_bytes: room, history_bytes: room, ..Config::default() });
    for id in ["s1", "s2", "s3", "s1", "s4"] {
        board.take(&told(named(&session, id, Phase::Update)));
    }
    assert_eq!(ids(&board), ["s1", "s3", "s4"], "s2 was not told of for longest");
    assert_eq!(board.counters().sessions_left_out, 1);
    assert!(board.sessions.bytes() <= room);
    for number in 10..20 {
        board.take(&told(named(&session, &format!("s{number}"), Phase::Ended)));
    }
    let counters = board.counters();
    assert_eq!(board.history().count(), 10, "rows stay");
    assert_eq!(board.history().filter(|past| past.record.is_some()).count(), 3, "records have a cap");
    assert_eq!((counters.details_left_out, counters.history_left_out), (7, 0));
    assert!(board.session("s10").is_none() && board.session("s19").is_some());
}

#[test]
fn a_day_is_a_day_of_uptime_whatever_the_clock_says() {
    let session = session();
    let mut board = Board::new(Config::default());
    board.take(&told(counters(10, 0, 0)));
    board.take(&told(alert("s1", "home", true)));
    board.take(&told(named(&session, "s1", Phase::Ended)));
    board.take(&told(counters(10 + HISTORY_S, 0, 0)));
    assert_eq!((board.history().count(), board.alerts().count()), (1, 1));
    board.take(&told(counters(11 + HISTORY_S, 0, 0)));
    assert_eq!((board.history().count(), board.alerts().count()), (0, 0));
    assert_eq!(board.counters().history_left_out, 0, "age is no loss");
    board.take(&told(named(&session, "s2", Phase::Begun)));
    board.take(&told(alert("s2", "home", true)));
    board.take(&told(counters(12 + 2 * HISTORY_S, 0, 0)));
    assert_eq!(board.alerts().count(), 1, "of a call that goes on for longer than a day");
    board.take(&told(named(&session, "s2", Phase::Ended)));
    board.take(&told(counters(13 + 2 * HISTORY_S, 0, 0)));
    assert_eq!(board.alerts().count(), 0);
}

#[test]
fn names_are_in_the_order_of_people() {
    let session = session();
    let mut board = Board::new(Config::default());
    for (id, rule) in [("s10", "home"), ("s2", "rule-300"), ("s2", "aes-128")] {
        board.take(&told(named(&session, id, Phase::Begun)));
        board.take(&told(alert(id, rule, true)));
    }
    assert_eq!(ids(&board), ["s2", "s10"]);
    let alerts: Vec<&str> = board.alerts().map(|alert| alert.alert_id.as_str()).collect();
    assert_eq!(alerts, ["s2/aes-128", "s2/rule-300", "s10/home"]);
}

#[test]
fn a_rule_is_counted_once_for_a_session_and_told_with_its_end() {
    let session = session();
    let mut board = Board::new(Config::default());
    board.take(&told(alert("s1", "home", false)));
    board.take(&told(alert("s1", "home", true)));
    board.take(&told(named(&session, "s1", Phase::Ended)));
    board.take(&told(alert("s1", "home", true)));
    board.take(&told(alert("s1", "other", true)));
    assert_eq!(board.alerts().count(), 2, "told again it is the same");
    assert_eq!(board.history().next().unwrap().alerts, 2, "also where it fires with the end");
}

#[test]
fn what_was_none_of_its_own_is_no_history() {
    let session = session();
    let mut board = Board::new(Config::default());
    board.take(&told(named(&session, "s7", Phase::Begun)));
    let before = board.version();
    let mut over = named(&session, "s7", Phase::Ended);
    if let Record::Session(session) = &mut over {
        session.superseded_by = Some("s1".to_owned());
    }
    board.take(&told(over));
    assert_eq!((board.sessions_len(), board.history_len()), (0, 0));
    assert_eq!(board.changes(before).gone.unwrap().sessions, ["s7"]);
}

#[test]
fn rates_are_what_was_added_and_lose_nothing() {
    let mut board = Board::new(Config::default());
    board.take(&told(counters(5, 1_000, 0)));
    let mut seen = 1_000;
    for second in 6..=200_u64 {
        // One second in ten is told late.
        if second % 10 == 0 {
            continue;
        }
        seen += 100;
        board.take(&told(counters(second, seen, second)));
    }
    let sum: u64 = board.rates().seconds().map(|point| point.packets).sum();
    assert_eq!(sum, seen - 1_000);
    let minutes: u64 = board.rates().minutes().map(|point| point.packets).sum();
    assert_eq!(minutes, sum);
    assert_eq!(board.rates().minutes().count(), 4, "uptimes 6 to 60, to 120, to 180, to 200");
    assert_eq!(board.rates().seconds().map(|point| point.seconds).sum::<u64>(), 194);
    assert_eq!(board.rates().latest().unwrap().dropped(), 1, "one more than a second before");
}

#[test]
fn the_estimate_of_a_records_weight_is_near_its_length() {
    for name in ["zoom-beijing-2020.pcapng", "plain-rtp.pcapng", "hostile-names.pcapng"] {
        for record in Made::capture(name).records() {
            let Record::Session(session) = &record else { continue };
            let length = serde_json::to_string(&record).unwrap().len();
            let about = weight::session(session);
            assert!(
                about * 3 > length && about < length * 4,
                "{name} {}: {about}, {length}",
                session.session_id
            );
        }
    }
}
