//! `meetscope replay`: capture files through the pipeline into a report.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use meetscope::capture::{self, CaptureError, LinkType, Merge, Packet};
use meetscope::classify::Rules;
use meetscope::decode::{self, Decoder, Outcome, Reason};
use meetscope::flow::TableStats;
use meetscope::observe::SLOT_BYTES;
use meetscope::parallel::Threads;
use meetscope::pipeline::{self, Analysis, Counts, Memory, Pipeline};
use meetscope::report::record::{FileRecord, KeyLogRecord, MemoryRecord};
use meetscope::report::{self, Dropped, Format, Run, Written, ZeekLog};
use meetscope::servers::Inventory;
use meetscope::time::Timestamp;
use meetscope::watch::in_use;

use super::key_logs::KeyLogs;
use super::messages::say;
use super::progress::Progress;
use super::provenance::{Sums, command_line};
use super::state::State;
use super::{Status, config, export, folders, input, output, policy, servers, store, stream};

/// What became of all files.
pub(super) struct Gathered {
    pub(super) analysis: Analysis,
    pub(super) counts: Counts,
    pub(super) decode: decode::Counters,
    pub(super) table: TableStats,
    /// By how much the process grew while packets were read.
    pub(super) flows_bytes: Option<u64>,
    pub(super) files: Vec<FileRecord>,
    pub(super) key_logs: Vec<KeyLogRecord>,
    /// False when a file could not be read to its end, or a filter did not fit.
    pub(super) complete: bool,
}

/// Reads the files in one pass, or all of them before the report. That directories hold none has been told.
pub(super) fn run(mut config: config::Replay) -> anyhow::Result<Status> {
    config.files = folders::of_run(&config.files, &config.report)?;
    config.report.inputs.extend(config.files.iter().cloned());
    match config.stream.take() {
        Some(stream) => {
            let config::Replay { files, order, key_logs, pipeline, report, .. } = config;
            let inputs = stream::Inputs { files, order, key_logs, memory: stream.budget.bytes() };
            stream::run(&inputs, &pipeline, &stream, &report)
        }
        None if config.files.is_empty() => Ok(Status::Failed),
        None => whole(config),
    }
}

/// Reads all files, then writes the report.
fn whole(config: config::Replay) -> anyhow::Result<Status> {
    let config::Replay {
        files,
        order,
        pipeline,
        key_logs,
        export: wanted,
        depth,
        provenance,
        measure,
        report,
        ..
    } = config;
    let inputs = files.clone();
    // What can stop the run is read first.
    let mut known = report.state.as_ref().map(State::read).transpose()?.unwrap_or_default();
    let outputs = Outputs::open(&report)?;
    let sums = provenance.then(|| Sums::begin(&files));
    let gathered = gather(files, order, &pipeline, &key_logs, &report.rules, depth)?;
    let seen = (depth == Depth::Calls).then(|| servers::inventory_of(&gathered, &report.rules));
    let is_kept = seen.is_none_or(|seen| keep(report.state.as_ref(), seen, &mut known));
    let Gathered { analysis, counts, decode, table, flows_bytes, mut files, key_logs, complete } = gathered;
    if let Some(sums) = sums {
        sums.finish(&mut files);
    }
    let mut context = report::Context::new(&report.rules, &report.databases, files.len() > 1)
        .captured_in(report.capture_point)
        .working_with(Threads::new(pipeline.threads));
    context.learn(&known);
    if let Some(policies) = &report.policy {
        policies.judge(&mut context);
    }
    let exported = wanted.as_ref().map(|wanted| export::find(&analysis, wanted)).transpose()?;
    let run = Run {
        rules: &report.rules,
        databases: &report.databases,
        analysis: &analysis,
        earlier: Written::default(),
        counts,
        decode: &decode,
        table,
        files,
        memory: measure.then(|| memory(flows_bytes, table.created)),
        command: if provenance { command_line() } else { Vec::new() },
        key_logs,
        policies: policy::records(report.policy.as_ref()),
        dropped: Dropped::default(),
        stream: None,
        complete,
    };
    outputs.write(&mut context, &run, &report)?;
    let mut is_exported = true;
    if let (Some(wanted), Some(session)) = (&wanted, exported) {
        let inputs = export::Inputs { files: &inputs, order, pipeline: &pipeline };
        let made_of = (run.files.as_slice(), run.command.as_slice());
        is_exported = export::write(wanted, &inputs, &mut context, &analysis, session, made_of)?;
    }
    // The process ends here; taking a million small allocations apart first would only cost time.
    std::mem::forget(analysis);
    let is_whole = complete && is_kept && is_exported && store::were_sound(&report.databases);
    Ok(policy::status(is_whole, &context))
}

