//! An answer as bytes: its head, and its body as it comes (RFC 9112 sections 4 to 7).

use super::outbox::Outbox;
use crate::body::EdgeBody;
use atoll_worker::{Foreign, Frame, Piece};
use bytes::Bytes;
use http::header;
use http::response::Parts;
use http::{Response, StatusCode};
use http_body::Body as _;
use hyper::ext::ReasonPhrase;
use std::cell::RefCell;
use std::io::{self, Write as _};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

/// Bytes of a body that may wait to be written before more of it is taken.
const QUEUED_BYTES_MAX: usize = 128 * 1024;

/// How the client finds the body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    Chunked,
}

/// A body on its way.
pub(super) struct Streaming {
    body: EdgeBody,
    framing: Framing,
    end: Option<io::Result<()>>,
}

/// Puts the head into `out`, and the body with it if it is at hand. Otherwise the body comes back. True if this is the
/// connection's last answer.
pub(super) fn head(
    out: &mut Outbox,
    response: Response<EdgeBody>,
    head_only: bool,
    leaving: bool,
    now_ms: u64,
) -> (bool, Option<Streaming>) {
    let (parts, body) = response.into_parts();
    let bodiless = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = if body.is_end_stream() {
        Some(0)
    } else {
        body.size_hint().exact()
    };
    let last = out.append(|out| {
        let said = lines(out, &parts, head_only || bodiless);
        if leaving && !said.close {
            out.extend_from_slice(b"connection: close\r\n");
        }
        if !said.length && !bodiless {
            match length {
                Some(0) if head_only => {}
                Some(length) => {
                    let mut digits = [0; 20];
                    out.extend_from_slice(b"content-length: ");
                    out.extend_from_slice(decimal(length, &mut digits));
                    out.extend_from_slice(b"\r\n");
                }
                None if head_only => {}
                None => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            }
        }
        if !said.date {
            date(out, now_ms);
        }
        out.extend_from_slice(b"\r\n");
        leaving || said.close
    });
    if head_only || bodiless || length == Some(0) {
        return (last, None);
    }
    match body {
        EdgeBody::Empty => (last, None),
        EdgeBody::Full(bytes) => {
            out.push(bytes);
            (last, None)
        }
        EdgeBody::Unsized(bytes) => {
            chunk(out, bytes);
            out.copy(b"0\r\n\r\n");
            (last, None)
        }
        EdgeBody::Stream(_) | EdgeBody::Encoded(_) => {
            let streaming = Streaming {
                body,
                framing: length.map_or(Framing::Chunked, Framing::Length),
                end: None,
            };
            (last, Some(streaming))
        }
    }
}

/// What a response's own headers say.
#[derive(Default)]
struct Said {
    date: bool,
    length: bool,
    /// This is the connection's last answer.
    close: bool,
}

