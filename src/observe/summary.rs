//! A flow that has ended, as later stages see it.

use std::ops::{Deref, DerefMut};

use super::PacketRef;
use super::facts::Facts;
use crate::fetch::fetch;
use crate::flow::FiveTuple;
use crate::time::Timestamp;

/// How a flow came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// Both sides sent FIN.
    Fin,
    /// RST.
    Reset,
    /// No packet for its idle timeout.
    Idle,
    /// The flow table was full.
    Evicted,
    /// The capture ended while it was alive.
    EndOfCapture,
}

/// How a flow came to its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Beginning {
    /// A TCP handshake, or the first datagram of a protocol that shows its beginning.
    Seen,
    /// TCP without its SYN: the capture began mid-connection.
    MidConnection,
    /// A datagram flow whose protocol does not show where it begins.
    Unknown,
}

/// One ended flow: small to move, since of many flows it is put from one list to the next.
#[derive(Debug, Clone)]
pub struct Summary(Box<Outline>);

impl Summary {
    /// Goes over a list that begins at index `begin`, each with its index, and asks for what is known of the flows that are come to soon.
    /// A list of flows is larger than any cache, and each step to what hangs from a flow would wait in turn.
    #[inline]
    pub(crate) fn each_ahead<'a, T>(
        begin: usize,
        list: &'a [T],
        flow_of: impl Fn(&'a T) -> Option<&'a Self>,
    ) -> impl Iterator<Item = (usize, &'a T)> {
        list.iter().enumerate().map(move |(place, item)| {
            Self::approach(|ahead| list.get(place.saturating_add(ahead)).and_then(&flow_of));
            (begin.saturating_add(place), item)
        })
    }

    /// Asks for flows that are `at` so many places ahead.
    #[inline]
    fn approach<'a>(at: impl Fn(usize) -> Option<&'a Self>) {
        const FAR: usize = 6;
        const NEAR: usize = 4;
        const NEXT: usize = 2;
        if let Some(flow) = at(FAR) {
            fetch(&*flow.0);
        }
        if let Some(facts) = at(NEAR).and_then(|flow| flow.0.facts.as_deref()) {
            fetch(facts);
        }
        if let Some(facts) = at(NEXT).and_then(|flow| flow.0.facts.as_deref()) {
            facts.approach();
        }
    }
}

impl From<Outline> for Summary {
    fn from(outline: Outline) -> Self {
        Self(Box::new(outline))
    }
}

impl Deref for Summary {
    type Target = Outline;

    fn deref(&self) -> &Outline {
        &self.0
    }
}

impl DerefMut for Summary {
    fn deref_mut(&mut self) -> &mut Outline {
        &mut self.0
    }
}

/// What is known of an ended flow.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "put together where a flow ends")]
pub struct Outline {
    /// Number in the run of its first packet; unique.
    pub id: u64,
    /// Its first packet, as file and frame.
    pub first_packet: PacketRef,
    /// Originator, responder, protocol.
    pub tuple: FiveTuple,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Time of the latest packet.
    pub end: Timestamp,
    /// Packets forward and reverse.
    pub packets: [u64; 2],
    /// Frame bytes forward and reverse.
    pub bytes: [u64; 2],
    /// Payload bytes forward and reverse, as the transport's headers declare them; what TCP sent twice counts twice.
    pub payload: [u64; 2],
    /// Outer headers of its first packet, written out; `None` when there were none.
    pub path: Option<Box<str>>,
    /// How it began.
    pub beginning: Beginning,
    /// How it ended.
    pub ending: Ending,
    /// What was seen inside.
    pub facts: Option<Box<Facts>>,
}

#[cfg(test)]
impl Outline {
    /// A flow of a packet of which nothing is known, for tests to say what they are about.
    pub(crate) fn plain(id: u64, tuple: FiveTuple) -> Self {
        Self {
            id,
            first_packet: PacketRef::new(0, id),
            tuple,
            start: Timestamp::default(),
            end: Timestamp::default(),
            packets: [1, 0],
            bytes: [60, 0],
            payload: [18, 0],
            path: None,
            beginning: Beginning::Unknown,
            ending: Ending::Idle,
            facts: None,
        }
    }
}
