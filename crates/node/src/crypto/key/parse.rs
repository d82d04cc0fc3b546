//! Reading keys: PEM and DER, plain and encrypted.

use super::{Asymmetric, dh, dsa, ec, oid, okp, pbes, pem, rsa};
use crate::crypto::asn1::{self, Reader, context};
use crate::crypto::error::{CryptoError, Result};
use ::rsa::BigUint;

/// The structure of DER input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Pkcs1,
    Pkcs8,
    Spki,
    Sec1,
}

/// Text or a structure.
pub(crate) enum Input {
    Pem,
    Der(Type),
}

/// The longest passphrase for PEM, bytes.
const PASSPHRASE_MAX: usize = 1024;

fn need(passphrase: Option<&[u8]>) -> Result<&[u8]> {
    match passphrase {
        Some(passphrase) if passphrase.len() <= PASSPHRASE_MAX => Ok(passphrase),
        Some(_) => Err(CryptoError::openssl(
            "04800068",
            "PEM",
            "PEM routines",
            "bad password read",
        )),
        None => Err(CryptoError::openssl(
            "07880109",
            "CRYPTO",
            "common libcrypto routines",
            "interrupted or cancelled",
        )),
    }
}

/// A private key.
pub(crate) fn parse_private(data: &[u8], input: &Input, passphrase: Option<&[u8]>) -> Result<Asymmetric> {
    match input {
        Input::Pem => {
            for block in pem::blocks(data) {
                if let Some(key) = private_block(&block, passphrase)? {
                    return Ok(key);
                }
            }
            Err(CryptoError::unsupported_key())
        }
        Input::Der(kind) => private_der(data, *kind, passphrase),
    }
}

/// A private key's block; `None` if it holds something else.
fn private_block(block: &pem::Block, passphrase: Option<&[u8]>) -> Result<Option<Asymmetric>> {
    let der = match (&block.encryption, block.label.as_str()) {
        (Some(_), _) => pem::decrypt(block, need(passphrase)?)?,
        (None, "ENCRYPTED PRIVATE KEY") => pbes::decrypt(&block.der, need(passphrase)?)?,
        (None, _) => block.der.clone(),
    };
    let broken = |error: CryptoError| {
        if block.encryption.is_some() {
            CryptoError::bad_decrypt()
        } else {
            error
        }
    };
    let key = match block.label.as_str() {
        "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => pkcs8(&der)?,
        "RSA PRIVATE KEY" => pkcs1_private(&der).map_err(broken)?,
        "EC PRIVATE KEY" => sec1(&der, None).map_err(broken)?,
        "DSA PRIVATE KEY" => dsa_private(&der).map_err(broken)?,
        _ => return Ok(None),
    };
    Ok(Some(key))
}

fn private_der(der: &[u8], kind: Type, passphrase: Option<&[u8]>) -> Result<Asymmetric> {
    let unsupported = |_| CryptoError::unsupported_key();
    match kind {
        Type::Pkcs1 => pkcs1_private(der).map_err(unsupported),
        Type::Sec1 => sec1(der, None).map_err(unsupported),
        Type::Pkcs8 => {
            // Encrypted documents begin with an algorithm instead of a version.
            let mut outer = Reader::new(der).sequence().map_err(unsupported)?;
            if outer.peek() == Some(asn1::SEQUENCE) {
                let missing =
                    || CryptoError::type_error("ERR_MISSING_PASSPHRASE", "Passphrase required for encrypted key");
                let plain = pbes::decrypt(der, passphrase.ok_or_else(missing)?)?;
                return pkcs8(&plain);
            }
            outer.small().map_err(unsupported)?;
            pkcs8(der)
        }
        Type::Spki => Err(CryptoError::unsupported_key()),
    }
}

/// A public key, also out of a private key or a certificate.
pub(crate) fn parse_public(data: &[u8], input: &Input, passphrase: Option<&[u8]>) -> Result<Asymmetric> {
    match input {
        Input::Pem => {
            for block in pem::blocks(data) {
                match block.label.as_str() {
                    "PUBLIC KEY" => return from_spki(&block.der),
                    "RSA PUBLIC KEY" => return pkcs1_public(&block.der),
                    "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                        return from_spki(certificate_key(&block.der)?);
                    }
                    _ => {
                        if let Some(key) = private_block(&block, passphrase)? {
                            return Ok(key.public());
                        }
                    }
                }
            }
            Err(CryptoError::unsupported_key())
        }
        Input::Der(Type::Spki) => from_spki(data),
        Input::Der(Type::Pkcs1) => pkcs1_public(data).or_else(|error| match pkcs1_private(data) {
            Ok(key) => Ok(key.public()),
            Err(_) => Err(error),
        }),
        Input::Der(kind) => Ok(private_der(data, *kind, passphrase)?.public()),
    }
}

