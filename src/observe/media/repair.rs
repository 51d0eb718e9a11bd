//! Which stream another repairs: RTX and FEC carry the media timestamps of what they repair (RFC 4588 section 4, RFC 8627
//! section 4.2.1), in the clear even under SRTP. An RTX packet is two bytes longer than the one that it repeats; what
//! was lost before the capture point is repeated without having been seen, but its timestamp lies among those that were.
//! Every source begins at a timestamp of its own choosing, so that even nearness is no chance.

use crate::observe::facts::MediaKind;

/// Packets that a stream remembers for others.
const REMEMBERED: usize = 256;
/// Packets of a stream that are compared.
const TESTED: u16 = 96;
/// Packets that must have been compared for a verdict.
const NEEDED: u16 = 5;
/// Repeats that must have been seen, or paddings, to speak of RTX.
const REPEATS_NEEDED: u16 = 3;
/// Streams that one is compared with at a time.
const RIVALS: usize = 4;
/// What RTX puts before the payload: the original sequence number (RFC 4588 section 4), in bytes.
const OSN: u16 = 2;
/// How far behind a stream one that repairs it may be (after an outage, what was lost in it), and how far ahead (paddings go
/// on with its clock), in ticks of 90 kHz.
const BEHIND: i32 = 900_000;
const AHEAD: i32 = 9_000;
/// What is this far behind the newest timestamp is of an earlier frame, in the same ticks.
const EARLIER: i32 = 900;
/// Packets of earlier frames that show by themselves that nothing is said for the first time.
const STALE_NEEDED: u16 = 8;

/// Timestamps and body lengths of the latest packets of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    packets: Vec<(u32, u16)>,
    next: usize,
    newest: u32,
}

/// How a packet of one stream lies to another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Likeness {
    /// Its timestamp is that of an earlier frame than the newest.
    stale: bool,
    /// A packet of this timestamp was sent.
    hit: bool,
    /// One of them was shorter by the two bytes of RTX.
    repeats: bool,
}

impl Sent {
    #[inline]
    pub(super) fn note(&mut self, timestamp: u32, length: u16) {
        if self.packets.is_empty() || timestamp.wrapping_sub(self.newest).cast_signed() > 0 {
            self.newest = timestamp;
        }
        if self.packets.len() < REMEMBERED {
            self.packets.push((timestamp, length));
            return;
        }
        if let Some(slot) = self.packets.get_mut(self.next) {
            *slot = (timestamp, length);
        }
        self.next = self.next.saturating_add(1).checked_rem(REMEMBERED).unwrap_or(0);
    }

