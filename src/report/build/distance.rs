//! Places that packet timing contradicts. In: the quickest answers of a session's servers and of its endpoint, and where databases
//! and hints place them. Out: a bound on each server's distance, and the places that cannot be right.
//!
//! Light takes a millisecond for 150 km and back, so that who answers in 2 ms is within 300 km of the capture point. Where that is the
//! user may say (`--site`). Otherwise places are held against each other: two that are further apart than both bounds together
//! cannot both be right. Which one is wrong is said only where the endpoint's own place and another, of different networks, agree
//! among themselves and contradict it, and fewer agree with it: of networks that serve the whole world, databases tell where they
//! are registered, so that two of them may well agree and be wrong.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::record::{
    AgainstRecord, ContradictedRecord, DistanceFrom, DistanceRecord, PacketNumber, PlaceClaim, PlaceRecord,
    ServerRecord,
};
use super::session::flows;
use super::{Context, milli};
use crate::classify::Role;
use crate::geo::{self, Confidence, Country, LocatedIn};
use crate::keys::Analysis;
use crate::observe::facts::{Answered, Quickest};
use crate::session::Session;
use crate::time::Timestamp;
pub(super) use told::findings;

/// Others that it takes to call one of them the odd one out, the endpoint among them.
const OPPOSERS: usize = 2;
/// Places that are held against each other, the endpoint's and those of who answered it soonest: more than a call has.
const WITNESSES: usize = 64;
/// Pairs of endpoint and server whose answers are remembered; beyond it, only those of a session's own flows count.
const PAIRS: usize = 1 << 18;
/// Those named as contradicting one place.
const NAMED: usize = 4;
/// A step of the clock from which on it is told: below it adds two kilometres at most.
const TOLD_STEP_NS: u64 = 10_000;

/// The quickest answers of a session.
#[derive(Default)]
struct Timing {
    /// Of servers.
    servers: BTreeMap<IpAddr, Quickest>,
    /// Of the endpoint.
    endpoint: Quickest,
    /// Of servers that told the endpoint its public address: the way to them and back led past who has that address.
    past_public: Quickest,
}

impl Timing {
    fn of(analysis: &Analysis, session: &Session, public: Option<IpAddr>) -> Self {
        let own = session.own();
        let mut timing = Self::default();
        for judged in flows(analysis, session).filter(|judged| judged.role() != Role::Dns) {
            let Some(facts) = judged.flow.facts.as_deref() else { continue };
            let Some(answers) = facts.answers.as_deref() else { continue };
            let sides = judged.seen_from(|ip| own.contains(&ip));
            let (theirs, ours) = if sides.local_is_source {
                (&answers.responder, &answers.originator)
            } else {
                (&answers.originator, &answers.responder)
            };
            timing.servers.entry(sides.remote.ip()).or_default().join(theirs);
            timing.endpoint.join(ours);
            let mapped = facts.stun.iter().flat_map(|stun| &stun.mapped);
            if mapped.into_iter().any(|(address, _)| Some(address.ip()) == public) && sides.local_is_source {
                timing.past_public.join(theirs);
            }
        }
        timing
    }
}

/// The quickest answers to each endpoint of a run, whatever they belong to.
#[derive(Debug, Default)]
pub(super) struct Nearby {
    /// Number of flows, first and last of them: of which analysis.
    of: Option<(usize, u64, u64)>,
    pairs: BTreeMap<(IpAddr, IpAddr), Quickest>,
}

impl Nearby {
    /// Takes the flows of an analysis, unless they are those that it has.
    pub(super) fn attend(&mut self, analysis: &Analysis) {
        let ends = analysis.flows.first().zip(analysis.flows.last());
        let of = ends.map(|(first, last)| (analysis.flows.len(), first.flow.id, last.flow.id));
        if self.of == of {
            return;
        }
        self.of = of;
        self.pairs.clear();
        for judged in analysis.flows.iter().filter(|judged| judged.role() != Role::Dns) {
            let Some(answers) = judged.flow.facts.as_deref().and_then(|facts| facts.answers.as_deref())
            else {
                continue;
            };
            let sides = judged.sides();
            let theirs = if sides.local_is_source { &answers.responder } else { &answers.originator };
            let pair = (sides.local.ip(), sides.remote.ip());
            if theirs.first.is_some() && (self.pairs.len() < PAIRS || self.pairs.contains_key(&pair)) {
                self.pairs.entry(pair).or_default().join(theirs);
            }
        }
    }

