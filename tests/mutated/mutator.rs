//! What can happen to a capture between the wire and its reader, and what somebody may do to it on purpose.

use meetscope::capture::{FileReader, LinkType, Packet};
use meetscope::time::Timestamp;

use crate::splitmix::SplitMix64;

/// Most packets of a capture, and of what is made of it.
const PACKETS: usize = 3_000;
/// Bytes that a frame is made longer by, at most.
const GROWTH: usize = 70_000;
/// Where lengths stand in Ethernet frames with IPv4: of IP, of UDP, of TCP's header; and in what UDP carries.
const LENGTHS: [usize; 8] = [14, 16, 18, 20, 38, 42, 44, 46];

/// Numbers that look random and are the same for a seed.
pub(crate) struct Draw(SplitMix64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// Below `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next().checked_rem(end).unwrap_or(0)).unwrap()
    }
}

/// A packet that is kept.
#[derive(Clone)]
pub(crate) struct Kept {
    nanos: i64,
    link_type: LinkType,
    original_len: u32,
    data: Vec<u8>,
}

impl Kept {
    pub(crate) fn packet(&self) -> Packet<'_> {
        let captured = u32::try_from(self.data.len()).unwrap();
        Packet {
            timestamp: Timestamp::from_nanos(self.nanos),
            link_type: self.link_type,
            interface: 0,
            original_len: self.original_len.max(captured),
            data: &self.data,
            block: None,
        }
    }
}

/// The first packets of a capture.
pub(crate) fn read(mut reader: FileReader) -> Vec<Kept> {
    let mut kept = Vec::new();
    while kept.len() < PACKETS
        && let Ok(Some(packet)) = reader.next()
    {
        kept.push(Kept {
            nanos: packet.timestamp.as_nanos(),
            link_type: packet.link_type,
            original_len: packet.original_len,
            data: packet.data.to_vec(),
        });
    }
    kept
}

/// Does one to six things to a capture; `other` is spliced into it. Answers what was done.
pub(crate) fn mutate(packets: &mut Vec<Kept>, other: &[Kept], draw: &mut Draw) -> Vec<&'static str> {
    let times = draw.below(6) + 1;
    let mut done = Vec::new();
    for _ in 0..times {
        if packets.is_empty() {
            break;
        }
        done.push(once(packets, other, draw));
        packets.truncate(PACKETS);
    }
    done
}

fn once(packets: &mut Vec<Kept>, other: &[Kept], draw: &mut Draw) -> &'static str {
    if draw.below(2) == 0 { moved(packets, other, draw) } else { changed(packets, other, draw) }
}

/// Packets are lost, come again, later or from elsewhere.
fn moved(packets: &mut Vec<Kept>, other: &[Kept], draw: &mut Draw) -> &'static str {
    let to = draw.below(packets.len() + 1);
    match draw.below(6) {
        0 => {
            let copies = vec![packets[draw.below(packets.len())].clone(); draw.below(300)];
            packets.splice(to..to, copies);
            "duplicated"
        }
        1 => {
            let range = range(packets.len(), draw);
            packets[range].reverse();
            "turned round"
        }
        2 => {
            for at in (1..packets.len()).rev() {
                let near = at.saturating_sub(draw.below(8));
                packets.swap(at, near);
            }
            "reordered"
        }
        3 => {
            let jumps = [-1_i64, 1, -86_400, 86_400, 31_536_000_000, i64::MIN, i64::MAX, 0];
            let jump = jumps[draw.below(8)].saturating_mul(1_000_000_000);
            for packet in packets.iter_mut().skip(to) {
                packet.nanos = packet.nanos.saturating_add(jump);
            }
            "time jumps"
        }
        4 => {
            let range = range(packets.len(), draw);
            packets.drain(range);
            "torn out"
        }
        _ => {
            let range = range(other.len(), draw);
            packets.splice(to..to, other[range].iter().cloned());
            "mixed with another"
        }
    }
}

/// Packets are others than they were.
fn changed(packets: &mut [Kept], other: &[Kept], draw: &mut Draw) -> &'static str {
    match draw.below(6) {
        0 => {
            each(packets, draw, |packet, draw| packet.data.truncate(draw.below(packet.data.len() + 1)));
            "truncated"
        }
        1 => {
            each(packets, draw, flip);
            "bits flipped"
        }
        2 => {
            spliced(packets, other, draw);
            "spliced"
        }
        3 => {
            each(packets, draw, |packet, draw| {
                let at = LENGTHS[draw.below(LENGTHS.len())];
                let wrong = [0, 1, 7, 8, 19, 0x7fff, 0x8000, 0xffff, draw.below(0x10000)][draw.below(9)];
                if let Some(field) = packet.data.get_mut(at..at + 2) {
                    field.copy_from_slice(&u16::try_from(wrong).unwrap().to_be_bytes());
                }
            });
            "lengths changed"
        }
        4 => {
            each(packets, draw, |packet, draw| {
                let more = draw.below(GROWTH);
                let with = u8::try_from(draw.below(256)).unwrap();
                packet.data.resize(packet.data.len() + more, with);
            });
            "grown"
        }
        _ => {
            each(packets, draw, |packet, draw| {
                packet.original_len = u32::try_from(draw.next() >> 32).unwrap();
                if draw.below(20) == 0 {
                    packet.link_type = other.first().map_or(packet.link_type, |one| one.link_type);
                }
            });
            "original lengths changed"
        }
    }
}

fn flip(packet: &mut Kept, draw: &mut Draw) {
    for _ in 0..=draw.below(16) {
        let (at, bit) = (draw.below(packet.data.len()), draw.below(8));
        if let Some(byte) = packet.data.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
}

/// Some packets: one, some or most.
fn each(packets: &mut [Kept], draw: &mut Draw, mut change: impl FnMut(&mut Kept, &mut Draw)) {
    let one_in = [1, 3, 20, 200, packets.len()][draw.below(5)].max(1);
    for packet in packets {
        if draw.below(one_in) == 0 {
            change(packet, draw);
        }
    }
}

/// The head of one packet before the tail of another.
fn spliced(packets: &mut [Kept], other: &[Kept], draw: &mut Draw) {
    let tails: Vec<Vec<u8>> = packets.iter().chain(other).map(|packet| packet.data.clone()).collect();
    each(packets, draw, |packet, draw| {
        let tail = &tails[draw.below(tails.len())];
        let (head, from) = (draw.below(packet.data.len() + 1), draw.below(tail.len() + 1));
        packet.data.truncate(head);
        packet.data.extend_from_slice(&tail[from..]);
    });
}

fn range(end: usize, draw: &mut Draw) -> std::ops::Range<usize> {
    let (one, two) = (draw.below(end + 1), draw.below(end + 1));
    one.min(two)..one.max(two)
}

/// Does the same to the bytes of a file.
pub(crate) fn damage(file: &mut Vec<u8>, draw: &mut Draw) {
    for _ in 0..=draw.below(8) {
        let end = if draw.below(2) == 0 { 400 } else { usize::MAX };
        let at = draw.below(file.len().min(end));
        match draw.below(5) {
            0 => file.truncate(at),
            1 => file[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            2 => {
                let range = range(file.len(), draw);
                let piece = file[range].to_vec();
                file.splice(at..at, piece);
            }
            _ => file[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << draw.below(8)),
        }
        file.truncate(4 << 20);
    }
}
