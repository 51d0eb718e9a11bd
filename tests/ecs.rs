//! `deploy/filebeat/`, held to account without Elasticsearch: the pipeline's processors run here over real records, by their
//! documentation; fields and types are those of the Elastic Common Schema as published (`tests/vectors/ecs/fields.tsv`).

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a field that is not there has failed, and so has what the interpreter does not know"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

fn pipeline() -> Vec<Value> {
    read("deploy/filebeat/pipeline.json")["processors"].as_array().unwrap().clone()
}

/// Fields with their types, and the values that some may take.
fn ecs() -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
    let text = fs::read_to_string(root().join("tests/vectors/ecs/fields.tsv")).unwrap();
    let (mut fields, mut allowed) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('\t').unwrap();
        match name.strip_prefix('=') {
            Some(name) => {
                allowed.insert(name.to_owned(), rest.split(',').map(str::to_owned).collect());
            }
            None => {
                fields.insert(name.to_owned(), rest.to_owned());
            }
        }
    }
    assert!(fields.len() > 200 && allowed.len() == 3);
    (fields, allowed)
}

/// The one processor in a list's entry, its name and its settings.
fn one(entry: &Value) -> (&str, &Map<String, Value>) {
    let (name, settings) = entry.as_object().unwrap().iter().next().unwrap();
    (name, settings.as_object().unwrap())
}

fn text<'a>(settings: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    settings.get(name).map(|value| value.as_str().unwrap())
}

// --- A document, as the processors see it.

fn get<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, part| match value {
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

fn put(document: &mut Value, path: &str, value: Value) {
    let mut at = document;
    for part in path.split('.') {
        at = at.as_object_mut().unwrap().entry(part).or_insert_with(|| json!({}));
    }
    *at = value;
}

fn take(document: &mut Value, path: &str) -> Option<Value> {
    let (parent, name) = path.rsplit_once('.').map_or(("", path), |(parent, name)| (parent, name));
    let mut at = document;
    for part in parent.split('.').filter(|part| !part.is_empty()) {
        at = at.get_mut(part)?;
    }
    at.as_object_mut()?.remove(name)
}

/// `{{{path}}}` is what stands there.
fn render(document: &Value, template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, more)) = rest.split_once("{{{") {
        let (path, after) = more.split_once("}}}").unwrap();
        out.push_str(before);
        match get(document, path) {
            Some(Value::String(text)) => out.push_str(text),
            Some(other) => out.push_str(&other.to_string()),
            None => {}
        }
        rest = after;
    }
    out + rest
}

/// `ctx.a?.b != null`, `== null` and `== true`: the only conditions in use.
fn holds(document: &Value, condition: &str) -> bool {
    let (path, test) = condition.split_once(' ').unwrap();
    let found = get(document, &path.strip_prefix("ctx.").unwrap().replace("?.", "."));
    let found = found.filter(|value| !value.is_null());
    match test {
        "!= null" => found.is_some(),
        "== null" => found.is_none(),
        "== true" => found == Some(&Value::Bool(true)),
        other => panic!("a condition that this interpreter does not know: {other}"),
    }
}

/// The two patterns of `java.time` in use; the answer is ISO 8601 in UTC with milliseconds.
fn date(text: &str, format: &str) -> Option<String> {
    let (moment, zone) = text.split_at_checked(text.len().checked_sub(5)?)?;
    let fraction = match format {
        "yyyy-MM-dd'T'HH:mm:ss.SSSSSSZ" => {
            moment.get(19..)?.strip_prefix('.').filter(|part| part.len() == 6)?
        }
        "yyyy-MM-dd'T'HH:mm:ssZ" => Some("000").filter(|_| moment.len() == 19)?,
        other => panic!("a format that this interpreter does not know: {other}"),
    };
    let shape = "dddd-dd-ddTdd:dd:dd";
    let head = moment.get(..19)?;
    let fits = head.chars().zip(shape.chars()).all(|(found, wanted)| match wanted {
        'd' => found.is_ascii_digit(),
        other => found == other,
    });
    (fits && zone == "+0000" && fraction.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| format!("{head}.{}Z", &fraction[..3]))
}

