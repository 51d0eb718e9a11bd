//! The streams of a session together. In: its flows. Out: one verdict, what each pool of streams showed, and what was negotiated.
//!
//! One key served all of a meeting's streams in the Zoom of 2020, so that its streams are judged together; other streams are judged
//! one by one, and the gravest verdict is the session's.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Cipher, CipherEvidence, CipherVerdict, Start, judge, plain};
use crate::keys::Keys;
use crate::keys::verify::Mode;
use crate::observe::Summary;
use crate::observe::facts::{Framing, MediaKind};
use crate::session::{Judged, Session};

/// What the ciphertext of a session shows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionCipher {
    /// The gravest verdict.
    pub verdict: CipherVerdict,
    /// The evidence that it rests on: Zoom's streams together, or the stream with that verdict that had the most blocks.
    pub evidence: CipherEvidence,
    /// Verdicts of single streams, with how many have each, the gravest first.
    pub streams: Vec<(CipherVerdict, u32)>,
}

/// Addresses that a session description in the clear announced for plain RTP: profile RTP/AVP or RTP/AVPF (RFC 3551, RFC 4585),
/// with neither `a=crypto` nor `a=fingerprint` beside it.
pub fn announced_clear<'a>(flows: impl Iterator<Item = &'a Summary>) -> BTreeSet<SocketAddr> {
    let mut clear = BTreeSet::new();
    let mut keyed = BTreeSet::new();
    for sip in flows.filter_map(|flow| flow.facts.as_ref()?.sip.as_ref()) {
        for announced in &sip.media {
            let plain = !announced.crypto && !announced.fingerprint;
            if plain && matches!(announced.profile.as_str(), "RTP/AVP" | "RTP/AVPF") {
                clear.insert(announced.address);
            } else {
                keyed.insert(announced.address);
            }
        }
    }
    clear.retain(|address| !keyed.contains(address));
    clear
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

fn by_ciphertext(flows: &[Judged], session: &Session) -> Option<SessionCipher> {
    let own = || session.flows.iter().filter_map(|index| flows.get(*index));
    let clear = announced_clear(own().map(|judged| &judged.flow));
    let mut zoom: Vec<(&Cipher, Start)> = Vec::new();
    let mut single: Vec<CipherEvidence> = Vec::new();
    for judged in own() {
        let tuple = &judged.flow.tuple;
        let is_clear = clear.contains(&tuple.source) || clear.contains(&tuple.destination);
        let media = judged.flow.facts.as_ref().and_then(|facts| facts.media.as_ref());
        for stream in media.into_iter().flat_map(|media| &media.streams) {
            let Some(evidence) = super::stream(stream, is_clear) else { continue };
            if let Some(facts) = stream.cipher.as_deref().filter(|facts| facts.framing == Framing::ZoomUnit)
                && stream.kind != Some(MediaKind::Fec)
            {
                zoom.push((facts, plain::start(stream, facts, is_clear)));
            }
            single.push(evidence);
        }
    }
    let mut counts: Vec<(CipherVerdict, u32)> = Vec::new();
    for evidence in &single {
        match counts.iter_mut().find(|(verdict, _)| *verdict == evidence.verdict) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push((evidence.verdict, 1)),
        }
    }
    counts.sort_unstable();
    let pooled = (!zoom.is_empty()).then(|| judge(&zoom));
    let others = single.into_iter().filter(|evidence| evidence.framing == Framing::Payload);
    // Of streams with one verdict the one with the most blocks speaks; of equal ones the first.
    let gravest = others.reduce(|best, next| {
        let graver =
            (next.verdict, std::cmp::Reverse(next.blocks)) < (best.verdict, std::cmp::Reverse(best.blocks));
        if graver { next } else { best }
    });
    let evidence = match (pooled, gravest) {
        (Some(pooled), Some(other)) if other.verdict < pooled.verdict => other,
        (Some(pooled), _) => pooled,
        (None, other) => other?,
    };
    Some(SessionCipher { verdict: evidence.verdict, evidence, streams: counts })
}
