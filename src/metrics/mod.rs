//! Metrics for Prometheus. In: what a run on interfaces tells. Out: a page in one of Prometheus's text formats.
//!
//! Pure: no clock, no socket. [`Tally`] takes each [`Told`] as it comes and keeps counts, never records; a page is made of the
//! counts whenever somebody asks. Labels have few values: apps of the provider files, countries, rules of the policy, names of
//! interfaces and destinations as the administrator gave them. None comes from the wire, and each has a cap.

mod calls;
mod followed;
mod label;
mod run;
mod text;
mod visitors;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use text::Format;
pub use visitors::Visitors;

use crate::report::Told;
use crate::report::record::Record;
use calls::Calls;
use text::Page;

/// What has been counted so far.
#[derive(Debug, Default)]
pub struct Tally {
    stats: Option<Arc<Record>>,
    calls: Calls,
}

impl Tally {
    /// Counts one thing. Takes microseconds.
    pub fn take(&mut self, told: &Told) {
        match &*told.record {
            Record::Session(session) => self.calls.session(session),
            Record::Meeting(meeting) => self.calls.meeting(meeting),
            Record::Alert(alert) => self.calls.alert(alert),
            Record::Stats(_) => self.stats = Some(Arc::clone(&told.record)),
            Record::Flow(_) | Record::Software(_) | Record::Server(_) | Record::Inventory(_) => {}
        }
    }

    /// The page as it stands. Before the first counters have come, what is in them is left out.
    pub fn page(&self, format: Format, seen: &Visitors) -> String {
        let mut page = Page::new(format);
        if let Some(Record::Stats(stats)) = self.stats.as_deref() {
            run::write(&mut page, stats);
        }
        self.calls.write(&mut page);
        visitors::write(&mut page, seen);
        page.finish()
    }
}
