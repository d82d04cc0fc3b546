//! Redirects by the Fetch Standard ("HTTP-redirect fetch"), as a pure decision.

use crate::error::EgressError;
use atoll_worker::outbound::REDIRECTS_MAX;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use url::Url;

/// Describe a body, so they go with it (Fetch Standard, "request-body-header name").
const BODY_HEADERS: [HeaderName; 5] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
];

/// Meant for one origin. The standard names `Authorization`; a browser keeps the others out of scripts' hands, a worker
/// sets them itself.
const ORIGIN_HEADERS: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// A request between two hops.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub url: Url,
    pub method: Method,
    pub headers: HeaderMap,
    pub followed: u32,
}

/// What becomes of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFate {
    /// The same bytes go to the next hop.
    Replay,
    /// The next hop gets none.
    Drop,
}

/// Is this status one that redirects?
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

impl Hop {
    /// Moves on to where `headers` of a redirect with `status` point. `Ok(None)`: there is no `Location`, so the response
    /// is the answer. On an error the hop is left as it was.
    pub fn follow(&mut self, status: StatusCode, headers: &HeaderMap) -> Result<Option<BodyFate>, EgressError> {
        let failed = |reason: String| EgressError::Redirect {
            from: self.url.to_string(),
            reason,
        };
        let mut locations = headers.get_all(header::LOCATION).iter();
        let Some(location) = locations.next() else {
            return Ok(None);
        };
        if locations.any(|other| other != location) {
            return Err(failed("the response has two Location headers that differ".to_owned()));
        }
        let text = String::from_utf8(location.as_bytes().to_vec())
            .unwrap_or_else(|_| location.as_bytes().iter().map(|byte| char::from(*byte)).collect());
        let mut next = self
            .url
            .join(&text)
            .map_err(|error| failed(format!("Location {text:?} is no URL ({error})")))?;
        if !matches!(next.scheme(), "http" | "https") {
            return Err(failed(format!(
                "it leads to {:?}, which is neither http nor https",
                next.scheme()
            )));
        }
        if self.followed >= REDIRECTS_MAX {
            return Err(failed(format!("{REDIRECTS_MAX} redirects were followed already")));
        }
        // Neither is part of what is requested; credentials would only answer a 401 in the standard.
        next.set_fragment(None);
        // These fail for URLs without a host, which http and https URLs never are.
        let _ = next.set_username("");
        let _ = next.set_password(None);

        let code = status.as_u16();
        let to_get = (matches!(code, 301 | 302) && self.method == Method::POST)
            || (code == 303 && !matches!(self.method, Method::GET | Method::HEAD));
        if to_get {
            self.method = Method::GET;
            for name in &BODY_HEADERS {
                self.headers.remove(name);
            }
        }
        if next.origin() != self.url.origin() {
            for name in &ORIGIN_HEADERS {
                self.headers.remove(name);
            }
        }
        self.url = next;
        self.followed += 1;
        Ok(Some(if to_get { BodyFate::Drop } else { BodyFate::Replay }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn hop(method: &str, url: &str) -> Hop {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "content-type",
            "content-language",
            "x-own",
        ] {
            headers.insert(name, HeaderValue::from_static("v"));
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Hop {
            url: Url::parse(url).unwrap(),
            method,
            headers,
            followed: 0,
        }
    }

    fn location(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_bytes(value).unwrap())])
    }

    #[test]
    fn methods_and_bodies() {
        let check = |status: u16, method: &str, expected: (&str, BodyFate)| {
            let mut hop = hop(method, "http://a.example/");
            let fate = hop
                .follow(StatusCode::from_u16(status).unwrap(), &location(b"/b"))
                .unwrap();
            assert_eq!(
                (hop.method.as_str(), fate),
                (expected.0, Some(expected.1)),
                "{status} {method}"
            );
            let described = hop.headers.contains_key("content-type") || hop.headers.contains_key("content-language");
            assert_eq!(described, expected.1 == BodyFate::Replay, "{status} {method}");
            assert!(hop.headers.contains_key("authorization") && hop.headers.contains_key("x-own"));
        };
        use BodyFate::{Drop, Replay};
        for (status, method, expected) in [
            (301, "GET", ("GET", Replay)),
            (301, "HEAD", ("HEAD", Replay)),
            (301, "POST", ("GET", Drop)),
            (301, "PUT", ("PUT", Replay)),
            (301, "DELETE", ("DELETE", Replay)),
            (302, "GET", ("GET", Replay)),
            (302, "HEAD", ("HEAD", Replay)),
            (302, "POST", ("GET", Drop)),
            (302, "PUT", ("PUT", Replay)),
            (302, "PATCH", ("PATCH", Replay)),
            (303, "GET", ("GET", Replay)),
            (303, "HEAD", ("HEAD", Replay)),
            (303, "POST", ("GET", Drop)),
            (303, "PUT", ("GET", Drop)),
            (303, "DELETE", ("GET", Drop)),
            (303, "PATCH", ("GET", Drop)),
            (307, "GET", ("GET", Replay)),
            (307, "POST", ("POST", Replay)),
            (307, "PUT", ("PUT", Replay)),
            (308, "GET", ("GET", Replay)),
            (308, "POST", ("POST", Replay)),
            (308, "DELETE", ("DELETE", Replay)),
        ] {
            check(status, method, expected);
        }
    }

