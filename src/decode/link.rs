//! Link types (LINKTYPE registry), Ethernet tags, MPLS and PPP, down to the IP header.

use etherparse::EtherType;

use super::counters::Reason;
use super::ip;
use super::path::{Layer, Path};
use super::span::Span;
use super::walk::Next;
use super::wifi;

const NULL: u16 = 0;
pub(super) const ETHERNET: u16 = 1;
const PPP: u16 = 9;
const PPP_HDLC: u16 = 50;
const PPPOE: u16 = 51;
const C_HDLC: u16 = 104;
const IEEE802_11: u16 = 105;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IEEE802_11_RADIOTAP: u16 = 127;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

pub(super) const ETHER_IPV4: u16 = EtherType::IPV4.0;
pub(super) const ETHER_IPV6: u16 = EtherType::IPV6.0;
pub(super) const ETHER_VLAN: u16 = EtherType::VLAN_TAGGED_FRAME.0;
const ETHER_QINQ: u16 = EtherType::PROVIDER_BRIDGING.0;
const ETHER_QINQ_OLD: u16 = EtherType::VLAN_DOUBLE_TAGGED_FRAME.0;
const ETHER_MACSEC: u16 = EtherType::MACSEC.0;
pub(super) const ETHER_MPLS: u16 = 0x8847;
const ETHER_MPLS_MULTICAST: u16 = 0x8848;
const ETHER_PPPOE_SESSION: u16 = 0x8864;
/// Cisco's tag between mirror switch and its extender.
const ETHER_VN_TAG: u16 = 0x8926;
/// An Ethernet frame inside (GRE, Geneve).
pub(super) const ETHER_BRIDGED: u16 = 0x6558;
/// PPP inside (PPTP's GRE).
pub(super) const ETHER_PPP: u16 = 0x880b;
/// `EtherTypes` begin here; below stand lengths of 802.3 frames.
const FIRST_ETHER_TYPE: u16 = 0x0600;

/// The outermost header.
#[inline]
pub(super) fn link<'a>(link_type: u16, span: Span<'a>, path: &mut Path) -> Next<'a> {
    match link_type {
        ETHERNET => ethernet(span),
        NULL | LOOP => loopback(span),
        PPP | PPP_HDLC => ppp_hdlc(span, path),
        PPPOE => pppoe(span, path),
        // 101 is the registered number; 12 and 14 are what some systems wrote for it.
        12 | 14 | 101 => Next::Ip(span),
        IPV4 => ip::ipv4(span),
        IPV6 => ip::ipv6(span),
        LINUX_SLL => cooked(span, 14, 16),
        LINUX_SLL2 => cooked(span, 0, 20),
        IEEE802_11 => wifi::frame(span, false),
        IEEE802_11_RADIOTAP => wifi::radiotap(span),
        C_HDLC => c_hdlc(span),
        _ => Next::Undecodable(Reason::UnknownLinkType),
    }
}

/// Ethernet II, or 802.3 with LLC.
#[inline]
pub(super) fn ethernet(span: Span<'_>) -> Next<'_> {
    let Some((head, rest)) = span.head::<14>() else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    Next::EtherType(u16::from_be_bytes([head[12], head[13]]), rest)
}

/// What follows an `EtherType`: IP, or one more header on the way to it.
#[inline]
pub(super) fn ether_type<'a>(ether_type: u16, span: Span<'a>, path: &mut Path) -> Next<'a> {
    match ether_type {
        ETHER_IPV4 => ip::ipv4(span),
        ETHER_IPV6 => ip::ipv6(span),
        ETHER_VLAN | ETHER_QINQ | ETHER_QINQ_OLD => vlan(span, path),
        ETHER_MPLS | ETHER_MPLS_MULTICAST => mpls(span, path),
        ETHER_PPPOE_SESSION => pppoe(span, path),
        ETHER_BRIDGED => Next::Ethernet(span),
        ETHER_PPP => ppp_hdlc(span, path),
        ETHER_VN_TAG => tagged(span),
        ETHER_MACSEC => Next::Undecodable(Reason::Macsec),
        length if length < FIRST_ETHER_TYPE => llc(span.limit(usize::from(length))),
        _ => Next::NotIp,
    }
}

#[inline]
fn vlan<'a>(span: Span<'a>, path: &mut Path) -> Next<'a> {
    let Some((&[t0, t1, e0, e1], rest)) = span.head::<4>() else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    if !path.push(Layer::Vlan(u16::from_be_bytes([t0, t1]) & 0x0fff)) {
        return Next::Undecodable(Reason::TooDeep);
    }
    Next::EtherType(u16::from_be_bytes([e0, e1]), rest)
}

/// Four bytes of tag, then the next `EtherType`.
fn tagged(span: Span<'_>) -> Next<'_> {
    match span.head::<6>() {
        Some((&[_, _, _, _, e0, e1], rest)) => Next::EtherType(u16::from_be_bytes([e0, e1]), rest),
        None => Next::Undecodable(Reason::LinkTruncated),
    }
}

/// 802.2: only SNAP (RFC 1042) leads to IP.
pub(super) fn llc(span: Span<'_>) -> Next<'_> {
    match span.head::<8>() {
        // The second organisation is 802.1H's, for bridges.
        Some((&[0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, e0, e1], rest)) => {
            Next::EtherType(u16::from_be_bytes([e0, e1]), rest)
        }
        _ => Next::NotIp,
    }
}

/// RFC 3032 §2.1 per entry:
/// ```text
/// label (20) | class (3) | bottom of stack (1) | ttl (8)
/// ```
pub(super) fn mpls<'a>(mut span: Span<'a>, path: &mut Path) -> Next<'a> {
    loop {
        let Some((entry, rest)) = span.head::<4>() else {
            return Next::Undecodable(Reason::LinkTruncated);
        };
        let entry = u32::from_be_bytes(*entry);
        if !path.push(Layer::Mpls(entry >> 12)) {
            return Next::Undecodable(Reason::TooDeep);
        }
        span = rest;
        if entry & 0x100 != 0 {
            return mpls_payload(span);
        }
    }
}

