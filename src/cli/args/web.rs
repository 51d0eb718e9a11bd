//! The dashboard of a live run.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where a dashboard is shown, and to whom.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Dashboard {
    /// Show a dashboard at this address, such as 127.0.0.1:8787; an address that other machines reach needs a token
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub(in super::super) web: Option<SocketAddr>,
    /// Show what is served only to who brings the token in this file's first line; `MEETSCOPE_WEB_TOKEN` stands for it. A loopback
    /// address of --metrics asks for none
    #[arg(long, value_name = "FILE")]
    pub(in super::super) web_token_file: Option<PathBuf>,
    /// Also answer to this name; without it browsers may ask by address or for localhost only. May be given more than once
    #[arg(long, value_name = "NAME")]
    pub(in super::super) web_host: Vec<String>,
}

/// Where to listen. No name but one is looked up: `localhost` is 127.0.0.1.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let expected = "expected an address and a port, as 127.0.0.1:8787, localhost:8787 or [::1]:8787";
    let near = text.split_once(':').filter(|(host, _)| host.eq_ignore_ascii_case("localhost"));
    let found = match near {
        Some((_, port)) => port.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().ok(),
    };
    found.ok_or(expected)
}
