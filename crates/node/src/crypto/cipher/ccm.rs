//! CCM (NIST SP 800-38C): the message's length stands in its first block, so the message comes in one piece.

use super::{Aead, RawBlock};
use crate::crypto::error::{CryptoError, Result};

pub(super) struct Ccm {
    cipher: Box<dyn RawBlock>,
    nonce: Vec<u8>,
    tag_length: usize,
    encrypt: bool,
    associated: Vec<u8>,
    tag: Option<Vec<u8>>,
}

impl Ccm {
    /// The nonce has 7 to 13 bytes, the tag 4 to 16, even.
    pub fn new(cipher: Box<dyn RawBlock>, nonce: &[u8], tag_length: usize, encrypt: bool) -> Self {
        Self {
            cipher,
            nonce: nonce.to_vec(),
            tag_length,
            encrypt,
            associated: Vec::new(),
            tag: None,
        }
    }

    /// Bytes of the length field.
    fn width(&self) -> usize {
        15 - self.nonce.len()
    }

    fn counter(&self, index: u64) -> [u8; 16] {
        let width = self.width();
        let mut block = [0; 16];
        block[0] = (width - 1) as u8;
        block[1..1 + self.nonce.len()].copy_from_slice(&self.nonce);
        let bytes = index.to_be_bytes();
        let take = width.min(8);
        block[16 - take..].copy_from_slice(&bytes[8 - take..]);
        block
    }

    fn absorb(&self, mac: &mut [u8; 16], data: &[u8]) {
        for chunk in data.chunks(16) {
            for (byte, input) in mac.iter_mut().zip(chunk) {
                *byte ^= input;
            }
            self.cipher.encrypt(mac);
        }
    }

    fn authenticate(&self, message: &[u8]) -> Vec<u8> {
        let mut mac = self.counter(message.len() as u64);
        mac[0] |= (((self.tag_length - 2) / 2) << 3) as u8;
        if !self.associated.is_empty() {
            mac[0] |= 0x40;
        }
        self.cipher.encrypt(&mut mac);
        if !self.associated.is_empty() {
            let length = self.associated.len();
            let mut data = if length < 0xff00 {
                (length as u16).to_be_bytes().to_vec()
            } else {
                [&[0xff, 0xfe], &(length as u32).to_be_bytes()[..]].concat()
            };
            data.extend_from_slice(&self.associated);
            self.absorb(&mut mac, &data);
        }
        self.absorb(&mut mac, message);
        let mut mask = self.counter(0);
        self.cipher.encrypt(&mut mask);
        mac.iter().zip(mask).map(|(a, b)| a ^ b).take(self.tag_length).collect()
    }
}

impl Aead for Ccm {
    fn associated(&mut self, data: &[u8]) {
        self.associated.extend_from_slice(data);
    }

    fn update(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if self.tag.is_some() {
            return Err(super::unauthenticated());
        }
        let bits = self.width() * 8;
        if bits < 64 && data.len() as u64 >> bits != 0 {
            return Err(CryptoError::range_error(
                "ERR_CRYPTO_INVALID_MESSAGELEN",
                "Invalid message length",
            ));
        }
        let start = out.len();
        out.extend_from_slice(data);
        for (index, chunk) in out[start..].chunks_mut(16).enumerate() {
            let mut stream = self.counter(index as u64 + 1);
            self.cipher.encrypt(&mut stream);
            for (byte, key) in chunk.iter_mut().zip(stream) {
                *byte ^= key;
            }
        }
        let plain = if self.encrypt { data } else { &out[start..] };
        self.tag = Some(self.authenticate(plain));
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Vec<u8>> {
        Ok(match self.tag.take() {
            Some(tag) => tag,
            None => self.authenticate(&[]),
        })
    }
}
