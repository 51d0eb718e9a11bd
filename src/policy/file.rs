//! Policy files. In: names and texts of files that make one policy. Out: a [`Policy`], or everything that is wrong with them, each
//! fault with file, line, column and the nearest right name.
//!
//! Sites, groups, rules and exceptions may stand in any of the files: one file of sites serves many files of rules.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::DeTable;

use super::demand::{Demand, HolderDemand, ServerKind};
use super::error::{Faults, PolicyErrors, Source, quoted};
use super::exception::Exception;
use super::place::{Places, Term};
use super::read::{Context, Table, Text};
use super::subject::Known;
use super::value::{code_of, country, end_of, has_one, keyings, nets, server, suffix};
use super::words::{
    CIPHER_WORDS, CipherWord, FACTS, Fact, OPERATOR_HOME, PARTICIPANTS, SEVERITIES, UNKNOWNS,
};
use super::{Policy, Rule, When};
use crate::geo::Country;

/// Bytes of one file at most.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Sites, groups, rules and exceptions at most, each, of one file.
pub const MAX_ENTRIES: usize = 4096;

/// How sure it has to be that a server could hold the key, where the rule does not say.
const AT_LEAST: f32 = 0.5;
/// The keys of a rule that demand something.
const DEMANDS: [&str; 9] =
    ["key_holders", "media", "signalling", "relays", "servers", "keying", "cipher", "end_to_end", "app"];
/// What counts as a place, where the rule does not say.
const DEFAULT_FACTS: [Fact; 1] = [Fact::LocatedIn];

/// Reads the files of a policy, each a name and a text.
///
/// # Errors
/// All that is wrong with them, see [`PolicyErrors`].
pub fn parse(files: &[(&str, &str)], known: &Known<'_>) -> Result<Policy, PolicyErrors> {
    let faults = RefCell::new(Faults::default());
    let mut parsed: Vec<(Source<'_>, Spanned<DeTable<'_>>)> = Vec::new();
    for (file, text) in files {
        let source = Source::new(file, text);
        if text.len() > MAX_FILE_BYTES {
            faults.borrow_mut().add(
                &source,
                &(0..0),
                format!("expected at most {MAX_FILE_BYTES} bytes"),
                None,
            );
            continue;
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let at = error.span().unwrap_or(0..0);
            faults.borrow_mut().add(&source, &at, error.message().replace('\n', ", "), None);
        }
        parsed.push((source, table));
    }
    if faults.borrow().is_empty() {
        let mut reading = Reading { known, policy: Policy::default(), lines: BTreeMap::new() };
        let mut tops = Vec::new();
        for (source, table) in &parsed {
            let context = Context { source, faults: &faults };
            let mut top = Table::new(table.get_ref(), table.span(), "");
            reading.grounds(&context, &mut top);
            tops.push((context, top));
        }
        // A rule may name what a later file defines, so that all definitions are read first; exceptions name rules.
        for (context, top) in &mut tops {
            reading.rules(context, top);
        }
        for (context, mut top) in tops {
            reading.exceptions(&context, &mut top);
            top.finish(&context);
        }
        if faults.borrow().is_empty() {
            return Ok(reading.policy);
        }
    }
    Err(faults.into_inner().finish(files).unwrap_or_default())
}

struct Reading<'k> {
    known: &'k Known<'k>,
    policy: Policy,
    /// Where each rule stands.
    lines: BTreeMap<String, String>,
}

