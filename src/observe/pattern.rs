//! Byte patterns, compiled from data: which packet of a flow bears which mark.
//!
//! The patterns come from provider files; this stage knows neither their owners nor their meaning.

use std::ops::RangeInclusive;

use memchr::memmem;

use crate::flow::Direction;

/// Packets with payload of one flow that are held against the patterns, each way.
pub const PACKETS_TESTED: u8 = 32;

/// One pattern. A payload matches when every condition given holds.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// IP protocol number; `None` means UDP and TCP.
    pub protocol: Option<u8>,
    /// Ports, one of which either end must have; empty means any.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Bytes that must stand at an offset: (offset, value, mask), masked before the comparison.
    pub fixed: Vec<(usize, u8, u8)>,
    /// Bytes that must stand anywhere.
    pub contains: Option<Needle>,
    /// Payload length, in bytes.
    pub length: RangeInclusive<usize>,
    /// A 16-bit field that must tell the payload's length.
    pub length_field: Option<LengthField>,
    /// Which way the packet must go within its flow.
    pub direction: Option<Direction>,
    /// The first byte must be one more than that of the packet before, modulo 256, the same way.
    pub counts_up: bool,
    /// Index of the rule, reported with a hit.
    pub rule: u16,
}

/// Bytes that must stand anywhere in a payload, in a row or apart, or one over the other.
#[derive(Debug, Clone)]
pub struct Needle {
    bytes: memmem::Finder<'static>,
    least: usize,
}

impl Needle {
    /// Bytes that must stand there so many times.
    pub fn new(bytes: &[u8], least: usize) -> Self {
        Self { bytes: memmem::Finder::new(bytes).into_owned(), least }
    }

    /// An empty needle is never found.
    fn is_in(&self, payload: &[u8]) -> bool {
        let mut rest = payload;
        !self.bytes.needle().is_empty()
            && (0..self.least).all(|_| {
                let Some(place) = self.bytes.find(rest) else { return false };
                rest = rest.get(place.saturating_add(1)..).unwrap_or_default();
                true
            })
    }
}

/// A 16-bit integer that, masked and plus `adjust`, is the payload's length.
#[derive(Debug, Clone, Copy)]
pub struct LengthField {
    /// Offset of the integer, in bytes.
    pub at: usize,
    /// True for least significant byte first.
    pub little_endian: bool,
    /// Bits of the integer that count.
    pub mask: u16,
    /// Added to the integer.
    pub adjust: i64,
}

impl LengthField {
    fn tells(&self, payload: &[u8]) -> bool {
        let Some(bytes) = payload.get(self.at..).and_then(|tail| tail.first_chunk::<2>()) else {
            return false;
        };
        let value = if self.little_endian { u16::from_le_bytes(*bytes) } else { u16::from_be_bytes(*bytes) };
        i64::from(value & self.mask).checked_add(self.adjust) == i64::try_from(payload.len()).ok()
    }
}

/// What a pattern needs to know of a packet beside its payload.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// IP protocol number.
    pub protocol: u8,
    /// Ports of originator and responder.
    pub ports: [u16; 2],
    /// Which way the packet goes.
    pub direction: Direction,
    /// First byte of the packet before it, the same way.
    pub previous: Option<u8>,
}

impl Context {
    fn counts_up(self, payload: &[u8]) -> bool {
        self.previous.is_some_and(|previous| payload.first() == Some(&previous.wrapping_add(1)))
    }
}

impl Pattern {
    /// True when the packet bears this mark.
    pub fn matches(&self, context: &Context, payload: &[u8]) -> bool {
        // What stands in the pattern itself comes before the lists that hang from it.
        self.protocol.is_none_or(|protocol| protocol == context.protocol)
            && self.length.contains(&payload.len())
            && self.direction.is_none_or(|direction| direction == context.direction)
            && self
                .fixed
                .iter()
                .all(|(offset, value, mask)| payload.get(*offset).is_some_and(|byte| byte & mask == *value))
            && (self.ports.is_empty()
                || self.ports.iter().any(|range| context.ports.iter().any(|port| range.contains(port))))
            && (!self.counts_up || context.counts_up(payload))
            && self.length_field.is_none_or(|field| field.tells(payload))
            && self.contains.as_ref().is_none_or(|needle| needle.is_in(payload))
    }
}

/// What can be told at one glance: a pattern that fails here fails. Some twenty are held against every packet, and all but one or two
/// end here.
#[derive(Debug, Clone, Copy)]
struct Glance {
    /// The first eight bytes that are fixed, and what they are then.
    mask: u64,
    value: u64,
    /// Lengths, up to the highest number for those that are beyond it.
    least: u16,
    most: u16,
    /// Number of the pattern.
    number: u16,
}

