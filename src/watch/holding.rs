//! What has ended, until it can be judged. In: ended flows, and which endpoints have flows that are alive. Out: the analysis of those
//! that are over. A run on interfaces and one over captures judge by this alike.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::classify::Rules;
use crate::keys::Analysis;
use crate::observe::Summary;
use crate::parallel::Threads;
use crate::pipeline::{self, Alive, Held, Memory};
use crate::report::Written;
use crate::time::Timestamp;

use super::memory::{self, Budget, Keeper};

/// Flows that are judged together, about; those of one endpoint always are.
const PART: usize = 1 << 12;

/// Holds what has ended, and remembers what judging needs of what was judged before.
#[derive(Debug, Default)]
pub(super) struct Holding {
    pub(super) memory: Memory,
    pub(super) held: Held,
    /// Flows alone are asked for, and which are together.
    pub(super) flows_alone: bool,
    /// What was judged so far.
    pub(super) written: Written,
}

impl Holding {
    /// Holds and remembers no more than a budget has room for.
    pub(super) fn within(&mut self, budget: Budget) {
        self.held.limit(budget.held());
        self.memory.meetings.limit(budget.sessions());
        self.memory.names.limit(budget.names());
    }

    /// Takes flows that have ended.
    pub(super) fn take(&mut self, ended: Vec<Summary>) {
        self.learn(&ended);
        self.held.push(ended);
    }

    /// A name may be asked for by one endpoint and used by another that is let go first.
    pub(super) fn learn(&mut self, ended: &[Summary]) {
        for flow in ended {
            self.memory.names.learn(flow);
        }
    }

    /// Lets go the flows of endpoints that are silent at `now`, where it is known who is alive, and of those for which there is no
    /// room; in the order in which they began.
    pub(super) fn release(&mut self, now: Timestamp, alive: Option<&Alive>) -> Vec<Summary> {
        let mut over = alive.map(|alive| self.held.take_silent(now, alive)).unwrap_or_default();
        over.append(&mut self.held.take_excess());
        over.sort_by_key(|flow| flow.id);
        over
    }

    /// Lets go everything, with `last`, the flows that the end has ended.
    pub(super) fn release_all(&mut self, last: Vec<Summary>) -> Vec<Summary> {
        std::mem::take(&mut self.held).finish(last)
    }

    /// Flows that are over with those that are held of the same endpoints, in the order in which they began.
    pub(super) fn with_held(&mut self, mut over: Vec<Summary>) -> Vec<Summary> {
        self.learn(&over);
        let endpoints: BTreeSet<IpAddr> = over.iter().map(pipeline::endpoint_of).collect();
        over.append(&mut self.held.take_of(&endpoints));
        over.sort_by_key(|flow| flow.id);
        over
    }

    /// Divides flows that are over into parts each of which is [judged](Self::judge) by itself: of whole endpoints, but for one that has
    /// more than there is room for.
    pub(super) fn parts(over: Vec<Summary>, keeper: Option<&Keeper>) -> Vec<Vec<Summary>> {
        if over.is_empty() {
            return Vec::new();
        }
        let room = keeper.map_or(usize::MAX, |keeper| keeper.room(memory::used()));
        pipeline::parts(over, PART, room)
    }

    /// Judges one part.
    pub(super) fn judge(&mut self, rules: &Rules, part: Vec<Summary>) -> Analysis {
        let analysis = if self.flows_alone {
            pipeline::analyse_flows(rules, &mut self.memory, part, Threads::ONE)
        } else {
            pipeline::analyse(rules, &mut self.memory, part, Threads::ONE)
        };
        self.written.add(&analysis);
        analysis
    }
}
