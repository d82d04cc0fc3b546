//! What is malformed, ambiguous or too large is refused, and the connection with it.

use crate::harness::{PATIENCE, Server, options, within};
use atoll_edge::limits::RESPONSE_HEAD_BYTES_MAX;
use atoll_edge::{EdgeLimits, EdgeOptions};
use atoll_model::Limit;
use std::time::Duration;

/// Sends `request` and, behind it, a request that must never be served.
async fn refused(server: &Server, request: &str, status: u16) {
    let served = server.log.all().len();
    let mut raw = server.connect().await;
    raw.send(format!("{request}GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n"))
        .await;
    let text = String::from_utf8_lossy(&raw.rest().await).into_owned();
    let line = text.lines().next().unwrap_or("");
    assert!(
        line.starts_with(&format!("HTTP/1.1 {status} ")),
        "{request:?}: {line:?}"
    );
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{request:?}: {text}");
    let smuggled = server
        .log
        .all()
        .iter()
        .skip(served)
        .any(|record| record.target.path() == "/smuggled");
    assert!(!smuggled, "{request:?}");
}

#[tokio::test]
async fn smuggling_is_refused() {
    let server = Server::start().await;
    for (request, status) in [
        // Both lengths, either order, any case, folded over lines.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 6\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
            400,
        ),
        // Two lengths.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,2\r\n\r\nab", 400),
        // Lengths that are none.
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\na", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\na",
            400,
        ),
        // Spaces around the name, folded lines.
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\n Content-Length: 1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        // Transfer codings other than chunked alone.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        // Line ends and control characters.
        ("POST / HTTP/1.1\nHost: a\n\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\nContent-Length: 1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ] {
        refused(&server, request, status).await;
    }
}

#[tokio::test]
async fn bad_chunks_end_the_body_with_an_error() {
    let server = Server::start().await;
    for chunk in [
        "Z\r\n",
        "-1\r\na\r\n",
        "1\r\nabc\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "1;\nx\r\n",
        "1\na\n",
        " 1\r\na\r\n",
        "0x1\r\na\r\n",
    ] {
        let mut raw = server.connect().await;
        raw.send(format!(
            "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}GET /smuggled HTTP/1.1\r\n\r\n"
        ))
        .await;
        let text = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(text.matches("HTTP/1.1 ").count() <= 1, "{chunk:?}: {text}");
        assert!(!text.contains("stream None; 0"), "{chunk:?}: {text}");
    }
    assert!(
        !server
            .log
            .all()
            .iter()
            .any(|record| record.target.path() == "/smuggled")
    );
}

#[tokio::test]
async fn hosts_are_checked() {
    let server = Server::start().await;
    for head in [
        "",
        "Host: \r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a:x\r\n",
        "Host: a:99999\r\n",
        "Host: a:1:2\r\n",
        "Host: [::1\r\n",
        "Host: [zz]\r\n",
        "Host: a%41\r\n",
        "Host: a#b\r\n",
        "Host: a?b\r\n",
        "Host: \u{e9}.test\r\n",
    ] {
        refused(&server, &format!("GET / HTTP/1.1\r\n{head}\r\n"), 400).await;
    }
    refused(
        &server,
        &format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(256)),
        400,
    )
    .await;
}

#[tokio::test]
async fn targets_are_checked() {
    let server = Server::start().await;
    for (target, status) in [
        ("ftp://a/", 400),
        ("a", 400),
        ("", 400),
        ("/\u{7f}", 400),
        ("/a b", 400),
        ("?q", 400),
    ] {
        refused(&server, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), status).await;
    }
    refused(&server, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501).await;
    refused(&server, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400).await;
    refused(&server, "GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400).await;
    refused(&server, "nonsense\r\n\r\n", 400).await;
}

