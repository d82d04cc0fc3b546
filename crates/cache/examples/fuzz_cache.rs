//! Fuzzing of what the cache reads of requests and responses: `cargo xtask campaign fuzz --target NAME`.
//!
//! Ranges are compared with a reading byte by byte of what was asked; a cache of a few kilobytes is filled and asked, and
//! must stay within its limits and answer nothing but what was put.

use atoll_cache::range::{RANGES_MAX, Ranges, resolve};
use atoll_cache::{CacheLimits, Directives, MemoryCache, Put, Scope, StoredHead};
use atoll_model::{TenantId, WorkerName};
use atoll_stdx::ManualClock;
use atoll_stdx::fuzz::{self, Inputs, Target, Verdict, Wrong, agree, hold};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::process::ExitCode;
use std::sync::Arc;

/// 2026-11-21 00:00:00 UTC.
const NOW_MS: u64 = 1_795_219_200_000;
const BODY: &[u8] = b"0123456789abcdef";
const LIMITS: CacheLimits = CacheLimits {
    object_bytes: 4096,
    zone_bytes: 8192,
    total_bytes: 12288,
};

/// A length, then the field.
const RANGES: Inputs = Inputs::new(
    &[
        b"10\nbytes=0-0",
        b"10\nbytes=3-",
        b"10\nbytes=-2",
        b"10\nbytes=0-1, 4-5,-1",
        b"0\nbytes=0-",
        b"100\nitems=0-1",
        b"5\nBytes = 1-2 , 3-",
    ],
    &[
        "bytes", "=", "-", ",", "0", "1", "9", "10", " ", "\t", "\n", "0-0,", "items",
    ],
);
/// Fields of a response.
const RESPONSES: Inputs = Inputs::new(
    &[
        b"cache-control: public, max-age=60\netag: \"a\"",
        b"cache-control: s-maxage=\"5\", private=\"Set-Cookie\"\nset-cookie: a=1",
        b"expires: Sun, 22 Nov 2026 00:00:00 GMT\ndate: Sat, 21 Nov 2026 00:00:00 GMT\nage: 5",
        b"last-modified: Tue, 15 Nov 1994 12:45:26 GMT\nvary: accept, accept-language",
        b"cache-control: no-store\npragma: no-cache",
        b"cache-control: immutable, no-cache=\"x, y\"\nconnection: x-a, close\nx-a: 1",
    ],
    &[
        "cache-control: ",
        "max-age",
        "s-maxage",
        "=",
        "\"",
        ",",
        "private",
        "public",
        "no-store",
        "no-cache",
        "immutable",
        "set-cookie: a=1",
        "expires: ",
        "Sun, 22 Nov 2026 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "date: ",
        "age: ",
        "vary: ",
        "*",
        "pragma: no-cache",
        "\n",
        "connection: ",
        "private=Set-Cookie",
        "must-revalidate",
    ],
);
/// Fields of a response, of the request that it answered, and of another, with lines of dashes between.
const ANSWERS: Inputs = Inputs::new(
    &[
        b"cache-control: max-age=60\netag: \"a\"\nvary: accept\n--\naccept: x\n--\naccept: x\nif-none-match: \"a\"",
        b"cache-control: max-age=60\nlast-modified: Tue, 15 Nov 1994 12:45:26 GMT\n--\n--\nif-modified-since: Tue, 15 Nov 1994 12:45:26 GMT",
        b"cache-control: max-age=60\netag: \"a\"\ncontent-type: text/plain\n--\n--\nrange: bytes=0-3,5-6\nif-range: \"a\"",
        b"cache-control: max-age=60\nvary: a, b\n--\na: 1\nb: 2\n--\nb: 2\na: 1\nrange: bytes=-4",
        b"cache-control: public\nexpires: Sun, 22 Nov 2026 00:00:00 GMT\n--\nauthorization: x\n--\nif-none-match: *",
    ],
    &[
        "cache-control: max-age=60", "etag: \"a\"", "W/", "\"a\"", "vary: ", "accept", ", ", "\n", "\n--\n", "range: bytes=",
        "0-", "-", "if-none-match: ", "if-range: ", "if-modified-since: ", "Tue, 15 Nov 1994 12:45:26 GMT", "*", "a: 1",
        "content-type: text/plain", "content-length: 5", "authorization: x",
    ],
);

fn main() -> ExitCode {
    fuzz::main(vec![
        Target::text("cache-range", RANGES, range),
        Target::text("cache-control", RESPONSES, control),
        Target::text("cache-answer", ANSWERS, answer()),
    ])
}

