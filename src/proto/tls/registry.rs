//! Code points of the TLS family as newtypes over the wire integer, with their IANA names.
//!
//! In: integers as read. Out: types whose `Display` is the IANA name, or hexadecimal where there is none.
//! An unknown value survives unchanged. Registries: IANA "TLS Parameters", "TLS Extensions", "DTLS-SRTP".

use std::fmt;

use super::cipher_suites;

/// Makes one newtype with named constants, `name()` and `Display`.
macro_rules! wire_code {
    ($(#[$doc:meta])* $type:ident($int:ty), $width:literal { $($constant:ident = $value:literal, $name:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(clippy::exhaustive_structs, reason = "a wire integer and nothing else")]
        pub struct $type(
            /// The value on the wire.
            pub $int,
        );

        impl $type {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: Self = Self($value);
            )*

            /// The registered name, if this value has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!("0x{:0", $width, "x}"), self.0),
                }
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "(0x{:0", $width, "x})"), self.0)
            }
        }
    };
}

/// True for the sixteen reserved values `0x0a0a, 0x1a1a .. 0xfafa` that clients send to keep servers
/// tolerant (GREASE, RFC 8701 §2).
pub const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

wire_code! {
    /// Record content type, RFC 8446 §5.1, RFC 9146 §3, RFC 9147 §4.
    ContentType(u8), "2" {
        CHANGE_CIPHER_SPEC = 20, "change_cipher_spec";
        ALERT = 21, "alert";
        HANDSHAKE = 22, "handshake";
        APPLICATION_DATA = 23, "application_data";
        HEARTBEAT = 24, "heartbeat";
        TLS12_CID = 25, "tls12_cid";
        ACK = 26, "ACK";
    }
}

wire_code! {
    /// Handshake message type, RFC 8446 §4.
    HandshakeType(u8), "2" {
        HELLO_REQUEST = 0, "hello_request";
        CLIENT_HELLO = 1, "client_hello";
        SERVER_HELLO = 2, "server_hello";
        HELLO_VERIFY_REQUEST = 3, "hello_verify_request";
        NEW_SESSION_TICKET = 4, "new_session_ticket";
        END_OF_EARLY_DATA = 5, "end_of_early_data";
        HELLO_RETRY_REQUEST = 6, "hello_retry_request";
        ENCRYPTED_EXTENSIONS = 8, "encrypted_extensions";
        REQUEST_CONNECTION_ID = 9, "request_connection_id";
        NEW_CONNECTION_ID = 10, "new_connection_id";
        CERTIFICATE = 11, "certificate";
        SERVER_KEY_EXCHANGE = 12, "server_key_exchange";
        CERTIFICATE_REQUEST = 13, "certificate_request";
        SERVER_HELLO_DONE = 14, "server_hello_done";
        CERTIFICATE_VERIFY = 15, "certificate_verify";
        CLIENT_KEY_EXCHANGE = 16, "client_key_exchange";
        CLIENT_CERTIFICATE_REQUEST = 17, "client_certificate_request";
        FINISHED = 20, "finished";
        CERTIFICATE_URL = 21, "certificate_url";
        CERTIFICATE_STATUS = 22, "certificate_status";
        SUPPLEMENTAL_DATA = 23, "supplemental_data";
        KEY_UPDATE = 24, "key_update";
        COMPRESSED_CERTIFICATE = 25, "compressed_certificate";
        EKT_KEY = 26, "ekt_key";
        NEXT_PROTOCOL = 67, "next_protocol";
        MESSAGE_HASH = 254, "message_hash";
    }
}

wire_code! {
    /// Protocol version of TLS and DTLS, RFC 8446 §4.1.2, RFC 9147 §5.
    ProtocolVersion(u16), "4" {
        SSL_2_0 = 0x0002, "SSL 2.0";
        SSL_3_0 = 0x0300, "SSL 3.0";
        TLS_1_0 = 0x0301, "TLS 1.0";
        TLS_1_1 = 0x0302, "TLS 1.1";
        TLS_1_2 = 0x0303, "TLS 1.2";
        TLS_1_3 = 0x0304, "TLS 1.3";
        DTLS_PRE_1_0 = 0x0100, "DTLS 1.0 (OpenSSL pre 0.9.8f)";
        DTLS_1_0 = 0xfeff, "DTLS 1.0";
        DTLS_1_2 = 0xfefd, "DTLS 1.2";
        DTLS_1_3 = 0xfefc, "DTLS 1.3";
    }
}

