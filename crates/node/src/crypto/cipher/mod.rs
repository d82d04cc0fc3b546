//! Symmetric ciphers by OpenSSL's names, fed piece by piece.
//!
//! A `Cipher` is one encryption or decryption. Output never runs ahead of what the mode can know: the last block of a
//! padded decryption is held back until `finish`. Authentication tags are compared in constant time.

mod aead;
mod blocks;
mod ccm;
mod ocb;
mod registry;
mod wrap;

use crate::crypto::error::{CryptoError, Result};
pub(crate) use registry::{CipherKind, Mode, names};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A single AES block, either way.
trait RawBlock: Send {
    fn encrypt(&self, block: &mut [u8; 16]);
    fn decrypt(&self, block: &mut [u8; 16]);
}

impl<C: cipher::BlockEncrypt + cipher::BlockDecrypt + cipher::BlockSizeUser<BlockSize = cipher::consts::U16> + Send>
    RawBlock for C
{
    fn encrypt(&self, block: &mut [u8; 16]) {
        self.encrypt_block(block.into());
    }

    fn decrypt(&self, block: &mut [u8; 16]) {
        self.decrypt_block(block.into());
    }
}

/// AES with a key of 16, 24 or 32 bytes.
fn aes(key: &[u8]) -> Result<Box<dyn RawBlock>> {
    use cipher::KeyInit;
    let length = |_| CryptoError::range_error("ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length");
    Ok(match key.len() {
        16 => Box::new(aes::Aes128::new_from_slice(key).map_err(length)?),
        24 => Box::new(aes::Aes192::new_from_slice(key).map_err(length)?),
        _ => Box::new(aes::Aes256::new_from_slice(key).map_err(length)?),
    })
}

/// Modes without authentication.
trait Engine: Send {
    /// Transforms whole units in place.
    fn process(&mut self, data: &mut [u8]);
}

