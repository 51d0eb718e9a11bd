//! What `geo lookup` and a report say of places and jurisdictions. Truth: a survey of addresses made with the sources' own tools
//! (column `ipfire0926`, and the AS of libloc 2022), files made by another's writer (`tests/vectors/geo/make.py`), the dates of laws.

#![expect(clippy::unwrap_used, reason = "a test that cannot run has failed")]

use std::process::{Command, Output};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Address, country by IPFire Location of 2026-09-23, AS by libloc of 2022-10-29.
const SURVEY: &[(&str, &str, u64)] = &[
    ("52.81.151.250", "CN", 55960),
    ("52.80.0.1", "CN", 55960),
    ("52.82.0.1", "CN", 135_629),
    ("54.222.0.1", "CN", 55960),
    ("203.205.0.1", "VN", 45903),
    ("47.88.0.1", "US", 45102),
    ("115.110.154.128", "IN", 4755),
    ("170.114.0.1", "US", 14618),
    ("3.7.35.1", "IN", 16509),
    ("3.235.69.1", "US", 14618),
    ("13.107.64.1", "US", 8075),
    ("52.112.0.1", "US", 8075),
    ("52.122.0.1", "US", 8069),
    ("142.250.82.1", "US", 15169),
    ("74.125.250.129", "US", 15169),
    ("66.163.36.1", "US", 13445),
    ("170.72.0.1", "US", 13445),
    ("64.68.96.1", "US", 13445),
    ("213.19.144.104", "GB", 30103),
    ("162.255.37.11", "US", 30103),
    ("120.29.148.1", "JP", 30103),
    ("173.231.80.1", "US", 30103),
    ("207.226.132.1", "HK", 30103),
    ("221.122.88.64", "CN", 23724),
    ("111.33.115.1", "CN", 38019),
    ("8.5.128.1", "US", 30103),
    ("2620:123:2000::1", "US", 30103),
    ("2603:1063::1", "KR", 8075),
    ("2001:4860:4864:6::1", "US", 15169),
    ("5.253.0.1", "DE", 47447),
];

fn meetscope(args: &[&str]) -> Output {
    // An empty name stands for no store.
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetscope"));
    command.args(args).env("MEETSCOPE_GEOIP_DIR", "").output().unwrap()
}

