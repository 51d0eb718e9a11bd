//! What a run on interfaces tells as it goes on.

use std::sync::Arc;

use super::record::Record;

/// One thing that is told; whoever takes it keeps the record as long as it likes.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by the watching stage, taken apart by all that listen to it"
)]
pub struct Told {
    /// The record; that of a session, a meeting, an alert or of the counters carries its phase.
    pub record: Arc<Record>,
    /// True where it is to be written; false for the counters of every second, which are to be shown only.
    pub is_for_sinks: bool,
}
