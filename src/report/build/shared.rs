//! What records are judged by: borrowed for as long as a run lasts, or shared where a run that goes on has read it anew.

use std::ops::Deref;
use std::sync::Arc;

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
