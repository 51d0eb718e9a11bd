//! What ciphertext gives away without a key, collected while packets pass: repeated blocks, lengths, nonces, first bytes.
//!
//! In: the packets of one RTP stream. Out: [`Cipher`] facts. Nothing is judged here. Second copies, FEC and padded packets
//! are left out; Zoom's pictures are put together first, because the block grid is that of the unit.

mod lengths;
mod look;
mod repeat;
mod table;
mod window;
mod zoom;

use crate::observe::PacketRef;
use crate::observe::facts::{Cipher, Cluster, Framing};
use crate::proto::rtp::Peek;
use crate::proto::zoom::{LengthField, Shape, parse_unit};
use crate::time::Timestamp;
use lengths::Lengths;
use look::Look;
use repeat::{Booked, Kind, after, before, mark, repeat};
use table::{Place, Table, Unit};
use zoom::Zoom;

/// Slots of each table of a stream of Zoom's: 30 kB when full.
const ZOOM_SLOTS: usize = 1024;
/// Slots of each table of another stream: 7 kB when full.
const SLOTS: usize = 256;
/// Slots for the last blocks of a stream whose lengths are those of whole blocks: 55 kB when full.
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

/// Collects for one stream.
#[derive(Debug)]
pub(super) struct Collector {
    /// For a stream in Zoom's framing.
    zoom: Option<Box<Zoom>>,
    start: Timestamp,
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
    residues: [u32; BLOCK],
    lengths: Lengths,
    longest: usize,
    /// Lengths have shown that it is no padded block cipher: blocks are not compared any more.
    is_ruled_out: bool,
    /// And beginnings enough were looked at: units are only counted.
    is_settled: bool,
    shorter: u64,
    inner: Table,
    last: Table,
    clusters: Vec<Cluster>,
    clusters_left_out: u32,
    latest_timestamp: Option<u32>,
    look: Look,
}

impl Collector {
    /// For sound or pictures in Zoom's framing, or for any other stream.
    pub(super) fn new(start: Timestamp, zoom_sound: Option<bool>) -> Self {
        let slots = if zoom_sound.is_some() { ZOOM_SLOTS } else { SLOTS };
        Self {
            zoom: zoom_sound.map(|is_sound| Box::new(Zoom::new(is_sound))),
            start,
            units: 0,
            units_tested: 0,
            excluded: 0,
            copies: 0,
            blocks: 0,
            last_only: 0,
            poor_blocks: 0,
            poor_units: 0,
            within_unit: 0,
            residues: [0; BLOCK],
            lengths: Lengths::default(),
            longest: 0,
            is_ruled_out: false,
            is_settled: false,
            shorter: 0,
            inner: Table::new(slots),
            last: Table::new(slots),
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

    /// Bytes that are held for a picture of Zoom's that is not complete.
    pub(super) fn held(&self) -> usize {
        self.zoom.as_deref().map_or(0, Zoom::held)
    }

    /// Gives up the picture that is being put together.
    pub(super) fn abandon(&mut self) {
        if let Some(zoom) = &mut self.zoom {
            zoom.abandon();
        }
    }

    /// Takes a packet.
    pub(super) fn packet(&mut self, sealed: &Sealed<'_>) {
        let is_left_out = match &mut self.zoom {
            None => !sealed.is_new,
            // FEC has numbers of its own under the same source.
            Some(zoom) => sealed.peek.payload_type == ZOOM_FEC || !zoom.window.is_fresh(sealed.peek.sequence),
        };
        if sealed.is_unfit || is_left_out {
            self.excluded = self.excluded.saturating_add(1);
            return;
        }
        if self.zoom.is_none() && self.passes(sealed.payload) {
            return;
        }
        let at_ms = u32::try_from(sealed.timestamp.since(self.start).as_millis()).unwrap_or(u32::MAX);
        let whole =
            |bytes| Whole { bytes, at_ms, media_timestamp: sealed.peek.timestamp, packet: sealed.packet };
        let Some(mut zoom) = self.zoom.take() else { return self.payload(&whole(sealed.payload)) };
        let mut pictures = zoom.pictures.take();
        match &mut pictures {
            None => self.zoom(&mut zoom, &whole(sealed.payload), LengthField::U16),
            Some(assembler) => {
                let unit = assembler.packet(sealed.peek.sequence, sealed.peek.timestamp, sealed.payload);
                if let Some(unit) = unit {
                    self.zoom(&mut zoom, &whole(unit), LengthField::U32);
                }
                assembler.let_go();
            }
        }
        zoom.pictures = pictures;
        self.zoom = Some(zoom);
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
            self.look.body_of(whole.bytes);
            if self.is_settled {
                self.look.conclude();
            }
            return;
        }
        let entire = self.units <= WHOLE || self.units & ONE_IN.saturating_sub(1) == 0;
        self.unit(whole, entire, true);
    }

    /// Decides by the first lengths whether it is worth while to go on: no padded block cipher makes lengths of all residues.
    fn settle(&mut self) {
        let lengths = self.lengths.residues().map(u32::from);
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

    fn zoom(&mut self, zoom: &mut Zoom, whole: &Whole<'_>, field: LengthField) {
        self.units = self.units.saturating_add(1);
        let Ok(unit) = parse_unit(whole.bytes, field) else {
            zoom.shapes.other = zoom.shapes.other.saturating_add(1);
            return;
        };
        match unit.shape {
            Shape::Blocks => zoom.blocks(unit.length),
            Shape::Aead { nonce, tag } => {
                zoom.nonce(&nonce, tag, whole, u32::try_from(self.units).unwrap_or(u32::MAX));
            }
            Shape::Other => zoom.shapes.other = zoom.shapes.other.saturating_add(1),
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
        self.lengths.note(length);
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
        self.inner.expect(inner.len());
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

    /// What was collected, with the number of packets that came when it was settled.
    pub(super) fn finish(&self, settled: u32) -> Cipher {
        let zoom = self.zoom.as_deref();
        Cipher {
            framing: if zoom.is_none() { Framing::Payload } else { Framing::ZoomUnit },
            units: self.units.saturating_add(settled.into()),
            units_tested: self.units_tested,
            units_dropped: zoom.map_or(0, Zoom::dropped).into(),
            packets_excluded: self.excluded,
            copies: self.copies,
            blocks: self.blocks.saturating_add(self.last_only),
            poor_blocks: self.poor_blocks,
            poor_units: self.poor_units,
            within_unit: self.within_unit,
            blocks_left_out: self.inner.left_out().saturating_add(self.last.left_out()),
            share: self.inner.share(),
            tail_share: self.last.share(),
            shapes: zoom.map(|zoom| zoom.shapes).unwrap_or_default(),
            residues: self.residues.map(u64::from),
            lengths: self.lengths.residues(),
            shorter: self.shorter,
            tails: zoom.map(|zoom| zoom.tails).unwrap_or_default(),
            clusters: self.clusters.clone(),
            clusters_left_out: self.clusters_left_out,
            nonces: zoom.map_or(0, |zoom| zoom.nonces_seen),
            nonces_reused: zoom.map_or(0, |zoom| zoom.nonces_reused),
            nonce_packet: zoom.and_then(|zoom| zoom.nonce_packet),
            heads: self.look.heads(),
            body: self.look.body_counts(),
        }
    }
}

#[cfg(test)]
mod tests;
