//! The schema of policy files, for editors: the shape of the language as types, written to `docs/schema/policy.schema.json`.
#![expect(dead_code, reason = "only their schema is of interest")]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::super::words::{CipherWord, Fact};
use super::super::{KEYINGS, Severity, Unknown};
use crate::geo::Jurisdictions;

/// Rules for the meetings that meetscope sees: see docs/POLICY.md. Files may be split; sites, groups, rules and exceptions of all
/// files given make one policy.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "policy")]
struct File {
    /// Version of the language; 1.
    schema_version: Option<u32>,
    /// Where your own subnets are.
    site: Option<Vec<Site>>,
    /// Groups of countries of your own.
    group: Option<Vec<Group>>,
    /// The rules.
    rule: Option<Vec<Rule>>,
    /// Exceptions to rules.
    exception: Option<Vec<Exception>>,
}

/// A place of your own network.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Site {
    /// Its name, for `sites` in rules. Several tables may share one.
    name: String,
    /// The country that it is in.
    country: CountryCode,
    /// Its subnets or addresses; of several that hold an address the longest decides.
    subnets: Vec<Subnet>,
}

/// A group of countries of your own.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Group {
    /// Its name, three letters or more, for `allow` and `deny`.
    name: String,
    /// Its members.
    countries: Vec<CountryCode>,
}

/// A rule. It is broken where one of its demands is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Rule {
    /// Identifier, unique over all files.
    #[schemars(regex(pattern = r"^[a-z0-9._-]{1,64}$"))]
    id: String,
    /// A sentence for people; the identifier where it is left out.
    title: Option<String>,
    /// A word that alerts can be sorted by; `policy` where it is left out.
    category: Option<String>,
    /// How grave it is when the rule is broken; `high` where it is left out.
    severity: Option<Severity>,
    /// What happens where it is not determinable whether the rule is kept; `notice` where it is left out.
    unknown: Option<Unknown>,
    /// Which sessions the rule is about; all where it is left out.
    when: Option<When>,
    /// Of every server that could hold the media key.
    key_holders: Option<KeyHolders>,
    /// Of every media server.
    media: Option<Places>,
    /// Of every signalling server.
    signalling: Option<Places>,
    /// Of every TURN relay.
    relays: Option<Places>,
    /// Of every media server, signalling server and relay.
    servers: Option<Places>,
    /// How media keys may arise.
    keying: Option<KeyingWords>,
    /// What the ciphertext may not show.
    cipher: Option<Cipher>,
    /// True: nobody but the participants could hold the key.
    end_to_end: Option<bool>,
    /// Which apps may be used.
    app: Option<App>,
}

/// Which sessions; all that is given has to fit.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct When {
    /// Of these apps, as `meetscope providers list` names them.
    apps: Option<Vec<String>>,
    /// Not of these.
    not_apps: Option<Vec<String>>,
    /// Of endpoints in these subnets.
    subnets: Option<Vec<Subnet>>,
    /// Of endpoints in these sites.
    sites: Option<Vec<String>>,
    /// Not of endpoints in these subnets.
    not_subnets: Option<Vec<Subnet>>,
    /// Not of endpoints in these sites.
    not_sites: Option<Vec<String>>,
}

/// Where servers that could hold the media key may be.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct KeyHolders {
    /// Only here.
    allow: Option<Vec<Place>>,
    /// Not here; weighs more than `allow`.
    deny: Option<Vec<Place>>,
    /// Which facts count as the place of a server; `located_in` where it is left out.
    basis: Option<Vec<Fact>>,
    /// Ends of host names: only servers with such a name.
    allow_names: Option<Vec<String>>,
    /// Ends of host names: no server with such a name.
    deny_names: Option<Vec<String>>,
    /// How sure it has to be that a server could hold the key, 0 to 1; 0.5 where it is left out. Below, the rule is not
    /// determinable instead of broken.
    #[schemars(range(min = 0.0, max = 1.0))]
    at_least: Option<f32>,
    /// True: a server of which it is not determinable counts as if it could hold the key.
    count_unknown: Option<bool>,
}

/// Where servers may be, and what they may be called.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Places {
    /// Only here.
    allow: Option<Vec<Place>>,
    /// Not here; weighs more than `allow`.
    deny: Option<Vec<Place>>,
    /// Which facts count as the place of a server; `located_in` where it is left out.
    basis: Option<Vec<Fact>>,
    /// Ends of host names: only servers with such a name.
    allow_names: Option<Vec<String>>,
    /// Ends of host names: no server with such a name.
    deny_names: Option<Vec<String>>,
}

