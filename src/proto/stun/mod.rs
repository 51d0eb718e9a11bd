//! Wire format: stun.
