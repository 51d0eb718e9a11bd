//! Initial packet protection, which anybody on the path can undo (RFC 9001 §5, RFC 9369 §3.3).
//!
//! In: a version's salt, the client's first Destination Connection ID, a protected packet. Out: its
//! packet number and plaintext, only ever after the AEAD tag has been checked. A good tag proves that the
//! bytes are QUIC, of that version, by that role. Handshake and 1-RTT keys are out of any observer's reach.

use std::fmt;

use aes::Aes128;
use aes::cipher::BlockCipherEncrypt;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes128Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

use super::version::{Salt, Version};

/// Bytes of an AEAD tag.
const TAG: usize = 16;

const fn salt_bytes(salt: Salt) -> &'static [u8; 20] {
    match salt {
        Salt::Draft22 => b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a",
        Salt::Draft23 => b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02",
        Salt::Draft29 => b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99",
        Salt::V1 => b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
        Salt::V2 => b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
        Salt::Q050 => b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45",
        Salt::T050 => b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10",
        Salt::T051 => b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d",
    }
}

/// Keys of one direction, with their schedules expanded once.
pub(super) struct Keys {
    aead: Aes128Gcm,
    header: Aes128,
    iv: [u8; 12],
    /// Largest packet number opened so far (RFC 9000 §17.1 wants it to widen the next).
    largest: Option<u64>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("largest", &self.largest).finish_non_exhaustive()
    }
}

/// Both directions' Initial keys for one Destination Connection ID.
pub(super) struct InitialKeys {
    pub(super) client: Keys,
    pub(super) server: Keys,
}

impl InitialKeys {
    pub(super) fn derive(salt: Salt, dcid: &[u8]) -> Self {
        let initial = Hkdf::<Sha256>::new(Some(salt_bytes(salt)), dcid);
        let labels = if salt == Salt::V2 { &V2_LABELS } else { &LABELS };
        Self {
            client: Keys::derive(&initial, b"tls13 client in", labels),
            server: Keys::derive(&initial, b"tls13 server in", labels),
        }
    }
}

/// Labels of key, iv and header protection.
type Labels = [&'static [u8]; 3];
const LABELS: Labels = [b"tls13 quic key", b"tls13 quic iv", b"tls13 quic hp"];
const V2_LABELS: Labels = [b"tls13 quicv2 key", b"tls13 quicv2 iv", b"tls13 quicv2 hp"];

impl Keys {
    fn derive(initial: &Hkdf<Sha256>, role: &[u8], labels: &Labels) -> Self {
        let secret: [u8; 32] = expand_label(initial, role);
        // A pseudo-random key of the hash's own length is always accepted; the fallback cannot be reached.
        let secret = Hkdf::<Sha256>::from_prk(&secret).unwrap_or_else(|_| initial.clone());
        let [key, iv, header] = labels;
        let key: [u8; 16] = expand_label(&secret, key);
        let header: [u8; 16] = expand_label(&secret, header);
        Self {
            aead: Aes128Gcm::new(&key.into()),
            header: Aes128::new(&header.into()),
            iv: expand_label(&secret, iv),
            largest: None,
        }
    }

    /// Opens `packet`, whose Packet Number begins at `number_offset`, and gives that number. The plaintext
    /// is left in `scratch`, which is also the working copy. `None`: too short, or the tag does not fit.
    pub(super) fn open(&mut self, packet: &[u8], number_offset: usize, scratch: &mut Vec<u8>) -> Option<u64> {
        let sample: [u8; 16] = *packet.get(number_offset.checked_add(4)?..)?.first_chunk()?;
        let mut mask = sample.into();
        self.header.encrypt_block(&mut mask);
        let [mask_first, mask_number @ ..] = <[u8; 16]>::from(mask);

        scratch.clear();
        scratch.extend_from_slice(packet);
        let first = scratch.first_mut()?;
        *first ^= mask_first & 0x0f;
        let number_length = usize::from(*first & 3).saturating_add(1);
        let number_end = number_offset.checked_add(number_length)?;
        let mut truncated = 0;
        for (byte, mask) in scratch.get_mut(number_offset..number_end)?.iter_mut().zip(mask_number) {
            *byte ^= mask;
            truncated = truncated << 8 | u64::from(*byte);
        }
        let number = widen(truncated, number_length, self.largest);

        let (header, sealed) = scratch.split_at_mut_checked(number_end)?;
        let (body, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG)?)?;
        let tag: [u8; TAG] = *tag.first_chunk()?;
        let nonce = nonce(self.iv, number);
        self.aead.decrypt_inout_detached(&nonce.into(), header, InOutBuf::from(body), &tag.into()).ok()?;
        self.largest = self.largest.max(Some(number));
        scratch.truncate(scratch.len().saturating_sub(TAG));
        scratch.drain(..number_end);
        Some(number)
    }
}

/// Checks the integrity tag at the end of a Retry packet (RFC 9001 §5.8) against the Destination
/// Connection ID of the Initial that it answers. `None` where the version has no such tag.
pub(super) fn retry_is_genuine(version: Version, original_dcid: &[u8], packet: &[u8]) -> Option<bool> {
    let (key, nonce) = version.retry_secret()?;
    let (body, tag) = packet.split_last_chunk::<TAG>()?;
    let mut pseudo = Vec::with_capacity(body.len().saturating_add(original_dcid.len()).saturating_add(1));
    pseudo.push(u8::try_from(original_dcid.len()).ok()?);
    pseudo.extend_from_slice(original_dcid);
    pseudo.extend_from_slice(body);
    let aead = Aes128Gcm::new(&(*key).into());
    let empty: &mut [u8] = &mut [];
    let tag = (*tag).into();
    Some(aead.decrypt_inout_detached(&(*nonce).into(), &pseudo, InOutBuf::from(empty), &tag).is_ok())
}

/// HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446 §7.1).
fn expand_label<const N: usize>(secret: &Hkdf<Sha256>, label: &[u8]) -> [u8; N] {
    let length = u16::try_from(N).unwrap_or_default().to_be_bytes();
    let label_length = [u8::try_from(label.len()).unwrap_or_default()];
    let mut output = [0; N];
    // Fails only past 255 hash lengths of output, and N is 32 at most; a zero key then opens nothing.
    let _ = secret.expand_multi_info(&[&length, &label_length, label, &[0]], &mut output);
    output
}

fn nonce(iv: [u8; 12], number: u64) -> [u8; 12] {
    let mut nonce = iv;
    for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
        *byte ^= part;
    }
    nonce
}

/// Widens a packet number to the value nearest to the one expected next (RFC 9000 appendix A.3).
fn widen(truncated: u64, length: usize, largest: Option<u64>) -> u64 {
    let Some(largest) = largest else { return truncated };
    let expected = largest.saturating_add(1);
    let window = 1_u64.checked_shl(u32::try_from(length).unwrap_or(4).saturating_mul(8)).unwrap_or(1 << 32);
    let half = window >> 1;
    let candidate = expected & !window.saturating_sub(1) | truncated;
    if candidate.saturating_add(half) <= expected {
        candidate.saturating_add(window)
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate.saturating_sub(window)
    } else {
        candidate
    }
}

#[cfg(test)]
pub(super) mod tests;
