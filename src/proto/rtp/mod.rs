//! Wire format: rtp.