#[tokio::test]
async fn limits_have_their_statuses() {
    let server = Server::start().await;
    let long = |count: usize| "a".repeat(count);
    refused(
        &server,
        &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(16 * 1024)),
        414,
    )
    .await;
    refused(
        &server,
        &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(70 * 1024)),
        414,
    )
    .await;
    refused(
        &server,
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(200 * 1024)),
        431,
    )
    .await;
    // Not so large that the library refuses it unread.
    refused(
        &server,
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(129 * 1024)),
        431,
    )
    .await;
    refused(
        &server,
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)),
        431,
    )
    .await;
    let answer = server
        .ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)))
        .await;
    let text = answer.text();
    assert!(text.ends_with("(limit header_lines_max = 100)"), "{text}");
    // They are recorded, to be counted.
    let broken: Vec<Limit> = server.log.all().iter().filter_map(|record| record.limit).collect();
    for limit in [Limit::Url, Limit::HeadLines] {
        assert!(broken.contains(&limit), "{limit:?} of {broken:?}");
    }
    // Just within.
    let target = format!("/{}", long(16 * 1024 - 1));
    assert_eq!(server.get(&target, "").await.text(), "hello");
    assert_eq!(
        server.get("/", &format!("X: {}\r\n", long(100 * 1024))).await.text(),
        "hello"
    );
    assert_eq!(server.get("/", &"X: y\r\n".repeat(99)).await.text(), "hello");
}

#[tokio::test]
async fn the_head_ends_exactly_at_its_limit() {
    let server = Server::start().await;
    let head = |bytes: usize| {
        let rest = "GET / HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(bytes - rest))
    };
    let max = EdgeLimits::default().head_bytes_max;
    assert_eq!(server.ask(&head(max)).await.text(), "hello");
    refused(&server, &head(max + 1), 431).await;
    let answer = server.ask(&head(max + 1)).await;
    let text = answer.text();
    assert!(text.ends_with("(limit head_bytes_max = 131072)"), "{text}");
    assert!(server.log.all().iter().any(|record| record.limit == Some(Limit::Head)));
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(16 * 1024));
    let answer = server.ask(&target).await;
    let text = answer.text();
    assert!(
        text.ends_with("has 16385 bytes (limit url_bytes_max = 16384)"),
        "{text}"
    );
}

#[tokio::test]
async fn the_headers_of_a_response_end_exactly_at_their_limit() {
    let server = Server::start().await;
    let target = |bytes: usize| format!("/respond?large=x:{}&body=y", bytes - "x: \r\n".len());
    let max = RESPONSE_HEAD_BYTES_MAX;
    let answer = server.get(&target(max), "").await;
    assert_eq!((answer.status, answer.text()), (200, "y"));
    let answer = server.get(&target(max + 1), "").await;
    assert_eq!(answer.status, 500);
    let text = answer.text();
    assert!(
        text.ends_with("131073 bytes of headers (limit response_head_bytes_max = 131072)"),
        "{text}"
    );
    let hits = server.log.all();
    assert_eq!(
        hits.iter()
            .filter(|record| record.limit == Some(Limit::ResponseHead))
            .count(),
        1
    );
}

#[tokio::test]
async fn the_body_ends_exactly_at_its_limit() {
    let limits = EdgeLimits {
        body_bytes_max: 1_000,
        ..EdgeLimits::default()
    };
    let server = Server::with(impatient(limits), PATIENCE).await;
    let announced = |bytes: usize| {
        format!(
            "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{}",
            "a".repeat(bytes)
        )
    };
    assert!(server.ask(&announced(1_000)).await.text().ends_with("; 1000"));
    refused(&server, &announced(1_001), 413).await;
    // One that only says at its end how long it was.
    let chunked = |bytes: usize| {
        let (first, second) = (bytes / 2, bytes - bytes / 2);
        format!(
            "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{first:x}\r\n{}\r\n{second:x}\r\n{}\r\n0\r\n\r\n",
            "a".repeat(first),
            "a".repeat(second)
        )
    };
    assert_eq!(server.ask(&chunked(1_000)).await.text(), "stream None; 1000");
    refused(&server, &chunked(1_001), 413).await;
}

