//! WebSockets: the handshake, messages both ways, and every way to end.

use crate::harness::{PATIENCE, Raw, Server, options, within};
use atoll_edge::{EdgeLimits, EdgeOptions};
use atoll_worker::WsMessage;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

async fn client(server: &Server, target: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let url = format!("ws://site.test{target}");
    let connecting = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
    within("the handshake", connecting).await.unwrap().0
}

async fn next(client: &mut WebSocketStream<TcpStream>) -> Option<Message> {
    within("a message", client.next()).await.and_then(Result::ok)
}

fn close(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame {
        code: CloseCode::from(code),
        reason: reason.into(),
    }))
}

fn closed(code: u16, reason: &str) -> WsMessage {
    WsMessage::Close {
        code: Some(code),
        reason: reason.to_owned(),
    }
}

/// A raw socket after its handshake.
async fn raw(server: &Server, target: &str) -> Raw<TcpStream> {
    let mut raw = server.connect().await;
    raw.send(handshake(target, "")).await;
    assert_eq!(raw.answer().await.status, 101);
    raw
}

fn handshake(target: &str, extra: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extra}\r\n"
    )
}

/// A client's frame, masked with zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=65535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn the_handshake_is_rfc_6455s() {
    let server = Server::start().await;
    let answer = server.ask(&handshake("/ws-echo", "")).await;
    assert_eq!((answer.status, answer.reason.as_str()), (101, "Switching Protocols"));
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(
        answer.header("upgrade").map(str::to_ascii_lowercase).as_deref(),
        Some("websocket")
    );
    assert_eq!(
        answer.header("connection").map(str::to_ascii_lowercase).as_deref(),
        Some("upgrade")
    );
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    assert_eq!(answer.header("content-length"), None);

    let offers = "Sec-WebSocket-Protocol: a, chat\r\n";
    let answer = server.ask(&handshake("/ws-echo?chat", offers)).await;
    assert_eq!(answer.header("sec-websocket-protocol"), Some("chat"));
    let answer = server.ask(&handshake("/ws-echo?other", offers)).await;
    assert_eq!(answer.status, 500);
    // A worker may answer without one.
    let answer = server.ask(&handshake("/respond?status=403&body=no", "")).await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
    let answer = server.ask(&handshake("/request", "")).await;
    assert!(
        answer.text().contains("ws=true") && answer.text().contains("upgrade: websocket"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn bad_handshakes_are_refused() {
    let server = Server::start().await;
    let check = async |from: &str, to: &str, status: u16| {
        let request = handshake("/ws-echo", "");
        let changed = request.replace(from, to);
        assert_ne!(request, changed);
        let answer = server.ask(&changed).await;
        assert_eq!(answer.status, status, "{to}");
        answer
    };
    check("GET", "POST", 400).await;
    check(KEY, "short", 400).await;
    check(KEY, "dGhlIHNhbXBsZSBub25jZQ=!", 400).await;
    check(&format!("Sec-WebSocket-Key: {KEY}\r\n"), "", 400).await;
    check("Version: 13", "Version: x", 426).await;
    let answer = check("Version: 13", "Version: 8", 426).await;
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    // No upgrade at all: the worker's 101 has nowhere to go.
    check("keep-alive, Upgrade", "keep-alive", 500).await;
}

#[tokio::test]
async fn messages_are_echoed() {
    let server = Server::start().await;
    let mut client = client(&server, "/ws-echo").await;
    for message in [
        Message::text("héllo"),
        Message::text(""),
        Message::binary(vec![0, 255]),
        Message::binary(vec![7; 3_000_000]),
        Message::text("x".repeat(70_000)),
    ] {
        client.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut client).await, Some(message));
    }
    client.send(Message::Ping("beat".into())).await.unwrap();
    assert_eq!(next(&mut client).await, Some(Message::Pong("beat".into())));
}

#[tokio::test]
async fn fragments_are_one_message() {
    let server = Server::start().await;
    let mut raw = raw(&server, "/ws-echo").await;
    raw.send(frame(0x01, b"one ")).await;
    raw.send(frame(0x89, b"p")).await;
    assert_eq!(raw.exactly(3).await, [b"\x8a\x01".as_slice(), b"p"].concat());
    raw.send(frame(0x00, b"two ")).await;
    raw.send(frame(0x80, b"three")).await;
    assert_eq!(
        raw.exactly(2 + 13).await,
        [b"\x81\x0d".as_slice(), b"one two three"].concat()
    );
    // A character cut between fragments is whole again.
    raw.send(frame(0x01, b"\xc3")).await;
    raw.send(frame(0x80, b"\xa9")).await;
    assert_eq!(raw.exactly(4).await, b"\x81\x02\xc3\xa9".as_slice());
}

#[tokio::test]
async fn a_clients_close_reaches_the_worker_and_is_answered() {
    let mut server = Server::start().await;
    for (frame, expected) in [
        (close(1000, "done"), closed(1000, "done")),
        (close(4321, "héllo"), closed(4321, "héllo")),
        (
            Message::Close(None),
            WsMessage::Close {
                code: None,
                reason: String::new(),
            },
        ),
    ] {
        let mut client = client(&server, "/ws").await;
        let mut end = server.socket().await;
        client.send(Message::text("last words")).await.unwrap();
        client.send(frame.clone()).await.unwrap();
        assert_eq!(
            within("text", end.rx.recv()).await,
            Some(WsMessage::Text("last words".into()))
        );
        assert_eq!(within("close", end.rx.recv()).await, Some(expected));
        assert_eq!(within("the end", end.rx.recv()).await, None);
        assert!(matches!(next(&mut client).await, Some(Message::Close(_))));
        assert_eq!(next(&mut client).await, None);
    }
}

