//! The short Zoom meetings: every unit opens with the key, pictures decode, the key message is in the opened signalling.

use std::collections::{BTreeMap, BTreeSet};

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, KeyInit};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::Aead;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{committed, datagrams, key_of, read, run, tshark, u16_at, u32_at};
use crate::hex;

const PORT: u16 = 8801;
const SOUND: u8 = 15;
const PICTURE: u8 = 16;

/// A payload unit as it went over the wire.
struct Sealed {
    kind: u8,
    payload_type: u8,
    ssrc: u32,
    /// What the length field says, and what follows it.
    length: usize,
    body: Vec<u8>,
}

/// The complete units of a capture, with a data header of so many bytes; each source in the order of time.
fn units(name: &str, data_header: usize) -> Vec<Sealed> {
    let file = read(name);
    let mut out = Vec::new();
    let mut pictures: BTreeMap<(u32, u32), BTreeMap<u16, (u8, Vec<u8>)>> = BTreeMap::new();
    for datagram in datagrams(&file) {
        let payload = datagram.payload;
        let ours = datagram.src.1 == PORT || datagram.dst.1 == PORT;
        if !ours || payload[0] != 5 || !matches!(payload[data_header], SOUND | PICTURE) {
            continue;
        }
        let inner = &payload[data_header..];
        let rtp = &inner[usize::from(inner[6]) + if inner[0] == SOUND { 2 } else { 0 }..];
        assert_eq!((rtp[0], u16_at(rtp, 12)), (0x90, 0xbede), "RTP with an extension");
        let body = &rtp[16 + 4 * usize::from(u16_at(rtp, 14))..];
        let (ssrc, payload_type) = (u32_at(rtp, 8), rtp[1] & 0x7f);
        if inner[0] == SOUND {
            let length = usize::from(u16_at(body, 0));
            out.push(Sealed { kind: SOUND, payload_type, ssrc, length, body: body[2..].to_vec() });
        } else {
            assert_eq!(body[0], 0x1c, "FU-A");
            let parts = pictures.entry((ssrc, u32_at(rtp, 4))).or_default();
            parts.insert(u16_at(rtp, 2), (body[1], body[2..].to_vec()));
        }
    }
    for ((ssrc, _), parts) in pictures {
        let marks: Vec<u8> = parts.values().map(|(mark, _)| *mark).collect();
        let gapless =
            usize::from(parts.keys().max().unwrap() - parts.keys().min().unwrap()) + 1 == parts.len();
        if marks[0] != 0x80 || marks[marks.len() - 1] != 0x40 || !gapless {
            continue;
        }
        let data: Vec<u8> = parts.into_values().flat_map(|(_, data)| data).collect();
        let length = usize::try_from(u32_at(&data, 0)).unwrap();
        out.push(Sealed { kind: PICTURE, payload_type: 98, ssrc, length, body: data[4..].to_vec() });
    }
    out
}

/// Pictures of a source, in order, have to decode without an error.
fn decode(opened: &[(Sealed, Vec<u8>)], ssrc: u32, at_least: usize) {
    let mut stream = Vec::new();
    let pictures = opened.iter().filter(|(unit, _)| unit.kind == PICTURE && unit.ssrc == ssrc);
    for (_, plaintext) in pictures.clone() {
        assert!(matches!(plaintext[0] & 0x9f, 1 | 5 | 7), "NAL unit type of {:02x}", plaintext[0]);
        stream.extend([0, 0, 0, 1]);
        stream.extend(plaintext);
    }
    assert!(pictures.count() >= at_least);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pictures.h264");
    std::fs::write(&path, stream).unwrap();
    let arguments = ["-v", "error", "-f", "h264", "-i", path.to_str().unwrap(), "-f", "framecrc", "pipe:1"];
    let Some(out) = run("ffmpeg", &arguments) else { return };
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let frames = String::from_utf8_lossy(&out.stdout).lines().filter(|line| !line.starts_with('#')).count();
    assert!(frames >= at_least, "{frames} pictures");
}

fn open_ecb(unit: &Sealed, key: &[u8]) -> Vec<u8> {
    assert_eq!(unit.body.len(), (unit.length / 16 + 1) * 16, "padding always adds something");
    let cipher = Aes128::new_from_slice(key).unwrap();
    let mut plaintext = Vec::new();
    for block in unit.body.chunks(16) {
        let mut block = <[u8; 16]>::try_from(block).unwrap().into();
        cipher.decrypt_block(&mut block);
        plaintext.extend(block);
    }
    let padding = plaintext.split_off(unit.length);
    assert!(padding.iter().all(|byte| usize::from(*byte) == padding.len()), "PKCS #7");
    plaintext
}

