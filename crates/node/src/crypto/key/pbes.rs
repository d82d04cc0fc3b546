//! EncryptedPrivateKeyInfo with PBES2 (RFC 8018): PBKDF2 or scrypt, and a block cipher.

use super::algorithm;
use crate::crypto::asn1::{self, Reader};
use crate::crypto::cipher::{Cipher, CipherKind};
use crate::crypto::digest::HashKind;
use crate::crypto::error::{CryptoError, Result};
use rand::RngCore;
use rand::rngs::OsRng;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
const SALT: usize = 16;
/// What OpenSSL writes.
const ITERATIONS: u32 = 2_048;
/// The most iterations that reading a key may cost.
const ITERATIONS_MAX: u32 = 10_000_000;
/// The most memory that reading a key may cost, bytes.
const SCRYPT_MEMORY_MAX: u64 = 64 << 20;

/// The ciphers by their OBJECT IDENTIFIERs.
const CIPHERS: [(&str, &[u8]); 7] = [
    ("aes-128-ecb", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x01]),
    ("aes-192-ecb", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x15]),
    ("aes-256-ecb", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x29]),
    ("aes-128-cbc", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02]),
    ("aes-192-cbc", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x16]),
    ("aes-256-cbc", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a]),
    ("des-ede3-cbc", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07]),
];

/// The PKCS #8 document inside.
pub(super) fn decrypt(der: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let unsupported = CryptoError::unsupported_key;
    let mut outer = Reader::new(der).sequence()?;
    let mut scheme = outer.sequence()?;
    let data = outer.expect(asn1::OCTET_STRING)?;
    if scheme.expect(asn1::OID)? != PBES2 {
        return Err(unsupported());
    }
    let mut parameters = scheme.sequence()?;
    let mut derivation = parameters.sequence()?;
    let mut encryption = parameters.sequence()?;
    let cipher = encryption.expect(asn1::OID)?;
    let iv = encryption.optional(asn1::OCTET_STRING)?.unwrap_or_default();
    let (name, _) = CIPHERS.iter().find(|(_, oid)| *oid == cipher).ok_or_else(unsupported)?;
    let kind = CipherKind::find(name).ok_or_else(unsupported)?;
    let function = derivation.expect(asn1::OID)?;
    let mut arguments = derivation.sequence()?;
    let salt = arguments.expect(asn1::OCTET_STRING)?;
    let mut key = Zeroizing::new(vec![0; kind.key_length]);
    if function == PBKDF2 {
        let iterations = arguments.small()?;
        let iterations = NonZeroU32::new(iterations)
            .filter(|count| count.get() <= ITERATIONS_MAX)
            .ok_or_else(unsupported)?;
        if arguments.peek() == Some(asn1::INTEGER) {
            arguments.small()?;
        }
        let hash = if arguments.is_empty() {
            "sha1"
        } else {
            let oid = arguments.sequence()?.expect(asn1::OID)?;
            match oid.strip_prefix(HMAC) {
                Some([7]) => "sha1",
                Some([8]) => "sha224",
                Some([9]) => "sha256",
                Some([10]) => "sha384",
                Some([11]) => "sha512",
                _ => return Err(unsupported()),
            }
        };
        *key = HashKind::named(hash)?.pbkdf2(passphrase, salt, iterations, kind.key_length);
    } else if function == SCRYPT {
        let (n, r, p) = (arguments.small()?, arguments.small()?, arguments.small()?);
        if !n.is_power_of_two() || u64::from(n) * u64::from(r) * 128 > SCRYPT_MEMORY_MAX {
            return Err(unsupported());
        }
        let log_n = n.trailing_zeros() as u8;
        let parameters = scrypt::Params::new(log_n, r, p, 32).map_err(|_| unsupported())?;
        scrypt::scrypt(passphrase, salt, &parameters, &mut key).map_err(|_| unsupported())?;
    } else {
        return Err(unsupported());
    }
    let mut cipher = Cipher::new(kind, false, &key, Some(iv), None)?;
    let mut out = Zeroizing::new(cipher.update(data)?);
    out.extend(cipher.finish().map_err(|_| CryptoError::bad_decrypt())?);
    Ok(out)
}

/// The document, encrypted as OpenSSL does it.
pub(super) fn encrypt(pkcs8: &[u8], kind: &'static CipherKind, passphrase: &[u8]) -> Result<Vec<u8>> {
    let (_, oid) = CIPHERS
        .iter()
        .find(|(name, _)| *name == kind.name)
        .ok_or_else(|| CryptoError::error("ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher"))?;
    let mut random = [0; SALT * 2];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| CryptoError::plain(format!("no randomness: {error}")))?;
    let (salt, iv) = random.split_at(SALT);
    let iv = &iv[..kind.iv_length.min(SALT)];
    const COUNT: NonZeroU32 = NonZeroU32::new(ITERATIONS).unwrap();
    let key = Zeroizing::new(HashKind::named("sha256")?.pbkdf2(passphrase, salt, COUNT, kind.key_length));
    let mut cipher = Cipher::new(kind, true, &key, Some(iv), None)?;
    let mut data = cipher.update(pkcs8)?;
    data.extend(cipher.finish()?);
    let hmac = asn1::sequence(&[asn1::oid(&[HMAC, &[9]].concat()), asn1::null()]);
    let derivation = algorithm(
        PBKDF2,
        Some(asn1::sequence(&[asn1::octets(salt), asn1::small(ITERATIONS), hmac])),
    );
    let encryption = algorithm(oid, (!iv.is_empty()).then(|| asn1::octets(iv)));
    let scheme = algorithm(PBES2, Some(asn1::sequence(&[derivation, encryption])));
    Ok(asn1::sequence(&[scheme, asn1::octets(&data)]))
}
