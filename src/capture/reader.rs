//! One capture file from its first byte to its last or to its first fault.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Packet;
use super::ahead::ReadAhead;
use super::classic::{self, Classic, Magic};
use super::error::{CaptureError, Fault, Located, Part, Position};
use super::info::{Compression, FileInfo, Format, count};
use super::link_type::LinkType;
use super::pcapng::{self, PcapNg};
use super::reopened::{Identity, Reopened};
use super::room::{Hold, Rooms};
use super::source::Source;
use super::window::{Window, wide};
use crate::time::Timestamp;

/// Longest packet that a capture may claim when its snapshot length is not larger: tcpdump's own default.
const MAX_PACKET: u32 = 256 << 10;
/// Longest packet whatever the snapshot length says.
const MAX_PACKET_HARD: u32 = 16 << 20;
/// Name of standard input.
pub(super) const STDIN: &str = "-";

/// Opens a capture file; `-` is standard input.
///
/// # Errors
/// When it cannot be read, is empty, or is no capture.
pub fn open(path: &Path) -> Result<FileReader, CaptureError> {
    open_within(path, &Rooms::default())
}

/// Opens one that shares memory with others.
pub(super) fn open_within(path: &Path, rooms: &Rooms) -> Result<FileReader, CaptureError> {
    if path.as_os_str() == STDIN {
        FileReader::start(io::stdin(), STDIN.to_owned(), None, rooms)
    } else {
        FileReader::file(path, rooms)
    }
}

/// A capture file being read.
pub struct FileReader {
    window: Window,
    decoder: Decoder,
    info: FileInfo,
    current: Option<Record>,
    last_time: Timestamp,
    ended: bool,
    /// Which file it is, where it is one that can be read on from its middle.
    identity: Option<Identity>,
    /// Bytes to be read again before the packet that is current can be: from its first to the next unread one.
    again: Option<usize>,
}

enum Decoder {
    Classic(Classic),
    PcapNg(PcapNg),
}

/// A packet that lies in the window, by index; the window moves only when the next one is asked for.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) timestamp: Timestamp,
    pub(super) link_type: LinkType,
    pub(super) interface: u32,
    pub(super) snaplen: u32,
    pub(super) original: u32,
    pub(super) start: usize,
    pub(super) length: usize,
}

