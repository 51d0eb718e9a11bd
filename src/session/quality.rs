//! How well the media of a session arrived at the capture point.

use super::Judged;
use crate::flow::Direction;
use crate::time::Timestamp;

/// One way of a session's media, summed over its streams.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
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
}

#[derive(Default)]
struct Sum {
    way: Way,
    jitter_weight: f64,
    jitter: f64,
    span: Option<(Timestamp, Timestamp)>,
}

/// Sums the RTP streams of a session's flows.
pub fn quality(flows: &[&Judged]) -> Quality {
    let (mut sent, mut received) = (Sum::default(), Sum::default());
    for judged in flows {
        let Some(media) = judged.flow.facts.as_deref().and_then(|facts| facts.media.as_ref()) else {
            continue;
        };
        for stream in &media.streams {
            let from_source = stream.direction == Direction::Forward;
            let sum = if from_source == judged.sides.local_is_source { &mut sent } else { &mut received };
            sum.add(stream);
        }
    }
    Quality { sent: sent.done(), received: received.done() }
}

impl Sum {
    fn add(&mut self, stream: &crate::observe::facts::RtpStream) {
        let stats = &stream.stats;
        let way = &mut self.way;
        way.streams = way.streams.saturating_add(1);
        way.packets = way.packets.saturating_add(stats.packets().into());
        way.lost = way.lost.saturating_add(stats.lost().into());
        way.expected = way.expected.saturating_add(stats.expected().into());
        way.duplicates = way.duplicates.saturating_add(stats.duplicates().into());
        way.reordered = way.reordered.saturating_add(stats.reordered().into());
        way.bytes = way.bytes.saturating_add(stats.bytes());
        if let Some(own) = stats.jitter_mean_ms() {
            self.jitter += f64::from(own) * f64::from(stats.packets());
            self.jitter_weight += f64::from(stats.packets());
        }
        let (from, to) = self.span.unwrap_or((stream.start, stream.last));
        self.span = Some((from.min(stream.start), to.max(stream.last)));
    }

    fn done(mut self) -> Way {
        self.way.jitter_ms = (self.jitter_weight > 0.0).then(|| self.jitter / self.jitter_weight);
        self.way.seconds = self.span.map_or(0.0, |(from, to)| to.since(from).as_secs_f64());
        self.way
    }
}
