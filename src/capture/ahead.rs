//! A stream read by a thread of its own, a few buffers ahead of the packets.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::block::{BUFFER, Block, Pool};
use super::source::Stream;

/// Bytes before those that were read, for what is left unread of the buffer before: more than the longest datagram needs.
const HEAD: usize = 68 << 10;
/// Buffers that were read and wait.
const QUEUE: usize = 4;

/// The end of the thread that takes what it reads.
pub(super) struct Ahead {
    full: Receiver<Chunk>,
    back: Sender<Block>,
    _permit: Arc<()>,
}

/// A part of the stream.
pub(super) struct Chunk {
    /// Where it lies.
    pub(super) block: Block,
    /// Index in the buffer of its first byte; what is before it is free.
    pub(super) start: usize,
    /// Index behind its last byte.
    pub(super) end: usize,
    /// What is behind it: true where more is, false at the end.
    pub(super) more: io::Result<bool>,
}

impl Ahead {
    /// Reads on in a thread, which ends with the stream or when nobody takes what it reads. The permit is held until then.
    ///
    /// # Errors
    /// Gives the stream back where there can be no thread more.
    pub(super) fn start(stream: Stream, permit: Arc<()>) -> Result<Self, Stream> {
        let (full, taken) = sync_channel(QUEUE);
        let (back, free) = channel();
        // Handed over once there is a thread: what a thread that cannot begin was given is lost.
        let (hand, handed) = sync_channel::<Stream>(1);
        let begun = thread::Builder::new().spawn(move || {
            if let Ok(stream) = handed.recv() {
                read(stream, &full, &free);
            }
        });
        if begun.is_err() {
            return Err(stream);
        }
        hand.send(stream).map_err(|unsent| unsent.0)?;
        Ok(Self { full: taken, back, _permit: permit })
    }

    /// What was read next; none behind the end.
    pub(super) fn next(&self) -> Option<Chunk> {
        self.full.recv().ok()
    }

    /// Gives a buffer back, to be read into once nobody else reads from it.
    pub(super) fn give(&self, block: Block) {
        // At the end of the stream there is nobody left to take it.
        let _ = self.back.send(block);
    }
}

fn read(mut stream: Stream, full: &SyncSender<Chunk>, free: &Receiver<Block>) {
    let mut pool = Pool::default();
    let mut more = true;
    while more {
        for block in free.try_iter() {
            pool.give(block);
        }
        let chunk = fill(&mut stream, pool.take());
        more = matches!(chunk.more, Ok(true));
        if full.send(chunk).is_err() {
            return;
        }
    }
}

fn fill(stream: &mut Stream, mut block: Block) -> Chunk {
    let mut end = HEAD;
    let more = loop {
        let space = block.alone().and_then(|block| block.get_mut(end..)).unwrap_or_default();
        if space.is_empty() {
            break Ok(true);
        }
        match stream.read(space) {
            Ok(0) => break Ok(false),
            Ok(taken) => end = end.saturating_add(taken).min(BUFFER),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    Chunk { block, start: HEAD, end, more }
}
