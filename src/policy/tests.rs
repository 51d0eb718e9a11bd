//! Tests of the language: what is read, what is refused and how, and what rules make of facts.

mod judged;
mod schema;

use proptest::prelude::*;

use super::*;
use crate::geo::Jurisdictions;

/// Every table and every key of the language.
const EVERYTHING: &str = r#"
schema_version = 1

[[site]]
name = "Toronto"
country = "CA"
subnets = ["10.20.0.0/16", "2001:db8:20::/48", "192.0.2.7"]

[[group]]
name = "friends"
countries = ["CA", "us"]

[[rule]]
id = "all"
title = "Everything"
category = "test"
severity = "notice"
unknown = "ignore"
end_to_end = true
[rule.when]
apps = ["zoom"]
not_apps = ["ms-teams"]
subnets = ["10.0.0.0/8"]
sites = ["Toronto"]
not_subnets = ["10.99.0.0/16"]
not_sites = ["Toronto"]
[rule.key_holders]
allow = ["participants", "operator_home", "eu", "friends", "CA"]
deny = ["CN"]
basis = ["located_in", "service_operator"]
allow_names = ["*.zoom.us"]
deny_names = ["zoom.com.cn"]
at_least = 0.25
count_unknown = true
[rule.media]
allow = ["eu"]
[rule.signalling]
deny = ["five_eyes"]
[rule.relays]
basis = ["any"]
deny = ["RU"]
[rule.servers]
allow_names = ["zoom.us"]
[rule.keying]
allow = ["end_to_end"]
deny = ["sdes"]
[rule.cipher]
deny = ["ecb", "plain", "key_in_clear"]
[rule.app]
allow = ["zoom"]
deny = ["webex"]
deny_unknown = true

[[exception]]
rules = ["all"]
apps = ["zoom"]
not_apps = ["webex"]
subnets = ["10.20.1.0/24"]
sites = ["Toronto"]
not_subnets = ["10.20.2.0/24"]
not_sites = ["Toronto"]
servers = ["52.81.0.0/16", "52.81.151.250", "2001:db8::1", "zoom.us"]
until = 2027-01-31
reason = "Ticket 4711"
"#;

const APPS: [(&str, &str); 4] =
    [("zoom", "zoom"), ("teams", "ms-teams"), ("webex", "webex"), ("signal", "signal")];

fn read(files: &[(&str, &str)]) -> Result<Policy, PolicyErrors> {
    let table = Jurisdictions::embedded().unwrap();
    let groups: Vec<&str> = table.groups().iter().map(|group| group.id.as_str()).collect();
    parse(files, &Known { apps: &APPS, groups: &groups })
}

fn faults(text: &str) -> Vec<String> {
    let errors = read(&[("p.toml", text)]).expect_err(text);
    errors.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_is_read() {
    let policy = read(&[("p.toml", EVERYTHING)]).unwrap();
    let [rule] = policy.rules() else { panic!("{policy:?}") };
    assert_eq!((rule.line, rule.id.as_str(), rule.title.as_str()), (13, "all", "Everything"));
    assert_eq!((rule.severity, rule.unknown, rule.demands.len()), (Severity::Notice, Unknown::Ignore, 9));
    assert_eq!(rule.when.not_apps, ["teams"], "a provider's identifier is taken for its app");
    let [exception] = policy.exceptions() else { panic!("{policy:?}") };
    assert_eq!((exception.until.as_str(), exception.line), ("2027-01-31", 54));
    // 2027-01-31 23:59:59.999999999 UTC, by `date -u -d 2027-02-01 +%s`.
    assert_eq!(exception.ends, crate::time::Timestamp::from_nanos(1_801_440_000_000_000_000 - 1));
    let country = |address: &str| policy.sites().country_of(address.parse().unwrap());
    assert_eq!(country("192.0.2.7"), Country::parse("CA"));
    assert_eq!(country("192.0.2.8"), None);
}

#[test]
fn the_shipped_policies_are_sound_alone_and_together() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/policies"));
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    assert_eq!(files.len(), 5);
    for (name, text) in &files {
        assert!(!read(&[(name, text)]).unwrap().rules().is_empty(), "{name}");
        // What stands there as an example has to be right too. Prose begins with a capital letter or a space more.
        let example = |line: &str| {
            let bare = line.strip_prefix("# ")?;
            let is_code = bare.starts_with('[')
                || [
                    "name", "country", "subnets", "rules", "apps", "until", "reason", "id", "title",
                    "servers",
                ]
                .iter()
                .any(|key| bare.starts_with(&format!("{key} = ")));
            is_code.then(|| bare.to_owned())
        };
        let full: Vec<String> =
            text.lines().map(|line| example(line).unwrap_or_else(|| line.to_owned())).collect();
        read(&[(name, &full.join("\n"))])
            .unwrap_or_else(|errors| panic!("{name} with its examples: {errors}"));
    }
    let all: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(read(&all).unwrap().rules().len(), 6);
}

