//! Message digests piece by piece, and comparing without telling where (`js/29_crypto_extras.js`).

use deno_core::convert::Uint8Array;
use deno_core::{GarbageCollected, op2, v8};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha384, Sha512};
use std::cell::RefCell;
use subtle::ConstantTimeEq;

/// A digest under way.
pub(crate) struct Digest(RefCell<Box<dyn DynDigest>>);

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Digest {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Digest"
    }
}

/// Begins a digest; null if there is none of that name (in upper case).
#[op2]
#[cppgc]
pub(crate) fn op_digest_create(#[string] name: &str) -> Option<Digest> {
    let digest: Box<dyn DynDigest> = match name {
        "MD5" => Box::new(Md5::default()),
        "SHA-1" => Box::new(Sha1::default()),
        "SHA-256" => Box::new(Sha256::default()),
        "SHA-384" => Box::new(Sha384::default()),
        "SHA-512" => Box::new(Sha512::default()),
        _ => return None,
    };
    Some(Digest(RefCell::new(digest)))
}

/// More bytes.
#[op2(fast)]
pub(crate) fn op_digest_update(#[cppgc] digest: &Digest, #[buffer] data: &[u8]) {
    digest.0.borrow_mut().update(data);
}

/// The digest of all that came; the next begins afresh.
#[op2]
pub(crate) fn op_digest_finish(#[cppgc] digest: &Digest) -> Uint8Array {
    Vec::from(digest.0.borrow_mut().finalize_reset()).into()
}

/// Are they the same? Takes the same time whatever they hold; lengths are equal.
#[op2(fast)]
pub(crate) fn op_timing_safe_equal(#[buffer] left: &[u8], #[buffer] right: &[u8]) -> bool {
    left.ct_eq(right).into()
}
