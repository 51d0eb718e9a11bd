//! `meetscope servers` and `--state` as a user meets them. The truth is how a capture was made (`captures/README.md`), or
//! what tshark says of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/zoom-servers-73.pcapng");
const BEIJING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/zoom-beijing-2020.pcapng");
/// The two clients of the capture; each speaks to half of the servers, and both to nine.
const CLIENTS: [&str; 2] = ["142.1.217.44", "142.1.217.45"];

fn meetscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meetscope")).args(arguments).output().unwrap()
}

fn servers(arguments: &[&str]) -> Value {
    let all = [&["servers", "--format", "json"], arguments].concat();
    let output = meetscope(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Servers and countries of each group.
fn groups(answer: &Value) -> Vec<(u64, Value)> {
    let groups = answer["software"].as_array().unwrap();
    groups.iter().map(|group| (group["servers"].as_u64().unwrap(), group["countries"].clone())).collect()
}

fn the_count_of_2020() -> Vec<(u64, Value)> {
    vec![(73, json!({ "CN": 5, "US": 68 })), (4, json!({ "CN": 1, "GB": 3 })), (4, json!({ "US": 4 }))]
}

/// Where the recordings lie; not everybody has them.
fn recording(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/calls").join(name);
    path.is_file().then_some(path)
}

#[test]
fn five_servers_in_china_and_sixty_eight_in_the_united_states_run_the_same() {
    let answer = servers(&[CAPTURE]);
    assert_eq!(groups(&answer), the_count_of_2020());
    let group = &answer["software"][0];
    assert_eq!(group["named_as"], json!({ "key": 73 }));
    assert_eq!(group["answers"][0]["cipher"], "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    // Another company's server answers in the same way; it is nobody's here.
    assert!(!answer.to_string().contains("93.184.216.34"));
    let text = String::from_utf8(meetscope(&["servers", CAPTURE]).stdout).unwrap();
    for part in ["5 placed in CN (China), 68 in US (United States)", "IPFire-Location-Country of 2026-09-23"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn two_runs_with_a_state_count_what_one_run_over_all_counts() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("servers.state");
    let state = state.to_str().unwrap();
    let [first, second] = CLIENTS.map(|client| format!("host {client}"));
    let half = servers(&[CAPTURE, "--bpf", &first, "--state", state]);
    assert!(groups(&half)[0].0 < 73, "one client alone does not see all of them");
    servers(&[CAPTURE, "--bpf", &second, "--state", state]);
    let kept = servers(&["--state", state]);
    assert_eq!(groups(&kept), the_count_of_2020());
    let ids = |answer: &Value| -> BTreeSet<String> {
        answer["software"].as_array().unwrap().iter().map(|group| group["group"].to_string()).collect()
    };
    assert_eq!(ids(&kept), ids(&servers(&[CAPTURE])), "a group keeps its name");
}

#[test]
fn the_same_capture_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("s");
    let add = |capture: &str, order: &str| {
        let output = meetscope(&["replay", capture, "--state", state.to_str().unwrap(), "--threads", order]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read(&state).unwrap()
    };
    let once = add(BEIJING, "1");
    assert!(once == add(BEIJING, "2"), "added again, by two threads");
    let more = add(CAPTURE, "1");
    assert!(more.len() > once.len());
    assert!(more == add(BEIJING, "1"));
}

#[test]
fn a_state_keeps_the_same_whatever_records_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |records: &str| {
        let state = folder.path().join(records);
        let state = state.to_str().unwrap();
        let output =
            meetscope(&["replay", BEIJING, "--format", "ndjson", "--records", records, "--state", state]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read(state).unwrap()
    };
    let all = kept("flow,session,meeting,alert,stats");
    for records in ["flow", "stats", "session"] {
        assert!(all == kept(records), "{records} alone");
    }
    let state = folder.path().join("servers");
    servers(&[BEIJING, "--state", state.to_str().unwrap()]);
    assert!(all == fs::read(state).unwrap(), "by the inventory itself");
}

/// How the capture was made: both clients of Zoom speak to one router, and the Teams client to a relay that answers no TLS.
#[test]
fn servers_of_media_are_in_the_inventory_with_who_spoke_to_them() {
    let answer = servers(&[BEIJING, "--all"]);
    let endpoints = |ip: &str| -> BTreeSet<String> {
        let server = answer["servers"].as_array().unwrap().iter().find(|server| server["ip"] == ip).unwrap();
        let sessions = server["sessions"].as_array().unwrap().iter();
        sessions.map(|session| session["endpoint"].as_str().unwrap().to_owned()).collect()
    };
    assert!(endpoints("173.231.80.62").iter().eq(["128.59.105.24", "142.1.217.44"]));
    assert!(endpoints("52.112.72.18").iter().eq(["128.59.40.130"]));
}

#[test]
fn holders_tell_how_far_their_software_is_spread() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("s");
    let state = state.to_str().unwrap();
    // The controllers of both captures are the same rustls in the same configuration.
    servers(&[CAPTURE, "--state", state]);
    let output = meetscope(&["replay", BEIJING, "--state", state, "--format", "ndjson"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let holders: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["app"] == "zoom" && record["event_type"] == "session")
        .flat_map(|session| session["keys"]["holders"].as_array().unwrap().clone())
        .filter(|holder| holder["ip"] == "52.81.151.250")
        .collect();
    let [holder] = holders.as_slice() else { panic!("{} holders", holders.len()) };
    // 52.81.151.250 is in both; of the four others of 2020, 8.5.128.91, 54.183.117.76 (in both), 3.235.82.199 (in
    // both) and the router, two are new.
    assert_eq!(holder["software"]["countries"], json!({ "CN": 5, "US": 70 }));
    assert_eq!(holder["software"]["servers"], 75);
    let text = String::from_utf8(meetscope(&["replay", BEIJING, "--state", state]).stdout).unwrap();
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("answers TLS as 74 other servers do"), "{text}");
    assert!(flat.contains("5 placed in CN, 70 in US"), "{text}");
}

#[test]
fn one_capture_alone_tells_its_own_spread() {
    let output = meetscope(&["replay", BEIJING, "--format", "ndjson", "--records", "session"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let spread = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .flat_map(|session| session["keys"]["holders"].as_array().unwrap().clone())
        .find(|holder| holder["ip"] == "52.81.151.250")
        .unwrap()["software"]
        .clone();
    // Four controllers and the router; captures/README.md lists them.
    assert_eq!((&spread["servers"], &spread["countries"]), (&json!(5), &json!({ "CN": 1, "US": 4 })));
}

#[test]
fn a_state_that_cannot_be_read_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("s");
    for (text, says) in [
        ("something else\n", "expected a state file of meetscope"),
        ("{\"meetscope_state\":9,\"servers\":0}\n", "version 9"),
        ("{\"meetscope_state\":1,\"servers\":2}\n", "expected 2 servers, found 0"),
    ] {
        fs::write(&state, text).unwrap();
        for command in ["replay", "servers"] {
            let output = meetscope(&[command, CAPTURE, "--state", state.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(1));
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains(says), "{stderr}");
            assert_eq!(fs::read_to_string(&state).unwrap(), text);
        }
    }
    let same = meetscope(&["servers", CAPTURE, "--state", CAPTURE]);
    assert_eq!(same.status.code(), Some(2), "a capture is not a state");
    let unknown = meetscope(&["servers", CAPTURE, "--provider", "zom"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `zoom`?"));
    assert_eq!(meetscope(&["servers"]).status.code(), Some(2));
}

#[test]
fn a_directory_stands_for_the_captures_in_it_and_none_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (at, out) = (folder.path().to_str().unwrap(), folder.path().join("1.pcapng"));
    assert_eq!(meetscope(&["servers", at]).status.code(), Some(1), "an empty one");
    let capture = fs::read(CAPTURE).unwrap();
    fs::write(&out, &capture).unwrap();
    assert_eq!(groups(&servers(&[at])), groups(&servers(&[CAPTURE])));
    let refused = meetscope(&["servers", at, "-o", out.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(fs::read(&out).unwrap() == capture);
}

#[test]
fn a_state_that_nobody_has_written_is_not_an_empty_inventory() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("typo");
    let output = meetscope(&["servers", "--state", state.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("typo: no such inventory yet"), "{words}");
    assert!(output.stdout.is_empty() && !state.exists());
}

#[test]
fn runs_at_the_same_time_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("s");
    let runs: Vec<_> = CLIENTS
        .iter()
        .map(|client| {
            Command::new(env!("CARGO_BIN_EXE_meetscope"))
                .args(["servers", CAPTURE, "--bpf", &format!("host {client}"), "--format", "json", "--state"])
                .arg(&state)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    assert_eq!(groups(&servers(&["--state", state.to_str().unwrap()])), the_count_of_2020());
}

/// JA3S of every server by tshark, which read the recording on its own.
#[test]
fn four_controllers_and_a_router_of_2019_are_one_software_apart_from_the_web() {
    let Some(path) = recording("zoom.pcap") else { return };
    let answer = servers(&[path.to_str().unwrap(), "--provider", "zoom"]);
    let groups: BTreeMap<String, BTreeSet<String>> = answer["software"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let addresses = group["addresses"].as_array().unwrap().iter();
            let addresses = addresses.map(|address| address.as_str().unwrap().to_owned()).collect();
            (group["answers"][0]["ja3s"].as_str().unwrap().to_owned(), addresses)
        })
        .collect();
    let set = |addresses: &[&str]| addresses.iter().map(|address| (*address).to_owned()).collect();
    let expected: BTreeMap<String, BTreeSet<String>> = [
        (
            "ada793d0f02b028a6c840504edccb652",
            set(&["109.94.160.99", "213.19.144.104", "213.19.144.105", "213.244.140.84", "213.244.140.85"]),
        ),
        ("3c30f2c064a3aed8cd95de8d68c726a6", set(&["52.202.62.196", "52.202.62.236", "52.202.62.238"])),
    ]
    .map(|(ja3s, addresses)| (ja3s.to_owned(), addresses))
    .into();
    assert_eq!(groups, expected);
}

/// tshark: 91.252.56.51 sends and receives RTP in a call of two, 16 Binding requests to 1.60.78.64 have no answer.
#[test]
fn who_may_be_the_other_party_and_who_never_answered_are_no_servers() {
    let Some(capture) = recording("wa_voice.pcap") else { return };
    let capture = capture.to_str().unwrap();
    let listed = servers(&[capture]).to_string();
    assert!(listed.contains("157.240.20.53"), "the chat server");
    assert!(!listed.contains("91.252.56.51") && !listed.contains("1.60.78.64"));
    let html = meetscope(&["replay", "-f", "html", "--no-geoip-store", capture]);
    let html = String::from_utf8(html.stdout).unwrap();
    let law = html.split("Jurisdictions that reach its servers").nth(1).unwrap().split("</table>").next();
    assert!(law.unwrap().contains("(Ireland)") && !law.unwrap().contains("(China)"));
}
