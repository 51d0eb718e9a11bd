//! From the domain to records. In: judged flows, sessions, keys, counts. Out: [`record`](super::record).

mod alert;
mod beyond;
mod cipher;
mod distance;
mod finding;
mod flow;
mod hint;
mod interim;
mod jurisdiction;
mod kept;
mod losses;
mod media;
mod meeting;
mod protocol;
mod public;
mod session;
mod sessions;
mod shared;
mod signalling;
mod software;
mod trend;
mod weak;
mod witness;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;
use hashbrown::HashMap;

pub(super) use finding::country;
pub use flow::flow_record;
pub use hint::address_hint;
pub use interim::{Going, GoingMeeting, GoingSession, going};
pub use jurisdiction::jurisdiction_record;
pub(super) use jurisdiction::{could_hold, parts};
pub use kept::{Kept, KeptContext};
pub(super) use meeting::meeting_id;
pub use meeting::meeting_record;
pub(super) use session::flows as flows_of;
pub use session::session_record;
pub(super) use sessions::{each_session, session_records};
use shared::Shared;
pub use software::{InventoryRecords, inventory_records};

use super::Run;
use super::record::{EvidenceRecord, FlowStats, PacketNumber, PacketStats, ProviderData, StatsRecord};
use super::time;
use crate::classify::{Evidence, Rules};
use crate::geo::{Country, Databases, Place};
use crate::keys::Analysis;
use crate::observe::PacketRef;
use crate::parallel::Threads;
use crate::session::{Session, order};
use crate::time::Timestamp;

/// Places remembered; beyond that all are looked up again.
const PLACES: usize = 1 << 16;

/// What the making of records needs beside the things recorded.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) rules: &'a Rules,
    pub(super) databases: Shared<'a, Databases>,
    many_files: bool,
    /// In which country the packets were captured, where the user says so.
    capture_point: Option<Country>,
    /// Who answered whom how soon.
    nearby: distance::Nearby,
    places: Mutex<HashMap<(IpAddr, i64), Place>>,
    /// What was said of the servers of sessions, for their meetings.
    told: BTreeMap<u64, meeting::Told>,
    /// Which servers run the same.
    spreads: software::Spreads,
    /// What the capture lost, and when.
    losses: losses::Losses,
    /// The policy that sessions are judged by.
    judging: Option<alert::Judging<'a>>,
    /// Sessions are recorded with their media over time.
    trends: bool,
    /// A run on interfaces, by when it began.
    run: Option<String>,
    /// How many threads make records.
    pub(super) threads: Threads,
}

/// A database is some days older or younger than a capture; its answer is the same all day.
const DAY_NS: i64 = 86_400_000_000_000;

impl<'a> Context<'a> {
    /// `many_files` puts the index of its file beside each frame number.
    pub fn new(rules: &'a Rules, databases: &'a Databases, many_files: bool) -> Self {
        Self {
            rules,
            databases: Shared::Borrowed(databases),
            many_files,
            capture_point: None,
            nearby: distance::Nearby::default(),
            places: Mutex::default(),
            told: BTreeMap::new(),
            spreads: software::Spreads::default(),
            losses: losses::Losses::default(),
            judging: None,
            trends: false,
            run: None,
            threads: Threads::ONE,
        }
    }

    /// Says in which country the packets were captured.
    #[must_use]
    pub const fn captured_in(mut self, country: Option<Country>) -> Self {
        self.capture_point = country;
        self
    }

    /// Has records of flows and sessions made by so many threads at once.
    #[must_use]
    pub const fn working_with(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Names the run in all records.
    #[must_use]
    pub fn in_run(mut self, began: Timestamp) -> Self {
        self.run = Some(time::eve(began));
        self
    }

    /// The name of the run.
    pub fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }

    /// Records of sessions hold their media over time, in a few points.
    #[must_use]
    pub const fn with_trends(mut self) -> Self {
        self.trends = true;
        self
    }

    /// Notes packets that the capture lost between two times.
    pub fn lost(&mut self, from: Timestamp, to: Timestamp, packets: u64) {
        self.losses.note(from, to, packets);
    }

    /// Asks other databases from now on: a run that goes on has read them anew.
    pub fn ask(&mut self, databases: Arc<Databases>) {
        self.databases = Shared::Owned(databases);
        self.known_places().clear();
    }

    /// The databases that are asked.
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// What the databases say of an address that was seen at `seen`.
    fn place(&self, address: IpAddr, seen: Timestamp) -> Place {
        let day = seen.as_nanos().div_euclid(DAY_NS);
        if let Some(place) = self.known_places().get(&(address, day)) {
            return place.clone();
        }
        let noon = Timestamp::from_nanos(day.saturating_mul(DAY_NS).saturating_add(DAY_NS.div_euclid(2)));
        let place = self.databases.lookup_at(address, Some(noon));
        let mut known = self.known_places();
        if known.len() >= PLACES {
            // Those of days that are over would stay for ever.
            known.clear();
        }
        known.insert((address, day), place.clone());
        place
    }

