//! Wire format: dns.
