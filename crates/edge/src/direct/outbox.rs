//! Bytes on their way to the client: small ones are copied side by side, large ones are kept as they are, and one system call
//! takes many.

use atoll_worker::Foreign;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Pieces up to this many bytes are copied.
const COPIED_BYTES_MAX: usize = 2 * 1024;
/// Pieces that one system call takes.
const SLICES: usize = 64;

enum Piece {
    /// So many of the copied bytes.
    Copied(usize),
    Kept(Bytes),
    /// For who hands them to the kernel.
    Foreign(Foreign),
}

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    copied: Vec<u8>,
    /// Of `copied`, written already.
    written: usize,
    pieces: VecDeque<Piece>,
    length: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Copies.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.append(|copied| copied.extend_from_slice(bytes));
    }

    /// Copies what `put` appends: many short pieces, counted once.
    pub(super) fn append<T>(&mut self, put: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.copied.len();
        let value = put(&mut self.copied);
        let bytes = self.copied.len() - before;
        self.length += bytes;
        match self.pieces.back_mut() {
            Some(Piece::Copied(count)) => *count += bytes,
            _ => self.pieces.push_back(Piece::Copied(bytes)),
        }
        value
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.copy(&bytes);
        }
        self.length += bytes.len();
        self.pieces.push_back(Piece::Kept(bytes));
    }

    /// What it is written to must hand it to the kernel: see [`Outbox::poll_write`].
    pub(super) fn push_foreign(&mut self, bytes: Foreign) {
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.copy(&bytes.copy());
        }
        self.length += bytes.len();
        self.pieces.push_back(Piece::Foreign(bytes));
    }

    /// One system call: with foreign bytes in it, `io` is a socket of the kernel's and nothing in between looks at them.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let written = if let [Piece::Copied(_)] = self.pieces.make_contiguous() {
            Pin::new(io).poll_write(cx, &self.copied[self.written..])
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            let mut at = self.written;
            for (piece, slice) in self.pieces.iter().zip(&mut slices) {
                *slice = match piece {
                    Piece::Copied(count) => {
                        at += count;
                        IoSlice::new(&self.copied[at - count..at])
                    }
                    Piece::Kept(bytes) => IoSlice::new(bytes),
                    // SAFETY: `Talk` puts them here only where `io` is a TCP socket, which passes the slices to `writev`.
                    Piece::Foreign(bytes) => unsafe { bytes.for_system_call() },
                };
                used += 1;
            }
            Pin::new(io).poll_write_vectored(cx, &slices[..used])
        };
        if let Poll::Ready(Ok(count)) = &written {
            self.advance(*count);
        }
        written
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while count > 0 {
            // There are as many bytes in the pieces as `length` says.
            let Some(piece) = self.pieces.front_mut() else { break };
            let (size, step) = match piece {
                Piece::Copied(size) => {
                    let step = count.min(*size);
                    *size -= step;
                    self.written += step;
                    (*size, step)
                }
                Piece::Kept(bytes) => {
                    let step = count.min(bytes.len());
                    bytes.advance(step);
                    (bytes.len(), step)
                }
                Piece::Foreign(bytes) => {
                    let step = count.min(bytes.len());
                    bytes.advance(step);
                    (bytes.len(), step)
                }
            };
            count -= step;
            if size == 0 {
                self.pieces.pop_front();
            }
        }
        if self.length == 0 {
            self.pieces.clear();
            self.copied.clear();
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_worker::Place;
    use std::ptr::NonNull;
    use std::task::Waker;

    struct Kept(Vec<u8>);

    impl Place for Kept {
        fn read(&self, from: usize, to: &mut [u8]) {
            to.copy_from_slice(&self.0[from..from + to.len()]);
        }
    }

    /// Takes at most so many bytes a call.
    struct Narrow(Vec<u8>, usize);

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let count = buf.len().min(self.1);
            self.0.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut left = self.1;
            for buf in bufs {
                let count = buf.len().min(left);
                self.0.extend_from_slice(&buf[..count]);
                left -= count;
            }
            Poll::Ready(Ok(self.1 - left))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn everything_leaves_in_order_however_little_is_taken() {
        for width in [1, 2, 7, 1000, 2500, 100_000] {
            let mut out = Outbox::default();
            let mut expected = Vec::new();
            let mut io = Narrow(Vec::new(), width);
            let mut cx = Context::from_waker(Waker::noop());
            for round in 0..3u8 {
                for size in [3, COPIED_BYTES_MAX + 9, 0, 5, 6000, 1, 2] {
                    let bytes = vec![round * 10 + (size % 7) as u8; size];
                    expected.extend_from_slice(&bytes);
                    if size % 2 == 0 {
                        out.push(bytes.into());
                    } else {
                        let start = NonNull::from(&bytes[0]);
                        // SAFETY: the place is the memory.
                        out.push_foreign(unsafe { Foreign::new(start, bytes.len(), Box::new(Kept(bytes))) });
                    }
                }
                // Some is left over to the next round.
                while out.len() > (if round < 2 { 4000 } else { 0 }) {
                    assert!(matches!(out.poll_write(&mut io, &mut cx), Poll::Ready(Ok(1..))));
                }
            }
            assert!(out.is_empty() && out.copied.is_empty() && out.pieces.is_empty());
            assert_eq!(io.0, expected, "{width}");
        }
    }
}
