//! The small subcommands, as a user meets them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meetscope")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", words(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_address_is_placed_by_a_named_database_of_a_named_date() {
    let answer = text(&run(&["geo", "lookup", "52.81.151.250", "10.0.0.1"]));
    assert!(answer.contains("database IPFire-Location-Country of 2026-09-23 places it in China (CN)"));
    assert!(answer.contains("special      private"));
    let json = text(&run(&["geo", "lookup", "52.81.151.250", "--format", "json"]));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value.pointer("/0/located_in/country").unwrap(), "CN");
    assert_eq!(value.pointer("/0/ip").unwrap(), "52.81.151.250");
}

#[test]
fn databases_are_listed_with_date_hash_and_licence() {
    let answer = text(&run(&["geo", "info"]));
    for part in ["IPFire-Location-Country", "2026-09-23", "sha256", "CC BY-SA 4.0"] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
}

#[test]
fn providers_are_listed_and_shown() {
    assert_eq!(text(&run(&["providers", "list"])).lines().count(), 38);
    let shown = text(&run(&["providers", "show", "zoom"]));
    assert!(shown.contains("zoom.us (suffix): signalling"), "{shown}");
    for part in [
        "keying     key-service (calls, meetings; until 2020-05-30; AES-128 in ECB mode): Zoom's servers",
        "keying     e2ee-optional (calls, meetings; from 2020-10-26): ",
        "source     citizenlab-126: Move Fast and Roll Your Own Crypto",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    for (name, meant) in [("nobody", false), ("zom", true)] {
        let output = run(&["providers", "show", name]);
        assert_eq!(output.status.code(), Some(2), "a name is usage");
        let said = words(&output);
        assert!(said.contains(&format!("{name}: no such provider")), "{said}");
        assert_eq!(said.contains("did you mean `zoom`?"), meant, "{said}");
    }
}

#[test]
fn a_directory_of_provider_files_is_checked_and_every_bad_file_named() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/providers");
    assert!(text(&run(&["providers", "check", shipped])).contains("38 provider files are sound"));
    let copy = tempfile::tempdir().unwrap();
    for name in ["sources.toml", "zoom.toml", "webex.toml"] {
        fs::copy(format!("{shipped}/{name}"), copy.path().join(name)).unwrap();
    }
    let spoil = |name: &str, from: &str, to: &str| {
        let path = copy.path().join(name);
        let whole = fs::read_to_string(&path).unwrap();
        assert!(whole.contains(from));
        fs::write(&path, whole.replacen(from, to, 1)).unwrap();
    };
    spoil("zoom.toml", "schema_version = 1", "schema_version = \"one\"");
    spoil("webex.toml", "\nsources = [\"", "\nsources = [\"hearsay\", \"");
    let output = run(&["providers", "check", copy.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    assert!(words.contains("zoom.toml:") && words.contains("schema_version: "), "{words}");
    assert!(words.contains("webex.toml:") && words.contains("`hearsay` is not in sources.toml"), "{words}");
    let output = run(&["providers", "check", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_provider_file_says_how_keys_arise_and_which_document_says_so() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/providers");
    let copy = tempfile::tempdir().unwrap();
    fs::copy(format!("{shipped}/sources.toml"), copy.path().join("sources.toml")).unwrap();
    let whole = fs::read_to_string(format!("{shipped}/discord.toml")).unwrap();
    let checked = |text: String| {
        fs::write(copy.path().join("discord.toml"), text).unwrap();
        let output = run(&["providers", "check", copy.path().to_str().unwrap()]);
        (output.status.code(), words(&output))
    };
    assert_eq!(checked(whole.clone()).0, Some(0));
    // Without its keying rows.
    let (before, rest) = whole.split_once("[[keying]]").unwrap();
    let (_, after) = rest.rsplit_once("[[keying]]").unwrap();
    let (_, after) = after.split_once("\n\n").unwrap();
    let (code, said) = checked(format!("{before}{after}"));
    assert!(code == Some(1) && said.contains("discord.toml") && said.contains("keying"), "{said}");
    // A claim that rests on memory, one without sources, a day that is none.
    let spoilt = [
        ("sources = [\"discord-dave\"]", "sources = [\"recall\"]", "names no document"),
        ("sources = [\"discord-dave\"]", "sources = []", "names no document"),
        ("from = \"2024-09-17\"", "from = \"2024-09-31\"", "is no date"),
    ];
    for (from, to, reason) in spoilt {
        assert!(whole.contains(from));
        let (code, said) = checked(whole.replacen(from, to, 1));
        assert!(code == Some(1) && said.contains("discord.toml:") && said.contains(reason), "{said}");
    }
}

#[test]
fn completions_and_the_manual_come_from_the_options() {
    assert!(text(&run(&["completions", "bash"])).contains("--keep-duplicates"));
    assert!(text(&run(&["man"])).starts_with(".ie"));
    assert!(text(&run(&["man", "replay"])).contains("bpf"));
    assert_eq!(run(&["man", "nothing"]).status.code(), Some(2));
    assert_eq!(run(&["man", "geo", "nothing"]).status.code(), Some(2));
}

#[test]
fn every_page_that_a_manual_page_names_can_be_written() {
    let mut to_see = vec!["meetscope".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(name) = to_see.pop() {
        let page = text(&run(&["man", &name])).replace("\\-", "-");
        assert!(page.contains(&format!(".TH {name} 1")), "{name}: {page}");
        let before = page.split("(1)").map(|text| text.rsplit(char::is_whitespace).next().unwrap());
        let named: Vec<String> =
            before.filter(|word| word.starts_with("meetscope-")).map(str::to_owned).collect();
        seen.insert(name);
        to_see.extend(named.into_iter().filter(|name| !seen.contains(name)));
    }
    for name in ["meetscope-replay", "meetscope-geo-lookup", "meetscope-policy-check"] {
        assert!(seen.contains(name), "{seen:?}");
    }
    assert_eq!(text(&run(&["man", "geo", "lookup"])), text(&run(&["man", "geo lookup"])));
}

#[test]
fn a_database_that_is_not_there_is_told_of_in_the_words_of_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, kept) = (folder.path().join("absent.mmdb"), folder.path().join("kept"));
    let output = run(&["geo", "update", absent.to_str().unwrap(), "--dir", kept.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("absent.mmdb: No such file or directory"), "{}", words(&output));
}

#[test]
fn interfaces_are_listed() {
    assert_eq!(run(&["interfaces"]).status.code(), Some(0));
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let output = run(&["watch", "-i", "nosuchif0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("meetscope: nosuchif0: "), "{}", words(&output));
}

#[test]
fn an_interface_that_is_named_twice_is_told_of() {
    let output = run(&["watch", "-i", "nosuchif0,nosuchif0"]);
    assert!(words(&output).contains("nosuchif0 is named more than once"), "{}", words(&output));
}

/// 1 is what the system refuses, 2 what was typed: a service that is started anew for the first is not for the second.
#[test]
fn what_cannot_be_served_is_told_apart_from_what_must_not_be() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("token");
    fs::write(&short, "short\n").unwrap();
    let short = short.to_str().unwrap();
    let absent = folder.path().join("none");
    let absent = absent.to_str().unwrap();
    let cases: [(i32, &[&str]); 8] = [
        (1, &["--web", &taken]),
        (1, &["--metrics", &taken]),
        (1, &["--web", "127.0.0.1:0", "--web-token-file", absent]),
        (2, &["--web", "0.0.0.0:0"]),
        (2, &["--metrics", "[::]:0"]),
        (2, &["--web", "127.0.0.1:0", "--web-token-file", short]),
        (2, &["--web", "127.0.0.1:9", "--metrics", "127.0.0.1:9"]),
        (2, &["--web", "somewhere"]),
    ];
    for (status, arguments) in cases {
        let output = run(&[&["watch", "-i", "nosuchif0"], arguments].concat());
        let said = words(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(!said.contains("nosuchif0"), "{arguments:?} goes first: {said}");
        assert!(said.matches("os error").count() < 2, "the reason is told once: {said}");
    }
}
