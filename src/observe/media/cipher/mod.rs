//! What ciphertext gives away without a key, collected while packets pass: repeated blocks, lengths, nonces, first bytes.
//!
//! In: the packets of one RTP stream. Out: [`Cipher`] facts. Nothing is judged here. Second copies, FEC and padded packets
//! are left out; Zoom's pictures are put together first, because the block grid is that of the unit.

mod lengths;
mod look;
mod repeat;
mod table;
mod window;

use crate::observe::PacketRef;
use crate::observe::facts::{Cipher, Cluster, Framing, Shapes};
use crate::proto::rtp::Peek;
use crate::proto::zoom::{Assembler, LengthField, Shape, parse_unit};
use crate::time::Timestamp;
use lengths::residues;
use look::Look;
use repeat::{Booked, Kind, after, before, mark, repeat};
use table::{Place, Table, Unit};
use window::Window;

/// Slots of each table of a stream of Zoom's: 45 kB when full.
const ZOOM_SLOTS: usize = 1024;
/// Slots of each table of another stream: 11 kB when full.
const SLOTS: usize = 256;
/// Slots for the last blocks of a stream whose lengths are those of whole blocks: 90 kB when full.
const LAST_SLOTS: usize = 2048;
/// Different lengths of one residue modulo 16 from which on a stream is taken for whole blocks, and of other residues from
/// which on it is not.
const SAME_RESIDUE: u32 = 3;
const OTHER_RESIDUES: u32 = 4;
/// Units after which lengths may show that blocks need not be compared.
const SETTLING: [u64; 4] = [12, 24, 48, WHOLE];
/// Units that are tested whole before a share of them is.
const ZOOM_WHOLE: u64 = 4096;
const WHOLE: u64 = 128;
/// Of the units after these one in so many is tested whole.
const ZOOM_ONE_IN: u64 = 4;
const ONE_IN: u64 = 16;
/// Bits for different lengths.
const LENGTH_BITS: usize = 2048;
/// Payload type of FEC on every kind of Zoom stream.
const ZOOM_FEC: u8 = 110;
/// Bytes of a block.
const BLOCK: usize = 16;

/// A packet of the stream, its payload cut off from its header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed<'a> {
    pub(super) peek: &'a Peek,
    pub(super) payload: &'a [u8],
    /// It has padding, or a snap length cut it.
    pub(super) is_unfit: bool,
    /// The sequence number was not seen before.
    pub(super) is_new: bool,
    pub(super) timestamp: Timestamp,
    pub(super) packet: PacketRef,
}

/// A whole unit.
#[derive(Debug, Clone, Copy)]
struct Whole<'a> {
    bytes: &'a [u8],
    at_ms: u32,
    media_timestamp: u32,
    packet: PacketRef,
}

/// How the stream's units are cut.
#[derive(Debug)]
enum Cut {
    Payload,
    ZoomSound,
    ZoomPicture(Assembler),
}

/// Collects for one stream.
#[derive(Debug)]
pub(super) struct Collector {
    cut: Cut,
    start: Timestamp,
    window: Window,
    units: u64,
    units_tested: u64,
    excluded: u64,
    copies: u64,
    blocks: u64,
    /// Units of which nothing but the last block was hashed.
    last_only: u64,
    poor_blocks: u64,
    poor_units: u64,
    within_unit: u64,
    shapes: Shapes,
    residues: [u64; 16],
    tails: [u64; 16],
    lengths: Vec<u64>,
    longest: usize,
    /// Lengths have shown that it is no padded block cipher: blocks are not compared any more.
    is_ruled_out: bool,
    /// And beginnings enough were looked at: units are only counted.
    is_settled: bool,
    shorter: u64,
    inner: Table,
    last: Table,
    nonces: Table,
    nonces_seen: u64,
    nonces_reused: u64,
    nonce_packet: Option<PacketRef>,
    clusters: Vec<Cluster>,
    clusters_left_out: u32,
    latest_timestamp: Option<u32>,
    look: Look,
}

