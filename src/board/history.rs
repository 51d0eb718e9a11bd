//! Sessions that have ended: a row of each, and its whole record as long as there is room.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use super::{grave, gravest, weight};
use crate::geo::Country;
use crate::keys::CouldHold;
use crate::report::record::{Record, SessionRecord, Severity};

/// Rows kept, of some 400 bytes each.
const ROWS: usize = 50_000;

/// A session that has ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Past {
    /// Its name.
    pub session_id: String,
    /// Provider, or none where nobody claims it.
    pub app: Option<String>,
    /// The endpoint's address.
    pub ip: String,
    /// The meeting that it is known to share with other sessions.
    pub meeting_id: Option<String>,
    /// First packet.
    pub start: String,
    /// Last packet.
    pub end: String,
    /// Length of the call's flows, in seconds.
    pub duration_s: f64,
    /// The gravest of its findings.
    pub severity: Option<Severity>,
    /// How many findings are grave.
    pub grave: usize,
    /// How many findings.
    pub findings: usize,
    /// How many rules fired.
    pub alerts: usize,
    /// Servers that could hold the key.
    pub holders: usize,
    /// Where databases place these, ISO 3166-1 alpha-2.
    pub countries: Vec<String>,
    /// Loss of the worse way, in percent.
    pub loss_percent: Option<f64>,
    /// Speech quality of the worse way.
    pub mos: Option<f64>,
    /// Its record, as long as there is room.
    pub record: Option<Arc<Record>>,
    weight: usize,
    uptime_s: u64,
    version: u64,
}

/// Ended sessions, the oldest first.
#[derive(Debug)]
pub(super) struct History {
    most_bytes: usize,
    rows: VecDeque<Past>,
    /// Number of the first row, counted from the first of all.
    first: u64,
    /// Number of the row of a name. Never walked, only asked.
    places: HashMap<String, u64>,
    /// Number of the first row that may have its record.
    whole_from: u64,
    bytes: usize,
    left_out: u64,
    details_left_out: u64,
}

impl History {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            rows: VecDeque::new(),
            first: 0,
            places: HashMap::new(),
            whole_from: 0,
            bytes: 0,
            left_out: 0,
            details_left_out: 0,
        }
    }

    /// Adds a session that is over; told of again, it takes the place of its earlier row.
    pub(super) fn add(
        &mut self,
        session: &SessionRecord,
        record: &Arc<Record>,
        alerts: usize,
        uptime_s: u64,
        version: u64,
    ) {
        let weight = weight::session(session);
        let mut row = row(session, alerts);
        (row.weight, row.uptime_s, row.version) = (weight, uptime_s, version);
        row.record = Some(Arc::clone(record));
        if let Some(known) = self.row_mut(&session.session_id) {
            let before = if known.record.is_some() { known.weight } else { 0 };
            let since = known.uptime_s;
            *known = row;
            // Its place is that of its first end, and so is its age.
            known.uptime_s = since;
            self.bytes = self.bytes.saturating_sub(before).saturating_add(weight);
        } else {
            let place = self.first.saturating_add(u64::try_from(self.rows.len()).unwrap_or(u64::MAX));
            self.places.insert(session.session_id.clone(), place);
            self.rows.push_back(row);
            self.bytes = self.bytes.saturating_add(weight);
        }
        while self.rows.len() > ROWS {
            self.drop_first();
            self.left_out = self.left_out.saturating_add(1);
        }
        self.shed();
    }

    fn row_mut(&mut self, id: &str) -> Option<&mut Past> {
        let place = usize::try_from(self.places.get(id)?.checked_sub(self.first)?).ok()?;
        self.rows.get_mut(place)
    }

    fn drop_first(&mut self) {
        let Some(row) = self.rows.pop_front() else { return };
        self.first = self.first.saturating_add(1);
        self.places.remove(&row.session_id);
        if row.record.is_some() {
            self.bytes = self.bytes.saturating_sub(row.weight);
        }
    }

    /// Lets go of records, the oldest first, until what is left has room.
    fn shed(&mut self) {
        while self.bytes > self.most_bytes {
            let place = self.whole_from.max(self.first);
            let Some(row) = usize::try_from(place.saturating_sub(self.first))
                .ok()
                .and_then(|place| self.rows.get_mut(place))
            else {
                return;
            };
            if row.record.take().is_some() {
                self.bytes = self.bytes.saturating_sub(row.weight);
                self.details_left_out = self.details_left_out.saturating_add(1);
            }
            self.whole_from = place.saturating_add(1);
        }
    }

    /// Notes how many rules fired, where they are told after the end.
    pub(super) fn set_alerts(&mut self, id: &str, alerts: usize, version: u64) {
        if let Some(row) = self.row_mut(id)
            && row.alerts != alerts
        {
            (row.alerts, row.version) = (alerts, version);
        }
    }

    /// Lets go of what ended before an uptime.
    pub(super) fn expire(&mut self, before_s: u64) {
        while self.rows.front().is_some_and(|row| row.uptime_s < before_s) {
            self.drop_first();
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Past> {
        let place = usize::try_from(self.places.get(id)?.checked_sub(self.first)?).ok()?;
        self.rows.get(place)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Past> {
        self.rows.iter()
    }

    /// Rows that are newer than a version, the oldest first.
    pub(super) fn since(&self, version: u64) -> Vec<Past> {
        // Rows are in the order of their first end; one that was told of again is looked for among the latest.
        let recent = self.rows.iter().rev().take(ROWS_LOOKED_AT).filter(|row| row.version > version);
        let mut found: Vec<Past> = recent.cloned().collect();
        found.reverse();
        found
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(super) const fn details_left_out(&self) -> u64 {
        self.details_left_out
    }
}

/// Rows in which a change is looked for: more than end between two looks of a reader.
const ROWS_LOOKED_AT: usize = 8_192;

fn row(session: &SessionRecord, alerts: usize) -> Past {
    let able = || session.keys.holders.iter().filter(|holder| holder.could_hold == CouldHold::Yes);
    let countries: BTreeSet<&str> =
        able().filter_map(|holder| holder.place.located_in.country.as_ref().map(Country::code)).collect();
    let ways = [&session.media.sent, &session.media.received];
    Past {
        session_id: session.session_id.clone(),
        app: session.app.clone(),
        ip: session.endpoint.ip.clone(),
        meeting_id: session.meeting_id.clone(),
        start: session.start.clone(),
        end: session.end.clone(),
        duration_s: session.duration_s,
        severity: gravest(session),
        grave: grave(session),
        findings: session.findings.len(),
        alerts,
        holders: able().count(),
        countries: countries.into_iter().map(str::to_owned).collect(),
        loss_percent: ways.iter().filter_map(|way| way.loss_percent).reduce(f64::max),
        mos: ways.iter().filter_map(|way| way.mos.value).reduce(f64::min),
        record: None,
        weight: 0,
        uptime_s: 0,
        version: 0,
    }
}
