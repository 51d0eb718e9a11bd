//! What a run on an interface tells, from packets of a file that come as slowly as the judge wants: sessions while they go on, and in the
//! end what reading the file tells.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests count on small known numbers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meetscope::capture::live::owner;
use meetscope::capture::{CaptureError, FileReader, LinkType, Packet};
use meetscope::classify;
use meetscope::geo::{Databases, Jurisdictions};
use meetscope::keys::Analysis;
use meetscope::observe::{Ending, Summary};
use meetscope::pipeline::{Config, Numbering, Pipeline, Share};
use meetscope::policy::{self, Known};
use meetscope::report::record::{InterfaceRecord, SinkRecord};
use meetscope::report::{Context, Kind, Told};
use meetscope::servers::Inventory;
use meetscope::time::Timestamp;
use meetscope::watch::{
    Budget, Exchange, InterfaceCount, Judge, Listener, Question, Setup, Source, Worker, queue,
};
use serde_json::Value;

/// Time that the judge is given for each second of packets.
const SECOND: Duration = Duration::from_millis(30);
/// Ended flows on their way to the judge.
const WAITING: usize = 1 << 10;
/// Bytes of packets that workers hold.
const HELD: usize = 80 << 20;

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

/// The packets of a file.
struct Recorded {
    reader: FileReader,
    second: i64,
    /// Packets that the interface says it dropped, from which packet on (from 1).
    dropped: Option<(u64, u64)>,
    packets: u64,
    stop: Arc<AtomicBool>,
}

impl Source for Recorded {
    fn dispatch(
        &mut self,
        _: usize,
        take: &mut impl FnMut(usize, &Packet<'_>),
    ) -> Result<usize, CaptureError> {
        let Some(packet) = self.reader.next()? else {
            self.stop.store(true, Ordering::Relaxed);
            return Ok(0);
        };
        self.packets += 1;
        let second = packet.timestamp.as_nanos().div_euclid(1_000_000_000);
        if second != self.second {
            self.second = second;
            std::thread::sleep(SECOND);
        }
        take(0, &packet);
        Ok(1)
    }

    fn wait(&mut self, _: Duration) {}

    fn close(&mut self) -> bool {
        true
    }

    fn is_live(&self) -> bool {
        false
    }

    fn counters(&mut self) -> Vec<InterfaceCount> {
        let dropped = self.dropped.filter(|(from, _)| self.packets >= *from).map_or(0, |(_, lost)| lost);
        let (delivered, read) = (self.packets, self.packets);
        vec![InterfaceCount { delivered, read, dropped_by_kernel: dropped, ..InterfaceCount::default() }]
    }
}

/// All that was told, as JSON, and whether it was for destinations.
#[derive(Default)]
struct Heard {
    told: Vec<(Value, bool)>,
    /// The end is asked for, and there is no time left.
    is_late: bool,
}

impl Listener for Heard {
    fn told(&mut self, told: Told) {
        let mut line = Vec::new();
        meetscope::report::write_json_pretty(&mut line, &*told.record).unwrap();
        self.told.push((serde_json::from_slice(&line).unwrap(), told.is_for_sinks));
    }

    fn learn(&mut self, context: &mut Context<'_>, analysis: &Analysis) {
        let rules = classify::embedded().unwrap();
        let sessions = analysis.sessions.iter().map(|(session, _)| session);
        context.learn(&Inventory::of(&rules, &analysis.flows, sessions));
    }

    fn sinks(&self) -> Vec<SinkRecord> {
        Vec::new()
    }

