//! Microsoft's multiplexed TURN frame: `ff10`, a length, a session id, then an ordinary TURN message,
//! channel data or media packet. Seen on UDP and TCP to Microsoft relays.

use crate::bytes::{ParseError, Reader};

/// The two bytes that begin each frame.
pub const MAGIC: u16 = 0xff10;

/// Length of magic, length and session id, in bytes.
pub const HEADER_LENGTH: usize = 12;

/// One frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which TURN allocation on the shared port it belongs to.
    pub session_id: u64,
    /// The message inside.
    pub payload: &'a [u8],
}

impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("session_id", &self.session_id)
            .field("length", &self.payload.len())
            .finish()
    }
}

/// Reads one frame at the start of `input`; what follows it is left alone.
///
/// # Errors
/// When the magic is wrong, the length cannot hold the session id, or the frame is cut.
pub fn parse(input: &[u8]) -> Result<Frame<'_>, ParseError> {
    let mut reader = Reader::new(input);
    let magic = reader.u16("MS mux magic")?;
    if magic != MAGIC {
        return Err(ParseError::Invalid { field: "MS mux magic", offset: 0, value: u64::from(magic) });
    }
    // The length counts everything behind itself, the session id included.
    let length = reader.u16("MS mux length")?;
    let Some(payload_length) = usize::from(length).checked_sub(8) else {
        return Err(ParseError::Invalid { field: "MS mux length", offset: 2, value: u64::from(length) });
    };
    let session_id = reader.u64("MS mux session id")?;
    let payload = reader.take(payload_length, "MS mux payload")?;
    Ok(Frame { session_id, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 16] = [0xff, 0x10, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x7a, 0, 1];

    #[test]
    fn session_id_and_payload_are_taken_apart() {
        let frame = parse(&FRAME).unwrap();
        assert_eq!(frame.session_id, 0x0102_0304_0506_0708);
        assert_eq!(frame.payload, &FRAME[HEADER_LENGTH..]);
    }

    #[test]
    fn every_prefix_is_truncated() {
        for cut in 0..FRAME.len() {
            assert!(parse(&FRAME[..cut]).unwrap_err().is_truncated(), "{cut}");
        }
    }

    #[test]
    fn length_without_room_for_the_session_id_is_invalid() {
        assert_eq!(
            parse(&[0xff, 0x10, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(ParseError::Invalid { field: "MS mux length", offset: 2, value: 7 })
        );
    }
}
