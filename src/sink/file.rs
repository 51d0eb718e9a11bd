//! A file: records are appended, whole; a full disk is told of and waited out; rotation by size and time. A pipe with a name is never
//! waited for: without a reader it is away like a peer, and tried again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::archive::Archive;
use super::clock;
use super::pump::{Destination, Fault};
use super::queue::Batch;
use super::rotation::{Part, Rotation};
use super::wait::{PATIENCE, Window, capacity, ready};

/// Time until a rotation that failed is tried again; records go on into the old file.
const RETRY_ROTATION: Duration = Duration::from_secs(60);
/// Parts of one second that are tried before rotation gives up.
const MOST_NUMBERS: u32 = 1000;
/// What is wrong with a pipe that has no reader.
const UNREAD: &str = "nobody reads this pipe";

/// A file that is written to.
pub(super) struct Output {
    path: PathBuf,
    rotation: Rotation,
    archive: Option<Archive>,
    open: Option<Open>,
    /// When a rotation failed last, by a clock that nobody sets.
    failed: Option<Instant>,
    /// What an earlier run left undone is being done.
    is_tidied: bool,
}

struct Open {
    file: File,
    /// Bytes in it; 0 for what has no length, such as a pipe.
    length: u64,
    is_regular: bool,
    /// Writes to it do not wait.
    is_pipe: bool,
    /// A pipe that something was written to.
    is_begun: bool,
    /// It ends in the middle of a record.
    is_torn: bool,
    /// Interval of `--rotate` that its first record belongs to.
    interval: u64,
    /// Records that a pipe may hold.
    window: Window,
}

impl Output {
    /// Opens the file, so that what is wrong with it is known before anything else is done.
    pub(super) fn open(path: PathBuf, rotation: Rotation, archive: Option<Archive>) -> io::Result<Self> {
        let open = match open(&path, rotation) {
            // The thread tells of it, and tries again.
            Err(error) if is_unread(&path, &error) => None,
            other => Some(other?),
        };
        Ok(Self { path, rotation, archive, open, failed: None, is_tidied: false })
    }

    fn opened(&mut self) -> Result<&mut Open, Fault> {
        if self.open.is_none() {
            let open = open(&self.path, self.rotation).map_err(|error| unopened(&self.path, &error))?;
            self.open = Some(open);
        }
        self.open.as_mut().ok_or_else(|| Fault::new(&"not open"))
    }

    /// Whether the file is to be rotated before `more` bytes go into it.
    fn is_due(&self, more: usize) -> bool {
        let Some(open) = self.open.as_ref().filter(|open| open.is_regular && open.length > 0) else {
            return false;
        };
        let (seconds, _) = clock::now();
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let is_full = self.rotation.bytes.is_some_and(|most| open.length.saturating_add(more) > most);
        let is_over = self.rotation.interval(seconds) != open.interval;
        let has_just_failed = |failed| clock::instant().saturating_duration_since(failed) < RETRY_ROTATION;
        (is_full || is_over) && !self.failed.is_some_and(has_just_failed)
    }

    /// Gives the file its name for good, and begins a new one. Where that fails the old one goes on.
    fn rotate(&mut self) -> Result<(), Fault> {
        let (seconds, _) = clock::now();
        if let Some(open) = &self.open {
            // What is on its way to the disk; the new name is to be that of a whole file.
            let _ = open.file.sync_data();
        }
        let moved = move_away(&self.path, seconds);
        if let Err(error) = moved {
            self.failed = Some(clock::instant());
            return Err(Fault::new(&format!("cannot be rotated, and goes on: {error}")));
        }
        self.failed = None;
        self.open = None;
        self.opened()?;
        self.tidy();
        Ok(())
    }

    fn tidy(&mut self) {
        self.is_tidied = true;
        if let Some(archive) = &mut self.archive {
            archive.wake();
        }
    }

