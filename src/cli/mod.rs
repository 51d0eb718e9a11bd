//! The command line: what was typed ([`args`]) becomes what it means ([`config`]), and one module per subcommand
//! acts on it. Data goes to standard output, everything else to standard error. Only here: `clap` and `anyhow`.

mod args;
mod capture;
mod config;
mod confine;
mod dashboard;
mod dump;
mod export;
mod folders;
mod generate;
mod geo;
mod input;
mod interfaces;
mod key_logs;
mod messages;
mod outlets;
mod output;
mod policy;
mod progress;
mod provenance;
mod providers;
mod reload;
mod replay;
mod screen;
mod seen;
mod servers;
mod signals;
mod state;
mod store;
mod stream;
mod telemetry;
mod verify;
mod watch;

use std::io;

use clap::Parser;
use meetscope::capture::raise_open_files;
use meetscope::geo::Country;

use args::{Args, Command};

/// How a run ended that could begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Status {
    /// All that was asked for.
    Done,
    /// Something could not be read, or not to its end; it has been told.
    Failed,
    /// All that was asked for, and a rule of the policy fired.
    Fired,
    /// What was to be checked is not sound; it has been told.
    Unsound,
}

/// What was typed is well-formed and yet cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Parses, runs, and says how it ended: 0 done, 1 failed, 2 bad usage, 3 done and a rule fired.
pub(crate) fn main() -> ! {
    let status = status(run(Args::parse()));
    // Whoever writes to standard output has flushed it, where failing counts; here a terminal that stands still could be waited for. The kernel
    // takes all memory at once, where the allocator would give it back piece by piece first.
    signal_hook::low_level::exit(status)
}

fn status(outcome: anyhow::Result<Status>) -> i32 {
    match outcome {
        Ok(Status::Done) => 0,
        Ok(Status::Failed) => 1,
        Ok(Status::Unsound) => 2,
        Ok(Status::Fired) => 3,
        // The reader has seen enough.
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            messages::say(format_args!("{error:#}"));
            if error.is::<UsageError>() { 2 } else { 1 }
        }
    }
}

fn run(args: Args) -> anyhow::Result<Status> {
    raise_open_files();
    let colour = args.color;
    match args.command {
        Command::Replay(typed) => replay::run(config::Replay::new(typed, colour)?),
        Command::Watch(typed) => watch::run(&config::Watch::new(*typed, colour)?),
        Command::Verify(typed) => verify::run(&config::Verify::new(typed)?),
        Command::Servers(typed) => servers::run(config::Servers::new(typed, colour)?),
        Command::Geo(typed) => geo::run(typed),
        Command::Providers(typed) => providers::run(typed),
        Command::Policy(typed) => policy::run(&typed.command),
        Command::Interfaces => interfaces::run(),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { subcommand } => generate::man(&subcommand),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// A country's code as typed.
fn country(typed: &str) -> Result<Country, UsageError> {
    let known = Country::parse(typed).filter(|country| country.name().is_some());
    known.ok_or_else(|| {
        UsageError(format!("--site: expected a country's code of ISO 3166-1, as `DE`, found {typed:?}"))
    })
}