impl ProtocolVersion {
    /// True for the DTLS code points, which count downwards.
    pub const fn is_datagram(self) -> bool {
        self.0 == Self::DTLS_PRE_1_0.0 || self.0 >> 8 == 0xfe
    }

    /// True for TLS 1.3, DTLS 1.3 and the drafts of TLS 1.3 (`0x7fNN` of the IETF, `0xfbNN` of Facebook).
    pub const fn is_1_3(self) -> bool {
        let family = self.0 >> 8;
        self.0 == Self::TLS_1_3.0 || self.0 == Self::DTLS_1_3.0 || family == 0x7f || family == 0xfb
    }
}

wire_code! {
    /// Extension type, IANA "TLS `ExtensionType` Values".
    ExtensionType(u16), "4" {
        SERVER_NAME = 0, "server_name";
        MAX_FRAGMENT_LENGTH = 1, "max_fragment_length";
        CLIENT_CERTIFICATE_URL = 2, "client_certificate_url";
        TRUSTED_CA_KEYS = 3, "trusted_ca_keys";
        TRUNCATED_HMAC = 4, "truncated_hmac";
        STATUS_REQUEST = 5, "status_request";
        USER_MAPPING = 6, "user_mapping";
        CLIENT_AUTHZ = 7, "client_authz";
        SERVER_AUTHZ = 8, "server_authz";
        CERT_TYPE = 9, "cert_type";
        SUPPORTED_GROUPS = 10, "supported_groups";
        EC_POINT_FORMATS = 11, "ec_point_formats";
        SRP = 12, "srp";
        SIGNATURE_ALGORITHMS = 13, "signature_algorithms";
        USE_SRTP = 14, "use_srtp";
        HEARTBEAT = 15, "heartbeat";
        ALPN = 16, "application_layer_protocol_negotiation";
        STATUS_REQUEST_V2 = 17, "status_request_v2";
        SIGNED_CERTIFICATE_TIMESTAMP = 18, "signed_certificate_timestamp";
        CLIENT_CERTIFICATE_TYPE = 19, "client_certificate_type";
        SERVER_CERTIFICATE_TYPE = 20, "server_certificate_type";
        PADDING = 21, "padding";
        ENCRYPT_THEN_MAC = 22, "encrypt_then_mac";
        EXTENDED_MASTER_SECRET = 23, "extended_master_secret";
        TOKEN_BINDING = 24, "token_binding";
        CACHED_INFO = 25, "cached_info";
        COMPRESS_CERTIFICATE = 27, "compress_certificate";
        RECORD_SIZE_LIMIT = 28, "record_size_limit";
        DELEGATED_CREDENTIAL = 34, "delegated_credential";
        SESSION_TICKET = 35, "session_ticket";
        SUPPORTED_EKT_CIPHERS = 39, "supported_ekt_ciphers";
        PRE_SHARED_KEY = 41, "pre_shared_key";
        EARLY_DATA = 42, "early_data";
        SUPPORTED_VERSIONS = 43, "supported_versions";
        COOKIE = 44, "cookie";
        PSK_KEY_EXCHANGE_MODES = 45, "psk_key_exchange_modes";
        CERTIFICATE_AUTHORITIES = 47, "certificate_authorities";
        OID_FILTERS = 48, "oid_filters";
        POST_HANDSHAKE_AUTH = 49, "post_handshake_auth";
        SIGNATURE_ALGORITHMS_CERT = 50, "signature_algorithms_cert";
        KEY_SHARE = 51, "key_share";
        TRANSPARENCY_INFO = 52, "transparency_info";
        CONNECTION_ID_DRAFT = 53, "connection_id (deprecated)";
        CONNECTION_ID = 54, "connection_id";
        EXTERNAL_ID_HASH = 55, "external_id_hash";
        EXTERNAL_SESSION_ID = 56, "external_session_id";
        QUIC_TRANSPORT_PARAMETERS = 57, "quic_transport_parameters";
        TICKET_REQUEST = 58, "ticket_request";
        NEXT_PROTOCOL_NEGOTIATION = 13172, "next_protocol_negotiation";
        APPLICATION_SETTINGS_OLD = 17513, "application_settings (old)";
        APPLICATION_SETTINGS = 17613, "application_settings";
        CHANNEL_ID = 30032, "channel_id";
        ECH_OUTER_EXTENSIONS = 0xfd00, "ech_outer_extensions";
        ENCRYPTED_CLIENT_HELLO = 0xfe0d, "encrypted_client_hello";
        RENEGOTIATION_INFO = 0xff01, "renegotiation_info";
        QUIC_TRANSPORT_PARAMETERS_DRAFT = 0xffa5, "quic_transport_parameters (drafts)";
        ENCRYPTED_SERVER_NAME = 0xffce, "encrypted_server_name";
    }
}

