//! SIP messages and their session descriptions into facts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::PacketRef;
use super::facts::{ANNOUNCED_CAP, Announced, Call, Facts, LIST_CAP, SdesKey, Sip, note, tally};
use super::handshake::text;
use crate::proto::sip::{self, Sdp, StartLine};

/// Longest master key identifier in bytes, RFC 4568 section 6.1.
const MAX_MKI: usize = 128;
/// Bytes kept of what media is and of how it is carried: the longest profile that is registered (RFC 8866 section 8.2.2) has some twenty.
const TOKEN: usize = 32;
/// Announced addresses from which on one that only another call repeats is not kept again, so that new ones find room.
const REPEATED_CAP: usize = ANNOUNCED_CAP / 2;
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Writes down one SIP message. True when it was one.
pub(super) fn message(facts: &mut Facts, bytes: &[u8], packet: PacketRef) -> bool {
    let message = match sip::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            facts.anomaly(error.field(), packet);
            return false;
        }
    };
    let known = facts.sip.get_or_insert_with(|| Box::new(Sip { packet, ..Sip::default() }));
    known.messages = known.messages.saturating_add(1);
    let mut is_invite = false;
    if let StartLine::Request { method, .. } = message.start {
        is_invite = method == "INVITE";
        tally(&mut known.methods, text(method.as_bytes()));
    }
    note_text(&mut known.call_ids, message.call_id);
    note_text(&mut known.agents, message.software);
    if is_invite && known.parties.is_none() {
        let party = |field: Option<&[u8]>| text(field.unwrap_or_default());
        known.parties = Some((party(message.from), party(message.to)));
    }
    let call = number(message.call_id);
    note_call(known, &message, call);
    if let Some(sdp) = message.sdp() {
        let in_response = matches!(message.start, StartLine::Response { .. });
        let left_out = description(known, &sdp, &Place { call, in_response, packet });
        facts.left_out = facts.left_out.saturating_add(left_out);
    }
    true
}

/// Where a session description stood.
struct Place {
    call: u64,
    in_response: bool,
    packet: PacketRef,
}

/// A number for a Call-ID, the same within a run.
fn number(call_id: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    call_id.hash(&mut hasher);
    hasher.finish()
}

/// Writes down an INVITE, or what came of it.
fn note_call(known: &mut Sip, message: &sip::Message<'_>, call: u64) {
    if message.cseq.and_then(|cseq| cseq.split_whitespace().nth(1)) != Some("INVITE") {
        return;
    }
    let held = known.calls.iter().position(|held| held.call == call);
    if held.is_none() && known.calls.len() < LIST_CAP {
        let [call_id, from, to] =
            [message.call_id, message.from, message.to].map(|field| text(field.unwrap_or_default()));
        known.calls.push(Call { call, call_id, from, to, status: None });
    }
    let StartLine::Response { status: status @ 200.., .. } = message.start else { return };
    let held = known.calls.iter_mut().find(|held| held.call == call);
    if let Some(held) = held.filter(|held| held.status.is_none_or(|known| known >= 300)) {
        held.status = Some(status);
    }
}

/// What media is, or how it is carried: each announced address has a copy.
fn token(value: &str) -> String {
    let bytes = value.as_bytes();
    text(bytes.get(..TOKEN).unwrap_or(bytes))
}

fn note_text(list: &mut Vec<String>, value: Option<&[u8]>) {
    let Some(value) = value.map(text) else { return };
    if list.len() < LIST_CAP && !list.contains(&value) {
        list.push(value);
    }
}

/// `<key and salt in base64>|2^20|1:4`: lifetime and master key identifier may follow. RFC 4568 section 6.1.
fn sdes(crypto: &sip::Crypto<'_>, media: Option<SocketAddr>, packet: PacketRef) -> Option<SdesKey> {
    let mut parts = crypto.inline?.split('|');
    let key = Zeroizing::new(LENIENT.decode(parts.next()?).ok()?);
    let mki = parts.find_map(|part| part.split_once(':')?.1.parse().ok()).filter(|mki| *mki <= MAX_MKI);
    let suite = text(crypto.suite.as_bytes());
    Some(SdesKey { suite, key, mki: mki.unwrap_or(0), media, packet })
}

/// The number of media addresses that did not fit.
fn description(known: &mut Sip, sdp: &Sdp<'_>, place: &Place) -> u32 {
    let mut left_out = 0_u32;
    let Place { call, in_response, packet } = *place;
    for media in &sdp.media {
        let crypto = media.crypto.iter().any(|crypto| crypto.inline.is_some());
        if crypto {
            known.sdes.get_or_insert(packet);
        }
        for line in &media.crypto {
            let plain = if line.is_unencrypted { " UNENCRYPTED_SRTP" } else { "" };
            note(&mut known.suites, text(format!("{}{plain}", line.suite).as_bytes()), packet);
        }
        let fingerprint = !media.fingerprints.is_empty();
        if fingerprint {
            known.fingerprint.get_or_insert(packet);
        }
        let connection = media.connection.as_ref().or(sdp.connection.as_ref());
        let main = connection.and_then(sip::Connection::ip).map(|ip| SocketAddr::new(ip, media.port));
        for key in media.crypto.iter().filter_map(|crypto| sdes(crypto, main, packet)) {
            let held = known.keys.iter().any(|held| held.key == key.key && held.suite == key.suite);
            if !held && known.keys.len() < LIST_CAP {
                known.keys.push(key);
            }
        }
        let candidates = media.candidates.iter().filter_map(|candidate| {
            candidate.address.parse().ok().map(|ip| SocketAddr::new(ip, candidate.port))
        });
        let profile = token(media.protocol);
        for address in main.into_iter().chain(candidates).filter(|address| address.port() != 0) {
            let (kind, profile) = (token(media.kind), profile.clone());
            let new = Announced { address, kind, profile, crypto, fingerprint, call, in_response, packet };
            if !announce(known, new) {
                left_out = left_out.saturating_add(1);
            }
        }
    }
    left_out
}

