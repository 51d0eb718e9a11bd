//! Sums since the run began, by words of which there are few.

use std::collections::BTreeMap;

use crate::report::record::{AlertRecord, FlowRecord, Phase, SessionRecord, Severity};

/// Words that are told apart; more are counted as [`OTHER`]. There are some dozens of apps, and as many rules as somebody wrote.
const WORDS: usize = 256;
/// Stands for what has no word: no app, or more words than are told apart.
pub const OTHER: &str = "other";

/// Sums since the run began.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Flows that have ended, by what they were for.
    pub flows: BTreeMap<&'static str, u64>,
    /// Sessions that have formed, by app; `unnamed` where nobody claims the media.
    pub sessions_begun: BTreeMap<String, u64>,
    /// Sessions that have ended, by app.
    pub sessions_ended: BTreeMap<String, u64>,
    /// Sessions that had formed and turned out to be none of their own, by app.
    pub sessions_superseded: BTreeMap<String, u64>,
    /// Meetings that have formed.
    pub meetings_begun: u64,
    /// Rules that fired, by rule and severity; once for a session.
    pub alerts_fired: BTreeMap<(String, Severity), u64>,
}

impl Totals {
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        let sum = self.flows.entry(flow.role.as_str()).or_default();
        *sum = sum.saturating_add(1);
    }

    pub(super) fn session(&mut self, session: &SessionRecord, was_known: bool) {
        let app = session.app.as_deref().unwrap_or("unnamed");
        if !was_known {
            count(&mut self.sessions_begun, app);
        }
        if matches!(session.phase, None | Some(Phase::Ended)) {
            let sums = if session.superseded_by.is_some() {
                &mut self.sessions_superseded
            } else {
                &mut self.sessions_ended
            };
            count(sums, app);
        }
    }

    pub(super) const fn meeting(&mut self, was_known: bool) {
        if !was_known {
            self.meetings_begun = self.meetings_begun.saturating_add(1);
        }
    }

    pub(super) fn fired(&mut self, alert: &AlertRecord) {
        let rules = &mut self.alerts_fired;
        let key = (alert.rule.clone(), alert.severity);
        let is_new = !rules.contains_key(&key);
        let key = if is_new && rules.len() >= WORDS { (OTHER.to_owned(), alert.severity) } else { key };
        let sum = rules.entry(key).or_default();
        *sum = sum.saturating_add(1);
    }
}

fn count(sums: &mut BTreeMap<String, u64>, word: &str) {
    let word = if !sums.contains_key(word) && sums.len() >= WORDS { OTHER } else { word };
    let sum = sums.entry(word.to_owned()).or_default();
    *sum = sum.saturating_add(1);
}