/// Positions were counted by hand.
#[test]
fn a_fault_names_line_column_and_the_nearest_right_name() {
    let rule = "[[rule]]\nid = \"a\"\n";
    for (text, expected) in [
        ("[[rul]]\nid = \"a\"", "p.toml:1:3: no such key `rul`; did you mean `[[rule]]`?"),
        (
            &format!("{rule}severty = \"high\"\nend_to_end = true"),
            "p.toml:3:1: [[rule]]: no such key `severty`; did you mean `severity`?",
        ),
        (
            &format!("{rule}severity = \"hihg\"\nend_to_end = true"),
            "p.toml:3:12: `hihg` is no severity; expected high, notice; did you mean `high`?",
        ),
        (
            &format!("{rule}key_holders = {{ alow = [\"eu\"], deny = [\"CN\"] }}"),
            "p.toml:3:17: [[rule]] key_holders: no such key `alow`; did you mean `allow`?",
        ),
        (
            &format!("{rule}when = {{ apps = [\"zoom\", \"zom\"] }}\nend_to_end = true"),
            "p.toml:3:26: no app is called `zom`; did you mean `zoom`?",
        ),
        (
            &format!("{rule}cipher = {{ deny = [\"ebc\"] }}"),
            "p.toml:3:20: `ebc` is no cipher that can be denied; expected ecb, plain, key_in_clear; did you mean `ecb`?",
        ),
        (
            &format!("{rule}keying = {{ allow = [\"end-to-end\"] }}"),
            "p.toml:3:21: `end-to-end` is no keying; expected dtls_srtp, zrtp, sdes, key_service, end_to_end, proprietary, none, \
             inside_tls, not_determinable; did you mean `end_to_end`?",
        ),
        (
            "[[site]]\nname = \"é\"\ncountry = \"China\"\nsubnets = [\"10.0.0.0/8\"]",
            "p.toml:3:11: `China` is no country code; expected two letters of ISO 3166-1, such as CA; did you mean `CN`?",
        ),
        (
            "[[site]]\nname = \"é\"\ncountry = \"CN\"\nsubnets = [\"10.1.2.3/8\"]",
            "p.toml:4:12: `10.1.2.3/8` has bits set behind its prefix; did you mean `10.0.0.0/8`?",
        ),
        (
            &format!(
                "{rule}end_to_end = true\n[[exception]]\nrules = [\"b\"]\nuntil = 2027-02-01\nreason = \"r\""
            ),
            "p.toml:5:10: no [[rule]] has the id `b`",
        ),
        (
            &format!(
                "{rule}end_to_end = true\n[[exception]]\nrules = [\"a\"]\nuntil = \"soon\"\nreason = \"r\""
            ),
            "p.toml:6:9: [[exception]]: until: expected a date such as 2027-01-31, found string",
        ),
        (
            "[[rule]]\nid = \"a\"",
            "p.toml:1:1: [[rule]]: the rule demands nothing; expected one of key_holders, media, signalling, relays, servers, \
             keying, cipher, end_to_end, app",
        ),
        (
            &format!("{rule}key_holder = {{ deny = [\"CN\"] }}"),
            "p.toml:3:1: [[rule]]: no such key `key_holder`; did you mean `key_holders`?",
        ),
        (
            &format!("{rule}cipher = {{ allow = [\"ecb\"] }}"),
            "p.toml:3:10: [[rule]] cipher: expected `deny`, a list of ecb, plain, key_in_clear",
        ),
        (
            "[[site]]\nname = \"x\"\ncountry = \"CA\"\nsubnets = [\"10.20.0.0\"]",
            "p.toml:4:12: `10.20.0.0` has no prefix and ends in 0; one address alone is 10.20.0.0/32; did you mean \
             `10.20.0.0/16`?",
        ),
        (
            "[[site]]\nname = \"x\"\ncountry = \"CA\"\nsubnets = [\"2001:db8::\"]",
            "p.toml:4:12: `2001:db8::` has no prefix and ends in 0; one address alone is 2001:db8::/128; did you mean \
             `2001:db8::/32`?",
        ),
        ("[rule]\nid = \"a\"", "p.toml:1:1: `rule` is written [[rule]], with two brackets"),
        (
            "schema_version = 2",
            "p.toml:1:18: schema_version: expected 1, the version that this program knows",
        ),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
    let place = faults(&format!("{rule}media = {{ allow = [\"gdpr-adequat\"] }}"));
    assert!(place[0].starts_with("p.toml:3:20: `gdpr-adequat` is no country code"), "{place:?}");
    assert!(place[0].ends_with("did you mean `gdpr_adequate`?"), "{place:?}");
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_text() {
    let text = "[[rule]]\nid = \"A b\"\nserverity = \"high\"\nunknown = 3\nmedia = {}\n\n[[site]]\nname = \"\"\nland = \"CA\"\n";
    let told = faults(text);
    let places: Vec<&str> = told.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "p.toml:2:6:",
            "p.toml:3:1:",
            "p.toml:4:11:",
            "p.toml:5:9:",
            "p.toml:7:1:",
            "p.toml:7:1:",
            "p.toml:8:8:",
            "p.toml:9:1:",
        ],
        "{told:#?}"
    );
}