impl FileReader {
    /// Opens a capture file by its path; `-` is a file of that name here.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::file(path, &Rooms::default())
    }

    fn file(path: &Path, rooms: &Rooms) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        let (file, metadata) = opened.map_err(|error| CaptureError::io(&name, &error))?;
        if metadata.is_dir() {
            return Err(CaptureError::new(&name, Fault::IsADirectory));
        }
        let mut reader = Self::start(file, name, metadata.is_file().then_some(metadata.len()), rooms)?;
        let is_plain = metadata.is_file() && reader.info.compression == Compression::None;
        reader.identity = is_plain.then(|| Identity::of(&metadata));
        Ok(reader)
    }

    /// True where [`FileReader::narrow`] would let go of something: of a file that is not compressed, once.
    pub(super) const fn is_wide(&self) -> bool {
        self.identity.is_some() && !self.window.is_narrow()
    }

    /// Holds no more than some `size` bytes of the file from here on, and has it open only while it is read. The packet that is current
    /// stays so, once it has been [brought back](Self::bring_back).
    pub(super) fn narrow(&mut self, path: &Path, size: usize) {
        if let Some(record) = &mut self.current
            && let Some(identity) = self.identity
        {
            let reopened = |at, before: &[u8]| Reopened::new(path.to_owned(), identity, at, before);
            self.again = self.window.narrow(record.start, size, reopened);
            record.start = 0;
        }
    }

    /// Holds no more again than is to be held of the file, though the packet that is current is longer.
    pub(super) fn set_aside(&mut self, path: &Path) {
        if let Some(size) = self.window.is_stretched() {
            self.narrow(path, size);
        }
    }

    /// Reads the packet that is current again where it was not held.
    pub(super) fn bring_back(&mut self) -> Result<(), CaptureError> {
        let Some(again) = self.again.take() else { return Ok(()) };
        let is_there = self.window.require(again);
        let Some(record) = &mut self.current else { return Ok(()) };
        let located = match is_there {
            Ok(true) => {
                record.start = self.window.start();
                self.window.consume(again);
                self.info.bytes_read = self.window.stored_bytes_read();
                return Ok(());
            }
            Ok(false) => truncated(&self.window, Part::Packet(self.info.packets), again),
            Err(located) => located,
        };
        // It was counted, and does not come.
        self.info.packets = self.info.packets.saturating_sub(1);
        (self.current, self.ended) = (None, true);
        Err(named(&self.info.name, self.info.compression, located))
    }

    /// Bytes that are held of it.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.window.held()
    }

    /// Opens a capture that comes from anywhere, under a name for messages.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or is no capture.
    pub fn from_reader(input: impl Read + Send + 'static, name: String) -> Result<Self, CaptureError> {
        Self::start(input, name, None, &Rooms::default())
    }

    fn start(
        input: impl Read + Send + 'static,
        name: String,
        stored_bytes: Option<u64>,
        rooms: &Rooms,
    ) -> Result<Self, CaptureError> {
        let source =
            Source::detect(input, &rooms.unpacking).map_err(|error| CaptureError::io(&name, &error))?;
        let mut window = Window::new(source);
        let mut info = FileInfo::new(name, stored_bytes);
        info.compression = window.compression();
        let decoder = recognise(&mut window, &mut info, rooms.said.share())
            .map_err(|located| named(&info.name, window.compression(), located))?;
        info.bytes_read = window.stored_bytes_read();
        Ok(Self {
            window,
            decoder,
            info,
            current: None,
            last_time: Timestamp::from_nanos(i64::MIN),
            ended: false,
            identity: None,
            again: None,
        })
    }

    /// The next packet; none at the end. After an error the reader is at its end.
    ///
    /// # Errors
    /// When the file is cut, corrupt or cannot be read on; the packets before it have been returned.
    #[expect(
        clippy::should_implement_trait,
        reason = "the packet borrows from the reader, as no Iterator can"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        self.advance()?;
        Ok(self.current())
    }

    /// False for a pipe, a device, or bytes from anywhere.
    pub(super) const fn is_a_file(&self) -> bool {
        self.info.stored_bytes.is_some()
    }

    /// From here on other threads may read the file ahead of its packets. For files only: of a pipe, what is there comes when a buffer is full.
    pub(super) fn read_ahead(&mut self, ahead: &ReadAhead) {
        self.window.read_ahead(ahead);
    }

    /// Lets go of what the file said at length; for one that is read no further.
    pub(super) fn forget_lists(&mut self) {
        self.info.forget_lists();
    }

    /// What the file says beside its packets, as far as it has been read.
    pub const fn info(&self) -> &FileInfo {
        &self.info
    }

    /// What the file said, when it is done with.
    pub fn into_info(self) -> FileInfo {
        self.info
    }

    /// Moves to the next packet; false at the end.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool, CaptureError> {
        self.current = None;
        if self.ended {
            return Ok(false);
        }
        let next = match &mut self.decoder {
            Decoder::Classic(classic) => classic.next(&mut self.window, &mut self.info),
            Decoder::PcapNg(pcapng) => pcapng.next(&mut self.window, &mut self.info, self.last_time),
        };
        self.info.bytes_read = self.window.stored_bytes_read();
        match next {
            Ok(Some(mut record)) => {
                self.note(&mut record);
                self.current = Some(record);
                Ok(true)
            }
            Ok(None) => {
                self.ended = true;
                self.check_length().map(|()| false)
            }
            Err(located) => {
                self.ended = true;
                Err(named(&self.info.name, self.info.compression, located))
            }
        }
    }

    /// A file that was cut between two packets looks like one that ends there, but for its length when it was opened.
    #[cold]
    fn check_length(&self) -> Result<(), CaptureError> {
        let is_plain = self.info.compression == Compression::None;
        match self.info.stored_bytes {
            Some(expected) if is_plain && self.info.bytes_read < expected => {
                let located = Located { offset: self.window.offset(), fault: Fault::Shrunk { expected } };
                Err(named(&self.info.name, self.info.compression, located))
            }
            _ => Ok(()),
        }
    }

    /// The packet moved to last.
    #[inline]
    pub(super) fn current(&self) -> Option<Packet<'_>> {
        self.current.as_ref().map(|record| Packet {
            timestamp: record.timestamp,
            link_type: record.link_type,
            interface: record.interface,
            original_len: record.original,
            data: self.window.bytes(record.start, record.length),
            block: self.window.block(),
        })
    }

    #[inline]
    fn note(&mut self, record: &mut Record) {
        let anomalies = &mut self.info.anomalies;
        count(&mut self.info.packets);
        let captured = u32::try_from(record.length).unwrap_or(u32::MAX);
        if captured > record.snaplen && record.snaplen != 0 {
            count(&mut anomalies.longer_than_snaplen);
        }
        if captured > record.original {
            count(&mut anomalies.captured_longer_than_original);
            record.original = captured;
        }
        if record.timestamp < self.last_time {
            count(&mut anomalies.time_backwards);
            anomalies.first_time_backwards.get_or_insert(self.info.packets);
        }
        self.last_time = record.timestamp;
    }
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").field("info", &self.info).finish_non_exhaustive()
    }
}

fn recognise(window: &mut Window, info: &mut FileInfo, said: Hold) -> Result<Decoder, Located> {
    window.require(8)?;
    let first = window.unread().get(..8).unwrap_or_else(|| window.unread());
    if first.is_empty() {
        return Err(Located { offset: 0, fault: Fault::Empty });
    }
    let Some((magic, _)) = first.split_first_chunk::<4>() else {
        return Err(if classic::begins_like_a_capture(first) {
            truncated(window, Part::FileHeader, 4)
        } else {
            Located { offset: 0, fault: Fault::NotACapture { first: first.to_vec() } }
        });
    };
    if *magic == pcapng::MAGIC {
        info.format = Format::PcapNg;
        return PcapNg::open(window, info, said).map(Decoder::PcapNg);
    }
    match Magic::read(*magic) {
        Some(magic) => Classic::open(magic, window, info).map(Decoder::Classic),
        None => Err(Located { offset: 0, fault: Fault::NotACapture { first: first.to_vec() } }),
    }
}

fn named(name: &str, compression: Compression, located: Located) -> CaptureError {
    let decompressed = compression != Compression::None;
    let has_place = !matches!(located.fault, Fault::Empty | Fault::IsADirectory);
    let position = has_place.then_some(Position { offset: located.offset, decompressed });
    CaptureError { name: name.to_owned(), position, fault: located.fault }
}

/// The longest packet to believe in, by the snapshot length of its interface.
pub(super) fn packet_limit(snaplen: u32) -> u32 {
    snaplen.clamp(MAX_PACKET, MAX_PACKET_HARD)
}

/// The stream ended inside `part`, which begins at the next unread byte.
#[cold]
pub(super) fn truncated(window: &Window, inside: Part, needed: usize) -> Located {
    let fault = Fault::Truncated { inside, needed: wide(needed), available: wide(window.unread().len()) };
    Located { offset: window.offset(), fault }
}
