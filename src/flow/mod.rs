//! Stage: flow.
