//! The dashboard of a live run.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a dashboard is shown, and to whom.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Dashboard {
    /// Show a dashboard at this address, such as 127.0.0.1:8787; an address that other machines reach needs a token
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(in super::super) web: Option<SocketAddr>,
    /// Show what is served only to who brings the token in this file's first line; `MEETSCOPE_WEB_TOKEN` stands for it
    #[arg(long, value_name = "FILE")]
    pub(in super::super) web_token_file: Option<PathBuf>,
    /// Also answer to this name; without it browsers may ask by address or for localhost only. May be given more than once
    #[arg(long, value_name = "NAME")]
    pub(in super::super) web_host: Vec<String>,
}