impl Collector {
    /// For sound or pictures in Zoom's framing, or for any other stream.
    pub(super) fn new(start: Timestamp, zoom_sound: Option<bool>) -> Self {
        let (cut, slots) = match zoom_sound {
            None => (Cut::Payload, SLOTS),
            Some(true) => (Cut::ZoomSound, ZOOM_SLOTS),
            Some(false) => (Cut::ZoomPicture(Assembler::default()), ZOOM_SLOTS),
        };
        Self {
            cut,
            start,
            window: Window::default(),
            units: 0,
            units_tested: 0,
            excluded: 0,
            copies: 0,
            blocks: 0,
            last_only: 0,
            poor_blocks: 0,
            poor_units: 0,
            within_unit: 0,
            shapes: Shapes::default(),
            residues: [0; 16],
            tails: [0; 16],
            lengths: Vec::new(),
            longest: 0,
            is_ruled_out: false,
            is_settled: false,
            shorter: 0,
            inner: Table::new(slots),
            last: Table::new(slots),
            nonces: Table::new(slots),
            nonces_seen: 0,
            nonces_reused: 0,
            nonce_packet: None,
            clusters: Vec::new(),
            clusters_left_out: 0,
            latest_timestamp: None,
            look: Look::default(),
        }
    }

    /// True when of packets that are new and fit nothing more is wanted than their number.
    pub(super) const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Takes a packet.
    pub(super) fn packet(&mut self, sealed: &Sealed<'_>) {
        let is_left_out = match self.cut {
            Cut::Payload => !sealed.is_new,
            // FEC has numbers of its own under the same source.
            Cut::ZoomSound | Cut::ZoomPicture(_) => {
                sealed.peek.payload_type == ZOOM_FEC || !self.window.is_fresh(sealed.peek.sequence)
            }
        };
        if sealed.is_unfit || is_left_out {
            self.excluded = self.excluded.saturating_add(1);
            return;
        }
        if matches!(self.cut, Cut::Payload) && self.passes(sealed.payload) {
            return;
        }
        let at_ms = u32::try_from(sealed.timestamp.since(self.start).as_millis()).unwrap_or(u32::MAX);
        let whole =
            |bytes| Whole { bytes, at_ms, media_timestamp: sealed.peek.timestamp, packet: sealed.packet };
        match &mut self.cut {
            Cut::Payload => self.payload(&whole(sealed.payload)),
            Cut::ZoomSound => self.zoom(&whole(sealed.payload), LengthField::U16),
            Cut::ZoomPicture(assembler) => {
                let mut taken = std::mem::take(assembler);
                if let Some(unit) = taken.packet(sealed.peek.sequence, sealed.peek.timestamp, sealed.payload)
                {
                    self.zoom(&whole(unit), LengthField::U32);
                }
                self.cut = Cut::ZoomPicture(taken);
            }
        }
    }

    /// Counts a payload whose last block is not among those looked at, and that is not to be tested whole: the path of most.
    #[inline]
    fn passes(&mut self, payload: &[u8]) -> bool {
        let next = self.units.saturating_add(1);
        if self.is_settled {
            self.units = next;
            return true;
        }
        if next <= WHOLE || next & ONE_IN.saturating_sub(1) == 0 {
            return false;
        }
        let last = payload.as_chunks::<BLOCK>().0.last();
        let passes = last.is_none_or(|block| !self.last.wants(table::hash(block)));
        if passes {
            self.units = next;
            self.last_only = self.last_only.saturating_add(u64::from(last.is_some()));
        }
        passes
    }

    fn payload(&mut self, whole: &Whole<'_>) {
        self.units = self.units.saturating_add(1);
        self.length(whole.bytes.len());
        self.look.payload(whole.bytes);
        if SETTLING.contains(&self.units) {
            self.settle();
        }
        if self.is_ruled_out {
            return self.look.body_of(whole.bytes);
        }
        let entire = self.units <= WHOLE || self.units & ONE_IN.saturating_sub(1) == 0;
        self.unit(whole, entire, true);
    }

