//! Five-tuples: with a direction ([`FiveTuple`]) and without ([`Key`]).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Source, destination and IP protocol number of one packet, or of a flow's originator and responder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// Who sent it; for a flow, its originator.
    pub source: SocketAddr,
    /// Who receives it; for a flow, its responder.
    pub destination: SocketAddr,
    /// IP protocol number (6 TCP, 17 UDP).
    pub protocol: u8,
}

/// Which way a packet goes within its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a packet of a flow goes one way or the other")]
pub enum Direction {
    /// From the originator to the responder (to the server, in EVE's words).
    Forward,
    /// From the responder to the originator.
    Reverse,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn flipped(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }

    /// Index into a pair of counters: 0 forward, 1 reverse.
    pub const fn index(self) -> usize {
        match self {
            Self::Forward => 0,
            Self::Reverse => 1,
        }
    }
}

/// One end in 18 bytes; IPv4 stands in its IPv4-mapped form (RFC 4291 section 2.5.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    /// In the order of the wire: a `u128` would be aligned to 16 bytes.
    octets: [u8; 16],
    port: u16,
}

impl End {
    const fn new((address, port): (u128, u16)) -> Self {
        Self { octets: address.to_be_bytes(), port }
    }

    const fn address(self) -> u128 {
        u128::from_be_bytes(self.octets)
    }

    fn socket(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.octets).to_canonical(), self.port)
    }
}

/// An end as numbers: octets that are written one by one and read as words are waited for.
#[inline]
fn number_of(end: SocketAddr) -> (u128, u16) {
    let address = match end.ip() {
        IpAddr::V4(v4) => 0xffff << 32 | u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (address, end.port())
}

/// A five-tuple without direction: both ways of a conversation have the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    low: End,
    high: End,
    protocol: u8,
}

impl Key {
    /// The key of a packet, and whether its source is the lower end.
    #[inline]
    pub fn of(tuple: &FiveTuple) -> (Self, bool) {
        let (source, destination) = (number_of(tuple.source), number_of(tuple.destination));
        let source_is_low = source <= destination;
        let (low, high) = if source_is_low { (source, destination) } else { (destination, source) };
        (Self { low: End::new(low), high: End::new(high), protocol: tuple.protocol }, source_is_low)
    }

    /// The five-tuple whose source is the lower end, or the upper.
    pub fn tuple(&self, source_is_low: bool) -> FiveTuple {
        let (source, destination) = if source_is_low { (self.low, self.high) } else { (self.high, self.low) };
        FiveTuple { source: source.socket(), destination: destination.socket(), protocol: self.protocol }
    }

    /// A hash that is the same in every run and for both directions; it deals packets to partitions and
    /// nothing else (tables are seeded at random, because strangers choose five-tuples).
    #[inline]
    pub fn dealing_hash(&self) -> u64 {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = self.low.address() ^ self.high.address().rotate_left(64) ^ self.rest().rotate_left(32);
        let half = u128::from(u64::MAX);
        let folded = u64::try_from(mixed & half).unwrap_or(0) ^ u64::try_from(mixed >> 64).unwrap_or(0);
        let once = (folded ^ (folded >> 32)).wrapping_mul(MIX);
        (once ^ (once >> 29)).wrapping_mul(MIX) >> 32
    }

    /// The ports, that of the lower end first or last.
    pub(super) const fn ports(&self, low_is_first: bool) -> [u16; 2] {
        if low_is_first { [self.low.port, self.high.port] } else { [self.high.port, self.low.port] }
    }

    /// IP protocol number (6 TCP, 17 UDP).
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    fn rest(&self) -> u128 {
        let [a, b] = self.low.port.to_le_bytes();
        let [c, d] = self.high.port.to_le_bytes();
        u128::from_le_bytes([a, b, c, d, self.protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u128(self.low.address());
        state.write_u128(self.high.address());
        state.write_u128(self.rest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(source: &str, destination: &str) -> FiveTuple {
        FiveTuple { source: source.parse().unwrap(), destination: destination.parse().unwrap(), protocol: 17 }
    }

    #[test]
    fn both_directions_share_a_key_and_a_dealing_hash() {
        for (a, b) in [
            ("10.0.0.1:5000", "192.0.2.7:8801"),
            ("[2001:db8::1]:5000", "[2001:db8::2]:443"),
            ("10.0.0.1:5000", "10.0.0.1:5001"),
        ] {
            let (key, low) = Key::of(&tuple(a, b));
            let (back, back_low) = Key::of(&tuple(b, a));
            assert_eq!(key, back);
            assert_ne!(low, back_low);
            assert_eq!(key.dealing_hash(), back.dealing_hash());
            assert_eq!(key.tuple(low), tuple(a, b));
            assert_eq!(key.tuple(back_low), tuple(b, a));
        }
    }

    #[test]
    fn dealing_spreads_neighbouring_clients() {
        let mut partitions = [0_u32; 16];
        for host in 0..=255_u16 {
            for port in 0..16_u16 {
                let source = format!("10.0.0.{host}:{}", 40_000 + port);
                let (key, _) = Key::of(&tuple(&source, "192.0.2.7:443"));
                partitions[usize::try_from(key.dealing_hash() % 16).unwrap()] += 1;
            }
        }
        assert!(partitions.iter().all(|count| (192..=320).contains(count)), "{partitions:?}");
    }
}
