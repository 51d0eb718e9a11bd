//! What one source sent in one direction: counts, loss, order, jitter.
//!
//! In: the [`Peek`] of each packet with its time. Out: the numbers of RFC 3550 appendix A.1 (extended
//! sequence), A.3 (loss) and A.8 (jitter), for the packets that passed the observer. Jitter is measured
//! between packets that raise the sequence number; late and duplicate ones and jumps of the media clock are
//! left out, which would otherwise drown what the network did.
//!
//! Two definitions of loss are kept apart. [`Stream::lost`] counts numbers that were never seen.
//! [`Stream::lost_by_count`] is last number minus first plus one minus all packets, duplicates included and
//! possibly negative: what Wireshark's RTP stream table shows, whose rules it follows.

mod report;
mod steps;

use std::time::Duration;

use super::Peek;
use super::payload_type::{is_comfort_noise, static_clock_hz};
use crate::time::Timestamp;
use steps::{Step, Steps};

/// A jump ahead of this many numbers or more is a restart, not loss, once a second packet confirms it
/// (RFC 3550 appendix A.1, `MAX_DROPOUT`).
const MAX_DROPOUT: u16 = 3_000;

/// A step back of at most this many numbers is a late packet (RFC 3550 appendix A.1, `MAX_MISORDER`).
const MAX_MISORDER: u16 = 100;

/// A packet that is off its pace by more than this shows a media clock that was reset or stood still, as after
/// hold or a change of codec; it says nothing of the network.
const MAX_STEP_MS: f32 = 5_000.0;

/// How many different payload types are remembered; one stream rarely has more than media, FEC, comfort
/// noise and telephone events.
pub const MAX_PAYLOAD_TYPES: usize = 4;

/// Clock rates that payload formats use, in Hz; an inferred clock is one of these.
const CLOCKS_HZ: [u32; 9] = [8_000, 11_025, 12_000, 16_000, 22_050, 32_000, 44_100, 48_000, 90_000];

/// Time that must have passed before a clock is inferred: shorter spans err by their jitter.
const INFERENCE_SPAN: Duration = Duration::from_secs(1);

/// Time after which no clock is inferred any more: at 90 kHz half of all media timestamps have gone by (2^31 / 90,000 s), and
/// soon nobody can tell how often they came around.
const JUDGED_SPAN: Duration = Duration::from_secs(23_860);

/// Running statistics of one SSRC in one direction. Updating allocates nothing once the clock is known.
#[derive(Debug, Clone)]
pub struct Stream {
    first_time: Timestamp,
    last_time: Timestamp,
    /// Time of the packet with the highest number, from which jitter is measured.
    reference_time: Timestamp,
    bytes: u64,
    /// Bit n: number `highest - n` was seen.
    window: u64,
    packets: u32,
    duplicates: u32,
    reordered: u32,
    /// Extended numbers of this epoch; the first packet gets 65536 + its number, so that an earlier one fits.
    lowest: u32,
    highest: u32,
    /// Numbers spanned by epochs before the last restart.
    expected_before: u32,
    first_timestamp: u32,
    /// Media timestamp of the packet with the highest number.
    newest_timestamp: u32,
    /// Highest media timestamp, which decides on cycles in [`Stream::lost_by_count`].
    cycle_timestamp: u32,
    /// Hz for dynamic payload types; 0 while unknown.
    clock_hz: u32,
    jitter_ms: f32,
    jitter_max_ms: f32,
    jitter_mean_ms: f32,
    /// Mean and highest over all steps, marked ones too.
    jitter_all_ms: f32,
    jitter_peak_ms: f32,
    first_sequence: u16,
    last_sequence: u16,
    /// The number that would confirm a jump.
    awaited: u16,
    restarts: u16,
    /// Cycles as [`Stream::lost_by_count`] counts them.
    cycles: u16,
    payload_types: [u8; MAX_PAYLOAD_TYPES],
    flags: Flags,
    /// Steps that are measured once the clock is inferred.
    pending: Option<Box<Steps>>,
}

#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, one byte each, never passed around")]
struct Flags {
    below_first: bool,
    jump_pending: bool,
    has_static_clock: bool,
    jitter_measured: bool,
    clock_inferred: bool,
    last_was_noise: bool,
}

/// Marks a free slot among the payload types, which have 7 bits.
const NO_PAYLOAD_TYPE: u8 = 0xff;

