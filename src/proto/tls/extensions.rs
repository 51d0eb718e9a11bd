//! Extension blocks and the little vectors inside them, RFC 8446 §4.2.
//!
//! In: the body of an extension block. Out: raw extensions in wire order. An extension that overruns its
//! block ends the walk and leaves an error beside what was read: an observer keeps what it has.

use crate::bytes::{ParseError, Reader};

use super::registry::ExtensionType;

/// One extension as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire format is closed")]
pub struct Extension<'a> {
    /// Which extension.
    pub kind: ExtensionType,
    /// Its body without the length.
    pub data: &'a [u8],
}

/// The extensions of one message in wire order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extensions<'a> {
    block: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// A block without its own length field.
    pub const fn new(block: &'a [u8]) -> Self {
        Self { block }
    }

    /// Reads `length u16, block` off the cursor; absent (nothing left) counts as empty.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] when the block is not whole.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        if reader.is_empty() {
            return Ok(Self::default());
        }
        let length = usize::from(reader.u16("extensions length")?);
        Ok(Self { block: reader.take(length, "extensions")? })
    }

    /// The extensions, up to the first that overruns the block.
    pub fn iter(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        let mut reader = Reader::new(self.block);
        std::iter::from_fn(move || if reader.is_empty() { None } else { next(&mut reader).ok() })
    }

    /// Body of the first extension of this type.
    pub fn find(&self, kind: ExtensionType) -> Option<&'a [u8]> {
        self.iter().find(|extension| extension.kind == kind).map(|extension| extension.data)
    }

    /// Calls `each` for every whole extension, then gives the error that ended the walk early, if any.
    pub(super) fn walk(&self, mut each: impl FnMut(Extension<'a>)) -> Option<ParseError> {
        let mut reader = Reader::new(self.block);
        while !reader.is_empty() {
            match next(&mut reader) {
                Ok(extension) => each(extension),
                Err(error) => return Some(error),
            }
        }
        None
    }
}

fn next<'a>(reader: &mut Reader<'a>) -> Result<Extension<'a>, ParseError> {
    let kind = ExtensionType(reader.u16("extension type")?);
    let length = usize::from(reader.u16("extension length")?);
    Ok(Extension { kind, data: reader.take(length, "extension")? })
}

/// The body of a vector with a 16-bit length; what is there when the length says more.
pub(super) fn vector_u16(data: &[u8]) -> &[u8] {
    let Some((length, rest)) = data.split_first_chunk() else { return &[] };
    rest.get(..usize::from(u16::from_be_bytes(*length))).unwrap_or(rest)
}

/// The body of a vector with an 8-bit length; what is there when the length says more.
pub(super) fn vector_u8(data: &[u8]) -> &[u8] {
    let Some((length, rest)) = data.split_first() else { return &[] };
    rest.get(..usize::from(*length)).unwrap_or(rest)
}

/// The 16-bit integers of a slice; an odd last byte is dropped.
pub(super) fn integers(data: &[u8]) -> impl Iterator<Item = u16> + Clone + '_ {
    data.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

/// First 16-bit integer of a slice.
pub(super) fn integer(data: &[u8]) -> Option<u16> {
    data.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

/// The names of an ALPN body (RFC 7301 §3.1): a 16-bit length, then names with 8-bit lengths.
pub(super) fn alpn_names(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(vector_u16(data));
    std::iter::from_fn(move || {
        let length = usize::from(reader.u8("alpn name length").ok()?);
        reader.take(length, "alpn name").ok()
    })
}
