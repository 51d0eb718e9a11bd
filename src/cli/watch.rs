//! `meetscope watch`: an interface through the pipeline; records as flows and sessions end, counters at the end.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};

use meetscope::capture::live::{Live, Stats};
use meetscope::capture::{CaptureError, Packet};
use meetscope::observe::Summary;
use meetscope::pipeline::{self, Alive, Analysis, Held, Memory, Pipeline};
use meetscope::report::record::FileRecord;
use meetscope::report::{self, Dropped, Run, Written};
use meetscope::servers::Inventory;
use meetscope::time::Timestamp;

use super::config::Report;
use super::key_logs::KeyLogs;
use super::messages::say;
use super::state::State;
use super::{Status, config, input, output, policy, store};

/// Packet time between two looks for what has ended.
const LOOK: Duration = Duration::from_secs(1);
/// Packet time between two additions to the state file.
const SAVE: Duration = Duration::from_secs(60);
/// Looks (5 ms each) without a packet after which the kernel's buffer is empty whatever its counters say; several
/// times the delay after which it hands out a block.
const EMPTY_LOOKS: u32 = 100;

/// Listens until told to stop, or until the interface fails.
pub(super) fn run(config: &config::Watch) -> anyhow::Result<Status> {
    let mut out = output::open(config.report.output.as_deref(), &config.report.inputs)?;
    let known = config.report.state.as_ref().map(State::read).transpose()?.unwrap_or_default();
    let stop = stop_flag().context("signals")?;
    let mut live = Live::open(&config.interface, &config.live)?;
    let mode = if live.promiscuous() { "" } else { ", only what is meant for this host" };
    store::warn_of_age(&config.report.databases);
    say(format_args!("watching {} ({}{mode}); Ctrl-C stops", live.name(), live.link_type()));
    let mut pipeline = Pipeline::new(&config.pipeline, &config.report.rules);
    let key_logs = KeyLogs::read(&config.key_logs, &mut pipeline)?;
    if !config.key_logs.is_empty() {
        pipeline.expect_secrets();
    }
    let mut watching = Watching::new(pipeline, key_logs, &config.report, known);
    let ended = watching.listen(&mut live, &stop, &mut out)?;
    watching.losses.update(&mut live);
    watching.finish(&config.interface, ended.err().as_ref(), &mut out)
}

/// Set by Ctrl-C and by SIGTERM; a second one ends the process at once.
fn stop_flag() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

struct Watching<'a> {
    pipeline: Pipeline,
    key_logs: KeyLogs,
    report: &'a Report,
    memory: Memory,
    /// Of all that is written: meetings come back to sessions that were written before.
    context: report::Context<'a>,
    held: Held,
    losses: Losses,
    written: Written,
    frames: u64,
    looked: Option<Timestamp>,
    servers: Servers,
}

/// Servers seen, for the records of sessions and for the state file.
#[derive(Debug, Default)]
struct Servers {
    /// With those of the state file.
    known: Inventory,
    /// Those that are not in the state file yet.
    unsaved: Inventory,
    /// Packet time of the last writing.
    saved: Option<Timestamp>,
    /// The last writing failed.
    failed: bool,
}

impl Servers {
    /// Puts the servers of what has ended into the inventory. Only records of sessions tell of it.
    fn learn(&mut self, report: &Report, context: &mut report::Context<'_>, analysis: &Analysis) {
        let sessions = analysis.sessions.iter().map(|(session, _)| session);
        let seen = Inventory::of(&report.rules, &analysis.flows, sessions);
        if seen.is_empty() {
            return;
        }
        if report.state.is_some() {
            self.unsaved.merge(seen.clone());
        }
        self.known.merge(seen);
        if !analysis.sessions.is_empty() {
            context.learn(&self.known);
        }
    }

    fn save_when_due(&mut self, report: &Report, now: Timestamp) {
        let saved = *self.saved.get_or_insert(now);
        if now.since(saved) >= SAVE || saved.since(now) >= SAVE {
            self.saved = Some(now);
            self.save(report);
        }
    }

    /// Adds what is new to the state file. What could not be written is tried again the next time.
    fn save(&mut self, report: &Report) {
        let Some(state) = &report.state else { return };
        if self.unsaved.is_empty() {
            return;
        }
        match state.add(self.unsaved.clone()) {
            Ok(all) => {
                self.known = all;
                self.unsaved = Inventory::default();
                self.failed = false;
            }
            Err(error) => {
                if !self.failed {
                    say(format_args!("{error}"));
                }
                self.failed = true;
            }
        }
    }
}

impl<'a> Watching<'a> {
    fn new(pipeline: Pipeline, key_logs: KeyLogs, report: &'a Report, known: Inventory) -> Self {
        let mut context =
            report::Context::new(&report.rules, &report.databases, false).captured_in(report.capture_point);
        if let Some(policies) = &report.policy {
            policies.judge(&mut context);
        }
        Self {
            pipeline,
            key_logs,
            report,
            memory: Memory::default(),
            context,
            held: Held::default(),
            losses: Losses::default(),
            written: Written::default(),
            frames: 0,
            looked: None,
            servers: Servers { known, ..Servers::default() },
        }
    }

