//! Frames that may stand in an Initial packet.
//!
//! In: the plaintext of an Initial. Out: an iterator of [`Frame`]s. RFC 9000 §19 for PADDING, PING,
//! ACK, CRYPTO and `CONNECTION_CLOSE`; Google's own numbering for Q050, T050 and T051. Anything
//! else ends the walk with an error that names the frame type: the length of an unknown frame is unknown.

use crate::bytes::{ParseError, Reader};

use super::header::{varint, varlen};

/// A frame of an Initial packet; what no caller looks at is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A run of PADDING.
    Padding,
    /// PING.
    Ping,
    /// ACK, with or without ECN counts.
    Ack,
    /// Handshake bytes at an offset of their stream.
    Crypto {
        /// Offset of the first byte.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// `CONNECTION_CLOSE`.
    Close {
        /// The peer's reason: a transport or TLS alert code.
        error_code: u64,
    },
}

/// Walks the frames of one packet; ends after the first error.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    reader: Reader<'a>,
    google: bool,
}

impl<'a> Frames<'a> {
    pub(super) const fn new(payload: &'a [u8], google: bool) -> Self {
        Self { reader: Reader::new(payload), google }
    }

    fn ietf(&mut self) -> Result<Frame<'a>, ParseError> {
        let reader = &mut self.reader;
        let offset = reader.position();
        match varint(reader, "frame type")? {
            0 => Ok(skip_padding(reader)),
            1 => Ok(Frame::Ping),
            kind @ (2 | 3) => ietf_ack(reader, kind == 3),
            6 => crypto(reader),
            kind @ (0x1c | 0x1d) => {
                let error_code = varint(reader, "close error code")?;
                if kind == 0x1c {
                    varint(reader, "close frame type")?;
                }
                let length = varlen(reader, "close reason length")?;
                reader.take(length, "close reason")?;
                Ok(Frame::Close { error_code })
            }
            value => Err(ParseError::Invalid { field: "frame type", offset, value }),
        }
    }

    fn google(&mut self) -> Result<Frame<'a>, ParseError> {
        let reader = &mut self.reader;
        let offset = reader.position();
        match reader.u8("frame type")? {
            0 => Ok(skip_padding(reader)),
            2 => {
                let error_code = u64::from(reader.u32("close error code")?);
                let length = usize::from(reader.u16("close reason length")?);
                reader.take(length, "close reason")?;
                Ok(Frame::Close { error_code })
            }
            7 => Ok(Frame::Ping),
            8 => crypto(reader),
            kind @ 0x40..=0x7f => google_ack(reader, kind),
            value => Err(ParseError::Invalid { field: "frame type", offset, value: u64::from(value) }),
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let frame = if self.google { self.google() } else { self.ietf() };
        if frame.is_err() {
            self.reader.rest();
        }
        Some(frame)
    }
}

fn skip_padding<'a>(reader: &mut Reader<'_>) -> Frame<'a> {
    let run = reader.peek().iter().take_while(|byte| **byte == 0).count();
    // The run was just counted, so it is there to be taken.
    let _ = reader.take(run, "padding");
    Frame::Padding
}

fn crypto<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, ParseError> {
    let offset = varint(reader, "crypto offset")?;
    let length = varlen(reader, "crypto length")?;
    Ok(Frame::Crypto { offset, data: reader.take(length, "crypto data")? })
}

fn ietf_ack<'a>(reader: &mut Reader<'_>, ecn: bool) -> Result<Frame<'a>, ParseError> {
    varint(reader, "ack largest")?;
    varint(reader, "ack delay")?;
    let ranges = varint(reader, "ack range count")?;
    varint(reader, "ack first range")?;
    // Each range takes two bytes at least, so the input bounds the loop and not the count.
    for _ in 0..ranges {
        varint(reader, "ack gap")?;
        varint(reader, "ack range")?;
    }
    for _ in 0..if ecn { 3 } else { 0 } {
        varint(reader, "ack ecn count")?;
    }
    Ok(Frame::Ack)
}

/// `01nullmm`: n more blocks, ll bytes of Largest Acked, mm bytes of a block's length.
fn google_ack<'a>(reader: &mut Reader<'_>, kind: u8) -> Result<Frame<'a>, ParseError> {
    let width = |bits: u8| match bits & 3 {
        0 => 1_usize,
        1 => 2,
        2 => 4,
        _ => 6,
    };
    let block = width(kind);
    reader.take(width(kind >> 2), "ack largest")?;
    reader.take(2, "ack delay")?;
    let blocks = if kind & 0x20 == 0 { 0 } else { reader.u8("ack block count")? };
    reader.take(block, "ack first block")?;
    for _ in 0..blocks {
        reader.take(1, "ack gap")?;
        reader.take(block, "ack block")?;
    }
    let stamps = usize::from(reader.u8("ack timestamp count")?);
    if stamps > 0 {
        // The first takes a packet delta and 4 bytes of time, each later one a delta and 2 bytes.
        reader.take(stamps.saturating_mul(3).saturating_add(2), "ack timestamps")?;
    }
    Ok(Frame::Ack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_an_initial_are_walked() {
        let payload = [
            2, 9, 0x40, 0x19, 1, 0, 3, 4, // ACK with one more range
            1, 0, 0, 0, // PING, PADDING
            6, 2, 2, 0xaa, 0xbb, // CRYPTO
            0x1c, 0x0a, 6, 1, b'x', // CONNECTION_CLOSE
        ];
        let frames: Vec<_> = Frames::new(&payload, false).map(Result::unwrap).collect();
        let crypto = Frame::Crypto { offset: 2, data: &[0xaa, 0xbb] };
        assert_eq!(
            frames,
            [Frame::Ack, Frame::Ping, Frame::Padding, crypto, Frame::Close { error_code: 10 }]
        );
    }

    #[test]
    fn google_frames_are_walked() {
        let payload = [0x60, 5, 0, 0, 1, 4, 1, 2, 0, 8, 0, 1, 0xcc];
        let frames: Vec<_> = Frames::new(&payload, true).map(Result::unwrap).collect();
        assert_eq!(frames, [Frame::Ack, Frame::Crypto { offset: 0, data: &[0xcc] }]);
    }

    #[test]
    fn unknown_frame_ends_the_walk() {
        let frames: Vec<_> = Frames::new(&[1, 0x21, 1, 1], false).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1], Err(ParseError::Invalid { field: "frame type", offset: 1, value: 0x21 }));
    }

    #[test]
    fn endless_ack_ends_with_its_input() {
        let payload = [2, 9, 0, 0xbf, 0xff, 0xff, 0xff, 0, 1, 1];
        assert!(Frames::new(&payload, false).next().unwrap().unwrap_err().is_truncated());
    }
}
