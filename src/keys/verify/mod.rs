//! Does this key open this media? In: what was kept of RTP streams ([`Samples`]), keys. Out: on how many units of which
//! streams it verifies, with which cipher, and how likely a wrong key would do so too.
//!
//! Plaintext is never kept: what is decrypted to be judged is wiped. Where a cipher has a tag, the tag decides. Where it has
//! none, padding and equal bytes do, and their figures are given one by one.
//!
//! A key that does not verify is not thereby of another meeting: [`DOES_NOT_PROVE`].

pub mod bound;
mod capture;
mod packets;
mod tagged;
mod zoom;

use zeroize::Zeroizing;

pub use capture::{Answer, Material, Outcome, Reason, StreamAnswer, verify};

use crate::crypto::srtp::Suite;
use crate::observe::facts::Samples;

/// What a failed check leaves open.
pub const DOES_NOT_PROVE: [&str; 4] = [
    "it may be a meeting key whose sender's nonce was not given, or a key that another derivation turns into stream keys",
    "it may be the key of another time: end-to-end encrypted meetings change keys every few minutes and when somebody joins or leaves",
    "the media may be sealed twice, end to end and again on the way to a server; only the outer layer is tried",
    "the capture may lack the packets that belong to it, or hold them in a framing that is not known here",
];

/// Steps that one tag takes to be checked. A step is about the time of one block of AES with what is noted of it.
const CHECK: u64 = 8;
/// Bytes under a tag that take one more step.
const CHECKED_PER_STEP: usize = 128;
/// Steps that it takes to derive keys from one.
const DERIVE: u64 = 16;
/// Units that are looked at where keys are many: a wrong key opens none, and the right one mostly the first.
const FEW: usize = 2;

/// What a key is tried as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "what `--mode` can name")]
pub enum Mode {
    /// AES-ECB on Zoom's units.
    Ecb,
    /// AES-CBC on Zoom's units.
    Cbc,
    /// AES-CTR on Zoom's units.
    Ctr,
    /// AES-GCM on Zoom's units.
    Gcm,
    /// SRTP.
    Srtp,
    /// SFrame.
    Sframe,
}

/// A key to be tried.
#[derive(Clone)]
#[non_exhaustive]
pub struct Key {
    /// The key, or master key and master salt; wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// How it was read, as `hex` or `base64, its first half`.
    pub how: String,
    /// The SRTP suite that it is for, where that was said.
    pub suite: Option<Suite>,
    /// Bytes of the master key identifier in each packet (RFC 3711 section 3.1).
    pub mki: usize,
}

impl Key {
    /// A key that may be anything.
    pub fn new(bytes: &[u8], how: impl Into<String>) -> Self {
        Self { bytes: Zeroizing::new(bytes.to_vec()), how: how.into(), suite: None, mki: 0 }
    }

    /// Master key and master salt of one SRTP suite.
    pub fn of_suite(bytes: &[u8], suite: Suite, mki: usize, how: impl Into<String>) -> Self {
        Self { suite: Some(suite), mki, ..Self::new(bytes, how) }
    }
}

/// Keys stay secret: only the length is shown.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("bytes", &self.bytes.len())
            .field("how", &self.how)
            .finish_non_exhaustive()
    }
}

/// How much work a trial may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effort {
    /// Units that are tried of a stream, evenly spread over it.
    pub units: usize,
    /// Rollover counters that are tried: 65,536 packets each, before the capture began.
    pub rollovers: u32,
    /// What alone is tried; all without.
    pub mode: Option<Mode>,
    /// Units that are looked at before a key without any success is given up, where a tag decides.
    pub screened: usize,
}

impl Effort {
    /// A user asks about one key: everything that was kept, and rollover counters for 16.7 million packets.
    pub const THOROUGH: Self = Self { units: usize::MAX, rollovers: 256, mode: None, screened: 24 };
    /// One of many candidates.
    pub const QUICK: Self = Self { units: 512, rollovers: 4, mode: None, screened: 24 };

    fn wants(&self, mode: Mode) -> bool {
        self.mode.is_none_or(|only| only == mode)
    }

