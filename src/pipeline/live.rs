//! Flows that have ended, held until what belongs together can be judged together.
//!
//! In: ended flows, the latest packet time and, for endpoints of whose flows none ended lately, whether any is alive.
//! Out: all held flows of endpoints that have fallen silent, in the order in which they began; at the end, everything
//! left. A capture during which nothing was let go therefore gives what reading it from a file gives.
//!
//! Who is alive is asked for few: a list of all addresses with flows would be as long as the flow table.
//!
//! Which end of a flow is the endpoint is guessed before the flow is judged; a flow between two endpoints, or one
//! whose endpoint only its app would tell, may be let go apart from its kin.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;

use crate::classify::Verdict;
use crate::flow::{FiveTuple, Flow, Key};
use crate::observe::{State, Summary, weight};
use crate::session;
use crate::time::Timestamp;

/// Packet time without any packet of an endpoint's flows after which they are let go.
pub(super) const QUIET: Duration = Duration::from_secs(30);
/// A TCP connection that stays open for push messages must not keep a call's report back for ever: after this much
/// packet time since its last ended flow, an endpoint without live datagram flows is let go.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// Ended flows held at most, over all endpoints. Beyond it the endpoint that fell silent first is let go.
pub(super) const MAX_HELD: usize = 1 << 18;

/// One part in so many is let go to spare.
const SHARE: usize = 8;

const TCP: u8 = 6;

/// Ended flows by endpoint.
#[derive(Debug)]
pub struct Held {
    endpoints: BTreeMap<IpAddr, Endpoint>,
    flows: usize,
    most: usize,
    released_early: u64,
}

#[derive(Debug, Default)]
struct Endpoint {
    flows: Vec<Summary>,
    /// Latest packet of its ended flows.
    latest: Timestamp,
    /// The most that any of its flows is worth.
    worth: Worth,
}

/// What is lost with a flow that is let go before its endpoint falls silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    #[default]
    Unknown,
    /// A connection whose beginning was read, which may be a call's signalling.
    Named,
    Call,
}

impl Worth {
    fn of(flow: &Summary) -> Self {
        match flow.facts.as_deref() {
            Some(_) if is_of_a_call(flow) => Self::Call,
            Some(facts) if facts.tls.is_some() => Self::Named,
            _ => Self::Unknown,
        }
    }
}

/// Which of the addresses that were asked for have flows that are alive.
#[derive(Debug, Clone, Default)]
pub struct Alive {
    asked: Arc<HashSet<IpAddr>>,
    any: HashSet<IpAddr>,
    datagrams: HashSet<IpAddr>,
}

impl Alive {
    /// An answer for these addresses, which have no flow so far.
    pub fn asking(asked: Arc<HashSet<IpAddr>>) -> Self {
        Self { asked, ..Self::default() }
    }

    /// True when nothing was asked, so that no flow need be looked at.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Takes a live flow's ends into account.
    pub fn add(&mut self, tuple: &FiveTuple) {
        for address in [tuple.source.ip(), tuple.destination.ip()] {
            if !self.asked.contains(&address) {
                continue;
            }
            self.any.insert(address);
            if tuple.protocol != TCP {
                self.datagrams.insert(address);
            }
        }
    }

    /// Adds what another share of the flows answered to the same question.
    pub fn join(&mut self, other: Self) {
        self.any.extend(other.any);
        self.datagrams.extend(other.datagrams);
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new(MAX_HELD)
    }
}

/// A flow that is alive.
#[derive(Debug, Clone, Copy)]
pub struct Living {
    /// Whose it is taken to be.
    endpoint: IpAddr,
    id: u64,
    pub(super) key: Key,
}

impl Living {
    pub(super) fn of(flow: &Flow<State>) -> Self {
        Self { endpoint: session::likely_endpoint(&flow.tuple()), id: flow.id, key: flow.key }
    }

    /// Those of an endpoint lie together, in the order in which they began.
    pub(super) const fn place(&self) -> (IpAddr, u64) {
        (self.endpoint, self.id)
    }

