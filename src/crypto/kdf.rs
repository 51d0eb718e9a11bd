//! Key derivation of TLS: HKDF with the labels of TLS 1.3 and QUIC (RFC 8446 section 7.1), the pseudo-random function of TLS
//! 1.2 (RFC 5246 section 5).

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

/// Longest secret or output of a derivation, in bytes; more is never asked for.
pub const MAX_OUTPUT: usize = 256;

/// The hash that a cipher suite is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the hashes of TLS suites in use")]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Hash {
    /// Bytes of its output: 32 or 48.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// The hash of nothing, which stands for an absent context.
    fn of_nothing(self) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest([]).to_vec(),
            Self::Sha384 => Sha384::digest([]).to_vec(),
        }
    }
}

/// Secret bytes: wiped when dropped, and not to be seen in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret of {} bytes", self.0.len())
    }
}

/// What a label of the TLS 1.3 key schedule begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "two there are")]
pub enum Prefix {
    /// `tls13 `, of TLS and QUIC.
    Tls,
    /// `dtls13`, of DTLS (RFC 9147 section 5.9).
    Dtls,
}

/// HKDF-Extract (RFC 5869 section 2.2) with SHA-256, as QUIC has it for its Initial secret.
pub fn extract_sha256(salt: &[u8], input: &[u8]) -> Zeroizing<[u8; 32]> {
    let (secret, _) = Hkdf::<Sha256>::extract(Some(salt), input);
    Zeroizing::new(secret.into())
}

/// HKDF-Expand-Label (RFC 8446 section 7.1): `length` bytes. `None` when `secret` is shorter than the hash, or more is asked
/// for than [`MAX_OUTPUT`].
pub fn expand_label(
    hash: Hash,
    secret: &[u8],
    prefix: Prefix,
    label: &[u8],
    context: &[u8],
    length: usize,
) -> Option<Secret> {
    if length > MAX_OUTPUT {
        return None;
    }
    let mut output = Zeroizing::new(vec![0; length]);
    Expander::new(hash, secret)?.label(prefix, label, context, &mut output)?;
    Some(Secret::new(output))
}

/// A secret that several labels are expanded from: what of HMAC depends on the secret alone is worked out once.
pub struct Expander(Keyed);

enum Keyed {
    Sha256(Hkdf<Sha256>),
    Sha384(Hkdf<Sha384>),
}

impl fmt::Debug for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander").finish_non_exhaustive()
    }
}

impl Expander {
    /// `None` when `secret` is shorter than the hash.
    pub fn new(hash: Hash, secret: &[u8]) -> Option<Self> {
        Some(Self(match hash {
            Hash::Sha256 => Keyed::Sha256(Hkdf::from_prk(secret).ok()?),
            Hash::Sha384 => Keyed::Sha384(Hkdf::from_prk(secret).ok()?),
        }))
    }

    /// HKDF-Expand-Label (RFC 8446 section 7.1) of as many bytes as `output` has; `None` when these are more than 255 hashes, or label or
    /// context are too long.
    pub fn label(&self, prefix: Prefix, label: &[u8], context: &[u8], output: &mut [u8]) -> Option<()> {
        let prefix: &[u8] = match prefix {
            Prefix::Tls => b"tls13 ",
            Prefix::Dtls => b"dtls13",
        };
        let wanted = u16::try_from(output.len()).ok()?.to_be_bytes();
        let label_length = [u8::try_from(prefix.len().checked_add(label.len())?).ok()?];
        let context_length = [u8::try_from(context.len()).ok()?];
        let info: [&[u8]; 6] = [&wanted, &label_length, prefix, label, &context_length, context];
        match &self.0 {
            Keyed::Sha256(keyed) => keyed.expand_multi_info(&info, output).ok(),
            Keyed::Sha384(keyed) => keyed.expand_multi_info(&info, output).ok(),
        }
    }
}

/// The exporter of TLS 1.3 and DTLS 1.3 without a context value (RFC 8446 section 7.5).
pub fn export_1_3(
    hash: Hash,
    exporter: &[u8],
    prefix: Prefix,
    label: &[u8],
    length: usize,
) -> Option<Secret> {
    let nothing = hash.of_nothing();
    let derived = expand_label(hash, exporter, prefix, label, &nothing, hash.length())?;
    expand_label(hash, derived.bytes(), prefix, b"exporter", &nothing, length)
}

/// The pseudo-random function of TLS 1.2 (RFC 5246 section 5): `length` bytes. `None` when more is asked for than
/// [`MAX_OUTPUT`].
pub fn prf(hash: Hash, secret: &[u8], label: &[u8], seed: &[&[u8]], length: usize) -> Option<Secret> {
    if length > MAX_OUTPUT {
        return None;
    }
    let mut parts: Vec<&[u8]> = vec![label];
    parts.extend(seed);
    match hash {
        Hash::Sha256 => p_hash(&Hmac::<Sha256>::new_from_slice(secret).ok()?, &parts, length),
        Hash::Sha384 => p_hash(&Hmac::<Sha384>::new_from_slice(secret).ok()?, &parts, length),
    }
}

/// `P_hash` of RFC 5246 section 5.
fn p_hash<M: Mac + Clone>(keyed: &M, seed: &[&[u8]], length: usize) -> Option<Secret> {
    let tag = |parts: &[&[u8]]| {
        let mut mac = keyed.clone();
        for part in parts {
            mac.update(part);
        }
        Zeroizing::new(mac.finalize().into_bytes().to_vec())
    };
    let mut output = Zeroizing::new(Vec::with_capacity(length.checked_add(64)?));
    let mut a = tag(seed);
    while output.len() < length {
        let mut parts: Vec<&[u8]> = vec![&a];
        parts.extend(seed);
        output.extend_from_slice(&tag(&parts));
        a = tag(&[&a]);
    }
    output.truncate(length);
    Some(Secret::new(output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    /// "Test vectors for TLS 1.2 PRF", IETF TLS mailing list, 23 September 2009 (message 03416): 100 bytes with SHA-256.
    #[test]
    fn published_vector_of_p_sha256_is_met() {
        let secret = hex("9bbe436ba940f017b17652849a71db35");
        let seed = hex("a0ba9f936cda311827a6f796ffd5198c");
        let output = prf(Hash::Sha256, &secret, b"test label", &[&seed], 100).unwrap();
        let expected = hex(
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af\
             0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
             87347b66",
        );
        assert_eq!(output.bytes(), expected);
    }

    /// The same message: 148 bytes with SHA-384.
    #[test]
    fn published_vector_of_p_sha384_is_met() {
        let secret = hex("b80b733d6ceefcdc71566ea48e5567df");
        let seed = hex("cd665cf6a8447dd6ff8b27555edb7465");
        let output = prf(Hash::Sha384, &secret, b"test label", &[&seed], 148).unwrap();
        let expected = hex(
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0\
             e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425\
             9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d\
             73e56f",
        );
        assert_eq!(output.bytes(), expected);
    }

    #[test]
    fn nothing_is_derived_from_a_secret_too_short_or_beyond_the_cap() {
        assert!(expand_label(Hash::Sha256, &[0; 31], Prefix::Tls, b"key", &[], 16).is_none());
        assert!(expand_label(Hash::Sha256, &[0; 32], Prefix::Tls, b"key", &[], MAX_OUTPUT + 1).is_none());
        assert!(prf(Hash::Sha256, &[0; 48], b"x", &[], MAX_OUTPUT + 1).is_none());
    }
}
