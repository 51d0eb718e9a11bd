//! Calls over SIP: SDES over TLS, SDES for all to read, and no encryption at all.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;

use super::Capture;
use crate::net::{MS, SEC, Tap, US, Wire};
use crate::rng::Rng;
use crate::sip::{self, Call, Codec, Message, Phone};
use crate::site::{Host, Site};
use crate::srtp::Guard;
use crate::stream::Stream;
use crate::tcp::Side;
use crate::tls::{Authority, Flavour, Said, Server};
use crate::{media, pcapng};

/// 14 October 2024, 09:00:00 UTC.
const EPOCH: u64 = 1_728_896_400;
const START: u64 = EPOCH * SEC;
const OFFICE: Tap = Tap { interface: 0, inside: [128, 59] };
const PHONE: Ipv4Addr = Ipv4Addr::new(128, 59, 62, 71);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);
const PROXY: Ipv4Addr = Ipv4Addr::new(188, 40, 44, 5);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(188, 40, 44, 6);
const DOMAIN: &str = "sip.example.net";
const INTERFACES: [(&str, &str); 1] = [("tap-office", "access link of an office (128.59.0.0/16)")];
/// How long the parties talk.
const TALK_MS: u64 = 20_000;

const VOICES: [&str; 2] = [
    "aevalsrc='(0.35*sin(2*PI*(150+25*sin(2*PI*0.6*t))*t)+0.12*sin(2*PI*950*t))*gt(sin(2*PI*0.5*t),-0.3)+0.01*(random(0)-0.5)'",
    "aevalsrc='(0.35*sin(2*PI*(215+30*sin(2*PI*0.8*t))*t)+0.1*sin(2*PI*1250*t))*gt(sin(2*PI*0.35*t+2),-0.2)+0.012*(random(1)-0.5)'",
];

/// SDES inside TLS: the proxy could hold the keys, nobody beside it.
pub(crate) fn sdes() -> Result<Capture> {
    let authority = Authority::new("sip-sdes", EPOCH)?;
    let mut wire = Wire::default();
    let keys: [[u8; 30]; 2] = keys("sip-sdes");
    let phone = phone(5061, "TLS");
    let call = call(sip::OPUS, 40_100, Some(keys));
    let messages: Vec<Message> = [sip::register(&phone), sip::call(&phone, &call)].concat();

    let proxy = Site {
        tls: Server {
            sni: DOMAIN,
            common_name: DOMAIN,
            organization: "Example Telephony (generated)",
            flavour: Flavour::Tls12ChaCha20,
            alpn: None,
        },
        address: PROXY,
        port: 5061,
        rtt_ms: sip::RTT_MS,
    };
    let host = Host { tap: OFFICE, address: PHONE, resolver: RESOLVER };
    let said: Vec<Said> =
        messages.iter().map(|(from, think, text)| Said::new(*from, *think, text.as_bytes())).collect();
    let began = proxy.talk(&mut wire, &authority, host, START + SEC, &said)?;
    let answered = answered(&messages, began, sip::RTT_MS);
    talk(&mut wire, OFFICE, &call, answered)?;

    let comment = comment("A call over SIP and TLS whose SRTP keys were agreed in its SDP (SDES)")?;
    Ok(Capture {
        pcapng: pcapng::write(&comment, &INTERFACES, &wire.finish()),
        companions: vec![("keylog", authority.key_log())],
    })
}

/// The same over UDP: the keys are there for everybody on the way.
pub(crate) fn sdes_clear() -> Result<Capture> {
    let mut wire = Wire::default();
    let phone = phone(5060, "UDP");
    let call = call(sip::OPUS, 40_200, Some(keys("sip-sdes-clear")));
    let messages: Vec<Message> = [sip::register(&phone), sip::call(&phone, &call)].concat();
    let answered = signal(&mut wire, &phone, START + SEC, &messages);
    talk(&mut wire, OFFICE, &call, answered)?;
    let comment = comment("A call over SIP and UDP whose SRTP keys stand in its SDP for all to read")?;
    Ok(Capture { pcapng: pcapng::write(&comment, &INTERFACES, &wire.finish()), companions: Vec::new() })
}

