//! Frames of a packet.
//!
//! In: the plaintext of a packet. Out: an iterator of [`Frame`]s. RFC 9000 §19 for PADDING, PING,
//! ACK, CRYPTO and `CONNECTION_CLOSE`, which may stand in an Initial, and for all others (with RFC 9221) where
//! a key log has opened later packets; Google's own numbering for Q050, T050 and T051. Anything
//! else ends the walk with an error that names the frame type: the length of an unknown frame is unknown.

use crate::bytes::{ParseError, Reader};

use super::header::{varint, varlen};

/// A frame; what no caller looks at is left out.
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
    /// Application data at an offset of its stream.
    Stream {
        /// Stream ID.
        id: u64,
        /// Offset of the first byte.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// `NEW_CONNECTION_ID`.
    NewConnectionId {
        /// Bytes of the ID.
        length: usize,
    },
    /// DATAGRAM (RFC 9221).
    Datagram(&'a [u8]),
    /// A frame that moves no data.
    Other,
}

/// Which frames may stand in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Initial,
    Google,
    /// Those of Handshake and 1-RTT packets.
    All,
}

/// Walks the frames of one packet; ends after the first error.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    reader: Reader<'a>,
    set: Set,
}

impl<'a> Frames<'a> {
    pub(super) const fn new(payload: &'a [u8], google: bool) -> Self {
        Self { reader: Reader::new(payload), set: if google { Set::Google } else { Set::Initial } }
    }

    /// Of a Handshake or 1-RTT packet.
    pub(super) const fn opened(payload: &'a [u8]) -> Self {
        Self { reader: Reader::new(payload), set: Set::All }
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
            kind if self.set == Set::All => later(reader, kind, offset),
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
        let frame = if self.set == Set::Google { self.google() } else { self.ietf() };
        if frame.is_err() {
            self.reader.rest();
        }
        Some(frame)
    }
}

/// Frames that no Initial may hold.
fn later<'a>(reader: &mut Reader<'a>, kind: u64, offset: usize) -> Result<Frame<'a>, ParseError> {
    // How many integers a frame without data has.
    let integers = match kind {
        0x08..=0x0f => return stream(reader, kind),
        0x07 => {
            let length = varlen(reader, "token length")?;
            reader.take(length, "token")?;
            0
        }
        0x18 => return new_connection_id(reader),
        0x1a | 0x1b => {
            reader.take(8, "path data")?;
            0
        }
        0x30 => return Ok(Frame::Datagram(reader.rest())),
        0x31 => {
            let length = varlen(reader, "datagram length")?;
            return Ok(Frame::Datagram(reader.take(length, "datagram")?));
        }
        // HANDSHAKE_DONE; IMMEDIATE_ACK of draft-ietf-quic-ack-frequency.
        0x1e | 0x1f => 0,
        0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => 1,
        0x05 | 0x11 | 0x15 => 2,
        0x04 => 3,
        // ACK_FREQUENCY of the same draft.
        0xaf => 4,
        value => return Err(ParseError::Invalid { field: "frame type", offset, value }),
    };
    for _ in 0..integers {
        varint(reader, "frame field")?;
    }
    Ok(Frame::Other)
}

/// `0b00001OLF`: with offset, with length, last.
fn stream<'a>(reader: &mut Reader<'a>, kind: u64) -> Result<Frame<'a>, ParseError> {
    let id = varint(reader, "stream id")?;
    let offset = if kind & 4 == 0 { 0 } else { varint(reader, "stream offset")? };
    let data = if kind & 2 == 0 {
        reader.rest()
    } else {
        let length = varlen(reader, "stream length")?;
        reader.take(length, "stream data")?
    };
    Ok(Frame::Stream { id, offset, data })
}

fn new_connection_id<'a>(reader: &mut Reader<'_>) -> Result<Frame<'a>, ParseError> {
    varint(reader, "connection id number")?;
    varint(reader, "connection id retire")?;
    let length = usize::from(reader.u8("connection id length")?);
    reader.take(length.saturating_add(16), "connection id and reset token")?;
    Ok(Frame::NewConnectionId { length })
}

