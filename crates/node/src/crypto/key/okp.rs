//! Ed25519, Ed448, X25519 and X448 (RFC 8032, RFC 7748): keys, signatures and agreement.

use super::algorithm;
use crate::crypto::error::{CryptoError, Result};
use rand::RngCore;
use rand::rngs::OsRng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OkpKind {
    Ed25519,
    Ed448,
    X25519,
    X448,
}

const ALL: [OkpKind; 4] = [OkpKind::Ed25519, OkpKind::Ed448, OkpKind::X25519, OkpKind::X448];

impl OkpKind {
    /// As `asymmetricKeyType` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Ed448 => "ed448",
            Self::X25519 => "x25519",
            Self::X448 => "x448",
        }
    }

    /// As JSON Web Keys have it.
    pub fn jwk(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::X25519 => "X25519",
            Self::X448 => "X448",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn with_jwk(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.jwk() == name)
    }

    pub fn oid(self) -> &'static [u8] {
        match self {
            Self::X25519 => &[0x2b, 0x65, 0x6e],
            Self::X448 => &[0x2b, 0x65, 0x6f],
            Self::Ed25519 => &[0x2b, 0x65, 0x70],
            Self::Ed448 => &[0x2b, 0x65, 0x71],
        }
    }

    pub fn with_oid(oid: &[u8]) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.oid() == oid)
    }

    /// Bytes of either half.
    pub fn size(self) -> usize {
        match self {
            Self::Ed25519 | Self::X25519 => 32,
            Self::X448 => 56,
            Self::Ed448 => 57,
        }
    }

    pub fn signs(self) -> bool {
        matches!(self, Self::Ed25519 | Self::Ed448)
    }

    fn public_of(self, private: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Ed25519 => {
                use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
                let pair = Ed25519KeyPair::from_seed_unchecked(private).map_err(|_| CryptoError::unsupported_key())?;
                Ok(pair.public_key().as_ref().to_vec())
            }
            Self::Ed448 => Ok(ed448(private)?.verifying_key().to_bytes().to_vec()),
            Self::X25519 => {
                let mut base = [0; 32];
                base[0] = 9;
                self.agree(private, &base).ok_or_else(CryptoError::unsupported_key)
            }
            Self::X448 => {
                let mut base = [0; 56];
                base[0] = 5;
                self.agree(private, &base).ok_or_else(CryptoError::unsupported_key)
            }
        }
    }

    /// `None`: wrong lengths, or a result of zeros, which tells that the peer's point is of low order.
    pub fn agree(self, private: &[u8], public: &[u8]) -> Option<Vec<u8>> {
        let shared = match self {
            Self::X25519 => x25519_dalek::x25519(private.try_into().ok()?, public.try_into().ok()?).to_vec(),
            Self::X448 => x448(private.try_into().ok()?, public.try_into().ok()?).to_vec(),
            _ => return None,
        };
        shared.iter().any(|byte| *byte != 0).then_some(shared)
    }

    pub fn generate(self) -> Result<Okp> {
        let mut private = vec![0; self.size()];
        OsRng
            .try_fill_bytes(&mut private)
            .map_err(|error| CryptoError::plain(format!("no randomness: {error}")))?;
        Okp::from_private(self, private)
    }
}

fn ed448(private: &[u8]) -> Result<ed448_goldilocks::SigningKey> {
    ed448_goldilocks::SigningKey::try_from(private).map_err(|_| CryptoError::unsupported_key())
}

/// X448: the scalar is clamped and used as it is, above the group's order.
fn x448(private: &[u8; 56], point: &[u8; 56]) -> [u8; 56] {
    use ed448_goldilocks::elliptic_curve::bigint::U448;
    use ed448_goldilocks::elliptic_curve::scalar::FromUintUnchecked;
    use ed448_goldilocks::{EdwardsScalar, MontgomeryPoint};
    let mut scalar = *private;
    scalar[0] &= 252;
    scalar[55] |= 128;
    let scalar = EdwardsScalar::from_uint_unchecked(U448::from_le_slice(&scalar));
    (&MontgomeryPoint(*point) * &scalar).0
}

#[derive(Clone)]
pub(crate) struct Okp {
    pub kind: OkpKind,
    pub public: Vec<u8>,
    pub private: Option<Vec<u8>>,
}

impl Okp {
    pub fn from_public(kind: OkpKind, public: Vec<u8>) -> Result<Self> {
        if public.len() != kind.size() {
            return Err(CryptoError::unsupported_key());
        }
        Ok(Self {
            kind,
            public,
            private: None,
        })
    }

    pub fn from_private(kind: OkpKind, private: Vec<u8>) -> Result<Self> {
        if private.len() != kind.size() {
            return Err(CryptoError::unsupported_key());
        }
        Ok(Self {
            kind,
            public: kind.public_of(&private)?,
            private: Some(private),
        })
    }

    pub fn algorithm(&self) -> Vec<u8> {
        algorithm(self.kind.oid(), None)
    }

    pub fn sign(&self, data: &[u8]) -> Result<Vec<u8>> {
        let failed = || CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: EdDSA");
        let private = self.private.as_ref().ok_or_else(failed)?;
        match self.kind {
            OkpKind::Ed25519 => {
                let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(private).map_err(|_| failed())?;
                Ok(pair.sign(data).as_ref().to_vec())
            }
            OkpKind::Ed448 => Ok(ed448(private)?.sign_raw(data).to_bytes().to_vec()),
            _ => Err(failed()),
        }
    }

    pub fn verify(&self, data: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            OkpKind::Ed25519 => {
                use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
                UnparsedPublicKey::new(&ED25519, &self.public)
                    .verify(data, signature)
                    .is_ok()
            }
            OkpKind::Ed448 => {
                let Ok(bytes) = self.public.as_slice().try_into() else {
                    return false;
                };
                let (Ok(key), Ok(signature)) = (
                    ed448_goldilocks::VerifyingKey::from_bytes(bytes),
                    ed448_goldilocks::Signature::try_from(signature),
                ) else {
                    return false;
                };
                key.verify_raw(&signature, data).is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_work() {
        for kind in ALL {
            let (a, b) = (kind.generate().unwrap(), kind.generate().unwrap());
            if kind.signs() {
                let signature = a.sign(b"data").unwrap();
                assert!(a.verify(b"data", &signature));
                assert!(!a.verify(b"datum", &signature));
                assert!(!b.verify(b"data", &signature));
            } else {
                let shared = kind.agree(a.private.as_ref().unwrap(), &b.public).unwrap();
                assert_eq!(shared, kind.agree(b.private.as_ref().unwrap(), &a.public).unwrap());
                assert!(kind.agree(a.private.as_ref().unwrap(), &vec![0; kind.size()]).is_none());
            }
        }
    }
}
