//! Messages of the kernel's generic netlink family `ethtool`: a request for an interface's features, and what its answer says.
//!
//! Pure: bytes in, names of the features that are on out. Layouts: netlink(7), `linux/genetlink.h`, and the kernel's
//! Documentation/networking/ethtool-netlink.rst.

use std::collections::BTreeSet;

use crate::bytes::{ParseError, Reader};

/// `linux/genetlink.h`: the family that knows the others.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// `linux/ethtool_netlink.h`.
const FEATURES_GET: u8 = 11;
const FEATURES_HEADER: u16 = 1;
const FEATURES_ACTIVE: u16 = 4;
const HEADER_DEV_NAME: u16 = 2;
const BITSET_NOMASK: u16 = 1;
const BITSET_BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

const NESTED: u16 = 0x8000;
/// Bits of an attribute's type that name it; the rest are marks.
const TYPE: u16 = 0x3fff;
const REQUEST: u16 = 1;
/// `linux/netlink.h`: the answer is a refusal.
const ERROR: u16 = 2;
/// Length, type, flags, sequence, port.
const HEADER: usize = 16;

/// Asks for the number of the family `ethtool`.
pub(super) fn ask_family() -> Vec<u8> {
    message(CONTROL, GET_FAMILY, &attribute(FAMILY_NAME, b"ethtool\0"))
}

/// Asks which features of an interface are on.
pub(super) fn ask_features(family: u16, interface: &str) -> Vec<u8> {
    let name = attribute(HEADER_DEV_NAME, &[interface.as_bytes(), &[0]].concat());
    message(family, FEATURES_GET, &attribute(FEATURES_HEADER | NESTED, &name))
}

