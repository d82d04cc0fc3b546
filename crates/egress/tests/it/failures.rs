//! What breaks, and what it is called.

use crate::net::*;
use atoll_worker::{BindingErrorKind, ConnectErrorKind};

#[test]
fn connections_that_cannot_be_made() {
    run(|net| async move {
        let nobody = Nobody::new();
        let gone = nobody.at;
        let names = Names::new(&[
            ("here.example", &[&["127.0.0.1"]]),
            ("both.example", &[&["::1", "127.0.0.1"]]),
        ]);
        let egress = net.egress_with(|options| options.resolver = names);
        let check = async |url: String, kind: BindingErrorKind, expected: &str| {
            let error = get(&url).send(&egress).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (kind, expected), "{url}");
        };
        use BindingErrorKind::{InvalidArgument, Network};
        let refused = Network(ConnectErrorKind::Refused);
        check(
            format!("http://{gone}/"),
            refused,
            &format!("connect to {gone} refused"),
        )
        .await;
        let port = gone.port();
        let expected = format!("connect to here.example:{port} (127.0.0.1) refused");
        check(format!("http://here.example:{port}/"), refused, &expected).await;
        check(
            "http://nosuch.example/".into(),
            Network(ConnectErrorKind::NotFound),
            "cannot resolve nosuch.example: no such host",
        )
        .await;
        check(
            "ftp://a.example/".into(),
            InvalidArgument,
            "cannot fetch \"ftp://a.example/\": the scheme is neither http nor https",
        )
        .await;
        check(
            "/relative".into(),
            InvalidArgument,
            "cannot fetch \"/relative\": relative URL without a base",
        )
        .await;
        check(
            "http://".into(),
            InvalidArgument,
            "cannot fetch \"http://\": empty host",
        )
        .await;
        let long = format!("http://127.0.0.1/{}", "a".repeat(70_000));
        let error = get(long).send(&egress).await.unwrap_err();
        assert!(error.kind == InvalidArgument && error.message.ends_with("the path cannot be sent"));
        for method in ["CONNECT", "TRACE", "TRACK", "trace"] {
            let error = ask(method, "http://127.0.0.1/").send(&egress).await.unwrap_err();
            assert_eq!(error.message, format!("the method {method} is forbidden in fetch"));
        }
    });
}

#[test]
fn the_next_address_is_tried_when_one_refuses() {
    run(|net| async move {
        let server = net.scripted("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let names = Names::new(&[("both.example", &[&["::1", "127.0.0.2", "127.0.0.1"]])]);
        let egress = net.egress_with(|options| options.resolver = names);
        let url = format!("http://both.example:{}/", server.at.port());
        assert_eq!(get(url).outcome(&egress).await, Ok((200, String::new())));
    });
}

#[test]
fn malformed_answers_are_errors_and_never_more() {
    run(|net| async move {
        let egress = net.egress();
        let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(20_000));
        let long_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1024 * 1024));
        let endless_line = "H".repeat(2 * 1024 * 1024);
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("nothing", b"".to_vec()),
            ("not http", b"hello\r\n\r\n".to_vec()),
            ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            ("http/0.9", b"<html>hello</html>".to_vec()),
            (
                "h2 settings",
                b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff".to_vec(),
            ),
            ("tls alert", b"\x15\x03\x01\0\x02\x02\x46".to_vec()),
            ("random", (0..=255).collect()),
            ("nul in head", b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n".to_vec()),
            ("version 2.0", b"HTTP/2.0 200 OK\r\n\r\n".to_vec()),
            ("version 1.7", b"HTTP/1.7 200 OK\r\n\r\n".to_vec()),
            ("status abc", b"HTTP/1.1 abc OK\r\n\r\n".to_vec()),
            ("status 99", b"HTTP/1.1 99 OK\r\n\r\n".to_vec()),
            ("status 000", b"HTTP/1.1 000 OK\r\n\r\n".to_vec()),
            ("status 1000", b"HTTP/1.1 1000 OK\r\n\r\n".to_vec()),
            ("status 600", b"HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n".to_vec()),
            ("status 999", b"HTTP/1.1 999 OK\r\ncontent-length: 0\r\n\r\n".to_vec()),
            (
                "unasked 101",
                b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n".to_vec(),
            ),
            ("half a head", b"HTTP/1.1 200 OK\r\nconte".to_vec()),
            ("only 100s", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
            ("space in name", b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n".to_vec()),
            (
                "space before colon",
                b"HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\nx".to_vec(),
            ),
            ("no colon", b"HTTP/1.1 200 OK\r\nabc\r\n\r\n".to_vec()),
            ("folded", b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n".to_vec()),
            (
                "length abc",
                b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\nx".to_vec(),
            ),
            ("length -1", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nx".to_vec()),
            ("length +1", b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx".to_vec()),
            (
                "length huge",
                b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nx".to_vec(),
            ),
            (
                "two lengths",
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy".to_vec(),
            ),
            (
                "length 10 of 3",
                b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
            ),
            (
                "length max",
                b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nabc".to_vec(),
            ),
            (
                "chunk size xyz",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n".to_vec(),
            ),
            (
                "chunk size huge",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc".to_vec(),
            ),
            (
                "chunk size -1",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n".to_vec(),
            ),
            (
                "chunk too long",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n".to_vec(),
            ),
            (
                "no last chunk",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec(),
            ),
            (
                "half a chunk",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc".to_vec(),
            ),
            (
                "bad trailer",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n".to_vec(),
            ),
            ("many headers", many_headers.into_bytes()),
            ("long header", long_header.into_bytes()),
            ("endless line", endless_line.into_bytes()),
        ];
        for (name, answer) in cases {
            let server = net.scripted(answer).await;
            let outcome = get(server.url("/")).outcome(&egress).await;
            let error = outcome.expect_err(name);
            assert!(
                error.starts_with("127.0.0.1 ") || error.starts_with("body: "),
                "{name}: {error}"
            );
        }
    });
}

#[test]
fn every_prefix_and_every_flipped_byte_of_an_answer_is_survived() {
    run(|net| async move {
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let egress = net.egress_with(|options| options.timeouts.head = std::time::Duration::from_secs(5));
        let mut broken: Vec<Vec<u8>> = (0..answer.len()).map(|end| answer[..end].to_vec()).collect();
        for at in 0..answer.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut copy = answer.to_vec();
                copy[at] ^= flip;
                broken.push(copy);
            }
        }
        let mut failed = 0;
        for copy in &broken {
            let server = net.scripted(copy.clone()).await;
            // Any outcome is fine (a flipped letter in the body is still a body) but a panic, which would surface as
            // the task's reply being lost.
            if let Err(error) = get(server.url("/")).outcome(&egress).await {
                assert!(!error.contains("shutting down"), "{error}");
                failed += 1;
            }
        }
        assert!(failed >= answer.len() - 4, "{failed}: prefixes are never complete");
        // The client is as good as new.
        let server = net.scripted(*answer).await;
        assert_eq!(
            get(server.url("/")).outcome(&egress).await,
            Ok((200, "hello".to_owned()))
        );
    });
}
