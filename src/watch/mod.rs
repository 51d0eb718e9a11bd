//! Stage: a run on interfaces. In: packets as they come. Out: [`Told`](crate::report::Told)s: sessions, meetings and alerts as
//! they form, go on and end, flows as they end, and the counters of every second.
//!
//! A [`Worker`] is a thread that takes packets and has no time for anything else: what it has found goes as a [`Batch`] a second
//! through a queue that never makes it wait. One thread judges: a [`Judge`] holds what has ended until its endpoint falls silent, and
//! tells a [`Listener`]. Time is that of packets; a clock is read only to let it go on while none comes.

mod batch;
mod clock;
mod exchange;
mod holding;
mod judge;
mod live;
mod losses;
mod memory;
mod queue;
mod source;
mod steps;
mod stream;
mod totals;
mod worker;

pub use batch::{Batch, Last};
pub use exchange::Exchange;
pub use judge::{Ending, Judge, Listener, Setup};
pub use memory::{Budget, InUse, LEAST_MIB, in_use};
pub use queue::{Gone, Inbox, Outbox, queue};
pub use source::{InterfaceCount, Interfaces, Source};
pub use stream::{Each, Kept, KeptStream, Pace, Stream};
pub use totals::Totals;
pub use worker::{Question, Refresh, Worker};
