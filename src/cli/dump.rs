//! SIGUSR1: the state of a live run as one JSON document, on standard error or in a file.
//!
//! It holds the latest counters with interfaces, destinations and tables, and a row for each session that goes on.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use meetscope::report::record::{Phase, Record, SessionRecord, SinkRecord};
use meetscope::report::{Told, write_json_pretty};
use serde::Serialize;

use super::messages::say;

/// Sessions that are named at most: more than a screen or a file is searched for by hand.
const SESSIONS: usize = 1 << 14;

/// A session that goes on.
#[derive(Debug, Clone, Serialize)]
struct Row {
    app: Option<String>,
    src_ip: String,
    start: String,
    /// Last packet when it was last told of.
    end: String,
    findings: usize,
}

/// What is known of a run, as it is told.
#[derive(Debug, Default)]
pub(super) struct Dump {
    stats: Option<Arc<Record>>,
    sessions: BTreeMap<String, Row>,
    left_out: u64,
}

#[derive(Serialize)]
struct State<'a> {
    event_type: &'static str,
    version: &'static str,
    process: u32,
    /// The latest counters; null before the first packet.
    stats: Option<&'a Record>,
    /// Destinations, as they are now.
    sinks: &'a [SinkRecord],
    sessions: &'a BTreeMap<String, Row>,
    /// Sessions that are not in `sessions` because there were too many.
    sessions_left_out: u64,
}

impl Dump {
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else tells of the state")]
    pub(super) fn take(&mut self, told: &Told) {
        match told.record.as_ref() {
            Record::Stats(_) => self.stats = Some(Arc::clone(&told.record)),
            Record::Session(session) => self.session(session),
            _ => {}
        }
    }

    fn session(&mut self, session: &SessionRecord) {
        if matches!(session.phase, None | Some(Phase::Ended)) {
            self.sessions.remove(&session.session_id);
            return;
        }
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&session.session_id) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let row = Row {
            app: session.app.clone(),
            src_ip: session.endpoint.ip.clone(),
            start: session.start.clone(),
            end: session.end.clone(),
            findings: session.findings.len(),
        };
        self.sessions.insert(session.session_id.clone(), row);
    }

    /// Writes the state to a file, made anew, or to standard error. A file that cannot be written is told of.
    pub(super) fn write(&self, sinks: &[SinkRecord], file: Option<&Path>) {
        let written = match file {
            None => io::stderr().lock().write_all(&self.document(sinks)),
            Some(path) => {
                let opened = OpenOptions::new().write(true).create(true).truncate(true).open(path);
                opened.and_then(|mut file| file.write_all(&self.document(sinks)))
            }
        };
        match (written, file) {
            (Ok(()), Some(path)) => say(format_args!("SIGUSR1: the state is in {}", path.display())),
            (Err(error), Some(path)) => say(format_args!("SIGUSR1: {}: {error}", path.display())),
            (_, None) => {}
        }
    }

    fn document(&self, sinks: &[SinkRecord]) -> Vec<u8> {
        let state = State {
            event_type: "state",
            version: env!("CARGO_PKG_VERSION"),
            process: std::process::id(),
            stats: self.stats.as_deref(),
            sinks,
            sessions: &self.sessions,
            sessions_left_out: self.left_out,
        };
        let mut document = Vec::new();
        // Writing to memory does not fail.
        let _ = write_json_pretty(&mut document, &state);
        document.push(b'\n');
        document
    }
}
