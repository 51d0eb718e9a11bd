//! Keys on units of Zoom's framing that have a tag. In: units, a key, nonces. Out: the key, or the stream key of which nonce, opens how many.

use std::cell::OnceCell;

use zeroize::{Zeroize, Zeroizing};

use super::bound;
use super::{Best, DERIVE, Effort, Mode, Part, Trial};
use crate::crypto::gcm::Gcm;
use crate::crypto::mac::hmac_sha256;
use crate::observe::facts::{SealedUnit, UnitShape};

/// Last byte of the message that a stream key is the code of.
const STREAM_KEY: u8 = 0x02;
/// Bits of a stream key.
const STREAM_KEY_BITS: usize = 256;

/// A key with what comes of it, made once for all streams that it is tried on.
pub(super) struct Ciphers<'k> {
    pub(super) key: &'k [u8],
    nonces: &'k [&'k [u8]],
    own: OnceCell<Option<Gcm>>,
    /// With the stream key of each nonce.
    derived: OnceCell<Vec<Option<Gcm>>>,
}

impl<'k> Ciphers<'k> {
    pub(super) const fn new(key: &'k [u8], nonces: &'k [&'k [u8]]) -> Self {
        Self { key, nonces, own: OnceCell::new(), derived: OnceCell::new() }
    }

    fn own(&self) -> Option<&Gcm> {
        self.own.get_or_init(|| Gcm::new(self.key)).as_ref()
    }

    fn derived(&self, best: &mut Best) -> &[Option<Gcm>] {
        self.derived.get_or_init(|| {
            best.worked(DERIVE.saturating_mul(u64::try_from(self.nonces.len()).unwrap_or(u64::MAX)));
            let derive = |nonce: &&[u8]| {
                let mut stream_key = hmac_sha256(self.key, &[nonce, &[STREAM_KEY]]);
                let gcm = Gcm::new(&stream_key);
                stream_key.zeroize();
                gcm
            };
            self.nonces.iter().map(derive).collect()
        })
    }

    /// The nonces that are as long as so much.
    pub(super) fn nonces<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        self.nonces.iter().filter_map(|nonce| <[u8; N]>::try_from(*nonce).ok())
    }
}

/// Nonce, ciphertext and tag of a unit.
type Sealed<'u> = ([u8; 12], &'u [u8], [u8; 16]);

/// Takes a unit apart, also where it has no more than these behind its length; `given` is the nonce of those that have none.
fn sealed(unit: &SealedUnit, given: Option<[u8; 12]>) -> Option<Sealed<'_>> {
    match unit.shape {
        UnitShape::Aead { nonce, tag } => Some((nonce, &unit.ciphertext, tag)),
        UnitShape::Blocks => None,
        UnitShape::Other => {
            let (rest, tag) = unit.ciphertext.split_last_chunk::<16>()?;
            if rest.len() == unit.length {
                return Some((given?, rest, *tag));
            }
            let (nonce, body) = rest.split_first_chunk::<12>()?;
            (body.len() == unit.length).then_some((*nonce, body, *tag))
        }
    }
}

pub(super) fn with_tags(units: &[SealedUnit], ciphers: &Ciphers<'_>, effort: &Effort, best: &mut Best) {
    let given = ciphers.nonces().next();
    let fit: Vec<Sealed<'_>> = units.iter().filter_map(|unit| sealed(unit, given)).collect();
    if fit.is_empty() {
        return;
    }
    if let Some(own) = ciphers.own() {
        gcm(&fit, own, (bits(ciphers.key), None), effort, best);
    }
    if best.is_decided() {
        return;
    }
    for (index, derived) in ciphers.derived(best).iter().enumerate() {
        if let Some(derived) = derived {
            gcm(&fit, derived, (STREAM_KEY_BITS, Some(index)), effort, best);
        }
        if best.is_decided() {
            return;
        }
    }
}

/// `derived` is the number of the nonce that the key came of.
fn gcm(
    fit: &[Sealed<'_>],
    gcm: &Gcm,
    (bits, derived): (usize, Option<usize>),
    effort: &Effort,
    best: &mut Best,
) {
    let mut scratch = Zeroizing::new(Vec::new());
    let mut opens = |(nonce, body, tag): &Sealed<'_>, best: &mut Best| {
        best.checked(body.len());
        scratch.clear();
        scratch.extend_from_slice(body);
        gcm.open(nonce, &[], &mut scratch, tag)
    };
    best.tries = best.tries.saturating_add(1);
    if !effort.screen(fit).any(|unit| opens(unit, best)) {
        return;
    }
    let opened = count(effort.spread(fit).filter(|unit| opens(unit, best)));
    let of = count(effort.spread(fit));
    let log10 = bound::at_least(opened, of, -16.0 * bound::BYTE);
    let from = if derived.is_some() { ", with the stream key of this meeting key and the nonce" } else { "" };
    best.take(Trial {
        mode: Mode::Gcm,
        cipher: format!("AES-{bits}-GCM{from}"),
        opened,
        of,
        silent: 0,
        log10,
        parts: vec![Part { what: format!("tags of 128 bits that fit: {opened}"), log10 }],
        nonce: derived,
        decided: opened > 0,
    });
}

const fn bits(key: &[u8]) -> usize {
    key.len().saturating_mul(8)
}

pub(super) fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
