//! Handshake messages over many records, RFC 8446 §4, and the two smallest messages: alerts and
//! `EncryptedExtensions`.
//!
//! In: fragments of handshake records of one direction, in order. Out: whole messages. A message inside one
//! record is lent from it; only one that spans records is copied. Not handled: decryption.

use crate::bytes::{ParseError, Reader};

use super::extensions::{Extensions, alpn_names};
use super::registry::{AlertDescription, ExtensionType, HandshakeType};

/// Longest handshake message that is put together, in bytes. The longest real certificate chains are about
/// 60 KiB; a longer message is skipped and counted.
pub const MAX_MESSAGE_LENGTH: usize = 128 * 1024;

const HEADER_LENGTH: usize = 4;

/// A record of at least so many bytes is no encrypted `Finished`: that is at most 4 + 48 bytes of message, and
/// nonce, padding and tag around it.
const LONGER_THAN_FINISHED: usize = 256;

/// One whole handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct Message<'a> {
    /// Which message.
    pub kind: HandshakeType,
    /// Its body, without the four header bytes.
    pub body: &'a [u8],
}

/// Puts the handshake messages of one direction of a stream together.
#[derive(Debug, Default)]
pub struct HandshakeAssembler {
    /// Begin of a message that spans records; empty most of the time.
    partial: Vec<u8>,
    /// `0 < skip` while the rest of an oversized message passes by.
    skip: usize,
    oversized: u32,
    phase: Phase,
}

/// A flow of QUIC has two of these for as long as its handshake is not over.
const _: () = assert!(size_of::<HandshakeAssembler>() <= 56);

/// How far a direction has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Phase {
    /// Messages are in clear.
    #[default]
    Clear,
    /// After `change_cipher_spec`: ciphertext, or the hello after a retry.
    Changed,
    /// All that follows is ciphertext.
    Encrypted,
    /// What came was no handshake message.
    Failed(Box<ParseError>),
}

impl HandshakeAssembler {
    /// An assembler at the start of a direction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next fragment and calls `each` for every message that it completes.
    ///
    /// # Errors
    /// [`ParseError::Invalid`] at a handshake type that does not exist: the fragments are encrypted, or some
    /// are missing. The error stays: every later call repeats it.
    pub fn feed(&mut self, fragment: &[u8], mut each: impl FnMut(Message<'_>)) -> Result<(), ParseError> {
        match &self.phase {
            Phase::Clear => {}
            Phase::Changed if is_second_hello(fragment) => self.phase = Phase::Clear,
            Phase::Changed | Phase::Encrypted => {
                self.phase = Phase::Encrypted;
                return Ok(());
            }
            Phase::Failed(error) => return Err(**error),
        }
        let passing = self.skip.min(fragment.len());
        self.skip = self.skip.saturating_sub(passing);
        let rest = fragment.get(passing..).unwrap_or_default();
        let outcome = self.complete(rest, &mut each).and_then(|rest| self.split(rest, &mut each));
        if let Err(error) = outcome {
            self.phase = Phase::Failed(Box::new(error));
            self.partial = Vec::new();
        }
        outcome
    }

    /// Tells that a `change_cipher_spec` record passed in this direction.
    ///
    /// Up to TLS 1.2 only ciphertext follows, and is passed over in silence from here on. In TLS 1.3 the
    /// record means nothing (RFC 8446 §D.4): after a retry request a second hello follows in clear, and is
    /// still read.
    pub fn change_cipher_spec(&mut self) {
        if self.phase == Phase::Clear {
            self.phase = Phase::Changed;
        }
    }

    /// True once ciphertext was met: nothing more will come out.
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Encrypted | Phase::Failed(_))
    }

    /// True while the begin of a message waits for its end.
    pub const fn is_partial(&self) -> bool {
        !self.partial.is_empty() || self.skip > 0
    }

    /// How many messages were longer than [`MAX_MESSAGE_LENGTH`] and therefore skipped.
    pub const fn oversized(&self) -> u32 {
        self.oversized
    }

    /// Bytes held for an unfinished message, for the memory account.
    pub const fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// Fills the waiting message from `fragment` and gives back what is left of the fragment.
    fn complete<'a>(
        &mut self,
        fragment: &'a [u8],
        each: &mut impl FnMut(Message<'_>),
    ) -> Result<&'a [u8], ParseError> {
        if self.partial.is_empty() {
            return Ok(fragment);
        }
        let mut rest = self.grow(fragment, HEADER_LENGTH);
        let Some((kind, length)) = header(&self.partial)? else { return Ok(rest) };
        if length > MAX_MESSAGE_LENGTH {
            self.partial = Vec::new();
            return Ok(self.pass_over(rest, length));
        }
        let total = length.saturating_add(HEADER_LENGTH);
        rest = self.grow(rest, total);
        if self.partial.len() == total {
            let whole = std::mem::take(&mut self.partial);
            each(Message { kind, body: whole.get(HEADER_LENGTH..).unwrap_or_default() });
        }
        Ok(rest)
    }

    /// Moves bytes from `fragment` to the waiting message until that has `target` bytes.
    fn grow<'a>(&mut self, fragment: &'a [u8], target: usize) -> &'a [u8] {
        let wanted = target.saturating_sub(self.partial.len()).min(fragment.len());
        let (head, rest) = fragment.split_at_checked(wanted).unwrap_or((fragment, &[]));
        self.partial.extend_from_slice(head);
        rest
    }

    /// Lends the messages that lie whole in `rest` and keeps the begin of one that does not.
    fn split(&mut self, mut rest: &[u8], each: &mut impl FnMut(Message<'_>)) -> Result<(), ParseError> {
        while let Some((kind, length)) = header(rest)? {
            let body = rest.get(HEADER_LENGTH..).unwrap_or_default();
            if length > MAX_MESSAGE_LENGTH {
                rest = self.pass_over(body, length);
                continue;
            }
            let Some((body, after)) = body.split_at_checked(length) else { break };
            each(Message { kind, body });
            rest = after;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn pass_over<'a>(&mut self, body: &'a [u8], length: usize) -> &'a [u8] {
        self.oversized = self.oversized.saturating_add(1);
        let (passed, after) = body.split_at_checked(length).unwrap_or((body, &[]));
        self.skip = length.saturating_sub(passed.len());
        after
    }
}

