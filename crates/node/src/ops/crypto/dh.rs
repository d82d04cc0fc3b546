//! Diffie-Hellman, over primes and over curves, and primes.

use super::bytes;
use super::job::{Job, Output};
use super::key::{KeyHandle, invalid_curve};
use crate::crypto::error::{CryptoError, Result};
use crate::crypto::key::{Asymmetric, dh, ec};
use crate::crypto::prime;
use ::rsa::BigUint;
use deno_core::convert::Uint8Array;
use deno_core::op2;
use std::sync::Arc;

/// The longest prime that is searched for, bits; safe ones are some hundred times rarer to meet.
const GENERATE_BITS_MAX: u32 = 4_096;
const GENERATE_SAFE_BITS_MAX: u32 = 2_048;
/// The longest number that is tested, bits.
const CHECK_BITS_MAX: usize = 16_384;

/// DH_check's findings, as Node's constants have them.
const CHECK_P_NOT_SAFE_PRIME: u32 = 2;
const CHECK_P_NOT_PRIME: u32 = 1;
const NOT_SUITABLE_GENERATOR: u32 = 8;

pub(super) fn check_new_prime_bits(bits: u32) -> Result<()> {
    if bits > GENERATE_SAFE_BITS_MAX {
        return Err(CryptoError::openssl(
            "02800067",
            "DH",
            "Diffie-Hellman routines",
            "modulus too large",
        ));
    }
    Ok(())
}

/// A safe prime for which the generator makes a large group.
pub(super) fn new_prime(bits: u32, generator: u32) -> Result<BigUint> {
    if bits < 2 {
        return Err(CryptoError::openssl(
            "0300007F",
            "BN",
            "bignum routines",
            "bits too small",
        ));
    }
    let (add, rem) = match generator {
        2 => (Some(24), Some(23)),
        5 => (Some(60), Some(59)),
        _ => (Some(12), Some(11)),
    };
    if bits < 16 {
        return prime::generate(bits as usize, true, None, None);
    }
    let number = |value: Option<u32>| value.map(BigUint::from);
    prime::generate(bits as usize, true, number(add).as_ref(), number(rem).as_ref())
}

/// The prime of a named group; empty if there is none of that name.
#[op2]
pub(crate) fn op_crypto_dh_group(#[string] name: &str) -> Uint8Array {
    bytes(dh::group(name).map(|prime| prime.to_bytes_be()).unwrap_or_default())
}

/// A safe prime for the class.
#[op2]
pub(crate) fn op_crypto_dh_new_prime(bits: u32, generator: u32) -> Result<Uint8Array> {
    check_new_prime_bits(bits)?;
    Ok(bytes(new_prime(bits, generator)?.to_bytes_be()))
}

/// What is wrong with a prime and its generator.
#[op2(fast)]
pub(crate) fn op_crypto_dh_check(#[buffer] prime: &[u8], #[buffer] generator: &[u8]) -> u32 {
    let (p, g) = (BigUint::from_bytes_be(prime), BigUint::from_bytes_be(generator));
    let mut found = 0;
    let one = BigUint::from(1_u32);
    if g <= one || (p.bits() > 0 && g >= &p - &one) {
        found |= NOT_SUITABLE_GENERATOR;
    }
    if p.bits() > CHECK_BITS_MAX || !prime::is_prime(&p, 10) {
        return found | CHECK_P_NOT_PRIME;
    }
    if !prime::is_prime(&(&p >> 1_usize), 10) {
        found |= CHECK_P_NOT_SAFE_PRIME;
    }
    found
}

/// A private key for the prime.
#[op2]
pub(crate) fn op_crypto_dh_random(#[buffer] prime: &[u8]) -> Result<Uint8Array> {
    Ok(bytes(
        dh::random_exponent(&BigUint::from_bytes_be(prime))?.to_bytes_be(),
    ))
}

