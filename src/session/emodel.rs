//! How well speech can be understood and talked over: the E-model of ITU-T G.107 (06/2015).
//!
//! In: loss, its burst ratio, one-way delay, and the codec's Ie and Bpl (ITU-T G.113 Appendix I). All other parameters stand at
//! the Recommendation's defaults (its table 2): what microphones, rooms and echo cancellers do, no sniffer sees. Out: the
//! rating R and MOS-CQE. It is the narrow-band model: 4.5 is its best, and a wideband call may sound better than it says.

/// Default parameters, G.107 table 2.
mod default {
    pub(super) const SLR: f64 = 8.0;
    pub(super) const RLR: f64 = 2.0;
    pub(super) const STMR: f64 = 15.0;
    pub(super) const LSTR: f64 = 18.0;
    pub(super) const DS: f64 = 3.0;
    pub(super) const TELR: f64 = 65.0;
    pub(super) const WEPL: f64 = 110.0;
    pub(super) const QDU: f64 = 1.0;
    pub(super) const NC: f64 = -70.0;
    pub(super) const NFOR: f64 = -64.0;
    pub(super) const PS: f64 = 35.0;
    pub(super) const PR: f64 = 35.0;
    pub(super) const ADVANTAGE: f64 = 0.0;
}

/// What a codec does to speech, without loss and with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Codec, as a report names it.
    pub codec: &'static str,
    /// Equipment impairment factor Ie.
    pub ie: f64,
    /// Packet-loss robustness factor Bpl.
    pub bpl: f64,
    /// Where both come from.
    pub source: &'static str,
}

const G113: &str = "ITU-T G.113 (11/2007) Appendix I";
const ASSUMED: &str = "assumed: the wire does not name the codec, or no Recommendation tables it; taken as G.711 with concealment";

/// The codec of a static payload type (RFC 3551); anything else is judged as G.711 with loss concealment, and says so.
pub const fn impairment(payload_type: Option<u8>) -> Impairment {
    match payload_type {
        Some(0) => Impairment { codec: "PCMU, concealment assumed", ie: 0.0, bpl: 25.1, source: G113 },
        Some(8) => Impairment { codec: "PCMA, concealment assumed", ie: 0.0, bpl: 25.1, source: G113 },
        Some(4) => Impairment { codec: "G.723.1 at 6.3 kbit/s with VAD", ie: 15.0, bpl: 16.1, source: G113 },
        Some(18) => Impairment { codec: "G.729A with VAD", ie: 11.0, bpl: 19.0, source: G113 },
        _ => Impairment { codec: "not told", ie: 0.0, bpl: 25.1, source: ASSUMED },
    }
}

/// What the rating is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inputs {
    /// Lost packets, in percent, 0 to 100 (Ppl).
    pub loss_percent: f64,
    /// Mean length of a row of lost packets over what chance would make it (`BurstR`), 1 or more.
    pub burst_ratio: f64,
    /// One-way delay from mouth to ear, in ms (Ta, and T of the echo path).
    pub delay_ms: f64,
    /// The codec.
    pub impairment: Impairment,
}

/// The verdict of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Transmission rating factor R, 0 to 100.
    pub r: f64,
    /// Estimated conversational quality MOS-CQE, 1 to 4.5.
    pub mos: f64,
}

/// Rates a way of a call.
pub fn rate(inputs: &Inputs) -> Rating {
    let noise = noise();
    let signal_to_noise = signal_to_noise(noise);
    let delay = inputs.delay_ms.max(0.0);
    let r = signal_to_noise
        - simultaneous(signal_to_noise, noise)
        - talker_echo(noise, delay)
        - listener_echo(signal_to_noise, 2.0 * delay)
        - absolute_delay(delay)
        - effective_impairment(inputs)
        + default::ADVANTAGE;
    Rating { r: r.clamp(0.0, 100.0), mos: mos(r) }
}

