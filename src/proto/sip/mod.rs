//! Wire format: sip.
