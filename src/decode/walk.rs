//! One frame, layer by layer, down to the innermost transport header. Pure: no state, no counter.

use std::net::{IpAddr, SocketAddr};

use super::counters::Reason;
use super::ip::{self, IpHeader};
use super::link;
use super::packet::Transport;
use super::path::Path;
use super::span::Span;
use super::tunnel;

/// More steps than a stack of eight layers over the longest link header takes.
const MAX_STEPS: usize = 32;

/// What to read next, or where the walk ended.
pub(super) enum Next<'a> {
    /// A frame of this link type.
    Link(u16, Span<'a>),
    /// An Ethernet frame.
    Ethernet(Span<'a>),
    /// What follows an `EtherType`.
    EtherType(u16, Span<'a>),
    /// An IP packet of either version.
    Ip(Span<'a>),
    /// What follows an IP header and its extension headers.
    Payload(IpHeader, u8, Span<'a>),
    /// A transport header was read.
    Found(Found<'a>),
    /// A part of a datagram.
    Fragment(Fragment<'a>),
    /// No IP inside.
    NotIp,
    /// It cannot be read.
    Undecodable(Reason),
}

/// The innermost packet.
pub(super) struct Found<'a> {
    pub(super) ip: IpHeader,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) transport: Transport<'a>,
    /// The UDP or TCP checksum as it stands in the header.
    pub(super) checksum: u16,
    pub(super) truncated: bool,
}

/// A fragment and what is needed to find its siblings.
pub(super) struct Fragment<'a> {
    pub(super) ip: IpHeader,
    /// Protocol number of the payload (IPv6: as this fragment says; only the first one's counts).
    pub(super) protocol: u8,
    pub(super) id: u32,
    /// Place of the first byte, in bytes.
    pub(super) offset: usize,
    /// False for the last one.
    pub(super) more: bool,
    pub(super) span: Span<'a>,
}

/// Where a walk may end.
pub(super) enum End<'a> {
    Found(Found<'a>),
    Fragment(Fragment<'a>),
    NotIp,
    Undecodable(Reason),
}

/// Follows the layers; those passed are added to `path`.
#[inline]
pub(super) fn walk<'a>(mut next: Next<'a>, path: &mut Path, tunnels: bool) -> End<'a> {
    for _ in 0..MAX_STEPS {
        next = match next {
            Next::Link(link_type, span) => link::link(link_type, span, path),
            Next::Ethernet(span) => link::ethernet(span),
            Next::EtherType(ether_type, span) => link::ether_type(ether_type, span, path),
            Next::Ip(span) => ip::ip(span),
            Next::Payload(header, protocol, span) => payload(header, protocol, span, path, tunnels),
            Next::Found(found) => return End::Found(found),
            Next::Fragment(fragment) => return End::Fragment(fragment),
            Next::NotIp => return End::NotIp,
            Next::Undecodable(reason) => return End::Undecodable(reason),
        };
    }
    End::Undecodable(Reason::TooDeep)
}

#[inline]
fn payload<'a>(ip: IpHeader, protocol: u8, span: Span<'a>, path: &mut Path, tunnels: bool) -> Next<'a> {
    match protocol {
        ip::UDP => udp(ip, span, path, tunnels),
        ip::TCP => tcp_packet(ip, span).map_or_else(Next::Undecodable, Next::Found),
        _ if tunnels => match tunnel::over_ip(&ip, protocol, span, path) {
            Some(next) => next,
            None => other(ip, protocol, span),
        },
        _ => other(ip, protocol, span),
    }
}

fn other(ip: IpHeader, protocol: u8, span: Span<'_>) -> Next<'_> {
    Next::Found(Found {
        source: SocketAddr::new(ip.source, 0),
        destination: SocketAddr::new(ip.destination, 0),
        ip,
        transport: Transport::Other { protocol, payload: span.data() },
        checksum: 0,
        truncated: span.is_cut(),
    })
}

fn udp<'a>(ip: IpHeader, span: Span<'a>, path: &mut Path, tunnels: bool) -> Next<'a> {
    match udp_packet(ip, span) {
        Ok((found, body)) => {
            let ports = (found.source.port(), found.destination.port());
            let inside = if tunnels { tunnel::over_udp(&ip, ports.0, ports.1, body, path) } else { None };
            inside.unwrap_or(Next::Found(found))
        }
        Err(reason) => Next::Undecodable(reason),
    }
}

/// RFC 768. The payload ends at the UDP length, or with the IP packet where that comes first.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured: the result is large, and a call would copy it")]
pub(super) fn udp_packet(ip: IpHeader, span: Span<'_>) -> Result<(Found<'_>, Span<'_>), Reason> {
    let Some((&[s0, s1, d0, d1, l0, l1, c0, c1], rest)) = span.head::<8>() else {
        return Err(Reason::UdpTruncated);
    };
    let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    let body = match usize::from(u16::from_be_bytes([l0, l1])).checked_sub(8) {
        Some(length) => rest.limit(length),
        // Zero stands in a jumbogram (RFC 2675 §4) and in what a card is still to segment.
        None if l0 == 0 && l1 == 0 => rest,
        None => return Err(Reason::UdpLength),
    };
    let found = Found {
        source: SocketAddr::new(ip.source, source),
        destination: SocketAddr::new(ip.destination, destination),
        ip,
        transport: Transport::Udp { payload: body.data(), declared_len: body.wire() },
        checksum: u16::from_be_bytes([c0, c1]),
        truncated: body.is_cut(),
    };
    Ok((found, body))
}

/// RFC 9293. Options cut by the snap length are no reason to lose the packet.
#[inline]
pub(super) fn tcp_packet(ip: IpHeader, span: Span<'_>) -> Result<Found<'_>, Reason> {
    use super::packet::TcpFlags;
    let Some((fixed, rest)) = span.head::<20>() else {
        return Err(Reason::TcpTruncated);
    };
    let header_len = usize::from(fixed[12] >> 4).wrapping_mul(4);
    let Some(options) = header_len.checked_sub(20).filter(|options| *options <= rest.wire()) else {
        return Err(Reason::TcpLength);
    };
    let declared_len = rest.wire().saturating_sub(options);
    let body = rest.skip(options).map_or(&[][..], Span::data);
    // Cannot fail: the length was looked at above; and if it did, the packet would be counted, not lost.
    let mut short = *fixed;
    short[12] = 0x50;
    let Ok(header) = etherparse::TcpHeaderSlice::from_slice(&short) else {
        return Err(Reason::TcpLength);
    };
    Ok(Found {
        source: SocketAddr::new(ip.source, header.source_port()),
        destination: SocketAddr::new(ip.destination, header.destination_port()),
        ip,
        transport: Transport::Tcp {
            sequence: header.sequence_number(),
            acknowledgment: header.acknowledgment_number(),
            flags: TcpFlags(fixed[13]),
            window: header.window_size(),
            payload: body,
            declared_len,
        },
        checksum: header.checksum(),
        truncated: body.len() < declared_len,
    })
}

/// Which of the two versions an address is of.
pub(super) const fn is_v4(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(_))
}
