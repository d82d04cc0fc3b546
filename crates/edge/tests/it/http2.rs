//! HTTP/2: by prior knowledge, by ALPN, extended CONNECT; and TLS.

use crate::harness::{PATIENCE, Raw, Server, foreign, options, within};
use atoll_edge::{EdgeOptions, TlsOptions};
use atoll_worker::{BodyError, BodySender, Frame};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

type Body = BoxBody<Bytes, Infallible>;

fn empty() -> Body {
    Empty::new().boxed()
}

fn full(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes())).boxed()
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> SendRequest<Body> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn h2c(server: &Server) -> SendRequest<Body> {
    connect(TcpStream::connect(server.addr).await.unwrap()).await
}

fn get(target: &str) -> Request<Body> {
    Request::get(format!("http://site.test{target}")).body(empty()).unwrap()
}

async fn send(client: &mut SendRequest<Body>, request: Request<Body>) -> Response<Incoming> {
    within("a response", client.send_request(request)).await.unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = within("a body", response.into_body().collect())
        .await
        .unwrap()
        .to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn prior_knowledge_is_served() {
    let server = Server::start().await;
    let mut client = h2c(&server).await;
    let response = send(&mut client, get("/request?a")).await;
    assert_eq!(
        (response.status(), response.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    let seen = text(response).await;
    assert!(
        seen.starts_with("GET http://site.test/request?a HTTP/2 tls= ws=false\n"),
        "{seen}"
    );
    assert!(seen.contains("host: site.test\n"), "{seen}");
    // Many at once, on one connection.
    let mut waiting = Vec::new();
    for index in 0..50 {
        let mut client = client.clone();
        waiting.push(tokio::spawn(async move {
            let response = send(&mut client, get(&format!("/respond?body={index}"))).await;
            text(response).await
        }));
    }
    for (index, waiting) in waiting.into_iter().enumerate() {
        assert_eq!(waiting.await.unwrap(), index.to_string());
    }
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let mut server = Server::start().await;
    let mut client = h2c(&server).await;
    let post = |target: &str, body: Body| Request::post(format!("http://a{target}")).body(body).unwrap();
    let response = send(&mut client, post("/body", full("abc"))).await;
    let seen = text(response).await;
    assert!(seen == "full 3; 3" || seen == "stream Some(3); 3", "{seen}");
    let response = send(&mut client, get("/body")).await;
    assert_eq!(text(response).await, "empty; 0");

    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let frames = [
        Ok::<_, Infallible>(hyper::body::Frame::data(Bytes::from_static(b"abc"))),
        Ok(hyper::body::Frame::trailers(trailers.clone())),
    ];
    let body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)));
    let response = send(&mut client, post("/trailers", body)).await;
    assert_eq!(text(response).await, "abc|7");

    let mut asking = client.clone();
    let asked = tokio::spawn(async move { send(&mut asking, get("/gate")).await });
    let sender = server.stream().await;
    sender.send_data("abc".into()).await.unwrap();
    sender.send(Frame::Trailers(trailers)).unwrap();
    sender.finish();
    let collected = within("a body", asked.await.unwrap().into_body().collect())
        .await
        .unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(collected.to_bytes(), "abc");
}

#[tokio::test]
async fn a_large_body_is_echoed() {
    let server = Server::start().await;
    let mut client = h2c(&server).await;
    let body = Bytes::from(vec![b'x'; 3_000_000]);
    let request = Request::post("http://a/echo")
        .body(Full::new(body.clone()).boxed())
        .unwrap();
    let response = send(&mut client, request).await;
    let echoed = within("a body", response.into_body().collect())
        .await
        .unwrap()
        .to_bytes();
    assert!(echoed == body);
}

