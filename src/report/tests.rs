//! The stage as a whole: schemas, hostile strings, wording, and the corpus.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::capture::{Merge, Order};
use crate::flow::{Direction, FiveTuple};
use crate::observe::facts::{Certificate, CertificateBody, Facts, Media, Sip, Tls, Zoom};
use crate::observe::{Beginning, Ending, Outline, PacketRef, Summary};
use crate::parallel::Threads;
use crate::pipeline::{Config, Memory, Pipeline, analyse};
use crate::session::tests::Source;
use crate::time::Timestamp;

const HOSTILE: &str = "a\u{1b}[2J\u{202e}gnp.exe\u{2066}<script>\",=1+1\r\nx";
/// 2020-04-02 14:00:00 UTC.
const START: i64 = 1_585_836_000;

/// Everything that a report is made of, kept alive.
pub(crate) struct Made {
    rules: Rules,
    databases: geo::Databases,
    analysis: Analysis,
    decode: decode::Counters,
    counts: Counts,
    pub(super) files: Vec<record::FileRecord>,
}

impl Made {
    /// Sessions, meetings and the counters as records.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut context = Context::new(&self.rules, &self.databases, false).with_trends();
        let sessions = self.analysis.sessions.iter();
        let sessions: Vec<_> = sessions
            .map(|(session, keys)| session_record(&mut context, &self.analysis, session, keys))
            .collect();
        let meetings = self.analysis.meetings.iter();
        let meetings: Vec<_> =
            meetings.map(|one| meeting_record(&mut context, &self.analysis, one)).collect();
        let sessions = sessions.into_iter().map(|one| Record::Session(Box::new(one)));
        let meetings = meetings.into_iter().map(|one| Record::Meeting(Box::new(one)));
        let stats = Record::Stats(Box::new(stats_record(&self.run())));
        sessions.chain(meetings).chain([stats]).collect()
    }

    /// What a capture of the tree comes to.
    pub(crate) fn capture(name: &str) -> Self {
        Self::replay(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/captures")).join(name))
    }

    pub(super) fn of(flows: Vec<Summary>) -> Self {
        let rules = crate::classify::embedded().unwrap();
        let analysis = analyse(&rules, &mut Memory::default(), flows, Threads::ONE);
        Self {
            rules,
            databases: geo::Databases::embedded().unwrap(),
            analysis,
            decode: decode::Counters::default(),
            counts: Counts { seen: 10, analysed: 10, ..Counts::default() },
            files: Vec::new(),
        }
    }

    fn replay(path: PathBuf) -> Self {
        let rules = crate::classify::embedded().unwrap();
        let mut pipeline = Pipeline::new(&Config::default(), &rules);
        let mut merge = Merge::open(vec![path], Order::Time);
        let mut frame = 0;
        while let Some((_, packet)) = merge.next() {
            frame += 1;
            pipeline.packet(0, frame, &packet).unwrap();
        }
        let done = pipeline.finish();
        let analysis = analyse(&rules, &mut Memory::default(), done.flows, Threads::ONE);
        let files = vec![record::FileRecord {
            name: "capture.pcap".to_owned(),
            packets: frame,
            ..record::FileRecord::default()
        }];
        let databases = geo::Databases::embedded().unwrap();
        Self { rules, databases, analysis, decode: done.decode, counts: done.counts, files }
    }

    fn run(&self) -> Run<'_> {
        Run {
            rules: &self.rules,
            databases: &self.databases,
            analysis: &self.analysis,
            earlier: Written::default(),
            counts: self.counts,
            decode: &self.decode,
            table: TableStats::default(),
            key_logs: Vec::new(),
            memory: Some(record::MemoryRecord {
                peak_bytes: Some(90 << 20),
                flows_bytes: Some(50_000_000),
                bytes_per_flow: Some(1250),
                flow_slot_bytes: 176,
            }),
            command: Vec::new(),
            policies: Vec::new(),
            files: self.files.clone(),
            dropped: Dropped::default(),
            stream: None,
            complete: true,
        }
    }

    pub(super) fn written(&self, style: &Style) -> String {
        let mut out = Vec::new();
        write(&mut out, &self.run(), style).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn as_format(&self, format: Format) -> String {
        self.written(&Style { format, ..Style::default() })
    }

    /// Every record, flows first, the counters last.
    pub(crate) fn all_records(&self) -> Vec<Record> {
        let run = self.run();
        let mut context = Context::new(run.rules, run.databases, false);
        let style = Style { format: Format::Ndjson, ..Style::default() };
        let mut records = Vec::new();
        writer::each(&mut context, run.analysis, &style, |record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
        records.push(Record::Stats(Box::new(stats_record(&run))));
        records
    }

    fn lines(&self) -> Vec<Value> {
        self.as_format(Format::Ndjson).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn summary(id: u64, source: &str, destination: &str, protocol: u8, second: i64, facts: Facts) -> Summary {
    let (source, destination): (SocketAddr, SocketAddr) =
        (source.parse().unwrap(), destination.parse().unwrap());
    Summary::from(Outline {
        start: Timestamp::from_secs_nanos(START + second, 0),
        end: Timestamp::from_secs_nanos(START + second + 60, 0),
        packets: [5, 5],
        bytes: [500, 700],
        payload: [290, 490],
        beginning: Beginning::Seen,
        ending: Ending::Fin,
        facts: Some(Box::new(facts)),
        ..Outline::plain(id, FiveTuple { source, destination, protocol })
    })
}

fn tls(sni: &str, packet: u64) -> Facts {
    let hello = Some(PacketRef::new(0, packet));
    let tls = Tls { sni: Some(sni.into()), client_hello: hello, ..Tls::default() };
    Facts { tls: Some(Box::new(tls)), ..Facts::default() }
}

fn zoom_media(packet: u64) -> Facts {
    let packet = PacketRef::new(0, packet);
    let zoom = Zoom { generation: Some(2), packets: 100, hellos: 2, packet, ..Zoom::default() };
    Facts { zoom: Some(Box::new(zoom)), ..Facts::default() }
}

/// Zoom media in which the endpoint sends one stream and receives another's.
fn zoom_call(packet: u64, [sent, received]: [u32; 2]) -> Facts {
    let mut facts = zoom_media(packet);
    let stream = |number: u32, way, delay| {
        let source = Source::new(0x0100_0002 + (number << 10), number);
        source.seen(way, 0, 50_000, delay, packet)
    };
    let streams = vec![stream(sent, Direction::Forward, 0), stream(received, Direction::Reverse, 40)];
    facts.media = Some(Box::new(Media { streams, packet: PacketRef::new(0, packet), ..Media::default() }));
    facts
}

/// The case of 2020 in little: Toronto and New York, a key server in Beijing, media in the United States.
pub(crate) fn beijing() -> Made {
    Made::of(vec![
        summary(3, "142.150.1.10:50001", "52.81.151.250:443", 6, 0, tls("zoombj1zc.zoom.us", 4)),
        summary(20, "142.150.1.10:50002", "198.251.129.1:8801", 17, 5, zoom_call(20, [1, 2])),
        summary(21, "128.59.1.10:50002", "198.251.129.1:8801", 17, 6, zoom_call(21, [2, 1])),
    ])
}

/// Strings of strangers in every place that takes them.
pub(crate) fn hostile() -> Made {
    let mut signalling = tls("zoom.us", 2);
    let body = CertificateBody {
        subject_cn: Some(HOSTILE.to_owned()),
        issuer_cn: Some(HOSTILE.to_owned()),
        self_signed: true,
        not_after: 1,
        ..CertificateBody::default()
    };
    let certificate = Certificate { body: body.into(), packet: PacketRef::new(0, 3) };
    if let Some(tls) = signalling.tls.as_mut() {
        tls.sni = Some(format!("{HOSTILE}.zoom.us").into());
        tls.certificates = vec![certificate].into();
    }
    let sip = Sip {
        methods: vec![("INVITE".to_owned(), 1), (HOSTILE.to_owned(), 1)],
        parties: Some((HOSTILE.to_owned(), HOSTILE.to_owned())),
        agents: vec![HOSTILE.to_owned()],
        messages: 2,
        ..Sip::default()
    };
    let mut made = Made::of(vec![
        summary(1, "142.150.1.10:50001", "52.81.151.250:443", 6, 0, signalling),
        summary(5, "142.150.1.10:50002", "198.251.129.1:8801", 17, 5, zoom_media(5)),
        summary(
            7,
            "142.150.1.10:5060",
            "198.51.100.4:5060",
            17,
            9,
            Facts { sip: Some(Box::new(sip)), ..Facts::default() },
        ),
    ]);
    made.files = vec![record::FileRecord {
        name: HOSTILE.to_owned(),
        packets: 3,
        error: Some(HOSTILE.to_owned()),
        ..record::FileRecord::default()
    }];
    made
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn corpus(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("MEETSCOPE_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")), PathBuf::from);
    let path = shared.join("corpus").join(name);
    if !path.exists() {
        println!("skipped: the corpus is not here");
        return None;
    }
    Some(path)
}

#[test]
fn first_line_names_the_key_server_its_country_and_who_says_so() {
    let text = beijing().as_format(Format::Text);
    let head: String = text.lines().take(4).collect::<Vec<_>>().join(" ");
    assert!(head.starts_with("1 of 2 Zoom sessions: candidate key server 52.81.151.250"), "{head}");
    assert!(head.contains("is placed in CN (China) by database"), "{head}");
    assert!(head.contains("of 2026-09-23"), "{head}");
    assert!(head.contains("participants seen are placed in CA, US"), "{head}");
}

#[test]
fn key_holder_abroad_is_the_gravest_finding_and_has_its_packet() {
    let lines = beijing().lines();
    let session =
        lines.iter().find(|line| line["event_type"] == "session" && line["session_id"] == "s20").unwrap();
    let finding = &session["findings"][0];
    assert_eq!((&finding["id"], &finding["severity"]), (&"key_holder_abroad".into(), &"high".into()));
    assert_eq!(finding["packets"][0]["frame"], 4);
    let holder = &session["keys"]["holders"][0];
    assert_eq!((&holder["could_hold"], &holder["located_in"]["country"]), (&"yes".into(), &"CN".into()));
    assert_eq!(holder["service_operator"]["home_jurisdiction"], "US");
    let reached: BTreeSet<_> =
        holder["exposure"].as_array().unwrap().iter().map(|item| item["jurisdiction"].to_string()).collect();
    assert!(reached.contains("\"CN\"") && reached.contains("\"US\""), "{reached:?}");
}

#[test]
fn ndjson_is_flows_then_sessions_then_meetings_then_stats_one_object_a_line() {
    for made in [beijing(), hostile()] {
        let kinds: Vec<String> =
            made.lines().iter().map(|line| line["event_type"].as_str().unwrap().to_owned()).collect();
        let place =
            |kind: &String| ["flow", "session", "meeting", "stats"].iter().position(|known| known == kind);
        assert!(kinds.is_sorted_by_key(|kind| place(kind).unwrap()), "{kinds:?}");
        assert_eq!(kinds.last().map(String::as_str), Some("stats"));
        assert_eq!(kinds.iter().filter(|kind| *kind == "flow").count(), 3);
    }
}

#[test]
fn json_is_one_object_that_holds_the_same_records() {
    let made = beijing();
    let whole: Value = serde_json::from_str(&made.as_format(Format::Json)).unwrap();
    let lines = made.lines();
    assert_eq!(whole["flows"].as_array().unwrap()[..], lines[..3]);
    assert_eq!(whole["sessions"].as_array().unwrap()[..], lines[3..5]);
    assert_eq!(whole["meetings"].as_array().unwrap()[..], lines[5..lines.len() - 1]);
    assert_eq!(whole["meetings"][0]["sessions"], serde_json::json!(["s20", "s21"]));
    assert_eq!(whole["stats"], lines[lines.len() - 1]);
    for kinds in [vec![], vec![Kind::Stats], vec![Kind::Session]] {
        let count = kinds.len();
        let style = Style { format: Format::Json, kinds: Some(kinds), colour: false, width: None };
        let part: Value = serde_json::from_str(&made.written(&style)).unwrap();
        assert_eq!(part.as_object().unwrap().len(), count);
    }
}

#[test]
fn nothing_that_a_stranger_wrote_reaches_the_terminal_as_it_is() {
    let made = hostile();
    let kinds = Some(vec![Kind::Flow, Kind::Session, Kind::Stats]);
    let text = made.written(&Style { format: Format::Text, kinds, colour: false, width: None });
    assert!(text.contains("\\u{1b}[2J\\u{202e}"), "the name is shown, written out");
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()));
    assert!(!text.contains(['\u{202e}', '\u{2066}']));
}