impl Glance {
    fn new(pattern: &Pattern, number: u16) -> Self {
        let (mut mask, mut value, mut least) = ([0; 8], [0; 8], *pattern.length.start());
        for (offset, byte, bits) in &pattern.fixed {
            least = least.max(offset.saturating_add(1));
            if let (Some(held), Some(expected)) = (mask.get_mut(*offset), value.get_mut(*offset))
                && *held == 0
            {
                (*held, *expected) = (*bits, *byte);
            }
        }
        let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        Self {
            mask: u64::from_le_bytes(mask),
            value: u64::from_le_bytes(value),
            least: length(least),
            most: length(*pattern.length.end()),
            number,
        }
    }

    /// `first` are the first eight bytes, zeros where there are none.
    #[inline]
    const fn fits(&self, length: u16, first: u64) -> bool {
        first & self.mask == self.value && self.least <= length && length <= self.most
    }
}

/// Most packets are of these two.
const PROTOCOLS: [u8; 2] = [6, 17];

/// All patterns of a run, bucketed by protocol and by what their first byte may be.
#[derive(Debug, Clone)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
    /// A bucket for each first byte, for each of [`PROTOCOLS`] and, last, for those of any other.
    buckets: Vec<Vec<Glance>>,
}

impl PatternSet {
    /// Compiles the set.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let mut buckets = vec![Vec::new(); PROTOCOLS.len().saturating_add(1).saturating_mul(256)];
        let protocols = PROTOCOLS.map(Some).into_iter().chain([None]);
        for (of, buckets) in protocols.zip(buckets.chunks_mut(256)) {
            for (number, pattern) in (0..=u16::MAX).zip(&patterns) {
                // In the last bucket the pattern itself compares the protocol.
                if of.is_some() && pattern.protocol.is_some_and(|protocol| Some(protocol) != of) {
                    continue;
                }
                let glance = Glance::new(pattern, number);
                let first = pattern.fixed.iter().find(|(offset, ..)| *offset == 0);
                for (byte, bucket) in (0..=u8::MAX).zip(buckets.iter_mut()) {
                    if first.is_none_or(|(_, value, mask)| byte & mask == *value) {
                        bucket.push(glance);
                    }
                }
            }
        }
        Self { patterns, buckets }
    }

    /// Calls `hit` with the rule of every pattern that the packet bears.
    pub fn search(&self, context: &Context, payload: &[u8], mut hit: impl FnMut(u16)) {
        let Some(first) = payload.first() else { return };
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        let start = payload.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut start = [0; 8];
            start.iter_mut().zip(payload).for_each(|(to, byte)| *to = *byte);
            start
        });
        let start = u64::from_le_bytes(start);
        let known = PROTOCOLS.iter().position(|protocol| *protocol == context.protocol);
        let bucket = known.unwrap_or(PROTOCOLS.len()).saturating_mul(256).saturating_add(usize::from(*first));
        for glance in self.buckets.get(bucket).into_iter().flatten() {
            if glance.fits(length, start)
                && let Some(pattern) = self.patterns.get(usize::from(glance.number))
                && pattern.matches(context, payload)
            {
                hit(pattern.rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> Pattern {
        Pattern {
            protocol: Some(17),
            ports: Vec::new(),
            fixed: vec![(0, 0x00, 0xff), (1, 0x01, 0xff), (3, 0x40, 0xf0)],
            contains: None,
            length: 5..=6,
            length_field: None,
            direction: None,
            counts_up: false,
            rule: 7,
        }
    }

    const UDP: Context =
        Context { protocol: 17, ports: [40_000, 50_000], direction: Direction::Forward, previous: None };

    fn hits(pattern: Pattern, context: Context, payload: &[u8]) -> Vec<u16> {
        let mut found = Vec::new();
        PatternSet::new(vec![pattern]).search(&context, payload, |rule| found.push(rule));
        found
    }

    proptest! {
        /// Short lengths, few values and few offsets, so that patterns are met; lengths around what sixteen bits hold.
        #[test]
        fn all_that_match_are_found(
            fixed in prop::collection::vec((0_usize..12, 0_u8..4, 0_u8..4), 0..5),
            protocol in prop::option::of(prop_oneof![Just(0_u8), Just(6), Just(17)]),
            of in prop_oneof![Just(0_u8), Just(6), Just(17)],
            least in prop_oneof![0_usize..14, 65_530_usize..65_540],
            more in prop_oneof![0_usize..14, Just(70_000)],
            start in prop::collection::vec(0_u8..4, 0..14),
            fill in prop_oneof![Just(0_usize), Just(65_534), Just(65_535), Just(65_536)],
        ) {
            let mut payload = start;
            payload.resize(payload.len().max(fill), 1);
            let made = Pattern { protocol, fixed, length: least..=least + more, ..pattern() };
            let context = Context { protocol: of, ..UDP };
            let expected = !payload.is_empty() && made.matches(&context, &payload);
            prop_assert_eq!(hits(made, context, &payload), if expected { vec![7] } else { vec![] });
        }
    }

    proptest! {
        /// Of several, each under its own rule: those that match one by one, in their order, whatever the protocol.
        #[test]
        fn of_several_those_are_found_that_match_alone(
            made in prop::collection::vec(
                (prop::option::of(prop::sample::select(&[0_u8, 6, 17, 132][..])), prop::option::of(0_u8..2), 0_usize..3),
                0..8,
            ),
            protocol in prop::sample::select(&[0_u8, 6, 17, 132][..]),
            payload in prop::collection::vec(0_u8..3, 0..4),
        ) {
            let each = (0..).zip(made).map(|(rule, (protocol, first, least))| {
                let fixed = first.map(|first| (0, first, 0xff)).into_iter().collect();
                Pattern { protocol, fixed, length: least..=9, rule, ..pattern() }
            });
            let (each, context) = (each.collect::<Vec<_>>(), Context { protocol, ..UDP });
            let alone = each.iter().filter(|one| !payload.is_empty() && one.matches(&context, &payload));
            let expected: Vec<u16> = alone.map(|one| one.rule).collect();
            let mut found = Vec::new();
            PatternSet::new(each).search(&context, &payload, |rule| found.push(rule));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn fixed_bytes_respect_their_mask_and_the_length() {
        assert_eq!(hits(pattern(), UDP, &[0, 1, 9, 0x4f, 0]), [7]);
        assert!(hits(pattern(), UDP, &[0, 1, 9, 0x5f, 0]).is_empty());
        assert!(hits(pattern(), UDP, &[0, 1, 9, 0x4f]).is_empty(), "too short");
        assert!(hits(pattern(), UDP, &[0, 1, 9, 0x4f, 0, 0, 0]).is_empty(), "too long");
    }

    #[test]
    fn protocol_ports_and_direction_are_conditions() {
        let payload = [0, 1, 9, 0x4f, 0];
        assert!(hits(pattern(), Context { protocol: 6, ..UDP }, &payload).is_empty());
        let ported = Pattern { ports: vec![50_000..=50_010], ..pattern() };
        assert_eq!(hits(ported.clone(), UDP, &payload), [7]);
        assert!(hits(ported, Context { ports: [1, 2], ..UDP }, &payload).is_empty());
        let back = Pattern { direction: Some(Direction::Reverse), ..pattern() };
        assert!(hits(back, UDP, &payload).is_empty());
    }

    #[test]
    fn a_first_byte_that_counts_needs_the_packet_before() {
        let counting = Pattern { fixed: Vec::new(), length: 1..=9, counts_up: true, ..pattern() };
        assert!(hits(counting.clone(), UDP, &[8]).is_empty());
        assert_eq!(hits(counting.clone(), Context { previous: Some(7), ..UDP }, &[8]), [7]);
        assert_eq!(hits(counting.clone(), Context { previous: Some(255), ..UDP }, &[0]), [7]);
        assert!(hits(counting, Context { previous: Some(6), ..UDP }, &[8]).is_empty());
    }

    proptest! {
        #[test]
        fn a_needle_occurs_as_often_as_it_does_at_each_place(
            payload in prop::collection::vec(0_u8..2, 0..200),
            needle in prop::collection::vec(0_u8..2, 0..4),
            least in 1_usize..40,
        ) {
            let count = (0..payload.len()).filter(|at| payload[*at..].starts_with(&needle)).count();
            prop_assert_eq!(Needle::new(&needle, least).is_in(&payload), !needle.is_empty() && count >= least);
        }
    }

    #[test]
    fn length_field_and_repeated_bytes() {
        let field = LengthField { at: 0, little_endian: true, mask: u16::MAX, adjust: 2 };
        let framed = Pattern { fixed: Vec::new(), length: 0..=99, length_field: Some(field), ..pattern() };
        assert_eq!(hits(framed.clone(), UDP, &[3, 0, 1, 2, 3]), [7]);
        assert!(hits(framed, UDP, &[4, 0, 1, 2, 3]).is_empty());
        let run = Pattern {
            fixed: Vec::new(),
            length: 0..=99,
            contains: Some(Needle::new(&[0xff; 3], 1)),
            ..pattern()
        };
        assert_eq!(hits(run.clone(), UDP, &[1, 0xff, 0xff, 0xff, 0]), [7]);
        assert!(hits(run, UDP, &[1, 0xff, 0xff, 0, 0xff]).is_empty());
    }
}
