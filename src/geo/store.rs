//! Databases that are kept: a directory with a manifest, so that an old capture is asked of a database of its time.
//!
//! In: a file that the user names. Out: a copy under a name of lineage, kind and date, and its entry in `manifest.toml` with the
//! hash that every later opening is held to. Nothing is fetched. A file is written beside its place, forced to the disk and renamed;
//! the manifest follows, so that a run that dies leaves at most a file that no entry names. Who writes holds a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::disk::{self, Readers};
use crate::geo::database::Database;
use crate::geo::error::GeoError;
use crate::geo::info::DatabaseKind;

/// Databases that are kept at most: a monthly one for twenty years.
pub const MAX_KEPT: usize = 256;
/// Name of the manifest.
const MANIFEST: &str = "manifest.toml";
/// Largest manifest that is read; an entry has some 300 bytes.
const MAX_MANIFEST: u64 = 1 << 20;
/// Version of the manifest that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Letters of a lineage in a file's name.
const LINEAGE_LETTERS: usize = 40;
/// Digits of the hash in a file's name.
const HASH_DIGITS: usize = 8;

/// The store could not be read or written.
#[derive(Error, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The database that was to be kept is none.
    #[error(transparent)]
    Database(#[from] GeoError),
    /// The system refused.
    #[error("geolocation store: {doing} {path}: {reason}", path = path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The kind of what the system said.
        kind: io::ErrorKind,
        /// What the system said.
        reason: String,
    },
    /// The manifest is not one of this program.
    #[error("geolocation store: {path}:{line}: {reason}", path = path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that the manifest names is not there, or has another size.
    #[error(
        "geolocation store: {path}: expected {expected} bytes as the manifest says, found {found}; put the database there again with \
         `geo update`, or remove its entry from the manifest",
        path = path.display()
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// The size in the manifest.
        expected: u64,
        /// The size found, or that there is no such file.
        found: String,
    },
    /// A newer one of the same lineage is kept.
    #[error(
        "{path}: {name} is of {date}, and the store has one of the same lineage ({lineage}) of {current}; --keep-older keeps it \
         beside that, for captures of its time",
        path = path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// What it calls itself.
        name: String,
        /// Its build date.
        date: String,
        /// Its lineage.
        lineage: String,
        /// Build date of the one that is kept.
        current: String,
    },
    /// The store is full.
    #[error("geolocation store: {path} keeps {MAX_KEPT} databases already, and no more", path = path.display())]
    Full {
        /// The directory.
        path: PathBuf,
    },
}

/// A database that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Kept {
    /// Name of the file in the directory.
    pub file: String,
    /// The name under which answers cite it.
    pub name: String,
    /// Databases of one lineage share their source.
    pub lineage: String,
    /// What it is about.
    pub kind: DatabaseKind,
    /// Build time, seconds since 1970-01-01T00:00:00Z.
    pub build_time: u64,
    /// The same as an ISO 8601 date in UTC.
    pub build_date: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

/// What became of a database that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Updated {
    /// It is kept.
    Added {
        /// Its entry.
        kept: Kept,
        /// It is the newest of its lineage and kind.
        is_current: bool,
    },
    /// The same bytes were kept before.
    Present(Kept),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    #[serde(default)]
    database: Vec<Kept>,
}

/// A directory of databases.
#[derive(Debug, Clone, Default)]
pub struct Store {
    directory: PathBuf,
    /// By lineage, kind and build time.
    kept: Vec<Kept>,
}

