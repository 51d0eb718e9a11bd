//! SIGUSR1: the state of a live run as one JSON document, on standard error or in a file.
//!
//! It holds the latest counters with interfaces, destinations and tables, and a row for each session that goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use meetscope::disk::{self, Readers};
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
    /// Sessions that go on and found no room; as many at most as are named.
    left_out: BTreeSet<String>,
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
    /// Sessions that go on and are not in `sessions` because there were too many.
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
            return self.over(&session.session_id);
        }
        self.goes_on(&session.session_id, || Row {
            app: session.app.clone(),
            src_ip: session.endpoint.ip.clone(),
            start: session.start.clone(),
            end: session.end.clone(),
            findings: session.findings.len(),
        });
    }

    fn over(&mut self, id: &str) {
        self.sessions.remove(id);
        self.left_out.remove(id);
    }

    fn goes_on(&mut self, id: &str, row: impl FnOnce() -> Row) {
        if self.sessions.len() < SESSIONS || self.sessions.contains_key(id) {
            self.left_out.remove(id);
            self.sessions.insert(id.to_owned(), row());
        } else if self.left_out.len() < SESSIONS {
            self.left_out.insert(id.to_owned());
        }
    }

    /// Writes the state to a file, which is replaced as a whole, or to standard error. A file that cannot be written is told of.
    pub(super) fn write(&self, sinks: &[SinkRecord], file: Option<&Path>) {
        let written = match file {
            None => io::stderr().lock().write_all(&self.document(sinks)),
            Some(path) => put(path, &self.document(sinks)),
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
            sessions_left_out: u64::try_from(self.left_out.len()).unwrap_or(u64::MAX),
        };
        let mut document = Vec::new();
        // Writing to memory does not fail.
        let _ = write_json_pretty(&mut document, &state);
        document.push(b'\n');
        document
    }
}

/// The file behind a link is meant, not the link. What would have to be waited for, such as a pipe without a reader, is refused: here waits
/// the judge.
fn put(path: &Path, document: &[u8]) -> io::Result<()> {
    match path.metadata() {
        Ok(about) if about.file_type().is_char_device() => {
            File::options().write(true).open(path)?.write_all(document)
        }
        Ok(about) if !about.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file, found something else"))
        }
        _ => {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
            disk::replace(&path, Readers::AsUsual, |file| file.write_all(document))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_state_is_put_where_nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        put(&path("file"), b"a longer one").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        put(&path("link"), b"short").unwrap();
        assert_eq!(fs::read(path("file")).unwrap(), b"short");
        assert!(path("link").symlink_metadata().unwrap().is_symlink());
        put(Path::new("/dev/null"), b"gone").unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let refused = put(&path("pipe"), b"nobody reads").unwrap_err();
        assert_eq!(refused.to_string(), "expected a file, found something else");
    }

    fn goes_on(dump: &mut Dump, number: usize) {
        let row =
            Row { app: None, src_ip: String::new(), start: String::new(), end: String::new(), findings: 0 };
        dump.goes_on(&format!("s{number}"), || row);
    }

    fn left_out(dump: &Dump) -> u64 {
        let state: serde_json::Value = serde_json::from_slice(&dump.document(&[])).unwrap();
        state["sessions_left_out"].as_u64().unwrap()
    }

    #[test]
    fn sessions_that_found_no_room_are_counted_and_not_their_records() {
        let mut dump = Dump::default();
        for number in 0..SESSIONS + 2 {
            goes_on(&mut dump, number);
        }
        for _ in 0..3 {
            goes_on(&mut dump, SESSIONS);
        }
        assert_eq!(left_out(&dump), 2);
        dump.over(&format!("s{}", SESSIONS + 1));
        assert_eq!(left_out(&dump), 1);
        dump.over("s0");
        goes_on(&mut dump, SESSIONS);
        assert_eq!((left_out(&dump), dump.sessions.len()), (0, SESSIONS));
    }
}
