//! Application data of one connection, unwrapped: HTTP/1.1, HTTP/2 and WebSocket, or as it is.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::hold::{self, Hold};
use super::scan::{Body, Scan};
use super::socket::WebSocket;
use super::{Kept, Sink};
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::proto::http::coding::Coding;
use crate::proto::http::{one, two, websocket};

/// Bytes of a head or frame that are waited for at most.
const BUFFER_CAP: usize = 1 << 17;
/// Bytes by which a protocol can be told.
const TELLING: usize = 24;
/// Most HTTP/2 streams with an open body, each way.
const STREAMS_CAP: usize = 64;

/// Both ways of a connection.
#[derive(Default)]
pub(super) struct Connection {
    ways: [Way; 2],
}

#[derive(Default)]
struct Way {
    buffer: Zeroizing<Vec<u8>>,
    layer: Layer,
    last: PacketRef,
}

#[derive(Default)]
enum Layer {
    #[default]
    Undecided,
    One(One),
    Two(BTreeMap<u32, Inner>),
    WebSocket(Box<WebSocket>),
    /// Nothing that is unwrapped.
    Raw(Box<Scan>),
}

/// What is read next of HTTP/1.1.
enum One {
    Head,
    Length(u64, Box<Body>),
    ChunkLine(Box<Body>),
    Chunk(u64, Box<Body>),
    UntilClose(Box<Body>),
}

/// What a stream of HTTP/2 carries.
enum Inner {
    Body(Box<Body>),
    WebSocket(Box<WebSocket>, Zeroizing<Vec<u8>>),
}

/// What a step did with the bytes at hand.
pub(super) enum Step {
    /// Used so many.
    Took(usize),
    /// Needs more.
    Wait,
    /// They are not what was thought.
    Broken,
    /// Used so many, and both ways go on as WebSocket, compressed if true.
    Upgrade(usize, bool),
}

impl Connection {
    pub(super) fn data(&mut self, packet: PacketRef, bytes: &[u8], sink: &mut Sink<'_>) {
        let direction = sink.direction;
        let [forward, reverse] = &mut self.ways;
        let (own, other) = match direction {
            Direction::Forward => (forward, reverse),
            Direction::Reverse => (reverse, forward),
        };
        own.buffer.extend_from_slice(bytes);
        own.last = packet;
        if matches!(own.layer, Layer::Undecided) {
            own.layer = recognise(&own.buffer, direction, other);
        }
        if let Some(compressed) = own.run(packet, sink) {
            own.layer = Layer::WebSocket(Box::new(WebSocket::new(compressed)));
            other.layer = Layer::WebSocket(Box::new(WebSocket::new(compressed)));
            own.run(packet, sink);
        }
        hold::limit_one(&mut own.layer, sink);
    }

    pub(super) fn bytes(&self) -> usize {
        self.ways.iter().fold(0, |sum, way| sum.saturating_add(way.layer.bytes()))
    }

    pub(super) fn give_up(&mut self, kept: &mut Kept) {
        for (way, direction) in self.ways.iter_mut().zip([Direction::Forward, Direction::Reverse]) {
            way.layer.give_up(&mut Sink { kept, direction });
        }
    }

    pub(super) fn finish(mut self, kept: &mut Kept) {
        for (way, direction) in self.ways.iter_mut().zip([Direction::Forward, Direction::Reverse]) {
            let sink = &mut Sink { kept, direction };
            let rest = std::mem::take(&mut way.buffer);
            let mut scan = Scan::default();
            scan.feed(&rest, way.last, sink);
            scan.end(true, sink);
            match &mut way.layer {
                Layer::One(
                    One::Length(_, body) | One::ChunkLine(body) | One::Chunk(_, body) | One::UntilClose(body),
                ) => body.end(sink),
                Layer::Two(streams) => streams.values_mut().for_each(|inner| inner.end(sink)),
                Layer::Undecided | Layer::One(One::Head) | Layer::WebSocket(_) | Layer::Raw(_) => {}
            }
        }
    }
}

fn recognise(bytes: &[u8], direction: Direction, other: &Way) -> Layer {
    let settings = two::Header::parse(bytes).is_some_and(|(header, _)| {
        header.kind == two::SETTINGS && header.stream == 0 && header.length % 6 == 0
    });
    if bytes.starts_with(two::PREFACE)
        || (direction == Direction::Reverse && settings)
        || (matches!(other.layer, Layer::Two(_)) && settings)
    {
        return Layer::Two(BTreeMap::new());
    }
    if one::probe(bytes) {
        return Layer::One(One::Head);
    }
    let may_become = two::PREFACE.starts_with(bytes) || bytes.len() < 9;
    if may_become && bytes.len() < TELLING { Layer::Undecided } else { Layer::Raw(Box::default()) }
}

