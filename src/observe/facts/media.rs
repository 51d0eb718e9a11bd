//! RTP and RTCP of one flow, and round trips.

use std::time::Duration;

use super::{Cipher, Samples, Wrapping};
use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::proto::rtp::frames::Frames;
use crate::proto::rtp::level::AudioLevel;
use crate::proto::rtp::runs::Losses;
use crate::proto::rtp::series::Series;
use crate::proto::rtp::sketch::Sketch;
use crate::proto::rtp::stats::Stream;
use crate::time::Timestamp;

/// RTP and RTCP of one flow.
#[derive(Debug, Clone, Default)]
pub struct Media {
    /// RTP streams by SSRC and direction, in order of first packet.
    pub streams: Vec<RtpStream>,
    /// RTCP packet types with their counts.
    pub rtcp: Vec<(u8, u32)>,
    /// RTCP packets in all (compound packets count each part).
    pub rtcp_packets: u32,
    /// RTCP packets that were in the clear.
    pub rtcp_clear: u32,
    /// CNAMEs in SDES chunks that were in the clear.
    pub cnames: Vec<String>,
    /// What receivers reported in the clear, by source.
    pub reported: Vec<Reported>,
    /// Round trips of sender reports that a receiver report echoed (RFC 3550 section 6.4.1), by who sent the sender report.
    pub rtt: RoundTrips,
    /// Streams beyond the cap.
    pub streams_left_out: u32,
    /// First RTP or RTCP packet.
    pub packet: PacketRef,
}

/// The latest that receivers said of one source in clear RTCP. RFC 3550 section 6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// The source that was reported on.
    pub ssrc: u32,
    /// Report blocks seen.
    pub reports: u32,
    /// Packets lost so far; negative when duplicates outweigh loss.
    pub cumulative_lost: i32,
    /// Highest sequence number received, cycles in the upper half.
    pub extended_highest: u32,
    /// Interarrival jitter in units of the media clock.
    pub jitter: u32,
    /// Packet of the latest report.
    pub packet: PacketRef,
}

/// Counters of one RTP stream. RFC 3550.
#[derive(Debug, Clone)]
pub struct RtpStream {
    /// Which way it goes within the flow.
    pub direction: Direction,
    /// Synchronisation source.
    pub ssrc: u32,
    /// How it was wrapped.
    pub wrapping: Wrapping,
    /// What it carries, where that can be told.
    pub kind: Option<MediaKind>,
    /// How `kind` is known.
    pub kind_source: Option<KindSource>,
    /// The stream that this one repairs (RTX, FEC with a source of its own), same direction.
    pub repairs: Option<u32>,
    /// Payload types with their packet counts.
    pub payload_types: Vec<(u8, u64)>,
    /// Extension profile of the first packet with one.
    pub extension_profile: Option<u16>,
    /// Packets, loss and jitter.
    pub stats: Stream,
    /// The same over time.
    pub series: Series,
    /// How losses lie together.
    pub losses: Losses,
    /// Lengths of its packets, to find copies of it.
    pub sketch: Sketch,
    /// Frames, for streams that are not known to be audio.
    pub frames: Option<Frames>,
    /// Mean interarrival jitter (RFC 3550) in ms, of speech without the packets that begin a talk spurt; `None` without a
    /// clock.
    pub jitter_mean_ms: Option<f64>,
    /// Highest of the same.
    pub jitter_max_ms: Option<f64>,
    /// Mean jitter from frame to frame in ms, of video.
    pub frame_jitter_ms: Option<f64>,
    /// Audio level of the header extension.
    pub level: Option<AudioLevel>,
    /// Packets of it that were kept to try keys on.
    pub samples: Option<Box<Samples>>,
    /// What its ciphertext showed.
    pub cipher: Option<Box<Cipher>>,
    /// First packet.
    pub packet: PacketRef,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Time of the latest packet.
    pub last: Timestamp,
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Camera.
    Video,
    /// Screen share.
    Screen,
    /// Forward error correction.
    Fec,
    /// Retransmission in a stream of its own (RFC 4588).
    Rtx,
}

