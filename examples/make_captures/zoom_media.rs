//! The UDP side of a Zoom meeting: every participant's flows to the media router, their streams, and the
//! router's copies to the others.

use std::net::SocketAddrV4;

use crate::media::{AUDIO_PACKET_MS, FRAMES_PER_SECOND, Picture};
use crate::net::{MS, SEC, Tap, US, Wire};
use crate::rng::Rng;
use crate::rtp::{self, Header, Sent};
use crate::zoom::{self, LengthField};

const VIDEO: u8 = 1;
const AUDIO: u8 = 2;
const SHARE: u8 = 3;
/// Hello to first media.
const SETUP: u64 = 1_500 * MS;
/// Sound clock of Zoom's streams: 1280 ticks in 40 ms, read off a capture of 2022.
const AUDIO_HZ: u64 = 32_000;
/// A muted microphone sends this small constant frame; its content is invented, its size was observed.
const MUTED: [u8; 9] = [0xf8, 0xff, 0xfe, 0, 0, 0, 0, 0, 0x01];

/// How payload units are sealed. Later captures add their own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seal {
    /// AES-128-ECB, zero padding, one key for all.
    EcbZeroPadded([u8; 16]),
}

impl Seal {
    fn unit(&self, field: LengthField, plaintext: &[u8]) -> Vec<u8> {
        match self {
            Self::EcbZeroPadded(key) => zoom::ecb_unit(field, plaintext, key),
        }
    }
}

/// One participant as the media router knows it.
pub(crate) struct Participant {
    pub(crate) tap: Tap,
    pub(crate) address: std::net::Ipv4Addr,
    /// A multiple of 0x400.
    pub(crate) user: u32,
    /// Tap to router and back.
    pub(crate) rtt: u64,
    /// First UDP hello, and the leave packet.
    pub(crate) hello: u64,
    pub(crate) leave: u64,
    /// While this lasts the microphone is muted.
    pub(crate) muted: std::ops::Range<u64>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) sounds: Vec<Vec<u8>>,
}

/// A meeting on one media router.
pub(crate) struct Meeting {
    pub(crate) label: &'static str,
    pub(crate) router: SocketAddrV4,
    pub(crate) seal: Seal,
    pub(crate) participants: Vec<Participant>,
    /// One packet in so many is lost between two taps.
    pub(crate) lost_one_in: u64,
}

struct Attached {
    /// Source ports of the video, audio and share flow.
    ports: [u16; 3],
    clock: u32,
    last_arrival: [u64; 3],
    /// Sequence numbers of the media encapsulation.
    sequence: [u16; 3],
}

struct Play<'a> {
    wire: &'a mut Wire,
    meeting: &'a Meeting,
    rng: Rng,
    attached: Vec<Attached>,
}

impl Meeting {
    /// Plays the whole meeting.
    pub(crate) fn play(&self, wire: &mut Wire) {
        let mut rng = Rng::named(&format!("{} media", self.label));
        let attached = self
            .participants
            .iter()
            .map(|_| Attached {
                ports: [rng.port(), rng.port(), rng.port()],
                clock: rng.u32() >> 2,
                last_arrival: [0; 3],
                sequence: [0; 3],
            })
            .collect();
        let mut play = Play { wire, meeting: self, rng, attached };
        for who in 0..self.participants.len() {
            play.attach(who);
            play.send_video(who);
            play.send_audio(who);
        }
    }
}