    /// As many records as fit before the next rotation, in one write.
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        let rotation = self.rotation;
        let most = rotation.bytes;
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.length == 0 {
            // However long it has been there.
            open.interval = rotation.interval(clock::now().0);
        }
        let mut text = Vec::new();
        let mut ends = Vec::new();
        if open.is_torn {
            text.push(b'\n');
        }
        for record in batch.records() {
            let length = u64::try_from(text.len().saturating_add(record.len())).unwrap_or(u64::MAX);
            let is_over = most.is_some_and(|most| open.length.saturating_add(length) > most);
            if is_over && !ends.is_empty() {
                break;
            }
            text.extend_from_slice(record);
            ends.push(text.len());
        }
        let (done, outcome) = write_as_far(&mut open.file, &text);
        let whole = ends.iter().take_while(|end| **end <= done).count();
        let kept = whole.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or_default();
        if done >= 1 {
            open.is_torn = false;
        }
        if open.is_regular {
            open.length = open.length.saturating_add(u64::try_from(kept).unwrap_or_default());
            if done > kept {
                // Half a record is taken back; where even that fails the next one begins on a line of its own.
                open.is_torn = open.file.set_len(open.length).is_err();
            }
        } else {
            open.is_torn |= done > kept;
        }
        for _ in 0..whole {
            batch.taken();
        }
        outcome
    }
}

impl Open {
    /// An empty file.
    const fn of(file: File, window: Window) -> Self {
        Self {
            file,
            length: 0,
            is_regular: true,
            is_pipe: false,
            is_begun: false,
            is_torn: false,
            interval: 0,
            window,
        }
    }

