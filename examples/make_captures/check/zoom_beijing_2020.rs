//! The meeting of April 2020: every unit opens with the key, the pictures decode, the key message is there.

use std::collections::{BTreeMap, BTreeSet};

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, KeyInit};

use super::{committed, frames, key_of, read, run, u16_at, u32_at};

const NAME: &str = "zoom-beijing-2020";
const ROUTER_PORT: u16 = 8801;

/// A media packet on UDP 8801: direction, inner type, RTP.
struct Packet<'a> {
    client: &'a [u8],
    up: bool,
    kind: u8,
    rtp: &'a [u8],
}

impl<'a> Packet<'a> {
    fn read(frame: &'a [u8]) -> Option<Self> {
        if frame[23] != 17 {
            return None;
        }
        let (src, dst) = (u16_at(frame, 34), u16_at(frame, 36));
        let payload = &frame[42..34 + usize::from(u16_at(frame, 38))];
        let (up, client) = match (src, dst) {
            (_, ROUTER_PORT) => (true, &frame[26..30]),
            (ROUTER_PORT, _) => (false, &frame[30..34]),
            _ => return None,
        };
        if payload[0] != 5 || !matches!(payload[1], 15 | 16) {
            return None;
        }
        let inner = &payload[1..];
        let header = usize::from(inner[6]) + if inner[0] == 15 { 2 } else { 0 };
        Some(Self { client, up, kind: inner[0], rtp: &inner[header..] })
    }

    fn payload(&self) -> &'a [u8] {
        assert_eq!(self.rtp[0], 0x90, "RTP version 2 with an extension");
        assert_eq!(u16_at(self.rtp, 12), 0xbede);
        &self.rtp[16 + 4 * usize::from(u16_at(self.rtp, 14))..]
    }
}

struct Unit {
    video: bool,
    payload_type: u8,
    ssrc: u32,
    ciphertext: Vec<u8>,
    plaintext: Vec<u8>,
}

/// All complete units of one direction, decrypted. Panics where framing or padding is wrong.
fn units(file: &[u8], up: bool) -> Vec<Unit> {
    let mut out = Vec::new();
    let mut pictures: BTreeMap<(&[u8], u32, u32), BTreeMap<u16, Packet<'_>>> = BTreeMap::new();
    for packet in frames(file).into_iter().filter_map(Packet::read).filter(|packet| packet.up == up) {
        let (ssrc, stamp) = (u32_at(packet.rtp, 8), u32_at(packet.rtp, 4));
        if packet.kind == 15 {
            let body = packet.payload();
            out.push(unit(&packet, usize::from(u16_at(body, 0)), &body[2..]));
        } else {
            let sequence = u16_at(packet.rtp, 2);
            pictures.entry((packet.client, ssrc, stamp)).or_default().insert(sequence, packet);
        }
    }
    for parts in pictures.values() {
        let first = parts.values().next().unwrap();
        let bodies: Vec<&[u8]> = parts.values().map(Packet::payload).collect();
        let whole = bodies[0][1] == 0x80 && bodies[bodies.len() - 1][1] == 0x40;
        let sequences: Vec<u16> = parts.keys().copied().collect();
        let gapless = usize::from(sequences[sequences.len() - 1] - sequences[0]) + 1 == sequences.len();
        assert!(bodies.iter().all(|body| body[0] == 0x1c));
        if whole && gapless {
            let data: Vec<u8> = bodies.iter().flat_map(|body| body[2..].iter().copied()).collect();
            out.push(unit(first, usize::try_from(u32_at(&data, 0)).unwrap(), &data[4..]));
        }
    }
    out
}

fn unit(packet: &Packet<'_>, length: usize, ciphertext: &[u8]) -> Unit {
    assert_eq!(ciphertext.len(), length.next_multiple_of(16), "body is the length in whole blocks");
    let cipher = Aes128::new(&key().into());
    let mut plaintext = Vec::new();
    for block in ciphertext.chunks(16) {
        let mut block = <[u8; 16]>::try_from(block).unwrap().into();
        cipher.decrypt_block(&mut block);
        plaintext.extend(block);
    }
    assert!(plaintext[length..].iter().all(|byte| *byte == 0), "padding is zero");
    plaintext.truncate(length);
    Unit {
        video: packet.kind == 16,
        payload_type: packet.rtp[1] & 0x7f,
        ssrc: u32_at(packet.rtp, 8),
        ciphertext: ciphertext.to_vec(),
        plaintext,
    }
}