#[tokio::test]
async fn a_reset_cancels() {
    let mut server = Server::start().await;
    let client = h2c(&server).await;
    let mut asking = client.clone();
    let asked = tokio::spawn(async move { asking.send_request(get("/hang")).await });
    let (ctx, _) = server.held().await;
    asked.abort();
    within("cancellation", ctx.cancel.cancelled()).await;
    // And while the response is on its way.
    let mut asking = client.clone();
    let asked = tokio::spawn(async move { send(&mut asking, get("/gate")).await });
    let sender = server.stream().await;
    drop(asked.await.unwrap());
    within("cancellation", sender.closed()).await;
    // The connection is as good as before.
    let mut client = client;
    let response = send(&mut client, get("/")).await;
    assert_eq!(text(response).await, "hello");
}

#[tokio::test]
async fn a_broken_response_is_a_reset() {
    let mut server = Server::start().await;
    let client = h2c(&server).await;
    let mut asking = client.clone();
    let asked = tokio::spawn(async move { send(&mut asking, get("/gate")).await });
    let sender = server.stream().await;
    sender.send_data("half".into()).await.unwrap();
    sender.fail(BodyError::Failed("broke".into()));
    let response = asked.await.unwrap();
    assert!(within("a body", response.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn head_and_statuses() {
    let server = Server::start().await;
    let mut client = h2c(&server).await;
    let request = Request::head("http://a/respond?body=12345").body(empty()).unwrap();
    let response = send(&mut client, request).await;
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(text(response).await, "");
    let request = Request::get("http://a/respond?header=connection:close&header=upgrade:x&status=201")
        .body(empty())
        .unwrap();
    let response = send(&mut client, request).await;
    assert_eq!(response.status(), 201);
    assert!(!response.headers().contains_key("connection"));
    let request = Request::get("http://a%41/").body(empty());
    assert!(request.is_err() || send(&mut client, request.unwrap()).await.status() == 400);
    let request = Request::get("http://a/").header("host", "b").body(empty()).unwrap();
    assert_eq!(send(&mut client, request).await.status(), 400);
    let request = Request::get(format!("http://a/{}", "x".repeat(16 * 1024)))
        .body(empty())
        .unwrap();
    assert_eq!(send(&mut client, request).await.status(), 414);
}

#[tokio::test]
async fn a_stop_lets_streams_finish() {
    let mut server = Server::start().await;
    let client = h2c(&server).await;
    let mut asking = client.clone();
    let asked = tokio::spawn(async move { send(&mut asking, get("/gate")).await });
    let sender = server.stream().await;
    let response = asked.await.unwrap();
    server.stop.cancel();
    // GOAWAY: nothing new.
    let mut client = client;
    within("goodbye", async {
        while client.ready().await.is_ok() && client.send_request(get("/")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    sender.send_data("to the end".into()).await.unwrap();
    sender.finish();
    assert_eq!(text(response).await, "to the end");
    drop(client);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn websockets_over_a_stream() {
    let server = Server::start().await;
    let mut client = h2c(&server).await;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://site.test/ws-echo?chat")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(empty())
        .unwrap();
    request
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    // The client learns from the server's settings that it may.
    let response = send(&mut client, get("/")).await;
    text(response).await;
    let response = send(&mut client, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    let upgraded = within("the upgrade", hyper::upgrade::on(response)).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    for message in [Message::text("hi"), Message::binary(vec![1; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(within("a message", socket.next()).await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    // The connection goes on.
    let response = send(&mut client, get("/")).await;
    assert_eq!(text(response).await, "hello");
}

/// A front with a certificate of its own, and a client that trusts it.
async fn tls(alpn: &[&[u8]], versions: &[&'static rustls::SupportedProtocolVersion]) -> (Server, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["site.test".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificates, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificates, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let options = EdgeOptions {
        tls: Some(TlsOptions::Pem { certificates, key }),
        ..options()
    };
    let server = Server::with(options, PATIENCE).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (server, TlsConnector::from(Arc::new(config)))
}

async fn handshake(server: &Server, connector: &TlsConnector) -> tokio_rustls::client::TlsStream<TcpStream> {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let name = ServerName::try_from("site.test").unwrap();
    within("the handshake", connector.connect(name, stream)).await.unwrap()
}

#[tokio::test]
async fn alpn_chooses_the_protocol() {
    let (server, connector) = tls(&[b"h2", b"http/1.1"], &[&rustls::version::TLS13]).await;
    let stream = handshake(&server, &connector).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    // Before any request: the worker behind the name can be started meanwhile.
    assert_eq!(*server.names.lock().unwrap(), ["site.test"]);
    let mut client = connect(stream).await;
    let request = Request::get("https://site.test/request").body(empty()).unwrap();
    let seen = text(send(&mut client, request).await).await;
    assert!(
        seen.starts_with("GET https://site.test/request HTTP/2 tls=TLSv1.3 "),
        "{seen}"
    );

    for (alpn, version, shown) in [
        (&[b"http/1.1".as_slice()][..], &rustls::version::TLS13, "TLSv1.3"),
        (&[][..], &rustls::version::TLS12, "TLSv1.2"),
    ] {
        let (server, connector) = tls(alpn, &[version]).await;
        let mut raw = Raw::new(handshake(&server, &connector).await);
        raw.send("GET /request HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        let answer = raw.answer().await;
        let expected = format!("GET https://site.test/request HTTP/1.1 tls={shown} ");
        assert!(answer.text().starts_with(&expected), "{}", answer.text());
    }
}

/// What is encrypted, and what is framed by the library, was copied before.
#[tokio::test]
async fn foreign_bytes_are_copied_for_whoever_reads_them() {
    let memory: Arc<[u8]> = (0..200_000u32).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
    let copied = Arc::<AtomicUsize>::default();
    let send_all = |sender: BodySender| {
        sender.send_foreign(foreign(&memory, 0, 50_000, &copied)).unwrap();
        sender.send_foreign(foreign(&memory, 50_000, 150_000, &copied)).unwrap();
        sender.finish();
    };
    let (mut server, connector) = tls(&[b"http/1.1"], &[&rustls::version::TLS13]).await;
    let mut raw = Raw::new(handshake(&server, &connector).await);
    raw.send("GET /gate HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    send_all(server.stream().await);
    assert_eq!(raw.answer().await.body, memory[..]);
    assert_eq!(copied.load(Ordering::Relaxed), memory.len());

    let (mut server, connector) = tls(&[b"h2"], &[&rustls::version::TLS13]).await;
    let mut client = connect(handshake(&server, &connector).await).await;
    let request = Request::get("https://site.test/gate").body(empty()).unwrap();
    let (response, ()) = tokio::join!(send(&mut client, request), async {
        send_all(server.stream().await);
    });
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), memory[..]);
    assert_eq!(copied.load(Ordering::Relaxed), 2 * memory.len());
}

#[tokio::test]
async fn plain_text_on_a_tls_port_harms_nobody() {
    let (server, connector) = tls(&[], &[&rustls::version::TLS13]).await;
    let mut raw = server.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!raw.rest().await.starts_with(b"HTTP/"));
    let mut raw = Raw::new(handshake(&server, &connector).await);
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
}

#[tokio::test]
async fn certificates_are_made_or_refused() {
    let bind = async |tls| {
        let options = EdgeOptions {
            tls: Some(tls),
            ..options()
        };
        Server::try_with(options).await.err().map(|error| error.to_string())
    };
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    assert_eq!(bind(TlsOptions::SelfSigned { names }).await, None);
    let names = vec!["sn\u{f6}w".to_owned()];
    assert!(
        bind(TlsOptions::SelfSigned { names })
            .await
            .unwrap()
            .contains("no certificate for")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty"), "").unwrap();
    let error = bind(TlsOptions::Pem {
        certificates: path("none"),
        key: path("none"),
    })
    .await
    .unwrap();
    assert!(error.contains("none"), "{error}");
    let error = bind(TlsOptions::Pem {
        certificates: path("empty"),
        key: path("empty"),
    })
    .await
    .unwrap();
    assert!(error.contains("no certificate"), "{error}");
    let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(path("cert"), made("a").cert.pem()).unwrap();
    std::fs::write(path("key"), made("b").signing_key.serialize_pem()).unwrap();
    assert!(
        bind(TlsOptions::Pem {
            certificates: path("cert"),
            key: path("key")
        })
        .await
        .is_some()
    );
}
