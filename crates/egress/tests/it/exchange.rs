//! What goes out and what comes back, over HTTP/1.1.

use crate::net::*;
use atoll_worker::{Body, Frame, body};
use bytes::Bytes;
use http::HeaderValue;

#[test]
fn requests_as_the_server_sees_them() {
    run(|net| async move {
        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let egress = net.egress();
        let host = format!("host: {}\n", server.at);
        let usual = format!("accept: */*\naccept-encoding: gzip, br\n{host}");
        let check = async |ask: Ask, expected: String| assert_eq!(ask.text(&egress).await, expected);

        check(
            get(server.url("/a?b=c%20d&e={}|^")),
            format!("GET /a?b=c%20d&e={{}}|^\n{usual}\n"),
        )
        .await;
        check(get(server.url("")), format!("GET /\n{usual}\n")).await;
        check(get(server.url("/?")), format!("GET /?\n{usual}\n")).await;
        check(ask("DELETE", server.url("/x")), format!("DELETE /x\n{usual}\n")).await;
        check(ask("OPTIONS", server.url("/x")), format!("OPTIONS /x\n{usual}\n")).await;
        check(ask("PURGE", server.url("/x")), format!("PURGE /x\n{usual}\n")).await;
        let with_length =
            |length: usize| format!("accept: */*\naccept-encoding: gzip, br\ncontent-length: {length}\n{host}");
        check(ask("POST", server.url("/x")), format!("POST /x\n{}\n", with_length(0))).await;
        check(
            ask("POST", server.url("/x")).body("hello"),
            format!("POST /x\n{}\nhello", with_length(5)),
        )
        .await;
        check(
            ask("PUT", server.url("/x")).body(""),
            format!("PUT /x\n{}\n", with_length(0)),
        )
        .await;
        check(
            ask("DELETE", server.url("/x")).body("why"),
            format!("DELETE /x\n{}\nwhy", with_length(3)),
        )
        .await;
        check(
            get(server.url("/x"))
                .header("host", "other.example")
                .header("content-length", "99")
                .header("connection", "close, x-hop")
                .header("x-hop", "1")
                .header("transfer-encoding", "chunked")
                .header("upgrade", "h2c")
                .header("te", "trailers")
                .header("x-end", "1"),
            format!("GET /x\n{usual}x-end: 1\n\n"),
        )
        .await;
        check(
            get(server.url("/x"))
                .header("accept", "text/html")
                .header("accept-encoding", "zstd")
                .header("x", "1")
                .header("x", "2"),
            format!("GET /x\naccept: text/html\naccept-encoding: zstd\n{host}x: 1\nx: 2\n\n"),
        )
        .await;
    });
}

#[test]
fn the_user_agent_is_a_default() {
    run(|net| async move {
        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let egress = net.egress_with(|options| options.user_agent = Some(HeaderValue::from_static("atoll/1")));
        assert!(
            get(server.url("/"))
                .text(&egress)
                .await
                .contains("user-agent: atoll/1\n")
        );
        let own = get(server.url("/")).header("user-agent", "mine").text(&egress).await;
        assert!(own.contains("user-agent: mine\n") && !own.contains("atoll"));
        let raw = net.egress_with(|options| options.decode = false);
        assert!(!get(server.url("/")).text(&raw).await.contains("accept-encoding"));
    });
}

#[test]
fn a_stream_of_known_length_says_so_and_an_unknown_one_is_chunked() {
    run(|net| async move {
        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let egress = net.egress();
        for (method, length, expected) in [
            ("POST", Some(10), "content-length: 10\n"),
            ("POST", None, "transfer-encoding: chunked\n"),
            ("PUT", None, "transfer-encoding: chunked\n"),
            ("DELETE", None, "transfer-encoding: chunked\n"),
            ("GET", None, "transfer-encoding: chunked\n"),
        ] {
            let (tx, rx) = body::channel(1024, length);
            tx.send(Frame::Data(Bytes::from_static(b"01234"))).unwrap();
            tx.send(Frame::Data(Bytes::from_static(b"56789"))).unwrap();
            tx.send(Frame::Trailers(Default::default())).unwrap();
            tx.finish();
            let seen = ask(method, server.url("/")).body(Body::Stream(rx)).text(&egress).await;
            assert!(
                seen.contains(expected) && seen.ends_with("\n\n0123456789"),
                "{method} {length:?}: {seen}"
            );
        }
    });
}

