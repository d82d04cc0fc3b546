//! ECB, CBC, CFB, OFB, CTR and ChaCha20.

use super::registry::{CipherKind, Family, Mode};
use super::{Engine, invalid_iv};
use crate::crypto::error::Result;
use cipher::inout::InOutBuf;
use cipher::{BlockDecryptMut, BlockEncryptMut, KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek};

struct Encrypt<C>(C);

impl<C: BlockEncryptMut + Send> Engine for Encrypt<C> {
    fn process(&mut self, data: &mut [u8]) {
        let (blocks, rest) = InOutBuf::from(data).into_chunks();
        debug_assert!(rest.is_empty(), "whole blocks only");
        self.0.encrypt_blocks_inout_mut(blocks);
    }
}

struct Decrypt<C>(C);

impl<C: BlockDecryptMut + Send> Engine for Decrypt<C> {
    fn process(&mut self, data: &mut [u8]) {
        let (blocks, rest) = InOutBuf::from(data).into_chunks();
        debug_assert!(rest.is_empty(), "whole blocks only");
        self.0.decrypt_blocks_inout_mut(blocks);
    }
}

struct Keystream<C>(C);

impl<C: StreamCipher + Send> Engine for Keystream<C> {
    fn process(&mut self, data: &mut [u8]) {
        // Counters of 128 bits do not run out; ChaCha20's 256 GiB are beyond what one isolate handles.
        let result = self.0.try_apply_keystream(data);
        debug_assert!(result.is_ok(), "the key stream ended");
    }
}

struct CfbEncrypt<C: cipher::BlockEncryptMut + cipher::BlockCipher>(cfb_mode::BufEncryptor<C>);

impl<C: BlockEncryptMut + cipher::BlockCipher + Send> Engine for CfbEncrypt<C> {
    fn process(&mut self, data: &mut [u8]) {
        self.0.encrypt(data);
    }
}

struct CfbDecrypt<C: cipher::BlockEncryptMut + cipher::BlockCipher>(cfb_mode::BufDecryptor<C>);

impl<C: BlockEncryptMut + cipher::BlockCipher + Send> Engine for CfbDecrypt<C> {
    fn process(&mut self, data: &mut [u8]) {
        self.0.decrypt(data);
    }
}

/// Lengths were checked against the kind; a mismatch here would be ours and reads as a bad IV.
fn chain<C>(mode: Mode, encrypt: bool, key: &[u8], iv: &[u8]) -> Result<Box<dyn Engine>>
where
    C: KeyInit + cipher::BlockEncrypt + cipher::BlockDecrypt + cipher::BlockCipher + Clone + Send + 'static,
    C: BlockEncryptMut + BlockDecryptMut,
{
    Ok(match (mode, encrypt) {
        (Mode::Ecb, true) => Box::new(Encrypt(
            ecb::Encryptor::<C>::new_from_slice(key).map_err(|_| invalid_iv())?,
        )),
        (Mode::Ecb, false) => Box::new(Decrypt(
            ecb::Decryptor::<C>::new_from_slice(key).map_err(|_| invalid_iv())?,
        )),
        (Mode::Cbc, true) => Box::new(Encrypt(
            cbc::Encryptor::<C>::new_from_slices(key, iv).map_err(|_| invalid_iv())?,
        )),
        (Mode::Cbc, false) => Box::new(Decrypt(
            cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| invalid_iv())?,
        )),
        (Mode::Cfb, true) => Box::new(CfbEncrypt(
            cfb_mode::BufEncryptor::<C>::new_from_slices(key, iv).map_err(|_| invalid_iv())?,
        )),
        (Mode::Cfb, false) => Box::new(CfbDecrypt(
            cfb_mode::BufDecryptor::<C>::new_from_slices(key, iv).map_err(|_| invalid_iv())?,
        )),
        (Mode::Cfb8, true) => Box::new(Encrypt(
            cfb8::Encryptor::<C>::new_from_slices(key, iv).map_err(|_| invalid_iv())?,
        )),
        (Mode::Cfb8, false) => Box::new(Decrypt(
            cfb8::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| invalid_iv())?,
        )),
        _ => return Err(invalid_iv()),
    })
}

fn counter<C>(key: &[u8], iv: &[u8]) -> Result<Box<dyn Engine>>
where
    ctr::Ctr128BE<C>: KeyIvInit + StreamCipher + Send + 'static,
    C: cipher::BlockEncryptMut + cipher::BlockCipher + cipher::BlockSizeUser<BlockSize = cipher::consts::U16>,
{
    Ok(Box::new(Keystream(
        ctr::Ctr128BE::<C>::new_from_slices(key, iv).map_err(|_| invalid_iv())?,
    )))
}

macro_rules! ofb {
    ($type:ty, $key:expr, $iv:expr) => {
        Ok(Box::new(Keystream(
            ofb::Ofb::<$type>::new_from_slices($key, $iv).map_err(|_| invalid_iv())?,
        )))
    };
}

pub(super) fn engine(kind: &CipherKind, encrypt: bool, key: &[u8], iv: &[u8]) -> Result<Box<dyn Engine>> {
    match (kind.family, kind.mode, kind.key_length) {
        (Family::Aes, Mode::Ctr, 16) => counter::<aes::Aes128>(key, iv),
        (Family::Aes, Mode::Ctr, 24) => counter::<aes::Aes192>(key, iv),
        (Family::Aes, Mode::Ctr, _) => counter::<aes::Aes256>(key, iv),
        (Family::Aes, Mode::Ofb, 16) => ofb!(aes::Aes128, key, iv),
        (Family::Aes, Mode::Ofb, 24) => ofb!(aes::Aes192, key, iv),
        (Family::Aes, Mode::Ofb, _) => ofb!(aes::Aes256, key, iv),
        (Family::TripleDes, Mode::Ofb, _) => ofb!(des::TdesEde3, key, iv),
        (Family::Aes, mode, 16) => chain::<aes::Aes128>(mode, encrypt, key, iv),
        (Family::Aes, mode, 24) => chain::<aes::Aes192>(mode, encrypt, key, iv),
        (Family::Aes, mode, _) => chain::<aes::Aes256>(mode, encrypt, key, iv),
        (Family::Des, mode, _) => chain::<des::Des>(mode, encrypt, key, iv),
        (Family::TripleDes, mode, _) => chain::<des::TdesEde3>(mode, encrypt, key, iv),
        (Family::ChaCha, ..) => {
            // The IV is the initial block number, little-endian, and the nonce.
            let (block, nonce) = iv.split_at_checked(4).ok_or_else(invalid_iv)?;
            let mut cipher = chacha20::ChaCha20::new_from_slices(key, nonce).map_err(|_| invalid_iv())?;
            let block = u32::from_le_bytes(block.try_into().map_err(|_| invalid_iv())?);
            cipher.try_seek(u64::from(block) * 64).map_err(|_| invalid_iv())?;
            Ok(Box::new(Keystream(cipher)))
        }
    }
}
