//! What a stored response answers to a request: itself, `304`, one range, several, or `416`.

use crate::conditional::{not_modified, range_holds};
use crate::freshness::StoredHead;
use crate::range::{Ranges, resolve};
use http::{HeaderMap, HeaderValue, header};
use std::ops::Range;

/// The field that says that the answer is a stored one.
pub const CACHE_STATUS: &str = "cf-cache-status";

/// An answer: its head, and what of the stored body follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 or whatever was stored, 206, 304 or 416.
    pub status: u16,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBody {
    /// None.
    None,
    /// The stored one.
    Whole,
    /// Its parts, each after some text, and a last text.
    Parts {
        /// The texts and the parts.
        parts: Vec<(String, Range<u64>)>,
        /// What follows the last.
        end: String,
    },
}

/// Answers a request with a response that is fresh at `now_ms` and whose body has `length` bytes. `nonce` goes into the
/// boundary between parts, so that nobody can have put it into the body before.
pub fn answer(request: &HeaderMap, stored: &StoredHead, length: u64, now_ms: u64, nonce: u64) -> Answer {
    let mut headers = stored.headers.clone();
    headers.insert(header::AGE, HeaderValue::from(stored.age_at(now_ms)));
    headers.insert(CACHE_STATUS, HeaderValue::from_static("HIT"));
    if not_modified(request, &stored.headers) {
        headers.remove(header::CONTENT_LENGTH);
        return Answer {
            status: 304,
            headers,
            body: AnswerBody::None,
        };
    }
    let ranges = match request.get(header::RANGE).map(HeaderValue::to_str) {
        Some(Ok(field)) if stored.status == 200 && range_holds(request, &stored.headers) => resolve(field, length),
        _ => Ranges::Whole,
    };
    match ranges {
        Ranges::Whole => Answer {
            status: stored.status,
            headers,
            body: AnswerBody::Whole,
        },
        Ranges::Unsatisfiable => unsatisfiable(length),
        Ranges::Some(ranges) => partial(headers, ranges, length, nonce),
    }
}

fn unsatisfiable(length: u64) -> Answer {
    let mut headers = HeaderMap::new();
    insert(&mut headers, header::CONTENT_RANGE, &format!("bytes */{length}"));
    headers.insert(CACHE_STATUS, HeaderValue::from_static("HIT"));
    Answer {
        status: 416,
        headers,
        body: AnswerBody::None,
    }
}

fn partial(mut headers: HeaderMap, ranges: Vec<Range<u64>>, length: u64, nonce: u64) -> Answer {
    let shown = |range: &Range<u64>| format!("bytes {}-{}/{length}", range.start, range.end - 1);
    let body = match <[Range<u64>; 1]>::try_from(ranges) {
        Ok([range]) => {
            insert(&mut headers, header::CONTENT_RANGE, &shown(&range));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
            AnswerBody::Parts {
                parts: vec![(String::new(), range)],
                end: String::new(),
            }
        }
        Err(ranges) => {
            let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let kind = content_type
                .map(|value| format!("Content-Type: {value}\r\n"))
                .unwrap_or_default();
            let boundary = format!("atoll-byteranges-{nonce:016x}");
            let part = |(at, range): (usize, Range<u64>)| {
                let before = if at == 0 { "" } else { "\r\n" };
                let head = format!("{before}--{boundary}\r\n{kind}Content-Range: {}\r\n\r\n", shown(&range));
                (head, range)
            };
            let parts: Vec<_> = ranges.into_iter().enumerate().map(part).collect();
            let end = format!("\r\n--{boundary}--");
            let total = parts
                .iter()
                .map(|(head, range)| head.len() as u64 + range.end - range.start)
                .sum::<u64>();
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(total + end.len() as u64));
            let value = format!("multipart/byteranges; boundary={boundary}");
            insert(&mut headers, header::CONTENT_TYPE, &value);
            AnswerBody::Parts { parts, end }
        }
    };
    Answer {
        status: 206,
        headers,
        body,
    }
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // Made of digits, ASCII words and what already was a field's value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    fn stored(status: u16, lines: &str) -> StoredHead {
        StoredHead {
            status,
            headers: headers(lines),
            age_secs: 1,
            stored_ms: 0,
            expires_ms: u64::MAX,
        }
    }

    fn check(stored: &StoredHead, request: &str, status: u16, lines: &str, body: AnswerBody) {
        let found = answer(&headers(request), stored, 5, 2500, 7);
        let expected = Answer {
            status,
            headers: headers(lines),
            body,
        };
        assert_eq!(found, expected, "{request}");
    }

    #[test]
    fn answers() {
        let page = stored(200, "etag: \"a\"\ncontent-type: text/plain\ncontent-length: 5");
        let hit = "age: 3\ncf-cache-status: HIT\netag: \"a\"\ncontent-type: text/plain";
        let one = |range| AnswerBody::Parts {
            parts: vec![(String::new(), range)],
            end: String::new(),
        };
        check(&page, "", 200, &format!("{hit}\ncontent-length: 5"), AnswerBody::Whole);
        check(&page, "if-none-match: \"a\"", 304, hit, AnswerBody::None);
        check(
            &page,
            "if-none-match: \"a\"\nrange: bytes=0-1",
            304,
            hit,
            AnswerBody::None,
        );
        let first = format!("{hit}\ncontent-length: 2\ncontent-range: bytes 0-1/5");
        check(&page, "range: bytes=0-1", 206, &first, one(0..2));
        check(&page, "range: bytes=0-1\nif-range: \"a\"", 206, &first, one(0..2));
        let whole = format!("{hit}\ncontent-length: 5");
        check(
            &page,
            "range: bytes=0-1\nif-range: \"b\"",
            200,
            &whole,
            AnswerBody::Whole,
        );
        check(&page, "range: items=0-1", 200, &whole, AnswerBody::Whole);
        let none = "cf-cache-status: HIT\ncontent-range: bytes */5";
        check(&page, "range: bytes=5-", 416, none, AnswerBody::None);
        let missing = stored(404, "");
        check(
            &missing,
            "range: bytes=0-1",
            404,
            "age: 3\ncf-cache-status: HIT",
            AnswerBody::Whole,
        );
    }

    #[test]
    fn several_ranges_are_a_multipart_body() {
        let page = stored(200, "content-type: text/plain\ncontent-length: 5");
        let found = answer(&headers("range: bytes=0-0,3-4"), &page, 5, 0, 7);
        let AnswerBody::Parts { parts, end } = found.body else {
            panic!("{found:?}");
        };
        let text: String = parts
            .iter()
            .map(|(head, range)| format!("{head}<{}..{}>", range.start, range.end))
            .collect();
        let boundary = "atoll-byteranges-0000000000000007";
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/5\r\n\r\n<0..1>\
             \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 3-4/5\r\n\r\n<3..5>\r\n--{boundary}--"
        );
        assert_eq!(text.clone() + &end, expected);
        // The marks of the ranges stand for 1 and 2 bytes.
        let length = expected.len() - "<0..1><3..5>".len() + 3;
        assert_eq!(found.headers[header::CONTENT_LENGTH], length.to_string().as_str());
        assert_eq!(found.status, 206);
    }
}
