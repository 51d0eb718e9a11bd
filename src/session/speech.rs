//! Sound as it could be heard behind the capture point: what the E-model ([`emodel`]) is fed with, and what it says.
//!
//! Loss, its burst ratio and jitter are those of the capture point. Delay is half the round trip that was measured on the
//! flow, plus a jitter buffer of twice the mean jitter; without a round trip only the buffer counts, and the figure is an
//! upper bound.

use super::Judged;
use super::emodel::{self, Inputs, Rating, impairment};
use crate::observe::facts::{Facts, MediaKind, RoundTrips, RtpStream};

/// Packets below which a loss ratio says nothing.
const PACKETS_NEEDED: u32 = 50;

/// How a round trip was measured, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RttSource {
    /// Sender report and the receiver report that echoes it (RFC 3550 section 6.4.1).
    Rtcp,
    /// Zoom's ping and its answer.
    ZoomPing,
    /// STUN request and response.
    Stun,
}

/// A measured round trip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rtt {
    /// Median, in ms: the sum of both halves around the capture point where both were measured, else of the half behind it.
    pub ms: f64,
    /// Shortest, in ms.
    pub min_ms: f64,
    /// Questions answered.
    pub count: u32,
    /// How it was measured.
    pub source: RttSource,
}

/// Round trips of several flows of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct RttSum {
    ways: [RoundTrips; 3],
}

impl RttSum {
    /// Adds the measurements of one flow; `turned` when its originator is not the endpoint.
    pub(super) fn add(&mut self, facts: &Facts, turned: bool) {
        let found = [
            facts.media.as_ref().map(|media| &media.rtt),
            facts.zoom.as_ref().map(|zoom| &zoom.rtt),
            facts.stun.as_ref().map(|stun| stun.round_trips()),
        ];
        for (sum, own) in self.ways.iter_mut().zip(found) {
            let Some(own) = own else { continue };
            let (there, back) =
                if turned { (&own.reverse, &own.forward) } else { (&own.forward, &own.reverse) };
            sum.forward.join(there);
            sum.reverse.join(back);
        }
    }

    /// The best of what was measured. The half between the capture point and the endpoint alone, which is near, says nothing of the rest.
    pub(super) fn best(&self) -> Option<Rtt> {
        let sources = [RttSource::Rtcp, RttSource::ZoomPing, RttSource::Stun];
        self.ways.iter().zip(sources).filter(|(ways, _)| ways.forward.count > 0).find_map(|(ways, source)| {
            Some(Rtt {
                ms: ways.typical_ms()?,
                min_ms: ways.min_ms()?,
                count: ways.forward.count.saturating_add(ways.reverse.count),
                source,
            })
        })
    }
}

/// The round trip that a flow shows.
pub fn round_trip(judged: &Judged) -> Option<Rtt> {
    let mut sum = RttSum::default();
    sum.add(judged.flow.facts.as_deref()?, !judged.local_is_source);
    sum.best()
}

/// Speech of one way, rated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speech {
    /// What the model was fed with.
    pub inputs: Inputs,
    /// What it said.
    pub rating: Rating,
    /// The round trip behind the delay, where one was measured.
    pub rtt: Option<Rtt>,
    /// The part of the delay that is a jitter buffer, in ms.
    pub jitter_buffer_ms: f64,
}

/// Why there is no figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unrated {
    /// No RTP at all.
    NoRtp,
    /// RTP, but no stream that is known to be sound.
    NoAudio,
    /// Sound, but too few packets.
    TooShort,
}

impl Unrated {
    /// A sentence for people.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NoRtp => "no RTP headers are visible in this direction",
            Self::NoAudio => "no stream of this direction was told to be audio",
            Self::TooShort => "fewer than 50 audio packets",
        }
    }
}

/// Rates the sound among the streams of one way; `lost_between` packets of them were lost while an address changed.
///
/// # Errors
/// Why there is nothing to rate.
pub fn speech<'a>(
    streams: impl Iterator<Item = &'a RtpStream>,
    lost_between: u32,
    rtt: Option<Rtt>,
) -> Result<Speech, Unrated> {
    let mut sum =
        Sum { expected: lost_between, lost: lost_between, burst: f64::from(lost_between), ..Sum::default() };
    for stream in streams {
        sum.add(stream);
    }
    sum.rate(rtt)
}

#[derive(Default)]
struct Sum {
    any: bool,
    audio: bool,
    packets: f64,
    expected: u32,
    lost: u32,
    jitter: f64,
    jitter_packets: f64,
    burst: f64,
    payload_type: Option<(u64, u8)>,
}

impl Sum {
    fn add(&mut self, stream: &RtpStream) {
        self.any = true;
        if stream.kind != Some(MediaKind::Audio) {
            return;
        }
        self.audio = true;
        let stats = &stream.stats;
        let packets = f64::from(stats.packets());
        self.packets += packets;
        self.expected = self.expected.saturating_add(stats.expected());
        self.lost = self.lost.saturating_add(stats.lost());
        if let Some(jitter) = stream.jitter_mean_ms {
            self.jitter += jitter * packets;
            self.jitter_packets += packets;
        }
        self.burst += stream.losses.burst_ratio().unwrap_or(1.0) * f64::from(stats.lost());
        for (number, count) in &stream.payload_types {
            if self.payload_type.is_none_or(|(most, _)| *count > most) {
                self.payload_type = Some((*count, *number));
            }
        }
    }

    fn rate(&self, rtt: Option<Rtt>) -> Result<Speech, Unrated> {
        if !self.any {
            return Err(Unrated::NoRtp);
        }
        if !self.audio {
            return Err(Unrated::NoAudio);
        }
        if self.packets < f64::from(PACKETS_NEEDED) || self.expected == 0 {
            return Err(Unrated::TooShort);
        }
        let jitter = if self.jitter_packets > 0.0 { self.jitter / self.jitter_packets } else { 0.0 };
        let jitter_buffer_ms = 2.0 * jitter;
        let inputs = Inputs {
            loss_percent: 100.0 * f64::from(self.lost) / f64::from(self.expected),
            burst_ratio: if self.lost > 0 { self.burst / f64::from(self.lost) } else { 1.0 },
            delay_ms: rtt.map_or(0.0, |rtt| rtt.ms / 2.0) + jitter_buffer_ms,
            impairment: impairment(self.payload_type.map(|(_, number)| number)),
        };
        Ok(Speech { inputs, rating: emodel::rate(&inputs), rtt, jitter_buffer_ms })
    }
}
