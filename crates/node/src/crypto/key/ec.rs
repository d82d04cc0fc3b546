//! Elliptic curves over prime fields: keys, ECDSA and ECDH.

use super::{algorithm, oid};
use crate::crypto::asn1::{self, Reader, context};
use crate::crypto::error::{CryptoError, Result};
use ::rsa::BigUint;
use ecdsa::hazmat::{SignPrimitive, VerifyPrimitive};
use elliptic_curve::generic_array::ArrayLength;
use elliptic_curve::ops::{Invert, Reduce};
use elliptic_curve::sec1::{EncodedPoint, FromEncodedPoint, ModulusSize, ToEncodedPoint};
use elliptic_curve::subtle::CtOption;
use elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, NonZeroScalar, PrimeCurve, PublicKey, Scalar, SecretKey,
};
use rand::rngs::OsRng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P224,
    P256,
    P384,
    P521,
    K256,
}

/// A curve's names and, in hexadecimal, its numbers (SEC 2, section 2).
struct Domain {
    curve: Curve,
    name: &'static str,
    jwk: &'static str,
    oid: &'static [u8],
    /// Bytes of a coordinate.
    size: usize,
    p: &'static str,
    a: &'static str,
    b: &'static str,
    g: &'static str,
    n: &'static str,
}

static DOMAINS: [Domain; 5] = [
    Domain {
        curve: Curve::P256,
        name: "prime256v1",
        jwk: "P-256",
        oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        size: 32,
        p: "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF",
        a: "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFC",
        b: "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B",
        g: "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C2964FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5",
        n: "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
    },
    Domain {
        curve: Curve::P384,
        name: "secp384r1",
        jwk: "P-384",
        oid: &[0x2b, 0x81, 0x04, 0x00, 0x22],
        size: 48,
        p: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFF",
        a: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFC",
        b: "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF",
        g: "04AA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB73617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F",
        n: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
    },
    Domain {
        curve: Curve::P521,
        name: "secp521r1",
        jwk: "P-521",
        oid: &[0x2b, 0x81, 0x04, 0x00, 0x23],
        size: 66,
        p: "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        a: "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC",
        b: "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00",
        g: "0400C6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3DBAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66011839296A789A3BC0045C8A5FB42C7D1BD998F54449579B446817AFBD17273E662C97EE72995EF42640C550B9013FAD0761353C7086A272C24088BE94769FD16650",
        n: "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
    },
    Domain {
        curve: Curve::P224,
        name: "secp224r1",
        jwk: "P-224",
        oid: &[0x2b, 0x81, 0x04, 0x00, 0x21],
        size: 28,
        p: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF000000000000000000000001",
        a: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFE",
        b: "B4050A850C04B3ABF54132565044B0B7D7BFD8BA270B39432355FFB4",
        g: "04B70E0CBD6BB4BF7F321390B94A03C1D356C21122343280D6115C1D21BD376388B5F723FB4C22DFE6CD4375A05A07476444D5819985007E34",
        n: "FFFFFFFFFFFFFFFFFFFFFFFFFFFF16A2E0B8F03E13DD29455C5C2A3D",
    },
    Domain {
        curve: Curve::K256,
        name: "secp256k1",
        jwk: "secp256k1",
        oid: &[0x2b, 0x81, 0x04, 0x00, 0x0a],
        size: 32,
        p: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F",
        a: "0000000000000000000000000000000000000000000000000000000000000000",
        b: "0000000000000000000000000000000000000000000000000000000000000007",
        g: "0479BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8",
        n: "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141",
    },
];

/// Names that `getCurves()` answers.
pub(crate) const CURVES: [&str; 5] = ["prime256v1", "secp224r1", "secp256k1", "secp384r1", "secp521r1"];

/// Runs a generic function for the curve.
macro_rules! on {
    ($curve:expr, $function:ident ( $($argument:expr),* )) => {
        match $curve {
            Curve::P224 => $function::<p224::NistP224>($($argument),*),
            Curve::P256 => $function::<p256::NistP256>($($argument),*),
            Curve::P384 => $function::<p384::NistP384>($($argument),*),
            Curve::P521 => $function::<p521::NistP521>($($argument),*),
            Curve::K256 => $function::<k256::Secp256k1>($($argument),*),
        }
    };
}