    fn spread<'t, T>(&self, all: &'t [T]) -> impl Iterator<Item = &'t T> + use<'t, T> {
        self.some(all, self.units)
    }

    fn screen<'t, T>(&self, all: &'t [T]) -> impl Iterator<Item = &'t T> + use<'t, T> {
        self.some(all, self.units.min(self.screened))
    }

    /// So many of them, evenly spread.
    #[expect(clippy::unused_self, reason = "reads as the others do")]
    fn some<'t, T>(&self, all: &'t [T], most: usize) -> impl Iterator<Item = &'t T> + use<'t, T> {
        all.iter().step_by(all.len().div_ceil(most.max(1)).max(1))
    }
}

/// A part of the evidence, with log10 of the chance that a wrong key shows it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Part {
    /// What was seen.
    pub what: String,
    /// Bound of its chance, log10, zero or below.
    pub log10: f64,
}

/// What one way of trying a key showed.
#[derive(Debug, Clone, PartialEq)]
struct Trial {
    mode: Mode,
    cipher: String,
    opened: u32,
    of: u32,
    silent: u32,
    log10: f64,
    parts: Vec<Part>,
    nonce: Option<usize>,
    /// A tag fits: nothing else needs to be tried.
    decided: bool,
}

/// The best trial so far, and how many there were.
#[derive(Debug, Default)]
struct Best {
    tries: u32,
    /// What they cost.
    steps: u64,
    trial: Option<Trial>,
}

impl Best {
    fn take(&mut self, trial: Trial) {
        if self.trial.as_ref().is_none_or(|held| trial.log10 < held.log10) {
            self.trial = Some(trial);
        }
    }

    fn is_decided(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.decided)
    }

    /// Counts work.
    const fn worked(&mut self, steps: u64) {
        self.steps = self.steps.saturating_add(steps);
    }

    /// Counts that a tag was checked over so many bytes.
    fn checked(&mut self, bytes: usize) {
        let more = bytes.checked_div(CHECKED_PER_STEP).unwrap_or(0);
        self.worked(CHECK.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)));
    }
}

/// A key that opens a stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// Which of the keys.
    pub key: usize,
    /// Which of the nonces it took, if one.
    pub nonce: Option<usize>,
    /// The mode.
    pub mode: Mode,
    /// Cipher and mode in words.
    pub cipher: String,
    /// Units that fit.
    pub opened: u32,
    /// Units that were tried and could have told.
    pub of: u32,
    /// Units that fit the layout and can tell nothing: without padding.
    pub silent: u32,
    /// log10 of a bound on the chance that a wrong key does as well; all tries are counted in.
    pub log10_bound: f64,
    /// What that figure is made of.
    pub parts: Vec<Part>,
}

/// What came of trying keys on one stream.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Tried {
    /// The key that opens it.
    pub hit: Option<Hit>,
    /// How many tries there were.
    pub tries: u32,
    /// A tag fits: no other key needs to be tried.
    decided: bool,
}

impl Tried {
    /// Tries one more key. Gives what that cost.
    fn take(&mut self, index: usize, one: impl FnOnce(&mut Best)) -> u64 {
        let mut best = Best::default();
        one(&mut best);
        self.tries = self.tries.saturating_add(best.tries);
        let decided = best.is_decided();
        let Some(trial) = best.trial else { return best.steps };
        let tries = f64::from(self.tries.max(1)).log10();
        let log10_bound = (trial.log10 + tries).min(0.0);
        let better = self.hit.as_ref().is_none_or(|held| log10_bound < held.log10_bound);
        if log10_bound < bound::ACCEPT && better {
            let Trial { mode, cipher, opened, of, silent, mut parts, nonce, .. } = trial;
            parts.push(Part { what: format!("tries: {}", self.tries), log10: tries });
            self.hit = Some(Hit { key: index, nonce, mode, cipher, opened, of, silent, log10_bound, parts });
            self.decided = decided;
        }
        best.steps
    }
}

/// Tries keys on one stream, one after the other, until one verifies. Beside the hit it gives the number of tries.
pub fn try_stream(
    samples: &Samples,
    keys: &[Key],
    nonces: &[&[u8]],
    salts: &[&[u8]],
    effort: &Effort,
) -> (Option<Hit>, u32) {
    let (mut tried, _) = try_streams(&[samples], keys, nonces, salts, effort, u64::MAX);
    tried.pop().map(|tried| (tried.hit, tried.tries)).unwrap_or_default()
}

