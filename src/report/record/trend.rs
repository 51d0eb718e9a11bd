//! A session's media over time, in few points: for a look at what goes on.

use serde::Serialize;

/// Rows of equal length over the whole session, one value a step; null where nothing was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "read by whoever draws it")]
pub struct TrendRecord {
    /// When the first step begins.
    pub start: String,
    /// Length of a step, in seconds.
    pub interval_s: u64,
    /// From the endpoint.
    pub sent: TrendWay,
    /// To the endpoint.
    pub received: TrendWay,
}

/// One way of it. A row in which nothing was measured is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "read by whoever draws it")]
pub struct TrendWay {
    /// Bit rate of all RTP streams together, in kbit/s.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kbps: Vec<Option<f64>>,
    /// Lost of expected, in percent, of all streams but RTX and FEC.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loss_percent: Vec<Option<f64>>,
    /// Jitter, in milliseconds: the mean over the same streams by their packets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jitter_ms: Vec<Option<f64>>,
    /// Speech quality, 1 to 4.5, over audio streams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mos: Vec<Option<f64>>,
}