/// Keeps an announced address. False where there was no room for it.
fn announce(known: &mut Sip, new: Announced) -> bool {
    let alike = |held: &Announced| {
        (held.crypto, held.fingerprint, &held.profile) == (new.crypto, new.fingerprint, &new.profile)
    };
    let of_call = |held: &Announced| (held.call, held.in_response) == (new.call, new.in_response);
    let own = known.media.iter().rposition(|held| held.address == new.address && of_call(held));
    if let Some(place) = own.filter(|place| known.media.get(*place).is_some_and(alike)) {
        // An offer that is made again, as after a 401, is what the answer is to.
        let answered =
            known.media.iter().skip(place).any(|other| other.call == new.call && other.in_response);
        if let Some(held) = known.media.get_mut(place).filter(|_| !new.in_response && !answered) {
            held.packet = new.packet;
        }
        return true;
    }
    let latest = known.media.iter().rev().find(|held| held.address == new.address);
    if known.media.len() >= REPEATED_CAP && latest.is_some_and(alike) {
        return true;
    }
    let has_room = known.media.len() < ANNOUNCED_CAP;
    if has_room {
        known.media.push(new);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each address has both words: a packet of 64 candidates made 256 KiB of words of 511 letters.
    #[test]
    fn words_that_stand_beside_each_address_are_short() {
        let word = "x".repeat(500);
        let invite = format!(
            "INVITE sip:b@example.com SIP/2.0\r\nCall-ID: 1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 192.0.2.1\r\n\
             m={word} 4000 {word} 0\r\nm=audio 4002 UDP/TLS/RTP/SAVPF 0\r\n"
        );
        let mut facts = Facts::default();
        assert!(message(&mut facts, invite.as_bytes(), PacketRef::new(0, 1)));
        let sip = facts.sip.unwrap();
        let words: Vec<(&str, &str)> =
            sip.media.iter().map(|held| (held.kind.as_str(), held.profile.as_str())).collect();
        let short = &word[..TOKEN];
        assert_eq!(words, [(short, short), ("audio", "UDP/TLS/RTP/SAVPF")]);
    }

    #[test]
    fn what_calls_came_to_and_which_of_them_announced_an_address_is_kept() {
        const SDP: &str =
            "Content-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n";
        let mut facts = Facts::default();
        let mut frame = 0;
        let mut read = |start: &str, id: &str, to: &str, cseq: &str, body: &str| {
            frame += 1;
            let head = format!(
                "{start}\r\nCall-ID: {id}\r\nFrom: <sip:a@x>\r\nTo: <sip:{to}@x>\r\nCSeq: {cseq}\r\n"
            );
            assert!(message(&mut facts, format!("{head}{body}").as_bytes(), PacketRef::new(0, frame)));
        };
        read("REGISTER sip:x SIP/2.0", "reg", "a", "1 REGISTER", "\r\n");
        read("SIP/2.0 200 OK", "reg", "a", "1 REGISTER", "\r\n");
        read("INVITE sip:b@x SIP/2.0", "one", "b", "1 INVITE", SDP);
        read("SIP/2.0 401 Unauthorized", "one", "b", "1 INVITE", "\r\n");
        read("INVITE sip:b@x SIP/2.0", "one", "b", "2 INVITE", SDP);
        read("SIP/2.0 403 Forbidden", "one", "b", "2 INVITE", "\r\n");
        read("INVITE sip:c@x SIP/2.0", "two", "c", "1 INVITE", SDP);
        read("SIP/2.0 200 OK", "two", "c", "1 INVITE", &SDP.replace(".1", ".2"));
        read("INVITE sip:c@x SIP/2.0", "two", "c", "2 INVITE", SDP);
        read("SIP/2.0 488 Not Acceptable Here", "two", "c", "2 INVITE", "\r\n");
        read("INVITE sip:d@x SIP/2.0", "three", "d", "1 INVITE", "\r\n");
        let sip = facts.sip.unwrap();
        let calls: Vec<_> =
            sip.calls.iter().map(|call| (call.call_id.as_str(), call.to.as_str(), call.status)).collect();
        assert_eq!(
            calls,
            [("one", "<sip:b@x>", Some(403)), ("two", "<sip:c@x>", Some(200)), ("three", "<sip:d@x>", None)]
        );
        let call = |name: &str| sip.calls.iter().find(|call| call.call_id == name).unwrap().call;
        let media: Vec<_> =
            sip.media.iter().map(|held| (held.call, held.in_response, held.packet.frame())).collect();
        // The offer that was made again after a 401 is the one that counts; a later one of the same words does not.
        assert_eq!(media, [(call("one"), false, 5), (call("two"), false, 7), (call("two"), true, 8)]);
    }

    #[test]
    fn calls_that_repeat_an_address_leave_room_for_others() {
        let mut facts = Facts::default();
        let mut read = |id: usize, port: usize| {
            let invite = format!(
                "INVITE sip:b@x SIP/2.0\r\nCall-ID: {id}\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 192.0.2.1\r\n\
                 m=audio {port} RTP/AVP 0\r\n"
            );
            message(&mut facts, invite.as_bytes(), PacketRef::new(0, 1));
        };
        (0..ANNOUNCED_CAP).for_each(|id| read(id, 4000));
        (1..=REPEATED_CAP).for_each(|id| read(id, 4000 + id));
        let sip = facts.sip.as_ref().unwrap();
        assert_eq!((sip.media.len(), facts.left_out), (ANNOUNCED_CAP, 0));
    }
}
