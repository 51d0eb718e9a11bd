//! A session's media over time. In: the bins of its streams. Out: a few points for each way.

use super::super::record::{TrendRecord, TrendWay};
use super::super::time;
use super::{centi, flows_of, media, milli};
use crate::flow::Direction;
use crate::keys::Analysis;
use crate::observe::facts::{MediaKind, RtpStream};
use crate::session::Session;
use crate::session::speech;
use crate::time::Timestamp;

/// Most points of a row: as many as a small drawing shows.
const POINTS: u64 = 60;

/// Sums of one step of one way.
#[derive(Debug, Default, Clone, Copy)]
struct Step {
    bytes: f64,
    /// Seconds that the stream with the longest part in it covers.
    covered: f64,
    packets: f64,
    lost: f64,
    jitter: (f64, f64),
    mos: (f64, f64),
}

/// One stream with the way that it goes.
struct Part<'a> {
    stream: &'a RtpStream,
    is_sent: bool,
    rtt: Option<speech::Rtt>,
}

/// Points of a session; none where no stream lasted two bins.
pub(super) fn trend(analysis: &Analysis, session: &Session) -> Option<TrendRecord> {
    let mut parts = Vec::new();
    for judged in flows_of(analysis, session) {
        let Some(facts) = judged.flow.facts.as_deref() else { continue };
        let rtt = speech::round_trip(judged);
        for stream in facts.media.iter().flat_map(|media| &media.streams) {
            let is_sent = (stream.direction == Direction::Forward) == judged.local_is_source;
            parts.push(Part { stream, is_sent, rtt });
        }
    }
    let start = parts.iter().map(|part| part.stream.start).min()?;
    let end = parts.iter().map(|part| part.stream.last).max()?;
    let longest = parts.iter().map(|part| part.stream.series.interval().as_secs()).max()?.max(1);
    let seconds = end.since(start).as_secs().saturating_add(1);
    let interval_s = seconds.div_ceil(POINTS).max(longest);
    let count = usize::try_from(seconds.div_ceil(interval_s)).ok()?;
    if count < 2 {
        return None;
    }
    let mut ways = [vec![Step::default(); count], vec![Step::default(); count]];
    for part in &parts {
        let [sent, received] = &mut ways;
        add(if part.is_sent { sent } else { received }, start, interval_s, part);
    }
    let [sent, received] = ways.map(|row| way(&row));
    Some(TrendRecord { start: time::eve(start), interval_s, sent, received })
}

fn add(row: &mut [Step], start: Timestamp, interval_s: u64, part: &Part<'_>) {
    let stream = part.stream;
    let interval = stream.series.interval();
    let is_repair = matches!(stream.kind, Some(MediaKind::Rtx | MediaKind::Fec));
    let speech = (stream.kind == Some(MediaKind::Audio))
        .then(|| speech::speech(std::iter::once(stream), 0, part.rtt).ok())
        .flatten();
    let mut covered = vec![0.0_f64; row.len()];
    let mut middle = stream.start.since(start).saturating_add(interval.div_f64(2.0));
    for bin in stream.series.bins() {
        let place = middle.as_secs().checked_div(interval_s).and_then(|place| usize::try_from(place).ok());
        middle = middle.saturating_add(interval);
        let Some((step, covered)) =
            place.and_then(|place| Some((row.get_mut(place)?, covered.get_mut(place)?)))
        else {
            continue;
        };
        step.bytes += float(bin.bytes);
        *covered += interval.as_secs_f64();
        if is_repair {
            continue;
        }
        let packets = f64::from(bin.packets);
        step.packets += packets;
        step.lost += f64::from(bin.lost);
        if let Some(jitter) = bin.jitter_ms {
            step.jitter = (step.jitter.0 + f64::from(jitter) * packets, step.jitter.1 + packets);
        }
        if let (Some(speech), Some(loss)) = (&speech, bin.loss_percent()) {
            let weight = packets.max(1.0);
            step.mos = (step.mos.0 + media::mos_at(speech, loss) * weight, step.mos.1 + weight);
        }
    }
    for (step, covered) in row.iter_mut().zip(covered) {
        step.covered = step.covered.max(covered);
    }
}

fn way(row: &[Step]) -> TrendWay {
    TrendWay {
        kbps: values(row, |step| {
            (step.covered > 0.0).then(|| centi(step.bytes * 8.0 / 1000.0 / step.covered))
        }),
        loss_percent: values(row, |step| {
            let expected = step.packets + step.lost;
            (expected > 0.0).then(|| centi(100.0 * step.lost / expected))
        }),
        jitter_ms: values(row, |step| mean(step.jitter).map(milli)),
        mos: values(row, |step| mean(step.mos).map(centi)),
    }
}

fn values(row: &[Step], take: impl Fn(&Step) -> Option<f64>) -> Vec<Option<f64>> {
    let values: Vec<Option<f64>> = row.iter().map(take).collect();
    if values.iter().all(Option::is_none) { Vec::new() } else { values }
}

fn mean((sum, weight): (f64, f64)) -> Option<f64> {
    (weight > 0.0).then(|| sum / weight)
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a rate for people")]
const fn float(bytes: u64) -> f64 {
    bytes as f64
}
