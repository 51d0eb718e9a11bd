//! Stage: the dashboard. In: the [`Board`], behind a lock that is held for microseconds. Out: pages, records as JSON and events to
//! browsers.
//!
//! One thread with a runtime of its own, off the way of packets: whatever a browser does, or does not do, costs a bounded queue
//! and a counter. Loopback needs no token unless one is given, and metrics at an address of their own there not even then; any other
//! address does. Requests of other sites and for names that are not ours are
//! refused, so that a page elsewhere can neither read nor rebind its way in. Nothing is asked of any other host.

mod access;
mod events;
mod page;
mod routes;
mod seats;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub use access::{Token, TokenError};

use crate::board::Board;
use crate::metrics::{Format, Visitors};
use events::Hub;

/// Time between two events to browsers.
const TICK: Duration = Duration::from_secs(1);
/// Time between two looks whether to stop.
const STOP_LOOK: Duration = Duration::from_millis(100);
/// Time that connections get to take what is left when the run ends.
const FAREWELL: Duration = Duration::from_millis(300);

/// Makes the text of `/metrics` in the format that is asked for.
pub type MetricsText = Arc<dyn Fn(Format, Visitors) -> String + Send + Sync>;

/// What to serve, and to whom.
#[derive(Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct Config {
    /// Address of the dashboard, if there is to be one.
    pub dashboard: Option<SocketAddr>,
    /// Address that has `/metrics` and `/healthz` only, if there is to be one.
    pub metrics: Option<SocketAddr>,
    /// Who brings it may look; needed beyond loopback, and not asked for by an address of loopback that has metrics only.
    pub token: Option<Token>,
    /// Names, beside `localhost` and addresses, by which browsers may ask.
    pub hosts: Vec<String>,
    /// Makes the text of `/metrics`; without it there is no such page.
    pub metrics_text: Option<MetricsText>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Config")
            .field("dashboard", &self.dashboard)
            .field("metrics", &self.metrics)
            .field("token", &self.token)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address can be reached from elsewhere, and no token was given.
    #[error(
        "{address} can be reached from other machines: give a token with --web-token-file FILE or in MEETSCOPE_WEB_TOKEN \
         (head -c 32 /dev/urandom | base64 makes one), or listen on 127.0.0.1"
    )]
    TokenNeeded {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The thread or its runtime cannot be started.
    #[error("the web server cannot start: {0}")]
    Start(#[from] io::Error),
}

/// What the server counts: [`Visitors`] while they come.
#[derive(Debug, Default)]
struct Counters {
    clients: AtomicU64,
    clients_dropped: AtomicU64,
    refused_full: AtomicU64,
    refused_token: AtomicU64,
    refused_host: AtomicU64,
    connections_cut: AtomicU64,
    requests: AtomicU64,
}

impl Counters {
    fn read(&self) -> Visitors {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Visitors {
            clients: of(&self.clients),
            clients_dropped: of(&self.clients_dropped),
            refused_full: of(&self.refused_full),
            refused_token: of(&self.refused_token),
            refused_host: of(&self.refused_host),
            connections_cut: of(&self.connections_cut),
            requests: of(&self.requests),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What all handlers share.
struct Shared {
    board: Arc<Mutex<Board>>,
    hub: Hub,
    token: Option<Token>,
    hosts: Vec<String>,
    metrics_text: Option<MetricsText>,
    counters: Arc<Counters>,
}

impl Shared {
    fn new(config: &Config, board: Arc<Mutex<Board>>) -> Arc<Self> {
        let counters = Arc::<Counters>::default();
        Arc::new(Self {
            hub: Hub::new(Arc::clone(&counters)),
            board,
            token: config.token.clone(),
            hosts: config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            metrics_text: config.metrics_text.clone(),
            counters,
        })
    }

    /// A thread that panicked with the board in its hands left it whole enough to be shown.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sockets that listen and are not served yet: rights can be given up before [`serve`](Self::serve).
#[derive(Debug)]
pub struct Bound {
    config: Config,
    runtime: Runtime,
    dashboard: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

/// Listens on what a configuration names.
///
/// # Errors
/// Where a token is lacking, or an address cannot be listened on.
pub fn bind(config: Config) -> Result<Bound, WebError> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let entered = runtime.enter();
    let open = |address: Option<SocketAddr>| {
        let Some(address) = address else { return Ok(None) };
        if !is_loopback(address.ip()) && config.token.is_none() {
            return Err(WebError::TokenNeeded { address });
        }
        wire::listen(address).map(Some).map_err(|source| WebError::Listen { address, source })
    };
    let (dashboard, metrics) = (open(config.dashboard)?, open(config.metrics)?);
    drop(entered);
    Ok(Bound { config, runtime, dashboard, metrics })
}

/// Whether no other machine reaches an address, also where it is an IPv4 address inside of IPv6.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

impl Bound {
    /// The address of the dashboard with the port that the system chose.
    #[must_use]
    pub fn dashboard(&self) -> Option<SocketAddr> {
        self.dashboard.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The address of the metrics.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves in a thread of its own, until `stop` is set.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub fn serve(self, board: Arc<Mutex<Board>>, stop: Arc<AtomicBool>) -> Result<Handle, WebError> {
        let shared = Shared::new(&self.config, board);
        let counters = Arc::clone(&shared.counters);
        let Self { config: _, runtime, dashboard, metrics } = self;
        let thread = thread::Builder::new().name("web".to_owned()).spawn(move || {
            runtime.block_on(run(dashboard, metrics, shared, &stop));
            runtime.shutdown_background();
        })?;
        Ok(Handle { thread, counters })
    }
}

/// Listens and serves.
///
/// # Errors
/// Those of [`bind`] and [`Bound::serve`].
pub fn serve(config: Config, board: Arc<Mutex<Board>>, stop: Arc<AtomicBool>) -> Result<Handle, WebError> {
    bind(config)?.serve(board, stop)
}

/// A server that runs.
#[derive(Debug)]
pub struct Handle {
    thread: JoinHandle<()>,
    counters: Arc<Counters>,
}

impl Handle {
    /// What it has counted so far.
    #[must_use]
    pub fn counts(&self) -> Visitors {
        self.counters.read()
    }

    /// Waits until it has stopped: well below a second after `stop` was set. False where its thread had died.
    #[must_use]
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

async fn run(
    dashboard: Option<TcpListener>,
    metrics: Option<TcpListener>,
    shared: Arc<Shared>,
    stop: &AtomicBool,
) {
    let start = |listener: Option<TcpListener>, seats, router| {
        let Some(listener) = listener else { return };
        let listener = wire::Listener::new(listener, seats, &shared.counters);
        tokio::spawn(async move { axum::serve(listener, router).await });
    };
    let is_near = metrics.as_ref().and_then(|listener| listener.local_addr().ok());
    let is_near = is_near.is_some_and(|address| is_loopback(address.ip()));
    // Each has seats of its own: browsers lock out no scraper.
    start(dashboard, wire::CONNECTIONS, routes::dashboard(&shared));
    start(metrics, wire::SCRAPERS, routes::metrics_only(&shared, is_near));
    let mut look = tokio::time::interval(STOP_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut due = tokio::time::Instant::now();
    while !stop.load(Ordering::Relaxed) {
        look.tick().await;
        let now = tokio::time::Instant::now();
        if now >= due {
            due = now.checked_add(TICK).unwrap_or(now);
            shared.hub.tick(&shared.board, now);
        }
    }
    shared.hub.farewell(&shared.board, tokio::time::Instant::now());
    tokio::time::sleep(FAREWELL).await;
}
