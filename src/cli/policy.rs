//! `--policy` and `meetscope policy check`: files into a policy, and all that is wrong with them.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use meetscope::bytes::hex;
use meetscope::classify::Rules;
use meetscope::geo::Jurisdictions;
use meetscope::policy::{self, Known, MAX_FILE_BYTES, Policy, PolicyErrors};
use meetscope::report::Context;
use meetscope::report::record::PolicyRecord;

use super::args::PolicyCommand;
use super::config::{build_rules, is_stdin};
use super::messages::say;
use super::{Status, UsageError};

/// A policy, and the files that it was read from.
pub(super) struct Policies {
    policy: Policy,
    groups: Jurisdictions,
    records: Vec<PolicyRecord>,
}

/// Where nothing can fire.
const NO_RULE: &str = "no [[rule]], so that there is nothing to judge by";

/// What is wrong, or why it could not be found out.
enum Fault {
    Unsound(PolicyErrors),
    Other(anyhow::Error),
}

impl Policies {
    /// Reads the files of a policy.
    pub(super) fn read(files: &[PathBuf], rules: &Rules) -> anyhow::Result<Self> {
        let read = Self::try_read(files, rules).map_err(|fault| match fault {
            Fault::Unsound(errors) => UsageError(errors.to_string()).into(),
            Fault::Other(error) => error,
        })?;
        if read.policy.rules().is_empty() {
            let names: Vec<&str> = read.records.iter().map(|record| record.name.as_str()).collect();
            return Err(UsageError(format!("{}: {NO_RULE}", names.join(", "))).into());
        }
        Ok(read)
    }

    fn try_read(files: &[PathBuf], rules: &Rules) -> Result<Self, Fault> {
        let mut texts = Vec::new();
        for file in files {
            let name = file.display().to_string();
            texts.push((name, text(file).map_err(Fault::Other)?));
        }
        let groups =
            Jurisdictions::embedded().context("built-in table of jurisdictions").map_err(Fault::Other)?;
        let apps: Vec<(&str, &str)> =
            rules.providers().iter().map(|provider| (provider.app.as_str(), provider.id.as_str())).collect();
        let names: Vec<&str> = groups.groups().iter().map(|group| group.id.as_str()).collect();
        let known = Known { apps: &apps, groups: &names };
        let parts: Vec<(&str, &str)> =
            texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let policy = policy::parse(&parts, &known).map_err(Fault::Unsound)?;
        let records = parts.iter().map(|(name, text)| record(&policy, name, text)).collect();
        Ok(Self { policy, groups, records })
    }

    /// The policy, the groups of countries that it speaks of, and its files.
    pub(super) fn into_parts(self) -> (Policy, Jurisdictions, Vec<PolicyRecord>) {
        (self.policy, self.groups, self.records)
    }

    /// Has every session judged.
    pub(super) fn judge<'a>(&'a self, context: &mut Context<'a>) {
        context.judge_by(&self.policy, &self.groups);
    }
}

fn record(policy: &Policy, name: &str, text: &str) -> PolicyRecord {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    PolicyRecord {
        name: name.to_owned(),
        sha256: hex(&Sha256::digest(text.as_bytes())),
        rules: count(policy.rules().iter().filter(|rule| rule.file == name).count()),
        exceptions: count(policy.exceptions().iter().filter(|exception| exception.file == name).count()),
    }
}

/// The files of a policy, for the record of a run.
pub(super) fn records(policies: Option<&Policies>) -> Vec<PolicyRecord> {
    policies.map(|policies| policies.records.clone()).unwrap_or_default()
}

/// How a run ended: what failed weighs more than a rule that fired.
pub(super) fn status(is_complete: bool, context: &Context<'_>) -> Status {
    match (is_complete, context.fired()) {
        (false, _) => Status::Failed,
        (true, false) => Status::Done,
        (true, true) => Status::Fired,
    }
}

/// A file, or standard input; one byte more than a policy may have is read at most.
fn text(file: &PathBuf) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = if is_stdin(file) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{}: cannot be read", file.display()))?;
    String::from_utf8(bytes).map_err(|_| {
        UsageError(format!("{}: expected a policy in TOML, found bytes that are no UTF-8", file.display()))
            .into()
    })
}

/// Checks files.
pub(super) fn run(command: &PolicyCommand) -> anyhow::Result<Status> {
    let PolicyCommand::Check { files } = command;
    let policies = match Policies::try_read(files, &build_rules()?) {
        Ok(policies) => policies,
        Err(Fault::Unsound(errors)) => {
            say(format_args!("{errors}"));
            return Ok(Status::Unsound);
        }
        Err(Fault::Other(error)) => return Err(error),
    };
    let has_rules = !policies.policy.rules().is_empty();
    if !has_rules && !policies.policy.has_grounds() {
        let names: Vec<&str> = policies.records.iter().map(|record| record.name.as_str()).collect();
        say(format_args!("{}: {NO_RULE}", names.join(", ")));
        return Ok(Status::Unsound);
    }
    let mut out = io::stdout().lock();
    for record in &policies.records {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let (rules, exceptions) = (record.rules, record.exceptions);
        writeln!(
            out,
            "{}: ok, {rules} rule{}, {exceptions} exception{}",
            record.name,
            plural(rules),
            plural(exceptions)
        )?;
    }
    if !has_rules {
        writeln!(out, "note: {NO_RULE}: give these sites and groups together with a file of rules")?;
    }
    out.flush()?;
    Ok(Status::Done)
}
