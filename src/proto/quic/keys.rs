//! Packet protection (RFC 9001 section 5, RFC 9369 section 3.3): of Initial packets, which anybody on the path can undo, and of
//! those whose secrets a key log has.
//!
//! In: a version's salt and the client's first Destination Connection ID, or a traffic secret; a protected packet. Out: its
//! packet number and plaintext, only ever after the AEAD tag has been checked. A good tag proves that the bytes are QUIC, of that
//! version, by that role.

use zeroize::Zeroizing;

use super::version::{Salt, Version};
use crate::crypto::aead::{Algorithm, NONCE, OpeningKey, numbered_nonce};
use crate::crypto::gcm;
use crate::crypto::header::{HeaderKey, MASK, SAMPLE, aes128_mask};
use crate::crypto::kdf::{self, Expander, Hash, Prefix, Secret};
use crate::proto::tls::protection::Suite;

/// Bytes of an AEAD tag.
const TAG: usize = 16;

/// What Initial packets are sealed with (RFC 9001 section 5.2).
const INITIAL: Suite = Suite { aead: Algorithm::Aes128Gcm, hash: Hash::Sha256 };

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

/// Labels of the key schedule, which version 2 changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels {
    key: &'static [u8],
    iv: &'static [u8],
    header: &'static [u8],
    update: &'static [u8],
}

const LABELS: Labels = Labels { key: b"quic key", iv: b"quic iv", header: b"quic hp", update: b"quic ku" };
const V2_LABELS: Labels =
    Labels { key: b"quicv2 key", iv: b"quicv2 iv", header: b"quicv2 hp", update: b"quicv2 ku" };

impl Labels {
    pub(super) const fn of(version: Version) -> Self {
        if version.has_turned_types() { V2_LABELS } else { LABELS }
    }
}

/// Both directions' Initial keys for one Destination Connection ID.
///
/// Thousands of connections wait for their next packet at a time, and most have one more or none: what is kept is small, a
/// direction's keys are derived when its first packet comes, and their schedules are expanded for each packet anew. Everybody on
/// the path can derive them, so that they are not wiped.
#[derive(Debug)]
pub(super) struct InitialKeys {
    pub(super) client: InitialSide,
    pub(super) server: InitialSide,
}

impl InitialKeys {
    pub(super) fn derive(salt: Salt, dcid: &[u8]) -> Self {
        let initial = *kdf::extract_sha256(salt_bytes(salt), dcid);
        let side = |is_client| InitialSide {
            is_client,
            is_v2: salt == Salt::V2,
            known: Known::Secret(initial),
            largest: None,
        };
        Self { client: side(true), server: side(false) }
    }
}

/// Initial keys of one direction.
pub(super) struct InitialSide {
    is_client: bool,
    is_v2: bool,
    known: Known,
    /// Largest packet number opened so far.
    largest: Option<u64>,
}

/// What is kept of one direction.
#[derive(Clone, Copy)]
enum Known {
    /// The secret that both directions' come from.
    Secret([u8; 32]),
    /// Its own keys.
    Keys(InitialBytes),
}

#[derive(Clone, Copy)]
struct InitialBytes {
    packet: [u8; 16],
    iv: [u8; NONCE],
    header: [u8; 16],
}

impl std::fmt::Debug for InitialSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InitialSide").field("is_client", &self.is_client).finish_non_exhaustive()
    }
}

impl InitialSide {
    fn keys(&mut self) -> Option<InitialBytes> {
        let initial = match self.known {
            Known::Keys(keys) => return Some(keys),
            Known::Secret(initial) => initial,
        };
        let label: &[u8] = if self.is_client { b"client in" } else { b"server in" };
        let labels = if self.is_v2 { V2_LABELS } else { LABELS };
        let mut secret = [0; 32];
        Expander::new(INITIAL.hash, &initial)?.label(Prefix::Tls, label, &[], &mut secret)?;
        let own = Expander::new(INITIAL.hash, &secret)?;
        let mut keys = InitialBytes { packet: [0; 16], iv: [0; NONCE], header: [0; 16] };
        own.label(Prefix::Tls, labels.key, &[], &mut keys.packet)?;
        own.label(Prefix::Tls, labels.iv, &[], &mut keys.iv)?;
        own.label(Prefix::Tls, labels.header, &[], &mut keys.header)?;
        self.known = Known::Keys(keys);
        Some(keys)
    }