/// Ways in which media keys arise, as session records name them (`keys.method`).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct KeyingWords {
    /// Only these.
    allow: Option<Vec<Keying>>,
    /// Not these.
    deny: Option<Vec<Keying>>,
}

/// What the ciphertext may not show.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Cipher {
    /// Not these.
    deny: Vec<CipherWord>,
}

/// Which apps may be used.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct App {
    /// Only these.
    allow: Option<Vec<String>>,
    /// Not these.
    deny: Option<Vec<String>>,
    /// True: media that no known app claims breaks the rule.
    deny_unknown: Option<bool>,
}

/// An exception to rules, for a time and with a reason. What is given of apps, subnets, sites and servers has to fit.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Exception {
    /// Identifiers of the rules.
    rules: Vec<String>,
    /// For these apps.
    apps: Option<Vec<String>>,
    /// Not for these.
    not_apps: Option<Vec<String>>,
    /// For endpoints in these subnets.
    subnets: Option<Vec<Subnet>>,
    /// For endpoints in these sites.
    sites: Option<Vec<String>>,
    /// Not for endpoints in these subnets.
    not_subnets: Option<Vec<Subnet>>,
    /// Not for endpoints in these sites.
    not_sites: Option<Vec<String>>,
    /// For these servers: addresses, subnets, or ends of names.
    servers: Option<Vec<String>>,
    /// The last day, in UTC, by the time of the packets: a TOML date, or the same in a string.
    until: Day,
    /// Why it was made; alerts show it.
    reason: String,
}

macro_rules! text {
    ($name:ident, $schema:expr) => {
        struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

text!(
    CountryCode,
    json_schema!({
        "type": "string", "pattern": "^[A-Za-z]{2}$", "description": "ISO 3166-1 alpha-2 code of a country."
    })
);
text!(
    Subnet,
    json_schema!({
        "type": "string", "description": "A subnet such as 10.20.0.0/16 or 2001:db8::/32, or one address."
    })
);
text!(Day, json_schema!({ "type": "string", "format": "date" }));
text!(Keying, json_schema!({ "type": "string", "enum": KEYINGS }));
text!(Place, {
    let table = Jurisdictions::embedded().unwrap();
    let mut words: Vec<&str> = table.groups().iter().map(|group| group.id.as_str()).collect();
    words.extend(["participants", "operator_home"]);
    json_schema!({
        "description": "A country, a group that is built in or defined in a [[group]], the participants of the meeting, or the home of \
            the company that runs the service.",
        "anyOf": [
            { "type": "string", "enum": words },
            { "type": "string", "pattern": "^[A-Za-z]{2}$" },
            { "type": "string", "minLength": 3 },
        ]
    })
});

/// TOML has no null.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(kinds)) = fields.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = &kinds[..] {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [only] = &choices[..] {
                    let only = only.as_object().unwrap().clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = serde_json::to_value(settings.into_generator().into_root_schema_for::<File>()).unwrap();
    without_null(&mut schema);
    schema["title"] = "meetscope policy".into();
    schema
}

#[test]
fn the_committed_schema_is_that_of_the_language() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/policy.schema.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("MEETSCOPE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "policy.schema.json differs: run with MEETSCOPE_BLESS=1 and look at it");
}

/// `[[rule]] key_holders allow` and its like, for every key of the schema.
fn keys(root: &Value, schema: &Value, at: &str, out: &mut BTreeSet<String>) {
    let resolved = match schema["$ref"].as_str() {
        Some(name) => &root["$defs"][name.strip_prefix("#/$defs/").unwrap()],
        None => schema,
    };
    let Some(properties) = resolved["properties"].as_object() else { return };
    for (name, property) in properties {
        let path = format!("{at} {name}").trim().to_owned();
        out.insert(path.clone());
        if property["items"].get("$ref").is_some() {
            let item =
                &root["$defs"][property["items"]["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap()];
            if item.get("properties").is_some() {
                keys(root, item, &format!("[[{name}]]"), out);
            }
        } else {
            keys(root, property, &path, out);
        }
    }
}

/// The reader and the schema know the same keys: what the reader asked for in a file with every table is what the schema has.
#[test]
fn reader_and_schema_know_the_same_keys() {
    super::read(&[("all.toml", super::EVERYTHING)]).unwrap();
    let asked = super::super::read::asked::take();
    let root = schema();
    let mut known = BTreeSet::new();
    keys(&root, &root, "", &mut known);
    assert_eq!(asked, known);
    assert!(known.len() > 50, "{}", known.len());
}
