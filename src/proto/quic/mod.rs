//! Wire format: quic.