/// MOS-CQE of a rating, G.107 annex B.
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        // Just above R = 0 the polynomial dips below its end.
        (r * (r - 60.0) * (100.0 - r)).mul_add(7e-6, 0.035_f64.mul_add(r, 1.0)).max(1.0)
    }
}

fn decibel_sum(levels: [f64; 4]) -> f64 {
    10.0 * levels.iter().map(|level| 10_f64.powf(level / 10.0)).sum::<f64>().log10()
}

/// No, the power of all noise, clause 7.2.
fn noise() -> f64 {
    let overall = default::SLR + default::RLR;
    let sender = (default::PS - overall - default::DS - 14.0)
        .powi(2)
        .mul_add(0.004, default::PS - default::SLR - default::DS - 100.0);
    let sidetone = 10.0 * (1.0 + 10_f64.powf((10.0 - default::LSTR) / 10.0)).log10();
    let effective = default::PR + sidetone;
    let receiver = (effective - 35.0).powi(2).mul_add(0.008, default::RLR - 121.0 + effective);
    decibel_sum([default::NC, sender, receiver, default::NFOR + default::RLR])
}

/// Ro, clause 7.2.
fn signal_to_noise(noise: f64) -> f64 {
    (-1.5_f64).mul_add(default::SLR + noise, 15.0)
}

