//! SIP messages and their session descriptions into facts.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::PacketRef;
use super::facts::{ANNOUNCED_CAP, Announced, Facts, LIST_CAP, SdesKey, Sip, note, tally};
use super::handshake::text;
use crate::proto::sip::{self, Sdp, StartLine};

/// Longest master key identifier in bytes, RFC 4568 section 6.1.
const MAX_MKI: usize = 128;
/// Bytes kept of what media is and of how it is carried: the longest profile that is registered (RFC 8866 section 8.2.2) has some twenty.
const TOKEN: usize = 32;
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
    if let Some(sdp) = message.sdp() {
        let left_out = description(known, &sdp, packet);
        facts.left_out = facts.left_out.saturating_add(left_out);
    }
    true
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
fn description(known: &mut Sip, sdp: &Sdp<'_>, packet: PacketRef) -> u32 {
    let mut left_out = 0_u32;
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
            let latest = known.media.iter().rev().find(|held| held.address == address);
            let held = latest.is_some_and(|held| {
                (held.crypto, held.fingerprint, &held.profile) == (crypto, fingerprint, &profile)
            });
            if held {
                continue;
            }
            if known.media.len() < ANNOUNCED_CAP {
                let (kind, profile) = (token(media.kind), profile.clone());
                known.media.push(Announced { address, kind, profile, crypto, fingerprint, packet });
            } else {
                left_out = left_out.saturating_add(1);
            }
        }
    }
    left_out
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
}
