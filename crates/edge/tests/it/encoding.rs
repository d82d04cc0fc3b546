//! Content encoding, as clients see it.

use crate::harness::{Answer, Server};
use std::io::Read;

fn decode(answer: &Answer) -> String {
    let mut text = String::new();
    match answer.header("content-encoding") {
        Some("gzip") => {
            flate2::read::GzDecoder::new(&answer.body[..])
                .read_to_string(&mut text)
                .unwrap();
        }
        Some("br") => {
            brotli::Decompressor::new(&answer.body[..], 4096)
                .read_to_string(&mut text)
                .unwrap();
        }
        None => text.push_str(answer.text()),
        Some(other) => panic!("{other}"),
    }
    text
}

#[tokio::test]
async fn the_coding_is_the_clients_choice() {
    let server = Server::start().await;
    let check = async |accept: &str, expected: Option<&str>| {
        let answer = server
            .get(
                "/respond?header=content-type:text/plain&size=5000",
                &format!("{accept}\r\n").replace("\r\n\r\n", "\r\n"),
            )
            .await;
        assert_eq!(answer.header("content-encoding"), expected, "{accept:?}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{accept:?}");
        assert_eq!(decode(&answer), "x".repeat(5000));
        assert_eq!(
            answer.header("content-length"),
            Some(answer.body.len().to_string().as_str())
        );
    };
    check("X: no accept-encoding", None).await;
    check("Accept-Encoding: gzip", Some("gzip")).await;
    check("Accept-Encoding: br", Some("br")).await;
    check("Accept-Encoding: gzip, deflate, br, zstd", Some("br")).await;
    check("Accept-Encoding: gzip;q=1.0, br;q=0.5", Some("gzip")).await;
    check("Accept-Encoding: gzip;q=0, br;q=0", None).await;
    check("Accept-Encoding: GZIP", Some("gzip")).await;
    check("Accept-Encoding: x-gzip", Some("gzip")).await;
    check("Accept-Encoding: *", Some("br")).await;
    check("Accept-Encoding: *, br;q=0", Some("gzip")).await;
    check("Accept-Encoding: identity", None).await;
    check("Accept-Encoding: identity;q=1, gzip;q=0.5", None).await;
    check("Accept-Encoding: deflate", None).await;
    check("Accept-Encoding: identity;q=0.5, gzip;q=0.4", None).await;
    check("Accept-Encoding: gzip;q=2", None).await;
    check("Accept-Encoding: gzip;q=abc", None).await;
    check("Accept-Encoding: ,;q=, gzip ; q=0.001", Some("gzip")).await;
    check("Accept-Encoding: deflate\r\nAccept-Encoding: gzip", Some("gzip")).await;
}

#[tokio::test]
async fn only_what_shrinks_is_encoded() {
    let server = Server::start().await;
    let check = async |headers: &str, expected: Option<&str>| {
        let answer = server
            .get(&format!("/respond?{headers}&size=5000"), "Accept-Encoding: gzip\r\n")
            .await;
        assert_eq!(answer.header("content-encoding"), expected, "{headers}");
    };
    check("header=content-type:text/css", Some("gzip")).await;
    check("header=content-type:TEXT/HTML;charset=utf-8", Some("gzip")).await;
    check("header=content-type:application/json", Some("gzip")).await;
    check("header=content-type:application/ld%2bjson", None).await;
    check("header=content-type:application/manifest+json", None).await;
    check("header=content-type:image/svg", None).await;
    check("header=content-type:application/javascript", Some("gzip")).await;
    check("header=content-type:text/event-stream", None).await;
    check("header=content-type:application/octet-stream", None).await;
    check("header=content-type:image/png", None).await;
    check("header=x:no-type", None).await;
    check(
        "header=content-type:text/plain&header=cache-control:public,no-transform",
        None,
    )
    .await;
    check("header=content-type:text/plain&status=206", None).await;
    check("header=content-type:text/plain&header=content-range:bytes 0-1/2", None).await;
    check("header=content-type:text/plain&manual=1", None).await;
    check(
        "header=content-type:text/plain&header=content-encoding:zstd",
        Some("zstd"),
    )
    .await;
}

#[tokio::test]
async fn a_short_body_is_left_alone() {
    let server = Server::start().await;
    for (size, expected) in [(47, None), (48, Some("gzip"))] {
        let target = format!("/respond?header=content-type:text/plain&size={size}");
        let answer = server.get(&target, "Accept-Encoding: gzip\r\n").await;
        assert_eq!(answer.header("content-encoding"), expected);
        assert_eq!(answer.header("vary").is_some(), expected.is_some());
    }
}

