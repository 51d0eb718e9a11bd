//! Whether a call was seen from its beginning: something of what comes before media was captured before media.

use std::time::Duration;

use super::Judged;
use crate::classify::{Role, Rules};
use crate::observe::PacketRef;
use crate::observe::facts::Facts;
use crate::time::Timestamp;

/// How long before the first RTP packet a flow's checks must begin to be those that opened it: agreeing on a path and on
/// keys takes some round trips, and media that is under way sends a packet at least every 60 ms.
const SETTING_UP: Duration = Duration::from_millis(60);

/// Evidence that a session description announced an end of the flow.
const SDP_TIE: &str = "tie_sdp_address";

/// True when a question, a handshake or a check that opens a call was seen before its first media packet.
pub(super) fn was_seen(rules: &Rules, flows: &[&Judged], media_start: Option<Timestamp>) -> bool {
    flows.iter().any(|judged| opens(judged, media_start))
        || was_described(flows)
        || was_greeted(rules, flows, media_start)
}

/// A session description announced an address of the call in a packet before its first RTP packet, whoever's signalling it was.
fn was_described(flows: &[&Judged]) -> bool {
    let streams = |judged: &&Judged| {
        let media = judged.flow.facts.as_deref()?.media.as_ref()?;
        media.streams.iter().map(|stream| stream.packet).min()
    };
    let Some(media) = flows.iter().filter_map(streams).min() else { return false };
    // Numbers of two files do not tell which was first.
    let before = |packet: PacketRef| packet.frame() > 0 && packet.file() == media.file() && packet < media;
    let mut evidence = flows.iter().flat_map(|judged| &judged.verdict.evidence);
    evidence.any(|item| item.what == SDP_TIE && before(item.packet))
}

/// The first packet of the call is one that only opens a connection, by a byte mark of its provider.
fn was_greeted(rules: &Rules, flows: &[&Judged], media_start: Option<Timestamp>) -> bool {
    let calls = || flows.iter().filter(|judged| judged.role().is_call());
    let Some(first) = calls().map(|judged| judged.flow.start).min() else { return false };
    let greets = |judged: &&&Judged| {
        let flow = &judged.flow;
        let marks = flow.facts.iter().flat_map(|facts| &facts.marks);
        let mut hellos = marks.filter(|hit| hit.packet == flow.first_packet);
        hellos.any(|hit| rules.opens(hit.rule).is_some_and(|owner| judged.verdict.provider == Some(owner)))
    };
    media_start.is_none_or(|media| first < media)
        && calls().filter(|judged| judged.flow.start == first).any(|judged| greets(&judged))
}

