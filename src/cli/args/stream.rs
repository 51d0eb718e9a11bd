//! A replay in one pass.

/// A replay in one pass.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Stream {
    /// Read in one pass and in one thread: write each session when it is over, and keep within --memory-mib however much there is to
    /// read. With `--state FILE` and `-o OUT` the same command goes on where it was interrupted (ndjson and
    /// text; docs/STREAM.md)
    #[arg(long = "stream", id = "stream")]
    pub(in super::super) in_one_pass: bool,
    /// With --stream: memory to keep within, in MiB, at least 128; the least valuable flows are let go and counted when it runs short [default: a
    /// quarter of the machine's, or three quarters of what its control group allows where that is less]
    #[arg(long, requires = "stream", value_name = "MIB",
        value_parser = clap::value_parser!(u64).range(meetscope::watch::LEAST_MIB..=1 << 24))]
    pub(in super::super) memory_mib: Option<u64>,
    /// With --stream and --state: time between two checkpoints, in seconds; 0 writes one whenever something may have been written
    /// [default: 30]
    #[arg(long, requires_all = ["stream", "state"], value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(in super::super) checkpoint: Option<u64>,
}
