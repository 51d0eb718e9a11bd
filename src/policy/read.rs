//! Tables of a policy file, read key by key. In: the TOML tree with its spans. Out: values, and a fault for each thing that is not
//! as expected. A key that nobody asks for is a fault with the nearest of those that were asked for.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Faults, Source, quoted};
use super::words::{Word, nearest};

/// A file while it is read.
pub(super) struct Context<'f> {
    pub(super) source: &'f Source<'f>,
    pub(super) faults: &'f RefCell<Faults>,
}

/// A string, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Text<'f> {
    pub(super) text: &'f str,
    pub(super) at: Range<usize>,
}

impl Context<'_> {
    pub(super) fn fault(&self, at: &Range<usize>, reason: impl Into<String>) {
        self.faults.borrow_mut().add(self.source, at, reason, None);
    }

    /// A fault in a word, with the nearest of those that may stand there.
    pub(super) fn misspelt<'k>(
        &self,
        at: &Range<usize>,
        reason: impl Into<String>,
        written: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let mut faults = self.faults.borrow_mut();
        let meant = if faults.is_full() { None } else { nearest(written, known) };
        faults.add(self.source, at, reason, meant);
    }

    /// The same for a key of the file itself: all but the version are written in two brackets.
    fn misspelt_table<'k>(
        &self,
        at: &Range<usize>,
        reason: String,
        written: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let mut faults = self.faults.borrow_mut();
        let meant = if faults.is_full() { None } else { nearest(written, known) };
        let meant = meant.map(|word| match word {
            "schema_version" => word.to_owned(),
            table => format!("[[{table}]]"),
        });
        faults.add(self.source, at, reason, meant.as_deref());
    }

    /// The value of a word.
    pub(super) fn word<T: Copy>(&self, text: &Text<'_>, what: &str, words: &[Word<T>]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text.text);
        if found.is_none() {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let reason = format!("{} is no {what}; expected {}", quoted(text.text), all.join(", "));
            self.misspelt(&text.at, reason, text.text, all);
        }
        found.map(|(_, value)| *value)
    }
}

/// A table.
pub(super) struct Table<'f> {
    entries: &'f DeTable<'f>,
    /// Where it begins, for what it lacks.
    pub(super) at: Range<usize>,
    /// What it is, for messages: `[[rule]]`.
    what: String,
    asked: Vec<&'static str>,
}

impl<'f> Table<'f> {
    pub(super) fn new(entries: &'f DeTable<'f>, at: Range<usize>, what: impl Into<String>) -> Self {
        Self { entries, at, what: what.into(), asked: Vec::new() }
    }

