//! Authenticated decryption. In: a key, a nonce, what the tag covers, ciphertext with its tag behind it. Out: the plaintext
//! in the place of the ciphertext, and only ever after the tag was checked. RFC 5116, 5288, 6655, 8439.

use std::fmt;

use aes_gcm::aead::consts::{U8, U12, U16};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, KeyInit};
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;

use super::gcm::{self, Gcm};

/// Bytes of a nonce of every algorithm here (RFC 5116 section 3.2).
pub const NONCE: usize = 12;

/// An AEAD algorithm of TLS and QUIC, as the registry of RFC 5116 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers map all of them")]
pub enum Algorithm {
    /// `AEAD_AES_128_GCM`.
    Aes128Gcm,
    /// `AEAD_AES_256_GCM`.
    Aes256Gcm,
    /// `AEAD_CHACHA20_POLY1305`.
    ChaCha20Poly1305,
    /// `AEAD_AES_128_CCM`.
    Aes128Ccm,
    /// `AEAD_AES_256_CCM`.
    Aes256Ccm,
    /// `AEAD_AES_128_CCM_8`.
    Aes128Ccm8,
    /// `AEAD_AES_256_CCM_8`.
    Aes256Ccm8,
}

impl Algorithm {
    /// Bytes of a key: 16 or 32.
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ccm | Self::Aes128Ccm8 => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 | Self::Aes256Ccm | Self::Aes256Ccm8 => 32,
        }
    }

    /// Bytes of a tag: 8 or 16.
    pub const fn tag_length(self) -> usize {
        match self {
            Self::Aes128Ccm8 | Self::Aes256Ccm8 => 8,
            Self::Aes128Gcm
            | Self::Aes256Gcm
            | Self::ChaCha20Poly1305
            | Self::Aes128Ccm
            | Self::Aes256Ccm => 16,
        }
    }
}

/// A key with its schedule expanded; wiped when dropped.
pub struct OpeningKey {
    algorithm: Algorithm,
    cipher: Cipher,
}

/// Boxed: a schedule takes up to a kilobyte, and keys are moved about.
enum Cipher {
    Gcm(Gcm),
    ChaCha20Poly1305(Box<ChaCha20Poly1305>),
    Aes128Ccm(Box<Ccm<aes::Aes128, U16, U12>>),
    Aes256Ccm(Box<Ccm<aes::Aes256, U16, U12>>),
    Aes128Ccm8(Box<Ccm<aes::Aes128, U8, U12>>),
    Aes256Ccm8(Box<Ccm<aes::Aes256, U8, U12>>),
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn cipher<C: KeyInit>(key: &[u8]) -> Option<Box<C>> {
    C::new_from_slice(key).ok().map(Box::new)
}

fn opened<C: AeadInOut<NonceSize = U12>>(
    cipher: &C,
    nonce: &[u8; NONCE],
    aad: &[u8],
    body: &mut [u8],
    tag: &[u8],
) -> bool {
    let Ok(tag) = tag.try_into() else { return false };
    cipher.decrypt_inout_detached(&(*nonce).into(), aad, InOutBuf::from(body), tag).is_ok()
}

impl OpeningKey {
    /// A key of [`Algorithm::key_length`] bytes; `None` for any other length.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        if key.len() != algorithm.key_length() {
            return None;
        }
        let cipher = match algorithm {
            Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => Cipher::Gcm(Gcm::new(key)?),
            Algorithm::ChaCha20Poly1305 => Cipher::ChaCha20Poly1305(cipher(key)?),
            Algorithm::Aes128Ccm => Cipher::Aes128Ccm(cipher(key)?),
            Algorithm::Aes256Ccm => Cipher::Aes256Ccm(cipher(key)?),
            Algorithm::Aes128Ccm8 => Cipher::Aes128Ccm8(cipher(key)?),
            Algorithm::Aes256Ccm8 => Cipher::Aes256Ccm8(cipher(key)?),
        };
        Some(Self { algorithm, cipher })
    }

    /// Which algorithm it is for.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Opens `sealed` (ciphertext, then tag) in place. How many bytes of plaintext stand at its start now; `None` when it is
    /// shorter than a tag or the tag does not fit, and then its bytes are of no use.
    pub fn open(&self, nonce: &[u8; NONCE], aad: &[u8], sealed: &mut [u8]) -> Option<usize> {
        let length = sealed.len().checked_sub(self.algorithm.tag_length())?;
        let (body, tag) = sealed.split_at_mut_checked(length)?;
        let fits = match &self.cipher {
            Cipher::Gcm(cipher) => {
                (&*tag).try_into().is_ok_and(|tag: &[u8; gcm::TAG]| cipher.open(nonce, aad, body, tag))
            }
            Cipher::ChaCha20Poly1305(cipher) => opened(&**cipher, nonce, aad, body, tag),
            Cipher::Aes128Ccm(cipher) => opened(&**cipher, nonce, aad, body, tag),
            Cipher::Aes256Ccm(cipher) => opened(&**cipher, nonce, aad, body, tag),
            Cipher::Aes128Ccm8(cipher) => opened(&**cipher, nonce, aad, body, tag),
            Cipher::Aes256Ccm8(cipher) => opened(&**cipher, nonce, aad, body, tag),
        };
        fits.then_some(length)
    }
}

/// The nonce of a record or packet: its number in the lowest eight bytes, combined with the static part by exclusive or
/// (RFC 8446 section 5.3, RFC 7905 section 2, RFC 9001 section 5.3).
pub fn numbered_nonce(iv: &[u8; NONCE], number: u64) -> [u8; NONCE] {
    let mut nonce = *iv;
    for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
        *byte ^= part;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    #[test]
    fn rfc8439_section_2_8_2_opens() {
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce: [u8; 12] = hex("070000004041424344454647").try_into().unwrap();
        let aad = hex("50515253c0c1c2c3c4c5c6c7");
        let mut sealed = hex(
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
             1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
             3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
        );
        let key = OpeningKey::new(Algorithm::ChaCha20Poly1305, &key).unwrap();
        let mut wrong = sealed.clone();
        wrong[3] ^= 4;
        assert_eq!(key.open(&nonce, &aad, &mut wrong), None);
        let length = key.open(&nonce, &aad, &mut sealed).unwrap();
        assert!(sealed[..length].starts_with(b"Ladies and Gentlemen of the class of '99"));
    }

    /// A nonce of twelve bytes and a tag of eight, as in TLS.
    #[test]
    fn nist_sp_800_38c_example_3_opens() {
        let key: Vec<u8> = (0x40..=0x4f).collect();
        let nonce: [u8; 12] = hex("101112131415161718191a1b").try_into().unwrap();
        let aad: Vec<u8> = (0..=0x13).collect();
        let mut sealed = hex("e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951");
        let key = OpeningKey::new(Algorithm::Aes128Ccm8, &key).unwrap();
        assert_eq!(key.open(&nonce, &aad, &mut sealed), Some(24));
        assert_eq!(sealed[..24], hex("202122232425262728292a2b2c2d2e2f3031323334353637"));
    }

    #[test]
    fn keys_and_inputs_of_wrong_length_are_refused() {
        for (algorithm, length) in [(Algorithm::Aes128Gcm, 16), (Algorithm::Aes256Ccm8, 32)] {
            assert!(OpeningKey::new(algorithm, &vec![0; length + 1]).is_none());
            let key = OpeningKey::new(algorithm, &vec![0; length]).unwrap();
            assert_eq!(key.open(&[0; 12], &[], &mut [0; 7]), None);
            assert!(!format!("{key:?}").contains("00"));
        }
    }
}
