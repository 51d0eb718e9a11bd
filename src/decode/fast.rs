//! The common frame in one go: Ethernet, at most two VLAN tags, IPv4 without options or IPv6 without extension
//! headers, UDP on no port of a tunnel, or TCP. Anything else is for [`walk`](super::walk::walk); what both can read they read alike,
//! which a test holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ip::{IpHeader, TCP, UDP};
use super::link::{ETHER_IPV4, ETHER_IPV6, ETHER_VLAN};
use super::path::{Layer, Path};
use super::span::Span;
use super::tunnel::is_tunnel_port;
use super::walk::{Found, tcp_packet, udp_packet};

/// The packet in an Ethernet frame; `None` says nothing but "not the common case", and `path` is spoilt then.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured: the result is large, and a call would copy it")]
pub(super) fn ethernet<'a>(span: Span<'a>, path: &mut Path, tunnels: bool) -> Option<Found<'a>> {
    let (head, mut rest) = span.head::<14>()?;
    let mut ether_type = u16::from_be_bytes([head[12], head[13]]);
    while ether_type == ETHER_VLAN {
        let (&[t0, t1, e0, e1], after) = rest.head::<4>()?;
        if !path.push(Layer::Vlan(u16::from_be_bytes([t0, t1]) & 0x0fff)) {
            return None;
        }
        (ether_type, rest) = (u16::from_be_bytes([e0, e1]), after);
    }
    let (header, protocol, body) = match ether_type {
        ETHER_IPV4 => ipv4(rest)?,
        ETHER_IPV6 => ipv6(rest)?,
        _ => return None,
    };
    match protocol {
        UDP => {
            let (found, _) = udp_packet(header, body).ok()?;
            let (source, destination) = (found.source.port(), found.destination.port());
            let is_tunnel = tunnels && (is_tunnel_port(source) || is_tunnel_port(destination));
            if is_tunnel { None } else { Some(found) }
        }
        TCP => tcp_packet(header, body).ok(),
        _ => None,
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of the above")]
fn ipv4(span: Span<'_>) -> Option<(IpHeader, u8, Span<'_>)> {
    let (h, rest) = span.head::<20>()?;
    let length = usize::from(u16::from_be_bytes([h[2], h[3]])).checked_sub(20)?;
    if h[0] != 0x45 || h[6] & 0x3f != 0 || h[7] != 0 {
        return None;
    }
    let body = rest.declare(length);
    let header = IpHeader {
        source: IpAddr::V4(Ipv4Addr::new(h[12], h[13], h[14], h[15])),
        destination: IpAddr::V4(Ipv4Addr::new(h[16], h[17], h[18], h[19])),
        ttl: h[8],
        id: u16::from_be_bytes([h[4], h[5]]),
        payload_len: body.wire(),
    };
    Some((header, h[9], body))
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of the above")]
fn ipv6(span: Span<'_>) -> Option<(IpHeader, u8, Span<'_>)> {
    let (fixed, rest) = span.head::<8>()?;
    let (source, rest) = rest.head::<16>()?;
    let (destination, rest) = rest.head::<16>()?;
    let length = u16::from_be_bytes([fixed[4], fixed[5]]);
    if fixed[0] >> 4 != 6 || length == 0 {
        return None;
    }
    let body = rest.declare(usize::from(length));
    let header = IpHeader {
        source: IpAddr::V6(Ipv6Addr::from(*source)),
        destination: IpAddr::V6(Ipv6Addr::from(*destination)),
        ttl: fixed[7],
        id: 0,
        payload_len: body.wire(),
    };
    Some((header, fixed[6], body))
}
