//! HMAC (RFC 2104) with SHA-1 and SHA-256. In: a key and bytes. Out: the code.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// HMAC-SHA1 with its key taken in, to be used for many messages; wiped when dropped.
#[derive(Clone)]
pub struct HmacSha1 {
    keyed: Hmac<Sha1>,
}

impl std::fmt::Debug for HmacSha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HmacSha1").finish_non_exhaustive()
    }
}

impl HmacSha1 {
    /// HMAC-SHA1 with this key, of any length.
    pub fn new(key: &[u8]) -> Option<Self> {
        Some(Self { keyed: Hmac::new_from_slice(key).ok()? })
    }

    /// Takes in more of the message.
    pub fn update(&mut self, part: &[u8]) {
        self.keyed.update(part);
    }

    /// The code of all that was taken in.
    pub fn finish(self) -> [u8; 20] {
        self.keyed.finalize().into_bytes().into()
    }
}

/// HMAC-SHA256 of the parts of a message one after the other.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes a key of any length; the fallback cannot be reached.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;

    #[test]
    fn rfc_2202_hmac_sha1_test_cases_2_and_6() {
        let mut mac = HmacSha1::new(b"Jefe").unwrap();
        mac.update(b"what do ya want ");
        mac.update(b"for nothing?");
        assert_eq!(mac.finish(), *hex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
        let mut mac = HmacSha1::new(&[0xaa; 80]).unwrap();
        mac.update(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(mac.finish(), *hex("aa4ae5e15272d00e95705637ce8a3b55ed402112"));
    }

    #[test]
    fn rfc_4231_hmac_sha256_test_case_2() {
        let code = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(code, *hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
    }
}
