//! The UDP side of a Zoom meeting: every participant's flows to the media router, their streams, and the
//! router's copies to the others.

use std::net::SocketAddrV4;

use crate::media::{AUDIO_PACKET_MS, FRAMES_PER_SECOND, Picture};
use crate::net::{MS, SEC, Tap, US, Wire};
use crate::rng::Rng;
use crate::rtp::{self, Header, Sent};
use crate::zoom::{self, Generation, LengthField, Padding};

const VIDEO: u8 = 1;
const AUDIO: u8 = 2;
const SHARE: u8 = 3;
/// Hello to first media.
const SETUP: u64 = 1_500 * MS;
/// Sound clock of Zoom's streams: 1280 ticks in 40 ms, read off a capture of 2022.
const AUDIO_HZ: u64 = 32_000;
/// A muted microphone sends this small constant frame; its content is invented, its size was observed.
const MUTED: [u8; 9] = [0xf8, 0xff, 0xfe, 0, 0, 0, 0, 0, 0x01];

/// How payload units are sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seal {
    /// AES-128-ECB, one key for all.
    Ecb([u8; 16], Padding),
    /// AES-256-GCM under keys derived from the meeting key and the sender's nonce.
    Gcm([u8; 32]),
}

/// A stream's nonces: a number that counts its units, and eight bytes that stay.
struct Nonces {
    next: u32,
    constant: [u8; 8],
}

/// One participant as the media router knows it.
pub(crate) struct Participant {
    pub(crate) tap: Tap,
    pub(crate) address: std::net::Ipv4Addr,
    /// A multiple of 0x400.
    pub(crate) user: u32,
    /// What the keys of its streams are derived from, besides the meeting key; says nothing under ECB.
    pub(crate) nonce: [u8; 16],
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
    pub(crate) generation: Generation,
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
    /// Flow ids, and the next sequence numbers of the data headers up and down.
    flows: [u32; 3],
    numbers: [[u16; 2]; 3],
    nonces: [Nonces; 3],
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
            .map(|participant| Attached {
                ports: [rng.port(), rng.port(), rng.port()],
                clock: rng.u32() >> 2,
                last_arrival: [0; 3],
                sequence: [0; 3],
                flows: [0; 3],
                numbers: [[0; 2]; 3],
                nonces: [VIDEO, AUDIO, SHARE].map(|selector| Nonces {
                    next: 1,
                    constant: Rng::named(&format!("{} {:08x} {selector}", self.label, participant.user))
                        .array(),
                }),
            })
            .collect();
        let mut play = Play { wire, meeting: self, rng, attached };
        if self.generation == Generation::Third {
            // Its data headers are numbered, so that what comes first has to be made first.
            (0..self.participants.len()).for_each(|who| play.attach(who));
        }
        for who in 0..self.participants.len() {
            if self.generation == Generation::Second {
                play.attach(who);
            }
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

    /// Data of the meeting's generation around an inner packet.
    fn data(&mut self, who: usize, selector: u8, from_server: bool, inner: &[u8]) -> Vec<u8> {
        if self.meeting.generation == Generation::Second {
            return zoom::data(inner);
        }
        let (attached, flow) = (&mut self.attached[who], usize::from(selector) - 1);
        let number = &mut attached.numbers[flow][usize::from(from_server)];
        let sequence = *number;
        *number = number.wrapping_add(1);
        zoom::numbered_data(sequence, attached.flows[flow], from_server, inner)
    }

    fn data_up(&mut self, who: usize, selector: u8, at: u64, inner: &[u8]) {
        let payload = self.data(who, selector, false, inner);
        self.up(who, selector, at, &payload);
    }

    fn data_down(&mut self, who: usize, selector: u8, at: u64, inner: &[u8]) {
        let payload = self.data(who, selector, true, inner);
        self.down(who, selector, at, &payload);
    }

    /// A ping or pong; the third generation's carry a proof once a flow is under way.
    fn ping(&mut self, kind: u8, (counter, clock, flow): (u32, u32, u32)) -> Vec<u8> {
        let ping = zoom::ping(kind, counter, clock, flow);
        match self.meeting.generation {
            Generation::Second => ping,
            Generation::Third if counter == 1 => [ping.as_slice(), &[0]].concat(),
            Generation::Third => zoom::authenticated(ping, &self.rng.array()),
        }
    }

    fn seal(&mut self, who: usize, selector: u8, field: LengthField, plaintext: &[u8]) -> Vec<u8> {
        match self.meeting.seal {
            Seal::Ecb(key, padding) => zoom::ecb_unit(field, plaintext, &key, padding),
            Seal::Gcm(key) => {
                let key = zoom::stream_key(&key, &self.meeting.participants[who].nonce);
                let nonces = &mut self.attached[who].nonces[usize::from(selector) - 1];
                let mut nonce = [0; 12];
                nonce[..4].copy_from_slice(&nonces.next.to_be_bytes());
                nonce[4..].copy_from_slice(&nonces.constant);
                nonces.next += 1;
                zoom::gcm_unit(field, plaintext, &key, nonce)
            }
        }
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
            self.attached[who].flows[usize::from(selector) - 1] = flow;
            let bound = self.open_flow(who, selector, hello + delay, flow, &attachment);
            if selector == VIDEO {
                self.probe(who, bound + 14 * MS);
            }
            self.keep_alive(who, selector, flow, (bound + SEC, leave));
            let last = match self.meeting.generation {
                Generation::Second => zoom::leave(flow),
                Generation::Third => zoom::leave_authenticated(flow, &self.rng.array()),
            };
            self.up(who, selector, leave + u64::from(selector) * 300 * US, &last);
        }
    }

