//! Wire format: tls.
