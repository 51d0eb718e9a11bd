//! Keys on media: a capture whose key is known, units that OpenSSL sealed and packets that libsrtp sealed
//! (`tests/vectors/sealed/make.py`).

use std::path::PathBuf;

use super::*;
use crate::capture::{Merge, Order};
use crate::classify;
use crate::crypto::hex;
use crate::observe::facts::{Sample, Sampling, SealedUnit, UnitShape, Wrapping};
use crate::observe::{PacketRef, Summary};
use crate::pipeline::{Config, Pipeline};
use crate::proto::zoom::{LengthField, Shape, parse_unit};

fn here(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn flows(name: &str, sampling: Sampling) -> Vec<Summary> {
    let rules = classify::embedded().unwrap();
    let config = Config { sampling, ..Config::default() };
    let mut pipeline = Pipeline::new(&config, &rules);
    let mut merge = Merge::open(vec![here(name)], Order::Time);
    let mut frame = 0;
    while let Some((_, packet)) = merge.next() {
        frame += 1;
        pipeline.packet(0, frame, &packet).unwrap();
    }
    pipeline.finish().flows
}

fn beijing_key() -> Vec<u8> {
    hex(&std::fs::read_to_string(here("captures/zoom-beijing-2020.key")).unwrap())
}

#[test]
fn the_key_of_the_capture_opens_every_unit_of_its_meeting_and_nothing_else() {
    let flows = flows("captures/zoom-beijing-2020.pcapng", Sampling::MOST);
    let answer = verify(&flows, &Material::new(vec![Key::new(&beijing_key(), "hex")]));
    let hits: Vec<_> = answer.hits().collect();
    assert_eq!(hits.len(), 8, "four streams, each seen on both links");
    assert!(hits.iter().all(|(stream, hit)| {
        stream.wrapping == Wrapping::Zoom
            && hit.cipher == "AES-128-ECB, zero padding"
            && hit.opened == hit.of
            && hit.log10_bound < -1000.0
    }));
    // captures/README.md: 3332 units on their way up, 1080 pictures and 2252 of sound.
    let up = hits.iter().filter(|(stream, _)| stream.destination.port() == 8801);
    let (units, tried) =
        up.fold((0, 0), |(units, tried), (stream, hit)| (units + stream.units, tried + hit.of + hit.silent));
    assert_eq!((units, tried), (3332, 3332));
    assert!(answer.streams.iter().all(|stream| stream.left_out == 0));
}

#[test]
fn no_key_that_differs_in_one_bit_opens_it() {
    let flows = flows("captures/zoom-beijing-2020.pcapng", Sampling::SOME);
    let streams: Vec<&Samples> = flows
        .iter()
        .filter_map(|flow| flow.facts.as_ref()?.media.as_ref())
        .flat_map(|media| &media.streams)
        .filter(|stream| stream.wrapping == Wrapping::Zoom)
        .filter_map(|stream| stream.samples.as_deref())
        .collect();
    assert_eq!(streams.len(), 8);
    let effort = Effort { units: 96, ..Effort::QUICK };
    let opens = |key: &[u8]| {
        let keys = [Key::new(key, "hex")];
        streams.iter().any(|samples| try_stream(samples, &keys, &[], &[], &effort).0.is_some())
    };
    assert!(opens(&beijing_key()));
    for bit in 0..128 {
        let mut key = beijing_key();
        key[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&key), "bit {bit}");
    }
}

/// Units, keys and nonces of `tests/vectors/sealed/zoom_units.txt`, by name.
fn units(name: &str) -> (Samples, Vec<u8>, Vec<u8>) {
    let text = std::fs::read_to_string(here("tests/vectors/sealed/zoom_units.txt")).unwrap();
    let (mut samples, mut key, mut nonce) = (Samples::default(), Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] != name {
            continue;
        }
        (key, nonce) = (hex(words[1]), hex(words[2]));
        let length: u16 = words[3].parse().unwrap();
        let bytes = [&length.to_be_bytes()[..], &hex(words[4])].concat();
        let unit = parse_unit(&bytes, LengthField::U16).unwrap();
        let shape = match unit.shape {
            Shape::Blocks => UnitShape::Blocks,
            Shape::Aead { nonce, tag } => UnitShape::Aead { nonce, tag: *tag },
            Shape::Other => UnitShape::Other,
        };
        let ciphertext = unit.ciphertext.into();
        samples.units.push(SealedUnit {
            length: unit.length,
            shape,
            ciphertext,
            packet: PacketRef::default(),
        });
    }
    assert_eq!(samples.units.len(), 24, "{name}");
    (samples, key, nonce)
}

