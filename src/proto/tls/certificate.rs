//! The `Certificate` message (RFC 5246 §7.4.2, RFC 8446 §4.4.2) and what an X.509 certificate says.
//!
//! In: the body of the message, then one DER certificate. Out: the chain as borrowed DER slices, then owned
//! [`Facts`]. This is the only place that names `x509_parser`. Not handled: signatures and chains are not
//! checked, revocation is not looked at, and a raw public key (RFC 7250) is no certificate.

use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::asn1_rs::Tag;
use x509_parser::error::X509Error;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo};

use crate::bytes::{ParseError, Reader, hex};

/// Most names of one certificate that are kept; large hosters put thousands into one.
pub const MAX_NAMES: usize = 64;

/// Longest name that is kept, in bytes; a host name has at most 253, an organisation by the standard 64.
pub const MAX_NAME_LENGTH: usize = 256;

/// Longest certificate that is parsed, in bytes.
pub const MAX_CERTIFICATE_LENGTH: usize = 64 * 1024;

/// Longest serial number that is kept, in bytes; the standard allows 20.
const MAX_SERIAL_LENGTH: usize = 32;

const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

/// A parsed Certificate message that borrows from it.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    context: &'a [u8],
    list: &'a [u8],
    has_extensions: bool,
}

impl<'a> Chain<'a> {
    /// Reads the message of TLS up to 1.2 and DTLS up to 1.2: a list of certificates.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when the list is not whole.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        Ok(Self { context: &[], list: take_list(&mut reader)?, has_extensions: false })
    }

    /// Reads the message of TLS 1.3 (readable with a key log only): a context, and extensions per entry.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when the list is not whole.
    pub fn parse_1_3(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let length = reader.u8("certificate request context length")?;
        let context = reader.take(length.into(), "certificate request context")?;
        Ok(Self { context, list: take_list(&mut reader)?, has_extensions: true })
    }

    /// The request context of TLS 1.3; empty otherwise.
    pub const fn context(&self) -> &'a [u8] {
        self.context
    }

    /// The certificates as DER, the end entity's first, up to the first that overruns the list.
    pub fn certificates(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(self.list);
        let has_extensions = self.has_extensions;
        std::iter::from_fn(move || {
            let length = reader.u24("certificate length").ok()?;
            let der = reader.take(usize::try_from(length).ok()?, "certificate").ok()?;
            if has_extensions {
                let length = reader.u16("certificate extensions length").ok()?;
                reader.take(length.into(), "certificate extensions").ok()?;
            }
            Some(der)
        })
    }
}

fn take_list<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ParseError> {
    let length = reader.u24("certificate list length")?;
    reader.take(usize::try_from(length).unwrap_or(usize::MAX), "certificate list")
}

/// Why a certificate could not be read.
#[derive(Error, Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The DER ends too early.
    #[error("certificate of {length} bytes is cut")]
    Truncated {
        /// How many bytes there were.
        length: usize,
    },
    /// Longer than [`MAX_CERTIFICATE_LENGTH`].
    #[error("certificate of {length} bytes is longer than {limit}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A field is not as X.509 wants it.
    #[error("certificate has a malformed {field}")]
    Malformed {
        /// The field in the words of RFC 5280 §4.1.
        field: &'static str,
    },
}

/// What one certificate says, owned, with capped lengths. Nothing here has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain facts for the report")]
pub struct Facts {
    /// Common name of the subject.
    pub subject_cn: Option<String>,
    /// Organisation of the subject.
    pub subject_o: Option<String>,
    /// DNS names of the subject, as written; at most [`MAX_NAMES`].
    pub dns_names: Vec<String>,
    /// How many DNS names were left out.
    pub dns_names_left_out: usize,
    /// Common name of the issuer.
    pub issuer_cn: Option<String>,
    /// Organisation of the issuer.
    pub issuer_o: Option<String>,
    /// Begin of validity, seconds since 1970.
    pub not_before: i64,
    /// End of validity, seconds since 1970.
    pub not_after: i64,
    /// Public key algorithm, e.g. `rsaEncryption` or `ecPublicKey secp256r1`, else the OID.
    pub key_algorithm: String,
    /// Size of the public key in bits, where known.
    pub key_bits: Option<u32>,
    /// Signature algorithm by name, else the OID.
    pub signature_algorithm: String,
    /// Issuer and subject are the same name; the signature is not checked.
    pub self_signed: bool,
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
}

