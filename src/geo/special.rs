//! Addresses that no location database can place, by the IANA special-purpose registries
//! (RFC 6890 and its successors, RFC 5771 and RFC 4291 for multicast).
//!
//! In: an address. Out: which special block it is in, and the address that is worth looking up: the
//! IPv4 address inside an IPv4-mapped (RFC 4291 §2.5.5.2) or well-known NAT64 one (RFC 6052 §2.1).
//! Network-specific NAT64 prefixes cannot be told from ordinary addresses and are not handled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// A block with a meaning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Special {
    /// `0.0.0.0/8` and `::`: this host on this network (RFC 791, RFC 4291).
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// `10/8`, `172.16/12`, `192.168/16` (RFC 1918) and `fc00::/7` (RFC 4193).
    Private,
    /// `169.254.0.0/16` (RFC 3927) and `fe80::/10`.
    LinkLocal,
    /// `100.64.0.0/10`, shared by carrier-grade NAT (RFC 6598).
    Cgnat,
    /// `224.0.0.0/4` and `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `192.0.2/24`, `198.51.100/24`, `203.0.113/24` (RFC 5737), `2001:db8::/32`, `3fff::/20` (RFC 9637).
    Documentation,
    /// `198.18.0.0/15` (RFC 2544) and `2001:2::/48` (RFC 5180).
    Benchmarking,
    /// `192.0.0.0/24` and `2001::/23` outside its named parts: protocol assignments.
    ProtocolAssignment,
    /// `64:ff9b::/96` (RFC 6052): an IPv4 server seen through a translator. The place is that of the IPv4 address.
    Nat64,
    /// `64:ff9b:1::/48` (RFC 8215): a translator's local prefix.
    Nat64Local,
    /// `2002::/16` (RFC 3056) and its relay anycast `192.88.99.0/24`.
    SixToFour,
    /// `2001::/32` (RFC 4380).
    Teredo,
    /// `100::/64` (RFC 6666).
    DiscardOnly,
    /// `240.0.0.0/4`, `fec0::/10`, and all of IPv6 outside `2000::/3` that has no other name here.
    Reserved,
}

/// The address to look up: an IPv4 address that an IPv6 one merely carries is taken out.
pub(super) fn looked_up_as(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    if let IpAddr::V6(v6) = ip
        && let [0x0064, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments()
    {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    }
    ip
}

/// The special block that `ip` is in, if any.
pub fn special(ip: IpAddr) -> Option<Special> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

const fn special_v4(ip: Ipv4Addr) -> Option<Special> {
    Some(match ip.octets() {
        [0, ..] => Special::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Special::Private,
        [100, 64..=127, ..] => Special::Cgnat,
        [127, ..] => Special::Loopback,
        [169, 254, ..] => Special::LinkLocal,
        [192, 0, 0, _] => Special::ProtocolAssignment,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Special::Documentation,
        [192, 88, 99, _] => Special::SixToFour,
        [198, 18..=19, ..] => Special::Benchmarking,
        [224..=239, ..] => Special::Multicast,
        [255, 255, 255, 255] => Special::Broadcast,
        [240..=255, ..] => Special::Reserved,
        _ => return None,
    })
}

const fn special_v6(ip: Ipv6Addr) -> Option<Special> {
    Some(match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Special::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Special::Loopback,
        [0x0064, 0xff9b, 0, 0, 0, 0, ..] => Special::Nat64,
        [0x0064, 0xff9b, 1, ..] => Special::Nat64Local,
        [0x0100, 0, 0, 0, ..] => Special::DiscardOnly,
        [0x2001, 0, ..] => Special::Teredo,
        [0x2001, 2, 0, ..] => Special::Benchmarking,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Special::Documentation,
        [0x2001, 0..=0x01ff, ..] => Special::ProtocolAssignment,
        [0x2002, ..] => Special::SixToFour,
        [0x2000..=0x3fff, ..] => return None,
        [0xfc00..=0xfdff, ..] => Special::Private,
        [0xfe80..=0xfebf, ..] => Special::LinkLocal,
        [0xff00..=0xffff, ..] => Special::Multicast,
        _ => Special::Reserved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_iana_registries_are_named_at_both_edges() {
        let cases = [
            ("0.1.2.3", Some(Special::Unspecified)),
            ("9.255.255.255", None),
            ("10.0.0.0", Some(Special::Private)),
            ("10.255.255.255", Some(Special::Private)),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.64.0.0", Some(Special::Cgnat)),
            ("100.127.255.255", Some(Special::Cgnat)),
            ("100.128.0.0", None),
            ("127.0.0.1", Some(Special::Loopback)),
            ("169.254.1.1", Some(Special::LinkLocal)),
            ("172.15.255.255", None),
            ("172.16.0.0", Some(Special::Private)),
            ("172.31.255.255", Some(Special::Private)),
            ("172.32.0.0", None),
            ("192.0.0.170", Some(Special::ProtocolAssignment)),
            ("192.0.2.1", Some(Special::Documentation)),
            ("192.168.1.1", Some(Special::Private)),
            ("198.17.255.255", None),
            ("198.18.0.0", Some(Special::Benchmarking)),
            ("198.19.255.255", Some(Special::Benchmarking)),
            ("203.0.113.9", Some(Special::Documentation)),
            ("224.0.0.251", Some(Special::Multicast)),
            ("240.0.0.1", Some(Special::Reserved)),
            ("255.255.255.255", Some(Special::Broadcast)),
            ("::", Some(Special::Unspecified)),
            ("::1", Some(Special::Loopback)),
            ("::ffff:192.168.0.1", Some(Special::Private)),
            ("::ffff:52.81.151.250", None),
            ("64:ff9b::3451:97fa", Some(Special::Nat64)),
            ("64:ff9b:1::1", Some(Special::Nat64Local)),
            ("100::1", Some(Special::DiscardOnly)),
            ("2001::1", Some(Special::Teredo)),
            ("2001:2::1", Some(Special::Benchmarking)),
            ("2001:200::1", None),
            ("2001:db8::1", Some(Special::Documentation)),
            ("3fff:fff::1", Some(Special::Documentation)),
            ("2002:c000:204::1", Some(Special::SixToFour)),
            ("2620:123:2000::1", None),
            ("fd00::1", Some(Special::Private)),
            ("fe80::1", Some(Special::LinkLocal)),
            ("fec0::1", Some(Special::Reserved)),
            ("ff02::fb", Some(Special::Multicast)),
            ("4000::1", Some(Special::Reserved)),
        ];
        for (ip, expected) in cases {
            assert_eq!(special(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn carried_ipv4_address_is_the_one_looked_up() {
        let server: IpAddr = "52.81.151.250".parse().unwrap();
        assert_eq!(looked_up_as("64:ff9b::3451:97fa".parse().unwrap()), server);
        assert_eq!(looked_up_as("::ffff:52.81.151.250".parse().unwrap()), server);
        let other: IpAddr = "64:ff9b:1::3451:97fa".parse().unwrap();
        assert_eq!(looked_up_as(other), other);
    }
}
