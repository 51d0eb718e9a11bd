//! `meetscope replay --stream`: captures of any size in one pass. Records are written when what they tell of is over, memory is kept
//! within a budget, and with `--state` a run goes on where it was interrupted.
//!
//! A checkpoint stands between two packets: how long the output was, what has to be remembered of what was written, and which flows were
//! not. A run that goes on cuts the output back to that, reads the packets again since before the first of these flows, takes of them
//! those that belong to these flows alone, and then everything.

mod begin;
mod checkpoint;
mod edges;
mod end;
mod ledger;
mod output;
mod resume;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use meetscope::capture::{self, Merge};
use meetscope::decode::{Counts, Reason};
use meetscope::keys::Analysis;
use meetscope::pipeline::{self, Counted, Flows, Pipeline};
use meetscope::report::record::PolicyRecord;
use meetscope::report::{self, Context, Dropped, Run};
use meetscope::time::Timestamp;
use meetscope::watch::{Kept, Stream};

use super::config::{self, Report};
use super::key_logs::KeyLogs;
use super::messages::say;
use super::progress::Progress as Line;
use super::replay::{self, Feed};
use super::seen::Servers;
use super::signals::Signals;
use super::state::State;
use super::{Status, UsageError, input, policy, store};
use begin::Start;
use checkpoint::{Going, Head, Progress};
use ledger::{Entry, Ledger};
use output::Output;

/// What is said of a run that ends before its time.
const INTERRUPTED: &str = "interrupted: the same command goes on from here";
/// Of the time between two checkpoints, the writing of one takes one part in so many.
const SHARE: u32 = 20;

/// What is read.
pub(super) struct Inputs {
    pub(super) files: Vec<PathBuf>,
    pub(super) order: capture::Order,
    pub(super) key_logs: Vec<PathBuf>,
    /// What captures may hold that are open at the same time, in bytes.
    pub(super) memory: u64,
}

/// Reads captures in one pass.
pub(super) fn run(
    inputs: &Inputs,
    pipeline: &pipeline::Config,
    config: &config::Stream,
    report: &Report,
) -> anyhow::Result<Status> {
    // What is seen is to be added to it: better to know now that it cannot be.
    let known = report.state.as_ref().map(State::read).transpose()?.unwrap_or_default();
    let is_no_text = |file: &&PathBuf| report.state.is_some() && file.to_str().is_none();
    if let Some(file) = inputs.files.iter().find(is_no_text) {
        let message =
            format!("{}: --state knows captures by names in UTF-8: expected another one", file.display());
        return Err(UsageError(message).into());
    }
    let keeping = Keeping::new(config, report)?;
    let kept = match &keeping {
        Some(keeping) => keeping.progress.read(&keeping.settings)?,
        None => None,
    };
    let start = match (&keeping, kept) {
        (Some(keeping), Some(kept)) => {
            match begin::again(kept, inputs, pipeline, report, &keeping.progress)? {
                ControlFlow::Continue(start) => start,
                ControlFlow::Break(status) => return Ok(status),
            }
        }
        // That directories hold none has been told; with a state, they may get some.
        _ if inputs.files.is_empty() => {
            return Ok(if keeping.is_some() { Status::Done } else { Status::Failed });
        }
        _ => begin::fresh(inputs, pipeline, report, known)?,
    };
    let mut streaming = Streaming::new(start, config, report, keeping);
    if streaming.read()? { streaming.finish() } else { Ok(Status::Failed) }
}

/// Where and when checkpoints are written.
struct Keeping {
    progress: Progress,
    settings: config::Settings,
    signals: Signals,
    every: Duration,
    /// When the last one was written, and how long that took.
    last: (Instant, Duration),
}

#[expect(
    clippy::disallowed_methods,
    reason = "how much is lost in an interruption is wall time, and touches no result"
)]
fn now() -> Instant {
    Instant::now()
}