/// Runs one processor; its complaint where it fails.
fn apply(document: &mut Value, entry: &Value) -> Result<(), String> {
    let (name, settings) = one(entry);
    if text(settings, "if").is_some_and(|condition| !holds(document, condition)) {
        return Ok(());
    }
    let field = render(document, text(settings, "field").unwrap());
    let missing_is_fine = settings.get("ignore_missing") == Some(&Value::Bool(true));
    let found = get(document, &field).cloned();
    if found.is_none() && matches!(name, "rename" | "lowercase" | "foreach" | "date" | "dissect") {
        return if missing_is_fine { Ok(()) } else { Err(format!("{field} is missing")) };
    }
    match name {
        "set" => set(document, settings, &field),
        "rename" => {
            let target = render(document, text(settings, "target_field").unwrap());
            if get(document, &target).is_some() {
                return Err(format!("{target} is there already"));
            }
            let value = take(document, &field).unwrap();
            put(document, &target, value);
        }
        "lowercase" => put(document, &field, found.unwrap().as_str().unwrap().to_lowercase().into()),
        "date" => {
            let value = found.unwrap();
            let parsed = date(value.as_str().unwrap(), settings["formats"][0].as_str().unwrap());
            match (parsed, settings.get("on_failure")) {
                (Some(parsed), _) => put(document, text(settings, "target_field").unwrap(), parsed.into()),
                (None, Some(handlers)) => {
                    let (handler, settings) = one(&handlers[0]);
                    assert_eq!(handler, "remove");
                    take(document, text(settings, "field").unwrap());
                }
                (None, None) => return Err(format!("{field}: {value} is no date")),
            }
        }
        "dissect" => {
            let targets = settings["pattern"].as_str().unwrap();
            let value = found.unwrap();
            let words = value.as_str().unwrap().splitn(2, ' ');
            for (target, word) in targets.split(' ').zip(words) {
                put(document, target.trim_matches(['%', '{', '}']), word.into());
            }
        }
        "append" => append(document, &field, text(settings, "value").unwrap()),
        "foreach" => {
            for value in found.unwrap().as_array().unwrap() {
                put(document, "_ingest._value", value.clone());
                apply(document, &settings["processor"])?;
            }
            take(document, "_ingest");
        }
        other => panic!("a processor that this interpreter does not know: {other}"),
    }
    Ok(())
}

fn set(document: &mut Value, settings: &Map<String, Value>, field: &str) {
    let value = match (text(settings, "copy_from"), settings.get("value")) {
        (Some(from), _) => get(document, from).cloned().unwrap_or(Value::Null),
        (None, Some(Value::String(template))) => render(document, template).into(),
        (None, Some(other)) => other.clone(),
        (None, None) => panic!("set without a value"),
    };
    let is_empty = value.is_null() || value == "";
    if !(is_empty && settings.get("ignore_empty_value") == Some(&Value::Bool(true))) {
        put(document, field, value);
    }
}

/// Each value once (`allow_duplicates` is false wherever it is used).
fn append(document: &mut Value, field: &str, template: &str) {
    let value = Value::String(render(document, template));
    let mut list = get(document, field).and_then(Value::as_array).cloned().unwrap_or_default();
    if !list.contains(&value) {
        list.push(value);
    }
    put(document, field, list.into());
}

/// What Elasticsearch would index of a record, as Filebeat hands it on.
fn ingested(record: &Value) -> Value {
    let mut document = json!({ "record": record });
    for processor in pipeline() {
        if let Err(fault) = apply(&mut document, &processor) {
            panic!("{fault} in {processor} on {record}");
        }
    }
    document
}

// --- What the pipeline reads and writes.

/// Fields of the pipeline: those that it reads (below `meetscope.`) and those that it writes.
fn fields() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
    for entry in pipeline() {
        let (mut name, mut settings) = one(&entry);
        if name == "foreach" {
            read.insert(text(settings, "field").unwrap().to_owned());
            (name, settings) = one(&settings["processor"]);
        }
        let field = text(settings, "field").unwrap().to_owned();
        match (name, text(settings, "target_field")) {
            ("set" | "append", _) => written.insert(field),
            ("dissect", _) => {
                let targets = text(settings, "pattern").unwrap().split(' ');
                written.extend(targets.map(|target| target.trim_matches(['%', '{', '}']).to_owned()));
                read.insert(field)
            }
            (_, Some(target)) => {
                written.insert(target.to_owned());
                read.insert(field)
            }
            (_, None) => read.insert(field),
        };
        read.extend(text(settings, "copy_from").map(str::to_owned));
        if let Some(condition) = text(settings, "if") {
            let path = condition.split(' ').next().unwrap();
            read.insert(path.strip_prefix("ctx.").unwrap().replace("?.", "."));
        }
    }
    read.retain(|field| field.starts_with("meetscope."));
    written.retain(|field| !field.starts_with("meetscope."));
    (read, written)
}

