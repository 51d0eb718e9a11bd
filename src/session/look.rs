//! What the passes that put sessions together ask of each flow, asked in one look at it: the flows of a long capture do not fit into
//! any cache, and most of them have to do with no call. In: judged flows. Out: for each pass, the flows that it is about.

use super::{Judged, fallback, makes_a_call, rtcp};
use crate::classify::Role;
use crate::observe::Summary;
use crate::parallel::Threads;

/// Indexes of flows, in their order, by what they are looked at for.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// They stand for a call by themselves.
    pub(super) calls: Vec<usize>,
    /// To a relay, or they tell an address on one.
    pub(super) relays: Vec<usize>,
    /// They signal.
    pub(super) signalling: Vec<usize>,
    /// SIP was read in them.
    pub(super) sip: Vec<usize>,
    /// UDP in which RTP was read.
    pub(super) streams: Vec<usize>,
    /// UDP that carries RTCP and no RTP.
    pub(super) reports: Vec<usize>,
    /// TCP that is as busy as media.
    pub(super) busy: Vec<usize>,
    /// They go with a call of the same endpoint and app, where there is one.
    pub(super) companions: Vec<usize>,
}

impl Chosen {
    /// Looks at all flows.
    pub(super) fn of(flows: &[Judged], threads: Threads) -> Self {
        let mut all = Self::default();
        let look = |begin, piece: &[Judged]| {
            let mut chosen = Self::default();
            for (index, judged) in Summary::each_ahead(begin, piece, |judged| Some(&judged.flow)) {
                chosen.look(index, judged);
            }
            chosen
        };
        threads.in_order(flows, look, |piece| {
            all.append(piece);
        });
        all
    }

    fn look(&mut self, index: usize, judged: &Judged) {
        let role = judged.role();
        let put = |list: &mut Vec<usize>, fits: bool| {
            if fits {
                list.push(index);
            }
        };
        let named = judged.verdict.provider.is_some();
        // Of the signalling of no known app only SIP's is told from the web, by its port.
        put(&mut self.companions, named && matches!(role, Role::Dns | Role::Web) || role == Role::Signalling);
        put(&mut self.signalling, role == Role::Signalling);
        put(&mut self.calls, makes_a_call(judged));
        put(&mut self.busy, fallback::carries_media(judged));
        let facts = judged.flow.facts.as_deref();
        let stun = facts.and_then(|facts| facts.stun.as_deref());
        let tells = stun.is_some_and(|stun| stun.relays && !stun.relayed.is_empty());
        put(&mut self.relays, role == Role::Relay || tells);
        let Some(facts) = facts else { return };
        put(&mut self.sip, facts.sip.is_some());
        if facts.media.is_some() {
            put(&mut self.streams, rtcp::has_streams(judged));
            put(&mut self.reports, rtcp::is_rtcp(judged));
        }
    }

    fn append(&mut self, piece: Self) {
        let Self { calls, relays, signalling, sip, streams, reports, busy, companions } = piece;
        self.calls.extend(calls);
        self.relays.extend(relays);
        self.signalling.extend(signalling);
        self.sip.extend(sip);
        self.streams.extend(streams);
        self.reports.extend(reports);
        self.busy.extend(busy);
        self.companions.extend(companions);
    }
}

/// Flows with their indexes, of a list of indexes.
pub(super) fn at<'f>(flows: &'f [Judged], indexes: &'f [usize]) -> impl Iterator<Item = (usize, &'f Judged)> {
    ahead(flows, indexes, |index| Some(*index)).filter_map(|index| Some((*index, flows.get(*index)?)))
}

/// Goes over a list whose items are about flows, and asks for those that are come to soon: for each item the one whose index is told.
pub(super) fn ahead<'f, T>(
    flows: &'f [Judged],
    items: &'f [T],
    index_of: impl Fn(&T) -> Option<usize> + 'f,
) -> impl Iterator<Item = &'f T> {
    let flow = move |item: &T| Some(&flows.get(index_of(item)?)?.flow);
    Summary::each_ahead(0, items, flow).map(|(_, item)| item)
}

/// Call flows by endpoint and app.
#[derive(Debug)]
pub(super) struct Calls {
    /// Endpoint and app, in their order, and where their flows end in the list.
    ends: Vec<(super::Whose, usize)>,
    flows: Vec<usize>,
}

impl Calls {
    /// Of call flows in any order, some more than once.
    pub(super) fn of(mut made: Vec<(super::Whose, usize)>) -> Self {
        made.sort_unstable();
        made.dedup();
        let mut ends: Vec<(super::Whose, usize)> = Vec::new();
        for (place, (whose, _)) in made.iter().enumerate() {
            let end = place.saturating_add(1);
            match ends.last_mut() {
                Some(last) if last.0 == *whose => last.1 = end,
                _ => ends.push((*whose, end)),
            }
        }
        Self { ends, flows: made.into_iter().map(|(_, flow)| flow).collect() }
    }

    /// Each endpoint and app with its flows in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (super::Whose, &[usize])> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        begins
            .zip(&self.ends)
            .map(|(begin, (whose, end))| (*whose, self.flows.get(begin..*end).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn calls_are_those_of_each_endpoint_and_app_each_flow_once(
            made in prop::collection::vec((0_u8..4, prop::option::of(0_u16..3), 0_usize..12), 0..40),
        ) {
            let made: Vec<(super::super::Whose, usize)> =
                made.into_iter().map(|(end, app, flow)| (([10, 0, 0, end].into(), app), flow)).collect();
            let mut expected: BTreeMap<super::super::Whose, std::collections::BTreeSet<usize>> = BTreeMap::new();
            for (whose, flow) in &made {
                expected.entry(*whose).or_default().insert(*flow);
            }
            let calls = Calls::of(made);
            let found: Vec<(super::super::Whose, Vec<usize>)> =
                calls.iter().map(|(whose, flows)| (whose, flows.to_vec())).collect();
            let expected: Vec<_> =
                expected.into_iter().map(|(whose, flows)| (whose, flows.into_iter().collect::<Vec<_>>())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
