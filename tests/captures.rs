//! The generated captures as a user meets them: what `captures/README.md` expects of each is what the real program says,
//! with and without key log and key. What is expected follows from how the captures were made.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::indexing_slicing, reason = "a field that is not there has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Captures, with the number of TLS and DTLS sessions that the key log beside them opens.
const CAPTURES: [(&str, Option<usize>); 9] = [
    ("zoom-beijing-2020", Some(20)),
    ("zoom-ecb-pkcs7", Some(2)),
    ("zoom-gcm", Some(3)),
    ("sip-sdes", Some(1)),
    ("sip-sdes-clear", None),
    ("dtls-srtp", Some(4)),
    ("e2e-call", Some(1)),
    ("plain-rtp", None),
    ("false-place", Some(1)),
];

fn captures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/captures"))
}

fn file(name: &str, extension: &str) -> PathBuf {
    captures().join(format!("{name}.{extension}"))
}

fn meetscope(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
    command.current_dir(captures()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The records of a replay, with the capture's key log or without.
fn replay(name: &str, with_log: bool) -> Vec<Value> {
    let (capture, log) = (format!("{name}.pcapng"), format!("{name}.keylog"));
    let mut arguments = vec!["replay", &capture, "--format", "ndjson"];
    if with_log {
        arguments.extend(["--keylog", &log]);
    }
    let output = meetscope(&arguments);
    assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The sessions that carried media.
fn sessions(records: &[Value]) -> Vec<&Value> {
    records
        .iter()
        .filter(|record| record["event_type"] == "session" && record.get("cipher").is_some())
        .collect()
}

/// The session of an endpoint.
fn session<'a>(records: &'a [Value], endpoint: &str) -> &'a Value {
    let of = sessions(records).into_iter().find(|session| session["endpoint"]["ip"] == endpoint);
    of.unwrap_or(&Value::Null)
}

/// Addresses of a session's servers and whether each could hold the key.
fn holders(session: &Value) -> BTreeMap<&str, &str> {
    let list = session["keys"]["holders"].as_array().unwrap().iter();
    list.map(|holder| (holder["ip"].as_str().unwrap(), holder["could_hold"].as_str().unwrap())).collect()
}

fn verdict(session: &Value) -> &str {
    session["cipher"]["verdict"].as_str().unwrap()
}

fn method(session: &Value) -> &str {
    session["keys"]["method"].as_str().unwrap()
}

/// `meetscope verify`: its exit status and its answer.
fn verify(name: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let capture = format!("{name}.pcapng");
    let output = meetscope(&[&["verify", &capture, "--format", "json"][..], arguments].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// How many of the streams opened.
fn opened(answer: &Value) -> (usize, usize) {
    let streams = answer["streams"].as_array().unwrap();
    (streams.iter().filter(|stream| stream["verified"] == true).count(), streams.len())
}

fn key(name: &str) -> String {
    fs::read_to_string(file(name, "key")).unwrap().trim().to_owned()
}

/// The nonces of zoom-gcm.
fn nonces() -> Vec<String> {
    let list = fs::read_to_string(file("zoom-gcm", "nonces")).unwrap();
    list.lines().map(|line| format!("--nonce={}", line.split_once(' ').unwrap().1)).collect()
}

/// The SDES keys that stand in a capture for all to read.
fn inline_keys(name: &str) -> Vec<String> {
    let bytes = fs::read(file(name, "pcapng")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let after = text.split("AES_CM_128_HMAC_SHA1_80 ").skip(1);
    after.map(|rest| rest.split("\r\n").next().unwrap().to_owned()).collect()
}

#[test]
fn ecb_is_said_where_it_is_and_nowhere_else() {
    for (name, _) in CAPTURES {
        let records = replay(name, false);
        let media = sessions(&records);
        assert!(!media.is_empty(), "{name}");
        for session in media {
            let is_ecb = matches!(name, "zoom-beijing-2020" | "zoom-ecb-pkcs7") && session["app"] == "zoom";
            let verdict = verdict(session);
            assert_eq!(verdict == "ecb_very_likely", is_ecb, "{name}: {verdict}");
            assert_ne!(verdict, "ecb_suspicious", "{name}");
            match name {
                "zoom-gcm" => assert_eq!(verdict, "aead_framing"),
                "plain-rtp" => assert_eq!(verdict, "not_encrypted"),
                _ => assert!(!["aead_framing", "not_encrypted"].contains(&verdict), "{name}: {verdict}"),
            }
        }
    }
}

#[test]
fn holders_of_zoom_meetings_are_controllers_and_router() {
    let records = replay("zoom-beijing-2020", false);
    let (toronto, new_york) = (session(&records, "142.1.217.44"), session(&records, "128.59.105.24"));
    for server in ["52.81.151.250", "173.231.80.62", "8.5.128.91", "3.235.82.199"] {
        assert_eq!(holders(toronto)[server], "yes", "{server}");
    }
    let first = &toronto["keys"]["holders"][0];
    assert_eq!((&first["ip"], &first["port"]), (&"52.81.151.250".into(), &443.into()));
    assert_eq!(holders(new_york)["3.235.82.199"], "yes");
    assert!(!holders(new_york).contains_key("52.81.151.250"), "New York never spoke to Beijing");

    let records = replay("zoom-ecb-pkcs7", false);
    assert_eq!(
        holders(session(&records, "142.1.96.12")),
        BTreeMap::from([("3.235.82.199", "yes"), ("173.231.80.62", "yes")])
    );
    let records = replay("zoom-gcm", false);
    let holders = holders(session(&records, "142.1.96.12"));
    assert_eq!((holders["144.195.73.12"], holders["144.195.73.154"]), ("yes", "yes"));
    assert_ne!(holders["170.114.52.2"], "yes", "the web page hands out no key");
}

#[test]
fn keys_in_sdp_make_the_proxy_a_holder() {
    let records = replay("sip-sdes-clear", false);
    let session = session(&records, "128.59.62.71");
    assert_eq!((method(session), holders(session)["188.40.44.5"]), ("sdes", "yes"));
}

/// The phone is the only endpoint in these captures; some RTCP flows are opened by the gateway.
#[test]
fn rtcp_of_a_gateway_makes_no_session() {
    for (name, with_log, rtcp) in [
        ("plain-rtp", false, &[18_301, 18_401][..]),
        ("sip-sdes", false, &[18_101]),
        ("sip-sdes", true, &[18_101]),
        ("sip-sdes-clear", false, &[18_201]),
    ] {
        let records = replay(name, with_log);
        let made: Vec<&Value> = records.iter().filter(|record| record["event_type"] == "session").collect();
        assert_eq!(made.len(), 1, "{name}");
        assert_eq!(made[0]["endpoint"]["ip"], "128.59.62.71", "{name}");
        for port in rtcp {
            let is = |record: &&Value| record["src_port"] == *port || record["dest_port"] == *port;
            let flow = records.iter().filter(|record| record["event_type"] == "flow").find(is).unwrap();
            assert_eq!(flow["session_id"], made[0]["session_id"], "{name}: {flow}");
        }
    }
}

/// A capture without its first frames. Blocks: pcapng, section 3.1; 6 is an Enhanced Packet Block.
fn without_first(name: &str, frames: u64) -> Vec<u8> {
    let whole = fs::read(file(name, "pcapng")).unwrap();
    let (mut rest, mut kept, mut left_out) = (whole.as_slice(), Vec::new(), 0_u64);
    while let Some((kind, length)) = rest.first_chunk().zip(rest.get(4..8)) {
        let length = u32::from_le_bytes(length.try_into().unwrap());
        let (block, behind) = rest.split_at(usize::try_from(length).unwrap());
        rest = behind;
        if u32::from_le_bytes(*kind) == 6 && left_out < frames {
            left_out = left_out.saturating_add(1);
        } else {
            kept.extend_from_slice(block);
        }
    }
    kept
}

/// A capture that begins after the handshakes and before media: of a connection under way nobody knows whether it is
/// encrypted, and that a key could have been read on its way may not be said of TLS.
#[test]
fn signalling_under_way_is_not_said_to_be_in_the_clear() {
    let whole = replay("zoom-beijing-2020", false);
    let is_media = |record: &&Value| record["role"] == "media" && record["app"] == "zoom";
    let first =
        whole.iter().filter(is_media).map(|record| record["flow"]["first_packet"]["frame"].as_u64().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pcapng");
    fs::write(&path, without_first("zoom-beijing-2020", first.min().unwrap() - 1)).unwrap();
    let output = meetscope(&["replay", path.to_str().unwrap(), "--format", "ndjson"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cut: Vec<&Value> = records
        .iter()
        .filter(|record| record["event_type"] == "session" && record["app"] == "zoom")
        .collect();
    let under_way = |session: &&&Value| session["findings"].to_string().contains("signalling_under_way");
    assert!(!cut.is_empty() && cut.iter().filter(under_way).count() > 0, "{cut:?}");
    let said = cut.iter().map(|session| session["keys"]["holders"].to_string()).collect::<String>();
    assert!(said.contains("no handshake was captured") && !said.contains("in the clear"), "{said}");
}

/// Inside TLS nothing shows SDES, and it may not be taken for anything else; a key log shows it.
#[test]
fn sdes_inside_tls_is_seen_with_a_key_log() {
    let records = replay("sip-sdes", false);
    let closed = session(&records, "128.59.62.71");
    assert_eq!(method(closed), "sdes");
    assert_eq!(holders(closed)["188.40.44.5"], "yes", "signalling over TLS on the port of SIP");
    let proxy = &closed["keys"]["holders"][0];
    assert!(proxy["ip"] == "188.40.44.5" && proxy["confidence"].as_f64() < Some(0.5), "inferred: {proxy}");
    let ids = closed["findings"].as_array().unwrap().iter().map(|finding| &finding["id"]);
    assert_eq!(ids.filter(|id| *id == "begun_mid_call").count(), 0);

    let records = replay("sip-sdes", true);
    let opened = session(&records, "128.59.62.71");
    assert_eq!((&opened["app"], method(opened)), (&"sip".into(), "sdes"));
    assert_eq!(holders(opened)["188.40.44.5"], "yes");
    let findings = opened["findings"].as_array().unwrap();
    let count = |id: &str| findings.iter().filter(|finding| finding["id"] == id).count();
    assert_eq!(
        (count("key_delivered"), count("key_in_clear")),
        (2, 0),
        "each way has a key, both inside TLS"
    );
}

#[test]
fn dtls_makes_the_media_server_a_holder_and_the_signalling_none() {
    let records = replay("dtls-srtp", false);
    for (browser, server_is, profile) in [
        ("128.59.62.80", "remote", "SRTP_AES128_CM_HMAC_SHA1_80"),
        ("128.59.62.81", "endpoint", "SRTP_AEAD_AES_128_GCM"),
    ] {
        let session = session(&records, browser);
        assert_eq!(session["app"], Value::Null, "{browser}: no mark of any app");
        assert_eq!(method(session), "dtls_srtp");
        assert_eq!(holders(session)["188.40.44.20"], "yes");
        assert_ne!(holders(session).get("188.40.44.19"), Some(&"yes"));
        let handshake = &session["keys"]["flows"][0]["handshake"];
        assert_eq!((&handshake["server_is"], &handshake["profile"]), (&server_is.into(), &profile.into()));
        let all = session["signalling"].as_array().unwrap();
        let of_dtls = all.iter().find(|one| one["transport"] == "dtls").unwrap();
        assert_eq!(of_dtls["ip"], "188.40.44.20");
        // By tshark, of packets 20 and 90, which 188.40.44.20 sent: as DTLS server and as DTLS client.
        let shown = of_dtls["certificate"]["sha256"].as_str().unwrap();
        assert!(shown.starts_with("5f3301da"), "{browser}: {shown}");
    }
    let joined = records.iter().filter(|record| record["event_type"] == "meeting");
    assert_eq!(joined.count(), 1, "the media server copies one leg to the other");
}

/// The pcapng from its packet number `first` on: little-endian, enhanced packet blocks.
#[expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a file of our own")]
fn from_packet(file: &[u8], first: usize) -> Vec<u8> {
    let word = |at: usize| usize::try_from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap())).unwrap();
    let (mut out, mut at, mut packets) = (Vec::new(), 0, 0);
    while at < file.len() {
        let is_packet = word(at) == 6;
        packets += usize::from(is_packet);
        if !is_packet || packets >= first {
            out.extend_from_slice(&file[at..at + word(at + 4)]);
        }
        at += word(at + 4);
    }
    out
}

/// The capture begins with packet 16, the media server's answer to the browser's check; with 18, its `HelloVerifyRequest`; with
/// 20, its `ServerHello`; with 199, in the middle of media.
#[test]
fn a_browser_is_no_holder_where_the_capture_begins_with_a_packet_of_the_server() {
    let whole = fs::read(file("dtls-srtp", "pcapng")).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    for first in [16, 18, 20, 199] {
        let path = directory.path().join("late.pcapng");
        fs::write(&path, from_packet(&whole, first)).unwrap();
        let output = meetscope(&["replay", path.to_str().unwrap(), "--format", "ndjson"]);
        let records: Vec<Value> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let endpoints: Vec<&str> =
            sessions(&records).iter().map(|session| session["endpoint"]["ip"].as_str().unwrap()).collect();
        assert_eq!(endpoints, ["128.59.62.80", "128.59.62.81"], "from packet {first}");
        if first < 20 {
            let session = session(&records, "128.59.62.80");
            assert_eq!(holders(session)["188.40.44.20"], "yes", "from packet {first}");
        }
    }
}

#[test]
fn nobody_to_be_seen_holds_the_keys_of_an_end_to_end_call() {
    for with_log in [false, true] {
        let records = replay("e2e-call", with_log);
        let session = session(&records, "142.1.130.7");
        assert_eq!((&session["app"], method(session)), (&"signal".into(), "end_to_end"));
        assert_eq!(holders(session)["35.158.183.167"], "no", "the relay");
        assert!(holders(session).values().all(|holds| *holds != "yes"));
    }
}

/// 93.47.225.19 is the party that was called (`captures/README.md`); tshark: frame 38, the first sent to it through the relay, is of
/// 18:00:06.000149, and all frames together have 137,496 bytes.
#[test]
fn who_is_called_behind_a_relay_is_not_said_to_be_a_server() {
    let records = replay("e2e-call", false);
    let session = session(&records, "142.1.130.7");
    let servers = session["servers"].as_array().unwrap();
    let called = servers.iter().find(|server| server["ip"] == "93.47.225.19").unwrap();
    assert_eq!((&called["other_end"], &called["behind_relay"]), (&true.into(), &"35.158.183.167".into()));
    assert_eq!((&called["service_operator"], &called["exposure"]), (&Value::Null, &Value::Array(Vec::new())));
    assert_eq!(called["first_contact"], "2021-11-20T18:00:06.000149+0000");
    assert_eq!(called["first_packet"]["frame"], 38);
    assert!(servers.iter().map(|server| server["bytes"].as_u64().unwrap()).sum::<u64>() <= 137_496);
    assert_eq!(holders(session)["93.47.225.19"], "unknown");
    let reached = session["jurisdictions"].as_array().unwrap();
    assert!(reached.iter().all(|jurisdiction| jurisdiction["code"] != "IT"));
    assert!(told(&["e2e-call.pcapng"]).contains("1 session, nothing grave found."));
    let listed = meetscope(&["servers", "e2e-call.pcapng", "--format", "json"]);
    assert!(!String::from_utf8(listed.stdout).unwrap().contains("93.47.225.19"));
}

#[test]
fn without_encryption_there_is_no_key() {
    let records = replay("plain-rtp", false);
    let session = session(&records, "128.59.62.71");
    assert_eq!((&session["app"], method(session)), (&"sip".into(), "none"));
    let findings = session["findings"].as_array().unwrap();
    let of = |id: &str| findings.iter().filter(|finding| finding["id"] == id).collect::<Vec<_>>();
    let plain = of("media_not_encrypted");
    assert_eq!((plain.len(), of("key_holder_abroad").len()), (1, 0), "there is no key for anybody to hold");
    assert!(plain[0]["text"].as_str().unwrap().contains("for everybody on its way to read"), "{}", plain[0]);
    // The recipe makes two streams of PCMU, whose bytes are far from uniform, and two of Opus, whose first bytes are not; the
    // session description tells all four to be RTP/AVP.
    let text = plain[0]["text"].as_str().unwrap();
    assert!(
        text.contains("of 2 the payloads") && text.contains("2 more were announced without keys"),
        "{text}"
    );
    let of_flows: Vec<&Value> = records
        .iter()
        .filter_map(|record| record["rtp"].as_array())
        .flatten()
        .map(|stream| &stream["cipher"]["verdict"])
        .collect();
    assert_eq!(of_flows, ["not_encrypted"; 4], "what a flow says and what its session says");
    assert_eq!(session["cipher"]["by_verdict"], serde_json::json!({ "not_encrypted": 4 }));
    let text = session["cipher"]["text"].as_str().unwrap();
    assert!(text.contains("(438 payloads)") && text.contains("of stream 0x36263504"), "{text}");
    let report = told(&[file("plain-rtp", "pcapng").to_str().unwrap()]);
    assert!(
        !report.contains("every block was tested") && !report.contains("What the ciphertext"),
        "{report}"
    );
}

/// Both calls of one signalling flow, packets 5 and 894 (`tshark -Y 'sip.Method == "INVITE"' -T fields -e sip.to.addr`).
#[test]
fn every_call_of_a_signalling_flow_is_named_with_what_came_of_it() {
    let records = replay("plain-rtp", false);
    let calls = |calls: &Value| -> Vec<(String, u64)> {
        let calls = calls.as_array().unwrap().iter();
        calls.map(|call| (call["to"].to_string(), call["status"].as_u64().unwrap())).collect()
    };
    let expected = [2002, 3003].map(|to| (format!("\"<sip:{to}@sip.example.net>\""), 200));
    assert_eq!(calls(&session(&records, "128.59.62.71")["sip_calls"]), expected);
    let flow = records.iter().find(|record| record.get("sip").is_some()).unwrap();
    assert_eq!(calls(&flow["sip"]["calls"]), expected);
    let text = told(&["plain-rtp.pcapng"]);
    assert!(
        text.contains("<sip:2001@sip.example.net> to <sip:3003@sip.example.net>: final status 200"),
        "{text}"
    );
}

/// A report in text, its lines joined.
fn told(arguments: &[&str]) -> String {
    let output = meetscope(&[&["replay"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn nobody_is_said_to_hold_the_key_of_media_that_has_none() {
    let records = replay("plain-rtp", false);
    let parts = |records: &[Value], ip: &str| {
        let reaches = session(records, ip)["jurisdictions"].as_array().unwrap().clone();
        reaches.into_iter().flat_map(|one| one["reaches"].as_array().unwrap().clone()).collect::<Vec<_>>()
    };
    let has = |reach: &[Value], part: &str| {
        reach.iter().any(|reach| reach["part"].as_array().unwrap().contains(&Value::from(part)))
    };
    let plain = parts(&records, "128.59.62.71");
    assert!(has(&plain, "reader") && !has(&plain, "key_holder"), "{plain:?}");
    let text = told(&["plain-rtp.pcapng"]);
    assert!(text.contains("reaches servers that could read the media"), "{text}");
    for of_keys in ["could hold the key", "cannot hold", "how keys arose"] {
        assert!(!text.contains(of_keys), "{of_keys}: {text}");
    }
    assert!(text.contains("cannot read 188.40.44.5"), "{text}");
    // Beside a call that has a key each is told by itself.
    let both = told(&["plain-rtp.pcapng", "zoom-beijing-2020.pcapng"]);
    assert!(both.contains("could hold the key, or") && both.contains("read: DE"), "{both}");
}

/// Two captures that lie years apart.
#[test]
fn a_run_over_several_captures_tells_the_range_of_days_and_the_file_of_each_packet() {
    // 2020-04-02 and 2024-10-14 are 2364 and 708 days before the database's day, 2026-09-23.
    let both = told(&["plain-rtp.pcapng", "zoom-beijing-2020.pcapng"]);
    assert!(both.contains("of 2026-09-23, 708 to 2364 days from the captures"), "{both}");
    assert!(both.contains("packets 593 of file 1, 582 of file 1"), "what joined the sessions: {both}");
    let alone = told(&["zoom-beijing-2020.pcapng"]);
    assert!(alone.contains("of 2026-09-23, 2364 days from the capture ("), "{alone}");
}

#[test]
fn jurisdictions_say_that_the_time_of_answers_contradicts_a_place() {
    let text = told(&["false-place.pcapng", "--site", "DE"]);
    let line = "AU (Australia) reaches servers that could hold the key, signalling servers; the time of its answers contradicts that place";
    assert!(text.contains(line), "{text}");
    let html = meetscope(&["replay", "false-place.pcapng", "--site", "DE", "--format", "html"]);
    let html = String::from_utf8(html.stdout).unwrap();
    assert!(html.contains("the time of answers contradicts that 139.130.4.25 is there"));
}

/// The payloads of `plain-rtp` are G.711 and Opus as they are: without the signalling they show it alone, where there are
/// enough of them.
#[test]
fn payloads_show_alone_that_media_is_not_encrypted() {
    let output = meetscope(&[
        "replay",
        "plain-rtp.pcapng",
        "--format",
        "ndjson",
        "--bpf",
        "udp portrange 18300-18301",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let session = session(&records, "128.59.62.71");
    assert_eq!(method(session), "none", "{}", session["keys"]);
    // And of sealed ones nothing of the kind.
    let output =
        meetscope(&["replay", "sip-sdes.pcapng", "--format", "ndjson", "--bpf", "udp portrange 18100-18101"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sealed = sessions(&records);
    assert_eq!((sealed.len(), method(sealed[0])), (1, "not_determinable"));
}

/// Findings about places, with the sessions' servers.
fn places(name: &str, more: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let capture = format!("{name}.pcapng");
    let output =
        meetscope(&[&["replay", &capture, "--format", "ndjson", "--records", "session"][..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all =
        |field: &str| records.iter().flat_map(|record| record[field].as_array().unwrap().clone()).collect();
    let findings: Vec<Value> = all("findings");
    let is_of_place = |finding: &Value| {
        ["place_contradicted", "places_incompatible"].contains(&finding["id"].as_str().unwrap())
    };
    (findings.into_iter().filter(is_of_place).collect(), all("servers"))
}

/// The proxy's address is of an Australian network, and the generator lets it answer a German phone within 2 ms: light comes
/// 300 km and back in that time. Two STUN servers of other networks, placed in Germany, answer in 4 and 7 ms.
#[test]
fn a_place_that_is_too_far_for_its_answer_is_contradicted() {
    for site in [&[][..], &["--site", "DE"], &["--site", "fr"]] {
        let (findings, servers) = places("false-place", site);
        assert_eq!(findings.len(), 1, "{site:?}: {findings:?}");
        let finding = &findings[0];
        assert_eq!(finding["id"], "place_contradicted", "{site:?}: {finding}");
        assert_eq!(finding["packets"], serde_json::json!([{"frame": 4}, {"frame": 3}]), "SYN-ACK and SYN");
        let proxy = servers.iter().find(|server| server["ip"] == "139.130.4.25").unwrap();
        let distance = &proxy["distance"];
        assert!((2.0..2.5).contains(&distance["rtt_ms"].as_f64().unwrap()), "{distance}");
        assert!((300..375).contains(&distance["km_at_most"].as_u64().unwrap()), "{distance}");
        let claim = &distance["contradicts"][0];
        assert_eq!((&claim["country"], &claim["claim"]), (&"AU".into(), &"database".into()));
        assert!(claim["km_at_least"].as_u64().unwrap() > 4_000, "from Réunion: {claim}");
        assert_eq!(proxy["located_in"]["confidence"], "low");
        let text = finding["text"].as_str().unwrap();
        assert!(text.contains("anycast") && text.contains("proxy"), "what else it may be: {text}");
    }
    // In Australia the database is right, and the name by reverse look-up, which says Frankfurt, is not.
    let (findings, servers) = places("false-place", &["--site", "AU"]);
    assert_eq!((findings.len(), &findings[0]["id"]), (1, &"place_contradicted".into()), "{findings:?}");
    let proxy = servers.iter().find(|server| server["ip"] == "139.130.4.25").unwrap();
    let distance = &proxy["distance"];
    assert_eq!((&distance["site"], distance["contradicts"].as_array().unwrap().len()), (&"AU".into(), 1));
    let claim = &distance["contradicts"][0];
    assert_eq!((&claim["claim"], &claim["country"]), (&"reverse_name".into(), &"DE".into()));
    // Without those that agree with it, the endpoint's place stands against the proxy's, and neither is called wrong.
    let (findings, _) = places("false-place", &["--bpf", "not port 3478"]);
    assert_eq!((findings.len(), &findings[0]["id"]), (1, &"places_incompatible".into()));
    assert!(findings[0]["text"].as_str().unwrap().contains("the capture does not tell"), "{}", findings[0]);
}

/// The generator lets a resolver give the proxy's address a name of Amazon's in Frankfurt; the key server of 2020 is in a range that
/// Amazon publishes for Beijing.
/// A policy says where the phone's network is: that is as far from the capture point as the phone's own answers allow.
#[test]
fn a_policy_tells_where_the_capture_point_is() {
    let directory = tempfile::TempDir::new().unwrap();
    let policy = directory.path().join("sites.toml");
    let site =
        "schema_version = 1\n[[site]]\nname = \"Berlin\"\ncountry = \"DE\"\nsubnets = [\"141.20.0.0/16\"]\n";
    let rule = "[[rule]]\nid = \"no-ecb\"\nunknown = \"ignore\"\ncipher = { deny = [\"ecb\"] }\n";
    fs::write(&policy, [site, rule].concat()).unwrap();
    let (findings, servers) =
        places("false-place", &["--policy", policy.to_str().unwrap(), "--bpf", "not port 3478"]);
    assert_eq!((findings.len(), &findings[0]["id"]), (1, &"place_contradicted".into()), "{findings:?}");
    let distance = &servers.iter().find(|server| server["ip"] == "139.130.4.25").unwrap()["distance"];
    assert_eq!(
        (&distance["site"], &distance["contradicts"][0]["by"][0]["source"]),
        (&"DE".into(), &"the policy's site".into())
    );
    assert!(
        distance["contradicts"][0]["km_at_most"].as_u64() > distance["km_at_most"].as_u64(),
        "{distance}"
    );
}

#[test]
fn names_and_ranges_say_where_their_owners_place_them() {
    let (_, servers) = places("false-place", &[]);
    let proxy = servers.iter().find(|server| server["ip"] == "139.130.4.25").unwrap();
    let hint = &proxy["hints"][0];
    assert_eq!(hint["kind"], "reverse_name", "{hint}");
    assert_eq!(hint["value"], "ec2-139-130-4-25.eu-central-1.compute.amazonaws.com");
    assert_eq!((&hint["region"], &hint["country"]), (&"eu-central-1".into(), &"DE".into()));
    let exposed = proxy["exposure"].as_array().unwrap().iter();
    let located: Vec<&Value> = exposed.filter(|reached| reached["basis"] == "located_in").collect();
    // Who has an address chooses its reverse name, so that such a name adds no jurisdiction.
    assert_eq!(located.iter().map(|reached| &reached["jurisdiction"]).collect::<Vec<_>>(), ["AU"]);

    let records = replay("zoom-beijing-2020", false);
    let server = |ip: &str| {
        let all = session(&records, "142.1.217.44")["servers"].as_array().unwrap().clone();
        all.into_iter().find(|server| server["ip"] == ip).unwrap()
    };
    let beijing = server("52.81.151.250");
    let range = &beijing["hints"][0];
    assert_eq!((&range["kind"], &range["region"]), (&"published_range".into(), &"cn-north-1".into()));
    assert_eq!((&range["country"], &range["city"]), (&"CN".into(), &"Beijing".into()));
    assert_eq!(
        beijing["located_in"]["confidence"], "medium",
        "two witnesses, six years younger than the capture"
    );
    let new_york = server("173.231.80.62");
    let name = &new_york["hints"][0];
    assert_eq!((&name["region"], &name["unchecked"]), (&"ny".into(), &true.into()));
    assert!(
        new_york["exposure"]
            .as_array()
            .unwrap()
            .iter()
            .all(|reached| !reached["reason"].as_str().unwrap().contains("code"))
    );
}

#[test]
fn no_other_place_is_contradicted() {
    for (name, _) in CAPTURES.iter().filter(|(name, _)| *name != "false-place") {
        assert_eq!(places(name, &[]).0, Vec::<Value>::new(), "{name}");
    }
}

#[test]
fn each_key_log_opens_all_of_its_capture() {
    for (name, flows) in CAPTURES {
        let Some(flows) = flows else { continue };
        let records = replay(name, true);
        let opened: Vec<&Value> = records.iter().filter_map(|record| record.get("opened")).collect();
        assert_eq!(opened.len(), flows, "{name}");
        for opened in opened {
            assert_eq!((&opened["failed"], opened.get("missing")), (&0.into(), None), "{name}: {opened}");
            assert!(opened["records"] != 0 || opened["srtp_keys"] == true, "{name}: {opened}");
        }
        let log = &records.last().unwrap()["key_logs"][0];
        assert_eq!((&log["unused"], &log["malformed"]), (&0.into(), &0.into()), "{name}");
    }
}

#[test]
fn zoom_keys_open_what_they_sealed() {
    let (status, answer) = verify("zoom-ecb-pkcs7", &["--key", &key("zoom-ecb-pkcs7")]);
    assert_eq!((status, opened(&answer)), (Some(0), (4, 4)));
    for stream in answer["streams"].as_array().unwrap() {
        assert_eq!(stream["cipher"], "AES-128-ECB, PKCS #7 padding");
        assert_eq!(stream["units_verified"], stream["units_tried"]);
    }
    let nonces = nonces();
    let key = format!("--key={}", key("zoom-gcm"));
    let (status, answer) = verify("zoom-gcm", &[&key, &nonces[0], &nonces[1]]);
    assert_eq!((status, opened(&answer)), (Some(0), (4, 4)));
    let (status, answer) = verify("zoom-gcm", &[&key, &nonces[1]]);
    assert_eq!((status, opened(&answer)), (Some(0), (2, 4)), "the streams of one sender");
    let (status, answer) = verify("zoom-gcm", &[&key]);
    assert_eq!((status, opened(&answer)), (Some(1), (0, 4)), "a meeting key alone opens nothing");
}

#[test]
fn sdes_keys_open_one_direction_each() {
    let keys = inline_keys("sip-sdes-clear");
    assert_eq!(keys.len(), 2);
    for key in &keys {
        let (status, answer) = verify("sip-sdes-clear", &["--key", key]);
        assert_eq!((status, opened(&answer)), (Some(0), (1, 2)));
        for other in ["sip-sdes", "e2e-call", "dtls-srtp", "plain-rtp"] {
            let (status, answer) = verify(other, &["--key", key]);
            assert_eq!((status, opened(&answer).0), (Some(1), 0), "{other}");
        }
    }
}

/// The first 16 bytes of an `inline:` key of the capture, without the 14 of its salt.
#[test]
fn a_key_of_srtp_without_its_salt_is_said_not_to_be_tried_as_one() {
    let (status, answer) = verify("sip-sdes-clear", &["--key", "e84d137f359b737852f65b596fbca5f5"]);
    assert_eq!((status, opened(&answer)), (Some(1), (0, 2)));
    let says = |field: &str, what: &str| {
        answer[field].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains(what))
    };
    assert!(says("tried", "SRTP was not tried: no master salt (--salt)"), "{answer}");
    assert!(says("does_not_prove", "whose master salt was not given"), "{answer}");
}

#[test]
fn a_flipped_bit_opens_nothing() {
    for (name, extra) in [("zoom-ecb-pkcs7", vec![]), ("zoom-gcm", nonces())] {
        let mut typed = key(name).into_bytes();
        // The third digit stands for four or six bits of the key; A to B flips one of them.
        typed[2] = match typed[2] {
            b'A' => b'B',
            b'0' => b'1',
            digit if digit.is_ascii_digit() => b'0',
            _ => b'A',
        };
        let typed = format!("--key={}", String::from_utf8(typed).unwrap());
        let mut arguments = vec![typed.as_str()];
        arguments.extend(extra.iter().map(String::as_str));
        let (status, answer) = verify(name, &arguments);
        assert_eq!((status, opened(&answer).0), (Some(1), 0), "{name}");
    }
}

#[test]
fn no_report_holds_a_key() {
    let mut secrets: Vec<String> = ["zoom-ecb-pkcs7", "zoom-gcm"].map(key).into();
    secrets.extend(inline_keys("sip-sdes-clear").iter().map(|key| key.replace("inline:", "")));
    for (name, log) in CAPTURES {
        for format in ["ndjson", "text"] {
            let (capture, key_log) = (format!("{name}.pcapng"), format!("{name}.keylog"));
            let mut arguments = vec!["replay", &capture, "--format", format];
            if log.is_some() {
                arguments.extend(["--keylog", &key_log]);
            }
            let report = String::from_utf8(meetscope(&arguments).stdout).unwrap();
            for secret in &secrets {
                assert!(!report.contains(secret), "{name} as {format}");
            }
        }
    }
}