    /// Decides by the first lengths whether it is worth while to go on: no padded block cipher makes lengths of all residues.
    fn settle(&mut self) {
        let lengths = residues(&self.lengths).map(u32::from);
        let all: u32 = lengths.iter().sum();
        let most = lengths.iter().copied().max().unwrap_or(0);
        if all.saturating_sub(most) >= OTHER_RESIDUES {
            self.is_ruled_out = true;
            self.is_settled = self.units >= WHOLE;
            self.inner.close();
            self.last.close();
        } else if self.units >= WHOLE && most >= SAME_RESIDUE {
            self.last.allow(LAST_SLOTS);
        }
    }

    fn zoom(&mut self, whole: &Whole<'_>, field: LengthField) {
        self.units = self.units.saturating_add(1);
        let Ok(unit) = parse_unit(whole.bytes, field) else {
            self.shapes.other = self.shapes.other.saturating_add(1);
            return;
        };
        match unit.shape {
            Shape::Blocks => {
                self.shapes.blocks = self.shapes.blocks.saturating_add(1);
                if let Some(count) = self.tails.get_mut(unit.length % BLOCK) {
                    *count = count.saturating_add(1);
                }
            }
            Shape::Aead { nonce, tag } => {
                self.shapes.aead = self.shapes.aead.saturating_add(1);
                self.nonce(&nonce, tag, whole);
            }
            Shape::Other => self.shapes.other = self.shapes.other.saturating_add(1),
        }
        self.length(unit.ciphertext.len());
        let entire = self.units <= ZOOM_WHOLE || self.units & ZOOM_ONE_IN.saturating_sub(1) == 0;
        self.unit(&Whole { bytes: unit.ciphertext, ..*whole }, entire, false);
    }

    #[inline]
    fn length(&mut self, length: usize) {
        if length < self.longest {
            self.shorter = self.shorter.saturating_add(1);
        } else {
            self.longest = length;
        }
        if let Some(count) = self.residues.get_mut(length % BLOCK) {
            *count = count.saturating_add(1);
        }
        if self.lengths.is_empty() {
            self.lengths = vec![0; LENGTH_BITS / 64];
        }
        let folded = length % LENGTH_BITS;
        if let Some(word) = self.lengths.get_mut(folded / 64) {
            *word |= 1 << (folded % 64);
        }
    }

    /// Compares the blocks of a unit with those before; only the last one when not `entire`.
    fn unit(&mut self, whole: &Whole<'_>, entire: bool, looks: bool) {
        let (blocks, rest) = whole.bytes.as_chunks::<BLOCK>();
        let Some((last, inner)) = blocks.split_last() else { return };
        let first = blocks.first().unwrap_or(last);
        let middle = blocks.get(blocks.len() / 2).unwrap_or(last);
        let mark = mark(whole.bytes.len(), first, middle, last);
        let number = u32::try_from(self.units).unwrap_or(u32::MAX);
        let position = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let place = Place {
            unit: Unit { number, mark, at_ms: whole.at_ms },
            position: position(inner.len()),
            before: inner.last().map(before),
            after: rest.first().map(|byte| (*byte, 0)),
        };
        let is_unit = inner.is_empty();
        let fresh_clock = self.latest_timestamp != Some(whole.media_timestamp);
        self.latest_timestamp = Some(whole.media_timestamp);
        // Copies of a unit are told by its last block: nothing else of them is looked at.
        if self.book(Kind::Last { is_unit, fresh_clock }, last, place, whole.packet, looks) == Booked::Copy {
            self.copies = self.copies.saturating_add(1);
            return;
        }
        if !entire {
            return;
        }
        self.units_tested = self.units_tested.saturating_add(1);
        let poor = self.poor_blocks;
        for (index, block) in inner.iter().enumerate() {
            self.blocks = self.blocks.saturating_add(1);
            let hash = table::hash(block);
            if !self.inner.wants(hash) {
                continue;
            }
            let side = |index: Option<usize>| index.and_then(|index| blocks.get(index));
            let place = Place {
                position: position(index),
                before: side(index.checked_sub(1)).map(before),
                after: side(index.checked_add(1)).map(after),
                ..place
            };
            if self.book(Kind::Inner, block, place, whole.packet, looks) == Booked::Copy {
                self.copies = self.copies.saturating_add(1);
                return;
            }
        }
        if self.poor_blocks > poor {
            self.poor_units = self.poor_units.saturating_add(1);
        }
    }

