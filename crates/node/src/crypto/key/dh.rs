//! Diffie-Hellman over prime fields: keys, and the groups that have names.

use super::{algorithm, oid};
use crate::crypto::asn1;
use crate::crypto::error::{CryptoError, Result};
use ::rsa::BigUint;
use num_bigint_dig::RandBigInt;
use rand::rngs::OsRng;

#[derive(Clone)]
pub(crate) struct Dh {
    pub p: BigUint,
    pub g: BigUint,
    pub y: BigUint,
    pub x: Option<BigUint>,
}

/// Bits of private keys where the prime is larger: twice the strength of an 8192-bit group.
const PRIVATE_BITS_MAX: usize = 512;

/// The largest prime that is worked with, bits, as OpenSSL has it.
pub(crate) const PRIME_BITS_MAX: usize = 10_000;

impl Dh {
    pub fn generate(p: BigUint, g: BigUint) -> Result<Self> {
        let x = random_exponent(&p)?;
        let y = g.modpow(&x, &p);
        Ok(Self { p, g, y, x: Some(x) })
    }

    pub fn algorithm(&self) -> Vec<u8> {
        algorithm(
            oid::DH,
            Some(asn1::sequence(&[asn1::uint(&self.p), asn1::uint(&self.g)])),
        )
    }
}

/// A private key for the prime.
pub(crate) fn random_exponent(p: &BigUint) -> Result<BigUint> {
    let two = BigUint::from(2_u32);
    if p.bits() < 3 || p.bits() > PRIME_BITS_MAX {
        return Err(CryptoError::openssl(
            "0280007E",
            "DH",
            "Diffie-Hellman routines",
            "modulus too small",
        ));
    }
    let limit = if p.bits() > PRIVATE_BITS_MAX {
        BigUint::from(1_u32) << PRIVATE_BITS_MAX
    } else {
        p - BigUint::from(1_u32)
    };
    if limit <= two {
        return Ok(BigUint::from(1_u32));
    }
    Ok(OsRng.gen_biguint_range(&two, &limit))
}

/// base^exponent mod p.
pub(crate) fn power(base: &BigUint, exponent: &BigUint, p: &BigUint) -> BigUint {
    base.modpow(exponent, p)
}

/// The shared number at the prime's length; `None` if the peer's number is no member that keeps the secret.
pub(crate) fn agree(p: &BigUint, x: &BigUint, y: &BigUint) -> Option<Vec<u8>> {
    let one = BigUint::from(1_u32);
    if *y <= one || *y >= p - &one {
        return None;
    }
    let shared = y.modpow(x, p).to_bytes_be();
    let mut out = vec![0; p.bits().div_ceil(8).checked_sub(shared.len())?];
    out.extend_from_slice(&shared);
    Some(out)
}

/// The primes of RFC 2409 and RFC 3526: p = 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + c).
pub(crate) fn group(name: &str) -> Option<BigUint> {
    // Bits and the constant c.
    let (bits, constant) = match name {
        "modp1" => (768, 149_686),
        "modp2" => (1024, 129_093),
        "modp5" => (1536, 741_804),
        "modp14" => (2048, 124_476),
        "modp15" => (3072, 1_690_314),
        "modp16" => (4096, 240_904),
        "modp17" => (6144, 929_484),
        "modp18" => (8192, 4_743_158),
        _ => return None,
    };
    let one = BigUint::from(1_u32);
    let fraction = pi_bits(bits - 130) + BigUint::from(constant as u32);
    Some((&one << bits) - (&one << (bits - 64)) - &one + (fraction << 64_usize))
}

/// floor(2^bits * pi), by Machin's formula with guard bits.
fn pi_bits(bits: usize) -> BigUint {
    const GUARD: usize = 64;
    let one = BigUint::from(1_u32) << (bits + GUARD);
    // arctan(1/x) as an alternating series.
    let arctan = |x: u32| {
        let square = x * x;
        let mut power = &one / x;
        let mut plus = power.clone();
        let mut minus = BigUint::from(0_u32);
        let mut divisor = 3_u32;
        let mut add = false;
        while power.bits() > 0 {
            power /= square;
            let term = &power / divisor;
            if add {
                plus += term
            } else {
                minus += term
            }
            add = !add;
            divisor += 2;
        }
        plus - minus
    };
    let quarter = arctan(5) * 4_u32 - arctan(239);
    (quarter << 2_usize) >> GUARD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_published_primes() {
        let hex = group("modp1").unwrap().to_str_radix(16);
        assert!(
            hex.starts_with("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1"),
            "{hex}"
        );
        assert!(hex.ends_with("ffffffffffffffff"), "{hex}");
        for name in ["modp1", "modp2", "modp5"] {
            let p = group(name).unwrap();
            assert!(crate::crypto::prime::is_prime(&p, 5), "{name}");
            assert!(crate::crypto::prime::is_prime(&(p >> 1_usize), 5), "{name}");
        }
        assert!(group("modp3").is_none());
    }

    #[test]
    fn both_sides_agree() {
        let p = group("modp1").unwrap();
        let g = BigUint::from(2_u32);
        let (a, b) = (
            Dh::generate(p.clone(), g.clone()).unwrap(),
            Dh::generate(p.clone(), g).unwrap(),
        );
        let shared = agree(&p, a.x.as_ref().unwrap(), &b.y).unwrap();
        assert_eq!(shared, agree(&p, b.x.as_ref().unwrap(), &a.y).unwrap());
        assert_eq!(shared.len(), 96);
        assert!(agree(&p, a.x.as_ref().unwrap(), &BigUint::from(1_u32)).is_none());
    }
}
