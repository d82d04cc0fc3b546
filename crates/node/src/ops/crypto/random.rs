//! Random bytes and comparisons that take the same time for all contents.

use crate::crypto::error::{CryptoError, Result};
use deno_core::op2;
use rand::RngCore;
use rand::rngs::OsRng;
use subtle::ConstantTimeEq;

#[op2(fast)]
pub(crate) fn op_crypto_random_fill(#[buffer] out: &mut [u8]) -> Result<()> {
    OsRng.try_fill_bytes(out).map_err(|error| {
        CryptoError::error(
            "ERR_OPERATION_FAILED",
            format!("Operation failed: no randomness: {error}"),
        )
    })
}

/// Equal lengths were checked before.
#[op2(fast)]
pub(crate) fn op_crypto_timing_safe_equal(#[buffer] a: &[u8], #[buffer] b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
