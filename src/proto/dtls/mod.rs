//! Wire format: dtls.
