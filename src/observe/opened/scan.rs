//! Searches a body, a message or a stream as its pieces come, and says which packet completed each value.

use zeroize::Zeroizing;

use super::Sink;
use super::find;
use super::hold::Hold;
use crate::observe::PacketRef;
use crate::proto::http::coding::{Coding, Decoder};

/// Bytes of what came before that are searched again with each piece: the longest value with its name.
const CARRY: usize = 512;
/// Most bytes of a message that are kept to be read as a whole.
const MESSAGE_CAP: usize = 1 << 16;
/// Most bytes that are searched at once.
const PIECE: usize = 1 << 14;

/// Bytes that belong together.
#[derive(Default)]
pub(super) struct Scan {
    /// The end of what has been searched.
    carry: Zeroizing<Vec<u8>>,
    last: PacketRef,
    /// The message so far, as long as it fits.
    message: Zeroizing<Vec<u8>>,
    /// Where in `message` each packet's bytes begin.
    marks: Vec<(usize, PacketRef)>,
    over: bool,
}

impl Scan {
    /// Searches a piece.
    pub(super) fn feed(&mut self, piece: &[u8], packet: PacketRef, sink: &mut Sink<'_>) {
        piece.chunks(PIECE).for_each(|piece| self.piece(piece, packet, sink));
    }

    fn piece(&mut self, piece: &[u8], packet: PacketRef, sink: &mut Sink<'_>) {
        let known = self.carry.len();
        self.carry.extend_from_slice(piece);
        let last = self.last;
        find::text(&self.carry, &mut |found| {
            let packet = if found.end <= known { last } else { packet };
            sink.take(found, packet);
        });
        let beyond = self.carry.len().saturating_sub(CARRY);
        if beyond > 0 {
            self.carry = Zeroizing::new(self.carry.get(beyond..).unwrap_or_default().to_vec());
        }
        self.last = packet;
        if self.message.len().saturating_add(piece.len()) > MESSAGE_CAP {
            self.pass_over();
        } else if !self.over {
            if self.marks.last().is_none_or(|(_, marked)| *marked != packet) {
                self.marks.push((self.message.len(), packet));
            }
            self.message.extend_from_slice(piece);
        }
    }

    /// What is being read is not to be read as a message.
    fn pass_over(&mut self) {
        self.over = true;
        self.message = Zeroizing::default();
        self.marks = Vec::new();
    }

    /// The message is whole: what is no text is searched as a message. `coding_unknown` when it may be coded with brotli,
    /// which has no mark.
    pub(super) fn end(&mut self, coding_unknown: bool, sink: &mut Sink<'_>) {
        if !self.over && !is_text(&self.message) {
            let last = self.last;
            let unfolded = coding_unknown.then(|| brotli(&self.message, last, sink)).flatten();
            if let Some(body) = unfolded {
                let mut scan = Self { over: true, ..Self::default() };
                scan.feed(&body, last, sink);
            } else {
                let (message, skipped) = without_grpc(&self.message);
                find::binary(message, &mut |found| {
                    let end = found.end.saturating_add(skipped);
                    let mark = self.marks.iter().rev().find(|(start, _)| *start < end);
                    sink.take(found, mark.map_or(last, |(_, packet)| *packet));
                });
            }
        }
        *self = Self::default();
    }

    /// The packet that was read last.
    pub(super) const fn last(&self) -> PacketRef {
        self.last
    }

    /// Bytes of memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        let marks = self.marks.capacity().saturating_mul(size_of::<(usize, PacketRef)>());
        self.carry.capacity().saturating_add(self.message.capacity()).saturating_add(marks)
    }

    /// Ends what there is, so that it holds nothing; what follows belongs to no message.
    pub(super) fn give_up(&mut self, sink: &mut Sink<'_>) {
        self.end(false, sink);
        self.over = true;
    }
}

/// A body that may be coded.
pub(super) struct Body {
    coding: Coding,
    decoder: Option<Decoder>,
    scan: Scan,
}

impl Body {
    pub(super) fn new(coding: Coding) -> Self {
        Self { coding, decoder: None, scan: Scan::default() }
    }

    pub(super) fn feed(&mut self, piece: &[u8], packet: PacketRef, sink: &mut Sink<'_>) {
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(self.coding, piece));
        unfold(decoder, &mut self.scan, piece, packet, sink);
    }

    pub(super) fn end(&mut self, sink: &mut Sink<'_>) {
        self.scan.end(self.coding == Coding::Unknown, sink);
    }
}

impl Hold for Body {
    fn bytes(&self) -> usize {
        self.decoder.as_ref().map_or(0, Decoder::bytes).saturating_add(self.scan.bytes())
    }

    fn is_unfolding(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::is_unfolding)
    }

    fn give_up(&mut self, sink: &mut Sink<'_>) {
        if self.bytes() > 0 {
            sink.cut(self.scan.last);
        }
        if let Some(decoder) = self.decoder.as_mut().filter(|decoder| decoder.is_unfolding()) {
            decoder.close();
        }
        self.scan.give_up(sink);
    }
}

/// Searches what a piece comes to.
pub(super) fn unfold(
    decoder: &mut Decoder,
    scan: &mut Scan,
    piece: &[u8],
    packet: PacketRef,
    sink: &mut Sink<'_>,
) {
    let is_coded = decoder.is_unfolding();
    if is_coded && !sink.has_room() {
        decoder.close();
        sink.cut(packet);
        return;
    }
    let is_within = decoder.feed(piece, &mut |part| {
        scan.feed(part, packet, sink);
        !is_coded || sink.unfolded(part.len())
    });
    if !is_within {
        sink.cut(packet);
    }
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && is_printable(bytes)
}

fn is_printable(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| *byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n'))
}

/// What it unfolds to, when that is text.
fn brotli(bytes: &[u8], packet: PacketRef, sink: &mut Sink<'_>) -> Option<Zeroizing<Vec<u8>>> {
    if !sink.has_room() {
        return None;
    }
    let mut out = Zeroizing::new(Vec::new());
    let mut has_room = true;
    let is_within = Decoder::new(Coding::Brotli, bytes).feed(bytes, &mut |part| {
        out.extend_from_slice(part);
        has_room = sink.unfolded(part.len());
        has_room && is_printable(part)
    });
    let found = (!out.is_empty() && is_text(&out)).then_some(out);
    if !has_room || (!is_within && found.is_some()) {
        sink.cut(packet);
    }
    found
}

/// A message of gRPC without the five bytes ahead of it, and how many were left out.
fn without_grpc(message: &[u8]) -> (&[u8], usize) {
    if let [0 | 1, a, b, c, d, rest @ ..] = message
        && usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])) == Ok(rest.len())
    {
        return (rest, 5);
    }
    (message, 0)
}
