//! `ClientHello`, shared by TLS (RFC 8446 §4.1.2), DTLS (RFC 9147 §5.3) and QUIC.
//!
//! In: the body of the handshake message. Out: a borrowed view; the extension block is walked once, and the
//! bodies of the extensions that others ask for are remembered. List accessors skip nothing: GREASE values
//! come out too, with [`is_grease`](super::is_grease) to tell them. Not handled: decryption of ECH.

use crate::bytes::{ParseError, Reader};

use super::extensions::{Extension, Extensions, alpn_names, integers, vector_u8, vector_u16};
use super::registry::{
    CipherSuite, ExtensionType, NamedGroup, ProtocolVersion, SignatureScheme, SrtpProfile, is_grease,
};

/// A parsed ClientHello that borrows from the message.
#[derive(Debug, Clone, Copy)]
pub struct ClientHello<'a> {
    legacy_version: ProtocolVersion,
    random: &'a [u8],
    session_id: &'a [u8],
    dtls_cookie: Option<&'a [u8]>,
    cipher_suites: &'a [u8],
    compression_methods: &'a [u8],
    extensions: Extensions<'a>,
    known: Known<'a>,
    oddity: Option<ParseError>,
}

/// Bodies of the extensions that accessors read; the first of each type counts.
#[derive(Debug, Clone, Copy, Default)]
struct Known<'a> {
    server_name: Option<&'a [u8]>,
    alpn: Option<&'a [u8]>,
    supported_versions: Option<&'a [u8]>,
    supported_groups: Option<&'a [u8]>,
    key_share: Option<&'a [u8]>,
    signature_algorithms: Option<&'a [u8]>,
    ec_point_formats: Option<&'a [u8]>,
    use_srtp: Option<&'a [u8]>,
    ech: Option<&'a [u8]>,
    cookie: Option<&'a [u8]>,
    session_ticket: Option<&'a [u8]>,
    quic_transport_parameters: Option<&'a [u8]>,
    has_esni: bool,
    has_pre_shared_key: bool,
    has_early_data: bool,
}

impl<'a> Known<'a> {
    fn note(&mut self, extension: Extension<'a>) {
        let place = match extension.kind {
            ExtensionType::SERVER_NAME => &mut self.server_name,
            ExtensionType::ALPN => &mut self.alpn,
            ExtensionType::SUPPORTED_VERSIONS => &mut self.supported_versions,
            ExtensionType::SUPPORTED_GROUPS => &mut self.supported_groups,
            ExtensionType::KEY_SHARE => &mut self.key_share,
            ExtensionType::SIGNATURE_ALGORITHMS => &mut self.signature_algorithms,
            ExtensionType::EC_POINT_FORMATS => &mut self.ec_point_formats,
            ExtensionType::USE_SRTP => &mut self.use_srtp,
            ExtensionType::ENCRYPTED_CLIENT_HELLO => &mut self.ech,
            ExtensionType::COOKIE => &mut self.cookie,
            ExtensionType::SESSION_TICKET => &mut self.session_ticket,
            ExtensionType::QUIC_TRANSPORT_PARAMETERS | ExtensionType::QUIC_TRANSPORT_PARAMETERS_DRAFT => {
                &mut self.quic_transport_parameters
            }
            other => {
                self.has_esni |= other == ExtensionType::ENCRYPTED_SERVER_NAME;
                self.has_pre_shared_key |= other == ExtensionType::PRE_SHARED_KEY;
                self.has_early_data |= other == ExtensionType::EARLY_DATA;
                return;
            }
        };
        place.get_or_insert(extension.data);
    }
}

/// The `encrypted_client_hello` extension, RFC 9849 §5. Browsers also send one filled with random bytes
/// (GREASE ECH), which an observer cannot tell from a real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptedClientHello {
    /// The form that is seen on a wire: the true server name is in an encrypted inner hello.
    Outer {
        /// HPKE key derivation function, IANA "HPKE KDF Identifiers".
        kdf: u16,
        /// HPKE cipher, IANA "HPKE AEAD Identifiers".
        aead: u16,
        /// Which configuration of the server the client used.
        config_id: u8,
        /// Length of the encapsulated key in bytes; 0 in the second hello after a retry.
        enc_length: u16,
        /// Length of the encrypted inner hello in bytes.
        payload_length: u16,
    },
    /// The marker inside an inner hello; on a wire only in clear by mistake.
    Inner,
    /// The extension is there, its body is not as specified.
    Malformed,
}

