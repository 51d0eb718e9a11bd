//! Stage: packets to flows. In: five-tuples with packet time and length. Out: per-flow counters, a state of
//! the caller's choosing, and the flow itself when it ends.
//!
//! This stage knows no protocol: what a flow *is* lives in the state `S` that later stages attach to it.

pub mod key;
mod leaving;
mod life;
pub mod reassembly;
mod slots;
pub mod table;
mod waiting;
mod wheel;

pub use key::{Direction, FiveTuple, Key};
pub use leaving::Leaving;
pub use life::{Early, EndReason, Ended, Flow};
pub use table::{Limits, Packet, Table, TableStats};
pub use waiting::{GivenUp, WAITING_BYTES, Wait, Waiting};
