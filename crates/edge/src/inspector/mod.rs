//! The inspector: HTTP endpoints by which debuggers find workers, and a WebSocket to each
//! (<https://chromedevtools.github.io/devtools-protocol/#endpoints>).
//!
//! ```text
//! GET /json/version        what this is
//! GET /json, /json/list    the workers: titles, WebSocket URLs
//! GET /ID                  a WebSocket that speaks the Chrome DevTools Protocol
//! ```
//!
//! Whoever can connect can run code as the worker, so it is never on unless asked for, and browsers' pages are kept out
//! ([`guard`]). HTTP/1.1 only, without TLS: that is what the clients speak.
//!
//! What a client does wrong is answered with a status before the WebSocket, and with a close frame after it. A client that
//! goes away, in whatever way, ends its session.

mod guard;
mod session;

use crate::error::EdgeError;
use crate::listener::{BACKLOG, bound};
use atoll_stdx::TaskGroup;
use atoll_worker::{InspectorTarget, InspectorTargets};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;

/// Open connections; one more waits in the kernel's queue until another ends.
pub const CONNECTIONS_MAX: usize = 64;
/// From a connection's start, or its last answer, to the end of a request's head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sessions may take to close when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to leave a listener alone that has no descriptors or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The version of the protocol.
const PROTOCOL: &str = "1.3";

/// A bound inspector.
pub struct InspectorServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    targets: Arc<dyn InspectorTargets>,
    /// Name and version, as `/json/version` tells them.
    product: String,
    connections: TaskGroup,
    stop: CancellationToken,
}

