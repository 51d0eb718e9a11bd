//! One session's packets as a capture of their own. In: packets, and what the report says of them. Out: pcapng
//! (draft-ietf-opsawg-pcapng) with a comment on each packet that a verdict rests on.
//!
//! Little-endian, one section, an interface for each interface of the inputs that a packet comes from, times in nanoseconds.
//! Decryption secrets are never written.

mod comments;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

pub use comments::{Comments, comments};

use super::build::session_id;
use super::hidden::escape;
use super::record::FileRecord;
use crate::keys::{Analysis, Keys};
use crate::session::Session;
use crate::time::Timestamp;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MARK: u32 = 0x1a2b_3c4d;

const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const NAME_IPV4: u16 = 1;
const NAME_IPV6: u16 = 2;

/// Bytes of one option; what is longer is cut. The format allows 65,535.
const MAX_OPTION: usize = 4096;
/// Names in the block of resolved names.
const MAX_NAMES: usize = 1024;

/// The session of this name (as `session_id` in records), with its keys.
pub fn find_session<'a>(analysis: &'a Analysis, name: &str) -> Option<&'a (Session, Keys)> {
    analysis.sessions.iter().find(|(session, _)| session_id(session.id) == name)
}

/// The names of all sessions.
pub fn session_ids(analysis: &Analysis) -> impl Iterator<Item = String> + '_ {
    analysis.sessions.iter().map(|(session, _)| session_id(session.id))
}

/// What the export says of itself.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct About<'a> {
    /// The session's name.
    pub session: &'a str,
    /// The command line, word by word.
    pub command: &'a [String],
    /// The inputs.
    pub files: &'a [FileRecord],
    /// Blocks of decryption secrets in the inputs, which are not copied.
    pub secrets: usize,
    /// Names of addresses, for a block of resolved names.
    pub names: &'a [(IpAddr, String)],
}

impl About<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "Packets of session {} only, chosen by meetscope {}. Comments on packets say what the report rests on them.",
            self.session,
            env!("CARGO_PKG_VERSION")
        );
        for file in self.files {
            text.push_str("\nInput: ");
            text.push_str(&escape(&file.name));
            let sum = match (&file.sha256, &file.not_hashed) {
                (Some(sum), _) => format!(", SHA-256 {sum}"),
                (None, Some(why)) => format!(", without a SHA-256: {}", escape(why)),
                (None, None) => String::new(),
            };
            text.push_str(&sum);
            if file.changed_while_read {
                text.push_str(", which changed while it was read");
            }
        }
        if !self.command.is_empty() {
            text.push_str("\nCommand: ");
            text.push_str(&escape(&self.command.join(" ")));
        }
        if self.secrets > 0 {
            text.push_str("\nThe inputs hold decryption secrets; they were not copied.");
        }
        if !self.names.is_empty() {
            text.push_str(
                "\nResolved names are those that the report gives its servers, not those of a resolver.",
            );
        }
        text
    }
}

/// An interface of an input.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct ExportInterface<'a> {
    /// Index of the input, from 0.
    pub file: usize,
    /// Its index in that input, from 0.
    pub index: u32,
    /// Link type, as in the LINKTYPE registry.
    pub link_type: u16,
    /// Longest capture of a packet, in bytes; 0 is no limit.
    pub snaplen: u32,
    /// Its name on the capturing host.
    pub name: Option<&'a str>,
    /// The input's name.
    pub input: &'a str,
}

/// A packet as it was captured.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "put together by the command line")]
pub struct ExportPacket<'a> {
    /// When.
    pub timestamp: Timestamp,
    /// Bytes that it had on the wire.
    pub original_len: u32,
    /// What was captured of it.
    pub data: &'a [u8],
}

/// Bytes of packets are private: only their number is shown.
impl std::fmt::Debug for ExportPacket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExportPacket({}, {} bytes)", self.timestamp.as_nanos(), self.data.len())
    }
}

/// A capture in the making.
pub struct Export<'o> {
    out: &'o mut dyn io::Write,
    /// Numbers of the interfaces written so far.
    interfaces: BTreeMap<(usize, u32), u32>,
    packets: u64,
    commented: u64,
    block: Vec<u8>,
}

