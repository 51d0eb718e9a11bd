//! AES-GCM with a nonce of 12 and a tag of 16 bytes (NIST SP 800-38D). In: a key, and what was sealed. Out: whether the tag
//! fits, and then the plaintext in place.

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};

/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes of a tag.
pub const TAG: usize = 16;

/// AES-GCM with its key schedule; wiped when dropped.
pub struct Gcm {
    keyed: Keyed,
}

enum Keyed {
    Aes128(Box<AesGcm<Aes128, U12>>),
    Aes192(Box<AesGcm<Aes192, U12>>),
    Aes256(Box<AesGcm<Aes256, U12>>),
}

impl std::fmt::Debug for Gcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gcm").finish_non_exhaustive()
    }
}

impl Gcm {
    /// AES-GCM with this key; `None` unless it has 16, 24 or 32 bytes.
    pub fn new(key: &[u8]) -> Option<Self> {
        let keyed = match key.len() {
            16 => Keyed::Aes128(Box::new(AesGcm::new_from_slice(key).ok()?)),
            24 => Keyed::Aes192(Box::new(AesGcm::new_from_slice(key).ok()?)),
            32 => Keyed::Aes256(Box::new(AesGcm::new_from_slice(key).ok()?)),
            _ => return None,
        };
        Some(Self { keyed })
    }

    /// Checks the tag and, where it fits, decrypts `body` in place. False: `body` is as it was.
    pub fn open(&self, nonce: &[u8; NONCE], aad: &[u8], body: &mut [u8], tag: &[u8; TAG]) -> bool {
        let (nonce, tag) = ((*nonce).into(), (*tag).into());
        let body = InOutBuf::from(body);
        match &self.keyed {
            Keyed::Aes128(gcm) => gcm.decrypt_inout_detached(&nonce, aad, body, &tag),
            Keyed::Aes192(gcm) => gcm.decrypt_inout_detached(&nonce, aad, body, &tag),
            Keyed::Aes256(gcm) => gcm.decrypt_inout_detached(&nonce, aad, body, &tag),
        }
        .is_ok()
    }
}

/// [`Gcm::open`] with a key of AES-128 that opens nothing else: its schedule is not kept, and takes no memory of its own.
pub fn open_aes128(
    key: &[u8; 16],
    nonce: &[u8; NONCE],
    aad: &[u8],
    body: &mut [u8],
    tag: &[u8; TAG],
) -> bool {
    let gcm = AesGcm::<Aes128, U12>::new(key.into());
    gcm.decrypt_inout_detached(&(*nonce).into(), aad, InOutBuf::from(body), &(*tag).into()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;

    /// RFC 7714 sections 16.1.1 and 16.2.1 at the level of the AEAD: the header is the associated data.
    #[test]
    fn rfc_7714_16_opens_and_a_flipped_bit_does_not() {
        let cases = [
            (
                "000102030405060708090a0b0c0d0e0f",
                "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833",
                "899d7f27beb16a9152cf765ee4390cce",
            ),
            (
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b",
                "7aa3db36dfffd6b0f9bb7878d7a76c13",
            ),
        ];
        let nonce: [u8; 12] = hex("51753c6580c2726f20718414").try_into().unwrap();
        let aad = hex("8040f17b8041f8d35501a0b2");
        for (key, sealed, tag) in cases {
            let gcm = Gcm::new(&hex(key)).unwrap();
            let tag: [u8; 16] = hex(tag).try_into().unwrap();
            let mut body = hex(sealed);
            assert!(gcm.open(&nonce, &aad, &mut body, &tag));
            assert_eq!(body, b"Gallia est omnis divisa in partes tres");
            let mut body = hex(sealed);
            body[5] ^= 4;
            assert!(!gcm.open(&nonce, &aad, &mut body, &tag));
        }
    }

    /// Test case 8 of the proposal to NIST (McGrew and Viega): AES-192, an empty key, one empty block.
    #[test]
    fn aes_192_gcm_opens() {
        let gcm = Gcm::new(&[0; 24]).unwrap();
        let mut body = hex("98e7247c07f0fe411c267e4384b0f600");
        let tag: [u8; 16] = hex("2ff58d80033927ab8ef4d4587514f0fb").try_into().unwrap();
        assert!(gcm.open(&[0; 12], &[], &mut body, &tag));
        assert_eq!(body, [0; 16]);
    }
}