impl EncryptedClientHello {
    fn parse(data: &[u8]) -> Self {
        match Reader::new(data).u8("ech type") {
            Ok(0) => Self::outer(data).unwrap_or(Self::Malformed),
            Ok(1) if data.len() == 1 => Self::Inner,
            _ => Self::Malformed,
        }
    }

    fn outer(data: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(data);
        reader.u8("ech type")?;
        let kdf = reader.u16("ech kdf")?;
        let aead = reader.u16("ech aead")?;
        let config_id = reader.u8("ech config id")?;
        let enc_length = reader.u16("ech enc length")?;
        reader.take(enc_length.into(), "ech enc")?;
        let payload_length = reader.u16("ech payload length")?;
        reader.take(payload_length.into(), "ech payload")?;
        Ok(Self::Outer { kdf, aead, config_id, enc_length, payload_length })
    }
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a ClientHello of TLS, or of a QUIC CRYPTO stream.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when a field does not fit. Damage inside the extension block is no error:
    /// see [`ClientHello::oddity`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(body, false)
    }

    /// Reads the body of a ClientHello of DTLS, which has a cookie field (RFC 6347 §4.2.1).
    ///
    /// # Errors
    /// As [`ClientHello::parse`].
    pub fn parse_datagram(body: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(body, true)
    }

    fn read(body: &'a [u8], is_datagram: bool) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let legacy_version = ProtocolVersion(reader.u16("client version")?);
        let random = reader.take(32, "client random")?;
        let length = reader.u8("session id length")?;
        let session_id = reader.take(length.into(), "session id")?;
        let dtls_cookie = if is_datagram {
            let length = reader.u8("cookie length")?;
            Some(reader.take(length.into(), "cookie")?)
        } else {
            None
        };
        let length = reader.u16("cipher suites length")?;
        let cipher_suites = reader.take(length.into(), "cipher suites")?;
        let length = reader.u8("compression methods length")?;
        let compression_methods = reader.take(length.into(), "compression methods")?;
        let extensions = Extensions::parse(&mut reader)?;
        let mut known = Known::default();
        let oddity = extensions.walk(|extension| known.note(extension));
        let oddity = oddity.or_else(|| odd_suites(cipher_suites)).or_else(|| trailing(&reader));
        Ok(Self {
            legacy_version,
            random,
            session_id,
            dtls_cookie,
            cipher_suites,
            compression_methods,
            extensions,
            known,
            oddity,
        })
    }

    /// The version field of old, 0x0303 in TLS 1.3.
    pub const fn legacy_version(&self) -> ProtocolVersion {
        self.legacy_version
    }

    /// 32 random bytes.
    pub const fn random(&self) -> &'a [u8] {
        self.random
    }

    /// The session id, 0 to 32 bytes when well-formed.
    pub const fn session_id(&self) -> &'a [u8] {
        self.session_id
    }

    /// The cookie field of DTLS; `None` for TLS, empty in a first hello.
    pub const fn dtls_cookie(&self) -> Option<&'a [u8]> {
        self.dtls_cookie
    }

    /// The offered suites in order, GREASE included.
    pub fn cipher_suites(&self) -> impl Iterator<Item = CipherSuite> + Clone + use<'a> {
        integers(self.cipher_suites).map(CipherSuite)
    }

    /// The compression methods; 0 is none.
    pub const fn compression_methods(&self) -> &'a [u8] {
        self.compression_methods
    }

    /// All extensions in wire order, GREASE included.
    pub const fn extensions(&self) -> Extensions<'a> {
        self.extensions
    }

    /// What is odd about a hello that could be read all the same: an extension that overruns the block, an
    /// odd length of the suites, bytes after the end.
    pub const fn oddity(&self) -> Option<ParseError> {
        self.oddity
    }

    /// True when the extension is there, whatever it holds.
    pub const fn has_server_name(&self) -> bool {
        self.known.server_name.is_some()
    }

    /// The host name of `server_name` as sent (RFC 6066 §3), without a check.
    pub fn server_name_bytes(&self) -> Option<&'a [u8]> {
        let mut reader = Reader::new(vector_u16(self.known.server_name?));
        while let (Ok(kind), Ok(length)) = (reader.u8("name type"), reader.u16("name length")) {
            let name = reader.take(length.into(), "host name").ok()?;
            if kind == 0 {
                return Some(name);
            }
        }
        None
    }

    /// The host name when it consists of visible ASCII, as a host name must; letter case as sent.
    pub fn server_name(&self) -> Option<&'a str> {
        let name = self.server_name_bytes().filter(|name| name.iter().all(u8::is_ascii_graphic))?;
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
    }

    /// The extension that offers application protocols, as it was sent; empty when it is absent.
    pub fn alpn_bytes(&self) -> &'a [u8] {
        self.known.alpn.unwrap_or_default()
    }

    /// The offered application protocols in order, GREASE included.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        alpn_names(self.known.alpn.unwrap_or_default())
    }

    /// The versions of `supported_versions` in order, GREASE included; empty when the extension is absent.
    pub fn supported_versions(&self) -> impl Iterator<Item = ProtocolVersion> + use<'a> {
        integers(vector_u8(self.known.supported_versions.unwrap_or_default())).map(ProtocolVersion)
    }

    /// True when the extension is there, whatever it holds.
    pub const fn has_supported_versions(&self) -> bool {
        self.known.supported_versions.is_some()
    }

    /// The newest version that the client offers: the best of `supported_versions` without GREASE, else the
    /// legacy field. DTLS code points count downwards, so there the smallest is the newest. Drafts of TLS 1.3, whatever their
    /// numbers, stand before it and behind 1.2.
    pub fn newest_version(&self) -> ProtocolVersion {
        let rank = |version: &ProtocolVersion| match version.0 {
            number if version.is_datagram() => (u16::MAX.saturating_sub(number), 0),
            number if number >> 8 != 3 => (ProtocolVersion::TLS_1_2.0, number),
            number => (number, 0),
        };
        let offered = self.supported_versions().filter(|version| !is_grease(version.0));
        offered.max_by_key(rank).unwrap_or(self.legacy_version)
    }

    /// The groups of `supported_groups` in order, GREASE included.
    pub fn supported_groups(&self) -> impl Iterator<Item = NamedGroup> + use<'a> {
        integers(vector_u16(self.known.supported_groups.unwrap_or_default())).map(NamedGroup)
    }

    /// The groups for which `key_share` already holds a public key.
    pub fn key_share_groups(&self) -> impl Iterator<Item = NamedGroup> + use<'a> {
        let mut reader = Reader::new(vector_u16(self.known.key_share.unwrap_or_default()));
        std::iter::from_fn(move || {
            let group = reader.u16("key share group").ok()?;
            let length = reader.u16("key exchange length").ok()?;
            reader.take(length.into(), "key exchange").ok()?;
            Some(NamedGroup(group))
        })
    }

    /// The schemes of `signature_algorithms` in order, GREASE included.
    pub fn signature_algorithms(&self) -> impl Iterator<Item = SignatureScheme> + use<'a> {
        integers(vector_u16(self.known.signature_algorithms.unwrap_or_default())).map(SignatureScheme)
    }

    /// The point formats of RFC 8422 §5.1.2; 0 is uncompressed.
    pub fn ec_point_formats(&self) -> &'a [u8] {
        vector_u8(self.known.ec_point_formats.unwrap_or_default())
    }

    /// The offered SRTP profiles (RFC 5764 §4.1.1) in order; empty when the extension is absent.
    pub fn srtp_profiles(&self) -> impl Iterator<Item = SrtpProfile> + use<'a> {
        integers(vector_u16(self.known.use_srtp.unwrap_or_default())).map(SrtpProfile)
    }

    /// True when the hello offers SRTP keys, i.e. the handshake is for media.
    pub const fn has_use_srtp(&self) -> bool {
        self.known.use_srtp.is_some()
    }

    /// The encrypted hello inside, if any.
    pub fn ech(&self) -> Option<EncryptedClientHello> {
        self.known.ech.map(EncryptedClientHello::parse)
    }

    /// True for the abandoned forerunner of ECH (draft-ietf-tls-esni-02).
    pub const fn has_esni(&self) -> bool {
        self.known.has_esni
    }

    /// True when the client resumes, or offers an external key.
    pub const fn has_pre_shared_key(&self) -> bool {
        self.known.has_pre_shared_key
    }

    /// True when data is sent before the server answers.
    pub const fn has_early_data(&self) -> bool {
        self.known.has_early_data
    }

    /// The ticket of TLS 1.2 (RFC 5077): empty when support is only announced.
    pub const fn session_ticket(&self) -> Option<&'a [u8]> {
        self.known.session_ticket
    }

    /// The raw QUIC transport parameters (RFC 9001 §8.2), under the final or the draft code point.
    pub const fn quic_transport_parameters(&self) -> Option<&'a [u8]> {
        self.known.quic_transport_parameters
    }

    /// The cookie extension of TLS 1.3, sent after a `HelloRetryRequest`.
    pub fn cookie(&self) -> Option<&'a [u8]> {
        self.known.cookie.map(vector_u16)
    }
}

