//! Stage: classify.