impl InspectorServer {
    /// Binds `addr`; port 0 lets the system choose. `product` is what `/json/version` gives as the browser: `name/version`.
    pub fn bind(addr: SocketAddr, targets: Arc<dyn InspectorTargets>, product: &str) -> Result<Self, EdgeError> {
        let failed = |source| EdgeError::Listen { addr, source };
        let listener = bound(addr, false)
            .and_then(|socket| socket.listen(BACKLOG))
            .map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            local_addr,
            inner: Arc::new(Inner {
                targets,
                product: product.to_owned(),
                connections: TaskGroup::new(),
                stop: CancellationToken::new(),
            }),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `stop` is cancelled, then ends all sessions.
    pub async fn serve(self, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let _ended = self.inner.stop.clone().drop_guard();
        let accept = async {
            loop {
                // The semaphore is never closed.
                let Ok(permit) = permits.clone().acquire_owned().await else {
                    return;
                };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let inner = self.inner.clone();
                        self.inner.connections.spawn(async move {
                            let ended = inner.stop.clone();
                            let _ = ended.run_until_cancelled(connection(stream, inner)).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the inspector cannot accept a connection; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        let _ = stop.run_until_cancelled(accept).await;
        drop(self.listener);
        self.inner.stop.cancel();
        self.inner.connections.drain(CLOSE_TIMEOUT).await;
    }
}

/// The address that opens Chrome's DevTools on the worker `id` of the inspector at `address` (`host:port`).
pub fn devtools_url(address: &str, id: &str) -> String {
    format!(
        "devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws={address}/{}",
        escaped(id)
    )
}

async fn connection(stream: TcpStream, inner: Arc<Inner>) {
    // Each message is for now. Failing that only costs latency.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let requests = inner.clone();
    let service = service_fn(move |request| {
        let answer = answer(request, &requests);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the inspector ended");
    }
}

fn answer(request: Request<Incoming>, inner: &Arc<Inner>) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let Some(host) = guard::host(headers) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "The Host header must be an IP address or localhost.",
        );
    };
    if !guard::is_origin_allowed(headers) {
        return refuse(StatusCode::FORBIDDEN, "Pages of other origins may not debug workers.");
    }
    if request.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET is served here.");
    }
    match request.uri().path() {
        "/json/version" => json_answer(&json!({ "Browser": inner.product, "Protocol-Version": PROTOCOL })),
        "/json" | "/json/" | "/json/list" => {
            let targets = inner.targets.targets();
            json_answer(&targets.iter().map(|target| describe(target, host)).collect())
        }
        path => {
            let id = path.trim_start_matches('/').to_owned();
            connect(request, &id, inner)
        }
    }
}

/// A worker as `/json/list` tells it. `host` is what the client knows this server by.
fn describe(target: &InspectorTarget, host: &str) -> Value {
    let InspectorTarget { id, title } = target;
    json!({
        "id": id,
        "title": title,
        "description": "worker",
        // By this type Chrome lists it among the scripts without a page, and opens the right tools.
        "type": "node",
        "url": "",
        "webSocketDebuggerUrl": format!("ws://{host}/{}", escaped(id)),
        "devtoolsFrontendUrl": devtools_url(host, id),
        "devtoolsFrontendUrlCompat": devtools_url(host, id).replace("js_app.html", "inspector.html"),
    })
}

fn connect(request: Request<Incoming>, id: &str, inner: &Arc<Inner>) -> Response<Full<Bytes>> {
    let id = unescaped(id);
    let known = || inner.targets.targets().iter().any(|target| target.id == id);
    let Some(key) = websocket_key(request.headers()) else {
        return match known() {
            true => refuse(StatusCode::UPGRADE_REQUIRED, "This is a WebSocket: connect a debugger."),
            false => refuse(StatusCode::NOT_FOUND, "Nothing is here. GET /json/list tells what is."),
        };
    };
    let accept = derive_accept_key(key.as_bytes());
    let Some(session) = inner.targets.connect(&id) else {
        return match known() {
            true => refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many debuggers are connected to this worker.",
            ),
            false => refuse(
                StatusCode::NOT_FOUND,
                "There is no such worker. GET /json/list tells which there are.",
            ),
        };
    };
    let serving = inner.clone();
    let upgrade = hyper::upgrade::on(request);
    inner.connections.spawn(async move {
        // Fails if the client goes before it has the 101.
        if let Ok(upgraded) = upgrade.await {
            session::carry(TokioIo::new(upgraded), session, &serving.stop).await;
        }
    });
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    answer
}

/// The key of a WebSocket's handshake (RFC 6455 section 4.2.1).
fn websocket_key(headers: &HeaderMap) -> Option<String> {
    let has = |name, word: &str| {
        let values = headers
            .get_all(name)
            .iter()
            .filter_map(|value: &HeaderValue| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return None;
    }
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .and_then(|key| key.to_str().ok())
        .map(str::to_owned)
}

fn json_answer(value: &Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn refuse(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(why.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    answer
}

/// An id as a path's segment (RFC 3986 section 3.3).
fn escaped(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// What [`escaped`] made. Other text is left as it is, and names no worker.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits are at most 255.
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths() {
        let check = |id: &str, expected: &str| {
            assert_eq!(escaped(id), expected);
            assert_eq!(unescaped(expected), id);
        };
        check("my-worker_1.x~", "my-worker_1.x~");
        check("a b/c?ü%", "a%20b%2Fc%3F%C3%BC%25");
        assert_eq!(unescaped("%zz%4"), "%zz%4");
    }

    #[test]
    fn handshakes() {
        let check = |lines: &[(&'static str, &'static str)], expected: Option<&str>| {
            let headers: HeaderMap = lines
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(websocket_key(&headers).as_deref(), expected, "{lines:?}");
        };
        let key = ("sec-websocket-key", "abc");
        check(&[], None);
        check(
            &[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"), key],
            Some("abc"),
        );
        check(&[("connection", "Upgrade"), ("upgrade", "h2c"), key], None);
        check(&[("upgrade", "websocket"), key], None);
        check(&[("connection", "Upgrade"), ("upgrade", "websocket")], None);
    }
}