impl Way {
    /// Reads what is at hand; true or false when both ways go on as WebSocket.
    fn run(&mut self, packet: PacketRef, sink: &mut Sink<'_>) -> Option<bool> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0_usize;
        let mut upgrade = None;
        while let Some(bytes) = buffer.get(at..).filter(|bytes| !bytes.is_empty()) {
            match self.layer.step(bytes, packet, sink) {
                Step::Took(taken) => at = at.saturating_add(taken.max(1)),
                Step::Wait => break,
                Step::Broken => self.layer = Layer::Raw(Box::default()),
                Step::Upgrade(taken, compressed) => {
                    at = at.saturating_add(taken.max(1));
                    upgrade = Some(compressed);
                    break;
                }
            }
        }
        self.buffer.extend_from_slice(buffer.get(at..).unwrap_or_default());
        if self.buffer.len() > BUFFER_CAP {
            self.layer = Layer::Raw(Box::default());
            return self.run(packet, sink);
        }
        upgrade
    }
}

impl Layer {
    fn step(&mut self, bytes: &[u8], packet: PacketRef, sink: &mut Sink<'_>) -> Step {
        match self {
            Self::Undecided => Step::Wait,
            Self::One(state) => state.step(bytes, packet, sink),
            Self::Two(streams) => frame(streams, bytes, packet, sink),
            Self::WebSocket(socket) => socket.step(bytes, packet, sink),
            Self::Raw(scan) => {
                scan.feed(bytes, packet, sink);
                // Where messages end is not known: a record is taken for one.
                let mut record = Scan::default();
                record.feed(bytes, packet, sink);
                record.end(false, sink);
                Step::Took(bytes.len())
            }
        }
    }
}

impl Hold for Layer {
    fn bytes(&self) -> usize {
        match self {
            Self::Undecided | Self::One(One::Head) => 0,
            Self::One(
                One::Length(_, body) | One::ChunkLine(body) | One::Chunk(_, body) | One::UntilClose(body),
            ) => body.bytes(),
            Self::Two(streams) => hold::bytes(streams),
            Self::WebSocket(socket) => socket.bytes(),
            Self::Raw(scan) => scan.bytes(),
        }
    }

    fn is_unfolding(&self) -> bool {
        false
    }

    fn give_up(&mut self, sink: &mut Sink<'_>) {
        match self {
            Self::Undecided | Self::One(One::Head) => {}
            Self::One(
                One::Length(_, body) | One::ChunkLine(body) | One::Chunk(_, body) | One::UntilClose(body),
            ) => body.give_up(sink),
            Self::Two(streams) => streams.values_mut().for_each(|inner| inner.give_up(sink)),
            Self::WebSocket(socket) => socket.give_up(sink),
            // It has no messages; each record was read as one.
            Self::Raw(scan) => scan.give_up(sink),
        }
    }
}

impl One {
    fn step(&mut self, bytes: &[u8], packet: PacketRef, sink: &mut Sink<'_>) -> Step {
        match self {
            Self::Head => self.head(bytes, packet, sink),
            Self::Length(left, body) | Self::Chunk(left, body) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                body.feed(bytes.get(..taken).unwrap_or_default(), packet, sink);
                *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                if *left == 0 {
                    *self = match std::mem::replace(self, Self::Head) {
                        Self::Chunk(_, body) => Self::ChunkLine(body),
                        Self::Length(_, mut body) => {
                            body.end(sink);
                            Self::Head
                        }
                        other @ (Self::Head | Self::ChunkLine(_) | Self::UntilClose(_)) => other,
                    };
                }
                Step::Took(taken)
            }
            Self::ChunkLine(_) => self.chunk_line(bytes, sink),
            Self::UntilClose(body) => {
                body.feed(bytes, packet, sink);
                Step::Took(bytes.len())
            }
        }
    }

    fn head(&mut self, bytes: &[u8], packet: PacketRef, sink: &mut Sink<'_>) -> Step {
        // Between messages a line may be empty (RFC 9112 section 2.2).
        if bytes.starts_with(b"\r\n") {
            return Step::Took(2);
        }
        let head = match one::parse_head(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return Step::Wait,
            Err(_) => return Step::Broken,
        };
        let mut scan = Scan::default();
        scan.feed(bytes.get(..head.length).unwrap_or_default(), packet, sink);
        let body = || Box::new(Body::new(head.coding));
        *self = match head.body {
            one::Body::None => Self::Head,
            one::Body::Length(length) => Self::Length(length, body()),
            one::Body::Chunked => Self::ChunkLine(body()),
            one::Body::UntilClose => Self::UntilClose(body()),
            one::Body::WebSocket(compressed) => return Step::Upgrade(head.length, compressed),
        };
        Step::Took(head.length)
    }

    fn chunk_line(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Step {
        if bytes.starts_with(b"\r\n") {
            return Step::Took(2);
        }
        let (line, length) = match one::parse_chunk(bytes) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Step::Wait,
            Err(_) => return Step::Broken,
        };
        if let Self::ChunkLine(body) = std::mem::replace(self, Self::Head) {
            *self = if length == 0 {
                let mut body = body;
                body.end(sink);
                Self::Head
            } else {
                Self::Chunk(length, body)
            };
        }
        Step::Took(line)
    }
}

