//! The head of a plain request.

use bytes::{Bytes, BytesMut};
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

#[derive(Clone, Copy)]
struct Line {
    name: (usize, usize),
    value: (usize, usize),
}

/// Takes a plain request's head off the buffer.
pub(super) fn parse(buffer: &mut BytesMut) -> Parsed {
    if buffer.is_empty() {
        return Parsed::Partial;
    }
    let mut lines = [Line {
        name: (0, 0),
        value: (0, 0),
    }; LINES_MAX];
    let (length, count, method, target) = {
        let mut headers = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; LINES_MAX];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(buffer, &mut headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::Other,
        };
        let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
            return Parsed::Other;
        };
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return Parsed::Other;
        };
        if method == Method::CONNECT || !ends_lines_well(&buffer[..length]) {
            return Parsed::Other;
        }
        let base = buffer.as_ptr() as usize;
        let range = |bytes: &[u8]| {
            let start = bytes.as_ptr() as usize - base;
            (start, start + bytes.len())
        };
        let mut count = 0;
        for header in request.headers.iter() {
            if !is_plain(header.name, header.value) {
                return Parsed::Other;
            }
            lines[count] = Line {
                name: range(header.name.as_bytes()),
                value: range(header.value),
            };
            count += 1;
        }
        (length, count, method, range(target.as_bytes()))
    };
    let head = buffer.split_to(length).freeze();
    match assemble(&head, method, target, &lines[..count]) {
        Some(parts) => Parsed::Plain(Box::new(parts)),
        None => {
            let mut whole = BytesMut::from(&head[..]);
            whole.extend_from_slice(buffer);
            *buffer = whole;
            Parsed::Other
        }
    }
}

fn assemble(head: &Bytes, method: Method, target: (usize, usize), lines: &[Line]) -> Option<Parts> {
    let part = |(start, end): (usize, usize)| head.slice(start..end);
    let mut headers = HeaderMap::with_capacity(lines.len() + SPARE_HEADERS);
    for line in lines {
        let name = HeaderName::from_bytes(&head[line.name.0..line.name.1]).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(part(line.value)).ok()?);
    }
    let mut parts = Request::new(()).into_parts().0;
    parts.method = method;
    parts.uri = Uri::from_maybe_shared(part(target)).ok()?;
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
    let mut last = 0;
    for byte in head {
        if *byte == b'\n' && last != b'\r' {
            return false;
        }
        last = *byte;
    }
    true
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
