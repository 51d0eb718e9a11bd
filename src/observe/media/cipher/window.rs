//! Which of the latest sequence numbers were seen, for streams in which FEC has numbers of its own.

/// How far behind the newest a sequence number may come and is no restart.
const WINDOW: u16 = 64;

/// Whether a sequence number was seen among the latest.
#[derive(Debug, Default)]
pub(super) struct Window {
    highest: Option<u16>,
    seen: u64,
}

impl Window {
    /// True for a packet that was not seen yet.
    #[inline]
    pub(super) fn is_fresh(&mut self, sequence: u16) -> bool {
        let Some(highest) = self.highest else {
            (self.highest, self.seen) = (Some(sequence), 1);
            return true;
        };
        let (ahead, behind) = (sequence.wrapping_sub(highest), highest.wrapping_sub(sequence));
        if behind < WINDOW {
            let bit = 1_u64 << behind;
            let fresh = self.seen & bit == 0;
            self.seen |= bit;
            return fresh;
        }
        self.seen = self.seen.checked_shl(ahead.into()).unwrap_or(0) | 1;
        self.highest = Some(sequence);
        true
    }
}
