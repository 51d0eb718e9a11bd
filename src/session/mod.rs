//! Stage: session.
