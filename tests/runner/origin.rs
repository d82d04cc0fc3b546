//! A server for workers to fetch from, whose every answer is known.
//!
//! | path | answer |
//! |---|---|
//! | `/echo...` | JSON: method, path, headers (sorted, joined), body |
//! | `/status/CODE` | that status, body `status CODE` |
//! | `/redirect/N?code=C` | N redirects (302 unless C), then `/echo` |
//! | `/pieces/N` | N chunks `piece 1;` and so on |
//! | `/gzip` | `compressed text` with `content-encoding: gzip` |
//! | `/cookies` | two `set-cookie` headers |
//! | `/gate/NAME` | waits until that gate is opened, then `open` |
//! | `/open/NAME` | opens the gate |
//! | `/never` | no answer, as long as the client waits |
//! | `/cut` | promises 100 bytes, sends 5, closes |
//! | `/events?type=T` | one server-sent event `after ID` whose id is the `last-event-id` plus 1, then the end; with that content type |
//! | `/websocket` | an echo; `close` closes with 4001 `asked` |

use super::tcp;
use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

type Body = BoxBody<Bytes, std::io::Error>;

/// A running origin. It ends with the runtime it was started in.
#[derive(Clone)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens for TLS, HTTP/2 and HTTP/1.1 by ALPN, as `localhost`.
    pub tls_address: SocketAddr,
    /// Where it takes raw connections: see [`tcp`].
    pub tcp_address: SocketAddr,
    /// The certificate that it shows there, PEM; it is its own authority.
    pub certificate: String,
    gates: Gates,
}

/// Names of opened gates.
#[derive(Clone)]
pub(super) struct Gates {
    open: Arc<Mutex<HashSet<String>>>,
    changed: watch::Sender<()>,
}

impl Gates {
    pub(super) fn open(&self, name: &str) {
        self.open.lock().unwrap().insert(name.to_owned());
        self.changed.send_replace(());
    }

    pub(super) async fn passed(&self, name: &str) {
        let mut changed = self.changed.subscribe();
        while !self.open.lock().unwrap().contains(name) {
            // The sender is held by `self`.
            changed.changed().await.unwrap();
        }
    }
}

impl Origin {
    /// Listens on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let tls_listener = TcpListener::bind("127.0.0.1:0").await?;
        let tcp_listener = TcpListener::bind("127.0.0.1:0").await?;
        let (acceptor, certificate) = acceptor()?;
        let origin = Self {
            address: listener.local_addr()?,
            tls_address: tls_listener.local_addr()?,
            tcp_address: tcp_listener.local_addr()?,
            certificate,
            gates: Gates {
                open: Arc::default(),
                changed: watch::Sender::new(()),
            },
        };
        let gates = origin.gates.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, gates.clone()));
            }
        });
        tokio::spawn(tcp::serve(tcp_listener, acceptor.clone(), origin.gates.clone()));
        let gates = origin.gates.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = tls_listener.accept().await {
                let (acceptor, gates) = (acceptor.clone(), gates.clone());
                tokio::spawn(async move {
                    // A client that refuses the certificate is what some specs expect.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, gates).await;
                    }
                });
            }
        });
        Ok(origin)
    }

    /// Closes the gates that pieces of a body open.
    pub fn close_numbered(&self) {
        let mut open = self.gates.open.lock().unwrap();
        open.retain(|name| name.parse::<u64>().is_err());
    }

    /// Opens a gate.
    pub fn open(&self, gate: &str) {
        self.gates.open(gate);
    }
}

/// Serves one connection, HTTP/1.1 or HTTP/2.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, gates: Gates) {
    let service = service_fn(move |request| answer(request, gates.clone()));
    let builder = auto::Builder::new(TokioExecutor::new());
    // A connection that a worker breaks off is no concern of the origin.
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

/// TLS with a certificate made just now.
fn acceptor() -> Result<(TlsAcceptor, String)> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

