//! RSA: keys, and the padding schemes over the raw operation.
//!
//! The private operation is blinded. Padding is checked without early exits that depend on secret bytes.

use super::{algorithm, oid};
use crate::crypto::asn1::{self, Reader, context};
use crate::crypto::digest::HashKind;
use crate::crypto::error::{CryptoError, Result};
use ::rsa::traits::{PrivateKeyParts, PublicKeyParts};
use ::rsa::{BigUint, RsaPrivateKey, RsaPublicKey, hazmat};
use rand::RngCore;
use rand::rngs::OsRng;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The largest modulus that is worked with, bits, as OpenSSL has it.
pub(crate) const MODULUS_BITS_MAX: usize = 16_384;

/// What an RSASSA-PSS key allows.
#[derive(Clone, Debug)]
pub(crate) struct PssLimits {
    pub hash: &'static HashKind,
    pub mgf: &'static HashKind,
    pub salt: u32,
}

#[derive(Clone)]
pub(crate) struct Rsa {
    pub public: RsaPublicKey,
    pub private: Option<Box<RsaPrivateKey>>,
    /// `Some` for keys of RSASSA-PSS alone; the inner is what they are limited to.
    pub pss: Option<Option<PssLimits>>,
}

impl Rsa {
    pub fn from_public(n: BigUint, e: BigUint) -> Result<Self> {
        let public =
            RsaPublicKey::new_with_max_size(n, e, MODULUS_BITS_MAX).map_err(|_| CryptoError::unsupported_key())?;
        Ok(Self {
            public,
            private: None,
            pss: None,
        })
    }

    pub fn from_private(n: BigUint, e: BigUint, d: BigUint, primes: Vec<BigUint>) -> Result<Self> {
        if n.bits() > MODULUS_BITS_MAX {
            return Err(CryptoError::unsupported_key());
        }
        let key = RsaPrivateKey::from_components(n, e, d, primes).map_err(|_| CryptoError::unsupported_key())?;
        Ok(Self::of(key))
    }

    pub fn of(key: RsaPrivateKey) -> Self {
        Self {
            public: key.to_public_key(),
            private: Some(Box::new(key)),
            pss: None,
        }
    }

