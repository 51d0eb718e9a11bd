//! HMAC (RFC 2104) over the hashes that the captures need.

use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384};

/// Bytes that SHA-1 and SHA-256 take in at a time.
const SHORT_BLOCK: usize = 64;
/// Bytes that SHA-384 takes in at a time.
const LONG_BLOCK: usize = 128;

/// HMAC-SHA1.
pub(crate) fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(&hmac::<Sha1>(SHORT_BLOCK, key, message));
    out
}

/// HMAC-SHA256.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(&hmac::<Sha256>(SHORT_BLOCK, key, message));
    out
}

/// HMAC-SHA384.
pub(crate) fn hmac_sha384(key: &[u8], message: &[u8]) -> [u8; 48] {
    let mut out = [0; 48];
    out.copy_from_slice(&hmac::<Sha384>(LONG_BLOCK, key, message));
    out
}

fn hmac<D: Digest>(block: usize, key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = if key.len() > block { D::digest(key).to_vec() } else { key.to_vec() };
    let pad = |value: u8| -> Vec<u8> {
        (0..block).map(|at| value ^ key.get(at).copied().unwrap_or_default()).collect()
    };
    let inner = D::new().chain_update(pad(0x36)).chain_update(message).finalize();
    D::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{hmac_sha1, hmac_sha256, hmac_sha384};
    use crate::hex;

    const JEFE: &[u8] = b"what do ya want for nothing?";

    #[test]
    fn hmac_sha1_matches_rfc_2202() {
        assert_eq!(hex(&hmac_sha1(b"Jefe", JEFE)), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }

    #[test]
    fn hmac_sha2_matches_rfc_4231_section_4_3() {
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", JEFE)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac_sha384(b"Jefe", JEFE)),
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
        );
    }
}
