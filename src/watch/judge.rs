//! The thread that judges. In: [`Batch`]es of all workers. Out: what a [`Listener`] is told.

use std::sync::Arc;
use std::time::Duration;

use super::clock::Stopwatch;
use super::{Batch, Question, Totals};
use crate::classify::Rules;
use crate::geo::Databases;
use crate::keys::Analysis;
use crate::observe::Summary;
use crate::pipeline::{self, Alive, Held, KeyLog, Memory};
use crate::report::record::{
    FileRecord, InterfaceRecord, KeyLogRecord, LiveRecord, Phase, PolicyRecord, SinkRecord,
};
use crate::report::{Context, Kind, Record, Run, Told, Written, each_record, stats_record};
use crate::time::Timestamp;

/// Packet time between two records of the counters.
const LOOK: Duration = Duration::from_secs(1);

/// Takes what a run tells.
pub trait Listener {
    /// One thing that is told.
    fn told(&mut self, told: Told);

    /// What has ended, before anything is told of it: for what is learnt from it.
    fn learn(&mut self, context: &mut Context<'_>, analysis: &Analysis);

    /// What has ended while the run goes on, for what is written as pages.
    fn ended(&mut self, context: &mut Context<'_>, analysis: &Analysis);

    /// All that was left has ended, and the run with it.
    fn finished(&mut self, context: &mut Context<'_>, run: &Run<'_>);

    /// How the destinations of records do.
    fn sinks(&self) -> Vec<SinkRecord>;
}

/// What a run is judged by, and what is told of it.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct Setup<'a> {
    /// What is known of providers.
    pub rules: &'a Rules,
    /// Where addresses are looked up.
    pub databases: &'a Databases,
    /// How records are made; it knows the policy.
    pub context: Context<'a>,
    /// The policy files.
    pub policies: Vec<PolicyRecord>,
    /// The interfaces, with nothing counted yet.
    pub interfaces: Vec<InterfaceRecord>,
    /// The kinds of records that destinations want.
    pub kinds: Vec<Kind>,
    /// Time between two records of a session that goes on, and between those of the counters.
    pub update: Duration,
    /// What the workers are asked.
    pub question: Question,
}

/// Holds what has ended until it can be judged, and tells of it.
#[derive(Debug)]
pub struct Judge<'a> {
    setup: Setup<'a>,
    memory: Memory,
    held: Held,
    written: Written,
    totals: Totals,
    /// Number of the question that is asked, and the answers so far by worker.
    asked: u64,
    answers: Vec<(usize, Alive)>,
    begun: Stopwatch,
    /// When the counters were told last, and when to destinations.
    counted: [Option<Timestamp>; 2],
    last: Vec<Summary>,
    endings: Vec<super::Last>,
}

/// How a run ended, for who must know.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ending<'a> {
    /// What was judged by, and whether a rule fired.
    pub context: Context<'a>,
    /// False where a worker failed.
    pub complete: bool,
}

impl<'a> Judge<'a> {
    /// A judge that has seen nothing.
    pub fn new(setup: Setup<'a>) -> Self {
        Self {
            setup,
            memory: Memory::default(),
            held: Held::default(),
            written: Written::default(),
            totals: Totals::default(),
            asked: 0,
            answers: Vec::new(),
            begun: Stopwatch::start(),
            counted: [None; 2],
            last: Vec::new(),
            endings: Vec::new(),
        }
    }

    /// Takes what a worker found, and tells what follows from it.
    pub fn take(&mut self, mut batch: Batch, listener: &mut dyn Listener) {
        self.totals.take(&batch);
        let mut ended = std::mem::take(&mut batch.ended);
        // A name may be asked for by one endpoint and used by another that is let go first.
        for flow in &ended {
            self.memory.names.learn(flow);
        }
        if let Some(last) = batch.last.take() {
            self.last.append(&mut ended);
            self.endings.push(last);
            return;
        }
        self.held.push(ended);
        let (number, alive) = batch.alive;
        if number == self.asked {
            self.answers.retain(|(worker, _)| *worker != batch.worker);
            self.answers.push((batch.worker, alive));
        }
        let Some(now) = self.totals.now() else { return self.count(None, listener) };
        self.release(now, listener);
        self.count(Some(now), listener);
    }

    /// Tells of endpoints that have fallen silent.
    fn release(&mut self, now: Timestamp, listener: &mut dyn Listener) {
        let is_answered = self.totals.going().all(|going| self.answers.iter().any(|(by, _)| *by == going));
        let mut over = Vec::new();
        if is_answered {
            let mut answers = std::mem::take(&mut self.answers).into_iter().map(|(_, alive)| alive);
            if let Some(mut alive) = answers.next() {
                answers.for_each(|other| alive.join(other));
                over = self.held.take_silent(now, &alive);
            }
            // Those that will have been silent long enough when the answers come.
            let next = self.held.asked(now.plus(LOOK));
            self.asked = self.asked.wrapping_add(1);
            self.setup.question.ask(self.asked, next);
        }
        over.append(&mut self.held.take_excess());
        over.sort_by_key(|flow| flow.id);
        if !over.is_empty() {
            let analysis = pipeline::analyse(self.setup.rules, &mut self.memory, over);
            self.written.add(&analysis);
            listener.learn(&mut self.setup.context, &analysis);
            listener.ended(&mut self.setup.context, &analysis);
            self.tell(&analysis, Phase::Ended, listener);
        }
    }

