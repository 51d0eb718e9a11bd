//! How a replay in one pass ended, so that whoever asks again is told the same.

use super::super::Status;
use super::checkpoint::Over;
use super::ledger::Ledger;
use super::output::Written;

/// Captures that are named because something of them is missing.
const NAMED: usize = 16;

/// What is missing of what was to be read.
pub(super) fn missing(ledger: &Ledger, refused: &[String], flows_lost: u64) -> Vec<String> {
    let mut missing = Vec::new();
    let mut unread = 0_usize;
    for entry in &ledger.entries {
        let Some(error) = &entry.error else { continue };
        unread = unread.saturating_add(1);
        if unread <= NAMED {
            missing.push(format!("incomplete: {}: {error}", entry.name.display()));
        }
    }
    if unread > NAMED {
        missing.push(format!("incomplete: {unread} captures could not be read to their end"));
    }
    missing.extend(refused.iter().map(|error| format!("incomplete: {error}")));
    if flows_lost > 0 {
        missing.push(format!("incomplete: {flows_lost} flows were not found again after an interruption"));
    }
    missing
}

/// What is written of a run that is over.
pub(super) fn over(out: Written, status: Status, missing: Vec<String>) -> Over {
    let mut why = missing;
    if status == Status::Fired {
        why.push("a rule of the policy fired".to_owned());
    }
    Over { out, status, why }
}
