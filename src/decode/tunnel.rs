//! Tunnels over IP and over UDP.
//!
//! Every function answers `None` for "not this tunnel": the packet then stays what it is. A port number
//! proves nothing, so a tunnel over UDP must show its own fixed bits and hold an IP packet (or ARP) that fits.

use etherparse::IpNumber;

use super::counters::Reason;
use super::ip::{self, IpHeader};
use super::link::{self, ETHER_BRIDGED, ETHER_IPV4, ETHER_IPV6, ETHER_MPLS, ETHER_PPP, ETHER_VLAN};
use super::path::{Layer, Path};
use super::span::Span;
use super::walk::{Next, is_v4};
use super::wifi;

const IP_IN_IP: u8 = IpNumber::IPV4.0;
const IPV6: u8 = IpNumber::IPV6.0;
const GRE: u8 = IpNumber::GRE.0;
const ETHER_IP: u8 = IpNumber::ETHER_IP.0;
const MPLS_IN_IP: u8 = IpNumber::MPLS_IN_IP.0;

const ERSPAN: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;

const GTP_U: u16 = 2152;
const TEREDO: u16 = 3544;
const VXLAN: u16 = 4789;
/// The generic protocol extension has a port of its own.
const VXLAN_GPE: u16 = 4790;
/// What Linux used before 4789 was assigned.
const VXLAN_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const TZSP: u16 = 37008;

/// A layer, and what it holds.
type Opened<'a> = (Layer, Next<'a>);

/// A tunnel that has a protocol number of its own.
#[inline(never)]
pub(super) fn over_ip<'a>(ip: &IpHeader, protocol: u8, span: Span<'a>, path: &mut Path) -> Option<Next<'a>> {
    let (layer, next) = match protocol {
        IP_IN_IP | IPV6 if ip::plausible(span) => {
            let layer = if protocol == IPV6 && is_v4(ip.source) { Layer::SixInFour } else { Layer::IpInIp };
            (layer, Next::Ip(span))
        }
        GRE => return gre(ip, span, path),
        ETHER_IP => match span.head::<2>()? {
            (&[0x30, 0], frame) if link::plausible_ethernet(frame) => (Layer::EtherIp, Next::Ethernet(frame)),
            _ => return None,
        },
        // RFC 4023; the labels themselves are the layers.
        MPLS_IN_IP => return Some(link::mpls(span, path)),
        _ => return None,
    };
    Some(enter(ip, layer, next, path))
}

fn enter<'a>(ip: &IpHeader, layer: Layer, next: Next<'a>, path: &mut Path) -> Next<'a> {
    if path.push_over_ip(layer, ip.source, ip.destination) {
        next
    } else {
        Next::Undecodable(Reason::TooDeep)
    }
}

/// RFC 2784 and 2890, and version 1 as PPTP uses it (RFC 2637 §4.1):
/// ```text
/// C . K S . . . . | . . . . . version (3) | protocol type (16)
/// ```
fn gre<'a>(ip: &IpHeader, span: Span<'a>, path: &mut Path) -> Option<Next<'a>> {
    let (&[flags, version, p0, p1], mut body) = span.head::<4>()?;
    let protocol = u16::from_be_bytes([p0, p1]);
    // Bit 1 is the source route of RFC 1701, which nobody sends.
    if flags & 0x40 != 0 {
        return None;
    }
    let (key, sequence) = (flags & 0x20 != 0, flags & 0x10 != 0);
    match version & 0x07 {
        0 => {
            let optional = [flags & 0x80 != 0, key, sequence].iter().filter(|present| **present).count();
            body = body.skip(optional.wrapping_mul(4))?;
        }
        1 if key && protocol == ETHER_PPP => {
            let length = body.u16_at(0)?;
            let optional = [true, sequence, version & 0x80 != 0].iter().filter(|present| **present).count();
            body = body.skip(optional.wrapping_mul(4))?.limit(usize::from(length));
        }
        _ => return None,
    }
    let next = match protocol {
        ERSPAN | ERSPAN_3 => {
            let (layer, next) = erspan(protocol, sequence, body)?;
            return Some(enter(ip, layer, next, path));
        }
        ETHER_IPV4 | ETHER_IPV6 if ip::plausible(body) => Next::Ip(body),
        ETHER_PPP if !holds_ip_in_ppp(body) => return None,
        ETHER_PPP | ETHER_BRIDGED | ETHER_VLAN | ETHER_MPLS => Next::EtherType(protocol, body),
        // Keepalives, routing and what else is no IP: it stays a GRE packet.
        _ => return None,
    };
    Some(enter(ip, Layer::Gre, next, path))
}

