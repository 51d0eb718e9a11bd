//! Keys on RTP packets: SRTP (RFC 3711, RFC 6188, RFC 7714) and, in payloads that are sealed once, SFrame (RFC 9605).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::bound;
use super::{Best, DERIVE, Effort, Key, Mode, Part, Trial};
use crate::crypto::sframe;
use crate::crypto::srtp::{SUITES, Session, Suite, Transform};
use crate::observe::facts::Sample;

/// Packets that are looked at before a key is given up.
const SCREENED: usize = 3;
/// Steps that a rollover counter takes to be tried, beside what all of them share.
const COUNTER: u64 = 4;
/// Key identifiers of SFrame for which keys are derived, for each stream.
const KEY_IDS: usize = 16;
/// Bound under which first bytes count as alike, to tell a payload that is not encrypted.
const ALIKE: f64 = -9.0;
/// Bound over which they count as different.
const DIFFERENT: f64 = -3.0;

/// The ways in which key and salt can be cut out of what was given, with the suites of those lengths.
fn cuts<'k>(key: &'k Key, salts: &[&'k [u8]]) -> Vec<(Suite, &'k [u8], &'k [u8])> {
    let mut cuts = Vec::new();
    let named = key.suite;
    for suite in SUITES.into_iter().chain(named.filter(|suite| suite.transform == Transform::Null)) {
        if named.is_some_and(|named| named != suite) {
            continue;
        }
        let both = suite.key.saturating_add(suite.salt);
        if key.bytes.len() == both
            && let Some((own, salt)) = key.bytes.split_at_checked(suite.key)
        {
            cuts.push((suite, own, salt));
        } else if key.bytes.len() == suite.key {
            cuts.extend(
                salts.iter().filter(|salt| salt.len() == suite.salt).map(|salt| (suite, &**key.bytes, *salt)),
            );
        }
    }
    cuts
}

pub(super) fn try_srtp(samples: &[Sample], key: &Key, salts: &[&[u8]], effort: &Effort, best: &mut Best) {
    let mut scratch = Zeroizing::new(Vec::new());
    for (suite, own, salt) in cuts(key, salts) {
        let Some(session) = Session::new(suite, own, salt) else { continue };
        best.worked(DERIVE);
        let counters = effort.rollovers;
        best.tries = best.tries.saturating_add(counters);
        // How often the sequence number had begun anew before the stream was first seen is not known.
        let base = effort.some(samples, SCREENED).find_map(|sample| {
            best.checked(sample.bytes.len());
            best.worked(COUNTER.saturating_mul(counters.into()));
            let range = (0..counters).filter_map(|base| base.checked_add_signed(sample.cycles));
            let found = session.rollover(&sample.bytes, sample.header, key.mki, range, &mut scratch)?;
            found.checked_add_signed(sample.cycles.checked_neg()?)
        });
        if let Some(base) = base {
            let found = opened(samples, &session, key.mki, base, effort);
            best.take(found);
            if best.is_decided() {
                return;
            }
        }
    }
}

/// Opens what there is with the counter that was found.
fn opened(samples: &[Sample], session: &Session, mki: usize, base: u32, effort: &Effort) -> Trial {
    let suite = session.suite();
    let mut payload = Zeroizing::new(Vec::new());
    let (mut fits, mut of) = (0_u32, 0_u32);
    let (mut plain, mut raw) = ([0_u32; 256], [0_u32; 256]);
    for sample in effort.spread(samples) {
        of = of.saturating_add(1);
        let Some(counter) = base.checked_add_signed(sample.cycles) else { continue };
        if !session.open(&sample.bytes, sample.header, mki, counter, &mut payload) {
            continue;
        }
        fits = fits.saturating_add(1);
        for (counts, byte) in [(&mut plain, payload.first()), (&mut raw, sample.bytes.get(sample.header))] {
            let Some(byte) = byte else { continue };
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count = count.saturating_add(1);
            }
        }
    }
    let log10 = bound::at_least(fits, of, suite.log10_chance());
    let bits = suite.tag.saturating_mul(8);
    let mut parts = vec![Part { what: format!("tags of {bits} bits that fit: {fits}"), log10 }];
    let mut cipher = format!("SRTP {}", suite.name);
    if base > 0 {
        parts.push(Part { what: format!("rollover counter {base} where the capture begins"), log10: 0.0 });
    }
    // The tag covers what was sent; whether that was encrypted it does not tell.
    let is_plain = suite.transform == Transform::AesCm
        && bound::concentration(&raw) < ALIKE
        && bound::concentration(&plain) > DIFFERENT;
    if is_plain {
        cipher.push_str(", the payload not encrypted (NULL cipher)");
    }
    // One packet with a short tag is not enough, however the figures fall.
    let decided = fits > 0 && log10 < bound::ACCEPT;
    Trial { mode: Mode::Srtp, cipher, opened: fits, of, silent: 0, log10, parts, nonce: None, decided }
}

pub(super) fn try_sframe(samples: &[Sample], key: &[u8], effort: &Effort, best: &mut Best) {
    let mut frame = Zeroizing::new(Vec::new());
    for suite in sframe::SUITES {
        let mut keys: BTreeMap<u64, Option<sframe::Keys>> = BTreeMap::new();
        let mut opens = |sample: &Sample, best: &mut Best| {
            let Some(payload) = sample.bytes.get(sample.header..) else { return false };
            let Some(header) = sframe::header(payload) else { return false };
            if keys.len() >= KEY_IDS && !keys.contains_key(&header.key_id) {
                return false;
            }
            keys.entry(header.key_id)
                .or_insert_with(|| {
                    best.worked(DERIVE);
                    sframe::Keys::new(suite, key, header.key_id)
                })
                .as_ref()
                .is_some_and(|keys| {
                    best.checked(payload.len());
                    keys.open(payload, &header, &[], &mut frame)
                })
        };
        best.tries = best.tries.saturating_add(1);
        let screened = SCREENED.saturating_mul(4).min(effort.screened);
        if !effort.some(samples, screened).any(|sample| opens(sample, best)) {
            continue;
        }
        let (mut fits, mut of) = (0_u32, 0_u32);
        for sample in effort.spread(samples) {
            of = of.saturating_add(1);
            fits = fits.saturating_add(u32::from(opens(sample, best)));
        }
        let log10 = bound::at_least(fits, of, suite.log10_chance());
        let bits = suite.tag.saturating_mul(8);
        best.take(Trial {
            mode: Mode::Sframe,
            cipher: format!("SFrame {}", suite.name),
            opened: fits,
            of,
            silent: 0,
            log10,
            parts: vec![Part { what: format!("tags of {bits} bits that fit: {fits}"), log10 }],
            nonce: None,
            decided: log10 < bound::ACCEPT,
        });
    }
}

/// Whether SFrame is worth a try with a key.
pub(super) const fn is_base_key(length: usize, mode: Option<Mode>) -> bool {
    matches!(length, 16 | 32) || (matches!(mode, Some(Mode::Sframe)) && length >= 16 && length <= 64)
}
