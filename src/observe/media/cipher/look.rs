//! What the first bytes and the body of payloads look like. Ciphertext under SRTP is uniform from the first byte on (RFC 3711
//! section 3.1, RFC 7714); a codec's header, or sound that is not compressed, is not.
//!
//! Only payloads that begin otherwise than those before are looked at: under ECB the same frame gives the same bytes.

use crate::observe::facts::{Body, Heads};

/// Bytes of a payload that have statistics by their place.
pub(super) const HEAD: usize = 4;
/// Bytes of the body behind them that stand for all of it.
const LOOKED: usize = 64;
/// Beginnings that are kept.
const KEPT: usize = 128;

// Bytes of as many beginnings are counted in a `u8`.
const _: () = assert!(KEPT <= 255);
/// Payloads that are looked at.
const TRIED: u16 = 512;
/// Bytes of the body that are counted.
const BODY: u32 = 1 << 13;
/// Byte values.
const VALUES: usize = 256;

/// The first bytes of payloads.
#[derive(Debug, Default)]
pub(super) struct Look {
    heads: Vec<([u8; 16], u8)>,
    tried: u16,
    body: Option<Box<[u16; VALUES]>>,
    bytes: u32,
}

impl Look {
    /// Takes a payload.
    pub(super) fn payload(&mut self, payload: &[u8]) {
        if self.tried >= TRIED || payload.is_empty() {
            return;
        }
        self.tried = self.tried.saturating_add(1);
        let mut head = [0; 16];
        let length = payload.len().min(head.len());
        head.iter_mut().zip(payload).for_each(|(slot, byte)| *slot = *byte);
        let head = (head, u8::try_from(length).unwrap_or(16));
        if self.heads.len() >= KEPT || self.heads.contains(&head) {
            return;
        }
        self.heads.push(head);
    }

    /// Counts the beginning of a payload's body, where its blocks are not compared.
    pub(super) fn body_of(&mut self, payload: &[u8]) {
        let body = payload.get(HEAD..).unwrap_or_default();
        self.body(body.get(..LOOKED).unwrap_or(body));
    }

    /// Counts bytes of a block of the body that was not seen before.
    #[inline]
    pub(super) fn body(&mut self, bytes: &[u8]) {
        if self.bytes >= BODY {
            return;
        }
        let counts = self.body.get_or_insert_with(|| Box::new([0; VALUES]));
        for byte in bytes {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count = count.saturating_add(1);
            }
            self.bytes = self.bytes.saturating_add(1);
        }
    }

    pub(super) fn heads(&self) -> Heads {
        let mut heads = Heads { payloads: u32::try_from(self.heads.len()).unwrap_or(0), ..Heads::default() };
        for (position, place) in heads.places.iter_mut().enumerate() {
            let mut counts = [0_u8; VALUES];
            for (head, length) in &self.heads {
                if position < usize::from(*length)
                    && let Some(count) =
                        head.get(position).and_then(|byte| counts.get_mut(usize::from(*byte)))
                {
                    // A pair with each that had the same byte before.
                    place.0 = place.0.saturating_add(1);
                    place.1 = place.1.saturating_add(u32::from(*count));
                    *count = count.saturating_add(1);
                }
            }
        }
        heads
    }

    pub(super) fn body_counts(&self) -> Option<Body> {
        let counts = self.body.as_ref()?;
        let squares: f64 = counts.iter().map(|count| f64::from(*count) * f64::from(*count)).sum();
        let bytes = f64::from(self.bytes);
        (self.bytes > 0).then(|| Body { bytes: self.bytes, chi_squared: 256.0 * squares / bytes - bytes })
    }
}

/// True when a block has so few byte values that no cipher made it: at most four, which 16 uniform bytes have with a
/// probability of 2e-21.
pub(super) fn is_poor(block: &[u8; 16]) -> bool {
    let mut values: [Option<u8>; 4] = [None; 4];
    block.iter().all(|byte| {
        let slot = values.iter_mut().find(|slot| slot.is_none_or(|value| value == *byte));
        slot.is_some_and(|slot| {
            *slot = Some(*byte);
            true
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_values_are_poor_and_five_are_not() {
        assert!(is_poor(&[0; 16]));
        assert!(is_poor(&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]));
        assert!(!is_poor(&[1, 2, 3, 4, 5, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]));
    }

    #[test]
    fn the_same_beginning_counts_once() {
        let mut look = Look::default();
        (0..300).for_each(|_| look.payload(&[7; 40]));
        (0..20).for_each(|number| look.payload(&[9, number]));
        let heads = look.heads();
        assert_eq!(heads.payloads, 21);
        assert_eq!(heads.places[0], (21, 190));
        assert_eq!(heads.places[1], (21, 1), "7 once from the long one, once from the short ones");
        assert_eq!(heads.places[2], (1, 0));
    }

    #[test]
    fn even_counts_have_no_chi_squared() {
        let mut look = Look::default();
        let all: Vec<u8> = (0..=255).collect();
        (0..8).for_each(|_| look.body(&all));
        assert!(look.body_counts().is_some_and(|body| body.bytes == 2048 && body.chi_squared.abs() < 1e-9));
    }
}
