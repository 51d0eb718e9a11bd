//! What stands out in a session.

use serde::Serialize;

use super::PacketNumber;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Look at it.
    High,
    /// Worth knowing.
    Notice,
}

/// Something that stands out.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Stable word.
    pub id: &'static str,
    /// How grave.
    pub severity: Severity,
    /// A sentence for people.
    pub text: String,
    /// The packets that show it.
    pub packets: Vec<PacketNumber>,
}
