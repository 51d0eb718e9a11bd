//! IPv4 (RFC 791), IPv6 (RFC 8200) and the headers between IP and transport.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpAuthHeaderSlice, IpNumber, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice};

use super::counters::Reason;
use super::span::Span;
use super::walk::{Fragment, Next, is_v4};

pub(super) const TCP: u8 = IpNumber::TCP.0;
pub(super) const UDP: u8 = IpNumber::UDP.0;
const HOP_BY_HOP: u8 = IpNumber::IPV6_HEADER_HOP_BY_HOP.0;
const ROUTING: u8 = IpNumber::IPV6_ROUTE_HEADER.0;
const FRAGMENT: u8 = IpNumber::IPV6_FRAGMENTATION_HEADER.0;
const AUTHENTICATION: u8 = IpNumber::AUTHENTICATION_HEADER.0;
const DESTINATION: u8 = IpNumber::IPV6_DESTINATION_OPTIONS.0;
const MOBILITY: u8 = IpNumber::MOBILITY_HEADER.0;
const HIP: u8 = IpNumber::HIP.0;
const SHIM6: u8 = IpNumber::SHIM6.0;

/// Longest run of extension headers that is walked; RFC 8200 §4.1 foresees seven.
const MAX_EXTENSIONS: usize = 8;

/// What is kept of an IP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpHeader {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    /// IPv4 identification; 0 for IPv6, which has none.
    pub(super) id: u16,
    /// Length on the wire of what follows the IP header.
    pub(super) payload_len: usize,
}

