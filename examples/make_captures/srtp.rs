//! SRTP and SRTCP: AES-CM with HMAC-SHA1-80 (RFC 3711) and AES-GCM (RFC 7714).

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};

use crate::mac::hmac_sha1;
use crate::rtp::Header;

/// The bit that says that an SRTCP packet is encrypted.
const ENCRYPTED: u32 = 0x8000_0000;

/// One direction's context.
pub(crate) enum Guard {
    /// RTP in the clear.
    None,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`.
    CounterMode(Box<Srtp>),
    /// `SRTP_AEAD_AES_128_GCM` or `SRTP_AEAD_AES_256_GCM`.
    Gcm(Box<Gcm>),
}

impl Guard {
    /// A context of AES-CM from master key and salt, 30 bytes.
    pub(crate) fn counter_mode(master: &[u8; 30]) -> Self {
        Self::CounterMode(Box::new(Srtp::new(master)))
    }

    /// A context of GCM from a master key of 16 or 32 bytes and a master salt of 12.
    pub(crate) fn gcm(key: &[u8], salt: &[u8; 12]) -> Self {
        Self::Gcm(Box::new(Gcm::new(key, salt)))
    }

    /// An RTP packet; `rollover` counts how often the sequence number has wrapped.
    pub(crate) fn rtp(&self, header: &Header, rollover: u32, extension: &[u8], payload: &[u8]) -> Vec<u8> {
        match self {
            Self::None => [header.write(extension).as_slice(), payload].concat(),
            Self::CounterMode(srtp) => srtp.protect_after(header, rollover, extension, payload),
            Self::Gcm(gcm) => gcm.rtp(header, rollover, extension, payload),
        }
    }

    /// A compound RTCP packet, the `index`-th of its sender.
    pub(crate) fn rtcp(&self, index: u32, packet: &[u8]) -> Vec<u8> {
        match self {
            Self::None => packet.to_vec(),
            Self::CounterMode(srtp) => srtp.rtcp(index, packet),
            Self::Gcm(gcm) => gcm.rtcp(index, packet),
        }
    }
}

/// A direction under AES-CM.
pub(crate) struct Srtp {
    cipher: Aes128,
    salt: [u8; 14],
    auth: [u8; 20],
    rtcp_cipher: Aes128,
    rtcp_salt: [u8; 14],
    rtcp_auth: [u8; 20],
}

impl Srtp {
    /// From the 30 bytes that SDES carries: master key and salt. Session keys by RFC 3711 §4.3.1.
    pub(crate) fn new(master: &[u8; 30]) -> Self {
        let mut master_salt = [0; 14];
        master_salt.copy_from_slice(&master[16..]);
        let cipher = Block::new(&master[..16]);
        Self {
            cipher: Aes128::new(&derive::<16>(&cipher, master_salt, 0).into()),
            auth: derive(&cipher, master_salt, 1),
            salt: derive(&cipher, master_salt, 2),
            rtcp_cipher: Aes128::new(&derive::<16>(&cipher, master_salt, 3).into()),
            rtcp_auth: derive(&cipher, master_salt, 4),
            rtcp_salt: derive(&cipher, master_salt, 5),
        }
    }

    /// Encrypts the payload of a packet and adds the tag, with a rollover counter of zero.
    pub(crate) fn protect(&self, header: &Header, extension: &[u8], payload: &[u8]) -> Vec<u8> {
        self.protect_after(header, 0, extension, payload)
    }

    fn protect_after(&self, header: &Header, rollover: u32, extension: &[u8], payload: &[u8]) -> Vec<u8> {
        let index = u64::from(rollover) << 16 | u64::from(header.sequence);
        let mut out = header.write(extension);
        out.extend(xor_stream(&self.cipher, counter(&self.salt, header.ssrc, index), payload));
        let mut signed = out.clone();
        signed.extend(rollover.to_be_bytes());
        out.extend(&hmac_sha1(&self.auth, &signed)[..10]);
        out
    }

    fn rtcp(&self, index: u32, packet: &[u8]) -> Vec<u8> {
        let (head, body) = packet.split_at(8);
        let iv = counter(&self.rtcp_salt, ssrc_of(packet), index.into());
        let mut out = head.to_vec();
        out.extend(xor_stream(&self.rtcp_cipher, iv, body));
        out.extend((ENCRYPTED | index).to_be_bytes());
        let tag = hmac_sha1(&self.rtcp_auth, &out);
        out.extend(&tag[..10]);
        out
    }
}

/// A direction under GCM.
pub(crate) struct Gcm {
    cipher: Sealer,
    salt: [u8; 12],
    rtcp_cipher: Sealer,
    rtcp_salt: [u8; 12],
}

impl Gcm {
    /// RFC 7714 §11: the derivation of RFC 3711 with the salt filled up by two zero bytes.
    fn new(key: &[u8], salt: &[u8; 12]) -> Self {
        let mut master_salt = [0; 14];
        master_salt[..12].copy_from_slice(salt);
        let master = Block::new(key);
        let session = |label| match key.len() {
            16 => Sealer::new(&derive::<16>(&master, master_salt, label)),
            _ => Sealer::new(&derive::<32>(&master, master_salt, label)),
        };
        Self {
            cipher: session(0),
            salt: derive(&master, master_salt, 2),
            rtcp_cipher: session(3),
            rtcp_salt: derive(&master, master_salt, 5),
        }
    }

    fn rtp(&self, header: &Header, rollover: u32, extension: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut iv = [0; 12];
        iv[2..6].copy_from_slice(&header.ssrc.to_be_bytes());
        iv[6..10].copy_from_slice(&rollover.to_be_bytes());
        iv[10..].copy_from_slice(&header.sequence.to_be_bytes());
        let mut out = header.write(extension);
        let sealed = self.cipher.seal(xor(iv, &self.salt), &out, payload);
        out.extend(sealed);
        out
    }

    fn rtcp(&self, index: u32, packet: &[u8]) -> Vec<u8> {
        let (head, body) = packet.split_at(8);
        let mut iv = [0; 12];
        iv[2..6].copy_from_slice(&packet[4..8]);
        iv[8..].copy_from_slice(&index.to_be_bytes());
        let word = (ENCRYPTED | index).to_be_bytes();
        let sealed = self.rtcp_cipher.seal(xor(iv, &self.rtcp_salt), &[head, &word[..]].concat(), body);
        [head, &sealed, &word].concat()
    }
}

/// AES of either key length.
enum Block {
    Short(Box<Aes128>),
    Long(Box<Aes256>),
}

impl Block {
    fn new(key: &[u8]) -> Self {
        match key.len() {
            16 => Self::Short(Box::new(Aes128::new_from_slice(key).unwrap())),
            _ => Self::Long(Box::new(Aes256::new_from_slice(key).unwrap())),
        }
    }
}

/// AES-GCM of either key length.
enum Sealer {
    Short(Box<Aes128Gcm>),
    Long(Box<Aes256Gcm>),
}

impl Sealer {
    fn new(key: &[u8]) -> Self {
        match key.len() {
            16 => Self::Short(Box::new(Aes128Gcm::new_from_slice(key).unwrap())),
            _ => Self::Long(Box::new(Aes256Gcm::new_from_slice(key).unwrap())),
        }
    }

    fn seal(&self, iv: [u8; 12], aad: &[u8], msg: &[u8]) -> Vec<u8> {
        let payload = Payload { msg, aad };
        match self {
            Self::Short(cipher) => cipher.encrypt(&iv.into(), payload).unwrap(),
            Self::Long(cipher) => cipher.encrypt(&iv.into(), payload).unwrap(),
        }
    }
}

fn ssrc_of(rtcp: &[u8]) -> u32 {
    u32::from_be_bytes([rtcp[4], rtcp[5], rtcp[6], rtcp[7]])
}

fn xor(mut iv: [u8; 12], salt: &[u8; 12]) -> [u8; 12] {
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    iv
}

/// RFC 3711 §4.3.1 with a key derivation rate of zero.
fn derive<const N: usize>(master: &Block, salt: [u8; 14], label: u8) -> [u8; N] {
    let mut counter = [0; 16];
    counter[..14].copy_from_slice(&salt);
    counter[7] ^= label;
    let mut out = [0; N];
    match master {
        Block::Short(cipher) => key_stream(cipher.as_ref(), counter, &mut out),
        Block::Long(cipher) => key_stream(cipher.as_ref(), counter, &mut out),
    }
    out
}

/// The initial counter block of RFC 3711 §4.1.1.
fn counter(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[..14].copy_from_slice(salt);
    out[4..8].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(byte, ssrc)| *byte ^= ssrc);
    out[8..14].iter_mut().zip(&index.to_be_bytes()[2..]).for_each(|(byte, index)| *byte ^= index);
    out
}

fn xor_stream(cipher: &Aes128, counter: [u8; 16], clear: &[u8]) -> Vec<u8> {
    let mut out = vec![0; clear.len()];
    key_stream(cipher, counter, &mut out);
    out.iter_mut().zip(clear).for_each(|(byte, clear)| *byte ^= clear);
    out
}

fn key_stream<C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>>(
    cipher: &C,
    mut counter: [u8; 16],
    out: &mut [u8],
) {
    for (position, chunk) in out.chunks_mut(16).enumerate() {
        counter[14..].copy_from_slice(&u16::try_from(position).unwrap().to_be_bytes());
        let mut block = counter.into();
        cipher.encrypt_block(&mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Gcm, Sealer, Srtp, derive, key_stream};
    use crate::hex;
    use crate::rtp::Header;
    use aes::Aes128;
    use aes::cipher::KeyInit;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
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

    /// RFC 6188 §7.3: derivation from a master key of 256 bits.
    #[test]
    fn long_key_derivation_matches_rfc_6188() {
        let master = Block::new(&unhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6"));
        let mut salt = [0; 14];
        salt.copy_from_slice(&unhex("3b04803de51ee7c96423ab5b78d2"));
        assert_eq!(
            hex(&derive::<32>(&master, salt, 0)),
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"
        );
        assert_eq!(hex(&derive::<14>(&master, salt, 2)), "fa31791685ca444a9e07c6c64e93");
    }

    /// RFC 7714 §16.1.1: the session key and salt are given there.
    #[test]
    fn gcm_matches_rfc_7714() {
        let key = unhex("000102030405060708090a0b0c0d0e0f");
        let mut salt = [0; 12];
        salt.copy_from_slice(&unhex("517569642070726f2071756f"));
        let gcm = Gcm { cipher: Sealer::new(&key), salt, rtcp_cipher: Sealer::new(&key), rtcp_salt: salt };
        let header = Header {
            marker: false,
            payload_type: 64,
            sequence: 0xf17b,
            timestamp: 0x8041_f8d3,
            ssrc: 0x5501_a0b2,
        };
        assert_eq!(
            hex(&gcm.rtp(&header, 0, &[], b"Gallia est omnis divisa in partes tres")),
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
             899d7f27beb16a9152cf765ee4390cce"
        );
    }
}