/// Tries keys on several streams, each on all of them before the next, until `steps` of work are done: what that leaves of the
/// keys is not tried, but for those whose suite is known. Where a quarter of the work is done, fewer units are looked at. Gives what came of each stream, and how many keys were tried.
pub fn try_streams(
    streams: &[&Samples],
    keys: &[Key],
    nonces: &[&[u8]],
    salts: &[&[u8]],
    effort: &Effort,
    steps: u64,
) -> (Vec<Tried>, usize) {
    let mut tried = vec![Tried::default(); streams.len()];
    let (mut done, mut left_out) = (0_u64, 0_usize);
    let few = Effort { screened: effort.screened.min(FEW), ..*effort };
    for (index, key) in keys.iter().enumerate() {
        // A key whose suite is known takes little.
        if done >= steps && key.suite.is_none() {
            left_out = left_out.saturating_add(1);
            continue;
        }
        let effort = if done >= steps.saturating_div(4) { &few } else { effort };
        let ciphers = tagged::Ciphers::new(&key.bytes, nonces);
        for (samples, tried) in streams.iter().zip(&mut tried).filter(|(_, tried)| !tried.decided) {
            done = done
                .saturating_add(tried.take(index, |best| one(samples, key, &ciphers, salts, effort, best)));
        }
    }
    (tried, keys.len().saturating_sub(left_out))
}

fn one(
    samples: &Samples,
    key: &Key,
    ciphers: &tagged::Ciphers<'_>,
    salts: &[&[u8]],
    effort: &Effort,
    best: &mut Best,
) {
    if !samples.units.is_empty() && matches!(key.bytes.len(), 16 | 24 | 32) && key.suite.is_none() {
        zoom::try_key(&samples.units, ciphers, effort, best);
    }
    if !samples.packets.is_empty() && effort.wants(Mode::Srtp) {
        packets::try_srtp(&samples.packets, key, salts, effort, best);
    }
    if !samples.packets.is_empty()
        && !best.is_decided()
        && key.suite.is_none()
        && effort.wants(Mode::Sframe)
        && packets::is_base_key(key.bytes.len(), effort.mode)
    {
        packets::try_sframe(&samples.packets, &key.bytes, effort, best);
    }
}

/// Whether a key is tried in this mode.
pub fn fits(key: &Key, mode: Mode, with_salt: bool) -> bool {
    match mode {
        Mode::Srtp => fits_something(key.bytes.len(), Some(mode), with_salt),
        Mode::Ecb | Mode::Cbc | Mode::Ctr | Mode::Gcm => {
            key.suite.is_none() && fits_something(key.bytes.len(), Some(mode), with_salt)
        }
        Mode::Sframe => key.suite.is_none() && packets::is_base_key(key.bytes.len(), None),
    }
}

/// Whether a key of this length fits anything that is tried.
pub fn fits_something(length: usize, mode: Option<Mode>, with_salt: bool) -> bool {
    let block = matches!(length, 16 | 24 | 32);
    match mode {
        Some(Mode::Ecb | Mode::Cbc | Mode::Ctr | Mode::Gcm) => block,
        Some(Mode::Srtp) => matches!(length, 28 | 30 | 38 | 44 | 46) || (with_salt && block),
        Some(Mode::Sframe) => packets::is_base_key(length, mode),
        None => block || matches!(length, 28 | 30 | 38 | 44 | 46),
    }
}

/// Which lengths fit what is tried, for those whose key has another.
pub const fn lengths_of(mode: Option<Mode>) -> &'static str {
    match mode {
        None => {
            "16, 24 or 32 bytes are an AES key; 30, 38 or 46 bytes are an SRTP master key of 16, 24 or 32 bytes and a salt of 14; \
             28 or 44 bytes are one of 16 or 32 bytes for AES-GCM and a salt of 12"
        }
        Some(Mode::Ecb | Mode::Cbc | Mode::Ctr | Mode::Gcm) => "16, 24 or 32 bytes are an AES key",
        Some(Mode::Srtp) => {
            "SRTP needs a master salt of 14 bytes (12 for AEAD) behind the key of 16, 24 or 32 bytes, or by --salt: 30, 38 or 46 \
             bytes in all (28 or 44 for AEAD)"
        }
        Some(Mode::Sframe) => "16 to 64 bytes are a base key of SFrame",
    }
}

#[cfg(test)]
mod tests;
