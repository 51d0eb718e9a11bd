//! One MaxMind DB: a file that the user named, or bytes inside the program.
//!
//! In: a path or bytes. Out: its identity ([`DatabaseInfo`]) and the record for an address. Files are read
//! whole, never mapped: a file that shrinks under a map ends the process. Embedded data is read in place; a file of the store is
//! read at first use, and its hash compared with the manifest's.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};
use sha2::{Digest, Sha256};

use crate::bytes::hex;
use crate::geo::error::GeoError;
use crate::geo::info::{DatabaseInfo, DatabaseKind, iso_date};
use crate::geo::record::{Fields, clean};
use crate::geo::store::Kept;

/// Largest database file that is read: 2 GiB. The largest commercial city file is about a third of it.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

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

/// An opened database.
pub(super) struct Database {
    origin: Origin,
    backing: Backing,
    sha256: OnceLock<String>,
    /// An answer was asked of it.
    asked: AtomicBool,
}

enum Origin {
    File(PathBuf),
    Stored(PathBuf, Box<Kept>),
    Embedded(&'static Embedded),
}

enum Backing {
    Ready(Box<Opened>),
    /// Read when it is asked for the first time.
    Stored(OnceLock<Result<Box<Opened>, GeoError>>),
}

/// What a database is chosen by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) lineage: &'a str,
    pub(super) kind: DatabaseKind,
    pub(super) build_time: u64,
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
            asked: AtomicBool::new(false),
        })
    }

    /// A file of the store, read at first use.
    pub(super) fn stored(path: PathBuf, kept: Kept) -> Self {
        let sha256 = OnceLock::from(kept.sha256.clone());
        Self {
            origin: Origin::Stored(path, Box::new(kept)),
            backing: Backing::Stored(OnceLock::new()),
            sha256,
            asked: AtomicBool::new(false),
        }
    }

    /// Data inside the program, read in place.
    pub(super) fn embedded(data: &'static Embedded) -> Result<Self, GeoError> {
        let bytes = Bytes::Static(data.bytes);
        let reader =
            Reader::from_source(bytes.clone()).map_err(|_| GeoError::Embedded { name: data.name })?;
        let backing = Backing::Ready(Box::new(Opened::new(reader, bytes, data.kind, data.name)));
        let sha256 = OnceLock::from(data.sha256.to_owned());
        Ok(Self { origin: Origin::Embedded(data), backing, sha256, asked: AtomicBool::new(false) })
    }

    /// True for data inside the program.
    pub(super) const fn is_embedded(&self) -> bool {
        matches!(self.origin, Origin::Embedded(_))
    }

    /// True for a file of the store.
    pub(super) const fn is_stored(&self) -> bool {
        matches!(self.origin, Origin::Stored(..))
    }

    /// True once an answer was asked of it.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The same as [`opened`](Self::opened), for an answer.
    pub(super) fn ask(&self) -> Option<&Opened> {
        self.asked.store(true, Ordering::Relaxed);
        self.opened()
    }

    /// Under which name it is cited.
    pub(super) fn cited_as(&self) -> String {
        match &self.origin {
            Origin::File(path) => clean(&path.to_string_lossy()),
            Origin::Stored(_, kept) => kept.name.clone(),
            Origin::Embedded(data) => data.name.to_owned(),
        }
    }

    /// What it is chosen by; a file of the store is not read for it.
    pub(super) fn identity(&self) -> Option<Identity<'_>> {
        if let Origin::Stored(_, kept) = &self.origin {
            let (lineage, kind) = (kept.lineage.as_str(), kept.kind);
            return Some(Identity { lineage, kind, build_time: kept.build_time });
        }
        let opened = self.opened()?;
        let lineage = opened.lineage.as_str();
        Some(Identity { lineage, kind: opened.kind, build_time: opened.build_time })
    }

    /// Why a file of the store could not be used, once it was tried.
    pub(super) fn fault(&self) -> Option<&GeoError> {
        match &self.backing {
            Backing::Stored(cell) => cell.get()?.as_ref().err(),
            Backing::Ready(_) => None,
        }
    }

    /// The reader, read if need be; none if a file of the store is not what the manifest says.
    pub(super) fn opened(&self) -> Option<&Opened> {
        match &self.backing {
            Backing::Ready(opened) => Some(opened),
            Backing::Stored(cell) => {
                let Origin::Stored(path, kept) = &self.origin else { return None };
                cell.get_or_init(|| open_kept(path, kept)).as_deref().ok()
            }
        }
    }

    /// Identity for the report; hashes a user's file on the first call.
    pub(super) fn info(&self) -> Option<DatabaseInfo> {
        let opened = self.opened()?;
        let metadata = opened.reader.metadata();
        let (source, licence, attribution) = match &self.origin {
            Origin::File(path) | Origin::Stored(path, _) => {
                let (licence, attribution) = terms_of(&opened.lineage);
                (clean(&path.to_string_lossy()), licence, attribution)
            }
            Origin::Embedded(data) => ("embedded".to_owned(), data.licence, data.attribution),
        };
        let sha256 = self.sha256.get_or_init(|| sha256_hex(opened.bytes.as_ref()));
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
            lineage: opened.lineage.clone(),
            stored: self.is_stored(),
            days_from_capture: None,
            days_from_nearest: None,
            days_from_farthest: None,
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

/// A file of the store, whose bytes must be those that were put there.
fn open_kept(path: &Path, kept: &Kept) -> Result<Box<Opened>, GeoError> {
    let bytes = read_capped(path)?;
    let found = sha256_hex(&bytes);
    if found != kept.sha256 {
        return Err(GeoError::Changed { path: path.into(), expected: kept.sha256.clone(), found });
    }
    let bytes = Bytes::Owned(Arc::new(bytes));
    let reader = Reader::from_source(bytes.clone()).map_err(|error| refused(path, bytes.as_ref(), &error))?;
    let mut opened = Opened::new(reader, bytes, kept.kind, &kept.name);
    opened.lineage.clone_from(&kept.lineage);
    Ok(Box::new(opened))
}

impl Opened {
    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

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

/// Lower-case hexadecimal SHA-256.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn read_capped(path: &Path) -> Result<Vec<u8>, GeoError> {
    let failed = |error: std::io::Error| GeoError::Read {
        path: path.into(),
        kind: error.kind(),
        reason: error.to_string(),
    };
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