fn holds_ip_in_ppp(span: Span<'_>) -> bool {
    let data = span.data();
    let data = data.strip_prefix(&[0xff, 0x03]).unwrap_or(data);
    matches!(data, [0x00, 0x21 | 0x57, ..] | [0x21 | 0x57, ..])
}

/// Type I has no header and no GRE sequence number; II has 8 bytes, III 12 and perhaps 8 more.
fn erspan(protocol: u16, sequence: bool, span: Span<'_>) -> Option<Opened<'_>> {
    if protocol == ERSPAN && !sequence {
        return Some((Layer::Erspan { version: 1, session: 0 }, Next::Ethernet(span)));
    }
    let session = span.u16_at(2)? & 0x03ff;
    let (version, body) = match (span.data().first()? >> 4, protocol) {
        (1, ERSPAN) => (2, span.skip(8)?),
        (2, ERSPAN_3) => {
            let (header, rest) = span.head::<12>()?;
            let body = if header[11] & 1 != 0 { rest.skip(8)? } else { rest };
            // Frame type 2 is a bare IP packet, 0 Ethernet.
            if header[10] >> 2 & 0x1f == 2 {
                return Some((Layer::Erspan { version: 3, session }, Next::Ip(body)));
            }
            (3, body)
        }
        _ => return None,
    };
    Some((Layer::Erspan { version, session }, Next::Ethernet(body)))
}

/// A tunnel behind one of the UDP ports that tunnels use.
#[inline]
pub(super) fn over_udp<'a>(
    ip: &IpHeader,
    source: u16,
    destination: u16,
    body: Span<'a>,
    path: &mut Path,
) -> Option<Next<'a>> {
    // Some write a tunnel's port only as the source.
    if is_tunnel_port(destination) {
        return open_udp(ip, destination, body, path);
    }
    if is_tunnel_port(source) { open_udp(ip, source, body, path) } else { None }
}

/// True for the UDP ports that tunnels use.
#[inline]
pub(super) const fn is_tunnel_port(port: u16) -> bool {
    matches!(port, GTP_U | TEREDO | VXLAN | VXLAN_GPE | VXLAN_LINUX | GENEVE | TZSP)
}

#[inline(never)]
fn open_udp<'a>(ip: &IpHeader, port: u16, body: Span<'a>, path: &mut Path) -> Option<Next<'a>> {
    let (layer, next) = match port {
        VXLAN | VXLAN_GPE | VXLAN_LINUX => vxlan(body)?,
        GENEVE => geneve(body)?,
        GTP_U => gtp_u(body)?,
        TEREDO => teredo(body)?,
        TZSP => tzsp(body)?,
        _ => return None,
    };
    Some(enter(ip, layer, next, path))
}