impl Play<'_> {
    fn flow(&self, who: usize, selector: u8) -> (Tap, SocketAddrV4) {
        let port = self.attached[who].ports[usize::from(selector) - 1];
        let participant = &self.meeting.participants[who];
        (participant.tap, SocketAddrV4::new(participant.address, port))
    }

    fn up(&mut self, who: usize, selector: u8, at: u64, payload: &[u8]) {
        let (tap, client) = self.flow(who, selector);
        self.wire.udp(tap, at, client, self.meeting.router, payload);
    }

    fn down(&mut self, who: usize, selector: u8, at: u64, payload: &[u8]) {
        let (tap, client) = self.flow(who, selector);
        self.wire.udp(tap, at, self.meeting.router, client, payload);
    }

    fn clock(&self, who: usize, at: u64) -> u32 {
        self.attached[who].clock.wrapping_add((at / MS) as u32)
    }

    /// Hellos, binds, bandwidth probe, pings and leave on all three flows.
    fn attach(&mut self, who: usize) {
        let participant = &self.meeting.participants[who];
        let attachment = self.rng.array();
        let base = 0x005b_0000 + (self.rng.u32() & 0xfff0);
        let (hello, leave) = (participant.hello, participant.leave);
        for (selector, delay, flow) in
            [(VIDEO, 0, base), (AUDIO, 160 * MS, base + 1), (SHARE, 1_300 * MS, base + 6)]
        {
            let bound = self.open_flow(who, selector, hello + delay, flow, &attachment);
            if selector == VIDEO {
                self.probe(who, bound + 14 * MS);
            }
            self.keep_alive(who, selector, flow, (bound + SEC, leave));
            self.up(who, selector, leave + u64::from(selector) * 300 * US, &zoom::leave(flow));
        }
    }

    fn open_flow(&mut self, who: usize, selector: u8, at: u64, flow: u32, attachment: &[u8; 16]) -> u64 {
        let (user, rtt) = (self.meeting.participants[who].user, self.meeting.participants[who].rtt);
        let (id, proof, clock) = (self.rng.array(), self.rng.array(), self.rng.u32() >> 8);
        self.up(who, selector, at, &zoom::client_hello(&id, clock, &proof));
        let answered = at + rtt + self.rng.jitter_ns(400 * US);
        self.down(who, selector, answered, &zoom::server_hello(&id, flow, clock));
        let ping = (1, self.clock(who, answered), flow);
        self.down(who, selector, answered + 28 * US, &zoom::ping(3, ping.0, ping.1, ping.2));
        self.up(who, selector, answered + 260 * US, &zoom::ping(4, ping.0, ping.1, ping.2));

        let request = zoom::bind_request(attachment, user, selector);
        let reply = zoom::bind_reply(attachment, user, selector);
        // The share flow speaks through the ordered wrapper.
        let wrap = |inner: Vec<u8>, from_server| match selector {
            SHARE => zoom::ordered(from_server, &inner),
            _ => inner,
        };
        let asked = answered + 5 * MS + self.rng.below(MS);
        self.up(who, selector, asked, &zoom::data(&wrap(request, false)));
        let bound = asked + rtt + self.rng.jitter_ns(500 * US);
        self.down(who, selector, bound, &zoom::data(&wrap(reply, true)));
        bound
    }

    /// The router fills the line with packets of one repeated byte.
    fn probe(&mut self, who: usize, start: u64) {
        for position in 0..30_u16 {
            let at = start + u64::from(position) * 10 * MS + self.rng.below(300 * US);
            let fill = 1 + u8::try_from(position / 15).unwrap();
            let probe = zoom::bandwidth_probe(position, self.clock(who, at), fill);
            self.down(who, VIDEO, at, &zoom::data(&probe));
        }
    }

    /// Pings of both sides with their pongs; counters rise from the one in the hello exchange.
    fn keep_alive(&mut self, who: usize, selector: u8, flow: u32, (start, end): (u64, u64)) {
        let rtt = self.meeting.participants[who].rtt;
        let (mut at, mut counter) = (start + u64::from(selector) * 70 * MS, 2);
        while at < end {
            let clock = self.clock(who, at);
            self.up(who, selector, at, &zoom::ping(3, counter, clock, flow));
            let back = at + rtt + self.rng.jitter_ns(500 * US);
            self.down(who, selector, back, &zoom::ping(4, counter, clock, flow));

            let theirs = at + SEC + self.rng.below(20 * MS);
            let clock = self.clock(who, theirs);
            if theirs + MS < end {
                self.down(who, selector, theirs, &zoom::ping(3, counter, clock, flow));
                let pong = theirs + 210 * US + self.rng.below(60 * US);
                self.up(who, selector, pong, &zoom::ping(4, counter, clock, flow));
            }
            if selector == SHARE {
                let control = [0x0a, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                self.up(who, selector, at + 9 * MS, &zoom::data(&control));
            }
            at += 2 * SEC;
            counter += 1;
        }
    }

    fn send_video(&mut self, who: usize) {
        let participant = &self.meeting.participants[who];
        let ssrc = participant.user | u32::from(VIDEO);
        let (mut sequence, first_stamp) = (self.rng.u16() >> 1, self.rng.u32());
        let (mut packets, mut octets) = (0_u32, 0_u32);
        let start = participant.hello + SETUP;
        let (mut frame, mut report_at) = (self.rng.u16() & 0x0fff, start);
        for (position, picture) in participant.pictures.iter().enumerate() {
            let due = start + position as u64 * SEC / FRAMES_PER_SECOND + self.rng.below(3 * MS);
            if due + 20 * MS >= participant.leave {
                break;
            }
            let stamp = first_stamp.wrapping_add((position as u64 * 90_000 / FRAMES_PER_SECOND) as u32);
            let unit = self.meeting.seal.unit(LengthField::Long, &picture.bytes);
            let fragments = zoom::fragment(&unit);
            for (part, fragment) in fragments.iter().enumerate() {
                let marker = part + 1 == fragments.len();
                let header = Header { marker, payload_type: 98, sequence, timestamp: stamp, ssrc };
                let mut packet = header.write(&picture_extension(picture, frame, part == 0, marker));
                packet.extend(fragment);
                let at = due + part as u64 * (250 * US + self.rng.below(80 * US));
                let inner_sequence = self.count(who, VIDEO);
                let inner = zoom::video(inner_sequence, self.clock(who, at), frame, fragments.len(), &packet);
                self.relay(who, VIDEO, at, &zoom::data(&inner));
                sequence = sequence.wrapping_add(1);
                packets += 1;
                octets += fragment.len() as u32;
            }
            frame = frame.wrapping_add(1);
            if due >= report_at {
                let sent = Sent { ssrc, timestamp: stamp, packets, octets };
                let report = rtp::sender_report(sent, due + 6 * MS);
                self.relay(who, VIDEO, due + 6 * MS, &zoom::data(&zoom::rtcp(33, &report)));
                report_at += SEC;
            }
        }
    }

    fn send_audio(&mut self, who: usize) {
        let participant = &self.meeting.participants[who];
        let ssrc = participant.user | u32::from(AUDIO);
        let (mut sequence, first_stamp) = (self.rng.u16() >> 1, self.rng.u32() >> 1);
        let (mut packets, mut octets) = (0_u32, 0_u32);
        let start = participant.hello + SETUP + 30 * MS;
        let mut report_at = start;
        for (position, sound) in participant.sounds.iter().enumerate() {
            let due = start + position as u64 * AUDIO_PACKET_MS * MS + self.rng.below(900 * US);
            if due + 20 * MS >= participant.leave {
                break;
            }
            let muted = participant.muted.contains(&due);
            let stamp =
                first_stamp.wrapping_add((position as u64 * AUDIO_PACKET_MS * AUDIO_HZ / 1000) as u32);
            let (payload_type, plaintext) = if muted { (99, &MUTED[..]) } else { (112, sound.as_slice()) };
            let header = Header { marker: position == 0, payload_type, sequence, timestamp: stamp, ssrc };
            let level = if muted { 0x64 } else { 0xe4 };
            let mut packet = header.write(&[0x50, level, 0, 0]);
            packet.extend(self.meeting.seal.unit(LengthField::Short, plaintext));
            let inner_sequence = self.count(who, AUDIO);
            let inner = zoom::audio(inner_sequence, self.clock(who, due), &packet);
            self.relay(who, AUDIO, due, &zoom::data(&inner));
            sequence = sequence.wrapping_add(1);
            packets += 1;
            octets += packet.len() as u32;
            if due >= report_at {
                let sent = Sent { ssrc, timestamp: stamp, packets, octets };
                let report = [rtp::sender_report(sent, due + 2 * MS), rtp::empty_sdes(ssrc)].concat();
                self.relay(who, AUDIO, due + 2 * MS, &zoom::data(&zoom::rtcp(34, &report)));
                report_at += SEC;
            }
        }
    }

    fn count(&mut self, who: usize, selector: u8) -> u16 {
        let next = &mut self.attached[who].sequence[usize::from(selector) - 1];
        *next = next.wrapping_add(1);
        *next
    }

    /// A packet on its way up, and its copies on their way down to everybody who is attached by then.
    fn relay(&mut self, from: usize, selector: u8, at: u64, payload: &[u8]) {
        self.up(from, selector, at, payload);
        for to in 0..self.meeting.participants.len() {
            let target = &self.meeting.participants[to];
            let path = self.meeting.participants[from].rtt / 2 + target.rtt / 2;
            let arrival = at + path + MS + self.rng.jitter_ns(1_200 * US);
            let attached = arrival > target.hello + SETUP && arrival < target.leave;
            if to == from || !attached || self.rng.one_in(self.meeting.lost_one_in) {
                continue;
            }
            // Queues keep the order, save for one packet in 800 that is overtaken.
            let late = if self.rng.one_in(800) { 9 * MS } else { 0 };
            let last = &mut self.attached[to].last_arrival[usize::from(selector) - 1];
            let arrival = arrival.max(*last + 15 * US);
            *last = arrival;
            self.down(to, selector, arrival + late, payload);
        }
    }
}

/// Extension elements 1 (layer), 3 (frame information), 5 and 7, as the captures have them.
fn picture_extension(picture: &Picture, frame: u16, first: bool, last: bool) -> [u8; 16] {
    let mut out = [0x12, 0x50, 0, 0, 0x35, 0x82, 0x10, 0, 0, 0, 0, 0x50, 0, 0x70, 0, 0];
    if picture.key_frame {
        out[1..4].copy_from_slice(&[0x5f, 0xf7, 0x77]);
        out[5] |= 0x20;
    }
    if first {
        out[5] |= 0x08;
    }
    if last {
        out[5] |= 0x04;
    }
    out[7..9].copy_from_slice(&frame.to_be_bytes());
    out[9..11].copy_from_slice(&frame.to_be_bytes());
    out
}
