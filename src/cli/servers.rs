//! `meetscope servers`: which provider servers were seen, and which of them run the same.

use std::io::Write as _;

use anyhow::Context as _;
use meetscope::report::{self, Context};
use meetscope::servers::Inventory;

use super::replay::{self, Depth, Gathered};
use super::{Status, config, folders, output, store};

/// Reads all files, adds what they show to the state, and writes the inventory. That directories hold none has been told.
pub(super) fn run(config: config::Servers) -> anyhow::Result<Status> {
    let config::Servers { files: given, pipeline, mut report, provider, all } = config;
    let files = folders::of_run(&given, &report)?;
    if files.is_empty() && !given.is_empty() {
        return Ok(Status::Failed);
    }
    report.inputs.extend(files.iter().cloned());
    let state = report.state.as_ref();
    if files.is_empty()
        && let Some(state) = state
        && !state.exists()
    {
        anyhow::bail!("{}: no such inventory yet", state.name());
    }
    let mut out = output::open(report.output.as_deref(), report.taken())?;
    let mut inventory = match state {
        Some(state) => state.read()?,
        None => Inventory::default(),
    };
    let mut complete = true;
    if !files.is_empty() {
        let order = meetscope::capture::Order::Time;
        // Media servers and relays are known as such from sessions.
        let gathered = replay::gather(files, order, &pipeline, &[], &report.rules, Depth::Calls)?;
        complete = gathered.complete;
        if !complete && gathered.counts.seen == 0 && output::is_left_unread(report.output.as_deref()) {
            return Ok(Status::Failed);
        }
        let seen = inventory_of(&gathered, &report.rules);
        match state {
            Some(state) => inventory = state.add(seen)?,
            None => inventory.merge(seen),
        }
    }
    if let Some(provider) = &provider {
        inventory.keep_provider(provider);
    }
    let context = Context::new(&report.rules, &report.databases, false);
    let records = report::inventory_records(&context, &inventory, complete);
    report::write_inventory(&mut out, records, all, &report.style)
        .and_then(|()| out.flush())
        .with_context(|| output::name(report.output.as_deref()))?;
    let is_sound = store::were_sound(&report.databases);
    Ok(if complete && is_sound { Status::Done } else { Status::Failed })
}

/// What the files show of servers.
pub(super) fn inventory_of(gathered: &Gathered, rules: &meetscope::classify::Rules) -> Inventory {
    let analysis = &gathered.analysis;
    Inventory::of(rules, &analysis.flows, analysis.sessions.iter().map(|(session, _)| session))
}
