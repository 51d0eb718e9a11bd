//! Where what a record tells of stands in its life.

use serde::Serialize;

/// Where a session, a meeting or a run stood when its record was written. Replay writes what is over and leaves this out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a life has a beginning, a middle and an end")]
pub enum Phase {
    /// It has formed; the first record of it.
    Begun,
    /// It goes on; this record replaces the one before under the same id.
    Update,
    /// It is over; the last record of it.
    Ended,
}
