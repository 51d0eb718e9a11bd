//! Ethernet, IPv4 and UDP around payloads, and the taps that see them.
//!
//! Frames are kept without their IP header until [`Wire::finish`], which sorts them by time: only then are
//! IP identification numbers dealt, so that they rise in time per sender as a capture would show.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::pcapng::Frame;

pub(crate) const US: u64 = 1_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SEC: u64 = 1_000_000_000;

/// A place where packets are seen: the access link of one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    /// pcapng interface number.
    pub(crate) interface: u32,
    /// First two octets of the addresses on the inside.
    pub(crate) inside: [u8; 2],
}

struct Datagram {
    at: u64,
    tap: Tap,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: u8,
    segment: Vec<u8>,
}

impl Tap {
    /// Where nothing is seen: the access link of a participant elsewhere.
    pub(crate) const NONE: Self = Self { interface: u32::MAX, inside: [0, 0] };
}

/// All that was seen, in the order of making.
#[derive(Default)]
pub(crate) struct Wire {
    datagrams: Vec<Datagram>,
}

impl Wire {
    /// One UDP datagram seen at `tap`.
    pub(crate) fn udp(&mut self, tap: Tap, at: u64, src: SocketAddrV4, dst: SocketAddrV4, payload: &[u8]) {
        if tap == Tap::NONE {
            return;
        }
        let len = u16::try_from(payload.len() + 8).unwrap();
        let mut segment = Vec::with_capacity(payload.len() + 8);
        segment.extend(src.port().to_be_bytes());
        segment.extend(dst.port().to_be_bytes());
        segment.extend(len.to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(payload);
        let sum = transport_checksum(*src.ip(), *dst.ip(), 17, &segment);
        // RFC 768: zero means "no checksum", so a sum of zero is sent as all ones.
        let sum = if sum == 0 { 0xffff } else { sum };
        segment[6..8].copy_from_slice(&sum.to_be_bytes());
        self.datagrams.push(Datagram { at, tap, src: *src.ip(), dst: *dst.ip(), protocol: 17, segment });
    }

    /// One TCP segment whose checksum field (offset 16) is still zero.
    pub(crate) fn tcp(&mut self, tap: Tap, at: u64, src: Ipv4Addr, dst: Ipv4Addr, mut segment: Vec<u8>) {
        let sum = transport_checksum(src, dst, 6, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        self.datagrams.push(Datagram { at, tap, src, dst, protocol: 6, segment });
    }

    /// The frames in the order of time.
    pub(crate) fn finish(mut self) -> Vec<Frame> {
        self.datagrams.sort_by_key(|datagram| datagram.at);
        let mut ids: BTreeMap<(u32, Ipv4Addr), u16> = BTreeMap::new();
        self.datagrams
            .iter()
            .map(|datagram| {
                let first = datagram
                    .src
                    .octets()
                    .iter()
                    .fold(7_u16, |id, octet| id.wrapping_mul(251).wrapping_add(u16::from(*octet)));
                let id = ids.entry((datagram.tap.interface, datagram.src)).or_insert(first);
                *id = id.wrapping_add(1);
                Frame { at: datagram.at, interface: datagram.tap.interface, bytes: frame(datagram, *id) }
            })
            .collect()
    }
}

fn frame(datagram: &Datagram, id: u16) -> Vec<u8> {
    let outgoing = is_inside(datagram.tap, datagram.src);
    let host = mac_of_host(if outgoing { datagram.src } else { datagram.dst });
    let gateway = [0x02, 0, 0, 0, 0xff, u8::try_from(datagram.tap.interface).unwrap()];
    let (to, from) = if outgoing { (gateway, host) } else { (host, gateway) };

    let mut out = Vec::with_capacity(datagram.segment.len() + 34);
    out.extend(to);
    out.extend(from);
    out.extend([0x08, 0x00]);

    let total = u16::try_from(datagram.segment.len() + 20).unwrap();
    let mut header = [0_u8; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[6] = 0x40; // do not fragment
    header[8] = if outgoing { 64 } else { 43 + datagram.src.octets()[3] % 12 };
    header[9] = datagram.protocol;
    header[12..16].copy_from_slice(&datagram.src.octets());
    header[16..20].copy_from_slice(&datagram.dst.octets());
    let sum = fold(add_words(0, &header));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend(header);
    out.extend(&datagram.segment);
    out
}

fn is_inside(tap: Tap, address: Ipv4Addr) -> bool {
    address.octets()[..2] == tap.inside
}

fn mac_of_host(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x10, a, b, c, d]
}

fn transport_checksum(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, segment: &[u8]) -> u16 {
    let mut sum = add_words(0, &src.octets());
    sum = add_words(sum, &dst.octets());
    sum += u32::from(protocol) + u32::try_from(segment.len()).unwrap();
    fold(add_words(sum, segment))
}

fn add_words(sum: u32, bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
    })
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
