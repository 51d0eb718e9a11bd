//! RTP (RFC 3550) with one-byte header extensions (RFC 8285), sender reports, and SRTP with AES-CM and
//! HMAC-SHA1-80 (RFC 3711).

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sha1::{Digest, Sha1};

use crate::net::SEC;

/// The fixed header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

impl Header {
    /// Header and extension elements (padded to whole words here).
    pub(crate) fn write(&self, extension: &[u8]) -> Vec<u8> {
        let mut out = vec![0x90, u8::from(self.marker) << 7 | self.payload_type];
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        out.extend([0xbe, 0xde]);
        out.extend(u16::try_from(extension.len().div_ceil(4)).unwrap().to_be_bytes());
        out.extend(extension);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }
}

/// What a sender report says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// A sender report without report blocks, made at `at` (nanoseconds since 1970).
pub(crate) fn sender_report(sent: Sent, at: u64) -> Vec<u8> {
    let mut out = vec![0x80, 200, 0, 6];
    out.extend(sent.ssrc.to_be_bytes());
    // NTP counts from 1900.
    let seconds = at / SEC + 2_208_988_800;
    out.extend((seconds as u32).to_be_bytes());
    out.extend(((((at % SEC) << 32) / SEC) as u32).to_be_bytes());
    for field in [sent.timestamp, sent.packets, sent.octets] {
        out.extend(field.to_be_bytes());
    }
    out
}

/// An SDES packet whose CNAME is empty.
pub(crate) fn empty_sdes(ssrc: u32) -> Vec<u8> {
    let mut out = vec![0x81, 202, 0, 2];
    out.extend(ssrc.to_be_bytes());
    out.extend([1, 0, 0, 0]);
    out
}

/// One direction's SRTP context.
pub(crate) struct Srtp {
    cipher: Aes128,
    salt: [u8; 14],
    auth: [u8; 20],
}

impl Srtp {
    /// From the 30 bytes that SDES carries: master key and salt. Session keys by RFC 3711 §4.3.1.
    pub(crate) fn new(master: &[u8; 30]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&master[..16]);
        let derive = |label: u8, out: &mut [u8]| {
            let mut counter = [0; 16];
            counter[..14].copy_from_slice(&master[16..]);
            counter[7] ^= label;
            key_stream(&Aes128::new(&key.into()), counter, out);
        };
        let (mut session, mut auth, mut salt) = ([0; 16], [0; 20], [0; 14]);
        derive(0, &mut session);
        derive(1, &mut auth);
        derive(2, &mut salt);
        Self { cipher: Aes128::new(&session.into()), salt, auth }
    }

    /// Encrypts the payload of a packet and adds the tag; the rollover counter stays zero here.
    pub(crate) fn protect(&self, header: &Header, extension: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut counter = [0; 16];
        counter[..14].copy_from_slice(&self.salt);
        for (byte, ssrc) in counter[4..8].iter_mut().zip(header.ssrc.to_be_bytes()) {
            *byte ^= ssrc;
        }
        for (byte, sequence) in counter[12..14].iter_mut().zip(header.sequence.to_be_bytes()) {
            *byte ^= sequence;
        }
        let mut body = vec![0; payload.len()];
        key_stream(&self.cipher, counter, &mut body);
        body.iter_mut().zip(payload).for_each(|(byte, clear)| *byte ^= clear);
        let mut out = header.write(extension);
        out.extend(body);
        let mut signed = out.clone();
        signed.extend([0; 4]);
        out.extend(&hmac_sha1(&self.auth, &signed)[..10]);
        out
    }
}

fn key_stream(cipher: &Aes128, mut counter: [u8; 16], out: &mut [u8]) {
    for (position, chunk) in out.chunks_mut(16).enumerate() {
        counter[14..].copy_from_slice(&u16::try_from(position).unwrap().to_be_bytes());
        let mut block = counter.into();
        cipher.encrypt_block(&mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
}

/// HMAC-SHA1 (RFC 2104) for keys of at most one block.
pub(crate) fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let pad = |value: u8| {
        let mut block = [value; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha1::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::{Srtp, hmac_sha1, key_stream};
    use aes::Aes128;
    use aes::cipher::KeyInit;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn hmac_sha1_matches_rfc_2202() {
        let digest = hmac_sha1(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(digest.to_vec(), unhex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
    }

    #[test]
    fn key_derivation_matches_rfc_3711_appendix_b() {
        let mut master = [0; 30];
        master.copy_from_slice(&unhex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6"));
        let srtp = Srtp::new(&master);
        assert_eq!(srtp.salt.to_vec(), unhex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(srtp.auth.to_vec(), unhex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn key_stream_matches_rfc_3711_appendix_b() {
        let mut key = [0; 16];
        key.copy_from_slice(&unhex("2B7E151628AED2A6ABF7158809CF4F3C"));
        let mut counter = [0; 16];
        counter[..14].copy_from_slice(&unhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let mut out = [0; 32];
        key_stream(&Aes128::new(&key.into()), counter, &mut out);
        assert_eq!(out.to_vec(), unhex("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"));
    }
}
