//! Bytes on their way to the stream: small pieces are copied side by side, large ones are kept as they are, so that one
//! system call writes many frames and no body is copied for it.

use crate::frame::Header;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Pieces of at least this many bytes are not copied.
const KEEP_BYTES: usize = 4 * 1024;
/// Pieces that one system call takes.
pub(crate) const SLICES_MAX: usize = 64;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// In order; `tail` comes after.
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    length: usize,
    /// Pieces of a frame whose header is not written yet: not part of the queue.
    gathered: Vec<Bytes>,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn header(&mut self, header: Header) {
        self.copy(&header.bytes());
    }

    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < KEEP_BYTES {
            return self.copy(&bytes);
        }
        self.length += bytes.len();
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.pieces.push_back(bytes);
    }

    /// Keeps a piece for [`Outbox::push_gathered`].
    pub(crate) fn gather(&mut self, bytes: Bytes) {
        self.gathered.push(bytes);
    }

    /// The pieces of [`Outbox::gather`].
    pub(crate) fn gathered(&self) -> &[Bytes] {
        &self.gathered
    }

    /// They have gone another way.
    pub(crate) fn forget_gathered(&mut self) {
        self.gathered.clear();
    }

    /// Puts all that was gathered into the queue.
    pub(crate) fn push_gathered(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        for bytes in gathered.drain(..) {
            self.push(bytes);
        }
        // Its memory, for the next frame.
        self.gathered = gathered;
    }

    /// Everything in `other` comes after what is here; `other` is empty then.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if other.length == 0 {
            return;
        }
        if self.length == 0 {
            std::mem::swap(self, other);
            return;
        }
        if other.pieces.is_empty() {
            self.copy(&other.tail);
        } else {
            if !self.tail.is_empty() {
                self.pieces.push_back(self.tail.split().freeze());
            }
            self.pieces.append(&mut other.pieces);
            self.tail.extend_from_slice(&other.tail);
            self.length += other.length;
        }
        other.tail.clear();
        other.length = 0;
    }

    /// The front of the queue for one vectored write; returns how many slices are used.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut used = 0;
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        for piece in self.pieces.iter().map(|piece| &piece[..]).chain(tail) {
            if used == SLICES_MAX {
                break;
            }
            slices[used] = IoSlice::new(piece);
            used += 1;
        }
        used
    }

    /// `bytes` have been written.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        self.length -= bytes;
        while let Some(piece) = self.pieces.front_mut() {
            if bytes < piece.len() {
                piece.advance(bytes);
                return;
            }
            bytes -= piece.len();
            self.pieces.pop_front();
        }
        if bytes == self.tail.len() {
            // Keeps the room for the next batch.
            self.tail.clear();
        } else {
            self.tail.advance(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::SplitMix64;

    fn content(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let used = outbox.slices(&mut slices);
        slices[..used].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        for seed in 0..50 {
            let mut rng = SplitMix64::new(seed);
            let (mut outbox, mut other, mut expected) = (Outbox::default(), Outbox::default(), Vec::new());
            for step in 0..20u8 {
                let size = if rng.below(3) == 0 { KEEP_BYTES } else { 10 };
                match rng.below(3) {
                    0 => outbox.copy(&vec![step; size]),
                    1 => outbox.push(vec![step; size].into()),
                    _ => {
                        other.push(vec![step; size].into());
                        other.copy(&[step]);
                        outbox.append(&mut other);
                        assert!(other.is_empty() && content(&other).is_empty());
                        expected.push(step);
                    }
                }
                expected.extend(vec![step; size]);
                let gone = rng.below(expected.len() as u64 / 2 + 1) as usize;
                outbox.advance(gone);
                expected.drain(..gone);
                assert_eq!(outbox.len(), expected.len());
                assert_eq!(content(&outbox), expected, "seed {seed}");
            }
        }
    }
}
