//! `meetscope providers`: what is known of each provider, and whether a directory of provider files is sound.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;

use meetscope::classify::provider::{Grade, Provider, ProviderError, Sources};
use meetscope::classify::{Rules, provider};
use meetscope::policy::nearest;

use super::args::{Providers, ProvidersCommand};
use super::messages::say;
use super::{Status, UsageError, config};

/// Files of a provider directory that are not a provider's.
const SOURCES: &str = "sources.toml";
const COMMON: &str = "common.toml";

/// Lists, shows or checks.
pub(super) fn run(typed: Providers) -> anyhow::Result<Status> {
    let mut out = io::stdout().lock();
    let status = match typed.command {
        ProvidersCommand::List => list(&mut out, &config::build_rules()?)?,
        ProvidersCommand::Show { id } => show(&mut out, &config::build_rules()?, &id)?,
        ProvidersCommand::Check { directory } => check(&mut out, &directory)?,
    };
    out.flush()?;
    Ok(status)
}

fn list(out: &mut impl Write, rules: &Rules) -> io::Result<Status> {
    let providers = rules.providers();
    let longest = |of: fn(&Provider) -> &str| providers.iter().map(|one| of(one).chars().count()).max();
    let id = longest(|one| &one.id).unwrap_or(0);
    let app = longest(|one| &one.app).unwrap_or(0);
    let name = longest(|one| &one.name).unwrap_or(0);
    for one in providers {
        let Provider { operator, country, status, .. } = one;
        writeln!(
            out,
            "{:id$}  {:app$}  {:name$}  {operator} ({country}), {status}",
            one.id, one.app, one.name
        )?;
    }
    Ok(Status::Done)
}

fn show(out: &mut impl Write, rules: &Rules, id: &str) -> anyhow::Result<Status> {
    let Some(one) = rules.providers().iter().find(|one| one.id == id || one.app == id) else {
        return Err(unknown(rules, id).into());
    };
    write_head(out, one)?;
    write_facts(out, one)?;
    write_sources(out, rules, one)?;
    Ok(Status::Done)
}

/// No provider has this name; perhaps another was meant.
pub(super) fn unknown(rules: &Rules, id: &str) -> UsageError {
    let known = rules.providers().iter().flat_map(|one| [one.id.as_str(), one.app.as_str()]);
    let meant = nearest(id, known).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
    UsageError(format!("{id}: no such provider; `meetscope providers list` shows them{meant}"))
}

fn write_head(out: &mut impl Write, one: &Provider) -> io::Result<()> {
    writeln!(out, "{} ({}), reported as {}", one.name, one.id, one.app)?;
    let mut line = |name: &str, value: &str| match value {
        "" => Ok(()),
        value => writeln!(out, "  {name:11}{value}"),
    };
    line("operator", &format!("{} ({})", one.operator, one.country))?;
    line("parent", one.parent.as_deref().unwrap_or_default())?;
    line("also in", &one.other_countries.join(", "))?;
    line("status", &one.status)?;
    line("topology", &one.topology)?;
    line("networks", &one.asns.iter().map(|asn| format!("AS{asn}")).collect::<Vec<_>>().join(", "))?;
    for text in &one.distinguish {
        line("told by", text)?;
    }
    line("notes", &one.notes)
}

fn write_facts(out: &mut impl Write, one: &Provider) -> io::Result<()> {
    for row in one.keying.get_ref() {
        let about = [row.scopes(), row.period(), row.cipher.clone().unwrap_or_default()];
        let about = about.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        let known = known(row.confidence, row.sources.get_ref());
        writeln!(out, "  keying     {} ({about}): {}; {known}", word(&row.method), row.holder)?;
    }
    for host in &one.host {
        let (pattern, matching, role) = (host.pattern.get_ref(), word(&host.matching), word(&host.role));
        let known = known(host.confidence, host.sources.get_ref());
        writeln!(out, "  host       {pattern} ({matching}): {role}; {known}")?;
    }
    for net in &one.net {
        let prefixes: Vec<&str> = net.cidrs.iter().map(|cidr| cidr.get_ref().as_str()).collect();
        let known = known(net.confidence, net.sources.get_ref());
        let about = format!("{}, {}, as of {}; {known}", net.role, net.exclusivity, net.as_of);
        writeln!(out, "  prefixes   {}: {about}", prefixes.join(" "))?;
    }
    for port in &one.port {
        let known = known(port.confidence, port.sources.get_ref());
        let ports = port.ports.iter().map(|ports| ports.get_ref().as_str()).collect::<Vec<_>>().join(" ");
        writeln!(out, "  port       {} {ports}, {}: {}; {known}", port.proto, port.side, port.role)?;
    }
    for wire in &one.wire {
        let known = known(wire.confidence, wire.sources.get_ref());
        writeln!(out, "  wire mark  {}: {}; {known}", wire.id.get_ref(), wire.description)?;
    }
    Ok(())
}