    /// As [`Keys::open`].
    pub(super) fn open(&mut self, packet: &[u8], number_offset: usize, scratch: &mut Vec<u8>) -> Option<u64> {
        let InitialBytes { packet: key, iv, header } = self.keys()?;
        let mask = |sample: &[u8; SAMPLE]| aes128_mask(&header, sample);
        let (number, end) = unmask(mask, packet, number_offset, self.largest, scratch)?;
        let (covered, sealed) = scratch.split_at_mut_checked(end)?;
        let (body, tag) = sealed.split_last_chunk_mut()?;
        if !gcm::open_aes128(&key, &numbered_nonce(&iv, number), covered, body, tag) {
            return None;
        }
        let length = body.len();
        keep_payload(scratch, end, length);
        self.largest = self.largest.max(Some(number));
        Some(number)
    }
}

/// What seals packets between two updates of keys.
#[derive(Debug)]
struct PacketKey {
    aead: OpeningKey,
    iv: [u8; NONCE],
}

impl PacketKey {
    fn derive(suite: Suite, labels: Labels, secret: &Secret) -> Option<Self> {
        let Suite { aead, hash } = suite;
        let expand = |label, length| kdf::expand_label(hash, secret.bytes(), Prefix::Tls, label, &[], length);
        let key = expand(labels.key, aead.key_length())?;
        let iv = expand(labels.iv, NONCE)?.bytes().try_into().ok()?;
        Some(Self { aead: OpeningKey::new(aead, key.bytes())?, iv })
    }

    /// Opens the packet in `scratch`, whose header ends at `number_end`; leaves the plaintext alone there.
    fn open(&self, number: u64, number_end: usize, scratch: &mut Vec<u8>) -> bool {
        let Some((header, sealed)) = scratch.split_at_mut_checked(number_end) else { return false };
        let nonce = numbered_nonce(&self.iv, number);
        let Some(length) = self.aead.open(&nonce, header, sealed) else { return false };
        keep_payload(scratch, number_end, length);
        true
    }
}

/// Leaves alone what stands behind the header, as many bytes as it has without the tag.
fn keep_payload(scratch: &mut Vec<u8>, begin: usize, length: usize) {
    scratch.truncate(begin.saturating_add(length));
    scratch.drain(..begin);
}

fn header_key(suite: Suite, labels: Labels, secret: &Secret) -> Option<HeaderKey> {
    let Suite { aead, hash } = suite;
    let length = aead.key_length();
    let key = kdf::expand_label(hash, secret.bytes(), Prefix::Tls, labels.header, &[], length)?;
    HeaderKey::new(aead, key.bytes())
}

/// Copies `packet` to `scratch` without its header protection. The Packet Number begins at `number_offset`; it, widened, and its
/// end come back. `None`: too short.
fn unmask(
    mask: impl FnOnce(&[u8; SAMPLE]) -> [u8; MASK],
    packet: &[u8],
    number_offset: usize,
    largest: Option<u64>,
    scratch: &mut Vec<u8>,
) -> Option<(u64, usize)> {
    let sample: &[u8; SAMPLE] = packet.get(number_offset.checked_add(4)?..)?.first_chunk()?;
    let [mask_first, mask_number @ ..] = mask(sample);
    scratch.clear();
    scratch.extend_from_slice(packet);
    let first = scratch.first_mut()?;
    // Of a short header the key phase is protected too (RFC 9001 §5.4.1).
    *first ^= mask_first & if *first & 0x80 == 0 { 0x1f } else { 0x0f };
    let number_length = usize::from(*first & 3).saturating_add(1);
    let number_end = number_offset.checked_add(number_length)?;
    let mut truncated = 0;
    for (byte, mask) in scratch.get_mut(number_offset..number_end)?.iter_mut().zip(mask_number) {
        *byte ^= mask;
        truncated = truncated << 8 | u64::from(*byte);
    }
    Some((widen(truncated, number_length, largest), number_end))
}

