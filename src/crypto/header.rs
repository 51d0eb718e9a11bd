//! Header protection of QUIC and DTLS 1.3: a mask out of a sample of the ciphertext. RFC 9001 section 5.4, RFC 9147 section
//! 4.2.3.

use std::fmt;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use zeroize::Zeroizing;

use super::aead::Algorithm;

/// Bytes of ciphertext that a mask is made of.
pub const SAMPLE: usize = 16;
/// Bytes of a mask.
pub const MASK: usize = 5;

/// A header protection key; wiped when dropped.
pub struct HeaderKey(Cipher);

enum Cipher {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
    ChaCha20(Zeroizing<[u8; 32]>),
}

impl fmt::Debug for HeaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderKey")
    }
}

impl HeaderKey {
    /// The key that goes with packets sealed by `algorithm`, as long as its own; `None` for any other length.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::Aes128Gcm | Algorithm::Aes128Ccm | Algorithm::Aes128Ccm8 => {
                Cipher::Aes128(Box::new(Aes128::new_from_slice(key).ok()?))
            }
            Algorithm::Aes256Gcm | Algorithm::Aes256Ccm | Algorithm::Aes256Ccm8 => {
                Cipher::Aes256(Box::new(Aes256::new_from_slice(key).ok()?))
            }
            Algorithm::ChaCha20Poly1305 => Cipher::ChaCha20(Zeroizing::new(key.try_into().ok()?)),
        }))
    }

    /// The mask for a sample.
    pub fn mask(&self, sample: &[u8; SAMPLE]) -> [u8; MASK] {
        let mut block = (*sample).into();
        match &self.0 {
            Cipher::Aes128(cipher) => cipher.encrypt_block(&mut block),
            Cipher::Aes256(cipher) => cipher.encrypt_block(&mut block),
            Cipher::ChaCha20(key) => return chacha_mask(key, sample),
        }
        block.first_chunk().copied().unwrap_or_default()
    }
}

/// [`HeaderKey::mask`] with a key of AES-128 that is asked once: its schedule is not kept, and takes no memory of its own.
pub fn aes128_mask(key: &[u8; 16], sample: &[u8; SAMPLE]) -> [u8; MASK] {
    let mut block = (*sample).into();
    Aes128::new(key.into()).encrypt_block(&mut block);
    block.first_chunk().copied().unwrap_or_default()
}

/// The sample is the block counter and the nonce (RFC 9001 section 5.4.4).
fn chacha_mask(key: &[u8; 32], sample: &[u8; SAMPLE]) -> [u8; MASK] {
    let [a, b, c, d, nonce @ ..] = *sample;
    let mut mask = [0; MASK];
    let mut cipher = ChaCha20::new(key.into(), &nonce.into());
    // In bytes of key stream, of which a block has 64. The last block there is can be sought too, so nothing fails here;
    // a zero mask opens nothing.
    let position = u64::from(u32::from_le_bytes([a, b, c, d])).saturating_mul(64);
    if cipher.try_seek(position).is_ok() {
        let _ = cipher.try_apply_keystream(&mut mask);
    }
    mask
}
