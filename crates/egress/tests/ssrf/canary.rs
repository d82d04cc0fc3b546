//! The server that no worker may reach, and a few public ones: one listener per port, on all addresses of the world.
//!
//! It notes where each connection was meant to go, before anything is said on it. What it answers is chosen by the path:
//!
//! | path | answer |
//! |---|---|
//! | `/say/STATUS/NAME/VALUE` | that status with one header field; `VALUE` is percent-encoded |
//! | `/twice/A/B` | 302 with two `Location` fields |
//! | `/keep/...` | as the rest of the path, and the connection stays open |
//! | `/drop` | the first time 200, then the next request on the connection is read and the connection closed |
//! | anything else | 200, or 101 to a WebSocket handshake |

use atoll_egress::TlsRoots;
use atoll_model::outbound::canonical;
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Ports with plain HTTP or whatever the client says first.
pub const PLAIN_PORTS: [u16; 5] = [80, 8080, 25, 22, 5432];
/// The port with TLS.
pub const TLS_PORT: u16 = 443;
/// The only port that listens on one address alone, [`INNER_ONLY_ADDRESS`]: elsewhere it refuses.
pub const INNER_ONLY_PORT: u16 = 81;
/// A private address.
pub const INNER_ONLY_ADDRESS: &str = "10.0.0.1";
/// The longest request head that is read, bytes.
const HEAD_MAX: usize = 64 * 1024;

/// What arrived, by the address and port it was meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections.
    pub connections: BTreeMap<SocketAddr, usize>,
    /// Requests: `address:port Host-field method target`.
    pub requests: Vec<String>,
}

/// The server.
#[derive(Clone)]
pub struct Canary {
    seen: Arc<Mutex<Seen>>,
    /// The address that the latest connection of each listener came from.
    latest: watch::Sender<SocketAddr>,
    acceptor: TlsAcceptor,
    roots: TlsRoots,
}

impl Canary {
    /// Listens. Its certificates are good for `names`.
    pub async fn start(names: &[String]) -> Self {
        let (acceptor, roots) = certificates(names);
        let canary = Self {
            seen: Arc::default(),
            latest: watch::Sender::new(SocketAddr::from(([0, 0, 0, 0], 0))),
            acceptor,
            roots,
        };
        for port in PLAIN_PORTS.into_iter().chain([TLS_PORT]) {
            canary.listen(format!("[::]:{port}").parse().unwrap());
        }
        canary.listen(format!("{INNER_ONLY_ADDRESS}:{INNER_ONLY_PORT}").parse().unwrap());
        canary
    }

    /// The authority behind its certificates.
    pub fn roots(&self) -> TlsRoots {
        self.roots.clone()
    }

    /// What arrived since the last time.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Waits until the connection from `peer` is accepted.
    pub async fn wait_for(&self, peer: SocketAddr) {
        let mut latest = self.latest.subscribe();
        // The sender is `self`'s.
        latest
            .wait_for(|latest| *latest == peer)
            .await
            .expect("the canary lives");
    }

