//! X509Certificate and Certificate (SPKAC).

use super::key::KeyHandle;
use super::{bytes, held};
use crate::crypto::digest::HashKind;
use crate::crypto::error::{CryptoError, Result};
use crate::crypto::key::{Key, pem};
use crate::crypto::x509::{Certificate, General, Name, Spkac};
use base64::Engine;
use deno_core::convert::Uint8Array;
use deno_core::op2;
use deno_core::serde_json::{Value, json};
use std::sync::Arc;

/// A certificate that JavaScript holds.
pub(crate) struct CertificateHandle(Certificate);

held!(CertificateHandle, c"X509Certificate");

/// PEM or DER.
#[op2]
#[cppgc]
pub(crate) fn op_crypto_x509_parse(#[buffer] data: &[u8]) -> Result<CertificateHandle> {
    let block = pem::blocks(data).into_iter().find(|block| {
        matches!(
            block.label.as_str(),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
        )
    });
    let certificate = match block {
        Some(block) => Certificate::read(&block.der)?,
        None if data.starts_with(&[0x30]) => Certificate::read(data)?,
        None => return Err(CryptoError::openssl("0480006C", "PEM", "PEM routines", "no start line")),
    };
    Ok(CertificateHandle(certificate))
}

fn name(name: &Name) -> Value {
    name.parts
        .iter()
        .map(|(set, kind, value)| json!([set, kind, value]))
        .collect()
}

/// Bytes as characters of the same number.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn general(entry: &General) -> Value {
    match entry {
        General::Email(text) => json!(["email", latin1(text)]),
        General::Dns(text) => json!(["DNS", latin1(text)]),
        General::Uri(text) => json!(["URI", latin1(text)]),
        General::Ip(address) => json!(["IP Address", address]),
        General::Directory(inner) => json!(["DirName", name(inner)]),
        General::Registered(id) => json!(["Registered ID", id]),
        General::Other(kind, Some(text)) => json!(["othername", kind, String::from_utf8_lossy(text)]),
        General::Other(..) => json!(["othername"]),
        General::Unsupported(kind) => json!([kind]),
    }
}

fn fingerprint(hash: &str, der: &[u8]) -> Result<String> {
    let digest = HashKind::named(hash)?.digest(&[der]);
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(pairs.join(":"))
}

/// All facts as JSON.
#[op2]
#[string]
pub(crate) fn op_crypto_x509_info(#[cppgc] certificate: &CertificateHandle) -> Result<String> {
    let certificate = &certificate.0;
    let access: Vec<Value> = certificate
        .access
        .iter()
        .map(|(method, location)| json!([method, general(location)]))
        .collect();
    let facts = json!({
        "serial": certificate.serial,
        "subject": name(&certificate.subject),
        "issuer": name(&certificate.issuer),
        "validFrom": certificate.valid_from,
        "validTo": certificate.valid_to,
        "alternative": certificate.has_alternative.then(|| certificate.alternative.iter().map(general).collect::<Value>()),
        "access": (!access.is_empty()).then_some(access),
        "purposes": certificate.purposes,
        "ca": certificate.authority,
        "fingerprint": fingerprint("sha1", &certificate.der)?,
        "fingerprint256": fingerprint("sha256", &certificate.der)?,
        "fingerprint512": fingerprint("sha512", &certificate.der)?,
    });
    Ok(facts.to_string())
}

#[op2]
pub(crate) fn op_crypto_x509_raw(#[cppgc] certificate: &CertificateHandle) -> Uint8Array {
    bytes(certificate.0.der.clone())
}

#[op2]
#[string]
pub(crate) fn op_crypto_x509_pem(#[cppgc] certificate: &CertificateHandle) -> String {
    pem::encode("CERTIFICATE", &certificate.0.der)
}

#[op2]
#[cppgc]
pub(crate) fn op_crypto_x509_key(#[cppgc] certificate: &CertificateHandle) -> Result<KeyHandle> {
    Ok(KeyHandle(Key::Public(Arc::new(certificate.0.key()?))))
}

#[op2(fast)]
pub(crate) fn op_crypto_x509_issued(
    #[cppgc] certificate: &CertificateHandle,
    #[cppgc] issuer: &CertificateHandle,
) -> bool {
    certificate.0.issued_by(&issuer.0)
}

#[op2(fast)]
pub(crate) fn op_crypto_x509_verify(#[cppgc] certificate: &CertificateHandle, #[cppgc] key: &KeyHandle) -> bool {
    key.0.asymmetric().is_some_and(|key| certificate.0.signed_with(key))
}

/// True if the private key belongs to the certificate.
#[op2(fast)]
pub(crate) fn op_crypto_x509_matches(#[cppgc] certificate: &CertificateHandle, #[cppgc] key: &KeyHandle) -> bool {
    match (certificate.0.key(), key.0.asymmetric()) {
        (Ok(own), Some(other)) => own.equals(&other.public()),
        _ => false,
    }
}

fn spkac(text: &[u8]) -> Option<Spkac> {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != 0)
        .collect();
    let der = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    Spkac::read(&der)
}

#[op2(fast)]
pub(crate) fn op_crypto_spkac_verify(#[buffer] text: &[u8]) -> bool {
    spkac(text).is_some_and(|spkac| spkac.is_valid())
}

/// PEM; empty if the input is none.
#[op2]
pub(crate) fn op_crypto_spkac_key(#[buffer] text: &[u8]) -> Uint8Array {
    bytes(
        spkac(text)
            .map(|spkac| pem::encode("PUBLIC KEY", &spkac.spki).into_bytes())
            .unwrap_or_default(),
    )
}

/// Empty if the input is none.
#[op2]
pub(crate) fn op_crypto_spkac_challenge(#[buffer] text: &[u8]) -> Uint8Array {
    bytes(spkac(text).map(|spkac| spkac.challenge).unwrap_or_default())
}
