//! TCP: the beginning of each direction is reassembled and read until it has said what it is.

use super::PacketRef;
use super::datagram::{Datagrams, Meta, is_stun_port};
use super::facts::{Facts, Protocol, Sampling, Wrapping};
use super::handshake;
use super::sealed::TlsOpening;
use super::shake::Shake;
use crate::bytes::Probe;
use crate::flow::reassembly::{Chunk, Limits, Stream};
use crate::flow::{Direction, GivenUp, Wait};
use crate::proto::stun::tcp::{self as framing, Detection, Frame, Framing};
use crate::proto::tls;
use crate::proto::tls::keylog::KeyLog;
use crate::proto::{dns, sip};
use crate::time::Timestamp;
use std::sync::Arc;

mod secure;

use secure::{begin_late, give_up, read_sealed, read_tls};

/// Bytes of one direction that are buffered at most while a message is incomplete.
const BUFFER_CAP: usize = 1 << 17;

/// What one direction has turned out to be.
#[derive(Debug)]
enum Kind {
    Unknown,
    Tls(Box<tls::HandshakeAssembler>),
    Dns,
    Sip,
    Framed(Framing),
    /// TLS records that are opened with a key log, or wait for the other side's hello.
    Sealed,
    Done,
}

#[derive(Debug)]
struct Half {
    stream: Stream,
    buffer: Vec<u8>,
    kind: Kind,
    tls: handshake::LazySide,
    lost: bool,
}

impl Half {
    fn new() -> Self {
        Self {
            stream: Stream::new(Limits::default()),
            buffer: Vec::new(),
            kind: Kind::Unknown,
            tls: handshake::LazySide::default(),
            lost: false,
        }
    }

    fn close(&mut self) {
        self.kind = Kind::Done;
        self.buffer = Vec::new();
        self.stream.close();
    }
}

/// What a TCP segment brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    pub(super) acknowledgment: Option<u32>,
    pub(super) syn: bool,
    pub(super) payload: &'a [u8],
    pub(super) declared_len: usize,
    pub(super) ports: [u16; 2],
    pub(super) direction: Direction,
    /// Its number in the run.
    pub(super) number: u64,
    pub(super) packet: PacketRef,
    pub(super) timestamp: Timestamp,
    pub(super) key_log: Option<&'a Arc<KeyLog>>,
    pub(super) sampling: Sampling,
}

/// Reads the beginning of both directions of one TCP connection.
#[derive(Debug)]
pub(super) struct StreamWork {
    halves: [Half; 2],
    inner: Inner,
    shake: Shake,
    /// The packet from which on bytes wait behind a hole, by its number in the run; meaningful while any do.
    waits_since: (u64, PacketRef),
}

/// What reads that which the stream carries.
#[derive(Debug, Default)]
struct Inner {
    /// Datagrams, where it carries them.
    datagrams: Option<Box<Datagrams>>,
    /// TLS, where a key log opens it.
    opening: Option<Box<TlsOpening>>,
}

impl StreamWork {
    pub(super) fn new() -> Self {
        Self {
            halves: [Half::new(), Half::new()],
            inner: Inner::default(),
            shake: Shake::default(),
            waits_since: (0, PacketRef::default()),
        }
    }

    /// Takes a segment. False when nothing more is to be learned and the work can be dropped.
    pub(super) fn segment(&mut self, facts: &mut Facts, segment: &Segment<'_>) -> bool {
        if let Some(answers) = self.shake.segment(segment) {
            facts.answers = Some(Box::new(answers));
        }
        if self.behind_holes() == 0 {
            self.waits_since = (segment.number, segment.packet);
        }
        let [forward, reverse] = &mut self.halves;
        let (own, other) = match segment.direction {
            Direction::Forward => (forward, reverse),
            Direction::Reverse => (reverse, forward),
        };
        if !matches!(own.kind, Kind::Done) {
            let mut lost = false;
            let buffer = &mut own.buffer;
            own.stream.segment(
                segment.sequence,
                segment.syn,
                segment.payload,
                segment.declared_len,
                &mut |chunk| match chunk {
                    Chunk::Data(data) if !lost => buffer.extend_from_slice(data),
                    Chunk::Data(_) => {}
                    Chunk::Gap(_) => lost = true,
                },
            );
            own.lost |= lost;
            read(own, other, &mut self.inner, facts, segment, segment.direction);
        }
        // What the peer acknowledges and the capture lacks will not come any more.
        if let Some(acknowledgment) = segment.acknowledgment
            && !matches!(other.kind, Kind::Done)
        {
            let mut lost = false;
            let buffer = &mut other.buffer;
            other.stream.acknowledged(acknowledgment, &mut |chunk| match chunk {
                Chunk::Data(data) if !lost => buffer.extend_from_slice(data),
                Chunk::Data(_) => {}
                Chunk::Gap(_) => lost = true,
            });
            if lost {
                other.lost = true;
                read(other, own, &mut self.inner, facts, segment, segment.direction.flipped());
            }
        }
        if let Some(opening) = &mut self.inner.opening {
            opening.seen(segment.number);
        }
        self.goes_on()
    }

