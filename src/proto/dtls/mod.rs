//! Wire format: DTLS 1.0, 1.2 and 1.3 (RFC 4347, 6347, 9147), connection ids (RFC 9146), and the version
//! before the standard that OpenSSL spoke (0x0100).
//!
//! In: one datagram at a time. Out: records, then handshake fragments, then whole messages through
//! [`Reassembler`]; hellos, alerts and certificates are the types of [`tls`](crate::proto::tls), whose
//! [`ClientHello::parse_datagram`](crate::proto::tls::ClientHello::parse_datagram) reads the cookie field.
//! With the secrets of a key log, [`exporter`] gives the SRTP keys. Not handled: decryption. Records of epoch 1 and later, and unified headers, are only counted; their
//! handshake content type says nothing about the ciphertext inside.

pub mod exporter;
mod handshake;
mod record;

pub use handshake::{
    Fragment, Fragments, HelloVerifyRequest, MAX_BUFFERED, MAX_MESSAGES, MAX_PIECES, Message, Reassembler,
};
pub use record::{PlainRecord, Record, Records, UnifiedRecord, goes_on, probe};
