//! The rules of ARCHITECTURE.md, held to the code: who may import whom, which package is named where, no clock in the
//! library, no long files. Reads `src/` as text; tests and test-only files are left out.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a rule that cannot be read is a rule broken; the text is our own"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The stages in the order in which data flows. A module imports only from those that stand before it.
const ORDER: [&str; 28] = [
    "bytes",
    "disk",
    "fetch",
    "parallel",
    "time",
    "crypto",
    "capture",
    "decode",
    "flow",
    "proto",
    "fingerprint",
    "observe",
    "classify",
    "session",
    "keys",
    "servers",
    "geo",
    "policy",
    "report",
    "pipeline",
    "watch",
    "sink",
    "board",
    "metrics",
    "web",
    "tui",
    "sandbox",
    "cli",
];

/// A module and all that it may import beside itself; stricter than the order alone.
const ONLY: &[(&str, &[&str], &str)] = &[
    ("bytes", &[], "the cursor stands on nothing"),
    ("disk", &[], "replacing a file stands on nothing"),
    ("fetch", &[], "asking for memory stands on nothing"),
    ("parallel", &[], "work that is shared out stands on nothing"),
    ("time", &[], "time stands on nothing"),
    ("crypto", &[], "ciphers know no protocol"),
    ("capture", &["bytes", "time"], "packets in, and nothing else"),
    ("decode", &["bytes", "time"], "the decoder knows no source of packets"),
    ("flow", &["bytes", "fetch", "time"], "flow/ knows no protocol"),
    ("proto", &["bytes", "time", "crypto"], "proto/ is bytes to messages and knows no provider"),
    ("fingerprint", &["bytes", "proto"], "a fingerprint is a function of a parsed hello"),
    ("classify", &["parallel", "time", "flow", "observe"], "classify/ sees no bytes and no parser"),
    (
        "session",
        &["parallel", "time", "flow", "observe", "classify"],
        "sessions are made of records, not of packets",
    ),
    (
        "keys",
        &["time", "crypto", "flow", "observe", "classify", "session"],
        "keys/ judges records, not packets",
    ),
    (
        "servers",
        &["time", "flow", "observe", "classify", "session"],
        "servers/ keeps what records say, and places nothing",
    ),
    ("geo", &["bytes", "disk", "time"], "geo/ answers for an address and knows nothing else"),
    ("policy", &["time", "geo"], "policy/ judges facts that it is handed, and knows no record"),
];

/// A module that only these may import.
const ONLY_BY: &[(&str, &[&str], &str)] = &[
    (
        "capture",
        &["pipeline", "watch", "cli"],
        "nothing but capture/ reads packets; the pipeline takes them over",
    ),
    ("crypto", &["proto", "observe", "keys"], "ciphers are used where something is opened or tried"),
    (
        "decode",
        &["observe", "report", "pipeline", "watch", "cli"],
        "after the observer nobody sees a packet, only counters",
    ),
    (
        "proto",
        &["fingerprint", "observe", "report", "pipeline", "watch", "cli"],
        "after the observer nobody sees a message, only names; the pipeline hands key logs on",
    ),
    (
        "report",
        &["watch", "sink", "board", "metrics", "web", "tui", "sandbox", "cli"],
        "records are written at the edge; signs of life are taken from counters",
    ),
    ("pipeline", &["watch", "cli"], "the stages do not know where they meet"),
    ("watch", &["cli"], "who takes what is told does not know who tells it"),
    ("sink", &["cli"], "destinations are chosen at the edge"),
    ("sandbox", &["cli"], "the process gives up its rights in one place"),
];

