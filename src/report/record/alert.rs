//! Records of alerts: a rule of a policy that a session breaks, or of which it cannot be determined.

use serde::Serialize;

use super::{PacketNumber, Phase, Severity};
use crate::geo::Exposure;
use crate::keys::CouldHold;
use crate::policy::State;

/// What came of one rule over one session. Rules that are kept have no record.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AlertRecord {
    /// Time of the session's first packet.
    pub timestamp: String,
    /// Unique within the run: the session and the rule.
    pub alert_id: String,
    /// Where the session stood when this was written; left out by `replay`, which writes what is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When this was written, by the clock of the machine; left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
    /// The run on interfaces that wrote it, by when it began: ids are unique within a run. Left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The rule's identifier.
    pub rule: String,
    /// The policy file that it stands in, as it was given.
    pub policy: String,
    /// Line of the rule in it.
    pub line: u64,
    /// What the rule is about.
    pub title: String,
    /// How it came out.
    pub state: State,
    /// True where the rule fired: the state is `broken`, or `not_determinable` where the rule takes that for broken. One of
    /// these makes exit status 3.
    pub fired: bool,
    /// In the last record of an alert that was told while its session went on: what was seen later speaks against it, and the rule
    /// does not fire.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub taken_back: bool,
    /// How grave it is.
    pub severity: Severity,
    /// The gravest reason in a sentence.
    pub text: String,
    /// The session.
    pub session_id: String,
    /// The meeting that it is known to share with other sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meeting_id: Option<String>,
    /// Provider, or null when media was seen that nobody claims.
    pub app: Option<String>,
    /// Its full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// The session's endpoint.
    pub src_ip: String,
    /// Why, the gravest first.
    pub reasons: Vec<AlertReason>,
    /// Reasons that are not in `reasons`.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasons_left_out: u64,
    /// The participants of the meeting that were seen, and where each was taken to sit.
    pub participants: Vec<AlertParticipant>,
    /// True where the rule asks where participants sit.
    pub asks_for_participants: bool,
    /// What the list of participants cannot tell.
    pub participants_note: &'static str,
    /// Exceptions that are about this, also those that are over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<AlertException>,
    /// The same for readers of Suricata's EVE.
    pub alert: EveAlert,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One reason of an alert.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AlertReason {
    /// The demand that it speaks of, as the policy file names it: `key_holders`, `media`, `cipher` and others.
    pub demand: &'static str,
    /// How that came out.
    pub state: State,
    /// A sentence.
    pub text: String,
    /// The server concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it could hold the media key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub could_hold: Option<CouldHold>,
    /// How sure that is, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The jurisdictions that reach it, each with its source and date.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposure: Vec<Exposure>,
    /// The packets that show it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<PacketNumber>,
}

/// A participant, as the policy saw it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AlertParticipant {
    /// Its session; left out for a peer that only another session shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Its address.
    pub ip: String,
    /// ISO 3166-1 alpha-2 codes: one, or several where databases disagree, or none where nobody says.
    pub countries: Vec<String>,
    /// Who says so: a site of the policy, or databases with their dates.
    pub source: String,
}

/// An exception that is about an alert.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AlertException {
    /// Why it was made.
    pub reason: String,
    /// The last day on which it was in force.
    pub until: String,
    /// It had ended when the session began, and so excused nothing.
    pub expired: bool,
    /// The policy file that it stands in, as it was given.
    pub policy: String,
    /// Line of it in that file.
    pub line: u64,
}

/// The `alert` object of Suricata's EVE.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EveAlert {
    /// Always `allowed`: nothing is ever blocked.
    pub action: &'static str,
    /// Always 1.
    pub gid: u32,
    /// Made of the rule's identifier (FNV-1a of 32 bits), so that it stays the same.
    pub signature_id: u32,
    /// Always 1.
    pub rev: u32,
    /// The rule's title.
    pub signature: String,
    /// The rule's category.
    pub category: String,
    /// 1 for `high`, 3 for `notice`.
    pub severity: u8,
}
