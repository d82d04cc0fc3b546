//! Prime numbers: search and test.

use crate::crypto::error::{CryptoError, Result};
use num_bigint_dig::prime::{probably_prime, probably_prime_miller_rabin};
use num_bigint_dig::{BigUint, RandBigInt};
use rand::rngs::OsRng;

/// Miller-Rabin rounds where the caller chose none: 2^-128 for the worst input.
pub(crate) const ROUNDS: usize = 64;
/// Rounds for candidates of our own drawing, where one round is far better than its worst case.
const DRAWN_ROUNDS: usize = 20;
/// Numbers that candidates are divided by before the costly test.
const SIEVE_MAX: u32 = 4_000;
/// Candidates without success after which the question has no answer.
const TRIES_MAX: usize = 200_000;

fn small_primes() -> Vec<u32> {
    let mut composite = vec![false; SIEVE_MAX as usize];
    let mut primes = Vec::new();
    for n in 2..SIEVE_MAX {
        if !composite[n as usize] {
            primes.push(n);
            let mut multiple = n * n;
            while multiple < SIEVE_MAX {
                composite[multiple as usize] = true;
                multiple += n;
            }
        }
    }
    primes
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

fn fails_sieve(n: &BigUint, primes: &[u32]) -> bool {
    primes.iter().any(|prime| (n % *prime).bits() == 0)
}

/// A random prime of exactly `bits` bits. With `add`, it leaves `rem` when divided by it (1 if none is given); with `safe`,
/// (p - 1) / 2 is prime too.
pub(crate) fn generate(
    bits: usize,
    safe: bool,
    add: Option<&BigUint>,
    rem: Option<&BigUint>,
) -> Result<BigUint> {
    let impossible = || CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: no prime with these properties was found");
    let one = BigUint::from(1_u32);
    let primes = small_primes();
    // Small primes must not be sieved away.
    let primes = if bits > 16 { &primes[..] } else { &[] };
    let top = &one << (bits - 1);
    let limit = &one << bits;
    for _ in 0..TRIES_MAX {
        let mut candidate = OsRng.gen_biguint(bits) | &top;
        if bits > 2 && add.is_none() {
            // The two top bits, as key generation wants products of full length.
            candidate |= &one << (bits - 2);
        }
        match add {
            Some(add) => {
                let rest = &candidate % add;
                candidate = candidate - rest + rem.unwrap_or(if safe { three() } else { &one });
                if candidate < top || candidate >= limit {
                    continue;
                }
            }
            None => {
                candidate |= &one;
                if safe {
                    candidate |= BigUint::from(3_u32);
                }
                if bits == 2 && OsRng.gen_biguint(1).bits() == 0 && !safe {
                    candidate = BigUint::from(2_u32);
                }
            }
        }
        if fails_sieve(&candidate, primes) {
            continue;
        }
        if safe {
            let half = &candidate >> 1_usize;
            if fails_sieve(&half, primes) || !probably_prime_miller_rabin(&half, 1, true) {
                continue;
            }
            if probably_prime_miller_rabin(&candidate, 1, true)
                && is_prime(&half, DRAWN_ROUNDS)
                && is_prime(&candidate, DRAWN_ROUNDS)
            {
                return Ok(candidate);
            }
        } else if is_prime(&candidate, DRAWN_ROUNDS) {
            return Ok(candidate);
        }
    }
    Err(impossible())
}

fn three() -> &'static BigUint {
    static THREE: std::sync::OnceLock<BigUint> = std::sync::OnceLock::new();
    THREE.get_or_init(|| BigUint::from(3_u32))
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