/// Is, clause 7.3: too loud, sidetone, quantizing.
fn simultaneous(signal_to_noise: f64, noise: f64) -> f64 {
    let loud = 0.2_f64.mul_add(64.0 + noise - default::RLR, default::SLR + default::RLR) / 8.0;
    let too_loud = 20.0 * (root(8, 1.0 + loud.powi(8)) - loud);
    let echo = 10_f64.powf(-default::TELR / 10.0);
    let masked = -10.0 * (10_f64.powf(-default::STMR / 10.0) + echo).log10();
    let sidetone = 13_f64.mul_add(
        -root(13, 1.0 + ((masked - 3.0) / 33.0).powi(13)),
        28_f64.mul_add(
            -root(35, 1.0 + ((masked + 1.0) / 19.4).powi(35)),
            12.0 * root(8, 1.0 + ((masked - 13.0) / 6.0).powi(8)),
        ),
    ) + 29.0;
    let quality = (-15_f64).mul_add(default::QDU.log10(), 37.0);
    let g = (0.0602 * quality).mul_add(quality, 0.258_f64.mul_add(quality, 1.07));
    let y = (signal_to_noise - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    too_loud + sidetone + 15.0 * (1.0 + 10_f64.powf(y) + 10_f64.powf(z)).log10()
}

/// The `n`th root of what is 1 or more.
fn root(n: u8, value: f64) -> f64 {
    value.powf(1.0 / f64::from(n))
}

/// Idte, clause 7.4: the talker's own voice, coming back `delay` later than it went.
fn talker_echo(noise: f64, delay: f64) -> f64 {
    // Below 1 ms it is sidetone.
    if delay < 1.0 {
        return 0.0;
    }
    let spread = ((1.0 + delay / 10.0) / (1.0 + delay / 150.0)).log10();
    let loudness = 6_f64.mul_add((-0.3 * delay * delay).exp(), 40_f64.mul_add(-spread, default::TELR));
    let echo = 2.5_f64.mul_add(loudness - 14.0, 80.0);
    let half = (-1.5_f64).mul_add(noise - default::RLR, -echo) / 2.0;
    (half + half.mul_add(half, 100.0).sqrt() - 1.0) * (1.0 - (-delay).exp())
}

/// Idle, clause 7.4; `round_trip` in ms.
fn listener_echo(signal_to_noise: f64, round_trip: f64) -> f64 {
    let echo = 10.5 * (default::WEPL + 7.0) * (round_trip + 1.0).powf(-0.25);
    let half = (signal_to_noise - echo) / 2.0;
    half + half.mul_add(half, 169.0).sqrt()
}

/// Idd, clause 7.4: with an echo or without, late answers disturb.
fn absolute_delay(delay: f64) -> f64 {
    if delay <= 100.0 {
        return 0.0;
    }
    let x = (delay / 100.0).log2();
    25.0 * (3_f64.mul_add(-root(6, 1.0 + (x / 3.0).powi(6)), root(6, 1.0 + x.powi(6))) + 2.0)
}

/// Ie,eff, clause 7.5.
fn effective_impairment(inputs: &Inputs) -> f64 {
    let Impairment { ie, bpl, .. } = inputs.impairment;
    let loss = inputs.loss_percent.clamp(0.0, 100.0);
    let spread = loss / inputs.burst_ratio.max(1.0) + bpl;
    if spread > 0.0 { (95.0 - ie).mul_add(loss / spread, ie) } else { ie }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inputs(loss_percent: f64, burst_ratio: f64, delay_ms: f64) -> Inputs {
        Inputs { loss_percent, burst_ratio, delay_ms, impairment: impairment(Some(0)) }
    }

    #[test]
    fn defaults_give_the_rating_that_the_recommendation_states() {
        // G.107 clause 7.7: with all parameters at their defaults R is 93.2.
        let rating = rate(&inputs(0.0, 1.0, 0.0));
        assert!((rating.r - 93.2).abs() < 0.05, "{rating:?}");
        assert!((rating.mos - 4.41).abs() < 0.005, "{rating:?}");
        assert!((signal_to_noise(noise()) - 94.77).abs() < 0.005);
        assert!((simultaneous(signal_to_noise(noise()), noise()) - 1.41).abs() < 0.01);
    }

    #[test]
    fn ratings_become_the_mos_of_annex_b() {
        // Table B.1: lower limits of R and MOS-CQE.
        for (r, expected) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            // The table rounds 4.024 to 4.03.
            assert!((mos(r) - expected).abs() < 0.0065, "R {r}: {}", mos(r));
        }
        assert!((mos(-5.0) - 1.0).abs() < 1e-9 && (mos(120.0) - 4.5).abs() < 1e-9);
    }

    #[test]
    fn loss_follows_the_formula_of_clause_7_5() {
        // 5 % random loss on G.711 with concealment: 95 x 5 / (5 + 25.1).
        assert!((effective_impairment(&inputs(5.0, 1.0, 0.0)) - 15.781).abs() < 0.001);
        assert!((effective_impairment(&inputs(5.0, 2.0, 0.0)) - 95.0 * 5.0 / 27.6).abs() < 0.001);
        let g729 = Inputs { impairment: impairment(Some(18)), ..inputs(0.0, 1.0, 0.0) };
        assert!((rate(&g729).r - 82.2).abs() < 0.05);
    }

    #[test]
    fn delay_costs_little_below_150_ms_and_much_above_300() {
        let at = |delay| rate(&inputs(0.0, 1.0, delay)).r;
        assert!(at(0.0) - at(150.0) < 7.0);
        assert!(at(0.0) - at(400.0) > 20.0);
    }

    proptest! {
        #[test]
        fn more_loss_longer_bursts_and_more_delay_never_sound_better(
            loss in 0.0..100.0_f64, more in 0.0..50.0_f64, burst in 1.0..8.0_f64, delay in 0.0..2_000.0_f64,
        ) {
            let base = rate(&inputs(loss, burst, delay)).mos;
            prop_assert!((1.0..=4.5).contains(&base));
            prop_assert!(rate(&inputs((loss + more).min(100.0), burst, delay)).mos <= base + 1e-9);
            prop_assert!(rate(&inputs(loss, burst + more, delay)).mos <= base + 1e-9);
            // Below some milliseconds the Recommendation's Idte is negative by a tenth.
            prop_assert!(rate(&inputs(loss, burst, delay + more)).mos <= base + 0.01);
        }
    }
}