/// Keys of one direction's Handshake packets, with their schedules expanded once.
#[derive(Debug)]
pub(super) struct Keys {
    packet: PacketKey,
    header: HeaderKey,
    /// Largest packet number opened so far (RFC 9000 §17.1 wants it to widen the next).
    largest: Option<u64>,
}

impl Keys {
    pub(super) fn derive(suite: Suite, labels: Labels, secret: &Secret) -> Option<Self> {
        let packet = PacketKey::derive(suite, labels, secret)?;
        Some(Self { packet, header: header_key(suite, labels, secret)?, largest: None })
    }

    /// Opens `packet`, whose Packet Number begins at `number_offset`, and gives that number. The plaintext
    /// is left in `scratch`, which is also the working copy. `None`: too short, or the tag does not fit.
    pub(super) fn open(&mut self, packet: &[u8], number_offset: usize, scratch: &mut Vec<u8>) -> Option<u64> {
        let (number, end) =
            unmask(|sample| self.header.mask(sample), packet, number_offset, self.largest, scratch)?;
        self.packet.open(number, end, scratch).then_some(())?;
        self.largest = self.largest.max(Some(number));
        Some(number)
    }
}

/// Keys of one direction's 1-RTT packets, which may be updated (RFC 9001 section 6).
#[derive(Debug)]
pub(super) struct PhasedKeys {
    suite: Suite,
    labels: Labels,
    header: HeaderKey,
    /// Of the phase before; late packets may still need it.
    previous: Option<PacketKey>,
    current: PacketKey,
    /// Of the phase to come, and the secret that it was derived from.
    next: PacketKey,
    next_secret: Secret,
    /// Key Phase bit of the current phase.
    phase: bool,
    largest: Option<u64>,
}

impl PhasedKeys {
    pub(super) fn derive(suite: Suite, labels: Labels, secret: &Secret) -> Option<Self> {
        let next_secret = updated(suite, labels, secret)?;
        Some(Self {
            suite,
            labels,
            header: header_key(suite, labels, secret)?,
            previous: None,
            current: PacketKey::derive(suite, labels, secret)?,
            next: PacketKey::derive(suite, labels, &next_secret)?,
            next_secret,
            phase: false,
            largest: None,
        })
    }

    /// As [`Keys::open`], for a packet with a short header.
    pub(super) fn open(&mut self, packet: &[u8], number_offset: usize, scratch: &mut Vec<u8>) -> Option<u64> {
        let (number, end) =
            unmask(|sample| self.header.mask(sample), packet, number_offset, self.largest, scratch)?;
        let phase = scratch.first()? & 0x04 != 0;
        if phase == self.phase {
            self.current.open(number, end, scratch).then_some(())?;
        } else {
            self.other_phase(number, end, scratch)?;
        }
        self.largest = self.largest.max(Some(number));
        Some(number)
    }

    fn other_phase(&mut self, number: u64, end: usize, scratch: &mut Vec<u8>) -> Option<()> {
        let is_late = self.largest.is_some_and(|largest| number < largest);
        if let Some(previous) = self.previous.as_ref().filter(|_| is_late) {
            let copy = Zeroizing::new(scratch.clone());
            if previous.open(number, end, scratch) {
                return Some(());
            }
            scratch.clone_from(&copy);
        }
        self.next.open(number, end, scratch).then_some(())?;
        let secret = updated(self.suite, self.labels, &self.next_secret)?;
        let next = PacketKey::derive(self.suite, self.labels, &secret)?;
        self.next_secret = secret;
        self.previous = Some(std::mem::replace(&mut self.current, std::mem::replace(&mut self.next, next)));
        self.phase = !self.phase;
        Some(())
    }
}

fn updated(suite: Suite, labels: Labels, secret: &Secret) -> Option<Secret> {
    let hash = suite.hash;
    kdf::expand_label(hash, secret.bytes(), Prefix::Tls, labels.update, &[], hash.length())
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
    let aead = OpeningKey::new(Algorithm::Aes128Gcm, key)?;
    let mut tag = *tag;
    Some(aead.open(nonce, &pseudo, &mut tag).is_some())
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
pub(crate) mod tests;
