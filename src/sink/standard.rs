//! Standard output: a terminal, a pipe or a file. A reader that stands still holds up this thread only; one that is gone ends the
//! destination for good.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::FileType;

use super::pump::{Destination, Fault};
use super::queue::Batch;
use super::wait::{PATIENCE, Window, capacity, ready};

/// Bytes that a pipe which is ready takes without waiting: a page of every system.
const PIPE_BYTES: usize = 4096;

/// Standard output.
pub(super) struct Standard {
    out: File,
    is_pipe: bool,
    window: Window,
}

impl Standard {
    pub(super) fn open() -> io::Result<Self> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&out)?.st_mode);
        let is_pipe = matches!(kind, FileType::Fifo | FileType::Socket);
        let held = if is_pipe { capacity(&out) } else { 0 };
        Ok(Self { out, is_pipe, window: Window::new(held) })
    }

    fn gone(&self, batch: &mut Batch) -> Fault {
        batch.tally.in_doubt = batch.tally.in_doubt.saturating_add(self.window.in_doubt());
        Fault { error: "nobody reads it any more".to_owned(), is_final: true }
    }
}

impl Destination for Standard {
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        while let Some(rest) = batch.first() {
            if !ready(&self.out, PollFlags::OUT, PATIENCE)?
                .intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP)
            {
                return Ok(());
            }
            let some = if self.is_pipe { rest.get(..PIPE_BYTES).unwrap_or(rest) } else { rest };
            match self.out.write(some) {
                Ok(written) => self.window.wrote(batch, written),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(self.gone(batch)),
                // Somebody who shares it has made it so.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn look_after(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        if self.is_pipe && ready(&self.out, PollFlags::empty(), Duration::ZERO)?.contains(PollFlags::ERR) {
            return Err(self.gone(batch));
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self, _: &mut Batch, _: Duration) {
        let _ = self.out.flush();
    }
}
