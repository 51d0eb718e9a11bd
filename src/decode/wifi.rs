//! 802.11 frames (IEEE 802.11-2020 §9.2), with or without a radiotap header.
//!
//! Not handled: decryption, fragments of frames, mesh control, any but the first part of an A-MSDU.

use super::counters::Reason;
use super::link;
use super::span::Span;
use super::walk::Next;

/// Frame control, second byte.
const TO_DS: u8 = 0x01;
const FROM_DS: u8 = 0x02;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
/// Data subtype bits, as they stand in the first byte.
const NO_DATA: u8 = 0x40;
const QOS: u8 = 0x80;

/// Radiotap: version 0, length and present words in little-endian order.
pub(super) fn radiotap(span: Span<'_>) -> Next<'_> {
    let Some((&[version, _, l0, l1, p0, p1, p2, p3], _)) = span.head::<8>() else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    if version != 0 {
        return Next::Undecodable(Reason::LinkMalformed);
    }
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let Some((header, frame_span)) = span.data().split_at_checked(length).zip(span.skip(length)) else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    let flags = radiotap_flags(header.0, u32::from_le_bytes([p0, p1, p2, p3])).unwrap_or(0);
    frame(frame_span, flags & 0x20 != 0)
}

/// The flags field stands first or second, behind the timestamp, which is aligned to 8.
fn radiotap_flags(header: &[u8], first_present: u32) -> Option<u8> {
    if first_present & 0b10 == 0 {
        return None;
    }
    let mut offset: usize = 8;
    let mut present = first_present;
    while present & 0x8000_0000 != 0 {
        present = u32::from_le_bytes(*header.get(offset..)?.first_chunk()?);
        offset = offset.checked_add(4)?;
    }
    if first_present & 1 != 0 {
        offset = offset.checked_next_multiple_of(8)?.checked_add(8)?;
    }
    header.get(offset).copied()
}

/// An 802.11 frame; `padded` when the header was filled up to a multiple of four.
pub(super) fn frame(span: Span<'_>, padded: bool) -> Next<'_> {
    let Some((&[kind, flags], _)) = span.head::<2>() else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    // Version 0, type data, and some data in it.
    if kind & 0x03 != 0 || kind & 0x0c != 0x08 || kind & NO_DATA != 0 {
        return Next::NotIp;
    }
    if flags & PROTECTED != 0 {
        return Next::Undecodable(Reason::WifiProtected);
    }
    let mut length: usize = 24;
    if flags & (TO_DS | FROM_DS) == TO_DS | FROM_DS {
        length = 30;
    }
    let qos_at = length;
    if kind & QOS != 0 {
        length = length.saturating_add(if flags & ORDER != 0 { 6 } else { 2 });
    }
    if padded {
        length = length.next_multiple_of(4);
    }
    let (Some(sequence), Some(body)) = (span.data().get(22), span.skip(length)) else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    if flags & MORE_FRAGMENTS != 0 || sequence & 0x0f != 0 {
        return Next::Undecodable(Reason::WifiFragment);
    }
    let aggregated = kind & QOS != 0 && span.data().get(qos_at).is_some_and(|qos| qos & 0x80 != 0);
    if !aggregated {
        return link::llc(body);
    }
    // Each part: destination, source, length.
    match (body.u16_at(12), body.skip(14)) {
        (Some(length), Some(part)) => link::llc(part.limit(usize::from(length))),
        _ => Next::Undecodable(Reason::LinkTruncated),
    }
}