/// Reads one frame of HTTP/2.
fn frame(streams: &mut BTreeMap<u32, Inner>, bytes: &[u8], packet: PacketRef, sink: &mut Sink<'_>) -> Step {
    if bytes.starts_with(two::PREFACE) {
        return Step::Took(two::PREFACE.len());
    }
    let Some((header, head)) = two::Header::parse(bytes) else { return Step::Wait };
    let whole = head.saturating_add(header.length);
    if whole > BUFFER_CAP {
        return Step::Broken;
    }
    let Some(payload) = bytes.get(head..whole) else { return Step::Wait };
    if header.kind == two::DATA {
        let Ok(data) = two::data(header.flags, payload) else { return Step::Broken };
        if streams.contains_key(&header.stream) || streams.len() < STREAMS_CAP {
            let inner = streams.entry(header.stream).or_insert_with(|| Inner::of(data, sink.direction));
            inner.feed(data, packet, sink);
            hold::limit(streams, sink);
        }
    }
    if (header.ends_stream() || header.kind == two::RST_STREAM)
        && let Some(mut inner) = streams.remove(&header.stream)
    {
        inner.end(sink);
    }
    Step::Took(whole)
}

impl Inner {
    /// What the first data of a stream shows: no text begins as a frame of WebSocket does (RFC 8441).
    fn of(data: &[u8], direction: Direction) -> Self {
        let masked = direction == Direction::Forward;
        match websocket::Header::parse(data) {
            Ok(Some((header, _)))
                if data.first().is_some_and(|first| first & 0x80 != 0 || (1..=2).contains(first))
                    && header.mask.is_some() == masked
                    && matches!(header.opcode, 1 | 2) =>
            {
                Self::WebSocket(Box::new(WebSocket::new(true)), Zeroizing::default())
            }
            _ => Self::Body(Box::new(Body::new(Coding::Unknown))),
        }
    }

    fn feed(&mut self, data: &[u8], packet: PacketRef, sink: &mut Sink<'_>) {
        match self {
            Self::Body(body) => body.feed(data, packet, sink),
            Self::WebSocket(socket, buffer) => {
                buffer.extend_from_slice(data);
                let mut at = 0_usize;
                let mut is_broken = false;
                while let Some(bytes) = buffer.get(at..).filter(|bytes| !bytes.is_empty()) {
                    match socket.step(bytes, packet, sink) {
                        Step::Took(taken) => at = at.saturating_add(taken),
                        Step::Wait => break,
                        Step::Broken | Step::Upgrade(..) => {
                            is_broken = true;
                            break;
                        }
                    }
                }
                let rest = Zeroizing::new(buffer.get(at..).unwrap_or_default().to_vec());
                if is_broken {
                    // It was no WebSocket, or a piece is missing: the rest is searched as it is.
                    let mut body = Box::new(Body::new(Coding::Identity));
                    body.feed(&rest, packet, sink);
                    *self = Self::Body(body);
                } else {
                    *buffer = rest;
                }
            }
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        if let Self::Body(body) = self {
            body.end(sink);
        }
    }
}

impl Hold for Inner {
    fn bytes(&self) -> usize {
        match self {
            Self::Body(body) => body.bytes(),
            // Of the next frame's head, some bytes may wait.
            Self::WebSocket(socket, _) => socket.bytes(),
        }
    }

    fn is_unfolding(&self) -> bool {
        match self {
            Self::Body(body) => body.is_unfolding(),
            Self::WebSocket(socket, _) => socket.is_unfolding(),
        }
    }

    fn give_up(&mut self, sink: &mut Sink<'_>) {
        match self {
            Self::Body(body) => body.give_up(sink),
            Self::WebSocket(socket, _) => socket.give_up(sink),
        }
    }
}
