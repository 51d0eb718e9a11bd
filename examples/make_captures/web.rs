//! Ordinary traffic: TLS 1.3 pages, one page over plain HTTP, clock synchronisation.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;

use crate::dns;
use crate::net::{MS, SEC, Tap, US, Wire};
use crate::rng::Rng;
use crate::tcp::{self, Path, Side, Turn};
use crate::tls::{Authority, Flavour, Said, Server};

/// Who surfs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) tap: Tap,
    pub(crate) address: Ipv4Addr,
    pub(crate) resolver: Ipv4Addr,
}

/// A page over TLS 1.3 with a body of `size` bytes.
pub(crate) fn secure_page(
    wire: &mut Wire,
    authority: &Authority,
    reader: Reader,
    at: u64,
    (name, address, size): (&str, Ipv4Addr, usize),
) -> Result<()> {
    let mut rng = Rng::named(&format!("page {name} {} {at}", reader.address));
    let at = dns::lookup(wire, reader.tap, at, reader.address, reader.resolver, (name, address));
    let server = Server {
        sni: name,
        common_name: name,
        organization: "Generated for a capture",
        flavour: Flavour::Tls13,
        alpn: Some("http/1.1"),
    };
    let said = [
        Said::new(Side::Client, 1, request(name)),
        Said::new(Side::Server, 14, response(size)),
        Said::new(Side::Client, 700 + rng.below(900), request(name)),
        Said::new(Side::Server, 9, response(size / 3)),
    ];
    let path = path(reader, SocketAddrV4::new(address, 443), &mut rng);
    tcp::play(wire, path, at + 2 * MS, &authority.session(&server, &said)?);
    Ok(())
}

/// A page over plain HTTP.
pub(crate) fn plain_page(wire: &mut Wire, reader: Reader, at: u64, place: (&str, Ipv4Addr)) {
    let mut rng = Rng::named(&format!("plain {} {}", place.0, reader.address));
    let at = dns::lookup(wire, reader.tap, at, reader.address, reader.resolver, place);
    let turns = [
        Turn { from: Side::Client, bytes: request(place.0), think: MS },
        Turn { from: Side::Server, bytes: response(3000), think: 7 * MS },
    ];
    let path = path(reader, SocketAddrV4::new(place.1, 80), &mut rng);
    tcp::play(wire, path, at + 2 * MS, &turns);
}

/// One exchange of NTP (RFC 5905): client mode 3, server mode 4.
pub(crate) fn clock_sync(wire: &mut Wire, reader: Reader, at: u64, server: Ipv4Addr) {
    let mut rng = Rng::named(&format!("ntp {server} {}", reader.address));
    let (client, server) = (SocketAddrV4::new(reader.address, rng.port()), SocketAddrV4::new(server, 123));
    let mut query = vec![0x23, 0, 6, 0xec];
    query.resize(40, 0);
    query.extend(ntp_time(at));
    wire.udp(reader.tap, at, client, server, &query);

    let answered = at + 21 * MS + rng.jitter_ns(600 * US);
    let mut reply = vec![0x24, 1, 6, 0xec, 0, 0, 0, 0, 0, 0, 0, 0x10, b'N', b'I', b'S', b'T'];
    reply.extend(ntp_time(at - 9 * SEC));
    reply.extend(&query[40..]);
    reply.extend(ntp_time(at + 10 * MS));
    reply.extend(ntp_time(at + 10 * MS + 30 * US));
    wire.udp(reader.tap, answered, server, client, &reply);
}

fn ntp_time(at: u64) -> [u8; 8] {
    let seconds = at / SEC + 2_208_988_800;
    let fraction = ((at % SEC) << 32) / SEC;
    (seconds << 32 | fraction).to_be_bytes()
}

fn path(reader: Reader, server: SocketAddrV4, rng: &mut Rng) -> Path {
    let client = SocketAddrV4::new(reader.address, rng.port());
    Path { tap: reader.tap, client, server, rtt: 15 * MS + rng.below(25 * MS) }
}

fn request(name: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {name}\r\nUser-Agent: make_captures\r\nAccept: */*\r\n\r\n").into_bytes()
}

fn response(size: usize) -> Vec<u8> {
    let mut body = String::from("<!doctype html><title>generated</title>\n");
    let mut line = 0;
    while body.len() < size {
        line += 1;
        writeln!(body, "<p>Line {line} of a page that nobody wrote.</p>").unwrap();
    }
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body.into_bytes()].concat()
}
