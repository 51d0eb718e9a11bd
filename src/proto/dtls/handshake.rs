//! Handshake fragments and their reassembly, RFC 6347 §4.2.2 and §4.2.3.
//!
//! In: the fragments of clear handshake records of one direction, in any order, repeated, overlapping.
//! Out: whole messages. A message in one piece is lent from the datagram; only others are copied.

use std::collections::VecDeque;

use crate::bytes::{ParseError, Reader};
use crate::proto::tls::{HandshakeType, MAX_MESSAGE_LENGTH, ProtocolVersion};

/// Most messages of one direction that wait for fragments at one time; a flight has at most six.
pub const MAX_MESSAGES: usize = 8;

/// Most separate pieces of one message that are remembered; a fragment that would add one is dropped.
pub const MAX_PIECES: usize = 64;

/// Most bytes that the waiting messages of one direction hold together. Only bytes that came are held, wherever in their messages they belong.
pub const MAX_BUFFERED: usize = MAX_MESSAGE_LENGTH;

/// One fragment of a handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct Fragment<'a> {
    /// Which message.
    pub kind: HandshakeType,
    /// Length of the whole message body in bytes, 24 bits.
    pub length: usize,
    /// Number of the message in its direction; a repeated message keeps it.
    pub message_seq: u16,
    /// Where in the body this piece belongs, in bytes.
    pub offset: usize,
    /// The piece.
    pub piece: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let start = reader.position();
        let kind = HandshakeType(reader.u8("handshake type")?);
        if kind.name().is_none() {
            return Err(ParseError::Invalid { field: "handshake type", offset: start, value: kind.0.into() });
        }
        let length = size(reader.u24("handshake length")?);
        let message_seq = reader.u16("message sequence")?;
        let offset = size(reader.u24("fragment offset")?);
        let piece_length = size(reader.u24("fragment length")?);
        if offset.saturating_add(piece_length) > length {
            return Err(ParseError::TooLong {
                field: "fragment length",
                offset: start.saturating_add(9),
                length: offset.saturating_add(piece_length),
                limit: length,
            });
        }
        let piece = reader.take(piece_length, "fragment")?;
        Ok(Self { kind, length, message_seq, offset, piece })
    }

    /// True when this is a whole message.
    pub const fn is_whole(&self) -> bool {
        self.piece.len() == self.length
    }
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The fragments in one clear handshake record; ends after the first error.
#[derive(Debug, Clone)]
pub struct Fragments<'a> {
    reader: Reader<'a>,
    is_done: bool,
}

impl<'a> Fragments<'a> {
    /// The fragments in the body of a handshake record of epoch 0.
    pub const fn new(record_fragment: &'a [u8]) -> Self {
        Self { reader: Reader::new(record_fragment), is_done: false }
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<Fragment<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done || self.reader.is_empty() {
            return None;
        }
        let fragment = Fragment::parse(&mut self.reader);
        self.is_done = fragment.is_err();
        Some(fragment)
    }
}

/// One whole handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct Message<'a> {
    /// Which message.
    pub kind: HandshakeType,
    /// Its number in its direction.
    pub message_seq: u16,
    /// Its body, without the twelve header bytes.
    pub body: &'a [u8],
    /// A message with this number was whole before: it is sent again, or a new handshake begins. A caller
    /// that finds another client random calls [`Reassembler::reset`].
    pub is_repeat: bool,
}

/// Puts the handshake messages of one direction of a flow together.
#[derive(Debug, Default)]
pub struct Reassembler {
    waiting: Vec<Waiting>,
    /// Body of the message that was last put together, lent to the caller.
    finished: Vec<u8>,
    /// Bit n: message n was whole; the numbers 64 and up share the last bit.
    seen: u64,
    dropped: u32,
}

#[derive(Debug)]
struct Waiting {
    kind: HandshakeType,
    message_seq: u16,
    length: usize,
    /// What came of it: sorted, disjoint, not touching.
    pieces: Vec<Piece>,
}

/// Bytes of a message in one row. They may go on at both ends: whoever sends them chooses the order.
#[derive(Debug, Default)]
struct Piece {
    /// Where in the message.
    start: usize,
    bytes: VecDeque<u8>,
}

