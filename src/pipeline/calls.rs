//! Flows of calls that go on, as they stand. In: looks at all flows that are alive. Out: summaries of those that make a call, and of
//! the others of their endpoints in which something was read: signalling may be among them.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashSet;

use super::live::endpoint_of;
use crate::classify::Nets;
use crate::flow::Flow;
use crate::observe::{CALL, Doubt, State, Summary, doubt, has_facts, snapshot};

/// Flows of calls that are told of while they go on: some thousand calls. Those beyond it are told when they have ended.
const CALLS: usize = 1 << 13;

/// Gathers the flows of calls, look by look.
#[derive(Debug)]
pub struct Calls {
    /// Flows of calls that are copied, and other flows of their endpoints: so many of each at most.
    most: usize,
    /// Endpoints of the calls of the last look: the others of their flows are found in the same pass.
    known: HashSet<IpAddr>,
    found: HashSet<IpAddr>,
    flows: Vec<Summary>,
    companions: Vec<Summary>,
    left_out: u64,
    /// Media in which nothing is read is known by where it goes.
    nets: Option<Arc<Nets>>,
}

impl Default for Calls {
    fn default() -> Self {
        let (known, found) = (HashSet::new(), HashSet::new());
        Self { most: CALLS, known, found, flows: Vec::new(), companions: Vec::new(), left_out: 0, nets: None }
    }
}

impl Calls {
    /// Copies at most so many flows of calls from now on, and as many others.
    pub const fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// Takes for a call's from now on what goes both ways to one of these, too.
    pub fn know(&mut self, nets: Arc<Nets>) {
        self.nets = Some(nets);
    }

    fn is_of_call(&self, flow: &Flow<State>) -> bool {
        flow.class >= CALL
            || match doubt(flow) {
                Doubt::None => false,
                Doubt::ByPattern => true,
                Doubt::ByAddress => {
                    let tuple = flow.tuple();
                    let holds = |nets: &Arc<Nets>| {
                        [tuple.source, tuple.destination].iter().any(|end| nets.holds(end.ip()))
                    };
                    self.nets.as_ref().is_some_and(holds)
                }
            }
    }

    /// Begins a look.
    pub(super) fn turn(&mut self) {
        std::mem::swap(&mut self.known, &mut self.found);
        self.found.clear();
        self.flows.clear();
        self.companions.clear();
        self.left_out = 0;
    }

    /// Looks at a flow.
    pub(super) fn take(&mut self, flow: &Flow<State>) {
        if self.is_of_call(flow) {
            if self.flows.len() >= self.most {
                self.left_out = self.left_out.saturating_add(1);
                return;
            }
            let summary = snapshot(flow);
            self.found.insert(endpoint_of(&summary));
            self.flows.push(summary);
        } else {
            self.accompany(flow);
        }
    }

    /// True when a call began of which the others of its endpoint's flows have not been found.
    pub(super) fn has_news(&mut self) -> bool {
        if self.found.is_subset(&self.known) {
            return false;
        }
        self.known.clone_from(&self.found);
        self.companions.clear();
        true
    }

    /// Looks at a flow that may be of an endpoint of a call.
    pub(super) fn accompany(&mut self, flow: &Flow<State>) {
        if self.known.is_empty() || !has_facts(flow) || self.companions.len() >= self.most {
            return;
        }
        let tuple = flow.tuple();
        let is_known =
            self.known.contains(&tuple.source.ip()) || self.known.contains(&tuple.destination.ip());
        if is_known && !self.is_of_call(flow) {
            self.companions.push(snapshot(flow));
        }
    }

    /// Takes what the last look gave, and how many flows of calls it left out.
    pub fn take_found(&mut self) -> (Vec<Summary>, u64) {
        let mut flows = std::mem::take(&mut self.flows);
        flows.append(&mut self.companions);
        (flows, self.left_out)
    }
}
