//! What databases say about one address, kept apart by who says it.
//!
//! `located_in` (where it is thought to be), `operated_by` (who announces it) and `special` (why nobody
//! can say) are three facts with three dates; nothing here folds them into one "country".

use std::fmt::Write as _;

use serde::Serialize;

use crate::geo::country::Country;
use crate::geo::networks::KnownNetwork;
use crate::geo::special::Special;

/// All that is known about an address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Place {
    /// Where databases place it.
    pub located_in: LocatedIn,
    /// Who announces its network; none where no database says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operated_by: Option<OperatedBy>,
    /// What is known of the network that it is in: a front end, a public resolver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<KnownNetwork>,
    /// The special-purpose block that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub special: Option<Special>,
    /// Databases whose record for this address could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// Where databases place an address: an opinion with its sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LocatedIn {
    /// The country given by the first database that gives one; none if none does.
    pub country: Option<Country>,
    /// How far to trust `country`.
    pub confidence: Confidence,
    /// Every database's answer, in the order in which the databases were added.
    pub answers: Vec<Answer>,
    /// True if two answers name different countries.
    pub disagreement: bool,
    /// True if a database, or the table of networks, marks the address as anycast: it is in many places at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anycast: bool,
    /// What `confidence` was made of.
    #[serde(skip)]
    pub(super) witnesses: Option<Witnesses>,
}

/// How far to trust a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "four steps are all there are")]
pub enum Confidence {
    /// No database names a country.
    #[default]
    Unknown,
    /// Disagreement, anycast, IPv6 with one source, or one source far from the capture in time.
    Low,
    /// One source, or several of which at most one is near the capture in time.
    Medium,
    /// Two or more independent sources agree, both near the capture in time.
    High,
}

/// One database's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Answer {
    /// Name of the database.
    pub database: String,
    /// Its build date, ISO 8601.
    pub date: String,
    /// The country; none if its code stands for no country (`EU`, `AP`, ..).
    pub country: Option<Country>,
    /// Where the network's holder is registered, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_country: Option<Country>,
    /// First-level subdivision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdivision: Option<String>,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Whole days between the database's build and the capture; none if no capture time was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_from_capture: Option<u32>,
}

/// Who announces an address's network. Not the operator of the service: a conferencing company may rent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OperatedBy {
    /// AS number.
    pub asn: u32,
    /// AS name or organisation, as the database gives it; empty if it gives none.
    pub name: String,
    /// Where the AS is registered; none if the database does not say (the embedded one does not).
    pub registrant_country: Option<Country>,
    /// Name of the database.
    pub database: String,
    /// Its build date, ISO 8601.
    pub date: String,
    /// Whole days between the database's build and the capture; none if no capture time was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_from_capture: Option<u32>,
}

/// Beyond this many days between database and capture an answer counts as old.
pub(super) const OLD_AFTER_DAYS: u32 = 180;

impl LocatedIn {
    /// Takes what others than databases say of the place, each with its country and whether it is near the capture in time: those
    /// that agree count as witnesses of their own, and one that does not takes trust away.
    pub fn weigh(&mut self, others: &[(Country, bool)]) {
        let (Some(country), Some(mut witnesses)) = (self.country, self.witnesses) else { return };
        for (other, is_current) in others {
            if *other == country {
                witnesses.agreeing = witnesses.agreeing.saturating_add(1);
                witnesses.current = witnesses.current.saturating_add(usize::from(*is_current));
            } else {
                witnesses.disagreement = true;
            }
        }
        self.confidence = witnesses.confidence();
        self.witnesses = Some(witnesses);
    }

    /// Says what the databases say, never that the address *is* anywhere.
    pub fn sentence(&self) -> String {
        let mut out = String::new();
        for answer in &self.answers {
            if !out.is_empty() {
                out.push_str("; ");
            }
            let _ = write!(out, "database {} of {} ", answer.database, answer.date);
            if let Some(days) = answer.days_from_capture.filter(|days| *days > OLD_AFTER_DAYS) {
                let _ = write!(out, "(as of that day, {days} days from the capture) ");
            }
            let Some(country) = answer.country else {
                out.push_str("names no country for it");
                continue;
            };
            out.push_str("places it in ");
            for part in [&answer.city, &answer.subdivision].into_iter().flatten() {
                let _ = write!(out, "{part}, ");
            }
            let _ = write!(out, "{country}");
        }
        if out.is_empty() {
            out.push_str("no database places it");
        }
        if self.disagreement {
            out.push_str("; they disagree");
        }
        if self.anycast {
            out.push_str("; it is marked as anycast, which has no single place");
        }
        out
    }
}

