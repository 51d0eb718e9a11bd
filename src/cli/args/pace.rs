//! When a live run tells and when it ends, and what it may use.

/// When a live run tells and when it ends, and what it may use.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Pace {
    /// Write a record of each session and meeting that goes on, and of the counters, every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(in super::super) update: u64,
    /// Stop after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in super::super) stop_after: Option<u64>,
    /// Memory to keep within, in MiB; the least valuable flows are let go and counted when it runs short [default: a quarter of the
    /// machine's, or three quarters of what its control group allows where that is less]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(meetscope::watch::LEAST_MIB..=1 << 24))]
    pub(in super::super) memory_mib: Option<u64>,
}
