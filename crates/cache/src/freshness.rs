//! Whether a response may be stored, what of it, and until when it is fresh (RFC 9111, sections 3 and 4.2), as a shared
//! cache that a worker fills: the response time is the moment of the put, and nothing stale is ever answered.

use crate::directives::{Directives, without_private_cookie};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Statuses whose meaning this cache knows; others are not stored, whatever they say.
const UNDERSTOOD: [u16; 14] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];
/// Those that are stored without being asked to (RFC 9110, section 15.1).
const BY_DEFAULT: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
/// What `immutable` adds to a response without explicit age, seconds.
const IMMUTABLE_SECS: u64 = 24 * 3600;
/// The share of a document's age for which it counts as fresh without being told (RFC 9111, section 4.2.2).
const HEURISTIC_DIVISOR: u64 = 10;
/// Fields that belong to a connection, not to the response (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// The status is none that this cache understands, or needs an explicit lifetime that is not there.
    #[error("a response with this status is not stored")]
    Status,
    /// `no-store`, or `private`.
    #[error("its Cache-Control forbids a shared cache to store it")]
    Forbidden,
    /// It sets a cookie, and does not say `private=Set-Cookie`.
    #[error("it sets a cookie")]
    Cookie,
    /// The request had `Authorization`, and the response does not allow that.
    #[error("the request was authorized and the response does not allow a shared cache to store it")]
    Authorized,
    /// It varies by everything (`Vary: *`).
    #[error("it says Vary: *, so it answers no other request")]
    Everything,
    /// The key is longer than [`crate::memory::KEY_BYTES_MAX`].
    #[error("its key is longer than the most that is stored")]
    Key,
    /// It is stale at once.
    #[error("it is not fresh for any time")]
    Stale,
}

/// What is stored of a response's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// The status.
    pub status: u16,
    /// Fields, without those of the connection and without what must not be kept. `date` is the moment of the put.
    pub headers: HeaderMap,
    /// The age that it came with, seconds.
    pub age_secs: u64,
    /// When it was put, milliseconds since the Unix epoch.
    pub stored_ms: u64,
    /// From then on it is not answered.
    pub expires_ms: u64,
}

/// What to store of a response that is put at `now_ms`.
pub fn admit(request: &HeaderMap, status: u16, response: &HeaderMap, now_ms: u64) -> Result<StoredHead, NotStored> {
    let directives = Directives::of(response);
    if directives.no_store || directives.private {
        return Err(NotStored::Forbidden);
    }
    let explicit = directives.s_maxage.is_some()
        || directives.max_age.is_some()
        || directives.public
        || response.contains_key(header::EXPIRES);
    if !UNDERSTOOD.contains(&status) || (!explicit && !BY_DEFAULT.contains(&status)) {
        return Err(NotStored::Status);
    }
    if response.contains_key(header::SET_COOKIE) && !directives.private_cookie {
        return Err(NotStored::Cookie);
    }
    let allows_authorized = directives.must_revalidate || directives.public || directives.s_maxage.is_some();
    if request.contains_key(header::AUTHORIZATION) && !allows_authorized {
        return Err(NotStored::Authorized);
    }
    let age_secs = age(response);
    let left_ms = lifetime_ms(&directives, response, now_ms).saturating_sub(age_secs.saturating_mul(1000));
    if left_ms == 0 {
        return Err(NotStored::Stale);
    }
    Ok(StoredHead {
        status,
        headers: kept(response, directives.private_cookie, now_ms),
        age_secs,
        stored_ms: now_ms,
        expires_ms: now_ms.saturating_add(left_ms),
    })
}

impl StoredHead {
    /// Fresh at `now_ms`?
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        now_ms < self.expires_ms
    }

    /// Its age at `now_ms`, whole seconds (RFC 9111, section 4.2.3, with no delay on the way).
    pub fn age_at(&self, now_ms: u64) -> u64 {
        self.age_secs + now_ms.saturating_sub(self.stored_ms) / 1000
    }
}

fn age(response: &HeaderMap) -> u64 {
    let value = response.get(header::AGE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Freshness lifetime (RFC 9111, section 4.2.1), milliseconds.
fn lifetime_ms(directives: &Directives, response: &HeaderMap, now_ms: u64) -> u64 {
    if directives.no_cache || directives.proxy_revalidate {
        return 0;
    }
    if let Some(secs) = directives.s_maxage.or(directives.max_age) {
        return secs * 1000;
    }
    let least = if directives.immutable { IMMUTABLE_SECS * 1000 } else { 0 };
    let date_ms = date(response, header::DATE).unwrap_or(now_ms);
    if response.contains_key(header::EXPIRES) {
        return match date(response, header::EXPIRES) {
            Some(expires) if expires >= date_ms => (expires - date_ms).max(least),
            _ => 0,
        };
    }
    let heuristic = date(response, header::LAST_MODIFIED)
        .map_or(0, |modified| date_ms.saturating_sub(modified) / HEURISTIC_DIVISOR);
    heuristic.max(least)
}

/// A date field, milliseconds since the Unix epoch.
pub(crate) fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    parse_date(headers.get(name)?)
}

pub(crate) fn parse_date(value: &HeaderValue) -> Option<u64> {
    let time = httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn kept(response: &HeaderMap, private_cookie: bool, now_ms: u64) -> HeaderMap {
    let mut headers = response.clone();
    let named: Vec<String> = response
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    for name in named {
        headers.remove(name);
    }
    headers.remove(header::AGE);
    if private_cookie {
        headers.remove(header::SET_COOKIE);
        strip_private_cookie(&mut headers);
    }
    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(clamp(now))) {
        headers.insert(header::DATE, date);
    }
    headers
}

fn strip_private_cookie(headers: &mut HeaderMap) {
    let values: Vec<String> = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| without_private_cookie(&String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.remove(header::CACHE_CONTROL);
    for value in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(header::CACHE_CONTROL, value);
        }
    }
}