/// The SubjectPublicKeyInfo of a certificate.
pub(crate) fn certificate_key(der: &[u8]) -> Result<&[u8]> {
    let mut body = Reader::new(der).sequence()?.sequence()?;
    body.optional(context(0))?;
    // Serial number, signature, issuer, validity, subject.
    for _ in 0..5 {
        body.any()?;
    }
    let (_, _, whole) = body.raw()?;
    Ok(whole)
}

/// RSAPublicKey.
fn pkcs1_public(der: &[u8]) -> Result<Asymmetric> {
    let mut inner = Reader::new(der).sequence()?;
    let (n, e) = (inner.uint()?, inner.uint()?);
    if !inner.is_empty() {
        return Err(CryptoError::asn1());
    }
    Ok(Asymmetric::Rsa(rsa::Rsa::from_public(n, e)?))
}

/// RSAPrivateKey.
fn pkcs1_private(der: &[u8]) -> Result<Asymmetric> {
    let mut inner = Reader::new(der).sequence()?;
    if inner.small()? != 0 {
        return Err(CryptoError::asn1());
    }
    let (n, e, d) = (inner.uint()?, inner.uint()?, inner.uint()?);
    let primes = vec![inner.uint()?, inner.uint()?];
    Ok(Asymmetric::Rsa(rsa::Rsa::from_private(n, e, d, primes)?))
}

/// ECPrivateKey; PKCS #8 gives the curve from outside.
fn sec1(der: &[u8], outer: Option<(ec::Curve, bool)>) -> Result<Asymmetric> {
    let mut inner = Reader::new(der).sequence()?;
    if inner.small()? != 1 {
        return Err(CryptoError::asn1());
    }
    let scalar = inner.expect(asn1::OCTET_STRING)?;
    let own = match inner.optional(context(0))? {
        Some(parameters) => Some(ec::Curve::read(&mut Reader::new(parameters))?),
        None => None,
    };
    let (curve, explicit) = outer.or(own).ok_or_else(CryptoError::unsupported_key)?;
    let scalar = curve.padded(scalar).ok_or_else(CryptoError::unsupported_key)?;
    let point = curve.public_point(&scalar).ok_or_else(CryptoError::unsupported_key)?;
    Ok(Asymmetric::Ec(ec::Ec {
        curve,
        point,
        scalar: Some(scalar),
        explicit,
    }))
}

fn dsa_private(der: &[u8]) -> Result<Asymmetric> {
    let mut inner = Reader::new(der).sequence()?;
    if inner.small()? != 0 {
        return Err(CryptoError::asn1());
    }
    let (p, q, g) = (inner.uint()?, inner.uint()?, inner.uint()?);
    domain(&p, &g)?;
    let (y, x) = (inner.uint()?, Some(inner.uint()?));
    if q.bits() == 0 {
        return Err(CryptoError::unsupported_key());
    }
    Ok(Asymmetric::Dsa(dsa::Dsa { p, q, g, y, x }))
}

/// A PKCS #8 document.
pub(crate) fn from_private_der(der: &[u8]) -> Result<Asymmetric> {
    pkcs8(der)
}

/// Numbers of discrete logarithms must make sense before anything is computed with them.
fn domain(p: &BigUint, g: &BigUint) -> Result<()> {
    let odd = p.to_bytes_be().last().is_some_and(|byte| byte & 1 == 1);
    if !odd || p.bits() < 2 || p.bits() > dh::PRIME_BITS_MAX || g.bits() == 0 || g >= p {
        return Err(CryptoError::unsupported_key());
    }
    Ok(())
}

