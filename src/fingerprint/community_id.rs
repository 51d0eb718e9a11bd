//! Community ID version 1: one name for a flow in every tool.
//!
//! In: addresses, protocol, ports. Out: `1:` and the Base64 of a SHA-1 over both ends in canonical order.
//! Not handled: the mapping of ICMP types to ports; without ports the value is that of a protocol without.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

const LENGTH: usize = 30;

/// A Community ID, 30 characters of ASCII.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommunityId([u8; LENGTH]);

impl CommunityId {
    /// As text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl serde::Serialize for CommunityId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommunityId({self})")
    }
}

/// Community ID of the flow between two ends, the same for both directions.
///
/// `seed` keeps networks apart, 0 by default; `protocol` is the IP protocol number; `ports` belong to `a` and
/// `b`, and are `None` for a protocol that has none.
pub fn community_id(seed: u16, protocol: u8, a: IpAddr, b: IpAddr, ports: Option<(u16, u16)>) -> CommunityId {
    let (port_a, port_b) = ports.unwrap_or_default();
    let ((low, low_port), (high, high_port)) =
        if (a, port_a) <= (b, port_b) { ((a, port_a), (b, port_b)) } else { ((b, port_b), (a, port_a)) };
    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    add_address(&mut hash, low);
    add_address(&mut hash, high);
    hash.update([protocol, 0]);
    if ports.is_some() {
        hash.update(low_port.to_be_bytes());
        hash.update(high_port.to_be_bytes());
    }
    let digest: [u8; 20] = hash.finalize().into();
    let mut text = *b"1:____________________________";
    if let Some(place) = text.get_mut(2..) {
        // 20 bytes make 28 characters, exactly the room there is.
        let _ = STANDARD.encode_slice(digest, place);
    }
    CommunityId(text)
}

fn add_address(hash: &mut Sha1, address: IpAddr) {
    match address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seed: u16, protocol: u8, a: (&str, u16), b: (&str, u16)) -> String {
        let (from, to) = (a.0.parse().unwrap(), b.0.parse().unwrap());
        let forward = community_id(seed, protocol, from, to, Some((a.1, b.1)));
        assert_eq!(
            forward,
            community_id(seed, protocol, to, from, Some((b.1, a.1))),
            "both directions agree"
        );
        forward.to_string()
    }

    #[test]
    fn published_vectors_are_met() {
        let (a, b) = (("128.232.110.120", 34855), ("66.35.250.204", 80));
        assert_eq!(id(0, 6, a, b), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id(1, 6, a, b), "1:3V71V58M3Ksw/yuFALMcW0LAHvc=");
        let (a, b) = (("192.168.1.52", 54585), ("8.8.8.8", 53));
        assert_eq!(id(0, 17, a, b), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        let (a, b) = (("192.168.170.8", 7), ("192.168.170.56", 80));
        assert_eq!(id(0, 132, a, b), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=");
        let (a, b) = (("2001:470:e5bf:dead:4957:2174:e82c:4887", 63943), ("2607:f8b0:400c:c03::1a", 25));
        assert_eq!(id(0, 6, a, b), "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
    }

    #[test]
    fn same_address_is_ordered_by_port() {
        assert_eq!(id(0, 17, ("10.0.0.1", 5), ("10.0.0.1", 9)).len(), LENGTH);
    }

    #[test]
    fn protocol_without_ports_leaves_them_out() {
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_ne!(community_id(0, 47, a, b, None), community_id(0, 47, a, b, Some((0, 0))));
        assert_eq!(community_id(0, 47, a, b, None), community_id(0, 47, b, a, None));
    }
}