impl std::fmt::Debug for Export<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl<'o> Export<'o> {
    /// Writes what comes before the packets. The caller buffers.
    ///
    /// # Errors
    /// What `out` says.
    pub fn begin(out: &'o mut dyn io::Write, about: &About<'_>) -> io::Result<Self> {
        let mut export =
            Self { out, interfaces: BTreeMap::new(), packets: 0, commented: 0, block: Vec::new() };
        let body = &mut export.block;
        body.extend(BYTE_ORDER_MARK.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        body.extend([0xff; 8]); // the length of the section is not told
        option(body, COMMENT, &about.text());
        option(body, USER_APPLICATION, concat!("meetscope ", env!("CARGO_PKG_VERSION")));
        body.extend([0; 4]);
        export.write_block(SECTION_HEADER)?;
        export.names(about.names)?;
        Ok(export)
    }

    /// Names that are none of a host are left out.
    fn names(&mut self, names: &[(IpAddr, String)]) -> io::Result<()> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= 253
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        };
        let shown: Vec<_> = names.iter().filter(|(_, name)| is_name(name)).take(MAX_NAMES).collect();
        if shown.is_empty() {
            return Ok(());
        }
        for (address, name) in shown {
            let (kind, mut value) = match address {
                IpAddr::V4(v4) => (NAME_IPV4, v4.octets().to_vec()),
                IpAddr::V6(v6) => (NAME_IPV6, v6.octets().to_vec()),
            };
            value.extend(name.bytes());
            value.push(0);
            record(&mut self.block, kind, &value);
        }
        self.block.extend([0; 4]);
        self.write_block(NAME_RESOLUTION)
    }

    /// Writes a packet, before it its interface where that is a new one. Each comment is an option of its own.
    ///
    /// # Errors
    /// What `out` says; a packet of more than 4 GiB is none.
    pub fn packet(
        &mut self,
        interface: &ExportInterface<'_>,
        packet: &ExportPacket<'_>,
        comments: &[String],
    ) -> io::Result<()> {
        let number = self.interface(interface)?;
        let captured = u32::try_from(packet.data.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // The format counts from 1970 on.
        let ticks = u64::try_from(packet.timestamp.as_nanos()).unwrap_or(0);
        let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX).to_le_bytes();
        let body = &mut self.block;
        body.extend(number.to_le_bytes());
        body.extend(half(ticks >> 32));
        body.extend(half(ticks));
        body.extend(captured.to_le_bytes());
        body.extend(packet.original_len.max(captured).to_le_bytes());
        body.extend(packet.data);
        pad(body);
        for comment in comments {
            option(body, COMMENT, comment);
        }
        if !comments.is_empty() {
            body.extend([0; 4]);
            self.commented = self.commented.saturating_add(1);
        }
        self.packets = self.packets.saturating_add(1);
        self.write_block(ENHANCED_PACKET)
    }

    fn interface(&mut self, interface: &ExportInterface<'_>) -> io::Result<u32> {
        let key = (interface.file, interface.index);
        if let Some(number) = self.interfaces.get(&key) {
            return Ok(*number);
        }
        let number = u32::try_from(self.interfaces.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let body = &mut self.block;
        body.extend(interface.link_type.to_le_bytes());
        body.extend([0; 2]);
        body.extend(interface.snaplen.to_le_bytes());
        if let Some(name) = interface.name {
            option(body, IF_NAME, name);
        }
        option(body, IF_DESCRIPTION, &format!("interface {} of {}", interface.index, interface.input));
        record(body, IF_TSRESOL, &[9]);
        body.extend([0; 4]);
        self.write_block(INTERFACE_DESCRIPTION)?;
        self.interfaces.insert(key, number);
        Ok(number)
    }

    /// Packets written, and how many of them have a comment.
    pub const fn written(&self) -> (u64, u64) {
        (self.packets, self.commented)
    }

    fn write_block(&mut self, kind: u32) -> io::Result<()> {
        let total = self.block.len().saturating_add(12);
        let total = u32::try_from(total).map_err(|_| io::ErrorKind::InvalidInput)?.to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&total)?;
        self.out.write_all(&self.block)?;
        self.out.write_all(&total)?;
        self.block.clear();
        Ok(())
    }
}

/// A text option. Lines stay lines; other characters that are obeyed or not seen are written out.
fn option(body: &mut Vec<u8>, code: u16, text: &str) {
    let lines: Vec<_> = text.split('\n').map(escape).collect();
    let text = lines.join("\n");
    let mut end = text.len().min(MAX_OPTION);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    record(body, code, text.get(..end).unwrap_or_default().as_bytes());
}

/// Code, length, value, padding: the shape of options and of name records. Values are shorter than 64 KiB.
fn record(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(value.get(..usize::from(length)).unwrap_or(value));
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