/// Either version, by the first four bits.
#[inline]
pub(super) fn ip(span: Span<'_>) -> Next<'_> {
    match span.data().first().map(|first| first >> 4) {
        Some(4) => ipv4(span),
        Some(6) => ipv6(span),
        Some(_) => Next::Undecodable(Reason::IpVersion),
        None => Next::Undecodable(Reason::Ipv4Truncated),
    }
}

#[inline]
pub(super) fn ipv4(span: Span<'_>) -> Next<'_> {
    let Some((h, rest)) = span.head::<20>() else {
        return Next::Undecodable(Reason::Ipv4Truncated);
    };
    if h[0] >> 4 != 4 {
        return Next::Undecodable(Reason::IpVersion);
    }
    let header_len = usize::from(h[0] & 0x0f).wrapping_mul(4);
    let Some(options_len) = header_len.checked_sub(20) else {
        return Next::Undecodable(Reason::Ipv4Length);
    };
    let mut body = match usize::from(u16::from_be_bytes([h[2], h[3]])).checked_sub(header_len) {
        Some(length) => rest.declare(length.wrapping_add(options_len)),
        // Zero: captured on the sender before its card cut the segment (TSO).
        None if h[2] == 0 && h[3] == 0 => rest,
        None => return Next::Undecodable(Reason::Ipv4Length),
    };
    if options_len > 0 {
        let Some(after) = body.skip(options_len) else {
            return Next::Undecodable(Reason::Ipv4Truncated);
        };
        body = after;
    }
    let id = u16::from_be_bytes([h[4], h[5]]);
    let header = IpHeader {
        source: IpAddr::V4(Ipv4Addr::new(h[12], h[13], h[14], h[15])),
        destination: IpAddr::V4(Ipv4Addr::new(h[16], h[17], h[18], h[19])),
        ttl: h[8],
        id,
        payload_len: body.wire(),
    };
    let fragment = u16::from_be_bytes([h[6], h[7]]) & 0x3fff;
    if fragment != 0 {
        return Next::Fragment(Fragment {
            ip: header,
            protocol: h[9],
            id: u32::from(id),
            offset: usize::from(fragment & 0x1fff).wrapping_mul(8),
            more: fragment & 0x2000 != 0,
            span: body,
        });
    }
    if h[9] == AUTHENTICATION { extensions(header, h[9], body) } else { Next::Payload(header, h[9], body) }
}

#[inline]
pub(super) fn ipv6(span: Span<'_>) -> Next<'_> {
    let Some((h, rest)) = span.head::<40>() else {
        return Next::Undecodable(Reason::Ipv6Truncated);
    };
    if h[0] >> 4 != 6 {
        return Next::Undecodable(Reason::IpVersion);
    }
    // Zero: a jumbogram (RFC 2675), or not yet segmented; the frame's own length has to do.
    let body = match usize::from(u16::from_be_bytes([h[4], h[5]])) {
        0 => rest,
        length => rest.declare(length),
    };
    let (_, addresses) = h.split_at(8);
    let header = IpHeader {
        source: address_v6(addresses),
        destination: address_v6(addresses.get(16..).unwrap_or_default()),
        ttl: h[7],
        id: 0,
        payload_len: body.wire(),
    };
    match h[6] {
        protocol @ (TCP | UDP) => Next::Payload(header, protocol, body),
        protocol => extensions(header, protocol, body),
    }
}

#[inline]
fn address_v6(bytes: &[u8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(bytes.first_chunk::<16>().copied().unwrap_or_default()))
}

/// Walks what may stand between IP header and transport header (RFC 8200 §4, RFC 4302).
pub(super) fn extensions(header: IpHeader, first: u8, body: Span<'_>) -> Next<'_> {
    let (mut protocol, mut body) = (first, body);
    for _ in 0..MAX_EXTENSIONS {
        let (next, length) = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HIP | SHIM6 => {
                match Ipv6RawExtHeaderSlice::from_slice(body.data()) {
                    Ok(extension) => (extension.next_header().0, extension.slice().len()),
                    Err(_) => return Next::Undecodable(Reason::Extension),
                }
            }
            AUTHENTICATION => match IpAuthHeaderSlice::from_slice(body.data()) {
                Ok(extension) => (extension.next_header().0, extension.slice().len()),
                Err(_) => return Next::Undecodable(Reason::Extension),
            },
            FRAGMENT => match Ipv6FragmentHeaderSlice::from_slice(body.data()) {
                Ok(extension) if extension.is_fragmenting_payload() => {
                    return Next::Fragment(Fragment {
                        ip: header,
                        protocol: extension.next_header().0,
                        id: extension.identification(),
                        offset: usize::from(extension.fragment_offset().byte_offset()),
                        more: extension.more_fragments(),
                        span: body.skip(extension.slice().len()).unwrap_or(body),
                    });
                }
                // RFC 6946: a datagram in one fragment is whole.
                Ok(extension) => (extension.next_header().0, extension.slice().len()),
                Err(_) => return Next::Undecodable(Reason::Extension),
            },
            _ => return Next::Payload(header, protocol, body),
        };
        let Some(after) = body.skip(length) else {
            return Next::Undecodable(Reason::Extension);
        };
        (protocol, body) = (next, after);
    }
    Next::Undecodable(Reason::ExtensionChain)
}

/// Goes on behind the IP header of a datagram that was put together.
pub(super) fn resume(header: IpHeader, protocol: u8, body: Span<'_>) -> Next<'_> {
    if is_v4(header.source) && protocol != AUTHENTICATION {
        return Next::Payload(header, protocol, body);
    }
    extensions(header, protocol, body)
}

/// True when the bytes can be an IP packet that fits: version, header length, total length.
///
/// This is what keeps a tunnel's port number from being taken for a tunnel.
pub(super) fn plausible(span: Span<'_>) -> bool {
    match span.data() {
        [first, _, high, low, ..] if first >> 4 == 4 => {
            let header_len = usize::from(first & 0x0f).wrapping_mul(4);
            let total_len = usize::from(u16::from_be_bytes([*high, *low]));
            header_len >= 20 && span.data().len() >= 20 && total_len >= header_len && total_len <= span.wire()
        }
        [first, _, _, _, high, low, ..] if first >> 4 == 6 => {
            let payload_len = usize::from(u16::from_be_bytes([*high, *low]));
            span.data().len() >= 40 && payload_len > 0 && payload_len.saturating_add(40) <= span.wire()
        }
        _ => false,
    }
}
