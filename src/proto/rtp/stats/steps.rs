//! Steps of a stream that wait for its clock.
//!
//! Many streams (FEC, repairs, short ones) never get one and keep theirs as long as they live, so that steps are written one behind the
//! other as numbers of seven bits a byte: a third of what they take as they are.

use crate::bytes::varint;
use crate::time::Timestamp;

/// Steps that wait for a clock; a stream that has none by then is measured from where it gets one.
const PENDING_STEPS: u16 = 512;

/// One step of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// By how much the media timestamp rose.
    pub(super) advance: u32,
    pub(super) passed_ns: i64,
    /// Packets so far, which weigh the mean.
    pub(super) packets: u32,
    /// Neither marker nor comfort noise.
    pub(super) is_steady: bool,
}

/// The first steps of a stream whose clock is not known yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    bytes: Vec<u8>,
    count: u16,
    /// Packets at the latest step.
    packets: u32,
    /// Time and media timestamp from which the pace is measured, where numbering began anew before there was a clock.
    pub(super) base: Option<(Timestamp, u32)>,
}

impl Steps {
    /// Adds a step, unless there are enough.
    pub(super) fn push(&mut self, step: &Step) {
        if self.count >= PENDING_STEPS {
            return;
        }
        self.count = self.count.saturating_add(1);
        let sign = u64::from(step.passed_ns.is_negative());
        put(&mut self.bytes, u64::from(step.advance) << 1 | u64::from(step.is_steady));
        // Time that ran backwards is rare and short: the sign stands below, so that small numbers stay small.
        put(&mut self.bytes, step.passed_ns.unsigned_abs().min(u64::MAX >> 1) << 1 | sign);
        put(&mut self.bytes, step.packets.wrapping_sub(self.packets).into());
        self.packets = step.packets;
    }

    /// The steps in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Step> + '_ {
        let mut bytes = self.bytes.as_slice();
        let mut packets = 0_u32;
        std::iter::from_fn(move || {
            let (advance, passed, more) = (take(&mut bytes)?, take(&mut bytes)?, take(&mut bytes)?);
            let magnitude = i64::try_from(passed >> 1).unwrap_or(i64::MAX);
            packets = packets.wrapping_add(u32::try_from(more).unwrap_or(0));
            Some(Step {
                advance: u32::try_from(advance >> 1).unwrap_or(u32::MAX),
                passed_ns: if passed & 1 == 0 { magnitude } else { magnitude.saturating_neg() },
                packets,
                is_steady: advance & 1 == 1,
            })
        })
    }
}

/// Writes a number as [`varint`] reads it.
fn put(bytes: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap_or(0));
}

/// Takes a number that [`put`] wrote.
fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (number, length) = varint(bytes)?;
    *bytes = bytes.get(length..)?;
    Some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            steps in prop::collection::vec((0..=u32::MAX >> 1, -i64::MAX..=i64::MAX, 0_u32..9, any::<bool>()), 0..700),
        ) {
            let mut kept = Steps::default();
            let mut packets = u32::MAX - 1000;
            let one = |(advance, passed_ns, more, is_steady)| {
                packets = packets.saturating_add(more);
                Step { advance, passed_ns, packets, is_steady }
            };
            let steps: Vec<Step> = steps.into_iter().map(one).collect();
            for step in &steps {
                kept.push(step);
            }
            prop_assert!(kept.iter().eq(steps.into_iter().take(512)));
        }
    }

    #[test]
    fn a_packet_every_twenty_milliseconds_takes_seven_bytes() {
        let mut kept = Steps::default();
        (1..=100).for_each(|packets| {
            kept.push(&Step { advance: 960, passed_ns: 20_000_000, packets, is_steady: true });
        });
        assert_eq!(kept.bytes.len(), 700);
    }
}
