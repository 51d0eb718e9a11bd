//! When a live run tells and when it ends.

/// When a live run tells.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Pace {
    /// Write a record of each session and meeting that goes on, and of the counters, every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(in super::super) update: u64,
}
