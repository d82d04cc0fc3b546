//! Bodies both ways: at hand, streamed, with trailers, broken off, held back.

use crate::harness::{Server, within};
use atoll_worker::{Body, BodyError, Frame};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn request_bodies_come_in_the_cheapest_form() {
    let server = Server::start().await;
    let check = async |head: &str, body: &str, expected: &str| {
        let answer = server
            .ask(&format!("POST /body HTTP/1.1\r\nHost: a\r\n{head}\r\n{body}"))
            .await;
        assert_eq!(answer.text(), expected, "{head:?}");
    };
    check("", "", "empty; 0").await;
    check("Content-Length: 0\r\n", "", "empty; 0").await;
    check("Content-Length: 3\r\n", "abc", "full 3; 3").await;
    check(
        "Transfer-Encoding: chunked\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "stream None; 3",
    )
    .await;
    check(
        "Transfer-Encoding: chunked\r\n",
        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "stream None; 5",
    )
    .await;
    check("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "stream None; 0").await;
    let big = "x".repeat(100_000);
    check("Content-Length: 100000\r\n", &big, "stream Some(100000); 100000").await;
}

#[tokio::test]
async fn a_body_that_comes_later_is_streamed() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        .await;
    let head = raw.head().await;
    assert_eq!(head.header("content-length"), Some("6"));
    assert_eq!(raw.exactly(3).await, "abc");
    raw.send("def").await;
    assert_eq!(raw.exactly(3).await, "def");
}

#[tokio::test]
async fn chunks_go_through_as_they_come() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    raw.head().await;
    for chunk in ["one", "two", "three"] {
        raw.send(format!("{:x}\r\n{chunk}\r\n", chunk.len())).await;
        assert_eq!(raw.chunk().await, chunk);
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.chunk().await, "");
    assert_eq!(raw.line().await, "");
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
}

#[tokio::test]
async fn trailers_come_in() {
    let server = Server::start().await;
    let answer = server
        .ask(
            "POST /trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
        )
        .await;
    assert_eq!(answer.text(), "abc|7");
}

#[tokio::test]
async fn trailers_go_out() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    // Trailers are announced, and whoever does not say that they are understood gets none (RFC 9110 section 6.5.1).
    for (te, expected) in [("TE: trailers\r\n", Some("7")), ("", None)] {
        raw.send(format!("GET /gate?trailer=x-sum HTTP/1.1\r\nHost: a\r\n{te}\r\n"))
            .await;
        let sender = server.stream().await;
        sender.send_data("abc".into()).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        sender.send(Frame::Trailers(trailers)).unwrap();
        sender.finish();
        let answer = raw.answer().await;
        assert_eq!(answer.text(), "abc");
        let sum = answer
            .trailers
            .iter()
            .find(|(name, _)| name == "x-sum")
            .map(|(_, value)| value.as_str());
        assert_eq!(sum, expected);
    }
}

#[tokio::test]
async fn a_known_length_is_announced() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("GET /gate?length=4 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    sender.send_data("ab".into()).await.unwrap();
    sender.send_data("cd".into()).await.unwrap();
    sender.finish();
    let answer = raw.answer().await;
    assert_eq!((answer.header("content-length"), answer.text()), (Some("4"), "abcd"));
}

#[tokio::test]
async fn a_broken_response_does_not_look_complete() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    sender.send_data("half".into()).await.unwrap();
    raw.head().await;
    assert_eq!(raw.chunk().await, "half");
    sender.fail(BodyError::Failed("the worker broke".into()));
    drop(sender);
    raw.assert_closed().await;

    let mut raw = server.connect().await;
    raw.send("GET /gate?length=8 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    sender.send_data("half".into()).await.unwrap();
    raw.head().await;
    assert_eq!(raw.exactly(4).await, "half");
    drop(sender);
    raw.assert_closed().await;
}

#[tokio::test]
async fn a_client_that_goes_cancels_what_it_asked_for() {
    let mut server = Server::start().await;
    // Before the response.
    let mut raw = server.connect().await;
    raw.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (ctx, _body) = server.held().await;
    assert!(!ctx.cancel.is_cancelled());
    drop(raw);
    within("cancellation", ctx.cancel.cancelled()).await;

    // While its body is on the way.
    let mut raw = server.connect().await;
    raw.send("POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    let (ctx, body) = server.held().await;
    drop(raw);
    within("cancellation", ctx.cancel.cancelled()).await;
    assert!(matches!(
        within("the body", body.collect(100)).await,
        Err(BodyError::Failed(_))
    ));

    // While the response is on the way.
    let mut raw = server.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    raw.head().await;
    drop(raw);
    within("cancellation", sender.closed()).await;
    assert_eq!(sender.ready().await, Err(BodyError::Canceled));
}

#[tokio::test]
async fn a_request_that_ends_well_is_not_cancelled() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    let (ctx, body) = server.held().await;
    assert_eq!(raw.answer().await.text(), "took it");
    assert_eq!(body.collect(3).await.unwrap(), "abc");
    drop(raw);
    assert_eq!(server.stop().await, 0);
    assert!(!ctx.cancel.is_cancelled());
}

#[tokio::test]
async fn a_body_nobody_reads_does_not_hold_the_answer() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        .await;
    assert_eq!(raw.answer().await.text(), "ignored");
    // What follows cannot be told from the body: the connection ends.
    raw.assert_closed().await;
}

#[tokio::test]
async fn a_slow_client_stops_the_producer() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    const TOTAL: usize = 64 * 1024 * 1024;
    let mut sent = 0;
    // The client reads nothing: what is in flight fills up, and then there is no room.
    while sent < TOTAL {
        match tokio::time::timeout(Duration::from_millis(200), sender.ready()).await {
            Ok(ready) => ready.unwrap(),
            Err(_) => break,
        }
        sender.send(Frame::Data(piece.clone())).unwrap();
        sent += piece.len();
    }
    assert!(sent < TOTAL, "the producer was never held back");
    // It reads again: all of it arrives.
    let total = sent + piece.len();
    let producer = tokio::spawn(async move {
        sender.send_data(piece).await.unwrap();
        sender.finish();
    });
    assert_eq!(raw.answer().await.body.len(), total);
    producer.await.unwrap();
}

#[tokio::test]
async fn a_slow_worker_stops_the_client() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("POST /hang HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let (_ctx, body) = server.held().await;
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 65536], b"\r\n".to_vec()].concat();
    const CHUNKS: usize = 1024;
    let mut sent = 0;
    let mut offset = 0;
    while sent < CHUNKS {
        match tokio::time::timeout(Duration::from_millis(200), raw.stream.write(&chunk[offset..])).await {
            Ok(count) => offset += count.unwrap(),
            Err(_) => break,
        }
        if offset == chunk.len() {
            (offset, sent) = (0, sent + 1);
        }
    }
    assert!(sent < CHUNKS, "the client was never held back");
    let Body::Stream(mut body) = body else {
        panic!("not a stream")
    };
    let reader = tokio::spawn(async move {
        let mut total = 0;
        while let Some(frame) = body.frame().await {
            if let Frame::Data(data) = frame.unwrap() {
                total += data.len();
            }
        }
        total
    });
    raw.send(&chunk[offset..]).await;
    raw.send("0\r\n\r\n").await;
    assert_eq!(within("the body", reader).await.unwrap(), (sent + 1) * 65536);
}