    /// True while there is something to be learned.
    fn goes_on(&self) -> bool {
        !self.halves.iter().all(|half| matches!(half.kind, Kind::Done))
    }

    /// Bytes that wait behind holes, in either direction.
    #[inline]
    fn behind_holes(&self) -> usize {
        let [forward, reverse] = &self.halves;
        forward.stream.waiting().saturating_add(reverse.stream.waiting())
    }

    /// What waits behind holes, in pictures of the datagrams that it carries, and in bodies of what was opened.
    #[inline]
    pub(super) fn waiting(&self) -> Option<Wait> {
        let bytes = self.behind_holes();
        let holes = (bytes > 0).then_some(Wait { since: self.waits_since.0, bytes });
        let pictures = self.inner.datagrams.as_ref().and_then(|datagrams| datagrams.waiting());
        let bodies = self.inner.opening.as_ref().and_then(|opening| opening.waiting());
        [holes, pictures, bodies].into_iter().flatten().reduce(Wait::and)
    }

    /// Gives up all holes behind which bytes wait, or the oldest picture where that has waited longer, or all bodies where nothing else
    /// waits. How many holes and pictures, and whether the work goes on.
    pub(super) fn give_up(&mut self, facts: &mut Facts) -> (GivenUp, bool) {
        let mut given_up = GivenUp::default();
        let is_holed = self.behind_holes() > 0;
        if let Some(datagrams) = &mut self.inner.datagrams
            && let Some(picture) = datagrams.waiting()
            && (!is_holed || picture.since < self.waits_since.0)
        {
            given_up.pictures = datagrams.give_up();
            return (given_up, self.goes_on());
        }
        if !is_holed && let Some(opening) = &mut self.inner.opening {
            opening.give_up();
        }
        for half in &mut self.halves {
            // A hole comes first, so that nothing of what is delivered can be aligned any more.
            if half.stream.give_up(&mut |_| {}) {
                given_up.holes = given_up.holes.saturating_add(1);
                lose(half, &mut self.inner, facts, self.waits_since.1);
            }
        }
        (given_up, self.goes_on())
    }

    /// Writes down the streams that were framed in this one, and what was opened.
    pub(super) fn finish(self, facts: &mut Facts) {
        let [forward, reverse] = &self.halves;
        give_up(forward, reverse, &self.inner, facts);
        if let Some(datagrams) = self.inner.datagrams {
            datagrams.finish(facts);
        }
        if let Some(opening) = self.inner.opening {
            opening.finish(facts);
        }
    }

    /// Writes down what is known by now of a flow that goes on, but for what was opened.
    pub(super) fn tell(&self, facts: &mut Facts) {
        if let Some(datagrams) = &self.inner.datagrams {
            datagrams.tell(facts);
        }
    }

    /// True when the datagrams in it are those of a call.
    pub(super) fn is_call(&self) -> bool {
        self.inner.datagrams.as_ref().is_some_and(|datagrams| datagrams.is_call())
    }
}