fn framed(span: Span<'_>) -> Option<Next<'_>> {
    link::plausible_ethernet(span).then_some(Next::Ethernet(span))
}

fn packet(span: Span<'_>) -> Option<Next<'_>> {
    ip::plausible(span).then_some(Next::Ip(span))
}

/// RFC 7348 §5, and the two drafts that extend it: group policy sets the first bit and uses the next three
/// bytes, the generic protocol extension (GPE) sets the P bit and names a protocol in the fourth byte.
fn vxlan(span: Span<'_>) -> Option<Opened<'_>> {
    let (&[flags, b1, b2, b3, v0, v1, v2, last], body) = span.head::<8>()?;
    let next = match (flags, [b1, b2, b3], last) {
        (0x08, [0, 0, 0], 0) | (0x88, _, 0) | (0x0c, [0, 0, 3], 0) => framed(body)?,
        (0x0c, [0, 0, 1 | 2], 0) => packet(body)?,
        _ => return None,
    };
    Some((Layer::Vxlan(u32::from_be_bytes([0, v0, v1, v2])), next))
}

/// RFC 8926 §3.4: version 0, reserved bits zero.
fn geneve(span: Span<'_>) -> Option<Opened<'_>> {
    let (&[first, flags, p0, p1, v0, v1, v2, last], rest) = span.head::<8>()?;
    if first & 0xc0 != 0 || flags & 0x3f != 0 || last != 0 {
        return None;
    }
    let body = rest.skip(usize::from(first & 0x3f).wrapping_mul(4))?;
    let next = match u16::from_be_bytes([p0, p1]) {
        ETHER_BRIDGED => framed(body)?,
        ETHER_IPV4 | ETHER_IPV6 => packet(body)?,
        _ => return None,
    };
    Some((Layer::Geneve(u32::from_be_bytes([0, v0, v1, v2])), next))
}

/// 3GPP TS 29.281 §5.1: version 1, protocol type 1, and message 255, which carries a user's packet.
/// ```text
/// version (3) | PT | . | E | S | PN
/// ```
fn gtp_u(span: Span<'_>) -> Option<Opened<'_>> {
    let (&[flags, 0xff, l0, l1, t0, t1, t2, t3], rest) = span.head::<8>()? else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if flags & 0xf8 != 0x30 || length > rest.wire() {
        return None;
    }
    let mut body = rest.limit(length);
    if flags & 0x07 != 0 {
        let (&[_, _, _, mut extension], mut after) = body.head::<4>()?;
        if flags & 0x04 == 0 {
            extension = 0;
        }
        // Each at least four bytes long, so that the packet's own length ends this.
        while extension != 0 {
            let length = usize::from(*after.data().first()?).wrapping_mul(4);
            extension = *after.data().get(length.checked_sub(1)?)?;
            after = after.skip(length)?;
        }
        body = after;
    }
    Some((Layer::GtpU(u32::from_be_bytes([t0, t1, t2, t3])), packet(body)?))
}

/// RFC 4380 §5.1.1: an authentication and an origin indication may stand before the IPv6 packet, one end of
/// which has a Teredo address (`2001::/32`) or, while the address is being asked for, a link-local one.
fn teredo(span: Span<'_>) -> Option<Opened<'_>> {
    let mut body = span;
    if let [0, 1, id_len, auth_len, ..] = *body.data() {
        body = body.skip(usize::from(id_len).wrapping_add(usize::from(auth_len)).wrapping_add(13))?;
    }
    if let [0, 0, ..] = *body.data() {
        body = body.skip(8)?;
    }
    let is_end = |address: &[u8]| {
        address.starts_with(&[0x20, 0x01, 0, 0]) || matches!(address, [0xfe, 0x80..=0xbf, ..])
    };
    let (head, _) = body.head::<40>()?;
    let (source, destination) = (head.get(8..24)?, head.get(24..40)?);
    // A packet without payload (a bubble) has length 0 and is left as it is.
    if head[0] >> 4 != 6 || !(is_end(source) || is_end(destination)) {
        return None;
    }
    Some((Layer::Teredo, packet(body)?))
}

/// Version 1, type 0 (received) or 1 (to be sent), protocol, then tags up to tag 1.
fn tzsp(span: Span<'_>) -> Option<Opened<'_>> {
    let (&[1, 0 | 1, p0, p1], mut rest) = span.head::<4>()? else {
        return None;
    };
    loop {
        let tag = *rest.data().first()?;
        rest = match tag {
            0 => rest.skip(1)?,
            1 => {
                rest = rest.skip(1)?;
                break;
            }
            _ => rest.skip(usize::from(*rest.data().get(1)?).wrapping_add(2))?,
        };
    }
    let next = match u16::from_be_bytes([p0, p1]) {
        1 => framed(rest)?,
        18 => {
            let Next::EtherType(ETHER_IPV4 | ETHER_IPV6, inner) = wifi::frame(rest, false) else {
                return None;
            };
            packet(inner)?
        }
        _ => return None,
    };
    Some((Layer::Tzsp, next))
}