    fn open_flow(&mut self, who: usize, selector: u8, at: u64, flow: u32, attachment: &[u8; 16]) -> u64 {
        let (user, rtt) = (self.meeting.participants[who].user, self.meeting.participants[who].rtt);
        let (id, proof, clock) = (self.rng.array(), self.rng.array(), self.rng.u32() >> 8);
        let generation = self.meeting.generation;
        self.up(who, selector, at, &zoom::client_hello(generation, &id, clock, &proof));
        let answered = at + rtt + self.rng.jitter_ns(400 * US);
        self.down(who, selector, answered, &zoom::server_hello(generation, &id, flow, clock));
        let ping = (1, self.clock(who, answered), flow);
        for (kind, delay) in [(3, 28 * US), (4, 260 * US)] {
            let packet = self.ping(kind, ping);
            match kind {
                3 => self.down(who, selector, answered + delay, &packet),
                _ => self.up(who, selector, answered + delay, &packet),
            }
        }

        let request = zoom::bind_request(attachment, user, selector);
        let reply = zoom::bind_reply(attachment, user, selector);
        // The share flow speaks through the ordered wrapper.
        let wrap = |inner: Vec<u8>, from_server| match (selector, generation) {
            (SHARE, Generation::Second) => zoom::ordered(from_server, &inner),
            (SHARE, Generation::Third) => {
                zoom::ordered_since_2021(from_server, (answered / MS) as u16, 0, &inner)
            }
            _ => inner,
        };
        let asked = answered + 5 * MS + self.rng.below(MS);
        self.data_up(who, selector, asked, &wrap(request, false));
        let bound = asked + rtt + self.rng.jitter_ns(500 * US);
        self.data_down(who, selector, bound, &wrap(reply, true));
        bound
    }

    /// The router fills the line with packets of one repeated byte.
    fn probe(&mut self, who: usize, start: u64) {
        for position in 0..30_u16 {
            let at = start + u64::from(position) * 10 * MS + self.rng.below(300 * US);
            let fill = 1 + u8::try_from(position / 15).unwrap();
            let probe = zoom::bandwidth_probe(position, self.clock(who, at), fill);
            self.data_down(who, VIDEO, at, &probe);
        }
    }

    /// Pings of both sides with their pongs; counters rise from the one in the hello exchange.
    fn keep_alive(&mut self, who: usize, selector: u8, flow: u32, (start, end): (u64, u64)) {
        let rtt = self.meeting.participants[who].rtt;
        let (mut at, mut counter) = (start + u64::from(selector) * 70 * MS, 2);
        while at < end {
            let clock = self.clock(who, at);
            let asked = self.ping(3, (counter, clock, flow));
            self.up(who, selector, at, &asked);
            let back = at + rtt + self.rng.jitter_ns(500 * US);
            let answer = self.ping(4, (counter, clock, flow));
            self.down(who, selector, back, &answer);

            let theirs = at + SEC + self.rng.below(20 * MS);
            let clock = self.clock(who, theirs);
            if theirs + MS < end {
                let asked = self.ping(3, (counter, clock, flow));
                self.down(who, selector, theirs, &asked);
                let back = theirs + 210 * US + self.rng.below(60 * US);
                let answer = self.ping(4, (counter, clock, flow));
                self.up(who, selector, back, &answer);
            }
            if selector == SHARE {
                let control = [0x0a, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                self.data_up(who, selector, at + 9 * MS, &control);
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
            let unit = self.seal(who, VIDEO, LengthField::Long, &picture.bytes);
            let fragments = zoom::fragment(&unit);
            for (part, fragment) in fragments.iter().enumerate() {
                let marker = part + 1 == fragments.len();
                let header = Header { marker, payload_type: 98, sequence, timestamp: stamp, ssrc };
                let mut packet = header.write(&picture_extension(picture, frame, part == 0, marker));
                packet.extend(fragment);
                let at = due + part as u64 * (250 * US + self.rng.below(80 * US));
                let inner_sequence = self.count(who, VIDEO);
                let inner = zoom::video(inner_sequence, self.clock(who, at), frame, fragments.len(), &packet);
                self.relay(who, VIDEO, at, &inner);
                sequence = sequence.wrapping_add(1);
                packets += 1;
                octets += fragment.len() as u32;
            }
            frame = frame.wrapping_add(1);
            if due >= report_at {
                let sent = Sent { ssrc, timestamp: stamp, packets, octets };
                let report = rtp::sender_report(sent, due + 6 * MS);
                self.relay(who, VIDEO, due + 6 * MS, &zoom::rtcp(33, &report));
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
            packet.extend(self.seal(who, AUDIO, LengthField::Short, plaintext));
            let inner_sequence = self.count(who, AUDIO);
            let inner = zoom::audio(inner_sequence, self.clock(who, due), &packet);
            self.relay(who, AUDIO, due, &inner);
            sequence = sequence.wrapping_add(1);
            packets += 1;
            octets += packet.len() as u32;
            if due >= report_at {
                let sent = Sent { ssrc, timestamp: stamp, packets, octets };
                let report = [rtp::sender_report(sent, due + 2 * MS), rtp::empty_sdes(ssrc)].concat();
                self.relay(who, AUDIO, due + 2 * MS, &zoom::rtcp(34, &report));
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
    fn relay(&mut self, from: usize, selector: u8, at: u64, inner: &[u8]) {
        self.data_up(from, selector, at, inner);
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
            self.data_down(to, selector, arrival + late, inner);
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
