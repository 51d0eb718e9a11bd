//! Words that are made for every flow, without the general formatter, which takes several times as long.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use compact_str::{CompactString, ToCompactString as _};
use ipnet::IpNet;

use crate::bytes::hex_digits;
use crate::classify::Value;

/// Text that is put together in place: two addresses of version 4, a word, and room for the last number in all its digits.
struct Short {
    bytes: [u8; 48],
    length: usize,
}

impl Short {
    const fn new() -> Self {
        Self { bytes: [0; 48], length: 0 }
    }

    /// The first so many of these bytes. All are written: a fixed number of bytes is quicker than as many as count.
    fn put(&mut self, bytes: [u8; 4], counted: usize) {
        if let Some(place) = self.bytes.get_mut(self.length..).and_then(|rest| rest.first_chunk_mut()) {
            *place = bytes;
            self.length = self.length.saturating_add(counted);
        }
    }

    fn number(&mut self, octet: u8) {
        let digit = |value: u8| b'0'.saturating_add(value);
        let (hundreds, tens, ones) = (digit(octet / 100), digit(octet / 10 % 10), digit(octet % 10));
        match octet {
            0..=9 => self.put([ones, 0, 0, 0], 1),
            10..=99 => self.put([tens, ones, 0, 0], 2),
            100.. => self.put([hundreds, tens, ones, 0], 3),
        }
    }

    fn address(&mut self, address: Ipv4Addr) {
        let [first, rest @ ..] = address.octets();
        self.number(first);
        for octet in rest {
            self.put([b'.', 0, 0, 0], 1);
            self.number(octet);
        }
    }

    /// In the form of RFC 5952: the first of the longest rows of zeros is left out, and an address of version 4 inside keeps its form.
    fn address_6(&mut self, address: Ipv6Addr) {
        if let Some(inside) = address.to_ipv4_mapped() {
            self.put(*b"::ff", 4);
            self.put(*b"ff:\0", 3);
            self.address(inside);
            return;
        }
        let groups = address.segments();
        let zeros = longest_zeros(groups);
        let mut is_behind_number = false;
        for (at, group) in groups.into_iter().enumerate() {
            if at == zeros.start && !zeros.is_empty() {
                self.put(*b"::\0\0", 2);
                is_behind_number = false;
            }
            if zeros.contains(&at) {
                continue;
            }
            if is_behind_number {
                self.put([b':', 0, 0, 0], 1);
            }
            self.group(group);
            is_behind_number = true;
        }
    }

    /// Hexadecimal digits without leading zeros.
    fn group(&mut self, group: u16) {
        let [high, low] = group.to_be_bytes();
        let ([a, b], [c, d]) = (hex_digits(high), hex_digits(low));
        match group {
            0..=0xf => self.put([d, 0, 0, 0], 1),
            0x10..=0xff => self.put([c, d, 0, 0], 2),
            0x100..=0xfff => self.put([b, c, d, 0], 3),
            0x1000.. => self.put([a, b, c, d], 4),
        }
    }

    fn any_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.address(address),
            IpAddr::V6(address) => self.address_6(address),
        }
    }

    fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        self.bytes.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// The first of the longest rows of zeros, of two groups at least.
fn longest_zeros(groups: [u16; 8]) -> Range<usize> {
    let (mut longest, mut row) = (0..0, 0..0);
    for (at, group) in groups.into_iter().enumerate() {
        if group != 0 {
            continue;
        }
        let start = if row.end == at { row.start } else { at };
        row = start..at.saturating_add(1);
        if row.len() > longest.len().max(1) {
            longest = row.clone();
        }
    }
    longest
}

/// An address as it is written everywhere.
pub(super) fn address(address: IpAddr) -> CompactString {
    let mut short = Short::new();
    short.any_address(address);
    short.as_str().into()
}

