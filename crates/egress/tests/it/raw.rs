//! Raw connections: bytes both ways, ends, TLS that begins later, and what is not reached.

use crate::net::*;
use crate::tls::Authority;
use atoll_egress::Egress;
use atoll_worker::{
    BodyError, BodyReceiver, ConnectError, ConnectErrorKind, ConnectRequest, Connection, Frame, Outbound,
    SecureTransport, StartTls,
};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

fn request(host: &str, port: u16, transport: SecureTransport) -> ConnectRequest {
    ConnectRequest {
        host: host.to_owned(),
        port,
        transport,
        server_name: None,
    }
}

async fn connect(egress: &Egress, request: ConnectRequest) -> Result<Connection, ConnectError> {
    egress.connect(&context_of("t"), request).await
}

async fn plain(egress: &Egress, server: &Server) -> Connection {
    let request = request("127.0.0.1", server.at.port(), SecureTransport::Off);
    let connection = connect(egress, request).await.unwrap();
    assert_eq!(connection.remote, server.at);
    connection
}

async fn rest(mut rx: BodyReceiver) -> Result<Vec<u8>, BodyError> {
    let mut all = Vec::new();
    while let Some(frame) = rx.frame().await {
        if let Frame::Data(data) = frame? {
            all.extend_from_slice(&data);
        }
    }
    Ok(all)
}

#[test]
fn each_side_can_end_first() {
    run(|net| async move {
        let server = net
            .raw(|number, mut stream| async move {
                if number == 0 {
                    // Ends its side, then reads on.
                    stream.write_all(b"first").await.unwrap();
                    stream.shutdown().await.unwrap();
                    let mut text = String::new();
                    stream.read_to_string(&mut text).await.unwrap();
                    assert_eq!(text, "still heard");
                } else {
                    let mut text = String::new();
                    stream.read_to_string(&mut text).await.unwrap();
                    stream.write_all(text.to_uppercase().as_bytes()).await.unwrap();
                }
            })
            .await;
        let egress = net.egress();
        let Connection { tx, rx, .. } = plain(&egress, &server).await;
        assert_eq!(rest(rx).await.unwrap(), b"first");
        tx.send_data(Bytes::from_static(b"still heard")).await.unwrap();
        tx.finish();
        tx.closed().await;
        let Connection { tx, rx, .. } = plain(&egress, &server).await;
        tx.send_data(Bytes::from_static(b"abc")).await.unwrap();
        tx.finish();
        assert_eq!(rest(rx).await.unwrap(), b"ABC");
    });
}

