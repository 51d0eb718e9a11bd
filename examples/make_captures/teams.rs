//! A Teams-like call: names, TLS signalling with SDES keys, Microsoft's TURN dialect on UDP 3478, ICE checks
//! with its attributes, and SRTP with payload type 104 to a media processor.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dns;
use crate::net::{MS, SEC, US, Wire};
use crate::rng::Rng;
use crate::srtp_call::{self, Leg};
use crate::stun::{self, Message};
use crate::tcp::{self, Path, Side};
use crate::tls::{Authority, Flavour, Said, Server};
use crate::webex::Caller;

const FRONT: (&str, Ipv4Addr) = ("teams.microsoft.com", Ipv4Addr::new(52, 113, 194, 132));
const FLIGHT: (&str, Ipv4Addr) = ("api.flightproxy.teams.microsoft.com", Ipv4Addr::new(52, 114, 132, 46));
const RELAY: (&str, Ipv4Addr) = ("usea.tr.teams.microsoft.com", Ipv4Addr::new(52, 114, 128, 70));
const MEDIA: Ipv4Addr = Ipv4Addr::new(52, 112, 72, 18);
const RTT: u64 = 12 * MS;

const ALLOCATE: u16 = 0x0003;
const ALLOCATE_ERROR: u16 = 0x0113;
const ALLOCATE_SUCCESS: u16 = 0x0103;

/// The whole call.
pub(crate) fn call(
    wire: &mut Wire,
    authority: &Authority,
    caller: &Caller,
    sounds: &[Vec<u8>],
) -> Result<()> {
    let mut rng = Rng::named("teams call");
    let keys: [[u8; 30]; 2] = [rng.array(), rng.array()];
    signal(wire, authority, caller, &mut rng, &keys)?;

    let asked = caller.start + SEC;
    let ready = dns::lookup(wire, caller.tap, asked, caller.address, caller.resolver, RELAY);
    let client = SocketAddrV4::new(caller.address, 50016);
    allocate(wire, caller, ready + MS, client, &mut rng);

    let media = SocketAddrV4::new(MEDIA, 3479);
    let (start, end) = (caller.start + 2 * SEC, caller.start + (2 + caller.seconds) * SEC);
    let mut at = start;
    while at < end {
        check(wire, caller, at, (client, media), &mut rng);
        at += 3 * SEC;
    }
    let leg = Leg {
        tap: caller.tap,
        client,
        server: media,
        rtt: RTT,
        payload_type: 104,
        start: start + 150 * MS,
        end,
        keys: [&keys[0], &keys[1]],
    };
    srtp_call::sound(wire, &leg, sounds, 640);
    Ok(())
}

fn signal(
    wire: &mut Wire,
    authority: &Authority,
    caller: &Caller,
    rng: &mut Rng,
    keys: &[[u8; 30]; 2],
) -> Result<()> {
    let crypto =
        |key: &[u8; 30]| format!("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{}|2^31", STANDARD.encode(key));
    let offer =
        format!("POST /conv HTTP/1.1\r\n\r\nv=0\r\nm=audio 50016 RTP/SAVP 104\r\n{}\r\n", crypto(&keys[0]));
    let answer = format!(
        "HTTP/1.1 200 OK\r\n\r\nv=0\r\nc=IN IP4 {MEDIA}\r\nm=audio 3479 RTP/SAVP 104\r\n{}\r\n",
        crypto(&keys[1])
    );
    let sessions = [
        (
            FRONT,
            caller.start,
            "*.teams.microsoft.com",
            vec![
                Said::new(Side::Client, 1, "GET /_#/calendar HTTP/1.1\r\nHost: teams.microsoft.com\r\n\r\n"),
                Said::new(Side::Server, 15, vec![b'\n'; 5000]),
            ],
        ),
        (
            FLIGHT,
            caller.start + 400 * MS,
            "*.flightproxy.teams.microsoft.com",
            vec![
                Said::new(Side::Client, 3, offer),
                Said::new(Side::Server, 30, answer),
                Said::new(Side::Client, (caller.seconds + 2) * 1000, "DELETE /conv HTTP/1.1\r\n\r\n"),
                Said::new(Side::Server, 9, "HTTP/1.1 204 No Content\r\n\r\n"),
            ],
        ),
    ];
    for (place, at, common_name, said) in sessions {
        let answered = dns::lookup(wire, caller.tap, at, caller.address, caller.resolver, place);
        let server = Server {
            sni: place.0,
            common_name: if place == FRONT { FRONT.0 } else { common_name },
            organization: "Microsoft Corporation (generated, not theirs)",
            flavour: Flavour::Tls12Aes256,
            alpn: Some("http/1.1"),
        };
        let path = Path {
            tap: caller.tap,
            client: SocketAddrV4::new(caller.address, rng.port()),
            server: SocketAddrV4::new(place.1, 443),
            rtt: RTT,
        };
        tcp::play(wire, path, answered + 2 * MS, &authority.session(&server, &said)?);
    }
    Ok(())
}

