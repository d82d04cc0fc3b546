//! The hash functions by Node's names, and what is built on any of them: HMAC, HKDF, PBKDF2.

use crate::crypto::error::{CryptoError, Result};
use cipher::generic_array::GenericArray;
use digest::core_api::BlockSizeUser;
use digest::{
    Digest, DynDigest, ExtendableOutput, FixedOutput, FixedOutputReset, HashMarker, KeyInit, Mac, Output,
    OutputSizeUser, Reset, Update,
};
use hmac::SimpleHmac;
use std::num::NonZeroU32;

/// The RSA DigestInfo and X.509 names of these functions; content octets of an OBJECT IDENTIFIER.
type Oid = &'static [u8];

const fn nist(last: u8) -> [u8; 9] {
    [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]
}

/// A running HMAC.
pub(crate) trait Authenticator {
    fn update(&mut self, data: &[u8]);
    fn finish(self: Box<Self>) -> Vec<u8>;
}

impl<M: Mac> Authenticator for M {
    fn update(&mut self, data: &[u8]) {
        Mac::update(self, data);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        (*self).finalize().into_bytes().to_vec()
    }
}

/// Key, salt, info, output; false: too long an output.
type Hkdf = fn(&[u8], &[u8], &[u8], &mut [u8]) -> bool;
/// Password, salt, iterations, output.
type Pbkdf2 = fn(&[u8], &[u8], NonZeroU32, &mut [u8]);

/// One fixed-length hash function.
pub(crate) struct HashKind {
    /// As Node's `getHashes()` and key details show it.
    pub name: &'static str,
    /// Other names; compared without regard to case.
    aliases: &'static [&'static str],
    /// Output, bytes.
    pub size: usize,
    /// `None` where no signature scheme names the function.
    pub oid: Option<Oid>,
    start: fn() -> Box<dyn DynDigest>,
    hmac: fn(&[u8]) -> Box<dyn Authenticator>,
    hkdf: Hkdf,
    pbkdf2: Pbkdf2,
}

trait Hashable:
    Digest
    + DynDigest
    + BlockSizeUser
    + FixedOutput
    + FixedOutputReset
    + Reset
    + Update
    + HashMarker
    + Default
    + Clone
    + Sync
    + 'static
{
}

impl<D> Hashable for D where
    D: Digest
        + DynDigest
        + BlockSizeUser
        + FixedOutput
        + FixedOutputReset
        + Reset
        + Update
        + HashMarker
        + Default
        + Clone
        + Sync
        + 'static
{
}

fn start<D: Hashable>() -> Box<dyn DynDigest> {
    Box::new(D::default())
}

fn keyed<D: Hashable>(key: &[u8]) -> SimpleHmac<D> {
    // HMAC takes keys of any length: the only error of this constructor cannot occur.
    match <SimpleHmac<D> as KeyInit>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => <SimpleHmac<D> as KeyInit>::new(&GenericArray::default()),
    }
}

fn hmac<D: Hashable>(key: &[u8]) -> Box<dyn Authenticator> {
    Box::new(keyed::<D>(key))
}

