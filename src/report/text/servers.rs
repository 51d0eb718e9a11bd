//! The inventory for people: what there is in three lines, a table of groups, then a page for each group of two or
//! more servers. Long lists are cut, and say so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use super::super::record::{AnswerRecord, InventoryServerRecord, SoftwareRecord};
use super::super::{InventoryRecords, build};
use super::page::{Align, Cell, Page, Tone, dim, plain, shorten};
use super::summary::app_word;
use crate::geo::{Country, DatabaseKind};

/// Groups in the table; all of them with `all`.
const GROUPS: usize = 24;
/// Groups with a page of their own; all of them with `all`.
const PAGES: usize = 12;
/// Servers listed of a group; all of them with `all`.
const SERVERS: usize = 12;
/// Answers, certificates, networks listed of a group; records have all of them.
const LISTED: usize = 4;
/// Countries named in a table.
const COUNTRIES: usize = 4;
/// Columns of a name, over several lines of its cell.
const NAME: usize = 200;
/// Width of the labels at the left.
const LABEL: usize = 14;

pub(in super::super) fn write(page: &mut Page<'_>, records: &InventoryRecords, all: bool) -> io::Result<()> {
    summary(page, records)?;
    if records.software.is_empty() {
        return lone(page, records, all);
    }
    overview(page, records, all)?;
    let mut members: BTreeMap<&str, Vec<&InventoryServerRecord>> = BTreeMap::new();
    for server in &records.servers {
        if let Some(group) = &server.group {
            members.entry(group).or_default().push(server);
        }
    }
    let several: Vec<&SoftwareRecord> =
        records.software.iter().filter(|software| software.spread.servers > 1).collect();
    let shown = if all { several.len() } else { PAGES };
    for software in several.iter().take(shown) {
        let servers = members.remove(software.spread.group.as_str()).unwrap_or_default();
        group(page, software, servers, all)?;
    }
    cut(page, 0, several.len().saturating_sub(shown), "groups of several servers")?;
    lone(page, records, all)
}

/// `78 servers of 2 apps; 73 of them answer TLS in 3 ways`, and where they are placed.
fn summary(page: &mut Page<'_>, records: &InventoryRecords) -> io::Result<()> {
    let inventory = &records.inventory;
    let mut apps: Vec<(&String, &u64)> = inventory.apps.iter().collect();
    apps.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let names: Vec<String> =
        apps.iter().map(|(app, count)| format!("{} {count}", app_word(Some(app)))).collect();
    let head = match inventory.servers {
        0 => "No server of a known provider was seen.".to_owned(),
        servers => format!(
            "{servers} {}: {}.",
            if servers == 1 { "server" } else { "servers" },
            placed(&inventory.countries, inventory.unplaced, true)
        ),
    };
    page.paragraph(0, &(Tone::Title, head))?;
    if inventory.servers == 0 {
        return Ok(());
    }
    page.paragraph(0, &plain(format!("By app: {}.", names.join(", "))))?;
    let several = records.software.iter().filter(|software| software.spread.servers > 1).count();
    page.paragraph(
        0,
        &plain(format!(
            "{} of them showed how they answer TLS, which makes {} {}, {several} of more than one server.",
            inventory.grouped,
            inventory.groups,
            if inventory.groups == 1 { "group" } else { "groups" },
        )),
    )?;
    let located = inventory.databases.iter().filter(|known| known.kind != DatabaseKind::Asn);
    let databases: Vec<String> =
        located.map(|known| format!("{} of {}", known.name, known.build_date)).collect();
    page.paragraph(0, &dim(format!("Placed by {}: an opinion with a date.", databases.join(", "))))?;
    if inventory.evicted > 0 {
        let text = format!("{} servers were let go: there were too many to keep.", inventory.evicted);
        page.paragraph(0, &(Tone::Warn, text))?;
    }
    if !inventory.complete {
        page.paragraph(0, &(Tone::Warn, "INCOMPLETE: an input could not be read to its end".to_owned()))?;
    }
    Ok(())
}

/// `5 placed in CN (China), 68 in US (United States)`, the fewest first.
fn placed(countries: &BTreeMap<String, u64>, unplaced: u64, long: bool) -> String {
    let mut sorted: Vec<(&String, &u64)> = countries.iter().collect();
    sorted.sort_by(|a, b| a.1.cmp(b.1).then(a.0.cmp(b.0)));
    let name = |code: &str| match Country::parse(code) {
        Some(country) if long => build::country(country),
        _ => code.to_owned(),
    };
    let mut words: Vec<String> = sorted
        .into_iter()
        .enumerate()
        .map(|(place, (code, count))| {
            format!("{count} {}in {}", if place == 0 { "placed " } else { "" }, name(code))
        })
        .collect();
    if unplaced > 0 {
        words.push(format!("{unplaced} placed nowhere"));
    }
    words.join(", ")
}