wire_code! {
    /// Key exchange group, IANA "TLS Supported Groups".
    NamedGroup(u16), "4" {
        SECP192R1 = 0x0013, "secp192r1";
        SECP224R1 = 0x0015, "secp224r1";
        SECP256K1 = 0x0016, "secp256k1";
        SECP256R1 = 0x0017, "secp256r1";
        SECP384R1 = 0x0018, "secp384r1";
        SECP521R1 = 0x0019, "secp521r1";
        BRAINPOOL_P256R1 = 0x001a, "brainpoolP256r1";
        BRAINPOOL_P384R1 = 0x001b, "brainpoolP384r1";
        BRAINPOOL_P512R1 = 0x001c, "brainpoolP512r1";
        X25519 = 0x001d, "x25519";
        X448 = 0x001e, "x448";
        BRAINPOOL_P256R1_TLS13 = 0x001f, "brainpoolP256r1tls13";
        BRAINPOOL_P384R1_TLS13 = 0x0020, "brainpoolP384r1tls13";
        BRAINPOOL_P512R1_TLS13 = 0x0021, "brainpoolP512r1tls13";
        CURVE_SM2 = 0x0029, "curveSM2";
        FFDHE2048 = 0x0100, "ffdhe2048";
        FFDHE3072 = 0x0101, "ffdhe3072";
        FFDHE4096 = 0x0102, "ffdhe4096";
        FFDHE6144 = 0x0103, "ffdhe6144";
        FFDHE8192 = 0x0104, "ffdhe8192";
        MLKEM512 = 0x0200, "MLKEM512";
        MLKEM768 = 0x0201, "MLKEM768";
        MLKEM1024 = 0x0202, "MLKEM1024";
        SECP256R1_MLKEM768 = 0x11eb, "SecP256r1MLKEM768";
        X25519_MLKEM768 = 0x11ec, "X25519MLKEM768";
        SECP384R1_MLKEM1024 = 0x11ed, "SecP384r1MLKEM1024";
        X25519_KYBER768_DRAFT00 = 0x6399, "X25519Kyber768Draft00";
        SECP256R1_KYBER768_DRAFT00 = 0x639a, "SecP256r1Kyber768Draft00";
        ARBITRARY_EXPLICIT_PRIME_CURVES = 0xff01, "arbitrary_explicit_prime_curves";
        ARBITRARY_EXPLICIT_CHAR2_CURVES = 0xff02, "arbitrary_explicit_char2_curves";
    }
}

impl NamedGroup {
    /// True when the group contains ML-KEM or its forerunner Kyber, so that a recording of today
    /// is not opened by a quantum computer of tomorrow.
    pub const fn is_post_quantum(self) -> bool {
        matches!(self.0, 0x0200..=0x0202 | 0x11eb..=0x11ed | 0x6399 | 0x639a)
    }
}