    /// Takes packets until told to stop, and then those that the kernel still holds.
    ///
    /// The outer error is the destination's, the inner one the interface's.
    fn listen(
        &mut self,
        live: &mut Live,
        stop: &AtomicBool,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<(), CaptureError>> {
        while !stop.load(Ordering::Relaxed) {
            match live.next() {
                Ok(None) => {}
                Ok(Some(packet)) => {
                    let now = packet.timestamp;
                    if let Err(error) = self.packet(&packet) {
                        return Ok(Err(error));
                    }
                    if self.is_due(now) {
                        self.losses.update(live);
                        self.look(now, out)?;
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        self.losses.update(live);
        Ok(self.drain(live))
    }

    /// The kernel hands packets out in blocks, the last one with a delay.
    fn drain(&mut self, live: &mut Live) -> Result<(), CaptureError> {
        let mut empty_looks = 0_u32;
        while self.frames < self.losses.delivered() && empty_looks < EMPTY_LOOKS {
            match live.next()? {
                Some(packet) => self.packet(&packet)?,
                None => empty_looks = empty_looks.saturating_add(1),
            }
        }
        Ok(())
    }

    #[inline]
    fn packet(&mut self, packet: &Packet<'_>) -> Result<(), CaptureError> {
        self.frames = self.frames.wrapping_add(1);
        self.pipeline.packet(0, self.frames, packet)
    }

    /// Also when the clock was set back.
    fn is_due(&mut self, now: Timestamp) -> bool {
        let looked = *self.looked.get_or_insert(now);
        let due = now.since(looked) >= LOOK || looked.since(now) >= LOOK;
        if due {
            self.looked = Some(now);
        }
        due
    }

    /// Writes what is over.
    fn look(&mut self, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
        self.key_logs.refresh(&mut self.pipeline);
        let ended = self.pipeline.take_ended(now);
        // A name may be asked for by one endpoint and used by another that is let go first.
        for flow in &ended {
            self.memory.names.learn(flow);
        }
        self.held.push(ended);
        if self.held.is_empty() {
            return Ok(());
        }
        let mut alive = Alive::default();
        self.pipeline.for_each_alive(|tuple| alive.add(tuple));
        let over = self.held.take_silent(now, &alive);
        if !over.is_empty() {
            self.write(over, out)?;
        }
        self.servers.save_when_due(self.report, now);
        Ok(())
    }

    fn write(&mut self, flows: Vec<Summary>, out: &mut dyn Write) -> anyhow::Result<()> {
        let Report { rules, style, .. } = self.report;
        let analysis = pipeline::analyse(rules, &mut self.memory, flows);
        self.written.add(&analysis);
        self.servers.learn(self.report, &mut self.context, &analysis);
        report::write_records(out, &mut self.context, &analysis, style)?;
        out.flush()?;
        Ok(())
    }

    /// Writes what is left, and the counters last.
    fn finish(
        mut self,
        interface: &str,
        error: Option<&CaptureError>,
        out: &mut dyn Write,
    ) -> anyhow::Result<Status> {
        let flows = self.pipeline.finish();
        let analysis = pipeline::analyse(&self.report.rules, &mut self.memory, self.held.finish(flows.flows));
        self.servers.learn(self.report, &mut self.context, &analysis);
        self.servers.save(self.report);
        if let Some(error) = error {
            say(format_args!("{error}; the {} packets before it are reported, incomplete", self.frames));
        }
        let record = FileRecord {
            name: interface.to_owned(),
            packets: self.frames,
            error: error.map(input::without_name),
            ..FileRecord::default()
        };
        let run = Run {
            rules: &self.report.rules,
            databases: &self.report.databases,
            analysis: &analysis,
            earlier: self.written,
            counts: flows.counts,
            decode: &flows.decode,
            table: flows.table,
            files: vec![record],
            command: Vec::new(),
            key_logs: self.key_logs.records(&flows.key_log),
            policies: policy::records(self.report.policy.as_ref()),
            dropped: self.losses.dropped(),
            complete: error.is_none(),
        };
        report::write_rest(out, &mut self.context, &run, &self.report.style)?;
        out.flush()?;
        let is_whole = error.is_none() && !self.servers.failed && store::were_sound(&self.report.databases);
        Ok(policy::status(is_whole, &self.context))
    }
}

/// The interface's counters, which are 32 bits wide and wrap, added up.
#[derive(Debug, Default)]
struct Losses {
    last: Stats,
    received: u64,
    kernel: u64,
    interface: u64,
}

impl Losses {
    /// Has to be called before a counter can have wrapped twice. An interface that has failed has no news.
    fn update(&mut self, live: &mut Live) {
        if let Ok(stats) = live.stats() {
            self.add(stats);
        }
    }

    fn add(&mut self, stats: Stats) {
        let grown = |new: u32, old: u32| u64::from(new.wrapping_sub(old));
        self.received = self.received.saturating_add(grown(stats.received, self.last.received));
        self.kernel = self.kernel.saturating_add(grown(stats.dropped, self.last.dropped));
        self.interface = self.interface.saturating_add(grown(stats.if_dropped, self.last.if_dropped));
        self.last = stats;
    }

    /// Packets that the kernel has put into its buffer for us.
    const fn delivered(&self) -> u64 {
        if COUNTS_DROPPED_AS_RECEIVED { self.received.saturating_sub(self.kernel) } else { self.received }
    }

    /// What was lost.
    const fn dropped(&self) -> Dropped {
        Dropped { kernel: self.kernel, interface: self.interface, own: 0 }
    }
}

/// pcap(3): on Linux the received packets include those that found the buffer full.
const COUNTS_DROPPED_AS_RECEIVED: bool = cfg!(target_os = "linux");
