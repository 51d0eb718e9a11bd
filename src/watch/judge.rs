//! The thread that judges. In: [`Batch`]es of all workers. Out: what a [`Listener`] is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{self, Stopwatch};
use super::holding::Holding;
use super::live::{Ended, Live, Way};
use super::losses::Losses;
use super::memory::{self, Budget, Keeper};
use super::{Batch, Question, Totals};
use crate::classify::Rules;
use crate::keys::Analysis;
use crate::observe::Summary;
use crate::pipeline::{self, Alive, KeyLog};
use crate::report::record::{
    FileRecord, InterfaceRecord, KeyLogRecord, LiveRecord, Phase, PolicyRecord, SinkRecord,
};
use crate::report::{self, Context, Going, Kind, Record, Run, Told, each_record, stats_record};
use crate::time::Timestamp;

/// Packet time between two records of the counters.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at memory, at least.
const KEEP: Duration = Duration::from_millis(50);

/// A look at what goes on takes at most this part of the time of who judges.
const LOOKING_SHARE: u32 = 3;
/// Ended flows that are looked at beside those that are alive, of the same endpoints, where nobody said how much memory there is.
const HELD_TOO: usize = 1 << 13;

/// Takes what a run tells.
pub trait Listener {
    /// One thing that is told.
    fn told(&mut self, told: Told);

    /// What has ended, before anything is told of it: for what is learnt from it.
    fn learn(&mut self, context: &mut Context<'_>, analysis: &Analysis);

    /// How the destinations of records do.
    fn sinks(&self) -> Vec<SinkRecord>;

    /// What is left of the time in which an end has to be judged; none while no end is asked for.
    fn left(&self) -> Option<Duration> {
        None
    }
}

/// What a run is judged by, and what is told of it.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct Setup<'a> {
    /// What is known of providers.
    pub rules: &'a Rules,
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
    holding: Holding,
    totals: Totals,
    /// Number of the question that is asked, and the answers so far by worker.
    asked: u64,
    answers: Vec<(usize, Alive)>,
    begun: Stopwatch,
    /// When the counters were told last, and when to destinations.
    counted: [Option<Timestamp>; 2],
    last: Vec<Summary>,
    endings: Vec<super::Last>,
    live: Live,
    /// Flows of calls that are alive, as each worker last saw them.
    calls: BTreeMap<usize, Vec<Summary>>,
    losses: Losses,
    keeper: Option<Keeper>,
    /// Since memory was looked at.
    kept: Stopwatch,
    /// How long the last look at what goes on took, and since when that is.
    last_look: (Duration, Stopwatch),
    clock_steps: u64,
    /// Flows for which there was no time at the end.
    unjudged: u64,
}

/// How a run ended, for who must know.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ending<'a> {
    /// What was judged by, and whether a rule fired.
    pub context: Context<'a>,
    /// False where a worker failed, or where not all flows were judged.
    pub complete: bool,
    /// Flows for which there was no time at the end.
    pub unjudged: u64,
    /// Flows that had ended and were lost before, because the judging fell behind.
    pub lost: u64,
}

impl<'a> Judge<'a> {
    /// A judge that has seen nothing.
    pub fn new(setup: Setup<'a>) -> Self {
        Self {
            setup,
            holding: Holding::default(),
            totals: Totals::default(),
            asked: 0,
            answers: Vec::new(),
            begun: Stopwatch::start(),
            counted: [None; 2],
            last: Vec::new(),
            endings: Vec::new(),
            live: Live::default(),
            calls: BTreeMap::new(),
            losses: Losses::default(),
            keeper: None,
            last_look: (Duration::ZERO, Stopwatch::start()),
            kept: Stopwatch::start(),
            clock_steps: 0,
            unjudged: 0,
        }
    }

    /// Keeps all tables together within a budget.
    #[must_use]
    pub fn within(mut self, budget: Budget) -> Self {
        self.holding.within(budget);
        self.keeper = Some(Keeper::new(budget));
        self
    }

