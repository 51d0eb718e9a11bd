//! A reader of SRTP: opens what a master key and salt protect and panics where a tag is wrong.

use std::collections::BTreeMap;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};

use super::{u16_at, u32_at};

/// Which protection profile a call uses.
#[derive(Clone, Copy)]
pub(super) enum Profile {
    /// `AES_CM_128_HMAC_SHA1_80`.
    CounterMode,
    /// `AEAD_AES_128_GCM` and `AEAD_AES_256_GCM`.
    Gcm,
}

/// An opened RTP packet.
pub(super) struct Opened {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) payload_type: u8,
    pub(super) payload: Vec<u8>,
}

/// One direction's reader.
pub(super) struct Reader {
    profile: Profile,
    key: Vec<u8>,
    salt: [u8; 14],
    /// Highest index per source.
    highest: BTreeMap<u32, u32>,
}

impl Reader {
    pub(super) fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Self {
        let mut padded = [0; 14];
        padded[..salt.len()].copy_from_slice(salt);
        Self { profile, key: key.to_vec(), salt: padded, highest: BTreeMap::new() }
    }

    /// Opens an RTP packet; its index is the one nearest to the highest so far (RFC 3711 section 3.3.1).
    pub(super) fn rtp(&mut self, packet: &[u8]) -> Opened {
        let (ssrc, sequence) = (u32_at(packet, 8), u16_at(packet, 2));
        let highest = self.highest.entry(ssrc).or_insert_with(|| sequence.into());
        let step = sequence.wrapping_sub(*highest as u16).cast_signed();
        let index = highest.checked_add_signed(step.into()).unwrap();
        *highest = index.max(*highest);
        let mut header = 12;
        if packet[0] & 0x10 != 0 {
            header += 4 + 4 * usize::from(u16_at(packet, 14));
        }
        let payload = match self.profile {
            Profile::CounterMode => self.counter_mode(packet, header, ssrc, index),
            Profile::Gcm => self.gcm(packet, header, ssrc, index),
        };
        Opened { ssrc, sequence, payload_type: packet[1] & 0x7f, payload }
    }

    /// Opens an SRTCP packet.
    pub(super) fn rtcp(&self, packet: &[u8]) -> Vec<u8> {
        let ssrc = u32_at(packet, 4);
        match self.profile {
            Profile::CounterMode => {
                let (signed, tag) = packet.split_at(packet.len() - 10);
                assert_eq!(sha1_tag(&self.derive(4, 20), signed), tag, "SRTCP tag");
                let (body, word) = signed.split_at(signed.len() - 4);
                let index = u32_at(word, 0) & 0x7fff_ffff;
                let stream = key_stream(
                    &self.derive(3, 16),
                    &self.iv(&self.derive(5, 14), ssrc, index.into()),
                    body.len() - 8,
                );
                [&body[..8], &xor(&body[8..], &stream)].concat()
            }
            Profile::Gcm => {
                let (body, word) = packet.split_at(packet.len() - 4);
                let mut iv = [0; 12];
                iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
                iv[8..].copy_from_slice(&(u32_at(word, 0) & 0x7fff_ffff).to_be_bytes());
                let aad = [&body[..8], word].concat();
                [&body[..8], &self.open(3, 5, iv, &aad, &body[8..])].concat()
            }
        }
    }

    fn counter_mode(&self, packet: &[u8], header: usize, ssrc: u32, index: u32) -> Vec<u8> {
        let (signed, tag) = packet.split_at(packet.len() - 10);
        let rollover = (index >> 16).to_be_bytes();
        assert_eq!(sha1_tag(&self.derive(1, 20), &[signed, &rollover].concat()), tag, "SRTP tag");
        let iv = self.iv(&self.derive(2, 14), ssrc, index.into());
        xor(&signed[header..], &key_stream(&self.derive(0, 16), &iv, signed.len() - header))
    }

    fn gcm(&self, packet: &[u8], header: usize, ssrc: u32, index: u32) -> Vec<u8> {
        let mut iv = [0; 12];
        iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
        iv[6..10].copy_from_slice(&(index >> 16).to_be_bytes());
        iv[10..].copy_from_slice(&(index as u16).to_be_bytes());
        self.open(0, 2, iv, &packet[..header], &packet[header..])
    }

    fn open(&self, key: u8, salt: u8, iv: [u8; 12], aad: &[u8], msg: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&xor(&iv, &self.derive(salt, 12)));
        let key = self.derive(key, self.key.len());
        let payload = Payload { msg, aad };
        let clear = match key.len() {
            16 => Aes128Gcm::new_from_slice(&key).unwrap().decrypt(&nonce.into(), payload),
            _ => Aes256Gcm::new_from_slice(&key).unwrap().decrypt(&nonce.into(), payload),
        };
        clear.expect("GCM tag")
    }

    /// RFC 3711 section 4.3.1: the label is xored into the salt, eight bytes from the end of the block.
    fn derive(&self, label: u8, length: usize) -> Vec<u8> {
        let mut input = u128::from_be_bytes([&self.salt[..], &[0, 0]].concat().try_into().unwrap());
        input ^= u128::from(label) << 64;
        key_stream(&self.key, &input.to_be_bytes(), length)
    }

    /// RFC 3711 section 4.1.1: salt, source and index, each shifted to its place.
    #[expect(clippy::unused_self, reason = "reads as the context's")]
    fn iv(&self, salt: &[u8], ssrc: u32, index: u64) -> [u8; 16] {
        let salt = u128::from_be_bytes([salt, &[0, 0]].concat().try_into().unwrap());
        (salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16).to_be_bytes()
    }
}

fn key_stream(key: &[u8], counter: &[u8; 16], length: usize) -> Vec<u8> {
    let mut counter = u128::from_be_bytes(*counter);
    let mut out = Vec::new();
    while out.len() < length {
        let mut block = counter.to_be_bytes().into();
        match key.len() {
            16 => Aes128::new_from_slice(key).unwrap().encrypt_block(&mut block),
            _ => Aes256::new_from_slice(key).unwrap().encrypt_block(&mut block),
        }
        out.extend(block);
        counter += 1;
    }
    out.truncate(length);
    out
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

fn sha1_tag(key: &[u8], signed: &[u8]) -> [u8; 10] {
    let mut tag = [0; 10];
    tag.copy_from_slice(&crate::mac::hmac_sha1(key, signed)[..10]);
    tag
}
