//! Where records go while a run goes on: standard output, a file with rotation, syslog, sockets. In: what the judge tells. Out: lines
//! to each destination, and counters of what became of them.
//!
//! Each destination has a bounded queue and a thread of its own. [`Sinks::offer`] puts a record into the queues and never waits: a
//! destination that is slow or away loses records, counted, and nothing before it stands still. This is the only stage that
//! speaks to anybody, and it speaks to the destinations that it was given alone.

mod archive;
mod clock;
mod datagram;
mod file;
mod form;
mod pump;
mod queue;
mod rotation;
mod standard;
mod stream;
mod syslog;
mod target;
mod wait;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use archive::Compression;
pub use pump::Voice;
pub use queue::DEFAULT_BYTES;
pub use rotation::{Rotation, RotationError};
pub use target::{HostPort, Target, TargetError};

use archive::{Archive, Keeping};
use form::{Form, Forms};
use pump::Destination;
use queue::{Queue, Worth};
use syslog::Origin;

use crate::report::record::{Phase, Record, SinkRecord};
use crate::report::{Format, Style, Told};

/// Part of the time for an end that is kept for closing: a peer is waited for, a disk written to.
const CLOSING: Duration = Duration::from_millis(500);

/// One destination.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outlet {
    /// Standard output, in the style's format.
    Standard,
    /// A file, in the style's format; it is added to.
    File {
        /// Which.
        path: PathBuf,
        /// When it is rotated.
        rotation: Rotation,
        /// How rotated files are compressed.
        compression: Option<Compression>,
        /// Rotated files that are kept at most; all where there is no number.
        keep: Option<u32>,
    },
    /// NDJSON on a connection.
    Send(Target),
    /// Messages of syslog.
    Syslog(Target),
}

/// What destinations there are, and what they take.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct Config {
    /// The destinations.
    pub outlets: Vec<Outlet>,
    /// How records are written to standard output and to files, and which kinds all destinations take. Without a choice of kinds text
    /// and syslog leave out flows.
    pub style: Style,
    /// Bytes that wait for one destination at most.
    pub queue_bytes: u64,
}

/// A destination that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{name}: cannot be written to")]
#[non_exhaustive]
pub struct SinkError {
    /// Which.
    pub name: String,
    /// Why.
    #[source]
    pub error: io::Error,
}

/// A destination and its queue.
struct Sink {
    queue: Arc<Queue>,
    form: Form,
    /// Which kinds it takes.
    style: Style,
}

/// Destinations that are open, before their threads run: so that rights can be given up in between.
pub struct Opened {
    sinks: Vec<Sink>,
    destinations: Vec<Box<dyn Destination>>,
    voice: Voice,
}

/// Destinations at work.
pub struct Sinks {
    sinks: Vec<Sink>,
    origin: Origin,
}

impl Opened {
    /// Opens files, and prepares the rest: peers are connected to once the threads run. `voice` says what is wrong, and what works
    /// again.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn open(config: &Config, voice: &Voice) -> Result<Self, SinkError> {
        let mut opened = Self { sinks: Vec::new(), destinations: Vec::new(), voice: Arc::clone(voice) };
        for outlet in &config.outlets {
            let name = name(outlet);
            let form = form(outlet, &config.style);
            let destination =
                destination(outlet, voice).map_err(|error| SinkError { name: name.clone(), error })?;
            let queue = Arc::new(Queue::new(name, config.queue_bytes));
            // Syslog is for people, too: flows only where they are asked for.
            let format = if form == Form::Ndjson { Format::Ndjson } else { Format::Text };
            opened.sinks.push(Sink { queue, form, style: Style { format, ..config.style.clone() } });
            opened.destinations.push(destination);
        }
        Ok(opened)
    }

    /// Starts a thread for each destination.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> io::Result<Sinks> {
        for (number, (sink, mut destination)) in self.sinks.iter().zip(self.destinations).enumerate() {
            let (queue, voice) = (Arc::clone(&sink.queue), Arc::clone(&self.voice));
            let thread = thread::Builder::new().name(format!("sink-{number}"));
            thread.spawn(move || pump::run(&queue, destination.as_mut(), voice))?;
        }
        Ok(Sinks { sinks: self.sinks, origin: Origin::here() })
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sinks.iter().map(|sink| &sink.queue.name)).finish()
    }
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sinks.iter().map(|sink| &sink.queue.name)).finish()
    }
}