/// A package, and where it may be named.
const PACKAGES: &[(&str, &[&str])] = &[
    ("pcap", &["capture/"]),
    // System calls: an interface is waited for and asked for its settings, destinations are written to, the machine is asked for its
    // memory.
    (
        "rustix",
        &[
            "capture/live/",
            "capture/limits.rs",
            "capture/reopened.rs",
            "watch/memory.rs",
            "sink/",
            "sandbox/rights.rs",
            "tui/mod.rs",
        ],
    ),
    ("libc", &["capture/live/sockopt.rs", "sandbox/calls.rs"]),
    ("pcap_parser", &["capture/"]),
    ("flate2", &["capture/", "proto/http/coding.rs", "report/html/packed.rs", "sink/archive.rs"]),
    ("liblzma", &["capture/unpack.rs"]),
    ("zstd", &["capture/unpack.rs", "proto/http/coding.rs", "sink/archive.rs"]),
    ("brotli_decompressor", &["proto/http/coding.rs"]),
    ("httparse", &["proto/http/one.rs"]),
    ("etherparse", &["decode/"]),
    ("simple_dns", &["proto/dns/"]),
    ("x509_parser", &["proto/tls/certificate.rs"]),
    ("aes", &["crypto/"]),
    ("aes_gcm", &["crypto/"]),
    ("ccm", &["crypto/"]),
    ("chacha20poly1305", &["crypto/"]),
    ("chacha20", &["crypto/"]),
    ("hkdf", &["crypto/"]),
    ("hmac", &["crypto/"]),
    ("maxminddb", &["geo/"]),
    ("toml", &["classify/", "geo/", "policy/"]),
    ("serde_json", &["report/", "web/", "cli/"]),
    ("axum", &["web/"]),
    ("tokio", &["web/"]),
    ("futures_core", &["web/"]),
    ("subtle", &["web/"]),
    ("mimalloc", &["main.rs"]),
    ("rayon_core", &["parallel.rs"]),
    ("memchr", &["proto/tls/record.rs", "observe/pattern.rs"]),
    ("compact_str", &["proto/dns/", "observe/", "report/record/", "report/build/"]),
    ("itoa", &["fingerprint/ja3.rs", "report/json/compact.rs"]),
    ("clap", &["main.rs", "cli/"]),
    ("anyhow", &["main.rs", "cli/"]),
    ("signal_hook", &["cli/"]),
    ("terminal_size", &["cli/"]),
    ("landlock", &["sandbox/files.rs"]),
    ("seccompiler", &["sandbox/calls.rs"]),
    ("nix", &["sandbox/rights.rs"]),
    ("ratatui", &["tui/"]),
];

/// What the library does not do, and who may.
const BANNED: &[(&str, &[&str], &str)] = &[
    (
        r"\b(Instant|SystemTime|Timestamp|Zoned|Utc|Local)::now\b",
        &["main.rs", "watch/", "sink/", "web/", "tui/", "cli/"],
        "packet time is an argument",
    ),
    (
        r"\b(TcpStream|TcpListener|UdpSocket|UnixStream|UnixDatagram)\b",
        &["sink/", "web/", "sandbox/", "cli/"],
        "nothing is sent",
    ),
    (
        r"\b(File::(open|create|options)|fs::|OpenOptions)",
        &["disk.rs", "capture/", "geo/", "watch/", "sink/", "sandbox/", "cli/"],
        "files are opened at the ends",
    ),
    (r"\bCommand::new\b", &["cli/"], "no other program is run"),
    (r"\be?print(ln)?!|\bdbg!", &["main.rs", "cli/"], "the library prints nothing"),
];

/// Most lines of a file that are not tests.
const MAX_LINES: usize = 450;

/// A source file without its tests and comments.
struct Source {
    /// Path below `src/`, with `/`.
    path: String,
    /// Whole text as it is.
    text: String,
    /// Lines that are not tests.
    code: Vec<String>,
}

