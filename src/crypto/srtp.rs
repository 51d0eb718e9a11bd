//! SRTP: RFC 3711 (AES-CM, NULL, HMAC-SHA1), RFC 6188 (AES-192 and AES-256), RFC 7714 (AES-GCM). In: master key and salt,
//! a packet, the length of its header. Out: whether its tag fits, and then the payload.
//!
//! Key derivation rate 0 only, as every known implementation has it. SRTCP, F8 and Cryptex (RFC 9335) are not handled.

use zeroize::Zeroizing;

use super::block::{Aes, xor};
use super::gcm::{self, Gcm};
use super::mac::HmacSha1;

/// Labels of the key derivation, RFC 3711 section 4.3.2.
const LABEL_CIPHER: u8 = 0;
const LABEL_AUTHENTICATION: u8 = 1;
const LABEL_SALT: u8 = 2;
/// Bytes of a key for HMAC-SHA1, RFC 3711 section 5.2.
const AUTHENTICATION_KEY: usize = 20;
/// Bytes of a salt of AES-CM.
const SALT: usize = 14;

/// What protects a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the transforms of the three RFCs")]
pub enum Transform {
    /// AES in counter mode with HMAC-SHA1.
    AesCm,
    /// No cipher, with HMAC-SHA1.
    Null,
    /// AES-GCM.
    Gcm,
}

/// A suite: transform and lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Suite {
    /// Its name in SDP (RFC 4568, RFC 6188, RFC 7714).
    pub name: &'static str,
    /// What protects a packet.
    pub transform: Transform,
    /// Bytes of the master key.
    pub key: usize,
    /// Bytes of the master salt.
    pub salt: usize,
    /// Bytes of the tag.
    pub tag: usize,
}

const fn suite(name: &'static str, transform: Transform, key: usize, tag: usize) -> Suite {
    let salt = if matches!(transform, Transform::Gcm) { gcm::NONCE } else { SALT };
    Suite { name, transform, key, salt, tag }
}

/// All suites with a cipher, the most usual first.
pub const SUITES: [Suite; 8] = [
    suite("AES_CM_128_HMAC_SHA1_80", Transform::AesCm, 16, 10),
    suite("AES_CM_128_HMAC_SHA1_32", Transform::AesCm, 16, 4),
    suite("AEAD_AES_128_GCM", Transform::Gcm, 16, gcm::TAG),
    suite("AEAD_AES_256_GCM", Transform::Gcm, 32, gcm::TAG),
    suite("AES_256_CM_HMAC_SHA1_80", Transform::AesCm, 32, 10),
    suite("AES_256_CM_HMAC_SHA1_32", Transform::AesCm, 32, 4),
    suite("AES_192_CM_HMAC_SHA1_80", Transform::AesCm, 24, 10),
    suite("AES_192_CM_HMAC_SHA1_32", Transform::AesCm, 24, 4),
];

/// The suites without a cipher, which SDP has no names for (RFC 4568 section 6.3.2 has a session parameter).
const NULL_SUITES: [Suite; 2] =
    [suite("NULL_HMAC_SHA1_80", Transform::Null, 16, 10), suite("NULL_HMAC_SHA1_32", Transform::Null, 16, 4)];

impl Suite {
    /// The suite that SDP calls so.
    pub fn named(name: &str) -> Option<Self> {
        SUITES.iter().chain(&NULL_SUITES).find(|suite| suite.name.eq_ignore_ascii_case(name)).copied()
    }

    /// The suite of a `use_srtp` profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2); wire value.
    pub fn of_profile(profile: u16) -> Option<Self> {
        let name = match profile {
            0x0001 => "AES_CM_128_HMAC_SHA1_80",
            0x0002 => "AES_CM_128_HMAC_SHA1_32",
            0x0005 => "NULL_HMAC_SHA1_80",
            0x0006 => "NULL_HMAC_SHA1_32",
            0x0007 => "AEAD_AES_128_GCM",
            0x0008 => "AEAD_AES_256_GCM",
            _ => return None,
        };
        Self::named(name)
    }

    /// log10 of the chance that the tag of one packet fits a wrong key.
    pub fn log10_chance(self) -> f64 {
        let bytes = u32::try_from(self.tag).unwrap_or(0);
        -f64::from(bytes) * std::f64::consts::LOG10_2 * 8.0
    }
}

/// The keys of one stream or direction, derived; wiped when dropped.
pub struct Session {
    suite: Suite,
    keyed: Keyed,
    salt: Zeroizing<[u8; SALT]>,
}