fn cipher_of(samples: &Samples, key: &[u8], nonces: &[&[u8]]) -> Option<String> {
    let keys = [Key::new(key, "hex")];
    try_stream(samples, &keys, nonces, &[], &Effort::THOROUGH).0.map(|hit| hit.cipher)
}

#[test]
fn every_mode_and_key_size_is_found_and_named() {
    for bits in [128, 192, 256] {
        let cases = [
            (format!("ecb-{bits}-zero"), format!("AES-{bits}-ECB, zero padding")),
            (format!("ecb-{bits}-pkcs7"), format!("AES-{bits}-ECB, PKCS #7 padding")),
            (format!("cbc-{bits}-zero"), format!("AES-{bits}-CBC, zero padding")),
            (format!("cbc-{bits}-pkcs7"), format!("AES-{bits}-CBC, PKCS #7 padding")),
            (format!("gcm-{bits}"), format!("AES-{bits}-GCM")),
            (format!("ctr-{bits}"), format!("AES-{bits}-CTR, nonce of the unit, counter from 0")),
        ];
        for (name, words) in cases {
            let (samples, mut key, _) = units(&name);
            assert_eq!(cipher_of(&samples, &key, &[]), Some(words), "{name}");
            key[3] ^= 0x10;
            assert_eq!(cipher_of(&samples, &key, &[]), None, "{name} with a flipped bit");
        }
    }
}

#[test]
fn a_meeting_key_opens_with_the_nonce_of_its_sender_alone() {
    let (samples, key, nonce) = units("meeting");
    let words = "AES-256-GCM, with the stream key of this meeting key and the nonce";
    assert_eq!(cipher_of(&samples, &key, &[b"somebody else", &nonce]).as_deref(), Some(words));
    assert_eq!(cipher_of(&samples, &key, &[]), None);
    assert_eq!(cipher_of(&samples, &key, &[b"somebody else"]), None);
    let keys = [Key::new(&key, "hex")];
    let (hit, _) = try_stream(&samples, &keys, &[b"somebody else", &nonce], &[], &Effort::THOROUGH);
    assert_eq!(hit.unwrap().nonce, Some(1));
}

/// 256 keys with 64 nonces on 32 streams are 12.8 million units whose tag is checked: the work ends before, and says where.
#[test]
fn work_on_many_keys_ends_and_the_keys_that_it_leaves_are_counted() {
    let (samples, key, nonce) = units("meeting");
    let others: Vec<[u8; 8]> = (0..63_u64).map(u64::to_be_bytes).collect();
    let nonces: Vec<&[u8]> =
        others.iter().map(<[u8; 8]>::as_slice).chain(std::iter::once(nonce.as_slice())).collect();
    let wrong = (0..255_u8).map(|place| Key::new(&[place ^ 0x5a; 32], "hex"));
    let streams = [&samples; 32];
    let try_on = |keys: &[Key], nonces: &[&[u8]], streams: &[&Samples]| {
        let (tried, keys) = try_streams(streams, keys, nonces, &[], &Effort::QUICK, 1 << 21);
        (tried.iter().filter(|one| one.hit.is_some()).count(), keys)
    };
    let keys: Vec<Key> = wrong.clone().chain(std::iter::once(Key::new(&key, "hex"))).collect();
    let (opened, tried) = try_on(&keys, &nonces, &streams);
    assert!(opened == 0 && (5..60).contains(&tried), "{tried}");
    // What comes early opens all, and an opened stream needs no more work.
    let keys: Vec<Key> = std::iter::once(Key::new(&key, "hex")).chain(wrong.clone()).collect();
    assert_eq!(try_on(&keys, &nonces, &streams), (32, 256));
    // A call as calls are: nothing is left out.
    let keys: Vec<Key> = wrong.take(100).chain(std::iter::once(Key::new(&key, "hex"))).collect();
    assert_eq!(try_on(&keys, &[nonce.as_slice()], &streams[..4]), (4, 101));
}

/// Units that are not encrypted are alike under any key in counter mode: that must not count.
#[test]
fn what_is_not_encrypted_verifies_no_key() {
    let mut samples = Samples::default();
    for place in 0..64_u8 {
        let mut text = vec![0x78, 0x41, 0, place];
        text.extend_from_slice(&[place; 28]);
        for shape in [UnitShape::Blocks, UnitShape::Aead { nonce: [7; 12], tag: [9; 16] }, UnitShape::Other] {
            let ciphertext = text.clone().into();
            samples.units.push(SealedUnit { length: 32, shape, ciphertext, packet: PacketRef::default() });
        }
    }
    for byte in 0..=255 {
        assert_eq!(cipher_of(&samples, &[byte; 16], &[]), None);
    }
}

