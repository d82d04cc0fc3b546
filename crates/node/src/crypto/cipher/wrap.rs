//! Key wrapping: AES (RFC 3394, RFC 5649) and triple DES (RFC 3217).

use super::{RawBlock, unauthenticated};
use crate::crypto::error::{CryptoError, Result};
use cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::NoPadding};
use rand::RngCore;
use rand::rngs::OsRng;
use subtle::ConstantTimeEq;

pub(super) enum Wrap {
    Aes {
        cipher: Box<dyn RawBlock>,
        iv: Vec<u8>,
        pad: bool,
    },
    TripleDes {
        key: Vec<u8>,
    },
}

/// The IV of RFC 3217's second encryption.
const TRIPLE_DES_IV: [u8; 8] = [0x4a, 0xdd, 0xa2, 0x2c, 0x79, 0xe8, 0x21, 0x05];

impl Wrap {
    pub fn aes(cipher: Box<dyn RawBlock>, iv: &[u8], pad: bool) -> Self {
        Self::Aes {
            cipher,
            iv: iv.to_vec(),
            pad,
        }
    }

    pub fn triple_des(key: &[u8]) -> Self {
        Self::TripleDes { key: key.to_vec() }
    }

    pub fn wrap(&self, data: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Aes { cipher, iv, pad: false } => {
                if !data.len().is_multiple_of(8) || data.len() < 16 {
                    return Err(bad_length());
                }
                Ok(wrap_blocks(cipher.as_ref(), iv, data))
            }
            Self::Aes { cipher, iv, pad: true } => {
                let length = u32::try_from(data.len()).map_err(|_| bad_length())?;
                if length == 0 {
                    return Err(bad_length());
                }
                let initial = [iv, &length.to_be_bytes()[..]].concat();
                let mut padded = data.to_vec();
                padded.resize(data.len().div_ceil(8) * 8, 0);
                if padded.len() == 8 {
                    let mut block = [0; 16];
                    block[..8].copy_from_slice(&initial);
                    block[8..].copy_from_slice(&padded);
                    cipher.encrypt(&mut block);
                    return Ok(block.to_vec());
                }
                Ok(wrap_blocks(cipher.as_ref(), &initial, &padded))
            }
            Self::TripleDes { key } => {
                if !data.len().is_multiple_of(8) {
                    return Err(bad_length());
                }
                let mut iv = [0; 8];
                OsRng
                    .try_fill_bytes(&mut iv)
                    .map_err(|error| CryptoError::plain(format!("no randomness: {error}")))?;
                let checksum = <sha1::Sha1 as digest::Digest>::digest(data);
                let inner = triple_des(key, &iv, &[data, &checksum[..8]].concat(), true)?;
                let mut all = [&iv[..], &inner].concat();
                all.reverse();
                triple_des(key, &TRIPLE_DES_IV, &all, true)
            }
        }
    }

    pub fn unwrap(&self, data: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Aes { cipher, iv, pad } => {
                if !data.len().is_multiple_of(8) || data.len() < if *pad { 16 } else { 24 } {
                    return Err(bad_length());
                }
                let (initial, mut plain) = unwrap_blocks(cipher.as_ref(), data);
                if !*pad {
                    return if bool::from(initial.ct_eq(iv)) {
                        Ok(plain)
                    } else {
                        Err(unauthenticated())
                    };
                }
                let length = u32::from_be_bytes([initial[4], initial[5], initial[6], initial[7]]) as usize;
                let prefix_ok = bool::from(initial[..4].ct_eq(iv));
                if !prefix_ok
                    || length > plain.len()
                    || length + 8 <= plain.len()
                    || plain[length..].iter().any(|b| *b != 0)
                {
                    return Err(unauthenticated());
                }
                plain.truncate(length);
                Ok(plain)
            }
            Self::TripleDes { key } => {
                if !data.len().is_multiple_of(8) || data.len() < 24 {
                    return Err(bad_length());
                }
                let mut all = triple_des(key, &TRIPLE_DES_IV, data, false)?;
                all.reverse();
                let (iv, inner) = all.split_at(8);
                let mut plain = triple_des(key, iv, inner, false)?;
                let checksum = plain.split_off(plain.len() - 8);
                let expected = <sha1::Sha1 as digest::Digest>::digest(&plain);
                if bool::from(expected[..8].ct_eq(&checksum)) {
                    Ok(plain)
                } else {
                    Err(unauthenticated())
                }
            }
        }
    }
}

fn bad_length() -> CryptoError {
    CryptoError::openssl("1C80009B", "", "Provider routines", "invalid input length")
}

fn wrap_blocks(cipher: &dyn RawBlock, initial: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = [initial, data].concat();
    let count = data.len() / 8;
    for round in 0..6 {
        for i in 1..=count {
            let mut block = [0; 16];
            block[..8].copy_from_slice(&out[..8]);
            block[8..].copy_from_slice(&out[i * 8..i * 8 + 8]);
            cipher.encrypt(&mut block);
            let step = (count * round + i) as u64;
            for (byte, t) in block.iter_mut().zip(step.to_be_bytes()) {
                *byte ^= t;
            }
            out[..8].copy_from_slice(&block[..8]);
            out[i * 8..i * 8 + 8].copy_from_slice(&block[8..]);
        }
    }
    out
}

fn unwrap_blocks(cipher: &dyn RawBlock, data: &[u8]) -> ([u8; 8], Vec<u8>) {
    let mut first = [0; 8];
    if data.len() == 16 {
        let mut block = [0; 16];
        block.copy_from_slice(data);
        cipher.decrypt(&mut block);
        first.copy_from_slice(&block[..8]);
        return (first, block[8..].to_vec());
    }
    let mut out = data.to_vec();
    let count = data.len() / 8 - 1;
    for round in (0..6).rev() {
        for i in (1..=count).rev() {
            let mut block = [0; 16];
            block[..8].copy_from_slice(&out[..8]);
            block[8..].copy_from_slice(&out[i * 8..i * 8 + 8]);
            let step = (count * round + i) as u64;
            for (byte, t) in block.iter_mut().zip(step.to_be_bytes()) {
                *byte ^= t;
            }
            cipher.decrypt(&mut block);
            out[..8].copy_from_slice(&block[..8]);
            out[i * 8..i * 8 + 8].copy_from_slice(&block[8..]);
        }
    }
    first.copy_from_slice(&out[..8]);
    (first, out.split_off(8))
}

fn triple_des(key: &[u8], iv: &[u8], data: &[u8], encrypt: bool) -> Result<Vec<u8>> {
    if encrypt {
        let cipher = cbc::Encryptor::<des::TdesEde3>::new_from_slices(key, iv).map_err(|_| bad_length())?;
        return Ok(cipher.encrypt_padded_vec_mut::<NoPadding>(data));
    }
    let cipher = cbc::Decryptor::<des::TdesEde3>::new_from_slices(key, iv).map_err(|_| bad_length())?;
    cipher
        .decrypt_padded_vec_mut::<NoPadding>(data)
        .map_err(|_| bad_length())
}
