//! Streams whose making is known go through the collector and the judge of `keys`. The ciphers are those of the crates, and
//! plaintext is random or constant.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::observe::facts::CLUSTER_CAP;
use proptest::prelude::*;

/// Reproducible bytes.
struct Random(u64);

impl Random {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < count {
            self.0 += 1;
            out.extend(Sha256::digest(self.0.to_be_bytes()));
        }
        out.truncate(count);
        out
    }

    fn below(&mut self, most: usize) -> usize {
        let bytes = self.bytes(8);
        usize::try_from(
            u64::from_be_bytes(bytes.try_into().expect("8 bytes")) % u64::try_from(most).expect("small"),
        )
        .expect("small")
    }
}

fn ecb(plain: &[u8]) -> Vec<u8> {
    let cipher = Aes128::new(&Array::from([7_u8; 16]));
    let mut padded = plain.to_vec();
    padded.resize(plain.len().div_ceil(16) * 16, 0);
    for block in padded.chunks_exact_mut(16) {
        let mut one: [u8; 16] = block.try_into().expect("16 bytes");
        let mut array = Array::from(one);
        cipher.encrypt_block(&mut array);
        one.copy_from_slice(&array);
        block.copy_from_slice(&one);
    }
    padded
}

/// Sound in Zoom's framing: 50 packets a second.
fn feed(collector: &mut Collector, number: usize, payload: &[u8]) {
    let sequence = u16::try_from(number % 65_536).expect("masked");
    let peek = Peek {
        payload_type: 112,
        marker: false,
        sequence,
        timestamp: u32::try_from(number * 640).expect("small"),
        ssrc: 2,
        header_length: 12,
    };
    collector.packet(&Sealed {
        peek: &peek,
        payload,
        is_unfit: false,
        is_new: true,
        timestamp: Timestamp::from_nanos(i64::try_from(number).expect("small") * 20_000_000),
        packet: PacketRef::new(0, u64::try_from(number).expect("small") + 1),
    });
}

fn sound(units: usize, seal: impl Fn(usize, &[u8]) -> Vec<u8>) -> Cipher {
    let mut random = Random(1);
    let mut collector = Collector::new(Timestamp::default(), Some(true));
    for number in 0..units {
        let length = 40 + random.below(200);
        let plain = random.bytes(length);
        let body = seal(number, &plain);
        let length = u16::try_from(plain.len()).expect("short").to_be_bytes();
        feed(&mut collector, number, &[&length[..], &body].concat());
    }
    collector.finish(0)
}

fn gcm_like(number: usize, plain: &[u8]) -> Vec<u8> {
    let nonce = u32::try_from(number).expect("small").to_le_bytes();
    let body = Random(u64::MAX / 2 + u64::try_from(number).expect("small") * 1000).bytes(plain.len() + 16);
    [&[12][..], &nonce, &[0; 8], &[0], &body].concat()
}

#[test]
fn ecb_repeats_its_last_blocks_and_nothing_else_does() {
    let found = sound(3000, |_, plain| ecb(plain));
    assert_eq!((found.shapes.blocks, found.units), (3000, 3000));
    assert!(found.clusters.len() > 5, "{}", found.clusters.len());
    assert!(found.clusters.iter().all(|cluster| cluster.is_tail && cluster.on_grid >= cluster.off_grid));
    let none = sound(3000, gcm_like);
    assert_eq!((none.shapes.aead, none.clusters.len(), none.nonces_reused), (3000, 0, 0));
    assert!(none.nonces > 500);
}

#[test]
fn a_nonce_that_comes_again_is_counted_and_a_copy_is_none() {
    let reused = sound(300, |number, plain| {
        let mut sealed = gcm_like(number, plain);
        sealed[1..5].copy_from_slice(&u32::try_from(number % 250).expect("small").to_le_bytes());
        sealed
    });
    assert_eq!(reused.nonces_reused, 50);
    let mut collector = Collector::new(Timestamp::default(), Some(true));
    for number in 0..300 {
        let body = gcm_like(number % 250, &[0; 50]);
        feed(&mut collector, number, &[&[0, 50][..], &body].concat());
    }
    let copies = collector.finish(0);
    assert_eq!((copies.nonces_reused, copies.copies), (0, 50));
}

