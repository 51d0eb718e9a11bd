//! Keys on units of Zoom's framing. In: units, a key, nonces. Out: which cipher fits, on how many, how surely.
//!
//! Tried: AES-GCM with the key, and with the stream key that a meeting key and a sender's nonce give
//! (HMAC-SHA256(key, nonce, 0x02)); AES-ECB and AES-CBC with zero and PKCS #7 padding; AES-CTR. GCM has a tag. The others
//! are judged by padding and by bytes that are alike in all units, which no wrong key makes.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::{Zeroize, Zeroizing};

use super::bound;
use super::tagged::{Ciphers, count, with_tags};
use super::{Best, Effort, Mode, Part, Trial};
use crate::crypto::block::{Aes, BLOCK, xor};
use crate::observe::facts::{SealedUnit, UnitShape};

/// Bytes at the beginning of units that are compared.
const COMPARED: usize = 4;
/// log10 of [`COMPARED`]: the best of them is taken.
const BEST_OF: f64 = 0.602_06;
/// Units of a kind with different first blocks that are compared at most.
const DISTINCT: usize = 4096;
/// Ciphertext whose own first bytes are alike at most so much may be judged by what a key stream makes of them.
const ALIKE: f64 = -3.0;
/// The paddings that are told apart.
const PADDINGS: [&str; 2] = ["zero padding", "PKCS #7 padding"];
/// Steps that it takes to judge what one way of chaining, or of counting, has shown.
const JUDGE: u64 = 64;

pub(super) fn try_key(units: &[SealedUnit], ciphers: &Ciphers<'_>, effort: &Effort, best: &mut Best) {
    if effort.wants(Mode::Gcm) {
        with_tags(units, ciphers, effort, best);
    }
    if best.is_decided() {
        return;
    }
    let Some(aes) = Aes::new(ciphers.key) else { return };
    if effort.wants(Mode::Ecb) {
        blocks(units, &aes, Chain::Ecb, effort, best);
    }
    if effort.wants(Mode::Cbc) {
        let nonces = ciphers.nonces::<BLOCK>();
        blocks(units, &aes, Chain::Cbc([0; BLOCK]), effort, best);
        blocks(units, &aes, Chain::CbcFirst, effort, best);
        if effort.spread(units).any(is_of_one_block) {
            for nonce in nonces {
                blocks(units, &aes, Chain::Cbc(nonce), effort, best);
            }
        } else if effort.spread(units).any(|unit| Chain::Cbc([0; BLOCK]).cut(unit).is_some()) {
            // Another vector changes nothing that is judged: padding stands in a later block, and what is alike stays alike.
            let tries = PADDINGS.len().saturating_mul(nonces.count());
            best.tries = best.tries.saturating_add(u32::try_from(tries).unwrap_or(u32::MAX));
        }
    }
    if effort.wants(Mode::Ctr) {
        for layout in &COUNTERS {
            counter(units, &aes, layout, effort, best);
        }
    }
}

/// True where padding stands in the block that a vector is chained to.
fn is_of_one_block(unit: &SealedUnit) -> bool {
    Chain::Cbc([0; BLOCK]).cut(unit).is_some_and(|(_, blocks)| blocks.len() == 1)
}

/// How blocks are chained.
#[derive(Clone, Copy)]
enum Chain {
    /// Not at all.
    Ecb,
    /// To the one before, the first to this.
    Cbc([u8; BLOCK]),
    /// To the one before, the first of all being no ciphertext.
    CbcFirst,
}

impl Chain {
    const fn mode(self) -> Mode {
        match self {
            Self::Ecb => Mode::Ecb,
            Self::Cbc(_) | Self::CbcFirst => Mode::Cbc,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ecb => "ECB",
            Self::Cbc(_) => "CBC",
            Self::CbcFirst => "CBC, its first block an initialisation vector",
        }
    }

    /// The ciphertext as blocks, with what the first is chained to; `None` when the unit is not laid out so.
    fn cut(self, unit: &SealedUnit) -> Option<([u8; BLOCK], &[[u8; BLOCK]])> {
        let (blocks, rest) = unit.ciphertext.as_chunks::<BLOCK>();
        if !rest.is_empty() || matches!(unit.shape, UnitShape::Aead { .. }) {
            return None;
        }
        let (before, blocks) = match self {
            Self::Ecb => ([0; BLOCK], blocks),
            Self::Cbc(vector) => (vector, blocks),
            Self::CbcFirst => blocks.split_first().map(|(first, rest)| (*first, rest))?,
        };
        let pad = blocks.len().saturating_mul(BLOCK).checked_sub(unit.length)?;
        (pad <= BLOCK && !blocks.is_empty()).then_some((before, blocks))
    }
}

