//! HTTPS: HTTP/2 by ALPN, HTTP/1.1 without, and every way a certificate can be wrong.

use crate::net::*;
use atoll_egress::{Egress, TlsRoots};
use atoll_worker::{Body, Frame, body};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;

/// An authority of this test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        Self::named("this test's authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn trusted(&self) -> TlsRoots {
        let mut roots = TlsRoots::none();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    pub fn server(&self, names: &[&str], alpn: &[&str], change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
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
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn https<F>(
    net: &Net,
    acceptor: TlsAcceptor,
    answer: impl Fn(http::Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> Server
where
    F: Future<Output = Served> + Send + 'static,
{
    net.raw(move |_, stream| {
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, std::convert::Infallible>(answer.await) }
            });
            let io = TokioIo::new(stream);
            if h2 {
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = server.timer(TokioTimer::new()).serve_connection(io, service).await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service)
                    .await;
            }
        }
    })
    .await
}

fn client(net: &Net, authority: &Authority) -> Arc<Egress> {
    let names = Names::new(&[("a.example", &[&["127.0.0.1"]]), ("b.example", &[&["127.0.0.1"]])]);
    net.egress_with(|options| {
        options.roots = authority.trusted();
        options.resolver = names;
    })
}

async fn echo(request: http::Request<Incoming>) -> Served {
    let line = format!("{:?}\n", request.version());
    full(200, line + &describe(request).await)
}

#[test]
fn alpn_chooses_the_version() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        for (alpn, expected) in [
            (&["h2", "http/1.1"][..], "HTTP/2.0"),
            (&["h2"], "HTTP/2.0"),
            (&["http/1.1"], "HTTP/1.1"),
            (&[], "HTTP/1.1"),
        ] {
            let server = https(&net, authority.server(&["a.example"], alpn, |_| {}), echo).await;
            let url = format!("https://a.example:{}/p?q=1", server.at.port());
            let response = ask("POST", &url)
                .header("host", "x")
                .body("hello")
                .send(&egress)
                .await
                .unwrap();
            assert_eq!((response.head.status, response.head.url.as_str()), (200, url.as_str()));
            let seen = text(response).await;
            assert!(seen.starts_with(expected), "{alpn:?}: {seen}");
            assert!(
                seen.contains("content-length: 5\n") && seen.ends_with("\n\nhello"),
                "{seen}"
            );
            let target = if expected == "HTTP/2.0" { url.as_str() } else { "/p?q=1" };
            assert!(seen.contains(&format!("POST {target}\n")), "{seen}");
            for _ in 0..5 {
                assert_eq!(get(&url).outcome(&egress).await.unwrap().0, 200);
            }
            assert_eq!(server.accepted(), 1, "{alpn:?}");
        }
    });
}

#[test]
fn a_burst_shares_one_http2_connection() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        let server = https(&net, authority.server(&["a.example"], &["h2"], |_| {}), echo).await;
        let url = format!("https://a.example:{}/", server.at.port());
        let outcomes = futures_util::future::join_all((0..50).map(|_| get(&url).outcome(&egress))).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.as_ref().is_ok_and(|(status, _)| *status == 200))
        );
        assert_eq!(server.accepted(), 1);
        // A burst to an HTTP/1.1 server does not wait in line behind the first.
        let server = https(&net, authority.server(&["a.example"], &["http/1.1"], |_| {}), echo).await;
        let url = format!("https://a.example:{}/", server.at.port());
        let outcomes = futures_util::future::join_all((0..10).map(|_| get(&url).outcome(&egress))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        // A burst whose first connection fails is not stuck, either.
        let nobody = Nobody::new();
        let gone = format!("https://a.example:{}/", nobody.at.port());
        let outcomes = futures_util::future::join_all((0..10).map(|_| get(&gone).outcome(&egress))).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.as_ref().is_err_and(|error| error.ends_with("refused")))
        );
    });
}

