//! Units sealed under a cipher, with the key of the trial.

use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes128, Block};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::Aead as _;

use crate::rng::Rng;
use crate::wire::Framing;

/// How units are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cipher {
    EcbZeros,
    EcbPkcs7,
    /// A random IV ahead of each unit, PKCS #7.
    Cbc,
    /// One counter for the whole stream, nothing added.
    Ctr,
    Gcm,
    /// AES in counter mode with a tag of 80 bits behind it (RFC 3711); the tag is of chance.
    Srtp,
}

impl Cipher {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::EcbZeros => "ECB, zero padding",
            Self::EcbPkcs7 => "ECB, PKCS #7",
            Self::Cbc => "CBC",
            Self::Ctr => "CTR",
            Self::Gcm => "GCM",
            Self::Srtp => "SRTP",
        }
    }
}

/// Seals the units of one stream.
pub(crate) struct Sealer {
    cipher: Cipher,
    framing: Framing,
    aes: Aes128,
    gcm: Aes256Gcm,
    counter: u128,
    nonce: u32,
    rng: Rng,
}

impl Sealer {
    /// `keys` gives the key: under ECB one for all streams of a session.
    pub(crate) fn new(cipher: Cipher, framing: Framing, keys: &[u8; 32], stream: u8, rng: &mut Rng) -> Self {
        let mut short: [u8; 16] = keys[..16].try_into().unwrap();
        let mut long = *keys;
        if !matches!(cipher, Cipher::EcbZeros | Cipher::EcbPkcs7) {
            short[0] ^= stream;
            long[0] ^= stream;
        }
        Self {
            cipher,
            framing,
            aes: Aes128::new(&short.into()),
            gcm: Aes256Gcm::new(&long.into()),
            counter: u128::from_be_bytes(rng.array()),
            nonce: 0,
            rng: Rng::named(&format!("{stream} {}", rng.next())),
        }
    }

    /// The unit as it goes on the wire; `wide` is for pictures in Zoom's framing, whose length has four bytes.
    pub(crate) fn unit(&mut self, plain: &[u8], wide: bool) -> Vec<u8> {
        let mut out = match (self.framing, wide) {
            (Framing::Payload, _) => Vec::new(),
            (Framing::Zoom, false) => (plain.len() as u16).to_be_bytes().to_vec(),
            (Framing::Zoom, true) => (plain.len() as u32).to_be_bytes().to_vec(),
        };
        match self.cipher {
            Cipher::EcbZeros => {
                let mut clear = plain.to_vec();
                clear.resize(plain.len().div_ceil(16) * 16, 0);
                out.extend(self.blocks(&clear));
            }
            Cipher::EcbPkcs7 => out.extend(self.blocks(&pkcs7(plain))),
            Cipher::Cbc => {
                let mut chain: [u8; 16] = self.rng.array();
                out.extend(chain);
                for block in pkcs7(plain).as_chunks::<16>().0 {
                    let mut mixed = Block::from(std::array::from_fn(|at| block[at] ^ chain[at]));
                    self.aes.encrypt_block(&mut mixed);
                    chain = mixed.into();
                    out.extend(chain);
                }
            }
            Cipher::Ctr => out.extend(self.counted(plain)),
            Cipher::Srtp => {
                out.extend(self.counted(plain));
                out.extend(self.rng.array::<10>());
            }
            Cipher::Gcm => {
                self.nonce += 1;
                let mut nonce = [0; 12];
                nonce[..4].copy_from_slice(&self.nonce.to_le_bytes());
                if self.framing == Framing::Zoom {
                    out.push(12);
                    out.extend(nonce);
                    out.push(0);
                }
                out.extend(self.gcm.encrypt(&nonce.into(), plain).unwrap());
            }
        }
        out
    }

    fn blocks(&self, clear: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(clear.len());
        for block in clear.as_chunks::<16>().0 {
            let mut block = Block::from(*block);
            self.aes.encrypt_block(&mut block);
            out.extend(block);
        }
        out
    }

    fn counted(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len());
        for chunk in plain.chunks(16) {
            let mut stream = Block::from(self.counter.to_be_bytes());
            self.counter = self.counter.wrapping_add(1);
            self.aes.encrypt_block(&mut stream);
            out.extend(chunk.iter().zip(stream).map(|(byte, key)| byte ^ key));
        }
        out
    }
}

fn pkcs7(plain: &[u8]) -> Vec<u8> {
    let more = 16 - plain.len() % 16;
    let mut clear = plain.to_vec();
    clear.resize(plain.len() + more, more as u8);
    clear
}
