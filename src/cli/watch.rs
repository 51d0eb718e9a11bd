//! `meetscope watch`: interfaces through the pipeline; what is told as sessions form, go on and end goes to its destination.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use meetscope::board::{self, Board};
use meetscope::capture::live;
use meetscope::keys::Analysis;
use meetscope::report::record::SinkRecord;
use meetscope::report::{Context, Kind, Told};
use meetscope::sink::{Opened, Outlet, Sinks, Voice};
use meetscope::watch::{Inbox, Judge, Listener, Question, Setup, queue};

use super::capture::{self, Capturing};
use super::config::Report;
use super::dump::Dump;
use super::messages::say;
use super::reload::Reload;
use super::seen::Servers;
use super::signals::Signals;
use super::state::State;
use super::telemetry::{Telemetry, is_served};
use super::{Status, config, confine, dashboard, input, policy, screen, store};

/// How long to wait for what workers found before looking whether to stop.
const WAIT: Duration = Duration::from_millis(500);
/// How long an end may take from when it is asked for, with some time to spare of the five seconds that are promised; a second
/// signal does not wait.
const ENDING: Duration = Duration::from_millis(4300);
/// What destinations have of it in any case to take what waits.
const FLUSH: Duration = Duration::from_millis(800);
/// What the judging of all that is left has of it.
const JUDGING: Duration = Duration::from_millis(2500);

/// Listens until told to stop, or until the interface fails.
pub(super) fn run(config: &config::Watch) -> anyhow::Result<Status> {
    let voice: Voice = Arc::new(|text| say(format_args!("{text}")));
    let known = config.report.state.as_ref().map(State::read).transpose()?.unwrap_or_default();
    let signals = Signals::listen().context("signals")?;
    let stop = Arc::clone(&signals.stop);
    let telemetry = Telemetry::new(&config.web);
    let bound = telemetry.bind(&config.web)?;
    let is_shown = is_served(&bound) || config.screen;
    let room = board::Config::within(usize::try_from(config.budget.tables()).unwrap_or(usize::MAX));
    let board = is_shown.then(|| Arc::new(Mutex::new(Board::new(room))));
    let opened = live::open(&config.interfaces, config.workers, &config.live)?;
    confine::become_user(config)?;
    let sinks = Opened::open(&config.outlets, &voice)?;
    store::warn_of_age(&config.report.databases);
    let interfaces = capture::introduce(&opened);
    let question = Question::default();
    let (outbox, inbox) = queue(opened.workers.len(), config.budget.waiting());
    let capturing = Capturing::start(config, opened, &question, outbox, &stop)?;
    let judge = Judge::new(Setup {
        rules: &config.report.rules,
        context: context(&config.report, bound.dashboard().is_some()),
        policies: policy::records(config.report.policy.as_ref()),
        interfaces,
        kinds: kinds(config),
        update: config.update,
        question,
    })
    .within(config.budget);
    let sinks = sinks.start().context("threads of destinations")?;
    dashboard::announce(&bound);
    let served = Arc::new(AtomicBool::new(false));
    let served_board = board.as_ref().filter(|_| is_served(&bound)).map(Arc::clone);
    let web = served_board.map(|board| bound.serve(board, Arc::clone(&served))).transpose()?;
    telemetry.ready(&config.interfaces.join(", "));
    let telling = Telling {
        report: &config.report,
        stop_after: config.stop_after,
        sinks: &sinks,
        servers: Servers::new(known),
        board: board.clone(),
        telemetry,
        dump: Dump::default(),
        signals: &signals,
    };
    let orders = Orders { config, signals: &signals };
    let screen =
        board.filter(|_| config.screen).map(|board| screen::show(board, &stop, config)).transpose()?;
    let (mut status, seen) = judge_all(judge, &inbox, telling, &orders, &capturing);
    // It has sent its last batch, or nobody listens any more.
    stop.store(true, Ordering::Relaxed);
    served.store(true, Ordering::Relaxed);
    drop(inbox);
    if let Some(screen) = screen {
        screen.end();
    }
    let records = sinks.finish(orders.signals.left(ENDING, FLUSH));
    dashboard::end(web);
    capturing.join();
    if !tell_of_losses(&seen.unwrap_or(records)) && matches!(status, Status::Done | Status::Fired) {
        status = Status::Failed;
    }
    Ok(status)
}