#[test]
fn seen_is_analysed_and_filtered_and_dropped() {
    let made = beijing();
    let dropped = Dropped { kernel: 3, interface: 2, own: 1 };
    let stats = stats_record(&Run { dropped, ..made.run() });
    let packets = stats.packets;
    assert_eq!(packets.seen, packets.analysed + packets.filtered + packets.dropped);
    assert_eq!(packets.dropped, 6);
}

#[test]
fn report_claims_neither_that_a_server_has_a_key_nor_that_it_is_somewhere() {
    let mut texts = vec![beijing().as_format(Format::Text), hostile().as_format(Format::Text)];
    for name in ["calls/zoom.pcap", "calls/teams.pcap", "calls/webex.pcap"] {
        texts.extend(corpus(name).map(|path| Made::replay(path).as_format(Format::Text)));
    }
    for text in texts {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for claim in [" holds ", " is in ", " is located in ", " not ECB"] {
            assert!(!text.contains(claim), "{claim:?} in {text}");
        }
    }
}

#[test]
fn records_written_bit_by_bit_are_those_written_at_once() {
    let made = beijing();
    let style = Style { format: Format::Ndjson, ..Style::default() };
    let mut out = Vec::new();
    let mut context = Context::new(&made.rules, &made.databases, false);
    write_records(&mut out, &mut context, &made.analysis, &style).unwrap();
    write_stats(&mut out, &made.run(), &style).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), made.written(&style));
}

