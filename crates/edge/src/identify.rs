//! The first phase: what exactly is asked, of which host. What two parties could read in two ways is refused here.
//!
//! The parser below (hyper) has already refused what is no HTTP at all. This adds what RFC 9112 and RFC 9110 leave to the
//! server: one `Host` and a valid one, a target that is a path, a transfer coding that is `chunked` alone.

use crate::geo::GeoDatabases;
use crate::limits::{EdgeLimits, HEADER_LINES_MAX, HOST_BYTES_MAX};
use atoll_model::Limit;
use atoll_worker::{ClientInfo, RequestHead};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use std::borrow::Cow;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What the worker is told of the client's encodings: the front undoes and applies encodings itself.
const WORKER_ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("br, gzip");
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const CF_IPCOUNTRY: HeaderName = HeaderName::from_static("cf-ipcountry");
/// Headers that the front alone may set: what a client sends under these names is not passed on.
static FRONT_HEADERS: [HeaderName; 3] = [
    CF_IPCOUNTRY,
    HeaderName::from_static("cf-ray"),
    HeaderName::from_static("cf-visitor"),
];
const SEC_WEBSOCKET_KEY: HeaderName = header::SEC_WEBSOCKET_KEY;

/// Headers of the connection, not of the message (RFC 9110 section 7.6.1): the worker has no connection.
static CONNECTION_HEADERS: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("http2-settings"),
];

/// What a connection contributes to each of its requests. Made once per connection.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) peer: SocketAddr,
    pub(crate) peer_ip: HeaderValue,
    pub(crate) scheme: &'static str,
    pub(crate) tls_version: &'static str,
    pub(crate) client: Option<Arc<ClientInfo>>,
    country: Option<HeaderValue>,
}

impl Origin {
    /// `tls` is version and cipher, empty without TLS.
    pub(crate) fn new(
        peer: SocketAddr,
        (tls_version, tls_cipher): (&'static str, &'static str),
        geo: Option<&GeoDatabases>,
    ) -> Self {
        // An IPv4 client of a dual-stack socket is shown as what it is.
        let address = peer.ip().to_canonical();
        let ip = address.to_string();
        let client = ClientInfo {
            tls_cipher: (!tls_cipher.is_empty()).then(|| tls_cipher.to_owned()),
            geo: geo.map(|geo| geo.find(address)).unwrap_or_default(),
        };
        let country = client
            .geo
            .country
            .as_deref()
            .and_then(|country| HeaderValue::from_str(country).ok());
        let client = (client != ClientInfo::default()).then(|| Arc::new(client));
        Self {
            client,
            country,
            peer,
            // An address is ASCII digits, dots and colons: always a legal header value.
            peer_ip: HeaderValue::from_str(&ip).unwrap_or(HeaderValue::from_static("")),
            scheme: if tls_version.is_empty() { "http" } else { "https" },
            tls_version,
        }
    }
}

/// What the response needs to know of the client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) head_only: bool,
    pub(crate) accept: Option<HeaderValue>,
    pub(crate) accept_encoding: Option<HeaderValue>,
}

/// How a WebSocket was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// RFC 6455: 101 with a key's digest.
    Http1 { key: HeaderValue },
    /// RFC 8441: 200 on the stream.
    Http2,
}

/// A request that may be answered.
#[derive(Debug)]
pub(crate) struct Identified {
    pub(crate) head: Box<RequestHead>,
    /// Where the host name is in `head.url`, in lower case, without port.
    host: std::ops::Range<usize>,
    /// Where the target begins in `head.url`.
    target: usize,
    pub(crate) client: Client,
    pub(crate) handshake: Option<Handshake>,
}

impl Identified {
    pub(crate) fn host(&self) -> &str {
        &self.head.url[self.host.clone()]
    }

    /// The path as sent, without the query.
    pub(crate) fn path(&self) -> &str {
        let target = &self.head.url[self.target..];
        target.split_once('?').map_or(target, |(path, _)| path)
    }
}

/// A request that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: Cow<'static, str>,
    /// The limit that it breaks, if it is one's status.
    pub(crate) limit: Option<Limit>,
}

impl Refusal {
    /// Because of a limit.
    pub(crate) fn at(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }
}

pub(crate) fn refuse(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal {
        status,
        reason: reason.into(),
        limit: None,
    }
}

fn bad(reason: impl Into<Cow<'static, str>>) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, reason)
}

/// What of a head's headers has a meaning here, found in one pass: most heads have little of it.
#[derive(Debug, Default)]
struct Seen {
    /// As HTTP/1.1 writes them.
    bytes: usize,
    /// One of [`CONNECTION_HEADERS`].
    connection: bool,
    /// One of [`FRONT_HEADERS`].
    front: bool,
    host: bool,
    upgrade: bool,
    transfer_encoding: bool,
    accept: bool,
    accept_encoding: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let text = name.as_str();
            seen.bytes += text.len() + ": ".len() + value.len() + "\r\n".len();
            match *name {
                header::HOST => seen.host = true,
                header::ACCEPT => seen.accept = true,
                header::ACCEPT_ENCODING => seen.accept_encoding = true,
                header::UPGRADE => seen.upgrade = true,
                header::TRANSFER_ENCODING => (seen.transfer_encoding, seen.connection) = (true, true),
                _ if CONNECTION_HEADERS.contains(name) => seen.connection = true,
                _ if FRONT_HEADERS.contains(name) => seen.front = true,
                _ => {}
            }
        }
        seen
    }
}

