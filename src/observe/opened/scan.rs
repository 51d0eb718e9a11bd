//! Searches a body, a message or a stream as its pieces come, and says which packet completed each value.

use zeroize::Zeroizing;

use super::find::{self, Found};
use crate::observe::PacketRef;
use crate::proto::http::coding::{Coding, Decoder};

/// Bytes of what came before that are searched again with each piece: the longest value with its name.
const CARRY: usize = 512;
/// Most bytes of a message that are kept to be read as a whole.
const MESSAGE_CAP: usize = 1 << 16;

/// Takes what was found, with the packet that completed it.
pub(super) type Sink<'a> = dyn FnMut(Found, PacketRef) + 'a;

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
        let known = self.carry.len();
        self.carry.extend_from_slice(piece);
        let last = self.last;
        find::text(&self.carry, &mut |found| {
            let packet = if found.end <= known { last } else { packet };
            sink(found, packet);
        });
        let beyond = self.carry.len().saturating_sub(CARRY);
        self.carry.drain(..beyond);
        self.last = packet;
        if self.message.len().saturating_add(piece.len()) > MESSAGE_CAP {
            self.over = true;
        } else if !self.over {
            self.marks.push((self.message.len(), packet));
            self.message.extend_from_slice(piece);
        }
    }

    /// The message is whole: what is no text is searched as a message. `coding_unknown` when it may be coded with brotli,
    /// which has no mark.
    pub(super) fn end(&mut self, coding_unknown: bool, sink: &mut Sink<'_>) {
        if !self.over && !is_text(&self.message) {
            let unfolded = coding_unknown.then(|| brotli(&self.message)).flatten();
            let last = self.last;
            if let Some(body) = unfolded {
                find::text(&body, &mut |found| sink(found, last));
            } else {
                let (message, skipped) = without_grpc(&self.message);
                find::binary(message, &mut |found| {
                    let end = found.end.saturating_add(skipped);
                    let mark = self.marks.iter().rev().find(|(start, _)| *start < end);
                    sink(found, mark.map_or(last, |(_, packet)| *packet));
                });
            }
        }
        *self = Self::default();
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
        let mut out = Zeroizing::new(Vec::new());
        decoder.feed(piece, &mut out);
        self.scan.feed(&out, packet, sink);
    }

    pub(super) fn end(&mut self, sink: &mut Sink<'_>) {
        self.scan.end(self.coding == Coding::Unknown, sink);
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n');
    std::str::from_utf8(bytes).is_ok() && !bytes.iter().any(control)
}

/// What it unfolds to, when that is text.
fn brotli(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::new());
    Decoder::new(Coding::Brotli, bytes).feed(bytes, &mut out);
    (!out.is_empty() && is_text(&out)).then_some(out)
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
