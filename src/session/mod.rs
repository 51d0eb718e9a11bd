//! Stage 6: flows to sessions. In: judged flows. Out: [`Session`], one endpoint's part in one call.
//!
//! A session is held together by its endpoint, its app and its time. Flows that only a call has (media, NAT
//! traversal, relays) make it; signalling and name resolution of the same app join it.

pub mod emodel;
mod endpoint;
mod quality;
mod server;
mod spans;
pub mod speech;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

pub use endpoint::{Sides, sides};
pub use quality::{Kinds, Quality, Way, quality};
pub use server::{NameSource, Server};
pub use spans::Spans;

use crate::classify::{Names, Role, Rules, Verdict};
use crate::flow::FiveTuple;
use crate::observe::Summary;
use crate::time::Timestamp;

/// Silence after which the next call flow of the same endpoint and app begins another session.
pub const CALL_GAP: Duration = Duration::from_secs(120);
/// How long before its first call flow a session's signalling may lie.
pub const SIGNALLING_LEAD: Duration = Duration::from_secs(300);

/// A flow with its verdict and its ends told apart.
#[derive(Debug)]
pub struct Judged {
    /// The flow.
    pub flow: Summary,
    /// What it is.
    pub verdict: Verdict,
    /// Which end is the endpoint's.
    pub sides: Sides,
}

impl Judged {
    /// What the flow does.
    pub fn role(&self) -> Role {
        self.verdict.role.unwrap_or(Role::Other)
    }
}

/// One endpoint's part in one call.
#[derive(Debug)]
pub struct Session {
    /// Number of the call flow that began it; unique within a run.
    pub id: u64,
    /// The endpoint.
    pub endpoint: IpAddr,
    /// The app, or `None` when media was seen that nobody claims.
    pub provider: Option<u16>,
    /// First packet of its first flow.
    pub start: Timestamp,
    /// Last packet of its last call flow.
    pub end: Timestamp,
    /// First packet of its first call flow.
    pub call_start: Timestamp,
    /// First packet of its first media flow.
    pub media_start: Option<Timestamp>,
    /// No signalling and no handshake was seen: the capture began after the call did.
    pub begun_mid_call: bool,
    /// How sure the app is: the best of its flows.
    pub confidence: f32,
    /// Indexes of its flows, in the order in which they began.
    pub flows: Vec<usize>,
    /// The other ends, by address.
    pub servers: Vec<Server>,
    /// What was received and sent.
    pub quality: Quality,
}

/// The endpoint and the app of a session.
type Whose = (IpAddr, Option<u16>);

/// Puts flows together, given in the order in which they began.
pub fn assemble(rules: &Rules, names: &Names, flows: &[Judged]) -> Vec<Session> {
    let mut calls: BTreeMap<Whose, Vec<usize>> = BTreeMap::new();
    for (index, judged) in flows.iter().enumerate() {
        if makes_a_call(judged) {
            calls.entry((judged.sides.local.ip(), judged.verdict.provider)).or_default().push(index);
        }
    }
    let companions = companions(flows, &calls);
    let mut sessions = Vec::new();
    for (whose, members) in calls {
        for cluster in clusters(flows, &members) {
            sessions.push(build(rules, names, flows, whose, companions.get(&whose), cluster));
        }
    }
    sessions.sort_by_key(|session| session.id);
    sessions
}

/// True for flows that stand for a call by themselves.
fn makes_a_call(judged: &Judged) -> bool {
    let facts = judged.flow.facts.as_deref();
    let invite = facts
        .and_then(|facts| facts.sip.as_ref())
        .is_some_and(|sip| sip.methods.iter().any(|(method, _)| method == "INVITE"));
    match judged.role() {
        Role::Media | Role::P2p | Role::Relay => {
            judged.verdict.provider.is_some() || facts.is_some_and(|facts| facts.media.is_some())
        }
        Role::Nat => judged.verdict.provider.is_some(),
        Role::Signalling => invite,
        Role::Web | Role::Dns | Role::Other => false,
    }
}