/// Flows from which on memory is told for each: fewer weigh less than the buffers of a run, some hundred KiB.
const MEASURABLE: u64 = 1000;

/// What the run took so far, of so many flows.
fn memory(flows_bytes: Option<u64>, flows: u64) -> MemoryRecord {
    MemoryRecord {
        peak_bytes: in_use().map(|now| now.peak),
        flows_bytes,
        bytes_per_flow: flows_bytes
            .filter(|_| flows >= MEASURABLE)
            .and_then(|bytes| bytes.checked_div(flows)),
        flow_slot_bytes: u64::try_from(SLOT_BYTES).unwrap_or(u64::MAX),
    }
}

/// How far flows are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// To their app, and to the session that they are in.
    Flows,
    /// To sessions with their keys, and to meetings.
    Calls,
}

/// Where the report goes: one file or standard output, or a log each.
struct Outputs(Vec<(Format, Box<dyn Write>)>);

impl Outputs {
    /// Opens them before any work is done; what they hold stays until there is a report.
    fn open(report: &config::Report) -> anyhow::Result<Self> {
        let target = report.output.as_deref();
        let (Format::Zeek(_), Some(directory)) = (report.style.format, target) else {
            return Ok(Self(vec![(report.style.format, output::open(target, report.taken())?)]));
        };
        let logs = ZeekLog::ALL.into_iter().filter(|log| report.style.wants(log.kind()));
        let open = |log: ZeekLog| {
            let out = output::open_in(directory, &format!("{}.log", log.path()), report.taken())?;
            Ok((Format::Zeek(log), out))
        };
        logs.map(open).collect::<anyhow::Result<_>>().map(Self)
    }

    fn write(
        self,
        context: &mut report::Context<'_>,
        run: &Run<'_>,
        report: &config::Report,
    ) -> anyhow::Result<()> {
        if run.counts.seen == 0 && !run.complete && output::is_left_unread(report.output.as_deref()) {
            return Ok(());
        }
        for (format, mut out) in self.0 {
            let style = report::Style { format, ..report.style.clone() };
            report::write_rest(&mut out, context, run, &style)
                .and_then(|()| out.flush())
                .with_context(|| output::name(report.output.as_deref()))?;
        }
        Ok(())
    }
}

/// Adds what was seen to what is known, and to the state file. The report does not need the file: false when it failed.
fn keep(state: Option<&State>, seen: Inventory, known: &mut Inventory) -> bool {
    let Some(state) = state else {
        *known = seen;
        return true;
    };
    match state.add(seen.clone()) {
        Ok(all) => {
            *known = all;
            true
        }
        Err(error) => {
            say(format_args!("{error}"));
            known.merge(seen);
            false
        }
    }
}

/// Reads all files. A fault of one file does not keep the others from being read.
pub(super) fn gather(
    files: Vec<PathBuf>,
    order: capture::Order,
    config: &pipeline::Config,
    key_logs: &[PathBuf],
    rules: &Rules,
    depth: Depth,
) -> anyhow::Result<Gathered> {
    let mut pipeline = Pipeline::new(config, rules);
    let mut key_logs = KeyLogs::read(key_logs, &mut pipeline)?;
    let mut merge = Merge::within(files, order, input::memory());
    if config.threads > 1 {
        pipeline.while_idle(&merge.read_ahead());
    }
    let mut feed = Feed::new(pipeline, merge.files());
    let mut progress = Progress::new(&merge);
    let before = in_use();
    while let Some(file) = merge.advance() {
        key_logs.look(&merge, file, &mut feed.pipeline);
        let Some(packet) = merge.current() else { break };
        feed.packet(file, &packet);
        if let Some(progress) = &mut progress {
            progress.packet(&merge);
        }
    }
    if let Some(mut progress) = progress {
        progress.clear();
    }
    // All flows are still held: those that are alive in their tables, with what is read of them, and what is left of the others.
    let flows_bytes =
        before.zip(in_use()).map(|(before, now)| now.anonymous.saturating_sub(before.anonymous));
    let files = input::records(&merge);
    let Feed { pipeline, left_out, refused, .. } = feed;
    for error in refused.values() {
        say(format_args!("{error}; packets of this link type are left out"));
    }
    let flows = pipeline.finish();
    let threads = Threads::new(config.threads);
    warn_of_unknown_links(&merge, flows.decode.undecodable(Reason::UnknownLinkType));
    let complete = files.iter().all(|file| file.error.is_none()) && refused.is_empty();
    Ok(Gathered {
        analysis: match depth {
            Depth::Flows => pipeline::analyse_flows(rules, &mut Memory::default(), flows.flows, threads),
            Depth::Calls => pipeline::analyse(rules, &mut Memory::default(), flows.flows, threads),
        },
        counts: add(flows.counts, &left_out),
        decode: flows.decode,
        table: flows.table,
        flows_bytes,
        files,
        key_logs: key_logs.records(&[&flows.key_log]),
        complete,
    })
}

