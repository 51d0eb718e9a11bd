//! Sizes and times of payloads whose inside is hidden.

use crate::time::Timestamp;

/// Payloads of a flow both ways, after its first ones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// From the originator.
    pub forward: PaceWay,
    /// From the responder.
    pub reverse: PaceWay,
}

/// One way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PaceWay {
    /// Payloads.
    pub packets: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Payloads large enough for video.
    pub video_packets: u32,
    /// Frames among them, by size alone.
    pub frames: u32,
    /// Time of the first.
    pub first: Timestamp,
    /// Time of the latest.
    pub last: Timestamp,
    /// Sizes of the latest two large ones.
    pub(in crate::observe) sizes: [u16; 2],
}

/// Frames below which there is no video to speak of.
const FRAMES_NEEDED: u32 = 25;

impl PaceWay {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.last.since(self.first).as_secs_f64()
    }

    /// Mean bit rate of the payloads, in kbit/s; `None` for less than a second.
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn kbit_per_s(&self) -> Option<f64> {
        let seconds = self.seconds();
        (seconds >= 1.0).then(|| self.bytes as f64 * 8.0 / 1000.0 / seconds)
    }

    /// Estimated frames per second; `None` without video.
    pub fn frames_per_second(&self) -> Option<f64> {
        let seconds = self.seconds();
        (seconds >= 1.0 && self.frames >= FRAMES_NEEDED).then(|| f64::from(self.frames) / seconds)
    }
}
