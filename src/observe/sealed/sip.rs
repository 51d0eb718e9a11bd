//! SIP inside TLS (RFC 3261 section 26.2.1): opened messages into the same facts as messages in the clear.

use zeroize::Zeroizing;

use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::observe::call;
use crate::observe::facts::Facts;
use crate::proto::sip;

/// Bytes of one direction that wait for the rest of their message; SIP over a stream seldom has messages of ten thousand.
const WAITING_CAP: usize = 64 << 10;

/// Both directions of a connection, as long as they are SIP.
#[derive(Default)]
pub(super) struct Calls {
    halves: [Half; 2],
    facts: Facts,
}

#[derive(Default)]
struct Half {
    waiting: Zeroizing<Vec<u8>>,
    /// What came was no SIP.
    closed: bool,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("found", &self.facts.sip.is_some()).finish_non_exhaustive()
    }
}

impl Calls {
    /// Takes opened data in order.
    pub(super) fn data(&mut self, direction: Direction, packet: PacketRef, bytes: &[u8]) {
        let Some(half) = self.halves.get_mut(direction.index()).filter(|half| !half.closed) else { return };
        half.waiting.extend_from_slice(bytes);
        while !half.waiting.is_empty() {
            match sip::message_length(&half.waiting) {
                Ok(Some(length)) if length > 0 && length <= half.waiting.len() => {
                    if let Some(message) = half.waiting.get(..length) {
                        call::message(&mut self.facts, message, packet);
                    }
                    half.waiting.drain(..length);
                }
                Ok(_) if half.waiting.len() <= WAITING_CAP => return,
                Ok(_) | Err(_) => {
                    half.waiting = Zeroizing::default();
                    half.closed = true;
                }
            }
        }
    }

    /// Hands over what was found, without the key lines: those are keys that went in the clear, and these did not. The
    /// values are among those that the search of opened data finds.
    pub(super) fn finish(mut self, facts: &mut Facts) {
        if facts.sip.is_none() {
            facts.sip = self.facts.sip.take();
            if let Some(sip) = &mut facts.sip {
                sip.keys.clear();
            }
        }
        facts.left_out = facts.left_out.saturating_add(self.facts.left_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::facts::Facts;

    /// RFC 4568 section 6.1's form of a crypto attribute in an offer.
    const INVITE: &str = "INVITE sip:b@example.net SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:a@example.net>;tag=1\r\nTo: <sip:b@example.net>\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\n\
        Content-Type: application/sdp\r\nContent-Length: 182\r\n\r\n\
        v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/SAVP 0\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4\r\n";

    fn read(pieces: &[&[u8]]) -> Facts {
        let (mut calls, mut facts) = (Calls::default(), Facts::default());
        for (packet, piece) in pieces.iter().enumerate() {
            let packet = PacketRef::new(0, u64::try_from(packet).unwrap());
            calls.data(Direction::Forward, packet, piece);
        }
        calls.finish(&mut facts);
        facts
    }

    #[test]
    fn a_message_in_pieces_gives_its_key_line_with_the_packet_that_completed_it() {
        let (one, two) = INVITE.as_bytes().split_at(150);
        let sip = read(&[one, two]).sip.unwrap();
        assert_eq!(sip.sdes, Some(PacketRef::new(0, 1)));
        assert_eq!(sip.media[0].address, "192.0.2.1:40000".parse().unwrap());
        assert_eq!(sip.call_ids, ["one"]);
        assert!(sip.keys.is_empty(), "nothing of it went in the clear");
    }

    #[test]
    fn what_does_not_begin_as_sip_is_never_looked_at_again() {
        assert!(read(&[b"GET / HTTP/1.1\r\n\r\n", INVITE.as_bytes()]).sip.is_none());
        let long = [b"INVITE sip:b@example.net SIP/2.0\r\n".as_slice(), &vec![b'a'; WAITING_CAP]].concat();
        assert!(read(&[&long, INVITE.as_bytes()]).sip.is_none());
    }
}