fn odd_modulus(prime: &[u8]) -> Result<BigUint> {
    let p = BigUint::from_bytes_be(prime);
    let odd = prime.last().is_some_and(|byte| byte & 1 == 1);
    if !odd || p.bits() < 2 || p.bits() > dh::PRIME_BITS_MAX {
        return Err(CryptoError::openssl(
            "0280007E",
            "DH",
            "Diffie-Hellman routines",
            "modulus too small",
        ));
    }
    Ok(p)
}

/// base^exponent mod prime.
#[op2]
pub(crate) fn op_crypto_dh_power(
    #[buffer] prime: &[u8],
    #[buffer] base: &[u8],
    #[buffer] exponent: &[u8],
) -> Result<Uint8Array> {
    let p = odd_modulus(prime)?;
    let result = dh::power(&BigUint::from_bytes_be(base), &BigUint::from_bytes_be(exponent), &p);
    Ok(bytes(result.to_bytes_be()))
}

/// The shared secret at the prime's length.
#[op2]
pub(crate) fn op_crypto_dh_compute(
    #[buffer] prime: &[u8],
    #[buffer] private: &[u8],
    #[buffer] public: &[u8],
) -> Result<Uint8Array> {
    let p = odd_modulus(prime)?;
    let y = BigUint::from_bytes_be(public);
    let refuse = |why: &'static str| CryptoError::range_error("ERR_CRYPTO_INVALID_KEYLEN", why);
    if y.bits() <= 1 {
        return Err(refuse("Supplied key is too small"));
    }
    if y >= &p - BigUint::from(1_u32) {
        return Err(refuse("Supplied key is too large"));
    }
    let shared = dh::agree(&p, &BigUint::from_bytes_be(private), &y).ok_or_else(|| refuse("Invalid key"))?;
    Ok(bytes(shared))
}

/// `diffieHellman()`: both keys of one kind and one group.
#[op2]
#[cppgc]
pub(crate) fn op_crypto_agree(#[cppgc] private: &KeyHandle, #[cppgc] public: &KeyHandle) -> Result<Job> {
    let failed = || CryptoError::error("ERR_OPERATION_FAILED", "diffieHellman failed");
    let own: Arc<Asymmetric> = private.0.asymmetric().cloned().ok_or_else(failed)?;
    let other: Arc<Asymmetric> = public.0.asymmetric().cloned().ok_or_else(failed)?;
    Ok(Job::new(move || {
        let mismatch = || CryptoError::openssl("1C8000CB", "", "Provider routines", "mismatching domain parameters");
        let derivation = || CryptoError::openssl("1C80007D", "", "Provider routines", "failed during derivation");
        let secret = match (own.as_ref(), other.as_ref()) {
            (Asymmetric::Dh(own), Asymmetric::Dh(other)) => {
                if own.p != other.p || own.g != other.g {
                    return Err(mismatch());
                }
                let x = own.x.as_ref().ok_or_else(derivation)?;
                dh::agree(&own.p, x, &other.y).ok_or_else(derivation)?
            }
            (Asymmetric::Ec(own), Asymmetric::Ec(other)) => {
                if own.curve != other.curve {
                    return Err(mismatch());
                }
                let scalar = own.scalar.as_ref().ok_or_else(derivation)?;
                own.curve.agree(scalar, &other.point).ok_or_else(derivation)?
            }
            (Asymmetric::Okp(own), Asymmetric::Okp(other)) if own.kind == other.kind => {
                let private = own.private.as_ref().ok_or_else(derivation)?;
                own.kind.agree(private, &other.public).ok_or_else(derivation)?
            }
            _ => return Err(mismatch()),
        };
        Ok(Output::Bytes(secret))
    }))
}

fn curve(name: &str) -> Result<ec::Curve> {
    ec::Curve::find(name).ok_or_else(invalid_curve)
}

#[op2]
pub(crate) fn op_crypto_curves() -> Vec<String> {
    ec::CURVES.map(str::to_owned).to_vec()
}

#[op2(fast)]
pub(crate) fn op_crypto_ecdh_check(#[string] name: &str) -> Result<()> {
    curve(name).map(|_| ())
}

