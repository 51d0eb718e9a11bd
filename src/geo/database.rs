//! One MaxMind DB: a file that the user named, or bytes inside the program.
//!
//! In: a path or bytes. Out: its identity ([`DatabaseInfo`]) and the record for an address. Files are read
//! whole, never mapped: a file that shrinks under a map ends the process. Embedded AS data is packed and
//! unpacked at first use.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::geo::error::GeoError;
use crate::geo::record::{Fields, clean};

/// Largest database file that is read: 2 GiB. The largest commercial city file is about a third of it.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// Largest size that packed embedded data may unpack to.
const MAX_UNPACKED: usize = 32 << 20;

/// How many networks, empty ones included, are walked over to learn what a file's records hold.
const PROBED_NETWORKS: usize = 4096;

/// How many records are read for it; a hostile record may be slow to skip through.
const PROBED_RECORDS: usize = 64;

/// The metadata must begin this near to the end of the file (MaxMind DB format 2.0).
const METADATA_REACH: usize = 128 * 1024;

/// Begins the metadata.
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Bytes that a reader and the hash both look at.
#[derive(Clone)]
enum Bytes {
    Static(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// What a database's records are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// SHA-256 of the MaxMind DB file (unpacked), in hex.
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
}

/// An opened database.
pub(super) struct Database {
    origin: Origin,
    backing: Backing,
    sha256: OnceLock<String>,
}

enum Origin {
    File(PathBuf),
    Embedded(&'static Embedded),
}

enum Backing {
    Ready(Box<Opened>),
    Packed(&'static Embedded, OnceLock<Option<Box<Opened>>>),
}

/// A reader and what is said about it often.
pub(super) struct Opened {
    reader: Reader<Bytes>,
    bytes: Bytes,
    pub(super) kind: DatabaseKind,
    pub(super) name: String,
    pub(super) build_time: u64,
    pub(super) build_date: String,
    /// Makers that share their source count as one witness.
    pub(super) lineage: String,
}

/// Facts of embedded data that stand in `geoip/README.md` too; tests hold them to the bytes.
pub(super) struct Embedded {
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
    pub(super) packed: bool,
    pub(super) kind: DatabaseKind,
    pub(super) sha256: &'static str,
    pub(super) licence: &'static str,
    pub(super) attribution: &'static str,
}

impl Database {
    /// Reads and checks a file.
    pub(super) fn open(path: &Path) -> Result<Self, GeoError> {
        let bytes = Bytes::Owned(Arc::new(read_capped(path)?));
        let reader =
            Reader::from_source(bytes.clone()).map_err(|error| refused(path, bytes.as_ref(), &error))?;
        let database_type = clean(&reader.metadata().database_type);
        let Some(kind) = probe_kind(&reader).or_else(|| kind_by_name(&database_type)) else {
            return Err(GeoError::NoKnownField { path: path.into(), database_type });
        };
        let file_name = path.file_name().map_or_else(String::new, |name| clean(&name.to_string_lossy()));
        let opened = Opened::new(reader, bytes, kind, &file_name);
        Ok(Self {
            origin: Origin::File(path.into()),
            backing: Backing::Ready(Box::new(opened)),
            sha256: OnceLock::new(),
        })
    }

    /// Data inside the program; packed data is opened at first use.
    pub(super) fn embedded(data: &'static Embedded) -> Result<Self, GeoError> {
        let backing = if data.packed {
            Backing::Packed(data, OnceLock::new())
        } else {
            let bytes = Bytes::Static(data.bytes);
            let reader =
                Reader::from_source(bytes.clone()).map_err(|_| GeoError::Embedded { name: data.name })?;
            Backing::Ready(Box::new(Opened::new(reader, bytes, data.kind, data.name)))
        };
        Ok(Self { origin: Origin::Embedded(data), backing, sha256: OnceLock::from(data.sha256.to_owned()) })
    }

    /// True for data inside the program.
    pub(super) const fn is_embedded(&self) -> bool {
        matches!(self.origin, Origin::Embedded(_))
    }

