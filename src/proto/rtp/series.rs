//! What a stream did over time: a bounded row of bins on packet time.
//!
//! Bins are one second long until there are [`MAX_BINS`]; then neighbours are merged and bins are two seconds long,
//! and so on: a stream of a day costs no more than one of two minutes. Loss is booked where the gap in the numbers
//! appears; a late packet mends the bins before it, so that the sum over all bins is the stream's own count.

use std::time::Duration;

use crate::time::Timestamp;

/// Bins kept of one stream.
pub const MAX_BINS: u64 = 128;

/// One span of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Begin, counted from the stream's first packet.
    pub start: Duration,
    /// Length.
    pub length: Duration,
    /// Packets, duplicates included.
    pub packets: u32,
    /// Packets that the sequence numbers of this span announce.
    pub expected: u32,
    /// Packets of those that were not seen.
    pub lost: u32,
    /// RTP bytes with headers.
    pub bytes: u64,
    /// Frames completed, where frames are counted.
    pub frames: u32,
    /// Interarrival jitter in ms after its last packet; `None` where it is not known.
    pub jitter_ms: Option<f32>,
}

impl Bin {
    /// Lost of expected, in percent; `None` when nothing was expected.
    pub fn loss_percent(&self) -> Option<f64> {
        (self.expected > 0).then(|| 100.0 * f64::from(self.lost) / f64::from(self.expected))
    }
}

#[derive(Debug, Clone, Copy)]
struct Raw {
    packets: u32,
    unique: u32,
    expected: u32,
    frames: u32,
    bytes: u64,
    /// Negative: not measured.
    jitter_ms: f32,
}

const EMPTY: Raw = Raw { packets: 0, unique: 0, expected: 0, frames: 0, bytes: 0, jitter_ms: -1.0 };

impl Raw {
    const fn merged(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_add(other.packets),
            unique: self.unique.saturating_add(other.unique),
            expected: self.expected.saturating_add(other.expected),
            frames: self.frames.saturating_add(other.frames),
            bytes: self.bytes.saturating_add(other.bytes),
            jitter_ms: if other.jitter_ms < 0.0 { self.jitter_ms } else { other.jitter_ms },
        }
    }
}

/// The bins of one stream.
#[derive(Debug, Clone)]
pub struct Series {
    begin: Timestamp,
    /// Length of a bin in seconds, a power of two.
    seconds: u64,
    bins: Vec<Raw>,
}

/// One packet as the series counts it.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Length of the RTP packet in bytes.
    pub bytes: usize,
    /// By how many packets it raised the number expected.
    pub expected: u32,
    /// True when its number was not seen before.
    pub is_new: bool,
    /// Jitter after it, in ms.
    pub jitter_ms: Option<f32>,
}

impl Series {
    /// A series that begins at this time, with nothing in it.
    pub const fn new(begin: Timestamp) -> Self {
        Self { begin, seconds: 1, bins: Vec::new() }
    }

    /// Books one packet.
    #[inline]
    pub fn packet(&mut self, time: Timestamp, sample: &Sample) {
        let Some(bin) = self.bin(time) else { return };
        bin.packets = bin.packets.saturating_add(1);
        bin.unique = bin.unique.saturating_add(u32::from(sample.is_new));
        bin.expected = bin.expected.saturating_add(sample.expected);
        bin.bytes = bin.bytes.saturating_add(u64::try_from(sample.bytes).unwrap_or(u64::MAX));
        if let Some(jitter) = sample.jitter_ms {
            bin.jitter_ms = jitter;
        }
    }

    /// Books a completed frame.
    #[inline]
    pub fn frame(&mut self, time: Timestamp) {
        if let Some(bin) = self.bin(time) {
            bin.frames = bin.frames.saturating_add(1);
        }
    }