#[test]
fn a_side_that_does_not_read_holds_the_other_up() {
    run(|net| async move {
        const ALL_BYTES: usize = 64 * 1024 * 1024;
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let server = net
            .raw(move |_, mut stream| {
                let count = count.clone();
                async move {
                    let piece = vec![7; 64 * 1024];
                    while count.load(Ordering::SeqCst) < ALL_BYTES {
                        if stream.write_all(&piece).await.is_err() {
                            return;
                        }
                        count.fetch_add(piece.len(), Ordering::SeqCst);
                    }
                }
            })
            .await;
        let egress = net.egress();
        let Connection { tx: _tx, rx, .. } = plain(&egress, &server).await;
        // It stops when the kernel's buffers and the credit are full, far below everything.
        let mut before = usize::MAX;
        while before != written.load(Ordering::SeqCst) {
            before = written.load(Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        assert!(before < ALL_BYTES / 2, "{before}");
        assert_eq!(rest(rx).await.unwrap().len(), ALL_BYTES);
    });
}

#[test]
fn dropping_both_ends_closes_and_a_reset_is_told() {
    run(|net| async move {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let server = net
            .raw(move |number, mut stream| {
                let tell = tell.clone();
                async move {
                    if number == 1 {
                        stream.read_u8().await.unwrap();
                        socket2::SockRef::from(&stream)
                            .set_linger(Some(std::time::Duration::ZERO))
                            .unwrap();
                        return;
                    }
                    let mut buffer = Vec::new();
                    let _ = stream.read_to_end(&mut buffer).await;
                    tell.send(buffer).unwrap();
                }
            })
            .await;
        let egress = net.egress();
        let connection = plain(&egress, &server).await;
        drop(connection);
        assert_eq!(told.recv().await, Some(Vec::new()));
        let Connection { tx, rx, .. } = plain(&egress, &server).await;
        tx.send_data(Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(
            rest(rx).await,
            Err(BodyError::Failed("Network connection lost.".to_owned()))
        );
        tx.closed().await;
    });
}

#[test]
fn tls_from_the_start_and_later() {
    run(|net| async move {
        let authority = Authority::new();
        let acceptor = authority.server(&["a.example"], &["h2", "http/1.1"], |_| {});
        let server = net
            .raw(move |number, mut stream| {
                let acceptor = acceptor.clone();
                async move {
                    if number > 0 {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).await.unwrap();
                        stream.write_all(b"S").await.unwrap();
                    }
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut text = String::new();
                    stream.read_to_string(&mut text).await.unwrap();
                    stream.write_all(text.to_uppercase().as_bytes()).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            })
            .await;
        let egress = client(&net, &authority);
        let port = server.at.port();
        let Connection { tx, rx, alpn, .. } = connect(&egress, request("A.example", port, SecureTransport::On))
            .await
            .unwrap();
        assert_eq!(alpn, "");
        tx.send_data(Bytes::from_static(b"secret")).await.unwrap();
        tx.finish();
        assert_eq!(rest(rx).await.unwrap(), b"SECRET");
        for (name, expected) in [(None, true), (Some("a.example"), true), (Some("b.example"), false)] {
            let begun = connect(&egress, request("a.example", port, SecureTransport::StartTls)).await;
            let Connection {
                tx, mut rx, start_tls, ..
            } = begun.unwrap();
            tx.send_data(Bytes::from_static(b"?")).await.unwrap();
            assert_eq!(rx.frame().await, Some(Ok(Frame::Data(Bytes::from_static(b"S")))));
            let (reply, answer) = oneshot::channel();
            let server_name = name.map(str::to_owned);
            start_tls.unwrap().send(StartTls { server_name, reply }).unwrap();
            tx.finish();
            match answer.await.unwrap() {
                Ok(Connection { tx, rx, .. }) => {
                    assert!(expected);
                    tx.send_data(Bytes::from_static(b"later")).await.unwrap();
                    tx.finish();
                    assert_eq!(rest(rx).await.unwrap(), b"LATER");
                }
                Err(error) => {
                    assert!(!expected, "{error}");
                    assert_eq!(error.kind, ConnectErrorKind::Tls);
                }
            }
        }
    });
}

#[test]
fn what_is_not_reached() {
    run(|net| async move {
        let names = Names::new(&[("inside.example", &[&["10.0.0.1"]]), ("none.example", &[&[]])]);
        let egress = net.egress_with(|options| options.resolver = names);
        let nobody = Nobody::new();
        for (host, port, kind, text) in [
            (
                "127.0.0.1",
                25,
                ConnectErrorKind::Denied,
                "port 25 is blocked for raw connections",
            ),
            ("10.0.0.1", 5432, ConnectErrorKind::Denied, "private network"),
            ("inside.example", 5432, ConnectErrorKind::Denied, "private network"),
            ("::ffff:169.254.169.254", 80, ConnectErrorKind::Denied, "link-local"),
            ("none.example", 80, ConnectErrorKind::NotFound, "none.example"),
            ("127.0.0.1", nobody.at.port(), ConnectErrorKind::Refused, "refused"),
        ] {
            let error = connect(&egress, request(host, port, SecureTransport::Off))
                .await
                .unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(text), "{error}");
        }
    });
}

fn client(net: &Net, authority: &Authority) -> Arc<Egress> {
    let names = Names::new(&[("a.example", &[&["127.0.0.1"]])]);
    net.egress_with(|options| {
        options.roots = authority.trusted();
        options.resolver = names;
    })
}
