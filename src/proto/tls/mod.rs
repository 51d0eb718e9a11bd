//! Wire format: TLS 1.0 to 1.3 as an observer sees it (RFC 5246, 8446, 8449, 8879, 9849), and with a key log what is behind.
//!
//! In: one direction of a TCP stream, in order. Out: records, then handshake messages over many records,
//! then the parsed hellos, the certificate chain and alerts. The hellos are shared with DTLS and QUIC.
//! With secrets, [`opener::Opener`] opens protected records. Not handled: SSL 2.0 messages (only recognised), and checking of signatures.
//! A caller tells [`HandshakeAssembler::change_cipher_spec`] when such a record passes: what follows is
//! ciphertext that merely has the handshake content type, or in TLS 1.3 the second hello after a retry.

pub mod certificate;
mod cipher_suites;
mod client_hello;
mod extensions;
mod handshake;
pub mod keylog;
pub mod opener;
pub mod protection;
mod record;
mod registry;
mod server_hello;

pub use client_hello::{ClientHello, EncryptedClientHello};
pub use extensions::{Extension, Extensions};
pub use handshake::{Alert, EncryptedExtensions, HandshakeAssembler, MAX_MESSAGE_LENGTH, Message};
pub use record::{
    HELLO_SEARCH_LIMIT, MAX_FRAGMENT_LENGTH, Record, Records, find_hello, is_ssl2_client_hello, probe,
};
pub use registry::{
    AlertDescription, CipherSuite, ContentType, ExtensionType, HandshakeType, NamedGroup, ProtocolVersion,
    SignatureScheme, SrtpProfile, is_grease,
};
pub use server_hello::ServerHello;

#[cfg(test)]
pub(crate) mod vectors;
