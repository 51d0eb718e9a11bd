//! The generated case of 2020, replayed by the real program. The truth is how the capture was made
//! (`captures/README.md`), not what an earlier run said.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::indexing_slicing, reason = "a field that is not there is null, and fails the comparison")]

use std::process::Command;

use serde_json::Value;

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/zoom-beijing-2020.pcapng");

fn replay(arguments: &[&str]) -> String {
    run(&[&["replay", CAPTURE], arguments].concat())
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_meetscope"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn records() -> Vec<Value> {
    replay(&["--format", "ndjson"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn session<'a>(records: &'a [Value], app: &str, endpoint: &str) -> &'a Value {
    let mut found = records.iter().filter(|record| {
        record["event_type"] == "session" && record["app"] == app && record["endpoint"]["ip"] == endpoint
    });
    let session = found.next().unwrap();
    assert!(found.next().is_none(), "one session of {endpoint}");
    session
}

fn holder<'a>(session: &'a Value, address: &str) -> &'a Value {
    let holders = session["keys"]["holders"].as_array().unwrap();
    holders.iter().find(|holder| holder["ip"] == address).unwrap()
}

#[test]
fn the_first_lines_name_the_key_server_its_country_the_database_and_its_date() {
    let text = replay(&[]);
    let head: String = text.lines().take(3).collect::<Vec<_>>().join(" ");
    for part in
        ["1 of 2 Zoom sessions", "52.81.151.250", "is placed in CN", "IPFire-Location-Country of 2026-09-23"]
    {
        assert!(head.contains(part), "{part} in: {head}");
    }
}

#[test]
fn four_sessions_of_three_apps_are_found_and_nothing_else() {
    let records = records();
    let sessions = records.iter().filter(|record| record["event_type"] == "session").count();
    assert_eq!(sessions, 4);
    session(&records, "zoom", "142.1.217.44");
    session(&records, "zoom", "128.59.105.24");
    session(&records, "webex", "142.1.38.91");
    session(&records, "teams", "128.59.40.130");
}

#[test]
fn the_two_who_met_are_in_one_meeting_and_the_others_in_none() {
    // The generator relays what each of the two sends to the other; Webex and Teams have one caller each.
    let records = records();
    let meetings: Vec<&Value> = records.iter().filter(|record| record["event_type"] == "meeting").collect();
    let [meeting] = meetings.as_slice() else { panic!("{} meetings", meetings.len()) };
    let (toronto, new_york) =
        (session(&records, "zoom", "142.1.217.44"), session(&records, "zoom", "128.59.105.24"));
    let ids = serde_json::json!([toronto["session_id"], new_york["session_id"]]);
    assert_eq!((&meeting["sessions"], &meeting["participants_seen"]), (&ids, &2.into()));
    let reasons = meeting["joined_by"].as_array().unwrap();
    // Sound and picture, each way.
    assert_eq!(reasons.iter().filter(|reason| reason["what"] == "stream_copy").count(), 4);
    for session in [toronto, new_york] {
        assert_eq!(session["meeting_id"], meeting["meeting_id"]);
    }
    let reached = |code: &str| {
        let all = meeting["jurisdictions"].as_array().unwrap();
        all.iter().find(|reached| reached["jurisdiction"] == code).unwrap()
    };
    assert_eq!(reached("CN")["added_by"][0]["ip"], "52.81.151.250");
    assert!(reached("US")["added_by"].as_array().unwrap().len() > 1);
}

#[test]
fn only_the_endpoint_that_spoke_to_beijing_has_it_as_a_candidate() {
    let records = records();
    let toronto = session(&records, "zoom", "142.1.217.44");
    let beijing = holder(toronto, "52.81.151.250");
    assert_eq!(beijing["could_hold"], "yes");
    assert_eq!(beijing["located_in"]["country"], "CN");
    assert_eq!(toronto["findings"][0]["id"], "key_holder_abroad");
    let new_york = session(&records, "zoom", "128.59.105.24");
    let holders = new_york["keys"]["holders"].as_array().unwrap();
    assert!(holders.iter().all(|holder| holder["ip"] != "52.81.151.250"));
    assert!(holders.iter().all(|holder| holder["located_in"]["country"] != "CN"));
}

#[test]
fn a_controller_that_was_probed_and_dropped_ranks_below_the_one_that_stayed() {
    let records = records();
    let toronto = session(&records, "zoom", "142.1.217.44");
    let stayed = holder(toronto, "52.81.151.250")["confidence"].as_f64().unwrap();
    for probed in ["8.5.128.91", "3.235.82.199"] {
        assert!(holder(toronto, probed)["confidence"].as_f64().unwrap() < stayed, "{probed}");
    }
    assert_eq!(holder(toronto, "52.202.62.238")["could_hold"], "unknown", "the web tier");
}

#[test]
fn loss_between_the_taps_is_counted_to_the_packet() {
    // The generator drops seven of the relayed packets on their way down.
    let records = records();
    let lost = |endpoint| session(&records, "zoom", endpoint)["media"]["received"]["lost"].as_u64().unwrap();
    assert_eq!(lost("142.1.217.44") + lost("128.59.105.24"), 7);
    for endpoint in ["142.1.217.44", "128.59.105.24"] {
        assert_eq!(session(&records, "zoom", endpoint)["media"]["sent"]["lost"], 0);
    }
}

#[test]
fn every_packet_is_accounted_for() {
    let records = records();
    let stats = records.last().unwrap();
    assert_eq!(stats["event_type"], "stats");
    let count = |field: &str| stats["packets"][field].as_u64().unwrap();
    assert_eq!(count("seen"), 12_816);
    assert_eq!(count("seen"), count("analysed") + count("filtered") + count("dropped"));
}

#[test]
fn the_samples_in_the_readme_are_what_the_program_prints() {
    let [capture, key_log, key] =
        ["pcapng", "keylog", "key"].map(|kind| format!("captures/zoom-beijing-2020.{kind}"));
    let samples = [
        ("report", vec!["replay", &capture]),
        ("witness", vec!["replay", &capture, "--keylog", &key_log]),
        ("verify", vec!["verify", &capture, "--key-file", &key]),
    ];
    for (name, arguments) in samples {
        let readme = include_str!("../README.md");
        let (_, rest) = readme.split_once(&format!("<!-- {name}:begin -->\n```text\n")).unwrap();
        let (sample, _) = rest.split_once(&format!("\n```\n<!-- {name}:end -->")).unwrap();
        let printed: Vec<String> = run(&arguments).lines().map(|line| line.trim_end().to_owned()).collect();
        let printed = printed.join("\n");
        // What is left out stands in brackets on a line of its own.
        let mut part = String::new();
        for line in sample.lines().chain(["[...]"]) {
            if line.starts_with("[...") {
                assert!(printed.contains(part.trim()), "not printed any more:\n{part}");
                part.clear();
            } else {
                part.push_str(line);
                part.push('\n');
            }
        }
    }
}