fn packets(name: &str) -> (Samples, Vec<u8>) {
    let text = std::fs::read_to_string(here("tests/vectors/sealed/srtp.txt")).unwrap();
    let (mut samples, mut key) = (Samples::default(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] != name {
            continue;
        }
        key = hex(words[1]);
        let bytes = hex(words[3]);
        // make.py begins four packets before the end of the numbers.
        let cycles = i32::from(bytes[2] == 0);
        let header = words[2].parse().unwrap();
        samples.packets.push(Sample { bytes: bytes.into(), header, cycles, packet: PacketRef::default() });
    }
    assert_eq!(samples.packets.len(), 8);
    (samples, key)
}

const LIBSRTP: [&str; 4] =
    ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"];

#[test]
fn packets_of_libsrtp_verify_over_the_end_of_their_numbers() {
    for name in LIBSRTP {
        let (samples, key) = packets(name);
        let keys = [Key::new(&key, "hex")];
        let (hit, _) = try_stream(&samples, &keys, &[], &[], &Effort::THOROUGH);
        let hit = hit.unwrap();
        assert_eq!((hit.cipher.as_str(), hit.opened, hit.of), (format!("SRTP {name}").as_str(), 8, 8));
        for bit in 0..key.len() * 8 {
            let mut key = key.clone();
            key[bit / 8] ^= 1 << (bit % 8);
            let (hit, tries) = try_stream(&samples, &[Key::new(&key, "hex")], &[], &[], &Effort::QUICK);
            // The salt of AES-CM is part of what the tag key is derived from, so every bit counts.
            assert!(hit.is_none() && tries > 0, "{name}, bit {bit}");
        }
    }
}

#[test]
fn key_and_salt_may_be_given_apart_and_the_suite_may_be_named() {
    let (samples, both) = packets("AES_CM_128_HMAC_SHA1_80");
    let (key, salt) = both.split_at(16);
    let tried = |keys: &[Key], salts: &[&[u8]]| try_stream(&samples, keys, &[], salts, &Effort::THOROUGH).0;
    assert!(tried(&[Key::new(key, "hex")], &[salt]).is_some());
    assert!(tried(&[Key::new(key, "hex")], &[]).is_none());
    let named = |name: &str| Key::of_suite(&both, Suite::named(name).unwrap(), 0, "SDES");
    assert!(tried(&[named("AES_CM_128_HMAC_SHA1_80")], &[]).is_some());
    assert!(tried(&[named("AES_CM_128_HMAC_SHA1_32")], &[]).is_none());
}

/// What was seen first had its numbers begun anew before: the counter is found, and within its cap alone.
#[test]
fn a_rollover_counter_before_the_capture_is_found() {
    let (mut samples, key) = packets("AEAD_AES_128_GCM");
    // The second half, sealed with counter 1, as if it were all.
    samples.packets.retain(|sample| sample.cycles == 1);
    samples.packets.iter_mut().for_each(|sample| sample.cycles = 0);
    let hit = try_stream(&samples, &[Key::new(&key, "hex")], &[], &[], &Effort::THOROUGH).0.unwrap();
    assert_eq!((hit.opened, hit.of), (4, 4));
    assert!(hit.parts.iter().any(|part| part.what.contains("rollover counter 1")));
    let first_only = Effort { rollovers: 1, ..Effort::THOROUGH };
    assert!(try_stream(&samples, &[Key::new(&key, "hex")], &[], &[], &first_only).0.is_none());
}

/// A tag of 32 bits fits one wrong key in 4 * 10^9: one packet with 256 counters is no proof.
#[test]
fn one_packet_with_a_short_tag_does_not_verify() {
    let (mut samples, key) = packets("AES_CM_128_HMAC_SHA1_32");
    samples.packets.truncate(1);
    assert!(try_stream(&samples, &[Key::new(&key, "hex")], &[], &[], &Effort::THOROUGH).0.is_none());
    let (mut samples, key) = packets("AES_CM_128_HMAC_SHA1_32");
    samples.packets.truncate(2);
    assert!(try_stream(&samples, &[Key::new(&key, "hex")], &[], &[], &Effort::THOROUGH).0.is_some());
}

/// RFC 9605 appendix C has metadata; a frame without is sealed by the program's own vectors' key, checked there. Here: nothing
/// that is no SFrame verifies.
#[test]
fn packets_of_srtp_are_no_sframe() {
    let effort = Effort { mode: Some(Mode::Sframe), ..Effort::THOROUGH };
    for name in LIBSRTP {
        let (samples, key) = packets(name);
        let (hit, tries) = try_stream(&samples, &[Key::new(&key[..16], "hex")], &[], &[], &effort);
        assert!(hit.is_none() && tries > 0);
    }
}