enum Keyed {
    Counter(Aes, HmacSha1),
    Gcm(Gcm),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Session {
    /// Derives the session keys. `None` when master key or salt have another length than the suite asks for.
    pub fn new(suite: Suite, key: &[u8], salt: &[u8]) -> Option<Self> {
        if key.len() != suite.key || salt.len() != suite.salt {
            return None;
        }
        let master = Aes::new(key)?;
        // RFC 7714 section 11: a salt of 96 bits is filled up with zeros on the right.
        let mut master_salt = Zeroizing::new([0; SALT]);
        xor(&mut *master_salt, salt);
        let derive = |label, length| derive(&master, &master_salt, label, length);
        let cipher = derive(LABEL_CIPHER, suite.key);
        let authentication = derive(LABEL_AUTHENTICATION, AUTHENTICATION_KEY);
        let salt = derive(LABEL_SALT, suite.salt);
        Self::of_session_keys(suite, &cipher, &authentication, &salt)
    }

    fn of_session_keys(suite: Suite, cipher: &[u8], authentication: &[u8], salt: &[u8]) -> Option<Self> {
        let keyed = match suite.transform {
            Transform::Gcm => Keyed::Gcm(Gcm::new(cipher)?),
            Transform::AesCm | Transform::Null => {
                Keyed::Counter(Aes::new(cipher)?, HmacSha1::new(authentication)?)
            }
        };
        let mut held = Zeroizing::new([0; SALT]);
        xor(&mut *held, salt);
        Some(Self { suite, keyed, salt: held })
    }

    /// The suite.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Which of the rollover counters makes the tag of `packet` fit, whose RTP header takes `header` bytes and whose
    /// master key identifier `mki` bytes. `scratch` is a working copy.
    pub fn rollover(
        &self,
        packet: &[u8],
        header: usize,
        mki: usize,
        mut counters: impl Iterator<Item = u32>,
        scratch: &mut Vec<u8>,
    ) -> Option<u32> {
        match &self.keyed {
            Keyed::Counter(_, mac) => {
                let (body, tag) = self.counter_parts(packet, header, mki)?;
                let mut mac = mac.clone();
                mac.update(body);
                counters.find(|counter| {
                    let mut mac = mac.clone();
                    mac.update(&counter.to_be_bytes());
                    mac.finish().starts_with(tag)
                })
            }
            Keyed::Gcm(_) => counters.find(|counter| self.open(packet, header, mki, *counter, scratch)),
        }
    }

    /// Checks the tag of a packet and, where it fits, leaves its payload in `payload`.
    pub fn open(
        &self,
        packet: &[u8],
        header: usize,
        mki: usize,
        counter: u32,
        payload: &mut Vec<u8>,
    ) -> bool {
        payload.clear();
        self.opened(packet, header, mki, counter, payload).is_some()
    }

    fn opened(
        &self,
        packet: &[u8],
        header: usize,
        mki: usize,
        counter: u32,
        payload: &mut Vec<u8>,
    ) -> Option<()> {
        let (sequence, ssrc) = (packet.get(2..4)?, packet.get(8..12)?);
        match &self.keyed {
            Keyed::Counter(aes, mac) => {
                let (body, tag) = self.counter_parts(packet, header, mki)?;
                let mut mac = mac.clone();
                mac.update(body);
                mac.update(&counter.to_be_bytes());
                if !mac.finish().starts_with(tag) {
                    return None;
                }
                payload.extend_from_slice(body.get(header..)?);
                if self.suite.transform == Transform::AesCm {
                    // RFC 3711 section 4.1.1: the salt, the source at byte 4, the index at byte 8.
                    let mut iv = [0; 16];
                    xor(&mut iv, &*self.salt);
                    xor(iv.get_mut(4..)?, ssrc);
                    xor(iv.get_mut(8..)?, &counter.to_be_bytes());
                    xor(iv.get_mut(12..)?, sequence);
                    aes.ctr(iv, payload);
                }
            }
            Keyed::Gcm(gcm) => {
                let sealed = packet.len().checked_sub(mki).and_then(|end| packet.get(..end))?;
                let (whole, tag) = sealed.split_last_chunk::<{ gcm::TAG }>()?;
                let (aad, body) = whole.split_at_checked(header)?;
                // RFC 7714 section 8.1: two zeros, source, counter, sequence number, and the salt.
                let mut nonce = [0; gcm::NONCE];
                xor(nonce.get_mut(2..)?, ssrc);
                xor(nonce.get_mut(6..)?, &counter.to_be_bytes());
                xor(nonce.get_mut(10..)?, sequence);
                xor(&mut nonce, &*self.salt);
                payload.extend_from_slice(body);
                if !gcm.open(&nonce, aad, payload, tag) {
                    return None;
                }
            }
        }
        Some(())
    }

    /// What the tag covers, and the tag; the master key identifier stands between them (RFC 3711 section 3.1).
    fn counter_parts<'p>(&self, packet: &'p [u8], header: usize, mki: usize) -> Option<(&'p [u8], &'p [u8])> {
        let (rest, tag) = packet.split_at_checked(packet.len().checked_sub(self.suite.tag)?)?;
        let body = rest.get(..rest.len().checked_sub(mki)?)?;
        (body.len() >= header).then_some((body, tag))
    }
}

