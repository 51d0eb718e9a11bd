//! How well the media of a session arrived at the capture point.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Judged;
use super::speech::{self, Rtt, RttSum, Speech, Unrated};
use crate::flow::Direction;
use crate::observe::facts::{MediaKind, RtpStream};
use crate::time::Timestamp;

/// One way of a session's media, summed over its streams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// RTP streams.
    pub streams: u32,
    /// RTP packets.
    pub packets: u64,
    /// Packets that sequence numbers say were sent and that the capture lacks.
    pub lost: u64,
    /// Packets that sequence numbers say were sent.
    pub expected: u64,
    /// Packets seen twice.
    pub duplicates: u64,
    /// Packets seen after a later one.
    pub reordered: u64,
    /// RTP payload bytes with their headers.
    pub bytes: u64,
    /// Mean of the streams' interarrival jitter (RFC 3550), weighted by packets, in milliseconds.
    pub jitter_ms: Option<f64>,
    /// Time from the first to the last packet, in seconds.
    pub seconds: f64,
    /// Streams by what they carry.
    pub kinds: Kinds,
    /// Frames per second of the video stream with the most packets.
    pub fps: Option<f64>,
    /// How long pictures stood still: the sum over camera and screen streams, in seconds.
    pub frozen_seconds: f64,
    /// How often.
    pub freezes: u32,
    /// Speech, or why there is no figure.
    pub speech: Result<Speech, Unrated>,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            streams: 0,
            packets: 0,
            lost: 0,
            expected: 0,
            duplicates: 0,
            reordered: 0,
            bytes: 0,
            jitter_ms: None,
            seconds: 0.0,
            kinds: Kinds::default(),
            fps: None,
            frozen_seconds: 0.0,
            freezes: 0,
            speech: Err(Unrated::NoRtp),
        }
    }
}

/// Streams by what they carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Sound.
    pub audio: u32,
    /// Camera.
    pub video: u32,
    /// Screen share.
    pub screen: u32,
    /// RTX and FEC.
    pub repair: u32,
    /// Not told.
    pub unknown: u32,
}

impl Kinds {
    const fn count(&mut self, kind: Option<MediaKind>) {
        let slot = match kind {
            Some(MediaKind::Audio) => &mut self.audio,
            Some(MediaKind::Video) => &mut self.video,
            Some(MediaKind::Screen) => &mut self.screen,
            Some(MediaKind::Fec | MediaKind::Rtx) => &mut self.repair,
            None => &mut self.unknown,
        };
        *slot = slot.saturating_add(1);
    }
}

impl Way {
    /// Lost packets of those expected, in percent.
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a percentage for people")]
    pub fn loss_percent(&self) -> Option<f64> {
        (self.expected > 0).then(|| 100.0 * self.lost as f64 / self.expected as f64)
    }

    /// Mean bit rate in kbit/s.
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn kbit_per_s(&self) -> Option<f64> {
        (self.seconds > 0.1).then(|| self.bytes as f64 * 8.0 / 1000.0 / self.seconds)
    }
}

/// Media quality of a session at the capture point.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    /// From the endpoint.
    pub sent: Way,
    /// To the endpoint.
    pub received: Way,
    /// Round trip between the endpoint and who it spoke to, where one was measured.
    pub rtt: Option<Rtt>,
}

