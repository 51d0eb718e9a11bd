//! Who else hears how a run fares: Prometheus, by the page that it asks for, and systemd, by signs of life.

use std::env;
use std::sync::{Arc, Mutex, PoisonError};

use meetscope::metrics::Tally;
use meetscope::report::Told;
use meetscope::report::record::Record;
use meetscope::sandbox::Notifier;
use meetscope::web::{self, Bound, Config, MetricsText, WebError};

use super::UsageError;

/// What is counted for Prometheus, where somebody may ask, and the line to systemd.
pub(super) struct Telemetry {
    tally: Option<Arc<Mutex<Tally>>>,
    notifier: Notifier,
}

impl Telemetry {
    /// Connects to systemd, where it started this run; has to be called before rights are given up.
    pub(super) fn new(web: &Config) -> Self {
        let is_asked = web.metrics.or(web.dashboard).is_some();
        let (socket, watchdog) = (env::var_os("NOTIFY_SOCKET"), env::var_os("WATCHDOG_USEC"));
        Self {
            tally: is_asked.then(Arc::default),
            notifier: Notifier::connect(socket.as_deref(), watchdog.as_deref()),
        }
    }

    /// Opens the ports of the dashboard and of the metrics.
    pub(super) fn bind(&self, web: &Config) -> anyhow::Result<Bound> {
        web::bind(Config { metrics_text: self.text(), ..web.clone() }).map_err(|error| {
            // The system may say something else the next time; the command line says the same.
            let is_typed = matches!(error, WebError::TokenNeeded { .. });
            if is_typed { UsageError(error.to_string()).into() } else { error.into() }
        })
    }

    /// Makes the page, whenever somebody asks.
    fn text(&self) -> Option<MetricsText> {
        let tally = Arc::clone(self.tally.as_ref()?);
        Some(Arc::new(move |format, visitors| {
            tally.lock().unwrap_or_else(PoisonError::into_inner).page(format, &visitors)
        }))
    }

    /// Everything is open and packets are taken.
    pub(super) fn ready(&self, interfaces: &str) {
        self.notifier.ready(&format!("watching {interfaces}"));
    }

    /// Files are being read again.
    pub(super) fn reloading(&self) {
        self.notifier.reloading();
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.notifier.stopping();
    }

    pub(super) fn told(&mut self, told: &Told) {
        if let Some(tally) = &self.tally {
            tally.lock().unwrap_or_else(PoisonError::into_inner).take(told);
        }
        if let Record::Stats(stats) = &*told.record {
            self.notifier.second(stats);
        }
    }
}

/// Whether anybody may ask for anything.
pub(super) fn is_served(bound: &Bound) -> bool {
    bound.dashboard().is_some() || bound.metrics().is_some()
}