impl OperatedBy {
    /// `database X of D says AS15169 GOOGLE announces it`.
    pub fn sentence(&self) -> String {
        let mut out = format!("database {} of {} says AS{}", self.database, self.date, self.asn);
        if !self.name.is_empty() {
            let _ = write!(out, " {}", self.name);
        }
        if let Some(country) = self.registrant_country {
            let _ = write!(out, ", registered in {country},");
        }
        out.push_str(" announces it");
        out
    }
}

/// What the confidence rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Witnesses {
    /// Independent sources that name the country.
    pub(super) agreeing: usize,
    /// Those of them that are near the capture in time.
    pub(super) current: usize,
    /// Some source names another country.
    pub(super) disagreement: bool,
    /// Some source marks the address as anycast.
    pub(super) anycast: bool,
    /// The address looked up is IPv6.
    pub(super) ipv6: bool,
}

impl Witnesses {
    /// The rule; old answers cost one step, and one source alone never reaches high.
    pub(super) const fn confidence(self) -> Confidence {
        match self {
            Self { agreeing: 0, .. } => Confidence::Unknown,
            Self { disagreement: true, .. }
            | Self { anycast: true, .. }
            | Self { agreeing: 1, ipv6: true, .. }
            | Self { agreeing: 1, current: 0, .. } => Confidence::Low,
            Self { agreeing: 1, .. } | Self { current: 0 | 1, .. } => Confidence::Medium,
            Self { .. } => Confidence::High,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_counts_as_witnesses() {
        let [here, there] = ["DE", "FR"].map(|code| Country::parse(code).unwrap());
        let base = Witnesses { agreeing: 1, current: 1, disagreement: false, anycast: false, ipv6: false };
        let weighed = |witnesses, others: &[(Country, bool)]| {
            let mut place =
                LocatedIn { country: Some(here), witnesses: Some(witnesses), ..LocatedIn::default() };
            place.weigh(others);
            place.confidence
        };
        assert_eq!(weighed(base, &[]), Confidence::Medium);
        assert_eq!(
            weighed(base, &[(here, true)]),
            Confidence::High,
            "two independent ones, both near in time"
        );
        assert_eq!(weighed(base, &[(here, false)]), Confidence::Medium);
        assert_eq!(weighed(Witnesses { ipv6: true, ..base }, &[(here, true)]), Confidence::High);
        assert_eq!(
            weighed(Witnesses { current: 0, ..base }, &[(here, false), (here, false)]),
            Confidence::Medium
        );
        assert_eq!(weighed(base, &[(there, true)]), Confidence::Low);
        assert_eq!(weighed(base, &[(here, true), (there, false)]), Confidence::Low);
        assert_eq!(weighed(Witnesses { anycast: true, ..base }, &[(here, true)]), Confidence::Low);
        let mut nowhere = LocatedIn::default();
        nowhere.weigh(&[(here, true)]);
        assert_eq!(
            (nowhere.country, nowhere.confidence),
            (None, Confidence::Unknown),
            "hints are shown beside it"
        );
    }

    #[test]
    fn confidence_follows_the_rule_table() {
        let base = Witnesses { agreeing: 1, current: 1, disagreement: false, anycast: false, ipv6: false };
        let cases = [
            (Witnesses { agreeing: 0, current: 0, ..base }, Confidence::Unknown),
            (base, Confidence::Medium),
            (Witnesses { current: 0, ..base }, Confidence::Low),
            (Witnesses { ipv6: true, ..base }, Confidence::Low),
            (Witnesses { anycast: true, ..base }, Confidence::Low),
            (Witnesses { agreeing: 2, current: 2, ..base }, Confidence::High),
            (Witnesses { agreeing: 2, current: 2, ipv6: true, ..base }, Confidence::High),
            (Witnesses { agreeing: 2, current: 1, ..base }, Confidence::Medium),
            (Witnesses { agreeing: 2, current: 0, ..base }, Confidence::Medium),
            (Witnesses { agreeing: 3, current: 3, disagreement: true, ..base }, Confidence::Low),
            (Witnesses { agreeing: 2, current: 2, anycast: true, ..base }, Confidence::Low),
        ];
        for (witnesses, expected) in cases {
            assert_eq!(witnesses.confidence(), expected, "{witnesses:?}");
        }
    }
}
