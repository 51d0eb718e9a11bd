//! Fields in the byte order that a capture was written in, and its time units.

use crate::bytes::{ParseError, Reader};
use crate::time::Timestamp;

/// Byte order of a file or section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Big,
    Little,
}

impl ByteOrder {
    #[inline]
    pub(super) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }
}

/// A cursor that reads in either byte order.
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    order: ByteOrder,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(super) const fn new(input: &'a [u8], order: ByteOrder) -> Self {
        Self { reader: Reader::new(input), order }
    }

    #[inline]
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, ParseError> {
        let value = self.reader.u16(field)?;
        Ok(if self.order == ByteOrder::Big { value } else { value.swap_bytes() })
    }

    #[inline]
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        let value = self.reader.u32(field)?;
        Ok(if self.order == ByteOrder::Big { value } else { value.swap_bytes() })
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        let value = self.reader.u64(field)?;
        Ok(if self.order == ByteOrder::Big { value } else { value.swap_bytes() })
    }

    #[inline]
    pub(super) fn take(&mut self, length: u32, field: &'static str) -> Result<&'a [u8], ParseError> {
        self.reader.take(usize::try_from(length).unwrap_or(usize::MAX), field)
    }

    /// Takes `length` bytes and the padding to the next multiple of four, as far as that is there.
    pub(super) fn take_padded(&mut self, length: u32, field: &'static str) -> Result<&'a [u8], ParseError> {
        let taken = self.take(length, field)?;
        let padding = taken.len().wrapping_neg() & 3;
        self.reader.take(padding.min(self.reader.remaining()), field)?;
        Ok(taken)
    }

    #[inline]
    pub(super) const fn position(&self) -> usize {
        self.reader.position()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }
}

/// How a pcapng interface counts time (`if_tsresol` and `if_tsoffset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    unit: Unit,
    offset_nanos: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// This many nanoseconds a tick.
    Nanos(u64),
    /// This many ticks a nanosecond.
    PerNano(u64),
    /// Two to this power ticks a second.
    PowerOfTwo(u32),
}

impl Clock {
    /// Microseconds since the epoch, as an interface without the options counts.
    pub(super) const MICROSECONDS: Self = Self { unit: Unit::Nanos(1000), offset_nanos: 0 };

    /// The resolution as `if_tsresol` gives it: a negative power of ten, or of two when the top bit is set.
    pub(super) fn with_resolution(self, tsresol: u8) -> Self {
        let exponent = u32::from(tsresol & 0x7f);
        let unit = if tsresol & 0x80 != 0 {
            Unit::PowerOfTwo(exponent)
        } else if let Some(smaller) = 9_u32.checked_sub(exponent) {
            Unit::Nanos(10_u64.saturating_pow(smaller))
        } else {
            Unit::PerNano(10_u64.saturating_pow(exponent.saturating_sub(9)))
        };
        Self { unit, ..self }
    }

    /// Seconds to add to every time (`if_tsoffset`).
    pub(super) const fn with_offset(self, seconds: i64) -> Self {
        Self { offset_nanos: seconds.saturating_mul(1_000_000_000), ..self }
    }

    /// The time that `ticks` stands for; clamps at the ends of the range.
    #[inline]
    pub(super) fn time(self, ticks: u64) -> Timestamp {
        let nanos = match self.unit {
            Unit::Nanos(nanos) => ticks.saturating_mul(nanos),
            Unit::PerNano(ticks_per_nano) => ticks.checked_div(ticks_per_nano).unwrap_or(0),
            Unit::PowerOfTwo(exponent) => {
                let scaled = u128::from(ticks).saturating_mul(1_000_000_000);
                u64::try_from(scaled.checked_shr(exponent).unwrap_or(0)).unwrap_or(u64::MAX)
            }
        };
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX).saturating_add(self.offset_nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_and_two_give_the_same_second() {
        let second = Timestamp::from_secs_nanos(1_700_000_000, 500_000_000);
        let ten = |exponent: u8| Clock::MICROSECONDS.with_resolution(exponent);
        assert_eq!(Clock::MICROSECONDS.time(1_700_000_000_500_000), second);
        assert_eq!(ten(9).time(1_700_000_000_500_000_000), second);
        assert_eq!(ten(3).time(1_700_000_000_500), second);
        assert_eq!(ten(10).time(17_000_000_005_000_000_000), second);
        assert_eq!(ten(0x81).time(3_400_000_001), second);
        assert_eq!(ten(0x9e).time((1_700_000_000 << 30) | (1 << 29)), second);
    }

    #[test]
    fn absurd_clocks_do_not_overflow() {
        for resolution in 0..=255 {
            for ticks in [0, 1, u64::MAX] {
                Clock::MICROSECONDS.with_resolution(resolution).with_offset(i64::MIN).time(ticks);
                Clock::MICROSECONDS.with_offset(i64::MAX).with_resolution(resolution).time(ticks);
            }
        }
    }
}
