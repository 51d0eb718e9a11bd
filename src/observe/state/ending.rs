//! What is left of a flow. In: a [`Flow`] with its state, ended or as it stands. Out: its [`Summary`].

use super::{State, TCP, Work};
use crate::fetch::fetch;
use crate::flow::{EndReason, Flow};
use crate::observe::facts::Facts;
use crate::observe::summary::{Beginning, Ending, Outline, Summary};

/// Asks for what is read of a flow that will end soon.
pub fn approach(flow: &Flow<State>) {
    match &flow.state.work {
        Work::Datagrams(work) => fetch(&**work),
        Work::Stream(work) => fetch(&**work),
        Work::Fresh | Work::Done => {}
    }
    if let Some(facts) = flow.state.facts.as_deref() {
        fetch(facts);
    }
}

/// Asks for what hangs from that which [`approach`] asked for a while before.
pub fn approach_further(flow: &Flow<State>) {
    if let Work::Datagrams(work) = &flow.state.work {
        work.approach();
    }
}

/// What is left of a flow when it has ended.
pub fn summarise(flow: Flow<State>, reason: EndReason) -> Summary {
    let head = Head::of(&flow, reason);
    let state = flow.state;
    let mut facts = state.facts;
    if let Some(facts) = &mut facts {
        match state.work {
            Work::Datagrams(work) => work.finish(facts),
            Work::Stream(work) => work.finish(facts),
            Work::Fresh | Work::Done => {}
        }
        facts.pace = state.pace.filter(|_| facts.media.as_ref().is_none_or(|media| media.streams.is_empty()));
    }
    head.with(facts, state.path)
}

/// What is known by now of a flow that goes on: as if the capture ended here, but without what a key log opened.
pub fn snapshot(flow: &Flow<State>) -> Summary {
    let state = &flow.state;
    let mut facts = state.facts.clone();
    if let Some(facts) = &mut facts {
        match &state.work {
            Work::Datagrams(work) => work.tell(facts),
            Work::Stream(work) => work.tell(facts),
            Work::Fresh | Work::Done => {}
        }
        if facts.media.as_ref().is_none_or(|media| media.streams.is_empty()) {
            facts.pace.clone_from(&state.pace);
        }
    }
    Head::of(flow, EndReason::EndOfCapture).with(facts, state.path.clone())
}

/// A summary before its facts.
struct Head {
    outline: Outline,
    has_syn: bool,
}

impl Head {
    fn of(flow: &Flow<State>, reason: EndReason) -> Self {
        let state = &flow.state;
        let ending = match reason {
            _ if state.seen.reset => Ending::Reset,
            _ if state.seen.fins == [true, true] => Ending::Fin,
            EndReason::Idle => Ending::Idle,
            EndReason::Evicted => Ending::Evicted,
            EndReason::EndOfCapture => Ending::EndOfCapture,
        };
        let outline = Outline {
            id: flow.id,
            first_packet: state.first_packet,
            tuple: flow.tuple(),
            start: flow.start,
            end: flow.last,
            packets: flow.packets,
            bytes: flow.bytes,
            payload: flow.payload,
            path: None,
            beginning: Beginning::Unknown,
            ending,
            facts: None,
        };
        Self { outline, has_syn: state.seen.syn }
    }

    fn with(self, facts: Option<Box<Facts>>, path: Option<Box<str>>) -> Summary {
        let facts = facts.filter(|facts| !facts.is_empty());
        let begun = facts.as_deref().is_some_and(Facts::shows_a_beginning);
        let beginning = match (self.outline.tuple.protocol == TCP, self.has_syn) {
            (true, true) => Beginning::Seen,
            (true, false) => Beginning::MidConnection,
            (false, _) if begun => Beginning::Seen,
            (false, _) => Beginning::Unknown,
        };
        Outline { path, beginning, facts, ..self.outline }.into()
    }
}