/// The session of Toronto is judged with New York in the same meeting; with New York's session written before, as in a live run, too.
#[test]
fn a_session_is_judged_with_the_participants_of_its_meeting_also_those_written_before() {
    let rule = "[[rule]]\nid = \"fence\"\nkey_holders = { allow = [\"participants\"] }";
    let policy = crate::policy::parse(&[("p.toml", rule)], &crate::policy::Known::default()).unwrap();
    let groups = geo::Jurisdictions::embedded().unwrap();
    let made = beijing();
    let style = Style { format: Format::Ndjson, kinds: Some(vec![Kind::Alert]), ..Style::default() };
    let alerts = |out: &[u8]| -> Vec<Value> {
        let text = std::str::from_utf8(out).unwrap();
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|alert| alert["fired"] == true).collect()
    };
    let seats = |alert: &Value| -> BTreeSet<String> {
        let list = alert["participants"].as_array().unwrap().iter();
        list.map(|seat| seat["countries"][0].as_str().unwrap().to_owned()).collect()
    };
    let both = BTreeSet::from(["CA".to_owned(), "US".to_owned()]);

    let mut context = Context::new(&made.rules, &made.databases, false);
    context.judge_by(&policy, &groups);
    let mut out = Vec::new();
    write_records(&mut out, &mut context, &made.analysis, &style).unwrap();
    let whole = alerts(&out);
    assert!(context.fired());
    assert_eq!(whole.iter().map(|alert| &alert["session_id"]).collect::<Vec<_>>(), ["s20"]);
    assert_eq!(seats(&whole[0]), both);

    // New York first, then Toronto with the meeting.
    let mut context = Context::new(&made.rules, &made.databases, false);
    context.judge_by(&policy, &groups);
    let (mut first, mut second) = (beijing().analysis, beijing().analysis);
    first.sessions.retain(|(session, _)| session.id == 21);
    first.meetings.clear();
    second.sessions.retain(|(session, _)| session.id == 20);
    write_records(&mut Vec::new(), &mut context, &first, &style).unwrap();
    assert!(!context.fired(), "New York alone breaks nothing");
    let mut out = Vec::new();
    write_records(&mut out, &mut context, &second, &style).unwrap();
    let later = alerts(&out);
    assert!(context.fired());
    assert_eq!((later.len(), seats(&later[0])), (1, both));
}

