//! Measures the cipher detector: `cargo run --release --example cipher_curves -- [quick]`.
//!
//! Streams are cut and mixed from a pool of real encodings (`pool`), sealed under known ciphers (`seal`), put into RTP with or without
//! Zoom's framing (`wire`), and sent through the whole pipeline as packets. Printed are the shares of verdicts by cipher, length
//! and content. Needs `ffmpeg` with libx264, libopus and flite; every other chance comes from seeds.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a measurement run by developers on numbers of its own making: a broken assumption should stop it"
)]

#[cfg(test)]
mod check;
#[path = "../make_captures/media.rs"]
#[allow(dead_code, reason = "shared with the generator of captures")]
mod media;
mod pool;
#[path = "../make_captures/rng.rs"]
#[allow(dead_code, reason = "shared with the generator of captures")]
mod rng;
mod seal;
#[path = "../make_captures/splitmix.rs"]
mod splitmix;
mod wire;

use std::collections::BTreeMap;

use anyhow::Result;
use meetscope::classify::{self, Rules};
use meetscope::keys::cipher::{self, CipherVerdict};
use meetscope::parallel::Threads;
use meetscope::pipeline::{self, Pipeline};

use pool::{Content, Pool};
use rng::Rng;
use seal::Cipher;
use wire::Framing;

/// One session whose making is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) cipher: Cipher,
    pub(crate) framing: Framing,
    pub(crate) content: Content,
    pub(crate) seconds: u64,
    pub(crate) number: u64,
}

/// The verdict on the session that the packets of a trial make; `None` when there was no session.
pub(crate) fn verdict(rules: &Rules, pool: &Pool, trial: &Trial) -> Option<CipherVerdict> {
    let mut rng = Rng::named(&format!("{trial:?} {}", trial.number));
    let mut pipeline = Pipeline::new(&pipeline::Config { threads: 1, ..pipeline::Config::default() }, rules);
    let units = pool.cut(trial.content, trial.seconds, &mut rng);
    wire::play(&mut pipeline, trial, &units, &mut rng);
    let analysis =
        pipeline::analyse(rules, &mut pipeline::Memory::default(), pipeline.finish().flows, Threads::ONE);
    let found = analysis
        .sessions
        .iter()
        .filter_map(|(session, keys)| cipher::session(&analysis.flows, session, keys));
    found.map(|found| found.verdict).min()
}

type Counts = BTreeMap<CipherVerdict, u64>;

fn run(rules: &Rules, pool: &Pool, trials: impl Iterator<Item = Trial>) -> (u64, Counts) {
    let (mut all, mut counts) = (0, Counts::new());
    for trial in trials {
        all += 1;
        if let Some(verdict) = verdict(rules, pool, &trial) {
            *counts.entry(verdict).or_default() += 1;
        }
    }
    (all, counts)
}

fn words(counts: &Counts) -> String {
    counts
        .iter()
        .map(|(verdict, count)| format!("{count} {}", verdict.words()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn found(counts: &Counts) -> u64 {
    counts.iter().filter(|(verdict, _)| verdict.is_ecb()).map(|(_, count)| count).sum()
}

/// 200 ECB sessions of 60 s: both paddings, both framings.
fn contract(rules: &Rules, pool: &Pool, ecb: u64, others: u64) {
    println!("## Mixed content, 60 s\n\n| cipher | framing | sessions | verdicts |\n|---|---|---|---|");
    let mixed = |cipher, framing, count| {
        let make = move |number| Trial { cipher, framing, content: Content::Mixed, seconds: 60, number };
        let (all, counts) = run(rules, pool, (0..count).map(make));
        println!("| {} | {} | {all} | {} |", cipher.name(), framing.name(), words(&counts));
        (found(&counts), all)
    };
    let (mut hits, mut tried, mut alarms, mut clean) = (0, 0, 0, 0);
    for framing in [Framing::Zoom, Framing::Payload] {
        for cipher in [Cipher::EcbZeros, Cipher::EcbPkcs7] {
            let (found, all) = mixed(cipher, framing, ecb / 4);
            (hits, tried) = (hits + found, tried + all);
        }
        for cipher in [Cipher::Gcm, Cipher::Ctr, Cipher::Cbc, Cipher::Srtp] {
            let (found, all) = mixed(cipher, framing, others / 8);
            (alarms, clean) = (alarms + found, clean + all);
        }
    }
    println!("\nECB found in {hits} of {tried}; false alarms: {alarms} of {clean}.\n");
}

fn curves(rules: &Rules, pool: &Pool, count: u64) {
    const SECONDS: [u64; 6] = [5, 10, 20, 30, 60, 120];
    println!("## Share of ECB sessions found, in percent, by seconds ({count} sessions each)\n");
    println!("| framing | padding | content | {} |", SECONDS.map(|seconds| seconds.to_string()).join(" | "));
    println!("|---|---|---|{}", "---|".repeat(SECONDS.len()));
    for framing in [Framing::Zoom, Framing::Payload] {
        for cipher in [Cipher::EcbZeros, Cipher::EcbPkcs7] {
            for content in Content::ALL {
                let shares = SECONDS.map(|seconds| {
                    let make = |number| Trial { cipher, framing, content, seconds, number: 10_000 + number };
                    let (all, counts) = run(rules, pool, (0..count).map(make));
                    let sure = counts.get(&CipherVerdict::EcbVeryLikely).copied().unwrap_or(0);
                    format!("{} ({})", 100 * found(&counts) / all, 100 * sure / all)
                });
                let (framing, padding) = (framing.name(), cipher.name());
                println!("| {framing} | {padding} | {} | {} |", content.name(), shares.join(" | "));
            }
        }
    }
    println!("\nIn brackets: very likely; the rest of those found are suspected.");
}

fn main() -> Result<()> {
    let rules = classify::embedded()?;
    let pool = Pool::encode()?;
    let quick = std::env::args().nth(1).is_some_and(|word| word == "quick");
    contract(&rules, &pool, if quick { 20 } else { 200 }, if quick { 40 } else { 1000 });
    curves(&rules, &pool, if quick { 2 } else { 20 });
    Ok(())
}
