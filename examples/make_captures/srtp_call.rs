//! One leg of an SRTP call on UDP: sound both ways, and pictures coming down if there are any.

use std::net::SocketAddrV4;

use crate::media::{AUDIO_PACKET_MS, FRAMES_PER_SECOND, Picture};
use crate::net::{MS, SEC, Tap, US, Wire};
use crate::rng::Rng;
use crate::rtp::Header;
use crate::srtp::Srtp;

/// Both ends of the media and how they look.
pub(crate) struct Leg<'a> {
    pub(crate) tap: Tap,
    pub(crate) client: SocketAddrV4,
    pub(crate) server: SocketAddrV4,
    pub(crate) rtt: u64,
    pub(crate) payload_type: u8,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// SDES key and salt of the client's and the server's direction.
    pub(crate) keys: [&'a [u8; 30]; 2],
}

/// Sound: `ticks` of the RTP clock in one packet.
pub(crate) fn sound(wire: &mut Wire, leg: &Leg<'_>, sounds: &[Vec<u8>], ticks: u32) {
    for (direction, master) in leg.keys.into_iter().enumerate() {
        let mut rng = Rng::named(&format!("sound {} {direction}", leg.client));
        let (srtp, ssrc) = (Srtp::new(master), rng.u32());
        let (mut sequence, mut timestamp) = (rng.u16() >> 1, rng.u32() >> 1);
        let shift = rng.below(sounds.len() as u64) as usize;
        let mut at = leg.start + direction as u64 * leg.rtt;
        for sound in sounds.iter().cycle().skip(shift) {
            if at >= leg.end {
                break;
            }
            let header = Header { marker: false, payload_type: leg.payload_type, sequence, timestamp, ssrc };
            let level = 0x80 | (0x18 + (sound.len() % 20) as u8);
            let packet = srtp.protect(&header, &[0x10, level, 0, 0], sound);
            let seen = at + rng.jitter_ns(if direction == 0 { 150 * US } else { 1_100 * US });
            send(wire, leg, direction, seen, &packet, &mut rng);
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(ticks);
            at += AUDIO_PACKET_MS * MS;
        }
    }
}

/// Pictures from the server, in payloads of at most 1100 bytes.
pub(crate) fn pictures_down(wire: &mut Wire, leg: &Leg<'_>, pictures: &[Picture]) {
    let mut rng = Rng::named(&format!("pictures {}", leg.client));
    let (srtp, ssrc) = (Srtp::new(leg.keys[1]), rng.u32());
    let (mut sequence, first) = (rng.u16() >> 1, rng.u32() >> 1);
    for (position, picture) in pictures.iter().enumerate() {
        let at = leg.start + position as u64 * SEC / FRAMES_PER_SECOND;
        if at >= leg.end {
            break;
        }
        let timestamp = first.wrapping_add((position as u64 * 90_000 / FRAMES_PER_SECOND) as u32);
        let parts = crate::zoom::fragment(&picture.bytes);
        for (part, payload) in parts.iter().enumerate() {
            let header = Header {
                marker: part + 1 == parts.len(),
                payload_type: leg.payload_type,
                sequence,
                timestamp,
                ssrc,
            };
            let packet = srtp.protect(&header, &[0x22, 0, 0, 0], payload);
            let seen = at + part as u64 * 300 * US + rng.below(150 * US);
            send(wire, leg, 1, seen, &packet, &mut rng);
            sequence = sequence.wrapping_add(1);
        }
    }
}

fn send(wire: &mut Wire, leg: &Leg<'_>, direction: usize, at: u64, packet: &[u8], rng: &mut Rng) {
    if direction == 0 {
        wire.udp(leg.tap, at, leg.client, leg.server, packet);
    } else if !rng.one_in(400) {
        wire.udp(leg.tap, at, leg.server, leg.client, packet);
    }
}