/// `direction` is that of `own`, which need not be the segment's.
fn read(
    own: &mut Half,
    other: &mut Half,
    inner: &mut Inner,
    facts: &mut Facts,
    segment: &Segment<'_>,
    direction: Direction,
) {
    if matches!(own.kind, Kind::Unknown) {
        recognise(own, other, facts, segment);
    }
    match &mut own.kind {
        Kind::Tls(_) => {
            read_tls(own, other, inner, facts, segment, direction);
            read_sealed(own, inner, facts, segment.packet, direction);
            read_sealed(other, inner, facts, segment.packet, direction.flipped());
        }
        Kind::Sealed => {
            begin_late(own, other, inner, facts, segment.key_log, direction);
            read_sealed(own, inner, facts, segment.packet, direction);
            read_sealed(other, inner, facts, segment.packet, direction.flipped());
        }
        Kind::Dns => read_dns(own, facts, segment.packet),
        Kind::Sip => read_sip(own, facts, segment.packet),
        Kind::Framed(_) => read_framed(own, &mut inner.datagrams, facts, segment),
        Kind::Unknown | Kind::Done => {}
    }
    if own.lost {
        lose(own, inner, facts, segment.packet);
    }
    if own.buffer.len() > BUFFER_CAP && matches!(own.kind, Kind::Sealed) {
        give_up(own, other, inner, facts);
        own.close();
    } else if own.buffer.len() > BUFFER_CAP {
        facts.anomaly("tcp_message_over_cap", segment.packet);
        own.close();
    }
}

/// The capture lacks a piece: what follows cannot be aligned any more.
fn lose(own: &mut Half, inner: &mut Inner, facts: &mut Facts, packet: PacketRef) {
    own.lost = true;
    if matches!(own.kind, Kind::Sealed) {
        if let Some(opening) = &mut inner.opening {
            opening.gap();
        }
        own.close();
    } else if !matches!(own.kind, Kind::Done) {
        facts.anomaly("tcp_gap_in_handshake", packet);
        own.close();
    }
}

/// Cuts messages out of the stream and reads each as a datagram.
fn read_framed(own: &mut Half, inner: &mut Option<Box<Datagrams>>, facts: &mut Facts, segment: &Segment<'_>) {
    let Kind::Framed(framing) = own.kind else { return };
    let inner = inner.get_or_insert_with(|| Box::new(Datagrams::new()));
    if let Some(key_log) = segment.key_log {
        inner.know(key_log);
    }
    let meta = Meta {
        direction: segment.direction,
        ports: segment.ports,
        packet: segment.packet,
        number: segment.number,
        timestamp: segment.timestamp,
        wrapping: Wrapping::Tcp,
        cut: 0,
        sampling: segment.sampling,
    };
    let mut consumed = 0_usize;
    while let Some(rest) = own.buffer.get(consumed..).filter(|rest| !rest.is_empty()) {
        match framing::next_frame(framing, rest) {
            Ok(Some((frame, taken))) => {
                match frame {
                    Frame::Stun(bytes) | Frame::Packet(bytes) => inner.payload(facts, &meta, bytes),
                    Frame::ChannelData(channel) => inner.channel_data(facts, &meta, &channel),
                    Frame::MsMux(frame) => inner.payload(facts, &meta, frame.payload),
                }
                consumed = consumed.saturating_add(taken.max(1));
            }
            Ok(None) => break,
            Err(error) => {
                facts.anomaly(error.field(), segment.packet);
                own.close();
                return;
            }
        }
    }
    own.buffer.drain(..consumed.min(own.buffer.len()));
}

/// Decides what the first bytes of a direction are.
fn recognise(own: &mut Half, other: &Half, facts: &mut Facts, segment: &Segment<'_>) {
    let bytes = own.buffer.as_slice();
    if bytes.is_empty() {
        return;
    }
    if segment.ports.contains(&53) {
        own.kind = Kind::Dns;
        return;
    }
    if tls::probe(bytes) == Probe::Yes
        || (matches!(other.kind, Kind::Tls(_)) && tls::probe(bytes) != Probe::No)
    {
        own.kind = Kind::Tls(Box::default());
        return;
    }
    if sip::probe(bytes) == Probe::Yes {
        own.kind = Kind::Sip;
        return;
    }
    match framing::detect(bytes) {
        Detection::Found(framing) => {
            own.kind = Kind::Framed(framing);
            return;
        }
        Detection::NotMine
            if segment.ports.iter().any(|port| is_stun_port(*port)) && framing::resumes(bytes) =>
        {
            own.kind = Kind::Framed(Framing::Native);
            return;
        }
        Detection::NeedMore | Detection::NotMine => {}
    }
    // TLS may begin after a proxy's handshake or after STARTTLS.
    if let Some(offset) = tls::find_hello(bytes) {
        own.buffer.drain(..offset.min(own.buffer.len()));
        own.kind = Kind::Tls(Box::default());
        facts.other = None;
        return;
    }
    if is_http(bytes) {
        facts.other = Some(Protocol::Http);
    } else if bytes.starts_with(b"SSH-") {
        facts.other = Some(Protocol::Ssh);
    }
    let tunnels = bytes.starts_with(b"CONNECT ") || bytes.starts_with(b"HTTP/1.");
    if own.buffer.len() >= tls::HELLO_SEARCH_LIMIT || (facts.other.is_some() && !tunnels) {
        own.close();
    }
}