    /// Who answered an endpoint, the soonest first.
    fn of(&self, endpoint: IpAddr) -> Vec<(IpAddr, Quickest)> {
        let mut found: Vec<(IpAddr, Quickest)> = self
            .pairs
            .range((endpoint, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))..)
            .take_while(|((local, _), _)| *local == endpoint)
            .map(|((_, remote), quickest)| (*remote, *quickest))
            .collect();
        found.sort_by_key(|(remote, quickest)| (bounding_ns(quickest), *remote));
        found
    }
}

/// The time that bounds a distance, in nanoseconds: of the two quickest answers the slower, lest a clock that was set between two
/// packets decide, and the step of the clock.
fn bounding_ns(quickest: &Quickest) -> Option<u64> {
    let answer = quickest.second.or(quickest.first)?;
    Some(answer.nanos.saturating_add(clock_step_ns(&answer)))
}

/// The step of the clock that is added to a bound, in milliseconds, where it is long enough to be told.
fn told_step_ms(quickest: &Quickest) -> Option<f64> {
    let answer = quickest.second.or(quickest.first)?;
    let step = clock_step_ns(&answer);
    (step >= TOLD_STEP_NS).then(|| ms(step))
}

/// The step of the clock that stamped an exchange: as many zeros as both times end in, or the 15.625 ms of older Windows drivers.
fn clock_step_ns(answer: &Answered) -> u64 {
    /// 64 steps a second, and how far from a whole number of them two stamps of such a clock can be.
    const TICK: u64 = 15_625_000;
    const OFF: u64 = 60_000;
    let off = answer.nanos.checked_rem(TICK).unwrap_or(0);
    if answer.nanos > OFF && off.min(TICK.saturating_sub(off)) < OFF {
        return TICK;
    }
    let mut step = 1_i64;
    let ends_in_zeros = |step: i64| {
        let whole = |time: i64| time.checked_rem(step) == Some(0);
        whole(answer.asked_at.as_nanos()) && i64::try_from(answer.nanos).is_ok_and(whole)
    };
    while step < 1_000_000_000 && ends_in_zeros(step.saturating_mul(10)) {
        step = step.saturating_mul(10);
    }
    step.unsigned_abs()
}

/// Somebody with a place and a bound.
struct Witness {
    address: IpAddr,
    country: Country,
    /// Database and date.
    source: String,
    km_at_most: u32,
    packet: Option<PacketNumber>,
    is_endpoint: bool,
}

impl Witness {
    /// Addresses of one network are one witness: a database places them together.
    fn network(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & 0xffff_0000).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !(u128::MAX >> 32)).into()),
        }
    }

    /// Kilometres between the countries, at least, where they are further apart than both bounds allow.
    fn excludes(&self, country: Country, km_at_most: u32) -> Option<u32> {
        let least = geo::km_at_least(self.country, country)?;
        (least > self.km_at_most.saturating_add(km_at_most)).then_some(least)
    }

    fn told(&self) -> AgainstRecord {
        AgainstRecord {
            ip: Some(self.address.to_string()),
            country: self.country,
            source: self.source.clone(),
            packet: self.packet,
        }
    }
}

/// A claim on the place of a server.
struct Claim {
    kind: PlaceClaim,
    source: String,
    date: String,
    country: Country,
}

/// Writes down how far away each server can be, and which places that contradicts.
pub(super) fn judge(
    context: &Context<'_>,
    analysis: &Analysis,
    session: &Session,
    public: Option<IpAddr>,
    endpoint: &LocatedIn,
    servers: &mut [ServerRecord],
) {
    let timing = Timing::of(analysis, session, public);
    let site = site(context, session, &timing);
    for (server, record) in session.servers.iter().zip(servers.iter_mut()) {
        let Some(quickest) = timing.servers.get(&server.address) else { continue };
        let Some(distance) = distance(context, quickest, site.as_ref()) else { continue };
        record.place.distance = Some(Box::new(distance));
    }
    let witnesses = witnesses(context, session, (&timing, public, endpoint));
    for (server, record) in session.servers.iter().zip(servers.iter_mut()) {
        contradict(server.address, &mut record.place, site.as_ref(), &witnesses);
    }
}