    /// A new pair. The exponent is odd and at least 3.
    pub fn generate(bits: usize, exponent: u32) -> Result<Self> {
        let failed = |error: String| {
            CryptoError::error(
                "ERR_OPERATION_FAILED",
                format!("Operation failed: RSA key generation: {error}"),
            )
        };
        if exponent == 65_537
            && let Some(size) = optimized_size(bits)
        {
            let pair = aws_lc_rs::rsa::KeyPair::generate(size).map_err(|error| failed(error.to_string()))?;
            let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
                .map_err(|error| failed(error.to_string()))?;
            return match super::from_private_der(der.as_ref())? {
                super::Asymmetric::Rsa(key) => Ok(key),
                _ => Err(failed("the new key is of another kind".to_owned())),
            };
        }
        let key = RsaPrivateKey::new_with_exp(&mut OsRng, bits, &BigUint::from(exponent))
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self::of(key))
    }

    pub fn details(&self) -> String {
        let mut text = format!(
            r#"{{"modulusLength":{},"publicExponent":"{}""#,
            self.public.n().bits(),
            self.public.e()
        );
        if let Some(Some(limits)) = &self.pss {
            text += &format!(
                r#","hashAlgorithm":"{}","mgf1HashAlgorithm":"{}","saltLength":{}"#,
                limits.hash.name, limits.mgf.name, limits.salt
            );
        }
        text + "}"
    }

    /// Bits of the modulus.
    pub fn public_bits(&self) -> usize {
        self.public.n().bits()
    }

    /// Bytes of the modulus.
    pub fn size(&self) -> usize {
        self.public.size()
    }

    /// RSAPublicKey (RFC 8017, A.1.1).
    pub fn pkcs1_public(&self) -> Vec<u8> {
        asn1::sequence(&[asn1::uint(self.public.n()), asn1::uint(self.public.e())])
    }

    /// RSAPrivateKey (RFC 8017, A.1.2); `None` for a public key or one of more than two primes.
    pub fn pkcs1_private(&self) -> Option<Vec<u8>> {
        let [n, e, d, p, q, dp, dq, qi] = self.components()?;
        Some(asn1::sequence(&[
            asn1::small(0),
            asn1::uint(&n),
            asn1::uint(&e),
            asn1::uint(&d),
            asn1::uint(&p),
            asn1::uint(&q),
            asn1::uint(&dp),
            asn1::uint(&dq),
            asn1::uint(&qi),
        ]))
    }

    /// n, e, d, p, q, dp, dq, qi.
    pub fn components(&self) -> Option<[BigUint; 8]> {
        let key = self.private.as_deref()?;
        let [p, q] = key.primes() else {
            return None;
        };
        let one = BigUint::from(1_u32);
        let dp = key.d() % (p - &one);
        let dq = key.d() % (q - &one);
        // The inverse modulo a prime, by Fermat.
        let qi = q.modpow(&(p - BigUint::from(2_u32)), p);
        Some([
            key.n().clone(),
            key.e().clone(),
            key.d().clone(),
            p.clone(),
            q.clone(),
            dp,
            dq,
            qi,
        ])
    }

    fn raw_public(&self, input: &[u8]) -> Result<Vec<u8>> {
        let value = BigUint::from_bytes_be(input);
        if value >= *self.public.n() {
            return Err(CryptoError::openssl(
                "02000084",
                "RSA",
                "rsa routines",
                "data too large for modulus",
            ));
        }
        let result = hazmat::rsa_encrypt(&self.public, &value).map_err(|_| failed())?;
        Ok(padded(&result, self.size()))
    }

    fn raw_private(&self, input: &[u8]) -> Result<Vec<u8>> {
        let key = self.private.as_deref().ok_or_else(failed)?;
        let value = BigUint::from_bytes_be(input);
        if value >= *self.public.n() {
            return Err(CryptoError::openssl(
                "02000084",
                "RSA",
                "rsa routines",
                "data too large for modulus",
            ));
        }
        let result = hazmat::rsa_decrypt_and_check(key, Some(&mut OsRng), &value).map_err(|_| failed())?;
        Ok(padded(&result, self.size()))
    }

    /// RSASSA-PKCS1-v1_5.
    pub fn sign_pkcs1(&self, hash: &HashKind, digest: &[u8]) -> Result<Vec<u8>> {
        let info = digest_info(hash, digest);
        self.raw_private(&pad_type1(&info, self.size(), "digest too big for rsa key")?)
    }

    pub fn verify_pkcs1(&self, hash: &HashKind, digest: &[u8], signature: &[u8]) -> bool {
        let info = digest_info(hash, digest);
        let Ok(expected) = pad_type1(&info, self.size(), "digest too big for rsa key") else {
            return false;
        };
        signature.len() == self.size() && self.raw_public(signature).is_ok_and(|found| found == expected)
    }

    /// RSASSA-PSS; the salt length was resolved.
    pub fn sign_pss(&self, hash: &HashKind, mgf: &HashKind, salt: usize, digest: &[u8]) -> Result<Vec<u8>> {
        let bits = self.public.n().bits() - 1;
        let size = bits.div_ceil(8);
        if size < hash.size + salt + 2 {
            return Err(CryptoError::openssl(
                "0200006E",
                "RSA",
                "rsa routines",
                "data too large for key size",
            ));
        }
        let mut bytes = vec![0; salt];
        fill(&mut bytes)?;
        let h = hash.digest(&[&[0; 8], digest, &bytes]);
        let mut block = vec![0; size - hash.size - 1];
        let at = block.len() - salt - 1;
        block[at] = 1;
        block[at + 1..].copy_from_slice(&bytes);
        mask(mgf, &h, &mut block);
        block[0] &= 0xff >> (size * 8 - bits);
        block.extend_from_slice(&h);
        block.push(0xbc);
        let mut out = vec![0; self.size() - size];
        out.extend_from_slice(&block);
        self.raw_private(&out)
    }

    /// `salt`: the exact length, or any.
    pub fn verify_pss(
        &self,
        hash: &HashKind,
        mgf: &HashKind,
        salt: Option<usize>,
        digest: &[u8],
        signature: &[u8],
    ) -> bool {
        if signature.len() != self.size() {
            return false;
        }
        let Ok(all) = self.raw_public(signature) else {
            return false;
        };
        let bits = self.public.n().bits() - 1;
        let size = bits.div_ceil(8);
        let (front, block) = all.split_at(all.len() - size);
        if front.iter().any(|byte| *byte != 0) || size < hash.size + 2 || block[size - 1] != 0xbc {
            return false;
        }
        let (masked, rest) = block.split_at(size - hash.size - 1);
        let h = &rest[..hash.size];
        let top = 0xff >> (size * 8 - bits);
        if masked[0] & !top != 0 {
            return false;
        }
        let mut data = masked.to_vec();
        mask(mgf, h, &mut data);
        data[0] &= top;
        let Some(at) = data.iter().position(|byte| *byte != 0) else {
            return false;
        };
        if data[at] != 1 || salt.is_some_and(|salt| data.len() - at - 1 != salt) {
            return false;
        }
        hash.digest(&[&[0; 8], digest, &data[at + 1..]]) == h
    }

    /// RSAES-OAEP.
    pub fn encrypt_oaep(&self, hash: &HashKind, mgf: &HashKind, label: &[u8], message: &[u8]) -> Result<Vec<u8>> {
        let size = self.size();
        if message.len() + 2 * hash.size + 2 > size {
            return Err(CryptoError::openssl(
                "0200006E",
                "RSA",
                "rsa routines",
                "data too large for key size",
            ));
        }
        let mut seed = vec![0; hash.size];
        fill(&mut seed)?;
        let mut block = hash.digest(&[label]);
        block.resize(size - hash.size - 1 - message.len() - 1, 0);
        block.push(1);
        block.extend_from_slice(message);
        mask(mgf, &seed, &mut block);
        mask(mgf, &block, &mut seed);
        self.raw_public(&[&[0], &seed[..], &block].concat())
    }

    pub fn decrypt_oaep(&self, hash: &HashKind, mgf: &HashKind, label: &[u8], data: &[u8]) -> Result<Vec<u8>> {
        let size = self.size();
        let bad = || CryptoError::openssl("02000079", "RSA", "rsa routines", "oaep decoding error");
        if data.len() > size || size < 2 * hash.size + 2 {
            return Err(bad());
        }
        let all = self.raw_private(data)?;
        let mut seed = all[1..=hash.size].to_vec();
        let mut block = all[hash.size + 1..].to_vec();
        mask(mgf, &block, &mut seed);
        mask(mgf, &seed, &mut block);
        let expected = hash.digest(&[label]);
        let mut valid = all[0].ct_eq(&0) & block[..hash.size].ct_eq(&expected);
        let mut looking = Choice::from(1);
        let mut start = 0_u32;
        for (index, byte) in block.iter().enumerate().skip(hash.size) {
            let one = byte.ct_eq(&1);
            let zero = byte.ct_eq(&0);
            start.conditional_assign(&(index as u32 + 1), looking & one);
            valid &= !(looking & !one & !zero);
            looking &= !one;
        }
        valid &= !looking;
        if bool::from(valid) {
            Ok(block[start as usize..].to_vec())
        } else {
            Err(bad())
        }
    }

    /// RSAES-PKCS1-v1_5.
    pub fn encrypt_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>> {
        let size = self.size();
        if message.len() + 11 > size {
            return Err(CryptoError::openssl(
                "0200006E",
                "RSA",
                "rsa routines",
                "data too large for key size",
            ));
        }
        let mut block = vec![0; size];
        block[1] = 2;
        let at = size - message.len() - 1;
        fill(&mut block[2..at])?;
        for byte in &mut block[2..at] {
            while *byte == 0 {
                fill(std::slice::from_mut(byte))?;
            }
        }
        block[at] = 0;
        block[at + 1..].copy_from_slice(message);
        self.raw_public(&block)
    }

    /// Broken padding gives a random message, as if it were right (implicit rejection): no oracle tells them apart.
    pub fn decrypt_pkcs1(&self, data: &[u8]) -> Result<Vec<u8>> {
        let size = self.size();
        if data.len() > size {
            return Err(CryptoError::openssl(
                "0200006C",
                "RSA",
                "rsa routines",
                "data greater than mod len",
            ));
        }
        if size < 11 {
            return Err(failed());
        }
        let block = self.raw_private(data)?;
        // The substitute depends on key and ciphertext alone, so that trying again tells nothing.
        let sha256 = HashKind::named("sha256")?;
        let secret = self.private.as_deref().ok_or_else(failed)?.d().to_bytes_be();
        let key = sha256.digest(&[&secret]);
        let mut substitute = Vec::with_capacity(size);
        let mut counter = 0_u32;
        while substitute.len() < size + 4 {
            let mut mac = sha256.hmac(&key);
            mac.update(&counter.to_be_bytes());
            mac.update(&padded(&BigUint::from_bytes_be(data), size));
            substitute.extend(mac.finish());
            counter += 1;
        }
        let length =
            u32::from_be_bytes([substitute[0], substitute[1], substitute[2], substitute[3]]) as usize % (size - 10);
        let mut valid = block[0].ct_eq(&0) & block[1].ct_eq(&2);
        let mut looking = Choice::from(1);
        let mut start = 0_u32;
        for (index, byte) in block.iter().enumerate().skip(2) {
            let zero = byte.ct_eq(&0);
            start.conditional_assign(&(index as u32 + 1), looking & zero);
            looking &= !zero;
        }
        valid &= !looking;
        // At least eight bytes of padding.
        valid &= Choice::from(u8::from(start >= 11));
        let mut from = (size - length) as u32;
        from.conditional_assign(&start, valid);
        let chosen: Vec<u8> = block
            .iter()
            .zip(&substitute[4..])
            .map(|(real, other)| u8::conditional_select(other, real, valid))
            .collect();
        Ok(chosen[from as usize..].to_vec())
    }

    /// The private operation over type 1 padding or none: `privateEncrypt`.
    pub fn private_encrypt(&self, padding: bool, message: &[u8]) -> Result<Vec<u8>> {
        if padding {
            return self.raw_private(&pad_type1(message, self.size(), "data too large for key size")?);
        }
        self.raw_private(self.exactly(message)?)
    }

    /// The public operation and type 1 padding taken off: `publicDecrypt`.
    pub fn public_decrypt(&self, padding: bool, data: &[u8]) -> Result<Vec<u8>> {
        if data.len() > self.size() {
            return Err(CryptoError::openssl(
                "0200006C",
                "RSA",
                "rsa routines",
                "data greater than mod len",
            ));
        }
        let block = self.raw_public(data)?;
        if !padding {
            return Ok(block);
        }
        let invalid = || CryptoError::openssl("02000072", "RSA", "rsa routines", "padding check failed");
        if block[0] != 0 || block[1] != 1 {
            return Err(invalid());
        }
        let end = block[2..].iter().position(|byte| *byte != 0xff).ok_or_else(invalid)? + 2;
        if block[end] != 0 || end < 10 {
            return Err(invalid());
        }
        Ok(block[end + 1..].to_vec())
    }

    /// Without padding: `publicEncrypt` with RSA_NO_PADDING.
    pub fn public_raw(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.raw_public(self.exactly(message)?)
    }

    /// Without padding: `privateDecrypt` with RSA_NO_PADDING.
    pub fn private_raw(&self, data: &[u8]) -> Result<Vec<u8>> {
        self.raw_private(self.exactly(data)?)
    }

    fn exactly<'a>(&self, message: &'a [u8]) -> Result<&'a [u8]> {
        match message.len().cmp(&self.size()) {
            std::cmp::Ordering::Less => Err(CryptoError::openssl(
                "0200007A",
                "RSA",
                "rsa routines",
                "data too small for key size",
            )),
            std::cmp::Ordering::Equal => Ok(message),
            std::cmp::Ordering::Greater => Err(CryptoError::openssl(
                "0200006E",
                "RSA",
                "rsa routines",
                "data too large for key size",
            )),
        }
    }

    /// Key algorithm with its parameters.
    pub fn algorithm(&self) -> Vec<u8> {
        match &self.pss {
            None => algorithm(oid::RSA, Some(asn1::null())),
            Some(None) => algorithm(oid::RSA_PSS, None),
            Some(Some(limits)) => algorithm(oid::RSA_PSS, Some(pss_parameters(limits))),
        }
    }
}