    fn left(&self) -> Option<Duration> {
        self.is_late.then_some(Duration::ZERO)
    }
}

impl Heard {
    fn of(&self, event: &str, phase: &str) -> Vec<&Value> {
        let is_it = |record: &&Value| record["event_type"] == event && record["phase"] == phase;
        self.told
            .iter()
            .filter(|(_, is_for_sinks)| *is_for_sinks)
            .map(|(record, _)| record)
            .filter(is_it)
            .collect()
    }
}

/// Watches the packets of a capture; `dropped` as in [`Recorded`].
fn watch(name: &str, update: u64, dropped: Option<(u64, u64)>) -> Heard {
    watch_by(Heard::default(), name, update, dropped)
}

fn watch_by(mut heard: Heard, name: &str, update: u64, dropped: Option<(u64, u64)>) -> Heard {
    let (rules, databases) = (classify::embedded().unwrap(), Databases::embedded().unwrap());
    let groups = Jurisdictions::embedded().unwrap();
    let text = std::fs::read_to_string(policy_file()).unwrap();
    let policy = policy::parse(&[("no-cn-keys.toml", &text)], &Known { apps: &[], groups: &[] }).unwrap();
    let mut context = Context::new(&rules, &databases, false);
    context.judge_by(&policy, &groups);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = FileReader::open(&capture(name)).unwrap();
    let source = Recorded { reader, second: 0, dropped, packets: 0, stop: Arc::clone(&stop) };
    let (question, (outbox, inbox)) = (Question::default(), queue(1, WAITING));
    let pipeline = Pipeline::new(&Config::default(), &rules);
    let exchange = Exchange::among(1, 1, HELD).pop().unwrap();
    let worker = Worker::new(0, source, pipeline, Box::new(|_| {}), question.clone(), outbox, exchange)
        .copying(256, Arc::new(rules.nets().clone()));
    let mut judge = Judge::new(Setup {
        rules: &rules,
        context,
        policies: Vec::new(),
        interfaces: vec![InterfaceRecord { name: "recorded".to_owned(), ..InterfaceRecord::default() }],
        kinds: vec![Kind::Flow, Kind::Session, Kind::Meeting, Kind::Alert, Kind::Stats],
        update: Duration::from_secs(update),
        question,
    })
    .within(Budget::new(Some(512)));
    std::thread::scope(|threads| {
        threads.spawn(|| worker.run(&stop));
        while let Ok(batch) = inbox.next(Duration::from_secs(10)) {
            if let Some(batch) = batch {
                judge.take(batch, &mut heard);
            }
        }
    });
    assert!(judge.finish(|_| Vec::new(), &mut heard).complete);
    heard
}

fn policy_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/no-cn-keys.toml")
}