    /// The reader, unpacked if need be; none if packed data is broken, which a test rules out.
    pub(super) fn opened(&self) -> Option<&Opened> {
        match &self.backing {
            Backing::Ready(opened) => Some(opened),
            Backing::Packed(data, cell) => cell
                .get_or_init(|| {
                    let unpacked = zstd::bulk::decompress(data.bytes, MAX_UNPACKED).ok()?;
                    let bytes = Bytes::Owned(Arc::new(unpacked));
                    let reader = Reader::from_source(bytes.clone()).ok()?;
                    Some(Box::new(Opened::new(reader, bytes, data.kind, data.name)))
                })
                .as_deref(),
        }
    }

    /// Identity for the report; hashes a user's file on the first call.
    pub(super) fn info(&self) -> Option<DatabaseInfo> {
        let opened = self.opened()?;
        let metadata = opened.reader.metadata();
        let (source, licence, attribution) = match &self.origin {
            Origin::File(path) => {
                let (licence, attribution) = terms_of(&opened.lineage);
                (clean(&path.to_string_lossy()), licence, attribution)
            }
            Origin::Embedded(data) => ("embedded".to_owned(), data.licence, data.attribution),
        };
        let sha256 = self.sha256.get_or_init(|| hex(&Sha256::digest(opened.bytes.as_ref())));
        Some(DatabaseInfo {
            name: opened.name.clone(),
            source,
            database_type: clean(&metadata.database_type),
            description: metadata.description.get("en").map_or_else(String::new, |text| clean(text)),
            build_time: opened.build_time,
            build_date: opened.build_date.clone(),
            sha256: sha256.clone(),
            licence: licence.to_owned(),
            attribution: if attribution.is_empty() {
                format!("IP data: {} of {}", opened.name, opened.build_date)
            } else {
                attribution.to_owned()
            },
            ip_version: metadata.ip_version,
            kind: opened.kind,
            nodes: metadata.node_count,
        })
    }

    /// Walks the whole file; see [`Databases::verify_file`](super::Databases::verify_file).
    pub(super) fn verify(&self, path: &Path) -> Result<(), GeoError> {
        let Some(opened) = self.opened() else { return Ok(()) };
        opened.reader.verify().map_err(|error| {
            let (offset, fault) = describe(&error);
            GeoError::Broken { path: path.into(), offset, fault }
        })
    }
}

impl Opened {
    fn new(reader: Reader<Bytes>, bytes: Bytes, kind: DatabaseKind, fallback_name: &str) -> Self {
        let metadata = reader.metadata();
        let database_type = clean(&metadata.database_type);
        let name = if database_type.is_empty() { fallback_name.to_owned() } else { database_type };
        let description = metadata.description.get("en").map_or("", String::as_str);
        let lineage = lineage(&name, description);
        let build_time = metadata.build_epoch;
        Self { kind, name, build_time, build_date: iso_date(build_time), lineage, bytes, reader }
    }