fn optimized_size(bits: usize) -> Option<aws_lc_rs::rsa::KeySize> {
    use aws_lc_rs::rsa::KeySize;
    match bits {
        2048 => Some(KeySize::Rsa2048),
        3072 => Some(KeySize::Rsa3072),
        4096 => Some(KeySize::Rsa4096),
        8192 => Some(KeySize::Rsa8192),
        _ => None,
    }
}

fn failed() -> CryptoError {
    CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: RSA")
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    OsRng
        .try_fill_bytes(bytes)
        .map_err(|error| CryptoError::plain(format!("no randomness: {error}")))
}

fn padded(value: &BigUint, size: usize) -> Vec<u8> {
    let bytes = value.to_bytes_be();
    let mut out = vec![0; size.saturating_sub(bytes.len())];
    out.extend_from_slice(&bytes);
    out
}

fn digest_info(hash: &HashKind, digest: &[u8]) -> Vec<u8> {
    match hash.oid {
        Some(oid) => asn1::sequence(&[asn1::sequence(&[asn1::oid(oid), asn1::null()]), asn1::octets(digest)]),
        // MD5 with SHA-1 is signed bare.
        None => digest.to_vec(),
    }
}

fn pad_type1(message: &[u8], size: usize, reason: &'static str) -> Result<Vec<u8>> {
    if message.len() + 11 > size {
        let number = if reason.starts_with("digest") {
            "02000070"
        } else {
            "0200006E"
        };
        return Err(CryptoError::openssl(number, "RSA", "rsa routines", reason));
    }
    let mut block = vec![0xff; size];
    block[0] = 0;
    block[1] = 1;
    let at = size - message.len() - 1;
    block[at] = 0;
    block[at + 1..].copy_from_slice(message);
    Ok(block)
}

