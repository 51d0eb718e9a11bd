//! Does this key open this media? In: what was kept of RTP streams ([`Samples`]), keys. Out: on how many units of which
//! streams it verifies, with which cipher, and how likely a wrong key would do so too.
//!
//! Plaintext is never kept: what is decrypted to be judged is wiped. Where a cipher has a tag, the tag decides. Where it has
//! none, padding and equal bytes do, and their figures are given one by one.
//!
//! A key that does not verify is not thereby of another meeting: [`DOES_NOT_PROVE`].

pub mod bound;
mod packets;
mod zoom;

use std::net::SocketAddr;

use zeroize::Zeroizing;

use crate::crypto::srtp::Suite;
use crate::flow::Direction;
use crate::observe::facts::{MediaKind, RtpStream, Samples, UnitShape, Wrapping};
use crate::observe::{PacketRef, Summary};

/// What a failed check leaves open.
pub const DOES_NOT_PROVE: [&str; 4] = [
    "it may be a meeting key whose sender's nonce was not given, or a key that another derivation turns into stream keys",
    "it may be the key of another time: end-to-end encrypted meetings change keys every few minutes and when somebody joins or leaves",
    "the media may be sealed twice, end to end and again on the way to a server; only the outer layer is tried",
    "the capture may lack the packets that belong to it, or hold them in a framing that is not known here",
];

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
}

impl Effort {
    /// A user asks about one key: everything that was kept, and rollover counters for 16.7 million packets.
    pub const THOROUGH: Self = Self { units: usize::MAX, rollovers: 256, mode: None };
    /// One of many candidates.
    pub const QUICK: Self = Self { units: 512, rollovers: 4, mode: None };
    /// Units that are looked at before a key without any success is given up.
    const SCREENED: usize = 24;

    fn wants(&self, mode: Mode) -> bool {
        self.mode.is_none_or(|only| only == mode)
    }

    fn spread<'t, T>(&self, all: &'t [T]) -> impl Iterator<Item = &'t T> + use<'t, T> {
        self.some(all, self.units)
    }

    fn screen<'t, T>(&self, all: &'t [T]) -> impl Iterator<Item = &'t T> + use<'t, T> {
        self.some(all, self.units.min(Self::SCREENED))
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
}

/// A key that opens a stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// Which of the keys.
    pub key: usize,
    /// Which of the nonces it took, if one.
    pub nonce: Option<usize>,
    /// Cipher and mode.
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

/// Tries keys on one stream, one after the other, until one verifies. Beside the hit it gives the number of tries.
pub fn try_stream(
    samples: &Samples,
    keys: &[Key],
    nonces: &[&[u8]],
    salts: &[&[u8]],
    effort: &Effort,
) -> (Option<Hit>, u32) {
    let mut tries = 0_u32;
    let mut hit: Option<Hit> = None;
    for (index, key) in keys.iter().enumerate() {
        let mut best = Best::default();
        one(samples, key, nonces, salts, effort, &mut best);
        tries = tries.saturating_add(best.tries);
        let decided = best.is_decided();
        let Some(trial) = best.trial else { continue };
        let log10_bound = (trial.log10 + f64::from(tries.max(1)).log10()).min(0.0);
        let better = hit.as_ref().is_none_or(|held| log10_bound < held.log10_bound);
        if log10_bound < bound::ACCEPT && better {
            let Trial { cipher, opened, of, silent, mut parts, nonce, .. } = trial;
            parts.push(Part { what: format!("tries: {tries}"), log10: f64::from(tries.max(1)).log10() });
            hit = Some(Hit { key: index, nonce, cipher, opened, of, silent, log10_bound, parts });
            if decided {
                break;
            }
        }
    }
    (hit, tries)
}

fn one(samples: &Samples, key: &Key, nonces: &[&[u8]], salts: &[&[u8]], effort: &Effort, best: &mut Best) {
    if !samples.units.is_empty() && matches!(key.bytes.len(), 16 | 24 | 32) && key.suite.is_none() {
        zoom::try_key(&samples.units, &key.bytes, nonces, effort, best);
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

/// Which lengths fit what, for those whose key has another.
pub const LENGTHS: &str = "16, 24 or 32 bytes are an AES key; 30, 38 or 46 bytes are an SRTP master key of 16, 24 or 32 bytes and \
    a salt of 14; 28 or 44 bytes are one of 16 or 32 bytes for AES-GCM and a salt of 12";

/// What to try on all streams of a capture.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Material {
    /// Keys.
    pub keys: Vec<Key>,
    /// Nonces of senders, or initialisation vectors.
    pub nonces: Vec<Zeroizing<Vec<u8>>>,
    /// Master salts of SRTP that are not behind their key.
    pub salts: Vec<Zeroizing<Vec<u8>>>,
    /// How much work.
    pub effort: Effort,
}

impl Material {
    /// Keys with nothing beside them, to be tried thoroughly.
    pub const fn new(keys: Vec<Key>) -> Self {
        Self { keys, nonces: Vec::new(), salts: Vec::new(), effort: Effort::THOROUGH }
    }
}

/// What became of one stream.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "opened, not opened, not tried")]
pub enum Outcome {
    /// The key opens it.
    Verified(Hit),
    /// So many tries, and none verified.
    NotVerified {
        /// Ways of reading, deriving, chaining that were tried.
        tries: u32,
    },
    /// Nothing of it can be tried.
    NothingToTry(Reason),
}

/// Why nothing of a stream can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A snap length cut all its packets.
    Cut,
    /// No unit of it is whole, or has the layout of one.
    NoWholeUnit,
    /// It repairs others and is left out.
    Repair,
    /// The key has no length that this framing could use, or the mode that was asked for is not for it.
    NotForThisFraming,
    /// All its packets are empty.
    Empty,
}

