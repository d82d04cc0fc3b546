//! Faults as answers.

use crate::harness::{PATIENCE, Server, options};
use atoll_edge::{EdgeOptions, ErrorDetail};

#[tokio::test]
async fn each_fault_has_its_status() {
    let server = Server::start().await;
    for (name, status) in [
        ("exception", 500),
        ("bad-response", 500),
        ("no-handler", 500),
        ("startup", 500),
        ("never-settles", 500),
        ("cpu", 500),
        ("memory", 500),
        ("internal", 500),
        ("overloaded", 503),
        ("draining", 503),
        ("canceled", 503),
        ("not-found", 404),
    ] {
        let answer = server.get(&format!("/fault/{name}"), "").await;
        assert_eq!(
            (answer.status, answer.text()),
            (status, format!("the cause of {name}").as_str())
        );
        assert_eq!(answer.header("content-type"), Some("text/plain;charset=UTF-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{name}");
    }
}

#[tokio::test]
async fn a_developer_sees_the_stack() {
    let server = Server::start().await;
    let answer = server.get("/fault/thrown", "").await;
    assert_eq!(
        answer.text(),
        "TypeError: <b> is not a function\n    at render (src/index.ts:3:9)"
    );
    let answer = server.get("/fault/pass-through", "").await;
    assert!(answer.text().contains("passThroughOnException"), "{}", answer.text());
}

#[tokio::test]
async fn a_browser_gets_a_page() {
    let server = Server::start().await;
    let answer = server
        .get("/fault/thrown", "Accept: text/html,application/xhtml+xml;q=0.9\r\n")
        .await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.header("content-type"), Some("text/html;charset=UTF-8"));
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    let page = answer.text();
    assert!(
        page.contains("&lt;b&gt; is not a function") && page.contains("src/index.ts:3:9"),
        "{page}"
    );
    assert!(!page.contains("<b>"), "{page}");
    let answer = server.get("/fault/thrown", "Accept: */*\r\n").await;
    assert_eq!(answer.header("content-type"), Some("text/plain;charset=UTF-8"));
}

#[tokio::test]
async fn strangers_learn_nothing_of_the_worker() {
    let options = EdgeOptions {
        error_detail: ErrorDetail::Terse,
        ..options()
    };
    let server = Server::with(options, PATIENCE).await;
    for accept in ["", "Accept: text/html\r\n"] {
        let answer = server.get("/fault/pass-through", accept).await;
        assert_eq!(answer.status, 500);
        let text = answer.text();
        assert!(
            text.starts_with("The worker threw an exception.\nerror code: 1101\nRequest "),
            "{text}"
        );
        assert!(!text.contains("TypeError") && !text.contains("index.ts"), "{text}");
    }
    let answer = server.ask("GET / HTTP/1.1\r\nHost: broken.test\r\n\r\n").await;
    assert_eq!(
        (answer.status, answer.text()),
        (500, "This site cannot be served at the moment.")
    );
}

#[tokio::test]
async fn a_head_request_gets_no_error_body() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    for target in ["/fault/thrown", "/respond?status=101"] {
        raw.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = raw.head().await;
        assert_eq!(head.status, 500);
        assert_ne!(head.header("content-length"), Some("0"));
    }
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "hello");
}

#[tokio::test]
async fn unusable_responses_are_the_workers_fault() {
    let server = Server::start().await;
    for (target, cause) in [
        ("/respond?status=101", "101 without a WebSocket"),
        ("/respond?status=100", "status 100"),
        ("/respond?status=600", "status 600"),
        ("/respond?status=0", "status 0"),
        ("/ws", "the client asked for none"),
    ] {
        let answer = server.get(target, "").await;
        assert_eq!(answer.status, 500, "{target}");
        assert!(answer.text().contains(cause), "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn hosts_without_a_site_and_broken_sites() {
    let server = Server::start().await;
    let check = async |host: &str, accept: &str, status: u16, part: &str| {
        let answer = server
            .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n{accept}\r\n"))
            .await;
        assert_eq!(answer.status, status);
        assert!(answer.text().contains(part), "{}", answer.text());
    };
    check("nowhere.test:81", "", 404, "\"nowhere.test\"").await;
    check(
        "broken.test",
        "",
        500,
        "The build failed\n\nsrc/index.ts:1:7: unexpected <token>",
    )
    .await;
    check("broken.test", "Accept: text/html\r\n", 500, "unexpected &lt;token&gt;").await;
}
