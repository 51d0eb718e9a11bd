//! What a stream's packets look like in length, small enough to keep: to see that two streams are copies of each other.
//!
//! A media server that forwards a stream gives it another source, other numbers, often another key; what stays is how the
//! lengths of its packets follow each other. Steps between the lengths of packets with consecutive numbers are taken
//! together by `GRAM` and hashed; the `KEPT` smallest hashes are kept with their times (bottom-k sampling), so that
//! two copies keep the same ones however long they are. Silence and other even rows say nothing and are left out.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::time::Timestamp;

/// Steps in a row that are hashed together.
const GRAM: usize = 6;
/// Of these, how many must differ from each other.
const DISTINCT: usize = 4;
/// Hashes kept of a stream.
const KEPT: usize = 64;
/// Rows that must be the same, at the same distance in time, to speak of a copy.
const NEEDED: usize = 4;
/// How far that distance may vary: what a network's delay does.
const VARIES_NS: i64 = 250_000_000;
/// The longest that a copy may come after the original: no server holds live media for longer.
const LONGEST_NS: i64 = 3_000_000_000;

/// The sketch of one stream, updated packet by packet.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Sketch {
    latest: Option<(u16, u16)>,
    steps: [i32; GRAM],
    filled: usize,
    /// In the order of the hashes.
    #[serde(deserialize_with = "in_order")]
    kept: Vec<(u64, Timestamp)>,
    /// The largest hash that is kept, once there are `KEPT`.
    limit: Option<u64>,
}

/// Two streams whose packets have the same lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Rows of packets that are the same.
    pub rows: usize,
    /// Rows that were compared: the fewer of the two streams' samples.
    pub compared: usize,
    /// How long the second stream comes after the first, in ns; negative when it is ahead.
    pub lag_ns: i64,
}

impl Copied {
    /// The lag without its sign.
    pub const fn lag(&self) -> Duration {
        Duration::from_nanos(self.lag_ns.unsigned_abs())
    }
}

/// Rows that were written down when they were not yet kept in order.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(u64, Timestamp)>, D::Error> {
    let mut kept: Vec<(u64, Timestamp)> = Deserialize::deserialize(deserializer)?;
    kept.sort_unstable_by_key(|(hash, _)| *hash);
    Ok(kept)
}

impl Sketch {
    /// Takes a packet: its number, and the length of what follows its header, in bytes.
    #[inline]
    pub fn packet(&mut self, sequence: u16, length: u16, time: Timestamp) {
        let Some((number, before)) = self.latest.replace((sequence, length)) else { return };
        match sequence.wrapping_sub(number) {
            1 => {}
            // Seen twice: as if it had not come.
            0 => return,
            _ => {
                self.filled = 0;
                return;
            }
        }
        self.steps.rotate_left(1);
        if let Some(last) = self.steps.last_mut() {
            *last = i32::from(length).saturating_sub(i32::from(before));
        }
        self.filled = self.filled.saturating_add(1).min(GRAM);
        if self.filled == GRAM
            && let Some(hash) = self.hash()
            && self.limit.is_none_or(|limit| hash < limit)
        {
            self.keep(hash, time);
        }
    }

    fn hash(&self) -> Option<u64> {
        let mut distinct = 0_usize;
        for (index, step) in self.steps.iter().enumerate() {
            let earlier = self.steps.get(..index).unwrap_or_default();
            distinct = distinct.saturating_add(usize::from(*step != 0 && !earlier.contains(step)));
        }
        if distinct < DISTINCT {
            return None;
        }
        // FNV-1a over the steps, then a finalizer, so that small differences reach the high bits.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for step in self.steps {
            for byte in step.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Some(hash ^ hash >> 33)
    }

    fn keep(&mut self, hash: u64, time: Timestamp) {
        let Err(place) = self.kept.binary_search_by_key(&hash, |(held, _)| *held) else { return };
        if self.kept.len() >= KEPT {
            self.kept.pop();
        }
        self.kept.insert(place.min(self.kept.len()), (hash, time));
        if self.kept.len() == KEPT {
            self.limit = self.kept.last().map(|(held, _)| *held);
        }
    }