fn opens(judged: &Judged, media_start: Option<Timestamp>) -> bool {
    let flow = &judged.flow;
    let before = media_start.is_none_or(|media| flow.start < media);
    let empty = Facts::default();
    let facts = flow.facts.as_deref().unwrap_or(&empty);
    let greeted = facts.dtls.as_ref().is_some_and(|dtls| dtls.client_hello.is_some())
        || facts.zoom.as_ref().is_some_and(|zoom| zoom.hellos > 0)
        || facts.tls.as_ref().is_some_and(|tls| tls.client_hello.is_some());
    // Of media inside of QUIC the flow's beginning is all that is known.
    let quic = facts.quic.as_ref().is_some_and(|quic| quic.dcid.is_some() || quic.user_agent.is_some())
        && media_start.is_none_or(|media| flow.start <= media);
    // A call under way has handshakes too: of what is shared later, of another path.
    let handshake = quic || (greeted && before);
    let signalled = match judged.role() {
        Role::Dns => before,
        // A connection that was under way says nothing of when the call began.
        Role::Signalling => {
            let greeted = facts.tls.as_ref().is_none_or(|tls| tls.client_hello.is_some());
            before && greeted
        }
        Role::Media | Role::Nat | Role::Relay | Role::P2p | Role::Web | Role::Other => false,
    };
    // Checks go on throughout a call; those that open it begin well before media.
    let checked = facts.stun.as_ref().is_some_and(|stun| {
        stun.packet == flow.first_packet
            && media_start.is_none_or(|media| media.since(flow.start) >= SETTING_UP)
    });
    handshake || signalled || checked
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Source, at_ms, flow};
    use super::*;
    use crate::classify::Evidence;
    use crate::observe::facts::{Dtls, MarkHit, Quic, Stun};

    fn checked(from: i64) -> Judged {
        let mut judged = flow(1, "10.0.0.2:50000", "192.0.2.9:10000", (from, 60_000));
        let packet = judged.flow.first_packet;
        let facts = Facts { stun: Some(Box::new(Stun { packet, ..Stun::default() })), ..Facts::default() };
        judged.flow.facts = Some(Box::new(facts));
        judged
    }

    #[test]
    fn a_handshake_opens_a_call_only_before_its_media() {
        let rules = crate::classify::embedded().unwrap();
        let mut judged = checked(1_000);
        let packet = judged.flow.first_packet;
        let dtls = Dtls { client_hello: Some(packet), ..Dtls::default() };
        judged.flow.facts = Some(Box::new(Facts { dtls: Some(Box::new(dtls)), ..Facts::default() }));
        assert!(was_seen(&rules, &[&judged], Some(at_ms(1_010))));
        assert!(!was_seen(&rules, &[&judged], Some(at_ms(500))), "of what was shared later");
        let quic = Quic { user_agent: Some("Chrome".to_owned()), ..Quic::default() };
        judged.flow.facts = Some(Box::new(Facts { quic: Some(Box::new(quic)), ..Facts::default() }));
        assert!(
            was_seen(&rules, &[&judged], Some(at_ms(1_000))),
            "media inside of QUIC begins with the flow"
        );
        assert!(!was_seen(&rules, &[&judged], Some(at_ms(500))));
    }

    #[test]
    fn checks_open_a_call_only_when_they_come_well_before_media() {
        let rules = crate::classify::embedded().unwrap();
        let judged = checked(1_000);
        assert!(was_seen(&rules, &[&judged], Some(at_ms(1_200))));
        assert!(!was_seen(&rules, &[&judged], Some(at_ms(1_020))), "consent checks of a call under way");
        assert!(!was_seen(&rules, &[&judged], Some(at_ms(500))), "media came first");
        assert!(!was_seen(&rules, &[], Some(at_ms(500))));
    }

    /// As in FAX-Call-t38-CA-TDM-SIP-FB-1.pcap (tshark): an INVITE in packet 23 names the address of media from packet 45 on.
    #[test]
    fn a_description_before_media_is_of_the_beginning_and_one_of_later_is_not() {
        let rules = crate::classify::embedded().unwrap();
        let told = |file, frame| {
            let mut judged =
                flow(45, "10.0.0.2:15580", "192.0.2.9:10000", (1_000, 60_000)).sends(Source::new(7, 7));
            judged.verdict.evidence.push(Evidence {
                provider: 0,
                what: "tie_sdp_address",
                value: "10.0.0.2:15580".into(),
                weight: 0.88,
                packet: PacketRef::new(file, frame),
                checked: true,
                role: None,
            });
            was_seen(&rules, &[&judged], judged.media_start())
        };
        assert!(told(0, 23));
        assert!(!told(0, 49), "of a change in a call under way");
        assert!(!told(1, 23), "of another file");
    }

    /// The first packet of line.pcap is LINE's hello, and media follows in packet 10.
    #[test]
    fn a_hello_of_a_provider_opens_a_call_only_as_its_first_packet() {
        let rules = crate::classify::embedded().unwrap();
        let number = (0..=u16::MAX).find(|rule| rules.opens(*rule).is_some()).unwrap();
        let greeted = |frame, other: i64| {
            let mut judged = flow(1, "10.0.2.15:50000", "125.209.252.210:20610", (1_000, 60_000));
            judged.verdict.provider = rules.opens(number);
            let packet = PacketRef::new(0, frame);
            judged.flow.facts.as_mut().unwrap().marks.push(MarkHit { rule: number, hits: 1, packet });
            let other = flow(2, "10.0.2.15:50001", "125.209.252.211:20610", (other, 60_000));
            was_seen(&rules, &[&judged, &other], Some(at_ms(2_000)))
        };
        let first =
            flow(1, "10.0.2.15:50000", "125.209.252.210:20610", (1_000, 60_000)).flow.first_packet.frame();
        assert!(greeted(first, 1_500));
        assert!(!greeted(first + 9, 1_500), "a mark of later");
        assert!(!greeted(first, 500), "the call was under way elsewhere");
    }
}
