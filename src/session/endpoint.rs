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
    let named = || {
        let server = named_server(&verdict.evidence, tuple.source, tuple.destination)?;
        Some(server == tuple.destination)
    };
    let is_source = by_addresses(tuple).or_else(named).or_else(|| by_ports(tuple));
    ends(tuple, is_source.or_else(|| asked::originator_asks(flow)).unwrap_or(true))
}

/// Whose a flow is taken to be by its addresses and ports alone.
pub fn likely_endpoint(tuple: &FiveTuple) -> IpAddr {
    let is_source = by_addresses(tuple).or_else(|| by_ports(tuple)).unwrap_or(true);
    ends(tuple, is_source).local.ip()
}

/// Whether the endpoint is the originator, where one end alone has a private address.
fn by_addresses(tuple: &FiveTuple) -> Option<bool> {
    let [source, destination] = [tuple.source, tuple.destination].map(|end| is_private(end.ip()));
    (source != destination).then_some(source)
}

/// The same where one end alone has the port of a service.
fn by_ports(tuple: &FiveTuple) -> Option<bool> {
    let [source, destination] = [tuple.source, tuple.destination].map(|end| is_service(end.port()));
    (source != destination).then_some(destination)
}

pub(super) const fn is_service(port: u16) -> bool {
    port < 1024 || matches!(port, 3478..=3481 | 5349 | 8801..=8810)
}

/// True when nothing but who spoke first tells the ends of a flow apart.
pub(super) fn is_open(flow: &Summary, verdict: &Verdict) -> bool {
    let tuple = &flow.tuple;
    by_addresses(tuple).is_none()
        && named_server(&verdict.evidence, tuple.source, tuple.destination).is_none()
        && by_ports(tuple).is_none()
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