impl Facts {
    /// Reads one DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`] when this is no X.509 certificate, or an over-long one.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let length = der.len();
        if length > MAX_CERTIFICATE_LENGTH {
            return Err(CertificateError::TooLong { length, limit: MAX_CERTIFICATE_LENGTH });
        }
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| explain(error, length))?;
        let (dns_names, dns_names_left_out) = dns_names(&parsed);
        let serial = parsed.raw_serial();
        let (key_algorithm, key_bits) = public_key(parsed.public_key());
        Ok(Self {
            subject_cn: first(parsed.subject().iter_common_name()),
            subject_o: first(parsed.subject().iter_organization()),
            dns_names,
            dns_names_left_out,
            issuer_cn: first(parsed.issuer().iter_common_name()),
            issuer_o: first(parsed.issuer().iter_organization()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            key_algorithm,
            key_bits,
            signature_algorithm: algorithm_name(&parsed.signature_algorithm.algorithm),
            self_signed: is_same(parsed.subject(), parsed.issuer()),
            serial: hex(serial.get(..MAX_SERIAL_LENGTH).unwrap_or(serial)),
            sha256: Sha256::digest(der).into(),
        })
    }
}

fn is_same(subject: &X509Name<'_>, issuer: &X509Name<'_>) -> bool {
    subject.as_raw() == issuer.as_raw()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only errors with a field name are told apart")]
fn explain(error: x509_parser::nom::Err<X509Error>, length: usize) -> CertificateError {
    let error = match error {
        x509_parser::nom::Err::Incomplete(_) => return CertificateError::Truncated { length },
        x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
    };
    let field = match error {
        X509Error::InvalidVersion => "version",
        X509Error::InvalidSerial => "serialNumber",
        X509Error::InvalidAlgorithmIdentifier => "signature",
        X509Error::InvalidX509Name => "issuer or subject",
        X509Error::InvalidDate => "validity",
        X509Error::InvalidSPKI => "subjectPublicKeyInfo",
        X509Error::InvalidExtensions | X509Error::DuplicateExtensions => "extensions",
        X509Error::InvalidSignatureValue => "signatureValue",
        X509Error::InvalidTbsCertificate => "tbsCertificate",
        _ => "DER",
    };
    CertificateError::Malformed { field }
}

fn first<'a, 'n: 'a>(mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'n>>) -> Option<String> {
    values.next().map(text)
}

/// The text of a name; what is not UTF-8 (Latin-1, UTF-16 in very old ones) is replaced, never dropped.
fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => capped(text),
        Err(_) => capped(&String::from_utf8_lossy(attribute.as_slice())),
    }
}

fn capped(text: &str) -> String {
    let end = (0..=MAX_NAME_LENGTH.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default().to_owned()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "one kind of extension and one kind of name are wanted")]
fn dns_names(parsed: &X509Certificate<'_>) -> (Vec<String>, usize) {
    let alternatives = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(names),
        _ => None,
    });
    let names = alternatives.map(|names| names.general_names.as_slice()).unwrap_or_default();
    let mut dns = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let kept = dns.by_ref().take(MAX_NAMES).map(capped).collect();
    (kept, dns.count())
}

fn public_key(info: &SubjectPublicKeyInfo<'_>) -> (String, Option<u32>) {
    let number = info.algorithm.algorithm.to_id_string();
    let algorithm = algorithm_name(&info.algorithm.algorithm);
    if number != EC_PUBLIC_KEY {
        return (algorithm, curve_bits(&number).or_else(|| key_bits(info)));
    }
    // `as_oid` alone would take a NULL or a SEQUENCE for an object identifier.
    let parameters = info.algorithm.parameters.as_ref().filter(|parameters| parameters.tag() == Tag::Oid);
    match parameters.and_then(|parameters| parameters.as_oid().ok()) {
        Some(curve) => {
            let bits = curve_bits(&curve.to_id_string()).or_else(|| key_bits(info));
            (format!("{algorithm} {}", algorithm_name(&curve)), bits)
        }
        // Curve numbers written out: legal to send, known from the attack on CVE-2020-0601.
        None => (format!("{algorithm} explicit"), key_bits(info)),
    }
}

/// Bits of the key of a named curve.
fn curve_bits(oid: &str) -> Option<u32> {
    Some(match oid {
        "1.2.840.10045.3.1.7" | "1.3.132.0.10" | "1.3.36.3.3.2.8.1.1.7" | "1.3.101.110" | "1.3.101.112" => {
            256
        }
        "1.3.132.0.34" | "1.3.36.3.3.2.8.1.1.11" => 384,
        "1.3.132.0.35" => 521,
        "1.3.36.3.3.2.8.1.1.13" => 512,
        "1.3.132.0.33" => 224,
        "1.2.840.10045.3.1.1" => 192,
        "1.3.101.113" => 456,
        _ => return None,
    })
}

/// Bits of an RSA modulus, or of a curve as its points tell.
#[expect(clippy::wildcard_enum_match_arm, reason = "other keys have no size worth telling")]
fn key_bits(info: &SubjectPublicKeyInfo<'_>) -> Option<u32> {
    match info.parsed().ok()? {
        PublicKey::RSA(key) => {
            let start = key.modulus.iter().position(|byte| *byte != 0)?;
            let modulus = key.modulus.get(start..)?;
            let bytes = u32::try_from(modulus.len()).ok()?;
            Some(bytes.saturating_mul(8).saturating_sub(modulus.first()?.leading_zeros()))
        }
        PublicKey::EC(point) => u32::try_from(point.key_size()).ok(),
        _ => None,
    }
}

