//! `meetscope geo`: what location databases say, which ones are asked, and keeping one.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

use meetscope::geo::{self, Country, Databases, Date, Exposure, Place, Store, Updated};
use meetscope::report::record::{JurisdictionRecord, PlaceHint};
use meetscope::report::{address_hint, jurisdiction_record, jurisdiction_words, wrapped};

use super::args::{Geo, GeoCommand, LookupFormat};
use super::{Status, UsageError, config, store};

/// Looks addresses up, lists the databases, or keeps one.
pub(super) fn run(typed: Geo) -> anyhow::Result<Status> {
    let mut out = io::stdout().lock();
    let status = match typed.command {
        GeoCommand::Lookup { addresses, date, geoip, format } => {
            let databases = store::databases(&geoip)?;
            lookup(&mut out, &databases, &addresses, date, format)?;
            soundness(&databases)
        }
        GeoCommand::Info { geoip, format } => {
            let databases = store::databases(&geoip)?;
            databases.open_all();
            info(&mut out, &databases, format)?;
            soundness(&databases)
        }
        GeoCommand::Update { file, dir, keep_older } => {
            update(&mut out, &file, dir.as_deref(), keep_older)?;
            Status::Done
        }
    };
    out.flush()?;
    Ok(status)
}

fn soundness(databases: &Databases) -> Status {
    if store::were_sound(databases) { Status::Done } else { Status::Failed }
}

/// One answer of `geo lookup --format json`.
#[derive(Serialize)]
struct Answer {
    ip: IpAddr,
    #[serde(flatten)]
    place: Place,
    /// The range that its owner publishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<PlaceHint>,
    /// Why which jurisdiction reaches it, as far as databases tell; who runs a service there is not known.
    exposure: Vec<Exposure>,
    /// Their groups and laws.
    jurisdictions: Vec<JurisdictionRecord>,
}

impl Answer {
    fn new(databases: &Databases, ip: IpAddr, date: Option<Date>) -> Self {
        let seen = date.map(Date::noon);
        let mut place = databases.lookup_at(ip, seen);
        let mut exposure = geo::exposures(&place, &[]);
        let hint = address_hint(ip, seen, &mut place.located_in, &mut exposure);
        let day = date.or_else(store::today).map(Date::noon);
        let mut countries: Vec<Country> =
            exposure.iter().filter_map(|one| Country::parse(&one.jurisdiction)).collect();
        countries.sort_unstable();
        countries.dedup();
        let record = |country| jurisdiction_record(databases.jurisdictions(), country, day);
        let jurisdictions = countries.into_iter().map(record).collect();
        Self { ip, place, hint, exposure, jurisdictions }
    }
}

fn lookup(
    out: &mut impl Write,
    databases: &Databases,
    addresses: &[IpAddr],
    date: Option<Date>,
    format: LookupFormat,
) -> io::Result<()> {
    let answers: Vec<Answer> = addresses.iter().map(|ip| Answer::new(databases, *ip, date)).collect();
    if format == LookupFormat::Json {
        return write_json(out, &answers);
    }
    answers.iter().try_for_each(|answer| write_answer(out, answer))?;
    if answers.iter().any(|answer| !answer.jurisdictions.is_empty()) {
        writeln!(out, "Informational, not legal advice; no list of laws is complete.")?;
        writeln!(out, "* not checked against a text of the authority itself")?;
    }
    Ok(())
}

