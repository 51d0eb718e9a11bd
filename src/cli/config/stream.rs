//! What the arguments of a replay in one pass mean.

use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use meetscope::watch::Budget;

use super::super::{UsageError, args};
use super::{args::ReplayFormat, is_stdin};

/// Time between two checkpoints where none is given.
const CHECKPOINT: Duration = Duration::from_secs(30);

/// A replay in one pass.
#[derive(Debug)]
pub(in super::super) struct Stream {
    pub(in super::super) budget: Budget,
    /// Time between two checkpoints.
    pub(in super::super) checkpoint: Duration,
    /// What a run must have in common with the one that it goes on with.
    pub(in super::super) settings: Settings,
}

/// Options by name that decide what is written, as they were given.
pub(in super::super) type Settings = Vec<(String, String)>;
/// Value of an option that takes none.
pub(in super::super) const GIVEN: &str = "given";

impl Stream {
    /// None where it was not asked for.
    pub(super) fn new(typed: &args::Replay) -> Result<Option<Self>, UsageError> {
        if !typed.stream.in_one_pass {
            return Ok(None);
        }
        check(typed)?;
        Ok(Some(Self {
            budget: Budget::new(typed.stream.memory_mib),
            checkpoint: typed.stream.checkpoint.map_or(CHECKPOINT, Duration::from_secs),
            settings: settings(typed),
        }))
    }
}

/// What cannot be done in one pass, or not be gone on with.
fn check(typed: &args::Replay) -> Result<(), UsageError> {
    let common = &typed.common;
    // Opening a pipe would wait for its reader.
    let is_no_file = |out: &Path| out.metadata().is_ok_and(|data| !data.is_file());
    let into_pipe = common.output.as_deref().is_none_or(|out| is_stdin(out) || is_no_file(out));
    let fault = if !matches!(typed.format, ReplayFormat::Ndjson | ReplayFormat::Text) {
        "--stream writes records as they come: expected --format ndjson or text; the other formats are made of all sessions together, \
         by a replay without --stream of the files around what is of interest"
    } else if typed.export_pcap.is_some() {
        "--export-pcap reads its captures twice and --stream once: export from the files around the session, without --stream"
    } else if typed.hash {
        "--hash is not kept while captures are read in one pass: leave it out with --stream"
    } else if typed.measure {
        "--measure tells what a flow takes where all are held, and --stream lets them go: leave it out with --stream"
    } else if common.state.state.is_some() && into_pipe {
        "--stream with --state goes on after an interruption by taking back what was written behind the last checkpoint, which a pipe \
         does not allow: expected -o with the name of a file"
    } else if let (Some(_), Some(pipe)) = (&common.state.state, pipe(typed)) {
        return Err(UsageError(format!(
            "{}: --stream with --state reads its inputs again after an interruption, and standard input can be read only once, as can a pipe",
            pipe.display()
        )));
    } else {
        return Ok(());
    };
    Err(UsageError(fault.to_owned()))
}

/// An input that can be read only once.
fn pipe(typed: &args::Replay) -> Option<&PathBuf> {
    let is_other = |data: Metadata| !data.is_file() && !data.is_dir();
    let mut inputs = typed.files.iter().chain(&typed.common.keylog);
    inputs.find(|file| is_stdin(file) || file.metadata().is_ok_and(is_other))
}

fn settings(typed: &args::Replay) -> Settings {
    let common = &typed.common;
    let mut settings = vec![
        ("--format".to_owned(), word(&typed.format)),
        ("--order".to_owned(), word(&typed.order)),
        ("--records".to_owned(), common.records.iter().map(word).collect::<Vec<_>>().join(",")),
        ("--keep-duplicates".to_owned(), if typed.keep_duplicates { GIVEN } else { "" }.to_owned()),
        ("--keylog".to_owned(), list(&common.keylog)),
        ("--policy".to_owned(), list(&common.policy)),
        ("--geoip".to_owned(), list(&common.geoip.geoip)),
    ];
    let named = [("--bpf", &common.bpf), ("--site", &common.site)];
    let given = |(name, value): (&str, &Option<String>)| (name.to_owned(), value.clone().unwrap_or_default());
    settings.extend(named.map(given));
    settings
}

/// A value as it is typed.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Names of files, `./a` as `a`.
fn list(files: &[PathBuf]) -> String {
    let plain = |file: &PathBuf| {
        let parts = file.components().filter(|part| *part != Component::CurDir);
        parts.collect::<PathBuf>().display().to_string()
    };
    files.iter().map(plain).collect::<Vec<_>>().join(" ")
}
