//! Stage: fingerprint.