/// Modes with authentication.
trait Aead: Send {
    /// Associated data; all of it comes before the first message byte.
    fn associated(&mut self, data: &[u8]);
    fn update(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()>;
    /// The rest of the message, and the full tag.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Vec<u8>>;
}

enum State {
    /// Blocks of `size` bytes with what is not processed yet; size 1 for byte streams.
    Plain {
        engine: Box<dyn Engine>,
        size: usize,
        held: Vec<u8>,
    },
    Aead(Box<dyn Aead>),
    /// Key wrapping takes its message in one piece.
    Wrap {
        wrap: wrap::Wrap,
        used: bool,
    },
}

/// One encryption or decryption.
pub(crate) struct Cipher {
    pub kind: &'static CipherKind,
    encrypt: bool,
    padding: bool,
    state: State,
    /// Given to a decryption, or made by an encryption.
    tag: Option<Vec<u8>>,
    tag_length: usize,
    message_started: bool,
    /// The longest message, bytes: CCM's nonce leaves so much room for the length.
    message_max: u64,
    /// CCM found the message to be another's.
    refused: bool,
}

/// Authentication failed, or was never possible.
fn unauthenticated() -> CryptoError {
    CryptoError::plain("Unsupported state or unable to authenticate data")
}

fn invalid_iv() -> CryptoError {
    CryptoError::type_error("ERR_CRYPTO_INVALID_IV", "Invalid initialization vector")
}

impl Cipher {
    /// Key, IV and tag length as the mode wants them; `tag_length` is the authTagLength option.
    pub fn new(
        kind: &'static CipherKind,
        encrypt: bool,
        key: &[u8],
        iv: Option<&[u8]>,
        tag_length: Option<usize>,
    ) -> Result<Self> {
        if key.len() != kind.key_length {
            return Err(CryptoError::range_error(
                "ERR_CRYPTO_INVALID_KEYLEN",
                "Invalid key length",
            ));
        }
        if iv.is_none() && kind.iv_length != 0 {
            return Err(invalid_iv());
        }
        let iv = iv.unwrap_or_default();
        let any_length = matches!(kind.mode, Mode::Gcm | Mode::Ccm | Mode::Ocb | Mode::ChaChaPoly);
        if iv.len() != kind.iv_length && (!any_length || iv.is_empty()) {
            return Err(invalid_iv());
        }
        let bad_tag = |length: usize| {
            CryptoError::type_error(
                "ERR_CRYPTO_INVALID_AUTH_TAG",
                format!("Invalid authentication tag length: {length}"),
            )
        };
        let needs_tag = || {
            CryptoError::type_error(
                "ERR_CRYPTO_INVALID_AUTH_TAG",
                format!("authTagLength required for {}", kind.plain_name()),
            )
        };
        let mut length = 16;
        let state = match kind.mode {
            Mode::Gcm => {
                if let Some(tag) = tag_length {
                    if !matches!(tag, 4 | 8 | 12..=16) {
                        return Err(bad_tag(tag));
                    }
                    length = tag;
                }
                State::Aead(aead::gcm(key, iv, encrypt))
            }
            Mode::ChaChaPoly => {
                if iv.len() > 12 {
                    return Err(invalid_iv());
                }
                if let Some(tag) = tag_length {
                    if !(1..=16).contains(&tag) {
                        return Err(bad_tag(tag));
                    }
                    length = tag;
                }
                State::Aead(aead::chacha20_poly1305(key, iv, encrypt))
            }
            Mode::Ccm => {
                length = tag_length.ok_or_else(needs_tag)?;
                if !matches!(length, 4 | 6 | 8 | 10 | 12 | 14 | 16) {
                    return Err(bad_tag(length));
                }
                if !(7..=13).contains(&iv.len()) {
                    return Err(invalid_iv());
                }
                State::Aead(Box::new(ccm::Ccm::new(aes(key)?, iv, length, encrypt)))
            }
            Mode::Ocb => {
                length = tag_length.ok_or_else(needs_tag)?;
                if !(1..=16).contains(&length) {
                    return Err(bad_tag(length));
                }
                if iv.len() > 15 {
                    return Err(invalid_iv());
                }
                State::Aead(Box::new(ocb::Ocb::new(aes(key)?, iv, length, encrypt)))
            }
            Mode::Wrap | Mode::WrapPad => State::Wrap {
                wrap: wrap::Wrap::aes(aes(key)?, iv, kind.mode == Mode::WrapPad),
                used: false,
            },
            Mode::TripleDesWrap => State::Wrap {
                wrap: wrap::Wrap::triple_des(key),
                used: false,
            },
            _ => State::Plain {
                engine: blocks::engine(kind, encrypt, key, iv)?,
                size: if kind.stream() { 1 } else { kind.block_size },
                held: Vec::new(),
            },
        };
        Ok(Self {
            kind,
            encrypt,
            padding: !kind.stream(),
            state,
            tag: None,
            // GCM and ChaCha20-Poly1305 accept any valid length when none was chosen; 0 remembers that.
            tag_length: if tag_length.is_none() { length | FREE } else { length },
            message_started: false,
            message_max: match (kind.mode, 15_usize.saturating_sub(iv.len())) {
                (Mode::Ccm, width) if width < 8 => (1 << (8 * width)) - 1,
                _ => u64::MAX,
            },
            refused: false,
        })
    }

    fn is_aead(&self) -> bool {
        matches!(self.state, State::Aead(_))
    }

    pub fn set_padding(&mut self, padding: bool) {
        self.padding = padding && !self.kind.stream();
    }