impl Keeping {
    /// None without `--state`.
    fn new(config: &config::Stream, report: &Report) -> anyhow::Result<Option<Self>> {
        let Some(state) = &report.state else { return Ok(None) };
        let mut settings = config.settings.clone();
        let policy = |record: PolicyRecord| (format!("policy {}", record.name), record.sha256);
        settings.extend(policy::records(report.policy.as_ref()).into_iter().map(policy));
        Ok(Some(Self {
            progress: Progress::beside(state.path())?,
            settings,
            signals: Signals::listen_for_an_end().context("signals")?,
            every: config.checkpoint,
            last: (now(), Duration::ZERO),
        }))
    }

    fn is_due(&self) -> bool {
        let (last, took) = self.last;
        self.every.is_zero() || last.elapsed() >= self.every.max(took.saturating_mul(SHARE))
    }

    fn is_interrupted(&self) -> bool {
        self.signals.stop.load(Ordering::Relaxed)
    }
}

/// An earlier run that has not been caught up with.
struct Ahead {
    /// Packets that it had taken.
    taken: u64,
    /// Time of the packet that was at hand, before which it had looked.
    at: Option<Timestamp>,
    /// Flows that it had not written.
    unwritten: usize,
    counted: Counted,
    left_out: Counts,
    key_log_uses: Vec<u64>,
    stream: Kept,
}

/// What records are made of and where they go.
struct Telling<'r> {
    report: &'r Report,
    context: Context<'r>,
    servers: Servers,
    out: Output,
    failure: Option<io::Error>,
}

impl Telling<'_> {
    /// Writes what is over.
    fn tell(&mut self, analysis: &Analysis) {
        self.servers.learn(self.report, &mut self.context, analysis);
        if self.failure.is_none() {
            let style = &self.report.style;
            self.failure = report::write_records(&mut self.out, &mut self.context, analysis, style).err();
        }
    }

    fn check(&mut self) -> anyhow::Result<()> {
        match self.failure.take() {
            Some(error) => Err(error).with_context(|| self.out.name().to_owned()),
            None => Ok(()),
        }
    }
}

/// A run.
struct Streaming<'r> {
    stream: Stream<'r>,
    feed: Feed,
    merge: Merge,
    key_logs: KeyLogs,
    telling: Telling<'r>,
    ledger: Ledger,
    keeping: Option<Keeping>,
    ahead: Option<Ahead>,
    line: Option<Line>,
}

impl<'r> Streaming<'r> {
    fn new(start: Start<'r>, config: &config::Stream, report: &'r Report, keeping: Option<Keeping>) -> Self {
        let Start { ledger, merge, feed, key_logs, telling, pace, ahead } = start;
        let mut stream = Stream::new(&report.rules, config.budget);
        stream.pace = pace;
        if report.wants_flows_alone() {
            stream.flows_alone();
        }
        let line = Line::new(&merge);
        Self { stream, feed, merge, key_logs, telling, ledger, keeping, ahead, line }
    }

    /// Reads to the end; false where it was interrupted.
    fn read(&mut self) -> anyhow::Result<bool> {
        while let Some(file) = self.merge.advance() {
            self.note_ended();
            let Some((time, bytes)) =
                self.merge.current().map(|packet| (packet.timestamp, packet.data.len()))
            else {
                break;
            };
            let has_looked = self.catch_up();
            let due = match &self.ahead {
                _ if has_looked => None,
                Some(_) => self.stream.pace.due(time),
                None => self.stream.due(&mut self.feed.pipeline, time, bytes),
            };
            if let Some(now) = due
                && !self.look(now)?
            {
                return Ok(false);
            }
            let Some(packet) = self.merge.current() else { break };
            self.key_logs.look(&self.merge, file, &mut self.feed.pipeline);
            self.feed.packet(file, &packet);
            self.ledger.take(file);
            if let Some(line) = &mut self.line {
                line.packet(&self.merge);
            }
        }
        self.note_ended();
        self.catch_up();
        if let Some(ahead) = &self.ahead {
            bail!(
                "the captures end behind {} packets, and {} had been read of them before the interruption: they are not what they were",
                self.ledger.taken,
                ahead.taken
            );
        }
        Ok(true)
    }