/// MGF1 (RFC 8017, B.2.1), added to `data`.
fn mask(hash: &HashKind, seed: &[u8], data: &mut [u8]) {
    for (counter, chunk) in data.chunks_mut(hash.size).enumerate() {
        let stream = hash.digest(&[seed, &(counter as u32).to_be_bytes()]);
        for (byte, mask) in chunk.iter_mut().zip(stream) {
            *byte ^= mask;
        }
    }
}

fn hash_algorithm(hash: &HashKind) -> Vec<u8> {
    asn1::sequence(&[asn1::oid(hash.oid.unwrap_or_default()), asn1::null()])
}

/// RSASSA-PSS-params (RFC 8017, A.2.3); defaults are left out.
fn pss_parameters(limits: &PssLimits) -> Vec<u8> {
    let mut parts = Vec::new();
    if limits.hash.name != "sha1" {
        parts.push(asn1::tlv(context(0), &hash_algorithm(limits.hash)));
    }
    if limits.mgf.name != "sha1" {
        let mgf = asn1::sequence(&[asn1::oid(oid::MGF1), hash_algorithm(limits.mgf)]);
        parts.push(asn1::tlv(context(1), &mgf));
    }
    if limits.salt != 20 {
        parts.push(asn1::tlv(context(2), &asn1::small(limits.salt)));
    }
    asn1::sequence(&parts)
}

