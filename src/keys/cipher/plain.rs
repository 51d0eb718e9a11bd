//! Whether payloads are ciphertext at all. SRTP encrypts the payload from its first byte on, so that every byte of it is uniform; what
//! is not uniform is a codec's, or an application's own.

use super::Cipher;
use crate::observe::facts::{Body, Framing, Heads, KindSource, RtpStream};

/// Chance, as a decimal logarithm, below which a byte is not uniform. With 16 bytes a stream a million streams give a false
/// alarm in 60,000 runs.
const LOG10_CHANCE: f64 = -12.0;
/// Deviations of Pearson's statistic from which on the body is not uniform.
const DEVIATIONS: f64 = 12.0;
/// The statistic per byte from which on the body is far from uniform: 0.05 is about 0.04 bits of entropy a byte missing.
const FAR: f64 = 0.05;
/// The same where nothing else says that the payload is in the clear.
const VERY_FAR: f64 = 0.5;
/// Units with a block of at most four byte values that show the same: uniform blocks are so in one of 5e20.
const POOR_UNITS: u64 = 4;
/// Bytes of the body that are needed.
const BODY: u32 = 256;

/// How payloads begin. The order is that of what is said of several streams together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Start {
    /// Too few payloads, or the framing says where ciphertext begins.
    Unknown,
    /// Uniform in each of the first bytes.
    Uniform,
    /// Some of the first bytes are not uniform.
    Structured,
    /// Neither the first bytes nor the body are ciphertext.
    NotEncrypted,
}

pub(super) fn start(stream: &RtpStream, facts: &Cipher, announced_clear: bool) -> Start {
    if facts.framing != Framing::Payload {
        return Start::Unknown;
    }
    let (structured, known) = heads(&facts.heads);
    let poor = facts.poor_units >= POOR_UNITS;
    let announced = announced_clear || stream.kind_source == Some(KindSource::PayloadType);
    let far = |limit| facts.body.is_some_and(|body| is_far(&body, limit));
    if (announced && (poor || far(FAR))) || (structured && far(VERY_FAR)) {
        return Start::NotEncrypted;
    }
    // A description in the clear without keys, and payloads that begin as no SRTP does, agree.
    if announced_clear && structured {
        return Start::NotEncrypted;
    }
    if structured || poor || far(FAR) {
        return Start::Structured;
    }
    if known { Start::Uniform } else { Start::Unknown }
}

pub(super) fn is_far(body: &Body, limit: f64) -> bool {
    let excess = body.chi_squared - 255.0;
    body.bytes >= BODY && excess > DEVIATIONS * 510.0_f64.sqrt() && excess / f64::from(body.bytes) > limit
}

/// Whether any of the first bytes is not uniform, and whether enough payloads were seen to tell.
fn heads(heads: &Heads) -> (bool, bool) {
    let structured =
        heads.places.iter().any(|(payloads, pairs)| log10_pairs(*payloads, *pairs) < LOG10_CHANCE);
    (structured, heads.payloads >= 16)
}

/// Bound on the chance of that many pairs of equal bytes among uniform ones: Chernoff's for a Poisson variable of mean
/// n(n-1)/512, as a decimal logarithm; 0 where there are not more than expected.
fn log10_pairs(payloads: u32, pairs: u32) -> f64 {
    let n = f64::from(payloads);
    let mean = n * (n - 1.0) / 512.0;
    let k = f64::from(pairs);
    if k <= mean || mean <= 0.0 {
        return 0.0;
    }
    (k - mean - k * (k / mean).ln()) / std::f64::consts::LN_10
}
