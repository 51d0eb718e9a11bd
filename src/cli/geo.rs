//! `meetscope geo`: what location databases say, and which ones are asked.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use meetscope::geo::{Databases, Place};

use super::args::{Geo, GeoCommand, LookupFormat};
use super::{Status, config};

/// Looks addresses up, or lists the databases.
pub(super) fn run(typed: Geo) -> anyhow::Result<Status> {
    let mut out = io::stdout().lock();
    match typed.command {
        GeoCommand::Lookup { addresses, geoip, format } => {
            lookup(&mut out, &config::databases(&geoip)?, &addresses, format)?;
        }
        GeoCommand::Info { geoip, format } => info(&mut out, &config::databases(&geoip)?, format)?,
    }
    out.flush()?;
    Ok(Status::Done)
}

/// One answer of `geo lookup --format json`.
#[derive(Serialize)]
struct Answer {
    ip: IpAddr,
    #[serde(flatten)]
    place: Place,
}

fn lookup(
    out: &mut impl Write,
    databases: &Databases,
    addresses: &[IpAddr],
    format: LookupFormat,
) -> io::Result<()> {
    let answers = addresses.iter().map(|ip| Answer { ip: *ip, place: databases.lookup(*ip) });
    match format {
        LookupFormat::Text => answers.into_iter().try_for_each(|answer| write_answer(out, &answer)),
        LookupFormat::Json => write_json(out, &answers.collect::<Vec<_>>()),
    }
}

fn write_answer(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let place = &answer.place;
    writeln!(out, "{}", answer.ip)?;
    writeln!(out, "  located in   {}", place.located_in.sentence())?;
    if !place.located_in.answers.is_empty() {
        writeln!(out, "  confidence   {}", word(&place.located_in.confidence))?;
    }
    match &place.operated_by {
        Some(operator) => writeln!(out, "  operated by  {}", operator.sentence())?,
        None => writeln!(out, "  operated by  no database names the announcing network")?,
    }
    if let Some(special) = &place.special {
        writeln!(out, "  special      {} (IANA special-purpose block)", word(special))?;
    }
    for database in &place.unreadable {
        writeln!(out, "  unreadable   the record in database {database}")?;
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
        writeln!(out, "  about        {}, IPv{}, {} nodes", word(&info.kind), info.ip_version, info.nodes)?;
        writeln!(out, "  build date   {}", info.build_date)?;
        writeln!(out, "  sha256       {}", info.sha256)?;
        writeln!(out, "  licence      {}", info.licence)?;
        writeln!(out, "  attribution  {}", info.attribution)?;
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
