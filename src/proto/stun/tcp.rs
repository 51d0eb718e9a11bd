//! STUN and TURN on a byte stream: where one message ends and the next begins.
//!
//! Four framings are met: STUN and ChannelData end to end (RFC 8489 §6.2.2, RFC 8656 §12.5), two length
//! bytes before each packet (RFC 4571, used by ICE-TCP, RFC 6544), Microsoft's mux ([`super::ms_mux`]), and
//! the four-byte prefix of MS-TURN. Which one a connection uses is found once by [`detect`] and then kept.

use super::{ChannelData, HEADER_LENGTH, MAGIC_COOKIE, ms_mux};
use crate::bytes::{ParseError, Reader};

/// How messages are laid out in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// STUN messages and padded ChannelData, nothing between them.
    Native,
    /// Two bytes of length before each packet (RFC 4571).
    LengthPrefixed,
    /// Frames that begin with `ff10`.
    MsMux,
    /// MS-TURN: type (2 control, 3 data), a zero byte, two bytes of length.
    MsTurn,
}

/// What the first bytes of a stream say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "three answers are all there are")]
pub enum Detection {
    /// The stream is something else.
    NotMine,
    /// Too few bytes to say.
    NeedMore,
    /// The stream is framed this way.
    Found(Framing),
}

/// One message cut out of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A STUN message, header included.
    Stun(&'a [u8]),
    /// TURN channel data.
    ChannelData(ChannelData<'a>),
    /// A packet of any kind (STUN, DTLS, RTP): demultiplex it as a datagram.
    Packet(&'a [u8]),
    /// A Microsoft mux frame; its payload is to be demultiplexed as a datagram.
    MsMux(ms_mux::Frame<'a>),
}

impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stun(bytes) => write!(f, "Stun({} bytes)", bytes.len()),
            Self::Packet(bytes) => write!(f, "Packet({} bytes)", bytes.len()),
            Self::ChannelData(inner) => inner.fmt(f),
            Self::MsMux(inner) => inner.fmt(f),
        }
    }
}

/// Finds the framing from the first bytes of a stream. Answers only on a magic value, so a stream that was
/// joined in the middle is [`Detection::NotMine`].
pub fn detect(stream: &[u8]) -> Detection {
    let cookie_at = |offset: usize| {
        stream.get(offset..offset.saturating_add(4)).map(|bytes| bytes == MAGIC_COOKIE.to_be_bytes())
    };
    let top_bits_clear = |offset: usize| stream.get(offset).is_none_or(|byte| byte & 0xc0 == 0);
    match stream {
        [] | [0xff] => return Detection::NeedMore,
        [0xff, 0x10, ..] => return Detection::Found(Framing::MsMux),
        _ => {}
    }
    if top_bits_clear(0) && cookie_at(4) == Some(true) {
        return Detection::Found(Framing::Native);
    }
    if top_bits_clear(2) && cookie_at(6) == Some(true) {
        return Detection::Found(Framing::LengthPrefixed);
    }
    if matches!(stream, [2 | 3, 0, ..]) && top_bits_clear(4) && cookie_at(8) == Some(true) {
        return Detection::Found(Framing::MsTurn);
    }
    if stream.len() < 12 { Detection::NeedMore } else { Detection::NotMine }
}

/// Whether a stream that was joined in the middle, at the beginning of a segment, goes on with `ChannelData`: a channel number,
/// a length after which the bytes end or another message begins, and inside what a relay carries (RFC 7983). The
/// caller's port must support it.
pub fn resumes(stream: &[u8]) -> bool {
    let Some((&[channel, _, high, low], rest)) = stream.split_first_chunk::<4>() else { return false };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let carried = matches!(rest.first(), Some(0..=3 | 20..=63 | 0x80..=0xbf));
    let padded = length.next_multiple_of(4);
    let fits = rest.len() == padded || matches!(rest.get(padded..), Some([0 | 1 | 0x40..=0x4f, ..]));
    (0x40..=0x4f).contains(&channel) && length >= 12 && carried && fits
}

/// The first message in `stream` and how many bytes it took; `None` when more bytes are needed.
///
/// # Errors
/// When the bytes cannot begin a message in this framing: the stream is out of step.
pub fn next_frame(framing: Framing, stream: &[u8]) -> Result<Option<(Frame<'_>, usize)>, ParseError> {
    match cut(framing, stream) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_truncated() => Ok(None),
        Err(error) => Err(error),
    }
}

fn cut(framing: Framing, stream: &[u8]) -> Result<(Frame<'_>, usize), ParseError> {
    let mut reader = Reader::new(stream);
    let frame = match framing {
        Framing::Native => return cut_native(stream),
        Framing::MsMux => {
            let frame = ms_mux::parse(stream)?;
            let taken = ms_mux::HEADER_LENGTH.saturating_add(frame.payload.len());
            return Ok((Frame::MsMux(frame), taken));
        }
        Framing::LengthPrefixed => {
            let length = usize::from(reader.u16("RFC 4571 length")?);
            Frame::Packet(reader.take(length, "RFC 4571 packet")?)
        }
        Framing::MsTurn => {
            let kind = reader.u16("MS-TURN frame type")?;
            if kind != 0x0200 && kind != 0x0300 {
                return Err(ParseError::Invalid {
                    field: "MS-TURN frame type",
                    offset: 0,
                    value: u64::from(kind),
                });
            }
            let length = usize::from(reader.u16("MS-TURN frame length")?);
            let packet = reader.take(length, "MS-TURN frame")?;
            if kind == 0x0200 { Frame::Stun(packet) } else { Frame::Packet(packet) }
        }
    };
    Ok((frame, reader.position()))
}