/// Packets on their way into the pipeline, numbered by file.
pub(super) struct Feed {
    pub(super) pipeline: Pipeline,
    /// Packets handed out of each file.
    pub(super) frames: Vec<u64>,
    /// Link types that the filter does not fit, with what its compiler said.
    pub(super) refused: BTreeMap<LinkType, CaptureError>,
    /// Packets of those link types: no filter can have let them through.
    pub(super) left_out: Counts,
}

impl Feed {
    pub(super) fn new(pipeline: Pipeline, files: usize) -> Self {
        Self { pipeline, frames: vec![0; files], refused: BTreeMap::new(), left_out: Counts::default() }
    }

    #[inline]
    pub(super) fn packet(&mut self, file: usize, packet: &Packet<'_>) {
        let mut frame = 0;
        if let Some(count) = self.frames.get_mut(file) {
            *count = count.wrapping_add(1);
            frame = *count;
        }
        if !self.refused.is_empty() && self.refused.contains_key(&packet.link_type) {
            self.leave_out(packet);
            return;
        }
        let number = u32::try_from(file).unwrap_or(u32::MAX);
        if let Err(error) = self.pipeline.packet(number, frame, packet) {
            self.refused.insert(packet.link_type, error);
            // The pipeline has seen this one and put it nowhere.
            self.left_out.filtered = self.left_out.filtered.wrapping_add(1);
        }
    }

    fn leave_out(&mut self, packet: &Packet<'_>) {
        let captured = u64::try_from(packet.data.len()).unwrap_or(u64::MAX);
        let counts = &mut self.left_out;
        counts.seen = counts.seen.wrapping_add(1);
        counts.filtered = counts.filtered.wrapping_add(1);
        counts.bytes_captured = counts.bytes_captured.wrapping_add(captured);
        counts.latest = counts.latest.max(Some(packet.timestamp));
    }
}

pub(super) fn add(counts: Counts, more: &Counts) -> Counts {
    Counts {
        seen: counts.seen.wrapping_add(more.seen),
        analysed: counts.analysed,
        filtered: counts.filtered.wrapping_add(more.filtered),
        bytes_captured: counts.bytes_captured.wrapping_add(more.bytes_captured),
        latest: counts.latest.max(more.latest),
    }
}

/// Tells of each link type that nothing here can decode, once for each file.
pub(super) fn warn_of_unknown_links(merge: &Merge, packets: u64) {
    if packets == 0 {
        return;
    }
    for info in (0..merge.files()).filter_map(|file| merge.info(file)) {
        let types: BTreeSet<LinkType> = info.interfaces.iter().map(|interface| interface.link_type).collect();
        for link_type in types.into_iter().filter(|link_type| !is_known(*link_type)) {
            say(format_args!(
                "{}: expected a link type that can be decoded, found {link_type}; its packets are only counted",
                info.name
            ));
        }
    }
}

/// The decoder is asked, so that the answer cannot differ from what it did.
fn is_known(link_type: LinkType) -> bool {
    let mut decoder = Decoder::new(decode::Config::default());
    let outcome = decoder.decode(link_type.0, Timestamp::default(), &[], 0);
    !matches!(outcome, Outcome::Undecodable(Reason::UnknownLinkType))
}
