//! One flow and how it ends. In: packets that a table counts into it. Out: what it was when it is over.

use std::time::Duration;

use super::key::{FiveTuple, Key};
use crate::time::Timestamp;

/// What later stages count of the first payloads of a flow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Early {
    /// Payloads each way, up to a number that is the later stage's.
    pub payloads: [u8; 2],
    /// First byte of the latest of them.
    pub first_bytes: [u8; 2],
}

/// One flow: counters that every packet moves, and the state of later stages.
///
/// With many flows each line of a cache that a packet touches is waited for. The order is that of the declaration: what each packet
/// asks comes first, with the first words of the state, so that a packet of a known flow touches two lines of the three.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Flow<S> {
    /// Time of its latest packet.
    pub last: Timestamp,
    /// Direction-free key.
    pub key: Key,
    pub(super) originator_is_low: bool,
    /// set by later stages: 0 goes first when the table is full, 255 last.
    pub class: u8,
    pub(super) idle_timeout_s: u32,
    /// For later stages, which ask it of each packet.
    pub early: Early,
    /// Packets forward and reverse.
    pub packets: [u64; 2],
    /// Frame bytes forward and reverse, as on the wire.
    pub bytes: [u64; 2],
    /// Payload bytes forward and reverse; what TCP sent twice counts twice.
    pub payload: [u64; 2],
    /// What later stages know of it.
    pub state: S,
    pub(super) generation: u32,
    /// Number in the run of the packet that began it; unique within a run.
    pub id: u64,
    /// Time of its first packet.
    pub start: Timestamp,
}

impl<S> Flow<S> {
    /// Originator, responder, protocol.
    pub fn tuple(&self) -> FiveTuple {
        self.key.tuple(self.originator_is_low)
    }

    /// Ports of originator and responder.
    pub const fn ports(&self) -> [u16; 2] {
        self.key.ports(self.originator_is_low)
    }

    /// Swaps originator and responder (a SYN-ACK came first, say), with the counters.
    pub fn swap_originator(&mut self) {
        self.originator_is_low = !self.originator_is_low;
        self.packets.reverse();
        self.bytes.reverse();
        self.payload.reverse();
    }

    /// Sets the idle time after which this flow ends.
    pub fn set_idle_timeout(&mut self, timeout: Duration) {
        self.idle_timeout_s = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
    }

    /// Idle time after which this flow ends.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_timeout_s))
    }

    /// When to look whether it has gone idle, should no packet come.
    pub(super) fn due(&self) -> Timestamp {
        self.last.plus(self.idle_timeout()).plus(Duration::from_secs(1))
    }

    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        now.since(self.last) > self.idle_timeout()
    }
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// No packet for its idle timeout.
    Idle,
    /// The table was full.
    Evicted,
    /// The capture ended.
    EndOfCapture,
}

/// A flow that has ended.
#[derive(Debug)]
pub struct Ended<S> {
    /// The flow.
    pub flow: Flow<S>,
    /// Why it ended.
    pub reason: EndReason,
}
