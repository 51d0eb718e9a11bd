//! What has changed since a version, for readers that keep a copy.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Past;
use crate::report::record::Record;

/// Names of what is gone that are remembered; a reader that is further behind takes everything anew.
const REMEMBERED: usize = 16_384;

/// What has changed since a version of a board. Records are shared, not copied.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "read by whoever keeps a copy")]
pub struct Changes {
    /// The version of the board; the next question is for changes since this one.
    pub version: u64,
    /// Sessions that go on.
    pub sessions: Vec<Arc<Record>>,
    /// Meetings that go on.
    pub meetings: Vec<Arc<Record>>,
    /// Alerts.
    pub alerts: Vec<Arc<Record>>,
    /// Sessions that have ended.
    pub ended: Vec<Past>,
    /// What is no longer current; `None` where the version is too old for that to be known, and all is to be taken anew.
    pub gone: Option<GoneNames>,
}

/// Names of what is no longer current.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "read by whoever keeps a copy")]
pub struct GoneNames {
    /// Sessions: over, or left out.
    pub sessions: Vec<String>,
    /// Meetings: over, or left out.
    pub meetings: Vec<String>,
    /// Alerts: aged out, or left out.
    pub alerts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Session,
    Meeting,
    Alert,
}

/// What went, with the version at which it did.
#[derive(Debug, Default)]
pub(super) struct Gone {
    names: VecDeque<(u64, Kind, Box<str>)>,
    /// The latest version of which a name was forgotten.
    forgotten: u64,
}

impl Gone {
    pub(super) fn session(&mut self, version: u64, id: &str) {
        self.add(version, Kind::Session, id);
    }

    pub(super) fn meeting(&mut self, version: u64, id: &str) {
        self.add(version, Kind::Meeting, id);
    }

    pub(super) fn alert(&mut self, version: u64, id: &str) {
        self.add(version, Kind::Alert, id);
    }

    fn add(&mut self, version: u64, kind: Kind, id: &str) {
        self.names.push_back((version, kind, id.into()));
        if self.names.len() > REMEMBERED
            && let Some((version, ..)) = self.names.pop_front()
        {
            self.forgotten = version;
        }
    }

    pub(super) fn since(&self, version: u64) -> Option<GoneNames> {
        if version < self.forgotten {
            return None;
        }
        let mut names = GoneNames::default();
        for (_, kind, id) in self.names.iter().rev().take_while(|(at, ..)| *at > version) {
            let list = match kind {
                Kind::Session => &mut names.sessions,
                Kind::Meeting => &mut names.meetings,
                Kind::Alert => &mut names.alerts,
            };
            list.push(String::from(&**id));
        }
        Some(names)
    }
}
