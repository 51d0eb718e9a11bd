//! Pictures of Zoom that are being put together in one flow. In: what each stream holds behind a packet. Out: since when, and how much in all.

use crate::flow::{Direction, Wait};

/// One that is not complete.
#[derive(Debug, Clone, Copy)]
struct Picture {
    ssrc: u32,
    direction: Direction,
    /// Of its packets (RTP).
    timestamp: u32,
    /// Number in the run of the packet that it began with.
    since: u64,
    bytes: usize,
}

/// Of all streams of a flow, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    open: Vec<Picture>,
    bytes: usize,
}

impl Pictures {
    /// Takes what a stream holds behind its packet with this number in the run, which may be nothing.
    pub(super) fn note(
        &mut self,
        (ssrc, direction): (u32, Direction),
        timestamp: u32,
        bytes: usize,
        number: u64,
    ) {
        let of_stream = |open: &Picture| open.ssrc == ssrc && open.direction == direction;
        let known = self.open.iter().position(of_stream);
        if let Some(picture) = known.and_then(|place| self.open.get_mut(place))
            && picture.timestamp == timestamp
            && bytes > 0
        {
            self.bytes = self.bytes.saturating_sub(picture.bytes).saturating_add(bytes);
            picture.bytes = bytes;
            return;
        }
        if let Some(place) = known {
            let before = self.open.remove(place);
            self.bytes = self.bytes.saturating_sub(before.bytes);
        }
        if bytes > 0 {
            self.bytes = self.bytes.saturating_add(bytes);
            self.open.push(Picture { ssrc, direction, timestamp, since: number, bytes });
        }
    }

    /// Since when the oldest is not complete, and what all hold.
    #[inline]
    pub(super) fn waiting(&self) -> Option<Wait> {
        let oldest = self.open.first()?;
        Some(Wait { since: oldest.since, bytes: self.bytes })
    }

    /// Forgets the oldest: the stream that it is of.
    pub(super) fn take_oldest(&mut self) -> Option<(u32, Direction)> {
        if self.open.is_empty() {
            return None;
        }
        let oldest = self.open.remove(0);
        self.bytes = self.bytes.saturating_sub(oldest.bytes);
        Some((oldest.ssrc, oldest.direction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: (u32, Direction) = (1, Direction::Forward);
    const OTHER: (u32, Direction) = (1, Direction::Reverse);

    #[test]
    fn the_oldest_that_is_not_complete_says_since_when() {
        let mut pictures = Pictures::default();
        let wait = |since, bytes| Some(Wait { since, bytes });
        pictures.note(ONE, 90, 100, 7);
        pictures.note(OTHER, 90, 10, 8);
        pictures.note(ONE, 90, 300, 9);
        assert_eq!(pictures.waiting(), wait(7, 310));
        pictures.note(ONE, 90, 0, 10);
        assert_eq!(pictures.waiting(), wait(8, 10));
        pictures.note(ONE, 180, 50, 11);
        // Another picture of the same stream, though the one before was not completed.
        pictures.note(OTHER, 180, 20, 12);
        assert_eq!(pictures.waiting(), wait(11, 70));
        assert_eq!(pictures.take_oldest(), Some(ONE));
        assert_eq!(pictures.waiting(), wait(12, 20));
        assert_eq!((pictures.take_oldest(), pictures.take_oldest()), (Some(OTHER), None));
        assert_eq!(pictures.waiting(), None);
        pictures.note(OTHER, 180, 0, 13);
        assert_eq!(pictures.waiting(), None);
    }
}
