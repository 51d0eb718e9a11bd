//! Prefixes of providers, found by an address.

use std::net::{IpAddr, Ipv4Addr};

use hashbrown::HashMap;
use ipnet::IpNet;

use super::rules::Standing;

/// A prefix that holds an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct NetRule {
    pub(super) provider: u16,
    pub(super) net: IpNet,
    pub(super) dedicated: bool,
    pub(super) everything: bool,
    pub(super) standing: Standing,
}

/// The prefixes of all providers.
#[derive(Debug, Clone)]
pub struct Nets {
    rules: HashMap<IpNet, Vec<NetRule>>,
    /// Lengths of prefixes, the longest first: of IPv4 and of IPv6.
    lengths: [Vec<u8>; 2],
    /// By the first two bytes of an IPv4 address: whether any prefix is there.
    occupied: Vec<bool>,
}

impl Nets {
    pub(super) fn new() -> Self {
        Self { rules: HashMap::new(), lengths: [Vec::new(), Vec::new()], occupied: vec![false; 1 << 16] }
    }

    pub(super) fn add(&mut self, rule: NetRule) {
        if let IpNet::V4(net) = rule.net {
            let places = usize::from(first_two(net.network()))..=usize::from(first_two(net.broadcast()));
            self.occupied.get_mut(places).into_iter().flatten().for_each(|place| *place = true);
        }
        let [v4, v6] = &mut self.lengths;
        let lengths = if rule.net.addr().is_ipv4() { v4 } else { v6 };
        let length = rule.net.prefix_len();
        if let Err(place) = lengths.binary_search_by(|held| length.cmp(held)) {
            lengths.insert(place, length);
        }
        self.rules.entry(rule.net).or_default().push(rule);
    }

    /// Whether a prefix of any provider holds an address.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.of(address).next().is_some()
    }

    /// The prefixes that hold an address, longest first.
    pub(super) fn of(&self, address: IpAddr) -> impl Iterator<Item = NetRule> + '_ {
        let [v4, v6] = &self.lengths;
        let lengths: &[u8] = match address {
            IpAddr::V4(ip) if !self.occupied.get(usize::from(first_two(ip))).copied().unwrap_or(false) => &[],
            IpAddr::V4(_) => v4,
            IpAddr::V6(_) => v6,
        };
        let nets = lengths.iter().filter_map(move |length| IpNet::new(address, *length).ok());
        nets.flat_map(|net| self.rules.get(&net.trunc()).into_iter().flatten().copied())
    }
}

fn first_two(address: Ipv4Addr) -> u16 {
    let [first, second, ..] = address.octets();
    u16::from_be_bytes([first, second])
}