/// The usual name of an algorithm or curve, else its number.
fn algorithm_name(oid: &Oid<'_>) -> String {
    let number = oid.to_id_string();
    let name = match number.as_str() {
        "1.2.840.113549.1.1.1" => "rsaEncryption",
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "rsassaPss",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.10040.4.1" => "dsa",
        "1.2.840.10045.2.1" => "ecPublicKey",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.2.840.10045.3.1.1" => "secp192r1",
        "1.2.840.10045.3.1.7" => "secp256r1",
        "1.3.132.0.10" => "secp256k1",
        "1.3.132.0.33" => "secp224r1",
        "1.3.132.0.34" => "secp384r1",
        "1.3.132.0.35" => "secp521r1",
        "1.3.101.110" => "X25519",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        _ => return number,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber, date_time_ymd};

    use super::*;
    use crate::bytes::near::near;

    fn made(names: usize) -> Vec<u8> {
        let names: Vec<String> = (0..names).map(|n| format!("n{n}.example.net")).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "meet.example.net");
        params.distinguished_name.push(DnType::OrganizationName, "Exämple GmbH");
        params.not_before = date_time_ymd(2024, 1, 2);
        params.not_after = date_time_ymd(2025, 1, 2);
        params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc, 0xde]));
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn facts_are_those_that_the_certificate_was_made_with() {
        let der = made(2);
        let facts = Facts::parse(&der).unwrap();
        assert_eq!(facts.subject_cn.as_deref(), Some("meet.example.net"));
        assert_eq!(facts.subject_o.as_deref(), Some("Exämple GmbH"));
        assert_eq!(facts.issuer_cn, facts.subject_cn);
        assert_eq!(facts.dns_names, ["n0.example.net", "n1.example.net"]);
        assert_eq!((facts.not_before, facts.not_after), (1_704_153_600, 1_735_776_000));
        assert_eq!(facts.key_algorithm, "ecPublicKey secp256r1");
        assert_eq!(facts.key_bits, Some(256));
        assert_eq!(facts.signature_algorithm, "ecdsa-with-SHA256");
        assert_eq!(facts.serial, "0abcde");
        assert!(facts.self_signed);
    }

    #[test]
    fn names_beyond_the_cap_are_counted() {
        let facts = Facts::parse(&made(MAX_NAMES + 3)).unwrap();
        assert_eq!((facts.dns_names.len(), facts.dns_names_left_out), (MAX_NAMES, 3));
    }

    #[test]
    fn every_prefix_of_a_certificate_is_an_error() {
        let der = made(1);
        for end in 0..der.len() {
            assert!(Facts::parse(&der[..end]).is_err(), "prefix of {end}");
        }
    }

    #[test]
    fn chain_of_both_layouts_is_split_into_its_certificates() {
        let body = [0, 0, 11, 0, 0, 2, 7, 8, 0, 0, 3, 1, 2, 3];
        let certificates: Vec<&[u8]> = Chain::parse(&body).unwrap().certificates().collect();
        assert_eq!(certificates, [&[7, 8][..], &[1, 2, 3]]);
        let body = [1, 9, 0, 0, 14, 0, 0, 2, 7, 8, 0, 1, 5, 0, 0, 1, 1, 0, 0];
        let chain = Chain::parse_1_3(&body).unwrap();
        assert_eq!(chain.context(), [9]);
        assert_eq!(chain.certificates().collect::<Vec<_>>(), [&[7, 8][..], &[1]]);
        for end in 0..body.len() {
            assert!(Chain::parse_1_3(&body[..end]).unwrap_err().is_truncated());
        }
    }

    #[test]
    fn over_long_certificate_is_not_parsed() {
        let length = MAX_CERTIFICATE_LENGTH + 1;
        let error = Facts::parse(&vec![0x30; length]).unwrap_err();
        assert_eq!(error, CertificateError::TooLong { length, limit: MAX_CERTIFICATE_LENGTH });
    }

    proptest! {
        #[test]
        fn any_damage_is_an_error_or_facts(der in near([made(2)])) {
            let _ = Facts::parse(&der);
        }

        #[test]
        fn near_a_chain_its_certificates_lie_in_it(
            body in near([&[0, 0, 11, 0, 0, 2, 7, 8, 0, 0, 3, 1, 2, 3][..], &[1, 9, 0, 0, 14, 0, 0, 2, 7, 8, 0, 1, 5, 0, 0, 1, 1, 0, 0]]),
        ) {
            if let Ok(chain) = Chain::parse(&body) {
                prop_assert!(3 + chain.certificates().map(|one| 3 + one.len()).sum::<usize>() <= body.len());
            }
            if let Ok(chain) = Chain::parse_1_3(&body) {
                let length = chain.certificates().map(|one| 5 + one.len()).sum::<usize>();
                prop_assert!(4 + chain.context().len() + length <= body.len());
            }
        }
    }
}
