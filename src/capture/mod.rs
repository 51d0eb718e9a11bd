//! Stage: capture.
