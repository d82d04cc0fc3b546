//! Who may ask. A page in the developer's browser can send requests here; it must not get anywhere:
//!
//! - a name that some attacker controls and lets resolve to this machine ("DNS rebinding") is refused by the Host header,
//!   which must be an IP address or localhost, as Node.js' inspector has it;
//! - another origin's script is refused by the Origin header, which browsers send with every WebSocket: only DevTools
//!   themselves and pages of this machine may. Clients that are no browsers send none.

use http::header::{self, HeaderMap};
use std::net::{IpAddr, SocketAddr};

/// The schemes of tools that are part of a browser or an editor; no web page has an origin of these.
const TOOLS: [&str; 4] = ["devtools", "chrome-devtools", "vscode-file", "vscode-webview"];

/// What the client knows this server by (`host:port`), if that may be.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::HOST).iter();
    let host = values.next()?.to_str().ok()?;
    (values.next().is_none() && is_local_name(host)).then_some(host)
}

/// An IP address or localhost, with or without a port.
fn is_local_name(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) {
        return true;
    }
    if let Some(inner) = host.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost")
}

/// Whether whoever asks is no page of another origin.
pub(super) fn is_origin_allowed(headers: &HeaderMap) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let Some((scheme, host)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
            return false;
        };
        match scheme {
            "http" | "https" => is_loopback(host),
            scheme => TOOLS.contains(&scheme),
        }
    })
}

fn is_loopback(host: &str) -> bool {
    let address = host
        .parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    match address {
        Ok(address) => address.is_loopback(),
        Err(_) => is_local_name(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn hosts() {
        let check = |hosts: &[&str], expected: bool| {
            assert_eq!(host(&headers(header::HOST, hosts)).is_some(), expected, "{hosts:?}");
        };
        for good in [
            "127.0.0.1:9229",
            "127.0.0.1",
            "192.168.1.7:1",
            "[::1]:9229",
            "[::1]",
            "localhost",
            "LocalHost:9229",
        ] {
            check(&[good], true);
        }
        for bad in [
            "",
            "example.com",
            "example.com:9229",
            "localhost.example.com",
            "localhost:x",
            "127.0.0.1.example.com",
            "[::1",
            "[example.com]:1",
            "1.2.3.4:99999",
        ] {
            check(&[bad], false);
        }
        check(&[], false);
        check(&["localhost", "example.com"], false);
    }

    #[test]
    fn origins() {
        let check = |origins: &[&str], expected: bool| {
            assert_eq!(
                is_origin_allowed(&headers(header::ORIGIN, origins)),
                expected,
                "{origins:?}"
            );
        };
        check(&[], true);
        for good in [
            "devtools://devtools",
            "http://localhost:8787",
            "http://127.0.0.1",
            "https://[::1]:1",
            "vscode-file://vscode-app",
        ] {
            check(&[good], true);
        }
        for bad in [
            "null",
            "",
            "http://example.com",
            "https://localhost.example.com",
            "http://192.168.1.7",
            "file://",
            "chrome-extension://abc",
        ] {
            check(&[bad], false);
        }
        check(&["http://localhost", "http://example.com"], false);
    }
}
