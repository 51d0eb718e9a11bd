//! What rules make of facts.

use super::*;
use crate::geo::{Basis, Exposure};
use crate::time::Timestamp;

/// 2024-10-14 09:00:00 UTC.
const BEGIN: Timestamp = Timestamp::from_nanos(1_728_896_400_000_000_000);

fn exposure(code: &str, basis: Basis) -> Exposure {
    Exposure {
        jurisdiction: code.to_owned(),
        basis,
        reason: format!("database D of 2024-10-01 places it in {code}"),
        source: "D".to_owned(),
        date: "2024-10-01".to_owned(),
    }
}

/// Exposures by `located_in`, or by the basis behind a colon.
fn reached(list: &[&str]) -> Vec<Exposure> {
    let one = |word: &&str| match word.split_once(':') {
        Some((code, "operator")) => exposure(code, Basis::ServiceOperator),
        Some((code, _)) => exposure(code, Basis::OperatedBy),
        None => exposure(word, Basis::LocatedIn),
    };
    list.iter().map(one).collect()
}

struct Facts {
    exposure: Vec<Exposure>,
    name: Option<&'static str>,
    front_end: Option<&'static str>,
    contradicted: Vec<&'static str>,
    could_hold: Answer,
    confidence: f32,
    participants: Vec<(&'static str, Vec<&'static str>)>,
    app: Option<&'static str>,
    home: Option<&'static str>,
    keying: &'static str,
    possible: bool,
    cipher: Option<&'static str>,
    clear: Option<Answer>,
    begin: Timestamp,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            exposure: reached(&["US", "US:operator"]),
            name: Some("zc1.zoom.us"),
            front_end: None,
            contradicted: Vec::new(),
            could_hold: Answer::Yes,
            confidence: 0.8,
            participants: vec![("142.1.1.1", vec!["CA"]), ("128.59.1.1", vec!["US"])],
            app: Some("zoom"),
            home: Some("US"),
            keying: "key_service",
            possible: false,
            cipher: Some("aead_framing"),
            clear: None,
            begin: BEGIN,
        }
    }
}

/// The states of the rules that are not kept, with whether they fired.
fn judged(policy: &Policy, facts: &Facts) -> Vec<(String, State, bool, String)> {
    let server = Server {
        address: "203.0.113.5".parse().unwrap(),
        name: facts.name,
        roles: vec!["signalling", "media"],
        exposure: &facts.exposure,
        contradicted: facts.contradicted.iter().filter_map(|code| Country::parse(code)).collect(),
        front_end: facts.front_end,
    };
    let country = |code: &&str| (Country::parse(code).unwrap(), "database D of 2024-10-01".to_owned());
    let participants: Vec<Participant<'_>> = facts
        .participants
        .iter()
        .map(|(address, codes)| Participant {
            session: "s1",
            addresses: vec![address.parse().unwrap()],
            placed: codes.iter().map(country).collect(),
        })
        .collect();
    let subject = Subject {
        app: facts.app,
        app_name: None,
        endpoint: participants.first().map(|one| one.addresses.clone()).unwrap_or_default(),
        participants,
        operator_home: facts.home.and_then(Country::parse),
        begin: facts.begin,
        holders: vec![Holder {
            server: server.clone(),
            could_hold: facts.could_hold,
            confidence: facts.confidence,
            why: None,
        }],
        servers: vec![server],
        keying: facts.keying,
        end_to_end_possible: facts.possible,
        key_in_clear: facts.clear.map(|answer| (answer, "a key went in the clear")),
        cipher: facts.cipher.map(|word| (word, word)),
    };
    let groups = Jurisdictions::embedded().unwrap();
    let outcomes = policy.evaluate(&subject, &groups);
    let text = |outcome: &Outcome<'_>| {
        outcome.reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join(" | ")
    };
    outcomes.iter().map(|one| (one.rule.id.clone(), one.state, one.fires(), text(one))).collect()
}

/// The state of the one rule with this demand; none where it is kept.
fn state(demand: &str, facts: &Facts) -> Option<State> {
    let policy = read(&[("p.toml", &format!("[[rule]]\nid = \"a\"\n{demand}\n"))]).unwrap();
    judged(&policy, facts).first().map(|(_, state, ..)| *state)
}

const BROKEN: Option<State> = Some(State::Broken);
const OPEN: Option<State> = Some(State::NotDeterminable);
const KEPT: Option<State> = None;