#[test]
fn ecb_with_pkcs7_opens_and_full_units_end_in_one_block() {
    let key = key_of("zoom-ecb-pkcs7");
    let mut full_ends: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut opened = Vec::new();
    for unit in units("zoom-ecb-pkcs7", 1) {
        let plaintext = open_ecb(&unit, &key);
        if unit.length % 16 == 0 {
            *full_ends.entry(unit.body[unit.body.len() - 16..].to_vec()).or_default() += 1;
        }
        if unit.payload_type == 99 {
            assert_eq!(plaintext.len(), 9, "muted");
        }
        opened.push((unit, plaintext));
    }
    assert_eq!(full_ends.len(), 1, "a whole block of padding is the same wherever it stands");
    println!("{} units; {} end in the block of padding", opened.len(), full_ends.values().sum::<usize>());
    assert!(full_ends.values().sum::<usize>() > 50);
    let sources: BTreeSet<u32> = opened.iter().map(|(unit, _)| unit.ssrc).collect();
    assert_eq!(sources, BTreeSet::from([0x0100_0401, 0x0100_0402, 0x0100_0801, 0x0100_0802]));
    decode(&opened, 0x0100_0401, 285);
}

#[test]
fn gcm_opens_with_the_meeting_key_and_each_senders_nonce() {
    let meeting = key_of("zoom-gcm");
    let list = std::fs::read_to_string(committed("zoom-gcm", "nonces")).unwrap();
    let keys: BTreeMap<u32, [u8; 32]> = list
        .lines()
        .map(|line| {
            let (user, nonce) = line.split_once(' ').unwrap();
            let mut message = URL_SAFE_NO_PAD.decode(nonce).unwrap();
            message.push(2);
            (u32::from_str_radix(user, 16).unwrap(), crate::mac::hmac_sha256(&meeting, &message))
        })
        .collect();
    let (mut opened, mut nonces) = (Vec::new(), BTreeSet::new());
    for unit in units("zoom-gcm", 8) {
        let (head, sealed) = unit.body.split_at(14);
        assert_eq!((head[0], head[13]), (12, 0));
        assert_eq!(sealed.len(), unit.length + 16);
        let nonce: [u8; 12] = head[1..13].try_into().unwrap();
        assert!(nonces.insert((unit.ssrc & !0x3ff, nonce)), "no nonce twice under one key");
        let cipher = Aes256Gcm::new(&keys[&(unit.ssrc & !0x3ff)].into());
        let plaintext = cipher.decrypt(&nonce.into(), sealed).expect("the tag is right");
        opened.push((unit, plaintext));
    }
    println!("{} units", opened.len());
    assert!(opened.len() > 1400);
    decode(&opened, 0x0100_0401, 235);
}

/// The derivation of the stream key by another program.
#[test]
fn openssl_derives_the_same_stream_key() {
    let meeting = hex(&key_of("zoom-gcm"));
    let list = std::fs::read_to_string(committed("zoom-gcm", "nonces")).unwrap();
    let mut message =
        URL_SAFE_NO_PAD.decode(list.lines().next().unwrap().split_once(' ').unwrap().1).unwrap();
    message.push(2);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("message");
    std::fs::write(&path, &message).unwrap();
    let option = format!("hexkey:{meeting}");
    let arguments = ["mac", "-digest", "SHA256", "-macopt", &option, "-in", path.to_str().unwrap(), "HMAC"];
    let Some(out) = run("openssl", &arguments) else { return };
    let text = String::from_utf8_lossy(&out.stdout).trim().to_lowercase();
    assert_eq!(text, hex(&crate::mac::hmac_sha256(&key_of("zoom-gcm"), &message)));
}

#[test]
fn tshark_reads_the_key_in_opened_signalling_and_nowhere_else() {
    let key = URL_SAFE_NO_PAD.encode(key_of("zoom-gcm"));
    let arguments =
        ["-Y", "websocket", "-T", "fields", "-e", "ip.src", "-e", "data-text-lines", "-e", "text"];
    let Some(text) = tshark("zoom-gcm", &arguments) else { return };
    assert!(text.lines().count() >= 10, "WebSocket messages of two connections: {text}");
    for (name, key, server) in [
        ("zoom-gcm", key, "144.195.73.12"),
        ("zoom-ecb-pkcs7", hex(&key_of("zoom-ecb-pkcs7")), "3.235.82.199"),
    ] {
        let all = tshark(name, &["-Y", "tls.app_data", "-V"]).unwrap();
        let from = tshark(name, &["-Y", &format!("tls.app_data && ip.src == {server}"), "-V"]).unwrap();
        let holds = |text: &str| text.matches(&format!("\"encryptKey\":\"{key}\"")).count();
        assert!(holds(&from) > 0, "{name}: {server} delivers the key");
        assert_eq!(holds(&all), holds(&from), "{name}: and no one else");
    }
}
