//! What the arguments of a run on interfaces mean.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use meetscope::parallel::Threads;
use meetscope::watch::Budget;
use meetscope::{capture, pipeline, report, sink};

use super::super::messages::say;
use super::super::{UsageError, args, dashboard, outlets, output, reload};
use super::{Colour, Report, check_filter, check_inputs, is_stdin, pipeline_config};

/// A run on an interface.
pub(in crate::cli) struct Watch {
    pub(in crate::cli) interfaces: Vec<String>,
    pub(in crate::cli) workers: u32,
    pub(in crate::cli) live: capture::live::Options,
    /// Whom to become after the start.
    pub(in crate::cli) user: Option<String>,
    /// Give up what is not needed after the start.
    pub(in crate::cli) sandbox: bool,
    /// Time between two records of a session that goes on.
    pub(in crate::cli) update: Duration,
    /// What is served to browsers.
    pub(in crate::cli) web: meetscope::web::Config,
    /// How much memory it may use.
    pub(in crate::cli) budget: Budget,
    /// When to stop without being told.
    pub(in crate::cli) stop_after: Option<Duration>,
    pub(in crate::cli) pipeline: pipeline::Config,
    pub(in crate::cli) key_logs: Vec<PathBuf>,
    pub(in crate::cli) report: Report,
    pub(in crate::cli) outlets: sink::Config,
    /// Where SIGUSR1 writes the state.
    pub(in crate::cli) dump: Option<PathBuf>,
    /// What SIGHUP reads anew.
    pub(in crate::cli) reload: reload::Source,
    /// Show a screen in the terminal.
    pub(in crate::cli) screen: bool,
}

impl Watch {
    pub(in crate::cli) fn new(typed: args::Watch, colour: Colour) -> anyhow::Result<Self> {
        let common = &typed.common;
        let inputs = [common.keylog.as_slice(), &common.policy, &common.geoip.geoip].concat();
        check_inputs(&inputs, common.output.as_deref(), common.state.state.as_deref())?;
        check_dump(&typed.outlets, common, &inputs)?;
        if let Some(expression) = &typed.common.bpf {
            check_filter(expression)?;
        }
        let to_standard = typed.common.output.as_deref().is_none_or(is_stdin);
        let for_people = to_standard && io::stdout().is_terminal();
        let format = match typed.format {
            Some(args::LiveFormat::Text) => report::Format::Text,
            None if for_people => report::Format::Text,
            Some(args::LiveFormat::Ndjson) | None => report::Format::Ndjson,
        };
        let interfaces = interfaces(typed.capture.interface);
        let live = capture::live::Options {
            promiscuous: !typed.capture.no_promiscuous,
            snaplen: typed.capture.snaplen,
            buffer_mib: typed.capture.ring_mib,
            immediate: typed.capture.immediate,
            filter: typed.common.bpf.clone(),
            ..capture::live::Options::default()
        };
        // The kernel filters; and flows that have ended can be taken from a single thread only.
        let mut pipeline = pipeline_config(1, None, typed.capture.keep_duplicates);
        let key_logs = typed.common.keylog.clone();
        let reload = reload::Source { policy: common.policy.clone(), geoip: common.geoip.clone() };
        let report = Report::new(typed.common, inputs, format, colour, Threads::ONE)?;
        let (dump, screen) = (typed.outlets.dump.clone(), typed.outlets.tui);
        let budget = budget(typed.pace.memory_mib, interfaces.len(), typed.capture.ring_mib);
        let (output, taken) = (report.output.as_deref(), report.taken());
        let queue_bytes = sink::DEFAULT_BYTES.min(budget.tables().saturating_div(8));
        let asks_for_text = matches!(typed.format, Some(args::LiveFormat::Text));
        let outlets =
            outlets::config(&typed.outlets, output, taken, &report.style, asks_for_text, queue_bytes)?;
        let update = Duration::from_secs(typed.pace.update);
        let web = dashboard::config(&typed.web, typed.metrics.metrics)?;
        let (user, sandbox) = (typed.privileges.user, !typed.privileges.no_sandbox);
        let workers = typed.capture.workers;
        let stop_after = typed.pace.stop_after.map(Duration::from_secs);
        pipeline.max_flows = budget.flows();
        pipeline.max_key_sessions = budget.key_sessions();
        pipeline.sampling_with_secrets = budget.sampling_with_secrets();
        Ok(Self {
            interfaces,
            workers,
            live,
            user,
            sandbox,
            update,
            web,
            budget,
            stop_after,
            pipeline,
            key_logs,
            report,
            outlets,
            dump,
            reload,
            screen,
        })
    }
}

/// What may be used, beside the kernel's buffers of so many interfaces.
fn budget(memory_mib: Option<u64>, interfaces: usize, ring_mib: u32) -> Budget {
    let buffers = u64::try_from(interfaces).unwrap_or(u64::MAX).saturating_mul(u64::from(ring_mib));
    let budget = Budget::new(memory_mib).beside(buffers);
    if buffers.saturating_mul(2 << 20) > budget.bytes() {
        say(format_args!(
            "the kernel's buffers take {buffers} MiB, more than half of the {} MiB that may be used: the rest is held to a quarter \
             of them, and together that may be more",
            budget.bytes() >> 20
        ));
    }
    budget
}

/// What is written when somebody asks for it, or at the end, is looked at now: nobody would be there to read of a wrong name then.
fn check_dump(
    outlets: &args::outlets::Outlets,
    common: &args::Common,
    inputs: &[PathBuf],
) -> anyhow::Result<()> {
    let state = common.state.state.as_deref();
    if let Some(dump) = outlets.dump.as_deref() {
        let kept = super::kept(&common.state);
        let others = inputs.iter().chain(&kept).map(PathBuf::as_path);
        for other in others.chain(output::named(common.output.as_deref())) {
            if output::is_same(other, dump) {
                return Err(UsageError(format!("--dump: {} would be overwritten", dump.display())).into());
            }
        }
    }
    for (option, path) in [("--dump", outlets.dump.as_deref()), ("--state", state)] {
        let Some(path) = path else { continue };
        if path.is_dir() {
            anyhow::bail!("{option}: {} is a directory", path.display());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            anyhow::bail!("{option}: {}: there is no directory {}", path.display(), folder.display());
        }
    }
    Ok(())
}

/// Interfaces in the order in which they were named. Of one that is named twice each packet would come twice.
fn interfaces(typed: Vec<String>) -> Vec<String> {
    let mut interfaces: Vec<String> = Vec::new();
    for name in typed {
        if interfaces.contains(&name) {
            say(format_args!("{name} is named more than once, and is watched once"));
        } else {
            interfaces.push(name);
        }
    }
    interfaces
}