#[test]
fn places_are_kept_broken_or_not_determinable() {
    let at = |list: &[&str]| Facts { exposure: reached(list), ..Facts::default() };
    for (demand, facts, expected) in [
        ("key_holders = { allow = [\"eu\"] }", at(&["DE"]), KEPT),
        ("key_holders = { allow = [\"eu\"] }", at(&["US"]), BROKEN),
        ("key_holders = { allow = [\"eu\"] }", at(&[]), OPEN),
        // Databases disagree on what matters, or on what does not.
        ("key_holders = { allow = [\"eu\"] }", at(&["DE", "US"]), OPEN),
        ("key_holders = { allow = [\"eu\"] }", at(&["DE", "FR"]), KEPT),
        ("key_holders = { deny = [\"CN\"] }", at(&["CN", "HK"]), OPEN),
        ("key_holders = { deny = [\"CN\", \"HK\"] }", at(&["CN", "HK"]), BROKEN),
        // Deny weighs more.
        ("key_holders = { allow = [\"eu\"], deny = [\"DE\"] }", at(&["DE"]), BROKEN),
        // Only the facts that count.
        ("key_holders = { deny = [\"CN\"] }", at(&["US", "CN:operator"]), KEPT),
        ("key_holders = { deny = [\"CN\"], basis = [\"any\"] }", at(&["US", "CN:operator"]), BROKEN),
        (
            "key_holders = { deny = [\"CN\"], basis = [\"located_in\", \"service_operator\"] }",
            at(&["US"]),
            OPEN,
        ),
        ("key_holders = { deny = [\"CN\"], basis = [\"any\"] }", at(&["US"]), KEPT),
        ("key_holders = { deny = [\"CN\"], basis = [\"operated_by\"] }", at(&["US", "CN:as"]), BROKEN),
        ("media = { deny = [\"five_eyes\"] }", at(&["GB"]), BROKEN),
        ("signalling = { deny = [\"five_eyes\"] }", at(&["DE"]), KEPT),
        ("relays = { allow = [\"eu\"] }", at(&["US"]), KEPT),
        ("servers = { allow = [\"eu\"] }", at(&["US"]), BROKEN),
    ] {
        assert_eq!(state(demand, &facts), expected, "{demand} {:?}", facts.exposure);
    }
}

/// Membership is that of the capture's day: the United Kingdom left the European Union on 31 January 2020.
#[test]
fn groups_are_those_of_the_day() {
    let on = |seconds: i64| Facts {
        exposure: reached(&["GB"]),
        begin: Timestamp::from_nanos(seconds * 1_000_000_000),
        ..Facts::default()
    };
    let demand = "key_holders = { allow = [\"eu\"] }";
    assert_eq!(state(demand, &on(1_577_836_800)), KEPT, "2020-01-01");
    assert_eq!(state(demand, &on(1_583_020_800)), BROKEN, "2020-03-01");
}

#[test]
fn participants_are_placed_by_sites_first_and_the_unplaced_leave_it_open() {
    let facts = |list: &[&str], participants: Vec<(&'static str, Vec<&'static str>)>| Facts {
        exposure: reached(list),
        participants,
        home: None,
        ..Facts::default()
    };
    let fence = "key_holders = { allow = [\"participants\"] }";
    let two = || vec![("142.1.1.1", vec!["CA"]), ("128.59.1.1", vec!["US"])];
    assert_eq!(state(fence, &facts(&["US"], two())), KEPT);
    assert_eq!(state(fence, &facts(&["CN"], two())), BROKEN);
    let private = || vec![("142.1.1.1", vec!["CA"]), ("10.30.0.9", vec![])];
    assert_eq!(state(fence, &facts(&["CA"], private())), KEPT);
    assert_eq!(state(fence, &facts(&["CN"], private())), OPEN, "the other one may sit there");
    assert_eq!(state(fence, &facts(&["CN"], vec![])), OPEN);
    let torn = || vec![("142.1.1.1", vec!["CA", "US"])];
    assert_eq!(state(fence, &facts(&["US"], torn())), OPEN, "databases disagree on the participant");
    assert_eq!(state(fence, &facts(&["CN"], torn())), BROKEN, "and none of them says CN");

    let site = |country: &str| {
        format!("{fence}\n[[site]]\nname = \"x\"\ncountry = \"{country}\"\nsubnets = [\"10.30.0.0/16\"]")
    };
    assert_eq!(state(&site("US"), &facts(&["CN"], private())), BROKEN);
    assert_eq!(state(&site("CN"), &facts(&["CN"], private())), KEPT);
    let public = || vec![("10.30.0.9", vec!["US"])];
    assert_eq!(state(&site("DE"), &facts(&["US"], public())), BROKEN, "a site weighs more than a database");
}

#[test]
fn operator_home_is_known_or_leaves_it_open() {
    let fence = "key_holders = { allow = [\"participants\", \"operator_home\"] }";
    let facts = |home| Facts {
        exposure: reached(&["US"]),
        participants: vec![("142.1.1.1", vec!["CA"])],
        home,
        ..Facts::default()
    };
    assert_eq!(state(fence, &facts(Some("US"))), KEPT);
    assert_eq!(state(fence, &facts(Some("DE"))), BROKEN);
    assert_eq!(state(fence, &facts(None)), OPEN);
}