fn name(outlet: &Outlet) -> String {
    match outlet {
        Outlet::Standard => "standard output".to_owned(),
        Outlet::File { path, .. } => path.display().to_string(),
        Outlet::Send(target) => target.to_string(),
        Outlet::Syslog(target) => format!("syslog {target}"),
    }
}

fn form(outlet: &Outlet, style: &Style) -> Form {
    match outlet {
        Outlet::Standard | Outlet::File { .. } => Form::of(style),
        Outlet::Send(_) => Form::Ndjson,
        Outlet::Syslog(Target::Udp(_)) => Form::Syslog { most: syslog::MAX_DATAGRAM, is_counted: false },
        Outlet::Syslog(Target::Unix(_)) => Form::Syslog { most: syslog::MAX_STREAM, is_counted: false },
        Outlet::Syslog(Target::Tcp(_)) => Form::Syslog { most: syslog::MAX_STREAM, is_counted: true },
    }
}

fn destination(outlet: &Outlet, voice: &Voice) -> io::Result<Box<dyn Destination>> {
    Ok(match outlet {
        Outlet::Standard => Box::new(standard::Standard::open()?),
        Outlet::File { path, rotation, compression, keep } => {
            let keeping = Keeping { path: path.clone(), compression: *compression, keep: *keep };
            let archive = Archive::new(keeping, Arc::clone(voice));
            Box::new(file::Output::open(path.clone(), *rotation, archive)?)
        }
        Outlet::Syslog(target @ (Target::Udp(_) | Target::Unix(_)))
        | Outlet::Send(target @ Target::Udp(_)) => Box::new(datagram::Datagrams::new(target.clone())),
        Outlet::Send(target) | Outlet::Syslog(target) => Box::new(stream::Stream::new(target.clone())),
    })
}

impl Sinks {
    /// Hands a record to all destinations that take it. Never waits for one.
    pub fn offer(&self, told: &Told) {
        if !told.is_for_sinks {
            return;
        }
        let mut forms = Forms::new(&told.record, &self.origin);
        let worth = worth(&told.record);
        for sink in &self.sinks {
            if told.record.kind().is_some_and(|kind| sink.style.wants(kind)) {
                let bytes = forms.get(&sink.form);
                if !bytes.is_empty() {
                    sink.queue.push(worth, bytes);
                }
            }
        }
    }

    /// What became of the records, a destination each.
    pub fn records(&self) -> Vec<SinkRecord> {
        self.sinks.iter().map(|sink| sink.queue.record()).collect()
    }

    /// Has files closed and opened again by their names.
    pub fn reopen(&self) {
        for sink in &self.sinks {
            sink.queue.reopen();
        }
    }

    /// True when no destination is left that takes anything.
    pub fn are_gone(&self) -> bool {
        !self.sinks.is_empty() && self.sinks.iter().all(|sink| sink.queue.is_over())
    }

    /// Hands over what still waits, for so long at most; what is left then is lost. The last counters.
    pub fn finish(self, within: Duration) -> Vec<SinkRecord> {
        let now = clock::instant();
        let until = now.checked_add(within).unwrap_or(now);
        let hand_over_until = until.checked_sub(CLOSING).map_or(now, |end| end.max(now));
        for sink in &self.sinks {
            sink.queue.finish(hand_over_until);
        }
        for sink in &self.sinks {
            sink.queue.await_end(until);
        }
        let settled = |sink: &Sink| {
            let mut record = sink.queue.record();
            // A thread that the system holds in a call goes with the process.
            record.lost = record.lost.saturating_add(record.queued);
            record.queued = 0;
            record
        };
        self.sinks.iter().map(settled).collect()
    }
}

/// What loses a record to whoever reads on.
fn worth(record: &Record) -> Worth {
    let of = |phase: Option<Phase>| match phase {
        None | Some(Phase::Ended) => Worth::Lasting,
        Some(Phase::Begun) => Worth::Begun,
        Some(Phase::Update) => Worth::Passing,
    };
    match record {
        Record::Session(session) => of(session.phase),
        Record::Meeting(meeting) => of(meeting.phase),
        Record::Stats(stats) => of(stats.phase),
        Record::Flow(_) => Worth::Passing,
        Record::Alert(_) | Record::Software(_) | Record::Server(_) | Record::Inventory(_) => Worth::Lasting,
    }
}
