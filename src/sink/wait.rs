//! Waiting for a descriptor, for a time; and which of the records that were handed over somebody may not have taken.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::queue::Batch;

/// How long a destination waits for the other side before it looks at its orders again.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// What a pipe holds where the system does not say.
const PIPE_CAPACITY: u64 = 65_536;

/// What a descriptor is ready for; nothing when the time is over.
pub(super) fn ready(descriptor: &impl AsFd, wanted: PollFlags, patience: Duration) -> io::Result<PollFlags> {
    let mut asked = [PollFd::new(descriptor, wanted)];
    let patience = Timespec::try_from(patience).ok();
    match poll(&mut asked, patience.as_ref()) {
        Ok(_) => Ok(asked.iter().map(PollFd::revents).fold(PollFlags::empty(), PollFlags::union)),
        Err(Errno::INTR) => Ok(PollFlags::empty()),
        Err(error) => Err(error.into()),
    }
}

/// Bytes that a pipe holds.
#[cfg(target_os = "linux")]
pub(super) fn capacity(pipe: &File) -> u64 {
    rustix::pipe::fcntl_getpipe_size(pipe)
        .ok()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(PIPE_CAPACITY)
}

/// Bytes that a pipe holds, where the system does not say.
#[cfg(not(target_os = "linux"))]
pub(super) fn capacity(_: &File) -> u64 {
    PIPE_CAPACITY
}

/// The records whose last byte lies among the last bytes handed over: a buffer of that size may still hold them.
#[derive(Debug)]
pub(super) struct Window {
    size: u64,
    sent: u64,
    ends: VecDeque<u64>,
}

impl Window {
    pub(super) const fn new(size: u64) -> Self {
        Self { size, sent: 0, ends: VecDeque::new() }
    }

    /// Bytes were handed over, and with them a record's last one.
    pub(super) fn add(&mut self, bytes: usize, ends_record: bool) {
        self.sent = self.sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if ends_record {
            self.ends.push_back(self.sent);
        }
        let taken_to = self.sent.saturating_sub(self.size);
        while self.ends.front().is_some_and(|end| *end <= taken_to) {
            self.ends.pop_front();
        }
    }

    /// So many bytes of a batch's next record were handed over.
    pub(super) fn wrote(&mut self, batch: &mut Batch, written: usize) {
        let is_whole = batch.first().is_some_and(|rest| rest.len() == written);
        self.add(written, is_whole);
        batch.sent = batch.sent.saturating_add(written);
        if is_whole {
            batch.taken();
        }
    }

    /// How many they are.
    pub(super) fn in_doubt(&self) -> u64 {
        u64::try_from(self.ends.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_buffer_can_hold_is_in_doubt() {
        let mut window = Window::new(100);
        for _ in 0..10 {
            window.add(20, false);
            window.add(20, true);
        }
        // The last record ends with the last byte, those before it 40, 80 and 120 bytes earlier.
        assert_eq!(window.in_doubt(), 3);
        window.add(90, false);
        assert_eq!(window.in_doubt(), 1);
    }
}