/// Nothing says what a label carries: IP first, then Ethernet behind a control word (RFC 4448), then without.
fn mpls_payload(span: Span<'_>) -> Next<'_> {
    if ip::plausible(span) {
        return Next::Ip(span);
    }
    if let Some((&[0..=0x0f, _, _, _], rest)) = span.head::<4>()
        && plausible_ethernet(rest)
    {
        return Next::Ethernet(rest);
    }
    if plausible_ethernet(span) { Next::Ethernet(span) } else { Next::Undecodable(Reason::MplsPayload) }
}

/// True for an Ethernet frame, tagged or not, that holds a plausible IP packet or is ARP.
pub(super) fn plausible_ethernet(span: Span<'_>) -> bool {
    let Some(mut offset) = span.u16_at(12).map(|_| 12_usize) else {
        return false;
    };
    // Two tags are as many as are met.
    for _ in 0..3 {
        let Some(ether_type) = span.u16_at(offset) else {
            return false;
        };
        offset = offset.saturating_add(2);
        match ether_type {
            ETHER_VLAN | ETHER_QINQ | ETHER_QINQ_OLD => offset = offset.saturating_add(2),
            ETHER_IPV4 | ETHER_IPV6 => return span.skip(offset).is_some_and(ip::plausible),
            // Hardware type Ethernet, protocol IPv4.
            0x0806 => {
                return span.data().get(offset..).is_some_and(|arp| arp.starts_with(&[0, 1, 8, 0, 6, 4]));
            }
            _ => return false,
        }
    }
    false
}

/// RFC 2516 §4: version 1, type 1, code 0 for session data.
fn pppoe<'a>(span: Span<'a>, path: &mut Path) -> Next<'a> {
    let Some((&[version, code, s0, s1, l0, l1], rest)) = span.head::<6>() else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    if version != 0x11 {
        return Next::Undecodable(Reason::LinkMalformed);
    }
    if code != 0 {
        return Next::NotIp;
    }
    if !path.push(Layer::Pppoe(u16::from_be_bytes([s0, s1]))) {
        return Next::Undecodable(Reason::TooDeep);
    }
    ppp(rest.limit(usize::from(u16::from_be_bytes([l0, l1]))), path)
}

/// PPP with or without address and control (RFC 1662), or Cisco's framing in its place.
pub(super) fn ppp_hdlc<'a>(span: Span<'a>, path: &mut Path) -> Next<'a> {
    match span.head::<2>() {
        Some((&[0xff, 0x03], rest)) => ppp(rest, path),
        Some((&[0x0f | 0x8f, 0], _)) => c_hdlc(span),
        Some(_) => ppp(span, path),
        None => Next::Undecodable(Reason::LinkTruncated),
    }
}

/// RFC 1661 §2: the protocol is odd in its last byte, and one byte when that is compressed.
fn ppp<'a>(span: Span<'a>, path: &mut Path) -> Next<'a> {
    let (protocol, rest) = match (span.head::<1>(), span.head::<2>()) {
        (Some((&[short], rest)), _) if short & 1 == 1 => (u16::from(short), rest),
        (_, Some((long, rest))) => (u16::from_be_bytes(*long), rest),
        _ => return Next::Undecodable(Reason::LinkTruncated),
    };
    match protocol {
        0x0021 => ip::ipv4(rest),
        0x0057 => ip::ipv6(rest),
        0x0281 | 0x0283 => mpls(rest, path),
        _ => Next::NotIp,
    }
}

/// Cisco HDLC: address, control, `EtherType`.
fn c_hdlc(span: Span<'_>) -> Next<'_> {
    match span.head::<4>() {
        Some((&[0x0f | 0x8f, _, e0, e1], rest)) => Next::EtherType(u16::from_be_bytes([e0, e1]), rest),
        Some(_) => Next::Undecodable(Reason::LinkMalformed),
        None => Next::Undecodable(Reason::LinkTruncated),
    }
}

/// An address family in the byte order of the machine that captured (NULL) or of the network (LOOP).
fn loopback(span: Span<'_>) -> Next<'_> {
    let Some((family, rest)) = span.head::<4>() else {
        return Next::Undecodable(Reason::LinkTruncated);
    };
    let ([0, 0, 0, family] | [family, 0, 0, 0]) = *family else {
        return Next::NotIp;
    };
    match family {
        2 => ip::ipv4(rest),
        // Linux, then the BSDs and macOS.
        10 | 24 | 28 | 30 => ip::ipv6(rest),
        _ => Next::NotIp,
    }
}

/// Linux cooked capture: the protocol at one place, the payload at another.
fn cooked(span: Span<'_>, protocol_at: usize, header_len: usize) -> Next<'_> {
    match (span.u16_at(protocol_at), span.skip(header_len)) {
        // What Linux writes for 802.2 frames (ETH_P_802_2), for raw 802.3 (ETH_P_802_3), and for none.
        (Some(0x0004), Some(rest)) => llc(rest),
        (Some(0x0001), Some(_)) => Next::NotIp,
        (Some(protocol), Some(rest)) if protocol >= FIRST_ETHER_TYPE => Next::EtherType(protocol, rest),
        (Some(_), Some(_)) => Next::NotIp,
        _ => Next::Undecodable(Reason::LinkTruncated),
    }
}
