//! The stage as a whole, fed with records of a capture whose README says what it shows.

use std::collections::BTreeSet;

use super::*;
use crate::report::record::{
    InterfaceRecord, LiveRecord, Phase, SessionRecord, SinkRecord, StatsRecord, WorkerRecord,
};
use crate::report::tests::Made;

/// Sessions and counters of a capture of captures/.
fn replay(name: &str) -> (Vec<SessionRecord>, StatsRecord) {
    let (mut sessions, mut counters) = (Vec::new(), None);
    for record in Made::capture(name).records() {
        match record {
            Record::Session(session) => sessions.push(*session),
            Record::Stats(stats) => counters = Some(*stats),
            _ => {}
        }
    }
    (sessions, counters.unwrap())
}

fn tell(tally: &mut Tally, record: Record) {
    tally.take(&Told { record: Arc::new(record), is_for_sinks: true });
}

fn tell_session(tally: &mut Tally, session: &SessionRecord, phase: Phase) {
    tell(tally, Record::Session(Box::new(SessionRecord { phase: Some(phase), ..session.clone() })));
}

/// Value of a series; none where the page lacks it.
fn value<'a>(page: &'a str, series: &str) -> Option<&'a str> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

/// captures/README.md: one Zoom meeting of two, and a server in CN among those that could hold the key.
#[test]
fn holders_are_counted_by_country_while_a_session_goes_on_and_when_it_ends() {
    let (sessions, _) = replay("zoom-beijing-2020.pcapng");
    let mut tally = Tally::default();
    let with = |page: &str, series: &str| value(page, series).map(|count| count.parse::<usize>().unwrap());
    for phase in [Phase::Begun, Phase::Update, Phase::Update] {
        for session in &sessions {
            tell_session(&mut tally, session, phase);
        }
        let page = tally.page(Format::Prometheus, &Visitors::default());
        assert_eq!(with(&page, "meetscope_sessions_active{app=\"zoom\"}"), Some(2));
        let holders = with(&page, "meetscope_key_holder_sessions{country=\"CN\"}").unwrap();
        assert!((1..=sessions.len()).contains(&holders), "{page}");
        assert_eq!(with(&page, "meetscope_sessions_ended_total{app=\"zoom\"}"), None);
    }
    for session in &sessions {
        tell_session(&mut tally, session, Phase::Ended);
    }
    let page = tally.page(Format::Prometheus, &Visitors::default());
    assert_eq!(with(&page, "meetscope_sessions_active{app=\"zoom\"}"), None);
    assert_eq!(with(&page, "meetscope_sessions_ended_total{app=\"zoom\"}"), Some(2));
    assert!(with(&page, "meetscope_key_holder_sessions_ended_total{country=\"CN\"}").unwrap() >= 1);
    assert_eq!(with(&page, "meetscope_session_duration_seconds_count"), Some(sessions.len()));
}

/// A run with everything that is told of one.
fn full() -> Tally {
    let (sessions, mut stats) = replay("zoom-beijing-2020.pcapng");
    let worker =
        WorkerRecord { worker: 0, received: 100, dropped_by_kernel: 2, analysed: 97, dropped_by_us: 1 };
    stats.interfaces = vec![InterfaceRecord {
        name: "eth\"0\\".to_owned(),
        received: 100,
        dropped_by_kernel: 2,
        dropped_by_interface: 3,
        workers: vec![worker, WorkerRecord { worker: 1, ..worker }],
        ..InterfaceRecord::default()
    }];
    let sink = SinkRecord { name: "tcp:192.0.2.1:514".to_owned(), lost: 7, ..SinkRecord::default() };
    stats.sinks = vec![sink.clone(), sink];
    stats.live =
        Some(LiveRecord { memory_bytes: Some(1), memory_budget_bytes: Some(2), ..LiveRecord::default() });
    let mut tally = Tally::default();
    tell(&mut tally, Record::Stats(Box::new(stats)));
    tell_session(&mut tally, &sessions[0], Phase::Begun);
    tell_session(&mut tally, sessions.last().unwrap(), Phase::Ended);
    tally
}

#[test]
fn every_sample_stands_under_its_family_and_no_series_comes_twice() {
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let page = full().page(format, &Visitors::default());
        let (mut family, mut families, mut series) = (String::new(), BTreeSet::new(), BTreeSet::new());
        for line in page.lines().filter(|line| *line != "# EOF") {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(help.ends_with(['.', 'r']) && !help.is_empty(), "{line}");
                name.clone_into(&mut family);
                assert!(families.insert(family.clone()), "{family} comes twice");
                continue;
            }
            if let Some(of_type) = line.strip_prefix("# TYPE ") {
                assert_eq!(of_type.split_once(' ').unwrap().0, family);
                continue;
            }
            assert!(line.starts_with(&family) && family.starts_with("meetscope_"), "{line} under {family}");
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name.to_owned()), "{name} comes twice");
        }
        assert!(series.len() > 60, "{}", series.len());
        assert_eq!(page.ends_with("# EOF\n"), format == Format::OpenMetrics);
    }
}

#[test]
fn drops_are_told_by_interface_and_reason() {
    let page = full().page(Format::Prometheus, &Visitors::default());
    let dropped = |reason| {
        let series =
            format!("meetscope_packets_dropped_total{{interface=\"eth\\\"0\\\\\",reason=\"{reason}\"}}");
        value(&page, &series).map(str::to_owned)
    };
    assert_eq!(dropped("kernel").as_deref(), Some("2"));
    assert_eq!(dropped("interface").as_deref(), Some("3"));
    assert_eq!(dropped("meetscope").as_deref(), Some("2"));
    assert_eq!(value(&page, "meetscope_sink_lost_records_total{sink=\"tcp:192.0.2.1:514\"}"), Some("7"));
}

#[test]
fn no_name_or_address_of_the_wire_is_a_label() {
    let (sessions, _) = replay("hostile-names.pcapng");
    let mut tally = Tally::default();
    for session in &sessions {
        tell_session(&mut tally, session, Phase::Begun);
    }
    let page = tally.page(Format::Prometheus, &Visitors::default());
    for session in &sessions {
        for server in &session.servers {
            assert!(!page.contains(&server.ip), "{}", server.ip);
            assert!(server.name.as_ref().is_none_or(|name| !page.contains(name.as_str())));
        }
        assert!(!page.contains(&format!("\"{}\"", session.endpoint.ip)));
    }
}