impl Store {
    /// Reads the manifest of a directory and looks whether its files are there. A directory that is not there keeps nothing.
    ///
    /// # Errors
    /// [`StoreError`], which names the file and what was expected of it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let store = Self { directory: directory.to_path_buf(), kept: read_manifest(directory)? };
        for kept in &store.kept {
            let path = store.path_of(kept);
            let found = match fs::metadata(&path) {
                Ok(metadata) if metadata.len() == kept.bytes => continue,
                Ok(metadata) => format!("{} bytes", metadata.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => "no such file".to_owned(),
                Err(error) => return Err(failed("looking at", &path)(error)),
            };
            return Err(StoreError::Size { path, expected: kept.bytes, found });
        }
        Ok(store)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is kept, by lineage, kind and build time.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// The file of a database.
    pub fn path_of(&self, kept: &Kept) -> PathBuf {
        self.directory.join(&kept.file)
    }

    /// Whether it is the newest of its lineage and kind.
    pub fn is_current(&self, kept: &Kept) -> bool {
        self.newest(&kept.lineage, kept.kind).is_some_and(|newest| newest.file == kept.file)
    }

    fn newest(&self, lineage: &str, kind: DatabaseKind) -> Option<&Kept> {
        let alike = self.kept.iter().filter(|kept| kept.lineage == lineage && kept.kind == kind);
        alike.max_by_key(|kept| kept.build_time)
    }

    /// Checks a file throughout and keeps a copy of it. Makes the directory where there is none.
    ///
    /// # Errors
    /// [`StoreError::Older`] where one of the same lineage and kind is kept that is as new or newer, unless `keep_older`; else
    /// what is wrong with the file, the manifest or the directory. The store is then as it was.
    pub fn update(directory: &Path, file: &Path, keep_older: bool) -> Result<Updated, StoreError> {
        let database = Database::open(file)?;
        database.verify(file)?;
        let unnamed = || GeoError::NoKnownField { path: file.into(), database_type: String::new() };
        let info = database.info().ok_or_else(unnamed)?;
        let bytes = database.opened().ok_or_else(unnamed)?.bytes();
        fs::create_dir_all(directory).map_err(failed("making", directory))?;
        let lock = lock(directory)?;
        // Not `open`: a file that was lost can so be put there again.
        let mut store = Self { directory: directory.to_path_buf(), kept: read_manifest(directory)? };
        if let Some(kept) = store.kept.iter().find(|kept| kept.sha256 == info.sha256) {
            let (path, kept) = (store.path_of(kept), kept.clone());
            if fs::read(&path).is_ok_and(|held| held == bytes) {
                return Ok(Updated::Present(kept));
            }
            write_whole(&path, bytes)?;
            return Ok(Updated::Added { is_current: store.is_current(&kept), kept });
        }
        if let Some(newest) = store.newest(&info.lineage, info.kind)
            && newest.build_time >= info.build_time
            && !keep_older
        {
            let (name, date, lineage) = (info.name, info.build_date, info.lineage);
            let current = newest.build_date.clone();
            return Err(StoreError::Older { path: file.into(), name, date, lineage, current });
        }
        if store.kept.len() >= MAX_KEPT {
            return Err(StoreError::Full { path: directory.into() });
        }
        let kept = Kept {
            file: file_name(&info.lineage, info.kind, &info.build_date, &info.sha256),
            name: info.name,
            lineage: info.lineage,
            kind: info.kind,
            build_time: info.build_time,
            build_date: info.build_date,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            sha256: info.sha256,
        };
        write_whole(&store.path_of(&kept), bytes)?;
        store.kept.push(kept.clone());
        store.write_manifest()?;
        drop(lock);
        Ok(Updated::Added { is_current: store.is_current(&kept), kept })
    }

    fn write_manifest(&mut self) -> Result<(), StoreError> {
        sort(&mut self.kept);
        let path = self.directory.join(MANIFEST);
        let manifest = Manifest { version: VERSION, database: self.kept.clone() };
        let text = toml::to_string(&manifest).map_err(|error| StoreError::Manifest {
            path: path.clone(),
            line: 1,
            reason: error.to_string(),
        })?;
        let head = "# Databases that `meetscope geo update` keeps here. To let one go, remove its entry and then its file.\n";
        write_whole(&path, format!("{head}{text}").as_bytes())
    }
}

fn sort(kept: &mut [Kept]) {
    kept.sort_by(|a, b| {
        (&a.lineage, a.kind, a.build_time, &a.file).cmp(&(&b.lineage, b.kind, b.build_time, &b.file))
    });
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |error| StoreError::Io { doing, path, kind: error.kind(), reason: error.to_string() }
}

/// What the manifest lists; nothing where there is none.
fn read_manifest(directory: &Path) -> Result<Vec<Kept>, StoreError> {
    let path = directory.join(MANIFEST);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("reading", &path)(error)),
    };
    let mut text = String::new();
    let read = file.take(MAX_MANIFEST.saturating_add(1)).read_to_string(&mut text);
    read.map_err(failed("reading", &path))?;
    let fault = |line: usize, reason: String| StoreError::Manifest { path: path.clone(), line, reason };
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_MANIFEST) {
        return Err(fault(1, format!("larger than {MAX_MANIFEST} bytes")));
    }
    let manifest: Manifest = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        fault(before.matches('\n').count().saturating_add(1), error.message().to_owned())
    })?;
    if manifest.version != VERSION {
        let found = manifest.version;
        return Err(fault(
            1,
            format!("the manifest is of version {found}, this program reads version {VERSION}"),
        ));
    }
    if manifest.database.len() > MAX_KEPT {
        return Err(fault(1, format!("more than {MAX_KEPT} databases")));
    }
    if let Some(kept) = manifest.database.iter().find(|kept| !is_plain(&kept.file)) {
        return Err(fault(1, format!("{:?} is no name of a database in this directory", kept.file)));
    }
    let mut kept = manifest.database;
    sort(&mut kept);
    Ok(kept)
}

/// A name that leads nowhere else.
fn is_plain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    Path::new(name).extension().is_some_and(|ending| ending == "mmdb")
        && !name.starts_with('.')
        && name.bytes().all(is_letter)
}

/// `maxmind-city-2026-01-01-0123abcd.mmdb`.
fn file_name(lineage: &str, kind: DatabaseKind, date: &str, sha256: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let lineage: String = lineage.chars().take(LINEAGE_LETTERS).map(plain).collect();
    let kind = match kind {
        DatabaseKind::Country => "country",
        DatabaseKind::City => "city",
        DatabaseKind::Asn => "asn",
        DatabaseKind::CountryAsn => "country-asn",
    };
    let hash: String = sha256.chars().take(HASH_DIGITS).collect();
    format!("{lineage}-{kind}-{date}-{hash}.mmdb")
}

/// Held until it is dropped, by the system also when the process dies.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
    let file = file.map_err(failed("locking", &path))?;
    file.lock().map_err(failed("locking", &path))?;
    Ok(file)
}

/// Readers see the old file or the new one, never a part.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    disk::replace(path, Readers::AsUsual, |file| file.write_all(bytes)).map_err(failed("writing", path))
}
