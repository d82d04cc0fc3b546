//! The socket as the HTTP library sees it: bytes read ahead come first, request heads are scanned for what would be read
//! in two ways, a client that takes nothing is given up on.

use crate::connection::Connection;
use crate::headscan::HeadScan;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub(crate) struct Io<S> {
    stream: S,
    /// Read before the protocol was known.
    ahead: Bytes,
    connection: Arc<Connection>,
    /// Where the HTTP library reads HTTP/1: what is known of the head being read.
    scan: Option<HeadScan>,
    /// Requests that had started when `scan` began.
    scanned_at: u64,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Io<S> {
    pub(crate) fn new(stream: S, ahead: Bytes, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            ahead,
            connection,
            scan: None,
            scanned_at: 0,
            stalled: None,
        }
    }

    /// For the HTTP library, which reads HTTP/1 from here on, and `ahead` first.
    pub(crate) fn scanned(mut self, ahead: Bytes) -> Self {
        self.ahead = ahead;
        self.scan = Some(HeadScan::default());
        self.scanned_at = self.connection.started();
        self
    }

    fn scan(&mut self, bytes: &mut [u8]) {
        let Some(scan) = &mut self.scan else { return };
        if bytes.is_empty() || self.connection.is_busy() || self.connection.has_unread_body() {
            return;
        }
        let started = self.connection.started();
        if started != self.scanned_at {
            self.scanned_at = started;
            *scan = HeadScan::default();
        }
        if scan.is_new() {
            self.connection.head_begins();
        }
        scan.read(bytes);
    }

    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let limit = self.connection.front.options.limits.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not take what is sent to it",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Io<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let before = buf.filled().len();
        if me.ahead.has_remaining() {
            let count = me.ahead.len().min(buf.remaining());
            buf.put_slice(&me.ahead.split_to(count));
        } else {
            ready!(Pin::new(&mut me.stream).poll_read(cx, buf))?;
        }
        me.scan(&mut buf.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_stalled(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_stalled(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_stalled(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.poll_stalled(cx, progress)
    }
}