impl Reason {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Cut => "a snap length cut all its packets; tags and padding stand at their ends",
            Self::NoWholeUnit => "no unit of it is whole, or laid out in a way that is known",
            Self::Repair => "it repairs other streams (FEC), which are tried themselves",
            Self::NotForThisFraming => "no key of this length, or in this mode, is tried on its framing",
            Self::Empty => "its packets are empty",
        }
    }
}

/// One stream, and what became of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamAnswer {
    /// Number of its flow.
    pub flow: u64,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// What it carries.
    pub kind: Option<MediaKind>,
    /// How it was wrapped.
    pub wrapping: Wrapping,
    /// Its first packet.
    pub packet: PacketRef,
    /// Its RTP packets.
    pub packets: u32,
    /// Units or packets that were at hand.
    pub units: u32,
    /// Of these, units with nonce and tag, and units of whole blocks; Zoom's framing only.
    pub shapes: [u32; 2],
    /// Packets beyond the cap.
    pub left_out: u32,
    /// Packets that a snap length had cut.
    pub cut: u32,
    /// Packets of units that are not whole.
    pub incomplete: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a capture.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// Its RTP streams, in the order in which they began.
    pub streams: Vec<StreamAnswer>,
    /// Flows in all.
    pub flows: u64,
    /// Datagram flows that look like media whose framing is not known: their ends, and packets.
    pub hidden: Vec<(SocketAddr, SocketAddr, u64)>,
}

impl Answer {
    /// True when the key opens at least one stream.
    pub fn is_verified(&self) -> bool {
        self.hits().next().is_some()
    }

    /// Streams that the key opens.
    pub fn hits(&self) -> impl Iterator<Item = (&StreamAnswer, &Hit)> {
        self.streams.iter().filter_map(|stream| match &stream.outcome {
            Outcome::Verified(hit) => Some((stream, hit)),
            Outcome::NotVerified { .. } | Outcome::NothingToTry(_) => None,
        })
    }
}

/// Packets of a flow without RTP from which on it is taken to carry media.
const HIDDEN: u64 = 200;
const UDP: u8 = 17;

/// Tries the keys on all streams of the flows of a capture.
pub fn verify(flows: &[Summary], material: &Material) -> Answer {
    let nonces: Vec<&[u8]> = material.nonces.iter().map(|nonce| nonce.as_slice()).collect();
    let salts: Vec<&[u8]> = material.salts.iter().map(|salt| salt.as_slice()).collect();
    let mut answer = Answer { streams: Vec::new(), flows: 0, hidden: Vec::new() };
    for flow in flows {
        answer.flows = answer.flows.saturating_add(1);
        let facts = flow.facts.as_deref();
        let media = facts.and_then(|facts| facts.media.as_deref());
        let streams = media.map(|media| media.streams.as_slice()).unwrap_or_default();
        for stream in streams {
            let outcome = outcome(stream, material, &nonces, &salts);
            answer.streams.push(stream_answer(flow, stream, outcome));
        }
        let packets = flow.packets.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let known = facts.is_some_and(|facts| facts.quic.is_some() || facts.dns.is_some());
        if streams.is_empty() && flow.tuple.protocol == UDP && packets >= HIDDEN && !known {
            answer.hidden.push((flow.tuple.source, flow.tuple.destination, packets));
        }
    }
    answer.streams.sort_by_key(|stream| (stream.packet, stream.ssrc));
    answer
}

fn outcome(stream: &RtpStream, material: &Material, nonces: &[&[u8]], salts: &[&[u8]]) -> Outcome {
    let Some(samples) = stream.samples.as_deref() else {
        let repair = matches!(stream.kind, Some(MediaKind::Fec | MediaKind::Rtx));
        return Outcome::NothingToTry(if repair { Reason::Repair } else { Reason::Empty });
    };
    if samples.packets.is_empty() && samples.units.is_empty() {
        let reason = if samples.incomplete > 0 { Reason::NoWholeUnit } else { Reason::Cut };
        return Outcome::NothingToTry(reason);
    }
    match try_stream(samples, &material.keys, nonces, salts, &material.effort) {
        (Some(hit), _) => Outcome::Verified(hit),
        (None, 0) => Outcome::NothingToTry(Reason::NotForThisFraming),
        (None, tries) => Outcome::NotVerified { tries },
    }
}

fn stream_answer(flow: &Summary, stream: &RtpStream, outcome: Outcome) -> StreamAnswer {
    let (source, destination) = match stream.direction {
        Direction::Forward => (flow.tuple.source, flow.tuple.destination),
        Direction::Reverse => (flow.tuple.destination, flow.tuple.source),
    };
    let none = Samples::default();
    let samples = stream.samples.as_deref().unwrap_or(&none);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let aead = samples.units.iter().filter(|unit| matches!(unit.shape, UnitShape::Aead { .. })).count();
    let blocks = samples.units.iter().filter(|unit| unit.shape == UnitShape::Blocks).count();
    StreamAnswer {
        flow: flow.id,
        source,
        destination,
        ssrc: stream.ssrc,
        kind: stream.kind,
        wrapping: stream.wrapping,
        packet: stream.packet,
        packets: stream.stats.packets(),
        units: count(samples.packets.len().saturating_add(samples.units.len())),
        shapes: [count(aead), count(blocks)],
        left_out: samples.left_out,
        cut: samples.cut,
        incomplete: samples.incomplete,
        outcome,
    }
}

#[cfg(test)]
mod tests;