#[test]
fn responses_as_the_worker_sees_them() {
    run(|net| async move {
        let egress = net.egress();
        let check = async |answer: &str, method: &str, expected: (u16, &str, &[&str], &str)| {
            let server = net.scripted(answer).await;
            let url = server.url("/p?q");
            let response = ask(method, url.clone()).send(&egress).await.unwrap();
            let head = response.head.clone();
            let headers: Vec<_> = head
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            assert_eq!(head.url, url);
            assert!(head.redirects == 0 && response.websocket.is_none());
            let body = text(response).await;
            let got = (head.status, head.status_text.as_str(), &*headers, body.as_str());
            let expected_headers: Vec<_> = expected.2.iter().map(|line| line.to_string()).collect();
            assert_eq!(
                got,
                (expected.0, expected.1, &*expected_headers, expected.3),
                "{answer:?}"
            );
        };
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            "GET",
            (200, "OK", &["content-length: 2"], "hi"),
        )
        .await;
        check(
            "HTTP/1.1 200 Fine by me\r\nContent-Length: 0\r\n\r\n",
            "GET",
            (200, "Fine by me", &["content-length: 0"], ""),
        )
        .await;
        check(
            "HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 1\r\n\r\nx",
            "GET",
            (404, "Not Found", &["x-a: b", "content-length: 1"], "x"),
        )
        .await;
        check("HTTP/1.1 599 Odd\r\n\r\n", "GET", (599, "Odd", &[], "")).await;
        check(
            "HTTP/1.1 200 OK\r\n\r\nuntil the end",
            "GET",
            (200, "OK", &[], "until the end"),
        )
        .await;
        check("HTTP/1.0 200 OK\r\n\r\nold", "GET", (200, "OK", &[], "old")).await;
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n",
            "GET",
            (200, "OK", &[], "abcde"),
        )
        .await;
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            "GET",
            (200, "OK", &["content-length: 1"], "x"),
        )
        .await;
        check(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
            "GET",
            (201, "Created", &["content-length: 1"], "x"),
        )
        .await;
        check("HTTP/1.1 204 No Content\r\n\r\n", "GET", (204, "No Content", &[], "")).await;
        check(
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"a\"\r\n\r\n",
            "GET",
            (304, "Not Modified", &["content-length: 7", "etag: \"a\""], ""),
        )
        .await;
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
            "HEAD",
            (200, "OK", &["content-length: 7"], ""),
        )
        .await;
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HEAD",
            (200, "OK", &[], ""),
        )
        .await;
        check(
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\nContent-Length: 0\r\n\r\n",
            "GET",
            (200, "OK", &["set-cookie: a=1", "set-cookie: b=2", "content-length: 0"], ""),
        )
        .await;
        check(
            "HTTP/1.1 300 Multiple Choices\r\nLocation: /x\r\nContent-Length: 1\r\n\r\nx",
            "GET",
            (300, "Multiple Choices", &["location: /x", "content-length: 1"], "x"),
        )
        .await;
        check(
            "HTTP/1.1 302 Found\r\nContent-Length: 1\r\n\r\nx",
            "GET",
            (302, "Found", &["content-length: 1"], "x"),
        )
        .await;
    });
}

#[test]
fn bodies_that_are_none_are_told_from_empty_ones() {
    run(|net| async move {
        let egress = net.egress();
        let check = async |answer: &'static str, method: &str, none: bool| {
            let server = net.scripted(answer).await;
            let response = ask(method, server.url("/")).send(&egress).await.unwrap();
            assert_eq!(matches!(response.body, Body::Empty), none, "{method} {answer:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", false).await;
        check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HEAD", true).await;
        check("HTTP/1.1 204 No Content\r\n\r\n", "GET", true).await;
        check("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "GET", true).await;
        check("HTTP/1.1 304 Not Modified\r\n\r\n", "GET", true).await;
    });
}

#[test]
fn encoded_bodies_arrive_decoded() {
    use std::io::Write;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let answer = |coding: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    run(|net| async move {
        let (egress, raw) = (net.egress(), net.egress_with(|options| options.decode = false));
        let packed = gzip("hello, gzip");
        let server = net.scripted(answer("gzip", &packed)).await;
        let response = get(server.url("/")).send(&egress).await.unwrap();
        assert_eq!(response.head.headers["content-encoding"], "gzip");
        assert!(!response.head.headers.contains_key("content-length"));
        assert_eq!(response.body.length(), None);
        assert_eq!(text(response).await, "hello, gzip");
        // Left as it is where nobody wants it decoded, or nobody can.
        let response = get(server.url("/")).send(&raw).await.unwrap();
        assert_eq!(response.body.length(), Some(packed.len() as u64));
        assert_eq!(response.body.collect(ALL).await.unwrap(), packed);
        for coding in ["zstd", "identity", "gzip, br", "x-unknown"] {
            let server = net.scripted(answer(coding, &packed)).await;
            assert_eq!(
                get(server.url("/"))
                    .send(&egress)
                    .await
                    .unwrap()
                    .body
                    .collect(ALL)
                    .await
                    .unwrap(),
                packed
            );
        }
        // HEAD has the header and no body.
        let server = net.scripted(answer("gzip", b"")).await;
        assert_eq!(
            ask("HEAD", server.url("/")).outcome(&egress).await,
            Ok((200, String::new()))
        );

        let mut broken = packed.clone();
        broken.truncate(15);
        let server = net.scripted(answer("gzip", &broken)).await;
        let error = get(server.url("/")).outcome(&egress).await.unwrap_err();
        assert_eq!(error, "body: the response body is not valid gzip: it ends too early");
        let server = net.scripted(answer("br", b"\xff\xff\xff\xff")).await;
        let error = get(server.url("/")).outcome(&egress).await.unwrap_err();
        assert!(error.starts_with("body: the response body is not valid br"), "{error}");
    });
}
