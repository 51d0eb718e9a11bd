//! Whether a call was seen from its beginning: something of what comes before media was captured before media.

use std::time::Duration;

use super::Judged;
use crate::classify::Role;
use crate::observe::facts::Facts;
use crate::time::Timestamp;

/// How long before the first RTP packet a flow's checks must begin to be those that opened it: agreeing on a path and on
/// keys takes some round trips, and media that is under way sends a packet at least every 60 ms.
const SETTING_UP: Duration = Duration::from_millis(60);

/// True when a question, a handshake or a check that opens a call was seen before its first media packet.
pub(super) fn was_seen(flows: &[&Judged], media_start: Option<Timestamp>) -> bool {
    flows.iter().any(|judged| opens(judged, media_start))
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
    use super::super::tests::{at_ms, flow};
    use super::*;
    use crate::observe::facts::{Dtls, Quic, Stun};

    fn checked(from: i64) -> Judged {
        let mut judged = flow(1, "10.0.0.2:50000", "192.0.2.9:10000", (from, 60_000));
        let packet = judged.flow.first_packet;
        let facts = Facts { stun: Some(Box::new(Stun { packet, ..Stun::default() })), ..Facts::default() };
        judged.flow.facts = Some(Box::new(facts));
        judged
    }

    #[test]
    fn a_handshake_opens_a_call_only_before_its_media() {
        let mut judged = checked(1_000);
        let packet = judged.flow.first_packet;
        let dtls = Dtls { client_hello: Some(packet), ..Dtls::default() };
        judged.flow.facts = Some(Box::new(Facts { dtls: Some(Box::new(dtls)), ..Facts::default() }));
        assert!(was_seen(&[&judged], Some(at_ms(1_010))));
        assert!(!was_seen(&[&judged], Some(at_ms(500))), "of what was shared later");
        let quic = Quic { user_agent: Some("Chrome".to_owned()), ..Quic::default() };
        judged.flow.facts = Some(Box::new(Facts { quic: Some(Box::new(quic)), ..Facts::default() }));
        assert!(was_seen(&[&judged], Some(at_ms(1_000))), "media inside of QUIC begins with the flow");
        assert!(!was_seen(&[&judged], Some(at_ms(500))));
    }

    #[test]
    fn checks_open_a_call_only_when_they_come_well_before_media() {
        let judged = checked(1_000);
        assert!(was_seen(&[&judged], Some(at_ms(1_200))));
        assert!(!was_seen(&[&judged], Some(at_ms(1_020))), "consent checks of a call under way");
        assert!(!was_seen(&[&judged], Some(at_ms(500))), "media came first");
        assert!(!was_seen(&[], Some(at_ms(500))));
    }
}