    /// True where it has the key; does not ask for it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.keys().any(|known| known.get_ref() == key)
    }

    fn get(&mut self, key: &'static str) -> Option<&'f Spanned<DeValue<'f>>> {
        self.asked.push(key);
        self.entries.iter().find(|(known, _)| known.get_ref() == key).map(|(_, value)| value)
    }

    fn wrong(&self, context: &Context<'_>, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = value.get_ref().type_str();
        context.fault(&value.span(), format!("{}: {key}: expected {expected}, found {found}", self.what));
    }

    /// A string that is not empty and has no control character.
    pub(super) fn text(&mut self, context: &Context<'_>, key: &'static str) -> Option<Text<'f>> {
        let value = self.get(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(context, key, value, "a string");
        }
        self.sound(context, key, Text { text: text?, at: value.span() })
    }

    fn sound(&self, context: &Context<'_>, key: &str, text: Text<'f>) -> Option<Text<'f>> {
        const LONGEST: usize = 1000;
        let fault = if text.text.trim().is_empty() {
            "expected a string that is not empty"
        } else if text.text.chars().any(char::is_control) {
            "expected a string in one line, without control characters"
        } else if text.text.len() > LONGEST {
            "expected a string of at most 1000 bytes"
        } else {
            return Some(text);
        };
        context.fault(&text.at, format!("{}: {key}: {fault}", self.what));
        None
    }

    /// [`text`](Self::text), which may not be missing.
    pub(super) fn needed(&mut self, context: &Context<'_>, key: &'static str) -> Option<Text<'f>> {
        self.need(context, key);
        self.text(context, key)
    }

    fn need(&self, context: &Context<'_>, key: &str) {
        if !self.has(key) {
            context.fault(&self.at, format!("{}: `{key}` is missing", self.what));
        }
    }

    /// A list of strings; none where there is no such key.
    pub(super) fn texts(&mut self, context: &Context<'_>, key: &'static str) -> Option<Vec<Text<'f>>> {
        let value = self.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(context, key, value, "a list of strings");
            return Some(Vec::new());
        };
        if items.is_empty() {
            context.fault(&value.span(), format!("{}: {key}: the list is empty", self.what));
        }
        let mut out = Vec::new();
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => out.extend(self.sound(context, key, Text { text, at: item.span() })),
                None => self.wrong(context, key, item, "a string"),
            }
        }
        Some(out)
    }

    /// [`texts`](Self::texts), which may not be missing.
    pub(super) fn needed_texts(&mut self, context: &Context<'_>, key: &'static str) -> Vec<Text<'f>> {
        self.need(context, key);
        self.texts(context, key).unwrap_or_default()
    }

    pub(super) fn flag(&mut self, context: &Context<'_>, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(context, key, value, "true or false");
        }
        flag
    }

    /// A number from 0 to 1.
    pub(super) fn share(&mut self, context: &Context<'_>, key: &'static str) -> Option<f32> {
        let value = self.get(key)?;
        let written = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f32>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f32>().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        let share = written.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.wrong(context, key, value, "a number from 0 to 1");
        }
        share
    }

    /// An integer that has to be `only`.
    pub(super) fn version(&mut self, context: &Context<'_>, key: &'static str, only: &str) {
        let Some(value) = self.get(key) else { return };
        if value.get_ref().as_integer().is_none_or(|number| number.as_str() != only) {
            context
                .fault(&value.span(), format!("{key}: expected {only}, the version that this program knows"));
        }
    }

    /// A day: a TOML date, or the same in a string. Its year, month and day as they were written.
    pub(super) fn day(
        &mut self,
        context: &Context<'_>,
        key: &'static str,
    ) -> Option<(jiff::civil::Date, Range<usize>)> {
        self.need(context, key);
        let value = self.get(key)?;
        let day = match value.get_ref() {
            DeValue::String(text) => text.parse().ok(),
            DeValue::Datetime(time) if time.time.is_none() => time.date.and_then(|date| {
                let (year, month, day) = (
                    i16::try_from(date.year).ok()?,
                    i8::try_from(date.month).ok()?,
                    i8::try_from(date.day).ok()?,
                );
                jiff::civil::Date::new(year, month, day).ok()
            }),
            DeValue::Datetime(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        if day.is_none() {
            self.wrong(context, key, value, "a date such as 2027-01-31");
        }
        Some((day?, value.span()))
    }

    /// A table inside of this one.
    pub(super) fn table(&mut self, context: &Context<'_>, key: &'static str) -> Option<Self> {
        let value = self.get(key)?;
        let Some(entries) = value.get_ref().as_table() else {
            self.wrong(context, key, value, "a table");
            return None;
        };
        Some(Self::new(entries, value.span(), format!("{} {key}", self.what)))
    }

    /// The tables `[[key]]`.
    pub(super) fn tables(&mut self, context: &Context<'_>, key: &'static str, most: usize) -> Vec<Self> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            context.fault(&value.span(), format!("`{key}` is written [[{key}]], with two brackets"));
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(_) if out.len() >= most => {
                    context.fault(&item.span(), format!("more than {most} [[{key}]]"));
                    break;
                }
                Some(entries) => out.push(Self::new(entries, item.span(), format!("[[{key}]]"))),
                None => context.fault(&item.span(), format!("expected a table [[{key}]]")),
            }
        }
        out
    }

    /// True where a key that nobody asked for was meant as one of `keys`.
    pub(super) fn misspells(&self, keys: &[&str]) -> bool {
        let strange = self.entries.keys().map(|key| key.get_ref().as_ref());
        let mut meant = strange
            .filter(|key: &&str| !self.asked.contains(key))
            .filter_map(|key| nearest(key, self.asked.iter().copied()));
        meant.any(|known| keys.contains(&known))
    }

    /// Tells of keys that nobody asked for.
    pub(super) fn finish(self, context: &Context<'_>) {
        #[cfg(test)]
        asked::note(&self.what, &self.asked);
        for (key, _) in self.entries {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                let place = if self.what.is_empty() { String::new() } else { format!("{}: ", self.what) };
                let reason = format!("{place}no such key {}", quoted(name));
                let known = self.asked.iter().copied();
                if self.what.is_empty() {
                    context.misspelt_table(&key.span(), reason, name, known);
                } else {
                    context.misspelt(&key.span(), reason, name, known);
                }
            }
        }
    }
}

/// Which keys were asked for in which table, for the test that compares them with the schema.
#[cfg(test)]
pub(super) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local!(static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) });

    pub(super) fn note(table: &str, keys: &[&str]) {
        ASKED.with_borrow_mut(|all| {
            all.extend(keys.iter().map(|key| format!("{table} {key}").trim().to_owned()));
        });
    }

    pub(in super::super) fn take() -> BTreeSet<String> {
        ASKED.take()
    }
}