    /// Books one block, with its packet.
    fn book(
        &mut self,
        kind: Kind,
        block: &[u8; BLOCK],
        place: Place,
        packet: PacketRef,
        looks: bool,
    ) -> Booked {
        let hash = table::hash(block);
        let table = match kind {
            Kind::Inner => &mut self.inner,
            Kind::Last { .. } => {
                self.blocks = self.blocks.saturating_add(1);
                &mut self.last
            }
        };
        if !table.wants(hash) {
            return Booked::New;
        }
        if look::is_poor(block) {
            self.poor_blocks = self.poor_blocks.saturating_add(1);
            return Booked::New;
        }
        let is_whole = table.is_whole();
        let Some(mut found) = table.insert(*block, hash, place) else {
            // The first bytes are looked at apart.
            if looks && is_whole {
                self.look.body(if place.position == 0 {
                    block.get(look::HEAD..).unwrap_or_default()
                } else {
                    block
                });
            }
            return Booked::New;
        };
        let earlier = found.place;
        if earlier.unit.number == place.unit.number {
            self.within_unit = self.within_unit.saturating_add(1);
            return Booked::Repeat;
        }
        let is_copy = earlier.unit.mark == place.unit.mark && earlier.position == place.position;
        match kind {
            // A unit of one block that comes again under a fresh number and clock is a constant sound, or a copy.
            Kind::Last { is_unit: true, fresh_clock: true } => {}
            _ if is_copy => return Booked::Copy,
            Kind::Inner | Kind::Last { .. } => {}
        }
        repeat(&mut self.clusters, &mut self.clusters_left_out, kind, hash, &place, packet, &mut found);
        Booked::Repeat
    }

    fn nonce(&mut self, nonce: &[u8; 12], tag: &[u8; BLOCK], whole: &Whole<'_>) {
        let mut block = [0; BLOCK];
        block.iter_mut().zip(nonce).for_each(|(slot, byte)| *slot = *byte);
        let hash = table::hash(&block);
        if !self.nonces.wants(hash) {
            return;
        }
        self.nonces_seen = self.nonces_seen.saturating_add(1);
        let unit = Unit {
            number: u32::try_from(self.units).unwrap_or(u32::MAX),
            mark: mark(whole.bytes.len(), tag, tag, &block),
            at_ms: whole.at_ms,
        };
        let place = Place { unit, position: 0, before: None, after: None };
        let other =
            self.nonces.insert(block, hash, place).is_some_and(|found| found.place.unit.mark != unit.mark);
        if other {
            self.nonces_reused = self.nonces_reused.saturating_add(1);
            self.nonce_packet.get_or_insert(whole.packet);
        }
    }

    /// What was collected, with the number of packets that came when it was settled.
    pub(super) fn finish(&self, settled: u32) -> Cipher {
        let dropped = match &self.cut {
            Cut::ZoomPicture(assembler) => assembler.dropped(),
            Cut::Payload | Cut::ZoomSound => 0,
        };
        Cipher {
            framing: if matches!(self.cut, Cut::Payload) { Framing::Payload } else { Framing::ZoomUnit },
            units: self.units.saturating_add(settled.into()),
            units_tested: self.units_tested,
            units_dropped: dropped.into(),
            packets_excluded: self.excluded,
            copies: self.copies,
            blocks: self.blocks.saturating_add(self.last_only),
            poor_blocks: self.poor_blocks,
            poor_units: self.poor_units,
            within_unit: self.within_unit,
            blocks_left_out: self.inner.left_out().saturating_add(self.last.left_out()),
            share: self.inner.share(),
            tail_share: self.last.share(),
            shapes: self.shapes,
            residues: self.residues,
            lengths: residues(&self.lengths),
            shorter: self.shorter,
            tails: self.tails,
            clusters: self.clusters.clone(),
            clusters_left_out: self.clusters_left_out,
            nonces: self.nonces_seen,
            nonces_reused: self.nonces_reused,
            nonce_packet: self.nonce_packet,
            heads: self.look.heads(),
            body: self.look.body_counts(),
        }
    }
}

#[cfg(test)]
mod tests;
