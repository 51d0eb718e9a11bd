//! What session descriptions say of media and its keys. In: SIP of the flows of a session. Out: a [`Method`] with the packets that
//! show it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hashbrown::HashMap;

use super::Method;
use crate::observe::PacketRef;
use crate::observe::facts::{Announced, Sip};

/// What was announced for one address, or in one call by one way, in order.
type Held<'a> = Vec<&'a Announced>;

/// The session descriptions of a session.
#[derive(Default)]
pub(super) struct Described<'a> {
    all: Held<'a>,
    by_end: HashMap<SocketAddr, Held<'a>>,
    /// By call, and whether it stood in a response.
    by_call: HashMap<(u64, bool), Held<'a>>,
    /// Final statuses of calls: success once there was one.
    statuses: HashMap<u64, u16>,
}

impl<'a> Described<'a> {
    pub(super) fn of(signalling: impl Iterator<Item = &'a Sip>) -> Self {
        let mut known = Self::default();
        for sip in signalling {
            for (call, status) in sip.calls.iter().filter_map(|call| Some((call.call, call.status?))) {
                let held = known.statuses.entry(call).or_insert(status);
                *held = status.min(*held);
            }
            known.all.extend(&sip.media);
        }
        for held in &known.all {
            known.by_end.entry(held.address).or_default().push(held);
            known.by_call.entry((held.call, held.in_response)).or_default().push(held);
        }
        known
    }

    /// What is said of media between two ends that began with a packet: by the offer and the answer of one call, else by what one
    /// side alone said.
    pub(super) fn of_media(
        &self,
        ends: [SocketAddr; 2],
        start: PacketRef,
    ) -> Option<(Method, String, PacketRef)> {
        if let Some(pair) = self.between(ends, start) {
            return Some(judge(&pair, true));
        }
        let said = ends.iter().filter_map(|end| latest(self.by_end.get(end)?, start));
        let one = said.max_by_key(|held| (held.packet <= start, held.packet))?;
        Some(match self.other_side(one, start) {
            Some(other) => judge(&in_order(one, other), true),
            None => judge(&[one], false),
        })
    }

    /// The offer and the answer of one call that name both ends: of the call that was begun last when media began. Calls that
    /// follow each other may use the same addresses.
    fn between(&self, [one, other]: [SocketAddr; 2], start: PacketRef) -> Option<[&'a Announced; 2]> {
        let [ones, others] = [one, other].map(|end| self.in_calls(end, start));
        let pairs = ones.iter().filter_map(|((call, in_response), held)| {
            Some(in_order(held, others.get(&(*call, !in_response))?))
        });
        let begun = |[first, _]: &[&Announced; 2]| first.packet <= start;
        let (before, after): (Vec<_>, Vec<_>) = pairs.partition(begun);
        let packets = |pair: &[&Announced; 2]| pair.map(|held| held.packet);
        before.into_iter().max_by_key(packets).or_else(|| after.into_iter().min_by_key(packets))
    }

    /// What was in force for an end when media began, for each call and either way.
    fn in_calls(&self, end: SocketAddr, start: PacketRef) -> BTreeMap<(u64, bool), &'a Announced> {
        let mut calls: BTreeMap<(u64, bool), Held<'a>> = BTreeMap::new();
        for held in self.by_end.get(&end).into_iter().flatten() {
            calls.entry((held.call, held.in_response)).or_default().push(held);
        }
        calls.into_iter().filter_map(|(call, held)| Some((call, latest(&held, start)?))).collect()
    }

    /// What the other side of the call said of the same kind of media, at whatever address.
    fn other_side(&self, one: &Announced, start: PacketRef) -> Option<&'a Announced> {
        let other = self.by_call.get(&(one.call, !one.in_response))?;
        let alike: Held<'a> = other.iter().copied().filter(|held| held.kind == one.kind).collect();
        latest(&alike, start)
    }

    /// What is said of a call whose media was not seen: by an offer that was answered, or that it was not.
    pub(super) fn without_media(&self) -> Option<(Method, String)> {
        let refused = |held: &Announced| self.statuses.get(&held.call).filter(|status| **status >= 300);
        let agreed = self.all.iter().filter(|held| held.in_response && refused(held).is_none());
        let agreed = agreed.filter_map(|held| Some(in_order(held, self.other_side(held, held.packet)?)));
        if let Some(pair) = agreed.max_by_key(|pair| pair.map(|held| held.packet)) {
            let (method, why, _) = judge(&pair, true);
            return Some((method, why));
        }
        let last = self.all.iter().max_by_key(|held| held.packet)?;
        let status = refused(last).map(|status| format!(" (final status {status})")).unwrap_or_default();
        let came = match (last.in_response, status.is_empty()) {
            (true, true) => "its offer was not seen",
            (true, false) => "the call was not taken",
            (false, _) => "not answered",
        };
        let what = if last.in_response { "an answer" } else { "an offer" };
        let (profile, packet) = (&last.profile, last.packet.frame());
        let why = format!("{what} names {profile}, in packet {packet}; {came}{status}; no media was seen");
        Some((Method::NotDeterminable, why))
    }
}

fn in_order<'a>(one: &'a Announced, other: &'a Announced) -> [&'a Announced; 2] {
    if one.packet <= other.packet { [one, other] } else { [other, one] }
}

/// What was in force when media began: the latest before it, else the first after it.
fn latest<'a>(held: &[&'a Announced], start: PacketRef) -> Option<&'a Announced> {
    let before = held.iter().copied().filter(|held| held.packet <= start).max_by_key(|held| held.packet);
    before.or_else(|| held.iter().copied().min_by_key(|held| held.packet))
}