fn write_answer(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let place = &answer.place;
    writeln!(out, "{}", answer.ip)?;
    line(out, "located in", &place.located_in.sentence())?;
    if let Some(hint) = &answer.hint {
        line(out, "published", &hint.sentence())?;
    }
    if !place.located_in.answers.is_empty() {
        line(out, "confidence", &word(&place.located_in.confidence))?;
    }
    match &place.operated_by {
        Some(operator) => line(out, "operated by", &operator.sentence())?,
        None => line(out, "operated by", "no database names the announcing network")?,
    }
    if let Some(network) = &place.network {
        let places = if network.anycast { ", announced in many places at once" } else { "" };
        let source = match network.checked_on {
            Some(day) => format!("{}, checked {day}", network.source_title),
            None => "unchecked".to_owned(),
        };
        let kind = word(&network.kind);
        line(out, "network", &format!("{}: {kind}{places}, by {} ({source})", network.name, network.by))?;
    }
    if let Some(special) = &place.special {
        line(out, "special", &format!("{} (IANA special-purpose block)", word(special)))?;
    }
    for database in &place.unreadable {
        line(out, "unreadable", &format!("the record in database {database}"))?;
    }
    for jurisdiction in &answer.jurisdictions {
        let of_it = answer.exposure.iter().filter(|one| one.jurisdiction == jurisdiction.code);
        let mut why: Vec<String> = of_it.map(|one| word(&one.basis)).collect();
        why.dedup();
        let name = jurisdiction.name.as_deref().unwrap_or_default();
        line(out, "jurisdiction", &format!("{} {name}, by {}", jurisdiction.code, why.join(", ")))?;
        for (label, text) in jurisdiction_words(jurisdiction) {
            line(out, &format!("  {label}"), &text)?;
        }
    }
    Ok(())
}

/// Columns in front of the text of a line.
const LEFT: usize = 15;

/// A label, and text that is wrapped beside it.
fn line(out: &mut impl Write, label: &str, text: &str) -> io::Result<()> {
    for (number, part) in wrapped(text, LEFT, config::width(false)).iter().enumerate() {
        let label = if number == 0 { label } else { "" };
        writeln!(out, "  {label:<12} {part}")?;
    }
    Ok(())
}

fn info(out: &mut impl Write, databases: &Databases, format: LookupFormat) -> io::Result<()> {
    let infos = databases.info();
    if format == LookupFormat::Json {
        return write_json(out, &infos);
    }
    for info in &infos {
        writeln!(out, "{}", info.name)?;
        writeln!(out, "  source       {}", info.source)?;
        if info.stored {
            let alike = infos.iter().filter(|other| other.lineage == info.lineage && other.kind == info.kind);
            let is_newest = alike.map(|other| other.build_time).max() == Some(info.build_time);
            let which = if is_newest { "the newest" } else { "an older one" };
            writeln!(out, "  kept         {which} of lineage {}", info.lineage)?;
        }
        writeln!(out, "  about        {}, IPv{}, {} nodes", word(&info.kind), info.ip_version, info.nodes)?;
        writeln!(out, "  build date   {}", info.build_date)?;
        writeln!(out, "  sha256       {}", info.sha256)?;
        writeln!(out, "  licence      {}", info.licence)?;
        line(out, "attribution", &info.attribution)?;
    }
    for table in geo::tables() {
        writeln!(out, "{}", table.name)?;
        line(out, "about", table.about)?;
        line(out, "sha256", &table.sha256)?;
    }
    Ok(())
}

fn update(
    out: &mut impl Write,
    file: &Path,
    directory: Option<&Path>,
    keep_older: bool,
) -> anyhow::Result<()> {
    let none = || UsageError("no directory to keep it in: --dir names one".to_owned());
    let directory = directory.map(Path::to_path_buf).or_else(store::to_write).ok_or_else(none)?;
    let (kept, what) = match Store::update(&directory, file, keep_older)? {
        Updated::Added { kept, is_current: true } => (kept, "kept, and the newest of its lineage"),
        Updated::Added { kept, .. } => (kept, "kept beside a newer one, for captures of its time"),
        Updated::Present(kept) => (kept, "kept already"),
        _ => return Ok(()),
    };
    writeln!(out, "{} of {}: {what}", kept.name, kept.build_date)?;
    writeln!(out, "  file         {}", directory.join(&kept.file).display())?;
    writeln!(out, "  lineage      {}", kept.lineage)?;
    writeln!(out, "  sha256       {}", kept.sha256)?;
    if store::to_ask().as_deref() != Some(directory.as_path()) {
        writeln!(out, "  asked        only where MEETSCOPE_GEOIP_DIR names {}", directory.display())?;
    }
    Ok(())
}

fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    meetscope::report::write_json_pretty(&mut *out, value)?;
    writeln!(out)
}

/// The word that records use for a value.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").replace('_', " ")
}