/// Allocate without and then with credentials, as the dialect asks.
fn allocate(wire: &mut Wire, caller: &Caller, at: u64, client: SocketAddrV4, rng: &mut Rng) {
    let relay = SocketAddrV4::new(RELAY.1, 3478);
    let (first, second, nonce) = (rng.array(), rng.array(), rng.array::<20>());
    let session = rng.array::<8>();
    let request = |transaction: &[u8; 12]| {
        Message::new(ALLOCATE, transaction)
            .attribute(0x000f, &[0x72, 0xc6, 0x4b, 0xc6])
            .attribute(0x8008, &6_u32.to_be_bytes())
            .attribute(0x8006, &1_u32.to_be_bytes())
            .attribute(0x8055, &[0, 2, 0, 2])
    };
    wire.udp(caller.tap, at, client, relay, &request(&first).finish());
    let refused = Message::new(ALLOCATE_ERROR, &first)
        .attribute(0x000f, &[0x72, 0xc6, 0x4b, 0xc6])
        .attribute(0x8008, &6_u32.to_be_bytes())
        .attribute(0x0009, b"\x00\x00\x04\x01Credentials are needed")
        .attribute(0x0014, &nonce)
        .attribute(0x0015, b"\"rtcmedia\"")
        .attribute(0x8095, &session)
        .finish();
    let at = at + RTT + rng.jitter_ns(400 * US);
    wire.udp(caller.tap, at, relay, client, &refused);

    let proven = request(&second)
        .attribute(0x8095, &session)
        .attribute(0x0014, &nonce)
        .attribute(0x0015, b"\"rtcmedia\"")
        .attribute(0x0006, &rng.array::<56>())
        .attribute(0x0008, &rng.array::<32>())
        .finish();
    let at = at + 900 * US;
    wire.udp(caller.tap, at, client, relay, &proven);
    let granted = Message::new(ALLOCATE_SUCCESS, &second)
        .attribute(0x000f, &[0x72, 0xc6, 0x4b, 0xc6])
        .attribute(0x000d, &60_u32.to_be_bytes())
        .xor_address(Some(0x8020), client)
        .attribute(0x8050, &rng.array::<24>())
        .attribute(0x8022, b"2.0.1.211")
        .finish();
    wire.udp(caller.tap, at + RTT + rng.jitter_ns(400 * US), relay, client, &granted);
}

/// An ICE check with implementation version (0x8070) and candidate identifier (0x8054).
fn check(
    wire: &mut Wire,
    caller: &Caller,
    at: u64,
    (client, server): (SocketAddrV4, SocketAddrV4),
    rng: &mut Rng,
) {
    let transaction = rng.array();
    let password = b"generated-password-of-the-leg";
    let request = Message::new(stun::BINDING_REQUEST, &transaction)
        .attribute(stun::USERNAME, b"ms7Q:nY3k")
        .attribute(0x0024, &0x6eff_feff_u32.to_be_bytes())
        .attribute(0x802a, &[0, 0, 0x7f, 0x8a, 0x52, 0x86, 0x58, 0])
        .attribute(0x8054, &[0x31, 0, 0, 0])
        .attribute(0x8070, &3_u32.to_be_bytes())
        .integrity(password)
        .fingerprint();
    wire.udp(caller.tap, at, client, server, &request);
    let response = Message::new(stun::BINDING_SUCCESS, &transaction)
        .attribute(0x8070, &3_u32.to_be_bytes())
        .xor_address(None, client)
        .integrity(password)
        .fingerprint();
    wire.udp(caller.tap, at + RTT + rng.jitter_ns(400 * US), server, client, &response);
}
