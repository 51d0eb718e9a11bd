//! Stage: bytes to messages. Every parser here is pure: a slice in, a borrowed struct or a
//! [`crate::bytes::ParseError`] out. No clock, no log, no provider (except [`zoom`], a wire format).

pub mod demux;
pub mod dns;
pub mod dtls;
pub mod http;
pub mod quic;
pub mod rtcp;
pub mod rtp;
pub mod sip;
pub mod stun;
pub mod tls;
pub mod zoom;