fn pieces(frames: Vec<Result<&'static str, std::io::Error>>) -> Body {
    let frames = frames
        .into_iter()
        .map(|frame| frame.map(|text| Frame::data(Bytes::from_static(text.as_bytes()))));
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

async fn answer(mut request: Request<Incoming>, gates: Gates) -> Result<Response<Body>, std::io::Error> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or("").to_owned();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (verb, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let mut response = Response::new(full(""));
    match verb {
        "echo" => {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let echo = json!({
                "method": head.method.as_str(),
                "path": head.uri.path_and_query().map_or("", |path| path.as_str()),
                "version": format!("{:?}", head.version),
                "headers": header_object(&head.headers),
                "body": String::from_utf8_lossy(&body),
            });
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("application/json"),
            );
            *response.body_mut() = full(echo.to_string());
        }
        "status" => {
            *response.status_mut() = rest.parse().unwrap_or(StatusCode::BAD_REQUEST);
            if response.status() != StatusCode::NO_CONTENT && response.status() != StatusCode::NOT_MODIFIED {
                *response.body_mut() = full(format!("status {rest}"));
            }
        }
        "redirect" => {
            let left: u32 = rest.parse().unwrap_or(0);
            let code = query
                .strip_prefix("code=")
                .and_then(|code| code.parse().ok())
                .unwrap_or(StatusCode::FOUND);
            let location = if left <= 1 {
                "/echo".to_owned()
            } else {
                format!("/redirect/{}?{query}", left - 1)
            };
            *response.status_mut() = code;
            // The location is made of ASCII digits and the request's own, already valid, query.
            response
                .headers_mut()
                .insert(header::LOCATION, location.parse().unwrap());
        }
        "pieces" => {
            const PIECES: [&str; 5] = ["piece 1;", "piece 2;", "piece 3;", "piece 4;", "piece 5;"];
            let count = rest.parse().unwrap_or(1).min(PIECES.len());
            *response.body_mut() = pieces(PIECES[..count].iter().map(|piece| Ok(*piece)).collect());
        }
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(b"compressed text")?;
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
            *response.body_mut() = full(encoder.finish()?);
        }
        "cookies" => {
            let headers = response.headers_mut();
            headers.append(header::SET_COOKIE, header::HeaderValue::from_static("a=1; Path=/"));
            headers.append(
                header::SET_COOKIE,
                header::HeaderValue::from_static("b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
            );
            headers.append("x-list", header::HeaderValue::from_static("one"));
            headers.append("x-list", header::HeaderValue::from_static("two"));
        }
        "gate" => {
            gates.passed(rest).await;
            *response.body_mut() = full("open");
        }
        "open" => gates.open(rest),
        "never" => std::future::pending::<()>().await,
        "cut" => {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("100"));
            *response.body_mut() = pieces(vec![Ok("start"), Err(std::io::Error::other("cut off as asked"))]);
        }
        "events" => {
            let last = request.headers().get("last-event-id");
            let last = last.and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned();
            let next = last.parse::<u32>().unwrap_or(0) + 1;
            let kind = query.strip_prefix("type=").unwrap_or("text/event-stream");
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                kind.parse().unwrap_or(header::HeaderValue::from_static("text/plain")),
            );
            *response.body_mut() = full(format!("retry: 1000\nid: {next}\ndata: after {last}\n\n"));
        }
        "websocket" => return Ok(websocket(&mut request)),
        _ => {
            *response.status_mut() = StatusCode::NOT_FOUND;
            *response.body_mut() = full("no such thing");
        }
    }
    Ok(response)
}

fn header_object(headers: &HeaderMap) -> Value {
    let mut names: Vec<&str> = headers.keys().map(header::HeaderName::as_str).collect();
    names.sort_unstable();
    let object: Map<String, Value> = names
        .into_iter()
        .map(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            (name.to_owned(), Value::String(values.join(", ")))
        })
        .collect();
    Value::Object(object)
}

fn websocket(request: &mut Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        let mut response = Response::new(full("this is a WebSocket"));
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let reply = match message {
                Message::Text(text) if text.as_str() == "close" => Message::Close(Some(CloseFrame {
                    code: 4001.into(),
                    reason: "asked".into(),
                })),
                Message::Text(_) | Message::Binary(_) => message,
                _ => continue,
            };
            if socket.send(reply).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    // Base64 text is a valid header value.
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().unwrap());
    response
}
