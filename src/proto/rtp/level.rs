//! How loud a source says that it is: RFC 6464, one byte per packet in a header extension, in the clear even under SRTP.
//!
//! The extension's number is negotiated in signalling, which is seldom seen. Among the elements of one byte that an audio
//! stream carries, the level is the one that keeps changing; `mid` and its like stand still. Two that change are no answer.

use super::Header;

/// Elements of one byte that are followed.
const SLOTS: usize = 4;
/// Packets and changes needed before an element is taken for a level.
const PACKETS_NEEDED: u32 = 25;
const CHANGES_NEEDED: u32 = 8;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    id: u8,
    latest: u8,
    packets: u32,
    changes: u32,
    voiced: u32,
    quiet_sum: u64,
    voiced_sum: u64,
    loudest: u8,
}

/// One-byte elements of an audio stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    slots: [Slot; SLOTS],
}

/// What the level says over a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioLevel {
    /// The extension's number.
    pub id: u8,
    /// Packets with a level, from where the stream was known to be audio: without a static type or a framing that says so, once its
    /// clock was inferred, which takes a second or more. Not all that were sent, therefore.
    pub packets: u32,
    /// Share of packets whose sender heard a voice (the V bit), in percent.
    pub voice_percent: f64,
    /// Mean level of these packets, or of all where none has the V bit, in dBov: 0 is the loudest, -127 silence.
    pub mean_dbov: f64,
    /// Highest level, in dBov.
    pub loudest_dbov: f64,
}

impl Levels {
    /// Takes the elements of one packet.
    pub fn packet(&mut self, header: &Header<'_>) {
        for element in header.elements() {
            let [value] = *element.data else { continue };
            let slot = self.slots.iter_mut().find(|slot| slot.id == element.id || slot.packets == 0);
            if let Some(slot) = slot {
                slot.add(element.id, value);
            }
        }
    }

    /// The level, where one element behaves as it does. `known` is the number where it is known.
    pub fn level(&self, known: Option<u8>) -> Option<AudioLevel> {
        let moving = |slot: &&Slot| match known {
            Some(id) => slot.id == id && slot.packets > 0,
            None => slot.packets >= PACKETS_NEEDED && slot.changes >= CHANGES_NEEDED,
        };
        let mut found = self.slots.iter().filter(moving);
        let slot = found.next()?;
        if found.next().is_some() {
            return None;
        }
        Some(slot.level())
    }
}

impl Slot {
    const fn add(&mut self, id: u8, value: u8) {
        let level = value & 0x7f;
        if self.packets == 0 {
            *self = Self { id, latest: value, loudest: level, ..*self };
        }
        self.packets = self.packets.saturating_add(1);
        if value != self.latest {
            self.changes = self.changes.saturating_add(1);
        }
        self.latest = value;
        if level < self.loudest {
            self.loudest = level;
        }
        if value & 0x80 == 0 {
            self.quiet_sum = self.quiet_sum.saturating_add(u64_from(level));
        } else {
            self.voiced = self.voiced.saturating_add(1);
            self.voiced_sum = self.voiced_sum.saturating_add(u64_from(level));
        }
    }

    fn level(&self) -> AudioLevel {
        let (sum, count) =
            if self.voiced > 0 { (self.voiced_sum, self.voiced) } else { (self.quiet_sum, self.packets) };
        // A sum of levels below 128 over 2^32 packets fits in 39 bits.
        let sum = f64::from(u32::try_from(sum).unwrap_or(u32::MAX));
        AudioLevel {
            id: self.id,
            packets: self.packets,
            voice_percent: 100.0 * f64::from(self.voiced) / f64::from(self.packets.max(1)),
            mean_dbov: -sum / f64::from(count.max(1)),
            loudest_dbov: -f64::from(self.loudest),
        }
    }
}

#[expect(clippy::as_conversions, reason = "`u64::from` is not const; the value has seven bits")]
const fn u64_from(value: u8) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RTP with one-byte elements: 1 is the level, 4 a `mid` of one letter.
    fn packet(level: u8) -> Vec<u8> {
        let mut packet = vec![0x90, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 0xbe, 0xde, 0, 1];
        packet.extend([0x10, level, 0x40, b'0']);
        packet.extend([0; 20]);
        packet
    }

    #[test]
    fn finds_the_element_that_moves() {
        let mut levels = Levels::default();
        for step in 0..50_u8 {
            // Every second packet speaks at -20 or -30 dBov; the rest is silence at -100.
            let value = if step % 2 == 0 { 0x80 | (20 + step % 4 * 5) } else { 100 };
            levels.packet(&Header::parse(&packet(value)).unwrap());
        }
        let level = levels.level(None).unwrap();
        assert_eq!((level.id, level.packets), (1, 50));
        assert!((level.voice_percent - 50.0).abs() < 1e-9);
        assert!((level.mean_dbov + 24.8).abs() < 0.5, "{level:?}");
        assert!((level.loudest_dbov + 20.0).abs() < 1e-9);
    }

    #[test]
    fn what_stands_still_is_no_level() {
        let mut levels = Levels::default();
        for _ in 0..100 {
            levels.packet(&Header::parse(&packet(60)).unwrap());
        }
        assert_eq!(levels.level(None), None);
        assert!(levels.level(Some(1)).is_some());
    }
}
