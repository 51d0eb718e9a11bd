//! Servers that a run sees while it goes on: for the records of sessions, and for the inventory that `--state` names.

use std::time::Duration;

use meetscope::keys::Analysis;
use meetscope::report::Context;
use meetscope::servers::Inventory;
use meetscope::time::Timestamp;

use super::config::Report;
use super::messages::say;

/// Packet time between two additions to the state file.
const SAVE: Duration = Duration::from_secs(60);

/// Servers seen, for the records of sessions and for the state file.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// With those of the state file.
    known: Inventory,
    /// Those that are not in the state file yet.
    unsaved: Inventory,
    /// Packet time of the last writing.
    saved: Option<Timestamp>,
    /// The last writing failed.
    pub(super) failed: bool,
}

impl Servers {
    pub(super) fn new(known: Inventory) -> Self {
        Self { known, ..Self::default() }
    }

    /// With servers of an earlier run that are not in the state file.
    pub(super) fn with_unsaved(self, unsaved: Inventory) -> Self {
        Self { unsaved, ..self }
    }

    /// Those that are not in the state file.
    pub(super) const fn unsaved(&self) -> &Inventory {
        &self.unsaved
    }

    /// All that are known.
    pub(super) const fn known(&self) -> &Inventory {
        &self.known
    }

    /// Puts the servers of what has ended into the inventory. Only records of sessions tell of it.
    pub(super) fn learn(&mut self, report: &Report, context: &mut Context<'_>, analysis: &Analysis) {
        let sessions = analysis.sessions.iter().map(|(session, _)| session);
        let seen = Inventory::of(&report.rules, &analysis.flows, sessions);
        if seen.is_empty() {
            return;
        }
        if report.state.is_some() {
            self.unsaved.merge(seen.clone());
        }
        self.known.merge(seen);
        if !analysis.sessions.is_empty() {
            context.learn(&self.known);
        }
    }

    pub(super) fn save_when_due(&mut self, report: &Report, now: Timestamp) {
        let saved = *self.saved.get_or_insert(now);
        if now.since(saved) >= SAVE || saved.since(now) >= SAVE {
            self.saved = Some(now);
            self.save(report);
        }
    }

    /// Adds what is new to the state file, and knows from then on what others have added to it. What could not be written is tried
    /// again the next time.
    pub(super) fn save(&mut self, report: &Report) {
        if let Some(all) = self.add(report) {
            self.known = all;
        }
    }

    /// Adds what is new to the state file, and takes nothing from it: what others add while a run goes on has no part in its output.
    pub(super) fn hand_over(&mut self, report: &Report) {
        self.add(report);
    }

    fn add(&mut self, report: &Report) -> Option<Inventory> {
        let state = report.state.as_ref()?;
        if self.unsaved.is_empty() {
            return None;
        }
        match state.add(self.unsaved.clone()) {
            Ok(all) => {
                self.unsaved = Inventory::default();
                self.failed = false;
                Some(all)
            }
            Err(error) => {
                if !self.failed {
                    say(format_args!("{error}"));
                }
                self.failed = true;
                None
            }
        }
    }
}
