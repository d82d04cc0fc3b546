//! KeyObject's ops.

use super::job::{Job, Output};
use super::{bytes, held};
use crate::crypto::cipher::CipherKind;
use crate::crypto::digest::HashKind;
use crate::crypto::error::{CryptoError, Result};
use crate::crypto::key::{
    Asymmetric, Encoding, Encryption, Input, Key, Type, dh, dsa, ec, export, from_jwk, okp, parse_private,
    parse_public, rsa, to_jwk,
};
use ::rsa::BigUint;
use deno_core::convert::Uint8Array;
use deno_core::op2;
use std::sync::Arc;

/// The longest RSA modulus that is generated, bits: the slowest takes seconds.
const RSA_GENERATE_BITS_MAX: u32 = 8_192;
/// The longest DSA modulus that is generated, bits.
const DSA_GENERATE_BITS_MAX: u32 = 4_096;

/// A key that JavaScript holds.
pub(crate) struct KeyHandle(pub Key);

held!(KeyHandle, c"Key");

fn asymmetric(handle: &KeyHandle) -> Result<&Arc<Asymmetric>> {
    let refusal = || {
        CryptoError::type_error(
            "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE",
            "Invalid key object type secret, expected private or public.",
        )
    };
    handle.0.asymmetric().ok_or_else(refusal)
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_key_secret(#[buffer] data: &[u8]) -> KeyHandle {
    KeyHandle(Key::secret(data.to_vec()))
}

#[op2]
pub(crate) fn op_crypto_key_secret_bytes(#[cppgc] key: &KeyHandle) -> Result<Uint8Array> {
    match &key.0 {
        Key::Secret(secret) => Ok(bytes(secret.to_vec())),
        _ => Err(CryptoError::type_error(
            "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE",
            "Invalid key object type, expected secret.",
        )),
    }
}

/// Format: 0 PEM, 1 PKCS #1, 2 PKCS #8, 3 SPKI, 4 SEC 1.
#[op2]
#[cppgc]
pub(crate) fn op_crypto_key_parse(
    private: bool,
    #[buffer] data: &[u8],
    #[smi] format: u32,
    has_passphrase: bool,
    #[buffer] passphrase: &[u8],
) -> Result<KeyHandle> {
    let input = match format {
        0 => Input::Pem,
        1 => Input::Der(Type::Pkcs1),
        2 => Input::Der(Type::Pkcs8),
        3 => Input::Der(Type::Spki),
        _ => Input::Der(Type::Sec1),
    };
    let passphrase = has_passphrase.then_some(passphrase);
    if private {
        let key = parse_private(data, &input, passphrase)?;
        return Ok(KeyHandle(Key::Private(Arc::new(key))));
    }
    let key = parse_public(data, &input, passphrase)?;
    Ok(KeyHandle(Key::Public(Arc::new(key))))
}

/// The public half.
#[op2]
#[cppgc]
pub(crate) fn op_crypto_key_public(#[cppgc] key: &KeyHandle) -> Result<KeyHandle> {
    Ok(KeyHandle(Key::Public(Arc::new(asymmetric(key)?.public()))))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_key_from_jwk(#[string] kind: &str, #[scoped] members: Vec<String>) -> Result<KeyHandle> {
    let key = Arc::new(from_jwk(kind, &members)?);
    Ok(KeyHandle(if key.is_private() {
        Key::Private(key)
    } else {
        Key::Public(key)
    }))
}

/// The key's members as JSON.
#[op2]
#[string]
pub(crate) fn op_crypto_key_to_jwk(#[cppgc] key: &KeyHandle) -> Result<String> {
    to_jwk(asymmetric(key)?)
}

/// "secret", "public" or "private".
#[op2]
#[string]
pub(crate) fn op_crypto_key_kind(#[cppgc] key: &KeyHandle) -> String {
    match &key.0 {
        Key::Secret(_) => "secret",
        Key::Public(_) => "public",
        Key::Private(_) => "private",
    }
    .to_owned()
}

/// asymmetricKeyType and asymmetricKeyDetails as JSON.
#[op2]
#[string]
pub(crate) fn op_crypto_key_info(#[cppgc] key: &KeyHandle) -> Result<String> {
    let key = asymmetric(key)?;
    Ok(format!(
        r#"{{"type":"{}","details":{}}}"#,
        key.type_name(),
        key.details()
    ))
}

#[op2(fast)]
pub(crate) fn op_crypto_key_equals(#[cppgc] a: &KeyHandle, #[cppgc] b: &KeyHandle) -> bool {
    use subtle::ConstantTimeEq;
    match (&a.0, &b.0) {
        (Key::Secret(a), Key::Secret(b)) => a.ct_eq(b).into(),
        (Key::Public(a), Key::Public(b)) | (Key::Private(a), Key::Private(b)) => a.equals(b),
        _ => false,
    }
}

/// Encoding: 0 public PKCS #1, 1 SPKI, 2 private PKCS #1, 3 PKCS #8, 4 SEC 1. An empty cipher encrypts nothing.
#[op2]
pub(crate) fn op_crypto_key_export(
    #[cppgc] key: &KeyHandle,
    #[smi] encoding: u32,
    pem: bool,
    #[string] cipher: &str,
    #[buffer] passphrase: &[u8],
) -> Result<Uint8Array> {
    let encoding = match encoding {
        0 => Encoding::Pkcs1Public,
        1 => Encoding::Spki,
        2 => Encoding::Pkcs1Private,
        3 => Encoding::Pkcs8,
        _ => Encoding::Sec1,
    };
    let encryption = if cipher.is_empty() {
        None
    } else {
        let cipher = find_cipher(cipher)?;
        Some(Encryption {
            cipher,
            passphrase: passphrase.to_vec(),
        })
    };
    Ok(bytes(export(asymmetric(key)?, encoding, pem, encryption.as_ref())?))
}

fn find_cipher(name: &str) -> Result<&'static CipherKind> {
    CipherKind::find(name).ok_or_else(|| CryptoError::error("ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher"))
}

/// True if a key can be encrypted with that cipher.
#[op2(fast)]
pub(crate) fn op_crypto_cipher_exists(#[string] name: &str) -> bool {
    CipherKind::find(name).is_some()
}

fn pair(key: Asymmetric) -> Output {
    Output::Pair(Arc::new(key))
}

/// Empty names and a negative salt length are "not given".
#[op2]
#[cppgc]
pub(crate) fn op_crypto_generate_rsa(
    bits: u32,
    exponent: u32,
    pss: bool,
    #[string] hash: &str,
    #[string] mgf: &str,
    salt: i32,
) -> Result<Job> {
    if exponent < 3 || exponent.is_multiple_of(2) {
        return Err(CryptoError::openssl(
            "020000B2",
            "RSA",
            "rsa routines",
            "pub exponent out of range",
        ));
    }
    if bits < 512 {
        return Err(CryptoError::openssl(
            "02000078",
            "RSA",
            "rsa routines",
            "key size too small",
        ));
    }
    if bits > RSA_GENERATE_BITS_MAX {
        return Err(CryptoError::openssl(
            "02000069",
            "RSA",
            "rsa routines",
            "modulus too large",
        ));
    }
    let limits = if pss && !(hash.is_empty() && mgf.is_empty() && salt < 0) {
        let hash = HashKind::named(if hash.is_empty() { "sha1" } else { hash })?;
        let mgf = if mgf.is_empty() { hash } else { HashKind::named(mgf)? };
        let salt = u32::try_from(salt).unwrap_or(hash.size as u32);
        Some(rsa::PssLimits { hash, mgf, salt })
    } else {
        None
    };
    Ok(Job::new(move || {
        let mut key = rsa::Rsa::generate(bits as usize, exponent)?;
        key.pss = pss.then_some(limits);
        Ok(pair(Asymmetric::Rsa(key)))
    }))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_generate_dsa(bits: u32, divisor: i32) -> Result<Job> {
    if !(512..=DSA_GENERATE_BITS_MAX).contains(&bits) {
        return Err(CryptoError::openssl(
            "05000070",
            "DSA",
            "dsa routines",
            "bad ffc parameters",
        ));
    }
    let divisor = match u32::try_from(divisor) {
        Ok(divisor) => divisor,
        Err(_) if bits >= 2048 => 224,
        Err(_) => 160,
    };
    if divisor < 64 || divisor + 2 > bits {
        return Err(CryptoError::openssl(
            "05000070",
            "DSA",
            "dsa routines",
            "bad ffc parameters",
        ));
    }
    Ok(Job::new(move || {
        Ok(pair(Asymmetric::Dsa(dsa::Dsa::generate(
            bits as usize,
            divisor as usize,
        )?)))
    }))
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_generate_ec(#[string] curve: &str, explicit: bool) -> Result<Job> {
    let curve = ec::Curve::find(curve).ok_or_else(invalid_curve)?;
    Ok(Job::new(move || {
        let mut key = curve.generate();
        key.explicit = explicit;
        Ok(pair(Asymmetric::Ec(key)))
    }))
}

pub(super) fn invalid_curve() -> CryptoError {
    CryptoError::type_error("ERR_CRYPTO_INVALID_CURVE", "Invalid EC curve name")
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_generate_okp(#[string] kind: &str) -> Result<Job> {
    let kind = okp::OkpKind::find(kind).ok_or_else(|| {
        CryptoError::type_error(
            "ERR_INVALID_ARG_VALUE",
            format!("The argument 'type' must be a supported key type. Received '{kind}'"),
        )
    })?;
    Ok(Job::new(move || Ok(pair(Asymmetric::Okp(kind.generate()?)))))
}

/// With a prime, or one to be found of `bits` bits.
#[op2]
#[cppgc]
pub(crate) fn op_crypto_generate_dh(#[buffer] prime: &[u8], bits: u32, generator: u32) -> Result<Job> {
    let p = BigUint::from_bytes_be(prime);
    super::dh::check_new_prime_bits(bits)?;
    Ok(Job::new(move || {
        let p = if p.bits() == 0 {
            super::dh::new_prime(bits, generator)?
        } else {
            p
        };
        Ok(pair(Asymmetric::Dh(dh::Dh::generate(p, BigUint::from(generator))?)))
    }))
}
