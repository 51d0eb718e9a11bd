//! Many capture files as one stream of packets.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::{Path, PathBuf};

use super::ahead::ReadAhead;
use super::block::BUFFER;
use super::error::CaptureError;
use super::info::{Compression, FileInfo};
use super::limits::open_files;
use super::reader::{self, FileReader};
use super::room::Rooms;
use super::{Packet, reader::STDIN};
use crate::time::Timestamp;

/// In which order the packets of several files come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "two answers are all there are")]
pub enum Order {
    /// By time over all files; equal times by the order of files, then by position. Each file is taken to be
    /// nearly sorted: a packet that is late within its file comes as soon as it is met.
    Time,
    /// One file after the other.
    AsGiven,
}

/// Bytes that are held of any other, at least and at most.
const NARROWEST: usize = 2 << 10;
const WIDEST: usize = 64 << 10;

/// Several capture files read as one. A file with a fault is closed and the others go on.
///
/// In time order, a file is opened briefly to learn its first time and again when that time has come, so that a
/// directory full of ring-buffer files holds few of them open at once. Where more overlap in time than 512, than a sixteenth of the memory has buffers for, or than half of the files
/// that the process may have open, the others are open only while they are read, and less is held of them; but not of those that are
/// compressed, which would have to be unpacked from their beginning. Standard input is opened once.
#[derive(Debug)]
pub struct Merge {
    slots: Vec<Slot>,
    order: Order,
    /// The next packet's time of every file that has one, for [`Order::Time`].
    queue: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Files not begun, for [`Order::AsGiven`].
    waiting: VecDeque<usize>,
    /// The file whose packet was handed out last.
    current: Option<usize>,
    /// Files that came to their end and were not asked for.
    ended: Vec<usize>,
    /// Other threads may read ahead.
    ahead: Option<ReadAhead>,
    /// Files that are open, wait, and need not be open; with the time of their next packet.
    open: Vec<(Timestamp, usize)>,
    most_open: usize,
    rooms: Rooms,
}

/// How far a file has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a file is read to its end, or to somewhere before it")]
pub enum Place {
    /// Behind so many packets; 0 is its beginning.
    Behind(u64),
    /// To its end, or to its first fault.
    End,
}

#[derive(Debug)]
struct Slot {
    path: PathBuf,
    state: State,
    error: Option<CaptureError>,
    /// Packets that are passed over when it is opened.
    skip: u64,
    /// At its end, or at its first fault.
    is_over: bool,
}

#[derive(Debug)]
enum State {
    /// Not open; what a first look told of it, if one was taken.
    Closed(Option<Box<FileInfo>>),
    Open(Box<FileReader>),
}

impl Merge {
    /// Prepares to read `paths`; `-` is standard input. Faults are kept with each file.
    pub fn open(paths: Vec<PathBuf>, order: Order) -> Self {
        Self::with(from_begin(paths), order, Rooms::default())
    }

    /// The same with a memory of so many bytes, of which those that are open at the same time take what is not packets: half of it to be
    /// unpacked, an eighth for buffers while they wait for their time, as much for those that are open only while they are read, and a
    /// sixteenth for what they say beside packets. A file that needs more to be unpacked than is left has a fault; what is said beyond it
    /// is left out, and counted.
    pub fn within(paths: Vec<PathBuf>, order: Order, memory: u64) -> Self {
        Self::with(from_begin(paths), order, Rooms::within(memory))
    }

    /// Prepares to read on where an earlier reading in the same order had come to. A file that is compressed is unpacked from its
    /// beginning; nothing is said of one that was read to its end.
    /// For `memory` see [`Merge::within`].
    pub fn resume(places: Vec<(PathBuf, Place)>, order: Order, memory: u64) -> Self {
        Self::with(places, order, Rooms::within(memory))
    }

    fn with(places: Vec<(PathBuf, Place)>, order: Order, rooms: Rooms) -> Self {
        let slot = |(path, place)| {
            let (skip, is_over) = match place {
                Place::Behind(skip) => (skip, false),
                Place::End => (0, true),
            };
            Slot { path, state: State::Closed(None), error: None, skip, is_over }
        };
        let slots = places.into_iter().map(slot).collect::<Vec<_>>();
        let mut waiting: Vec<usize> =
            slots.iter().enumerate().filter(|(_, slot)| !slot.is_over).map(|(file, _)| file).collect();
        // One that was begun goes on before any other begins.
        waiting.sort_by_key(|file| slots.get(*file).is_some_and(|slot| slot.skip == 0));
        let (queue, waiting) = (BinaryHeap::new(), waiting.into());
        let (ended, open, most_open) = (Vec::new(), Vec::new(), open_files().min(rooms.open));
        let (current, ahead) = (None, None);
        let mut merge = Self { slots, order, queue, waiting, current, ended, ahead, open, most_open, rooms };
        if order == Order::Time {
            merge.look_at_all();
        }
        merge
    }