#[test]
fn http2_streams_both_ways_and_a_dropped_body_ends_only_its_stream() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        let ended = Arc::new(AtomicUsize::new(0));
        struct Ended(Arc<AtomicUsize>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = ended.clone();
        let server = https(
            &net,
            authority.server(&["a.example"], &["h2"], |_| {}),
            move |request| {
                let guard = Ended(count.clone());
                async move {
                    if request.uri().path() == "/endless" {
                        let pieces = futures_util::stream::unfold(guard, |guard| async move {
                            Some((Ok(hyper::body::Frame::data(Bytes::from(vec![1; 16 * 1024]))), guard))
                        });
                        return http::Response::new(BodyExt::boxed(StreamBody::new(pieces)));
                    }
                    let body = request.into_body().map_err(std::io::Error::other);
                    http::Response::new(body.boxed())
                }
            },
        )
        .await;
        let base = format!("https://a.example:{}", server.at.port());
        // Echo, line by line.
        let (tx, rx) = body::channel(1024, None);
        let response = ask("POST", format!("{base}/echo"))
            .body(Body::Stream(rx))
            .send(&egress)
            .await
            .unwrap();
        let Body::Stream(mut lines) = response.body else {
            panic!("no stream")
        };
        for turn in 0..20 {
            let line = Bytes::from(format!("line {turn}\n"));
            tx.send_data(line.clone()).await.unwrap();
            assert_eq!(lines.frame().await, Some(Ok(Frame::Data(line))));
        }
        let before = ended.load(Ordering::SeqCst);
        let response = get(format!("{base}/endless")).send(&egress).await.unwrap();
        let Body::Stream(mut endless) = response.body else {
            panic!("no stream")
        };
        assert!(matches!(endless.frame().await, Some(Ok(Frame::Data(_)))));
        assert_eq!(ended.load(Ordering::SeqCst), before);
        drop(endless);
        while ended.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        // The echo on the same connection has noticed nothing.
        tx.send_data(Bytes::from_static(b"still here")).await.unwrap();
        assert_eq!(
            lines.frame().await,
            Some(Ok(Frame::Data(Bytes::from_static(b"still here"))))
        );
        tx.finish();
        assert_eq!(lines.frame().await, None);
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn a_stalled_reader_does_not_stall_its_neighbours() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        let server = https(
            &net,
            authority.server(&["a.example"], &["h2"], |_| {}),
            |request| async move {
                let size = if request.uri().path() == "/big" {
                    8 * 1024 * 1024
                } else {
                    100_000
                };
                full(200, vec![1; size])
            },
        )
        .await;
        let base = format!("https://a.example:{}", server.at.port());
        let mut stalled = Vec::new();
        for _ in 0..8 {
            stalled.push(get(format!("{base}/big")).send(&egress).await.unwrap());
        }
        for _ in 0..10 {
            assert_eq!(
                get(format!("{base}/small")).outcome(&egress).await.unwrap().1.len(),
                100_000
            );
        }
        for response in stalled {
            assert_eq!(response.body.collect(ALL).await.unwrap().len(), 8 * 1024 * 1024);
        }
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn an_http2_connection_that_goes_away_is_replaced() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        let acceptor = authority.server(&["a.example"], &["h2"], |_| {});
        // Each connection answers two requests and says goodbye with the second.
        let server = net
            .raw(move |_, stream| {
                let acceptor = acceptor.clone();
                async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    let (count, served) = (AtomicUsize::new(0), Arc::new(Notify::new()));
                    let enough = served.clone();
                    let service = hyper::service::service_fn(move |request| {
                        if count.fetch_add(1, Ordering::SeqCst) == 1 {
                            enough.notify_one();
                        }
                        async move { Ok::<_, std::convert::Infallible>(echo(request).await) }
                    });
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let connection = server.serve_connection(TokioIo::new(stream), service);
                    tokio::pin!(connection);
                    tokio::select! {
                        _ = &mut connection => return,
                        () = served.notified() => connection.as_mut().graceful_shutdown(),
                    }
                    let _ = connection.await;
                }
            })
            .await;
        let url = format!("https://a.example:{}/", server.at.port());
        for _ in 0..10 {
            assert_eq!(get(&url).outcome(&egress).await.unwrap().0, 200);
        }
        assert!((3..=10).contains(&server.accepted()), "{}", server.accepted());
    });
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    run(|net| async move {
        let (authority, stranger) = (Authority::new(), Authority::named("a stranger"));
        let egress = client(&net, &authority);
        let check = async |acceptor: TlsAcceptor, host: &str, expected: &str| {
            let server = https(&net, acceptor, echo).await;
            let error = get(format!("https://{host}:{}/", server.at.port()))
                .send(&egress)
                .await
                .unwrap_err();
            let prefix = format!("TLS with {host} failed: ");
            assert!(
                error.message.starts_with(&prefix) && error.message.contains(expected),
                "{error}"
            );
        };
        let plain = |_: &mut CertificateParams| {};
        check(
            stranger.server(&["a.example"], &[], plain),
            "a.example",
            "UnknownIssuer",
        )
        .await;
        check(
            authority.server(&["a.example"], &[], plain),
            "b.example",
            "not valid for name",
        )
        .await;
        check(
            authority.server(&["a.example"], &[], plain),
            "127.0.0.1",
            "not valid for name",
        )
        .await;
        let old = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
        check(authority.server(&["a.example"], &[], old), "a.example", "expired").await;
        let early = |params: &mut CertificateParams| {
            params.not_before = date_time_ymd(2999, 1, 1);
            params.not_after = date_time_ymd(3000, 1, 1);
        };
        check(
            authority.server(&["a.example"], &[], early),
            "a.example",
            "not valid yet",
        )
        .await;

        // An address in the certificate, and a name with its trailing dot.
        let server = https(&net, authority.server(&["127.0.0.1"], &[], plain), echo).await;
        assert!(get(format!("https://{}/", server.at)).outcome(&egress).await.is_ok());
        // Not TLS at all, or gone in the middle.
        let server = net
            .raw(|_, mut stream| async move {
                use tokio::io::AsyncWriteExt;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            })
            .await;
        let error = get(format!("https://a.example:{}/", server.at.port()))
            .send(&egress)
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "TLS with a.example failed: the peer does not speak TLS on this port"
        );
        let server = net
            .raw(|_, mut stream| async move {
                use tokio::io::AsyncReadExt;
                // The hello is read, so that the end is an end and not a reset.
                let _ = stream.read(&mut [0; 4096]).await;
            })
            .await;
        let error = get(format!("https://a.example:{}/", server.at.port()))
            .send(&egress)
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "TLS with a.example failed: the peer closed the connection during the handshake"
        );
    });
}

