//! Prime numbers: search and test.

use crate::crypto::error::{CryptoError, Result};
use num_bigint_dig::prime::{probably_prime, probably_prime_miller_rabin};
use num_bigint_dig::{BigUint, RandBigInt};
use rand::rngs::OsRng;

/// Miller-Rabin rounds where the caller chose none: 2^-128 for the worst input.
pub(crate) const ROUNDS: usize = 64;
/// Rounds for candidates of our own drawing, where one round is far better than its worst case.
const DRAWN_ROUNDS: usize = 20;
/// Candidates are divided by the primes below this before the costly test.
const SIEVE_MAX: u64 = 1 << 15;
/// Candidates of one sieve, each `add` above the one before.
const WINDOW: usize = 1 << 14;
/// Windows without success after which the question has no answer.
const WINDOWS_MAX: usize = 64;

fn small_primes() -> &'static [u64] {
    static PRIMES: std::sync::OnceLock<Vec<u64>> = std::sync::OnceLock::new();
    PRIMES.get_or_init(|| {
        let mut composite = vec![false; SIEVE_MAX as usize];
        let mut primes = Vec::new();
        for n in 2..SIEVE_MAX {
            if !composite[n as usize] {
                primes.push(n);
                for multiple in (n * n..SIEVE_MAX).step_by(n as usize) {
                    composite[multiple as usize] = true;
                }
            }
        }
        primes
    })
}

/// The inverse modulo a prime.
fn inverse(value: u64, prime: u64) -> u64 {
    let (mut base, mut exponent, mut result) = (value % prime, prime - 2, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % prime;
        }
        base = base * base % prime;
        exponent >>= 1;
    }
    result
}

fn rest(n: &BigUint, prime: u64) -> u64 {
    // Below 2^15, so that four bytes more fit.
    n.to_bytes_be()
        .iter()
        .fold(0, |rest, byte| ((rest << 8) | u64::from(*byte)) % prime)
}

/// Marks the candidates `base + k * step` that a small prime divides; with `safe`, also those whose half one divides.
fn sieve(base: &BigUint, step: &BigUint, safe: bool) -> Vec<bool> {
    let mut composite = vec![false; WINDOW];
    for &prime in small_primes() {
        let (r, s) = (rest(base, prime), rest(step, prime));
        // p divides (c - 1) / 2 just when c is 1 modulo p.
        let targets = if safe && prime > 2 {
            [Some(0), Some(1)]
        } else {
            [Some(0), None]
        };
        for target in targets.into_iter().flatten() {
            if s == 0 {
                if r == target {
                    composite.fill(true);
                }
                continue;
            }
            let first = (prime + target - r) % prime * inverse(s, prime) % prime;
            for k in (first as usize..WINDOW).step_by(prime as usize) {
                composite[k] = true;
            }
        }
    }
    composite
}

/// True if n is a prime, with an error below 4^-rounds.
pub(crate) fn is_prime(n: &BigUint, rounds: usize) -> bool {
    let two = BigUint::from(2_u32);
    if *n < two {
        return false;
    }
    if *n == two {
        return true;
    }
    // The sieve, the rounds, and a Lucas test.
    probably_prime(n, rounds)
}

/// A random prime of exactly `bits` bits. With `add`, it leaves `rem` when divided by it (1 if none is given, 3 for safe
/// primes); with `safe`, (p - 1) / 2 is prime too.
pub(crate) fn generate(bits: usize, safe: bool, add: Option<&BigUint>, rem: Option<&BigUint>) -> Result<BigUint> {
    let one = BigUint::from(1_u32);
    let limit = &one << bits;
    // The top bit, and the next one too where key generation wants products of full length.
    let mut low = &one << (bits - 1);
    if bits > 2 && add.is_none() {
        low |= &one << (bits - 2);
    }
    let (step, class) = match add {
        Some(add) => (
            add.clone(),
            rem.cloned()
                .unwrap_or_else(|| BigUint::from(if safe { 3_u32 } else { 1 })),
        ),
        None if safe => (BigUint::from(4_u32), BigUint::from(3_u32)),
        None => (BigUint::from(2_u32), one.clone()),
    };
    let good = |candidate: &BigUint| {
        if !safe {
            return is_prime(candidate, DRAWN_ROUNDS);
        }
        let half = candidate >> 1_usize;
        probably_prime_miller_rabin(&half, 1, true)
            && probably_prime_miller_rabin(candidate, 1, true)
            && is_prime(&half, DRAWN_ROUNDS)
            && is_prime(candidate, DRAWN_ROUNDS)
    };
    // Small primes would sieve themselves away; there are few candidates then.
    let sieved = bits > 32;
    for _ in 0..WINDOWS_MAX {
        let drawn = OsRng.gen_biguint_range(&low, &limit);
        let mut base = &drawn - &drawn % &step + &class;
        while base < low {
            base += &step;
        }
        let composite = if sieved {
            sieve(&base, &step, safe)
        } else {
            vec![false; WINDOW]
        };
        let mut candidate = base;
        let mut at = 0;
        for (k, composite) in composite.iter().enumerate() {
            if *composite {
                continue;
            }
            candidate += &step * BigUint::from((k - at) as u64);
            at = k;
            if candidate >= limit {
                break;
            }
            if good(&candidate) {
                return Ok(candidate);
            }
        }
        // The one even prime.
        if bits == 2 && !safe && add.is_none() {
            return Ok(BigUint::from(2_u32));
        }
    }
    Err(CryptoError::error(
        "ERR_OPERATION_FAILED",
        "Operation failed: no prime with these properties was found",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_have_what_was_asked_for() {
        for bits in [2, 3, 8, 32, 128] {
            let prime = generate(bits, false, None, None).unwrap();
            assert_eq!(prime.bits(), bits);
            assert!(is_prime(&prime, ROUNDS));
        }
        let safe = generate(64, true, None, None).unwrap();
        assert!(is_prime(&(&safe >> 1_usize), ROUNDS));
        let twelve = BigUint::from(12_u32);
        let prime = generate(32, false, Some(&twelve), Some(&BigUint::from(11_u32))).unwrap();
        assert_eq!(prime % twelve, BigUint::from(11_u32));
        assert!(!is_prime(&BigUint::from(561_u32), ROUNDS));
    }
}