#[test]
fn groups_are_taken_in_any_case_and_hosts_without_a_prefix() {
    let text = "[[group]]\nname = \"Ours\"\ncountries = [\"CA\"]\n[[site]]\nname = \"x\"\ncountry = \"CA\"\n\
                subnets = [\"10.20.0.7\", \"10.20.0.0/32\", \"2001:db8::7\"]\n\
                [[rule]]\nid = \"a\"\nmedia = { allow = [\"EU\", \"Five_Eyes\", \"OURS\", \"ours\"] }";
    assert!(read(&[("p.toml", text)]).is_ok());
    let twice = text.replace("[[rule]]", "[[group]]\nname = \"oURS\"\ncountries = [\"US\"]\n[[rule]]");
    assert_eq!(faults(&twice), ["p.toml:9:8: [[group]]: `oURS` was defined before"]);
}

/// The worked examples of the guide are sound, alone and together.
#[test]
fn the_examples_of_the_guide_are_read() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/POLICY.md")).unwrap();
    let (_, worked) = guide.split_once("## Worked examples").unwrap();
    let (worked, _) = worked.split_once("\n## ").unwrap();
    let examples: Vec<&str> =
        worked.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(examples.len(), 3);
    for example in &examples {
        assert!(!read(&[("guide", example)]).unwrap().rules().is_empty(), "{example}");
    }
    assert!(read(&[("guide", &examples.concat())]).is_ok());
}

#[test]
fn faults_of_the_syntax_are_told_with_their_places() {
    let told = faults("a = \n[[rule]\nid = \"a\"\n");
    assert!(told.len() >= 2 && told[0].starts_with("p.toml:1:"), "{told:?}");
    assert!(told.iter().any(|fault| fault.starts_with("p.toml:2:")), "{told:?}");
}

#[test]
fn files_share_sites_and_groups_and_an_id_is_there_once() {
    let sites = "[[site]]\nname = \"HQ\"\ncountry = \"DE\"\nsubnets = [\"10.0.0.0/8\"]\n[[group]]\nname = \"our\"\ncountries = [\"DE\"]";
    let rules = "[[rule]]\nid = \"a\"\nwhen = { sites = [\"HQ\"] }\nmedia = { allow = [\"our\"] }";
    assert!(read(&[("rules.toml", rules), ("sites.toml", sites)]).is_ok(), "in any order");
    let errors = read(&[("rules.toml", rules), ("sites.toml", sites), ("more.toml", rules)]).unwrap_err();
    assert_eq!(errors.to_string(), "more.toml:2:6: [[rule]]: the id `a` stands at rules.toml:2 too");
    let other = sites.replace("DE", "FR").replace("our", "other");
    let errors = read(&[("a.toml", sites), ("b.toml", &other)]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "b.toml:4:12: [[site]]: 10.0.0.0/8 has another country in a site before this one"
    );
}

#[test]
fn faults_are_capped_and_the_rest_is_counted() {
    let text = (0..300).map(|number| format!("key{number} = 1")).collect::<Vec<_>>().join("\n");
    let errors = read(&[("p.toml", &text)]).unwrap_err();
    assert_eq!((errors.errors.len(), errors.left_out), (MAX_ERRORS, 200));
    assert!(errors.to_string().ends_with("\nand 200 more"));
    let errors = read(&[("p.toml", &"#".repeat(MAX_FILE_BYTES + 1))]).unwrap_err();
    assert_eq!(errors.errors.len(), 1);
}

#[test]
fn what_is_quoted_from_a_file_is_harmless() {
    let told = faults("[[site]]\nname = \"x\"\ncountry = \"\\u001b[31m\\u202e\"\nsubnets = [\"10.0.0.0/8\"]");
    assert!(
        told.iter().all(|fault| !fault.chars().any(|one| one.is_control() || one == '\u{202e}')),
        "{told:?}"
    );
}

proptest! {
    #[test]
    fn reading_never_panics(text in ".{0,400}") {
        let _ = read(&[("p.toml", &text)]);
    }

    /// A sound file with a piece cut out, doubled, or replaced: refused with a place inside of the text, or read.
    #[test]
    fn a_damaged_file_is_refused_in_its_own_lines(at in 0_usize..2000, length in 0_usize..60, put in ".{0,12}") {
        let whole: Vec<char> = EVERYTHING.chars().collect();
        let at = at.min(whole.len());
        let end = (at + length).min(whole.len());
        let text: String =
            whole[..at].iter().copied().chain(put.chars()).chain(whole[end..].iter().copied()).collect();
        if let Err(errors) = read(&[("p.toml", &text)]) {
            prop_assert!(!errors.errors.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for error in &errors.errors {
                let line = lines.get(error.line - 1);
                prop_assert!(line.is_some_and(|line| error.column <= line.chars().count() + 1), "{error}");
            }
        }
    }
}
