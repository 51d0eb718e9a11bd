//! What becomes of rotated files: compressed beside the writer's way, and the oldest removed. In: a directory. Out: its parts of
//! one file, as many as are to be kept.
//!
//! The work goes by what lies in the directory, not by what was told, so that what a crash left undone is done at the next start.
//! A part is replaced by its compressed form only when that is whole and on the disk.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::pump::Voice;
use super::rotation::Part;
use crate::disk;

/// How rotated files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    const fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// What is done with the parts of a file.
#[derive(Debug, Clone)]
pub(super) struct Keeping {
    pub(super) path: PathBuf,
    pub(super) compression: Option<Compression>,
    /// Parts that are kept at most.
    pub(super) keep: Option<u32>,
}

/// A thread that does it, from the first time on that there is something to do.
pub(super) struct Archive {
    keeping: Keeping,
    voice: Voice,
    thread: Option<SyncSender<()>>,
}

impl Archive {
    /// None where rotated files are left as they are.
    pub(super) fn new(keeping: Keeping, voice: Voice) -> Option<Self> {
        let is_asked_for = keeping.compression.is_some() || keeping.keep.is_some();
        is_asked_for.then_some(Self { keeping, voice, thread: None })
    }

    /// Something was rotated. A thread that is at work already, and has not yet been told of the next time, will see it too.
    pub(super) fn wake(&mut self) {
        if self.thread.is_none() {
            let (sender, woken) = sync_channel(1);
            let (keeping, voice) = (self.keeping.clone(), Arc::clone(&self.voice));
            let begun = thread::Builder::new().name("archive".to_owned());
            match begun.spawn(move || work(&keeping, &woken, &voice)) {
                Ok(_) => self.thread = Some(sender),
                Err(error) => {
                    (self.voice)(&format!("{}: rotated files: {error}", self.keeping.path.display()));
                }
            }
        }
        if let Some(thread) = &self.thread {
            let _ = thread.try_send(());
        }
    }
}

fn work(keeping: &Keeping, woken: &Receiver<()>, voice: &Voice) {
    let mut told = None;
    while woken.recv().is_ok() {
        let outcome = tidy(keeping).err().map(|error| error.to_string());
        if let Some(error) = outcome.as_ref().filter(|_| outcome != told) {
            voice(&format!("{}: rotated files: {error}", keeping.path.display()));
        }
        told = outcome;
    }
}

/// Compresses what is not compressed, removes what is more than is to be kept. One part that fails does not stop the others.
fn tidy(keeping: &Keeping) -> io::Result<()> {
    let name =
        keeping.path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidFilename)?;
    let mut parts = parts(&keeping.path, name)?;
    let mut outcome = Ok(());
    let mut note = |result: io::Result<()>| {
        if let Err(error) = result {
            outcome = Err(error);
        }
    };
    for draft in parts.extract_if(.., |part| part.is_draft) {
        note(fs::remove_file(keeping.path.with_file_name(draft.name(name))));
    }
    if let Some(most) = keeping.keep {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        // A crash between the two last steps of compressing leaves one part under both of its names.
        let is_same = |a: &Part, b: &Part| (&a.stamp, a.number) == (&b.stamp, b.number);
        let files_of_each = || parts.chunk_by(is_same).map(<[Part]>::len);
        let surplus: usize = files_of_each().take(files_of_each().count().saturating_sub(most)).sum();
        for part in parts.drain(..surplus) {
            note(fs::remove_file(keeping.path.with_file_name(part.name(name))));
        }
    }
    if let Some(compression) = keeping.compression {
        for part in parts.iter().filter(|part| part.ending.is_empty()) {
            note(compress(&keeping.path, name, part, compression));
        }
    }
    outcome
}

/// The parts that lie there, the oldest first.
fn parts(path: &Path, name: &str) -> io::Result<Vec<Part>> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        parts.extend(entry.to_str().and_then(|entry| Part::read(name, entry)));
    }
    parts.sort();
    Ok(parts)
}