    /// Tells the records of an analysis. Sessions, meetings and alerts are told also where no destination wants them: they are shown.
    fn tell(&mut self, analysis: &Analysis, phase: Phase, listener: &mut dyn Listener) {
        let wanted = &self.setup.kinds;
        let mut kinds = vec![Kind::Session, Kind::Meeting, Kind::Alert];
        if wanted.contains(&Kind::Flow) {
            kinds.push(Kind::Flow);
        }
        each_record(&mut self.setup.context, analysis, kinds, |record| {
            let is_for_sinks = record.kind().is_some_and(|kind| wanted.contains(&kind));
            listener.told(Told { record: Arc::new(record.in_phase(phase)), is_for_sinks });
        });
    }

    /// Tells the counters, every second to who shows them and less often to destinations.
    fn count(&mut self, now: Option<Timestamp>, listener: &mut dyn Listener) {
        let [shown, written] = &mut self.counted;
        if shown.is_some() && !is_due(shown, now, LOOK) {
            return;
        }
        *shown = now;
        let is_for_sinks = is_due(written, now, self.setup.update) && self.wants_stats();
        let nothing = Analysis { flows: Vec::new(), sessions: Vec::new(), meetings: Vec::new() };
        let decode = self.totals.decode();
        let run = self.run(&nothing, &decode, Vec::new(), true);
        let mut record = stats_record(&run);
        record.interfaces = self.interfaces();
        record.sinks = listener.sinks();
        record.live = Some(self.live());
        let record = Record::Stats(Box::new(record)).in_phase(Phase::Update);
        listener.told(Told { record: Arc::new(record), is_for_sinks });
    }

    fn wants_stats(&self) -> bool {
        self.setup.kinds.contains(&Kind::Stats)
    }

    fn interfaces(&self) -> Vec<InterfaceRecord> {
        let mut records = self.setup.interfaces.clone();
        self.totals.fill(&mut records);
        records
    }

    fn live(&self) -> LiveRecord {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        LiveRecord {
            uptime_s: self.begun.elapsed().as_secs(),
            flows_alive: count(self.totals.flows_alive()),
            flows_held: count(self.held.len()),
            flows_lost: self.totals.flows_lost(),
            clock_steps: self.totals.clock_steps(),
            ..LiveRecord::default()
        }
    }

    fn run<'r>(
        &'r self,
        analysis: &'r Analysis,
        decode: &'r crate::decode::Counters,
        key_logs: Vec<KeyLogRecord>,
        complete: bool,
    ) -> Run<'r> {
        let counts = self.totals.counts();
        let names: Vec<&str> = self.setup.interfaces.iter().map(|one| one.name.as_str()).collect();
        let error = self.endings.iter().find_map(|last| last.error.as_ref());
        let file = FileRecord {
            name: names.join(" "),
            packets: counts.seen,
            error: error.map(|error| {
                let text = error.to_string();
                text.strip_prefix(&format!("{}: ", error.name)).unwrap_or(&text).to_owned()
            }),
            ..FileRecord::default()
        };
        Run {
            rules: self.setup.rules,
            databases: self.setup.databases,
            analysis,
            earlier: self.written,
            counts,
            decode,
            table: self.totals.table(),
            files: vec![file],
            command: Vec::new(),
            key_logs,
            policies: self.setup.policies.clone(),
            dropped: self.totals.dropped(),
            complete,
        }
    }

    /// What failed, where a worker did.
    pub fn error(&self) -> Option<&crate::capture::CaptureError> {
        self.endings.iter().find_map(|last| last.error.as_ref())
    }

    /// Interfaces that failed while others go on, and why.
    pub fn failed(&self) -> Vec<&crate::capture::CaptureError> {
        self.totals.errors()
    }

    /// Packets that were looked at.
    pub fn packets(&self) -> u64 {
        self.totals.counts().seen
    }

    /// Judges all that is left, when all workers have ended, and tells the counters last. `key_logs` makes the records of key logs.
    pub fn finish(
        mut self,
        key_logs: impl FnOnce(&[&KeyLog]) -> Vec<KeyLogRecord>,
        listener: &mut dyn Listener,
    ) -> Ending<'a> {
        let held = std::mem::take(&mut self.held);
        let flows = held.finish(std::mem::take(&mut self.last));
        let analysis = pipeline::analyse(self.setup.rules, &mut self.memory, flows);
        let complete = self.error().is_none() && self.totals.errors().is_empty();
        let logs: Vec<&KeyLog> = self.endings.iter().map(|last| &last.key_log).collect();
        let key_logs = key_logs(&logs);
        let decode = self.totals.decode();
        listener.learn(&mut self.setup.context, &analysis);
        self.tell(&analysis, Phase::Ended, listener);
        let nothing_known = Context::new(self.setup.rules, self.setup.databases, false);
        let mut context = std::mem::replace(&mut self.setup.context, nothing_known);
        let run = self.run(&analysis, &decode, key_logs, complete);
        listener.finished(&mut context, &run);
        let mut record = stats_record(&run);
        record.interfaces = self.interfaces();
        record.sinks = listener.sinks();
        record.live = Some(self.live());
        let record = Record::Stats(Box::new(record)).in_phase(Phase::Ended);
        listener.told(Told { record: Arc::new(record), is_for_sinks: self.wants_stats() });
        Ending { context, complete }
    }
}

/// Whether it is time again, also when the clock was set back; notes that it was.
fn is_due(last: &mut Option<Timestamp>, now: Option<Timestamp>, pace: Duration) -> bool {
    let Some(now) = now else { return false };
    let before = *last.get_or_insert(now);
    let due = now.since(before) >= pace || before.since(now) >= pace;
    if due {
        *last = Some(now);
    }
    due
}
