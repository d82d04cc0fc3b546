//! PEM (RFC 7468), with the encryption headers of RFC 1421 that OpenSSL still writes.

use crate::crypto::cipher::{Cipher, CipherKind};
use crate::crypto::digest::HashKind;
use crate::crypto::error::{CryptoError, Result};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand::RngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

/// Characters of a line.
const LINE: usize = 64;

/// OpenSSL reads base64 whatever its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One block.
pub(crate) struct Block {
    pub label: String,
    pub der: Zeroizing<Vec<u8>>,
    /// Cipher and IV of the content, where it is encrypted.
    pub encryption: Option<(&'static CipherKind, Vec<u8>)>,
}

/// The blocks of a text, in order; what is no block is skipped.
pub(crate) fn blocks(text: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(text);
    let mut blocks = Vec::new();
    let mut rest: &str = &text;
    while let Some(begin) = rest.find("-----BEGIN ") {
        rest = &rest[begin + 11..];
        let Some(end) = rest.find("-----") else {
            break;
        };
        let label = &rest[..end];
        let body = &rest[end + 5..];
        let marker = format!("-----END {label}-----");
        let Some(stop) = body.find(&marker) else {
            continue;
        };
        let content = &body[..stop];
        rest = &body[stop + marker.len()..];
        if let Some(block) = block(label, content) {
            blocks.push(block);
        }
    }
    blocks
}

fn block(label: &str, content: &str) -> Option<Block> {
    let mut encryption = None;
    let mut data = String::new();
    for line in content.lines() {
        let line = line.trim();
        if let Some(info) = line.strip_prefix("DEK-Info:") {
            let (name, iv) = info.trim().split_once(',')?;
            encryption = Some((CipherKind::find(name.trim())?, hex(iv.trim())?));
        } else if !line.contains(':') {
            data.push_str(line);
        }
    }
    data.retain(|c| !c.is_ascii_whitespace());
    let der = BASE64.decode(data).ok()?;
    Some(Block {
        label: label.to_owned(),
        der: Zeroizing::new(der),
        encryption,
    })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    wrap(label, "", der)
}

fn wrap(label: &str, headers: &str, der: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n{headers}");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// The key that OpenSSL makes of a passphrase: MD5, once, with the IV's first eight bytes as salt.
fn key(passphrase: &[u8], salt: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let md5 = HashKind::named("md5")?;
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut last: Vec<u8> = Vec::new();
    while key.len() < length {
        last = md5.digest(&[&last, passphrase, salt]);
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    Ok(key)
}

/// The content of an encrypted block.
pub(crate) fn decrypt(block: &Block, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let Some((kind, iv)) = &block.encryption else {
        return Ok(block.der.clone());
    };
    let salt = iv.get(..8).ok_or_else(CryptoError::unsupported_key)?;
    let key = key(passphrase, salt, kind.key_length)?;
    let mut cipher = Cipher::new(kind, false, &key, Some(iv), None)?;
    let mut out = cipher.update(&block.der)?;
    out.extend(cipher.finish().map_err(|_| CryptoError::bad_decrypt())?);
    Ok(Zeroizing::new(out))
}

/// An encrypted block.
pub(crate) fn encrypt(label: &str, der: &[u8], kind: &'static CipherKind, passphrase: &[u8]) -> Result<String> {
    let mut iv = vec![0; kind.iv_length];
    OsRng
        .try_fill_bytes(&mut iv)
        .map_err(|error| CryptoError::plain(format!("no randomness: {error}")))?;
    let salt = iv
        .get(..8)
        .ok_or_else(|| CryptoError::error("ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher"))?;
    let key = key(passphrase, salt, kind.key_length)?;
    let mut cipher = Cipher::new(kind, true, &key, Some(&iv), None)?;
    let mut out = cipher.update(der)?;
    out.extend(cipher.finish()?);
    let digits: String = iv.iter().map(|byte| format!("{byte:02X}")).collect();
    let headers = format!(
        "Proc-Type: 4,ENCRYPTED\nDEK-Info: {},{digits}\n\n",
        kind.name.to_uppercase()
    );
    Ok(wrap(label, &headers, &out))
}
