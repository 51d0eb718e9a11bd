//! Source descriptions (RFC 3550 §6.5).

use std::fmt;
use std::iter::FusedIterator;

use crate::bytes::Reader;

/// Type of a description item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SdesKind(pub u8);

impl SdesKind {
    /// Canonical name: the one that every source must send.
    pub const CNAME: Self = Self(1);
    /// User name.
    pub const NAME: Self = Self(2);
    /// Name of the sending application.
    pub const TOOL: Self = Self(6);

    /// The registered name.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "CNAME",
            2 => "NAME",
            3 => "EMAIL",
            4 => "PHONE",
            5 => "LOC",
            6 => "TOOL",
            7 => "NOTE",
            8 => "PRIV",
            12 => "RtpStreamId",
            13 => "RepairedRtpStreamId",
            15 => "MID",
            _ => return None,
        })
    }
}

impl fmt::Display for SdesKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A source description packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sdes<'a> {
    payload: &'a [u8],
}

impl<'a> Sdes<'a> {
    pub(super) const fn new(payload: &'a [u8]) -> Self {
        Self { payload }
    }

    /// All items of all chunks.
    pub const fn items(&self) -> SdesItems<'a> {
        SdesItems { reader: Reader::new(self.payload), ssrc: None }
    }

    /// The first canonical name as text; `None` when absent or not UTF-8.
    pub fn cname(&self) -> Option<&'a str> {
        let item = self.items().find(|item| item.kind == SdesKind::CNAME)?;
        std::str::from_utf8(item.value).ok()
    }
}

/// One item of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdesItem<'a> {
    /// The source described.
    pub ssrc: u32,
    /// What the value is.
    pub kind: SdesKind,
    /// The value as sent.
    pub value: &'a [u8],
}

/// Walks the items; ends at the first that does not fit.
#[derive(Debug, Clone)]
pub struct SdesItems<'a> {
    reader: Reader<'a>,
    /// The chunk that is being read.
    ssrc: Option<u32>,
}

impl<'a> Iterator for SdesItems<'a> {
    type Item = SdesItem<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let ssrc = match self.ssrc {
                Some(ssrc) => ssrc,
                None => self.reader.u32("SDES SSRC").ok()?,
            };
            self.ssrc = Some(ssrc);
            let kind = SdesKind(self.reader.u8("SDES item type").ok()?);
            if kind.0 == 0 {
                // The list ends with one to four zeros, up to the next multiple of four.
                let padding = self.reader.position().wrapping_neg() & 3;
                self.reader.take(padding, "SDES padding").ok()?;
                self.ssrc = None;
                continue;
            }
            let length = usize::from(self.reader.u8("SDES item length").ok()?);
            let value = self.reader.take(length, "SDES item").ok()?;
            return Some(SdesItem { ssrc, kind, value });
        }
    }
}

impl FusedIterator for SdesItems<'_> {}