    /// The record for `ip`.
    ///
    /// `Ok(None)` where there is none, also for an IPv6 address in an IPv4-only file; `Err(())` where the
    /// record cannot be read.
    pub(super) fn fields(&self, ip: IpAddr) -> Result<Option<Fields>, ()> {
        if ip.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        self.reader.lookup(ip).and_then(|result| Fields::read(&result)).map_err(|_| ())
    }
}

/// `secs` since the epoch as `YYYY-MM-DD` in UTC.
fn iso_date(secs: u64) -> String {
    i64::try_from(secs)
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .map_or_else(|| "unknown".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn read_capped(path: &Path) -> Result<Vec<u8>, GeoError> {
    let failed = |error: std::io::Error| GeoError::Read { path: path.into(), kind: error.kind() };
    let too_large = |size| GeoError::TooLarge { path: path.into(), size, limit: MAX_FILE_BYTES };
    // Asked before opening: to open a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(GeoError::NotAFile { path: path.into() });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(size) if size > MAX_FILE_BYTES => Err(too_large(size)),
        _ => Ok(bytes),
    }
}

fn refused(path: &Path, bytes: &[u8], error: &MaxMindDbError) -> GeoError {
    let tail = bytes.get(bytes.len().saturating_sub(METADATA_REACH)..).unwrap_or(bytes);
    if tail.windows(METADATA_MARKER.len()).any(|window| window == METADATA_MARKER) {
        let (offset, fault) = describe(error);
        return GeoError::Broken { path: path.into(), offset, fault };
    }
    let hint = match bytes {
        [] => " (the file is empty)",
        [0x1f, 0x8b, ..] => " (it begins like gzip: unpack it first)",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => " (it begins like zstd: unpack it first)",
        [b'P', b'K', 3, 4, ..] => " (it begins like zip: unpack it first)",
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => " (it begins like a Git LFS pointer)",
        [b'<', ..] => " (it begins like a web page)",
        _ if bytes.iter().take(512).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            " (it begins like text)"
        }
        _ => "",
    };
    GeoError::NotMmdb { path: path.into(), size: bytes.len(), hint }
}

fn describe(error: &MaxMindDbError) -> (Option<usize>, String) {
    if let MaxMindDbError::InvalidDatabase { message, offset }
    | MaxMindDbError::Decoding { message, offset, .. }
    | MaxMindDbError::ResourceLimit { message, offset, .. } = error
    {
        (*offset, clean(message))
    } else {
        (None, clean(&error.to_string()))
    }
}

/// What the first records hold; none if nothing in them is understood.
fn probe_kind(reader: &Reader<Bytes>) -> Option<DatabaseKind> {
    // Networks without data are yielded too, so that a tree of nothing but empty loops stays bounded.
    let options = WithinOptions::default().include_networks_without_data();
    // The first networks of a city file may be known by country only; its name tells then.
    let mut city = kind_by_name(&reader.metadata().database_type) == Some(DatabaseKind::City);
    let (mut place, mut asn) = (false, false);
    let networks = reader.networks(options).ok()?.take(PROBED_NETWORKS).flatten();
    for result in networks.filter(LookupResult::has_data).take(PROBED_RECORDS) {
        if let Ok(Some(fields)) = Fields::read(&result) {
            place |= fields.names_a_place;
            city |= fields.city.is_some() || fields.subdivision.is_some();
            asn |= fields.asn.is_some();
        }
    }
    match (place, asn) {
        (true, true) => Some(DatabaseKind::CountryAsn),
        (true, false) if city => Some(DatabaseKind::City),
        (true, false) => Some(DatabaseKind::Country),
        (false, true) => Some(DatabaseKind::Asn),
        (false, false) => None,
    }
}

/// What the name promises, for a file whose first networks are all empty.
fn kind_by_name(database_type: &str) -> Option<DatabaseKind> {
    let name = database_type.to_ascii_lowercase();
    [("city", DatabaseKind::City), ("country", DatabaseKind::Country), ("asn", DatabaseKind::Asn)]
        .into_iter()
        .find_map(|(word, kind)| name.contains(word).then_some(kind))
}

/// Makers by a word in name or description: (word, lineage, licence, attribution).
const MAKERS: &[(&str, &str, &str, &str)] = &[
    ("ipfire", "ipfire", "CC BY-SA 4.0", "IP data: IPFire Location (IPFire Project), CC BY-SA 4.0"),
    (
        "geolite",
        "maxmind",
        "GeoLite2 End User License Agreement (not to be passed on)",
        "This product includes GeoLite2 data created by MaxMind",
    ),
    ("geoip2", "maxmind", "MaxMind commercial licence (not to be passed on)", ""),
    ("dbip", "db-ip", "CC BY 4.0 if a Lite file, else commercial", "IP Geolocation by DB-IP"),
    ("db-ip", "db-ip", "CC BY 4.0 if a Lite file, else commercial", "IP Geolocation by DB-IP"),
    ("ipinfo", "ipinfo", "CC BY-SA 4.0 if a free file, else commercial", "IP address data powered by IPinfo"),
    ("iplocate", "iplocate", "CC BY-SA 4.0", "IP address data by IPLocate"),
];

/// Two files of one lineage are one witness. An unknown maker is told by the file's own name.
fn lineage(name: &str, description: &str) -> String {
    let text = format!("{name} {description}").to_ascii_lowercase();
    let maker = MAKERS.iter().find(|(word, ..)| text.contains(word));
    maker.map_or_else(|| name.to_ascii_lowercase(), |(_, lineage, ..)| (*lineage).to_owned())
}

fn terms_of(lineage: &str) -> (&'static str, &'static str) {
    let maker = MAKERS.iter().find(|(_, of, ..)| *of == lineage);
    maker.map_or(("not known here; see where the file came from", ""), |(_, _, licence, attribution)| {
        (licence, attribution)
    })
}
