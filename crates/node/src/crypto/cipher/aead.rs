//! GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439), piece by piece: a key stream beside a universal hash.

use super::Aead;
use crate::crypto::error::Result;
use cipher::consts::U16;
use cipher::generic_array::GenericArray;
use cipher::{InnerIvInit, KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use poly1305::Poly1305;

/// A universal hash over parts that are each padded with zeros to whole blocks.
struct Blocked<H> {
    hash: H,
    held: [u8; 16],
    used: usize,
}

impl<H: UniversalHash<BlockSize = U16>> Blocked<H> {
    fn new(hash: H) -> Self {
        Self {
            hash,
            held: [0; 16],
            used: 0,
        }
    }

    fn update(&mut self, mut data: &[u8]) {
        if self.used > 0 {
            let take = data.len().min(16 - self.used);
            self.held[self.used..self.used + take].copy_from_slice(&data[..take]);
            self.used += take;
            data = &data[take..];
            if self.used < 16 {
                return;
            }
            self.hash.update(&[self.held.into()]);
            self.used = 0;
        }
        let whole = data.len() / 16 * 16;
        // Whole blocks only: nothing is padded here.
        self.hash.update_padded(&data[..whole]);
        let rest = &data[whole..];
        self.held[..rest.len()].copy_from_slice(rest);
        self.used = rest.len();
    }

    /// Ends a part.
    fn pad(&mut self) {
        if self.used > 0 {
            self.held[self.used..].fill(0);
            self.hash.update(&[self.held.into()]);
            self.used = 0;
        }
    }

    fn finish(&mut self, lengths: [u8; 16]) -> [u8; 16]
    where
        H: Clone,
    {
        self.pad();
        self.hash.update(&[lengths.into()]);
        self.hash.clone().finalize().into()
    }
}

struct Stream<C, H> {
    cipher: C,
    hash: Blocked<H>,
    /// Added to the hash's result: GCM's encrypted first counter; zeros for Poly1305.
    mask: [u8; 16],
    lengths: fn(u64, u64) -> [u8; 16],
    associated: u64,
    message: u64,
    encrypt: bool,
}

impl<C: StreamCipher + Send, H: UniversalHash<BlockSize = U16> + Clone + Send> Aead for Stream<C, H> {
    fn associated(&mut self, data: &[u8]) {
        self.associated += data.len() as u64;
        self.hash.update(data);
    }

    fn update(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if self.message == 0 {
            self.hash.pad();
        }
        self.message += data.len() as u64;
        if !self.encrypt {
            self.hash.update(data);
        }
        let start = out.len();
        out.extend_from_slice(data);
        self.cipher
            .try_apply_keystream(&mut out[start..])
            .map_err(|_| super::unauthenticated())?;
        if self.encrypt {
            self.hash.update(&out[start..]);
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Vec<u8>> {
        let mut tag = self.hash.finish((self.lengths)(self.associated, self.message));
        for (byte, mask) in tag.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
        Ok(tag.to_vec())
    }
}

fn bits_be(associated: u64, message: u64) -> [u8; 16] {
    let mut block = [0; 16];
    block[..8].copy_from_slice(&(associated * 8).to_be_bytes());
    block[8..].copy_from_slice(&(message * 8).to_be_bytes());
    block
}

fn bytes_le(associated: u64, message: u64) -> [u8; 16] {
    let mut block = [0; 16];
    block[..8].copy_from_slice(&associated.to_le_bytes());
    block[8..].copy_from_slice(&message.to_le_bytes());
    block
}

fn gcm_with<C>(key: &[u8], iv: &[u8], encrypt: bool) -> Box<dyn Aead>
where
    C: KeyInit
        + cipher::BlockEncrypt
        + cipher::BlockCipher
        + cipher::BlockSizeUser<BlockSize = U16>
        + Clone
        + Send
        + 'static,
{
    // The key's length chose `C`.
    let cipher = C::new(GenericArray::from_slice(key));
    let mut subkey = GenericArray::<u8, U16>::default();
    cipher.encrypt_block(&mut subkey);
    let ghash = GHash::new(&subkey);
    let mut counter = [0; 16];
    if iv.len() == 12 {
        counter[..12].copy_from_slice(iv);
        counter[15] = 1;
    } else {
        let mut hash = Blocked::new(ghash.clone());
        hash.update(iv);
        counter = hash.finish(bits_be(0, iv.len() as u64));
    }
    let mut stream = ctr::Ctr32BE::from_core(ctr::CtrCore::inner_iv_init(cipher, &counter.into()));
    let mut mask = [0; 16];
    stream.apply_keystream(&mut mask);
    Box::new(Stream {
        cipher: stream,
        hash: Blocked::new(ghash),
        mask,
        lengths: bits_be,
        associated: 0,
        message: 0,
        encrypt,
    })
}

/// The key has 16, 24 or 32 bytes.
pub(super) fn gcm(key: &[u8], iv: &[u8], encrypt: bool) -> Box<dyn Aead> {
    match key.len() {
        16 => gcm_with::<aes::Aes128>(key, iv, encrypt),
        24 => gcm_with::<aes::Aes192>(key, iv, encrypt),
        _ => gcm_with::<aes::Aes256>(key, iv, encrypt),
    }
}

/// The key has 32 bytes, the IV at most 12; shorter ones are padded in front.
pub(super) fn chacha20_poly1305(key: &[u8], iv: &[u8], encrypt: bool) -> Box<dyn Aead> {
    let mut nonce = [0; 12];
    nonce[12 - iv.len()..].copy_from_slice(iv);
    let mut cipher = chacha20::ChaCha20::new(GenericArray::from_slice(key), &nonce.into());
    let mut mac_key = [0; 32];
    cipher.apply_keystream(&mut mac_key);
    // The message begins with the second block of the key stream.
    cipher.seek(64_u32);
    Box::new(Stream {
        cipher,
        hash: Blocked::new(Poly1305::new(&mac_key.into())),
        mask: [0; 16],
        lengths: bytes_le,
        associated: 0,
        message: 0,
        encrypt,
    })
}
