//! Why a database file was refused, in words that name the file and what was expected of it.

use std::io::ErrorKind;
use std::path::PathBuf;

use thiserror::Error;

/// A geolocation database could not be used.
#[derive(Error, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeoError {
    /// The file could not be opened or read.
    #[error("reading geolocation database {path}: {reason}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kind of what the system said.
        kind: ErrorKind,
        /// What the system said.
        reason: String,
    },
    /// A directory, device or pipe.
    #[error("{path} is not a regular file; expected a MaxMind DB file (.mmdb)", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Larger than [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES).
    #[error("{path} has {size} bytes, the limit for a geolocation database is {limit}", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes, or the first size beyond the limit.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// No MaxMind DB metadata in it.
    #[error(
        "{path} is not a MaxMind DB file: expected the metadata marker \"\\xab\\xcd\\xefMaxMind.com\" near its end, \
         found none in {size} bytes{hint}",
        path = path.display()
    )]
    NotMmdb {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: usize,
        /// What the first bytes look like, as `" (..)"`, or nothing.
        hint: &'static str,
    },
    /// The marker is there, but what follows or precedes it is broken.
    #[error("{path} is a broken or truncated MaxMind DB file: {offset}expected whole metadata of format 2 and a search \
             tree that fits the file; {fault}", path = path.display(), offset = at(*offset))]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where in the file, if known.
        offset: Option<usize>,
        /// The reader's own account.
        fault: String,
    },
    /// A sound database without any field that is understood here.
    #[error(
        "{path} (database_type {database_type:?}) holds neither places nor AS numbers: expected country.iso_code, \
         country_code, country, autonomous_system_number or asn in its records",
        path = path.display()
    )]
    NoKnownField {
        /// The file.
        path: PathBuf,
        /// What the file calls itself.
        database_type: String,
    },
    /// A file of the store is not the one that was put there.
    #[error(
        "{path} is not what the store's manifest says: expected SHA-256 {expected}, found {found}; remove its entry from the \
         manifest, and put the database there again with `geo update`",
        path = path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The hash in the manifest.
        expected: String,
        /// The hash of the file.
        found: String,
    },
    /// The data inside the program does not open; a build fault.
    #[error("embedded geolocation data {name} does not open")]
    Embedded {
        /// Which file.
        name: &'static str,
    },
    /// The tables inside the program do not fit their schema; a build fault.
    #[error("embedded table {0}")]
    Table(#[from] TableError),
}

/// A table of `geoip/` does not fit its schema.
#[derive(Error, Debug, Clone, PartialEq, Eq)]
#[error("{file}:{line}: {field}{reason}", field = of_field(field))]
#[non_exhaustive]
pub struct TableError {
    /// Name of the file.
    pub file: &'static str,
    /// Line, counted from 1.
    pub line: usize,
    /// The field on that line; empty where it holds none.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

fn of_field(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

/// A text is no day of the calendar.
#[derive(Error, Debug, Clone, PartialEq, Eq)]
#[error("expected a day as YYYY-MM-DD, found {text:?}")]
#[non_exhaustive]
pub struct BadDate {
    /// The text.
    pub text: String,
}

fn at(offset: Option<usize>) -> String {
    offset.map_or_else(String::new, |offset| format!("at offset {offset}: "))
}