fn hkdf_of<D: Hashable>(key: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> bool {
    hkdf::SimpleHkdf::<D>::new(Some(salt), key).expand(info, out).is_ok()
}

fn pbkdf2_of<D: Hashable + Send>(password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    let result = pbkdf2::pbkdf2::<SimpleHmac<D>>(password, salt, iterations.get(), out);
    debug_assert!(result.is_ok(), "HMAC takes keys of any length");
}

/// MD5 and SHA-1 of the same input, one after the other: what TLS 1.0 signed.
#[derive(Clone, Default)]
struct Md5Sha1 {
    md5: md5::Md5,
    sha1: sha1::Sha1,
}

impl HashMarker for Md5Sha1 {}

impl OutputSizeUser for Md5Sha1 {
    type OutputSize = digest::consts::U36;
}

impl BlockSizeUser for Md5Sha1 {
    type BlockSize = digest::consts::U64;
}

impl Update for Md5Sha1 {
    fn update(&mut self, data: &[u8]) {
        Update::update(&mut self.md5, data);
        Update::update(&mut self.sha1, data);
    }
}

impl Reset for Md5Sha1 {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl FixedOutput for Md5Sha1 {
    fn finalize_into(self, out: &mut Output<Self>) {
        out[..16].copy_from_slice(&Digest::finalize(self.md5));
        out[16..].copy_from_slice(&Digest::finalize(self.sha1));
    }
}

impl FixedOutputReset for Md5Sha1 {
    fn finalize_into_reset(&mut self, out: &mut Output<Self>) {
        FixedOutput::finalize_into(std::mem::take(self), out);
    }
}

macro_rules! kind {
    ($type:ty, $size:literal, $oid:expr, $name:literal $(, $alias:literal)*) => {
        HashKind {
            name: $name,
            aliases: &[$($alias),*],
            size: $size,
            oid: $oid,
            start: start::<$type>,
            hmac: hmac::<$type>,
            hkdf: hkdf_of::<$type>,
            pbkdf2: pbkdf2_of::<$type>,
        }
    };
}

static KINDS: [HashKind; 18] = [
    kind!(blake2::Blake2b512, 64, None, "blake2b512"),
    kind!(blake2::Blake2s256, 32, None, "blake2s256"),
    kind!(
        md5::Md5,
        16,
        Some(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05]),
        "md5",
        "RSA-MD5",
        "md5WithRSAEncryption",
        "ssl3-md5"
    ),
    kind!(Md5Sha1, 36, None, "md5-sha1"),
    kind!(
        ripemd::Ripemd160,
        20,
        Some(&[0x2b, 0x24, 0x03, 0x02, 0x01]),
        "ripemd160",
        "RSA-RIPEMD160",
        "ripemd",
        "ripemd160WithRSA",
        "rmd160"
    ),
    kind!(
        sha1::Sha1,
        20,
        Some(&[0x2b, 0x0e, 0x03, 0x02, 0x1a]),
        "sha1",
        "RSA-SHA1",
        "RSA-SHA1-2",
        "sha-1",
        "sha1WithRSAEncryption",
        "ssl3-sha1",
        "DSA-SHA1",
        "ecdsa-with-SHA1",
        "DSS1"
    ),
    kind!(
        sha2::Sha224,
        28,
        Some(const { &nist(4) }),
        "sha224",
        "RSA-SHA224",
        "sha-224",
        "sha2-224",
        "sha224WithRSAEncryption"
    ),
    kind!(
        sha2::Sha256,
        32,
        Some(const { &nist(1) }),
        "sha256",
        "RSA-SHA256",
        "sha-256",
        "sha2-256",
        "sha256WithRSAEncryption"
    ),
    kind!(
        sha2::Sha384,
        48,
        Some(const { &nist(2) }),
        "sha384",
        "RSA-SHA384",
        "sha-384",
        "sha2-384",
        "sha384WithRSAEncryption"
    ),
    kind!(
        sha2::Sha512,
        64,
        Some(const { &nist(3) }),
        "sha512",
        "RSA-SHA512",
        "sha-512",
        "sha2-512",
        "sha512WithRSAEncryption"
    ),
    kind!(
        sha2::Sha512_224,
        28,
        Some(const { &nist(5) }),
        "sha512-224",
        "RSA-SHA512/224",
        "sha-512/224",
        "sha2-512/224",
        "sha512-224WithRSAEncryption"
    ),
    kind!(
        sha2::Sha512_256,
        32,
        Some(const { &nist(6) }),
        "sha512-256",
        "RSA-SHA512/256",
        "sha-512/256",
        "sha2-512/256",
        "sha512-256WithRSAEncryption"
    ),
    kind!(
        sha3::Sha3_224,
        28,
        Some(const { &nist(7) }),
        "sha3-224",
        "RSA-SHA3-224",
        "id-rsassa-pkcs1-v1_5-with-sha3-224"
    ),
    kind!(
        sha3::Sha3_256,
        32,
        Some(const { &nist(8) }),
        "sha3-256",
        "RSA-SHA3-256",
        "id-rsassa-pkcs1-v1_5-with-sha3-256"
    ),
    kind!(
        sha3::Sha3_384,
        48,
        Some(const { &nist(9) }),
        "sha3-384",
        "RSA-SHA3-384",
        "id-rsassa-pkcs1-v1_5-with-sha3-384"
    ),
    kind!(
        sha3::Sha3_512,
        64,
        Some(const { &nist(10) }),
        "sha3-512",
        "RSA-SHA3-512",
        "id-rsassa-pkcs1-v1_5-with-sha3-512"
    ),
    kind!(
        sm3::Sm3,
        32,
        Some(&[0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x11]),
        "sm3",
        "RSA-SM3",
        "sm3WithRSAEncryption"
    ),
    // Last, so that the names above win.
    kind!(sha3::Keccak256, 32, None, "keccak-256"),
];

impl std::fmt::Debug for HashKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl HashKind {
    /// By any of its names.
    pub fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| {
            kind.name.eq_ignore_ascii_case(name) || kind.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))
        })
    }

    /// By any of its names; the error is the one that key derivation and signing give.
    pub fn named(name: &str) -> Result<&'static Self> {
        Self::find(name).ok_or_else(|| invalid_digest(name))
    }

    /// By its OBJECT IDENTIFIER.
    pub fn with_oid(oid: &[u8]) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.oid == Some(oid))
    }

    pub fn start(&self) -> Box<dyn DynDigest> {
        (self.start)()
    }

    /// The hash of the parts' concatenation.
    pub fn digest(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut digest = self.start();
        for part in parts {
            digest.update(part);
        }
        digest.finalize().into_vec()
    }

    pub fn hmac(&self, key: &[u8]) -> Box<dyn Authenticator> {
        (self.hmac)(key)
    }

    /// RFC 5869. The error: more than 255 blocks were asked for.
    pub fn hkdf(&self, key: &[u8], salt: &[u8], info: &[u8], length: usize) -> Result<Vec<u8>> {
        let too_long = || CryptoError::range_error("ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length");
        if length > 255 * self.size {
            return Err(too_long());
        }
        let mut out = vec![0; length];
        if !(self.hkdf)(key, salt, info, &mut out) {
            return Err(too_long());
        }
        Ok(out)
    }

    /// RFC 8018, 5.2.
    pub fn pbkdf2(&self, password: &[u8], salt: &[u8], iterations: NonZeroU32, length: usize) -> Vec<u8> {
        use aws_lc_rs::pbkdf2;
        let mut out = vec![0; length];
        // The optimized library where it has the function; the password's key schedule is computed once in both.
        let algorithm = match self.name {
            "sha1" => pbkdf2::PBKDF2_HMAC_SHA1,
            "sha256" => pbkdf2::PBKDF2_HMAC_SHA256,
            "sha384" => pbkdf2::PBKDF2_HMAC_SHA384,
            "sha512" => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => {
                (self.pbkdf2)(password, salt, iterations, &mut out);
                return out;
            }
        };
        if length > 0 {
            pbkdf2::derive(algorithm, iterations, salt, password, &mut out);
        }
        out
    }
}

