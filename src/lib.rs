//! meetscope: which app, who with, over which servers, how well, how encrypted, and in whose
//! jurisdiction sit the servers that could hold the keys.
//!
//! The modules are listed in the order that data flows; an arrow only points up the list.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::string_slice,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        reason = "tests count on small known numbers"
    )
)]

// Blank lines keep the formatter from sorting them: this is the pipeline, in the order that data flows.
pub mod bytes;
pub mod disk;
mod fetch;
pub mod parallel;
pub mod time;

pub mod crypto;

pub mod capture;

pub mod decode;

pub mod flow;

pub mod proto;

pub mod fingerprint;

pub mod observe;

pub mod classify;

pub mod session;

pub mod keys;

pub mod servers;

pub mod geo;

pub mod policy;

pub mod report;

pub mod pipeline;

pub mod watch;

pub mod sink;

pub mod board;

pub mod metrics;

pub mod web;

pub mod tui;

pub mod sandbox;
