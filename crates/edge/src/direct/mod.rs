//! HTTP/1.1 requests of the plain kind, read and answered without the HTTP library.
//!
//! Plain is a request that says nothing of its connection (but `keep-alive`) and has no body, with a head that arrives in
//! one of the first reads. Most are so, and what the library does for the others (bodies, upgrades, expectations, HTTP/1.0,
//! errors) costs as much as the rest of a small answer. At the first request that is not plain the connection goes to the
//! library, with the bytes that were read, and stays there. So no request is refused here, and both read a head by the same
//! parser; what [`crate::headscan`] looks for makes a request not plain.
//!
//! Answers are those of the library, byte for byte but for the order of a few headers: `tests/it` runs every case over both.
//!
//! ```text
//! head -> route::handle -> write -> head ...
//!   \-> the library      \-> over: asked to leave, client gone, broken body
//! ```

mod head;
mod outbox;
mod write;

use crate::connection::Connection;
use crate::io::Io;
use crate::route;
use bytes::{Bytes, BytesMut};
use head::Parsed;
use http::{Method, StatusCode};
use outbox::Outbox;
use std::any::TypeId;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read at a time. Heads of browsers fit.
const READ_BYTES: usize = 4 * 1024;
/// Bytes that are taken of what a client sends before it has its answer, to see whether it is still there.
const AHEAD_BYTES: usize = 256;
/// A head that has not ended after so many bytes is the library's.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What becomes of a connection afterwards.
pub(crate) enum Rest<S> {
    /// It is over.
    Over,
    /// Goes on with the library, which reads these bytes first.
    Library(Io<S>, Bytes),
}

/// Answers requests until one is not plain. `leaving`: set from outside when nothing further is to be begun; the future is
/// polled afterwards.
pub(crate) async fn converse<S>(
    io: Io<S>,
    start: BytesMut,
    connection: Arc<Connection>,
    leaving: &AtomicBool,
) -> io::Result<Rest<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut talk = Talk {
        io,
        buffer: start,
        out: Outbox::default(),
        leaving,
        kernel: TypeId::of::<S>() == TypeId::of::<TcpStream>(),
    };
    loop {
        let mut begun = false;
        let parts = loop {
            match head::parse(&mut talk.buffer) {
                Parsed::Plain(parts) => break parts,
                Parsed::Partial if talk.buffer.len() < HEAD_BYTES_MAX => {}
                Parsed::Partial | Parsed::Other => return Ok(Rest::Library(talk.io, talk.buffer.freeze())),
            }
            if !talk.buffer.is_empty() && !begun {
                begun = true;
                connection.head_begins();
            }
            if poll_fn(|cx| talk.poll_head(cx)).await? == 0 {
                return Ok(Rest::Over);
            }
        };
        let head_only = parts.method == Method::HEAD;
        let mut handling = pin!(route::handle(&connection, parts, None));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(response) = handling.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            talk.poll_gone(cx).map(|()| None)
        });
        let Some(response) = answered.await else {
            return Ok(Rest::Over);
        };
        // Only upgrades are answered so, and they are not plain.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Rest::Over);
        }
        let now_ms = connection.front.options.clock.coarse_ms();
        let leaving = talk.is_leaving();
        let (last, body) = write::head(&mut talk.out, response, head_only, leaving, now_ms);
        match body {
            None => poll_fn(|cx| talk.poll_write(cx)).await?,
            Some(mut body) => {
                poll_fn(|cx| talk.poll_body(&mut body, cx)).await?;
            }
        }
        if last || (talk.is_leaving() && talk.buffer.is_empty()) {
            let _ = talk.io.shutdown().await;
            return Ok(Rest::Over);
        }
    }
}

struct Talk<'a, S> {
    io: Io<S>,
    buffer: BytesMut,
    out: Outbox,
    leaving: &'a AtomicBool,
    /// What is written goes to the kernel as it is.
    kernel: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// More of a head; 0 at the end, or when there is nothing to stay for.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.poll_read(cx) {
            Poll::Pending if self.is_leaving() && self.buffer.is_empty() => Poll::Ready(Ok(0)),
            other => other,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(READ_BYTES);
        let mut read = ReadBuf::uninit(self.buffer.spare_capacity_mut());
        let read = match Pin::new(&mut self.io).poll_read(cx, &mut read) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(result) => result.map(|()| read.filled().len())?,
        };
        let filled = self.buffer.len() + read;
        // SAFETY: `poll_read` has initialized `read` bytes of the spare capacity, which begins at the length.
        unsafe { self.buffer.set_len(filled) };
        Poll::Ready(Ok(read))
    }

    /// Ready when the client has gone away. A request that it sends meanwhile waits.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.buffer.is_empty() {
            return Poll::Pending;
        }
        // Nearly always there is nothing: no room is made for it before there is.
        let mut space = [MaybeUninit::uninit(); AHEAD_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.io).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                self.buffer.extend_from_slice(read.filled());
                Poll::Pending
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes all that waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match self.out.poll_write(&mut self.io, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Writes the body as it comes.
    fn poll_body(&mut self, body: &mut write::Streaming, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            body.fill(&mut self.out, cx, self.kernel);
            if self.out.is_empty() {
                if let Some(end) = body.end() {
                    return match end {
                        Ok(()) => Pin::new(&mut self.io).poll_flush(cx),
                        Err(error) => Poll::Ready(Err(error)),
                    };
                }
                if Pin::new(&mut self.io).poll_flush(cx)?.is_pending() {
                    return Poll::Pending;
                }
                return match self.poll_gone(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    Poll::Pending => Poll::Pending,
                };
            }
            match self.out.poll_write(&mut self.io, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