/// What an offer and its answer say together, or one of them alone, in order; the last packet of them.
fn judge(said: &[&Announced], agreed: bool) -> (Method, String, PacketRef) {
    let last = said.iter().map(|held| held.packet).max().unwrap_or_default();
    let packets = said.iter().map(|held| held.packet.frame().to_string()).collect::<Vec<_>>();
    let packets = format!("packet{} {}", if packets.len() == 1 { "" } else { "s" }, packets.join(" and "));
    let profile = said.last().map(|held| held.profile.as_str()).unwrap_or_default();
    // RFC 8643: keys that are offered on top of a plain profile count only where the other end answers with keys.
    if said.iter().all(|held| held.crypto) {
        return (Method::Sdes, format!("SDP with a=crypto, {profile}, in {packets}"), last);
    }
    let by_dtls = said.iter().any(|held| held.fingerprint || held.profile.contains("TLS"));
    let secured = said.iter().any(|held| held.profile.contains("SAVP"));
    if by_dtls || secured {
        let what = if by_dtls { "DTLS, whose handshake was not captured" } else { "SRTP without its keys" };
        let why = format!("SDP asks for {what} ({profile}, {packets})");
        return (Method::NotDeterminable, why, last);
    }
    let why = if agreed {
        format!("SDP agrees on {profile} without keys, in {packets}")
    } else {
        format!("SDP of one side names {profile} without keys, in {packets}")
    };
    (Method::None, why, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::facts::Call;

    const A: &str = "192.0.2.1:4000";
    const B: &str = "198.51.100.1:6000";

    /// Plain audio of a call; answers stand in responses (RFC 3264).
    fn said(address: &str, call: u64, in_response: bool, frame: u64) -> Announced {
        Announced {
            address: address.parse().unwrap(),
            kind: "audio".to_owned(),
            profile: "RTP/AVP".to_owned(),
            crypto: false,
            fingerprint: false,
            call,
            in_response,
            packet: PacketRef::new(0, frame),
        }
    }

    fn sip(media: Vec<Announced>, statuses: &[(u64, u16)]) -> Sip {
        let call = |(call, status): &(u64, u16)| Call {
            call: *call,
            call_id: call.to_string(),
            from: String::new(),
            to: String::new(),
            status: Some(*status),
        };
        Sip { media, calls: statuses.iter().map(call).collect(), ..Sip::default() }
    }

    fn of_media(sip: &Sip, start: u64) -> (Method, String) {
        let ends = [A, B].map(|end| end.parse().unwrap());
        let told = Described::of([sip].into_iter()).of_media(ends, PacketRef::new(0, start)).unwrap();
        (told.0, told.1)
    }

    #[test]
    fn an_offer_alone_agrees_on_nothing() {
        let without_media = |sip: &Sip| Described::of([sip].into_iter()).without_media().unwrap();
        for (statuses, words) in [
            (&[][..], "an offer names RTP/AVP, in packet 22; not answered; no media was seen"),
            (
                &[(1, 408)],
                "an offer names RTP/AVP, in packet 22; not answered (final status 408); no media was seen",
            ),
        ] {
            let told = without_media(&sip(vec![said(A, 1, false, 22)], statuses));
            assert_eq!(told, (Method::NotDeterminable, words.to_owned()));
        }
        // The answer to another call is none; one before a call was refused binds nobody.
        let strange = sip(vec![said(B, 2, true, 20), said(A, 1, false, 22)], &[]);
        assert_eq!(without_media(&strange).0, Method::NotDeterminable);
        let pair = || vec![said(A, 1, false, 22), said(B, 1, true, 23)];
        assert_eq!(without_media(&sip(pair(), &[(1, 480)])).0, Method::NotDeterminable);
        let agreed = "SDP agrees on RTP/AVP without keys, in packets 22 and 23";
        assert_eq!(without_media(&sip(pair(), &[(1, 200)])), (Method::None, agreed.to_owned()));
    }

    #[test]
    fn an_offer_and_an_answer_are_of_one_call() {
        // As in an old recording of a trunk: a call that was refused, and the next from the same port.
        let two = vec![said(A, 1, false, 76), said(A, 2, false, 90), said(B, 2, true, 92)];
        let why = "SDP agrees on RTP/AVP without keys, in packets 90 and 92";
        assert_eq!(of_media(&sip(two, &[(1, 403)]), 95), (Method::None, why.to_owned()));
        let strangers = vec![said(A, 1, false, 76), said(B, 2, true, 92)];
        let why = "SDP of one side names RTP/AVP without keys, in packet 92";
        assert_eq!(of_media(&sip(strangers, &[]), 95), (Method::None, why.to_owned()));
        // Media that runs from another address than the one that was told, as behind a NAT.
        let behind = vec![said("10.0.0.1:4000", 1, false, 5), said(B, 1, true, 8)];
        let why = "SDP agrees on RTP/AVP without keys, in packets 5 and 8";
        assert_eq!(of_media(&sip(behind, &[]), 9), (Method::None, why.to_owned()));
    }

    #[test]
    fn of_calls_with_the_same_addresses_that_one_counts_which_was_begun_when_media_began() {
        let four =
            || vec![said(A, 1, false, 1), said(B, 1, true, 2), said(A, 2, false, 50), said(B, 2, true, 60)];
        for (start, packets) in [(10, "1 and 2"), (55, "50 and 60"), (70, "50 and 60")] {
            let (_, why) = of_media(&sip(four(), &[]), start);
            assert!(why.ends_with(&format!("in packets {packets}")), "{why}");
        }
    }
}