    /// Other threads may unpack the files that are opened from now on, a little ahead of their packets: whenever they ask whether
    /// they can help. The packets are the same.
    pub fn read_ahead(&mut self) -> ReadAhead {
        self.ahead.get_or_insert_default().clone()
    }

    /// Holds no more files open than so many while they wait.
    #[cfg(test)]
    pub(super) fn hold_open(&mut self, most: usize) {
        self.most_open = self.most_open.min(most);
    }

    /// The next packet and the index of its file; none when all files are at their end.
    #[expect(clippy::should_implement_trait, reason = "the packet borrows from a reader, as no Iterator can")]
    pub fn next(&mut self) -> Option<(usize, Packet<'_>)> {
        let file = self.advance()?;
        self.current().map(|packet| (file, packet))
    }

    /// Goes on to the next packet, and gives the index of its file; none when all files are at their end. What
    /// [`Merge::info`] says of the file is then what stands in it before that packet.
    pub fn advance(&mut self) -> Option<usize> {
        let file = match self.order {
            Order::Time => self.next_by_time(),
            Order::AsGiven => self.next_as_given(),
        };
        self.current = file;
        file
    }

    /// The packet that [`Merge::advance`] went on to.
    pub fn current(&self) -> Option<Packet<'_>> {
        match self.slots.get(self.current?) {
            Some(Slot { state: State::Open(reader), .. }) => reader.current(),
            _ => None,
        }
    }

    /// How many files there are.
    pub const fn files(&self) -> usize {
        self.slots.len()
    }

    /// Path of a file as given.
    pub fn path(&self, file: usize) -> Option<&Path> {
        self.slots.get(file).map(|slot| slot.path.as_path())
    }

    /// What a file says beside its packets, as far as it has been read; none when it could not be opened or,
    /// with [`Order::AsGiven`], its turn has not come. Before that, with [`Order::Time`], lists are empty.
    pub fn info(&self, file: usize) -> Option<&FileInfo> {
        match &self.slots.get(file)?.state {
            State::Closed(info) => info.as_deref(),
            State::Open(reader) => Some(reader.info()),
        }
    }

    /// The fault that closed a file.
    pub fn error(&self, file: usize) -> Option<&CaptureError> {
        self.slots.get(file)?.error.as_ref()
    }

    /// Files that have come to their end, or to a fault, since this was asked last.
    pub fn take_ended(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.ended)
    }

    /// Lets go of the interfaces, secrets and names of a file that is at its end.
    pub fn forget(&mut self, file: usize) {
        if let Some(Slot { state: State::Closed(Some(info)), is_over: true, .. }) = self.slots.get_mut(file) {
            info.forget_lists();
        }
    }

    /// Time of the packet that a file goes on with, in [`Order::Time`]; none where it is at its end.
    pub fn next_time(&self, file: usize) -> Option<Timestamp> {
        self.queue.iter().find(|Reverse((_, other))| *other == file).map(|Reverse((time, _))| *time)
    }

    /// Learns the first time of every file.
    fn look_at_all(&mut self) {
        let Self { slots, queue, ended, rooms, .. } = self;
        for (file, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| !slot.is_over) {
            if let Some(first) = slot.advance(None, rooms) {
                queue.push(Reverse((first, file)));
                slot.pause();
            } else {
                ended.push(file);
            }
        }
    }

    /// Moves a file to its next packet; its time.
    fn advance_in(&mut self, file: usize) -> Option<Timestamp> {
        let time = self.slots.get_mut(file)?.advance(self.ahead.as_ref(), &self.rooms);
        if time.is_none() {
            self.ended.push(file);
        }
        time
    }

    fn next_by_time(&mut self) -> Option<usize> {
        if let Some(file) = self.current
            && let Some(time) = self.advance_in(file)
        {
            // Mostly the same file goes on: then the queue needs no change.
            if self.queue.peek().is_none_or(|Reverse(head)| (time, file) < *head) {
                return Some(file);
            }
            self.queue.push(Reverse((time, file)));
            self.wait(time, file);
        }
        while let Some(Reverse((_, file))) = self.queue.pop() {
            if let Some(place) = self.open.iter().position(|(_, open)| *open == file) {
                self.open.swap_remove(place);
            }
            let (ahead, rooms) = (self.ahead.as_ref(), &self.rooms);
            if self.slots.get_mut(file).is_some_and(|slot| slot.resume(ahead, rooms)) {
                return Some(file);
            }
            self.ended.push(file);
        }
        None
    }

    /// A file waits for its time. Where too many do that are open, the one whose packet is furthest away is so no more.
    fn wait(&mut self, time: Timestamp, file: usize) {
        if let Some(Slot { state: State::Open(reader), path, .. }) = self.slots.get_mut(file) {
            if reader.is_wide() {
                self.open.push((time, file));
            } else {
                reader.set_aside(path);
            }
        }
        if self.open.len() > self.most_open
            && let Some((place, _)) = self.open.iter().enumerate().max_by_key(|(_, waits)| **waits)
        {
            let (_, file) = self.open.swap_remove(place);
            // What as many may hold that are open is shared by all.
            let share = self.most_open.saturating_mul(BUFFER).checked_div(self.slots.len()).unwrap_or(0);
            if let Some(Slot { state: State::Open(reader), path, .. }) = self.slots.get_mut(file) {
                reader.narrow(path, share.clamp(NARROWEST, WIDEST));
            }
        }
    }

    fn next_as_given(&mut self) -> Option<usize> {
        let mut candidate = self.current;
        loop {
            let file = match candidate.take() {
                Some(file) => file,
                None => self.waiting.pop_front()?,
            };
            if self.advance_in(file).is_some() {
                return Some(file);
            }
        }
    }
}