/// Who has a place and answered: the endpoint, and those that it spoke to at any time.
fn witnesses(
    context: &Context<'_>,
    session: &Session,
    (timing, public, endpoint): (&Timing, Option<IpAddr>, &LocatedIn),
) -> Vec<Witness> {
    let mut witnesses = Vec::new();
    // Only whose own address is public has a place of its own; else that of who translates it.
    let (address, quickest) = match public {
        Some(address) => (address, &timing.past_public),
        None => (session.endpoint, &timing.endpoint),
    };
    if let Some(nanos) = bounding_ns(quickest) {
        let own = witness(address, endpoint, geo::km_at_most(nanos), None);
        witnesses.extend(own.map(|own| Witness { is_endpoint: true, ..own }));
    }
    let mut answered: Vec<(IpAddr, Quickest)> = context.nearby.of(session.endpoint);
    answered.truncate(WITNESSES);
    for (address, quickest) in answered {
        let (Some(nanos), Some(first)) = (bounding_ns(&quickest), quickest.first) else { continue };
        let place = context.place(address, session.start);
        // Behind a front end there are many places, and an anycast address has as many.
        if place.network.is_some() {
            continue;
        }
        let packet = Some(context.packet(first.answered));
        witnesses.extend(witness(address, &place.located_in, geo::km_at_most(nanos), packet));
    }
    witnesses
}

/// The country that is known, what says so, and how far from it the capture point can be, in kilometres.
struct Site {
    country: Country,
    source: &'static str,
    km_off: u32,
}

fn site(context: &Context<'_>, session: &Session, timing: &Timing) -> Option<Site> {
    if let Some(country) = context.capture_point {
        return Some(Site { country, source: "--site", km_off: 0 });
    }
    // A policy says where an endpoint is; the capture point is as far from there as the endpoint's own answers allow.
    let sites = context.judging.as_ref()?.policy.sites();
    let country = sites.country_of(session.endpoint)?;
    if session.addresses.iter().any(|used| sites.country_of(used.ip).is_some_and(|other| other != country)) {
        return None;
    }
    let km_off = geo::km_at_most(bounding_ns(&timing.endpoint)?);
    Some(Site { country, source: "the policy's site", km_off })
}

fn distance(context: &Context<'_>, quickest: &Quickest, site: Option<&Site>) -> Option<DistanceRecord> {
    let first = quickest.first?;
    let nanos = bounding_ns(quickest)?;
    Some(DistanceRecord {
        rtt_ms: ms(first.nanos),
        next_rtt_ms: quickest.second.map(|next| ms(next.nanos)),
        clock_step_ms: told_step_ms(quickest),
        packet: context.packet(first.answered),
        asked: context.packet(first.asked),
        how: first.exchange,
        km_at_most: geo::km_at_most(nanos),
        km_in_fibre: geo::km_in_fibre(nanos),
        from: DistanceFrom::CapturePoint,
        site: site.map(|site| site.country),
        contradicts: Vec::new(),
        incompatible: Vec::new(),
    })
}

fn ms(nanos: u64) -> f64 {
    milli(
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
            .since(Timestamp::default())
            .as_secs_f64()
            * 1e3,
    )
}

/// Nobody whose databases disagree, or say that it is in many places, speaks against another.
fn witness(
    address: IpAddr,
    place: &LocatedIn,
    km_at_most: u32,
    packet: Option<PacketNumber>,
) -> Option<Witness> {
    let country = place.country.filter(|_| !place.disagreement && !place.anycast)?;
    let answer = place.answers.iter().find(|answer| answer.country == Some(country))?;
    let source = format!("database {} of {}", answer.database, answer.date);
    Some(Witness { address, country, source, km_at_most, packet, is_endpoint: false })
}

fn claims(place: &PlaceRecord) -> Vec<Claim> {
    if place.located_in.anycast {
        return Vec::new();
    }
    let answers = place.located_in.answers.iter().filter_map(|answer| {
        let (source, date) = (answer.database.clone(), answer.date.clone());
        Some(Claim { kind: PlaceClaim::Database, source, date, country: answer.country? })
    });
    let hints = place.hints.iter().filter(|hint| !hint.unchecked).map(|hint| {
        let (source, date) = (hint.source.clone(), hint.date.clone());
        Claim { kind: hint.kind, source, date, country: hint.country }
    });
    answers.chain(hints).collect()
}

