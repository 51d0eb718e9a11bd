//! Whether two streams are the same one, seen at two places: by their numbers where the source was kept (Zoom, and
//! servers that forward as they received), else by the lengths of their packets.

use super::moves::seconds;
use super::trace::StreamTrace;
use crate::time::Timestamp;

/// How long two streams must run together.
const TOGETHER_S: f64 = 1.0;
/// How far a copy may be ahead of or behind what it is a copy of, in seconds: no server holds live media for longer.
const LAG_S: (f64, f64) = (-0.3, 3.0);
/// Numbers by which a copy may be off what its timestamps say, and the share of the distance.
const NUMBERS: (f64, f64) = (64.0, 0.15);
/// A first number below this may be where every stream begins.
const BEGINNING: u16 = 16;
/// Seconds from which the pace of a stream is measured rather than believed.
const MEASURED_S: f64 = 5.0;

/// How two streams of one source compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Same {
    /// The same numbers and timestamps at the same time. `plain` when that is where all streams begin, and so says little.
    Copy { plain: bool },
    /// At the same time they have other numbers.
    Other,
    /// They do not run at the same time.
    Apart,
}

/// Compares two streams that have the same SSRC.
pub(super) fn compare(one: &StreamTrace, two: &StreamTrace) -> Same {
    if together(one, two) < TOGETHER_S {
        return Same::Apart;
    }
    // A copy comes later; of two that were received nobody knows which is nearer to the sender.
    let lag = match (one.sent, two.sent) {
        (true, false) => LAG_S,
        (false, true) => (-LAG_S.1, -LAG_S.0),
        _ => (-LAG_S.1, LAG_S.1),
    };
    let first = |stream: &StreamTrace| (stream.first_number, stream.first_stamp, stream.start);
    let newest = |stream: &StreamTrace| (stream.newest_number, stream.newest_stamp, stream.last);
    let paces = [pace(one), one.clock, pace(two), two.clock];
    let fits = |a: (u16, u32, Timestamp), b: (u16, u32, Timestamp)| {
        paces.into_iter().flatten().any(|pace| aligned(one, pace, lag, a, b))
    };
    if fits(first(one), first(two)) || fits(newest(one), newest(two)) {
        let plain = one.first_number.max(two.first_number) < BEGINNING;
        return Same::Copy { plain };
    }
    Same::Other
}

/// Seconds for which both run.
fn together(one: &StreamTrace, two: &StreamTrace) -> f64 {
    seconds(one.start.max(two.start), one.last.min(two.last))
}

/// Ticks a second as the stream went.
fn pace(stream: &StreamTrace) -> Option<f64> {
    let lasted = seconds(stream.start, stream.last);
    let ticks = stream.newest_stamp.wrapping_sub(stream.first_stamp).cast_signed();
    (lasted >= MEASURED_S && ticks > 0).then(|| f64::from(ticks) / lasted)
}

/// Whether two packets, each by number, timestamp and time, fit into one stream of this pace.
fn aligned(
    stream: &StreamTrace,
    pace: f64,
    lag: (f64, f64),
    (number, stamp, time): (u16, u32, Timestamp),
    (other_number, other_stamp, other_time): (u16, u32, Timestamp),
) -> bool {
    let media = f64::from(other_stamp.wrapping_sub(stamp).cast_signed()) / pace;
    let behind = seconds(time, other_time) - media;
    if behind < lag.0 || behind > lag.1 {
        return false;
    }
    let lasted = seconds(stream.start, stream.last).max(0.001);
    let a_second = f64::from(stream.span) / lasted;
    let due = media * a_second;
    let step = f64::from(other_number.wrapping_sub(number).cast_signed());
    // Beyond half of the numbers the step says nothing.
    due.abs() > f64::from(i16::MAX) || (step - due).abs() <= NUMBERS.1.mul_add(due.abs(), NUMBERS.0)
}