fn from_begin(paths: Vec<PathBuf>) -> Vec<(PathBuf, Place)> {
    paths.into_iter().map(|path| (path, Place::Behind(0))).collect()
}

impl Slot {
    /// Opens the file where it is closed and moves to its next packet; its time. Closes at the end or a fault.
    fn advance(&mut self, ahead: Option<&ReadAhead>, rooms: &Rooms) -> Option<Timestamp> {
        if matches!(self.state, State::Closed(_)) {
            self.begin(ahead, rooms)?;
        }
        self.step()
    }

    /// Opens the file and passes over the packets that were read of it before; none where it has no more.
    #[cold]
    fn begin(&mut self, ahead: Option<&ReadAhead>, rooms: &Rooms) -> Option<()> {
        match reader::open_within(&self.path, rooms) {
            Ok(reader) => self.state = State::Open(Box::new(begun(reader, ahead))),
            Err(error) => {
                if let State::Closed(Some(info)) = &mut self.state {
                    // The packet that was looked at does not come.
                    info.packets = info.packets.saturating_sub(1);
                }
                self.error = Some(error);
                self.is_over = true;
                return None;
            }
        }
        for _ in 0..self.skip {
            self.step()?;
        }
        Some(())
    }

    /// Moves an open file to its next packet; its time. Closes at the end or a fault.
    #[inline]
    fn step(&mut self) -> Option<Timestamp> {
        let State::Open(reader) = &mut self.state else { return None };
        match reader.advance() {
            Ok(true) => reader.current().map(|packet| packet.timestamp),
            moved => {
                self.error = moved.err();
                self.close();
                None
            }
        }
    }

    /// Closes a file that is at its end, or at a fault.
    fn close(&mut self) {
        if let State::Open(reader) = &self.state {
            self.state = State::Closed(Some(Box::new(reader.info().clone())));
        }
        self.is_over = true;
    }

    /// Closes a file whose first packet was only looked at; a pipe cannot be opened twice and stays open.
    fn pause(&mut self) {
        if let State::Open(reader) = &mut self.state
            && reader.is_a_file()
            && self.path.as_os_str() != STDIN
        {
            // They come again when it is read, and are not to be held of all files until then.
            reader.forget_lists();
            self.state = State::Closed(Some(Box::new(reader.info().clone())));
        }
    }

    /// Makes the looked-at packet current again; false when the file has gone bad since.
    fn resume(&mut self, ahead: Option<&ReadAhead>, rooms: &Rooms) -> bool {
        let State::Open(reader) = &mut self.state else { return self.advance(ahead, rooms).is_some() };
        self.error = reader.bring_back().err();
        if self.error.is_some() {
            self.close();
        }
        self.error.is_none()
    }
}

