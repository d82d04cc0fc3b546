//! Conditional and range requests: RFC 9110 sections 13 and 14.
//!
//! Assets have no modification date that means anything to a client, so the date conditions (`If-Modified-Since`,
//! `If-Unmodified-Since`, a date in `If-Range`) never hold and are ignored. One range is answered with 206; several are
//! answered with the whole, which section 14.2 allows.

use http::header::{self, HeaderMap};
use http::{HeaderName, Method};

/// What the conditions of a request say about a representation that would be answered with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preconditions {
    /// Answer as asked.
    Pass,
    /// The client has it: 304.
    NotModified,
    /// `If-Match` names another: 412.
    Failed,
}

/// What the range of a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeAnswer {
    /// All of it: 200.
    Whole,
    /// A part: 206.
    Part(ByteRange),
    /// Nothing of it: 416.
    Unsatisfiable,
}

/// Bytes of a file, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Never true; here because `len` is.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// Reads the conditions and the range of a request for a representation of `size` bytes with the entity tag `etag`
/// (`None`: it is sent without one).
pub fn evaluate(method: &Method, headers: &HeaderMap, etag: Option<&str>, size: u64) -> (Preconditions, RangeAnswer) {
    if headers.contains_key(header::IF_MATCH) && !any_tag(headers, header::IF_MATCH, |tag| strong_match(tag, etag)) {
        return (Preconditions::Failed, RangeAnswer::Whole);
    }
    if any_tag(headers, header::IF_NONE_MATCH, |tag| weak_match(tag, etag)) {
        // Section 13.1.2: for other methods 412; assets answer only these two.
        return (Preconditions::NotModified, RangeAnswer::Whole);
    }
    (Preconditions::Pass, range(method, headers, etag, size))
}

fn range(method: &Method, headers: &HeaderMap, etag: Option<&str>, size: u64) -> RangeAnswer {
    // Section 14.2: defined for GET alone.
    if method != Method::GET {
        return RangeAnswer::Whole;
    }
    let mut values = headers.get_all(header::RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return RangeAnswer::Whole;
    };
    if let Some(condition) = headers.get(header::IF_RANGE) {
        let holds = condition.to_str().is_ok_and(|tag| strong_match(tag.trim(), etag));
        if !holds {
            return RangeAnswer::Whole;
        }
    }
    value
        .to_str()
        .map_or(RangeAnswer::Whole, |value| parse_range(value, size))
}

fn parse_range(value: &str, size: u64) -> RangeAnswer {
    let Some((unit, set)) = value.split_once('=') else {
        return RangeAnswer::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return RangeAnswer::Whole;
    }
    let mut specs = set.split(',').map(str::trim).filter(|spec| !spec.is_empty());
    let (Some(spec), None) = (specs.next(), specs.next()) else {
        return RangeAnswer::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return RangeAnswer::Whole;
    };
    match (number(first), number(last)) {
        (Some(None), Some(Some(suffix))) => {
            if suffix == 0 {
                return RangeAnswer::Unsatisfiable;
            }
            // The suffix of nothing is satisfiable, but no `Content-Range` can say so.
            if size == 0 {
                return RangeAnswer::Whole;
            }
            let start = size.saturating_sub(suffix);
            RangeAnswer::Part(ByteRange { start, end: size })
        }
        (Some(Some(first)), Some(last)) => match last {
            Some(last) if last < first => RangeAnswer::Whole,
            _ if first >= size => RangeAnswer::Unsatisfiable,
            last => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                RangeAnswer::Part(ByteRange { start: first, end })
            }
        },
        _ => RangeAnswer::Whole,
    }
}

/// `Some(None)` for no digits, `None` for something that is no number; more than 64 bits is as good as the largest.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

fn any_tag(headers: &HeaderMap, name: HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| tags(value).any(&matches))
}

/// The members of an entity-tag list. A comma inside quotes is part of the tag.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |character| {
        if character == '"' {
            quoted = !quoted;
        }
        character == ',' && !quoted
    })
    .map(str::trim)
    .filter(|tag| !tag.is_empty())
}

fn weak_match(tag: &str, etag: Option<&str>) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    tag == "*" || etag.is_some_and(|etag| opaque(tag) == opaque(etag))
}