/// HTTP dates end with the year 9999; `httpdate` panics beyond.
fn clamp(time: SystemTime) -> SystemTime {
    time.min(UNIX_EPOCH + Duration::from_secs(253_402_300_799))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    /// 2026-11-21T10:40:00Z.
    const NOW: u64 = 1_795_257_600_000;

    fn fresh_secs(status: u16, response: &str) -> Result<u64, NotStored> {
        let head = admit(&HeaderMap::new(), status, &headers(response), NOW)?;
        assert!(head.is_fresh(NOW) && !head.is_fresh(head.expires_ms));
        Ok((head.expires_ms - NOW) / 1000)
    }

    #[test]
    fn lifetimes() {
        let check = |response: &str, expected: Result<u64, NotStored>| {
            assert_eq!(fresh_secs(200, response), expected, "{response}");
        };
        let stale = Err(NotStored::Stale);
        check("", stale);
        check("cache-control: max-age=10", Ok(10));
        check("cache-control: max-age=0", stale);
        check("cache-control: max-age=10, s-maxage=20", Ok(20));
        check("cache-control: max-age=10, s-maxage=0", stale);
        check("cache-control: max-age=10\nage: 4", Ok(6));
        check("cache-control: max-age=10\nage: 10", stale);
        check("cache-control: max-age=10, no-cache", stale);
        check("cache-control: max-age=10, proxy-revalidate", stale);
        check("cache-control: public", stale);
        check("cache-control: immutable", Ok(24 * 3600));
        // What may be served stale elsewhere is not here.
        check(
            "cache-control: max-age=0, stale-while-revalidate=60, stale-if-error=60",
            stale,
        );
        check("expires: Sat, 21 Nov 2026 10:41:00 GMT", Ok(60));
        check("expires: Sat, 21 Nov 2026 10:39:00 GMT", stale);
        check("expires: 0", stale);
        check(
            "expires: Sat, 21 Nov 2026 10:41:00 GMT\ndate: Sat, 21 Nov 2026 10:40:30 GMT",
            Ok(30),
        );
        check(
            "expires: Sat, 21 Nov 2026 10:41:00 GMT\ncache-control: max-age=5",
            Ok(5),
        );
        check("last-modified: Sat, 21 Nov 2026 10:30:00 GMT", Ok(60));
        check("last-modified: Sat, 21 Nov 2027 10:30:00 GMT", stale);
        check("pragma: no-cache\nlast-modified: Sat, 21 Nov 2026 10:30:00 GMT", stale);
    }

    #[test]
    fn statuses() {
        let check = |status: u16, response: &str, expected: bool| {
            let found = fresh_secs(status, response).is_ok();
            assert_eq!(found, expected, "{status} {response}");
        };
        for status in UNDERSTOOD {
            check(status, "cache-control: max-age=10", true);
        }
        for status in [201, 202, 206, 304, 400, 403, 500, 503] {
            check(status, "cache-control: max-age=10", false);
        }
        let modified = "last-modified: Sat, 21 Nov 2026 10:30:00 GMT";
        check(200, modified, true);
        check(302, modified, false);
    }

    #[test]
    fn refusals() {
        let check = |request: &str, response: &str, expected: Option<NotStored>| {
            let found = admit(&headers(request), 200, &headers(response), NOW).err();
            assert_eq!(found, expected, "{request} {response}");
        };
        check("", "cache-control: no-store, max-age=5", Some(NotStored::Forbidden));
        check("", "cache-control: private, max-age=5", Some(NotStored::Forbidden));
        check("", "cache-control: max-age=5\nset-cookie: a=1", Some(NotStored::Cookie));
        check(
            "",
            "cache-control: max-age=5, private=Set-Cookie\nset-cookie: a=1",
            None,
        );
        let authorized = "authorization: x";
        check(authorized, "cache-control: max-age=5", Some(NotStored::Authorized));
        check(authorized, "cache-control: max-age=5, public", None);
        check(authorized, "cache-control: s-maxage=5", None);
        check(authorized, "cache-control: max-age=5, must-revalidate", None);
    }

    #[test]
    fn what_is_kept() {
        let response = "cache-control: max-age=5, private=Set-Cookie\nset-cookie: a=1\nconnection: x-hop, close\nx-hop: 1\n\
                        transfer-encoding: chunked\nage: 3\ndate: Tue, 15 Nov 1994 12:45:26 GMT\nx-kept: 1";
        let head = admit(&HeaderMap::new(), 200, &headers(response), NOW).unwrap();
        let expected = "cache-control: max-age=5\ndate: Sat, 21 Nov 2026 10:40:00 GMT\nx-kept: 1";
        assert_eq!(head.headers, headers(expected));
        assert_eq!((head.age_at(NOW), head.age_at(NOW + 1999)), (3, 4));
    }

    #[test]
    fn a_clock_beyond_http_dates_is_no_panic() {
        let found = admit(&HeaderMap::new(), 200, &headers("cache-control: max-age=5"), 1 << 62);
        assert!(found.is_ok());
    }
}
