//! One direction of a TCP stream put back in order, to read handshakes and signalling from.
//!
//! In: segments as captured, and what the peer acknowledged. Out: [`Chunk`]s, each byte at most once and in
//! order, with a [`Chunk::Gap`] where bytes never came. RFC 9293 for sequence numbers. A bystander's
//! view: nothing can be asked for again, so a hole is given up when the peer acknowledged it (the capture lost
//! it, not the network), when too much waits behind it or in all streams together, or at the end of the flow.
//!
//! Not handled: bytes before the first of a stream that is picked up in its middle (they are counted as
//! retransmitted), a FIN's or RST's meaning (the flow table's business), and comparing a retransmission with
//! bytes already delivered (they are not kept), so conflicts are counted only among bytes that wait.

use std::collections::VecDeque;

/// Default cap on bytes that wait behind a hole: several handshakes' worth, and a window of signalling.
pub const HELD_BYTES: u32 = 256 * 1024;
/// Default cap on segments that wait behind a hole. Fast retransmit fills a true hole within one round
/// trip; on a signalling connection that is far fewer.
pub const HELD_SEGMENTS: u32 = 128;
/// What it takes to hold a segment beside its bytes, in bytes: its place in a queue that grows by doubling (24 of its
/// own, at most as many that are empty), and what the allocator rounds up.
const SEGMENT_BYTES: usize = 64;
/// What it takes to hold any, in bytes: the stream's place among those that wait.
const STREAM_BYTES: usize = 128;
/// Before the first byte is delivered, a segment further than this from where a SYN said the stream would
/// begin belongs to another SYN (or to none that was captured), so the stream begins there.
const FOREIGN_DISTANCE: u32 = 1 << 24;

/// Largest window there can be (RFC 7323 §2.3).
const LARGEST_WINDOW: i32 = 1 << 30;

/// Caps of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that may wait behind a hole.
    pub held_bytes: u32,
    /// Segments that may wait behind a hole.
    pub held_segments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { held_bytes: HELD_BYTES, held_segments: HELD_SEGMENTS }
    }
}

/// What comes out, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "bytes or the want of them")]
pub enum Chunk<'a> {
    /// The next bytes of the stream.
    Data(&'a [u8]),
    /// So many bytes of the stream were not captured.
    Gap(u64),
}

/// Counts of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes that came again, were delivered or given up before, or precede the stream's start.
    pub retransmitted: u64,
    /// Bytes that came again with another value while the first copy was waiting; the first stays.
    pub conflicting: u64,
    /// Segments that came before an earlier one.
    pub out_of_order: u64,
    /// Holes that were given up, a segment's tail cut by the snap length among them.
    pub gaps: u64,
    /// Bytes in those holes.
    pub gap_bytes: u64,
    /// Holes among those that were given up because of a cap, of this stream or of all together.
    pub forced: u64,
    /// Keep-alive probes (RFC 9293 §3.8.4).
    pub keep_alives: u64,
    /// Segments further ahead than any window reaches; they are ignored.
    pub foreign: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No segment yet.
    Fresh,
    /// A SYN, or a start in the middle; nothing delivered.
    Opened,
    /// Bytes were delivered.
    Flowing,
    /// Nobody wants more.
    Closed,
}

/// A piece of the stream that waits behind a hole. Pieces do not overlap and are in order.
#[derive(Debug)]
struct Held {
    sequence: u32,
    /// Length on the wire; more than `bytes` holds when this is a tail that was cut from the capture.
    length: u32,
    bytes: Box<[u8]>,
}

/// One direction of a TCP connection. Holds nothing on the heap while segments come in order.
#[derive(Debug)]
pub struct Stream {
    state: State,
    /// Sequence number of the next byte to deliver.
    next: u32,
    /// Highest acknowledgement of the peer, meaningful where `acknowledged_any`.
    acknowledged: u32,
    acknowledged_any: bool,
    held: VecDeque<Held>,
    held_bytes: u32,
    limits: Limits,
    /// None while nothing was odd, as most streams stay.
    stats: Option<Box<Stats>>,
}