impl Reading<'_> {
    /// Sites and groups.
    fn grounds(&mut self, context: &Context<'_>, top: &mut Table<'_>) {
        top.version(context, "schema_version", "1");
        for mut site in top.tables(context, "site", MAX_ENTRIES) {
            self.site(context, &mut site);
            site.finish(context);
        }
        for mut group in top.tables(context, "group", MAX_ENTRIES) {
            self.group(context, &mut group);
            group.finish(context);
        }
    }

    fn site(&mut self, context: &Context<'_>, table: &mut Table<'_>) {
        let name = table.needed(context, "name");
        let country = table.needed(context, "country").and_then(|code| country(context, &code));
        let subnets = nets(context, &table.needed_texts(context, "subnets"));
        let (Some(name), Some(country)) = (name, country) else { return };
        for (net, at) in &subnets {
            if !self.policy.sites.add(*net, country) {
                context.fault(at, format!("[[site]]: {net} has another country in a site before this one"));
            }
        }
        self.policy
            .places
            .entry(name.text.to_owned())
            .or_default()
            .extend(subnets.iter().map(|(net, _)| *net));
    }

    fn group(&mut self, context: &Context<'_>, table: &mut Table<'_>) {
        let name = table.needed(context, "name");
        let countries: BTreeSet<Country> = table
            .needed_texts(context, "countries")
            .iter()
            .filter_map(|code| country(context, code))
            .collect();
        let Some(name) = name else { return };
        let lower = name.text.to_ascii_lowercase();
        let word = lower.as_str();
        let taken = if self.known.groups.contains(&word) {
            "is built in"
        } else if [PARTICIPANTS, OPERATOR_HOME].contains(&word) {
            "is a word of the language"
        } else if word.len() == 2 {
            "could be taken for a country; expected three letters or more"
        } else if self.policy.groups.contains_key(word) {
            "was defined before"
        } else {
            self.policy.groups.insert(word.to_owned(), countries);
            return;
        };
        context.fault(&name.at, format!("[[group]]: {} {taken}", quoted(name.text)));
    }

    fn rules(&mut self, context: &Context<'_>, top: &mut Table<'_>) {
        for mut table in top.tables(context, "rule", MAX_ENTRIES) {
            let rule = self.rule(context, &mut table);
            table.finish(context);
            self.policy.rules.extend(rule);
        }
    }

    fn rule(&mut self, context: &Context<'_>, table: &mut Table<'_>) -> Option<Rule> {
        let id = table.needed(context, "id").filter(|id| self.is_new_id(context, id));
        let title = table.text(context, "title");
        let category = table.text(context, "category");
        let severity =
            table.text(context, "severity").map(|text| context.word(&text, "severity", SEVERITIES));
        let unknown =
            table.text(context, "unknown").map(|text| context.word(&text, "answer to it", UNKNOWNS));
        let when = match table.table(context, "when") {
            Some(mut when) => {
                let read = self.when(context, &mut when);
                when.finish(context);
                read
            }
            None => When::default(),
        };
        let demands = self.demands(context, table);
        // A demand that is misspelt is told as that alone.
        if demands.is_none() && !table.misspells(&DEMANDS) {
            let keys = DEMANDS.join(", ");
            context.fault(&table.at, format!("[[rule]]: the rule demands nothing; expected one of {keys}"));
        }
        let id = id?.text.to_owned();
        Some(Rule {
            file: context.source.file.to_owned(),
            line: context.source.position(table.at.start).0,
            title: title.map_or_else(|| id.clone(), |title| title.text.to_owned()),
            category: category.map_or_else(|| "policy".to_owned(), |category| category.text.to_owned()),
            id,
            severity: severity.flatten().unwrap_or_default(),
            unknown: unknown.flatten().unwrap_or_default(),
            when,
            demands: demands.unwrap_or_default(),
        })
    }

    fn is_new_id(&mut self, context: &Context<'_>, id: &Text<'_>) -> bool {
        const LONGEST: usize = 64;
        let sound = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
        };
        if id.text.len() > LONGEST || !id.text.bytes().all(sound) {
            let expected = "expected at most 64 lower-case letters, digits, `-`, `_` and `.`";
            context.fault(&id.at, format!("[[rule]]: id: {expected}, found {}", quoted(id.text)));
            return false;
        }
        if let Some(before) = self.lines.get(id.text) {
            context.fault(&id.at, format!("[[rule]]: the id `{}` stands at {before} too", id.text));
            return false;
        }
        let line = context.source.position(id.at.start).0;
        self.lines.insert(id.text.to_owned(), format!("{}:{line}", context.source.file));
        true
    }

    fn when(&self, context: &Context<'_>, table: &mut Table<'_>) -> When {
        let apps = |texts: Option<Vec<Text<'_>>>| self.apps(context, &texts.unwrap_or_default());
        let mut when = When {
            apps: apps(table.texts(context, "apps")),
            not_apps: apps(table.texts(context, "not_apps")),
            ..When::default()
        };
        for (subnets, sites, out) in
            [("subnets", "sites", &mut when.nets), ("not_subnets", "not_sites", &mut when.not_nets)]
        {
            let texts = table.texts(context, subnets).unwrap_or_default();
            out.extend(nets(context, &texts).into_iter().map(|(net, _)| net));
            for name in table.texts(context, sites).unwrap_or_default() {
                if let Some(nets) = self.policy.places.get(name.text) {
                    out.extend(nets);
                } else {
                    let known = self.policy.places.keys().map(String::as_str);
                    let reason = format!("no [[site]] has the name {}", quoted(name.text));
                    context.misspelt(&name.at, reason, name.text, known);
                }
            }
        }
        when
    }

    /// Apps by the names that records use.
    fn apps(&self, context: &Context<'_>, texts: &[Text<'_>]) -> Vec<String> {
        let mut out = Vec::new();
        for text in texts {
            let is = |(app, id): &&(&str, &str)| *app == text.text || *id == text.text;
            if let Some((app, _)) = self.known.apps.iter().find(is) {
                out.push((*app).to_owned());
            } else {
                let known = self.known.apps.iter().map(|(app, _)| *app);
                context.misspelt(
                    &text.at,
                    format!("no app is called {}", quoted(text.text)),
                    text.text,
                    known,
                );
            }
        }
        out
    }

    /// None where the rule has no key of a demand.
    fn demands(&self, context: &Context<'_>, rule: &mut Table<'_>) -> Option<Vec<Demand>> {
        let mut demands = Vec::new();
        let mut any = false;
        if let Some(mut table) = rule.table(context, "key_holders") {
            any = true;
            let places = self.places(context, &mut table);
            let at_least = table.share(context, "at_least").unwrap_or(AT_LEAST);
            let count_unknown = table.flag(context, "count_unknown").unwrap_or(false);
            table.finish(context);
            demands.push(Demand::Holders(HolderDemand { places, at_least, count_unknown }));
        }
        for kind in [ServerKind::Media, ServerKind::Signalling, ServerKind::Relay, ServerKind::Any] {
            if let Some(mut table) = rule.table(context, kind.key()) {
                any = true;
                let places = self.places(context, &mut table);
                table.finish(context);
                demands.push(Demand::Servers(kind, places));
            }
        }
        if let Some(mut table) = rule.table(context, "keying") {
            any = true;
            let words = |texts: Option<Vec<Text<'_>>>| keyings(context, &texts.unwrap_or_default());
            let allow = words(table.texts(context, "allow"));
            let deny = words(table.texts(context, "deny"));
            has_one(context, &table, &["allow", "deny"]);
            table.finish(context);
            demands.push(Demand::Keying { allow, deny });
        }
        if let Some(table) = rule.table(context, "cipher") {
            any = true;
            demands.extend(denied_ciphers(context, table).map(Demand::Cipher));
        }
        if let Some(demanded) = rule.flag(context, "end_to_end") {
            any = true;
            demands.extend(demanded.then_some(Demand::EndToEnd));
        }
        if let Some(mut table) = rule.table(context, "app") {
            any = true;
            let allow = table.texts(context, "allow").unwrap_or_default();
            let deny = table.texts(context, "deny").unwrap_or_default();
            let deny_unknown = table.flag(context, "deny_unknown").unwrap_or(false);
            has_one(context, &table, &["allow", "deny", "deny_unknown"]);
            table.finish(context);
            let (allow, deny) = (self.apps(context, &allow), self.apps(context, &deny));
            demands.push(Demand::App { allow, deny, deny_unknown });
        }
        any.then_some(demands)
    }

    fn places(&self, context: &Context<'_>, table: &mut Table<'_>) -> Places {
        let allow = table.texts(context, "allow").unwrap_or_default();
        let deny = table.texts(context, "deny").unwrap_or_default();
        let basis = table.texts(context, "basis");
        let names = |texts: Option<Vec<Text<'_>>>| -> Vec<String> {
            texts.unwrap_or_default().iter().filter_map(|text| suffix(context, text)).collect()
        };
        let allow_names = names(table.texts(context, "allow_names"));
        let deny_names = names(table.texts(context, "deny_names"));
        has_one(context, table, &["allow", "deny", "allow_names", "deny_names"]);
        let terms = |texts: &[Text<'_>]| texts.iter().filter_map(|text| self.term(context, text)).collect();
        let mut facts: Vec<Fact> = match &basis {
            Some(texts) => texts.iter().filter_map(|text| context.word(text, "basis", FACTS)).collect(),
            None => DEFAULT_FACTS.to_vec(),
        };
        if facts.contains(&Fact::Any) {
            facts = vec![Fact::Any];
        }
        facts.sort_unstable();
        facts.dedup();
        Places { allow: terms(&allow), deny: terms(&deny), facts, allow_names, deny_names }
    }

    /// A country, a group, or one of the two words of the language.
    fn term(&self, context: &Context<'_>, text: &Text<'_>) -> Option<Term> {
        let word = text.text;
        match word {
            PARTICIPANTS => return Some(Term::Participants),
            OPERATOR_HOME => return Some(Term::OperatorHome),
            _ => {}
        }
        // Countries are upper case in lists; so may groups be.
        let group = word.to_ascii_lowercase();
        if self.known.groups.contains(&group.as_str()) || self.policy.groups.contains_key(&group) {
            return Some(Term::Group(group));
        }
        if let Some(found) = Country::parse(word).filter(|found| found.name().is_some()) {
            return Some(Term::Country(found));
        }
        let reason = format!(
            "{} is no country code (ISO 3166-1, such as CA), no group, and neither `{PARTICIPANTS}` nor `{OPERATOR_HOME}`",
            quoted(word)
        );
        let own = self.policy.groups.keys().map(String::as_str);
        let known = self.known.groups.iter().copied().chain(own).chain([PARTICIPANTS, OPERATOR_HOME]);
        let code = code_of(word);
        match &code {
            Some(code) => context.faults.borrow_mut().add(context.source, &text.at, reason, Some(code)),
            None => context.misspelt(&text.at, reason, word, known),
        }
        None
    }

    fn exceptions(&mut self, context: &Context<'_>, top: &mut Table<'_>) {
        for mut table in top.tables(context, "exception", MAX_ENTRIES) {
            let exception = self.exception(context, &mut table);
            table.finish(context);
            self.policy.exceptions.extend(exception);
        }
    }

    fn exception(&self, context: &Context<'_>, table: &mut Table<'_>) -> Option<Exception> {
        let mut rules = Vec::new();
        for id in table.needed_texts(context, "rules") {
            if self.lines.contains_key(id.text) {
                rules.push(id.text.to_owned());
            } else {
                let known = self.lines.keys().map(String::as_str);
                context.misspelt(
                    &id.at,
                    format!("no [[rule]] has the id {}", quoted(id.text)),
                    id.text,
                    known,
                );
            }
        }
        let when = self.when(context, table);
        let servers = table.texts(context, "servers").unwrap_or_default();
        let servers = servers.iter().filter_map(|text| server(context, text)).collect();
        let until = table.day(context, "until").and_then(|(day, at)| {
            let ends = end_of(day);
            if ends.is_none() {
                context.fault(&at, "[[exception]]: until: the date is beyond what packets can have");
            }
            Some((day, ends?))
        });
        let reason = table.needed(context, "reason")?.text.to_owned();
        let (day, ends) = until?;
        Some(Exception {
            file: context.source.file.to_owned(),
            line: context.source.position(table.at.start).0,
            rules,
            reason,
            until: day.to_string(),
            ends,
            when,
            servers,
        })
    }
}

/// What ciphertext may not show. Nothing can be allowed: what is not denied is fine.
fn denied_ciphers(context: &Context<'_>, mut table: Table<'_>) -> Option<Vec<CipherWord>> {
    if !table.has("deny") {
        let words: Vec<&str> = CIPHER_WORDS.iter().map(|(word, _)| *word).collect();
        let reason = format!("[[rule]] cipher: expected `deny`, a list of {}", words.join(", "));
        context.fault(&table.at, reason);
        return None;
    }
    let texts = table.texts(context, "deny").unwrap_or_default();
    let mut words: Vec<CipherWord> = texts
        .iter()
        .filter_map(|text| context.word(text, "cipher that can be denied", CIPHER_WORDS))
        .collect();
    words.sort_unstable();
    words.dedup();
    table.finish(context);
    Some(words)
}
