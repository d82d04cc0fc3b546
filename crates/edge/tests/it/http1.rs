//! HTTP/1.1 as such: connections, pipelining, HEAD, expectations, lengths.

use crate::harness::{Server, within};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    for _ in 0..3 {
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.header("content-length"), Some("5"));
        assert!(answer.header("date").is_some());
        assert_eq!(answer.header("server"), None);
    }
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(raw.answer().await.header("connection"), Some("close"));
    raw.assert_closed().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send(
        "GET /respond?body=one HTTP/1.1\r\nHost: a\r\n\r\nPOST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\
         abcGET /respond?body=three HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.text(), "one");
    assert_eq!(raw.answer().await.text(), "full 3; 3");
    assert_eq!(raw.answer().await.text(), "three");
}

#[tokio::test]
async fn http_1_0_closes_unless_asked_to_stay() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("GET /request HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        .await;
    assert!(raw.answer().await.text().starts_with("GET http://a/request HTTP/1.0 "));
    raw.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
    raw.assert_closed().await;
}

#[tokio::test]
async fn a_streamed_answer_to_http_1_0_ends_with_the_connection() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("GET /gate HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    sender.send_data("some".into()).await.unwrap();
    sender.send_data("thing".into()).await.unwrap();
    sender.finish();
    let head = raw.head().await;
    assert_eq!(head.header("transfer-encoding"), None);
    assert_eq!(raw.rest().await, "something");
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    for (target, length) in [
        ("/respond?header=content-type:text/plain&body=12345", Some("5")),
        ("/respond?header=content-length:77", Some("77")),
        ("/respond?header=content-type:text/html&body=12345", None),
    ] {
        raw.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = raw.head().await;
        assert_eq!((head.status, head.header("content-length")), (200, length), "{target}");
    }
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
}

#[tokio::test]
async fn statuses_without_a_body_have_none() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    for (status, length) in [(204, None), (304, None), (205, Some("0"))] {
        raw.send(format!(
            "GET /respond?status={status}&body=abc&header=etag:'x' HTTP/1.1\r\nHost: a\r\n\r\n"
        ))
        .await;
        let head = raw.head().await;
        assert_eq!((head.status, head.header("content-length")), (status, length));
        assert_eq!(head.header("transfer-encoding"), None);
    }
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
}

#[tokio::test]
async fn continue_is_sent_for_a_body_that_is_wanted() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let head = raw.head().await;
    assert_eq!(head.status, 100);
    raw.send("hello").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "stream Some(5); 5"));
}

#[tokio::test]
async fn continue_is_not_sent_for_a_request_that_is_refused() {
    let server = Server::start().await;
    let answer = server
        .ask("POST / HTTP/1.1\r\nHost: nowhere.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn reason_phrases_are_the_workers() {
    let server = Server::start().await;
    let check = async |target: &str, expected: (u16, &str)| {
        let answer = server.get(target, "").await;
        assert_eq!((answer.status, answer.reason.as_str()), expected, "{target}");
    };
    check("/respond?status=200&reason=Very+Well", (200, "Very Well")).await;
    check("/respond?status=418&body=x", (418, "I'm a teapot")).await;
    check("/respond?status=299&body=x", (299, "<none>")).await;
    check("/respond?status=599&reason=Odd", (599, "Odd")).await;
}

#[tokio::test]
async fn the_connections_headers_are_not_the_workers_to_set() {
    let server = Server::start().await;
    let answer = server
        .get(
            "/respond?header=connection:close&header=transfer-encoding:gzip&header=content-length:99&header=keep-alive:1\
             &header=upgrade:h2c&header=set-cookie:a=1&header=set-cookie:b=2&body=abc",
            "",
        )
        .await;
    assert_eq!(answer.text(), "abc");
    for name in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("content-length"), Some("3"));
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie").count();
    assert_eq!(cookies, 2);
}

#[tokio::test]
async fn pages_are_chunked_and_their_parts_are_not() {
    let server = Server::start().await;
    let check = async |target: &str, coding: Option<&str>, length: Option<&str>| {
        let answer = server.get(target, "").await;
        assert_eq!(answer.header("transfer-encoding"), coding, "{target}");
        assert_eq!(answer.header("content-length"), length, "{target}");
        assert_eq!(answer.text(), "page");
    };
    check(
        "/respond?header=content-type:text/html;charset=utf-8&body=page",
        Some("chunked"),
        None,
    )
    .await;
    check(
        "/respond?header=content-type:application/xml&body=page",
        None,
        Some("4"),
    )
    .await;
    check(
        "/respond?status=206&header=content-type:text/html&body=page",
        None,
        Some("4"),
    )
    .await;
}

#[tokio::test]
async fn requests_are_logged_once() {
    let mut server = Server::start().await;
    server.get("/respond?status=201&body=x", "").await;
    server.get("/fault/thrown?a=b", "").await;
    let mut raw = server.connect().await;
    raw.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (ctx, _) = server.held().await;
    drop(raw);
    within("cancellation", ctx.cancel.cancelled()).await;
    let log = server.log.clone();
    assert_eq!(server.stop().await, 0);
    let lines: Vec<String> = log
        .all()
        .iter()
        .map(|record| {
            format!(
                "{} {} {} {} {:?}",
                record.method, record.target, record.status, record.reason, record.fault
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "GET /respond?status=201&body=x 201 Created None",
            "GET /fault/thrown?a=b 500 Internal Server Error Some(Exception)",
            "GET /hang 499 Client Closed Request None",
        ]
    );
}

#[tokio::test]
async fn a_head_in_pieces_is_a_head() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
        raw.send([*byte]).await;
        raw.stream.flush().await.unwrap();
    }
    assert_eq!(raw.answer().await.text(), "hello");
}