/// A digest name that is none, where Node checks it in native code.
pub(crate) fn invalid_digest(name: &str) -> CryptoError {
    CryptoError::type_error("ERR_CRYPTO_INVALID_DIGEST", format!("Invalid digest: {name}"))
}

/// A running hash: one of the fixed-length functions, or one whose output has any length.
pub(crate) enum Hasher {
    Fixed(Box<dyn DynDigest>),
    Shake128(sha3::Shake128, usize),
    Shake256(sha3::Shake256, usize),
}

impl Hasher {
    /// `length` in bytes, where the caller chose one.
    pub fn new(name: &str, length: Option<usize>) -> Result<Self> {
        if name.eq_ignore_ascii_case("shake128") || name.eq_ignore_ascii_case("shake-128") {
            return Ok(Self::Shake128(sha3::Shake128::default(), length.unwrap_or(16)));
        }
        if name.eq_ignore_ascii_case("shake256") || name.eq_ignore_ascii_case("shake-256") {
            return Ok(Self::Shake256(sha3::Shake256::default(), length.unwrap_or(32)));
        }
        let kind = HashKind::find(name).ok_or_else(|| CryptoError::plain("Digest method not supported"))?;
        match length {
            Some(length) if length != kind.size => Err(not_xof()),
            _ => Ok(Self::Fixed(kind.start())),
        }
    }

    /// A copy of the state; the copy's output may have another length.
    pub fn copy(&self, length: Option<usize>) -> Result<Self> {
        match (self, length) {
            (Self::Fixed(digest), Some(length)) if length != digest.output_size() => Err(not_xof()),
            (Self::Fixed(digest), _) => Ok(Self::Fixed(digest.box_clone())),
            (Self::Shake128(state, _), length) => Ok(Self::Shake128(state.clone(), length.unwrap_or(16))),
            (Self::Shake256(state, _), length) => Ok(Self::Shake256(state.clone(), length.unwrap_or(32))),
        }
    }

    pub fn update(&mut self, data: &[u8]) {
        match self {
            Self::Fixed(digest) => digest.update(data),
            Self::Shake128(state, _) => Update::update(state, data),
            Self::Shake256(state, _) => Update::update(state, data),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Fixed(digest) => digest.finalize().into_vec(),
            Self::Shake128(state, length) => state.finalize_boxed(length).into_vec(),
            Self::Shake256(state, length) => state.finalize_boxed(length).into_vec(),
        }
    }
}

fn not_xof() -> CryptoError {
    CryptoError::openssl(
        "030000B2",
        "EVP",
        "digital envelope routines",
        "not XOF or invalid length",
    )
}

/// What `getHashes()` answers, sorted as strings are.
pub(crate) fn names() -> Vec<&'static str> {
    // Names that OpenSSL knows for fetching only are not listed.
    const HIDDEN: [&str; 16] = [
        "sha-1",
        "sha-224",
        "sha2-224",
        "sha-256",
        "sha2-256",
        "sha-384",
        "sha2-384",
        "sha-512",
        "sha2-512",
        "sha-512/224",
        "sha2-512/224",
        "sha-512/256",
        "sha2-512/256",
        "DSA-SHA1",
        "ecdsa-with-SHA1",
        "DSS1",
    ];
    let mut names: Vec<&str> = KINDS
        .iter()
        .filter(|kind| kind.name != "keccak-256")
        .flat_map(|kind| std::iter::once(kind.name).chain(kind.aliases.iter().copied()))
        .filter(|name| !HIDDEN.contains(name))
        .chain(["shake128", "shake256"])
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_tells_its_size() {
        for kind in &KINDS {
            assert_eq!(kind.digest(&[b"a", b"b"]).len(), kind.size, "{}", kind.name);
            assert_eq!(kind.hmac(b"key").finish().len(), kind.size, "{}", kind.name);
        }
    }
}