fn cut_native(stream: &[u8]) -> Result<(Frame<'_>, usize), ParseError> {
    let mut reader = Reader::new(stream);
    let first = reader.u16("STUN message type")?;
    let length = usize::from(reader.u16("STUN message length")?);
    let mut whole = Reader::new(stream);
    match first >> 12 {
        0..=3 => {
            let bytes = whole.take(HEADER_LENGTH.saturating_add(length), "STUN message")?;
            Ok((Frame::Stun(bytes), whole.position()))
        }
        4 => {
            // RFC 8656 §12.5: on a stream the data is padded to four bytes, the length does not count it.
            let padded = length.saturating_add(length.wrapping_neg() & 3).saturating_add(4);
            let bytes = whole.take(padded, "TURN channel data")?;
            Ok((Frame::ChannelData(ChannelData::parse(bytes)?), whole.position()))
        }
        _ => Err(ParseError::Invalid { field: "STUN message type", offset: 0, value: u64::from(first) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    #[test]
    fn native_stream_of_stun_and_padded_channel_data_is_cut() {
        let stream = [&BINDING[..], &[0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0], &BINDING[..7]].concat();
        assert_eq!(detect(&stream), Detection::Found(Framing::Native));
        let (first, taken) = next_frame(Framing::Native, &stream).unwrap().unwrap();
        assert_eq!((first, taken), (Frame::Stun(&BINDING), 20));
        let (second, taken) = next_frame(Framing::Native, &stream[20..]).unwrap().unwrap();
        assert_eq!(
            (second, taken),
            (Frame::ChannelData(ChannelData { channel: 0x4000, data: &[1, 2, 3, 4, 5] }), 12)
        );
        assert_eq!(next_frame(Framing::Native, &stream[32..]), Ok(None));
        assert!(next_frame(Framing::Native, b"GET / HTTP/1.1").is_ok_and(|x| x.is_none()));
        assert!(next_frame(Framing::Native, &[0x80, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_stream_joined_in_the_middle_resumes_with_whole_channel_data() {
        let mut stream = vec![0x40, 0, 0, 13, 0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 9, 0, 0, 0];
        assert!(resumes(&stream));
        assert!(!resumes(&stream[..19]), "cut");
        stream.push(0x40);
        assert!(resumes(&stream), "another begins");
        stream[20] = 0x99;
        assert!(!resumes(&stream));
        stream.truncate(20);
        stream[4] = 0x70;
        assert!(!resumes(&stream), "nothing that a relay carries");
    }

    #[test]
    fn length_prefixed_and_microsoft_streams_are_told_apart() {
        let prefixed = [&[0, 20][..], &BINDING].concat();
        assert_eq!(detect(&prefixed), Detection::Found(Framing::LengthPrefixed));
        assert_eq!(
            next_frame(Framing::LengthPrefixed, &prefixed).unwrap().unwrap(),
            (Frame::Packet(&BINDING), 22)
        );
        let ms_turn = [&[2, 0, 0, 20][..], &BINDING].concat();
        assert_eq!(detect(&ms_turn), Detection::Found(Framing::MsTurn));
        assert_eq!(next_frame(Framing::MsTurn, &ms_turn).unwrap().unwrap(), (Frame::Stun(&BINDING), 24));
        let mux = [&[0xff, 0x10, 0, 28, 0, 0, 0, 0, 0, 0, 0, 9][..], &BINDING].concat();
        assert_eq!(detect(&mux), Detection::Found(Framing::MsMux));
        let (frame, taken) = next_frame(Framing::MsMux, &mux).unwrap().unwrap();
        assert_eq!(frame, Frame::MsMux(ms_mux::Frame { session_id: 9, payload: &BINDING }));
        assert_eq!(taken, 32);
        assert_eq!(detect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00"), Detection::NotMine);
        assert_eq!(detect(b"\x16\x03"), Detection::NeedMore);
    }

    proptest! {
        #[test]
        fn any_stream_never_panics_and_never_overruns(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = detect(&bytes);
            for framing in [Framing::Native, Framing::LengthPrefixed, Framing::MsMux, Framing::MsTurn] {
                if let Ok(Some((_, taken))) = next_frame(framing, &bytes) {
                    prop_assert!(taken <= bytes.len() && taken > 0);
                }
            }
        }

        #[test]
        fn near_a_stream_a_frame_ends_where_it_says_whatever_follows(
            bytes in near([
                [&BINDING[..], &[0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0], &BINDING].concat(),
                [&[0, 20][..], &BINDING, &[0, 20], &BINDING].concat(),
                [&[2, 0, 0, 20][..], &BINDING, &[3, 0, 0, 20], &BINDING].concat(),
                [&[0xff, 0x10, 0, 28, 0, 0, 0, 0, 0, 0, 0, 9][..], &BINDING].concat(),
            ]),
        ) {
            let _ = (detect(&bytes), resumes(&bytes));
            for framing in [Framing::Native, Framing::LengthPrefixed, Framing::MsMux, Framing::MsTurn] {
                let mut rest = bytes.as_slice();
                while let Ok(Some((frame, taken))) = next_frame(framing, rest) {
                    prop_assert_eq!(next_frame(framing, &rest[..taken]), Ok(Some((frame, taken))));
                    prop_assert_eq!(next_frame(framing, &rest[..taken - 1]), Ok(None));
                    rest = &rest[taken..];
                }
            }
        }
    }
}
