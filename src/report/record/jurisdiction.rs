//! Records of jurisdictions: what reaches the servers of a session, and which groups and laws that brings. Informational, not legal
//! advice.

use serde::Serialize;

use crate::geo::{Basis, Date, GroupBasis, LawKind};

/// A jurisdiction with its groups and laws on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JurisdictionRecord {
    /// ISO 3166-1 alpha-2 code.
    pub code: String,
    /// Short English name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The day, in UTC, for which groups and laws are told; none where the capture has no times, and then only what has no dates is
    /// listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Date>,
    /// The table has no row of it, so that empty lists say nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_in_table: bool,
    /// Groups that it is in.
    pub groups: Vec<GroupRecord>,
    /// Principal laws in force; never a complete list.
    pub laws: Vec<LawRecord>,
    /// The servers that it reaches: those that could hold the key, and those of media and signalling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reaches: Vec<ReachRecord>,
    /// Servers that are not in `reaches`.
    #[serde(skip_serializing_if = "is_zero")]
    pub reaches_left_out: u32,
}

/// A server that a jurisdiction reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReachRecord {
    /// Its address.
    pub ip: String,
    /// What it is in the session.
    pub part: Vec<ReachPart>,
    /// Why the jurisdiction reaches it.
    pub basis: Vec<Basis>,
    /// Databases place it there, and the time of its answers contradicts that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub timing_contradicts: bool,
}

/// What a server is in a session, as far as keys and content go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReachPart {
    /// It could hold the media key.
    KeyHolder,
    /// Media that is not encrypted goes past it, so that it could read it: there is no key.
    Reader,
    /// Media goes to it or through it.
    Media,
    /// It speaks signalling.
    Signalling,
}

/// A group that a jurisdiction is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupRecord {
    /// Stable word: `eu`, `eea`, `gdpr_adequate`, `five_eyes`, `nine_eyes`, `fourteen_eyes`.
    pub id: String,
    /// Name.
    pub name: String,
    /// What membership rests on.
    pub basis: GroupBasis,
    /// First day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Date>,
    /// Last day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Date>,
    /// To whom or what it is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Title of the text behind the row; empty where it is from memory.
    pub source_title: String,
    /// The day on which somebody read that text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_on: Option<Date>,
    /// Nobody has checked the row against a text of the authority itself.
    pub unchecked: bool,
}

/// A law in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LawRecord {
    /// Its name.
    pub instrument: String,
    /// What it is about.
    pub kind: LawKind,
    /// The group whose law it is, where it is not the country's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The year by which it is known.
    pub year: i16,
    /// First day in force; none where only the year is known, from whose end it then counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Date>,
    /// Last day in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Date>,
    /// What or whom it is limited to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What is open, where it is not settled that it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
    /// Title of the text behind the row; empty where it is from memory.
    pub source_title: String,
    /// The day on which somebody read that text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_on: Option<Date>,
    /// Nobody has checked the row against a text of the authority itself, or it is open whether it is in force.
    pub unchecked: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