#[tokio::test]
async fn a_workers_close_reaches_the_client_and_its_answer_the_worker() {
    let mut server = Server::start().await;
    for (message, expected) in [
        (closed(1000, "bye"), close(1000, "bye")),
        (closed(3456, ""), close(3456, "")),
        // What no frame may carry.
        (closed(1006, "x"), Message::Close(None)),
        (closed(4000, &"é".repeat(100)), close(4000, &"é".repeat(61))),
    ] {
        let mut client = client(&server, "/ws").await;
        let mut end = server.socket().await;
        end.tx.send(WsMessage::Binary("first".into())).unwrap();
        end.tx.send(message).unwrap();
        assert_eq!(next(&mut client).await, Some(Message::binary("first")));
        assert_eq!(next(&mut client).await, Some(expected));
        // The client's codec answers when it is read on.
        assert_eq!(next(&mut client).await, None);
        assert!(matches!(
            within("close", end.rx.recv()).await,
            Some(WsMessage::Close { .. })
        ));
        assert_eq!(within("the end", end.rx.recv()).await, None);
    }
}

#[tokio::test]
async fn a_broken_connection_is_an_end_without_a_close() {
    let mut server = Server::start().await;
    let raw_socket = raw(&server, "/ws").await;
    let mut end = server.socket().await;
    drop(raw_socket);
    assert_eq!(within("the end", end.rx.recv()).await, None);

    let mut raw_socket = raw(&server, "/ws").await;
    let end = server.socket().await;
    drop(end);
    raw_socket.assert_closed().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let mut server = Server::start().await;
    for (frames, code) in [
        // Unmasked; reserved bits; unknown opcode; a continuation of nothing; a fragmented ping; a lone surrogate.
        (b"\x81\x01a".to_vec(), 1002),
        (frame(0xf1, b"a"), 1002),
        (frame(0x83, b"a"), 1002),
        (frame(0x80, b"a"), 1002),
        (frame(0x09, b"a"), 1002),
        (frame(0x89, &[0; 126]), 1002),
        (frame(0x81, b"\xed\xa0\x80"), 1007),
        (frame(0x81, b"\xff"), 1007),
    ] {
        let mut raw = raw(&server, "/ws").await;
        let mut end = server.socket().await;
        raw.send(&frames).await;
        let answer = raw.rest().await;
        assert_eq!(answer[0], 0x88, "{frames:?}");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code, "{frames:?}");
        match within("close", end.rx.recv()).await {
            Some(WsMessage::Close { code: Some(seen), .. }) => assert_eq!(seen, code),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_message_may_have_32_mib_and_no_more() {
    let mut server = Server::start().await;
    let limit = 32 * 1024 * 1024;
    let mut client = client(&server, "/ws").await;
    let mut end = server.socket().await;
    client.send(Message::binary(vec![1; limit])).await.unwrap();
    match within("the message", end.rx.recv()).await {
        Some(WsMessage::Binary(data)) => assert_eq!(data.len(), limit),
        other => panic!("{other:?}"),
    }
    // Announced, not sent: the front does not wait for bytes it will not take.
    let (head, tail) = (frame(0x82, &vec![0; 70_000]), limit as u64 + 1);
    let mut raw = raw(&server, "/ws").await;
    let mut end = server.socket().await;
    raw.send([&head[..2], &tail.to_be_bytes(), &[0; 4]].concat()).await;
    let answer = raw.rest().await;
    assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, 1009));
    assert!(matches!(
        within("close", end.rx.recv()).await,
        Some(WsMessage::Close { code: Some(1009), .. })
    ));
}

#[tokio::test]
async fn a_slow_worker_stops_the_client_and_loses_nothing() {
    let mut server = Server::start().await;
    let mut client = client(&server, "/ws").await;
    let mut end = server.socket().await;
    const MESSAGES: usize = 96;
    const SIZE: usize = 1024 * 1024;
    let sender = tokio::spawn(async move {
        for index in 0..MESSAGES {
            client.send(Message::binary(vec![index as u8; SIZE])).await.unwrap();
        }
        client
    });
    // The worker reads nothing for a while; the client cannot get rid of all of it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sender.is_finished());
    for index in 0..MESSAGES {
        match within("a message", end.rx.recv()).await {
            Some(WsMessage::Binary(data)) => assert!(data.len() == SIZE && data[0] == index as u8),
            other => panic!("{other:?}"),
        }
    }
    within("the client", sender).await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_answers_a_close_is_let_go() {
    let limits = EdgeLimits {
        websocket_close_timeout: Duration::from_millis(50),
        ..EdgeLimits::default()
    };
    let mut server = Server::with(EdgeOptions { limits, ..options() }, PATIENCE).await;
    let mut raw = raw(&server, "/ws").await;
    let mut end = server.socket().await;
    end.tx.send(closed(1000, "")).unwrap();
    assert_eq!(raw.rest().await, b"\x88\x02\x03\xe8".as_slice());
    assert_eq!(within("the end", end.rx.recv()).await, None);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_stop_says_goodbye_to_both() {
    let mut server = Server::start().await;
    let mut client = client(&server, "/ws").await;
    let mut end = server.socket().await;
    let stop = server.stop.clone();
    stop.cancel();
    assert!(matches!(next(&mut client).await, Some(Message::Close(Some(frame))) if frame.code == CloseCode::Away));
    assert!(matches!(
        within("close", end.rx.recv()).await,
        Some(WsMessage::Close { code: Some(1001), .. })
    ));
    drop(client);
    assert_eq!(server.stop().await, 0);
}