#[test]
fn holders_count_by_their_answer_and_how_sure_it_is() {
    let facts = |could_hold, confidence| Facts {
        exposure: reached(&["CN"]),
        could_hold,
        confidence,
        ..Facts::default()
    };
    let plain = "key_holders = { deny = [\"CN\"] }";
    assert_eq!(state(plain, &facts(Answer::Yes, 0.5)), BROKEN);
    assert_eq!(state(plain, &facts(Answer::Yes, 0.49)), OPEN);
    assert_eq!(state("key_holders = { deny = [\"CN\"], at_least = 0.3 }", &facts(Answer::Yes, 0.35)), BROKEN);
    assert_eq!(state(plain, &facts(Answer::Unknown, 0.9)), OPEN);
    let counted = "key_holders = { deny = [\"CN\"], count_unknown = true }";
    assert_eq!(state(counted, &facts(Answer::Unknown, 0.1)), BROKEN);
    assert_eq!(state(counted, &facts(Answer::No, 0.9)), KEPT);
    let entry = Facts { front_end: Some("Cloudflare"), ..facts(Answer::Yes, 0.9) };
    assert_eq!(state(plain, &entry), OPEN, "what lies behind an entry is elsewhere");
    let refuted = Facts { contradicted: vec!["CN"], ..facts(Answer::Yes, 0.9) };
    assert_eq!(state(plain, &refuted), OPEN, "the time of its answers contradicts the place");
    let open = Facts { keying: "none", ..facts(Answer::Yes, 0.9) };
    assert_eq!(state(plain, &open), OPEN, "there is no key");
    let hidden = Facts { keying: "not_determinable", ..facts(Answer::No, 0.9) };
    assert_eq!(state(plain, &hidden), OPEN);
}

#[test]
fn names_keying_cipher_and_app() {
    let base = Facts::default;
    for (demand, facts, expected) in [
        ("signalling = { allow_names = [\"zoomgov.com\"] }", base(), BROKEN),
        ("signalling = { allow_names = [\"zoom.us\"] }", base(), KEPT),
        ("signalling = { allow_names = [\"zoom.us\"] }", Facts { name: None, ..base() }, OPEN),
        ("signalling = { deny_names = [\"zoom.us\"] }", base(), BROKEN),
        ("keying = { allow = [\"dtls_srtp\"] }", base(), BROKEN),
        ("keying = { allow = [\"key_service\"] }", base(), KEPT),
        ("keying = { deny = [\"key_service\"] }", base(), BROKEN),
        ("keying = { deny = [\"sdes\"] }", Facts { keying: "not_determinable", ..base() }, OPEN),
        ("keying = { allow = [\"end_to_end\"] }", Facts { possible: true, ..base() }, OPEN),
        ("cipher = { deny = [\"ecb\"] }", base(), KEPT),
        ("cipher = { deny = [\"ecb\"] }", Facts { cipher: Some("ecb_very_likely"), ..base() }, BROKEN),
        ("cipher = { deny = [\"ecb\"] }", Facts { cipher: Some("ecb_suspicious"), ..base() }, OPEN),
        ("cipher = { deny = [\"ecb\"] }", Facts { cipher: None, ..base() }, OPEN),
        ("cipher = { deny = [\"plain\"] }", base(), KEPT),
        ("cipher = { deny = [\"plain\"] }", Facts { keying: "none", cipher: None, ..base() }, BROKEN),
        ("cipher = { deny = [\"plain\"] }", Facts { keying: "not_determinable", ..base() }, OPEN),
        ("cipher = { deny = [\"key_in_clear\"] }", base(), KEPT),
        ("cipher = { deny = [\"key_in_clear\"] }", Facts { clear: Some(Answer::Yes), ..base() }, BROKEN),
        ("cipher = { deny = [\"plain\"] }", Facts { clear: Some(Answer::Yes), ..base() }, KEPT),
        ("cipher = { deny = [\"key_in_clear\"] }", Facts { clear: Some(Answer::Unknown), ..base() }, OPEN),
        ("cipher = { deny = [\"key_in_clear\"] }", Facts { keying: "not_determinable", ..base() }, OPEN),
        ("app = { allow = [\"zoom\"] }", base(), KEPT),
        ("app = { allow = [\"teams\"] }", base(), BROKEN),
        ("app = { deny = [\"zoom\"] }", base(), BROKEN),
        ("app = { allow = [\"zoom\"] }", Facts { app: None, ..base() }, OPEN),
        ("app = { deny_unknown = true }", Facts { app: None, ..base() }, BROKEN),
        ("app = { deny_unknown = true }", base(), KEPT),
        ("end_to_end = true", base(), BROKEN),
        ("end_to_end = true", Facts { possible: true, ..base() }, OPEN),
        ("end_to_end = true", Facts { confidence: 0.3, ..base() }, OPEN),
        ("end_to_end = true", Facts { keying: "end_to_end", could_hold: Answer::No, ..base() }, KEPT),
        ("end_to_end = true", Facts { keying: "dtls_srtp", could_hold: Answer::No, ..base() }, KEPT),
        ("end_to_end = true", Facts { keying: "inside_tls", could_hold: Answer::No, ..base() }, OPEN),
        ("end_to_end = true", Facts { keying: "none", ..base() }, BROKEN),
    ] {
        assert_eq!(state(demand, &facts), expected, "{demand}");
    }
}