/// Takes the headers out of `parts`.
pub(crate) fn identify(
    parts: &mut http::request::Parts,
    origin: &Origin,
    limits: &EdgeLimits,
) -> Result<Identified, Refusal> {
    let version = parts.version;
    let seen = Seen::of(&parts.headers);
    let target = target(&parts.method, &parts.uri, &parts.extensions, limits)?;
    check_size(&parts.method, target, seen.bytes, limits)?;
    check_lines(&parts.headers, version)?;
    let authority = authority(&parts.uri, &parts.headers, version)?;
    if seen.transfer_encoding {
        check_framing(&parts.headers, version)?;
    }

    let mut url = String::with_capacity(origin.scheme.len() + 4 + authority.text.len() + target.len());
    url.push_str(origin.scheme);
    url.push_str("://");
    let host_start = url.len();
    url.push_str(authority.text);
    url[host_start..].make_ascii_lowercase();
    let host = host_start..host_start + authority.host_len;
    let authority = host_start..url.len();
    let target_start = url.len();
    if !target.starts_with('/') {
        url.push('/');
    }
    url.push_str(target);

    let mut headers = std::mem::take(&mut parts.headers);
    let mut method = parts.method.clone();
    let handshake = if method == Method::CONNECT {
        // `target` has made sure that this is RFC 8441's CONNECT. The worker sees the form it knows.
        method = Method::GET;
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        check_websocket_version(&headers)?;
        Some(Handshake::Http2)
    } else if seen.upgrade {
        http1_handshake(&method, version, &headers)?
    } else {
        None
    };
    if !seen.host {
        // HTTP/2 carries it as `:authority`. It has been checked to be printable ASCII.
        if let Ok(value) = HeaderValue::from_str(&url[authority]) {
            headers.insert(header::HOST, value);
        }
    }
    let client = Client {
        head_only: method == Method::HEAD,
        accept: seen.accept.then(|| headers.get(header::ACCEPT).cloned()).flatten(),
        accept_encoding: seen.accept_encoding.then(|| accept_encoding(&headers)).flatten(),
    };
    if seen.connection {
        for name in &CONNECTION_HEADERS {
            headers.remove(name);
        }
    }
    if seen.upgrade && handshake.is_none() {
        headers.remove(header::UPGRADE);
    }
    headers.insert(header::ACCEPT_ENCODING, WORKER_ACCEPT_ENCODING);
    headers.insert(CF_CONNECTING_IP, origin.peer_ip.clone());
    if seen.front {
        for name in &FRONT_HEADERS {
            headers.remove(name);
        }
    }
    if let Some(country) = &origin.country {
        headers.insert(CF_IPCOUNTRY, country.clone());
    }

    Ok(Identified {
        head: Box::new(RequestHead {
            method,
            url,
            headers,
            protocol: protocol(version),
            tls_version: origin.tls_version,
            client: origin.client.clone(),
            peer: Some(origin.peer),
            upgrade_websocket: handshake.is_some(),
            cf: None,
        }),
        host,
        target: target_start,
        client,
        handshake,
    })
}

pub(crate) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn accept_encoding(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let first = values.next()?;
    if values.next().is_none() {
        return Some(first.clone());
    }
    let all: Vec<&[u8]> = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    HeaderValue::from_bytes(&all.join(&b","[..])).ok()
}

/// Path and query. RFC 9112 section 3.2 has four forms; `OPTIONS *` and CONNECT have no URL a worker could see.
fn target<'a>(
    method: &Method,
    uri: &'a Uri,
    extensions: &http::Extensions,
    limits: &EdgeLimits,
) -> Result<&'a str, Refusal> {
    if method == Method::CONNECT {
        match extensions.get::<hyper::ext::Protocol>() {
            Some(protocol) if protocol.as_str() == "websocket" => {}
            Some(_) => {
                return Err(refuse(
                    StatusCode::NOT_IMPLEMENTED,
                    "the only protocol that CONNECT opens here is websocket",
                ));
            }
            None => return Err(refuse(StatusCode::NOT_IMPLEMENTED, "this server is no proxy")),
        }
    }
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if target.len() > limits.url_bytes_max {
        return Err(refuse(
            StatusCode::URI_TOO_LONG,
            format!(
                "the request target has {} bytes (limit url_bytes_max = {})",
                target.len(),
                limits.url_bytes_max
            ),
        )
        .at(Limit::Url));
    }
    // A lone authority is CONNECT's form; it has no path at all.
    let has_path = uri.scheme().is_some() || uri.authority().is_none();
    match target.as_bytes().first() {
        Some(b'/') if has_path => Ok(target),
        // `http://host?query`.
        Some(b'?') if uri.authority().is_some() => Ok(target),
        _ if target == "*" && method == Method::OPTIONS => Ok(target),
        _ => Err(bad("the request target is neither a path nor a URL")),
    }
}

