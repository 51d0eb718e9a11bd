//! What the making of records remembers of those that were written, for a run that goes on later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Context;
use super::meeting::Told;

/// To be written down.
#[derive(Debug, Serialize)]
pub struct KeptContext<'c> {
    sessions: &'c BTreeMap<u64, Told>,
    fired: bool,
}

/// The same as it was read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    sessions: BTreeMap<u64, Told>,
    fired: bool,
}

impl Context<'_> {
    /// What has to be known of sessions that were written, and whether a rule has fired.
    pub fn kept(&self) -> KeptContext<'_> {
        KeptContext { sessions: &self.told, fired: self.fired() }
    }

    /// Goes on with what an earlier run knew.
    pub fn restore(&mut self, kept: Kept) {
        let Kept { sessions, fired } = kept;
        self.told = sessions;
        if let Some(judging) = &mut self.judging {
            judging.fired = fired;
        }
    }
}