/// An address and the name that it was learned by.
pub(super) fn answer(name: &str, address: IpAddr) -> CompactString {
    let mut short = Short::new();
    short.put([b' ', 0, 0, 0], 1);
    short.any_address(address);
    joined(name, short.as_str())
}

fn joined(first: &str, second: &str) -> CompactString {
    let mut text = CompactString::with_capacity(first.len().saturating_add(second.len()));
    text.push_str(first);
    text.push_str(second);
    text
}

/// What a registry calls a value, or the value.
pub(super) fn registered(name: Option<&'static str>, value: impl fmt::Display) -> CompactString {
    name.map_or_else(|| value.to_compact_string(), CompactString::const_new)
}

/// What evidence shows, as [`Value`] writes it.
pub(super) fn value(value: &Value) -> CompactString {
    match value {
        Value::Text(text) => CompactString::from(&**text),
        Value::Prefix { address: IpAddr::V4(address), net: IpNet::V4(net) } => {
            let mut short = Short::new();
            short.address(*address);
            short.put(*b" in ", 4);
            short.address(net.addr());
            short.put([b'/', 0, 0, 0], 1);
            short.number(net.prefix_len());
            short.as_str().into()
        }
        Value::Named { address, name } => {
            let mut short = Short::new();
            short.any_address(*address);
            short.put(*b" is ", 4);
            joined(short.as_str(), name)
        }
        Value::Number(number) => {
            let [high, low] = number.to_be_bytes();
            let ([a, b], [c, d]) = (hex_digits(high), hex_digits(low));
            let mut short = Short::new();
            short.put(*b"0x\0\0", 2);
            short.put([a, b, c, d], 4);
            short.as_str().into()
        }
        Value::Prefix { .. } | Value::Packets(_) => value.to_compact_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for octet in 0..=255_u8 {
            let v4 = IpAddr::from([octet, 255 - octet, octet / 2, octet.wrapping_mul(7)]);
            assert_eq!(address(v4), v4.to_string());
        }
        // Each row of zeros that there can be, with groups of each length, and one of zeros alone among them.
        for kept in 0..=255_u16 {
            for digits in [0x1_u16, 0x20, 0x300, 0x4000] {
                let group = |at: u16| if kept >> at & 1 == 1 { digits } else { 0 };
                let v6 = IpAddr::from([0, 1, 2, 3, 4, 5, 6, 7].map(group));
                assert_eq!(address(v6), v6.to_string());
            }
        }
        for odd in [
            "::ffff:203.0.113.255",
            "::ffff:0.0.0.0",
            "::ffff:0:0:0",
            "::1.2.3.4",
            "64:ff9b::1.2.3.4",
            "1:2::ffff:1.2.3.4",
        ] {
            let v6: IpAddr = odd.parse().unwrap();
            assert_eq!(address(v6), v6.to_string());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_address_is_written_as_the_standard_library_writes_it(bytes: [u8; 16], kept: u16) {
            let mut places = 0..16_u8;
            let v6 = IpAddr::from(bytes.map(|byte| if places.next().is_some_and(|at| kept >> at & 1 == 1) { byte } else { 0 }));
            proptest::prop_assert_eq!(address(v6).to_string(), v6.to_string());
        }
    }

    #[test]
    fn evidence_is_told_in_the_words_of_its_value() {
        let nets = [
            "0.0.0.0/0",
            "198.51.100.0/24",
            "203.0.113.255/32",
            "255.255.255.255/32",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1/128",
        ];
        for net in nets {
            let net: IpNet = net.parse().unwrap();
            let prefix = Value::Prefix { address: net.addr(), net };
            let named = Value::Named { address: net.addr(), name: "a-name-that-is-long.example.org".into() };
            let numbers = [Value::Number(0x4000), Value::Number(7), Value::Packets(12)];
            for shown in [prefix, named, Value::from("an offer"), Value::from("")].into_iter().chain(numbers)
            {
                assert_eq!(value(&shown), shown.to_string());
            }
        }
    }
}
