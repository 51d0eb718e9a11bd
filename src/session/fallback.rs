//! Media that fell back from UDP to TLS over TCP: nothing of it can be read, but how much there is of it.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::look::{Chosen, at};
use super::{CALL_GAP, Judged, Whose};
use crate::classify::Role;
use crate::flow::FiveTuple;
use crate::time::Timestamp;

/// Packets a second, each way, that control traffic does not reach over its whole life and media does.
const PACE: f64 = 12.0;
/// Seconds for which that must be so.
const SECONDS: f64 = 5.0;

/// Payloads a second, each way, of a call of sound alone at the least: one in 100 ms.
const STEADY: f64 = 10.0;

const TCP: u8 = 6;

/// True for a TCP connection that is as busy as media, both ways, all along.
pub(super) fn carries_media(judged: &Judged) -> bool {
    let flow = &judged.flow;
    let FiveTuple { protocol, .. } = flow.tuple;
    let seconds = flow.end.since(flow.start).as_secs_f64();
    protocol == TCP
        && seconds >= SECONDS
        && flow.packets.iter().all(|packets| pace(*packets, seconds) >= PACE)
        && matches!(judged.role(), Role::Signalling | Role::Media | Role::Relay | Role::Web | Role::Other)
}

/// True for a flow whose inside is hidden, with payloads both ways as of a call, all along.
pub(super) fn is_steady(judged: &Judged) -> bool {
    let pace = judged.flow.facts.as_deref().and_then(|facts| facts.pace.as_deref());
    let ways = pace.map(|pace| [pace.forward, pace.reverse]).into_iter().flatten();
    pace.is_some()
        && ways.into_iter().all(|way| {
            let seconds = way.seconds();
            seconds >= SECONDS && f64::from(way.packets) / seconds >= STEADY
        })
}

fn pace(packets: u64, seconds: f64) -> f64 {
    f64::from(u32::try_from(packets).unwrap_or(u32::MAX)) / seconds
}

/// A UDP media flow: whose, from when to when.
type Span = (Whose, Timestamp, Timestamp);

/// TCP flows that took over the media of a UDP flow: to the same server, begun while it ran or soon after, and still there
/// when it had ended.
pub(super) fn fallbacks(flows: &[Judged], chosen: &Chosen, calls: &[(Whose, usize)]) -> Vec<(Whose, usize)> {
    if chosen.busy.is_empty() {
        return Vec::new();
    }
    let mut media: HashMap<(IpAddr, IpAddr), Vec<Span>> = HashMap::new();
    for (whose, index) in calls {
        let Some(judged) = flows.get(*index).filter(|judged| judged.role() == Role::Media) else { continue };
        if judged.flow.tuple.protocol != TCP {
            let ends = (judged.sides().local.ip(), judged.sides().remote.ip());
            media.entry(ends).or_default().push((*whose, judged.flow.start, judged.flow.end));
        }
    }
    let mut found = Vec::new();
    for (index, judged) in at(flows, &chosen.busy) {
        let ends = (judged.sides().local.ip(), judged.sides().remote.ip());
        let (start, end) = (judged.flow.start, judged.flow.end);
        let took_over = |(whose, from, to): &&Span| {
            let app = judged.verdict.provider;
            (app.is_none() || app == whose.1) && start > *from && start.since(*to) <= CALL_GAP && end > *to
        };
        let from = media.get(&ends).and_then(|spans| spans.iter().rev().find(took_over));
        found.extend(from.map(|(whose, ..)| (*whose, index)));
    }
    found
}