#[test]
fn empty_run_says_so() {
    let text = Made::of(Vec::new()).as_format(Format::Text);
    assert!(text.starts_with("No meeting was seen.\n"), "{text}");
}

/// Schemas by file name; `event_type` is added, because it is the tag of the enum around the records.
fn schemas() -> Vec<(&'static str, Value)> {
    let generator = || schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    [
        ("flow", generator().into_root_schema_for::<record::FlowRecord>()),
        ("session", generator().into_root_schema_for::<record::SessionRecord>()),
        ("meeting", generator().into_root_schema_for::<record::MeetingRecord>()),
        ("alert", generator().into_root_schema_for::<record::AlertRecord>()),
        ("stats", generator().into_root_schema_for::<record::StatsRecord>()),
        ("software", generator().into_root_schema_for::<record::SoftwareRecord>()),
        ("server", generator().into_root_schema_for::<record::InventoryServerRecord>()),
        ("inventory", generator().into_root_schema_for::<record::InventoryRecord>()),
    ]
    .into_iter()
    .map(|(kind, schema)| {
        let mut schema = serde_json::to_value(schema).unwrap();
        schema["title"] = format!("meetscope {kind} record").into();
        schema["properties"]["event_type"] = serde_json::json!({ "const": kind });
        schema["required"].as_array_mut().unwrap().push("event_type".into());
        (kind, schema)
    })
    .collect()
}