fn fields(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = HeaderValue::from_bytes(value.trim().as_bytes());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Which bytes of the body a list of ranges asks for, one after the other; `None` for what is no list.
fn bytes_asked(list: &str, length: u64) -> Option<Vec<u64>> {
    let number = |text: &str| -> Option<u128> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u128::MAX))
    };
    let mut asked = Vec::new();
    for spec in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        let dash = spec.find('-')?;
        let (first, last) = (spec[..dash].trim(), spec[dash + 1..].trim());
        let all = 0..length;
        if first.is_empty() {
            let suffix = number(last)?;
            asked.extend(all.filter(|at| u128::from(length - at) <= suffix));
        } else {
            let first = number(first)?;
            let last = if last.is_empty() { u128::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            asked.extend(all.filter(|at| (first..=last).contains(&u128::from(*at))));
        }
    }
    Some(asked)
}

fn range(text: &str) -> Result<Verdict, Wrong> {
    let (length, field) = text.split_once('\n').unwrap_or(("10", text));
    let length: u64 = length.trim().parse().unwrap_or(10);
    let found = resolve(field, length);
    if let Ranges::Some(ranges) = &found {
        hold(!ranges.is_empty() && ranges.len() <= RANGES_MAX, || {
            format!("{} ranges", ranges.len())
        })?;
        hold(
            ranges
                .iter()
                .all(|range| range.start < range.end && range.end <= length),
            || format!("{ranges:?} of {length}"),
        )?;
    }
    let Some((unit, list)) = field.split_once('=') else {
        agree("no list", &found, &Ranges::Unsatisfiable)?;
        return Ok(Verdict::Refused);
    };
    let count = list.split(',').filter(|spec| !spec.trim().is_empty()).count();
    if !unit.trim().eq_ignore_ascii_case("bytes") || count > RANGES_MAX {
        // With too many, a broken one may be found first.
        hold(
            found == Ranges::Whole || (count > RANGES_MAX && found == Ranges::Unsatisfiable),
            || format!("{found:?}"),
        )?;
        return Ok(Verdict::Refused);
    }
    if length > 10_000 {
        return Ok(Verdict::Taken);
    }
    match (bytes_asked(list, length), found) {
        (Some(bytes), Ranges::Some(ranges)) => {
            agree("bytes", &ranges.into_iter().flatten().collect(), &bytes)?;
            Ok(Verdict::Taken)
        }
        (None, Ranges::Unsatisfiable) => Ok(Verdict::Refused),
        (Some(bytes), Ranges::Unsatisfiable) if bytes.is_empty() => Ok(Verdict::Refused),
        (asked, found) => Err(format!("asked for {asked:?}, got {found:?}")),
    }
}

/// Directives as a simple reading finds them, where the field has no quotes.
fn simple(headers: &HeaderMap) -> Option<Directives> {
    let mut found = Directives::default();
    for value in headers.get_all(header::CACHE_CONTROL) {
        let value = value
            .to_str()
            .ok()
            .filter(|value| !value.contains('"'))?
            .to_ascii_lowercase();
        for directive in value
            .split(',')
            .map(str::trim)
            .filter(|directive| !directive.is_empty())
        {
            let mut sides = directive.splitn(2, '=');
            let (name, value) = (sides.next().unwrap_or("").trim(), sides.next().map(str::trim));
            let seconds = || {
                let value = value.unwrap_or("");
                let digits = !value.is_empty() && value.chars().all(|digit| digit.is_ascii_digit());
                if !digits {
                    return 0;
                }
                let add = |number: u64, digit: u8| {
                    let more = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
                    more.min(u64::from(u32::MAX))
                };
                value.bytes().fold(0, add)
            };
            match name {
                "no-store" => found.no_store = true,
                "no-cache" => found.no_cache = true,
                "public" => found.public = true,
                "immutable" => found.immutable = true,
                "must-revalidate" => found.must_revalidate = true,
                "proxy-revalidate" => found.proxy_revalidate = true,
                "private" if value == Some("set-cookie") => found.private_cookie = true,
                "private" => found.private = true,
                "max-age" => found.max_age = found.max_age.or_else(|| Some(seconds())),
                "s-maxage" => found.s_maxage = found.s_maxage.or_else(|| Some(seconds())),
                _ => {}
            }
        }
    }
    headers.contains_key(header::CACHE_CONTROL).then_some(found)
}