/// What reading the file tells, by kind.
fn replay(name: &str) -> BTreeMap<String, Vec<Value>> {
    let output = Command::new(env!("CARGO_BIN_EXE_meetscope"))
        .args(["replay", "--format", "ndjson", "--no-geoip-store", "--policy"])
        .args([policy_file(), capture(name)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        records.entry(record["event_type"].as_str().unwrap().to_owned()).or_default().push(record);
    }
    records
}

fn without_phase(record: &Value) -> Value {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    let (phase, told_at) = (fields.remove("phase"), fields.remove("told_at"));
    assert_eq!(phase.is_some(), told_at.is_some(), "a live record says when it was told");
    // The name of the file as it was given.
    fields.remove("policy");
    record
}

/// The name of a record, by its kind.
fn id(record: &Value) -> String {
    let event = record["event_type"].as_str().unwrap();
    record[format!("{event}_id")].as_str().unwrap().to_owned()
}

/// Where two records are not the same.
fn differences(at: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                differences(&format!("{at}.{key}"), &one[key], &other[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (place, (one, other)) in a.iter().zip(b).enumerate() {
                differences(&format!("{at}[{place}]"), one, other, found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{at}: live {one}, read {other}")),
    }
}

#[test]
fn what_ends_is_told_as_reading_the_file_tells_it_and_under_the_name_that_it_began_with() {
    for name in ["zoom-beijing-2020.pcapng", "dtls-srtp.pcapng", "sip-sdes-clear.pcapng", "plain-rtp.pcapng"]
    {
        let (live, file) = (watch(name, 5, None), replay(name));
        for event in ["session", "meeting", "alert"] {
            let is_one =
                |record: &&Value| record["superseded_by"].is_null() && record["taken_back"].is_null();
            let ended: Vec<Value> =
                live.of(event, "ended").into_iter().filter(is_one).map(without_phase).collect();
            let read: Vec<Value> = file.get(event).into_iter().flatten().map(without_phase).collect();
            assert_eq!(ended.len(), read.len(), "{event} records of {name}");
            let mut different = Vec::new();
            for (one, other) in ended.iter().zip(&read) {
                differences(&format!("{name}: {}", id(one)), one, other, &mut different);
            }
            assert!(different.is_empty(), "{}", different.join("\n"));
        }
        let flows = live.told.iter().filter(|(record, _)| record["event_type"] == "flow").count();
        assert_eq!(flows, file["flow"].len(), "flows of {name}");
        let begun: BTreeSet<String> = live.of("session", "begun").into_iter().map(id).collect();
        let ended: BTreeSet<String> = live.of("session", "ended").into_iter().map(id).collect();
        assert_eq!(begun, ended, "every session of {name} was told while it went on");
        assert!(!live.of("session", "update").is_empty(), "{name} lasts longer than an update");
        let (last, is_for_sinks) = live.told.last().unwrap();
        assert!(*is_for_sinks && last["event_type"] == "stats" && last["phase"] == "ended");
        assert_eq!(last["packets"]["analysed"], file["stats"][0]["packets"]["analysed"]);
        assert_eq!(last["sessions"], file["stats"][0]["sessions"]);
    }
}

/// Webex's media in this recording is known by its address and port alone, and there is no STUN.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn media_that_nothing_but_its_address_shows_is_told_of_while_it_goes_on() {
    let path = capture("../../shared/corpus/calls/webex.pcap");
    if !path.is_file() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    let heard = watch(path.to_str().unwrap(), 5, None);
    let begun = heard.of("session", "begun");
    assert!(begun.iter().any(|record| record["app"] == "webex"), "{} begun", begun.len());
}

#[test]
fn calls_are_judged_though_there_is_no_time_left() {
    let name = "zoom-beijing-2020.pcapng";
    let late = watch_by(Heard { is_late: true, ..Heard::default() }, name, 5, None);
    for event in ["session", "alert"] {
        assert_eq!(late.of(event, "ended").len(), replay(name)[event].len(), "{event}");
    }
}

#[test]
fn an_alert_and_a_meeting_are_told_while_the_call_goes_on() {
    let heard = watch("zoom-beijing-2020.pcapng", 5, None);
    let place = |event: &str, phase: &str| {
        let is_it = |(record, _): &(Value, bool)| record["event_type"] == event && record["phase"] == phase;
        heard.told.iter().position(is_it).unwrap_or_else(|| panic!("no {event} {phase}"))
    };
    let end = place("session", "ended");
    assert!(place("session", "begun") < place("alert", "begun"));
    assert!(place("alert", "begun") < end && place("meeting", "begun") < end);
    let alert = &heard.told[place("alert", "begun")].0;
    assert_eq!((&alert["rule"], &alert["fired"]), (&"no-cn-keys".into(), &true.into()));
    let text = alert["text"].as_str().unwrap();
    assert!(text.contains("52.81."), "{text}");
    let counted = heard.told.iter().filter(|(record, _)| record["event_type"] == "stats");
    let shown: Vec<&Value> =
        counted.filter(|(_, is_for_sinks)| !is_for_sinks).map(|(record, _)| record).collect();
    assert!(shown.len() > 10, "counters come every second");
    let alive = |record: &&Value| record["live"]["sessions_alive"].as_u64().unwrap();
    assert!(shown.iter().map(alive).max().unwrap() >= 2);
    let live = &shown.last().unwrap()["live"];
    assert_eq!(live["memory_budget_bytes"], 512 << 20);
    assert!(live["flows_alive"].as_u64().unwrap() > 0);
}

#[test]
fn a_session_that_packets_were_lost_in_says_so_and_the_sum_is_right() {
    let name = "zoom-ecb-pkcs7.pcapng";
    let heard = watch(name, 3600, Some((500, 77)));
    let sessions = heard.of("session", "ended");
    let losses = &sessions[0]["media"]["capture_losses"];
    assert_eq!((&losses["packets"], &losses["spans"]), (&77.into(), &1.into()));
    let findings = sessions[0]["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == "capture_losses").unwrap();
    assert!(finding["text"].as_str().unwrap().contains("up to 77 packets"), "{finding}");
    for verdict in [&sessions[0]["keys"]["why"], &sessions[0]["cipher"]["text"]] {
        assert!(verdict.as_str().unwrap().contains("the capture is incomplete"), "{verdict}");
    }
    let packets = &heard.told.last().unwrap().0["packets"];
    let count = |name: &str| packets[name].as_u64().unwrap();
    assert_eq!(count("dropped_by_kernel"), 77);
    assert_eq!(count("seen"), count("analysed") + count("filtered") + count("dropped"));
    // Without losses nothing is said.
    let whole = watch(name, 3600, None);
    let session = whole.of("session", "ended")[0];
    assert!(session["media"]["capture_losses"].is_null() && !session.to_string().contains("incomplete"));
}

/// Packets of one stream, stamped by a clock that is set while they come.
struct Clocked {
    packet: Vec<u8>,
    number: u16,
    now: i64,
    stop: Arc<AtomicBool>,
}

const YEAR_NS: i64 = 31_536_000_000_000_000;

impl Source for Clocked {
    fn wait(&mut self, _: Duration) {}

    fn close(&mut self) -> bool {
        true
    }

    fn dispatch(
        &mut self,
        _: usize,
        take: &mut impl FnMut(usize, &Packet<'_>),
    ) -> Result<usize, CaptureError> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.number += 1;
        self.now += 20_000_000;
        match self.number {
            500 => self.now += YEAR_NS,
            1000 => self.now -= 2 * YEAR_NS,
            1500 => {
                self.stop.store(true, Ordering::Relaxed);
                return Ok(0);
            }
            _ => {}
        }
        // Behind the 42 bytes of Ethernet, IPv4 and UDP.
        take(0, &numbered(&mut self.packet, 42, self.number, self.now));
        Ok(1)
    }

    fn counters(&mut self) -> Vec<InterfaceCount> {
        Vec::new()
    }
}

/// An RTP packet of 160 bytes of media from 10.0.0.1 to a host in 198.51.100.0/24, in Ethernet.
fn rtp(to: u8) -> Vec<u8> {
    let mut packet = vec![0_u8; 42 + 12 + 160];
    packet[12..14].copy_from_slice(&[8, 0]);
    packet[14..34]
        .copy_from_slice(&[0x45, 0, 0, 200, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 198, 51, 100, to]);
    packet[34..42].copy_from_slice(&[0x13, 0x88, 0x13, 0x8a, 0, 180, 0, 0]);
    packet[42] = 0x80;
    packet[50..54].copy_from_slice(&[0x5e, 0x11, 0x22, 0x33]);
    packet
}

/// The packet with its RTP number and timestamp set, whose header begins at `at`.
fn numbered(packet: &mut [u8], at: usize, number: u16, nanos: i64) -> Packet<'_> {
    packet[at + 2..at + 4].copy_from_slice(&number.to_be_bytes());
    packet[at + 4..at + 8].copy_from_slice(&(u32::from(number) * 160).to_be_bytes());
    Packet {
        timestamp: Timestamp::from_nanos(nanos),
        link_type: LinkType::ETHERNET,
        interface: 0,
        original_len: u32::try_from(packet.len()).unwrap(),
        data: packet,
        block: None,
    }
}

/// How connections of TLS of a capture ended, while so many hosts send a datagram each between any two of its packets, and some
/// hundred flows have room.
fn connections(name: &str, strangers: u32) -> Vec<Ending> {
    let rules = classify::embedded().unwrap();
    let mut pipeline = Pipeline::new(&Config { max_flows: 320, ..Config::default() }, &rules);
    let mut reader = FileReader::open(&capture(name)).unwrap();
    let mut sent = 0_u32;
    let mut flood = rtp(9);
    flood[42] = 0;
    while let Some(packet) = reader.next().unwrap() {
        let (nanos, mut own) = (packet.timestamp.as_nanos(), packet);
        own.block = None;
        pipeline.watched(&own);
        for _ in 0..strangers {
            sent += 1;
            flood[26..30].copy_from_slice(&(0x0b00_0000 + sent).to_be_bytes());
            pipeline.watched(&numbered(&mut flood, 42, 0, nanos));
        }
    }
    let flows = pipeline.finish().flows;
    let with_tls = |flow: &&Summary| flow.facts.as_deref().is_some_and(|facts| facts.tls.is_some());
    flows.iter().filter(with_tls).map(|flow| flow.ending).collect()
}

#[test]
fn a_flood_of_what_nobody_knows_pushes_out_no_connection_whose_beginning_was_read() {
    let alone = connections("zoom-beijing-2020.pcapng", 0);
    assert!(alone.len() > 3);
    assert_eq!(connections("zoom-beijing-2020.pcapng", 40), alone);
}

#[test]
fn a_call_survives_a_clock_that_is_set_forward_and_back() {
    let packet = rtp(7);
    let stop = Arc::new(AtomicBool::new(false));
    let now = 1_790_000_000_000_000_000;
    let source = Clocked { packet, number: 0, now, stop: Arc::clone(&stop) };
    let rules = classify::embedded().unwrap();
    let (outbox, inbox) = queue(1, WAITING);
    let pipeline = Pipeline::new(&Config::default(), &rules);
    let exchange = Exchange::among(1, 1, HELD).pop().unwrap();
    let worker = Worker::new(0, source, pipeline, Box::new(|_| {}), Question::default(), outbox, exchange);
    let mut flows = Vec::new();
    let mut steps = 0;
    std::thread::scope(|threads| {
        threads.spawn(|| worker.run(&stop));
        while let Ok(batch) = inbox.next(Duration::from_secs(10)) {
            let Some(batch) = batch else { continue };
            flows.extend(batch.ended);
            steps = batch.clock_steps;
        }
    });
    assert_eq!((flows.len(), steps), (1, 2));
    assert_eq!(flows[0].packets, [1499, 0]);
    // But for what the clock of this machine has to say of how long a step took.
    let length = flows[0].end.since(flows[0].start);
    assert!(Duration::from_millis(20 * 1498).abs_diff(length) < Duration::from_secs(1), "{length:?}");
    let media = flows[0].facts.as_ref().unwrap().media.as_ref().unwrap();
    assert_eq!(media.streams.len(), 1);
}

/// Packets in a tunnel (RFC 2003) that the kernel has dealt to one worker, though they are another's. Their clock is set in the middle.
struct Tunnelled {
    packet: Vec<u8>,
    number: u16,
    stop: Arc<AtomicBool>,
}

/// Packets that are there at once.
const AT_ONCE: u16 = 50;

impl Source for Tunnelled {
    fn wait(&mut self, _: Duration) {}

    fn close(&mut self) -> bool {
        true
    }

    fn dispatch(
        &mut self,
        _: usize,
        take: &mut impl FnMut(usize, &Packet<'_>),
    ) -> Result<usize, CaptureError> {
        if self.packet.is_empty() || self.stop.load(Ordering::Relaxed) {
            return Ok(0);
        }
        for _ in 0..AT_ONCE {
            self.number += 1;
            let step = if self.number > 700 { YEAR_NS } else { 0 };
            let now = 1_790_000_000_000_000_000 + i64::from(self.number) * 20_000_000 + step;
            take(0, &numbered(&mut self.packet, 62, self.number, now));
        }
        std::thread::sleep(Duration::from_millis(2));
        if self.number == 1500 {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(usize::from(AT_ONCE))
    }

    fn counters(&mut self) -> Vec<InterfaceCount> {
        Vec::new()
    }
}

#[test]
fn a_worker_that_has_all_packets_from_another_follows_the_clock() {
    let to = (1..255).find(|to| owner([10, 0, 0, 1].into(), [198, 51, 100, *to].into(), 2) == 1).unwrap();
    let inner = rtp(to);
    let outer = [0x45, 0, 0, 220, 0, 0, 0, 0, 64, 4, 0, 0, 203, 0, 113, 1, 203, 0, 113, 2];
    let packet = [&inner[..14], &outer, &inner[14..]].concat();
    let rules = classify::embedded().unwrap();
    let (outbox, inbox) = queue(2, WAITING);
    let stop = Arc::new(AtomicBool::new(false));
    let numbering = Numbering::shared();
    let exchanges = Exchange::among(2, 1, HELD).into_iter().enumerate();
    let workers: Vec<_> = exchanges
        .map(|(number, exchange)| {
            let packet = if number == 0 { packet.clone() } else { Vec::new() };
            let source = Tunnelled { packet, number: 0, stop: Arc::clone(&stop) };
            let share = Some(Share { own: u32::try_from(number).unwrap(), count: 2, owner });
            let config = Config { numbering: numbering.clone(), share, ..Config::default() };
            let pipeline = Pipeline::new(&config, &rules);
            let question = Question::default();
            Worker::new(number, source, pipeline, Box::new(|_| {}), question, outbox.clone(), exchange)
        })
        .collect();
    drop(outbox);
    let mut flows = Vec::new();
    let mut steps = [0; 2];
    std::thread::scope(|threads| {
        for worker in workers {
            threads.spawn(|| worker.run(&stop));
        }
        while let Ok(batch) = inbox.next(Duration::from_secs(10)) {
            let Some(batch) = batch else { continue };
            flows.extend(batch.ended);
            steps[batch.worker] = batch.clock_steps;
        }
    });
    assert_eq!((flows.len(), steps), (1, [1, 1]));
    assert_eq!(flows[0].packets, [1500, 0]);
    let length = flows[0].end.since(flows[0].start);
    assert!(Duration::from_millis(20 * 1499).abs_diff(length) < Duration::from_secs(2), "{length:?}");
}