/// Judges what comes until the workers have ended. Where they were told to because nobody listened any more, what had become of records by
/// then: whoever has seen enough misses nothing of what came behind.
fn judge_all(
    mut judge: Judge<'_>,
    inbox: &Inbox,
    mut telling: Telling<'_>,
    orders: &Orders<'_>,
    capturing: &Capturing,
) -> (Status, Option<Vec<SinkRecord>>) {
    let mut told = Vec::new();
    let mut seen = None;
    let begun = clock();
    let mut reload = Reload::default();
    while let Ok(batch) = inbox.next(WAIT) {
        if telling.stop_after.is_some_and(|after| begun.elapsed() >= after) {
            orders.signals.stop.store(true, Ordering::Relaxed);
        }
        if let Some(batch) = batch {
            judge.take(batch, &mut telling);
            capture::tell_of_failures(&judge.failed(), &mut told);
        }
        if telling.has_nobody_left() && !orders.signals.stop.swap(true, Ordering::Relaxed) {
            seen = Some(telling.sinks.records());
        }
        orders.obey(&mut judge, &telling, &mut reload);
    }
    if let Some(error) = judge.error() {
        say(format_args!("{error}{}", input::before(judge.packets())));
    }
    telling.telemetry.stopping();
    let ending = judge.finish(|logs| capturing.key_log_records(logs), &mut telling);
    telling.servers.save(telling.report);
    if ending.unjudged > 0 {
        say(format_args!("{} flows were not judged: there was no time for them at the end", ending.unjudged));
    }
    if ending.lost > 0 {
        say(format_args!("{} flows were not judged: more ended at once than could be kept", ending.lost));
    }
    let is_whole = ending.complete && !telling.servers.failed && store::were_sound(&telling.report.databases);
    (policy::status(is_whole, &ending.context), seen)
}

/// Only the dashboard draws how a session went.
fn context(report: &Report, has_dashboard: bool) -> Context<'_> {
    let mut context = Context::new(&report.rules, &report.databases, false)
        .captured_in(report.capture_point)
        .in_run(store::now());
    if has_dashboard {
        context = context.with_trends();
    }
    if let Some(policies) = &report.policy {
        policies.judge(&mut context);
    }
    context
}

/// When the listening began.
#[expect(clippy::disallowed_methods, reason = "who says for how long to listen means the clock on the wall")]
fn clock() -> Instant {
    Instant::now()
}

/// The kinds of records that are written: each destination chooses among them.
fn kinds(config: &config::Watch) -> Vec<Kind> {
    let all = [Kind::Flow, Kind::Session, Kind::Meeting, Kind::Alert, Kind::Stats];
    let has_lines = config.outlets.outlets.iter().any(|outlet| matches!(outlet, Outlet::Send(_)));
    let is_wanted = |kind: Kind| {
        let style = &config.report.style;
        style.wants(kind) || (has_lines && style.kinds.is_none())
    };
    all.into_iter().filter(|kind| is_wanted(*kind)).collect()
}

/// Where what is told goes.
struct Telling<'a> {
    report: &'a Report,
    /// When to stop without being told.
    stop_after: Option<Duration>,
    sinks: &'a Sinks,
    servers: Servers,
    /// What is known now, where somebody looks at it.
    board: Option<Arc<Mutex<Board>>>,
    telemetry: Telemetry,
    /// What SIGUSR1 writes.
    dump: Dump,
    signals: &'a Signals,
}

/// What a run is told from outside.
struct Orders<'a> {
    config: &'a config::Watch,
    signals: &'a Signals,
}

impl Orders<'_> {
    /// Does what signals have asked for since the last look.
    fn obey(&self, judge: &mut Judge<'_>, telling: &Telling<'_>, reload: &mut Reload) {
        self.signals.look();
        if self.signals.asks_anew() {
            telling.telemetry.reloading();
            telling.sinks.reopen();
            say(format_args!("SIGHUP: output files are opened anew"));
            reload.begin(self.config.reload.clone());
        }
        if let Some(fresh) = reload.done() {
            judge.read_anew(|context| fresh.apply(context));
            telling.telemetry.ready(&self.config.interfaces.join(", "));
        }
        if self.signals.asks_for_state() {
            telling.dump.write(&telling.sinks.records(), self.config.dump.as_deref());
        }
    }
}

impl Telling<'_> {
    /// True when nobody is told anything any more.
    fn has_nobody_left(&self) -> bool {
        self.board.is_none() && self.sinks.are_gone()
    }
}

impl Listener for Telling<'_> {
    fn told(&mut self, told: Told) {
        self.telemetry.told(&told);
        if let Some(board) = &self.board {
            board.lock().unwrap_or_else(PoisonError::into_inner).take(&told);
        }
        self.dump.take(&told);
        self.sinks.offer(&told);
    }

    fn learn(&mut self, context: &mut Context<'_>, analysis: &Analysis) {
        self.servers.learn(self.report, context, analysis);
        if let Some(latest) = analysis.flows.iter().map(|judged| judged.flow.end).max() {
            self.servers.save_when_due(self.report, latest);
        }
    }

    fn sinks(&self) -> Vec<SinkRecord> {
        self.sinks.records()
    }

    fn left(&self) -> Option<Duration> {
        self.signals.look();
        self.signals.is_ending().then(|| self.signals.left(JUDGING, Duration::ZERO))
    }
}

/// Tells of destinations that did not take all.
fn tell_of_losses(records: &[SinkRecord]) -> bool {
    let mut is_whole = true;
    for SinkRecord { name, offered, lost, in_doubt, .. } in records {
        if *lost > 0 {
            say(format_args!("{name}: {lost} of {offered} records were lost"));
            is_whole = false;
        }
        if *in_doubt > 0 {
            say(format_args!(
                "{name}: of {in_doubt} of {offered} records it is not known whether they were taken"
            ));
        }
    }
    is_whole
}
