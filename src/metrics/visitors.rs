//! What the server of the dashboard counted, as metric families.

use super::text::Kind::{Counter, Gauge};
use super::text::Page;

/// Who came to the dashboard and to the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "handed over by who serves")]
pub struct Visitors {
    /// Browsers that take events now.
    pub clients: u64,
    /// Browsers that were let go because they did not take what was sent.
    pub clients_dropped: u64,
    /// Browsers and connections that were refused because there were too many.
    pub refused_full: u64,
    /// Requests without the token, or with a wrong one.
    pub refused_token: u64,
    /// Requests for a name that is not ours, or of another site.
    pub refused_host: u64,
    /// Connections that were cut because they did not move.
    pub connections_cut: u64,
    /// Requests.
    pub requests: u64,
}

/// Writes what was counted.
pub(super) fn write(page: &mut Page, visitors: &Visitors) {
    page.family(Gauge, "meetscope_web_clients", "Browsers that take events now.")
        .sample(&[], visitors.clients);
    page.family(Counter, "meetscope_web_requests", "Requests to the dashboard and for metrics.")
        .sample(&[], visitors.requests);
    page.family(Counter, "meetscope_web_refused", "Requests and connections that were refused, by why.");
    let refused =
        [("full", visitors.refused_full), ("token", visitors.refused_token), ("host", visitors.refused_host)];
    for (reason, count) in refused {
        page.sample(&[("reason", reason)], count);
    }
    page.family(
        Counter,
        "meetscope_web_cut",
        "Browsers and connections that were let go because they did not move.",
    );
    for (what, count) in [("client", visitors.clients_dropped), ("connection", visitors.connections_cut)] {
        page.sample(&[("what", what)], count);
    }
}
