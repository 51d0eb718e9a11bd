//! What handshakes show: TLS, QUIC, DTLS, certificates.

use std::net::IpAddr;
use std::sync::Arc;

use compact_str::CompactString;

use super::{Few, Ja4};
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::time::Timestamp;

/// A TLS handshake, as far as it is in the clear. RFC 8446, RFC 5246.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// `server_name` of the ClientHello, lower case, hostile bytes escaped.
    pub sni: Option<CompactString>,
    /// Protocols offered by the client.
    pub alpn: Arc<[CompactString]>,
    /// Protocol chosen by the server (visible up to TLS 1.2; later with a key log).
    pub alpn_chosen: Option<CompactString>,
    /// Version chosen, or the highest offered when no ServerHello was seen; wire value.
    pub version: Option<u16>,
    /// True when `version` was chosen by a ServerHello.
    pub version_chosen: bool,
    /// Cipher suite chosen; wire value.
    pub cipher_suite: Option<u16>,
    /// Key exchange group chosen; wire value.
    pub group: Option<u16>,
    /// Extensions of the ServerHello in the order of the wire, GREASE left out.
    pub server_extensions: Box<[u16]>,
    /// JA3 of the ClientHello.
    pub ja3: Option<[u8; 16]>,
    /// JA3S of the ServerHello.
    pub ja3s: Option<[u8; 16]>,
    /// JA4 of the ClientHello.
    pub ja4: Option<Ja4>,
    /// An `encrypted_client_hello` extension stood in the ClientHello (GREASE included).
    pub ech: bool,
    /// The older `encrypted_server_name` stood in it.
    pub esni: bool,
    /// Packet that completed the ClientHello.
    pub client_hello: Option<PacketRef>,
    /// Packet that completed the ServerHello.
    pub server_hello: Option<PacketRef>,
    /// Session resumed (echoed session id or accepted PSK).
    pub resumed: bool,
    /// Alerts seen in the clear: (level, description).
    pub alerts: Few<(u8, u8)>,
    /// Server certificates, leaf first (up to TLS 1.2; later with a key log, unless they are compressed).
    pub certificates: Few<Certificate>,
    /// `ClientHellos` seen on this flow (more than one after a `HelloRetryRequest`).
    pub client_hellos: u32,
}

impl Tls {
    /// The name that the client asked for, unless it is an address, which RFC 6066 section 3 forbids and some do.
    pub fn asked_name(&self) -> Option<&str> {
        self.sni.as_deref().filter(|name| name.parse::<IpAddr>().is_err())
    }
}

/// A certificate as it was shown in one handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What it says; the same certificate is read once and shared.
    pub body: Arc<CertificateBody>,
    /// Packet that completed the message.
    pub packet: PacketRef,
}

impl std::ops::Deref for Certificate {
    type Target = CertificateBody;

    fn deref(&self) -> &CertificateBody {
        &self.body
    }
}

/// What a certificate says, in the words of RFC 5280.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateBody {
    /// Common name of the subject.
    pub subject_cn: Option<String>,
    /// Organisation of the subject.
    pub subject_o: Option<String>,
    /// Common name of the issuer.
    pub issuer_cn: Option<String>,
    /// Organisation of the issuer.
    pub issuer_o: Option<String>,
    /// DNS names of the subject alternative name.
    pub dns_names: Vec<String>,
    /// Seconds since the epoch.
    pub not_before: i64,
    /// Seconds since the epoch.
    pub not_after: i64,
    /// DNS names that were left out, there being too many.
    pub dns_names_left_out: usize,
    /// Algorithm of the public key, as `rsaEncryption` or `ecPublicKey secp256r1`.
    pub key_algorithm: String,
    /// Size of the public key in bits.
    pub key_bits: Option<u32>,
    /// Algorithm of the signature, as `sha256WithRSAEncryption`.
    pub signature_algorithm: String,
    /// Subject equals issuer.
    pub self_signed: bool,
    /// SHA-256 of the DER bytes, hex.
    pub sha256: String,
}

/// What is visible of a QUIC connection. RFC 9000, RFC 9001, RFC 9369.
#[derive(Debug, Clone, Default)]
pub struct Quic {
    /// Name of the version, as in `v1`, `draft-29`, `Q046`.
    pub version: Option<CompactString>,
    /// Versions offered in a Version Negotiation packet.
    pub negotiated: Vec<String>,
    /// Destination connection id of the first Initial, hex.
    pub dcid: Option<CompactString>,
    /// Source connection id of the first Initial, hex.
    pub scid: Option<CompactString>,
    /// Initial packets whose AEAD tag verified.
    pub initials_verified: u32,
    /// Initial packets whose tag did not verify.
    pub initials_failed: u32,
    /// A Retry was seen, and whether its tag verified.
    pub retry: Option<bool>,
    /// Google QUIC's own handshake: user agent id.
    pub user_agent: Option<String>,
    /// First packet that was taken for QUIC.
    pub packet: PacketRef,
}

/// A DTLS handshake, as far as it is in the clear. RFC 6347, RFC 9147, RFC 5764.
#[derive(Debug, Clone, Default)]
pub struct Dtls {
    /// Version chosen or offered; wire value (`0xfefd` is 1.2).
    pub version: Option<u16>,
    /// True when `version` was chosen by a ServerHello.
    pub version_chosen: bool,
    /// `use_srtp` profiles offered.
    pub srtp_offered: Vec<u16>,
    /// `use_srtp` profile chosen (visible up to DTLS 1.2).
    pub srtp_chosen: Option<u16>,
    /// Cipher suite chosen; wire value.
    pub cipher_suite: Option<u16>,
    /// Key exchange group chosen; wire value.
    pub group: Option<u16>,
    /// `server_name`, rare in DTLS.
    pub sni: Option<CompactString>,
    /// Protocols offered.
    pub alpn: Vec<String>,
    /// JA3 of the ClientHello.
    pub ja3: Option<[u8; 16]>,
    /// JA4 of the ClientHello.
    pub ja4: Option<Ja4>,
    /// Which way the ClientHello went.
    pub client: Option<Direction>,
    /// Packet of the ClientHello.
    pub client_hello: Option<PacketRef>,
    /// Packet of the ServerHello.
    pub server_hello: Option<PacketRef>,
    /// Certificates of the DTLS server.
    pub server_certificates: Vec<Certificate>,
    /// Certificates of the DTLS client.
    pub client_certificates: Vec<Certificate>,
    /// Records of any kind, in both directions.
    pub records: u32,
    /// Application data records: a data channel, or media inside DTLS.
    pub application_data: u32,
    /// First DTLS packet.
    pub packet: PacketRef,
    /// Its time.
    pub at: Timestamp,
}