fn answers(args: &[&str]) -> Vec<Value> {
    let output = meetscope(&[&["geo", "lookup", "--format", "json"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn vector(name: &str) -> String {
    format!("{ROOT}/tests/vectors/geo/{name}")
}

fn codes(answer: &Value) -> Vec<&str> {
    let jurisdictions = answer["jurisdictions"].as_array().unwrap();
    jurisdictions.iter().map(|one| one["code"].as_str().unwrap()).collect()
}

fn instruments(jurisdiction: &Value) -> Vec<&str> {
    jurisdiction["laws"].as_array().unwrap().iter().map(|law| law["instrument"].as_str().unwrap()).collect()
}

#[test]
fn the_survey_comes_out_of_the_program() {
    let addresses: Vec<&str> = SURVEY.iter().map(|(address, ..)| *address).collect();
    let answers = answers(&addresses);
    assert_eq!(answers.len(), SURVEY.len());
    for ((address, country, asn), answer) in SURVEY.iter().zip(&answers) {
        assert_eq!(answer["ip"], *address);
        let located = &answer["located_in"];
        assert_eq!(located["country"], *country, "{address}");
        assert_eq!(located["answers"][0]["database"], "IPFire-Location-Country");
        assert_eq!(located["answers"][0]["date"], "2026-09-23");
        // One source alone is never high, and weak on IPv6; a range that its owner publishes is a second one.
        let confidence = match (answer.get("hint"), address.contains(':')) {
            (Some(hint), _) if hint["country"] == *country => "high",
            (_, true) => "low",
            (_, false) => "medium",
        };
        assert_eq!(located["confidence"], confidence, "{address}");
        let by = &answer["operated_by"];
        assert_eq!((by["asn"].as_u64(), by["date"].as_str()), (Some(*asn), Some("2022-10-29")), "{address}");
        assert_eq!(codes(answer), [*country], "{address}");
    }
}

#[test]
fn disagreement_shows_when_a_second_database_is_given() {
    let file = vector("nested-city.mmdb");
    let two = answers(&["213.19.144.104", "52.81.151.250", "--geoip", &file]);
    let located = &two[0]["located_in"];
    let said: Vec<&str> =
        located["answers"].as_array().unwrap().iter().map(|one| one["country"].as_str().unwrap()).collect();
    assert_eq!(said, ["FR", "GB"]);
    assert_eq!(
        (located["disagreement"].as_bool(), located["confidence"].as_str()),
        (Some(true), Some("low"))
    );
    assert_eq!(codes(&two[0]), ["FR", "GB"], "the law of both reaches it");
    assert_eq!(two[1]["located_in"]["confidence"], "high", "two that agree");

    let output = meetscope(&["geo", "lookup", "213.19.144.104", "--geoip", &file]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("they disagree") && text.contains("not legal advice"), "{text}");
    assert!(!text.contains(" is in "), "{text}");
}

#[test]
fn anycast_addresses_have_no_place_and_say_by_which_text() {
    for answer in answers(&["1.1.1.1", "8.8.8.8", "9.9.9.9", "2001:4860:4860::8888"]) {
        let network = &answer["network"];
        assert_eq!(
            (network["kind"].as_str(), network["anycast"].as_bool()),
            (Some("resolver"), Some(true)),
            "{answer}"
        );
        assert!(network["source_title"].as_str().is_some_and(|title| !title.is_empty()));
        assert_eq!(
            (answer["located_in"]["anycast"].as_bool(), answer["located_in"]["confidence"].as_str()),
            (Some(true), Some("low"))
        );
    }
}

#[test]
fn laws_and_groups_are_those_of_the_day_that_is_asked_for() {
    let on =
        |day: &str, address: &str| answers(&[address, "--date", day]).remove(0)["jurisdictions"][0].clone();
    let before = on("2021-08-31", "52.81.151.250");
    let after = on("2021-09-01", "52.81.151.250");
    assert_eq!((before["as_of"].as_str(), after["as_of"].as_str()), (Some("2021-08-31"), Some("2021-09-01")));
    assert!(!instruments(&before).contains(&"Data Security Law"));
    assert!(instruments(&after).contains(&"Data Security Law"));
    let groups = |day| {
        let record = on(day, "213.19.144.104");
        let groups = record["groups"].as_array().unwrap().clone();
        groups.iter().map(|group| group["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(groups("2020-01-31"), ["eu", "eea", "five_eyes", "nine_eyes", "fourteen_eyes"]);
    assert_eq!(groups("2022-01-01"), ["gdpr_adequate", "five_eyes", "nine_eyes", "fourteen_eyes"]);
    let fault = meetscope(&["geo", "lookup", "1.1.1.1", "--date", "2026-02-30"]);
    assert_eq!(fault.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&fault.stderr).contains("YYYY-MM-DD"));
}

#[test]
fn a_session_lists_the_jurisdictions_that_reach_its_servers() {
    let capture = format!("{ROOT}/captures/zoom-beijing-2020.pcapng");
    let output = meetscope(&["replay", &capture, "--format", "ndjson", "--records", "session"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let sessions: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!sessions.is_empty());
    let reached_by_china = sessions.iter().flat_map(|session| session["jurisdictions"].as_array().unwrap());
    let china: Vec<&Value> = reached_by_china.filter(|one| one["code"] == "CN").collect();
    assert!(!china.is_empty(), "the key server of 2020 was placed in China");
    for one in china {
        assert_eq!(one["as_of"], "2020-04-02");
        assert_eq!(instruments(one), ["National Intelligence Law", "Cybersecurity Law"]);
        let laws = one["laws"].as_array().unwrap();
        assert_eq!(laws[0]["unchecked"], true);
        assert_eq!(
            (laws[1]["unchecked"].as_bool(), laws[1]["checked_on"].as_str()),
            (Some(false), Some("2026-11-26"))
        );
        let reach = &one["reaches"][0];
        assert_eq!(reach["ip"], "52.81.151.250");
        assert!(reach["part"].as_array().unwrap().contains(&Value::from("key_holder")));
        assert_eq!(reach["basis"], serde_json::json!(["located_in"]));
    }
}