fn overview(page: &mut Page<'_>, records: &InventoryRecords, all: bool) -> io::Result<()> {
    page.blank()?;
    let shown = if all { records.software.len() } else { GROUPS };
    let rows: Vec<Vec<Cell>> = records.software.iter().take(shown).map(overview_row).collect();
    let head = [
        ("app", Align::Left),
        ("group", Align::Left),
        ("servers", Align::Right),
        ("placed in", Align::Wrap),
        ("TLS", Align::Left),
        ("JA3S", Align::Wrap),
    ];
    page.table(0, &head, &rows)?;
    cut(page, 0, records.software.len().saturating_sub(shown), "groups")
}

fn overview_row(software: &SoftwareRecord) -> Vec<Cell> {
    let mut countries: Vec<(&String, &u64)> = software.spread.countries.iter().collect();
    countries.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut words: Vec<String> =
        countries.iter().take(COUNTRIES).map(|(code, count)| format!("{code} {count}")).collect();
    if countries.len() > COUNTRIES {
        words.push(format!("and {} more", countries.len().saturating_sub(COUNTRIES)));
    }
    if software.spread.unplaced > 0 {
        words.push(format!("none {}", software.spread.unplaced));
    }
    let answer = software.answers.first();
    vec![
        plain(app_word(Some(&software.app))),
        plain(software.spread.group.clone()),
        plain(software.spread.servers.to_string()),
        plain(words.join(", ")),
        plain(answer.map(|answer| answer.version.replace("TLS ", "")).unwrap_or_default()),
        dim(answer.map(|answer| answer.ja3s.clone()).unwrap_or_default()),
    ]
}

fn group(
    page: &mut Page<'_>,
    software: &SoftwareRecord,
    servers: Vec<&InventoryServerRecord>,
    all: bool,
) -> io::Result<()> {
    page.blank()?;
    let spread = &software.spread;
    let head = format!(
        "{} group {}: {} servers answer TLS alike",
        app_word(Some(&software.app)),
        spread.group,
        spread.servers
    );
    page.paragraph(0, &(Tone::Title, head))?;
    page.rule()?;
    let place = placed(&spread.countries, spread.unplaced, true);
    let by = software.placed_by.join(", ");
    let text = if by.is_empty() { place } else { format!("{place}, by {by}") };
    labelled(page, "placed", text)?;
    labelled(page, "networks", networks(software))?;
    if let Some(operator) = &software.service_operator {
        labelled(page, "service of", format!("{} ({})", operator.name, operator.home_jurisdiction))?;
    }
    for answer in software.answers.iter().take(LISTED) {
        labelled(page, "answers", answer_words(answer))?;
    }
    cut(page, 2, software.answers.len().saturating_sub(LISTED), "answers")?;
    for counted in software.certificates.iter().take(LISTED) {
        let names: Vec<&str> = counted.names.iter().take(LISTED).map(String::as_str).collect();
        let more = counted.names.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let issuer = counted.issuer.as_deref().unwrap_or("an unnamed issuer");
        let text = format!("{}{more} by {issuer}, on {} of them", names.join(", "), counted.servers);
        labelled(page, "certificate", text)?;
    }
    cut(page, 2, software.certificates.len().saturating_sub(LISTED), "kinds of certificates")?;
    let named: Vec<String> =
        software.named_as.iter().map(|(role, count)| format!("{role} {count}")).collect();
    labelled(page, "by their names", named.join(", "))?;
    labelled(page, "sessions", format!("{} of {} endpoints", software.sessions, software.endpoints))?;
    table(page, software, servers, all)
}