#[test]
fn committed_schemas_are_those_of_the_records() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema"));
    let bless = std::env::var_os("MEETSCOPE_BLESS").is_some();
    for (kind, schema) in schemas() {
        let path = folder.join(format!("{kind}.schema.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if bless {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{kind}.schema.json differs: run with MEETSCOPE_BLESS=1 and look at it");
    }
}

/// Walks a value along its schema and names what the schema does not know, or asks for and does not get.
fn unknown(root: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        return unknown(root, &root["$defs"][name], value, at, out);
    }
    let choices = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    if let Some(choices) = choices {
        let fits = choices.iter().any(|choice| {
            let mut faults = Vec::new();
            unknown(root, choice, value, at, &mut faults);
            faults.is_empty()
        });
        if !fits {
            out.push(format!("{at}: none of the choices"));
        }
        return;
    }
    match value {
        Value::Object(fields) => {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    out.push(format!("{at}.{name}: required"));
                }
            }
            let open = [&schema["additionalProperties"], &schema["patternProperties"]];
            let any = open[0].as_object().map(|_| open[0]).or_else(|| open[1].as_object()?.values().next());
            for (name, field) in fields {
                match schema["properties"].get(name).or(any) {
                    Some(known) => unknown(root, known, field, &format!("{at}.{name}"), out),
                    None => out.push(format!("{at}.{name}: not in the schema")),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                unknown(root, &schema["items"], item, &format!("{at}[]"), out);
            }
        }
        simple => {
            let kind = match simple {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_u64() => "integer",
                Value::Number(_) => "number",
                _ => "string",
            };
            let allowed = match &schema["type"] {
                Value::String(word) => vec![word.as_str()],
                Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
                _ => vec![],
            };
            let constant = schema.get("const").is_some_and(|constant| constant == simple);
            let listed = schema["enum"].as_array().is_none_or(|words| words.contains(simple));
            let number = kind == "integer" && allowed.contains(&"number");
            if !(constant || (listed && (allowed.contains(&kind) || number))) {
                out.push(format!("{at}: {simple} is not {allowed:?}"));
            }
        }
    }
}

#[test]
fn every_record_fits_its_schema() {
    let schemas = schemas();
    let mut made = vec![beijing(), hostile()];
    for name in ["calls/zoom.pcap", "calls/teams.pcap", "calls/sip.pcap", "calls/google_meet.pcapng"] {
        made.extend(corpus(name).map(Made::replay));
    }
    for line in made.iter().flat_map(Made::lines) {
        let kind = line["event_type"].as_str().unwrap();
        let (_, schema) = schemas.iter().find(|(name, _)| *name == kind).unwrap();
        let mut faults = Vec::new();
        unknown(schema, schema, &line, kind, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
    }
}

/// `MEETSCOPE_SHOW=calls/zoom.pcap cargo nextest run --run-ignored only --no-capture shows_a_report`
#[test]
#[ignore = "prints a report for the eye"]
#[expect(clippy::print_stdout, reason = "made for the eye")]
fn shows_a_report() {
    let name = std::env::var("MEETSCOPE_SHOW").unwrap_or_else(|_| "calls/zoom.pcap".to_owned());
    let made = match name.as_str() {
        "beijing" => beijing(),
        "hostile" => hostile(),
        _ => match corpus(&name) {
            Some(path) => Made::replay(path),
            None => return,
        },
    };
    let colour = std::env::var_os("MEETSCOPE_COLOUR").is_some();
    println!("{}", made.written(&Style { format: Format::Text, kinds: None, colour, width: None }));
}