#[test]
fn copies_and_second_packets_are_no_repeats() {
    let mut random = Random(5);
    let units: Vec<Vec<u8>> = (0..100).map(|_| random.bytes(320)).collect();
    let mut collector = Collector::new(Timestamp::default(), None);
    for (number, unit) in units.iter().chain(&units).enumerate() {
        feed(&mut collector, number, unit);
    }
    let found = collector.finish(0);
    assert_eq!((found.packets_excluded, found.copies, found.clusters.len()), (0, 100, 0));
    let mut collector = Collector::new(Timestamp::default(), Some(true));
    (0..50).chain(0..50).for_each(|number| feed(&mut collector, number, &units[number]));
    assert_eq!(collector.finish(0).packets_excluded, 50);
}

#[test]
fn a_muted_microphone_under_ecb_is_one_constant_unit() {
    let mut collector = Collector::new(Timestamp::default(), Some(true));
    for number in 0..100 {
        feed(&mut collector, number, &[&[0, 9][..], &ecb(&[0xf8, 0xff, 0xfe, 0, 0, 0, 0, 0, 1])].concat());
    }
    let found = collector.finish(0);
    assert_eq!(found.clusters.len(), 1);
    assert!(found.clusters[0].is_unit && found.clusters[0].repeats == 99);
}

#[test]
fn runs_of_one_byte_are_no_cipher_blocks() {
    let mut collector = Collector::new(Timestamp::default(), None);
    for number in 0..100 {
        feed(&mut collector, number, &[u8::try_from(number % 7).expect("small"); 1000]);
    }
    let found = collector.finish(0);
    assert!(found.clusters.is_empty() && found.poor_units > 90, "{found:?}");
}

#[test]
fn the_stretch_of_a_copied_piece_ends_off_the_grid() {
    let mut random = Random(9);
    let piece = random.bytes(57);
    let mut collector = Collector::new(Timestamp::default(), None);
    for number in 0..400 {
        // The piece begins three bytes before a block, each time.
        let unit = [random.bytes(13), piece.clone(), random.bytes(130)].concat();
        feed(&mut collector, number, &unit);
    }
    let found = collector.finish(0);
    assert!(!found.clusters.is_empty());
    // The middle of it has no end; the blocks at its ends tell.
    let off = found.clusters.iter().filter(|cluster| cluster.off_grid > 0).count();
    assert!(off >= 2, "{:?}", found.clusters);
    let ends: Vec<u32> = found.clusters.iter().map(|cluster| cluster.on_grid).collect();
    assert!(ends.iter().all(|ends| *ends < 10), "{ends:?}");
}

#[test]
fn the_window_knows_what_it_saw() {
    let mut window = window::Window::default();
    let fresh: Vec<bool> =
        [65_534, 65_535, 0, 65_535, 2, 1, 1, 300, 65_000].map(|sequence| window.is_fresh(sequence)).to_vec();
    assert_eq!(fresh, [true, true, true, false, true, true, false, true, true]);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        framing in prop::option::of(any::<bool>()),
        packets in prop::collection::vec((any::<u16>(), 0_u32..4, any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 0..80),
    ) {
        let mut collector = Collector::new(Timestamp::default(), framing);
        for (sequence, timestamp, is_padded, payload) in &packets {
            let peek = Peek { payload_type: 98, marker: false, sequence: *sequence, timestamp: *timestamp, ssrc: 1, header_length: 12 };
            let sealed = Sealed { peek: &peek, payload, is_unfit: *is_padded, is_new: true, timestamp: Timestamp::default(), packet: PacketRef::default() };
            collector.packet(&sealed);
        }
        let found = collector.finish(0);
        prop_assert!(found.clusters.len() <= CLUSTER_CAP);
        prop_assert!(found.units <= u64::try_from(packets.len()).expect("few"));
    }
}