/// RFC 3711 section 4.3: the key stream of the master key from the salt with the label.
fn derive(master: &Aes, salt: &[u8; SALT], label: u8, length: usize) -> Zeroizing<Vec<u8>> {
    let mut first = [0; 16];
    xor(&mut first, salt);
    // The index over the rate is 48 bits of zero behind the label.
    if let Some(byte) = first.get_mut(7) {
        *byte ^= label;
    }
    let mut out = Zeroizing::new(vec![0; length]);
    master.ctr(first, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;
    use crate::bytes::near::near;
    use proptest::prelude::*;

    fn derived(key: &str, salt: &str, label: u8, length: usize) -> Vec<u8> {
        let salt: [u8; 14] = hex(salt).try_into().unwrap();
        derive(&Aes::new(&hex(key)).unwrap(), &salt, label, length).to_vec()
    }

    #[test]
    fn rfc_3711_b3_key_derivation() {
        let (key, salt) = ("e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6");
        assert_eq!(derived(key, salt, 0, 16), hex("c61e7a93744f39ee10734afe3ff7a087"));
        assert_eq!(derived(key, salt, 2, 14), hex("30cbbc08863d8c85d49db34a9ae1"));
        let authentication = "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbce\
                              e049646c43d9327ad175578ef72270986371c10c9a369ac2f94a8c5fbcdddc25\
                              6d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2";
        assert_eq!(derived(key, salt, 1, 94), hex(authentication));
    }

    #[test]
    fn rfc_6188_7_key_derivation() {
        let (key, salt) = (
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
            "3b04803de51ee7c96423ab5b78d2",
        );
        let cipher = "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4";
        assert_eq!(derived(key, salt, 0, 32), hex(cipher));
        assert_eq!(derived(key, salt, 2, 14), hex("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(derived(key, salt, 1, 20), hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
        let (key, salt) =
            ("73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1", "c8522f3acd4ce86d5add78edbb11");
        assert_eq!(derived(key, salt, 0, 24), hex("31874736a8f1143870c26e4857d8a5b2c4a354407faadabb"));
        assert_eq!(derived(key, salt, 2, 14), hex("2372b82d639b6d8503a47adc0a6c"));
        assert_eq!(derived(key, salt, 1, 20), hex("355b10973cd95b9eacf4061c7e1a7151e7cfbfcb"));
    }

    /// RFC 7714 sections 16.1.1 and 16.2.1, which give the session keys.
    #[test]
    fn rfc_7714_16_packets() {
        let cases = [
            (
                "AEAD_AES_128_GCM",
                "000102030405060708090a0b0c0d0e0f",
                "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b\
                 36de3adf8833899d7f27beb16a9152cf765ee4390cce",
            ),
            (
                "AEAD_AES_256_GCM",
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f\
                 1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
            ),
        ];
        for (name, key, packet) in cases {
            let suite = Suite::named(name).unwrap();
            let salt = hex("517569642070726f2071756f");
            let session = Session::of_session_keys(suite, &hex(key), &[], &salt).unwrap();
            let mut payload = Vec::new();
            assert!(session.open(&hex(packet), 12, 0, 0, &mut payload), "{name}");
            assert_eq!(payload, b"Gallia est omnis divisa in partes tres");
            assert!(!session.open(&hex(packet), 12, 0, 1, &mut payload), "another rollover counter");
        }
    }

    proptest! {
        /// A packet of RFC 7714 section 16.1.1, with any place for its header and its key identifier.
        #[test]
        fn near_a_packet_only_what_was_sealed_opens(
            packet in near([hex(
                "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b\
                 36de3adf8833899d7f27beb16a9152cf765ee4390cce",
            )]),
            header in prop_oneof![Just(12_usize), 0_usize..90],
            mki in prop_oneof![Just(0_usize), 0_usize..90],
            name in prop::sample::select(vec!["AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]),
        ) {
            let suite = Suite::named(name).unwrap();
            let (key, salt) = (hex("000102030405060708090a0b0c0d0e0f"), hex("517569642070726f2071756f"));
            let session = Session::of_session_keys(suite, &key, &[0; 20], if name.contains("GCM") { &salt } else { &[0; 14] });
            let Some(session) = session else { return Ok(()) };
            let mut payload = Vec::new();
            if session.open(&packet, header, mki, 0, &mut payload) {
                prop_assert!(name == "AEAD_AES_128_GCM" && header == 12 && mki == 0);
                prop_assert_eq!(&payload, b"Gallia est omnis divisa in partes tres");
            }
            let _ = session.rollover(&packet, header, mki, [0, 1].into_iter(), &mut payload);
        }
    }
}