/// A record after `change_cipher_spec` that holds one hello exactly, or the begin of a long one.
fn is_second_hello(fragment: &[u8]) -> bool {
    let Ok(Some((kind, length))) = header(fragment) else { return false };
    let held = fragment.len().saturating_sub(HEADER_LENGTH);
    let is_hello = matches!(kind, HandshakeType::CLIENT_HELLO | HandshakeType::SERVER_HELLO);
    let is_begin = held < length && length <= MAX_MESSAGE_LENGTH && held >= LONGER_THAN_FINISHED;
    is_hello && (held == length || is_begin)
}

/// Type and length at the start of `bytes`; `None` when the header is not whole.
fn header(bytes: &[u8]) -> Result<Option<(HandshakeType, usize)>, ParseError> {
    let Some(&[kind, high, middle, low]) = bytes.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
    let kind = HandshakeType(kind);
    if kind.name().is_none() {
        return Err(ParseError::Invalid { field: "handshake type", offset: 0, value: kind.0.into() });
    }
    let length = u32::from_be_bytes([0, high, middle, low]);
    Ok(Some((kind, usize::try_from(length).unwrap_or(usize::MAX))))
}

/// An alert in clear, RFC 8446 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct Alert {
    /// True at level 2; 1 is a warning.
    pub is_fatal: bool,
    /// What happened.
    pub description: AlertDescription,
}

impl Alert {
    /// Reads the fragment of an alert record.
    ///
    /// # Errors
    /// [`ParseError::Invalid`] when the fragment is not two bytes with a level of 1 or 2, thus encrypted.
    pub fn parse(fragment: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(fragment);
        let level = reader.u8("alert level")?;
        let description = AlertDescription(reader.u8("alert description")?);
        if !matches!(level, 1 | 2) {
            return Err(ParseError::Invalid { field: "alert level", offset: 0, value: level.into() });
        }
        if !reader.is_empty() {
            let value = u64::try_from(fragment.len()).unwrap_or(u64::MAX);
            return Err(ParseError::Invalid { field: "alert length", offset: 0, value });
        }
        Ok(Self { is_fatal: level == 2, description })
    }
}

/// `EncryptedExtensions`, RFC 8446 §4.3.1; readable only with a key log.
#[derive(Debug, Clone, Copy)]
pub struct EncryptedExtensions<'a> {
    extensions: Extensions<'a>,
}

