//! Outgoing WebSockets against a real server, and against servers that get the handshake wrong.

use crate::net::*;
use atoll_worker::WsMessage::{self, Binary, Close, Text};
use atoll_worker::{WebSocketEnd, socket};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

/// A server that hands each socket to `serve`.
async fn sockets<F>(
    net: &Net,
    serve: impl Fn(WebSocketStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> Server
where
    F: Future<Output = ()> + Send + 'static,
{
    net.raw(move |_, stream| {
        let serve = serve.clone();
        async move { serve(tokio_tungstenite::accept_async(stream).await.unwrap()).await }
    })
    .await
}

async fn open(egress: &atoll_egress::Egress, server: &Server) -> WebSocketEnd {
    let response = get(server.url("/")).websocket().send(egress).await.unwrap();
    assert_eq!(response.head.status, 101);
    response.websocket.unwrap()
}

async fn echo(mut socket: WebSocketStream<TcpStream>) {
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn close(code: impl Into<Option<u16>>, reason: &str) -> WsMessage {
    Close {
        code: code.into(),
        reason: reason.to_owned(),
    }
}

#[test]
fn messages_come_back_as_they_went() {
    run(|net| async move {
        let server = sockets(&net, echo).await;
        let mut end = open(&net.egress(), &server).await;
        assert_eq!(end.protocol, "");
        for size in [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000] {
            let text = Text("ü".repeat(size / 2));
            let data = Binary(Bytes::from(vec![size as u8; size]));
            for message in [text, data] {
                end.tx.send(message.clone()).unwrap();
                assert_eq!(end.rx.recv().await, Some(message));
            }
        }
        end.tx.send(close(1000, "done")).unwrap();
        assert_eq!(end.rx.recv().await, Some(close(1000, "done")));
        assert_eq!(end.rx.recv().await, None);
    });
}

#[test]
fn the_largest_message_passes_and_a_larger_one_closes() {
    run(|net| async move {
        let server = sockets(&net, |mut socket| async move {
            let largest = Bytes::from(vec![1; socket::MESSAGE_BYTES_MAX]);
            socket.send(Message::Binary(largest)).await.unwrap();
            let _ = socket
                .send(Message::Binary(Bytes::from(vec![1; socket::MESSAGE_BYTES_MAX + 1])))
                .await;
            while let Some(Ok(_)) = socket.next().await {}
        })
        .await;
        let mut end = open(&net.egress(), &server).await;
        match end.rx.recv().await {
            Some(Binary(data)) => assert_eq!(data.len(), socket::MESSAGE_BYTES_MAX),
            other => panic!("{other:?}"),
        }
        assert_eq!(end.rx.recv().await, Some(close(1009, "the message is too large")));
        assert_eq!(end.rx.recv().await, None);
    });
}

#[test]
fn a_fast_server_waits_for_a_slow_worker_and_nothing_is_lost() {
    const PIECE: usize = 1024 * 1024;
    const COUNT: usize = 100;
    run(|net| async move {
        let (tell, mut told) = mpsc::unbounded_channel();
        let server = sockets(&net, move |mut socket| {
            let tell = tell.clone();
            async move {
                for number in 0..COUNT {
                    let message = Message::Binary(Bytes::from(vec![number as u8; PIECE]));
                    let mut sending = Box::pin(socket.send(message));
                    if tokio::time::timeout(Duration::from_millis(400), &mut sending)
                        .await
                        .is_err()
                    {
                        // Only the first time is of interest; the test may be over.
                        let _ = tell.send(number);
                        sending.await.unwrap();
                    }
                }
                socket.close(None).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            }
        })
        .await;
        let mut end = open(&net.egress(), &server).await;
        let stalled_at = told.recv().await.expect("the server never had to wait");
        assert!(stalled_at < COUNT);
        for number in 0..COUNT {
            match end.rx.recv().await {
                Some(Binary(data)) => assert!(data.len() == PIECE && data[0] == number as u8),
                other => panic!("{number}: {other:?}"),
            }
        }
        assert_eq!(end.rx.recv().await, Some(close(None, "")));
    });
}

#[test]
fn closes_from_the_server() {
    run(|net| async move {
        let check = async |frame: Option<(u16, &'static str)>, expected: WsMessage| {
            let server = sockets(&net, move |mut socket| async move {
                let frame = frame.map(|(code, reason)| CloseFrame {
                    code: CloseCode::from(code),
                    reason: reason.into(),
                });
                socket.send(Message::text("last words")).await.unwrap();
                socket.close(frame).await.unwrap();
                // The answer to the close.
                while let Some(Ok(_)) = socket.next().await {}
            })
            .await;
            let mut end = open(&net.egress(), &server).await;
            assert_eq!(end.rx.recv().await, Some(Text("last words".to_owned())));
            assert_eq!(end.rx.recv().await, Some(expected));
            assert_eq!(end.rx.recv().await, None);
        };
        check(Some((1000, "bye")), close(1000, "bye")).await;
        check(Some((1001, "")), close(1001, "")).await;
        check(Some((1011, "oops")), close(1011, "oops")).await;
        check(Some((3000, "registered")), close(3000, "registered")).await;
        check(Some((4999, "private")), close(4999, "private")).await;
        check(None, close(None, "")).await;
    });
}

#[test]
fn closes_from_the_worker() {
    run(|net| async move {
        let check = async |message: Option<WsMessage>, expected: Option<(u16, &str)>| {
            let (tell, mut told) = mpsc::unbounded_channel();
            let server = sockets(&net, move |mut socket| {
                let tell = tell.clone();
                async move {
                    while let Some(Ok(message)) = socket.next().await {
                        if let Message::Close(frame) = message {
                            let _ = tell.send(frame.map(|frame| (u16::from(frame.code), frame.reason.to_string())));
                        }
                    }
                }
            })
            .await;
            let mut end = open(&net.egress(), &server).await;
            match message.clone() {
                Some(message) => {
                    end.tx.send(message).unwrap();
                    assert!(matches!(end.rx.recv().await, Some(Close { .. })));
                    assert_eq!(end.rx.recv().await, None);
                }
                None => drop(end),
            }
            let got = told.recv().await.unwrap();
            assert_eq!(
                got,
                expected.map(|(code, reason)| (code, reason.to_owned())),
                "{message:?}"
            );
        };
        check(Some(close(1000, "done")), Some((1000, "done"))).await;
        check(Some(close(4321, "ü")), Some((4321, "ü"))).await;
        check(Some(close(None, "")), None).await;
        for reserved in [0, 999, 1004, 1005, 1006, 1015, 5000] {
            check(Some(close(reserved, "x")), None).await;
        }
        let long = "ü".repeat(100);
        let cut = "ü".repeat(61);
        check(Some(close(1000, &long)), Some((1000, &cut))).await;
        check(None, Some((1001, ""))).await;
    });
}

#[test]
fn a_broken_connection_just_ends() {
    run(|net| async move {
        let server = sockets(&net, |mut socket| async move {
            socket.send(Message::text("hello")).await.unwrap();
        })
        .await;
        let mut end = open(&net.egress(), &server).await;
        assert_eq!(end.rx.recv().await, Some(Text("hello".to_owned())));
        assert_eq!(end.rx.recv().await, None);
        // Frames that break the protocol, too.
        for garbage in [&[0xff; 32][..], b"\x83\x01x", b"\x81\x85abcdabcde", b"\x81\x02\xff\xfe"] {
            let server = sockets(&net, move |socket| async move {
                let mut stream = socket.into_inner();
                stream.write_all(garbage).await.unwrap();
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            })
            .await;
            let mut end = open(&net.egress(), &server).await;
            assert_eq!(end.rx.recv().await, None, "{garbage:?}");
        }
    });
}

#[test]
fn a_server_that_never_answers_a_close_is_left_after_the_deadline() {
    run(|net| async move {
        let (tell, mut told) = mpsc::unbounded_channel();
        let server = sockets(&net, move |socket| {
            let tell = tell.clone();
            async move {
                let mut stream = socket.into_inner();
                // Ends when the client closes the connection.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                tell.send(()).unwrap();
            }
        })
        .await;
        let egress = net.egress_with(|options| options.timeouts.websocket_close = Duration::from_millis(100));
        let mut end = open(&egress, &server).await;
        end.tx.send(close(1000, "")).unwrap();
        assert_eq!(end.rx.recv().await, None);
        told.recv().await.unwrap();
    });
}

#[test]
fn pings_are_answered_while_the_worker_does_nothing() {
    run(|net| async move {
        let (tell, mut told) = mpsc::unbounded_channel();
        let server = sockets(&net, move |mut socket| {
            let tell = tell.clone();
            async move {
                socket
                    .send(Message::Ping(Bytes::from_static(b"are you there")))
                    .await
                    .unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    tell.send(message).unwrap();
                }
            }
        })
        .await;
        let _end = open(&net.egress(), &server).await;
        assert_eq!(
            told.recv().await,
            Some(Message::Pong(Bytes::from_static(b"are you there")))
        );
    });
}

#[test]
fn subprotocols_are_negotiated() {
    run(|net| async move {
        let server = net
            .raw(|_, stream| async move {
                #[allow(clippy::result_large_err)]
                let choose = |request: &tungstenite::handshake::server::Request,
                              mut response: tungstenite::handshake::server::Response| {
                    let asked = request.headers().get("sec-websocket-protocol").cloned();
                    if let Some(chosen) = asked.and_then(|asked| asked.to_str().ok()?.split(", ").last()?.parse().ok())
                    {
                        response.headers_mut().insert("sec-websocket-protocol", chosen);
                    }
                    assert!(!request.headers().contains_key("sec-websocket-extensions"));
                    Ok(response)
                };
                echo(tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap()).await;
            })
            .await;
        let ask = get(server.url("/")).header("sec-websocket-protocol", "v1.chat, v2.chat");
        let ask = ask.header("sec-websocket-extensions", "permessage-deflate").websocket();
        let response = ask.send(&net.egress()).await.unwrap();
        assert_eq!(response.head.headers["sec-websocket-protocol"], "v2.chat");
        assert_eq!(response.websocket.unwrap().protocol, "v2.chat");
    });
}

#[test]
fn handshakes_that_fail() {
    run(|net| async move {
        let egress = net.egress();
        // No upgrade is an answer like any other.
        let server = net
            .scripted("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 4\r\n\r\nnope")
            .await;
        let response = get(server.url("/")).websocket().send(&egress).await.unwrap();
        assert!(response.head.status == 426 && response.websocket.is_none());
        assert_eq!(text(response).await, "nope");
        let check = async |headers: &str, expected: &str| {
            let server = net
                .scripted(format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n\r\n"))
                .await;
            let error = get(server.url("/")).websocket().send(&egress).await.unwrap_err();
            assert!(
                error.message.starts_with("127.0.0.1 sent an invalid response: "),
                "{error}"
            );
            assert!(error.message.contains(expected), "{error}");
        };
        check("x: y", "not with an upgrade").await;
        check("connection: upgrade\r\nupgrade: h2c", "not with an upgrade").await;
        check("upgrade: websocket", "not with an upgrade").await;
        check(
            "connection: upgrade\r\nupgrade: websocket",
            "Sec-WebSocket-Accept does not match",
        )
        .await;
        check(
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "Sec-WebSocket-Accept does not match",
        )
        .await;
        let wrong = async |extra: &'static str, expected: &str| {
            let server = net
                .raw(move |_, mut stream| async move {
                    let head = read_head(&mut stream).await;
                    let key = head
                        .lines()
                        .find_map(|line| line.strip_prefix("sec-websocket-key: "))
                        .unwrap();
                    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
                    let answer = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-accept: {accept}\r\n{extra}\r\n\r\n"
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                })
                .await;
            let error = get(server.url("/")).websocket().send(&egress).await.unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        };
        wrong(
            "sec-websocket-protocol: chat",
            "the sub-protocol \"chat\", which was not offered",
        )
        .await;
        wrong(
            "sec-websocket-extensions: permessage-deflate",
            "extension that was not offered",
        )
        .await;
    });
}

#[test]
fn the_guard_and_redirects_hold_for_sockets_too() {
    run(|net| async move {
        let server = sockets(&net, echo).await;
        let egress = net.egress_with(|options| options.allow = atoll_egress::AddressPolicy::public());
        let error = get(server.url("/")).websocket().send(&egress).await.unwrap_err();
        assert!(error.message.contains("is not allowed"), "{error}");
        let to = server.url("/");
        let redirecting = net
            .scripted(format!(
                "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
            ))
            .await;
        let mut end = open(&net.egress(), &redirecting).await;
        end.tx.send(Text("hi".to_owned())).unwrap();
        assert_eq!(end.rx.recv().await, Some(Text("hi".to_owned())));
    });
}
