//! RTCP in the clear: what receivers report, and round trips of the reports themselves.

use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::observe::facts::{LIST_CAP, Media, Reported, RoundTrips};
use crate::proto::rtcp::{Body, ReportBlock};
use crate::time::Timestamp;

/// Sender reports that wait to be echoed.
const WAITING: usize = 8;

/// Reports of one flow.
#[derive(Debug, Default)]
pub(super) struct Reports {
    sent: Vec<(u32, Direction, Timestamp)>,
    reported: Vec<Reported>,
    rtt: RoundTrips,
}

impl Reports {
    /// Takes one RTCP packet.
    pub(super) fn body(&mut self, body: &Body<'_>, direction: Direction, time: Timestamp, packet: PacketRef) {
        let blocks = match body {
            Body::SenderReport(report) => {
                if self.sent.len() >= WAITING {
                    self.sent.remove(0);
                }
                self.sent.push((report.info.ntp_middle(), direction, time));
                report.blocks.clone()
            }
            Body::ReceiverReport(report) => report.blocks.clone(),
            Body::Sdes(_)
            | Body::Bye(_)
            | Body::App(_)
            | Body::TransportFeedback(_)
            | Body::PayloadFeedback(_)
            | Body::ExtendedReport { .. }
            | Body::Unknown(_) => return,
        };
        for block in blocks {
            self.block(&block, direction, time, packet);
        }
    }

    fn block(&mut self, block: &ReportBlock, direction: Direction, time: Timestamp, packet: PacketRef) {
        let report = Reported {
            ssrc: block.ssrc,
            reports: 1,
            cumulative_lost: block.cumulative_lost,
            extended_highest: block.extended_highest,
            jitter: block.jitter,
            packet,
        };
        if let Some(held) = self.reported.iter_mut().find(|held| held.ssrc == block.ssrc) {
            *held = Reported { reports: held.reports.saturating_add(1), ..report };
        } else if self.reported.len() < LIST_CAP {
            self.reported.push(report);
        }
        // RFC 3550 section 6.4.1: the echo comes back after the way to the receiver, the wait there, and the way back.
        let sent = self
            .sent
            .iter()
            .find(|(middle, asked, _)| block.last_sr != 0 && *middle == block.last_sr && *asked != direction);
        if let Some((_, asked, sent)) = sent {
            let waited = u64::from(block.delay_since_last_sr).saturating_mul(1_000_000_000) >> 16_u32;
            let passed = time.since(*sent);
            if let Some(way) = passed.checked_sub(std::time::Duration::from_nanos(waited)) {
                self.rtt.add(*asked, way);
            }
        }
    }

    pub(super) fn finish(&self, media: &mut Media) {
        media.reported.clone_from(&self.reported);
        media.rtt = self.rtt.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::rtcp::Compound;

    fn report(kind: u8, ntp_middle: u32, block: Option<(u32, u32)>) -> Vec<u8> {
        let mut packet = vec![0x80 | u8::from(block.is_some()), kind, 0, 0, 0, 0, 0, 1];
        if kind == 200 {
            packet.extend((u64::from(ntp_middle) << 16).to_be_bytes());
            packet.extend([0; 12]);
        }
        if let Some((last_sr, delay)) = block {
            packet.extend(7_u32.to_be_bytes());
            packet.extend([51, 0, 0, 5]);
            packet.extend([0; 4]);
            packet.extend(80_u32.to_be_bytes());
            packet.extend(last_sr.to_be_bytes());
            packet.extend(delay.to_be_bytes());
        }
        let words = u16::try_from(packet.len() / 4 - 1).unwrap();
        packet[2..4].copy_from_slice(&words.to_be_bytes());
        packet
    }

    #[test]
    fn an_echoed_sender_report_gives_the_round_trip_behind_the_capture_point() {
        let mut reports = Reports::default();
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let mut take = |packet: &[u8], direction, time| {
            let body = Compound::parse(packet).unwrap().next().unwrap().body().unwrap();
            reports.body(&body, direction, time, PacketRef::default());
        };
        take(&report(200, 0xb705_2000, None), Direction::Forward, at(1_000));
        // 540 ms later, of which the receiver waited half a second (0x8000 of 65536).
        take(&report(201, 0, Some((0xb705_2000, 0x8000))), Direction::Reverse, at(1_540));
        let mut media = Media::default();
        reports.finish(&mut media);
        assert!((media.rtt.forward.mean_ms().unwrap() - 40.0).abs() < 1e-6);
        assert_eq!(media.rtt.reverse.count, 0);
        let [said] = media.reported.as_slice() else { panic!("one source") };
        assert_eq!((said.ssrc, said.cumulative_lost, said.jitter), (7, 5, 80));
    }
}
