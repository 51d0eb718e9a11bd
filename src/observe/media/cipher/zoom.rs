//! What is kept of a stream in Zoom's framing beside what is kept of any: most streams are not, so that it stands apart.

use super::repeat::mark;
use super::table::{self, Place, Table, Unit};
use super::window::Window;
use super::{BLOCK, Whole, ZOOM_SLOTS};
use crate::observe::PacketRef;
use crate::observe::facts::Shapes;
use crate::proto::zoom::Assembler;

/// Shapes of units, and their nonces.
#[derive(Debug)]
pub(super) struct Zoom {
    /// Puts pictures together; sound comes whole.
    pub(super) pictures: Option<Assembler>,
    pub(super) window: Window,
    pub(super) shapes: Shapes,
    pub(super) tails: [u64; BLOCK],
    nonces: Table,
    pub(super) nonces_seen: u64,
    pub(super) nonces_reused: u64,
    pub(super) nonce_packet: Option<PacketRef>,
}

impl Zoom {
    pub(super) fn new(is_sound: bool) -> Self {
        Self {
            pictures: (!is_sound).then(Assembler::default),
            window: Window::default(),
            shapes: Shapes::default(),
            tails: [0; BLOCK],
            nonces: Table::new(ZOOM_SLOTS),
            nonces_seen: 0,
            nonces_reused: 0,
            nonce_packet: None,
        }
    }

    /// Pictures that were begun and not completed.
    pub(super) fn dropped(&self) -> u32 {
        self.pictures.as_ref().map_or(0, Assembler::dropped)
    }

    /// Bytes that a picture which is not complete holds.
    pub(super) fn held(&self) -> usize {
        self.pictures.as_ref().map_or(0, Assembler::held)
    }

    /// Gives up the picture that is being put together.
    pub(super) fn abandon(&mut self) {
        if let Some(pictures) = &mut self.pictures {
            pictures.abandon();
            pictures.let_go();
        }
    }

    /// Counts a unit of whole blocks of which so many bytes were announced.
    pub(super) fn blocks(&mut self, announced: usize) {
        self.shapes.blocks = self.shapes.blocks.saturating_add(1);
        if let Some(count) = self.tails.get_mut(announced % BLOCK) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts a unit that has a nonce; `number` is that of the unit.
    pub(super) fn nonce(&mut self, nonce: &[u8; 12], tag: &[u8; BLOCK], whole: &Whole<'_>, number: u32) {
        self.shapes.aead = self.shapes.aead.saturating_add(1);
        let mut block = [0; BLOCK];
        block.iter_mut().zip(nonce).for_each(|(slot, byte)| *slot = *byte);
        let hash = table::hash(&block);
        if !self.nonces.wants(hash) {
            return;
        }
        self.nonces_seen = self.nonces_seen.saturating_add(1);
        let mark = mark(whole.bytes.len(), tag, tag, &block);
        let unit = Unit { number, mark, at_ms: whole.at_ms };
        let place = Place { unit, position: 0, before: None, after: None };
        let other =
            self.nonces.insert(block, hash, place).is_some_and(|found| found.place.unit.mark != unit.mark);
        if other {
            self.nonces_reused = self.nonces_reused.saturating_add(1);
            self.nonce_packet.get_or_insert(whole.packet);
        }
    }
}
