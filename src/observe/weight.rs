//! About how much memory a flow takes that has ended. In: what is known of it. Out: bytes, of which judging it takes about as many again.
//!
//! Counted is what there may be much of in one flow; the rest is taken for what it usually is.

use super::Summary;
use super::facts::{Candidate, Media, Opened, Sip, Stun};

/// A flow of which little is known, with its verdict and its record.
const FLOW: usize = 1024;
/// A stream of RTP without the packets that were kept of it.
const STREAM: usize = 2560;
/// A kept packet beside its bytes.
const KEPT: usize = 64;
/// An address that was announced, in the tables that flows are tied by too.
const ADDRESS: usize = 512;
/// A name or another text, of some dozen letters, in the tables that flows are tied by too.
const TEXT: usize = 192;

/// A value that a key log brought to light, with the allocations of its bytes and of its place's words.
const CANDIDATE: usize = size_of::<Candidate>().saturating_add(96);

/// Bytes.
pub fn weight(flow: &Summary) -> usize {
    let Some(facts) = flow.facts.as_deref() else { return FLOW };
    let dns = facts.dns.as_deref().map_or(0, |dns| {
        let names = dns.addresses.len().saturating_add(dns.other_names.len());
        names.saturating_mul(TEXT)
    });
    let parts = [
        facts.media.as_deref().map_or(0, media),
        facts.sip.as_deref().map_or(0, sip),
        facts.stun.as_deref().map_or(0, stun),
        facts.opened.as_deref().map_or(0, opened),
        dns,
    ];
    parts.into_iter().fold(FLOW, usize::saturating_add)
}

fn media(media: &Media) -> usize {
    let samples = media.streams.iter().filter_map(|stream| stream.samples.as_deref());
    let kept = samples.fold(0_usize, |sum, samples| {
        let packets = samples.packets.iter().map(|packet| packet.bytes.len());
        let units = samples.units.iter().map(|unit| unit.ciphertext.len());
        packets.chain(units).fold(sum, |sum, bytes| sum.saturating_add(bytes).saturating_add(KEPT))
    });
    media.streams.len().saturating_mul(STREAM).saturating_add(kept)
}

fn opened(opened: &Opened) -> usize {
    opened.candidates.len().saturating_mul(CANDIDATE)
}

fn sip(sip: &Sip) -> usize {
    let calls = sip.calls.len().saturating_mul(3);
    let texts: usize =
        [sip.call_ids.len(), sip.agents.len(), sip.suites.len(), sip.keys.len(), calls].iter().sum();
    sip.media.len().saturating_mul(ADDRESS).saturating_add(texts.saturating_mul(TEXT))
}

fn stun(stun: &Stun) -> usize {
    let addresses: usize = [stun.mapped.len(), stun.relayed.len(), stun.peers.len()].iter().sum();
    stun.usernames.len().saturating_mul(TEXT).saturating_add(addresses.saturating_mul(ADDRESS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Direction, FiveTuple};
    use crate::observe::Outline;
    use crate::observe::facts::{Facts, Form};

    #[test]
    fn what_there_is_much_of_counts() {
        let end = "10.0.0.1:5000".parse().unwrap();
        let tuple = FiveTuple { source: end, destination: end, protocol: 17 };
        let mut flow = Summary::from(Outline::plain(1, tuple));
        assert_eq!(weight(&flow), FLOW);
        let mapped = vec![(end, flow.first_packet); 30];
        let stun = Some(Box::new(Stun { mapped, ..Stun::default() }));
        flow.facts = Some(Box::new(Facts { stun, ..Facts::default() }));
        assert_eq!(weight(&flow), FLOW + 30 * ADDRESS);
        let candidate = Candidate {
            value: vec![7; 16].into(),
            form: Form::Raw,
            place: "text".to_owned(),
            packet: flow.first_packet,
            direction: Direction::Forward,
        };
        let opened = Opened { candidates: vec![candidate; 4608], ..Opened::default() };
        flow.facts = Some(Box::new(Facts { opened: Some(Box::new(opened)), ..Facts::default() }));
        assert!(weight(&flow) > 4608 * 150);
    }
}
