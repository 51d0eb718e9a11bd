//! How likely it is that a wrong key passes: all figures are log10 of an upper bound, zero or below.

use std::f64::consts::LOG10_2;

/// log10 of a bound below which a key counts as verified: one wrong key in 10^9 at most.
pub const ACCEPT: f64 = -9.0;

/// log10 of 256.
pub(super) const BYTE: f64 = 8.0 * LOG10_2;

/// log10 of the number of ways to choose `k` of `n`.
pub(super) fn log10_choose(n: u32, k: u32) -> f64 {
    let few = k.min(n.saturating_sub(k));
    (1..=few).map(|i| (f64::from(n.saturating_sub(few)) + f64::from(i)).log10() - f64::from(i).log10()).sum()
}

/// Bound of the chance that at least `hits` of `tests` pass, each with a chance of 10^`each`.
pub(super) fn at_least(hits: u32, tests: u32, each: f64) -> f64 {
    if hits == 0 {
        return 0.0;
    }
    (log10_choose(tests, hits) + f64::from(hits) * each).min(0.0)
}

/// Bound of the chance that padding fits as often as it did. `tests` holds, for each block tested, its bytes of padding and
/// whether they fit.
///
/// Markov's inequality on 256^(s T), where T is the number of padding bytes in blocks that fit; the best of some s.
pub(super) fn padding(tests: &(impl Iterator<Item = (u32, bool)> + Clone)) -> f64 {
    let with = |s: f64| -> f64 {
        tests
            .clone()
            .map(|(bytes, fits)| {
                let bytes = f64::from(bytes);
                let expected =
                    (10.0_f64.powf((s - 1.0) * bytes * BYTE) - 10.0_f64.powf(-bytes * BYTE)).ln_1p();
                let seen = if fits { s * bytes * BYTE } else { 0.0 };
                expected * std::f64::consts::LOG10_E - seen
            })
            .sum()
    };
    [0.25, 0.5, 0.75, 0.9, 1.0].into_iter().map(with).fold(0.0, f64::min)
}

/// Bound of the chance that one value of a byte is as frequent as the most frequent is, where all are alike.
pub(super) fn concentration(counts: &[u32; 256]) -> f64 {
    let all: u32 = counts.iter().sum();
    let most = counts.iter().copied().max().unwrap_or(0);
    (BYTE + at_least(most, all, -BYTE)).min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choosing_counts_as_pascal_does() {
        assert!((log10_choose(10, 3) - 120.0_f64.log10()).abs() < 1e-12);
        assert!((log10_choose(52, 5) - 2_598_960.0_f64.log10()).abs() < 1e-9);
        assert!(log10_choose(7, 7).abs() < 1e-12);
    }

    /// The exact chance of the binomial tail, summed, is never above the bound.
    #[test]
    fn the_bound_of_the_tail_is_a_bound() {
        for (tests, hits, chance) in
            [(10_u32, 2_u32, 1.0 / 256.0), (40, 3, 0.01), (5, 5, 0.1), (100, 1, 0.001)]
        {
            let exact: f64 = (hits..=tests)
                .map(|k| {
                    let choose = 10.0_f64.powf(log10_choose(tests, k));
                    choose
                        * f64::powi(chance, k.try_into().unwrap())
                        * f64::powi(1.0 - chance, (tests - k).try_into().unwrap())
                })
                .sum();
            assert!(at_least(hits, tests, chance.log10()) >= exact.log10(), "{tests} {hits}");
        }
    }

    /// Padding of one byte that fits k of n times is a binomial tail too.
    #[test]
    fn the_bound_of_padding_is_a_bound() {
        for (tests, hits) in [(20_u32, 1_u32), (20, 5), (200, 3), (3, 3), (1000, 20)] {
            let chance: f64 = 1.0 / 256.0;
            let exact: f64 = (hits..=tests)
                .map(|k| {
                    let log = log10_choose(tests, k)
                        + f64::from(k) * chance.log10()
                        + f64::from(tests - k) * (1.0 - chance).log10();
                    10.0_f64.powf(log)
                })
                .sum();
            let bound = padding(&(0..tests).map(|i| (1, i < hits)));
            assert!(bound >= exact.log10() - 1e-9, "{tests} {hits}: {bound} {}", exact.log10());
        }
        assert!(padding(&[(15, true)].into_iter()) < -35.5);
        assert!(padding(&[(15, false)].into_iter()) >= 0.0);
    }

    #[test]
    fn even_bytes_show_nothing_and_one_value_shows_much() {
        assert!(concentration(&[4; 256]) > -1.0);
        let mut counts = [0; 256];
        counts[0x41] = 20;
        assert!(concentration(&counts) < -40.0);
    }
}
