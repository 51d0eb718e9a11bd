//! RTP streams of a call, in the clear or under SRTP: sound, pictures after RFC 6184, and sender reports.

use std::net::SocketAddrV4;

use crate::media::{AUDIO_PACKET_MS, FRAMES_PER_SECOND, Picture};
use crate::net::{MS, SEC, Tap, US, Wire};
use crate::rng::Rng;
use crate::rtp::{self, Header, Sent};
use crate::srtp::Guard;

/// Most bytes of an H.264 payload.
const PAYLOAD: usize = 1_150;
/// Ticks of G.711 in 20 ms, at 8000 a second.
const G711_TICKS: u32 = 160;
/// NAL unit type of a fragment.
const FU_A: u8 = 0x1c;

/// What both kinds of streams need to know.
pub(crate) struct Stream<'a> {
    pub(crate) tap: Tap,
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Typical queueing before the tap, in nanoseconds: little for what begins beside it.
    pub(crate) jitter: u64,
    /// One packet in so many does not reach the tap.
    pub(crate) lost_one_in: Option<u64>,
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) first_sequence: u16,
    pub(crate) guard: &'a Guard,
    /// RTCP goes to the next port up (RFC 3550 §11) instead of the same (RFC 5761).
    pub(crate) rtcp_apart: bool,
    /// A header extension with the audio level (RFC 6464), or none.
    pub(crate) levels: bool,
    /// Set around every packet, as TURN's ChannelData is.
    pub(crate) wrap: Option<u16>,
}

struct Sender<'a> {
    wire: &'a mut Wire,
    stream: &'a Stream<'a>,
    rng: Rng,
    sequence: u16,
    rollover: u32,
    sent: Sent,
    report_at: u64,
    reports: u32,
}

impl Stream<'_> {
    /// Opus, 40 ms a packet; goes round when the sounds end before the stream does.
    pub(crate) fn opus(&self, wire: &mut Wire, sounds: &[Vec<u8>]) {
        self.sound(wire, sounds, AUDIO_PACKET_MS * MS, 1920);
    }

    /// G.711, 20 ms a packet.
    pub(crate) fn g711(&self, wire: &mut Wire, samples: &[u8]) {
        let sounds: Vec<Vec<u8>> = samples.chunks_exact(160).map(<[u8]>::to_vec).collect();
        self.sound(wire, &sounds, 20 * MS, G711_TICKS);
    }

    fn sound(&self, wire: &mut Wire, sounds: &[Vec<u8>], every: u64, ticks: u32) {
        let mut sender = self.sender(wire);
        let mut due = self.start;
        for (position, sound) in sounds.iter().cycle().enumerate() {
            if due >= self.end {
                break;
            }
            let level = 0x80 | (0x18 + (sound.len() % 20) as u8);
            let extension: &[u8] = if self.levels { &[0x10, level, 0, 0] } else { &[] };
            sender.send(due, position == 0, extension, sound);
            sender.report(due);
            sender.sent.timestamp = sender.sent.timestamp.wrapping_add(ticks);
            due += every;
        }
    }

    /// H.264 in packetization mode 1 (RFC 6184 §5.4).
    pub(crate) fn h264(&self, wire: &mut Wire, pictures: &[Picture]) {
        let mut sender = self.sender(wire);
        for (position, picture) in pictures.iter().enumerate() {
            let due = self.start + position as u64 * SEC / FRAMES_PER_SECOND;
            if due >= self.end {
                break;
            }
            let payloads = packetize(&picture.bytes);
            for (part, payload) in payloads.iter().enumerate() {
                sender.send(due + part as u64 * 280 * US, part + 1 == payloads.len(), &[], payload);
            }
            sender.report(due + 5 * MS);
            let step = (90_000 / FRAMES_PER_SECOND) as u32;
            sender.sent.timestamp = sender.sent.timestamp.wrapping_add(step);
        }
    }

    fn sender<'a>(&'a self, wire: &'a mut Wire) -> Sender<'a> {
        let mut rng = Rng::named(&format!("stream {} {} {:08x}", self.from, self.to, self.ssrc));
        let timestamp = rng.u32() >> 1;
        Sender {
            wire,
            stream: self,
            sequence: self.first_sequence,
            rollover: 0,
            sent: Sent { ssrc: self.ssrc, timestamp, packets: 0, octets: 0 },
            report_at: self.start + SEC + rng.below(500 * MS),
            reports: 0,
            rng,
        }
    }
}

impl Sender<'_> {
    fn send(&mut self, due: u64, marker: bool, extension: &[u8], payload: &[u8]) {
        let header = Header {
            marker,
            payload_type: self.stream.payload_type,
            sequence: self.sequence,
            timestamp: self.sent.timestamp,
            ssrc: self.stream.ssrc,
        };
        let packet = self.stream.guard.rtp(&header, self.rollover, extension, payload);
        let (next, wrapped) = self.sequence.overflowing_add(1);
        self.sequence = next;
        self.rollover += u32::from(wrapped);
        self.sent.packets += 1;
        self.sent.octets += payload.len() as u32;
        let at = due + self.rng.jitter_ns(self.stream.jitter);
        if self.stream.lost_one_in.is_some_and(|n| self.rng.one_in(n)) {
            return;
        }
        self.emit(at, 0, &packet);
    }

    fn report(&mut self, due: u64) {
        if due < self.report_at {
            return;
        }
        self.report_at += 2 * SEC + self.rng.below(SEC);
        let packet = [rtp::sender_report(self.sent, due), rtp::empty_sdes(self.stream.ssrc)].concat();
        let packet = self.stream.guard.rtcp(self.reports, &packet);
        self.reports += 1;
        self.emit(due + 3 * MS, u16::from(self.stream.rtcp_apart), &packet);
    }

    fn emit(&mut self, at: u64, ports_up: u16, packet: &[u8]) {
        let up = |end: SocketAddrV4| SocketAddrV4::new(*end.ip(), end.port() + ports_up);
        let (from, to) = (up(self.stream.from), up(self.stream.to));
        let packet = match self.stream.wrap {
            Some(channel) => channel_data(channel, packet),
            None => packet.to_vec(),
        };
        self.wire.udp(self.stream.tap, at, from, to, &packet);
    }
}

/// TURN's `ChannelData` (RFC 8656 §12.4); over UDP it needs no padding.
pub(crate) fn channel_data(channel: u16, packet: &[u8]) -> Vec<u8> {
    let mut out = channel.to_be_bytes().to_vec();
    out.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
    out.extend(packet);
    out
}

/// A picture's NAL units as single packets, or cut into FU-A fragments (RFC 6184 §5.6 and §5.8).
fn packetize(picture: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for unit in nal_units(picture) {
        if unit.len() <= PAYLOAD {
            out.push(unit.to_vec());
            continue;
        }
        let (indicator, kind) = (unit[0] & 0xe0 | FU_A, unit[0] & 0x1f);
        let parts: Vec<&[u8]> = unit[1..].chunks(PAYLOAD - 2).collect();
        for (position, part) in parts.iter().enumerate() {
            let start = u8::from(position == 0) << 7;
            let end = u8::from(position + 1 == parts.len()) << 6;
            out.push([&[indicator, start | end | kind][..], part].concat());
        }
    }
    out
}

/// The NAL units of a picture as [`Picture`] joins them.
fn nal_units(picture: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at + 4 <= picture.len() {
        if picture[at..at + 4] == [0, 0, 0, 1] {
            out.push(&picture[start..at]);
            start = at + 4;
            at = start;
        } else {
            at += 1;
        }
    }
    out.push(&picture[start..]);
    out
}