fn strong_match(tag: &str, etag: Option<&str>) -> bool {
    tag == "*" || etag.is_some_and(|etag| tag == etag && !tag.starts_with("W/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// `request`: header lines. `expected`: `200`, `206 start-end`, `304`, `412` or `416`, of 10 bytes with tag `"e"`.
    fn check_for(method: Method, size: u64, request: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        for line in request.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let found = match evaluate(&method, &headers, Some("\"e\""), size) {
            (Preconditions::NotModified, _) => "304".to_owned(),
            (Preconditions::Failed, _) => "412".to_owned(),
            (_, RangeAnswer::Whole) => "200".to_owned(),
            (_, RangeAnswer::Part(part)) => format!("206 {}-{}", part.start, part.end),
            (_, RangeAnswer::Unsatisfiable) => "416".to_owned(),
        };
        assert_eq!(found, expected, "{method} {size} {request:?}");
    }

    fn check(request: &str, expected: &str) {
        check_for(Method::GET, 10, request, expected);
    }

    #[test]
    fn conditions() {
        check("", "200");
        check("if-none-match: \"e\"", "304");
        check("if-none-match: W/\"e\"", "304");
        check("if-none-match: *", "304");
        check("if-none-match: \"a\", \"e\"", "304");
        check("if-none-match: \"a\",W/\"e\"", "304");
        check("if-none-match: \"a,b\", \"e\"", "304");
        check("if-none-match: \"a, \"e\", b\"", "200");
        check("if-none-match: \"a\"\nif-none-match: \"e\"", "304");
        check("if-none-match: e", "200");
        check("if-none-match: \"E\"", "200");
        check("if-none-match: \"a\"", "200");
        check("if-match: \"e\"", "200");
        check("if-match: *", "200");
        check("if-match: \"a\", \"e\"", "200");
        check("if-match: W/\"e\"", "412");
        check("if-match: \"a\"", "412");
        check("if-match: \"e\"\nif-none-match: \"e\"", "304");
        check("if-modified-since: Fri, 01 Jan 2100 00:00:00 GMT", "200");
        check_for(Method::HEAD, 10, "if-none-match: \"e\"", "304");
    }

    #[test]
    fn ranges() {
        check("range: bytes=0-", "206 0-10");
        check("range: bytes=2-4", "206 2-5");
        check("range: bytes=9-9", "206 9-10");
        check("range: bytes=2-99", "206 2-10");
        check("range: bytes=-3", "206 7-10");
        check("range: bytes=-99", "206 0-10");
        check("range: Bytes=1-", "206 1-10");
        check("range: bytes= 1-2 ", "206 1-3");
        check("range: bytes=1-2,", "206 1-3");
        check("range: bytes=10-", "416");
        check("range: bytes=99-100", "416");
        check("range: bytes=-0", "416");
        check("range: bytes=99999999999999999999999-", "416");
        check("range: bytes=0-99999999999999999999999", "206 0-10");
        check("range: bytes=4-2", "200");
        check("range: bytes=a-b", "200");
        check("range: bytes=--1", "200");
        check("range: bytes=+1-2", "200");
        check("range: bytes=-", "200");
        check("range: bytes=1", "200");
        check("range: bytes=", "200");
        check("range: bytes", "200");
        check("range: items=0-1", "200");
        check("range: bytes=0-1,3-4", "200");
        check("range: bytes=0-1\nrange: bytes=3-4", "200");
        check_for(Method::HEAD, 10, "range: bytes=0-1", "200");
        check_for(Method::GET, 0, "range: bytes=0-", "416");
        check_for(Method::GET, 0, "range: bytes=-1", "200");
    }

    #[test]
    fn conditions_and_ranges() {
        check("range: bytes=0-1\nif-range: \"e\"", "206 0-2");
        check("range: bytes=0-1\nif-range: \"a\"", "200");
        check("range: bytes=0-1\nif-range: W/\"e\"", "200");
        check("range: bytes=0-1\nif-range: Fri, 01 Jan 2100 00:00:00 GMT", "200");
        check("range: bytes=99-\nif-range: \"a\"", "200");
        check("range: bytes=0-1\nif-none-match: \"e\"", "304");
        check("range: bytes=99-\nif-match: \"a\"", "412");
    }
}
