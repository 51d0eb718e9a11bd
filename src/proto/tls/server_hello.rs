//! `ServerHello` and `HelloRetryRequest`, RFC 8446 §4.1.3, RFC 5246 §7.4.1.3.
//!
//! In: the body of the handshake message, of TLS, DTLS or QUIC. Out: a borrowed view. The drafts 18 to 21 of
//! TLS 1.3, which left fields out, are read too.

use crate::bytes::{ParseError, Reader};

use super::extensions::{Extensions, alpn_names, integer, vector_u16};
use super::registry::{CipherSuite, ExtensionType, NamedGroup, ProtocolVersion, SrtpProfile};

/// SHA-256 of "HelloRetryRequest": the random that marks one (RFC 8446 §4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A parsed ServerHello that borrows from the message.
#[derive(Debug, Clone, Copy)]
pub struct ServerHello<'a> {
    legacy_version: ProtocolVersion,
    random: &'a [u8],
    session_id: &'a [u8],
    cipher_suite: CipherSuite,
    compression_method: u8,
    extensions: Extensions<'a>,
    oddity: Option<ParseError>,
}

impl<'a> ServerHello<'a> {
    /// Reads the body of a ServerHello.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when a field does not fit. Damage inside the extension block is no error:
    /// see [`ServerHello::oddity`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let legacy_version = ProtocolVersion(reader.u16("server version")?);
        let random = reader.take(32, "server random")?;
        // Up to draft 21 of TLS 1.3 there was neither a session id nor a compression method.
        let is_short = legacy_version.0 >> 8 == 0x7f;
        let session_id = if is_short {
            &[]
        } else {
            let length = reader.u8("session id length")?;
            reader.take(length.into(), "session id")?
        };
        let cipher_suite = CipherSuite(reader.u16("cipher suite")?);
        let compression_method = if is_short { 0 } else { reader.u8("compression method")? };
        let extensions = Extensions::parse(&mut reader)?;
        let oddity = extensions.walk(|_| ());
        Ok(Self { legacy_version, random, session_id, cipher_suite, compression_method, extensions, oddity })
    }

    /// The version field of old, 0x0303 in TLS 1.3.
    pub const fn legacy_version(&self) -> ProtocolVersion {
        self.legacy_version
    }

    /// The version chosen: `supported_versions` when there, else the legacy field.
    pub fn version(&self) -> ProtocolVersion {
        let chosen = self.extensions.find(ExtensionType::SUPPORTED_VERSIONS).and_then(integer);
        chosen.map_or(self.legacy_version, ProtocolVersion)
    }

    /// True for a `HelloRetryRequest`, which is a ServerHello with a fixed random.
    pub fn is_hello_retry_request(&self) -> bool {
        self.random == RETRY_RANDOM
    }

    /// 32 random bytes.
    pub const fn random(&self) -> &'a [u8] {
        self.random
    }

    /// The session id; in TLS 1.3 an echo of the client's.
    pub const fn session_id(&self) -> &'a [u8] {
        self.session_id
    }

    /// The chosen suite.
    pub const fn cipher_suite(&self) -> CipherSuite {
        self.cipher_suite
    }

    /// The chosen compression; 0 is none.
    pub const fn compression_method(&self) -> u8 {
        self.compression_method
    }

    /// All extensions in wire order.
    pub const fn extensions(&self) -> Extensions<'a> {
        self.extensions
    }

    /// The error that ended the walk through a damaged extension block.
    pub const fn oddity(&self) -> Option<ParseError> {
        self.oddity
    }

    /// The chosen application protocol; only up to TLS 1.2, later it is encrypted.
    pub fn alpn(&self) -> Option<&'a [u8]> {
        self.extensions.find(ExtensionType::ALPN).and_then(|data| alpn_names(data).next())
    }

    /// The group of `key_share`: chosen, or in a retry request asked for.
    pub fn key_share_group(&self) -> Option<NamedGroup> {
        self.extensions.find(ExtensionType::KEY_SHARE).and_then(integer).map(NamedGroup)
    }

    /// The chosen SRTP profile (RFC 5764 §4.1.1); in DTLS 1.3 it is encrypted.
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        let data = self.extensions.find(ExtensionType::USE_SRTP)?;
        integer(vector_u16(data)).map(SrtpProfile)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;
    use crate::proto::tls::vectors;

    fn rfc8448() -> &'static [u8] {
        &vectors::SERVER_HELLO_RECORD[9..]
    }

    #[test]
    fn rfc8448_server_hello_reads_as_the_rfc_says() {
        let hello = ServerHello::parse(rfc8448()).unwrap();
        assert_eq!(hello.legacy_version(), ProtocolVersion::TLS_1_2);
        assert_eq!(hello.version(), ProtocolVersion::TLS_1_3);
        assert_eq!(hello.cipher_suite().to_string(), "TLS_AES_128_GCM_SHA256");
        assert_eq!(hello.key_share_group(), Some(NamedGroup::X25519));
        assert!(!hello.is_hello_retry_request());
        assert_eq!((hello.alpn(), hello.srtp_profile(), hello.oddity()), (None, None, None));
        assert_eq!(hello.compression_method(), 0);
    }

    #[test]
    fn retry_request_is_known_by_its_random() {
        let mut body = rfc8448().to_vec();
        body[2..34].copy_from_slice(&RETRY_RANDOM);
        assert!(ServerHello::parse(&body).unwrap().is_hello_retry_request());
        // The constant is SHA-256 of the name, which ties it to the RFC's own explanation.
        let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(b"HelloRetryRequest").into();
        assert_eq!(digest, RETRY_RANDOM);
    }

    #[test]
    fn every_prefix_is_truncated_or_has_no_extensions() {
        let body = rfc8448();
        for end in (0..body.len()).filter(|end| *end != 38) {
            assert!(ServerHello::parse(&body[..end]).unwrap_err().is_truncated(), "prefix of {end}");
        }
        assert_eq!(ServerHello::parse(&body[..38]).unwrap().version(), ProtocolVersion::TLS_1_2);
    }

    #[test]
    fn chosen_srtp_profile_and_alpn_are_read() {
        let mut body = rfc8448()[..38].to_vec();
        body.extend([0, 20, 0, 14, 0, 5, 0, 2, 0, 7, 0, 0, 16, 0, 7, 0, 5, 4, b'w', b'r', b't', b'c']);
        let hello = ServerHello::parse(&body).unwrap();
        assert_eq!(hello.srtp_profile(), Some(SrtpProfile::AEAD_AES_128_GCM));
        assert_eq!(hello.alpn(), Some(&b"wrtc"[..]));
    }

    #[test]
    fn draft_18_without_session_id_is_read() {
        let mut body = vec![0x7f, 0x12];
        body.extend([5; 32]);
        body.extend([0x13, 0x01, 0, 0]);
        let hello = ServerHello::parse(&body).unwrap();
        assert_eq!(hello.cipher_suite().0, 0x1301);
        assert!(hello.version().is_1_3());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..160)) {
            if let Ok(hello) = ServerHello::parse(&body) {
                let _ = (hello.version(), hello.alpn(), hello.key_share_group(), hello.srtp_profile());
            }
        }

        #[test]
        fn near_a_hello_all_that_is_read_lies_in_it(
            body in near([
                rfc8448().to_vec(),
                [&rfc8448()[..38], &[0, 20, 0, 14, 0, 5, 0, 2, 0, 7, 0, 0, 16, 0, 7, 0, 5, 4, b'w', b'r', b't', b'c']].concat(),
            ]),
        ) {
            if let Ok(hello) = ServerHello::parse(&body) {
                let _ = (hello.version(), hello.key_share_group(), hello.srtp_profile(), hello.oddity());
                prop_assert!(hello.alpn().is_none_or(|name| body.windows(name.len().max(1)).any(|part| part.starts_with(name))));
            }
        }
    }
}
