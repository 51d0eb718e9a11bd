//! Verdicts on streams whose facts are written down by hand, and the arithmetic against figures of facts and by hand.

use super::*;
use crate::observe::facts::{Body, Heads, Shapes};

fn facts(framing: Framing) -> Cipher {
    Cipher {
        framing,
        units: 3000,
        units_tested: 3000,
        units_dropped: 0,
        packets_excluded: 0,
        copies: 0,
        blocks: 30_000,
        poor_blocks: 0,
        poor_units: 0,
        within_unit: 0,
        blocks_left_out: 0,
        share: 1.0,
        tail_share: 1.0,
        shapes: Shapes { blocks: 3000, ..Shapes::default() },
        residues: {
            let mut all = [0; 16];
            all[0] = 3000;
            all
        },
        lengths: {
            let mut all = [0; 16];
            all[0] = 20;
            all
        },
        shorter: 2900,
        tails: [188; 16],
        clusters: Vec::new(),
        clusters_left_out: 0,
        nonces: 0,
        nonces_reused: 0,
        nonce_packet: None,
        heads: Heads::default(),
        body: Some(Body { bytes: 8192, chi_squared: 250.0 }),
    }
}

fn cluster(hash: u64) -> Cluster {
    let unit = u32::try_from(hash).expect("small");
    Cluster {
        hash,
        repeats: 2,
        units: [unit, unit + 500],
        span_ms: [0, 9_000],
        on_grid: 2,
        off_grid: 0,
        is_tail: true,
        is_unit: false,
        packet: PacketRef::new(0, hash),
    }
}

fn verdict(facts: &Cipher, start: Start) -> CipherVerdict {
    judge(&[(facts, start)]).verdict
}

#[test]
fn the_ladder_is_climbed_by_clusters() {
    let mut zoom = facts(Framing::ZoomUnit);
    assert_eq!(verdict(&zoom, Start::Unknown), CipherVerdict::NoEcbEvidence);
    let silent = judge(&[(&zoom, Start::Unknown)]);
    // 188 units with a tail of one byte: 188 * 187 / 2 / 256 = 68.7 pairs; of two bytes 0.27.
    assert!(silent.expected_repeats.is_some_and(|expected| (expected - 68.93).abs() < 0.01));
    zoom.clusters = vec![cluster(1)];
    assert_eq!(verdict(&zoom, Start::Unknown), CipherVerdict::EcbSuspicious);
    zoom.clusters.extend([cluster(2), cluster(3)]);
    let sure = judge(&[(&zoom, Start::Unknown)]);
    assert_eq!((sure.verdict, sure.clusters), (CipherVerdict::EcbVeryLikely, 3));
    assert!((sure.log10_lr - (3.0 * 3.2 + 6.0)).abs() < 1e-9, "{}", sure.log10_lr);
    // 30000 blocks: lambda = 9e8 / 2^129 = 1.3e-30, and six pairs.
    assert!(
        sure.log10_chance.is_some_and(|chance| chance < -178.0 && chance > -185.0),
        "{:?}",
        sure.log10_chance
    );
}

#[test]
fn what_runs_off_the_grid_or_is_over_in_a_second_does_not_count() {
    let mut zoom = facts(Framing::ZoomUnit);
    zoom.clusters = vec![
        Cluster { off_grid: 3, on_grid: 1, ..cluster(1) },
        Cluster { span_ms: [5_000, 5_900], ..cluster(2) },
        Cluster { is_unit: true, repeats: 3, ..cluster(3) },
    ];
    let found = judge(&[(&zoom, Start::Unknown)]);
    assert_eq!((found.verdict, found.clusters, found.set_aside), (CipherVerdict::NoEcbEvidence, 0, 3));
}

#[test]
fn one_stretch_of_many_blocks_is_one_cluster() {
    let mut zoom = facts(Framing::ZoomUnit);
    zoom.clusters = (1..9).map(|hash| Cluster { units: [4, 900], ..cluster(hash) }).collect();
    let found = judge(&[(&zoom, Start::Unknown)]);
    assert_eq!((found.verdict, found.clusters), (CipherVerdict::EcbSuspicious, 1));
}

#[test]
fn a_constant_unit_alone_is_suspicious_and_no_more() {
    let mut zoom = facts(Framing::ZoomUnit);
    zoom.clusters = vec![Cluster { is_unit: true, repeats: 400, on_grid: 0, ..cluster(1) }];
    zoom.lengths[0] = 1;
    let found = judge(&[(&zoom, Start::Unknown)]);
    assert_eq!(found.verdict, CipherVerdict::EcbSuspicious);
    assert!((found.log10_lr - 1.0).abs() < 1e-9);
}

#[test]
fn aead_framing_needs_twenty_units_and_no_repeat() {
    let mut zoom = facts(Framing::ZoomUnit);
    (zoom.units, zoom.shapes) = (19, Shapes { aead: 19, ..Shapes::default() });
    zoom.residues = [1; 16];
    zoom.lengths = [1; 16];
    assert_eq!(verdict(&zoom, Start::Unknown), CipherVerdict::StreamLengths);
    (zoom.units, zoom.shapes.aead) = (20, 20);
    assert_eq!(verdict(&zoom, Start::Unknown), CipherVerdict::AeadFraming);
    assert_eq!(judge(&[(&zoom, Start::Unknown)]).expected_repeats, None);
}

#[test]
fn payloads_of_all_lengths_are_never_ecb() {
    let mut other = facts(Framing::Payload);
    other.residues = [188; 16];
    other.lengths = [9; 16];
    other.clusters = (1..9).map(cluster).collect();
    assert_eq!(verdict(&other, Start::Uniform), CipherVerdict::StreamLengths);
}

#[test]
fn payloads_of_whole_blocks_can_be_ecb_only_where_they_look_like_ciphertext() {
    let mut other = facts(Framing::Payload);
    other.clusters = (1..9).map(cluster).collect();
    assert_eq!(verdict(&other, Start::Uniform), CipherVerdict::EcbVeryLikely);
    assert_eq!(verdict(&other, Start::Structured), CipherVerdict::BeginsInClear);
    assert_eq!(verdict(&other, Start::NotEncrypted), CipherVerdict::NotEncrypted);
    assert_eq!(verdict(&other, Start::Unknown), CipherVerdict::NoEcbEvidence);
    other.lengths[0] = 1;
    assert_eq!(
        verdict(&other, Start::Uniform),
        CipherVerdict::Inconclusive,
        "one length, and too few beginnings"
    );
}

#[test]
fn streams_are_pooled_and_a_block_of_two_streams_is_one() {
    let mut one = facts(Framing::ZoomUnit);
    one.clusters = vec![cluster(1), cluster(2)];
    let mut two = facts(Framing::ZoomUnit);
    two.clusters = vec![cluster(2), cluster(3)];
    let pooled = judge(&[(&one, Start::Unknown), (&two, Start::Unknown)]);
    assert_eq!((pooled.clusters, pooled.streams, pooled.units), (3, 2, 6000));
}

#[test]
fn a_tone_in_five_payloads_is_enough_to_see_that_it_is_plain() {
    // G.711 of a tone: few different payloads, 800 bytes of them, of some 60 values.
    let body = Body { bytes: 800, chi_squared: 2600.0 };
    assert!(plain::is_far(&body, 0.05));
    assert!(!plain::is_far(&Body { chi_squared: 500.0, ..body }, 0.05), "eleven deviations");
    assert!(!plain::is_far(&Body { bytes: 128, ..body }, 0.05));
}
