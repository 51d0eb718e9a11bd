//! What a [`Pipeline`](super::Pipeline) is made by.

use super::{Numbering, Share};
use crate::decode;
use crate::flow::WAITING_BYTES;
use crate::observe::facts::Sampling;
use crate::proto::tls::keylog::MAX_SESSIONS as MAX_KEY_SESSIONS;

/// How to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Threads that work on packets at most, the caller's among them; 1 is that one alone, and so is any number where the others cannot
    /// be begun or work for another pipeline.
    pub threads: usize,
    /// Filter in libpcap's language, applied before decoding.
    pub filter: Option<String>,
    /// Most flows held at once.
    pub max_flows: usize,
    /// Most bytes that wait in all flows together, behind holes in TCP and in pictures that are not complete.
    pub max_waiting: usize,
    /// Most sessions whose secrets are kept of key logs.
    pub max_key_sessions: usize,
    /// The decoder's switches.
    pub decode: decode::Config,
    /// How much of media is kept for keys to be tried on.
    pub sampling: Sampling,
    /// The same once secrets are at hand, where `sampling` is not for such.
    pub sampling_with_secrets: Sampling,
    /// How packets are numbered.
    pub numbering: Numbering,
    /// Which packets are this pipeline's; none where all are.
    pub share: Option<Share>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 1,
            filter: None,
            max_flows: 1 << 20,
            max_waiting: WAITING_BYTES,
            max_key_sessions: MAX_KEY_SESSIONS,
            decode: decode::Config::default(),
            sampling: Sampling::default(),
            sampling_with_secrets: Sampling::SOME,
            numbering: Numbering::default(),
            share: None,
        }
    }
}
