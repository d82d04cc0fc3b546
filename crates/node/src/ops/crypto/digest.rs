//! Hash and Hmac.

use super::{bytes, held};
use crate::crypto::digest::{Authenticator, HashKind, Hasher, names};
use crate::crypto::error::{CryptoError, Result};
use deno_core::convert::Uint8Array;
use deno_core::op2;
use std::cell::RefCell;

/// A running hash; `None` once its digest was taken.
pub(crate) struct Hash(RefCell<Option<Hasher>>);

held!(Hash, c"Hash");

/// A running HMAC; `None` once its digest was taken.
pub(crate) struct Hmac(RefCell<Option<Box<dyn Authenticator>>>);

held!(Hmac, c"Hmac");

fn finalized() -> CryptoError {
    CryptoError::error("ERR_CRYPTO_HASH_FINALIZED", "Digest already called")
}

/// Negative lengths stand for "not given".
fn length(length: f64) -> Option<usize> {
    (length >= 0.0).then_some(length as usize)
}

#[op2]
pub(crate) fn op_crypto_hash_names() -> Vec<String> {
    names().into_iter().map(str::to_owned).collect()
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_hash_new(#[string] name: &str, output_length: f64) -> Result<Hash> {
    Ok(Hash(RefCell::new(Some(Hasher::new(name, length(output_length))?))))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_hash_copy(#[cppgc] hash: &Hash, output_length: f64) -> Result<Hash> {
    let state = hash.0.borrow();
    let copy = state.as_ref().ok_or_else(finalized)?.copy(length(output_length))?;
    Ok(Hash(RefCell::new(Some(copy))))
}

#[op2(fast)]
pub(crate) fn op_crypto_hash_update(#[cppgc] hash: &Hash, #[buffer] data: &[u8]) -> Result<()> {
    hash.0.borrow_mut().as_mut().ok_or_else(finalized)?.update(data);
    Ok(())
}

#[op2(fast)]
pub(crate) fn op_crypto_hash_update_text(#[cppgc] hash: &Hash, #[string] data: &str) -> Result<()> {
    hash.0
        .borrow_mut()
        .as_mut()
        .ok_or_else(finalized)?
        .update(data.as_bytes());
    Ok(())
}

#[op2]
pub(crate) fn op_crypto_hash_digest(#[cppgc] hash: &Hash) -> Result<Uint8Array> {
    let hasher = hash.0.borrow_mut().take().ok_or_else(finalized)?;
    Ok(bytes(hasher.finish()))
}

#[op2]
pub(crate) fn op_crypto_hash_oneshot(#[string] name: &str, #[buffer] data: &[u8]) -> Result<Uint8Array> {
    let mut hasher = Hasher::new(name, None)?;
    hasher.update(data);
    Ok(bytes(hasher.finish()))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_hmac_new(#[string] name: &str, #[buffer] key: &[u8]) -> Result<Hmac> {
    let kind = HashKind::find(name)
        .ok_or_else(|| CryptoError::error("ERR_CRYPTO_INVALID_DIGEST", format!("Invalid digest: {name}")))?;
    Ok(Hmac(RefCell::new(Some(kind.hmac(key)))))
}

#[op2(fast)]
pub(crate) fn op_crypto_hmac_update(#[cppgc] hmac: &Hmac, #[buffer] data: &[u8]) -> Result<()> {
    hmac.0.borrow_mut().as_mut().ok_or_else(finalized)?.update(data);
    Ok(())
}

#[op2]
pub(crate) fn op_crypto_hmac_digest(#[cppgc] hmac: &Hmac) -> Result<Uint8Array> {
    let mac = hmac.0.borrow_mut().take().ok_or_else(finalized)?;
    Ok(bytes(mac.finish()))
}
