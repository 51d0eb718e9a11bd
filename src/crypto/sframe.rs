//! SFrame, RFC 9605: a media frame sealed end to end. In: a base key and a whole SFrame ciphertext. Out: whether its tag fits.
//!
//! Only the framing of the RFC; the drafts before it, and what applications put in front of it, are not handled.

use hkdf::Hkdf;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::block::{Aes, xor};
use super::gcm::{self, Gcm};
use super::mac::hmac_sha256;

/// Bytes of a nonce in all suites.
const NONCE: usize = 12;

/// Header of an SFrame ciphertext. RFC 9605 section 4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Key identifier.
    pub key_id: u64,
    /// Counter, which the nonce is made of.
    pub counter: u64,
    /// Bytes that the header takes, 1 to 17.
    pub length: usize,
}

/// Reads a header; `None` when the bytes end before it does.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let (config, rest) = bytes.split_first()?;
    let (key_id, taken) = value(config >> 4, rest)?;
    let (counter, more) = value(config & 0x0f, rest.get(taken..)?)?;
    Some(Header { key_id, counter, length: taken.saturating_add(more).saturating_add(1) })
}

/// A value of three bits in place, or of one to eight bytes that follow.
fn value(nibble: u8, rest: &[u8]) -> Option<(u64, usize)> {
    let low = nibble & 7;
    if nibble & 8 == 0 {
        return Some((u64::from(low), 0));
    }
    let length = usize::from(low).saturating_add(1);
    let bytes = rest.get(..length)?;
    Some((bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), length))
}

/// A cipher suite. RFC 9605 section 4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Suite {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// Bytes of the tag.
    pub tag: usize,
}

/// All suites of the RFC.
pub const SUITES: [Suite; 5] = [
    Suite { number: 1, name: "AES_128_CTR_HMAC_SHA256_80", tag: 10 },
    Suite { number: 2, name: "AES_128_CTR_HMAC_SHA256_64", tag: 8 },
    Suite { number: 3, name: "AES_128_CTR_HMAC_SHA256_32", tag: 4 },
    Suite { number: 4, name: "AES_128_GCM_SHA256_128", tag: gcm::TAG },
    Suite { number: 5, name: "AES_256_GCM_SHA512_128", tag: gcm::TAG },
];

impl Suite {
    /// log10 of the chance that the tag of one frame fits a wrong key.
    pub fn log10_chance(self) -> f64 {
        let bytes = u32::try_from(self.tag).unwrap_or(0);
        -f64::from(bytes) * std::f64::consts::LOG10_2 * 8.0
    }
}

/// The keys of one key identifier, derived; wiped when dropped.
pub struct Keys {
    suite: Suite,
    keyed: Keyed,
    salt: Zeroizing<[u8; NONCE]>,
}