#[test]
fn a_peer_that_stalls_in_the_handshake_runs_into_its_deadline() {
    run(|net| async move {
        let egress = net.egress_with(|options| options.timeouts.handshake = std::time::Duration::from_millis(100));
        let server = net
            .raw(|_, stream| async move {
                std::future::pending::<()>().await;
                drop(stream)
            })
            .await;
        let error = get(format!("https://{}/", server.at)).send(&egress).await.unwrap_err();
        assert_eq!(
            error.message,
            format!("connect to {} timed out after 100ms in its handshake", server.at)
        );
    });
}

#[test]
fn roots_come_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let check = |content: &str, expected: Result<usize, &str>| {
        let path = dir.path().join("roots.pem");
        std::fs::write(&path, content).unwrap();
        match (TlsRoots::none().add_pem_file(&path), expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => {
                let text = got.to_string();
                assert!(text.contains("roots.pem") && text.contains(expected), "{text}");
            }
            (got, _) => panic!("{got:?}"),
        }
    };
    let pem = authority.0.pem();
    check(&pem, Ok(1));
    check(&format!("# mine\n{pem}\n{pem}"), Ok(2));
    check("", Err("holds no certificate"));
    check("not pem", Err("holds no certificate"));
    check(
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
        Err("roots.pem"),
    );
    check(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        Err("roots.pem"),
    );
    let missing = TlsRoots::none()
        .add_pem_file(&dir.path().join("missing.pem"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("missing.pem"), "{missing}");

    run(|net| async move {
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, authority.0.pem()).unwrap();
        let server = https(&net, authority.server(&["127.0.0.1"], &["h2"], |_| {}), echo).await;
        let mut roots = TlsRoots::default();
        roots.add_pem_file(&path).unwrap();
        let egress = net.egress_with(|options| options.roots = roots);
        assert!(get(format!("https://{}/", server.at)).outcome(&egress).await.is_ok());
        let error = get(format!("https://{}/", server.at))
            .send(&net.egress())
            .await
            .unwrap_err();
        assert!(
            error.message.contains("UnknownIssuer"),
            "the authority is none of the built-in ones: {error}"
        );
    });
}