impl Source {
    /// The module path: `proto/quic/keys.rs` is `proto`, `quic`, `keys`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap();
        let mut parts: Vec<&str> = path.split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
            parts.pop();
        }
        parts
    }

    fn stage(&self) -> Option<&str> {
        self.module().first().copied()
    }

    /// Code in one line, comments left out.
    fn flat(&self) -> String {
        let lines = self.code.iter().filter(|line| !line.trim_start().starts_with("//"));
        lines.map(|line| line.split(" // ").next().unwrap()).collect::<Vec<_>>().join("\n")
    }

    /// Names of the stages that this file imports, itself left out.
    fn imports(&self) -> BTreeSet<String> {
        let flat = self.flat();
        let module = self.module();
        let mut found = BTreeSet::new();
        let root = Regex::new(r"(?-u)\b(crate|super(?:\s*::\s*super)*)\s*::\s*(\{|[a-z_0-9]+)").unwrap();
        for hit in root.captures_iter(&flat) {
            let levels = hit[1].matches("super").count();
            if levels > 0 && levels < module.len() {
                continue;
            }
            if &hit[2] == "{" {
                found.extend(first_names(&flat[hit.get(0).unwrap().end()..]));
            } else {
                found.insert(hit[2].to_owned());
            }
        }
        found.retain(|name| Some(name.as_str()) != self.stage() && ORDER.contains(&name.as_str()));
        found
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.in_folder(place)))
    }

    /// A folder stands for the file beside it too: `cli/` for `cli.rs`.
    fn in_folder(&self, folder: &str) -> bool {
        self.path.starts_with(folder) || self.path == format!("{}.rs", folder.trim_end_matches('/'))
    }
}

/// First names in the braces of `use crate::{a::b, c::{d, e}}`, which are already open.
fn first_names(rest: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 1_i32;
    let mut in_name = true;
    for letter in rest.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                names.push(String::new());
                in_name = true;
                continue;
            }
            ':' if depth == 1 => in_name = false,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if in_name && depth == 1 && !letter.is_whitespace() {
            names.last_mut().unwrap().push(letter);
        }
    }
    names
}

/// All of `src/` but the files that only tests use.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let mut sources = Vec::new();
    let mut test_only: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (code, modules) = without_tests(&text);
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let folder = match stem {
            "mod" | "lib" | "main" => file.parent().unwrap().to_path_buf(),
            _ => file.with_extension(""),
        };
        for module in modules {
            test_only.insert(folder.join(format!("{module}.rs")));
            test_only.insert(folder.join(module));
        }
        sources.push((file, text, code));
    }
    sources
        .into_iter()
        .filter(|(file, ..)| !test_only.iter().any(|only| file.starts_with(only)))
        .map(|(file, text, code)| {
            let path = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            Source { path, text, code }
        })
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Lines that are not under `#[cfg(test)]`, and the modules in other files that are. Relies on rustfmt: an item
/// ends with the first line of its own indentation that ends in `;` or `}`.
fn without_tests(text: &str) -> (Vec<String>, Vec<String>) {
    let mut code = Vec::new();
    let mut modules = Vec::new();
    let mut skipping: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(own) = skipping {
            if let Some(name) =
                line.trim().strip_suffix(';').and_then(|item| Some(item.rsplit_once("mod ")?.1))
            {
                modules.push(name.to_owned());
            }
            if indent == own && (line.ends_with(';') || line.ends_with('}')) {
                skipping = None;
            }
        } else if line.trim() == "#[cfg(test)]" {
            skipping = Some(indent);
        } else {
            code.push(line.to_owned());
        }
    }
    (code, modules)
}

fn rank(stage: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == stage)
}

fn report(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

#[test]
fn every_module_has_a_place_in_the_order() {
    let mut faults = Vec::new();
    for source in sources() {
        if let Some(stage) = source.stage()
            && rank(stage).is_none()
        {
            faults.push(format!("{}: `{stage}` is not in ORDER", source.path));
        }
    }
    report("a new stage is given its place in tests/house.rs and ARCHITECTURE.md", &faults);
}

#[test]
fn lib_rs_lists_the_modules_in_the_order_that_data_flows() {
    let lib = sources().into_iter().find(|source| source.path == "lib.rs").unwrap();
    let line = Regex::new(r"(?-u)^(?:pub(?:\([a-z]+\))? )?mod ([a-z_]+);").unwrap();
    let listed: Vec<String> =
        lib.code.iter().filter_map(|code| line.captures(code)).map(|hit| hit[1].to_owned()).collect();
    let mut sorted = listed.clone();
    sorted.sort_by_key(|name| rank(name));
    assert_eq!(listed, sorted, "lib.rs draws the pipeline");
}

#[test]
fn arrows_only_point_up_the_list() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(own) = source.stage().and_then(rank) else { continue };
        for import in source.imports() {
            if rank(&import).unwrap() > own {
                faults.push(format!("{} imports {import}", source.path));
            }
        }
    }
    report("a module imports only from the stages before it", &faults);
}