    /// What a pipe takes, and no wait longer than a moment for its reader.
    fn feed(&mut self, batch: &mut Batch) -> io::Result<()> {
        if !self.is_begun {
            // The other half of a record went into another pipe.
            batch.rewind();
        }
        while let Some(rest) = batch.first() {
            match self.file.write(rest) {
                Ok(written) => {
                    self.is_begun = true;
                    self.window.wrote(batch, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if ready(&self.file, PollFlags::OUT, PATIENCE)?.is_empty() {
                        return Ok(());
                    }
                }
                Err(error) => {
                    batch.rewind();
                    if error.kind() == io::ErrorKind::BrokenPipe {
                        batch.tally.in_doubt = batch.tally.in_doubt.saturating_add(self.window.in_doubt());
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// True for a pipe that is still what its name stands for.
    fn is_pipe_at(&self, path: &Path) -> bool {
        let identity = |about: fs::Metadata| (about.dev(), about.ino());
        let ours = self.file.metadata().ok().map(identity);
        self.is_pipe && ours.is_some() && ours == path.metadata().ok().map(identity)
    }
}

/// Whether a pipe could not be opened because nobody has opened it to read.
fn is_unread(path: &Path, error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NXIO)
        && path.metadata().is_ok_and(|about| about.file_type().is_fifo())
}

/// Why a file could not be opened later than at the start.
fn unopened(path: &Path, error: &io::Error) -> Fault {
    if is_unread(path, error) {
        Fault::new(&UNREAD)
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        Fault::new(&format!(
            "{error} (the sandbox, where it is on, knows only the directory that was there at the start)"
        ))
    } else {
        Fault::new(error)
    }
}

/// Bytes written, and why not all.
fn write_as_far(file: &mut File, text: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0_usize;
    while let Some(rest) = text.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => done = done.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

fn open(path: &Path, rotation: Rotation) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    match path.metadata() {
        Ok(about) if about.file_type().is_fifo() => {
            // Without this, opening waits for a reader, and so does each write to a full pipe.
            options.custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default());
        }
        Ok(about) if !about.is_file() => {}
        // To see how it ends.
        _ => {
            options.read(true);
        }
    }
    let mut file = options.open(path)?;
    let about = file.metadata()?;
    let (now, _) = clock::now();
    if !about.is_file() {
        let is_pipe = about.file_type().is_fifo();
        let window = Window::new(if is_pipe { capacity(&file) } else { 0 });
        return Ok(Open { is_regular: false, is_pipe, ..Open::of(file, window) });
    }
    // What another run has not written to its end would be taken back as half a record. A file system without locks is no reason not to
    // write.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(io::Error::other("another run writes to it"));
    }
    let length = about.len();
    let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let last = changed.map_or(now, |time| time.as_secs());
    let is_torn = length > 0 && !ends_in_newline(&mut file)?;
    let interval = rotation.interval(if length > 0 { last } else { now });
    Ok(Open { length, is_torn, interval, ..Open::of(file, Window::new(0)) })
}

fn ends_in_newline(file: &mut File) -> io::Result<bool> {
    let mut last = [0_u8];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Renames to the first free name of this second. A file that somebody else has moved away is no fault.
fn move_away(path: &Path, seconds: u64) -> io::Result<()> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    for number in 0..MOST_NUMBERS {
        let Some(part) = Part::new(seconds, number) else { break };
        let is_free = ["", ".gz", ".zst"].into_iter().all(|ending| {
            let name = Part { ending, ..part.clone() }.name(name);
            fs::symlink_metadata(path.with_file_name(name)).is_err()
        });
        if is_free {
            return match fs::rename(path, path.with_file_name(part.name(name))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            };
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

impl Destination for Output {
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let open = self.opened()?;
        if open.is_pipe {
            let outcome = open.feed(batch);
            if outcome.is_err() {
                self.open = None;
            }
            let unread = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
            return outcome.map_err(|error| if unread(&error) { Fault::new(&UNREAD) } else { error.into() });
        }
        while let Some(next) = batch.first().map(<[u8]>::len) {
            if self.is_due(next) {
                self.rotate()?;
            }
            if let Err(error) = self.write(batch) {
                // Whatever the file is now, its name is opened again.
                self.open = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn look_after(&mut self, _: &mut Batch) -> Result<(), Fault> {
        self.opened()?;
        if self.is_due(0) {
            self.rotate()?;
        }
        if !self.is_tidied {
            self.tidy();
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Fault> {
        if self.open.as_ref().is_some_and(|open| open.is_pipe_at(&self.path)) {
            // Half a record may be on its way.
            return Ok(());
        }
        self.open = None;
        self.opened()?;
        Ok(())
    }

    fn close(&mut self, _: &mut Batch, _: Duration) {
        if let Some(open) = self.open.take() {
            let _ = open.file.sync_data();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand_over(output: &mut Output, records: &[&str]) -> Batch {
        let records: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
        let mut batch = Batch::of(&records);
        output.hand_over(&mut batch).unwrap();
        batch
    }

    #[test]
    fn records_are_appended_and_half_a_record_of_an_earlier_run_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "one\ntw").unwrap();
        let mut output = Output::open(path.clone(), Rotation::default(), None).unwrap();
        assert_eq!(hand_over(&mut output, &["a\n", "b\n"]).tally.written, 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\na\nb\n");
    }

    #[test]
    fn a_file_that_another_run_writes_is_refused_until_that_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let open = || Output::open(path.clone(), Rotation::default(), None);
        let mut first = open().unwrap();
        assert_eq!(open().err().unwrap().to_string(), "another run writes to it");
        first.reopen().unwrap();
        assert!(open().is_err());
        drop(first);
        assert!(open().is_ok());
    }

    #[test]
    fn no_record_is_split_or_lost_over_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let rotation = Rotation { bytes: Some(100), seconds: None };
        let mut output = Output::open(path.clone(), rotation, None).unwrap();
        let records: Vec<String> =
            (0..50).map(|number| format!("record {number:03} {}\n", "x".repeat(number))).collect();
        let lines: Vec<&str> = records.iter().map(String::as_str).collect();
        for some in lines.chunks(7) {
            hand_over(&mut output, some);
        }
        let mut names: Vec<(Option<Part>, PathBuf)> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (Part::read("out", path.file_name().unwrap().to_str().unwrap()), path))
            .collect();
        // The file itself is the last part.
        names.sort_by_key(|(part, _)| (part.is_none(), part.clone()));
        assert!(names.len() > 10, "{names:?}");
        let mut all = String::new();
        for (_, path) in &names {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.len() <= 100 && text.ends_with('\n'), "{text}");
            all.push_str(&text);
        }
        assert_eq!(all, records.concat());
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew_when_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut output = Output::open(path.clone(), Rotation::default(), None).unwrap();
        hand_over(&mut output, &["a\n"]);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        hand_over(&mut output, &["b\n"]);
        output.reopen().unwrap();
        hand_over(&mut output, &["c\n"]);
        assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), "a\nb\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
    }

    #[test]
    fn a_file_of_an_earlier_interval_is_rotated_before_anything_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "old\n").unwrap();
        let yesterday = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
        let rotation = Rotation { bytes: None, seconds: Some(3600) };
        let mut output = Output::open(path.clone(), rotation, None).unwrap();
        hand_over(&mut output, &["new\n"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_comes_after_a_silence_is_not_rotated_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let rotation = Rotation { bytes: None, seconds: Some(3600) };
        let mut output = Output::open(path.clone(), rotation, None).unwrap();
        // Opened many hours ago, and nothing came.
        output.opened().unwrap().interval -= 100;
        hand_over(&mut output, &["a\n"]);
        hand_over(&mut output, &["b\n"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// Root may rename whatever the rights of a directory are; a name that is no text is refused for all.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_rotation_that_failed_is_tried_again_by_a_clock_that_nobody_sets() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"out\xff"));
        let rotation = Rotation { bytes: Some(3), seconds: None };
        let mut output = Output::open(path.clone(), rotation, None).unwrap();
        hand_over(&mut output, &["a\n"]);
        let mut batch = Batch::of(&[b"b\n"]);
        assert!(output.hand_over(&mut batch).unwrap_err().error.contains("cannot be rotated"));
        assert!(output.hand_over(&mut batch).is_ok(), "it goes on into the old one");
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
        output.failed = output.failed.and_then(|at| at.checked_sub(RETRY_ROTATION));
        let mut batch = Batch::of(&[b"c\n"]);
        assert!(output.hand_over(&mut batch).is_err(), "a minute later it is tried");
    }

    #[cfg(target_os = "linux")]
    fn pipe(folder: &tempfile::TempDir) -> PathBuf {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = pipe(&folder);
        let mut output = Output::open(path.clone(), Rotation::default(), None).unwrap();
        let record = format!("{}\n", "x".repeat(99_999));
        let mut batch = Batch::of(&[record.as_bytes(), b"b\n"]);
        assert_eq!(output.hand_over(&mut batch).unwrap_err().error, UNREAD);
        let mut reader = File::options().read(true).write(true).open(&path).unwrap();
        // More than a pipe holds.
        output.hand_over(&mut batch).unwrap();
        assert_eq!((batch.tally.written, batch.is_empty(), batch.sent > 0), (0, false, true));
        output.reopen().unwrap();
        let mut text = vec![0; record.len() + 2];
        reader.read_exact(text.get_mut(..50_000).unwrap()).unwrap();
        output.hand_over(&mut batch).unwrap();
        assert_eq!((batch.tally.written, batch.is_empty()), (2, true));
        reader.read_exact(text.get_mut(50_000..).unwrap()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), format!("{record}b\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_reader_of_a_pipe_that_dies_leaves_in_doubt_what_the_pipe_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = pipe(&folder);
        // Opened for both ways nobody is waited for.
        let reader = File::options().read(true).write(true).open(&path).unwrap();
        let mut output = Output::open(path, Rotation::default(), None).unwrap();
        let record = format!("{}\n", "x".repeat(999));
        let many: Vec<&[u8]> = vec![record.as_bytes(); 20];
        for _ in 0..3 {
            let mut batch = Batch::of(&many);
            output.hand_over(&mut batch).unwrap();
            assert_eq!((batch.tally.written, batch.tally.in_doubt), (20, 0));
        }
        drop(reader);
        let mut batch = Batch::of(&many);
        assert!(output.hand_over(&mut batch).is_err());
        assert_eq!((batch.tally.written, batch.tally.in_doubt), (0, 60));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_and_keeps_the_records() {
        let mut output = Output::open(PathBuf::from("/dev/full"), Rotation::default(), None).unwrap();
        let mut batch = Batch::of(&[b"a\n"]);
        let fault = output.hand_over(&mut batch).unwrap_err();
        assert!(fault.error.contains("No space left"), "{fault:?}");
        assert_eq!((batch.tally.written, batch.is_empty()), (0, false));
    }
}
