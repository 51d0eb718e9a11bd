//! Stage: where databases place a server, who announces its network, and which jurisdictions that makes.
//!
//! In: an address and, if there is one, the capture's time. Out: [`Place`] and, from it, [`exposures`].
//! Data: MaxMind DB files that the user names, asked in the order given, then the data inside the program
//! (`geoip/`, under its own licence). The only module that names `maxminddb`.
//!
//! Nothing here says that a server *is* anywhere: each answer carries its database and date. Cloud regions
//! and provider prefixes belong to `classify`, laws to `geoip/jurisdictions.toml`. Lookups are not cached:
//! a caller asks once per address.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use crate::time::Timestamp;

mod country;
mod database;
mod date;
mod distances;
mod error;
mod exposure;
mod jurisdictions;
mod place;
mod record;
mod regions;
mod sites;
mod special;
mod table;
#[cfg(test)]
mod tests;

pub use country::Country;
pub use database::{DatabaseInfo, DatabaseKind, MAX_FILE_BYTES};
pub use date::Date;
pub use distances::{km_at_least, km_at_most, km_in_fibre};
pub use error::{BadDate, GeoError, TableError};
pub use exposure::{Basis, Exposure, OperatorClaim, exposures};
pub use jurisdictions::{Group, GroupBasis, Jurisdictions, Law, LawKind, Member};
pub use place::{Answer, Confidence, LocatedIn, OperatedBy, Place};
pub use regions::{RegionHint, Regions};
pub use sites::{MAX_SITES, Sites};
pub use special::{Special, special};

use database::{Database, Embedded, Opened};
use place::{OLD_AFTER_DAYS, Witnesses};
use record::Fields;

const NANOS_PER_DAY: u128 = 86_400_000_000_000;

/// Country by network, 2026-09-23. Read in place.
static COUNTRY: Embedded = Embedded {
    name: "country.mmdb",
    bytes: include_bytes!("../../geoip/country.mmdb"),
    packed: false,
    kind: DatabaseKind::Country,
    sha256: "82cd9be97159d84f533a368c342b4bed6aa48329f003b18032ce7da3d8edcf67",
    licence: "CC BY-SA 4.0",
    attribution: "IP location data: IPFire Location (IPFire Project), CC BY-SA 4.0, exported 2026-09-23",
};

/// AS number and name by network, 2022-10-29: the newest that could be had under a licence that allows it.
static ASN: Embedded = Embedded {
    name: "asn.mmdb",
    bytes: include_bytes!("../../geoip/asn.mmdb.zst"),
    packed: true,
    kind: DatabaseKind::Asn,
    sha256: "3325d6ae51115d1f556723f4a2e3bb0fad2a4f01c96aa11398e8cb52958a2d5f",
    licence: "CC BY-SA 4.0",
    attribution: "AS data: IPFire Location (IPFire Project), CC BY-SA 4.0, of 2022-10-29",
};

/// The databases that are asked, in order: the user's files, then the data inside the program.
pub struct Databases {
    /// Files first, embedded ones after them.
    all: Vec<Database>,
    jurisdictions: Jurisdictions,
}

impl Databases {
    /// No database at all, for those who want only their own files.
    pub const fn empty() -> Self {
        Self { all: Vec::new(), jurisdictions: Jurisdictions::empty() }
    }

    /// The data inside the program. Cheap: AS data is unpacked at the first lookup that needs it.
    ///
    /// # Errors
    /// [`GeoError::Embedded`] and [`GeoError::Table`] if the build is faulty.
    pub fn embedded() -> Result<Self, GeoError> {
        let all = vec![Database::embedded(&COUNTRY)?, Database::embedded(&ASN)?];
        Ok(Self { all, jurisdictions: Jurisdictions::embedded()? })
    }

    /// Groups of countries and their laws.
    pub const fn jurisdictions(&self) -> &Jurisdictions {
        &self.jurisdictions
    }

    /// Adds a user's file after those added before it and ahead of the embedded data.
    ///
    /// # Errors
    /// [`GeoError`], which names the file and what was expected of it.
    pub fn add_file(&mut self, path: &Path) -> Result<(), GeoError> {
        let database = Database::open(path)?;
        let files = self.all.iter().take_while(|database| !database.is_embedded()).count();
        self.all.insert(files, database);
        Ok(())
    }