fn pkcs8(der: &[u8]) -> Result<Asymmetric> {
    let unsupported = CryptoError::unsupported_key;
    let mut document = Reader::new(der).sequence()?;
    document.small()?;
    let mut algorithm = document.sequence()?;
    let key = document.expect(asn1::OCTET_STRING)?;
    let oid = algorithm.expect(asn1::OID)?;
    if oid == oid::RSA || oid == oid::RSA_PSS {
        let Asymmetric::Rsa(mut rsa) = pkcs1_private(key)? else {
            return Err(unsupported());
        };
        rsa.pss = pss(oid, &mut algorithm)?;
        return Ok(Asymmetric::Rsa(rsa));
    }
    if oid == oid::EC {
        let curve = ec::Curve::read(&mut algorithm)?;
        return sec1(key, Some(curve));
    }
    if let Some(kind) = okp::OkpKind::with_oid(oid) {
        let private = Reader::new(key).expect(asn1::OCTET_STRING)?;
        return Ok(Asymmetric::Okp(okp::Okp::from_private(kind, private.to_vec())?));
    }
    if oid == oid::DSA {
        let mut parameters = algorithm.sequence()?;
        let (p, q, g) = (parameters.uint()?, parameters.uint()?, parameters.uint()?);
        domain(&p, &g)?;
        let x = Reader::new(key).uint()?;
        if q.bits() == 0 || x >= p {
            return Err(unsupported());
        }
        let y = g.modpow(&x, &p);
        return Ok(Asymmetric::Dsa(dsa::Dsa { p, q, g, y, x: Some(x) }));
    }
    if oid == oid::DH {
        let mut parameters = algorithm.sequence()?;
        let (p, g) = (parameters.uint()?, parameters.uint()?);
        domain(&p, &g)?;
        let x = Reader::new(key).uint()?;
        if x >= p {
            return Err(unsupported());
        }
        let y = g.modpow(&x, &p);
        return Ok(Asymmetric::Dh(dh::Dh { p, g, y, x: Some(x) }));
    }
    Err(unsupported())
}

fn pss(oid: &[u8], algorithm: &mut Reader<'_>) -> Result<Option<Option<rsa::PssLimits>>> {
    if oid != oid::RSA_PSS {
        return Ok(None);
    }
    if algorithm.peek() != Some(asn1::SEQUENCE) {
        return Ok(Some(None));
    }
    Ok(Some(Some(rsa::read_pss_parameters(algorithm)?)))
}

/// A SubjectPublicKeyInfo.
pub(crate) fn from_spki(der: &[u8]) -> Result<Asymmetric> {
    let unsupported = CryptoError::unsupported_key;
    let mut document = Reader::new(der).sequence().map_err(|_| unsupported())?;
    let mut algorithm = document.sequence()?;
    let key = document.bits()?;
    let oid = algorithm.expect(asn1::OID)?;
    if oid == oid::RSA || oid == oid::RSA_PSS {
        let Asymmetric::Rsa(mut rsa) = pkcs1_public(key)? else {
            return Err(unsupported());
        };
        rsa.pss = pss(oid, &mut algorithm)?;
        return Ok(Asymmetric::Rsa(rsa));
    }
    if oid == oid::EC {
        let (curve, explicit) = ec::Curve::read(&mut algorithm)?;
        let point = curve.point(key).ok_or_else(unsupported)?;
        return Ok(Asymmetric::Ec(ec::Ec {
            curve,
            point,
            scalar: None,
            explicit,
        }));
    }
    if let Some(kind) = okp::OkpKind::with_oid(oid) {
        return Ok(Asymmetric::Okp(okp::Okp::from_public(kind, key.to_vec())?));
    }
    if oid == oid::DSA {
        let mut parameters = algorithm.sequence()?;
        let (p, q, g) = (parameters.uint()?, parameters.uint()?, parameters.uint()?);
        domain(&p, &g)?;
        if q.bits() == 0 {
            return Err(unsupported());
        }
        let y = Reader::new(key).uint()?;
        return Ok(Asymmetric::Dsa(dsa::Dsa { p, q, g, y, x: None }));
    }
    if oid == oid::DH {
        let mut parameters = algorithm.sequence()?;
        let (p, g) = (parameters.uint()?, parameters.uint()?);
        domain(&p, &g)?;
        let y = Reader::new(key).uint()?;
        return Ok(Asymmetric::Dh(dh::Dh { p, g, y, x: None }));
    }
    Err(unsupported())
}