    #[inline]
    fn bin(&mut self, time: Timestamp) -> Option<&mut Raw> {
        let second = time.since(self.begin).as_secs();
        let mut index = second.checked_div(self.seconds).unwrap_or(0);
        while index >= MAX_BINS {
            self.merge();
            index = second.checked_div(self.seconds).unwrap_or(0);
        }
        let index = usize::try_from(index).unwrap_or(0);
        if index >= self.bins.len() {
            self.bins.resize(index.saturating_add(1), EMPTY);
        }
        self.bins.get_mut(index)
    }

    fn merge(&mut self) {
        self.seconds = self.seconds.saturating_mul(2);
        self.bins = self
            .bins
            .chunks(2)
            .map(|pair| pair.iter().copied().reduce(Raw::merged).unwrap_or(EMPTY))
            .collect();
    }

    /// Length of the bins.
    pub const fn interval(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The bins in order of time, without holes.
    pub fn bins(&self) -> impl Iterator<Item = Bin> + '_ {
        let lost = self.lost();
        self.bins.iter().zip(lost).zip(0_u32..).map(|((raw, lost), index)| Bin {
            start: self.interval().saturating_mul(index),
            length: self.interval(),
            packets: raw.packets,
            expected: raw.expected,
            lost,
            bytes: raw.bytes,
            frames: raw.frames,
            jitter_ms: (raw.jitter_ms >= 0.0).then_some(raw.jitter_ms),
        })
    }

    /// Loss of each bin; what came late is taken off the loss before it.
    fn lost(&self) -> Vec<u32> {
        let mut lost: Vec<u32> =
            self.bins.iter().map(|raw| raw.expected.saturating_sub(raw.unique)).collect();
        for (index, raw) in self.bins.iter().enumerate() {
            let mut surplus = raw.unique.saturating_sub(raw.expected);
            let before = lost.get_mut(..index).unwrap_or_default();
            for earlier in before.iter_mut().rev() {
                let taken = surplus.min(*earlier);
                *earlier = earlier.saturating_sub(taken);
                surplus = surplus.saturating_sub(taken);
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + millis * 1_000_000)
    }

    fn sample(expected: u32, is_new: bool) -> Sample {
        Sample { bytes: 100, expected, is_new, jitter_ms: Some(1.5) }
    }

    #[test]
    fn a_late_packet_mends_the_bin_before() {
        let mut series = Series::new(at(0));
        series.packet(at(0), &sample(1, true));
        series.packet(at(900), &sample(3, true)); // two numbers missing
        series.packet(at(1100), &sample(0, true)); // one of them, late
        series.packet(at(1200), &sample(1, true));
        let bins: Vec<Bin> = series.bins().collect();
        assert_eq!(bins.iter().map(|bin| bin.lost).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(bins[0].loss_percent(), Some(25.0));
        assert_eq!((bins[1].start, bins[1].packets), (Duration::from_secs(1), 2));
    }

    #[test]
    fn merges_when_it_is_full() {
        let mut series = Series::new(at(0));
        for second in 0..300 {
            series.packet(at(second * 1000), &sample(1, true));
        }
        assert_eq!(series.interval(), Duration::from_secs(4));
        assert_eq!(series.bins().count(), 75);
        assert!(series.bins().all(|bin| bin.packets == 4 && bin.lost == 0));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_stream(steps in proptest::collection::vec((0_i64..40_000, 0_u32..5, any::<bool>()), 1..400)) {
            let mut series = Series::new(at(0));
            series.packet(at(0), &sample(1, true));
            let (mut expected, mut unique, mut time) = (1_u32, 1_u32, 0);
            for (gap, more, fresh) in steps {
                time += gap;
                // A packet is new when it raises the number, or fills a hole that there is.
                let is_new = more > 0 || fresh && unique < expected;
                series.packet(at(time), &sample(more, is_new));
                expected += more;
                unique += u32::from(is_new);
            }
            let bins: Vec<Bin> = series.bins().collect();
            prop_assert!(bins.len() <= 128);
            prop_assert_eq!(bins.iter().map(|bin| bin.expected).sum::<u32>(), expected);
            prop_assert_eq!(bins.iter().map(|bin| bin.lost).sum::<u32>(), expected - unique);
        }
    }
}