/// A reader that was opened; a compressed file may be unpacked by others. Of another file nothing is gained: what a thread has copied from
/// the kernel is far from the one that needs it.
fn begun(mut reader: FileReader, ahead: Option<&ReadAhead>) -> FileReader {
    let is_compressed = reader.info().compression != Compression::None;
    if let Some(ahead) = ahead.filter(|_| is_compressed && reader.is_a_file()) {
        reader.read_ahead(ahead);
    }
    reader
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    use super::super::tests::{classic_file, write};
    use super::*;

    fn drain(merge: &mut Merge) -> Vec<(usize, i64)> {
        let mut seen = Vec::new();
        while let Some((file, packet)) = merge.next() {
            seen.push((file, packet.timestamp.as_nanos() / 1_000_000_000));
        }
        seen
    }

    fn three_files() -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let paths = vec![
            write(&dir, "a", &classic_file(&[1, 4, 4, 9])),
            write(&dir, "b", &classic_file(&[2, 4, 3])),
            write(&dir, "c", &classic_file(&[4])),
        ];
        (dir, paths)
    }

    #[test]
    fn time_order_breaks_ties_by_file_then_position() {
        let (_dir, paths) = three_files();
        let mut merge = Merge::open(paths, Order::Time);
        let expected = [(0, 1), (1, 2), (0, 4), (0, 4), (1, 4), (1, 3), (2, 4), (0, 9)];
        assert_eq!(drain(&mut merge), expected);
        assert!(merge.next().is_none());
        let packets = |file| merge.info(file).unwrap().packets;
        assert_eq!([packets(0), packets(1), packets(2)], [4, 3, 1]);
    }

    /// From every place in turn, what is left comes as it came without a break.
    #[test]
    fn reading_goes_on_where_it_was() {
        for order in [Order::Time, Order::AsGiven] {
            let (_dir, paths) = three_files();
            let all = drain(&mut Merge::open(paths.clone(), order));
            for taken in 0..=all.len() {
                let mut merge = Merge::open(paths.clone(), order);
                let mut read = vec![0_u64; paths.len()];
                for _ in 0..taken {
                    let (file, _) = merge.next().unwrap();
                    read[file] += 1;
                }
                // What has ended is known once the next packet is asked for.
                merge.advance();
                let ended = merge.take_ended();
                let place = |file| {
                    if ended.contains(&file) { Place::End } else { Place::Behind(read[file]) }
                };
                let places = paths.iter().cloned().enumerate().map(|(file, path)| (path, place(file)));
                assert_eq!(
                    drain(&mut Merge::resume(places.collect(), order, 1 << 30)),
                    all[taken..],
                    "{taken}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_has_become_shorter_is_at_its_end() {
        let (_dir, mut paths) = three_files();
        let mut merge = Merge::resume(vec![(paths.remove(0), Place::Behind(7))], Order::Time, 1 << 30);
        assert!(merge.next().is_none());
        assert_eq!(merge.take_ended(), [0]);
    }

    /// Compressed files, one of them cut: the same packets, faults and order, however many threads help.
    #[test]
    fn reading_ahead_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = |number: u32| {
            let seconds: Vec<u32> = (0..30_000).map(|packet| packet * 3 + number).collect();
            let mut bytes = zstd::encode_all(classic_file(&seconds).as_slice(), 1).unwrap();
            bytes.truncate(if number == 1 { bytes.len() - 100 } else { bytes.len() });
            write(&dir, &number.to_string(), &bytes)
        };
        let paths: Vec<PathBuf> = (0..4).map(file).collect();
        for order in [Order::Time, Order::AsGiven] {
            let mut seen = [0, 1, 2].map(|helpers| {
                let mut merge = Merge::open(paths.clone(), order);
                let ahead = (helpers > 0).then(|| merge.read_ahead());
                let done = AtomicBool::new(false);
                let packets = std::thread::scope(|scope| {
                    for ahead in vec![ahead; helpers].into_iter().flatten() {
                        let done = &done;
                        scope.spawn(move || {
                            while !done.load(Relaxed) {
                                if !ahead.help() {
                                    std::thread::yield_now();
                                }
                            }
                        });
                    }
                    let packets = drain(&mut merge);
                    done.store(true, Relaxed);
                    packets
                });
                let faults: Vec<_> = (0..4).map(|file| merge.error(file).map(ToString::to_string)).collect();
                let read: Vec<_> = (0..4).map(|file| merge.info(file).unwrap().packets).collect();
                (packets, faults, read, merge.take_ended())
            });
            let [alone, one, two] = &mut seen;
            assert_eq!(alone, one);
            assert_eq!(alone, two);
            assert!(one.0.len() > 90_000 && one.1.iter().flatten().count() == 1, "{:?}", one.1);
        }
    }

    #[test]
    fn given_order_reads_one_file_after_the_other() {
        let (_dir, paths) = three_files();
        let expected = [(0, 1), (0, 4), (0, 4), (0, 9), (1, 2), (1, 4), (1, 3), (2, 4)];
        assert_eq!(drain(&mut Merge::open(paths, Order::AsGiven)), expected);
    }

    #[test]
    fn a_bad_file_is_closed_and_the_others_go_on() {
        for order in [Order::Time, Order::AsGiven] {
            let (dir, mut paths) = three_files();
            let mut cut = classic_file(&[0, 5]);
            cut.pop();
            paths.insert(0, write(&dir, "cut", &cut));
            paths.insert(0, write(&dir, "empty", &[]));
            paths.push(dir.path().join("absent"));
            let mut merge = Merge::open(paths, order);
            assert_eq!(drain(&mut merge).len(), 9);
            let bad = (0..merge.files()).filter(|file| merge.error(*file).is_some()).collect::<Vec<_>>();
            assert_eq!(bad, [0, 1, 5]);
            assert_eq!(merge.info(1).unwrap().packets, 1);
        }
    }
}