    /// Walks a whole file before it is put in place of another: every network and record, then its identity.
    ///
    /// Stricter than [`add_file`](Self::add_file), and slow on large files.
    ///
    /// # Errors
    /// [`GeoError`], which names the file, the offset if known, and what was expected of it.
    pub fn verify_file(path: &Path) -> Result<DatabaseInfo, GeoError> {
        let database = Database::open(path)?;
        database.verify(path)?;
        let unnamed = || GeoError::NoKnownField { path: path.into(), database_type: String::new() };
        database.info().ok_or_else(unnamed)
    }

    /// What is asked, in order. Hashes a user's file on the first call and unpacks the AS data.
    pub fn info(&self) -> Vec<DatabaseInfo> {
        self.all.iter().filter_map(Database::info).collect()
    }

    /// What the databases say about `ip`, whenever it was seen.
    pub fn lookup(&self, ip: IpAddr) -> Place {
        self.lookup_at(ip, None)
    }

    /// What the databases say about `ip`, seen at `capture_date`: answers over 180 days away count for less.
    pub fn lookup_at(&self, ip: IpAddr, capture_date: Option<Timestamp>) -> Place {
        let asked = special::looked_up_as(ip);
        let mut draft =
            Draft { place: Place { special: special(ip), ..Place::default() }, votes: Vec::new() };
        // Only a user's own file may know an address that is private to the user's network.
        let skip_embedded = special(asked).is_some();
        for database in self.all.iter().filter(|database| !(skip_embedded && database.is_embedded())) {
            let Some(opened) = database.opened() else { continue };
            match opened.fields(asked) {
                Ok(Some(fields)) => draft.add(opened, fields, capture_date),
                Ok(None) => {}
                Err(()) => draft.place.unreadable.push(opened.name.clone()),
            }
        }
        draft.finish(asked.is_ipv6())
    }
}

impl fmt::Debug for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Databases").field("databases", &self.all.len()).finish_non_exhaustive()
    }
}

/// A place in the making.
struct Draft<'a> {
    place: Place,
    /// Country, lineage, and whether the answer is near the capture in time.
    votes: Vec<(Country, &'a str, bool)>,
}

impl<'a> Draft<'a> {
    fn add(&mut self, opened: &'a Opened, fields: Fields, capture_date: Option<Timestamp>) {
        let days = capture_date.map(|seen| days_between(opened.build_time, seen));
        self.place.located_in.anycast |= fields.anycast;
        if fields.names_a_place {
            if let Some(country) = fields.country {
                let current = days.is_none_or(|days| days <= OLD_AFTER_DAYS);
                self.votes.push((country, &opened.lineage, current));
            }
            self.place.located_in.answers.push(Answer {
                database: opened.name.clone(),
                date: opened.build_date.clone(),
                country: fields.country,
                registered_country: fields.registered_country,
                subdivision: fields.subdivision,
                city: fields.city,
                days_from_capture: days,
            });
        }
        if let Some(asn) = fields.asn
            && self.place.operated_by.is_none()
        {
            self.place.operated_by = Some(OperatedBy {
                asn,
                name: fields.as_name.unwrap_or_default(),
                registrant_country: fields.as_country,
                database: opened.name.clone(),
                date: opened.build_date.clone(),
                days_from_capture: days,
            });
        }
    }

    fn finish(mut self, ipv6: bool) -> Place {
        let country = self.votes.first().map(|(country, ..)| *country);
        let lineages = |only_current: bool| -> usize {
            let agreeing = self
                .votes
                .iter()
                .filter(|(voted, _, current)| Some(*voted) == country && (*current || !only_current));
            agreeing.map(|(_, lineage, _)| *lineage).collect::<BTreeSet<_>>().len()
        };
        let disagreement = self.votes.iter().any(|(voted, ..)| Some(*voted) != country);
        let anycast = self.place.located_in.anycast;
        let witnesses =
            Witnesses { agreeing: lineages(false), current: lineages(true), disagreement, anycast, ipv6 };
        self.place.located_in.country = country;
        self.place.located_in.disagreement = disagreement;
        self.place.located_in.confidence = witnesses.confidence();
        self.place.located_in.witnesses = country.is_some().then_some(witnesses);
        self.place
    }
}

/// Whole days between a build time and a capture, either way round.
fn days_between(build_time: u64, seen: Timestamp) -> u32 {
    let built = i64::try_from(build_time).map_or(i64::MAX, |secs| secs.saturating_mul(1_000_000_000));
    let apart = u128::from(built.abs_diff(seen.as_nanos()));
    u32::try_from(apart.checked_div(NANOS_PER_DAY).unwrap_or(0)).unwrap_or(u32::MAX)
}
