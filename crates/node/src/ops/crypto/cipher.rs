//! Cipheriv and Decipheriv.

use super::{bytes, held};
use crate::crypto::cipher::{Cipher, CipherKind, Mode, names};
use crate::crypto::error::{CryptoError, Result};
use deno_core::convert::Uint8Array;
use deno_core::op2;
use std::cell::RefCell;

/// A running cipher.
pub(crate) struct CipherHandle(RefCell<Cipher>);

held!(CipherHandle, c"Cipher");

#[op2]
pub(crate) fn op_crypto_cipher_names() -> Vec<String> {
    names()
}

/// Facts about a cipher as JSON; empty if there is none, or none with these lengths (negative: any).
#[op2]
#[string]
pub(crate) fn op_crypto_cipher_info(#[string] name: &str, nid: u32, key_length: i32, iv_length: i32) -> String {
    let kind = if name.is_empty() {
        CipherKind::with_nid(nid)
    } else {
        CipherKind::find(name)
    };
    let Some(kind) = kind else {
        return String::new();
    };
    if key_length >= 0 && key_length as usize != kind.key_length {
        return String::new();
    }
    let mut iv = kind.iv_length;
    if iv_length >= 0 {
        let length = iv_length as usize;
        let valid = match kind.mode {
            Mode::Gcm => length > 0,
            Mode::Ccm => (7..=13).contains(&length),
            Mode::Ocb => (1..=15).contains(&length),
            Mode::ChaChaPoly => (1..=12).contains(&length),
            _ => length == iv,
        };
        if !valid {
            return String::new();
        }
        iv = length;
    }
    let mut text = format!(
        r#"{{"mode":"{}","name":"{}","nid":{}"#,
        kind.mode_name(),
        kind.printed(),
        kind.nid
    );
    if kind.block_size > 1 && (!kind.stream() || matches!(kind.mode, Mode::Wrap | Mode::WrapPad)) {
        text += &format!(r#","blockSize":{}"#, kind.block_size);
    }
    if iv > 0 {
        text += &format!(r#","ivLength":{iv}"#);
    }
    text + &format!(r#","keyLength":{}}}"#, kind.key_length)
}

/// A negative tag length is "not given".
#[op2]
#[cppgc]
pub(crate) fn op_crypto_cipher_new(
    #[string] name: &str,
    encrypt: bool,
    #[buffer] key: &[u8],
    has_iv: bool,
    #[buffer] iv: &[u8],
    tag_length: i32,
) -> Result<CipherHandle> {
    let kind =
        CipherKind::find(name).ok_or_else(|| CryptoError::error("ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher"))?;
    let iv = has_iv.then_some(iv);
    let cipher = Cipher::new(kind, encrypt, key, iv, usize::try_from(tag_length).ok())?;
    Ok(CipherHandle(RefCell::new(cipher)))
}

#[op2]
pub(crate) fn op_crypto_cipher_update(#[cppgc] cipher: &CipherHandle, #[buffer] data: &[u8]) -> Result<Uint8Array> {
    Ok(bytes(cipher.0.borrow_mut().update(data)?))
}

#[op2]
pub(crate) fn op_crypto_cipher_final(#[cppgc] cipher: &CipherHandle) -> Result<Uint8Array> {
    Ok(bytes(cipher.0.borrow_mut().finish()?))
}

#[op2(fast)]
pub(crate) fn op_crypto_cipher_set_padding(#[cppgc] cipher: &CipherHandle, padding: bool) {
    cipher.0.borrow_mut().set_padding(padding);
}

/// A negative length is "not given". False: not now, or not with this cipher.
#[op2(fast)]
pub(crate) fn op_crypto_cipher_set_aad(
    #[cppgc] cipher: &CipherHandle,
    #[buffer] data: &[u8],
    length: f64,
) -> Result<bool> {
    cipher
        .0
        .borrow_mut()
        .associated(data, (length >= 0.0).then_some(length as usize))
}

/// False: not now, or not with this cipher.
#[op2(fast)]
pub(crate) fn op_crypto_cipher_set_tag(#[cppgc] cipher: &CipherHandle, #[buffer] tag: &[u8]) -> Result<bool> {
    cipher.0.borrow_mut().set_tag(tag)
}

/// Empty while there is none.
#[op2]
pub(crate) fn op_crypto_cipher_tag(#[cppgc] cipher: &CipherHandle) -> Uint8Array {
    bytes(cipher.0.borrow().tag().unwrap_or_default().to_vec())
}