fn networks(software: &SoftwareRecord) -> String {
    if software.networks.is_empty() {
        return "no database says who announces them".to_owned();
    }
    let mut words: Vec<String> = software
        .networks
        .iter()
        .take(LISTED)
        .map(|network| format!("AS{} {} {}", network.asn, network.name, network.servers))
        .collect();
    let more = software.networks.len().saturating_sub(LISTED);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

fn answer_words(answer: &AnswerRecord) -> String {
    let extensions: Vec<String> = answer.extensions.iter().map(u16::to_string).collect();
    let mut text = format!("{}, {}, extensions {}", answer.version, answer.cipher, extensions.join("-"));
    if let Some(alpn) = &answer.alpn_chosen {
        let _ = write!(text, ", {alpn}");
    }
    let _ = write!(text, ", JA3S {}", answer.ja3s);
    if let Some(servers) = answer.servers {
        let _ = write!(text, ", on {servers} of them");
    }
    match answer.clients.as_slice() {
        [] => {}
        [client] => {
            let _ = write!(text, ", to client {client}");
        }
        [client, rest @ ..] => {
            let noun = if rest.len() == 1 { "kind" } else { "kinds" };
            let _ = write!(text, ", to client {client} and {} more {noun}", rest.len());
        }
    }
    text
}

/// Servers of a group, those in the rarest country first: they are what one looks for.
fn table(
    page: &mut Page<'_>,
    software: &SoftwareRecord,
    mut servers: Vec<&InventoryServerRecord>,
    all: bool,
) -> io::Result<()> {
    let commonness = |server: &InventoryServerRecord| {
        let country = server.located_in.country;
        country.and_then(|country| software.spread.countries.get(country.code())).copied().unwrap_or(0)
    };
    servers.sort_by_key(|server| commonness(server));
    page.blank()?;
    rows(page, &servers, all)
}

fn rows(page: &mut Page<'_>, servers: &[&InventoryServerRecord], all: bool) -> io::Result<()> {
    let shown = if all { servers.len() } else { SERVERS };
    let rows: Vec<Vec<Cell>> = servers
        .iter()
        .take(shown)
        .map(|server| {
            // A name that was asked for says more than one with a wildcard, from a certificate.
            let named = server.names.iter().find(|name| !name.starts_with('*'));
            let name =
                named.or_else(|| server.names.first()).map(|name| shorten(name, NAME)).unwrap_or_default();
            let place = server.located_in.country.map_or_else(|| "-".to_owned(), |c| c.code().to_owned());
            let more = if server.more_sessions { "+" } else { "" };
            vec![
                plain(app_word(Some(&server.app))),
                plain(server.ip.clone()),
                plain(place),
                plain(name),
                dim(day(&server.first_seen)),
                dim(day(&server.last_seen)),
                plain(format!("{}{more}", server.sessions.len())),
            ]
        })
        .collect();
    let head = [
        ("app", Align::Left),
        ("server", Align::Left),
        ("in", Align::Left),
        ("name", Align::Wrap),
        ("first seen", Align::Left),
        ("last seen", Align::Left),
        ("sessions", Align::Right),
    ];
    page.table(2, &head, &rows)?;
    cut(page, 2, servers.len().saturating_sub(shown), "servers")
}

/// `2020-04-02` of `2020-04-02T14:00:03.000000+0000`.
fn day(time: &str) -> String {
    time.split('T').next().unwrap_or(time).to_owned()
}

/// Servers that are compared with none, and those that nobody answers like.
fn lone(page: &mut Page<'_>, records: &InventoryRecords, all: bool) -> io::Result<()> {
    let single: BTreeMap<&str, u64> = records
        .software
        .iter()
        .filter(|software| software.spread.servers == 1)
        .map(|software| (software.spread.group.as_str(), 1))
        .collect();
    let alone = |server: &&InventoryServerRecord| {
        server.group.as_deref().is_some_and(|group| single.contains_key(group))
    };
    let single: Vec<&InventoryServerRecord> = records.servers.iter().filter(alone).collect();
    let silent: Vec<&InventoryServerRecord> =
        records.servers.iter().filter(|server| server.group.is_none()).collect();
    let parts = [
        ("Servers that answer as no other does", single),
        ("Servers whose answer was not seen (no full handshake, or no TLS at all)", silent),
    ];
    for (head, servers) in parts {
        if servers.is_empty() {
            continue;
        }
        page.blank()?;
        page.paragraph(0, &(Tone::Title, format!("{head}: {}", servers.len())))?;
        rows(page, &servers, all)?;
    }
    Ok(())
}

fn labelled(page: &mut Page<'_>, label: &str, text: String) -> io::Result<()> {
    page.labelled(2, &dim(label), LABEL.saturating_add(2), &plain(text))
}

/// Says what a list lacks.
fn cut(page: &mut Page<'_>, indent: usize, more: usize, what: &str) -> io::Result<()> {
    if more == 0 {
        return Ok(());
    }
    page.line(indent, &[dim(format!("and {more} more {what}; --all shows them"))])
}