    /// Hashes of the rows that are kept, each with the time at which it ended: to find candidates among many streams.
    pub fn rows(&self) -> impl Iterator<Item = (u64, Timestamp)> + '_ {
        self.kept.iter().copied()
    }

    /// Whether `other` is a copy of this stream, or this one of it.
    pub fn copied(&self, other: &Self) -> Option<Copied> {
        let mut lags: Vec<i64> = Vec::new();
        let (mut own, mut others) = (self.kept.iter().peekable(), other.kept.iter().peekable());
        while let (Some((hash, time)), Some((held, then))) = (own.peek(), others.peek()) {
            if hash == held {
                lags.push(then.as_nanos().saturating_sub(time.as_nanos()));
            }
            let order = hash.cmp(held);
            if order.is_le() {
                own.next();
            }
            if order.is_ge() {
                others.next();
            }
        }
        lags.sort_unstable();
        let median = *lags.get(lags.len() / 2)?;
        let rows = lags.iter().filter(|lag| lag.abs_diff(median) <= VARIES_NS.unsigned_abs()).count();
        let compared = self.kept.len().min(other.kept.len());
        (rows >= NEEDED && median.abs() <= LONGEST_NS).then_some(Copied { rows, compared, lag_ns: median })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_smallest_rows_are_kept_each_with_its_first_time(
            rows in prop::collection::vec(0_u64..100, 0..400),
        ) {
            let mut sketch = Sketch::default();
            let mut first = std::collections::BTreeMap::new();
            for (hash, time) in rows.into_iter().zip((0..).map(at)) {
                if sketch.limit.is_none_or(|limit| hash < limit) {
                    sketch.keep(hash, time);
                }
                first.entry(hash).or_insert(time);
            }
            prop_assert!(sketch.rows().eq(first.into_iter().take(KEPT)));
        }

        #[test]
        fn rows_are_compared_as_each_with_each_would_be(
            own in prop::collection::btree_map(0_u64..40, 0_i64..4_000, 0..20),
            others in prop::collection::btree_map(0_u64..40, 0_i64..4_000, 0..20),
        ) {
            let sketch = |rows: &std::collections::BTreeMap<u64, i64>| {
                let kept = rows.iter().map(|(hash, millis)| (*hash, at(*millis))).collect();
                Sketch { kept, ..Sketch::default() }
            };
            let mut lags: Vec<i64> =
                own.iter().filter_map(|(hash, time)| Some(others.get(hash)? - time)).collect();
            lags.sort_unstable();
            let expected = lags.get(lags.len() / 2).and_then(|median| {
                let rows = lags.iter().filter(|lag| (*lag - median).abs() <= 250).count();
                (rows >= NEEDED && median.abs() <= 3_000).then(|| (rows, median * 1_000_000))
            });
            let copied = sketch(&own).copied(&sketch(&others)).map(|copied| (copied.rows, copied.lag_ns));
            prop_assert_eq!(copied, expected);
        }
    }

    #[test]
    fn rows_that_were_written_out_of_order_are_read_in_order() {
        let sketch = stream(&lengths(1, 3_000), 0, 0, |_| false, 0);
        let mut written = serde_json::to_value(&sketch).unwrap();
        written["kept"].as_array_mut().unwrap().reverse();
        let read: Sketch = serde_json::from_value(written).unwrap();
        assert!(read.rows().eq(sketch.rows()));
        assert_eq!(read.rows().count(), KEPT);
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + millis * 1_000_000)
    }

    /// Lengths that no rule foretells.
    fn lengths(seed: u32, count: usize) -> Vec<u16> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                60 + u16::try_from(state >> 24).unwrap()
            })
            .collect()
    }

    fn stream(lengths: &[u16], from: u16, delay: i64, lost: impl Fn(usize) -> bool, more: u16) -> Sketch {
        let mut sketch = Sketch::default();
        for (index, length) in lengths.iter().enumerate().filter(|(index, _)| !lost(*index)) {
            let number = from.wrapping_add(u16::try_from(index % 65_536).unwrap());
            sketch.packet(number, length + more, at(i64::try_from(index).unwrap() * 20 + delay));
        }
        sketch
    }

    #[test]
    fn a_forwarded_stream_is_found_under_other_numbers_another_tag_and_loss() {
        let sent = lengths(1, 3_000);
        let original = stream(&sent, 65_000, 0, |_| false, 0);
        let forwarded = stream(&sent, 17, 40, |index| index % 23 == 0, 6);
        let copied = original.copied(&forwarded).unwrap();
        assert!(copied.rows > 20 && copied.compared == 64, "{copied:?}");
        assert_eq!(copied.lag(), Duration::from_millis(40));
    }

    #[test]
    fn other_streams_later_replays_and_silence_are_no_copies() {
        let original = stream(&lengths(1, 3_000), 0, 0, |_| false, 0);
        assert_eq!(original.copied(&stream(&lengths(2, 3_000), 0, 0, |_| false, 0)), None);
        let replayed = stream(&lengths(1, 3_000), 0, 60_000, |_| false, 0);
        assert_eq!(original.copied(&replayed), None, "a minute later");
        let silence = vec![40_u16; 3_000];
        let (here, there) = (stream(&silence, 0, 0, |_| false, 0), stream(&silence, 0, 20, |_| false, 0));
        assert_eq!(here.copied(&there), None);
        assert_eq!(here.rows().count(), 0);
    }
}
