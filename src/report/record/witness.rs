//! Records of keys that open the media, and of how they came.

use serde::Serialize;

use super::PacketNumber;
use crate::keys::witness::Delivery;
use crate::observe::facts::MediaKind;

/// A key that opens streams of the session, and how it came.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WitnessRecord {
    /// Address at the far end of the connection that it came over.
    pub ip: String,
    /// Port there.
    pub port: u16,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The near end.
    pub endpoint: String,
    /// How it came.
    pub delivery: Delivery,
    /// The packet that completed the message it stood in.
    pub packet: PacketNumber,
    /// Where it stood and how it was written.
    pub place: String,
    /// Cipher and mode.
    pub cipher: String,
    /// Streams that it opens.
    pub streams: Vec<OpenedStreamRecord>,
}

/// A stream that a key opens.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OpenedStreamRecord {
    /// Its flow.
    pub flow_id: u64,
    /// Its source.
    pub ssrc: u32,
    /// What it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<MediaKind>,
    /// Units that the key opens.
    pub units_verified: u32,
    /// Units that it was tried on: those that were kept of the stream.
    pub units_tried: u32,
    /// log10 of a bound on the chance that a wrong key does as well.
    pub log10_false_accept: f64,
}

/// What trying values came to.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TriedRecord {
    /// Different values of opened or clear signalling.
    pub values: u32,
    /// Values beyond the cap.
    pub values_left_out: u32,
    /// Streams that they were tried on.
    pub streams: u32,
    /// Streams that one of them opens.
    pub streams_opened: u32,
}
