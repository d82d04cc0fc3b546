//! OCB3 (RFC 7253).

use super::{Aead, RawBlock};
use crate::crypto::error::Result;

type Block = [u8; 16];

fn xor(a: &mut Block, b: &Block) {
    for (byte, other) in a.iter_mut().zip(b) {
        *byte ^= other;
    }
}

fn double(block: &Block) -> Block {
    let value = u128::from_be_bytes(*block);
    let doubled = (value << 1) ^ if value >> 127 == 1 { 0x87 } else { 0 };
    doubled.to_be_bytes()
}

pub(super) struct Ocb {
    cipher: Box<dyn RawBlock>,
    encrypt: bool,
    star: Block,
    dollar: Block,
    /// L_0, L_1, ... as far as needed.
    table: Vec<Block>,
    offset: Block,
    checksum: Block,
    index: u64,
    held: Vec<u8>,
    /// The hash of the associated data, running.
    sum: Block,
    sum_offset: Block,
    sum_index: u64,
    sum_held: Vec<u8>,
}

impl Ocb {
    /// The nonce has 1 to 15 bytes, the tag 1 to 16.
    pub fn new(cipher: Box<dyn RawBlock>, nonce: &[u8], tag_length: usize, encrypt: bool) -> Self {
        let mut star = [0; 16];
        cipher.encrypt(&mut star);
        let dollar = double(&star);
        let first = double(&dollar);
        let mut block = [0; 16];
        block[16 - nonce.len()..].copy_from_slice(nonce);
        block[15 - nonce.len()] |= 1;
        block[0] |= ((tag_length * 8 % 128) << 1) as u8;
        let bottom = u32::from(block[15] & 0x3f);
        block[15] &= 0xc0;
        cipher.encrypt(&mut block);
        let mut stretch = [0; 24];
        stretch[..16].copy_from_slice(&block);
        for i in 0..8 {
            stretch[16 + i] = block[i] ^ block[i + 1];
        }
        let mut offset = [0; 16];
        let (bytes, bits) = ((bottom / 8) as usize, bottom % 8);
        for (i, byte) in offset.iter_mut().enumerate() {
            let pair = u16::from_be_bytes([stretch[i + bytes], stretch[i + bytes + 1]]);
            *byte = (pair >> (8 - bits)) as u8;
        }
        Self {
            cipher,
            encrypt,
            star,
            dollar,
            table: vec![first],
            offset,
            checksum: [0; 16],
            index: 0,
            held: Vec::new(),
            sum: [0; 16],
            sum_offset: [0; 16],
            sum_index: 0,
            sum_held: Vec::new(),
        }
    }

    fn table(&mut self, index: u64) -> Block {
        let zeros = index.trailing_zeros() as usize;
        while self.table.len() <= zeros {
            let last = self.table[self.table.len() - 1];
            self.table.push(double(&last));
        }
        self.table[zeros]
    }

    fn message_block(&mut self, block: &mut Block) {
        self.index += 1;
        let l = self.table(self.index);
        xor(&mut self.offset, &l);
        if self.encrypt {
            xor(&mut self.checksum, block);
        }
        xor(block, &self.offset);
        if self.encrypt {
            self.cipher.encrypt(block)
        } else {
            self.cipher.decrypt(block)
        }
        xor(block, &self.offset);
        if !self.encrypt {
            xor(&mut self.checksum, block);
        }
    }
}

impl Aead for Ocb {
    fn associated(&mut self, data: &[u8]) {
        let held = std::mem::take(&mut self.sum_held);
        let all = [&held[..], data].concat();
        let mut chunks = all.chunks_exact(16);
        for chunk in &mut chunks {
            self.sum_index += 1;
            let l = self.table(self.sum_index);
            xor(&mut self.sum_offset, &l);
            let mut block: Block = [0; 16];
            block.copy_from_slice(chunk);
            xor(&mut block, &self.sum_offset);
            self.cipher.encrypt(&mut block);
            xor(&mut self.sum, &block);
        }
        self.sum_held = chunks.remainder().to_vec();
    }

    fn update(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let all = [&held[..], data].concat();
        let mut chunks = all.chunks_exact(16);
        for chunk in &mut chunks {
            let mut block: Block = [0; 16];
            block.copy_from_slice(chunk);
            self.message_block(&mut block);
            out.extend_from_slice(&block);
        }
        self.held = chunks.remainder().to_vec();
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Vec<u8>> {
        let rest = std::mem::take(&mut self.held);
        if !rest.is_empty() {
            let star = self.star;
            xor(&mut self.offset, &star);
            let mut pad = self.offset;
            self.cipher.encrypt(&mut pad);
            let result: Vec<u8> = rest.iter().zip(pad).map(|(a, b)| a ^ b).collect();
            let plain = if self.encrypt { &rest } else { &result };
            let mut last: Block = [0; 16];
            last[..plain.len()].copy_from_slice(plain);
            last[plain.len()] = 0x80;
            xor(&mut self.checksum, &last);
            out.extend_from_slice(&result);
        }
        let mut tag = self.checksum;
        xor(&mut tag, &self.offset);
        let dollar = self.dollar;
        xor(&mut tag, &dollar);
        self.cipher.encrypt(&mut tag);
        let rest = std::mem::take(&mut self.sum_held);
        if !rest.is_empty() {
            let star = self.star;
            xor(&mut self.sum_offset, &star);
            let mut block: Block = [0; 16];
            block[..rest.len()].copy_from_slice(&rest);
            block[rest.len()] = 0x80;
            xor(&mut block, &self.sum_offset);
            self.cipher.encrypt(&mut block);
            xor(&mut self.sum, &block);
        }
        xor(&mut tag, &self.sum);
        Ok(tag.to_vec())
    }
}