fn control(text: &str) -> Result<Verdict, Wrong> {
    let response = fields(text);
    let directives = Directives::of(&response);
    if let Some(expected) = simple(&response) {
        agree("directives", &directives, &expected)?;
    }
    let admitted = atoll_cache::freshness::admit(&HeaderMap::new(), 200, &response, NOW_MS);
    let Ok(StoredHead {
        headers,
        stored_ms,
        expires_ms,
        age_secs,
        ..
    }) = admitted
    else {
        return Ok(Verdict::Refused);
    };
    hold(
        !directives.no_store && !directives.private && !directives.no_cache,
        || format!("{directives:?} is stored"),
    )?;
    hold(expires_ms > stored_ms && stored_ms == NOW_MS, || {
        format!("stored {stored_ms}, fresh until {expires_ms}")
    })?;
    hold(
        !headers.contains_key(header::SET_COOKIE) || !response.contains_key(header::SET_COOKIE),
        || format!("a cookie is stored: {headers:?}"),
    )?;
    for name in [
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ] {
        hold(!headers.contains_key(name), || format!("{name} is stored"))?;
    }
    if let Some(secs) = directives.s_maxage.or(directives.max_age) {
        agree("fresh for", &(expires_ms - stored_ms + age_secs * 1000), &(secs * 1000))?;
    }
    Ok(Verdict::Taken)
}

fn answer() -> impl FnMut(&str) -> Result<Verdict, Wrong> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let cache = MemoryCache::new(LIMITS, clock.clone(), 1);
    let zone = cache.zone(Scope {
        tenant: TenantId::new("tenant"),
        worker: WorkerName::new("worker"),
    });
    let mut number = 0_u64;
    move |text| {
        number += 1;
        let mut sections = text.split("\n--\n");
        let mut next = || fields(sections.next().unwrap_or_default());
        let (response, first, second) = (next(), next(), next());
        // A few URLs, so that there are variants and something to evict.
        let url = format!("https://site.test/{}", number % 7);
        let put = Put {
            status: 200,
            headers: &response,
            manual_encoding: false,
        };
        let Ok(mut upload) = zone.put(None, &url, &first, put) else {
            return Ok(Verdict::Refused);
        };
        // A broken upload leaves nothing.
        if number.is_multiple_of(5) {
            upload
                .push(Bytes::from_static(b"half"))
                .map_err(|error| error.to_string())?;
            drop(upload);
        } else {
            let body = [BODY, number.to_string().as_bytes()].concat();
            for piece in body.chunks(7) {
                upload
                    .push(Bytes::copy_from_slice(piece))
                    .map_err(|error| error.to_string())?;
            }
            if upload.finish(true).is_ok() {
                let plain: HeaderMap = first
                    .iter()
                    .filter(|(name, _)| !name.as_str().starts_with("if-") && *name != header::RANGE)
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                // Conditions and ranges may be what it varies by.
                if plain.len() == first.len() {
                    let found = zone.find(None, &url, &plain).ok_or("what was put is not found")?;
                    let bytes: Vec<u8> = found.body.into_iter().flatten().flatten().collect();
                    agree("body", &Bytes::from(bytes), &Bytes::from(body.clone()))?;
                }
                if let Some(found) = zone.find(None, &url, &second) {
                    // It may be one that was put before and varies otherwise.
                    let length = found
                        .body
                        .as_ref()
                        .map(|pieces| pieces.iter().map(Bytes::len).sum::<usize>());
                    match found.status {
                        200 => {
                            let bytes: Vec<u8> = found.body.iter().flatten().flatten().copied().collect();
                            hold(bytes.starts_with(BODY), || format!("{bytes:?} was never put"))?;
                        }
                        206 => {
                            let told = found
                                .headers
                                .get(header::CONTENT_LENGTH)
                                .and_then(|value| value.to_str().ok());
                            agree("content-length", &told.and_then(|text| text.parse().ok()), &length)?;
                        }
                        304 | 416 => agree("length", &length, &None)?,
                        status => return Err(format!("status {status}")),
                    }
                }
            }
        }
        let used: u64 = cache.usage().iter().map(|(_, usage)| usage.bytes).sum();
        hold(used <= LIMITS.zone_bytes, || format!("{used} bytes are stored"))?;
        if number.is_multiple_of(64) {
            clock.advance_ms(30_000);
        }
        Ok(Verdict::Taken)
    }
}