/// Splits flows (in order of their begin) where nothing of the call was heard for [`CALL_GAP`].
fn clusters(flows: &[Judged], members: &[usize]) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = Vec::new();
    let mut end: Option<Timestamp> = None;
    for index in members {
        let Some(judged) = flows.get(*index) else { continue };
        let joins = end.is_some_and(|end| judged.flow.start.since(end) <= CALL_GAP);
        match out.last_mut() {
            Some(cluster) if joins => cluster.push(*index),
            _ => out.push(vec![*index]),
        }
        end = Some(if joins { end.unwrap_or_default().max(judged.flow.end) } else { judged.flow.end });
    }
    out
}

fn build(
    rules: &Rules,
    names: &Names,
    flows: &[Judged],
    (endpoint, provider): Whose,
    companions: Option<&Spans<usize>>,
    mut members: Vec<usize>,
) -> Session {
    let call = |index: &usize| flows.get(*index);
    // By its call flows alone: two calls may share a signalling connection.
    let id = members.iter().filter_map(call).map(|judged| judged.flow.id).min().unwrap_or(0);
    let call_start =
        members.iter().filter_map(call).map(|judged| judged.flow.start).min().unwrap_or_default();
    let end = members.iter().filter_map(call).map(|judged| judged.flow.end).max().unwrap_or_default();
    let media_start = members
        .iter()
        .filter_map(call)
        .filter(|judged| matches!(judged.role(), Role::Media | Role::P2p))
        .map(|judged| judged.flow.start)
        .min();
    if let Some(companions) = companions {
        members.extend(companions.overlapping(call_start, end, SIGNALLING_LEAD));
    }
    members.sort_unstable();
    members.dedup();
    let chosen: Vec<&Judged> = members.iter().filter_map(|index| flows.get(*index)).collect();
    let prepared = chosen.iter().any(|judged| {
        matches!(judged.role(), Role::Signalling | Role::Nat | Role::Dns)
            || judged.flow.facts.as_deref().is_some_and(|facts| {
                facts.stun.is_some()
                    || facts.dtls.as_ref().is_some_and(|dtls| dtls.client_hello.is_some())
                    || facts.zoom.as_ref().is_some_and(|zoom| zoom.hellos > 0)
            })
    });
    Session {
        id,
        endpoint,
        provider,
        start: chosen.iter().map(|judged| judged.flow.start).min().unwrap_or(call_start),
        end,
        call_start,
        media_start,
        begun_mid_call: !prepared,
        confidence: chosen.iter().map(|judged| judged.verdict.confidence).fold(0.0, f32::max),
        servers: server::servers(rules, names, &chosen),
        quality: quality(&chosen),
        flows: members,
    }
}

/// Signalling, name resolution and web flows of the endpoints and apps that have calls.
fn companions(flows: &[Judged], calls: &BTreeMap<Whose, Vec<usize>>) -> BTreeMap<Whose, Spans<usize>> {
    let mut found: BTreeMap<Whose, Vec<(Timestamp, Timestamp, usize)>> = BTreeMap::new();
    for (index, judged) in flows.iter().enumerate() {
        let whose = (judged.sides.local.ip(), judged.verdict.provider);
        if whose.1.is_some()
            && matches!(judged.role(), Role::Signalling | Role::Dns | Role::Web)
            && calls.contains_key(&whose)
        {
            found.entry(whose).or_default().push((judged.flow.start, judged.flow.end, index));
        }
    }
    found.into_iter().map(|(whose, spans)| (whose, Spans::new(spans))).collect()
}

/// Originator and responder of a flow as (endpoint, other end).
pub(crate) const fn ends(tuple: &FiveTuple, local_is_source: bool) -> Sides {
    if local_is_source {
        Sides { local: tuple.source, remote: tuple.destination, local_is_source }
    } else {
        Sides { local: tuple.destination, remote: tuple.source, local_is_source }
    }
}