/// What blocks showed.
#[derive(Default)]
struct Seen {
    /// Units laid out so.
    units: u32,
    /// Of these, without padding.
    silent: u32,
    /// Units whose padding is zeros, and whose padding is after PKCS #7.
    fits: [u32; 2],
    /// By last block and what it is chained to: bytes of padding, and whether they are zeros, or after PKCS #7. What repeats
    /// shows nothing new.
    padding: BTreeMap<[u8; 2 * BLOCK], (u32, [bool; 2])>,
    first: First,
}

fn blocks(units: &[SealedUnit], aes: &Aes, chain: Chain, effort: &Effort, best: &mut Best) {
    let mut seen = Seen::default();
    for unit in effort.spread(units) {
        let Some((vector, blocks)) = chain.cut(unit) else { continue };
        seen.units = seen.units.saturating_add(1);
        let Some(first) = blocks.first() else { continue };
        let is_chained = !matches!(chain, Chain::Ecb);
        seen.first.add(first, || open(aes, first, &vector));
        let pad = blocks.len().saturating_mul(BLOCK).saturating_sub(unit.length);
        let Some(last) = blocks.last().filter(|_| pad > 0) else {
            seen.silent = seen.silent.saturating_add(1);
            continue;
        };
        let before = blocks.len().checked_sub(2).and_then(|place| blocks.get(place)).copied();
        let before = if is_chained { before.unwrap_or(vector) } else { [0; BLOCK] };
        let fits = padding_fits(&Zeroizing::new(open(aes, last, &before)), pad);
        for (total, fits) in seen.fits.iter_mut().zip(fits) {
            *total = total.saturating_add(u32::from(fits));
        }
        let mut place = [0; 2 * BLOCK];
        xor(&mut place, last);
        xor(place.get_mut(BLOCK..).unwrap_or_default(), &before);
        if seen.padding.len() < DISTINCT {
            seen.padding.insert(place, (u32::try_from(pad).unwrap_or(0), fits));
        }
    }
    if seen.units == 0 {
        return;
    }
    // The first block of each and the last.
    best.worked(u64::from(seen.units).saturating_mul(2).saturating_add(JUDGE));
    let name = format!("AES-{}-{}", aes.bits(), chain.name());
    judge(&seen, chain, &name, best);
}

/// Whether the last bytes of a block are zeros, and whether they are padding after PKCS #7.
fn padding_fits(block: &[u8; BLOCK], pad: usize) -> [bool; 2] {
    let bytes = block.get(BLOCK.saturating_sub(pad)..).unwrap_or_default();
    let all = |value: u8| !bytes.is_empty() && bytes.iter().all(|byte| *byte == value);
    // A whole block of padding is known of PKCS #7 alone.
    [all(0) && pad < BLOCK, all(u8::try_from(pad).unwrap_or(0))]
}

fn open(aes: &Aes, block: &[u8; BLOCK], before: &[u8; BLOCK]) -> [u8; BLOCK] {
    let mut plain = *block;
    aes.decrypt(&mut plain);
    xor(&mut plain, before);
    plain
}

fn judge(seen: &Seen, chain: Chain, name: &str, best: &mut Best) {
    let first = seen.first.bound();
    let checked = seen.units.saturating_sub(seen.silent);
    for (kind, words) in PADDINGS.into_iter().enumerate() {
        best.tries = best.tries.saturating_add(1);
        let tests =
            seen.padding.values().map(|(bytes, fits)| (*bytes, fits.get(kind).copied() == Some(true)));
        let padding = bound::padding(&tests);
        let fits = seen.fits.get(kind).copied().unwrap_or(0);
        let different = count(tests.filter(|(_, fits)| *fits));
        let mut parts = vec![Part {
            what: format!("{words} of {fits} units, in {different} different last blocks"),
            log10: padding,
        }];
        parts.extend(seen.first.part());
        let by_padding = padding < first;
        best.take(Trial {
            mode: chain.mode(),
            cipher: if by_padding { format!("{name}, {words}") } else { name.to_owned() },
            opened: if by_padding { fits } else { seen.first.most() },
            of: if by_padding { checked } else { seen.first.all() },
            silent: if by_padding { seen.silent } else { 0 },
            log10: padding + first,
            parts,
            nonce: None,
            decided: false,
        });
    }
}

/// First bytes of plaintext, by value, of units whose first blocks differ.
struct First {
    counts: [[u32; 256]; COMPARED],
    known: BTreeSet<[u8; BLOCK]>,
}