fn contradict(address: IpAddr, place: &mut PlaceRecord, site: Option<&Site>, witnesses: &[Witness]) {
    let claims = claims(place);
    let Some(distance) = &mut place.distance else { return };
    let mut is_low = false;
    for claim in claims {
        let km = distance.km_at_most;
        let record = |km_at_least, km_at_most, by| ContradictedRecord {
            claim: claim.kind,
            source: claim.source.clone(),
            date: claim.date.clone(),
            country: claim.country,
            km_at_least,
            km_at_most,
            by,
        };
        if let Some(site) = site {
            // What the user says of the place decides alone.
            let allowed = km.saturating_add(site.km_off);
            let least = geo::km_at_least(site.country, claim.country).filter(|least| *least > allowed);
            if let Some(least) = least {
                let source = site.source.to_owned();
                let by = AgainstRecord { ip: None, country: site.country, source, packet: None };
                distance.contradicts.push(record(least, allowed, vec![by]));
                is_low |= place.located_in.country == Some(claim.country);
            }
            continue;
        }
        let opposed = Opposed::of(address, claim.country, km, witnesses);
        let Some((first, least)) = opposed.by.first() else { continue };
        let told = record(
            *least,
            km.saturating_add(first.km_at_most),
            opposed.by.iter().take(NAMED).map(|(by, _)| by.told()).collect(),
        );
        if opposed.is_odd_one_out() {
            distance.contradicts.push(told);
            is_low |= place.located_in.country == Some(claim.country);
        } else {
            distance.incompatible.push(told);
        }
    }
    if is_low && place.located_in.confidence > Confidence::Low {
        place.located_in.confidence = Confidence::Low;
    }
}

/// Those who contradict a claim and agree among themselves.
struct Opposed<'w> {
    by: Vec<(&'w Witness, u32)>,
    /// Networks that contradict it.
    networks: usize,
    /// The endpoint does.
    by_endpoint: bool,
    /// Networks that cannot be placed rightly where those are, the claim's own with them.
    allies: usize,
}

impl<'w> Opposed<'w> {
    fn of(address: IpAddr, country: Country, km: u32, witnesses: &'w [Witness]) -> Self {
        let own = Witness {
            address,
            country,
            source: String::new(),
            km_at_most: km,
            packet: None,
            is_endpoint: false,
        };
        let others = witnesses
            .iter()
            .filter(|other| other.network() != own.network())
            .filter_map(|other| Some((other, other.excludes(country, km)?)));
        // The group that agrees with the first: the endpoint, where it contradicts, since without it nothing is decided.
        let mut by: Vec<(&Witness, u32)> = Vec::new();
        for (other, least) in others {
            if by.iter().all(|(held, _)| held.excludes(other.country, other.km_at_most).is_none()) {
                by.push((other, least));
            }
        }
        let mut allies: BTreeSet<IpAddr> = BTreeSet::from([own.network()]);
        let against = |ally: &Witness| {
            by.iter().any(|(held, _)| held.excludes(ally.country, ally.km_at_most).is_some())
        };
        allies.extend(witnesses.iter().filter(|ally| against(ally)).map(Witness::network));
        let by_endpoint = by.iter().any(|(held, _)| held.is_endpoint);
        Self { networks: networks(&by), by_endpoint, by, allies: allies.len() }
    }

    const fn is_odd_one_out(&self) -> bool {
        self.by_endpoint && self.networks >= OPPOSERS && self.networks > self.allies
    }
}

fn networks(group: &[(&Witness, u32)]) -> usize {
    group.iter().map(|(held, _)| held.network()).collect::<BTreeSet<_>>().len()
}

/// What is said behind a place that timing contradicts.
pub(super) fn is_contradicted(place: &PlaceRecord) -> bool {
    place.located_in.country.is_some_and(|country| place.is_refuted(country))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::PacketRef;

    fn answered(asked_at: i64, nanos: u64) -> Quickest {
        let asked = PacketRef::new(0, 1);
        let first = Answered {
            nanos,
            asked_at: Timestamp::from_nanos(asked_at),
            asked,
            answered: PacketRef::new(0, 2),
            exchange: crate::observe::facts::Exchange::TcpHandshake,
        };
        Quickest { first: Some(first), second: None }
    }

    #[test]
    fn the_step_of_a_clock_is_added_and_told_where_it_counts() {
        // A clock of microseconds; one of 10 ms; a round trip that is two steps of 15.625 ms but for 2 microseconds.
        for (asked_at, nanos, step, told) in [
            (1_000_123_457_000, 31_153_000, 1_000, None),
            (1_000_120_000_000, 30_000_000, 10_000_000, Some(10.0)),
            (1_000_123_457_000, 31_252_000, 15_625_000, Some(15.625)),
        ] {
            let quickest = answered(asked_at, nanos);
            assert_eq!(bounding_ns(&quickest), Some(nanos + step));
            assert_eq!(told_step_ms(&quickest), told);
        }
    }
}
