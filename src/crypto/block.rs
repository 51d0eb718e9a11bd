//! AES by the block, and its modes without a tag: ECB, CBC, CTR (NIST SP 800-38A). In: a key of 16, 24 or 32 bytes, and
//! bytes. Out: the bytes, changed in place.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};

/// Bytes of a block.
pub const BLOCK: usize = 16;

/// AES with its key schedule; wiped when dropped.
pub struct Aes {
    keyed: Keyed,
}

enum Keyed {
    Aes128(Box<Aes128>),
    Aes192(Box<Aes192>),
    Aes256(Box<Aes256>),
}

impl std::fmt::Debug for Aes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aes").field("bits", &self.bits()).finish_non_exhaustive()
    }
}

impl Aes {
    /// AES with this key; `None` unless it has 16, 24 or 32 bytes.
    pub fn new(key: &[u8]) -> Option<Self> {
        let keyed = match key.len() {
            16 => Keyed::Aes128(Box::new(Aes128::new_from_slice(key).ok()?)),
            24 => Keyed::Aes192(Box::new(Aes192::new_from_slice(key).ok()?)),
            32 => Keyed::Aes256(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        };
        Some(Self { keyed })
    }

    /// Bits of the key: 128, 192 or 256.
    pub const fn bits(&self) -> u16 {
        match self.keyed {
            Keyed::Aes128(_) => 128,
            Keyed::Aes192(_) => 192,
            Keyed::Aes256(_) => 256,
        }
    }

    /// Encrypts one block.
    pub fn encrypt(&self, block: &mut [u8; BLOCK]) {
        let mut held = (*block).into();
        match &self.keyed {
            Keyed::Aes128(aes) => aes.encrypt_block(&mut held),
            Keyed::Aes192(aes) => aes.encrypt_block(&mut held),
            Keyed::Aes256(aes) => aes.encrypt_block(&mut held),
        }
        *block = held.into();
    }

    /// Decrypts one block.
    pub fn decrypt(&self, block: &mut [u8; BLOCK]) {
        let mut held = (*block).into();
        match &self.keyed {
            Keyed::Aes128(aes) => aes.decrypt_block(&mut held),
            Keyed::Aes192(aes) => aes.decrypt_block(&mut held),
            Keyed::Aes256(aes) => aes.decrypt_block(&mut held),
        }
        *block = held.into();
    }

    /// Decrypts whole blocks, each by itself (ECB). A last part of a block stays as it is.
    pub fn ecb_decrypt(&self, data: &mut [u8]) {
        for block in data.as_chunks_mut::<BLOCK>().0 {
            self.decrypt(block);
        }
    }

    /// Decrypts whole blocks, each chained to the one before (CBC). A last part of a block stays as it is.
    pub fn cbc_decrypt(&self, iv: [u8; BLOCK], data: &mut [u8]) {
        let mut before = iv;
        for block in data.as_chunks_mut::<BLOCK>().0 {
            let sealed = *block;
            self.decrypt(block);
            xor(block, &before);
            before = sealed;
        }
    }

    /// Encrypts or decrypts with the key stream of a counter (CTR) that counts all 16 bytes, most significant first.
    pub fn ctr(&self, first: [u8; BLOCK], data: &mut [u8]) {
        let mut counter = u128::from_be_bytes(first);
        for part in data.chunks_mut(BLOCK) {
            let mut stream = counter.to_be_bytes();
            self.encrypt(&mut stream);
            xor(part, &stream);
            counter = counter.wrapping_add(1);
        }
    }
}

/// Adds `mask` to `bytes`, as far as both go.
pub fn xor(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;

    /// The four blocks of plaintext of NIST SP 800-38A appendix F.
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
    const KEYS: [&str; 3] = [
        "2b7e151628aed2a6abf7158809cf4f3c",
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
    ];
    const IV: &str = "000102030405060708090a0b0c0d0e0f";
    const COUNTER: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

    fn block(text: &str) -> [u8; 16] {
        hex(text).try_into().unwrap()
    }

    #[test]
    fn sp_800_38a_f1_ecb() {
        let sealed = [
            "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf\
             43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
            "bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eef\
             ef7afd2270e2e60adce0ba2face6444e9a4b41ba738d6c72fb16691603c18e0e",
            "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870\
             b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7",
        ];
        for (key, sealed) in KEYS.iter().zip(sealed) {
            let mut data = hex(sealed);
            Aes::new(&hex(key)).unwrap().ecb_decrypt(&mut data);
            assert_eq!(data, hex(PLAIN));
        }
    }

    #[test]
    fn sp_800_38a_f2_cbc() {
        let sealed = [
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
             73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a\
             571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d\
             39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
        ];
        for (key, sealed) in KEYS.iter().zip(sealed) {
            let mut data = hex(sealed);
            Aes::new(&hex(key)).unwrap().cbc_decrypt(block(IV), &mut data);
            assert_eq!(data, hex(PLAIN));
        }
    }

    #[test]
    fn sp_800_38a_f5_ctr() {
        let sealed = [
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff\
             5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
            "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94\
             1e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050",
            "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5\
             2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
        ];
        for (key, sealed) in KEYS.iter().zip(sealed) {
            let mut data = hex(sealed);
            Aes::new(&hex(key)).unwrap().ctr(block(COUNTER), &mut data);
            assert_eq!(data, hex(PLAIN));
        }
    }

    /// RFC 3711 appendix B.2: the segment of key stream at both ends of its test.
    #[test]
    fn rfc_3711_b2_key_stream() {
        let aes = Aes::new(&hex("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        let mut stream = vec![0; 16 * 0xff02];
        aes.ctr(block("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000"), &mut stream);
        let at = |block: usize| &stream[block * 16..block * 16 + 16];
        assert_eq!(at(0), hex("e03ead0935c95e80e166b16dd92b4eb4"));
        assert_eq!(at(1), hex("d23513162b02d0f72a43a2fe4a5f97ab"));
        assert_eq!(at(0xfeff), hex("ec8cdf7398607cb0f2d21675ea9ea1e4"));
        assert_eq!(at(0xff01), hex("6a2cc3787889374fbeb4c81b17ba6c44"));
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        for length in (0..40).filter(|length| ![16, 24, 32].contains(length)) {
            assert!(Aes::new(&vec![7; length]).is_none());
        }
    }
}