fn schema(kind: &str) -> Option<Value> {
    let text = fs::read_to_string(root().join(format!("docs/schema/{kind}.schema.json"))).ok()?;
    serde_json::from_str(&text).ok()
}

/// Follows references, choices with null, and items of lists.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(name) = schema["$ref"].as_str() {
        return resolved(root, &root["$defs"][name.rsplit('/').next().unwrap()]);
    }
    for choices in ["anyOf", "oneOf", "allOf"] {
        if let Some(list) = schema[choices].as_array() {
            return list.iter().flat_map(|choice| resolved(root, choice)).collect();
        }
    }
    vec![schema]
}

fn knows(root: &Value, schema: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    resolved(root, schema).into_iter().any(|known| {
        if first.parse::<usize>().is_ok() {
            return known.get("items").is_some_and(|items| knows(root, items, rest));
        }
        known["properties"].get(first).is_some_and(|field| knows(root, field, rest))
    })
}

#[test]
fn every_field_that_is_read_is_one_of_the_records() {
    let (read, _) = fields();
    assert!(read.len() > 40);
    for field in read {
        let parts: Vec<&str> = field.split('.').skip(1).collect();
        let schema = schema(parts[0]).unwrap_or_else(|| panic!("{field}: no record is called {}", parts[0]));
        assert!(knows(&schema, &schema, &parts[1..]), "{field} is in no record");
    }
}

#[test]
fn every_field_that_is_written_is_one_of_ecs_with_its_type() {
    let (known, _) = ecs();
    let template = read("deploy/filebeat/template.json");
    let (_, written) = fields();
    for field in written {
        let kind = known.get(&field).unwrap_or_else(|| panic!("ECS has no field {field}"));
        let path = field.split('.').collect::<Vec<_>>().join(".properties.");
        let mapped = get(&template["template"]["mappings"]["properties"], &path);
        assert_eq!(mapped.unwrap_or(&Value::Null)["type"], kind.as_str(), "{field}");
    }
}

/// Paths of objects whose keys are data: each new key would be a new field of the index.
fn open_objects(root: &Value, schema: &Value, path: &str, out: &mut BTreeSet<String>) {
    for known in resolved(root, schema) {
        if known["additionalProperties"].is_object() || known["patternProperties"].is_object() {
            out.insert(path.to_owned());
            continue;
        }
        for (name, field) in known["properties"].as_object().into_iter().flatten() {
            open_objects(root, field, &format!("{path}.{name}"), out);
        }
        if let Some(items) = known.get("items") {
            open_objects(root, items, path, out);
        }
    }
}

const GEOFENCE: &str = "policies/geofence.toml";
const KINDS: [&str; 8] = ["flow", "session", "meeting", "alert", "stats", "software", "server", "inventory"];

#[test]
fn no_capture_can_grow_the_mapping() {
    let template = read("deploy/filebeat/template.json");
    for kind in KINDS {
        let Some(schema) = schema(kind) else { continue };
        let mut open = BTreeSet::new();
        open_objects(&schema, &schema, &format!("meetscope.{kind}"), &mut open);
        for path in open {
            let mapped = path.replace('.', ".properties.");
            let mapped = get(&template["template"]["mappings"]["properties"], &mapped);
            assert_eq!(mapped.unwrap_or(&Value::Null)["type"], "flattened", "{path}");
        }
    }
}

// --- Documents against the template.

fn fits(kind: &str, value: &Value) -> bool {
    if let Value::Array(list) = value {
        return list.iter().all(|entry| fits(kind, entry));
    }
    match kind {
        "ip" => value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        "long" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "date" => value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')),
        "keyword" | "match_only_text" => value.is_string(),
        "flattened" | "nested" => value.is_object(),
        _ => false,
    }
}

/// Checks mapped fields; notes the kind of each field that Elasticsearch would map by the first value it meets.
fn check(mapping: &Value, value: &Value, path: &str, dynamic: &mut BTreeMap<String, &'static str>) {
    if value.is_null() {
        return;
    }
    if let Some(kind) = mapping["type"].as_str() {
        assert!(fits(kind, value), "{path}: {value} is no {kind}");
        if kind != "nested" {
            return;
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                check(&mapping["properties"][name], field, &path, dynamic);
            }
        }
        Value::Array(list) => list.iter().for_each(|entry| check(mapping, entry, path, dynamic)),
        simple => {
            let kind = match simple {
                Value::Bool(_) => "boolean",
                Value::String(_) => "keyword",
                Value::Number(number) if number.is_f64() => "float",
                _ => "long",
            };
            let held = dynamic.entry(path.to_owned()).or_insert(kind);
            assert_eq!(*held, kind, "{path} has two types in one index");
        }
    }
}

