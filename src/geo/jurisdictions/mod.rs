//! Which groups a country belongs to and which of its laws compel access or keep data at home, on a day.
//!
//! In: `geoip/jurisdictions.toml`, a country and the capture's date. Out: [`Group`], [`Member`] and [`Law`] rows that hold on
//! that day. Every row has its source and the day on which it was checked against it, or is marked as unchecked. Informational:
//! nothing here is legal advice, and nothing here says that a law was or would be used.
//!
//! Without a date nothing that has a beginning or an end can be said to hold, so that it does not.

mod file;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::geo::country::Country;
use crate::geo::date::Date;
use crate::geo::error::TableError;
use crate::time::Timestamp;

/// The table inside the program.
pub(super) const EMBEDDED: &str = include_str!("../../../geoip/jurisdictions.toml");

/// What the rows of a group rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupBasis {
    /// A treaty that its members have acceded to.
    Treaty,
    /// Decisions of an authority about each country.
    Decision,
    /// A label of the press for what leaked papers showed: no treaty, and no public list of members.
    PressLabel,
}

/// A group of countries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// Stable word: `eu`, `eea`, `gdpr_adequate`, `five_eyes`, `nine_eyes`, `fourteen_eyes`.
    pub id: String,
    /// Name.
    pub name: String,
    /// What its rows rest on.
    pub basis: GroupBasis,
    /// What the group is and is not, in a sentence.
    pub note: String,
    /// Its rows; a country may have several, one after the other in time.
    pub members: Vec<Member>,
}

/// A country's time in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The country.
    pub country: Country,
    /// First day; none where the group has no dates.
    pub valid_from: Option<Date>,
    /// Last day; none while it lasts.
    pub valid_to: Option<Date>,
    /// To whom or what it is limited; none where it holds for the whole country.
    pub scope: Option<String>,
    /// Title of the text that the row was taken from.
    pub source_title: String,
    /// The day on which somebody read that text.
    pub checked_on: Option<Date>,
    /// Nobody has read a text that supports the row.
    pub unchecked: bool,
}

/// What a law is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LawKind {
    /// Authorities may compel that data or assistance be given.
    Access,
    /// Authorities may have communications intercepted.
    Interception,
    /// Data must be kept in the country.
    Localisation,
    /// Rules for those who handle personal data.
    DataProtection,
}

/// A law, in force from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Law {
    /// The country; none for a law of a group, such as the European Union.
    pub country: Option<Country>,
    /// The group whose law it is.
    pub group: Option<String>,
    /// Members of the group that it does not bind.
    pub except: Vec<Country>,
    /// Its name.
    pub instrument: String,
    /// What it is about.
    pub kind: LawKind,
    /// The year by which it is known.
    pub year: i16,
    /// First day in force. None where only the year is known: then it counts from the end of that year.
    pub valid_from: Option<Date>,
    /// Last day in force; none while it lasts.
    pub valid_to: Option<Date>,
    /// What or whom it is limited to, and which article.
    pub scope: Option<String>,
    /// What is open about it, where whether it is in force is not settled.
    pub verify: Option<String>,
    /// Title of the text that the row was taken from.
    pub source_title: String,
    /// The day on which somebody read that text.
    pub checked_on: Option<Date>,
    /// Nobody has read a text that supports the row, or it is open whether it is in force.
    pub unchecked: bool,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Jurisdictions {
    groups: Vec<Group>,
    laws: Vec<Law>,
}

impl Jurisdictions {
    /// The table inside the program.
    ///
    /// # Errors
    /// [`TableError`] with line and field if it does not fit its schema; a test keeps that from being built.
    pub fn embedded() -> Result<Self, TableError> {
        file::parse(EMBEDDED)
    }

    /// A table without rows.
    pub const fn empty() -> Self {
        Self { groups: Vec::new(), laws: Vec::new() }
    }

    /// The groups, in the order of the table.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of that id.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// Whether a country is in a group on the capture's day; none where there is no such group.
    ///
    /// A row of limited scope, such as an adequacy decision for some companies only, counts too: [`memberships`](Self::memberships)
    /// tells of the limit.
    pub fn in_group(&self, group: &str, country: Country, at: Option<Timestamp>) -> Option<bool> {
        let day = at.and_then(Date::of);
        let group = self.group(group)?;
        Some(group.members.iter().any(|member| member.country == country && member.holds(day)))
    }

    /// The groups that a country is in on the capture's day, each with the row that says so.
    pub fn memberships(&self, country: Country, at: Option<Timestamp>) -> Vec<(&Group, &Member)> {
        let day = at.and_then(Date::of);
        let rows =
            self.groups.iter().flat_map(|group| group.members.iter().map(move |member| (group, member)));
        rows.filter(|(_, member)| member.country == country && member.holds(day)).collect()
    }

    /// The laws of a country, and of the groups that it is in, that are in force on the capture's day.
    pub fn laws(&self, country: Country, at: Option<Timestamp>) -> Vec<&Law> {
        let day = at.and_then(Date::of);
        let binds = |law: &&Law| {
            let of_group = law.group.as_deref().is_some_and(|group| {
                self.in_group(group, country, at) == Some(true) && !law.except.contains(&country)
            });
            law.holds(day) && (law.country == Some(country) || of_group)
        };
        self.laws.iter().filter(binds).collect()
    }

    /// Every law of the table.
    pub fn all_laws(&self) -> &[Law] {
        &self.laws
    }

    /// Whether the table has any row of a country, on whatever day.
    pub fn knows(&self, country: Country) -> bool {
        self.groups.iter().flat_map(|group| &group.members).any(|member| member.country == country)
            || self.laws.iter().any(|law| law.country == Some(country))
    }
}

impl Member {
    /// Whether the row holds on that day.
    fn holds(&self, day: Option<Date>) -> bool {
        holds(self.valid_from, self.valid_to, day)
    }
}

impl Law {
    /// The first day on which it counts as in force.
    pub fn counts_from(&self) -> Option<Date> {
        self.valid_from.or_else(|| Date::first_of(self.year.saturating_add(1)))
    }

    fn holds(&self, day: Option<Date>) -> bool {
        holds(self.counts_from(), self.valid_to, day)
    }
}

/// Both ends are part of it. Without a day, only what has neither end.
fn holds(from: Option<Date>, to: Option<Date>, day: Option<Date>) -> bool {
    match day {
        Some(day) => from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to),
        None => from.is_none() && to.is_none(),
    }
}