    /// How a packet lies to what was sent; `None` when its timestamp is nowhere near.
    pub(super) fn likeness(&self, timestamp: u32, length: u16) -> Option<Likeness> {
        let behind = self.newest.wrapping_sub(timestamp).cast_signed();
        if self.packets.is_empty() || !(-AHEAD..=BEHIND).contains(&behind) {
            return None;
        }
        let mut same = self.packets.iter().filter(|(held, _)| *held == timestamp).peekable();
        let hit = same.peek().is_some();
        Some(Likeness {
            stale: behind > EARLIER,
            hit,
            repeats: same.any(|(_, held)| held.saturating_add(OSN) == length),
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Rival {
    ssrc: u32,
    near: u16,
    stale: u16,
    hits: u16,
    repeats: u16,
}

impl Rival {
    /// Many packets of the one stream are the other's, two bytes longer.
    const fn repeats(&self) -> bool {
        self.repeats >= REPEATS_NEEDED && self.repeats.saturating_mul(2) >= self.hits
    }
}

/// What comparing the first packets of a stream with others came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Echo {
    tested: u16,
    /// Of these: padding only, as RTX sends it to probe for bandwidth.
    paddings: u16,
    /// Of these: with the marker, which FEC never sets.
    marked: u16,
    rivals: Vec<Rival>,
}

/// What a packet of a young stream shows by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looks {
    pub(super) is_padded: bool,
    pub(super) is_marked: bool,
}

impl Echo {
    /// True when no packet was near to any other stream.
    pub(super) const fn is_silent(&self) -> bool {
        self.rivals.is_empty()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.tested < TESTED
    }

    /// Books a packet that was compared with other streams: those that it is near to.
    pub(super) fn book(&mut self, looks: Looks, near: impl Iterator<Item = (u32, Likeness)>) {
        self.tested = self.tested.saturating_add(1);
        self.paddings = self.paddings.saturating_add(u16::from(looks.is_padded));
        self.marked = self.marked.saturating_add(u16::from(looks.is_marked));
        for (ssrc, likeness) in near {
            let place = self.rivals.iter().position(|rival| rival.ssrc == ssrc).or_else(|| {
                (self.rivals.len() < RIVALS).then(|| {
                    self.rivals.push(Rival { ssrc, near: 0, stale: 0, hits: 0, repeats: 0 });
                    self.rivals.len().saturating_sub(1)
                })
            });
            if let Some(rival) = place.and_then(|place| self.rivals.get_mut(place)) {
                rival.near = rival.near.saturating_add(1);
                let stale = likeness.stale && !looks.is_padded;
                rival.stale = rival.stale.saturating_add(u16::from(stale));
                rival.hits = rival.hits.saturating_add(u16::from(likeness.hit));
                let repeats = likeness.repeats && !looks.is_padded;
                rival.repeats = rival.repeats.saturating_add(u16::from(repeats));
            }
        }
    }

    /// True when packets of another stream were seen to be sent again, so that no doubt is left which of two repairs the other.
    pub(super) fn is_sure(&self) -> bool {
        self.rivals.iter().any(Rival::repeats)
    }

    /// The stream to whose earlier frames nearly all packets belong. It speaks for RTX (of what was lost in an outage, say) only
    /// where the packets keep no pace of their own: two streams of one server may begin at one timestamp.
    pub(super) fn laggard(&self) -> Option<(u32, MediaKind)> {
        let best = self.rivals.iter().max_by_key(|rival| rival.stale)?;
        let spoken = self.tested.saturating_sub(self.paddings);
        let lags = best.stale >= STALE_NEEDED
            && u32::from(best.stale).saturating_mul(4) >= u32::from(spoken).saturating_mul(3);
        lags.then_some((best.ssrc, MediaKind::Rtx))
    }

    /// The stream that nearly all packets were near to, and how they repair it.
    pub(super) fn verdict(&self) -> Option<(u32, MediaKind)> {
        let best = self.rivals.iter().max_by_key(|rival| (rival.repeats, rival.hits, rival.near))?;
        let nearly_all =
            |count: u16| u32::from(count).saturating_mul(10) >= u32::from(self.tested).saturating_mul(9);
        if self.tested < NEEDED || !nearly_all(best.near) {
            return None;
        }
        let repeats = best.repeats();
        // A stream of its own is seldom padded, and moves on; one that probes and sends again does little else.
        let idle = u32::from(self.paddings).saturating_add(best.stale.into());
        let probes = self.paddings >= REPEATS_NEEDED && idle.saturating_mul(2) >= u32::from(self.tested);
        if repeats || probes {
            Some((best.ssrc, MediaKind::Rtx))
        } else {
            (nearly_all(best.hits) && self.marked == 0).then_some((best.ssrc, MediaKind::Fec))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(hit: bool, repeats: bool) -> Likeness {
        Likeness { stale: false, hit, repeats }
    }

    const PLAIN: Looks = Looks { is_padded: false, is_marked: false };

    #[test]
    fn rtx_repeats_and_fec_only_shares_timestamps() {
        let mut sent = Sent::default();
        for packet in 0..600_u32 {
            sent.note(packet / 3 * 3000, 1000 + u16::try_from(packet % 7).unwrap());
        }
        assert_eq!(sent.likeness((199 * 3000_u32).wrapping_sub(900_001), 1002), None, "long gone");
        let earlier = Likeness { stale: true, hit: false, repeats: false };
        assert_eq!(sent.likeness(100 * 3000 - 1, 1002), Some(earlier));
        assert_eq!(sent.likeness(199 * 3000, 1000 + 597 % 7 + 2), Some(like(true, true)));
        assert_eq!(sent.likeness(199 * 3000, 700), Some(like(true, false)));
        assert_eq!(sent.likeness(199 * 3000 - 1, 700), Some(like(false, false)), "lost before it was seen");
        assert_eq!(sent.likeness(0x8000_0000, 700), None);
        let mut rtx = Echo::default();
        (0..20).for_each(|_| rtx.book(PLAIN, [(7, like(true, true))].into_iter()));
        assert_eq!(rtx.verdict(), Some((7, MediaKind::Rtx)));
        let mut fec = Echo::default();
        (0..20).for_each(|_| fec.book(PLAIN, [(7, like(true, false))].into_iter()));
        assert_eq!(fec.verdict(), Some((7, MediaKind::Fec)));
    }

    #[test]
    fn rtx_of_packets_that_were_lost_before_the_capture_and_rtx_that_probes() {
        let mut lossy = Echo::default();
        (0..30).for_each(|n| lossy.book(PLAIN, [(7, like(n % 4 == 0, n % 4 == 0))].into_iter()));
        assert_eq!(lossy.verdict(), Some((7, MediaKind::Rtx)));
        let mut outage = Echo::default();
        let stale = Likeness { stale: true, hit: false, repeats: false };
        (0..30).for_each(|_| outage.book(PLAIN, [(7, stale)].into_iter()));
        assert_eq!((outage.verdict(), outage.laggard()), (None, Some((7, MediaKind::Rtx))));
        let mut probing = Echo::default();
        let padded = Looks { is_padded: true, is_marked: false };
        (0..30).for_each(|_| probing.book(padded, [(7, like(false, false))].into_iter()));
        assert_eq!(probing.verdict(), Some((7, MediaKind::Rtx)));
    }

    #[test]
    fn streams_that_keep_step_or_meet_by_chance_repair_nothing() {
        let mut sibling = Echo::default();
        let marked = Looks { is_padded: false, is_marked: true };
        (0..20).for_each(|n| {
            let looks = if n % 2 == 0 { marked } else { PLAIN };
            sibling.book(looks, [(7, like(true, false))].into_iter());
        });
        assert_eq!(sibling.verdict(), None, "FEC sets no marker");
        let mut chance = Echo::default();
        (0..20).for_each(|n| chance.book(PLAIN, (n % 3 == 0).then_some((7, like(true, true))).into_iter()));
        assert_eq!(chance.verdict(), None);
        let mut short = Echo::default();
        (0..4).for_each(|_| short.book(PLAIN, [(7, like(true, true))].into_iter()));
        assert_eq!(short.verdict(), None);
    }
}
