//! RTCP on a port of its own belongs to the RTP that it reports on. In: judged flows and the calls that they are in.
//!
//! RFC 3550 section 11: RTP has a port, RTCP the next. Whoever sends the first report opens the flow, so that its endpoint may
//! seem to be the gateway, and where reports are encrypted nothing in it says whose it is.

use std::net::SocketAddr;

use hashbrown::HashMap;

use super::look::{Chosen, at};
use super::{CALL_GAP, Judged, Whose};
use crate::flow::FiveTuple;

const UDP: u8 = 17;

/// Moves flows of RTCP to the calls of the RTP between the same two addresses, one port below at both.
pub(super) fn place(flows: &[Judged], chosen: &Chosen, made: &mut Vec<(Whose, usize)>) {
    let pairs = pairs(flows, chosen);
    if pairs.is_empty() {
        return;
    }
    let mut homes: HashMap<usize, Vec<Whose>> =
        pairs.iter().flat_map(|(reports, media)| [*reports, *media]).map(|flow| (flow, Vec::new())).collect();
    for (whose, flow) in made.iter() {
        if let Some(homes) = homes.get_mut(flow) {
            homes.push(*whose);
        }
    }
    // Flows that go elsewhere, with where.
    let mut moved: HashMap<usize, &[Whose]> = HashMap::new();
    for (reports, media) in pairs {
        let right = homes.get(&media).map(Vec::as_slice).unwrap_or_default();
        if !right.is_empty() {
            moved.insert(reports, right);
        }
    }
    made.retain(|(_, flow)| !moved.contains_key(flow));
    made.extend(moved.into_iter().flat_map(|(flow, homes)| homes.iter().map(move |whose| (*whose, flow))));
}

/// Flows of RTCP alone, each with the flow of RTP that it goes with.
fn pairs(flows: &[Judged], chosen: &Chosen) -> Vec<(usize, usize)> {
    if chosen.reports.is_empty() {
        return Vec::new();
    }
    let mut media: HashMap<(SocketAddr, SocketAddr), Vec<usize>> = HashMap::new();
    for (index, judged) in at(flows, &chosen.streams) {
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
    at(flows, &chosen.reports).filter_map(of).collect()
}

/// True for UDP in which RTP was read.
pub(super) fn has_streams(judged: &Judged) -> bool {
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