fn compress(path: &Path, name: &str, part: &Part, compression: Compression) -> io::Result<()> {
    let plain = path.with_file_name(part.name(name));
    let packed = Part { ending: compression.ending(), ..part.clone() };
    let draft = Part { is_draft: true, ..packed.clone() };
    let draft = path.with_file_name(draft.name(name));
    let mut from = File::open(&plain)?;
    let about = from.metadata()?;
    let written = begin(&draft, &about).and_then(|to| pack(&mut from, to, compression)).and_then(|file| {
        if let Ok(changed) = about.modified() {
            file.set_modified(changed)?;
        }
        file.sync_all()
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    fs::rename(&draft, path.with_file_name(packed.name(name)))?;
    // Else a power cut could leave neither name.
    disk::sync_directory_of(&plain);
    fs::remove_file(&plain)
}

/// An empty file that lets nobody read who may not read the one that it is made of.
fn begin(draft: &Path, of: &Metadata) -> io::Result<File> {
    let rights = of.permissions();
    let file = OpenOptions::new().write(true).create_new(true).mode(rights.mode() & 0o777).open(draft)?;
    file.set_permissions(rights)?;
    Ok(file)
}

fn pack(from: &mut File, to: File, compression: Compression) -> io::Result<File> {
    match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
            io::copy(from, &mut encoder)?;
            encoder.finish()
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            encoder.include_checksum(true)?;
            io::copy(from, &mut encoder)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The tools of the formats' makers read what is written.
    #[test]
    #[expect(clippy::print_stdout, reason = "a tool that is not there is told")]
    fn compressed_parts_are_read_by_gzip_and_zstd() {
        let text = "{\"event_type\": \"session\"}\n".repeat(5000);
        for (compression, ending, tool) in
            [(Compression::Gzip, "gz", "gzip"), (Compression::Zstd, "zst", "zstd")]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("eve.json");
            fs::write(&path, "current\n").unwrap();
            fs::write(folder.path().join("eve.json.20261126T105500Z"), &text).unwrap();
            tidy(&Keeping { path: path.clone(), compression: Some(compression), keep: None }).unwrap();
            let packed = format!("eve.json.20261126T105500Z.{ending}");
            assert_eq!(names(folder.path()), ["eve.json", packed.as_str()]);
            let Ok(read) = Command::new(tool).arg("-dc").arg(folder.path().join(&packed)).output() else {
                println!("{tool} is not there");
                continue;
            };
            assert!(read.status.success());
            assert!(read.stdout == text.as_bytes(), "{tool} reads the same");
        }
    }

    #[test]
    fn what_is_compressed_is_never_open_to_more_readers() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o640, 0o606] {
            let (plain, draft) = (folder.path().join("a"), folder.path().join(format!("{mode:o}")));
            fs::write(&plain, "log").unwrap();
            fs::set_permissions(&plain, fs::Permissions::from_mode(mode)).unwrap();
            let begun = begin(&draft, &plain.metadata().unwrap()).unwrap();
            assert_eq!(begun.metadata().unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_part_that_a_crash_left_under_two_names_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let parts = ["a.20261126T105500Z.gz", "a.20261126T105501Z.gz", "a.20261126T105502Z"];
        for name in parts {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::write(folder.path().join("a.20261126T105501Z"), "again").unwrap();
        let keeping = Keeping { path, compression: None, keep: Some(3) };
        tidy(&keeping).unwrap();
        assert_eq!(names(folder.path()).len(), 4, "three parts");
        tidy(&Keeping { keep: Some(2), ..keeping.clone() }).unwrap();
        assert_eq!(names(folder.path()), ["a.20261126T105501Z", parts[1], parts[2]]);
        tidy(&Keeping { compression: Some(Compression::Gzip), ..keeping.clone() }).unwrap();
        assert_eq!(names(folder.path()), [parts[1], "a.20261126T105502Z.gz"]);
        tidy(&Keeping { keep: Some(1), ..keeping }).unwrap();
        assert_eq!(names(folder.path()), ["a.20261126T105502Z.gz"]);
    }

    #[test]
    fn the_oldest_parts_go_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for name in [
            "a",
            "a.bak",
            "ab.20261126T105500Z",
            "a.20261126T105503Z",
            "a.20261126T105500Z.gz",
            "a.20261126T105501Z.zst",
            "a.20261126T105502Z",
        ] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::write(folder.path().join("a.20261126T105502Z.zst.part"), "half").unwrap();
        tidy(&Keeping { path, compression: None, keep: Some(2) }).unwrap();
        assert_eq!(
            names(folder.path()),
            ["a", "a.20261126T105502Z", "a.20261126T105503Z", "a.bak", "ab.20261126T105500Z"]
        );
    }
}
