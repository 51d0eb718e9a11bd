//! The calls over SIP: keys are where they should be and open the sound of both sides.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::srtp::{Profile, Reader};
use super::{Datagram, datagrams, read, run, tshark, u32_at};

const PHONE: [u8; 4] = [128, 59, 62, 71];

/// The keys in the SDP of a capture as tshark reads it, the phone's first.
fn keys(name: &str) -> Option<Vec<Vec<u8>>> {
    let text = tshark(name, &["-Y", "sdp", "-T", "fields", "-E", "aggregator=\n", "-e", "sdp.media_attr"])?;
    let inline = text.lines().filter_map(|line| line.split_once("AES_CM_128_HMAC_SHA1_80 inline:"));
    Some(inline.map(|(_, key)| STANDARD.decode(key).unwrap()).collect())
}

fn is_media(datagram: &Datagram<'_>) -> bool {
    datagram.src.1 > 10_000 && datagram.dst.1 > 10_000
}

/// Opens a call in both directions and returns how many packets each had.
fn open_both_ways(name: &str, keys: &[Vec<u8>]) -> [usize; 2] {
    let file = read(name);
    let mut readers: Vec<Reader> =
        keys.iter().map(|key| Reader::new(Profile::CounterMode, &key[..16], &key[16..])).collect();
    let mut opened = [0; 2];
    for datagram in datagrams(&file).iter().filter(|datagram| is_media(datagram)) {
        let side = usize::from(datagram.src.0 != PHONE);
        if datagram.src.1 % 2 == 1 {
            let report = readers[side].rtcp(datagram.payload);
            assert_eq!((report[1], report[29]), (200, 202), "sender report and SDES");
            continue;
        }
        let packet = readers[side].rtp(datagram.payload);
        assert_eq!(packet.payload_type, 111);
        // Opus, 40 ms, wideband SILK, one frame: configuration 10, mono, code 0 (RFC 6716 section 3.1).
        assert_eq!(packet.payload[0], 10 << 3, "TOC of an Opus packet");
        opened[side] += 1;
    }
    opened
}

#[test]
fn the_keys_in_the_sdp_open_the_sound_of_both_sides() {
    for (name, in_tls) in [("sip-sdes", true), ("sip-sdes-clear", false)] {
        let Some(keys) = keys(name) else { return };
        assert_eq!(keys.iter().map(Vec::len).collect::<Vec<_>>(), [30, 30], "{name}");
        let opened = open_both_ways(name, &keys);
        assert!(opened.iter().all(|packets| *packets > 480), "{name}: {opened:?}");
        let inline = STANDARD.encode(&keys[0]);
        let readable = read(name).windows(inline.len()).any(|window| window == inline.as_bytes());
        assert_eq!(readable, !in_tls, "{name}: the key is in the clear only without TLS");
    }
}

#[test]
#[should_panic(expected = "SRTP tag")]
fn a_key_with_one_bit_flipped_opens_nothing() {
    let mut keys = keys("sip-sdes-clear").expect("SRTP tag: skipped, tshark is not installed");
    keys[0][3] ^= 0x10;
    open_both_ways("sip-sdes-clear", &keys);
}

#[test]
fn the_plain_calls_are_g711_and_opus() {
    let file = read("plain-rtp");
    let (mut samples, mut opus) = (Vec::new(), 0);
    for datagram in datagrams(&file).iter().filter(|datagram| is_media(datagram) && datagram.src.1 % 2 == 0) {
        let payload = &datagram.payload[12..];
        match datagram.payload[1] & 0x7f {
            0 if datagram.src.0 == PHONE => samples.extend(payload),
            0 => assert_eq!(payload.len(), 160),
            111 => {
                assert_eq!(payload[0], 10 << 3, "TOC of an Opus packet");
                opus += 1;
            }
            other => panic!("payload type {other}"),
        }
        assert_ne!(u32_at(datagram.payload, 8), 0);
    }
    assert!(opus > 550, "{opus} packets of Opus");
    assert_eq!(samples.len() % 160, 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sound.ul");
    std::fs::write(&path, &samples).unwrap();
    let arguments = ["-hide_banner", "-f", "mulaw", "-ar", "8000", "-i", path.to_str().unwrap(), "-af"];
    let Some(out) = run("ffmpeg", &[&arguments[..], &["volumedetect", "-f", "null", "-"]].concat()) else {
        return;
    };
    let text = String::from_utf8_lossy(&out.stderr);
    let mean = text.split("mean_volume: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let mean: f64 = mean.parse().unwrap();
    assert!((-30.0..-5.0).contains(&mean), "a voice, not noise at full scale: {mean} dB");
}

#[test]
fn tshark_counts_no_loss_beyond_what_was_dropped() {
    for (name, streams) in [("sip-sdes-clear", 2), ("plain-rtp", 4)] {
        let Some(text) = tshark(name, &["-q", "-z", "rtp,streams"]) else { return };
        let rows: Vec<&str> = text.lines().filter(|line| line.contains("0x")).collect();
        assert_eq!(rows.len(), streams, "{text}");
        for row in rows {
            let share = row.split('(').nth(1).and_then(|rest| rest.split('%').next()).unwrap();
            assert!(share.parse::<f64>().unwrap() < 2.0, "{row}");
        }
    }
}
