//! Stage: where databases place a server, who announces its network, and which jurisdictions that makes.
//!
//! In: an address and, if there is one, the capture's time. Out: [`Place`] and, from it, [`exposures`].
//! Data: MaxMind DB files that the user names, asked in the order given, then those of the store, then the data inside the program
//! (`geoip/`, under its own licence). Of one lineage in the store and the program, the database nearest the capture's date is asked.
//! The only module that names `maxminddb`.
//!
//! Nothing here says that a server *is* anywhere: each answer carries its database and date. Codes in names and published ranges
//! of clouds are read by `geoip/regions.toml`, laws by `geoip/jurisdictions.toml`, and how soon a server answers bounds how far away it
//! can be. Lookups are not cached: a caller asks once per address.

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
mod info;
mod jurisdictions;
mod networks;
mod place;
mod record;
mod regions;
mod sites;
mod special;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use country::Country;
pub use database::MAX_FILE_BYTES;
pub use date::Date;
pub use distances::{km_at_least, km_at_most, km_in_fibre};
pub use error::{BadDate, GeoError, TableError};
pub use exposure::{Basis, Exposure, OperatorClaim, exposures};
pub use info::{DatabaseInfo, DatabaseKind};
pub use jurisdictions::{Group, GroupBasis, Jurisdictions, Law, LawKind, Member};
pub use networks::{KnownNetwork, NetworkKind};
pub use place::{Answer, Confidence, LocatedIn, OperatedBy, Place};
pub use regions::{RegionHint, Regions};
pub use sites::{MAX_SITES, Sites};
pub use special::{Special, special};
pub use store::{Kept, MAX_KEPT, Store, StoreError, Updated};

use database::{Database, Embedded, Identity, Opened};
use info::{days_between, nanos_between};
use networks::Networks;
use place::{OLD_AFTER_DAYS, Witnesses};
use record::Fields;

/// A table inside the program.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TableInfo {
    /// Its file.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
}

/// The tables inside the program that places and jurisdictions rest on, beside the databases.
pub fn tables() -> Vec<TableInfo> {
    let table = |name, about, bytes: &[u8]| TableInfo { name, about, sha256: database::sha256_hex(bytes) };
    vec![
        table("geoip/jurisdictions.toml", "groups and laws of countries", jurisdictions::EMBEDDED.as_bytes()),
        table("geoip/networks.toml", "front ends and resolvers", networks::EMBEDDED.as_bytes()),
        table("geoip/regions.toml", "codes of regions in names", regions::TABLE.as_bytes()),
        table("geoip/ranges.mmdb", "published ranges of clouds", regions::RANGES),
        table("geoip/distances.bin", "least distances between countries", distances::TABLE),
    ]
}

/// Country by network, 2026-09-23. Read in place.
static COUNTRY: Embedded = Embedded {
    name: "country.mmdb",
    bytes: include_bytes!("../../geoip/country.mmdb"),
    kind: DatabaseKind::Country,
    sha256: "82cd9be97159d84f533a368c342b4bed6aa48329f003b18032ce7da3d8edcf67",
    licence: "CC BY-SA 4.0",
    attribution: "IP location data: IPFire Location (IPFire Project), CC BY-SA 4.0, exported 2026-09-23",
};

/// AS number and name by network, 2022-10-29: the newest that could be had under a licence that allows it.
static ASN: Embedded = Embedded {
    name: "asn.mmdb",
    bytes: include_bytes!("../../geoip/asn.mmdb"),
    kind: DatabaseKind::Asn,
    sha256: "3325d6ae51115d1f556723f4a2e3bb0fad2a4f01c96aa11398e8cb52958a2d5f",
    licence: "CC BY-SA 4.0",
    attribution: "AS data: IPFire Location (IPFire Project), CC BY-SA 4.0, of 2022-10-29",
};

/// The databases that are asked, in order: the user's files, those of the store, the data inside the program.
pub struct Databases {
    /// Files first, those of the store after them, embedded ones last.
    all: Vec<Database>,
    jurisdictions: Jurisdictions,
    networks: Networks,
}

impl Databases {
    /// No database at all, for those who want only their own files.
    pub const fn empty() -> Self {
        Self { all: Vec::new(), jurisdictions: Jurisdictions::empty(), networks: Networks::empty() }
    }

    /// The data inside the program. Cheap: it is read in place.
    ///
    /// # Errors
    /// [`GeoError::Embedded`] and [`GeoError::Table`] if the build is faulty.
    pub fn embedded() -> Result<Self, GeoError> {
        let all = vec![Database::embedded(&COUNTRY)?, Database::embedded(&ASN)?];
        Ok(Self { all, jurisdictions: Jurisdictions::embedded()?, networks: Networks::embedded()? })
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
        let is_file = |database: &&Database| !database.is_embedded() && !database.is_stored();
        let files = self.all.iter().take_while(is_file).count();
        self.all.insert(files, database);
        Ok(())
    }