    /// Takes down what files were that have come to their end.
    fn note_ended(&mut self) {
        for file in self.merge.take_ended() {
            let has_secrets = self.merge.info(file).is_some_and(|info| !info.secrets.is_empty());
            let record = input::record(&self.merge, file);
            self.ledger.end(file, record, has_secrets, self.keeping.is_some());
            self.merge.forget(file);
        }
    }

    /// Looks at what is over by packet time `now`; false where the run is to end.
    fn look(&mut self, now: Timestamp) -> anyhow::Result<bool> {
        let Self { stream, feed, telling, .. } = self;
        let is_ahead = self.ahead.is_some();
        if is_ahead {
            stream.pace.looked(now);
            feed.pipeline.expire(now);
        } else {
            stream.look(&mut feed.pipeline, now, &mut |analysis| telling.tell(&analysis));
            telling.check()?;
        }
        let Some(keeping) = &self.keeping else { return Ok(true) };
        let (is_due, is_interrupted) = (keeping.is_due(), keeping.is_interrupted());
        self.ledger.mark(now, self.feed.pipeline.number(), self.stream.pace);
        if !is_ahead && (is_due || is_interrupted) {
            self.keep(Some(now))?;
        }
        if is_interrupted {
            say(format_args!("{INTERRUPTED}"));
        }
        Ok(!is_interrupted)
    }

    /// Goes on as the earlier run was where it has been caught up with; true where a look has been had for the packet at hand.
    fn catch_up(&mut self) -> bool {
        let taken = self.ledger.taken;
        let Some(ahead) = self.ahead.take_if(|ahead| ahead.taken == taken) else { return false };
        let pipeline = &mut self.feed.pipeline;
        if let Some(at) = ahead.at {
            pipeline.expire(at);
        }
        let held = pipeline.found(ahead.counted);
        pipeline.count_key_log_uses_from(&ahead.key_log_uses);
        let (_, alive) = pipeline.table_stats();
        let lost = ahead.unwritten.saturating_sub(alive.saturating_add(held.len()));
        if lost > 0 {
            say(format_args!("{lost} flows that had not been written were not found again"));
        }
        self.feed.left_out = ahead.left_out;
        self.stream.restore(ahead.stream, held, u64::try_from(lost).unwrap_or(u64::MAX));
        ahead.at.is_some()
    }

    /// Writes a checkpoint: before the packet at hand, which is of time `at`, or at the end of the captures.
    fn keep(&mut self, at: Option<Timestamp>) -> anyhow::Result<()> {
        let Self { stream, feed, key_logs, telling, ledger, .. } = self;
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        let begun = now();
        let pipeline = &mut feed.pipeline;
        if at.is_none() {
            stream.collect(pipeline);
        }
        telling.out.sync()?;
        telling.servers.hand_over(telling.report);
        ledger.know_again();
        let (unwritten, counted) = (stream.unwritten(pipeline), pipeline.counted());
        let latest = at.or(counted.counts.latest).unwrap_or_default();
        let (number, since) = unwritten.since().unwrap_or((u64::MAX, latest));
        let head = Head {
            out: telling.out.written(),
            taken: ledger.taken,
            at,
            mark: ledger.before(number, since.min(latest)),
            files: ledger.entries.clone(),
            secrets: key_logs.captures(),
            refused: feed.refused.keys().map(|link| link.0).collect(),
            ..Head::new(keeping.settings.clone())
        };
        let going = Going {
            unwritten: &unwritten,
            counted: &counted,
            left_out: feed.left_out,
            key_log_uses: pipeline.key_log_uses(key_logs.sources()),
            stream: stream.kept(),
            context: telling.context.kept(),
            servers: telling.servers.known().iter().collect(),
            unsaved: telling.servers.unsaved().iter().collect(),
        };
        keeping.progress.write(&head, &going)?;
        keeping.last = (now(), begun.elapsed());
        Ok(())
    }

