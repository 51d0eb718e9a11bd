//! Packets of a trial: RTP in Zoom's encapsulation of 2020 on UDP 8801, or straight in UDP, as Ethernet frames.

use meetscope::capture::{LinkType, Packet};
use meetscope::pipeline::Pipeline;
use meetscope::time::Timestamp;

use crate::Trial;
use crate::pool::{Unit, Units};
use crate::rng::Rng;
use crate::seal::Sealer;

/// Plaintext or fragment bytes of one packet.
const MTU: usize = 1000;
/// One packet in so many is lost, one in so many is seen twice.
const LOST: u64 = 400;
const TWICE: u64 = 500;

/// How sealed units are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Zoom's: a length, then the unit, pictures cut into FU-A fragments after they were sealed.
    Zoom,
    /// Each RTP payload sealed by itself.
    Payload,
}

impl Framing {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zoom => "Zoom",
            Self::Payload => "RTP payload",
        }
    }
}

/// What a stream of the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sound,
    Camera,
    Screen,
}

/// Sends all packets of a trial in order of time.
pub(crate) fn play(pipeline: &mut Pipeline, trial: &Trial, units: &Units, rng: &mut Rng) {
    let keys = rng.array();
    let mut frames: Vec<(u64, Vec<u8>)> = Vec::new();
    for (number, (kind, units)) in
        [(Kind::Camera, &units.camera), (Kind::Sound, &units.sound), (Kind::Screen, &units.screen)]
            .into_iter()
            .enumerate()
    {
        let stream = number as u8 + 1;
        let sealer = Sealer::new(trial.cipher, trial.framing, &keys, stream, rng);
        one(trial, kind, stream, units, sealer, rng, &mut frames);
    }
    frames.sort_by_key(|(at, _)| *at);
    for (number, (at, frame)) in frames.iter().enumerate() {
        let packet = Packet {
            timestamp: Timestamp::from_nanos(1_586_000_000_000_000_000 + at.cast_signed() * 1000),
            link_type: LinkType::ETHERNET,
            interface: 0,
            original_len: frame.len() as u32,
            data: frame,
            block: None,
        };
        pipeline.packet(0, number as u64 + 1, &packet).unwrap();
    }
}

fn one(
    trial: &Trial,
    kind: Kind,
    stream: u8,
    units: &[Unit],
    mut sealer: Sealer,
    rng: &mut Rng,
    frames: &mut Vec<(u64, Vec<u8>)>,
) {
    let mut sequence = rng.u16() >> 1;
    let first_stamp = rng.u32() >> 2;
    for (number, unit) in units.iter().enumerate() {
        let stamp = first_stamp.wrapping_add((unit.at_ms * if kind == Kind::Sound { 32 } else { 90 }) as u32);
        let due = unit.at_ms * 1000 + rng.below(3000) + u64::from(stream);
        let payloads = payloads(trial.framing, kind, &unit.bytes, &mut sealer);
        let count = payloads.len();
        for (part, payload) in payloads.into_iter().enumerate() {
            let payload_type = match (trial.framing, kind) {
                (_, Kind::Camera) => 98,
                (Framing::Zoom, Kind::Sound) => 112,
                (Framing::Payload, Kind::Sound) => 111,
                (_, Kind::Screen) => 99,
            };
            let marker = if part + 1 == count { 0x80 } else { 0 };
            let mut rtp = vec![0x80, marker | payload_type];
            rtp.extend(sequence.to_be_bytes());
            rtp.extend(stamp.to_be_bytes());
            rtp.extend([1, 0, 4, stream]);
            rtp.extend(payload);
            sequence = sequence.wrapping_add(1);
            let message = match trial.framing {
                Framing::Payload => rtp,
                Framing::Zoom => encapsulated(kind, number as u16, due, count, &rtp),
            };
            let at = due + part as u64 * 250;
            if rng.one_in(LOST) {
                continue;
            }
            let frame = ethernet(trial.framing, stream, &message);
            if rng.one_in(TWICE) {
                frames.push((at + 40_000, frame.clone()));
            }
            frames.push((at, frame));
        }
    }
}

fn payloads(framing: Framing, kind: Kind, plain: &[u8], sealer: &mut Sealer) -> Vec<Vec<u8>> {
    if kind == Kind::Sound {
        return vec![sealer.unit(plain, false)];
    }
    if framing == Framing::Payload {
        return plain.chunks(MTU).map(|part| sealer.unit(part, true)).collect();
    }
    let unit = sealer.unit(plain, true);
    let size = MTU.min(unit.len().div_ceil(2));
    let count = unit.len().div_ceil(size);
    let part = |(index, data): (usize, &[u8])| {
        let header = if index == 0 {
            0x80
        } else if index + 1 == count {
            0x40
        } else {
            0
        };
        [&[0x1c, header], data].concat()
    };
    unit.chunks(size).enumerate().map(part).collect()
}

fn encapsulated(kind: Kind, sequence: u16, at_us: u64, count: usize, rtp: &[u8]) -> Vec<u8> {
    let clock = ((at_us / 1000) as u32).to_be_bytes();
    let (number, length) = match kind {
        Kind::Sound => (15, 0x11),
        Kind::Camera => (16, 0x18),
        Kind::Screen => (30, 0x14),
    };
    let mut out = vec![5, number, 1, 0, 0xfb, 0x90, 0x10, length, 4, 2];
    out.extend(sequence.to_be_bytes());
    out.extend(clock);
    match kind {
        Kind::Sound => {
            out.extend([0, 1]);
            out.extend((rtp.len() as u16).to_be_bytes());
        }
        Kind::Camera => {
            out.extend([2, 0, 0, 0, 0, 2]);
            out.extend(sequence.to_be_bytes());
            out.push(count as u8);
        }
        Kind::Screen => out.extend([2, 0, 0, 0, 0]),
    }
    out.extend(rtp);
    out
}

fn ethernet(framing: Framing, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let port: u16 = if framing == Framing::Zoom { 8801 } else { 20_000 };
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    out.extend([0x45, 0]);
    out.extend((length + 28).to_be_bytes());
    out.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 9, 203, 0, 113, 7]);
    out.extend((50_000 + u16::from(stream)).to_be_bytes());
    out.extend(port.to_be_bytes());
    out.extend((length + 8).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    out
}
