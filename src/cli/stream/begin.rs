//! How a replay in one pass begins: with nothing, or where an earlier one was interrupted.

use std::collections::BTreeMap;

use anyhow::Context as _;

use meetscope::capture::{LinkType, Merge, compile_bpf};
use meetscope::pipeline::{self, Pipeline};
use meetscope::report::Context;
use meetscope::servers::Inventory;
use meetscope::watch::Pace;

use super::super::config::Report;
use super::super::key_logs::KeyLogs;
use super::super::messages::say;
use super::super::replay::Feed;
use super::super::seen::Servers;
use super::super::state::State;
use super::checkpoint::{Checkpoint, Gone, Head};
use super::ledger::Ledger;
use super::output::Output;
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
) -> anyhow::Result<Start<'r>> {
    let known = report.state.as_ref().map(State::read).transpose()?.unwrap_or_default();
    let mut pipeline = Pipeline::new(config, &report.rules);
    let key_logs = KeyLogs::read(&inputs.key_logs, &mut pipeline)?;
    let ledger = Ledger::new(inputs.files.clone());
    let out = match (&report.state, &report.output) {
        (Some(_), Some(path)) => Output::resume(path, report.taken(), 0)?,
        _ => Output::open(report.output.as_deref(), report.taken())?,
    };
    Ok(Start {
        merge: Merge::resume(ledger.places(), inputs.order),
        feed: Feed::new(pipeline, ledger.entries.len()),
        telling: telling(report, &ledger, known, out),
        ledger,
        key_logs,
        pace: Pace::default(),
        ahead: None,
    })
}

/// Begins where an earlier run was; none where that one was over and there is nothing new.
pub(super) fn again<'r>(
    kept: Checkpoint,
    inputs: &Inputs,
    config: &pipeline::Config,
    report: &'r Report,
) -> anyhow::Result<Option<Start<'r>>> {
    let Checkpoint { head, gone, over } = kept;
    let path = report.output.as_deref().context("no output")?;
    let files = resume::files(&head, &inputs.files)?;
    let length = path.metadata().map(|data| data.len()).ok();
    if over.is_some() && over == length && !files.has_more {
        say(format_args!(
            "{}: all {} captures have been read, nothing is left",
            path.display(),
            files.entries.len()
        ));
        return Ok(None);
    }
    let ledger = Ledger::resume(files.entries, head.mark.clone());
    let merge = Merge::resume(ledger.places(), inputs.order);
    let latest = gone.counted.counts.latest.max(gone.left_out.latest);
    resume::check_times(&merge, inputs.order, files.known, latest)?;
    let mut pipeline = Pipeline::new(config, &report.rules);
    let mut key_logs = KeyLogs::read(&inputs.key_logs, &mut pipeline)?;
    read_secrets(&head, &ledger, &mut key_logs, &mut pipeline)?;
    let out = Output::resume(path, report.taken(), head.length)?;
    let Gone { unwritten, counted, left_out, key_log_uses, stream, context, servers } = gone;
    let mut known = Inventory::default();
    for server in servers {
        known.insert(server);
    }
    let mut telling = telling(report, &ledger, known, out);
    telling.context.restore(context);
    say(format_args!(
        "goes on behind {} packets; {} of them are read again for the {} flows that were not written",
        head.taken,
        head.taken.saturating_sub(head.mark.taken),
        unwritten.len()
    ));
    let ahead = Ahead {
        taken: head.taken,
        at: head.at,
        unwritten: unwritten.len(),
        counted,
        left_out,
        key_log_uses,
        stream,
    };
    pipeline.look_for(unwritten, head.mark.number);
    let mut feed = Feed::new(pipeline, ledger.entries.len());
    feed.frames = ledger.entries.iter().map(|entry| entry.packets).collect();
    feed.refused = refused(config, &head);
    Ok(Some(Start { merge, feed, key_logs, telling, pace: head.mark.pace, ledger, ahead: Some(ahead) }))
}

fn telling<'r>(report: &'r Report, ledger: &Ledger, known: Inventory, out: Output) -> Telling<'r> {
    // More files may come before the run is over for good.
    let has_many = ledger.entries.len() > 1 || report.state.is_some();
    let mut context =
        Context::new(&report.rules, &report.databases, has_many).captured_in(report.capture_point);
    if let Some(policies) = &report.policy {
        policies.judge(&mut context);
    }
    Telling { report, context, servers: Servers::new(known), out, failure: None }
}

/// Reads the captures again that hold secrets and are not read again for their packets.
fn read_secrets(
    head: &Head,
    ledger: &Ledger,
    key_logs: &mut KeyLogs,
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
            key_logs.read_again(&entry.name, file, pipeline)?;
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
