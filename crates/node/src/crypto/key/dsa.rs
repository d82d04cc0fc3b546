//! DSA (FIPS 186-4): old keys and signatures that still have to be read.

use super::{algorithm, oid};
use crate::crypto::asn1;
use crate::crypto::error::{CryptoError, Result};
use crate::crypto::prime;
use ::rsa::BigUint;
use num_bigint_dig::{ModInverse, RandBigInt};
use rand::rngs::OsRng;

#[derive(Clone)]
pub(crate) struct Dsa {
    pub p: BigUint,
    pub q: BigUint,
    pub g: BigUint,
    pub y: BigUint,
    pub x: Option<BigUint>,
}

/// Numbers that fit what the domain's primes say.
const TRIES_MAX: usize = 100_000;

impl Dsa {
    /// New parameters and a new pair; lengths in bits.
    pub fn generate(modulus: usize, divisor: usize) -> Result<Self> {
        let failed = || CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: DSA key generation");
        let one = BigUint::from(1_u32);
        let q = prime::generate(divisor, false, None, None)?;
        let step = &q << 1_usize;
        // p = 1 mod 2q
        let p = prime::generate(modulus, false, Some(&step), Some(&one))?;
        let exponent = (&p - &one) / &q;
        for h in 2..TRIES_MAX {
            let g = BigUint::from(h as u64).modpow(&exponent, &p);
            if g > one {
                let x = OsRng.gen_biguint_range(&one, &q);
                let y = g.modpow(&x, &p);
                return Ok(Self { p, q, g, y, x: Some(x) });
            }
        }
        Err(failed())
    }

    fn parameters(&self) -> Vec<u8> {
        asn1::sequence(&[asn1::uint(&self.p), asn1::uint(&self.q), asn1::uint(&self.g)])
    }

    pub fn algorithm(&self) -> Vec<u8> {
        algorithm(oid::DSA, Some(self.parameters()))
    }

    /// Bytes of r and of s.
    pub fn size(&self) -> usize {
        self.q.bits().div_ceil(8)
    }

    fn number(&self, digest: &[u8]) -> BigUint {
        let bits = self.q.bits();
        let take = digest.len().min(bits.div_ceil(8));
        let number = BigUint::from_bytes_be(&digest[..take]);
        let excess = (take * 8).saturating_sub(bits);
        number >> excess
    }

    /// r and s, each `size` bytes.
    pub fn sign(&self, digest: &[u8]) -> Result<Vec<u8>> {
        let failed = || CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: DSA");
        let x = self.x.as_ref().ok_or_else(failed)?;
        let one = BigUint::from(1_u32);
        let z = self.number(digest);
        for _ in 0..TRIES_MAX {
            let k = OsRng.gen_biguint_range(&one, &self.q);
            let r = self.g.modpow(&k, &self.p) % &self.q;
            let inverse = (&k)
                .mod_inverse(&self.q)
                .and_then(|inverse| inverse.to_biguint())
                .ok_or_else(failed)?;
            let s = inverse * (&z + x * &r) % &self.q;
            if r.bits() > 0 && s.bits() > 0 {
                let size = self.size();
                let mut out = vec![0; size * 2];
                let (r, s) = (r.to_bytes_be(), s.to_bytes_be());
                out[size - r.len()..size].copy_from_slice(&r);
                out[size * 2 - s.len()..].copy_from_slice(&s);
                return Ok(out);
            }
        }
        Err(failed())
    }

    pub fn verify(&self, digest: &[u8], signature: &[u8]) -> bool {
        let (r, s) = signature.split_at(signature.len() / 2);
        let (r, s) = (BigUint::from_bytes_be(r), BigUint::from_bytes_be(s));
        let in_range = |n: &BigUint| n.bits() > 0 && *n < self.q;
        if !in_range(&r) || !in_range(&s) {
            return false;
        }
        let Some(w) = (&s).mod_inverse(&self.q).and_then(|inverse| inverse.to_biguint()) else {
            return false;
        };
        let u1 = self.number(digest) * &w % &self.q;
        let u2 = &r * &w % &self.q;
        let v = self.g.modpow(&u1, &self.p) * self.y.modpow(&u2, &self.p) % &self.p % &self.q;
        v == r
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_verify() {
        let key = Dsa::generate(512, 160).unwrap();
        assert_eq!((key.p.bits(), key.q.bits()), (512, 160));
        let signature = key.sign(&[7; 32]).unwrap();
        assert!(key.verify(&[7; 32], &signature));
        assert!(!key.verify(&[8; 32], &signature));
        assert!(!key.verify(&[7; 32], &[0; 40]));
    }
}