impl Curve {
    /// By OpenSSL's or NIST's name.
    pub fn find(name: &str) -> Option<Self> {
        let domain = DOMAINS
            .iter()
            .find(|domain| domain.name == name || (domain.jwk == name));
        domain.map(|domain| domain.curve)
    }

    pub fn with_oid(oid: &[u8]) -> Option<Self> {
        DOMAINS
            .iter()
            .find(|domain| domain.oid == oid)
            .map(|domain| domain.curve)
    }

    /// By the name that JSON Web Keys use.
    pub fn with_jwk(name: &str) -> Option<Self> {
        let domain = DOMAINS
            .iter()
            .find(|domain| domain.jwk == name && domain.curve != Curve::P224);
        domain.map(|domain| domain.curve)
    }

    fn domain(self) -> &'static Domain {
        // Every curve has its row: the index is below the table's length.
        &DOMAINS[match self {
            Self::P256 => 0,
            Self::P384 => 1,
            Self::P521 => 2,
            Self::P224 => 3,
            Self::K256 => 4,
        }]
    }

    pub fn name(self) -> &'static str {
        self.domain().name
    }

    /// `None` where JSON Web Keys have no name for it.
    pub fn jwk(self) -> Option<&'static str> {
        (self != Self::P224).then(|| self.domain().jwk)
    }

    /// Bytes of a coordinate or scalar.
    pub fn size(self) -> usize {
        self.domain().size
    }

    /// Checks a point, in any form but infinity, and gives its uncompressed form.
    pub fn point(self, bytes: &[u8]) -> Option<Vec<u8>> {
        // The hybrid form carries both coordinates and their parity.
        if let Some(first @ (6 | 7)) = bytes.first() {
            let mut plain = bytes.to_vec();
            plain[0] = 4;
            return self
                .point(&plain)
                .filter(|point| point[point.len() - 1] & 1 == first & 1);
        }
        on!(self, decode_point(bytes))
    }

    /// The uncompressed point of a scalar; `None` if the scalar is not in the group.
    pub fn public_point(self, scalar: &[u8]) -> Option<Vec<u8>> {
        let scalar = self.padded(scalar)?;
        on!(self, point_of(&scalar))
    }

    /// A scalar at its full length.
    pub fn padded(self, scalar: &[u8]) -> Option<Vec<u8>> {
        let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
        let scalar = &scalar[zeros..];
        let mut out = vec![0; self.size().checked_sub(scalar.len())?];
        out.extend_from_slice(scalar);
        Some(out)
    }

    pub fn generate(self) -> Ec {
        let (scalar, point) = on!(self, generate());
        Ec {
            curve: self,
            point,
            scalar: Some(scalar),
            explicit: false,
        }
    }

    /// The x coordinate of the product.
    pub fn agree(self, scalar: &[u8], point: &[u8]) -> Option<Vec<u8>> {
        let scalar = self.padded(scalar)?;
        on!(self, agree(&scalar, point))
    }

    /// A point in another form: 2 compressed, 4 uncompressed, 6 hybrid.
    pub fn form(self, point: &[u8], form: u8) -> Vec<u8> {
        let size = self.size();
        // Points are kept uncompressed and were checked.
        let parity = point.last().map_or(0, |byte| byte & 1);
        match form {
            2 => [&[2 | parity], &point[1..=size]].concat(),
            6 => [&[6 | parity], &point[1..]].concat(),
            _ => point.to_vec(),
        }
    }

    /// The curve's number or numbers as key parameters.
    pub fn parameters(self, explicit: bool) -> Vec<u8> {
        let domain = self.domain();
        if !explicit {
            return asn1::oid(domain.oid);
        }
        let hex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes();
            // The table holds pairs of digits only.
            let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
            digits
                .chunks(2)
                .map(|pair| value(pair[0]) << 4 | pair.get(1).map_or(0, |d| value(*d)))
                .collect()
        };
        asn1::sequence(&[
            asn1::small(1),
            asn1::sequence(&[asn1::oid(oid::PRIME_FIELD), asn1::uint_bytes(&hex(domain.p))]),
            asn1::sequence(&[asn1::octets(&hex(domain.a)), asn1::octets(&hex(domain.b))]),
            asn1::octets(&hex(domain.g)),
            asn1::uint_bytes(&hex(domain.n)),
            asn1::small(1),
        ])
    }

    /// Reads key parameters; true if they were explicit.
    pub fn read(parameters: &mut Reader<'_>) -> Result<(Self, bool)> {
        let unknown = CryptoError::unsupported_key;
        match parameters.any()? {
            (asn1::OID, content) => Ok((Self::with_oid(content).ok_or_else(unknown)?, false)),
            (asn1::SEQUENCE, content) => {
                let mut inner = Reader::new(content);
                inner.small()?;
                let mut field = inner.sequence()?;
                field.expect(asn1::OID)?;
                let p = field.uint()?;
                let found = DOMAINS
                    .iter()
                    .find(|domain| BigUint::parse_bytes(domain.p.as_bytes(), 16).is_some_and(|value| value == p));
                Ok((found.ok_or_else(unknown)?.curve, true))
            }
            _ => Err(unknown()),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Ec {
    pub curve: Curve,
    /// Uncompressed.
    pub point: Vec<u8>,
    /// At full length.
    pub scalar: Option<Vec<u8>>,
    /// The curve is written as numbers when the key is exported.
    pub explicit: bool,
}

impl Ec {
    pub fn algorithm(&self) -> Vec<u8> {
        algorithm(oid::EC, Some(self.curve.parameters(self.explicit)))
    }

    /// ECPrivateKey (RFC 5915); PKCS #8 has the parameters elsewhere.
    pub fn sec1(&self, with_parameters: bool) -> Option<Vec<u8>> {
        let scalar = self.scalar.as_ref()?;
        let mut parts = vec![asn1::small(1), asn1::octets(scalar)];
        if with_parameters {
            parts.push(asn1::tlv(context(0), &self.curve.parameters(self.explicit)));
        }
        parts.push(asn1::tlv(context(1), &asn1::bits(&self.point)));
        Some(asn1::sequence(&parts))
    }

    /// r and s, each at the scalar's length.
    pub fn sign(&self, digest: &[u8]) -> Result<Vec<u8>> {
        let scalar = self.scalar.as_ref().ok_or_else(failed)?;
        on!(self.curve, sign(scalar, digest))
    }

    pub fn verify(&self, digest: &[u8], signature: &[u8]) -> bool {
        on!(self.curve, verify(&self.point, digest, signature))
    }
}

fn failed() -> CryptoError {
    CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: ECDSA")
}

fn decode_point<C>(bytes: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
{
    let key = PublicKey::<C>::from_sec1_bytes(bytes).ok()?;
    Some(key.as_affine().to_encoded_point(false).as_bytes().to_vec())
}

fn point_of<C>(scalar: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
{
    let key = SecretKey::<C>::from_slice(scalar).ok()?;
    Some(key.public_key().as_affine().to_encoded_point(false).as_bytes().to_vec())
}

fn generate<C>() -> (Vec<u8>, Vec<u8>)
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
{
    let key = SecretKey::<C>::random(&mut OsRng);
    let point = key.public_key().as_affine().to_encoded_point(false).as_bytes().to_vec();
    (key.to_bytes().to_vec(), point)
}

fn agree<C>(scalar: &[u8], point: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
{
    let key = SecretKey::<C>::from_slice(scalar).ok()?;
    let other = PublicKey::<C>::from_sec1_bytes(point).ok()?;
    let shared = elliptic_curve::ecdh::diffie_hellman(key.to_nonzero_scalar(), other.as_affine());
    Some(shared.raw_secret_bytes().to_vec())
}

/// The leftmost bits of the digest, as many as the field has.
fn field_bytes<C: CurveArithmetic>(digest: &[u8]) -> FieldBytes<C> {
    let mut field = FieldBytes::<C>::default();
    let size = field.len();
    if digest.len() >= size {
        field.copy_from_slice(&digest[..size]);
    } else {
        field[size - digest.len()..].copy_from_slice(digest);
    }
    field
}

fn sign<C>(scalar: &[u8], digest: &[u8]) -> Result<Vec<u8>>
where
    C: PrimeCurve + CurveArithmetic,
    Scalar<C>: Invert<Output = CtOption<Scalar<C>>> + Reduce<C::Uint, Bytes = FieldBytes<C>> + SignPrimitive<C>,
    ecdsa::SignatureSize<C>: ArrayLength<u8>,
    FieldBytesSize<C>: ModulusSize,
{
    let key = SecretKey::<C>::from_slice(scalar).map_err(|_| failed())?;
    let nonce = NonZeroScalar::<C>::random(&mut OsRng);
    let scalar: Scalar<C> = *key.to_nonzero_scalar();
    let (signature, _) = scalar
        .try_sign_prehashed(*nonce, &field_bytes::<C>(digest))
        .map_err(|_| failed())?;
    Ok(signature.to_bytes().to_vec())
}

fn verify<C>(point: &[u8], digest: &[u8], signature: &[u8]) -> bool
where
    C: PrimeCurve + CurveArithmetic,
    AffinePoint<C>: VerifyPrimitive<C> + FromEncodedPoint<C> + ToEncodedPoint<C>,
    ecdsa::SignatureSize<C>: ArrayLength<u8>,
    FieldBytesSize<C>: ModulusSize,
    Scalar<C>: elliptic_curve::scalar::IsHigh,
{
    let (Ok(signature), Ok(encoded)) = (
        ecdsa::Signature::<C>::from_slice(signature),
        EncodedPoint::<C>::from_bytes(point),
    ) else {
        return false;
    };
    let Some(point) = Option::<AffinePoint<C>>::from(AffinePoint::<C>::from_encoded_point(&encoded)) else {
        return false;
    };
    // Some implementations refuse the higher of the two equivalent signatures.
    let signature = signature.normalize_s().unwrap_or(signature);
    point.verify_prehashed(&field_bytes::<C>(digest), &signature).is_ok()
}

/// r and s as DER.
pub(crate) fn signature_to_der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    asn1::sequence(&[asn1::uint_bytes(r), asn1::uint_bytes(s)])
}

/// r and s, each `size` bytes, from DER; `None` if it is none, or too large.
pub(crate) fn signature_from_der(der: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut outer = Reader::new(der);
    let mut inner = outer.sequence().ok()?;
    let mut out = Vec::with_capacity(size * 2);
    for _ in 0..2 {
        let bytes = inner.expect(asn1::INTEGER).ok()?;
        if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            return None;
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[zeros..];
        out.resize(out.len() + size.checked_sub(bytes.len())?, 0);
        out.extend_from_slice(bytes);
    }
    (inner.is_empty() && outer.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_signs_and_agrees() {
        for name in CURVES {
            let curve = Curve::find(name).unwrap();
            let (a, b) = (curve.generate(), curve.generate());
            for length in [20, 32, 64] {
                let digest = vec![7; length];
                let signature = a.sign(&digest).unwrap();
                assert!(a.verify(&digest, &signature), "{name} {length}");
                assert!(!b.verify(&digest, &signature), "{name} {length}");
                let der = signature_to_der(&signature);
                assert_eq!(signature_from_der(&der, curve.size()).unwrap(), signature);
            }
            let shared = curve.agree(a.scalar.as_ref().unwrap(), &b.point).unwrap();
            assert_eq!(shared, curve.agree(b.scalar.as_ref().unwrap(), &a.point).unwrap());
            let compressed = curve.form(&a.point, 2);
            assert_eq!(curve.point(&compressed).unwrap(), a.point);
            assert_eq!(curve.point(&curve.form(&a.point, 6)).unwrap(), a.point);
            let explicit = curve.parameters(true);
            assert_eq!(Curve::read(&mut Reader::new(&explicit)).unwrap(), (curve, true));
        }
    }
}
