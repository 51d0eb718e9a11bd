//! Where a network's own subnets are, as its administrator says.
//!
//! In: subnets with their country. Out: the country of an address, by the longest subnet that holds it. An administrator
//! knows what no database can: where addresses of private use are, and where an office's public ones are.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::geo::country::Country;

/// Subnets that are kept at most; more is no list of sites.
pub const MAX_SITES: usize = 1 << 16;

/// Subnets and the country that each is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sites {
    /// The longest prefix first; of one length, in the order of addresses.
    nets: Vec<(IpNet, Country)>,
}

impl Sites {
    /// No site at all.
    pub const fn new() -> Self {
        Self { nets: Vec::new() }
    }

    /// Adds a subnet. False where it was there before with another country, which then stays, or where there are
    /// [`MAX_SITES`] already.
    pub fn add(&mut self, net: IpNet, country: Country) -> bool {
        let net = net.trunc();
        let key = |net: &IpNet| (u8::MAX.saturating_sub(net.prefix_len()), net.network());
        match self.nets.binary_search_by_key(&key(&net), |(known, _)| key(known)) {
            Ok(place) => self.nets.get(place).is_some_and(|(_, known)| *known == country),
            Err(_) if self.nets.len() >= MAX_SITES => false,
            Err(place) => {
                self.nets.insert(place, (net, country));
                true
            }
        }
    }

    /// The country of the longest subnet that holds `address`; none where no subnet does. An IPv4 address inside of IPv6
    /// counts as the IPv4 address.
    pub fn country_of(&self, address: IpAddr) -> Option<Country> {
        let address = address.to_canonical();
        self.nets.iter().find(|(net, _)| net.contains(&address)).map(|(_, country)| *country)
    }

    /// True where there is none.
    pub const fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(list: &[(&str, &str)]) -> Sites {
        let mut sites = Sites::new();
        for (net, code) in list {
            assert!(sites.add(net.parse().unwrap(), Country::parse(code).unwrap()), "{net}");
        }
        sites
    }

    fn code(sites: &Sites, address: &str) -> Option<String> {
        sites.country_of(address.parse().unwrap()).map(|country| country.code().to_owned())
    }

    #[test]
    fn the_longest_subnet_decides_whatever_the_order() {
        let list =
            [("10.0.0.0/8", "US"), ("10.20.0.0/16", "CA"), ("10.20.30.40/32", "DE"), ("2001:db8::/32", "FR")];
        let mut back = list;
        back.reverse();
        for sites in [sites(&list), sites(&back)] {
            assert_eq!(code(&sites, "10.1.1.1").as_deref(), Some("US"));
            assert_eq!(code(&sites, "10.20.1.1").as_deref(), Some("CA"));
            assert_eq!(code(&sites, "10.20.30.40").as_deref(), Some("DE"));
            assert_eq!(code(&sites, "2001:db8:1::1").as_deref(), Some("FR"));
            assert_eq!(code(&sites, "::ffff:10.20.1.1").as_deref(), Some("CA"));
            assert_eq!(code(&sites, "192.0.2.1"), None);
            assert_eq!(code(&sites, "2001:db9::1"), None);
        }
    }

    #[test]
    fn one_subnet_has_one_country_and_host_bits_are_no_other_subnet() {
        let mut sites = sites(&[("192.168.1.77/24", "CA")]);
        assert!(sites.add("192.168.1.0/24".parse().unwrap(), Country::parse("CA").unwrap()));
        assert!(!sites.add("192.168.1.0/24".parse().unwrap(), Country::parse("US").unwrap()));
        assert_eq!(code(&sites, "192.168.1.5").as_deref(), Some("CA"));
    }
}
