//! Stage: flow.

pub mod reassembly;
