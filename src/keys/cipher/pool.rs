//! The streams of a session together. In: its flows. Out: one verdict, what each pool of streams showed, and what was negotiated.
//!
//! One key served all of a meeting's streams in the Zoom of 2020, so that its streams are judged together; other streams are judged
//! one by one, and the gravest verdict is the session's.

use std::collections::BTreeMap;

use super::{Cipher, CipherEvidence, CipherVerdict, Start, judge, plain};
use crate::flow::Direction;
use crate::keys::Keys;
use crate::keys::verify::Mode;
use crate::observe::PacketRef;
use crate::observe::facts::{Framing, MediaKind, RtpStream};
use crate::session::{Judged, Session};

/// What the ciphertext of a session shows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionCipher {
    /// The gravest verdict.
    pub verdict: CipherVerdict,
    /// The evidence that it rests on: Zoom's streams together, or the stream with that verdict that had the most blocks.
    pub evidence: CipherEvidence,
    /// SSRC and first packet of the stream that the evidence is of, where it is one of several.
    pub stream: Option<(u32, PacketRef)>,
    /// Verdicts of single streams, with how many have each, the gravest first. A stream is an SSRC one way, in however many flows;
    /// the gravest verdict of its parts is its own.
    pub streams: Vec<(CipherVerdict, u32)>,
    /// Of those that are not encrypted, how many a session description tells and not the payloads alone.
    pub by_description: u32,
}

/// Judges the streams of a session, and a key that opens them, where there is one; `None` when no stream has a whole unit.
pub fn session(flows: &[Judged], session: &Session, keys: &Keys) -> Option<SessionCipher> {
    let mut found = by_ciphertext(flows, session)?;
    if keys.witnesses.found.iter().any(|witness| witness.mode == Mode::Ecb) {
        found.verdict = CipherVerdict::EcbConfirmed;
        found.evidence.verdict = CipherVerdict::EcbConfirmed;
    }
    Some(found)
}

/// What is known of one SSRC one way: the gravest verdict of its parts, and whether a session description told it.
type Parts = BTreeMap<(bool, u32), (CipherVerdict, bool)>;

fn by_ciphertext(flows: &[Judged], session: &Session) -> Option<SessionCipher> {
    let addresses = session.own();
    let mut zoom: Vec<(&Cipher, Start)> = Vec::new();
    let mut single: Vec<(&RtpStream, CipherEvidence)> = Vec::new();
    let mut parts = Parts::new();
    for judged in session.flows.iter().filter_map(|index| flows.get(*index)) {
        let is_clear = judged.verdict.announced_clear;
        let from_source = judged.seen_from(|ip| addresses.contains(&ip)).local_is_source;
        let media = judged.flow.facts.as_ref().and_then(|facts| facts.media.as_ref());
        for stream in media.into_iter().flat_map(|media| &media.streams) {
            let Some(evidence) = super::stream(stream, is_clear) else { continue };
            if let Some(facts) = stream.cipher.as_deref().filter(|facts| facts.framing == Framing::ZoomUnit)
                && stream.kind != Some(MediaKind::Fec)
            {
                zoom.push((facts, plain::start(stream, facts, is_clear)));
            }
            let is_sent = (stream.direction == Direction::Forward) == from_source;
            let own = (evidence.verdict, evidence.by_description);
            parts.entry((is_sent, stream.ssrc)).and_modify(|held| *held = (*held).min(own)).or_insert(own);
            single.push((stream, evidence));
        }
    }
    let mut counts: BTreeMap<CipherVerdict, u32> = BTreeMap::new();
    for (verdict, _) in parts.values() {
        let count = counts.entry(*verdict).or_default();
        *count = count.saturating_add(1);
    }
    let by_description = parts.values().filter(|(_, told)| *told).count();
    let pooled = (!zoom.is_empty()).then(|| judge(&zoom));
    let others = single.into_iter().filter(|(_, evidence)| evidence.framing == Framing::Payload);
    // Of streams with one verdict the one with the most blocks speaks; of equal ones the first.
    let rank = |of: &CipherEvidence| (of.verdict, of.by_description, std::cmp::Reverse(of.blocks));
    let gravest = others.reduce(|best, next| if rank(&next.1) < rank(&best.1) { next } else { best });
    let (evidence, stream) = match (pooled, gravest) {
        (Some(pooled), Some((stream, other))) if other.verdict < pooled.verdict => (other, Some(stream)),
        (Some(pooled), _) => (pooled, None),
        (None, other) => other.map(|(stream, other)| (other, Some(stream)))?,
    };
    Some(SessionCipher {
        verdict: evidence.verdict,
        evidence,
        stream: stream.filter(|_| parts.len() > 1).map(|stream| (stream.ssrc, stream.packet)),
        streams: counts.into_iter().collect(),
        by_description: u32::try_from(by_description).unwrap_or(u32::MAX),
    })
}
