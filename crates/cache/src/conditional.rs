//! Conditional requests: does the client have the response already (RFC 9110, section 13)?

use crate::freshness::{date, parse_date};
use http::{HeaderMap, HeaderValue, header};

/// True if a `304 Not Modified` answers the request.
pub fn not_modified(request: &HeaderMap, response: &HeaderMap) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        // With it, If-Modified-Since does not count (RFC 9110, section 13.1.3).
        return none_match_fails(request, response);
    }
    let since = date(request, header::IF_MODIFIED_SINCE);
    let modified = date(response, header::LAST_MODIFIED);
    matches!((since, modified), (Some(since), Some(modified)) if modified <= since)
}

fn none_match_fails(request: &HeaderMap, response: &HeaderMap) -> bool {
    let etag = response.get(header::ETAG).and_then(|value| value.to_str().ok());
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.trim() == "*" || etag.is_some_and(|etag| tags(list).any(|tag| opaque(tag) == opaque(etag))))
}

/// True if a range of the response may be sent: there is no `If-Range`, or it names this very response.
pub(crate) fn range_holds(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(validator) = request.get(header::IF_RANGE) else {
        return true;
    };
    match validator.to_str() {
        Ok(tag) if tag.starts_with('"') || tag.starts_with("W/") => {
            is_strong(tag) && response.get(header::ETAG) == Some(validator)
        }
        _ => same_date(validator, response),
    }
}

fn same_date(validator: &HeaderValue, response: &HeaderMap) -> bool {
    let wanted = parse_date(validator);
    wanted.is_some() && wanted == date(response, header::LAST_MODIFIED)
}

fn is_strong(tag: &str) -> bool {
    !tag.starts_with("W/")
}

/// Weak comparison looks at this alone (RFC 9110, section 8.8.3.2).
fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Entity tags of a list; a tag may contain commas.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let start = if rest.starts_with("W/\"") { 3 } else { 1 };
        if !rest[..start.min(rest.len())].ends_with('"') {
            return None;
        }
        let end = start + rest[start..].find('"')? + 1;
        let (tag, left) = rest.split_at(end);
        rest = left;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    #[test]
    fn conditions() {
        let check = |request: &str, response: &str, expected: bool| {
            assert_eq!(
                not_modified(&headers(request), &headers(response)),
                expected,
                "{request} | {response}"
            );
        };
        let etag = "etag: \"a,b\"";
        check("", etag, false);
        check("if-none-match: \"a,b\"", etag, true);
        check("if-none-match: W/\"a,b\"", etag, true);
        check("if-none-match: \"x\", \"a,b\"", etag, true);
        check("if-none-match: \"x\"\nif-none-match: \"a,b\"", etag, true);
        check("if-none-match: \"a\"", etag, false);
        check("if-none-match: a,b", etag, false);
        check("if-none-match: \"a,b", etag, false);
        check("if-none-match: é", etag, false);
        check("if-none-match: *", etag, true);
        check("if-none-match: *", "", true);
        check("if-none-match: \"a\"", "", false);
        check("if-none-match: \"a\"", "etag: W/\"a\"", true);
        let modified = "last-modified: Tue, 15 Nov 1994 12:45:26 GMT";
        check("if-modified-since: Tue, 15 Nov 1994 12:45:26 GMT", modified, true);
        check("if-modified-since: Tue, 15 Nov 1994 12:45:27 GMT", modified, true);
        check("if-modified-since: Tue, 15 Nov 1994 12:45:25 GMT", modified, false);
        check("if-modified-since: yesterday", modified, false);
        check("if-modified-since: Tue, 15 Nov 1994 12:45:26 GMT", etag, false);
        let both = "if-none-match: \"x\"\nif-modified-since: Tue, 15 Nov 1994 12:45:27 GMT";
        check(both, &format!("{etag}\n{modified}"), false);
    }

    #[test]
    fn ranges_of_another_response_are_not_sent() {
        let response = headers("etag: \"a\"\nlast-modified: Tue, 15 Nov 1994 12:45:26 GMT");
        let check = |request: &str, expected: bool| {
            assert_eq!(range_holds(&headers(request), &response), expected, "{request}");
        };
        check("", true);
        check("if-range: \"a\"", true);
        check("if-range: \"b\"", false);
        check("if-range: W/\"a\"", false);
        check("if-range: Tue, 15 Nov 1994 12:45:26 GMT", true);
        check("if-range: Tue, 15 Nov 1994 12:45:27 GMT", false);
        check("if-range: now", false);
    }
}
