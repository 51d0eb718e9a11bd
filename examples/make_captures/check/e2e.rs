//! The call with end-to-end keys: the media open with keys that the opened signalling does not hold.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::srtp::{Profile, Reader};
use super::{datagrams, read, tshark, u16_at, unhex};
use crate::cases::e2e_call;
use crate::hex;

const NAME: &str = "e2e-call";
const CALLER: [u8; 4] = [142, 1, 130, 7];

#[test]
fn the_media_open_with_the_parties_own_keys() {
    let mut readers = e2e_call::secrets().map(|(key, salt)| Reader::new(Profile::Gcm, &key, &salt));
    let file = read(NAME);
    let mut opened = [0; 2];
    for datagram in datagrams(&file) {
        let channel = datagram.payload.len() > 4 && u16_at(datagram.payload, 0) == 0x4001;
        if !channel || !matches!(datagram.payload[4], 0x80..=0xbf) {
            continue;
        }
        assert_eq!(usize::from(u16_at(datagram.payload, 2)), datagram.payload.len() - 4, "ChannelData");
        let (side, packet) = (usize::from(datagram.src.0 != CALLER), &datagram.payload[4..]);
        if matches!(packet[1], 200..=207) {
            assert_eq!(readers[side].rtcp(packet)[29], 202);
            continue;
        }
        let packet = readers[side].rtp(packet);
        assert_eq!((packet.ssrc, packet.payload_type), (if side == 0 { 1002 } else { 2002 }, 102));
        assert_eq!(packet.payload[0], 10 << 3, "TOC of an Opus packet");
        opened[side] += 1;
    }
    assert!(opened.iter().all(|packets| *packets > 380), "{opened:?}");
}

#[test]
fn the_opened_signalling_holds_no_key_in_any_form() {
    let raw = ["-Y", "tls", "-q", "-z", "follow,tls,raw,0"];
    let Some(text) = tshark(NAME, &raw) else { return };
    let lines = text.lines().map(str::trim).filter(|line| line.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let bytes: Vec<u8> = lines.flat_map(unhex).collect();
    assert!(bytes.windows(11).any(|window| window == b"GET /v1/web"), "the signalling is opened");
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    for (key, salt) in e2e_call::secrets() {
        for secret in [&key[..], &key[..16], &salt[..]] {
            assert!(!holds(secret) && !holds(hex(secret).as_bytes()));
            let (standard, url) = (STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret));
            assert!(!holds(standard.as_bytes()) && !holds(url.as_bytes()));
            assert!(!holds(STANDARD_NO_PAD.encode(secret).as_bytes()));
        }
    }
}