    /// Where the last of them begin: some `most`, of whole endpoints where not one alone has more.
    pub fn last(flows: &[Self], most: usize) -> usize {
        let from = flows.len().saturating_sub(most);
        let Some(before) = from.checked_sub(1).and_then(|before| flows.get(before)) else { return 0 };
        let rest = flows.get(from..).unwrap_or_default();
        let cut = rest.iter().position(|flow| flow.endpoint != before.endpoint);
        cut.map_or(from, |cut| from.saturating_add(cut))
    }
}

/// Whose a flow is taken to be before it is judged.
pub fn endpoint_of(flow: &Summary) -> IpAddr {
    session::sides(flow, &Verdict::default()).local.ip()
}

/// Flows in parts of some `most` each, those of one endpoint together; endpoints with flows of calls first. Each part is in the
/// order in which its flows began. What weighs more than `room` bytes is divided, be it one endpoint.
pub fn parts(flows: Vec<Summary>, most: usize, room: usize) -> Vec<Vec<Summary>> {
    let heft = |flows: &[Summary]| flows.iter().map(weight).fold(0, usize::saturating_add);
    if flows.len() <= most && heft(&flows) <= room {
        return if flows.is_empty() { Vec::new() } else { vec![flows] };
    }
    let mut endpoints: BTreeMap<IpAddr, Vec<Summary>> = BTreeMap::new();
    for flow in flows {
        endpoints.entry(endpoint_of(&flow)).or_default().push(flow);
    }
    let mut endpoints: Vec<Vec<Summary>> = endpoints.into_values().collect();
    endpoints
        .sort_by_cached_key(|flows| (!flows.iter().any(is_of_a_call), flows.first().map(|flow| flow.id)));
    let mut parts: Vec<(Vec<Summary>, usize)> = Vec::new();
    for mut flows in endpoints {
        let bytes = heft(&flows);
        match parts.last_mut() {
            Some((part, held))
                if part.len().saturating_add(flows.len()) <= most && held.saturating_add(bytes) <= room =>
            {
                part.append(&mut flows);
                *held = held.saturating_add(bytes);
            }
            _ if bytes > room => parts.extend(divided(flows, room)),
            _ => parts.push((flows, bytes)),
        }
    }
    let mut parts: Vec<Vec<Summary>> = parts.into_iter().map(|(part, _)| part).collect();
    for part in &mut parts {
        part.sort_by_key(|flow| flow.id);
    }
    parts
}

/// The flows of an endpoint in parts of some `room` bytes each.
fn divided(flows: Vec<Summary>, room: usize) -> Vec<(Vec<Summary>, usize)> {
    let mut parts: Vec<(Vec<Summary>, usize)> = Vec::new();
    for flow in flows {
        let bytes = weight(&flow);
        match parts.last_mut() {
            Some((part, held)) if held.saturating_add(bytes) <= room => {
                part.push(flow);
                *held = held.saturating_add(bytes);
            }
            _ => parts.push((vec![flow], bytes)),
        }
    }
    parts
}

/// Media, or what leads to it.
pub fn is_of_a_call(flow: &Summary) -> bool {
    flow.facts.as_deref().is_some_and(|facts| {
        facts.media.is_some() || facts.zoom.is_some() || facts.stun.is_some() || facts.sip.is_some()
    })
}

impl Held {
    /// Holds at most `most` flows.
    pub const fn new(most: usize) -> Self {
        Self { endpoints: BTreeMap::new(), flows: 0, most, released_early: 0 }
    }

    /// Takes flows that have ended.
    pub fn push(&mut self, ended: Vec<Summary>) {
        self.flows = self.flows.saturating_add(ended.len());
        for flow in ended {
            let endpoint = self.endpoints.entry(endpoint_of(&flow)).or_default();
            endpoint.latest = endpoint.latest.max(flow.end);
            endpoint.worth = endpoint.worth.max(Worth::of(&flow));
            endpoint.flows.push(flow);
        }
    }