    fn known_places(&self) -> MutexGuard<'_, HashMap<(IpAddr, i64), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet's numbers.
    fn packet(&self, packet: PacketRef) -> PacketNumber {
        PacketNumber { file: self.many_files.then(|| packet.file()), frame: packet.frame() }
    }

    /// A packet's numbers, unless no packet stands behind it.
    fn seen(&self, packet: PacketRef) -> Option<PacketNumber> {
        (packet.frame() != 0).then(|| self.packet(packet))
    }

    fn packets(&self, packets: &[PacketRef]) -> Vec<PacketNumber> {
        packets.iter().filter_map(|packet| self.seen(*packet)).collect()
    }

    fn app(&self, provider: Option<u16>) -> Option<CompactString> {
        provider.and_then(|number| self.rules.provider(number)).map(|provider| provider.app.as_str().into())
    }

    /// `own` is the app that the evidence is shown under.
    fn evidence(&self, item: &Evidence, own: Option<u16>) -> EvidenceRecord {
        EvidenceRecord {
            what: item.what,
            value: words::value(&item.value),
            weight: round3(item.weight),
            packet: self.seen(item.packet),
            app: if own == Some(item.provider) { None } else { self.app(Some(item.provider)) },
            unchecked: !item.checked,
        }
    }
}

/// The sessions that share a meeting with `session`, itself among them, as far as `analysis` has them.
fn met<'m>(analysis: &'m Analysis, session: &'m Session) -> Vec<&'m Session> {
    let Some(meeting) = analysis.meeting_of(session.id) else { return vec![session] };
    let place =
        |id: &u64| analysis.sessions.binary_search_by_key(&order(*id), |(other, _)| order(other.id)).ok();
    let others = meeting.sessions.iter().filter_map(|id| analysis.sessions.get(place(id)?));
    others.map(|(other, _)| other).collect()
}

/// What a run counted.
pub fn stats_record(run: &Run<'_>) -> StatsRecord {
    let counts = run.counts;
    let dropped = run.dropped;
    let mut all = run.earlier;
    all.add(run.analysis);
    let decode: BTreeMap<String, u64> = run
        .decode
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    StatsRecord {
        timestamp: counts.latest.map(time::eve),
        phase: None,
        told_at: None,
        run: None,
        version: env!("CARGO_PKG_VERSION"),
        packets: PacketStats {
            seen: counts.seen.saturating_add(dropped.total()),
            analysed: counts.analysed,
            filtered: counts.filtered,
            dropped: dropped.total(),
            dropped_by_kernel: dropped.kernel,
            dropped_by_interface: dropped.interface,
            dropped_by_us: dropped.own,
            undecodable: run.decode.undecodable_total(),
            duplicates: run.decode.duplicates,
        },
        bytes_captured: counts.bytes_captured,
        decode,
        flows: FlowStats {
            total: all.flows,
            named: all.named,
            evicted: run.table.evicted,
            holes_given_up: run.table.holes_given_up,
            pictures_given_up: run.table.pictures_given_up,
        },
        sessions: all.sessions,
        files: run.files.clone(),
        interfaces: Vec::new(),
        sinks: Vec::new(),
        live: None,
        memory: run.memory,
        stream: run.stream,
        command: run.command.clone(),
        providers: Some(ProviderData {
            count: count(run.rules.providers().len()),
            retrieved: run.rules.sources().retrieved.clone(),
        }),
        key_logs: run.key_logs.clone(),
        policies: run.policies.clone(),
        databases: databases(run),
        tables: crate::geo::tables(),
        complete: run.complete,
    }
}

/// The databases, with how far they are in time from what was read.
fn databases(run: &Run<'_>) -> Vec<crate::geo::DatabaseInfo> {
    let aged = run.databases.info().into_iter().map(|info| info.seen_from(run.counts.latest));
    if run.files.len() < 2 {
        return aged.collect();
    }
    let begun = || run.analysis.flows.iter().map(|judged| judged.flow.start);
    aged.map(|info| info.seen_between(begun())).collect()
}

/// A letter and the number of a flow; `p` behind it is for the peer: the other end of the same flow.
fn named(letter: char, number: u64) -> String {
    let (number, peer) = order(number);
    format!("{letter}{number}{}", if peer { "p" } else { "" })
}

/// The name of a session in records.
pub(super) fn session_id(number: u64) -> String {
    named('s', number)
}

/// The session of each flow, by the flow's index; a flow that two calls share belongs to the first.
pub(super) fn sessions_of_flows(analysis: &Analysis) -> Vec<Option<u64>> {
    let mut owners = vec![None; analysis.flows.len()];
    for (id, flows) in analysis.flows_of_sessions() {
        for index in flows {
            if let Some(owner @ None) = owners.get_mut(*index) {
                *owner = Some(id);
            }
        }
    }
    owners
}

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Three decimals: more would be noise, and would not be stable.
fn round3(value: f32) -> f32 {
    (value * 1000.0).round() / 1000.0
}

/// Three decimals.
fn milli(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Two decimals.
fn centi(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
