//! Where a live run sends its records.

use std::path::PathBuf;

use clap::ValueEnum;
use meetscope::sink::{Rotation, Target};

/// Where a live run sends its records.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Outlets {
    /// Begin a new file at this size, at these times, or both: `100M`, `1h`, `1d`, `1G,1d`. The old one is renamed to
    /// OUT.20261126T105500Z; times are multiples in UTC, `1d` is midnight
    #[arg(long, value_name = "SIZE,TIME", requires = "output")]
    pub(in super::super) rotate: Option<Rotation>,
    /// Compress files that were rotated
    #[arg(long, value_enum, value_name = "HOW", requires = "rotate")]
    pub(in super::super) compress: Option<Compression>,
    /// Keep so many rotated files at most, and remove the oldest [default: keep all]
    #[arg(long, value_name = "N", requires = "rotate", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in super::super) keep: Option<u32>,
    /// Send records as lines of JSON to `tcp://HOST:PORT` or `unix:/PATH`; may be given several times. A peer that is slow or away loses
    /// records, which are counted
    #[arg(long, value_name = "WHERE")]
    pub(in super::super) send: Vec<Target>,
    /// Send sessions, meetings, alerts and counters as messages of syslog (RFC 5424) to `udp://HOST:PORT`,
    /// `tcp://HOST:PORT` or `unix:/dev/log`; may be given several times
    #[arg(long, value_name = "WHERE")]
    pub(in super::super) syslog: Vec<Target>,
    /// Most memory for records that wait for one destination, in MiB [default: 64, or an eighth of what tables have of the budget where
    /// that is less]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(in super::super) queue_mib: Option<u64>,
    /// Show in this terminal what goes on; records go to the other destinations
    #[arg(long)]
    pub(in super::super) tui: bool,
    /// On SIGUSR1, write the state to this file instead of standard error
    #[arg(long, value_name = "FILE")]
    pub(in super::super) dump: Option<PathBuf>,
}

/// How rotated files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Compression {
    Gzip,
    Zstd,
}
