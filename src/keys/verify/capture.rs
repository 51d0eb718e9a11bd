//! Keys on all streams of a capture. In: ended flows, keys. Out: what became of each stream, and why nothing of it could be tried
//! where that is so.

use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::{Effort, Hit, Key, try_stream};
use crate::classify::announced_clear;
use crate::flow::Direction;
use crate::keys::cipher::{self, CipherVerdict};
use crate::observe::facts::{MediaKind, RtpStream, Samples, UnitShape, Wrapping};
use crate::observe::{PacketRef, Summary};

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
    /// Its payloads are no ciphertext, so that there is nothing for a key to open.
    pub is_plain: bool,
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

    /// True when there are streams and none of them is encrypted, so that no key opens them.
    pub fn is_plain(&self) -> bool {
        let mut of_media =
            self.streams.iter().filter(|stream| stream.outcome != Outcome::NothingToTry(Reason::Repair));
        of_media.clone().next().is_some() && of_media.all(|stream| stream.is_plain)
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
    let clear = announced_clear(flows.iter());
    let mut answer = Answer { streams: Vec::new(), flows: 0, hidden: Vec::new() };
    for flow in flows {
        answer.flows = answer.flows.saturating_add(1);
        let facts = flow.facts.as_deref();
        let media = facts.and_then(|facts| facts.media.as_deref());
        let streams = media.map(|media| media.streams.as_slice()).unwrap_or_default();
        for stream in streams {
            let outcome = outcome(stream, material, &nonces, &salts);
            let is_clear = clear.contains(&flow.tuple.source) || clear.contains(&flow.tuple.destination);
            let is_plain = !matches!(outcome, Outcome::Verified(_))
                && cipher::stream(stream, is_clear)
                    .is_some_and(|evidence| evidence.verdict == CipherVerdict::NotEncrypted);
            answer.streams.push(StreamAnswer { is_plain, ..stream_answer(flow, stream, outcome) });
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
        is_plain: false,
        outcome,
    }
}