#[derive(Default)]
struct Sum<'a> {
    way: Way,
    jitter_weight: f64,
    jitter: f64,
    span: Option<(Timestamp, Timestamp)>,
    busiest: Option<(u32, &'a RtpStream)>,
    streams: Vec<&'a RtpStream>,
    /// The latest part of each stream, and what the first part says that it carries which says it: an endpoint may have tens of thousands.
    latest: BTreeMap<u32, (&'a RtpStream, Option<MediaKind>)>,
    /// Packets of sound that were lost between two parts of a stream.
    lost_speech: u32,
}

/// Numbers that a stream may have lost while its address changed; what is further apart began anew.
const LOST_BETWEEN: u16 = 3_000;
/// How long that may have taken. What went on for longer elsewhere did not pass the capture point, and is not known to be lost.
const LOST_WITHIN: Duration = Duration::from_secs(10);

/// Sums the RTP streams of a session's flows.
pub fn quality(flows: &[&Judged]) -> Quality {
    let (mut sent, mut received) = (Sum::default(), Sum::default());
    let mut rtt = RttSum::default();
    for judged in flows {
        let Some(facts) = judged.flow.facts.as_deref() else { continue };
        rtt.add(facts, !judged.local_is_source);
        for stream in facts.media.iter().flat_map(|media| &media.streams) {
            let from_source = stream.direction == Direction::Forward;
            let sum = if from_source == judged.local_is_source { &mut sent } else { &mut received };
            sum.add(stream);
        }
    }
    let rtt = rtt.best();
    Quality { sent: sent.done(rtt), received: received.done(rtt), rtt }
}

/// Numbers between the last of one part of a stream and the first of the next.
fn lost_between(before: &RtpStream, after: &RtpStream) -> u64 {
    let last = u16::try_from(before.stats.extended_highest() & 0xffff).unwrap_or(0);
    let between = after.stats.first_sequence().wrapping_sub(last).wrapping_sub(1);
    let in_time = after.start >= before.start && after.start.since(before.last) <= LOST_WITHIN;
    if in_time && between < LOST_BETWEEN { between.into() } else { 0 }
}

impl<'a> Sum<'a> {
    fn add(&mut self, stream: &'a RtpStream) {
        let stats = &stream.stats;
        let way = &mut self.way;
        // One stream in several flows, before and after a change of address: what is missing between them was lost, too.
        let known = self.latest.get(&stream.ssrc).copied();
        let kind = known.and_then(|(_, kind)| kind).or(stream.kind);
        self.latest.insert(stream.ssrc, (stream, kind));
        if let Some((before, _)) = known {
            let lost = lost_between(before, stream);
            way.lost = way.lost.saturating_add(lost);
            way.expected = way.expected.saturating_add(lost);
            if stream.kind == Some(MediaKind::Audio) {
                self.lost_speech = self.lost_speech.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
            }
        } else {
            way.streams = way.streams.saturating_add(1);
        }
        way.packets = way.packets.saturating_add(stats.packets().into());
        way.lost = way.lost.saturating_add(stats.lost().into());
        way.expected = way.expected.saturating_add(stats.expected().into());
        way.duplicates = way.duplicates.saturating_add(stats.duplicates().into());
        way.reordered = way.reordered.saturating_add(stats.reordered().into());
        way.bytes = way.bytes.saturating_add(stats.bytes());
        if let Some(own) = stream.jitter_mean_ms {
            self.jitter += own * f64::from(stats.packets());
            self.jitter_weight += f64::from(stats.packets());
        }
        let (from, to) = self.span.unwrap_or((stream.start, stream.last));
        self.span = Some((from.min(stream.start), to.max(stream.last)));
        if matches!(stream.kind, Some(MediaKind::Video | MediaKind::Screen))
            && let Some(frames) = &stream.frames
        {
            way.freezes = way.freezes.saturating_add(frames.freezes());
            way.frozen_seconds += frames.frozen().as_secs_f64();
            if self.busiest.is_none_or(|(most, _)| stats.packets() > most) {
                self.busiest = Some((stats.packets(), stream));
            }
        }
        self.streams.push(stream);
    }

    fn done(mut self, rtt: Option<Rtt>) -> Way {
        for (_, kind) in self.latest.values() {
            self.way.kinds.count(*kind);
        }
        self.way.jitter_ms = (self.jitter_weight > 0.0).then(|| self.jitter / self.jitter_weight);
        self.way.seconds = self.span.map_or(0.0, |(from, to)| to.since(from).as_secs_f64());
        self.way.fps = self.busiest.and_then(|(_, stream)| stream.frames?.per_second());
        self.way.speech = speech::speech(self.streams.iter().copied(), self.lost_speech, rtt);
        self.way
    }
}
