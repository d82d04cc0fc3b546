//! The head of a plain request.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use std::mem::MaybeUninit;

/// Header lines of a plain request.
const LINES_MAX: usize = 64;

/// What the buffer begins with.
pub(super) enum Parsed {
    /// A head that has not ended.
    Partial,
    /// Something for the library; the buffer is as it was.
    Other,
    /// A plain request; the buffer begins after its head.
    Plain(Box<Parts>),
}

/// Takes a plain request's head off the buffer.
pub(super) fn parse(buffer: &mut BytesMut) -> Parsed {
    if buffer.is_empty() {
        return Parsed::Partial;
    }
    let mut headers = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; LINES_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(buffer, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Other,
    };
    let Some(parts) = assemble(&buffer[..length], &request) else {
        return Parsed::Other;
    };
    buffer.advance(length);
    Parsed::Plain(parts)
}

/// A plain request's parts; `None` if it is not plain. `request` was parsed from the bytes.
fn assemble(bytes: &[u8], request: &httparse::Request<'_, '_>) -> Option<Box<Parts>> {
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return None;
    };
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    if method == Method::CONNECT || !ends_lines_well(bytes) {
        return None;
    }
    // A copy, for which a head is small: the buffer stays the connection's own and need not be made anew for each request.
    let head = Bytes::copy_from_slice(bytes);
    let base = bytes.as_ptr() as usize;
    let part = |of: &[u8]| match of.len() {
        0 => Bytes::new(),
        length => {
            let start = of.as_ptr() as usize - base;
            head.slice(start..start + length)
        }
    };
    let mut headers = HeaderMap::with_capacity(request.headers.len() + SPARE_HEADERS);
    for header in request.headers.iter() {
        if !is_plain(header.name, header.value) {
            return None;
        }
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(part(header.value)).ok()?);
    }
    let mut parts = Box::new(Request::new(()).into_parts().0);
    parts.method = method;
    parts.uri = Uri::from_maybe_shared(part(target.as_bytes())).ok()?;
    parts.version = Version::HTTP_11;
    parts.headers = headers;
    Some(parts)
}

/// Headers that the front adds.
const SPARE_HEADERS: usize = 3;

/// Whether a header leaves the request plain: it announces no body and asks nothing of the connection.
fn is_plain(name: &str, value: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 => !is("te"),
        6 => !is("expect"),
        7 => !is("upgrade"),
        10 => !is("connection") || value.eq_ignore_ascii_case(b"keep-alive"),
        14 => !is("content-length") && !is("http2-settings"),
        16 => !is("proxy-connection"),
        17 => !is("transfer-encoding"),
        _ => true,
    }
}

/// Whether every line feed follows a carriage return.
fn ends_lines_well(head: &[u8]) -> bool {
    // Looks at all of it, whatever it finds: so it is many bytes at a time.
    let bare = |pair: &[u8]| pair[1] == b'\n' && pair[0] != b'\r';
    head.first() != Some(&b'\n') && !head.windows(2).fold(false, |any, pair| any | bare(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(head: &str) -> String {
        let mut buffer = BytesMut::from(head.as_bytes());
        match parse(&mut buffer) {
            Parsed::Partial => "partial".to_owned(),
            Parsed::Other => {
                assert_eq!(&buffer[..], head.as_bytes(), "given back whole");
                "other".to_owned()
            }
            Parsed::Plain(parts) => {
                let headers: Vec<String> = parts
                    .headers
                    .iter()
                    .map(|(name, value)| format!(" {name}={}", String::from_utf8_lossy(value.as_bytes())))
                    .collect();
                let rest = String::from_utf8_lossy(&buffer);
                format!("{} {}{} [{rest}]", parts.method, parts.uri, headers.concat())
            }
        }
    }

    #[test]
    fn plain_requests_are_taken_and_others_left() {
        let check = |head: &str, expected: &str| assert_eq!(shown(head), expected, "{head:?}");
        check("", "partial");
        check("GET / HTTP/1.1\r\nHost: a\r\n", "partial");
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", "GET / host=a [GET]");
        check(
            "DELETE /x?y=1 HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nX-A: 1\r\nx-a:  2 \r\n\r\n",
            "DELETE /x?y=1 host=a connection=Keep-Alive x-a=1 x-a=2 []",
        );
        for line in [
            "Content-Length: 0",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Connection: upgrade",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "HTTP2-Settings: x",
            "TE: trailers",
            "Bad Name: x",
            "No colon",
        ] {
            check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"), "other");
        }
        check("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "other");
        check("GET / HTTP/1.1\nHost: a\r\n\r\n", "other");
        check("GET / HTTP/1.1\r\nHost: a\n\r\n", "other");
        check("GET / HTTP/1.1\r\nHost: a\r\n\n", "other");
        check("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "other");
        check("PRI * HTTP/2.0\r\n\r\n", "other");
        check("\x16\x03\x01", "other");
        check(
            &format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(LINES_MAX + 1)),
            "other",
        );
    }
}