fn skip_padding<'a>(reader: &mut Reader<'_>) -> Frame<'a> {
    let bytes = reader.peek();
    // A client's first packet is padded to 1200 bytes: sixteen at a time, then the rest one by one.
    let (chunks, _) = bytes.as_chunks::<16>();
    let whole = chunks.iter().take_while(|chunk| **chunk == [0; 16]).count().saturating_mul(16);
    let rest = bytes.get(whole..).unwrap_or_default();
    let run = whole.saturating_add(rest.iter().take_while(|byte| **byte == 0).count());
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
    use crate::bytes::near::near;
    use proptest::prelude::*;

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
    fn a_run_of_padding_ends_at_its_last_byte() {
        for run in 1..70 {
            let mut payload = vec![0; run];
            assert_eq!(
                Frames::new(&payload, false).collect::<Vec<_>>(),
                [Ok(Frame::Padding)],
                "{run} at the end"
            );
            payload.extend([6, 2, 1, 0, 1]);
            let frames: Vec<_> = Frames::new(&payload, false).map(Result::unwrap).collect();
            let crypto = Frame::Crypto { offset: 2, data: &[0] };
            assert_eq!(frames, [Frame::Padding, crypto, Frame::Ping], "{run} before others");
        }
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
    fn later_frames_are_walked_and_no_initial_may_hold_them() {
        let payload = [
            0x0e, 4, 0x41, 0, 2, 7, 8, // STREAM 4 at offset 256
            0x18, 1, 0, 2, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // NEW_CONNECTION_ID
            0x1e, 0x10, 5, 0x04, 1, 2, 3, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8, // others
            0x31, 1, 6, 0x08, 0, 5, // DATAGRAM, STREAM to the end
        ];
        let frames: Vec<_> = Frames::opened(&payload).map(Result::unwrap).collect();
        assert_eq!(frames[0], Frame::Stream { id: 4, offset: 256, data: &[7, 8] });
        assert_eq!(frames[1], Frame::NewConnectionId { length: 2 });
        assert_eq!(frames[2..6], [Frame::Other; 4]);
        assert_eq!(frames[6..], [Frame::Datagram(&[6]), Frame::Stream { id: 0, offset: 0, data: &[5] }]);
        assert_eq!(Frames::new(&payload, false).next().unwrap().unwrap_err().field(), "frame type");
        for end in 1..payload.len() {
            Frames::opened(&payload[..end]).for_each(drop);
        }
    }

    #[test]
    fn endless_ack_ends_with_its_input() {
        let payload = [2, 9, 0, 0xbf, 0xff, 0xff, 0xff, 0, 1, 1];
        assert!(Frames::new(&payload, false).next().unwrap().unwrap_err().is_truncated());
    }

    /// The payloads above, and one with ACK, `NEW_TOKEN` and both forms of DATAGRAM.
    const PAYLOADS: [&[u8]; 4] = [
        &[2, 9, 0x40, 0x19, 1, 0, 3, 4, 1, 0, 0, 0, 6, 2, 2, 0xaa, 0xbb, 0x1c, 0x0a, 6, 1, b'x'],
        &[0x60, 5, 0, 0, 1, 4, 1, 2, 0, 8, 0, 1, 0xcc],
        &[0x0e, 4, 0x41, 0, 2, 7, 8, 0x1e, 0x10, 5, 0x04, 1, 2, 3, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 0, 5],
        &[3, 9, 0, 0, 1, 1, 2, 3, 7, 2, 5, 5, 0x31, 1, 6, 0x30, 1, 2],
    ];

    #[test]
    fn the_payloads_that_are_damaged_below_are_sound() {
        let sets = [Frames::new(PAYLOADS[0], false), Frames::new(PAYLOADS[1], true)];
        for frames in sets.into_iter().chain(PAYLOADS[2..].iter().map(|payload| Frames::opened(payload))) {
            assert!(frames.collect::<Result<Vec<_>, _>>().is_ok_and(|frames| frames.len() > 1));
        }
    }

    proptest! {
        #[test]
        fn near_a_payload_frames_hold_no_more_than_it(payload in near(PAYLOADS), google: bool) {
            for frames in [Frames::new(&payload, google), Frames::opened(&payload)] {
                let (mut bytes, mut count, mut faults) = (0, 0, 0);
                for frame in frames {
                    prop_assert_eq!(faults, 0, "the first fault ends the walk");
                    count += 1;
                    match frame {
                        Ok(Frame::Crypto { data, .. } | Frame::Stream { data, .. } | Frame::Datagram(data)) => bytes += data.len(),
                        Ok(Frame::NewConnectionId { length }) => bytes += length,
                        Ok(_) => {}
                        Err(_) => faults += 1,
                    }
                }
                prop_assert!(count + bytes <= payload.len());
            }
        }
    }
}