    /// Takes what a worker found, and tells what follows from it.
    pub fn take(&mut self, mut batch: Batch, listener: &mut dyn Listener) {
        if let Some((from, to, packets)) = self.losses.since(&batch) {
            self.setup.context.lost(from, to, packets);
        }
        let worker = batch.worker;
        let (mut ended, last) = (std::mem::take(&mut batch.ended), batch.last.take());
        let (alive, calls) = (batch.alive.take(), batch.calls.take());
        self.totals.take(batch, last.is_some());
        if let Some(last) = last {
            self.holding.learn(&ended);
            self.last.append(&mut ended);
            self.endings.push(last);
            return;
        }
        self.holding.take(ended);
        // In a flood batches come more often than once a second.
        if self.kept.elapsed() >= KEEP {
            self.kept = Stopwatch::start();
            let used = memory::used();
            if self.keeper.as_ref().is_some_and(|keeper| keeper.is_outgrown(used)) {
                self.keep(used);
            }
        }
        if let Some((number, alive)) = alive
            && number == self.asked
        {
            self.answers.retain(|(by, _)| *by != worker);
            self.answers.push((worker, alive));
        }
        if let Some((flows, left_out)) = calls {
            self.calls.insert(worker, flows);
            self.totals.leave_out(worker, left_out);
        }
        let Some(now) = self.totals.now() else { return self.count(None, listener) };
        if self.totals.clock_steps() != self.clock_steps {
            self.clock_steps = self.totals.clock_steps();
            self.holding.held.restart(now);
        }
        // At the end all that is left is judged together, those of calls first.
        if listener.left().is_none() {
            self.release(now, listener);
            self.look(now, listener);
        }
        self.count(Some(now), listener);
    }

    /// Tells of what goes on. The more there is, the more seldom: flows that have ended must be judged too.
    fn look(&mut self, now: Timestamp, listener: &mut dyn Listener) {
        let (took, since) = self.last_look;
        let is_fresh = self.totals.going().all(|going| self.calls.contains_key(&going));
        if !is_fresh || since.elapsed() < took.saturating_mul(LOOKING_SHARE) {
            return;
        }
        let watch = Stopwatch::start();
        let mut flows: Vec<Summary> = std::mem::take(&mut self.calls).into_values().flatten().collect();
        let endpoints: BTreeSet<IpAddr> = flows.iter().map(pipeline::endpoint_of).collect();
        let most = self.keeper.as_ref().map_or(HELD_TOO, |keeper| keeper.budget().calls(1));
        flows.append(&mut self.holding.held.of(&endpoints, most));
        flows.sort_by_key(|flow| flow.id);
        flows.dedup_by_key(|flow| flow.id);
        let Self { setup, holding, live, .. } = self;
        let Holding { memory, held, .. } = holding;
        let going = if flows.is_empty() {
            Going::default()
        } else {
            let analysis = pipeline::analyse_interim(setup.rules, memory, flows);
            report::going(&mut setup.context, &analysis)
        };
        let wanted = &setup.kinds;
        let is_held = |endpoint| held.has(endpoint);
        live.take(going, (now, setup.update), is_held, &mut |record, way| {
            tell(wanted, record, way, listener);
        });
        self.last_look = (watch.elapsed(), watch);
    }

    /// Tells of endpoints that have fallen silent.
    fn release(&mut self, now: Timestamp, listener: &mut dyn Listener) {
        let is_answered = self.totals.going().all(|going| self.answers.iter().any(|(by, _)| *by == going));
        let mut alive: Option<Alive> = None;
        if is_answered {
            for (_, answer) in std::mem::take(&mut self.answers) {
                match &mut alive {
                    Some(alive) => alive.join(answer),
                    None => alive = Some(answer),
                }
            }
        }
        let over = self.holding.release(now, alive.as_ref());
        if is_answered {
            // Those that will have been silent long enough when the answers come.
            let next = self.holding.held.asked(now.plus(LOOK));
            self.asked = self.asked.wrapping_add(1);
            self.setup.question.ask(self.asked, next);
        }
        self.judge(over, listener);
    }

    /// Judges flows that are over, and tells of them: many in parts, of whole endpoints, as long as there is time. What has to do with a call
    /// is judged in any case.
    fn judge(&mut self, over: Vec<Summary>, listener: &mut dyn Listener) {
        for part in Holding::parts(over, self.keeper.as_ref()) {
            if listener.left() == Some(Duration::ZERO) && !part.iter().any(pipeline::is_of_a_call) {
                let flows = u64::try_from(part.len()).unwrap_or(u64::MAX);
                self.unjudged = self.unjudged.saturating_add(flows);
                continue;
            }
            let analysis = self.holding.judge(self.setup.rules, part);
            listener.learn(&mut self.setup.context, &analysis);
            self.tell(&analysis, listener);
        }
    }

