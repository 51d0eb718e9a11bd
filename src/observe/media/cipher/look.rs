//! What the first bytes and the body of payloads look like. Ciphertext under SRTP is uniform from the first byte on (RFC 3711
//! section 3.1, RFC 7714); a codec's header, or sound that is not compressed, is not.
//!
//! Only payloads that begin otherwise than those before are looked at: under ECB the same frame gives the same bytes.

use super::table::hash;
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

/// How often each byte value was seen.
#[derive(Debug, Default)]
enum Counts {
    #[default]
    None,
    /// While no value was seen more often than this can tell: of uniform bytes none ever is.
    Small(Box<[u8; VALUES]>),
    Large(Box<[u16; VALUES]>),
    /// No more are counted.
    Told(Body),
}

impl Counts {
    fn add(&mut self, bytes: &[u8]) {
        if matches!(self, Self::None) && !bytes.is_empty() {
            *self = Self::Small(Box::new([0; VALUES]));
        }
        let mut rest = bytes.iter();
        if let Self::Small(counts) = self {
            for byte in rest.by_ref() {
                let Some(count) = counts.get_mut(usize::from(*byte)) else { continue };
                if *count < u8::MAX {
                    *count = count.saturating_add(1);
                    continue;
                }
                let mut large = Box::new(counts.map(u16::from));
                if let Some(count) = large.get_mut(usize::from(*byte)) {
                    *count = count.saturating_add(1);
                }
                *self = Self::Large(large);
                break;
            }
        }
        if let Self::Large(counts) = self {
            for byte in rest {
                if let Some(count) = counts.get_mut(usize::from(*byte)) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    fn body(&self, bytes: u32) -> Option<Body> {
        let square = |count: f64| count * count;
        let squares: f64 = match self {
            Self::None => return None,
            Self::Told(body) => return Some(*body),
            Self::Small(counts) => counts.iter().map(|count| square(f64::from(*count))).sum(),
            Self::Large(counts) => counts.iter().map(|count| square(f64::from(*count))).sum(),
        };
        let all = f64::from(bytes);
        (bytes > 0).then(|| Body { bytes, chi_squared: 256.0 * squares / all - all })
    }
}

/// The first bytes of payloads.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// A byte that is made of each beginning. Most payloads begin as none before, and the beginnings themselves are far more to read
    /// from memory.
    tags: Vec<u8>,
    heads: Vec<([u8; 16], u8)>,
    /// What the beginnings came to, once no more are kept.
    told: Option<Box<Heads>>,
    tried: u16,
    bytes: u32,
    body: Counts,
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
        let tag = hash(&head).to_be_bytes()[0];
        let head = (head, u8::try_from(length).unwrap_or(16));
        let mut alike = self.tags.iter().zip(&self.heads).filter(|(held, _)| **held == tag);
        if !alike.any(|(_, held)| *held == head) {
            self.tags.push(tag);
            self.heads.push(head);
        }
        if self.heads.len() >= KEPT || self.tried >= TRIED {
            self.tell_heads();
        }
    }

    /// No more payloads come that are to be looked at.
    pub(super) fn conclude(&mut self) {
        self.tell_heads();
        if let Some(body) = self.body_counts() {
            self.body = Counts::Told(body);
        }
    }

    fn tell_heads(&mut self) {
        self.told = Some(Box::new(self.heads()));
        (self.tags, self.heads, self.tried) = (Vec::new(), Vec::new(), TRIED);
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
        self.body.add(bytes);
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if self.bytes >= BODY
            && let Some(body) = self.body_counts()
        {
            self.body = Counts::Told(body);
        }
    }

    pub(super) fn heads(&self) -> Heads {
        if let Some(told) = self.told.as_deref() {
            return *told;
        }
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
        self.body.body(self.bytes)
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
    fn what_is_concluded_is_told_as_before_and_takes_no_more() {
        let heads: Vec<[u8; 2]> = (0..100).map(|number| [number % 3, number]).collect();
        let (mut look, mut concluded) = (Look::default(), Look::default());
        for head in &heads {
            look.payload(head);
            concluded.payload(head);
            look.body(head);
            concluded.body(head);
        }
        concluded.conclude();
        assert_eq!((concluded.heads(), concluded.body_counts()), (look.heads(), look.body_counts()));
        concluded.payload(&[200; 9]);
        assert_eq!(concluded.heads(), look.heads());
    }

    #[test]
    fn of_many_beginnings_the_first_are_kept() {
        let mut look = Look::default();
        (0..200_u8).for_each(|number| look.payload(&[number; 20]));
        assert_eq!((look.heads().payloads, look.heads().places[0]), (128, (128, 0)));
        assert!(look.heads.is_empty(), "they came to what is told");
    }

    #[test]
    fn one_value_that_is_seen_often_is_counted_to_the_end() {
        for piece in [1, 60, 300] {
            let mut look = Look::default();
            (0..300 / piece).for_each(|_| look.body(&vec![7; piece]));
            look.body(&[8; 10]);
            let (bytes, squares) = (310.0, 300.0_f64.powi(2) + 100.0);
            let told = look.body_counts().unwrap();
            assert_eq!(told.bytes, 310);
            assert!((told.chi_squared - (256.0 * squares / bytes - bytes)).abs() < 1e-9);
        }
    }

    #[test]
    fn even_counts_have_no_chi_squared() {
        let mut look = Look::default();
        let all: Vec<u8> = (0..=255).collect();
        (0..8).for_each(|_| look.body(&all));
        assert!(look.body_counts().is_some_and(|body| body.bytes == 2048 && body.chi_squared.abs() < 1e-9));
    }
}
