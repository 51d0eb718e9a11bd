//! What a live run captures on, and how.

/// What a live run captures on, and how.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Capture {
    /// The interface; `meetscope interfaces` lists them. Several, as `-i a -i b` or `-i a,b`, are merged by time: the two halves of an
    /// optical tap, or several mirror ports
    #[arg(short, long, value_name = "IFACE", required = true, value_delimiter = ',')]
    pub(in super::super) interface: Vec<String>,
    /// Threads that capture and look at packets. The kernel deals packets to them by their outermost addresses, and they hand on to each
    /// other what is in tunnels, so that a conversation stays with one; Linux only, elsewhere one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(in super::super) workers: u32,
    /// Size of the kernel's packet buffer of each interface in MiB; workers have equal parts of it
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=2047))]
    pub(in super::super) ring_mib: u32,
    /// Most bytes taken of a packet
    #[arg(long, value_name = "BYTES", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(64..=262_144))]
    pub(in super::super) snaplen: u32,
    /// Take each packet from the kernel at once rather than in blocks of up to 100 ms: less delay, more load
    #[arg(long)]
    pub(in super::super) immediate: bool,
    /// Take only what is meant for this host
    #[arg(long)]
    pub(in super::super) no_promiscuous: bool,
    /// Take packets that a mirror port delivered twice as two
    #[arg(long)]
    pub(in super::super) keep_duplicates: bool,
}
