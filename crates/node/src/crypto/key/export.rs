//! Writing keys: PEM and DER, plain and encrypted.

use super::{Asymmetric, pbes, pem};
use crate::crypto::asn1;
use crate::crypto::cipher::CipherKind;
use crate::crypto::error::{CryptoError, Result};

/// The structure to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Pkcs1Public,
    Spki,
    Pkcs1Private,
    Pkcs8,
    Sec1,
}

/// How to encrypt a private key.
pub(crate) struct Encryption {
    pub cipher: &'static CipherKind,
    pub passphrase: Vec<u8>,
}

fn incompatible(name: &str, why: &str) -> CryptoError {
    CryptoError::error(
        "ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS",
        format!("The selected key encoding {name} {why}."),
    )
}

/// SubjectPublicKeyInfo.
pub(super) fn spki(key: &Asymmetric) -> Vec<u8> {
    let (algorithm, bits) = match key {
        Asymmetric::Rsa(key) => (key.algorithm(), key.pkcs1_public()),
        Asymmetric::Dsa(key) => (key.algorithm(), asn1::uint(&key.y)),
        Asymmetric::Ec(key) => (key.algorithm(), key.point.clone()),
        Asymmetric::Okp(key) => (key.algorithm(), key.public.clone()),
        Asymmetric::Dh(key) => (key.algorithm(), asn1::uint(&key.y)),
    };
    asn1::sequence(&[algorithm, asn1::bits(&bits)])
}

/// PrivateKeyInfo.
pub(super) fn pkcs8(key: &Asymmetric) -> Result<Vec<u8>> {
    let public = || {
        CryptoError::error(
            "ERR_OPERATION_FAILED",
            "Operation failed: the key has no private half to export",
        )
    };
    let (algorithm, private) = match key {
        Asymmetric::Rsa(key) => (key.algorithm(), key.pkcs1_private().ok_or_else(public)?),
        Asymmetric::Dsa(key) => (key.algorithm(), asn1::uint(key.x.as_ref().ok_or_else(public)?)),
        Asymmetric::Ec(key) => (key.algorithm(), key.sec1(false).ok_or_else(public)?),
        Asymmetric::Okp(key) => (key.algorithm(), asn1::octets(key.private.as_ref().ok_or_else(public)?)),
        Asymmetric::Dh(key) => (key.algorithm(), asn1::uint(key.x.as_ref().ok_or_else(public)?)),
    };
    Ok(asn1::sequence(&[asn1::small(0), algorithm, asn1::octets(&private)]))
}

/// The key in that form: DER, or the text of PEM.
pub(crate) fn export(
    key: &Asymmetric,
    encoding: Encoding,
    as_pem: bool,
    encryption: Option<&Encryption>,
) -> Result<Vec<u8>> {
    let (label, der) = match (encoding, key) {
        (Encoding::Spki, key) => ("PUBLIC KEY", spki(key)),
        (Encoding::Pkcs8, key) => ("PRIVATE KEY", pkcs8(key)?),
        (Encoding::Pkcs1Public, Asymmetric::Rsa(rsa)) if rsa.pss.is_none() => ("RSA PUBLIC KEY", rsa.pkcs1_public()),
        (Encoding::Pkcs1Private, Asymmetric::Rsa(rsa)) if rsa.pss.is_none() => {
            let der = rsa.pkcs1_private().ok_or_else(CryptoError::unsupported_key)?;
            ("RSA PRIVATE KEY", der)
        }
        (Encoding::Pkcs1Public | Encoding::Pkcs1Private, _) => {
            return Err(incompatible("pkcs1", "can only be used for RSA keys"));
        }
        (Encoding::Sec1, Asymmetric::Ec(ec)) => {
            let der = ec.sec1(true).ok_or_else(CryptoError::unsupported_key)?;
            ("EC PRIVATE KEY", der)
        }
        (Encoding::Sec1, _) => return Err(incompatible("sec1", "can only be used for EC keys")),
    };
    let Some(encryption) = encryption else {
        return Ok(if as_pem {
            pem::encode(label, &der).into_bytes()
        } else {
            der
        });
    };
    if encoding == Encoding::Pkcs8 {
        let sealed = pbes::encrypt(&der, encryption.cipher, &encryption.passphrase)?;
        return Ok(if as_pem {
            pem::encode("ENCRYPTED PRIVATE KEY", &sealed).into_bytes()
        } else {
            sealed
        });
    }
    if !as_pem {
        let name = if encoding == Encoding::Sec1 { "sec1" } else { "pkcs1" };
        return Err(incompatible(name, "does not support encryption"));
    }
    Ok(pem::encrypt(label, &der, encryption.cipher, &encryption.passphrase)?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Type, ec, from_spki, okp, parse_private, parse_public, rsa};
    use super::*;

    fn keys() -> Vec<Asymmetric> {
        vec![
            Asymmetric::Rsa(rsa::Rsa::generate(1024, 65_537).unwrap()),
            Asymmetric::Ec(ec::Curve::P521.generate()),
            Asymmetric::Okp(okp::OkpKind::Ed448.generate().unwrap()),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for key in keys() {
            let der = export(&key, Encoding::Pkcs8, false, None).unwrap();
            assert!(
                parse_private(&der, &Input::Der(Type::Pkcs8), None)
                    .unwrap()
                    .equals(&key)
            );
            let public = from_spki(&export(&key, Encoding::Spki, false, None).unwrap()).unwrap();
            assert!(public.equals(&key.public()));
            for name in ["aes-128-cbc", "aes-256-cbc", "des-ede3-cbc"] {
                let encryption = Encryption {
                    cipher: CipherKind::find(name).unwrap(),
                    passphrase: b"secret".to_vec(),
                };
                let text = export(&key, Encoding::Pkcs8, true, Some(&encryption)).unwrap();
                assert!(parse_private(&text, &Input::Pem, Some(b"secret")).unwrap().equals(&key));
                assert!(parse_private(&text, &Input::Pem, Some(b"wrong")).is_err());
                assert!(parse_private(&text, &Input::Pem, None).is_err());
                assert!(
                    parse_public(&text, &Input::Pem, Some(b"secret"))
                        .unwrap()
                        .equals(&key.public())
                );
            }
        }
    }

    #[test]
    fn old_encryption_is_read() {
        let key = Asymmetric::Ec(ec::Curve::P256.generate());
        let encryption = Encryption {
            cipher: CipherKind::find("aes-128-cbc").unwrap(),
            passphrase: b"secret".to_vec(),
        };
        let text = export(&key, Encoding::Sec1, true, Some(&encryption)).unwrap();
        assert!(parse_private(&text, &Input::Pem, Some(b"secret")).unwrap().equals(&key));
        assert!(export(&key, Encoding::Sec1, false, Some(&encryption)).is_err());
        assert!(export(&key, Encoding::Pkcs1Public, false, None).is_err());
    }
}