    fn listen(&self, at: SocketAddr) {
        let socket = if at.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
        .unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket
            .bind(at)
            .unwrap_or_else(|error| panic!("listen at {at}: {error}"));
        let listener: TcpListener = socket.listen(1024).unwrap();
        let canary = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let plain = |at: SocketAddr| SocketAddr::new(canonical(at.ip()), at.port());
                let meant = plain(stream.local_addr().unwrap());
                *canary.seen.lock().unwrap().connections.entry(meant).or_default() += 1;
                canary.latest.send_replace(plain(peer));
                let canary = canary.clone();
                tokio::spawn(async move { canary.serve(stream, meant).await });
            }
        });
    }

    async fn serve(&self, stream: TcpStream, at: SocketAddr) {
        if at.port() != TLS_PORT {
            return self.http1(stream, at).await;
        }
        let Ok(stream) = self.acceptor.accept(stream).await else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream, at).await;
        } else {
            self.http1(stream, at).await;
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, at: SocketAddr) {
        let mut dropping = false;
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let mut lines = text.lines();
            let mut first = lines.next().unwrap_or_default().split(' ');
            let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
            let field = |name: &str| {
                let mut fields = text.lines().filter_map(|line| line.split_once(':'));
                fields
                    .find(|(own, _)| own.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.trim().to_owned())
            };
            self.note(at, &field("host").unwrap_or_default(), method, target);
            if dropping {
                return;
            }
            let (path, keep) = match target.strip_prefix("/keep/") {
                Some(rest) => (format!("/{rest}"), true),
                None => (target.to_owned(), target == "/drop"),
            };
            dropping = target == "/drop";
            let answer = Answer::to(&path, field("sec-websocket-key"));
            let mut out = format!("HTTP/1.1 {} Word\r\n", answer.status).into_bytes();
            for (name, value) in &answer.fields {
                out.extend(format!("{name}: ").as_bytes());
                out.extend(value);
                out.extend(b"\r\n");
            }
            if answer.status == 101 {
                out.extend(b"\r\n");
                let _ = stream.write_all(&out).await;
                let _ = stream.read(&mut [0; 256]).await;
                return;
            }
            let end = if keep { "" } else { "connection: close\r\n" };
            out.extend(format!("content-length: {}\r\n{end}\r\n{}", answer.body.len(), answer.body).as_bytes());
            if stream.write_all(&out).await.is_err() || !keep {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }

    async fn http2<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, at: SocketAddr) {
        let Ok(mut connection) = h2::server::handshake(stream).await else {
            return;
        };
        while let Some(Ok((request, mut reply))) = connection.accept().await {
            let uri = request.uri();
            let target = uri.path_and_query().map_or("", |path| path.as_str());
            let host = uri.authority().map_or("", |authority| authority.as_str());
            self.note(at, host, request.method().as_str(), target);
            let path = target.strip_prefix("/keep").unwrap_or(target);
            let answer = Answer::to(path, None);
            let mut response = http::Response::new(());
            *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap();
            for (name, value) in &answer.fields {
                let name: http::HeaderName = name.parse().unwrap();
                response
                    .headers_mut()
                    .append(name, http::HeaderValue::from_bytes(value).unwrap());
            }
            if let Ok(mut body) = reply.send_response(response, false) {
                let _ = body.send_data(Bytes::from(answer.body), true);
            }
        }
    }

    fn note(&self, at: SocketAddr, host: &str, method: &str, target: &str) {
        let line = format!("{at} {host} {method} {target}");
        self.seen.lock().unwrap().requests.push(line);
    }
}

struct Answer {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: &'static str,
}

impl Answer {
    fn to(path: &str, websocket_key: Option<String>) -> Self {
        let mut parts = path.splitn(5, '/').skip(1);
        let body = "the canary sings";
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("say"), Some(status), Some(name), Some(value)) => Self {
                status: status.parse().unwrap(),
                fields: vec![(name.to_owned(), percent_decoded(value))],
                body,
            },
            (Some("twice"), Some(a), Some(b), None) => Self {
                status: 302,
                fields: [a, b]
                    .map(|value| ("location".to_owned(), percent_decoded(value)))
                    .to_vec(),
                body,
            },
            _ => match websocket_key {
                Some(key) => Self {
                    status: 101,
                    fields: vec![
                        ("upgrade".to_owned(), b"websocket".to_vec()),
                        ("connection".to_owned(), b"Upgrade".to_vec()),
                        (
                            "sec-websocket-accept".to_owned(),
                            derive_accept_key(key.as_bytes()).into_bytes(),
                        ),
                    ],
                    body: "",
                },
                None => Self {
                    status: 200,
                    fields: Vec::new(),
                    body,
                },
            },
        }
    }
}

/// Every byte that is no letter or digit as `%XX`: survives being a part of a path, however often.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || {
            bytes
                .next()
                .and_then(|digit| char::from(digit).to_digit(16))
                .unwrap_or(0) as u8
        };
        out.push(if byte == b'%' { digit() << 4 | digit() } else { byte });
    }
    out
}

fn certificates(names: &[String]) -> (TlsAcceptor, TlsRoots) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "the canary's authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let params = CertificateParams::new(names).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = TlsRoots::none();
    roots.add(authority.der().clone()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}
