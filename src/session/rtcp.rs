//! RTCP on a port of its own belongs to the RTP that it reports on. In: judged flows and the calls that they are in.
//!
//! RFC 3550 section 11: RTP has a port, RTCP the next. Whoever sends the first report opens the flow, so that its endpoint may
//! seem to be the gateway, and where reports are encrypted nothing in it says whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use hashbrown::HashMap;

use super::{CALL_GAP, Judged, Whose};
use crate::flow::FiveTuple;

const UDP: u8 = 17;

/// Moves flows of RTCP to the calls of the RTP between the same two addresses, one port below at both.
pub(super) fn place(flows: &[Judged], calls: &mut BTreeMap<Whose, Vec<usize>>) {
    let pairs = pairs(flows);
    if pairs.is_empty() {
        return;
    }
    let mut homes: HashMap<usize, BTreeSet<Whose>> = HashMap::new();
    for (whose, members) in calls.iter() {
        for index in members {
            homes.entry(*index).or_default().insert(*whose);
        }
    }
    for (reports, media) in pairs {
        let Some(right) = homes.get(&media) else { continue };
        for whose in homes.get(&reports).into_iter().flatten().filter(|whose| !right.contains(*whose)) {
            if let Some(members) = calls.get_mut(whose) {
                members.retain(|index| *index != reports);
            }
        }
        for whose in right {
            calls.entry(*whose).or_default().push(reports);
        }
    }
    calls.retain(|_, members| !members.is_empty());
}

/// Flows of RTCP alone, each with the flow of RTP that it goes with.
fn pairs(flows: &[Judged]) -> Vec<(usize, usize)> {
    let mut media: HashMap<(SocketAddr, SocketAddr), Vec<usize>> = HashMap::new();
    for (index, judged) in flows.iter().enumerate().filter(|(_, judged)| has_streams(judged)) {
        let FiveTuple { source, destination, .. } = judged.flow.tuple;
        media.entry(ordered(source, destination)).or_default().push(index);
    }
    let of = |(index, judged): (usize, &Judged)| {
        let FiveTuple { source, destination, .. } = judged.flow.tuple;
        let (source, destination) = (port_below(source)?, port_below(destination)?);
        let near = |other: &&usize| {
            let (one, two) = (flows.get(**other), &judged.flow);
            one.is_some_and(|one| {
                two.start.since(one.flow.end) <= CALL_GAP && one.flow.start.since(two.end) <= CALL_GAP
            })
        };
        let found = media.get(&ordered(source, destination))?.iter().rev().find(near)?;
        Some((index, *found))
    };
    flows.iter().enumerate().filter(|(_, judged)| is_rtcp(judged)).filter_map(of).collect()
}

fn has_streams(judged: &Judged) -> bool {
    let media = judged.flow.facts.as_deref().and_then(|facts| facts.media.as_ref());
    judged.flow.tuple.protocol == UDP && media.is_some_and(|media| !media.streams.is_empty())
}

/// True for a flow that carries RTCP and no RTP.
pub(super) fn is_rtcp(judged: &Judged) -> bool {
    let media = judged.flow.facts.as_deref().and_then(|facts| facts.media.as_ref());
    judged.flow.tuple.protocol == UDP
        && media.is_some_and(|media| media.streams.is_empty() && media.rtcp_packets > 0)
}

/// The same address, one port below.
pub(super) fn port_below(mut address: SocketAddr) -> Option<SocketAddr> {
    address.set_port(address.port().checked_sub(1).filter(|port| *port > 0)?);
    Some(address)
}

fn ordered(one: SocketAddr, two: SocketAddr) -> (SocketAddr, SocketAddr) {
    (one.min(two), one.max(two))
}