#[tokio::test]
async fn a_body_that_looks_like_a_head_is_a_body() {
    let server = Server::start().await;
    let body = "x\nContent-Length: 1\nTransfer-Encoding: chunked\n\nGET /smuggled HTTP/1.1\r\n\r\n";
    let mut raw = server.connect().await;
    for (host, status) in [("a", 200), ("nowhere.test", 404), ("broken.test", 500), ("a", 200)] {
        let head = format!(
            "POST /ignore HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        raw.send(format!("{head}{body}")).await;
        assert_eq!(raw.answer().await.status, status);
    }
    // In pieces, so that the body is read by itself.
    raw.send(format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ))
    .await;
    raw.head().await;
    raw.send(body).await;
    assert_eq!(raw.exactly(body.len()).await, body);
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
}

fn impatient(limits: EdgeLimits) -> EdgeOptions {
    EdgeOptions { limits, ..options() }
}

#[tokio::test]
async fn a_silent_or_slow_client_is_let_go() {
    let limits = EdgeLimits {
        head_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..EdgeLimits::default()
    };
    let server = Server::with(impatient(limits), PATIENCE).await;
    for start in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", "PRI * HTTP"] {
        let mut raw = server.connect().await;
        raw.send(start).await;
        raw.assert_closed().await;
    }
    // Idle after an answer.
    let mut raw = server.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
    raw.assert_closed().await;
}

#[tokio::test]
async fn a_long_answer_is_no_idle_connection() {
    let limits = EdgeLimits {
        head_timeout: Duration::from_millis(20),
        idle_timeout: Duration::from_millis(20),
        ..EdgeLimits::default()
    };
    let mut server = Server::with(impatient(limits), PATIENCE).await;
    let mut raw = server.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    raw.head().await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sender.send_data("x".into()).await.unwrap();
        assert_eq!(raw.chunk().await, "x");
    }
    sender.finish();
    assert_eq!(raw.chunk().await, "");
}

#[tokio::test]
async fn a_body_that_stands_still_ends_with_an_error() {
    let limits = EdgeLimits {
        body_timeout: Duration::from_millis(50),
        ..EdgeLimits::default()
    };
    let mut server = Server::with(impatient(limits), PATIENCE).await;
    let mut raw = server.connect().await;
    raw.send("POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        .await;
    let (_ctx, body) = server.held().await;
    let error = body.collect(100).await.unwrap_err();
    assert!(error.to_string().contains("sent nothing"), "{error}");
    let answer = raw.answer().await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (408, Some("close")),
        "{}",
        answer.text()
    );
    assert!(
        answer.text().contains("the request's body did not come"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let limits = EdgeLimits {
        write_timeout: Duration::from_millis(50),
        ..EdgeLimits::default()
    };
    let mut server = Server::with(impatient(limits), PATIENCE).await;
    let mut raw = server.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    let piece = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
    within("the end", async {
        while sender.send_data(piece.clone()).await.is_ok() {}
    })
    .await;
    assert_eq!(server.stop().await, 0);
    drop(raw);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let limits = EdgeLimits {
        connections_max: 1,
        ..EdgeLimits::default()
    };
    let server = Server::with(impatient(limits), PATIENCE).await;
    let mut first = server.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.answer().await;
    let mut second = server.connect().await;
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let waiting = tokio::time::timeout(Duration::from_millis(50), second.head()).await;
    assert!(waiting.is_err());
    drop(first);
    assert_eq!(second.answer().await.text(), "hello");
}

#[tokio::test]
async fn noise_never_panics() {
    let server = Server::start().await;
    let mut rng = atoll_stdx::SplitMix64::new(20_261_121);
    let alphabet: &[&[u8]] = &[
        b"GET ",
        b"POST ",
        b"/ ",
        b"HTTP/1.1",
        b"\r\n",
        b"Host: a\r\n",
        b"\n",
        b"\r",
        b":",
        b"Content-Length: ",
        b"7",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b"\0",
        b"\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x01abcd",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"x",
        b" ",
        b"?",
    ];
    for _ in 0..400 {
        let mut noise = Vec::new();
        for _ in 0..rng.below(24) {
            noise.extend_from_slice(alphabet[rng.below(alphabet.len() as u64) as usize]);
        }
        let mut raw = server.connect().await;
        // The server may close while this is still being written.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &noise).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await;
        raw.rest().await;
    }
    assert_eq!(server.get("/", "").await.text(), "hello");
    assert_eq!(server.stop().await, 0);
}