    /// Tells the records of an analysis. Sessions, meetings and alerts are told also where no destination wants them: they are shown.
    fn tell(&mut self, analysis: &Analysis, listener: &mut dyn Listener) {
        let Self { setup, live, .. } = self;
        let wanted = &setup.kinds;
        let mut ended = Ended::default();
        let mut kinds = vec![Kind::Session, Kind::Meeting, Kind::Alert];
        if wanted.contains(&Kind::Flow) {
            kinds.push(Kind::Flow);
        }
        let over = Way::written(Phase::Ended);
        each_record(&mut setup.context, analysis, kinds, |record| {
            if live.ended(&record, &mut ended) {
                tell(wanted, record, over, listener);
            }
        });
        live.settle(analysis, ended, &mut |record, way| tell(wanted, record, way, listener));
    }

    /// Tells the counters, every second to who shows them and less often to destinations.
    fn count(&mut self, now: Option<Timestamp>, listener: &mut dyn Listener) {
        let [shown, written] = &mut self.counted;
        // Silence from the start is news as well.
        let now = now.or_else(|| Some(clock::now()));
        if shown.is_some() && !is_due(shown, now, LOOK) {
            return;
        }
        *shown = now;
        let is_for_sinks = is_due(written, now, self.setup.update);
        self.keep(memory::used());
        let way = Way { phase: Phase::Update, is_written: is_for_sinks };
        self.tell_counters(Vec::new(), true, way, listener);
    }

    /// Has as many flows held as there is memory for.
    fn keep(&mut self, used: Option<u64>) {
        if let Some(keeper) = &mut self.keeper {
            let workers = self.totals.going().count().max(1);
            let most = keeper.look(used, self.totals.flows_alive());
            self.setup.question.limit_flows(most.div_ceil(workers));
            self.holding.held.limit(keeper.scaled(keeper.budget().held()));
            self.live.limit(keeper.scaled(keeper.budget().going()));
        }
    }

    fn tell_counters(
        &self,
        key_logs: Vec<KeyLogRecord>,
        complete: bool,
        way: Way,
        listener: &mut dyn Listener,
    ) {
        let decode = self.totals.decode();
        let nothing = Analysis::default();
        let mut record = stats_record(&self.run(&nothing, &decode, key_logs, complete));
        record.interfaces = self.interfaces();
        record.sinks = listener.sinks();
        record.live = Some(self.live());
        record.run = self.setup.context.run().map(ToOwned::to_owned);
        tell(&self.setup.kinds, Record::Stats(Box::new(record)), way, listener);
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
            flows_held: count(self.holding.held.len()),
            sessions_alive: count(self.live.sessions()),
            flows_left_out: self.totals.left_out(),
            sessions_left_out: count(self.live.left_out()),
            memory_bytes: self.keeper.as_ref().map_or_else(memory::used, Keeper::used),
            memory_budget_bytes: self.keeper.as_ref().map(|keeper| keeper.budget().bytes()),
            flows_lost: self.totals.flows_lost().saturating_add(self.unjudged),
            clock_steps: self.totals.clock_steps(),
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
        let error = self.error();
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
            databases: self.setup.context.databases(),
            analysis,
            earlier: self.holding.written,
            counts,
            decode,
            table: self.totals.table(),
            files: vec![file],
            memory: None,
            command: Vec::new(),
            key_logs,
            policies: self.setup.policies.clone(),
            dropped: self.totals.dropped(),
            stream: None,
            complete,
        }
    }

    /// Has something that was read anew take effect on how records are made; it answers with the policy files, where those changed.
    pub fn read_anew(&mut self, apply: impl FnOnce(&mut Context<'a>) -> Option<Vec<PolicyRecord>>) {
        if let Some(policies) = apply(&mut self.setup.context) {
            self.setup.policies = policies;
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
        let last = std::mem::take(&mut self.last);
        let flows = self.holding.release_all(last);
        self.judge(flows, listener);
        let flows_lost = self.totals.flows_lost();
        let complete = self.error().is_none()
            && self.totals.errors().is_empty()
            && self.unjudged == 0
            && flows_lost == 0;
        let logs: Vec<&KeyLog> = self.endings.iter().map(|last| &last.key_log).collect();
        let key_logs = key_logs(&logs);
        self.tell_counters(key_logs, complete, Way::written(Phase::Ended), listener);
        Ending { context: self.setup.context, complete, unjudged: self.unjudged, lost: flows_lost }
    }
}

/// Tells one record, and writes it where its kind is wanted.
fn tell(wanted: &[Kind], record: Record, way: Way, listener: &mut dyn Listener) {
    let is_for_sinks = way.is_written && record.kind().is_some_and(|kind| wanted.contains(&kind));
    listener.told(Told { record: Arc::new(record.in_phase(way.phase, clock::now())), is_for_sinks });
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