    /// Adds the databases of a store after the user's files and ahead of the embedded data. None is read before it is asked.
    pub fn add_store(&mut self, store: &Store) {
        let before = self.all.iter().take_while(|database| !database.is_embedded()).count();
        let kept = store.kept().iter().map(|kept| Database::stored(store.path_of(kept), kept.clone()));
        self.all.splice(before..before, kept);
    }

    /// Reads every database of the store, so that [`info`](Self::info) tells of all and [`faults`](Self::faults) of those that are
    /// not what the manifest says.
    pub fn open_all(&self) {
        for database in &self.all {
            let _ = database.ask();
        }
    }

    /// The databases of the store that were asked and could not be used.
    pub fn faults(&self) -> Vec<GeoError> {
        self.all.iter().filter_map(Database::fault).cloned().collect()
    }

    /// When the newest database that places addresses was built, in seconds since 1970-01-01T00:00:00Z.
    pub fn newest_places(&self) -> Option<u64> {
        let with_places = |database: &Database| {
            let identity = database.identity()?;
            identity.kind.has_places().then_some(identity.build_time)
        };
        self.all.iter().filter_map(with_places).max()
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

    /// What is asked, in order; of those in the store, and of the embedded ones beside them, what was asked. Hashes a user's file on
    /// the first call and unpacks the AS data.
    pub fn info(&self) -> Vec<DatabaseInfo> {
        let has_store = self.all.iter().any(Database::is_stored);
        let counts = |database: &&Database| {
            let of_choice = database.is_stored() || (has_store && database.is_embedded());
            !of_choice || database.was_asked()
        };
        self.all.iter().filter(counts).filter_map(Database::info).collect()
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
        for (database, parts) in self.chosen(capture_date) {
            if skip_embedded && database.is_embedded() {
                continue;
            }
            match database.ask().map(|opened| (opened, opened.fields(asked))) {
                Some((opened, Ok(Some(fields)))) => draft.add(opened, fields.only(parts), capture_date),
                Some((_, Ok(None))) => {}
                Some((opened, Err(()))) => draft.place.unreadable.push(opened.name.clone()),
                None => draft.place.unreadable.push(database.cited_as()),
            }
        }
        let asn = draft.place.operated_by.as_ref().map(|by| by.asn);
        draft.place.network = self.networks.of(asked, asn);
        draft.finish(asked.is_ipv6())
    }

    /// The user's files whole; of each other lineage the database nearest the capture's date, or the newest where there is none, for
    /// places and for networks.
    fn chosen(&self, capture_date: Option<Timestamp>) -> Vec<(&Database, Parts)> {
        if !self.all.iter().any(Database::is_stored) {
            return self.all.iter().map(|database| (database, Parts::ALL)).collect();
        }
        let distance = |built: u64| match capture_date {
            Some(seen) => nanos_between(built, seen),
            None => u128::from(u64::MAX.abs_diff(built)),
        };
        let rivals: Vec<(&Database, Identity<'_>)> = self
            .all
            .iter()
            .filter(|database| database.is_stored() || database.is_embedded())
            .filter_map(|database| Some((database, database.identity()?)))
            .collect();
        // Nearest first, on a tie the newer, and at last in the order of the manifest.
        let nearer = |one: &Identity<'_>, other: &Identity<'_>| {
            let order = |of: &Identity<'_>| (distance(of.build_time), u64::MAX.abs_diff(of.build_time));
            order(one) < order(other)
        };
        let best = |place: usize, of_kind: fn(DatabaseKind) -> bool| {
            rivals.get(place).is_some_and(|(_, own)| {
                of_kind(own.kind)
                    && !rivals.iter().enumerate().any(|(at, (_, rival))| {
                        rival.lineage == own.lineage
                            && of_kind(rival.kind)
                            && (nearer(rival, own) || (at < place && !nearer(own, rival)))
                    })
            })
        };
        let mut picked: Vec<(&Database, Parts, Identity<'_>)> = rivals
            .iter()
            .enumerate()
            .map(|(place, (database, identity))| {
                let places = best(place, DatabaseKind::has_places);
                let networks = best(place, DatabaseKind::has_networks);
                (*database, Parts { places, networks }, *identity)
            })
            .filter(|(_, parts, _)| parts.places || parts.networks)
            .collect();
        picked.sort_by_key(|(database, _, identity)| (database.is_embedded(), distance(identity.build_time)));
        let files = self.all.iter().filter(|database| !database.is_stored() && !database.is_embedded());
        let picked = picked.into_iter().map(|(database, parts, _)| (database, parts));
        files.map(|database| (database, Parts::ALL)).chain(picked).collect()
    }
}

/// Which parts of a database's answer are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    places: bool,
    networks: bool,
}

impl Parts {
    const ALL: Self = Self { places: true, networks: true };
}

impl Fields {
    /// Without the parts that another database of the lineage tells better.
    fn only(mut self, parts: Parts) -> Self {
        if !parts.places {
            self.names_a_place = false;
            self.anycast = false;
        }
        if !parts.networks {
            self.asn = None;
        }
        self
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
        self.place.located_in.anycast |=
            self.place.network.as_ref().is_some_and(KnownNetwork::is_surely_anycast);
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