impl Default for First {
    fn default() -> Self {
        Self { counts: [[0; 256]; COMPARED], known: BTreeSet::new() }
    }
}

impl First {
    fn add(&mut self, sealed: &[u8; BLOCK], plain: impl FnOnce() -> [u8; BLOCK]) {
        if self.known.len() >= DISTINCT || !self.known.insert(*sealed) {
            return;
        }
        let mut plain = plain();
        self.note(&plain);
        plain.zeroize();
    }

    fn note(&mut self, plain: &[u8]) {
        for (counts, byte) in self.counts.iter_mut().zip(plain) {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count = count.saturating_add(1);
            }
        }
    }

    fn place(&self) -> (usize, f64) {
        let bounds = self.counts.iter().map(bound::concentration).enumerate();
        bounds.fold((0, 0.0), |best, one| if one.1 < best.1 { one } else { best })
    }

    fn bound(&self) -> f64 {
        (self.place().1 + BEST_OF).min(0.0)
    }

    fn most(&self) -> u32 {
        self.counts.get(self.place().0).and_then(|counts| counts.iter().copied().max()).unwrap_or(0)
    }

    fn all(&self) -> u32 {
        self.counts.first().map_or(0, |counts| counts.iter().sum())
    }

    fn part(&self) -> Option<Part> {
        let log10 = self.bound();
        let place = self.place().0.saturating_add(1);
        let what = format!("byte {place} is the same in {} of {} different units", self.most(), self.all());
        (log10 < 0.0).then_some(Part { what, log10 })
    }
}

/// Where the counter of CTR comes from.
enum Layout {
    /// The unit's nonce of 12 bytes, then a counter of four that begins so.
    Nonce(u32),
    /// The first bytes behind the length, 12 or 16.
    Ahead(usize),
}

/// The layouts that are tried: the nonce of the unit with a counter from 2 (as in GCM), 1 and 0; a counter block of 16 bytes,
/// or a nonce of 12 with a counter from 0, ahead of ciphertext as long as announced. One counter for all units cannot be
/// judged: under any key it leaves alike what was alike.
const COUNTERS: [Layout; 5] =
    [Layout::Nonce(2), Layout::Nonce(1), Layout::Nonce(0), Layout::Ahead(16), Layout::Ahead(12)];

impl Layout {
    fn cut<'u>(&self, unit: &'u SealedUnit) -> Option<([u8; BLOCK], &'u [u8])> {
        let sealed = &*unit.ciphertext;
        match (self, unit.shape) {
            (Self::Nonce(start), UnitShape::Aead { nonce, .. }) => {
                Some((counter_block(&nonce, *start), sealed))
            }
            (Self::Ahead(length), UnitShape::Other | UnitShape::Blocks) => {
                let (nonce, body) = sealed.split_at_checked(*length)?;
                (body.len() == unit.length).then(|| (counter_block(nonce, 0), body))
            }
            _ => None,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Nonce(start) => format!("nonce of the unit, counter from {start}"),
            Self::Ahead(length) => format!("{length} bytes of counter ahead of the ciphertext"),
        }
    }
}

fn counter_block(nonce: &[u8], start: u32) -> [u8; BLOCK] {
    let mut first = [0; BLOCK];
    xor(&mut first, nonce);
    xor(first.get_mut(12..).unwrap_or_default(), &start.to_be_bytes());
    first
}

fn counter(units: &[SealedUnit], aes: &Aes, layout: &Layout, effort: &Effort, best: &mut Best) {
    let (mut opened, mut raw) = (First::default(), First::default());
    let mut known = BTreeSet::new();
    for (start, sealed) in effort.spread(units).filter_map(|unit| layout.cut(unit)) {
        // A key stream that comes again says nothing new.
        if known.len() >= DISTINCT || !known.insert(start) {
            continue;
        }
        let mut plain: Vec<u8> = sealed.iter().take(COMPARED).copied().collect();
        raw.note(&plain);
        aes.ctr(start, &mut plain);
        opened.note(&plain);
        plain.zeroize();
    }
    if opened.all() == 0 {
        return;
    }
    best.worked(u64::from(opened.all()).saturating_add(JUDGE));
    best.tries = best.tries.saturating_add(1);
    // What is alike before it is opened would be alike after it under any key.
    if raw.bound() < ALIKE {
        return;
    }
    best.take(Trial {
        mode: Mode::Ctr,
        cipher: format!("AES-{}-CTR, {}", aes.bits(), layout.words()),
        opened: opened.most(),
        of: opened.all(),
        silent: 0,
        log10: opened.bound(),
        parts: opened.part().into_iter().collect(),
        nonce: None,
        decided: false,
    });
}