#[test]
fn stages_import_only_what_is_theirs_to_know() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(stage) = source.stage() else { continue };
        for import in source.imports() {
            for (_, allowed, why) in ONLY.iter().filter(|(name, ..)| *name == stage) {
                if !allowed.contains(&import.as_str()) {
                    faults.push(format!("{} imports {import}, but {why}", source.path));
                }
            }
            for (_, allowed, why) in ONLY_BY.iter().filter(|(name, ..)| *name == import) {
                if !allowed.contains(&stage) {
                    faults.push(format!("{} imports {import}, but {why}", source.path));
                }
            }
        }
    }
    report("each stage knows its own", &faults);
}

#[test]
fn packages_are_named_behind_one_module() {
    let mut faults = Vec::new();
    let sources = sources();
    for (package, places) in PACKAGES {
        let named = Regex::new(&format!(r"(^|[^a-z0-9_:]){package}(::|;)")).unwrap();
        for source in sources.iter().filter(|source| !source.is_in(places)) {
            if source.flat().lines().any(|line| named.is_match(line)) {
                faults.push(format!(
                    "{} names {package}, which belongs to {}",
                    source.path,
                    places.join(", ")
                ));
            }
        }
    }
    report("a package stands behind one module", &faults);
}

#[test]
fn the_library_has_no_clock_no_network_and_no_voice() {
    let mut faults = Vec::new();
    let sources = sources();
    for (pattern, places, why) in BANNED {
        let pattern = Regex::new(&format!("(?-u){pattern}")).unwrap();
        for source in sources.iter().filter(|source| !source.is_in(places)) {
            for line in source.flat().lines().filter(|line| pattern.is_match(line)) {
                faults.push(format!("{}: `{}`, but {why}", source.path, line.trim()));
            }
        }
    }
    report("effects happen at the ends", &faults);
}

#[test]
fn every_module_says_what_it_is() {
    let bare = sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    let faults: Vec<String> = bare.map(|source| source.path).collect();
    report("a file opens with `//!`: what comes in, what goes out", &faults);
}

/// Pieces of code that begin with a line that fits, each to the end of its braces; relies on rustfmt as [`without_tests`] does.
fn pieces<'t>(text: &'t str, begins: &str) -> Vec<(Option<&'t str>, String)> {
    let begins = Regex::new(begins).unwrap();
    let mut found: Vec<(Option<&str>, String)> = Vec::new();
    let mut end: Option<String> = None;
    for line in text.lines() {
        if let (Some(closing), Some((_, piece))) = (&end, found.last_mut()) {
            piece.push_str(line);
            piece.push('\n');
            if line == closing {
                end = None;
            }
        } else if let Some(hit) = begins.captures(line) {
            let indent = line.len() - line.trim_start().len();
            found.push((hit.get(1).map(|name| name.as_str()), format!("{line}\n")));
            end = Some(format!("{}}}", " ".repeat(indent)));
        }
    }
    found
}

