//! Streams of QUIC: the bodies of HTTP/3, or as they are.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::hold::{self, Hold};
use super::scan::Body;
use super::{Kept, Sink};
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::proto::http::coding::Coding;
use crate::proto::http::three;

/// Most streams that are followed at once, both ways.
const STREAMS_CAP: usize = 128;
/// Bit of a stream's number that is set when only one side sends. RFC 9000 section 2.1.
const ONE_WAY: u64 = 2;

/// The streams of one connection.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<(u64, bool), Stream>,
}

struct Stream {
    body: Body,
    state: State,
    /// A frame's head that is not complete.
    head: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum State {
    /// Nothing read yet.
    Begin,
    /// A frame's head comes next.
    Head,
    /// So many bytes of a frame are left; true when they are data.
    Frame(u64, bool),
    /// No HTTP/3.
    Raw,
}

impl Streams {
    pub(super) fn data(&mut self, stream: u64, packet: PacketRef, bytes: &[u8], sink: &mut Sink<'_>) {
        let key = (stream, sink.direction == Direction::Forward);
        if !self.open.contains_key(&key) && self.open.len() >= STREAMS_CAP {
            // The one with the lowest number is the oldest.
            if let Some((_, mut oldest)) = self.open.pop_first() {
                oldest.body.end(sink);
            }
        }
        let state = if stream & ONE_WAY == 0 { State::Begin } else { State::Raw };
        let new = || Stream { body: Body::new(Coding::Unknown), state, head: Zeroizing::default() };
        self.open.entry(key).or_insert_with(new).feed(bytes, packet, sink);
        hold::limit(&mut self.open, sink);
    }

    pub(super) fn bytes(&self) -> usize {
        hold::bytes(&self.open)
    }

    pub(super) fn give_up(&mut self, kept: &mut Kept) {
        for ((_, forward), stream) in &mut self.open {
            stream.give_up(&mut Sink { kept, direction: direction(*forward) });
        }
    }

    pub(super) fn finish(self, kept: &mut Kept) {
        for ((_, forward), mut stream) in self.open {
            stream.body.end(&mut Sink { kept, direction: direction(forward) });
        }
    }
}

const fn direction(is_forward: bool) -> Direction {
    if is_forward { Direction::Forward } else { Direction::Reverse }
}

impl Hold for Stream {
    fn bytes(&self) -> usize {
        self.body.bytes()
    }

    fn is_unfolding(&self) -> bool {
        self.body.is_unfolding()
    }

    fn give_up(&mut self, sink: &mut Sink<'_>) {
        self.body.give_up(sink);
    }
}

impl Stream {
    fn feed(&mut self, mut bytes: &[u8], packet: PacketRef, sink: &mut Sink<'_>) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Raw => {
                    self.body.feed(bytes, packet, sink);
                    return;
                }
                State::Frame(left, is_data) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (own, rest) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
                    if is_data {
                        self.body.feed(own, packet, sink);
                    }
                    let left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                    self.state = if left == 0 { State::Head } else { State::Frame(left, is_data) };
                    rest
                }
                State::Begin | State::Head => self.head(bytes, packet, sink),
            };
        }
    }

    /// Reads a frame's head; what is left of the bytes.
    fn head<'b>(&mut self, bytes: &'b [u8], packet: PacketRef, sink: &mut Sink<'_>) -> &'b [u8] {
        let Some((byte, rest)) = bytes.split_first() else { return &[] };
        self.head.push(*byte);
        let Some((kind, length, _)) = three::parse_header(&self.head) else { return rest };
        // The first frame of a request or response is HEADERS, or one that was made up to be ignored (RFC 9114 section 7.2.8).
        let reserved = kind >= 0x21 && kind.wrapping_sub(0x21) % 0x1f == 0;
        if matches!(self.state, State::Begin) && kind != three::HEADERS && !reserved {
            self.state = State::Raw;
            let head = std::mem::take(&mut self.head);
            self.body.feed(&head, packet, sink);
            return rest;
        }
        self.head.clear();
        self.state = if length == 0 { State::Head } else { State::Frame(length, kind == three::DATA) };
        rest
    }
}
