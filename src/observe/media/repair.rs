//! Which stream another repairs: RTX and FEC carry the media timestamps of what they repair (RFC 4588 section 4, RFC 8627
//! section 4.2.1), in the clear even under SRTP. An RTX packet is two bytes longer than the one that it repeats.

use crate::observe::facts::MediaKind;

/// Packets that a stream remembers for others.
const REMEMBERED: usize = 256;
/// Packets of a stream that are compared.
const TESTED: u16 = 96;
/// Packets that must have been compared for a verdict.
const NEEDED: u16 = 5;
/// Streams that one is compared with at a time.
const RIVALS: usize = 4;
/// What RTX puts before the payload: the original sequence number (RFC 4588 section 4), in bytes.
const OSN: u16 = 2;

/// Timestamps and body lengths of the latest packets of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    packets: Vec<(u32, u16)>,
    next: usize,
}

impl Sent {
    #[inline]
    pub(super) fn note(&mut self, timestamp: u32, length: u16) {
        if self.packets.len() < REMEMBERED {
            self.packets.push((timestamp, length));
            return;
        }
        if let Some(slot) = self.packets.get_mut(self.next) {
            *slot = (timestamp, length);
        }
        self.next = self.next.saturating_add(1).checked_rem(REMEMBERED).unwrap_or(0);
    }

    /// Whether a packet of this timestamp was sent, and whether one was shorter by the two bytes of RTX.
    pub(super) fn match_of(&self, timestamp: u32, length: u16) -> Option<bool> {
        let mut same = self.packets.iter().filter(|(held, _)| *held == timestamp).peekable();
        same.peek()?;
        Some(same.any(|(_, held)| held.saturating_add(OSN) == length))
    }
}

#[derive(Debug, Clone, Copy)]
struct Rival {
    ssrc: u32,
    hits: u16,
    repeats: u16,
}

/// What comparing the first packets of a stream with others came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Echo {
    tested: u16,
    rivals: Vec<Rival>,
}

impl Echo {
    pub(super) const fn is_open(&self) -> bool {
        self.tested < TESTED
    }

    /// Books a packet that was compared with other streams: those that had its timestamp, and whether it repeats one.
    pub(super) fn book(&mut self, matches: impl Iterator<Item = (u32, bool)>) {
        self.tested = self.tested.saturating_add(1);
        for (ssrc, repeats) in matches {
            let place = self.rivals.iter().position(|rival| rival.ssrc == ssrc).or_else(|| {
                (self.rivals.len() < RIVALS).then(|| {
                    self.rivals.push(Rival { ssrc, hits: 0, repeats: 0 });
                    self.rivals.len().saturating_sub(1)
                })
            });
            if let Some(rival) = place.and_then(|place| self.rivals.get_mut(place)) {
                rival.hits = rival.hits.saturating_add(1);
                rival.repeats = rival.repeats.saturating_add(u16::from(repeats));
            }
        }
    }

    /// The stream whose timestamps nearly all packets had, and how they repair it.
    pub(super) fn verdict(&self) -> Option<(u32, MediaKind)> {
        let best = self.rivals.iter().max_by_key(|rival| rival.hits)?;
        let nearly_all = u32::from(best.hits).saturating_mul(10) >= u32::from(self.tested).saturating_mul(9);
        let repeats = u32::from(best.repeats).saturating_mul(2) >= u32::from(best.hits);
        (self.tested >= NEEDED && nearly_all)
            .then_some((best.ssrc, if repeats { MediaKind::Rtx } else { MediaKind::Fec }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtx_repeats_and_fec_only_shares_timestamps() {
        let mut sent = Sent::default();
        for packet in 0..600_u32 {
            sent.note(packet / 3 * 3000, 1000 + u16::try_from(packet % 7).unwrap());
        }
        assert_eq!(sent.match_of(0, 1002), None, "long gone");
        assert_eq!(sent.match_of(199 * 3000, 1000 + 597 % 7 + 2), Some(true));
        assert_eq!(sent.match_of(199 * 3000, 700), Some(false));
        let mut rtx = Echo::default();
        (0..20).for_each(|_| rtx.book([(7, true)].into_iter()));
        assert_eq!(rtx.verdict(), Some((7, MediaKind::Rtx)));
        let mut fec = Echo::default();
        (0..20).for_each(|_| fec.book([(7, false)].into_iter()));
        assert_eq!(fec.verdict(), Some((7, MediaKind::Fec)));
    }

    #[test]
    fn a_few_equal_timestamps_are_chance() {
        let mut echo = Echo::default();
        (0..20).for_each(|n| echo.book((n % 3 == 0).then_some((7, true)).into_iter()));
        assert_eq!(echo.verdict(), None);
        let mut short = Echo::default();
        (0..4).for_each(|_| short.book([(7, true)].into_iter()));
        assert_eq!(short.verdict(), None);
    }
}
