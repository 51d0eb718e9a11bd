//! What records are judged by: borrowed for as long as a run lasts, or shared where a run that goes on has read it anew.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::Context;
use super::alert::Judging;
use crate::policy::{Groups, Policy};

/// A reference that may own what it refers to.
#[derive(Debug)]
pub(in super::super) enum Shared<'a, T: ?Sized> {
    Borrowed(&'a T),
    Owned(Arc<T>),
}

impl<T: ?Sized> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Self::Borrowed(known) => Self::Borrowed(known),
            Self::Owned(known) => Self::Owned(Arc::clone(known)),
        }
    }
}

impl<T: ?Sized> Deref for Shared<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Borrowed(known) => known,
            Self::Owned(known) => known,
        }
    }
}

impl<'a> Context<'a> {
    /// Judges every session by `policy` from now on.
    pub fn judge_by(&mut self, policy: &'a Policy, groups: &'a (dyn Groups + Send + Sync + 'static)) {
        self.judge_with(Shared::Borrowed(policy), Shared::Borrowed(groups));
    }

    /// Judges by another policy from now on: a run that goes on has read it anew. What fired before has fired.
    pub fn judge_anew(&mut self, policy: Arc<Policy>, groups: Arc<dyn Groups + Send + Sync>) {
        self.judge_with(Shared::Owned(policy), Shared::Owned(groups));
    }

    fn judge_with(&mut self, policy: Shared<'a, Policy>, groups: Shared<'a, dyn Groups + Send + Sync>) {
        let fired = self.fired();
        self.judging = Some(Judging { policy, groups, alerts: BTreeMap::new(), fired });
    }
}