wire_code! {
    /// Signature scheme, IANA "TLS `SignatureScheme`"; in TLS 1.2 a pair of hash and signature.
    SignatureScheme(u16), "4" {
        RSA_PKCS1_MD5 = 0x0101, "rsa_pkcs1_md5";
        RSA_PKCS1_SHA1 = 0x0201, "rsa_pkcs1_sha1";
        DSA_SHA1 = 0x0202, "dsa_sha1";
        ECDSA_SHA1 = 0x0203, "ecdsa_sha1";
        RSA_PKCS1_SHA224 = 0x0301, "rsa_pkcs1_sha224";
        DSA_SHA224 = 0x0302, "dsa_sha224";
        ECDSA_SHA224 = 0x0303, "ecdsa_sha224";
        RSA_PKCS1_SHA256 = 0x0401, "rsa_pkcs1_sha256";
        DSA_SHA256 = 0x0402, "dsa_sha256";
        ECDSA_SECP256R1_SHA256 = 0x0403, "ecdsa_secp256r1_sha256";
        RSA_PKCS1_SHA384 = 0x0501, "rsa_pkcs1_sha384";
        ECDSA_SECP384R1_SHA384 = 0x0503, "ecdsa_secp384r1_sha384";
        RSA_PKCS1_SHA512 = 0x0601, "rsa_pkcs1_sha512";
        ECDSA_SECP521R1_SHA512 = 0x0603, "ecdsa_secp521r1_sha512";
        SM2SIG_SM3 = 0x0708, "sm2sig_sm3";
        RSA_PSS_RSAE_SHA256 = 0x0804, "rsa_pss_rsae_sha256";
        RSA_PSS_RSAE_SHA384 = 0x0805, "rsa_pss_rsae_sha384";
        RSA_PSS_RSAE_SHA512 = 0x0806, "rsa_pss_rsae_sha512";
        ED25519 = 0x0807, "ed25519";
        ED448 = 0x0808, "ed448";
        RSA_PSS_PSS_SHA256 = 0x0809, "rsa_pss_pss_sha256";
        RSA_PSS_PSS_SHA384 = 0x080a, "rsa_pss_pss_sha384";
        RSA_PSS_PSS_SHA512 = 0x080b, "rsa_pss_pss_sha512";
        ECDSA_BRAINPOOL_P256R1_SHA256 = 0x081a, "ecdsa_brainpoolP256r1tls13_sha256";
        ECDSA_BRAINPOOL_P384R1_SHA384 = 0x081b, "ecdsa_brainpoolP384r1tls13_sha384";
        ECDSA_BRAINPOOL_P512R1_SHA512 = 0x081c, "ecdsa_brainpoolP512r1tls13_sha512";
        MLDSA44 = 0x0904, "mldsa44";
        MLDSA65 = 0x0905, "mldsa65";
        MLDSA87 = 0x0906, "mldsa87";
    }
}

wire_code! {
    /// Alert description, RFC 8446 §6.
    AlertDescription(u8), "2" {
        CLOSE_NOTIFY = 0, "close_notify";
        UNEXPECTED_MESSAGE = 10, "unexpected_message";
        BAD_RECORD_MAC = 20, "bad_record_mac";
        DECRYPTION_FAILED = 21, "decryption_failed";
        RECORD_OVERFLOW = 22, "record_overflow";
        DECOMPRESSION_FAILURE = 30, "decompression_failure";
        HANDSHAKE_FAILURE = 40, "handshake_failure";
        NO_CERTIFICATE = 41, "no_certificate";
        BAD_CERTIFICATE = 42, "bad_certificate";
        UNSUPPORTED_CERTIFICATE = 43, "unsupported_certificate";
        CERTIFICATE_REVOKED = 44, "certificate_revoked";
        CERTIFICATE_EXPIRED = 45, "certificate_expired";
        CERTIFICATE_UNKNOWN = 46, "certificate_unknown";
        ILLEGAL_PARAMETER = 47, "illegal_parameter";
        UNKNOWN_CA = 48, "unknown_ca";
        ACCESS_DENIED = 49, "access_denied";
        DECODE_ERROR = 50, "decode_error";
        DECRYPT_ERROR = 51, "decrypt_error";
        TOO_MANY_CIDS_REQUESTED = 52, "too_many_cids_requested";
        EXPORT_RESTRICTION = 60, "export_restriction";
        PROTOCOL_VERSION = 70, "protocol_version";
        INSUFFICIENT_SECURITY = 71, "insufficient_security";
        INTERNAL_ERROR = 80, "internal_error";
        INAPPROPRIATE_FALLBACK = 86, "inappropriate_fallback";
        USER_CANCELED = 90, "user_canceled";
        NO_RENEGOTIATION = 100, "no_renegotiation";
        MISSING_EXTENSION = 109, "missing_extension";
        UNSUPPORTED_EXTENSION = 110, "unsupported_extension";
        CERTIFICATE_UNOBTAINABLE = 111, "certificate_unobtainable";
        UNRECOGNIZED_NAME = 112, "unrecognized_name";
        BAD_CERTIFICATE_STATUS_RESPONSE = 113, "bad_certificate_status_response";
        BAD_CERTIFICATE_HASH_VALUE = 114, "bad_certificate_hash_value";
        UNKNOWN_PSK_IDENTITY = 115, "unknown_psk_identity";
        CERTIFICATE_REQUIRED = 116, "certificate_required";
        NO_APPLICATION_PROTOCOL = 120, "no_application_protocol";
        ECH_REQUIRED = 121, "ech_required";
    }
}

