//! What the worker is given of a request.

use crate::harness::{PATIENCE, Seen, Server, options};
use atoll_edge::EdgeOptions;
use atoll_stdx::ManualClock;
use std::sync::Arc;

async fn request(server: &Server, text: &str) -> String {
    let answer = server.ask(text).await;
    assert_eq!(answer.status, 200, "{text:?}: {}", answer.text());
    answer.text().to_owned()
}

#[tokio::test]
async fn the_url_follows_the_target_and_the_host() {
    let server = Server::start().await;
    let check = async |target: &str, host: &str, url: &str| {
        let text = request(&server, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(text.lines().next().unwrap().split(' ').nth(1), Some(url));
    };
    check("/request", "site.test", "http://site.test/request").await;
    check(
        "/request?a=b&c",
        "SITE.Test:8080",
        "http://site.test:8080/request?a=b&c",
    )
    .await;
    check("/request?q=%C3%A9", "127.0.0.1", "http://127.0.0.1/request?q=%C3%A9").await;
    check("/request", "[::1]:80", "http://[::1]:80/request").await;
    check("/request", "site.test:", "http://site.test/request").await;
    // Absolute form: the target's authority wins (RFC 9112 section 3.2.2).
    check(
        "http://other.test/request?x",
        "site.test",
        "http://other.test/request?x",
    )
    .await;
    check(
        "https://other.test:1/request",
        "site.test",
        "http://other.test:1/request",
    )
    .await;
    check("/request?http://x", "a_b.test", "http://a_b.test/request?http://x").await;
}

#[tokio::test]
async fn headers_are_the_clients_but_for_the_connections() {
    let server = Server::start().await;
    let text = request(
        &server,
        "GET /request HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nX-Two: 2\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: 5\r\n\
         TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nAccept-Encoding: deflate\r\nCF-Connecting-IP: 6.6.6.6\r\n\r\n",
    )
    .await;
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "accept-encoding: br, gzip",
            "cf-connecting-ip: 127.0.0.1",
            "host: a",
            "x-two: 1",
            "x-two: 2"
        ]
    );
}

#[tokio::test]
async fn methods_pass_as_sent() {
    let server = Server::start().await;
    for method in [
        "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE", "x-lower",
    ] {
        let text = request(&server, &format!("{method} /request HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(text.split(' ').next(), Some(method));
    }
    let text = request(&server, "OPTIONS /request HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(text.contains("HTTP/1.1 tls= ws=false"), "{text}");
}

#[tokio::test]
async fn scheduled_events_are_fired_by_url() {
    let clock = ManualClock::new(1_700_000_000_123);
    let options = EdgeOptions {
        clock: Arc::new(clock),
        ..options()
    };
    let mut server = Server::with(options, PATIENCE).await;
    for (target, status, body, event) in [
        ("/cdn-cgi/handler/scheduled", 200, "ok", Some(("", 1_700_000_000_123))),
        (
            "/cdn-cgi/handler/scheduled?cron=*+*+*+*+*&time=5",
            200,
            "ok",
            Some(("* * * * *", 5)),
        ),
        (
            "/cdn-cgi/handler/scheduled?cron=no%20retry&format=json",
            200,
            r#"{"outcome":"ok","noRetry":true}"#,
            Some(("no retry", 1_700_000_000_123)),
        ),
        ("/__scheduled?cron=a", 200, "ok", Some(("a", 1_700_000_000_123))),
        (
            "/__scheduled?cron=throw",
            500,
            "exception",
            Some(("throw", 1_700_000_000_123)),
        ),
        (
            "/__scheduled?cron=throw&format=json",
            500,
            r#"{"outcome":"exception","noRetry":false}"#,
            Some(("throw", 1_700_000_000_123)),
        ),
        (
            "/__scheduled?cron=none",
            500,
            "no scheduled handler",
            Some(("none", 1_700_000_000_123)),
        ),
        (
            "/__scheduled?time=soon",
            400,
            r#"time="soon" is not a number of milliseconds since 1970"#,
            None,
        ),
    ] {
        let answer = server.get(target, "").await;
        assert_eq!((answer.status, answer.text()), (status, body), "{target}");
        let json = target.contains("json").then_some("application/json");
        assert_eq!(answer.header("content-type").filter(|ty| ty.contains("json")), json);
        if let Some((cron, time)) = event {
            match server.seen().await {
                Seen::Scheduled(c, t) => assert_eq!((c.as_str(), t), (cron, time)),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn triggers_are_the_workers_paths_where_they_are_not_served() {
    let options = EdgeOptions {
        local_triggers: false,
        ..options()
    };
    let server = Server::with(options, PATIENCE).await;
    assert_eq!(server.get("/__scheduled", "").await.text(), "hello");
}