/// G.711 and then Opus, both as plain RTP.
pub(crate) fn plain() -> Result<Capture> {
    let mut wire = Wire::default();
    let phone = phone(5060, "UDP");
    let first = Call { talk_ms: 9_000, ..call(sip::PCMU, 40_300, None) };
    let messages: Vec<Message> = [sip::register(&phone), sip::call(&phone, &first)].concat();
    let answered = signal(&mut wire, &phone, START + SEC, &messages);
    talk(&mut wire, OFFICE, &first, answered)?;
    let second = Call { callee: "3003", talk_ms: 12_000, ..call(sip::OPUS, 40_400, None) };
    let answered = signal(&mut wire, &phone, START + 16 * SEC, &sip::call(&phone, &second));
    talk(&mut wire, OFFICE, &second, answered)?;
    let comment = comment("Two calls over SIP and UDP with plain RTP, first G.711, then Opus")?;
    Ok(Capture { pcapng: pcapng::write(&comment, &INTERFACES, &wire.finish()), companions: Vec::new() })
}

fn phone(port: u16, transport: &'static str) -> Phone<'static> {
    // Behind TLS the Contact names the port that the phone would listen on.
    let address = SocketAddrV4::new(PHONE, port);
    Phone { user: "2001", domain: DOMAIN, address, proxy: SocketAddrV4::new(PROXY, port), transport }
}

fn call(codec: Codec, port: u16, keys: Option<[[u8; 30]; 2]>) -> Call<'static> {
    let media = [SocketAddrV4::new(PHONE, port), SocketAddrV4::new(GATEWAY, port - 22_000)];
    Call { callee: "2002", codec, media, keys, talk_ms: TALK_MS }
}

fn keys(label: &str) -> [[u8; 30]; 2] {
    let mut rng = Rng::named(&format!("{label} keys"));
    [rng.array(), rng.array()]
}

/// Sends the messages over UDP; returns when the answer to the INVITE was seen.
fn signal(wire: &mut Wire, phone: &Phone<'_>, start: u64, messages: &[Message]) -> u64 {
    let seen = sip::play(wire, OFFICE, phone, start, messages);
    seen[position_of_answer(messages)]
}

/// Over TLS the time of the answer is what the pauses and the round trips before it add up to.
pub(super) fn answered(messages: &[Message], began: u64, rtt_ms: u64) -> u64 {
    let until = &messages[..=position_of_answer(messages)];
    let pauses: u64 = until.iter().map(|(_, think, _)| think).sum();
    let asked = until.iter().filter(|(from, _, _)| *from == Side::Client).count() as u64;
    // One round trip for TCP and two for TLS come first.
    began + (pauses + (asked + 3) * rtt_ms + 40) * MS
}

pub(super) fn position_of_answer(messages: &[Message]) -> usize {
    messages
        .iter()
        .rposition(|(_, _, text)| text.starts_with("SIP/2.0 200") && text.contains("m=audio"))
        .unwrap()
}

/// Sound both ways. The callee's sequence numbers wrap after four seconds.
pub(super) fn talk(wire: &mut Wire, tap: Tap, call: &Call<'_>, answered: u64) -> Result<()> {
    let mut rng = Rng::named(&format!("talk {}", call.media[0]));
    let first_sequences = [rng.u16() >> 1, 65_535 - 100];
    for (side, voice) in VOICES.into_iter().enumerate() {
        let guard = call.keys.as_ref().map_or(Guard::None, |keys| Guard::counter_mode(&keys[side]));
        let stream = Stream {
            tap,
            from: call.media[side],
            to: call.media[1 - side],
            start: answered + 40 * MS + side as u64 * 15 * MS,
            end: answered + call.talk_ms * MS - 200 * MS,
            jitter: if side == 0 { 150 * US } else { 1_200 * US },
            lost_one_in: (side == 1).then_some(300),
            ssrc: rng.u32(),
            payload_type: call.codec.payload_type,
            first_sequence: first_sequences[side],
            guard: &guard,
            rtcp_apart: true,
            levels: false,
            wrap: None,
        };
        let seconds = call.talk_ms / 1_000;
        if call.codec.payload_type == sip::PCMU.payload_type {
            stream.g711(wire, &media::g711(voice, seconds)?);
        } else {
            stream.opus(wire, &media::audio(voice, seconds, 14)?);
        }
    }
    Ok(())
}

fn comment(what: &str) -> Result<String> {
    let encoder = media::encoder_version()?;
    Ok(format!(
        "GENERATED by meetscope examples/make_captures ({encoder}), not recorded. {what}. Endpoints, names and keys are \
         invented; see captures/README.md."
    ))
}