#[expect(
    clippy::arithmetic_side_effects,
    reason = "extended numbers stay within a window of u32 that starts at 65536; all else saturates"
)]
impl Stream {
    /// Statistics that begin with this packet; `length` is that of the whole RTP packet in bytes. `clock_hz`
    /// is that of dynamic payload types where signalling told it; otherwise it is inferred from the pace.
    pub fn new(first: &Peek, length: usize, time: Timestamp, clock_hz: Option<u32>) -> Self {
        let sequence = 0x1_0000 | u32::from(first.sequence);
        let mut payload_types = [NO_PAYLOAD_TYPE; MAX_PAYLOAD_TYPES];
        if let Some(slot) = payload_types.first_mut() {
            *slot = first.payload_type;
        }
        Self {
            first_time: time,
            last_time: time,
            reference_time: time,
            bytes: u64::try_from(length).unwrap_or(u64::MAX),
            window: 1,
            packets: 1,
            duplicates: 0,
            reordered: 0,
            lowest: sequence,
            highest: sequence,
            expected_before: 0,
            first_timestamp: first.timestamp,
            newest_timestamp: first.timestamp,
            cycle_timestamp: first.timestamp,
            clock_hz: clock_hz.unwrap_or(0),
            jitter_ms: 0.0,
            jitter_max_ms: 0.0,
            jitter_mean_ms: 0.0,
            jitter_all_ms: 0.0,
            jitter_peak_ms: 0.0,
            first_sequence: first.sequence,
            last_sequence: first.sequence,
            awaited: 0,
            restarts: 0,
            cycles: 0,
            payload_types,
            flags: Flags {
                has_static_clock: static_clock_hz(first.payload_type) != 0,
                last_was_noise: is_comfort_noise(first.payload_type),
                ..Flags::default()
            },
            pending: None,
        }
    }

    /// Takes the next packet of the same source. The caller keeps sources apart.
    #[inline]
    pub fn update(&mut self, packet: &Peek, length: usize, time: Timestamp) {
        if time > self.last_time {
            self.last_time = time;
        }
        self.remember_payload_type(packet.payload_type);
        self.count_cycles(packet);
        if self.count_sequence(packet, time) && !self.is_event(packet.payload_type) {
            let advance = packet.timestamp.wrapping_sub(self.newest_timestamp).cast_signed();
            self.measure_jitter(packet, advance, time);
            self.newest_timestamp = packet.timestamp;
            self.reference_time = time;
        }
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        self.last_sequence = packet.sequence;
        self.infer_clock(packet.payload_type);
    }

    fn remember_payload_type(&mut self, number: u8) {
        for slot in &mut self.payload_types {
            if *slot == number {
                return;
            }
            if *slot == NO_PAYLOAD_TYPE {
                *slot = number;
                self.flags.has_static_clock |= static_clock_hz(number) != 0;
                return;
            }
        }
    }

    /// A cycle begins when the number falls below the first one, or steps from 65535 to 0, and the media
    /// timestamp did not run backwards; it is counted once until the number is above the first again.
    fn count_cycles(&mut self, packet: &Peek) {
        let sequence = packet.sequence;
        if packet.timestamp.wrapping_sub(self.cycle_timestamp).cast_signed() < 0 {
            return;
        }
        self.cycle_timestamp = packet.timestamp;
        let wrapped = sequence == 0 && self.last_sequence == u16::MAX;
        if !self.flags.below_first && (sequence < self.first_sequence || wrapped) {
            self.cycles = self.cycles.saturating_add(1);
            self.flags.below_first = true;
        } else if sequence > self.first_sequence {
            self.flags.below_first = false;
        }
    }

    /// RFC 3550 appendix A.1, with a window of the last 64 numbers to tell duplicates from late packets. True
    /// when the packet is now the one with the highest number.
    fn count_sequence(&mut self, packet: &Peek, time: Timestamp) -> bool {
        let sequence = packet.sequence;
        let newest = u16::try_from(self.highest & 0xffff).unwrap_or(0);
        let ahead = sequence.wrapping_sub(newest);
        let behind = newest.wrapping_sub(sequence);
        if ahead == 0 {
            self.duplicates = self.duplicates.saturating_add(1);
        } else if ahead < MAX_DROPOUT {
            self.flags.jump_pending = false;
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            return true;
        } else if behind <= MAX_MISORDER {
            self.count_late(behind);
        } else if self.flags.jump_pending && sequence == self.awaited {
            self.restart(packet, time);
            return true;
        } else {
            self.awaited = sequence.wrapping_add(1);
            self.flags.jump_pending = true;
        }
        false
    }

    fn count_late(&mut self, behind: u16) {
        let number = self.highest.wrapping_sub(u32::from(behind));
        // Older than the window: late for certain, a duplicate perhaps; counted as late only.
        let bit = 1_u64.checked_shl(u32::from(behind)).unwrap_or(0);
        if self.window & bit != 0 {
            self.duplicates = self.duplicates.saturating_add(1);
        } else {
            self.reordered = self.reordered.saturating_add(1);
            self.window |= bit;
            self.lowest = self.lowest.min(number);
        }
    }

    /// Begins a new epoch at the packet before this one, which made the jump. Its media timestamps need not go on from those before.
    #[cold]
    fn restart(&mut self, packet: &Peek, time: Timestamp) {
        self.expected_before = self.expected_before.saturating_add(self.span());
        self.restarts = self.restarts.saturating_add(1);
        self.highest = 0x1_0000 | u32::from(packet.sequence);
        self.lowest = self.highest - 1;
        self.window = 0b11;
        self.flags.jump_pending = false;
        if self.clock_hz == 0 && !self.flags.has_static_clock {
            self.pending.get_or_insert_default().base = Some((time, packet.timestamp));
        }
    }