wire_code! {
    /// SRTP protection profile of `use_srtp`, RFC 5764 §4.1.2, RFC 7714 §14.2, RFC 8269 §7.
    SrtpProfile(u16), "4" {
        AES128_CM_HMAC_SHA1_80 = 0x0001, "SRTP_AES128_CM_HMAC_SHA1_80";
        AES128_CM_HMAC_SHA1_32 = 0x0002, "SRTP_AES128_CM_HMAC_SHA1_32";
        NULL_HMAC_SHA1_80 = 0x0005, "SRTP_NULL_HMAC_SHA1_80";
        NULL_HMAC_SHA1_32 = 0x0006, "SRTP_NULL_HMAC_SHA1_32";
        AEAD_AES_128_GCM = 0x0007, "SRTP_AEAD_AES_128_GCM";
        AEAD_AES_256_GCM = 0x0008, "SRTP_AEAD_AES_256_GCM";
        DOUBLE_AEAD_AES_128_GCM = 0x0009, "DOUBLE_AEAD_AES_128_GCM_AEAD_AES_128_GCM";
        DOUBLE_AEAD_AES_256_GCM = 0x000a, "DOUBLE_AEAD_AES_256_GCM_AEAD_AES_256_GCM";
        ARIA_128_CTR_HMAC_SHA1_80 = 0x000b, "SRTP_ARIA_128_CTR_HMAC_SHA1_80";
        ARIA_128_CTR_HMAC_SHA1_32 = 0x000c, "SRTP_ARIA_128_CTR_HMAC_SHA1_32";
        ARIA_256_CTR_HMAC_SHA1_80 = 0x000d, "SRTP_ARIA_256_CTR_HMAC_SHA1_80";
        ARIA_256_CTR_HMAC_SHA1_32 = 0x000e, "SRTP_ARIA_256_CTR_HMAC_SHA1_32";
        AEAD_ARIA_128_GCM = 0x000f, "SRTP_AEAD_ARIA_128_GCM";
        AEAD_ARIA_256_GCM = 0x0010, "SRTP_AEAD_ARIA_256_GCM";
    }
}

/// Cipher suite, IANA "TLS Cipher Suites".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a wire integer and nothing else")]
pub struct CipherSuite(
    /// The value on the wire.
    pub u16,
);

impl CipherSuite {
    /// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV`, a signal and no cipher (RFC 5746 §3.3).
    pub const EMPTY_RENEGOTIATION_INFO_SCSV: Self = Self(0x00ff);
    /// `TLS_FALLBACK_SCSV`, a signal and no cipher (RFC 7507).
    pub const FALLBACK_SCSV: Self = Self(0x5600);

    /// The registered name, if this value has one.
    pub fn name(self) -> Option<&'static str> {
        let found = cipher_suites::NAMES.binary_search_by_key(&self.0, |row| row.0).ok()?;
        cipher_suites::NAMES.get(found).map(|row| row.1)
    }

    /// True when the suite does not encrypt at all (its cipher is `NULL`).
    pub fn is_cleartext(self) -> bool {
        self.name().is_some_and(|name| name.contains("_WITH_NULL")) || matches!(self.0, 0xc0b4 | 0xc0b5)
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04x}", self.0),
        }
    }
}

impl fmt::Debug for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CipherSuite(0x{:04x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_iana_and_unknown_values_stay_hexadecimal() {
        assert_eq!(CipherSuite(0x1301).to_string(), "TLS_AES_128_GCM_SHA256");
        assert_eq!(CipherSuite(0xc02b).to_string(), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(CipherSuite(0xfefe).to_string(), "0xfefe");
        assert_eq!(NamedGroup(0x11ec).to_string(), "X25519MLKEM768");
        assert_eq!(ExtensionType(0x0a0a).to_string(), "0x0a0a");
        assert_eq!(ProtocolVersion(0xfefd).to_string(), "DTLS 1.2");
        assert_eq!(ContentType(99).to_string(), "0x63");
        assert_eq!(format!("{:?}", SrtpProfile(1)), "SrtpProfile(0x0001)");
    }

    #[test]
    fn cipher_suite_table_is_sorted_and_without_doubles() {
        assert!(cipher_suites::NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn null_ciphers_are_cleartext_and_null_key_exchange_is_known() {
        assert!(CipherSuite(0x0001).is_cleartext());
        assert!(CipherSuite(0xc0b4).is_cleartext(), "RFC 9150 integrity-only suite");
        assert!(!CipherSuite(0x1301).is_cleartext());
    }

    #[test]
    fn grease_is_sixteen_values() {
        assert_eq!((0..=u16::MAX).filter(|value| is_grease(*value)).count(), 16);
        assert!(is_grease(0x0a0a) && is_grease(0xfafa) && !is_grease(0x0a1a) && !is_grease(0x0b0b));
    }
}