/// Reads RSASSA-PSS-params.
pub(super) fn read_pss_parameters(parameters: &mut Reader<'_>) -> Result<PssLimits> {
    let sha1 = HashKind::named("sha1")?;
    let mut limits = PssLimits {
        hash: sha1,
        mgf: sha1,
        salt: 20,
    };
    let hash = |mut reader: Reader<'_>| {
        let oid = reader.sequence()?.expect(asn1::OID)?;
        HashKind::with_oid(oid).ok_or_else(CryptoError::unsupported_key)
    };
    let mut inner = parameters.sequence()?;
    if let Some(content) = inner.optional(context(0))? {
        limits.hash = hash(Reader::new(content))?;
    }
    if let Some(content) = inner.optional(context(1))? {
        let mut mgf = Reader::new(content).sequence()?;
        mgf.expect(asn1::OID)?;
        limits.mgf = hash(mgf)?;
    }
    if let Some(content) = inner.optional(context(2))? {
        limits.salt = Reader::new(content).small()?;
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paddings_take_back_what_they_made() {
        let key = Rsa::generate(1024, 65_537).unwrap();
        let hash = HashKind::named("sha256").unwrap();
        let sha1 = HashKind::named("sha1").unwrap();
        let message = b"hello";
        let sealed = key.encrypt_oaep(hash, sha1, b"label", message).unwrap();
        assert_eq!(key.decrypt_oaep(hash, sha1, b"label", &sealed).unwrap(), message);
        assert!(key.decrypt_oaep(hash, sha1, b"other", &sealed).is_err());
        let sealed = key.encrypt_pkcs1(message).unwrap();
        assert_eq!(key.decrypt_pkcs1(&sealed).unwrap(), message);
        let digest = hash.digest(&[message]);
        let signature = key.sign_pss(hash, sha1, 20, &digest).unwrap();
        assert!(key.verify_pss(hash, sha1, Some(20), &digest, &signature));
        assert!(key.verify_pss(hash, sha1, None, &digest, &signature));
        assert!(!key.verify_pss(hash, hash, None, &digest, &signature));
        let signature = key.sign_pkcs1(hash, &digest).unwrap();
        assert!(key.verify_pkcs1(hash, &digest, &signature));
        assert!(!key.verify_pkcs1(hash, &hash.digest(&[b"other"]), &signature));
    }
}
