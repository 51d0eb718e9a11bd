//! Words that are made for every flow, without the general formatter, which takes several times as long.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use compact_str::{CompactString, ToCompactString as _};
use ipnet::IpNet;

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

    fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        self.bytes.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// An address as it is written everywhere.
pub(super) fn address(address: IpAddr) -> CompactString {
    let IpAddr::V4(v4) = address else { return address.to_compact_string() };
    let mut short = Short::new();
    short.address(v4);
    short.as_str().into()
}

/// An address and the name that it was learned by.
pub(super) fn answer(name: &str, address: IpAddr) -> CompactString {
    let address = self::address(address);
    let mut text = CompactString::with_capacity(name.len().saturating_add(address.len()).saturating_add(1));
    text.push_str(name);
    text.push(' ');
    text.push_str(&address);
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
            let mut text = self::address(*address);
            text.push_str(" is ");
            text.push_str(name);
            text
        }
        Value::Prefix { .. } | Value::Number(_) | Value::Packets(_) => value.to_compact_string(),
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
        let v6: IpAddr = "2001:db8::7:0:1".parse().unwrap();
        assert_eq!(address(v6), "2001:db8::7:0:1");
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
            for shown in [prefix, named, Value::from("0x4000"), Value::from("")].into_iter().chain(numbers) {
                assert_eq!(value(&shown), shown.to_string());
            }
        }
    }
}
