//! The end of a table. In: the flows that it held. Out: each, ended, in the order in which they began.

use super::life::{EndReason, Ended, Flow};
use super::slots::Slots;

/// The flows of a table that takes no more packets, in the order in which they began.
#[derive(Debug)]
pub struct Leaving<S> {
    order: std::vec::IntoIter<(u64, usize)>,
    slots: Slots<Flow<S>>,
}

impl<S> Leaving<S> {
    pub(super) fn of(slots: Slots<Flow<S>>) -> Self {
        let mut order: Vec<(u64, usize)> = slots.iter().map(|(slot, flow)| (flow.id, slot)).collect();
        order.sort_unstable();
        Self { order: order.into_iter(), slots }
    }

    /// The flow that comes behind so many others; behind none, the next.
    pub fn coming(&self, others: usize) -> Option<&Flow<S>> {
        let (_, slot) = self.order.as_slice().get(others)?;
        self.slots.get(*slot)
    }

    /// Number in the run of the flow that comes next.
    pub fn next_id(&self) -> Option<u64> {
        self.order.as_slice().first().map(|(id, _)| *id)
    }
}

impl<S> Iterator for Leaving<S> {
    type Item = Ended<S>;

    fn next(&mut self) -> Option<Ended<S>> {
        let (_, slot) = self.order.next()?;
        if let Some((_, later)) = self.order.as_slice().get(2) {
            self.slots.fetch(*later);
        }
        self.slots.take(slot).map(|flow| Ended { flow, reason: EndReason::EndOfCapture })
    }
}
