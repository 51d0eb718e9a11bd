//! Records of meetings: sessions that belong together, and why.

use serde::Serialize;

use super::{PacketNumber, Phase};
use crate::geo::Basis;
use crate::keys::CouldHold;

/// Sessions that share a meeting. Written when its last session is known; a live run writes it again, under the same id,
/// when another session turns out to belong to it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MeetingRecord {
    /// Time of the first call packet.
    pub timestamp: String,
    /// Unique within the run.
    pub meeting_id: String,
    /// Where it stood when this was written; left out by `replay`, which writes what is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When this was written, by the clock of the machine; left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
    /// The run on interfaces that wrote it, by when it began: ids are unique within a run. Left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// In the last record of a meeting that was told while it went on and then turned out to be another: that one, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Provider, or null when media was seen that nobody claims.
    pub app: Option<String>,
    /// Its full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// First packet of its calls.
    pub start: String,
    /// Last packet of its calls.
    pub end: String,
    /// Length, in seconds.
    pub duration_s: f64,
    /// Its sessions.
    pub sessions: Vec<String>,
    /// Endpoints that were seen; one that was captured at two points of the network counts once.
    pub participants_seen: u64,
    /// The endpoints, by session.
    pub endpoints: Vec<MeetingEndpoint>,
    /// What joined the sessions, pair by pair.
    pub joined_by: Vec<JointRecord>,
    /// How sure it is that all of them belong together, 0 to 1.
    pub confidence: f32,
    /// Union of the jurisdictions that reach its servers, with the servers that add each.
    pub jurisdictions: Vec<MeetingJurisdiction>,
}

/// An endpoint of a meeting.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MeetingEndpoint {
    /// Its session.
    pub session_id: String,
    /// Its first address.
    pub ip: String,
}

/// One reason to join two sessions.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JointRecord {
    /// The two sessions.
    pub sessions: [String; 2],
    /// Kind of evidence: `stream_copy`, `same_stream`, `copied_lengths`, `same_lengths`, `p2p_flow`, `zoom_p2p_key`,
    /// `ice_pair`, `peer_address`, `sip_call_id`, `seen_twice`.
    pub what: &'static str,
    /// What was seen.
    pub value: String,
    /// How sure it makes that both share a meeting, were it all there is; 0 to 1.
    pub confidence: f32,
    /// The packets that show it, one of each session where there are two.
    pub packets: Vec<PacketNumber>,
}

/// A jurisdiction that reaches a meeting.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MeetingJurisdiction {
    /// ISO 3166-1 alpha-2 code.
    pub jurisdiction: String,
    /// The servers that it reaches.
    pub added_by: Vec<AddedBy>,
}

/// A server that adds a jurisdiction.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AddedBy {
    /// Its address.
    pub ip: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why the jurisdiction reaches it; `exposure` in the session record has the sources.
    pub basis: Vec<Basis>,
    /// Whether it could hold the key, where that was judged; the gravest answer of all sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub could_hold: Option<CouldHold>,
    /// The sessions that spoke to it.
    pub sessions: Vec<String>,
}