/// A private key.
#[op2]
pub(crate) fn op_crypto_ecdh_generate(#[string] name: &str) -> Result<Uint8Array> {
    let key = curve(name)?.generate();
    Ok(bytes(key.scalar.unwrap_or_default()))
}

/// The public key, in a form: 2 compressed, 4 uncompressed, 6 hybrid; empty if the private key is none.
#[op2]
pub(crate) fn op_crypto_ecdh_public(#[string] name: &str, #[buffer] private: &[u8], form: u32) -> Result<Uint8Array> {
    let curve = curve(name)?;
    let point = curve.public_point(private);
    Ok(bytes(
        point.map(|point| curve.form(&point, form as u8)).unwrap_or_default(),
    ))
}

/// A point in another form; empty if it is none of the curve.
#[op2]
pub(crate) fn op_crypto_ecdh_convert(#[string] name: &str, #[buffer] public: &[u8], form: u32) -> Result<Uint8Array> {
    let curve = curve(name)?;
    let point = curve.point(public);
    Ok(bytes(
        point.map(|point| curve.form(&point, form as u8)).unwrap_or_default(),
    ))
}

/// The shared secret; empty if the public key is none of the curve.
#[op2]
pub(crate) fn op_crypto_ecdh_compute(
    #[string] name: &str,
    #[buffer] private: &[u8],
    #[buffer] public: &[u8],
) -> Result<Uint8Array> {
    let curve = curve(name)?;
    let secret = curve.point(public).and_then(|point| curve.agree(private, &point));
    Ok(bytes(secret.unwrap_or_default()))
}

/// Empty buffers are "not given".
#[op2]
#[cppgc]
pub(crate) fn op_crypto_prime_generate(
    bits: u32,
    safe: bool,
    #[buffer] add: &[u8],
    #[buffer] rem: &[u8],
) -> Result<Job> {
    let most = if safe {
        GENERATE_SAFE_BITS_MAX
    } else {
        GENERATE_BITS_MAX
    };
    if bits > most {
        return Err(CryptoError::range_error(
            "ERR_OUT_OF_RANGE",
            format!("The value of \"size\" is out of range. It must be <= {most}. Received {bits}"),
        ));
    }
    let number = |bytes: &[u8]| (!bytes.is_empty()).then(|| BigUint::from_bytes_be(bytes));
    let (add, rem) = (number(add), number(rem));
    if let Some(add) = &add {
        if add.bits() as u64 > u64::from(bits) {
            return Err(CryptoError::range_error("ERR_OUT_OF_RANGE", "invalid options.add"));
        }
        if rem.as_ref().is_some_and(|rem| rem >= add) {
            return Err(CryptoError::range_error("ERR_OUT_OF_RANGE", "invalid options.rem"));
        }
    }
    Ok(Job::new(move || {
        if bits < 2 || (safe && bits < 3) {
            return Err(CryptoError::openssl(
                "0300007F",
                "BN",
                "bignum routines",
                "bits too small",
            ));
        }
        let prime = prime::generate(
            bits as usize,
            safe,
            add.as_ref().filter(|add| add.bits() > 0),
            rem.as_ref(),
        )?;
        let found = prime.to_bytes_be();
        let mut out = vec![0; (bits as usize).div_ceil(8) - found.len()];
        out.extend_from_slice(&found);
        Ok(Output::Bytes(out))
    }))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_prime_check(#[buffer] candidate: &[u8], checks: u32) -> Result<Job> {
    let candidate = BigUint::from_bytes_be(candidate);
    if candidate.bits() > CHECK_BITS_MAX {
        return Err(CryptoError::openssl(
            "03000072",
            "BN",
            "bignum routines",
            "bignum too long",
        ));
    }
    let rounds = if checks == 0 {
        prime::ROUNDS
    } else {
        (checks as usize).min(prime::ROUNDS * 2)
    };
    Ok(Job::new(move || Ok(Output::Bool(prime::is_prime(&candidate, rounds)))))
}
