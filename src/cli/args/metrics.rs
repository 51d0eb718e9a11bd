//! Who may ask how a live run fares.

use std::net::SocketAddr;

/// Who may ask how a live run fares.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Metrics {
    /// Serve metrics for Prometheus at http://ADDRESS:PORT/metrics, such as 127.0.0.1:9469; an address that other machines reach needs
    /// a token, as for the dashboard
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::web::address)]
    pub(in super::super) metrics: Option<SocketAddr>,
}
