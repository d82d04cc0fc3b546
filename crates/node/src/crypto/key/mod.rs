//! Keys: secrets, and key pairs of all asymmetric kinds, with what Node tells about them.

pub(crate) mod dh;
pub(crate) mod dsa;
pub(crate) mod ec;
mod export;
mod jwk;
pub(crate) mod okp;
mod parse;
mod pbes;
pub(crate) mod pem;
pub(crate) mod rsa;

pub(crate) use export::{Encoding, Encryption, export};
pub(crate) use jwk::{from_jwk, to_jwk};
pub(crate) use parse::{Input, Type, from_private_der, from_spki, parse_private, parse_public};

use crate::crypto::asn1;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a KeyObject holds.
#[derive(Clone)]
pub(crate) enum Key {
    Secret(Arc<Zeroizing<Vec<u8>>>),
    Public(Arc<Asymmetric>),
    Private(Arc<Asymmetric>),
}

impl Key {
    pub fn secret(bytes: Vec<u8>) -> Self {
        Self::Secret(Arc::new(Zeroizing::new(bytes)))
    }

    pub fn asymmetric(&self) -> Option<&Arc<Asymmetric>> {
        match self {
            Self::Secret(_) => None,
            Self::Public(key) | Self::Private(key) => Some(key),
        }
    }
}

/// A key pair, or its public half.
#[derive(Clone)]
pub(crate) enum Asymmetric {
    Rsa(rsa::Rsa),
    Dsa(dsa::Dsa),
    Ec(ec::Ec),
    Okp(okp::Okp),
    Dh(dh::Dh),
}

impl Asymmetric {
    pub fn is_private(&self) -> bool {
        match self {
            Self::Rsa(key) => key.private.is_some(),
            Self::Dsa(key) => key.x.is_some(),
            Self::Ec(key) => key.scalar.is_some(),
            Self::Okp(key) => key.private.is_some(),
            Self::Dh(key) => key.x.is_some(),
        }
    }

    /// The public half.
    pub fn public(&self) -> Self {
        let mut key = self.clone();
        match &mut key {
            Self::Rsa(key) => key.private = None,
            Self::Dsa(key) => key.x = None,
            Self::Ec(key) => key.scalar = None,
            Self::Okp(key) => key.private = None,
            Self::Dh(key) => key.x = None,
        }
        key
    }

    /// `asymmetricKeyType`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Rsa(key) if key.pss.is_some() => "rsa-pss",
            Self::Rsa(_) => "rsa",
            Self::Dsa(_) => "dsa",
            Self::Ec(_) => "ec",
            Self::Okp(key) => key.kind.name(),
            Self::Dh(_) => "dh",
        }
    }

    /// `asymmetricKeyDetails` as JSON; big numbers as decimal text.
    pub fn details(&self) -> String {
        match self {
            Self::Rsa(key) => key.details(),
            Self::Dsa(key) => format!(
                r#"{{"modulusLength":{},"divisorLength":{}}}"#,
                key.p.bits(),
                key.q.bits()
            ),
            Self::Ec(key) => format!(r#"{{"namedCurve":"{}"}}"#, key.curve.name()),
            Self::Okp(_) | Self::Dh(_) => "{}".to_owned(),
        }
    }

    /// Equality of what is public, and of what is private if both have it.
    pub fn equals(&self, other: &Self) -> bool {
        match (export::pkcs8(self), export::pkcs8(other)) {
            (Ok(a), Ok(b)) => a == b,
            (Err(_), Err(_)) => export::spki(self) == export::spki(other),
            _ => false,
        }
    }
}

/// OBJECT IDENTIFIERs of algorithms, content octets.
mod oid {
    pub const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    pub const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    pub const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    pub const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
    pub const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    pub const PRIME_FIELD: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x01, 0x01];
    pub const DH: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x03, 0x01];
}

/// AlgorithmIdentifier.
fn algorithm(oid: &[u8], parameters: Option<Vec<u8>>) -> Vec<u8> {
    asn1::sequence(&[asn1::oid(oid), parameters.unwrap_or_default()])
}