enum Keyed {
    Counter(Aes, Zeroizing<Vec<u8>>),
    Gcm(Gcm),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Keys {
    /// Derives the keys of `key_id` from a base key. RFC 9605 section 4.4.2.
    pub fn new(suite: Suite, base_key: &[u8], key_id: u64) -> Option<Self> {
        let length = match suite.number {
            1..=3 => 48,
            4 => 16,
            _ => 32,
        };
        let mut key = Zeroizing::new(vec![0; length]);
        let mut salt = Zeroizing::new([0; NONCE]);
        let (id, number) = (key_id.to_be_bytes(), suite.number.to_be_bytes());
        let info = |label: &'static [u8]| [label, &id, &number].concat();
        let (key_info, salt_info) = (info(b"SFrame 1.0 Secret key "), info(b"SFrame 1.0 Secret salt "));
        if suite.number == 5 {
            let secret = Hkdf::<Sha512>::new(Some(&[]), base_key);
            secret.expand(&key_info, &mut key).ok()?;
            secret.expand(&salt_info, &mut *salt).ok()?;
        } else {
            let secret = Hkdf::<Sha256>::new(Some(&[]), base_key);
            secret.expand(&key_info, &mut key).ok()?;
            secret.expand(&salt_info, &mut *salt).ok()?;
        }
        let keyed = if suite.number < 4 {
            let (cipher, authentication) = key.split_at_checked(16)?;
            Keyed::Counter(Aes::new(cipher)?, Zeroizing::new(authentication.to_vec()))
        } else {
            Keyed::Gcm(Gcm::new(&key)?)
        };
        Some(Self { suite, keyed, salt })
    }

    /// Checks the tag of a whole ciphertext and, where it fits, leaves the frame in `plain`. `metadata` is what the application
    /// authenticates beside the header.
    pub fn open(&self, sealed: &[u8], header: &Header, metadata: &[u8], plain: &mut Vec<u8>) -> bool {
        plain.clear();
        self.opened(sealed, header, metadata, plain).is_some()
    }

    fn opened(&self, sealed: &[u8], header: &Header, metadata: &[u8], plain: &mut Vec<u8>) -> Option<()> {
        let (head, rest) = sealed.split_at_checked(header.length)?;
        let (body, tag) = rest.split_at_checked(rest.len().checked_sub(self.suite.tag)?)?;
        let mut nonce = *self.salt;
        xor(nonce.get_mut(4..)?, &header.counter.to_be_bytes());
        plain.extend_from_slice(body);
        match &self.keyed {
            Keyed::Gcm(gcm) => {
                let aad = [head, metadata].concat();
                gcm.open(&nonce, &aad, plain, tag.first_chunk()?).then_some(())
            }
            Keyed::Counter(aes, authentication) => {
                let length = |bytes: usize| u64::try_from(bytes).unwrap_or(0).to_be_bytes();
                let aad = length(head.len().saturating_add(metadata.len()));
                let code = hmac_sha256(
                    authentication,
                    &[&aad, &length(body.len()), &length(tag.len()), &nonce, head, metadata, body],
                );
                if !code.starts_with(tag) {
                    return None;
                }
                let mut first = [0; 16];
                xor(&mut first, &nonce);
                aes.ctr(first, plain);
                Some(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;
    use crate::bytes::near::near;
    use proptest::prelude::*;

    #[test]
    fn rfc_9605_c1_headers() {
        let cases = [
            ("00", 0, 0),
            ("0fffffffffffffffff", 0, u64::MAX),
            ("08ff", 0, 255),
            ("180100", 1, 1),
            ("990100ffff", 256, 65535),
            ("cf01000000000100000000000000", 1 << 32, 1 << 56),
        ];
        for (bytes, key_id, counter) in cases {
            let read = header(&hex(bytes)).unwrap();
            if bytes == "180100" {
                // One byte of counter is announced: what follows is no part of the header.
                assert_eq!((read.key_id, read.counter, read.length), (1, 1, 2));
                continue;
            }
            assert_eq!((read.key_id, read.counter, read.length), (key_id, counter, bytes.len() / 2));
            for cut in 0..bytes.len() / 2 {
                assert!(header(&hex(bytes)[..cut]).is_none());
            }
        }
    }

    /// RFC 9605 appendix C.3.
    #[test]
    fn rfc_9605_c3_frames() {
        let base = hex("000102030405060708090a0b0c0d0e0f");
        let metadata = hex("4945544620534672616d65205747");
        let frames = [
            "9901234567449408b6f490086165b9d6f62b24ae1a59a56486b4ae8ed036b88912e24f11",
            "99012345673f31438db4d09434e43afa0f8a2f00867a2be085046a9f5cb4f101d607",
            "990123456717fc8af28a5a695afcfc6c8df6358a17e26b2fcb3bae32e443",
            "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb",
            "990123456794f509d36e9beacb0e261d99c7d1e972f1fed787d4049f17ca21353c1cc24d56ceabced279",
        ];
        for (suite, frame) in SUITES.iter().zip(frames) {
            let mut frame = hex(frame);
            let read = header(&frame).unwrap();
            assert_eq!((read.key_id, read.counter, read.length), (0x123, 0x4567, 5));
            let keys = Keys::new(*suite, &base, read.key_id).unwrap();
            let mut plain = Vec::new();
            assert!(keys.open(&frame, &read, &metadata, &mut plain), "{}", suite.name);
            assert_eq!(plain, b"draft-ietf-sframe-enc");
            assert!(!keys.open(&frame, &read, b"", &mut plain), "other metadata");
            frame[8] ^= 1;
            assert!(!keys.open(&frame, &read, &metadata, &mut plain), "a flipped bit");
        }
    }

    proptest! {
        #[test]
        fn near_a_frame_only_what_was_sealed_opens(
            frame in near([hex("99012345673f31438db4d09434e43afa0f8a2f00867a2be085046a9f5cb4f101d607")]),
        ) {
            let sealed = hex("99012345673f31438db4d09434e43afa0f8a2f00867a2be085046a9f5cb4f101d607");
            let base = hex("000102030405060708090a0b0c0d0e0f");
            if let Some(read) = header(&frame) {
                prop_assert!((1..=17.min(frame.len())).contains(&read.length));
                prop_assert_eq!(header(&frame[..read.length]), Some(read));
                let keys = Keys::new(SUITES[1], &base, 0x123).unwrap();
                let opened = keys.open(&frame, &read, &hex("4945544620534672616d65205747"), &mut Vec::new());
                prop_assert_eq!(opened, frame == sealed);
            }
        }
    }
}
