//! Keeps packets of a stream while it lives, and puts Zoom's units together when it has ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::observe::PacketRef;
use crate::observe::datagram::Meta;
use crate::observe::facts::{MediaKind, Sample, Samples, SealedUnit, UnitShape, Wrapping, grow};
use crate::proto::rtp::{self, Peek};
use crate::proto::zoom::{LengthField, Shape, parse_fragment, parse_unit};

/// Payload type of forward error correction in Zoom's streams.
const ZOOM_FEC: u8 = 110;
/// Longest unit that is put together, in bytes: well above a picture of a screen share.
const MAX_UNIT: usize = 1 << 21;

/// What is kept of one stream.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    held: Vec<Held>,
    bytes: u32,
    left_out: u32,
    cut: u32,
    is_full: bool,
}

#[derive(Debug, Clone)]
struct Held {
    sample: Sample,
    sequence: u16,
    timestamp: u32,
}

impl Sampler {
    /// Keeps a packet, or counts that it was not kept. `highest` is the stream's extended highest sequence number.
    #[inline]
    pub(super) fn packet(&mut self, peek: &Peek, packet: &[u8], meta: &Meta, highest: u32) {
        if self.is_full {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.keep(peek, packet, meta, highest);
    }

    #[cold]
    fn keep(&mut self, peek: &Peek, packet: &[u8], meta: &Meta, highest: u32) {
        if meta.wrapping == Wrapping::Zoom && peek.payload_type == ZOOM_FEC {
            return;
        }
        if meta.cut > 0 || peek.header_length >= packet.len() {
            self.cut = self.cut.saturating_add(u32::from(meta.cut > 0));
            return;
        }
        let plan = &meta.sampling;
        let bytes = self.bytes.saturating_add(u32::try_from(packet.len()).unwrap_or(u32::MAX));
        if bytes > plan.bytes || self.held.len() >= usize::try_from(plan.packets).unwrap_or(0) {
            self.is_full = true;
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.bytes = bytes;
        let sample = Sample {
            bytes: packet.into(),
            header: peek.header_length,
            cycles: cycles(highest, peek.sequence),
            packet: meta.packet,
        };
        grow(&mut self.held);
        self.held.push(Held { sample, sequence: peek.sequence, timestamp: peek.timestamp });
    }

    /// What is left of it in the facts; `None` when nothing was to be kept.
    pub(super) fn finish(&self, wrapping: Wrapping, kind: Option<MediaKind>) -> Option<Box<Samples>> {
        if self.held.is_empty() && self.cut == 0 {
            return None;
        }
        let mut samples = Samples { left_out: self.left_out, cut: self.cut, ..Samples::default() };
        if wrapping != Wrapping::Zoom {
            samples.packets = self.held.iter().map(|held| held.sample.clone()).collect();
            return Some(Box::new(samples));
        }
        match kind {
            Some(MediaKind::Audio) => sound(self.held.clone(), &mut samples),
            Some(MediaKind::Video | MediaKind::Screen) | None => pictures(self.held.clone(), &mut samples),
            Some(MediaKind::Fec | MediaKind::Rtx) => return None,
        }
        Some(Box::new(samples))
    }
}

/// How often the sequence number has begun anew, for one that lies within half its range of the highest.
fn cycles(highest: u32, sequence: u16) -> i32 {
    let newest = u16::try_from(highest & 0xffff).unwrap_or(0);
    let high = i32::try_from(highest >> 16).unwrap_or(0);
    let ahead = sequence.wrapping_sub(newest) < 0x8000;
    match (ahead, sequence < newest) {
        (true, true) => high.saturating_add(1),
        (false, false) if sequence != newest => high.saturating_sub(1),
        _ => high,
    }
}

fn sound(held: Vec<Held>, samples: &mut Samples) {
    let mut seen: BTreeSet<(u16, u32)> = BTreeSet::new();
    for held in held {
        if !seen.insert((held.sequence, held.timestamp)) {
            continue;
        }
        let unit = rtp::Header::parse(&held.sample.bytes)
            .ok()
            .and_then(|header| unit(header.payload(), LengthField::U16, held.sample.packet));
        match unit {
            Some(unit) => samples.units.push(unit),
            None => samples.incomplete = samples.incomplete.saturating_add(1),
        }
    }
}

/// Fragments of a picture have one timestamp and numbers without a gap.
fn pictures(held: Vec<Held>, samples: &mut Samples) {
    let mut order: Vec<u32> = Vec::new();
    let mut pictures: BTreeMap<u32, BTreeMap<u16, Held>> = BTreeMap::new();
    for held in held {
        let parts = pictures.entry(held.timestamp).or_insert_with(|| {
            order.push(held.timestamp);
            BTreeMap::new()
        });
        parts.entry(held.sequence).or_insert(held);
    }
    for parts in order.iter().filter_map(|timestamp| pictures.remove(timestamp)) {
        picture(parts.into_values().collect(), samples);
    }
}

fn picture(mut parts: Vec<Held>, samples: &mut Samples) {
    // The numbers of a picture may run past 65535: what is far above then comes first.
    let wraps =
        parts.iter().any(|part| part.sequence < 0x4000) && parts.iter().any(|part| part.sequence >= 0xc000);
    if wraps {
        parts.sort_by_key(|part| part.sequence.wrapping_add(0x8000));
    }
    let mut joined: Vec<u8> = Vec::new();
    // The packet that the unit begins in, the number due next, and the packets so far.
    let mut open: Option<(PacketRef, u16, u32)> = None;
    for part in &parts {
        let payload = rtp::Header::parse(&part.sample.bytes).map(|header| header.payload());
        let Some(fragment) = payload.ok().and_then(|payload| parse_fragment(payload).ok()) else {
            samples.incomplete = samples.incomplete.saturating_add(1);
            continue;
        };
        if fragment.starts {
            abandon(open.take(), samples);
            joined.clear();
            open = Some((part.sample.packet, part.sequence, 0));
        }
        let Some((first, due, count)) = open.filter(|(_, due, _)| *due == part.sequence) else {
            abandon(open.take(), samples);
            samples.incomplete = samples.incomplete.saturating_add(1);
            continue;
        };
        joined.extend_from_slice(fragment.data);
        open = Some((first, due.wrapping_add(1), count.saturating_add(1)));
        if joined.len() > MAX_UNIT {
            abandon(open.take(), samples);
        } else if fragment.ends {
            match unit(&joined, LengthField::U32, first) {
                Some(unit) => samples.units.push(unit),
                None => abandon(open, samples),
            }
            open = None;
        }
    }
    abandon(open, samples);
}

fn abandon(open: Option<(PacketRef, u16, u32)>, samples: &mut Samples) {
    if let Some((.., count)) = open {
        samples.incomplete = samples.incomplete.saturating_add(count);
    }
}

fn unit(bytes: &[u8], field: LengthField, packet: PacketRef) -> Option<SealedUnit> {
    let unit = parse_unit(bytes, field).ok()?;
    let shape = match unit.shape {
        Shape::Blocks => UnitShape::Blocks,
        Shape::Aead { nonce, tag } => UnitShape::Aead { nonce, tag: *tag },
        Shape::Other => UnitShape::Other,
    };
    Some(SealedUnit { length: unit.length, shape, ciphertext: unit.ciphertext.into(), packet })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_follow_the_sequence_number_over_its_end_and_back() {
        assert_eq!(cycles(0x0000_fff0, 0xfff0), 0);
        assert_eq!(cycles(0x0001_0003, 0x0001), 1);
        assert_eq!(cycles(0x0001_0003, 0xfffe), 0);
        assert_eq!(cycles(0x0000_0003, 0xfffe), -1);
        assert_eq!(cycles(0x0000_fffe, 0x0001), 1);
    }

    fn held(sequence: u16, timestamp: u32, payload: &[u8]) -> Held {
        let mut bytes = vec![0x80, 98, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        let sample = Sample {
            bytes: bytes.into(),
            header: 12,
            cycles: 0,
            packet: PacketRef::new(0, u64::from(sequence).wrapping_add(1)),
        };
        Held { sample, sequence, timestamp }
    }

    fn cut_up(unit: &[u8], first: u16, timestamp: u32) -> Vec<Held> {
        let parts: Vec<&[u8]> = unit.chunks(10).collect();
        let count = parts.len();
        let fragment = |(index, part): (usize, &&[u8])| {
            let flags = if index == 0 { 0x80 } else { 0 } | if index + 1 == count { 0x40 } else { 0 };
            let number = first.wrapping_add(u16::try_from(index).unwrap());
            held(number, timestamp, &[&[0x1c, flags], *part].concat())
        };
        parts.iter().enumerate().map(fragment).collect()
    }

    #[test]
    fn a_picture_is_put_together_over_the_end_of_its_numbers_whatever_the_order() {
        let unit = [&[0, 0, 0, 30][..], &[7; 32]].concat();
        let mut parts = cut_up(&unit, 0xfffe, 5);
        parts.swap(0, 3);
        parts.extend(cut_up(&unit, 0xfffe, 5));
        let mut samples = Samples::default();
        pictures(parts, &mut samples);
        assert_eq!((samples.units.len(), samples.incomplete), (1, 0));
        assert_eq!(samples.units[0].shape, UnitShape::Blocks);
        assert_eq!(samples.units[0].length, 30);
    }

    #[test]
    fn a_picture_that_lacks_a_fragment_is_counted_and_not_tried() {
        let unit = [&[0, 0, 0, 30][..], &[7; 32]].concat();
        let mut parts = cut_up(&unit, 10, 5);
        parts.remove(1);
        let mut samples = Samples::default();
        pictures(parts, &mut samples);
        assert_eq!((samples.units.len(), samples.incomplete), (0, 3));
    }
}
