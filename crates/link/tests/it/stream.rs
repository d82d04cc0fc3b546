//! Streams that behave badly, from a seed: short reads and writes, pauses, and an end at a chosen byte.

use atoll_stdx::SplitMix64;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// A stream that does a little at a time and sometimes nothing.
pub struct Jitter {
    inner: DuplexStream,
    rng: SplitMix64,
}

impl Jitter {
    pub fn new(inner: DuplexStream, seed: u64) -> Self {
        Self {
            inner,
            rng: SplitMix64::new(seed),
        }
    }

    fn pause(&mut self, cx: &mut Context<'_>) -> bool {
        let pause = self.rng.below(3) == 0;
        if pause {
            cx.waker().wake_by_ref();
        }
        pause
    }
}

impl AsyncRead for Jitter {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pause(cx) {
            return Poll::Pending;
        }
        let most = 1 + self.rng.below(2_000) as usize;
        let mut part = buf.take(most);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        let filled = part.filled().len();
        // SAFETY: `take` gave a view of the same memory, and the stream has initialized what it filled.
        unsafe { buf.assume_init(filled) };
        buf.advance(filled);
        polled
    }
}

impl AsyncWrite for Jitter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.pause(cx) {
            return Poll::Pending;
        }
        let most = bytes.len().min(1 + self.rng.below(2_000) as usize);
        Pin::new(&mut self.inner).poll_write(cx, &bytes[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A stream that lets `left` bytes be written and then breaks. Shared, it breaks for both ends.
pub struct Cut {
    inner: DuplexStream,
    left: Arc<AtomicUsize>,
}

impl Cut {
    pub fn new(inner: DuplexStream, left: Arc<AtomicUsize>) -> Self {
        Self { inner, left }
    }
}

impl AsyncRead for Cut {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            // The other end sees the end of the stream.
            let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let most = bytes.len().min(left);
        let written = Pin::new(&mut self.inner).poll_write(cx, &bytes[..most]);
        if let Poll::Ready(Ok(count)) = written {
            self.left.fetch_sub(count, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
