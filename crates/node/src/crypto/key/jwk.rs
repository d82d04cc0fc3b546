//! JSON Web Keys (RFC 7517, 7518, 8037).

use super::{Asymmetric, ec, okp, rsa};
use crate::crypto::error::{CryptoError, Result};
use ::rsa::BigUint;
use ::rsa::traits::PublicKeyParts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn invalid(what: &str) -> CryptoError {
    CryptoError::type_error("ERR_CRYPTO_INVALID_JWK", format!("Invalid JWK {what} key"))
}

fn decode(text: &str, what: &str) -> Result<Vec<u8>> {
    // Some writers pad, and some use the other alphabet.
    let text: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid(what))
}

/// The key's members as JSON.
pub(crate) fn to_jwk(key: &Asymmetric) -> Result<String> {
    let private = key.is_private();
    match key {
        Asymmetric::Rsa(key) if key.pss.is_none() => {
            let number = |value: &BigUint| encode(&value.to_bytes_be());
            let mut text = format!(
                r#"{{"kty":"RSA","n":"{}","e":"{}""#,
                number(key.public.n()),
                number(key.public.e())
            );
            if let Some([_, _, d, p, q, dp, dq, qi]) = key.components() {
                text += &format!(
                    r#","d":"{}","p":"{}","q":"{}","dp":"{}","dq":"{}","qi":"{}""#,
                    number(&d),
                    number(&p),
                    number(&q),
                    number(&dp),
                    number(&dq),
                    number(&qi)
                );
            }
            Ok(text + "}")
        }
        Asymmetric::Ec(key) => {
            let name = key.curve.jwk().ok_or_else(|| {
                CryptoError::error(
                    "ERR_CRYPTO_JWK_UNSUPPORTED_CURVE",
                    format!("Unsupported JWK EC curve: {}.", key.curve.name()),
                )
            })?;
            let (x, y) = key.point[1..].split_at(key.curve.size());
            let mut text = format!(r#"{{"kty":"EC","x":"{}","y":"{}","crv":"{name}""#, encode(x), encode(y));
            if let Some(scalar) = &key.scalar {
                text += &format!(r#","d":"{}""#, encode(scalar));
            }
            Ok(text + "}")
        }
        Asymmetric::Okp(key) => {
            let mut text = format!(r#"{{"crv":"{}""#, key.kind.jwk());
            if let (true, Some(d)) = (private, &key.private) {
                text += &format!(r#","d":"{}""#, encode(d));
            }
            text += &format!(r#","x":"{}","kty":"OKP"}}"#, encode(&key.public));
            Ok(text)
        }
        _ => Err(CryptoError::error(
            "ERR_CRYPTO_JWK_UNSUPPORTED_KEY_TYPE",
            "Unsupported JWK Key Type.",
        )),
    }
}

/// A key out of its members. RSA: n, e and, for a private key, d, p, q. EC: crv, x, y and d. OKP: crv, x and d.
pub(crate) fn from_jwk(kind: &str, members: &[String]) -> Result<Asymmetric> {
    match (kind, members) {
        ("RSA", [n, e, rest @ ..]) => {
            let number = |text: &String| decode(text, "RSA").map(|bytes| BigUint::from_bytes_be(&bytes));
            let (n, e) = (number(n)?, number(e)?);
            let key = match rest {
                [d, p, q] => rsa::Rsa::from_private(n, e, number(d)?, vec![number(p)?, number(q)?]),
                _ => rsa::Rsa::from_public(n, e),
            };
            key.map(Asymmetric::Rsa).map_err(|_| invalid("RSA"))
        }
        ("EC", [crv, x, y, rest @ ..]) => {
            let curve = ec::Curve::with_jwk(crv)
                .ok_or_else(|| CryptoError::type_error("ERR_CRYPTO_INVALID_CURVE", "Invalid EC curve name"))?;
            let pad = |text: &String| {
                let bytes = decode(text, "EC")?;
                curve.padded(&bytes).ok_or_else(|| invalid("EC"))
            };
            let encoded = [vec![4], pad(x)?, pad(y)?].concat();
            let point = curve.point(&encoded).ok_or_else(|| invalid("EC"))?;
            let scalar = match rest {
                [d] => {
                    let scalar = pad(d)?;
                    if curve.public_point(&scalar).as_ref() != Some(&point) {
                        return Err(invalid("EC"));
                    }
                    Some(scalar)
                }
                _ => None,
            };
            Ok(Asymmetric::Ec(ec::Ec {
                curve,
                point,
                scalar,
                explicit: false,
            }))
        }
        ("OKP", [crv, x, rest @ ..]) => {
            let kind = okp::OkpKind::with_jwk(crv)
                .ok_or_else(|| CryptoError::type_error("ERR_CRYPTO_INVALID_CURVE", "Invalid OKP curve name"))?;
            let data = || CryptoError::type_error("ERR_CRYPTO_INVALID_JWK", "Invalid JWK data");
            let public = decode(x, "OKP").map_err(|_| data())?;
            let key = match rest {
                [d] => okp::Okp::from_private(kind, decode(d, "OKP").map_err(|_| data())?),
                _ => okp::Okp::from_public(kind, public),
            };
            key.map(Asymmetric::Okp).map_err(|_| data())
        }
        _ => Err(invalid(kind)),
    }
}