    /// True where faults have left no packet of any capture.
    fn has_read_nothing(&self) -> bool {
        let entries = &self.ledger.entries;
        entries.iter().all(|entry| entry.packets == 0) && entries.iter().any(|entry| entry.error.is_some())
    }

    /// Writes what is left, and what the run counted.
    fn finish(mut self) -> anyhow::Result<Status> {
        if let Some(mut line) = self.line.take() {
            line.clear();
        }
        if self.has_read_nothing() && self.telling.out.leave() {
            super::output::say_unread(Path::new(self.telling.out.name()));
            return Ok(Status::Failed);
        }
        self.keep(None)?;
        let Self { mut stream, feed, merge, key_logs, mut telling, ledger, keeping, .. } = self;
        let Feed { pipeline, left_out, refused, .. } = feed;
        for error in refused.values() {
            say(format_args!("{error}; packets of this link type are left out"));
        }
        let Some(flows) = judge_rest(&mut stream, pipeline, &mut telling, keeping.as_ref())? else {
            say(format_args!("{INTERRUPTED}"));
            return Ok(Status::Failed);
        };
        replay::warn_of_unknown_links(&merge, flows.decode.undecodable(Reason::UnknownLinkType));
        let report = telling.report;
        let refused: Vec<String> = refused.values().map(ToString::to_string).collect();
        let mut missing = end::missing(&ledger, &refused, stream.flows_lost);
        let analysis = Analysis::default();
        let run = Run {
            rules: &report.rules,
            databases: &report.databases,
            analysis: &analysis,
            earlier: stream.written(),
            counts: replay::add(flows.counts, &left_out),
            decode: &flows.decode,
            table: flows.table,
            files: ledger.entries.iter().map(Entry::record).collect(),
            command: Vec::new(),
            key_logs: key_logs.records(&[&flows.key_log]),
            policies: policy::records(report.policy.as_ref()),
            dropped: Dropped::default(),
            stream: Some(stream.record()),
            memory: None,
            complete: missing.is_empty(),
        };
        let name = telling.out.name().to_owned();
        report::write_stats(&mut telling.out, &run, &report.style).with_context(|| name)?;
        telling.out.sync()?;
        if keeping.is_some() {
            telling.servers.hand_over(report);
        }
        if !store::were_sound(&report.databases) {
            missing.push("answers of location databases are missing".to_owned());
        }
        let is_whole = missing.is_empty() && !telling.servers.failed;
        let status = policy::status(is_whole, &telling.context);
        // What could not be put into the inventory is tried again.
        if let Some(keeping) = keeping.filter(|_| !telling.servers.failed) {
            keeping.progress.note(Some(&end::over(telling.out.written(), status, missing)))?;
        }
        Ok(status)
    }
}

/// Judges and writes what is left; nothing comes back where that is interrupted. The checkpoint stands before all of it: what was written of
/// it is then cut off again.
fn judge_rest(
    stream: &mut Stream<'_>,
    mut pipeline: Pipeline,
    telling: &mut Telling<'_>,
    keeping: Option<&Keeping>,
) -> anyhow::Result<Option<Flows>> {
    let mut each = |analysis| {
        telling.tell(&analysis);
        let is_interrupted = keeping.is_some_and(Keeping::is_interrupted);
        if is_interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut judged = stream.wind_down(&mut pipeline, &mut each);
    let mut flows = None;
    if judged.is_continue() {
        let mut last = pipeline.finish();
        judged = stream.finish(std::mem::take(&mut last.flows), &mut each);
        flows = Some(last);
    }
    telling.check()?;
    Ok(flows.filter(|_| judged.is_continue()))
}
