//! The DTLS-SRTP call: tshark opens the handshakes with the key log, openssl exports the keys, and those open the media.

use std::collections::BTreeMap;

use super::srtp::{Opened, Profile, Reader};
use super::{committed, datagrams, read, run, tshark, unhex};
use crate::hex;

const NAME: &str = "dtls-srtp";
const SERVER: [u8; 4] = [188, 40, 44, 20];

/// What is known of a leg without reading the capture.
struct Leg {
    browser: [u8; 4],
    browser_is_client: bool,
    digest: &'static str,
    profile: Profile,
    key: usize,
    salt: usize,
}

const LEGS: [Leg; 2] = [
    Leg {
        browser: [128, 59, 62, 80],
        browser_is_client: true,
        digest: "SHA256",
        profile: Profile::CounterMode,
        key: 16,
        salt: 14,
    },
    Leg {
        browser: [128, 59, 62, 81],
        browser_is_client: false,
        digest: "SHA384",
        profile: Profile::Gcm,
        key: 16,
        salt: 12,
    },
];

/// tshark with the DTLS lines of the key log alone: where it opens the SDP of the signalling too, it sets up conversations
/// for the announced sockets and loses the DTLS session that is under way.
fn tshark_of_dtls(arguments: &[&str]) -> Option<String> {
    let lines = std::fs::read_to_string(committed(NAME, "keylog")).unwrap();
    let lines: String =
        lines.split_inclusive('\n').filter(|line| line.starts_with("CLIENT_RANDOM")).collect();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("keylog");
    std::fs::write(&log, lines).unwrap();
    let (file, log) = (committed(NAME, "pcapng"), format!("tls.keylog_file:{}", log.to_str().unwrap()));
    let all = [&["-r", file.to_str().unwrap(), "-o", &log][..], arguments].concat();
    Some(String::from_utf8_lossy(&run("tshark", &all)?.stdout).into_owned())
}

/// Client and server random of the handshake of a leg, the latter from the `ServerHello`.
fn randoms(leg: &Leg) -> Option<[String; 2]> {
    let [a, b, c, d] = leg.browser;
    let random = |kind: u8| {
        let filter = format!("dtls.handshake.type == {kind} && ip.addr == {a}.{b}.{c}.{d}");
        let fields = ["-Y", &filter, "-T", "fields", "-e", "dtls.handshake.random"];
        Some(tshark(NAME, &fields)?.lines().last().unwrap().replace(':', ""))
    };
    Some([random(1)?, random(2)?])
}

/// The exporter of RFC 5705 by openssl; key and salt of DTLS client and server (RFC 5764 §4.2).
fn export(leg: &Leg) -> Option<[(Vec<u8>, Vec<u8>); 2]> {
    let [client, server] = randoms(leg)?;
    let log = std::fs::read_to_string(committed(NAME, "keylog")).unwrap();
    let line = log.lines().find(|line| line.starts_with(&format!("CLIENT_RANDOM {client} "))).unwrap();
    let master = line.rsplit(' ').next().unwrap();
    let length = (2 * (leg.key + leg.salt)).to_string();
    let options = [
        format!("digest:{}", leg.digest),
        format!("hexsecret:{master}"),
        format!("hexseed:{}{client}{server}", hex(b"EXTRACTOR-dtls_srtp")),
    ];
    let mut arguments = vec!["kdf", "-keylen", &length];
    options.iter().for_each(|option| arguments.extend(["-kdfopt", option]));
    arguments.push("TLS1-PRF");
    let out = run("openssl", &arguments)?;
    let bytes = unhex(&String::from_utf8_lossy(&out.stdout).trim().replace(':', ""));
    assert_eq!(bytes.len(), 2 * (leg.key + leg.salt), "{}", String::from_utf8_lossy(&out.stderr));
    let salts = &bytes[2 * leg.key..];
    Some([0, 1].map(|side| {
        (bytes[side * leg.key..][..leg.key].to_vec(), salts[side * leg.salt..][..leg.salt].to_vec())
    }))
}

#[test]
fn tshark_opens_both_ends_of_both_handshakes() {
    let fields = ["-Y", "dtls.handshake.type == 20", "-T", "fields", "-e", "ip.src"];
    let Some(text) = tshark_of_dtls(&fields) else { return };
    let mut sources: Vec<&str> = text.lines().collect();
    sources.sort_unstable();
    assert_eq!(sources, ["128.59.62.80", "128.59.62.81", "188.40.44.20", "188.40.44.20"], "Finished");
    let alerts = tshark_of_dtls(&["-Y", "dtls.alert_message.desc == 0"]).unwrap();
    assert_eq!(alerts.lines().count(), 4, "close_notify");
}

#[test]
fn the_exported_keys_open_all_media() {
    let file = read(NAME);
    // The same sound, in the order of its packets, by who hears it: what Alice says and Bob hears has to be one thing.
    let mut heard: BTreeMap<(u32, u8), BTreeMap<u16, Vec<u8>>> = BTreeMap::new();
    for (position, leg) in LEGS.iter().enumerate() {
        let Some(keys) = export(leg) else { return };
        let mut readers = keys.map(|(key, salt)| Reader::new(leg.profile, &key, &salt));
        let (mut media, mut reports) = ([0; 2], 0);
        for datagram in datagrams(&file) {
            let up = datagram.src.0 == leg.browser && datagram.dst.0 == SERVER;
            let down = datagram.src.0 == SERVER && datagram.dst.0 == leg.browser;
            let is_rtp = matches!(datagram.payload[0], 0x80..=0xbf);
            if !is_rtp || !(up || down) {
                continue;
            }
            let reader = &mut readers[usize::from(up != leg.browser_is_client)];
            if matches!(datagram.payload[1], 200..=207) {
                assert_eq!(reader.rtcp(datagram.payload)[29], 202);
                reports += 1;
                continue;
            }
            let Opened { ssrc, sequence, payload, payload_type, .. } = reader.rtp(datagram.payload);
            media[usize::from(down)] += 1;
            let place = u8::from(up) + 2 * position as u8;
            let before = heard.entry((ssrc, place)).or_default().insert(sequence, payload);
            assert!(before.is_none() && matches!(payload_type, 102 | 111));
        }
        assert!(media.iter().all(|packets| *packets > 350) && reports > 15, "{media:?} {reports}");
    }
    let mut passed_on = 0;
    for ((ssrc, place), packets) in &heard {
        for ((_, other), others) in heard.range((*ssrc, place + 1)..(*ssrc, u8::MAX)) {
            let same = packets.iter().filter(|(sequence, _)| others.contains_key(sequence));
            assert!(same.clone().count() > 100, "{ssrc:08x} {place} {other}");
            for (sequence, payload) in same {
                let theirs = &others[sequence];
                assert_eq!((payload.len(), payload == theirs), (theirs.len(), true), "{ssrc:08x} {sequence}");
                passed_on += 1;
            }
        }
    }
    println!("{passed_on} packets passed on");
    assert!(passed_on > 700);
}

#[test]
fn the_opened_signalling_holds_fingerprints_and_no_key() {
    let Some(text) = tshark(NAME, &["-Y", "http2", "-V"]) else { return };
    assert!(text.contains("fingerprint:sha-256") && text.contains("setup:active"));
    assert!(!text.contains("a=crypto") && !text.contains("inline:"));
    for leg in &LEGS {
        let Some(keys) = export(leg) else { return };
        for (key, _) in keys {
            let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &key);
            assert!(!text.to_lowercase().contains(&hex(&key)) && !text.contains(&base64));
        }
    }
}
