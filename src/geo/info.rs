//! What a database is: its identity as reports show it, and its distance in time from a capture.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What a database's records are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DatabaseKind {
    /// Countries.
    Country,
    /// Countries with cities or subdivisions.
    City,
    /// AS numbers.
    Asn,
    /// Both countries and AS numbers.
    CountryAsn,
}

impl DatabaseKind {
    /// Its records tell of places.
    pub(super) const fn has_places(self) -> bool {
        matches!(self, Self::Country | Self::City | Self::CountryAsn)
    }

    /// Its records tell who announces a network.
    pub(super) const fn has_networks(self) -> bool {
        matches!(self, Self::Asn | Self::CountryAsn)
    }
}

/// Which data answered: for the footer of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DatabaseInfo {
    /// The name under which answers cite it: its `database_type`, or the file name where that is empty.
    pub name: String,
    /// Path of the file, or `embedded`.
    pub source: String,
    /// `database_type` as in its metadata.
    pub database_type: String,
    /// `description` (English) as in its metadata, empty if none.
    pub description: String,
    /// Build time, seconds since 1970-01-01T00:00:00Z; for embedded data the date of the data.
    pub build_time: u64,
    /// The same as an ISO 8601 date in UTC, or `unknown` beyond the year 9999.
    pub build_date: String,
    /// SHA-256 of the MaxMind DB file, in hex.
    pub sha256: String,
    /// The licence, as far as it is known here.
    pub licence: String,
    /// The line that the licence asks to show, or a plain one.
    pub attribution: String,
    /// 4, or 6 for both.
    pub ip_version: u16,
    /// What it is about.
    pub kind: DatabaseKind,
    /// Nodes in its search tree.
    pub nodes: u32,
    /// Databases of one lineage share their source, and count as one witness.
    pub lineage: String,
    /// It is kept in the store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stored: bool,
    /// Whole days between its build and the latest packet, either way round; none where no packet has a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_from_capture: Option<u32>,
    /// The same from the flow that began nearest to its build; with `days_from_farthest`, where several captures were read, the two
    /// differ and all flows are at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_from_nearest: Option<u32>,
    /// The same from the flow that began farthest from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_from_farthest: Option<u32>,
}

impl DatabaseInfo {
    /// With its distance in time from a capture.
    #[must_use]
    pub fn seen_from(mut self, latest: Option<Timestamp>) -> Self {
        let latest = latest.filter(|latest| *latest != Timestamp::default());
        self.days_from_capture = latest.map(|latest| days_between(self.build_time, latest));
        self
    }

    /// With its least and greatest distance in time from several captures, where these differ.
    #[must_use]
    pub fn seen_between(mut self, times: impl Iterator<Item = Timestamp>) -> Self {
        let times = times.filter(|time| *time != Timestamp::default());
        let days = times.map(|time| days_between(self.build_time, time));
        let ends = days.fold(None, |ends: Option<(u32, u32)>, days| {
            Some(ends.map_or((days, days), |(least, most)| (least.min(days), most.max(days))))
        });
        let ends = ends.filter(|(least, most)| least != most);
        (self.days_from_nearest, self.days_from_farthest) = ends.unzip();
        self
    }
}

const NANOS_PER_DAY: u128 = 86_400_000_000_000;

/// Whole days between a build time and a capture, either way round.
pub(super) fn days_between(build_time: u64, seen: Timestamp) -> u32 {
    whole_days(nanos_between(build_time, seen))
}

/// Whole days in nanoseconds.
pub(super) fn whole_days(nanos: u128) -> u32 {
    u32::try_from(nanos.checked_div(NANOS_PER_DAY).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// The same in nanoseconds.
pub(super) fn nanos_between(build_time: u64, seen: Timestamp) -> u128 {
    let built = i64::try_from(build_time).map_or(i64::MAX, |secs| secs.saturating_mul(1_000_000_000));
    u128::from(built.abs_diff(seen.as_nanos()))
}

/// `secs` since the epoch as `YYYY-MM-DD` in UTC.
pub(super) fn iso_date(secs: u64) -> String {
    i64::try_from(secs)
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .map_or_else(|| "unknown".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}
