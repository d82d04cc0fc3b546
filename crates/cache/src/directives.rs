//! `Cache-Control` of a response, as a shared cache reads it (RFC 9111, section 5.2.2).

use http::{HeaderMap, header};

/// The directives that this cache acts upon. Unknown ones are ignored, as the RFC asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, with or without field names: this cache cannot revalidate, so both mean "never without asking".
    pub no_cache: bool,
    /// `private` without field names.
    pub private: bool,
    /// `private=Set-Cookie`: the cookie stays out of the cache, the rest goes in.
    pub private_cookie: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `max-age`, seconds; what is no number counts as 0 (RFC 9111, section 4.2.1: invalid means stale).
    pub max_age: Option<u64>,
    /// `s-maxage`, seconds; likewise.
    pub s_maxage: Option<u64>,
}

impl Directives {
    /// Of a response. Without `Cache-Control`, `Pragma: no-cache` means `no-cache`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            for (name, value) in split(&String::from_utf8_lossy(value.as_bytes())) {
                found.take(&name, value.as_deref());
            }
        }
        if !headers.contains_key(header::CACHE_CONTROL) {
            found.no_cache = headers
                .get_all(header::PRAGMA)
                .iter()
                .any(|value| value.to_str().is_ok_and(|value| value.contains("no-cache")));
        }
        found
    }

    fn take(&mut self, name: &str, value: Option<&str>) {
        match name {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "private" => match value {
                Some(fields) if is_set_cookie(fields) => self.private_cookie = true,
                _ => self.private = true,
            },
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "immutable" => self.immutable = true,
            // Of repeated ones the first counts (RFC 9111, section 4.2.1).
            "max-age" if self.max_age.is_none() => self.max_age = Some(seconds(value)),
            "s-maxage" if self.s_maxage.is_none() => self.s_maxage = Some(seconds(value)),
            _ => {}
        }
    }
}

fn is_set_cookie(fields: &str) -> bool {
    fields.trim().eq_ignore_ascii_case("set-cookie")
}

/// Delta seconds; too large ones are as large as can be (RFC 9111, section 1.2.2).
fn seconds(value: Option<&str>) -> u64 {
    let text = value.unwrap_or("");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX))
}

/// Name in lower case and value, unquoted, of each directive. Commas within quotes separate nothing.
fn split(value: &str) -> Vec<(String, Option<String>)> {
    pieces(value)
        .into_iter()
        .map(|piece| match piece.split_once('=') {
            Some((name, value)) => {
                let value = value.trim().trim_matches('"').to_owned();
                (name.trim().to_ascii_lowercase(), Some(value))
            }
            None => (piece.trim().to_ascii_lowercase(), None),
        })
        .collect()
}

fn pieces(value: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                pieces.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&value[start..]);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// `value` without `private=Set-Cookie`; `None` if nothing else is left.
pub(crate) fn without_private_cookie(value: &str) -> Option<String> {
    let kept: Vec<&str> = pieces(value)
        .into_iter()
        .map(str::trim)
        .filter(|piece| match piece.split_once('=') {
            Some((name, fields)) => {
                !(name.trim().eq_ignore_ascii_case("private") && is_set_cookie(fields.trim().trim_matches('"')))
            }
            None => true,
        })
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read() {
        let check = |value: &str, expected: Directives| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(Directives::of(&headers), expected, "{value}");
        };
        let none = Directives::default();
        check("", none.clone());
        check("unknown, x=\"a,max-age=5\"", none.clone());
        check(
            "Max-Age=60 ,S-MAXAGE=\"5\"",
            Directives {
                max_age: Some(60),
                s_maxage: Some(5),
                ..none.clone()
            },
        );
        for (text, secs) in [("max-age", 0), ("max-age=-1", 0), ("max-age=1.5", 0), ("max-age=x", 0)] {
            let max_age = Some(secs);
            check(
                text,
                Directives {
                    max_age,
                    ..none.clone()
                },
            );
        }
        let max_age = Some(u64::from(u32::MAX));
        check(
            "max-age=99999999999999999999999",
            Directives {
                max_age,
                ..none.clone()
            },
        );
        check(
            "max-age=1, max-age=2",
            Directives {
                max_age: Some(1),
                ..none.clone()
            },
        );
        check(
            "private",
            Directives {
                private: true,
                ..none.clone()
            },
        );
        check(
            "private=x",
            Directives {
                private: true,
                ..none.clone()
            },
        );
        let private_cookie = true;
        check(
            "private=Set-Cookie",
            Directives {
                private_cookie,
                ..none.clone()
            },
        );
        check(
            "private=\"set-cookie\"",
            Directives {
                private_cookie,
                ..none.clone()
            },
        );
        check(
            "public, immutable, no-store, no-cache, must-revalidate, proxy-revalidate",
            Directives {
                public: true,
                immutable: true,
                no_store: true,
                no_cache: true,
                must_revalidate: true,
                proxy_revalidate: true,
                ..none
            },
        );
    }

    #[test]
    fn pragma_counts_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(header::PRAGMA, "no-cache".parse().unwrap());
        assert!(Directives::of(&headers).no_cache);
        headers.insert(header::CACHE_CONTROL, "max-age=1".parse().unwrap());
        assert!(!Directives::of(&headers).no_cache);
    }

    #[test]
    fn the_cookie_directive_is_taken_out() {
        let check = |value: &str, expected: Option<&str>| {
            assert_eq!(without_private_cookie(value).as_deref(), expected, "{value}");
        };
        check("private=Set-Cookie", None);
        check("max-age=10, private=Set-Cookie", Some("max-age=10"));
        check("Private=\"set-cookie\", public , max-age=1", Some("public, max-age=1"));
        check("private, max-age=1", Some("private, max-age=1"));
    }
}
