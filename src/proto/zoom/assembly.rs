//! A picture's unit put together from its fragments. In: RTP payloads of one stream, in the order in which they came. Out: whole
//! units, in order only; what has a gap is dropped and counted.

use super::unit::parse_fragment;

/// Puts units of one stream together.
#[derive(Debug, Default)]
pub struct Assembler {
    buffer: Vec<u8>,
    open: Option<Open>,
    dropped: u32,
}

/// The unit that is being put together.
#[derive(Debug, Clone, Copy)]
struct Open {
    next: u16,
    timestamp: u32,
}

impl Assembler {
    /// Longest unit that is put together, in bytes; a key frame in full HD has some 200,000.
    pub const MAX_UNIT: usize = 1 << 19;

    /// Takes the payload of one RTP packet with its sequence number and timestamp; the unit, when this completes one.
    ///
    /// FEC and second copies of a packet are to be kept away by the caller.
    pub fn packet<'a>(&'a mut self, sequence: u16, timestamp: u32, payload: &'a [u8]) -> Option<&'a [u8]> {
        let Ok(fragment) = parse_fragment(payload) else {
            self.abandon();
            return None;
        };
        if fragment.starts {
            self.abandon();
            if fragment.ends {
                return Some(fragment.data);
            }
            self.buffer.clear();
        } else if !self.open.is_some_and(|open| open.next == sequence && open.timestamp == timestamp) {
            self.abandon();
            return None;
        }
        let length = self.buffer.len().saturating_add(fragment.data.len());
        if length > Self::MAX_UNIT {
            self.open = Some(Open { next: sequence, timestamp });
            self.abandon();
            return None;
        }
        if length > self.buffer.capacity() {
            // By a quarter, not by as much again: what is held counts.
            self.buffer.reserve_exact(fragment.data.len().saturating_add(self.buffer.len() / 4));
        }
        self.buffer.extend_from_slice(fragment.data);
        if fragment.ends {
            self.open = None;
            return Some(&self.buffer);
        }
        self.open = Some(Open { next: sequence.wrapping_add(1), timestamp });
        None
    }

    /// Units that were begun and not completed: lost or overtaken packets, or longer than is believed.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Bytes that are held for the unit that is being put together; none between units, once [`let_go`](Self::let_go) was called.
    pub const fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Keeps no memory where no unit is being put together.
    pub fn let_go(&mut self) {
        if self.open.is_none() && self.buffer.capacity() > 0 {
            self.buffer = Vec::new();
        }
    }

    /// Gives up the unit that is being put together.
    pub fn abandon(&mut self) {
        if self.open.take().is_some() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fragments(unit: &[u8], size: usize) -> Vec<Vec<u8>> {
        let count = unit.len().div_ceil(size);
        let part = |(index, data): (usize, &[u8])| {
            let header = if index == 0 {
                0x80
            } else if index + 1 == count {
                0x40
            } else {
                0
            };
            [&[0x1c, header], data].concat()
        };
        unit.chunks(size).enumerate().map(part).collect()
    }

    #[test]
    fn a_gap_costs_its_unit_and_no_other() {
        let unit: Vec<u8> = (0..=255).collect();
        let parts = fragments(&unit, 100);
        let mut assembler = Assembler::default();
        assert!(assembler.packet(1, 7, &parts[0]).is_none());
        assert!(assembler.packet(3, 7, &parts[2]).is_none());
        assert_eq!(assembler.dropped(), 1);
        for (sequence, part) in (u16::MAX - 1..=u16::MAX).chain([0]).zip(&parts) {
            let whole = assembler.packet(sequence, 8, part).map(<[u8]>::to_vec);
            assert_eq!(whole.is_some(), sequence == 0);
            assert!(whole.is_none_or(|whole| whole == unit));
        }
        assert!(assembler.packet(4, 9, &[0x65, 1, 2]).is_some_and(|data| data == [1, 2]));
        assert_eq!(assembler.dropped(), 1);
    }

    #[test]
    fn memory_is_held_for_a_unit_that_is_begun_and_for_no_other() {
        let parts = fragments(&[7; 3000], 1000);
        let mut assembler = Assembler::default();
        for (sequence, part) in (1..).zip(&parts) {
            assert_eq!(assembler.packet(sequence, 7, part).is_some(), sequence == 3);
            assembler.let_go();
            assert_eq!(assembler.held() >= usize::from(sequence) * 1000, sequence < 3);
        }
        assert!(assembler.packet(4, 8, &parts[0]).is_none());
        assembler.abandon();
        assembler.let_go();
        assert_eq!((assembler.held(), assembler.dropped()), (0, 1));
    }

    #[test]
    fn fragments_of_another_picture_do_not_fit() {
        let parts = fragments(&[7; 300], 100);
        let mut assembler = Assembler::default();
        assert!(assembler.packet(1, 7, &parts[0]).is_none());
        assert!(assembler.packet(2, 8, &parts[1]).is_none());
        assert!(assembler.packet(3, 8, &parts[2]).is_none());
        assert_eq!(assembler.dropped(), 1);
    }

    proptest! {
        #[test]
        fn any_unit_in_any_cut_comes_back(unit in prop::collection::vec(any::<u8>(), 2..4000), size in 1_usize..1500, first: u16) {
            prop_assume!(unit.len() > size);
            let mut assembler = Assembler::default();
            let parts = fragments(&unit, size);
            for (index, part) in parts.iter().enumerate() {
                let whole = assembler.packet(first.wrapping_add(u16::try_from(index).expect("few")), 1, part);
                prop_assert_eq!(whole.is_some(), index + 1 == parts.len());
                prop_assert!(whole.is_none_or(|whole| whole == unit));
            }
        }

        #[test]
        fn nothing_makes_it_panic(packets in prop::collection::vec((any::<u16>(), 0_u32..3, prop::collection::vec(any::<u8>(), 0..40)), 0..60)) {
            let mut assembler = Assembler::default();
            for (sequence, timestamp, payload) in &packets {
                if let Some(unit) = assembler.packet(*sequence, *timestamp, payload) {
                    prop_assert!(unit.len() <= Assembler::MAX_UNIT);
                }
            }
        }
    }
}