    /// Holds at most so many flows from now on.
    pub const fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// The clock that stamps packets was set: the silence of all endpoints begins anew.
    pub fn restart(&mut self, now: Timestamp) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.latest = now;
        }
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// How many flows are held.
    pub const fn len(&self) -> usize {
        self.flows
    }

    /// How often an endpoint had to go while it was not silent, because too many flows were held.
    pub const fn released_early(&self) -> u64 {
        self.released_early
    }

    /// Endpoints of whose flows none has ended for so long at packet time `now` that it is to be asked whether any is alive.
    pub fn asked(&self, now: Timestamp) -> HashSet<IpAddr> {
        let quiet = |endpoint: &Endpoint| now.since(endpoint.latest) >= QUIET;
        self.endpoints.iter().filter(|(_, endpoint)| quiet(endpoint)).map(|(address, _)| *address).collect()
    }

    /// Lets go the flows of every endpoint that is silent at packet time `now`, together, in the order in which
    /// they began; of those that were asked for in `alive`.
    pub fn take_silent(&mut self, now: Timestamp, alive: &Alive) -> Vec<Summary> {
        let silent = |address: &IpAddr, endpoint: &Endpoint| {
            let quiet = now.since(endpoint.latest);
            let stale = quiet >= PATIENCE && !alive.datagrams.contains(address);
            quiet >= QUIET && (stale || !alive.any.contains(address))
        };
        let known = |address: &IpAddr| self.endpoints.get(address).is_some_and(|held| silent(address, held));
        let ready: Vec<IpAddr> = alive.asked.iter().copied().filter(|address| known(address)).collect();
        let mut flows: Vec<Summary> = ready.iter().flat_map(|address| self.take(*address)).collect();
        flows.sort_by_key(|flow| flow.id);
        flows
    }

    /// Where more flows are held than may be, lets go those of which least is known, of these who fell silent first, and an eighth to spare: each
    /// time all are sorted. In the order in which they began.
    pub fn take_excess(&mut self) -> Vec<Summary> {
        if self.flows <= self.most {
            return Vec::new();
        }
        let of = |(address, endpoint): (&IpAddr, &Endpoint)| (endpoint.worth, endpoint.latest, *address);
        let mut order: Vec<(Worth, Timestamp, IpAddr)> = self.endpoints.iter().map(of).collect();
        order.sort_unstable();
        let fewer = self.most.saturating_sub(self.most / SHARE);
        let mut flows = Vec::new();
        for (.., address) in order {
            if self.flows <= fewer {
                break;
            }
            self.released_early = self.released_early.saturating_add(1);
            flows.append(&mut self.take(address));
        }
        flows.sort_by_key(|flow| flow.id);
        flows
    }

    /// Lets go the flows of these endpoints.
    pub fn take_of(&mut self, endpoints: &BTreeSet<IpAddr>) -> Vec<Summary> {
        endpoints.iter().flat_map(|address| self.take(*address)).collect()
    }

    /// All flows that are held.
    pub fn iter(&self) -> impl Iterator<Item = &Summary> {
        self.endpoints.values().flat_map(|endpoint| &endpoint.flows)
    }

    /// Whether any flow of an endpoint is held.
    pub fn has(&self, endpoint: IpAddr) -> bool {
        self.endpoints.contains_key(&endpoint)
    }

    /// Copies of the flows that are held of these endpoints, `most` of them.
    pub fn of(&self, endpoints: &BTreeSet<IpAddr>, most: usize) -> Vec<Summary> {
        let held = endpoints.iter().filter_map(|address| self.endpoints.get(address));
        held.flat_map(|endpoint| &endpoint.flows).take(most).cloned().collect()
    }

    /// Lets go everything, together with `last`, the flows that the end of the capture ended.
    pub fn finish(self, last: Vec<Summary>) -> Vec<Summary> {
        let held = self.endpoints.into_values().flat_map(|endpoint| endpoint.flows);
        let mut flows: Vec<Summary> = held.chain(last).collect();
        flows.sort_by_key(|flow| flow.id);
        flows
    }

    fn take(&mut self, address: IpAddr) -> Vec<Summary> {
        let flows = self.endpoints.remove(&address).unwrap_or_default().flows;
        self.flows = self.flows.saturating_sub(flows.len());
        flows
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::observe::Outline;
    use crate::observe::facts::Facts;

    fn flow(id: u64, source: &str, destination: &str, protocol: u8, end: i64) -> Summary {
        let end = Timestamp::from_secs_nanos(end, 0);
        let (packets, bytes, payload) = ([1, 1], [60, 60], [18, 18]);
        let plain = Outline::plain(id, tuple(source, destination, protocol));
        Summary::from(Outline { start: end, end, packets, bytes, payload, ..plain })
    }

    fn tuple(source: &str, destination: &str, protocol: u8) -> FiveTuple {
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        FiveTuple { source: socket(source), destination: socket(destination), protocol }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs_nanos(seconds, 0)
    }

    fn ids(flows: &[Summary]) -> Vec<u64> {
        flows.iter().map(|flow| flow.id).collect()
    }

    /// What is let go at second `now` while these flows are alive.
    fn silent(held: &mut Held, now: i64, flows: &[FiveTuple]) -> Vec<Summary> {
        let mut alive = Alive::asking(Arc::new(held.asked(at(now))));
        for tuple in flows {
            alive.add(tuple);
        }
        let mut flows = held.take_silent(at(now), &alive);
        flows.append(&mut held.take_excess());
        flows
    }

    const ALICE: &str = "10.0.0.1:5000";
    const BOB: &str = "10.0.0.2:5000";
    const SERVER: &str = "198.51.100.1:443";

    #[test]
    fn an_endpoint_is_let_go_after_its_silence_and_not_before() {
        let mut held = Held::default();
        held.push(vec![flow(2, ALICE, SERVER, 6, 100), flow(1, ALICE, SERVER, 17, 90)]);
        assert!(silent(&mut held, 129, &[]).is_empty());
        assert_eq!(ids(&silent(&mut held, 130, &[])), [1, 2]);
        assert!(held.is_empty());
        assert_eq!(held.len(), 0);
    }

    #[test]
    fn a_live_flow_of_either_direction_keeps_its_endpoint_and_no_other() {
        let mut held = Held::default();
        held.push(vec![flow(1, ALICE, SERVER, 17, 100), flow(2, BOB, SERVER, 17, 100)]);
        let alive = [tuple("198.51.100.9:8801", ALICE, 17)];
        assert_eq!(ids(&silent(&mut held, 5000, &alive)), [2]);
        assert_eq!(held.len(), 1);
        assert_eq!(ids(&silent(&mut held, 5000, &[])), [1]);
    }

    #[test]
    fn an_open_connection_does_not_keep_a_call_back_for_ever() {
        let mut held = Held::default();
        held.push(vec![flow(1, ALICE, SERVER, 17, 100)]);
        let alive = [tuple(ALICE, SERVER, 6)];
        assert!(silent(&mut held, 699, &alive).is_empty());
        assert_eq!(ids(&silent(&mut held, 700, &alive)), [1]);
    }

    #[test]
    fn the_end_gives_everything_in_the_order_of_beginning() {
        let mut held = Held::default();
        held.push(vec![flow(3, ALICE, SERVER, 17, 1), flow(2, BOB, SERVER, 6, 2)]);
        let last = vec![flow(1, ALICE, SERVER, 6, 3), flow(4, BOB, SERVER, 6, 3)];
        assert_eq!(ids(&held.finish(last)), [1, 2, 3, 4]);
    }

    #[test]
    fn the_last_of_those_that_are_alive_are_of_whole_endpoints() {
        let living = |endpoints: &[u8]| -> Vec<Living> {
            let key = Key::of(&tuple(ALICE, SERVER, 17)).0;
            let living =
                |(id, endpoint): (u64, &u8)| Living { endpoint: [10, 0, 0, *endpoint].into(), id, key };
            (0..).zip(endpoints).map(living).collect()
        };
        let last = |endpoints: &[u8], most| Living::last(&living(endpoints), most);
        assert_eq!(last(&[1, 1, 2, 3, 3, 3], 3), 3);
        assert_eq!(last(&[1, 1, 2, 3, 3, 3], 5), 2, "not one of the two of an endpoint");
        assert_eq!(last(&[1, 1, 2, 3, 3, 3], 2), 4, "but of one that has more");
        assert_eq!((last(&[1, 1, 2], 3), last(&[1, 1, 2], 9), last(&[], 9)), (0, 0, 0));
    }

    #[test]
    fn parts_have_whole_endpoints_and_nothing_is_missing() {
        let flows = |count: u64| -> Vec<Summary> {
            (0..count)
                .map(|id| {
                    flow(id, [ALICE, BOB, "10.0.0.3:5000"][usize::try_from(id % 3).unwrap()], SERVER, 17, 1)
                })
                .collect()
        };
        assert!(parts(Vec::new(), 10, usize::MAX).is_empty());
        assert_eq!(parts(flows(10), 10, usize::MAX).len(), 1);
        let made = parts(flows(30), 20, usize::MAX);
        assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [20, 10]);
        assert!(made.iter().all(|part| part.is_sorted_by_key(|flow| flow.id)));
        let mut ids: Vec<u64> = made.iter().flatten().map(|flow| flow.id).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..30));
        assert_eq!(parts(flows(30), 5, 10 << 10).len(), 3, "an endpoint is not divided");
        let divided = parts(flows(33), 100, 5 << 10);
        assert_eq!(divided.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 1, 5, 5, 1, 5, 5, 1]);
        assert!(divided.iter().flatten().map(|flow| flow.id).take(11).eq((0..11).map(|number| number * 3)));
        let mut calls = flows(30);
        calls[29].facts = Some(Box::new(Facts { sip: Some(Box::default()), ..Facts::default() }));
        let first = &parts(calls, 10, usize::MAX)[0];
        assert!(first.iter().all(|flow| flow.id % 3 == 2), "whose flows are of calls");
    }

    #[test]
    fn beyond_the_cap_the_longest_silent_goes_first() {
        let mut held = Held::new(2);
        held.push(vec![
            flow(1, ALICE, SERVER, 17, 10),
            flow(2, BOB, SERVER, 17, 5),
            flow(3, ALICE, SERVER, 6, 10),
        ]);
        let alive = [tuple(ALICE, SERVER, 17), tuple(BOB, SERVER, 17)];
        assert_eq!(ids(&silent(&mut held, 11, &alive)), [2]);
        assert_eq!((held.len(), held.released_early()), (2, 1));
    }

    /// Each time all endpoints are sorted.
    #[test]
    fn beyond_the_cap_an_eighth_goes_to_spare() {
        let of = |id: u64| {
            let time = i64::try_from(id).unwrap();
            flow(id, &format!("10.0.0.{id}:5000"), SERVER, 17, time)
        };
        let mut held = Held::new(16);
        held.push((0..16).map(of).collect());
        assert!(held.take_excess().is_empty(), "as many as may be");
        held.push(vec![of(16)]);
        assert_eq!(ids(&held.take_excess()), [0, 1, 2]);
        assert_eq!((held.len(), held.released_early()), (14, 3));
    }

    #[test]
    fn beyond_the_cap_who_has_no_call_and_no_named_connection_goes_first() {
        let mut held = Held::new(2);
        let [mut call, mut named] = [flow(1, ALICE, SERVER, 17, 5), flow(2, BOB, SERVER, 6, 6)];
        call.facts = Some(Box::new(Facts { stun: Some(Box::default()), ..Facts::default() }));
        named.facts = Some(Box::new(Facts { tls: Some(Box::default()), ..Facts::default() }));
        held.push(vec![call, named, flow(3, "10.0.0.3:5000", SERVER, 17, 10)]);
        assert_eq!(ids(&held.take_excess()), [3], "though it fell silent last");
        held.limit(1);
        assert_eq!(ids(&held.take_excess()), [2]);
    }

    #[test]
    fn time_that_runs_backwards_lets_nothing_go() {
        let mut held = Held::default();
        held.push(vec![flow(1, ALICE, SERVER, 17, 100)]);
        assert!(silent(&mut held, 50, &[]).is_empty());
    }

    #[test]
    fn an_endpoint_that_was_not_asked_for_stays() {
        let mut held = Held::default();
        held.push(vec![flow(1, ALICE, SERVER, 17, 100), flow(2, BOB, SERVER, 17, 100)]);
        let asked: HashSet<IpAddr> = HashSet::from(["10.0.0.2".parse().unwrap()]);
        assert_eq!(ids(&held.take_silent(at(5000), &Alive::asking(Arc::new(asked)))), [2]);
        assert_eq!(held.asked(at(5000)).len(), 1);
        assert!(held.asked(at(129)).is_empty());
    }
}