#[tokio::test]
async fn what_the_worker_asks_for_is_applied() {
    let server = Server::start().await;
    let check = async |target: &str, accept: &str, expected: Option<&str>| {
        let answer = server.get(target, accept).await;
        assert_eq!(answer.header("content-encoding"), expected, "{target} {accept}");
        assert_eq!(decode(&answer), "plain", "{target} {accept}");
    };
    let target = "/respond?header=content-encoding:gzip&body=plain";
    check(target, "Accept-Encoding: gzip, br\r\n", Some("gzip")).await;
    // The client cannot read it: the bytes go as they are.
    check(target, "Accept-Encoding: br\r\n", None).await;
    check(target, "", None).await;
    check(
        "/respond?header=content-encoding:br&body=plain",
        "Accept-Encoding: gzip, br\r\n",
        Some("br"),
    )
    .await;
    // The worker has done it, or says so.
    let answer = server
        .get("/respond?header=content-encoding:gzip&manual=1&body=raw", "")
        .await;
    assert_eq!(
        (answer.header("content-encoding"), answer.text()),
        (Some("gzip"), "raw")
    );
}

#[tokio::test]
async fn tags_are_weakened_and_vary_is_kept() {
    let server = Server::start().await;
    let check = async |headers: &str, accept: &str, etag: &str, vary: &[&str]| {
        let target = format!("/respond?header=content-type:text/plain&{headers}&size=500");
        let answer = server.get(&target, accept).await;
        assert_eq!(answer.header("etag"), Some(etag));
        let all: Vec<&str> = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "vary")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(all, vary, "{headers}");
    };
    let gzip = "Accept-Encoding: gzip\r\n";
    check("header=etag:'a'", gzip, "W/\"a\"", &["Accept-Encoding"]).await;
    check("header=etag:W/'a'", gzip, "W/\"a\"", &["Accept-Encoding"]).await;
    check("header=etag:'a'", "", "\"a\"", &["Accept-Encoding"]).await;
    check(
        "header=etag:'a'&header=vary:cookie",
        gzip,
        "W/\"a\"",
        &["cookie", "Accept-Encoding"],
    )
    .await;
    check(
        "header=etag:'a'&header=vary:cookie,ACCEPT-ENCODING",
        gzip,
        "W/\"a\"",
        &["cookie,ACCEPT-ENCODING"],
    )
    .await;
    check("header=etag:'a'&header=vary:*", gzip, "W/\"a\"", &["*"]).await;
}

#[tokio::test]
async fn a_streamed_body_is_flushed_with_each_pause() {
    let mut server = Server::start().await;
    for coding in ["gzip", "br"] {
        let mut raw = server.connect().await;
        raw.send(format!(
            "GET /gate?type=text/html HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"
        ))
        .await;
        let sender = server.stream().await;
        let head = raw.head().await;
        assert_eq!(head.header("content-encoding"), Some(coding));
        let mut encoded = Vec::new();
        for part in ["<p>one", "<p>two", "<p>three"] {
            sender.send_data(part.into()).await.unwrap();
            // Everything written so far can be read before anything else is written.
            loop {
                encoded.extend_from_slice(&raw.chunk().await);
                if readable(coding, &encoded).ends_with(part) {
                    break;
                }
            }
        }
        sender.finish();
        loop {
            let chunk = raw.chunk().await;
            if chunk.is_empty() {
                break;
            }
            encoded.extend_from_slice(&chunk);
        }
        assert_eq!(readable(coding, &encoded), "<p>one<p>two<p>three");
    }
}

/// What a decoder makes of the bytes so far.
fn readable(coding: &str, encoded: &[u8]) -> String {
    let mut decoder: Box<dyn Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(encoded)),
        _ => Box::new(brotli::Decompressor::new(encoded, 1)),
    };
    let mut text = Vec::new();
    let mut byte = [0];
    // The end of the bytes is an error in the middle of a stream; what came before it counts.
    while let Ok(1) = decoder.read(&mut byte) {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_large_body_is_encoded_piece_by_piece() {
    let server = Server::start().await;
    for coding in ["gzip", "br"] {
        let accept = format!("Accept-Encoding: {coding}\r\n");
        let answer = server
            .get("/respond?header=content-type:text/plain&size=1000000", &accept)
            .await;
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(decode(&answer), "x".repeat(1_000_000));
    }
}

#[tokio::test]
async fn head_has_the_coding_of_get() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    let target = "/respond?header=content-type:text/plain&header=etag:'a'&size=500";
    raw.send(format!(
        "HEAD {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
    ))
    .await;
    let head = raw.head().await;
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    assert_eq!(head.header("etag"), Some("W/\"a\""));
    assert_eq!(head.header("content-length"), None);
}

#[tokio::test]
async fn a_broken_encoded_body_does_not_look_complete() {
    let mut server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("GET /gate?type=text/plain HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        .await;
    let sender = server.stream().await;
    raw.head().await;
    sender.send_data("half".into()).await.unwrap();
    let mut encoded = Vec::new();
    while readable("gzip", &encoded) != "half" {
        encoded.extend_from_slice(&raw.chunk().await);
    }
    drop(sender);
    raw.assert_closed().await;
}
