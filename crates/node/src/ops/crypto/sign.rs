//! Signatures and RSA encryption.

use super::bytes;
use super::job::{Job, Output};
use super::key::KeyHandle;
use crate::crypto::digest::{HashKind, invalid_digest};
use crate::crypto::error::{CryptoError, Result};
use crate::crypto::key::{Asymmetric, ec, rsa};
use deno_core::convert::Uint8Array;
use deno_core::op2;
use std::sync::Arc;

/// Node's constants.
const PKCS1: i32 = 1;
const NO_PADDING: i32 = 3;
const OAEP: i32 = 4;
const PSS: i32 = 6;
const SALT_DIGEST: i32 = -1;
const SALT_AUTO: i32 = -2;
/// Stands for "not given".
const NONE: i32 = i32::MIN;

/// How to sign or verify.
struct Scheme {
    key: Arc<Asymmetric>,
    /// Empty: the key's own choice.
    hash: String,
    padding: i32,
    salt: i32,
    /// r and s side by side instead of DER.
    plain: bool,
    /// The data is a digest already.
    prehashed: bool,
}

fn unsupported() -> CryptoError {
    CryptoError::openssl(
        "03000096",
        "EVP",
        "digital envelope routines",
        "operation not supported for this keytype",
    )
}

impl Scheme {
    fn hash(&self) -> Result<&'static HashKind> {
        if self.hash.is_empty() {
            let name = match self.key.as_ref() {
                Asymmetric::Rsa(rsa::Rsa {
                    pss: Some(Some(limits)),
                    ..
                }) => limits.hash.name,
                _ => "sha256",
            };
            return HashKind::named(name);
        }
        HashKind::find(&self.hash).ok_or_else(|| invalid_digest(&self.hash))
    }

    fn digest(&self, hash: &HashKind, data: &[u8]) -> Vec<u8> {
        if self.prehashed {
            data.to_vec()
        } else {
            hash.digest(&[data])
        }
    }

    fn rsa_padding(&self, key: &rsa::Rsa) -> Result<i32> {
        let padding = match (self.padding, &key.pss) {
            (NONE, None) => PKCS1,
            (NONE, Some(_)) => PSS,
            (padding, _) => padding,
        };
        let illegal = || {
            CryptoError::openssl(
                "1C8000A5",
                "",
                "Provider routines",
                "illegal or unsupported padding mode",
            )
        };
        match padding {
            PSS => Ok(PSS),
            PKCS1 if key.pss.is_none() => Ok(PKCS1),
            _ => Err(illegal()),
        }
    }

    /// The mask's hash and the least salt; the key may refuse the hash.
    fn pss_limits(&self, key: &rsa::Rsa, hash: &'static HashKind) -> Result<(&'static HashKind, usize)> {
        let Some(Some(limits)) = &key.pss else {
            return Ok((hash, 0));
        };
        if limits.hash.name != hash.name {
            return Err(CryptoError::openssl(
                "1C8000AE",
                "",
                "Provider routines",
                "digest not allowed",
            ));
        }
        Ok((limits.mgf, limits.salt as usize))
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>> {
        match self.key.as_ref() {
            Asymmetric::Rsa(key) => {
                let hash = self.hash()?;
                if self.rsa_padding(key)? == PKCS1 {
                    return key.sign_pkcs1(hash, &self.digest(hash, data));
                }
                let limited = matches!(key.pss, Some(Some(_)));
                let too_small = || CryptoError::openssl("1C800088", "", "Provider routines", "pss saltlen too small");
                // The salt is judged before the hash is.
                if let Some(Some(limits)) = &key.pss
                    && self.salt >= 0
                    && (self.salt as u32) < limits.salt
                {
                    return Err(too_small());
                }
                let (mgf, least) = self.pss_limits(key, hash)?;
                let most = ((key.public_bits() - 1).div_ceil(8)).checked_sub(hash.size + 2);
                let salt = match self.salt {
                    NONE if limited => least,
                    SALT_DIGEST => hash.size,
                    NONE | SALT_AUTO => most.ok_or_else(|| {
                        CryptoError::openssl("02000070", "RSA", "rsa routines", "digest too big for rsa key")
                    })?,
                    length => usize::try_from(length).map_err(|_| too_small())?,
                };
                if salt < least {
                    return Err(too_small());
                }
                if most.is_none_or(|most| salt > most) {
                    return Err(CryptoError::openssl(
                        "0200006E",
                        "RSA",
                        "rsa routines",
                        "data too large for key size",
                    ));
                }
                key.sign_pss(hash, mgf, salt, &self.digest(hash, data))
            }
            Asymmetric::Ec(key) => {
                let signature = key.sign(&self.digest(self.hash()?, data))?;
                Ok(if self.plain {
                    signature
                } else {
                    ec::signature_to_der(&signature)
                })
            }
            Asymmetric::Dsa(key) => {
                let signature = key.sign(&self.digest(self.hash()?, data))?;
                Ok(if self.plain {
                    signature
                } else {
                    ec::signature_to_der(&signature)
                })
            }
            Asymmetric::Okp(key) if key.kind.signs() => {
                if self.prehashed {
                    return Err(unsupported());
                }
                if !self.hash.is_empty() {
                    return Err(CryptoError::openssl(
                        "1C800069",
                        "",
                        "Provider routines",
                        "invalid digest",
                    ));
                }
                key.sign(data)
            }
            _ => Err(unsupported()),
        }
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<bool> {
        match self.key.as_ref() {
            Asymmetric::Rsa(key) => {
                let hash = self.hash()?;
                if self.rsa_padding(key)? == PKCS1 {
                    return Ok(key.verify_pkcs1(hash, &self.digest(hash, data), signature));
                }
                let (mgf, least) = self.pss_limits(key, hash)?;
                let salt = match self.salt {
                    NONE | SALT_AUTO => None,
                    SALT_DIGEST => Some(hash.size),
                    length => Some(usize::try_from(length).unwrap_or(0)),
                };
                if salt.is_some_and(|salt| salt < least) {
                    return Err(CryptoError::openssl(
                        "1C800088",
                        "",
                        "Provider routines",
                        "pss saltlen too small",
                    ));
                }
                Ok(key.verify_pss(hash, mgf, salt, &self.digest(hash, data), signature))
            }
            Asymmetric::Ec(key) => {
                let digest = self.digest(self.hash()?, data);
                Ok(self
                    .numbers(signature, key.curve.size())
                    .is_some_and(|signature| key.verify(&digest, &signature)))
            }
            Asymmetric::Dsa(key) => {
                let digest = self.digest(self.hash()?, data);
                Ok(self
                    .numbers(signature, key.size())
                    .is_some_and(|signature| key.verify(&digest, &signature)))
            }
            Asymmetric::Okp(key) if key.kind.signs() => {
                if self.prehashed {
                    return Err(unsupported());
                }
                if !self.hash.is_empty() {
                    return Err(CryptoError::openssl(
                        "1C800069",
                        "",
                        "Provider routines",
                        "invalid digest",
                    ));
                }
                Ok(key.verify(data, signature))
            }
            _ => Err(unsupported()),
        }
    }

    /// r and s side by side.
    fn numbers(&self, signature: &[u8], size: usize) -> Option<Vec<u8>> {
        if self.plain {
            return (signature.len() == size * 2).then(|| signature.to_vec());
        }
        ec::signature_from_der(signature, size)
    }
}

fn key_of(handle: &KeyHandle) -> Result<Arc<Asymmetric>> {
    handle.0.asymmetric().cloned().ok_or_else(unsupported)
}

/// Numbers of `i32::MIN` are "not given".
#[op2]
#[cppgc]
pub(crate) fn op_crypto_sign(
    #[cppgc] key: &KeyHandle,
    #[string] hash: String,
    #[buffer] data: &[u8],
    prehashed: bool,
    padding: i32,
    salt: i32,
    plain: bool,
) -> Result<Job> {
    let data = data.to_vec();
    let scheme = Scheme {
        key: key_of(key)?,
        hash,
        padding,
        salt,
        plain,
        prehashed,
    };
    Ok(Job::new(move || scheme.sign(&data).map(Output::Bytes)))
}

/// Numbers of `i32::MIN` are "not given".
#[op2]
#[cppgc]
#[allow(clippy::too_many_arguments)]
pub(crate) fn op_crypto_verify(
    #[cppgc] key: &KeyHandle,
    #[string] hash: String,
    #[buffer] data: &[u8],
    prehashed: bool,
    padding: i32,
    salt: i32,
    plain: bool,
    #[buffer] signature: &[u8],
) -> Result<Job> {
    let (data, signature) = (data.to_vec(), signature.to_vec());
    let scheme = Scheme {
        key: key_of(key)?,
        hash,
        padding,
        salt,
        plain,
        prehashed,
    };
    Ok(Job::new(move || scheme.verify(&data, &signature).map(Output::Bool)))
}

/// Operation: 0 publicEncrypt, 1 privateDecrypt, 2 privateEncrypt, 3 publicDecrypt.
#[op2]
pub(crate) fn op_crypto_rsa(
    #[cppgc] key: &KeyHandle,
    #[smi] operation: u32,
    #[buffer] data: &[u8],
    padding: i32,
    #[string] hash: &str,
    #[buffer] label: &[u8],
) -> Result<Uint8Array> {
    let key = key_of(key)?;
    let Asymmetric::Rsa(key) = key.as_ref() else {
        return Err(unsupported());
    };
    if key.pss.is_some() {
        return Err(unsupported());
    }
    let illegal = || {
        CryptoError::openssl(
            "1C8000A5",
            "",
            "Provider routines",
            "illegal or unsupported padding mode",
        )
    };
    let oaep = || {
        let name = if hash.is_empty() { "sha1" } else { hash };
        HashKind::find(name)
            .ok_or_else(|| CryptoError::openssl("03000098", "EVP", "digital envelope routines", "invalid digest"))
    };
    let result = match (operation, padding) {
        (0, PKCS1) => key.encrypt_pkcs1(data),
        (0, NO_PADDING) => key.public_raw(data),
        (0, OAEP) => {
            let hash = oaep()?;
            key.encrypt_oaep(hash, hash, label, data)
        }
        (1, PKCS1) => key.decrypt_pkcs1(data),
        (1, NO_PADDING) => key.private_raw(data),
        (1, OAEP) => {
            let hash = oaep()?;
            key.decrypt_oaep(hash, hash, label, data)
        }
        (2, PKCS1 | NO_PADDING) => key.private_encrypt(padding == PKCS1, data),
        (3, PKCS1 | NO_PADDING) => key.public_decrypt(padding == PKCS1, data),
        _ => return Err(illegal()),
    };
    Ok(bytes(result?))
}