/// How the kind of a stream is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KindSource {
    /// The encapsulation says so.
    Framing,
    /// A static payload type (RFC 3551).
    PayloadType,
    /// Inferred: the pace of its timestamps is that of a media clock.
    Clock,
    /// Inferred: its timestamps are those of another stream.
    Timestamps,
}

/// Round trips of questions with one answer, seen from between the two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// Answers.
    pub count: u32,
    /// Sum in nanoseconds.
    pub sum: u64,
    /// Shortest in nanoseconds.
    pub min: u64,
    /// Longest in nanoseconds.
    pub max: u64,
    /// Some of them in microseconds, evenly spread over time, for the median.
    kept: Vec<u32>,
    /// How many were added for each that was kept: a power of two.
    stride: u32,
}

/// Round trips kept of one flow and way.
const KEPT: usize = 64;

impl RoundTrip {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.min = if self.count == 0 { nanos } else { self.min.min(nanos) };
        self.max = self.max.max(nanos);
        let stride = self.stride.max(1);
        if self.count.checked_rem(stride) == Some(0) {
            self.keep(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        }
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(nanos);
    }

    fn keep(&mut self, micros: u32) {
        if self.kept.len() >= KEPT {
            let mut index = 0_usize;
            self.kept.retain(|_| {
                index = index.wrapping_add(1);
                index % 2 == 1
            });
            self.stride = self.stride.max(1).saturating_mul(2);
        }
        self.kept.push(micros);
    }

    /// Adds those of another.
    pub fn join(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        other.kept.iter().for_each(|micros| self.keep(*micros));
    }

    /// Median in milliseconds: what a busy end answers late does not move it.
    pub fn median_ms(&self) -> Option<f64> {
        let mut kept = self.kept.clone();
        kept.sort_unstable();
        let middle = kept.get(kept.len().checked_div(2)?)?;
        Some(f64::from(*middle) / 1_000.0)
    }

    /// Shortest in milliseconds.
    pub fn min_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| Duration::from_nanos(self.min).as_secs_f64() * 1_000.0)
    }

    /// Longest in milliseconds.
    pub fn max_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| Duration::from_nanos(self.max).as_secs_f64() * 1_000.0)
    }

    /// Mean in milliseconds.
    pub fn mean_ms(&self) -> Option<f64> {
        let mean = Duration::from_nanos(self.sum.checked_div(u64::from(self.count))?);
        Some(mean.as_secs_f64() * 1_000.0)
    }
}

/// Round trips both ways: a question of one end measures the way from the capture point to the other and back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// Asked by the originator: between capture point and responder.
    pub forward: RoundTrip,
    /// Asked by the responder: between capture point and originator.
    pub reverse: RoundTrip,
}

impl RoundTrips {
    /// None were seen.
    pub(super) const fn none() -> Self {
        const NONE: RoundTrip = RoundTrip { count: 0, sum: 0, min: 0, max: 0, kept: Vec::new(), stride: 0 };
        Self { forward: NONE, reverse: NONE }
    }

    /// Adds one, asked in this direction.
    pub fn add(&mut self, asked: Direction, time: Duration) {
        match asked {
            Direction::Forward => self.forward.add(time),
            Direction::Reverse => self.reverse.add(time),
        }
    }

    /// The shortest from end to end in milliseconds, by the same rule as [`RoundTrips::typical_ms`].
    pub fn min_ms(&self) -> Option<f64> {
        end_to_end(self.forward.min_ms(), self.reverse.min_ms())
    }

    /// From end to end in milliseconds: the sum of both halves' medians where both were measured, else the one that was.
    pub fn typical_ms(&self) -> Option<f64> {
        end_to_end(self.forward.median_ms(), self.reverse.median_ms())
    }
}

fn end_to_end(there: Option<f64>, back: Option<f64>) -> Option<f64> {
    match (there, back) {
        (Some(there), Some(back)) => Some(there + back),
        (one, other) => one.or(other),
    }
}