    /// Associated data. CCM must know the message's length first. False: not now.
    pub fn associated(&mut self, data: &[u8], message_length: Option<usize>) -> Result<bool> {
        if self.message_started && self.kind.mode != Mode::Ccm {
            return Ok(false);
        }
        let needs_length = self.kind.mode == Mode::Ccm;
        if needs_length && message_length.is_none() {
            return Err(CryptoError::error(
                "ERR_MISSING_ARGS",
                "options.plaintextLength required for CCM mode with AAD",
            ));
        }
        if message_length.is_some_and(|length| length as u64 > self.message_max) {
            return Err(CryptoError::range_error(
                "ERR_CRYPTO_INVALID_MESSAGELEN",
                "Invalid message length",
            ));
        }
        match &mut self.state {
            State::Aead(aead) => {
                aead.associated(data);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The tag that a decryption must find. False: not now.
    pub fn set_tag(&mut self, tag: &[u8]) -> Result<bool> {
        if self.encrypt || !self.is_aead() || self.tag.is_some() {
            return Ok(false);
        }
        let length = tag.len();
        let valid = if self.tag_length & FREE == 0 {
            length == self.tag_length
        } else if self.kind.mode == Mode::Gcm {
            matches!(length, 4 | 8 | 12..=16)
        } else {
            length == self.tag_length & !FREE
        };
        if !valid {
            return Err(CryptoError::type_error(
                "ERR_CRYPTO_INVALID_AUTH_TAG",
                format!("Invalid authentication tag length: {length}"),
            ));
        }
        self.tag = Some(tag.to_vec());
        Ok(true)
    }

    /// The tag that an encryption made.
    pub fn tag(&self) -> Option<&[u8]> {
        self.tag.as_deref().filter(|_| self.encrypt)
    }

    pub fn update(&mut self, data: &[u8]) -> Result<Vec<u8>> {
        self.message_started = true;
        match &mut self.state {
            State::Plain { engine, size, held } => {
                held.extend_from_slice(data);
                // A decryption's last whole block may be padding.
                let keep_last = self.padding && !self.encrypt && *size > 1;
                let mut ready = held.len() / *size * *size;
                if keep_last && ready == held.len() && ready > 0 {
                    ready -= *size;
                }
                let rest = held.split_off(ready);
                let mut out = std::mem::replace(held, rest);
                engine.process(&mut out);
                Ok(out)
            }
            State::Aead(aead) => {
                if self.kind.mode == Mode::Ccm && !self.encrypt {
                    return self.open_ccm(data);
                }
                let mut out = Vec::with_capacity(data.len() + 16);
                aead.update(data, &mut out)?;
                Ok(out)
            }
            State::Wrap { wrap, used } => {
                if std::mem::replace(used, true) {
                    return Err(unauthenticated());
                }
                if self.encrypt {
                    wrap.wrap(data)
                } else {
                    wrap.unwrap(data)
                }
            }
        }
    }

    /// CCM gives out nothing that is not authenticated.
    fn open_ccm(&mut self, data: &[u8]) -> Result<Vec<u8>> {
        let Some(expected) = &self.tag else {
            return Err(unauthenticated());
        };
        let State::Aead(aead) = &mut self.state else {
            return Err(unauthenticated());
        };
        let mut out = Vec::with_capacity(data.len());
        aead.update(data, &mut out)?;
        let tag = aead.finish(&mut out)?;
        self.refused = !bool::from(tag[..expected.len()].ct_eq(expected));
        // The end tells: nothing is given out until then.
        Ok(if self.refused { Vec::new() } else { out })
    }

    pub fn finish(&mut self) -> Result<Vec<u8>> {
        let (encrypt, padding) = (self.encrypt, self.padding);
        match &mut self.state {
            State::Plain { engine, size, held } => {
                let size = *size;
                let mut last = std::mem::take(held);
                if size == 1 || (!padding && last.is_empty()) {
                    return Ok(Vec::new());
                }
                let wrong_length =
                    || CryptoError::openssl("1C80006B", "", "Provider routines", "wrong final block length");
                if encrypt {
                    if padding {
                        let missing = size - last.len();
                        last.resize(size, missing as u8);
                    } else {
                        return Err(wrong_length());
                    }
                    engine.process(&mut last);
                    return Ok(last);
                }
                if last.len() != size {
                    return Err(wrong_length());
                }
                engine.process(&mut last);
                if padding {
                    let last = &mut Zeroizing::new(last);
                    let count = usize::from(last[size - 1]);
                    if count == 0 || count > size || last[size - count..].iter().any(|byte| usize::from(*byte) != count)
                    {
                        return Err(CryptoError::bad_decrypt());
                    }
                    return Ok(last[..size - count].to_vec());
                }
                Ok(last)
            }
            State::Aead(aead) => {
                let mut out = Vec::new();
                if encrypt {
                    if self.kind.mode == Mode::Ccm && !self.message_started {
                        return Err(CryptoError::openssl("1C800077", "", "Provider routines", "tag not set"));
                    }
                    let mut tag = aead.finish(&mut out)?;
                    tag.truncate(self.tag_length & !FREE);
                    self.tag = Some(tag);
                    return Ok(out);
                }
                let Some(expected) = &self.tag else {
                    return Err(unauthenticated());
                };
                if self.kind.mode == Mode::Ccm && self.message_started {
                    // Checked with the message.
                    return if self.refused { Err(unauthenticated()) } else { Ok(out) };
                }
                let tag = aead.finish(&mut out)?;
                if bool::from(tag[..expected.len()].ct_eq(expected)) {
                    return Ok(out);
                }
                Err(unauthenticated())
            }
            State::Wrap { .. } => Ok(Vec::new()),
        }
    }
}

/// Marks a tag length that nobody chose.
const FREE: usize = 1 << 16;