/// Text of the property tests of all files of one protocol, with the functions that they call.
fn property_tests(protocol: &Path) -> String {
    let mut files = Vec::new();
    if protocol.is_dir() {
        walk(protocol, &mut files);
    } else {
        files.push(protocol.to_path_buf());
    }
    let tests: String = files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).unwrap();
            // What stands before the tests of a file is what is tested; a file without any is a file of tests.
            let name = file.file_name().unwrap().to_str().unwrap();
            let begin = text.find("#[cfg(test)]\nmod tests {");
            begin.map_or_else(
                || if name.ends_with("tests.rs") { text.clone() } else { String::new() },
                |at| text[at..].to_owned(),
            )
        })
        .collect();
    let mut named: String = pieces(&tests, r"^ *proptest! \{").into_iter().map(|(_, text)| text).collect();
    let helpers = pieces(&tests, r"^ *(?:pub\([a-z]+\) )?fn ([a-z_0-9]+)");
    for _ in 0..2 {
        for (name, text) in &helpers {
            if named.contains(&format!("{}(", name.unwrap())) && !named.contains(text) {
                named.push_str(text);
            }
        }
    }
    named
}

#[test]
fn every_parser_of_a_protocol_is_named_in_a_property_test() {
    let function = Regex::new(
        r"(?m)^impl[^{]*?(\w+)(?:<[^{]*>)? \{|^( *)pub(?:\([a-z: ]+\))? (?:const )?fn ([a-z_0-9]+)(?:<[^(]*>)?\(([^)]*)\)",
    )
    .unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut faults, mut parsers) = (Vec::new(), 0);
    for source in sources().iter().filter(|source| source.in_folder("proto/")) {
        let place = source.path.strip_prefix("proto/").unwrap();
        let tests = property_tests(&root.join("proto").join(place.split('/').next().unwrap()));
        let (code, mut owner) = (source.code.join("\n"), String::new());
        for hit in function.captures_iter(&code) {
            if let Some(name) = hit.get(1) {
                name.as_str().clone_into(&mut owner);
                continue;
            }
            let (indent, name, takes) = (&hit[2], &hit[3], &hit[4]);
            if !takes.contains("[u8]") && !takes.contains("Reader<") {
                continue;
            }
            parsers += 1;
            let module = source.module().last().copied().unwrap_or_default().to_owned();
            let call = match (takes.contains("self"), indent.is_empty()) {
                (true, _) => format!(r"\.{name}\("),
                (_, false) => format!(r"\b{owner}::{name}\b"),
                (_, true) => format!(r"(^|[^\w:.])(super::)*({module}::)?{name}\("),
            };
            if !Regex::new(&call).unwrap().is_match(&tests) {
                faults.push(format!(
                    "{}: {name} of {}",
                    source.path,
                    if indent.is_empty() { &module } else { &owner }
                ));
            }
        }
    }
    assert!(parsers > 80, "the search for parsers found {parsers}");
    report("what takes bytes from the wire is called in a `proptest!` of its protocol", &faults);
}

#[test]
fn files_stay_short() {
    let long = sources().into_iter().filter(|source| source.code.len() > MAX_LINES);
    let faults: Vec<String> =
        long.map(|source| format!("{}: {} lines", source.path, source.code.len())).collect();
    report(&format!("a file has at most {MAX_LINES} lines without its tests"), &faults);
}

#[test]
fn the_reader_of_imports_reads_every_form() {
    let source = |path: &str, text: &str| {
        let (code, modules) = without_tests(text);
        (Source { path: path.to_owned(), text: text.to_owned(), code }.imports(), modules)
    };
    let text = "use crate::{\n    bytes::Reader,\n    flow::{Key, table},\n    time,\n};\nfn f() { crate::geo::x() }\n\
        #[cfg(test)]\nmod probes;\n#[cfg(test)]\nmod tests {\n    use crate::report::Record;\n}\n// crate::session\n";
    let (imports, modules) = source("proto/x.rs", text);
    assert_eq!(imports.iter().map(String::as_str).collect::<Vec<_>>(), ["bytes", "flow", "geo", "time"]);
    assert_eq!(modules, ["probes"]);
    let (imports, _) = source("flow/mod.rs", "use super::decode::Path;\nuse self::key::Key;\n");
    assert!(imports.contains("decode"));
    let (imports, _) = source("flow/key.rs", "use super::decode::Path;\nuse super::super::capture;\n");
    assert_eq!(imports.iter().map(String::as_str).collect::<Vec<_>>(), ["capture"]);
}