/// The status line, and the response's own headers.
fn lines(out: &mut Vec<u8>, parts: &Parts, without_trailers: bool) -> Said {
    let status = parts.status;
    let reason = parts.extensions.get::<ReasonPhrase>();
    if status == StatusCode::OK && reason.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        let reason = match reason {
            Some(reason) => reason.as_bytes(),
            None => status.canonical_reason().unwrap_or("<none>").as_bytes(),
        };
        for piece in [&b"HTTP/1.1 "[..], status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    let mut said = Said::default();
    for (name, value) in &parts.headers {
        match *name {
            header::DATE => said.date = true,
            header::CONTENT_LENGTH => said.length = true,
            header::CONNECTION => said.close |= value.as_bytes().eq_ignore_ascii_case(b"close"),
            header::TRAILER if without_trailers => continue,
            _ => {}
        }
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    said
}

fn chunk(out: &mut Outbox, bytes: Bytes) {
    chunk_size(out, bytes.len());
    out.push(bytes);
    out.copy(b"\r\n");
}

fn chunk_size(out: &mut Outbox, length: usize) {
    // Writing to an array that is long enough does not fail.
    let mut size = [0; 18];
    let mut rest = &mut size[..];
    let _ = write!(rest, "{length:x}\r\n");
    let left = rest.len();
    out.copy(&size[..size.len() - left]);
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Bytes of `date: Sun, 06 Nov 1994 08:49:37 GMT` and its line end.
const DATE_BYTES: usize = 37;

thread_local! {
    /// The second, and its line.
    static DATE: RefCell<(u64, [u8; DATE_BYTES])> = const { RefCell::new((u64::MAX, [0; DATE_BYTES])) };
}

fn date(out: &mut Vec<u8>, now_ms: u64) {
    let second = now_ms / 1000;
    DATE.with_borrow_mut(|(of, line)| {
        if *of != second {
            *of = second;
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            // An IMF-fixdate is as long as the array has room for.
            let _ = write!(&mut line[..], "date: {}\r\n", httpdate::fmt_http_date(time));
        }
        out.extend_from_slice(line);
    });
}

impl Streaming {
    /// Takes what is there, as far as little waits. `foreign`: what is written goes to the kernel, which may read bytes that are
    /// not this process's own.
    pub(super) fn fill(&mut self, out: &mut Outbox, cx: &mut Context<'_>, foreign: bool) {
        while self.end.is_none() && out.len() < QUEUED_BYTES_MAX {
            match self.body.poll_piece(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.finish(out),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(io::Error::other(error))),
                Poll::Ready(Some(Ok(Piece::Foreign(bytes)))) if foreign => self.foreign(out, bytes),
                Poll::Ready(Some(Ok(piece))) => match piece.into_frame() {
                    Frame::Data(bytes) => self.data(out, bytes),
                    // Who understands them says so, in a request that is not plain.
                    Frame::Trailers(_) => self.finish(out),
                },
            }
        }
    }

    /// How it ended, once it has. What was taken is still to be written.
    pub(super) fn end(&mut self) -> Option<io::Result<()>> {
        self.end.take()
    }

    fn data(&mut self, out: &mut Outbox, mut bytes: Bytes) {
        bytes.truncate(self.begin(out, bytes.len()));
        out.push(bytes);
        self.go_on(out);
    }

    fn foreign(&mut self, out: &mut Outbox, mut bytes: Foreign) {
        bytes.truncate(self.begin(out, bytes.len()));
        out.push_foreign(bytes);
        self.go_on(out);
    }

    /// What comes before `length` bytes of the body; returns how many of them are written.
    fn begin(&mut self, out: &mut Outbox, length: usize) -> usize {
        match &mut self.framing {
            Framing::Chunked => {
                chunk_size(out, length);
                length
            }
            Framing::Length(left) => {
                // What is more than was announced would be read as the next answer.
                let written = usize::try_from(*left).unwrap_or(usize::MAX).min(length);
                *left -= written as u64;
                written
            }
        }
    }

    /// What comes after them.
    fn go_on(&mut self, out: &mut Outbox) {
        match self.framing {
            Framing::Chunked => out.copy(b"\r\n"),
            Framing::Length(0) => self.end = Some(Ok(())),
            Framing::Length(_) => {}
        }
    }

    fn finish(&mut self, out: &mut Outbox) {
        self.end = Some(match self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Framing::Chunked => {
                out.copy(b"0\r\n\r\n");
                Ok(())
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates() {
        let mut digits = [0; 20];
        assert_eq!(decimal(0, &mut digits), b"0");
        assert_eq!(decimal(u64::MAX, &mut digits), b"18446744073709551615");
        for _ in 0..2 {
            let mut line = [0; DATE_BYTES];
            let mut out = Vec::new();
            date(&mut out, 784_111_777_999);
            assert_eq!(out.len(), DATE_BYTES);
            DATE.with_borrow(|(_, cached)| line.copy_from_slice(cached));
            assert_eq!(&line, b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        }
    }
}