fn odd_suites(suites: &[u8]) -> Option<ParseError> {
    let is_odd = !suites.len().is_multiple_of(2) || suites.is_empty();
    let value = u64::try_from(suites.len()).unwrap_or(u64::MAX);
    is_odd.then_some(ParseError::Invalid { field: "cipher suites length", offset: 0, value })
}

fn trailing(reader: &Reader<'_>) -> Option<ParseError> {
    let value = u64::try_from(reader.remaining()).unwrap_or(u64::MAX);
    let odd = ParseError::Invalid { field: "bytes after client hello", offset: reader.position(), value };
    (!reader.is_empty()).then_some(odd)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;
    use crate::proto::tls::vectors;

    fn rfc8448() -> &'static [u8] {
        &vectors::CLIENT_HELLO_RECORD[9..]
    }

    #[test]
    fn rfc8448_client_hello_reads_as_the_rfc_says() {
        let hello = ClientHello::parse(rfc8448()).unwrap();
        assert_eq!(hello.legacy_version(), ProtocolVersion::TLS_1_2);
        assert_eq!(hello.newest_version(), ProtocolVersion::TLS_1_3);
        assert_eq!(hello.random()[..4], [0xcb, 0x34, 0xec, 0xb1]);
        assert!(hello.session_id().is_empty() && hello.dtls_cookie().is_none());
        let suites: Vec<u16> = hello.cipher_suites().map(|suite| suite.0).collect();
        assert_eq!(suites, [0x1301, 0x1303, 0x1302]);
        assert_eq!(hello.server_name(), Some("server"));
        assert_eq!(hello.key_share_groups().collect::<Vec<_>>(), [NamedGroup::X25519]);
        assert_eq!(hello.supported_groups().count(), 9);
        assert_eq!(hello.signature_algorithms().next(), Some(SignatureScheme::ECDSA_SECP256R1_SHA256));
        assert_eq!(hello.session_ticket(), Some(&[][..]));
        let kinds: Vec<u16> = hello.extensions().iter().map(|extension| extension.kind.0).collect();
        assert_eq!(kinds, [0, 0xff01, 10, 35, 51, 43, 13, 45, 28]);
        assert_eq!((hello.oddity(), hello.ech(), hello.alpn().next()), (None, None, None));
        assert!(!hello.has_use_srtp() && !hello.has_pre_shared_key() && !hello.has_early_data());
    }

    #[test]
    fn a_draft_is_older_than_the_standard_that_it_led_to() {
        // RFC 8446 section 4.2.1; drafts had 0x7f00 and their number.
        let newest = |versions: &[u8]| {
            let mut body = rfc8448()[..45].to_vec();
            let length = u8::try_from(versions.len()).unwrap();
            body.extend([0, length + 5, 0, 43, 0, length + 1, length]);
            body.extend(versions);
            ClientHello::parse(&body).unwrap().newest_version().0
        };
        assert_eq!(newest(&[3, 4, 0x7f, 0x1d, 0x7f, 0x1c, 3, 3]), 0x0304);
        assert_eq!(newest(&[0x7f, 0x1c, 0x7a, 0x7a, 3, 4]), 0x0304);
        assert_eq!(newest(&[3, 3, 0x7f, 0x1c, 0x7f, 0x1d]), 0x7f1d);
        assert_eq!(newest(&[0xfe, 0xfd, 0xfe, 0xfc, 0xfe, 0xff]), 0xfefc, "DTLS counts downwards");
    }

    #[test]
    fn every_prefix_is_truncated_or_a_hello_without_extensions() {
        let body = rfc8448();
        // 2 version, 32 random, 1 session id, 2 + 6 suites, 2 compression: here extensions may be absent.
        for end in (0..body.len()).filter(|end| *end != 45) {
            assert!(ClientHello::parse(&body[..end]).unwrap_err().is_truncated(), "prefix of {end}");
        }
        assert_eq!(ClientHello::parse(&body[..45]).unwrap().extensions().iter().count(), 0);
    }

    #[test]
    fn overrunning_extension_is_an_oddity_and_the_rest_is_kept() {
        let mut body = rfc8448()[..45].to_vec();
        body.extend([0, 15, 0, 0, 0, 7, 0, 5, 0, 0, 2, b'a', b'b', 0, 16, 0, 9]);
        let hello = ClientHello::parse(&body).unwrap();
        assert_eq!(hello.server_name(), Some("ab"));
        assert_eq!(hello.oddity().unwrap().field(), "extension");
    }

    #[test]
    fn encrypted_client_hello_is_told_by_its_type() {
        let outer = [0, 0, 1, 0, 1, 42, 0, 2, 9, 9, 0, 3, 1, 2, 3];
        assert_eq!(
            EncryptedClientHello::parse(&outer),
            EncryptedClientHello::Outer { kdf: 1, aead: 1, config_id: 42, enc_length: 2, payload_length: 3 }
        );
        assert_eq!(EncryptedClientHello::parse(&[1]), EncryptedClientHello::Inner);
        assert_eq!(EncryptedClientHello::parse(&outer[..9]), EncryptedClientHello::Malformed);
        assert_eq!(EncryptedClientHello::parse(&[]), EncryptedClientHello::Malformed);
    }

    /// The same hello as DTLS has it, with a cookie of three bytes.
    fn with_cookie() -> Vec<u8> {
        [&rfc8448()[..35], &[3, 7, 7, 7], &rfc8448()[35..]].concat()
    }

    #[test]
    fn the_cookie_stands_behind_the_session_id() {
        let body = with_cookie();
        let hello = ClientHello::parse_datagram(&body).unwrap();
        assert_eq!(hello.server_name(), Some("server"), "what follows the cookie is where it should be");
    }

    proptest! {
        #[test]
        fn any_damage_is_read_without_panic(
            body in near([rfc8448().to_vec(), with_cookie()]),
            is_datagram: bool,
        ) {
            let hello = if is_datagram { ClientHello::parse_datagram(&body) } else { ClientHello::parse(&body) };
            if let Ok(hello) = hello {
                let _ = (hello.server_name(), hello.ech(), hello.newest_version(), hello.cookie());
                let lists = hello.alpn().count() + hello.supported_groups().count()
                    + hello.key_share_groups().count() + hello.signature_algorithms().count()
                    + hello.srtp_profiles().count() + hello.extensions().iter().count();
                prop_assert!(lists <= body.len() * 6);
            }
        }
    }
}
