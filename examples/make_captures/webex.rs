//! A Webex-like call: names, TLS signalling with SDES keys, STUN checks on UDP 5004 and 9000, SRTP on both.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::media::Picture;
use crate::net::{MS, SEC, Tap, Wire};
use crate::rng::Rng;
use crate::srtp_call::{self, Leg};
use crate::stun::{self, Message};
use crate::tcp::{self, Path, Side};
use crate::tls::{Authority, Flavour, Said, Server};
use crate::{dns, net::US};

const SITE: (&str, Ipv4Addr) = ("example.webex.com", Ipv4Addr::new(66, 163, 36, 140));
const SIGNALLING: (&str, Ipv4Addr) = ("wdm-a.wbx2.com", Ipv4Addr::new(170, 72, 10, 20));
const MEDIA: Ipv4Addr = Ipv4Addr::new(170, 133, 131, 9);

/// Where the call is made from.
pub(crate) struct Caller {
    pub(crate) tap: Tap,
    pub(crate) address: Ipv4Addr,
    pub(crate) resolver: Ipv4Addr,
    pub(crate) start: u64,
    pub(crate) seconds: u64,
}

/// The whole call.
pub(crate) fn call(
    wire: &mut Wire,
    authority: &Authority,
    caller: &Caller,
    sounds: &[Vec<u8>],
    pictures: &[Picture],
) -> Result<()> {
    let mut rng = Rng::named("webex call");
    let (sent, received): ([u8; 30], [u8; 30]) = (rng.array(), rng.array());
    signal(wire, authority, caller, &mut rng, [&sent, &received])?;

    let media = caller.start + 2 * SEC;
    for (port, payload_type, delay) in [(5004, 101, 0), (9000, 102, 35 * MS)] {
        let client = SocketAddrV4::new(caller.address, rng.port());
        let server = SocketAddrV4::new(MEDIA, port);
        let mut at = media + delay;
        while at < media + caller.seconds * SEC {
            check(wire, caller.tap, at, (client, server), &mut rng);
            at += 5 * SEC;
        }
        let leg = Leg {
            tap: caller.tap,
            client,
            server,
            rtt: 31 * MS,
            payload_type,
            start: media + 200 * MS,
            end: media + caller.seconds * SEC,
            keys: [&sent, &received],
        };
        if port == 5004 {
            srtp_call::sound(wire, &leg, sounds, 1920);
        } else {
            srtp_call::pictures_down(wire, &leg, pictures);
        }
    }
    Ok(())
}

fn signal(
    wire: &mut Wire,
    authority: &Authority,
    caller: &Caller,
    rng: &mut Rng,
    [sent, received]: [&[u8; 30]; 2],
) -> Result<()> {
    let crypto =
        |key: &[u8; 30]| format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}", STANDARD.encode(key));
    let offer = format!(
        "POST /api/v1/locus/call HTTP/1.1\r\nHost: {}\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio 9 RTP/SAVP 101\r\n{}\r\n",
        SIGNALLING.0,
        crypto(sent)
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 {MEDIA}\r\nm=audio 5004 RTP/SAVP 101\r\n{0}\r\nm=video 9000 RTP/SAVP 102\r\n{0}\r\n",
        crypto(received)
    );
    let page = vec![b' '; 4000];
    let sessions = [
        (
            SITE,
            caller.start,
            vec![
                Said::new(Side::Client, 1, "GET /meet HTTP/1.1\r\nHost: example.webex.com\r\n\r\n"),
                Said::new(Side::Server, 22, page),
            ],
        ),
        (
            SIGNALLING,
            caller.start + 600 * MS,
            vec![
                Said::new(Side::Client, 2, offer),
                Said::new(Side::Server, 35, answer),
                Said::new(Side::Client, caller.seconds * 1000, "DELETE /api/v1/locus/call HTTP/1.1\r\n\r\n"),
                Said::new(Side::Server, 18, "HTTP/1.1 204 No Content\r\n\r\n"),
            ],
        ),
    ];
    for (place, at, said) in sessions {
        let name = place.0;
        let answered = dns::lookup(wire, caller.tap, at, caller.address, caller.resolver, place);
        let common_name = if name.ends_with("wbx2.com") { "*.wbx2.com" } else { "*.webex.com" };
        let server = Server {
            sni: name,
            common_name,
            organization: "Cisco Systems, Inc. (generated, not theirs)",
            flavour: Flavour::Tls12Aes256,
            alpn: Some("http/1.1"),
        };
        let path = Path {
            tap: caller.tap,
            client: SocketAddrV4::new(caller.address, rng.port()),
            server: SocketAddrV4::new(place.1, 443),
            rtt: 34 * MS,
        };
        tcp::play(wire, path, answered + 2 * MS, &authority.session(&server, &said)?);
    }
    Ok(())
}

/// An ICE check by the client and its answer.
fn check(wire: &mut Wire, tap: Tap, at: u64, (client, server): (SocketAddrV4, SocketAddrV4), rng: &mut Rng) {
    let transaction = rng.array();
    let password = b"generated-password-of-the-leg";
    let request = Message::new(stun::BINDING_REQUEST, &transaction)
        .attribute(stun::USERNAME, b"wbxm:cli7")
        .attribute(0x0024, &0x6e7f_1eff_u32.to_be_bytes())
        .attribute(0x802a, &rng.array::<8>())
        .integrity(password)
        .fingerprint();
    wire.udp(tap, at, client, server, &request);
    let response = Message::new(stun::BINDING_SUCCESS, &transaction)
        .xor_address(None, client)
        .integrity(password)
        .fingerprint();
    wire.udp(tap, at + 31 * MS + rng.jitter_ns(600 * US), server, client, &response);
}