/// How far `sequence` lies after `origin`; negative when before (RFC 9293 §3.4: arithmetic modulo 2³²).
const fn distance(sequence: u32, origin: u32) -> i32 {
    sequence.wrapping_sub(origin).cast_signed()
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn index_of(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl Stream {
    /// A stream of which nothing is known.
    pub const fn new(limits: Limits) -> Self {
        Self {
            state: State::Fresh,
            next: 0,
            acknowledged: 0,
            acknowledged_any: false,
            held: VecDeque::new(),
            held_bytes: 0,
            limits,
            stats: None,
        }
    }

    /// Takes a segment. `sequence` is the header's; `declared_len` is the payload's length on the wire,
    /// more than `payload.len()` where the snap length cut it. A FIN adds no byte.
    #[inline]
    pub fn segment(
        &mut self,
        sequence: u32,
        syn: bool,
        payload: &[u8],
        declared_len: usize,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        let first = sequence.wrapping_add(u32::from(syn));
        match self.state {
            State::Closed => return,
            State::Flowing => {}
            State::Fresh | State::Opened if syn => self.open(first),
            State::Fresh | State::Opened if payload.is_empty() && declared_len == 0 => return,
            State::Fresh => self.open(first),
            State::Opened => self.reopen_if_foreign(first, declared_len),
        }
        let in_order = first == self.next && self.held.is_empty();
        if in_order {
            self.deliver(payload, sink);
            if let cut @ 1.. = declared_len.saturating_sub(payload.len()) {
                self.gap(u32::try_from(cut).unwrap_or(u32::MAX).min(FOREIGN_DISTANCE), sink);
            }
        } else if declared_len > 0 || !payload.is_empty() {
            self.place(first, payload, declared_len.max(payload.len()), sink);
        }
    }

    /// Takes an acknowledgement that the peer sent: what it has received and we have not was lost to the
    /// capture, not to the network. A hole is given up once bytes wait behind it; until then the segment
    /// may merely have been captured after its acknowledgement.
    #[inline]
    pub fn acknowledged(&mut self, ack: u32, sink: &mut impl FnMut(Chunk<'_>)) {
        if matches!(self.state, State::Fresh | State::Closed) || distance(ack, self.next) <= 0 {
            return;
        }
        if !self.acknowledged_any || distance(ack, self.acknowledged) > 0 {
            self.acknowledged = ack;
            self.acknowledged_any = true;
        }
        self.settle(sink);
    }

    /// The flow ended: delivers what waits, with the gaps between.
    pub fn flush(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        while !self.held.is_empty() {
            self.skip(sink);
            self.drain(sink);
        }
    }

    /// Nobody wants more of this stream: frees what waits; later segments cost next to nothing.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.held = VecDeque::new();
        self.held_bytes = 0;
    }

    /// True after [`Stream::close`].
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Memory that waits behind holes, in bytes; 0 where there is none.
    #[inline]
    pub fn waiting(&self) -> usize {
        if self.held.is_empty() { 0 } else { self.waiting_bytes() }
    }

    #[cold]
    fn waiting_bytes(&self) -> usize {
        let segments = self.held.len().saturating_mul(SEGMENT_BYTES);
        index_of(self.held_bytes).saturating_add(segments).saturating_add(STREAM_BYTES)
    }

    /// Too much waits in all streams together: delivers what waits in this one, with the gaps between. False where nothing does.
    pub fn give_up(&mut self, sink: &mut impl FnMut(Chunk<'_>)) -> bool {
        let waits = !self.held.is_empty();
        while !self.held.is_empty() {
            let counts = self.counts();
            counts.forced = counts.forced.saturating_add(1);
            self.skip(sink);
            self.drain(sink);
        }
        waits
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        self.stats.as_deref().copied().unwrap_or_default()
    }

    fn counts(&mut self) -> &mut Stats {
        self.stats.get_or_insert_default()
    }

    /// A SYN tells the first sequence number; the latest one wins as long as nothing was delivered.
    fn open(&mut self, first: u32) {
        if self.state == State::Opened && first != self.next {
            self.held.clear();
            self.held_bytes = 0;
        }
        self.state = State::Opened;
        self.next = first;
        self.acknowledged_any = false;
    }

    /// Of several SYNs with different numbers, only the data tell which one the peers went on with.
    fn reopen_if_foreign(&mut self, first: u32, declared_len: usize) {
        let away = distance(first, self.next);
        let probe = away == -1 && declared_len <= 1;
        if !probe && away.unsigned_abs() > FOREIGN_DISTANCE {
            self.open(first);
        }
    }

    fn deliver(&mut self, payload: &[u8], sink: &mut impl FnMut(Chunk<'_>)) {
        if payload.is_empty() {
            return;
        }
        self.state = State::Flowing;
        self.next = self.next.wrapping_add(length_of(payload));
        sink(Chunk::Data(payload));
    }

    fn gap(&mut self, length: u32, sink: &mut impl FnMut(Chunk<'_>)) {
        if length == 0 {
            return;
        }
        self.state = State::Flowing;
        self.next = self.next.wrapping_add(length);
        let counts = self.counts();
        counts.gaps = counts.gaps.saturating_add(1);
        counts.gap_bytes = counts.gap_bytes.saturating_add(u64::from(length));
        sink(Chunk::Gap(u64::from(length)));
    }

    /// The slow path: a segment that is early, late, overlapping or cut.
    #[cold]
    fn place(&mut self, first: u32, payload: &[u8], declared: usize, sink: &mut impl FnMut(Chunk<'_>)) {
        // No IP packet holds more than 64 KiB; offloading makes a few times that of several.
        let declared = u32::try_from(declared).unwrap_or(u32::MAX).min(FOREIGN_DISTANCE);
        let away = distance(first, self.next);
        let mut sequence = first;
        let mut length = declared;
        if away < 0 {
            if away == -1 && declared == 1 {
                let counts = self.counts();
                counts.keep_alives = counts.keep_alives.saturating_add(1);
                return;
            }
            let late = away.unsigned_abs().min(declared);
            let counts = self.counts();
            counts.retransmitted = counts.retransmitted.saturating_add(u64::from(late));
            sequence = first.wrapping_add(late);
            length = declared.saturating_sub(late);
            if length == 0 {
                return;
            }
        } else if away > LARGEST_WINDOW {
            let counts = self.counts();
            counts.foreign = counts.foreign.saturating_add(1);
            return;
        } else if away > 0 {
            let counts = self.counts();
            counts.out_of_order = counts.out_of_order.saturating_add(1);
        }
        let skipped = declared.saturating_sub(length);
        let payload = payload.get(index_of(skipped)..).unwrap_or_default();
        self.weave(sequence, payload, length);
        self.drain(sink);
        self.settle(sink);
    }

    /// Puts the parts of a segment that are not yet held among those that are.
    fn weave(&mut self, first: u32, payload: &[u8], length: u32) {
        let captured = length_of(payload).min(length);
        let mut sequence = first;
        let end = first.wrapping_add(length);
        let mut at = self.held.partition_point(|held| distance(held.end(), first) <= 0);
        while distance(end, sequence) > 0 {
            let until = match self.held.get(at) {
                Some(held) if distance(held.sequence, end) < 0 => held.sequence,
                _ => end,
            };
            let offset = sequence.wrapping_sub(first);
            if distance(until, sequence) > 0 {
                at = self.hold(
                    at,
                    sequence,
                    part(payload, captured, offset, until.wrapping_sub(first)),
                    until,
                );
                sequence = until;
                continue;
            }
            let Some(held) = self.held.get(at) else { break };
            let until = if distance(held.end(), end) < 0 { held.end() } else { end };
            let again = part(payload, captured, offset, until.wrapping_sub(first));
            let from = held.bytes.get(index_of(sequence.wrapping_sub(held.sequence))..).unwrap_or_default();
            let differ = from.iter().zip(again).filter(|(old, new)| old != new).count();
            let differ = u64::try_from(differ).unwrap_or(u64::MAX);
            let again = u64::from(until.wrapping_sub(sequence));
            let counts = self.counts();
            counts.conflicting = counts.conflicting.saturating_add(differ);
            counts.retransmitted = counts.retransmitted.saturating_add(again);
            sequence = until;
            at = at.saturating_add(1);
        }
    }

    /// Holds one piece, as bytes and as the tail that was not captured; gives the place after it.
    fn hold(&mut self, at: usize, sequence: u32, bytes: &[u8], end: u32) -> usize {
        let mut at = at;
        let captured = length_of(bytes);
        if captured > 0 {
            self.held_bytes = self.held_bytes.saturating_add(captured);
            self.held.insert(at, Held { sequence, length: captured, bytes: bytes.into() });
            at = at.saturating_add(1);
        }
        let sequence = sequence.wrapping_add(captured);
        let length = end.wrapping_sub(sequence);
        if length > 0 {
            self.held.insert(at, Held { sequence, length, bytes: Box::default() });
            at = at.saturating_add(1);
        }
        at
    }

    /// Delivers what is no longer behind a hole.
    fn drain(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        while self.held.front().is_some_and(|held| held.sequence == self.next) {
            let Some(held) = self.held.pop_front() else { return };
            self.held_bytes = self.held_bytes.saturating_sub(length_of(&held.bytes));
            if held.bytes.is_empty() {
                self.gap(held.length, sink);
            } else {
                self.deliver(&held.bytes, sink);
            }
        }
        if self.held.is_empty() && self.held.capacity() > 0 {
            self.held = VecDeque::new();
        }
    }

    /// Gives up the first hole.
    fn skip(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        if let Some(held) = self.held.front() {
            let length = held.sequence.wrapping_sub(self.next);
            self.gap(length, sink);
        }
    }

    /// Gives up holes that the peer acknowledged, then those that the caps do not allow to wait for.
    fn settle(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        while let Some(front) = self.held.front() {
            let known = self.acknowledged_any && distance(self.acknowledged, front.sequence) >= 0;
            let full = self.held_bytes > self.limits.held_bytes
                || u32::try_from(self.held.len()).unwrap_or(u32::MAX) > self.limits.held_segments;
            if !known && !full {
                return;
            }
            if !known {
                let counts = self.counts();
                counts.forced = counts.forced.saturating_add(1);
            }
            self.skip(sink);
            self.drain(sink);
        }
    }
}

impl Held {
    const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }
}

/// The captured bytes between two offsets of a segment.
fn part(payload: &[u8], captured: u32, start: u32, end: u32) -> &[u8] {
    let end = end.min(captured);
    payload.get(index_of(start.min(end))..index_of(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
