//! Events to browsers. In: what has changed on the board since the last second. Out: one piece of bytes that all browsers share.
//!
//! A browser that comes gets all that is known, and then what changes, once a second. What it gets is made once, whatever the
//! number of browsers. Each has a short queue; one that does not take what is sent is let go, and gets all again when it comes back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Counters, count, page};
use crate::board::{Board, Past, Point};

/// Browsers that take events at a time.
pub(super) const CLIENTS: usize = 2_048;
/// Events that wait for a browser, a second each.
const QUEUE: usize = 12;
/// Time between two drawings of what is made of all sessions: the answer, the map.
const DRAWN: Duration = Duration::from_secs(3);
/// Sessions in one event of all that is known; the list of records has the others.
const SESSIONS: usize = 5_000;
/// Rows of sessions that are over in it.
const PAST: usize = 1_000;
/// Meetings and alerts in it.
const OTHERS: usize = 1_000;

/// All browsers that take events.
pub(super) struct Hub {
    inner: Mutex<Inner>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Inner {
    clients: Vec<mpsc::Sender<Bytes>>,
    /// The board's version that all browsers have.
    version: u64,
    /// Uptime of the latest point that all of them have.
    drawn_to_s: u64,
    /// Number of the latest event.
    number: u64,
    /// All that is known, made in this second.
    whole: Option<Bytes>,
    /// What was last made of all sessions, and when.
    drawn: Option<Drawn>,
    /// Sessions or alerts have changed since.
    is_stale: bool,
    /// When the board last had news, and its version then.
    told: Option<(u64, Instant)>,
}

/// What is made of all sessions.
#[derive(Clone, PartialEq)]
struct Drawn {
    at: Instant,
    parts: BTreeMap<&'static str, Value>,
}

impl Hub {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { inner: Mutex::default(), counters }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the board last had news.
    pub(super) fn age(&self, now: Instant) -> Option<u64> {
        self.inner().told.map(|(_, at)| now.saturating_duration_since(at).as_secs())
    }

    /// Once a second: sends what has changed.
    pub(super) fn tick(&self, board: &Mutex<Board>, now: Instant) {
        let mut inner = self.inner();
        inner.whole = None;
        let board = board.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.told.is_none_or(|(version, _)| version != board.version()) {
            inner.told = Some((board.version(), now));
        }
        inner.clients.retain(|client| !client.is_closed());
        if inner.clients.is_empty() {
            inner.version = board.version();
            return;
        }
        let changes = board.changes(inner.version);
        inner.version = changes.version;
        let Some(gone) = &changes.gone else {
            // Too much has gone to be told: they come again and get all anew.
            inner.clients.clear();
            return;
        };
        inner.is_stale |= !changes.sessions.is_empty()
            || !changes.alerts.is_empty()
            || !changes.meetings.is_empty()
            || !gone.sessions.is_empty()
            || !gone.alerts.is_empty();
        let due = inner.is_stale
            && inner.drawn.as_ref().is_none_or(|drawn| now.saturating_duration_since(drawn.at) >= DRAWN);
        let all = due.then(|| page::All::of(&board));
        let counters = page::counters(&board, self.counters.read());
        let points: Vec<Point> = board.rates().after(inner.drawn_to_s).copied().collect();
        let past = board.history_len();
        drop(board);
        inner.drawn_to_s = points.last().map_or(inner.drawn_to_s, |point| point.uptime_s);
        let mut event = Map::new();
        let age = inner.told.map_or(0, |(_, at)| now.saturating_duration_since(at).as_secs());
        event.insert("age".to_owned(), age.into());
        event.insert("counters".to_owned(), counters);
        event.insert("points".to_owned(), points.iter().map(page::point).collect());
        event.insert("history_all".to_owned(), past.into());
        page::changes(&mut event, &changes, gone);
        if let Some(all) = all {
            let parts = all.parts();
            let before = inner.drawn.replace(Drawn { at: now, parts: parts.clone() });
            inner.is_stale = false;
            for (name, part) in parts {
                if before.as_ref().is_none_or(|before| before.parts.get(name) != Some(&part)) {
                    event.insert(name.to_owned(), part);
                }
            }
        }
        let bytes = inner.event("delta", &Value::Object(event));
        self.send(&mut inner, &bytes);
    }

    fn send(&self, inner: &mut Inner, bytes: &Bytes) {
        inner.clients.retain(|client| match client.try_send(bytes.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                count(&self.counters.clients_dropped);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    /// A browser that wants events: all that is known comes first. None where there are too many.
    pub(super) fn join(&self, board: &Mutex<Board>, now: Instant) -> Option<Body> {
        let mut inner = self.inner();
        inner.clients.retain(|client| !client.is_closed());
        if inner.clients.len() >= CLIENTS {
            count(&self.counters.refused_full);
            return None;
        }
        let known = inner.whole.clone();
        let whole = known.unwrap_or_else(|| self.whole(&mut inner, board, now));
        inner.whole = Some(whole.clone());
        let (sender, receiver) = mpsc::channel(QUEUE);
        // The queue is empty: there is room.
        let _ = sender.try_send(whole);
        inner.clients.push(sender);
        self.counters.clients.fetch_add(1, Ordering::Relaxed);
        Some(Body::from_stream(Feed { receiver, counters: Arc::clone(&self.counters) }))
    }

    /// All that is known. What changes after it was read comes with the next second, also where that is in it already.
    fn whole(&self, inner: &mut Inner, board: &Mutex<Board>, now: Instant) -> Bytes {
        let board = board.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.clients.is_empty() {
            inner.version = board.version();
        }
        let all = page::All::of(&board);
        let mut event = Map::new();
        let age = inner.told.map_or(0, |(_, at)| now.saturating_duration_since(at).as_secs());
        event.insert("age".to_owned(), age.into());
        event.insert("counters".to_owned(), page::counters(&board, self.counters.read()));
        event.insert("history_all".to_owned(), board.history_len().into());
        let seconds: Vec<Point> = board.rates().seconds().copied().collect();
        let minutes: Vec<Point> = board.rates().minutes().copied().collect();
        let past: Vec<Past> = board.history().rev().take(PAST).cloned().collect();
        drop(board);
        event.insert("seconds".to_owned(), seconds.iter().map(page::point).collect());
        event.insert("minutes".to_owned(), minutes.iter().map(page::point).collect());
        event.insert("history".to_owned(), past.iter().rev().map(page::past).collect());
        all.rows(&mut event, SESSIONS, OTHERS);
        for (name, part) in all.parts() {
            event.insert(name.to_owned(), part);
        }
        inner.event("whole", &Value::Object(event))
    }

    /// The last event of a run.
    pub(super) fn farewell(&self, board: &Mutex<Board>, now: Instant) {
        // Also what is not drawn every second.
        self.inner().drawn = None;
        self.tick(board, now);
        let mut inner = self.inner();
        let bytes = inner.event("over", &json!({}));
        self.send(&mut inner, &bytes);
        inner.clients.clear();
    }
}

impl Inner {
    /// JSON has no line breaks, so that an event is one line of data.
    fn event(&mut self, name: &str, data: &Value) -> Bytes {
        self.number = self.number.saturating_add(1);
        Bytes::from(format!("event: {name}\nid: {}\ndata: {data}\n\n", self.number))
    }
}

/// What one browser is sent.
struct Feed {
    receiver: mpsc::Receiver<Bytes>,
    counters: Arc<Counters>,
}

impl futures_core::Stream for Feed {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context).map(|bytes| bytes.map(Ok))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.counters.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
