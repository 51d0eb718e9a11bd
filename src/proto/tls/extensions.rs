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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;
    use crate::proto::tls::vectors;

    /// The extensions of the ClientHello of RFC 8448 section 3, with their length: they end it, behind 9 bytes of headers, 35 of
    /// version, random and no session id, 8 of suites and 2 of compression.
    fn block() -> &'static [u8] {
        &vectors::CLIENT_HELLO_RECORD[54..]
    }

    #[test]
    fn extensions_of_rfc_8448_are_walked() {
        let extensions = Extensions::parse(&mut Reader::new(block())).unwrap();
        let kinds: Vec<u16> = extensions.iter().map(|extension| extension.kind.0).collect();
        assert_eq!(kinds, [0x0000, 0xff01, 0x000a, 0x0023, 0x0033, 0x002b, 0x000d, 0x002d, 0x001c]);
        assert!(extensions.walk(|_| ()).is_none());
    }

    proptest! {
        #[test]
        fn extensions_are_what_was_written_as_far_as_they_are_whole(
            written in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..9)), 0..6),
            cut in 0_usize..9,
        ) {
            let mut block = Vec::new();
            for (kind, data) in &written {
                block.extend(kind.to_be_bytes());
                block.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
                block.extend(data);
            }
            let mut read = Vec::new();
            let whole = Extensions::new(&block);
            prop_assert!(whole.walk(|one| read.push((one.kind.0, one.data.to_vec()))).is_none());
            prop_assert_eq!(&read, &written);
            block.truncate(block.len().saturating_sub(cut));
            let part: Vec<_> = Extensions::new(&block).iter().map(|one| (one.kind.0, one.data.to_vec())).collect();
            prop_assert!(read.starts_with(&part));
        }

        #[test]
        fn near_a_block_nothing_is_read_behind_it(bytes in near([block()])) {
            let mut reader = Reader::new(&bytes);
            if let Ok(extensions) = Extensions::parse(&mut reader) {
                prop_assert!(reader.position() <= bytes.len());
                for extension in extensions.iter() {
                    let data = extension.data;
                    prop_assert!(extensions.find(extension.kind).is_some());
                    prop_assert!(data.ends_with(vector_u8(data)) || vector_u8(data).len() < data.len());
                    prop_assert!(vector_u16(data).len() <= data.len().saturating_sub(2));
                    prop_assert_eq!(integers(data).next(), integer(data));
                    prop_assert!(alpn_names(data).map(|name| name.len() + 1).sum::<usize>() <= data.len());
                }
            }
        }
    }
}