/// The sources that the facts above name, written out.
fn write_sources(out: &mut impl Write, rules: &Rules, one: &Provider) -> io::Result<()> {
    let keying = one.keying.get_ref().iter().map(|row| &row.sources);
    let hosts = one.host.iter().map(|host| &host.sources);
    let nets = one.net.iter().map(|net| &net.sources);
    let ports = one.port.iter().map(|port| &port.sources);
    let wires = one.wire.iter().map(|wire| &wire.sources);
    let mut keys: BTreeSet<&String> = BTreeSet::new();
    for sources in keying.chain(hosts).chain(nets).chain(ports).chain(wires) {
        keys.extend(sources.get_ref());
    }
    for key in keys {
        if let Some(source) = rules.sources().source.get(key) {
            writeln!(out, "  source     {key}: {}, {} ({})", source.title, source.date, source.kind)?;
        }
    }
    Ok(())
}

fn known(confidence: Grade, sources: &[String]) -> String {
    format!("{} confidence, {}", word(&confidence), sources.join(", "))
}

/// `DtlsSrtp` as `dtls-srtp`.
fn word(value: &impl Debug) -> String {
    let mut out = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// Compiles every file by itself, so that one error does not hide the next, and then all together.
fn check(out: &mut impl Write, directory: &Path) -> anyhow::Result<Status> {
    let files = read(directory)?;
    let text = |name: &str| files.iter().find(|(file, _)| file == name).map(|(_, text)| text.as_str());
    let Some(sources) = text(SOURCES) else {
        anyhow::bail!("{}: expected the list of sources in {SOURCES}, found none", directory.display());
    };
    let providers: Vec<(&str, &str)> = files
        .iter()
        .filter(|(name, _)| name != SOURCES && name != COMMON)
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let mut errors: Vec<ProviderError> =
        provider::parse::<Sources>(SOURCES, sources).err().into_iter().collect();
    if errors.is_empty() {
        let alone = providers.iter().map(|file| Rules::compile([*file], sources));
        errors.extend(alone.filter_map(Result::err));
    }
    if errors.is_empty() {
        errors.extend(Rules::compile(providers.iter().copied(), sources).err());
    }
    for error in &errors {
        say(format_args!("{}", with_field(error, &text)));
    }
    if !errors.is_empty() {
        return Ok(Status::Failed);
    }
    writeln!(out, "{} provider files are sound", providers.len())?;
    Ok(Status::Done)
}

/// Names and texts of the TOML files, by name.
fn read(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let unreadable = || format!("{}: cannot be read as a directory of provider files", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
        if path.extension() == Some(OsStr::new("toml")) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
            files.push((name.to_owned(), text));
        }
    }
    files.sort();
    Ok(files)
}

/// `file:line: field: reason`; the field is that of the line where the reason does not name it.
fn with_field<'t>(error: &ProviderError, text: &impl Fn(&str) -> Option<&'t str>) -> String {
    let ProviderError::Schema { file, line, reason } = error else { return error.to_string() };
    let written = text(file).and_then(|text| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    let field = match written.split_once('=') {
        Some((key, _)) => key.trim(),
        None => written.trim().trim_matches(['[', ']']),
    };
    if field.is_empty() || reason.contains(field) {
        return error.to_string();
    }
    format!("{file}:{line}: {field}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetscope::classify::keying::KeyMethod;

    #[test]
    fn an_error_names_the_field_of_its_line() {
        let text = |_: &str| Some("schema_version = 1\nasns = [\"x\"]\n\n[[host]]\n");
        let error = |line, reason: &str| ProviderError::Schema {
            file: "a.toml".to_owned(),
            line,
            reason: reason.to_owned(),
        };
        assert_eq!(with_field(&error(2, "expected u32"), &text), "a.toml:2: asns: expected u32");
        assert_eq!(with_field(&error(2, "asns: no"), &text), "a.toml:2: asns: no");
        assert_eq!(
            with_field(&error(4, "missing field `role`"), &text),
            "a.toml:4: host: missing field `role`"
        );
        assert_eq!(with_field(&error(9, "no"), &text), "a.toml:9: no");
    }

    #[test]
    fn words_are_those_of_the_files() {
        assert_eq!(word(&Grade::High), "high");
        assert_eq!(word(&KeyMethod::DtlsSrtp), "dtls-srtp");
    }
}
