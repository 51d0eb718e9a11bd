//! What was counted, in the terms of RFC 3550.

use super::super::payload_type;
use super::{NO_PAYLOAD_TYPE, Stream, count_to_f32};
use crate::time::Timestamp;

impl Stream {
    /// Packets seen, duplicates included.
    pub const fn packets(&self) -> u32 {
        self.packets
    }

    /// Bytes of RTP seen, headers and duplicates included.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sequence number of the first packet seen.
    pub const fn first_sequence(&self) -> u16 {
        self.first_sequence
    }

    /// Highest sequence number, cycles in the upper half (RFC 3550 §6.4.1); since the last restart.
    pub const fn extended_highest(&self) -> u32 {
        self.highest.wrapping_sub(0x1_0000)
    }

    /// How many packets the numbers seen span, over all epochs (RFC 3550 appendix A.3).
    pub const fn expected(&self) -> u32 {
        self.expected_before.saturating_add(self.span())
    }

    /// Packets seen once or more.
    pub const fn received_unique(&self) -> u32 {
        self.packets.saturating_sub(self.duplicates)
    }

    /// Numbers within [`Stream::expected`] that were never seen.
    pub const fn lost(&self) -> u32 {
        self.expected().saturating_sub(self.received_unique())
    }

    /// Last number minus first plus one minus all packets: what `tshark -z rtp,streams` calls lost.
    pub fn lost_by_count(&self) -> i64 {
        let last = i64::from(self.cycles) << 16 | i64::from(self.last_sequence);
        last.saturating_sub(i64::from(self.first_sequence))
            .saturating_add(1)
            .saturating_sub(i64::from(self.packets))
    }

    /// Packets whose number was seen before, among the last 64 numbers.
    pub const fn duplicates(&self) -> u32 {
        self.duplicates
    }

    /// Packets that came after one with a higher number.
    pub const fn reordered(&self) -> u32 {
        self.reordered
    }

    /// Jumps of 3000 numbers or more that the next packet confirmed.
    pub const fn restarts(&self) -> u16 {
        self.restarts
    }

    /// Time of the first packet.
    pub const fn first_time(&self) -> Timestamp {
        self.first_time
    }

    /// Latest time of any packet.
    pub const fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Media timestamp of the first packet.
    pub const fn first_timestamp(&self) -> u32 {
        self.first_timestamp
    }

    /// Media timestamp of the packet with the highest number.
    pub const fn newest_timestamp(&self) -> u32 {
        self.newest_timestamp
    }

    /// Payload types in order of first appearance, at most [`super::MAX_PAYLOAD_TYPES`].
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.payload_types.iter().copied().filter(|number| *number != NO_PAYLOAD_TYPE)
    }

    /// The clock in Hz: that of the static payload type, the one given, or the one inferred.
    pub fn clock_hz(&self) -> Option<u32> {
        let fixed = self.payload_types().find_map(payload_type::static_type).map(|row| row.clock_hz);
        fixed.or_else(|| (self.clock_hz != 0).then_some(self.clock_hz))
    }

    /// Whether the clock was inferred from the pace of the stream.
    pub const fn is_clock_inferred(&self) -> bool {
        self.flags.clock_inferred
    }

    /// Sets the clock of dynamic payload types when signalling tells it late; jitter begins anew if it differs.
    pub const fn set_clock_hz(&mut self, clock_hz: u32) {
        if self.clock_hz != clock_hz {
            self.clock_hz = clock_hz;
            self.flags.clock_inferred = false;
            self.flags.jitter_measured = false;
            (self.jitter_ms, self.jitter_max_ms, self.jitter_mean_ms) = (0.0, 0.0, 0.0);
            (self.jitter_all_ms, self.jitter_peak_ms) = (0.0, 0.0);
        }
    }

    /// Interarrival jitter at the last packet in ms (RFC 3550 §6.4.1); `None` without a clock.
    pub const fn jitter_ms(&self) -> Option<f32> {
        if self.flags.jitter_measured { Some(self.jitter_ms) } else { None }
    }

    /// The same in units of the RTP clock, as a receiver report states it.
    pub fn jitter_units(&self) -> Option<f32> {
        let clock = self.clock_hz()?;
        self.jitter_ms().map(|ms| ms * count_to_f32(clock) / 1_000.0)
    }

    /// Highest jitter in ms, over packets that keep the pace (no marker, no comfort noise).
    pub const fn jitter_max_ms(&self) -> Option<f32> {
        if self.flags.jitter_measured { Some(self.jitter_max_ms) } else { None }
    }

    /// Mean jitter in ms, over the same packets.
    pub const fn jitter_mean_ms(&self) -> Option<f32> {
        if self.flags.jitter_measured { Some(self.jitter_mean_ms) } else { None }
    }

    /// Mean jitter in ms over all packets, marked ones too: of pictures, where a marker ends each frame.
    pub const fn jitter_all_ms(&self) -> Option<f32> {
        if self.flags.jitter_measured { Some(self.jitter_all_ms) } else { None }
    }

    /// Highest jitter in ms over all packets.
    pub const fn jitter_peak_ms(&self) -> Option<f32> {
        if self.flags.jitter_measured { Some(self.jitter_peak_ms) } else { None }
    }
}