#[test]
fn a_rule_is_about_the_sessions_that_it_names() {
    let with = |when: &str| format!("end_to_end = true\nwhen = {{ {when} }}");
    for (when, applies) in [
        ("apps = [\"zoom\"]", true),
        ("apps = [\"webex\"]", false),
        ("not_apps = [\"zoom\"]", false),
        ("subnets = [\"142.1.0.0/16\"]", true),
        ("subnets = [\"128.59.0.0/16\"]", false),
        ("not_subnets = [\"142.1.0.0/16\"]", false),
        ("apps = [\"zoom\"], subnets = [\"10.0.0.0/8\"]", false),
    ] {
        assert_eq!(state(&with(when), &Facts::default()).is_some(), applies, "{when}");
    }
}

#[test]
fn what_is_not_determinable_goes_the_way_that_the_rule_says() {
    let facts = Facts { exposure: vec![], ..Facts::default() };
    for (unknown, expected) in [
        ("alert", Some((State::NotDeterminable, true))),
        ("notice", Some((State::NotDeterminable, false))),
        ("ignore", None),
    ] {
        let text = format!("[[rule]]\nid = \"a\"\nunknown = \"{unknown}\"\nmedia = {{ deny = [\"CN\"] }}");
        let found = judged(&read(&[("p.toml", &text)]).unwrap(), &facts);
        assert_eq!(found.first().map(|(_, state, fires, _)| (*state, *fires)), expected, "{unknown}");
    }
}

/// The exception's last day is 14 October 2024, the day of the session; a day later it excuses nothing.
#[test]
fn an_exception_ends_by_the_time_of_the_packets() {
    let with = |servers: &str| {
        format!(
            "[[rule]]\nid = \"a\"\nmedia = {{ deny = [\"US\"] }}\n[[exception]]\nrules = [\"a\"]\n{servers}until = 2024-10-14\n\
             reason = \"r\""
        )
    };
    let later =
        Facts { begin: Timestamp::from_nanos(BEGIN.as_nanos() + 86_400_000_000_000), ..Facts::default() };
    for (servers, on_the_day) in [
        ("", State::Excepted),
        ("servers = [\"203.0.113.0/24\"]\n", State::Excepted),
        ("servers = [\"zoom.us\"]\n", State::Excepted),
        ("servers = [\"198.51.100.0/24\"]\n", State::Broken),
    ] {
        let policy = read(&[("p.toml", &with(servers))]).unwrap();
        assert_eq!(judged(&policy, &Facts::default())[0].1, on_the_day, "{servers}");
        assert_eq!(judged(&policy, &later)[0].1, State::Broken, "{servers}");
    }
}

/// The Five Eyes are a label of the press: the table marks its rows, and so does the sentence.
#[test]
fn a_row_that_nobody_checked_is_marked() {
    let policy = |place: &str| {
        read(&[("p.toml", &format!("[[rule]]\nid = \"a\"\nmedia = {{ deny = [\"{place}\"] }}"))]).unwrap()
    };
    let facts = Facts { exposure: reached(&["NZ"]), ..Facts::default() };
    let found = judged(&policy("five_eyes"), &facts);
    assert!(
        found[0].3.contains("(five_eyes; nobody checked that row of the table of groups)"),
        "{}",
        found[0].3
    );
    let found = judged(&policy("NZ"), &facts);
    assert!(found[0].3.ends_with("which the rule denies (NZ)"), "{}", found[0].3);
}

#[test]
fn sentences_say_who_says_what_and_never_that_a_server_is_somewhere() {
    let text = "[[rule]]\nid = \"a\"\nkey_holders = { allow = [\"participants\", \"operator_home\"] }";
    let facts = Facts { exposure: reached(&["CN"]), ..Facts::default() };
    let found = judged(&read(&[("p.toml", text)]).unwrap(), &facts);
    assert_eq!(
        found[0].3,
        "203.0.113.5 (zc1.zoom.us) could hold the key (80 % sure), and database D of 2024-10-01 places it in CN, outside of what the \
         rule allows (participants: CA US, operator_home: US)"
    );
}
