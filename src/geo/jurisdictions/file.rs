//! The table's text to rows, with the rules that a schema cannot tell.

use serde::Deserialize;
use toml::Spanned;

use super::{Group, GroupBasis, Jurisdictions, Law, LawKind, Member};
use crate::geo::country::Country;
use crate::geo::date::Date;
use crate::geo::error::TableError;
use crate::geo::table;

/// Name of the file in errors.
const FILE: &str = "geoip/jurisdictions.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Vec<Spanned<GroupRow>>,
    law: Vec<Spanned<LawRow>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupRow {
    id: String,
    name: String,
    basis: GroupBasis,
    note: String,
    member: Vec<Spanned<MemberRow>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberRow {
    iso: Vec<Iso>,
    valid_from: Option<Date>,
    valid_to: Option<Date>,
    scope: Option<String>,
    source_title: Option<String>,
    checked_on: Option<Date>,
    #[serde(default)]
    unchecked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LawRow {
    iso: Option<Iso>,
    group: Option<String>,
    #[serde(default)]
    except: Vec<Iso>,
    instrument: String,
    kind: LawKind,
    year: i16,
    valid_from: Option<Date>,
    valid_to: Option<Date>,
    scope: Option<String>,
    status: Option<Status>,
    verify: Option<String>,
    source_title: Option<String>,
    checked_on: Option<Date>,
    #[serde(default)]
    unchecked: bool,
}

/// Whether it is settled that a law is in force.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// It is not.
    Verify,
}

/// A country by its code; a pseudo code or a code without a name is an error.
#[derive(Clone, Copy)]
struct Iso(Country);

impl<'de> Deserialize<'de> for Iso {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        let named =
            Country::parse(&code).filter(|country| country.code() == code && country.name().is_some());
        let expected = || format!("expected an ISO 3166-1 alpha-2 code in capitals, found {code:?}");
        named.map(Self).ok_or_else(|| serde::de::Error::custom(expected()))
    }
}

/// What a row rests on, as it stands in the file.
struct Support<'a> {
    source_title: Option<&'a String>,
    checked_on: Option<Date>,
    unchecked: bool,
    dates: [Option<Date>; 2],
}

impl Support<'_> {
    /// A checked row names its text and the day; an unchecked one has no such day.
    fn fault(&self) -> Option<&'static str> {
        let [from, to] = self.dates;
        match (self.unchecked, self.source_title, self.checked_on) {
            _ if from.zip(to).is_some_and(|(from, to)| to < from) => Some("valid_to is before valid_from"),
            (false, None, _) => Some("a checked row needs source_title"),
            (false, _, None) => Some("a row needs checked_on, or unchecked = true"),
            (true, _, Some(_)) => Some("a row is either checked on a day or unchecked"),
            _ => None,
        }
    }
}

/// Reads the table.
pub(super) fn parse(text: &str) -> Result<Jurisdictions, TableError> {
    let file: File = table::parse(FILE, text)?;
    let mut groups: Vec<Group> = Vec::new();
    for row in file.group {
        let span = row.span();
        let fault = |reason: String| table::fault(FILE, text, Some(&span), reason);
        let row = row.into_inner();
        if groups.iter().any(|known| known.id == row.id) {
            return Err(fault(format!("group {} stands twice", row.id)));
        }
        let mut members: Vec<Member> = Vec::new();
        for row in row.member {
            members.extend(member_rows(text, row)?);
        }
        let (id, name, basis, note) = (row.id, row.name, row.basis, row.note);
        groups.push(Group { id, name, basis, note, members });
    }
    let laws: Result<Vec<Law>, TableError> =
        file.law.into_iter().map(|row| law(text, row, &groups)).collect();
    Ok(Jurisdictions { laws: laws?, groups })
}

fn member_rows(text: &str, row: Spanned<MemberRow>) -> Result<Vec<Member>, TableError> {
    let span = row.span();
    let row = row.into_inner();
    let support = Support {
        source_title: row.source_title.as_ref(),
        checked_on: row.checked_on,
        unchecked: row.unchecked,
        dates: [row.valid_from, row.valid_to],
    };
    if let Some(reason) = support.fault() {
        return Err(table::fault(FILE, text, Some(&span), reason.to_owned()));
    }
    let member = |iso: &Iso| Member {
        country: iso.0,
        valid_from: row.valid_from,
        valid_to: row.valid_to,
        scope: row.scope.clone(),
        source_title: row.source_title.clone().unwrap_or_default(),
        checked_on: row.checked_on,
        unchecked: row.unchecked,
    };
    Ok(row.iso.iter().map(member).collect())
}

fn law(text: &str, row: Spanned<LawRow>, groups: &[Group]) -> Result<Law, TableError> {
    let span = row.span();
    let fault = |reason: &str| Err(table::fault(FILE, text, Some(&span), reason.to_owned()));
    let row = row.into_inner();
    let support = Support {
        source_title: row.source_title.as_ref(),
        checked_on: row.checked_on,
        unchecked: row.unchecked,
        dates: [row.valid_from, row.valid_to],
    };
    if let Some(reason) = support.fault() {
        return fault(reason);
    }
    match (&row.iso, &row.group) {
        (Some(_), None) if row.except.is_empty() => {}
        (None, Some(group)) if groups.iter().any(|known| known.id == *group) => {}
        (None, Some(group)) => return fault(&format!("no group is called {group}")),
        _ => return fault("a law has iso, or group and perhaps except"),
    }
    if !row.unchecked && row.valid_from.is_none() {
        return fault("a checked law needs valid_from: a year alone does not tell what held in it");
    }
    if row.status.is_some() != row.verify.is_some() {
        return fault("status = \"verify\" and verify, which says what is open, come together");
    }
    if row.status == Some(Status::Verify) && !row.unchecked {
        return fault("what is to be verified is unchecked");
    }
    Ok(Law {
        country: row.iso.map(|iso| iso.0),
        group: row.group,
        except: row.except.iter().map(|iso| iso.0).collect(),
        instrument: row.instrument,
        kind: row.kind,
        year: row.year,
        valid_from: row.valid_from,
        valid_to: row.valid_to,
        scope: row.scope,
        verify: row.verify,
        source_title: row.source_title.unwrap_or_default(),
        checked_on: row.checked_on,
        unchecked: row.unchecked,
    })
}
