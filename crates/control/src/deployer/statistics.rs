//! Two exact tests for counts of failures. Exact, because judgements are made of a few hundred requests of which few fail,
//! where approximations (z, chi-squared) promise error rates that they do not keep.

use std::f64::consts::PI;

/// The natural logarithm of n!, to 1e-12 relative (Stirling's series beyond a table; Abramowitz and Stegun 6.1.41).
fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (2.0 * PI * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
        + 1.0 / (1260.0 * x.powi(5))
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Adds up the terms of an upper tail whose first one is `exp(first)`, each being the one before it times `ratio(i)`.
fn tail(first: f64, from: u64, to: u64, ratio: impl Fn(u64) -> f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for i in from..to {
        term *= ratio(i);
        sum += term;
        // Past the mode the ratio only falls: what is left is less than a geometric series of terms this small.
        if term < sum * 1e-12 && ratio(i + 1) < 0.999 {
            break;
        }
    }
    (first.exp() * sum).min(1.0)
}

/// Fisher's exact test, one-sided (R. A. Fisher, Statistical Methods for Research Workers, 5th edition 1934, section 21.02): if
/// failures were spread over both samples by chance alone, how likely is it that the first has `new_failed` or more of them?
/// Counts of failures beyond the sample count as the sample.
pub fn fisher(new_failed: u64, new: u64, old_failed: u64, old: u64) -> f64 {
    let (new_failed, old_failed) = (new_failed.min(new), old_failed.min(old));
    let failed = new_failed + old_failed;
    if new_failed == 0 || new == 0 || old == 0 {
        return 1.0;
    }
    let most = new.min(failed);
    let first = ln_choose(new, new_failed) + ln_choose(old, failed - new_failed) - ln_choose(new + old, failed);
    tail(first, new_failed, most, |k| {
        // Hypergeometric: P(k + 1) / P(k).
        let up = (new - k) as f64 * (failed - k) as f64;
        let down = (k + 1) as f64 * (old + k + 1 - failed) as f64;
        up / down
    })
}

/// How likely `failed` or more of `all` are, if each fails with probability `rate`.
pub fn binomial(failed: u64, all: u64, rate: f64) -> f64 {
    let failed = failed.min(all);
    if failed == 0 {
        return 1.0;
    }
    let first = ln_choose(all, failed) + failed as f64 * rate.ln() + (all - failed) as f64 * (1.0 - rate).ln();
    let odds = rate / (1.0 - rate);
    tail(first, failed, all, |k| (all - k) as f64 / (k + 1) as f64 * odds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: f64, expected: f64) {
        assert!((got - expected).abs() <= expected * 1e-6, "{got} is not {expected}");
    }

    /// By hand: the lady tasting tea is Fisher's own example; the others are sums of a few binomial coefficients.
    #[test]
    fn known_values() {
        check(fisher(3, 4, 1, 4), 17.0 / 70.0);
        check(fisher(4, 4, 0, 4), 1.0 / 70.0);
        check(fisher(1, 1, 0, 9), 0.1);
        // C(200,10)/C(700,10) for 10 failures that all fall into 200 of 700.
        let product: f64 = (0..10).map(|i| f64::from(200 - i) / f64::from(700 - i)).product();
        check(fisher(10, 200, 0, 500), product);
        check(fisher(0, 10, 5, 10), 1.0);
        check(fisher(5, 0, 5, 10), 1.0);
        check(fisher(10, 10, 10, 10), 1.0);
        check(binomial(3, 3, 0.5), 0.125);
        check(binomial(2, 3, 0.5), 0.5);
        check(binomial(1, 2, 0.1), 0.19);
        check(binomial(50, 50, 0.1), 1e-50);
    }

    #[test]
    fn large_counts_stay_probabilities() {
        for (new_failed, new, old_failed, old) in [
            (500_000, 1_000_000, 500_000, 1_000_000),
            (1, 1_000_000, 0, 1),
            (1_000_000, 1_000_000, 0, 1_000_000),
            (9, 5, 9, 5),
        ] {
            let p = fisher(new_failed, new, old_failed, old);
            assert!((0.0..=1.0).contains(&p), "{p}");
        }
        assert!((fisher(500_000, 1_000_000, 500_000, 1_000_000) - 0.5).abs() < 0.01);
    }

    /// More failures are never more likely.
    #[test]
    fn tails_fall() {
        let mut last = 1.0 + 1e-12;
        for failed in 0..=60 {
            let p = fisher(failed, 60, 30, 300);
            assert!(p <= last + 1e-12, "{failed}: {p} after {last}");
            last = p;
        }
    }
}