    #[test]
    fn where_it_leads() {
        let check = |from: &str, to: &[u8], expected: &str, credentials_kept: bool| {
            let mut hop = hop("GET", from);
            hop.follow(StatusCode::FOUND, &location(to)).unwrap();
            assert_eq!(hop.url.as_str(), expected);
            for name in ["authorization", "cookie", "proxy-authorization"] {
                assert_eq!(hop.headers.contains_key(name), credentials_kept, "{expected} {name}");
            }
            assert!(hop.headers.contains_key("x-own"));
        };
        let from = "http://a.example/dir/page?q=1";
        check(from, b"/x", "http://a.example/x", true);
        check(from, b"x", "http://a.example/dir/x", true);
        check(from, b"", "http://a.example/dir/page?q=1", true);
        check(from, b"?r", "http://a.example/dir/page?r", true);
        check(from, b"#f", "http://a.example/dir/page?q=1", true);
        check(from, b"/x#f", "http://a.example/x", true);
        check(from, b"http://a.example:80/x", "http://a.example/x", true);
        check(from, b"http://A.EXAMPLE/x", "http://a.example/x", true);
        check(from, b"//b.example/x", "http://b.example/x", false);
        check(from, b"https://a.example/x", "https://a.example/x", false);
        check(from, b"http://a.example:8080/x", "http://a.example:8080/x", false);
        check(from, b"http://sub.a.example/", "http://sub.a.example/", false);
        check(from, b"http://u:p@a.example/x", "http://a.example/x", true);
        check(from, b"http://a.example@evil.example/", "http://evil.example/", false);
        check(from, b"http:\\\\b.example\\x", "http://b.example/x", false);
        check(from, "/\u{e9}".as_bytes(), "http://a.example/%C3%A9", true);
        check(from, b"/\xe9", "http://a.example/%C3%A9", true);
        check(from, b"http://0x7f.1/", "http://127.0.0.1/", false);
        check("https://a.example/", b"http://a.example/", "http://a.example/", false);
    }

    #[test]
    fn what_is_refused() {
        let check = |to: &[u8], expected: &str| {
            let mut hop = hop("GET", "http://a.example/");
            let error = hop.follow(StatusCode::FOUND, &location(to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(hop.url.as_str(), "http://a.example/");
        };
        check(b"http://", "is no URL");
        check(b"http://[::1", "is no URL");
        check(b"http://a b/", "is no URL");
        check(b"ftp://a.example/", "neither http nor https");
        check(b"data:text/plain,x", "neither http nor https");
        check(b"javascript:1", "neither http nor https");
        check(b"file:///etc/passwd", "neither http nor https");
        check(b"ws://a.example/", "neither http nor https");

        let mut two = location(b"/a");
        two.append(header::LOCATION, HeaderValue::from_static("/b"));
        assert!(hop("GET", "http://a.example/").follow(StatusCode::FOUND, &two).is_err());
        two.remove(header::LOCATION);
        assert_eq!(
            hop("GET", "http://a.example/").follow(StatusCode::FOUND, &two).unwrap(),
            None
        );

        let mut many = hop("GET", "http://a.example/");
        for _ in 0..REDIRECTS_MAX {
            many.follow(StatusCode::FOUND, &location(b"/again")).unwrap();
        }
        let error = many
            .follow(StatusCode::FOUND, &location(b"/again"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("20 redirects"), "{error}");
    }
}
