//! How a replay in one pass begins: with nothing, or where an earlier one was interrupted.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;

use meetscope::capture::{LinkType, Merge, compile_bpf};
use meetscope::pipeline::{self, Pipeline};
use meetscope::report::{self, Context};
use meetscope::servers::{Inventory, Server};
use meetscope::watch::Pace;

use super::super::Status;
use super::super::config::Report;
use super::super::key_logs::KeyLogs;
use super::super::messages::say;
use super::super::replay::Feed;
use super::super::seen::Servers;
use super::checkpoint::{Checkpoint, Gone, Head, Over, Progress};
use super::ledger::Ledger;
use super::output::{Found, Output};
use super::{Ahead, Inputs, Telling, resume};

/// Longest packet that a filter expression is compiled for, in bytes.
const FILTER_SNAPLEN: u32 = 262_144;

/// All that a run begins with.
pub(super) struct Start<'r> {
    pub(super) ledger: Ledger,
    pub(super) merge: Merge,
    pub(super) feed: Feed,
    pub(super) key_logs: KeyLogs,
    pub(super) telling: Telling<'r>,
    pub(super) pace: Pace,
    pub(super) ahead: Option<Ahead>,
}

/// Begins with nothing.
pub(super) fn fresh<'r>(
    inputs: &Inputs,
    config: &pipeline::Config,
    report: &'r Report,
    known: Inventory,
) -> anyhow::Result<Start<'r>> {
    let mut pipeline = Pipeline::new(config, &report.rules);
    let key_logs = KeyLogs::read(&inputs.key_logs, &mut pipeline)?;
    let ledger = Ledger::new(inputs.files.clone());
    let mut out = Output::begin(report.output.as_deref(), report.taken(), report.state.is_some())?;
    report::write_head(&mut out, &report.style).with_context(|| out.name().to_owned())?;
    Ok(Start {
        merge: Merge::resume(ledger.places(), inputs.order, inputs.memory),
        feed: Feed::new(pipeline, ledger.entries.len()),
        telling: telling(report, &ledger, Servers::new(known), out),
        ledger,
        key_logs,
        pace: Pace::default(),
        ahead: None,
    })
}

/// Begins where an earlier run was; how that one ended where it was over and there is nothing new.
pub(super) fn again<'r>(
    kept: Checkpoint,
    inputs: &Inputs,
    config: &pipeline::Config,
    report: &'r Report,
    progress: &Progress,
) -> anyhow::Result<ControlFlow<Status, Start<'r>>> {
    let Checkpoint { head, gone, over } = kept;
    let path = report.output.as_deref().context("no output")?;
    let at = progress.path();
    let files = resume::files(&head, &inputs.files, at)?;
    let over = over.as_ref();
    let found = Found::open(path, report.taken(), (at, &head.out, over.map(|over| &over.out)))?;
    if let Some(over) = over
        && !files.has_more
    {
        tell_nothing_is_left(path, over, files.entries.len());
        return Ok(ControlFlow::Break(over.status));
    }
    let ledger = Ledger::resume(files.entries, head.mark.clone());
    let merge = Merge::resume(ledger.places(), inputs.order, inputs.memory);
    let latest = gone.counted.counts.latest.max(gone.left_out.latest);
    resume::check_times(&merge, inputs.order, files.known, latest, at)?;
    let mut pipeline = Pipeline::new(config, &report.rules);
    let mut key_logs = KeyLogs::read(&inputs.key_logs, &mut pipeline)?;
    read_secrets(&head, &ledger, &mut key_logs, inputs.memory, &mut pipeline)?;
    if over.is_some() {
        // From here on the output is not what it was at the end of that run.
        progress.note(None)?;
    }
    let out = found.go_on()?;
    let Gone { unwritten, counted, left_out, key_log_uses, stream, context, servers, unsaved } = gone;
    let servers = Servers::new(inventory(servers)).with_unsaved(inventory(unsaved));
    let mut telling = telling(report, &ledger, servers, out);
    telling.context.restore(context);
    say(format_args!(
        "goes on behind {} packets; {} of them are read again for the {} flows that were not written",
        head.taken,
        head.taken.saturating_sub(head.mark.taken),
        unwritten.len()
    ));
    let (taken, at, unwritten_flows) = (head.taken, head.at, unwritten.len());
    let ahead = Ahead { taken, at, unwritten: unwritten_flows, counted, left_out, key_log_uses, stream };
    pipeline.look_for(unwritten, head.mark.number);
    let mut feed = Feed::new(pipeline, ledger.entries.len());
    feed.frames = ledger.entries.iter().map(|entry| entry.packets).collect();
    feed.refused = refused(config, &head);
    let pace = head.mark.pace;
    Ok(ControlFlow::Continue(Start { merge, feed, key_logs, telling, pace, ledger, ahead: Some(ahead) }))
}

fn tell_nothing_is_left(out: &Path, over: &Over, captures: usize) {
    let out = out.display();
    for why in &over.why {
        say(format_args!("{out}: {why}"));
    }
    match captures {
        1 => say(format_args!("{out}: the one capture has been read, nothing is left")),
        captures => say(format_args!("{out}: all {captures} captures have been read, nothing is left")),
    }
}

fn inventory(servers: Vec<Server>) -> Inventory {
    let mut inventory = Inventory::default();
    for server in servers {
        inventory.insert(server);
    }
    inventory
}

fn telling<'r>(report: &'r Report, ledger: &Ledger, servers: Servers, out: Output) -> Telling<'r> {
    // More files may come before the run is over for good.
    let has_many = ledger.entries.len() > 1 || report.state.is_some();
    let mut context =
        Context::new(&report.rules, &report.databases, has_many).captured_in(report.capture_point);
    if let Some(policies) = &report.policy {
        policies.judge(&mut context);
    }
    Telling { report, context, servers, out, failure: None }
}

/// Reads the captures again that hold secrets and are not read again for their packets.
fn read_secrets(
    head: &Head,
    ledger: &Ledger,
    key_logs: &mut KeyLogs,
    memory: u64,
    pipeline: &mut Pipeline,
) -> anyhow::Result<()> {
    let name = |file: usize| ledger.entries.get(file).map(|entry| entry.name.display().to_string());
    key_logs.introduce(&head.secrets, |file| name(file).unwrap_or_default());
    let ended = |(file, at): (usize, Option<u64>)| Some((at?, file));
    let mut files: Vec<(u64, usize)> = ledger
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.has_secrets)
        .filter_map(|(file, entry)| ended((file, entry.ended_at)))
        .collect();
    files.sort_unstable();
    for (_, file) in files {
        if let Some(entry) = ledger.entries.get(file) {
            key_logs.read_again((&entry.path, entry.packets), file, memory, pipeline)?;
        }
    }
    Ok(())
}

/// What the compiler of the filter said of each link type that it does not fit.
fn refused(config: &pipeline::Config, head: &Head) -> BTreeMap<LinkType, meetscope::capture::CaptureError> {
    let Some(filter) = &config.filter else { return BTreeMap::new() };
    let link_types = head.refused.iter().map(|link| LinkType(*link));
    link_types.filter_map(|link| Some((link, compile_bpf(filter, link, FILTER_SNAPLEN).err()?))).collect()
}
