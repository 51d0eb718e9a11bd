//! The capturing end of `meetscope watch`: opened interfaces, and a thread for each worker.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;

use meetscope::capture::CaptureError;
use meetscope::capture::live::{Opened, distortions, owner};
use meetscope::pipeline::{self, KeyLog, Numbering, Pipeline, Share};
use meetscope::report::record::{InterfaceRecord, KeyLogRecord};
use meetscope::watch::{Exchange, Interfaces, Outbox, Question, Worker};

use super::key_logs::KeyLogs;
use super::messages::say;
use super::{config, confine};

/// Says what is watched and what distorts it.
pub(super) fn introduce(opened: &Opened) -> Vec<InterfaceRecord> {
    let mut records = Vec::new();
    for live in opened.workers.first().into_iter().flatten() {
        let mode = if live.promiscuous() { "" } else { ", only what is meant for this host" };
        say(format_args!("watching {} ({}{mode}); Ctrl-C stops", live.name(), live.link_type()));
        let distortions = distortions(live.name());
        for distortion in &distortions {
            say(format_args!("{}: {distortion}", live.name()));
        }
        records.push(InterfaceRecord {
            name: live.name().to_owned(),
            link_type: live.link_type().to_string(),
            distortions,
            ..InterfaceRecord::default()
        });
    }
    if let Some(note) = &opened.note {
        say(format_args!("{note}"));
    }
    records
}

/// Says of each interface that has failed that it did, once.
pub(super) fn tell_of_failures(failed: &[&CaptureError], told: &mut Vec<String>) {
    for error in failed {
        if !told.contains(&error.name) {
            say(format_args!("{error}; it is not watched any more"));
            told.push(error.name.clone());
        }
    }
}

/// Threads that capture, and the key logs that each reads on.
pub(super) struct Capturing {
    threads: Vec<JoinHandle<()>>,
    key_logs: Vec<Arc<Mutex<KeyLogs>>>,
}

impl Capturing {
    /// Starts a thread for each worker.
    pub(super) fn start(
        config: &config::Watch,
        opened: Opened,
        question: &Question,
        outbox: Outbox,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let lanes = opened.workers.first().map_or(0, Vec::len);
        let (budget, workers) = (config.budget, opened.workers.len());
        let exchanges = Exchange::among(workers, lanes, budget.packets(workers));
        let mut pipelines = pipelines(config, workers);
        let key_logs = KeyLogs::read_for(&config.key_logs, &mut pipelines)?;
        let key_logs: Vec<_> = key_logs.into_iter().map(|logs| Arc::new(Mutex::new(logs))).collect();
        // Everything is open; threads inherit what is left.
        confine::enter(config)?;
        let nets = Arc::new(config.report.rules.nets().clone());
        let mut threads = Vec::new();
        let parts = opened.workers.into_iter().zip(exchanges).zip(pipelines.into_iter().zip(&key_logs));
        for (number, ((sockets, exchange), (mut pipeline, own_logs))) in parts.enumerate() {
            if !config.key_logs.is_empty() {
                pipeline.expect_secrets();
            }
            let own_logs = Arc::clone(own_logs);
            let refresh = Box::new(move |pipeline: &mut Pipeline| {
                own_logs.lock().unwrap_or_else(PoisonError::into_inner).refresh(pipeline);
            });
            let source = Interfaces::new(sockets);
            let worker =
                Worker::new(number, source, pipeline, refresh, question.clone(), outbox.clone(), exchange)
                    .copying(budget.calls(workers), Arc::clone(&nets))
                    .within(budget, workers);
            let stop = Arc::clone(stop);
            let thread = std::thread::Builder::new()
                .name(format!("capture-{number}"))
                .spawn(move || worker.run(&stop))
                .context("a thread that captures")?;
            threads.push(thread);
        }
        // The workers have copies of their own: when the last of them has ended, the judge knows.
        drop(outbox);
        Ok(Self { threads, key_logs })
    }

    /// Records of the key logs, by what all workers have used of them.
    pub(super) fn key_log_records(&self, logs: &[&KeyLog]) -> Vec<KeyLogRecord> {
        let Some(known) = self.key_logs.first() else { return Vec::new() };
        known.lock().unwrap_or_else(PoisonError::into_inner).records(logs)
    }

    /// Waits for the threads, which have been told to stop.
    pub(super) fn join(self) {
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// A pipeline for each worker. A single one has all packets; several have shares of them and of the flow table.
fn pipelines(config: &config::Watch, workers: usize) -> Vec<Pipeline> {
    let count = u32::try_from(workers).unwrap_or(u32::MAX);
    let numbering = if count > 1 { Numbering::shared() } else { Numbering::default() };
    let max_flows = config.pipeline.max_flows.checked_div(workers).unwrap_or(1).max(1);
    let max_waiting = config.budget.unfinished(workers);
    (0..count)
        .map(|own| {
            let share = (count > 1).then_some(Share { own, count, owner });
            let numbering = numbering.clone();
            let own =
                pipeline::Config { numbering, share, max_flows, max_waiting, ..config.pipeline.clone() };
            Pipeline::new(&own, &config.report.rules)
        })
        .collect()
}
