//! When the capture lost packets. In: spans of packet time with how many were lost. Out: what a session overlaps.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::record::{CaptureLossRecord, Finding, Severity};
use super::super::time;
use crate::session::Session;
use crate::time::Timestamp;

/// Spans kept, a day in which packets are lost every other minute; beyond it neighbours are taken together, the oldest first.
const SPANS: usize = 1 << 10;
/// Spans that lie so near are one stretch.
const NEAR: Duration = Duration::from_secs(2);
/// Longest span, so that a session pays for what was lost while it ran and not for hours before.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Span {
    from: Timestamp,
    to: Timestamp,
    packets: u64,
}

/// Losses of a run, in the order in which they were noted.
#[derive(Debug, Default)]
pub(super) struct Losses {
    spans: VecDeque<Span>,
}

impl Losses {
    pub(super) fn note(&mut self, from: Timestamp, to: Timestamp, packets: u64) {
        if packets == 0 {
            return;
        }
        let span = Span { from: from.min(to), to: to.max(from), packets };
        if let Some(last) = self.spans.back_mut()
            && span.from.since(last.to) <= NEAR
            && last.from.since(span.to) <= NEAR
            && last.to.max(span.to).since(last.from.min(span.from)) <= LONGEST
        {
            last.join(span);
            return;
        }
        if self.spans.len() >= SPANS
            && let Some(oldest) = self.spans.pop_front()
            && let Some(next) = self.spans.front_mut()
        {
            next.join(oldest);
        }
        self.spans.push_back(span);
    }

    /// What was lost while the session ran.
    pub(super) fn during(&self, session: &Session) -> Option<CaptureLossRecord> {
        let overlaps = |span: &&Span| span.from <= session.end && session.start <= span.to;
        let mut found: Option<(Span, u64)> = None;
        for span in self.spans.iter().filter(overlaps) {
            match &mut found {
                Some((all, stretches)) => {
                    *stretches = stretches.saturating_add(u64::from(span.from.since(all.to) > NEAR));
                    all.join(*span);
                }
                None => found = Some((*span, 1)),
            }
        }
        let (all, spans) = found?;
        Some(CaptureLossRecord {
            packets: all.packets,
            spans,
            first: time::eve(all.from),
            last: time::eve(all.to),
        })
    }
}

impl Span {
    fn join(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.packets = self.packets.saturating_add(other.packets);
    }
}

/// What a verdict on the session is to be read with.
pub(super) fn caveat(lost: &CaptureLossRecord) -> String {
    format!(
        "; the capture is incomplete: up to {} packets were lost while this session ran, and what speaks against this may have been \
         among them",
        lost.packets
    )
}

/// That the capture lost packets while a session ran.
pub(super) fn finding(lost: &CaptureLossRecord) -> Finding {
    let stretches =
        if lost.spans == 1 { "one stretch".to_owned() } else { format!("{} stretches", lost.spans) };
    Finding {
        id: "capture_losses",
        severity: Severity::Notice,
        text: format!(
            "up to {} packets were lost by the capture while this session ran, in {stretches} between {} and {}: the losses of its \
             media are upper bounds, and servers, handshakes and repeated blocks may have been missed",
            lost.packets, lost.first, lost.last
        ),
        packets: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs_nanos(second, 0)
    }

    #[test]
    fn neighbours_are_one_and_the_cap_keeps_every_packet() {
        let mut losses = Losses::default();
        losses.note(at(0), at(1), 5);
        losses.note(at(1), at(2), 7);
        losses.note(at(2), at(3), 0);
        assert_eq!((losses.spans.len(), losses.spans[0].packets, losses.spans[0].to), (1, 12, at(2)));
        let mut steady = Losses::default();
        for second in 0..36_000 {
            steady.note(at(second), at(second + 1), 100);
        }
        assert!(
            steady.spans.iter().all(|span| span.packets <= 6_000),
            "hours of loss are told by the minute"
        );
        assert_eq!(steady.spans.iter().map(|span| span.packets).sum::<u64>(), 3_600_000);
        for number in 0..5000_i64 {
            losses.note(at(100 + number * 10), at(101 + number * 10), 1);
        }
        assert_eq!(losses.spans.len(), SPANS);
        assert_eq!(losses.spans.iter().map(|span| span.packets).sum::<u64>(), 5012);
        assert_eq!(losses.spans[0].from, at(0));
    }
}
