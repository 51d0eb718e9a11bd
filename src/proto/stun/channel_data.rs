//! TURN ChannelData (RFC 8656 §12.4): four bytes before a relayed datagram.

use crate::bytes::{ParseError, Reader};

/// One ChannelData message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// Channel number, 0x4000 to 0x4fff.
    pub channel: u16,
    /// The relayed datagram.
    pub data: &'a [u8],
}

impl std::fmt::Debug for ChannelData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelData")
            .field("channel", &self.channel)
            .field("length", &self.data.len())
            .finish()
    }
}

impl<'a> ChannelData<'a> {
    /// Whether `datagram` can be nothing but channel data: the channel is in range and the length leaves at
    /// most the padding to four bytes that TCP asks for and UDP allows.
    #[inline]
    pub fn fits(datagram: &[u8]) -> bool {
        let Some(([c0, _, l0, l1], data)) = datagram.split_first_chunk::<4>() else { return false };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let spare = data.len().checked_sub(length);
        c0 >> 4 == 4 && spare.is_some_and(|spare| spare < 4)
    }

    /// Reads one message at the start of `input`; padding behind it is left alone.
    ///
    /// # Errors
    /// When the channel is outside 0x4000 to 0x4fff or the data is cut.
    #[inline]
    pub fn parse(input: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(input);
        let channel = reader.u16("TURN channel number")?;
        if channel >> 12 != 4 {
            return Err(ParseError::Invalid {
                field: "TURN channel number",
                offset: 0,
                value: u64::from(channel),
            });
        }
        let length = usize::from(reader.u16("TURN channel data length")?);
        let data = reader.take(length, "TURN channel data")?;
        Ok(Self { channel, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagram_may_carry_padding_but_no_more() {
        let padded = [0x40, 0x01, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
        assert!(ChannelData::fits(&padded));
        assert_eq!(
            ChannelData::parse(&padded).unwrap(),
            ChannelData { channel: 0x4001, data: &[1, 2, 3, 4, 5] }
        );
        assert!(!ChannelData::fits(&[0x40, 0x01, 0, 0, 1, 2, 3, 4]));
        assert!(!ChannelData::fits(&[0x50, 0x01, 0, 0]));
    }

    #[test]
    fn every_prefix_is_truncated() {
        let whole = [0x4f, 0xff, 0, 3, 1, 2, 3];
        for cut in 0..whole.len() {
            assert!(ChannelData::parse(&whole[..cut]).unwrap_err().is_truncated());
        }
        assert_eq!(ChannelData::parse(&[0x3f, 0xff, 0, 0]).unwrap_err().field(), "TURN channel number");
    }
}
