//! Jitter of a video stream from frame to frame: what receivers built on libwebrtc report as `jitter` (webrtc-stats).
//!
//! RFC 3550 measures between any two packets. The packets of one frame share a timestamp and leave in a row, so most of
//! these steps say how the sender paces; the step to the first packet of the next frame says what the network did.
//! Measured only between packets that raise the sequence number, with the clock of all video formats.

use crate::time::Timestamp;

/// The clock of all video formats (RFC 3551 section 5), in ticks per ms.
const TICKS_PER_MS: f64 = 90.0;
/// A step that is off by more says that the media clock jumped, in ms.
const MAX_STEP_MS: f64 = 5_000.0;

/// Jitter of one stream, updated packet by packet.
#[derive(Debug, Clone, Copy)]
pub struct FrameJitter {
    timestamp: u32,
    time: Timestamp,
    jitter_ms: f64,
    sum_ms: f64,
    steps: u32,
}

impl FrameJitter {
    /// Begins with the first packet.
    pub const fn new(timestamp: u32, time: Timestamp) -> Self {
        Self { timestamp, time, jitter_ms: 0.0, sum_ms: 0.0, steps: 0 }
    }

    /// Takes the next packet that raises the sequence number.
    #[inline]
    pub fn packet(&mut self, timestamp: u32, time: Timestamp) {
        let advance = timestamp.wrapping_sub(self.timestamp).cast_signed();
        if advance != 0 {
            let passed = time.since(self.time).as_secs_f64() * 1_000.0;
            let off = (passed - f64::from(advance) / TICKS_PER_MS).abs();
            if off < MAX_STEP_MS {
                self.jitter_ms += (off - self.jitter_ms) / 16.0;
                self.sum_ms += self.jitter_ms;
                self.steps = self.steps.saturating_add(1);
            }
        }
        self.timestamp = timestamp;
        self.time = time;
    }

    /// Jitter at the latest packet, in ms; `None` before the second frame.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "24 bits of a jitter value are ample"
    )]
    pub fn latest_ms(&self) -> Option<f32> {
        (self.steps > 0).then_some(self.jitter_ms as f32)
    }

    /// Mean over the stream, in ms; `None` before the second frame.
    pub fn mean_ms(&self) -> Option<f64> {
        (self.steps > 0).then(|| self.sum_ms / f64::from(self.steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_one_frame_are_no_step() {
        let at = |micros: i64| Timestamp::from_nanos(1_000_000_000 + micros * 1_000);
        let mut jitter = FrameJitter::new(0, at(0));
        // Two packets a frame; every frame comes 16 ms late or early in turn: each step is off by 16 ms.
        for frame in 1..400_u32 {
            let late = if frame % 2 == 0 { 8_000 } else { -8_000 };
            let time = i64::from(frame) * 40_000 + late;
            jitter.packet(frame * 3600, at(time));
            jitter.packet(frame * 3600, at(time));
        }
        let mean = jitter.mean_ms().unwrap();
        assert!((15.0..16.0).contains(&mean), "{mean}");
    }
}
