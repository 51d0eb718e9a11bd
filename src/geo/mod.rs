//! Stage: geo.