fn is_http(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PATCH ", b"HTTP/1."];
    METHODS.iter().any(|method| bytes.starts_with(method))
}

fn read_dns(own: &mut Half, facts: &mut Facts, packet: PacketRef) {
    let mut read = 0;
    loop {
        let waiting = own.buffer.get(read..).unwrap_or_default();
        match dns::split_tcp(waiting) {
            // What was picked up in the middle begins with no length.
            Ok((message, _)) if dns::probe(message) == Probe::No => {
                facts.anomaly("dns message", packet);
                own.close();
                return;
            }
            Ok((message, following)) => {
                super::names::message(facts, message, packet);
                read = own.buffer.len().saturating_sub(following.len());
            }
            Err(error) if error.is_truncated() => break,
            Err(error) => {
                facts.anomaly(error.field(), packet);
                own.close();
                return;
            }
        }
    }
    own.buffer.drain(..read);
}

fn read_sip(own: &mut Half, facts: &mut Facts, packet: PacketRef) {
    loop {
        match sip::message_length(&own.buffer) {
            Ok(Some(length)) if length <= own.buffer.len() && length > 0 => {
                if let Some(message) = own.buffer.get(..length) {
                    super::call::message(facts, message, packet);
                }
                own.buffer.drain(..length);
            }
            Ok(_) => return,
            Err(error) => {
                facts.anomaly(error.field(), packet);
                own.close();
                return;
            }
        }
        if own.buffer.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A direction of a connection to a resolver, segment after segment.
    fn told(segments: &[&[u8]]) -> Facts {
        let (mut work, mut facts, mut sequence) = (StreamWork::new(), Facts::default(), 1);
        for payload in segments {
            let segment = Segment {
                sequence,
                acknowledgment: None,
                syn: false,
                payload,
                declared_len: payload.len(),
                ports: [40_000, 53],
                direction: Direction::Forward,
                number: 1,
                packet: PacketRef::new(0, 1),
                timestamp: Timestamp::from_secs_nanos(1, 0),
                key_log: None,
                sampling: Sampling::default(),
            };
            work.segment(&mut facts, &segment);
            sequence += u32::try_from(payload.len()).unwrap();
        }
        work.finish(&mut facts);
        facts
    }

    /// A question (RFC 1035 section 4.1) with its length before it (section 4.2.2).
    fn question(host: u8) -> Vec<u8> {
        let message =
            [&[0, host, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, b'h', host, 4][..], b"test", &[0, 0, 1, 0, 1]]
                .concat();
        [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat()
    }

    #[test]
    fn names_are_read_over_tcp_however_messages_are_cut_into_segments() {
        let all = [question(b'a'), question(b'b'), question(b'c')].concat();
        for cut in 1..all.len() {
            let segments: Vec<&[u8]> = all.chunks(cut).collect();
            let facts = told(&segments);
            let questions = &facts.dns.as_deref().unwrap().questions;
            assert!(questions.iter().eq(&["ha.test", "hb.test", "hc.test"]), "{cut}: {questions:?}");
            assert!(facts.anomalies.is_empty());
        }
        // One alone, as most connections have.
        assert_eq!(told(&[&question(b'a')]).dns.unwrap().questions.len(), 1);
    }

    #[test]
    fn what_is_no_message_over_tcp_ends_the_reading() {
        let middle = told(&[&question(b'a')[5..], &question(b'b'), &[7; 3000]]);
        assert!(middle.dns.is_none() && middle.anomalies.iter().all(|anomaly| anomaly.count == 1));
        let facts = told(&[&question(b'a'), &vec![0; 1 << 16], &question(b'b')]);
        assert_eq!(facts.dns.unwrap().questions.len(), 1);
        assert_eq!(
            facts.anomalies.iter().map(|anomaly| (anomaly.name, anomaly.count)).collect::<Vec<_>>(),
            [("dns length", 1)]
        );
    }
}