/// The number of the family that an answer tells; none where the kernel knows no such family.
pub(super) fn family(answer: &[u8]) -> Result<Option<u16>, ParseError> {
    let Some(body) = body(answer)? else { return Ok(None) };
    let mut found = None;
    each(body, |kind, value| {
        if kind == FAMILY_ID {
            found = value.try_into().ok().map(u16::from_ne_bytes);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Names of the features that are on; none where the kernel refuses to tell.
pub(super) fn active(answer: &[u8]) -> Result<Option<BTreeSet<String>>, ParseError> {
    let Some(body) = body(answer)? else { return Ok(None) };
    let mut names = BTreeSet::new();
    each(body, |kind, bitset| if kind == FEATURES_ACTIVE { bits(bitset, &mut names) } else { Ok(()) })?;
    Ok(Some(names))
}

/// A set of bits in its long form. Without a mask those that are listed are on; with one, those that have a value.
fn bits(bitset: &[u8], names: &mut BTreeSet<String>) -> Result<(), ParseError> {
    let mut has_mask = true;
    each(bitset, |kind, _| {
        has_mask &= kind != BITSET_NOMASK;
        Ok(())
    })?;
    each(bitset, |kind, list| {
        if kind != BITSET_BITS {
            return Ok(());
        }
        each(list, |kind, bit| {
            if kind != BIT {
                return Ok(());
            }
            let (mut name, mut is_on) = (None, !has_mask);
            each(bit, |kind, value| {
                match kind {
                    BIT_NAME => name = std::ffi::CStr::from_bytes_until_nul(value).ok(),
                    BIT_VALUE => is_on = true,
                    _ => {}
                }
                Ok(())
            })?;
            if let (true, Some(name)) = (is_on, name) {
                names.insert(name.to_string_lossy().into_owned());
            }
            Ok(())
        })
    })
}

/// What follows both headers of the first message; none where it is a refusal.
fn body(answer: &[u8]) -> Result<Option<&[u8]>, ParseError> {
    let mut reader = Reader::new(answer);
    let length = u32::from_ne_bytes(reader.array("netlink length")?);
    let kind = u16::from_ne_bytes(reader.array("netlink type")?);
    reader.take(10, "netlink header")?;
    let rest = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(HEADER);
    let mut message = Reader::new(reader.take(rest, "netlink message")?);
    if kind == ERROR {
        return Ok(None);
    }
    message.take(4, "generic netlink header")?;
    Ok(Some(message.rest()))
}

/// Calls `look` with type and value of each attribute.
fn each<'a>(
    attributes: &'a [u8],
    mut look: impl FnMut(u16, &'a [u8]) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let mut reader = Reader::new(attributes);
    while !reader.is_empty() {
        let length = usize::from(u16::from_ne_bytes(reader.array("attribute length")?));
        let kind = u16::from_ne_bytes(reader.array("attribute type")?) & TYPE;
        // A length below that of its own header would go on for ever without the header that was read.
        let value = reader.take(length.saturating_sub(4), "attribute")?;
        look(kind, value)?;
        let padding = length.wrapping_neg() & 3;
        if reader.remaining() >= padding {
            reader.take(padding, "attribute padding")?;
        }
    }
    Ok(())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
    let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn message(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let length = attributes.len().saturating_add(HEADER).saturating_add(4);
    let mut out = u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
    out.extend(family.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    // Sequence and port: one question at a time, and the kernel fills the port in.
    out.extend([0; 8]);
    out.extend([command, 1, 0, 0]);
    out.extend_from_slice(attributes);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    /// An answer as Documentation/networking/ethtool-netlink.rst draws it.
    fn answer(mask: bool) -> Vec<u8> {
        let bit = |name: &[u8], on: bool| {
            let mut inside = [attribute(1, &7_u32.to_ne_bytes()), attribute(BIT_NAME, name)].concat();
            if on {
                inside.extend(attribute(BIT_VALUE, &[]));
            }
            attribute(BIT | NESTED, &inside)
        };
        let list = [bit(b"rx-gro\0", true), bit(b"rx-lro\0", false)].concat();
        let mut set = if mask { Vec::new() } else { attribute(BITSET_NOMASK, &[]) };
        set.extend(attribute(2, &64_u32.to_ne_bytes()));
        set.extend(attribute(BITSET_BITS | NESTED, &list));
        message(0x14, 11, &attribute(FEATURES_ACTIVE | NESTED, &set))
    }

    #[test]
    fn features_that_are_on_are_named() {
        let on = active(&answer(true)).unwrap().unwrap();
        assert_eq!(on.iter().map(String::as_str).collect::<Vec<_>>(), ["rx-gro"]);
        let listed = active(&answer(false)).unwrap().unwrap();
        assert_eq!(listed.len(), 2, "without a mask all that are listed are on");
    }

    #[test]
    fn a_refusal_is_no_answer() {
        let refusal = message(ERROR, 0, &[]);
        assert_eq!(active(&refusal).unwrap(), None);
        assert_eq!(family(&refusal).unwrap(), None);
        assert_eq!(
            family(&message(CONTROL, 1, &attribute(FAMILY_ID, &[0x14, 0]))).unwrap(),
            Some(u16::from_ne_bytes([0x14, 0]))
        );
    }

    #[test]
    fn every_prefix_is_an_error_or_less() {
        let whole = answer(true);
        for end in 0..whole.len() {
            assert!(active(&whole[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = active(&bytes);
            let _ = family(&bytes);
            let mut framed = u32::try_from(bytes.len() + 16).unwrap().to_ne_bytes().to_vec();
            framed.extend([0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            framed.extend(&bytes);
            let _ = active(&framed);
        }
    }

    proptest! {
        #[test]
        fn near_an_answer_no_name_is_longer_than_it(
            bytes in near([answer(true), answer(false), message(CONTROL, 1, &attribute(FAMILY_ID, &[0x14, 0]))]),
        ) {
            let _ = family(&bytes);
            if let Ok(Some(names)) = active(&bytes) {
                prop_assert!(names.iter().map(|name| 4 + name.len()).sum::<usize>() <= 3 * bytes.len(), "U+FFFD takes three bytes");
            }
        }
    }
}