fn meetscope(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_meetscope"))
        .current_dir(root())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn documents_of_real_records_fit_the_template_and_the_values_of_ecs() {
    let mappings = read("deploy/filebeat/template.json")["template"]["mappings"].clone();
    let (_, allowed) = ecs();
    let mut dynamic = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut captures: Vec<PathBuf> = fs::read_dir(root().join("captures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcapng"))
        .collect();
    captures.sort();
    for capture in &captures {
        let name = capture.to_str().unwrap();
        let inputs = [
            meetscope(&["replay", name, "--format", "ndjson"]),
            meetscope(&["servers", name, "--format", "ndjson"]),
            meetscope(&["replay", name, "--format", "ndjson", "--records", "alert", "--policy", GEOFENCE]),
        ];
        for record in inputs.concat() {
            let document = ingested(&record);
            check(&mappings, &document, "", &mut dynamic);
            for (field, values) in &allowed {
                let found = match get(&document, field) {
                    Some(Value::Array(list)) => list.clone(),
                    other => other.cloned().into_iter().collect(),
                };
                assert!(
                    found.iter().all(|value| values.iter().any(|known| value == known)),
                    "{field}: {found:?}"
                );
            }
            assert_eq!(get(&document, "ecs.version").unwrap(), "9.4.0");
            assert!(get(&document, "@timestamp").is_some() || record["timestamp"].is_null());
            seen.insert(get(&document, "event.dataset").unwrap().to_string());
        }
    }
    assert_eq!(seen.len(), KINDS.len(), "{seen:?}");
    let fields = dynamic.len();
    assert!(fields < 1000, "{fields} fields; the template allows 2000, objects among them");
}

#[test]
fn an_alert_that_fired_is_one_in_ecs() {
    let alerts = meetscope(&[
        "replay",
        "captures/zoom-beijing-2020.pcapng",
        "--format",
        "ndjson",
        "--records",
        "alert",
        "--policy",
        GEOFENCE,
    ]);
    let fired = alerts.iter().find(|alert| alert["fired"] == true).unwrap();
    let document = ingested(fired);
    assert_eq!(document["event"]["kind"], "alert");
    assert_eq!(document["event"]["category"], json!(["network", "intrusion_detection"]));
    assert_eq!(document["rule"]["name"], fired["rule"]);
    assert_eq!(document["rule"]["ruleset"], GEOFENCE);
    assert_eq!((&document["message"], &document["source"]["ip"]), (&fired["text"], &fired["src_ip"]));
    for alert in alerts.iter().filter(|alert| alert["fired"] == false) {
        assert_eq!(ingested(alert)["event"]["kind"], "event");
    }
}

#[test]
fn a_flow_and_a_session_have_their_places() {
    let records = meetscope(&["replay", "captures/zoom-beijing-2020.pcapng", "--format", "ndjson"]);
    let of = |kind: &'static str| records.iter().filter(move |record| record["event_type"] == kind);
    let flow = of("flow").find(|flow| flow["dest_ip"] == "52.81.151.250").unwrap();
    let document = ingested(flow);
    assert_eq!(document["@timestamp"].as_str().unwrap()[..19], flow["timestamp"].as_str().unwrap()[..19]);
    assert_eq!(
        document["destination"],
        json!({
            "ip": "52.81.151.250", "port": 443, "bytes": flow["flow"]["bytes_toclient"], "packets": flow["flow"]["pkts_toclient"]
        })
    );
    assert_eq!(document["tls"]["client"]["server_name"], "zoomcn5281151250zc.zoom.us");
    assert_eq!(
        (&document["tls"]["version"], &document["tls"]["version_protocol"]),
        (&"1.2".into(), &"tls".into())
    );
    assert_eq!(document["network"]["community_id"], flow["community_id"]);
    assert_eq!(document["network"]["transport"], "tcp");
    assert_eq!(document["event"]["type"], json!(["connection"]));
    let session = ingested(of("session").next().unwrap());
    assert_eq!(session["source"]["geo"]["country_iso_code"], "CA");
    assert!(session["related"]["ip"].as_array().unwrap().contains(&"52.81.151.250".into()));
    assert_eq!(session["meetscope"]["session"]["findings"][0]["id"], "key_holder_abroad");
}
