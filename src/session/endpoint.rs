//! Which end of a flow is the endpoint's, and which the service's.

use std::net::{IpAddr, SocketAddr};

use super::{asked, ends};
use crate::classify::{Evidence, Verdict};
use crate::flow::FiveTuple;
use crate::observe::Summary;

/// The two ends of a flow, told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// The endpoint's.
    pub local: SocketAddr,
    /// The server's, or the peer's.
    pub remote: SocketAddr,
    /// True when the endpoint is the originator.
    pub local_is_source: bool,
}

/// Tells the ends of a flow apart: a private address is the endpoint's; a provider's prefix is not; a
/// service's port is not; who only answers STUN is not; else who spoke first is the endpoint.
pub fn sides(flow: &Summary, verdict: &Verdict) -> Sides {
    let tuple = &flow.tuple;
    let (source, destination) = (tuple.source, tuple.destination);
    match (is_private(source.ip()), is_private(destination.ip())) {
        (true, false) => return ends(tuple, true),
        (false, true) => return ends(tuple, false),
        _ => {}
    }
    if let Some(server) = named_server(&verdict.evidence, source, destination) {
        return ends(tuple, server == destination);
    }
    match (is_service(source.port()), is_service(destination.port())) {
        (true, false) => ends(tuple, false),
        (false, true) => ends(tuple, true),
        _ => ends(tuple, asked::originator_asks(flow).unwrap_or(true)),
    }
}

/// Whose a flow is taken to be by its addresses and ports alone.
pub fn likely_endpoint(tuple: &FiveTuple) -> IpAddr {
    let (source, destination) = (tuple.source, tuple.destination);
    let is_of_source = match (is_private(source.ip()), is_private(destination.ip())) {
        (true, false) => true,
        (false, true) => false,
        _ => !is_service(source.port()) || is_service(destination.port()),
    };
    if is_of_source { source.ip() } else { destination.ip() }
}

pub(super) const fn is_service(port: u16) -> bool {
    port < 1024 || matches!(port, 3478..=3481 | 5349 | 8801..=8810)
}

/// True when nothing but who spoke first tells the ends of a flow apart.
pub(super) fn is_open(flow: &Summary, verdict: &Verdict) -> bool {
    let (source, destination) = (flow.tuple.source, flow.tuple.destination);
    is_private(source.ip()) == is_private(destination.ip())
        && named_server(&verdict.evidence, source, destination).is_none()
        && is_service(source.port()) == is_service(destination.port())
        && asked::originator_asks(flow).is_none()
}

/// The end that evidence of the winning app names: inside its prefix, or called so by DNS.
fn named_server(evidence: &[Evidence], source: SocketAddr, destination: SocketAddr) -> Option<SocketAddr> {
    let said = |end: SocketAddr| {
        let of_end = |item: &Evidence| item.value.address() == Some(end.ip());
        evidence.iter().any(|item| matches!(item.what, "prefix" | "dns_name") && of_end(item))
    };
    match (said(source), said(destination)) {
        (true, false) => Some(source),
        (false, true) => Some(destination),
        _ => None,
    }
}

pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // RFC 1918, RFC 3927, and RFC 6598 (carrier-grade NAT).
            v4.is_private() || v4.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            let [first, ..] = v6.segments();
            first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}
