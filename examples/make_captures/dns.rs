//! Plain DNS over UDP: one question for an address and its answer.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::net::{MS, Tap, US, Wire};
use crate::rng::Rng;

/// Asks `resolver` for the address of `name` and returns the time of the answer.
pub(crate) fn lookup(
    wire: &mut Wire,
    tap: Tap,
    at: u64,
    client: Ipv4Addr,
    resolver: Ipv4Addr,
    (name, address): (&str, Ipv4Addr),
) -> u64 {
    let mut rng = Rng::named(&format!("dns {client} {name} {at}"));
    let id = rng.u16();
    let src = SocketAddrV4::new(client, rng.port());
    let dst = SocketAddrV4::new(resolver, 53);

    let mut query = header(id, 0x0100, 0);
    question(&mut query, name, A);
    wire.udp(tap, at, src, dst, &query);

    let mut answer = header(id, 0x8180, 1);
    question(&mut answer, name, A);
    answer.extend([0xc0, 0x0c, 0, 1, 0, 1]);
    answer.extend((30 + rng.below(270) as u32).to_be_bytes());
    answer.extend([0, 4]);
    answer.extend(address.octets());
    let answered = at + 8 * MS + rng.jitter_ns(900 * US);
    wire.udp(tap, answered, dst, src, &answer);
    answered
}

/// Asks `resolver` for the name of `address`.
pub(crate) fn reverse(
    wire: &mut Wire,
    tap: Tap,
    at: u64,
    client: Ipv4Addr,
    resolver: Ipv4Addr,
    (address, name): (Ipv4Addr, &str),
) {
    let mut rng = Rng::named(&format!("reverse dns {client} {address} {at}"));
    let id = rng.u16();
    let (src, dst) = (SocketAddrV4::new(client, rng.port()), SocketAddrV4::new(resolver, 53));
    let [a, b, c, d] = address.octets();
    let asked = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
    let mut query = header(id, 0x0100, 0);
    question(&mut query, &asked, PTR);
    wire.udp(tap, at, src, dst, &query);
    let mut answer = header(id, 0x8180, 1);
    question(&mut answer, &asked, PTR);
    answer.extend([0xc0, 0x0c, 0, PTR, 0, 1]);
    answer.extend(300_u32.to_be_bytes());
    let target = labels(name);
    answer.extend(u16::try_from(target.len()).unwrap().to_be_bytes());
    answer.extend(target);
    wire.udp(tap, at + 8 * MS + rng.jitter_ns(900 * US), dst, src, &answer);
}

fn header(id: u16, flags: u16, answers: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [id, flags, 1, answers, 0, 0] {
        out.extend(field.to_be_bytes());
    }
    out
}

/// Record types.
const A: u8 = 1;
const PTR: u8 = 12;

fn question(out: &mut Vec<u8>, name: &str, kind: u8) {
    out.extend(labels(name));
    out.extend([0, kind, 0, 1]);
}

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
