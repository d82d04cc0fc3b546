//! Which header fields go out, and which come back.
//!
//! Framing belongs to the connection, not to the worker: whatever describes it (RFC 9110 section 7.6.1) is dropped in
//! both directions and made anew where it is needed.

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HTTP2_SETTINGS,
];

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// What the platform adds to a request that does not say it itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub user_agent: Option<HeaderValue>,
    /// Ask for compression, because the answer will be decoded.
    pub accept_encoding: bool,
}

/// The fields of a request to one hop, without `Host` (which the protocol version decides about).
pub(crate) fn outgoing(headers: &HeaderMap, method: &Method, length: Option<u64>, defaults: &Defaults) -> HeaderMap {
    let mut out = headers.clone();
    remove_hop_by_hop(&mut out);
    for name in [header::HOST, header::CONTENT_LENGTH, header::EXPECT] {
        out.remove(name);
    }
    match length {
        // Fetch Standard, "HTTP-network-or-cache fetch": no body is said to be empty where one is usual.
        Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {}
        Some(length) => {
            out.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {}
    }
    if let Some(agent) = &defaults.user_agent
        && !out.contains_key(header::USER_AGENT)
    {
        out.insert(header::USER_AGENT, agent.clone());
    }
    if !out.contains_key(header::ACCEPT) {
        out.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    }
    if defaults.accept_encoding && !out.contains_key(header::ACCEPT_ENCODING) {
        // A range of an encoded body is of no use (Fetch Standard, the same place).
        let value = if out.contains_key(header::RANGE) {
            "identity"
        } else {
            "gzip, br"
        };
        out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
    }
    out
}

/// Turns the fields of a request into those of a WebSocket handshake (RFC 6455 section 4.1). Extensions are not
/// negotiated; sub-protocols are the caller's.
pub(crate) fn ask_for_websocket(headers: &mut HeaderMap, key: HeaderValue) {
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    headers.remove(header::ACCEPT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
}

/// The fields of a response as the worker sees them.
pub(crate) fn incoming(mut headers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn lines(map: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> = map
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn requests() {
        let defaults = Defaults {
            user_agent: Some(HeaderValue::from_static("atoll")),
            accept_encoding: true,
        };
        let check = |method: Method, length, input: &[(&'static str, &'static str)], expected: &[&str]| {
            assert_eq!(lines(&outgoing(&map(input), &method, length, &defaults)), expected);
        };
        let usual = ["accept-encoding: gzip, br", "accept: */*", "user-agent: atoll"];
        check(Method::GET, Some(0), &[], &usual);
        check(Method::GET, None, &[], &usual);
        check(
            Method::GET,
            Some(0),
            &[
                ("host", "evil.example"),
                ("content-length", "7"),
                ("expect", "100-continue"),
            ],
            &usual,
        );
        check(
            Method::GET,
            Some(0),
            &[
                ("connection", "close, X-Secret"),
                ("x-secret", "1"),
                ("te", "trailers"),
                ("upgrade", "h2c"),
            ],
            &usual,
        );
        check(
            Method::GET,
            Some(0),
            &[
                ("transfer-encoding", "chunked"),
                ("keep-alive", "x"),
                ("proxy-connection", "x"),
                ("trailer", "x"),
            ],
            &usual,
        );
        for method in [Method::POST, Method::PUT, Method::PATCH] {
            check(
                method,
                Some(0),
                &[],
                &[
                    "accept-encoding: gzip, br",
                    "accept: */*",
                    "content-length: 0",
                    "user-agent: atoll",
                ],
            );
        }
        check(
            Method::POST,
            Some(5),
            &[
                ("user-agent", "mine"),
                ("accept", "text/html"),
                ("accept-encoding", "br"),
            ],
            &[
                "accept-encoding: br",
                "accept: text/html",
                "content-length: 5",
                "user-agent: mine",
            ],
        );
        check(
            Method::GET,
            Some(0),
            &[("range", "bytes=0-1")],
            &[
                "accept-encoding: identity",
                "accept: */*",
                "range: bytes=0-1",
                "user-agent: atoll",
            ],
        );
    }

    #[test]
    fn responses() {
        let check = |input: &[(&'static str, &'static str)], expected: &[&str]| {
            assert_eq!(lines(&incoming(map(input))), expected);
        };
        check(
            &[("connection", "keep-alive, x-hop"), ("x-hop", "1"), ("x-end", "2")],
            &["x-end: 2"],
        );
        check(
            &[
                ("transfer-encoding", "chunked"),
                ("keep-alive", "timeout=5"),
                ("content-type", "a/b"),
            ],
            &["content-type: a/b"],
        );
        check(
            &[("set-cookie", "a=1"), ("set-cookie", "b=2")],
            &["set-cookie: a=1", "set-cookie: b=2"],
        );
        check(&[("connection", "not a token!, ,"), ("x", "1")], &["x: 1"]);
    }
}
