//! All sessions in a table, one line each: what a reader of many needs before any page.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;

use super::super::record::{SessionRecord, Severity};
use super::super::time;
use super::page::{Align, Cell, Page, Tone, dim, plain};
use super::summary::app_word;
use crate::keys::{CouldHold, Method};

/// Sessions listed; each has a page all the same.
const ROWS: usize = 60;
/// Countries named of those in which holders are placed.
const COUNTRIES: usize = 4;

/// Writes the table where there is more than one session, those with most grave findings first.
pub(super) fn write(page: &mut Page<'_>, sessions: &[SessionRecord]) -> io::Result<()> {
    let mut sessions: Vec<&SessionRecord> = sessions.iter().collect();
    if sessions.len() < 2 {
        return Ok(());
    }
    sessions.sort_by_key(|record| {
        Reverse(record.findings.iter().filter(|found| found.severity == Severity::High).count())
    });
    // Media that is not encrypted has no key: where there is such beside other, each cell says which is meant.
    let plain = sessions.iter().filter(|record| is_plain(record)).count();
    let (able, is_mixed) = match plain {
        0 => ("could hold the key", false),
        all if all == sessions.len() => ("could read the media", false),
        _ => ("could hold the key, or read", true),
    };
    let rows: Vec<Vec<Cell>> = sessions.iter().take(ROWS).map(|record| row(record, is_mixed)).collect();
    let head = [
        ("session", Align::Left),
        ("app", Align::Left),
        ("endpoint", Align::Left),
        ("begun (UTC)", Align::Left),
        ("length", Align::Right),
        (able, Align::Wrap),
        ("what stands out", Align::Wrap),
    ];
    page.blank()?;
    page.table(0, &head, &rows)?;
    let more = sessions.len().saturating_sub(ROWS);
    if more > 0 {
        page.line(0, &[dim(format!("and {more} more, each with a page below"))])?;
    }
    Ok(())
}

fn row(record: &SessionRecord, is_mixed: bool) -> Vec<Cell> {
    let grave: BTreeSet<&str> = record
        .findings
        .iter()
        .filter(|found| found.severity == Severity::High)
        .map(|found| found.id)
        .collect();
    let notices = record.findings.iter().filter(|found| found.severity != Severity::High).count();
    let mut words: Vec<String> = grave.iter().map(|id| id.replace('_', " ")).collect();
    if notices > 0 {
        words.push(format!("{notices} {}", if notices == 1 { "notice" } else { "notices" }));
    }
    let tone = if grave.is_empty() { Tone::Plain } else { Tone::Alarm };
    let begun = time::plain_of(&record.start);
    vec![
        plain(record.session_id.clone()),
        plain(app_word(record.app.as_deref())),
        plain(record.endpoint.ip.clone()),
        plain(begun.get(..16).unwrap_or(&begun)),
        plain(time::length_of(record.duration_s)),
        plain(if is_mixed && is_plain(record) {
            format!("read: {}", holders(record))
        } else {
            holders(record)
        }),
        (tone, words.join(", ")),
    ]
}

/// True where media goes unencrypted: there is no key then.
fn is_plain(record: &SessionRecord) -> bool {
    record.keys.method == Method::None
}

/// `could hold the key: CN, US`; of media that has no key, `could read the media: DE`.
pub(super) fn able_words(record: &SessionRecord) -> String {
    let what = if is_plain(record) { "could read the media" } else { "could hold the key" };
    format!("{what}: {}", holders(record))
}

/// `CN, US` for those that could hold the key or read the media, or that it could not be told.
fn holders(record: &SessionRecord) -> String {
    let all: Vec<_> = record.keys.holders.iter().filter(|holder| record.is_third(holder)).collect();
    let able: Vec<_> = all.iter().filter(|holder| holder.could_hold == CouldHold::Yes).collect();
    if able.is_empty() {
        let unknown = all.is_empty() || all.iter().any(|holder| holder.could_hold == CouldHold::Unknown);
        return if unknown { "not determinable" } else { "none of those seen" }.to_owned();
    }
    let mut codes: Vec<&str> = Vec::new();
    for holder in able {
        let code = holder.place.located_in.country.as_ref().map_or("?", |country| country.code());
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let more = codes.len().saturating_sub(COUNTRIES);
    let named = codes.iter().take(COUNTRIES).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}
