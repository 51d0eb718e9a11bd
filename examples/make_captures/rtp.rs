//! RTP (RFC 3550) with one-byte header extensions (RFC 8285), and sender reports.

use crate::net::SEC;

/// The fixed header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

impl Header {
    /// Header and extension elements (padded to whole words here); without elements there is no extension.
    pub(crate) fn write(&self, extension: &[u8]) -> Vec<u8> {
        let first = if extension.is_empty() { 0x80 } else { 0x90 };
        let mut out = vec![first, u8::from(self.marker) << 7 | self.payload_type];
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        if extension.is_empty() {
            return out;
        }
        out.extend([0xbe, 0xde]);
        out.extend(u16::try_from(extension.len().div_ceil(4)).unwrap().to_be_bytes());
        out.extend(extension);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }
}

/// What a sender report says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// A sender report without report blocks, made at `at` (nanoseconds since 1970).
pub(crate) fn sender_report(sent: Sent, at: u64) -> Vec<u8> {
    let mut out = vec![0x80, 200, 0, 6];
    out.extend(sent.ssrc.to_be_bytes());
    // NTP counts from 1900.
    let seconds = at / SEC + 2_208_988_800;
    out.extend((seconds as u32).to_be_bytes());
    out.extend(((((at % SEC) << 32) / SEC) as u32).to_be_bytes());
    for field in [sent.timestamp, sent.packets, sent.octets] {
        out.extend(field.to_be_bytes());
    }
    out
}

/// An SDES packet whose CNAME is empty.
pub(crate) fn empty_sdes(ssrc: u32) -> Vec<u8> {
    let mut out = vec![0x81, 202, 0, 2];
    out.extend(ssrc.to_be_bytes());
    out.extend([1, 0, 0, 0]);
    out
}