fn capture() -> Vec<u8> {
    read(NAME)
}

fn key() -> [u8; 16] {
    key_of(NAME).try_into().unwrap()
}

#[test]
fn every_unit_opens_with_the_key_both_on_its_way_up_and_down() {
    let file = capture();
    let (sent, received) = (units(&file, true), units(&file, false));
    let streams: BTreeSet<u32> = sent.iter().map(|unit| unit.ssrc).collect();
    assert_eq!(streams, BTreeSet::from([0x0100_0401, 0x0100_0402, 0x0100_0801, 0x0100_0802]));
    assert_eq!(sent.iter().filter(|unit| unit.video).count(), 1080);
    assert_eq!(sent.iter().filter(|unit| !unit.video).count(), 2252);
    assert!(received.len() > 3000 && received.len() < sent.len());

    for unit in sent.iter().chain(&received) {
        if unit.video {
            let header = unit.plaintext[0];
            assert_eq!(header & 0x80, 0, "forbidden_zero_bit");
            assert!(matches!(header & 0x1f, 1 | 5 | 7), "NAL unit type of {header:02x}");
        } else if unit.payload_type == 99 {
            assert_eq!(unit.plaintext.len(), 9);
        }
    }
}

#[test]
fn a_router_copy_keeps_its_ciphertext() {
    let file = capture();
    let sent: BTreeSet<Vec<u8>> = units(&file, true).into_iter().map(|unit| unit.ciphertext).collect();
    assert!(units(&file, false).iter().all(|unit| sent.contains(&unit.ciphertext)));
}

/// What an ECB test has to find, without the units that are the same from end to end.
#[test]
fn ciphertext_blocks_repeat_in_several_clusters() {
    let units = units(&capture(), true);
    let whole: BTreeSet<&[u8]> = units.iter().map(|unit| unit.ciphertext.as_slice()).collect();
    let mut clusters: BTreeMap<(bool, &[u8]), usize> = BTreeMap::new();
    for unit in &whole {
        for block in unit.chunks(16).collect::<BTreeSet<_>>() {
            *clusters.entry((unit.len() == 16, block)).or_default() += 1;
        }
    }
    let repeated: Vec<usize> = clusters.into_values().filter(|units| *units > 1).collect();
    let blocks: usize = units.iter().map(|unit| unit.ciphertext.len() / 16).sum();
    println!(
        "{blocks} blocks in {} units, {} different units; {} blocks in more than one, at most in {:?}",
        units.len(),
        whole.len(),
        repeated.len(),
        repeated.iter().max()
    );
    assert!(repeated.len() >= 3, "three independent clusters make an ECB verdict");
}

#[test]
fn the_decrypted_pictures_decode() {
    let file = capture();
    for ssrc in [0x0100_0401, 0x0100_0801] {
        let mut stream = Vec::new();
        for unit in units(&file, true).iter().filter(|unit| unit.ssrc == ssrc) {
            stream.extend([0, 0, 0, 1]);
            stream.extend(&unit.plaintext);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pictures.h264");
        std::fs::write(&path, stream).unwrap();
        let arguments =
            ["-v", "error", "-f", "h264", "-i", path.to_str().unwrap(), "-f", "framecrc", "pipe:1"];
        let Some(out) = run("ffmpeg", &arguments) else { return };
        assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        let pictures =
            String::from_utf8_lossy(&out.stdout).lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(pictures, 540);
    }
}

#[test]
fn tshark_reads_the_key_message() {
    let (file, log) = (committed(NAME, "pcapng"), committed(NAME, "keylog"));
    let log = format!("tls.keylog_file:{}", log.to_str().unwrap());
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key());
    for server in ["52.81.151.250", "3.235.82.199"] {
        let filter = format!("ip.src == {server} && tls.app_data");
        let arguments = ["-r", file.to_str().unwrap(), "-o", &log, "-Y", &filter, "-V"];
        let Some(out) = run("tshark", &arguments) else { return };
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(text.contains(&format!("\"encryptKey\":\"{key}\"")), "{server} delivers the key");
    }
}