/// The head's size as HTTP/1.1 writes it, whatever it came by.
fn check_size(method: &Method, target: &str, fields: usize, limits: &EdgeLimits) -> Result<(), Refusal> {
    let line = method.as_str().len() + " ".len() + target.len() + " HTTP/1.1\r\n".len();
    let bytes = line + fields + "\r\n".len();
    if bytes <= limits.head_bytes_max {
        return Ok(());
    }
    Err(refuse(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        format!(
            "the request's head has {bytes} bytes (limit head_bytes_max = {})",
            limits.head_bytes_max
        ),
    )
    .at(Limit::Head))
}

/// How many header lines an HTTP/1 head has.
fn check_lines(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    if version >= Version::HTTP_2 || headers.len() <= HEADER_LINES_MAX {
        return Ok(());
    }
    Err(refuse(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        format!(
            "the request's head has {} header lines (limit header_lines_max = {HEADER_LINES_MAX})",
            headers.len()
        ),
    )
    .at(Limit::HeadLines))
}

/// The host and port asked for, checked, and the length of the host alone.
#[derive(Debug, PartialEq, Eq)]
struct Authority<'a> {
    text: &'a str,
    host_len: usize,
}

fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap, version: Version) -> Result<Authority<'a>, Refusal> {
    if let Some(scheme) = uri.scheme_str()
        && scheme != "http"
        && scheme != "https"
    {
        return Err(bad("the request target's scheme is neither http nor https"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("more than one Host header"));
    }
    let host = match host {
        Some(host) => Some(host.to_str().map_err(|_| bad("the Host header is not ASCII"))?),
        None => None,
    };
    let text = match (uri.authority(), host) {
        (Some(authority), Some(host))
            if version == Version::HTTP_2 && !authority.as_str().eq_ignore_ascii_case(host) =>
        {
            // RFC 9113 section 8.3.1: a request whose Host differs from its `:authority` is malformed.
            return Err(bad("Host and :authority differ"));
        }
        // RFC 9112 section 3.2.2: the target's authority wins over Host.
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host,
        (None, None) => return Err(bad("no Host header")),
    };
    parse_authority(text).ok_or_else(|| bad("the host is not a host name or address"))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`. A host name is letters, digits, `-`, `.` and `_`: what a URL parser would
/// decode, drop or fail on does not pass.
fn parse_authority(text: &str) -> Option<Authority<'_>> {
    let host_len = if let Some(rest) = text.strip_prefix('[') {
        let inner = &rest[..rest.find(']')?];
        inner.parse::<Ipv6Addr>().ok()?;
        inner.len() + 2
    } else {
        let host = text.split_once(':').map_or(text, |(host, _)| host);
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(legal) {
            return None;
        }
        host.len()
    };
    let text = match text[host_len..].strip_prefix(':') {
        None if text.len() == host_len => text,
        None => return None,
        Some("") => &text[..host_len],
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok() => text,
        Some(_) => return None,
    };
    Some(Authority { text, host_len })
}

/// Ambiguities of a message's length that the parser leaves (it refuses the others).
fn check_framing(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if version == Version::HTTP_2 {
        return Err(bad("Transfer-Encoding does not exist in HTTP/2"));
    }
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(bad("both Content-Length and Transfer-Encoding"));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(refuse(
            StatusCode::NOT_IMPLEMENTED,
            "the only transfer coding understood is chunked",
        ));
    }
    Ok(())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// RFC 6455 section 4.2.1. An `Upgrade` to anything else is ignored, as RFC 9110 section 7.8 allows.
fn http1_handshake(method: &Method, version: Version, headers: &HeaderMap) -> Result<Option<Handshake>, Refusal> {
    if version != Version::HTTP_11
        || !headers.contains_key(header::UPGRADE)
        || !has_token(headers, header::UPGRADE, "websocket")
        || !has_token(headers, header::CONNECTION, "upgrade")
    {
        return Ok(None);
    }
    if method != Method::GET {
        return Err(bad("a WebSocket is asked for with GET"));
    }
    check_websocket_version(headers)?;
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .ok_or_else(|| bad("no Sec-WebSocket-Key"))?;
    // 16 bytes in base64: 22 characters and two of padding.
    let bytes = key.as_bytes();
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if bytes.len() != 24 || &bytes[22..] != b"==" || !bytes[..22].iter().all(legal) {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    Ok(Some(Handshake::Http1 { key: key.clone() }))
}

fn check_websocket_version(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_some_and(|version| version == "13")
    {
        Ok(())
    } else {
        Err(refuse(
            StatusCode::UPGRADE_REQUIRED,
            "the WebSocket version spoken here is 13",
        ))
    }
}
