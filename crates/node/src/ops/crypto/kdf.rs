//! PBKDF2, scrypt and HKDF.

use super::job::{Job, Output};
use crate::crypto::digest::HashKind;
use crate::crypto::error::{CryptoError, Result};
use deno_core::op2;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// The most HMAC rounds of one derivation: some seconds.
const ROUNDS_MAX: u64 = 50_000_000;
/// The most bytes of one derived key.
const KEY_BYTES_MAX: u32 = 1 << 27;
/// The most memory that scrypt may take whatever the caller allows, bytes. It is nobody's heap and no buffer, so no other limit
/// bounds it. The largest parameters that are recommended anywhere (N = 2^17, r = 8) take 128 MiB and a little.
const SCRYPT_MEMORY_MAX: f64 = (129_u64 << 20) as f64;
/// The most blocks that scrypt mixes in one call: N * r * p.
const SCRYPT_WORK_MAX: f64 = (1_u64 << 26) as f64;

fn refuse(what: String) -> CryptoError {
    CryptoError::range_error("ERR_OUT_OF_RANGE", what)
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_pbkdf2(
    #[buffer] password: &[u8],
    #[buffer] salt: &[u8],
    iterations: u32,
    length: u32,
    #[string] hash: &str,
) -> Result<Job> {
    let kind = HashKind::named(hash)?;
    // The caller checked that it is positive.
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let blocks = u64::from(length).div_ceil(kind.size as u64);
    if length > KEY_BYTES_MAX || u64::from(iterations.get()) * blocks.max(1) > ROUNDS_MAX {
        return Err(refuse(format!(
            "Pbkdf2 failed: {iterations} iterations for a key of {length} bytes are more than this platform computes in one call."
        )));
    }
    let (password, salt) = (Zeroizing::new(password.to_vec()), salt.to_vec());
    Ok(Job::new(move || {
        Ok(Output::Bytes(kind.pbkdf2(
            &password,
            &salt,
            iterations,
            length as usize,
        )))
    }))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_scrypt(
    #[buffer] password: &[u8],
    #[buffer] salt: &[u8],
    n: f64,
    r: u32,
    p: u32,
    max_memory: f64,
    length: u32,
) -> Result<Job> {
    let invalid = |why: &str| {
        CryptoError::range_error(
            "ERR_CRYPTO_INVALID_SCRYPT_PARAMS",
            format!("Invalid scrypt params{why}"),
        )
    };
    if !(2.0..=4_294_967_295.0).contains(&n) || !(n as u64).is_power_of_two() || r == 0 || p == 0 {
        return Err(invalid(""));
    }
    let memory = 128.0 * f64::from(r) * (n + f64::from(p) + 2.0);
    if f64::from(p) * f64::from(r) >= f64::from(1 << 30) {
        return Err(invalid(""));
    }
    if memory > max_memory {
        return Err(invalid(": memory limit exceeded"));
    }
    if memory > SCRYPT_MEMORY_MAX || n * f64::from(r) * f64::from(p) > SCRYPT_WORK_MAX || length > KEY_BYTES_MAX {
        return Err(invalid(": more than this platform computes in one call"));
    }
    let log_n = (n as u64).trailing_zeros() as u8;
    let parameters = scrypt::Params::new(log_n, r, p, 32).map_err(|_| invalid(""))?;
    let (password, salt) = (Zeroizing::new(password.to_vec()), salt.to_vec());
    Ok(Job::new(move || {
        let mut key = vec![0; length as usize];
        if !key.is_empty() {
            scrypt::scrypt(&password, &salt, &parameters, &mut key)
                .map_err(|_| CryptoError::range_error("ERR_CRYPTO_INVALID_SCRYPT_PARAMS", "Invalid scrypt params"))?;
        }
        Ok(Output::Bytes(key))
    }))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_hkdf(
    #[string] hash: &str,
    #[buffer] key: &[u8],
    #[buffer] salt: &[u8],
    #[buffer] info: &[u8],
    length: u32,
) -> Result<Job> {
    let kind = HashKind::named(hash)?;
    if length as usize > 255 * kind.size {
        return Err(CryptoError::range_error(
            "ERR_CRYPTO_INVALID_KEYLEN",
            "Invalid key length",
        ));
    }
    let (key, salt, info) = (Zeroizing::new(key.to_vec()), salt.to_vec(), info.to_vec());
    Ok(Job::new(move || {
        kind.hkdf(&key, &salt, &info, length as usize).map(Output::Bytes)
    }))
}
