//! The union of the jurisdictions that reach a server, each with its reason, source and date.
//!
//! In: what databases say of the address ([`Place`]) and who runs the service (from the provider files).
//! Out: one [`Exposure`] per reason; two reasons for one country stay two. What a jurisdiction's law demands
//! is not judged here.

use serde::{Deserialize, Serialize};

use crate::geo::country::Country;
use crate::geo::place::Place;

/// Why a jurisdiction reaches a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Basis {
    /// A database places the server there.
    LocatedIn,
    /// The network's holder is registered there.
    RegisteredIn,
    /// The AS that announces the network is registered there.
    OperatedBy,
    /// The company that runs the service is at home there.
    ServiceOperator,
}

/// One jurisdiction that reaches a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Exposure {
    /// ISO 3166-1 alpha-2 code.
    pub jurisdiction: String,
    /// Kind of reason.
    pub basis: Basis,
    /// The reason in words.
    pub reason: String,
    /// Where the fact comes from: a database's name, or the provider file's source.
    pub source: String,
    /// Date of the source, as it gives it.
    pub date: String,
}

/// A country of the service's operator, from a provider file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by callers from provider files")]
pub struct OperatorClaim<'a> {
    /// The operator, e.g. `Zoom Communications, Inc.`.
    pub operator: &'a str,
    /// Country code as in the file; a pseudo code yields no exposure.
    pub country: &'a str,
    /// The file's source for it.
    pub source: &'a str,
    /// The source's date.
    pub date: &'a str,
}

/// The union, in the order of [`Basis`] and then of the databases; exact repeats are left out.
pub fn exposures(place: &Place, operators: &[OperatorClaim<'_>]) -> Vec<Exposure> {
    let mut all = Vec::new();
    for answer in &place.located_in.answers {
        if let Some(country) = answer.country {
            let reason = format!("database {} of {} places it in {country}", answer.database, answer.date);
            push(&mut all, country, Basis::LocatedIn, reason, (&answer.database, &answer.date));
        }
    }
    for answer in &place.located_in.answers {
        if let Some(country) = answer.registered_country {
            let reason = format!(
                "database {} of {} says the network's holder is registered in {country}",
                answer.database, answer.date
            );
            push(&mut all, country, Basis::RegisteredIn, reason, (&answer.database, &answer.date));
        }
    }
    if let Some(by) = &place.operated_by
        && let Some(country) = by.registrant_country
    {
        push(&mut all, country, Basis::OperatedBy, by.sentence(), (&by.database, &by.date));
    }
    for claim in operators {
        if let Some(country) = Country::parse(claim.country) {
            let reason = format!("the service's operator {} is at home in {country}", claim.operator);
            push(&mut all, country, Basis::ServiceOperator, reason, (claim.source, claim.date));
        }
    }
    all
}

fn push(all: &mut Vec<Exposure>, country: Country, basis: Basis, reason: String, of: (&str, &str)) {
    let (source, date) = (of.0.to_owned(), of.1.to_owned());
    let exposure = Exposure { jurisdiction: country.code().to_owned(), basis, reason, source, date };
    if !all.contains(&exposure) {
        all.push(exposure);
    }
}