#[test]
fn redirects_between_schemes() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        let secure = https(&net, authority.server(&["a.example"], &["h2"], |_| {}), echo).await;
        let end = format!("https://a.example:{}/end", secure.at.port());
        let location = end.clone();
        let plain = net
            .http(move |_| {
                let location = location.clone();
                async move {
                    let mut response = full(307, "");
                    response.headers_mut().insert("location", location.parse().unwrap());
                    response
                }
            })
            .await;
        let ask = ask("POST", plain.url("/"))
            .header("authorization", "Basic x")
            .body("payload");
        let response = ask.send(&egress).await.unwrap();
        assert_eq!(
            (response.head.url.as_str(), response.head.redirects > 0),
            (end.as_str(), true)
        );
        let seen = text(response).await;
        assert!(seen.ends_with("payload") && !seen.contains("authorization"), "{seen}");
    });
}

#[test]
fn a_peer_that_takes_few_streams_gets_more_connections() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        let acceptor = authority.server(&["a.example"], &["h2"], |_| {});
        let release = Arc::new(Semaphore::new(0));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let gate = release.clone();
        let server = net
            .raw(move |_, stream| {
                let (acceptor, gate, tell) = (acceptor.clone(), gate.clone(), tell.clone());
                async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                        let (gate, tell) = (gate.clone(), tell.clone());
                        async move {
                            if request.uri().path() == "/wait" {
                                tell.send(()).unwrap();
                                gate.acquire().await.unwrap().forget();
                            }
                            Ok::<_, std::convert::Infallible>(full(200, "ok"))
                        }
                    });
                    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    server.max_concurrent_streams(2);
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                }
            })
            .await;
        let base = format!("https://a.example:{}", server.at.port());
        let mut waiting = futures_util::stream::FuturesUnordered::new();
        for _ in 0..5 {
            // A new connection's settings are known once something was answered on it.
            assert_eq!(get(&base).outcome(&egress).await, Ok((200, "ok".to_owned())));
            waiting.push(get(format!("{base}/wait")).outcome(&egress));
            tokio::select! {
                _ = waiting.next() => panic!("nothing was released yet"),
                asked = told.recv() => asked.unwrap(),
            }
        }
        assert_eq!(server.accepted(), 3);
        release.add_permits(5);
        while let Some(outcome) = waiting.next().await {
            assert_eq!(outcome, Ok((200, "ok".to_owned())));
        }
    });
}

#[test]
fn dropping_an_http2_fetch_resets_its_stream() {
    run(|net| async move {
        let authority = Authority::new();
        let egress = client(&net, &authority);
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        struct Ended(tokio::sync::mpsc::UnboundedSender<&'static str>);
        impl Drop for Ended {
            fn drop(&mut self) {
                let _ = self.0.send("ended");
            }
        }
        let server = https(
            &net,
            authority.server(&["a.example"], &["h2"], |_| {}),
            move |request| {
                let ended = Ended(tell.clone());
                async move {
                    if request.uri().path() == "/wait" {
                        ended.0.send("asked").unwrap();
                        std::future::pending::<()>().await;
                    }
                    std::mem::forget(ended);
                    full(200, "ok")
                }
            },
        )
        .await;
        let base = format!("https://a.example:{}", server.at.port());
        {
            let mut fetch = Box::pin(get(format!("{base}/wait")).send(&egress));
            tokio::select! {
                _ = &mut fetch => panic!("there was no answer"),
                asked = told.recv() => assert_eq!(asked, Some("asked")),
            }
        }
        assert_eq!(told.recv().await, Some("ended"));
        assert_eq!(get(&base).outcome(&egress).await, Ok((200, "ok".to_owned())));
        assert_eq!(server.accepted(), 1);
    });
}
