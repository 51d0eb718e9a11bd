//! What sizes and times alone say of media whose headers are hidden: Telegram's framing, media inside TLS, DTLS or QUIC.
//!
//! The method is the IP/UDP heuristic of Sharma, Mangla, Feamster and others, "Estimating WebRTC Video `QoE` Metrics Without
//! Using Application Headers" (ACM IMC 2023): packets above a size are video; one that differs by at most two bytes from
//! one of the latest packets belongs to its frame, any other begins a frame, because encoders cut a frame into packets of
//! nearly one size. Loss and jitter cannot be told without sequence numbers.

use super::facts::{Pace, PaceWay};
use crate::flow::Direction;
use crate::time::Timestamp;

/// Payloads of at least this many bytes are video: above any common audio codec's packet.
pub(super) const VIDEO_BYTES: u16 = 450;
/// How far two packets of one frame differ, in bytes.
const DIFFERS: u16 = 2;

/// Takes one payload.
#[inline]
pub(super) fn note(pace: &mut Pace, direction: Direction, length: usize, time: Timestamp) {
    let way = match direction {
        Direction::Forward => &mut pace.forward,
        Direction::Reverse => &mut pace.reverse,
    };
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    if way.packets == 0 {
        way.first = time;
    }
    way.last = way.last.max(time);
    way.packets = way.packets.saturating_add(1);
    way.bytes = way.bytes.saturating_add(length.into());
    if length < VIDEO_BYTES {
        return;
    }
    way.video_packets = way.video_packets.saturating_add(1);
    if way.sizes.iter().all(|size| size.abs_diff(length) > DIFFERS) {
        way.frames = way.frames.saturating_add(1);
    }
    remember(way, length);
}

const fn remember(way: &mut PaceWay, length: u16) {
    let [_, latest] = way.sizes;
    way.sizes = [latest, length];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_equal_pieces_and_audio_between_them_are_told_apart() {
        let mut pace = Pace::default();
        let mut time = 0;
        for frame in 0..300_u16 {
            // 30 frames a second, each cut into 1 to 4 pieces that differ by a byte; audio every 20 ms or so.
            time += 33;
            let size = 600 + frame * 37 % 500;
            for piece in 0..=frame % 4 {
                let now = Timestamp::from_nanos(time * 1_000_000 + i64::from(piece) * 100_000);
                note(&mut pace, Direction::Forward, usize::from(size + piece % 2), now);
                note(&mut pace, Direction::Forward, 120, now);
            }
        }
        assert_eq!(pace.forward.frames, 300);
        assert_eq!(pace.forward.video_packets, 750);
        let fps = pace.forward.frames_per_second().unwrap();
        assert!((fps - 30.3).abs() < 0.2, "{fps}");
        assert_eq!(pace.reverse.frames_per_second(), None);
    }
}
