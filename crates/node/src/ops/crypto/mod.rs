//! The ops of `node:crypto`. Arguments were checked in JavaScript; what only the algorithm can tell is checked here.
//!
//! What may take long is a `Job` (see `job`): the same work serves the synchronous form, on the isolate's thread, and the
//! asynchronous form, on a bounded number of other threads.

mod cipher;
mod dh;
mod digest;
mod job;
mod kdf;
mod key;
mod random;
mod sign;
mod x509;

use deno_core::convert::Uint8Array;

deno_core::extension!(
    atoll_node_crypto,
    ops = [
        cipher::op_crypto_cipher_final,
        cipher::op_crypto_cipher_info,
        cipher::op_crypto_cipher_names,
        cipher::op_crypto_cipher_new,
        cipher::op_crypto_cipher_set_aad,
        cipher::op_crypto_cipher_set_padding,
        cipher::op_crypto_cipher_set_tag,
        cipher::op_crypto_cipher_tag,
        cipher::op_crypto_cipher_update,
        dh::op_crypto_agree,
        dh::op_crypto_curves,
        dh::op_crypto_dh_check,
        dh::op_crypto_dh_compute,
        dh::op_crypto_dh_group,
        dh::op_crypto_dh_new_prime,
        dh::op_crypto_dh_power,
        dh::op_crypto_dh_random,
        dh::op_crypto_ecdh_check,
        dh::op_crypto_ecdh_compute,
        dh::op_crypto_ecdh_convert,
        dh::op_crypto_ecdh_generate,
        dh::op_crypto_ecdh_public,
        dh::op_crypto_prime_check,
        dh::op_crypto_prime_generate,
        digest::op_crypto_hash_copy,
        digest::op_crypto_hash_digest,
        digest::op_crypto_hash_names,
        digest::op_crypto_hash_new,
        digest::op_crypto_hash_oneshot,
        digest::op_crypto_hash_update,
        digest::op_crypto_hash_update_text,
        digest::op_crypto_hmac_digest,
        digest::op_crypto_hmac_new,
        digest::op_crypto_hmac_update,
        job::op_crypto_job_run,
        job::op_crypto_job_start,
        kdf::op_crypto_hkdf,
        kdf::op_crypto_pbkdf2,
        kdf::op_crypto_scrypt,
        key::op_crypto_cipher_exists,
        key::op_crypto_generate_dh,
        key::op_crypto_generate_dsa,
        key::op_crypto_generate_ec,
        key::op_crypto_generate_okp,
        key::op_crypto_generate_rsa,
        key::op_crypto_key_equals,
        key::op_crypto_key_export,
        key::op_crypto_key_from_jwk,
        key::op_crypto_key_info,
        key::op_crypto_key_kind,
        key::op_crypto_key_parse,
        key::op_crypto_key_public,
        key::op_crypto_key_secret,
        key::op_crypto_key_secret_bytes,
        key::op_crypto_key_to_jwk,
        random::op_crypto_random_fill,
        random::op_crypto_timing_safe_equal,
        sign::op_crypto_rsa,
        sign::op_crypto_sign,
        sign::op_crypto_verify,
        x509::op_crypto_spkac_challenge,
        x509::op_crypto_spkac_key,
        x509::op_crypto_spkac_verify,
        x509::op_crypto_x509_info,
        x509::op_crypto_x509_issued,
        x509::op_crypto_x509_key,
        x509::op_crypto_x509_matches,
        x509::op_crypto_x509_parse,
        x509::op_crypto_x509_pem,
        x509::op_crypto_x509_raw,
        x509::op_crypto_x509_verify,
    ],
);

/// The ops of `node:crypto`, for the startup snapshot.
pub(crate) fn extension() -> deno_core::Extension {
    atoll_node_crypto::init()
}

/// Bytes for JavaScript.
fn bytes(bytes: Vec<u8>) -> Uint8Array {
    Uint8Array::from(bytes)
}

/// Declares a type that JavaScript holds and the collector frees.
macro_rules! held {
    ($type:ty, $name:literal) => {
        // SAFETY: the type holds no references that the collector traces.
        unsafe impl deno_core::GarbageCollected for $type {
            fn trace(&self, _visitor: &mut deno_core::v8::cppgc::Visitor) {}

            fn get_name(&self) -> &'static std::ffi::CStr {
                $name
            }
        }
    };
}
use held;