impl<'a> EncryptedExtensions<'a> {
    /// Reads the body of the message.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when the block is not whole.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        Ok(Self { extensions: Extensions::parse(&mut reader)? })
    }

    /// The extensions in wire order.
    pub const fn extensions(&self) -> Extensions<'a> {
        self.extensions
    }

    /// The application protocol that the server chose.
    pub fn alpn(&self) -> Option<&'a [u8]> {
        self.extensions.find(ExtensionType::ALPN).and_then(|data| alpn_names(data).next())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    fn feed_all(chunks: &[&[u8]]) -> (Vec<(u8, usize)>, HandshakeAssembler) {
        let mut assembler = HandshakeAssembler::new();
        let mut seen = Vec::new();
        for chunk in chunks {
            let _ = assembler.feed(chunk, |message| seen.push((message.kind.0, message.body.len())));
        }
        (seen, assembler)
    }

    #[test]
    fn message_over_many_records_equals_message_in_one() {
        let stream = [2, 0, 0, 3, 7, 8, 9, 14, 0, 0, 0, 11, 0, 0, 2, 1, 2];
        let (whole, _) = feed_all(&[&stream]);
        assert_eq!(whole, [(2, 3), (14, 0), (11, 2)]);
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let (seen, assembler) =
                    feed_all(&[&stream[..first], &stream[first..second], &stream[second..]]);
                assert_eq!(seen, whole, "cut at {first} and {second}");
                assert!(!assembler.is_partial());
            }
        }
    }

    #[test]
    fn oversized_message_is_skipped_and_counted_in_one_piece_or_many() {
        let mut stream = vec![11, 0x02, 0x00, 0x01];
        stream.resize(4 + 0x02_0001, 0);
        stream.extend([14, 0, 0, 0]);
        for size in [1000, 4096, stream.len()] {
            let chunks: Vec<&[u8]> = stream.chunks(size).collect();
            let (seen, assembler) = feed_all(&chunks);
            assert_eq!(seen, [(14, 0)]);
            assert_eq!((assembler.oversized(), assembler.buffered()), (1, 0));
        }
        let (seen, assembler) = feed_all(&[&stream[..2], &stream[2..]]);
        assert_eq!((seen, assembler.oversized()), (vec![(14, 0)], 1));
    }

    #[test]
    fn ciphertext_ends_the_assembly_for_good() {
        let mut assembler = HandshakeAssembler::new();
        let error = assembler.feed(&[0x99, 1, 2, 3, 4], |_| ()).unwrap_err();
        assert_eq!(error.field(), "handshake type");
        assert_eq!(assembler.feed(&[1, 0, 0, 0], |_| ()), Err(error));
    }

    #[test]
    fn after_change_cipher_spec_a_second_hello_is_read_and_ciphertext_is_passed_over() {
        let hello = [1, 0, 0, 2, 3, 3];
        let mut assembler = HandshakeAssembler::new();
        let mut seen = 0;
        for _ in 0..2 {
            assembler.feed(&hello, |_| seen += 1).unwrap();
            assembler.change_cipher_spec();
        }
        assert_eq!((seen, assembler.is_finished()), (2, false));
        // An AES-GCM Finished opens with its explicit nonce, which often counts from 0.
        assembler.feed(&[0; 40], |_| seen += 1).unwrap();
        assembler.feed(&hello, |_| seen += 1).unwrap();
        assert_eq!((seen, assembler.is_finished()), (2, true));
    }

    #[test]
    fn alert_is_told_from_ciphertext() {
        let alert = Alert::parse(&[2, 40]).unwrap();
        assert!(alert.is_fatal);
        assert_eq!(alert.description.to_string(), "handshake_failure");
        assert!(Alert::parse(&[0x5f, 40]).is_err());
        assert!(Alert::parse(&[2, 40, 1]).is_err());
        assert!(Alert::parse(&[2]).unwrap_err().is_truncated());
    }

    #[test]
    fn encrypted_extensions_give_the_chosen_protocol() {
        let body = [0, 9, 0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
        assert_eq!(EncryptedExtensions::parse(&body).unwrap().alpn(), Some(&b"h2"[..]));
        assert!(EncryptedExtensions::parse(&body[..10]).unwrap_err().is_truncated());
    }

    proptest! {
        #[test]
        fn any_cut_of_any_bytes_gives_the_same_messages(
            input in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), any::<u8>()], 0..300),
            size in 1_usize..40,
        ) {
            let (whole, _) = feed_all(&[&input]);
            let chunks: Vec<&[u8]> = input.chunks(size).collect();
            let (cut, _) = feed_all(&chunks);
            prop_assert_eq!(whole, cut);
        }

        #[test]
        fn near_a_flight_messages_are_not_longer_than_it(
            bytes in near([&crate::proto::tls::vectors::SERVER_HELLO_RECORD[5..], &[2, 0, 0, 3, 7, 8, 9, 14, 0, 0, 0, 11, 0, 0, 2, 1, 2]]),
            size in 1_usize..40,
        ) {
            let (whole, _) = feed_all(&[&bytes]);
            prop_assert!(whole.iter().map(|(_, length)| 4 + length).sum::<usize>() <= bytes.len());
            prop_assert_eq!(feed_all(&bytes.chunks(size).collect::<Vec<_>>()).0, whole);
        }

        #[test]
        fn near_alerts_and_encrypted_extensions_nothing_panics(
            bytes in near([&[2, 40][..], &[0, 9, 0, 16, 0, 5, 0, 3, 2, b'h', b'2']]),
        ) {
            prop_assert!(Alert::parse(&bytes).is_err() || bytes.len() == 2);
            if let Ok(extensions) = EncryptedExtensions::parse(&bytes) {
                prop_assert!(extensions.alpn().is_none_or(|name| name.len() + 9 <= bytes.len()));
            }
        }
    }
}