    fn measure_jitter(&mut self, packet: &Peek, advance: i32, time: Timestamp) {
        let noise = is_comfort_noise(packet.payload_type);
        let after_noise = std::mem::replace(&mut self.flags.last_was_noise, noise);
        let clock_hz = self.clock_of(packet.payload_type);
        // Pictures sent out of display order step back in media time: nothing can be said of them.
        let Ok(advance) = u32::try_from(advance) else { return };
        let step = Step {
            advance,
            passed_ns: time.as_nanos().saturating_sub(self.reference_time.as_nanos()),
            packets: self.packets,
            // Markers begin a talk spurt and comfort noise comes when it likes: neither says how the network did.
            is_steady: !packet.marker && !noise && !after_noise,
        };
        if clock_hz != 0 {
            self.measure_step(&step, clock_hz);
        } else {
            self.pending.get_or_insert_default().push(&step);
        }
    }

    fn measure_step(&mut self, step: &Step, clock_hz: u32) {
        let due_ns = i64::from(step.advance) * 1_000_000_000 / i64::from(clock_hz);
        let off_ms = nanos_to_ms(step.passed_ns.saturating_sub(due_ns).unsigned_abs());
        if off_ms > MAX_STEP_MS {
            return;
        }
        self.jitter_ms += (off_ms - self.jitter_ms) / 16.0;
        self.flags.jitter_measured = true;
        let weight = count_to_f32(step.packets);
        self.jitter_peak_ms = self.jitter_peak_ms.max(self.jitter_ms);
        self.jitter_all_ms += (self.jitter_ms - self.jitter_all_ms) / weight;
        if step.is_steady {
            self.jitter_max_ms = self.jitter_max_ms.max(self.jitter_ms);
            self.jitter_mean_ms += (self.jitter_ms - self.jitter_mean_ms) / weight;
        }
    }

    /// A dynamic type in a stream of static ones carries telephone events or the like, whose timestamps stand
    /// still (RFC 4733 §2.2.1); without a clock from signalling they keep no pace.
    const fn is_event(&self, number: u8) -> bool {
        self.flags.has_static_clock && self.clock_of(number) == 0
    }

    const fn clock_of(&self, number: u8) -> u32 {
        if number < 96 { static_clock_hz(number) } else { self.clock_hz }
    }

    /// Looks at powers of two only: the pace of a stream need not be judged at each packet.
    fn infer_clock(&mut self, number: u8) {
        if number >= 96 && self.packets.is_power_of_two() {
            self.judge_pace();
        }
    }

    /// The same after the last packet, for a stream whose clock is not known by then: one that began with a stall, as after
    /// a change of path, may have kept its pace since the last look only.
    #[must_use]
    pub fn concluded(&self) -> Self {
        let mut whole = self.clone();
        if whole.clock_hz().is_none() {
            whole.judge_pace();
        }
        whole.pending = None;
        whole
    }

    fn judge_pace(&mut self) {
        // One that was inferred before a restart stays: there is no pace over both epochs.
        let is_settled = self.clock_hz != 0 && (!self.flags.clock_inferred || self.restarts > 0);
        if is_settled || self.flags.has_static_clock || self.packets < 16 {
            return;
        }
        let base = self.pending.as_ref().and_then(|pending| pending.base);
        let (begun, first_timestamp) = base.unwrap_or((self.first_time, self.first_timestamp));
        let elapsed = self.reference_time.since(begun);
        if !(INFERENCE_SPAN..JUDGED_SPAN).contains(&elapsed) {
            return;
        }
        let ticks = u64::from(self.newest_timestamp.wrapping_sub(first_timestamp));
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let pace_hz = ticks.saturating_mul(1_000) / millis;
        let near = |clock: &&u32| pace_hz.abs_diff(u64::from(**clock)) * 25 <= u64::from(**clock);
        let fits_still = self.clock_hz != 0 && near(&&self.clock_hz);
        let Some(clock_hz) = CLOCKS_HZ.iter().find(near).copied().filter(|_| !fits_still) else { return };
        // A short span may have told another clock; what was measured by it is void.
        self.set_clock_hz(clock_hz);
        self.flags.clock_inferred = true;
        for step in self.pending.take().iter().flat_map(|pending| pending.iter()) {
            self.measure_step(&step, clock_hz);
        }
    }

    const fn span(&self) -> u32 {
        self.highest.wrapping_sub(self.lowest).saturating_add(1)
    }
}

/// Nanoseconds to milliseconds for a jitter sum.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "`f32` has no `From<u64>`; 24 bits of a jitter value are ample"
)]
const fn nanos_to_ms(nanos: u64) -> f32 {
    nanos as f32 / 1_000_000.0
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "`f32` has no `From<u32>`; a weight or clock rate needs no more than 24 bits"
)]
const fn count_to_f32(count: u32) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests;
