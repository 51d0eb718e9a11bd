//! Rights that a live run gives up.

/// Rights that a live run gives up.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Privileges {
    /// Once interfaces and ports are open, become this user for good: a name, or UID:GID in numbers. Only for root. Directories of
    /// outputs have to be this user's
    #[arg(long, value_name = "USER")]
    pub(in super::super) user: Option<String>,
    /// Keep all rights after the start. By default capabilities are dropped and, on Linux, Landlock and seccomp leave only the files
    /// and the system calls that the run needs
    #[arg(long)]
    pub(in super::super) no_sandbox: bool,
}
