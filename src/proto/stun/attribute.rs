//! Attributes: the walk over them, and what their values mean (RFC 8489 §14, RFC 8656 §18, RFC 8445 §16).

use std::iter::FusedIterator;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::names::Attribute;
use crate::bytes::{ParseError, Reader};

/// How values are aligned. RFC 5389 pads each to four bytes; some RFC 3489 era senders do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a sender pads or does not")]
pub enum Padding {
    /// The next attribute begins at a multiple of four bytes.
    Four,
    /// The next attribute begins right behind the value.
    None,
}

/// One attribute as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// Its type.
    pub kind: Attribute,
    /// Its value without padding.
    pub value: &'a [u8],
    /// Where its type field begins, in bytes from the start of the message.
    pub offset: usize,
}

impl<'a> RawAttribute<'a> {
    /// The value as a plain address (MAPPED-ADDRESS and its kin, RFC 8489 §14.1).
    ///
    /// # Errors
    /// When the value is short or the family is neither 1 nor 2.
    pub fn address(&self) -> Result<SocketAddr, ParseError> {
        self.decode_address([0; 16])
    }

    /// The value as an address hidden with `key`, bytes 4 to 20 of the message (RFC 8489 §14.2).
    ///
    /// # Errors
    /// When the value is short or the family is neither 1 nor 2.
    pub fn xor_address(&self, key: &[u8; 16]) -> Result<SocketAddr, ParseError> {
        self.decode_address(*key)
    }

    /// The value as one 32-bit number.
    ///
    /// # Errors
    /// When the value is shorter than 4 bytes.
    pub fn u32(&self, field: &'static str) -> Result<u32, ParseError> {
        Reader::new(self.value).u32(field).map_err(|error| error.shifted(self.value_offset()))
    }

    /// The value as one 64-bit number.
    ///
    /// # Errors
    /// When the value is shorter than 8 bytes.
    pub fn u64(&self, field: &'static str) -> Result<u64, ParseError> {
        Reader::new(self.value).u64(field).map_err(|error| error.shifted(self.value_offset()))
    }

    /// The value as text: cut at the first NUL (some senders pad inside the value). `None` when it is not UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.name()).ok()
    }

    /// The same as it was sent, whatever its bytes.
    pub fn name(&self) -> &'a [u8] {
        until_nul(self.value)
    }

    /// The value as an ERROR-CODE: number (300 to 699 when well formed) and reason (RFC 8489 §14.8).
    ///
    /// # Errors
    /// When the value is shorter than 4 bytes.
    pub fn error_code(&self) -> Result<ErrorCode<'a>, ParseError> {
        let mut reader = Reader::new(self.value);
        let bits = reader.u32("ERROR-CODE").map_err(|error| error.shifted(self.value_offset()))?;
        let [_, _, class, number] = bits.to_be_bytes();
        let code = u16::from(class & 0x07).saturating_mul(100).saturating_add(u16::from(number));
        let reason = std::str::from_utf8(until_nul(reader.rest())).unwrap_or_default();
        Ok(ErrorCode { code, reason })
    }

    const fn value_offset(&self) -> usize {
        self.offset.saturating_add(4)
    }

    fn decode_address(&self, key: [u8; 16]) -> Result<SocketAddr, ParseError> {
        self.address_fields(key).map_err(|error| error.shifted(self.value_offset()))
    }

    fn address_fields(&self, key: [u8; 16]) -> Result<SocketAddr, ParseError> {
        let [k0, k1, k2, k3, ..] = key;
        let mut reader = Reader::new(self.value);
        reader.u8("address reserved byte")?;
        let family = reader.u8("address family")?;
        let port = reader.u16("address port")? ^ u16::from_be_bytes([k0, k1]);
        let ip: IpAddr = match family {
            1 => {
                let hidden = reader.u32("IPv4 address")?;
                Ipv4Addr::from(hidden ^ u32::from_be_bytes([k0, k1, k2, k3])).into()
            }
            2 => {
                let hidden = u128::from_be_bytes(reader.array("IPv6 address")?);
                Ipv6Addr::from(hidden ^ u128::from_be_bytes(key)).into()
            }
            other => {
                return Err(ParseError::Invalid {
                    field: "address family",
                    offset: 1,
                    value: u64::from(other),
                });
            }
        };
        Ok(SocketAddr::new(ip, port))
    }
}

/// What an ERROR-CODE attribute says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// Class times 100 plus number, e.g. 401.
    pub code: u16,
    /// The reason phrase; empty when absent or not UTF-8.
    pub reason: &'a str,
}

/// Walks attributes; ends quietly at the first that does not fit. [`Attributes::is_whole`] tells which it was.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    reader: Reader<'a>,
    padding: Padding,
    base: usize,
}

impl<'a> Attributes<'a> {
    /// A walk over `input`, which begins `base` bytes into its message.
    pub const fn new(input: &'a [u8], base: usize, padding: Padding) -> Self {
        Self { reader: Reader::new(input), padding, base }
    }

    /// True when the last attribute ended where the input does.
    pub const fn is_whole(&self) -> bool {
        self.reader.is_empty()
    }

    fn advance(&mut self) -> Result<RawAttribute<'a>, ParseError> {
        // On failure nothing is taken, so that `is_whole` stays false.
        let mut reader = self.reader;
        let offset = self.base.saturating_add(reader.position());
        let kind = Attribute(reader.u16("attribute type")?);
        let length = usize::from(reader.u16("attribute length")?);
        let value = reader.take(length, "attribute value")?;
        if self.padding == Padding::Four {
            let padding = length.wrapping_neg() & 3;
            // The last attribute may lack its padding (WhatsApp's Allocate does).
            reader.take(padding.min(reader.remaining()), "attribute padding")?;
        }
        self.reader = reader;
        Ok(RawAttribute { kind, value, offset })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().ok()
    }
}

impl FusedIterator for Attributes<'_> {}

/// The bytes before the first NUL, or all.
fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_attribute_without_padding_is_taken() {
        let mut walk = Attributes::new(&[0x40, 0, 0, 3, 1, 2, 3], 20, Padding::Four);
        let only = walk.next().unwrap();
        assert_eq!((only.kind, only.value, only.offset), (Attribute(0x4000), &[1, 2, 3][..], 20));
        assert!(walk.is_whole());
        assert_eq!(walk.next(), None);
    }

    #[test]
    fn attribute_that_overruns_ends_the_walk_and_is_seen() {
        let mut walk = Attributes::new(&[0, 6, 0, 9, 1, 2], 20, Padding::Four);
        assert_eq!(walk.next(), None);
        assert!(!walk.is_whole());
    }

    #[test]
    fn address_of_unknown_family_names_its_offset() {
        let raw =
            RawAttribute { kind: Attribute::MAPPED_ADDRESS, value: &[0, 3, 0, 1, 2, 3, 4, 5], offset: 20 };
        assert_eq!(raw.address(), Err(ParseError::Invalid { field: "address family", offset: 25, value: 3 }));
    }

    #[test]
    fn error_code_is_class_times_hundred_plus_number() {
        let value = [&[0, 0, 4, 1][..], b"Unauthorized\0\0"].concat();
        let raw = RawAttribute { kind: Attribute::ERROR_CODE, value: &value, offset: 20 };
        assert_eq!(raw.error_code().unwrap(), ErrorCode { code: 401, reason: "Unauthorized" });
    }
}