impl Reassembler {
    /// A reassembler at the start of a direction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a fragment and gives the message that it completes, if it does.
    pub fn push<'s>(&'s mut self, fragment: Fragment<'s>) -> Option<Message<'s>> {
        self.finished = Vec::new();
        let bit = 1_u64.checked_shl(fragment.message_seq.min(63).into()).unwrap_or(0);
        let is_repeat = self.seen & bit != 0;
        let Fragment { kind, message_seq, .. } = fragment;
        if fragment.is_whole() {
            self.seen |= bit;
            self.waiting.retain(|waiting| waiting.message_seq != message_seq);
            return Some(Message { kind, message_seq, body: fragment.piece, is_repeat });
        }
        let held = self.buffered().saturating_add(fragment.piece.len());
        if fragment.length > MAX_MESSAGE_LENGTH || held > MAX_BUFFERED {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        let at = self.place(&fragment);
        let waiting = self.waiting.get_mut(at)?;
        if !waiting.fill(fragment.offset, fragment.piece) {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        let is_whole = matches!(waiting.pieces.as_slice(), [piece] if piece.bytes.len() == waiting.length);
        if !is_whole {
            return None;
        }
        self.finished = self.waiting.remove(at).pieces.pop()?.bytes.into();
        self.seen |= bit;
        Some(Message { kind, message_seq, body: &self.finished, is_repeat })
    }

    /// Forgets everything: a new handshake begins on the same addresses.
    pub fn reset(&mut self) {
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    /// How many fragments were dropped, or messages with them: over-long, in too many pieces, beyond
    /// [`MAX_BUFFERED`], or pushed out by others.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Bytes held, for the memory account.
    pub fn buffered(&self) -> usize {
        let pieces = self.waiting.iter().flat_map(|waiting| &waiting.pieces);
        pieces.fold(self.finished.len(), |sum, piece| sum.saturating_add(piece.bytes.len()))
    }

    /// Index of the message that the fragment belongs to; the oldest gives way when all places are taken.
    fn place(&mut self, fragment: &Fragment<'_>) -> usize {
        let belongs = |waiting: &Waiting| waiting.message_seq == fragment.message_seq;
        if let Some(at) = self.waiting.iter().position(belongs) {
            if self.waiting.get(at).is_some_and(|waiting| waiting.agrees(fragment)) {
                return at;
            }
            // Another message under the same number: the sender began anew.
            self.waiting.remove(at);
            self.dropped = self.dropped.saturating_add(1);
        } else if self.waiting.len() >= MAX_MESSAGES {
            self.waiting.remove(0);
            self.dropped = self.dropped.saturating_add(1);
        }
        self.waiting.push(Waiting {
            kind: fragment.kind,
            message_seq: fragment.message_seq,
            length: fragment.length,
            pieces: Vec::new(),
        });
        self.waiting.len().saturating_sub(1)
    }
}

impl Waiting {
    fn agrees(&self, fragment: &Fragment<'_>) -> bool {
        self.kind == fragment.kind && self.length == fragment.length
    }

    /// Copies a piece in; false when there are too many separate pieces. Memory grows with the bytes that came, never with a length or an
    /// offset that was read. Of bytes that come again the latest stay. In whatever order they come, a byte is moved seldom.
    fn fill(&mut self, offset: usize, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let end = offset.saturating_add(bytes.len());
        let first = self.pieces.partition_point(|held| held.stop() < offset);
        let last = self.pieces.partition_point(|held| held.start <= end).max(first);
        if first == last {
            let has_room = self.pieces.len() < MAX_PIECES;
            if has_room {
                self.pieces.insert(first, Piece { start: offset, bytes: bytes.iter().copied().collect() });
            }
            return has_room;
        }
        let Some(piece) = self.pieces.get_mut(first) else { return false };
        piece.lay(offset, bytes);
        let after = first.saturating_add(1);
        if after < last {
            let mut piece = std::mem::take(piece);
            self.pieces.drain(after..last).for_each(|next| piece.join(next));
            if let Some(held) = self.pieces.get_mut(first) {
                *held = piece;
            }
        }
        true
    }
}

impl Piece {
    fn stop(&self) -> usize {
        self.start.saturating_add(self.bytes.len())
    }

    /// Writes bytes that touch it, before it, over it and behind it.
    fn lay(&mut self, offset: usize, bytes: &[u8]) {
        let (before, rest) = bytes.split_at(self.start.saturating_sub(offset).min(bytes.len()));
        before.iter().rev().for_each(|byte| self.bytes.push_front(*byte));
        self.start = self.start.min(offset);
        let at = offset.saturating_add(before.len()).saturating_sub(self.start).min(self.bytes.len());
        let (over, behind) = rest.split_at(rest.len().min(self.bytes.len().saturating_sub(at)));
        self.bytes.range_mut(at..).zip(over).for_each(|(held, byte)| *held = *byte);
        self.bytes.extend(behind);
    }

    /// Adds one that begins later and touches it; where both have bytes, those of this one stay. The shorter of the two is moved.
    fn join(&mut self, mut next: Self) {
        let both = self.stop().saturating_sub(next.start).min(next.bytes.len());
        next.bytes.drain(..both);
        if next.bytes.len() > self.bytes.len() {
            self.bytes.drain(..).rev().for_each(|byte| next.bytes.push_front(byte));
            self.bytes = next.bytes;
        } else {
            self.bytes.append(&mut next.bytes);
        }
    }
}

/// `HelloVerifyRequest`, RFC 6347 §4.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct HelloVerifyRequest<'a> {
    /// The version of the server; 1.0 even where 1.2 follows.
    pub version: ProtocolVersion,
    /// What the client has to send back.
    pub cookie: &'a [u8],
}

impl<'a> HelloVerifyRequest<'a> {
    /// Reads the body of the message.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when a field does not fit.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let version = ProtocolVersion(reader.u16("server version")?);
        let length = reader.u8("cookie length")?;
        Ok(Self { version, cookie: reader.take(length.into(), "cookie")? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    fn piece(message_seq: u16, body: &[u8], from: usize, to: usize) -> Fragment<'_> {
        Fragment {
            kind: HandshakeType::CERTIFICATE,
            length: body.len(),
            message_seq,
            offset: from,
            piece: &body[from..to],
        }
    }

    #[test]
    fn fragment_header_is_read_and_checked() {
        let bytes = [11, 0, 0, 5, 0, 2, 0, 0, 1, 0, 0, 2, 7, 8, 14, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0];
        let all: Vec<_> = Fragments::new(&bytes).map(Result::unwrap).collect();
        assert_eq!((all[0].length, all[0].message_seq, all[0].offset, all[0].piece), (5, 2, 1, &[7, 8][..]));
        assert!(all[1].is_whole() && all[1].kind == HandshakeType::SERVER_HELLO_DONE);
        for end in 1..14 {
            assert!(Fragments::new(&bytes[..end]).next().unwrap().unwrap_err().is_truncated());
        }
        let mut wrong = bytes;
        wrong[8] = 4;
        assert_eq!(Fragments::new(&wrong).next().unwrap().unwrap_err().field(), "fragment length");
        wrong[0] = 0x77;
        assert_eq!(Fragments::new(&wrong).next().unwrap().unwrap_err().field(), "handshake type");
    }

    #[test]
    fn fragments_out_of_order_overlapping_and_repeated_make_one_message() {
        let body: Vec<u8> = (0..100).collect();
        let mut reassembler = Reassembler::new();
        for (from, to) in [(60, 100), (0, 20), (10, 30), (60, 100), (5, 8)] {
            assert_eq!(reassembler.push(piece(4, &body, from, to)), None);
        }
        let message = reassembler.push(piece(4, &body, 25, 61)).unwrap();
        assert_eq!((message.body, message.message_seq, message.is_repeat), (&body[..], 4, false));
        assert_eq!(reassembler.dropped(), 0);
        assert!(reassembler.push(piece(4, &body, 0, 100)).unwrap().is_repeat);
        reassembler.reset();
        assert!(!reassembler.push(piece(4, &body, 0, 100)).unwrap().is_repeat);
    }

    #[test]
    fn messages_interleave_and_each_is_whole_by_itself() {
        let (one, two) = ([1_u8; 10], [2_u8; 10]);
        let mut reassembler = Reassembler::new();
        assert_eq!(reassembler.push(piece(1, &one, 0, 5)), None);
        assert_eq!(reassembler.push(piece(2, &two, 5, 10)), None);
        assert_eq!(reassembler.push(piece(2, &two, 0, 5)).unwrap().body, two);
        assert_eq!(reassembler.push(piece(1, &one, 5, 10)).unwrap().body, one);
    }

    #[test]
    fn memory_is_bounded_and_what_gives_way_is_counted() {
        let body = vec![0_u8; 4 * MAX_PIECES];
        let mut reassembler = Reassembler::new();
        for number in 0..=MAX_PIECES {
            reassembler.push(piece(0, &body, number * 3, number * 3 + 1));
        }
        assert_eq!(reassembler.dropped(), 1);
        for number in 1..=MAX_MESSAGES {
            reassembler.push(piece(u16::try_from(number).unwrap(), &body, 0, 1));
        }
        assert_eq!(reassembler.dropped(), 2);
        let huge = Fragment { length: MAX_MESSAGE_LENGTH + 1, ..piece(90, &body, 0, 1) };
        assert_eq!(reassembler.push(huge), None);
        assert_eq!(reassembler.dropped(), 3);
        assert!(reassembler.buffered() <= MAX_MESSAGES);
    }

    #[test]
    fn fragments_at_the_far_end_of_long_messages_claim_no_more_than_came() {
        let body = vec![0_u8; MAX_BUFFERED];
        let mut reassembler = Reassembler::new();
        for number in 0..4 {
            reassembler.push(piece(number, &body, MAX_BUFFERED - 1, MAX_BUFFERED));
        }
        assert_eq!((reassembler.buffered(), reassembler.dropped()), (4, 0));
        let capacity = |piece: &Piece| piece.bytes.capacity();
        let held: usize = reassembler.waiting.iter().flat_map(|waiting| &waiting.pieces).map(capacity).sum();
        assert_eq!(held, 4);
    }

    #[test]
    fn hello_verify_request_gives_its_cookie() {
        let body = [0xfe, 0xff, 3, 1, 2, 3];
        let request = HelloVerifyRequest::parse(&body).unwrap();
        assert_eq!((request.version, request.cookie), (ProtocolVersion::DTLS_1_0, &[1, 2, 3][..]));
        for end in 0..body.len() {
            assert!(HelloVerifyRequest::parse(&body[..end]).unwrap_err().is_truncated());
        }
    }

    proptest! {
        #[test]
        fn any_order_of_any_cuts_gives_the_message_back(
            length in 2_usize..200,
            pieces in proptest::collection::vec((0_usize..200, 1_usize..60), 0..60),
        ) {
            let body: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut reassembler = Reassembler::new();
            let mut covered = vec![false; length];
            for (from, size) in pieces {
                let from = from % length;
                let to = (from + size).min(length);
                covered[from..to].fill(true);
                let is_done = covered.iter().all(|byte| *byte);
                match reassembler.push(piece(0, &body, from, to)) {
                    Some(message) => {
                        prop_assert_eq!(message.body, &body[..]);
                        prop_assert!(is_done || to - from == length);
                        return Ok(());
                    }
                    None => prop_assert!(!is_done),
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(input in proptest::collection::vec(0_u8..16, 0..300)) {
            let mut reassembler = Reassembler::new();
            for fragment in Fragments::new(&input).flatten() {
                let _ = reassembler.push(fragment);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_order_the_latest_bytes_make_the_message(
            fragments in proptest::collection::vec((0_usize..64, 1_usize..24, any::<u8>()), 1..80),
        ) {
            let mut waiting = Waiting { kind: HandshakeType::FINISHED, message_seq: 0, length: 96, pieces: Vec::new() };
            let mut model = [None; 96];
            for (offset, length, byte) in fragments {
                prop_assert!(waiting.fill(offset, &vec![byte; length]));
                model[offset..offset + length].fill(Some(byte));
                let mut told = [None; 96];
                for piece in &waiting.pieces {
                    for (place, byte) in told[piece.start..].iter_mut().zip(&piece.bytes) {
                        prop_assert_eq!(*place, None);
                        *place = Some(*byte);
                    }
                }
                prop_assert_eq!(told, model);
                prop_assert!(waiting.pieces.windows(2).all(|two| two[0].stop() < two[1].start));
            }
        }

        #[test]
        fn near_fragments_what_is_put_together_has_the_length_that_it_announced(
            records in proptest::collection::vec(near([
                [11, 0, 0, 5, 0, 2, 0, 0, 1, 0, 0, 2, 7, 8, 14, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0],
                [11, 0, 0, 5, 0, 2, 0, 0, 0, 0, 0, 2, 6, 7, 11, 0, 0, 5, 0, 2, 0, 0, 3, 0, 0, 2],
            ]), 1..5),
        ) {
            let mut reassembler = Reassembler::new();
            for record in &records {
                let mut held = 0;
                for fragment in Fragments::new(record).flatten() {
                    held += 12 + fragment.piece.len();
                    prop_assert!(fragment.offset + fragment.piece.len() <= fragment.length);
                    let length = fragment.length;
                    prop_assert!(reassembler.push(fragment).is_none_or(|message| message.body.len() == length));
                    prop_assert!(reassembler.buffered() <= MAX_BUFFERED);
                }
                prop_assert!(held <= record.len());
            }
        }

        #[test]
        fn near_a_verify_request_its_cookie_lies_in_it(body in near([[0xfe, 0xff, 3, 1, 2, 3]])) {
            if let Ok(request) = HelloVerifyRequest::parse(&body) {
                prop_assert_eq!(body.get(3..3 + request.cookie.len()), Some(request.cookie));
            }
        }
    }
}
