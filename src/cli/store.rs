//! Where location databases are kept, how old they are, and what is said when one of them is not what it was.

use std::env;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use meetscope::geo::{Databases, Date, Store};
use meetscope::time::Timestamp;

use super::args;
use super::messages::say;

/// Names the directory; empty for none.
const VARIABLE: &str = "MEETSCOPE_GEOIP_DIR";
/// The machine's, written by root.
const OF_THE_MACHINE: &str = "/var/lib/meetscope/geoip";
/// Below the user's data.
const OF_THE_USER: &str = "meetscope/geoip";
/// Files of that directory that are looked at: more than any store has.
const MOST_FILES: usize = 1 << 12;
/// A live run is told of databases that are older.
const OLD_AFTER: Duration = Duration::from_secs(90 * 86_400);

/// The user's databases in the order given, then those that are kept, then the built-in ones.
pub(super) fn databases(typed: &args::GeoFiles) -> anyhow::Result<Databases> {
    let mut databases = Databases::embedded()?;
    if !typed.no_geoip_store
        && let Some(directory) = to_ask()
    {
        let store =
            Store::open(&directory).context("use --no-geoip-store to go on without the kept databases")?;
        databases.add_store(&store);
    }
    for file in &typed.geoip {
        databases.add_file(file)?;
    }
    Ok(databases)
}

/// Where the user keeps databases.
enum Place {
    /// As the variable says; none where it is empty.
    Named(Option<PathBuf>),
    Own(PathBuf),
}

fn place() -> Option<Place> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(Place::Named((!named.is_empty()).then(|| PathBuf::from(named))));
    }
    if is_root() {
        return Some(Place::Own(PathBuf::from(OF_THE_MACHINE)));
    }
    // The XDG base directory specification takes absolute paths only.
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(Place::Own(data.join(OF_THE_USER)))
}

/// The directory that new databases go to.
pub(super) fn to_write() -> Option<PathBuf> {
    match place()? {
        Place::Named(named) => named,
        Place::Own(own) => Some(own),
    }
}

/// The directory whose databases are asked: the user's, or the machine's where the user keeps none.
pub(super) fn to_ask() -> Option<PathBuf> {
    match place() {
        Some(Place::Named(named)) => named,
        Some(Place::Own(own)) if own.is_dir() => Some(own),
        Some(Place::Own(_)) | None => {
            let machines = PathBuf::from(OF_THE_MACHINE);
            machines.is_dir().then_some(machines)
        }
    }
}

/// Files in the directory whose databases are asked.
pub(super) fn files() -> Vec<PathBuf> {
    let entries = to_ask().and_then(|directory| directory.read_dir().ok());
    entries.into_iter().flatten().take(MOST_FILES).filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(target_os = "linux")]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of a process's own entry is its effective user.
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(not(target_os = "linux"))]
fn is_root() -> bool {
    env::var_os("USER").is_some_and(|name| name == "root")
}

#[expect(clippy::disallowed_methods, reason = "what holds today, and how old a database is today")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time of the clock.
pub(super) fn now() -> Timestamp {
    let since = since_epoch();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Timestamp::from_secs_nanos(seconds, i64::from(since.subsec_nanos()))
}

/// The day of the clock.
pub(super) fn today() -> Option<Date> {
    let seconds = i64::try_from(since_epoch().as_secs()).ok()?;
    Date::of(Timestamp::from_secs_nanos(seconds, 0))
}

/// Tells whoever watches that the databases are old.
pub(super) fn warn_of_age(databases: &Databases) {
    let Some(built) = databases.newest_places().map(Duration::from_secs) else { return };
    let age = since_epoch().saturating_sub(built);
    if age > OLD_AFTER {
        let days = age.as_secs().checked_div(86_400).unwrap_or(0);
        say(format_args!(
            "the newest location database is {days} days old; `meetscope geo update FILE` keeps a newer one"
        ));
    }
}

/// Tells of kept databases that could not be used. False where there are any: what was said lacks their answers.
pub(super) fn were_sound(databases: &Databases) -> bool {
    let faults = databases.faults();
    for fault in &faults {
        say(format_args!("{fault}; its answers are missing"));
    }
    faults.is_empty()
}
